//! What we refuse to a peer is lost: a stock Asterisk drops it and says it again only when asked for everything. So the peer is asked, as soon
//! as the reason of the refusal is gone, and at most once a minute. One that cannot be asked is shown as incomplete.

use lampwire_sip::{Message, Method, StartLine};

use super::Node;
use crate::limits;
use crate::peer::{Challenged, Missed, PeerId, Until};
use crate::refusal::Refusal;
use crate::time::{Now, Time};
use crate::timers::Timer;

impl Node {
    /// A request of a peer's, proven to be its own, was refused.
    pub(super) fn note_refused(
        &mut self,
        now: Now,
        request: &Message<'_>,
        uri: &str,
        refusal: &Refusal,
    ) {
        if !is_publish(request) {
            return;
        }
        let Some(id) = self.peer_meant(request, uri) else {
            return;
        };
        let peer = self.peers.get_mut(id);
        // It has answered what it was challenged by.
        peer.challenged = None;
        let Some(until) = until(refusal) else {
            return;
        };
        peer.refusals += 1;
        let before = peer.missed;
        peer.missed = Some(Missed {
            states: before.map_or(0, |missed| missed.states) + 1,
            status: refusal.status,
            code: refusal.code,
            at: now.wall,
            until: before.map_or(until, |missed| missed.until.max(until)),
            too_many_entity_ids: before.is_some_and(|missed| missed.too_many_entity_ids)
                || matches!(refusal.code, "too-many-entity-ids" | "too-many-hubs"),
        });
        if before.is_none() {
            self.peers.note_change(id);
        }
        self.plan_to_ask(now, id);
    }

    /// A request that came from a peer's address, or in its name, was challenged: a stock Asterisk that cannot answer that is silent from
    /// now on.
    pub(super) fn note_challenged(
        &mut self,
        now: Now,
        request: &Message<'_>,
        uri: &str,
        from_its_address: bool,
    ) {
        if let Some(id) = self.peer_meant(request, uri) {
            let challenged = &mut self.peers.get_mut(id).challenged;
            let challenged = challenged.get_or_insert(Challenged {
                at: now.wall,
                from_its_address,
            });
            challenged.from_its_address |= from_its_address;
        }
    }

    /// A peer is asked for everything, for whatever reason: what we refused before is no longer missed.
    pub(super) fn note_asked(&mut self, now: Now, id: PeerId) {
        let peer = self.peers.get_mut(id);
        peer.asked_at = Some(now.at);
        if peer.missed.take().is_some() {
            self.peers.note_change(id);
        }
        self.timers.clear(Timer::Missed(id.0));
    }

    /// The time has come to ask a peer for what we refused to it, if there is room for it.
    pub(super) fn ask_for_missed(&mut self, now: Now, id: PeerId) {
        match self.peers.get(id).missed.map(|missed| missed.until) {
            None | Some(Until::Changed) => return,
            Some(Until::Room) if !self.has_room(now.at, id) => {
                self.timers
                    .set(Timer::Missed(id.0), now.at + limits::ASK_AFTER_REFUSAL);
                return;
            }
            Some(Until::Room | Until::Now) => {}
        }
        if self.ask_peer(now, id) {
            self.counters.asked_for_missed += 1;
        }
    }

    /// The configuration is another: what was refused for what the peer is or says may be taken now.
    pub(super) fn ask_after_reload(&mut self, now: Now) {
        let missing = self.peers.iter().filter(|(_, peer)| peer.missed.is_some());
        let missing: Vec<PeerId> = missing.map(|(id, _)| id).collect();
        for id in missing {
            if let Some(missed) = &mut self.peers.get_mut(id).missed {
                missed.until = missed.until.max(Until::Room);
            }
            self.plan_to_ask(now, id);
        }
    }

    /// Sets the time at which the peer is asked: soon, since refusals come in swarms, but not within a minute of the last time.
    fn plan_to_ask(&mut self, now: Now, id: PeerId) {
        let peer = self.peers.get(id);
        let can_be_asked = self
            .publishers
            .iter()
            .any(|publisher| publisher.peer == Some(id) && publisher.can_ask());
        let heals = peer
            .missed
            .is_some_and(|missed| missed.until != Until::Changed);
        if can_be_asked && heals {
            let next = peer.asked_at.map(|at| at + limits::ASK_AFTER_REFUSAL);
            let soon = now.at + limits::ASK_SETTLES;
            let at = next.map_or(soon, |next| next.max(soon));
            self.timers.set_if_unset(Timer::Missed(id.0), at);
        }
    }

    /// Whether there is room for what a peer may say: below every bound that a refusal of its may have met.
    fn has_room(&mut self, now: Time, id: PeerId) -> bool {
        let peer = self.peers.get(id);
        let names = &peer.endpoints;
        let endpoints = names
            .iter()
            .filter_map(|name| self.config.endpoints.iter().position(|it| it.name == *name));
        let endpoints: Vec<usize> = endpoints.collect();
        if peer.missed.is_some_and(|missed| missed.too_many_entity_ids) {
            // What it spoke for once, and nothing is left of, is no reason to keep others out.
            let live = self.table.live_entity_ids();
            for endpoint in &endpoints {
                self.speakers.forget_but(*endpoint, &live);
            }
        }
        self.table.has_room()
            && endpoints.into_iter().all(|endpoint| {
                self.table.has_room_for(endpoint, self.max_states(endpoint))
                    && self.compositor.has_room(now, endpoint)
                    && (self.peers.get(id).missed).is_none_or(|it| {
                        !it.too_many_entity_ids || self.speakers.has_room(endpoint)
                    })
            })
    }

    /// The peer that a request is for, by its resource and event.
    pub(super) fn peer_meant(&self, request: &Message<'_>, uri: &str) -> Option<PeerId> {
        let rule = self.compositor.rule_meant(&self.config, request, uri)?;
        self.peers.of_asterisk_publication(rule)
    }
}

/// When the reason of a refusal is gone; `None` where nothing is lost by it: the peer comes again by itself, or had nothing to say.
fn until(refusal: &Refusal) -> Option<Until> {
    match (refusal.status, refusal.code) {
        (401 | 423, _) | (_, "empty-initial" | "removal-without-tag" | "used-tag") => None,
        // The peer held states here that this node knows nothing of; or its clock, or ours, was wrong.
        (412, _) | (_, "version-ahead") => Some(Until::Now),
        (503, _) => Some(Until::Room),
        _ => Some(Until::Changed),
    }
}

fn is_publish(request: &Message<'_>) -> bool {
    matches!(
        request.start(),
        StartLine::Request {
            method: Method::Publish,
            ..
        }
    )
}
