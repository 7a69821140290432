//! Peers, as they are shown.

use std::time::Duration;

use lampwire_core::{Event, PeerStatus};
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
