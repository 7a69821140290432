//! Nodes that are one hub over a bus, with Asterisks and Lampwires that are attached to one or two of them: whatever breaks, in the end everybody
//! holds of everybody what that has said last, no lamp of a dead one stays lit, nothing goes back to whose it is, and the wires fall quiet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use lampwire_conf::{MapSource, Severity, load};
use lampwire_core::{Event, Time};
use lampwire_sip::{DeviceState, EventPackage, Message, StateChange};

use crate::asterisk::{self, Peer};
use crate::bus::Weather;
use crate::fleet::{Fleet, Observer, Set, address_of, entity_id_of};
use crate::member::Role;
use crate::network::{Conditions, Packet};
use crate::plan::number;
use crate::random::Dice;
use crate::referee::said;

/// How long a lost node's states are held in these worlds.
const HOLD: Duration = Duration::from_secs(5);

/// After the faults: a node that is gone is noticed (20 s), held, and swept over two dumps; publishers that have backed off come again.
const AGREEMENT: Duration = Duration::from_secs(240);

/// What a seed came to.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// States that people set.
    pub changes: u64,
    /// What was stored in buckets.
    pub stored: u64,
    /// Requests that one change at the end led to.
    pub of_one_change: u64,
    /// The time from the end of the faults until all agreed.
    pub converged_after: Duration,
}

/// Runs a seed.
///
/// # Errors
/// What did not hold, with the arrangement.
pub fn run(seed: u64) -> Result<Outcome, String> {
    run_with(seed, false)
}

/// Runs a seed, and prints what happens where `trace` is set.
///
/// # Errors
/// As of [`run`].
pub fn run_with(seed: u64, trace: bool) -> Result<Outcome, String> {
    let mut world = World::new(seed);
    world.fleet.trace(trace);
    world
        .run()
        .map_err(|wrong| format!("seed {seed}: {wrong}\n{:?}", world.shape))
}

/// Who is attached to whom.
#[derive(Clone, Debug)]
struct Shape {
    nodes: usize,
    members: usize,
    /// The site of each node.
    sites: Vec<String>,
    ranks: Vec<usize>,
    /// The newest protocol that each speaks.
    protocols: Vec<usize>,
    /// The leaves that are stock Asterisks.
    stock: BTreeSet<usize>,
    /// Node and leaf.
    links: BTreeSet<(usize, usize)>,
}

impl Shape {
    fn throw(dice: &mut Dice) -> Self {
        let nodes = 2 + dice.below(3);
        let leaves = 2 + dice.below(4);
        let two_sites = dice.below(3) == 0;
        let mut links = BTreeSet::new();
        for leaf in nodes..nodes + leaves {
            links.insert((dice.below(nodes), leaf));
            if dice.below(2) == 0 {
                links.insert((dice.below(nodes), leaf));
            }
        }
        let site = |dice: &mut Dice| match two_sites && dice.below(2) == 0 {
            true => "far".to_owned(),
            false => "main".to_owned(),
        };
        let all = nodes..nodes + leaves;
        Self {
            nodes,
            members: nodes + leaves,
            sites: (0..nodes).map(|_| site(dice)).collect(),
            ranks: (0..nodes).map(|_| dice.below(3)).collect(),
            protocols: (0..nodes)
                .map(|_| match dice.below(4) {
                    0 => 1 + dice.below(2),
                    _ => 3,
                })
                .collect(),
            stock: all.filter(|_| dice.below(3) > 0).collect(),
            links,
        }
    }

    fn is_node(&self, of: usize) -> bool {
        of < self.nodes
    }

    fn attached(&self, of: usize) -> impl Iterator<Item = usize> + '_ {
        self.links.iter().filter_map(move |&(node, leaf)| match of {
            it if it == node => Some(leaf),
            it if it == leaf => Some(node),
            _ => None,
        })
    }

    fn role(&self, of: usize) -> Role {
        if self.stock.contains(&of) {
            return self.asterisk(of);
        }
        let relay = if self.is_node(of) { "yes" } else { "no" };
        let mut text = format!(
            "[lampwire]\ntype=lampwire\nhttp_bind=\nrelay={relay}\nhold_time={}\n\
             [udp]\ntype=transport\nprotocol=udp\nbind={}\n",
            HOLD.as_secs(),
            address_of(number(of))
        );
        if self.is_node(of) {
            let (site, rank, protocol) = (&self.sites[of], self.ranks[of], self.protocols[of]);
            let _ = write!(
                text,
                "[cluster]\ntype=cluster\nurl=nats://127.0.0.1\nnode=node{of}\nsite={site}\nrank={rank}\nprotocol={protocol}\n"
            );
        }
        for peer in self.attached(of) {
            let address = address_of(number(peer)).ip();
            // Its only question may be lost, and with it who it is.
            let known = match self.stock.contains(&peer) {
                true => format!("@entity_id={}\n", entity_id_of(number(peer))),
                false => String::new(),
            };
            let _ = write!(
                text,
                "[node{peer}]\ntype=endpoint\nidentify_by=ip\n{known}\
                 [node{peer}]\ntype=identify\nendpoint=node{peer}\nmatch={address}\n\
                 [node{peer}-device]\ntype=outbound-publish\nserver_uri=sip:node{of}@{address}\nevent=asterisk-devicestate\n\
                 @lanes=2\n@resync=0\n@probe=2\n@qualify_timeout=1\n@qualify_frequency=5\nexpiration=120\n\
                 [node{peer}-mailbox]\ntype=outbound-publish\nserver_uri=sip:node{of}@{address}\nevent=asterisk-mwi\n\
                 @lanes=1\n@probe=2\n@qualify_timeout=1\n@qualify_frequency=5\nexpiration=120\n\
                 [node{peer}]\ntype=inbound-publication\nendpoint=node{peer}\nevent_asterisk-devicestate=node{peer}\nevent_asterisk-mwi=node{peer}\n\
                 [node{peer}]\ntype=asterisk-publication\ndevicestate_publish=node{peer}-device\ndevice_state=yes\n\
                 mailboxstate_publish=node{peer}-mailbox\nmailbox_state=yes\n"
            );
        }
        let mut source = MapSource::new([("node.conf", text.as_str())]);
        let (config, findings) = load("node.conf", &mut source);
        let error = findings.iter().find(|it| it.severity == Severity::Error);
        assert!(error.is_none(), "{error:?}\n{text}");
        Role::Lampwire(Arc::new(config))
    }

    fn asterisk(&self, of: usize) -> Role {
        let peers = self.attached(of).map(|peer| {
            Peer::new(
                &format!("node{peer}"),
                address_of(number(peer)),
                &format!("node{of}"),
            )
        });
        Role::Stock(asterisk::Settings {
            address: address_of(number(of)),
            entity_id: entity_id_of(number(of)),
            peers: peers.collect(),
            boot: Duration::from_secs(2),
            lost_races: 20,
        })
    }
}

struct World {
    shape: Shape,
    fleet: Fleet,
    dice: Dice,
    /// What each member has said of its devices in its present life, and which names it ever had.
    said: Vec<BTreeMap<String, DeviceState>>,
    ever: Vec<BTreeSet<String>>,
    /// The same of its mailboxes: each has its own.
    boxes: Vec<BTreeMap<String, (u16, u16)>>,
    /// Nodes that were killed: what their programs set last may not have left them.
    killed: BTreeSet<usize>,
    watch: Watch,
    changes: u64,
}

/// What is seen on the wire.
#[derive(Default)]
struct Watch {
    told: u64,
    /// What goes to it is not counted: it is asked again and again whether it is there.
    dead: Option<std::net::SocketAddr>,
    wrong: Option<String>,
}

impl Observer for Watch {
    fn sent(&mut self, at: Time, from: usize, packet: &Packet) {
        let Ok(message) = Message::parse(&packet.bytes) else {
            return;
        };
        for event in [EventPackage::DeviceState, EventPackage::Mwi] {
            for change in said(&message, event).unwrap_or_default() {
                let (StateChange::Device { eid, .. } | StateChange::Mailbox { eid, .. }) = change
                else {
                    continue;
                };
                self.told += u64::from(self.dead != Some(packet.to));
                let own = (1..=u8::MAX).find(|number| address_of(*number) == packet.to);
                if own.is_some_and(|number| entity_id_of(number) == eid) {
                    let text = format!(
                        "at {at:?} node {from} tells {} of its own: {change:?}",
                        packet.to
                    );
                    self.wrong.get_or_insert(text);
                }
            }
        }
    }

    fn happened(&mut self, _: Time, _: usize, _: &Event) {}
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x434c_5553);
        let shape = Shape::throw(&mut dice);
        let roles = (0..shape.members).map(|index| shape.role(index)).collect();
        Self {
            fleet: Fleet::new(seed, roles),
            said: vec![BTreeMap::new(); shape.members],
            ever: vec![BTreeSet::new(); shape.members],
            boxes: vec![BTreeMap::new(); shape.members],
            shape,
            dice,
            killed: BTreeSet::new(),
            watch: Watch::default(),
            changes: 0,
        }
    }

    fn run(&mut self) -> Result<Outcome, String> {
        for index in 0..self.shape.members {
            self.fleet.start(index);
        }
        for _ in 0..12 {
            self.round();
            self.seen()?;
        }
        self.make_peace();
        let ended = self.fleet.at();
        let mut wrong = self.disagreement();
        while wrong.is_some() {
            if self.fleet.at().since(ended) > AGREEMENT {
                return Err(wrong.unwrap_or_default());
            }
            self.fleet.run_for(Duration::from_secs(2), &mut self.watch);
            self.seen()?;
            let before = std::mem::replace(&mut wrong, self.disagreement());
            if let Some(wrong) = wrong.as_ref().filter(|_| wrong != before) {
                self.fleet.note(wrong);
            }
        }
        let converged_after = self.fleet.at().since(ended);
        // Whatever had been begun ends; then nothing is told any more, and all still agree.
        self.fleet.run_for(AGREEMENT, &mut self.watch);
        let (told, stored) = (self.watch.told, self.fleet.bus.stored);
        let quiet = Duration::from_secs(60);
        self.fleet.run_for(quiet, &mut self.watch);
        if self.watch.told != told {
            return Err(format!(
                "{} more are told when all is said",
                self.watch.told - told
            ));
        }
        // Each node puts one key at times, to see that the bucket takes it.
        let stored = self.fleet.bus.stored - stored;
        if stored > self.shape.nodes as u64 * (quiet.as_secs() / 5 + 2) {
            return Err(format!("{stored} keys are put when all is said"));
        }
        if let Some(wrong) = self.disagreement() {
            return Err(format!("later: {wrong}"));
        }
        let alive = (0..self.shape.members).find(|index| self.is_up(*index));
        let one = alive.unwrap_or(0);
        self.set(one, "last", DeviceState::OnHold);
        self.fleet.run_for(Duration::from_secs(10), &mut self.watch);
        let of_one_change = self.watch.told - told;
        // Each leaf hears of it once, a Lampwire from each of its nodes, and whoever says it says it to all its nodes.
        let most = self.shape.links.len() as u64 + self.shape.attached(one).count() as u64;
        if of_one_change > most {
            return Err(format!(
                "one change led to {of_one_change} requests, more than {most}"
            ));
        }
        self.seen()?;
        if let Some(wrong) = self.disagreement() {
            return Err(format!("after one more change: {wrong}"));
        }
        Ok(Outcome {
            changes: self.changes,
            stored: self.fleet.bus.stored,
            of_one_change,
            converged_after,
        })
    }

    /// Some seconds of faults and changes.
    fn round(&mut self) {
        let dice = &mut self.dice;
        let conditions = Conditions {
            loss: dice.below(20),
            duplication: dice.below(10),
            delay: Duration::from_millis(1 + dice.below(60) as u64),
            jitter: Duration::from_millis(dice.below(80) as u64),
        };
        self.fleet.network.set_conditions(conditions);
        let weather = Weather {
            delay: Duration::from_millis(dice.below(20) as u64),
            jitter: Duration::from_millis(dice.below(50) as u64),
            loss: dice.below(20),
            duplication: dice.below(20),
            refusal: match dice.below(4) {
                0 => dice.below(100),
                _ => 0,
            },
        };
        self.fleet.bus.set_weather(weather);
        if dice.below(2) == 0 {
            self.fleet.network.heal();
        }
        if dice.below(3) == 0 {
            let links: Vec<_> = self.shape.links.iter().copied().collect();
            let (one, other) = links[dice.below(links.len())];
            let [one, other] = [one, other].map(|index| address_of(number(index)));
            self.fleet.network.cut(one, other);
            if dice.below(3) > 0 {
                self.fleet.network.cut(other, one);
            }
        }
        let (node, at) = (dice.below(self.shape.nodes), self.fleet.at());
        match dice.below(10) {
            0 | 1 => self.fleet.bus.cut(at, node),
            2 => self.fleet.bus.set_stale(node, true),
            3 => (0..self.shape.nodes).for_each(|node| self.fleet.bus.cut(at, node)),
            4 | 5 => self.mend(),
            6 if dice.below(3) == 0 => self.fleet.bus.wipe(at, "main"),
            7 => self.fleet.bus.part(at, "main", "far"),
            8 => self.fleet.bus.unite(),
            _ => {}
        }
        let member = self.dice.below(self.shape.members);
        match self.dice.below(6) {
            0 => self.kill(member),
            1 | 2 if !self.is_up(member) => self.start(member),
            _ => {}
        }
        for _ in 0..self.dice.below(6) {
            let member = self.dice.below(self.shape.members);
            let name = match self.dice.below(3) {
                0 => "shared".to_owned(),
                _ => format!("of-{member}/{}", self.dice.below(3)),
            };
            let state = DeviceState::ALL[self.dice.below(DeviceState::ALL.len())];
            self.set(member, &name, state);
            if self.dice.below(3) == 0 {
                let counts = (self.dice.byte().into(), self.dice.byte().into());
                let name = format!("{}@of-{member}", self.dice.below(2));
                self.set_box(member, &name, counts);
            }
        }
        let millis = 200 + self.dice.below(9_000) as u64;
        self.fleet
            .run_for(Duration::from_millis(millis), &mut self.watch);
    }

    /// Every node is connected again.
    fn mend(&mut self) {
        let at = self.fleet.at();
        for node in 0..self.shape.nodes {
            if self.is_up(node) {
                // One that got nothing through is connected anew too.
                self.fleet.bus.cut(at, node);
                self.fleet.bus.mend(at, node);
            }
        }
    }

    fn make_peace(&mut self) {
        self.fleet.network.heal();
        self.fleet.network.set_conditions(Conditions::CALM);
        self.fleet.bus.set_weather(Weather::CALM);
        self.fleet.bus.unite();
        self.mend();
        // One leaf, or one node, may stay dead; all else comes back.
        let dead = match self.dice.below(4) {
            0 => Some(self.shape.nodes + self.dice.below(self.shape.members - self.shape.nodes)),
            1 => Some(self.dice.below(self.shape.nodes)),
            _ => None,
        };
        for index in 0..self.shape.members {
            if dead == Some(index) {
                self.watch.dead = Some(address_of(number(index)));
                self.kill(index);
            } else if !self.is_up(index) {
                self.start(index);
            }
        }
    }

    fn is_up(&self, index: usize) -> bool {
        self.fleet.members[index].actor.is_some()
    }

    fn set(&mut self, member: usize, name: &str, state: DeviceState) {
        if self.is_up(member) {
            self.fleet.set(member, &Set::Device(name, state));
            self.said[member].insert(name.to_owned(), state);
            self.ever[member].insert(name.to_owned());
            self.changes += 1;
        }
    }

    fn set_box(&mut self, member: usize, name: &str, counts: (u16, u16)) {
        if self.is_up(member) {
            self.fleet.set(member, &Set::Mailbox(name, counts));
            self.boxes[member].insert(name.to_owned(), counts);
            self.changes += 1;
        }
    }

    fn start(&mut self, member: usize) {
        self.fleet.start(member);
    }

    /// It forgets everything; a node, what it has not put into the bucket.
    fn kill(&mut self, member: usize) {
        self.fleet.kill(member);
        self.killed.insert(member);
        if !self.shape.is_node(member) {
            self.said[member].clear();
            self.boxes[member].clear();
        }
    }

    fn seen(&mut self) -> Result<(), String> {
        self.watch.wrong.take().map_or(Ok(()), Err)
    }

    /// What anybody holds of another that is not as it said last.
    fn disagreement(&self) -> Option<String> {
        for at in (0..self.shape.members).filter(|at| self.is_up(*at)) {
            for of in (0..self.shape.members).filter(|of| *of != at) {
                if !self.is_attached(at) || !self.is_attached(of) {
                    continue;
                }
                // Who answers nothing to the question for all it has may have no states or no publish of them: nothing is taken back.
                if self.shape.stock.contains(&of) && self.said[of].is_empty() {
                    continue;
                }
                for name in &self.ever[of] {
                    let (found, told) = self.held(at, name, of);
                    let right = self.right(of, name);
                    if right.is_none() && self.is_unknown(at, name, of) {
                        continue;
                    }
                    if found != right {
                        return Some(format!(
                            "node {at} holds {told} for {name} of node {of}, not {right:?}"
                        ));
                    }
                }
                for (name, counts) in &self.boxes[of] {
                    let found = self.held_box(at, name);
                    let uncertain = self.killed.contains(&of) && self.shape.is_node(of);
                    if found != Some(*counts) && self.is_up(of) && !uncertain {
                        return Some(format!(
                            "node {at} holds {found:?} for mailbox {name} of node {of}, not {counts:?}"
                        ));
                    }
                }
            }
        }
        None
    }

    /// Whether a leaf can reach a node that is up, or is a node.
    fn is_attached(&self, member: usize) -> bool {
        self.shape.is_node(member) || self.shape.attached(member).any(|node| self.is_up(node))
    }

    /// Whether a stock Asterisk was told something by a node that has forgotten it since, and that stands in no bucket either: who may speak to
    /// it does not know that there is anything to be taken back, and the Asterisk does not say what it knows of others.
    fn is_unknown(&self, at: usize, name: &str, of: usize) -> bool {
        let eid = entity_id_of(number(of));
        let knows = |at: usize| {
            let node = self.fleet.members[at].node();
            let view = node.and_then(|node| node.device(name));
            view.is_some_and(|view| view.entities.iter().any(|it| it.eid == eid))
        };
        let hex: String = eid.to_string().split(':').collect();
        let mut nodes = self.shape.attached(at);
        self.shape.stock.contains(&at)
            && nodes.any(|node| self.killed.contains(&node) && !knows(node))
            && (!(0..self.shape.nodes).any(knows)
                || !self.fleet.bus.holds(&format!(".d.{hex}.{name}")))
    }

    /// What all others should hold of a device.
    fn right(&self, of: usize, name: &str) -> Option<DeviceState> {
        let said = match self.shape.is_node(of) && self.killed.contains(&of) {
            // Its last words may be lost, but then nobody has them.
            true => self.held(of, name, of).0,
            false => self.said[of].get(name).copied(),
        };
        said.filter(|state| self.is_up(of) && *state != DeviceState::Invalid)
    }

    /// What a member holds of a device of another's, or its own, as far as it counts; and in words.
    fn held(&self, at: usize, name: &str, of: usize) -> (Option<DeviceState>, String) {
        let eid = entity_id_of(number(of));
        let member = &self.fleet.members[at];
        let counts = |state: &DeviceState| *state != DeviceState::Invalid;
        if let Some(asterisk) = member.stock() {
            let state = asterisk.device(name).and_then(|it| it.get(&eid)).copied();
            return (state.filter(counts), format!("{state:?}"));
        }
        let view = member.node().and_then(|node| node.device(name));
        let entity = view
            .iter()
            .flat_map(|it| &it.entities)
            .find(|it| it.eid == eid);
        let found = entity.filter(|it| !it.lost).map(|it| it.state);
        (found.filter(counts), format!("{entity:?}"))
    }

    fn held_box(&self, at: usize, name: &str) -> Option<(u16, u16)> {
        let member = &self.fleet.members[at];
        if let Some(asterisk) = member.stock() {
            return asterisk.mailbox(name);
        }
        let view = member.node().and_then(|node| node.mailbox(name));
        view.map(|view| (view.new, view.old))
    }
}
