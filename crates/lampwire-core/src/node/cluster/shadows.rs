//! What is heard of a server whose states another node stamps.

use lampwire_sip::EntityId;

use crate::cluster::shadow::{self, Shadow};
use crate::node::Node;
use crate::table::{Assertion, Kind, Value};
use crate::time::Now;
use crate::timers::Timer;

/// What becomes of something that a server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum InShadow {
    /// It is to be taken.
    No,
    /// It is known.
    Known,
    /// It is kept in mind.
    News,
}

impl Node {
    /// Whether what a server says is only kept in mind, since another node stamps it. `true`: nothing more is to be done with it.
    pub(in crate::node) fn in_shadow(&mut self, now: Now, assertion: &Assertion<'_>) -> InShadow {
        let Some(cluster) = &mut self.cluster else {
            return InShadow::No;
        };
        let Some(peer) = assertion.peer.filter(|_| cluster.stands_by(assertion.eid)) else {
            // What was heard while another was its home is older.
            let Assertion { kind, name, .. } = *assertion;
            cluster.shadows.forget(assertion.eid, kind, name);
            return InShadow::No;
        };
        if !assertion.cachable {
            return InShadow::News; // the home passes it on
        }
        let Assertion {
            kind, name, eid, ..
        } = *assertion;
        let known = self.table.known_cell(kind, name, eid);
        let cell = known.map(|cell| (cell, self.table.cell(cell)));
        let gone = kind == Kind::Device
            && assertion.value == Value::device(lampwire_sip::DeviceState::Invalid);
        let same = match cell {
            Some((_, cell)) if !cell.dead => cell.value == assertion.value && !cell.lost,
            Some(_) | None => gone,
        };
        if same {
            cluster.shadows.forget(eid, kind, name);
            if let Some((cell, _)) = cell {
                self.table.note_repeated(cell);
            }
            return InShadow::Known;
        }
        let heard = shadow::Heard {
            value: assertion.value,
            source: assertion.source,
            peer,
            holder: assertion.holder,
            at: assertion.at,
        };
        if !cluster.shadows.put(now.at, eid, kind, name, heard) {
            return InShadow::No;
        }
        if let Some(due) = cluster.shadows.next_due() {
            self.timers.set(Timer::Shadows, due);
        }
        InShadow::News
    }

    /// What has differed for too long from what the home says is said.
    pub(in crate::node) fn say_overdue(&mut self, now: Now) {
        loop {
            let Some(cluster) = &mut self.cluster else {
                return;
            };
            let Some((eid, kind, name, shadow)) = cluster.shadows.pop_due(now.at) else {
                break;
            };
            cluster.counters.overdue += 1;
            self.say_shadow(now, eid, kind, &name, &shadow);
        }
        if let Some(due) = self.cluster.as_ref().and_then(|it| it.shadows.next_due()) {
            self.timers.set(Timer::Shadows, due);
        }
        self.pump_column(now);
    }

    pub(super) fn say_shadows(&mut self, now: Now, eid: EntityId) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        for (kind, name, shadow) in cluster.shadows.take_server(eid) {
            self.say_shadow(now, eid, kind, &name, &shadow);
        }
    }

    fn say_shadow(&mut self, now: Now, eid: EntityId, kind: Kind, name: &str, shadow: &Shadow) {
        let owner = match kind {
            Kind::Mailbox => self.table.owner_of_mailbox(name),
            Kind::Device => None,
        };
        let applied = self.table.apply(&Assertion {
            kind,
            name,
            eid,
            value: shadow.value,
            cachable: true,
            source: shadow.source,
            peer: Some(shadow.peer),
            holder: shadow.holder,
            version: None,
            lost: false,
            at: shadow.at,
        });
        if let Ok(Some(change)) = applied {
            self.counters.changes_received += 1;
            if kind == Kind::Mailbox {
                let owned = self.settle_owner(now, (shadow.peer, true), name, owner);
                self.say_owned(now, owned, Some(change));
            }
            self.fan_out(now, change);
        }
    }

    /// Whether this node is to do for a server what its home does.
    pub(in crate::node) fn is_home(&self, eid: EntityId) -> bool {
        self.cluster.as_ref().is_none_or(|it| !it.stands_by(eid))
    }
}
