//! Prometheus' own tool reads the figures, the alerts and their tests.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::chromium::find_program;
use crate::harness::{Request, address, wait_for};
use crate::pair::{start_one, start_two};

/// Where it is, if it is.
pub(crate) fn find() -> Option<PathBuf> {
    find_program(&["promtool"])
}

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/prometheus")
}

fn check(command: &mut Command, input: &str) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}\n{input}",
        String::from_utf8_lossy(&told)
    );
}

/// The figures of two nodes at work, by its rules of good names too.
pub(crate) fn the_figures_are_well_formed(program: &Path) {
    let (at_one, at_two) = (address(), address());
    let (one, _two) = (start_one(at_one, at_two), start_two(at_two, at_one));
    one.put("/api/v1/devices/Custom%3A1", r#"{"state":"INUSE"}"#);
    let text = wait_for("a confirmed state", || {
        let text = Request::get(&one.url, "/metrics").send().text;
        text.contains(
            "lampwire_publisher_confirmed_states_total{publisher=\"instance2-devicestate\"} 1",
        )
        .then_some(text)
    });
    check(Command::new(program).args(["check", "metrics"]), &text);
}

/// The alerts are rules, and fire when they should.
pub(crate) fn the_alerts_are_rules_and_fire(program: &Path) {
    let check_in = |arguments: &[&str]| {
        check(
            Command::new(program)
                .args(arguments)
                .current_dir(packaging()),
            "",
        );
    };
    check_in(&["check", "rules", "lampwire.rules.yml"]);
    check_in(&["test", "rules", "lampwire.test.yml"]);
}
