//! Where a SIP URI leads (RFC 3263 4): which protocol, which servers in which order, which addresses.
//!
//! A location is reckoned anew from what the [`Directory`] knows each time that changes, so there is no state to get stuck in: what is
//! missing is asked for, and once nothing is missing there is a list of targets, the preferred first.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

use lampwire_conf::Protocol;
use lampwire_sip::{Host, Scheme, Uri};
use siphasher::sip::SipHasher13;

use crate::directory::{Directory, Known};
use crate::io::{NaptrRecord, Outbox, Query, SrvRecord, TransportId};
use crate::limits;

/// Where requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) transport: TransportId,
    pub(crate) remote: SocketAddr,
}

/// What a URI says about the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NextHop {
    pub(crate) host: HopHost,
    port: Option<u16>,
    /// What its `transport` parameter or its scheme demands.
    protocol: Option<Protocol>,
}

/// The host of a next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HopHost {
    Address(IpAddr),
    Name(String),
}

impl NextHop {
    /// The next hop to a URI of the configuration, which is a valid one.
    pub(crate) fn of(uri: &str) -> Option<Self> {
        let uri = Uri::parse(uri).ok()?;
        let named = uri.param("transport").flatten();
        let protocol = match named {
            _ if uri.scheme == Scheme::Sips => Some(Protocol::Tls),
            Some(name) if name.eq_ignore_ascii_case("udp") => Some(Protocol::Udp),
            Some(name) if name.eq_ignore_ascii_case("tcp") => Some(Protocol::Tcp),
            Some(name) if name.eq_ignore_ascii_case("tls") => Some(Protocol::Tls),
            Some(_) | None => None,
        };
        Some(Self {
            host: match uri.host {
                Host::V4(address) => HopHost::Address(address.into()),
                Host::V6(address) => HopHost::Address(address.into()),
                Host::Name(name) => HopHost::Name(name.to_ascii_lowercase()),
            },
            port: uri.port,
            protocol,
        })
    }

    /// Whom a certificate must name (RFC 5922 7.1).
    pub(crate) fn server_name(&self) -> String {
        match &self.host {
            HopHost::Address(address) => address.to_string(),
            HopHost::Name(name) => name.clone(),
        }
    }
}

/// The transports that may be used, the first of each protocol and address family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    ways: Vec<(Protocol, bool, TransportId)>,
}

impl Reach {
    /// From the transports in their order: protocol, whether it is bound to an IPv4 address, number.
    pub(crate) fn of(transports: impl Iterator<Item = (Protocol, bool, TransportId)>) -> Self {
        let mut ways: Vec<(Protocol, bool, TransportId)> = Vec::new();
        for way in transports {
            if !ways
                .iter()
                .any(|known| (known.0, known.1) == (way.0, way.1))
            {
                ways.push(way);
            }
        }
        Self { ways }
    }

    /// The transport that reaches an address by a protocol.
    pub(crate) fn to(&self, protocol: Protocol, address: IpAddr) -> Option<TransportId> {
        let fits =
            |way: &&(Protocol, bool, TransportId)| (way.0, way.1) == (protocol, address.is_ipv4());
        self.ways.iter().find(fits).map(|way| way.2)
    }

    fn has(&self, protocol: Protocol) -> bool {
        self.ways.iter().any(|way| way.0 == protocol)
    }
}

/// What is known of where a next hop is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Located {
    /// Not everything is answered yet.
    NotYet,
    /// Here, the preferred first; at least one.
    At(Vec<Target>),
    /// Nowhere that a transport reaches, and why.
    Nowhere(String),
}

/// Reckons where a next hop is. `salt` decides which of several servers of the same priority comes first: the same for one publisher for
/// ever, so that it does not change sides with each answer, and different for each, so that they spread (RFC 2782).
pub(crate) fn locate(
    hop: &NextHop,
    reach: &Reach,
    directory: &mut Directory,
    outbox: &mut Outbox,
    salt: u64,
) -> Located {
    // UDP first, as for any sip: URI that says nothing else (RFC 3263 4.1); what has no transport is no way.
    let protocols: Vec<Protocol> = [Protocol::Udp, Protocol::Tcp, Protocol::Tls]
        .into_iter()
        .filter(|protocol| hop.protocol.is_none_or(|wanted| wanted == *protocol))
        .filter(|protocol| reach.has(*protocol))
        .collect();
    let Some(&first) = protocols.first() else {
        return Located::Nowhere(match hop.protocol {
            Some(wanted) => format!("no {} transport is bound for it", wanted.as_str()),
            None => "no transport is bound for it".to_owned(),
        });
    };
    let name = match &hop.host {
        HopHost::Address(address) => {
            let port = hop.port.unwrap_or(first.default_port());
            return reached(
                reach,
                protocols
                    .into_iter()
                    .map(|protocol| (protocol, *address, port))
                    .take(1),
            );
        }
        HopHost::Name(name) => name,
    };
    if hop.port.is_some() {
        // A port leaves nothing to look up but the address (RFC 3263 4.2).
        return by_address(name, first, hop.port, reach, directory, outbox);
    }

    let mut services: Vec<(Protocol, String)> = Vec::new();
    if hop.protocol.is_none() {
        directory.want(outbox, Query::Naptr(name.clone()));
        match directory.ways(name) {
            Known::NotYet => return Located::NotYet,
            Known::Yes(records) => services = services_of(records, &protocols),
            // Without an answer there is still the plain way; it is asked again.
            Known::Never(_) => {}
        }
    }
    if services.is_empty() {
        let service =
            |protocol: &Protocol| (*protocol, format!("{}.{name}", service_of(*protocol)));
        services = protocols.iter().map(service).collect();
    }
    for (_, service) in &services {
        directory.want(outbox, Query::Srv(service.clone()));
    }
    for (protocol, service) in services {
        let servers = match directory.servers(&service) {
            Known::NotYet => return Located::NotYet,
            Known::Yes([SrvRecord { target, .. }]) if target == "." => {
                return Located::Nowhere(format!(
                    "{service} says that the service is not to be had"
                ));
            }
            Known::Yes(servers) if !servers.is_empty() => in_order(servers, salt),
            Known::Yes(_) | Known::Never(_) => continue,
        };
        return by_servers(&servers, protocol, reach, directory, outbox);
    }
    by_address(name, first, None, reach, directory, outbox)
}

/// The protocols that a domain offers and we have, in the domain's order, each with the name of its SRV records (RFC 3263 4.1).
fn services_of(records: &[NaptrRecord], protocols: &[Protocol]) -> Vec<(Protocol, String)> {
    let mut records: Vec<&NaptrRecord> = records.iter().collect();
    records.sort_by_key(|record| (record.order, record.preference));
    let offered = records.into_iter().filter_map(|record| {
        let protocol = match record.service.to_ascii_uppercase().as_str() {
            "SIP+D2U" => Protocol::Udp,
            "SIP+D2T" => Protocol::Tcp,
            "SIPS+D2T" => Protocol::Tls,
            _ => return None,
        };
        let usable = record.flags.eq_ignore_ascii_case("s") && protocols.contains(&protocol);
        usable.then(|| {
            (
                protocol,
                record
                    .replacement
                    .trim_end_matches('.')
                    .to_ascii_lowercase(),
            )
        })
    });
    offered.collect()
}

const fn service_of(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Udp => "_sip._udp",
        Protocol::Tcp => "_sip._tcp",
        Protocol::Tls => "_sips._tcp",
    }
}

/// Servers by priority, and within one priority drawn by weight (RFC 2782): each gets an exponentially distributed number of the rate of
/// its weight, and the smallest comes first.
fn in_order(servers: &[SrvRecord], salt: u64) -> Vec<SrvRecord> {
    let draw = |server: &SrvRecord| {
        let mut hasher = SipHasher13::new_with_keys(salt, u64::from(server.port));
        hasher.write(server.target.to_ascii_lowercase().as_bytes());
        // 53 bits make an even number above 0 and up to 1.
        #[allow(clippy::cast_precision_loss)] // exactly the bits that fit
        let even = ((hasher.finish() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        // A weight of 0 is to come first very seldom.
        -even.ln() / f64::from(server.weight).max(0.01)
    };
    let mut drawn: Vec<(f64, &SrvRecord)> = servers
        .iter()
        .map(|server| (draw(server), server))
        .collect();
    drawn.sort_by(|(one, a), (other, b)| a.priority.cmp(&b.priority).then(one.total_cmp(other)));
    drawn
        .into_iter()
        .map(|(_, server)| server.clone())
        .collect()
}

fn by_servers(
    servers: &[SrvRecord],
    protocol: Protocol,
    reach: &Reach,
    directory: &mut Directory,
    outbox: &mut Outbox,
) -> Located {
    let hosts = || {
        servers
            .iter()
            .map(|server| server.target.trim_end_matches('.').to_ascii_lowercase())
    };
    for host in hosts() {
        directory.want(outbox, Query::Addresses(host));
    }
    let mut found = Vec::new();
    let mut problem = None;
    for (server, host) in servers.iter().zip(hosts()) {
        match directory.addresses(&host) {
            // The answer may put the preferred server in its place.
            Known::NotYet => return Located::NotYet,
            Known::Never(why) => problem = Some(format!("{host}: {why}")),
            Known::Yes(addresses) => {
                found.extend(
                    addresses
                        .iter()
                        .map(|address| (protocol, *address, server.port)),
                );
            }
        }
    }
    match (found.is_empty(), problem) {
        (true, Some(problem)) => Located::Nowhere(problem),
        _ => reached(reach, found.into_iter()),
    }
}

fn by_address(
    name: &str,
    protocol: Protocol,
    port: Option<u16>,
    reach: &Reach,
    directory: &mut Directory,
    outbox: &mut Outbox,
) -> Located {
    directory.want(outbox, Query::Addresses(name.to_owned()));
    match directory.addresses(name) {
        Known::NotYet => Located::NotYet,
        Known::Never(why) => Located::Nowhere(format!("{name}: {why}")),
        Known::Yes(addresses) => {
            let port = port.unwrap_or(protocol.default_port());
            reached(
                reach,
                addresses.iter().map(|address| (protocol, *address, port)),
            )
        }
    }
}

fn reached(reach: &Reach, found: impl Iterator<Item = (Protocol, IpAddr, u16)>) -> Located {
    let mut targets: Vec<Target> = Vec::new();
    let mut first = None;
    for (protocol, address, port) in found {
        first.get_or_insert((protocol, address));
        let target = reach.to(protocol, address).map(|transport| Target {
            transport,
            remote: SocketAddr::new(address, port),
        });
        targets.extend(target.filter(|target| !targets.contains(target)));
    }
    targets.truncate(limits::TARGETS);
    match first {
        _ if !targets.is_empty() => Located::At(targets),
        Some((protocol, address)) => Located::Nowhere(format!(
            "no {} transport is bound to the family of {address}",
            protocol.as_str()
        )),
        None => Located::Nowhere("it has no address".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::A_MINUTE;
    use crate::io::{Answer, Records};
    use crate::time::Time;
    use crate::timers::Timers;

    const UDP4: TransportId = TransportId(0);
    const TCP4: TransportId = TransportId(1);
    const TLS4: TransportId = TransportId(2);
    const UDP6: TransportId = TransportId(3);

    /// A zone: what it does not have is answered with nothing.
    #[derive(Default)]
    struct Zone {
        addresses: Vec<(&'static str, &'static str)>,
        srv: Vec<(&'static str, u16, u16, u16, &'static str)>,
        naptr: Vec<(&'static str, u16, u16, &'static str, &'static str)>,
    }

    impl Zone {
        fn answer(&self, query: &Query) -> Result<Answer, String> {
            let records = match query {
                Query::Addresses(host) => Records::Addresses(
                    self.addresses
                        .iter()
                        .filter(|it| it.0 == host)
                        .map(|it| it.1.parse().unwrap())
                        .collect(),
                ),
                Query::Srv(service) => Records::Srv(
                    self.srv
                        .iter()
                        .filter(|it| it.0 == service)
                        .map(|it| SrvRecord {
                            priority: it.1,
                            weight: it.2,
                            port: it.3,
                            target: it.4.to_owned(),
                        })
                        .collect(),
                ),
                Query::Naptr(domain) => Records::Naptr(
                    self.naptr
                        .iter()
                        .filter(|it| it.0 == domain)
                        .map(|it| NaptrRecord {
                            order: it.1,
                            preference: it.2,
                            flags: "s".to_owned(),
                            service: it.3.to_owned(),
                            replacement: it.4.to_owned(),
                        })
                        .collect(),
                ),
            };
            Ok(Answer {
                records,
                valid_for: A_MINUTE,
            })
        }
    }

    fn reach() -> Reach {
        Reach::of(
            [
                (Protocol::Udp, true, UDP4),
                (Protocol::Tcp, true, TCP4),
                (Protocol::Tls, true, TLS4),
                (Protocol::Udp, false, UDP6),
            ]
            .into_iter(),
        )
    }

    /// Where a URI leads in a zone, and how many questions that took.
    fn found(uri: &str, zone: &Zone, reach: &Reach, salt: u64) -> (Located, usize) {
        let (mut directory, mut outbox, mut timers) =
            (Directory::default(), Outbox::default(), Timers::default());
        let hop = NextHop::of(uri).unwrap();
        let mut asked = 0;
        loop {
            let located = locate(&hop, reach, &mut directory, &mut outbox, salt);
            let mut answered = false;
            while let Some(query) = outbox.poll_query() {
                asked += 1;
                answered = true;
                let answer = zone.answer(&query);
                let _ = directory.answer(Time::default(), &mut timers, &query, answer);
            }
            if !answered {
                return (located, asked);
            }
            assert_eq!(located, Located::NotYet, "what is asked for was needed");
        }
    }

    fn at(transport: TransportId, remote: &str) -> Target {
        Target {
            transport,
            remote: remote.parse().unwrap(),
        }
    }

    #[test]
    fn an_address_is_where_it_says() {
        let none = Zone::default();
        for (uri, target) in [
            ("sip:a@127.0.0.2", at(UDP4, "127.0.0.2:5060")),
            ("sip:a@127.0.0.2:5070", at(UDP4, "127.0.0.2:5070")),
            ("sip:a@127.0.0.2;transport=tcp", at(TCP4, "127.0.0.2:5060")),
            ("sip:a@127.0.0.2;transport=TLS", at(TLS4, "127.0.0.2:5061")),
            ("sips:a@127.0.0.2", at(TLS4, "127.0.0.2:5061")),
            ("sip:a@[::1]", at(UDP6, "[::1]:5060")),
        ] {
            assert_eq!(
                found(uri, &none, &reach(), 1),
                (Located::At(vec![target]), 0),
                "{uri}"
            );
        }
        let (located, _) = found("sips:a@[::1]", &none, &reach(), 1);
        assert!(matches!(located, Located::Nowhere(_)));
    }

    #[test]
    fn a_port_or_the_absence_of_records_leaves_the_address() {
        let zone = Zone {
            addresses: vec![
                ("b.example", "127.0.0.2"),
                ("b.example", "::1"),
                ("b.example", "127.0.0.3"),
            ],
            srv: vec![("_sip._udp.b.example", 1, 1, 9, "c.example")],
            ..Zone::default()
        };
        let all = |port: u16| {
            Located::At(vec![
                at(UDP4, &format!("127.0.0.2:{port}")),
                at(UDP6, &format!("[::1]:{port}")),
                at(UDP4, &format!("127.0.0.3:{port}")),
            ])
        };
        assert_eq!(
            found("sip:a@B.example:5070", &zone, &reach(), 1),
            (all(5070), 1)
        );
        let bare = Zone {
            addresses: zone.addresses.clone(),
            ..Zone::default()
        };
        // NAPTR, three SRV, the address.
        assert_eq!(found("sip:a@b.example", &bare, &reach(), 1), (all(5060), 5));
    }

    #[test]
    fn the_domain_chooses_the_protocol_and_the_order_of_servers() {
        let mut zone = Zone {
            addresses: vec![("one.example", "127.0.0.1"), ("two.example", "127.0.0.2")],
            srv: vec![
                ("_sip._udp.b.example", 5, 0, 5060, "one.example"),
                ("_sips._tcp.b.example", 20, 0, 5061, "one.example"),
                ("_sips._tcp.b.example", 10, 0, 5063, "two.example."),
            ],
            naptr: vec![
                ("b.example", 50, 50, "SIPS+D2T", "_sips._tcp.b.example."),
                ("b.example", 90, 50, "SIP+D2T", "_sip._tcp.b.example"),
                ("b.example", 100, 50, "SIP+D2U", "_sip._udp.b.example"),
            ],
        };
        let tls = Located::At(vec![at(TLS4, "127.0.0.2:5063"), at(TLS4, "127.0.0.1:5061")]);
        assert_eq!(found("sip:a@b.example", &zone, &reach(), 1).0, tls);
        // The URI's word comes before the domain's.
        let udp = Located::At(vec![at(UDP4, "127.0.0.1:5060")]);
        assert_eq!(
            found("sip:a@b.example;transport=udp", &zone, &reach(), 1).0,
            udp
        );
        // What we have no transport for is no way.
        let only_udp = Reach::of([(Protocol::Udp, true, UDP4)].into_iter());
        assert_eq!(found("sip:a@b.example", &zone, &only_udp, 1).0, udp);
        // Without NAPTR the protocols are asked for in our own order.
        zone.naptr.clear();
        assert_eq!(found("sip:a@b.example", &zone, &reach(), 1).0, udp);
        zone.srv = vec![("_sip._udp.b.example", 0, 0, 0, ".")];
        assert!(matches!(
            found("sip:a@b.example", &zone, &reach(), 1).0,
            Located::Nowhere(_)
        ));
    }

    #[test]
    fn weights_share_and_one_publisher_stays_with_its_choice() {
        let zone = Zone {
            addresses: vec![
                ("one.example", "127.0.0.1"),
                ("two.example", "127.0.0.2"),
                ("three.example", "127.0.0.3"),
            ],
            srv: vec![
                ("_sip._udp.b.example", 1, 60, 5060, "one.example"),
                ("_sip._udp.b.example", 1, 20, 5060, "two.example"),
                ("_sip._udp.b.example", 1, 20, 5060, "three.example"),
            ],
            ..Zone::default()
        };
        let first =
            |salt: u64| match found("sip:a@b.example;transport=udp", &zone, &reach(), salt).0 {
                Located::At(targets) => {
                    assert_eq!(targets.len(), 3);
                    targets[0]
                }
                other => panic!("{other:?}"),
            };
        let ones = (0..1000)
            .filter(|salt| first(*salt) == at(UDP4, "127.0.0.1:5060"))
            .count();
        // 600 of 1000, give or take four standard deviations.
        assert!((538..=662).contains(&ones), "{ones}");
        assert_eq!(first(3), first(3));
    }

    #[test]
    fn a_dns_that_is_silent_about_servers_leaves_the_address() {
        let (mut directory, mut outbox, mut timers) =
            (Directory::default(), Outbox::default(), Timers::default());
        let hop = NextHop::of("sip:a@b.example").unwrap();
        let zone = Zone {
            addresses: vec![("b.example", "127.0.0.2")],
            ..Zone::default()
        };
        let located = loop {
            let located = locate(&hop, &reach(), &mut directory, &mut outbox, 1);
            if located != Located::NotYet {
                break located;
            }
            while let Some(query) = outbox.poll_query() {
                let answer = match query {
                    Query::Addresses(_) => zone.answer(&query),
                    Query::Srv(_) | Query::Naptr(_) => Err("no answer".to_owned()),
                };
                let _ = directory.answer(Time::default(), &mut timers, &query, answer);
            }
        };
        assert_eq!(located, Located::At(vec![at(UDP4, "127.0.0.2:5060")]));
    }
}
