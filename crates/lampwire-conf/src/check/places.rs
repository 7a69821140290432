//! Where each of several instances is: what its transports say, what was given, else what can be inferred from the others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use lampwire_sip::Uri;

use super::advice::protocol_of;
use super::instance::{Instance, Kind, host_text};
use super::manager::Manager;
use crate::config::Config;
use crate::diagnostic::{Findings, quote};
use crate::section::outbound_publish::OutboundPublish;
use crate::section::transport::{Protocol, Transport};

/// The hosts of one instance.
#[derive(Debug, Default)]
pub(super) struct Place {
    hosts: BTreeSet<String>,
    /// Instead of an address that is not known: one of RFC 6666, which nobody has.
    stands_for: Option<IpAddr>,
}

/// Where a publish leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Instance(usize),
    Itself,
    /// None of those given.
    Elsewhere,
}

/// Where all of them are.
#[derive(Debug)]
pub(super) struct Places {
    places: Vec<Place>,
}

impl Places {
    /// Says what it infers.
    pub(super) fn new(instances: &[Instance], findings: &mut Findings) -> Self {
        let mut places: Vec<Place> = instances.iter().map(known).collect();
        let claimed: BTreeSet<String> = places
            .iter()
            .flat_map(|place| place.hosts.iter().cloned())
            .collect();
        // Host nobody claims -> who publishes there, and to which resources.
        let mut open: BTreeMap<String, Vec<(usize, &OutboundPublish)>> = BTreeMap::new();
        for (index, instance) in instances.iter().enumerate() {
            for publish in &instance.config.outbound_publishes {
                if let Ok(uri) = Uri::parse(&publish.server_uri) {
                    let host = host_text(uri.host);
                    if !claimed.contains(&host) {
                        open.entry(host).or_default().push((index, publish));
                    }
                }
            }
        }
        let without: Vec<bool> = places.iter().map(|place| place.hosts.is_empty()).collect();
        let mut inferred: Vec<(usize, String, &'static str)> = Vec::new();
        for (host, publishers) in &open {
            if let Some((index, why)) = infer(instances, &without, host, publishers) {
                inferred.push((index, host.clone(), why));
            }
        }
        for (index, host, why) in inferred {
            say_inferred(&instances[index], &host, why, findings);
            places[index].hosts.insert(host);
        }
        // A host that is a section's of type=ami alone.
        let mut managers = (0..instances.len())
            .filter(|index| instances[*index].manager.is_some() && places[*index].hosts.is_empty());
        if let (Some(index), None) = (managers.next(), managers.next()) {
            let hosts = instances
                .iter()
                .flat_map(|instance| &instance.config.amis)
                .map(|ami| ami_host(&ami.host))
                .filter(|host| places.iter().all(|place| !place.hosts.contains(host)));
            let hosts: BTreeSet<String> = hosts.collect();
            if let (1, Some(host)) = (hosts.len(), hosts.first()) {
                let why = "no other has a manager.conf and no address";
                say_inferred(&instances[index], host, why, findings);
                places[index].hosts.insert(host.clone());
            }
        }
        for (index, place) in places.iter_mut().enumerate() {
            if !place.hosts.is_empty() && !place.hosts.iter().any(|host| is_ip(host)) {
                let number = u16::try_from(index + 1).unwrap_or(u16::MAX);
                place.stands_for = Some(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, number).into());
            }
        }
        Self { places }
    }

    /// Whether anything is known of where it is.
    pub(super) fn is_known(&self, index: usize) -> bool {
        !self.places[index].hosts.is_empty()
    }

    /// The Asterisk that a section of type=ami leads to.
    pub(super) fn asterisk(&self, instances: &[Instance], host: &str) -> Option<usize> {
        let host = ami_host(host);
        let here = |index: &usize| {
            instances[*index].kind == Kind::Asterisk && self.places[*index].hosts.contains(&host)
        };
        let mut found = (0..instances.len()).filter(here);
        // Of several behind one address it cannot be said.
        found.next().filter(|_| found.next().is_none())
    }

    /// Where a publish of `from` leads.
    pub(super) fn target(
        &self,
        instances: &[Instance],
        from: usize,
        publish: &OutboundPublish,
    ) -> Target {
        let Ok(uri) = Uri::parse(&publish.server_uri) else {
            return Target::Elsewhere;
        };
        let host = host_text(uri.host);
        let mut found: Vec<usize> = (0..instances.len())
            .filter(|index| self.places[*index].hosts.contains(&host))
            .collect();
        // Behind one address: by the port, then by the resource.
        let protocol = protocol_of(&uri);
        let port = uri.port.unwrap_or(protocol.default_port());
        keep(&mut found, |index| {
            listens(&instances[index], &host, protocol, port)
        });
        let user = uri.user_unescaped().unwrap_or_default();
        keep(&mut found, |index| {
            index != from && has_resource(&instances[index].config, &user)
        });
        match found.first() {
            Some(index) if *index == from => Target::Itself,
            Some(index) => Target::Instance(*index),
            None => Target::Elsewhere,
        }
    }

    /// The address that requests of `from` come from at a peer of that host; None: it is not known.
    pub(super) fn source(
        &self,
        instance: &Instance,
        from: usize,
        publish: &OutboundPublish,
        peer: &str,
    ) -> Option<IpAddr> {
        let given = instance.address.as_ref();
        if let Some(address) = given.and_then(|address| address.host.parse().ok()) {
            return Some(address);
        }
        let protocol = Uri::parse(&publish.server_uri).map_or(Protocol::Udp, |it| protocol_of(&it));
        let transports = &instance.config.transports;
        let by_name = publish
            .transport
            .as_ref()
            .and_then(|name| transports.iter().find(|transport| transport.name == *name));
        let of_protocol = || transports.iter().find(|it| it.protocol == protocol);
        let used: Option<&Transport> = by_name.or_else(of_protocol);
        let local = |transport: &Transport| {
            peer.parse().is_ok_and(|peer| {
                transport
                    .local_net
                    .iter()
                    .any(|network| network.contains(peer))
            })
        };
        let external = used
            .filter(|transport| !local(transport))
            .and_then(|transport| transport.external_signaling_address.as_ref()?.parse().ok());
        let bound = || {
            used.map(|transport| transport.bind.ip())
                .filter(|address| !address.is_unspecified())
        };
        let place = &self.places[from];
        let any = || place.hosts.iter().find_map(|host| host.parse().ok());
        external.or_else(bound).or_else(any).or(place.stands_for)
    }

    /// The addresses of a host name, as far as it is one of the instances'.
    pub(super) fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
        let place = self
            .places
            .iter()
            .find(|place| place.hosts.contains(name))?;
        let known = place.hosts.iter().filter_map(|host| host.parse().ok());
        Some(known.chain(place.stands_for).collect())
    }
}

/// As places are compared: lower case, addresses in one spelling.
fn ami_host(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => host.trim_end_matches('.').to_ascii_lowercase(),
    }
}

fn say_inferred(instance: &Instance, host: &str, why: &str, findings: &mut Findings) {
    let name = &instance.name;
    let message = format!(
        "{} is taken for the address of {}: {why}",
        quote(host),
        quote(name)
    );
    let help = format!("say it by {host}={name} to be sure");
    let at = &instance.at;
    findings.add(
        crate::Severity::Note,
        "address-inferred",
        at,
        message,
        Some(help),
    );
}

fn is_ip(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

fn keep(found: &mut Vec<usize>, fits: impl Fn(usize) -> bool) {
    if found.len() > 1 && found.iter().any(|index| fits(*index)) {
        found.retain(|index| fits(*index));
    }
}

pub(super) fn has_resource(config: &Config, name: &str) -> bool {
    config
        .inbound_publications
        .iter()
        .any(|publication| publication.name == name)
}

/// What the instance itself says of where it is.
fn known(instance: &Instance) -> Place {
    let mut place = Place::default();
    if let Some(address) = &instance.address {
        place.hosts.insert(address.host.clone());
    }
    if let Some(address) = instance.manager.as_ref().and_then(Manager::address) {
        place.hosts.insert(address.to_string());
    }
    for transport in &instance.config.transports {
        if !transport.bind.ip().is_unspecified() {
            place.hosts.insert(transport.bind.ip().to_string());
        }
        let names = [
            &transport.external_signaling_address,
            &transport.external_signaling_hostname,
            &transport.domain,
        ];
        for name in names.into_iter().flatten() {
            place.hosts.insert(name.to_ascii_lowercase());
        }
    }
    place
}

/// Whether it takes requests there: at a port that was given, one that is told to peers, or one that is bound. Without a transport section a
/// file says nothing of it.
pub(super) fn listens(instance: &Instance, host: &str, protocol: Protocol, port: u16) -> bool {
    if let Some(address) = &instance.address
        && address.host == *host
        && let Some(given) = address.port
    {
        return given == port;
    }
    let mut transports = instance.config.transports.iter();
    let default = transports.clone().all(|transport| transport.at.line == 0);
    default
        || transports.any(|transport| {
            let bind = transport.bind;
            let reached = bind.ip().is_unspecified()
                || host.parse::<IpAddr>().map_or(true, |host| {
                    host == bind.ip() || transport.external_signaling_address.is_some()
                })
                || instance.address.is_some();
            transport.protocol == protocol
                && reached
                && (bind.port() == port
                    || bind.port() == 0
                    || transport.external_signaling_port == Some(port))
        })
}

/// Whose a host is that nobody claims. Of two instances each is the other's peer; of more it is the one that alone could be it.
fn infer(
    instances: &[Instance],
    without: &[bool],
    host: &str,
    publishers: &[(usize, &OutboundPublish)],
) -> Option<(usize, &'static str)> {
    let publishes = |index: usize| publishers.iter().any(|(from, _)| *from == index);
    let mut candidates: Vec<usize> = (0..instances.len())
        .filter(|index| without[*index] && !publishes(*index))
        .collect();
    if instances.len() == 2 {
        return match candidates[..] {
            [one] => Some((one, "of two instances each is the other's peer")),
            _ => None,
        };
    }
    candidates.retain(|index| {
        publishers.iter().any(|(_, publish)| {
            Uri::parse(&publish.server_uri).is_ok_and(|uri| {
                let user = uri.user_unescaped().unwrap_or_default();
                has_resource(&instances[*index].config, &user)
            })
        })
    });
    if let [one] = candidates[..] {
        return Some((one, "no other has the resource that is published to"));
    }
    candidates.retain(|index| {
        let name = stem(&instances[*index].name);
        host.split('.').next() == Some(&name)
            || publishers
                .iter()
                .all(|(_, publish)| publish.name.to_ascii_lowercase().starts_with(&name))
    });
    match candidates[..] {
        [one] => Some((one, "the names agree")),
        _ => None,
    }
}

/// `office1` of `etc/office1.conf`, `etc/office1` and `office1/pjsip.conf`.
fn stem(name: &str) -> String {
    let mut parts = name.rsplit('/').filter(|part| !part.is_empty());
    let last = parts.next().unwrap_or_default();
    let last = match (last, parts.next()) {
        ("pjsip.conf" | "lampwire.conf", Some(directory)) => directory,
        (last, _) => last,
    };
    last.strip_suffix(".conf")
        .unwrap_or(last)
        .to_ascii_lowercase()
}
