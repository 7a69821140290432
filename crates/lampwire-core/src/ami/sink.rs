//! What an Asterisk should hold of others' states, against what it has confirmed.
//!
//! Nothing is queued: a name that may differ is looked at, and the newest value is written. A device is a `Custom:` device, whose state the
//! Asterisk keeps in its database; a mailbox is one of res_mwi_external.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lampwire_ami::Action;
use lampwire_sip::DeviceState;

use crate::limits;
use crate::table::Kind;

/// What others' states of a name come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Of a device.
    Device(DeviceState),
    /// Of a mailbox: new and old messages.
    Mailbox(u16, u16),
    /// Nobody says anything of it, or it is not the sink's.
    Nothing,
}

/// A name of another node's, as the Asterisk has it, and of what it is one.
pub(crate) type Subject = (Kind, Arc<str>);

/// A write on its way.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    subject: Subject,
    value: Wanted,
}

/// The half of a connection that puts states in.
#[derive(Debug)]
pub(crate) struct Sink {
    /// How the names of its devices begin.
    prefix: String,
    /// What the Asterisk has confirmed; a name that is not here is not there.
    held: BTreeMap<Subject, Wanted>,
    /// What it holds and nobody has spoken of over this connection: looked at when a node that has just begun could have heard of it.
    unspoken: BTreeSet<Subject>,
    /// Names to be looked at.
    dirty: BTreeSet<Subject>,
    /// Names with a write on its way.
    busy: BTreeSet<Subject>,
    /// The Asterisk has no res_mwi_external_ami: it was said, and is not tried again over this connection.
    no_mailboxes: bool,
    /// Something was refused over this connection, and that was said.
    refused: bool,
}

/// What is to be said in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// It takes no mailboxes.
    NoMailboxes,
    /// It refused a write: of what, and why.
    Refused(String, String),
}

impl Sink {
    pub(crate) fn new(prefix: String) -> Self {
        Self {
            prefix,
            held: BTreeMap::new(),
            unspoken: BTreeSet::new(),
            dirty: BTreeSet::new(),
            busy: BTreeSet::new(),
            no_mailboxes: false,
            refused: false,
        }
    }

    /// Another's name for a device that this sink may have written; `None`: it is the Asterisk's own.
    pub(crate) fn name_behind<'a>(&self, device: &'a str) -> Option<&'a str> {
        let head = device.get(..self.prefix.len())?;
        head.eq_ignore_ascii_case(&self.prefix)
            .then(|| &device[self.prefix.len()..])
    }

    /// A new connection: what it holds is what it lists. Where it does not list mailboxes (`None`), all are written anew.
    pub(crate) fn begin(
        &mut self,
        devices: impl Iterator<Item = (Arc<str>, DeviceState)>,
        mailboxes: Option<BTreeMap<Arc<str>, (u16, u16)>>,
    ) {
        self.busy.clear();
        self.unspoken.clear();
        (self.no_mailboxes, self.refused) = (false, false);
        match mailboxes {
            None => {
                // Those that it may still hold from before are deleted there where nobody speaks of them any more.
                self.held.retain(|(kind, _), _| *kind == Kind::Mailbox);
                for (subject, value) in &mut self.held {
                    *value = Wanted::Nothing;
                    self.dirty.insert(subject.clone());
                }
            }
            Some(mailboxes) => {
                self.held.clear();
                for (name, (new, old)) in mailboxes {
                    self.hold((Kind::Mailbox, name), Wanted::Mailbox(new, old));
                }
            }
        }
        for (name, state) in devices {
            self.hold((Kind::Device, name), Wanted::Device(state));
        }
    }

    fn hold(&mut self, subject: Subject, value: Wanted) {
        self.unspoken.insert(subject.clone());
        self.held.insert(subject, value);
    }

    /// Nobody has spoken of what is left, though there was time enough: it is taken out.
    pub(crate) fn look_at_unspoken(&mut self) {
        self.dirty.append(&mut self.unspoken);
    }

    /// One of its devices has changed there. What somebody else has made of it is put right.
    pub(crate) fn seen(&mut self, name: &str, state: DeviceState) {
        let subject = (Kind::Device, Arc::from(name));
        let (held, state) = (self.held.get(&subject), Wanted::Device(state));
        let is_gone = held.is_none() && state == Wanted::Device(DeviceState::Invalid);
        let full = self.dirty.len() >= limits::AMI_STATES as usize;
        // While a write is on its way, the answer to it says what to look at again.
        if held != Some(&state) && !is_gone && !full && !self.busy.contains(&subject) {
            self.held.insert(subject.clone(), state);
            if !self.unspoken.contains(&subject) {
                self.dirty.insert(subject);
            }
        }
    }

    /// A name may be another than the Asterisk has it.
    pub(crate) fn note(&mut self, kind: Kind, name: Arc<str>) {
        let subject = (kind, name);
        self.unspoken.remove(&subject);
        if !(kind == Kind::Mailbox && self.no_mailboxes) {
            self.dirty.insert(subject);
        }
    }

    /// The next write, where one is due and may be on its way. `wanted` says what others' states come to; `id` numbers the action.
    pub(crate) fn next(
        &mut self,
        wanted: &dyn Fn(Kind, &str) -> Wanted,
        id: u64,
    ) -> Option<(Action, Write)> {
        while self.busy.len() < limits::AMI_WRITES {
            let subject = self.dirty.pop_first()?;
            if self.busy.contains(&subject) {
                // It is looked at again when the answer comes.
                continue;
            }
            let value = match wanted(subject.0, &subject.1) {
                // Another node's sink wrote it: put in here it would come back under a longer name, and so on.
                _ if subject.0 == Kind::Device && self.name_behind(&subject.1).is_some() => {
                    Wanted::Nothing
                }
                // The one word that Asterisk takes from nobody; a lamp shows the same for both.
                Wanted::Device(DeviceState::Unknown) => Wanted::Device(DeviceState::NotInUse),
                value => value,
            };
            let held = self.held.get(&subject);
            let gone = matches!(held, None | Some(Wanted::Device(DeviceState::Invalid)));
            if held == Some(&value) && value != Wanted::Nothing || value == Wanted::Nothing && gone
            {
                continue;
            }
            let action = match value {
                Wanted::Nothing if subject.0 == Kind::Device => {
                    self.set_device(id, &subject.1, DeviceState::Invalid)
                }
                Wanted::Device(state) => self.set_device(id, &subject.1, state),
                Wanted::Nothing => Action::new("MWIDelete", id)
                    .field("Mailbox", &subject.1)
                    .ok(),
                Wanted::Mailbox(new, old) => set_mailbox(id, &subject.1, new, old),
            };
            // A name that cannot be said there (too long) is left out.
            if let Some(action) = action {
                self.busy.insert(subject.clone());
                return Some((action, Write { subject, value }));
            }
        }
        None
    }

    /// A write was answered. The action that cleans up behind it, and what is to be said in the log.
    pub(crate) fn answered(
        &mut self,
        write: Write,
        refused: Option<&str>,
        id: u64,
    ) -> (Option<Action>, Option<Complaint>) {
        let Write { subject, value } = write;
        self.busy.remove(&subject);
        if let Some(why) = refused {
            let unknown = why.to_ascii_lowercase().contains("unknown command");
            if subject.0 == Kind::Mailbox && unknown {
                self.dirty.retain(|(kind, _)| *kind != Kind::Mailbox);
                let first = !std::mem::replace(&mut self.no_mailboxes, true);
                return (None, first.then_some(Complaint::NoMailboxes));
            }
            // What was refused is not said again before it is another, or the connection is.
            let first = !std::mem::replace(&mut self.refused, true);
            let complaint = Complaint::Refused(subject.1.to_string(), why.to_owned());
            match value {
                Wanted::Nothing => self.held.remove(&subject),
                value => self.held.insert(subject.clone(), value),
            };
            self.note(subject.0, subject.1);
            return (None, first.then_some(complaint));
        }
        let mut clean = None;
        if value == Wanted::Nothing {
            self.held.remove(&subject);
            if subject.0 == Kind::Device {
                // Else it would be there again after the Asterisk's restart.
                let key = format!("{}{}", self.key_prefix(), subject.1);
                clean = Action::new("DBDel", id)
                    .field("Family", "CustomDevstate")
                    .and_then(|action| action.field("Key", &key))
                    .ok();
            }
        } else {
            self.held.insert(subject.clone(), value);
        }
        self.note(subject.0, subject.1);
        (clean, None)
    }

    /// Names that are not as they should be.
    pub(crate) fn behind(&self) -> usize {
        self.dirty.len() + self.busy.len()
    }

    fn set_device(&self, id: u64, name: &str, state: DeviceState) -> Option<Action> {
        let key = format!("{}{name}", self.key_prefix());
        if key.len() > limits::AMI_DATABASE_KEY {
            return None;
        }
        let variable = format!("DEVICE_STATE({}{name})", self.prefix);
        let action = Action::new("Setvar", id)
            .field("Variable", &variable)
            .ok()?;
        action.field("Value", state.as_str()).ok()
    }

    /// The prefix as the Asterisk's database has it.
    fn key_prefix(&self) -> &str {
        self.prefix.split_once(':').map_or("", |(_, prefix)| prefix)
    }
}

fn set_mailbox(id: u64, name: &str, new: u16, old: u16) -> Option<Action> {
    Action::new("MWIUpdate", id)
        .field("Mailbox", name)
        .and_then(|action| action.field("OldMessages", &old.to_string()))
        .and_then(|action| action.field("NewMessages", &new.to_string()))
        .ok()
}
