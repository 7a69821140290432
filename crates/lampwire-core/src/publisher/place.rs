//! Where a publisher's peer is: which of several places is used, when another is tried, and when the preferred one is gone back to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use lampwire_conf::{Config, OutboundPublish, Protocol};

use super::{Context, Publisher, State, request};
use crate::flow::Destination;
use crate::io::{FlowId, Level, TransportId};
use crate::limits;
use crate::locate::{Located, NextHop, Reach, Target, locate};
use crate::random::Random;
use crate::time::Time;

/// The places of one publisher's peer.
#[derive(Debug)]
pub(crate) struct Place {
    hop: Option<NextHop>,
    server_name: String,
    reach: Reach,
    salt: u64,
    /// The preferred one first.
    targets: Vec<Target>,
    /// Which of them is used.
    at: usize,
    /// Until then long requests go by UDP, since the peer refused a connection.
    tcp_refused_until: Time,
    /// What was last said of a peer that is nowhere.
    reported: Option<String>,
}

impl Place {
    pub(super) fn new(publish: &OutboundPublish, random: &mut Random) -> Self {
        let hop = NextHop::of(request::next_hop_uri(publish));
        Self {
            server_name: hop.as_ref().map(NextHop::server_name).unwrap_or_default(),
            hop,
            reach: Reach::default(),
            salt: random.next_u64(),
            targets: Vec::new(),
            at: 0,
            tcp_refused_until: Time::default(),
            reported: None,
        }
    }

    /// The transports are bound: those that this publish may use are its reach.
    pub(super) fn begin(
        &mut self,
        config: &Config,
        publish: &OutboundPublish,
        bound: &BTreeMap<TransportId, SocketAddr>,
    ) {
        let named = &publish.transport;
        let usable = bound.iter().filter_map(|(id, local)| {
            let transport = &config.transports[usize::from(id.0)];
            named
                .as_ref()
                .is_none_or(|name| *name == transport.name)
                .then_some((transport.protocol, local.is_ipv4(), *id))
        });
        self.reach = Reach::of(usable);
    }

    /// Where requests go now; `None`: not known yet.
    pub(super) fn target(&self) -> Option<Target> {
        self.targets.get(self.at).copied()
    }

    /// The place to go back to, while a second-best one is used.
    pub(super) fn preferred(&self) -> Option<Target> {
        self.targets.first().copied().filter(|_| self.at > 0)
    }

    /// The connection by which a request that is long for a datagram goes to `target` (RFC 3261 18.1.1), where the configuration has one
    /// and the peer has not just refused it.
    pub(super) fn stream_instead(&self, ctx: &Context<'_>, target: Target) -> Option<Target> {
        let is_datagram = request::protocol(ctx.config, target) == Protocol::Udp;
        let allowed = is_datagram
            && !ctx.config.system.disable_tcp_switch
            && self.tcp_refused_until <= ctx.now.at;
        let transport = self
            .reach
            .to(Protocol::Tcp, target.remote.ip())
            .filter(|_| allowed)?;
        Some(Target {
            transport,
            ..target
        })
    }

    /// Sends a request to one of the places; the connection that it went by, if it did.
    pub(super) fn transmit(
        &self,
        ctx: &mut Context<'_>,
        target: Target,
        bytes: &[u8],
    ) -> Option<FlowId> {
        let server_name = match request::protocol(ctx.config, target) {
            Protocol::Udp => {
                ctx.outbox.transmit(target.transport, target.remote, |out| {
                    out.extend_from_slice(bytes);
                });
                return None;
            }
            Protocol::Tcp => String::new(),
            Protocol::Tls => self.server_name.clone(),
        };
        let to = Destination {
            target,
            server_name,
        };
        let (flows, mut out) = ctx.flows();
        Some(match flows.send(&mut out, &to, bytes) {
            Ok(flow) => flow,
            Err((flow, _)) => {
                flows.close(&mut out, flow, "the peer reads too slowly".to_owned());
                flow
            }
        })
    }
}

impl Publisher {
    /// Reckons anew where the peer is: at the start, and each time the DNS has said something.
    pub(crate) fn locate(&mut self, ctx: &mut Context<'_>) {
        if !self.started {
            return;
        }
        let publish = Arc::clone(&self.publish);
        let place = &mut self.place;
        let Some(hop) = &place.hop else {
            return;
        };
        match locate(hop, &place.reach, ctx.directory, ctx.outbox, place.salt) {
            Located::NotYet => {}
            Located::Nowhere(why) => {
                if place.targets.is_empty() && place.reported.as_ref() != Some(&why) {
                    let text = format!(
                        "publish {}: {}: {why}; asked again in time",
                        publish.name, publish.server_uri
                    );
                    ctx.outbox.notice(Level::Warn, "peer-not-resolved", text);
                    place.reported = Some(why);
                }
            }
            Located::At(targets) => {
                place.reported = None;
                let before = place.target();
                place.targets = targets;
                place.at = 0;
                let Some(before) = before else {
                    if self.state == State::Resolving {
                        self.state = State::Up;
                    }
                    self.set_timer(ctx);
                    self.pump_all(ctx);
                    return;
                };
                match place.targets.iter().position(|target| *target == before) {
                    Some(known) => place.at = known,
                    None => self.move_to(ctx, 0, Level::Info, "peer-moved", "it is there now"),
                }
            }
        }
        self.set_probe_timer(ctx);
    }

    /// Goes on at the next place of the peer, where there is one that was not tried since the preferred one failed.
    pub(super) fn fail_over(&mut self, ctx: &mut Context<'_>, why: &str) -> bool {
        if self.state == State::Stopping || self.place.targets.len() < 2 {
            return false;
        }
        let next = self.place.at + 1;
        if next < self.place.targets.len() {
            self.move_to(ctx, next, Level::Warn, "peer-failed-over", why);
            return true;
        }
        self.place.at = 0;
        self.forget_all(ctx);
        false
    }

    /// The preferred place answers again.
    pub(super) fn go_back(&mut self, ctx: &mut Context<'_>) {
        self.move_to(
            ctx,
            0,
            Level::Info,
            "peer-preferred-again",
            "it answers again",
        );
    }

    /// Everything is said anew at another place: whoever is there knows nothing of our publications.
    fn move_to(
        &mut self,
        ctx: &mut Context<'_>,
        index: usize,
        level: Level,
        code: &'static str,
        why: &str,
    ) {
        let publish = Arc::clone(&self.publish);
        self.place.at = index;
        let remote = self.place.targets[index].remote;
        let text = format!(
            "publish {}: {} goes on at {remote}, where everything is said anew: {why}",
            publish.name, publish.server_uri
        );
        ctx.outbox.notice(level, code, text);
        self.forget_all(ctx);
        match self.state {
            State::Away { .. } | State::Refused { .. } => self.state = State::Up,
            State::Resolving | State::Up | State::Stopping => {}
        }
        self.probe.wait(ctx.now.at);
        self.set_timer(ctx);
        self.pump_all(ctx);
        self.set_probe_timer(ctx);
    }

    /// Every publication is over, with whatever was on its way to the place that is left.
    fn forget_all(&mut self, ctx: &mut Context<'_>) {
        self.epoch += 1;
        self.highest_tag = None;
        self.heard = ctx.now.at;
        self.asking = self.may_ask && self.state != State::Stopping;
        for lane in &mut self.lanes {
            lane.flight = None;
            lane.job = None;
            lane.begin_anew(ctx.random);
            lane.say_all(ctx.table.head());
        }
    }

    /// Long requests whose connection was refused go by UDP after all.
    pub(super) fn take_back_from_tcp(&mut self, ctx: &mut Context<'_>, flow: FlowId, why: &str) {
        let Some(target) = self.place.target() else {
            return;
        };
        if request::protocol(ctx.config, target) != Protocol::Udp {
            return;
        }
        let back: Vec<u16> = (0..)
            .zip(&self.lanes)
            .filter(|(_, lane)| {
                lane.flight
                    .as_ref()
                    .is_some_and(|flight| flight.flow == Some(flow))
            })
            .map(|(index, _)| index)
            .collect();
        if back.is_empty() {
            return;
        }
        self.place.tcp_refused_until = ctx.now.at + limits::TCP_REFUSED_FOR;
        let publish = Arc::clone(&self.publish);
        let text = format!(
            "publish {}: {} takes no long request by TCP ({why}): they go by UDP",
            publish.name, publish.server_uri
        );
        ctx.outbox.notice(Level::Info, "tcp-refused", text);
        for index in back {
            self.send(ctx, index);
        }
    }
}
