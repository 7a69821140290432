//! The client's non-INVITE transaction (RFC 3261 17.1.2): when to send the request again, and when to give up.

use std::time::Duration;

use crate::limits;
use crate::time::Time;

/// The timers of one request that is on its way. The bytes are kept by whoever sent them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientTransaction {
    started: Time,
    resend_at: Time,
    pause: Duration,
    gives_up_at: Time,
    proceeding: bool,
}

/// What a transaction's time asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing before this time.
    Wait(Time),
    /// Send the same bytes once more (Timer E).
    Resend,
    /// No answer in time (Timer F).
    TimedOut,
}

impl ClientTransaction {
    /// A request that leaves now over an unreliable transport, with T1 and the whole time to wait as configured (timer_t1, timer_b).
    pub(crate) fn new(now: Time, t1: Duration, whole: Duration) -> Self {
        Self {
            started: now,
            resend_at: now + t1,
            pause: t1,
            gives_up_at: now + whole,
            proceeding: false,
        }
    }

    /// It went over a connection, which loses nothing: no copies (RFC 3261 17.1.2.2).
    pub(crate) fn over_stream(&mut self) {
        self.resend_at = self.gives_up_at;
    }

    /// A provisional answer came: copies go on, at T2 (RFC 3261 17.1.2.2).
    pub(crate) fn provisional(&mut self) {
        self.proceeding = true;
    }

    /// The next time at which something is due.
    pub(crate) fn next_due(&self) -> Time {
        self.resend_at.min(self.gives_up_at)
    }

    /// What is due at `now`; a `Resend` counts as done. `away`: the peer has been silent before, and its return is to be noticed soon.
    pub(crate) fn due(&mut self, now: Time, away: bool) -> Due {
        if now >= self.gives_up_at {
            return Due::TimedOut;
        }
        if now >= self.resend_at {
            let longest = if away {
                limits::TIMER_T2_AWAY
            } else {
                limits::TIMER_T2
            };
            self.pause = if self.proceeding {
                longest
            } else {
                (self.pause * 2).min(longest)
            };
            self.resend_at = now + self.pause;
            return Due::Resend;
        }
        Due::Wait(self.next_due())
    }

    /// When the request left first.
    pub(crate) const fn started(&self) -> Time {
        self.started
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_leave_at_e_and_end_at_f() {
        let t1 = Duration::from_millis(500);
        let mut transaction = ClientTransaction::new(Time::from_micros(0), t1, t1 * 64);
        let mut now = Time::from_micros(0);
        let mut sent = Vec::new();
        loop {
            match transaction.due(now, false) {
                Due::Wait(until) => {
                    assert!(until > now);
                    now = until;
                }
                Due::Resend => sent.push(now.as_micros() / 1000),
                Due::TimedOut => break,
            }
        }
        // RFC 3261 17.1.2.2: 500 ms, doubling to 4 s, for 64*T1.
        assert_eq!(
            sent,
            [
                500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
            ]
        );
        assert_eq!(now.as_micros(), 32_000_000);
    }

    #[test]
    fn after_a_provisional_answer_copies_leave_each_t2() {
        let t1 = Duration::from_millis(500);
        let mut transaction = ClientTransaction::new(Time::from_micros(0), t1, t1 * 64);
        transaction.provisional();
        assert_eq!(
            transaction.due(Time::from_micros(500_000), false),
            Due::Resend
        );
        assert_eq!(
            transaction.due(Time::from_micros(500_001), false),
            Due::Wait(Time::from_micros(4_500_000))
        );
    }
}
