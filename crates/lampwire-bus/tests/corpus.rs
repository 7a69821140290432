//! Every case that the fuzz targets keep is run again, so that what was once found stays found.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use lampwire_bus::fuzzing;

/// The files of a corpus, in order. None at all is an error: nothing would be tested.
fn corpus(target: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let entries = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", directory.display());
    files
}

#[test]
fn every_case_holds() {
    for (target, run) in fuzzing::TARGETS {
        for file in corpus(target) {
            // The name stands in the output of a test that fails.
            println!("{}", file.display());
            run(&std::fs::read(&file).unwrap());
        }
    }
}
