//! Sections -> typed settings, one file per section type. What they share stands here: how options are taken from a section,
//! and what is remembered until all sections are read.

pub(crate) mod acl;
pub(crate) mod ami;
pub(crate) mod api_client;
pub(crate) mod asterisk_publication;
pub(crate) mod auth;
pub(crate) mod cluster;
pub(crate) mod endpoint;
pub(crate) mod global;
pub(crate) mod identify;
pub(crate) mod inbound_publication;
pub(crate) mod lampwire;
pub(crate) mod outbound_publish;
pub(crate) mod rewrite;
pub(crate) mod system;
pub(crate) mod transport;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use lampwire_sip::{Algorithm, EntityId, Host, Scheme, Uri};

use crate::Severity;
use crate::diagnostic::{Findings, quote};
use crate::filter::{Filter, FilterError};
use crate::grammar::{Entry, Section, SectionLine};
use crate::nearest::nearest;
use crate::options::{Effect, SectionSpec, advice};
use crate::secret::Secret;
use crate::source::Source;
use crate::value::{self, ALGORITHMS, Rule};

/// A name that must be that of another section.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) name: String,
    /// The option that names it.
    pub(crate) option: &'static str,
    pub(crate) at: crate::Location,
    /// The type that the section must have.
    pub(crate) wanted: &'static str,
    /// Another that will do.
    pub(crate) or: Option<&'static str>,
    /// What it is when there is none.
    pub(crate) missing: Severity,
    /// What it is when there is one that does not concern the exchange; None: nothing.
    pub(crate) skipped: Option<Severity>,
}

/// What all sections of a load share.
pub(crate) struct Context<'a> {
    pub(crate) findings: &'a mut Findings,
    pub(crate) source: &'a mut dyn Source,
    pub(crate) references: Vec<Reference>,
    /// (type, name) of sections of our types that are passed over -> why.
    pub(crate) skipped: HashMap<(&'static str, String), String>,
}

/// The options of one section while they are taken from it.
pub(crate) struct Options<'a, 'c> {
    pub(crate) section: &'a Section,
    spec: &'static SectionSpec,
    /// The section's lines by their place in the type's table.
    lines: Vec<Vec<&'a SectionLine>>,
    /// Lines under an open prefix that is no option of the table.
    pub(crate) open: Vec<&'a Entry>,
    pub(crate) context: &'a mut Context<'c>,
    #[cfg(test)]
    pub(crate) taken: std::collections::BTreeSet<&'static str>,
}

impl<'a, 'c> Options<'a, 'c> {
    /// Sorts the lines of the section by option, and reports those that are none.
    pub(crate) fn new(
        section: &'a Section,
        spec: &'static SectionSpec,
        context: &'a mut Context<'c>,
    ) -> Self {
        let mut lines: Vec<Vec<&SectionLine>> = vec![Vec::new(); spec.options.len()];
        let mut open = Vec::new();
        for line in &section.lines {
            let entry = &*line.entry;
            match spec.position(&entry.name) {
                Some(index) => {
                    lines[index].push(line);
                    if spec.options[index].effect == Effect::Acts {
                        check_text(entry, context.findings);
                    }
                }
                None if entry.name.eq_ignore_ascii_case("type") => {}
                None if begins_with(&entry.name, spec.open_prefix) => open.push(entry),
                None => unknown_option(spec, entry, context.findings),
            }
        }
        Self {
            section,
            spec,
            lines,
            open,
            context,
            #[cfg(test)]
            taken: std::collections::BTreeSet::new(),
        }
    }

    fn lines(&mut self, name: &'static str) -> &[&'a SectionLine] {
        debug_assert!(
            self.spec.position(name).is_some(),
            "{name} is no option of {}",
            self.spec.name
        );
        #[cfg(test)]
        self.taken.insert(name);
        match self.spec.position(name) {
            Some(index) => &self.lines[index],
            None => &[],
        }
    }

    /// The line that counts of an option of which the last one wins.
    pub(crate) fn last(&mut self, name: &'static str) -> Option<&'a Entry> {
        let lines = self.lines(name);
        let last = *lines.last()?;
        let before = lines.len().checked_sub(2).map(|index| lines[index]);
        // A template or a `(+)` overrides on purpose; twice under one header does not.
        if let Some(before) =
            before.filter(|before| before.body.is_some() && before.body == last.body)
        {
            let message = format!(
                "`{name}` stands twice in {}; the last one counts",
                quote(&self.section.name)
            );
            let help = Some(format!("the other is at line {}", before.entry.at.line));
            self.context
                .findings
                .warning("repeated-option", &last.entry.at, message, help);
        }
        Some(&last.entry)
    }

    /// All lines of an option of which several add up.
    pub(crate) fn all(&mut self, name: &'static str) -> Vec<&'a Entry> {
        self.lines(name).iter().map(|line| &*line.entry).collect()
    }

    /// The lines of several options as they stand in the file.
    pub(crate) fn in_order(&mut self, names: &[&'static str]) -> Vec<(&'static str, &'a Entry)> {
        for name in names {
            self.lines(name);
        }
        let section = self.section;
        section
            .lines
            .iter()
            .filter_map(|line| {
                let name = names
                    .iter()
                    .find(|name| line.entry.name.eq_ignore_ascii_case(name))?;
                Some((*name, &*line.entry))
            })
            .collect()
    }

    pub(crate) fn error(
        &mut self,
        code: &'static str,
        entry: &Entry,
        message: impl Into<String>,
        help: &str,
    ) {
        let help = (!help.is_empty()).then(|| help.to_owned());
        self.context
            .findings
            .add(Severity::Error, code, &entry.value_at, message.into(), help);
    }

    /// Like [`Options::error`], at a part of the value.
    pub(crate) fn error_at(
        &mut self,
        code: &'static str,
        entry: &Entry,
        part: &str,
        message: impl Into<String>,
        help: &str,
    ) {
        self.context
            .findings
            .error_with_help(code, &place(entry, part), message, help);
    }

    /// A value that is not what the option takes.
    pub(crate) fn bad_value(&mut self, entry: &Entry, option: &str, takes: &str) {
        let message = format!("{} is no value of `{option}`", quote(&entry.value));
        self.error("bad-value", entry, message, takes);
    }

    /// An option without which the section is nothing.
    pub(crate) fn missing(&mut self, option: &str, example: &str) {
        let message = format!("{} has no `{option}`", quote(&self.section.name));
        self.context.findings.error_with_help(
            "missing-option",
            &self.section.at,
            message,
            format!(
                "a section of type={} needs it, as in `{option}={example}`",
                self.spec.name
            ),
        );
    }

    fn default_of(&self, name: &str) -> Option<&'static str> {
        self.spec
            .position(name)
            .and_then(|index| self.spec.options[index].default)
    }

    /// The value; None where it is not given or empty.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        self.last(name)
            .map(|entry| entry.value.clone())
            .filter(|value| !value.is_empty())
    }

    pub(crate) fn boolean(&mut self, name: &'static str) -> bool {
        let default = self
            .default_of(name)
            .and_then(value::boolean)
            .unwrap_or(false);
        let Some(entry) = self.last(name) else {
            return default;
        };
        value::boolean(&entry.value).unwrap_or_else(|| {
            self.bad_value(entry, name, "yes or no");
            default
        })
    }

    /// A whole number in the range; the table's default where it is not given or wrong.
    pub(crate) fn number<T: TryFrom<u64> + Copy + Into<u64>>(
        &mut self,
        name: &'static str,
        range: RangeInclusive<T>,
    ) -> T {
        let default = self
            .default_of(name)
            .and_then(|text| text.parse::<u64>().ok()?.try_into().ok());
        let default = default.unwrap_or(*range.start());
        let Some(entry) = self.last(name) else {
            return default;
        };
        let (low, high): (u64, u64) = ((*range.start()).into(), (*range.end()).into());
        let parsed = entry
            .value
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| entry.value.parse::<u64>().ok());
        match parsed
            .flatten()
            .filter(|number| (low..=high).contains(number))
            .and_then(|n| T::try_from(n).ok())
        {
            Some(number) => number,
            None => {
                self.bad_value(entry, name, &format!("a whole number from {low} to {high}"));
                default
            }
        }
    }

    pub(crate) fn seconds(&mut self, name: &'static str, range: RangeInclusive<u32>) -> Duration {
        Duration::from_secs(u64::from(self.number(name, range)))
    }

    pub(crate) fn milliseconds(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u32>,
    ) -> Duration {
        Duration::from_millis(u64::from(self.number(name, range)))
    }

    /// One of these words, without case.
    pub(crate) fn word<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&str, T)],
        default: T,
    ) -> T {
        let Some(entry) = self.last(name) else {
            return default;
        };
        match words
            .iter()
            .find(|(word, _)| entry.value.eq_ignore_ascii_case(word))
        {
            Some((_, value)) => *value,
            None => {
                let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                self.bad_value(entry, name, &one_of(&entry.value, &names));
                default
            }
        }
    }

    /// A comma separated list of these words, each once; None where it is not given.
    pub(crate) fn words<T: Copy + PartialEq>(
        &mut self,
        name: &'static str,
        words: &[(&str, T)],
    ) -> Option<Vec<T>> {
        let entry = self.last(name)?;
        let mut found = Vec::new();
        for item in value::items(&entry.value) {
            match words
                .iter()
                .find(|(word, _)| item.eq_ignore_ascii_case(word))
            {
                Some((_, value)) if found.contains(value) => {}
                Some((_, value)) => found.push(*value),
                None => {
                    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                    let message = format!("{} is no value of `{name}`", quote(item));
                    self.error_at("bad-value", entry, item, message, &one_of(item, &names));
                }
            }
        }
        if found.is_empty() && value::items(&entry.value).next().is_none() {
            return None;
        }
        Some(found)
    }

    /// A list of digest algorithms; None where it is not given.
    pub(crate) fn algorithms(&mut self, name: &'static str) -> Option<Vec<Algorithm>> {
        self.words(name, &ALGORITHMS)
    }

    /// A filter; None where it is not given or empty, which lets everything pass.
    pub(crate) fn filter(&mut self, name: &'static str) -> Option<Filter> {
        let entry = self.last(name)?;
        if entry.value.is_empty() {
            return None;
        }
        match Filter::parse(&entry.value) {
            Ok(filter) => {
                self.habits(entry, name);
                Some(filter)
            }
            Err(error) => {
                self.pattern_error(entry, name, &entry.value, &error);
                None
            }
        }
    }

    /// A filter that passes more than its looks say.
    fn habits(&mut self, entry: &Entry, name: &str) {
        let pattern = entry.value.as_str();
        let findings = &mut *self.context.findings;
        let literal = |c: char| c.is_alphanumeric() || c == '/' || c == ':';
        if !pattern.contains(['^', '$']) && pattern.starts_with(literal) {
            let message = format!("{} in `{name}` is not anchored", quote(pattern));
            let help = if pattern.contains('|') {
                format!("`^({pattern})` if the start of the name is meant")
            } else {
                format!("`^{pattern}` if the start of the name is meant")
            };
            findings.warning("unanchored-filter", &entry.value_at, message, Some(help));
        }
        let body = pattern.strip_suffix('$').unwrap_or(pattern);
        if let Some(before) = body.strip_suffix('*')
            && before.ends_with(literal)
        {
            let message = format!(
                "the `*` of {} in `{name}` repeats what stands before it",
                quote(pattern)
            );
            let help = Some(format!("`{before}` is the start of the name"));
            findings.warning("filter-glob", &entry.value_at, message, help);
        }
    }

    /// A pattern that does not compile; it must be a slice of the value.
    pub(crate) fn pattern_error(
        &mut self,
        entry: &Entry,
        name: &str,
        pattern: &str,
        error: &FilterError,
    ) {
        let at = place(entry, pattern.get(error.offset..).unwrap_or(pattern));
        self.context.findings.error_with_help(
            "bad-filter",
            &at,
            format!("the pattern of `{name}` does not compile: {error}"),
            "patterns are POSIX extended regular expressions",
        );
    }

    /// A secret: the value itself, or what stands in the file that `@` names. None where it is not given, empty or unreadable.
    pub(crate) fn secret(&mut self, name: &'static str) -> Option<Secret> {
        let entry = self.last(name).filter(|entry| !entry.value.is_empty())?;
        let secret = match entry.value.strip_prefix('@') {
            None => Secret::new(entry.value.as_str()),
            Some(path) => match self.context.source.read(path) {
                Ok(bytes) => {
                    let bytes = Secret::new(String::from_utf8_lossy(&bytes));
                    Secret::new(bytes.expose().trim_end_matches(['\r', '\n']))
                }
                Err(reason) => {
                    let reason: String = reason.chars().take(300).collect();
                    let message = format!("`{name}`: {} cannot be read: {reason}", quote(path));
                    self.error("unreadable", entry, message, "");
                    return None;
                }
            },
        };
        if secret.expose().is_empty() {
            let message = format!("the file of `{name}` is empty");
            self.error("bad-token", entry, message, "");
            return None;
        }
        Some(secret)
    }

    /// A bearer token, read as a secret is.
    pub(crate) fn token(&mut self, name: &'static str) -> Option<Secret> {
        let token = self.secret(name)?;
        // RFC 6750 section 2.1: a token that cannot stand in an Authorization header could never be right.
        if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = format!("`{name}` has blanks or other than ASCII characters in it");
            if let Some(entry) = self.last(name) {
                self.error("bad-token", entry, message, "");
            }
            return None;
        }
        Some(token)
    }

    /// An entity id; None where it is not given or wrong.
    pub(crate) fn entity_id(&mut self, name: &'static str) -> Option<EntityId> {
        let entry = self.last(name).filter(|entry| !entry.value.is_empty())?;
        let parsed = entry.value.parse().ok();
        if parsed.is_none() {
            self.bad_value(entry, name, "six bytes in hex, as in 02:00:00:00:00:01");
        }
        parsed
    }

    /// A sip: or sips: URI with a host; None where it is not given or wrong.
    pub(crate) fn uri(&mut self, name: &'static str) -> Option<String> {
        let entry = self.last(name).filter(|entry| !entry.value.is_empty())?;
        match sip_uri(&entry.value) {
            Ok(_) => Some(entry.value.clone()),
            Err(why) => {
                let message = format!("{} is no value of `{name}`: {why}", quote(&entry.value));
                self.error("bad-uri", entry, message, "as in `sip:instance1@192.0.2.1`");
                None
            }
        }
    }

    /// The name of one section of type `wanted`; it must exist.
    pub(crate) fn reference(&mut self, name: &'static str, wanted: &'static str) -> Option<String> {
        let entry = self.last(name).filter(|entry| !entry.value.is_empty())?;
        self.refer(
            name,
            entry,
            &entry.value,
            wanted,
            Severity::Error,
            Some(Severity::Error),
        );
        Some(entry.value.clone())
    }

    /// The names of sections of type `wanted`, comma separated, several lines adding up, each once.
    pub(crate) fn references(
        &mut self,
        name: &'static str,
        wanted: &'static str,
        skipped: Option<Severity>,
    ) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for entry in self.all(name) {
            for item in value::items(&entry.value) {
                self.refer(name, entry, item, wanted, Severity::Error, skipped);
                if !names.iter().any(|known| known == item) {
                    names.push(item.to_owned());
                }
            }
        }
        names
    }

    pub(crate) fn refer(
        &mut self,
        option: &'static str,
        entry: &Entry,
        name: &str,
        wanted: &'static str,
        missing: Severity,
        skipped: Option<Severity>,
    ) {
        let at = place(entry, name);
        let name = name.to_owned();
        self.context.references.push(Reference {
            name,
            option,
            at,
            wanted,
            or: None,
            missing,
            skipped,
        });
    }

    /// A section of one of two types, which must exist.
    pub(crate) fn refer_to_either(
        &mut self,
        option: &'static str,
        entry: &Entry,
        wanted: &'static str,
        or: &'static str,
    ) {
        self.refer(option, entry, &entry.value, wanted, Severity::Error, None);
        if let Some(reference) = self.context.references.last_mut() {
            reference.or = Some(or);
        }
    }

    /// Lines of `permit` and `deny` in the order of the file; `!` before an address turns its meaning round.
    pub(crate) fn rules(&mut self) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (option, entry) in self.in_order(&["permit", "deny"]) {
            for item in value::items(&entry.value) {
                match Rule::parse(option == "permit", item) {
                    Ok(rule) => rules.push(rule),
                    Err(why) => {
                        let message = format!("{} in `{option}` {why}", quote(item));
                        self.error_at("bad-network", entry, item, message, NETWORK_HELP);
                    }
                }
            }
        }
        rules
    }

    /// Passes the section over: names that refer to it are told so.
    pub(crate) fn skip(&mut self, at: &crate::Location, why: &str) {
        let message = format!("{} is skipped: {why}", quote(&self.section.name));
        self.context.findings.note("section-skipped", at, message);
        self.context
            .skipped
            .insert((self.spec.name, self.section.name.clone()), why.to_owned());
    }
}

/// Where a part of the value stands; `part` must be a slice of it. Behind an escape of `;` or an `+=` it is only near.
pub(crate) fn place(entry: &Entry, part: &str) -> crate::Location {
    let mut at = entry.value_at.clone();
    let offset = (part.as_ptr() as usize).saturating_sub(entry.value.as_ptr() as usize);
    let before = entry
        .value
        .get(..offset)
        .map_or(0, |text| text.chars().count());
    at.column = at.column.saturating_add(u32::try_from(before).unwrap_or(0));
    at
}

/// How networks are written.
pub(crate) const NETWORK_HELP: &str =
    "as in `192.0.2.1`, `192.0.2.0/24`, `192.0.2.0/255.255.255.0` or `2001:db8::/32`";

/// The nearest of the words to a wrong one, or all of them.
pub(crate) fn one_of(wrong: &str, words: &[&str]) -> String {
    match nearest(wrong, words.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("one of {}", words.join(", ")),
    }
}

/// A sip: or sips: URI that a request can be sent to. Err: what is wrong with it.
pub(crate) fn sip_uri(text: &str) -> Result<Uri<'_>, &'static str> {
    if text
        .chars()
        .any(|character| character.is_whitespace() || character.is_control())
    {
        return Err("it has a blank in it");
    }
    if text.contains(['<', '>']) {
        return Err("angle brackets do not belong to it");
    }
    let uri = Uri::parse(text).map_err(|_| "it is no URI")?;
    match uri.scheme {
        Scheme::Sip | Scheme::Sips => {}
        Scheme::Tel | Scheme::Other(_) => return Err("it must begin with sip: or sips:"),
    }
    match uri.host {
        Host::Name("") => Err("it has no host"),
        Host::Name(_) | Host::V4(_) | Host::V6(_) => Ok(uri),
    }
}

fn begins_with(name: &str, prefix: Option<&str>) -> bool {
    prefix.is_some_and(|prefix| {
        name.get(..prefix.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    })
}

fn check_text(entry: &Entry, findings: &mut Findings) {
    if entry.replaced {
        let message = format!("the value of {} is not UTF-8", quote(&entry.name));
        findings.error("not-utf-8", &entry.value_at, message);
    }
    if let Some(cut) = &entry.cut {
        // What follows belongs to a secret, maybe, and is not repeated.
        if ["password", "http_token", "secret", "token"]
            .iter()
            .any(|secret| entry.name.eq_ignore_ascii_case(secret))
        {
            findings.warning(
                "comment-in-secret",
                &entry.value_at,
                format!("`{}` ends at its `;`, which begins a comment", entry.name),
                Some("write `\\;` where a semicolon belongs to the value, or a blank before the comment".to_owned()),
            );
            return;
        }
        let word = cut
            .split(|c: char| !c.is_ascii_alphanumeric())
            .next()
            .unwrap_or_default();
        let is_parameter = ["transport", "lr", "user", "maddr", "ttl", "method"]
            .iter()
            .any(|parameter| word.eq_ignore_ascii_case(parameter));
        if is_parameter {
            let rest = cut.trim_end();
            findings.warning(
                "comment-in-uri",
                &entry.value_at,
                format!(
                    "{} is read as a comment, not as part of `{}`",
                    quote(&format!(";{rest}")),
                    entry.name
                ),
                Some("write `\\;` where a semicolon belongs to the value".to_owned()),
            );
        }
    }
}

fn unknown_option(spec: &SectionSpec, entry: &Entry, findings: &mut Findings) {
    if findings.is_full() {
        findings.error("unknown-option", &entry.at, "unknown option");
        return;
    }
    let help = advice(spec, &entry.name);
    if entry.name.starts_with('@') {
        // Asterisk keeps any of them beside the object, so one that is none of ours may be somebody else's.
        let message = format!(
            "{} is no option of ours on type={}",
            quote(&entry.name),
            spec.name
        );
        match help {
            Some(help) => {
                findings.warning("unknown-extended-option", &entry.at, message, Some(help));
            }
            None => findings.note(
                "unknown-extended-option",
                &entry.at,
                format!("{message}, and passed over"),
            ),
        }
        return;
    }
    let message = format!(
        "unknown option {} of type={}",
        quote(&entry.name),
        spec.name
    );
    findings.add(Severity::Error, "unknown-option", &entry.at, message, help);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::SECTIONS;
    use crate::source::MapSource;

    /// An option that the table says acts is looked at, and nothing else is.
    #[test]
    fn what_acts_is_taken() {
        let text = "[x]\ntype=lampwire\n[x]\ntype=global\n[x]\ntype=system\n[x]\ntype=transport\nbind=::\ncos=1\n[x]\ntype=endpoint\n\
            [x]\ntype=auth\n[x]\ntype=identify\nendpoint=x\nmatch=::\n[x]\ntype=acl\n[x]\ntype=outbound-publish\nserver_uri=sip:a@b\n\
            event=asterisk-mwi\n[x]\ntype=inbound-publication\n[x]\ntype=asterisk-publication\n[x]\ntype=rewrite\npeer=x\nstate=BUSY -> INUSE\n\
            [x]\ntype=ami\nhost=::1\nusername=x\nsecret=x\n[x]\ntype=api-client\ntoken=x\n[x]\ntype=cluster\nurl=nats://x\n";
        let mut source = MapSource::new([("f", text)]);
        let mut findings = Findings::default();
        let sections = crate::grammar::read("f", &mut source, &mut findings);
        assert_eq!(sections.len(), SECTIONS.len());
        let mut context = Context {
            findings: &mut findings,
            source: &mut source,
            references: Vec::new(),
            skipped: HashMap::new(),
        };
        for (section, spec) in sections.iter().zip(SECTIONS) {
            let mut options = Options::new(section, spec, &mut context);
            match spec.name {
                "lampwire" => drop(lampwire::read(&mut options)),
                "global" => drop(global::read(&mut options)),
                "system" => drop(system::read(&mut options)),
                "transport" => drop(transport::read(&mut options)),
                "endpoint" => drop(endpoint::read(&mut options)),
                "auth" => drop(auth::read(&mut options, &global::Global::default())),
                "identify" => drop(identify::read(&mut options)),
                "acl" => drop(acl::read(&mut options)),
                "outbound-publish" => drop(outbound_publish::read(&mut options)),
                "inbound-publication" => drop(inbound_publication::read(&mut options)),
                "asterisk-publication" => drop(asterisk_publication::read(&mut options)),
                "rewrite" => drop(rewrite::read(&mut options)),
                "ami" => drop(ami::read(&mut options)),
                "api-client" => drop(api_client::read(&mut options)),
                "cluster" => drop(cluster::read(&mut options)),
                other => panic!("{other}"),
            }
            let acting: std::collections::BTreeSet<&str> = spec
                .options
                .iter()
                .filter(|option| option.effect == Effect::Acts)
                .map(|option| option.name)
                .collect();
            assert_eq!(options.taken, acting, "{}", spec.name);
        }
        assert!(context.findings.is_empty_of_errors());
    }

    /// A default in a table is what the option takes.
    #[test]
    fn defaults_are_values() {
        let mut text = String::new();
        for spec in SECTIONS {
            text.push_str(&format!("[{}]\ntype={}\n", spec.name, spec.name));
            match spec.name {
                "transport" => text.push_str("bind=::\n"),
                "identify" => text.push_str("endpoint=endpoint\nmatch=::\n"),
                "outbound-publish" => text.push_str("server_uri=sip:a@b\nevent=asterisk-mwi\n"),
                "rewrite" => text.push_str("peer=asterisk-publication\nstate=BUSY -> INUSE\n"),
                "ami" => text.push_str("host=::1\nusername=x\nsecret=x\n"),
                "api-client" => text.push_str("token=x\n"),
                "cluster" => text.push_str("url=nats://x\n"),
                "lampwire" => text.push_str("relay=yes\n"),
                _ => {}
            }
            for option in spec.options {
                // A cluster wants it otherwise.
                if let Some(default) = option.default.filter(|_| option.name != "relay") {
                    text.push_str(&format!("{}={default}\n", option.name));
                }
            }
        }
        let (_, found) = crate::load("f", &mut MapSource::new([("f", text)]));
        let errors: Vec<_> = found
            .iter()
            .filter(|found| found.severity == Severity::Error)
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
}
