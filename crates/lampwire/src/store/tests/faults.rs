//! Whatever fails and whenever the power is cut: what is read again is what the node was at some moment, and none before the last one that
//! was said to be written.
use std::collections::BTreeMap;

use lampwire_core::store::{Record, RecordKey};

use super::disk::{Memory, Wrong};
use super::{device, gone, own};
use crate::store::journal::{FILE, Journal};
use crate::store::{Fault, Store};

/// What a node holds, which is what a store should.
type Truth = BTreeMap<RecordKey<String>, Record>;

/// A node that changes, and a keeper that brings it to the store as the program's does.
struct Model {
    memory: Memory,
    truth: Truth,
    /// What it was after each change since the last one that was said to be written, which is the first.
    history: Vec<Truth>,
    /// Changes that are not in any batch yet.
    pending: Vec<Record>,
    rev: u64,
    dice: Dice,
    faults: usize,
}

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Model {
    fn new(seed: u64) -> Self {
        Self {
            memory: Memory::default(),
            truth: Truth::new(),
            history: vec![Truth::new()],
            pending: Vec::new(),
            rev: 0,
            dice: Dice(seed),
            faults: 0,
        }
    }

    /// Some changes, which are one batch.
    fn change(&mut self) {
        for _ in 0..=self.dice.roll() % 3 {
            self.rev += 1;
            let name = format!("d{}", self.dice.roll() % 8);
            let record = match self.dice.roll() % 4 {
                0 => gone(&name, self.rev),
                _ => device(&name, self.rev),
            };
            self.truth.insert(record.key().into_owned(), record.clone());
            self.pending.push(record);
        }
        let mut state = self.truth.clone();
        state.retain(|_, record| !record.is_absence());
        self.history.push(state);
    }

    /// Everything up to now is on the disk.
    fn written(&mut self) {
        let last = self.history.pop().unwrap();
        self.history = vec![last];
    }

    /// Appends what is new; after a fault, and now and then, everything is written anew while changes go on.
    fn step(&mut self, store: &mut Journal<Memory>) -> Result<(), Fault> {
        self.change();
        if store.is_open() && !self.dice.roll().is_multiple_of(4) {
            store.append(&std::mem::take(&mut self.pending))?;
            self.written();
            return Ok(());
        }
        let anew = !store.is_open();
        store.begin_snapshot()?;
        match anew {
            // What was not written when it failed is in the pages.
            true => self.pending.clear(),
            false => {
                store.append(&std::mem::take(&mut self.pending))?;
                self.written();
            }
        }
        let keys: Vec<RecordKey<String>> = self.truth.keys().cloned().collect();
        for part in keys.chunks(3) {
            let page: Vec<Record> = part
                .iter()
                .map(|key| self.truth[key].clone())
                .filter(|record| !record.is_absence())
                .collect();
            store.page(&page)?;
            self.change();
            store.append(&std::mem::take(&mut self.pending))?;
            if store.is_open() {
                self.written();
            }
        }
        store.end_snapshot()?;
        self.written();
        Ok(())
    }

    fn run(&mut self, steps: usize) {
        let mut store = Journal::new(self.memory.clone(), own());
        let loaded = store.open().unwrap();
        if loaded.findings.fault.is_some() {
            // Without what was kept this is another node.
            return;
        }
        self.check(loaded.records);
        for _ in 0..steps {
            if self.step(&mut store).is_err() {
                self.faults += 1;
            }
        }
    }

    /// The power is cut, and a node goes on from what is there.
    fn cut(&mut self) {
        let dice = &mut self.dice;
        self.memory = self.memory.cut(|| dice.roll());
        let mut store = Journal::new(self.memory.clone(), own());
        let loaded = store.open().unwrap();
        self.check(loaded.records);
    }

    fn check(&mut self, records: Vec<Record>) {
        let mut read: Truth = records
            .into_iter()
            .map(|it| (it.key().into_owned(), it))
            .collect();
        read.remove(&RecordKey::Closed);
        assert!(
            self.history.contains(&read),
            "read: {read:#?}\nno moment of: {:#?}",
            self.history
        );
        self.truth = read.clone();
        self.history = vec![read];
        self.pending.clear();
    }
}

#[test]
fn after_any_power_cut_the_store_is_that_of_a_moment_and_none_before_the_last_that_was_said_to_be_written()
 {
    for seed in 0..400 {
        let mut model = Model::new(seed);
        for _ in 0..4 {
            let (steps, dies) = (model.dice.roll() % 8, model.dice.roll() % 60);
            model.memory.fail(
                usize::try_from(dies).unwrap(),
                usize::MAX / 2,
                Wrong::NoRoom,
            );
            model.run(usize::try_from(steps).unwrap());
            model.cut();
        }
    }
}

#[test]
fn whichever_call_fails_nothing_that_was_said_to_be_written_is_lost() {
    let calls = {
        let mut model = Model::new(1);
        model.run(12);
        model.memory.calls()
    };
    let mut faults = 0;
    for wrong in [Wrong::NoRoom, Wrong::Device] {
        for first in 0..calls {
            for count in [1, 3, 10_000] {
                let mut model = Model::new(1);
                model.memory.fail(first, count, wrong);
                model.run(12);
                faults += model.faults;
                model.cut();
                // It is as good as ever.
                model.run(3);
                model.cut();
            }
        }
    }
    assert!(faults > calls, "the faults were injected");
}

#[test]
fn a_disk_that_cannot_be_written_is_no_reason_not_to_read_it() {
    let memory = Memory::default();
    let mut store = Journal::new(memory.clone(), own());
    store.open().unwrap();
    store.begin_snapshot().unwrap();
    store.page(&[device("a", 1)]).unwrap();
    store.end_snapshot().unwrap();
    memory.fail(0, 1, Wrong::Device);
    let mut store = Journal::new(memory, own());
    let loaded = store.open().unwrap();
    assert_eq!(loaded.records, [device("a", 1)]);
    assert!(
        matches!(loaded.findings.fault, Some(Fault::Disk(text)) if text.contains("memory/states"))
    );
    assert!(!store.is_open());
}

/// A snapshot over a file that is there, with a batch in its middle.
fn write_anew(store: &mut Journal<Memory>) -> Result<(), Fault> {
    store.begin_snapshot()?;
    store.page(&[device("a", 2)])?;
    store.append(&[device("b", 3)])?;
    store.page(&[device("c", 1)])?;
    store.end_snapshot()
}

#[test]
fn a_snapshot_that_fails_takes_no_room() {
    let fresh = || {
        let memory = Memory::default();
        let mut store = Journal::new(memory.clone(), own());
        store.open().unwrap();
        write_anew(&mut store).unwrap();
        (memory, store)
    };
    let (memory, mut store) = fresh();
    let before = memory.calls();
    write_anew(&mut store).unwrap();
    let calls = memory.calls() - before;
    for wrong in [Wrong::NoRoom, Wrong::Device] {
        for first in 0..calls {
            let (memory, mut store) = fresh();
            memory.fail(first, 1, wrong);
            assert!(write_anew(&mut store).is_err(), "call {first} of {calls}");
            assert_eq!(memory.names(), [FILE], "call {first} of {calls}");
        }
    }
}
