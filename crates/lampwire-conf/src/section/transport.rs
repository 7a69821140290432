//! `type=transport`: where SIP is received and sent from.

use std::net::SocketAddr;
use std::time::Duration;

use super::{NETWORK_HELP, Options, one_of};
use crate::Location;
use crate::diagnostic::quote;
use crate::options::{OptionSpec, SectionSpec, acts, known, list, unset};
use crate::secret::Secret;
use crate::value::{self, Network};

const OPTIONS: &[OptionSpec] = &[
    unset(
        "bind",
        "IP address and port to listen on; the port is 5060, for tls 5061, where none is given, and 0 lets the kernel choose.",
    ).example("10.0.0.11:5060"),
    acts(
        "protocol",
        "udp",
        "udp, tcp or tls; ws, wss and flow are skipped.",
    ).example("tcp"),
    unset(
        "external_signaling_address",
        "The address that peers outside of local_net are told.",
    ).example("198.51.100.7"),
    acts(
        "external_signaling_port",
        "0",
        "The port that peers outside of local_net are told; 0: that of bind.",
    ).example("5070"),
    unset(
        "external_signaling_hostname",
        "The host name that peers outside of local_net are told. Without effect yet: they are told the address.",
    ).example("pbx.example.com"),
    list(
        "local_net",
        "Networks whose peers are told the real address.",
    ).example("10.0.0.0/8"),
    unset("domain", "The domain that this transport speaks for. `check` knows the node by it; without effect otherwise.").example("example.com"),
    unset(
        "ca_list_file",
        "PEM file of the authorities that certificates are checked against.",
    ).example("/etc/lampwire/authority.pem"),
    unset("ca_list_path", "Directory of such files.").example("/etc/ssl/certs"),
    unset("cert_file", "PEM file with our certificate.").example("/etc/lampwire/pbx.pem"),
    unset("priv_key_file", "PEM file with our private key.").example("/etc/lampwire/pbx.key"),
    unset("password", "Password of the private key.").example("opens the key"),
    unset(
        "cipher",
        "TLS ciphers by their OpenSSL names, comma separated.",
    ).example("ECDHE-ECDSA-AES256-GCM-SHA384"),
    unset(
        "method",
        "The TLS version: tlsv1_2, tlsv1_3, or default for all that are safe.",
    ).example("tlsv1_2"),
    acts(
        "require_client_cert",
        "false",
        "Whether clients must show a certificate.",
    ).example("yes"),
    acts(
        "verify_client",
        "false",
        "Whether the certificates of clients are checked.",
    ).example("yes"),
    acts(
        "verify_server",
        "false",
        "Whether the certificates of servers are checked.",
    ).example("yes"),
    acts(
        "allow_wildcard_certs",
        "false",
        "Whether a certificate for `*.example.org` stands for each host there.",
    ).example("yes"),
    acts(
        "tcp_keepalive_enable",
        "no",
        "Whether the kernel probes idle connections.",
    ).example("yes"),
    acts(
        "tcp_keepalive_idle_time",
        "30",
        "Seconds without traffic before it does.",
    ).example("60"),
    acts(
        "tcp_keepalive_interval_time",
        "10",
        "Seconds between its probes.",
    ).example("15"),
    acts(
        "tcp_keepalive_probe_count",
        "5",
        "Probes without an answer after which it closes the connection.",
    ).example("3"),
    acts(
        "tos",
        "false",
        "The type of service byte of packets: a number from 0 to 255, or cs0 to cs7, af11 to af43, ef.",
    ).example("cs3"),
    acts("cos", "false", "The VLAN priority of packets, 0 to 7.").example("3"),
    acts(
        "allow_reload",
        "no",
        "Whether a reload may change the transport. Without effect: a new start does, and the reload says so.",
    ).example("yes"),
    acts(
        "symmetric_transport",
        "no",
        "Whether answers and requests to a peer go out where its own came in. Without effect: answers do, and a publish goes by its own transport.",
    ).example("yes"),
    known("async_operations"),
    known("external_media_address"),
    known("websocket_write_timeout"),
];

pub(crate) const SPEC: SectionSpec = SectionSpec {
    name: "transport",
    doc: "Where SIP is received and sent from.",
    options: OPTIONS,
    open_prefix: None,
    single: false,
};

/// How messages are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl Protocol {
    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// RFC 3261 section 19.1.2: 5060, and 5061 for TLS.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }
}

/// Where SIP is received and sent from.
#[derive(Clone, Debug, PartialEq)]
pub struct Transport {
    /// The section's name.
    pub name: String,
    /// Where it stands; for the one that is made where the file has none, line 0.
    pub at: Location,
    /// How messages are carried.
    pub protocol: Protocol,
    /// The address to listen on; port 0: the kernel chooses.
    pub bind: SocketAddr,
    /// The address or host that peers outside of `local_net` are told.
    pub external_signaling_address: Option<String>,
    /// The port that they are told.
    pub external_signaling_port: Option<u16>,
    /// The host name that they are told.
    pub external_signaling_hostname: Option<String>,
    /// Networks whose peers are told the real address.
    pub local_net: Vec<Network>,
    /// The domain that the transport speaks for.
    pub domain: Option<String>,
    /// What concerns TLS alone.
    pub tls: Tls,
    /// The kernel's keep-alive on connections; None: off.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Type of service byte.
    pub tos: u8,
    /// VLAN priority, 0 to 7.
    pub cos: u8,
    /// A reload may change the transport.
    pub allow_reload: bool,
    /// What goes to a peer goes out where its own messages came in.
    pub symmetric_transport: bool,
}

impl Transport {
    /// What is used where the file has no transport: UDP on port 5060 of all IPv4 addresses, named `default`.
    pub fn default_at(file: &std::sync::Arc<str>) -> Self {
        Self {
            name: "default".to_owned(),
            at: Location {
                file: std::sync::Arc::clone(file),
                line: 0,
                column: 0,
            },
            protocol: Protocol::Udp,
            bind: SocketAddr::from(([0, 0, 0, 0], 5060)),
            external_signaling_address: None,
            external_signaling_port: None,
            external_signaling_hostname: None,
            local_net: Vec::new(),
            domain: None,
            tls: Tls::default(),
            tcp_keepalive: None,
            tos: 0,
            cos: 0,
            allow_reload: false,
            symmetric_transport: false,
        }
    }
}

/// What concerns TLS alone. Files are named, not read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tls {
    /// PEM file of the authorities that certificates are checked against.
    pub ca_list_file: Option<String>,
    /// Directory of such files.
    pub ca_list_path: Option<String>,
    /// PEM file with our certificate.
    pub cert_file: Option<String>,
    /// PEM file with our private key.
    pub priv_key_file: Option<String>,
    /// Password of the private key.
    pub password: Option<Secret>,
    /// Ciphers by their OpenSSL names; empty: all that are safe.
    pub cipher: Vec<String>,
    /// The version.
    pub method: TlsMethod,
    /// Clients must show a certificate.
    pub require_client_cert: bool,
    /// The certificates of clients are checked.
    pub verify_client: bool,
    /// The certificates of servers are checked.
    pub verify_server: bool,
    /// A certificate for `*.example.org` stands for each host there.
    pub allow_wildcard_certs: bool,
}

/// The TLS version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMethod {
    /// Whatever both sides have that is safe.
    #[default]
    Any,
    /// TLS 1.0.
    Tls10,
    /// TLS 1.1.
    Tls11,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// The kernel's keep-alive on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// Without traffic before it probes, 1 s to 9 hours.
    pub idle_time: Duration,
    /// Between its probes, 1 s to 9 hours.
    pub interval: Duration,
    /// Probes without an answer after which it closes, 1 to 127.
    pub probe_count: u32,
}

#[derive(Clone, Copy)]
enum Spoken {
    Yes(Protocol),
    No,
}

const PROTOCOLS: [(&str, Spoken); 6] = [
    ("udp", Spoken::Yes(Protocol::Udp)),
    ("tcp", Spoken::Yes(Protocol::Tcp)),
    ("tls", Spoken::Yes(Protocol::Tls)),
    ("ws", Spoken::No),
    ("wss", Spoken::No),
    ("flow", Spoken::No),
];

const METHODS: [(&str, TlsMethod); 8] = [
    ("default", TlsMethod::Any),
    ("unspecified", TlsMethod::Any),
    ("sslv23", TlsMethod::Any),
    ("tlsv1", TlsMethod::Tls10),
    ("tlsv1_1", TlsMethod::Tls11),
    ("tlsv1_2", TlsMethod::Tls12),
    ("tlsv1_3", TlsMethod::Tls13),
    ("", TlsMethod::Any),
];

/// The kernel takes no longer times.
const MAX_KEEPALIVE: u32 = 32_767;

/// None: the section is skipped or wrong.
pub(crate) fn read(options: &mut Options<'_, '_>) -> Option<Transport> {
    let protocol = match options.word("protocol", &PROTOCOLS, Spoken::Yes(Protocol::Udp)) {
        Spoken::Yes(protocol) => protocol,
        Spoken::No => {
            let entry = options.last("protocol")?;
            let why = format!(
                "protocol {} is not spoken here",
                quote(&entry.value.to_ascii_lowercase())
            );
            options.skip(&entry.value_at, &why);
            return None;
        }
    };
    let bind = match options.last("bind").filter(|entry| !entry.value.is_empty()) {
        None => {
            options.missing("bind", "0.0.0.0");
            None
        }
        Some(entry) => {
            let bind = value::socket_address(&entry.value, protocol.default_port());
            if bind.is_none() {
                options.bad_value(
                    entry,
                    "bind",
                    "an IP address with or without a port, as in 0.0.0.0:5060 or [::]:5060",
                );
            }
            bind
        }
    };
    let mut local_net = Vec::new();
    for entry in options.all("local_net") {
        for item in value::items(&entry.value) {
            match item.parse() {
                Ok(network) => local_net.push(network),
                Err(why) => {
                    options.error_at(
                        "bad-network",
                        entry,
                        item,
                        format!("{} in `local_net` {why}", quote(item)),
                        NETWORK_HELP,
                    );
                }
            }
        }
    }
    let external_signaling_port = options.number("external_signaling_port", 0..=u16::MAX);
    let tls = Tls {
        ca_list_file: options.text("ca_list_file"),
        ca_list_path: options.text("ca_list_path"),
        cert_file: options.text("cert_file"),
        priv_key_file: options.text("priv_key_file"),
        password: options.text("password").map(Secret::new),
        cipher: options
            .text("cipher")
            .map(|text| value::items(&text).map(str::to_owned).collect())
            .unwrap_or_default(),
        method: options.word("method", &METHODS, TlsMethod::Any),
        require_client_cert: options.boolean("require_client_cert"),
        verify_client: options.boolean("verify_client"),
        verify_server: options.boolean("verify_server"),
        allow_wildcard_certs: options.boolean("allow_wildcard_certs"),
    };
    let keepalive = TcpKeepalive {
        idle_time: options.seconds("tcp_keepalive_idle_time", 1..=MAX_KEEPALIVE),
        interval: options.seconds("tcp_keepalive_interval_time", 1..=MAX_KEEPALIVE),
        probe_count: options.number("tcp_keepalive_probe_count", 1..=127),
    };
    let external_signaling_address = external(options, "external_signaling_address");
    let external_signaling_hostname = external(options, "external_signaling_hostname");
    Some(Transport {
        name: options.section.name.clone(),
        at: options.section.at.clone(),
        protocol,
        external_signaling_address,
        external_signaling_port: Some(external_signaling_port).filter(|port| *port != 0),
        external_signaling_hostname,
        local_net,
        domain: options.text("domain"),
        tls,
        tcp_keepalive: options.boolean("tcp_keepalive_enable").then_some(keepalive),
        tos: tos(options),
        cos: cos(options),
        allow_reload: options.boolean("allow_reload"),
        symmetric_transport: options.boolean("symmetric_transport"),
        bind: bind?,
    })
}

/// An address or host name without a port.
fn external(options: &mut Options<'_, '_>, name: &'static str) -> Option<String> {
    let entry = options.last(name).filter(|entry| !entry.value.is_empty())?;
    if value::ip_address(&entry.value).is_none() && !value::is_host_name(&entry.value) {
        options.bad_value(entry, name, "an IP address or host name without a port");
        return None;
    }
    Some(entry.value.clone())
}

/// RFC 2474, 2597, 3246: code points by name, shifted into the byte.
const SERVICES: [(&str, u8); 21] = [
    ("cs0", 0x00),
    ("cs1", 0x20),
    ("cs2", 0x40),
    ("cs3", 0x60),
    ("cs4", 0x80),
    ("cs5", 0xa0),
    ("cs6", 0xc0),
    ("cs7", 0xe0),
    ("af11", 0x28),
    ("af12", 0x30),
    ("af13", 0x38),
    ("af21", 0x48),
    ("af22", 0x50),
    ("af23", 0x58),
    ("af31", 0x68),
    ("af32", 0x70),
    ("af33", 0x78),
    ("af41", 0x88),
    ("af42", 0x90),
    ("af43", 0x98),
    ("ef", 0xb8),
];

fn tos(options: &mut Options<'_, '_>) -> u8 {
    let Some(entry) = options.last("tos") else {
        return 0;
    };
    let text = entry.value.as_str();
    if value::boolean(text) == Some(false) {
        return 0;
    }
    let number = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) => u8::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let named = SERVICES
        .iter()
        .find(|(name, _)| text.eq_ignore_ascii_case(name))
        .map(|(_, byte)| *byte);
    number.or(named).unwrap_or_else(|| {
        let names: Vec<&str> = SERVICES.iter().map(|(name, _)| *name).collect();
        options.bad_value(
            entry,
            "tos",
            &format!("a number from 0 to 255, or {}", one_of(text, &names)),
        );
        0
    })
}

fn cos(options: &mut Options<'_, '_>) -> u8 {
    match options.last("cos") {
        Some(entry) if value::boolean(&entry.value) != Some(false) => options.number("cos", 0..=7),
        Some(_) | None => 0,
    }
}
