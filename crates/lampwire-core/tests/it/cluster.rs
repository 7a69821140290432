//! Nodes that are one hub over a bus. The bus here is one that works or is away; all that may go wrong on it is thrown at the nodes in the simulation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lampwire_bus::{Key, Record, Subject, Way};
use lampwire_core::{BusCommand, BusInput, ClusterStage, Now, Place, Source, Verdict, limits};
use lampwire_sip::{DeviceState, EntityId};

use crate::bench::{BEGIN, Bench, Request};
use crate::hub::short;

/// An Asterisk: what the nodes call it, where it is, its entity id.
type Asterisk = (&'static str, &'static str, &'static str);

const X: Asterisk = ("x", "127.0.0.11:5060", "02:00:00:00:00:0a");
const Y: Asterisk = ("y", "127.0.0.12:5060", "02:00:00:00:00:0b");

/// The stream that is the bucket.
const INCARNATION: u64 = 7;

/// How long the states of a server that is lost are held.
const HOLD: u64 = 20;

fn config(node: usize, more: &str, attached: &[Asterisk]) -> String {
    let mut config = format!(
        "[lampwire]\ntype=lampwire\nentity_id={}\nhttp_bind=\nrelay=yes\nhold_time={HOLD}\n\
         [udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:5060\n\
         [cluster]\ntype=cluster\nurl=nats://127.0.0.1\nnode=node{node}\nrank={node}\n{more}\n",
        entity_id(node)
    );
    for (name, address, eid) in attached {
        let host = address.trim_end_matches(":5060");
        config.push_str(&format!(
            "[{name}]\ntype=endpoint\n@entity_id={eid}\n\
             [{name}-device]\ntype=outbound-publish\nserver_uri=sip:hub@{host}\nevent=asterisk-devicestate\n@lanes=1\n@resync=0\n@probe=0\n@qualify_frequency=0\n\
             [{name}-mwi]\ntype=outbound-publish\nserver_uri=sip:hub@{host}\nevent=asterisk-mwi\n@lanes=1\n@resync=0\n@probe=0\n@qualify_frequency=0\n\
             [{name}]\ntype=inbound-publication\nendpoint={name}\nevent_asterisk-devicestate={name}\nevent_asterisk-mwi={name}\n\
             [{name}]\ntype=asterisk-publication\ndevicestate_publish={name}-device\nmailboxstate_publish={name}-mwi\ndevice_state=yes\nmailbox_state=yes\n"
        ));
    }
    config
}

fn entity_id(node: usize) -> EntityId {
    [2, 0, 0, 0, 1, u8::try_from(node).unwrap()].into()
}

/// Nodes, a bus between them that takes no time, and Asterisks that grant whatever they are told.
#[derive(Default)]
struct Cluster {
    nodes: Vec<Option<Bench>>,
    /// Those that have a connection.
    up: BTreeSet<usize>,
    readers: BTreeSet<usize>,
    bucket: BTreeMap<String, (u64, Option<Vec<u8>>)>,
    last: u64,
    /// How often somebody began to read the bucket.
    reads: usize,
    /// Which node has told which Asterisk what since last asked.
    told: Vec<(usize, &'static str, String)>,
    /// The clock of all, once it has moved.
    now: Option<Now>,
    /// The highest number of a version with which each Asterisk was told each name.
    newest: BTreeMap<(&'static str, String), u64>,
}

impl Cluster {
    /// Nodes with these Asterisks, up and joined.
    fn new(attached: &[&[Asterisk]]) -> Self {
        let mut cluster = Self::default();
        for (node, attached) in attached.iter().enumerate() {
            cluster.start(node, &config(node, "", attached));
        }
        cluster.pass(2);
        cluster.told.clear();
        cluster
    }

    /// A node begins with nothing but its configuration, and is connected at once.
    fn start(&mut self, node: usize, config: &str) {
        let now = self.now.unwrap_or(BEGIN);
        let bench = Bench::at(config, entity_id(node), now);
        self.nodes
            .resize_with(self.nodes.len().max(node + 1), || None);
        self.nodes[node] = Some(bench);
        self.connect(node);
        self.settle();
    }

    /// A node dies.
    fn kill(&mut self, node: usize) {
        self.nodes[node] = None;
        self.up.remove(&node);
        self.readers.remove(&node);
    }

    fn connect(&mut self, node: usize) {
        self.up.insert(node);
        self.give(node, BusInput::Up { server: "test" });
    }

    fn disconnect(&mut self, node: usize) {
        self.up.remove(&node);
        self.readers.remove(&node);
        self.give(node, BusInput::Down { why: "cut" });
    }

    fn give(&mut self, node: usize, input: BusInput<'_>) {
        if let Some(bench) = &mut self.nodes[node] {
            bench.node.handle_bus(bench.now, input);
        }
    }

    fn node(&mut self, node: usize) -> &mut Bench {
        self.nodes[node].as_mut().unwrap()
    }

    /// Everything that anybody has to say is said, until nobody has anything to say.
    fn settle(&mut self) {
        for turn in 0.. {
            assert!(turn < 10_000, "it does not fall quiet");
            let mut busy = false;
            for node in 0..self.nodes.len() {
                busy |= self.settle_node(node);
            }
            if !busy {
                return;
            }
        }
    }

    fn settle_node(&mut self, node: usize) -> bool {
        let Some(bench) = &mut self.nodes[node] else {
            return false;
        };
        let mut busy = false;
        for request in bench.requests() {
            busy = true;
            let mut all = [X, Y].into_iter();
            let to = all.find(|it| request.to == it.1.parse().unwrap()).unwrap();
            if !request.body().is_empty() && !request.body().contains("\"refresh\"") {
                self.told.push((node, to.0, short(request.body())));
                if let Some(seq) = number_of(request.body()) {
                    let name = short(request.body()).split(' ').next().unwrap().to_owned();
                    let newest = self.newest.entry((to.0, name)).or_default();
                    *newest = seq.max(*newest);
                }
            }
            bench.grant(&request, "tag");
        }
        while let Some(command) = self.node(node).node.poll_bus() {
            busy = true;
            if self.up.contains(&node) {
                self.obey(node, command);
            }
        }
        busy
    }

    fn obey(&mut self, node: usize, command: BusCommand) {
        match command {
            BusCommand::Read { from, .. } => self.read(node, from),
            BusCommand::Put { number, key, bytes } => self.store(node, number, key, Some(bytes)),
            BusCommand::Withdraw { number, key } => self.store(node, number, key, None),
            BusCommand::Erase { number, key, at } => {
                if self
                    .bucket
                    .get(&key)
                    .is_some_and(|(stands, _)| *stands <= at)
                {
                    self.bucket.remove(&key);
                }
                let result = Ok(self.last);
                self.give(node, BusInput::Stored { number, result });
            }
            BusCommand::Say { topic, bytes } => {
                for other in self.up.clone().into_iter().filter(|it| *it != node) {
                    let (topic, bytes) = (&*topic, &*bytes);
                    self.give(other, BusInput::Said { topic, bytes });
                }
            }
        }
    }

    fn read(&mut self, node: usize, from: Option<Place>) {
        self.reads += 1;
        let first = from.map_or(0, |place| place.at);
        let found = self.bucket.iter().filter(|(_, (at, _))| *at > first);
        let mut found: Vec<_> = found
            .map(|(key, (at, value))| (*at, key.clone(), value.clone()))
            .collect();
        found.sort();
        let mut pending = found.len() as u64;
        self.readers.insert(node);
        let opened = BusInput::Opened {
            site: "main",
            incarnation: INCARNATION,
            whole: from.is_none(),
            pending,
            last: self.last,
        };
        self.give(node, opened);
        for (at, key, value) in found {
            pending -= 1;
            let record = BusInput::Record {
                site: "main",
                at,
                pending,
                key: &key,
                value: value.as_deref(),
            };
            self.give(node, record);
        }
    }

    fn store(&mut self, node: usize, number: u64, key: String, value: Option<Vec<u8>>) {
        self.last += 1;
        let at = self.last;
        self.bucket.insert(key.clone(), (at, value.clone()));
        self.give(
            node,
            BusInput::Stored {
                number,
                result: Ok(at),
            },
        );
        for reader in self.readers.clone() {
            let record = BusInput::Record {
                site: "main",
                at,
                pending: 0,
                key: &key,
                value: value.as_deref(),
            };
            self.give(reader, record);
        }
    }

    /// Lets seconds pass for everybody.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            for bench in self.nodes.iter_mut().flatten() {
                bench.pass(Duration::from_millis(100));
                self.now = Some(bench.now);
            }
            self.settle();
        }
    }

    /// An Asterisk says something to a node.
    fn say(&mut self, node: usize, asterisk: Asterisk, device: &str, state: &str) {
        let (name, address, eid) = asterisk;
        let body = format!(
            r#"{{"type":"devicestate","device":"{device}","state":"{state}","cachable":1,"eid":"{eid}"}}"#
        );
        self.publish(node, (name, address), "asterisk-devicestate", &body);
    }

    fn publish(&mut self, node: usize, (name, address): (&str, &str), event: &str, body: &str) {
        let request = Request::new()
            .user(name)
            .from(address)
            .uri(&format!("sip:{name}@127.0.0.1"))
            .event(event)
            .body(body);
        let answer = self.node(node).ask(&request);
        assert_eq!(answer.status(), 200, "{answer:?}");
        self.settle();
    }

    /// What an Asterisk was told since last asked, with who told it.
    fn told(&mut self, asterisk: Asterisk) -> Vec<(usize, String)> {
        let told = std::mem::take(&mut self.told);
        let (of_it, rest) = told.into_iter().partition(|(_, to, _)| *to == asterisk.0);
        self.told = rest;
        let of_it: Vec<(usize, &str, String)> = of_it;
        of_it
            .into_iter()
            .map(|(node, _, what)| (node, what))
            .collect()
    }

    /// What a node holds of a device of an Asterisk's, and whether it counts.
    fn held(&mut self, node: usize, device: &str, of: Asterisk) -> Option<(DeviceState, bool)> {
        let view = self.node(node).node.device(device)?;
        let eid: EntityId = of.2.parse().unwrap();
        let entity = view.entities.iter().find(|it| it.eid == eid)?;
        Some((entity.state, !entity.lost))
    }

    /// How a node says that it is attached to an Asterisk.
    fn way(&self, node: usize, asterisk: Asterisk) -> Option<Way> {
        let found = self.bucket.iter().find_map(|(text, (_, value))| {
            let key = Key::parse(text)?;
            let eid = asterisk.2.parse().unwrap();
            let is_it = key.node == entity_id(node) && key.subject == Subject::Way { eid };
            let bytes = value.as_ref().filter(|_| is_it)?;
            Some(Record::parse(&key.subject, key.node, bytes).unwrap())
        });
        match found? {
            Record::Way(way) => Some(way),
            other => panic!("{other:?}"),
        }
    }
}

const IN_USE: Option<(DeviceState, bool)> = Some((DeviceState::InUse, true));

/// The number of the version that a body tells.
fn number_of(body: &str) -> Option<u64> {
    let digits = body.split_once("\"seq\":")?.1;
    let end = digits.find(|it: char| !it.is_ascii_digit())?;
    digits[..end].parse().ok()
}

fn by(node: usize, what: &str) -> (usize, String) {
    (node, what.to_owned())
}

#[test]
fn a_node_that_hears_a_server_later_than_its_home_tells_nothing_a_second_time() {
    let mut cluster = Cluster::new(&[&[X], &[X], &[Y]]);
    // All of a call comes to the home first, and a second later to the other node.
    cluster.say(0, X, "PJSIP/1", "RINGING");
    cluster.say(0, X, "PJSIP/1", "INUSE");
    cluster.pass(1);
    cluster.say(1, X, "PJSIP/1", "RINGING");
    cluster.pass(1);
    cluster.say(1, X, "PJSIP/1", "INUSE");
    cluster.pass(10);
    assert_eq!(
        cluster.told(Y),
        [by(2, "PJSIP/1 RINGING 0a"), by(2, "PJSIP/1 INUSE 0a")]
    );
    // The other way round the home is the slower one, and nothing is said before it has heard it, and nothing twice.
    cluster.say(1, X, "PJSIP/1", "ONHOLD");
    cluster.say(0, X, "PJSIP/1", "ONHOLD");
    cluster.pass(10);
    assert_eq!(cluster.told(Y), [by(2, "PJSIP/1 ONHOLD 0a")]);
}

#[test]
fn what_the_home_does_not_hear_is_said_by_whoever_did() {
    let mut cluster = Cluster::new(&[&[X], &[X], &[Y]]);
    for node in [0, 1] {
        cluster.say(node, X, "PJSIP/2", "INUSE");
    }
    cluster.told(Y);
    cluster.say(1, X, "PJSIP/1", "INUSE");
    assert_eq!(cluster.held(2, "PJSIP/1", X), None);
    cluster.pass(limits::SHADOW_PATIENCE.as_secs() + 1);
    assert_eq!(cluster.held(2, "PJSIP/1", X), IN_USE);
    assert_eq!(cluster.told(Y), [by(2, "PJSIP/1 INUSE 0a")]);
}

#[test]
fn another_node_takes_the_roles_of_one_that_dies_and_gives_them_back() {
    let mut cluster = Cluster::new(&[&[X], &[X], &[Y]]);
    for node in [0, 1] {
        cluster.say(node, X, "PJSIP/1", "INUSE");
    }
    cluster.pass(1);
    let first = cluster.way(0, X).unwrap();
    assert!(first.home > 0 && first.speaker > 0, "{first:?}");
    assert!(
        cluster
            .way(1, X)
            .is_some_and(|way| way.hears && way.home < first.home)
    );
    cluster.say(2, Y, "PJSIP/2", "INUSE");
    cluster.pass(1);
    assert_eq!(cluster.told(X), [by(0, "PJSIP/2 INUSE 0b")]);

    cluster.kill(0);
    cluster.pass(HOLD + 30);
    // Nothing is lost with it: another hears the server.
    for node in [1, 2] {
        assert_eq!(cluster.held(node, "PJSIP/1", X), IN_USE, "at node {node}");
    }
    let second = cluster.way(1, X).unwrap();
    assert!(second.home > first.home, "{second:?}");
    cluster.told(X);
    cluster.say(1, X, "PJSIP/1", "ONHOLD");
    cluster.say(2, Y, "PJSIP/2", "BUSY");
    cluster.pass(1);
    assert_eq!(
        cluster.held(2, "PJSIP/1", X),
        Some((DeviceState::OnHold, true))
    );
    assert_eq!(cluster.told(X), [by(1, "PJSIP/2 BUSY 0b")]);

    cluster.start(0, &config(0, "", &[X]));
    // It has no way to the server before that speaks to it again.
    cluster.pass(2);
    cluster.say(0, X, "PJSIP/1", "ONHOLD");
    cluster.pass(5);
    let third = cluster.way(0, X).unwrap();
    assert!(
        third.home > second.home && third.speaker > second.speaker.min(first.speaker),
        "{third:?}"
    );
    cluster.told(X);
    cluster.say(2, Y, "PJSIP/2", "INUSE");
    cluster.pass(1);
    assert_eq!(cluster.told(X), [by(0, "PJSIP/2 INUSE 0b")]);
}

#[test]
fn a_node_that_joins_has_everything_after_one_reading_and_tells_nothing_before() {
    let mut cluster = Cluster::new(&[&[X]]);
    for device in 0..300 {
        cluster.say(0, X, &format!("PJSIP/{device}"), "INUSE");
    }
    let before = cluster.reads;
    cluster.start(1, &config(1, "", &[Y]));
    assert_eq!(cluster.reads, before + 1);
    for device in 0..300 {
        assert_eq!(cluster.held(1, &format!("PJSIP/{device}"), X), IN_USE);
    }
    cluster.pass(3);
    assert_eq!(cluster.reads, before + 1);
    let told = cluster.told(Y);
    let names: BTreeSet<&str> = told.iter().map(|(_, what)| what.as_str()).collect();
    assert_eq!((told.len(), names.len()), (300, 300), "each once");
}

#[test]
fn while_the_bus_is_away_each_node_serves_its_own_and_then_all_agree() {
    let mut cluster = Cluster::new(&[&[X, Y], &[X]]);
    for node in [0, 1] {
        cluster.say(node, X, "PJSIP/1", "NOT_INUSE");
    }
    cluster.pass(3);
    cluster.told(Y);
    for node in [0, 1] {
        cluster.disconnect(node);
    }
    cluster.pass(5);
    cluster.say(0, X, "PJSIP/1", "INUSE");
    cluster.pass(1);
    assert_eq!(cluster.told(Y), [by(0, "PJSIP/1 INUSE 0a")]);
    assert_eq!(
        cluster.held(1, "PJSIP/1", X),
        Some((DeviceState::NotInUse, true))
    );
    // It is held beyond any time: nothing says that it is not so.
    cluster.pass(3 * HOLD);
    cluster.say(0, Y, "PJSIP/2", "RINGING");
    for node in [0, 1] {
        cluster.connect(node);
    }
    cluster.pass(3);
    for node in [0, 1] {
        assert_eq!(cluster.held(node, "PJSIP/1", X), IN_USE, "at node {node}");
        let ringing = Some((DeviceState::Ringing, true));
        assert_eq!(cluster.held(node, "PJSIP/2", Y), ringing, "at node {node}");
    }
    let way = cluster.way(0, X).unwrap();
    assert!(way.home > cluster.way(1, X).unwrap().home);
}

#[test]
fn a_node_of_the_first_protocol_stands_beside_one_of_the_newest() {
    let mut cluster = Cluster::default();
    cluster.start(0, &config(0, "protocol=1", &[X]));
    cluster.start(1, &config(1, "", &[Y]));
    cluster.pass(2);
    for (node, asterisk) in [(0, X), (1, Y)] {
        cluster.say(node, asterisk, "PJSIP/1", "INUSE");
        let (name, address, eid) = asterisk;
        let body = format!(
            r#"{{"type":"mailboxstate","uniqueid":"{name}@default","old":0,"new":{node},"eid":"{eid}"}}"#
        );
        cluster.publish(node, (name, address), "asterisk-mwi", &body);
    }
    cluster.pass(2);
    for node in [0, 1] {
        assert_eq!(cluster.held(node, "PJSIP/1", X), IN_USE);
        assert_eq!(cluster.held(node, "PJSIP/1", Y), IN_USE);
        for (mailbox, new) in [("x@default", 0), ("y@default", 1)] {
            let view = cluster.node(node).node.mailbox(mailbox).unwrap();
            assert_eq!((view.new, view.old), (new, 0), "{mailbox} at node {node}");
        }
        let notices = cluster.node(node).notices();
        assert!(!notices.contains(&"protocol-too-new"), "{notices:?}");
    }
    assert!(cluster.told(X).contains(&by(0, "PJSIP/1 INUSE 0b")));
    assert!(cluster.told(Y).contains(&by(1, "PJSIP/1 INUSE 0a")));
}

#[test]
fn what_an_earlier_life_told_and_did_not_put_into_the_bucket_is_overtaken_by_what_the_server_says()
{
    // Y is a Lampwire here, which compares versions.
    let mut cluster = Cluster::new(&[&[X, Y]]);
    let refresh = format!(r#"{{"type":"refresh","eid":"{}","life":1}}"#, Y.2);
    let ask = |cluster: &mut Cluster| {
        cluster.publish(0, (Y.0, Y.1), "asterisk-devicestate", &refresh);
        cluster.pass(2);
    };
    let told = |cluster: &Cluster| cluster.newest[&(Y.0, "PJSIP/1".to_owned())];
    cluster.say(0, X, "PJSIP/1", "INUSE");
    ask(&mut cluster);
    cluster.disconnect(0);
    cluster.say(0, X, "PJSIP/1", "BUSY");
    cluster.pass(1);
    let busy = told(&cluster);
    cluster.kill(0);
    cluster.start(0, &config(0, "", &[X, Y]));
    ask(&mut cluster);
    assert_eq!(
        cluster.held(0, "PJSIP/1", X),
        IN_USE,
        "as the bucket has it"
    );
    cluster.say(0, X, "PJSIP/1", "INUSE");
    cluster.pass(2);
    let newest = told(&cluster);
    assert!(newest > busy);
    // That is done once.
    cluster.say(0, X, "PJSIP/1", "INUSE");
    cluster.pass(2);
    assert_eq!(told(&cluster), newest);
}

const COUNTS: [&str; 2] = ["asterisk-mwi", "100@default"];

impl Cluster {
    /// An Asterisk says to a node how many messages a mailbox has.
    fn count(&mut self, node: usize, asterisk: Asterisk, new: u16) {
        let (name, address, eid) = asterisk;
        let [event, mailbox] = COUNTS;
        let body = format!(
            r#"{{"type":"mailboxstate","uniqueid":"{mailbox}","old":0,"new":{new},"eid":"{eid}"}}"#
        );
        self.publish(node, (name, address), event, &body);
    }

    /// Whose value of the mailbox counts at each node, and how many new messages it has.
    fn counts(&mut self) -> Vec<(String, u16)> {
        let nodes = self.nodes.iter().flatten();
        nodes
            .map(|bench| {
                let view = bench.node.mailbox(COUNTS[1]).unwrap();
                (view.eid.to_string(), view.new)
            })
            .collect()
    }
}

#[test]
fn a_mailbox_has_one_owner_whatever_the_order_in_which_nodes_hear_of_it() {
    let mut cluster = Cluster::new(&[&[X], &[Y]]);
    for node in [0, 1] {
        cluster.disconnect(node);
    }
    cluster.count(0, X, 1);
    cluster.pass(2);
    cluster.count(1, Y, 3);
    cluster.pass(1);
    for node in [0, 1] {
        cluster.connect(node);
    }
    cluster.pass(3);
    // Each has heard the other's last, and Y reported messages last.
    let of_y = |new| (Y.2.to_owned(), new);
    assert_eq!(cluster.counts(), [of_y(3), of_y(3)]);
    // Whoever merely has none does not take it over, and an owner that has none any more stays the owner.
    cluster.count(1, Y, 0);
    cluster.count(0, X, 0);
    cluster.pass(1);
    cluster.start(2, &config(2, "", &[]));
    cluster.pass(1);
    assert_eq!(cluster.counts(), [of_y(0), of_y(0), of_y(0)]);
    cluster.count(0, X, 2);
    cluster.pass(1);
    let of_x = (X.2.to_owned(), 2);
    assert_eq!(cluster.counts(), [of_x.clone(), of_x.clone(), of_x]);
}

#[test]
fn each_node_shows_the_whole_cluster() {
    let mut cluster = Cluster::new(&[&[X], &[X, Y]]);
    for node in [0, 1] {
        cluster.say(node, X, "PJSIP/1", "INUSE");
    }
    cluster.say(1, Y, "PJSIP/1", "NOT_INUSE");
    cluster.pass(3);
    for node in [0, 1] {
        let bench = cluster.node(node);
        let view = bench.node.cluster(bench.now).unwrap();
        assert_eq!(view.stage, ClusterStage::Joined);
        assert_eq!((view.link.as_deref(), view.waiting), (Ok("test"), 0));
        let mut nodes: Vec<_> = view.nodes.iter().collect();
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        let told: Vec<_> = nodes
            .iter()
            .map(|it| (&*it.name, it.alive, it.own, it.states, it.homes, it.speaks))
            .collect();
        assert_eq!(
            told,
            [
                ("node0", true, node == 0, 2, 1, 1),
                ("node1", true, node == 1, 2, 1, 1)
            ]
        );
        assert!(
            nodes.iter().all(|it| it.lag == 0 && it.program.is_some()),
            "{nodes:?}"
        );
        let servers: Vec<_> = view
            .servers
            .iter()
            .map(|it| (it.home.as_deref(), it.speaker.as_deref(), it.ways.len()))
            .collect();
        let (first, second) = (Some("node0"), Some("node1"));
        assert_eq!(servers, [(first, first, 2), (second, second, 1)]);
        let device = bench.node.device("PJSIP/1").unwrap();
        let peers: Vec<_> = device
            .entities
            .iter()
            .map(|it| it.peer.as_deref())
            .collect();
        let of_x = if node == 0 { "x" } else { "node0" };
        let of_y = if node == 1 { "y" } else { "node1" };
        assert_eq!(peers, [Some(of_x), Some(of_y)]);
    }
    // Of the node that speaks instead an explanation says so.
    let bench = cluster.node(1);
    let told = bench
        .node
        .explain_device("PJSIP/1")
        .unwrap()
        .trail
        .publishers;
    let to_x = told.iter().find(|it| it.publisher == "x-device").unwrap();
    assert_eq!(to_x.verdict, Verdict::AnotherSpeaks("node0".to_owned()));
    cluster.kill(0);
    cluster.pass(limits::BUS_SILENT.as_secs() + 3);
    let bench = cluster.node(1);
    let view = bench.node.cluster(bench.now).unwrap();
    assert!(view.nodes.iter().any(|it| it.name == "node0" && !it.alive));
    assert!(
        view.servers
            .iter()
            .all(|it| it.home.as_deref() == Some("node1"))
    );
}

#[test]
fn what_came_from_the_cluster_is_there_after_a_restart_and_taken_back_by_a_node_that_is_in_none() {
    let mut cluster = Cluster::new(&[&[X], &[Y]]);
    cluster.say(0, X, "PJSIP/1", "INUSE");
    cluster.pass(2);
    let text = config(1, "", &[Y]);
    let bench = cluster.nodes[1].take().unwrap();
    let bench = bench.restarted(&text, true);
    let entity = bench.node.device("PJSIP/1").unwrap().entities.remove(0);
    assert_eq!(
        (entity.state, entity.source),
        (DeviceState::InUse, Source::Cluster)
    );
    let start = text.find("[cluster]").unwrap();
    let end = text[start + 1..].find("\n[").unwrap() + start + 1;
    let alone = format!("{}{}", &text[..start], &text[end..]);
    let mut bench = bench.restarted(&alone, true);
    assert_eq!(bench.node.device("PJSIP/1"), None);
    let mut told = Vec::new();
    for _ in 0..5 {
        bench.pass(Duration::from_secs(1));
        for request in bench.requests() {
            told.push(request.body().to_owned());
            bench.grant(&request, "tag");
        }
    }
    let last = told.iter().rfind(|it| it.contains("PJSIP/1"));
    assert!(last.is_some_and(|it| it.contains("INVALID")), "{told:?}");
}
