//! Latency against rate up to saturation, and what the highest rate leaves behind in memory.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::taking;
use crate::common::{self, Node};
use crate::others::Other;
use crate::process;
use crate::report::{Curve, Report, Sample, Target};
use crate::{Lab, Scale};

const NODE: &str = "127.95.4.1";
const LOAD: &str = "127.95.4.2";
/// A rate is held when all is answered and hardly any is later than this, in microseconds, or sent twice.
const LATE_US: f64 = 50_000.0;
/// Runs of a minute at most: the figure hardly differs between them.
const MINUTES: usize = 3;
/// How long a request may come again (RFC 3261 17.2.2): what has come in that time is live.
const LIVE: u64 = 32;

/// What `lampwire bench publish` measures at one rate.
fn bench(target: &str, rate: u64, seconds: u64, lanes: u64) -> Option<Value> {
    bench_from(LOAD, target, rate, seconds, lanes)
}

/// The same from another address.
pub(super) fn bench_from(
    from: &str,
    target: &str,
    rate: u64,
    seconds: u64,
    lanes: u64,
) -> Option<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lampwire"));
    command.args(["bench", "publish", target, "--json", "--bind", from]);
    for (name, value) in [
        ("--rate", rate),
        ("--duration", seconds),
        ("--lanes", lanes),
    ] {
        command.args([name, &value.to_string()]);
    }
    let output = command.output().ok()?;
    if !output.status.success() {
        eprintln!("  {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    serde_json::from_slice(&output.stdout).ok()
}

fn is_held(figures: &Value) -> bool {
    let of = |name: &str| figures[name].as_f64().unwrap_or(f64::MAX);
    let due = of("due");
    let p99 = figures["latency_us"]["p99"].as_f64().unwrap_or(f64::MAX);
    of("granted") == due && of("copies") <= due / 1000.0 && p99 <= LATE_US
}

type Points = Vec<(f64, f64)>;

/// Median and 99th percentile by rate, in milliseconds, up to the first rate that is not held; the highest that is.
fn climb(target: &str, rates: &[u64], seconds: u64) -> (Points, Points, u64) {
    let (mut medians, mut tails, mut highest) = (Vec::new(), Vec::new(), 0);
    for rate in rates {
        // Once more, where something else on the machine may have been the reason.
        let tries = (0..2).filter_map(|_| bench(target, *rate, seconds, 500));
        let mut last = None;
        for figures in tries {
            let held = is_held(&figures);
            last = Some(figures);
            if held {
                break;
            }
        }
        let Some(figures) = last else {
            break;
        };
        let of = |name: &str| figures["latency_us"][name].as_f64().unwrap_or(f64::NAN) / 1000.0;
        medians.push((*rate as f64, of("p50")));
        tails.push((*rate as f64, of("p99")));
        if !is_held(&figures) {
            break;
        }
        highest = *rate;
    }
    (medians, tails, highest)
}

pub(crate) fn rate(lab: &Lab, scale: &Scale, report: &mut Report) {
    let directory = common::directory("figures-rate");
    let own = "entity_id=02:00:00:00:00:01\nstate_dir=";
    let target = format!("sip:load@{NODE}");
    let node = Node::start(&directory, NODE, own, &taking("load", LOAD));
    let (medians, tails, highest) = climb(&target, scale.rates, scale.seconds);
    drop(node);
    let mut lines = vec![
        ("Lampwire, median".to_owned(), medians),
        ("Lampwire, 99 %".to_owned(), tails),
    ];
    let none = Sample::default();
    let mut of_asterisk = None;
    if let Some(other) = Other::start(lab, "rate", true, &taking("load", LOAD)) {
        let rates: &[u64] = match scale.curves {
            true => &[
                100, 500, 1_000, 1_500, 2_000, 3_000, 4_000, 5_000, 7_000, 10_000,
            ],
            false => &[100, 2_000, 4_000],
        };
        let (medians, tails, highest) =
            climb(&format!("sip:load@{}", other.address), rates, scale.seconds);
        lines.push(("Asterisk 22, median".to_owned(), medians));
        lines.push(("Asterisk 22, 99 %".to_owned(), tails));
        of_asterisk = Some(Sample(vec![highest as f64]));
    }
    report.row(
        "highest rate held over UDP (all granted, 99 % within 50 ms)",
        "PUBLISHes/s",
        &Sample(vec![highest as f64]),
        vec![(
            Some(("Asterisk 22", of_asterisk.as_ref().unwrap_or(&none))),
            Target::None,
        )],
    );
    report.curves.push(Curve {
        name: "latency",
        title: "Latency by rate, up to the first rate that is not held".to_owned(),
        x: "PUBLISHes a second",
        y: "ms",
        lines,
    });
    // Held for seconds is not held for a minute: where it is not, the next lower rate is the highest that can be spoken of.
    let rates = scale.rates.iter().rev().filter(|rate| **rate <= highest);
    let mut at = highest;
    let mut of_each = Sample::default();
    for rate in rates {
        at = *rate;
        let runs = (0..scale.long_runs.min(MINUTES)).map(|_| {
            let node = Node::start(&directory, NODE, own, &taking("load", LOAD));
            memory_at(&node, &target, at, scale.held)
        });
        // One run that is disturbed is no reason to leave the rate.
        let held: Vec<f64> = runs.flatten().collect();
        if !held.is_empty() {
            of_each = Sample(held);
            break;
        }
        report.notes.push(format!(
            "{at} PUBLISHes a second were held for {} s, and not for {} s.",
            scale.seconds, scale.held
        ));
    }
    report.row(
        format!(
            "memory after {} s at {at} PUBLISHes a second, all of it held, per live transaction",
            scale.held
        ),
        "bytes",
        &of_each,
        vec![(None, Target::Most(100.0))],
    );
}

/// How many bytes of memory a node has more at most, for each live transaction, while it is under load at this rate; `None`: it did not hold it.
fn memory_at(node: &Node, target: &str, rate: u64, seconds: u64) -> Option<f64> {
    // The publications and their states are not what is looked for.
    let _ = bench(target, 100, 1, 500);
    let before = process::resident(node.id());
    let (sender, ended) = std::sync::mpsc::channel();
    let to = target.to_owned();
    std::thread::spawn(move || sender.send(bench(&to, rate, seconds, 500)));
    let mut most = before;
    let figures = loop {
        match ended.recv_timeout(Duration::from_millis(200)) {
            Ok(figures) => break figures,
            Err(_) => most = most.max(process::resident(node.id())),
        }
    };
    let live = rate * LIVE.min(seconds);
    let each = (most - before) as f64 * 1024.0 / live as f64;
    figures.filter(is_held).map(|_| each)
}
