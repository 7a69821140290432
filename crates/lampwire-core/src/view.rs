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

/// A cluster, as one of its nodes sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    /// Its name.
    pub cluster: String,
    /// What this node is called.
    pub node: String,
    /// This node's site.
    pub site: String,
    /// How far this node trusts what it sees of the bus.
    pub stage: ClusterStage,
    /// Since when.
    pub stage_since: WallTime,
    /// The server of the bus that it is connected to, or why to none.
    pub link: Result<String, String>,
    /// Since when.
    pub link_since: WallTime,
    /// States of this node's own of which the bucket has not confirmed the newest value, among the newest [`limits::CHANGE_LOG_ENTRIES`] changes.
    pub waiting: u64,
    /// Of those and of what else is put there: on its way.
    pub in_flight: usize,
    /// States that were heard of servers whose home another node is, and that the home has not said yet.
    pub shadows: usize,
    /// Records read.
    pub records: u64,
    /// Of those, what was news.
    pub news: u64,
    /// Records and messages that were not understood.
    pub unreadable: u64,
    /// Records and messages that a filter kept out.
    pub filtered: u64,
    /// What was put into the bucket.
    pub put: u64,
    /// What of that was refused, and tried again.
    pub refused: u64,
    /// How often the connection was lost.
    pub losses: u64,
    /// How often this node took a role.
    pub claims: u64,
    /// How often what was heard was said here because the home had not.
    pub overdue: u64,
    /// All nodes that were ever heard of in this life, this one first, then by name.
    pub nodes: Vec<NodeView>,
    /// All sites, this node's first, then by name.
    pub sites: Vec<SiteView>,
    /// All servers that a node is attached to, by entity id.
    pub servers: Vec<ServerView>,
}

/// How far a node trusts what it sees of the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterStage {
    /// The node has just started and has not read the bucket yet: nobody is told anything before it has.
    Joining,
    /// It cannot see what the others do: it goes on with what it has and its own peers, and judges nobody.
    Alone,
    /// It sees the others.
    Joined,
}

impl ClusterStage {
    /// The word that the interface uses: `joining`, `alone`, `joined`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Alone => "alone",
            Self::Joined => "joined",
        }
    }
}

/// A node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// What it calls itself.
    pub name: String,
    /// Its entity id.
    pub entity_id: EntityId,
    /// It is the one that is asked.
    pub own: bool,
    /// Its site.
    pub site: String,
    /// Of the nodes that a server is attached to the one of the lowest rank speaks to it and stamps its states.
    pub rank: u16,
    /// The newest protocol that it speaks, and the oldest that it understands.
    pub protocol: (u16, u16),
    /// Its program's version; `None`: what it says of itself has not been read.
    pub program: Option<String>,
    /// It is there.
    pub alive: bool,
    /// When it was heard last; `None` of the node itself.
    pub last_heard: Option<WallTime>,
    /// When its life began, by its own clock.
    pub started_at: WallTime,
    /// States that it keeps, of all entities.
    pub states: u64,
    /// The number of its newest stamp that the bucket has confirmed with all before it; `None`: there is none.
    pub written: Option<u64>,
    /// Records of all buckets that are known here and that it had not read when it was heard last.
    pub lag: u64,
    /// Servers whose home it is.
    pub homes: usize,
    /// Servers that it speaks to.
    pub speaks: usize,
}

/// A site of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteView {
    /// Its name.
    pub name: String,
    /// The JetStream domain of its servers.
    pub domain: Option<String>,
    /// How its bucket is read.
    pub reading: SiteReading,
    /// Up to where it was read; `None`: not yet.
    pub read: Option<u64>,
    /// Records that wait to be read, as the server said last.
    pub pending: u64,
    /// When something was read of it last.
    pub read_at: Option<WallTime>,
}

/// How a site's bucket is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteReading {
    /// It is not: there is no connection, or it is tried again later.
    Not,
    /// It was begun, or there is more to be read.
    Behind,
    /// Everything was read, and what comes is new.
    Live,
}

impl SiteReading {
    /// The word that the interface uses: `not-read`, `behind`, `live`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Not => "not-read",
            Self::Behind => "behind",
            Self::Live => "live",
        }
    }
}

/// A server that nodes of a cluster are attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerView {
    /// Its entity id.
    pub entity_id: EntityId,
    /// The node that stamps its states; `None`: no node that is there hears it.
    pub home: Option<String>,
    /// The node that tells it the states of all others; `None`: none that is there can.
    pub speaker: Option<String>,
    /// How each node is attached to it, by the nodes' names.
    pub ways: Vec<WayView>,
}

/// A node's way to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayView {
    /// The node.
    pub node: String,
    /// What it calls the server.
    pub peer: String,
    /// It hears the server at first hand.
    pub hears: bool,
    /// It can tell it states.
    pub tells: bool,
    /// The node is there, in the life in which it said so.
    pub alive: bool,
    /// The terms in which it took to be the home and to speak; 0: never.
    pub terms: (u64, u64),
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
