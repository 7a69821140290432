//! A stock Asterisk tells its hub 2,000 devices anew over a line of 200 ms that loses a tenth: nothing is taken back on the way.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use lampwire_conf::{MapSource, Severity, load};
use lampwire_core::{Event, Time};
use lampwire_sim::asterisk::{Peer, Settings};
use lampwire_sim::fleet::{Fleet, Observer, Set, address_of, entity_id_of};
use lampwire_sim::member::Role;
use lampwire_sim::network::{Conditions, Packet};
use lampwire_sip::{DeviceState, EventPackage, Message, StateChange};

const DEVICES: usize = 2_000;
/// The members: the hub, the Asterisk, and a Lampwire that hears of it.
const HUB: usize = 0;
const ASTERISK: usize = 1;
const LEAF: usize = 2;

fn number(index: usize) -> u8 {
    u8::try_from(index + 1).unwrap()
}

fn lampwire(of: usize, relay: &str, peers: &[usize]) -> Role {
    let mut text = format!(
        "[lampwire]\ntype=lampwire\nhttp_bind=\nrelay={relay}\nhold_time=120\n[udp]\ntype=transport\nprotocol=udp\nbind={}\n",
        address_of(number(of))
    );
    for peer in peers {
        let (address, eid) = (address_of(number(*peer)).ip(), entity_id_of(number(*peer)));
        text.push_str(&format!(
            "[node{peer}]\ntype=endpoint\nidentify_by=ip\n@entity_id={eid}\n[node{peer}]\ntype=identify\nendpoint=node{peer}\nmatch={address}\n\
             [node{peer}-device]\ntype=outbound-publish\nserver_uri=sip:node{of}@{address}\nevent=asterisk-devicestate\n@resync=0\n@probe=5\n\
             [node{peer}]\ntype=inbound-publication\nendpoint=node{peer}\nevent_asterisk-devicestate=node{peer}\n\
             [node{peer}]\ntype=asterisk-publication\ndevicestate_publish=node{peer}-device\ndevice_state=yes\n"
        ));
    }
    let mut source = MapSource::new([("node.conf", text.as_str())]);
    let (config, findings) = load("node.conf", &mut source);
    let error = findings.iter().find(|it| it.severity == Severity::Error);
    assert!(error.is_none(), "{error:?}");
    Role::Lampwire(Arc::new(config))
}

fn asterisk() -> Role {
    let devices = vec![EventPackage::DeviceState];
    Role::Stock(Settings {
        address: address_of(number(ASTERISK)),
        entity_id: entity_id_of(number(ASTERISK)),
        peers: vec![Peer {
            takes: devices.clone(),
            keeps: Some(devices.clone()),
            publishes: devices,
            ..Peer::new("node0", address_of(number(HUB)), "node1")
        }],
        boot: Duration::from_secs(1),
        lost_races: 0,
    })
}

/// Counts what takes a device back, and the states that the Asterisk tells.
#[derive(Default)]
struct Watch {
    taken_back: u64,
    told: u64,
}

impl Observer for Watch {
    fn sent(&mut self, _: Time, from: usize, packet: &Packet) {
        let Ok(message) = Message::parse(&packet.bytes) else {
            return;
        };
        let change = StateChange::parse(EventPackage::DeviceState, message.body());
        if let Ok(StateChange::Device { state, .. }) = change {
            self.taken_back += u64::from(state == DeviceState::Invalid);
            self.told += u64::from(from == ASTERISK);
        }
    }

    fn happened(&mut self, _: Time, _: usize, _: &Event) {}
}

fn known_at(fleet: &Fleet, member: usize) -> usize {
    let node = fleet.members[member].node().unwrap();
    let eid = entity_id_of(number(ASTERISK));
    (0..DEVICES)
        .filter(|device| {
            let view = node.device(&format!("PJSIP/{device}"));
            view.is_some_and(|it| it.entities.iter().any(|it| it.eid == eid && !it.lost))
        })
        .count()
}

#[test]
fn a_long_dump_over_a_bad_line_takes_nothing_back() {
    for seed in 1..=3 {
        let roles = vec![
            lampwire(HUB, "yes", &[ASTERISK, LEAF]),
            asterisk(),
            lampwire(LEAF, "no", &[HUB]),
        ];
        let (mut fleet, mut watch) = (Fleet::new(seed, roles), Watch::default());
        for member in [HUB, ASTERISK, LEAF] {
            fleet.start(member);
        }
        for device in 0..DEVICES {
            fleet.set(
                ASTERISK,
                &Set::Device(&format!("PJSIP/{device}"), DeviceState::InUse),
            );
        }
        fleet.run_for(Duration::from_secs(120), &mut watch);
        assert_eq!(known_at(&fleet, LEAF), DEVICES, "seed {seed}: before");

        // It is away for a minute, and then asked for all it has: twice, over a line that loses one in ten each way.
        let [hub, other] = [HUB, ASTERISK].map(|it| address_of(number(it)));
        fleet.network.cut(hub, other);
        fleet.network.cut(other, hub);
        fleet.run_for(Duration::from_secs(60), &mut watch);
        fleet.network.heal();
        fleet.network.set_conditions(Conditions {
            loss: 10,
            duplication: 0,
            delay: Duration::from_millis(100),
            jitter: Duration::from_millis(20),
        });
        let told = watch.told;
        for _ in 0..60 {
            fleet.run_for(Duration::from_secs(60), &mut watch);
            assert_eq!(watch.taken_back, 0, "seed {seed}");
        }
        assert!(
            watch.told - told >= 2 * DEVICES as u64,
            "seed {seed}: only {} were told again",
            watch.told - told
        );
        assert_eq!(known_at(&fleet, HUB), DEVICES, "seed {seed}");
        assert_eq!(known_at(&fleet, LEAF), DEVICES, "seed {seed}");
        let counters = fleet.members[HUB].node().unwrap().counters();
        assert_eq!((counters.swept, counters.losses), (0, 0), "seed {seed}");
    }
}
