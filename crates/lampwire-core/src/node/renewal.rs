//! States that are taken back unless they are set again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lampwire_sip::EntityId;

use super::Node;
use super::own::{SetValue, Setting};
use crate::limits;
use crate::table::Kind;
use crate::time::{Now, Time};
use crate::timers::Timer;

type Key = (Kind, Arc<str>, EntityId);

/// When which state runs out. As many at most as there are cells.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    of: BTreeMap<Key, (Duration, Time)>,
    due: BTreeSet<(Time, Key)>,
}

impl Renewals {
    /// A state lives for that long from now on. For how long it lived since it was set before.
    pub(super) fn set(&mut self, key: Key, ttl: Duration, ends: Time) -> Option<Duration> {
        let before = self.of.insert(key.clone(), (ttl, ends));
        if let Some((_, before)) = before {
            self.due.remove(&(before, key.clone()));
        }
        self.due.insert((ends, key));
        before.map(|(ttl, _)| ttl)
    }

    /// A state stays, or is gone. For how long it lived since it was set before.
    pub(super) fn forget(&mut self, kind: Kind, name: &str, eid: EntityId) -> Option<Duration> {
        if self.of.is_empty() {
            return None;
        }
        let key = (kind, Arc::from(name), eid);
        let (ttl, ends) = self.of.remove(&key)?;
        self.due.remove(&(ends, key));
        Some(ttl)
    }

    /// For how long a state lives since it was set.
    pub(super) fn ttl(&self, kind: Kind, name: &Arc<str>, eid: EntityId) -> Option<Duration> {
        let key = (kind, Arc::clone(name), eid);
        self.of.get(&key).map(|(ttl, _)| *ttl)
    }

    fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    fn pop(&mut self, now: Time) -> Option<Key> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        self.of.remove(&key);
        Some(key)
    }
}

impl Node {
    /// A state was set, for a time or for ever.
    pub(super) fn renew(&mut self, now: Now, eid: EntityId, setting: &Setting) {
        let kind = match setting.value {
            SetValue::Device { .. } => Kind::Device,
            SetValue::Mailbox { .. } => Kind::Mailbox,
        };
        if !setting.value.is_kept() {
            return; // what is kept of the name beside it lives on as it did
        }
        let before = match setting.ttl {
            None => self.renewals.forget(kind, &setting.name, eid),
            Some(ttl) => self.let_live(now, (kind, setting.name.as_str().into(), eid), ttl),
        };
        if before != setting.ttl {
            // The value may be the same, and then is nothing that the journal would tell the keeper of.
            let cell = self.table.kept_cell(kind, &setting.name, eid);
            self.note_unkept(cell);
        }
    }

    /// A state lives for that long from now on. For how long it lived since it was set before.
    pub(super) fn let_live(&mut self, now: Now, key: Key, ttl: Duration) -> Option<Duration> {
        let before = self.renewals.set(key, ttl, now.at + ttl);
        self.wait_for_renewals();
        before
    }

    /// Takes back what was not renewed in time.
    pub(super) fn take_back_expired(&mut self, now: Now) {
        for _ in 0..limits::EXPIRED_AT_A_TIME {
            let Some((kind, name, eid)) = self.renewals.pop(now.at) else {
                break;
            };
            if let Some(change) = self.table.delete(kind, &name, eid, now.wall) {
                self.counters.expired += 1;
                self.fan_out(now, change);
            }
        }
        self.wait_for_renewals();
    }

    fn wait_for_renewals(&mut self) {
        if let Some(next) = self.renewals.next() {
            self.timers.set(Timer::Renewals, next);
        }
    }
}
