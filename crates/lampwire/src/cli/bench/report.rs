//! What was measured, for people and programs, and how far it is.

use std::io::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::load::{Measured, Plan};
use super::wire::Carrier;
use crate::cli::output;
use crate::cli::table::Table;

/// How often the progress is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(250);
/// Characters of the bar.
const BAR: u32 = 30;
/// What of a latency is told: names, and the parts of all requests that were at most that long.
const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p999", 0.999),
    ("max", 1.0),
];

/// A line on a terminal that is written again and again.
pub(super) struct Progress {
    shown: bool,
    next: Duration,
    duration: Duration,
}

impl Progress {
    /// One that is shown or not.
    pub(super) fn new(plan: &Plan, shown: bool) -> Self {
        Self {
            shown,
            next: Duration::ZERO,
            duration: plan.duration,
        }
    }

    /// Shows it, if it is time to.
    pub(super) fn show(&mut self, elapsed: Duration, measured: &Measured) {
        if !self.shown || elapsed < self.next {
            return;
        }
        self.next = elapsed + SHOWN_EVERY;
        let part = elapsed.div_duration_f64(self.duration).min(1.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // at most BAR
        let done = (part * f64::from(BAR)) as usize;
        let left = BAR as usize - done;
        eprint!(
            "\r[{}{}] {:>3.0} s  {} sent, {} answered, p99 {} ms\x1b[K",
            "#".repeat(done),
            " ".repeat(left),
            elapsed.as_secs_f64(),
            measured.sent,
            measured.answered(),
            millis(&measured.latency, 0.99)
        );
    }

    /// Takes it away.
    pub(super) fn clear(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

/// Milliseconds with three digits behind the point.
fn millis(histogram: &Histogram<u64>, quantile: f64) -> String {
    format!("{:.3}", value(histogram, quantile) as f64 / 1000.0)
}

/// Microseconds; of nothing, 0.
fn value(histogram: &Histogram<u64>, quantile: f64) -> u64 {
    histogram.value_at_quantile(quantile)
}

/// Prints the tables.
pub(super) fn print(plan: &Plan, measured: &Measured) -> anyhow::Result<()> {
    let mut out = output::stdout();
    let seconds = measured.took.as_secs_f64();
    let row = |name: String, count: u64| {
        let rate = format!("{:.1}", count as f64 / seconds);
        vec![name, format!("{count:>8}"), format!("{rate:>10}")]
    };
    let answered = measured.answered();
    let mut rows = vec![
        row("due".to_owned(), plan.total()),
        row("granted".to_owned(), measured.granted()),
    ];
    let refused = measured
        .answers
        .iter()
        .filter(|(status, _)| **status >= 300);
    rows.extend(refused.map(|(status, count)| row(format!("refused {status}"), *count)));
    rows.push(row(
        "not answered".to_owned(),
        plan.total().saturating_sub(answered),
    ));
    for (name, count) in [
        ("challenged", measured.challenges),
        ("sent again", measured.copies),
        ("sent late by this program", measured.late),
    ] {
        if count > 0 {
            rows.push(row(name.to_owned(), count));
        }
    }
    Table::new(&["REQUESTS", "   COUNT", "  A SECOND"], false).print(&mut out, &rows)?;
    writeln!(out)?;
    let latency = |name: &str, histogram: &Histogram<u64>| {
        let values = QUANTILES
            .iter()
            .map(|(_, quantile)| format!("{:>9}", millis(histogram, *quantile)));
        std::iter::once(name.to_owned()).chain(values).collect()
    };
    let rows: [Vec<String>; 2] = [
        latency("from due", &measured.latency),
        latency("from sent", &measured.service),
    ];
    Table::new(
        &[
            "LATENCY, MS",
            "   MEDIAN",
            "     90 %",
            "     99 %",
            "   99.9 %",
            "  LONGEST",
        ],
        false,
    )
    .print(&mut out, &rows)?;
    out.flush()?;
    Ok(())
}

/// The same for programs. Latencies are in microseconds.
pub(super) fn json(plan: &Plan, carrier: Carrier, measured: &Measured) -> Value {
    let latency = |histogram: &Histogram<u64>| {
        let values = QUANTILES
            .iter()
            .map(|(name, quantile)| ((*name).to_owned(), value(histogram, *quantile).into()));
        Value::Object(values.collect())
    };
    let answers: serde_json::Map<_, _> = measured
        .answers
        .iter()
        .map(|(status, count)| (status.to_string(), (*count).into()))
        .collect();
    json!({
        "target": plan.uri,
        "transport": carrier.as_str().to_ascii_lowercase(),
        "event": plan.event.as_str(),
        "rate": plan.rate,
        "duration": plan.duration.as_secs(),
        "devices": plan.devices,
        "lanes": plan.lanes,
        "took": measured.took.as_secs_f64(),
        "due": plan.total(),
        "sent": measured.sent,
        "granted": measured.granted(),
        "answers": answers,
        "unanswered": plan.total().saturating_sub(measured.answered()),
        "challenges": measured.challenges,
        "copies": measured.copies,
        "late": measured.late,
        "latency_us": latency(&measured.latency),
        "service_us": latency(&measured.service),
    })
}
