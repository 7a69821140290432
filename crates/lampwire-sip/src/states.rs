//! Many states in one body, as one Lampwire tells them to another that has offered to take them. A stock Asterisk never sees this.
//!
//! The body is an array of groups. Those of a group are under one entity id and stamped by one node, and the numbers of their versions are
//! written as what is to be added to the group's:
//!
//! ```json
//! [{"eid":"02:00:00:00:00:01","by":"02:00:00:00:00:02","seq":1809641719018500,
//!   "devices":[["PJSIP/100","INUSE",0],["PJSIP/101","RINGING",3]]},
//!  {"eid":"02:00:00:00:00:03","mailboxes":[["100@default",2,5]]}]
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::body::{
    BodyError, DeviceState, EntityId, EventPackage, Extras, Number, StateChange, Text, Truth,
    Version, valid_name, write_text,
};
use crate::limits;

/// The media type of many states.
pub const STATES_MEDIA_TYPE: &str = "application/vnd.lampwire.states+json";

/// A state, and what is added to it for another Lampwire: its version, and whether it stands in for a lost node's.
pub type Told<'a> = (StateChange<'a>, Extras<'a>);

/// States that are to leave in one body, which is never longer than it may be.
#[derive(Debug)]
pub struct States<'a> {
    told: Vec<Told<'a>>,
    /// The groups, each with the number that those of its states are counted from.
    groups: BTreeMap<Group, u64>,
    length: usize,
    most: usize,
}

impl<'a> States<'a> {
    /// None yet, and room for a body of `most` bytes.
    pub const fn within(most: usize) -> Self {
        Self {
            told: Vec::new(),
            groups: BTreeMap::new(),
            length: 2,
            most,
        }
    }

    /// Adds one, if there is room for it and it can be among them: a device's state that may be kept, or a mailbox's. False: it is to be
    /// told by itself.
    pub fn push(&mut self, told: Told<'a>) -> bool {
        let (change, extras) = &told;
        let seq = extras.version.map(|version| version.seq);
        let (group, base) = match Group::of(&told) {
            Some(group) => (group, self.groups.get(&group).copied()),
            None => return false,
        };
        let mut length = self.length;
        if base.is_none() {
            length += group.length(seq) + usize::from(!self.groups.is_empty());
        } else {
            length += 1;
        }
        let base = base.or(seq).unwrap_or(0);
        length += 2 + length_of(change);
        if let Some(seq) = seq {
            length += 1 + length_of_number(offset(seq, base));
        }
        if length > self.most || self.told.len() >= limits::MAX_STATES {
            return false;
        }
        self.length = length;
        self.groups.insert(group, base);
        self.told.push(told);
        true
    }

    /// How many they are.
    pub const fn len(&self) -> usize {
        self.told.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Appends the body to `out`.
    pub fn write(&mut self, out: &mut Vec<u8>) {
        // Those of a group stay in their order.
        self.told.sort_by_key(Group::of);
        out.push(b'[');
        let groups = self
            .told
            .chunk_by(|one, two| Group::of(one) == Group::of(two));
        for (index, states) in groups.enumerate() {
            let Some(group) = states.first().and_then(Group::of) else {
                continue;
            };
            let base = self.groups.get(&group).copied().unwrap_or(0);
            if index > 0 {
                out.push(b',');
            }
            group.write(base, out);
            for (index, (change, extras)) in states.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                out.push(b'[');
                // Writing into a buffer that grows cannot fail.
                let _ = match change {
                    StateChange::Device { device, state, .. } => {
                        write_text(out, device);
                        write!(out, ",\"{}\"", state.as_str())
                    }
                    StateChange::Mailbox {
                        uniqueid, new, old, ..
                    } => {
                        write_text(out, uniqueid);
                        write!(out, ",{new},{old}")
                    }
                    _ => Ok(()),
                };
                if let Some(version) = extras.version {
                    let _ = write!(out, ",{}", offset(version.seq, base));
                }
                out.push(b']');
            }
            out.extend_from_slice(b"]}");
        }
        out.push(b']');
    }
}

/// Reads such a body of a PUBLISH for `event`: at least one state, at most [`limits::MAX_STATES`]. Members that nobody knows are passed over.
///
/// # Errors
/// What is wrong with it: nothing of it is to be taken then.
pub fn parse_states(event: EventPackage, body: &[u8]) -> Result<Vec<Told<'_>>, BodyError> {
    if body.len() > limits::MAX_BODY {
        return Err(BodyError::TooLong);
    }
    let text = std::str::from_utf8(body).map_err(|_| BodyError::NotStates)?;
    let groups: Vec<Members<'_>> = serde_json::from_str(text).map_err(|_| BodyError::NotStates)?;
    let count: usize = groups
        .iter()
        .map(|group| group.devices.len() + group.mailboxes.len())
        .sum();
    match count {
        0 => return Err(BodyError::NotStates),
        1..=limits::MAX_STATES => {}
        _ => return Err(BodyError::TooManyStates),
    }
    let mut states = Vec::with_capacity(count);
    for group in groups {
        let eid: EntityId = group.eid.0.ok_or(BodyError::MissingEid)?.parse()?;
        let stamp = match (group.by.0, group.seq) {
            (None, Number::None) => None,
            (Some(by), seq) => Some((seq.natural().ok_or(BodyError::NotStates)?, by.parse()?)),
            (None, _) => return Err(BodyError::NotStates),
        };
        let extras = |offset: Number| -> Result<Extras<'_>, BodyError> {
            let version = match (stamp, offset) {
                (None, Number::None) => None,
                (Some((base, by)), Number::Integer(offset)) => {
                    let seq = u64::checked_add_signed(base, offset);
                    let seq = seq.ok_or(BodyError::NotStates)?;
                    Some(Version { seq, by })
                }
                _ => return Err(BodyError::NotStates),
            };
            Ok(Extras {
                version,
                lost: group.lost.0,
                ..Extras::default()
            })
        };
        let fits = match event {
            EventPackage::DeviceState => group.mailboxes.is_empty(),
            EventPackage::Mwi => group.devices.is_empty(),
        };
        if !fits {
            return Err(BodyError::WrongType);
        }
        for Entry(name, [state, offset, _]) in group.devices {
            let device = name.0.ok_or(BodyError::MissingDevice)?;
            valid_name(&device)?;
            let Member::Text(word) = state else {
                return Err(BodyError::MissingState);
            };
            let change = StateChange::Device {
                device,
                state: DeviceState::parse(&word).unwrap_or(DeviceState::Unknown),
                cachable: true,
                eid,
            };
            states.push((change, extras(offset.number())?));
        }
        for Entry(name, [new, old, offset]) in group.mailboxes {
            let uniqueid = name.0.ok_or(BodyError::MissingUniqueId)?;
            valid_name(&uniqueid)?;
            let change = StateChange::Mailbox {
                uniqueid,
                new: new.number().count()?,
                old: old.number().count()?,
                eid,
            };
            states.push((change, extras(offset.number())?));
        }
    }
    Ok(states)
}

/// What the states of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    mailboxes: bool,
    eid: EntityId,
    by: Option<EntityId>,
    lost: bool,
}

impl Group {
    /// The group of a state; `None` where it cannot be among many.
    fn of((change, extras): &Told<'_>) -> Option<Self> {
        let mailboxes = match change {
            StateChange::Device { cachable: true, .. } => false,
            StateChange::Mailbox { .. } => true,
            _ => return None,
        };
        Some(Self {
            mailboxes,
            eid: change.eid(),
            by: extras.version.map(|version| version.by),
            lost: extras.lost,
        })
    }

    /// Everything of it but its states and what ends it.
    fn write(self, base: u64, out: &mut Vec<u8>) {
        // Writing into a buffer that grows cannot fail.
        let _ = write!(out, "{{\"eid\":\"{}\"", self.eid);
        if let Some(by) = self.by {
            let _ = write!(out, ",\"by\":\"{by}\",\"seq\":{base}");
        }
        if self.lost {
            out.extend_from_slice(b",\"lost\":true");
        }
        out.extend_from_slice(match self.mailboxes {
            true => b",\"mailboxes\":[",
            false => b",\"devices\":[",
        });
    }

    /// How long it is without its states.
    fn length(self, base: Option<u64>) -> usize {
        let mut out = Vec::new();
        self.write(base.unwrap_or(0), &mut out);
        out.len() + 2
    }
}

/// How long a state's name and value are.
fn length_of(change: &StateChange<'_>) -> usize {
    let text = |name: &str| {
        let escaped = |byte: u8| match byte {
            b'"' | b'\\' => 2,
            0..=0x1f => 6,
            _ => 1,
        };
        2 + name.bytes().map(escaped).sum::<usize>()
    };
    let digits = |count: &u16| length_of_number((*count).into());
    match change {
        StateChange::Device { device, state, .. } => text(device) + 3 + state.as_str().len(),
        StateChange::Mailbox {
            uniqueid, new, old, ..
        } => text(uniqueid) + 2 + digits(new) + digits(old),
        _ => 0,
    }
}

fn offset(seq: u64, base: u64) -> i128 {
    i128::from(seq) - i128::from(base)
}

fn length_of_number(number: i128) -> usize {
    let digits = number.unsigned_abs().checked_ilog10().unwrap_or(0) + 1;
    digits as usize + usize::from(number < 0)
}

/// A group, as it came.
#[derive(Default)]
struct Members<'a> {
    eid: Text<'a>,
    by: Text<'a>,
    seq: Number,
    lost: Truth,
    devices: Vec<Entry<'a>>,
    mailboxes: Vec<Entry<'a>>,
}

/// A name and what is said of it, as it came; what stands behind that is passed over.
struct Entry<'a>(Text<'a>, [Member<'a>; 3]);

/// A text or a number.
#[derive(Default)]
enum Member<'a> {
    #[default]
    None,
    Text(std::borrow::Cow<'a, str>),
    Number(Number),
}

impl Member<'_> {
    const fn number(&self) -> Number {
        match self {
            Self::Number(number) => *number,
            Self::None | Self::Text(_) => Number::None,
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
                let mut group = Members::default();
                while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
                    match name.as_deref().unwrap_or_default() {
                        "eid" => group.eid = map.next_value()?,
                        "by" => group.by = map.next_value()?,
                        "seq" => group.seq = map.next_value()?,
                        "lost" => group.lost = map.next_value()?,
                        "devices" => group.devices = map.next_value()?,
                        "mailboxes" => group.mailboxes = map.next_value()?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(group)
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Array<'a> {
            type Value = Entry<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Entry<'a>, S::Error> {
                let name = seq.next_element()?.unwrap_or_default();
                let mut members: [Member<'a>; 3] = Default::default();
                for member in &mut members {
                    *member = seq.next_element()?.unwrap_or_default();
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Entry(name, members))
            }
        }
        deserializer.deserialize_seq(Array(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Member<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Either<'a> {
            type Value = Member<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Member<'a>, E> {
                Ok(Member::Text(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Member<'a>, E> {
                Ok(Member::Text(text.to_owned().into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Member<'a>, E> {
                let number = i64::try_from(number).map_or(Number::Huge, Number::Integer);
                Ok(Member::Number(number))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Member<'a>, E> {
                Ok(Member::Number(Number::Integer(number)))
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const EID: &str = "02:00:00:00:00:01";

    fn eid(last: u8) -> EntityId {
        [2, 0, 0, 0, 0, last].into()
    }

    fn device(name: &'static str, of: u8, version: Option<(u64, u8)>) -> Told<'static> {
        let change = StateChange::Device {
            device: name.into(),
            state: DeviceState::InUse,
            cachable: true,
            eid: eid(of),
        };
        let version = version.map(|(seq, by)| Version { seq, by: eid(by) });
        let extras = Extras {
            version,
            ..Extras::default()
        };
        (change, extras)
    }

    fn written(told: &[Told<'_>]) -> Vec<u8> {
        let mut states = States::within(limits::MAX_BODY);
        assert!(told.iter().all(|it| states.push(it.clone())));
        let mut out = Vec::new();
        states.write(&mut out);
        assert_eq!(states.length, out.len());
        out
    }

    #[test]
    fn what_does_not_fit_and_what_is_no_state_stays_outside() {
        let exact = written(&[device("a", 1, Some((500, 9))), device("b", 2, None)]).len();
        let mut states = States::within(exact);
        assert!(states.is_empty());
        assert!(states.push(device("a", 1, Some((500, 9)))));
        assert!(!states.push(device("bb", 2, None)));
        assert!(states.push(device("b", 2, None)));
        assert!(!states.push(device("c", 2, None)));
        assert_eq!(states.len(), 2);
        let (change, extras) = device("a", 1, None);
        let StateChange::Device {
            device, state, eid, ..
        } = change
        else {
            unreachable!("a device")
        };
        let event = StateChange::Device {
            device,
            state,
            eid,
            cachable: false,
        };
        let mut states = States::within(limits::MAX_BODY);
        assert!(!states.push((event, extras.clone())));
        assert!(!states.push((StateChange::Refresh { eid }, extras)));
    }

    #[test]
    fn those_of_one_entity_id_and_stamper_come_together() {
        let states = [
            device("a", 1, Some((500, 9))),
            device("b", 2, None),
            device("c\"", 1, Some((498, 9))),
        ];
        let out = written(&states);
        let text = r#"[{"eid":"02:00:00:00:00:01","by":"02:00:00:00:00:09","seq":500,"devices":[["a","INUSE",0],["c\"","INUSE",-2]]},{"eid":"02:00:00:00:00:02","devices":[["b","INUSE"]]}]"#;
        assert_eq!(std::str::from_utf8(&out).unwrap(), text);
        let again = parse_states(EventPackage::DeviceState, &out).unwrap();
        let [a, b, c] = states;
        assert_eq!(again, [a, c, b]);
    }

    #[test]
    fn what_is_none_is_refused_as_a_whole() {
        let one = |rest: &str| format!(r#"[{{"eid":"{EID}",{rest}}}]"#);
        for (body, error) in [
            ("[]".to_owned(), BodyError::NotStates),
            ("{}".to_owned(), BodyError::NotStates),
            ("[[]]".to_owned(), BodyError::NotStates),
            (one(r#""devices":[]"#), BodyError::NotStates),
            (
                one(r#""devices":[["a","INUSE"],[]]"#),
                BodyError::MissingDevice,
            ),
            (one(r#""devices":[["a"]]"#), BodyError::MissingState),
            (one(r#""devices":[["","INUSE"]]"#), BodyError::EmptyName),
            (one(r#""devices":[["a","INUSE",1]]"#), BodyError::NotStates),
            (one(r#""mailboxes":[["a",1,2]]"#), BodyError::WrongType),
            (
                one(r#""seq":1,"devices":[["a","INUSE",1]]"#),
                BodyError::NotStates,
            ),
            (
                one(r#""by":"02:00:00:00:00:09","seq":1,"devices":[["a","INUSE"]]"#),
                BodyError::NotStates,
            ),
            (
                one(r#""by":"02:00:00:00:00:09","seq":1,"devices":[["a","INUSE",-2]]"#),
                BodyError::NotStates,
            ),
            (
                one(r#""by":"x","seq":1,"devices":[["a","INUSE",1]]"#),
                BodyError::MalformedEid,
            ),
            (
                r#"[{"devices":[["a","INUSE"]]}]"#.to_owned(),
                BodyError::MissingEid,
            ),
        ] {
            let refused = parse_states(EventPackage::DeviceState, body.as_bytes());
            assert_eq!(refused, Err(error), "{body}");
        }
        let counts = one(r#""mailboxes":[["a",70000,2]]"#);
        let refused = parse_states(EventPackage::Mwi, counts.as_bytes());
        assert_eq!(refused, Err(BodyError::CountOutOfRange));
    }

    #[test]
    fn there_is_a_bound() {
        let of = |count: usize| {
            let entries = vec![r#"["a","BUSY"]"#; count].join(",");
            format!(r#"[{{"eid":"{EID}","devices":[{entries}]}}]"#)
        };
        let parse = |count| {
            let body = of(count);
            parse_states(EventPackage::DeviceState, body.as_bytes()).map(|states| states.len())
        };
        assert_eq!(parse(limits::MAX_STATES), Ok(limits::MAX_STATES));
        assert_eq!(parse(limits::MAX_STATES + 1), Err(BodyError::TooManyStates));
    }

    proptest! {
        #[test]
        fn written_and_read_again_they_are_the_same(
            states in prop::collection::vec(
                ("[ -~é]{1,20}|[\"\\\\]{1,9}", 0usize..9, 0u8..3, prop::option::of((1u64..1 << 53, 0u8..2)), any::<bool>()),
                1..40,
            )
        ) {
            let told: Vec<Told<'_>> = states
                .iter()
                .map(|(name, state, of, version, lost)| {
                    let change = StateChange::Device {
                        device: name.as_str().into(),
                        state: DeviceState::ALL[*state],
                        cachable: true,
                        eid: eid(*of),
                    };
                    let version = version.map(|(seq, by)| Version { seq, by: eid(by) });
                    (change, Extras { version, lost: *lost, ..Extras::default() })
                })
                .collect();
            let out = written(&told);
            let again = parse_states(EventPackage::DeviceState, &out).unwrap();
            let sorted = |mut all: Vec<Told<'static>>| {
                all.sort_by_key(|it| format!("{it:?}"));
                all
            };
            let owned = |all: Vec<Told<'_>>| -> Vec<Told<'static>> {
                all.into_iter().map(|(change, extras)| (change.into_owned(), extras.into_owned())).collect()
            };
            prop_assert_eq!(sorted(owned(again)), sorted(owned(told)));
        }

        #[test]
        fn nothing_makes_it_panic(text in ".{0,200}") {
            let _ = parse_states(EventPackage::Mwi, text.as_bytes());
        }
    }
}
