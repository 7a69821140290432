//! Three nodes as one over NATS, beside three that tell each other the same by SIP.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::change::{Put, WARM, events, latencies};
use super::rate::bench_from;
use super::{relation, taking};
use crate::common::{self, Node, body, wait_for};
use crate::nats::{self, NatsServer};
use crate::report::{Report, Sample, Target};
use crate::{Lab, Scale, process};

/// Where a change is set, where its event is seen, and who only keeps it.
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const NODES: usize = 3;
/// Who comes when all states are there.
const LATE: usize = 3;
/// States set by one request.
const AT_ONCE: usize = 1_000;
/// Between two looks at a node that takes in what is measured.
const LOOK: Duration = Duration::from_millis(10);
/// How long the longest of this may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Changes a second of a steady load: a million devices with ten an hour each.
const RATE: u64 = 2_778;
/// Publications of that load.
const LANES: u64 = 200;
/// Peers that nothing is told.
const FILTERED: usize = 100;
/// Runs of what takes long.
const LONG_RUNS: usize = 3;

/// The way from one node to another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A bucket of so many replicas, on as many nats-servers.
    Nats(u8),
    Sip,
    /// The first tells the others by SIP, and is in a cluster too, whose nats-server does nothing.
    Hung,
}

/// Nodes, and what is between them.
struct World {
    way: Way,
    net: u8,
    directory: PathBuf,
    /// How many nodes there are; one waits for a late one.
    count: usize,
    nodes: Vec<Node>,
    /// In the order in which they are to end: after the nodes.
    servers: Vec<NatsServer>,
    server_ids: Vec<u32>,
}

/// Of one run.
struct Run {
    per_second: f64,
    /// Of a change, in microseconds: at the node where it is set, at the one that only keeps it, at all nats-servers together.
    cpu: [f64; 3],
    /// Of a change, over TCP: what the node has sent where it is set, and received where it is only kept.
    bytes: [f64; 2],
}

impl World {
    /// So many nodes that know each other.
    fn start(program: &Path, name: &str, net: u8, way: Way, count: usize) -> Self {
        let directory = common::directory(&format!("figures-cluster-{name}"));
        let mut world = Self {
            way,
            net,
            directory,
            count,
            nodes: Vec::new(),
            servers: Vec::new(),
            server_ids: Vec::new(),
        };
        world.start_servers(program, way.servers());
        for index in 0..count {
            let node = world.node(index);
            world.nodes.push(node);
        }
        let first = [(0, "INUSE")];
        world.set("Custom:first", &first);
        for node in &world.nodes {
            wait_for("nodes that hear each other", LOOK, || {
                node.get("/api/v1/devices/Custom:first0").is_some()
            });
        }
        if way == Way::Hung {
            world.servers.iter().for_each(NatsServer::freeze);
        }
        world
    }

    fn start_servers(&mut self, program: &Path, replicas: u8) {
        let addresses: Vec<std::net::IpAddr> = (0..replicas)
            .map(|index| self.server(index.into()).parse().expect("an address"))
            .collect();
        for (index, address) in addresses.iter().enumerate() {
            let name = format!("s{index}");
            let directory = self.directory.join(&name);
            let server = NatsServer::new(program, directory, (&name, *address), &addresses, "");
            let mut server = server.expect("a server's configuration");
            server.start().expect("a server that starts");
            self.server_ids
                .push(process::named("nats-server").expect("its process"));
            self.servers.push(server);
        }
    }

    fn host(&self, index: usize) -> String {
        format!("127.95.{}.{}", self.net, index + 1)
    }

    /// Where a peer of the first node sends from.
    fn load(&self) -> String {
        format!("127.95.{}.201", self.net)
    }

    fn server(&self, index: usize) -> String {
        format!("127.95.{}.{}", self.net, index + 101)
    }

    /// Starts a node, with nothing in mind.
    fn node(&self, index: usize) -> Node {
        let mut sections = String::new();
        if matches!(self.way, Way::Nats(_)) || (self.way == Way::Hung && index == A) {
            let replicas = self.way.servers();
            sections = format!(
                "[figures]\ntype=cluster\nnode=n{index}\nrank={}\nreplicas={replicas}\nurl=nats://{}:{}\n",
                index + 1,
                self.server(index % usize::from(replicas)),
                nats::PORT
            );
        }
        if !matches!(self.way, Way::Nats(_)) {
            // The first one tells all others.
            let others = match (index, self.count) {
                (A, 1) => LATE..=LATE,
                (A, count) => 1..=count - 1,
                _ => A..=A,
            };
            for other in others {
                let at = self.host(other);
                let (own, other) = (format!("n{index}"), format!("n{other}"));
                sections.push_str(&relation(&own, &other, &at, &at, ""));
            }
        }
        if index == A {
            sections.push_str(&taking("load", &self.load()));
        }
        let own = format!(
            "entity_id=02:00:00:00:00:0{}\nstate_dir=\nrelay=yes",
            index + 1
        );
        Node::start(&self.directory, &self.host(index), &own, &sections)
    }

    /// Sets devices of these numbers at the first node.
    fn set(&self, name: &str, states: &[(usize, &str)]) {
        for part in states.chunks(AT_ONCE) {
            let state = part[0].1;
            let devices = part.iter().map(|(number, _)| format!("{name}{number}"));
            self.nodes[A].set(&body(devices, state));
        }
    }

    /// How many states have come to a node from others.
    fn arrived(&self, node: &Node) -> u64 {
        node.metric(match self.way {
            Way::Nats(_) => "lampwire_bus_records_total",
            Way::Sip | Way::Hung => "lampwire_states_received_total{result=\"changed\"}",
        })
    }

    /// So many changes at once, each of another device, until the last of them has arrived.
    fn run(&self, turn: usize, changes: usize) -> Run {
        let state = match turn % 2 {
            0 => "INUSE",
            _ => "NOT_INUSE",
        };
        let states: Vec<(usize, &str)> = (0..changes).map(|it| (100_000 + it, state)).collect();
        let wanted = [B, C].map(|it| self.arrived(&self.nodes[it]) + changes as u64);
        let bytes = || {
            let (sent, _) = tcp(self.nodes[A].id());
            let (_, received) = tcp(self.nodes[C].id());
            [sent, received]
        };
        let (cpu_before, bytes_before) = (self.cpu(), bytes());
        let begin = Instant::now();
        self.set("PJSIP/", &states);
        let here = |index: usize, wanted: u64| {
            patiently(LOOK, || self.arrived(&self.nodes[index]) >= wanted);
        };
        here(B, wanted[0]);
        let took = begin.elapsed().as_secs_f64();
        here(C, wanted[1]);
        let each = |now: f64, before: f64| (now - before) / changes as f64;
        let (cpu_now, bytes_now) = (self.cpu(), bytes());
        let mut run = Run {
            per_second: changes as f64 / took,
            cpu: [0.0; 3],
            bytes: [0.0; 2],
        };
        for (index, cost) in run.cpu.iter_mut().enumerate() {
            *cost = each(cpu_now[index], cpu_before[index]) * 1e6;
        }
        for (index, length) in run.bytes.iter_mut().enumerate() {
            *length = each(bytes_now[index], bytes_before[index]);
        }
        run
    }

    /// Seconds that were used at the first node, at the one that only keeps what it hears, and at all nats-servers.
    fn cpu(&self) -> [f64; 3] {
        let of = |id: u32| process::cpu(id).as_secs_f64();
        let of_servers = self.server_ids.iter().map(|id| of(*id)).sum::<f64>();
        [of(self.nodes[A].id()), of(self.nodes[C].id()), of_servers]
    }

    /// A peer of the first node changes states at a steady rate: what each change costs there, in microseconds.
    fn paced(&self, seconds: u64) -> [f64; 3] {
        let target = format!("sip:load@{}", self.host(A));
        let (cpu_before, before) = (self.cpu(), self.arrived(&self.nodes[C]));
        let told = bench_from(&self.load(), &target, RATE, seconds, LANES);
        assert!(told.is_some(), "the load found no answer");
        let changes = self.arrived(&self.nodes[C]) - before;
        let now = self.cpu();
        [0, 1, 2].map(|index: usize| (now[index] - cpu_before[index]) * 1e6 / changes as f64)
    }
}

impl Way {
    /// How many nats-servers there are.
    fn servers(self) -> u8 {
        match self {
            Self::Nats(replicas) => replicas,
            Self::Hung => 1,
            Self::Sip => 0,
        }
    }

    fn told(self) -> String {
        match self {
            Self::Nats(replicas) => format!("over NATS, R{replicas}"),
            Self::Sip => "by SIP".to_owned(),
            Self::Hung => "by SIP, the nats-server of A hangs".to_owned(),
        }
    }
}

/// Everything of a cluster.
pub(crate) fn cluster(_: &Lab, scale: &Scale, report: &mut Report) {
    let program = match nats::find() {
        Ok(program) => program,
        Err(why) => {
            eprintln!("without a cluster: {why}");
            return;
        }
    };
    let version = Command::new(&program).arg("--version").output();
    if let Ok(version) = version {
        let text = String::from_utf8_lossy(&version.stdout);
        report.machine.push(text.trim().to_owned());
    }
    changes(&program, scale, report);
    withheld(scale, report);
    joins(&program, scale, report);
}

/// What a change costs, how long it is on its way, and how many go through in a second.
fn changes(program: &Path, scale: &Scale, report: &mut Report) {
    let worlds = [
        World::start(program, "r1", 8, Way::Nats(1), NODES),
        World::start(program, "r3", 9, Way::Nats(3), NODES),
        World::start(program, "hung", 14, Way::Hung, NODES),
        World::start(program, "sip", 10, Way::Sip, NODES),
    ];
    let mut medians = [const { Sample(Vec::new()) }; 4];
    let mut tails = [const { Sample(Vec::new()) }; 4];
    let mut streams = worlds.each_ref().map(|world| {
        let seen = events(&world.host(B));
        wait_for("a stream of events", LOOK, || {
            world.nodes[B].metric("lampwire_event_streams") > 0
        });
        (seen, Put::new(&world.host(A)))
    });
    // In turn, so that what disturbs the machine disturbs all.
    for turn in 0..scale.runs {
        for (index, (seen, put)) in streams.iter_mut().enumerate() {
            let first = turn * (scale.changes + WARM);
            let (median, tail) =
                latencies((1, scale.changes), first, seen, |device| put.set(device));
            medians[index].0.extend(median.0);
            tails[index].0.extend(tail.0);
        }
    }
    drop(streams);
    let mut runs = [const { Vec::new() }; 4];
    for turn in 0..=scale.runs {
        for (index, world) in worlds.iter().enumerate() {
            let run = world.run(turn, scale.burst);
            // The first one finds nothing there, and warms everybody up.
            if turn > 0 {
                runs[index].push(run);
            }
        }
    }
    let mut paced = [const { Vec::new() }; 4];
    for turn in 0..=scale.runs {
        for (index, world) in worlds.iter().enumerate() {
            let costs = world.paced(scale.seconds);
            if turn > 0 {
                paced[index].push(costs);
            }
        }
    }
    let at = |place: usize| {
        [0, 1, 2, 3].map(|index: usize| Sample(paced[index].iter().map(|it| it[place]).collect()))
    };
    let of = |of: fn(&Run) -> f64| {
        [0, 1, 2, 3].map(|index: usize| Sample(runs[index].iter().map(of).collect()))
    };
    let rows = [
        (
            "change set at A to event seen at B, idle: median",
            "ms",
            medians,
        ),
        (
            "change set at A to event seen at B, idle: 99 %",
            "ms",
            tails,
        ),
        (
            "changes through from A to B, all at once",
            "changes/s",
            of(|run| run.per_second),
        ),
        (
            "CPU of a change at the node where it is set, HTTP in bulk included",
            "us",
            of(|run| run.cpu[0]),
        ),
        (
            "CPU of a change at a node that has nobody to tell",
            "us",
            of(|run| run.cpu[1]),
        ),
        (
            "CPU of a change that a peer publishes, 2,778 a second, at the node that takes it in",
            "us",
            at(0),
        ),
        (
            "CPU of a change that a peer publishes, 2,778 a second, at a node that has nobody to tell",
            "us",
            at(1),
        ),
    ];
    for (figure, unit, [of_one, of_three, of_hung, of_sip]) in rows {
        for (world, sample) in worlds.iter().zip([of_one, of_three, of_hung]) {
            let way = world.way;
            let beside = Some(("by SIP", &of_sip));
            let figure = format!("{}: {figure}", way.told());
            report.row(figure, unit, &sample, vec![(beside, Target::None)]);
        }
    }
    let rows = [
        (
            "CPU of a change at all nats-servers together, three readers",
            "us",
            of(|run| run.cpu[2]),
        ),
        (
            "CPU of a change at all nats-servers together, three readers, 2,778 a second",
            "us",
            at(2),
        ),
        (
            "bytes of a change that the node sends where it is set",
            "bytes",
            of(|run| run.bytes[0]),
        ),
        (
            "bytes of a change that each other node receives",
            "bytes",
            of(|run| run.bytes[1]),
        ),
    ];
    for (figure, unit, [of_one, of_three, ..]) in rows {
        for (way, sample) in [(worlds[0].way, of_one), (worlds[1].way, of_three)] {
            let figure = format!("{}: {figure}", way.told());
            report.row(figure, unit, &sample, vec![(None, Target::None)]);
        }
    }
}

/// What a change costs for each peer that a filter keeps it from: nobody is told anything, and nobody is there.
fn withheld(scale: &Scale, report: &mut Report) {
    let directory = common::directory("figures-cluster-withheld");
    let node = |index: usize, filter: fn(usize) -> Option<String>| {
        let peers = (0..FILTERED).filter_map(|peer| {
            Some(format!(
                "[p{peer}]\ntype=outbound-publish\nserver_uri=sip:x@127.95.13.{}\nevent=asterisk-devicestate\n\
                 @qualify_frequency=0\n@device_state_filter={}\n",
                peer + 101,
                filter(peer)?
            ))
        });
        let own = format!("entity_id=02:00:00:00:00:0{index}\nstate_dir=");
        let sections: String = peers.collect();
        Node::start(&directory, &format!("127.95.13.{index}"), &own, &sections)
    };
    let nodes = [
        node(1, |_| None),
        node(2, |_| Some("^PJSIP/9".to_owned())),
        node(3, |peer| Some(format!("^PJSIP/9{peer}"))),
    ];
    let mut samples = [const { Sample(Vec::new()) }; 3];
    for turn in 0..=scale.runs {
        for (node, sample) in nodes.iter().zip(&mut samples) {
            let before = process::cpu(node.id());
            let state = if turn % 2 == 0 { "INUSE" } else { "RINGING" };
            for part in (0..scale.burst).collect::<Vec<_>>().chunks(AT_ONCE) {
                let devices = part.iter().map(|it| format!("PJSIP/{}", 100_000 + it));
                node.set(&body(devices, state));
            }
            // Each peer's cursor is to come to the end.
            std::thread::sleep(Duration::from_millis(300));
            let used = process::cpu(node.id()).saturating_sub(before).as_secs_f64();
            if turn > 0 {
                sample.0.push(used * 1e9 / scale.burst as f64);
            }
        }
    }
    let [nobody, one, each] = samples;
    for (what, sample) in [
        ("all have the same filter", one),
        ("each has a filter of its own", each),
    ] {
        let of_one = sample.0.iter().zip(&nobody.0);
        let of_one = of_one.map(|(some, none)| (some - none) / FILTERED as f64);
        report.row(
            format!(
                "CPU of a change for each of {FILTERED} peers that are not to hear of it, {what}"
            ),
            "ns",
            &Sample(of_one.collect()),
            vec![(None, Target::None)],
        );
    }
}

/// How long a node needs that comes when everything is there.
fn joins(program: &Path, scale: &Scale, report: &mut Report) {
    let bus = World::start(program, "join", 11, Way::Nats(1), 1);
    let sip = World::start(program, "join-sip", 12, Way::Sip, 1);
    // What each has is told with it.
    let mut filled = 1;
    for states in scale.joins {
        let begin = Instant::now();
        let new: Vec<(usize, &str)> = (filled..*states).map(|it| (it, "INUSE")).collect();
        bus.set("PJSIP/", &new);
        patiently(LOOK, || {
            let view = view(&bus.nodes[A]);
            view["waiting"] == 0 && view["in_flight"] == 0
        });
        let took = begin.elapsed().as_secs_f64();
        sip.set("PJSIP/", &new);
        filled = *states;
        let rate = Sample(vec![new.len() as f64 / took]);
        let (mut of_bus, mut of_sip, mut memory) =
            (Sample::default(), Sample::default(), Sample::default());
        for _ in 0..scale.runs.min(LONG_RUNS) {
            let (seconds, resident) = join(&bus, *states);
            of_bus.0.push(seconds);
            memory.0.push(resident);
            of_sip.0.push(join(&sip, *states).0);
        }
        let count = thousands(*states);
        report.row(
            format!(
                "over NATS, R1: {count} states put into an empty bucket, until all are confirmed"
            ),
            "states/s",
            &rate,
            vec![(None, Target::None)],
        );
        report.row(
            format!("start of a node to all of {count} states, over NATS and joined"),
            "s",
            &of_bus,
            vec![(Some(("by SIP", &of_sip)), Target::None)],
        );
        report.row(
            format!("memory of a node with {count} states of others, for each"),
            "bytes",
            &memory,
            vec![(None, Target::None)],
        );
        let (bytes, messages) = bucket(&bus.server(0));
        report.row(
            format!("bytes of a state on the disk of a nats-server, of {count}"),
            "bytes",
            &Sample(vec![bytes / messages]),
            vec![(None, Target::None)],
        );
        let resident = process::resident(bus.server_ids[0]) as f64 * 1024.0;
        report.row(
            format!("memory of the nats-server with {count} states"),
            "MB",
            &Sample(vec![resident / 1e6]),
            vec![(None, Target::None)],
        );
    }
}

/// Starts a node and waits until it has so many states, in seconds; also its memory for each state then, in bytes.
fn join(world: &World, states: usize) -> (f64, f64) {
    let begin = Instant::now();
    let late = world.node(LATE);
    patiently(LOOK, || {
        let status = late.get("/api/v1/status").unwrap_or_default();
        let status: Value = serde_json::from_str(&status).unwrap_or_default();
        let is_in = match world.way {
            Way::Nats(_) => status["cluster"]["stage"] == "joined",
            Way::Sip | Way::Hung => true,
        };
        is_in && status["states"].as_u64() == Some(states as u64)
    });
    let took = begin.elapsed().as_secs_f64();
    let resident = process::resident(late.id()) as f64 * 1024.0;
    (took, resident / states as f64)
}

fn view(node: &Node) -> Value {
    let text = node.get("/api/v1/cluster").unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Bytes and messages that a nats-server keeps.
fn bucket(server: &str) -> (f64, f64) {
    let answer = ureq::get(format!("http://{server}:8222/jsz")).call();
    let text = answer
        .ok()
        .and_then(|mut it| it.body_mut().read_to_string().ok());
    let told: Value = serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
    let of = |name: &str| told[name].as_f64().unwrap_or(f64::NAN);
    (of("bytes"), of("messages"))
}

/// What the kernel has counted of a process' connections to nats-servers: bytes sent, and received.
fn tcp(id: u32) -> (f64, f64) {
    let output = Command::new("ss").args(["-tnpiHO"]).output();
    let Ok(output) = output else {
        return (f64::NAN, f64::NAN);
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let own = format!("pid={id},");
    let to = format!(":{} ", nats::PORT);
    let (mut sent, mut received) = (0.0, 0.0);
    for line in text
        .lines()
        .filter(|it| it.contains(&own) && it.contains(&to))
    {
        let of = |name: &str| {
            let found = line.split(' ').find_map(|it| it.strip_prefix(name));
            found.and_then(|it| it.parse::<f64>().ok()).unwrap_or(0.0)
        };
        sent += of("bytes_sent:");
        received += of("bytes_received:");
    }
    (sent, received)
}

/// Asks again and again until it is so, for longer than anything else here takes.
fn patiently(pause: Duration, mut so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < until, "waited in vain");
        std::thread::sleep(pause);
    }
}

/// A number as it is written in figures.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
