//! A node's share in a cluster: several nodes that tell each other over a bus what they know, and are one hub to every Asterisk.
//!
//! The bus is NATS, of which nothing is known here: commands leave by [`BusCommand`](crate::BusCommand), and what happened comes in by
//! [`BusInput`](crate::BusInput). Each site has a bucket, in which every node writes a column of its own ([`column`]) and reads those of all others.
//! Values carry versions as between hubs, and the highest counts everywhere, in whatever order they come and however often.
//!
//! What is decided here: who is there ([`members`]), who of those that are attached to one server stamps its states and speaks to it, what is kept in
//! mind beside that ([`shadow`]), and how far this node may trust what it sees of the bus ([`Stage`]). How values get into the table is `node/cluster.rs`.

pub(crate) mod column;
pub(crate) mod members;
pub(crate) mod shadow;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lampwire_bus::{Protocol, Written};
use lampwire_conf as conf;
use lampwire_sip::{EntityId, Version};

use self::column::Column;
use self::members::{Members, Role};
use self::shadow::Shadows;
use crate::io::Place;
use crate::limits;
use crate::peer::PeerId;
use crate::table::{CellId, Kind, Value};
use crate::time::{Time, WallTime};

/// A node's share in a cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) settings: conf::Cluster,
    /// What the node is called.
    pub(crate) name: String,
    pub(crate) own: EntityId,
    /// The newest protocol that it speaks.
    pub(crate) protocol: Protocol,
    pub(crate) link: Link,
    /// Since when it is as it is.
    pub(crate) link_since: Time,
    /// The buckets, the own site's first of all.
    pub(crate) sites: BTreeMap<String, Site>,
    pub(crate) members: Members,
    pub(crate) column: Column,
    pub(crate) shadows: Shadows,
    pub(crate) stage: Stage,
    /// Since when.
    pub(crate) stage_since: Time,
    /// Servers whose home another node is.
    stands_by: BTreeSet<EntityId>,
    /// How this node is attached to servers may be another than was told.
    pub(crate) ways_due: bool,
    /// What an earlier life has left in its column was taken up.
    pub(crate) adopted: bool,
    /// Servers of which something is known that they did not tell this life of this node: they are asked what of it still is, by their home.
    pub(crate) unasked: BTreeSet<EntityId>,
    /// What was taken up from an earlier life of this node and its server has not said since: peers that compare versions may have been told
    /// something newer that did not get as far as the bucket.
    pub(crate) unheard: BTreeSet<CellId>,
    /// Our last beat.
    pub(crate) said_at: Time,
    /// The bucket last confirmed something.
    pub(crate) acked: Option<Time>,
    /// What of ours stands in the bucket.
    pub(crate) written: Option<Written>,
    /// Another process writes under our entity id; when it was last heard.
    pub(crate) double: Option<Time>,
    /// Nodes whose beats came over the bus.
    pub(crate) heard_of: BTreeSet<EntityId>,
    /// While others judged us to be gone, what is ours was said once more.
    pub(crate) said_again: bool,
    /// What was found wrong and reported, so that it is not again.
    pub(crate) reported: BTreeSet<(&'static str, EntityId)>,
    pub(crate) counters: ClusterCounters,
}

/// The connection to the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// There is none, and why.
    Down(String),
    /// To this server.
    Up(String),
}

/// How far what is seen of the bus can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The node has just started and has not read the bucket yet. What it hears may be old news to others.
    Joining,
    /// It cannot see what the others do: it goes on with what it has and its own peers, and judges nobody.
    Alone,
    /// It sees the others.
    Joined,
}

/// A site's bucket.
#[derive(Debug)]
pub(crate) struct Site {
    /// What tells of everything that was read there, as a peer does.
    pub(crate) peer: PeerId,
    /// The domain of its servers.
    pub(crate) domain: Option<String>,
    pub(crate) reading: Reading,
    /// Up to where it was read, and when it last was.
    pub(crate) read: Option<Place>,
    pub(crate) read_at: Option<Time>,
    /// The round in which reading all of it began.
    pub(crate) round: u32,
    /// It is being read from its beginning, also while that is broken off.
    pub(crate) unfinished: bool,
    /// Since then: all that these have stamped up to a number stands in it, and was read.
    pub(crate) told: BTreeMap<EntityId, u64>,
    /// What stands in it of values of which something newer is known that did not stand there: it counts if nobody knows of that.
    pub(crate) older: BTreeMap<(Kind, Arc<str>, EntityId), Older>,
    /// When what did not stand in it is taken to be gone.
    pub(crate) sweep_at: Option<Time>,
    /// When it is tried again to read it, and how often that failed.
    pub(crate) retry_at: Option<Time>,
    pub(crate) failures: u32,
    /// What is still to be read, as the server said last.
    pub(crate) pending: u64,
}

/// A value that stands in a bucket and is older than what is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Older {
    pub(crate) version: Version,
    pub(crate) value: Value,
    pub(crate) at: WallTime,
}

/// How the reading of a bucket goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It is not read.
    Not,
    /// That was begun.
    Asked,
    /// It is read, all of it from the beginning (`whole`) or from where it was left.
    Behind {
        /// From the beginning.
        whole: bool,
    },
    /// Everything was read, and what comes is new.
    Live,
}

impl Site {
    pub(crate) const fn new(peer: PeerId, domain: Option<String>) -> Self {
        Self {
            peer,
            domain,
            reading: Reading::Not,
            read: None,
            read_at: None,
            round: 0,
            unfinished: false,
            told: BTreeMap::new(),
            older: BTreeMap::new(),
            sweep_at: None,
            retry_at: None,
            failures: 0,
            pending: 0,
        }
    }

    /// Whether everything was read that stands in the bucket up to there.
    pub(crate) fn has_read(&self, written: &Written) -> bool {
        let read = |place: Place| place.incarnation == written.stream && place.at >= written.at;
        self.reading == Reading::Live && self.read.is_some_and(read)
    }
}

/// What is counted of the bus.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClusterCounters {
    /// Records read.
    pub(crate) records: u64,
    /// Of those, what was news.
    pub(crate) news: u64,
    /// Records that could not be read.
    pub(crate) unreadable: u64,
    /// Records and messages that were not wanted here.
    pub(crate) filtered: u64,
    /// How often the connection was lost.
    pub(crate) losses: u64,
    /// Values that were kept in mind because another node is the home, and that were said after all.
    pub(crate) overdue: u64,
    /// How often this node has taken a role.
    pub(crate) claims: u64,
}

impl Cluster {
    pub(crate) fn new(
        settings: &conf::Cluster,
        name: String,
        own: EntityId,
        site: PeerId,
        now: Time,
    ) -> Self {
        let own_site = Site::new(site, settings.domain.clone());
        Self {
            name,
            own,
            protocol: Protocol(settings.protocol),
            link: Link::Down("not connected yet".to_owned()),
            link_since: now,
            sites: BTreeMap::from([(settings.site.clone(), own_site)]),
            members: Members::new(own, settings.rank),
            column: Column::default(),
            shadows: Shadows::default(),
            stage: Stage::Joining,
            stage_since: now,
            stands_by: BTreeSet::new(),
            ways_due: false,
            adopted: false,
            unasked: BTreeSet::new(),
            unheard: BTreeSet::new(),
            said_at: now,
            acked: None,
            written: None,
            double: None,
            heard_of: BTreeSet::new(),
            said_again: false,
            reported: BTreeSet::new(),
            counters: ClusterCounters::default(),
            settings: settings.clone(),
        }
    }

    /// Whether it can see what the others do: it has read its site's bucket, and that takes what it writes.
    pub(crate) fn sees(&self, now: Time) -> bool {
        let writes = |at: Time| now < at + limits::BUS_WRITABLE;
        matches!(self.link, Link::Up(_))
            && now >= self.link_since + limits::BUS_SETTLES
            && self.own_site().reading == Reading::Live
            && self.acked.is_some_and(writes)
            && self.double.is_none()
    }

    pub(crate) fn own_site(&self) -> &Site {
        // It was put there at the beginning, and nothing takes it away.
        &self.sites[&self.settings.site]
    }

    /// Something has been put there, and all of ours that was stamped so far.
    pub(crate) fn note_written(&mut self, seq: u64) {
        let stream = self.own_site().read.map(|place| place.incarnation);
        self.written = stream.map(|stream| Written {
            seq,
            at: self.column.acked_at(),
            stream,
        });
    }

    /// The site whose reader this is.
    pub(crate) fn site_of(&self, peer: PeerId) -> Option<&str> {
        let mut sites = self.sites.iter();
        sites
            .find(|(_, site)| site.peer == peer)
            .map(|(name, _)| name.as_str())
    }

    /// Whether what is heard of a server at first hand is only kept in mind: another node stamps it.
    pub(crate) fn stands_by(&self, eid: EntityId) -> bool {
        match self.stage {
            Stage::Joining => true,
            Stage::Alone => false,
            Stage::Joined => self.stands_by.contains(&eid),
        }
    }

    /// Reckons anew whose home of what this node is not. Gives the servers whose home it is and was not.
    pub(crate) fn review_homes(&mut self, of: &BTreeSet<EntityId>) -> Vec<EntityId> {
        let mut taken = Vec::new();
        for eid in of {
            let home = self.members.holder(*eid, Role::Home);
            let other = home.is_some_and(|home| home != self.own);
            let own_way = self.members.own_way(*eid).is_some_and(|way| way.hears);
            if other && own_way {
                self.stands_by.insert(*eid);
            } else if self.stands_by.remove(eid) && own_way {
                taken.push(*eid);
            }
        }
        taken
    }

    /// What people call a node; `None` where it was never heard of.
    pub(crate) fn name_of(&self, node: EntityId) -> Option<&str> {
        if node == self.own {
            return Some(&self.name);
        }
        Some(self.members.get(node)?.beat.name.as_str())
    }
}
