//! Whose value of a mailbox counts in a cluster.
//!
//! On a hub that stands alone a mailbox is owned by whoever last reported messages in it, in the order in which the hub heard of that. The nodes of a
//! cluster hear of it in different orders, so there the versions say who was last, and all nodes come to the same owner.

use std::collections::BTreeMap;

use super::CellId;

/// What is known of a value of a mailbox beside its counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Report {
    /// By the configuration of some node it is this value that counts.
    pub(crate) configured: bool,
    /// The number of the version in which messages were last reported; 0: in none.
    pub(crate) seq: u64,
}

/// The reports, by the cells of mailboxes: no more than there are cells.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    of: BTreeMap<CellId, Report>,
}

impl Reports {
    pub(crate) fn get(&self, id: CellId) -> Report {
        self.of.get(&id).copied().unwrap_or_default()
    }

    /// Messages were reported in this version. They stay the last until there is a later one.
    pub(crate) fn note(&mut self, id: CellId, seq: u64) {
        let report = self.of.entry(id).or_default();
        report.seq = report.seq.max(seq);
    }

    pub(crate) fn configure(&mut self, id: CellId, configured: bool) {
        if configured || self.of.contains_key(&id) {
            self.of.entry(id).or_default().configured = configured;
        }
    }

    /// The cell is another's from now on.
    pub(crate) fn forget(&mut self, id: CellId) {
        self.of.remove(&id);
    }
}
