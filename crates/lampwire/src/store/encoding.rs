//! Records as bytes: a byte that says what it is, then its fields. Numbers are in groups of seven bits, the lowest first, the top bit
//! saying that more follow; texts are their length and their bytes.
//!
//! What stands here is version 2 of the format, and version 1, which is the same without the kinds from [`kind::TERMS`] on. Neither ever changes:
//! another layout, or another kind, is another version, with a decoder of its own. So an older program says that a file is too new for
//! it, and does not take what it cannot read for damage.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use lampwire_core::store::{
    KeptLane, KeptPublication, KeptRewrite, KeptState, KeptTaking, KeptTerms, KeptValue, Record,
};
use lampwire_core::{Source, WallTime};
use lampwire_sip::{DeviceState, EntityId, EventPackage, Version};

/// The bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

mod kind {
    pub(super) const LIFE: u8 = 1;
    pub(super) const DEVICE: u8 = 2;
    pub(super) const MAILBOX: u8 = 3;
    // 4 and 5 have been something else.
    pub(super) const PUBLICATION: u8 = 6;
    pub(super) const PUBLICATION_GONE: u8 = 7;
    pub(super) const LANE: u8 = 8;
    pub(super) const PEER: u8 = 9;
    pub(super) const CLOSED: u8 = 10;
    // Since version 2.
    pub(super) const TERMS: u8 = 11;
    pub(super) const TERMS_GONE: u8 = 12;
    pub(super) const TAKING: u8 = 13;
}

/// In the order of the numbers that stand for them.
const STATES: [DeviceState; 9] = [
    DeviceState::Unknown,
    DeviceState::NotInUse,
    DeviceState::InUse,
    DeviceState::Busy,
    DeviceState::Invalid,
    DeviceState::Unavailable,
    DeviceState::Ringing,
    DeviceState::RingInUse,
    DeviceState::OnHold,
];

/// In the order of the numbers that stand for them.
const SOURCES: [Source; 4] = [
    Source::Local,
    Source::Publication,
    Source::Ami,
    Source::Cluster,
];

/// In the order of the numbers that stand for them.
const EVENTS: [EventPackage; 2] = [EventPackage::DeviceState, EventPackage::Mwi];

/// Adds a record.
pub(crate) fn encode(record: &Record, out: &mut Vec<u8>) {
    match record {
        Record::Life(life) => {
            out.push(kind::LIFE);
            number(out, *life);
        }
        Record::State(state) => encode_state(state, out),
        Record::Publication(publication) => {
            out.push(kind::PUBLICATION);
            number(out, publication.id.into());
            number(out, publication.generation.into());
            text(out, &publication.endpoint);
            text(out, &publication.resource);
            out.push(place(&EVENTS, &publication.event));
            address(out, publication.remote);
            number(out, publication.created_at.as_millis());
            number(out, publication.expires_at.as_millis());
            number(out, publication.states);
        }
        Record::PublicationGone(id) => {
            out.push(kind::PUBLICATION_GONE);
            number(out, (*id).into());
        }
        Record::Lane(lane) => {
            out.push(kind::LANE);
            text(out, &lane.publish);
            text(out, &lane.server_uri);
            number(out, lane.lane.into());
            optional_text(out, lane.tag.as_deref());
            text(out, &lane.call_id);
            number(out, lane.cseq.into());
            number(out, lane.expires_at.as_millis());
            number(out, lane.confirmed);
        }
        Record::Peer { name, entity_id } => {
            out.push(kind::PEER);
            text(out, name);
            out.extend(entity_id.as_bytes());
        }
        Record::Closed(closed) => out.extend([kind::CLOSED, (*closed).into()]),
        Record::Terms(terms) => {
            out.push(kind::TERMS);
            text(out, &terms.publish);
            text(out, &terms.server_uri);
            out.push(terms.relay.into());
            optional_text(out, terms.filter.as_deref());
            out.push(terms.peer.is_some().into());
            out.extend(terms.peer.iter().flat_map(EntityId::as_bytes));
            rewrites(out, &terms.rewrites);
        }
        Record::TermsGone(publish) => {
            out.push(kind::TERMS_GONE);
            text(out, publish);
        }
        Record::Taking(taking) => {
            out.push(kind::TAKING);
            text(out, &taking.peer);
            out.push(taking.devices.into());
            out.push(taking.mailboxes.into());
            optional_text(out, taking.device_filter.as_deref());
            optional_text(out, taking.mailbox_filter.as_deref());
            rewrites(out, &taking.rewrites);
        }
    }
}

fn rewrites(out: &mut Vec<u8>, rewrites: &[KeptRewrite]) {
    number(out, rewrites.len() as u64);
    for rewrite in rewrites {
        for names in [&rewrite.devices, &rewrite.mailboxes] {
            number(out, names.len() as u64);
            names.iter().for_each(|name| text(out, name));
        }
        number(out, rewrite.states.len() as u64);
        for (theirs, ours) in &rewrite.states {
            out.extend([place(&STATES, theirs), place(&STATES, ours)]);
        }
    }
}

fn encode_state(state: &KeptState, out: &mut Vec<u8>) {
    match state.value {
        KeptValue::Device(value) => out.extend([kind::DEVICE, place(&STATES, &value)]),
        KeptValue::Mailbox { new, old } => {
            out.push(kind::MAILBOX);
            number(out, new.into());
            number(out, old.into());
        }
    }
    text(out, &state.name);
    out.extend(state.entity_id.as_bytes());
    out.push(place(&SOURCES, &state.source));
    optional_text(out, state.peer.as_deref());
    out.extend(state.version.by.as_bytes());
    number(out, state.version.seq);
    let lost_and_gone = u8::from(state.lost) | u8::from(state.gone) << 1;
    out.extend([lost_and_gone, state.owner.into()]);
    number(out, state.rev);
    number(out, state.updated_at.as_millis());
    let ttl = state.ttl.map(|ttl| u64::try_from(ttl.as_millis()));
    number(
        out,
        ttl.map_or(0, |ttl| ttl.unwrap_or(u64::MAX).saturating_add(1)),
    );
}

/// The next record and what follows it.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Record, &[u8]), Malformed> {
    let mut reader = Reader { rest: bytes };
    let record = reader.record()?;
    Ok((record, reader.rest))
}

/// The same of a file of version 1.
pub(crate) fn decode_of_1(bytes: &[u8]) -> Result<(Record, &[u8]), Malformed> {
    match bytes.first() {
        Some(kind) if *kind >= kind::TERMS => Err(Malformed),
        _ => decode(bytes),
    }
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// An empty byte where there is none, which is no text's beginning: those begin with a one.
fn optional_text(out: &mut Vec<u8>, optional: Option<&str>) {
    out.push(optional.is_some().into());
    if let Some(present) = optional {
        text(out, present);
    }
}

fn address(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend(ip.octets());
        }
    }
    if let SocketAddr::V6(address) = address {
        number(out, address.scope_id().into());
    }
    out.extend(address.port().to_le_bytes());
}

/// A value's number: all values stand in the list.
fn place<T: PartialEq>(list: &[T], value: &T) -> u8 {
    let index = list.iter().position(|it| it == value);
    index
        .and_then(|index| u8::try_from(index).ok())
        .unwrap_or(u8::MAX)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn record(&mut self) -> Result<Record, Malformed> {
        let record = match self.byte()? {
            kind::LIFE => Record::Life(self.number()?),
            kind::DEVICE => {
                let value = KeptValue::Device(self.one_of(&STATES)?);
                Record::State(self.state(value)?)
            }
            kind::MAILBOX => {
                let (new, old) = (self.small()?, self.small()?);
                Record::State(self.state(KeptValue::Mailbox { new, old })?)
            }
            kind::PUBLICATION => Record::Publication(KeptPublication {
                id: self.small()?,
                generation: self.small()?,
                endpoint: self.text()?,
                resource: self.text()?,
                event: self.one_of(&EVENTS)?,
                remote: self.address()?,
                created_at: self.wall()?,
                expires_at: self.wall()?,
                states: self.number()?,
            }),
            kind::PUBLICATION_GONE => Record::PublicationGone(self.small()?),
            kind::LANE => Record::Lane(KeptLane {
                publish: self.text()?,
                server_uri: self.text()?,
                lane: self.small()?,
                tag: self.optional_text()?,
                call_id: self.text()?,
                cseq: self.small()?,
                expires_at: self.wall()?,
                confirmed: self.number()?,
            }),
            kind::PEER => Record::Peer {
                name: self.text()?,
                entity_id: self.entity_id()?,
            },
            kind::CLOSED => Record::Closed(self.flag()?),
            kind::TERMS => Record::Terms(KeptTerms {
                publish: self.text()?,
                server_uri: self.text()?,
                relay: self.flag()?,
                filter: self.optional_text()?,
                peer: match self.flag()? {
                    true => Some(self.entity_id()?),
                    false => None,
                },
                rewrites: self.rewrites()?,
            }),
            kind::TERMS_GONE => Record::TermsGone(self.text()?),
            kind::TAKING => Record::Taking(KeptTaking {
                peer: self.text()?,
                devices: self.flag()?,
                mailboxes: self.flag()?,
                device_filter: self.optional_text()?,
                mailbox_filter: self.optional_text()?,
                rewrites: self.rewrites()?,
            }),
            _ => return Err(Malformed),
        };
        Ok(record)
    }

    fn state(&mut self, value: KeptValue) -> Result<KeptState, Malformed> {
        let name = self.text()?;
        let entity_id = self.entity_id()?;
        let source = self.one_of(&SOURCES)?;
        let peer = self.optional_text()?;
        let version = Version {
            by: self.entity_id()?,
            seq: self.number()?,
        };
        let lost_and_gone = self.byte()?;
        if lost_and_gone > 3 {
            return Err(Malformed);
        }
        Ok(KeptState {
            name,
            entity_id,
            value,
            source,
            peer,
            version,
            lost: lost_and_gone & 1 != 0,
            gone: lost_and_gone & 2 != 0,
            owner: self.flag()?,
            rev: self.number()?,
            updated_at: self.wall()?,
            ttl: match self.number()? {
                0 => None,
                more => Some(Duration::from_millis(more - 1)),
            },
        })
    }

    fn rewrites(&mut self) -> Result<Vec<KeptRewrite>, Malformed> {
        self.list(|reader| {
            Ok(KeptRewrite {
                devices: reader.list(Self::text)?,
                mailboxes: reader.list(Self::text)?,
                states: reader.list(|it| Ok((it.one_of(&STATES)?, it.one_of(&STATES)?)))?,
            })
        })
    }

    /// So many as the number before them says; it takes room only for those that are there.
    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count: u64 = self.number()?;
        (0..count).map(|_| item(self)).collect()
    }

    fn take(&mut self, length: usize) -> Result<&[u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn flag(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if part.leading_zeros() < shift {
                return Err(Malformed);
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Malformed> {
        T::try_from(self.number()?).map_err(|_| Malformed)
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let length = self.small()?;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| Malformed)?;
        Ok(text.to_owned())
    }

    fn optional_text(&mut self) -> Result<Option<String>, Malformed> {
        match self.flag()? {
            false => Ok(None),
            true => self.text().map(Some),
        }
    }

    fn entity_id(&mut self) -> Result<EntityId, Malformed> {
        Ok(EntityId::from(self.array()?))
    }

    fn wall(&mut self) -> Result<WallTime, Malformed> {
        Ok(WallTime::from_millis(self.number()?))
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> Result<T, Malformed> {
        let index = usize::from(self.byte()?);
        list.get(index).copied().ok_or(Malformed)
    }

    fn address(&mut self) -> Result<SocketAddr, Malformed> {
        match self.byte()? {
            4 => {
                let ip = IpAddr::from(self.array::<4>()?);
                Ok(SocketAddr::new(ip, u16::from_le_bytes(self.array()?)))
            }
            6 => {
                let ip = self.array::<16>()?.into();
                let scope = self.small()?;
                let port = u16::from_le_bytes(self.array()?);
                Ok(SocketAddrV6::new(ip, port, 0, scope).into())
            }
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::store::tests::any_record;

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(records in prop::collection::vec(any_record(), 0..8)) {
            let mut bytes = Vec::new();
            records.iter().for_each(|record| encode(record, &mut bytes));
            let mut rest = &bytes[..];
            let mut read = Vec::new();
            while !rest.is_empty() {
                let (record, after) = decode(rest).unwrap();
                read.push(record);
                rest = after;
            }
            prop_assert_eq!(read, records);
        }

        #[test]
        fn any_bytes_are_a_record_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((record, rest)) = decode(&bytes) {
                let mut again = Vec::new();
                encode(&record, &mut again);
                prop_assert!(again.len() <= bytes.len() - rest.len());
                prop_assert_eq!(decode(&again), Ok((record, &[][..])));
            }
        }
    }

    #[test]
    fn a_part_of_a_record_is_none() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for _ in 0..200 {
            let tree = any_record().new_tree(&mut runner).unwrap();
            let mut bytes = Vec::new();
            encode(&proptest::strategy::ValueTree::current(&tree), &mut bytes);
            for end in 0..bytes.len() {
                assert_eq!(decode(&bytes[..end]), Err(Malformed));
            }
        }
    }

    /// A file that was written by an older build is read by this one: these bytes are what version 2 has beside those of version 1.
    #[test]
    fn the_layout_of_version_2_is_as_it_always_was() {
        let rewrite = KeptRewrite {
            devices: vec!["a -> b".to_owned()],
            mailboxes: Vec::new(),
            states: vec![(DeviceState::NotInUse, DeviceState::Busy)],
        };
        let terms = Record::Terms(KeptTerms {
            publish: "p".to_owned(),
            server_uri: "u".to_owned(),
            relay: true,
            filter: Some("f".to_owned()),
            peer: Some(EntityId::from([2, 0, 0, 0, 0, 1])),
            rewrites: vec![rewrite.clone()],
        });
        let taking = Record::Taking(KeptTaking {
            peer: "p".to_owned(),
            devices: true,
            mailboxes: false,
            device_filter: None,
            mailbox_filter: Some("f".to_owned()),
            rewrites: vec![rewrite],
        });
        let gone = Record::TermsGone("p".to_owned());
        for (record, expected) in [
            (
                terms,
                &b"\x0b\x01p\x01u\x01\x01\x01f\x01\x02\0\0\0\0\x01\x01\x01\x06a -> b\0\x01\x01\x03"
                    [..],
            ),
            (gone, b"\x0c\x01p"),
            (
                taking,
                b"\x0d\x01p\x01\0\0\x01\x01f\x01\x01\x06a -> b\0\x01\x01\x03",
            ),
        ] {
            let mut bytes = Vec::new();
            encode(&record, &mut bytes);
            assert_eq!(bytes, expected);
            assert_eq!(decode_of_1(&bytes), Err(Malformed));
        }
    }

    /// The same of version 1.
    #[test]
    fn the_layout_of_version_1_is_as_it_always_was() {
        let id = |last| EntityId::from([2, 0, 0, 0, 0, last]);
        let record = Record::State(KeptState {
            name: "PJSIP/1".to_owned(),
            entity_id: id(1),
            value: KeptValue::Device(DeviceState::Ringing),
            source: Source::Publication,
            peer: Some("hq".to_owned()),
            version: Version {
                by: id(2),
                seq: 300,
            },
            lost: true,
            gone: false,
            owner: false,
            rev: 128,
            updated_at: WallTime::from_millis(1),
            ttl: Some(Duration::from_millis(9)),
        });
        let mut bytes = Vec::new();
        encode(&record, &mut bytes);
        let expected = b"\x02\x06\x07PJSIP/1\x02\0\0\0\0\x01\x01\x01\x02hq\x02\0\0\0\0\x02\xac\x02\x01\0\x80\x01\x01\x0a";
        assert_eq!(bytes, expected);
        assert_eq!(decode_of_1(expected), Ok((record, &[][..])));
    }

    #[test]
    fn every_value_has_a_number_that_stands_for_it() {
        for state in DeviceState::ALL {
            assert!(STATES.contains(&state));
        }
        for source in Source::ALL {
            assert!(SOURCES.contains(&source));
        }
    }
}
