//! How long it is waited for an answer of JetStream, which keeps silent while its servers have no leader.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::limits;

/// Short while answers come soon, so that a new leader is found out; longer with each silence, so that servers that are slow are not asked the same
/// again and again.
#[derive(Debug)]
pub(super) struct Patience(AtomicU64);

impl Patience {
    /// That of somebody who has not asked yet.
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(millis(limits::ANSWER_FIRST)))
    }

    /// How long the next answer is waited for.
    pub(super) fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// An answer has come after this time.
    pub(super) fn answered(&self, after: Duration) {
        self.set(after * limits::ANSWER_SPREAD);
    }

    /// None has come.
    pub(super) fn disappointed(&self) {
        self.set(self.now() * 2);
    }

    fn set(&self, patience: Duration) {
        let patience = patience.clamp(limits::ANSWER_FIRST, limits::ANSWER_MAX);
        self.0.store(millis(patience), Ordering::Relaxed);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_silence_and_follows_the_answers() {
        let patience = Patience::new();
        assert_eq!(patience.now(), limits::ANSWER_FIRST);
        patience.disappointed();
        assert_eq!(patience.now(), limits::ANSWER_FIRST * 2);
        (0..80).for_each(|_| patience.disappointed());
        assert_eq!(patience.now(), limits::ANSWER_MAX);
        // Servers that are slow are given their time.
        patience.answered(limits::ANSWER_FIRST);
        assert!(patience.now() > limits::ANSWER_FIRST);
        patience.answered(Duration::from_millis(1));
        assert_eq!(patience.now(), limits::ANSWER_FIRST);
    }
}
