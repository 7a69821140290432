//! What a hub costs: `cargo bench -p lampwire --bench hub [-- --json]`.
//!
//! Fifty scripted peers on one hub; each tells its devices, each change is to come to the 49 others. The rate rises by steps until a step is not
//! kept up with. The peers are one thread beside the hub, on the same machine. Latency runs from the moment at which a change was due to the
//! arrival of its PUBLISH at each of the others.

#[allow(dead_code, clippy::duplicate_mod)] // what other benches ask for; the bench of all figures has its own
#[path = "common/mod.rs"] // found by that name from there too
mod common;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use common::Node;

const HUB: &str = "127.0.98.1";
const PEERS: usize = 50;
/// Devices of each peer, and the publications that it spreads them over, as an Asterisk with several publishes would.
const DEVICES: usize = 20;
const LANES: usize = 4;
/// Changes a second of all peers together, one step after the other.
pub(crate) const STEPS: [u32; 7] = [100, 200, 400, 600, 800, 1000, 1200];
const STEP_FOR: Duration = Duration::from_secs(5);
/// How long after a step everything may take to arrive, and how late a change may be for the step to count as kept up with.
const DRAIN: Duration = Duration::from_secs(20);
const LATE: Duration = Duration::from_millis(500);

const STATES: [&str; 7] = [
    "NOT_INUSE",
    "INUSE",
    "BUSY",
    "UNAVAILABLE",
    "RINGING",
    "RINGINUSE",
    "ONHOLD",
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|it| it == "--bench") {
        return; // `cargo test` builds it and measures nothing
    }
    let json = arguments.iter().any(|it| it == "--json");
    let (steps, memory) = climb(&STEPS);
    if json {
        let steps: Vec<_> = steps.iter().map(Step::json).collect();
        println!(
            "{:#}",
            serde_json::json!({ "peers": PEERS, "steps": steps, "memory_kib": memory })
        );
        return;
    }
    println!(
        "{:>10}{:>14}{:>12}{:>12}{:>12}{:>12}{:>12}{:>8}",
        "changes/s", "deliveries/s", "median", "p99", "longest", "cpu each", "hub's core", "wrong"
    );
    for step in &steps {
        println!(
            "{:>10}{:>14.0}{:>9.2} ms{:>9.2} ms{:>9.2} ms{:>9.1} us{:>10.0} %{:>8}",
            step.rate,
            step.delivered_per_second(),
            millis(step.percentile(50.0)),
            millis(step.percentile(99.0)),
            millis(step.percentile(100.0)),
            step.cpu_each(),
            step.cpu.as_secs_f64() / step.took.as_secs_f64() * 100.0,
            step.wrong
        );
    }
    println!("\n{PEERS} peers of {DEVICES} devices; memory of the hub {memory} KiB");
    let best = steps.iter().rev().find(|step| step.is_kept_up());
    match best {
        Some(best) => println!(
            "kept up with: {} changes a second, {:.0} deliveries",
            best.rate,
            best.delivered_per_second()
        ),
        None => println!("not even the first step was kept up with"),
    }
}

/// Measures one rate after the other up to the first that is not kept up with; also the hub's memory then, in kilobytes.
pub(crate) fn climb(rates: &[u32]) -> (Vec<Step>, u64) {
    let directory = common::directory("hub");
    let own = "entity_id=02:00:00:00:00:fe\nstate_dir=\nrelay=yes";
    let mut web = Web::new();
    let hub = Node::start(&directory, HUB, own, &sections());
    web.run(0, Duration::from_secs(1)); // it asks everybody who they are
    let mut steps = Vec::new();
    for rate in rates {
        let before = hub.cpu();
        let step = web.run(*rate, STEP_FOR);
        let step = Step {
            rate: *rate,
            cpu: hub.cpu().saturating_sub(before),
            ..step
        };
        let kept_up = step.is_kept_up();
        steps.push(step);
        if !kept_up {
            break;
        }
    }
    (steps, hub.of_process("status", "VmRSS:"))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn sections() -> String {
    let mut text = String::new();
    for peer in 0..PEERS {
        let (address, eid) = (address(peer), eid(peer));
        let _ = write!(
            text,
            "[p{peer}]\ntype=endpoint\nidentify_by=ip\n@entity_id={eid}\n\
             [p{peer}]\ntype=identify\nendpoint=p{peer}\nmatch={address}\n\
             [p{peer}-device]\ntype=outbound-publish\nserver_uri=sip:hub@{address}\nevent=asterisk-devicestate\n@lanes=8\n@resync=0\n@probe=0\n@qualify_frequency=0\n\
             [p{peer}]\ntype=inbound-publication\nendpoint=p{peer}\nevent_asterisk-devicestate=p{peer}\n\
             [p{peer}]\ntype=asterisk-publication\ndevicestate_publish=p{peer}-device\ndevice_state=yes\n"
        );
    }
    text
}

fn address(peer: usize) -> String {
    format!("127.0.98.{}", peer + 2)
}

fn eid(peer: usize) -> String {
    format!("02:00:00:00:01:{peer:02x}")
}

/// What was measured at one rate.
#[derive(Default)]
pub(crate) struct Step {
    rate: u32,
    latencies: Vec<Duration>,
    took: Duration,
    cpu: Duration,
    /// Devices that a peer does not hold as they are in the end.
    wrong: usize,
}

impl Step {
    pub(crate) fn is_kept_up(&self) -> bool {
        self.wrong == 0 && self.percentile(99.0) <= LATE
    }

    fn delivered_per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    /// In microseconds.
    pub(crate) fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.latencies.len().max(1) as f64
    }

    fn percentile(&self, percent: f64) -> Duration {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a place in a list
        let at = (self.latencies.len() as f64 * percent / 100.0).ceil() as usize;
        let found = self.latencies.get(at.saturating_sub(1));
        found.copied().unwrap_or_default()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "changes_per_second": self.rate, "deliveries_per_second": self.delivered_per_second(),
            "p50_ms": millis(self.percentile(50.0)), "p99_ms": millis(self.percentile(99.0)), "max_ms": millis(self.percentile(100.0)),
            "cpu_us_each": self.cpu_each(), "hub_cores": self.cpu.as_secs_f64() / self.took.as_secs_f64(), "wrong": self.wrong,
        })
    }
}

/// All peers.
struct Web {
    peers: Vec<Peer>,
    /// Each device's last state (by number) and when that was due.
    said: Vec<Vec<(usize, Instant)>>,
    changes: usize,
}

struct Peer {
    socket: UdpSocket,
    lanes: Vec<Lane>,
    /// What it was told of each device of each other: the state by its number.
    told: Vec<Vec<usize>>,
    tags: u64,
}

#[derive(Default)]
struct Lane {
    tag: Option<String>,
    number: u64,
    due: VecDeque<(usize, usize)>,
    /// The request on its way, and when it is sent again.
    flight: Option<(Vec<u8>, Instant, Duration)>,
}

impl Web {
    fn new() -> Self {
        let peers = (0..PEERS).map(|peer| {
            let socket = UdpSocket::bind((address(peer), 5060)).expect("a peer's address is free");
            socket.set_nonblocking(true).expect("non-blocking");
            Peer {
                socket,
                lanes: (0..LANES).map(|_| Lane::default()).collect(),
                told: vec![vec![usize::MAX; DEVICES]; PEERS],
                tags: 0,
            }
        });
        Self {
            peers: peers.collect(),
            said: vec![vec![(usize::MAX, Instant::now()); DEVICES]; PEERS],
            changes: 0,
        }
    }

    /// Changes at this rate for a while, and then until everybody has everything.
    fn run(&mut self, rate: u32, duration: Duration) -> Step {
        let begin = Instant::now();
        let total = rate * u32::try_from(duration.as_secs()).unwrap_or(1);
        let mut step = Step::default();
        let mut planned = 0;
        loop {
            let now = Instant::now();
            while planned < total && begin + Duration::from_secs(1) * planned / rate <= now {
                let due = begin + Duration::from_secs(1) * planned / rate;
                planned += 1;
                let (peer, device) = (self.changes % PEERS, self.changes / PEERS % DEVICES);
                let state = self.changes / (PEERS * DEVICES) % STATES.len();
                self.changes += 1;
                self.said[peer][device] = (state, due);
                self.peers[peer].lanes[device % LANES]
                    .due
                    .push_back((device, state));
            }
            let mut any = false;
            for index in 0..PEERS {
                any |= self.receive(index, &mut step);
                self.send(index, now);
            }
            let over = now.duration_since(begin);
            if planned == total && over >= duration {
                step.took = over;
                step.wrong = self.wrong();
                if step.wrong == 0 || over > duration + DRAIN {
                    step.latencies.sort_unstable();
                    return step;
                }
            }
            if !any {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }

    fn wrong(&self) -> usize {
        let mut wrong = 0;
        for (at, peer) in self.peers.iter().enumerate() {
            for of in (0..PEERS).filter(|of| *of != at) {
                let devices = self.said[of].iter().zip(&peer.told[of]);
                wrong += devices.filter(|((said, _), told)| said != *told).count();
            }
        }
        wrong
    }

    fn send(&mut self, index: usize, now: Instant) {
        let peer = &mut self.peers[index];
        for (number, lane) in peer.lanes.iter_mut().enumerate() {
            if let Some((bytes, again_at, pause)) = &mut lane.flight {
                if *again_at <= now {
                    *pause = (*pause * 2).min(Duration::from_secs(4));
                    *again_at = now + *pause;
                    let _ = peer.socket.send_to(bytes, (HUB, 5060));
                }
            } else if let Some((device, state)) = lane.due.pop_front() {
                lane.number += 1;
                let bytes = publish(index, number, lane, device, state);
                let _ = peer.socket.send_to(&bytes, (HUB, 5060));
                let pause = Duration::from_millis(500);
                lane.flight = Some((bytes, now + pause, pause));
            }
        }
    }

    /// Takes all that has come to a peer; whether there was anything.
    fn receive(&mut self, index: usize, step: &mut Step) -> bool {
        let peer = &mut self.peers[index];
        let mut buffer = [0; 4096];
        let mut any = false;
        while let Ok((length, from)) = peer.socket.recv_from(&mut buffer) {
            any = true;
            let text = String::from_utf8_lossy(&buffer[..length]);
            let header = |name: &str| {
                let line = text.lines().find(|line| line.starts_with(name))?;
                Some(line[name.len()..].trim())
            };
            if text.starts_with("SIP/2.0 ") {
                let lane = header("Call-ID: ").and_then(|it| it.rsplit('-').next()?.parse().ok());
                let number = header("CSeq: ").and_then(|it| it.split(' ').next()?.parse().ok());
                if let Some(lane) = lane.and_then(|lane: usize| peer.lanes.get_mut(lane))
                    && number == Some(lane.number)
                {
                    lane.flight = None;
                    lane.tag = header("SIP-ETag: ").map(str::to_owned);
                }
                continue;
            }
            peer.tags += 1;
            let mut answer = "SIP/2.0 200 OK\r\n".to_owned();
            for name in [
                "Via: ",
                "From: ",
                "To: ",
                "Call-ID: ",
                "CSeq: ",
                "Expires: ",
            ] {
                let _ = write!(answer, "{name}{}\r\n", header(name).unwrap_or(""));
            }
            let _ = write!(
                answer,
                "SIP-ETag: t{}\r\nContent-Length: 0\r\n\r\n",
                peer.tags
            );
            let _ = peer.socket.send_to(answer.as_bytes(), from);
            let part = |name: &str| {
                let at = text.find(&format!("\"{name}\":\""))? + name.len() + 4;
                text[at..].split('"').next()
            };
            let (Some(device), Some(state)) = (part("device"), part("state")) else {
                continue;
            };
            // Custom:PEER-DEVICE
            let place = device
                .strip_prefix("Custom:")
                .and_then(|it| it.split_once('-'));
            let place =
                place.and_then(|(of, device)| Some((of.parse().ok()?, device.parse().ok()?)));
            let (Some((of, device)), Some(state)) =
                (place, STATES.iter().position(|it| *it == state))
            else {
                continue;
            };
            let (of, device): (usize, usize) = (of, device);
            let (said, due) = self.said[of][device];
            if peer.told[of][device] != state && said == state {
                step.latencies.push(due.elapsed());
            }
            peer.told[of][device] = state;
        }
        any
    }
}

fn publish(peer: usize, lane: usize, of: &Lane, device: usize, state: usize) -> Vec<u8> {
    let (own, address) = (eid(peer), address(peer));
    let body = format!(
        r#"{{"type":"devicestate","device":"Custom:{peer}-{device}","state":"{}","cachable":1,"eid":"{own}"}}"#,
        STATES[state]
    );
    let tag = of.tag.as_ref();
    let tag = tag.map_or_else(String::new, |tag| format!("SIP-If-Match: {tag}\r\n"));
    let number = of.number;
    format!(
        "PUBLISH sip:p{peer}@{HUB} SIP/2.0\r\nVia: SIP/2.0/UDP {address}:5060;rport;branch=z9hG4bKhub{peer}x{lane}x{number}\r\n\
         From: <sip:p{peer}@{address}>;tag={number}\r\nTo: <sip:p{peer}@{HUB}>\r\nCall-ID: hub-{peer}-{lane}\r\nCSeq: {number} PUBLISH\r\n\
         Event: asterisk-devicestate\r\n{tag}Expires: 3600\r\nMax-Forwards: 70\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
