//! Text -> sections with locations: the grammar of Asterisk's configuration files.
//!
//! Comments and their nesting, templates and inheritance, `(+)`, `+=`, escapes and includes are settled here; what an option means
//! is not known. What Asterisk answers by ending its reading of the file is an error here, after which reading goes on.

mod comment;
mod path;

use std::collections::HashMap;
use std::sync::Arc;

use crate::diagnostic::{Findings, Location, quote};
use crate::filter::Filter;
use crate::limits::{
    MAX_DIAGNOSTICS, MAX_FILE, MAX_FILES, MAX_INCLUDE_DEPTH, MAX_LINE, MAX_NEAREST_AMONG,
    MAX_OPTIONS, MAX_SECTION_OPTIONS, MAX_SECTIONS, MAX_STEPS, MAX_TOTAL, MAX_VALUE,
};
use crate::nearest::nearest;
use crate::source::Source;
use comment::{CommentError, Comments, Text};

/// One line `name = value`.
#[derive(Debug)]
pub(crate) struct Entry {
    /// As written, blanks around it dropped.
    pub(crate) name: String,
    /// As written, escapes of `;` undone, blanks around it dropped.
    pub(crate) value: String,
    /// Where the name stands.
    pub(crate) at: Location,
    /// Where the value stands.
    pub(crate) value_at: Location,
    /// Bytes that are no UTF-8 were replaced.
    pub(crate) replaced: bool,
    /// What a `;` directly behind the value made a comment.
    pub(crate) cut: Option<String>,
}

/// A line of a section, its own or inherited.
#[derive(Debug)]
pub(crate) struct SectionLine {
    pub(crate) entry: Arc<Entry>,
    /// Lines under the same header have the same number; None: inherited.
    pub(crate) body: Option<u32>,
}

/// `[name]` and what belongs to it.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    /// Where its first header stands.
    pub(crate) at: Location,
    pub(crate) template: bool,
    /// An error of its header hides lines that belong to it: what is missing is then no finding.
    pub(crate) incomplete: bool,
    pub(crate) lines: Vec<SectionLine>,
}

/// Reads the file and all that it includes.
pub(crate) fn read(path: &str, source: &mut dyn Source, findings: &mut Findings) -> Vec<Section> {
    let mut reader = Reader {
        source,
        findings,
        main: path.to_owned(),
        sections: Vec::new(),
        by_name: HashMap::new(),
        current: Current::None,
        bodies: 0,
        stack: Vec::new(),
        files: 0,
        bytes: 0,
        options: 0,
        steps: 0,
        unknown_templates: Vec::new(),
    };
    let file: Arc<str> = Arc::from(path);
    reader.findings.opened(&file);
    match reader.source.read(path) {
        Ok(content) => reader.file(path, content, None),
        Err(reason) => {
            let at = Location {
                file,
                line: 0,
                column: 0,
            };
            reader.findings.error(
                "unreadable",
                &at,
                format!("cannot be read: {}", plain(&reason)),
            );
        }
    }
    reader.finish()
}

/// A reason told by the source, on one line.
fn plain(reason: &str) -> String {
    reason
        .chars()
        .take(300)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[derive(Clone, Copy)]
enum Current {
    /// No header yet.
    None,
    /// Index of the section and the number of the body.
    Section(usize, u32),
    /// Under a header that is wrong: its lines belong nowhere, and saying so for each would hide the cause.
    Nowhere,
}

struct Reader<'a> {
    source: &'a mut dyn Source,
    findings: &'a mut Findings,
    main: String,
    sections: Vec<Section>,
    /// Lower-case name -> the sections that bear it, in order.
    by_name: HashMap<String, Vec<usize>>,
    current: Current,
    bodies: u32,
    /// The files that are being read, outermost first, in canonical spelling.
    stack: Vec<String>,
    files: usize,
    bytes: usize,
    options: usize,
    steps: usize,
    unknown_templates: Vec<(String, Location)>,
}

/// A line while it is read.
struct Line<'t> {
    file: &'t Arc<str>,
    number: u32,
    text: &'t Text,
}

impl Line<'_> {
    fn at(&self, index: usize) -> Location {
        Location {
            file: Arc::clone(self.file),
            line: self.number,
            column: self.text.column(index),
        }
    }

    /// The text of a range without the blanks around it, the index where it begins, and whether bytes were replaced.
    fn slice(&self, mut start: usize, mut end: usize) -> (String, usize, bool) {
        let bytes = &self.text.bytes;
        while start < end && bytes[start] <= b' ' {
            start += 1;
        }
        while end > start && bytes[end - 1] <= b' ' {
            end -= 1;
        }
        match std::str::from_utf8(&bytes[start..end]) {
            Ok(text) => (text.to_owned(), start, false),
            Err(_) => (
                String::from_utf8_lossy(&bytes[start..end]).into_owned(),
                start,
                true,
            ),
        }
    }

    fn find(&self, from: usize, wanted: u8) -> Option<usize> {
        self.text.bytes[from..]
            .iter()
            .position(|byte| *byte == wanted)
            .map(|offset| from + offset)
    }
}

impl Reader<'_> {
    fn file(&mut self, path: &str, content: Vec<u8>, from: Option<&Location>) {
        let file: Arc<str> = Arc::from(path);
        self.findings.opened(&file);
        let whole = Location {
            file: Arc::clone(&file),
            line: 0,
            column: 0,
        };
        self.files += 1;
        self.bytes = self.bytes.saturating_add(content.len());
        if content.len() > MAX_FILE || self.bytes > MAX_TOTAL {
            self.findings.error_with_help(
                "too-large",
                from.unwrap_or(&whole),
                format!("{} is too large", quote(path)),
                format!(
                    "a file may have {} MiB, all files together {} MiB",
                    MAX_FILE / 1024 / 1024,
                    MAX_TOTAL / 1024 / 1024
                ),
            );
            return;
        }
        self.stack.push(path::canonical(path));
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content);
        let mut comments = Comments::default();
        let mut number: u32 = 0;
        for raw in content.split(|byte| *byte == b'\n') {
            number = number.saturating_add(1);
            if raw.len() > MAX_LINE {
                let at = Location {
                    file: Arc::clone(&file),
                    line: number,
                    column: 1,
                };
                self.findings.error_with_help(
                    "line-too-long",
                    &at,
                    format!("the line has {} bytes", raw.len()),
                    format!("Asterisk reads lines of up to {MAX_LINE} bytes; `+=` continues a value on another line"),
                );
                continue;
            }
            let (text, error) = comments.strip(raw, number);
            match error {
                None => {}
                Some(CommentError::EndsNothing(column)) => {
                    let at = Location {
                        file: Arc::clone(&file),
                        line: number,
                        column,
                    };
                    self.findings.error_with_help(
                        "comment-end",
                        &at,
                        "`--;` ends a block comment where none is open",
                        "Asterisk passes over the rest of such a file; `;--` begins a block comment",
                    );
                }
                Some(CommentError::TooDeep(column)) => {
                    let at = Location {
                        file: Arc::clone(&file),
                        line: number,
                        column,
                    };
                    self.findings
                        .error("comment-depth", &at, "block comments nest too deep");
                }
            }
            self.line(&Line {
                file: &file,
                number,
                text: &text,
            });
        }
        for (line, column) in comments.open {
            let at = Location {
                file: Arc::clone(&file),
                line,
                column,
            };
            self.findings.error_with_help(
                "comment-open",
                &at,
                "the block comment that begins here does not end",
                "`--;` ends it",
            );
        }
        self.stack.pop();
    }

    fn line(&mut self, line: &Line<'_>) {
        let bytes = &line.text.bytes;
        let Some(start) = bytes.iter().position(|byte| *byte > b' ' || *byte == 0) else {
            return;
        };
        if let Some(index) = bytes.iter().position(|byte| *byte == 0) {
            self.findings
                .error("nul", &line.at(index), "a NUL byte stands in the line");
            return;
        }
        match bytes[start] {
            b'[' => self.header(line, start),
            b'#' => self.directive(line, start),
            _ => self.option(line, start),
        }
    }

    fn header(&mut self, line: &Line<'_>, start: usize) {
        let at = line.at(start);
        self.current = Current::Nowhere;
        let Some(close) = line.find(start, b']') else {
            self.findings.error(
                "missing-bracket",
                &at,
                "the section's name has no closing `]`",
            );
            return;
        };
        let (name, _, replaced) = line.slice(start + 1, close);
        if name.is_empty() {
            self.findings
                .error("empty-section-name", &at, "the section has no name");
            return;
        }
        if replaced {
            self.findings
                .error("not-utf-8", &at, "the section's name is not UTF-8");
        }
        let mut rest = close + 1;
        let mut items = None;
        if line.text.bytes.get(rest) == Some(&b'(') {
            let Some(end) = line.find(rest, b')') else {
                self.findings.error(
                    "missing-bracket",
                    &line.at(rest),
                    "the list of templates has no closing `)`",
                );
                return;
            };
            items = Some((rest + 1, end));
            rest = end + 1;
        }
        let (ignored, index, _) = line.slice(rest, line.text.bytes.len());
        if !ignored.is_empty() {
            let help = ignored
                .starts_with('(')
                .then(|| format!("write `[{name}]{ignored}` without the blank"));
            let message = format!(
                "{} behind the section's name is ignored, as Asterisk does",
                quote(&ignored)
            );
            self.findings
                .warning("text-after-header", &line.at(index), message, help);
        }
        self.section(line, name, at, items);
    }

    /// `items`: the range between the parentheses, if there are any.
    fn section(
        &mut self,
        line: &Line<'_>,
        name: String,
        at: Location,
        items: Option<(usize, usize)>,
    ) {
        self.bodies = self.bodies.saturating_add(1);
        let mut template = false;
        let mut incomplete = false;
        let mut onto = None;
        let mut bases = Vec::new();
        let mut from = items.map_or(0, |(start, _)| start);
        while let Some((_, end)) = items {
            if from > end {
                break;
            }
            let stop = line.find(from, b',').map_or(end, |comma| comma.min(end));
            let (item, index, _) = line.slice(from, stop);
            let item_at = line.at(index);
            from = stop + 1;
            if item == "!" {
                template = true;
            } else if let Some(filter) = item.strip_prefix('+') {
                match self.addressed(&name, filter, &item_at) {
                    Some(found) => onto = Some(found),
                    None => return,
                }
            } else if item.is_empty() {
                self.findings.warning(
                    "empty-template-name",
                    &item_at,
                    "an empty name of a template",
                    None,
                );
            } else if let Some(base) = self
                .by_name
                .get(&item.to_lowercase())
                .and_then(|found| found.first())
            {
                bases.push(*base);
            } else {
                incomplete = true;
                if self.unknown_templates.len() < MAX_DIAGNOSTICS {
                    self.unknown_templates.push((item, item_at));
                }
            }
        }
        let index = match onto {
            Some(index) => index,
            None => {
                if self.sections.len() == MAX_SECTIONS {
                    self.findings.error(
                        "too-large",
                        &at,
                        format!("more than {MAX_SECTIONS} sections"),
                    );
                    return;
                }
                self.by_name
                    .entry(name.to_lowercase())
                    .or_default()
                    .push(self.sections.len());
                self.sections.push(Section {
                    name,
                    at,
                    template,
                    incomplete: false,
                    lines: Vec::new(),
                });
                self.sections.len() - 1
            }
        };
        self.sections[index].incomplete |= incomplete;
        self.current = Current::Section(index, self.bodies);
        for base in bases {
            self.sections[index].incomplete |= self.sections[base].incomplete;
            let inherited: Vec<Arc<Entry>> = self.sections[base]
                .lines
                .iter()
                .map(|line| Arc::clone(&line.entry))
                .collect();
            for entry in inherited {
                if !self.push(index, entry, None) {
                    break;
                }
            }
        }
    }

    /// The section that `[name](+filter)` means: the first of that name whose options match.
    fn addressed(&mut self, name: &str, filter: &str, at: &Location) -> Option<usize> {
        let mut wanted = Vec::new();
        for part in filter.split('&').filter(|part| !part.trim().is_empty()) {
            // In Asterisk both sides are extended regular expressions, matched with case and not anchored.
            let parsed = part.split_once('=').map(|(name, value)| {
                (
                    Filter::parse_with_case(name.trim()),
                    Filter::parse_with_case(value.trim()),
                )
            });
            match parsed {
                Some((Ok(name), Ok(value))) => wanted.push((name, value)),
                Some((Err(error), _) | (_, Err(error))) => {
                    self.findings.error(
                        "section-filter",
                        at,
                        format!("{} is no pattern: {error}", quote(part)),
                    );
                    return None;
                }
                None => {
                    self.findings.error_with_help(
                        "section-filter",
                        at,
                        format!("{} has no `=`", quote(part)),
                        "as in `(+type=endpoint&context=internal)`",
                    );
                    return None;
                }
            }
        }
        let named = self
            .by_name
            .get(&name.to_lowercase())
            .cloned()
            .unwrap_or_default();
        let lines: usize = named
            .iter()
            .map(|index| self.sections[*index].lines.len() + 1)
            .sum();
        if !self.spend(lines.saturating_mul(wanted.len() + 1), at) {
            return None;
        }
        let matches = |section: &Section| {
            wanted.iter().all(|(name, value)| {
                section.lines.iter().any(|line| {
                    name.is_match(&line.entry.name) && value.is_match(&line.entry.value)
                })
            })
        };
        let found = |template: bool| {
            named.iter().copied().find(|index| {
                let section = &self.sections[*index];
                section.template == template && matches(section)
            })
        };
        if let Some(index) = found(false) {
            return Some(index);
        }
        if let Some(index) = found(true) {
            self.findings.warning(
                "adds-to-template",
                at,
                format!(
                    "{} is a template; Asterisk adds to sections only",
                    quote(name)
                ),
                None,
            );
            return Some(index);
        }
        let message = match named.first() {
            Some(index) => format!(
                "no section {} with such options stands before (one of that name is at line {} of {})",
                quote(name),
                self.sections[*index].at.line,
                self.sections[*index].at.file
            ),
            None => format!("no section {} stands before", quote(name)),
        };
        let help = self.nearest_section(name).map_or_else(
            || "without `(+)` it is a new section".to_owned(),
            |near| format!("did you mean {}?", quote(&near)),
        );
        self.findings
            .error_with_help("unknown-section", at, message, help);
        None
    }

    fn nearest_section(&self, name: &str) -> Option<String> {
        if self.findings.is_full() {
            return None;
        }
        let others = self
            .sections
            .iter()
            .take(MAX_NEAREST_AMONG)
            .map(|section| section.name.as_str());
        nearest(
            name,
            others.filter(|other| !other.eq_ignore_ascii_case(name)),
        )
        .map(str::to_owned)
    }

    fn directive(&mut self, line: &Line<'_>, start: usize) {
        let bytes = &line.text.bytes;
        let at = line.at(start);
        let end = bytes[start..]
            .iter()
            .position(|byte| *byte <= b' ')
            .map_or(bytes.len(), |offset| start + offset);
        let (word, _, _) = line.slice(start + 1, end);
        let (argument, index, replaced) = line.slice(end, bytes.len());
        let must_exist = match word.to_ascii_lowercase().as_str() {
            "include" => true,
            "tryinclude" => false,
            "exec" => {
                self.findings.error_with_help(
                    "exec",
                    &at,
                    "`#exec` is not done: Lampwire runs no program to read its configuration",
                    "write what the program prints into a file and `#include` that",
                );
                return;
            }
            _ => {
                let help = match nearest(&word, ["include", "tryinclude"]) {
                    Some(near) => format!("did you mean `#{near}`?"),
                    None => {
                        "there are `#include` and `#tryinclude`; comments begin with `;`".to_owned()
                    }
                };
                let message = format!("unknown directive {}", quote(&format!("#{word}")));
                self.findings
                    .error_with_help("unknown-directive", &at, message, help);
                return;
            }
        };
        let name = match argument.as_bytes() {
            [b'"', .., b'"'] | [b'<', .., b'>'] => &argument[1..argument.len() - 1],
            _ => argument.as_str(),
        };
        if name.is_empty() || replaced {
            self.findings.error(
                "include-name",
                &at,
                format!("`#{word}` needs the name of a file in UTF-8"),
            );
            return;
        }
        self.include(name, line.file, &line.at(index), must_exist);
    }

    fn include(&mut self, name: &str, including: &str, at: &Location, must_exist: bool) {
        if self.stack.len() > MAX_INCLUDE_DEPTH {
            self.findings.error(
                "include-depth",
                at,
                format!(
                    "includes nest deeper than {MAX_INCLUDE_DEPTH}: {} is not read",
                    quote(name)
                ),
            );
            return;
        }
        let mut candidates = vec![path::beside(including, name)];
        let beside_first = path::beside(&self.main, name);
        if !candidates.contains(&beside_first) {
            candidates.push(beside_first);
        }
        if path::is_pattern(name) {
            for candidate in &candidates {
                match self.source.glob(candidate) {
                    Ok(paths) if paths.is_empty() => {}
                    Ok(paths) => {
                        for path in paths {
                            self.include_one(&[path], at, must_exist);
                        }
                        return;
                    }
                    Err(reason) => {
                        let message = format!(
                            "{} cannot be looked up: {}",
                            quote(candidate),
                            plain(&reason)
                        );
                        self.findings.error("include", at, message);
                        return;
                    }
                }
            }
            if must_exist {
                let message = format!("{} matches no file", quote(&candidates[0]));
                let help = "`#tryinclude` does not mind".to_owned();
                self.findings
                    .warning("include-nothing", at, message, Some(help));
            }
        } else {
            self.include_one(&candidates, at, must_exist);
        }
    }

    /// Reads the first of the candidates that can be read.
    fn include_one(&mut self, candidates: &[String], at: &Location, must_exist: bool) {
        let mut first_reason = None;
        for path in candidates {
            let key = path::canonical(path);
            if let Some(position) = self.stack.iter().position(|open| *open == key) {
                let chain = self.stack[position..]
                    .iter()
                    .chain([&key])
                    .map(|name| quote(name))
                    .collect::<Vec<_>>();
                self.findings.error(
                    "include-cycle",
                    at,
                    format!("the file includes itself: {}", chain.join(" -> ")),
                );
                return;
            }
            if self.files == MAX_FILES {
                self.findings.error(
                    "include-count",
                    at,
                    format!("more than {MAX_FILES} files are included"),
                );
                return;
            }
            match self.source.read(path) {
                Ok(content) => {
                    self.file(path, content, Some(at));
                    return;
                }
                Err(reason) => {
                    first_reason.get_or_insert((path, reason));
                }
            }
        }
        if let (true, Some((path, reason))) = (must_exist, first_reason) {
            let message = format!("{} cannot be read: {}", quote(path), plain(&reason));
            self.findings.error("include", at, message);
        }
    }

    fn option(&mut self, line: &Line<'_>, start: usize) {
        let bytes = &line.text.bytes;
        let at = line.at(start);
        let section = match self.current {
            Current::Section(index, body) => Some((index, body)),
            Current::None => {
                self.findings.error_with_help(
                    "outside-section",
                    &at,
                    "the line stands before the first section",
                    "a section begins with `[name]`",
                );
                None
            }
            Current::Nowhere => None,
        };
        // A backslash keeps a first character that would mean something: `\[a] = b`, `\#a = b`.
        let start = if bytes[start] == b'\\' {
            start + 1
        } else {
            start
        };
        let Some(equals) = line.find(start, b'=') else {
            if section.is_some() {
                let (text, _, _) = line.slice(start, bytes.len());
                self.findings.error_with_help(
                    "missing-equals",
                    &at,
                    format!("{} is no option, for it has no `=`", quote(&text)),
                    "write `name = value`; comments begin with `;`",
                );
            }
            return;
        };
        let Some((section, body)) = section else {
            return;
        };
        let append = equals > start && bytes[equals - 1] == b'+';
        let (name, _, name_replaced) = line.slice(start, if append { equals - 1 } else { equals });
        let value_start = if bytes.get(equals + 1) == Some(&b'>') {
            equals + 2
        } else {
            equals + 1
        };
        let (mut value, value_index, value_replaced) = line.slice(value_start, bytes.len());
        if name.is_empty() {
            self.findings
                .error("missing-name", &at, "no name stands before the `=`");
            return;
        }
        let value_at = line.at(value_index);
        let replaced = name_replaced || value_replaced;
        let cut = line.text.cut.clone();
        if append {
            if !self.spend(self.sections[section].lines.len(), &at) {
                return;
            }
            let earlier = self.sections[section]
                .lines
                .iter_mut()
                .rev()
                .find(|earlier| earlier.entry.name.eq_ignore_ascii_case(&name));
            if let Some(earlier) = earlier {
                self.bytes = self.bytes.saturating_add(earlier.entry.value.len());
                if earlier.entry.value.len() + value.len() > MAX_VALUE || self.bytes > MAX_TOTAL {
                    self.findings.error(
                        "too-large",
                        &value_at,
                        format!("the value of {} is too long", quote(&name)),
                    );
                    return;
                }
                value.insert_str(0, &earlier.entry.value);
                let replaced = replaced || earlier.entry.replaced;
                earlier.entry = Arc::new(Entry {
                    name,
                    value,
                    at,
                    value_at,
                    replaced,
                    cut,
                });
                return;
            }
        }
        self.push(
            section,
            Arc::new(Entry {
                name,
                value,
                at,
                value_at,
                replaced,
                cut,
            }),
            Some(body),
        );
    }

    /// False: too much has been searched for `+=` and `(+...)`, and that has been said.
    fn spend(&mut self, steps: usize, at: &Location) -> bool {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MAX_STEPS {
            self.findings
                .error("too-large", at, "too many `+=` and `(+)` in long sections");
        }
        self.steps <= MAX_STEPS
    }

    /// False: a bound is reached, and that has been said.
    fn push(&mut self, section: usize, entry: Arc<Entry>, body: Option<u32>) -> bool {
        let section = &mut self.sections[section];
        if section.lines.len() == MAX_SECTION_OPTIONS {
            self.findings.error(
                "too-large",
                &section.at,
                format!(
                    "section {} has more than {MAX_SECTION_OPTIONS} lines",
                    quote(&section.name)
                ),
            );
            return false;
        }
        if self.options == MAX_OPTIONS {
            self.findings.error(
                "too-large",
                &section.at,
                format!("more than {MAX_OPTIONS} options, inherited ones counted in each heir"),
            );
            return false;
        }
        self.options += 1;
        section.lines.push(SectionLine { entry, body });
        true
    }

    fn finish(mut self) -> Vec<Section> {
        for (name, at) in std::mem::take(&mut self.unknown_templates) {
            let later = self
                .by_name
                .get(&name.to_lowercase())
                .and_then(|found| found.first());
            let help = match later {
                Some(index) => {
                    let place = &self.sections[*index].at;
                    Some(format!(
                        "it stands at line {} of {}, and must stand before its heirs",
                        place.line, place.file
                    ))
                }
                None => self
                    .nearest_section(&name)
                    .map(|near| format!("did you mean {}?", quote(&near))),
            };
            let message = format!("no template or section {} stands before", quote(&name));
            self.findings.add(
                crate::Severity::Error,
                "unknown-template",
                &at,
                message,
                help,
            );
        }
        self.sections
    }
}
