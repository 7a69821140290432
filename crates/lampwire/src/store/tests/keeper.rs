//! The keeper between a real node and a disk that fails.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lampwire_conf::{MapSource, load};
use lampwire_core::store::Record;
use lampwire_core::{Node, Setup};
use lampwire_sip::DeviceState;
use tokio::time::Instant;

use super::disk::Memory;
use super::own;
use crate::driver::Clock;
use crate::store::journal::Journal;
use crate::store::{Keeper, Opened, Store};

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
