//! Findings for people: by file, with what happens and how to mend it below, and a table of who tells whom what.

use std::collections::HashSet;
use std::io::{self, IsTerminal, Write};

use lampwire_conf::check::{Instance, Verdict, Web};
use lampwire_conf::{Diagnostic, Severity};
use lampwire_sip::EventPackage;

use super::{are_several, count};
use crate::cli::table::Table;

/// Lines are broken before this column.
const WIDTH: usize = 110;
/// What stands below a finding begins with one of these.
const EFFECT: &str = "    on the wire  ";
const MEND: &str = "    to mend it   ";
/// More links than these are told only where something is wrong with them.
const LINKS_SHOWN: usize = 40;

/// Whether colours are wanted on standard output.
pub(super) fn stdout() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// The same of standard error.
pub(super) fn stderr() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Writes the findings, the table and a sum.
pub(super) fn write(
    out: &mut impl Write,
    instances: &[Instance],
    web: &Web,
    colour: bool,
) -> io::Result<()> {
    let mut file = None;
    let mut told = HashSet::new();
    for found in &web.findings {
        if file.replace(&found.at.file) != Some(&found.at.file) && !told.is_empty() {
            writeln!(out)?;
        }
        finding(out, found, told.insert(found.code), colour)?;
    }
    if are_several(instances, web) {
        if !web.findings.is_empty() {
            writeln!(out)?;
        }
        links(out, instances, web, colour)?;
    }
    if !web.findings.is_empty() || instances.len() > 1 {
        writeln!(out)?;
    }
    let what = match instances {
        [one] => one.name.clone(),
        several => format!("{} instances", several.len()),
    };
    writeln!(
        out,
        "{what}: {}",
        crate::configuration::count(&web.findings)
    )
}

/// One finding; what happens because of its code is told at the first of each code.
fn finding(out: &mut impl Write, found: &Diagnostic, first: bool, colour: bool) -> io::Result<()> {
    let severity = found.severity.as_str();
    let (on, off) = match (colour, found.severity) {
        (false, _) => ("", ""),
        (true, Severity::Error) => ("\x1b[31;1m", "\x1b[0m"),
        (true, Severity::Warning) => ("\x1b[33;1m", "\x1b[0m"),
        (true, Severity::Note) => ("\x1b[36m", "\x1b[0m"),
    };
    writeln!(
        out,
        "{}: {on}{severity}{off}: {} [{}]",
        found.at, found.message, found.code
    )?;
    let says = |text: &&str| *text != "nothing";
    if let Some(effect) = found.effect().filter(|_| first).filter(says) {
        wrapped(out, EFFECT, effect)?;
    }
    if let Some(mend) = found
        .mend()
        .filter(|_| first || found.help.is_some())
        .filter(says)
    {
        wrapped(out, MEND, mend)?;
    }
    Ok(())
}

/// A text behind a head, broken at blanks, each line as far in as the first.
fn wrapped(out: &mut impl Write, head: &str, text: &str) -> io::Result<()> {
    let mut line = head.to_owned();
    let indent = head.chars().count();
    let mut column = indent;
    for word in text.split(' ') {
        let width = word.chars().count();
        if column > indent && column + 1 + width > WIDTH {
            writeln!(out, "{line}")?;
            line = " ".repeat(indent);
            column = indent;
        }
        if column > indent {
            line.push(' ');
            column += 1;
        }
        line.push_str(word);
        column += width;
    }
    writeln!(out, "{line}")
}

fn links(out: &mut impl Write, instances: &[Instance], web: &Web, colour: bool) -> io::Result<()> {
    let all = web.links.len() <= LINKS_SHOWN;
    let shown = web
        .links
        .iter()
        .filter(|link| all || link.verdict != Verdict::Works);
    let name = |index: usize| {
        instances
            .get(index)
            .map_or_else(String::new, |it| it.name.clone())
    };
    let filter = |text: &Option<String>| text.clone().unwrap_or_else(|| "all".to_owned());
    let rows: Vec<Vec<String>> = shown
        .map(|link| {
            let what = match link.event {
                EventPackage::DeviceState => "devices",
                EventPackage::Mwi => "mailboxes",
            };
            let result = match link.verdict {
                Verdict::Works => "arrives",
                Verdict::Unknown => "cannot be said",
                Verdict::Filtered(code) | Verdict::Fails(code) => code,
            };
            vec![
                name(link.from),
                name(link.to),
                what.to_owned(),
                filter(&link.sends),
                filter(&link.takes),
                result.to_owned(),
            ]
        })
        .collect();
    if rows.is_empty() {
        let works = count(&web.findings, Severity::Error) == 0;
        debug_assert!(works || !web.findings.is_empty());
        return writeln!(
            out,
            "all {} links between the instances work",
            web.links.len()
        );
    }
    Table::new(&["FROM", "TO", "WHAT", "SENDS", "TAKES", "RESULT"], colour).print(out, &rows)
}
