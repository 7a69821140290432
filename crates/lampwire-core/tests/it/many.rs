//! Many states in one PUBLISH, between Lampwires that have offered to take that.

use std::collections::BTreeSet;
use std::time::Duration;

use lampwire_core::limits;
use lampwire_sip::DeviceState;

use crate::bench::{Bench, PEER_EID, RELATION, Request, Sent};

const MANY: &str = "application/vnd.lampwire.states+json";
const OFFER: &str = "SIP-ETag: one\r\nExpires: 3600\r\nAccept: application/json, application/vnd.lampwire.states+json\r\n";
const GRANT: &str = "SIP-ETag: next\r\nExpires: 3600\r\n";

fn is_many(request: &Sent) -> bool {
    request.header("Content-Type") == Some(MANY)
}

/// A node that has had `count` devices before it tells its peer anything, its publications of mailboxes left out.
fn full(count: usize, more: &str) -> Bench {
    let mut bench = Bench::new(&format!("{RELATION}{more}"));
    // What it asks at its start is not answered yet, so all that follows waits.
    for number in 0..count {
        bench.set(&format!("Custom:d{number}"), DeviceState::InUse);
    }
    bench
}

/// A node with 50 devices whose peer has offered to take many: its first request, granted, and the second, which brings many.
fn offered() -> (Bench, Sent, Sent) {
    let mut bench = full(50, "");
    let first = next(&mut bench).unwrap();
    bench.answer(&first, "200 OK", OFFER);
    let many = next(&mut bench).unwrap();
    assert!(is_many(&many), "{}", many.text);
    (bench, first, many)
}

/// What is told one by one from here on, all of it granted.
fn told_one_by_one(bench: &mut Bench) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    while let Some(one) = next(bench) {
        assert!(!is_many(&one), "{}", one.text);
        all.extend(names(&one));
        bench.answer(&one, "200 OK", GRANT);
    }
    all
}

/// The request about devices that is on its way.
fn next(bench: &mut Bench) -> Option<Sent> {
    let requests = bench.requests();
    let mut of_devices = requests
        .into_iter()
        .filter(|it| it.header("Event") == Some("asterisk-devicestate"));
    of_devices.next()
}

/// The names of the devices that a body tells of.
fn names(request: &Sent) -> BTreeSet<String> {
    let parts = request.body().split('"');
    let names = parts.filter(|it| it.starts_with("Custom:"));
    names.map(str::to_owned).collect()
}

/// Grants everything from here on; what was told, and in how many requests.
fn told(bench: &mut Bench, mut request: Option<Sent>) -> (BTreeSet<String>, usize) {
    let (mut all, mut count) = (BTreeSet::new(), 0);
    while let Some(asked) = request {
        count += 1;
        assert!(count < 1000, "it does not come to an end");
        assert!(asked.text.len() <= 1300, "{} bytes", asked.text.len());
        all.extend(names(&asked));
        bench.answer(&asked, "200 OK", GRANT);
        request = next(bench);
    }
    (all, count)
}

#[test]
fn a_walk_goes_in_few_requests_to_whoever_offers_to_take_that() {
    let mut bench = full(200, "");
    let first = next(&mut bench).unwrap();
    assert!(!is_many(&first));
    bench.answer(&first, "200 OK", OFFER);
    let second = next(&mut bench).unwrap();
    assert!(is_many(&second), "{}", second.text);
    let (all, count) = told(&mut bench, Some(second));
    let all: BTreeSet<_> = all.union(&names(&first)).cloned().collect();
    assert_eq!(all.len(), 200);
    assert!(count < 20, "{count} requests");
    // A change of one goes by itself, as everybody's does.
    bench.set("Custom:d7", DeviceState::Busy);
    let change = next(&mut bench).unwrap();
    assert!(!is_many(&change) && change.body().contains("BUSY"));
}

#[test]
fn who_has_not_offered_it_is_told_one_by_one() {
    let mut bench = full(50, "");
    let first = next(&mut bench).unwrap();
    let (all, count) = told(&mut bench, Some(first));
    assert_eq!((all.len(), count), (50, 51)); // it was asked for its own, too
}

#[test]
fn whoever_refuses_many_is_told_one_by_one_and_nothing_is_lost() {
    for status in [
        "415 Unsupported Media Type",
        "403 Forbidden",
        "400 Bad Request",
    ] {
        let (mut bench, first, many) = offered();
        bench.answer(&many, status, "");
        let mut all = names(&first);
        all.extend(told_one_by_one(&mut bench));
        assert_eq!(all.len(), 50, "{status}");
    }
}

#[test]
fn many_that_nobody_answered_are_told_again() {
    let (mut bench, _, many) = offered();
    let lost = names(&many);
    assert!(lost.len() > 5);
    // One of them changes while they are on their way.
    let changed = lost.first().unwrap().clone();
    bench.set(&changed, DeviceState::Busy);
    bench.pass(Duration::from_secs(120));
    let mut again = BTreeSet::new();
    let mut busy = false;
    for _ in 0..200 {
        while let Some(request) = next(&mut bench) {
            again.extend(names(&request));
            busy |= request
                .body()
                .contains(&format!("\"{changed}\",\"state\":\"BUSY\""))
                || request.body().contains(&format!("\"{changed}\",\"BUSY\""));
            bench.answer(&request, "200 OK", GRANT);
        }
        bench.pass(Duration::from_secs(1));
    }
    assert!(busy && again.is_superset(&lost), "{lost:?} {again:?}");
}

#[test]
fn a_publication_that_is_begun_anew_tells_one_until_that_is_offered_again() {
    let (mut bench, _, many) = offered();
    bench.answer(&many, "412 Conditional Request Failed", "");
    let anew = next(&mut bench).unwrap();
    assert!(anew.header("SIP-If-Match").is_none() && !is_many(&anew));
    bench.answer(&anew, "200 OK", GRANT);
    let mut all = names(&anew);
    all.extend(told_one_by_one(&mut bench));
    assert_eq!(all.len(), 50);
}

#[test]
fn with_a_limit_each_goes_by_itself() {
    let limited = RELATION.replacen("@lanes=1\n", "@lanes=1\n@rate_limit=1000\n", 1);
    let mut bench = Bench::new(&limited);
    for number in 0..20 {
        bench.set(&format!("Custom:d{number}"), DeviceState::InUse);
    }
    let first = next(&mut bench).unwrap();
    bench.answer(&first, "200 OK", OFFER);
    for _ in 0..30 {
        while let Some(request) = next(&mut bench) {
            assert!(!is_many(&request));
            bench.answer(&request, "200 OK", GRANT);
        }
        bench.pass(Duration::from_millis(1));
    }
}

// ---- as they come

fn many(body: &str) -> Request {
    Request {
        content_type: Some(MANY.to_owned()),
        ..Request::new()
    }
    .body(body)
}

#[test]
fn all_of_them_are_taken_and_the_next_may_bring_many_too() {
    let mut bench = Bench::new(RELATION);
    let body = format!(
        r#"[{{"eid":"{PEER_EID}","devices":[["Custom:a","INUSE"],["Custom:b","RINGING"]]}}]"#
    );
    let answer = bench.ask(&many(&body));
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.header("Accept"),
        Some("application/json, application/vnd.lampwire.states+json")
    );
    assert_eq!(bench.lamp("Custom:a"), Some("INUSE"));
    assert_eq!(bench.lamp("Custom:b"), Some("RINGING"));
    let body = body.replace("RINGING", "NOT_INUSE");
    let answer = bench.ask(&many(&body).tag(answer.tag()));
    assert_eq!((answer.status(), answer.header("Accept")), (200, None));
    assert_eq!(bench.lamp("Custom:b"), Some("NOT_INUSE"));
}

#[test]
fn one_that_is_wrong_is_none_taken() {
    let mut bench = Bench::new(RELATION);
    for (wrong, status) in [
        (r#"["","INUSE"]"#.to_owned(), 400),
        (r#"["Custom:b"]"#.to_owned(), 400),
    ] {
        let body = format!(r#"[{{"eid":"{PEER_EID}","devices":[["Custom:a","INUSE"],{wrong}]}}]"#);
        let answer = bench.ask(&many(&body));
        assert_eq!(answer.status(), status, "{wrong}");
        assert_eq!(bench.lamp("Custom:a"), None);
    }
    let ahead = format!(
        r#"[{{"eid":"{PEER_EID}","devices":[["Custom:a","INUSE"]]}},{{"eid":"{PEER_EID}","by":"{PEER_EID}","seq":9007199254740991,"devices":[["Custom:b","INUSE",0]]}}]"#
    );
    assert_eq!(bench.ask(&many(&ahead)).status(), 403);
    assert_eq!(bench.lamp("Custom:a"), None);
}

#[test]
fn the_filter_and_the_entity_ids_hold_for_each() {
    let config = RELATION.replace(
        "mailbox_state=yes\n",
        "mailbox_state=yes\ndevice_state_filter=^Custom:\n",
    );
    let mut bench = Bench::new(&config);
    let body = format!(
        r#"[{{"eid":"{PEER_EID}","devices":[["Custom:a","INUSE"],["PJSIP/1","INUSE"]]}},{{"eid":"02:00:00:00:00:01","devices":[["Custom:own","INUSE"]]}}]"#
    );
    assert_eq!(bench.ask(&many(&body)).status(), 200);
    assert_eq!(bench.lamp("Custom:a"), Some("INUSE"));
    assert_eq!(bench.lamp("PJSIP/1"), None);
    assert_eq!(bench.lamp("Custom:own"), None);
    let allowed = RELATION.replace(
        "[peer]\ntype=endpoint\n",
        &format!("[peer]\ntype=endpoint\n@allowed_eids={PEER_EID}\n"),
    );
    let mut bench = Bench::new(&allowed);
    let body = body.replace("02:00:00:00:00:01", "02:00:00:00:00:77");
    assert_eq!(bench.ask(&many(&body)).status(), 403);
    assert_eq!(bench.lamp("Custom:a"), None);
}

// ---- taken in

fn bringing(groups: &str) -> Request {
    let mut request = Request::new().body(format!("[{groups}]"));
    request.content_type = Some(MANY.to_owned());
    request
}

#[test]
fn many_for_which_there_is_no_room_together_are_refused_together() {
    let config = RELATION.replace(
        "[peer]\ntype=endpoint",
        "[peer]\ntype=endpoint\n@max_devices=3",
    );
    let mut bench = Bench::new(&config);
    let states = |names: &[&str]| {
        let states: Vec<String> = names
            .iter()
            .map(|name| format!(r#"["{name}","INUSE"]"#))
            .collect();
        bringing(&format!(
            r#"{{"eid":"{PEER_EID}","devices":[{}]}}"#,
            states.join(",")
        ))
    };
    assert_eq!(bench.ask(&states(&["a", "b"])).status(), 200);
    let refused = bench.ask(&states(&["c", "a", "d"]));
    assert_eq!(
        (refused.status(), refused.header("Retry-After")),
        (503, Some("60"))
    );
    assert_eq!(bench.node.states(), 2, "and nothing of it is taken");
    assert_eq!(bench.ask(&states(&["c", "a", "b"])).status(), 200);
    assert_eq!(bench.node.states(), 3);
    // One name under many entity ids.
    let group = |number: usize| {
        format!(
            r#"{{"eid":"04:00:00:00:{:02x}:{:02x}","devices":[["c","INUSE"]]}}"#,
            number / 256,
            number % 256
        )
    };
    let mut bench = Bench::new(RELATION);
    let groups = |count: usize| {
        let groups: Vec<String> = (0..count).map(group).collect();
        bringing(&groups.join(","))
    };
    let bound = limits::ENTITIES_OF_A_NAME;
    assert_eq!(bench.ask(&groups(bound + 1)).status(), 503);
    assert_eq!(bench.node.states(), 0);
    assert_eq!(bench.ask(&groups(bound)).status(), 200);
}
