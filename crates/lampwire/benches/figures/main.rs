//! Every figure of Lampwire as a program, beside those of the others, measured in one run:
//!
//!     cargo bench --profile release -p lampwire --bench figures [-- [--quick] [--document docs/performance.md] [--only WORD]]
//!
//! `--document` writes the document with its plots beside what is printed. `--only` measures the parts whose name has the word in it; `--only cluster`
//! is measured by itself only, and has a page of its own, `docs/cluster-figures.md`. Asterisk and Kamailio are left out where they are not installed. It takes 25 minutes, with --quick four, and wants a machine that does nothing else.

#[allow(dead_code)] // what other benches ask for
#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)] // what it prints itself
#[path = "../hub.rs"]
mod hub;

#[path = "../../src/cli/bench/digest.rs"]
mod digest;

#[allow(dead_code)] // what the tests with real Asterisks ask for
#[path = "../../tests/interop/ami.rs"]
mod ami;
#[allow(dead_code)]
#[path = "../../tests/interop/asterisk.rs"]
mod asterisk;
#[allow(dead_code)]
#[path = "../../tests/interop/certificates.rs"]
mod certificates;
#[allow(dead_code)]
#[path = "../../tests/interop/instance.rs"]
mod instance;
#[allow(dead_code)]
#[path = "../../tests/interop/lampwire.rs"]
mod lampwire;
#[allow(dead_code)]
#[path = "../../tests/interop/figures.rs"]
mod line;
#[allow(dead_code)]
#[path = "../../tests/interop/nats.rs"]
mod nats;
#[allow(dead_code)]
#[path = "../../tests/interop/relation.rs"]
mod relation;
#[allow(dead_code)]
#[path = "../../tests/interop/sip.rs"]
mod sip;

mod document;
mod load;
mod measures;
mod others;
mod plot;
mod process;
mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use asterisk::Release;
use report::{RUNS, Report};

/// The Asterisks that there are, and the loopback network of this bench.
pub(crate) struct Lab {
    found: BTreeMap<Release, PathBuf>,
    block: u8,
}

/// How much is measured.
pub(crate) struct Scale {
    /// How often each figure is taken.
    runs: usize,
    /// How often one that takes long.
    long_runs: usize,
    /// PUBLISHes of Lampwire, of Kamailio and of an Asterisk in one run.
    publishes: [usize; 3],
    /// Changes of one run whose latency is taken.
    changes: usize,
    /// How many seconds each rate is held, and the highest one.
    seconds: u64,
    held: u64,
    /// Rates of the curve of latencies.
    rates: &'static [u64],
    /// Changes that go through a cluster in one run, and states that a node finds there when it joins.
    burst: usize,
    joins: &'static [usize],
    /// Whether the curves are measured that take minutes.
    curves: bool,
}

const FULL: Scale = Scale {
    runs: RUNS,
    long_runs: RUNS,
    publishes: [50_000, 10_000, 4_000],
    changes: 300,
    seconds: 4,
    held: 60,
    rates: &[
        100, 1_000, 2_000, 5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 35_000, 40_000, 50_000,
        60_000, 80_000, 100_000,
    ],
    burst: 50_000,
    joins: &[100_000, 1_000_000],
    curves: true,
};

const QUICK: Scale = Scale {
    runs: RUNS,
    long_runs: 1,
    publishes: [10_000, 3_000, 2_000],
    changes: 100,
    seconds: 2,
    held: 10,
    rates: &[100, 5_000, 20_000, 30_000, 50_000],
    burst: 10_000,
    joins: &[20_000],
    curves: false,
};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let behind = |name: &str| {
        let at = arguments.iter().position(|it| it == name)?;
        arguments.get(at + 1).cloned()
    };
    if let Some(at) = behind("--echo") {
        load::echo(at.parse().expect("an address and a port"));
    }
    if !arguments.iter().any(|it| it == "--bench") {
        return; // `cargo test` builds it and measures nothing
    }
    let quick = arguments.iter().any(|it| it == "--quick");
    let scale = if quick { &QUICK } else { &FULL };
    let only = behind("--only").unwrap_or_default();
    let mut found = BTreeMap::new();
    match asterisk::find(Release::Asterisk22) {
        Ok(root) => {
            found.insert(Release::Asterisk22, root);
        }
        Err(why) => eprintln!("without Asterisk: {why}"),
    }
    let lab = Lab { found, block: 95 };
    let began = Instant::now();
    let mut report = Report::new(quick, only == "cluster", document::machine(&lab));
    for (name, measure) in measures::ALL {
        // It has a page of its own.
        let is_apart = only.is_empty() && name == "cluster";
        if name.contains(&only) && !is_apart {
            let begin = Instant::now();
            measure(&lab, scale, &mut report);
            eprintln!("{name}: {:.0} s", begin.elapsed().as_secs_f64());
        }
    }
    report.took = began.elapsed().as_secs_f64();
    report.print();
    if let Some(path) = behind("--document") {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        document::write(&report, &root.join(path));
    }
}
