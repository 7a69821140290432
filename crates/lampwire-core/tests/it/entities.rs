//! Who may speak for whom, and what becomes of an entity id that its server has left.

use std::time::Duration;

use lampwire_core::limits;

use crate::bench::{Bench, NODE_EID, PEER_EID, Request, TAKES_ONLY, mailbox};

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
fn what_it_left_stays_until_it_says_a_device_under_the_new_one_and_mailboxes_stay_anyway() {
    let mut bench = Bench::new(TAKES_ONLY);
    bench.ask(&refresh(PEER_EID));
    bench.ask(&saying("Custom:old", PEER_EID));
    let counts = |name: &str, eid: &str| {
        let body = mailbox(name, 3, 0).replace(PEER_EID, eid);
        Request::new().event("asterisk-mwi").body(body)
    };
    bench.ask(&counts("100", PEER_EID));
    bench.ask(&refresh(OTHER_EID));
    bench.pass(Duration::from_secs(20));
    bench.ask(&counts("200", OTHER_EID));
    bench.pass(Duration::from_secs(20));
    assert_eq!(
        bench.lamp("Custom:old"),
        Some("INUSE"),
        "its dump has not come, or it has none"
    );
    bench.ask(&saying("Custom:new", OTHER_EID));
    bench.pass(Duration::from_secs(11));
    assert_eq!(bench.lamp("Custom:old"), None);
    assert_eq!(
        bench.node.mailbox("100").unwrap().new,
        3,
        "as of a server that is lost"
    );
}

#[test]
fn a_server_that_only_publishes_and_goes_by_another_entity_id_is_found_out_too() {
    let mut bench = Bench::new(TAKES_ONLY);
    let first = bench.ask(&saying("Custom:old", PEER_EID)).tag().to_owned();
    // Another entity id in the same publication is a relay's word.
    bench.ask(&saying("Custom:relayed", OTHER_EID).tag(&first));
    assert!(!bench.notices().contains(&"entity-id-changed"));

    // A container that is made anew begins with one.
    let mut bench = Bench::new(TAKES_ONLY);
    bench.ask(&saying("Custom:old", PEER_EID));
    bench.ask(&saying("Custom:kept", PEER_EID));
    bench.pass(Duration::from_secs(5));
    bench.ask(&saying("Custom:kept", OTHER_EID));
    assert!(bench.notices().contains(&"entity-id-changed"));
    bench.pass(limits::LEFT_UNSAID - Duration::from_secs(1));
    assert_eq!(
        bench.lamp("Custom:old"),
        Some("INUSE"),
        "it may be a relay that has said nothing of itself yet"
    );
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.lamp("Custom:old"), None);
    assert_eq!(bench.lamp("Custom:kept"), Some("INUSE"));
    // And so again.
    bench.ask(&saying("Custom:new", &numbered(1)));
    assert_eq!(bench.node.counters().findings["entity-id-changed"], 2);
    bench.pass(limits::LEFT_UNSAID + Duration::from_secs(1));
    assert_eq!(bench.lamp("Custom:kept"), None);
    assert_eq!(
        bench.node.peers(bench.now)[0].entity_id,
        Some(numbered(1).parse().unwrap())
    );
}

#[test]
fn who_speaks_for_both_has_left_neither() {
    let mut bench = Bench::new(TAKES_ONLY);
    bench.ask(&saying("Custom:a", PEER_EID));
    bench.ask(&saying("Custom:b", OTHER_EID));
    bench.ask(&saying("Custom:c", PEER_EID));
    bench.pass(limits::LEFT_UNSAID * 2);
    assert_eq!(bench.lamp("Custom:a"), Some("INUSE"));
    let notes = &bench.node.peers(bench.now)[0].notes;
    assert!(!notes.iter().any(|note| note.contains("is ")), "{notes:?}");
}

#[test]
fn an_entity_id_that_changed_while_we_were_down_is_reported() {
    for refreshes in [true, false] {
        let mut bench = Bench::new(TAKES_ONLY);
        if refreshes {
            bench.ask(&refresh(PEER_EID));
        }
        bench.ask(&saying("Custom:old", PEER_EID));
        let mut bench = bench.restarted(TAKES_ONLY, true);
        if refreshes {
            bench.ask(&refresh(OTHER_EID));
        }
        bench.ask(&saying("Custom:new", OTHER_EID));
        assert_eq!(bench.node.counters().findings["entity-id-changed"], 1);
        bench.pass(limits::LEFT_UNSAID + Duration::from_secs(1));
        assert_eq!(bench.lamp("Custom:old"), None);
        assert_eq!(bench.lamp("Custom:new"), Some("INUSE"));
    }
}

/// A number as an entity id.
fn numbered(number: usize) -> String {
    let [.., high, low] = number.to_be_bytes();
    format!("04:00:00:00:{high:02x}:{low:02x}")
}

/// How many of these are taken, all in one publication, before one is refused for want of room.
fn taken(bench: &mut Bench, requests: impl Iterator<Item = Request>) -> usize {
    let mut tag: Option<String> = None;
    for (number, request) in requests.enumerate() {
        let request = match &tag {
            Some(tag) => request.tag(tag),
            None => request,
        };
        let answer = bench.ask(&request);
        if answer.status() == 503 {
            return number;
        }
        assert_eq!(answer.status(), 200);
        tag = Some(answer.tag().to_owned());
    }
    panic!("it has no bound");
}

#[test]
fn an_endpoint_speaks_for_a_bounded_number_of_entity_ids_whichever_way() {
    let bound = limits::ENTITY_IDS_OF_AN_ENDPOINT;
    let by = "05:00:00:00:00:01";
    let relayed = |number: usize| {
        let request = saying("Custom:a", &numbered(number));
        let body = request
            .body
            .replace('}', &format!(r#","by":"{by}","seq":1}}"#));
        request.body(body)
    };
    let ways: [(&str, &dyn Fn(usize) -> Request); 3] = [
        ("first hand", &|number| {
            saying(&format!("Custom:{number}"), &numbered(number))
        }),
        ("relayed", &|number| {
            let request = relayed(number);
            let body = request
                .body
                .replace("Custom:a", &format!("Custom:{number}"));
            request.body(body)
        }),
        ("refresh", &|number| refresh(&numbered(number))),
    ];
    for (way, request) in ways {
        let mut bench = Bench::new(TAKES_ONLY);
        let count = taken(&mut bench, (0..2 * bound).map(request));
        assert_eq!(count, bound, "{way}");
        assert_eq!(bench.node.counters().refused["too-many-entity-ids"], 1);
        // Those that it speaks for already it may go on with, and others have room of their own.
        assert_eq!(bench.ask(&request(0)).status(), 200, "{way}");
        let other = request(bound).user("other");
        assert_eq!(bench.ask(&other).status(), 200, "{way}");
    }
}

#[test]
fn many_states_in_one_request_meet_the_same_bound_together() {
    let mut bench = Bench::new(TAKES_ONLY);
    let groups = |count: usize| {
        let group = |number: usize| {
            format!(
                r#"{{"eid":"{}","devices":[["Custom:{number}","INUSE"]]}}"#,
                numbered(number)
            )
        };
        let groups: Vec<String> = (0..count).map(group).collect();
        let mut request = Request::new().body(format!("[{}]", groups.join(",")));
        request.content_type = Some("application/vnd.lampwire.states+json".to_owned());
        request
    };
    let half = limits::ENTITY_IDS_OF_AN_ENDPOINT / 2;
    assert_eq!(bench.ask(&groups(half)).status(), 200);
    let mut second = groups(2 * half);
    second.body = second.body.replace("04:00", "05:00");
    assert_eq!(bench.ask(&second).status(), 503);
    assert_eq!(bench.node.states(), half, "none of it is taken");
    assert_eq!(bench.ask(&groups(2 * half)).status(), 200);
}

#[test]
fn an_endpoint_brings_the_words_of_a_bounded_number_of_hubs() {
    let bound = limits::HUBS_OF_AN_ENDPOINT;
    let beat = |number: usize| {
        let by = numbered(number);
        Request::new().body(format!(
            r#"{{"type":"beat","eid":"{by}","by":"{by}","seq":{number}}}"#
        ))
    };
    let state = |number: usize| {
        let request = saying(&format!("Custom:{number}"), PEER_EID);
        let version = format!(r#","by":"{}","seq":1}}"#, numbered(number));
        let body = request.body.replace('}', &version);
        request.body(body)
    };
    let ways: [&dyn Fn(usize) -> Request; 2] = [&beat, &state];
    for way in ways {
        let mut bench = Bench::new(TAKES_ONLY);
        assert_eq!(taken(&mut bench, (1..2 * bound).map(way)), bound);
        assert_eq!(bench.node.counters().refused["too-many-hubs"], 1);
        assert_eq!(bench.ask(&way(1)).status(), 200);
        assert_eq!(bench.ask(&way(bound + 1).user("other")).status(), 200);
    }
}

#[test]
fn a_peer_that_claims_our_entity_id_is_reported_and_shown_until_it_has_another() {
    let notes = |bench: &mut Bench| -> Vec<String> {
        let peers = bench.node.peers(bench.now);
        let ours = |note: &&String| note.contains("our own entity id");
        peers[0].notes.iter().filter(ours).cloned().collect()
    };
    for claim in [refresh(NODE_EID), saying("Custom:a", NODE_EID)] {
        let mut bench = Bench::new(TAKES_ONLY);
        bench.ask(&saying("Custom:b", PEER_EID));
        assert_eq!(notes(&mut bench), [] as [String; 0]);
        for _ in 0..2 {
            assert_eq!(bench.ask(&claim).status(), 200);
        }
        assert_eq!(bench.node.counters().findings["own-entity-id"], 1);
        let told = bench.notices().into_iter();
        assert_eq!(told.filter(|code| *code == "own-entity-id").count(), 1);
        let shown = notes(&mut bench);
        assert_eq!(shown.len(), 1);
        assert!(shown[0].contains("endpoint peer"), "{shown:?}");
        bench.ask(&refresh(OTHER_EID));
        assert_eq!(notes(&mut bench), [] as [String; 0]);
        bench.ask(&claim);
        assert!(bench.notices().contains(&"own-entity-id"), "and once more");
    }
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
