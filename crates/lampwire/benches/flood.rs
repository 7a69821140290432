//! What an honest peer feels of a flood: `cargo bench -p lampwire --bench flood [-- --json]`.
//!
//! A node on loopback takes 200 changes a second from one honest peer: alone, beside 50,000 requests a second of strangers from 32 addresses, and
//! beside another peer, as identified as it is, that has 256 publications and 50,000 changes a second to say, each as soon as the last of its
//! publication is answered. Latency runs from the moment at which a change was due to its 200, so that nothing is left out while the peer waits.

use std::collections::VecDeque;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The node's SIP and HTTP addresses.
const NODE: &str = "127.0.97.1:5060";
const HTTP: &str = "127.0.97.1:7060";
/// The honest peer: changes a second, and the publications that they are spread over.
const HONEST: Kind = Kind {
    name: "honest",
    address: "127.0.97.2:5060",
    eid: "02:00:00:00:00:02",
    rate: 200,
    lanes: 20,
};
/// One that is identified as well, and has more to say than anybody can take.
const BUSY: Kind = Kind {
    name: "busy",
    address: "127.0.97.3:5060",
    eid: "02:00:00:00:00:03",
    rate: 50_000,
    lanes: 256,
};
/// Requests a second of the flood, its sources, and how many leave in one go.
const FLOOD: u64 = 50_000;
const SOURCES: u8 = 32;
const BURST: u64 = 50;

const IDLE_FOR: Duration = Duration::from_secs(5);
const FLOOD_FOR: Duration = Duration::from_secs(20);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|it| it == "--bench") {
        return; // `cargo test` builds it and measures nothing
    }
    let json = arguments.iter().any(|it| it == "--json");
    let node = Node::start();
    let mut peer = Peer::new(HONEST);
    let began = node.resources();
    let idle = peer.run(IDLE_FOR);
    let before = node.resources();
    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicU64::new(0));
    let answered = Arc::new(AtomicU64::new(0));
    let flood = {
        let (stop, sent, answered) = (Arc::clone(&stop), Arc::clone(&sent), Arc::clone(&answered));
        std::thread::spawn(move || flood(&stop, &sent, &answered))
    };
    let first = peer.run(FLOOD_FOR / 2);
    let half = node.resources();
    let second = peer.run(FLOOD_FOR / 2);
    let after = node.resources();
    stop.store(true, Ordering::Relaxed);
    let took = flood.join().expect("the flood ends");
    let beside = Figures {
        latencies: [first.latencies, second.latencies].concat(),
        copies: first.copies + second.copies,
        refused: first.refused + second.refused,
        unanswered: first.unanswered + second.unanswered,
    };
    let busy = {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let busy = std::thread::spawn(move || {
            let mut peer = Peer::new(BUSY);
            peer.run_until(|_| told.load(Ordering::Relaxed))
        });
        let beside = peer.run(FLOOD_FOR);
        stop.store(true, Ordering::Relaxed);
        (beside, busy.join().expect("the busy peer ends"))
    };
    let (neighbour, busy) = busy;
    let busy_rate = busy.latencies.len() as f64 / FLOOD_FOR.as_secs_f64();
    let last = node.resources();
    let wrong = node.wrong(&peer);
    let (idle_p99, flood_p99) = (idle.percentile(99.0), beside.percentile(99.0));
    let neighbour_p99 = neighbour.percentile(99.0);
    let bound = (idle_p99 * 3).max(Duration::from_millis(5));
    let share_of = |it: &Figures| it.copies as f64 / it.latencies.len().max(1) as f64;
    let share = share_of(&beside).max(share_of(&neighbour));
    let rate = sent.load(Ordering::Relaxed) as f64 / took.as_secs_f64();
    let cpu = (after.cpu - before.cpu).as_secs_f64() / took.as_secs_f64();
    let verdicts = [
        (
            "no change lost",
            [&beside, &neighbour]
                .iter()
                .all(|it| wrong == 0 && it.refused == 0 && it.unanswered == 0),
        ),
        (
            "p99 in the flood at most the larger of 3 x idle and 5 ms",
            flood_p99 <= bound,
        ),
        (
            "p99 beside a busy peer at most the larger of 3 x idle and 5 ms",
            neighbour_p99 <= bound,
        ),
        ("at most 0.1 % sent again", share <= 0.001),
        ("memory bounded", after.memory <= half.memory + 8 * 1024),
    ];
    if json {
        let verdicts: serde_json::Map<_, _> = verdicts
            .iter()
            .map(|(name, held)| ((*name).to_owned(), (*held).into()))
            .collect();
        let figures = serde_json::json!({
            "idle": idle.json(), "flood": beside.json(), "flood_sent_per_second": rate,
            "beside_busy_peer": neighbour.json(), "busy_peer": busy.json(), "busy_peer_changes_per_second": busy_rate,
            "flood_answered": answered.load(Ordering::Relaxed), "node_cpu": cpu,
            "memory_kib": { "start": began.memory, "before": before.memory, "half": half.memory, "end": after.memory, "after_busy_peer": last.memory },
            "kernel_drops": after.drops - before.drops, "kernel_drops_beside_busy_peer": last.drops - after.drops, "wrong_states": wrong, "verdicts": verdicts,
        });
        println!("{figures:#}");
        return;
    }
    let columns = [&idle, &beside, &neighbour];
    println!(
        "{:<34}{:>14}{:>14}{:>18}",
        "", "alone", "in the flood", "by a busy peer"
    );
    for (name, percent) in [("median", 50.0), ("p99", 99.0), ("longest", 100.0)] {
        let [alone, flooded, beside] = columns.map(|it| millis(it.percentile(percent)));
        println!("{name:<34}{alone:>11.2} ms{flooded:>11.2} ms{beside:>15.2} ms");
    }
    for name in ["changes", "sent again", "refused"] {
        let [alone, flooded, beside] = columns.map(|it| match name {
            "changes" => it.latencies.len() as u64,
            "sent again" => it.copies,
            _ => it.refused,
        });
        println!("{name:<34}{alone:>14}{flooded:>14}{beside:>18}");
    }
    println!(
        "\nflood: {rate:.0} requests a second for {:.0} s, {} of them answered; {} datagrams dropped by the kernel",
        took.as_secs_f64(),
        answered.load(Ordering::Relaxed),
        after.drops - before.drops
    );
    println!(
        "node: {:.0} % of a core; memory {} KiB at the start, {} before the flood, {} after half of it, {} after it",
        cpu * 100.0,
        began.memory,
        before.memory,
        half.memory,
        after.memory
    );
    println!(
        "busy peer: {busy_rate:.0} changes a second taken, median {:.2} ms, {} sent again, {} refused; {} datagrams dropped by the kernel; node {:.0} % of a core, memory {} KiB",
        millis(busy.percentile(50.0)),
        busy.copies,
        busy.refused,
        last.drops - after.drops,
        (last.cpu - after.cpu).as_secs_f64() / FLOOD_FOR.as_secs_f64() * 100.0,
        last.memory
    );
    println!();
    for (name, held) in verdicts {
        println!("{} {name}", if held { "yes" } else { "NO " });
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// What was measured of the honest peer.
struct Figures {
    latencies: Vec<Duration>,
    copies: u64,
    refused: u64,
    unanswered: u64,
}

impl Figures {
    fn percentile(&self, percent: f64) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a place in a list
        let at = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
        sorted
            .get(at.saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "p50_ms": millis(self.percentile(50.0)), "p99_ms": millis(self.percentile(99.0)),
            "max_ms": millis(self.percentile(100.0)), "changes": self.latencies.len(),
            "sent_again": self.copies, "refused": self.refused, "unanswered": self.unanswered,
        })
    }
}

/// The program under test; it ends with this value.
struct Node {
    process: Child,
    directory: PathBuf,
}

struct Resources {
    cpu: Duration,
    memory: u64,
    drops: u64,
}

impl Node {
    fn start() -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flood");
        fs::create_dir_all(&directory).expect("a directory of its own");
        let file = directory.join("node.conf");
        let mut text = format!(
            "[lampwire]\ntype=lampwire\nentity_id=02:00:00:00:00:01\nstate_dir=\nhttp_bind={HTTP}\n\
             [udp]\ntype=transport\nprotocol=udp\nbind={NODE}\n"
        );
        for Kind { name, address, .. } in [HONEST, BUSY] {
            let address: SocketAddr = address.parse().expect("an address");
            text.push_str(&format!(
                "[{name}]\ntype=endpoint\nidentify_by=ip\n\
                 [{name}]\ntype=identify\nendpoint={name}\nmatch={}\n\
                 [{name}]\ntype=inbound-publication\nendpoint={name}\nevent_asterisk-devicestate={name}\n\
                 [{name}]\ntype=asterisk-publication\ndevice_state=yes\n",
                address.ip()
            ));
        }
        fs::write(&file, text).expect("the configuration is written");
        let log = fs::File::create(directory.join("log")).expect("a log");
        let process = Command::new(env!("CARGO_BIN_EXE_lampwire"))
            .args(["run", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let node = Self { process, directory };
        let until = Instant::now() + Duration::from_secs(20);
        while ureq::get(format!("http://{HTTP}/readyz")).call().is_err() {
            assert!(Instant::now() < until, "not ready: {}", node.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        node
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn resources(&self) -> Resources {
        let process = Path::new("/proc").join(self.process.id().to_string());
        let read = |name: &str| fs::read_to_string(process.join(name)).unwrap_or_default();
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
        let ticks = |at: usize| {
            fields
                .get(at)
                .and_then(|it| it.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let status = read("status");
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.and_then(|it| it.trim().split(' ').next()?.parse().ok());
        let port: SocketAddr = NODE.parse().expect("an address");
        let SocketAddr::V4(address) = port else {
            unreachable!("it is written above")
        };
        let local = format!(
            "{:08X}:{:04X}",
            u32::from_le_bytes(address.ip().octets()),
            address.port()
        );
        let sockets = fs::read_to_string("/proc/net/udp").unwrap_or_default();
        let ours = sockets.lines().find(|line| line.contains(&local));
        Resources {
            // A tick is 10 ms wherever Linux runs.
            cpu: Duration::from_millis((ticks(11) + ticks(12)) * 10),
            memory: memory.unwrap_or(0),
            drops: ours
                .and_then(|line| line.split_whitespace().last()?.parse().ok())
                .unwrap_or(0),
        }
    }

    /// How many of the peer's devices are not in the state that it was granted last.
    fn wrong(&self, peer: &Peer) -> usize {
        let wrong = peer.lanes.iter().enumerate().filter(|(index, lane)| {
            let url = format!(
                "http://{HTTP}/api/v1/devices/Custom:{}{index}",
                peer.kind.name
            );
            let body = ureq::get(url)
                .call()
                .ok()
                .and_then(|mut it| it.body_mut().read_to_string().ok());
            let expected = format!("\"state\":\"{}\"", state(lane.granted));
            !body.is_some_and(|body| body.replace(' ', "").contains(&expected))
        });
        wrong.count()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The state of the n-th change of a lane.
fn state(number: u64) -> &'static str {
    ["NOT_INUSE", "INUSE"][usize::try_from(number % 2).unwrap_or(0)]
}

/// Who a peer is, and what it has to say.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    address: &'static str,
    eid: &'static str,
    /// Changes a second.
    rate: u32,
    lanes: usize,
}

/// A peer: publications side by side, each with one request on its way, which is sent again as RFC 3261 17.1.2 has it.
struct Peer {
    kind: Kind,
    socket: UdpSocket,
    lanes: Vec<Lane>,
}

#[derive(Default)]
struct Lane {
    tag: Option<String>,
    /// Changes sent and granted.
    number: u64,
    granted: u64,
    due: VecDeque<Instant>,
    flight: Option<Flight>,
}

struct Flight {
    bytes: Vec<u8>,
    due: Instant,
    again_at: Instant,
    pause: Duration,
}

impl Peer {
    fn new(kind: Kind) -> Self {
        let socket = UdpSocket::bind(kind.address).expect("the peer's address is free");
        socket.connect(NODE).expect("loopback");
        // A time-out of the system's would be as long as its tick.
        socket.set_nonblocking(true).expect("non-blocking");
        Self {
            kind,
            socket,
            lanes: (0..kind.lanes).map(|_| Lane::default()).collect(),
        }
    }

    fn run(&mut self, duration: Duration) -> Figures {
        self.run_until(|took| took >= duration)
    }

    /// Says what is due until the end, and then waits for the answers.
    fn run_until(&mut self, is_end: impl Fn(Duration) -> bool) -> Figures {
        let Kind { rate, lanes, .. } = self.kind;
        let begin = Instant::now();
        let mut figures = Figures {
            latencies: Vec::new(),
            copies: 0,
            refused: 0,
            unanswered: 0,
        };
        let mut planned = 0;
        let mut give_up = None;
        loop {
            let now = Instant::now();
            if give_up.is_none() && is_end(now - begin) {
                give_up = Some(now + Duration::from_secs(10));
            }
            while give_up.is_none() {
                let due = begin + Duration::from_secs(1) * planned / rate;
                let lane = &mut self.lanes[planned as usize % lanes];
                // What it cannot say in time it does not heap up.
                if due > now {
                    break;
                }
                planned += 1;
                if lane.due.len() < 100 {
                    lane.due.push_back(due);
                }
            }
            for index in 0..lanes {
                self.send(index, now, &mut figures);
            }
            if !self.receive(&mut figures) {
                std::thread::sleep(Duration::from_micros(50));
            }
            let busy = self
                .lanes
                .iter()
                .any(|it| it.flight.is_some() || !it.due.is_empty());
            if give_up.is_some() && !busy {
                return figures;
            }
            if give_up.is_some_and(|at| now > at) {
                for lane in &mut self.lanes {
                    figures.unanswered += lane.due.len() as u64 + u64::from(lane.flight.is_some());
                    lane.due.clear();
                    lane.flight = None;
                }
                return figures;
            }
        }
    }

    fn send(&mut self, index: usize, now: Instant, figures: &mut Figures) {
        let lane = &mut self.lanes[index];
        if let Some(flight) = &mut lane.flight {
            if flight.again_at <= now {
                figures.copies += 1;
                flight.pause = (flight.pause * 2).min(Duration::from_secs(4));
                flight.again_at = now + flight.pause;
                let _ = self.socket.send(&flight.bytes);
            }
            return;
        }
        let Some(due) = lane.due.pop_front() else {
            return;
        };
        lane.number += 1;
        let bytes = publish(self.kind, index, lane);
        let _ = self.socket.send(&bytes);
        let pause = Duration::from_millis(500);
        lane.flight = Some(Flight {
            bytes,
            due,
            again_at: now + pause,
            pause,
        });
    }

    /// Takes all answers that have come; whether there were any.
    fn receive(&mut self, figures: &mut Figures) -> bool {
        let mut buffer = [0; 4096];
        let mut any = false;
        while let Ok(length) = self.socket.recv(&mut buffer) {
            any = true;
            let now = Instant::now();
            let text = String::from_utf8_lossy(&buffer[..length]);
            let header = |name: &str| {
                let line = text.lines().find(|line| line.starts_with(name))?;
                Some(line[name.len()..].trim().to_owned())
            };
            let lane =
                header("Call-ID: ").and_then(|it| it.strip_prefix("flood-")?.parse::<usize>().ok());
            let number = header("CSeq: ").and_then(|it| it.split(' ').next()?.parse::<u64>().ok());
            let Some(lane) = lane.and_then(|lane| self.lanes.get_mut(lane)) else {
                continue;
            };
            if number != Some(lane.number) {
                continue;
            }
            let Some(flight) = lane.flight.take() else {
                continue;
            };
            figures.latencies.push(now - flight.due);
            if text.starts_with("SIP/2.0 200 ") {
                lane.granted = lane.number;
                lane.tag = header("SIP-ETag: ");
            } else {
                figures.refused += 1;
                lane.tag = None;
            }
        }
        any
    }
}

fn publish(kind: Kind, index: usize, lane: &Lane) -> Vec<u8> {
    let Kind {
        name, address, eid, ..
    } = kind;
    let body = format!(
        r#"{{"type":"devicestate","device":"Custom:{name}{index}","state":"{}","cachable":1,"eid":"{eid}"}}"#,
        state(lane.number)
    );
    let tag = lane
        .tag
        .as_ref()
        .map_or_else(String::new, |tag| format!("SIP-If-Match: {tag}\r\n"));
    let number = lane.number;
    format!(
        "PUBLISH sip:{name}@{NODE} SIP/2.0\r\nVia: SIP/2.0/UDP {address};rport;branch=z9hG4bKflood{index}x{number}\r\n\
         From: <sip:{name}@{address}>;tag={number}\r\nTo: <sip:{name}@{NODE}>\r\nCall-ID: flood-{index}\r\nCSeq: {number} PUBLISH\r\n\
         Event: asterisk-devicestate\r\n{tag}Expires: 3600\r\nMax-Forwards: 70\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends what strangers send until it is told to stop, at an even rate.
fn flood(stop: &AtomicBool, sent: &AtomicU64, answered: &AtomicU64) -> Duration {
    let sockets: Vec<UdpSocket> = (0..SOURCES)
        .map(|number| {
            let socket = UdpSocket::bind((std::net::Ipv4Addr::new(127, 1, 97, number + 1), 5060))
                .expect("a stranger's address is free");
            socket.connect(NODE).expect("loopback");
            socket.set_nonblocking(true).expect("non-blocking");
            socket
        })
        .collect();
    let packets: Vec<Vec<u8>> = ["PUBLISH", "REGISTER", "OPTIONS", "INVITE"]
        .iter()
        .flat_map(|method| (0..16).map(move |number| stranger(method, number)))
        .collect();
    let begin = Instant::now();
    let mut count: u64 = 0;
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let due = begin + Duration::from_nanos(count * 1_000_000_000 / FLOOD);
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(wait);
        }
        for _ in 0..BURST {
            let socket = &sockets[usize::try_from(count).unwrap_or(0) % sockets.len()];
            let packet = &packets[usize::try_from(count / 7).unwrap_or(0) % packets.len()];
            if socket.send(packet).is_ok() {
                sent.fetch_add(1, Ordering::Relaxed);
            }
            count += 1;
        }
        let socket = &sockets[usize::try_from(count / BURST).unwrap_or(0) % sockets.len()];
        while socket.recv(&mut buffer).is_ok() {
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
    let took = begin.elapsed();
    for socket in &sockets {
        while socket.recv(&mut buffer).is_ok() {
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
    took
}

fn stranger(method: &str, number: u32) -> Vec<u8> {
    format!(
        "{method} sip:{number}@{NODE} SIP/2.0\r\nVia: SIP/2.0/UDP 127.1.97.1;rport;branch=z9hG4bK{method}{number}\r\n\
         From: <sip:{number}@x>;tag=s\r\nTo: <sip:{number}@{NODE}>\r\nCall-ID: stranger{number}\r\nCSeq: 1 {method}\r\n\
         Event: asterisk-devicestate\r\nMax-Forwards: 70\r\nUser-Agent: friendly\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}
