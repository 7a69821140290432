//! A day in two offices: calls that ring, are answered, held and hung up, or end in a mailbox. The same seed, the same day.

use std::collections::BTreeMap;
use std::time::Duration;

use lampwire_sip::DeviceState;

/// Phones of each office.
const PHONES: usize = 4;

/// The most calls at a time: a phone stays free in each office, so that the board has something of everything.
const CALLS_MAX: usize = 3;

/// Something that happens at one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A device of that node changes.
    Device {
        node: usize,
        device: String,
        state: DeviceState,
    },
    /// A mailbox of that node changes.
    Mailbox {
        node: usize,
        mailbox: String,
        new: u16,
        old: u16,
    },
}

/// What happens next, and how long after what happened before.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) after: Duration,
    pub(crate) actions: Vec<Action>,
}

/// The script: an endless row of steps.
#[derive(Debug)]
pub(crate) struct Script {
    random: Random,
    now_ms: u64,
    /// What is planned, by time and a number that keeps the order.
    plan: BTreeMap<(u64, u64), Plan>,
    planned: u64,
    busy: [[bool; PHONES]; 2],
    calls: usize,
    mail: [[(u16, u16); PHONES]; 2],
}

#[derive(Clone, Copy, Debug)]
enum Plan {
    Open,
    NewCall,
    Answer(Call),
    Voicemail(Call),
    Hold(Call),
    Resume(Call),
    HangUp(Call),
    Listen,
}

/// Who calls whom: (node, phone).
#[derive(Clone, Copy, Debug)]
struct Call {
    from: (usize, usize),
    to: (usize, usize),
}

impl Script {
    /// The day of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut script = Self {
            random: Random(seed),
            now_ms: 0,
            plan: BTreeMap::new(),
            planned: 0,
            busy: [[false; PHONES]; 2],
            calls: 0,
            mail: [[(0, 0); PHONES]; 2],
        };
        script.plan(0, Plan::Open);
        script.plan(700, Plan::NewCall);
        script.plan(4000, Plan::Listen);
        script
    }

    /// The next step. Some steps hold no action: a caller found nobody free.
    pub(crate) fn next(&mut self) -> Step {
        let Some(((at_ms, _), plan)) = self.plan.pop_first() else {
            // Never: new calls and visits to mailboxes plan their own successors.
            return Step {
                after: Duration::from_secs(1),
                actions: Vec::new(),
            };
        };
        let after = Duration::from_millis(at_ms - self.now_ms);
        self.now_ms = at_ms;
        Step {
            after,
            actions: self.act(plan),
        }
    }

    fn act(&mut self, plan: Plan) -> Vec<Action> {
        match plan {
            Plan::Open => self.open(),
            Plan::NewCall => {
                let pause_ms = 300 + self.random.below(1200);
                self.plan(pause_ms, Plan::NewCall);
                self.call()
            }
            Plan::Answer(call) => {
                let talk_ms = 1500 + self.random.below(5000);
                if self.random.below(3) == 0 {
                    self.plan(talk_ms / 2, Plan::Hold(call));
                } else {
                    self.plan(talk_ms, Plan::HangUp(call));
                }
                vec![device(call.to, DeviceState::InUse)]
            }
            Plan::Hold(call) => {
                let hold_ms = 1000 + self.random.below(2500);
                self.plan(hold_ms, Plan::Resume(call));
                vec![device(call.to, DeviceState::OnHold)]
            }
            Plan::Resume(call) => {
                let talk_ms = 800 + self.random.below(2500);
                self.plan(talk_ms, Plan::HangUp(call));
                vec![device(call.to, DeviceState::InUse)]
            }
            Plan::Voicemail(call) => {
                let (node, phone) = call.to;
                let (new, old) = &mut self.mail[node][phone];
                *new = new.saturating_add(1);
                let message = mailbox(call.to, *new, *old);
                let mut actions = self.release(call);
                actions.push(message);
                actions
            }
            Plan::HangUp(call) => self.release(call),
            Plan::Listen => {
                let pause_ms = 3000 + self.random.below(5000);
                self.plan(pause_ms, Plan::Listen);
                self.listen()
            }
        }
    }

    /// Both offices open: every phone is there, every mailbox has its counts.
    fn open(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        for who in (0..2).flat_map(|node| (0..PHONES).map(move |phone| (node, phone))) {
            actions.push(device(who, DeviceState::NotInUse));
            // Two mailboxes an office are enough to watch.
            if who.1 < 2 {
                let counts = (count(self.random.below(3)), count(self.random.below(5)));
                self.mail[who.0][who.1] = counts;
                actions.push(mailbox(who, counts.0, counts.1));
            }
        }
        actions
    }

    fn call(&mut self) -> Vec<Action> {
        if self.calls == CALLS_MAX {
            return Vec::new();
        }
        let from_node = usize::from(self.random.below(2) == 1);
        // Three of four calls go to the other office.
        let to_node = if self.random.below(4) == 0 {
            from_node
        } else {
            1 - from_node
        };
        let Some(from) = self.free(from_node) else {
            return Vec::new();
        };
        self.busy[from.0][from.1] = true;
        let Some(to) = self.free(to_node) else {
            self.busy[from.0][from.1] = false;
            return Vec::new();
        };
        self.busy[to.0][to.1] = true;
        self.calls += 1;
        let call = Call { from, to };
        let ring_ms = 1000 + self.random.below(2500);
        // Only the first two phones of an office have a mailbox.
        let unanswered = to.1 < 2 && self.random.below(3) == 0;
        self.plan(
            ring_ms,
            if unanswered {
                Plan::Voicemail(call)
            } else {
                Plan::Answer(call)
            },
        );
        vec![
            device(from, DeviceState::InUse),
            device(to, DeviceState::Ringing),
        ]
    }

    fn release(&mut self, call: Call) -> Vec<Action> {
        self.calls -= 1;
        for (node, phone) in [call.from, call.to] {
            self.busy[node][phone] = false;
        }
        vec![
            device(call.from, DeviceState::NotInUse),
            device(call.to, DeviceState::NotInUse),
        ]
    }

    /// Somebody listens to all new messages of a mailbox.
    fn listen(&mut self) -> Vec<Action> {
        let who = (
            usize::from(self.random.below(2) == 1),
            usize::from(self.random.below(2) == 1),
        );
        let (new, old) = &mut self.mail[who.0][who.1];
        if *new == 0 {
            return Vec::new();
        }
        *old = old.saturating_add(*new).min(9);
        *new = 0;
        vec![mailbox(who, 0, *old)]
    }

    fn free(&mut self, node: usize) -> Option<(usize, usize)> {
        let free: Vec<usize> = (0..PHONES)
            .filter(|&phone| !self.busy[node][phone])
            .collect();
        let index = self.random.below(free.len().max(1) as u64);
        free.get(usize::try_from(index).ok()?)
            .map(|&phone| (node, phone))
    }

    fn plan(&mut self, after_ms: u64, plan: Plan) {
        self.planned += 1;
        self.plan
            .insert((self.now_ms + after_ms, self.planned), plan);
    }
}

fn device((node, phone): (usize, usize), state: DeviceState) -> Action {
    Action::Device {
        node,
        device: format!("PJSIP/{}00{}", node + 1, phone + 1),
        state,
    }
}

fn mailbox((node, phone): (usize, usize), new: u16, old: u16) -> Action {
    Action::Mailbox {
        node,
        mailbox: format!("{}00{}@default", node + 1, phone + 1),
        new,
        old,
    }
}

fn count(n: u64) -> u16 {
    u16::try_from(n).unwrap_or(0)
}

/// SplitMix64: small, and the same everywhere. Nothing here is a secret.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn actions(seed: u64, steps: usize) -> Vec<Action> {
        let mut script = Script::new(seed);
        (0..steps).flat_map(|_| script.next().actions).collect()
    }

    #[test]
    fn the_same_seed_is_the_same_day() {
        assert_eq!(actions(1, 300), actions(1, 300));
        assert_ne!(actions(1, 300), actions(2, 300));
    }

    #[test]
    fn something_of_everything_happens() {
        let mut states = BTreeSet::new();
        let mut nodes = BTreeSet::new();
        let mut mailboxes = 0;
        for action in actions(1, 300) {
            match action {
                Action::Device { node, state, .. } => {
                    nodes.insert(node);
                    states.insert(state.as_str());
                }
                Action::Mailbox { .. } => mailboxes += 1,
            }
        }
        assert_eq!(
            states.into_iter().collect::<Vec<_>>(),
            ["INUSE", "NOT_INUSE", "ONHOLD", "RINGING"]
        );
        assert_eq!(nodes.len(), 2);
        assert!(mailboxes > 6);
    }

    #[test]
    fn lamps_move_at_least_every_few_seconds() {
        let mut script = Script::new(3);
        let mut quiet = Duration::ZERO;
        for _ in 0..1000 {
            let step = script.next();
            quiet += step.after;
            assert!(quiet < Duration::from_secs(12));
            if !step.actions.is_empty() {
                quiet = Duration::ZERO;
            }
        }
    }
}
