//! The sending side: what leaves, in which order, and what becomes of every answer.

use std::time::Duration;

use lampwire_core::{PeerStatus, PublisherStatus};
use lampwire_sip::DeviceState;

use crate::bench::{Bench, NODE_EID, RELATION, Request, Sent};

fn devices(requests: Vec<Sent>) -> Vec<Sent> {
    requests
        .into_iter()
        .filter(|it| it.header("Event") == Some("asterisk-devicestate"))
        .collect()
}

/// A bench whose two publishes have been granted: nothing is on its way.
fn settled() -> Bench {
    let mut bench = Bench::new(RELATION);
    for request in bench.requests() {
        bench.grant(&request, "t0");
    }
    assert_eq!(bench.requests(), []);
    bench
}

fn only(bench: &mut Bench) -> Sent {
    let mut requests = devices(bench.requests());
    assert_eq!(requests.len(), 1, "{requests:?}");
    requests.remove(0)
}

fn state_of(request: &Sent) -> String {
    let body = request.body();
    let value = serde_json::from_str::<serde_json::Value>(body).unwrap();
    value["state"].as_str().unwrap().to_owned()
}

#[test]
fn at_start_the_peer_is_asked_for_everything_over_each_publish() {
    let mut bench = Bench::new(RELATION);
    let requests = bench.requests();
    let events: Vec<_> = requests
        .iter()
        .map(|it| it.header("Event").unwrap())
        .collect();
    assert_eq!(events, ["asterisk-devicestate", "asterisk-mwi"]);
    for request in &requests {
        let begins =
            format!(r#"{{"type":"refresh","eid":"{NODE_EID}","life":1767225600000,"round":"#);
        assert!(request.body().starts_with(&begins), "{}", request.body());
        assert!(request.body().ends_with(r#","filter":""}"#));
        assert_eq!(request.to, "127.0.0.2:5060".parse().unwrap());
        assert_eq!(request.header("SIP-If-Match"), None);
        assert_eq!(request.header("Expires"), Some("3600"));
        assert_eq!(request.header("Max-Forwards"), Some("70"));
        assert_eq!(request.header("Content-Type"), Some("application/json"));
        assert_eq!(request.header("Contact"), None);
        assert!(
            request
                .text
                .starts_with("PUBLISH sip:node@127.0.0.2 SIP/2.0\r\n")
        );
        assert!(
            request
                .header("Via")
                .unwrap()
                .starts_with("SIP/2.0/UDP 127.0.0.1:5060;rport;branch=z9hG4bK")
        );
        assert!(
            request
                .header("From")
                .unwrap()
                .starts_with("<sip:node@127.0.0.2>;tag=")
        );
        assert_eq!(request.header("To"), Some("<sip:node@127.0.0.2>"));
    }
}

#[test]
fn a_publication_keeps_its_call_id_and_each_request_carries_the_last_tag() {
    let mut bench = settled();
    bench.set("Custom:x1", DeviceState::InUse);
    let first = only(&mut bench);
    assert_eq!(first.header("SIP-If-Match"), Some("t0"));
    assert_eq!(
        first.body(),
        format!(
            r#"{{"type":"devicestate","device":"Custom:x1","state":"INUSE","cachable":1,"eid":"{NODE_EID}"}}"#
        )
    );
    bench.grant(&first, "t1");
    bench.set("Custom:x1", DeviceState::Busy);
    let second = only(&mut bench);
    assert_eq!(second.header("SIP-If-Match"), Some("t1"));
    assert_eq!(first.header("Call-ID"), second.header("Call-ID"));
    let cseq = |request: &Sent| {
        request
            .header("CSeq")
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    assert_eq!(cseq(&second), cseq(&first) + 1);
    assert_ne!(
        first.header("From"),
        second.header("From"),
        "the From tag is new on each request"
    );
}

#[test]
fn one_request_at_a_time_and_every_value_in_order() {
    let mut bench = settled();
    for state in [
        DeviceState::NotInUse,
        DeviceState::Ringing,
        DeviceState::InUse,
        DeviceState::OnHold,
    ] {
        bench.set("Custom:x1", state);
    }
    let mut arrived = Vec::new();
    let mut tag = 0;
    loop {
        let requests = devices(bench.requests());
        let Some(request) = requests.first() else {
            break;
        };
        assert_eq!(requests.len(), 1, "one request on its way");
        arrived.push(state_of(request));
        tag += 1;
        bench.grant(request, &format!("t{tag}"));
    }
    assert_eq!(arrived, ["NOT_INUSE", "RINGING", "INUSE", "ONHOLD"]);
}

#[test]
fn a_silent_peer_is_asked_again_and_the_newest_value_arrives() {
    let mut bench = settled();
    bench.set("Custom:x1", DeviceState::Ringing);
    let first = only(&mut bench);
    bench.pass(Duration::from_secs(31));
    let copies = devices(bench.copies());
    // Timer E (0.5, 1.5, 3.5 s); after 6 s of silence the peer is away, and a copy a second notices its return.
    assert_eq!(copies.len(), 27, "copies within 31 s");
    assert!(
        copies.iter().all(|it| *it == first),
        "copies are the same to the letter"
    );
    bench.set("Custom:x1", DeviceState::InUse);
    bench.set("Custom:x1", DeviceState::Busy);
    bench.pass(Duration::from_secs(3));
    assert!(bench.notices().contains(&"peer-away"));
    let view = &bench.node.publishers(bench.now)[0];
    assert_eq!(view.status, PublisherStatus::BackOff);
    assert_eq!(view.behind, 1);

    let probe = devices(bench.requests()).pop().unwrap();
    assert_ne!(
        probe.header("Via"),
        first.header("Via"),
        "a new transaction"
    );
    assert_eq!(probe.header("SIP-If-Match"), Some("t0"));
    bench.grant(&probe, "t1");
    let mut arrived = vec![state_of(&probe)];
    for request in devices(bench.requests()) {
        arrived.push(state_of(&request));
        bench.grant(&request, "t2");
    }
    assert_eq!(arrived.last().map(String::as_str), Some("BUSY"));
    assert!(
        !arrived.contains(&"INUSE".to_owned()),
        "{arrived:?}: overtaken while the peer was away"
    );
    assert!(bench.notices().contains(&"peer-back"));
    assert_eq!(bench.node.publishers(bench.now)[0].behind, 0);
}

#[test]
fn a_412_means_that_the_peer_has_restarted_and_everything_is_said_again() {
    let mut bench = settled();
    for number in 0..5 {
        bench.set(&format!("Custom:{number}"), DeviceState::InUse);
        let request = only(&mut bench);
        bench.grant(&request, &format!("a{number}"));
    }
    bench.pass(Duration::from_secs(2));
    bench.set("Custom:5", DeviceState::Busy);
    let request = only(&mut bench);
    bench.answer(&request, "412 Conditional Request Failed", "");
    let mut said = Vec::new();
    let mut tag = None;
    while let Some(request) = devices(bench.requests()).pop() {
        assert_eq!(
            request.header("SIP-If-Match"),
            tag.as_deref(),
            "a new publication first"
        );
        let body: serde_json::Value = serde_json::from_str(request.body()).unwrap();
        said.push(body["device"].as_str().unwrap().to_owned());
        tag = Some(format!("b{}", said.len()));
        bench.grant(&request, tag.as_deref().unwrap());
    }
    said.sort();
    said.dedup();
    assert_eq!(
        said,
        (0..6)
            .map(|number| format!("Custom:{number}"))
            .collect::<Vec<_>>()
    );
}

/// Found by the simulation: such a peer was left alone for ever.
#[test]
fn a_peer_that_was_away_and_answers_412_is_back() {
    let mut bench = settled();
    bench.set("Custom:x1", DeviceState::InUse);
    bench.pass(Duration::from_secs(34));
    let probe = devices(bench.requests()).pop().unwrap();
    bench.answer(&probe, "412 Conditional Request Failed", "");
    let again = devices(bench.requests()).pop().unwrap();
    assert_eq!(again.header("SIP-If-Match"), None);
    bench.grant(&again, "t1");
    while let Some(request) = devices(bench.requests()).pop() {
        bench.grant(&request, "t2");
    }
    assert!(bench.notices().contains(&"peer-back"));
    assert_eq!(bench.node.publishers(bench.now)[0].behind, 0);
}

/// Found by the simulation: a lane whose keep-alive had failed went on holding it after its publication was gone, and stood still.
#[test]
fn a_failed_keep_alive_holds_up_nothing() {
    let config = RELATION.replace("@lanes=1", "@lanes=2");
    let mut bench = Bench::new(&config);
    for request in bench.requests() {
        bench.grant(&request, "t0");
    }
    for number in 0..8 {
        bench.set(&format!("Custom:{number}"), DeviceState::InUse);
        bench.pass(Duration::from_millis(1));
        for request in devices(bench.requests()) {
            bench.answer(
                &request,
                "200 OK",
                &format!("SIP-ETag: t{number}\r\nExpires: 40\r\n"),
            );
        }
    }
    assert_eq!(bench.node.publishers(bench.now)[0].lanes.len(), 2);
    let target = "127.0.0.2:5060".parse().unwrap();
    // Both lanes are to be kept alive, and nothing listens any more.
    bench.pass(Duration::from_secs(21));
    let now = bench.now;
    bench
        .node
        .handle_unreachable(now, lampwire_core::TransportId(0), target);
    bench.pass(Duration::from_secs(3));
    let probe = devices(bench.requests()).pop().unwrap();
    bench.answer(&probe, "412 Conditional Request Failed", "");
    let mut told = std::collections::BTreeSet::new();
    for round in 0..50 {
        for request in devices(bench.requests()) {
            assert!(!request.body().is_empty() || request.header("SIP-If-Match").is_some());
            if let Ok(body) = serde_json::from_str::<serde_json::Value>(request.body()) {
                told.insert(body["device"].as_str().unwrap_or_default().to_owned());
            }
            bench.grant(&request, &format!("u{round}"));
        }
    }
    assert_eq!(told.len(), 8, "{told:?}");
    assert_eq!(bench.node.publishers(bench.now)[0].behind, 0);
}

#[test]
fn a_412_right_after_an_initial_is_a_stock_asterisks_race() {
    let mut bench = settled();
    bench.set("Custom:x1", DeviceState::InUse);
    let request = only(&mut bench);
    bench.answer(&request, "412 Conditional Request Failed", "");
    let again = only(&mut bench);
    assert_eq!(again.header("SIP-If-Match"), None);
    assert_eq!(again.body(), request.body());
    assert_ne!(again.header("Call-ID"), request.header("Call-ID"));
    bench.grant(&again, "t1");
    assert_eq!(devices(bench.requests()), [], "and that is all");
}

#[test]
fn a_peer_that_answers_412_for_ever_is_not_stormed() {
    let mut bench = settled();
    bench.set("Custom:x1", DeviceState::InUse);
    let mut sent = 0;
    for _ in 0..100 {
        let Some(request) = devices(bench.requests()).pop() else {
            break;
        };
        sent += 1;
        bench.answer(&request, "412 Conditional Request Failed", "");
    }
    assert!(sent <= 10, "{sent}");
    assert!(bench.notices().contains(&"peer-refuses") || bench.notices().is_empty());
}

#[test]
fn a_423_is_followed_to_its_minimum() {
    let mut bench = settled();
    bench.set("Custom:x1", DeviceState::InUse);
    let request = only(&mut bench);
    bench.answer(&request, "423 Interval Too Brief", "Min-Expires: 7200\r\n");
    let again = only(&mut bench);
    assert_eq!(again.header("Expires"), Some("7200"));
    bench.answer(&again, "423 Interval Too Brief", "");
    let third = only(&mut bench);
    assert_eq!(
        third.header("Expires"),
        Some("14400"),
        "without Min-Expires: doubled"
    );
    bench.answer(
        &third,
        "423 Interval Too Brief",
        "Min-Expires: 4000000000\r\n",
    );
    assert_eq!(devices(bench.requests()), [], "not followed to nonsense");
}

#[test]
fn a_refused_state_waits_and_the_others_go_on() {
    let mut bench = settled();
    bench.set("Custom:bad", DeviceState::InUse);
    bench.set("Custom:good", DeviceState::InUse);
    let bad = only(&mut bench);
    bench.answer(&bad, "400 Do not like it", "");
    let good = only(&mut bench);
    assert!(good.body().contains("Custom:good"));
    bench.grant(&good, "t1");
    assert!(bench.notices().contains(&"state-refused"));
    assert_eq!(
        bench.node.publishers(bench.now)[0].behind,
        1,
        "it stays to be said"
    );
    bench.pass(Duration::from_secs(10));
    let again = only(&mut bench);
    assert_eq!(again.body(), bad.body());
    bench.grant(&again, "t2");
    assert_eq!(bench.node.publishers(bench.now)[0].behind, 0);
}

#[test]
fn a_peer_that_refuses_everything_is_asked_seldom() {
    let mut bench = settled();
    for number in 0..100 {
        bench.set(&format!("Custom:{number}"), DeviceState::InUse);
    }
    let mut asked = 0;
    for _ in 0..600 {
        for request in devices(bench.requests()) {
            asked += 1;
            bench.answer(&request, "403 Forbidden", "");
        }
        bench.pass(Duration::from_secs(1));
    }
    assert!((5..=20).contains(&asked), "{asked} requests in ten minutes");
    assert_eq!(bench.node.publishers(bench.now)[0].behind, 100);
}

#[test]
fn retry_after_is_kept() {
    let mut bench = settled();
    bench.set("Custom:x1", DeviceState::InUse);
    let request = only(&mut bench);
    bench.answer(
        &request,
        "503 Service Unavailable",
        "Retry-After: 20 (later)\r\n",
    );
    bench.pass(Duration::from_secs(19));
    assert_eq!(devices(bench.requests()), []);
    bench.pass(Duration::from_secs(2));
    assert_eq!(only(&mut bench).body(), request.body());
}

#[test]
fn nothing_listens_there_and_then_something_does() {
    let mut bench = settled();
    bench.set("Custom:x1", DeviceState::InUse);
    let request = only(&mut bench);
    let now = bench.now;
    bench
        .node
        .handle_unreachable(now, lampwire_core::TransportId(0), request.to);
    assert_eq!(bench.node.peers(now)[0].status, PeerStatus::Down);
    bench.pass(Duration::from_secs(1));
    let again = only(&mut bench);
    bench.grant(&again, "t1");
    assert_eq!(bench.node.peers(bench.now)[0].status, PeerStatus::Up);
}

#[test]
fn a_publication_is_refreshed_before_it_runs_out() {
    let mut bench = settled();
    bench.pass(Duration::from_secs(3541));
    let request = only(&mut bench);
    assert_eq!(
        (request.header("SIP-If-Match"), request.body()),
        (Some("t0"), "")
    );
    assert_eq!(request.header("Content-Type"), None);
    bench.grant(&request, "t1");
    bench.pass(Duration::from_secs(3541));
    assert_eq!(only(&mut bench).header("SIP-If-Match"), Some("t1"));
}

#[test]
fn a_refresh_from_the_peer_gets_everything_of_its_event() {
    let mut bench = settled();
    bench.set("Custom:x1", DeviceState::InUse);
    let request = only(&mut bench);
    bench.grant(&request, "t1");
    let refresh = r#"{"type":"refresh","eid":"02:00:00:00:00:02"}"#;
    assert_eq!(bench.ask(&Request::new().body(refresh)).status(), 200);
    let again = only(&mut bench);
    assert_eq!(again.body(), request.body());
    assert_eq!(
        bench.node.peers(bench.now)[0]
            .entity_id
            .unwrap()
            .to_string(),
        "02:00:00:00:00:02"
    );
}

#[test]
fn what_is_taken_back_is_told_as_invalid_and_then_forgotten() {
    let mut bench = settled();
    bench.set("Custom:x1", DeviceState::InUse);
    let request = only(&mut bench);
    bench.grant(&request, "t1");
    let now = bench.now;
    bench.node.unset_device(now, "Custom:x1").unwrap();
    let request = only(&mut bench);
    assert_eq!(state_of(&request), "INVALID");
    bench.grant(&request, "t2");
    bench.pass(Duration::from_secs(5));
    bench.ask(&Request::new().body(r#"{"type":"refresh","eid":"02:00:00:00:00:02"}"#));
    assert_eq!(
        devices(bench.requests()),
        [],
        "nothing is left to be said of it"
    );
}

#[test]
fn filters_keep_states_at_home() {
    let config = RELATION.replace(
        "event=asterisk-devicestate\n",
        "event=asterisk-devicestate\n@device_state_filter=^PJSIP/\n",
    );
    let mut bench = Bench::new(&config);
    for request in bench.requests() {
        bench.grant(&request, "t0");
    }
    bench.set("Custom:x1", DeviceState::InUse);
    assert_eq!(bench.requests(), []);
    bench.set("pjsip/1001", DeviceState::InUse);
    assert!(only(&mut bench).body().contains("pjsip/1001"));
}

#[test]
fn received_states_are_not_passed_on() {
    let mut bench = settled();
    bench.ask(&Request::new());
    assert_eq!(bench.requests(), []);
}

#[test]
fn from_and_to_are_swapped_as_asterisk_swaps_them_and_ours_mean_what_they_say() {
    let with = |options: &str| {
        let config = RELATION.replace(
            "event=asterisk-devicestate\n",
            &format!("event=asterisk-devicestate\n{options}"),
        );
        let request = Bench::new(&config).requests().remove(0);
        let uri = |name: &str| {
            request
                .header(name)
                .unwrap()
                .split(['<', '>'])
                .nth(1)
                .unwrap()
                .to_owned()
        };
        (uri("From"), uri("To"))
    };
    assert_eq!(
        with("from_uri=sip:a@x\nto_uri=sip:b@x\n"),
        ("sip:b@x".into(), "sip:a@x".into())
    );
    assert_eq!(
        with("@from_uri=sip:a@x\n@to_uri=sip:b@x\n"),
        ("sip:a@x".into(), "sip:b@x".into())
    );
}

#[test]
fn a_shutdown_ends_each_publication() {
    let mut bench = settled();
    let now = bench.now;
    bench.node.shutdown(now);
    let requests = bench.requests();
    assert_eq!(requests.len(), 2);
    assert!(!bench.node.is_drained());
    for request in &requests {
        assert_eq!((request.header("Expires"), request.body()), (Some("0"), ""));
        bench.answer(request, "200 OK", "Expires: 0\r\n");
    }
    assert!(bench.node.is_drained());
}

#[test]
fn a_shutdown_does_not_wait_for_a_silent_peer() {
    let mut bench = settled();
    let now = bench.now;
    bench.node.shutdown(now);
    bench.pass(Duration::from_secs(4));
    assert!(bench.node.is_drained());
}

#[test]
fn lanes_carry_devices_side_by_side_each_in_one() {
    let config = RELATION.replace("@lanes=1", "@lanes=4");
    let mut bench = Bench::new(&config);
    for request in bench.requests() {
        bench.grant(&request, "t0");
    }
    for round in [DeviceState::Ringing, DeviceState::InUse] {
        for number in 0..40 {
            bench.set(&format!("Custom:{number}"), round);
        }
    }
    let mut lane_of = std::collections::BTreeMap::new();
    let mut most = 0;
    let mut count = 0;
    loop {
        let requests = devices(bench.requests());
        if requests.is_empty() {
            break;
        }
        most = most.max(requests.len());
        for request in requests {
            count += 1;
            let call_id = request.header("Call-ID").unwrap().to_owned();
            let body: serde_json::Value = serde_json::from_str(request.body()).unwrap();
            let device = body["device"].as_str().unwrap().to_owned();
            assert_eq!(
                *lane_of.entry(device).or_insert_with(|| call_id.clone()),
                call_id
            );
            bench.grant(&request, &format!("t{count}"));
        }
    }
    assert_eq!((most, count), (4, 80));
    let open = |bench: &Bench| bench.node.publishers(bench.now)[0].lanes.len();
    assert_eq!(open(&bench), 4);
    bench.pass(Duration::from_secs(61));
    for request in devices(bench.requests()) {
        assert_eq!(
            request.header("Expires"),
            Some("0"),
            "idle lanes are closed"
        );
        bench.answer(&request, "200 OK", "Expires: 0\r\n");
    }
    assert_eq!(open(&bench), 1, "one keeps the relation alive");
}

/// A bench with these options on its publish of device states, both publishes granted with the tag.
fn settled_with(options: &str, tag: &str) -> Bench {
    let config = RELATION.replace(
        "event=asterisk-devicestate\n@lanes=1\n@probe=0\n",
        &format!("event=asterisk-devicestate\n{options}"),
    );
    let mut bench = Bench::new(&config);
    for request in bench.requests() {
        bench.grant(&request, tag);
    }
    bench
}

#[test]
fn an_idle_publication_proves_itself() {
    let mut bench = settled_with("@probe=5\n", "t0");
    for round in 1..4 {
        bench.pass(Duration::from_millis(4999));
        assert_eq!(devices(bench.requests()), []);
        bench.pass(Duration::from_millis(1));
        let probe = only(&mut bench);
        assert_eq!(probe.body(), "");
        bench.grant(&probe, &format!("t{round}"));
    }
}

#[test]
fn a_restart_shows_within_one_probe() {
    let mut bench = settled_with("@probe=5\n", "t0");
    bench.set("Custom:x1", DeviceState::InUse);
    let request = only(&mut bench);
    bench.grant(&request, "t1");
    bench.pass(Duration::from_secs(5));
    let probe = only(&mut bench);
    bench.answer(&probe, "412 Conditional Request Failed", "");
    let again = only(&mut bench);
    assert_eq!(
        (again.header("SIP-If-Match"), again.body()),
        (None, request.body())
    );
}

#[test]
fn a_counted_tag_that_goes_back_means_a_restart() {
    let mut bench = settled_with("@lanes=1\n@probe=5\n", "40");
    bench.set("Custom:x1", DeviceState::InUse);
    let request = only(&mut bench);
    bench.grant(&request, "41");
    bench.set("Custom:x2", DeviceState::InUse);
    let second = only(&mut bench);
    bench.grant(&second, "42");
    assert_eq!(devices(bench.requests()), []);
    bench.pass(Duration::from_secs(5));
    // After its restart our old tag is somebody else's publication there, and is answered 200.
    let probe = only(&mut bench);
    bench.grant(&probe, "7");
    let mut said = Vec::new();
    while let Some(request) = devices(bench.requests()).pop() {
        said.push(request.body().to_owned());
        bench.grant(&request, &format!("{}", 8 + said.len()));
    }
    assert_eq!(said, [request.body(), second.body()]);
}

#[test]
fn counted_tags_that_overtake_each_other_mean_nothing() {
    let mut bench = settled_with("@lanes=8\n@probe=0\n", "1");
    for number in 0..20 {
        bench.set(&format!("Custom:{number}"), DeviceState::InUse);
    }
    let mut tag = 100;
    let mut sent = 0;
    loop {
        let mut requests = devices(bench.requests());
        if requests.is_empty() {
            break;
        }
        // The answers come in the reverse of the order in which the peer gave its tags.
        tag += requests.len();
        requests.reverse();
        for (index, request) in requests.iter().enumerate() {
            sent += 1;
            bench.grant(request, &format!("{}", tag - index));
        }
    }
    assert_eq!(sent, 20, "nothing is said twice");
}

#[test]
fn a_peer_that_begins_a_publication_is_probed_at_once() {
    let mut bench = settled_with("@probe=3600\n", "t0");
    bench.ask(&Request::new());
    let requests = bench.requests();
    assert_eq!(devices(requests).len(), 1, "an empty refresh");
}

#[test]
fn a_stock_peer_that_begins_anew_has_restarted() {
    let mut bench = settled_with("@probe=0\n", "5");
    bench.set("Custom:x1", DeviceState::InUse);
    let request = only(&mut bench);
    bench.grant(&request, "6");
    bench.ask(&Request::saying("PJSIP/1", "INUSE"));
    assert_eq!(devices(bench.requests()), [], "its first publication");
    bench.ask(&Request::saying("PJSIP/1", "INUSE"));
    let again = only(&mut bench);
    assert_eq!(
        (again.header("SIP-If-Match"), again.body()),
        (None, request.body())
    );
}

#[test]
fn a_rate_limit_is_kept_and_nothing_is_lost_by_it() {
    let mut bench = settled_with("@rate_limit=10\n", "t0");
    for number in 0..20 {
        bench.set(&format!("Custom:{number}"), DeviceState::InUse);
    }
    let mut said = 0;
    for _ in 0..20 {
        let requests: Vec<_> = devices(bench.requests())
            .into_iter()
            .filter(|it| !it.body().is_empty())
            .collect();
        assert!(requests.len() <= 1, "at most one in 100 ms");
        for request in requests {
            said += 1;
            bench.grant(&request, &format!("t{said}"));
        }
        bench.pass(Duration::from_millis(100));
    }
    assert_eq!(said, 20);
}

#[test]
fn a_dump_opens_up_while_the_peer_keeps_up_and_a_live_change_goes_first() {
    let mut bench = settled_with("@lanes=16\n@probe=0\n", "t0");
    for number in 0..400 {
        bench.set(&format!("Custom:{number}"), DeviceState::InUse);
    }
    let mut tag = 0;
    let mut answer_all = |bench: &mut Bench, requests: Vec<Sent>| {
        for request in requests {
            tag += 1;
            bench.grant(&request, &format!("t{tag}"));
        }
    };
    loop {
        let requests = devices(bench.requests());
        if requests.is_empty() {
            break;
        }
        answer_all(&mut bench, requests);
    }
    bench.ask(&Request::new().body(r#"{"type":"refresh","eid":"02:00:00:00:00:02"}"#));
    let first = devices(bench.requests());
    bench.set("Custom:new", DeviceState::Ringing);
    answer_all(&mut bench, first);
    let mut most = 0;
    let mut count = 0;
    let mut new_at = None;
    loop {
        let requests = devices(bench.requests());
        if requests.is_empty() {
            break;
        }
        most = most.max(requests.len());
        for request in &requests {
            count += 1;
            if request.body().contains("Custom:new") {
                new_at = Some(count);
            }
        }
        answer_all(&mut bench, requests);
    }
    assert_eq!(most, 16);
    assert!(new_at.is_some_and(|at| at <= 40), "{new_at:?}");
    assert_eq!(bench.node.publishers(bench.now)[0].behind, 0);
}

#[test]
fn a_resync_says_all_devices_again_spread_over_its_time_and_no_mailbox() {
    let mut bench = settled_with("@resync=100\n@probe=0\n", "t0");
    for number in 0..10 {
        bench.set(&format!("Custom:{number}"), DeviceState::InUse);
        let now = bench.now;
        bench
            .node
            .set_mailbox(now, &format!("{number}"), 1, 0)
            .unwrap();
    }
    let mut tag = 0;
    let mut seconds = Vec::new();
    let mut mailboxes = 0;
    for second in 0..320u64 {
        loop {
            let requests = bench.requests();
            if requests.is_empty() {
                break;
            }
            for request in requests {
                tag += 1;
                let is_state = !request.body().is_empty();
                if is_state && request.header("Event") == Some("asterisk-devicestate") {
                    seconds.push(second);
                } else if is_state {
                    mailboxes += 1;
                }
                let expires = request.header("Expires").unwrap().to_owned();
                bench.answer(
                    &request,
                    "200 OK",
                    &format!("SIP-ETag: t{tag}\r\nExpires: {expires}\r\n"),
                );
            }
        }
        bench.pass(Duration::from_secs(1));
    }
    assert_eq!(mailboxes, 10, "each once");
    let again: Vec<_> = seconds.iter().filter(|second| **second >= 90).collect();
    assert!((10..=25).contains(&again.len()), "{seconds:?}");
    let busiest = (90..320)
        .map(|at| again.iter().filter(|second| ***second == at).count())
        .max();
    assert!(
        busiest <= Some(8),
        "spread, one for each lane at most: {seconds:?}"
    );
}

#[test]
fn what_the_pace_holds_back_does_not_keep_the_node_awake() {
    // Each would once be asked again at the same moment for ever: the slow walk that is due, and a lane that is idle but has work.
    for options in [
        "@rate_limit=1\n@resync=2\n@probe=0\n",
        "@rate_limit=1\n@lanes=8\n@resync=0\n@probe=0\n",
    ] {
        let mut bench = settled_with(options, "t0");
        for number in 0..150 {
            bench.set(&format!("Custom:{number}"), DeviceState::InUse);
        }
        let mut said = 0;
        for _ in 0..170 {
            for request in devices(bench.requests()) {
                said += 1;
                let expires = request.header("Expires").unwrap().to_owned();
                let headers = format!("SIP-ETag: t{said}\r\nExpires: {expires}\r\n");
                bench.answer(&request, "200 OK", &headers);
            }
            bench.pass(Duration::from_secs(1));
        }
        assert!(said >= 150, "{said}");
    }
}

#[test]
fn a_rate_limit_that_holds_back_the_first_try_after_a_pause_stops_nothing() {
    let mut bench = settled_with("@rate_limit=1\n@probe=0\n", "t0");
    bench.set("Custom:x1", DeviceState::InUse);
    let request = only(&mut bench);
    bench.answer(&request, "503 Service Unavailable", "");
    bench.set("Custom:x1", DeviceState::Ringing);
    // The pause is over before the limit allows another state.
    bench.pass(Duration::from_secs(2));
    let states: Vec<_> = devices(bench.requests()).iter().map(state_of).collect();
    assert_eq!(states, ["RINGING"]);
}

#[test]
fn what_a_counting_peer_has_confirmed_before_it_was_away_is_said_again_last() {
    // It may have restarted, and have given the old tag to somebody else: then it grants what it should refuse.
    let mut bench = settled_with("@lanes=1\n@probe=0\n", "7");
    bench.set("Custom:old", DeviceState::InUse);
    let old = only(&mut bench);
    bench.grant(&old, "8");
    bench.set("Custom:new", DeviceState::Busy);
    bench.pass(Duration::from_secs(8));
    let new = devices(bench.requests()).pop().unwrap();
    let mut arrived = vec![new.body().to_owned()];
    bench.grant(&new, "20");
    let mut tag = 20;
    while let Some(next) = devices(bench.requests()).pop() {
        arrived.push(next.body().to_owned());
        tag += 1;
        bench.grant(&next, &tag.to_string());
    }
    assert!(arrived[0].contains("Custom:new"), "{arrived:?}");
    assert!(arrived[1].contains("Custom:old"), "{arrived:?}");
    assert!(arrived.len() <= 3, "{arrived:?}");
}

/// Whatever a peer writes there, a terminal or a log that shows it obeys nothing.
#[test]
fn a_reason_with_control_characters_is_shown_without_them() {
    let mut bench = Bench::new(RELATION);
    for request in bench.requests() {
        bench.grant(&request, "t0");
    }
    bench.set("Custom:door", DeviceState::InUse);
    let requests = bench.requests();
    bench.answer(
        &requests[0],
        "403 No\u{1b}[2J\u{9b}1m\u{2028}\u{7f} \u{fc}",
        "",
    );
    let publishers = bench.node.publishers(bench.now);
    let answer = publishers[0].last_answer.as_ref().unwrap();
    assert_eq!(
        answer.reason,
        "No\\u{1b}[2J\\u{9b}1m\\u{2028}\\u{7f} \u{fc}"
    );
    let long = format!("403 {}", "\u{1b}".repeat(200));
    bench.set("Custom:door", DeviceState::Busy);
    let requests = bench.requests();
    bench.answer(&requests[0], &long, "");
    let publishers = bench.node.publishers(bench.now);
    assert_eq!(
        publishers[0].last_answer.as_ref().unwrap().reason.len(),
        126
    );
}

#[test]
fn a_publication_tells_since_when_it_is_open() {
    let mut bench = Bench::new(RELATION);
    let opened_at = |bench: &Bench| {
        let publishers = bench.node.publishers(bench.now);
        publishers[0].lanes.first().map(|lane| lane.opened_at)
    };
    assert_eq!(opened_at(&bench), Some(None), "nothing was answered");
    for request in bench.requests() {
        bench.grant(&request, "t0");
    }
    let first = bench.now.wall;
    assert_eq!(opened_at(&bench), Some(Some(first)));
    bench.pass(Duration::from_secs(5));
    bench.set("Custom:x", DeviceState::InUse);
    let request = only(&mut bench);
    bench.grant(&request, "t1");
    assert_eq!(
        opened_at(&bench),
        Some(Some(first)),
        "another tag, the same publication"
    );
    bench.set("Custom:x", DeviceState::Busy);
    let request = only(&mut bench);
    bench.answer(&request, "412 Conditional Request Failed", "");
    let request = only(&mut bench);
    assert_eq!(request.header("SIP-If-Match"), None);
    bench.grant(&request, "t2");
    assert_eq!(opened_at(&bench), Some(Some(bench.now.wall)));
    // Of one that is older than the node nobody remembers it.
    let bench = bench.restarted(RELATION, true);
    assert_eq!(opened_at(&bench), Some(None));
}
