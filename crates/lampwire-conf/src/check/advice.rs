//! What would work, and probably not as it was meant: findings of one file.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use lampwire_sip::{EventPackage, Host, Scheme, Uri};

use super::Kind;
use crate::config::Config;
use crate::diagnostic::{Findings, quote};
use crate::section::asterisk_publication::AsteriskPublication;
use crate::section::endpoint::Endpoint;
use crate::section::global::IdentifyBy;
use crate::section::identify::{Identify, Match};
use crate::section::outbound_publish::OutboundPublish;
use crate::section::transport::Protocol;

/// Publications that live for less are a race at each refresh.
const SHORT_EXPIRATION: u32 = 60;
/// Most identify sections whose addresses are compared with each other: each with each.
const COMPARED_IDENTIFIES: usize = 500;
/// Most addresses of one identify section that are compared.
const COMPARED_ADDRESSES: usize = 50;

/// `kind`: whose file it is.
pub(super) fn relations(config: &Config, kind: Kind, findings: &mut Findings) {
    publishes(config, kind, findings);
    publications(config, findings);
    peers(config, findings);
    addresses(config, findings);
}

/// The protocol by which a URI is gone to: its `transport` parameter, else TLS for sips, else UDP.
pub(super) fn protocol_of(uri: &Uri<'_>) -> Protocol {
    match uri.param("transport").flatten() {
        Some(name) if name.eq_ignore_ascii_case("tcp") && uri.scheme != Scheme::Sips => {
            Protocol::Tcp
        }
        Some(name) if name.eq_ignore_ascii_case("tls") => Protocol::Tls,
        Some(_) | None if uri.scheme == Scheme::Sips => Protocol::Tls,
        Some(_) | None => Protocol::Udp,
    }
}

/// Where the publish goes first: the proxy, if there is one, else the server itself.
pub(super) fn next_hop(publish: &OutboundPublish) -> &str {
    publish
        .outbound_proxy
        .as_deref()
        .unwrap_or(&publish.server_uri)
}

fn publishes(config: &Config, kind: Kind, findings: &mut Findings) {
    let mut seen: HashMap<(&str, EventPackage, Option<&str>), &OutboundPublish> = HashMap::new();
    // The one that is made where the file has none has no line.
    let has_transports = config
        .transports
        .iter()
        .any(|transport| transport.at.line > 0);
    for publish in &config.outbound_publishes {
        let name = quote(&publish.name);
        if publish.expiration < SHORT_EXPIRATION {
            let message = format!("publications of {name} live for {} s", publish.expiration);
            let help = Some(format!("{SHORT_EXPIRATION} and more; the default is 3600"));
            findings.warning("short-expiration", &publish.at, message, help);
        }
        // An Asterisk keeps ours and goes by its own.
        let ours = kind == Kind::Lampwire
            && (publish.at_from_uri.is_some() || publish.at_to_uri.is_some());
        if publish.from_uri != publish.to_uri && !ours {
            let goes = |uri: &Option<String>| quote(uri.as_ref().unwrap_or(&publish.server_uri));
            let message = format!(
                "the requests of {name} have {} in From and {} in To",
                goes(&publish.to_uri),
                goes(&publish.from_uri)
            );
            findings.warning("swapped-uris", &publish.at, message, None);
        }
        let filter = match publish.event {
            EventPackage::DeviceState => &publish.device_state_filter,
            EventPackage::Mwi => &publish.mailbox_state_filter,
        };
        let key = (
            publish.server_uri.as_str(),
            publish.event,
            filter.as_ref().map(crate::Filter::as_str),
        );
        if let Some(other) = seen.insert(key, publish) {
            let message = format!(
                "{name} sends the same states to the same resource as {}",
                quote(&other.name)
            );
            let help = Some(format!(
                "the other is at line {} of {}",
                other.at.line, other.at.file
            ));
            findings.warning("duplicate-publish", &publish.at, message, help);
        }
        let Ok(uri) = Uri::parse(next_hop(publish)) else {
            continue;
        };
        let protocol = protocol_of(&uri);
        let named = publish.transport.as_ref().and_then(|wanted| {
            config
                .transports
                .iter()
                .find(|transport| transport.name == *wanted)
        });
        let of_protocol = || {
            config
                .transports
                .iter()
                .filter(|transport| transport.protocol == protocol)
        };
        if let Some(named) = named {
            if named.protocol != protocol {
                let message = format!(
                    "{name} goes by {}, and its transport {} is of {}",
                    protocol.as_str(),
                    quote(&named.name),
                    named.protocol.as_str()
                );
                findings.warning("transport-mismatch", &publish.at, message, None);
            }
        } else if has_transports && of_protocol().next().is_none() {
            let protocol = protocol.as_str();
            let message = format!("{name} goes by {protocol}, and there is no such transport");
            let help = Some(format!(
                "add a section of type=transport with protocol={protocol}"
            ));
            findings.warning("no-such-transport", &publish.at, message, help);
        }
        if protocol == Protocol::Tls
            && let Some(transport) = named
                .filter(|named| named.protocol == protocol)
                .or_else(|| of_protocol().next())
            && !transport.tls.verify_server
        {
            let message = format!(
                "{name} goes by transport {}, which does not check the peer's certificate",
                quote(&transport.name)
            );
            findings.warning("unverified-tls", &transport.at, message, None);
        }
        let address: IpAddr = match uri.host {
            Host::V4(address) => address.into(),
            Host::V6(address) => address.into(),
            Host::Name(_) => continue,
        };
        let port = uri.port.unwrap_or(protocol.default_port());
        if of_protocol()
            .any(|transport| transport.bind.ip() == address && transport.bind.port() == port)
        {
            let message = format!("{name} leads to this node itself, {address}:{port}");
            findings.warning("publish-to-self", &publish.at, message, None);
        }
    }
}

/// What peers publish to, and what becomes of it.
fn publications(config: &Config, findings: &mut Findings) {
    let peers: HashMap<&str, _> = config
        .asterisk_publications
        .iter()
        .map(|peer| (peer.name.as_str(), peer))
        .collect();
    let open_to_all = config.endpoints.len() > 1
        && config
            .endpoints
            .iter()
            .all(|endpoint| !crate::load::is_open(endpoint));
    for publication in &config.inbound_publications {
        let name = quote(&publication.name);
        let takes = publication.device_state.is_some() || publication.mwi.is_some();
        if publication.endpoint.is_none() && takes && open_to_all {
            let message = format!("{name} is open to all {} endpoints", config.endpoints.len());
            let help = Some("add `endpoint=` with the name of the peer's".to_owned());
            findings.warning("open-publication", &publication.at, message, help);
        }
        for (named, event, option) in [
            (
                &publication.device_state,
                EventPackage::DeviceState,
                "device_state",
            ),
            (&publication.mwi, EventPackage::Mwi, "mailbox_state"),
        ] {
            let Some(peer) = named.as_ref().and_then(|named| peers.get(named.as_str())) else {
                continue;
            };
            let taken = match event {
                EventPackage::DeviceState => peer.device_state,
                EventPackage::Mwi => peer.mailbox_state,
            };
            if !taken {
                let message = format!(
                    "{name} hands {} to {}, which does not take it",
                    event.as_str(),
                    quote(&peer.name)
                );
                let help = Some(format!("set `{option}=yes` there"));
                findings.warning("states-not-taken", &publication.at, message, help);
            }
        }
    }
}

fn peers(config: &Config, findings: &mut Findings) {
    let used: HashSet<&str> = config
        .inbound_publications
        .iter()
        .flat_map(|publication| [&publication.device_state, &publication.mwi])
        .flatten()
        .map(String::as_str)
        .collect();
    for peer in &config.asterisk_publications {
        let name = quote(&peer.name);
        if !used.contains(peer.name.as_str()) {
            if peer.device_state || peer.mailbox_state {
                let message = format!("no inbound-publication names {name}");
                findings.warning("unused-publication", &peer.at, message, None);
            }
            continue;
        }
        for (taken, publish, what, option) in [
            (
                peer.device_state,
                &peer.devicestate_publish,
                "device",
                "devicestate_publish",
            ),
            (
                peer.mailbox_state,
                &peer.mailboxstate_publish,
                "mailbox",
                "mailboxstate_publish",
            ),
        ] {
            if taken && publish.is_none() {
                let message = format!("{name} is never asked for all its {what} states");
                let help = Some(format!(
                    "name the outbound-publish that leads to it in `{option}`"
                ));
                findings.warning("never-asked", &peer.at, message, help);
            }
        }
        let takes = peer.device_state || peer.mailbox_state;
        if config.lampwire.at.is_some() && takes && !is_probed(config, peer) {
            let message =
                format!("nothing asks whether {name} is there: it lives by its publications alone");
            findings.note("lives-by-expiry", &peer.at, message);
        }
    }
    let publishes_answer = config
        .outbound_publishes
        .iter()
        .any(|publish| !publish.outbound_auth.is_empty());
    if publishes_answer || config.outbound_publishes.is_empty() {
        return;
    }
    for endpoint in of_peers(config).filter(|endpoint| !endpoint.outbound_auth.is_empty()) {
        let message = format!(
            "endpoint {} has `outbound_auth`, and no outbound-publish has",
            quote(&endpoint.name)
        );
        findings.warning("outbound-auth-elsewhere", &endpoint.at, message, None);
    }
}

/// Whether a publish leads to a peer by which it is asked at times whether it is there.
fn is_probed(config: &Config, peer: &AsteriskPublication) -> bool {
    let named = [&peer.devicestate_publish, &peer.mailboxstate_publish];
    let mut publishes = config.outbound_publishes.iter();
    publishes.any(|publish| {
        named.contains(&&Some(publish.name.clone()))
            && !(publish.probe.is_zero() && publish.qualify_frequency.is_zero())
    })
}

/// The endpoints that are peers of the exchange: those that a resource names, or that bear a resource's name.
fn of_peers(config: &Config) -> impl Iterator<Item = &Endpoint> {
    let names: HashSet<&str> = config
        .inbound_publications
        .iter()
        .map(|publication| publication.endpoint.as_ref().unwrap_or(&publication.name))
        .map(String::as_str)
        .collect();
    config
        .endpoints
        .iter()
        .filter(move |endpoint| names.contains(endpoint.name.as_str()))
}

/// Who is recognised by an address.
fn addresses(config: &Config, findings: &mut Findings) {
    let with_identify: HashSet<&str> = config
        .identifies
        .iter()
        .map(|identify| identify.endpoint.as_str())
        .collect();
    for endpoint in of_peers(config) {
        let by_rules = |way: &IdentifyBy| {
            matches!(
                way,
                IdentifyBy::Ip | IdentifyBy::Header | IdentifyBy::RequestUri
            )
        };
        if endpoint.identify_by.iter().all(by_rules)
            && endpoint.identify_by_certificate.is_empty()
            && !with_identify.contains(endpoint.name.as_str())
        {
            let message = format!(
                "no section of type=identify recognises endpoint {}, and `identify_by` has no other way",
                quote(&endpoint.name)
            );
            findings.warning("endpoint-never", &endpoint.at, message, None);
        }
    }
    let by_ip: HashSet<&str> = config
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.identify_by.contains(&IdentifyBy::Ip))
        .map(|endpoint| endpoint.name.as_str())
        .collect();
    let compared: Vec<&Identify> = config
        .identifies
        .iter()
        .filter(|identify| by_ip.contains(identify.endpoint.as_str()))
        .take(COMPARED_IDENTIFIES)
        .collect();
    for (index, identify) in compared.iter().enumerate() {
        let other = compared[..index]
            .iter()
            .find(|other| other.endpoint != identify.endpoint && same_address(other, identify));
        if let Some(other) = other {
            let message = format!(
                "{} and {} are recognised by the same address",
                quote(&other.endpoint),
                quote(&identify.endpoint)
            );
            let help = Some(format!(
                "the first is at line {} of {}",
                other.at.line, other.at.file
            ));
            findings.warning("shared-address", &identify.at, message, help);
        }
    }
}

/// Whether both name an address or host that is the same. A network around an address is meant, as a rule behind it is.
fn same_address(one: &Identify, other: &Identify) -> bool {
    let first = |identify: &'_ Identify| {
        let all = identify.matches.iter().take(COMPARED_ADDRESSES);
        all.cloned().collect::<Vec<Match>>()
    };
    let others = first(other);
    first(one).iter().any(|rule| others.contains(rule))
}
