//! The store over a disk that fails, forgets and tears.
#![allow(clippy::unwrap_used)]

mod disk;
mod faults;
mod files;
mod keeper;

use std::net::SocketAddr;
use std::time::Duration;

use lampwire_core::store::{
    KeptLane, KeptPublication, KeptRewrite, KeptState, KeptTaking, KeptTerms, KeptValue, Record,
};
use lampwire_core::{Source, WallTime};
use lampwire_sip::{DeviceState, EntityId, EventPackage, Version};
use proptest::prelude::*;

/// The node whose store it is.
pub(super) fn own() -> EntityId {
    EntityId::from([2, 0, 0, 0, 0, 1])
}

/// The same, deleted.
pub(super) fn gone(name: &str, rev: u64) -> Record {
    let Record::State(state) = device(name, rev) else {
        unreachable!("a device is a state");
    };
    Record::State(KeptState {
        gone: true,
        ..state
    })
}

/// A small state that can be told from others.
pub(super) fn device(name: &str, rev: u64) -> Record {
    Record::State(KeptState {
        name: name.to_owned(),
        entity_id: own(),
        value: KeptValue::Device(DeviceState::InUse),
        source: Source::Local,
        peer: None,
        version: Version {
            by: own(),
            seq: rev,
        },
        lost: false,
        gone: false,
        owner: false,
        rev,
        updated_at: WallTime::from_millis(rev),
        ttl: None,
    })
}

fn any_entity_id() -> impl Strategy<Value = EntityId> {
    any::<[u8; 6]>().prop_map(EntityId::from)
}

/// A moment that can be written as RFC 3339.
fn any_wall() -> impl Strategy<Value = WallTime> {
    (0..253_402_300_799_000_u64).prop_map(WallTime::from_millis)
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9/@:.-]{1,30}", "\\PC{1,20}"]
}

fn any_state() -> impl Strategy<Value = KeptState> {
    let value = prop_oneof![
        prop::sample::select(&DeviceState::ALL[..]).prop_map(KeptValue::Device),
        any::<(u16, u16)>().prop_map(|(new, old)| KeptValue::Mailbox { new, old }),
    ];
    let version = (any_entity_id(), any::<u64>());
    let version = version.prop_map(|(by, seq)| Version { by, seq });
    let ttl = prop::option::of((0..u64::MAX).prop_map(Duration::from_millis));
    (
        (any_name(), any_entity_id(), value),
        prop::sample::select(&Source::ALL[..]),
        prop::option::of(any_name()),
        version,
        any::<(bool, bool, bool, u64)>(),
        any_wall(),
        ttl,
    )
        .prop_map(
            |(
                (name, entity_id, value),
                source,
                peer,
                version,
                (lost, gone, owner, rev),
                updated_at,
                ttl,
            )| {
                KeptState {
                    name,
                    entity_id,
                    value,
                    source,
                    peer,
                    version,
                    lost,
                    gone,
                    owner,
                    rev,
                    updated_at,
                    ttl,
                }
            },
        )
}

fn any_rewrites() -> impl Strategy<Value = Vec<KeptRewrite>> {
    let names = || prop::collection::vec(any_name(), 0..3);
    let state = || prop::sample::select(&DeviceState::ALL[..]);
    let states = prop::collection::vec((state(), state()), 0..3);
    let rewrite = (names(), names(), states).prop_map(|(devices, mailboxes, states)| KeptRewrite {
        devices,
        mailboxes,
        states,
    });
    prop::collection::vec(rewrite, 0..3)
}

fn any_terms() -> impl Strategy<Value = KeptTerms> {
    let peer = prop::option::of(any_entity_id());
    let filter = prop::option::of(any_name());
    let names = (any_name(), any_name());
    (names, any::<bool>(), filter, peer, any_rewrites()).prop_map(
        |((publish, server_uri), relay, filter, peer, rewrites)| KeptTerms {
            publish,
            server_uri,
            relay,
            filter,
            peer,
            rewrites,
        },
    )
}

fn any_taking() -> impl Strategy<Value = KeptTaking> {
    let filter = || prop::option::of(any_name());
    let filters = (filter(), filter());
    (any_name(), any::<(bool, bool)>(), filters, any_rewrites()).prop_map(
        |(peer, (devices, mailboxes), (device_filter, mailbox_filter), rewrites)| KeptTaking {
            peer,
            devices,
            mailboxes,
            device_filter,
            mailbox_filter,
            rewrites,
        },
    )
}

/// Any record that a node may give.
pub(super) fn any_record() -> impl Strategy<Value = Record> {
    let remote = prop_oneof![
        any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
        any::<([u8; 16], u16)>().prop_map(SocketAddr::from),
    ];
    let event = prop::sample::select(&[EventPackage::DeviceState, EventPackage::Mwi][..]);
    let publication = (
        any::<(u32, u32, u64)>(),
        (any_name(), any_name()),
        event,
        remote,
        (any_wall(), any_wall()),
    )
        .prop_map(
            |((id, generation, states), (endpoint, resource), event, remote, times)| {
                KeptPublication {
                    id,
                    generation,
                    endpoint,
                    resource,
                    event,
                    remote,
                    created_at: times.0,
                    expires_at: times.1,
                    states,
                }
            },
        );
    let lane = (
        (any_name(), any_name(), any_name()),
        prop::option::of(any_name()),
        any::<(u16, u32, u64)>(),
        any_wall(),
    )
        .prop_map(
            |((publish, server_uri, call_id), tag, (lane, cseq, confirmed), expires_at)| KeptLane {
                publish,
                server_uri,
                lane,
                tag,
                call_id,
                cseq,
                expires_at,
                confirmed,
            },
        );
    prop_oneof![
        1 => any::<u64>().prop_map(Record::Life),
        5 => any_state().prop_map(Record::State),
        1 => publication.prop_map(Record::Publication),
        1 => any::<u32>().prop_map(Record::PublicationGone),
        1 => lane.prop_map(Record::Lane),
        1 => (any_name(), any_entity_id()).prop_map(|(name, entity_id)| Record::Peer { name, entity_id }),
        1 => any::<bool>().prop_map(Record::Closed),
        1 => any_terms().prop_map(Record::Terms),
        1 => any_name().prop_map(Record::TermsGone),
        1 => any_taking().prop_map(Record::Taking),
    ]
}
