//! Files that are whole, cut off, damaged, of others.
use super::disk::{Memory, Wrong};
use super::{device, gone, own};
use crate::store::frame;
use crate::store::journal::{FILE, Journal};
use crate::store::{Loaded, Store};

use lampwire_core::store::Record;
use lampwire_sip::EntityId;

fn open(memory: &Memory) -> (Journal<Memory>, Loaded) {
    let mut store = Journal::new(memory.clone(), own());
    let loaded = store.open().unwrap();
    (store, loaded)
}

/// A snapshot of `a` and `b`, then batches that change `a` and add `c` and `d`.
fn written() -> Memory {
    let memory = Memory::default();
    let (mut store, loaded) = open(&memory);
    assert!(loaded.records.is_empty() && loaded.findings.damage.is_none());
    assert!(!store.is_open());
    store.begin_snapshot().unwrap();
    store.page(&[device("a", 1)]).unwrap();
    store.page(&[device("b", 2)]).unwrap();
    store.end_snapshot().unwrap();
    assert!(store.is_open());
    store.append(&[device("a", 3), device("c", 4)]).unwrap();
    store
        .append(&[device("d", 5), Record::Closed(true)])
        .unwrap();
    memory
}

fn names(loaded: &Loaded) -> Vec<(String, u64)> {
    let states = loaded.records.iter().filter_map(|record| match record {
        Record::State(state) if !state.gone => Some((state.name.clone(), state.rev)),
        _ => None,
    });
    let mut states: Vec<_> = states.collect();
    states.sort_unstable();
    states
}

fn expected(list: &[(&str, u64)]) -> Vec<(String, u64)> {
    list.iter()
        .map(|(name, rev)| ((*name).to_owned(), *rev))
        .collect()
}

const ALL: [(&str, u64); 4] = [("a", 3), ("b", 2), ("c", 4), ("d", 5)];

#[test]
fn what_was_written_last_of_each_key_is_read() {
    let memory = written();
    let (mut store, loaded) = open(&memory);
    assert_eq!(names(&loaded), expected(&ALL));
    assert!(loaded.records.contains(&Record::Closed(true)));
    assert!(!loaded.findings.cut);
    store.append(&[gone("b", 6)]).unwrap();
    let (_, loaded) = open(&memory);
    assert_eq!(names(&loaded), expected(&[("a", 3), ("c", 4), ("d", 5)]));
    // The life that wrote in between did not end in order.
    assert!(loaded.records.contains(&Record::Closed(false)));
}

#[test]
fn a_file_that_is_torn_anywhere_is_read_up_to_there_and_written_on() {
    let whole = written().bytes(FILE).unwrap();
    let ends: Vec<usize> = {
        // Lengths of the file after each frame.
        let mut ends = vec![frame::HEADER];
        while let Some(head) = whole
            .get(*ends.last().unwrap()..)
            .filter(|it| !it.is_empty())
        {
            let length = u32::from_le_bytes(head[..4].try_into().unwrap());
            ends.push(ends.last().unwrap() + 12 + length as usize);
        }
        ends
    };
    let after = [
        &[][..],
        &[("a", 1)],
        &[("a", 1), ("b", 2)],
        &[("a", 1), ("b", 2)],
        &[("a", 3), ("b", 2), ("c", 4)],
        &ALL,
    ];
    for zeros in [false, true] {
        for cut in 0..whole.len() {
            let memory = Memory::default();
            let mut bytes = whole[..cut].to_vec();
            if zeros {
                bytes.resize(whole.len(), 0);
            }
            memory.put(FILE, &bytes);
            let (store, loaded) = open(&memory);
            // A torn frame whose missing bytes are zeros anyway is whole.
            let is_whole = |end: &&usize| bytes.get(..**end) == whole.get(..**end);
            let frames = ends.iter().filter(is_whole).count().saturating_sub(1);
            let of_header =
                bytes.len() >= frame::HEADER && bytes[..frame::HEADER] == whole[..frame::HEADER];
            assert_eq!(names(&loaded), expected(after[frames]), "cut at {cut}");
            // Complete from its third frame on: then it is good to be written on.
            assert_eq!(store.is_open(), of_header && frames >= 3, "cut at {cut}");
            assert_eq!(
                loaded.findings.damage.is_some(),
                !(of_header && frames >= 3),
                "cut at {cut}: {:?}",
                loaded.findings
            );
            if frames >= 3 && bytes != whole {
                assert_eq!(loaded.findings.cut, zeros || !ends.contains(&cut));
                drop(store);
                let (_, again) = open(&memory);
                assert_eq!(names(&again), names(&loaded));
                assert!(!again.findings.cut);
            }
        }
    }
}

#[test]
fn a_damaged_byte_costs_its_frame_at_most_and_the_file_is_set_aside() {
    let whole = written().bytes(FILE).unwrap();
    for at in 0..whole.len() {
        for flip in [1, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            let memory = Memory::default();
            memory.put(FILE, &bytes);
            let (mut store, loaded) = open(&memory);
            let names = names(&loaded);
            assert!(
                names.iter().all(|it| expected(&[
                    ("a", 1),
                    ("a", 3),
                    ("b", 2),
                    ("c", 4),
                    ("d", 5)
                ])
                .contains(it)),
                "at {at}: {names:?}"
            );
            match &loaded.findings.damage {
                // The last frame may never have reached the disk.
                None => assert!(loaded.findings.cut && names.len() >= 3, "at {at}"),
                Some(damage) => {
                    assert!(damage.starts_with("memory/states: "), "{damage}");
                    assert!(!store.is_open(), "written anew, not on");
                    write_anew(&mut store);
                    assert_eq!(memory.bytes("states.set-aside-1").unwrap(), bytes);
                    let closed = |it: &&Record| matches!(it, Record::Closed(true));
                    assert_eq!(
                        loaded.records.iter().find(closed),
                        None,
                        "something is missing"
                    );
                }
            }
        }
    }
}

/// What a node does that finds no file to write on.
fn write_anew(store: &mut Journal<Memory>) {
    store.begin_snapshot().unwrap();
    store.page(&[device("z", 9)]).unwrap();
    store.end_snapshot().unwrap();
}

#[test]
fn a_damaged_file_is_there_until_there_is_another_and_few_of_them_are_kept() {
    let memory = written();
    let mut damaged = memory.bytes(FILE).unwrap();
    damaged[frame::HEADER + 15] ^= 1;
    for _ in 0..9 {
        memory.put(FILE, &damaged);
        open(&memory);
        let (mut store, loaded) = open(&memory);
        assert_eq!(names(&loaded).len(), 4);
        write_anew(&mut store);
        let (_, loaded) = open(&memory);
        assert_eq!(names(&loaded), expected(&[("z", 9)]));
        assert!(loaded.findings.damage.is_none());
    }
    assert_eq!(memory.names().len(), 6, "{:?}", memory.names());
    assert_eq!(memory.bytes("states.set-aside-5").unwrap(), damaged);
}

#[test]
fn a_file_that_could_not_be_opened_is_not_lost() {
    let memory = written();
    let bytes = memory.bytes(FILE).unwrap();
    memory.fail(1, 1, Wrong::Device);
    let (mut store, loaded) = open(&memory);
    assert!(loaded.records.is_empty() && loaded.findings.fault.is_some());
    write_anew(&mut store);
    assert_eq!(memory.bytes("states.set-aside-1").unwrap(), bytes);
}

#[test]
fn a_file_of_another_node_or_of_a_newer_program_is_set_aside() {
    let other = EntityId::from([2, 0, 0, 0, 0, 2]);
    for (header, said) in [
        (frame::header(other), "entity id is 02:00:00:00:00:02"),
        (frame::header_of(7, own()), "version 7"),
        (b"something else".to_vec(), "not the form"),
        (Vec::new(), "not the form"),
    ] {
        let memory = Memory::default();
        let mut bytes = header;
        bytes.extend(&written().bytes(FILE).unwrap()[frame::HEADER..]);
        memory.put(FILE, &bytes);
        let (mut store, loaded) = open(&memory);
        assert!(loaded.records.is_empty() && !store.is_open());
        let damage = loaded.findings.damage.unwrap();
        assert!(damage.contains(said), "{damage}");
        write_anew(&mut store);
        assert_eq!(memory.bytes("states.set-aside-1").unwrap(), bytes);
    }
}

/// A file as version 1 wrote it: the same frames under another number.
fn of_version_1() -> Vec<u8> {
    let mut bytes = frame::header_of(1, own());
    bytes.extend(&written().bytes(FILE).unwrap()[frame::HEADER..]);
    bytes
}

#[test]
fn a_file_of_version_1_is_read_whole_and_there_until_it_is_written_anew_as_the_present_one() {
    let memory = Memory::default();
    let bytes = of_version_1();
    memory.put(FILE, &bytes);
    let (mut store, loaded) = open(&memory);
    assert_eq!(names(&loaded), expected(&ALL));
    assert!(loaded.findings.damage.is_none() && loaded.findings.fault.is_none());
    assert!(!store.is_open(), "written anew, not on");
    store.begin_snapshot().unwrap();
    store.page(&loaded.records).unwrap();
    assert_eq!(
        memory.bytes(FILE).unwrap(),
        bytes,
        "killed here, it is as it was"
    );
    store.end_snapshot().unwrap();
    store.append(&[gone("b", 6)]).unwrap();
    assert_eq!(memory.names(), [FILE], "nothing is set aside");
    assert_eq!(
        memory.bytes(FILE).unwrap()[8..10],
        frame::VERSION.to_le_bytes()
    );
    let (store, loaded) = open(&memory);
    assert_eq!(names(&loaded), expected(&[("a", 3), ("c", 4), ("d", 5)]));
    assert!(store.is_open());
}

#[test]
fn while_a_snapshot_is_written_changes_are_kept_in_both_files() {
    let memory = written();
    let (mut store, _) = open(&memory);
    store.begin_snapshot().unwrap();
    store.page(&[device("a", 3), device("b", 2)]).unwrap();
    store.append(&[device("a", 6)]).unwrap();
    let (_, killed) = open(&memory);
    assert_eq!(
        names(&killed),
        expected(&[("a", 6), ("b", 2), ("c", 4), ("d", 5)])
    );
    store.page(&[device("c", 4)]).unwrap();
    store.append(&[device("d", 7)]).unwrap();
    store.end_snapshot().unwrap();
    let (_, loaded) = open(&memory);
    assert_eq!(
        names(&loaded),
        expected(&[("a", 6), ("b", 2), ("c", 4), ("d", 7)])
    );
    assert_eq!(memory.names(), [FILE]);
}
