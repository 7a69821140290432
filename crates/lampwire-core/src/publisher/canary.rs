//! `@canary`: how long something takes to a peer and back.
//!
//! A Lampwire sends back what it is sent for that, over its own publish to us: the way of a change, there and here. A stock Asterisk sends
//! nothing back, so there it is the time of the answer by which it proves that it still has our publication. No device stands for it anywhere.

use std::time::Duration;

use lampwire_conf::OutboundPublish;
use lampwire_sip::EntityId;

use super::{Context, Publisher, State};
use crate::limits;
use crate::time::Time;

/// What a publisher knows of its canaries: one at most is on its way each way.
#[derive(Debug, Default)]
pub(crate) struct Canary {
    on: bool,
    /// How many have left.
    count: u64,
    /// Ours that is on its way, and when it left.
    out: Option<(u64, Time)>,
    next_at: Time,
    /// The peer's, which is to be sent back to it.
    back: Option<(EntityId, u64)>,
}

impl Canary {
    pub(super) fn of(publish: &OutboundPublish) -> Self {
        Self {
            on: publish.canary,
            ..Self::default()
        }
    }

    /// Whether the section asks for it.
    pub(crate) const fn configure(&mut self, on: bool) {
        self.on = on;
    }
}

impl Publisher {
    /// A canary that is to leave now: whose it is, and its number. It is taken to have left.
    pub(super) fn next_canary(&mut self, ctx: &Context<'_>) -> Option<(EntityId, u64)> {
        if let Some(back) = self.canary.back.take() {
            return Some(back);
        }
        if self.canary_at()? > ctx.now.at {
            return None;
        }
        let canary = &mut self.canary;
        canary.count += 1;
        // No two publishers' have the same number.
        let number = u64::from(self.id.0) << 32 | canary.count & u64::from(u32::MAX);
        canary.out = Some((number, ctx.now.at));
        canary.next_at = ctx.now.at + limits::CANARY_EVERY;
        Some((ctx.entity_id, number))
    }

    /// When the next of ours leaves, where the peer is one that sends it back.
    pub(super) fn canary_at(&self) -> Option<Time> {
        let sends = self.canary.on && self.settings.lampwire && self.state == State::Up;
        sends.then_some(self.canary.next_at)
    }

    /// A canary of the peer's has come: it goes back.
    pub(crate) fn send_back(&mut self, ctx: &mut Context<'_>, eid: EntityId, number: u64) {
        self.canary.back = Some((eid, number));
        self.pump(ctx, 0);
    }

    /// A canary of ours has come back from the peer; tells whether it is this publisher's that was on its way.
    pub(crate) fn canary_back(&mut self, ctx: &mut Context<'_>, number: u64) -> bool {
        let Some((_, left)) = self.canary.out.take_if(|(out, _)| *out == number) else {
            return false;
        };
        self.observe_canary(ctx, ctx.now.at.since(left));
        true
    }

    /// The peer has proven that it has our publication, after this time.
    pub(super) fn publication_proven(&mut self, ctx: &mut Context<'_>, after: Duration) {
        if self.canary.on && !self.settings.lampwire {
            self.observe_canary(ctx, after);
        }
    }

    fn observe_canary(&mut self, ctx: &mut Context<'_>, took: Duration) {
        self.counters.canaries.observe(took);
        if let Some(peer) = self.peer {
            ctx.peers.get_mut(peer).canary = Some(took);
        }
    }
}
