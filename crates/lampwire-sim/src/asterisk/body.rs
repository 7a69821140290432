//! A body as Asterisk reads it: it believes more than [`StateChange::parse`](lampwire_sip::StateChange::parse) does.

use lampwire_sip::{DeviceState, EntityId, EventPackage, StateChange};
use serde_json::{Map, Value};

/// Reads a body; `None`: Asterisk calls it an error.
pub(super) fn read(event: EventPackage, body: &[u8]) -> Option<StateChange<'static>> {
    let Value::Object(members) = serde_json::from_slice(body).ok()? else {
        return None;
    };
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let eid = entity_id(text("eid")?);
    match (text("type")?, event) {
        ("refresh", _) => Some(StateChange::Refresh { eid }),
        ("devicestate", EventPackage::DeviceState) => Some(StateChange::Device {
            device: text("device")?.to_owned().into(),
            state: DeviceState::parse(text("state")?).unwrap_or(DeviceState::Unknown),
            cachable: members.get("cachable").and_then(Value::as_i64) == Some(1),
            eid,
        }),
        ("mailboxstate", EventPackage::Mwi) => Some(StateChange::Mailbox {
            uniqueid: text("uniqueid")?.to_owned().into(),
            new: count(&members, "new"),
            old: count(&members, "old"),
            eid,
        }),
        _ => None,
    }
}

/// What is malformed counts as some entity id, whichever: here as none but zeros.
fn entity_id(text: &str) -> EntityId {
    let mut bytes = [0; 6];
    let mut pairs = text.split(':');
    for byte in &mut bytes {
        let pair = pairs.next().and_then(|it| u8::from_str_radix(it, 16).ok());
        let Some(pair) = pair else {
            return EntityId::from([0; 6]);
        };
        *byte = pair;
    }
    EntityId::from(bytes)
}

/// What is missing or no integer is 0. What does not fit a count of ours is cut to it: no phone shows more.
fn count(members: &Map<String, Value>, name: &str) -> u16 {
    let number = members.get(name).and_then(Value::as_i64).unwrap_or(0);
    u16::try_from(number.max(0)).unwrap_or(u16::MAX)
}
