//! Time and allocations of the hot paths: `cargo bench -p lampwire-core --bench micro`, with a part of a name behind `--` for some of them.

#![allow(clippy::unwrap_used)]

use divan::{AllocProfiler, Bencher};

use crate::common::{PATHS, Path};

mod common;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = PATHS, sample_count = 200, sample_size = 100)]
fn path(bencher: Bencher<'_, '_>, path: &Path) {
    bencher.bench_local((path.set_up)());
}
