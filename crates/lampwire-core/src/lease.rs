//! Who tells of an entity id at first hand and what becomes of its states when nobody does any more; and which other hubs are heard.
//!
//! A lease belongs to a peer and an entity id, never to one publication. An entity id that is heard at first hand lives as long as one of the
//! peers by which it is heard is there. When the last is gone it is held for a while, then lost, and this node, which stamped its states, says
//! so of them.
//!
//! What another hub has stamped lives as long as that hub does. Hubs in a circle would each believe that the next one still hears a hub that is
//! long dead. So a hub shows itself by beats whose numbers rise: they pass through all hubs, no circle can make one, and a hub of which none
//! comes is held and then lost like any node, whatever its neighbours say.

use std::collections::{BTreeMap, BTreeSet};

use lampwire_sip::EntityId;

use crate::limits;
use crate::peer::PeerId;
use crate::table::EidId;
use crate::time::Time;

/// All leases, by entity id, and the hubs that stamp values.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    list: BTreeMap<EidId, Lease>,
    hubs: BTreeMap<EntityId, Hub>,
    /// Peers that have told of anything.
    tellers: BTreeSet<PeerId>,
}

/// One entity id's.
#[derive(Debug)]
struct Lease {
    /// The peers by which it is heard at first hand, and whether each is there. As many at most as there are peers.
    ways: BTreeMap<PeerId, bool>,
    /// Another node of the cluster hears it.
    elsewhere: bool,
    life: Life,
}

/// Another hub, by its beats.
#[derive(Debug)]
struct Hub {
    beat: u64,
    /// When that beat came, or when it was first heard of.
    at: Time,
    life: Life,
    /// Everything that it stamped up to this number is known here, or known to be gone.
    complete: Option<u64>,
    /// Up to which number each peer has told all that it knows, and whether that is of all names.
    told: BTreeMap<PeerId, (u64, bool)>,
    /// What it said with that beat that it soon holds to be lost.
    held: Vec<EntityId>,
}

/// Whether a node or a hub is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Alive,
    /// Not heard of any more; lost at that time.
    Held(Time),
    Lost,
}

/// What changed in the life of a node or a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is held from now on.
    Held(Time),
    /// It was held, and is heard of again before it was lost.
    Kept,
    /// It is lost.
    Lost,
    /// It was lost and is back.
    Back,
}

impl Life {
    /// What follows from being heard, or not. `lost_at` is when it will be lost if it is not heard of from now on.
    fn turn(&mut self, now: Time, heard: bool, lost_at: Time) -> Option<Turn> {
        let (life, turn) = match (heard, *self) {
            (true, Self::Alive) | (false, Self::Lost) => return None,
            (true, Self::Held(_)) => (Self::Alive, Turn::Kept),
            (true, Self::Lost) => (Self::Alive, Turn::Back),
            (false, Self::Held(at)) if at > now => return None,
            (false, Self::Held(_)) => (Self::Lost, Turn::Lost),
            (false, Self::Alive) if lost_at <= now => (Self::Lost, Turn::Lost),
            (false, Self::Alive) => (Self::Held(lost_at), Turn::Held(lost_at)),
        };
        *self = life;
        Some(turn)
    }
}

impl Leases {
    /// A peer tells something, at first hand or not.
    pub(crate) fn note_teller(&mut self, peer: PeerId) {
        self.tellers.insert(peer);
    }

    /// Whether this peer has told of anything.
    pub(crate) fn tells(&self, peer: PeerId) -> bool {
        self.tellers.contains(&peer)
    }

    // ---- nodes that are heard at first hand

    /// A peer tells of an entity id at first hand. True if nobody that is there did before.
    pub(crate) fn hear(&mut self, eid: EidId, peer: PeerId) -> bool {
        self.tellers.insert(peer);
        let lease = self.list.entry(eid).or_insert(Lease {
            ways: BTreeMap::new(),
            elsewhere: false,
            life: Life::Alive,
        });
        let opened = !lease.ways.values().any(|open| *open);
        lease.ways.insert(peer, true);
        opened
    }

    /// An entity id of an earlier life: held until it is heard of again, or lost as it was.
    pub(crate) fn restore(
        &mut self,
        eid: EidId,
        peer: Option<PeerId>,
        lost: bool,
        held_until: Time,
    ) {
        let lease = self.list.entry(eid).or_insert(Lease {
            ways: BTreeMap::new(),
            elsewhere: false,
            life: match lost {
                true => Life::Lost,
                false => Life::Held(held_until),
            },
        });
        if let Some(peer) = peer {
            self.tellers.insert(peer);
            lease.ways.insert(peer, false);
        }
    }

    /// Another node of the cluster hears an entity id, or none does any more. True if that is news.
    pub(crate) fn set_elsewhere(&mut self, eid: EidId, elsewhere: bool) -> bool {
        match self.list.get_mut(&eid) {
            Some(lease) => std::mem::replace(&mut lease.elsewhere, elsewhere) != elsewhere,
            None => false,
        }
    }

    /// Each entity id with each peer by which it is heard at first hand, and whether that is there.
    pub(crate) fn ways(&self) -> impl Iterator<Item = (EidId, PeerId, bool)> + '_ {
        let all = self.list.iter();
        all.flat_map(|(eid, lease)| lease.ways.iter().map(|(peer, open)| (*eid, *peer, *open)))
    }

    /// A peer is there, or is not: the entity ids that it tells of, to be looked at by [`Self::look`].
    pub(crate) fn set_open(&mut self, peer: PeerId, open: bool) -> Vec<EidId> {
        let mut concerned = Vec::new();
        for (eid, lease) in &mut self.list {
            if let Some(way) = lease.ways.get_mut(&peer)
                && *way != open
            {
                *way = open;
                concerned.push(*eid);
            }
        }
        concerned
    }

    /// The peer that tells of an entity id at first hand and is there; the first where several do.
    pub(crate) fn open_way(&self, eid: EidId) -> Option<PeerId> {
        let ways = &self.list.get(&eid)?.ways;
        ways.iter().find(|(_, open)| **open).map(|(peer, _)| *peer)
    }

    /// A peer is no more: the entity ids that it told of at first hand, each with the peers that still do.
    pub(crate) fn forget(&mut self, peer: PeerId) -> Vec<(EidId, Vec<PeerId>)> {
        self.tellers.remove(&peer);
        self.forget_told(peer);
        let mut concerned = Vec::new();
        self.list.retain(|eid, lease| {
            let was_one = lease.ways.remove(&peer).is_some();
            if was_one {
                concerned.push((*eid, lease.ways.keys().copied().collect()));
            }
            // One of an earlier life may have no way yet.
            !(was_one && lease.ways.is_empty())
        });
        concerned
    }

    /// A peer speaks under another entity id than this one from now on.
    pub(crate) fn leave(&mut self, eid: EidId, peer: PeerId) {
        if let Some(lease) = self.list.get_mut(&eid) {
            lease.ways.remove(&peer);
        }
    }

    /// What is taken of peers is another: what was complete may be no more.
    pub(crate) fn forget_complete(&mut self) {
        for hub in self.hubs.values_mut() {
            hub.complete = None;
            hub.told.clear();
        }
    }

    /// Whether an entity id is that of a hub.
    pub(crate) fn is_hub(&self, eid: EntityId) -> bool {
        self.hubs.contains_key(&eid)
    }

    /// All entity ids that are heard at first hand.
    pub(crate) fn all(&self) -> Vec<EidId> {
        self.list.keys().copied().collect()
    }

    /// What has become of an entity id, now that something about its ways, or the time, is another. `lost_at` is when it will be lost if it
    /// is not heard of from now on.
    pub(crate) fn look(&mut self, now: Time, eid: EidId, lost_at: Time) -> Option<Turn> {
        let lease = self.list.get_mut(&eid)?;
        let heard = lease.is_heard();
        lease.life.turn(now, heard, lost_at)
    }

    /// When the next node or hub that is held is lost.
    pub(crate) fn next_loss(&self) -> Option<Time> {
        let nodes = self.list.values().map(|lease| lease.life);
        let lives = nodes.chain(self.hubs.values().map(|hub| hub.life));
        let held = lives.filter_map(|life| match life {
            Life::Held(at) => Some(at),
            Life::Alive | Life::Lost => None,
        });
        held.min()
    }

    // ---- hubs

    /// A hub has stamped something: if it was never heard of, it has just shown itself. False: there is no room for another.
    pub(crate) fn note_hub(&mut self, now: Time, by: EntityId) -> bool {
        if self.hubs.contains_key(&by) {
            return true;
        }
        let room = self.hubs.len() < limits::HUBS;
        if room {
            self.hubs.insert(by, Hub::new(now, 0));
        }
        room
    }

    /// A beat of a hub's; true if it is newer than any before, so that it goes on to others.
    pub(crate) fn beat(&mut self, now: Time, by: EntityId, beat: u64) -> bool {
        let full = self.hubs.len() >= limits::HUBS;
        match self.hubs.get_mut(&by) {
            Some(known) if known.beat >= beat => false,
            Some(known) => {
                (known.beat, known.at) = (beat, now);
                true
            }
            None if !full => {
                self.hubs.insert(by, Hub::new(now, beat));
                true
            }
            None => false,
        }
    }

    /// A hub is not judged now: it is as if a beat of it had come.
    pub(crate) fn spare(&mut self, now: Time, by: EntityId) {
        if let Some(hub) = self.hubs.get_mut(&by) {
            hub.at = now;
        }
    }

    /// What a hub says with its beat that it soon holds to be lost.
    pub(crate) fn note_held(&mut self, by: EntityId, held: &[EntityId]) {
        if let Some(hub) = self.hubs.get_mut(&by) {
            hub.held.clear();
            hub.held.extend_from_slice(held);
        }
    }

    /// The same, for whoever is told that beat.
    pub(crate) fn held_by(&self, by: EntityId) -> &[EntityId] {
        self.hubs.get(&by).map_or(&[], |hub| &hub.held)
    }

    /// The entity ids that are held here, and are lost before this time.
    pub(crate) fn lost_before(&self, time: Time) -> Vec<EidId> {
        let soon = |lease: &Lease| matches!(lease.life, Life::Held(at) if at <= time);
        let held = self.list.iter().filter(|(_, lease)| soon(lease));
        held.map(|(eid, _)| *eid).collect()
    }

    /// The newest number of a hub's that is known here, of its beats and of what others have told all of.
    pub(crate) fn newest_of(&self, by: EntityId) -> Option<u64> {
        let hub = self.hubs.get(&by)?;
        let told = hub.told.values().map(|told| told.0).max();
        Some(hub.beat.max(hub.complete.max(told).unwrap_or(0)))
    }

    /// The newest number of a hub's, where this beat is so much older that it is none that was late.
    pub(crate) fn far_ahead(&self, by: EntityId, beat: u64) -> Option<u64> {
        let newest = self.newest_of(by)?;
        (newest.saturating_sub(beat) > limits::BEATS_LATE).then_some(newest)
    }

    /// The newest beat of each hub that is heard.
    pub(crate) fn beats(&self, now: Time) -> impl Iterator<Item = (EntityId, u64)> + '_ {
        self.hubs
            .iter()
            .filter(move |(_, hub)| hub.is_heard(now) && hub.beat > 0)
            .map(|(by, hub)| (*by, hub.beat))
    }

    /// When the next hub falls silent, if no beat of it comes until then. One that has, and was not looked at yet, is not passed over: beats of
    /// others would put that off for ever.
    pub(crate) fn next_silence(&self) -> Option<Time> {
        let there = self.hubs.values().filter(|hub| hub.life == Life::Alive);
        there.map(|hub| hub.at + limits::HUB_SILENT).min()
    }

    /// What a hub's life is. One that there was no room for is taken to be there.
    pub(crate) fn hub_life(&self, by: EntityId) -> Life {
        self.hubs.get(&by).map_or(Life::Alive, |hub| hub.life)
    }

    /// All hubs.
    pub(crate) fn all_hubs(&self) -> Vec<EntityId> {
        self.hubs.keys().copied().collect()
    }

    /// What has become of a hub.
    pub(crate) fn look_at_hub(
        &mut self,
        now: Time,
        by: EntityId,
        lost_at: Time,
    ) -> Option<(Turn, Life)> {
        let hub = self.hubs.get_mut(&by)?;
        let heard = hub.is_heard(now);
        let turn = hub.life.turn(now, heard, lost_at)?;
        Some((turn, hub.life))
    }

    // ---- what is known to be complete

    /// A peer says that it has told all that it knows of what a hub has stamped, up to a number; `full`: of all names.
    pub(crate) fn note_complete(&mut self, by: EntityId, peer: PeerId, seq: u64, full: bool) {
        if let Some(hub) = self.hubs.get_mut(&by) {
            let told = hub.told.entry(peer).or_default();
            *told = (seq.max(told.0), full);
            if full {
                hub.complete = hub.complete.max(Some(seq));
            }
        }
    }

    /// Up to which number everything that a hub has stamped is known here.
    pub(crate) fn complete(&self, by: EntityId) -> Option<u64> {
        self.hubs.get(&by)?.complete
    }

    /// Whether a peer is a hub, and no filter of its stands before what it tells.
    pub(crate) fn tells_all(&self, peer: PeerId) -> bool {
        let mut told = self.hubs.values().filter_map(|hub| hub.told.get(&peer));
        told.next().is_some_and(|first| first.1) && told.all(|told| told.1)
    }

    /// Up to which number a peer has told all that it knows of what a hub has stamped.
    pub(crate) fn told(&self, by: EntityId, peer: PeerId) -> Option<u64> {
        self.hubs.get(&by)?.told.get(&peer).map(|told| told.0)
    }

    /// A peer has begun anew: what it said of its earlier life says nothing of this one.
    pub(crate) fn forget_told(&mut self, peer: PeerId) {
        for hub in self.hubs.values_mut() {
            hub.told.remove(&peer);
        }
    }
}

impl Lease {
    fn is_heard(&self) -> bool {
        self.elsewhere || self.ways.values().any(|open| *open)
    }
}

impl Hub {
    const fn new(at: Time, beat: u64) -> Self {
        Self {
            beat,
            at,
            life: Life::Alive,
            complete: None,
            told: BTreeMap::new(),
            held: Vec::new(),
        }
    }

    fn is_heard(&self, now: Time) -> bool {
        now < self.at + limits::HUB_SILENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;
    use lampwire_sip::EntityId;
    use std::time::Duration;

    const P: PeerId = PeerId(0);
    const Q: PeerId = PeerId(1);
    const NOW: Time = Time::from_micros(1_000_000);
    const HOLD: Duration = Duration::from_secs(60);

    fn hub(number: u8) -> EntityId {
        EntityId::from([2, 0, 0, 0, 9, number])
    }

    fn eid() -> EidId {
        let mut table = Table::new((1, 2), (hub(0), 1), crate::table::Rules::default());
        table
            .intern_eid(EntityId::from([2, 0, 0, 0, 0, 1]))
            .expect("room")
    }

    #[test]
    fn a_node_is_held_when_its_last_way_is_gone_and_then_lost() {
        let (mut leases, eid) = (Leases::default(), eid());
        assert!(leases.hear(eid, P));
        assert!(!leases.hear(eid, Q), "it was heard already");
        assert_eq!(leases.set_open(P, false), [eid]);
        assert_eq!(
            leases.look(NOW, eid, NOW + HOLD),
            None,
            "the other is there"
        );
        assert_eq!(leases.open_way(eid), Some(Q));
        leases.set_open(Q, false);
        let lost_at = NOW + HOLD;
        assert_eq!(leases.look(NOW, eid, lost_at), Some(Turn::Held(lost_at)));
        assert_eq!(leases.next_loss(), Some(lost_at));
        leases.set_open(P, true);
        assert_eq!(leases.look(NOW, eid, lost_at), Some(Turn::Kept));
        leases.set_open(P, false);
        leases.look(NOW, eid, lost_at);
        assert_eq!(leases.look(lost_at, eid, lost_at + HOLD), Some(Turn::Lost));
        assert!(leases.hear(eid, P));
        assert_eq!(leases.look(lost_at, eid, lost_at + HOLD), Some(Turn::Back));
    }

    #[test]
    fn a_hub_of_which_no_beat_comes_is_held_and_then_lost() {
        let mut leases = Leases::default();
        assert!(leases.note_hub(NOW, hub(1)));
        let silent = NOW + limits::HUB_SILENT;
        assert_eq!(leases.next_silence(), Some(silent));
        // Another's beat at that very moment does not put off that it is looked at.
        assert!(leases.beat(silent, hub(2), 1));
        assert_eq!(leases.next_silence(), Some(silent));
        assert_eq!(leases.look_at_hub(NOW, hub(1), NOW + HOLD), None);
        let held = Life::Held(silent + HOLD);
        assert_eq!(
            leases.look_at_hub(silent, hub(1), silent + HOLD),
            Some((Turn::Held(silent + HOLD), held))
        );
        assert_eq!(
            leases.look_at_hub(silent + HOLD, hub(1), silent),
            Some((Turn::Lost, Life::Lost))
        );
        assert!(leases.beat(silent + HOLD, hub(1), 7));
        assert_eq!(
            leases.look_at_hub(silent + HOLD, hub(1), silent),
            Some((Turn::Back, Life::Alive))
        );
    }

    #[test]
    fn a_beat_goes_on_once() {
        let mut leases = Leases::default();
        assert!(leases.beat(NOW, hub(1), 3));
        assert!(!leases.beat(NOW, hub(1), 3));
        assert!(!leases.beat(NOW, hub(1), 2));
        assert_eq!(leases.beats(NOW).collect::<Vec<_>>(), [(hub(1), 3)]);
    }

    #[test]
    fn only_what_is_told_of_all_names_makes_complete() {
        let mut leases = Leases::default();
        leases.note_hub(NOW, hub(1));
        leases.note_complete(hub(1), P, 5, false);
        assert_eq!(
            (leases.complete(hub(1)), leases.told(hub(1), P)),
            (None, Some(5))
        );
        leases.note_complete(hub(1), Q, 4, true);
        assert_eq!(leases.complete(hub(1)), Some(4));
        leases.forget_told(P);
        assert_eq!(leases.told(hub(1), P), None);
    }
}
