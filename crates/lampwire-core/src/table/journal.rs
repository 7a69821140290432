//! The order in which values changed: one sequence of revisions, read by every publisher.

use std::collections::VecDeque;

use super::{CellId, Value};
use crate::limits;

/// The node's own number of a change. A revision is also a place to go on reading from, and stays valid for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Rev(pub(crate) u64);

impl Rev {
    /// The revision after this one.
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number itself.
    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    /// The revision before this one; the zeroth has none before it.
    pub(crate) const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// One change: `cell` took `value` at `rev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) rev: Rev,
    pub(crate) cell: CellId,
    pub(crate) value: Value,
}

/// All cells in the order of their last change, and among the newest changes (the window) also those that newer ones have overtaken.
///
/// It is the change log and the recency list in one: whoever keeps up reads every value, whoever has fallen behind the window finds just
/// the newest of each cell, in the same order and with the same cursor. Entries stand in segments; a segment that leaves the window, or
/// has lost half its live entries, is compacted by itself, so no change ever waits for more than one segment.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    segments: VecDeque<Segment>,
    head: Rev,
}

#[derive(Debug)]
struct Segment {
    entries: Vec<Entry>,
    /// Entries whose cell has not changed since.
    live: usize,
}

/// The segments that make up the window: one more than the bound asks, since the newest is being filled.
const WINDOW_SEGMENTS: usize = limits::CHANGE_LOG_ENTRIES / limits::JOURNAL_SEGMENT_ENTRIES + 1;

impl Journal {
    /// The newest revision given.
    pub(crate) const fn head(&self) -> Rev {
        self.head
    }

    /// The oldest revision from which on every change is still there one by one.
    pub(crate) fn window_start(&self) -> Rev {
        if self.segments.len() <= WINDOW_SEGMENTS {
            return Rev(0);
        }
        self.segments[self.segments.len() - WINDOW_SEGMENTS]
            .entries
            .first()
            .map_or(self.head.next(), |entry| entry.rev)
    }

    /// Puts an entry back that was there in an earlier life. Revisions rise.
    pub(crate) fn restore(&mut self, rev: Rev, cell: CellId, value: Value) {
        self.head = rev.before().max(self.head);
        self.push(cell, value);
    }

    /// Notes that `cell` took `value`; its last change before was `previous`. `is_live` tells whether an entry is still its cell's
    /// newest, with `cell` already counted at the new revision that is returned.
    pub(crate) fn push(&mut self, cell: CellId, value: Value) -> Rev {
        self.head = self.head.next();
        let entry = Entry {
            rev: self.head,
            cell,
            value,
        };
        match self.segments.back_mut() {
            Some(last) if last.entries.len() < limits::JOURNAL_SEGMENT_ENTRIES => {
                last.entries.push(entry);
                last.live += 1;
            }
            Some(_) | None => {
                // The first segment grows by doubling, so that a small node stays small; later ones are full soon.
                let capacity = if self.segments.is_empty() {
                    16
                } else {
                    limits::JOURNAL_SEGMENT_ENTRIES
                };
                let mut entries = Vec::with_capacity(capacity);
                entries.push(entry);
                self.segments.push_back(Segment { entries, live: 1 });
            }
        }
        self.head
    }

    /// Notes that the entry at `rev` is no longer its cell's newest (or that the cell is gone), and tidies up what that leaves.
    /// `is_live` tells of an entry whether it is its cell's newest.
    pub(crate) fn supersede(&mut self, rev: Rev, is_live: impl Fn(&Entry) -> bool) {
        let Some(index) = self.segment_of(rev) else {
            return;
        };
        self.segments[index].live = self.segments[index].live.saturating_sub(1);
        let outside = self.segments.len().saturating_sub(WINDOW_SEGMENTS);
        // The segment that has just left the window, if a new one was begun, still holds overtaken entries.
        if outside > 0 {
            self.tidy(outside - 1, &is_live);
        }
        if index < outside {
            self.tidy(index, &is_live);
        }
    }

    /// Uses up a revision without a change: a number that is newer than all that was told, and older than all that will be.
    pub(crate) fn skip(&mut self) {
        self.head = self.head.next();
    }

    /// The entries from `from` on, oldest first.
    pub(crate) fn entries_from(&self, from: Rev) -> impl Iterator<Item = Entry> + '_ {
        let first = self.segments.partition_point(|segment| {
            segment.entries.last().is_some_and(|entry| entry.rev < from)
        });
        let skip = self.segments.get(first).map_or(0, |segment| {
            segment.entries.partition_point(|entry| entry.rev < from)
        });
        self.segments
            .range(first..)
            .flat_map(|segment| segment.entries.iter().copied())
            .skip(skip)
    }

    /// The segment that would hold `rev`, where there is one.
    fn segment_of(&self, rev: Rev) -> Option<usize> {
        let index = self
            .segments
            .partition_point(|segment| segment.entries.last().is_some_and(|entry| entry.rev < rev));
        (index < self.segments.len()).then_some(index)
    }

    /// Compacts the segment at `index`, which lies outside the window, where at least half of it is dead, and joins it to the one
    /// before where both fit into one.
    fn tidy(&mut self, index: usize, is_live: &impl Fn(&Entry) -> bool) {
        let Some(segment) = self.segments.get_mut(index) else {
            return;
        };
        if segment.live == segment.entries.len() || segment.live * 2 > segment.entries.len() {
            return;
        }
        segment.entries.retain(is_live);
        segment.live = segment.entries.len();
        if segment.entries.is_empty() {
            self.segments.remove(index);
            return;
        }
        let fits = |a: &Segment, b: &Segment| {
            a.entries.len() + b.entries.len() <= limits::JOURNAL_SEGMENT_ENTRIES
        };
        if index > 0 && fits(&self.segments[index - 1], &self.segments[index]) {
            if let Some(segment) = self.segments.remove(index) {
                let before = &mut self.segments[index - 1];
                before.entries.extend_from_slice(&segment.entries);
                before.live += segment.live;
            }
        } else {
            self.segments[index].entries.shrink_to_fit();
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.segments
            .iter()
            .map(|segment| segment.entries.len())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A table reduced to the revision of each cell.
    struct Model {
        journal: Journal,
        revs: Vec<Rev>,
    }

    impl Model {
        fn new(cells: usize) -> Self {
            Self {
                journal: Journal::default(),
                revs: vec![Rev(0); cells],
            }
        }

        fn change(&mut self, cell: usize, value: u32) {
            let id = CellId::at(u32::try_from(cell).unwrap());
            let old = std::mem::replace(&mut self.revs[cell], self.journal.push(id, Value(value)));
            if old != Rev(0) {
                let revs = &self.revs;
                self.journal
                    .supersede(old, |entry| revs[entry.cell.index()] == entry.rev);
            }
        }

        fn live(&self, from: Rev) -> Vec<u32> {
            self.journal
                .entries_from(from)
                .filter(|entry| self.revs[entry.cell.index()] == entry.rev)
                .map(|entry| u32::try_from(entry.cell.index()).unwrap())
                .collect()
        }
    }

    #[test]
    fn the_window_keeps_every_value_and_the_rest_only_the_newest() {
        let mut model = Model::new(1000);
        for round in 0..400u32 {
            for cell in 0..1000 {
                model.change(cell, round);
            }
        }
        assert!(model.journal.len() <= WINDOW_SEGMENTS * limits::JOURNAL_SEGMENT_ENTRIES + 2000);
        let start = model.journal.window_start();
        let seen: Vec<_> = model
            .journal
            .entries_from(start)
            .map(|entry| entry.rev.0)
            .collect();
        assert!(seen.len() >= limits::CHANGE_LOG_ENTRIES);
        assert!(seen.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        assert_eq!(model.live(Rev(0)).len(), 1000);
    }

    #[test]
    fn a_cell_that_never_changes_again_is_found_for_ever() {
        let mut model = Model::new(10);
        model.change(7, 1);
        for round in 0..300_000u32 {
            model.change(usize::try_from(round % 5).unwrap(), round);
        }
        assert_eq!(model.live(Rev(0))[0], 7);
        assert!(model.journal.len() <= (WINDOW_SEGMENTS + 1) * limits::JOURNAL_SEGMENT_ENTRIES);
    }

    proptest! {
        #[test]
        fn every_cell_stands_once_in_order_of_its_last_change(
            changes in prop::collection::vec((0usize..50, 0u32..9), 0..400),
            from in 0u64..400,
        ) {
            let mut model = Model::new(50);
            for (cell, value) in &changes {
                model.change(*cell, *value);
            }
            let mut expected: Vec<_> = (0u32..50)
                .filter(|cell| model.revs[*cell as usize].0 >= from.max(1))
                .collect();
            expected.sort_by_key(|cell| model.revs[*cell as usize]);
            prop_assert_eq!(model.live(Rev(from)), expected);
        }
    }
}
