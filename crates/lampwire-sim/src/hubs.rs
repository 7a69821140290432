//! Hubs in any arrangement, circles included, with leaves that tell of themselves: what every leaf says reaches all, nothing goes back to whose it
//! is, no lamp of a dead one stays lit, and after the faults the wire falls quiet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use lampwire_conf::{MapSource, Severity, load};
use lampwire_core::{Event, Time};
use lampwire_sip::{DeviceState, EventPackage, Message, StateChange};

use crate::fleet::{Fleet, Observer, Set, address_of, entity_id_of};
use crate::member::Role;
use crate::network::{Conditions, Packet};
use crate::plan::number;
use crate::random::Dice;

/// How long a lost node's states are held in these worlds.
const HOLD: Duration = Duration::from_secs(5);

/// After the faults: a hub that is gone is noticed (20 s), held, and swept over two dumps; publishers that have backed off come again.
const AGREEMENT: Duration = Duration::from_secs(240);

/// What a seed came to.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// States that people set.
    pub changes: u64,
    /// Requests with a device's state that members sent, copies among them.
    pub told: u64,
    /// Requests that one change at the end led to, each way that two members have being one.
    pub of_one_change: u64,
    /// Ways between two members.
    pub links: u64,
    /// The time from the end of the faults until all agreed.
    pub converged_after: Duration,
}

/// Runs a seed.
///
/// # Errors
/// What did not hold, with the arrangement.
pub fn run(seed: u64) -> Result<Outcome, String> {
    let mut world = World::new(seed);
    world
        .run()
        .map_err(|wrong| format!("seed {seed}: {wrong}\n{:?}", world.shape))
}

/// Who is linked with whom.
#[derive(Clone, Debug)]
struct Shape {
    hubs: usize,
    members: usize,
    links: BTreeSet<(usize, usize)>,
}

impl Shape {
    fn throw(dice: &mut Dice) -> Self {
        let hubs = 1 + dice.below(4);
        let leaves = 2 + dice.below(5);
        let mut links = BTreeSet::new();
        for hub in 1..hubs {
            links.insert((dice.below(hub), hub));
        }
        for _ in 0..dice.below(hubs) {
            let (one, other) = (dice.below(hubs), dice.below(hubs));
            if one != other {
                links.insert((one.min(other), one.max(other)));
            }
        }
        for leaf in hubs..hubs + leaves {
            links.insert((dice.below(hubs), leaf));
            if dice.below(5) == 0 {
                links.insert((dice.below(hubs), leaf));
            }
        }
        Self {
            hubs,
            members: hubs + leaves,
            links,
        }
    }

    fn neighbours(&self, of: usize) -> impl Iterator<Item = usize> + '_ {
        self.links.iter().filter_map(move |&(one, other)| match of {
            it if it == one => Some(other),
            it if it == other => Some(one),
            _ => None,
        })
    }

    fn role(&self, of: usize) -> Role {
        let relay = if of < self.hubs { "yes" } else { "no" };
        let mut text = format!(
            "[lampwire]\ntype=lampwire\nhttp_bind=\nrelay={relay}\nhold_time={}\n\
             [udp]\ntype=transport\nprotocol=udp\nbind={}\n",
            HOLD.as_secs(),
            address_of(number(of))
        );
        for peer in self.neighbours(of) {
            let address = address_of(number(peer)).ip();
            let _ = write!(
                text,
                "[node{peer}]\ntype=endpoint\nidentify_by=ip\n\
                 [node{peer}]\ntype=identify\nendpoint=node{peer}\nmatch={address}\n\
                 [node{peer}-device]\ntype=outbound-publish\nserver_uri=sip:node{of}@{address}\nevent=asterisk-devicestate\n\
                 @lanes=2\n@resync=0\n@probe=2\n@qualify_timeout=1\n@qualify_frequency=5\nexpiration=120\n\
                 [node{peer}]\ntype=inbound-publication\nendpoint=node{peer}\nevent_asterisk-devicestate=node{peer}\n\
                 [node{peer}]\ntype=asterisk-publication\ndevicestate_publish=node{peer}-device\ndevice_state=yes\n"
            );
        }
        let mut source = MapSource::new([("node.conf", text.as_str())]);
        let (config, findings) = load("node.conf", &mut source);
        let error = findings.iter().find(|it| it.severity == Severity::Error);
        assert!(error.is_none(), "{error:?}\n{text}");
        Role::Lampwire(Arc::new(config))
    }
}

struct World {
    shape: Shape,
    fleet: Fleet,
    dice: Dice,
    /// What each member has said of its devices in its present life, and which names it ever had.
    said: Vec<BTreeMap<String, DeviceState>>,
    ever: Vec<BTreeSet<String>>,
    watch: Watch,
    changes: u64,
}

/// What is seen on the wire.
#[derive(Default)]
struct Watch {
    told: u64,
    wrong: Option<String>,
}

impl Observer for Watch {
    fn sent(&mut self, at: Time, from: usize, packet: &Packet) {
        let Ok(message) = Message::parse(&packet.bytes) else {
            return;
        };
        let body = message.body();
        if let Ok(StateChange::Device { device, eid, .. }) =
            StateChange::parse(EventPackage::DeviceState, body)
        {
            self.told += 1;
            let own = (1..=u8::MAX).find(|number| address_of(*number) == packet.to);
            if own.is_some_and(|number| entity_id_of(number) == eid) {
                let text = format!(
                    "at {at:?} node {from} tells {} of its own {device}",
                    packet.to
                );
                self.wrong.get_or_insert(text);
            }
        }
    }

    fn happened(&mut self, _: Time, _: usize, _: &Event) {}
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x4855_4253);
        let shape = Shape::throw(&mut dice);
        let roles = (0..shape.members).map(|index| shape.role(index)).collect();
        Self {
            fleet: Fleet::new(seed, roles),
            said: vec![BTreeMap::new(); shape.members],
            ever: vec![BTreeSet::new(); shape.members],
            shape,
            dice,
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
        // One leaf may stay dead; all else comes back.
        self.fleet.network.heal();
        self.fleet.network.set_conditions(Conditions::CALM);
        let dead = match self.dice.below(3) {
            0 => Some(self.shape.hubs + self.dice.below(self.shape.members - self.shape.hubs)),
            _ => None,
        };
        for index in 0..self.shape.members {
            if dead == Some(index) {
                self.kill(index);
            } else if self.fleet.members[index].node().is_none() {
                self.fleet.start(index);
            }
        }
        let ended = self.fleet.at();
        let mut wrong = self.disagreement();
        while wrong.is_some() {
            if self.fleet.at().since(ended) > AGREEMENT {
                return Err(wrong.unwrap_or_default());
            }
            self.fleet.run_for(Duration::from_secs(2), &mut self.watch);
            self.seen()?;
            wrong = self.disagreement();
        }
        let converged_after = self.fleet.at().since(ended);
        // Whatever had been begun ends; then nothing is told any more, and all still agree.
        self.fleet.run_for(AGREEMENT, &mut self.watch);
        let told = self.watch.told;
        self.fleet.run_for(Duration::from_secs(60), &mut self.watch);
        if self.watch.told != told {
            return Err(format!(
                "{} more are told when all is said",
                self.watch.told - told
            ));
        }
        if let Some(wrong) = self.disagreement() {
            return Err(format!("later: {wrong}"));
        }
        let alive =
            (0..self.shape.members).find(|index| self.fleet.members[*index].node().is_some());
        let one = alive.unwrap_or(0);
        self.set(one, "last", DeviceState::OnHold);
        self.fleet.run_for(Duration::from_secs(10), &mut self.watch);
        let of_one_change = self.watch.told - told;
        let links = self.shape.links.len() as u64;
        if of_one_change > links * 2 {
            return Err(format!(
                "one change led to {of_one_change} requests over {links} links"
            ));
        }
        self.seen()?;
        Ok(Outcome {
            changes: self.changes,
            told: self.watch.told,
            of_one_change,
            links,
            converged_after,
        })
    }

    /// Some seconds of faults and changes.
    fn round(&mut self) {
        let conditions = Conditions {
            loss: self.dice.below(20),
            duplication: self.dice.below(10),
            delay: Duration::from_millis(1 + self.dice.below(60) as u64),
            jitter: Duration::from_millis(self.dice.below(80) as u64),
        };
        self.fleet.network.set_conditions(conditions);
        if self.dice.below(2) == 0 {
            self.fleet.network.heal();
        }
        if self.dice.below(3) == 0 {
            let links: Vec<_> = self.shape.links.iter().copied().collect();
            let (one, other) = links[self.dice.below(links.len())];
            let [one, other] = [one, other].map(|index| address_of(number(index)));
            self.fleet.network.cut(one, other);
            if self.dice.below(3) > 0 {
                self.fleet.network.cut(other, one);
            }
        }
        let member = self.dice.below(self.shape.members);
        match self.dice.below(6) {
            0 => self.kill(member),
            1 | 2 if self.fleet.members[member].node().is_none() => self.fleet.start(member),
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
        }
        let millis = 200 + self.dice.below(9_000) as u64;
        self.fleet
            .run_for(Duration::from_millis(millis), &mut self.watch);
    }

    fn set(&mut self, member: usize, name: &str, state: DeviceState) {
        if self.fleet.members[member].node().is_some() {
            self.fleet.set(member, &Set::Device(name, state));
            self.said[member].insert(name.to_owned(), state);
            self.ever[member].insert(name.to_owned());
            self.changes += 1;
        }
    }

    /// It forgets everything.
    fn kill(&mut self, member: usize) {
        self.fleet.kill(member);
        self.said[member].clear();
    }

    fn seen(&mut self) -> Result<(), String> {
        self.watch.wrong.take().map_or(Ok(()), Err)
    }

    /// What anybody holds of another that is not as it said last.
    fn disagreement(&self) -> Option<String> {
        for at in 0..self.shape.members {
            let Some(node) = self.fleet.members[at].node() else {
                continue;
            };
            for of in (0..self.shape.members).filter(|of| *of != at) {
                let eid = entity_id_of(number(of));
                for name in &self.ever[of] {
                    let view = node.device(name);
                    let entity = view
                        .iter()
                        .flat_map(|it| &it.entities)
                        .find(|it| it.eid == eid);
                    let found = entity
                        .filter(|it| !it.lost && it.state != DeviceState::Invalid)
                        .map(|it| it.state);
                    let said = self.said[of].get(name).copied();
                    if found != said.filter(|state| *state != DeviceState::Invalid) {
                        return Some(format!(
                            "node {at} holds {entity:?} for {name} of node {of}, not {said:?}"
                        ));
                    }
                }
            }
        }
        None
    }
}
