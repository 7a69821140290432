//! Peers, as they are shown.

use std::time::Duration;

use lampwire_core::{Behind, Event, PeerCounts, PeerStatus, limits};
use lampwire_sip::DeviceState;

use crate::bench::{Bench, RELATION, Request};

#[test]
fn a_peer_is_an_asterisk_publication_with_all_that_belongs_to_it() {
    let config = format!(
        "{RELATION}[alone]\ntype=outbound-publish\nserver_uri=sip:x@127.0.0.9\nevent=asterisk-mwi\n\
         [silent]\ntype=asterisk-publication\ndevice_state=yes\n"
    );
    let bench = Bench::new(&config);
    let peers = bench.node.peers(bench.now);
    let names: Vec<_> = peers.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(names, ["peer", "silent", "alone"]);
    assert_eq!(peers[0].publishers, ["peer-device", "peer-mwi"]);
    assert_eq!(peers[0].status, PeerStatus::Unknown);
    assert!(
        peers[1]
            .notes
            .iter()
            .any(|note| note.starts_with("one-way"))
    );
    let publishers = bench.node.publishers(bench.now);
    assert_eq!(publishers[2].peer.as_deref(), Some("alone"));
}

#[test]
fn a_peer_that_publishes_is_up_and_its_endpoint_is_known() {
    let mut bench = Bench::new(RELATION);
    bench.ask(&Request::new());
    let peer = &bench.node.peers(bench.now)[0];
    assert_eq!(peer.status, PeerStatus::Up);
    assert_eq!(peer.endpoints, ["peer"]);
    assert_eq!(peer.publications, 1);
    assert_eq!(peer.last_heard, Some(bench.now.wall));
    let publication = &bench.node.publications(bench.now)[0];
    assert_eq!(
        (
            publication.endpoint.as_str(),
            publication.resource.as_str(),
            publication.states
        ),
        ("peer", "peer", 1)
    );
    assert_eq!(
        publication.expires_at.as_millis() - bench.now.wall.as_millis(),
        3_600_000
    );
}

#[test]
fn watchers_are_told_when_a_peer_comes_and_goes() {
    let mut bench = Bench::new(RELATION);
    let statuses = |bench: &mut Bench| {
        let mut seen = Vec::new();
        while let Some(event) = bench.node.poll_event() {
            if let Event::Peer { peer } = event {
                seen.push(peer.status);
            }
        }
        seen
    };
    for request in bench.requests() {
        bench.grant(&request, "t0");
    }
    bench.set("Custom:x1", DeviceState::InUse);
    bench.pass(Duration::from_secs(7));
    assert_eq!(statuses(&mut bench), [PeerStatus::Down]);
    let probe = bench.requests().pop().unwrap();
    bench.grant(&probe, "t1");
    assert_eq!(statuses(&mut bench), [PeerStatus::Up]);
    bench.ask(&Request::new());
    assert_eq!(statuses(&mut bench), [PeerStatus::Up]);
    assert_eq!(
        bench.node.peers(bench.now)[0]
            .entity_id
            .unwrap()
            .to_string(),
        "02:00:00:00:00:02"
    );
}

#[test]
fn what_peers_are_behind_is_counted_a_part_at_a_time() {
    let more =
        "[alone]\ntype=outbound-publish\nserver_uri=sip:x@127.0.0.9\nevent=asterisk-devicestate\n";
    let mut bench = Bench::new(&format!("{RELATION}{more}"));
    // One peer takes nothing, the other something.
    for number in 0..300 {
        bench.set(&format!("Custom:{number}"), DeviceState::InUse);
    }
    for _ in 0..10 {
        let requests = bench.requests().into_iter();
        for request in requests.filter(|it| it.to.ip().to_string() == "127.0.0.9") {
            bench.grant(&request, "t");
        }
    }
    let at_once: Vec<u64> = bench
        .node
        .publishers(bench.now)
        .iter()
        .map(|it| it.behind)
        .collect();
    assert_eq!((at_once[0], at_once[1]), (300, 0));
    assert!((1..300).contains(&at_once[2]), "{at_once:?}");
    for (budget, turns) in [(1, 600..1000), (7, 80..150), (100_000, 1..2)] {
        let mut behind = Behind::default();
        let mut count = 1;
        while bench.node.count_behind(&mut behind, budget) {
            count += 1;
        }
        let in_parts: Vec<u64> = bench
            .node
            .publishers_with(bench.now, &behind)
            .iter()
            .map(|it| it.behind)
            .collect();
        assert_eq!(in_parts, at_once, "{budget}");
        assert!(turns.contains(&count), "{budget}: {count}");
        let total: u64 = at_once.iter().sum();
        assert_eq!(bench.node.total_behind(&behind), total);
        let peers = bench.node.peers_with(bench.now, &behind);
        assert_eq!(peers.iter().map(|it| it.behind).sum::<u64>(), total);
    }
}

#[test]
fn the_count_of_what_a_peer_is_behind_has_an_end() {
    let mut bench = Bench::new(RELATION);
    for number in 0..limits::CHANGE_LOG_ENTRIES + 100 {
        bench.set(&format!("Custom:{number}"), DeviceState::InUse);
    }
    let behind = bench.node.publishers(bench.now)[0].behind;
    assert_eq!(behind, limits::CHANGE_LOG_ENTRIES as u64);
}

#[test]
fn peers_are_counted_by_what_is_shown_of_them() {
    let config = format!(
        "{RELATION}[alone]\ntype=outbound-publish\nserver_uri=sip:x@127.0.0.9\nevent=asterisk-mwi\n\
         [silent]\ntype=asterisk-publication\ndevice_state=yes\n"
    );
    let mut bench = Bench::new(&config);
    let mut seen = Vec::new();
    let mut look = |bench: &Bench| {
        let counted = bench.node.peer_counts(bench.now);
        let peers = bench.node.peers(bench.now);
        let count = |status| peers.iter().filter(|peer| peer.status == status).count();
        let shown = PeerCounts {
            up: count(PeerStatus::Up),
            down: count(PeerStatus::Down),
            unknown: count(PeerStatus::Unknown),
        };
        assert_eq!(counted, shown);
        seen.push((counted.up, counted.down, counted.unknown));
    };
    look(&bench);
    bench.ask(&Request::new());
    look(&bench);
    bench.set("Custom:x1", DeviceState::InUse);
    bench.pass(Duration::from_secs(40));
    look(&bench);
    assert_eq!(seen, [(0, 0, 3), (1, 0, 2), (0, 2, 1)]);
}
