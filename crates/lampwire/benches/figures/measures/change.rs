//! From a change at A to its event at B.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::relation;
use crate::common::{self, Node, PATIENCE};
use crate::others::{Other, lines};
use crate::relation::Addresses;
use crate::report::{Report, Sample, Target};
use crate::{Lab, Scale};

const A: &str = "127.95.5.1";
const B: &str = "127.95.5.2";
/// Between two changes: both nodes are idle when one comes.
const PAUSE: Duration = Duration::from_millis(5);
/// Changes before the measurement.
pub(super) const WARM: usize = 20;

/// Medians and 99th percentiles of several runs, in milliseconds. `number`: of the last device that was set before.
pub(super) fn latencies(
    (runs, changes): (usize, usize),
    mut number: usize,
    seen: &Receiver<(String, Instant)>,
    mut set: impl FnMut(&str),
) -> (Sample, Sample) {
    let (mut medians, mut tails) = (Sample::default(), Sample::default());
    let mut one = || {
        number += 1;
        let device = format!("Custom:ping{number}e");
        let begin = Instant::now();
        set(&device);
        loop {
            let (line, at) = seen.recv_timeout(PATIENCE).expect("an event");
            if line.contains(&device) {
                std::thread::sleep(PAUSE);
                return at.duration_since(begin).as_secs_f64() * 1e3;
            }
        }
    };
    for _ in 0..WARM {
        one();
    }
    for _ in 0..runs {
        let mut all: Vec<f64> = (0..changes).map(|_| one()).collect();
        all.sort_by(f64::total_cmp);
        medians.0.push(all[all.len() / 2]);
        tails.0.push(all[all.len() * 99 / 100]);
    }
    (medians, tails)
}

pub(crate) fn change(lab: &Lab, scale: &Scale, report: &mut Report) {
    let directory = common::directory("figures-change");
    let own = |number| format!("entity_id=02:00:00:00:00:0{number}\nstate_dir=");
    let _a = Node::start(&directory, A, &own(1), &relation("a", "b", B, B, ""));
    let b = Node::start(&directory, B, &own(2), &relation("b", "a", A, A, ""));
    let seen = events(B);
    let mut put = Put::new(A);
    put.set("Custom:first");
    common::wait_for("a node that tells the other", PAUSE, || {
        b.get("/api/v1/devices/Custom:first").is_some()
    });
    let (medians, tails) = latencies((scale.runs, scale.changes), 0, &seen, |device| {
        put.set(device);
    });
    let none = (Sample::default(), Sample::default());
    let of_asterisks = asterisks(lab, scale).unwrap_or(none);
    report.row(
        "change set at A to event seen at B, idle: median",
        "ms",
        &medians,
        vec![(
            Some(("Asterisk 22 to Asterisk 22", &of_asterisks.0)),
            Target::Part(0.5),
        )],
    );
    report.row(
        "change set at A to event seen at B, idle: 99 %",
        "ms",
        &tails,
        vec![(
            Some(("Asterisk 22 to Asterisk 22", &of_asterisks.1)),
            Target::Most(1.0),
        )],
    );
}

/// The lines of the events of a Lampwire.
pub(super) fn events(host: &str) -> Receiver<(String, Instant)> {
    let mut stream = TcpStream::connect((host, 7060)).expect("HTTP");
    write!(
        stream,
        "GET /api/v1/events HTTP/1.1\r\nHost: {host}:7060\r\n\r\n"
    )
    .expect("a request");
    lines(stream)
}

/// The same between two Asterisks: set and seen by their manager interfaces.
fn asterisks(lab: &Lab, scale: &Scale) -> Option<(Sample, Sample)> {
    let addresses = Addresses::of_figures(lab.block);
    let (at_a, at_b) = (
        addresses.subject().to_string(),
        addresses.peer().to_string(),
    );
    let b = Other::start(lab, "b", true, &relation("b", "a", &at_a, &at_a, ""))?;
    let a = Other::start(lab, "a", false, &relation("a", "b", &at_b, &at_b, ""))?;
    let seen = lines(b.manager());
    let mut manager = a.manager();
    // What it answers is not looked at.
    let _answers = lines(manager.try_clone().expect("a socket"));
    Some(latencies((scale.runs, scale.changes), 0, &seen, |device| {
        write!(
            manager,
            "Action: Setvar\r\nVariable: DEVICE_STATE({device})\r\nValue: INUSE\r\n\r\n"
        )
        .expect("an action");
    }))
}

/// Sets states over one HTTP connection.
pub(super) struct Put {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Put {
    pub(super) fn new(host: &str) -> Self {
        let stream = TcpStream::connect((host, 7060)).expect("HTTP");
        stream.set_nodelay(true).expect("a socket");
        Self {
            stream: BufReader::new(stream),
            host: host.to_owned(),
        }
    }

    pub(super) fn set(&mut self, device: &str) {
        let body = r#"{"state":"INUSE"}"#;
        let request = format!(
            "PUT /api/v1/devices/{device} HTTP/1.1\r\nHost: {}:7060\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        self.stream
            .get_mut()
            .write_all(request.as_bytes())
            .expect("a request");
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            self.stream.read_line(&mut line).expect("an answer");
            let text = line.trim_end().to_ascii_lowercase();
            if text.is_empty() {
                break;
            }
            if let Some(value) = text.strip_prefix("content-length: ") {
                length = value.parse().expect("a length");
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).expect("an answer");
    }
}
