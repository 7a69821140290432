//! A lane: one publication at the peer, with one request on its way at most (RFC 3903 4).

use std::collections::{BTreeMap, VecDeque};

use lampwire_sip::EntityId;

use super::{Retraction, request, wants};
use crate::filters::Filters;
use crate::io::FlowId;
use crate::limits;
use crate::publisher::Settings;
use crate::random::Random;
use crate::table::{CellId, Entry, Rev, Table, Value};
use crate::time::{Time, WallTime};
use crate::transaction::client::ClientTransaction;

/// One publication of a publisher, and what it still has to say. Each name belongs to one lane, so its values leave in order.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Stays for the life of a publication.
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    /// The tag for the next request; `None`: the next request begins a publication.
    pub(crate) tag: Option<String>,
    /// When the publication began, where that was in this life.
    pub(crate) opened_at: Option<WallTime>,
    pub(crate) expires_at: Time,
    pub(crate) refresh_at: Time,
    /// Until then the publication is so new that a stock Asterisk may answer 412 to it: it lets its 200 out before the publication can
    /// be found.
    pub(crate) fresh_until: Time,
    /// The first change of the log that has not been looked at; `None`: all have.
    pub(crate) live: Option<Rev>,
    /// Values to be said once more, oldest first, the newest of each cell only.
    pub(crate) dump: Option<Dump>,
    /// What the peer has confirmed and might have lost unseen: said once more when all else is said.
    pub(crate) doubtful: Option<Dump>,
    /// All device states once more, one at a time over `@resync`: the next of them, and when.
    pub(crate) resync: Option<(Dump, Time)>,
    /// Values that a reload added to what the peer is told, oldest first.
    pub(crate) included: BTreeMap<Rev, CellId>,
    /// Devices that a reload took from what the peer is told. The first is the one that is being said.
    pub(crate) retractions: VecDeque<Retraction>,
    /// What is being said; it stays until the peer has confirmed or refused it.
    pub(crate) job: Option<Job>,
    /// It comes from a walk and not from the newest changes.
    pub(crate) job_of_dump: bool,
    /// The values that the request on its way tells beside that of its job; they too stay until the peer has confirmed them.
    pub(crate) beside: Vec<Entry>,
    /// The peer has offered to take many states in one request of this publication, and has refused none.
    pub(crate) takes_many: bool,
    pub(crate) flight: Option<Flight>,
    /// States that the peer refused, each with its next try.
    pub(crate) exceptions: BTreeMap<CellId, Exception>,
    pub(crate) idle_since: Time,
    /// When the peer is to show that it still knows the tag.
    pub(crate) prove_at: Time,
    pub(crate) challenges_in_a_row: u32,
    pub(crate) briefs_in_a_row: u32,
    pub(crate) restarts_in_a_row: u32,
    pub(crate) failures_of_job: u32,
    /// The bytes of the request on its way, for its copies.
    pub(crate) bytes: Vec<u8>,
}

/// A walk over all cells that changed last between two revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dump {
    pub(crate) next: Rev,
    pub(crate) until: Rev,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// To tell a value.
    State {
        cell: CellId,
        rev: Rev,
        value: Value,
    },
    /// To take back the first of the retractions.
    Retract,
    /// To ask the peer for all it has.
    AskRefresh,
    /// To say that everything that was asked for has been said.
    Mark,
    /// To pass a hub's beat on.
    Beat(EntityId),
    /// To see how long it takes there and back, or to let a peer see that: whose, and its number.
    Canary(EntityId, u64),
    /// To keep the publication, or to see whether the peer still has it.
    KeepAlive,
    /// To end the publication.
    Close,
}

/// A request that is on its way.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) transaction: ClientTransaction,
    /// The random part of its branch.
    pub(crate) branch: u64,
    /// The connection that it went by; `None`: a datagram.
    pub(crate) flow: Option<FlowId>,
    /// It carried a tag.
    pub(crate) with_tag: bool,
    /// It carried credentials.
    pub(crate) with_credentials: bool,
    /// How often the publisher had begun anew when it left.
    pub(crate) epoch: u32,
    /// The highest tag that was an integer and had been given before it left: Asterisk's rise for as long as it runs.
    pub(crate) highest_tag: Option<u64>,
    /// It was sent more than once.
    pub(crate) copied: bool,
    /// The number of the beat, or of the round of asking, that it carries.
    pub(crate) beat: Option<u64>,
}

/// A state that the peer refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exception {
    pub(crate) rev: Rev,
    pub(crate) retry_at: Time,
    pub(crate) tries: u32,
}

/// What a lane may begin to say now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// No state: the pace forbids it.
    None,
    /// The newest changes; a dump would be one request too many.
    Live,
    /// Everything.
    All,
}

/// What a lane does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Job(Job),
    /// There is nothing to say.
    Nothing,
    /// More was to be looked at than one turn may.
    Yield,
}

impl Job {
    /// To tell the value of an entry.
    const fn of(entry: &Entry) -> Self {
        Self::State {
            cell: entry.cell,
            rev: entry.rev,
            value: entry.value,
        }
    }
}

impl Lane {
    pub(crate) fn new(now: Time, call_id: String, cseq: u32) -> Self {
        Self {
            call_id,
            cseq,
            tag: None,
            opened_at: None,
            expires_at: now,
            refresh_at: now,
            fresh_until: now,
            live: None,
            dump: None,
            doubtful: None,
            resync: None,
            included: BTreeMap::new(),
            retractions: VecDeque::new(),
            job: None,
            job_of_dump: false,
            beside: Vec::new(),
            takes_many: false,
            flight: None,
            exceptions: BTreeMap::new(),
            idle_since: now,
            prove_at: now,
            challenges_in_a_row: 0,
            briefs_in_a_row: 0,
            restarts_in_a_row: 0,
            failures_of_job: 0,
            bytes: Vec::new(),
        }
    }

    /// A change of one of this lane's names, at `rev`.
    pub(crate) fn note(&mut self, rev: Rev) {
        self.live.get_or_insert(rev);
    }

    /// Everything up to `head` is to be said once more.
    pub(crate) fn say_all(&mut self, head: Rev) {
        self.live = None;
        self.doubtful = None;
        self.exceptions.clear();
        self.included.clear();
        self.dump = Some(Dump {
            next: Rev::default(),
            until: head,
        });
    }

    /// What has changed from `from` on is to be said once more, its newest values only.
    pub(crate) fn say_from(&mut self, from: Rev, head: Rev) {
        self.live = None;
        if from > head {
            return;
        }
        let next = self.dump.map_or(from, |dump| dump.next.min(from));
        self.dump = Some(Dump { next, until: head });
    }

    /// The peer may have lost what it has confirmed: that is said again after everything that it has not.
    pub(crate) fn doubt(&mut self, head: Rev) {
        let unconfirmed = self
            .dump
            .map(|dump| dump.next)
            .into_iter()
            .chain(self.live)
            .min();
        self.doubtful = Some(Dump {
            next: Rev::default(),
            until: unconfirmed.map_or(head, Rev::before),
        });
    }

    /// What waits is said without the values that newer ones have overtaken.
    pub(crate) fn coalesce(&mut self, head: Rev) {
        if let Some(live) = self.live.take() {
            let next = self.dump.map_or(live, |dump| dump.next.min(live));
            self.dump = Some(Dump { next, until: head });
        }
    }

    /// The publication is over; the next request begins another (RFC 3903 4.1: under a Call-ID of its own).
    pub(crate) fn begin_anew(&mut self, random: &mut Random) {
        self.tag = None;
        self.opened_at = None;
        self.takes_many = false;
        self.call_id = request::call_id(random);
        self.cseq = request::first_cseq(random);
    }

    /// States wait to be said.
    pub(crate) fn has_work(&self) -> bool {
        self.live.is_some() || self.doubtful.is_some() || self.walks()
    }

    /// What waits to be said is not news to others.
    pub(crate) fn walks(&self) -> bool {
        self.dump.is_some() || !self.included.is_empty() || !self.retractions.is_empty()
    }

    /// Nothing waits to be said, and nothing is being said.
    pub(crate) fn has_nothing_to_say(&self) -> bool {
        self.job.is_none() && self.live.is_none() && !self.walks()
    }

    /// Everything that was to be said once more has been confirmed.
    pub(crate) fn has_dumped(&self) -> bool {
        let saying = self.job.is_some() && self.job_of_dump || !self.beside.is_empty();
        self.dump.is_none() && self.included.is_empty() && !saying && self.exceptions.is_empty()
    }

    /// Whether this entry is being said.
    pub(crate) fn is_saying(&self, entry: &Entry) -> bool {
        matches!(self.job, Some(Job::State { rev, .. }) if rev == entry.rev)
            || self.beside.iter().any(|it| it.rev == entry.rev)
    }

    /// Nothing more is said.
    pub(crate) fn drop_work(&mut self) {
        self.live = None;
        self.dump = None;
        self.doubtful = None;
        self.resync = None;
        self.included.clear();
        self.retractions.clear();
        self.beside.clear();
        self.job = None;
        self.flight = None;
        self.tag = None;
        self.exceptions.clear();
    }

    /// Whether the peer has confirmed this entry of one of this lane's names.
    pub(crate) fn has_confirmed(&self, entry: &Entry) -> bool {
        let being_said = self.is_saying(entry);
        let live = self.live.is_some_and(|live| entry.rev >= live);
        let dump = self
            .dump
            .is_some_and(|dump| (dump.next..=dump.until).contains(&entry.rev));
        let refused = self
            .exceptions
            .get(&entry.cell)
            .is_some_and(|it| it.rev == entry.rev);
        let included = self.included.contains_key(&entry.rev);
        !(being_said || live || dump || included || refused)
    }

    /// The revision up to which the peer has confirmed all of this lane's values.
    pub(crate) fn confirmed(&self, head: Rev) -> Rev {
        let job = match self.job {
            Some(Job::State { rev, .. }) => Some(rev),
            Some(
                Job::Retract
                | Job::AskRefresh
                | Job::Mark
                | Job::Beat(_)
                | Job::Canary(..)
                | Job::KeepAlive
                | Job::Close,
            )
            | None => None,
        };
        let exceptions = self
            .exceptions
            .values()
            .map(|exception| exception.rev)
            .min();
        let included = self.included.keys().next().copied();
        let dump = self.dump.map(|dump| dump.next);
        let beside = self.beside.iter().map(|entry| entry.rev).min();
        [job, beside, exceptions, self.live, dump, included]
            .into_iter()
            .flatten()
            .min()
            .map_or(head, Rev::before)
    }

    /// Chooses what is said next and moves the cursors past it. A live change goes before what is said once more.
    pub(crate) fn next(
        &mut self,
        now: Time,
        index: u16,
        settings: &Settings,
        table: &Table,
        filters: &Filters,
        leave: Leave,
    ) -> Next {
        self.give_back();
        if let Some(job) = self.retry(table) {
            return Next::Job(job);
        }
        if leave == Leave::None {
            return Next::Nothing;
        }
        self.job_of_dump = false;
        if let Some(job) = self.exception(now, table) {
            return Next::Job(job);
        }
        match self.next_live(index, settings, table, filters) {
            Next::Nothing if leave == Leave::All => {}
            next @ (Next::Nothing | Next::Job(_) | Next::Yield) => return next,
        }
        self.job_of_dump = true;
        if !self.retractions.is_empty() {
            return Next::Job(Job::Retract);
        }
        if let Some(job) = self.next_included(index, settings, table, filters) {
            return Next::Job(job);
        }
        if self.dump.is_none() {
            self.dump = self.doubtful.take();
        }
        match self.next_of_dump(index, settings, table, filters) {
            Next::Nothing => self.next_of_resync(now, index, settings, table, filters),
            next @ (Next::Job(_) | Next::Yield) => next,
        }
    }

    /// What was told beside a job and is not confirmed is to be said once more.
    pub(crate) fn give_back(&mut self) {
        let revs = self.beside.iter().map(|entry| entry.rev);
        let (Some(next), Some(until)) = (revs.clone().min(), revs.max()) else {
            return;
        };
        self.dump = Some(self.dump.map_or(Dump { next, until }, |dump| Dump {
            next: dump.next.min(next),
            until: dump.until.max(until),
        }));
        self.beside.clear();
    }

    /// Moves what is to be said next beside the job, for as long as `add` has room for it: the newest changes, and of a walk where the job is.
    /// Of each cell there is one value, so that their order means nothing.
    pub(crate) fn take_beside(
        &mut self,
        index: u16,
        settings: &Settings,
        table: &Table,
        filters: &Filters,
        mut add: impl FnMut(&Entry) -> bool,
    ) {
        let Some(Job::State { cell: first, .. }) = self.job else {
            return;
        };
        loop {
            let before = (self.live, self.dump);
            let next = match self.next_live(index, settings, table, filters) {
                Next::Nothing if self.job_of_dump => {
                    self.next_of_dump(index, settings, table, filters)
                }
                next @ (Next::Nothing | Next::Job(_) | Next::Yield) => next,
            };
            let Next::Job(Job::State { cell, rev, value }) = next else {
                return;
            };
            let entry = Entry { rev, cell, value };
            let told = cell == first || self.beside.iter().any(|it| it.cell == cell);
            if told || !add(&entry) {
                (self.live, self.dump) = before;
                return;
            }
            self.beside.push(entry);
        }
    }

    /// What was being said, unless a newer value has overtaken it: that one lies before a cursor.
    fn retry(&mut self, table: &Table) -> Option<Job> {
        let job = self.job.take()?;
        match job {
            Job::State { cell, rev, .. } if table.cell(cell).rev != rev => None,
            Job::KeepAlive | Job::Close if self.tag.is_none() => None,
            Job::Retract if self.retractions.is_empty() => None,
            // Whether there is still cause for them is found out anew.
            Job::Mark | Job::Beat(_) | Job::Canary(..) => None,
            Job::State { .. } | Job::Retract | Job::AskRefresh | Job::KeepAlive | Job::Close => {
                Some(job)
            }
        }
    }

    fn exception(&mut self, now: Time, table: &Table) -> Option<Job> {
        // The number of exceptions is bounded and small: a peer that refuses everything is not asked state by state.
        self.exceptions
            .retain(|&cell, exception| table.cell(cell).rev == exception.rev);
        let (&cell, exception) = self
            .exceptions
            .iter()
            .find(|(_, exception)| exception.retry_at <= now)?;
        Some(Job::State {
            cell,
            rev: exception.rev,
            value: table.told(table.cell(cell)),
        })
    }

    /// One of the values that a reload added, unless a newer one has overtaken it.
    fn next_included(
        &mut self,
        index: u16,
        settings: &Settings,
        table: &Table,
        filters: &Filters,
    ) -> Option<Job> {
        while let Some((rev, cell)) = self.included.pop_first() {
            let entry = Entry {
                rev,
                cell,
                value: table.told(table.cell(cell)),
            };
            if table.is_newest(&entry) && wants(settings, index, table, filters, &entry) {
                return Some(Job::of(&entry));
            }
        }
        None
    }

    fn next_live(
        &mut self,
        index: u16,
        settings: &Settings,
        table: &Table,
        filters: &Filters,
    ) -> Next {
        let Some(from) = self.live else {
            return Next::Nothing;
        };
        if from < table.window_start() {
            self.coalesce(table.head());
            return Next::Nothing;
        }
        for (looked_at, entry) in table.entries_from(from).enumerate() {
            if looked_at >= limits::SCAN_BUDGET {
                self.live = Some(entry.rev);
                return Next::Yield;
            }
            if wants(settings, index, table, filters, &entry) {
                self.live = (entry.rev < table.head()).then(|| entry.rev.next());
                return Next::Job(Job::of(&entry));
            }
        }
        self.live = None;
        Next::Nothing
    }

    fn next_of_dump(
        &mut self,
        index: u16,
        settings: &Settings,
        table: &Table,
        filters: &Filters,
    ) -> Next {
        let Some(Dump { next, until }) = self.dump else {
            return Next::Nothing;
        };
        let within = table
            .entries_from(next)
            .take_while(|entry| entry.rev <= until);
        for (looked_at, entry) in within.enumerate() {
            if looked_at >= limits::SCAN_BUDGET {
                self.dump = Some(Dump {
                    next: entry.rev,
                    until,
                });
                return Next::Yield;
            }
            let kept = table.is_newest(&entry) && table.cell(entry.cell).cachable;
            if kept && wants(settings, index, table, filters, &entry) {
                self.dump = (entry.rev < until).then(|| Dump {
                    next: entry.rev.next(),
                    until,
                });
                return Next::Job(Job::of(&entry));
            }
        }
        self.dump = None;
        Next::Nothing
    }

    /// One state of the slow walk over all, when its time has come. It begins again at its end.
    fn next_of_resync(
        &mut self,
        now: Time,
        index: u16,
        settings: &Settings,
        table: &Table,
        filters: &Filters,
    ) -> Next {
        if settings.resync.is_zero() {
            return Next::Nothing;
        }
        let begin = (
            Dump {
                next: Rev::default(),
                until: table.head(),
            },
            now + settings.resync,
        );
        let (mut dump, at) = *self.resync.get_or_insert(begin);
        if at > now {
            return Next::Nothing;
        }
        if dump.next == Rev::default() {
            dump.until = table.head();
        }
        let own = self.dump.replace(dump);
        let next = self.next_of_dump(index, settings, table, filters);
        let rest = std::mem::replace(&mut self.dump, own);
        // As many pauses as there are states for one lane, so that all of them fill the interval.
        let states = u32::try_from(table.len()).unwrap_or(u32::MAX) / u32::from(settings.lanes);
        self.resync = match next {
            Next::Job(_) => rest.map(|dump| (dump, now + settings.resync / states.max(1))),
            Next::Yield => rest.map(|dump| (dump, now)),
            Next::Nothing => Some(begin),
        };
        next
    }

    /// When the slow walk goes on.
    pub(crate) fn resync_at(&self) -> Option<Time> {
        self.resync.map(|(_, at)| at)
    }

    /// Puts a refused state aside until `retry_at`. With too many aside the lane goes back to the oldest of them in its walk.
    pub(crate) fn except(&mut self, cell: CellId, rev: Rev, retry_at: Time, head: Rev) {
        let tries = self
            .exceptions
            .get(&cell)
            .map_or(0, |exception| exception.tries)
            + 1;
        self.exceptions.insert(
            cell,
            Exception {
                rev,
                retry_at,
                tries,
            },
        );
        if self.exceptions.len() > limits::EXCEPTIONS_OF_A_LANE {
            let oldest = self.confirmed(head).next();
            self.exceptions.clear();
            self.live = None;
            self.dump = Some(Dump {
                next: oldest,
                until: head,
            });
        }
    }
}
