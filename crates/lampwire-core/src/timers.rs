//! One table of deadlines, each with the reason why it exists.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::time::Time;

/// Why the node wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A lane of a publisher: a copy of its request is due, its request has had no answer, its publication is to be refreshed or closed.
    Lane {
        /// The publisher's number.
        publisher: u16,
        /// The lane's number within it.
        lane: u16,
    },
    /// A publisher's pause is over, or its peer's name is to be resolved again.
    Publisher(u16),
    /// The publication of this number has run out.
    Publication(u32),
    /// Remembered answers are to be forgotten.
    Transactions,
    /// Addresses of strangers are to be forgotten.
    Strangers,
    /// Answers that were held back are to leave.
    LateAnswers,
    /// The peer of this number may be asked for what we refused to it.
    Missed(u16),
    /// A peer may be away by now.
    Peer(u16),
    /// A peer that holds no publication would have asked for another by now.
    Knock(u16),
    /// A dump of a peer's may be over.
    Sweep(u16),
    /// Our beat is due.
    Beat,
    /// A hub may have fallen silent.
    Hubs,
    /// An entity id that is held may be lost.
    Losses,
    /// More devices are to be told anew.
    Retelling,
    /// States that were set here for a time may have run out.
    Renewals,
    /// Deleted values may have been confirmed by everyone.
    Tombstones,
    /// Entity ids that were left by their servers may be due to be taken back.
    EntityIdsLeft,
    /// A question to the DNS is to be asked again.
    Names,
    /// The question whether a publisher's peer is there is due, or its answer.
    Probe(u16),
    /// A connection wants care.
    Flow(u64),
    /// The manager interface of this section's Asterisk is to be connected to, asked, or given up.
    Ami(u16),
    /// Our beat on the bus is due, and what we have there is to be looked after.
    Cluster,
    /// The bucket is to be told more, after a pause.
    Column,
    /// A value that differs from what its home says has done so for long.
    Shadows,
    /// What sinks hold and nobody has spoken of since the node began is to be taken out.
    Unspoken,
    /// The time that a shutdown waits is over.
    Shutdown,
}

/// Deadlines by reason. A reason has one deadline at most; setting a later one costs a comparison, and nothing is searched.
///
/// Each reason stands in the heap at most once early: an entry that comes up before the deadline that is wanted is put back.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Time, Timer)>>,
    slots: BTreeMap<Timer, Slot>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    wanted: Option<Time>,
    queued: Time,
}

impl Timers {
    /// Wakes for `timer` at `at`, in place of any earlier wish for it.
    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        match self.slots.get_mut(&timer) {
            Some(slot) if slot.queued <= at => slot.wanted = Some(at),
            Some(slot) => {
                *slot = Slot {
                    wanted: Some(at),
                    queued: at,
                };
                self.heap.push(Reverse((at, timer)));
            }
            None => {
                self.slots.insert(
                    timer,
                    Slot {
                        wanted: Some(at),
                        queued: at,
                    },
                );
                self.heap.push(Reverse((at, timer)));
            }
        }
    }

    /// Wakes for `timer` at `at`, unless a wish for it stands already.
    pub(crate) fn set_if_unset(&mut self, timer: Timer, at: Time) {
        if !self.is_set(timer) {
            self.set(timer, at);
        }
    }

    /// Whether something is to happen for this reason.
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        let slot = self.slots.get(&timer);
        slot.is_some_and(|slot| slot.wanted.is_some())
    }

    /// Takes the wish for `timer` back.
    pub(crate) fn clear(&mut self, timer: Timer) {
        if let Some(slot) = self.slots.get_mut(&timer) {
            slot.wanted = None;
        }
    }

    /// The time at which `pop` has something to do. Early rather than late: it may then find nothing due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The next reason that is due at `now`.
    pub(crate) fn pop(&mut self, now: Time) -> Option<Timer> {
        while let Some(&Reverse((at, timer))) = self.heap.peek() {
            if at > now {
                return None;
            }
            self.heap.pop();
            let Some(slot) = self.slots.get_mut(&timer) else {
                continue;
            };
            if slot.queued != at {
                continue; // an entry that an earlier wish has replaced
            }
            match slot.wanted {
                Some(wanted) if wanted > now => {
                    slot.queued = wanted;
                    self.heap.push(Reverse((wanted, timer)));
                }
                Some(_) => {
                    self.slots.remove(&timer);
                    return Some(timer);
                }
                None => {
                    self.slots.remove(&timer);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    fn due(timers: &mut Timers, now: u64) -> Vec<Timer> {
        std::iter::from_fn(|| timers.pop(at(now))).collect()
    }

    #[test]
    fn fires_once_in_order_of_time() {
        let mut timers = Timers::default();
        timers.set(Timer::Publication(2), at(20));
        timers.set(Timer::Publication(1), at(10));
        assert_eq!(due(&mut timers, 9), []);
        assert_eq!(
            due(&mut timers, 30),
            [Timer::Publication(1), Timer::Publication(2)]
        );
        assert_eq!(due(&mut timers, 99), []);
    }

    #[test]
    fn a_later_wish_replaces_an_earlier_one_and_the_other_way_round() {
        let mut timers = Timers::default();
        timers.set(Timer::Shutdown, at(10));
        timers.set(Timer::Shutdown, at(50));
        assert_eq!(due(&mut timers, 49), []);
        timers.set(Timer::Shutdown, at(60));
        timers.set(Timer::Shutdown, at(55));
        assert_eq!(due(&mut timers, 55), [Timer::Shutdown]);
        assert_eq!(due(&mut timers, 99), []);
    }

    #[test]
    fn cleared_is_silent_and_may_be_set_again() {
        let mut timers = Timers::default();
        timers.set(Timer::Shutdown, at(10));
        timers.clear(Timer::Shutdown);
        assert_eq!(due(&mut timers, 20), []);
        timers.set(Timer::Shutdown, at(30));
        assert_eq!(due(&mut timers, 30), [Timer::Shutdown]);
        assert_eq!(timers.next(), None);
    }
}
