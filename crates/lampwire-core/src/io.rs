//! The edge of the node: plain data in, plain data out.

use std::collections::VecDeque;
use std::net::SocketAddr;

use lampwire_sip::EntityId;

use crate::limits;
use crate::view::{DeviceView, MailboxView, PeerView, PublicationView};
use lampwire_sip::DeviceState;

/// A transport's number: its place in the configuration's list of transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportId(pub u16);

/// A datagram that is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// The socket it leaves by.
    pub transport: TransportId,
    /// Where it goes.
    pub remote: SocketAddr,
    /// What it says.
    pub bytes: &'a [u8],
}

/// Something that happened, for logs, the event stream and the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A device's state under one entity id was set, whether or not the sum changed. Only while watched.
    Device {
        /// The device after the change.
        device: DeviceView,
        /// The entity that spoke.
        eid: EntityId,
        /// What the entity had said before.
        previous: Option<DeviceState>,
    },
    /// A mailbox's counts were set. Only while watched.
    Mailbox {
        /// The mailbox after the change.
        mailbox: MailboxView,
        /// The entity that spoke.
        eid: EntityId,
        /// (new, old) as that entity had said before.
        previous: Option<(u16, u16)>,
    },
    /// A peer came or went. Only while watched.
    Peer {
        /// The peer as it is now.
        peer: PeerView,
    },
    /// A publication began or ended. Only while watched.
    Publication {
        /// The publication.
        publication: PublicationView,
        /// Why it ended; `None`: it began.
        ended: Option<&'static str>,
    },
    /// A line for the log.
    Notice(Notice),
}

/// A line for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub level: Level,
    /// A word that stays the same, to search and to count by.
    pub code: &'static str,
    /// Who, what, why; one line.
    pub text: String,
}

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// States are not exchanged as configured, and will not be until somebody acts.
    Error,
    /// States are not exchanged as configured at the moment.
    Warn,
    /// What an operator wants to see of a healthy node.
    Info,
    /// What helps to find a fault.
    Debug,
}

/// Everything that waits to leave the node.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    transmits: VecDeque<(TransportId, SocketAddr, std::ops::Range<usize>)>,
    queries: VecDeque<String>,
    events: VecDeque<Event>,
    /// Events that were dropped because nobody took them.
    pub(crate) events_lost: u64,
}

impl Outbox {
    /// Sends what `write` appends to the buffer.
    pub(crate) fn transmit(
        &mut self,
        transport: TransportId,
        remote: SocketAddr,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.transmits
            .push_back((transport, remote, start..self.bytes.len()));
    }

    pub(crate) fn query(&mut self, host: String) {
        self.queries.push_back(host);
    }

    pub(crate) fn event(&mut self, event: Event) {
        if self.events.len() >= limits::EVENTS_WAITING {
            self.events.pop_front();
            self.events_lost += 1;
        }
        self.events.push_back(event);
    }

    pub(crate) fn notice(&mut self, level: Level, code: &'static str, text: String) {
        self.event(Event::Notice(Notice { level, code, text }));
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        if self.transmits.is_empty() {
            // Everything has left: the buffer is used again.
            self.bytes.clear();
            return None;
        }
        let (transport, remote, range) = self.transmits.pop_front()?;
        Some(Transmit {
            transport,
            remote,
            bytes: &self.bytes[range],
        })
    }

    pub(crate) fn poll_query(&mut self) -> Option<String> {
        self.queries.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
