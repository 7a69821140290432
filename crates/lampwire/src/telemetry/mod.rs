//! Logs: text lines on standard error, or into the demo's board.

pub(crate) mod notices;

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

/// How much is logged where nothing is said about it.
const DEFAULT_LEVEL: &str = "info";

/// The library whose lines are left out unless they are asked for.
const NATS_CLIENT: &str = "async_nats";

/// The most lines that the demo's board keeps.
const LINES_MAX: usize = 50;

/// How much is logged.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogArguments {
    /// Log more: -v debug, -vv trace
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,

    /// What to log: error, warn, info, debug, trace, off, or a filter as `info,lampwire::driver=trace`
    #[arg(
        long,
        value_name = "LEVEL",
        env = "LAMPWIRE_LOG",
        hide_env_values = true
    )]
    log_level: Option<String>,

    /// How a line is written: for people, or each as a JSON object for a collector
    #[arg(
        long,
        value_name = "FORMAT",
        env = "LAMPWIRE_LOG_FORMAT",
        hide_env_values = true,
        default_value = "text"
    )]
    log_format: Format,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Time, level and text
    #[default]
    Text,
    /// One JSON object a line, with the kind of the line in `code`
    Json,
}

/// Begins to log to standard error, in colour where that is a terminal. Call it once, before anything is logged.
pub(crate) fn log_to_stderr(arguments: &LogArguments) -> anyhow::Result<()> {
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter(arguments)?)
        .with_target(false)
        .with_ansi(colour_wanted(&io::stderr()))
        .with_writer(io::stderr);
    match arguments.log_format {
        Format::Text => log.fmt_fields(debug_fn(write_field)).try_init(),
        Format::Json => log.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow::anyhow!("logging cannot begin: {error}"))
}

/// Writes a field of a line. The code of a notice stands in its text already.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "message" => write!(writer, "{value:?}"),
        "code" => Ok(()),
        name => write!(writer, " {name}={value:?}"),
    }
}

/// Begins to log into memory, the last lines only, for a screen that would be torn by lines on standard error.
pub(crate) fn log_to_memory(arguments: &LogArguments) -> anyhow::Result<Lines> {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .with_env_filter(filter(arguments)?)
        .with_target(false)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .fmt_fields(debug_fn(write_field))
        .try_init()
        .map_err(|error| anyhow::anyhow!("logging cannot begin: {error}"))?;
    Ok(lines)
}

/// Whether to write colours there: only to a terminal, and not where NO_COLOR asks for none (no-color.org).
pub(crate) fn colour_wanted(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn filter(arguments: &LogArguments) -> anyhow::Result<EnvFilter> {
    let directives = match (arguments.verbose, &arguments.log_level) {
        (0, Some(level)) => level.as_str(),
        (0, None) => DEFAULT_LEVEL,
        // What the libraries say at these levels would bury what the node says.
        (1, _) => "info,lampwire=debug",
        (_, _) => "debug,lampwire=trace",
    };
    let filter = EnvFilter::builder().parse(directives).with_context(|| {
        format!("--log-level {directives:?} is none: give error, warn, info, debug, trace, off, or a filter as info,lampwire=debug")
    })?;
    // What the client of NATS has to say is said by the node, in its own words and not again and again.
    Ok(match directives.contains(NATS_CLIENT) {
        true => filter,
        false => filter.add_directive(Directive::from_str(&format!("{NATS_CLIENT}=off"))?),
    })
}

/// The last lines of a log in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    /// The line that has no end yet.
    open: Vec<u8>,
}

impl Lines {
    /// The last `count` lines, oldest first.
    pub(crate) fn last(&self, count: usize) -> Vec<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = kept.lines.len().saturating_sub(count);
        kept.lines.iter().skip(skipped).cloned().collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for &byte in bytes {
            if byte != b'\n' {
                kept.open.push(byte);
                continue;
            }
            let line = String::from_utf8_lossy(&std::mem::take(&mut kept.open)).into_owned();
            if kept.lines.len() == LINES_MAX {
                kept.lines.pop_front();
            }
            kept.lines.push_back(line);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_memory_keeps_the_last_lines() {
        let mut lines = Lines::default();
        for n in 0..LINES_MAX + 2 {
            writeln!(lines, "line {n}").unwrap();
        }
        assert_eq!(lines.last(2), ["line 50", "line 51"]);
        assert_eq!(lines.last(1000).len(), LINES_MAX);
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        let arguments = LogArguments {
            verbose: 0,
            log_level: Some("lampwire=loud".to_owned()),
            log_format: Format::Text,
        };
        assert!(filter(&arguments).unwrap_err().to_string().contains("loud"));
        let arguments = LogArguments {
            verbose: 0,
            log_level: Some("warn".to_owned()),
            log_format: Format::Text,
        };
        let written = filter(&arguments).unwrap().to_string();
        assert!(
            written.contains("warn") && written.contains("async_nats=off"),
            "{written}"
        );
        let arguments = LogArguments {
            log_level: Some("info,async_nats=debug".to_owned()),
            ..arguments
        };
        let written = filter(&arguments).unwrap().to_string();
        assert!(!written.contains("off"), "{written}");
    }
}
