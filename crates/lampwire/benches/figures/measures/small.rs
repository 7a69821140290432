//! A hub, a start, and sizes.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::relation;
use super::states::set;
use crate::common::{self, Node, wait_for};
use crate::report::{Report, Sample, Target};
use crate::{Lab, Scale};
use crate::{hub, process};

const NODE: &str = "127.95.7.1";
const PEER: &str = "127.95.7.2";
/// Changes a second of all peers of the hub, in a quick run.
const QUICK_RATES: [u32; 2] = [400, 800];
const MANY: usize = 1_000_000;

/// The bench of the hub, which has a table of its own; its figure here is that of the highest rate that the hub keeps up with.
pub(crate) fn hub(_: &Lab, scale: &Scale, report: &mut Report) {
    let rates = match scale.curves {
        true => &hub::STEPS[..],
        false => &QUICK_RATES,
    };
    let run = || {
        let (steps, _) = hub::climb(rates);
        let kept_up = steps.iter().rev().find(|step| step.is_kept_up())?;
        Some(kept_up.cpu_each())
    };
    let figures = (0..scale.long_runs).filter_map(|_| run()).collect();
    report.row(
        "hub, one change to 50 peers: CPU of a delivery",
        "us",
        &Sample(figures),
        vec![(None, Target::Most(15.0))],
    );
}

/// From the start of the program to its word that it is ready, with what it has kept.
pub(crate) fn start(_: &Lab, scale: &Scale, report: &mut Report) {
    let directory = common::directory("figures-start");
    let own = format!(
        "entity_id=02:00:00:00:00:01\nstate_dir={}",
        directory.join("kept").display()
    );
    let node = Node::start(&directory, NODE, &own, "");
    set(&node, 0..MANY);
    node.end("TERM");
    let ready = (0..scale.runs).map(|_| {
        let begin = Instant::now();
        let node = Node::start(&directory, NODE, &own, "");
        let took = begin.elapsed().as_secs_f64();
        let status = node.get("/api/v1/status").unwrap_or_default();
        assert!(status.contains(&format!("\"states\":{MANY}")), "{status}");
        node.end("TERM");
        took
    });
    report.row(
        "start to ready with 1,000,000 states in the store",
        "s",
        &Sample(ready.collect()),
        vec![(None, Target::Most(2.0))],
    );
}

/// The program's file without its symbols, and its memory when it does nothing.
pub(crate) fn size(_: &Lab, scale: &Scale, report: &mut Report) {
    let directory = common::directory("figures-size");
    let stripped = directory.join("lampwire");
    let status = Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(env!("CARGO_BIN_EXE_lampwire"))
        .status();
    let size = status
        .ok()
        .and_then(|_| Some(fs::metadata(&stripped).ok()?.len() as f64 / 1e6));
    report.row(
        "the program's file, stripped",
        "MB",
        &Sample(size.into_iter().collect()),
        vec![(None, Target::Most(15.0))],
    );
    let idle = (0..scale.runs).map(|_| {
        let own = "entity_id=02:00:00:00:00:01\nstate_dir=";
        let node = Node::start(&directory, NODE, own, &relation("a", "b", PEER, PEER, ""));
        let mut most = 0;
        let until = Instant::now() + Duration::from_secs(1);
        wait_for("a second", Duration::from_millis(100), || {
            most = most.max(process::resident(node.id()));
            Instant::now() > until
        });
        most as f64 * 1024.0 / 1e6
    });
    report.row(
        "memory of an idle node with one peer",
        "MB",
        &Sample(idle.collect()),
        vec![(None, Target::Most(15.0))],
    );
}
