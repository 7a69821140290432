//! The driver's clocks: the only place that asks the system what time it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lampwire_core::{Now, Time, WallTime};
use tokio::time::Instant;

/// A monotonic clock that began with the node, and the calendar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    zero: Instant,
}

impl Clock {
    /// A clock that shows zero now.
    pub(crate) fn start() -> Self {
        Self {
            zero: Instant::now(),
        }
    }

    /// What both clocks show.
    pub(crate) fn now(self) -> Now {
        let micros = u64::try_from(self.zero.elapsed().as_micros()).unwrap_or(u64::MAX);
        Now {
            at: Time::from_micros(micros),
            wall: WallTime::from_millis(unix_millis()),
        }
    }

    /// When this clock will show `at`.
    pub(crate) fn instant(self, at: Time) -> Instant {
        // A century ahead is as good as never, and always representable.
        const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);
        self.zero + Duration::from_micros(at.as_micros()).min(NEVER)
    }
}

/// Milliseconds since the Unix epoch; 0 where the clock stands before it.
pub(crate) fn unix_millis() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
