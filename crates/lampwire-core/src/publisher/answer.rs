//! What a publisher makes of each final answer. None of them ends it: at worst it waits.

use std::sync::Arc;
use std::time::Duration;

use lampwire_sip::{HeaderName, MediaType, Message};

use super::lane::{Flight, Job};
use super::{Context, Publisher, Trouble, back_off, refresh_after};
use crate::auth::client::Answered;
use crate::io::Level;
use crate::limits;
use crate::table::Entry;

impl Publisher {
    /// 2xx: what was said is confirmed, and a new tag is given.
    pub(super) fn on_accepted(
        &mut self,
        ctx: &mut Context<'_>,
        index: u16,
        flight: &Flight,
        response: &Message<'_>,
    ) {
        let granted = response.expires().ok().flatten().unwrap_or(self.expiration);
        let lane = &mut self.lanes[usize::from(index)];
        lane.prove_at = ctx.now.at + self.settings.probe;
        for Entry { rev, .. } in lane.beside.drain(..) {
            self.counters.confirmed += 1;
            if let Some(waited) = self.confirmations.confirmed(rev, ctx.now) {
                self.counters.confirm_times.observe(waited);
            }
        }
        match lane.job.take() {
            Some(Job::State { cell, rev, .. }) => {
                self.counters.confirmed += 1;
                if let Some(waited) = self.confirmations.confirmed(rev, ctx.now) {
                    self.counters.confirm_times.observe(waited);
                }
                lane.idle_since = ctx.now.at;
                if lane
                    .exceptions
                    .get(&cell)
                    .is_some_and(|exception| exception.rev == rev)
                {
                    lane.exceptions.remove(&cell);
                }
            }
            Some(Job::Retract) => {
                lane.retractions.pop_front();
                lane.idle_since = ctx.now.at;
            }
            // A round that began since is asked for once more: the end of this one's dump is not the end of that.
            Some(Job::AskRefresh) => self.asking = flight.beat < Some(self.ask_round),
            Some(Job::Mark) => {
                // Another may have been asked for meanwhile.
                self.mark_due.take_if(|round| Some(*round) == flight.beat);
            }
            Some(Job::Beat(by)) => {
                // A newer one may have come meanwhile.
                self.beats
                    .remove(&by)
                    .filter(|newest| Some(newest.version.seq) != flight.beat)
                    .map(|newest| self.beats.insert(by, newest));
            }
            Some(Job::KeepAlive) => {
                let after = ctx.now.at.since(flight.transaction.started());
                self.publication_proven(ctx, after);
            }
            Some(Job::Canary(..) | Job::Close) | None => {}
        }
        let lane = &mut self.lanes[usize::from(index)];
        let is_first = lane.tag.is_none();
        lane.tag = match response.etag() {
            Some(tag) if granted > 0 && !tag.is_empty() && tag.len() <= limits::TAG_LENGTH => {
                Some(tag.to_owned())
            }
            Some(_) | None => None,
        };
        if is_first {
            lane.opened_at = Some(ctx.now.wall);
            lane.takes_many = offers_many(response);
            lane.fresh_until = ctx.now.at + limits::FRESH_PUBLICATION;
        } else {
            lane.restarts_in_a_row = 0;
        }
        // What began before the peer restarted may by now be somebody else's publication there, whatever it answers.
        if lane.tag.is_none() || flight.with_tag && flight.epoch != self.epoch {
            lane.begin_anew(ctx.random);
        }
        let granted_for = Duration::from_secs(granted.into());
        lane.expires_at = ctx.now.at + granted_for;
        lane.refresh_at = ctx.now.at + refresh_after(granted_for);
        lane.challenges_in_a_row = 0;
        lane.briefs_in_a_row = 0;
        lane.failures_of_job = 0;
        self.refusals_in_a_row = 0;
        if self.tag_went_back(flight, response.etag()) {
            self.begin_anew(ctx);
        }
        self.recovered(ctx);
        self.pump(ctx, index);
        self.pump_waiting(ctx);
        if self.mark_due.is_some() && index != 0 {
            self.pump(ctx, 0);
        }
    }

    /// Whether a tag shows that the peer has restarted: an integer that is not above one that it gave before it saw the request. Whatever
    /// publication the peer found under our old tag may be somebody else's.
    fn tag_went_back(&mut self, flight: &Flight, tag: Option<&str>) -> bool {
        let Some(tag) = tag.and_then(|tag| tag.parse::<u64>().ok()) else {
            return false;
        };
        if flight.epoch == self.epoch && flight.highest_tag.is_some_and(|highest| tag <= highest) {
            self.highest_tag = Some(tag);
            return true;
        }
        if flight.epoch == self.epoch || self.highest_tag.is_none() {
            self.highest_tag = self.highest_tag.max(Some(tag));
        }
        false
    }

    /// 401, 407: the same again with credentials (RFC 3261 22.2), where we have what the peer asks for.
    pub(super) fn on_challenge(
        &mut self,
        ctx: &mut Context<'_>,
        index: u16,
        flight: &Flight,
        response: &Message<'_>,
    ) {
        let publish = Arc::clone(&self.publish);
        let attempts = publish.max_auth_attempts;
        let answered = self.auth.take_challenge(response, flight.with_credentials);
        let lane = &mut self.lanes[usize::from(index)];
        let problem = match answered {
            Answered::Ready { stale } => {
                // An old nonce is no wrong password (RFC 7616 3.3), but a peer that finds every nonce old is not asked for ever.
                lane.challenges_in_a_row += 1;
                let free = u32::from(stale);
                if lane.challenges_in_a_row <= attempts.max(1) + free {
                    self.send(ctx, index);
                    return;
                }
                format!(
                    "credentials refused {attempts} times: compare username, password and realm"
                )
            }
            Answered::Impossible(why) => why,
        };
        self.auth.forget();
        lane.challenges_in_a_row = 0;
        let pause = Some(limits::REFUSED_MAX);
        self.trouble(ctx, Trouble::Refused(pause), problem);
    }

    /// 412: the peer does not know our tag (RFC 3903 4.1).
    pub(super) fn on_forgotten(
        &mut self,
        ctx: &mut Context<'_>,
        index: u16,
        flight: &Flight,
        reason: &str,
    ) {
        let lane = &mut self.lanes[usize::from(index)];
        if !flight.with_tag {
            // A new publication cannot be forgotten; whoever answers so is treated like any other that refuses.
            self.on_refused(ctx, index, 412, reason);
            return;
        }
        let raced = lane.fresh_until > ctx.now.at;
        let known = flight.epoch != self.epoch;
        lane.begin_anew(ctx.random);
        lane.restarts_in_a_row += 1;
        if matches!(
            lane.job,
            Some(Job::KeepAlive | Job::Close | Job::Mark | Job::Beat(_) | Job::Canary(..))
        ) {
            lane.job = None;
        }
        if lane.restarts_in_a_row > limits::RESTARTS_IN_A_ROW {
            lane.restarts_in_a_row = 0;
            let text = "the peer forgets each publication at once".to_owned();
            self.trouble(ctx, Trouble::Refused(None), text);
            return;
        }
        if !raced && !known {
            self.begin_anew(ctx);
        }
        // Whoever answers so is there.
        self.recovered(ctx);
        let lane = &self.lanes[usize::from(index)];
        if lane.flight.is_none() && lane.job.is_some() && self.may_send(ctx.now.at, index) {
            self.send(ctx, index);
        } else {
            self.pump(ctx, index);
        }
    }

    /// 423: the peer wants longer publications (RFC 3903 6).
    pub(super) fn on_too_brief(
        &mut self,
        ctx: &mut Context<'_>,
        index: u16,
        response: &Message<'_>,
        reason: &str,
    ) {
        let lane = &mut self.lanes[usize::from(index)];
        lane.briefs_in_a_row += 1;
        let asked = response.min_expires().ok().flatten();
        let longer = asked.unwrap_or_else(|| self.expiration.saturating_mul(2));
        let sensible = longer > self.expiration && longer <= limits::MIN_EXPIRES_FOLLOWED_S;
        if !sensible || lane.briefs_in_a_row > limits::INTERVAL_TOO_BRIEF_IN_A_ROW {
            lane.briefs_in_a_row = 0;
            self.on_refused(ctx, index, 423, reason);
            return;
        }
        self.expiration = longer;
        self.send(ctx, index);
    }

    /// 408, 5xx: the peer cannot at the moment. A state that it can never take does not hold up the others.
    pub(super) fn on_unable(
        &mut self,
        ctx: &mut Context<'_>,
        index: u16,
        status: u16,
        reason: &str,
        after: Option<Duration>,
    ) {
        let head = ctx.table.head();
        let lane = &mut self.lanes[usize::from(index)];
        if !lane.beside.is_empty() {
            lane.takes_many = false; // it may be able to take the others
        }
        lane.failures_of_job += 1;
        if lane.failures_of_job >= limits::REFUSALS_IN_A_ROW {
            match lane.job {
                Some(Job::State { cell, rev, .. }) => {
                    lane.job = None;
                    lane.failures_of_job = 0;
                    lane.except(cell, rev, ctx.now.at + limits::REFUSED_FIRST, head);
                }
                Some(Job::Retract) => {
                    lane.job = None;
                    lane.failures_of_job = 0;
                    lane.retractions.pop_front();
                }
                Some(
                    Job::AskRefresh
                    | Job::Mark
                    | Job::Beat(_)
                    | Job::Canary(..)
                    | Job::KeepAlive
                    | Job::Close,
                )
                | None => {}
            }
        }
        let why = format!("{status} {reason}");
        // RFC 3263 4.3: where one server is unable, the next may be able.
        if status == 503 && self.fail_over(ctx, &why) {
            return;
        }
        self.trouble(ctx, Trouble::Away(after), why);
    }

    /// 3xx, 4xx, 6xx: this request is not wanted. The state stays to be said; several such in a row concern the whole relation.
    pub(super) fn on_refused(
        &mut self,
        ctx: &mut Context<'_>,
        index: u16,
        status: u16,
        reason: &str,
    ) {
        self.counters.refused += 1;
        let lane = &mut self.lanes[usize::from(index)];
        if !lane.beside.is_empty() {
            // One of many may not be wanted: they are told one by one from here on.
            lane.takes_many = false;
            self.recovered(ctx);
            self.pump(ctx, index);
            return;
        }
        self.refusals_in_a_row += 1;
        let head = ctx.table.head();
        let publish = Arc::clone(&self.publish);
        let lane = &mut self.lanes[usize::from(index)];
        let about_state = match lane.job {
            Some(Job::State { cell, rev, .. }) => {
                lane.job = None;
                let tries = lane
                    .exceptions
                    .get(&cell)
                    .map_or(0, |exception| exception.tries);
                let pause = back_off(
                    limits::REFUSED_FIRST,
                    limits::REFUSED_MAX,
                    tries,
                    ctx.random,
                );
                lane.except(cell, rev, ctx.now.at + pause, head);
                let name = &ctx.table.names.get(ctx.table.cell(cell).name).text;
                let text = format!(
                    "publish {}: {} answered {status} {reason} to {name:?}; tried again in {} s",
                    publish.name,
                    publish.server_uri,
                    pause.as_secs()
                );
                ctx.outbox.notice(Level::Warn, "state-refused", text);
                true
            }
            Some(Job::Retract) => {
                // It was nothing to the peer, or is none of ours to say there.
                lane.job = None;
                lane.retractions.pop_front();
                true
            }
            Some(Job::KeepAlive | Job::Close) => {
                // What this says about the publication cannot be known, so once the peer takes anything it is told everything.
                lane.job = None;
                lane.begin_anew(ctx.random);
                lane.say_all(head);
                self.asking = self.may_ask;
                false
            }
            Some(Job::Mark | Job::Beat(_) | Job::Canary(..)) => {
                // It has no bearing on any state, and is not worth a pause.
                lane.job = None;
                self.mark_due = None;
                self.beats.clear();
                self.recovered(ctx);
                self.pump(ctx, index);
                return;
            }
            Some(Job::AskRefresh) | None => false,
        };
        if about_state && self.refusals_in_a_row < limits::REFUSALS_IN_A_ROW {
            self.recovered(ctx);
            self.pump(ctx, index);
        } else {
            self.trouble(ctx, Trouble::Refused(None), format!("{status} {reason}"));
        }
    }
}

/// Whether whoever answers takes many states in one request: another Lampwire does.
fn offers_many(response: &Message<'_>) -> bool {
    let mut offered = response.list(HeaderName::Accept);
    offered.any(|it| MediaType::parse(it).is_some_and(|it| it.is_states()))
}
