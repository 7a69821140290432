//! What a node hears of a server whose states another node stamps.
//!
//! Two nodes to which one server is attached hear each of its changes twice, and the slower of the two would tell RINGING once more after INUSE. So
//! only the home stamps what it hears at once; the other keeps in mind what differs from what the home has said. As a rule the home says the same a
//! moment later. What still differs after a while is said by whoever heard it: the home may not have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lampwire_sip::EntityId;

use crate::limits;
use crate::peer::PeerId;
use crate::table::{Holder, Kind, MaxStates, Source, Value};
use crate::time::{Time, WallTime};

type Key = (EntityId, Kind, Arc<str>);

/// A value that was heard and that the home has not said.
#[derive(Clone, Debug)]
pub(crate) struct Shadow {
    pub(crate) value: Value,
    pub(crate) source: Source,
    pub(crate) peer: PeerId,
    pub(crate) holder: Option<(Holder, MaxStates)>,
    pub(crate) at: WallTime,
    /// When it is said all the same.
    due: Time,
}

/// All of them, by server and name.
#[derive(Debug, Default)]
pub(crate) struct Shadows {
    of: BTreeMap<Key, Shadow>,
    due: BTreeSet<(Time, Key)>,
}

impl Shadows {
    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }

    /// Keeps a value in mind; the newest of a name counts, and the time runs from the first that differed. False: there is no room.
    pub(crate) fn put(
        &mut self,
        now: Time,
        eid: EntityId,
        kind: Kind,
        name: &str,
        heard: Heard,
    ) -> bool {
        let key = (eid, kind, Arc::from(name));
        let due = match self.of.get(&key) {
            Some(before) => before.due,
            None if self.of.len() >= limits::SHADOWS => return false,
            None => now + limits::SHADOW_PATIENCE,
        };
        let Heard {
            value,
            source,
            peer,
            holder,
            at,
        } = heard;
        let shadow = Shadow {
            value,
            source,
            peer,
            holder,
            at,
            due,
        };
        self.due.insert((due, key.clone()));
        self.of.insert(key, shadow);
        true
    }

    /// The home has said something of a name: what was heard, if it was that, is said.
    pub(crate) fn said(&mut self, eid: EntityId, kind: Kind, name: &Arc<str>, value: Value) {
        if self.of.is_empty() {
            return;
        }
        let key = (eid, kind, Arc::clone(name));
        if self
            .of
            .get(&key)
            .is_some_and(|shadow| shadow.value == value)
        {
            self.remove(&key);
        }
    }

    /// What was heard last of a name is what the home says.
    pub(crate) fn forget(&mut self, eid: EntityId, kind: Kind, name: &str) {
        if !self.of.is_empty() {
            self.remove(&(eid, kind, Arc::from(name)));
        }
    }

    /// A server is not heard here any more.
    pub(crate) fn forget_server(&mut self, eid: EntityId) {
        for key in self.keys_of(eid) {
            self.remove(&key);
        }
    }

    /// Everything that was heard of a server: this node is its home now.
    pub(crate) fn take_server(&mut self, eid: EntityId) -> Vec<(Kind, Arc<str>, Shadow)> {
        let keys = self.keys_of(eid);
        let shadows = keys.into_iter().filter_map(|key| {
            let shadow = self.remove(&key)?;
            Some((key.1, key.2, shadow))
        });
        shadows.collect()
    }

    /// The next that has differed for too long.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<(EntityId, Kind, Arc<str>, Shadow)> {
        if self.next_due()? > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        let shadow = self.of.remove(&key)?;
        let (eid, kind, name) = key;
        Some((eid, kind, name, shadow))
    }

    pub(crate) fn next_due(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    fn keys_of(&self, eid: EntityId) -> Vec<Key> {
        let first = (eid, Kind::Device, Arc::from(""));
        let of_server = self.of.range(first..).map(|(key, _)| key);
        of_server.take_while(|key| key.0 == eid).cloned().collect()
    }

    fn remove(&mut self, key: &Key) -> Option<Shadow> {
        let shadow = self.of.remove(key)?;
        self.due.remove(&(shadow.due, key.clone()));
        Some(shadow)
    }
}

/// What was heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) value: Value,
    pub(crate) source: Source,
    pub(crate) peer: PeerId,
    pub(crate) holder: Option<(Holder, MaxStates)>,
    pub(crate) at: WallTime,
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampwire_sip::DeviceState;

    const NOW: Time = Time::from_micros(1_000_000);

    fn server(number: u8) -> EntityId {
        EntityId::from([2, 0, 0, 0, 0, number])
    }

    fn heard(state: DeviceState) -> Heard {
        Heard {
            value: Value::device(state),
            source: Source::Publication,
            peer: PeerId(0),
            holder: None,
            at: WallTime::from_millis(1),
        }
    }

    #[test]
    fn what_the_home_says_too_is_forgotten() {
        let mut shadows = Shadows::default();
        let name: Arc<str> = Arc::from("PJSIP/1");
        assert!(shadows.put(
            NOW,
            server(1),
            Kind::Device,
            &name,
            heard(DeviceState::Ringing)
        ));
        assert!(shadows.put(
            NOW,
            server(1),
            Kind::Device,
            &name,
            heard(DeviceState::InUse)
        ));
        let ringing = Value::device(DeviceState::Ringing);
        shadows.said(server(1), Kind::Device, &name, ringing);
        assert_eq!(shadows.len(), 1, "that was overtaken");
        shadows.said(
            server(1),
            Kind::Device,
            &name,
            Value::device(DeviceState::InUse),
        );
        assert_eq!(shadows.len(), 0);
        assert_eq!(shadows.next_due(), None);
    }

    #[test]
    fn what_differs_for_too_long_comes_up() {
        let mut shadows = Shadows::default();
        let later = NOW + limits::SHADOW_PATIENCE / 2;
        shadows.put(
            NOW,
            server(1),
            Kind::Device,
            "a",
            heard(DeviceState::Ringing),
        );
        shadows.put(
            later,
            server(1),
            Kind::Device,
            "a",
            heard(DeviceState::Busy),
        );
        assert!(shadows.pop_due(later).is_none());
        let due = shadows.pop_due(NOW + limits::SHADOW_PATIENCE).unwrap();
        assert_eq!(due.3.value, Value::device(DeviceState::Busy));
        assert!(shadows.pop_due(NOW + limits::SHADOW_PATIENCE).is_none());
    }

    #[test]
    fn those_of_one_server_are_taken_together() {
        let mut shadows = Shadows::default();
        for (eid, name) in [(1, "a"), (2, "a"), (1, "b")] {
            shadows.put(
                NOW,
                server(eid),
                Kind::Device,
                name,
                heard(DeviceState::Busy),
            );
        }
        shadows.put(NOW, server(1), Kind::Mailbox, "c", heard(DeviceState::Busy));
        assert_eq!(shadows.take_server(server(1)).len(), 3);
        assert_eq!(shadows.len(), 1);
        shadows.forget_server(server(2));
        assert_eq!(shadows.len(), 0);
        assert_eq!(shadows.next_due(), None);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut shadows = Shadows::default();
        for number in 0..limits::SHADOWS {
            let name = number.to_string();
            assert!(shadows.put(
                NOW,
                server(1),
                Kind::Device,
                &name,
                heard(DeviceState::Busy)
            ));
        }
        assert!(!shadows.put(
            NOW,
            server(1),
            Kind::Device,
            "more",
            heard(DeviceState::Busy)
        ));
        assert!(shadows.put(NOW, server(1), Kind::Device, "0", heard(DeviceState::InUse)));
    }
}
