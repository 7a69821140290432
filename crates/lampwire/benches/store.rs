//! What the store costs: `cargo bench -p lampwire --bench store`.
//!
//! A node takes 50,000 changes a second of 200,000 devices for a while, and keeps them in a real directory. Counted is what is written for each byte
//! that changed: a changed state counts with the bytes that it takes in a file that holds nothing else. Then a node starts with 1,000,000 states.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Node, body, directory};

mod common;

const NODE: &str = "127.0.98.1";
const EID: &str = "02:00:00:00:00:01";

/// Changes a second, how many come at once, and of how many devices.
const RATE: u64 = 50_000;
const AT_ONCE: u64 = 1_000;
const DEVICES: u64 = 200_000;
const LOAD_FOR: Duration = Duration::from_secs(30);

/// States that are there when a node starts.
const MANY: u64 = 1_000_000;

fn main() {
    if !std::env::args().any(|it| it == "--bench") {
        return; // `cargo test` builds it and measures nothing
    }
    let amplification = amplification();
    let ready = start_with_many();
    println!();
    for (name, held) in [
        (
            "at most 3 bytes written for each changed one",
            amplification <= 3.0,
        ),
        (
            "ready within 2 s with 1,000,000 states",
            ready <= Duration::from_secs(2),
        ),
    ] {
        println!("{} {name}", if held { "yes" } else { "NO " });
    }
}

fn amplification() -> f64 {
    let directory = directory("store");
    let kept = directory.join("kept");
    let own = format!("entity_id={EID}\nstate_dir={}", kept.display());
    let node = Node::start(&directory, NODE, &own, "");
    let bodies = |state: &str| -> Vec<String> {
        let firsts = (0..DEVICES / AT_ONCE).map(|it| it * AT_ONCE);
        let names = |first| (first..first + AT_ONCE).map(|it| format!("PJSIP/{it:06}"));
        firsts.map(|first| body(names(first), state)).collect()
    };
    let bodies = [bodies("INUSE"), bodies("NOT_INUSE")];
    // All of them are there; from now on they change.
    bodies[1].iter().for_each(|body| node.set(body));
    let written = || node.metric("lampwire_store_written_bytes_total");
    let to_disk = || node.of_process("io", "write_bytes:");
    common::wait_for(
        "all of them on the disk",
        Duration::from_millis(100),
        || {
            let before = written();
            std::thread::sleep(Duration::from_secs(1));
            before > 0 && before == written()
        },
    );
    let (before, before_to_disk) = (written(), to_disk());
    let batches = node.metric("lampwire_store_batches_total");
    let begin = Instant::now();
    let mut changes = 0;
    let mut turn = 0_usize;
    while begin.elapsed() < LOAD_FOR {
        let place = turn % bodies[0].len();
        node.set(&bodies[turn / bodies[0].len() % 2][place]);
        changes += AT_ONCE;
        turn += 1;
        let due = Duration::from_micros(changes * 1_000_000 / RATE);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
    }
    let took = begin.elapsed();
    let batches = node.metric("lampwire_store_batches_total") - batches;
    let (written, to_disk) = (written() - before, to_disk() - before_to_disk);
    node.end("TERM");
    let (size, records) = size_of_record(&directory, &kept);
    let changed = changes * size;
    let by = |bytes: u64| bytes as f64 / changed as f64;
    println!(
        "{:.0} changes a second for {:.0} s, {size} bytes each ({records} records), in {batches} batches",
        changes as f64 / took.as_secs_f64(),
        took.as_secs_f64()
    );
    println!(
        "written {:.1} MB for {:.1} MB that changed: {:.2} bytes for each; the kernel counts {:.1} MB: {:.2}",
        written as f64 / 1e6,
        changed as f64 / 1e6,
        by(written),
        to_disk as f64 / 1e6,
        by(to_disk)
    );
    by(written.max(to_disk))
}

/// How many bytes a record takes in a file that holds each once, and how many there are.
fn size_of_record(directory: &Path, kept: &Path) -> (u64, u64) {
    let export = directory.join("export");
    let output = lampwire(&[
        "state",
        "export",
        "--state-dir",
        &kept.display().to_string(),
    ]);
    let records = output.iter().filter(|byte| **byte == b'\n').count() as u64 - 1;
    fs::write(&export, output).expect("an export");
    let again = directory.join("again");
    import(&export, &again);
    let length = fs::metadata(again.join("states")).expect("a file").len();
    (length / records, records)
}

fn import(export: &Path, into: &Path) {
    let (export, into) = (export.display().to_string(), into.display().to_string());
    lampwire(&["state", "import", "--state-dir", &into, &export]);
}

/// What the program prints.
fn lampwire(arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lampwire"));
    command.args(arguments).stderr(Stdio::inherit());
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{arguments:?}");
    output.stdout
}

/// The time from start to ready.
fn start_with_many() -> Duration {
    let directory = directory("store-many");
    let export = directory.join("export");
    let mut out = BufWriter::new(fs::File::create(&export).expect("an export"));
    let mut line = |text: String| writeln!(out, "{text}").expect("it is written");
    line(format!("{{\"lampwire_states\":1,\"entity_id\":\"{EID}\"}}"));
    for number in 0..MANY {
        line(format!(
            "{{\"record\":\"device\",\"device\":\"PJSIP/{number:07}\",\"state\":\"INUSE\",\"eid\":\"{EID}\",\"source\":\"local\",\
             \"by\":\"{EID}\",\"seq\":{number},\"rev\":{},\"updated_at\":\"2026-01-01T00:00:00Z\"}}",
            number + 1
        ));
    }
    drop(out);
    let kept = directory.join("kept");
    import(&export, &kept);
    let bytes = fs::metadata(kept.join("states")).expect("a file").len();
    let own = format!("entity_id={EID}\nstate_dir={}", kept.display());
    let mut shortest = Duration::MAX;
    for _ in 0..3 {
        let begin = Instant::now();
        let node = Node::start(&directory, NODE, &own, "");
        shortest = shortest.min(begin.elapsed());
        let status = node.get("/api/v1/status").unwrap_or_default();
        assert!(status.contains(&format!("\"states\":{MANY}")), "{status}");
        println!(
            "ready {:.2} s after the start with {MANY} states in {:.1} MB; memory {:.0} MB",
            begin.elapsed().as_secs_f64(),
            bytes as f64 / 1e6,
            node.of_process("status", "VmRSS:") as f64 / 1e3
        );
        node.end("TERM");
    }
    shortest
}
