//! The PUBLISH that a lane sends, and where it goes.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use lampwire_conf::{Config, OutboundPublish, Protocol};
use lampwire_sip::{
    DeviceState, EntityId, EventPackage, Extras, HeaderName, Method, Names, STATES_MEDIA_TYPE,
    StateChange, States, Told, Uri, Writer,
};

use super::lane::Job;
use super::{Beat, Context, Retraction};
use crate::auth::client::ClientAuth;
use crate::limits;
use crate::locate::Target;
use crate::peer::PeerId;
use crate::random::Random;
use crate::table::{Entry, Kind, Source};

/// CSeq stays below 2^31 (RFC 3261 8.1.1.5).
pub(crate) const CSEQ_MASK: u32 = 0x7fff_ffff;

/// What a request says.
pub(crate) struct Parts<'a> {
    pub(crate) publish: &'a OutboundPublish,
    pub(crate) event: EventPackage,
    pub(crate) target: Target,
    pub(crate) branch: Branch,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: u32,
    pub(crate) tag: Option<&'a str>,
    pub(crate) expires: u32,
    /// `None`: OPTIONS, to see whether the peer is there.
    pub(crate) job: Option<Job>,
    /// The beat that a `Job::Beat` carries.
    pub(crate) beat: Option<Beat>,
    /// The round of asking that a `Job::Mark` ends.
    pub(crate) round: Option<u64>,
    /// Up to which of our numbers everything has been told by then; and whether of all names that the peer has asked for.
    pub(crate) dumped: Option<(u64, bool)>,
    /// The peer, which may have names of its own.
    pub(crate) peer: Option<PeerId>,
    /// What a `Job::Retract` takes back.
    pub(crate) retraction: Option<&'a Retraction>,
    /// Values that are told beside that of a `Job::State`.
    pub(crate) beside: &'a [Entry],
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
    ctx: &mut Context<'_>,
    parts: &Parts<'_>,
    auth: &mut ClientAuth,
) -> bool {
    let config = ctx.config;
    let publish = parts.publish;
    let method = match parts.job {
        Some(_) => Method::Publish,
        None => Method::Options,
    };
    let body = body(ctx, parts);
    let peer = publish.server_uri.as_str();
    let from = from_uri(publish);
    let to = publish
        .at_to_uri
        .as_deref()
        .or(publish.from_uri.as_deref())
        .unwrap_or(peer);
    // A proxy without `lr` is a strict router: it wants to find itself in the Request-URI (RFC 3261 16.12).
    let (uri, route) = match publish.outbound_proxy.as_deref() {
        None => (peer, None),
        Some(proxy) if is_loose(proxy) => (peer, Some(proxy)),
        Some(proxy) => (proxy, Some(peer)),
    };
    out.clear();
    let mut writer = Writer::request(out, names(config), method, uri);
    let rport = if config.system.disable_rport {
        ""
    } else {
        ";rport"
    };
    let sent_by = sent_by(ctx, parts.target);
    let (protocol, alias) = match protocol(config, parts.target) {
        Protocol::Udp => ("UDP", ""),
        // The peer may reach us over the same connection (RFC 5923).
        Protocol::Tcp => ("TCP", ";alias"),
        Protocol::Tls => ("TLS", ";alias"),
    };
    writer
        .header(
            HeaderName::Via,
            format_args!(
                "SIP/2.0/{protocol} {sent_by}{rport};branch={}{alias}",
                parts.branch
            ),
        )
        .header(
            HeaderName::From,
            format_args!("<{from}>;tag={:016x}", ctx.random.next_u64()),
        )
        .header(HeaderName::To, format_args!("<{to}>"))
        .header(HeaderName::CallId, parts.call_id)
        .header(
            HeaderName::CSeq,
            format_args!("{} {}", parts.cseq, method.as_str()),
        )
        .header(HeaderName::MaxForwards, config.global.max_forwards);
    if let Some(route) = route {
        writer.header(HeaderName::Route, format_args!("<{route}>"));
    }
    if method == Method::Publish {
        writer.header(HeaderName::Event, parts.event.as_str());
        if let Some(tag) = parts.tag {
            writer.header(HeaderName::SipIfMatch, tag);
        }
        writer.header(HeaderName::Expires, parts.expires);
    }
    writer.header(HeaderName::UserAgent, user_agent(config));
    let credentials = match method {
        Method::Publish => auth.credentials(method.as_str(), uri, &body, ctx.random),
        // Any answer will do, so none is asked for a password.
        _ => None,
    };
    if let Some((name, credentials)) = &credentials {
        writer.header(*name, credentials);
    }
    let media_type = match parts.beside.is_empty() {
        true => "application/json",
        false => STATES_MEDIA_TYPE,
    };
    if body.is_empty() {
        writer.finish();
    } else {
        writer.finish_with_body(media_type, &body);
    }
    credentials.is_some()
}

/// The URI in From. Asterisk swaps from_uri and to_uri, and peers are configured to it; ours with the @ mean what they say.
pub(crate) fn from_uri(publish: &OutboundPublish) -> &str {
    publish
        .at_from_uri
        .as_deref()
        .or(publish.to_uri.as_deref())
        .unwrap_or(&publish.server_uri)
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

/// A value as the peer is told it.
pub(crate) fn told<'a>(ctx: &'a Context<'_>, peer: Option<PeerId>, entry: &Entry) -> Told<'a> {
    let cell = ctx.table.cell(entry.cell);
    let value = ctx.table.said(cell, entry.value);
    let name = ctx.table.names.get(cell.name);
    let eid = ctx.table.eid(cell.eid);
    let theirs = ctx
        .rewrites
        .name_for(ctx.config, peer, name.kind, &name.text);
    let change = match name.kind {
        Kind::Device => StateChange::Device {
            device: theirs,
            state: ctx.rewrites.state_for(ctx.config, peer, value.state()),
            cachable: cell.cachable,
            eid,
        },
        Kind::Mailbox => {
            let (new, old) = value.counts();
            StateChange::Mailbox {
                uniqueid: theirs,
                new,
                old,
                eid,
            }
        }
    };
    // Where this node is no hub, its own word needs no version: it is believed.
    let stamped =
        ctx.config.lampwire.relay || matches!(cell.source, Source::Publication | Source::Cluster);
    let extras = Extras {
        version: stamped.then(|| ctx.table.version_at(cell, entry.rev)),
        lost: stamped && ctx.table.stands_in(cell),
        ..Extras::default()
    };
    (change, extras)
}

fn body(ctx: &Context<'_>, parts: &Parts<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    match parts.job {
        Some(Job::State { cell, value, rev }) => {
            let first = told(ctx, parts.peer, &Entry { rev, cell, value });
            if parts.beside.is_empty() {
                first.0.write_with_extras(&first.1, &mut body);
            } else {
                let mut states = States::within(usize::MAX);
                states.push(first);
                for entry in parts.beside {
                    states.push(told(ctx, parts.peer, entry));
                }
                states.write(&mut body);
            }
        }
        Some(Job::Retract) => {
            if let Some(Retraction { name, eid, version }) = parts.retraction {
                let change = StateChange::Device {
                    device: (&**name).into(),
                    state: DeviceState::Invalid,
                    cachable: true,
                    eid: *eid,
                };
                let extras = Extras {
                    version: *version,
                    ..Extras::default()
                };
                change.write_with_extras(&extras, &mut body);
            }
        }
        Some(Job::AskRefresh) => {
            let own = parts.peer.and_then(|peer| ctx.peers.get(peer).entity_id);
            let extras = Extras {
                life: Some(ctx.table.life()),
                seen: own.and_then(|eid| ctx.table.newest_of(eid).max(ctx.leases.newest_of(eid))),
                knows: parts.peer.and_then(|peer| ctx.peers.get(peer).life),
                round: Some(ctx.table.round()),
                filter: Some(match parts.peer {
                    Some(peer) if ctx.rewrites.concern(peer) => "".into(),
                    Some(_) | None => wanted(ctx.config, parts.publish).into(),
                }),
                ..Extras::default()
            };
            StateChange::Refresh { eid: ctx.entity_id }.write_with_extras(&extras, &mut body);
        }
        Some(Job::Mark) => {
            let extras = Extras {
                life: Some(ctx.table.life()),
                round: parts.round,
                complete: parts
                    .dumped
                    .map(|it| it.0)
                    .filter(|_| ctx.config.lampwire.relay),
                partial: parts.dumped.is_some_and(|it| !it.1),
                ..Extras::default()
            };
            StateChange::Dumped { eid: ctx.entity_id }.write_with_extras(&extras, &mut body);
        }
        Some(Job::Beat(eid)) => {
            let extras = Extras {
                version: parts.beat.map(|beat| beat.version),
                complete: parts.beat.and_then(|beat| beat.complete).map(|it| it.0),
                partial: parts
                    .beat
                    .and_then(|beat| beat.complete)
                    .is_some_and(|it| !it.1),
                held: held(ctx, eid),
                ..Extras::default()
            };
            StateChange::Beat { eid }.write_with_extras(&extras, &mut body);
        }
        Some(Job::Canary(eid, number)) => {
            let extras = Extras {
                round: Some(number),
                ..Extras::default()
            };
            StateChange::Canary { eid }.write_with_extras(&extras, &mut body);
        }
        Some(Job::KeepAlive | Job::Close) | None => {}
    }
    body
}

/// What a hub says that it soon holds to be lost: ourselves some at a time, all in turn.
fn held(ctx: &Context<'_>, by: EntityId) -> Vec<EntityId> {
    if by != ctx.entity_id {
        return ctx.leases.held_by(by).to_vec();
    }
    let soon = (ctx.config.lampwire.hold_time / 2).max(limits::HELD_TOLD);
    let held = ctx.leases.lost_before(ctx.now.at + soon);
    let turns = held.len().div_ceil(Extras::HELD).max(1);
    let beats = ctx.now.at.as_micros() / 1_000_000 / limits::HUB_BEAT.as_secs();
    let turn = usize::try_from(beats).unwrap_or(0) % turns;
    let part = held.into_iter().skip(turn * Extras::HELD);
    part.take(Extras::HELD)
        .map(|eid| ctx.table.eid(eid))
        .collect()
}

/// The filter on what is taken of the peer that a publish leads to, as another Lampwire is told; empty: everything.
fn wanted<'a>(config: &'a Config, publish: &OutboundPublish) -> &'a str {
    let name = Some(publish.name.as_str());
    let filter = config
        .asterisk_publications
        .iter()
        .find_map(|publication| match publish.event {
            EventPackage::DeviceState if publication.devicestate_publish.as_deref() == name => {
                publication.device_state_filter.as_ref()
            }
            EventPackage::Mwi if publication.mailboxstate_publish.as_deref() == name => {
                publication.mailbox_state_filter.as_ref()
            }
            EventPackage::DeviceState | EventPackage::Mwi => None,
        });
    filter.map_or("", |filter| filter.as_str())
}

fn is_loose(proxy: &str) -> bool {
    Uri::parse(proxy).is_ok_and(|uri| uri.param("lr").is_some())
}

/// The address that Via names: where we are bound, or as the transport says it is seen from outside its local networks.
fn sent_by(ctx: &Context<'_>, target: Target) -> String {
    let transport = &ctx.config.transports[usize::from(target.transport.0)];
    let local = ctx
        .bound
        .get(&target.transport)
        .copied()
        .unwrap_or(transport.bind);
    if let Some(external) = &transport.external_signaling_address
        && !transport
            .local_net
            .iter()
            .any(|net| net.contains(target.remote.ip()))
    {
        let port = transport.external_signaling_port.unwrap_or(local.port());
        return match external.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, port).to_string(),
            Err(_) => format!("{external}:{port}"),
        };
    }
    local.to_string()
}

/// The protocol by which a target is reached.
pub(crate) fn protocol(config: &Config, target: Target) -> Protocol {
    config.transports[usize::from(target.transport.0)].protocol
}

/// The URI whose host is the next hop: an outbound_proxy, else the peer itself.
pub(crate) fn next_hop_uri(publish: &OutboundPublish) -> &str {
    publish
        .outbound_proxy
        .as_deref()
        .unwrap_or(&publish.server_uri)
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
