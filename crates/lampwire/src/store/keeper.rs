//! Brings what is new in the node to the store, without ever waiting for it.
//!
//! One piece of work is on its way at most. While it is, nothing is queued: the node's journal holds what is new, and the next batch is as
//! large as it must be.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use lampwire_core::store::{Batch, Record};
use lampwire_core::{Node, Now};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::{Condition, Fault, Opened, Size, Status, Store};

/// The most states in a batch: a few milliseconds of the node's time. What is more comes in the next one at once.
const BATCH_STATES_MAX: usize = 8192;

/// So many cells are read for one page of a snapshot: about a millisecond of the node's time.
pub(super) const PAGE_CELLS: u32 = 4096;

/// Below this a longer journal than live data is no reason for a snapshot: reading it takes no time.
const JOURNAL_MIN: u64 = 4 * 1024 * 1024;

/// After a fault everything is written anew, first after this time.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// The longest time between two attempts: who has made room on the disk does not wait long.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How long the end of the node waits for the disk.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(10);

/// The driver's side of the store.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// `None`: nothing is kept.
    writer: Option<Writer>,
    status: Arc<Status>,
    /// Time between two batches; zero: there is one after each turn of the driver.
    window: Duration,
    due: Instant,
    /// There was more than was looked at, and nothing of that was to be written.
    more: bool,
    phase: Phase,
    /// The next snapshot begins from nothing: there is no file that lacks only the newest changes.
    anew: bool,
    retry_after: Duration,
    directory: String,
}

#[derive(Debug)]
struct Writer {
    jobs: SyncSender<Job>,
    reports: mpsc::Receiver<Result<Size, Fault>>,
    /// What is being written.
    flight: Option<Flight>,
}

/// What the keeper is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Each batch is appended.
    Appending,
    /// A snapshot is being written, and its next page begins at this cell.
    Snapshot(u32),
    /// Nothing can be written; from then on it is tried again.
    Waiting(Instant),
}

/// A piece of work for the thread.
#[derive(Debug, Default)]
struct Job {
    begin: bool,
    batch: Vec<Record>,
    page: Option<Vec<Record>>,
    end: bool,
}

/// Of a piece of work that is on its way.
#[derive(Debug)]
struct Flight {
    /// Without its records.
    batch: Batch,
    /// What comes after it.
    then: Phase,
    batches: u64,
}

impl Keeper {
    /// One that keeps nothing.
    pub(crate) fn off() -> Self {
        Self {
            writer: None,
            status: Arc::default(),
            window: Duration::ZERO,
            due: Instant::now(),
            more: false,
            phase: Phase::Appending,
            anew: true,
            retry_after: RETRY_FIRST,
            directory: String::new(),
        }
    }

    /// Begins to keep, `window` being the time between two batches. Fails where the system has no thread for it.
    pub(crate) fn start(opened: Opened, window: Duration, now: Now) -> io::Result<Self> {
        let Opened {
            store,
            loaded,
            directory,
        } = opened;
        let (jobs, received) = sync_channel(1);
        let (sender, reports) = mpsc::channel(1);
        let mut keeper = Self {
            window,
            phase: match store.is_open() {
                true => Phase::Appending,
                false => Phase::Snapshot(0),
            },
            anew: !store.is_open(),
            directory,
            ..Self::off()
        };
        keeper.status.note_size(store.size());
        keeper.status.set_condition(Condition::Ok);
        if let Some(fault) = loaded.findings.fault {
            keeper.fail(&fault, now);
        }
        std::thread::Builder::new()
            .name("lampwire-store".to_owned())
            .spawn(move || write_all(store, &received, &sender))?;
        keeper.writer = Some(Writer {
            jobs,
            reports,
            flight: None,
        });
        Ok(keeper)
    }

    /// How the store stands, for whoever asks.
    pub(crate) fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// When [`Self::turn`] has something to do, if it waits for a time.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            _ if self.writer.is_none() || self.is_busy() => None,
            Phase::Appending => (self.more || !self.window.is_zero()).then_some(self.due),
            Phase::Snapshot(_) => None,
            Phase::Waiting(until) => Some(until),
        }
    }

    /// Hands on what is new, where it is time to. After each turn of the driver.
    pub(crate) fn turn(&mut self, node: &mut Node, now: Now) {
        if self.writer.is_none() || self.is_busy() {
            return;
        }
        let instant = Instant::now();
        match self.phase {
            Phase::Appending if instant >= self.due => self.append(node, now, instant),
            Phase::Appending => {}
            Phase::Snapshot(from) => self.page(node, now, from),
            Phase::Waiting(until) if instant >= until => self.page(node, now, 0),
            Phase::Waiting(_) => {}
        }
    }

    fn append(&mut self, node: &mut Node, now: Now, instant: Instant) {
        let mut batch = node.unsaved(now, BATCH_STATES_MAX);
        if !batch.more {
            self.due = instant + self.window;
        }
        // Else the outcome of what is written wakes.
        self.more = batch.more && batch.records.is_empty();
        if batch.records.is_empty() {
            node.saved(&batch);
            return;
        }
        let job = Job {
            batch: std::mem::take(&mut batch.records),
            ..Job::default()
        };
        self.send(job, batch, Phase::Appending);
    }

    /// The next page of a snapshot, and before it what has changed since the last one: so a tag never stands in the file without the states that
    /// came under it.
    fn page(&mut self, node: &mut Node, now: Now, from: u32) {
        let mut batch = match std::mem::take(&mut self.anew) {
            true => Batch::default(),
            false => node.unsaved(now, BATCH_STATES_MAX),
        };
        if batch.more {
            // First what the old file lacks: the first page gives lanes and publications.
            let job = Job {
                batch: std::mem::take(&mut batch.records),
                ..Job::default()
            };
            return self.send(job, batch, Phase::Snapshot(from));
        }
        let (page, next) = node.everything(now, from, PAGE_CELLS);
        let job = Job {
            begin: from == 0,
            batch: std::mem::take(&mut batch.records),
            page: Some(page),
            end: next.is_none(),
        };
        let then = next.map_or(Phase::Appending, Phase::Snapshot);
        self.send(job, batch, then);
    }

    fn send(&mut self, job: Job, batch: Batch, then: Phase) {
        let batches = u64::from(!job.batch.is_empty());
        if let Some(writer) = &mut self.writer {
            // There is room: nothing else is on its way. A thread that has ended says so by its reports.
            let _ = writer.jobs.try_send(job);
            writer.flight = Some(Flight {
                batch,
                then,
                batches,
            });
        }
    }

    /// Waits for the outcome of what is on its way; for ever where there is nothing. Can be dropped and called again without loss.
    pub(crate) async fn report(&mut self) -> Report {
        match &mut self.writer {
            Some(writer) if writer.flight.is_some() => Report(writer.reports.recv().await),
            _ => std::future::pending().await,
        }
    }

    /// Takes an outcome in.
    pub(crate) fn take(&mut self, node: &mut Node, now: Now, report: Report) {
        let flight = self.writer.as_mut().and_then(|writer| writer.flight.take());
        let Some(flight) = flight else {
            return;
        };
        match report.0 {
            Some(Ok(size)) => self.written(node, now, &flight, size),
            Some(Err(fault)) => {
                node.unkept();
                self.fail(&fault, now);
            }
            None => {
                node.unkept();
                self.fail(
                    &Fault::Disk("the thread that writes has ended".to_owned()),
                    now,
                );
                self.writer = None;
            }
        }
    }

    fn written(&mut self, node: &mut Node, now: Now, flight: &Flight, size: Size) {
        let status = &self.status;
        node.saved(&flight.batch);
        status.note_size(size);
        status.batches.fetch_add(flight.batches, Ordering::Relaxed);
        let was = std::mem::replace(&mut self.phase, flight.then);
        if flight.then != Phase::Appending {
            return;
        }
        let millis = now.wall.as_millis();
        status.saved_at.store(millis, Ordering::Relaxed);
        if was != Phase::Appending {
            status.snapshots.fetch_add(1, Ordering::Relaxed);
            self.retry_after = RETRY_FIRST;
            if let Condition::MemoryOnly { .. } = status.condition() {
                tracing::info!("state_dir: {} is written again", self.directory);
                status.set_condition(Condition::Ok);
            }
        }
        if size.journal > size.live.max(JOURNAL_MIN) {
            self.phase = Phase::Snapshot(0);
        }
    }

    fn fail(&mut self, fault: &Fault, now: Now) {
        let status = &self.status;
        status.faults.fetch_add(1, Ordering::Relaxed);
        let since = match status.condition() {
            Condition::MemoryOnly { since, .. } => since,
            _ => {
                tracing::error!(
                    "state_dir: {fault}; states are in memory only until everything can be written anew, which is tried again and again"
                );
                now.wall
            }
        };
        let why = fault.to_string();
        status.set_condition(Condition::MemoryOnly { why, since });
        self.anew = true;
        self.phase = Phase::Waiting(Instant::now() + self.retry_after);
        self.retry_after = (self.retry_after * 2).min(RETRY_MAX);
    }

    /// Writes the last of it: the node has drained. Where nothing could be written so far, this is the last attempt.
    pub(crate) async fn close(&mut self, node: &mut Node, now: impl Fn() -> Now) {
        if self.writer.is_none() {
            return;
        }
        if timeout(CLOSE_TIME_MAX, self.write_last(node, now))
            .await
            .is_err()
        {
            tracing::error!(
                "state_dir: {} takes longer than {} s to be written: the last changes may be lost",
                self.directory,
                CLOSE_TIME_MAX.as_secs()
            );
        }
        self.writer = None;
    }

    async fn write_last(&mut self, node: &mut Node, now: impl Fn() -> Now) {
        let (mut tried, mut closed) = (false, false);
        loop {
            if self.is_busy() {
                let report = self.report().await;
                self.take(node, now(), report);
                continue;
            }
            match self.phase {
                Phase::Appending if closed => return,
                Phase::Appending => {
                    closed = true;
                    let job = Job {
                        batch: node.closing(now()),
                        ..Job::default()
                    };
                    self.send(job, Batch::default(), Phase::Appending);
                }
                Phase::Snapshot(from) => self.page(node, now(), from),
                Phase::Waiting(_) if tried || self.writer.is_none() => {
                    let text = "the node ends without having written its states";
                    return tracing::error!("state_dir: {}: {text}", self.directory);
                }
                Phase::Waiting(_) => {
                    (tried, closed) = (true, false);
                    self.page(node, now(), 0);
                }
            }
        }
    }

    /// Something is on its way.
    pub(super) fn is_busy(&self) -> bool {
        let busy = |writer: &Writer| writer.flight.is_some();
        self.writer.as_ref().is_some_and(busy)
    }
}

/// What the thread said; nothing: it has ended.
#[derive(Debug)]
pub(crate) struct Report(Option<Result<Size, Fault>>);

/// The thread's work, until nobody is left who gives it some.
fn write_all(
    mut store: Box<dyn Store>,
    jobs: &Receiver<Job>,
    reports: &mpsc::Sender<Result<Size, Fault>>,
) {
    while let Ok(job) = jobs.recv() {
        let outcome = write(store.as_mut(), &job).map(|()| store.size());
        if reports.blocking_send(outcome).is_err() {
            return;
        }
    }
}

fn write(store: &mut dyn Store, job: &Job) -> Result<(), Fault> {
    if job.begin {
        store.begin_snapshot()?;
    }
    if !job.batch.is_empty() {
        store.append(&job.batch)?;
    }
    if let Some(page) = &job.page {
        store.page(page)?;
    }
    match job.end {
        true => store.end_snapshot(),
        false => Ok(()),
    }
}
