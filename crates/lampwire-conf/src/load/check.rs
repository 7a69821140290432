//! What holds between sections.

mod sources;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use lampwire_sip::EventPackage;

use crate::config::Config;
use crate::diagnostic::{Findings, quote};
use crate::grammar::Section;
use crate::options::SectionSpec;
use crate::section::acl::Acl;
use crate::section::cluster::Login;
use crate::section::endpoint::Endpoint;
use crate::section::global::IdentifyBy;
use crate::section::transport::{self, Transport};

/// How many names a message lists.
const LISTED: usize = 3;

/// There is one at least, and no two want the same socket.
pub(super) fn transports(
    config: &mut Config,
    sections: &[(&Section, &'static SectionSpec)],
    skipped: &HashMap<(&'static str, String), String>,
    main: &Arc<str>,
    findings: &mut Findings,
) {
    let mut bound = HashMap::new();
    for transport in &config.transports {
        // Port 0 is another port for each.
        if transport.bind.port() == 0 {
            continue;
        }
        // TLS listens on TCP.
        let over_udp = transport.protocol == transport::Protocol::Udp;
        if let Some(other) = bound.insert((transport.bind, over_udp), transport) {
            let message = format!(
                "transports {} and {} want the same address: {} {}",
                quote(&other.name),
                quote(&transport.name),
                transport.protocol.as_str(),
                transport.bind
            );
            let help = format!(
                "the first is at line {} of {}",
                other.at.line, other.at.file
            );
            findings.error_with_help("duplicate-bind", &transport.at, message, help);
        }
    }
    if !config.transports.is_empty() {
        return;
    }
    let mut all = sections
        .iter()
        .filter(|(_, spec)| spec.name == transport::SPEC.name)
        .map(|(section, _)| section);
    if let Some(first) = all.clone().next()
        && all.all(|section| skipped.contains_key(&(transport::SPEC.name, section.name.clone())))
    {
        findings.error_with_help(
            "no-transport",
            &first.at,
            "no transport is left that Lampwire speaks",
            "add one of protocol udp, tcp or tls; a file without any has UDP on port 5060 of all addresses",
        );
    }
    config.transports.push(Transport::default_at(main));
}

/// Names of sections that were skipped, where that is no error, are taken out: what is left exists.
pub(super) fn drop_skipped(config: &mut Config, skipped: &HashMap<(&'static str, String), String>) {
    let is_skipped =
        |kind: &'static str, name: &str| skipped.contains_key(&(kind, name.to_owned()));
    for endpoint in &mut config.endpoints {
        endpoint
            .transport
            .take_if(|name| is_skipped("transport", name));
        endpoint
            .outbound_auth
            .retain(|name| !is_skipped("auth", name));
    }
}

pub(super) fn relations(config: &Config, findings: &mut Findings) {
    publishes(config, findings);
    authentication(config, findings);
    identification(config, findings);
    entity_ids(config, findings);
    acl_cycles(&config.acls, findings);
    sources::amis(config, findings);
    sources::api_clients(config, findings);
    cluster(config, findings);
}

/// The publish that a peer is asked over should carry the event that it is asked for.
fn publishes(config: &Config, findings: &mut Findings) {
    let events: HashMap<&str, EventPackage> = config
        .outbound_publishes
        .iter()
        .map(|publish| (publish.name.as_str(), publish.event))
        .collect();
    for peer in &config.asterisk_publications {
        for (option, named, wanted) in [
            (
                "devicestate_publish",
                &peer.devicestate_publish,
                EventPackage::DeviceState,
            ),
            (
                "mailboxstate_publish",
                &peer.mailboxstate_publish,
                EventPackage::Mwi,
            ),
        ] {
            let Some(name) = named else { continue };
            if let Some(event) = events.get(name.as_str()).filter(|event| **event != wanted) {
                let message = format!(
                    "`{option}` of {} names {}, which is for event={}",
                    quote(&peer.name),
                    quote(name),
                    event.as_str()
                );
                let help = Some(format!("it should name one with event={}", wanted.as_str()));
                findings.warning("event-of-publish", &peer.at, message, help);
            }
        }
    }
}

/// A cluster is one hub: what its nodes tell each other goes on to their peers.
fn cluster(config: &Config, findings: &mut Findings) {
    let Some(cluster) = &config.cluster else {
        return;
    };
    if !config.lampwire.relay {
        let message = format!(
            "{} is of type=cluster, and `relay` is no",
            quote(&cluster.name)
        );
        let help = "set `relay=yes` in the section of type=lampwire";
        findings.error_with_help(
            "cluster-without-relay",
            &cluster.at,
            message,
            help.to_owned(),
        );
    }
    if cluster.replicas % 2 == 0 {
        let message = format!(
            "{} replicas bear the loss of as many servers as {} do",
            cluster.replicas,
            cluster.replicas - 1
        );
        findings.warning("cluster-even-replicas", &cluster.at, message, None);
    }
    let away = |url: &&String| !is_here(url);
    let Some(url) = cluster.urls.iter().find(away) else {
        return;
    };
    if cluster.login == Login::None && cluster.certificate.is_none() {
        let message = format!("{url} is told nothing that proves who we are");
        let help = "whoever reaches the NATS servers may say anything: give each node a `password`, `nkey` or `credentials`";
        findings.warning("cluster-open", &cluster.at, message, Some(help.to_owned()));
    }
    if !cluster.tls && !url.starts_with("tls://") {
        let message = format!("the connection to {url} may not be encrypted");
        let help = "set `tls=yes`, or write tls:// before the server";
        findings.warning(
            "cluster-no-tls",
            &cluster.at,
            message,
            Some(help.to_owned()),
        );
    }
}

/// Whether a NATS server is on this machine.
fn is_here(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether whoever knows its name is taken for it: no password, no certificate, and not its address alone.
pub(crate) fn is_open(endpoint: &Endpoint) -> bool {
    endpoint.auth.is_empty()
        && endpoint.identify_by_certificate.is_empty()
        && endpoint.identify_by != [IdentifyBy::Ip]
        && endpoint.permit_deny.iter().all(|rule| rule.allow)
}

/// A publication that somebody without credentials may change.
fn authentication(config: &Config, findings: &mut Findings) {
    let by_name: HashMap<&str, &Endpoint> = config
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.name.as_str(), endpoint))
        .collect();
    let open: Vec<&Endpoint> = config
        .endpoints
        .iter()
        .filter(|endpoint| is_open(endpoint))
        .collect();
    let help = || Some("name an auth section by `auth` on the endpoint".to_owned());
    for publication in &config.inbound_publications {
        if publication.device_state.is_none() && publication.mwi.is_none() {
            continue;
        }
        let name = quote(&publication.name);
        match &publication.endpoint {
            Some(endpoint) => {
                if by_name
                    .get(endpoint.as_str())
                    .is_some_and(|endpoint| is_open(endpoint))
                {
                    let message = format!(
                        "{name} takes states without authentication: endpoint {} has no `auth`",
                        quote(endpoint)
                    );
                    findings.warning("no-authentication", &publication.at, message, help());
                }
            }
            None if config.endpoints.is_empty() => {
                let message = format!("nobody can publish to {name}: there is no endpoint");
                let help = Some(
                    "add a section of type=endpoint with the name of the user in the peer's From"
                        .to_owned(),
                );
                findings.warning("no-endpoint", &publication.at, message, help);
            }
            None if open.is_empty() => {}
            None => {
                let names: Vec<String> = open
                    .iter()
                    .take(LISTED)
                    .map(|endpoint| quote(&endpoint.name))
                    .collect();
                let more = match open.len().saturating_sub(LISTED) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let message = format!(
                    "{name} takes states without authentication: it has no `endpoint`, and {}{more} no `auth`",
                    names.join(", ")
                );
                findings.warning("no-authentication", &publication.at, message, help());
            }
        }
    }
}

/// An `identify` whose way its endpoint or the global order does not have never identifies.
fn identification(config: &Config, findings: &mut Findings) {
    let by_name: HashMap<&str, &Endpoint> = config
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.name.as_str(), endpoint))
        .collect();
    for identify in &config.identifies {
        for (used, option, way) in [
            (!identify.matches.is_empty(), "match", IdentifyBy::Ip),
            (
                !identify.match_header.is_empty(),
                "match_header",
                IdentifyBy::Header,
            ),
            (
                !identify.match_request_uri.is_empty(),
                "match_request_uri",
                IdentifyBy::RequestUri,
            ),
        ] {
            if !used {
                continue;
            }
            let name = quote(&identify.name);
            let way_name = way.as_str();
            if !config.global.endpoint_identifier_order.contains(&way) {
                findings.warning(
                    "identify-never",
                    &identify.at,
                    format!("`{option}` of identify {name} is never looked at"),
                    Some(format!(
                        "`endpoint_identifier_order` of type=global lacks {way_name}"
                    )),
                );
            } else if by_name
                .get(identify.endpoint.as_str())
                .is_some_and(|endpoint| !endpoint.identify_by.contains(&way))
            {
                findings.warning(
                    "identify-never",
                    &identify.at,
                    format!(
                        "`{option}` of identify {name} never identifies {}",
                        quote(&identify.endpoint)
                    ),
                    Some(format!("`identify_by` of the endpoint lacks {way_name}")),
                );
            }
        }
    }
}

fn entity_ids(config: &Config, findings: &mut Findings) {
    let Some(own) = config.lampwire.entity_id else {
        return;
    };
    for endpoint in config
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.entity_id == Some(own))
    {
        let message = format!(
            "`@entity_id` of endpoint {} is our own, {own}",
            quote(&endpoint.name)
        );
        findings.error_with_help(
            "own-entity-id",
            &endpoint.at,
            message,
            "no two nodes may have the same",
        );
    }
}

/// Rules that lead back to themselves have no end.
fn acl_cycles(acls: &[Acl], findings: &mut Findings) {
    let by_name: HashMap<&str, &Acl> = acls.iter().map(|acl| (acl.name.as_str(), acl)).collect();
    for acl in acls {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut open: Vec<&str> = acl.acl.iter().map(String::as_str).collect();
        while let Some(name) = open.pop() {
            if name == acl.name {
                let message = format!("the rules of acl {} lead back to it", quote(&acl.name));
                findings.error("acl-cycle", &acl.at, message);
                break;
            }
            if seen.insert(name)
                && let Some(next) = by_name.get(name)
            {
                open.extend(next.acl.iter().map(String::as_str));
            }
        }
    }
}
