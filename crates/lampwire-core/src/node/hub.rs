//! The hub: who hears of whom, when a node is lost and what then becomes of its states.

use lampwire_conf::RetractAs;
use lampwire_sip::{EntityId, EventPackage, Extras, StateChange, Version};

use super::Node;
use crate::io::Level;
use crate::lease::{Belief, Turn};
use crate::limits;
use crate::peer::{PeerId, Sweep};
use crate::publisher::Publisher;
use crate::table::{CellId, EidId, Kind, TableFull};
use crate::time::{Now, Time};
use crate::timers::Timer;

/// Devices that are told anew because their node is lost or back: from which cell on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retelling {
    eid: EidId,
    next: CellId,
}

impl Node {
    /// A peer tells of an entity id: the lease is renewed, and it is found out whether what is told is believed.
    pub(super) fn hear(
        &mut self,
        now: Now,
        peer: PeerId,
        change: &StateChange<'_>,
        extras: &Extras<'_>,
    ) -> Result<Belief, TableFull> {
        let (kind, name) = match change {
            StateChange::Device { device, .. } => (Kind::Device, &**device),
            StateChange::Mailbox { uniqueid, .. } => (Kind::Mailbox, &**uniqueid),
            StateChange::Refresh { .. } | StateChange::Dumped { .. } | StateChange::Beat { .. } => {
                return Ok(Belief::Taken);
            }
        };
        let eid = self.table.intern_eid(change.eid())?;
        let version = extras.version;
        if version.is_some_and(|version| version.by == self.entity_id) {
            // Our own word comes back.
            self.counters.echoes += 1;
            return Ok(Belief::Shadow);
        }
        let known = self.table.version_of(kind, name, change.eid());
        let belief = self
            .leases
            .hear(now.at, eid, peer, version, extras.lost, known);
        match belief {
            Belief::Taken | Belief::TakenAnew => {}
            Belief::Stale => {
                self.counters.stale += 1;
                // It is no news, but the peer has it.
                self.table.note_said(kind, name, eid);
            }
            Belief::Shadow => self.counters.shadows += 1,
            Belief::StandIn => {
                self.table.note_said(kind, name, eid);
                if let Some(version) = version {
                    self.table.set_version(kind, name, eid, version)?;
                }
            }
        }
        if version.is_none() {
            self.table.note_first_hand(eid, peer);
        }
        if belief == Belief::TakenAnew {
            self.ask_peer(now, peer);
        }
        self.look_at(now, eid);
        self.wait_for_hubs(now);
        Ok(belief)
    }

    /// A beat of a hub's goes on to all that know what one is, but for the one that it came from.
    pub(super) fn take_beat(&mut self, now: Now, from: Option<PeerId>, beat: Version) {
        if beat.by == self.entity_id && from.is_some() {
            return;
        }
        if !self.leases.beat(now.at, beat.by, beat.life, beat.seq) {
            return;
        }
        if self.config.lampwire.relay {
            self.each_publisher(now, |publisher, ctx| {
                if publisher.peer.is_some() && publisher.peer != from {
                    publisher.beat(ctx, beat);
                }
            });
        }
        // Whoever had fallen silent is heard again.
        self.look_at_all(now);
        self.wait_for_hubs(now);
    }

    /// The time of our own beat.
    pub(super) fn beat(&mut self, now: Now) {
        self.beats += 1;
        let beat = Version {
            by: self.entity_id,
            life: self.table.life(),
            seq: self.beats,
        };
        self.take_beat(now, None, beat);
        self.timers.set(Timer::Beat, now.at + limits::HUB_BEAT);
    }

    /// The time at which a hub may have fallen silent, or a held entity id is lost.
    pub(super) fn look_at_all(&mut self, now: Now) {
        for eid in self.leases.all() {
            self.look_at(now, eid);
        }
        self.wait_for_losses();
    }

    pub(super) fn wait_for_hubs(&mut self, now: Now) {
        if let Some(next) = self.leases.next_silence(now.at) {
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
                self.retell(eid, true);
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
                self.retell(eid, false);
                (
                    Level::Info,
                    "node-back",
                    format!("{name} is back; its states are told again"),
                )
            }
        };
        self.outbox.notice(level, code, text);
        self.wait_for_losses();
        self.go_on_retelling(now);
    }

    fn retell(&mut self, eid: EidId, lost: bool) {
        self.table.set_lost(eid, lost);
        if self.config.lampwire.retract_as == RetractAs::Keep {
            return;
        }
        self.retelling.retain(|other| other.eid != eid);
        self.retelling.push_back(Retelling {
            eid,
            next: CellId(0),
        });
    }

    /// Tells some more of what is to be told anew.
    pub(super) fn go_on_retelling(&mut self, now: Now) {
        let Some(Retelling { eid, next }) = self.retelling.pop_front() else {
            return;
        };
        let mut changes = Vec::new();
        let rest = self
            .table
            .tell_anew(eid, next, limits::TELL_ANEW_BUDGET, |change| {
                changes.push(change);
            });
        for change in changes {
            self.fan_out(now, change);
        }
        if let Some(next) = rest {
            self.retelling.push_front(Retelling { eid, next });
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

    fn holds_publication(&self, id: PeerId) -> bool {
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
        for eid in self.leases.set_open(id, there) {
            self.look_at(now, eid);
        }
        // Where only this node was away, and nothing was missed, there is nothing to find out.
        let missed = was_away || self.restored != Some(true);
        if there && missed && self.leases.tells(id) {
            self.begin_sweep(now, id);
        }
    }

    // ---- what a peer no longer has

    /// A peer is back, or has begun anew: it is asked for everything, and what it leaves out in the end is taken back.
    pub(super) fn begin_sweep(&mut self, now: Now, id: PeerId) {
        if self.peers.get(id).sweep.is_some() {
            // What it has said since that began is spared all the same.
            return;
        }
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
            second: false,
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
        let asking = self
            .publishers
            .iter()
            .any(|publisher| publisher.peer == Some(id) && publisher.is_asking());
        let quiet_at = self.peers.get(id).said_at.max(sweep.asked_at) + limits::DUMP_QUIET;
        if asking || quiet_at > now.at {
            let again = quiet_at.max(now.at + limits::DUMP_QUIET / 4);
            self.timers.set(Timer::Sweep(id.0), again);
            return;
        }
        // A peer without devicestate_publish takes the question and says nothing; one that is gone says nothing either.
        let peer = self.peers.get_mut(id);
        if !peer.is_there() || peer.repeats == sweep.repeats {
            peer.sweep = None;
            return;
        }
        if self.refusals_of(id) != sweep.refused {
            // Something was refused in between: that may be what is missing.
            self.peers.get_mut(id).sweep = None;
            self.begin_sweep(now, id);
            return;
        }
        let next = sweep.asked_at + self.config.lampwire.hold_time;
        if sweep.second {
            self.sweep_peer(now, id, sweep.round);
        } else if next > now.at {
            self.timers.set(Timer::Sweep(id.0), next);
        } else if self.ask_peer(now, id) {
            self.peers.get_mut(id).sweep = Some(Sweep {
                asked_at: now.at,
                repeats: self.peers.get(id).repeats,
                second: true,
                ..sweep
            });
            self.timers
                .set(Timer::Sweep(id.0), now.at + limits::DUMP_QUIET);
        }
    }

    /// A Lampwire peer says that its dump is over.
    pub(super) fn dumped(&mut self, now: Now, id: PeerId, round: Option<u64>) {
        // An older one answers an earlier question.
        let round = round.and_then(|round| self.table.round_meant(round));
        if let Some(sweep) = self.peers.get(id).sweep
            && round.is_some_and(|round| round >= sweep.round)
            && self.refusals_of(id) == sweep.refused
        {
            self.sweep_peer(now, id, sweep.round);
        }
    }

    /// Takes back the devices that a peer has not spoken of since a round of asking.
    pub(super) fn sweep_peer(&mut self, now: Now, id: PeerId, round: u32) {
        self.peers.get_mut(id).sweep = None;
        self.timers.clear(Timer::Sweep(id.0));
        let gone = self.table.unsaid_since(id, round);
        if !gone.is_empty() {
            let text = format!(
                "{} devices that {} no longer has are taken back",
                gone.len(),
                self.peers.get(id).name
            );
            self.outbox.notice(Level::Info, "devices-gone", text);
        }
        for (eid, name) in gone {
            self.counters.swept += 1;
            if let Some(change) = self.table.delete(Kind::Device, &name, eid, now.wall) {
                self.fan_out(now, change);
            }
        }
    }

    // ---- mailboxes

    /// A peer has published a mailbox's value: whose value counts now. `first_hand`: it is that peer's own.
    pub(super) fn settle_owner(&mut self, now: Now, peer: PeerId, mailbox: &str, first_hand: bool) {
        let Some(name) = self.table.names.find(Kind::Mailbox, mailbox) else {
            return;
        };
        if let Some(configured) = self.configured_owner(mailbox)
            && let Some(cell) = self.table.told_by(name, configured)
        {
            self.table.set_owner(cell);
        }
        let owner = self.table.names.get(name).owner;
        let owned = owner.is_some_and(|owner| self.table.cell(owner).peer == Some(peer));
        if first_hand && !owned {
            self.restore_mailbox(now, peer, mailbox);
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
        self.each_publisher(now, |publisher, ctx| {
            if publisher.peer == Some(id) {
                publisher.say_again(ctx, owner);
            }
        });
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
        if let Some(seen) = extras.seen
            && seen >= self.table.life()
        {
            // Our clock has gone back since our last life.
            self.table.live_again(seen + 1);
            self.beat(now);
        }
        let lampwire = extras.life.is_some();
        let before = std::mem::replace(&mut self.peers.get_mut(id).life, extras.life);
        if before.is_some_and(|before| Some(before) != extras.life) {
            // Whatever was asked of its earlier life is not answered any more.
            self.peers.get_mut(id).sweep = None;
            self.begin_sweep(now, id);
        }
        let filter = extras
            .filter
            .as_deref()
            .filter(|filter| !filter.is_empty() && filter.len() <= limits::FILTER_PUSHED)
            .filter(|_| !self.rewrites.concern(id))
            .and_then(|filter| lampwire_conf::Filter::parse(filter).ok());
        let beats: Vec<Version> = self
            .leases
            .beats(now.at)
            .map(|(by, life, seq)| Version { by, life, seq })
            .collect();
        self.each_publisher(now, |publisher, ctx| {
            if publisher.peer == Some(id) {
                publisher.know(lampwire, event, extras.round, filter.as_ref());
                for beat in beats.iter().filter(|_| ctx.config.lampwire.relay) {
                    publisher.beat(ctx, *beat);
                }
            }
        });
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
        if self.config.lampwire.relay {
            self.each_publisher(now, |publisher, ctx| publisher.own_learned(ctx, id, eid));
        }
    }
}
