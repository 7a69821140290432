//! Names to addresses, servers and services: `/etc/hosts`, and the DNS servers of the configuration or of the system.
//!
//! The node keeps what it is told for as long as it may be believed; nothing is kept here.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};
use lampwire_core::{Answer, NaptrRecord, Query, Records, SrvRecord};
use tokio::sync::{Semaphore, mpsc};

/// How long all servers together may take. Time-outs of resolv.conf that come to more are cut short: the node asks again.
const TIME_MAX: Duration = Duration::from_secs(15);

/// The most names that are asked for at a time, so that a configuration with hundreds of them is no flood for the server.
const AT_A_TIME: usize = 16;

/// The most answers that wait for the node.
const ANSWERS_WAITING: usize = 64;

/// For how long an answer is believed at least: records with a TTL of zero would be asked for without end.
const VALID_MIN: Duration = Duration::from_secs(5);

/// For how long an answer is believed at most: nobody should have to restart a node for a slip in a zone file.
const VALID_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// For how long "there is no such name" is believed at most. Zones say up to hours; a name that was forgotten and then added is
/// to be found soon.
const NOTHING_VALID_MAX: Duration = Duration::from_secs(300);

/// A question, and what is known of it now.
pub(crate) type Resolved = (Query, Result<Answer, String>);

/// Asks, and collects the answers.
#[derive(Debug)]
pub(crate) struct Resolver {
    answers: mpsc::Receiver<Resolved>,
    answered: mpsc::Sender<Resolved>,
    turn: Arc<Semaphore>,
    names: Arc<Names>,
}

impl Resolver {
    /// One that has nothing to do. It asks these servers, or where there are none those of the system: `/etc/resolv.conf` and
    /// `/etc/hosts` are read here, once. What is wrong with them is told when a name is asked for.
    pub(crate) fn new(servers: &[SocketAddr]) -> Self {
        let (answered, answers) = mpsc::channel(ANSWERS_WAITING);
        Self {
            answers,
            answered,
            turn: Arc::new(Semaphore::new(AT_A_TIME)),
            names: Arc::new(Names::new(servers, system_conf::read_system_conf())),
        }
    }

    /// Begins to ask. The node asks for the names of its configuration and for what they lead to, each once until it is answered:
    /// so there are never many.
    pub(crate) fn ask(&self, query: Query) {
        let (answered, turn) = (self.answered.clone(), Arc::clone(&self.turn));
        let names = Arc::clone(&self.names);
        tokio::spawn(async move {
            let Ok(_permit) = turn.acquire().await else {
                return;
            };
            let answer = match tokio::time::timeout(TIME_MAX, names.look_up(&query)).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("no answer within {} s", TIME_MAX.as_secs())),
            };
            // An error: the node has ended.
            let _ = answered.send((query, answer)).await;
        });
    }

    /// The next answer. Can be dropped and called again without loss.
    pub(crate) async fn next(&mut self) -> Resolved {
        match self.answers.recv().await {
            Some(resolved) => resolved,
            // Never: this end holds a sender itself.
            None => std::future::pending().await,
        }
    }
}

/// What names are looked up in.
struct Names {
    hosts: Hosts,
    /// The servers, or why there are none.
    dns: Result<TokioResolver, String>,
    /// What is put behind a name that is not whole, in order.
    search: Vec<Name>,
    /// A name with so many dots is asked for as it stands first.
    ndots: usize,
}

impl fmt::Debug for Names {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Names")
            .field("search", &self.search)
            .finish_non_exhaustive()
    }
}

/// Records of one kind with the time for which they may be believed; none: that is certain.
struct Found {
    records: Vec<RData>,
    valid_for: Duration,
}

impl Names {
    fn new(
        servers: &[SocketAddr],
        system: Result<(ResolverConfig, ResolverOpts), NetError>,
    ) -> Self {
        let trouble = match &system {
            Ok(_) => None,
            Err(error) => Some(format!(
                "there is no DNS server to ask: /etc/resolv.conf: {error}; mend it, or write nameserver= into [lampwire]"
            )),
        };
        let (config, mut options) = system.unwrap_or_default();
        let search = match config.search() {
            [] => config.domain().cloned().into_iter().collect(),
            search => search.to_vec(),
        };
        let ndots = options.ndots;
        // Here the hosts file is asked first, and the node itself keeps answers.
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 0;
        let config = if servers.is_empty() {
            config
        } else {
            ResolverConfig::from_name_servers(servers.iter().copied().map(name_server).collect())
        };
        let dns = match trouble {
            Some(trouble) if servers.is_empty() => Err(trouble),
            _ => TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
                .with_options(options)
                .build()
                .map_err(|error| format!("DNS cannot be asked: {error}")),
        };
        Self {
            hosts: Hosts::from_system().unwrap_or_default(),
            dns,
            search,
            ndots,
        }
    }

    async fn look_up(&self, query: &Query) -> Result<Answer, String> {
        let name = query.name();
        match query {
            Query::Addresses(_) => self.addresses(name).await,
            Query::Srv(_) => {
                let found = self.ask(&whole(name)?, RecordType::SRV).await?;
                Ok(answer(found, |found| {
                    Records::Srv(found.into_iter().filter_map(srv_record).collect())
                }))
            }
            Query::Naptr(_) => {
                let found = self.ask(&whole(name)?, RecordType::NAPTR).await?;
                Ok(answer(found, |found| {
                    Records::Naptr(found.into_iter().filter_map(naptr_record).collect())
                }))
            }
        }
    }

    async fn addresses(&self, host: &str) -> Result<Answer, String> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse::<IpAddr>() {
            return Ok(Answer {
                records: Records::Addresses(vec![address]),
                valid_for: VALID_MAX,
            });
        }
        let name = whole(host)?;
        let listed = self.listed(&name);
        if !listed.is_empty() {
            return Ok(Answer {
                records: Records::Addresses(listed),
                valid_for: VALID_MAX,
            });
        }
        let mut nothing = Found {
            records: Vec::new(),
            valid_for: NOTHING_VALID_MAX,
        };
        let mut failure = None;
        for name in self.candidates(host, name) {
            match self.both_families(&name).await {
                Ok(found) if found.records.is_empty() => {
                    nothing.valid_for = nothing.valid_for.min(found.valid_for);
                }
                Ok(found) => return Ok(answer(found, addresses)),
                // The next may be known; if none is, this one may still be.
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match failure {
            Some(failure) => Err(failure),
            None => Ok(answer(nothing, addresses)),
        }
    }

    /// What the hosts file has.
    fn listed(&self, name: &Name) -> Vec<IpAddr> {
        [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|kind| {
                self.hosts
                    .lookup_static_host(&op::Query::query(name.clone(), kind))
            })
            .flat_map(|lookup| {
                let records = lookup.answers().iter();
                records
                    .filter_map(|record| record.data.ip_addr())
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// The names that `host` may stand for, in the order of resolv.conf(5).
    fn candidates(&self, host: &str, name: Name) -> Vec<Name> {
        if host.ends_with('.') {
            return vec![name];
        }
        let mut names: Vec<Name> = self
            .search
            .iter()
            .filter_map(|domain| {
                let mut relative = name.clone();
                relative.set_fqdn(false);
                let mut name = relative.append_domain(domain).ok()?;
                name.set_fqdn(true);
                Some(name)
            })
            .collect();
        let dots = host.bytes().filter(|byte| *byte == b'.').count();
        let place = if dots >= self.ndots { 0 } else { names.len() };
        names.insert(place, name);
        names
    }

    /// A and AAAA. One family is enough; where neither has records, both must say so.
    async fn both_families(&self, name: &Name) -> Result<Found, String> {
        let (four, six) = tokio::join!(
            self.ask(name, RecordType::A),
            self.ask(name, RecordType::AAAA)
        );
        match (four, six) {
            (Ok(mut four), Ok(six)) => {
                four.valid_for = match (four.records.is_empty(), six.records.is_empty()) {
                    (true, false) => six.valid_for,
                    (false, true) => four.valid_for,
                    _ => four.valid_for.min(six.valid_for),
                };
                four.records.extend(six.records);
                Ok(four)
            }
            (Ok(found), Err(error)) | (Err(error), Ok(found)) => {
                if found.records.is_empty() {
                    Err(error)
                } else {
                    Ok(found)
                }
            }
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// Asks the servers for records of one kind.
    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Found, String> {
        let dns = self.dns.as_ref().map_err(Clone::clone)?;
        match dns.lookup(name.clone(), kind).await {
            Ok(lookup) => {
                let records = lookup.answers();
                // Aliases on the way count as well.
                let ttl = records.iter().map(|record| record.ttl).min().unwrap_or(0);
                let wanted = |record: &&Record| record.record_type() == kind;
                Ok(Found {
                    records: records
                        .iter()
                        .filter(wanted)
                        .map(|record| record.data.clone())
                        .collect(),
                    valid_for: Duration::from_secs(u64::from(ttl)),
                })
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => Ok(Found {
                records: Vec::new(),
                valid_for: Duration::from_secs(u64::from(nothing.negative_ttl.unwrap_or(0))),
            }),
            Err(error) => Err(why(&error)),
        }
    }
}

/// The server at this address, by UDP, and by TCP where an answer is too long for that.
fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()]
        .into_iter()
        .map(|mut connection| {
            connection.port = address.port();
            connection
        })
        .collect();
    NameServerConfig::new(address.ip(), true, connections)
}

/// The name as it stands, nothing put behind it.
fn whole(name: &str) -> Result<Name, String> {
    let mut whole = Name::from_str_relaxed(name).unwrap_or_default();
    whole.set_fqdn(true);
    if whole.is_root() || name.contains(char::is_whitespace) {
        return Err(format!("{name:?} is no host name"));
    }
    Ok(whole)
}

fn answer(found: Found, records: impl FnOnce(Vec<RData>) -> Records) -> Answer {
    let most = if found.records.is_empty() {
        NOTHING_VALID_MAX
    } else {
        VALID_MAX
    };
    Answer {
        valid_for: found.valid_for.clamp(VALID_MIN, most),
        records: records(found.records),
    }
}

fn addresses(found: Vec<RData>) -> Records {
    let mut addresses = Vec::new();
    for address in found.iter().filter_map(RData::ip_addr) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Records::Addresses(addresses)
}

fn srv_record(data: RData) -> Option<SrvRecord> {
    let RData::SRV(srv) = data else {
        return None;
    };
    Some(SrvRecord {
        priority: srv.priority,
        weight: srv.weight,
        port: srv.port,
        target: host_name(&srv.target),
    })
}

fn naptr_record(data: RData) -> Option<NaptrRecord> {
    let RData::NAPTR(naptr) = data else {
        return None;
    };
    Some(NaptrRecord {
        order: naptr.order,
        preference: naptr.preference,
        flags: String::from_utf8_lossy(&naptr.flags).into_owned(),
        service: String::from_utf8_lossy(&naptr.services).into_owned(),
        replacement: host_name(&naptr.replacement),
    })
}

/// Without the dot at its end; the root is `.`.
fn host_name(name: &Name) -> String {
    let text = name.to_ascii();
    match text.strip_suffix('.') {
        Some(host) if !host.is_empty() => host.to_owned(),
        _ => text,
    }
}

/// What kept the servers from answering.
fn why(error: &NetError) -> String {
    match error {
        NetError::Timeout => "no DNS server answered in time".to_owned(),
        NetError::NoConnections => "no DNS server could be reached".to_owned(),
        NetError::Io(error) => format!("no DNS server could be reached: {error}"),
        NetError::Dns(DnsError::ResponseCode(code)) => {
            format!("the DNS server answered: {code}")
        }
        other => format!("DNS: {other}"),
    }
}

#[cfg(test)]
#[path = "../../tests/it/zone.rs"]
#[allow(clippy::unwrap_used)]
mod zone;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use hickory_proto::rr::rdata::{A, AAAA, CNAME, NAPTR, SRV};

    use super::zone::{Manner, NEGATIVE_TTL, Zone, absolute, record};
    use super::*;

    /// Names that are looked up in the zone, with one second to wait for it.
    fn names(zone: &Zone) -> Names {
        let system = system_conf::parse_resolv_conf(
            "nameserver 192.0.2.53\nsearch corp.test lab.test\noptions timeout:1 attempts:1\n",
        );
        Names::new(&[zone.address], system)
    }

    fn a(name: &str, ttl: u32, address: &str) -> Record {
        record(name, ttl, RData::A(A(address.parse().unwrap())))
    }

    fn aaaa(name: &str, ttl: u32, address: &str) -> Record {
        record(name, ttl, RData::AAAA(AAAA(address.parse().unwrap())))
    }

    async fn addresses_of(names: &Names, host: &str) -> Result<(Vec<String>, u64), String> {
        let answer = names.look_up(&Query::Addresses(host.to_owned())).await?;
        let Records::Addresses(addresses) = answer.records else {
            panic!("no addresses: {answer:?}");
        };
        let addresses = addresses.iter().map(ToString::to_string).collect();
        Ok((addresses, answer.valid_for.as_secs()))
    }

    fn found(addresses: &[&str], valid_for: u64) -> Result<(Vec<String>, u64), String> {
        let addresses = addresses.iter().map(|it| (*it).to_owned()).collect();
        Ok((addresses, valid_for))
    }

    #[tokio::test]
    async fn addresses_are_found_and_believed_for_their_time() {
        let alias =
            |name: &str, ttl, to: &str| record(name, ttl, RData::CNAME(CNAME(absolute(to))));
        let zone = Zone::new(vec![
            a("one.test", 60, "192.0.2.1"),
            a("both.test", 300, "192.0.2.1"),
            a("both.test", 300, "192.0.2.2"),
            aaaa("both.test", 30, "2001:db8::1"),
            aaaa("six.test", 60, "2001:db8::6"),
            a("zero.test", 0, "192.0.2.1"),
            a("week.test", 604_800, "192.0.2.1"),
            alias("alias.test", 20, "one.test"),
            a("inside.corp.test", 60, "192.0.2.7"),
            a("inside.lab.test", 60, "192.0.2.8"),
            a("deep.er.lab.test", 60, "192.0.2.9"),
        ]);
        let names = names(&zone);
        let day = VALID_MAX.as_secs();
        for (host, expected) in [
            ("192.0.2.9", found(&["192.0.2.9"], day)),
            ("[2001:db8::9]", found(&["2001:db8::9"], day)),
            ("one.test", found(&["192.0.2.1"], 60)),
            ("ONE.test.", found(&["192.0.2.1"], 60)),
            (
                "both.test",
                found(&["192.0.2.1", "192.0.2.2", "2001:db8::1"], 30),
            ),
            ("six.test", found(&["2001:db8::6"], 60)),
            ("zero.test", found(&["192.0.2.1"], 5)),
            ("week.test", found(&["192.0.2.1"], day)),
            ("alias.test", found(&["192.0.2.1"], 20)),
            // Names that are not whole, in the order of the search list.
            ("inside", found(&["192.0.2.7"], 60)),
            ("deep.er", found(&["192.0.2.9"], 60)),
            // Nothing, and that is certain.
            ("nobody.test", found(&[], u64::from(NEGATIVE_TTL))),
            ("inside.", found(&[], u64::from(NEGATIVE_TTL))),
        ] {
            assert_eq!(addresses_of(&names, host).await, expected, "{host}");
        }
    }

    #[tokio::test]
    async fn services_are_found() {
        let zone = Zone::new(vec![
            record(
                "_sip._udp.test",
                60,
                RData::SRV(SRV::new(1, 2, 5062, absolute("a.test"))),
            ),
            record(
                "_sip._tcp.test",
                60,
                RData::SRV(SRV::new(0, 0, 0, Name::root())),
            ),
            record(
                "test",
                90,
                RData::NAPTR(NAPTR::new(
                    10,
                    20,
                    b"s".to_vec().into(),
                    b"SIP+D2U".to_vec().into(),
                    Box::default(),
                    absolute("_sip._udp.test"),
                )),
            ),
        ]);
        let names = names(&zone);
        let look_up = |query| {
            let names = &names;
            async move { names.look_up(&query).await.unwrap() }
        };
        let srv = |port, target: &str, priority, weight| SrvRecord {
            priority,
            weight,
            port,
            target: target.to_owned(),
        };
        let answer = look_up(Query::Srv("_sip._udp.test".to_owned())).await;
        assert_eq!(
            answer.records,
            Records::Srv(vec![srv(5062, "a.test", 1, 2)])
        );
        assert_eq!(answer.valid_for, Duration::from_secs(60));
        let answer = look_up(Query::Srv("_sip._tcp.test".to_owned())).await;
        assert_eq!(answer.records, Records::Srv(vec![srv(0, ".", 0, 0)]));
        let answer = look_up(Query::Srv("_sips._tcp.test".to_owned())).await;
        assert_eq!(answer.records, Records::Srv(Vec::new()));
        let answer = look_up(Query::Naptr("test".to_owned())).await;
        let naptr = NaptrRecord {
            order: 10,
            preference: 20,
            flags: "s".to_owned(),
            service: "SIP+D2U".to_owned(),
            replacement: "_sip._udp.test".to_owned(),
        };
        assert_eq!(answer.records, Records::Naptr(vec![naptr]));
        assert_eq!(answer.valid_for, Duration::from_secs(90));
    }

    #[tokio::test]
    async fn nothing_is_kept() {
        let zone = Zone::new(vec![a("one.test", 3600, "192.0.2.1")]);
        let names = names(&zone);
        assert_eq!(
            addresses_of(&names, "one.test").await,
            found(&["192.0.2.1"], 3600)
        );
        zone.change(vec![a("one.test", 3600, "192.0.2.2")]);
        assert_eq!(
            addresses_of(&names, "one.test").await,
            found(&["192.0.2.2"], 3600)
        );
        zone.change(Vec::new());
        assert_eq!(
            addresses_of(&names, "one.test").await,
            found(&[], u64::from(NEGATIVE_TTL))
        );
    }

    #[tokio::test]
    async fn servers_that_do_not_answer_are_no_answer() {
        let zone = Zone::new(vec![a("one.test", 60, "192.0.2.1")]);
        let names = names(&zone);
        for (manner, why) in [
            (
                Manner::Fail(op::ResponseCode::ServFail),
                "the DNS server answered: Server Failure",
            ),
            (
                Manner::Fail(op::ResponseCode::Refused),
                "the DNS server answered: Query Refused",
            ),
            (Manner::Silence, "no DNS server answered in time"),
        ] {
            zone.behave(manner);
            let answer = addresses_of(&names, "one.test").await;
            assert_eq!(answer, Err(why.to_owned()), "{manner:?}");
        }
        zone.behave(Manner::Answer);
        assert_eq!(
            addresses_of(&names, "one.test").await,
            found(&["192.0.2.1"], 60)
        );
    }

    #[tokio::test]
    async fn without_a_server_names_fail_with_the_reason() {
        let missing = || {
            Err(NetError::from(std::io::Error::from(
                std::io::ErrorKind::NotFound,
            )))
        };
        let names = Names::new(&[], missing());
        assert_eq!(
            addresses_of(&names, "one.test").await,
            Err("there is no DNS server to ask: /etc/resolv.conf: io error: entity not found; mend it, or write nameserver= into [lampwire]".to_owned())
        );
        assert!(addresses_of(&names, "192.0.2.1").await.is_ok());
        // With one of our own the system's are not needed.
        let zone = Zone::new(vec![a("one.test", 60, "192.0.2.1")]);
        let names = Names::new(&[zone.address], missing());
        assert_eq!(
            addresses_of(&names, "one.test").await,
            found(&["192.0.2.1"], 60)
        );
    }

    #[tokio::test]
    async fn what_is_no_name_is_an_error() {
        let zone = Zone::new(Vec::new());
        let names = names(&zone);
        for host in ["", ".", "no name at all", "a..b", &"x".repeat(64)] {
            let answer = addresses_of(&names, host).await;
            assert_eq!(answer, Err(format!("{host:?} is no host name")));
        }
    }

    #[tokio::test]
    async fn answers_come_with_their_question() {
        let mut resolver = Resolver::new(&[]);
        let query = Query::Addresses("127.0.1.9".to_owned());
        resolver.ask(query.clone());
        let (asked, answer) = resolver.next().await;
        assert_eq!(asked, query);
        assert_eq!(
            answer.unwrap().records,
            Records::Addresses(vec!["127.0.1.9".parse().unwrap()])
        );
    }
}
