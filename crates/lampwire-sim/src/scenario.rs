//! One run of a fleet: faults first, then peace, and then everybody must agree.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use lampwire_core::{Event, Node};
use lampwire_sip::{DeviceState, EntityId};

use crate::fleet::{Fleet, address_of, entity_id_of};
use crate::model::{Said, Seen};
use crate::network::Conditions;
use crate::random::Dice;

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Nodes in the fleet.
    pub nodes: usize,
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

/// The time that a restart takes at least. Longer than any datagram is on its way: only a version in the message itself could tell a late
/// request of a node's last life from one of its present life, and a stock Asterisk sends none.
const RESTART: Duration = Duration::from_secs(1);

/// A fleet is looked at this often for agreement.
const LOOK: Duration = Duration::from_secs(1);

/// Runs the scenario of one seed.
///
/// # Errors
/// What went wrong, when, and how to see it again.
pub fn run(seed: u64) -> Result<Outcome, String> {
    let mut dice = Dice::new(seed);
    let nodes = 2 + dice.below(4);
    let plan = Plan::throw(&mut dice, nodes);
    let configs = (1..=nodes).map(|number| plan.config(number)).collect();
    let mut run = Run {
        fleet: Fleet::new(seed, configs),
        said: vec![Said::default(); nodes],
        seen: BTreeMap::new(),
        problem: None,
        changes: 0,
    };
    let replay = |problem: String| {
        format!(
            "seed {seed}: {problem}\nreplay: cargo run --release -p lampwire-sim -- --seeds {seed}"
        )
    };

    for index in 0..nodes {
        if dice.chance(80) {
            run.fleet.start(index);
        }
    }
    for _ in 0..60 {
        run.fault(&mut dice);
        for _ in 0..dice.below(30) {
            run.somebody_acts(&mut dice);
        }
        let pause = dice.time_below(Duration::from_secs(3));
        run.pass(pause);
        if let Some(problem) = run.problem.take() {
            return Err(replay(problem));
        }
    }

    run.fleet.network.heal();
    run.fleet.network.set_conditions(Conditions::CALM);
    run.pass(RESTART);
    for index in 0..nodes {
        run.revive(index);
    }
    let peace = run.fleet.now().at;
    loop {
        run.pass(LOOK);
        if let Some(problem) = run.problem.take() {
            return Err(replay(problem));
        }
        let elapsed = run.fleet.now().at.since(peace);
        match run.disagreement(&plan) {
            None => {
                let outcome = Outcome {
                    nodes,
                    changes: run.changes,
                    datagrams: run.fleet.network.sent(),
                    converged_after: elapsed,
                };
                return run.must_fall_quiet().map(|()| outcome).map_err(replay);
            }
            Some(problem) if elapsed >= CONVERGENCE => {
                return Err(replay(format!("{problem}\n{}", run.publishers())));
            }
            Some(_) => {}
        }
    }
}

/// Who tells whom, and with which filters.
struct Plan {
    nodes: usize,
    /// The nodes demand credentials.
    digest: bool,
    /// What each node sends and takes.
    filters: Vec<(&'static str, &'static str)>,
    lanes: usize,
}

const FILTERS: [&str; 4] = ["", "", "^Custom:[0-4]", "PJSIP|SIP"];

impl Plan {
    fn throw(dice: &mut Dice, nodes: usize) -> Self {
        Self {
            nodes,
            digest: dice.chance(30),
            filters: (0..nodes)
                .map(|_| (*dice.pick(&FILTERS), *dice.pick(&FILTERS)))
                .collect(),
            lanes: *dice.pick(&[1, 2, 8]),
        }
    }

    /// The configuration of a node in a full mesh, as an administrator would write it.
    fn config(&self, own: usize) -> String {
        let mut text = format!(
            "[lampwire]\ntype=lampwire\nentity_id={}\nhttp_bind=\n[udp]\ntype=transport\nprotocol=udp\nbind={}\n",
            entity_id_of(number(own)),
            address_of(number(own))
        );
        let (sent, taken) = self.filters[own - 1];
        let option = |name: &str, filter: &str| match filter {
            "" => String::new(),
            filter => format!("{name}={filter}\n"),
        };
        let (mut auth, mut outbound_auth) = ("", "");
        if self.digest {
            text.push_str("[secret]\ntype=auth\nusername=fleet\npassword=light\n");
            (auth, outbound_auth) = ("auth=secret\n", "outbound_auth=secret\n");
        }
        for peer in (1..=self.nodes).filter(|peer| *peer != own) {
            let address = address_of(number(peer));
            let lanes = self.lanes;
            let device_filter = option("@device_state_filter", sent);
            let taken = option("device_state_filter", taken);
            let _ = write!(
                text,
                "[node{peer}]\ntype=endpoint\n{auth}\
                 [node{peer}-device]\ntype=outbound-publish\nserver_uri=sip:node{own}@{address}\n\
                 event=asterisk-devicestate\n@lanes={lanes}\n{device_filter}{outbound_auth}\
                 [node{peer}-mwi]\ntype=outbound-publish\nserver_uri=sip:node{own}@{address}\n\
                 event=asterisk-mwi\n@lanes={lanes}\n{outbound_auth}\
                 [node{peer}]\ntype=inbound-publication\nevent_asterisk-devicestate=node{peer}\nevent_asterisk-mwi=node{peer}\n\
                 [node{peer}]\ntype=asterisk-publication\ndevicestate_publish=node{peer}-device\n\
                 mailboxstate_publish=node{peer}-mwi\ndevice_state=yes\nmailbox_state=yes\n{taken}"
            );
        }
        text
    }

    /// Whether a device of one node is to be seen at another: the filters of [`FILTERS`], spelled out.
    fn passes(&self, from: usize, to: usize, device: &str) -> bool {
        let wanted = |filter: &str| match filter {
            "^Custom:[0-4]" => device
                .strip_prefix("Custom:")
                .is_some_and(|rest| rest.starts_with(['0', '1', '2', '3', '4'])),
            "PJSIP|SIP" => device.contains("SIP"),
            _ => true,
        };
        wanted(self.filters[from].0) && wanted(self.filters[to].1)
    }
}

struct Run {
    fleet: Fleet,
    said: Vec<Said>,
    /// What each node has seen of each entity's devices in the entity's present life.
    seen: BTreeMap<(usize, EntityId, String), Seen>,
    problem: Option<String>,
    changes: u64,
}

impl Run {
    /// Something goes wrong, or right again.
    fn fault(&mut self, dice: &mut Dice) {
        let nodes = self.fleet.members.len();
        match dice.below(8) {
            0 => {
                let (one, other) = (dice.below(nodes), dice.below(nodes));
                let (one, other) = (
                    self.fleet.members[one].address,
                    self.fleet.members[other].address,
                );
                self.fleet.network.cut(one, other);
                if dice.chance(50) {
                    self.fleet.network.cut(other, one);
                }
            }
            1 | 2 => self.fleet.network.heal(),
            3 => self.fleet.network.set_conditions(Conditions {
                loss: dice.below(31),
                duplication: dice.below(10),
                delay: dice.time_below(Duration::from_millis(200)),
                jitter: dice.time_below(Duration::from_millis(300)),
            }),
            4 => self.fleet.network.set_conditions(Conditions::CALM),
            5 => {
                let index = dice.below(nodes);
                self.fleet.kill(index);
            }
            6 => {
                let index = dice.below(nodes);
                self.revive(index);
            }
            _ => {}
        }
    }

    /// Starts a node that is down. The world around it is as it was: its devices are in the states they are in.
    fn revive(&mut self, index: usize) {
        let down_for = self.fleet.members[index]
            .down_since
            .map(|at| self.fleet.now().at.since(at));
        if down_for.is_none_or(|time| time < RESTART) {
            return;
        }
        self.fleet.start(index);
        let own = self.fleet.members[index].entity_id;
        self.seen
            .retain(|(seer, entity, _), _| *seer != index && *entity != own);
        // It keeps nothing over a restart, so it cannot tell anybody of what was taken back before.
        self.said[index]
            .devices
            .retain(|_, states| states.last() != Some(&DeviceState::Invalid));
        let said = self.said[index].clone();
        self.fleet.act(index, |node, now| {
            for name in said.devices.keys() {
                if let Some(state) = said.now(name).filter(|it| *it != DeviceState::Invalid) {
                    node.set_device(now, name, state, true)
                        .expect("a sound name and room");
                }
            }
            for (name, (new, old)) in &said.mailboxes {
                node.set_mailbox(now, name, *new, *old)
                    .expect("a sound name and room");
            }
        });
    }

    /// Somebody takes up a telephone, or leaves a message.
    fn somebody_acts(&mut self, dice: &mut Dice) {
        let index = dice.below(self.fleet.members.len());
        if self.fleet.members[index].node.is_none() {
            return;
        }
        self.changes += 1;
        let device = match dice.below(3) {
            0 => format!("Custom:{}", dice.below(8)),
            1 => format!("PJSIP/{}", dice.below(20)),
            _ => format!("Local/{}", dice.below(4)),
        };
        if dice.chance(10) {
            let mailbox = format!("{}@node{index}", 100 + dice.below(5));
            let counts = (number(dice.below(9)).into(), number(dice.below(9)).into());
            self.said[index].mailboxes.insert(mailbox.clone(), counts);
            self.fleet.act(index, |node, now| {
                node.set_mailbox(now, &mailbox, counts.0, counts.1)
                    .expect("a sound name and room");
            });
        } else if dice.chance(5)
            && self.said[index]
                .now(&device)
                .is_some_and(|it| it != DeviceState::Invalid)
        {
            self.said[index].device(&device, DeviceState::Invalid);
            self.fleet.act(index, |node, now| {
                node.unset_device(now, &device).expect("it was set");
            });
        } else {
            let state = *dice.pick(&DeviceState::ALL);
            self.said[index].device(&device, state);
            self.fleet.act(index, |node, now| {
                node.set_device(now, &device, state, true)
                    .expect("a sound name and room");
            });
        }
    }

    /// Time passes, and every change that a node sees of another's devices is held against what was said.
    fn pass(&mut self, duration: Duration) {
        let Self {
            fleet,
            said,
            seen,
            problem,
            ..
        } = self;
        let owners: BTreeMap<EntityId, usize> = fleet
            .members
            .iter()
            .enumerate()
            .map(|(index, it)| (it.entity_id, index))
            .collect();
        fleet.run_for(duration, &mut |index, event| {
            let Event::Device { device, eid, .. } = event else {
                return;
            };
            let owner = owners[eid];
            if owner == index {
                return;
            }
            let state = device
                .entities
                .iter()
                .find(|it| it.eid == *eid)
                .map(|it| it.state);
            // A request of the owner's last life may still arrive, of a device it has forgotten.
            let Some(states) = said[owner].devices.get(&device.device) else {
                return;
            };
            let key = (index, *eid, device.device.clone());
            let seen = seen.entry(key).or_default();
            if let Err(wrong) = seen.see(states, state.unwrap_or(DeviceState::Invalid)) {
                *problem = Some(format!(
                    "node {index} sees {:?} of node {owner} out of order: {wrong}",
                    device.device
                ));
            }
        });
    }

    /// The first thing in which a node's table is not as the model says.
    fn disagreement(&self, plan: &Plan) -> Option<String> {
        for (to, member) in self.fleet.members.iter().enumerate() {
            let node = member.node.as_ref()?;
            for (from, said) in self.said.iter().enumerate().filter(|(from, _)| *from != to) {
                let eid = self.fleet.members[from].entity_id;
                for name in said.devices.keys() {
                    let wanted = said.now(name).filter(|_| plan.passes(from, to, name));
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
                    let found = node.mailbox(name).map(|it| (it.new, it.old));
                    if found != Some(*counts) {
                        return Some(format!(
                            "node {to} holds {found:?} for mailbox {name} of node {from}, not {counts:?}"
                        ));
                    }
                }
            }
        }
        None
    }

    /// What every publisher does, for whoever has to find a fault.
    fn publishers(&self) -> String {
        let now = self.fleet.now();
        let mut text = String::new();
        for (index, member) in self.fleet.members.iter().enumerate() {
            for view in member.node.iter().flat_map(|node| node.publishers(now)) {
                let _ = writeln!(text, "  node {index}: {view:?}");
            }
        }
        text
    }

    /// Once all agree, only the care of publications is left: a probe each 5 s for each publish, a challenge for each nonce that has grown
    /// old, and the slow walk over all device states.
    fn must_fall_quiet(&mut self) -> Result<(), String> {
        let peers = self.fleet.members.len() * (self.fleet.members.len() - 1);
        self.pass(Duration::from_secs(120));
        let before = self.fleet.network.sent();
        self.pass(Duration::from_secs(600));
        let sent = self.fleet.network.sent() - before;
        let allowed = peers * 2 * (2 * 600 / 5 + 100);
        if sent > allowed as u64 {
            return Err(format!(
                "{sent} datagrams in ten quiet minutes, more than {allowed}"
            ));
        }
        self.problem.take().map_or(Ok(()), Err)
    }
}

fn state_at(node: &Node, eid: EntityId, name: &str) -> Option<DeviceState> {
    node.device(name)?
        .entities
        .iter()
        .find(|it| it.eid == eid)
        .map(|it| it.state)
}

fn number(index: usize) -> u8 {
    u8::try_from(index).expect("fleets and counts are small")
}
