//! What a restart of a hub costs on the wire: `cargo bench -p lampwire --bench restart`.
//!
//! Ten nodes of 1,000 devices each on one hub. The hub is ended, in order or by a kill, and started again, with what it kept and without. Counted are
//! all requests between it and its peers, copies included, in the ten seconds from its start.

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Node, body, directory, wait_for};

mod common;

const PEERS: u8 = 10;
const DEVICES: usize = 1_000;
const COUNTED: Duration = Duration::from_secs(10);
const HUB: &str = "127.0.98.1";

fn main() {
    if !std::env::args().any(|it| it == "--bench") {
        return; // `cargo test` builds it and measures nothing
    }
    let directory = directory("restart");
    println!(
        "{:<34}{:>12}{:>12}{:>8}{:>14}",
        "", "hub sends", "peers send", "412", "all agree in"
    );
    let mut sent = Vec::new();
    for (name, keeps, signal) in [
        ("with a store, ended in order", true, "TERM"),
        ("with a store, killed", true, "KILL"),
        ("without, ended in order", false, "TERM"),
        ("without, killed", false, "KILL"),
    ] {
        let counts = restart(&directory, keeps, signal);
        println!(
            "{name:<34}{:>12}{:>12}{:>8}{:>12.1} s",
            counts.hub,
            counts.peers,
            counts.refused,
            counts.agreed.as_secs_f64()
        );
        sent.push(counts.hub + counts.peers);
    }
    println!();
    println!(
        "{} a store saves nine requests in ten at a restart in order",
        if sent[0] * 10 <= sent[2] {
            "yes"
        } else {
            "NO "
        }
    );
}

/// What went over the wire.
struct Counts {
    hub: u64,
    peers: u64,
    /// Answered 412, on either side.
    refused: u64,
    /// From the start to when everybody had everything again.
    agreed: Duration,
}

fn restart(directory: &Path, keeps: bool, signal: &str) -> Counts {
    let kept = directory.join(format!("{keeps}-{signal}"));
    let place = if keeps {
        kept.display().to_string()
    } else {
        String::new()
    };
    let start_hub = || {
        let own = format!("entity_id=02:00:00:00:00:fe\nrelay=yes\nstate_dir={place}");
        let relations: String = (0..PEERS)
            .map(|it| relation("hub", &peer(it), &at(it)))
            .collect();
        Node::start(directory, HUB, &own, &relations)
    };
    let hub = start_hub();
    let peers: Vec<Node> = (0..PEERS)
        .map(|number| {
            let own = format!("entity_id=02:00:00:00:00:{number:02x}\nstate_dir=");
            let relation = relation(&peer(number), "hub", HUB);
            Node::start(directory, &at(number), &own, &relation)
        })
        .collect();
    for (number, node) in peers.iter().enumerate() {
        let names = (0..DEVICES).map(|it| format!("PJSIP/{number}-{it:04}"));
        node.set(&body(names, "INUSE"));
    }
    let pause = Duration::from_millis(100);
    let has_all = |node: &Node| {
        let behind = node.metric("lampwire_publisher_behind_states");
        let all = DEVICES * usize::from(PEERS);
        let status = node.get("/api/v1/status").unwrap_or_default();
        behind == 0 && status.contains(&format!("\"states\":{all},"))
    };
    wait_for("peers that have everything", pause, || {
        has_all(&hub) && peers.iter().all(has_all)
    });
    // More than a window and a proof of the tags: everything is calm, and kept.
    std::thread::sleep(Duration::from_secs(3));
    hub.end(signal);
    let before = (requests(&peers), refused(&peers));
    let begin = Instant::now();
    let hub = start_hub();
    wait_for(
        "a hub that has everything",
        Duration::from_millis(20),
        || has_all(&hub) && peers.iter().all(has_all),
    );
    let agreed = begin.elapsed();
    std::thread::sleep(COUNTED.saturating_sub(begin.elapsed()));
    let hub = std::slice::from_ref(&hub);
    Counts {
        hub: requests(hub),
        peers: requests(&peers) - before.0,
        refused: refused(hub) + refused(&peers) - before.1,
        agreed,
    }
}

fn peer(number: u8) -> String {
    format!("p{number}")
}

fn at(number: u8) -> String {
    format!("127.0.98.{}", 11 + number)
}

/// Requests that these nodes have sent, copies included.
fn requests(nodes: &[Node]) -> u64 {
    let of = |node: &Node| {
        node.metric("lampwire_publisher_requests_total")
            + node.metric("lampwire_publisher_copies_total")
    };
    nodes.iter().map(of).sum()
}

/// Requests that these nodes have answered 412.
fn refused(nodes: &[Node]) -> u64 {
    let of = |node: &Node| {
        let text = node.get("/metrics").unwrap_or_default();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("lampwire_sip_requests_total"));
        let counts = lines
            .filter(|line| line.contains("status=\"412\""))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        counts.sum::<u64>()
    };
    nodes.iter().map(of).sum()
}

/// What tells the node at `address` everything and takes everything from it. `name`: what this node is called there.
fn relation(name: &str, other: &str, address: &str) -> String {
    format!(
        "[{other}]\ntype=endpoint\nidentify_by=ip\n\
         [{other}]\ntype=identify\nendpoint={other}\nmatch={address}\n\
         [{other}-devices]\ntype=outbound-publish\nserver_uri=sip:{name}@{address}\nevent=asterisk-devicestate\n\
         [{other}-mailboxes]\ntype=outbound-publish\nserver_uri=sip:{name}@{address}\nevent=asterisk-mwi\n\
         [{other}]\ntype=inbound-publication\nendpoint={other}\nevent_asterisk-devicestate={other}\nevent_asterisk-mwi={other}\n\
         [{other}]\ntype=asterisk-publication\ndevicestate_publish={other}-devices\nmailboxstate_publish={other}-mailboxes\n\
         device_state=yes\nmailbox_state=yes\n"
    )
}
