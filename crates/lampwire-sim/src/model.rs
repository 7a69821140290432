//! What each member should hold, reckoned without any of the code under test.

use std::collections::{BTreeMap, BTreeSet};

use lampwire_sip::DeviceState;

/// What people have set on one member, in order.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Every state that each device was given, oldest first.
    pub devices: BTreeMap<String, Vec<DeviceState>>,
    /// Every pair of counts (new, old) that each mailbox was given, oldest first.
    pub mailboxes: BTreeMap<String, Vec<(u16, u16)>>,
    /// Devices of former lives that are forgotten by now; others may still hold them.
    forgotten: BTreeSet<String>,
}

impl Said {
    /// A device is given a state. INVALID stands for taking it back.
    pub fn device(&mut self, name: &str, state: DeviceState) {
        push(self.devices.entry(name.to_owned()).or_default(), state);
    }

    /// A mailbox is given its counts (new, old).
    pub fn mailbox(&mut self, name: &str, counts: (u16, u16)) {
        push(self.mailboxes.entry(name.to_owned()).or_default(), counts);
    }

    /// The state that a device has now.
    pub fn now(&self, name: &str) -> Option<DeviceState> {
        self.devices.get(name)?.last().copied()
    }

    /// The member has begun anew with nothing but the states that its devices are in: of what was taken back it knows nothing.
    pub fn begin_anew(&mut self) {
        let forgotten = &mut self.forgotten;
        self.devices.retain(|name, states| {
            let kept = states.last() != Some(&DeviceState::Invalid);
            if !kept {
                forgotten.insert(name.clone());
            }
            kept
        });
    }

    /// Whether a device was ever set.
    pub fn ever_had(&self, device: &str) -> bool {
        self.devices.contains_key(device) || self.forgotten.contains(device)
    }

    /// States that anybody may hold of the member.
    pub fn ever(&self) -> usize {
        self.len() + self.forgotten.len()
    }

    /// States that the member may hold of its own.
    pub fn len(&self) -> usize {
        self.devices.len() + self.mailboxes.len()
    }

    /// Nothing was ever set.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn push<T: PartialEq>(values: &mut Vec<T>, value: T) {
    if values.last() != Some(&value) {
        values.push(value);
    }
}

/// What one member has seen of one name of another, held against what was said of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// How many of the values said are accounted for.
    next: usize,
}

impl Seen {
    /// Another value is seen. It must be one that was said, and after those seen before: values may be passed over, never swapped.
    ///
    /// # Errors
    /// It is not: what was said, and how far it had been seen.
    pub fn see<T: PartialEq + std::fmt::Debug>(
        &mut self,
        said: &[T],
        value: T,
    ) -> Result<(), String> {
        match said[self.next..].iter().position(|other| *other == value) {
            Some(further) => {
                self.next += further + 1;
                Ok(())
            }
            None => Err(format!("{value:?} after {} of {said:?}", self.next)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DeviceState::{InUse, NotInUse, Ringing};

    #[test]
    fn passing_over_is_allowed_and_swapping_is_not() {
        let said = [NotInUse, Ringing, InUse];
        let mut seen = Seen::default();
        assert!(seen.see(&said, NotInUse).is_ok());
        assert!(seen.see(&said, InUse).is_ok());
        assert!(seen.see(&said, Ringing).is_err());
    }
}
