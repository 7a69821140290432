//! `type=identify`: whose request is it, by where it comes from or by what stands in it.

use super::{NETWORK_HELP, Options};
use crate::Location;
use crate::diagnostic::quote;
use crate::filter::{Filter, FilterError};
use crate::grammar::Entry;
use crate::options::{OptionSpec, SectionSpec, acts, list, unset};
use crate::value::{self, Network};

const OPTIONS: &[OptionSpec] = &[
    unset("endpoint", "The endpoint whose requests these are.").example("office"),
    list(
        "match",
        "Addresses, networks or host names it comes from, comma separated; `!` before one excludes it.",
    ).example("10.0.0.12"),
    acts(
        "srv_lookups",
        "yes",
        "Whether host names are looked up as SRV records first. Without effect yet: their addresses (A, AAAA) are.",
    ).example("no"),
    unset(
        "match_header",
        "A header its requests have: `Name: value` or `Name: /regex/`.",
    ).example("X-Office: north"),
    unset(
        "match_request_uri",
        "The Request-URI its requests have: the URI itself or `/regex/`.",
    ).example("/^sip:office@/"),
];

pub(crate) const SPEC: SectionSpec = SectionSpec {
    name: "identify",
    doc: "Which endpoint a request is from, by its source, a header or its Request-URI.",
    options: OPTIONS,
    open_prefix: None,
    single: false,
};

/// Which endpoint a request is from. Each way that is configured identifies by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Identify {
    /// The section's name.
    pub name: String,
    /// Where it stands.
    pub at: Location,
    /// The endpoint; it exists.
    pub endpoint: String,
    /// Sources in the order of the file: the last that fits decides.
    pub matches: Vec<Match>,
    /// Host names are looked up as SRV records first.
    pub srv_lookups: bool,
    /// Headers; any of them identifies.
    pub match_header: Vec<HeaderMatch>,
    /// Request-URIs; any of them identifies.
    pub match_request_uri: Vec<UriMatch>,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// An address or network.
    Network {
        /// Which addresses.
        network: Network,
        /// They are not the endpoint's.
        negated: bool,
    },
    /// A host name, which somebody else resolves.
    Host {
        /// In lower case.
        name: String,
        /// Its addresses are not the endpoint's.
        negated: bool,
    },
}

/// A header that identifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// The header's name as written; compared without case.
    pub name: String,
    /// What one of its values must be.
    pub value: ValueMatch,
}

/// A Request-URI that identifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriMatch(pub ValueMatch);

/// What a text must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueMatch {
    /// This, byte for byte.
    Exact(String),
    /// Text in which the pattern is found, with case, as `regcomp` with REG_EXTENDED alone.
    Pattern(Filter),
}

impl ValueMatch {
    /// `/regex/`, or the text itself.
    fn parse(text: &str) -> Result<Self, FilterError> {
        match text
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'))
        {
            Some(pattern) => Filter::parse_with_case(pattern).map(Self::Pattern),
            None => Ok(Self::Exact(text.to_owned())),
        }
    }

    /// Whether the text is what it must be.
    pub fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == text,
            Self::Pattern(pattern) => pattern.is_match(text),
        }
    }
}

/// None: the section is wrong.
pub(crate) fn read(options: &mut Options<'_, '_>) -> Option<Identify> {
    let endpoint = options.reference("endpoint", "endpoint");
    if endpoint.is_none() {
        options.missing("endpoint", "instance2");
    }
    let mut matches = Vec::new();
    for entry in options.all("match") {
        for item in value::items(&entry.value) {
            matches.extend(source(options, entry, item));
        }
    }
    let match_header = header(options);
    let match_request_uri = match options
        .last("match_request_uri")
        .filter(|entry| !entry.value.is_empty())
    {
        None => None,
        Some(entry) => value_match(options, entry, "match_request_uri", &entry.value).map(UriMatch),
    };
    let nothing = ["match", "match_header", "match_request_uri"]
        .into_iter()
        .all(|name| options.all(name).iter().all(|entry| entry.value.is_empty()));
    if nothing {
        let message = format!(
            "identify {} has nothing to match",
            quote(&options.section.name)
        );
        options.context.findings.error_with_help(
            "identify-nothing",
            &options.section.at,
            message,
            "add `match=ADDRESS`, `match_header=Name: value` or `match_request_uri=URI`",
        );
    }
    Some(Identify {
        name: options.section.name.clone(),
        at: options.section.at.clone(),
        endpoint: endpoint?,
        matches,
        srv_lookups: options.boolean("srv_lookups"),
        match_header: match_header.into_iter().collect(),
        match_request_uri: match_request_uri.into_iter().collect(),
    })
}

fn source(options: &mut Options<'_, '_>, entry: &Entry, item: &str) -> Option<Match> {
    let (negated, text) = match item.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, item),
    };
    let why = match text.parse::<Network>() {
        Ok(network) => return Some(Match::Network { network, negated }),
        Err(why) => why,
    };
    if value::is_host_name(text) {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        return Some(Match::Host { name, negated });
    }
    // A port of the source may stand before the mask; a request tells its address alone.
    let (address, mask) = text
        .split_once('/')
        .map_or((text, ""), |(address, mask)| (address, mask));
    if let Some((host, port)) = address.rsplit_once(':')
        && port.parse::<u16>().is_ok()
    {
        let without = if mask.is_empty() {
            host.to_owned()
        } else {
            format!("{host}/{mask}")
        };
        let found = match without.parse::<Network>() {
            Ok(network) => Some(Match::Network { network, negated }),
            Err(_) if mask.is_empty() && value::is_host_name(host) => Some(Match::Host {
                name: host.to_ascii_lowercase(),
                negated,
            }),
            Err(_) => None,
        };
        if found.is_some() {
            let message = format!("the port of {} in `match` is not compared", quote(item));
            options
                .context
                .findings
                .warning("match-port", &entry.value_at, message, None);
            return found;
        }
    }
    let message = if text.contains('/') {
        format!("{} in `match` {why}", quote(item))
    } else {
        format!(
            "{} in `match` is neither an address, a network nor a host name",
            quote(item)
        )
    };
    options.error_at("bad-network", entry, item, message, NETWORK_HELP);
    None
}

fn header(options: &mut Options<'_, '_>) -> Option<HeaderMatch> {
    let entry = options
        .last("match_header")
        .filter(|entry| !entry.value.is_empty())?;
    let Some((name, value)) = entry.value.split_once(':') else {
        options.bad_value(entry, "match_header", "`Name: value` or `Name: /regex/`");
        return None;
    };
    let (name, value) = (name.trim(), value.trim());
    // RFC 3261 section 25.1: a header's name is a token.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        options.error(
            "bad-value",
            entry,
            format!("{} is no name of a header", quote(name)),
            "",
        );
        return None;
    }
    let value = value_match(options, entry, "match_header", value)?;
    Some(HeaderMatch {
        name: name.to_owned(),
        value,
    })
}

fn value_match(
    options: &mut Options<'_, '_>,
    entry: &Entry,
    name: &str,
    text: &str,
) -> Option<ValueMatch> {
    match ValueMatch::parse(text) {
        Ok(value) => Some(value),
        Err(error) => {
            let pattern = &text[1..text.len() - 1];
            options.pattern_error(entry, name, pattern, &error);
            None
        }
    }
}
