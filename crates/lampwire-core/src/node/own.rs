//! States that are set on this node itself.

use lampwire_sip::{DeviceState, valid_name};

use super::Node;
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
        self.set(now, Kind::Device, device, Value::device(state), cachable)
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
        self.set(now, Kind::Mailbox, mailbox, Value::mailbox(new, old), true)
    }

    /// Takes back a device's state that was set here: INVALID goes to every peer that has it, and then nothing is left.
    ///
    /// # Errors
    /// This node has not set it, or is ending.
    pub fn unset_device(&mut self, now: Now, device: &str) -> Result<(), SetError> {
        self.unset(now, Kind::Device, device)
    }

    /// Takes back a mailbox's counts that were set here: 0/0 goes to every peer that has them, and then nothing is left.
    ///
    /// # Errors
    /// This node has not set it, or is ending.
    pub fn unset_mailbox(&mut self, now: Now, mailbox: &str) -> Result<(), SetError> {
        self.unset(now, Kind::Mailbox, mailbox)
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
            let own = &ctx.config.outbound_publishes[usize::from(it.id.0)].name;
            if publisher.is_none_or(|name| name == own) && it.ask(ctx) {
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

    fn set(
        &mut self,
        now: Now,
        kind: Kind,
        name: &str,
        value: Value,
        cachable: bool,
    ) -> Result<SetOutcome, SetError> {
        if self.is_ending() {
            return Err(SetError::Stopping);
        }
        valid_name(name).map_err(|error| SetError::Name(error.to_string()))?;
        let change = self.table.apply(&Assertion {
            kind,
            name,
            eid: self.entity_id,
            value,
            cachable,
            source: Source::Local,
            peer: None,
            holder: None,
            version: None,
            at: now.wall,
        })?;
        let Some(change) = change else {
            return Ok(SetOutcome::Same);
        };
        self.fan_out(now, change);
        self.settle(now);
        Ok(if change.previous.is_some() {
            SetOutcome::Changed
        } else {
            SetOutcome::Created
        })
    }

    fn unset(&mut self, now: Now, kind: Kind, name: &str) -> Result<(), SetError> {
        if self.is_ending() {
            return Err(SetError::Stopping);
        }
        let change = self
            .table
            .delete(kind, name, self.entity_id, now.wall)
            .ok_or_else(|| SetError::NotOurs(name.to_owned()))?;
        self.fan_out(now, change);
        self.settle(now);
        Ok(())
    }
}
