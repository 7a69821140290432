//! States counted by kind and source, a part at a time: with a million of them one walk would hold up the node.

use super::Node;
use crate::table::{Kind, Source};

/// States by kind and source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    devices: [u64; Source::ALL.len()],
    mailboxes: [u64; Source::ALL.len()],
    /// How far the walk has come.
    next: usize,
}

impl Census {
    /// Each kind (`device`, `mailbox`) and source with its number of states.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, Source, u64)> + '_ {
        let of = |kind, counts: [u64; Source::ALL.len()]| {
            let counted = Source::ALL.into_iter().zip(counts);
            counted.map(move |(source, count)| (kind, source, count))
        };
        of("device", self.devices).chain(of("mailbox", self.mailboxes))
    }
}

impl Node {
    /// Counts at most `budget` cells more; true: there are more. What changes between two calls may be counted twice or not at all.
    pub fn count_states(&self, census: &mut Census, budget: usize) -> bool {
        let mut looked_at = 0;
        for cell in self.table.cells_from(census.next).take(budget) {
            looked_at += 1;
            if !cell.is_live() {
                continue;
            }
            let counts = match self.table.names.get(cell.name).kind {
                Kind::Device => &mut census.devices,
                Kind::Mailbox => &mut census.mailboxes,
            };
            counts[cell.source as usize] += 1;
        }
        census.next += looked_at;
        looked_at == budget
    }
}
