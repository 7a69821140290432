//! What kept states cost: processor time of each PUBLISH, and memory.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::taking;
use crate::common::{self, Node, body};
use crate::load::{Event, Load};
use crate::others::Other;
use crate::process;
use crate::report::{Curve, Report, Sample, Target};
use crate::{Lab, Scale};

const NODE: &str = "127.95.2.1";
const LOAD: &str = "127.95.2.2";
const FEW: &str = "127.95.2.3";
const LOAD_OF_FEW: &str = "127.95.2.4";
const OWN: &str = "entity_id=02:00:00:00:00:01\nstate_dir=";
/// Kept states of the curves.
const STEPS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Peers of the node whose memory is looked at; nobody listens there.
const PUBLISHERS: usize = 50;
/// States set by one request.
const AT_ONCE: usize = 1_000;

/// A node that keeps states of one peer.
struct Kept {
    node: Node,
    load: Load,
    filled: usize,
    publishes: usize,
}

impl Kept {
    fn start(directory: &Path, node: &str, from: &str, publishes: usize) -> Self {
        let at = |host: &str| format!("{host}:5060").parse().expect("an address");
        Self {
            node: Node::start(directory, node, OWN, &taking("load", from)),
            load: Load::new(at(from), at(node), Event::DeviceState, 0),
            filled: 0,
            publishes,
        }
    }

    fn fill(&mut self, kept: usize) {
        self.load.grow(kept);
        self.load.fill(self.filled..kept);
        self.filled = kept;
        self.cost();
    }

    /// Of each PUBLISH, in microseconds.
    fn cost(&mut self) -> f64 {
        let before = process::cpu(self.node.id());
        self.load.change_any(self.publishes);
        let used = process::cpu(self.node.id()).saturating_sub(before);
        used.as_secs_f64() * 1e6 / self.publishes as f64
    }
}

/// Processor time of a PUBLISH that changes any of so many states.
pub(crate) fn growth(lab: &Lab, scale: &Scale, report: &mut Report) {
    let directory = common::directory("figures-growth");
    let mut few = Kept::start(&directory, FEW, LOAD_OF_FEW, scale.publishes[0]);
    few.fill(STEPS[0]);
    let mut many = Kept::start(&directory, NODE, LOAD, scale.publishes[0]);
    let mut points = Vec::new();
    let (mut of_few, mut of_many) = (Sample::default(), Sample::default());
    for kept in STEPS {
        many.fill(kept);
        (of_few, of_many) = (Sample::default(), Sample::default());
        for _ in 0..scale.runs {
            // In turn where both are held against each other, so that what disturbs the machine disturbs both.
            if kept == STEPS[STEPS.len() - 1] {
                of_few.0.push(few.cost());
            }
            of_many.0.push(many.cost());
        }
        points.push((kept as f64, of_many.median()));
    }
    let status = many.node.get("/api/v1/status").unwrap_or_default();
    assert!(status.contains("\"states\":1000000"), "{status}");
    report.row(
        "CPU per PUBLISH, any of 1,000,000 kept states",
        "us",
        &of_many,
        vec![(Some(("any of 1,000", &of_few)), Target::Part(1.3))],
    );
    drop((few, many));
    let of_asterisk = asterisk(lab, scale).map(|points| ("Asterisk 22".to_owned(), points));
    let lines = std::iter::once(("Lampwire".to_owned(), points)).chain(of_asterisk);
    report.curves.push(Curve {
        name: "cost",
        title: "What a PUBLISH costs by the states that are kept".to_owned(),
        x: "kept states",
        y: "CPU, us",
        lines: lines.collect(),
    });
}

/// Resident memory of a node with so many states of its own, which it would tell to 50 peers.
pub(crate) fn memory(_: &Lab, scale: &Scale, report: &mut Report) {
    let directory = common::directory("figures-memory");
    let mut sections = String::new();
    for number in 0..PUBLISHERS {
        let _ = write!(
            sections,
            "[p{number}]\ntype=outbound-publish\nserver_uri=sip:x@127.95.3.{}\nevent=asterisk-devicestate\n",
            number + 1
        );
    }
    let mut of_each = Sample::default();
    let mut points = Vec::new();
    for _ in 0..scale.long_runs {
        let node = Node::start(&directory, NODE, OWN, &sections);
        let empty = settled(&node);
        points.clear();
        let mut filled = 0;
        for kept in STEPS {
            set(&node, filled..kept);
            filled = kept;
            let now = settled(&node);
            points.push((kept as f64, now as f64 * 1024.0 / 1e6));
            if kept == STEPS[STEPS.len() - 1] {
                of_each.0.push((now - empty) as f64 * 1024.0 / kept as f64);
            }
        }
    }
    report.row(
        "memory per kept state, 1,000,000 device states, 50 publishers",
        "bytes",
        &of_each,
        vec![(None, Target::Most(200.0))],
    );
    report.curves.push(Curve {
        name: "memory",
        title: "Resident memory by the states that are kept, 50 publishers".to_owned(),
        x: "kept states",
        y: "MB",
        lines: vec![("Lampwire".to_owned(), points)],
    });
}

/// The same cost of an Asterisk, which gets slower with each state, so of fewer; `None` where there is none. (Its memory would be that of the
/// transactions of the load, which it keeps for 32 s.)
fn asterisk(lab: &Lab, scale: &Scale) -> Option<Vec<(f64, f64)>> {
    let other = Other::start(lab, "states", true, &taking("load", LOAD))?;
    let from = format!("{LOAD}:5071").parse().expect("an address");
    let to = SocketAddr::new(other.address, 5060);
    let mut load = Load::new(from, to, Event::DeviceState, 0);
    let mut points = Vec::new();
    let mut filled = 0;
    let steps = if scale.curves { 3 } else { 2 };
    for kept in STEPS.into_iter().take(steps) {
        load.grow(kept);
        load.fill(filled..kept);
        filled = kept;
        let before = process::cpu(other.id);
        load.change_any(scale.publishes[2]);
        let used = process::cpu(other.id).saturating_sub(before);
        let cost = used.as_secs_f64() * 1e6 / scale.publishes[2] as f64;
        points.push((kept as f64, cost));
    }
    Some(points)
}

/// Gives devices of the node's own a state.
pub(super) fn set(node: &Node, devices: std::ops::Range<usize>) {
    let mut first = devices.start;
    while first < devices.end {
        let end = devices.end.min(first + AT_ONCE);
        node.set(&body(
            (first..end).map(|it| format!("PJSIP/{}", 100_000 + it)),
            "INUSE",
        ));
        first = end;
    }
}

/// Resident memory once it does not change any more, in kilobytes.
fn settled(node: &Node) -> u64 {
    let mut before = 0;
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = process::resident(node.id());
        if now.abs_diff(before) < 256 {
            return now;
        }
        before = now;
    }
}
