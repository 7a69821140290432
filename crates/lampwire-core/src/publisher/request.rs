//! The PUBLISH that a lane sends, and where it goes.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use lampwire_conf::{Config, OutboundPublish, Protocol};
use lampwire_sip::{
    EntityId, EventPackage, HeaderName, Host, Method, Names, Scheme, StateChange, Uri, Writer,
};

use super::Target;
use super::lane::Job;
use crate::auth::client::ClientAuth;
use crate::io::TransportId;
use crate::random::Random;
use crate::table::{Kind, Table};

/// CSeq stays below 2^31 (RFC 3261 8.1.1.5).
pub(crate) const CSEQ_MASK: u32 = 0x7fff_ffff;

/// What a request says.
pub(crate) struct Parts<'a> {
    pub(crate) config: &'a Config,
    pub(crate) publish: &'a OutboundPublish,
    pub(crate) event: EventPackage,
    pub(crate) table: &'a Table,
    pub(crate) entity_id: EntityId,
    /// The address that the transport is bound to.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) target: Target,
    pub(crate) branch: Branch,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: u32,
    pub(crate) tag: Option<&'a str>,
    pub(crate) expires: u32,
    pub(crate) job: Job,
}

/// The branch of one of our requests: whose it is can be read from it, and nobody else can guess it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    pub(crate) publisher: u16,
    pub(crate) lane: u16,
    pub(crate) random: u64,
}

impl Branch {
    /// Reads the branch of an answer; `None` where it is none of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("z9hG4bK")?;
        if digits.len() != 24 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        Some(Self {
            publisher: u16::from_str_radix(&digits[..4], 16).ok()?,
            lane: u16::from_str_radix(&digits[4..8], 16).ok()?,
            random: u64::from_str_radix(&digits[8..], 16).ok()?,
        })
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "z9hG4bK{:04x}{:04x}{:016x}",
            self.publisher, self.lane, self.random
        )
    }
}

/// Writes the request into `out`, in place of what it held. Tells whether it carries credentials.
pub(crate) fn write(
    out: &mut Vec<u8>,
    parts: &Parts<'_>,
    auth: &mut ClientAuth,
    random: &mut Random,
) -> bool {
    let publish = parts.publish;
    let body = body(parts);
    let uri = publish.server_uri.as_str();
    // Asterisk swaps from_uri and to_uri, and peers are configured to it; ours with the @ mean what they say.
    let from = publish
        .at_from_uri
        .as_deref()
        .or(publish.to_uri.as_deref())
        .unwrap_or(uri);
    let to = publish
        .at_to_uri
        .as_deref()
        .or(publish.from_uri.as_deref())
        .unwrap_or(uri);
    out.clear();
    let mut writer = Writer::request(out, names(parts.config), Method::Publish, uri);
    let rport = if parts.config.system.disable_rport {
        ""
    } else {
        ";rport"
    };
    let sent_by = sent_by(parts);
    writer
        .header(
            HeaderName::Via,
            format_args!("SIP/2.0/UDP {sent_by}{rport};branch={}", parts.branch),
        )
        .header(
            HeaderName::From,
            format_args!("<{from}>;tag={:016x}", random.next_u64()),
        )
        .header(HeaderName::To, format_args!("<{to}>"))
        .header(HeaderName::CallId, parts.call_id)
        .header(HeaderName::CSeq, format_args!("{} PUBLISH", parts.cseq))
        .header(HeaderName::MaxForwards, parts.config.global.max_forwards);
    if let Some(proxy) = &publish.outbound_proxy {
        writer.header(HeaderName::Route, format_args!("<{proxy}>"));
    }
    writer.header(HeaderName::Event, parts.event.as_str());
    if let Some(tag) = parts.tag {
        writer.header(HeaderName::SipIfMatch, tag);
    }
    writer
        .header(HeaderName::Expires, parts.expires)
        .header(HeaderName::UserAgent, user_agent(parts.config));
    let credentials = auth.credentials(Method::Publish.as_str(), uri, &body, random);
    if let Some((name, credentials)) = &credentials {
        writer.header(*name, credentials);
    }
    if body.is_empty() {
        writer.finish();
    } else {
        writer.finish_with_body("application/json", &body);
    }
    credentials.is_some()
}

/// How header names are written (compact_headers).
pub(crate) fn names(config: &Config) -> Names {
    if config.system.compact_headers {
        Names::Compact
    } else {
        Names::Full
    }
}

/// What we call ourselves, unless configured.
pub(crate) fn user_agent(config: &Config) -> &str {
    config
        .global
        .user_agent
        .as_deref()
        .unwrap_or(concat!("Lampwire/", env!("CARGO_PKG_VERSION")))
}

fn body(parts: &Parts<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    match parts.job {
        Job::State { cell, value, .. } => {
            let cell = parts.table.cell(cell);
            let name = parts.table.names.get(cell.name);
            let eid = parts.table.eid(cell.eid);
            let change = match name.kind {
                Kind::Device => StateChange::Device {
                    device: (&*name.text).into(),
                    state: value.state(),
                    cachable: cell.cachable,
                    eid,
                },
                Kind::Mailbox => {
                    let (new, old) = value.counts();
                    StateChange::Mailbox {
                        uniqueid: (&*name.text).into(),
                        new,
                        old,
                        eid,
                    }
                }
            };
            change.write(&mut body);
        }
        Job::AskRefresh => StateChange::Refresh {
            eid: parts.entity_id,
        }
        .write(&mut body),
        Job::KeepAlive | Job::Close => {}
    }
    body
}

/// The address that Via names: where we are bound, or as the transport says it is seen from outside its local networks.
fn sent_by(parts: &Parts<'_>) -> String {
    let transport = &parts.config.transports[usize::from(parts.target.transport.0)];
    let local = parts.local.unwrap_or(transport.bind);
    if let Some(external) = &transport.external_signaling_address
        && !transport
            .local_net
            .iter()
            .any(|net| net.contains(parts.target.remote.ip()))
    {
        let port = transport.external_signaling_port.unwrap_or(local.port());
        return match external.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, port).to_string(),
            Err(_) => format!("{external}:{port}"),
        };
    }
    local.to_string()
}

/// The host of the next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TargetHost {
    Address(IpAddr),
    Name(String),
}

/// The host to which a publish sends: its outbound_proxy's, else its server_uri's.
pub(crate) fn target_host(publish: &OutboundPublish) -> TargetHost {
    match next_hop(publish).map(|uri| uri.host) {
        Some(Host::V4(address)) => TargetHost::Address(address.into()),
        Some(Host::V6(address)) => TargetHost::Address(address.into()),
        Some(Host::Name(name)) => TargetHost::Name(name.to_owned()),
        None => TargetHost::Name(String::new()),
    }
}

/// The transport and address by which a publish reaches its peer: the named transport, else the first that is bound to the address's
/// family. `None` where no address can be reached.
pub(crate) fn choose_target(
    config: &Config,
    publish: &OutboundPublish,
    bound: &BTreeMap<TransportId, SocketAddr>,
    addresses: &[IpAddr],
) -> Option<Target> {
    let uri = next_hop(publish)?;
    let port = uri.port.unwrap_or(match uri.scheme {
        Scheme::Sips => 5061,
        Scheme::Sip | Scheme::Tel | Scheme::Other(_) => 5060,
    });
    addresses.iter().find_map(|address| {
        let (id, _) = bound.iter().find(|(id, local)| {
            let transport = &config.transports[usize::from(id.0)];
            transport.protocol == Protocol::Udp
                && local.is_ipv4() == address.is_ipv4()
                && publish
                    .transport
                    .as_ref()
                    .is_none_or(|name| *name == transport.name)
        })?;
        Some(Target {
            transport: *id,
            remote: SocketAddr::new(*address, port),
        })
    })
}

fn next_hop(publish: &OutboundPublish) -> Option<Uri<'_>> {
    let uri = publish
        .outbound_proxy
        .as_deref()
        .unwrap_or(&publish.server_uri);
    Uri::parse(uri).ok()
}

/// A Call-ID that no other has (RFC 3261 8.1.1.4).
pub(crate) fn call_id(random: &mut Random) -> String {
    format!("{:016x}{:016x}", random.next_u64(), random.next_u64())
}

/// A CSeq to begin with, far enough below 2^31 to rise for years.
pub(crate) fn first_cseq(random: &mut Random) -> u32 {
    random.next_u32() & 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_read_as_written() {
        let branch = Branch {
            publisher: 3,
            lane: 127,
            random: 0x0123_4567_89ab_cdef,
        };
        assert_eq!(Branch::parse(&branch.to_string()), Some(branch));
        for other in [
            "",
            "z9hG4bK",
            "z9hG4bKPje0889a2d",
            "z9hG4bK0003007f0123456789abcdeg",
            "z9hG4bK+003007f0123456789abcdef",
        ] {
            assert_eq!(Branch::parse(other), None, "{other}");
        }
    }
}
