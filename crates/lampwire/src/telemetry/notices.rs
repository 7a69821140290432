//! What the node tells its operator, as log lines; repetition is held down, so that a flood from outside fills no disk.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use lampwire_core::{Level, Notice, Time};

/// So many lines with one code may come at once.
const BURST: u32 = 20;

/// From then on one line in this time.
const REFILL: Duration = Duration::from_secs(1);

/// The longest notice, in bytes. A peer's words may be as long as a message; what they are about stands at their beginning.
const LENGTH_MAX: usize = 2000;

/// The log lines of one node.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    /// By code. The codes are the node's own words, so there are not many.
    buckets: BTreeMap<&'static str, Bucket>,
}

/// The token bucket of one code.
#[derive(Debug)]
struct Bucket {
    tokens: u32,
    refilled: Time,
    held_back: u64,
    level: Level,
}

impl Bucket {
    fn take(&mut self, now: Time) -> bool {
        let earned = now.since(self.refilled).as_micros() / REFILL.as_micros();
        if earned > 0 {
            self.tokens = self
                .tokens
                .saturating_add(u32::try_from(earned).unwrap_or(BURST))
                .min(BURST);
            self.refilled = now;
        }
        let has = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        has
    }
}

impl Notices {
    /// Logs the notice, or counts it where too many like it came lately.
    pub(crate) fn log(&mut self, now: Time, notice: &Notice) {
        self.admit(now, notice, &mut write);
    }

    /// Tells how many lines were held back, for each code where it is time to.
    pub(crate) fn flush(&mut self, now: Time) {
        self.tell_held_back(now, &mut write);
    }

    fn admit(
        &mut self,
        now: Time,
        notice: &Notice,
        write: &mut dyn FnMut(Level, &'static str, &str),
    ) {
        let bucket = self.buckets.entry(notice.code).or_insert(Bucket {
            tokens: BURST,
            refilled: now,
            held_back: 0,
            level: notice.level,
        });
        if !bucket.take(now) {
            bucket.held_back += 1;
            return;
        }
        bucket.level = notice.level;
        let held_back = std::mem::take(&mut bucket.held_back);
        if held_back > 0 {
            write(notice.level, notice.code, &more(held_back));
        }
        write(notice.level, notice.code, &notice.text);
    }

    fn tell_held_back(&mut self, now: Time, write: &mut dyn FnMut(Level, &'static str, &str)) {
        for (code, bucket) in &mut self.buckets {
            if bucket.held_back > 0 && bucket.take(now) {
                write(
                    bucket.level,
                    code,
                    &more(std::mem::take(&mut bucket.held_back)),
                );
            }
        }
    }
}

fn more(count: u64) -> String {
    format!("and {count} more like it")
}

fn write(level: Level, code: &'static str, text: &str) {
    let text = in_one_line(text);
    // The level of a tracing event is part of its call site.
    match level {
        Level::Error => tracing::error!(code, "{code}: {text}"),
        Level::Warn => tracing::warn!(code, "{code}: {text}"),
        Level::Info => tracing::info!(code, "{code}: {text}"),
        Level::Debug => tracing::debug!(code, "{code}: {text}"),
    }
}

/// A notice may hold words of a peer: no line break and no escape of theirs reaches a log or a terminal as such, and not all of a long one.
fn in_one_line(text: &str) -> Cow<'_, str> {
    let unfit = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if text.len() > LENGTH_MAX {
        let mut ends = (0..=LENGTH_MAX).rev();
        let end = ends.find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        return Cow::Owned(format!("{} ...", in_one_line(&text[..end])));
    }
    if !text.contains(unfit) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match unfit(character) {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(code: &'static str, text: &str) -> Notice {
        Notice {
            level: Level::Warn,
            code,
            text: text.to_owned(),
        }
    }

    #[test]
    fn words_of_a_peer_stay_in_their_line() {
        assert_eq!(in_one_line("a \"b\\\" \u{fc}"), "a \"b\\\" \u{fc}");
        assert_eq!(
            in_one_line("a\r\n2026 ERROR \u{1b}[2J\u{9b}1m\u{2028}"),
            "a\\r\\n2026 ERROR \\u{1b}[2J\\u{9b}1m\\u{2028}"
        );
        let long = in_one_line(&"\u{fc}".repeat(60_000)).into_owned();
        assert!(long.len() <= LENGTH_MAX + 4 && long.ends_with("\u{fc} ..."));
    }

    #[test]
    fn a_flood_of_one_code_is_held_down_and_counted_and_others_pass() {
        let mut notices = Notices::default();
        let mut lines = Vec::new();
        let mut write =
            |_: Level, code: &'static str, text: &str| lines.push(format!("{code}: {text}"));
        let begin = Time::from_micros(5_000_000);
        for n in 0..100 {
            notices.admit(begin, &notice("refused", &n.to_string()), &mut write);
        }
        notices.admit(begin, &notice("other", "passes"), &mut write);
        notices.tell_held_back(begin, &mut write);
        notices.tell_held_back(begin + REFILL, &mut write);
        notices.admit(begin + REFILL * 2, &notice("refused", "again"), &mut write);
        assert_eq!(lines.len(), 23, "{lines:?}");
        assert_eq!(lines[19], "refused: 19");
        assert_eq!(
            lines[20..],
            [
                "other: passes",
                "refused: and 80 more like it",
                "refused: again"
            ]
        );
    }

    #[test]
    fn the_count_comes_with_the_next_line_at_the_latest() {
        let mut notices = Notices::default();
        let mut lines = Vec::new();
        let mut write = |_: Level, _: &'static str, text: &str| lines.push(text.to_owned());
        for n in 0..22 {
            notices.admit(
                Time::from_micros(0),
                &notice("refused", &n.to_string()),
                &mut write,
            );
        }
        notices.admit(
            Time::from_micros(9_000_000),
            &notice("refused", "late"),
            &mut write,
        );
        assert_eq!(lines[20..], ["and 2 more like it", "late"]);
    }
}
