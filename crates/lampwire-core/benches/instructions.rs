//! Walks the hot paths for `benches/guard`, which counts the instructions of each.

#![allow(clippy::unwrap_used)]

use crate::common::{PATHS, Walk};

mod common;

/// Walks the path of this name; without one, prints the names of all, and how often each is walked.
fn main() {
    let name = std::env::args().nth(1);
    for path in PATHS.iter().filter(|path| path.counted > 0) {
        match &name {
            None => println!("{path} {}", path.counted),
            Some(name) if *name == path.to_string() => {
                let mut walk = (path.set_up)();
                // What is done at the first walk alone.
                walk();
                measured(&mut walk, path.counted);
            }
            Some(_) => {}
        }
    }
}

/// Only what goes on in here is counted: valgrind looks for the name.
#[inline(never)]
fn measured(walk: &mut Walk, times: usize) {
    for _ in 0..times {
        walk();
    }
}
