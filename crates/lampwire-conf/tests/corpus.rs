//! Replays the corpora of the fuzz targets.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use lampwire_conf::fuzzing;

fn replay(target: &str, run: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(
        paths.len() >= 20,
        "{} has too few files",
        directory.display()
    );
    for path in paths {
        // Shown where the run fails.
        println!("{}", path.display());
        run(&std::fs::read(&path).unwrap());
    }
}

#[test]
fn configuration() {
    replay("configuration", fuzzing::configuration);
}

#[test]
fn filter() {
    replay("filter", fuzzing::filter);
}

#[test]
fn check() {
    replay("check", fuzzing::check);
}
