//! What of a node survives its restart, as plain data: [`Node::unsaved`](crate::Node::unsaved) gives what is new, whoever keeps it gives all
//! of it to [`Node::restore`](crate::Node::restore) at the next start.
//!
//! There is no queue of changes to be written: the keeper is one more reader of the table's journal, with a cursor of its own, so a slow disk
//! costs nothing but that values in between are passed over.

use std::net::SocketAddr;
use std::time::Duration;

use lampwire_sip::{DeviceState, EntityId, EventPackage, Version};

use crate::table::Source;
use crate::time::WallTime;

/// One thing that is kept. A later one of the same [`key`](Record::key) takes its place.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The node's life, as it stamps values: a later one is higher.
    Life(u64),
    /// A value. Those that are not to be cached are not kept.
    State(KeptState),
    /// A peer's publication here. It is kept together with every state that came under its tag, or after them.
    Publication(KeptPublication),
    /// A peer's publication that has ended, by its number.
    PublicationGone(u32),
    /// A publication of ours at a peer.
    Lane(KeptLane),
    /// A peer's own entity id.
    Peer {
        /// The peer's name.
        name: String,
        /// Its own.
        entity_id: EntityId,
    },
    /// The node ended in order: nothing that peers said has been missed.
    Closed(bool),
    /// By what rules a publish told its peer.
    Terms(KeptTerms),
    /// A publish that is no more, by its name.
    TermsGone(String),
    /// By what rules an asterisk-publication took its peer's states.
    Taking(KeptTaking),
}

/// A value that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptState {
    /// The device's or mailbox's name.
    pub name: String,
    /// Whose it is.
    pub entity_id: EntityId,
    /// What it is.
    pub value: KeptValue,
    /// Where it came from.
    pub source: Source,
    /// The peer that told it, by its name.
    pub peer: Option<String>,
    /// Which version it is.
    pub version: Version,
    /// Its node is lost.
    pub lost: bool,
    /// It was deleted, and some peer may not have been told so yet.
    pub gone: bool,
    /// It is the value that counts of its mailbox.
    pub owner: bool,
    /// The node's number of the change. No two are the same.
    pub rev: u64,
    /// When it was said first.
    pub updated_at: WallTime,
    /// For how long it lives since it was set, where it is one of this node's that is to be renewed.
    pub ttl: Option<Duration>,
}

/// A state or counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptValue {
    /// A device's.
    Device(DeviceState),
    /// A mailbox's new and old messages.
    Mailbox {
        /// New ones.
        new: u16,
        /// Old ones.
        old: u16,
    },
}

/// A peer's publication here.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptPublication {
    /// Its number, which its tags carry.
    pub id: u32,
    /// How often its tag has changed.
    pub generation: u32,
    /// The endpoint's name.
    pub endpoint: String,
    /// The inbound-publication's name.
    pub resource: String,
    /// Its event.
    pub event: EventPackage,
    /// Where its last request came from.
    pub remote: SocketAddr,
    /// When it began.
    pub created_at: WallTime,
    /// When it runs out.
    pub expires_at: WallTime,
    /// States taken in over it.
    pub states: u64,
}

/// A publication of ours at a peer.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptLane {
    /// The outbound-publish's name.
    pub publish: String,
    /// Where it leads: a publish of the same name that leads elsewhere is another.
    pub server_uri: String,
    /// The lane's number.
    pub lane: u16,
    /// The entity tag for the next request, its Call-ID and the last CSeq; `None`: there is no publication.
    pub tag: Option<String>,
    /// Its Call-ID.
    pub call_id: String,
    /// Its last CSeq.
    pub cseq: u32,
    /// When it runs out at the peer.
    pub expires_at: WallTime,
    /// The change up to which the peer has confirmed everything.
    pub confirmed: u64,
}

/// By what rules a publish told its peer: where they are others at the next start, the peer is told what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptTerms {
    /// The outbound-publish's name.
    pub publish: String,
    /// Where it leads: a publish of the same name that leads elsewhere is another.
    pub server_uri: String,
    /// What others had told went to the peer.
    pub relay: bool,
    /// The filter on names, as it was written.
    pub filter: Option<String>,
    /// The peer's own entity id, under which it is told nothing.
    pub peer: Option<EntityId>,
    /// How it was told otherwise.
    pub rewrites: Vec<KeptRewrite>,
}

/// By what rules an asterisk-publication took its peer's states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptTaking {
    /// The asterisk-publication's name.
    pub peer: String,
    /// Devices were taken.
    pub devices: bool,
    /// Mailboxes were taken.
    pub mailboxes: bool,
    /// The filter on devices, as it was written.
    pub device_filter: Option<String>,
    /// The filter on mailboxes, as it was written.
    pub mailbox_filter: Option<String>,
    /// What of it had other names here.
    pub rewrites: Vec<KeptRewrite>,
}

/// One rewrite section's rules, as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptRewrite {
    /// Devices: `THEIRS -> OURS`.
    pub devices: Vec<String>,
    /// Mailboxes: `THEIRS -> OURS`.
    pub mailboxes: Vec<String>,
    /// States: the peer's and ours.
    pub states: Vec<(DeviceState, DeviceState)>,
}

impl Record {
    /// What makes two records concern the same thing.
    pub fn key(&self) -> RecordKey<&str> {
        match self {
            Self::Life(_) => RecordKey::Life,
            Self::State(state) => RecordKey::State(
                matches!(state.value, KeptValue::Mailbox { .. }),
                &state.name,
                state.entity_id,
            ),
            Self::Publication(publication) => RecordKey::Publication(publication.id),
            Self::PublicationGone(id) => RecordKey::Publication(*id),
            Self::Lane(lane) => RecordKey::Lane(&lane.publish, lane.lane),
            Self::Peer { name, .. } => RecordKey::Peer(name),
            Self::Closed(_) => RecordKey::Closed,
            Self::Terms(terms) => RecordKey::Terms(&terms.publish),
            Self::TermsGone(publish) => RecordKey::Terms(publish),
            Self::Taking(taking) => RecordKey::Taking(&taking.peer),
        }
    }

    /// Whether it says that there is nothing, so that it need not be kept in a snapshot.
    pub const fn is_absence(&self) -> bool {
        matches!(self, Self::PublicationGone(_) | Self::TermsGone(_))
    }
}

/// What a record concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKey<Text> {
    /// The node's life.
    Life,
    /// Mailbox or not, name, entity id.
    State(bool, Text, EntityId),
    /// Its number.
    Publication(u32),
    /// The outbound-publish's name and the lane's number.
    Lane(Text, u16),
    /// Its name.
    Peer(Text),
    /// How the node ended.
    Closed,
    /// The outbound-publish's name.
    Terms(Text),
    /// The asterisk-publication's name.
    Taking(Text),
}

impl RecordKey<&str> {
    /// The same, with texts of its own.
    pub fn into_owned(self) -> RecordKey<String> {
        match self {
            Self::Life => RecordKey::Life,
            Self::State(mailbox, name, id) => RecordKey::State(mailbox, name.to_owned(), id),
            Self::Publication(id) => RecordKey::Publication(id),
            Self::Lane(publish, lane) => RecordKey::Lane(publish.to_owned(), lane),
            Self::Peer(name) => RecordKey::Peer(name.to_owned()),
            Self::Closed => RecordKey::Closed,
            Self::Terms(publish) => RecordKey::Terms(publish.to_owned()),
            Self::Taking(peer) => RecordKey::Taking(peer.to_owned()),
        }
    }
}

/// What is to be written, and how far that goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// In the order in which they are to be written, all or none.
    pub records: Vec<Record>,
    /// To be given back by [`Node::saved`](crate::Node::saved) once they are written.
    pub(crate) until: u64,
    /// There is more.
    pub more: bool,
}
