//! The bodies of the exchange: JSON <-> [`StateChange`].

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::limits;
use crate::text::hex_value;

/// An entity id: six bytes that tell a server from all others, `02:00:00:00:00:01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId([u8; 6]);

impl EntityId {
    /// The six bytes.
    pub const fn as_bytes(&self) -> [u8; 6] {
        self.0
    }
}

impl From<[u8; 6]> for EntityId {
    fn from(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }
}

impl FromStr for EntityId {
    type Err = BodyError;

    /// Six pairs of hexadecimal digits in any case, with colons between them.
    fn from_str(text: &str) -> Result<Self, BodyError> {
        let text = text.as_bytes();
        if text.len() != 17 || text[2..].iter().step_by(3).any(|byte| *byte != b':') {
            return Err(BodyError::MalformedEid);
        }
        let mut bytes = [0; 6];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks(3)) {
            let digits = hex_value(pair[0]).zip(hex_value(pair[1]));
            let (high, low) = digits.ok_or(BodyError::MalformedEid)?;
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The state of a device, as Asterisk's words have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceState {
    /// Nothing is known of it, or a word that is not known.
    Unknown,
    /// It is there and free.
    NotInUse,
    /// It is in a call.
    InUse,
    /// It takes no more calls.
    Busy,
    /// There is no such device; it counts for nothing in a sum.
    Invalid,
    /// It is not registered.
    Unavailable,
    /// It rings.
    Ringing,
    /// It is in a call, and another one rings.
    RingInUse,
    /// Its call is on hold.
    OnHold,
}

impl DeviceState {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Unknown,
        Self::NotInUse,
        Self::InUse,
        Self::Busy,
        Self::Invalid,
        Self::Unavailable,
        Self::Ringing,
        Self::RingInUse,
        Self::OnHold,
    ];

    /// Its word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::NotInUse => "NOT_INUSE",
            Self::InUse => "INUSE",
            Self::Busy => "BUSY",
            Self::Invalid => "INVALID",
            Self::Unavailable => "UNAVAILABLE",
            Self::Ringing => "RINGING",
            Self::RingInUse => "RINGINUSE",
            Self::OnHold => "ONHOLD",
        }
    }

    /// The state of a word in any case; `None` for a word that is none.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str().eq_ignore_ascii_case(word))
    }
}

/// What a publication tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventPackage {
    /// `asterisk-devicestate`
    DeviceState,
    /// `asterisk-mwi`
    Mwi,
}

impl EventPackage {
    /// Its name in the Event header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeviceState => "asterisk-devicestate",
            Self::Mwi => "asterisk-mwi",
        }
    }

    /// The package of a name, compared with its case (RFC 6665 8.2.1).
    pub fn parse(name: &str) -> Option<Self> {
        [Self::DeviceState, Self::Mwi]
            .into_iter()
            .find(|package| package.as_str() == name)
    }
}

/// What the body of a PUBLISH says. Its texts are borrowed from the body where they hold no escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateChange<'a> {
    /// A device is in a state.
    Device {
        /// Its name, 1 to 255 bytes without control characters.
        device: Cow<'a, str>,
        /// The state.
        state: DeviceState,
        /// Whether it is to be kept; if not, it is an event and no more.
        cachable: bool,
        /// Whose state it is.
        eid: EntityId,
    },
    /// A mailbox holds messages.
    Mailbox {
        /// `mailbox@context`, or `mailbox`; 1 to 255 bytes without control characters.
        uniqueid: Cow<'a, str>,
        /// New messages.
        new: u16,
        /// Old messages.
        old: u16,
        /// Who says so.
        eid: EntityId,
    },
    /// The sender asks for everything.
    Refresh {
        /// Who asks.
        eid: EntityId,
    },
    /// The sender has said everything that a `refresh` asked for. Only one Lampwire says this to another.
    Dumped {
        /// Who says so.
        eid: EntityId,
    },
    /// A hub is there; its number is in the extras. Only one Lampwire says this to another, and passes it on.
    Beat {
        /// Which hub.
        eid: EntityId,
    },
    /// How long something takes there and back is to be seen: the receiver sends it back as it is. Only one Lampwire says this to another.
    Canary {
        /// Who wants to know.
        eid: EntityId,
    },
}

/// What one Lampwire adds to a body for another, in members that Asterisk passes over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras<'a> {
    /// A state that is relayed: which version of it this is.
    pub version: Option<Version>,
    /// A state that is relayed: the node whose state it is is lost, and the state is what stands in for its last one.
    pub lost: bool,
    /// A `refresh`: the life of the node that asks, in milliseconds since 1970. It shows that the node is a Lampwire.
    pub life: Option<u64>,
    /// A `refresh`: the highest number that the asking node has seen of what the asked one has stamped.
    pub seen: Option<u64>,
    /// A `refresh`: the life of the node that is asked, if that has asked the asking one in its present life.
    pub knows: Option<u64>,
    /// A `refresh`, and a `dumped` that answers it: which round of asking it is. A `canary`: its number.
    pub round: Option<u64>,
    /// A `refresh`: the filter of what is wanted (POSIX extended, without case), empty for everything.
    pub filter: Option<Cow<'a, str>>,
    /// A `beat` or a `dumped`: the teller has told everything that was stamped by the node that the beat is of (for a `dumped`: by itself) up
    /// to this number, or knows that it is gone.
    pub complete: Option<u64>,
    /// Beside `complete`: everything that a filter lets through.
    pub partial: bool,
    /// A `beat`: entity ids that the hub does not hear at first hand any more and soon holds to be lost; [`Extras::HELD`] at most.
    pub held: Vec<EntityId>,
}

/// Which of two values of one name under one entity id is newer: the one with the higher number, and of the same number the one of the higher
/// node. Numbers of several nodes can be compared: they rise with the clock, and whoever stamps a value anew goes above the number it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Rises with each change that the node stamps, over its restarts too.
    pub seq: u64,
    /// The node that stamped it: the one that heard it from the node whose state it is.
    pub by: EntityId,
}

impl Extras<'_> {
    /// How many entity ids one `beat` names.
    pub const HELD: usize = 16;

    /// The same, with texts of its own.
    pub fn into_owned(self) -> Extras<'static> {
        Extras {
            filter: self.filter.map(|filter| Cow::Owned(filter.into_owned())),
            version: self.version,
            lost: self.lost,
            life: self.life,
            seen: self.seen,
            knows: self.knows,
            round: self.round,
            complete: self.complete,
            partial: self.partial,
            held: self.held,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        use std::io::Write as _;
        // Writing into a buffer that grows cannot fail.
        if let Some(Version { seq, by }) = self.version {
            let _ = write!(out, ",\"by\":\"{by}\",\"seq\":{seq}");
        }
        if let Some(life) = self.life {
            let _ = write!(out, ",\"life\":{life}");
        }
        if self.lost {
            out.extend_from_slice(b",\"lost\":true");
        }
        if let Some(seen) = self.seen {
            let _ = write!(out, ",\"seen\":{seen}");
        }
        if let Some(knows) = self.knows {
            let _ = write!(out, ",\"knows\":{knows}");
        }
        if let Some(round) = self.round {
            let _ = write!(out, ",\"round\":{round}");
        }
        if let Some(filter) = &self.filter {
            out.extend_from_slice(b",\"filter\":");
            write_text(out, filter);
        }
        if let Some(complete) = self.complete {
            let _ = write!(out, ",\"complete\":{complete}");
        }
        if self.partial {
            out.extend_from_slice(b",\"partial\":true");
        }
        for (index, eid) in self.held.iter().enumerate() {
            let before = if index == 0 { ",\"held\":\"" } else { "," };
            let _ = write!(out, "{before}{eid}");
        }
        if !self.held.is_empty() {
            out.push(b'"');
        }
    }
}

/// Why a body is none. Its text is fit to be the reason phrase of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// More than [`limits::MAX_BODY`].
    #[error("Body too long")]
    TooLong,
    /// It is not one JSON object in UTF-8.
    #[error("Body is not one JSON object")]
    NotAnObject,
    /// `type` is missing, or no text.
    #[error("Missing type")]
    MissingType,
    /// `type` is not one that the event knows.
    #[error("Type does not fit the event")]
    WrongType,
    /// `eid` is missing, or no text.
    #[error("Missing eid")]
    MissingEid,
    /// `eid` is not six bytes in hexadecimal with colons.
    #[error("Malformed eid")]
    MalformedEid,
    /// `device` is missing, or no text.
    #[error("Missing device")]
    MissingDevice,
    /// `state` is missing, or no text.
    #[error("Missing state")]
    MissingState,
    /// `uniqueid` is missing, or no text.
    #[error("Missing uniqueid")]
    MissingUniqueId,
    /// A name is empty.
    #[error("Empty name")]
    EmptyName,
    /// A name is longer than [`limits::MAX_NAME`].
    #[error("Name too long")]
    NameTooLong,
    /// A name holds a control character or a line separator.
    #[error("Control character in a name")]
    ControlCharacter,
    /// A count is below 0 or above 65535.
    #[error("Message count out of range")]
    CountOutOfRange,
    /// It is not an array of states.
    #[error("Body is not an array of states")]
    NotStates,
    /// More than [`limits::MAX_STATES`].
    #[error("Too many states in one body")]
    TooManyStates,
}

/// Whether a text can be a device's or mailbox's name: 1 to [`limits::MAX_NAME`] bytes without control characters.
///
/// # Errors
/// What is wrong with it.
pub fn valid_name(name: &str) -> Result<(), BodyError> {
    if name.is_empty() {
        Err(BodyError::EmptyName)
    } else if name.len() > limits::MAX_NAME {
        Err(BodyError::NameTooLong)
    } else if !name.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && name
            .chars()
            .any(|it| it.is_control() || matches!(it, '\u{2028}' | '\u{2029}'))
    {
        Err(BodyError::ControlCharacter)
    } else {
        Ok(())
    }
}

impl<'a> StateChange<'a> {
    /// Reads the body of a PUBLISH for `event`.
    ///
    /// As with Asterisk, members that nobody knows are passed over, of a member that stands twice the last counts, a state word that is
    /// not known is UNKNOWN, only the integer 1 is cachable, and counts that are missing or no integers are 0. Unlike with Asterisk, a
    /// count of 2^63 or more is refused however it is written (`1e20`), as any integer is that does not fit.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(event: EventPackage, body: &'a [u8]) -> Result<Self, BodyError> {
        Self::parse_with_extras(event, body).map(|(change, _)| change)
    }

    /// The same, with what another Lampwire has added. Of that, what is malformed is passed over.
    ///
    /// # Errors
    /// What is wrong with the body.
    pub fn parse_with_extras(
        event: EventPackage,
        body: &'a [u8],
    ) -> Result<(Self, Extras<'a>), BodyError> {
        if body.len() > limits::MAX_BODY {
            return Err(BodyError::TooLong);
        }
        let text = std::str::from_utf8(body).map_err(|_| BodyError::NotAnObject)?;
        let members: Members<'a> =
            serde_json::from_str(text).map_err(|_| BodyError::NotAnObject)?;
        let kind = members.kind.0.ok_or(BodyError::MissingType)?;
        let eid = members.eid.0.ok_or(BodyError::MissingEid)?.parse()?;
        let extras = Extras {
            version: members.by.0.and_then(|by| by.parse().ok()).and_then(|by| {
                let seq = members.seq.natural()?;
                Some(Version { seq, by })
            }),
            lost: members.lost.0,
            life: members.life.natural(),
            seen: members.seen.natural(),
            knows: members.knows.natural(),
            round: members.round.natural(),
            filter: members.filter.0,
            complete: members.complete.natural(),
            partial: members.partial.0,
            held: match members.held.0 {
                Some(held) => {
                    let eids = held.split(',').take(Extras::HELD);
                    eids.filter_map(|eid| eid.parse().ok()).collect()
                }
                None => Vec::new(),
            },
        };
        let change = match (&*kind, event) {
            ("refresh", EventPackage::DeviceState | EventPackage::Mwi) => Ok(Self::Refresh { eid }),
            ("dumped", EventPackage::DeviceState | EventPackage::Mwi) => Ok(Self::Dumped { eid }),
            ("beat", EventPackage::DeviceState | EventPackage::Mwi) => Ok(Self::Beat { eid }),
            ("canary", EventPackage::DeviceState | EventPackage::Mwi) => Ok(Self::Canary { eid }),
            ("devicestate", EventPackage::DeviceState) => {
                let device = members.device.0.ok_or(BodyError::MissingDevice)?;
                valid_name(&device)?;
                let state = members.state.0.ok_or(BodyError::MissingState)?;
                let state = DeviceState::parse(&state).unwrap_or(DeviceState::Unknown);
                let cachable = members.cachable == Number::Integer(1);
                Ok(Self::Device {
                    device,
                    state,
                    cachable,
                    eid,
                })
            }
            ("mailboxstate", EventPackage::Mwi) => {
                let uniqueid = members.uniqueid.0.ok_or(BodyError::MissingUniqueId)?;
                valid_name(&uniqueid)?;
                let (new, old) = (members.new.count()?, members.old.count()?);
                Ok(Self::Mailbox {
                    uniqueid,
                    new,
                    old,
                    eid,
                })
            }
            _ => Err(BodyError::WrongType),
        };
        change.map(|change| (change, extras))
    }

    /// Appends the body to `out`, with its members in Asterisk's order.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_with_extras(&Extras::default(), out);
    }

    /// The same, and what is added for another Lampwire.
    pub fn write_with_extras(&self, extras: &Extras<'_>, out: &mut Vec<u8>) {
        use std::io::Write as _;
        // Writing into a buffer that grows cannot fail.
        let _ = match self {
            Self::Device {
                device,
                state,
                cachable,
                eid,
            } => {
                out.extend_from_slice(b"{\"type\":\"devicestate\",\"device\":");
                write_text(out, device);
                let (state, cachable) = (state.as_str(), u8::from(*cachable));
                write!(
                    out,
                    ",\"state\":\"{state}\",\"cachable\":{cachable},\"eid\":\"{eid}\""
                )
            }
            Self::Mailbox {
                uniqueid,
                new,
                old,
                eid,
            } => {
                out.extend_from_slice(b"{\"type\":\"mailboxstate\",\"uniqueid\":");
                write_text(out, uniqueid);
                write!(out, ",\"old\":{old},\"new\":{new},\"eid\":\"{eid}\"")
            }
            Self::Refresh { eid } => write!(out, "{{\"type\":\"refresh\",\"eid\":\"{eid}\""),
            Self::Dumped { eid } => write!(out, "{{\"type\":\"dumped\",\"eid\":\"{eid}\""),
            Self::Beat { eid } => write!(out, "{{\"type\":\"beat\",\"eid\":\"{eid}\""),
            Self::Canary { eid } => write!(out, "{{\"type\":\"canary\",\"eid\":\"{eid}\""),
        };
        extras.write(out);
        out.push(b'}');
    }

    /// The same, with texts of its own, to outlive the body that it was read from.
    pub fn into_owned(self) -> StateChange<'static> {
        match self {
            Self::Device {
                device,
                state,
                cachable,
                eid,
            } => StateChange::Device {
                device: Cow::Owned(device.into_owned()),
                state,
                cachable,
                eid,
            },
            Self::Mailbox {
                uniqueid,
                new,
                old,
                eid,
            } => StateChange::Mailbox {
                uniqueid: Cow::Owned(uniqueid.into_owned()),
                new,
                old,
                eid,
            },
            Self::Refresh { eid } => StateChange::Refresh { eid },
            Self::Dumped { eid } => StateChange::Dumped { eid },
            Self::Beat { eid } => StateChange::Beat { eid },
            Self::Canary { eid } => StateChange::Canary { eid },
        }
    }

    /// Who speaks.
    pub const fn eid(&self) -> EntityId {
        match self {
            Self::Device { eid, .. }
            | Self::Mailbox { eid, .. }
            | Self::Refresh { eid }
            | Self::Dumped { eid }
            | Self::Beat { eid }
            | Self::Canary { eid } => *eid,
        }
    }
}

/// Appends a JSON string (RFC 8259 7), whatever `text` holds: also what [`valid_name`] would refuse.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// The members that matter, as they came.
#[derive(Default)]
struct Members<'a> {
    kind: Text<'a>,
    eid: Text<'a>,
    device: Text<'a>,
    state: Text<'a>,
    uniqueid: Text<'a>,
    cachable: Number,
    old: Number,
    new: Number,
    by: Text<'a>,
    life: Number,
    seq: Number,
    seen: Number,
    knows: Number,
    round: Number,
    lost: Truth,
    filter: Text<'a>,
    complete: Number,
    partial: Truth,
    held: Text<'a>,
}

/// A member that should be `true`; anything else is `false`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Truth(pub(crate) bool);

/// A member that should be a text; `None` where it is missing or something else.
#[derive(Default)]
pub(crate) struct Text<'a>(pub(crate) Option<Cow<'a, str>>);

/// A member that should be a number.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum Number {
    /// Missing, or something else.
    #[default]
    None,
    /// An integer.
    Integer(i64),
    /// An integer beyond what 64 bits hold.
    Huge,
}

impl Number {
    pub(crate) fn count(self) -> Result<u16, BodyError> {
        match self {
            Self::None => Ok(0),
            Self::Integer(number) => u16::try_from(number).map_err(|_| BodyError::CountOutOfRange),
            Self::Huge => Err(BodyError::CountOutOfRange),
        }
    }

    /// A number of 0 and above.
    pub(crate) fn natural(self) -> Option<u64> {
        match self {
            Self::Integer(number) => u64::try_from(number).ok(),
            Self::None | Self::Huge => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Object<'a> {
            type Value = Members<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'a>, M::Error> {
                let mut members = Members::default();
                while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
                    match name.as_deref().unwrap_or_default() {
                        "type" => members.kind = map.next_value()?,
                        "eid" => members.eid = map.next_value()?,
                        "device" => members.device = map.next_value()?,
                        "state" => members.state = map.next_value()?,
                        "uniqueid" => members.uniqueid = map.next_value()?,
                        "cachable" => members.cachable = map.next_value()?,
                        "old" => members.old = map.next_value()?,
                        "new" => members.new = map.next_value()?,
                        "by" => members.by = map.next_value()?,
                        "life" => members.life = map.next_value()?,
                        "seq" => members.seq = map.next_value()?,
                        "seen" => members.seen = map.next_value()?,
                        "knows" => members.knows = map.next_value()?,
                        "round" => members.round = map.next_value()?,
                        "lost" => members.lost = map.next_value()?,
                        "filter" => members.filter = map.next_value()?,
                        "complete" => members.complete = map.next_value()?,
                        "partial" => members.partial = map.next_value()?,
                        "held" => members.held = map.next_value()?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

/// What a value is, where it may be anything: only its own kind counts, and the rest is passed over.
macro_rules! anything_else {
    ($none:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("anything")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($none)
        }

        fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok($none)
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($none)
        }
    };
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyText<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for AnyText<'a> {
            type Value = Text<'a>;

            anything_else!(Text(None));

            fn visit_bool<E>(self, _: bool) -> Result<Text<'a>, E> {
                Ok(Text(None))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'a>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'a>, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Text<'a>, E> {
                Ok(Text(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Text<'a>, E> {
                Ok(Text(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Text<'a>, E> {
                Ok(Text(None))
            }
        }
        deserializer.deserialize_any(AnyText(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyNumber;
        impl<'de> Visitor<'de> for AnyNumber {
            type Value = Number;

            anything_else!(Number::None);

            fn visit_bool<E>(self, _: bool) -> Result<Number, E> {
                Ok(Number::None)
            }

            fn visit_str<E>(self, _: &str) -> Result<Number, E> {
                Ok(Number::None)
            }

            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(i64::try_from(number).map_or(Number::Huge, Number::Integer))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number::Integer(number))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Number, E> {
                // The reader makes a float of an integer that 64 bits do not hold: none below 2^63.
                Ok(if number.abs() >= 9_223_372_036_854_775_808.0 {
                    Number::Huge
                } else {
                    Number::None
                })
            }
        }
        deserializer.deserialize_any(AnyNumber)
    }
}

impl<'de> Deserialize<'de> for Truth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyTruth;
        impl<'de> Visitor<'de> for AnyTruth {
            type Value = Truth;

            anything_else!(Truth(false));

            fn visit_bool<E>(self, truth: bool) -> Result<Truth, E> {
                Ok(Truth(truth))
            }

            fn visit_str<E>(self, _: &str) -> Result<Truth, E> {
                Ok(Truth(false))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Truth, E> {
                Ok(Truth(false))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Truth, E> {
                Ok(Truth(false))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Truth, E> {
                Ok(Truth(false))
            }
        }
        deserializer.deserialize_any(AnyTruth)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const EID: &str = "02:00:00:00:00:01";

    fn device(body: &str) -> Result<StateChange<'_>, BodyError> {
        StateChange::parse(EventPackage::DeviceState, body.as_bytes())
    }

    fn mailbox(body: &str) -> Result<StateChange<'_>, BodyError> {
        StateChange::parse(EventPackage::Mwi, body.as_bytes())
    }

    #[test]
    fn takes_what_asterisk_sends() {
        let text = r#"{"type":"devicestate","device":"PJSIP/1001","state":"INUSE","cachable":1,"eid":"02:00:00:00:00:01"}"#;
        let expected = StateChange::Device {
            device: "PJSIP/1001".into(),
            state: DeviceState::InUse,
            cachable: true,
            eid: EID.parse().unwrap(),
        };
        assert_eq!(device(text), Ok(expected.clone()));
        let mut written = Vec::new();
        expected.write(&mut written);
        assert_eq!(String::from_utf8(written).unwrap(), text);

        let text = r#"{"type":"mailboxstate","uniqueid":"100@default","old":2,"new":3,"eid":"02:00:00:00:00:01"}"#;
        let change = mailbox(text).unwrap();
        assert!(matches!(
            change,
            StateChange::Mailbox { new: 3, old: 2, .. }
        ));
        let mut written = Vec::new();
        change.write(&mut written);
        assert_eq!(String::from_utf8(written).unwrap(), text);

        let text = r#"{"type":"refresh","eid":"02:00:00:00:00:02"}"#;
        for event in [EventPackage::DeviceState, EventPackage::Mwi] {
            let change = StateChange::parse(event, text.as_bytes()).unwrap();
            assert_eq!(change.eid().to_string(), "02:00:00:00:00:02");
            let mut written = Vec::new();
            change.write(&mut written);
            assert_eq!(String::from_utf8(written).unwrap(), text);
        }
    }

    #[test]
    fn what_is_added_for_another_lampwire_is_read_as_written() {
        let version = Version {
            by: EID.parse().unwrap(),
            seq: 1_809_638_400_000_007,
        };
        let of_a_state = Extras {
            version: Some(version),
            lost: true,
            ..Extras::default()
        };
        let of_a_refresh = Extras {
            life: Some(5),
            seen: Some(4),
            knows: Some(6),
            round: Some(3),
            filter: Some("^PJSIP/\"1".into()),
            ..Extras::default()
        };
        let eid = "02:00:00:00:00:02".parse().unwrap();
        let state = StateChange::Device {
            device: "a".into(),
            state: DeviceState::Busy,
            cachable: true,
            eid,
        };
        for (change, extras) in [
            (state, of_a_state),
            (StateChange::Refresh { eid }, of_a_refresh),
            (
                StateChange::Dumped { eid },
                Extras {
                    complete: Some(9),
                    partial: true,
                    ..Extras::default()
                },
            ),
            (
                StateChange::Beat { eid },
                Extras {
                    version: Some(version),
                    held: vec![eid, version.by],
                    ..Extras::default()
                },
            ),
        ] {
            let mut written = Vec::new();
            change.write_with_extras(&extras, &mut written);
            let read = StateChange::parse_with_extras(EventPackage::DeviceState, &written);
            assert_eq!(read, Ok((change, extras)));
        }
        // What is malformed is as if it were not there.
        for added in [
            r#""by":"x","seq":2"#,
            r#""by":"02:00:00:00:00:01","seq":-2"#,
            r#""by":"02:00:00:00:00:01","seq":"2""#,
            r#""lost":1,"by":7,"filter":[],"seen":true"#,
        ] {
            let body = format!(r#"{{"type":"refresh","eid":"{EID}",{added}}}"#);
            let read = StateChange::parse_with_extras(EventPackage::Mwi, body.as_bytes());
            let (_, extras) = read.unwrap();
            assert_eq!(
                (extras.version, extras.lost, extras.filter, extras.seen),
                (None, false, None, None)
            );
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let whole = format!(
            r#"{{"type":"devicestate","device":"a","state":"INUSE","cachable":1,"eid":"{EID}"}}"#
        );
        for (from, to, error) in [
            (whole.as_str(), "", BodyError::NotAnObject),
            (&whole, "[]", BodyError::NotAnObject),
            (&whole, "\"text\"", BodyError::NotAnObject),
            (&whole, "{}{}", BodyError::NotAnObject),
            (&whole, "{} x", BodyError::NotAnObject),
            (&whole, "{", BodyError::NotAnObject),
            (&whole, "\u{feff}{}", BodyError::NotAnObject),
            (&whole, "{}", BodyError::MissingType),
            (
                r#""type":"devicestate""#,
                r#""type":1"#,
                BodyError::MissingType,
            ),
            ("devicestate", "mailboxstate", BodyError::WrongType),
            ("devicestate", "DeviceState", BodyError::WrongType),
            ("devicestate", "presence", BodyError::WrongType),
            (r#""eid":"02"#, r#""eid2":"02"#, BodyError::MissingEid),
            (EID, "02:00:00:00:00", BodyError::MalformedEid),
            (EID, "02:00:00:00:00:01:02", BodyError::MalformedEid),
            (EID, "2:0:0:0:0:1", BodyError::MalformedEid),
            (EID, "+2:00:00:00:00:01", BodyError::MalformedEid),
            (EID, "02-00-00-00-00-01", BodyError::MalformedEid),
            (EID, "", BodyError::MalformedEid),
            (r#""device":"a","#, "", BodyError::MissingDevice),
            (
                r#""device":"a""#,
                r#""device":null"#,
                BodyError::MissingDevice,
            ),
            (
                r#""device":"a""#,
                r#""device":["a"]"#,
                BodyError::MissingDevice,
            ),
            (r#""device":"a""#, r#""device":"""#, BodyError::EmptyName),
            (
                r#""device":"a""#,
                r#""device":"a\u0000b""#,
                BodyError::ControlCharacter,
            ),
            (
                r#""device":"a""#,
                r#""device":"a\r\nX: y""#,
                BodyError::ControlCharacter,
            ),
            (
                r#""device":"a""#,
                r#""device":"\u0085""#,
                BodyError::ControlCharacter,
            ),
            (
                r#""device":"a""#,
                r#""device":"\u2028""#,
                BodyError::ControlCharacter,
            ),
            (
                r#""device":"a""#,
                r#""device":"\ud800""#,
                BodyError::NotAnObject,
            ),
            (r#""state":"INUSE","#, "", BodyError::MissingState),
            (
                r#""state":"INUSE""#,
                r#""state":{"a":1}"#,
                BodyError::MissingState,
            ),
        ] {
            assert_eq!(device(&whole.replace(from, to)), Err(error), "{to}");
        }
        assert_eq!(
            device(&whole.replace("\"a\"", &format!("\"{}\"", "x".repeat(256)))),
            Err(BodyError::NameTooLong)
        );
        assert!(device(&whole.replace("\"a\"", &format!("\"{}\"", "x".repeat(255)))).is_ok());
        assert_eq!(mailbox(&whole), Err(BodyError::WrongType));
        let not_utf8 = [b"{\"type\":\"".as_slice(), &[0xff], b"\"}"].concat();
        assert_eq!(
            StateChange::parse(EventPackage::Mwi, &not_utf8),
            Err(BodyError::NotAnObject)
        );
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(limits::MAX_BODY));
        assert_eq!(device(&long), Err(BodyError::TooLong));
        // What is passed over is not walked into, however deep it is.
        let depth = limits::MAX_BODY / 2 - 10;
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(device(&deep), Err(BodyError::MissingType));
    }

    #[test]
    fn only_the_integer_1_is_cachable() {
        for (value, expected) in [
            ("1", true),
            ("0", false),
            ("2", false),
            ("-1", false),
            ("1.0", false),
            ("1e0", false),
            ("true", false),
            ("\"1\"", false),
            ("null", false),
            ("[1]", false),
            ("{\"a\":1}", false),
            ("18446744073709551617", false),
        ] {
            let text = format!(
                r#"{{"cachable":{value},"type":"devicestate","device":"a","state":"x","eid":"{EID}"}}"#
            );
            let change = device(&text).unwrap();
            assert!(
                matches!(change, StateChange::Device { cachable, state: DeviceState::Unknown, .. } if cachable == expected),
                "{value}"
            );
        }
    }

    #[test]
    fn counts_are_0_where_they_are_no_integers_and_refused_where_they_do_not_fit() {
        let counted = |value: &str| {
            let text = format!(
                r#"{{"type":"mailboxstate","uniqueid":"100","new":{value},"eid":"{EID}"}}"#
            );
            mailbox(&text).map(|change| match change {
                StateChange::Mailbox { new, old, .. } => (new, old),
                other => panic!("{other:?}"),
            })
        };
        for (value, expected) in [
            ("0", 0),
            ("7", 7),
            ("65535", 65_535),
            ("\"7\"", 0),
            ("null", 0),
            ("7.5", 0),
            ("7.0", 0),
            ("7e0", 0),
            ("-1.5", 0),
            ("-0", 0),
            ("true", 0),
            ("[]", 0),
            ("{}", 0),
        ] {
            assert_eq!(counted(value), Ok((expected, 0)), "{value}");
        }
        for value in [
            "-1",
            "65536",
            "4294967296",
            "18446744073709551615",
            "99999999999999999999999",
            "-99999999999999999999999",
            "1e20",
        ] {
            assert_eq!(counted(value), Err(BodyError::CountOutOfRange), "{value}");
        }
    }

    #[test]
    fn unknown_members_are_passed_over_and_the_last_of_two_counts() {
        let text = format!(
            r#"{{"x":{{"type":"refresh"}},"device":1,"device":"a\/b","type":"x","y":[1,[2]],"type":"devicestate","state":"inuse","eid":"00:00:00:00:00:00","eid":"{EID}","cachable":0,"cachable":1}}"#
        );
        let expected = StateChange::Device {
            device: "a/b".into(),
            state: DeviceState::InUse,
            cachable: true,
            eid: EID.parse().unwrap(),
        };
        assert_eq!(device(&text), Ok(expected));
    }

    #[test]
    fn nothing_is_copied_where_nothing_is_escaped() {
        let text =
            format!(r#"{{"type":"devicestate","device":"Tür","state":"INUSE","eid":"{EID}"}}"#);
        assert!(matches!(
            device(&text).unwrap(),
            StateChange::Device {
                device: Cow::Borrowed("Tür"),
                ..
            }
        ));
    }

    #[test]
    fn escapes_count_as_what_they_stand_for() {
        let text = format!(
            r#" {{"\u0074ype" : "device\u0073tate",
                "device":"PJSIP\/\u00e4\ud83d\ude00\"\\","state":"In\u0075se","eid":"{EID}"}}"#
        );
        let change = device(&text).unwrap();
        let StateChange::Device { device, state, .. } = &change else {
            panic!("{change:?}");
        };
        assert_eq!(device, "PJSIP/ä😀\"\\");
        assert_eq!(*state, DeviceState::InUse);
        assert_eq!(change.clone().into_owned(), change);
    }

    #[test]
    fn a_body_may_be_as_long_as_the_bound() {
        let start = format!(r#"{{"type":"refresh","eid":"{EID}","x":""#);
        let fill = "x".repeat(limits::MAX_BODY - start.len() - 2);
        let longest = format!("{start}{fill}\"}}");
        assert_eq!(longest.len(), limits::MAX_BODY);
        assert!(device(&longest).is_ok());
        assert_eq!(device(&format!("{longest} ")), Err(BodyError::TooLong));
    }

    #[test]
    fn a_member_of_a_wrong_kind_is_passed_over_whole() {
        // Deeper than the reader would follow.
        let deep = format!("{}{}", "[".repeat(400), "]".repeat(400));
        for value in [
            r#"[[1,{"type":"x"}],2]"#,
            r#"{"a":{"b":[]}}"#,
            "true",
            "-1.5e3",
            &deep,
        ] {
            let whole = format!(
                r#"{{"old":{value},"device":{value},"type":"mailboxstate","uniqueid":"1","eid":"{EID}""#
            );
            assert!(mailbox(&format!("{whole}}}")).is_ok(), "{value}");
            for (name, error) in [
                ("type", BodyError::MissingType),
                ("eid", BodyError::MissingEid),
                ("uniqueid", BodyError::MissingUniqueId),
            ] {
                let body = format!(r#"{whole},"{name}":{value}}}"#);
                assert_eq!(mailbox(&body), Err(error), "{name} {value}");
            }
        }
    }

    #[test]
    fn what_is_not_utf8_is_refused_wherever_it_stands() {
        let whole = format!(r#"{{"x":"?","type":"refresh","eid":"{EID}"}}"#);
        assert!(device(&whole).is_ok());
        let at = whole.find('?').unwrap();
        for odd in [
            b"\xff".as_slice(),
            b"\xc0\x80",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
        ] {
            let mut body = whole.clone().into_bytes();
            body.splice(at..=at, odd.iter().copied());
            let parsed = StateChange::parse(EventPackage::DeviceState, &body);
            assert_eq!(parsed, Err(BodyError::NotAnObject), "{odd:x?}");
        }
    }

    #[test]
    fn every_reason_is_fit_for_a_status_line() {
        for error in [
            BodyError::TooLong,
            BodyError::NotAnObject,
            BodyError::MissingType,
            BodyError::WrongType,
            BodyError::MissingEid,
            BodyError::MalformedEid,
            BodyError::MissingDevice,
            BodyError::MissingState,
            BodyError::MissingUniqueId,
            BodyError::EmptyName,
            BodyError::NameTooLong,
            BodyError::ControlCharacter,
            BodyError::CountOutOfRange,
        ] {
            let reason = error.to_string();
            let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
            assert!(
                reason.len() <= 40 && reason.bytes().all(printable),
                "{reason}"
            );
        }
    }

    #[test]
    fn words_are_read_in_any_case_and_packages_are_not() {
        for state in DeviceState::ALL {
            let word = state.as_str();
            assert_eq!(DeviceState::parse(word), Some(state));
            assert_eq!(DeviceState::parse(&word.to_lowercase()), Some(state));
        }
        assert_eq!(DeviceState::parse(""), None);
        assert_eq!(DeviceState::parse("IN_USE"), None);
        for package in [EventPackage::DeviceState, EventPackage::Mwi] {
            assert_eq!(EventPackage::parse(package.as_str()), Some(package));
            assert_eq!(EventPackage::parse(&package.as_str().to_uppercase()), None);
        }
    }

    fn name() -> impl Strategy<Value = String> {
        "[ -~äöü€😀]{1,40}"
    }

    proptest! {
        #[test]
        fn written_and_read_again_it_is_the_same(
            name in name(), state in 0usize..9, cachable in any::<bool>(), new in any::<u16>(), old in any::<u16>(), eid in any::<[u8; 6]>(),
        ) {
            let eid = EntityId::from(eid);
            let changes = [
                (EventPackage::DeviceState, StateChange::Device {
                    device: name.as_str().into(), state: DeviceState::ALL[state], cachable, eid,
                }),
                (EventPackage::Mwi, StateChange::Mailbox { uniqueid: name.as_str().into(), new, old, eid }),
                (EventPackage::Mwi, StateChange::Refresh { eid }),
            ];
            for (event, change) in changes {
                let mut body = Vec::new();
                change.write(&mut body);
                prop_assert_eq!(StateChange::parse(event, &body), Ok(change));
            }
        }

        #[test]
        fn nothing_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..80), at in 0usize..100, byte in any::<u8>()) {
            let _ = StateChange::parse(EventPackage::Mwi, &body);
            let mut whole = format!(r#"{{"type":"devicestate","device":"a","state":"INUSE","cachable":1,"eid":"{EID}"}}"#).into_bytes();
            let at = at % whole.len();
            whole[at] = byte;
            let _ = StateChange::parse(EventPackage::DeviceState, &whole);
        }

        #[test]
        fn what_is_taken_of_a_damaged_body_is_whole(
            mailbox in any::<bool>(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), 0usize..3, "[ -~]{0,6}|[\\x00-\\u{2030}]"), 1..4),
        ) {
            let (event, body) = if mailbox {
                (EventPackage::Mwi, r#"{"type":"mailboxstate","uniqueid":"100@a","old":2,"new":30,"eid":"02:00:00:00:00:01"}"#)
            } else {
                (EventPackage::DeviceState, r#"{"type":"devicestate","device":"A/1","state":"BUSY","cachable":1,"eid":"02:00:00:00:00:01"}"#)
            };
            let mut body = body.as_bytes().to_vec();
            for (at, cut, put) in damage {
                let at = at.index(body.len());
                let end = (at + cut).min(body.len());
                body.splice(at..end, put.bytes());
                body.push(b' ');
            }
            if let Ok(change) = StateChange::parse(event, &body) {
                let mut written = Vec::new();
                change.write(&mut written);
                prop_assert_eq!(StateChange::parse(event, &written), Ok(change.clone()));
                match &change {
                    StateChange::Device { device: name, .. } | StateChange::Mailbox { uniqueid: name, .. } => {
                        prop_assert_eq!(valid_name(name), Ok(()));
                    }
                    StateChange::Refresh { .. } | StateChange::Dumped { .. } | StateChange::Beat { .. } | StateChange::Canary { .. } => {}
                }
            }
        }

        #[test]
        fn any_text_is_written_as_json(text in any::<String>()) {
            let mut written = Vec::new();
            write_text(&mut written, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&written).ok(), Some(text));
        }

        #[test]
        fn an_entity_id_printed_and_read_again_is_the_same(bytes in any::<[u8; 6]>()) {
            let eid = EntityId::from(bytes);
            prop_assert_eq!(eid.to_string().parse(), Ok(eid));
            prop_assert_eq!(eid.to_string().to_uppercase().parse(), Ok(eid));
        }
    }
}
