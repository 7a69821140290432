//! Scanning as it goes on all day on every open port, and bytes at random, over UDP, TCP and TLS: no panic, and memory stays as it is.
//!
//! `LAMPWIRE_SCAN_SECONDS=60 cargo test -p lampwire --test it -- --nocapture scan` does it for a minute; otherwise it is a fixed number of
//! packets.

use std::collections::VecDeque;
use std::io::Write;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use lampwire_sim::random::Dice;

use super::harness::{Node, address};
use super::sip::{Draft, Line, Ports, Transport};
use super::torture;

/// Packets of one run, unless it is told a time.
const PACKETS: usize = 20_000;

/// Packets between two questions of the honest peer: fewer than the system's buffer holds, so that all of them are looked at.
const BURST: usize = 50;

/// Addresses that scan, and connections that they leave open.
const SCANNERS: usize = 64;
const LEFT_OPEN: usize = 60;

/// How much more memory than after the first quarter may be in use at the end, in KiB.
const GROWTH_KIB: u64 = 8 * 1024;

const METHODS: [&str; 9] = [
    "OPTIONS",
    "REGISTER",
    "INVITE",
    "SUBSCRIBE",
    "PUBLISH",
    "NOTIFY",
    "MESSAGE",
    "BYE",
    "ACK",
];

/// How long it goes on.
enum Budget {
    Packets(usize),
    Time(Duration),
}

impl Budget {
    fn of_environment() -> Self {
        match std::env::var("LAMPWIRE_SCAN_SECONDS") {
            Ok(seconds) => Self::Time(Duration::from_secs(seconds.parse().unwrap())),
            Err(_) => Self::Packets(PACKETS),
        }
    }

    /// How much of it is used up, in percent.
    fn used(&self, packets: usize, since: Instant) -> u128 {
        match self {
            Self::Packets(all) => (packets * 100 / all) as u128,
            Self::Time(all) => since.elapsed().as_millis() * 100 / all.as_millis(),
        }
    }
}

struct Scanner {
    dice: Dice,
    /// Known attacks, to be changed at random.
    pieces: Vec<Vec<u8>>,
}

impl Scanner {
    fn new() -> Self {
        let mut pieces = torture::pieces();
        // Longer ones are slow to change and say nothing new.
        pieces.retain(|piece| piece.len() < 4000);
        Self {
            dice: Dice::new(4711),
            pieces,
        }
    }

    /// The next packet.
    fn packet(&mut self) -> Vec<u8> {
        match self.dice.below(3) {
            0 => self.probe(),
            1 => self.mutated(),
            _ => self.garbage(),
        }
    }

    /// What those who look for telephones to use send: user after user, each time from somewhere else.
    fn probe(&mut self) -> Vec<u8> {
        let method = *self.dice.pick(&METHODS);
        let user = match self.dice.below(3) {
            0 => (100 + self.dice.below(9900)).to_string(),
            1 => format!("instance{}", self.dice.below(10)),
            _ => (*self
                .dice
                .pick(&["admin", "sipvicious", "honest", "guarded", "1 OR 1=1"]))
            .to_owned(),
        };
        let mut host = || {
            format!(
                "{}.{}.{}.{}",
                self.dice.below(256),
                self.dice.below(256),
                self.dice.below(256),
                self.dice.below(256)
            )
        };
        let (via, contact) = (host(), host());
        let digest = format!(
            "Digest username=\"{user}\", realm=\"asterisk\", nonce=\"{:048x}\", uri=\"sip:{user}@127.0.0.1\", \
             response=\"{:032x}\"",
            self.dice.below(usize::MAX),
            self.dice.below(usize::MAX)
        );
        let draft = Draft::new(method, &format!("sip:{user}@127.0.0.1"))
            .set(
                "Via",
                format!("SIP/2.0/@T@ {via}:5060;rport;branch=z9hG4bK-@UNIQUE@"),
            )
            .set(
                "From",
                format!("\"{user}\" <sip:{user}@{contact}>;tag=@UNIQUE@"),
            )
            .set("Contact", format!("<sip:{user}@{contact}:5060>"))
            .set("User-Agent", "friendly-scanner")
            .set("Event", "asterisk-devicestate");
        match self.dice.chance(50) {
            true => draft.set("Authorization", digest).bytes(),
            false => draft.bytes(),
        }
    }

    /// A known attack with a few changes.
    fn mutated(&mut self) -> Vec<u8> {
        let mut packet = self.dice.pick(&self.pieces).clone();
        for _ in 0..=self.dice.below(4) {
            let at = self.dice.below(packet.len());
            match self.dice.below(5) {
                0 => packet.truncate(at),
                1 => packet.insert(at, self.byte()),
                2 if at < packet.len() => packet[at] = self.byte(),
                3 if at < packet.len() => drop(packet.remove(at)),
                _ => {
                    let other = self.dice.pick(&self.pieces).clone();
                    packet.truncate(at);
                    packet
                        .extend_from_slice(&other[self.dice.below(other.len()).min(other.len())..]);
                }
            }
        }
        packet
    }

    fn garbage(&mut self) -> Vec<u8> {
        let length = self.dice.below(1500);
        (0..length).map(|_| self.byte()).collect()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.dice.below(256)).unwrap()
    }
}

/// Resident memory of a process, in KiB.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let words = line.unwrap().split_whitespace().nth(1);
    words.unwrap().parse().unwrap()
}

#[test]
fn scanners_and_random_bytes_change_nothing() {
    let (at, here) = (address(), address());
    let (ports, mut text) = Ports::new(at);
    text.push_str(&format!(
        "[honest]\ntype=endpoint\nidentify_by=ip\n[honest]\ntype=identify\nendpoint=honest\nmatch={here}\n\
         [instance1]\ntype=endpoint\nauth=guarded\n[guarded]\ntype=auth\nusername=guarded\npassword=a long one\n\
         [instance1]\ntype=inbound-publication\nevent_asterisk-devicestate=all\nevent_asterisk-mwi=all\n\
         [all]\ntype=asterisk-publication\ndevice_state=yes\nmailbox_state=yes\n"
    ));
    let node = Node::start(at, "entity_id=02:00:00:00:00:99", &text);
    let publish = |state: &str| {
        let body = format!(
            r#"{{"type":"devicestate","device":"Honest/1","state":"{state}","cachable":1,"eid":"02:00:00:00:00:01"}}"#
        );
        Draft::publish("instance1", "asterisk-devicestate", body)
    };
    let mut honest = ports.open(Transport::Udp, here);
    let tag = honest.ask(publish("INUSE")).tag();
    let states =
        || ["/api/v1/devices", "/api/v1/mailboxes"].map(|path| node.get(path).json.to_string());
    let before = states();

    let mut scanner = Scanner::new();
    let addresses: Vec<Ipv4Addr> = (0..SCANNERS).map(|_| address()).collect();
    let mut sockets: Vec<Line> = addresses
        .iter()
        .map(|from| ports.open(Transport::Udp, *from))
        .collect();
    let mut left_open = VecDeque::new();
    let process = node.process.child.id();
    let at_start = resident(process);
    let (budget, since, mut packets, mut at_quarter) =
        (Budget::of_environment(), Instant::now(), 0, None);
    while budget.used(packets, since) < 100 {
        for _ in 0..BURST {
            let packet = scanner.packet();
            let socket = scanner.dice.below(sockets.len());
            sockets[socket].send(&packet);
        }
        let from = *scanner.dice.pick(&addresses);
        if scanner.dice.chance(20) {
            // An error: the node has closed it already.
            let _ = ports.knock(from).write_all(&scanner.packet());
        } else {
            let mut line = ports.open(Transport::Tcp, from);
            for _ in 0..3 {
                line.send(&scanner.packet());
            }
            left_open.push_back(line);
            if left_open.len() > LEFT_OPEN {
                left_open.pop_front();
            }
        }
        packets += BURST + 3;
        let (answers, kept) = honest.settle();
        assert!(answers.is_empty() && kept, "{answers:?}");
        if at_quarter.is_none() && budget.used(packets, since) >= 25 {
            at_quarter = Some(resident(process));
        }
    }
    let (at_quarter, at_end) = (at_quarter.unwrap(), resident(process));
    println!(
        "{packets} packets in {} ms; resident memory: {at_start} KiB at the start, {at_quarter} KiB after a quarter, {at_end} KiB at the end",
        since.elapsed().as_millis()
    );

    assert_eq!(states(), before);
    honest
        .ask(publish("RINGING").set("SIP-If-Match", tag))
        .tag();
    assert!(!node.process.log().contains("panicked"));
    assert!(
        at_end <= at_quarter + GROWTH_KIB,
        "{at_quarter} KiB and then {at_end} KiB"
    );
}
