//! PEERS.toml: the few lines that a plan is made of.

use std::collections::HashSet;
use std::net::IpAddr;

use anyhow::{Context, bail, ensure};
use lampwire_conf::Filter;
use lampwire_conf::check::Address;
use serde::Deserialize;

/// The most peers of one plan. A mesh of so many has 40,000 relations; beyond it, hubs are what is wanted.
const PEERS_MAX: usize = 200;
/// The most NATS servers of one plan: five at each of thirty sites.
const SERVERS_MAX: usize = 150;
/// The most nodes that one Asterisk is attached to: each hears all that it says.
const NODES_MAX: usize = 4;
/// The port of a NATS server where its address names none.
const NATS_PORT: u16 = 4222;
/// The longest name of a peer: it is part of file names and of the names of sections.
const NAME_MAX: usize = 40;
/// The longest password that is given.
const PASSWORD_MAX: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    topology: Topology,
    hub: Option<String>,
    cluster: Option<String>,
    replicas: Option<u8>,
    #[serde(default)]
    auth: Authentication,
    #[serde(default)]
    tls: bool,
    #[serde(default)]
    hints: bool,
    #[serde(default, rename = "peer")]
    peers: Vec<Described>,
    #[serde(default, rename = "nats")]
    servers: Vec<DescribedServer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DescribedServer {
    name: String,
    address: String,
    site: Option<String>,
    bind: Option<IpAddr>,
    directory: Option<String>,
    store: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    name: String,
    address: String,
    #[serde(default)]
    kind: Kind,
    devices: Option<String>,
    mailboxes: Option<String>,
    password: Option<String>,
    bind: Option<IpAddr>,
    directory: Option<String>,
    #[serde(default)]
    existing_transport: bool,
    nodes: Option<Vec<String>>,
    site: Option<String>,
    rank: Option<u16>,
    wide_devices: Option<String>,
    wide_mailboxes: Option<String>,
}

/// Who exchanges with whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Topology {
    /// Each with each.
    #[default]
    Mesh,
    /// Each with the hub.
    Hub,
    /// Each Asterisk with the Lampwires that it is attached to, and these with each other over NATS.
    Cluster,
}

/// How peers prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Authentication {
    /// By a password for each pair and direction.
    #[default]
    Digest,
    /// By their addresses alone.
    None,
}

/// What a peer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// An Asterisk.
    #[default]
    Asterisk,
    /// A Lampwire.
    Lampwire,
}

impl Kind {
    /// What its configuration is called.
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Self::Asterisk => "pjsip.conf",
            Self::Lampwire => "lampwire.conf",
        }
    }

    /// Where its files lie on its server, if nothing else is said.
    fn directory(self) -> &'static str {
        match self {
            Self::Asterisk => "/etc/asterisk/lampwire",
            Self::Lampwire => "/etc/lampwire",
        }
    }
}

/// One server.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(super) name: String,
    /// A host name in lower case, or an IP address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) kind: Kind,
    /// What it sends; None: everything.
    pub(super) devices: Option<String>,
    pub(super) mailboxes: Option<String>,
    /// What it answers challenges with; None: made for each peer.
    pub(super) password: Option<String>,
    /// Where it listens.
    pub(super) bind: IpAddr,
    /// Where its files lie on its server.
    pub(super) directory: String,
    /// It has a transport section already.
    pub(super) existing_transport: bool,
    /// The nodes of the cluster that an Asterisk is attached to.
    pub(super) nodes: Vec<String>,
    /// Where a node of the cluster stands.
    pub(super) site: String,
    /// Its rank, where one is given.
    pub(super) rank: Option<u16>,
    /// What of its peers' states other sites hear; None: everything.
    pub(super) wide_devices: Option<String>,
    pub(super) wide_mailboxes: Option<String>,
}

/// A NATS server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(super) name: String,
    /// A host name in lower case, or an IP address without brackets.
    pub(super) host: String,
    /// Where nodes connect to. Other servers of the site connect 2,000 above it, those of other sites 3,200.
    pub(super) port: u16,
    pub(super) site: String,
    /// Where it listens.
    pub(super) bind: IpAddr,
    /// Where its files will lie on its machine.
    pub(super) directory: String,
    /// Where it keeps what it is told.
    pub(super) store: String,
}

impl Server {
    /// Where the other servers of its site connect to.
    pub(super) fn route_port(&self) -> u16 {
        self.port + 2000
    }

    /// Where the servers of other sites connect to.
    pub(super) fn leaf_port(&self) -> u16 {
        self.port + 3200
    }
}

/// What the nodes share over NATS, and the servers of that.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(super) name: String,
    /// The site that the others' servers connect to is the first one's.
    pub(super) servers: Vec<Server>,
    replicas: Option<u8>,
}

impl Cluster {
    /// The servers of a site.
    pub(super) fn of_site<'a>(&'a self, site: &'a str) -> impl Iterator<Item = &'a Server> {
        self.servers.iter().filter(move |it| it.site == site)
    }

    /// The site that the servers of all others connect to.
    pub(super) fn middle(&self) -> &str {
        self.servers.first().map_or("main", |it| it.site.as_str())
    }

    /// Whether there are several sites, which then are domains of JetStream.
    pub(super) fn has_sites(&self) -> bool {
        self.servers.iter().any(|it| it.site != self.middle())
    }

    /// How many servers of a site keep its bucket.
    pub(super) fn replicas(&self, site: &str) -> u8 {
        self.replicas.unwrap_or(match self.of_site(site).count() {
            0..3 => 1,
            _ => 3,
        })
    }
}

/// All of it, without contradictions.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) topology: Topology,
    /// The hub's place in `peers`; None in a mesh.
    pub(super) hub: Option<usize>,
    pub(super) auth: Authentication,
    pub(super) tls: bool,
    pub(super) hints: bool,
    pub(super) peers: Vec<Peer>,
    /// None: the topology is another.
    pub(super) cluster: Option<Cluster>,
}

impl Plan {
    /// Reads PEERS.toml.
    ///
    /// # Errors
    /// A sentence that says what is wrong and where.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let document: Document =
            toml::from_str(text).map_err(|error| anyhow::anyhow!(told(text, &error)))?;
        let count = document.peers.len();
        ensure!(
            (2..=PEERS_MAX).contains(&count),
            "there are {count} peers, and a plan has 2 to {PEERS_MAX}: each begins with [[peer]]"
        );
        let mut names = HashSet::new();
        let mut places = HashSet::new();
        let mut peers = Vec::new();
        for described in document.peers {
            let name = described.name.clone();
            let peer = described
                .checked(document.tls)
                .with_context(|| format!("peer {name:?}"))?;
            ensure!(
                names.insert(peer.name.clone()),
                "two peers are called {name:?}"
            );
            ensure!(
                places.insert((peer.host.clone(), peer.port)),
                "peer {name:?}: another one has the same address and port"
            );
            peers.push(peer);
        }
        let mut servers = Vec::new();
        ensure!(
            document.servers.len() <= SERVERS_MAX,
            "there are more than {SERVERS_MAX} NATS servers"
        );
        for described in document.servers {
            let name = described.name.clone();
            let server = described
                .checked()
                .with_context(|| format!("nats {name:?}"))?;
            ensure!(
                names.insert(server.name.clone()),
                "two servers are called {name:?}"
            );
            let ports = [server.port, server.route_port(), server.leaf_port()];
            for port in ports {
                ensure!(
                    places.insert((server.host.clone(), port)),
                    "nats {name:?}: another one has the same address and one of the ports {ports:?}"
                );
            }
            servers.push(server);
        }
        let cluster = match document.topology {
            Topology::Cluster => {
                let name = document.cluster.unwrap_or_else(|| "lampwire".to_owned());
                ensure!(is_token(&name), "cluster: {TOKEN}");
                let cluster = Cluster {
                    name,
                    servers,
                    replicas: document.replicas,
                };
                check_cluster(&cluster, &peers)?;
                Some(cluster)
            }
            Topology::Mesh | Topology::Hub => {
                ensure!(
                    document.cluster.is_none()
                        && document.replicas.is_none()
                        && servers.is_empty()
                        && peers.iter().all(Peer::is_of_no_cluster),
                    "[[nats]], cluster, replicas, nodes, site, rank and wide_... are for topology = \"cluster\""
                );
                None
            }
        };
        let hub = match (document.topology, document.hub) {
            (Topology::Mesh | Topology::Cluster, None) => None,
            (Topology::Mesh | Topology::Cluster, Some(_)) => {
                bail!("hub: only a hub has one; write topology = \"hub\"")
            }
            (Topology::Hub, None) => bail!("hub: say which peer it is, as in hub = \"hub1\""),
            (Topology::Hub, Some(hub)) => {
                let Some(index) = peers.iter().position(|peer| peer.name == hub) else {
                    bail!("hub: no peer is called {hub:?}");
                };
                ensure!(
                    peers[index].kind == Kind::Lampwire,
                    "hub: {hub:?} is an Asterisk, which passes nothing on; write kind = \"lampwire\""
                );
                Some(index)
            }
        };
        Ok(Self {
            topology: document.topology,
            hub,
            auth: document.auth,
            tls: document.tls,
            hints: document.hints,
            peers,
            cluster,
        })
    }

    /// The peers that this one exchanges with, in the order of the plan.
    pub(super) fn others<'a>(&'a self, peer: &'a Peer) -> impl Iterator<Item = &'a Peer> {
        let hub = self.hub.and_then(|hub| self.peers.get(hub));
        self.peers.iter().filter(move |other| {
            let tied = match self.topology {
                Topology::Cluster => {
                    peer.nodes.contains(&other.name) || other.nodes.contains(&peer.name)
                }
                Topology::Mesh | Topology::Hub => {
                    hub.is_none_or(|hub| hub.name == peer.name || hub.name == other.name)
                }
            };
            other.name != peer.name && tied
        })
    }

    /// Whether it passes on what the others tell.
    pub(super) fn is_hub(&self, peer: &Peer) -> bool {
        if self.topology == Topology::Cluster {
            return peer.kind == Kind::Lampwire;
        }
        self.hub
            .and_then(|hub| self.peers.get(hub))
            .is_some_and(|hub| hub.name == peer.name)
    }

    /// Whether another peer has the same address, so that addresses tell nobody apart.
    pub(super) fn shares_address(&self, peer: &Peer) -> bool {
        self.peers
            .iter()
            .any(|other| other.name != peer.name && other.host == peer.host)
    }
}

/// What is wrong with a document and in which line. What stands there may be a password, which is printed nowhere.
fn told(text: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    // What is of a wrong type is named with its value.
    let message = match message.rsplit_once(", expected ") {
        Some((_, expected)) if message.starts_with("invalid ") => format!("expected {expected}"),
        Some(_) | None => message.to_owned(),
    };
    let Some(start) = error.span().map(|span| span.start) else {
        return message;
    };
    let before = text.get(..start).unwrap_or(text);
    let (number, begin) = (before.matches('\n').count() + 1, before.rfind('\n'));
    let line = text[begin.map_or(0, |begin| begin + 1)..].lines().next();
    let key = line.and_then(|line| line.split_once('='));
    let key = key.map(|(key, _)| key.trim());
    let is_key = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    match key {
        Some(key) if key.bytes().all(is_key) => format!("line {number}: {key}: {message}"),
        Some(_) | None => format!("line {number}: {message}"),
    }
}

/// What the names of clusters and sites are made of.
const TOKEN: &str = "1 to 32 letters, digits, - and _";

fn is_token(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=32).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Who is attached where, and what stands at each site.
fn check_cluster(cluster: &Cluster, peers: &[Peer]) -> anyhow::Result<()> {
    for peer in peers {
        let name = &peer.name;
        match peer.kind {
            Kind::Lampwire => {
                ensure!(
                    peer.nodes.is_empty(),
                    "peer {name:?}: nodes: a Lampwire of a cluster is a node itself"
                );
                ensure!(
                    cluster.of_site(&peer.site).next().is_some(),
                    "peer {name:?}: site: no [[nats]] stands at site {:?}",
                    peer.site
                );
            }
            Kind::Asterisk => {
                let what = Peer {
                    nodes: Vec::new(),
                    ..peer.clone()
                };
                ensure!(
                    what.is_of_no_cluster(),
                    "peer {name:?}: site, rank and wide_... are a node's, and this is an Asterisk"
                );
                ensure!(
                    (1..=NODES_MAX).contains(&peer.nodes.len()),
                    "peer {name:?}: nodes: say which of the Lampwires it is attached to, one or two, as in nodes = [\"lamp1\", \"lamp2\"]"
                );
            }
        }
        let mut seen = HashSet::new();
        for node in &peer.nodes {
            let known = |it: &&Peer| it.name == *node && it.kind == Kind::Lampwire;
            ensure!(
                peers.iter().any(|it| known(&it)) && seen.insert(node),
                "peer {name:?}: nodes: {node:?} is no Lampwire of the plan, or stands there twice"
            );
        }
    }
    let replicas = cluster.replicas;
    ensure!(
        replicas.is_none_or(|replicas| matches!(replicas, 1 | 3 | 5)),
        "replicas: 1, 3 or 5"
    );
    for server in &cluster.servers {
        let site = &server.site;
        let count = cluster.of_site(site).count();
        ensure!(
            count % 2 == 1,
            "site {site:?} has {count} NATS servers, of which more than half must be there for anything to be kept: let it be one more or less"
        );
        ensure!(
            count >= usize::from(cluster.replicas(site)),
            "replicas: site {site:?} has only {count} NATS servers"
        );
        ensure!(
            peers
                .iter()
                .any(|it| it.kind == Kind::Lampwire && it.site == *site),
            "nats {:?}: no Lampwire stands at site {site:?}",
            server.name
        );
    }
    Ok(())
}

impl Peer {
    fn is_of_no_cluster(&self) -> bool {
        self.nodes.is_empty()
            && self.site == MAIN
            && self.rank.is_none()
            && self.wide_devices.is_none()
            && self.wide_mailboxes.is_none()
    }
}

/// The site of whoever names none.
const MAIN: &str = "main";

/// Where a server is: what stands there, and its IP address if it is one.
fn place(address: &str) -> anyhow::Result<(Address, Option<IpAddr>)> {
    let parsed: Address = address
        .parse()
        .map_err(|why| anyhow::anyhow!("address: {address:?} {why}"))?;
    let ip = parsed.host.parse::<IpAddr>().ok();
    ensure!(
        ip.is_none_or(|ip| !ip.is_unspecified()),
        "address: {address:?} is nowhere: write the address that the others reach it at"
    );
    Ok((parsed, ip))
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    ensure!(
        (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_plain) && name != "authority",
        "name: letters, digits, - and _, {NAME_MAX} at most, and not \"authority\""
    );
    Ok(())
}

/// A directory on a server, without the slash at its end.
fn directory(what: &str, given: Option<String>, default: &str) -> anyhow::Result<String> {
    let directory = given.unwrap_or_else(|| default.to_owned());
    let is_bad = |it: char| it.is_control() || matches!(it, ';' | '"' | '\\');
    ensure!(
        directory.starts_with('/') && !directory.contains(is_bad),
        "{what}: an absolute path on that server, without semicolons and quotes"
    );
    Ok(directory.trim_end_matches('/').to_owned())
}

fn site(given: Option<String>) -> anyhow::Result<String> {
    let site = given.unwrap_or_else(|| MAIN.to_owned());
    ensure!(is_token(&site), "site: {TOKEN}");
    Ok(site)
}

impl DescribedServer {
    fn checked(self) -> anyhow::Result<Server> {
        check_name(&self.name)?;
        let (address, ip) = place(&self.address)?;
        let port = address.port.unwrap_or(NATS_PORT);
        ensure!(
            port <= u16::MAX - 3200,
            "address: its port is at most {}, for others lie 2,000 and 3,200 above it",
            u16::MAX - 3200
        );
        let everywhere = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        Ok(Server {
            name: self.name,
            host: address.host,
            port,
            site: site(self.site)?,
            bind: self.bind.or(ip).unwrap_or(everywhere),
            directory: directory("directory", self.directory, "/etc/nats")?,
            store: directory("store", self.store, "/var/lib/nats")?,
        })
    }
}

impl Described {
    fn checked(self, tls: bool) -> anyhow::Result<Peer> {
        check_name(&self.name)?;
        let (address, ip) = place(&self.address)?;
        let everywhere = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        let filter = |name: &str, given: Option<String>| -> anyhow::Result<Option<String>> {
            let given = given.map(|text| text.trim().to_owned());
            let given = given.filter(|text| !text.is_empty());
            if let Some(pattern) = &given {
                Filter::parse(pattern)
                    .map_err(|error| anyhow::anyhow!("{name}: {pattern:?}: {error}"))?;
                ensure!(
                    !pattern.contains(';') && !pattern.chars().any(char::is_control),
                    "{name}: a filter has neither semicolons nor control characters"
                );
            }
            Ok(given)
        };
        if let Some(password) = &self.password {
            ensure!(
                (8..=PASSWORD_MAX).contains(&password.len())
                    && password.bytes().all(|byte| byte.is_ascii_graphic()),
                "password: 8 to {PASSWORD_MAX} visible ASCII characters without blanks; without one, one is made for each peer"
            );
        }
        let directory = directory("directory", self.directory, self.kind.directory())?;
        Ok(Peer {
            port: address.port.unwrap_or(if tls { 5061 } else { 5060 }),
            bind: self.bind.or(ip).unwrap_or(everywhere),
            host: address.host,
            name: self.name,
            kind: self.kind,
            devices: filter("devices", self.devices)?,
            mailboxes: filter("mailboxes", self.mailboxes)?,
            password: self.password,
            directory,
            existing_transport: self.existing_transport,
            nodes: self.nodes.unwrap_or_default(),
            site: site(self.site)?,
            rank: self.rank,
            wide_devices: filter("wide_devices", self.wide_devices)?,
            wide_mailboxes: filter("wide_mailboxes", self.wide_mailboxes)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TWO: &str =
        "[[peer]]\nname=\"a\"\naddress=\"10.0.0.1\"\n[[peer]]\nname=\"b\"\naddress=\"10.0.0.2\"\n";

    #[test]
    fn what_is_wrong_is_said() {
        for (text, words) in [
            ("", "0 peers"),
            ("[[peer]]\nname=\"a\"\n", "address"),
            ("topolgy=\"hub\"", "topolgy"),
            ("topology=\"star\"", "star"),
            ("hub=\"a\"", "only a hub has one"),
            ("topology=\"hub\"", "say which peer"),
            ("topology=\"hub\"\nhub=\"c\"", "no peer is called"),
            ("topology=\"hub\"\nhub=\"a\"", "passes nothing on"),
        ] {
            // Some are wrong by themselves, others only before two peers.
            let error = Plan::parse(&format!("{text}\n{TWO}")).err();
            let error = error.unwrap_or_else(|| Plan::parse(text).unwrap_err());
            let error = format!("{error:#}");
            assert!(error.contains(words), "{words}: {error}");
        }
        for (line, words) in [
            ("devices=\"^(\"", "devices"),
            ("password=\"short\"", "password"),
            ("directory=\"tls\"", "directory"),
            ("kind=\"pbx\"", "pbx"),
            ("nmae=\"x\"", "nmae"),
        ] {
            let text = format!("{TWO}{line}\n");
            let error = format!("{:#}", Plan::parse(&text).unwrap_err());
            assert!(error.contains(words), "{words}: {error}");
        }
        for (from, to, words) in [
            ("\"b\"", "\"a\"", "two peers"),
            ("\"b\"", "\"../b\"", "name"),
            ("10.0.0.2", "10.0.0.1", "same address"),
            ("10.0.0.2", "0.0.0.0", "nowhere"),
            ("10.0.0.2", "a b", "address"),
        ] {
            let error = format!("{:#}", Plan::parse(&TWO.replace(from, to)).unwrap_err());
            assert!(error.contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_what_stands_there() {
        for (line, told) in [
            ("password = 4711081500", "password: expected a string"),
            ("password = \"4711081500", "password: "),
            ("password = '4711081500' x", "password: "),
            ("passwrod = \"4711081500\"", "unknown field `passwrod`"),
            ("tls = \"4711081500\"", "tls: expected a boolean"),
            ("hints = [\n4711081500]", "hints: expected a boolean"),
            ("bind = \"4711081500\"", "bind: "),
        ] {
            // Inside of a peer and outside.
            for (text, at) in [
                (format!("{TWO}{line}\n"), 7),
                (format!("\n{line}\n{TWO}"), 2),
            ] {
                let error = format!("{:#}", Plan::parse(&text).unwrap_err());
                assert!(!error.contains("4711"), "{line}: {error}");
                if !error.contains("unknown field") || line.contains("passwrod") {
                    assert!(error.contains(told), "{line}: {error}");
                }
                assert!(
                    error.starts_with(&format!("line {at}: ")),
                    "{line}: {error}"
                );
            }
        }
    }

    #[test]
    fn a_hub_exchanges_with_all_and_all_with_it() {
        let text = format!(
            "topology=\"hub\"\nhub=\"h\"\n{TWO}[[peer]]\nname=\"h\"\naddress=\"[2001:db8::1]:5070\"\nkind=\"lampwire\"\n"
        );
        let plan = Plan::parse(&text).unwrap();
        let of = |index: usize| {
            plan.others(&plan.peers[index])
                .map(|it| it.name.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!((of(0), of(2)), (vec!["h"], vec!["a", "b"]));
        assert_eq!(
            (plan.peers[2].host.as_str(), plan.peers[2].port),
            ("2001:db8::1", 5070)
        );
    }
}
