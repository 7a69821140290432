//! Whose request is it: pure matching, for the node and for `check`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;

use crate::config::Config;
use crate::section::global::IdentifyBy;
use crate::section::identify::{HeaderMatch, Match, UriMatch};
use crate::value::Network;

/// Calls back with each value of the header of that name, in order.
pub type HeaderValues<'a> = dyn Fn(&str, &mut dyn FnMut(&str)) + 'a;

/// What of a request tells whose it is.
#[derive(Clone, Copy)]
pub struct RequestFacts<'a> {
    /// The address it came from.
    pub source: IpAddr,
    /// The user part of From's URI, unescaped.
    pub from_user: Option<&'a str>,
    /// The host part of From's URI, as `Display` of the host prints it.
    pub from_host: &'a str,
    /// The user name of each of its credentials, in order.
    pub auth_usernames: &'a [&'a str],
    /// The Request-URI as written.
    pub request_uri: &'a str,
    /// Its headers.
    pub headers: &'a HeaderValues<'a>,
}

impl fmt::Debug for RequestFacts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestFacts")
            .field("source", &self.source)
            .field("from_user", &self.from_user)
            .field("from_host", &self.from_host)
            .field("auth_usernames", &self.auth_usernames)
            .field("request_uri", &self.request_uri)
            .finish_non_exhaustive()
    }
}

/// Finds the endpoint of a request. Built from a [`Config`]; what it gives are indexes into its `endpoints`.
///
/// - The ways are tried in the order of `endpoint_identifier_order`, and those that are not in it not at all. An endpoint is
///   taken only if its `identify_by` has the way; `anonymous` needs no leave.
/// - `ip`, `header`, `request_uri`: the first `identify` section in the order of the configuration that fits. Within a section
///   the last `match` that fits decides, so `10.0.0.0/8,!10.0.0.1` is all of the network but one. There is no longest
///   prefix: that is how Asterisk does it, but that it goes by the order of its sections' names.
/// - `username`: an endpoint named as From's `user@host`, else as its `user`. `auth_username`: the same with each user name
///   of the credentials. `anonymous`: the endpoint `anonymous@host`, else `anonymous`.
/// - With `ignore_uri_user_options` a user ends at its first `;`.
#[derive(Clone, Debug)]
pub struct Identifier {
    order: Vec<IdentifyBy>,
    ignore_user_options: bool,
    /// Endpoints by name; the host behind an `@` in lower case.
    by_name: HashMap<String, usize>,
    /// Whether any endpoint is named with a host: else the name need not be put together for each request.
    with_host: bool,
    ways: Vec<Vec<IdentifyBy>>,
    rules: Vec<SectionRules>,
    /// Host name -> its addresses.
    hosts: BTreeMap<String, Vec<IpAddr>>,
}

#[derive(Clone, Debug)]
struct SectionRules {
    endpoint: usize,
    matches: Vec<Match>,
    headers: Vec<HeaderMatch>,
    uris: Vec<UriMatch>,
}

impl Identifier {
    /// Reads the configuration, in which every name exists.
    pub fn new(config: &Config) -> Self {
        let by_name: HashMap<String, usize> = config
            .endpoints
            .iter()
            .enumerate()
            .map(|(index, endpoint)| (folded(&endpoint.name), index))
            .collect();
        let mut hosts = BTreeMap::new();
        let mut rules = Vec::new();
        for identify in &config.identifies {
            let Some(endpoint) = by_name.get(&folded(&identify.endpoint)) else {
                continue;
            };
            for rule in &identify.matches {
                if let Match::Host { name, .. } = rule {
                    hosts.entry(name.clone()).or_insert_with(Vec::new);
                }
            }
            rules.push(SectionRules {
                endpoint: *endpoint,
                matches: identify.matches.clone(),
                headers: identify.match_header.clone(),
                uris: identify.match_request_uri.clone(),
            });
        }
        Self {
            order: config.global.endpoint_identifier_order.clone(),
            ignore_user_options: config.global.ignore_uri_user_options,
            with_host: config
                .endpoints
                .iter()
                .any(|endpoint| endpoint.name.contains('@')),
            by_name,
            ways: config
                .endpoints
                .iter()
                .map(|endpoint| endpoint.identify_by.clone())
                .collect(),
            rules,
            hosts,
        }
    }

    /// The host names of `identify` sections, sorted, each once, in lower case: the node resolves them.
    pub fn host_names(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(String::as_str)
    }

    /// Tells the addresses of a host name; names that are not in [`Identifier::host_names`] are passed over. Where resolving fails,
    /// nothing is to be told, and the last addresses stay.
    pub fn set_addresses(&mut self, host: &str, addresses: &[IpAddr]) {
        if let Some(known) = self.hosts.get_mut(&host.to_ascii_lowercase()) {
            *known = addresses.to_vec();
        }
    }

    /// The same, where the address tells it before anything else of the request is looked at; None: the rest is to be looked at too.
    pub fn identify_by_source(&self, source: IpAddr) -> Option<usize> {
        let first = self.order.first().filter(|way| **way == IdentifyBy::Ip)?;
        self.by_rules(*first, |rules| self.is_source(rules, source))
    }

    /// The request's endpoint as an index into `config.endpoints`; None: nobody's.
    pub fn identify(&self, facts: &RequestFacts<'_>) -> Option<usize> {
        self.order.iter().find_map(|way| match way {
            IdentifyBy::Ip => self.by_rules(*way, |rules| self.is_source(rules, facts.source)),
            IdentifyBy::Header => self.by_rules(*way, |rules| {
                rules.headers.iter().any(|wanted| {
                    let mut found = false;
                    (facts.headers)(&wanted.name, &mut |value| {
                        found |= wanted.value.is_match(value);
                    });
                    found
                })
            }),
            IdentifyBy::RequestUri => self.by_rules(*way, |rules| {
                rules
                    .uris
                    .iter()
                    .any(|wanted| wanted.0.is_match(facts.request_uri))
            }),
            IdentifyBy::Username => self.by_user(*way, facts.from_user?, facts.from_host),
            IdentifyBy::AuthUsername => facts
                .auth_usernames
                .iter()
                .find_map(|user| self.by_user(*way, user, facts.from_host)),
            IdentifyBy::Anonymous => self
                .at("anonymous", facts.from_host)
                .or_else(|| self.named("anonymous")),
        })
    }

    /// The endpoint of the first section that fits and whose endpoint allows the way.
    fn by_rules(&self, way: IdentifyBy, fits: impl Fn(&SectionRules) -> bool) -> Option<usize> {
        self.rules
            .iter()
            .filter(|rules| self.ways[rules.endpoint].contains(&way))
            .find(|rules| fits(rules))
            .map(|rules| rules.endpoint)
    }

    fn is_source(&self, rules: &SectionRules, source: IpAddr) -> bool {
        let last = rules.matches.iter().rev().find_map(|rule| match rule {
            Match::Network { network, negated } => network.contains(source).then_some(!negated),
            Match::Host { name, negated } => {
                let addresses = self.hosts.get(name).map_or(&[][..], Vec::as_slice);
                addresses
                    .iter()
                    .any(|address| Network::host(*address).contains(source))
                    .then_some(!negated)
            }
        });
        last.unwrap_or(false)
    }

    fn by_user(&self, way: IdentifyBy, user: &str, host: &str) -> Option<usize> {
        let user = if self.ignore_user_options {
            user.split(';').next().unwrap_or(user)
        } else {
            user
        };
        if user.is_empty() {
            return None;
        }
        let allowed = |index: &usize| self.ways[*index].contains(&way);
        self.at(user, host)
            .filter(allowed)
            .or_else(|| self.named(user).filter(allowed))
    }

    fn named(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The endpoint `user@host`. Hosts are compared without case, as DNS does.
    fn at(&self, user: &str, host: &str) -> Option<usize> {
        if !self.with_host || host.is_empty() {
            return None;
        }
        self.by_name
            .get(&format!("{user}@{}", host.to_ascii_lowercase()))
            .copied()
    }
}

/// An endpoint's name with its host, if it has one, in lower case.
fn folded(name: &str) -> String {
    match name.rsplit_once('@') {
        Some((user, host)) => format!("{user}@{}", host.to_ascii_lowercase()),
        None => name.to_owned(),
    }
}
