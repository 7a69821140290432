//! How far the peers are behind, counted a part at a time: with many peers away one walk through what each has missed would hold up the
//! node.

use std::collections::BTreeMap;

use super::Node;
use crate::ami::Link;
use crate::limits;
use crate::publisher::PublisherId;
use crate::table::Rev;

/// States that peers should hold and have not confirmed, by publisher.
#[derive(Clone, Debug, Default)]
pub struct Behind {
    counts: BTreeMap<PublisherId, u64>,
    /// Where the count goes on: the place of the publisher, from which change of its, and how many of its were looked at.
    publisher: usize,
    next: Option<Rev>,
    looked_at: usize,
}

impl Behind {
    pub(super) fn of(&self, publisher: PublisherId) -> u64 {
        self.counts.get(&publisher).copied().unwrap_or(0)
    }
}

impl Node {
    /// Looks at `budget` changes more, and at the rest of one publisher's more at most; true: there are more. Of each publisher the oldest
    /// [`limits::CHANGE_LOG_ENTRIES`] changes count that its peer has not confirmed. What changes between two calls may be counted or not.
    pub fn count_behind(&self, behind: &mut Behind, budget: usize) -> bool {
        let mut left = budget;
        while let Some(publisher) = self.publishers.get(behind.publisher) {
            let from = behind
                .next
                .unwrap_or_else(|| publisher.oldest_unconfirmed(&self.table));
            let room = limits::CHANGE_LOG_ENTRIES - behind.looked_at;
            let part = publisher.behind(&self.table, &self.filters, from, left.min(room));
            *behind.counts.entry(publisher.id).or_default() += part.count;
            left -= part.looked_at;
            behind.looked_at += part.looked_at;
            behind.next = part.next;
            if part.next.is_none() || behind.looked_at == limits::CHANGE_LOG_ENTRIES {
                behind.publisher += 1;
                (behind.next, behind.looked_at) = (None, 0);
            } else if left == 0 {
                return true;
            }
        }
        false
    }

    /// Over all publishers, and over all Asterisks that are written by their manager interfaces.
    pub fn total_behind(&self, behind: &Behind) -> u64 {
        let of_links = self.amis.iter().map(Link::behind);
        behind.counts.values().copied().chain(of_links).sum()
    }

    /// All of it at once.
    pub(super) fn behind(&self) -> Behind {
        let mut behind = Behind::default();
        while self.count_behind(&mut behind, limits::CHANGE_LOG_ENTRIES) {}
        behind
    }
}
