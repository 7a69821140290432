//! What two nodes have agreed on, and the `pjsip.conf` of each that follows from it. An Asterisk and
//! Lampwire get the same sections.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The port that every node of these tests takes SIP on.
pub(crate) const SIP_PORT: u16 = 5060;
/// The same over TLS.
const SIPS_PORT: u16 = 5061;

/// Loopback addresses of one case: as many as the greatest has, and five cases share a `/24`.
const HOSTS: usize = 50;
/// Cases in one round through the networks `127.block.0.0/24` to `127.block.249.0/24`. Those above are not for cases: one is the claim on the block.
const NETWORKS: usize = 250;
/// Cases that find addresses.
const CASES_MAX: usize = NETWORKS * (256 / HOSTS);

/// The addresses of one case: loopback addresses that no other case has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    block: u8,
    network: u8,
    /// The last part of the addresses counts from here.
    base: u8,
}

impl Addresses {
    /// Those of the case with this number: `127.block.number.1` and on; after 250 cases from `127.block.0.51` on.
    pub(crate) fn new(block: u8, number: usize) -> Self {
        assert!(number < CASES_MAX, "at most {CASES_MAX} cases");
        let part = |it| u8::try_from(it).expect("below 256");
        Self {
            block,
            network: part(number % NETWORKS),
            base: part(number / NETWORKS * HOSTS),
        }
    }

    /// Those of what is measured, which runs beside no other measurement.
    pub(crate) const fn of_figures(block: u8) -> Self {
        Self {
            block,
            network: 250,
            base: 0,
        }
    }

    /// The node that is tested.
    pub(crate) fn subject(self) -> IpAddr {
        self.host(1)
    }

    /// The Asterisk that it is tested with.
    pub(crate) fn peer(self) -> IpAddr {
        self.host(2)
    }

    /// What stands between the two, where something does.
    pub(crate) fn relay(self) -> IpAddr {
        self.host(3)
    }

    /// A phone system or stranger.
    pub(crate) fn third_party(self) -> IpAddr {
        self.host(4)
    }

    /// Those of a case with more than two nodes, after all the others.
    pub(crate) fn more(self) -> impl Iterator<Item = IpAddr> {
        (10..=40).map(move |number| self.host(number))
    }

    /// Further nodes, where a case has more than two: from 5 on, below 50.
    pub(crate) fn host(self, number: u8) -> IpAddr {
        assert!(usize::from(number) < HOSTS, "{number} is of another case");
        IpAddr::V4(Ipv4Addr::new(
            127,
            self.block,
            self.network,
            self.base + number,
        ))
    }
}

/// How a node recognises the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Recognition {
    /// As the endpoint that bears the user name in From, or any other way: Asterisk's default.
    #[default]
    AsConfiguredByDefault,
    /// By the user name in From and nothing else.
    UserName,
    /// By an `identify` section with the address and nothing else.
    Address,
}

/// One node's side of a relation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Side {
    /// Only devices that match are sent.
    pub(crate) sends_devices: Option<&'static str>,
    /// Only mailboxes that match are sent.
    pub(crate) sends_mailboxes: Option<&'static str>,
    /// Only devices that match are taken.
    pub(crate) takes_devices: Option<&'static str>,
    /// Only mailboxes that match are taken.
    pub(crate) takes_mailboxes: Option<&'static str>,
    /// Who publishes here must know the password, in a digest of this algorithm.
    pub(crate) challenges: Option<&'static str>,
    /// How the other node is recognised.
    pub(crate) recognises: Recognition,
    /// It names no publish in its asterisk-publication: it neither asks the other node for its states nor answers when asked.
    pub(crate) asks_for_nothing: bool,
    /// Seconds that a publication of this node lives.
    pub(crate) expiration: Option<u32>,
    /// Publications side by side (`@lanes`, which Asterisk passes over).
    pub(crate) lanes: Option<u16>,
}

/// What the nodes' messages to each other go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Carrier {
    /// Datagrams.
    #[default]
    Udp,
    /// Connections.
    Tcp,
    /// Encrypted connections, with both certificates checked on both sides.
    Tls,
}

/// What two nodes have agreed on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Relation {
    /// The node that is tested.
    pub(crate) subject: Side,
    /// The Asterisk that it is tested with.
    pub(crate) peer: Side,
    /// The peer reaches the subject through a relay that can refuse.
    pub(crate) relay_to_subject: bool,
    /// The subject reaches the peer through a relay that can be cut.
    pub(crate) relay_to_peer: bool,
    /// What messages go by.
    pub(crate) carrier: Carrier,
}

/// What a node needs to know to write its configuration.
#[derive(Debug, Clone)]
pub(crate) struct NodePlan {
    /// `instance1` or `instance2`.
    pub(crate) name: &'static str,
    /// Where the node listens.
    pub(crate) address: IpAddr,
    /// Its entity id.
    pub(crate) entity_id: &'static str,
    own: Side,
    other: Side,
    other_name: &'static str,
    other_address: IpAddr,
    /// Where its publishes go: the other node, or what stands before it.
    target: IpAddr,
    carrier: Carrier,
    /// Where its certificate, its key and the authority's certificate lie.
    tls_directory: PathBuf,
}

/// Entity id of the node that is tested.
pub(crate) const SUBJECT_EID: &str = "02:00:00:00:00:01";
/// Entity id of the Asterisk that it is tested with.
pub(crate) const PEER_EID: &str = "02:00:00:00:00:02";

/// The user part of the request URI where the node is not to be recognised by it.
const ANY_RESOURCE: &str = "exchange";
const PASSWORD: &str = "correct horse";

impl Relation {
    /// The plan of the node that is tested.
    pub(crate) fn subject_plan(&self, addresses: Addresses, directory: &Path) -> NodePlan {
        NodePlan {
            carrier: self.carrier,
            tls_directory: directory.join("tls"),
            name: "instance1",
            address: addresses.subject(),
            entity_id: SUBJECT_EID,
            own: self.subject.clone(),
            other: self.peer.clone(),
            other_name: "instance2",
            other_address: addresses.peer(),
            target: if self.relay_to_peer {
                addresses.relay()
            } else {
                addresses.peer()
            },
        }
    }

    /// The plan of the Asterisk that it is tested with.
    pub(crate) fn peer_plan(&self, addresses: Addresses, directory: &Path) -> NodePlan {
        NodePlan {
            carrier: self.carrier,
            tls_directory: directory.join("tls"),
            name: "instance2",
            address: addresses.peer(),
            entity_id: PEER_EID,
            own: self.peer.clone(),
            other: self.subject.clone(),
            other_name: "instance1",
            other_address: addresses.subject(),
            target: if self.relay_to_subject {
                addresses.relay()
            } else {
                addresses.subject()
            },
        }
    }
}

impl NodePlan {
    /// The same for a node that sees its own directory at `/mnt`.
    pub(crate) fn in_chroot(self) -> Self {
        Self {
            tls_directory: PathBuf::from("/mnt/tls"),
            ..self
        }
    }

    /// Where the node takes SIP.
    pub(crate) fn sip(&self) -> SocketAddr {
        SocketAddr::new(self.address, SIP_PORT)
    }

    /// The `pjsip.conf` of the node.
    pub(crate) fn pjsip_conf(&self) -> String {
        let mut text = String::new();
        self.write(&mut text)
            .expect("writing into a string does not fail");
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let other = self.other_name;
        writeln!(out, "[transport-udp]\ntype=transport\nprotocol=udp")?;
        writeln!(out, "bind={}\n", self.sip())?;
        let hop = match self.carrier {
            Carrier::Udp => String::new(),
            Carrier::Tcp => {
                writeln!(out, "[transport-tcp]\ntype=transport\nprotocol=tcp")?;
                writeln!(out, "bind={}\n", self.sip())?;
                "\\;transport=tcp".to_owned()
            }
            Carrier::Tls => {
                let directory = self.tls_directory.display();
                writeln!(out, "[transport-tls]\ntype=transport\nprotocol=tls")?;
                writeln!(out, "bind={}:{SIPS_PORT}", self.address)?;
                writeln!(out, "cert_file={directory}/certificate.pem")?;
                writeln!(out, "priv_key_file={directory}/key.pem")?;
                writeln!(out, "ca_list_file={directory}/authority.pem")?;
                writeln!(out, "verify_server=yes\nverify_client=yes")?;
                writeln!(out, "require_client_cert=yes\nmethod=tlsv1_2\n")?;
                format!(":{SIPS_PORT}\\;transport=tls")
            }
        };

        let global = global(&self.own, &self.other);
        if !global.is_empty() {
            writeln!(out, "[global]\ntype=global\n{global}")?;
        }

        let endpoint = endpoint_name(&self.own, other);
        writeln!(out, "[{endpoint}]\ntype=endpoint")?;
        match self.own.recognises {
            Recognition::AsConfiguredByDefault => {}
            Recognition::UserName => writeln!(out, "identify_by=username")?,
            Recognition::Address => writeln!(out, "identify_by=ip")?,
        }
        if self.own.challenges.is_some() {
            writeln!(out, "auth=incoming\n\n[incoming]\n{}", credentials())?;
        }
        writeln!(out)?;
        if self.own.recognises == Recognition::Address {
            writeln!(out, "[{endpoint}]\ntype=identify\nendpoint={endpoint}")?;
            writeln!(out, "match={}\n", self.other_address)?;
        }
        if self.other.challenges.is_some() {
            writeln!(out, "[outgoing]\n{}", credentials())?;
        }

        let resource = resource_name(&self.other, self.name);
        for (suffix, event, filter) in [
            (
                "devicestate",
                "asterisk-devicestate",
                self.own
                    .sends_devices
                    .map(|f| format!("@device_state_filter={f}")),
            ),
            (
                "mwi",
                "asterisk-mwi",
                self.own
                    .sends_mailboxes
                    .map(|f| format!("@mailbox_state_filter={f}")),
            ),
        ] {
            writeln!(out, "[{other}-{suffix}]\ntype=outbound-publish")?;
            writeln!(out, "server_uri=sip:{resource}@{}{hop}", self.target)?;
            writeln!(out, "event={event}")?;
            if let Some(lanes) = self.own.lanes {
                writeln!(out, "@lanes={lanes}")?;
            }
            if let Some(seconds) = self.own.expiration {
                writeln!(out, "expiration={seconds}")?;
            }
            if self.other.challenges.is_some() {
                writeln!(out, "outbound_auth=outgoing")?;
            }
            if let Some(line) = filter {
                writeln!(out, "{line}")?;
            }
            writeln!(out)?;
        }

        writeln!(
            out,
            "[{}]\ntype=inbound-publication",
            resource_name(&self.own, other)
        )?;
        if self.own.recognises == Recognition::Address {
            writeln!(out, "endpoint={endpoint}")?;
        }
        writeln!(out, "event_asterisk-devicestate={other}")?;
        writeln!(out, "event_asterisk-mwi={other}\n")?;

        writeln!(out, "[{other}]\ntype=asterisk-publication")?;
        if !self.own.asks_for_nothing {
            writeln!(out, "devicestate_publish={other}-devicestate")?;
            writeln!(out, "mailboxstate_publish={other}-mwi")?;
        }
        writeln!(out, "device_state=yes")?;
        if let Some(filter) = self.own.takes_devices {
            writeln!(out, "device_state_filter={filter}")?;
        }
        writeln!(out, "mailbox_state=yes")?;
        if let Some(filter) = self.own.takes_mailboxes {
            writeln!(out, "mailbox_state_filter={filter}")?;
        }
        writeln!(out)
    }
}

/// The endpoint that stands for the other node. Where addresses decide, its name must not be the
/// user name that comes in From.
fn endpoint_name(own: &Side, other: &'static str) -> &'static str {
    match own.recognises {
        Recognition::AsConfiguredByDefault | Recognition::UserName => other,
        Recognition::Address => "neighbour",
    }
}

/// The resource that `sender` publishes to at a node.
fn resource_name(receiver: &Side, sender: &'static str) -> &'static str {
    match receiver.recognises {
        Recognition::AsConfiguredByDefault | Recognition::UserName => sender,
        Recognition::Address => ANY_RESOURCE,
    }
}

/// The one algorithm that is offered and the one that is answered; MD5 is Asterisk's default, and
/// 16.28 knows no other.
fn global(own: &Side, other: &Side) -> String {
    let mut text = String::new();
    for (option, algorithm) in [("uas", own.challenges), ("uac", other.challenges)] {
        if let Some(algorithm) = algorithm.filter(|name| *name != "MD5") {
            text.push_str(&format!("default_auth_algorithms_{option}={algorithm}\n"));
        }
    }
    text
}

fn credentials() -> String {
    format!("type=auth\nauth_type=userpass\nusername=lamp\npassword={PASSWORD}\n")
}
