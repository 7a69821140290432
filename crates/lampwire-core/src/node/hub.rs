//! The hub: who hears of whom, when a node is lost and what then becomes of its states.

use std::collections::BTreeSet;
use std::time::Duration;

use lampwire_conf::RetractAs;
use lampwire_sip::{DeviceState, EntityId, EventPackage, Extras, Message, StateChange, Version};

use super::Node;
use crate::compositor::DEFAULT_EXPIRES;
use crate::io::Level;
use crate::lease::{Life, Turn};
use crate::limits;
use crate::peer::{PeerId, Sweep};
use crate::publisher::Publisher;
use crate::table::{Anew, CellId, Change, EidId, Kind, KnownValue, Source, TableFull, Unsaid};
use crate::time::{Now, Time};
use crate::timers::Timer;

/// Cells that are told anew: which, and from which one on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retelling {
    which: Anew,
    next: CellId,
}

/// What is to be done with a value that a peer tells.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heard {
    /// It is taken.
    Taken,
    /// It is no news.
    Known,
    /// It is no news, but others are to be told this.
    Answered(Change),
}

impl Node {
    /// A peer tells a value: whoever is heard by that is noted, and it is found out whether it is news.
    ///
    /// Of one name under one entity id the highest version counts, so all hubs come to hold the same, whatever the order in which they hear
    /// it and however often. What is gone leaves nothing behind that could be compared; so each hub knows up to which number it is complete
    /// of what another has stamped, and what lies below that and is not known here is gone.
    pub(super) fn hear(
        &mut self,
        now: Now,
        peer: PeerId,
        change: &StateChange<'_>,
        extras: &Extras<'_>,
    ) -> Result<Heard, TableFull> {
        let (kind, name, invalid) = match change {
            StateChange::Device {
                device,
                state,
                cachable,
                ..
            } => (
                Kind::Device,
                &**device,
                *cachable && *state == DeviceState::Invalid && !extras.lost,
            ),
            StateChange::Mailbox { uniqueid, .. } => (Kind::Mailbox, &**uniqueid, false),
            StateChange::Refresh { .. }
            | StateChange::Dumped { .. }
            | StateChange::Beat { .. }
            | StateChange::Canary { .. } => {
                return Ok(Heard::Taken);
            }
        };
        self.leases.note_teller(peer);
        let Some(version) = extras.version else {
            self.hear_at_first_hand(now, peer, change.eid())?;
            return Ok(Heard::Taken);
        };
        let eid = change.eid();
        let own_word = version.by == self.entity_id;
        if own_word {
            self.counters.echoes += 1;
            self.raise(now, version.seq);
        } else if self.leases.note_hub(now.at, version.by) {
            self.table
                .meet_stamper(version.by, self.leases.hub_life(version.by))?;
            self.wait_for_hubs();
        }
        if let Some(known) = self.table.known(kind, name, eid) {
            // Of the same version, what stands in for a value is less than the value.
            if (version, !extras.lost) > (known.version, !known.lost) {
                if own_word && known.version.by == version.by {
                    // The clock has gone back since: what we say now is newer all the same.
                    return Ok(Heard::Answered(self.table.restamp(known.cell)));
                }
                if !invalid {
                    return Ok(Heard::Taken);
                }
                let gone = self.table.entomb(
                    (kind, name, eid),
                    version,
                    Some(peer),
                    Source::Publication,
                    now.wall,
                )?;
                return Ok(Heard::Answered(gone));
            }
            self.counters.stale += 1;
            if version == known.version {
                self.said_again(now, peer, &known);
            } else if self.config.lampwire.relay {
                self.knows_less(now, peer, known.cell);
            } else if known.peer == Some(peer) && self.is_of_former_life(peer, known.said) {
                // It has restarted since it told what we hold, and by what it has heard since then that is not so. Nobody else learns of it
                // here, so there is nothing to tell it.
                return Ok(Heard::Taken);
            } else if !extras.lost
                && !invalid
                && self.leases.hub_life(known.version.by) == Life::Lost
                && self.leases.hub_life(version.by) == Life::Alive
            {
                // The word of a hub that is heard counts more than that of one that is lost, which nobody else may have heard.
                return Ok(Heard::Taken);
            }
            return Ok(Heard::Known);
        }
        // What was never known here needs not be told to be gone.
        if invalid {
            return Ok(Heard::Known);
        }
        let complete = match own_word {
            // All that was stamped in this life is known; what an earlier one has stamped, once everybody could say it again.
            true if self.settled || version.seq > self.table.first_seq() => {
                Some(self.table.newest_seq())
            }
            true => return Ok(Heard::Known),
            false => {
                let owner = self
                    .table
                    .eid_id(eid)
                    .filter(|_| version.by == eid)
                    .and_then(|eid| self.table.owner_of(eid));
                let owner = owner.filter(|owner| self.takes_name(*owner, name));
                let of_itself = owner.and_then(|owner| self.peers.get(owner).told_of_itself);
                self.leases.complete(version.by).max(of_itself)
            }
        };
        let gone = complete.filter(|complete| *complete >= version.seq && kind == Kind::Device);
        let Some(complete) = gone else {
            return Ok(Heard::Taken);
        };
        self.counters.gone += 1;
        let version = match own_word {
            true => self.table.version_above(complete),
            false => Version {
                seq: complete,
                ..version
            },
        };
        let gone = self.table.entomb(
            (kind, name, eid),
            version,
            None,
            Source::Publication,
            now.wall,
        )?;
        Ok(Heard::Answered(gone))
    }

    /// Somebody has seen this number of ours.
    fn raise(&mut self, now: Now, seen: u64) {
        if self.table.raise(seen) {
            self.retell(Anew::Below);
            self.go_on_retelling(now);
        }
    }

    /// A peer tells something of an entity id that no hub has stamped.
    fn hear_at_first_hand(
        &mut self,
        now: Now,
        peer: PeerId,
        eid: EntityId,
    ) -> Result<(), TableFull> {
        let eid = self.table.intern_eid(eid)?;
        self.table.note_first_hand(eid, peer);
        if self.leases.hear(eid, peer) {
            // Who is the home of it is known before anything of it is taken.
            self.note_ways(now);
            self.take_over(now, eid);
            self.note_unasked(&BTreeSet::from([eid]));
            self.ask_unasked(now);
        }
        self.look_at(now, eid);
        Ok(())
    }

    /// A peer's server has left this entity id for another: it is not by that peer that it is heard any more.
    pub(super) fn leave(&mut self, now: Now, peer: PeerId, eid: EntityId) {
        if let Some(eid) = self.table.eid_id(eid) {
            self.leases.leave(eid, peer);
            self.table.forget_first_hand(eid, peer);
            self.look_at(now, eid);
        }
    }

    /// A peer says what is known already. Whoever told it first may have restarted since and not have it any more.
    fn said_again(&mut self, now: Now, peer: PeerId, known: &KnownValue) {
        if known.version.by == self.entity_id {
            return; // ours to say, as long as its node says so here
        }
        let eid = self.table.cell(known.cell).eid;
        if known.peer == Some(peer) || self.table.owner_of(eid) == Some(peer) {
            self.table.set_parent(known.cell, Some(peer));
        } else if let Some(parent) = known.peer
            && let Some(sweep) = self.peers.get(parent).sweep
            && known.said < sweep.round
        {
            self.table.set_parent(known.cell, Some(peer));
            self.say_again(now, parent, known.cell);
        }
    }

    /// Whether a peer last said something before it was asked for all it has, and has not ended that, or not said it again.
    fn is_of_former_life(&self, peer: PeerId, said: u32) -> bool {
        let peer = self.peers.get(peer);
        let since = peer.sweep.map(|sweep| sweep.round).or(peer.undecided);
        since.is_some_and(|round| said < round)
    }

    /// A peer has an older value than we: it is told ours, even where that came from it.
    fn knows_less(&mut self, now: Now, peer: PeerId, cell: CellId) {
        if self.table.cell(cell).peer == Some(peer) {
            self.table.set_parent(cell, None);
        }
        self.say_again(now, peer, cell);
    }

    fn say_again(&mut self, now: Now, peer: PeerId, cell: CellId) {
        self.each_publisher(now, |publisher, ctx| {
            if publisher.peer == Some(peer) {
                publisher.say_again(ctx, cell);
            }
        });
    }

    /// What another hub holds to be lost may be heard here: then our word counts.
    pub(super) fn dispute(&mut self, now: Now, change: Change) -> Option<Change> {
        let eid = self.table.cell(change.cell).eid;
        let peer = self.leases.open_way(eid)?;
        let ours = self
            .table
            .tell_one_anew(Anew::Back(eid, peer), change.cell)?;
        self.begin_sweep(now, peer);
        Some(ours)
    }

    /// An entity id is heard at first hand: what hubs have stamped of it that are not heard, or that hold it to be lost, is ours to say from
    /// now on, and its node is asked which of it still is.
    pub(super) fn take_over(&mut self, now: Now, eid: EidId) {
        let Some(peer) = self.leases.open_way(eid) else {
            return;
        };
        if !self.is_home(self.table.eid(eid)) {
            return; // another node of the cluster does that
        }
        self.retell(Anew::Back(eid, peer));
        self.go_on_retelling(now);
    }

    /// A hub does not hear a node any more, and soon takes it to be lost. If the node is heard here at first hand, what that hub has stamped of it
    /// is ours to say from now on, so that it has nothing to take back.
    fn take_over_from(&mut self, now: Now, by: EntityId, eid: EntityId) {
        let (Some(eid), Some(stamper)) = (self.table.eid_id(eid), self.table.stamper(by)) else {
            return;
        };
        if let Some(peer) = self.leases.open_way(eid) {
            self.retell(Anew::Taken(eid, stamper, peer));
            self.go_on_retelling(now);
        }
    }

    /// A beat of a hub's goes on to all that know what one is, but for the one that it came from.
    ///
    /// With it comes up to which number the teller has told all that it knows of what that hub has stamped.
    pub(super) fn take_beat(&mut self, now: Now, from: PeerId, beat: Version, extras: &Extras<'_>) {
        if beat.by == self.entity_id {
            return self.raise(now, beat.seq);
        }
        let news = self.leases.beat(now.at, beat.by, beat.seq);
        if let Some(seq) = self.leases.far_ahead(beat.by, beat.seq) {
            // That hub's clock has gone back since its last life: it is told what was seen of that, the way by which its beat came.
            let newest = Version { seq, ..beat };
            self.each_publisher(now, |publisher, ctx| {
                if publisher.peer == Some(from) {
                    publisher.beat(ctx, newest, None);
                }
            });
        }
        if let Some(complete) = extras.complete {
            let full = !extras.partial && self.takes_all_names(from);
            self.leases.note_complete(beat.by, from, complete, full);
            if let Some(round) = self.peers.get(from).undecided {
                self.decide_unsaid(now, from, round);
            }
        }
        if !news {
            return;
        }
        self.say_hub(from, beat);
        self.leases.note_held(beat.by, &extras.held);
        for eid in &extras.held {
            self.take_over_from(now, beat.by, *eid);
        }
        if self.config.lampwire.relay {
            let complete = self.leases.complete(beat.by);
            let told = self.leases.told(beat.by, from);
            // To whoever does not tell others, what only a filter lets through is worth something too.
            let claim = complete
                .map(|seq| (seq, true))
                .or(told.map(|seq| (seq, false)));
            self.each_publisher(now, |publisher, ctx| {
                let to = publisher.peer.filter(|to| *to != from);
                if to.is_some_and(|to| ctx.peers.get(to).entity_id != Some(beat.by)) {
                    publisher.beat(ctx, beat, claim);
                }
            });
        }
        // Whoever had fallen silent is heard again.
        self.look_at_hub(now, beat.by);
        self.wait_for_hubs();
    }

    /// The time of our own beat.
    pub(super) fn beat(&mut self, now: Now) {
        self.last_beat = self.table.tick();
        let beat = self.own_beat();
        if !self.settled && self.is_settled(now) {
            self.settled = true;
            // What we stamped in an earlier life, and nobody has here any more, was passed over until now.
            self.ask_hubs(now);
        }
        let claim = self.settled.then(|| (self.table.newest_seq(), true));
        self.each_publisher(now, |publisher, ctx| {
            if publisher.peer.is_some() {
                publisher.beat(ctx, beat, claim);
            }
        });
        self.timers.set(Timer::Beat, now.at + limits::HUB_BEAT);
    }

    /// Each peer that is a Lampwire is asked for all it has.
    fn ask_hubs(&mut self, now: Now) {
        let hubs = self.peers.iter().filter(|(_, peer)| peer.life.is_some());
        let hubs: Vec<PeerId> = hubs.map(|(id, _)| id).collect();
        for id in hubs {
            self.ask_peer(now, id);
        }
    }

    /// The newest of our beats. Their numbers rise over all lives of this node, as those of its stamps, among which they are.
    const fn own_beat(&self) -> Version {
        Version {
            by: self.entity_id,
            seq: self.last_beat,
        }
    }

    /// Whether everybody who is there has told what it has since this node started, so that what nobody told is gone.
    fn is_settled(&self, now: Now) -> bool {
        let hold = self.config.lampwire.hold_time;
        self.restored == Some(true)
            || now.at >= self.started_at + hold
                && self.peers.iter().all(|(_, peer)| {
                    let quiet = now.at >= peer.said_at + limits::DUMP_QUIET;
                    !peer.is_there() || peer.sweep.is_none() && (quiet || peer.life.is_some())
                })
    }

    /// The time at which a hub may have fallen silent, or somebody who is held is lost.
    pub(super) fn look_at_all(&mut self, now: Now) {
        for eid in self.leases.all() {
            self.look_at(now, eid);
        }
        for by in self.leases.all_hubs() {
            self.look_at_hub(now, by);
        }
        self.wait_for_losses();
    }

    /// Does what the life of a hub asks for now.
    fn look_at_hub(&mut self, now: Now, by: EntityId) {
        let hold = self.config.lampwire.hold_time;
        let Some((turn, life)) = self.leases.look_at_hub(now.at, by, now.at + hold) else {
            return;
        };
        let Some(stamper) = self.table.stamper(by) else {
            return; // it has stamped nothing
        };
        self.table.set_stamper_life(stamper, life);
        self.report_turn(by, turn);
        match turn {
            Turn::Held(_) => {
                // Whoever is heard here at first hand is not lost with it.
                for eid in self.table.stamped_by(stamper) {
                    self.take_over(now, eid);
                }
            }
            Turn::Kept => {}
            Turn::Lost | Turn::Back => self.retell(Anew::Hub(stamper)),
        }
        if turn == Turn::Lost {
            self.leave_to_another(now, by);
            if !self.config.lampwire.relay {
                // Another may say the same.
                self.ask_hubs(now);
            }
        }
        self.wait_for_losses();
        self.go_on_retelling(now);
    }

    /// What a hub that is lost had told of others is for another to say from now on, or to be gone.
    fn leave_to_another(&mut self, now: Now, by: EntityId) {
        let lost = self.table.eid_id(by).and_then(|by| self.table.owner_of(by));
        let Some(lost) = lost else {
            return;
        };
        let heir = self.peers.iter().find(|(id, peer)| {
            *id != lost && peer.life.is_some() && peer.is_there() && self.leases.tells_all(*id)
        });
        if let Some((heir, _)) = heir
            && self.table.leave_to(lost, heir)
        {
            self.begin_sweep(now, heir);
        }
    }

    /// Wakes the node when the next hub may have fallen silent. Every beat leads here, and of a thousand hubs a thousand come in a second; a beat
    /// only puts it off, so a time that is set stands, and whoever still is to fall silent is found out then.
    pub(super) fn wait_for_hubs(&mut self) {
        if self.timers.is_set(Timer::Hubs) {
            return;
        }
        if let Some(next) = self.leases.next_silence() {
            self.timers.set(Timer::Hubs, next);
        }
    }

    pub(super) fn wait_for_losses(&mut self) {
        if let Some(next) = self.leases.next_loss() {
            self.timers.set(Timer::Losses, next);
        }
    }

    /// Does what the life of an entity id asks for now.
    pub(super) fn look_at(&mut self, now: Now, eid: EidId) {
        let hold = self.config.lampwire.hold_time;
        let Some(turn) = self.leases.look(now.at, eid, now.at + hold) else {
            return;
        };
        let name = self.table.eid(eid);
        if turn == Turn::Lost && !self.table.is_stamped_here(eid) {
            let text =
                format!("{name} is not heard here any more; what is known of it is another's word");
            self.outbox.notice(Level::Info, "node-elsewhere", text);
        } else {
            self.report_turn(name, turn);
        }
        match turn {
            Turn::Held(_) => {}
            Turn::Kept | Turn::Back => self.take_over(now, eid),
            Turn::Lost => self.retell(Anew::Lost(eid)),
        }
        self.wait_for_losses();
        self.go_on_retelling(now);
    }

    fn report_turn(&mut self, name: EntityId, turn: Turn) {
        let hold = self.config.lampwire.hold_time;
        let (level, code, text) = match turn {
            Turn::Held(_) => (
                Level::Warn,
                "node-silent",
                format!(
                    "{name} is not heard any more; its states are kept for {} s",
                    hold.as_secs()
                ),
            ),
            Turn::Kept => (
                Level::Info,
                "node-heard",
                format!("{name} is heard again; its states are as they were"),
            ),
            Turn::Lost => {
                self.counters.losses += 1;
                let text = match self.config.lampwire.retract_as {
                    RetractAs::State(state) => {
                        format!(
                            "{name} is lost; its devices are told to be {}",
                            state.as_str()
                        )
                    }
                    RetractAs::Keep => format!("{name} is lost; its states stay as they are"),
                };
                (Level::Warn, "node-lost", text)
            }
            Turn::Back => {
                self.counters.returns += 1;
                (
                    Level::Info,
                    "node-back",
                    format!("{name} is back; its states are told again"),
                )
            }
        };
        self.outbox.notice(level, code, text);
    }

    fn retell(&mut self, which: Anew) {
        // What one of them has overtaken is not told any more.
        let same = |other: Anew| match (other, which) {
            (Anew::Lost(one) | Anew::Back(one, _), Anew::Lost(other) | Anew::Back(other, _)) => {
                one == other
            }
            (one, other) => one == other,
        };
        self.retelling.retain(|other| !same(other.which));
        self.retelling.push_back(Retelling {
            which,
            next: CellId::at(0),
        });
    }

    /// Tells some more of what is to be told anew.
    pub(super) fn go_on_retelling(&mut self, now: Now) {
        let Some(Retelling { which, next }) = self.retelling.pop_front() else {
            return;
        };
        let mut changes = Vec::new();
        let rest = self
            .table
            .tell_anew(which, next, limits::TELL_ANEW_BUDGET, |change| {
                changes.push(change);
            });
        if let Anew::Back(_, peer) | Anew::Taken(_, _, peer) = which
            && !changes.is_empty()
        {
            // It may not have all of this any more.
            self.begin_sweep(now, peer);
        }
        let by_loss = matches!(which, Anew::Lost(_) | Anew::Hub(_));
        for change in changes {
            if by_loss && self.table.is_lost(self.table.cell(change.cell)) {
                self.counters.retracted_lost += u64::from(change.kind == Kind::Device);
            }
            self.fan_out(now, change);
        }
        if let Some(next) = rest {
            self.retelling.push_front(Retelling { which, next });
        }
        if !self.retelling.is_empty() {
            self.timers
                .set(Timer::Retelling, now.at + limits::LANE_TURN);
        }
    }

    // ---- whether a peer is there

    /// Looks whether a peer is there: it is while any request of it was taken lately, or while it answers and a publication of it is live.
    pub(super) fn review_peer(&mut self, now: Now, id: PeerId) {
        if self.peers.get(id).ami.is_some() {
            // Its connection says so.
            return;
        }
        let asked = self
            .publishers
            .iter()
            .filter(|publisher| publisher.peer == Some(id) && publisher.can_probe());
        // Any final answer to any of them is a sign of life.
        let silent: Option<Vec<Time>> = asked.map(Publisher::silent_at).collect();
        let taken_until = self.peers.get(id).taken_until;
        let away_at = silent
            .and_then(|times| times.into_iter().max())
            .map(|at| at.max(taken_until));
        let away = away_at.is_some_and(|at| at <= now.at);
        if let Some(at) = away_at.filter(|at| *at > now.at) {
            self.timers.set(Timer::Peer(id.0), at);
        }
        let lives = self.holds_publication(id);
        let peer = self.peers.get_mut(id);
        let was_there = peer.is_there();
        let was_away = peer.away || peer.ended;
        peer.away = away;
        // It answers, and what it has published here in our earlier life lives on.
        peer.restored &= peer.last_heard.is_none() || !lives;
        self.turn_peer(now, id, was_there, was_away);
    }

    /// A request of a peer's was taken.
    pub(super) fn peer_spoke(&mut self, now: Now, id: PeerId) {
        let patience = self
            .publishers
            .iter()
            .filter(|publisher| publisher.peer == Some(id))
            .map(|publisher| publisher.patience())
            .max()
            .unwrap_or_default();
        let peer = self.peers.get_mut(id);
        let was_there = peer.is_there();
        let was_away = peer.away || peer.ended;
        peer.taken_until = now.at + patience;
        peer.away = false;
        peer.ended = false;
        peer.restored = false;
        self.turn_peer(now, id, was_there, was_away);
    }

    /// A publication of a peer's has ended: without another one the peer is not there any more.
    pub(super) fn publication_ended(&mut self, now: Now, id: PeerId) {
        if !self.holds_publication(id) {
            let peer = self.peers.get_mut(id);
            let was_there = peer.is_there();
            peer.ended = true;
            self.turn_peer(now, id, was_there, false);
        }
    }

    /// A peer has asked to begin a publication with nothing to say. So a stock Asterisk keeps on whose keep-alive came too late, until some state
    /// changes: it is there for as long as it would have been by that publication.
    pub(super) fn knocked(&mut self, now: Now, request: &Message<'_>, uri: &str) {
        let Some(id) = self.peer_meant(request, uri) else {
            return;
        };
        let asked = request.expires().ok().flatten();
        let granted = asked
            .unwrap_or(DEFAULT_EXPIRES)
            .min(self.config.lampwire.expires_max);
        let until = now.at + Duration::from_secs(u64::from(granted)) + limits::TAG_GRACE;
        self.peers.get_mut(id).heard(now);
        self.peers.get_mut(id).knocks_until = Some(until);
        self.peer_spoke(now, id);
        self.timers.set(Timer::Knock(id.0), until);
    }

    /// A peer that held no publication has not asked for another in its time.
    pub(super) fn knocked_last(&mut self, now: Now, id: PeerId) {
        if self.peers.get_mut(id).knocks_until.take().is_some() {
            self.publication_ended(now, id);
        }
    }

    fn holds_publication(&self, id: PeerId) -> bool {
        if self.peers.get(id).knocks_until.is_some() {
            return true;
        }
        self.compositor.iter().any(|(_, publication)| {
            let rule = &self.config.asterisk_publications[publication.rule].name;
            self.peers.of_asterisk_publication(rule) == Some(id)
        })
    }

    pub(super) fn turn_peer(&mut self, now: Now, id: PeerId, was_there: bool, was_away: bool) {
        let there = self.peers.get(id).is_there();
        if there == was_there {
            return;
        }
        self.peers.note_change(id);
        let concerned = self.leases.set_open(id, there);
        self.note_ways(now);
        for eid in concerned {
            self.look_at(now, eid);
        }
        // Where only this node was away, and nothing was missed, there is nothing to find out.
        let missed = was_away || self.restored != Some(true);
        if !there || !missed {
            return;
        }
        if self.leases.tells(id) {
            self.begin_sweep(now, id);
        } else if !self.is_asking(id) {
            // It has never said anything here, and may have tried.
            self.ask_peer(now, id);
        }
    }

    // ---- what a peer no longer has

    /// A peer is back, or has begun anew: it is asked for everything, and what it leaves out in the end is taken back.
    pub(super) fn begin_sweep(&mut self, now: Now, id: PeerId) {
        let peer = self.peers.get_mut(id);
        if let Some(sweep) = &mut peer.sweep {
            // What it has said since that began is spared there.
            sweep.again = true;
            return;
        }
        (peer.unswept, peer.doubts) = (None, 0);
        let round = self.table.begin_round();
        if self.ask_peer(now, id) {
            self.await_dumps(now, id, round);
        }
    }

    /// A peer has just been asked for everything: its dumps are waited for.
    pub(super) fn await_dumps(&mut self, now: Now, id: PeerId, round: u32) {
        self.peers.get_mut(id).sweep = Some(Sweep {
            round,
            asked_at: now.at,
            refused: self.refusals_of(id),
            repeats: self.peers.get(id).repeats,
            second: None,
            again: false,
        });
        self.timers
            .set(Timer::Sweep(id.0), now.at + limits::DUMP_QUIET);
    }

    /// A peer began a publication while another one was live. A stock Asterisk holds one at a time, so it has restarted.
    pub(super) fn began_another(&mut self, now: Now, id: PeerId) {
        if self.peers.get(id).life.is_none() && self.leases.tells(id) {
            self.begin_sweep(now, id);
        }
    }

    /// Asks a peer for everything it has; false where it cannot be asked.
    pub(super) fn ask_peer(&mut self, now: Now, id: PeerId) -> bool {
        let mut asked = false;
        self.each_publisher(now, |publisher, ctx| {
            asked |= publisher.peer == Some(id) && publisher.ask(ctx);
        });
        if asked {
            self.note_asked(now, id);
        }
        asked
    }

    fn is_asking(&self, id: PeerId) -> bool {
        let mut publishers = self.publishers.iter();
        publishers.any(|publisher| publisher.peer == Some(id) && publisher.is_asking())
    }

    fn refusals_of(&self, id: PeerId) -> u64 {
        self.peers.get(id).refusals
    }

    /// A dump of a peer's may be over. One has no end mark, so it is over when nothing more came for a while; and since a slow one may still
    /// seem so, two must have left a device out.
    pub(super) fn go_on_sweeping(&mut self, now: Now, id: PeerId) {
        let Some(sweep) = self.peers.get(id).sweep else {
            return;
        };
        if self.peers.get(id).life.is_some() {
            return; // a Lampwire says when its dump is over
        }
        let asking = self.is_asking(id);
        let quiet_at = self.peers.get(id).said_at.max(sweep.asked_at) + limits::DUMP_QUIET;
        if asking || quiet_at > now.at {
            let again = quiet_at.max(now.at + limits::DUMP_QUIET / 4);
            self.timers.set(Timer::Sweep(id.0), again);
            return;
        }
        // A peer without devicestate_publish takes the question and says nothing; one that is gone says nothing either.
        let peer = self.peers.get_mut(id);
        if !peer.is_there() {
            peer.sweep = None;
            return;
        }
        if peer.repeats == sweep.repeats {
            peer.sweep = None;
            peer.unswept = Some(sweep.round);
            if sweep.again {
                self.begin_sweep(now, id);
            } else if peer.said_at > sweep.asked_at {
                // All that it said was news, so that may have been no dump; the next one brings it again.
                self.sweep_after_all(now, id);
            }
            return;
        }
        if self.refusals_of(id) != sweep.refused {
            // Something was refused in between: that may be what is missing.
            self.peers.get_mut(id).sweep = None;
            self.begin_sweep(now, id);
            return;
        }
        let next = sweep.asked_at + self.config.lampwire.hold_time;
        if let Some(second) = sweep.second {
            if self.table.said_between(id, sweep.round, second) {
                // What one of them had and the other had not says that one was no dump: somebody says all again at his leisure, or
                // something was lost. It begins over, a few times at most.
                let round = self.table.begin_round();
                let peer = self.peers.get_mut(id);
                (peer.sweep, peer.unswept) = (None, Some(round));
                self.sweep_after_all(now, id);
                return;
            }
            self.sweep_peer(now, id, sweep.round);
        } else if next > now.at {
            self.timers.set(Timer::Sweep(id.0), next);
        } else {
            let second = self.table.begin_round();
            if !self.ask_peer(now, id) {
                return;
            }
            self.peers.get_mut(id).sweep = Some(Sweep {
                asked_at: now.at,
                repeats: self.peers.get(id).repeats,
                second: Some(second),
                ..sweep
            });
            self.timers
                .set(Timer::Sweep(id.0), now.at + limits::DUMP_QUIET);
        }
    }

    /// A peer that did not answer when it was asked for all it has may have had nothing then. It says something now, so it is asked again.
    pub(super) fn sweep_after_all(&mut self, now: Now, id: PeerId) {
        let peer = self.peers.get_mut(id);
        if peer.sweep.is_some() || peer.doubts >= limits::DUMPS_DOUBTED {
            return;
        }
        let Some(round) = peer.unswept.take() else {
            return;
        };
        peer.doubts += 1;
        if self.ask_peer(now, id) {
            self.await_dumps(now, id, round);
        }
    }

    /// A Lampwire peer says that its dump is over.
    pub(super) fn dumped(&mut self, now: Now, id: PeerId, extras: &Extras<'_>) {
        // An older one answers an earlier question.
        let round = extras.round.and_then(|round| self.table.round_meant(round));
        if self.note_life(now, id, extras.life) {
            return; // what was said since it was asked may be of its earlier life
        }
        // What was asked again since may have been said before that by another.
        let asked = self.peers.get(id).sweep.map_or(0, |sweep| sweep.round);
        if let (Some(round), Some(complete)) = (round.filter(|it| *it >= asked), extras.complete) {
            self.told_of_itself(now, id, round, complete, extras.partial);
        }
        let refused = self.refusals_of(id);
        let Some(sweep) = &mut self.peers.get_mut(id).sweep else {
            return;
        };
        if round.is_none_or(|round| round < sweep.round) {
            return;
        }
        if refused != sweep.refused {
            // Something was refused in between: that may be what is missing. It is asked again when the reason is gone.
            sweep.refused = refused;
            return;
        }
        let sweep = *sweep;
        self.sweep_peer(now, id, sweep.round);
    }

    /// A hub has told all that it says of itself, up to a number of its own: what it had said and says no more is gone, whoever told it.
    fn told_of_itself(&mut self, now: Now, id: PeerId, round: u32, complete: u64, partial: bool) {
        let peer = self.peers.get(id);
        let Some(own) = peer.entity_id else {
            return;
        };
        if round < peer.known_since {
            // What it said of itself before its entity id was known was not known to be that.
            self.ask_peer(now, id);
            return;
        }
        for unsaid in self.table.unsaid_of(own, id, round) {
            let told = unsaid.peer == Some(id) || !partial && self.takes_name(id, &unsaid.name);
            if unsaid.version.seq <= complete && told {
                let version = Version {
                    by: own,
                    seq: complete,
                };
                self.bury(now, &unsaid, version);
            }
        }
        if !partial {
            let peer = self.peers.get_mut(id);
            peer.told_of_itself = peer.told_of_itself.max(Some(complete));
        }
    }

    /// A device's state is taken of a peer, under the name that it has there.
    fn takes_name(&self, id: PeerId, device: &str) -> bool {
        let name = &self.peers.get(id).name;
        let mut rules = self.config.asterisk_publications.iter().zip(&self.taken);
        !self.rewrites.concern(id)
            && rules.any(|(rule, (devices, _))| {
                rule.name == *name && rule.device_state && self.filters.matches(*devices, device)
            })
    }

    /// No filter and no rewrite stands between what a peer tells and what is known here.
    fn takes_all_names(&self, id: PeerId) -> bool {
        let name = &self.peers.get(id).name;
        let mut rules = self.config.asterisk_publications.iter().zip(&self.taken);
        !self.rewrites.concern(id)
            && rules.any(|(rule, (devices, _))| {
                rule.name == *name && rule.device_state && devices.is_none()
            })
    }

    /// Takes back the devices that a peer has not spoken of since a round of asking, as far as it is for this node to say so.
    pub(super) fn sweep_peer(&mut self, now: Now, id: PeerId, round: u32) {
        let sweep = self.peers.get_mut(id).sweep.take();
        self.timers.clear(Timer::Sweep(id.0));
        let unsaid = self.table.unsaid_since(id, round, |eid| self.is_home(eid));
        let (ours, others): (Vec<Unsaid>, Vec<Unsaid>) =
            unsaid.into_iter().partition(|unsaid| unsaid.here);
        if !ours.is_empty() {
            let text = format!(
                "{} devices that {} no longer has are taken back",
                ours.len(),
                self.peers.get(id).name
            );
            self.outbox.notice(Level::Info, "devices-gone", text);
        }
        for Unsaid { eid, name, .. } in ours {
            self.counters.swept += 1;
            if let Some(change) = self.table.delete(Kind::Device, &name, eid, now.wall) {
                self.fan_out(now, change);
            }
        }
        if sweep.is_some_and(|sweep| sweep.again) {
            self.begin_sweep(now, id);
        }
        if others.is_empty() {
            return;
        }
        if self.config.lampwire.relay {
            // It may have restarted, or know that they are gone: it is told them, and says so.
            for unsaid in others {
                self.table.set_parent(unsaid.cell, None);
                self.say_again(now, id, unsaid.cell);
            }
        } else {
            self.peers.get_mut(id).undecided = Some(round);
            self.decide_unsaid(now, id, round);
        }
    }

    /// What a peer has not said again is gone as far as the peer knows all that was stamped; of the rest it may hear yet.
    fn decide_unsaid(&mut self, now: Now, id: PeerId, round: u32) {
        let mut left = false;
        for unsaid in self.table.unsaid_since(id, round, |_| false) {
            let told = self.leases.told(unsaid.version.by, id);
            match told.filter(|told| *told >= unsaid.version.seq) {
                Some(seq) => {
                    let by = unsaid.version.by;
                    self.bury(now, &unsaid, Version { seq, by });
                }
                None => left = true,
            }
        }
        if !left {
            self.peers.get_mut(id).undecided = None;
        }
    }

    /// A device is gone, as whoever stamped it knows.
    fn bury(&mut self, now: Now, unsaid: &Unsaid, version: Version) {
        self.counters.swept += 1;
        let Unsaid { eid, name, .. } = unsaid;
        let gone = self.table.entomb(
            (Kind::Device, name, *eid),
            version,
            None,
            Source::Publication,
            now.wall,
        );
        if let Ok(change) = gone {
            self.fan_out(now, change);
        }
    }

    // ---- mailboxes

    /// A peer has published a mailbox's value, its own or not (`first_hand`): whose value counts now. `before`: whose did until then. Gives the
    /// value of a configured owner that counts again.
    pub(super) fn settle_owner(
        &mut self,
        now: Now,
        (peer, first_hand): (PeerId, bool),
        mailbox: &str,
        before: Option<CellId>,
    ) -> Option<CellId> {
        let name = self.table.names.find(Kind::Mailbox, mailbox)?;
        let mut again = None;
        if let Some(configured) = self.configured_owner(mailbox)
            && let Some(cell) = self.table.told_by(name, configured)
            // One that is lost gives way to whoever reports messages.
            && !self.table.is_lost(self.table.cell(cell))
        {
            self.table.set_owner(cell);
            again = before.filter(|before| *before != cell).map(|_| cell);
        }
        let owner = self.table.names.get(name).owner;
        let owned = owner.is_some_and(|owner| self.table.cell(owner).peer == Some(peer));
        if first_hand && !owned {
            self.restore_mailbox(now, peer, mailbox);
        }
        again
    }

    /// What the owner says is told as it is, and what it had said (`owned`) is where others were told another's meanwhile.
    pub(super) fn say_owned(&mut self, now: Now, owned: Option<CellId>, applied: Option<Change>) {
        if let Some(owned) = owned
            && applied.is_none_or(|applied| applied.cell != owned)
        {
            let again = self.table.tell_again(owned);
            self.spread(now, again);
        }
    }

    /// A mailbox's value came from a peer that does not own the mailbox: what we told that peer is overwritten there, so the owner's is told
    /// it again.
    fn restore_mailbox(&mut self, now: Now, id: PeerId, mailbox: &str) {
        let Some(name) = self.table.names.find(Kind::Mailbox, mailbox) else {
            return;
        };
        let Some(owner) = self.table.names.get(name).owner else {
            return;
        };
        self.say_again(now, id, owner);
    }

    /// The peer that owns a mailbox by the configuration.
    fn configured_owner(&self, mailbox: &str) -> Option<PeerId> {
        let owners = self
            .config
            .outbound_publishes
            .iter()
            .flat_map(|publish| &publish.mailbox_owner);
        owners
            .filter(|owner| owner.pattern.is_match(mailbox))
            .find_map(|owner| self.peers.of_asterisk_publication(&owner.peer))
    }

    /// A canary has come: ours is back, or a peer's goes back over the publish of the same event.
    pub(super) fn take_canary(
        &mut self,
        now: Now,
        id: PeerId,
        event: EventPackage,
        eid: EntityId,
        number: u64,
    ) {
        let ours = eid == self.entity_id;
        let by = self.peers.get(id).publisher(event);
        self.each_publisher(now, |publisher, ctx| {
            if ours && publisher.peer == Some(id) {
                publisher.canary_back(ctx, number);
            } else if !ours && by == Some(publisher.id) {
                publisher.send_back(ctx, eid, number);
            }
        });
    }

    // ---- what another Lampwire tells of itself

    /// A peer asks for everything: what it tells of itself by that. True if it is to be told all.
    pub(super) fn asked_by(
        &mut self,
        now: Now,
        id: PeerId,
        event: EventPackage,
        eid: EntityId,
        extras: &Extras<'_>,
    ) {
        self.learn_own(now, id, eid);
        if let Some(seen) = extras.seen {
            // Our clock may have gone back since our last life.
            self.raise(now, seen);
        }
        let lampwire = extras.life.is_some();
        if !self.note_life(now, id, extras.life)
            && lampwire
            && extras.knows != Some(self.table.life())
            && !self.is_asking(id)
        {
            // It may have restarted since we asked it, and not have heard of us.
            self.ask_peer(now, id);
        }
        let filter = extras
            .filter
            .as_deref()
            .filter(|filter| !filter.is_empty() && filter.len() <= limits::FILTER_PUSHED)
            .filter(|_| !self.rewrites.concern(id))
            .and_then(|filter| lampwire_conf::Filter::parse(filter).ok());
        if self.last_beat <= self.table.first_seq() {
            self.last_beat = self.table.tick();
        }
        let others = self.leases.beats(now.at);
        let beats: Vec<Version> = others
            .map(|(by, seq)| Version { seq, by })
            .filter(|beat| beat.by != eid)
            .chain([self.own_beat()])
            .collect();
        self.each_publisher(now, |publisher, ctx| {
            if publisher.peer == Some(id) {
                publisher.know(lampwire, event, extras.round, filter.as_ref());
                for beat in beats.iter().filter(|_| ctx.config.lampwire.relay) {
                    publisher.beat(ctx, *beat, None);
                }
            }
        });
        self.set_voices(now);
    }

    /// A peer says when it started. Whatever was asked of an earlier life of it, and whatever that had confirmed, is asked and told anew; true if
    /// it is.
    fn note_life(&mut self, now: Now, id: PeerId, life: Option<u64>) -> bool {
        let before = std::mem::replace(&mut self.peers.get_mut(id).life, life);
        if before == life {
            return false;
        }
        let asked = self.peers.get_mut(id).sweep.take().is_some();
        self.leases.forget_told(id);
        self.each_publisher(now, |publisher, _| {
            if publisher.peer == Some(id) {
                publisher.forget_claims();
            }
        });
        let tells = self.leases.tells(id) || asked;
        if tells {
            self.begin_sweep(now, id);
        }
        tells
    }

    /// An entity id is a peer's own. Publishers that did not know that could not tell it everything.
    pub(super) fn learn_own(&mut self, now: Now, id: PeerId, eid: EntityId) {
        if eid == self.entity_id {
            return;
        }
        let before = self.peers.get_mut(id).entity_id.replace(eid);
        let known = self
            .table
            .eid_id(eid)
            .and_then(|eid| self.table.owner_of(eid));
        if before == Some(eid) && known == Some(id) {
            return;
        }
        self.table.set_own(eid, id);
        if let Some(cluster) = &mut self.cluster {
            cluster.ways_due = true;
        }
        self.peers.get_mut(id).known_since = self.table.begin_round();
        self.rules_changed();
        if self.config.lampwire.relay {
            self.each_publisher(now, |publisher, ctx| publisher.own_learned(ctx, id, eid));
        }
        self.ask_unasked(now);
    }
}
