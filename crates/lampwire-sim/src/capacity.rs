//! A cluster as large as one may be, on a bus without faults: what each node hears, says and holds, and whether all agree in the end.
//!
//! All nodes are whole ones in one process, so its memory is what bounds a run: each node has its own table. Each has one server, which tells it its
//! devices by PUBLISH. What nodes tell their servers is left out: that is what each would do without a cluster.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lampwire_conf::{Config, MapSource, Severity, load};
use lampwire_core::{BusCommand, BusInput, Node, Now, Place, Setup, Time, TransportId, WallTime};
use lampwire_sip::{DeviceState, EntityId};

use crate::random::Dice;

/// The way over the bus, and the grain of the clock.
const TICK: Duration = Duration::from_millis(10);

/// All nodes start, and all devices get their first state, within this time.
const FILLING: Duration = Duration::from_secs(20);

/// After the last change: what is under way arrives.
const ENDING: Duration = Duration::from_secs(5);

/// The stream that each bucket is.
const INCARNATION: u64 = 1;

/// How large, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Nodes, each with a server of its own.
    pub nodes: usize,
    /// Sites, over which the nodes are spread evenly.
    pub sites: usize,
    /// Devices of each server.
    pub devices: usize,
    /// How many of a hundred of them are for all sites; the others stay at their own.
    pub wide: usize,
    /// How often each device changes in an hour.
    pub changes: usize,
    /// Seconds in which they do, after all are there.
    pub seconds: u64,
}

impl Plan {
    /// A tenth of a million devices at a thousand servers at ten sites, each of which shows the others one device in twenty.
    pub const DEFAULT: Self = Self {
        nodes: 1000,
        sites: 10,
        devices: 100,
        wide: 5,
        changes: 10,
        seconds: 60,
    };

    /// Whether a device is for all sites.
    const fn is_wide(&self, device: usize) -> bool {
        device * 100 < self.wide * self.devices
    }
}

/// What was counted of all nodes together.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    heard: u64,
    heard_bytes: u64,
    said: u64,
    said_bytes: u64,
}

impl Counted {
    const fn hear(&mut self, bytes: usize) {
        self.heard += 1;
        self.heard_bytes += bytes as u64;
    }

    const fn say(&mut self, bytes: usize) {
        self.said += 1;
        self.said_bytes += bytes as u64;
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    plan: Plan,
    filled: Counted,
    steady: Counted,
    changes: u64,
    /// States that a node holds: the fewest and the most.
    states: (usize, usize),
    /// The time of this machine for the steady part.
    took: Duration,
    /// What a node that begins anew at the end reads, and the time of this machine until it has.
    joined: (u64, Duration),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan {
            nodes,
            sites,
            devices,
            seconds,
            ..
        } = self.plan;
        let each = |count: u64| count as f64 / nodes as f64;
        let rate = |count: u64| each(count) / seconds as f64;
        let (filled, steady) = (self.filled, self.steady);
        writeln!(
            f,
            "{nodes} nodes at {sites} sites, {} devices, {} changes in {seconds} s; all nodes agree",
            nodes * devices,
            self.changes
        )?;
        writeln!(
            f,
            "states held by a node: {} to {}",
            self.states.0, self.states.1
        )?;
        writeln!(
            f,
            "until all was there, each node: {:.0} messages in ({:.1} MB), {:.0} out ({:.2} MB)",
            each(filled.heard),
            each(filled.heard_bytes) / 1e6,
            each(filled.said),
            each(filled.said_bytes) / 1e6
        )?;
        writeln!(
            f,
            "then each node and second: {:.1} messages in ({:.1} kB), {:.2} out ({:.2} kB)",
            rate(steady.heard),
            rate(steady.heard_bytes) / 1e3,
            rate(steady.said),
            rate(steady.said_bytes) / 1e3
        )?;
        writeln!(
            f,
            "time of this machine for it: {:.1} s, {:.2} ms for each node and second",
            self.took.as_secs_f64(),
            self.took.as_secs_f64() * 1e3 / (nodes as f64 * seconds as f64)
        )?;
        write!(
            f,
            "a node that begins anew reads {} records, in {:.0} ms of this machine",
            self.joined.0,
            self.joined.1.as_secs_f64() * 1e3
        )
    }
}

/// Runs it.
///
/// # Errors
/// Who does not hold what he should in the end.
pub fn run(plan: Plan) -> Result<Outcome, String> {
    let mut world = World::new(plan);
    world.fill();
    let filled = std::mem::take(&mut world.counted);
    let began = Instant::now();
    let changes = world.live();
    let took = began.elapsed();
    let steady = std::mem::take(&mut world.counted);
    world.run_for(ENDING);
    let states = world.agreement()?;
    let began = Instant::now();
    world.start(0);
    world.run_for(TICK * 3);
    let joined = (world.read_by_first(), began.elapsed());
    Ok(Outcome {
        plan,
        filled,
        steady,
        changes,
        states,
        took,
        joined,
    })
}

/// A node with its server.
struct Member {
    node: Option<Node>,
    site: usize,
    /// When it starts.
    starts_at: Time,
    /// The tag of the server's publication.
    tag: Option<String>,
    states: Vec<DeviceState>,
}

/// A site's bucket, and who reads it.
#[derive(Default)]
struct Bucket {
    last: u64,
    messages: BTreeMap<u64, (String, Option<Vec<u8>>)>,
    of_key: BTreeMap<String, u64>,
    /// Each with whether it reads only what is for all sites.
    readers: BTreeMap<usize, bool>,
}

struct World {
    plan: Plan,
    at: Time,
    dice: Dice,
    members: Vec<Member>,
    buckets: Vec<Bucket>,
    /// What was said in the last tick and arrives in this one.
    on_the_way: VecDeque<(usize, BusCommand)>,
    requests: u64,
    counted: Counted,
    /// Records that node 0 read since it started.
    read_by_first: u64,
}

impl World {
    fn new(plan: Plan) -> Self {
        let mut dice = Dice::new(1);
        let members = (0..plan.nodes).map(|index| Member {
            node: None,
            site: index % plan.sites,
            starts_at: Time::default() + dice.time_below(FILLING / 2),
            tag: None,
            states: vec![DeviceState::Invalid; plan.devices],
        });
        Self {
            plan,
            at: Time::default(),
            members: members.collect(),
            buckets: (0..plan.sites).map(|_| Bucket::default()).collect(),
            on_the_way: VecDeque::new(),
            requests: 0,
            counted: Counted::default(),
            read_by_first: 0,
            dice,
        }
    }

    fn read_by_first(&self) -> u64 {
        self.read_by_first
    }

    /// All nodes start, and all devices get a state.
    fn fill(&mut self) {
        let mut first: Vec<(Time, usize, usize)> = Vec::new();
        for index in 0..self.plan.nodes {
            for device in 0..self.plan.devices {
                let after = self.dice.time_below(FILLING / 2);
                let at = self.members[index].starts_at + Duration::from_secs(1) + after;
                first.push((at, index, device));
            }
        }
        first.sort_unstable();
        let mut first = first.into_iter().peekable();
        let end = self.at + FILLING + ENDING;
        while self.at < end {
            self.tick();
            for index in 0..self.plan.nodes {
                let member = &self.members[index];
                if member.node.is_none() && member.starts_at <= self.at {
                    self.start(index);
                }
            }
            while let Some((_, index, device)) = first.next_if(|(at, ..)| *at <= self.at) {
                self.change(index, device);
            }
        }
    }

    /// Devices change as they do all day. Gives how many did.
    fn live(&mut self) -> u64 {
        let Plan {
            nodes,
            devices,
            changes,
            seconds,
            ..
        } = self.plan;
        let count = nodes as u64 * devices as u64 * changes as u64 * seconds / 3600;
        let ticks = u64::try_from(Duration::from_secs(seconds).as_millis() / TICK.as_millis());
        let ticks = ticks.unwrap_or(u64::MAX).max(1);
        let mut made = 0;
        for tick in 1..=ticks {
            self.tick();
            while made < count * tick / ticks {
                let (index, device) = (self.dice.below(nodes), self.dice.below(devices));
                self.change(index, device);
                made += 1;
            }
        }
        made
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.at + duration;
        while self.at < end {
            self.tick();
        }
    }

    /// A grain of time passes.
    fn tick(&mut self) {
        self.at = self.at + TICK;
        for (from, command) in std::mem::take(&mut self.on_the_way) {
            self.obey(from, command);
        }
        let now = now(self.at);
        for index in 0..self.members.len() {
            let Some(node) = &mut self.members[index].node else {
                continue;
            };
            while node.poll_timeout().is_some_and(|at| at <= now.at) {
                node.handle_timeout(now);
            }
            self.take(index);
        }
    }

    fn start(&mut self, index: usize) {
        for bucket in &mut self.buckets {
            bucket.readers.remove(&index);
        }
        let now = now(self.at);
        let entity_id = node_id(index);
        let mut seed = [0; 32];
        seed[..6].copy_from_slice(&entity_id.as_bytes());
        let config = config(&self.plan, index, self.members[index].site);
        let bind = SocketAddr::from(([127, 0, 0, 1], 5060));
        let setup = Setup {
            config: Arc::new(config),
            entity_id,
            seed,
            secret: [7; 32],
        };
        let mut node = Node::new(now, setup);
        node.start(now, &[(TransportId(0), bind)]);
        node.handle_bus(
            now,
            BusInput::Up {
                server: "simulated",
            },
        );
        let member = &mut self.members[index];
        (member.node, member.tag) = (Some(node), None);
        if index == 0 {
            self.read_by_first = 0;
        }
        self.take(index);
    }

    /// A server tells its node that a device is in another state.
    fn change(&mut self, index: usize, device: usize) {
        let states = [
            DeviceState::NotInUse,
            DeviceState::InUse,
            DeviceState::Ringing,
        ];
        let member = &mut self.members[index];
        let before = member.states[device];
        let others: Vec<DeviceState> = states.into_iter().filter(|it| *it != before).collect();
        let state = *self.dice.pick(&others);
        member.states[device] = state;
        self.requests += 1;
        let request = publish(
            self.requests,
            member.tag.as_deref(),
            &format!(
                r#"{{"type":"devicestate","device":"{}","state":"{}","cachable":1,"eid":"{}"}}"#,
                name(&self.plan, index, device),
                state.as_str(),
                server_id(index)
            ),
        );
        let remote = SocketAddr::from(([127, 0, 0, 2], 5060));
        if let Some(node) = &mut member.node {
            node.handle_datagram(now(self.at), TransportId(0), remote, request.as_bytes());
        }
        self.take(index);
    }

    /// What a node has to say.
    fn take(&mut self, index: usize) {
        let member = &mut self.members[index];
        let Some(node) = &mut member.node else {
            return;
        };
        while let Some(transmit) = node.poll_transmit() {
            let text = String::from_utf8_lossy(transmit.bytes);
            let tag = text
                .lines()
                .find_map(|line| line.strip_prefix("SIP-ETag: "));
            if let Some(tag) = tag {
                member.tag = Some(tag.to_owned());
            }
        }
        while let Some(command) = node.poll_bus() {
            let bytes = match &command {
                BusCommand::Put { key, bytes, .. } => key.len() + bytes.len(),
                BusCommand::Say { topic, bytes } => topic.len() + bytes.len(),
                BusCommand::Withdraw { key, .. } | BusCommand::Erase { key, .. } => key.len(),
                BusCommand::Read { site, .. } => site.len(),
            };
            self.counted.say(bytes);
            self.on_the_way.push_back((index, command));
        }
        while node.poll_event().is_some() {}
    }

    fn obey(&mut self, from: usize, command: BusCommand) {
        let site = self.members[from].site;
        match command {
            BusCommand::Read {
                site,
                wide,
                from: place,
                ..
            } => self.open(from, &site, wide, place),
            BusCommand::Put { number, key, bytes } => {
                self.store(from, site, number, key, Some(bytes));
            }
            BusCommand::Withdraw { number, key } => self.store(from, site, number, key, None),
            BusCommand::Erase { number, key, at } => {
                let bucket = &mut self.buckets[site];
                if let Some(stands) = bucket.of_key.get(&key).copied().filter(|it| *it <= at) {
                    bucket.of_key.remove(&key);
                    bucket.messages.remove(&stands);
                }
                let result = Ok(bucket.last);
                self.give(from, 0, &BusInput::Stored { number, result });
            }
            BusCommand::Say { topic, bytes } => {
                let wide = topic.starts_with("w.");
                let (topic, bytes) = (&*topic, &*bytes);
                for to in 0..self.members.len() {
                    if to != from && (wide || self.members[to].site == site) {
                        let said = BusInput::Said { topic, bytes };
                        self.give(to, topic.len() + bytes.len(), &said);
                    }
                }
            }
        }
    }

    fn open(&mut self, member: usize, name: &str, wide: bool, from: Option<Place>) {
        let Some(site) = (0..self.plan.sites).find(|it| site_name(*it) == name) else {
            return;
        };
        // It is put back when all of it has been given.
        let bucket = std::mem::take(&mut self.buckets[site]);
        let first = from.map_or(0, |place| place.at);
        let read = |key: &str| !wide || key.starts_with("w.");
        let found = bucket.messages.range(first + 1..);
        let found: Vec<_> = found.filter(|(_, (key, _))| read(key)).collect();
        let mut pending = found.len() as u64;
        let opened = BusInput::Opened {
            site: name,
            incarnation: INCARNATION,
            whole: from.is_none(),
            pending,
            last: bucket.last,
        };
        self.give(member, 0, &opened);
        for (at, (key, value)) in found {
            pending -= 1;
            self.read_by_first += u64::from(member == 0);
            let record = BusInput::Record {
                site: name,
                at: *at,
                pending,
                key,
                value: value.as_deref(),
            };
            let bytes = key.len() + value.as_ref().map_or(0, Vec::len);
            self.give(member, bytes, &record);
        }
        self.buckets[site] = bucket;
        self.buckets[site].readers.insert(member, wide);
    }

    fn store(
        &mut self,
        from: usize,
        site: usize,
        number: u64,
        key: String,
        value: Option<Vec<u8>>,
    ) {
        let bucket = &mut self.buckets[site];
        bucket.last += 1;
        let at = bucket.last;
        if let Some(before) = bucket.of_key.insert(key.clone(), at) {
            bucket.messages.remove(&before);
        }
        let readers: Vec<usize> = bucket
            .readers
            .iter()
            .filter(|(_, wide)| !**wide || key.starts_with("w."))
            .map(|(reader, _)| *reader)
            .collect();
        let result = Ok(at);
        self.give(from, 0, &BusInput::Stored { number, result });
        let name = site_name(site);
        let bytes = key.len() + value.as_ref().map_or(0, Vec::len);
        for reader in readers {
            let record = BusInput::Record {
                site: &name,
                at,
                pending: 0,
                key: &key,
                value: value.as_deref(),
            };
            self.give(reader, bytes, &record);
        }
        self.buckets[site].messages.insert(at, (key, value));
    }

    fn give(&mut self, to: usize, bytes: usize, input: &BusInput<'_>) {
        if let Some(node) = &mut self.members[to].node {
            self.counted.hear(bytes);
            node.handle_bus(now(self.at), input.clone());
        }
    }

    /// Whether each node holds what each server said last, and nothing else; the fewest and the most states that one holds.
    fn agreement(&self) -> Result<(usize, usize), String> {
        let (mut fewest, mut most) = (usize::MAX, 0);
        for (at, member) in self.members.iter().enumerate() {
            let Some(node) = &member.node else {
                return Err(format!("node {at} is not there"));
            };
            let mut expected = 0;
            for (of, other) in self.members.iter().enumerate() {
                for (device, state) in other.states.iter().enumerate() {
                    if other.site != member.site && !self.plan.is_wide(device) {
                        continue;
                    }
                    expected += 1;
                    let name = name(&self.plan, of, device);
                    let found = node.device(&name).map(|view| view.state);
                    if found != Some(*state) {
                        return Err(format!(
                            "node {at} holds {found:?} for {name}, not {state:?}"
                        ));
                    }
                }
            }
            if node.states() != expected {
                let held = node.states();
                return Err(format!("node {at} holds {held} states, not {expected}"));
            }
            (fewest, most) = (fewest.min(expected), most.max(expected));
        }
        Ok((fewest, most))
    }
}

fn now(at: Time) -> Now {
    /// 2026-01-01.
    const WALL_AT_ZERO: u64 = 1_767_225_600_000;
    let wall = WallTime::from_millis(WALL_AT_ZERO) + at.since(Time::default());
    Now { at, wall }
}

fn site_name(site: usize) -> String {
    format!("site{site}")
}

fn name(plan: &Plan, node: usize, device: usize) -> String {
    let kind = if plan.is_wide(device) { "PJSIP" } else { "SIP" };
    format!("{kind}/{node}-{device}")
}

fn node_id(index: usize) -> EntityId {
    let [.., high, low] = index.to_be_bytes();
    [2, 0, 0, 1, high, low].into()
}

fn server_id(index: usize) -> EntityId {
    let [.., high, low] = index.to_be_bytes();
    [2, 0, 0, 2, high, low].into()
}

fn config(plan: &Plan, index: usize, site: usize) -> Config {
    let mut text = format!(
        "[lampwire]\ntype=lampwire\nhttp_bind=\nrelay=yes\n\
         [udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:5060\n\
         [cluster]\ntype=cluster\nurl=nats://127.0.0.1\nnode=node{index}\nsite={}\n\
         [server]\ntype=endpoint\nidentify_by=ip\n@entity_id={}\n\
         [server]\ntype=identify\nendpoint=server\nmatch=127.0.0.2\n\
         [server]\ntype=inbound-publication\nendpoint=server\nevent_asterisk-devicestate=server\n\
         [server]\ntype=asterisk-publication\ndevice_state=yes\n",
        site_name(site),
        server_id(index)
    );
    if plan.sites > 1 {
        let rest = text.split_off(text.find("[server]").unwrap_or(text.len()));
        let _ = write!(text, "wide_device_state_filter=^PJSIP/\n{rest}");
    }
    let mut source = MapSource::new([("node.conf", text.as_str())]);
    let (config, findings) = load("node.conf", &mut source);
    let error = findings.iter().find(|it| it.severity == Severity::Error);
    assert!(error.is_none(), "{error:?}\n{text}");
    config
}

fn publish(number: u64, tag: Option<&str>, body: &str) -> String {
    let tag = tag.map_or_else(String::new, |tag| format!("SIP-If-Match: {tag}\r\n"));
    format!(
        "PUBLISH sip:server@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5060;rport;branch=z9hG4bK{number}\r\n\
         From: <sip:server@127.0.0.1>;tag=f{number}\r\nTo: <sip:server@127.0.0.1>\r\nCall-ID: c{number}\r\nCSeq: 1 PUBLISH\r\n\
         Max-Forwards: 70\r\nEvent: asterisk-devicestate\r\n{tag}Expires: 3600\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_one_agrees_and_says_what_it_took() {
        let plan = Plan {
            nodes: 8,
            sites: 2,
            devices: 10,
            wide: 50,
            changes: 600,
            seconds: 5,
        };
        let outcome = run(plan).unwrap_or_else(|wrong| panic!("{wrong}"));
        // Its site's forty, and half of the other's.
        assert_eq!(outcome.states, (60, 60));
        assert!(outcome.joined.0 >= 60, "{outcome}");
        assert!(outcome.changes > 0 && outcome.steady.said > 0, "{outcome}");
    }
}
