//! `type=lampwire`: what concerns this node itself.

use std::net::SocketAddr;
use std::time::Duration;

use lampwire_sip::{DeviceState, EntityId};

use super::Options;
use crate::Location;
use crate::diagnostic::quote;
use crate::grammar::Entry;
use crate::options::{OptionSpec, SectionSpec, acts, list, unset};
use crate::secret::Secret;
use crate::value;

const OPTIONS: &[OptionSpec] = &[
    unset(
        "entity_id",
        "Our entity id, as in 02:00:00:00:00:01; without it one is made once and kept in state_dir.",
    ).example("02:00:00:00:00:01"),
    acts(
        "state_dir",
        "/var/lib/lampwire",
        "The directory for what survives a restart; empty: memory only.",
    ).example("/var/lib/lampwire"),
    acts(
        "store_window",
        "100",
        "Milliseconds between two writes to state_dir, 0 to 60000: what a power cut or a kill can lose; 0: as often as the disk can.",
    ).example("500"),
    acts(
        "http_bind",
        "127.0.0.1:7060",
        "Address and port of the HTTP server; empty: none. Beyond loopback it needs http_token.",
    ).example("10.0.0.11:7060"),
    unset(
        "http_token",
        "The bearer token that HTTP requests must carry; `@/path` reads it from a file.",
    ).example("@/etc/lampwire/http.token"),
    unset(
        "http_cert",
        "PEM file with the certificate of the HTTP server, which then speaks HTTPS only; those that signed it stand after it.",
    ).example("/etc/lampwire/http.pem"),
    unset(
        "http_key",
        "PEM file with the private key of http_cert; without it the key is looked for in that file.",
    ).example("/etc/lampwire/http.key"),
    unset(
        "hep_server",
        "IP address and port of a HEP collector (Homer) that gets a copy of every SIP message, over UDP; the port is 9060 where none is named.",
    ).example("192.0.2.60:9060"),
    list(
        "nameserver",
        "DNS servers, each an IP address with or without a port; without any, those of /etc/resolv.conf.",
    ).example("10.0.0.53"),
    acts(
        "relay",
        "no",
        "Whether what one peer publishes goes on to the others (a hub).",
    ).example("yes"),
    acts(
        "hold_time",
        "60",
        "Seconds that the states of a lost peer are kept before they are retracted.",
    ).example("120"),
    acts(
        "retract_as",
        "INVALID",
        "What the states of a lost peer become: INVALID, UNAVAILABLE, UNKNOWN, or keep.",
    ).example("UNAVAILABLE"),
    acts(
        "expires_min",
        "10",
        "Shortest life of a publication in seconds; what is below is answered 423, but for 0, a removal.",
    ).example("60"),
    acts(
        "expires_max",
        "7200",
        "Longest life of a publication in seconds; what is above is shortened.",
    ).example("3600"),
];

pub(crate) const SPEC: SectionSpec = SectionSpec {
    name: "lampwire",
    doc: "This node itself; Asterisk does not know the type.",
    options: OPTIONS,
    open_prefix: None,
    single: true,
};

/// The port of HTTP where `http_bind` names only an address.
const HTTP_PORT: u16 = 7060;
/// The port of a HEP collector where `hep_server` names only an address.
const HEP_PORT: u16 = 9060;
/// The port of DNS where `nameserver` names only an address.
const DNS_PORT: u16 = 53;
/// Longest time for which a lost peer's states may be held: 30 days.
const MAX_HOLD: u32 = 30 * 24 * 60 * 60;
/// Longest time between two writes to the state directory, in milliseconds: nobody wants to lose more than a minute.
const MAX_STORE_WINDOW: u32 = 60_000;
/// Longest life of a publication: 30 days. A node whose peer dies silently shows its states for so long.
const MAX_EXPIRES: u32 = 30 * 24 * 60 * 60;

/// What concerns this node itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Lampwire {
    /// Where the section stands; None: there is none, all is default.
    pub at: Option<Location>,
    /// Our entity id where it is configured.
    pub entity_id: Option<EntityId>,
    /// The directory for what survives a restart; None: memory only.
    pub state_dir: Option<String>,
    /// Time between two writes to the state directory: 0 to 60 s.
    pub store_window: Duration,
    /// Where HTTP is served; None: nowhere.
    pub http_bind: Option<SocketAddr>,
    /// The bearer token of HTTP.
    pub http_token: Option<Secret>,
    /// PEM file with the certificate of the HTTP server; None: it speaks plain HTTP. Named, not read.
    pub http_cert: Option<String>,
    /// PEM file with its private key; None: it stands in the file of `http_cert`.
    pub http_key: Option<String>,
    /// The HEP collector that gets a copy of every SIP message.
    pub hep_server: Option<SocketAddr>,
    /// The DNS servers that are asked, in order; empty: those that the system is configured with.
    pub nameservers: Vec<SocketAddr>,
    /// What one peer publishes goes on to the others.
    pub relay: bool,
    /// How long a lost peer's states are kept: 0 s to 30 days.
    pub hold_time: Duration,
    /// What they then become.
    pub retract_as: RetractAs,
    /// Shortest life of a publication in seconds, 0 to 30 days, never above `expires_max`.
    pub expires_min: u32,
    /// Longest life of a publication in seconds, 1 s to 30 days.
    pub expires_max: u32,
}

/// What the states of a lost peer become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetractAs {
    /// This state, under the peer's entity id.
    State(DeviceState),
    /// They stay as they are.
    Keep,
}

impl Default for Lampwire {
    fn default() -> Self {
        Self {
            at: None,
            entity_id: None,
            state_dir: Some("/var/lib/lampwire".to_owned()),
            store_window: Duration::from_millis(100),
            http_bind: Some(SocketAddr::from(([127, 0, 0, 1], HTTP_PORT))),
            http_token: None,
            http_cert: None,
            http_key: None,
            hep_server: None,
            nameservers: Vec::new(),
            relay: false,
            hold_time: Duration::from_secs(60),
            retract_as: RetractAs::State(DeviceState::Invalid),
            expires_min: 10,
            expires_max: 7200,
        }
    }
}

pub(crate) fn read(options: &mut Options<'_, '_>) -> Lampwire {
    let default = Lampwire::default();
    let entity_id = options.entity_id("entity_id");
    let state_dir = match options.last("state_dir") {
        Some(entry) => Some(entry.value.clone()).filter(|path| !path.is_empty()),
        None => default.state_dir,
    };
    let store_window = options.number("store_window", 0..=MAX_STORE_WINDOW);
    let http_token = options.token("http_token");
    let http_bind = match options.last("http_bind") {
        None => default.http_bind,
        Some(entry) if entry.value.is_empty() => None,
        Some(entry) => {
            let bind = value::socket_address(&entry.value, HTTP_PORT);
            match bind {
                None => options.bad_value(
                    entry,
                    "http_bind",
                    "an IP address and port, as in 127.0.0.1:7060",
                ),
                Some(bind) if !bind.ip().to_canonical().is_loopback() && http_token.is_none() => {
                    options.error(
                        "http-open",
                        entry,
                        format!(
                            "`http_bind={}` is open to others, and there is no `http_token`",
                            entry.value
                        ),
                        "set `http_token`, or bind a loopback address",
                    );
                }
                Some(_) => {}
            }
            bind
        }
    };
    let set = |entry: &&Entry| !entry.value.is_empty();
    let http_cert = options.last("http_cert").filter(set);
    let http_key = options.last("http_key").filter(set);
    if let (None, Some(entry)) = (http_cert, http_key) {
        let message = "`http_key` has no certificate to go with".to_owned();
        options.error("bad-value", entry, message, "set `http_cert`");
    }
    let hep_server = options
        .last("hep_server")
        .filter(|entry| !entry.value.is_empty())
        .and_then(|entry| {
            let server = value::socket_address(&entry.value, HEP_PORT)
                .filter(|server| server.port() != 0 && !server.ip().is_unspecified());
            if server.is_none() {
                options.bad_value(
                    entry,
                    "hep_server",
                    "an IP address and port, as in 192.0.2.60:9060",
                );
            }
            server
        });
    let retract_as = options.word(
        "retract_as",
        &[
            ("INVALID", RetractAs::State(DeviceState::Invalid)),
            ("UNAVAILABLE", RetractAs::State(DeviceState::Unavailable)),
            ("UNKNOWN", RetractAs::State(DeviceState::Unknown)),
            ("keep", RetractAs::Keep),
        ],
        default.retract_as,
    );
    let expires_min = options.number("expires_min", 0..=MAX_EXPIRES);
    let expires_max = options.number("expires_max", 1..=MAX_EXPIRES);
    if expires_min > expires_max {
        let entry = options.last("expires_min").or(options.last("expires_max"));
        if let Some(entry) = entry {
            let message = format!(
                "`expires_min` is {expires_min}, above `expires_max`, which is {expires_max}"
            );
            options.error("bad-value", entry, message, "");
        }
    }
    Lampwire {
        at: Some(options.section.at.clone()),
        entity_id,
        state_dir,
        store_window: Duration::from_millis(store_window.into()),
        http_bind,
        http_token,
        http_cert: http_cert.map(|entry| entry.value.clone()),
        http_key: http_key.map(|entry| entry.value.clone()),
        hep_server,
        nameservers: nameservers(options),
        relay: options.boolean("relay"),
        hold_time: options.seconds("hold_time", 0..=MAX_HOLD),
        retract_as,
        expires_min,
        expires_max,
    }
}

fn nameservers(options: &mut Options<'_, '_>) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for entry in options.all("nameserver") {
        for item in value::items(&entry.value) {
            let server = value::socket_address(item, DNS_PORT)
                .filter(|server| server.port() != 0 && !server.ip().is_unspecified());
            match server {
                Some(server) if servers.contains(&server) => {}
                Some(server) => servers.push(server),
                None => options.error_at(
                    "bad-value",
                    entry,
                    item,
                    format!("{} is no value of `nameserver`", quote(item)),
                    "an IP address with or without a port, as in 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53",
                ),
            }
        }
    }
    servers
}
