//! How the store stands, for readyz, metrics and the page.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use lampwire_core::WallTime;

use super::Size;

/// Whether states survive a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nobody wants them to: `state_dir` is empty.
    #[default]
    Off,
    /// They do.
    Ok,
    /// They should, and nothing can be written.
    MemoryOnly {
        /// What is wrong, and where.
        why: String,
        /// Since when.
        since: WallTime,
    },
}

impl Condition {
    /// The word of the interface: `off`, `ok`, `memory-only`.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Ok => "ok",
            Self::MemoryOnly { .. } => "memory-only",
        }
    }
}

/// How the store stands. Written by the driver, read by anybody.
#[derive(Debug, Default)]
pub(crate) struct Status {
    condition: Mutex<Condition>,
    pub(super) live: AtomicU64,
    pub(super) journal: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) snapshots: AtomicU64,
    pub(super) faults: AtomicU64,
    pub(super) saved_at: AtomicU64,
}

/// The figures of one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) condition: Condition,
    pub(crate) size: Size,
    /// Batches that are on the disk.
    pub(crate) batches: u64,
    /// Times that everything was written anew.
    pub(crate) snapshots: u64,
    /// Times that something could not be written.
    pub(crate) faults: u64,
    /// When something was written last; zero: never.
    pub(crate) saved_at: WallTime,
}

impl Status {
    /// Whether states survive a restart.
    pub(crate) fn condition(&self) -> Condition {
        // A condition is replaced as a whole: whoever panicked with the lock has left a whole one.
        let condition = self.condition.lock();
        condition.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All figures.
    pub(crate) fn figures(&self) -> Figures {
        let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        Figures {
            condition: self.condition(),
            size: Size {
                live: of(&self.live),
                journal: of(&self.journal),
                written: of(&self.written),
            },
            batches: of(&self.batches),
            snapshots: of(&self.snapshots),
            faults: of(&self.faults),
            saved_at: WallTime::from_millis(of(&self.saved_at)),
        }
    }

    pub(super) fn set_condition(&self, condition: Condition) {
        let mut place = self
            .condition
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *place = condition;
    }

    pub(super) fn note_size(&self, size: Size) {
        self.live.store(size.live, Ordering::Relaxed);
        self.journal.store(size.journal, Ordering::Relaxed);
        self.written.store(size.written, Ordering::Relaxed);
    }
}
