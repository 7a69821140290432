//! The Lampwire node without sockets, clock or threads: everything that is decided about the exchange of device and mailbox states with
//! Asterisks and other nodes is decided here.
//!
//! A [`Node`] is both sides of RFC 3903 at once: the event state compositor that takes the PUBLISH requests of its peers, and the event
//! publication agent that tells its peers what it knows. It is fed with plain data (a datagram, a moment, a command) and drained of plain
//! data (datagrams, questions, events). Time and randomness are passed in, so the same seed and the same inputs give the same outputs,
//! byte for byte.
//!
//! It never opens a socket or a file, reads a clock, starts a thread, or blocks. Nothing that comes from outside makes it panic, and
//! nothing in it grows without one of the bounds in [`limits`].
//!
//! ```
//! use std::sync::Arc;
//! use lampwire_conf::{load, MapSource};
//! use lampwire_core::{Node, Now, Setup, Time, TransportId, WallTime};
//! use lampwire_sip::DeviceState;
//!
//! let text = "[peer]\ntype=outbound-publish\nserver_uri=sip:us@127.0.0.2\nevent=asterisk-devicestate\n";
//! let (config, _) = load("lampwire.conf", &mut MapSource::new([("lampwire.conf", text)]));
//! let now = Now { at: Time::from_micros(0), wall: WallTime::from_millis(1_763_805_600_000) };
//! let entity_id = "02:00:00:00:00:01".parse().unwrap();
//! let mut node = Node::new(now, Setup { config: Arc::new(config), entity_id, seed: [0; 32], secret: [0; 32] });
//!
//! node.start(now, &[(TransportId(0), "127.0.0.1:5060".parse().unwrap())]);
//! node.set_device(now, "Custom:door", DeviceState::InUse, true).unwrap();
//! let transmit = node.poll_transmit().unwrap();
//! assert_eq!(transmit.remote, "127.0.0.2:5060".parse().unwrap());
//! assert!(transmit.bytes.starts_with(b"PUBLISH sip:us@127.0.0.2 SIP/2.0\r\n"));
//! ```

mod ami;
mod auth;
mod cluster;
mod compositor;
mod counters;
mod directory;
mod entity;
mod filters;
mod flow;
#[doc(hidden)]
pub mod fuzzing;
mod hex;
mod io;
mod late;
mod lately;
mod lease;
pub mod limits;
mod locate;
mod node;
mod peer;
mod publisher;
mod random;
mod refusal;
mod rewrite;
pub mod store;
mod strangers;
mod sum;
mod table;
mod time;
mod timers;
mod transaction;
mod view;

pub use self::counters::{Answered, Counters, Histogram};
pub use self::io::{
    Answer, BusCommand, BusInput, Certificate, Event, FlowCommand, FlowId, Level, NaptrRecord,
    Notice, Place, Query, Records, SrvRecord, Transmit, TransportId,
};
pub use self::lately::DropCause;
pub use self::node::{
    Behind, Census, ChangeView, DeliveryView, DeviceExplanation, DroppedView, MailboxExplanation,
    Node, NotReloaded, RelationChange, RelationTurn, ReloadReport, ReloadWarning, Said, SetError,
    SetOutcome, SetValue, Setting, Setup, TakenView, ToldView, Trail, UnknownPublisher, Verdict,
};
pub use self::publisher::Delivery;
pub use self::strangers::network_of;
pub use self::sum::sum;
pub use self::table::{Source, TableFull};
pub use self::time::{Now, Time, WallTime};
pub use self::view::{
    AnswerView, ClusterStage, ClusterView, DeviceView, EntityView, LaneView, MailboxView, NodeView,
    Page, PeerCounts, PeerStatus, PeerView, PublicationView, PublisherStatus, PublisherView,
    ServerView, SiteReading, SiteView, WayView,
};
