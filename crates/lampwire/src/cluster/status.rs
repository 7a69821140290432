//! How the connection to NATS stands, for readyz and metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How the connection stands. Written by the connection's thread and the driver, read by anybody.
#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(super) up: AtomicBool,
    pub(super) connections: AtomicU64,
    pub(super) losses: AtomicU64,
    pub(super) attempts_failed: AtomicU64,
    pub(super) stored: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) unanswered: AtomicU64,
    pub(super) in_flight: AtomicU64,
    pub(super) readings: AtomicU64,
    pub(super) readings_ended: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) said: AtomicU64,
    pub(super) unsaid: AtomicU64,
    pub(super) heard: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) orders_waiting: AtomicU64,
    pub(super) happenings_waiting: AtomicU64,
}

/// The figures of one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// There is a connection, and the own site's bucket is there.
    pub(crate) up: bool,
    /// Times that this came to be.
    pub(crate) connections: u64,
    /// Times that it ended otherwise than by our will.
    pub(crate) losses: u64,
    /// Attempts of which nothing came.
    pub(crate) attempts_failed: u64,
    /// Puts, withdrawals and erasures that were done.
    pub(crate) stored: u64,
    /// Those that were refused.
    pub(crate) refused: u64,
    /// Those that nobody answered in time.
    pub(crate) unanswered: u64,
    /// Those that are on their way.
    pub(crate) in_flight: u64,
    /// Buckets that began to be read.
    pub(crate) readings: u64,
    /// Readings that ended otherwise than by our will.
    pub(crate) readings_ended: u64,
    /// Records that were read.
    pub(crate) records: u64,
    /// Messages that nobody keeps: that were said,
    pub(crate) said: u64,
    /// that could not be said, the connection being stuck,
    pub(crate) unsaid: u64,
    /// and that were heard.
    pub(crate) heard: u64,
    /// Bytes of all that was put and said.
    pub(crate) bytes_out: u64,
    /// Bytes of all that was read and heard.
    pub(crate) bytes_in: u64,
    /// What waits for the connection's thread.
    pub(crate) orders_waiting: u64,
    /// What waits for the node.
    pub(crate) happenings_waiting: u64,
}

impl Status {
    /// Whether there is a connection, and the own site's bucket is there.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// All figures.
    pub(crate) fn figures(&self) -> Figures {
        let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        Figures {
            up: self.is_up(),
            connections: of(&self.connections),
            losses: of(&self.losses),
            attempts_failed: of(&self.attempts_failed),
            stored: of(&self.stored),
            refused: of(&self.refused),
            unanswered: of(&self.unanswered),
            in_flight: of(&self.in_flight),
            readings: of(&self.readings),
            readings_ended: of(&self.readings_ended),
            records: of(&self.records),
            said: of(&self.said),
            unsaid: of(&self.unsaid),
            heard: of(&self.heard),
            bytes_out: of(&self.bytes_out),
            bytes_in: of(&self.bytes_in),
            orders_waiting: of(&self.orders_waiting),
            happenings_waiting: of(&self.happenings_waiting),
        }
    }
}

/// One more of it.
pub(super) fn count(figure: &AtomicU64) {
    add(figure, 1);
}

/// So many more of it.
pub(super) fn add(figure: &AtomicU64, more: usize) {
    figure.fetch_add(more as u64, Ordering::Relaxed);
}
