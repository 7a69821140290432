//! `type=system`: timers and habits of the SIP stack.

use std::time::Duration;

use super::Options;
use crate::Location;
use crate::options::{OptionSpec, SectionSpec, acts, known};

const OPTIONS: &[OptionSpec] = &[
    acts(
        "timer_t1",
        "500",
        "Milliseconds before an unanswered request is sent again over UDP (RFC 3261 section 17.1.2).",
    ).example("250"),
    acts(
        "timer_b",
        "32000",
        "Milliseconds after which an unanswered request is given up.",
    ).example("64000"),
    acts(
        "compact_headers",
        "no",
        "Whether headers are written in their short forms.",
    ).example("yes"),
    acts(
        "disable_tcp_switch",
        "yes",
        "Whether requests over 1300 bytes stay on UDP.",
    ).example("no"),
    acts(
        "disable_rport",
        "no",
        "Whether `rport` is left out of Via (RFC 3581).",
    ).example("yes"),
    known("taskpool_minimum_size"),
    known("taskpool_initial_size"),
    known("taskpool_auto_increment"),
    known("taskpool_idle_timeout"),
    known("taskpool_max_size"),
    known("threadpool_initial_size"),
    known("threadpool_auto_increment"),
    known("threadpool_idle_timeout"),
    known("threadpool_max_size"),
    known("follow_early_media_fork"),
    known("accept_multiple_sdp_answers"),
];

pub(crate) const SPEC: SectionSpec = SectionSpec {
    name: "system",
    doc: "Timers and habits of the SIP stack.",
    options: OPTIONS,
    open_prefix: None,
    single: true,
};

/// Timers and habits of the SIP stack.
#[derive(Clone, Debug, PartialEq)]
pub struct System {
    /// Where the section stands; None: there is none, all is default.
    pub at: Option<Location>,
    /// Before the first repetition over UDP, 100 ms to 10 s.
    pub timer_t1: Duration,
    /// Until a request is given up; at least 64 times `timer_t1`.
    pub timer_b: Duration,
    /// Headers are written in their short forms.
    pub compact_headers: bool,
    /// Requests over 1300 bytes stay on UDP.
    pub disable_tcp_switch: bool,
    /// `rport` is left out of Via.
    pub disable_rport: bool,
}

impl Default for System {
    fn default() -> Self {
        Self {
            at: None,
            timer_t1: Duration::from_millis(500),
            timer_b: Duration::from_secs(32),
            compact_headers: false,
            disable_tcp_switch: true,
            disable_rport: false,
        }
    }
}

pub(crate) fn read(options: &mut Options<'_, '_>) -> System {
    let timer_t1 = options.milliseconds("timer_t1", 100..=10_000);
    let mut timer_b = options.milliseconds("timer_b", 6_400..=3_600_000);
    // RFC 3261 section 17.1.2.2: Timer F, which Asterisk sets by the same option, is 64*T1.
    let least = timer_t1 * 64;
    if timer_b < least {
        if let Some(entry) = options.last("timer_b").or(options.last("timer_t1")) {
            let message = format!(
                "`timer_b` of {} ms is below 64 times `timer_t1`; {} ms are taken",
                timer_b.as_millis(),
                least.as_millis()
            );
            options
                .context
                .findings
                .warning("timer-b", &entry.value_at, message, None);
        }
        timer_b = least;
    }
    System {
        at: Some(options.section.at.clone()),
        timer_t1,
        timer_b,
        compact_headers: options.boolean("compact_headers"),
        disable_tcp_switch: options.boolean("disable_tcp_switch"),
        disable_rport: options.boolean("disable_rport"),
    }
}
