//! States that are set on this node itself.

use std::collections::BTreeSet;
use std::time::Duration;

use lampwire_sip::{DeviceState, EntityId, valid_name};

use super::Node;
use crate::io::Level;
use crate::publisher::Publisher;
use crate::table::{Assertion, Kind, Source, TableFull, Value};
use crate::time::Now;

/// What setting a state did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOutcome {
    /// This node had said nothing of that name before.
    Created,
    /// The value is another than before.
    Changed,
    /// The value is as before; nobody is told again.
    Same,
}

/// A state that is to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The device's or mailbox's name.
    pub name: String,
    /// What it is to be.
    pub value: SetValue,
    /// After this time it is taken back, unless it is set again; `None`: it stays.
    pub ttl: Option<Duration>,
}

/// What a name is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetValue {
    /// A device's state. What is not cachable is told once and shown, but neither summed nor dumped.
    Device {
        /// The state.
        state: DeviceState,
        /// It is kept.
        cachable: bool,
    },
    /// A mailbox's counts.
    Mailbox {
        /// New messages.
        new: u16,
        /// Old messages.
        old: u16,
    },
}

impl SetValue {
    /// Whether it stays, and is not told once only.
    pub(super) const fn is_kept(self) -> bool {
        !matches!(
            self,
            Self::Device {
                cachable: false,
                ..
            }
        )
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Device { .. } => Kind::Device,
            Self::Mailbox { .. } => Kind::Mailbox,
        }
    }
}

/// Why a state was not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// The name is empty, too long, or holds a control character.
    #[error("{0}")]
    Name(String),
    /// This node has set no such state.
    #[error("this node has not set {0:?}; only the node that set a state can take it back")]
    NotOurs(String),
    /// What is not cachable is told once, so there is nothing that would be taken back.
    #[error("{0:?} is not cachable: it is told once and kept nowhere, so it takes no ttl")]
    Passing(String),
    /// Nobody speaks under that entity id here.
    #[error("{0} is neither this node's own entity id nor that of an api-client of it")]
    Foreign(EntityId),
    /// One list has a name twice.
    #[error("{0:?} stands twice in the list")]
    Twice(String),
    /// A bound was met.
    #[error("{0}")]
    Full(#[from] TableFull),
    /// The node is ending.
    #[error("the node is shutting down")]
    Stopping,
}

/// No outbound-publish has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no publish {name:?}; there are: {}", known.join(", "))]
pub struct UnknownPublisher {
    /// The name that was asked for.
    pub name: String,
    /// The names that there are.
    pub known: Vec<String>,
}

impl Node {
    /// Sets a device's state under this node's entity id. What is not cachable is told once and shown, but neither summed nor dumped.
    ///
    /// # Errors
    /// The name is not one, a bound is met, or the node is ending. Nothing is changed then.
    pub fn set_device(
        &mut self,
        now: Now,
        device: &str,
        state: DeviceState,
        cachable: bool,
    ) -> Result<SetOutcome, SetError> {
        self.set(now, device, SetValue::Device { state, cachable })
    }

    /// Sets a mailbox's counts under this node's entity id.
    ///
    /// # Errors
    /// As for `set_device`.
    pub fn set_mailbox(
        &mut self,
        now: Now,
        mailbox: &str,
        new: u16,
        old: u16,
    ) -> Result<SetOutcome, SetError> {
        self.set(now, mailbox, SetValue::Mailbox { new, old })
    }

    /// Takes back a device's state that was set here: INVALID goes to every peer that has it, and then nothing is left.
    ///
    /// # Errors
    /// This node has not set it, or is ending.
    pub fn unset_device(&mut self, now: Now, device: &str) -> Result<(), SetError> {
        self.unset(now, Kind::Device, device, self.entity_id)
    }

    /// Takes back a mailbox's counts that were set here: 0/0 goes to every peer that has them, and then nothing is left.
    ///
    /// # Errors
    /// This node has not set it, or is ending.
    pub fn unset_mailbox(&mut self, now: Now, mailbox: &str) -> Result<(), SetError> {
        self.unset(now, Kind::Mailbox, mailbox, self.entity_id)
    }

    /// Takes back a device's state that was set here under an entity id; `None`: the node's own.
    ///
    /// # Errors
    /// As for `unset_device`.
    pub fn unset_device_of(
        &mut self,
        now: Now,
        eid: Option<EntityId>,
        device: &str,
    ) -> Result<(), SetError> {
        self.unset(now, Kind::Device, device, eid.unwrap_or(self.entity_id))
    }

    /// Takes back a mailbox's counts that were set here under an entity id; `None`: the node's own.
    ///
    /// # Errors
    /// As for `unset_mailbox`.
    pub fn unset_mailbox_of(
        &mut self,
        now: Now,
        eid: Option<EntityId>,
        mailbox: &str,
    ) -> Result<(), SetError> {
        self.unset(now, Kind::Mailbox, mailbox, eid.unwrap_or(self.entity_id))
    }

    /// Sets states under an entity id that is spoken for here, which is the node's own (`None`) or that of an api-client: all of them, or none.
    /// What it did, in their order.
    ///
    /// # Errors
    /// The place of the first that cannot be set, and why. Nothing is changed then.
    pub fn set_states(
        &mut self,
        now: Now,
        eid: Option<EntityId>,
        settings: &[Setting],
    ) -> Result<Vec<SetOutcome>, (usize, SetError)> {
        if self.is_ending() {
            return Err((0, SetError::Stopping));
        }
        let eid = eid.unwrap_or(self.entity_id);
        if !self.speaks_under(eid) {
            return Err((0, SetError::Foreign(eid)));
        }
        let mut names = BTreeSet::new();
        for (index, setting) in settings.iter().enumerate() {
            let first = names.insert((setting.value.kind(), setting.name.as_str()));
            self.check_setting(now, eid, setting, first)
                .map_err(|error| (index, error))?;
        }
        // One alone was looked at above.
        if settings.len() > 1 {
            let new = settings
                .iter()
                .filter(|setting| self.table.is_new(&local(now, eid, setting)));
            if !self.table.has_room_for_more(new.count()) {
                return Err((0, TableFull::Cells.into()));
            }
        }
        let mut outcomes = Vec::with_capacity(settings.len());
        for (index, setting) in settings.iter().enumerate() {
            let applied = self.table.apply(&local(now, eid, setting));
            // Never: there was room for all.
            let applied = applied.map_err(|full| (index, full.into()))?;
            self.renew(now, eid, setting);
            let Some(change) = applied else {
                outcomes.push(SetOutcome::Same);
                continue;
            };
            self.fan_out(now, change);
            outcomes.push(match change.previous {
                Some(_) => SetOutcome::Changed,
                None => SetOutcome::Created,
            });
        }
        self.settle(now);
        Ok(outcomes)
    }

    /// Asks the peers for all they have: over the publish of that name, or over each one that an asterisk-publication names. How many are
    /// asked.
    ///
    /// # Errors
    /// There is no such publish.
    pub fn refresh(
        &mut self,
        now: Now,
        publisher: Option<&str>,
    ) -> Result<usize, UnknownPublisher> {
        let names = || {
            self.config
                .outbound_publishes
                .iter()
                .map(|publish| publish.name.as_str())
        };
        if let Some(name) = publisher
            && !names().any(|known| known == name)
        {
            let known = names().map(str::to_owned).collect();
            return Err(UnknownPublisher {
                name: name.to_owned(),
                known,
            });
        }
        let mut asked = 0;
        let mut peers = Vec::new();
        self.each_publisher(now, |it: &mut Publisher, ctx| {
            if publisher.is_none_or(|name| name == it.name()) && it.ask(ctx) {
                asked += 1;
                peers.extend(it.peer);
            }
        });
        for peer in peers {
            self.note_asked(now, peer);
        }
        self.settle(now);
        Ok(asked)
    }

    fn check_setting(
        &self,
        now: Now,
        eid: EntityId,
        setting: &Setting,
        first: bool,
    ) -> Result<(), SetError> {
        let name = setting.name.as_str();
        valid_name(name).map_err(|error| SetError::Name(error.to_string()))?;
        if !first {
            return Err(SetError::Twice(name.to_owned()));
        }
        if setting.ttl.is_some() && !setting.value.is_kept() {
            return Err(SetError::Passing(name.to_owned()));
        }
        Ok(self.table.check_room(&local(now, eid, setting))?)
    }

    fn set(&mut self, now: Now, name: &str, value: SetValue) -> Result<SetOutcome, SetError> {
        let setting = Setting {
            name: name.to_owned(),
            value,
            ttl: None,
        };
        let outcomes = self.set_states(now, None, &[setting]);
        let outcomes = outcomes.map_err(|(_, error)| error)?;
        Ok(outcomes.first().copied().unwrap_or(SetOutcome::Same))
    }

    fn unset(&mut self, now: Now, kind: Kind, name: &str, eid: EntityId) -> Result<(), SetError> {
        if self.is_ending() {
            return Err(SetError::Stopping);
        }
        if !self.table.is_local(kind, name, eid) || !self.take_back_own(now, kind, name, eid) {
            return Err(SetError::NotOurs(name.to_owned()));
        }
        self.settle(now);
        Ok(())
    }

    /// A state that was set here is gone; false where there is none.
    fn take_back_own(&mut self, now: Now, kind: Kind, name: &str, eid: EntityId) -> bool {
        let Some(change) = self.table.delete(kind, name, eid, now.wall) else {
            return false;
        };
        self.renewals.forget(kind, name, eid);
        self.fan_out(now, change);
        true
    }

    /// Whether states may be set here under an entity id.
    fn speaks_under(&self, eid: EntityId) -> bool {
        let mut clients = self.config.api_clients.iter();
        eid == self.entity_id || clients.any(|client| client.eid == Some(eid))
    }

    /// Takes back what was set under entity ids of api-clients that are no more: nobody could renew it or take it back. Gives what to say of
    /// it.
    pub(super) fn take_back_of_clients(&mut self, now: Now) -> Vec<String> {
        let mut texts = Vec::new();
        for (eid, names) in self.table.local_of_others(self.entity_id) {
            if self.speaks_under(eid) {
                continue;
            }
            let text = format!(
                "{} states that were set under {eid} are taken back: no api-client has that entity id any more",
                names.len()
            );
            self.outbox.notice(Level::Warn, "client-gone", text.clone());
            texts.push(text);
            for (kind, name) in names {
                self.take_back_own(now, kind, &name, eid);
            }
        }
        texts
    }
}

fn local<'a>(now: Now, eid: EntityId, setting: &'a Setting) -> Assertion<'a> {
    let (value, cachable) = match setting.value {
        SetValue::Device { state, cachable } => (Value::device(state), cachable),
        SetValue::Mailbox { new, old } => (Value::mailbox(new, old), true),
    };
    Assertion {
        kind: setting.value.kind(),
        name: &setting.name,
        eid,
        value,
        cachable,
        source: Source::Local,
        peer: None,
        holder: None,
        version: None,
        lost: false,
        at: now.wall,
    }
}
