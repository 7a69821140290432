//! Nodes that reach each other by connections, which are slow to open, refused, reset, and die without a word.
//!
//! A world of its own beside [`crate::scenario`], whose referee reads datagrams: here nothing is lost on the way, and everything can be
//! lost with its connection.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lampwire_conf::{MapSource, Severity, load};
use lampwire_core::{
    Certificate, Event, FlowCommand, FlowId, Node, Now, Setup, Time, TransportId, WallTime,
};
use lampwire_sip::{DeviceState, EntityId};

use crate::fleet::{address_of, entity_id_of};
use crate::model::Seen;
use crate::random::Dice;
use crate::referee::state_of;

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Connections that were opened.
    pub connections: u64,
    /// Connections that ended by a fault.
    pub broken: u64,
    /// Simulated time from peace until all agreed.
    pub converged_after: Duration,
}

/// Simulated time within which everybody agrees once the faults are over: a dead connection is noticed after two probes' time, and a
/// request waits for Timer F at most.
const CONVERGENCE: Duration = Duration::from_secs(120);

/// The calendar at the clock's zero: 2026-01-01.
const WALL_AT_ZERO: u64 = 1_767_225_600_000;

/// Calls of one node at one moment that are taken for work. A node that asks for more would never come to an end.
const CALLS_AT_ONCE: u32 = 100_000;

/// An end of a connection: a member and the number under which it knows it.
type End = (usize, FlowId);

/// Something that is on its way to a member.
#[derive(Debug)]
enum Arrival {
    /// The other side has taken the connection, or nobody has.
    Opened {
        flow: FlowId,
        to: SocketAddr,
    },
    Bytes {
        flow: FlowId,
        bytes: Vec<u8>,
    },
    Writable {
        flow: FlowId,
    },
    Closed {
        flow: FlowId,
        why: &'static str,
    },
}

struct World {
    members: Vec<Option<Node>>,
    configs: Vec<String>,
    lives: Vec<u8>,
    /// The other end of each end; none where the peer has gone without a word.
    other: BTreeMap<End, Option<End>>,
    on_the_way: BTreeMap<(Time, u64), (usize, Arrival)>,
    /// When the last bytes arrive at each end: what follows does not overtake them.
    last: BTreeMap<End, Time>,
    numbered: u64,
    now: Time,
    seed: u64,
    dice: Dice,
    said: Vec<BTreeMap<String, Vec<DeviceState>>>,
    seen: BTreeMap<(usize, EntityId, String), Seen>,
    problem: Option<String>,
    /// New connections are refused, in per cent; reset at any moment, in per cent of those looked at.
    refusals: usize,
    connections: u64,
    broken: u64,
}

/// Runs the world of one seed.
///
/// # Errors
/// What went wrong, when, and how to see it again.
pub fn run(seed: u64) -> Result<Outcome, String> {
    let mut dice = Dice::new(seed ^ 0x7374_7265_616d);
    let nodes = 2 + dice.below(4);
    let replay = |problem: String| {
        format!(
            "seed {seed}: {problem}\nreplay: cargo run --release -p lampwire-sim -- --streams --seeds {seed}"
        )
    };
    let mut world = World {
        members: (0..nodes).map(|_| None).collect(),
        configs: (0..nodes).map(|own| config(own, nodes)).collect(),
        lives: vec![0; nodes],
        other: BTreeMap::new(),
        on_the_way: BTreeMap::new(),
        last: BTreeMap::new(),
        numbered: 0,
        now: Time::default(),
        seed,
        dice,
        said: vec![BTreeMap::new(); nodes],
        seen: BTreeMap::new(),
        problem: None,
        refusals: 0,
        connections: 0,
        broken: 0,
    };
    for index in 0..nodes {
        world.start(index);
    }
    for _ in 0..40 {
        world.fault();
        for _ in 0..world.dice.below(10) {
            world.somebody_acts();
        }
        let pause = world.dice.time_below(Duration::from_secs(4));
        world.pass(pause).map_err(replay)?;
    }
    world.refusals = 0;
    for index in 0..nodes {
        world.start(index);
    }
    let peace = world.now;
    loop {
        world.pass(Duration::from_secs(1)).map_err(replay)?;
        let elapsed = world.now.since(peace);
        match world.disagreement() {
            None => {
                return Ok(Outcome {
                    connections: world.connections,
                    broken: world.broken,
                    converged_after: elapsed,
                });
            }
            Some(problem) if elapsed >= CONVERGENCE => return Err(replay(problem)),
            Some(_) => {}
        }
    }
}

fn config(own: usize, nodes: usize) -> String {
    let at = address_of(number(own + 1));
    let mut text = format!(
        "[lampwire]\ntype=lampwire\nentity_id={}\nhttp_bind=\n[tcp]\ntype=transport\nprotocol=tcp\nbind={at}\n",
        entity_id_of(number(own + 1))
    );
    for peer in (0..nodes).filter(|peer| *peer != own) {
        let address = address_of(number(peer + 1));
        let _ = write!(
            text,
            "[node{peer}]\ntype=endpoint\n[node{peer}-device]\ntype=outbound-publish\n\
             server_uri=sip:node{own}@{address}\\;transport=tcp\nevent=asterisk-devicestate\n@lanes=4\n\
             [node{peer}]\ntype=inbound-publication\nevent_asterisk-devicestate=node{peer}\n\
             [node{peer}]\ntype=asterisk-publication\ndevicestate_publish=node{peer}-device\ndevice_state=yes\n"
        );
    }
    text
}

impl World {
    fn now(&self) -> Now {
        Now {
            at: self.now,
            wall: WallTime::from_millis(WALL_AT_ZERO + self.now.as_micros() / 1000),
        }
    }

    /// Starts a node that is down. The world around it is as it was.
    fn start(&mut self, index: usize) {
        if self.members[index].is_some() {
            return;
        }
        let now = self.now();
        let mut source = MapSource::new([("node.conf", self.configs[index].as_str())]);
        let (config, diagnostics) = load("node.conf", &mut source);
        assert!(
            diagnostics.iter().all(|it| it.severity != Severity::Error),
            "the scenario's configuration is wrong: {diagnostics:?}"
        );
        self.lives[index] += 1;
        let mut secret = [self.lives[index]; 32];
        secret[..8].copy_from_slice(&self.seed.to_le_bytes());
        secret[8] = number(index);
        let entity_id = entity_id_of(number(index + 1));
        let mut node = Node::new(
            now,
            Setup {
                config: Arc::new(config),
                entity_id,
                seed: secret,
                secret,
            },
        );
        node.watch(true);
        node.start(now, &[(TransportId(0), address_of(number(index + 1)))]);
        self.seen
            .retain(|(seer, entity, _), _| *seer != index && *entity != entity_id);
        for (name, states) in &self.said[index] {
            if let Some(state) = states.last() {
                node.set_device(now, name, *state, true)
                    .expect("a sound name and room");
            }
        }
        self.members[index] = Some(node);
    }

    /// Something goes wrong, or right again.
    fn fault(&mut self) {
        let nodes = self.members.len();
        match self.dice.below(6) {
            0 => self.refusals = self.dice.below(90),
            1 => self.refusals = 0,
            2 => {
                // A node dies, and with it its ends; the others hear of it, or never do.
                let index = self.dice.below(nodes);
                self.members[index] = None;
                self.on_the_way.retain(|_, (to, _)| *to != index);
                let ends: Vec<End> = self
                    .other
                    .keys()
                    .filter(|(member, _)| *member == index)
                    .copied()
                    .collect();
                for end in ends {
                    let silently = self.dice.chance(50);
                    self.cut(end, silently);
                }
            }
            3 => {
                let index = self.dice.below(nodes);
                self.start(index);
            }
            _ => {
                let ends: Vec<End> = self.other.keys().copied().collect();
                for end in ends {
                    if self.dice.chance(30) {
                        let silently = self.dice.chance(30);
                        self.cut(end, silently);
                    }
                }
            }
        }
    }

    /// A connection breaks at one end. The other is told, or is left with a connection to nobody.
    fn cut(&mut self, end: End, silently: bool) {
        let Some(other) = self.other.remove(&end) else {
            return;
        };
        self.broken += 1;
        self.tell_closed(end, "reset");
        if let Some(other) = other {
            if silently {
                self.other.insert(other, None);
            } else {
                self.other.remove(&other);
                self.tell_closed(other, "reset");
            }
        }
    }

    fn tell_closed(&mut self, (member, flow): End, why: &'static str) {
        let at = self
            .now
            .max(self.last.get(&(member, flow)).copied().unwrap_or_default());
        self.send(at, member, Arrival::Closed { flow, why });
    }

    fn send(&mut self, at: Time, to: usize, arrival: Arrival) {
        self.numbered += 1;
        self.on_the_way.insert((at, self.numbered), (to, arrival));
    }

    /// Somebody takes up a telephone.
    fn somebody_acts(&mut self) {
        let index = self.dice.below(self.members.len());
        let name = format!("Custom:{}", self.dice.below(8));
        let state = *self.dice.pick(&DeviceState::ALL);
        let now = self.now();
        let Some(node) = &mut self.members[index] else {
            return;
        };
        node.set_device(now, &name, state, true)
            .expect("a sound name and room");
        let states = self.said[index].entry(name).or_default();
        if states.last() != Some(&state) {
            states.push(state);
        }
    }

    fn pass(&mut self, duration: Duration) -> Result<(), String> {
        let until = self.now + duration;
        let (mut moment, mut calls) = (self.now, 0);
        loop {
            self.drain();
            if let Some(problem) = self.problem.take() {
                return Err(problem);
            }
            let timers = self.members.iter().flatten().filter_map(Node::poll_timeout);
            let arrivals = self.on_the_way.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = timers.chain(arrivals).min().filter(|next| *next <= until) else {
                self.now = until;
                return Ok(());
            };
            self.now = self.now.max(next);
            calls = if self.now == moment { calls + 1 } else { 0 };
            moment = self.now;
            if calls > CALLS_AT_ONCE {
                return Err(format!("at {moment:?} a node never comes to an end"));
            }
            if let Some(entry) = self
                .on_the_way
                .first_entry()
                .filter(|it| it.key().0 <= self.now)
            {
                let (to, arrival) = entry.remove();
                self.arrive(to, arrival);
                continue;
            }
            let now = self.now();
            for node in self.members.iter_mut().flatten() {
                if node.poll_timeout().is_some_and(|at| at <= now.at) {
                    node.handle_timeout(now);
                }
            }
        }
    }

    fn arrive(&mut self, to: usize, arrival: Arrival) {
        let now = self.now();
        if let Arrival::Opened { flow, to: remote } = arrival {
            let other = (0..self.members.len()).find(|it| address_of(number(it + 1)) == remote);
            let refused = self.dice.chance(self.refusals);
            let from = SocketAddr::new(address_of(number(to + 1)).ip(), 40_000);
            let accepted = other.filter(|_| !refused).and_then(|other| {
                let node = self.members[other].as_mut()?;
                let theirs =
                    node.handle_accepted(now, TransportId(0), from, Certificate::default())?;
                Some((other, theirs))
            });
            if let (Some(end), true) = (accepted, self.members[to].is_some()) {
                self.connections += 1;
                self.other.insert(end, Some((to, flow)));
                self.other.insert((to, flow), Some(end));
            }
            if let Some(node) = &mut self.members[to] {
                match accepted {
                    Some(_) => node.handle_connected(now, flow, Certificate::default()),
                    None => node.handle_closed(now, flow, "connection refused"),
                }
            }
            return;
        }
        let Some(node) = &mut self.members[to] else {
            return;
        };
        match arrival {
            Arrival::Bytes { flow, bytes } => node.handle_stream(now, flow, &bytes),
            Arrival::Writable { flow } => node.handle_writable(now, flow),
            Arrival::Closed { flow, why } => node.handle_closed(now, flow, why),
            Arrival::Opened { .. } => {}
        }
    }

    /// Takes what the nodes want done, and looks at what they saw.
    fn drain(&mut self) {
        for index in 0..self.members.len() {
            while let Some(command) = self.members[index].as_mut().and_then(Node::poll_flow) {
                self.obey(index, command);
            }
            while let Some(event) = self.members[index].as_mut().and_then(Node::poll_event) {
                self.look(index, &event);
            }
            if let Some(node) = &mut self.members[index]
                && node.poll_transmit().is_some()
            {
                self.problem = Some(format!(
                    "node {index} sends a datagram, and has no transport for it"
                ));
            }
        }
    }

    fn obey(&mut self, from: usize, command: FlowCommand) {
        match command {
            FlowCommand::Connect { flow, remote, .. } => {
                let at = self.now
                    + Duration::from_millis(1)
                    + self.dice.time_below(Duration::from_millis(300));
                self.send(at, from, Arrival::Opened { flow, to: remote });
            }
            FlowCommand::Write { flow, bytes } => match self.other.get(&(from, flow)) {
                Some(Some(other)) => {
                    let (to, theirs) = *other;
                    let soonest = self
                        .last
                        .get(other)
                        .copied()
                        .unwrap_or_default()
                        .max(self.now);
                    let mut at = soonest
                        + Duration::from_millis(1)
                        + self.dice.time_below(Duration::from_millis(50));
                    // In pieces, as the network likes.
                    let piece = 1 + self.dice.below(bytes.len());
                    for bytes in bytes.chunks(piece) {
                        let bytes = bytes.to_vec();
                        self.send(
                            at,
                            to,
                            Arrival::Bytes {
                                flow: theirs,
                                bytes,
                            },
                        );
                        at = at + Duration::from_micros(10);
                    }
                    self.last.insert((to, theirs), at);
                    self.send(at, from, Arrival::Writable { flow });
                }
                // Into the void: the system takes it, and nobody reads it.
                Some(None) => self.send(self.now, from, Arrival::Writable { flow }),
                None => {}
            },
            FlowCommand::Close { flow } => {
                if let Some(Some(other)) = self.other.remove(&(from, flow)) {
                    self.other.remove(&other);
                    self.tell_closed(other, "closed by the peer");
                }
            }
        }
    }

    /// Every change that a node sees of another's devices is held against what was said.
    fn look(&mut self, index: usize, event: &Event) {
        let Event::Device {
            device,
            eid,
            previous,
        } = event
        else {
            return;
        };
        if state_of(device, *eid) == *previous {
            return; // told anew, since its node is lost or back
        }
        let Some(owner) = (0..self.members.len()).find(|it| entity_id_of(number(it + 1)) == *eid)
        else {
            self.problem = Some(format!("node {index} has heard of {eid}, which nobody is"));
            return;
        };
        let (Some(states), false) = (self.said[owner].get(&device.device), owner == index) else {
            return;
        };
        let state = device
            .entities
            .iter()
            .find(|it| it.eid == *eid)
            .map(|it| it.state);
        let seen = self
            .seen
            .entry((index, *eid, device.device.clone()))
            .or_default();
        if let Err(wrong) = seen.see(states, state.unwrap_or(DeviceState::Invalid)) {
            self.problem = Some(format!(
                "node {index} sees {:?} of node {owner} out of order: {wrong}",
                device.device
            ));
        }
    }

    fn disagreement(&self) -> Option<String> {
        for (to, node) in self.members.iter().enumerate() {
            let node = node.as_ref()?;
            for (from, said) in self.said.iter().enumerate().filter(|(from, _)| *from != to) {
                let eid = entity_id_of(number(from + 1));
                for (name, states) in said {
                    let view = node.device(name);
                    let found = view.and_then(|it| {
                        it.entities
                            .into_iter()
                            .find(|it| it.eid == eid)
                            .map(|it| it.state)
                    });
                    if found.as_ref() != states.last() {
                        return Some(format!(
                            "node {to} holds {found:?} for {name} of node {from}, not {:?}",
                            states.last()
                        ));
                    }
                }
            }
        }
        None
    }
}

fn number(index: usize) -> u8 {
    u8::try_from(index).expect("worlds are small")
}
