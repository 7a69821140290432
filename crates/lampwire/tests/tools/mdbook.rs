//! mdBook makes the book.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::chromium::find_program;
use crate::harness::Directory;

/// Where it is, if it is.
pub(crate) fn find() -> Option<PathBuf> {
    find_program(&["mdbook"])
}

/// Without an error or a warning, and with a page for each chapter.
pub(crate) fn the_book_builds(program: &Path) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let out = Directory::new();
    let output = Command::new(program)
        .arg("build")
        .arg(&docs)
        .arg("--dest-dir")
        .arg(&out.0)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(!told.contains("WARN") && !told.contains("ERROR"), "{told}");
    for name in ["start", "configuration", "findings", "troubleshooting"] {
        let html = std::fs::read_to_string(out.0.join(format!("{name}.html"))).unwrap();
        assert!(html.contains("<main>"), "{name}");
    }
}
