//! What is wrong with a configuration, where, and what to do about it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::limits::{MAX_DIAGNOSTICS, MAX_QUOTE};

/// A place in a file: line and column count from 1, columns in characters as editors count them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Location {
    /// The file's name as it was given or as an `#include` formed it.
    pub file: Arc<str>,
    /// The line, from 1. 0 where the whole file is meant (it cannot be read).
    pub line: u32,
    /// The column in characters, from 1. 0 where the whole file is meant.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How much a [`Diagnostic`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Said for completeness: what was passed over and why.
    Note,
    /// The node runs, but probably not as it was meant.
    Warning,
    /// The configuration cannot be used.
    Error,
}

impl Severity {
    /// The word that stands before the message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One finding. `Display` gives one line: `FILE:LINE:COLUMN: error: message (help)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// A stable word for programs: `unknown-option`, `dangling-reference` and so on, in kebab case.
    pub code: &'static str,
    /// Where.
    pub at: Location,
    /// What is wrong: a sentence without a full stop, control characters replaced.
    pub message: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

impl Diagnostic {
    /// What happens on the wire because of it, or at the start of the node; None only for a code that [`code`](crate::findings::code)
    /// does not know.
    pub fn effect(&self) -> Option<&'static str> {
        crate::findings::code(self.code).map(|code| code.effect)
    }

    /// How to mend it: in this case where that is known, else what helps in all cases.
    pub fn mend(&self) -> Option<&str> {
        let general = || crate::findings::code(self.code).map(|code| code.mend);
        self.help.as_deref().or_else(general)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.at, self.severity, self.message)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

/// The same with what a terminal would take for a command written out: names and values stand in messages as they were read.
fn printable(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let written = |char: char| match char.is_control() {
        true => char.escape_default().to_string(),
        false => char.to_string(),
    };
    text.chars().map(written).collect()
}

/// Collects the findings of one load: bounded, without repetitions, at last in the order of files and lines.
#[derive(Default)]
pub(crate) struct Findings {
    list: Vec<Diagnostic>,
    /// A line of a template is read once for each heir; what is wrong with it is said once.
    seen: HashSet<(Location, &'static str, String)>,
    /// Files, each with its place in the order in which they were opened.
    files: HashMap<Arc<str>, usize>,
    left_out: usize,
    errors_left_out: usize,
}

impl Findings {
    pub(crate) fn opened(&mut self, file: &Arc<str>) {
        let next = self.files.len();
        self.files.entry(Arc::clone(file)).or_insert(next);
    }

    /// Whether another diagnostic would be dropped: then what it costs to word it can be saved.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= MAX_DIAGNOSTICS
    }

    #[cfg(test)]
    pub(crate) fn is_empty_of_errors(&self) -> bool {
        self.list
            .iter()
            .all(|diagnostic| diagnostic.severity != Severity::Error)
    }

    pub(crate) fn error(&mut self, code: &'static str, at: &Location, message: impl Into<String>) {
        self.add(Severity::Error, code, at, message.into(), None);
    }

    pub(crate) fn error_with_help(
        &mut self,
        code: &'static str,
        at: &Location,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Error, code, at, message.into(), Some(help.into()));
    }

    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        at: &Location,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.add(Severity::Warning, code, at, message.into(), help);
    }

    pub(crate) fn note(&mut self, code: &'static str, at: &Location, message: impl Into<String>) {
        self.add(Severity::Note, code, at, message.into(), None);
    }

    pub(crate) fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        at: &Location,
        message: String,
        help: Option<String>,
    ) {
        debug_assert!(
            crate::findings::code(code).is_some(),
            "{code} is not in the table of codes"
        );
        if self.is_full() {
            self.left_out += 1;
            if severity == Severity::Error {
                self.errors_left_out += 1;
            }
            return;
        }
        let (message, help) = (printable(message), help.map(printable));
        if self.seen.insert((at.clone(), code, message.clone())) {
            self.list.push(Diagnostic {
                severity,
                code,
                at: at.clone(),
                message,
                help,
            });
        }
    }

    /// All findings in the order of files, lines and columns.
    pub(crate) fn finish(mut self, main: &Arc<str>) -> Vec<Diagnostic> {
        let order = |file: &Arc<str>| self.files.get(file).copied();
        self.list.sort_by_key(|diagnostic| {
            (
                order(&diagnostic.at.file),
                diagnostic.at.line,
                diagnostic.at.column,
            )
        });
        if self.left_out > 0 {
            let severity = if self.errors_left_out > 0 {
                Severity::Error
            } else {
                Severity::Note
            };
            self.list.push(Diagnostic {
                severity,
                code: "more",
                at: Location {
                    file: Arc::clone(main),
                    line: 0,
                    column: 0,
                },
                message: format!(
                    "{} more findings are not shown, {} of them errors",
                    self.left_out, self.errors_left_out
                ),
                help: None,
            });
        }
        self.list
    }
}

/// The user's own text in a message: in backquotes, control characters replaced, cut where it is long.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().min(MAX_QUOTE * 4) + 2);
    quoted.push('`');
    for (index, character) in text.chars().enumerate() {
        if index == MAX_QUOTE {
            quoted.push('\u{2026}');
            break;
        }
        quoted.push(if character.is_control() {
            '\u{fffd}'
        } else {
            character
        });
    }
    quoted.push('`');
    quoted
}
