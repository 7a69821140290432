//! What this node keeps in its site's bucket: its column.
//!
//! It is one more reader of the table's journal, as a lane of a publisher is, with many requests on their way at once: everything of the node's own is
//! put there, in order, and nothing is queued. What the bucket has not confirmed stays where the cursor can find it. What other nodes have stamped
//! since is withdrawn, and what is withdrawn or deleted is erased a day later, when everybody has learned of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lampwire_sip::EntityId;

use crate::limits;
use crate::table::{Cell, CellId, Entry, Rev, Source, Table};
use crate::time::{Now, Time, WallTime};

/// Something that is to be done in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// A value is put under its key, or that it is gone.
    Put(Entry),
    /// A value that is not to be kept is passed on; nobody confirms that.
    Pass(Entry),
    /// A value is withdrawn: another node's is newer.
    Withdraw(CellId),
    /// The node's way to a server is put, or withdrawn where it has none.
    Way(EntityId),
    /// What the node says of itself is put.
    About,
    /// A key is withdrawn of which the table knows nothing.
    WithdrawKey(String),
    /// A key is erased of which everybody has learned that it is withdrawn: what stood under it up to a place of the stream.
    Erase(String, u64),
}

/// What is on its way to the bucket.
#[derive(Clone, Debug)]
struct Flight {
    job: Job,
    /// The cell's revision that it tells.
    rev: Rev,
    /// What had been read of the stream before: its place lies behind that, or in another stream.
    read: u64,
}

/// What is known of the column in the bucket, and what is on its way there.
#[derive(Debug, Default)]
pub(crate) struct Column {
    /// The first change of the log that has not been looked at; `None`: all have.
    live: Option<Rev>,
    /// What was not in the bucket when that was read: all of it is to be put.
    lacking: Option<Walk>,
    /// What has changed since, where too much has to be put one by one.
    dump: Option<Walk>,
    /// Cells that are not in the bucket as they are here, as far as is known.
    dirty: BTreeSet<CellId>,
    /// Ways that are not there as they are.
    ways: BTreeSet<EntityId>,
    about: bool,
    /// Keys that are none of the table's.
    orphans: VecDeque<String>,
    /// Keys to be erased, each with what stands under it up to which place, and when.
    erasures: BTreeMap<String, (WallTime, u64)>,
    erasures_due: BTreeSet<(WallTime, String)>,
    flights: BTreeMap<u64, Flight>,
    erasing: bool,
    /// More was to be looked at than one turn may.
    pub(crate) yields: bool,
    number: u64,
    /// The newest place of the stream that a put of ours has taken.
    acked_at: u64,
    /// The newest put of a cell that was confirmed while others of it were on their way.
    newest: BTreeMap<CellId, (Rev, u64)>,
    /// Nothing is sent before that time: the bucket refuses.
    pub(crate) retry_at: Option<Time>,
    failures: u32,
    pub(crate) counters: ColumnCounters,
}

/// A walk over the newest values of all cells that changed last between two revisions.
#[derive(Clone, Copy, Debug)]
struct Walk {
    next: Rev,
    until: Rev,
}

/// What is counted of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ColumnCounters {
    pub(crate) put: u64,
    pub(crate) confirmed: u64,
    pub(crate) refused: u64,
}

impl Column {
    /// A change, at `rev`.
    pub(crate) fn note(&mut self, rev: Rev) {
        self.live.get_or_insert(rev);
    }

    /// The whole bucket has been read, and what stands there is marked: the rest is to be put.
    pub(crate) fn put_rest(&mut self, head: Rev) {
        self.live = None;
        self.dump = None;
        // Places of another stream say nothing of this one.
        self.acked_at = 0;
        self.newest.clear();
        self.lacking = Some(Walk {
            next: Rev::default(),
            until: head,
        });
    }

    /// A cell is not in the bucket as it is here.
    pub(crate) fn note_dirty(&mut self, cell: CellId) {
        self.dirty.insert(cell);
    }

    /// A way is another.
    pub(crate) fn note_way(&mut self, eid: EntityId) {
        self.ways.insert(eid);
    }

    /// What the node says of itself is to be put, if only to see whether the bucket takes anything.
    pub(crate) fn note_about(&mut self) {
        self.about = true;
    }

    /// A key of ours stands there that is none of the table's.
    pub(crate) fn note_orphan(&mut self, key: String) {
        if self.orphans.len() < limits::ORPHANS {
            self.orphans.push_back(key);
        }
    }

    /// A key is to be erased then: what stands under it up to a place of the stream.
    pub(crate) fn erase_later(&mut self, due: WallTime, key: String, at: u64) {
        if let Some((before, _)) = self.erasures.insert(key.clone(), (due, at)) {
            self.erasures_due.remove(&(before, key.clone()));
        } else if self.erasures.len() > limits::ERASURES
            && let Some((_, oldest)) = self.erasures_due.pop_first()
        {
            // It is left there, which costs nobody but the servers.
            self.erasures.remove(&oldest);
        }
        self.erasures_due.insert((due, key));
    }

    /// A key is in use again.
    pub(crate) fn keep(&mut self, key: &str) {
        if let Some((due, _)) = self.erasures.remove(key) {
            self.erasures_due.remove(&(due, key.to_owned()));
        }
    }

    /// The connection is gone: what was on its way may or may not have come there.
    pub(crate) fn lost(&mut self) {
        for flight in std::mem::take(&mut self.flights).into_values() {
            self.give_back(flight);
        }
        self.newest.clear();
        self.erasing = false;
        self.retry_at = None;
        self.failures = 0;
    }

    fn give_back(&mut self, flight: Flight) {
        match flight.job {
            Job::Put(entry) => {
                self.dirty.insert(entry.cell);
            }
            Job::Withdraw(cell) => {
                self.dirty.insert(cell);
            }
            Job::Way(eid) => {
                self.ways.insert(eid);
            }
            Job::About => self.about = true,
            Job::WithdrawKey(key) => self.note_orphan(key),
            Job::Erase(key, at) => {
                self.erasing = false;
                self.erase_later(WallTime::default(), key, at);
            }
            Job::Pass(_) => {}
        }
    }

    /// How much is on its way.
    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// The revision up to which the bucket has confirmed everything.
    pub(crate) fn confirmed(&self, head: Rev, table: &Table) -> Rev {
        let flights = self.flights.values().filter_map(|flight| match flight.job {
            Job::Put(_) | Job::Withdraw(_) => Some(flight.rev),
            _ => None,
        });
        let dirty = self.dirty.iter().map(|cell| table.cell(*cell).rev);
        let walks = self.lacking.into_iter().chain(self.dump);
        flights
            .chain(dirty)
            .chain(walks.map(|walk| walk.next))
            .chain(self.live)
            .min()
            .map_or(head, Rev::before)
    }

    /// States of which the bucket has not confirmed the newest value; counted up to the bound of the change log.
    pub(crate) fn behind(&self, table: &Table) -> u64 {
        let mut cells: BTreeSet<CellId> = self.dirty.clone();
        cells.extend(self.flights.values().filter_map(|flight| match flight.job {
            Job::Put(entry) => Some(entry.cell),
            Job::Withdraw(cell) => Some(cell),
            _ => None,
        }));
        let walks = self.lacking.into_iter().chain(self.dump);
        let from = walks.map(|walk| walk.next).chain(self.live);
        if let Some(from) = from.min() {
            for entry in table.entries_from(from).take(limits::CHANGE_LOG_ENTRIES) {
                let cell = table.cell(entry.cell);
                if table.is_newest(&entry) && is_ours(cell) && cell.cachable {
                    cells.insert(entry.cell);
                }
            }
        }
        cells.len() as u64
    }

    /// The place of the stream up to which the bucket has confirmed what was put.
    pub(crate) const fn acked_at(&self) -> u64 {
        self.acked_at
    }

    /// The next thing to do, and its number; nothing where enough is on its way. `now`: what has grown old by then is erased; `read`: the last
    /// message of the stream that was read.
    pub(crate) fn next(&mut self, now: Now, table: &Table, read: u64) -> Option<(u64, Job)> {
        let Now { at: now, wall } = now;
        let room = match self.failures {
            0 => limits::BUS_IN_FLIGHT,
            _ => limits::BUS_PROBES,
        };
        if self.retry_at.is_some_and(|at| at > now) || self.flights.len() >= room {
            return None;
        }
        self.retry_at = None;
        self.yields = false;
        let (job, rev) = self.choose(wall, table)?;
        self.number += 1;
        if !matches!(job, Job::Pass(_)) {
            self.counters.put += 1;
            let job = job.clone();
            self.flights.insert(self.number, Flight { job, rev, read });
        }
        Some((self.number, job))
    }

    fn choose(&mut self, wall: WallTime, table: &Table) -> Option<(Job, Rev)> {
        if let Some(eid) = self.ways.pop_first() {
            return Some((Job::Way(eid), Rev::default()));
        }
        if std::mem::take(&mut self.about) {
            return Some((Job::About, Rev::default()));
        }
        if let Some(cell) = self.dirty.pop_first() {
            let entry = newest(table, cell);
            // What was freed meanwhile had been said to be gone.
            if let Some(job) = of_cell(table, &entry) {
                return Some((job, entry.rev));
            }
            return self.choose(wall, table);
        }
        let found = self
            .choose_live(table)
            .or_else(|| choose_of(&mut self.dump, &mut self.yields, table, false))
            .or_else(|| choose_of(&mut self.lacking, &mut self.yields, table, true));
        if found.is_some() || self.yields {
            return found;
        }
        if let Some(key) = self.orphans.pop_front() {
            return Some((Job::WithdrawKey(key), Rev::default()));
        }
        // One at a time: each is a question to the server's store.
        if !self.erasing
            && self
                .erasures_due
                .first()
                .is_some_and(|(due, _)| *due <= wall)
        {
            let (_, key) = self.erasures_due.pop_first()?;
            let (_, at) = self.erasures.remove(&key)?;
            self.erasing = true;
            return Some((Job::Erase(key, at), Rev::default()));
        }
        None
    }

    fn choose_live(&mut self, table: &Table) -> Option<(Job, Rev)> {
        let from = self.live?;
        if from < table.window_start() {
            self.coalesce(table.head());
            return None;
        }
        for (looked_at, entry) in table.entries_from(from).enumerate() {
            if looked_at >= limits::SCAN_BUDGET {
                self.live = Some(entry.rev);
                self.yields = true;
                return None;
            }
            let job = match is_ours(table.cell(entry.cell)) {
                // What another node stamped overtakes what this one had said of it.
                false if !table.is_newest(&entry) => None,
                true if !table.has_version(&entry) => None,
                _ => of_cell(table, &entry),
            };
            if let Some(job) = job {
                self.live = (entry.rev < table.head()).then(|| entry.rev.next());
                return Some((job, entry.rev));
            }
        }
        self.live = None;
        None
    }

    /// What waits is put without the values that newer ones have overtaken.
    fn coalesce(&mut self, head: Rev) {
        if let Some(live) = self.live.take() {
            let next = self.dump.map_or(live, |walk| walk.next.min(live));
            self.dump = Some(Walk { next, until: head });
        }
    }

    /// Whether a place is none that the stream could give any more: the one that was read is gone, and this is another.
    pub(crate) fn is_of_another(&self, number: u64, at: u64) -> bool {
        let flight = self.flights.get(&number);
        flight.is_some_and(|flight| at <= flight.read && !matches!(flight.job, Job::Erase(..)))
    }

    /// The bucket has confirmed something, in its place of the stream; gives what it was.
    pub(crate) fn confirmed_put(&mut self, number: u64, at: u64) -> Option<Job> {
        let flight = self.flights.remove(&number)?;
        self.counters.confirmed += 1;
        self.failures = 0;
        self.acked_at = self.acked_at.max(at);
        match &flight.job {
            Job::Put(entry) => self.note_place(entry.cell, flight.rev, at),
            Job::Withdraw(cell) => self.note_place(*cell, flight.rev, at),
            Job::Erase(..) => self.erasing = false,
            Job::Way(_) | Job::About | Job::WithdrawKey(_) | Job::Pass(_) => {}
        }
        Some(flight.job)
    }

    /// Two puts of one key that have changed places on their way leave the older value there.
    fn note_place(&mut self, cell: CellId, rev: Rev, at: u64) {
        let others = self.flights.values().any(|flight| match flight.job {
            Job::Put(entry) => entry.cell == cell,
            Job::Withdraw(other) => other == cell,
            _ => false,
        });
        match self.newest.get(&cell) {
            Some((newest, place)) if (*newest > rev) != (*place > at) => {
                self.dirty.insert(cell);
            }
            _ => {}
        }
        match (others, self.newest.get(&cell)) {
            (false, _) => {
                self.newest.remove(&cell);
            }
            (true, Some((newest, _))) if *newest > rev => {}
            (true, _) => {
                self.newest.insert(cell, (rev, at));
            }
        }
    }

    /// The bucket has not taken something; it is tried again after a while.
    pub(crate) fn refused(&mut self, now: Time, number: u64, pause: impl FnOnce(u32) -> Time) {
        let Some(flight) = self.flights.remove(&number) else {
            return;
        };
        self.counters.refused += 1;
        self.give_back(flight);
        // Those that were on their way with it say nothing new.
        if self.retry_at.is_none_or(|at| at <= now) {
            self.retry_at = Some(pause(self.failures));
            self.failures = self.failures.saturating_add(1);
        }
    }
}

/// The next of a walk; `lacking`: that the bucket lacks.
fn choose_of(
    walk: &mut Option<Walk>,
    yields: &mut bool,
    table: &Table,
    lacking: bool,
) -> Option<(Job, Rev)> {
    let Walk { next, until } = (*walk).filter(|_| !*yields)?;
    let within = table
        .entries_from(next)
        .take_while(|entry| entry.rev <= until);
    for (looked_at, entry) in within.enumerate() {
        if looked_at >= limits::SCAN_BUDGET {
            let next = entry.rev;
            *walk = Some(Walk { next, until });
            *yields = true;
            return None;
        }
        let cell = table.cell(entry.cell);
        let is_there = lacking && cell.stored && is_ours(cell);
        if !table.is_newest(&entry) || !cell.cachable || is_there {
            continue;
        }
        if let Some(job) = of_cell(table, &entry) {
            let next = entry.rev.next();
            *walk = (entry.rev < until).then_some(Walk { next, until });
            return Some((job, entry.rev));
        }
    }
    *walk = None;
    None
}

/// What a cell's entry asks for.
fn of_cell(table: &Table, entry: &Entry) -> Option<Job> {
    let cell = table.cell(entry.cell);
    if cell.rev == Rev::default() {
        return None; // a free one
    }
    match (is_ours(cell), cell.cachable) {
        (true, true) => Some(Job::Put(*entry)),
        (true, false) => (!cell.dead).then_some(Job::Pass(*entry)),
        (false, _) => cell.stored.then_some(Job::Withdraw(entry.cell)),
    }
}

/// Whether it is for this node to tell the cluster of a cell: it did not hear of it from there.
fn is_ours(cell: &Cell) -> bool {
    cell.source != Source::Cluster
}

fn newest(table: &Table, cell: CellId) -> Entry {
    let known = table.cell(cell);
    Entry {
        rev: known.rev,
        cell,
        value: known.value,
    }
}
