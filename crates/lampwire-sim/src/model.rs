//! What each node should hold, reckoned without any of the code under test.

use std::collections::BTreeMap;

use lampwire_sip::DeviceState;

/// What people have set on one node, in order.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Every state that each device was given, oldest first.
    pub devices: BTreeMap<String, Vec<DeviceState>>,
    /// The counts (new, old) that each mailbox was given last.
    pub mailboxes: BTreeMap<String, (u16, u16)>,
}

impl Said {
    /// A device is given a state. INVALID stands for taking it back.
    pub fn device(&mut self, name: &str, state: DeviceState) {
        let states = self.devices.entry(name.to_owned()).or_default();
        if states.last() != Some(&state) {
            states.push(state);
        }
    }

    /// The state that a device has now.
    pub fn now(&self, name: &str) -> Option<DeviceState> {
        self.devices.get(name)?.last().copied()
    }
}

/// What one node has seen of one device of another, held against what was said of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// How many of the states said are accounted for.
    next: usize,
}

impl Seen {
    /// Another state is seen. It must be one that was said, and after those seen before: values may be passed over, never swapped.
    ///
    /// # Errors
    /// It is not: what was said, and how far it had been seen.
    pub fn see(&mut self, said: &[DeviceState], state: DeviceState) -> Result<(), String> {
        match said[self.next..].iter().position(|&other| other == state) {
            Some(further) => {
                self.next += further + 1;
                Ok(())
            }
            None => Err(format!(
                "{} after {} of {said:?}",
                state.as_str(),
                self.next
            )),
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
