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
    let mut whole = Name::from_str_relaxed(name)
        .ok()
        .filter(|parsed| !parsed.is_root() && !name.contains(|c: char| c.is_whitespace()))
        .ok_or_else(|| format!("{name:?} is no host name"))?;
    whole.set_fqdn(true);
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
