//! Who may speak for whom, and what becomes of an entity id that its server has left.

use std::time::Duration;

use crate::bench::{Bench, PEER_EID, Request, TAKES_ONLY};

const OTHER_EID: &str = "02:00:00:00:00:09";

fn saying(device: &str, eid: &str) -> Request {
    let request = Request::saying(device, "INUSE");
    let body = request.body.replace(PEER_EID, eid);
    request.body(body)
}

fn refresh(eid: &str) -> Request {
    Request::new().body(format!(r#"{{"type":"refresh","eid":"{eid}"}}"#))
}

#[test]
fn an_entity_id_that_is_not_allowed_is_refused_and_nothing_changes() {
    let config = TAKES_ONLY.replacen(
        "[peer]\ntype=endpoint",
        "[peer]\ntype=endpoint\n@allowed_eids=02:00:00:00:00:02\n@allowed_eids=04:*",
        1,
    );
    let mut bench = Bench::new(&config);
    assert_eq!(bench.ask(&saying("Custom:a", PEER_EID)).status(), 200);
    assert_eq!(
        bench.ask(&saying("Custom:b", "04:00:00:00:00:01")).status(),
        200
    );
    for request in [saying("Custom:c", OTHER_EID), refresh(OTHER_EID)] {
        assert_eq!(bench.ask(&request).status(), 403);
    }
    assert_eq!(bench.lamp("Custom:c"), None);
    assert_eq!(bench.node.counters().refused["entity-id-not-allowed"], 2);
    assert_eq!(bench.node.publications(bench.now).len(), 2);
}

#[test]
fn what_a_server_said_under_an_entity_id_that_it_has_left_is_taken_back() {
    let mut bench = Bench::new(TAKES_ONLY);
    bench.ask(&refresh(PEER_EID));
    bench.ask(&saying("Custom:old", PEER_EID));
    bench.ask(&saying("Custom:kept", PEER_EID));
    // A container that is made anew has another entity id, and says everything again.
    bench.ask(&refresh(OTHER_EID));
    assert!(bench.notices().contains(&"entity-id-changed"));
    bench.pass(Duration::from_secs(9));
    bench.ask(&saying("Custom:kept", OTHER_EID));
    bench.pass(Duration::from_secs(9));
    assert_eq!(
        bench.lamp("Custom:old"),
        Some("INUSE"),
        "it may not have said all yet"
    );
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.lamp("Custom:old"), None);
    assert_eq!(bench.lamp("Custom:kept"), Some("INUSE"));
    assert!(bench.notices().contains(&"entity-id-left"));
    let notes = &bench.node.peers(bench.now)[0].notes;
    assert!(
        notes
            .iter()
            .any(|note| note.contains("is 02:00:00:00:00:09 now")),
        "{notes:?}"
    );
    assert_eq!(bench.node.counters().findings["entity-id-changed"], 1);
}

#[test]
fn two_endpoints_with_one_entity_id_are_reported_once() {
    let mut bench = Bench::new(TAKES_ONLY);
    bench.ask(&refresh(PEER_EID));
    for _ in 0..2 {
        assert_eq!(bench.ask(&refresh(PEER_EID).user("other")).status(), 200);
    }
    let told = bench
        .notices()
        .into_iter()
        .filter(|code| *code == "entity-id-shared");
    assert_eq!(told.count(), 1);
}
