//! What a publisher's peer has been told of one value. Nothing here changes anything.

use std::collections::VecDeque;
use std::time::Duration;

use lampwire_conf::Filter;

use super::{Publisher, State};
use crate::filters::{FilterId, Filters};
use crate::limits;
use crate::table::{Entry, Kind, Rev, Table};
use crate::time::{Now, Time, WallTime};

/// Whether a value has come to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The peer has confirmed it.
    Confirmed,
    /// It waits, or is on its way.
    Waiting,
    /// The peer refused it; it is tried again later.
    Refused,
    /// It is not this publisher's to tell: it came from another node.
    NotTold,
}

impl Delivery {
    /// The word that the interface uses: `confirmed`, `waiting`, `refused`, `not-told`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::NotTold => "not-told",
        }
    }
}

/// When values came, and when the peer confirmed them, by their revisions: the newest of each.
#[derive(Debug, Default)]
pub(crate) struct Confirmations {
    /// In the order of revisions; without the time once confirmed.
    came: VecDeque<(Rev, Option<Time>)>,
    confirmed: VecDeque<(Rev, WallTime)>,
}

impl Confirmations {
    /// A value has come that the peer is to be told.
    pub(crate) fn came(&mut self, rev: Rev, at: Time) {
        push(&mut self.came, (rev, Some(at)));
    }

    /// The peer has confirmed the value of this revision; how long after it came, where that is remembered and it is the first time.
    pub(crate) fn confirmed(&mut self, rev: Rev, now: Now) -> Option<Duration> {
        push(&mut self.confirmed, (rev, now.wall));
        let index = self.came.partition_point(|(came, _)| *came < rev);
        let (_, at) = self.came.get_mut(index).filter(|(came, _)| *came == rev)?;
        at.take().map(|at| now.at.since(at))
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() >= limits::CONFIRMATIONS_REMEMBERED {
        queue.pop_front();
    }
    queue.push_back(item);
}

impl Publisher {
    /// When the peer last confirmed the value of a revision, where that is remembered.
    pub(crate) fn confirmed_at(&self, rev: Rev) -> Option<WallTime> {
        let newest_first = self.confirmations.confirmed.iter().rev();
        let mut of_rev = newest_first.filter(|(confirmed, _)| *confirmed == rev);
        of_rev.next().map(|(_, at)| *at)
    }

    /// The kind of values it tells of.
    pub(crate) const fn kind(&self) -> Kind {
        self.settings.kind
    }

    /// Its filter on names.
    pub(crate) const fn filter(&self) -> Option<FilterId> {
        self.settings.filter
    }

    /// Whether the peer has the value that `entry`, the newest of its cell, tells of.
    pub(crate) fn delivery(&self, table: &Table, filters: &Filters, entry: &Entry) -> Delivery {
        let Some(index) = self.lane_for(table, filters, entry) else {
            return Delivery::NotTold;
        };
        let lane = &self.lanes[usize::from(index)];
        if lane.has_confirmed(entry) {
            Delivery::Confirmed
        } else if lane.exceptions.contains_key(&entry.cell) {
            Delivery::Refused
        } else {
            Delivery::Waiting
        }
    }

    /// The names that the peer has asked for, where it has asked for some only.
    pub(crate) const fn pushed(&self) -> Option<&Filter> {
        self.settings.pushed.as_ref()
    }

    /// Since when the peer is silent or unreachable, where it is.
    pub(crate) fn away_since(&self) -> Option<Time> {
        matches!(self.state, State::Away { .. }).then_some(self.trouble_since)
    }

    /// Requests that are on their way.
    pub(crate) fn in_flight(&self) -> usize {
        let flights = self.lanes.iter().filter(|lane| lane.flight.is_some());
        flights.count()
    }
}
