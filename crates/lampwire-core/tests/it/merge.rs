//! What nodes put into a bucket makes the same table in whatever order it is read, and however often: the highest version of each value counts.

use lampwire_bus::{From, Key, Protocol, Record, Scope, State, Subject, Value};
use lampwire_core::{BusCommand, BusInput};
use lampwire_sip::{DeviceState, EntityId, Version};
use proptest::prelude::*;

use crate::bench::Bench;

const CONFIG: &str = "
[lampwire]
type=lampwire
entity_id=02:00:00:00:00:01
http_bind=
relay=yes
[udp]
type=transport
protocol=udp
bind=127.0.0.1:5060
[cluster]
type=cluster
url=nats://127.0.0.1
";

/// The highest number of a version in these tests, a little after the beginning of a bench's clock.
const NUMBERS: u64 = 1_767_225_600_000 << 10;

/// A record in another node's column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    column: u8,
    name: u8,
    mailbox: bool,
    of: u8,
    by: u8,
    seq: u64,
    lost: bool,
    gone: bool,
}

impl Told {
    fn strategy() -> impl Strategy<Value = Self> {
        let parts = (1..4u8, 0..2u8, any::<bool>(), 0..2u8, 1..4u8, 1..8u64);
        let flags = (prop::bool::weighted(0.2), prop::bool::weighted(0.2));
        (parts, flags).prop_map(
            |((column, name, mailbox, of, by, seq), (lost, gone))| Self {
                column,
                name,
                mailbox,
                of,
                by,
                seq,
                lost: lost && !mailbox && !gone,
                gone: gone && !mailbox,
            },
        )
    }

    fn name(&self) -> String {
        format!("name-{}", self.name)
    }

    /// The key and what stands under it. One version of a value is one value, whoever tells it.
    fn written(&self) -> (String, Vec<u8>) {
        let eid = id(0x20 + self.of);
        let node = id(0x10 + self.column);
        let name = self.name().into();
        let number = self.seq * 7 + u64::from(self.by) + u64::from(self.name);
        let small = u16::try_from(number % 5).unwrap();
        let (subject, value) = match self.mailbox {
            true => (
                Subject::Mailbox { eid, name },
                Value::Mailbox { new: small, old: 1 },
            ),
            false => {
                let states = [DeviceState::InUse, DeviceState::Ringing, DeviceState::Busy];
                let state = states[usize::from(small) % states.len()];
                (Subject::Device { eid, name }, Value::Device(state))
            }
        };
        let state = State {
            value: if self.gone { Value::Gone } else { value },
            version: Version {
                seq: NUMBERS + self.seq,
                by: id(0x10 + self.by),
            },
            lost: self.lost,
            from: From::Peer,
            at: 1_767_225_600_000 + self.seq,
            ttl: None,
            // It was reported in that version, or in the one before.
            messages: self.mailbox.then_some(NUMBERS + self.seq / 2 * 2),
            owner: false,
        };
        let mut bytes = Vec::new();
        Record::State(state).write(node, Protocol::NEWEST, &mut bytes);
        let scope = Scope::Wide;
        let key = Key {
            scope,
            node,
            subject,
        };
        (key.to_string(), bytes)
    }
}

fn id(last: u8) -> EntityId {
    [2, 0, 0, 0, 0, last].into()
}

/// A node that reads the whole of a bucket in which these stand; what it then knows.
fn read(told: &[Told]) -> Vec<String> {
    read_and_hear(told, told.len())
}

/// A node that reads the whole of a bucket in which so many of these stand, and hears of the rest as they are put.
fn read_and_hear(told: &[Told], standing: usize) -> Vec<String> {
    let mut bench = Bench::new(CONFIG);
    let now = bench.now;
    bench.node.handle_bus(now, BusInput::Up { server: "test" });
    let mut commands = std::iter::from_fn(|| bench.node.poll_bus());
    assert!(commands.any(|it| matches!(it, BusCommand::Read { .. })));
    let mut pending = standing as u64;
    let opened = BusInput::Opened {
        site: "main",
        incarnation: 1,
        whole: true,
        pending,
        last: pending,
    };
    bench.node.handle_bus(now, opened);
    for (at, told) in (1..).zip(told) {
        pending = pending.saturating_sub(1);
        let (key, value) = told.written();
        let record = BusInput::Record {
            site: "main",
            at,
            pending,
            key: &key,
            value: Some(&value),
        };
        bench.node.handle_bus(now, record);
    }
    let mut known = Vec::new();
    for name in ["name-0", "name-1"] {
        let mut device = bench.node.device(name);
        if let Some(device) = &mut device {
            device.entities.sort_by_key(|it| it.eid);
        }
        known.push(format!("{device:?}"));
        known.push(format!("{:?}", bench.node.mailbox(name)));
    }
    known
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_in_which_records_are_read_does_not_matter(
        (told, shuffled) in prop::collection::vec(Told::strategy(), 1..24)
            .prop_flat_map(|told| (Just(told.clone()), Just(told).prop_shuffle()))
    ) {
        prop_assert_eq!(read(&told), read(&shuffled));
    }

    #[test]
    fn how_often_a_record_is_read_does_not_matter(
        told in prop::collection::vec(Told::strategy(), 1..16),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..16),
    ) {
        let once = read(&told);
        let more = again.iter().map(|index| *index.get(&told));
        let twice: Vec<Told> = told.iter().copied().chain(more).collect();
        prop_assert!(told.iter().any(|it| it.gone) || once.iter().any(|it| it != "None"));
        prop_assert_eq!(once, read(&twice));
    }

    /// Nor does it whether they stood there before, or are put while the node is there: one that is gone may be heard of first.
    #[test]
    fn when_a_record_is_put_does_not_matter(
        told in prop::collection::vec(Told::strategy(), 1..16),
        standing in any::<prop::sample::Index>(),
    ) {
        let standing = standing.index(told.len());
        prop_assert_eq!(read(&told), read_and_hear(&told, standing));
    }

    #[test]
    fn records_that_others_have_merged_make_what_they_would_have_made_alone(
        told in prop::collection::vec(Told::strategy(), 1..16),
        cut in any::<prop::sample::Index>(),
    ) {
        // (a, b), c and a, (b, c): what is known after a part is what is known of it wherever the part began.
        let cut = cut.index(told.len());
        let (first, second) = told.split_at(cut);
        let other_way: Vec<Told> = second.iter().chain(first).copied().collect();
        prop_assert_eq!(read(&told), read(&other_way));
    }
}
