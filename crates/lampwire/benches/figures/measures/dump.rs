//! Everything to a peer that knows nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::relation;
use super::states::set;
use crate::asterisk::Release;
use crate::common::{self, Node, wait_for};
use crate::line::{self, Telling};
use crate::report::{Curve, Report, Sample, Target};
use crate::sip::Relay;
use crate::{Lab, Scale};

const A: &str = "127.95.6.1";
const B: &str = "127.95.6.2";
const BETWEEN: &str = "127.95.6.3";
const STATES: u32 = 10_000;
const LINE: Duration = Duration::from_millis(40);

pub(crate) fn dump(lab: &Lab, scale: &Scale, report: &mut Report) {
    let near = Sample((0..scale.runs).map(|_| loopback()).collect());
    report.row(
        "10,000 states to a fresh Lampwire, loopback",
        "s",
        &near,
        vec![(None, Target::Most(0.3))],
    );
    let far = Sample((0..scale.long_runs).map(|_| over(LINE)).collect());
    report.row(
        "10,000 states to a fresh Lampwire, 40 ms round trip, 64 lanes",
        "s",
        &far,
        vec![(None, Target::Most(1.0))],
    );
    if !lab.found.contains_key(&Release::Asterisk22) {
        return;
    }
    let telling = |lanes, round_trip, states| Telling {
        lanes,
        digest: false,
        round_trip,
        states,
    };
    let to_asterisk = |telling| {
        let took = line::lampwire_to_asterisk(lab, telling);
        took.map_or(f64::NAN, |it| it.as_secs_f64())
    };
    let ours = (0..scale.long_runs).map(|_| to_asterisk(telling(64, LINE, STATES)));
    let ours = Sample(ours.collect());
    let theirs = line::asterisk_to_asterisk(lab).map_or(f64::NAN, |it| it.as_secs_f64());
    let theirs = Sample(vec![
        theirs * f64::from(STATES) / f64::from(line::STATES_OF_ASTERISK),
    ]);
    let alone = (LINE * STATES / 64).as_secs_f64();
    report.row(
        "10,000 states to a fresh Asterisk 22, 40 ms round trip, 64 lanes",
        "s",
        &ours,
        vec![(
            Some(("Asterisk 22 itself, 300 states scaled", &theirs)),
            Target::Most(alone * 1.3),
        )],
    );
    if !scale.curves {
        return;
    }
    let lines = [1, 4, 16, 64].map(|lanes| {
        let points = [5, 20, 40, 80].map(|round_trip| {
            // As many as the line lets through in three seconds.
            let states = (u32::from(lanes) * 3_000 / round_trip).clamp(100, STATES);
            let took = to_asterisk(telling(
                lanes,
                Duration::from_millis(round_trip.into()),
                states,
            ));
            (
                f64::from(round_trip),
                took * f64::from(STATES) / f64::from(states),
            )
        });
        (format!("{lanes} lanes"), points.to_vec())
    });
    report.curves.push(Curve {
        name: "convergence",
        title:
            "10,000 states to a fresh Asterisk 22 by round trip (scaled from a three-second part)"
                .to_owned(),
        x: "round trip, ms",
        y: "s",
        lines: lines.to_vec(),
    });
}

fn own(number: u8) -> String {
    format!("entity_id=02:00:00:00:00:0{number}\nstate_dir=")
}

fn states_of(node: &Node) -> u64 {
    let status = node.get("/api/v1/status").unwrap_or_default();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap_or_default();
    status["states"].as_u64().unwrap_or(0)
}

/// From the first state that is there to the last.
fn loopback() -> f64 {
    let directory = common::directory("figures-dump");
    let a = Node::start(&directory, A, &own(1), &relation("a", "b", B, B, ""));
    set(&a, 0..STATES as usize);
    let b = Node::start(&directory, B, &own(2), &relation("b", "a", A, A, ""));
    let look = Duration::from_millis(2);
    wait_for("the first state", look, || states_of(&b) > 0);
    let begin = Instant::now();
    wait_for("all states", look, || states_of(&b) == u64::from(STATES));
    begin.elapsed().as_secs_f64()
}

/// From the first request that gets through to the last state that is there.
fn over(round_trip: Duration) -> f64 {
    let directory = common::directory("figures-dump");
    let at = |host: &str| -> SocketAddr { format!("{host}:5060").parse().expect("an address") };
    let relay = Relay::start_delayed(at(BETWEEN), at(A), at(B), round_trip / 2).expect("a relay");
    relay.cut(true);
    let a = Node::start(
        &directory,
        A,
        &own(1),
        &relation("a", "b", B, BETWEEN, "@lanes=64\n"),
    );
    // What A sends comes from the relay.
    let b = Node::start(&directory, B, &own(2), &relation("b", "a", BETWEEN, A, ""));
    set(&a, 0..STATES as usize);
    relay.cut(false);
    wait_for("all states", Duration::from_millis(5), || {
        states_of(&b) == u64::from(STATES)
    });
    let begin = relay.through().expect("something got through");
    begin.elapsed().as_secs_f64()
}
