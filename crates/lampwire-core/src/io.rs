//! The edge of the node: plain data in, plain data out.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

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

/// A connection's number (TCP or TLS). No two of a node's life have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u64);

/// What is to be done with a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowCommand {
    /// Open one, from the address of the transport's `bind` (any port). Answered by `handle_connected` once it can carry bytes (with TLS:
    /// after the handshake), or by `handle_closed`.
    Connect {
        /// Its number.
        flow: FlowId,
        /// The transport, which says whether it is TCP or TLS and with which certificates.
        transport: TransportId,
        /// Where to.
        remote: SocketAddr,
        /// Whom the certificate must name (RFC 5922 7.1): the host of the configured URI, before DNS made an address of it.
        server_name: String,
    },
    /// Write these bytes, all of them. Answered by `handle_writable` when the system has taken them; no other `Write` comes before that.
    Write {
        /// The connection.
        flow: FlowId,
        /// At most [`crate::limits::FLOW_QUEUE`].
        bytes: Vec<u8>,
    },
    /// Close it, at once. It is forgotten; nothing about it is to be told any more.
    Close {
        /// The connection.
        flow: FlowId,
    },
}

/// What the other side of a TLS connection has shown of itself. Empty with TCP, and where it showed no certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// It was checked against the transport's authorities. If not, it proves nothing.
    pub verified: bool,
    /// The common name of its subject.
    pub subject: Option<String>,
    /// Its subject alternative names: host names, addresses, `sip:` URIs, as written.
    pub names: Vec<String>,
}

/// A question to the DNS (or what the system has instead of it, such as /etc/hosts).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Query {
    /// A and AAAA of a host.
    Addresses(String),
    /// SRV (RFC 2782) of a service's name such as `_sip._udp.example.org`.
    Srv(String),
    /// NAPTR (RFC 3403) of a domain.
    Naptr(String),
}

impl Query {
    /// The name that is asked for.
    pub fn name(&self) -> &str {
        match self {
            Self::Addresses(name) | Self::Srv(name) | Self::Naptr(name) => name,
        }
    }
}

impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Addresses(name) => write!(f, "host name {name:?}"),
            Self::Srv(name) => write!(f, "SRV {name:?}"),
            Self::Naptr(name) => write!(f, "NAPTR {name:?}"),
        }
    }
}

/// What the DNS says. No records: there are none, and that is certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The records, of the kind that was asked for.
    pub records: Records,
    /// For how long this may be believed.
    pub valid_for: Duration,
}

/// Records of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// Addresses, the preferred first.
    Addresses(Vec<IpAddr>),
    /// Servers, in any order.
    Srv(Vec<SrvRecord>),
    /// Ways to reach a domain, in any order.
    Naptr(Vec<NaptrRecord>),
}

/// A server of a service (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrvRecord {
    /// Lowest first.
    pub priority: u16,
    /// Its share among those of the same priority.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// Its host name; `.` means that the service is not to be had.
    pub target: String,
}

/// A way to reach a domain (RFC 3403, RFC 3263 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NaptrRecord {
    /// Lowest first.
    pub order: u16,
    /// Lowest first among those of the same order.
    pub preference: u16,
    /// `s`: an SRV lookup follows.
    pub flags: String,
    /// Such as `SIP+D2T`.
    pub service: String,
    /// The name for that lookup.
    pub replacement: String,
}

/// A place in the stream that a site's bucket is kept as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which stream: one that was made anew under the same name is another.
    pub incarnation: u64,
    /// The number of the last message that was read.
    pub at: u64,
}

/// What is to be done on the bus. Keys are those of the own site's bucket, without the bucket's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusCommand {
    /// Read a site's bucket, and go on reading it: everything, or what was written behind a place. Answered by [`BusInput::Opened`], or by
    /// [`BusInput::Failed`]. One that was being read is read no more.
    Read {
        /// The site.
        site: String,
        /// The JetStream domain of its servers, where they have one.
        domain: Option<String>,
        /// Only keys that are for all sites.
        wide: bool,
        /// `None`: everything.
        from: Option<Place>,
    },
    /// Put a value under a key. Answered by [`BusInput::Stored`], as the next two are. What is asked for first is done first.
    Put {
        /// The number of the answer.
        number: u64,
        /// The key.
        key: String,
        /// The value.
        bytes: Vec<u8>,
    },
    /// Withdraw a key: a mark stands under it then.
    Withdraw {
        /// The number of the answer.
        number: u64,
        /// The key.
        key: String,
    },
    /// Erase what stands under a key up to a place of the stream, that place included.
    Erase {
        /// The number of the answer.
        number: u64,
        /// The key.
        key: String,
        /// The place.
        at: u64,
    },
    /// Say something to whoever is there. Nobody keeps it, and nobody answers.
    Say {
        /// Its subject, without the cluster's prefix.
        topic: String,
        /// What is said.
        bytes: Vec<u8>,
    },
}

/// What happened on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusInput<'a> {
    /// There is a connection, and the own site's bucket is there. Everything that was asked for before is forgotten.
    Up {
        /// The server, for people.
        server: &'a str,
    },
    /// The connection is lost, or cannot be made. Nothing that was asked for is answered any more.
    Down {
        /// Why.
        why: &'a str,
    },
    /// A site's bucket is being read.
    Opened {
        /// The site.
        site: &'a str,
        /// Which stream it is.
        incarnation: u64,
        /// From its beginning, also where that was not asked for: the place that was named is not in it any more.
        whole: bool,
        /// How many keys are to be read until nothing is left but news.
        pending: u64,
        /// The number of its last message.
        last: u64,
    },
    /// A key was read.
    Record {
        /// The site.
        site: &'a str,
        /// The number of its message.
        at: u64,
        /// How many are to be read behind it.
        pending: u64,
        /// The key.
        key: &'a str,
        /// What stands under it; `None`: it was withdrawn.
        value: Option<&'a [u8]>,
    },
    /// A bucket cannot be read, or not any more.
    Failed {
        /// The site.
        site: &'a str,
        /// Why.
        why: &'a str,
    },
    /// A put, a withdrawal or an erasure was done, in that place of the stream; or why not.
    Stored {
        /// Its number.
        number: u64,
        /// How it went.
        result: Result<u64, &'a str>,
    },
    /// Somebody said something that nobody keeps.
    Said {
        /// Its subject, without the cluster's prefix.
        topic: &'a str,
        /// What was said.
        bytes: &'a [u8],
    },
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
        /// What the mailbox shows after the change: another entity's counts, where another owns the mailbox. `None`: nobody says
        /// anything of it any more.
        shown: Option<MailboxView>,
        /// The entity that spoke.
        eid: EntityId,
        /// What it says now.
        said: MailboxView,
        /// It says nothing any more: `said` is what others are told of that.
        taken_back: bool,
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
    queries: VecDeque<Query>,
    flows: VecDeque<FlowCommand>,
    bus: VecDeque<BusCommand>,
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

    pub(crate) fn query(&mut self, query: Query) {
        self.queries.push_back(query);
    }

    pub(crate) fn flow(&mut self, command: FlowCommand) {
        self.flows.push_back(command);
    }

    pub(crate) fn bus(&mut self, command: BusCommand) {
        self.bus.push_back(command);
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

    /// The datagram that leaves after `index` others.
    pub(crate) fn transmit_at(&self, index: usize) -> Option<Transmit<'_>> {
        let (transport, remote, range) = self.transmits.get(index)?;
        Some(Transmit {
            transport: *transport,
            remote: *remote,
            bytes: &self.bytes[range.clone()],
        })
    }

    /// The first `count` datagrams have left.
    pub(crate) fn transmitted(&mut self, count: usize) {
        self.transmits.drain(..count.min(self.transmits.len()));
        if self.transmits.is_empty() {
            self.bytes.clear();
        }
    }

    pub(crate) fn poll_flow(&mut self) -> Option<FlowCommand> {
        self.flows.pop_front()
    }

    pub(crate) fn poll_bus(&mut self) -> Option<BusCommand> {
        self.bus.pop_front()
    }

    pub(crate) fn poll_query(&mut self) -> Option<Query> {
        self.queries.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
