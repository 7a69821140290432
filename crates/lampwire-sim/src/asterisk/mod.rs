//! A stock Asterisk as its peers see it: `res_pjsip_publish_asterisk` with `res_pjsip_outbound_publish` and `res_pjsip_pubsub`, with all
//! that they do otherwise than RFC 3903 asks for.
//!
//! It is measured, not derived: the [exchanges](crate::exchange) are run against this model and against real Asterisks, and must come out
//! the same. It opens no socket and asks no clock; datagrams and time are handed in, and the same seed and inputs give the same bytes.

mod body;
mod receiver;
mod sender;
mod states;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use lampwire_core::Time;
use lampwire_sip::{DeviceState, EntityId, EventPackage, Message, StartLine, StateChange};

use self::receiver::Receiver;
use self::sender::Publisher;
use self::states::States;
use crate::random::Dice;

/// What an Asterisk is configured to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens, on UDP.
    pub address: SocketAddr,
    /// Its own entity id.
    pub entity_id: EntityId,
    /// Whom it exchanges states with.
    pub peers: Vec<Peer>,
    /// The time after its start in which it neither answers nor sends.
    pub boot: Duration,
    /// Of 100 modifies that come within [`RACE`] of the answer to the initial request, so many are answered 412: the answer can leave before
    /// the publication can be found.
    pub lost_races: usize,
}

/// The time after an initial request in which a modify can come too early.
pub const RACE: Duration = Duration::from_millis(5);

/// Another node, as the sections of `pjsip.conf` have it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The name of its `endpoint`, `inbound-publication` and `asterisk-publication` here.
    pub name: String,
    /// The `endpoint` of its `inbound-publication`; `None`: any.
    pub endpoint: Option<String>,
    /// Where publishes to it go (`server_uri`).
    pub address: SocketAddr,
    /// The resource there (the user of `server_uri`).
    pub resource: String,
    /// The events of its `inbound-publication`.
    pub takes: Vec<EventPackage>,
    /// What its `asterisk-publication` lets in (`device_state`, `mailbox_state`); `None`: there is no such section.
    pub keeps: Option<Vec<EventPackage>>,
    /// What a device's name must begin with to be let in (`device_state_filter=^...`).
    pub keeps_devices: String,
    /// The events that an `outbound-publish` to it is for.
    pub publishes: Vec<EventPackage>,
    /// What a device's name must begin with to be told (`@device_state_filter=^...`).
    pub tells_devices: String,
    /// What a mailbox's name must begin with to be told (`@mailbox_state_filter=^...`).
    pub tells_mailboxes: String,
    /// The `asterisk-publication` names the publishes: it is asked for its states at the start, and told all when it asks.
    pub asks_refresh: bool,
    /// It must know this password to publish here (`auth`).
    pub demands: Option<Login>,
    /// Its challenges are answered with this password (`outbound_auth`).
    pub answers: Option<Login>,
    /// `expiration` of the publishes to it, in seconds.
    pub expiration: u32,
}

impl Peer {
    /// A peer that gets and gives everything, without passwords.
    pub fn new(name: &str, address: SocketAddr, resource: &str) -> Self {
        let both = vec![EventPackage::DeviceState, EventPackage::Mwi];
        Self {
            name: name.to_owned(),
            endpoint: None,
            address,
            resource: resource.to_owned(),
            takes: both.clone(),
            keeps: Some(both.clone()),
            keeps_devices: String::new(),
            publishes: both,
            tells_devices: String::new(),
            tells_mailboxes: String::new(),
            asks_refresh: true,
            demands: None,
            answers: None,
            expiration: 3600,
        }
    }

    /// Whether a change is for this peer: an event it is told of, and a name that its filter lets through.
    fn is_told(&self, change: &StateChange<'_>) -> bool {
        match change {
            StateChange::Device { device, .. } => device.starts_with(&self.tells_devices),
            StateChange::Mailbox { uniqueid, .. } => uniqueid.starts_with(&self.tells_mailboxes),
            StateChange::Refresh { .. }
            | StateChange::Dumped { .. }
            | StateChange::Beat { .. }
            | StateChange::Canary { .. } => true,
        }
    }
}

/// A user name and password of digest authentication, with MD5 in the realm `asterisk`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

/// The realm of its challenges: Asterisk's `default_realm`.
pub const REALM: &str = "asterisk";

/// A stock Asterisk.
#[derive(Debug)]
pub struct StockAsterisk {
    settings: Settings,
    dice: Dice,
    life: Life,
    states: States,
    receiver: Receiver,
    publishers: Vec<Publisher>,
    transmits: VecDeque<(SocketAddr, Vec<u8>)>,
}

/// How far it has come up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Down,
    BootsUntil(Time),
    Up,
}

impl StockAsterisk {
    /// An Asterisk that does not run yet.
    pub fn new(settings: Settings, mut dice: Dice) -> Self {
        let receiver = Receiver::new(dice.next());
        let publishers = Publisher::all(&settings, &mut dice);
        Self {
            settings,
            dice,
            life: Life::Down,
            states: States::default(),
            receiver,
            publishers,
            transmits: VecDeque::new(),
        }
    }

    /// It begins to boot. States that are set before it has booted are told when it has.
    pub fn start(&mut self, now: Time) {
        self.life = Life::BootsUntil(now + self.settings.boot);
    }

    /// It is gone, says nothing more and forgets everything: tags, remote states, what it was about to send, and its own states, which
    /// whoever plays its telephones has to set again.
    pub fn kill(&mut self) {
        *self = Self::new(self.settings.clone(), self.dice.clone());
    }

    /// Whether it has booted.
    pub fn is_up(&self) -> bool {
        self.life == Life::Up
    }

    /// A datagram has come. Any bytes will do; until it has booted they are lost.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, datagram: &[u8]) {
        self.boot_when_due(now);
        if self.life != Life::Up {
            return;
        }
        let Ok(message) = Message::parse(datagram) else {
            return;
        };
        match message.start() {
            StartLine::Request { method, uri } => {
                // A Content-Length that is too small or too large does not concern it: a datagram ends where it ends.
                let body = datagram.windows(4).position(|part| part == b"\r\n\r\n");
                let body = body.map_or(&[][..], |at| &datagram[at + 4..]);
                self.request(now, from, &message, body, method, uri);
            }
            StartLine::Response { status, .. } => {
                let branch = message.via().ok().and_then(|via| via.branch);
                let asked = self
                    .publishers
                    .iter_mut()
                    .find(|it| branch.is_some_and(|branch| it.waits_for(branch)));
                if let Some(publisher) = asked {
                    publisher.handle_answer(now, status, &message, &mut self.dice);
                }
                self.collect();
            }
        }
    }

    /// The next datagram to send, and where to.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.transmits.pop_front()
    }

    /// When it wants to be called again; `None`: only when something happens.
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.life {
            Life::Down => None,
            Life::BootsUntil(until) => Some(until),
            Life::Up => self.publishers.iter().filter_map(Publisher::due).min(),
        }
    }

    /// Time has come to [`StockAsterisk::poll_timeout`], or beyond.
    pub fn handle_timeout(&mut self, now: Time) {
        self.boot_when_due(now);
        if self.life == Life::Up {
            for publisher in &mut self.publishers {
                publisher.handle_timeout(now, &mut self.dice);
            }
            self.collect();
        }
    }

    /// One of its own devices is in a state, the same as before or another: it tells either way.
    pub fn set_device(&mut self, now: Time, device: &str, state: DeviceState) {
        let change = StateChange::Device {
            device: device.into(),
            state,
            cachable: true,
            eid: self.settings.entity_id,
        };
        self.apply(now, change);
    }

    /// One of its own mailboxes holds so many messages.
    pub fn set_mailbox(&mut self, now: Time, mailbox: &str, new: u16, old: u16) {
        let change = StateChange::Mailbox {
            uniqueid: mailbox.into(),
            new,
            old,
            eid: self.settings.entity_id,
        };
        self.apply(now, change);
    }

    /// The states that it keeps for a device, by entity id.
    pub fn device(&self, name: &str) -> Option<&BTreeMap<EntityId, DeviceState>> {
        self.states.device(name)
    }

    /// The state that it shows for a device: all entity ids summed up.
    pub fn summed(&self, name: &str) -> Option<DeviceState> {
        states::sum(self.states.device(name)?.values().copied())
    }

    /// New and old messages of a mailbox, as the last writer said.
    pub fn mailbox(&self, name: &str) -> Option<(u16, u16)> {
        self.states.mailbox(name).map(|(_, counts)| counts)
    }

    /// Takes a state as true, and tells the peers if it is its own.
    fn apply(&mut self, now: Time, change: StateChange<'_>) {
        self.states.apply(&change);
        if self.life == Life::Up && change.eid() == self.settings.entity_id {
            for index in 0..self.publishers.len() {
                self.tell(now, index, &change);
            }
            self.collect();
        }
    }

    /// Hands a state to a publish, if that is for it.
    fn tell(&mut self, now: Time, index: usize, change: &StateChange<'_>) {
        let publisher = &mut self.publishers[index];
        let event = match change {
            StateChange::Device { .. } => EventPackage::DeviceState,
            StateChange::Mailbox { .. } => EventPackage::Mwi,
            StateChange::Refresh { .. }
            | StateChange::Dumped { .. }
            | StateChange::Beat { .. }
            | StateChange::Canary { .. } => publisher.event,
        };
        if event == publisher.event && self.settings.peers[publisher.peer].is_told(change) {
            let mut body = Vec::new();
            change.write(&mut body);
            publisher.push(now, body, &mut self.dice);
        }
    }

    /// Everything of its own that it keeps, over one publish.
    fn dump(&mut self, now: Time, index: usize) {
        let own = self.settings.entity_id;
        for change in self.states.all_of(own, self.publishers[index].event) {
            self.tell(now, index, &change);
        }
    }

    fn boot_when_due(&mut self, now: Time) {
        match self.life {
            Life::BootsUntil(until) if until <= now => self.life = Life::Up,
            _ => return,
        }
        let eid = self.settings.entity_id;
        for index in 0..self.publishers.len() {
            self.dump(now, index);
            if self.settings.peers[self.publishers[index].peer].asks_refresh {
                self.tell(now, index, &StateChange::Refresh { eid });
            }
        }
        self.collect();
    }

    /// What the publishers have written goes out.
    fn collect(&mut self) {
        for publisher in &mut self.publishers {
            let to = self.settings.peers[publisher.peer].address;
            let written = publisher.written.drain(..).map(|bytes| (to, bytes));
            self.transmits.extend(written);
        }
    }
}
