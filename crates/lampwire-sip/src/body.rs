//! The bodies of the exchange: JSON <-> [`StateChange`].
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use serde::Deserialize;

/// An entity id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId([u8; 6]);
impl EntityId { pub fn from_bytes(b:[u8;6])->Self{Self(b)} pub fn as_bytes(&self)->[u8;6]{self.0} }
impl FromStr for EntityId {
    type Err = BodyError;
    fn from_str(text: &str) -> Result<Self, BodyError> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or(BodyError::Eid)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) { return Err(BodyError::Eid); }
            *byte = u8::from_str_radix(part, 16).map_err(|_| BodyError::Eid)?;
        }
        if parts.next().is_some() { return Err(BodyError::Eid); }
        Ok(Self(bytes))
    }
}
impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a,b,c,d,e,g]=self.0;
        write!(f,"{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceState { Unknown, NotInUse, InUse, Busy, Invalid, Unavailable, Ringing, RingInUse, OnHold }
impl DeviceState {
    pub const ALL: [Self; 9] = [Self::Unknown, Self::NotInUse, Self::InUse, Self::Busy, Self::Invalid, Self::Unavailable, Self::Ringing, Self::RingInUse, Self::OnHold];
    pub const fn as_str(self) -> &'static str { match self { Self::Unknown=>"UNKNOWN", Self::NotInUse=>"NOT_INUSE", Self::InUse=>"INUSE", Self::Busy=>"BUSY", Self::Invalid=>"INVALID", Self::Unavailable=>"UNAVAILABLE", Self::Ringing=>"RINGING", Self::RingInUse=>"RINGINUSE", Self::OnHold=>"ONHOLD" } }
    pub fn parse(word: &str) -> Option<Self> { Self::ALL.into_iter().find(|s| s.as_str().eq_ignore_ascii_case(word)) }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventPackage { DeviceState, Mwi }
impl EventPackage {
    pub const fn as_str(self) -> &'static str { match self { Self::DeviceState => "asterisk-devicestate", Self::Mwi => "asterisk-mwi" } }
    pub fn parse(t: &str) -> Option<Self> { [Self::DeviceState, Self::Mwi].into_iter().find(|e| e.as_str() == t) }
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateChange<'a> {
    Device { device: Cow<'a, str>, state: DeviceState, cachable: bool, eid: EntityId },
    Mailbox { uniqueid: Cow<'a, str>, new: u16, old: u16, eid: EntityId },
    Refresh { eid: EntityId },
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError { #[error("The body is no JSON object as expected")] Json, #[error("Malformed eid")] Eid, #[error("Missing type")] Type, #[error("Wrong type for this event")] WrongType, #[error("Missing device or state")] Device, #[error("Missing uniqueid")] Mailbox, #[error("Count out of range")] Count, #[error("Malformed name")] Name }
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, rename = "type")] kind: Option<Cow<'a, str>>,
    #[serde(borrow)] eid: Option<Cow<'a, str>>,
    #[serde(borrow)] device: Option<Cow<'a, str>>,
    #[serde(borrow)] state: Option<Cow<'a, str>>,
    #[serde(borrow)] uniqueid: Option<Cow<'a, str>>,
    cachable: Option<serde_json::Value>,
    old: Option<serde_json::Value>,
    new: Option<serde_json::Value>,
}
fn count(v: Option<serde_json::Value>) -> Result<u16, BodyError> {
    match v { Some(serde_json::Value::Number(n)) => match n.as_i64() { Some(i) => u16::try_from(i).map_err(|_| BodyError::Count), None if n.is_u64() => Err(BodyError::Count), None => Ok(0) }, _ => Ok(0) }
}
pub fn valid_name(name: &str) -> Result<(), BodyError> {
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) { return Err(BodyError::Name); }
    Ok(())
}
impl<'a> StateChange<'a> {
    pub fn parse(event: EventPackage, body: &'a [u8]) -> Result<Self, BodyError> {
        let raw: Raw<'a> = serde_json::from_slice(body).map_err(|_| BodyError::Json)?;
        let kind = raw.kind.ok_or(BodyError::Type)?;
        let eid: EntityId = raw.eid.ok_or(BodyError::Eid)?.parse()?;
        match (&*kind, event) {
            ("refresh", _) => Ok(Self::Refresh { eid }),
            ("devicestate", EventPackage::DeviceState) => {
                let device = raw.device.ok_or(BodyError::Device)?; valid_name(&device)?;
                let state = DeviceState::parse(&raw.state.ok_or(BodyError::Device)?).unwrap_or(DeviceState::Unknown);
                let cachable = raw.cachable.as_ref().and_then(|v| if v.is_f64() { None } else { v.as_i64() }) == Some(1);
                Ok(Self::Device { device, state, cachable, eid })
            }
            ("mailboxstate", EventPackage::Mwi) => {
                let uniqueid = raw.uniqueid.ok_or(BodyError::Mailbox)?; valid_name(&uniqueid)?;
                Ok(Self::Mailbox { uniqueid, new: count(raw.new)?, old: count(raw.old)?, eid })
            }
            _ => Err(BodyError::WrongType),
        }
    }
    pub fn write(&self, out: &mut Vec<u8>) {
        use std::io::Write;
        let s = |t: &str| serde_json::to_string(t).unwrap_or_default();
        let _ = match self {
            Self::Device { device, state, cachable, eid } => write!(out, "{{\"type\":\"devicestate\",\"device\":{},\"state\":\"{}\",\"cachable\":{},\"eid\":\"{eid}\"}}", s(device), state.as_str(), u8::from(*cachable)),
            Self::Mailbox { uniqueid, new, old, eid } => write!(out, "{{\"type\":\"mailboxstate\",\"uniqueid\":{},\"old\":{old},\"new\":{new},\"eid\":\"{eid}\"}}", s(uniqueid)),
            Self::Refresh { eid } => write!(out, "{{\"type\":\"refresh\",\"eid\":\"{eid}\"}}"),
        };
    }
    pub fn eid(&self) -> EntityId { match self { Self::Device { eid, .. } | Self::Mailbox { eid, .. } | Self::Refresh { eid } => *eid } }
}
