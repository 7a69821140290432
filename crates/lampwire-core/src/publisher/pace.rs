//! How fast a publisher speaks: never faster than configured, and in a dump no faster than the peer keeps up.

use std::time::Duration;

use crate::time::Time;

/// The pace of one publisher.
///
/// Live changes wait for `@rate_limit` alone. A dump is also held to a window of requests on their way, which opens while the peer's
/// answers come as fast as they ever did, and closes when they slow down: a peer that is busy with our dump does not get to its own work.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The time between two states; zero without a limit.
    spacing: Duration,
    next_at: Time,
    /// Requests of a dump that may be on their way at once, 1 to `lanes`.
    window: u16,
    lanes: u16,
    /// Answers in time since the window was last opened.
    in_time: u16,
    /// Until the first slow answer the window opens with each answer.
    opening: bool,
    /// The fastest answer of late.
    fastest: Option<Duration>,
}

/// Answers within three times the fastest and this are in time. It is what a peer on the same network takes when it is not busy at all.
const SLACK: Duration = Duration::from_millis(5);

impl Pace {
    /// A pace of at most `rate_limit` states a second (0: any number) over `lanes` lanes.
    pub(crate) fn new(rate_limit: u32, lanes: u16) -> Self {
        Self {
            spacing: spacing(rate_limit),
            next_at: Time::default(),
            window: lanes.min(2),
            lanes,
            in_time: 0,
            opening: true,
            fastest: None,
        }
    }

    /// The peer was away: how fast it answers now is to be found out.
    pub(crate) fn begin_anew(&mut self) {
        self.window = self.lanes.min(2);
        (self.opening, self.fastest, self.in_time) = (true, None, 0);
    }

    /// From now on at most so many states a second (0: any number).
    pub(crate) fn set_rate(&mut self, rate_limit: u32) {
        self.spacing = spacing(rate_limit);
    }

    /// States are counted, so each goes by itself.
    pub(crate) const fn is_limited(&self) -> bool {
        !self.spacing.is_zero()
    }

    /// When the next state may be said, if not at `now`.
    pub(crate) fn waits_until(&self, now: Time) -> Option<Time> {
        (!self.spacing.is_zero() && self.next_at > now).then_some(self.next_at)
    }

    /// A state is said.
    pub(crate) fn said(&mut self, now: Time) {
        self.next_at = self.next_at.max(now) + self.spacing;
    }

    /// How many requests of a dump may be on their way.
    pub(crate) const fn window(&self) -> u16 {
        self.window
    }

    /// An answer came after `round_trip`; `None` where the request had been sent more than once, so nobody knows.
    pub(crate) fn answered(&mut self, round_trip: Option<Duration>) {
        if round_trip.is_none() && self.fastest.is_none() {
            return; // it was not there when the request left, which says nothing of how it keeps up
        }
        let in_time = round_trip.is_some_and(|time| {
            // It rises slowly, so that a longer way is taken for one after a while.
            let fastest = self
                .fastest
                .map_or(time, |fastest| time.min(fastest + fastest / 64));
            self.fastest = Some(fastest);
            time <= fastest * 3 + SLACK
        });
        if !in_time {
            self.opening = false;
            self.in_time = 0;
            self.window = (self.window - self.window.div_ceil(8)).max(1);
            return;
        }
        self.in_time += 1;
        if self.opening || self.in_time >= self.window {
            self.in_time = 0;
            self.window = (self.window + 1).min(self.lanes);
        }
    }
}

fn spacing(rate_limit: u32) -> Duration {
    match rate_limit {
        0 => Duration::ZERO,
        rate => Duration::from_secs(1) / rate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_spaces_states_evenly() {
        let mut pace = Pace::new(100, 8);
        let mut now = Time::from_micros(1_000_000);
        for _ in 0..10 {
            assert_eq!(pace.waits_until(now), None);
            pace.said(now);
            let next = now + Duration::from_millis(10);
            assert_eq!(pace.waits_until(now), Some(next));
            now = next;
        }
        assert_eq!(Pace::new(0, 8).waits_until(now), None);
    }

    #[test]
    fn whoever_was_away_is_found_out_anew() {
        let quick = Some(Duration::from_millis(40));
        let opens = |pace: &mut Pace| {
            // The first answer is to a request that had to be sent more than once.
            pace.answered(None);
            for _ in 0..62 {
                pace.answered(quick);
            }
            pace.window()
        };
        let mut pace = Pace::new(0, 64);
        assert_eq!(opens(&mut pace), 64);
        pace.answered(None);
        assert!(pace.window() < 64);
        pace.begin_anew();
        assert_eq!(pace.window(), 2);
        assert_eq!(opens(&mut pace), 64);
    }

    #[test]
    fn the_window_opens_to_all_lanes_and_closes_to_one() {
        let mut pace = Pace::new(0, 64);
        let quick = Some(Duration::from_millis(40));
        for _ in 0..62 {
            pace.answered(quick);
        }
        assert_eq!(pace.window(), 64);
        for _ in 0..40 {
            pace.answered(Some(Duration::from_millis(400)));
        }
        assert!(pace.window() <= 8, "{}", pace.window());
        for _ in 0..40 {
            pace.answered(None);
        }
        assert_eq!(pace.window(), 1);
        for _ in 0..5000 {
            pace.answered(quick);
        }
        assert_eq!(pace.window(), 64);
    }
}
