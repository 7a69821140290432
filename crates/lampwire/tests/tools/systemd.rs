//! What systemd's own tool says of the service's unit.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::chromium::find_program;
use crate::harness::Directory;

/// The highest exposure that is let through, in tenths: 0 is none, 100 all there is.
const EXPOSURE_MAX: &str = "20";

/// Where it is, if it is.
pub(crate) fn find() -> Option<PathBuf> {
    find_program(&["systemd-analyze"])
}

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd/lampwire.service")
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(output.status.success(), "{told}");
    told
}

/// The service may do little besides its work.
pub(crate) fn the_unit_is_hardened(program: &Path) {
    succeeds(
        Command::new(program)
            .args(["security", "--offline=true", "--no-pager"])
            .arg(format!("--threshold={EXPOSURE_MAX}"))
            .arg(unit()),
    );
}

/// No line of it is unknown to systemd. The program is this build's, since none may be installed.
pub(crate) fn the_unit_is_sound(program: &Path) {
    let text = std::fs::read_to_string(unit()).unwrap();
    let directory = Directory::new();
    let text = text.replace("/usr/bin/lampwire", env!("CARGO_BIN_EXE_lampwire"));
    let path = directory.write("lampwire.service", &text);
    let told = succeeds(Command::new(program).args(["verify", "--man=no", &path]));
    let about_it = told.lines().filter(|line| line.contains("lampwire"));
    assert_eq!(about_it.count(), 0, "{told}");
}
