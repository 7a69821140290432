//! Hubs in any arrangement, circles included, with leaves, Lampwires and stock Asterisks, that tell of themselves: what every leaf says reaches
//! all, nothing goes back to whose it is, no lamp of a dead one stays lit, and after the faults the wire falls quiet. In half of these worlds the
//! clocks differ and are set between two lives, and some links have a filter, so that nobody can claim to be told all over them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use lampwire_conf::{MapSource, Severity, load};
use lampwire_core::{Event, Time};
use lampwire_sip::{DeviceState, EventPackage, Message, StateChange};

use crate::asterisk::{self, Peer};
use crate::fleet::{Fleet, Observer, Set, address_of, entity_id_of};
use crate::member::Role;
use crate::network::{Conditions, Packet};
use crate::plan::number;
use crate::random::Dice;
use crate::referee::said;

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

/// Who is linked with whom.
#[derive(Clone, Debug)]
struct Shape {
    hubs: usize,
    members: usize,
    /// The leaves that are stock Asterisks.
    stock: BTreeSet<usize>,
    links: BTreeSet<(usize, usize)>,
    /// The first takes only what passes a filter from the second. (All passes; but who sends cannot know that.)
    filtered: BTreeSet<(usize, usize)>,
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
        let all = hubs..hubs + leaves;
        Self {
            hubs,
            members: hubs + leaves,
            stock: all.filter(|_| dice.below(3) == 0).collect(),
            links,
            filtered: BTreeSet::new(),
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
        if self.stock.contains(&of) {
            return self.asterisk(of);
        }
        let relay = if of < self.hubs { "yes" } else { "no" };
        let mut text = format!(
            "[lampwire]\ntype=lampwire\nhttp_bind=\nrelay={relay}\nhold_time={}\n\
             [udp]\ntype=transport\nprotocol=udp\nbind={}\n",
            HOLD.as_secs(),
            address_of(number(of))
        );
        for peer in self.neighbours(of) {
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
                 [node{peer}]\ntype=inbound-publication\nendpoint=node{peer}\nevent_asterisk-devicestate=node{peer}\n\
                 [node{peer}]\ntype=asterisk-publication\ndevicestate_publish=node{peer}-device\ndevice_state=yes\n"
            );
            if self.filtered.contains(&(of, peer)) {
                text.push_str("device_state_filter=.\n");
            }
        }
        let mut source = MapSource::new([("node.conf", text.as_str())]);
        let (config, findings) = load("node.conf", &mut source);
        let error = findings.iter().find(|it| it.severity == Severity::Error);
        assert!(error.is_none(), "{error:?}\n{text}");
        Role::Lampwire(Arc::new(config))
    }
}

/// How far a clock is off, in milliseconds: up to an hour.
fn clock(dice: &mut Dice) -> i64 {
    const HOUR: i64 = 3_600_000;
    let off = dice.time_below(Duration::from_secs(2 * 3600)).as_millis();
    i64::try_from(off).unwrap_or(0) - HOUR
}

impl Shape {
    fn asterisk(&self, of: usize) -> Role {
        let devices = vec![EventPackage::DeviceState];
        let peers = self.neighbours(of).map(|peer| Peer {
            takes: devices.clone(),
            keeps: Some(devices.clone()),
            publishes: devices.clone(),
            ..Peer::new(
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
    /// Where clocks differ: what they show.
    odd: Option<Dice>,
    /// What each member has said of its devices in its present life, and which names it ever had.
    said: Vec<BTreeMap<String, DeviceState>>,
    ever: Vec<BTreeSet<String>>,
    /// Members that have forgotten what they knew.
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
        for change in said(&message, EventPackage::DeviceState).unwrap_or_default() {
            let StateChange::Device { device, eid, .. } = change else {
                continue;
            };
            self.told += u64::from(self.dead != Some(packet.to));
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
        let mut shape = Shape::throw(&mut dice);
        let mut odd = Dice::new(seed ^ 0x434c_4f43);
        let is_odd = odd.below(2) == 0;
        for (one, other) in shape.links.clone().into_iter().filter(|_| is_odd) {
            let ends = [(one, other), (other, one)];
            let filtered = ends.into_iter().filter(|_| odd.below(4) == 0);
            shape.filtered.extend(filtered);
        }
        let roles = (0..shape.members).map(|index| shape.role(index)).collect();
        let mut fleet = Fleet::new(seed, roles);
        for member in fleet.members.iter_mut().filter(|_| is_odd) {
            member.handicap.wall_ms = clock(&mut odd);
        }
        Self {
            fleet,
            odd: is_odd.then_some(odd),
            said: vec![BTreeMap::new(); shape.members],
            ever: vec![BTreeSet::new(); shape.members],
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
        // One leaf may stay dead; all else comes back.
        self.fleet.network.heal();
        self.fleet.network.set_conditions(Conditions::CALM);
        let dead = match self.dice.below(3) {
            0 => Some(self.shape.hubs + self.dice.below(self.shape.members - self.shape.hubs)),
            _ => None,
        };
        for index in 0..self.shape.members {
            if dead == Some(index) {
                self.watch.dead = Some(address_of(number(index)));
                self.kill(index);
            } else if self.fleet.members[index].actor.is_none() {
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
            let before = std::mem::replace(&mut wrong, self.disagreement());
            if let Some(wrong) = wrong.as_ref().filter(|_| wrong != before) {
                self.fleet.note(wrong);
            }
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
            (0..self.shape.members).find(|index| self.fleet.members[*index].actor.is_some());
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
            1 | 2 if self.fleet.members[member].actor.is_none() => {
                if let Some(odd) = &mut self.odd {
                    self.fleet.members[member].handicap.wall_ms = clock(odd);
                }
                self.fleet.start(member);
            }
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
        if self.fleet.members[member].actor.is_some() {
            self.fleet.set(member, &Set::Device(name, state));
            self.said[member].insert(name.to_owned(), state);
            self.ever[member].insert(name.to_owned());
            self.changes += 1;
        }
    }

    /// It forgets everything.
    fn kill(&mut self, member: usize) {
        self.fleet.kill(member);
        self.killed.insert(member);
        self.said[member].clear();
    }

    fn seen(&mut self) -> Result<(), String> {
        self.watch.wrong.take().map_or(Ok(()), Err)
    }

    /// What anybody holds of another that is not as it said last.
    fn disagreement(&self) -> Option<String> {
        for at in 0..self.shape.members {
            if self.fleet.members[at].actor.is_none() {
                continue;
            }
            for of in (0..self.shape.members).filter(|of| *of != at) {
                // Who answers nothing to the question for all it has may have no states or no publish of them: nothing is taken back.
                if self.shape.stock.contains(&of) && self.said[of].is_empty() {
                    continue;
                }
                for name in &self.ever[of] {
                    let (found, told) = self.held(at, name, of);
                    let said = self.said[of].get(name).copied();
                    let right = said.filter(|state| *state != DeviceState::Invalid);
                    if right.is_none() && self.cannot_be_told(at) {
                        continue;
                    }
                    if found != right {
                        return Some(format!(
                            "node {at} holds {told} for {name} of node {of}, not {said:?}"
                        ));
                    }
                }
            }
        }
        None
    }

    /// A stock Asterisk whose hub has forgotten what it once told it. It does not say what it knows of others, so that stays.
    fn cannot_be_told(&self, at: usize) -> bool {
        self.shape.stock.contains(&at)
            && self
                .shape
                .neighbours(at)
                .any(|hub| self.killed.contains(&hub))
    }

    /// What a member holds of another's device, as far as it counts; and in words.
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
}
