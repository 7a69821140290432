//! What an Asterisk holds: device states by entity id, and one value for each mailbox.

use std::collections::BTreeMap;

use lampwire_sip::{DeviceState, EntityId, EventPackage, StateChange};

/// Names of either kind that are kept. Asterisk keeps what it gets until its memory ends; a simulation stays far below this.
const NAMES_MAX: usize = 1_000_000;

/// Entity ids that are kept for one device, for the same reason.
const ENTITIES_MAX: usize = 1000;

/// All states that are kept. None is ever forgotten.
#[derive(Debug, Default)]
pub(super) struct States {
    devices: BTreeMap<String, BTreeMap<EntityId, DeviceState>>,
    mailboxes: BTreeMap<String, (EntityId, (u16, u16))>,
}

impl States {
    /// Keeps a state, if it is to be kept.
    pub(super) fn apply(&mut self, change: &StateChange<'_>) {
        match change {
            StateChange::Device {
                device,
                state,
                cachable: true,
                eid,
            } => {
                let room = self.devices.len() < NAMES_MAX || self.devices.contains_key(&**device);
                if room {
                    let entities = self.devices.entry(device.to_string()).or_default();
                    if entities.len() < ENTITIES_MAX || entities.contains_key(eid) {
                        entities.insert(*eid, *state);
                    }
                }
            }
            StateChange::Mailbox {
                uniqueid,
                new,
                old,
                eid,
            } => {
                let room =
                    self.mailboxes.len() < NAMES_MAX || self.mailboxes.contains_key(&**uniqueid);
                if room {
                    self.mailboxes
                        .insert(uniqueid.to_string(), (*eid, (*new, *old)));
                }
            }
            StateChange::Device { .. }
            | StateChange::Refresh { .. }
            | StateChange::Dumped { .. }
            | StateChange::Beat { .. }
            | StateChange::Canary { .. } => {}
        }
    }

    /// The states of a device.
    pub(super) fn device(&self, name: &str) -> Option<&BTreeMap<EntityId, DeviceState>> {
        self.devices.get(name)
    }

    /// The counts of a mailbox (new, old), and whose word they are.
    pub(super) fn mailbox(&self, name: &str) -> Option<(EntityId, (u16, u16))> {
        self.mailboxes.get(name).copied()
    }

    /// All that is kept under one entity id. A mailbox that another has written to since is not there any more.
    pub(super) fn all_of(&self, own: EntityId, event: EventPackage) -> Vec<StateChange<'static>> {
        match event {
            EventPackage::DeviceState => self
                .devices
                .iter()
                .filter_map(|(name, entities)| {
                    Some(StateChange::Device {
                        device: name.clone().into(),
                        state: *entities.get(&own)?,
                        cachable: true,
                        eid: own,
                    })
                })
                .collect(),
            EventPackage::Mwi => self
                .mailboxes
                .iter()
                .filter(|(_, (eid, _))| *eid == own)
                .map(|(name, (eid, (new, old)))| StateChange::Mailbox {
                    uniqueid: name.clone().into(),
                    new: *new,
                    old: *old,
                    eid: *eid,
                })
                .collect(),
        }
    }
}

/// The sum of a device's states: the heaviest, but what rings while it is in use rings in use.
pub(super) fn sum(states: impl Iterator<Item = DeviceState> + Clone) -> Option<DeviceState> {
    use DeviceState::{
        Busy, InUse, Invalid, NotInUse, OnHold, RingInUse, Ringing, Unavailable, Unknown,
    };
    let weight = |state: &DeviceState| {
        let order = [
            Invalid,
            Unknown,
            Unavailable,
            NotInUse,
            OnHold,
            Ringing,
            InUse,
            Busy,
            RingInUse,
        ];
        order.iter().position(|it| it == state)
    };
    let rings = states.clone().any(|state| state == Ringing);
    let used = states
        .clone()
        .any(|state| matches!(state, InUse | OnHold | Busy));
    if rings && used {
        return Some(RingInUse);
    }
    states.max_by_key(weight)
}
