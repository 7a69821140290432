//! What a request of one instance meets at another, step by step as on the wire: port, endpoint, address, credentials, resource, event, entity id,
//! filter. The endpoint is found by the code that the node itself uses.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};

use lampwire_sip::{Algorithm, EventPackage, HexDigest, Uri, ha1};

use super::advice::protocol_of;
use super::instance::{Instance, Kind, host_text};
use super::places::{Places, listens};
use crate::Location;
use crate::config::Config;
use crate::diagnostic::{Findings, quote};
use crate::filter::Filter;
use crate::identify::{Identifier, RequestFacts};
use crate::nearest::nearest;
use crate::section::asterisk_publication::AsteriskPublication;
use crate::section::auth::{Auth, AuthSecret};
use crate::section::endpoint::Endpoint;
use crate::section::global::IdentifyBy;
use crate::section::outbound_publish::OutboundPublish;
use crate::value::Rule;

/// What becomes of the states of one publish at one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are taken, as far as filters say so on purpose.
    Works,
    /// Some or all of them are dropped by a filter: the code of the finding.
    Filtered(&'static str),
    /// None is taken: the code of the finding.
    Fails(&'static str),
    /// Not enough is known to say.
    Unknown,
}

/// An instance as the receiver of requests.
pub(super) struct Receiver<'a> {
    pub(super) instance: &'a Instance,
    identifier: Identifier,
    pub(super) auths: HashMap<&'a str, &'a Auth>,
}

/// A publish and where it leads.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) from: &'a Instance,
    pub(super) publish: &'a OutboundPublish,
    /// Where it comes from, as far as that is known.
    pub(super) source: Option<IpAddr>,
    /// The sender's credentials by name.
    pub(super) auths: &'a HashMap<&'a str, &'a Auth>,
}

/// What was found out about one link.
pub(super) struct Met<'a> {
    pub(super) verdict: Verdict,
    /// The endpoint that it was taken for, as an index, and whether by its address.
    pub(super) endpoint: Option<(usize, bool)>,
    /// The peer's section that takes the states.
    pub(super) peer: Option<&'a AsteriskPublication>,
}

impl<'a> Receiver<'a> {
    pub(super) fn new(instance: &'a Instance, places: &Places) -> Self {
        let mut identifier = Identifier::new(&instance.config);
        let names: Vec<String> = identifier.host_names().map(str::to_owned).collect();
        for name in names {
            if let Some(addresses) = places.resolve(&name) {
                identifier.set_addresses(&name, &addresses);
            }
        }
        Self {
            instance,
            identifier,
            auths: by_name(&instance.config),
        }
    }

    /// Sends it the publish's states, and says what would go wrong.
    pub(super) fn meet(&self, request: Request<'_>, findings: &mut Findings) -> Met<'a> {
        let mut met = Met {
            verdict: Verdict::Works,
            endpoint: None,
            peer: None,
        };
        let Request { from, publish, .. } = request;
        let Ok(uri) = Uri::parse(&publish.server_uri) else {
            met.verdict = Verdict::Unknown;
            return met;
        };
        let (a, b) = (quote(&from.name), quote(&self.instance.name));
        let protocol = protocol_of(&uri);
        let direct = publish.outbound_proxy.is_none();
        // A name may have SRV records that tell another port.
        let told = uri.port.is_some() || host_text(uri.host).parse::<IpAddr>().is_ok();
        let port = uri.port.unwrap_or(protocol.default_port());
        if direct && told && !listens(self.instance, &host_text(uri.host), protocol, port) {
            let message = format!(
                "{b} does not listen at {} by {}, where {} of {a} leads",
                authority(&uri, port),
                protocol.as_str(),
                quote(&publish.name)
            );
            let help = self.listening();
            met.verdict = fails(findings, "not-listening", &publish.at, message, help);
            return met;
        }
        let Some((index, by_address)) = self.recognise(request, &uri) else {
            met.verdict = self.not_recognised(request, findings);
            return met;
        };
        met.endpoint = Some((index, by_address));
        let endpoint = &self.instance.config.endpoints[index];
        let steps = [
            self.address(request, endpoint),
            self.credentials(request, endpoint),
        ];
        let step = steps.into_iter().flatten().next();
        if let Some((code, at, message, help)) = step {
            met.verdict = fails(findings, code, &at, message, help);
            return met;
        }
        let user = uri.user_unescaped().unwrap_or_default();
        let resources = &self.instance.config.inbound_publications;
        let Some(resource) = resources.iter().find(|it| it.name == user) else {
            let message = format!(
                "{b} has no resource {}, which {} of {a} publishes to",
                quote(&user),
                quote(&publish.name)
            );
            let names = resources.iter().map(|it| it.name.as_str());
            let help = nearest(&user, names.clone())
                .or_else(|| names.clone().next().filter(|_| names.clone().count() == 1))
                .map(|near| format!("{b} has {}", quote(near)));
            met.verdict = fails(findings, "no-such-resource", &publish.at, message, help);
            return met;
        };
        if let Some(wanted) = resource
            .endpoint
            .as_ref()
            .filter(|it| **it != endpoint.name)
        {
            let how = if by_address {
                "by its address"
            } else {
                "by the user in its From"
            };
            let message = format!(
                "{a} is taken for endpoint {} {how}, and resource {} is that of {}",
                quote(&endpoint.name),
                quote(&resource.name),
                quote(wanted)
            );
            let help = by_address.then(|| {
                "several peers behind one address are told apart by the user in From alone: identify_by=username".to_owned()
            });
            met.verdict = fails(findings, "resource-of-another", &resource.at, message, help);
            return met;
        }
        let named = match publish.event {
            EventPackage::DeviceState => &resource.device_state,
            EventPackage::Mwi => &resource.mwi,
        };
        let Some(named) = named else {
            let event = publish.event.as_str();
            let message = format!(
                "resource {} of {b} does not take {event}, which {} of {a} publishes",
                quote(&resource.name),
                quote(&publish.name)
            );
            let help = Some(format!(
                "add `event_{event}=` with the name of the asterisk-publication"
            ));
            met.verdict = fails(findings, "event-not-taken", &resource.at, message, help);
            return met;
        };
        let peers = &self.instance.config.asterisk_publications;
        let Some(peer) = peers.iter().find(|peer| peer.name == *named) else {
            met.verdict = Verdict::Fails("dangling-reference");
            return met;
        };
        met.peer = Some(peer);
        let (taken, takes, sends) = match publish.event {
            EventPackage::DeviceState => (
                peer.device_state,
                &peer.device_state_filter,
                &publish.device_state_filter,
            ),
            EventPackage::Mwi => (
                peer.mailbox_state,
                &peer.mailbox_state_filter,
                &publish.mailbox_state_filter,
            ),
        };
        if !taken {
            met.verdict = Verdict::Fails("states-not-taken");
            return met;
        }
        if let Some(code) = self.entity_id(request, endpoint, findings) {
            met.verdict = Verdict::Fails(code);
            return met;
        }
        met.verdict = self.filters(request, peer, sends.as_ref(), takes.as_ref(), findings);
        met
    }

    /// Where it listens, for the user.
    fn listening(&self) -> Option<String> {
        let transports: Vec<String> = self
            .instance
            .config
            .transports
            .iter()
            .map(|transport| format!("{} {}", transport.protocol.as_str(), transport.bind))
            .take(4)
            .collect();
        Some(format!("it listens at {}", transports.join(", ")))
    }

    /// The endpoint, first as requests without credentials come, then as they come after a challenge; and whether it was by the address.
    fn recognise(&self, request: Request<'_>, uri: &Uri<'_>) -> Option<(usize, bool)> {
        let from = from_uri(request);
        let from = Uri::parse(from).ok()?;
        let from_user = from.user_unescaped();
        let from_host = host_text(from.host);
        let usernames: Vec<&str> = request
            .publish
            .outbound_auth
            .iter()
            .filter_map(|name| Some(request.auths.get(name.as_str())?.username.as_str()))
            .collect();
        let uri = uri.to_string();
        let event = request.publish.event.as_str();
        let agent = request.from.config.global.user_agent.as_deref();
        let identify = |source: IpAddr, auth_usernames: &[&str]| {
            self.identifier.identify(&RequestFacts {
                source,
                from_user: from_user.as_deref(),
                from_host: &from_host,
                auth_usernames,
                request_uri: &uri,
                headers: &|name, tell| {
                    if name.eq_ignore_ascii_case("Event") {
                        tell(event);
                    }
                    if let Some(agent) = agent.filter(|_| name.eq_ignore_ascii_case("User-Agent")) {
                        tell(agent);
                    }
                },
            })
        };
        let source = request.source.unwrap_or(NOWHERE);
        let found = identify(source, &[]).or_else(|| identify(source, &usernames))?;
        let elsewhere = identify(NOWHERE, &[]).or_else(|| identify(NOWHERE, &usernames));
        Some((found, elsewhere != Some(found)))
    }

    fn not_recognised(&self, request: Request<'_>, findings: &mut Findings) -> Verdict {
        let (a, b) = (quote(&request.from.name), quote(&self.instance.name));
        let config = &self.instance.config;
        let by_address = config.identifies.iter().any(|it| !it.matches.is_empty())
            && config
                .global
                .endpoint_identifier_order
                .contains(&IdentifyBy::Ip);
        if request.source.is_none() && by_address {
            let message = format!(
                "the address of {a} is not known, so whether {b} recognises it cannot be said"
            );
            let help = Some("say it as ADDRESS=FILE".to_owned());
            let at = &request.from.at;
            findings.add(crate::Severity::Note, "unknown-source", at, message, help);
            return Verdict::Unknown;
        }
        let from = Uri::parse(from_uri(request)).ok();
        let user = from
            .as_ref()
            .and_then(Uri::user_unescaped)
            .unwrap_or_default();
        let mut come = format!("with user {} in From", quote(&user));
        if let Some(source) = request.source.filter(|source| !is_placeholder(*source)) {
            come = format!("from {source} {come}");
        }
        let silent = match request.from.kind {
            Kind::Asterisk => "; Asterisk sends nothing more over it until it is restarted",
            Kind::Lampwire => "",
        };
        let message = format!(
            "{b} recognises no endpoint in the requests of {} of {a}, which come {come}{silent}",
            quote(&request.publish.name)
        );
        let mut names = config.endpoints.iter().map(|it| it.name.as_str());
        let help = match nearest(&user, names.clone()) {
            _ if names.any(|name| name == user) => format!(
                "its endpoint {} is recognised in other ways alone: match its address, or add username to its identify_by",
                quote(&user)
            ),
            Some(near) => format!("{b} has an endpoint {}", quote(near)),
            None => format!(
                "add an endpoint {} to {b}, or a section of type=identify with its address",
                quote(&user)
            ),
        };
        fails(
            findings,
            "not-recognised",
            &request.publish.at,
            message,
            Some(help),
        )
    }

    /// Rules of addresses: those of all acl sections, and those of the endpoint.
    fn address(&self, request: Request<'_>, endpoint: &Endpoint) -> Option<Step> {
        let source = request.source.filter(|source| !is_placeholder(*source))?;
        let config = &self.instance.config;
        let refused = |rules: &[Rule]| !Rule::allows(rules, source);
        let (what, at) = if refused(&endpoint.permit_deny) {
            (format!("endpoint {}", quote(&endpoint.name)), &endpoint.at)
        } else {
            let acl = config.acls.iter().find(|acl| refused(&acl.rules))?;
            (format!("acl {}", quote(&acl.name)), &acl.at)
        };
        let message = format!(
            "{what} of {} keeps {source} out, where {} sends from",
            quote(&self.instance.name),
            quote(&request.from.name)
        );
        let help = Some(format!("add `permit={source}` behind it"));
        Some(("source-refused", at.clone(), message, help))
    }

    /// The challenge and its answer.
    fn credentials(&self, request: Request<'_>, endpoint: &Endpoint) -> Option<Step> {
        let challenges: Vec<&Auth> = endpoint
            .auth
            .iter()
            .filter_map(|name| self.auths.get(name.as_str()).copied())
            .collect();
        if challenges.is_empty() {
            return None;
        }
        let (a, b) = (quote(&request.from.name), quote(&self.instance.name));
        let publish = request.publish;
        let answers: Vec<&Auth> = publish
            .outbound_auth
            .iter()
            .filter_map(|name| request.auths.get(name.as_str()).copied())
            .collect();
        if answers.is_empty() {
            let silent = match request.from.kind {
                Kind::Asterisk => "is silent from its first request until it is restarted",
                Kind::Lampwire => "is never let in",
            };
            let message = format!(
                "{b} challenges {a}, and {} has no outbound_auth to answer with: it {silent}",
                quote(&publish.name)
            );
            let help = Some(
                "add `outbound_auth=` with the name of an auth section with the same username and password".to_owned(),
            );
            return Some(("silenced-by-401", publish.at.clone(), message, help));
        }
        let default_realm = self.instance.config.global.default_realm.as_str();
        // The furthest that any pair of the two comes.
        let mut best = 0;
        for challenge in &challenges {
            let realm = challenge.realm.as_deref().unwrap_or(default_realm);
            for answer in &answers {
                let any_realm = answer
                    .realm
                    .as_deref()
                    .is_none_or(|own| own == "*" || own == realm);
                let common = challenge
                    .algorithms_uas
                    .iter()
                    .find(|algorithm| answer.algorithms_uac.contains(algorithm));
                let step = match common {
                    _ if !any_realm => 1,
                    None => 2,
                    Some(algorithm) if same_secret(challenge, answer, *algorithm, realm) => {
                        return None;
                    }
                    Some(_) => 3,
                };
                best = best.max(step);
            }
        }
        let (challenge, answer) = (challenges[0], answers[0]);
        let (at, names) = (answer.at.clone(), |list: &[Algorithm]| {
            let names: Vec<&str> = list.iter().map(|algorithm| algorithm.as_str()).collect();
            names.join(", ")
        });
        Some(match best {
            1 => {
                let realm = challenge.realm.as_deref().unwrap_or(default_realm);
                let message = format!(
                    "{b} challenges in realm {}, and auth {} of {a} answers in {} alone",
                    quote(realm),
                    quote(&answer.name),
                    quote(answer.realm.as_deref().unwrap_or_default())
                );
                let help = Some("leave `realm` out where it answers".to_owned());
                ("realm-differs", at, message, help)
            }
            2 => {
                let message = format!(
                    "{b} challenges by {}, and auth {} of {a} answers by {} alone",
                    names(&challenge.algorithms_uas),
                    quote(&answer.name),
                    names(&answer.algorithms_uac)
                );
                ("no-common-algorithm", at, message, None)
            }
            _ => {
                let what = if challenge.username == answer.username {
                    "password"
                } else {
                    "username"
                };
                let message = format!(
                    "the {what} in auth {} of {a} is not that in auth {} of {b}",
                    quote(&answer.name),
                    quote(&challenge.name)
                );
                let help = Some(format!(
                    "the other is at line {} of {}",
                    challenge.at.line, challenge.at.file
                ));
                ("credentials-differ", at, message, help)
            }
        })
    }

    /// Whether the sender may speak for its own entity id.
    fn entity_id(
        &self,
        request: Request<'_>,
        endpoint: &Endpoint,
        findings: &mut Findings,
    ) -> Option<&'static str> {
        let own = request.from.entity_id?;
        let (a, b) = (quote(&request.from.name), quote(&self.instance.name));
        let name = quote(&endpoint.name);
        if let Some(said) = endpoint.entity_id.filter(|said| *said != own) {
            let message =
                format!("`@entity_id` of endpoint {name} of {b} is {said}, and {a} has {own}");
            findings.warning("entity-id-differs", &endpoint.at, message, None);
        }
        let refused = !endpoint.allowed_eids.is_empty()
            && !endpoint.allowed_eids.iter().any(|it| it.matches(own));
        refused.then(|| {
            let message =
                format!("endpoint {name} of {b} may not speak for {own}, the entity id of {a}");
            let help = format!("add `@allowed_eids={own}`");
            findings.error_with_help("entity-id-refused", &endpoint.at, message, help);
            "entity-id-refused"
        })
    }

    /// What is sent against what is taken.
    fn filters(
        &self,
        request: Request<'_>,
        peer: &AsteriskPublication,
        sends: Option<&Filter>,
        takes: Option<&Filter>,
        findings: &mut Findings,
    ) -> Verdict {
        // Where names are rewritten on the way, the two filters speak of different names.
        let rewritten = [&request.from.config, &self.instance.config]
            .into_iter()
            .any(|config| !config.rewrites.is_empty());
        let Some(takes) = takes.filter(|_| !rewritten) else {
            return Verdict::Works;
        };
        let (a, b) = (quote(&request.from.name), quote(&self.instance.name));
        let publish = quote(&request.publish.name);
        let taken = quote(takes.as_str());
        let Some(sends) = sends else {
            let message = format!(
                "{publish} of {a} sends everything, and {b} takes what {taken} is found in"
            );
            let help = Some(match request.publish.event {
                EventPackage::DeviceState => {
                    format!("`@device_state_filter={takes}` there keeps the rest off the wire")
                }
                EventPackage::Mwi => {
                    format!("`@mailbox_state_filter={takes}` there keeps the rest off the wire")
                }
            });
            let at = &request.publish.at;
            findings.add(crate::Severity::Note, "filtered-at-peer", at, message, help);
            return Verdict::Works;
        };
        let samples = sends.samples();
        let dropped: Vec<&String> = samples
            .iter()
            .filter(|name| !takes.is_match(name))
            .collect();
        let Some(first) = dropped.first() else {
            return Verdict::Works;
        };
        let sent = quote(sends.as_str());
        let help = Some(format!("{} would be dropped, for one", quote(first)));
        let (code, message) = if dropped.len() == samples.len() {
            let message = format!(
                "{publish} of {a} sends what {sent} is found in, and {b} takes only what {taken} is found in: nothing passes both"
            );
            ("filters-disjoint", message)
        } else {
            let message = format!(
                "{publish} of {a} sends what {sent} is found in, and {b} takes only what {taken} is found in"
            );
            ("filter-drops", message)
        };
        findings.warning(code, &peer.at, message, help);
        Verdict::Filtered(code)
    }
}

/// Code, place, message, help.
type Step = (&'static str, Location, String, Option<String>);

/// Where nobody is: RFC 6666.
const NOWHERE: IpAddr = IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0xffff, 0, 0, 0));

fn is_placeholder(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.segments()[..4] == [0x100, 0, 0, 0])
}

fn fails(
    findings: &mut Findings,
    code: &'static str,
    at: &Location,
    message: String,
    help: Option<String>,
) -> Verdict {
    findings.add(crate::Severity::Error, code, at, message, help);
    Verdict::Fails(code)
}

/// Credentials by name.
fn by_name(config: &Config) -> HashMap<&str, &Auth> {
    let auths = config.auths.iter();
    auths.map(|auth| (auth.name.as_str(), auth)).collect()
}

/// What stands in From: as Asterisk does it, what was meant for To.
fn from_uri<'r>(request: Request<'r>) -> &'r str {
    let publish = request.publish;
    let ours = publish
        .at_from_uri
        .as_deref()
        .filter(|_| request.from.kind == Kind::Lampwire);
    ours.or(publish.to_uri.as_deref())
        .unwrap_or(&publish.server_uri)
}

fn authority(uri: &Uri<'_>, port: u16) -> String {
    format!("{}:{port}", uri.host)
}

/// Whether both come to the same answer.
fn same_secret(challenge: &Auth, answer: &Auth, algorithm: Algorithm, realm: &str) -> bool {
    let digest = |auth: &Auth| -> Option<HexDigest> {
        match &auth.secret {
            AuthSecret::Password(password) => {
                Some(ha1(algorithm, &auth.username, realm, password.expose()))
            }
            AuthSecret::Digests(digests) => digests
                .iter()
                .find(|(known, _)| *known == algorithm)
                .map(|(_, digest)| digest.clone()),
        }
    };
    challenge.username == answer.username
        && digest(challenge).is_some_and(|one| Some(one) == digest(answer))
}

/// The entity ids that an endpoint refuses of those that come through a hub.
pub(super) fn refused<'i>(
    endpoint: &Endpoint,
    others: impl Iterator<Item = &'i Instance>,
) -> Vec<&'i Instance> {
    if endpoint.allowed_eids.is_empty() {
        return Vec::new();
    }
    let mut seen = HashSet::new();
    others
        .filter(|other| {
            other.entity_id.is_some_and(|eid| {
                seen.insert(eid) && !endpoint.allowed_eids.iter().any(|it| it.matches(eid))
            })
        })
        .collect()
}
