//! OPTIONS: whether a peer is there that has no publication of ours to prove itself by, and whether a preferred place is back.

use std::sync::Arc;
use std::time::Duration;

use lampwire_conf::OutboundPublish;

use super::request::{self, Branch};
use super::{Context, Publisher, State};
use crate::io::FlowId;
use crate::limits;
use crate::locate::Target;
use crate::random::Random;
use crate::time::Time;
use crate::timers::Timer;
use crate::transaction::client::{ClientTransaction, Due};

/// The lane number in the branch of an OPTIONS: no lane has it.
pub(crate) const LANE: u16 = u16::MAX;

/// What a publisher knows of its OPTIONS.
#[derive(Debug)]
pub(crate) struct Probe {
    /// The pause between two; zero: none but those that look for a preferred place.
    frequency: Duration,
    /// How long one probe may be unanswered.
    timeout: Duration,
    /// When the last one ended, or would have been without need.
    last: Time,
    call_id: String,
    cseq: u32,
    flight: Option<Flight>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Flight {
    transaction: ClientTransaction,
    branch: u64,
    target: Target,
    flow: Option<FlowId>,
    /// It asks whether the preferred place is back.
    preferred: bool,
}

impl Probe {
    pub(super) fn new(publish: &OutboundPublish, now: Time, random: &mut Random) -> Self {
        Self {
            frequency: publish.qualify_frequency,
            timeout: publish.qualify_timeout,
            last: now,
            call_id: request::call_id(random),
            cseq: request::first_cseq(random),
            flight: None,
            bytes: Vec::new(),
        }
    }

    /// From now on as often as this section says.
    pub(super) fn configure(&mut self, publish: &OutboundPublish) {
        self.frequency = publish.qualify_frequency;
        self.timeout = publish.qualify_timeout;
    }

    /// How long a peer may be silent: two probes in a row. One request and its copies stand for both: a second PUBLISH under the same tag
    /// would be answered 412 if only the answer to the first was lost.
    pub(super) fn patience(&self) -> Duration {
        self.timeout * 2
    }

    /// Whether a peer without a publication of ours is asked at times.
    pub(super) fn is_on(&self) -> bool {
        !self.frequency.is_zero()
    }

    /// The next is due after the usual pause.
    pub(super) fn wait(&mut self, now: Time) {
        self.flight = None;
        self.last = now;
    }

    /// No more of them.
    pub(super) fn end(&mut self) {
        self.flight = None;
        self.frequency = Duration::ZERO;
    }
}

impl Publisher {
    /// The time of the probe: one is due, a copy of it, or its answer.
    pub(crate) fn handle_probe_timer(&mut self, ctx: &mut Context<'_>) {
        match &mut self.probe.flight {
            Some(flight) => match flight.transaction.due(ctx.now.at, false) {
                Due::Wait(_) => {}
                Due::Resend if flight.flow.is_none() => {
                    let Target { transport, remote } = flight.target;
                    let bytes = &self.probe.bytes;
                    ctx.outbox
                        .transmit(transport, remote, |out| out.extend_from_slice(bytes));
                }
                Due::Resend => {}
                Due::TimedOut => self.on_probe_unanswered(ctx),
            },
            None => match self.due() {
                Some((at, target, preferred)) if at <= ctx.now.at => {
                    self.send_probe(ctx, target, preferred);
                }
                Some(_) | None => {}
            },
        }
        self.set_probe_timer(ctx);
    }

    /// An answer to an OPTIONS, if it is the one on its way.
    pub(super) fn on_probe_answered(
        &mut self,
        ctx: &mut Context<'_>,
        branch: u64,
        status: u16,
    ) -> bool {
        let Some(flight) = self
            .probe
            .flight
            .take_if(|flight| flight.branch == branch && status >= 200)
        else {
            return false;
        };
        self.probe.wait(ctx.now.at);
        let able = !matches!(status, 408 | 500..600);
        if flight.preferred {
            if able && self.place.preferred() == Some(flight.target) {
                self.go_back(ctx);
            }
        } else {
            self.heard = ctx.now.at;
            self.unanswered = false;
            if let Some(id) = self.peer {
                let peer = ctx.peers.get_mut(id);
                peer.heard(ctx.now);
                peer.round_trip = Some(ctx.now.at.since(flight.transaction.started()));
                if peer.restored {
                    ctx.peers.note_change(id);
                }
            }
            if able {
                self.recovered(ctx);
            }
        }
        self.set_probe_timer(ctx);
        true
    }

    /// When the next is due, to which place, and whether that is a preferred one.
    fn due(&self) -> Option<(Time, Target, bool)> {
        let target = self.place.target()?;
        let last = self.probe.last;
        if let (State::Up, Some(preferred)) = (self.state, self.place.preferred()) {
            return Some((last + limits::RETURN_AFTER, preferred, true));
        }
        // A publication proves itself and the peer with it, but where it is told not to (`@probe=0`).
        let proves = !self.settings.probe.is_zero();
        let asks = self
            .lanes
            .iter()
            .any(|lane| lane.flight.is_some() || proves && lane.tag.is_some());
        if self.probe.frequency.is_zero() || asks {
            return None;
        }
        match self.state {
            State::Up => Some((last + self.probe.frequency, target, false)),
            State::Away { retry_at, .. } => Some((retry_at, target, false)),
            State::Resolving | State::Refused { .. } | State::Stopping => None,
        }
    }

    fn send_probe(&mut self, ctx: &mut Context<'_>, target: Target, preferred: bool) {
        let publish = Arc::clone(&self.publish);
        self.probe.cseq = self.probe.cseq.wrapping_add(1) & request::CSEQ_MASK;
        let branch = ctx.random.next_u64();
        let mut bytes = std::mem::take(&mut self.probe.bytes);
        request::write(
            &mut bytes,
            ctx,
            &request::Parts {
                publish: &publish,
                event: self.event,
                target,
                branch: Branch {
                    publisher: self.id.0,
                    lane: LANE,
                    random: branch,
                },
                call_id: &self.probe.call_id,
                cseq: self.probe.cseq,
                tag: None,
                expires: 0,
                job: None,
                beat: None,
                round: None,
                dumped: None,
                peer: None,
                retraction: None,
                beside: &[],
            },
            &mut self.auth,
        );
        let mut transaction = ClientTransaction::new(
            ctx.now.at,
            ctx.config.system.timer_t1,
            self.probe.patience(),
        );
        let flow = self.place.transmit(ctx, target, &bytes);
        if flow.is_some() {
            transaction.over_stream();
        }
        self.probe.bytes = bytes;
        self.probe.flight = Some(Flight {
            transaction,
            branch,
            target,
            flow,
            preferred,
        });
    }

    /// An OPTIONS whose way fits is lost with it: nothing listens there, or its connection has ended.
    pub(super) fn lose_probe(
        &mut self,
        ctx: &mut Context<'_>,
        lost: impl Fn(Target, Option<FlowId>) -> bool,
        why: &str,
    ) {
        let flight = &mut self.probe.flight;
        if let Some(flight) = flight.take_if(|flight| lost(flight.target, flight.flow)) {
            self.probe_failed(ctx, &flight, why.to_owned());
        }
    }

    fn on_probe_unanswered(&mut self, ctx: &mut Context<'_>) {
        let Some(flight) = self.probe.flight.take() else {
            return;
        };
        let seconds = self.probe.patience().as_secs();
        let why = format!("no answer to OPTIONS for {seconds} s");
        if let Some(flow) = flight.flow {
            let (flows, mut out) = ctx.flows();
            flows.close(&mut out, flow, why.clone());
        }
        self.probe_failed(ctx, &flight, why);
    }

    /// A preferred place that does not answer is looked for again later; the one that is used is left alone for a while.
    fn probe_failed(&mut self, ctx: &mut Context<'_>, flight: &Flight, why: String) {
        self.probe.wait(ctx.now.at);
        if !flight.preferred {
            self.gone(ctx, 0, why);
        }
    }

    pub(super) fn set_probe_timer(&self, ctx: &mut Context<'_>) {
        // While none is due it is looked again in a while: publications come and go.
        let later = (!self.probe.frequency.is_zero()).then(|| ctx.now.at + self.probe.frequency);
        let at = match &self.probe.flight {
            Some(flight) => Some(flight.transaction.next_due()),
            None => self.due().map(|(at, _, _)| at).or(later),
        };
        let timer = Timer::Probe(self.id.0);
        match at {
            Some(at) => ctx.timers.set(timer, at),
            None => ctx.timers.clear(timer),
        }
    }
}
