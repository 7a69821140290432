//! What happened lately, by name, for whoever asks why a lamp is lit. Bounded, and nothing that the node decides depends on it.

use std::collections::VecDeque;
use std::sync::Arc;

use lampwire_sip::EntityId;

use crate::limits;
use crate::peer::PeerId;
use crate::table::{Kind, Source, Value};
use crate::time::WallTime;

/// A change of one entity's value.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub(crate) at: WallTime,
    pub(crate) kind: Kind,
    pub(crate) name: Arc<str>,
    pub(crate) eid: EntityId,
    pub(crate) previous: Option<Value>,
    pub(crate) value: Value,
    pub(crate) source: Source,
    pub(crate) peer: Option<PeerId>,
    /// The node of the cluster that has stamped it, where it came from there.
    pub(crate) node: Option<EntityId>,
    /// The entity says nothing of it any more.
    pub(crate) gone: bool,
}

/// Why a state that was granted was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropCause {
    /// The asterisk-publication's filter, or its kind of state, does not want it.
    NotWanted,
    /// It came under our own entity id.
    OwnEntityId,
}

/// A state that was not kept.
#[derive(Clone, Debug)]
pub(crate) struct Dropped {
    pub(crate) at: WallTime,
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) eid: EntityId,
    pub(crate) value: Value,
    /// The asterisk-publication, by its place in the configuration.
    pub(crate) rule: usize,
    pub(crate) cause: DropCause,
    pub(crate) count: u64,
}

/// The newest changes of all names in one ring, and for each name the last state that was dropped.
#[derive(Debug, Default)]
pub(crate) struct Lately {
    changes: VecDeque<Changed>,
    /// A place by the name's hash: a newer drop takes it. So a flood of states that nobody wants costs no more than a comparison each.
    drops: Vec<Option<Dropped>>,
}

impl Lately {
    /// Remembers a change.
    pub(crate) fn changed(&mut self, change: Changed) {
        if self.changes.len() >= limits::CHANGES_REMEMBERED {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
    }

    /// Remembers a state that was not kept.
    pub(crate) fn dropped(&mut self, dropped: Dropped) {
        if self.drops.is_empty() {
            self.drops.resize_with(limits::DROPS_REMEMBERED, || None);
        }
        let place = &mut self.drops[place_of(&dropped.name)];
        let count = match place {
            Some(before) if before.is_like(&dropped) => before.count,
            Some(_) | None => 0,
        };
        *place = Some(Dropped {
            count: count + 1,
            ..dropped
        });
    }

    /// Asterisk-publications have other places, and peers are no more.
    pub(crate) fn renew(&mut self, place: impl Fn(usize) -> Option<usize>, gone: &[PeerId]) {
        for change in &mut self.changes {
            change.peer = change.peer.filter(|peer| !gone.contains(peer));
        }
        for drop in &mut self.drops {
            *drop = drop.take().and_then(|dropped| {
                let rule = place(dropped.rule)?;
                Some(Dropped { rule, ..dropped })
            });
        }
    }

    /// The newest changes of a name, newest first, at most `limit`.
    pub(crate) fn changes_of<'a>(
        &'a self,
        kind: Kind,
        name: &'a str,
        limit: usize,
    ) -> impl Iterator<Item = &'a Changed> + 'a {
        let of_name = move |change: &&Changed| change.kind == kind && *change.name == *name;
        self.changes.iter().rev().filter(of_name).take(limit)
    }

    /// The last state of a name that was not kept, if it is remembered.
    pub(crate) fn drop_of(&self, kind: Kind, name: &str) -> Option<&Dropped> {
        let dropped = self.drops.get(place_of(name))?.as_ref()?;
        (dropped.kind == kind && dropped.name == name).then_some(dropped)
    }
}

impl Dropped {
    /// The same name, kept out by the same thing.
    fn is_like(&self, other: &Self) -> bool {
        (self.kind, self.rule, self.cause) == (other.kind, other.rule, other.cause)
            && self.name == other.name
    }
}

/// FNV-1a. Who chooses names that collide makes us forget what was dropped, and nothing else.
fn place_of(name: &str) -> usize {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash % limits::DROPS_REMEMBERED as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eid() -> EntityId {
        "02:00:00:00:00:01".parse().unwrap()
    }

    fn dropped(name: &str, rule: usize) -> Dropped {
        Dropped {
            at: WallTime::from_millis(0),
            kind: Kind::Device,
            name: name.to_owned(),
            eid: eid(),
            value: Value(1),
            rule,
            cause: DropCause::NotWanted,
            count: 0,
        }
    }

    #[test]
    fn the_last_drop_of_a_name_is_found_and_counted() {
        let mut lately = Lately::default();
        assert!(lately.drop_of(Kind::Device, "PJSIP/1").is_none());
        for _ in 0..3 {
            lately.dropped(dropped("PJSIP/1", 0));
        }
        let count = |lately: &Lately| lately.drop_of(Kind::Device, "PJSIP/1").map(|it| it.count);
        assert_eq!(count(&lately), Some(3));
        assert!(lately.drop_of(Kind::Mailbox, "PJSIP/1").is_none());
        lately.dropped(dropped("PJSIP/1", 1));
        assert_eq!(count(&lately), Some(1));
    }

    #[test]
    fn a_flood_of_names_takes_no_more_room() {
        let mut lately = Lately::default();
        for number in 0..100_000 {
            lately.dropped(dropped(&number.to_string(), 0));
            lately.changed(Changed {
                at: WallTime::from_millis(0),
                kind: Kind::Device,
                name: Arc::from(number.to_string()),
                eid: eid(),
                previous: None,
                value: Value(1),
                source: Source::Local,
                peer: None,
                node: None,
                gone: false,
            });
        }
        assert_eq!(lately.drops.len(), limits::DROPS_REMEMBERED);
        assert_eq!(lately.changes.len(), limits::CHANGES_REMEMBERED);
        assert!(lately.drop_of(Kind::Device, "99999").is_some());
        assert_eq!(lately.changes_of(Kind::Device, "99999", 5).count(), 1);
    }
}
