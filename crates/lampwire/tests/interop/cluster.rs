//! Several Lampwires as one over NATS: real nats-servers, and real Asterisks that are attached to one or two of the nodes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};

use crate::asterisk::{Asterisk, MAILBOXES, Release};
use crate::certificates::Certificates;
use crate::hub::{relation, transport};
use crate::instance::{Counts, Failure, Instance, LOOK_INTERVAL, Outcome, lab, wait_until};
use crate::lampwire::Lampwire;
use crate::nats::{self, NatsServer};
use crate::relation::{Addresses, NodePlan, Relation};
use crate::report::Verdict;
use crate::{Lab, PATIENCE, tails};

/// How long a lost server's states are held.
const HOLD: Duration = Duration::from_secs(3);
const OPTIONS: &str = "@probe=1\n@qualify_frequency=1\n@qualify_timeout=1\n";

/// How long it may take until everybody is right after a fault is over. Servers of NATS take up to ten seconds until they have agreed on a new leader,
/// and an Asterisk that lost what it published may take half a minute.
const RIGHT: Duration = Duration::from_secs(60);

/// Who is right must stay so for this time: something old may still be on its way.
const STEADY: Duration = Duration::from_secs(3);

/// What is right only after this time, it is told what was wrong.
const SLOW: Duration = Duration::from_secs(10);

/// How long a fault lasts: longer than a node is taken to be there without a sign and its servers' states are held.
const FAULT: Duration = Duration::from_secs(9);

const CLUSTER: &str = "lab";
/// The bucket's stream.
const STREAM: &str = "KV_lampwire_lab_main";

/// Which nodes each Asterisk is attached to.
const ATTACHED: [&[usize]; 3] = [&[0, 1], &[1, 2], &[2]];
const NODES: [&str; 3] = ["n0", "n1", "n2"];
const ASTERISKS: [&str; 3] = ["a0", "a1", "a2"];
/// Which release each Asterisk is.
const RELEASES: [Release; 3] = [
    Release::Asterisk22,
    Release::Asterisk16,
    Release::Asterisk22,
];

/// The device that all Asterisks have a part in, and those that are of one each.
const SUM: &str = "Custom:sum";
const OWN: [&str; 3] = ["Custom:of-0", "Custom:of-1", "Custom:of-2"];

/// A case with three of everything.
struct Case {
    name: &'static str,
    shows: &'static str,
    /// Each node has one server only, so that it is cut off with that.
    one_server_each: bool,
    /// The protocol that each node speaks.
    protocols: [u16; 3],
    run: fn(&mut World) -> Outcome,
}

const CASES: &[Case] = &[
    Case::of(
        "nodes_die",
        "kill -9 of each Lampwire in turn, and of an Asterisk: while it is gone, and when it is back",
        nodes_die,
    ),
    Case::of(
        "a_node_hangs",
        "a Lampwire that is stopped (SIGSTOP) for longer than others hold its servers' states, and goes on",
        a_node_hangs,
    ),
    Case::of(
        "servers_die",
        "kill -9 of a nats-server that follows, and of the one that leads the bucket's stream",
        servers_die,
    ),
    Case::of(
        "nats_away",
        "all nats-servers are killed at once, states change, and they come back",
        nats_away,
    ),
    Case {
        one_server_each: true,
        ..Case::of(
            "partition",
            "one node cut off from the bus, of the two that an Asterisk is attached to, and then of the only one",
            partition,
        )
    },
    Case::of(
        "restart_of_all",
        "all nine processes are killed and started again in another order, twice",
        restart_of_all,
    ),
    Case {
        protocols: [3, 1, 3],
        ..Case::of(
            "versions",
            "one node speaks the protocol of two versions ago; it and its neighbour are killed and come back",
            versions,
        )
    },
];

/// Names a seed and how many rounds, as in `7:50`, for the case that is run by hand.
const CHAOS: &str = "LAMPWIRE_CHAOS";
const BY_HAND: Case = Case {
    protocols: [3, 2, 1],
    ..Case::of(
        "chaos",
        "in each round one to four of the nine are killed or stopped at any moment, and come back in any order",
        chaos,
    )
};

impl Case {
    const fn of(name: &'static str, shows: &'static str, run: fn(&mut World) -> Outcome) -> Self {
        Self {
            name,
            shows,
            one_server_each: false,
            protocols: [3; 3],
            run,
        }
    }
}

/// A case with servers and nodes only.
type Small = fn(&mut Site) -> Outcome;

const SMALL: [(&str, &str, Small); 3] = [
    (
        "two_nodes_and_a_late_one",
        "what is set over HTTP at one node shows on the other, also its end; a node that comes later has everything",
        two_nodes_and_a_late_one,
    ),
    (
        "a_full_bucket",
        "a bucket that is full, and servers that stand still: the node says so and goes on at its own speed, and both see everything when that is over",
        a_full_bucket,
    ),
    (
        "logins",
        "a password, a token, an nkey, a .creds file, TLS with a certificate on both sides; what is wrong is refused, and said",
        logins,
    ),
];

/// How long it took until all was right after each fault, in the order of the faults.
pub(crate) type RightAfter = Vec<(&'static str, Duration)>;

/// The trials; the addresses of the first are those of number `first_number`.
pub(crate) fn trials(lab_: &Arc<Lab>, first_number: usize) -> Vec<Trial> {
    let program = nats::find();
    let mut trials = Vec::new();
    let ignored = |name: &str, reason: &str| {
        Trial::test(format!("{name} ({reason})"), || Ok(())).with_ignored_flag(true)
    };
    for (case, shows, run) in SMALL {
        let (name, number) = (format!("cluster::{case}"), first_number + trials.len());
        let lab_ = Arc::clone(lab_);
        trials.push(match &program {
            Err(reason) => ignored(&name, reason),
            Ok(program) => {
                let program = program.clone();
                Trial::test(name, move || {
                    let mut site = Site::new(&lab_, &program, case, number);
                    let begun = Instant::now();
                    let outcome = run(&mut site);
                    let right = std::mem::take(&mut site.right_after);
                    finish(&lab_, (case, shows), begun, outcome, right, &site.logs)
                })
            }
        });
    }
    let by_hand = std::env::var_os(CHAOS).map(|_| &BY_HAND);
    for case in CASES.iter().chain(by_hand) {
        let name = format!("mixed::cluster::{}", case.name);
        let number = first_number + trials.len();
        let missing = RELEASES.iter().find(|it| !lab_.found.contains_key(it));
        let lab_ = Arc::clone(lab_);
        trials.push(match (&program, missing) {
            (Err(reason), _) => ignored(&name, reason),
            (Ok(_), Some(release)) => ignored(&name, &format!("{release} is missing")),
            (Ok(program), None) => {
                let program = program.clone();
                Trial::test(name, move || run(&lab_, &program, case, number))
            }
        });
    }
    if let Err(reason) = program
        && let required = std::env::var("LAMPWIRE_REQUIRE").unwrap_or_default()
        && required.split(',').any(|word| word.trim() == nats::WORD)
    {
        let reason = format!("LAMPWIRE_REQUIRE asks for nats, and there is {reason}");
        trials.push(Trial::test("cluster::nats_is_there", move || {
            Err(reason.into())
        }));
    }
    trials
}

fn run(lab_: &Lab, program: &Path, case: &Case, number: usize) -> Result<(), Failed> {
    let begun = Instant::now();
    let mut world =
        World::new(lab_, program, case, number).map_err(|it| Failed::from(it.to_string()))?;
    let outcome = world.start().and_then(|()| (case.run)(&mut world));
    let right = std::mem::take(&mut world.right_after);
    let names = (case.name, case.shows);
    finish(lab_, names, begun, outcome, right, &world.logs())
}

fn finish(
    lab_: &Lab,
    names: (&'static str, &'static str),
    begun: Instant,
    outcome: Outcome,
    right_after: RightAfter,
    logs: &[PathBuf],
) -> Result<(), Failed> {
    for (fault, after) in &right_after {
        println!(
            "cluster::{}: {fault}: right after {:.2} s",
            names.0,
            after.as_secs_f32()
        );
    }
    let verdict = Verdict {
        passed: outcome.is_ok(),
        took: begun.elapsed(),
    };
    lab_.report.add_clustered(names, verdict, right_after);
    outcome.map_err(|failure| format!("{failure}\n{}", tails(logs)).into())
}

fn directory_of(lab_: &Lab, case: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("interop")
        .join(format!("{}-cluster-{case}", lab_.block))
}

/// A Lampwire of this name, and the section that makes it a node of the cluster.
fn node(
    directory: &Path,
    addresses: Addresses,
    name: &'static str,
    address: IpAddr,
    entity_id: &'static str,
) -> Outcome<Lampwire> {
    let mut plan: NodePlan = Relation::default().subject_plan(addresses, directory);
    (plan.name, plan.address, plan.entity_id) = (name, address, entity_id);
    Lampwire::new(directory.join(name), plan)
}

fn cluster_section(name: &str, rank: usize, urls: &[String], more: &str) -> String {
    format!(
        "[{CLUSTER}]\ntype=cluster\nnode={name}\nrank={rank}\nurl={}\n{more}\n",
        urls.join("\nurl=")
    )
}

// ---- three of everything

/// Three nats-servers, three Lampwires, three Asterisks, and what the Asterisks have said.
struct World {
    servers: Vec<NatsServer>,
    nodes: Vec<Lampwire>,
    peers: Vec<Asterisk>,
    /// What each Asterisk said last of its own device and of the sum; `None`: it is not heard.
    said: [Option<[&'static str; 2]>; 3],
    /// What each is to see of itself if nobody can reach it.
    mailbox: Counts,
    right_after: RightAfter,
    /// How many changes there were, so that each is another.
    turn: usize,
}

impl World {
    fn new(lab_: &Lab, program: &Path, case: &Case, number: usize) -> Outcome<Self> {
        let addresses = Addresses::new(lab_.block, number);
        let directory = directory_of(lab_, case.name);
        if directory.exists() {
            std::fs::remove_dir_all(&directory).map_err(lab(directory.display()))?;
        }
        let third_party = SocketAddr::new(addresses.third_party(), 0);
        let place = |first: u8| {
            move |index: usize| addresses.host(first + u8::try_from(index).expect("three"))
        };
        let (server_at, node_at, peer_at) = (place(20), place(10), place(5));
        let all: Vec<IpAddr> = (0..3).map(server_at).collect();
        let mut servers = Vec::new();
        for (index, name) in ["s0", "s1", "s2"].into_iter().enumerate() {
            let here = (name, server_at(index));
            servers.push(NatsServer::new(
                program,
                directory.join(name),
                here,
                &all,
                "",
            )?);
        }
        let urls: Vec<String> = servers.iter().map(NatsServer::url).collect();
        let mut nodes = Vec::new();
        for (index, name) in NODES.into_iter().enumerate() {
            let address = node_at(index);
            let eid = [
                "02:00:00:00:00:11",
                "02:00:00:00:00:12",
                "02:00:00:00:00:13",
            ][index];
            let node = node(&directory, addresses, name, address, eid)?;
            let urls = match case.one_server_each {
                true => &urls[index..=index],
                false => &urls[..],
            };
            let more = format!("replicas=3\nprotocol={}\n", case.protocols[index]);
            let mut sections = format!(
                "[lampwire]\ntype=lampwire\nrelay=yes\nhold_time={}\n\n{}{}",
                HOLD.as_secs(),
                transport(address),
                cluster_section(name, 100 + index, urls, &more)
            );
            for (peer, attached) in ATTACHED.iter().enumerate() {
                if attached.contains(&index) {
                    let resource = format!("{}-{name}", ASTERISKS[peer]);
                    let there = peer_at(peer);
                    sections += &relation(ASTERISKS[peer], &resource, there, OPTIONS, true);
                }
            }
            node.configure(&sections)?;
            nodes.push(node);
        }
        let mut peers = Vec::new();
        for (index, name) in ASTERISKS.into_iter().enumerate() {
            let release = RELEASES[index];
            let root = lab_
                .found
                .get(&release)
                .ok_or_else(|| Failure::Lab(format!("{release} is missing")))?;
            let mut plan: NodePlan = Relation::default().subject_plan(addresses, &directory);
            (plan.name, plan.address) = (name, peer_at(index));
            plan.entity_id = [
                "02:00:00:00:00:02",
                "02:00:00:00:00:03",
                "02:00:00:00:00:04",
            ][index];
            let address = plan.address;
            let peer = Asterisk::new(release, root, directory.join(name), plan, third_party)?;
            let mut own = transport(address);
            for node in ATTACHED[index] {
                let resource = format!("{name}-{}", NODES[*node]);
                own += &relation(NODES[*node], &resource, node_at(*node), "", true);
            }
            peer.configure(&own, &MAILBOXES.map(str::to_owned))?;
            peer.with_hints(&[SUM, OWN[0], OWN[1], OWN[2]])?;
            peers.push(peer);
        }
        Ok(Self {
            servers,
            nodes,
            peers,
            said: [None; 3],
            mailbox: (1, 0),
            right_after: Vec::new(),
            turn: 0,
        })
    }

    /// Starts all of them, and sees that everybody is right.
    fn start(&mut self) -> Outcome {
        for server in &mut self.servers {
            server.start()?;
        }
        for node in &mut self.nodes {
            node.start()?;
        }
        for peer in &mut self.peers {
            peer.start()?;
        }
        self.change(&[0, 1, 2])?;
        self.is_right("from the start", &[0, 1, 2])
    }

    fn logs(&self) -> Vec<PathBuf> {
        let mut logs: Vec<PathBuf> = self.servers.iter().map(NatsServer::log).collect();
        logs.extend(self.nodes.iter().flat_map(Instance::logs));
        logs.extend(self.peers.iter().flat_map(Instance::logs));
        logs
    }

    /// Each of these Asterisks says something else than before, and the first one gives a mailbox other counts.
    fn change(&mut self, on: &[usize]) -> Outcome {
        const STATES: [&str; 3] = ["INUSE", "RINGING", "NOT_INUSE"];
        self.turn += 1;
        for index in on.iter().copied() {
            let own = STATES[(self.turn + index) % 3];
            let part = STATES[(self.turn + 2 * index) % 3];
            // What is newest counts, whatever went on between.
            for state in ["ONHOLD", own] {
                self.peers[index].set_device(OWN[index], state)?;
            }
            self.peers[index].set_device(SUM, part)?;
            self.said[index] = Some([own, part]);
        }
        if on.contains(&0) {
            self.mailbox = (u32::try_from(self.turn).expect("few turns") + 1, 2);
            self.peers[0].set_mailbox(MAILBOXES[0], self.mailbox)?;
        }
        Ok(())
    }

    /// What everybody who can be reached is to show.
    fn expected(&self) -> BTreeMap<&'static str, &'static str> {
        let parts: Vec<&str> = self.said.iter().flatten().map(|it| it[1]).collect();
        let sum = match (parts.contains(&"INUSE"), parts.contains(&"RINGING")) {
            (true, true) => "RINGINUSE",
            (true, false) => "INUSE",
            (false, true) => "RINGING",
            (false, false) => "NOT_INUSE",
        };
        let own = OWN.into_iter().zip(self.said);
        let own = own.map(|(device, said)| (device, said.map_or("INVALID", |it| it[0])));
        own.chain([(SUM, sum)]).collect()
    }

    /// Waits until these Asterisks show what they should, devices, hints and the mailbox, and go on to; and remembers how long that took.
    fn is_right(&mut self, fault: &'static str, on: &[usize]) -> Outcome {
        let begun = Instant::now();
        let deadline = begun + RIGHT;
        let expected = self.expected();
        let mut since: Option<Instant> = None;
        let mut last_wrong = String::new();
        loop {
            let looked = Instant::now();
            let wrong = self.what_is_wrong(&expected, on)?;
            if wrong.is_empty() {
                let since = *since.get_or_insert(looked);
                if since.elapsed() >= STEADY {
                    if since - begun > SLOW {
                        println!("{fault}: wrong for longest: {last_wrong}");
                    }
                    self.right_after.push((fault, since - begun));
                    return Ok(());
                }
            } else {
                since = None;
                last_wrong = wrong.join("; ");
            }
            if Instant::now() >= deadline {
                return Err(Failure::Expectation(format!(
                    "{fault}: {} s after: {}",
                    RIGHT.as_secs(),
                    wrong.join("; ")
                )));
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }

    fn what_is_wrong(
        &mut self,
        expected: &BTreeMap<&'static str, &'static str>,
        on: &[usize],
    ) -> Outcome<Vec<String>> {
        let mut wrong = Vec::new();
        for index in on {
            let peer = &mut self.peers[*index];
            let name = ASTERISKS[*index];
            let shown = peer.devices()?;
            let hints = peer.hints()?;
            for (device, state) in expected {
                let seen = shown.get(*device).map(String::as_str);
                if seen != Some(*state) {
                    wrong.push(format!("{device} on {name} is {seen:?}, not {state}"));
                }
                let (hint, wanted) = (hints.get(*device).map(String::as_str), hint_of(state));
                if hint != Some(wanted) {
                    wrong.push(format!(
                        "the hint of {device} on {name} is {hint:?}, not {wanted}"
                    ));
                }
            }
            let counts = peer.mailbox(MAILBOXES[0])?;
            if counts != Some(self.mailbox) {
                wrong.push(format!(
                    "the mailbox on {name} is {counts:?}, not {:?}",
                    self.mailbox
                ));
            }
        }
        Ok(wrong)
    }

    /// Waits until a server leads the bucket's stream, and gives its place.
    fn leader(&self) -> Outcome<usize> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let named = self.servers.iter().find_map(|it| it.leader_of(STREAM));
            let mut names = self.servers.iter().map(NatsServer::name);
            if let Some(named) = named
                && let Some(place) = names.position(|it| it == named)
            {
                return Ok(place);
            }
            if Instant::now() >= deadline {
                return Err(Failure::Lab(format!("nobody leads {STREAM}")));
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }
}

/// What `core show hints` calls a state.
fn hint_of(state: &str) -> &'static str {
    match state {
        "INUSE" => "InUse",
        "RINGING" => "Ringing",
        "RINGINUSE" => "InUse&Ringing",
        "NOT_INUSE" => "Idle",
        _ => "Unavailable",
    }
}

fn nodes_die(world: &mut World) -> Outcome {
    // Home of two and speaker to them: both are attached elsewhere too.
    world.nodes[1].kill()?;
    world.change(&[0, 1, 2])?;
    world.is_right("n1 killed, two Asterisks on it", &[0, 1, 2])?;
    world.nodes[1].start()?;
    world.change(&[1, 2])?;
    world.is_right("n1 back", &[0, 1, 2])?;
    world.nodes[0].kill()?;
    world.nodes[0].start()?;
    world.change(&[0])?;
    world.is_right("n0 killed and started at once", &[0, 1, 2])?;
    // The only way to the third Asterisk.
    world.nodes[2].kill()?;
    let before = world.said[2].take();
    world.change(&[0, 1])?;
    world.is_right("n2 killed, the only one of a2", &[0, 1])?;
    world.said[2] = before;
    world.change(&[2])?;
    world.nodes[2].start()?;
    world.is_right("n2 back", &[0, 1, 2])?;

    world.peers[1].kill()?;
    world.said[1] = None;
    world.change(&[0, 2])?;
    world.is_right("a1 killed", &[0, 2])?;
    world.peers[1].start()?;
    world.change(&[1])?;
    world.is_right("a1 back", &[0, 1, 2])
}

fn a_node_hangs(world: &mut World) -> Outcome {
    world.nodes[1].freeze();
    world.change(&[0, 1, 2])?;
    world.is_right("n1 stopped", &[0, 1, 2])?;
    thread::sleep(FAULT);
    world.change(&[0, 1])?;
    world.nodes[1].thaw();
    world.is_right("n1 goes on", &[0, 1, 2])?;
    world.nodes[2].freeze();
    let before = world.said[2].take();
    world.change(&[0, 1])?;
    world.is_right("n2 stopped, the only one of a2", &[0, 1])?;
    world.said[2] = before;
    world.nodes[2].thaw();
    world.is_right("n2 goes on", &[0, 1, 2])
}

fn servers_die(world: &mut World) -> Outcome {
    let leader = world.leader()?;
    let follower = (leader + 1) % 3;
    world.servers[follower].kill()?;
    world.change(&[0, 1, 2])?;
    world.is_right("a following nats-server killed", &[0, 1, 2])?;
    world.servers[follower].start()?;
    world.change(&[0, 1])?;
    world.is_right("it is back", &[0, 1, 2])?;
    let leader = world.leader()?;
    world.servers[leader].kill()?;
    world.change(&[0, 1, 2])?;
    world.is_right("the leader of the stream killed", &[0, 1, 2])?;
    world.servers[leader].start()?;
    world.change(&[1, 2])?;
    world.is_right("it is back too", &[0, 1, 2])
}

fn nats_away(world: &mut World) -> Outcome {
    for server in &mut world.servers {
        server.kill()?;
    }
    world.change(&[0, 1, 2])?;
    // Each node tells its own Asterisks what it hears itself: a1 and a2 are both at n2, and a0 and a1 at n1.
    let own = |world: &World, index: usize| world.said[index].expect("all are heard")[0];
    for (of, on) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
        let (device, state) = (OWN[of], own(world, of).to_owned());
        let what = format!("{device} on {} while NATS is away", ASTERISKS[on]);
        wait_until(PATIENCE, &what, &state, || world.peers[on].device(device))?;
    }
    thread::sleep(FAULT);
    world.change(&[0, 1, 2])?;
    for server in &mut world.servers {
        server.start()?;
    }
    world.is_right("NATS away and back", &[0, 1, 2])
}

fn partition(world: &mut World) -> Outcome {
    // Both of a0's nodes go on hearing it; n0 sees nobody.
    world.servers[0].freeze();
    thread::sleep(FAULT);
    world.change(&[0, 1, 2])?;
    world.is_right(
        "n0 cut off, its Asterisk is attached elsewhere too",
        &[0, 1, 2],
    )?;
    world.change(&[0, 1])?;
    world.servers[0].thaw();
    world.is_right("n0 sees the others again", &[0, 1, 2])?;
    // The others lose a2 with n2, and a2 knows no news of a0.
    world.servers[2].kill()?;
    world.change(&[0, 1, 2])?;
    thread::sleep(FAULT);
    world.change(&[0, 1, 2])?;
    world.servers[2].start()?;
    world.is_right("n2 cut off and back", &[0, 1, 2])
}

fn restart_of_all(world: &mut World) -> Outcome {
    // Each number is one process: servers, nodes, Asterisks.
    for (name, order) in [
        (
            "all restarted, Asterisks first and NATS last",
            [7, 6, 8, 4, 3, 5, 1, 2, 0],
        ),
        ("all restarted, mixed", [2, 3, 6, 0, 8, 5, 1, 4, 7]),
    ] {
        for server in &mut world.servers {
            server.kill()?;
        }
        for node in &mut world.nodes {
            node.kill()?;
        }
        for peer in &mut world.peers {
            peer.kill()?;
        }
        for process in order {
            match process / 3 {
                0 => world.servers[process % 3].start()?,
                1 => world.nodes[process % 3].start()?,
                _ => world.peers[process % 3].start()?,
            }
        }
        world.change(&[0, 1, 2])?;
        world.is_right(name, &[0, 1, 2])?;
    }
    Ok(())
}

fn versions(world: &mut World) -> Outcome {
    world.nodes[0].kill()?;
    world.change(&[0, 1, 2])?;
    world.is_right("n0 killed, the older one takes its roles", &[0, 1, 2])?;
    world.nodes[0].start()?;
    world.nodes[1].kill()?;
    world.change(&[0, 1, 2])?;
    world.is_right("n0 back, the older one killed", &[0, 1, 2])?;
    world.nodes[1].start()?;
    world.change(&[0, 1, 2])?;
    world.is_right("the older one back", &[0, 1, 2])
}

/// Numbers by chance, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        // Knuth's multiplier; the high bits are good enough here.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }

    fn pause(&mut self, longest: Duration) {
        let share = u32::try_from(self.below(1000)).expect("below 1000");
        thread::sleep(longest * share / 1000);
    }
}

fn chaos(world: &mut World) -> Outcome {
    let asked = std::env::var(CHAOS).unwrap_or_default();
    let (seed, rounds) = asked.split_once(':').unwrap_or((&asked, "10"));
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or(1);
    let (mut dice, rounds) = (Dice(number(seed)), number(rounds));
    for round in 1..=rounds {
        let mut hit: Vec<(usize, bool)> = Vec::new();
        for _ in 0..=dice.below(4) {
            let (process, frozen) = (dice.below(9), dice.below(3) == 0);
            if hit.iter().any(|it| it.0 == process) {
                continue;
            }
            // An Asterisk that stands still takes the manager interface with it, by which it is seen.
            let frozen = frozen && process < 6;
            hit.push((process, frozen));
            match (process / 3, frozen) {
                (0, true) => world.servers[process % 3].freeze(),
                (0, false) => world.servers[process % 3].kill()?,
                (1, true) => world.nodes[process % 3].freeze(),
                (1, false) => world.nodes[process % 3].kill()?,
                _ => world.peers[process % 3].kill()?,
            }
            let there: Vec<usize> = (0..3)
                .filter(|it| !hit.contains(&(6 + it, false)) && dice.below(2) == 0)
                .collect();
            world.change(&there)?;
            dice.pause(Duration::from_secs(9));
        }
        println!("chaos: round {round}: {hit:?} (true: stopped, not killed)");
        while !hit.is_empty() {
            let chosen = dice.below(hit.len());
            let (process, frozen) = hit.swap_remove(chosen);
            match (process / 3, frozen) {
                (0, true) => world.servers[process % 3].thaw(),
                (0, false) => world.servers[process % 3].start()?,
                (1, true) => world.nodes[process % 3].thaw(),
                (1, false) => world.nodes[process % 3].start()?,
                _ => world.peers[process % 3].start()?,
            }
            if process >= 6 {
                // Its database is some seconds old.
                world.change(&[process % 3])?;
            }
            dice.pause(Duration::from_secs(2));
        }
        world.is_right("a round of chaos", &[0, 1, 2])?;
    }
    Ok(())
}

// ---- servers and nodes only

/// Where nodes stand that no Asterisk is attached to.
struct Site {
    program: PathBuf,
    directory: PathBuf,
    addresses: Addresses,
    logs: Vec<PathBuf>,
    right_after: RightAfter,
}

impl Site {
    fn new(lab_: &Lab, program: &Path, case: &str, number: usize) -> Self {
        let directory = directory_of(lab_, case);
        // What cannot be removed is found out when something is written there.
        let _ = std::fs::remove_dir_all(&directory);
        Self {
            program: program.to_owned(),
            directory,
            addresses: Addresses::new(lab_.block, number),
            logs: Vec::new(),
            right_after: Vec::new(),
        }
    }

    fn server(&mut self, name: &str, more: &str) -> Outcome<NatsServer> {
        let directory = self.directory.join(name);
        let address = self.addresses.host(20);
        let mut server = NatsServer::new(&self.program, directory, (name, address), &[], more)?;
        server.start()?;
        self.logs.push(server.log());
        Ok(server)
    }

    fn node(&mut self, index: usize, urls: &[String], more: &str) -> Outcome<Lampwire> {
        let part = u8::try_from(index).expect("three");
        let address = self.addresses.host(10 + part);
        let eid = [
            "02:00:00:00:00:11",
            "02:00:00:00:00:12",
            "02:00:00:00:00:13",
        ][index];
        let name = NODES[index];
        let mut node = node(&self.directory, self.addresses, name, address, eid)?;
        let sections = format!(
            "[lampwire]\ntype=lampwire\nrelay=yes\n\n{}{}",
            transport(address),
            cluster_section(name, 100 + index, urls, more)
        );
        node.configure(&sections)?;
        node.start()?;
        self.logs.extend(node.logs());
        Ok(node)
    }
}

fn two_nodes_and_a_late_one(site: &mut Site) -> Outcome {
    const MANY: usize = 500;
    let mut server = site.server("s0", "")?;
    let urls = [server.url()];
    let mut nodes = vec![site.node(0, &urls, "")?, site.node(1, &urls, "")?];
    let mailbox = MAILBOXES[0];
    for state in ["INUSE", "RINGING", "INUSE"] {
        nodes[0].set_device("Custom:a", state)?;
        let other = &mut nodes[1];
        wait_until(PATIENCE, "Custom:a at n1", &state.to_owned(), || {
            other.device("Custom:a")
        })?;
    }
    nodes[1].set_mailbox(mailbox, (3, 1))?;
    let first = &mut nodes[0];
    wait_until(PATIENCE, mailbox, &(3, 1), || first.mailbox(mailbox))?;
    // Both have a part in it.
    nodes[0].set_device("Custom:sum", "INUSE")?;
    nodes[1].set_device("Custom:sum", "RINGING")?;
    for node in &mut nodes {
        wait_until(PATIENCE, "the sum", &"RINGINUSE".to_owned(), || {
            node.device("Custom:sum")
        })?;
    }
    nodes[0].unset_device("Custom:a")?;
    let other = &mut nodes[1];
    wait_until(PATIENCE, "Custom:a has ended at n1", &true, || {
        Ok(Some(
            other.device("Custom:a")?.is_none_or(|it| it == "INVALID"),
        ))
    })?;
    for number in 0..MANY {
        nodes[0].set_device(&format!("Custom:m{number}"), "INUSE")?;
    }

    let begun = Instant::now();
    let mut late = site.node(2, &urls, "")?;
    for number in 0..MANY {
        let device = format!("Custom:m{number}");
        wait_until(PATIENCE, &device, &"INUSE".to_owned(), || {
            late.device(&device)
        })?;
    }
    wait_until(PATIENCE, "the sum at n2", &"RINGINUSE".to_owned(), || {
        late.device("Custom:sum")
    })?;
    wait_until(PATIENCE, mailbox, &(3, 1), || late.mailbox(mailbox))?;
    let gone = late.device("Custom:a")?;
    if gone.is_some_and(|it| it != "INVALID") {
        return Err(Failure::Expectation("what had ended is there again".into()));
    }
    site.right_after.push(("a late node", begun.elapsed()));

    // The bucket is lost with its server; every node puts its own there again.
    nodes[1].kill()?;
    server.kill()?;
    let store = site.directory.join("s0/store");
    std::fs::remove_dir_all(&store).map_err(lab(store.display()))?;
    server.start()?;
    let begun = Instant::now();
    nodes[0].set_device("Custom:b", "BUSY")?;
    wait_until(PATIENCE, "Custom:b at n2", &"BUSY".to_owned(), || {
        late.device("Custom:b")
    })?;
    nodes[1].start()?;
    let other = &mut nodes[1];
    for device in ["Custom:m0", "Custom:m499"] {
        wait_until(PATIENCE, device, &"INUSE".to_owned(), || {
            other.device(device)
        })?;
    }
    site.right_after
        .push(("the bucket lost, a node restarted", begun.elapsed()));
    Ok(())
}

fn a_full_bucket(site: &mut Site) -> Outcome {
    const MANY: usize = 300;
    let server = site.server("s0", "")?;
    let urls = [server.url()];
    let mut one = site.node(0, &urls, "max_bytes=16384\n")?;
    let mut other = site.node(1, &urls, "max_bytes=16384\n")?;
    one.set_device("Custom:first", "INUSE")?;
    wait_until(PATIENCE, "the first", &"INUSE".to_owned(), || {
        other.device("Custom:first")
    })?;
    for number in 0..MANY {
        one.set_device(&format!("Custom:m{number}"), "INUSE")?;
    }
    let said = |node: &Lampwire, what: &str| {
        let bytes = std::fs::read(&node.logs()[0]).unwrap_or_default();
        String::from_utf8_lossy(&bytes).contains(what)
    };
    wait_until(PATIENCE, "that the bucket is full is told", &true, || {
        Ok(Some(said(&one, "maximum bytes exceeded")))
    })?;
    let last = format!("Custom:m{}", MANY - 1);
    wait_until(PATIENCE, "the last", &"INUSE".to_owned(), || {
        one.device(&last)
    })?;

    // One that fits it has other settings, which every node takes as they are: a bucket of another cluster, so that this one stays as it is.
    let roomy = format!("cluster={CLUSTER}-2\n");
    one.kill()?;
    other.kill()?;
    let mut one = site.node(0, &urls, &roomy)?;
    let mut other = site.node(1, &urls, &roomy)?;
    one.set_device("Custom:first", "INUSE")?;
    wait_until(PATIENCE, "the first again", &"INUSE".to_owned(), || {
        other.device("Custom:first")
    })?;
    server.freeze();
    for number in 0..MANY {
        one.set_device(&format!("Custom:m{number}"), "RINGING")?;
    }
    for node in [&one, &other] {
        let what = "the server stands still, and the node knows it";
        wait_until(PATIENCE, what, &"down".to_owned(), || node.bus().map(Some))?;
    }
    one.set_device("Custom:first", "BUSY")?;
    server.thaw();
    let begun = Instant::now();
    for (device, state) in [("Custom:first", "BUSY"), (&last, "RINGING")] {
        wait_until(PATIENCE, device, &state.to_owned(), || other.device(device))?;
    }
    site.right_after
        .push(("servers that stood still", begun.elapsed()));
    Ok(())
}

/// An nkey that was made for this and is used nowhere else: its seed, and its public half.
const NKEY: [&str; 2] = [
    "SUALP7T4WNDJ3RF26HHOZHR4A24Z3UTEIE7G3XQMR75RROZJNJO34CSV6U",
    "UAWIJX7EBNSIKZZOZCAU6JDAIWGY6NQF662RWWJDOSEXDJ4R4SDISVQP",
];

/// The same of an operator with one account, and a user of it.
const OPERATOR: &str = include_str!("nats/operator.conf");
const CREDENTIALS: &str = include_str!("nats/user.creds");

fn logins(site: &mut Site) -> Outcome {
    let tls = site.directory.join("tls");
    let certificates = Certificates::new("The servers' authority")?;
    certificates.write(&tls, site.addresses.host(20))?;
    let client = site.directory.join("client");
    certificates.write(&client, site.addresses.host(10))?;
    let at = |directory: &Path, name: &str| directory.join(name).display().to_string();
    let by_nkey = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", NKEY[1]);
    let by_tls = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
        at(&tls, "certificate.pem"),
        at(&tls, "key.pem"),
        at(&tls, "authority.pem")
    );
    let with_certificate = format!(
        "tls=yes\nca_list_file={}\ncert_file={}\npriv_key_file={}\n",
        at(&tls, "authority.pem"),
        at(&client, "certificate.pem"),
        at(&client, "key.pem")
    );
    let other_authority = Certificates::new("Another authority")?;
    let other = site.directory.join("other");
    other_authority.write(&other, site.addresses.host(10))?;
    let with_other_authority = format!("tls=yes\nca_list_file={}\n", at(&other, "authority.pem"));
    let nkey = format!("nkey={}\n", NKEY[0]);
    let creds = site.directory.join("user.creds");
    std::fs::write(&creds, CREDENTIALS).map_err(lab("user.creds"))?;
    let creds = format!("credentials={}\n", creds.display());
    let password = "authorization { user: lamp, password: wire }";
    let token = "authorization { token: \"of-all\" }";
    let ways: [(&str, &str, &str, &str, &str); 5] = [
        (
            "password",
            password,
            "username=lamp\npassword=wire\n",
            "username=lamp\npassword=none\n",
            "wrong username= or password=",
        ),
        (
            "token",
            token,
            "token=of-all\n",
            "",
            "it wants a login, and none is configured",
        ),
        (
            "nkey",
            &by_nkey,
            &nkey,
            "token=x\n",
            "it refuses the login: wrong token=",
        ),
        (
            "creds",
            OPERATOR,
            &creds,
            "",
            "it wants a login, and none is configured",
        ),
        (
            "tls",
            &by_tls,
            &with_certificate,
            &with_other_authority,
            "certificate",
        ),
    ];
    for (name, server, right, wrong, why) in ways {
        let mut server = site.server(name, server)?;
        let urls = [server.url()];
        // That of the last one.
        let _ = std::fs::remove_file(site.directory.join(NODES[0]).join("log"));
        let mut refused = site.node(0, &urls, wrong)?;
        let said = |node: &Lampwire| {
            let bytes = std::fs::read(&node.logs()[0]).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let what = format!("{name}: the reason of a refusal, {why:?}, in the log");
        wait_until(PATIENCE, &what, &true, || {
            Ok(Some(said(&refused).contains(why)))
        })?;
        if refused.bus()? != "down" {
            return Err(Failure::Expectation(format!("{name}: it is connected")));
        }
        refused.kill()?;
        let mut taken = site.node(1, &urls, right)?;
        let what = format!("{name}: connected");
        wait_until(PATIENCE, &what, &"up".to_owned(), || taken.bus().map(Some))?;
        taken.kill()?;
        server.kill()?;
    }
    Ok(())
}
