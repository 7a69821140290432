//! The event stream: everything that changed lately, numbered, for any number of readers.
//!
//! There is one bounded history and no queue per reader: a reader is a number, the next event it has not seen. One
//! that reads too slowly is overtaken by the end of the history and told how many events it has lost; it can
//! hold up nobody and costs no memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

/// The most events that are kept. At a hundred changes a second a reader may be away for forty seconds.
const EVENTS_MAX: usize = 4096;

/// The most bytes of names and data that are kept: a device that fifty nodes speak for has an event of 8 kB.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A device.
    Device,
    /// A mailbox.
    Mailbox,
    /// A peer.
    Peer,
    /// A publication.
    Publication,
}

impl Kind {
    /// The word on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Mailbox => "mailbox",
            Self::Peer => "peer",
            Self::Publication => "publication",
        }
    }
}

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its number: one more than that of the event before it.
    pub(crate) id: u64,
    /// When the node was done with what caused it.
    pub(crate) at: Instant,
    /// What it is about.
    pub(crate) kind: Kind,
    /// The name of the device, mailbox, peer, or the publication's resource.
    pub(crate) name: String,
    /// The JSON object that readers get.
    pub(crate) data: String,
}

/// The history and its readers.
#[derive(Debug)]
pub(crate) struct Hub {
    history: Mutex<History>,
    /// The number that the next event will have; told once per batch.
    changed: watch::Sender<u64>,
    readers: AtomicUsize,
    lost: AtomicU64,
}

/// Figures of the event stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HubFigures {
    /// Who follows.
    pub(crate) readers: usize,
    /// Events that are kept.
    pub(crate) kept: usize,
    /// Events that readers lost, all together.
    pub(crate) lost: u64,
}

#[derive(Debug)]
struct History {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    next: u64,
    ended: bool,
}

impl History {
    fn oldest(&self) -> u64 {
        self.next - self.entries.len() as u64
    }
}

/// How a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// With the next event.
    Now,
    /// After the event of this number, where that is still possible.
    After(u64),
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// An event.
    Entry(Arc<Entry>),
    /// So many events were dropped before this reader took them; `last` is the number of the last one of them.
    Lost { count: u64, last: u64 },
    /// What was asked for by [`Begin::After`] is not kept any more; the reader begins after event `last`.
    Reset { last: u64 },
}

impl Hub {
    /// An empty history whose first event will have the number `first`. A number that is above those of an earlier
    /// process (a clock's reading) lets a reader of that one see that it has missed something.
    pub(crate) fn new(first: u64) -> Arc<Self> {
        Arc::new(Self {
            history: Mutex::new(History {
                entries: VecDeque::new(),
                bytes: 0,
                next: first.max(1),
                ended: false,
            }),
            changed: watch::Sender::new(first.max(1)),
            readers: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
        })
    }

    /// Adds an event. Readers are woken by [`Hub::wake`].
    pub(crate) fn push(&self, at: Instant, kind: Kind, name: String, data: String) {
        let mut history = self.history();
        history.bytes += name.len() + data.len();
        let id = history.next;
        history.next += 1;
        history.entries.push_back(Arc::new(Entry {
            id,
            at,
            kind,
            name,
            data,
        }));
        while history.entries.len() > EVENTS_MAX || history.bytes > BYTES_MAX {
            let Some(oldest) = history.entries.pop_front() else {
                break;
            };
            history.bytes -= oldest.name.len() + oldest.data.len();
        }
    }

    /// Tells the readers that there is something new, if there is.
    pub(crate) fn wake(&self) {
        let next = self.history().next;
        self.changed
            .send_if_modified(|seen| std::mem::replace(seen, next) != next);
    }

    /// Drops the history, and a number with it: nobody can resume across the time in which nothing was recorded.
    pub(crate) fn forget(&self) {
        let mut history = self.history();
        history.entries.clear();
        history.bytes = 0;
        history.next += 1;
    }

    /// No more events will come: readers that have read all are told so.
    pub(crate) fn end(&self) {
        self.history().ended = true;
        self.changed.send_modify(|_| ());
    }

    /// How many readers there are.
    pub(crate) fn readers(&self) -> usize {
        self.readers.load(Ordering::Acquire)
    }

    /// How it stands.
    pub(crate) fn figures(&self) -> HubFigures {
        HubFigures {
            readers: self.readers(),
            kept: self.history().entries.len(),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }

    /// A new reader.
    pub(crate) fn read(self: &Arc<Self>, begin: Begin) -> Reader {
        self.readers.fetch_add(1, Ordering::AcqRel);
        let history = self.history();
        let (cursor, reset) = match begin {
            Begin::Now => (history.next, false),
            Begin::After(id) if id < history.next && id + 1 >= history.oldest() => (id + 1, false),
            Begin::After(_) => (history.next, true),
        };
        Reader {
            hub: Arc::clone(self),
            changed: self.changed.subscribe(),
            cursor,
            reset,
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        // Nothing that holds the lock can leave the history half changed.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader of the events. Dropping it is all that is needed to leave.
#[derive(Debug)]
pub(crate) struct Reader {
    hub: Arc<Hub>,
    changed: watch::Receiver<u64>,
    cursor: u64,
    reset: bool,
}

impl Reader {
    /// The number of the event behind which it goes on. `None`: it is to be told first that it has missed something.
    pub(crate) fn behind(&self) -> Option<u64> {
        (!self.reset).then(|| self.cursor - 1)
    }

    /// The next message; waits for it. `None`: the node has ended. Can be dropped and called again without loss.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            self.changed.borrow_and_update();
            if let Some(message) = self.ready() {
                return Some(message);
            }
            if self.hub.history().ended {
                return None;
            }
            self.changed.changed().await.ok()?;
        }
    }

    /// The next message, if there is one now.
    pub(crate) fn ready(&mut self) -> Option<Message> {
        if std::mem::take(&mut self.reset) {
            return Some(Message::Reset {
                last: self.cursor - 1,
            });
        }
        let history = self.hub.history();
        let oldest = history.oldest();
        if self.cursor < oldest {
            let count = oldest - self.cursor;
            self.cursor = oldest;
            self.hub.lost.fetch_add(count, Ordering::Relaxed);
            return Some(Message::Lost {
                count,
                last: oldest - 1,
            });
        }
        let index = usize::try_from(self.cursor - oldest).ok()?;
        let entry = Arc::clone(history.entries.get(index)?);
        self.cursor += 1;
        Some(Message::Entry(entry))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.hub.readers.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(hub: &Hub, count: usize) {
        for n in 0..count {
            hub.push(
                Instant::now(),
                Kind::Device,
                format!("Custom:{n}"),
                "{}".to_owned(),
            );
        }
        hub.wake();
    }

    fn ids(reader: &mut Reader) -> Vec<u64> {
        std::iter::from_fn(|| reader.ready())
            .map(|message| match message {
                Message::Entry(entry) => entry.id,
                Message::Lost { .. } | Message::Reset { .. } => panic!("{message:?}"),
            })
            .collect()
    }

    #[test]
    fn a_reader_sees_what_comes_after_it_in_order() {
        let hub = Hub::new(1);
        push(&hub, 2);
        let mut reader = hub.read(Begin::Now);
        assert_eq!(reader.ready(), None);
        push(&hub, 3);
        assert_eq!(ids(&mut reader), [3, 4, 5]);
    }

    #[test]
    fn a_reader_resumes_where_it_was() {
        let hub = Hub::new(100);
        push(&hub, 3);
        assert_eq!(ids(&mut hub.read(Begin::After(100))), [101, 102]);
        assert_eq!(ids(&mut hub.read(Begin::After(102))), [0; 0]);
        assert_eq!(ids(&mut hub.read(Begin::After(99))), [100, 101, 102]);
    }

    #[test]
    fn a_reader_tells_where_it_is_unless_it_has_missed_something() {
        let hub = Hub::new(1);
        assert_eq!(hub.read(Begin::Now).behind(), Some(0));
        push(&hub, 3);
        assert_eq!(hub.read(Begin::Now).behind(), Some(3));
        assert_eq!(hub.read(Begin::After(1)).behind(), Some(1));
        let mut reader = hub.read(Begin::After(7));
        assert_eq!(reader.behind(), None);
        reader.ready();
        assert_eq!(reader.behind(), Some(3));
    }

    #[test]
    fn a_number_that_is_not_kept_is_told() {
        let hub = Hub::new(100);
        push(&hub, 3);
        for unknown in [0, 98, 103, u64::MAX] {
            let mut reader = hub.read(Begin::After(unknown));
            assert_eq!(
                reader.ready(),
                Some(Message::Reset { last: 102 }),
                "{unknown}"
            );
            assert_eq!(reader.ready(), None);
        }
    }

    #[test]
    fn nobody_resumes_across_a_time_without_record() {
        let hub = Hub::new(1);
        push(&hub, 3);
        hub.forget();
        assert!(matches!(
            hub.read(Begin::After(3)).ready(),
            Some(Message::Reset { .. })
        ));
        push(&hub, 1);
        assert!(matches!(
            hub.read(Begin::After(3)).ready(),
            Some(Message::Reset { .. })
        ));
        assert_eq!(ids(&mut hub.read(Begin::After(4))), [5]);
    }

    #[test]
    fn a_slow_reader_is_told_how_many_it_lost() {
        let hub = Hub::new(1);
        let mut reader = hub.read(Begin::Now);
        push(&hub, EVENTS_MAX + 7);
        assert_eq!(reader.ready(), Some(Message::Lost { count: 7, last: 7 }));
        assert_eq!(ids(&mut reader).len(), EVENTS_MAX);
    }

    /// Ten thousand who do not read cost a number each: the history is the same for all, nothing waits for them, whoever keeps up loses
    /// nothing, and each is told what it lost.
    #[test]
    fn ten_thousand_slow_readers_hold_nothing_up_and_are_each_told() {
        let hub = Hub::new(1);
        let mut slow: Vec<Reader> = (0..10_000).map(|_| hub.read(Begin::Now)).collect();
        let mut quick = hub.read(Begin::Now);
        let mut seen = Vec::new();
        let all = 3 * EVENTS_MAX;
        for _ in 0..3 {
            push(&hub, EVENTS_MAX);
            seen.extend(ids(&mut quick));
            let figures = hub.figures();
            assert_eq!((figures.readers, figures.kept), (10_001, EVENTS_MAX));
        }
        assert_eq!(seen, (1..=all as u64).collect::<Vec<_>>());
        let lost = all - EVENTS_MAX;
        for reader in &mut slow {
            let told = Message::Lost {
                count: lost as u64,
                last: lost as u64,
            };
            assert_eq!(reader.ready(), Some(told));
            // It goes on with the oldest that is kept.
            assert!(
                matches!(reader.ready(), Some(Message::Entry(entry)) if entry.id == lost as u64 + 1)
            );
        }
        assert_eq!(hub.figures().lost, 10_000 * lost as u64);
    }

    #[test]
    fn the_history_is_bounded_in_bytes_too() {
        let hub = Hub::new(1);
        let mut reader = hub.read(Begin::Now);
        for _ in 0..20 {
            hub.push(
                Instant::now(),
                Kind::Device,
                String::new(),
                " ".repeat(BYTES_MAX / 10),
            );
        }
        assert_eq!(
            reader.ready(),
            Some(Message::Lost {
                count: 10,
                last: 10
            })
        );
        assert_eq!(ids(&mut reader).len(), 10);
    }

    #[test]
    fn readers_are_counted() {
        let hub = Hub::new(1);
        let reader = hub.read(Begin::Now);
        assert_eq!(hub.readers(), 1);
        drop(reader);
        assert_eq!(hub.readers(), 0);
    }

    #[tokio::test]
    async fn the_end_comes_after_the_last_event() {
        let hub = Hub::new(1);
        let mut reader = hub.read(Begin::Now);
        push(&hub, 1);
        hub.end();
        assert!(reader.next().await.is_some());
        assert!(reader.next().await.is_none());
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let hub = Hub::new(1);
        let mut reader = hub.read(Begin::Now);
        let waiting = tokio::spawn(async move { reader.next().await });
        tokio::task::yield_now().await;
        push(&hub, 1);
        let message = waiting.await.expect("the task ends");
        assert!(matches!(message, Some(Message::Entry(entry)) if entry.id == 1));
    }
}
