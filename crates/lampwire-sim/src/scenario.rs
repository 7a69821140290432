//! One run of a fleet: faults first, then peace, and then everybody must agree.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use lampwire_core::{Node, PublisherStatus, limits};
use lampwire_sip::{DeviceState, EntityId};

use crate::fleet::{Fleet, Set};
use crate::member::Handicap;
use crate::network::Conditions;
use crate::plan::{Kind, Plan};
use crate::random::Dice;
use crate::referee::Referee;

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Members of the fleet.
    pub members: usize,
    /// States that people set.
    pub changes: u64,
    /// Datagrams sent in all.
    pub datagrams: u64,
    /// Simulated time from peace until all agreed.
    pub converged_after: Duration,
}

/// Simulated time within which everybody agrees once the faults are over: the longest pause of a publisher that was refused, and a
/// transaction's whole time.
const CONVERGENCE: Duration = Duration::from_secs(360);

/// The time that a restart takes at least. Longer than any datagram is on its way or in a socket: only a version in the message itself
/// could tell a late request of a node's last life from one of its present life, and a stock Asterisk sends none.
const RESTART: Duration = Duration::from_secs(3);

/// A fleet is looked at this often for agreement.
const LOOK: Duration = Duration::from_secs(1);

/// Simulated time that lanes which a dump has opened take to close.
const SETTLING: Duration = Duration::from_secs(90);

/// Simulated time for which a fleet must then be quiet.
const QUIET: Duration = Duration::from_secs(120);

/// Runs the scenario of one seed.
///
/// # Errors
/// What went wrong, when, and how to see it again. A panic is one of them.
pub fn run(seed: u64) -> Result<Outcome, String> {
    run_with(seed, false)
}

/// Runs the scenario of one seed, and prints what happens where `trace` is set.
///
/// # Errors
/// As of [`run`].
pub fn run_with(seed: u64, trace: bool) -> Result<Outcome, String> {
    let mut plan = None;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut run = Run::new(seed);
        run.fleet.trace(trace);
        plan = Some(run.plan().clone());
        run.play()
    }));
    let outcome = outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or("without a word")))
    });
    outcome.map_err(|problem| {
        format!(
            "seed {seed}: {problem}\n{plan:?}\nreplay: cargo run --release -p lampwire-sim -- --seeds {seed}"
        )
    })
}

struct Run {
    dice: Dice,
    fleet: Fleet,
    referee: Referee,
    changes: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let plan = Plan::throw(&mut dice, seed);
        Self {
            fleet: Fleet::new(seed, plan.roles()),
            referee: Referee::new(plan),
            dice,
            changes: 0,
        }
    }

    fn plan(&self) -> &Plan {
        &self.referee.plan
    }

    fn play(mut self) -> Result<Outcome, String> {
        let members = self.plan().members.len();
        for index in 0..members {
            if self.dice.chance(80) {
                self.start(index);
            }
        }
        for _ in 0..self.plan().rounds {
            self.fault()?;
            for _ in 0..self.dice.below(30 * self.plan().crowd) {
                self.somebody_acts();
            }
            let longest = match self.dice.chance(4) {
                true => Duration::from_secs(90),
                false => Duration::from_secs(3),
            };
            let pause = self.dice.time_below(longest);
            self.pass(pause)?;
        }
        self.make_peace()?;
        let peace = self.fleet.at();
        loop {
            self.pass(LOOK)?;
            let elapsed = self.fleet.at().since(peace);
            let problem = self.disagreement();
            if problem.is_none() {
                self.must_fall_quiet()?;
                return Ok(Outcome {
                    members,
                    changes: self.changes,
                    datagrams: self.fleet.network.sent(),
                    converged_after: elapsed,
                });
            }
            if let Some(problem) = problem.filter(|_| elapsed >= CONVERGENCE) {
                return Err(format!("{problem}\n{}", self.publishers()));
            }
        }
    }

    // ---- what happens

    /// Something goes wrong, or right again.
    fn fault(&mut self) -> Result<(), String> {
        let dice = &mut self.dice;
        let members = self.fleet.members.len();
        let (index, other) = (dice.below(members), dice.below(members));
        match dice.below(14) {
            0 => {
                let both_ways = dice.chance(50);
                self.cut(index, other, both_ways);
            }
            1 => (0..members).for_each(|other| self.cut(index, other, true)),
            2 | 3 => self.fleet.network.heal(),
            4 | 5 => self.fleet.network.set_conditions(Conditions {
                loss: dice.below(31),
                duplication: dice.below(10),
                delay: dice.time_below(Duration::from_millis(200)),
                jitter: dice.time_below(Duration::from_millis(300)),
            }),
            6 => self.fleet.network.set_conditions(Conditions::CALM),
            7 => self.fleet.kill(index),
            8 => self.revive(index),
            9 => {
                // Up to three days back or ahead.
                let seconds = i64::try_from(dice.below(6 * 86_400)).unwrap_or(0) - 3 * 86_400;
                self.fleet.members[index].handicap.wall_ms = seconds * 1000;
            }
            10 => {
                self.fleet.members[index].handicap.service =
                    dice.time_below(Duration::from_millis(30));
            }
            11 => {
                self.fleet.members[index].handicap.timer_lag =
                    dice.time_below(Duration::from_secs(2));
            }
            12 => self.fleet.members[index].handicap = Handicap::default(),
            _ if dice.chance(30) => {
                // An orderly end.
                self.referee.ends(index);
                self.fleet.act(index, |node, now| node.shutdown(now));
                self.pass(limits::SHUTDOWN_GRACE)?;
                let drained = self.fleet.members[index]
                    .node()
                    .is_none_or(Node::is_drained);
                self.fleet.kill(index);
                let lag = self.fleet.members[index].handicap.timer_lag;
                if !drained && lag.is_zero() {
                    return Err(format!("node {index} does not come to its end"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn cut(&mut self, one: usize, other: usize, both_ways: bool) {
        let (one, other) = (
            self.fleet.members[one].address,
            self.fleet.members[other].address,
        );
        self.fleet.network.cut(one, other);
        if both_ways {
            self.fleet.network.cut(other, one);
        }
    }

    fn start(&mut self, index: usize) {
        self.fleet.start(index);
        self.referee.begins(index);
    }

    /// Starts a node that is down. The world around it is as it was: its devices are in the states they are in.
    fn revive(&mut self, index: usize) {
        let down_for = self.fleet.members[index]
            .down_since
            .map(|at| self.fleet.at().since(at));
        if down_for.is_none_or(|time| time < RESTART) {
            return;
        }
        self.start(index);
        let said = self.referee.said[index].clone();
        for (name, states) in &said.devices {
            if let Some(state) = states.last() {
                self.fleet.set(index, &Set::Device(name, *state));
            }
        }
        for (name, counts) in &said.mailboxes {
            if let Some(counts) = counts.last() {
                self.fleet.set(index, &Set::Mailbox(name, *counts));
            }
        }
    }

    /// Somebody takes up a telephone, or leaves a message.
    fn somebody_acts(&mut self) {
        let dice = &mut self.dice;
        let index = dice.below(self.fleet.members.len());
        let member = &self.fleet.members[index];
        if member.node().is_none() && member.stock().is_none() {
            return;
        }
        self.changes += 1;
        let crowd = self.referee.plan.crowd;
        let said = &mut self.referee.said[index];
        let device = match dice.below(3) {
            0 => format!("Custom:{}", dice.below(8 * crowd)),
            1 => format!("PJSIP/{}", dice.below(20 * crowd)),
            _ => format!("Local/{}", dice.below(4 * crowd)),
        };
        if dice.chance(10) {
            let mailbox = format!("{}@node{index}", 100 + dice.below(5 * crowd));
            let mut count = || u16::try_from(dice.below(9)).unwrap_or(0);
            let counts = (count(), count());
            said.mailbox(&mailbox, counts);
            self.fleet.set(index, &Set::Mailbox(&mailbox, counts));
        } else if dice.chance(5)
            && said
                .now(&device)
                .is_some_and(|it| it != DeviceState::Invalid)
        {
            said.device(&device, DeviceState::Invalid);
            self.fleet.set(index, &Set::Unset(&device));
        } else {
            let state = *dice.pick(&DeviceState::ALL);
            said.device(&device, state);
            self.fleet.set(index, &Set::Device(&device, state));
        }
    }

    /// The faults are over, and everybody is there.
    fn make_peace(&mut self) -> Result<(), String> {
        self.fleet.network.heal();
        self.fleet.network.set_conditions(Conditions::CALM);
        for member in &mut self.fleet.members {
            member.handicap = Handicap::default();
        }
        self.pass(RESTART)?;
        for index in 0..self.fleet.members.len() {
            self.revive(index);
        }
        // What a stock Asterisk dropped is told by nobody, until it is asked.
        self.pass(RESTART)?;
        for index in self.plan().all(Kind::Stock).collect::<Vec<_>>() {
            let peers =
                (0..self.fleet.members.len()).filter(|peer| self.plan().exchange(index, *peer));
            for peer in peers.collect::<Vec<_>>() {
                self.fleet.act(peer, |node, now| {
                    node.refresh(now, None).expect("all of them");
                });
            }
        }
        Ok(())
    }

    /// Time passes, and everything that happens is watched.
    fn pass(&mut self, duration: Duration) -> Result<(), String> {
        self.fleet.run_for(duration, &mut self.referee);
        if let Some(problem) = self.referee.problem.take() {
            return Err(problem);
        }
        for index in 0..self.fleet.members.len() {
            self.within_bounds(index)?;
        }
        Ok(())
    }

    // ---- what must be

    /// Nothing in a node has grown beyond what there is reason for.
    fn within_bounds(&self, index: usize) -> Result<(), String> {
        let member = &self.fleet.members[index];
        let Some(node) = member.node() else {
            return Ok(());
        };
        let plan = self.plan();
        let now = member.now(self.fleet.at());
        let at_most = |what: &str, found: usize, bound: usize| match found <= bound {
            true => Ok(()),
            false => Err(format!(
                "node {index} has {found} {what}, more than {bound}"
            )),
        };
        let publications = node.publications(now);
        at_most("publications", publications.len(), limits::PUBLICATIONS)?;
        for peer in 0..plan.members.len() {
            let endpoint = format!("node{peer}");
            let held = publications
                .iter()
                .filter(|it| it.endpoint == endpoint)
                .count();
            at_most(
                "publications of one endpoint",
                held,
                limits::PUBLICATIONS_OF_AN_ENDPOINT,
            )?;
        }
        if plan.all(Kind::Hostile).next().is_none() {
            let said = self.referee.said.iter();
            let told: usize = said.map(|it| it.ever()).sum();
            at_most("states", node.states(), told)?;
        }
        for publisher in node.publishers(now) {
            at_most("lanes", publisher.lanes.len(), plan.lanes.into())?;
            let behind = usize::try_from(publisher.behind).unwrap_or(usize::MAX);
            let own = self.referee.said[index].len();
            at_most("states to be told", behind, own)?;
        }
        Ok(())
    }

    /// The first thing in which a node's table is not as the model says.
    fn disagreement(&self) -> Option<String> {
        let mut nodes = self.plan().all(Kind::Lampwire);
        let mut asterisks = self.plan().all(Kind::Stock);
        nodes
            .find_map(|to| self.lacks(to).or_else(|| self.holds_too_much(to)))
            .or_else(|| asterisks.find_map(|to| self.stock_lacks(to)))
    }

    /// What a stock Asterisk should hold and does not: everything that it was told.
    fn stock_lacks(&self, to: usize) -> Option<String> {
        let plan = self.plan();
        let asterisk = self.fleet.members[to].stock()?;
        for from in plan
            .all(Kind::Lampwire)
            .filter(|from| plan.reaches(*from, to))
        {
            let said = &self.referee.said[from];
            let eid = self.fleet.members[from].entity_id;
            for name in said
                .devices
                .keys()
                .filter(|name| plan.sends_device(from, name))
            {
                let wanted = said.now(name);
                let found = asterisk.device(name).and_then(|of| of.get(&eid).copied());
                let both_gone = wanted == Some(DeviceState::Invalid) && found.is_none();
                if found != wanted && !both_gone {
                    return Some(format!(
                        "Asterisk {to} holds {found:?} for {name} of node {from}, not {wanted:?}"
                    ));
                }
            }
            for (name, counts) in said
                .mailboxes
                .iter()
                .filter(|(name, _)| plan.sends_mailbox(from, name))
            {
                let found = asterisk.mailbox(name);
                if found != counts.last().copied() {
                    return Some(format!(
                        "Asterisk {to} holds {found:?} for mailbox {name} of node {from}, not {counts:?}"
                    ));
                }
            }
        }
        None
    }

    /// What a node should hold and does not.
    fn lacks(&self, to: usize) -> Option<String> {
        let plan = self.plan();
        let node = self.fleet.members[to].node()?;
        let origins = self.referee.said.iter().enumerate();
        // What a lawless peer says of others is taken for the truth; only a node's own states are safe from it.
        // What a stock Asterisk drops is lost, unless one side can ask for it and the other answers.
        let can_be_asked = |from: usize| {
            plan.members[from] != Kind::Stock || (plan.habits[from].asks && plan.habits[to].asks)
        };
        let reaches =
            |from| from == to || (!plan.lawless && plan.reaches(from, to) && can_be_asked(from));
        for (from, said) in origins.filter(|(from, _)| reaches(*from)) {
            let eid = self.fleet.members[from].entity_id;
            for name in said.devices.keys() {
                let passes =
                    from == to || plan.sends_device(from, name) && plan.takes_device(to, name);
                let wanted = said.now(name).filter(|_| passes);
                let found = state_at(node, eid, name);
                // Taken back before the peer ever heard of it, or after: both are right.
                let both_gone = wanted == Some(DeviceState::Invalid) && found.is_none();
                if found != wanted && !both_gone {
                    return Some(format!(
                        "node {to} holds {found:?} for {name} of node {from}, not {wanted:?}"
                    ));
                }
            }
            for (name, counts) in &said.mailboxes {
                let passes = from == to || plan.sends_mailbox(from, name);
                let wanted = counts.last().copied().filter(|_| passes);
                let found = node.mailbox(name).map(|it| (it.new, it.old));
                if found != wanted {
                    return Some(format!(
                        "node {to} holds {found:?} for mailbox {name} of node {from}, not {wanted:?}"
                    ));
                }
            }
        }
        None
    }

    /// What a node holds and should not.
    fn holds_too_much(&self, to: usize) -> Option<String> {
        let node = self.fleet.members[to].node()?;
        if self.plan().lawless {
            return None;
        }
        let all = node.devices(None, usize::MAX, usize::MAX, &|_| true);
        for device in &all.items {
            for entity in &device.entities {
                let owner = self.referee.owner(to, entity.eid, entity.peer.as_deref());
                let Ok(owner) = owner else {
                    return owner.err();
                };
                let known = |owner: usize| self.referee.said[owner].ever_had(&device.device);
                if owner.is_some_and(|owner| !known(owner)) {
                    return Some(format!(
                        "node {to} holds {:?}, which nobody has set",
                        device.device
                    ));
                }
            }
        }
        None
    }

    /// Once all agree, only the care of publications is left: proofs, refreshes, a challenge for each nonce that has grown old, and the
    /// slow walk over all device states.
    fn must_fall_quiet(&mut self) -> Result<(), String> {
        self.pass(SETTLING)?;
        let before = self.referee.exchanged;
        self.pass(QUIET)?;
        let exchanged = self.referee.exchanged - before;
        if let Some(problem) = self.disagreement() {
            return Err(format!("after they had agreed: {problem}"));
        }
        let allowed = self.care();
        if exchanged > allowed && !self.plan().lawless {
            return Err(format!(
                "{exchanged} datagrams in {QUIET:?} of quiet, more than {allowed}\n{}",
                self.publishers()
            ));
        }
        for index in self
            .plan()
            .all(Kind::Lampwire)
            .filter(|_| !self.plan().lawless)
        {
            let member = &self.fleet.members[index];
            let now = member.now(self.fleet.at());
            for publisher in member.node().iter().flat_map(|it| it.publishers(now)) {
                let walks = self.plan().resync > 0;
                let hostile = self
                    .plan()
                    .all(Kind::Hostile)
                    .any(|peer| publisher.target == Some(self.fleet.members[peer].address));
                if !hostile
                    && (publisher.status == PublisherStatus::BackOff
                        || (publisher.behind > 0 && !walks))
                {
                    return Err(format!("node {index} is not at rest: {publisher:?}"));
                }
            }
        }
        Ok(())
    }

    /// Datagrams that keep everything in order while nothing happens.
    fn care(&self) -> u64 {
        let plan = self.plan();
        let quiet = QUIET.as_secs();
        let mut allowed = 0;
        for from in plan.all(Kind::Lampwire).chain(plan.all(Kind::Stock)) {
            let peers = (0..plan.members.len()).filter(|to| plan.exchange(from, *to));
            let publishes = 2 * u64::try_from(peers.count()).unwrap_or(0);
            let refreshes = match plan.expiration {
                3600 => 0,
                // A short publication is refreshed at half its time.
                short => quiet * 2 / u64::from(short) + 1,
            };
            let states = u64::try_from(self.referee.said[from].len()).unwrap_or(0);
            let walk = match plan.resync {
                0 => 0,
                resync => states * quiet / u64::from(resync) + u64::from(plan.lanes),
            };
            let proofs = quiet / u64::from(plan.probe) + 1;
            // Each a request and its answer, and each may meet a challenge.
            allowed += publishes * 2 * 2 * (proofs + refreshes + walk);
        }
        allowed
    }

    /// What every publisher does, for whoever has to find a fault.
    fn publishers(&self) -> String {
        let mut text = String::new();
        for (index, member) in self.fleet.members.iter().enumerate() {
            let now = member.now(self.fleet.at());
            for view in member.node().iter().flat_map(|node| node.publishers(now)) {
                let _ = writeln!(text, "  node {index}: {view:?}");
            }
        }
        text
    }
}

fn state_at(node: &Node, eid: EntityId, name: &str) -> Option<DeviceState> {
    node.device(name)?
        .entities
        .iter()
        .find(|it| it.eid == eid)
        .map(|it| it.state)
}
