//! Nodes that keep their states, killed and started again.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::harness::{DEADLINE, Directory, Node, Request, address, run, sections, wait_for};
use super::pair::{ONE, TWO, relation};

/// How often the node is killed; more with LAMPWIRE_KILLS.
const KILLS: u32 = 10;

/// Mailboxes of the node that is killed, each set with a number that rises; and of its peer.
const OWN: u32 = 400;
const OTHER: u32 = 100;
/// Set at once, half of them mailboxes and half devices, so often: 5,000 changes a second.
const BATCH: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

const STATES: [&str; 4] = ["NOT_INUSE", "INUSE", "RINGING", "ONHOLD"];

/// A node that keeps what it has in this directory and exchanges everything with `other`.
fn start_kept(at: Ipv4Addr, other: Ipv4Addr, directory: &Path) -> Node {
    let more = format!("entity_id={ONE}\nstate_dir={}", directory.display());
    Node::start(
        at,
        &more,
        &brief(&relation("instance1", "instance2", other)),
    )
}

/// The same with few publications that run out soon: each life that is killed leaves its own at the peer, which holds 512 of one endpoint
/// and remembers each for a while after its end.
fn brief(relation: &str) -> String {
    relation.replace(
        "\nevent=asterisk",
        "\nexpiration=60\n@lanes=2\nevent=asterisk",
    )
}

fn start_other(at: Ipv4Addr, other: Ipv4Addr) -> Node {
    let more = format!("entity_id={TWO}");
    Node::start(at, &more, &relation("instance2", "instance1", other))
}

/// All that a node says of names that begin so: mailboxes with their number, devices with their state.
fn all(node: &Node, prefix: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (list, name, value) in [
        (
            "mailboxes",
            "mailbox",
            (|it| number_of(it).to_string()) as fn(&Value) -> String,
        ),
        ("devices", "device", |it| it["state"].to_string()),
    ] {
        let mut after = String::new();
        loop {
            let page = node.get(&format!("/api/v1/{list}?limit=1000{after}")).json;
            for it in page[list].as_array().unwrap() {
                let name = it[name].as_str().unwrap();
                if name.starts_with(prefix) {
                    found.insert(name.to_owned(), value(it));
                }
            }
            match page["next"].as_str() {
                Some(next) => after = format!("&after={}", next.replace('@', "%40")),
                None => break,
            }
        }
    }
    found
}

/// The number that a mailbox's counts are.
fn number_of(mailbox: &Value) -> u32 {
    let count = |name: &str| u32::try_from(mailbox[name].as_u64().unwrap()).unwrap();
    count("old") << 16 | count("new")
}

/// The sum of a counter over all that it is told of.
fn sum(node: &Node, counter: &str) -> u64 {
    let text = node.get("/metrics").text;
    let lines = text.lines().filter_map(|line| line.strip_prefix(counter));
    let counts = lines.filter_map(|rest| rest.rsplit(' ').next()?.parse::<u64>().ok());
    counts.sum()
}

/// Somebody who sets states, until he is told to stop or the node is gone.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Said>,
}

/// What was set and granted: number and moment, in their order, of each mailbox.
#[derive(Default)]
struct Said {
    granted: BTreeMap<String, Vec<(u32, Instant)>>,
    /// The highest number that may have been taken without a word.
    next: u32,
}

impl Load {
    fn begin(url: &str, letter: char, mailboxes: u32, first: u32) -> Self {
        let (stop, url) = (Arc::new(AtomicBool::new(false)), url.to_owned());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut said = Said {
                next: first,
                ..Said::default()
            };
            let mut due = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                said.next += 1;
                let (number, from) = (said.next, said.next * BATCH / 2);
                let names =
                    (from..from + BATCH / 2).map(|it| format!("{letter}{}", it % mailboxes));
                let names: Vec<String> = names.collect();
                let boxes = names.iter().map(|name| {
                    json!({"mailbox": format!("{name}@x"), "new": number & 0xffff, "old": number >> 16})
                });
                let state = STATES[number as usize % STATES.len()];
                let devices = names.iter().map(
                    |name| json!({"device": format!("{letter}Custom:{name}"), "state": state}),
                );
                let body = json!({"states": boxes.chain(devices).collect::<Vec<_>>()});
                let request = Request::get(&url, "/api/v1/states").method("PUT");
                let Some(answer) = request.body(&body.to_string()).try_send() else {
                    break;
                };
                assert_eq!(answer.status, 200, "{answer:?}");
                let now = Instant::now();
                for name in names {
                    let list = said.granted.entry(format!("{name}@x")).or_default();
                    list.push((number, now));
                }
                due += PAUSE;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            said
        });
        Self { stop, thread }
    }

    fn end(self) -> Said {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// When it is asked how many batches are on the disk, another may be on its way, without what was just granted. The next one holds that; and
/// one more is for a disk that was so slow that there was too much for one.
const ENOUGH: u64 = 3;

/// Looks how many batches are on the disk, until it is told to stop or the node is gone.
struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<(Instant, u64)>>>,
    thread: JoinHandle<()>,
}

impl Watch {
    fn begin(url: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen: Arc<Mutex<Vec<(Instant, u64)>>> = Arc::default();
        let (stopped, url, list) = (Arc::clone(&stop), url.to_owned(), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let Some(answer) = Request::get(&url, "/metrics").try_send() else {
                    break;
                };
                let name = "lampwire_store_batches_total ";
                let mut lines = answer.text.lines();
                let count = lines.find_map(|line| line.strip_prefix(name)?.parse().ok());
                list.lock().unwrap().push((asked, count.unwrap()));
            }
        });
        Self { stop, seen, thread }
    }

    /// Enough batches have come to the disk since this began.
    fn has_seen_enough(&self) -> bool {
        let seen = self.seen.lock().unwrap();
        let (first, last) = (seen.first(), seen.last());
        first
            .zip(last)
            .is_some_and(|(first, last)| last.1 >= first.1 + ENOUGH)
    }

    /// The last moment of which all that had been granted by then must be on the disk.
    fn surely_kept(self) -> Option<Instant> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        let seen = self.seen.lock().unwrap();
        let (_, last) = *seen.last()?;
        let mut newest_first = seen.iter().rev();
        let (at, _) = newest_first.find(|(_, count)| count + ENOUGH <= last)?;
        Some(*at)
    }
}

/// What an export says of mailboxes that begin so: their numbers.
fn exported(directory: &Path, prefix: &str) -> BTreeMap<String, u32> {
    let directory = directory.to_str().unwrap();
    let (code, out, error) = run(&["state", "export", "--state-dir", directory]);
    assert_eq!((code, error.as_str()), (0, ""), "the store is not whole");
    let records = out
        .lines()
        .map(|it| serde_json::from_str::<Value>(it).unwrap());
    let boxes = records.filter_map(|it| {
        let name = it["mailbox"].as_str()?.to_owned();
        name.starts_with(prefix).then(|| (name, number_of(&it)))
    });
    boxes.collect()
}

#[test]
fn a_node_that_is_killed_again_and_again_loses_no_more_than_the_window_and_leaves_no_lamp_wrong() {
    let kills = std::env::var("LAMPWIRE_KILLS").map_or(KILLS, |it| it.parse().unwrap());
    let (at_one, at_two) = (address(), address());
    let directory = Directory::new();
    let kept = directory.0.join("kept");
    let two = start_other(at_two, at_one);
    let mut one = start_kept(at_one, at_two, &kept);
    let mut dice = u64::from(std::process::id());
    let (mut next_one, mut next_two) = (0, 0);
    let (mut published, mut losses) = (Vec::new(), Vec::new());
    let (mut changes, mut time, mut proven) = (0, Duration::ZERO, 0);
    // Every name is kept once: a mailbox that only the peer remembers is not taken back by anybody.
    let load = Load::begin(&one.url, 'a', OWN, next_one);
    wait_for("every name on the disk", || {
        (exported(&kept, "a").len() == OWN as usize).then_some(())
    });
    next_one = load.end().next;
    let mut before = numbers(&one);
    wait_for("the disk to be as the node is", || {
        (exported(&kept, "a") == before).then_some(())
    });
    for kill in 0..kills {
        let loads = (
            Load::begin(&one.url, 'a', OWN, next_one),
            Load::begin(&two.url, 'b', OTHER, next_two),
        );
        let (begun, watch) = (Instant::now(), Watch::begin(&one.url));
        if kill % 2 == 0 {
            wait_for("some batches", || watch.has_seen_enough().then_some(()));
        }
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // A moment is all that is random here: nothing is waited for.
        std::thread::sleep(Duration::from_millis(20 + (dice >> 33) % 700));
        assert!(
            !one.process.log().contains(" ERROR "),
            "{}",
            one.process.log()
        );
        drop(one);
        let killed_at = Instant::now();
        let (said_one, said_two) = (loads.0.end(), loads.1.end());
        let surely_kept = watch.surely_kept();
        (next_one, next_two) = (said_one.next, said_two.next);
        time += killed_at - begun;
        changes += said_one.granted.values().map(Vec::len).sum::<usize>() * 2;
        proven += usize::from(surely_kept.is_some());

        // What is kept is some moment of each, and none that is older than what may be lost.
        let on_disk = exported(&kept, "a");
        let mut longest = Duration::ZERO;
        for (name, list) in &said_one.granted {
            let is = on_disk.get(name).copied().unwrap_or(0);
            let earlier = before.get(name).copied().unwrap_or(0);
            assert!(
                is == earlier || (is <= next_one && is >= list[0].0),
                "{kill}: {name} is {is}"
            );
            if let Some((number, at)) = list.iter().find(|(number, _)| *number > is) {
                longest = longest.max(killed_at.saturating_duration_since(*at));
                assert!(
                    surely_kept.is_none_or(|kept| *at > kept),
                    "{kill}: {name} is {is}, and {number} was granted {ENOUGH} batches before"
                );
            }
        }
        losses.push(longest);

        one = start_kept(at_one, at_two, &kept);
        wait_for("what was kept", || {
            let log = one.process.log();
            log.contains("states are as they were").then_some(())
        });
        let log = one.process.log();
        assert!(!log.contains(" ERROR "), "{kill}: {log}");
        let mut last = (BTreeMap::new(), BTreeMap::new());
        let agreed = || {
            let of_one = (all(&one, "a"), all(&one, "b"));
            let of_two = (all(&two, "a"), all(&two, "b"));
            let agree = of_one == of_two;
            last = (
                differing(&of_one.0, &of_two.0),
                differing(&of_one.1, &of_two.1),
            );
            agree
        };
        if !eventually(agreed) {
            panic!("{kill}: both do not agree: here and there {last:#?}");
        }
        before = numbers(&one);
        for (name, number) in &on_disk {
            assert_eq!(
                before.get(name),
                Some(number),
                "{kill}: what was kept is what is said"
            );
        }
        published.push(sum(&one, "lampwire_publisher_requests_total"));
    }
    let longest = losses.iter().max().unwrap();
    println!(
        "{kills} kills under {:.0} changes a second; longest loss {} ms; in {proven} of them it was seen which changes must be on the disk; \
         PUBLISHes after each start: {published:?}",
        changes as f64 / time.as_secs_f64(),
        longest.as_millis()
    );
    assert!(proven * 2 >= kills as usize, "{proven}");
    assert!(!kept.join("states.set-aside-1").exists());
}

fn eventually(mut so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + DEADLINE;
    while Instant::now() < end {
        if so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Names of which two do not say the same, a few of them.
fn differing(
    one: &BTreeMap<String, String>,
    two: &BTreeMap<String, String>,
) -> BTreeMap<String, (Option<String>, Option<String>)> {
    let names = one.keys().chain(two.keys());
    let pairs = names.map(|name| {
        (
            name.clone(),
            (one.get(name).cloned(), two.get(name).cloned()),
        )
    });
    pairs.filter(|(_, (one, two))| one != two).take(5).collect()
}

fn numbers(node: &Node) -> BTreeMap<String, u32> {
    let said = all(node, "a").into_iter();
    let boxes = said.filter_map(|(name, value)| Some((name, value.parse().ok()?)));
    boxes.collect()
}

#[test]
fn after_an_end_in_order_nothing_is_said_again_and_every_tag_is_known() {
    let (at_one, at_two) = (address(), address());
    let directory = Directory::new();
    let two = start_other(at_two, at_one);
    let mut one = start_kept(at_one, at_two, &directory.0);
    let set = r#"{"state":"INUSE"}"#;
    for number in 0..50 {
        one.put(&format!("/api/v1/devices/Custom%3Aa{number}"), set);
        two.put(&format!("/api/v1/devices/Custom%3Ab{number}"), set);
    }
    // Each has asked for both, so that nothing is said for that reason later.
    let asked = |node: &Node| sum(node, "lampwire_refreshes_received_total") >= 2;
    let agreed = || {
        let quiet = settled(&one) && settled(&two) && asked(&one) && asked(&two);
        (all(&one, "") == all(&two, "") && quiet).then_some(())
    };
    wait_for("two nodes that agree", agreed);
    let (refused, took) = (refusals(&two), sum(&two, "lampwire_states_received_total"));
    one.process.signal("TERM");
    assert_eq!(one.process.ended(), Some(0));
    let one = start_kept(at_one, at_two, &directory.0);
    assert_eq!(all(&one, ""), all(&two, ""));
    // What is new crosses both ways, under the tags of before.
    one.put("/api/v1/devices/Custom%3Aa0", r#"{"state":"RINGING"}"#);
    two.put("/api/v1/devices/Custom%3Ab0", r#"{"state":"RINGING"}"#);
    wait_for("what is new", || {
        let new = |node: &Node| {
            all(node, "")
                .values()
                .filter(|it| it.contains("RINGING"))
                .count()
        };
        (new(&one) == 2 && new(&two) == 2 && settled(&one) && settled(&two)).then_some(())
    });
    assert_eq!(sum(&two, "lampwire_states_received_total"), took + 1);
    assert_eq!(sum(&one, "lampwire_states_received_total"), 1);
    assert_eq!((refusals(&one), refusals(&two)), (0, refused));
}

/// Nobody has anything left to be told by this node.
fn settled(node: &Node) -> bool {
    sum(node, "lampwire_publisher_behind_states") == 0
        && sum(node, "lampwire_publisher_in_flight_requests") == 0
}

/// PUBLISHes that were answered 412.
fn refusals(node: &Node) -> u64 {
    let text = node.get("/metrics").text;
    let lines = text
        .lines()
        .filter(|it| it.starts_with("lampwire_sip_requests_total"));
    let of_tags = lines.filter(|it| it.contains("status=\"412\""));
    let counts = of_tags.filter_map(|it| it.rsplit(' ').next()?.parse::<u64>().ok());
    counts.sum()
}

#[test]
fn a_second_process_does_not_start_on_the_same_directory() {
    let (at, other) = (address(), address());
    let directory = Directory::new();
    let one = start_kept(at, other, &directory.0);
    let more = format!("state_dir={}", directory.0.display());
    let path = directory.write("second.conf", &sections(other, &more));
    let (code, _, error) = run(&["run", "-c", &path]);
    assert_eq!(code, 1, "{error}");
    let holder = format!("is used by process {}", one.process.child.id());
    assert!(
        error.contains(&holder) && error.contains("give each its own state_dir="),
        "{error}"
    );
    let state_dir = directory.0.to_str().unwrap();
    let import = directory.write(
        "import",
        &format!("{{\"lampwire_states\":1,\"entity_id\":\"{ONE}\"}}\n"),
    );
    let (code, _, error) = run(&["state", "import", "--state-dir", state_dir, &import]);
    assert!(
        code == 1 && error.contains("stop the node first"),
        "{error}"
    );
}

#[test]
fn a_directory_that_cannot_be_written_is_no_reason_not_to_run_and_the_id_stays() {
    let at = address();
    let directory = Directory::new();
    // A file where the directory should be: nobody, not even root, can write in it.
    let blocked = directory.write("blocked", "");
    let more = format!("state_dir={blocked}/kept");
    let id = |node: &Node| node.get("/api/v1/status").json["entity_id"].clone();
    let node = Node::start(at, &more, "");
    let first = id(&node);
    drop(node);
    let node = Node::start(at, &more, "");
    assert_eq!(id(&node), first);
    let log = node.process.log();
    assert!(
        log.contains(&blocked) && log.contains("in memory only"),
        "{log}"
    );
    assert_eq!(node.get("/readyz").json["store"], "memory-only");
    let status = node.get("/api/v1/status").json;
    assert!(
        status["store"]["problem"]
            .as_str()
            .unwrap()
            .contains(&blocked),
        "{status}"
    );
    assert!(
        status["notes"][0]
            .as_str()
            .unwrap()
            .contains("in memory only"),
        "{status}"
    );
    let condition = |word: &str| {
        sum(
            &node,
            &format!("lampwire_store_condition{{condition=\"{word}\"}}"),
        )
    };
    assert_eq!((condition("memory-only"), condition("ok")), (1, 0));
    let (_, out, _) = node.command(&["status"]);
    assert!(out.contains("store         memory-only"), "{out}");
    node.put("/api/v1/devices/Custom%3Aa", r#"{"state":"INUSE"}"#);

    // Once it can be written, everything is.
    std::fs::remove_file(&blocked).unwrap();
    wait_for("a store that is written again", || {
        (node.get("/readyz").json["store"] == "ok").then_some(())
    });
    assert!(node.process.log().contains("is written again"));
    let (_, out, _) = run(&["state", "export", "--state-dir", &format!("{blocked}/kept")]);
    assert!(out.contains("Custom:a"), "{out}");
}

/// A node at work whose disk fails, and fills up, and is well again.
#[test]
fn a_disk_that_fails_under_a_node_at_work_is_told_everywhere_and_what_came_meanwhile_is_kept() {
    let at = address();
    let directory = Directory::new();
    let kept = directory.0.join("kept");
    let more = format!("state_dir={}", kept.display());
    let node = Node::start(at, &more, "");
    let set = |device: &str| {
        let path = format!("/api/v1/devices/Custom%3A{device}");
        assert_eq!(node.put(&path, r#"{"state":"INUSE"}"#).status, 201);
    };
    let on_disk = |device: &str| {
        let (_, out, _) = run(&["state", "export", "--state-dir", kept.to_str().unwrap()]);
        out.contains(&format!("\"Custom:{device}\""))
    };
    let store = |word: &str| {
        wait_for(word, || {
            (node.get("/readyz").json["store"] == word).then_some(())
        });
    };
    let problem = || node.get("/api/v1/status").json["store"]["problem"].to_string();
    set("before");
    wait_for("a state on the disk", || on_disk("before").then_some(()));

    // The file goes, and nothing can be put in its place.
    let next = kept.join("states.new");
    std::fs::create_dir(&next).unwrap();
    std::fs::write(next.join("in the way"), "").unwrap();
    std::fs::remove_file(kept.join("states")).unwrap();
    set("lost");
    store("memory-only");
    let (_, out, _) = node.command(&["status"]);
    assert!(out.contains("store         memory-only"), "{out}");
    // The page shows what stands in the status.
    let status = node.get("/api/v1/status").json;
    let note = status["notes"][0].as_str().unwrap();
    assert!(note.contains("in memory only"), "{status}");
    let text = node.get("/metrics").text;
    let memory_only = "lampwire_store_condition{condition=\"memory-only\"} 1";
    assert!(text.contains(memory_only), "{text}");
    assert!(sum(&node, "lampwire_store_faults_total") > 0);
    set("meanwhile");

    // Now there is a way, and no room: /dev/full takes nothing.
    std::fs::remove_dir_all(&next).unwrap();
    std::os::unix::fs::symlink("/dev/full", &next).unwrap();
    wait_for("the reason", || {
        problem().contains("No space left on device").then_some(())
    });
    assert_eq!(node.get("/readyz").json["store"], "memory-only");

    // What was in the way was removed by the attempt, and the next one is good.
    store("ok");
    assert!(node.process.log().contains("is written again"));
    set("after");
    wait_for("what came last", || on_disk("after").then_some(()));
    for device in ["before", "lost", "meanwhile"] {
        assert!(on_disk(device), "{device}");
    }
    assert_eq!(problem(), "null");
}

#[test]
fn a_damaged_file_is_told_and_set_aside_and_peers_give_back_what_was_theirs() {
    let (at_one, at_two) = (address(), address());
    let directory = Directory::new();
    let two = start_other(at_two, at_one);
    let one = start_kept(at_one, at_two, &directory.0);
    let set = r#"{"state":"INUSE"}"#;
    one.put("/api/v1/devices/Custom%3Aa", set);
    two.put("/api/v1/devices/Custom%3Ab", set);
    wait_for("both", || {
        (all(&one, "").len() == 2 && all(&two, "").len() == 2).then_some(())
    });
    drop(one);
    directory.write("states", "whatever this is");
    let one = start_kept(at_one, at_two, &directory.0);
    let log = one.process.log();
    assert!(
        log.contains("ERROR") && log.contains("has not the form of a store"),
        "{log}"
    );
    wait_for("what is the peer's", || {
        all(&one, "").contains_key("Custom:b").then_some(())
    });
    wait_for("a file that was set aside", || {
        let text = std::fs::read_to_string(directory.0.join("states.set-aside-1"));
        (text.ok()? == "whatever this is").then_some(())
    });
    assert_eq!(one.get("/readyz").json["store"], "ok");
}

#[test]
fn what_a_node_kept_moves_to_another_directory() {
    let (at, other) = (address(), address());
    let directory = Directory::new();
    let path = |name: &str| directory.0.join(name).to_str().unwrap().to_owned();
    let (first, second) = (path("first"), path("second"));
    let mut one = Node::start(at, &format!("state_dir={first}"), "");
    one.put("/api/v1/devices/Custom%3Aa", r#"{"state":"ONHOLD"}"#);
    one.put("/api/v1/mailboxes/100", r#"{"new":3,"old":4}"#);
    let id = one.get("/api/v1/status").json["entity_id"].clone();
    let before = all(&one, "");
    one.process.signal("TERM");
    assert_eq!(one.process.ended(), Some(0));
    let (code, text, error) = run(&["state", "export", "--state-dir", &first]);
    assert_eq!((code, error.as_str()), (0, ""));
    let file = directory.write("export", &text);
    let (code, out, error) = run(&["state", "import", "--state-dir", &second, &file]);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    let moved = Node::start(other, &format!("state_dir={second}"), "");
    assert_eq!(moved.get("/api/v1/status").json["entity_id"], id);
    assert_eq!(all(&moved, ""), before);
    // What belongs to one node is not given to another.
    let foreign = text.replacen(id.as_str().unwrap(), "02:00:00:00:00:77", 1);
    let file = directory.write("foreign", &foreign);
    let (code, _, error) = run(&["state", "import", "--state-dir", &first, &file]);
    assert!(code == 1 && error.contains("remove the file"), "{error}");
    let (code, _, error) = run(&["state", "export", "--state-dir", &path("nowhere")]);
    assert!(code == 1 && error.contains("is not there"), "{error}");
}
