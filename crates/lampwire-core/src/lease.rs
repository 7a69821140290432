//! Who tells of an entity id, and what becomes of its states when nobody does any more.
//!
//! A lease belongs to a peer and an entity id, never to one publication. An entity id lives as long as one of the ways by which it is heard
//! does: its own node's publications here, or another hub that hears it. When the last way is gone it is held for a while, then lost.
//!
//! Where several hubs hear one node, each stamps what it hears, and their numbers cannot be compared. So one of them is believed, the home, for
//! as long as it is heard of; what others stamp is a shadow that is not looked at until the home is gone.
//!
//! Hubs in a circle would each believe that the next one still hears a hub that is long dead. So a hub shows itself by beats whose numbers
//! rise: they pass through all hubs, no circle can make one, and a hub of which none comes is not heard whatever its neighbours say.

use std::collections::BTreeMap;

use lampwire_sip::{EntityId, Version};

use crate::limits;
use crate::peer::PeerId;
use crate::table::EidId;
use crate::time::Time;

/// All leases, by entity id, and the hubs that stamp values.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    list: BTreeMap<EidId, Lease>,
    hubs: BTreeMap<EntityId, Hub>,
}

/// One entity id's.
#[derive(Debug)]
struct Lease {
    /// By peer. As many at most as there are peers.
    ways: BTreeMap<PeerId, Way>,
    /// Whose stamps are believed.
    home: Stamper,
    /// What the home said last of the entity id: the number of that, and whether it holds the node to be lost.
    said: Option<((u64, u64), bool)>,
    life: Life,
}

/// A way by which an entity id is heard.
#[derive(Clone, Copy, Debug)]
struct Way {
    by: Stamper,
    /// The peer is there.
    open: bool,
}

/// Another hub, by its beats.
#[derive(Clone, Copy, Debug)]
struct Hub {
    life: u64,
    beat: u64,
    /// When that beat came.
    at: Time,
}

/// Who stamps what comes by a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamper {
    /// This node: it hears the entity id at first hand.
    Here,
    Hub(EntityId),
}

/// Whether an entity id's node is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Alive,
    /// Not heard of any more; lost at that time.
    Held(Time),
    Lost,
}

/// What is to be done with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Belief {
    /// It is taken.
    Taken,
    /// It is taken, and whoever told it is asked for everything: the home is another now.
    TakenAnew,
    /// It is older than what is known, or the same.
    Stale,
    /// Another's stamps are believed.
    Shadow,
    /// The node behind it is lost, and what came stands in for its value.
    StandIn,
}

/// What changed in the life of an entity id.
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

impl Leases {
    /// A peer tells of an entity id: whether that is believed. `known` is the version of the value that it would replace.
    pub(crate) fn hear(
        &mut self,
        now: Time,
        eid: EidId,
        peer: PeerId,
        version: Option<Version>,
        lost: bool,
        known: Option<Version>,
    ) -> Belief {
        let by = version.map_or(Stamper::Here, |version| Stamper::Hub(version.by));
        if let Some(Version { by, life, .. }) = version {
            // A hub that was never heard of has just shown itself.
            let hub = Hub {
                life,
                beat: 0,
                at: now,
            };
            self.hubs.entry(by).or_insert(hub);
        }
        let Self { list, hubs } = self;
        let lease = list.entry(eid).or_insert_with(|| Lease {
            ways: BTreeMap::new(),
            home: by,
            said: None,
            life: Life::Alive,
        });
        lease.ways.insert(peer, Way { by, open: true });
        let Some(version) = version else {
            // What comes straight from the entity id's own node is always believed.
            lease.home = Stamper::Here;
            lease.said = None;
            return Belief::Taken;
        };
        let mut anew = false;
        if lease.home != by {
            let home_is_heard = lease
                .ways
                .values()
                .any(|way| way.by == lease.home && way.is_heard(now, hubs))
                && !lease.said.is_some_and(|(_, lost)| lost);
            if home_is_heard {
                return Belief::Shadow;
            }
            lease.home = by;
            lease.said = None;
            anew = true;
        }
        let number = (version.life, version.seq);
        if lease.said.is_none_or(|(before, _)| number > before) {
            lease.said = Some((number, lost));
        }
        if lost {
            return Belief::StandIn;
        }
        match known.filter(|known| known.by == version.by) {
            _ if anew => Belief::TakenAnew,
            Some(known) if number <= (known.life, known.seq) => Belief::Stale,
            Some(_) | None => Belief::Taken,
        }
    }

    /// An entity id of an earlier life: held until it is heard of again, or lost as it was.
    pub(crate) fn restore(
        &mut self,
        eid: EidId,
        peer: Option<PeerId>,
        version: Option<Version>,
        lost: bool,
        held_until: Time,
    ) {
        let by = version.map_or(Stamper::Here, |version| Stamper::Hub(version.by));
        let lease = self.list.entry(eid).or_insert_with(|| Lease {
            ways: BTreeMap::new(),
            home: by,
            said: None,
            life: match lost {
                true => Life::Lost,
                false => Life::Held(held_until),
            },
        });
        if let Some(peer) = peer {
            lease.ways.insert(peer, Way { by, open: false });
        }
    }

    /// A beat of a hub's; true if it is newer than any before, so that it goes on to others.
    pub(crate) fn beat(&mut self, now: Time, by: EntityId, life: u64, beat: u64) -> bool {
        let hub = Hub {
            life,
            beat,
            at: now,
        };
        let full = self.hubs.len() >= limits::HUBS;
        match self.hubs.get_mut(&by) {
            Some(known) if (known.life, known.beat) >= (life, beat) => false,
            Some(known) => {
                *known = hub;
                true
            }
            None if !full => {
                self.hubs.insert(by, hub);
                true
            }
            None => false,
        }
    }

    /// The newest beat of each hub that is heard.
    pub(crate) fn beats(&self, now: Time) -> impl Iterator<Item = (EntityId, u64, u64)> + '_ {
        self.hubs
            .iter()
            .filter(move |(_, hub)| hub.is_heard(now) && hub.beat > 0)
            .map(|(by, hub)| (*by, hub.life, hub.beat))
    }

    /// When the next hub falls silent, if no beat of it comes until then.
    pub(crate) fn next_silence(&self, now: Time) -> Option<Time> {
        let ends = self.hubs.values().map(|hub| hub.at + limits::HUB_SILENT);
        ends.filter(|end| *end > now).min()
    }

    /// A peer is there, or is not: the entity ids that it tells of, to be looked at by [`Self::look`].
    pub(crate) fn set_open(&mut self, peer: PeerId, open: bool) -> Vec<EidId> {
        let mut concerned = Vec::new();
        for (eid, lease) in &mut self.list {
            if let Some(way) = lease.ways.get_mut(&peer)
                && way.open != open
            {
                way.open = open;
                concerned.push(*eid);
            }
        }
        concerned
    }

    /// All entity ids that anybody tells of.
    pub(crate) fn all(&self) -> Vec<EidId> {
        self.list.keys().copied().collect()
    }

    /// Whether this peer tells of anything.
    pub(crate) fn tells(&self, peer: PeerId) -> bool {
        self.list
            .values()
            .any(|lease| lease.ways.contains_key(&peer))
    }

    /// What has become of an entity id, now that something about its ways, or the time, is another. `lost_at` is when it will be lost if it
    /// is not heard of from now on.
    pub(crate) fn look(&mut self, now: Time, eid: EidId, lost_at: Time) -> Option<Turn> {
        let Self { list, hubs } = self;
        let lease = list.get_mut(&eid)?;
        let given_up = lease.said.is_some_and(|(_, lost)| lost);
        let heard = lease
            .ways
            .values()
            .any(|way| way.is_heard(now, hubs) && !(given_up && way.by == lease.home));
        let (life, turn) = match (heard, lease.life) {
            (true, Life::Alive) => return None,
            (true, Life::Held(_)) => (Life::Alive, Turn::Kept),
            (true, Life::Lost) => (Life::Alive, Turn::Back),
            (false, Life::Lost) => return None,
            (false, Life::Held(at)) if at > now && !given_up => return None,
            // Where the home has given it up, that has held it already.
            (false, Life::Held(_)) => (Life::Lost, Turn::Lost),
            (false, Life::Alive) if given_up || lost_at <= now => (Life::Lost, Turn::Lost),
            (false, Life::Alive) => (Life::Held(lost_at), Turn::Held(lost_at)),
        };
        lease.life = life;
        Some(turn)
    }

    /// When the next entity id that is held is lost.
    pub(crate) fn next_loss(&self) -> Option<Time> {
        let held = self.list.values().filter_map(|lease| match lease.life {
            Life::Held(at) => Some(at),
            Life::Alive | Life::Lost => None,
        });
        held.min()
    }
}

impl Way {
    fn is_heard(&self, now: Time, hubs: &BTreeMap<EntityId, Hub>) -> bool {
        self.open
            && match self.by {
                Stamper::Here => true,
                Stamper::Hub(by) => hubs.get(&by).is_some_and(|hub| hub.is_heard(now)),
            }
    }
}

impl Hub {
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

    fn hub(number: u8) -> EntityId {
        EntityId::from([2, 0, 0, 0, 9, number])
    }

    fn stamped(by: u8, seq: u64) -> Option<Version> {
        Some(Version {
            by: hub(by),
            life: 1,
            seq,
        })
    }

    fn eid() -> EidId {
        let mut table = Table::new((1, 2), (hub(0), 1), crate::table::Rules::default());
        table
            .intern_eid(EntityId::from([2, 0, 0, 0, 0, 1]))
            .expect("room")
    }

    const NOW: Time = Time::from_micros(1_000_000);
    const HOLD: Duration = Duration::from_secs(60);

    #[test]
    fn first_hand_is_believed_and_others_are_shadows_while_it_lasts() {
        let (mut leases, eid) = (Leases::default(), eid());
        assert_eq!(leases.hear(NOW, eid, P, None, false, None), Belief::Taken);
        assert_eq!(
            leases.hear(NOW, eid, Q, stamped(1, 5), false, None),
            Belief::Shadow
        );
        assert_eq!(leases.set_open(P, false), [eid]);
        assert_eq!(leases.look(NOW, eid, NOW + HOLD), None, "the hub hears it");
        assert_eq!(
            leases.hear(NOW, eid, Q, stamped(1, 6), false, None),
            Belief::TakenAnew
        );
        assert_eq!(
            leases.hear(NOW, eid, Q, stamped(1, 6), false, stamped(1, 6)),
            Belief::Stale
        );
        assert_eq!(
            leases.hear(NOW, eid, P, None, false, stamped(1, 6)),
            Belief::Taken
        );
    }

    #[test]
    fn one_hub_is_home_until_it_falls_silent_whatever_its_neighbours_say() {
        let (mut leases, eid) = (Leases::default(), eid());
        assert_eq!(
            leases.hear(NOW, eid, P, stamped(1, 5), false, None),
            Belief::Taken
        );
        assert_eq!(
            leases.hear(NOW, eid, Q, stamped(1, 5), false, stamped(1, 5)),
            Belief::Stale
        );
        assert_eq!(
            leases.hear(NOW, eid, Q, stamped(2, 9), false, stamped(1, 5)),
            Belief::Shadow
        );
        let later = NOW + limits::HUB_SILENT;
        assert_eq!(leases.next_silence(NOW), Some(later));
        leases.beat(later, hub(2), 1, 1);
        assert_eq!(
            leases.look(later, eid, later + HOLD),
            None,
            "the other hub hears it"
        );
        assert_eq!(
            leases.hear(later, eid, Q, stamped(2, 10), false, stamped(1, 5)),
            Belief::TakenAnew
        );
        // In a circle both ways lead to the dead hub: neither is one.
        let (mut leases, eid) = (Leases::default(), eid);
        for peer in [P, Q] {
            leases.hear(NOW, eid, peer, stamped(1, 5), false, None);
        }
        assert_eq!(
            leases.look(later, eid, later + HOLD),
            Some(Turn::Held(later + HOLD))
        );
        assert_eq!(leases.next_loss(), Some(later + HOLD));
        assert_eq!(
            leases.look(later + HOLD, eid, later + HOLD * 2),
            Some(Turn::Lost)
        );
        assert!(leases.beat(later + HOLD, hub(1), 1, 7));
        assert_eq!(leases.look(later + HOLD, eid, later), Some(Turn::Back));
    }

    #[test]
    fn what_its_home_gives_up_is_lost_at_once_and_an_older_word_changes_nothing() {
        let (mut leases, eid) = (Leases::default(), eid());
        leases.hear(NOW, eid, P, stamped(1, 5), false, None);
        leases.hear(NOW, eid, Q, stamped(1, 5), false, None);
        assert_eq!(
            leases.hear(NOW, eid, P, stamped(1, 8), true, stamped(1, 5)),
            Belief::StandIn
        );
        assert_eq!(leases.look(NOW, eid, NOW + HOLD), Some(Turn::Lost));
        assert_eq!(
            leases.hear(NOW, eid, Q, stamped(1, 7), false, stamped(1, 5)),
            Belief::Taken
        );
        assert_eq!(leases.look(NOW, eid, NOW + HOLD), None);
        leases.hear(NOW, eid, P, stamped(1, 9), false, stamped(1, 7));
        assert_eq!(leases.look(NOW, eid, NOW + HOLD), Some(Turn::Back));
        leases.hear(NOW, eid, Q, stamped(1, 8), true, stamped(1, 9));
        assert_eq!(leases.look(NOW, eid, NOW + HOLD), None);
    }

    #[test]
    fn a_beat_goes_on_once() {
        let mut leases = Leases::default();
        assert!(leases.beat(NOW, hub(1), 1, 3));
        assert!(!leases.beat(NOW, hub(1), 1, 3));
        assert!(!leases.beat(NOW, hub(1), 1, 2));
        assert!(leases.beat(NOW, hub(1), 2, 1), "a new life");
        assert!(!leases.beat(NOW, hub(1), 1, 9));
        assert_eq!(leases.beats(NOW).collect::<Vec<_>>(), [(hub(1), 2, 1)]);
    }
}
