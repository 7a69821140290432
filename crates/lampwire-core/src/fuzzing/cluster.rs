//! The target of a node on a bus on which anything may be said.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lampwire_bus::{Key, Record, Said, Topic};
use lampwire_conf::Config;
use lampwire_sip::DeviceState;

use super::{Dice, loaded, remember};
use crate::io::{BusCommand, BusInput};
use crate::{Node, Now, Setup, Time, TransportId, WallTime, limits};

const CONFIG: &str = "\
[lampwire]\ntype=lampwire\nentity_id=02:00:00:00:00:01\nhttp_bind=\nrelay=yes\nhold_time=7\n\
[udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:5060\n\
[cluster]\ntype=cluster\nurl=nats://127.0.0.1\nnode=one\nwide_device_state_filter=^[CP]\n\
[a]\ntype=endpoint\nidentify_by=ip\n@entity_id=02:00:00:00:0a:01\n\
[a]\ntype=identify\nendpoint=a\nmatch=127.0.0.2\n\
[a-device]\ntype=outbound-publish\nserver_uri=sip:hub@127.0.0.2\nevent=asterisk-devicestate\n@lanes=1\n\
[a-mwi]\ntype=outbound-publish\nserver_uri=sip:hub@127.0.0.2\nevent=asterisk-mwi\n@lanes=1\n\
[a]\ntype=inbound-publication\nendpoint=a\nevent_asterisk-devicestate=a\nevent_asterisk-mwi=a\n\
[a]\ntype=asterisk-publication\ndevicestate_publish=a-device\nmailboxstate_publish=a-mwi\ndevice_state=yes\nmailbox_state=yes\n";

/// The most that one input may lead to: what is on its way to the bucket at once, and a few beside it.
const OUTPUTS_OF_AN_INPUT: usize = limits::BUS_IN_FLIGHT + 64;

/// The most timers that a second of the clock may bring.
const TIMERS_OF_A_SECOND: usize = 20_000;

/// Nodes, servers and hubs of which is spoken.
const IDS: [&str; 5] = [
    "020000000001",
    "020000000002",
    "020000000003",
    "020000000a01",
    "020000000b01",
];

/// The same as they stand in a record.
const ENTITY_IDS: [&str; 5] = [
    "02:00:00:00:00:01",
    "02:00:00:00:00:02",
    "02:00:00:00:00:03",
    "02:00:00:00:0a:01",
    "02:00:00:00:0b:01",
];

const SITES: [&str; 4] = ["main", "main", "far", "no site"];

/// Reads the bytes as what happens to a node on a bus, one thing after the other. What it puts and says is what others can read, one input leads to
/// a bounded number of it, and nothing goes on for ever.
pub fn cluster(data: &[u8]) {
    let mut world = World::new();
    let mut dice = Dice { data, at: 0 };
    for _ in 0..200 {
        if dice.at >= data.len() {
            break;
        }
        world.step(&mut dice);
    }
    world.pass(Duration::from_secs(40));
    assert!(world.node.states() < 1_000);
}

struct World {
    config: Arc<Config>,
    node: Node,
    now: Now,
    /// Numbers of what was put and is not answered, and what it was: the newest few.
    put: Vec<u64>,
    written: Vec<(String, Vec<u8>)>,
    requests: u32,
}

impl World {
    fn new() -> Self {
        let config = loaded(CONFIG.to_owned());
        let now = Now {
            at: Time::from_micros(1_000_000),
            wall: WallTime::from_millis(1_767_225_600_000),
        };
        let mut world = Self {
            node: born(&config, now, 1),
            config,
            now,
            put: Vec::new(),
            written: Vec::new(),
            requests: 0,
        };
        world.drain();
        world
    }

    fn step(&mut self, dice: &mut Dice<'_>) {
        let site = dice.choose(&SITES);
        match dice.byte() % 16 {
            0 => self.give(BusInput::Up { server: "s" }),
            1 => self.give(BusInput::Down { why: "w" }),
            2 | 3 => {
                let [incarnation, pending, last] = [0; 3].map(|_: u8| u64::from(dice.byte() % 5));
                let whole = dice.byte() & 1 == 0;
                self.give(BusInput::Opened {
                    site,
                    incarnation,
                    whole,
                    pending,
                    last,
                });
            }
            4..=8 => {
                let (key, value) = match dice.byte() % 8 {
                    // What it wrote itself, as an earlier life of it.
                    0 if !self.written.is_empty() => {
                        let index = usize::from(dice.byte()) % self.written.len();
                        self.written[index].clone()
                    }
                    1 => {
                        let key = String::from_utf8_lossy(dice.bytes()).into_owned();
                        (key, dice.bytes().to_vec())
                    }
                    2 => (key(dice), dice.bytes().to_vec()),
                    _ => (key(dice), record(dice).into_bytes()),
                };
                let value = Some(&*value).filter(|_| !dice.byte().is_multiple_of(5));
                let at = number(dice);
                let pending = u64::from(dice.byte() % 3);
                self.give(BusInput::Record {
                    site,
                    at,
                    pending,
                    key: &key,
                    value,
                });
            }
            9 => self.give(BusInput::Failed { site, why: "w" }),
            10 | 11 => {
                let number = match self.put.pop() {
                    Some(number) if !dice.byte().is_multiple_of(8) => number,
                    Some(_) | None => u64::from(dice.byte()),
                };
                let result = match dice.byte() % 4 {
                    0 => Err("w"),
                    _ => Ok(u64::from(dice.byte())),
                };
                self.give(BusInput::Stored { number, result });
            }
            12 | 13 => {
                let id = dice.choose(&IDS);
                let what = dice.choose(&["beat", "beat", "hub", "pass", "news"]);
                let scope = dice.choose(&["w", "s", "x"]);
                let topic = format!("{scope}.{site}.{id}.{what}");
                let bytes = match dice.byte() % 4 {
                    0 => dice.bytes().to_vec(),
                    _ => said(what, dice).into_bytes(),
                };
                let topic = &*topic;
                self.give(BusInput::Said {
                    topic,
                    bytes: &bytes,
                });
            }
            14 => match dice.byte() % 4 {
                0 => {
                    let name = dice.choose(&["C1", "S1"]);
                    let state = dice.choose(&DeviceState::ALL);
                    let _ = self.node.set_device(self.now, name, state, true);
                }
                1 => drop(self.node.unset_device(self.now, "C1")),
                2 => {
                    let life = dice.byte();
                    self.node = born(&self.config, self.now, life);
                    self.put.clear();
                }
                _ => self.publish(dice),
            },
            _ => {
                let millis = dice.choose(&[1, 100, 600, 1_000, 4_000, 20_000, 60_000, 90_000_000]);
                self.pass(Duration::from_millis(millis));
            }
        }
        self.drain();
    }

    fn give(&mut self, input: BusInput<'_>) {
        self.node.handle_bus(self.now, input);
    }

    /// The server says something at first hand.
    fn publish(&mut self, dice: &mut Dice<'_>) {
        self.requests += 1;
        let (name, state) = (
            dice.choose(&["C1", "P2", "S3"]),
            dice.choose(&DeviceState::ALL),
        );
        let body = format!(
            r#"{{"type":"devicestate","device":"{name}","state":"{}","cachable":{},"eid":"02:00:00:00:0a:01"}}"#,
            state.as_str(),
            dice.byte() & 1
        );
        let request = format!(
            "PUBLISH sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2;branch=z9hG4bK{number}\r\nFrom: <sip:a@a>;tag=1\r\n\
             To: <sip:a@127.0.0.1>\r\nCall-ID: {number}\r\nCSeq: 1 PUBLISH\r\nEvent: asterisk-devicestate\r\nExpires: 60\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len(),
            number = self.requests
        );
        let remote = SocketAddr::from(([127, 0, 0, 2], 5060));
        self.node
            .handle_datagram(self.now, TransportId(0), remote, request.as_bytes());
    }

    fn pass(&mut self, duration: Duration) {
        let until = self.now.at + duration;
        let seconds = usize::try_from(duration.as_secs()).unwrap_or(0) + 1;
        let mut count = 0;
        // Of a day only the first minutes are lived through.
        let lived = self.now.at + duration.min(Duration::from_secs(120));
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= lived) {
            self.step_to(at.max(self.now.at));
            self.node.handle_timeout(self.now);
            self.drain();
            count += 1;
            assert!(
                count < TIMERS_OF_A_SECOND * seconds,
                "a timer that is due for ever"
            );
        }
        self.step_to(until);
    }

    fn step_to(&mut self, at: Time) {
        let wall = self.now.wall + at.since(self.now.at);
        self.now = Now { at, wall };
    }

    /// Takes what the node has to put and to say: each is what others can read.
    fn drain(&mut self) {
        let mut outputs = 0;
        while let Some(command) = self.node.poll_bus() {
            outputs += 1;
            match command {
                BusCommand::Put { number, key, bytes } => {
                    let read = Key::parse(&key).expect("what it writes has a key");
                    let record = Record::parse(&read.subject, read.node, &bytes);
                    assert!(record.is_ok(), "{key}: {record:?}");
                    remember(&mut self.put, number);
                    remember(&mut self.written, (key, bytes));
                }
                BusCommand::Withdraw { number, .. } | BusCommand::Erase { number, .. } => {
                    remember(&mut self.put, number);
                }
                BusCommand::Say { topic, bytes } => {
                    let topic = Topic::parse(&topic).expect("what it says has a topic");
                    assert!(Said::parse(topic.what, &bytes).is_some());
                }
                BusCommand::Read { .. } => {}
            }
        }
        assert!(
            outputs < OUTPUTS_OF_AN_INPUT,
            "{outputs} outputs of one input"
        );
        while self.node.poll_transmit().is_some() {}
        while self.node.poll_event().is_some() {}
    }
}

fn born(config: &Arc<Config>, now: Now, life: u8) -> Node {
    let setup = Setup {
        config: Arc::clone(config),
        entity_id: [2, 0, 0, 0, 0, 1].into(),
        seed: [life; 32],
        secret: [7; 32],
    };
    let mut node = Node::new(now, setup);
    let bind = SocketAddr::from(([127, 0, 0, 1], 5060));
    node.start(now, &[(TransportId(0), bind)]);
    node
}

/// A number of a version, or a place: small ones, those of the time of the test, and those of times to come.
fn number(dice: &mut Dice<'_>) -> u64 {
    let low = u64::from(dice.byte());
    match dice.byte() % 4 {
        0 => low,
        1 | 2 => (1_767_225_600_000 << 10) + (low << 12),
        _ => u64::MAX - low,
    }
}

fn key(dice: &mut Dice<'_>) -> String {
    let scope = dice.choose(&["w", "w", "s"]);
    let (node, eid) = (dice.choose(&IDS), dice.choose(&IDS));
    let name = dice.choose(&["C1", "P2", "S3", "=20", "a.b"]);
    match dice.byte() % 8 {
        0 => format!("{scope}.{node}.n"),
        1 | 2 => format!("{scope}.{node}.y.{eid}"),
        3 | 4 => format!("{scope}.{node}.m.{eid}.{name}"),
        _ => format!("{scope}.{node}.d.{eid}.{name}"),
    }
}

/// What may stand under any key: only what a key is about is read of it.
fn record(dice: &mut Dice<'_>) -> String {
    let seq = number(dice);
    let by = dice.choose(&ENTITY_IDS);
    let by = match dice.byte() % 3 {
        0 => format!(r#","by":"{by}""#),
        _ => String::new(),
    };
    let lost = dice.choose(&[
        "",
        "",
        r#","lost":true"#,
        r#","gone":true"#,
        r#","needs":99"#,
    ]);
    let from = dice.choose(&["local", "peer", "ami", "moon"]);
    let state = dice.choose(&["INUSE", "NOT_INUSE", "INVALID", "what"]);
    let more = dice.choose(&[
        "",
        r#","ttl":3"#,
        r#","owner":true"#,
        r#","messages":1809639014400000"#,
    ]);
    let (life, term) = (dice.byte(), number(dice));
    format!(
        r#"{{"state":"{state}","new":{life},"old":1,"seq":{seq}{by}{lost},"from":"{from}","at":1767225600000{more},"life":{life},"hears":{},"home":{term},"tells":{},"speaker":{term},"peer":"x","name":"n","rank":{life},"protocol":2,"oldest":1,"program":"p","sites":{{"far":null}}}}"#,
        life & 1 == 0,
        life & 2 == 0
    )
}

fn said(what: &str, dice: &mut Dice<'_>) -> String {
    let (seq, life, id) = (number(dice), dice.byte(), dice.choose(&ENTITY_IDS));
    let written = match dice.byte() % 2 {
        0 => String::new(),
        _ => format!(
            r#","written":{{"seq":{seq},"at":{},"stream":{}}}"#,
            dice.byte(),
            dice.byte() % 5
        ),
    };
    match what {
        "beat" => format!(
            r#"{{"name":"n","rank":{},"protocol":{},"oldest":1,"life":{life},"seq":{seq},"states":1{written},"read":{{"main":{}}}}}"#,
            dice.byte(),
            dice.byte() % 5,
            dice.byte()
        ),
        "hub" => format!(r#"{{"hub":"{id}","seq":{seq}{written}}}"#),
        _ => format!(r#"{{"device":"C1","state":"BUSY","eid":"{id}","by":"{id}","seq":{seq}}}"#),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_is_said_on_the_bus_is_borne(data in prop::collection::vec(any::<u8>(), 0..1200)) {
            cluster(&data);
        }
    }

    /// Nodes, hubs, sites, servers and names without number, all of them well said.
    #[test]
    fn whoever_speaks_of_more_than_there_can_be_takes_no_more_room() {
        let mut world = World::new();
        world.give(BusInput::Up { server: "s" });
        world.give(BusInput::Opened {
            site: "main",
            incarnation: 1,
            whole: false,
            pending: 0,
            last: 9,
        });
        let seq = 1_767_225_600_000u64 << 10;
        for number in 0..40_000u32 {
            let [_, _, high, low] = number.to_be_bytes();
            let (id, eid) = (
                format!("0200000a{high:02x}{low:02x}"),
                format!("02:00:00:0a:{high:02x}:{low:02x}"),
            );
            let site = format!("site{number}");
            let written = format!(r#""written":{{"seq":{seq},"at":1,"stream":1}}"#);
            for (topic, text) in [
                (
                    format!("w.{site}.{id}.beat"),
                    format!(r#"{{"protocol":3,"life":1767225600000,"seq":{seq},{written}}}"#),
                ),
                (
                    format!("w.main.{id}.hub"),
                    format!(r#"{{"hub":"{eid}","seq":{seq},{written}}}"#),
                ),
                (
                    format!("w.main.{id}.pass"),
                    format!(
                        r#"{{"device":"P{number}","state":"BUSY","eid":"{eid}","by":"{eid}","seq":{seq}}}"#
                    ),
                ),
            ] {
                let bytes = text.as_bytes();
                world.give(BusInput::Said {
                    topic: &topic,
                    bytes,
                });
            }
            for (key, text) in [
                (
                    format!("w.020000000002.y.{id}"),
                    r#"{"life":1,"hears":true,"tells":true,"peer":"x"}"#.to_owned(),
                ),
                (
                    format!("w.{id}.d.020000000002.P{number}"),
                    format!(r#"{{"state":"BUSY","seq":{seq}}}"#),
                ),
            ] {
                world.give(BusInput::Record {
                    site: "main",
                    at: 10 + u64::from(number),
                    pending: 0,
                    key: &key,
                    value: Some(text.as_bytes()),
                });
            }
            world.drain();
        }
        for (what, held, most) in world.node.kept_of_bus() {
            assert!(held <= most, "{held} {what}, more than {most}");
        }
    }
}
