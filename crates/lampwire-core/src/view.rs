//! What a node shows of itself: plain data, made when asked for.

use std::net::SocketAddr;
use std::time::Duration;

use lampwire_sip::{DeviceState, EntityId, EventPackage};

use crate::counters::Histogram;
use crate::limits;
use crate::table::Source;
use crate::time::WallTime;

/// A part of a listing in order of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Where to go on: give it as `after`. Some also where only the scan's budget ended.
    pub next: Option<String>,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// Its name, as `PJSIP/1001`.
    pub device: String,
    /// The sum of its entities' states, as Asterisk reckons it.
    pub state: DeviceState,
    /// What each entity says, by entity id.
    pub entities: Vec<EntityView>,
}

/// What one entity says of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityView {
    /// The entity.
    pub eid: EntityId,
    /// What it says.
    pub state: DeviceState,
    /// False: shown, but not summed.
    pub cachable: bool,
    /// Where it was heard.
    pub source: Source,
    /// The peer it came from, where it came from one.
    pub peer: Option<String>,
    /// When it was said first.
    pub updated_at: WallTime,
    /// The entity is lost: its state is shown, but does not count.
    pub lost: bool,
}

/// A mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxView {
    /// Its name, as `100@default`.
    pub mailbox: String,
    /// New messages.
    pub new: u16,
    /// Old messages.
    pub old: u16,
    /// The entity whose value this is.
    pub eid: EntityId,
    /// Where it was heard.
    pub source: Source,
    /// The peer it came from, where it came from one.
    pub peer: Option<String>,
    /// When it was said first.
    pub updated_at: WallTime,
    /// The entity is lost.
    pub lost: bool,
}

/// Whether a peer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerStatus {
    /// It answers, or a publication of it is live.
    Up,
    /// It does not answer, and has sent nothing since that was noticed.
    Down,
    /// Nothing has been heard of it, and nothing was asked.
    Unknown,
}

impl PeerStatus {
    /// The word that the interface uses: `up`, `down`, `unknown`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// Peers by their status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCounts {
    /// Those that are there.
    pub up: usize,
    /// Those that are not.
    pub down: usize,
    /// Those of which nothing is known.
    pub unknown: usize,
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// The name of its asterisk-publication, or of its publish where no asterisk-publication names that.
    pub name: String,
    /// Its own entity id, where it is known.
    pub entity_id: Option<EntityId>,
    /// Whether it is there.
    pub status: PeerStatus,
    /// The endpoints that may publish as this peer.
    pub endpoints: Vec<String>,
    /// The publishes that tell it.
    pub publishers: Vec<String>,
    /// Its live publications here.
    pub publications: usize,
    /// When it last sent or answered anything.
    pub last_heard: Option<WallTime>,
    /// The time from our last request to its answer.
    pub round_trip: Option<Duration>,
    /// How long the last canary took there and back, where there is one (`@canary`).
    pub canary: Option<Duration>,
    /// States that it should hold and has not confirmed, among the oldest [`limits::CHANGE_LOG_ENTRIES`] changes of each publisher.
    pub behind: u64,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// What a publisher does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublisherStatus {
    /// The peer has confirmed everything.
    Idle,
    /// Something is on its way.
    Publishing,
    /// The peer is silent, unreachable or refuses; it is tried again later.
    BackOff,
    /// The peer's host name is being resolved.
    Resolving,
    /// The node is ending.
    Stopped,
}

impl PublisherStatus {
    /// The word that the interface uses: `idle`, `publishing`, `back-off`, `resolving`, `stopped`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Publishing => "publishing",
            Self::BackOff => "back-off",
            Self::Resolving => "resolving",
            Self::Stopped => "stopped",
        }
    }
}

/// An outbound-publish at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherView {
    /// The section's name.
    pub name: String,
    /// The peer it tells.
    pub peer: Option<String>,
    /// What it tells of.
    pub event: EventPackage,
    /// Where to, as configured.
    pub server_uri: String,
    /// Where to, resolved.
    pub target: Option<SocketAddr>,
    /// What it does.
    pub status: PublisherStatus,
    /// Its open publications at the peer.
    pub lanes: Vec<LaneView>,
    /// States that the peer should hold and has not confirmed, among its oldest [`limits::CHANGE_LOG_ENTRIES`] changes.
    pub behind: u64,
    /// Requests sent, copies not counted.
    pub sent: u64,
    /// States confirmed.
    pub confirmed: u64,
    /// Refusals.
    pub refused: u64,
    /// Copies of requests that were sent because no answer came.
    pub copies: u64,
    /// Requests that are on their way.
    pub in_flight: usize,
    /// From a request to its final answer.
    pub round_trips: Histogram,
    /// The times of its canaries.
    pub canaries: Histogram,
    /// From a change to the peer's first confirmation of it.
    pub confirm_times: Histogram,
    /// The last final answer.
    pub last_answer: Option<AnswerView>,
    /// When it is tried again, where it waits.
    pub retry_at: Option<WallTime>,
}

/// One of a publisher's publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneView {
    /// Its number, from 0.
    pub index: u16,
    /// The peer has given an entity tag that is in use.
    pub open: bool,
    /// When it began; `None` also where that was before this start of the node.
    pub opened_at: Option<WallTime>,
    /// When the peer would forget it.
    pub expires_at: Option<WallTime>,
    /// A request is on its way.
    pub in_flight: bool,
}

/// A final answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerView {
    /// Its status.
    pub status: u16,
    /// Its reason phrase, as the peer wrote it, but with control characters escaped, and not all of a long one.
    pub reason: String,
    /// When it came.
    pub at: WallTime,
}

/// A peer's publication here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicationView {
    /// Its number.
    pub id: u32,
    /// Whose it is.
    pub endpoint: String,
    /// The inbound-publication it is for.
    pub resource: String,
    /// What it tells of.
    pub event: EventPackage,
    /// Where its last request came from.
    pub remote: SocketAddr,
    /// When it began.
    pub created_at: WallTime,
    /// When its last request was taken.
    pub changed_at: WallTime,
    /// When it runs out.
    pub expires_at: WallTime,
    /// States taken in over it.
    pub states: u64,
}

/// A peer's words as they can be shown anywhere: none of its control characters reaches a terminal as such.
pub(crate) fn in_print(text: &str) -> String {
    let mut shown = String::new();
    let mut room = limits::REASON_SHOWN;
    for character in text.chars() {
        let unfit = character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
        let length = match unfit {
            true => character.escape_default().count(),
            false => 1,
        };
        if length > room {
            break;
        }
        room -= length;
        match unfit {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}
