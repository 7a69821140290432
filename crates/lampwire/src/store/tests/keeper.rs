//! The keeper between a real node and a disk that fails.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lampwire_conf::{MapSource, load};
use lampwire_core::store::Record;
use lampwire_core::{Node, Setup};
use lampwire_sip::DeviceState;
use tokio::time::Instant;

use super::disk::{Memory, Wrong};
use super::own;
use crate::driver::Clock;
use crate::store::journal::{Journal, look};
use crate::store::{Condition, Keeper, Opened, Store, frame};

/// A node whose states are kept in memory that stands for a disk.
struct Kept {
    node: Node,
    keeper: Keeper,
    clock: Clock,
    memory: Memory,
}

impl Kept {
    /// Goes on from what the memory holds.
    fn start(memory: &Memory, window: Duration) -> Self {
        let clock = Clock::start();
        let text =
            "[lampwire]\ntype=lampwire\n[udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1\n";
        let (config, _) = load("node.conf", &mut MapSource::new([("node.conf", text)]));
        let setup = Setup {
            config: Arc::new(config),
            entity_id: own(),
            seed: [1; 32],
            secret: [1; 32],
        };
        let mut node = Node::new(clock.now(), setup);
        let mut store = Journal::new(memory.clone(), own());
        let mut loaded = store.open().unwrap();
        let records = std::mem::take(&mut loaded.records);
        if !records.is_empty() {
            node.restore(clock.now(), records);
        }
        let opened = Opened {
            store: Box::new(store),
            loaded,
            directory: "memory".to_owned(),
        };
        let keeper = Keeper::start(opened, window, clock.now()).unwrap();
        node.start(clock.now(), &[]);
        Self {
            node,
            keeper,
            clock,
            memory: memory.clone(),
        }
    }

    /// Does what the driver does, until there is nothing to do before another time.
    async fn run(&mut self) {
        loop {
            self.keeper.turn(&mut self.node, self.clock.now());
            if self.keeper.is_busy() {
                let report = self.keeper.report().await;
                self.keeper.take(&mut self.node, self.clock.now(), report);
            } else if self.keeper.deadline().is_none_or(|at| at > Instant::now()) {
                return;
            }
        }
    }

    fn set(&mut self, device: &str, state: DeviceState) {
        let now = self.clock.now();
        self.node.set_device(now, device, state, true).unwrap();
    }

    /// What a node would find that went on from here.
    fn on_disk(&self) -> BTreeMap<String, DeviceState> {
        let memory = self.memory.cut(|| 0);
        let loaded = Journal::new(memory, own()).open().unwrap();
        let states = loaded
            .records
            .into_iter()
            .filter_map(|record| match record {
                Record::State(state) => match state.value {
                    lampwire_core::store::KeptValue::Device(value) if !state.gone => {
                        Some((state.name, value))
                    }
                    _ => None,
                },
                _ => None,
            });
        states.collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_values_that_newer_ones_have_overtaken_is_not_the_last() {
    let mut kept = Kept::start(&Memory::default(), Duration::ZERO);
    kept.run().await;
    let states = [DeviceState::InUse, DeviceState::Busy];
    // More than one batch looks at.
    for number in 0..10_001 {
        kept.set("Custom:a", states[number % 2]);
    }
    kept.run().await;
    assert_eq!(
        kept.on_disk(),
        [("Custom:a".to_owned(), DeviceState::InUse)].into()
    );
}

impl Kept {
    /// Whether states survive a restart, in words; what is wrong, where they do not.
    fn condition(&self) -> Result<&'static str, String> {
        match self.keeper.status().condition() {
            Condition::MemoryOnly { why, .. } => Err(why),
            other => Ok(other.as_str()),
        }
    }

    /// What the node says itself.
    fn said(&self) -> BTreeMap<String, DeviceState> {
        let page = self.node.devices(None, 100_000, 100_000, &|_| true);
        let states = page.items.into_iter().map(|it| (it.device, it.state));
        states.collect()
    }

    /// Lets time pass, with all that is to be done on the way.
    async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.run().await;
            let next = self.keeper.deadline().unwrap_or(end).min(end);
            tokio::time::advance(next.saturating_duration_since(Instant::now())).await;
        }
        self.run().await;
    }
}

/// Wherever in its life a disk begins to fail, and however: the node goes on, says what is wrong, and writes everything once it can. What was
/// on the disk by then stays there meanwhile.
#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_is_told_and_written_anew_when_it_can_be() {
    let window = Duration::from_millis(100);
    let mut told = 0;
    for (wrong, words) in [
        (Wrong::NoRoom, "No space left on device"),
        (Wrong::Device, "Input/output error"),
    ] {
        for first in 0..30 {
            let mut kept = Kept::start(&Memory::default(), window);
            kept.set("Custom:before", DeviceState::InUse);
            kept.pass(window * 2).await;
            let before = kept.on_disk();
            assert_eq!(before, kept.said());
            kept.memory.fail(first, usize::MAX / 2, wrong);
            let mut changes = 0;
            while kept.condition() == Ok("ok") && changes < 40 {
                kept.set(&format!("Custom:{changes}"), DeviceState::Busy);
                changes += 1;
                kept.pass(window).await;
            }
            let why = kept.condition().unwrap_err();
            assert!(
                why.contains("memory/states") && why.contains(words),
                "{why}"
            );
            assert!(kept.keeper.status().figures().faults > 0);
            told += 1;
            // It goes on in memory, and nothing of what is on the disk is lost.
            kept.set("Custom:meanwhile", DeviceState::Ringing);
            kept.node
                .unset_device(kept.clock.now(), "Custom:before")
                .unwrap();
            kept.pass(Duration::from_secs(300)).await;
            let still = kept.condition().unwrap_err();
            assert!(still.contains(words), "{still}");
            let on_disk = kept.on_disk();
            assert!(on_disk.contains_key("Custom:before"), "{on_disk:?}");
            // There is room again: within a minute everything is there.
            kept.memory.fail(0, 0, wrong);
            kept.pass(Duration::from_secs(61)).await;
            assert_eq!(kept.condition(), Ok("ok"));
            assert_eq!(kept.on_disk(), kept.said());
            assert_eq!(kept.memory.names(), ["states"]);
            kept.set("Custom:after", DeviceState::OnHold);
            kept.pass(window * 2).await;
            assert_eq!(kept.on_disk(), kept.said());
        }
    }
    assert_eq!(told, 60);
}

/// What is appended does not grow for ever: everything is written anew while the node goes on.
#[tokio::test(start_paused = true)]
async fn the_file_is_compacted_and_its_size_bounded() {
    let mut kept = Kept::start(&Memory::default(), Duration::ZERO);
    let states = [DeviceState::InUse, DeviceState::Busy];
    let (mut largest, mut live) = (0, 0);
    for round in 0..450 {
        for number in 0..500 {
            kept.set(&format!("Custom:{number:03}"), states[round % 2]);
        }
        kept.run().await;
        let length = |name: &str| kept.memory.bytes(name).map_or(0, |it| it.len());
        largest = largest.max(length("states") + length("states.new"));
        live = live.max(kept.keeper.status().figures().size.live);
    }
    let figures = kept.keeper.status().figures();
    assert!(figures.snapshots >= 3, "{figures:?}");
    assert!(figures.size.written > 8_000_000, "{figures:?}");
    // The snapshot, what is appended until it is time for another, that one, and a batch.
    let bound = 4 * 1024 * 1024 + 3 * usize::try_from(live).unwrap();
    assert!(largest <= bound, "{largest} of {bound}");
    assert_eq!(kept.on_disk(), kept.said());
    let again = Kept::start(&kept.memory.cut(|| 0), Duration::ZERO);
    assert_eq!(again.said(), kept.said());
}

/// The way of an older version through the whole program's keeper: read, and written anew as the present one while the node is at work.
#[tokio::test(start_paused = true)]
async fn a_file_of_version_1_is_taken_over_by_a_node_at_work() {
    let memory = Memory::default();
    let mut kept = Kept::start(&memory, Duration::ZERO);
    for number in 0..10 {
        kept.set(&format!("Custom:{number}"), DeviceState::Busy);
    }
    kept.run().await;
    let (said, bytes) = (kept.said(), memory.bytes("states").unwrap());
    drop(kept);
    // As it was before it was said by which rules peers are told: those records are at the end of what a node gives first.
    let memory = Memory::default();
    memory.put("states", &as_version_1(&bytes));
    let mut kept = Kept::start(&memory, Duration::ZERO);
    assert_eq!(kept.said(), said);
    kept.set("Custom:new", DeviceState::InUse);
    kept.run().await;
    assert_eq!(kept.condition(), Ok("ok"));
    assert_eq!(
        memory.bytes("states").unwrap()[8..10],
        frame::VERSION.to_le_bytes()
    );
    assert_eq!(kept.on_disk(), kept.said());
    assert_eq!(kept.said().len(), 11);
    assert_eq!(memory.names(), ["states"]);
}

/// The same records in a file of version 1, without those that it does not know.
fn as_version_1(bytes: &[u8]) -> Vec<u8> {
    let (_, mut records, wrong) = look(Box::new(std::io::Cursor::new(bytes.to_vec()))).unwrap();
    assert_eq!(wrong, None);
    records.retain(|it| !matches!(it, Record::Terms(_) | Record::Taking(_)));
    let mut old = frame::header_of(1, own());
    for (kind, records) in [
        (frame::Kind::Page, &records[..]),
        (frame::Kind::Complete, &[]),
    ] {
        let mut frame = Vec::new();
        frame::write(&mut frame, kind, records).unwrap();
        old.extend(frame);
    }
    old
}
