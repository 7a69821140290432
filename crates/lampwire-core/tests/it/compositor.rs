//! The receiving side, case by case: every answer that a peer can get, and that a refusal leaves no trace.

use std::time::Duration;

use lampwire_core::limits;
use lampwire_sip::DeviceState;

use crate::bench::{Answer, Bench, NODE_EID, PEER, PEER_EID, Request, TAKES_ONLY, device, mailbox};

const STRANGER: &str = "127.0.0.99:5060";

#[test]
fn every_case_has_its_answer() {
    let tag = |bench: &mut Bench| bench.ask(&Request::new()).tag().to_owned();
    let body = |body: &str| Request::new().body(body);
    // (what, request, status, header that belongs to it)
    let cases: Vec<(&str, Request, u16, Option<(&str, &str)>)> = vec![
        (
            "a first state",
            Request::new(),
            200,
            Some(("Expires", "3600")),
        ),
        (
            "no endpoint",
            Request::new().user("nobody").from(STRANGER),
            401,
            Some(("WWW-Authenticate", "Digest realm=\"asterisk\"")),
        ),
        (
            "tel request-URI",
            Request::new().uri("tel:+4930123"),
            416,
            None,
        ),
        (
            "no user in the request-URI",
            Request::new().uri("sip:127.0.0.1"),
            404,
            None,
        ),
        (
            "unknown resource",
            Request::new().uri("sip:nothing@127.0.0.1"),
            404,
            None,
        ),
        (
            "escaped resource",
            Request::new().uri("sip:p%65er@127.0.0.1"),
            200,
            None,
        ),
        (
            "resource of another endpoint",
            Request::new().user("other").uri("sip:peers-own@127.0.0.1"),
            403,
            None,
        ),
        (
            "resource of its own",
            Request::new().uri("sip:peers-own@127.0.0.1"),
            200,
            None,
        ),
        (
            "no Event",
            Request {
                event: None,
                ..Request::new()
            },
            489,
            Some(("Allow-Events", "asterisk-devicestate, asterisk-mwi")),
        ),
        (
            "unknown Event",
            Request::new().event("presence"),
            489,
            Some(("Allow-Events", "asterisk-devicestate, asterisk-mwi")),
        ),
        (
            "event not configured on the resource",
            Request::new()
                .uri("sip:devices-only@127.0.0.1")
                .event("asterisk-mwi")
                .body(mailbox("100", 1, 0)),
            404,
            None,
        ),
        (
            "no tag, no body",
            Request {
                content_type: None,
                ..body("")
            },
            400,
            None,
        ),
        (
            "unknown tag",
            Request::new().tag(&"0".repeat(48)),
            412,
            None,
        ),
        (
            "a tag that is a small integer",
            Request::new().tag("7"),
            412,
            None,
        ),
        ("a tag that is a word", Request::new().tag("abc"), 412, None),
        (
            "no Content-Type",
            Request {
                content_type: None,
                ..Request::new()
            },
            400,
            None,
        ),
        (
            "another Content-Type",
            Request {
                content_type: Some("application/pidf+xml".into()),
                ..Request::new()
            },
            415,
            Some(("Accept", "application/json")),
        ),
        (
            "Content-Type in any case, with parameters",
            Request {
                content_type: Some("Application/JSON;charset=utf-8".into()),
                ..Request::new()
            },
            200,
            None,
        ),
        ("bad JSON", body("{"), 400, None),
        ("an array", body("[]"), 400, None),
        ("two objects", body("{}{}"), 400, None),
        (
            "no eid",
            body(r#"{"type":"devicestate","device":"a","state":"INUSE"}"#),
            400,
            None,
        ),
        (
            "no type",
            body(&format!(
                r#"{{"device":"a","state":"INUSE","eid":"{PEER_EID}"}}"#
            )),
            400,
            None,
        ),
        (
            "no device",
            body(&format!(
                r#"{{"type":"devicestate","state":"INUSE","eid":"{PEER_EID}"}}"#
            )),
            400,
            None,
        ),
        (
            "no state",
            body(&format!(
                r#"{{"type":"devicestate","device":"a","eid":"{PEER_EID}"}}"#
            )),
            400,
            None,
        ),
        (
            "the other event's type",
            body(&mailbox("100", 1, 0)),
            400,
            None,
        ),
        (
            "no uniqueid",
            body(&format!(
                r#"{{"type":"mailboxstate","new":1,"eid":"{PEER_EID}"}}"#
            ))
            .event("asterisk-mwi"),
            400,
            None,
        ),
        (
            "a count that is too large",
            body(&mailbox("100", 65_536, 0)).event("asterisk-mwi"),
            400,
            None,
        ),
        (
            "a mailbox",
            body(&mailbox("100", 65_535, 0)).event("asterisk-mwi"),
            200,
            None,
        ),
        (
            "malformed eid",
            body(r#"{"type":"devicestate","device":"a","state":"INUSE","eid":"02:00"}"#),
            400,
            None,
        ),
        (
            "Expires 0 without a tag",
            Request::new().expires("0"),
            412,
            None,
        ),
        (
            "Expires below the minimum",
            Request::new().expires("9"),
            423,
            Some(("Min-Expires", "10")),
        ),
        (
            "Expires at the minimum",
            Request::new().expires("10"),
            200,
            Some(("Expires", "10")),
        ),
        (
            "Expires above the maximum",
            Request::new().expires("99999"),
            200,
            Some(("Expires", "7200")),
        ),
        (
            "Expires beyond 32 bits",
            Request::new().expires("4294967297"),
            200,
            Some(("Expires", "7200")),
        ),
        (
            "Expires that is no number",
            Request::new().expires("soon"),
            400,
            None,
        ),
        (
            "Require with an unknown option tag",
            Request::new().extra("Require: 100rel, magic\r\n"),
            420,
            Some(("Unsupported", "100rel, magic")),
        ),
        (
            "a device name of 255 bytes",
            Request::saying(&"x".repeat(255), "INUSE"),
            200,
            None,
        ),
        (
            "a device name of 256 bytes",
            Request::saying(&"x".repeat(256), "INUSE"),
            400,
            None,
        ),
        (
            "a control character in a name",
            Request::saying("a\\u0007b", "INUSE"),
            400,
            None,
        ),
        (
            "unicode, spaces and quotes in a name",
            Request::saying("Tür \\\"1\\\"", "INUSE"),
            200,
            None,
        ),
        (
            "OPTIONS",
            Request {
                method: "OPTIONS",
                ..Request::new()
            },
            200,
            Some(("Allow", "OPTIONS, PUBLISH")),
        ),
        (
            "SUBSCRIBE",
            Request {
                method: "SUBSCRIBE",
                ..Request::new()
            },
            405,
            Some(("Allow", "OPTIONS, PUBLISH")),
        ),
        (
            "an unheard-of method",
            Request {
                method: "DANCE",
                ..Request::new()
            },
            405,
            Some(("Allow", "OPTIONS, PUBLISH")),
        ),
        (
            "CANCEL of nothing",
            Request {
                method: "CANCEL",
                ..Request::new()
            },
            481,
            None,
        ),
    ];
    for (what, request, status, header) in cases {
        let mut bench = Bench::new(TAKES_ONLY);
        let answer = bench.ask(&request);
        assert_eq!(answer.status(), status, "{what}: {}", answer.0);
        if let Some((name, value)) = header {
            let found = answer.header(name).unwrap_or_default();
            assert!(found.starts_with(value), "{what}: {name}: {found}");
        }
        if status != 200 {
            assert_eq!(bench.node.states(), 0, "{what}: a refusal leaves no trace");
            assert_eq!(bench.node.publications(bench.now).len(), 0, "{what}");
        }
    }

    // The same body in a modify: 400, and the publication stays as it was.
    let mut bench = Bench::new(TAKES_ONLY);
    let tag = tag(&mut bench);
    assert_eq!(bench.ask(&Request::new().tag(&tag).body("{")).status(), 400);
    assert_eq!(
        bench
            .ask(&Request::saying("Custom:x2", "BUSY").tag(&tag))
            .status(),
        200
    );
    assert_eq!(bench.lamp("Custom:x1"), Some("INUSE"));
}

#[test]
fn an_empty_initial_is_refused_and_begins_nothing() {
    let mut bench = Bench::new(TAKES_ONLY);
    let answer = bench.ask(&Request {
        content_type: None,
        ..Request::new().body("")
    });
    assert_eq!(answer.status(), 400);
    assert_eq!(bench.node.publications(bench.now), []);
}

#[test]
fn each_2xx_brings_a_new_tag_and_the_old_one_is_used_up() {
    let mut bench = Bench::new(TAKES_ONLY);
    let first = bench.ask(&Request::new()).tag().to_owned();
    let second = bench
        .ask(&Request::saying("Custom:x1", "BUSY").tag(&first))
        .tag()
        .to_owned();
    assert_ne!(first, second);
    assert_eq!(
        bench
            .ask(&Request::saying("Custom:x1", "RINGING").tag(&first))
            .status(),
        412
    );
    assert_eq!(bench.lamp("Custom:x1"), Some("BUSY"));
    let third = bench.ask(&Request::refresh_of(&second));
    assert_eq!(
        (third.status(), third.header("Expires")),
        (200, Some("3600"))
    );
    assert_ne!(third.tag(), second);
}

#[test]
fn a_tag_is_good_for_its_endpoint_resource_and_event_only() {
    let mut bench = Bench::new(TAKES_ONLY);
    let tag = bench.ask(&Request::new()).tag().to_owned();
    for (what, request) in [
        (
            "another endpoint",
            Request::saying("Custom:x1", "BUSY").user("other"),
        ),
        (
            "another resource",
            Request::saying("Custom:x1", "BUSY").uri("sip:devices-only@127.0.0.1"),
        ),
        (
            "another event",
            Request::new()
                .event("asterisk-mwi")
                .body(mailbox("100", 1, 1)),
        ),
    ] {
        assert_eq!(bench.ask(&request.tag(&tag)).status(), 412, "{what}");
    }
    assert_eq!(bench.lamp("Custom:x1"), Some("INUSE"));
    assert_eq!(
        bench.ask(&Request::refresh_of(&tag)).status(),
        200,
        "the tag is still good for its own"
    );
}

#[test]
fn a_copy_of_a_request_gets_the_same_answer_and_changes_nothing() {
    let mut bench = Bench::new(TAKES_ONLY);
    let initial = Request::new().branch("z9hG4bKinitial");
    let first = bench.ask(&initial);
    let tag = first.tag().to_owned();
    assert_eq!(bench.ask(&initial).header("SIP-ETag"), Some(tag.as_str()));
    assert_eq!(bench.node.publications(bench.now).len(), 1);

    let modify = Request::saying("Custom:x1", "RINGING")
        .tag(&tag)
        .branch("z9hG4bKmodify");
    let second = bench.ask(&modify).tag().to_owned();
    assert_eq!(bench.ask(&modify).header("SIP-ETag"), Some(second.as_str()));

    let removal = Request::refresh_of(&second)
        .expires("0")
        .branch("z9hG4bKremoval");
    let answer = bench.ask(&removal);
    assert_eq!(
        (answer.status(), answer.header("Expires")),
        (200, Some("0"))
    );
    let again = bench.ask(&removal);
    assert_eq!(again.header("SIP-ETag"), answer.header("SIP-ETag"));
    assert_eq!(bench.node.publications(bench.now), []);
    assert_eq!(bench.node.counters().retransmissions, 3);
}

#[test]
fn the_answer_to_a_copy_is_the_same_to_the_letter() {
    let mut bench = Bench::new(TAKES_ONLY);
    let text = "PUBLISH sip:peer@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5060;rport;branch=z9hG4bKcopy\r\n\
        From: <sip:peer@127.0.0.1>;tag=1\r\nTo: <sip:peer@127.0.0.1>\r\nCall-ID: c\r\nCSeq: 1 PUBLISH\r\n\
        Event: asterisk-devicestate\r\nContent-Type: application/json\r\nContent-Length:    98\r\n\r\n\
        {\"type\":\"devicestate\",\"device\":\"Custom:x1\",\"state\":\"INUSE\",\"cachable\":1,\"eid\":\"02:00:00:00:00:02\"}";
    let first = bench.put(PEER, text);
    assert!(first[0].starts_with("SIP/2.0 200 OK\r\n"), "{first:?}");
    assert_eq!(bench.put(PEER, text), first);
}

#[test]
fn expires_0_with_a_body_applies_the_body_first() {
    let mut bench = Bench::new(TAKES_ONLY);
    let tag = bench.ask(&Request::new()).tag().to_owned();
    let last = bench.ask(&Request::saying("Custom:x1", "BUSY").tag(&tag).expires("0"));
    assert_eq!((last.status(), last.header("Expires")), (200, Some("0")));
    assert_eq!(bench.lamp("Custom:x1"), Some("BUSY"));
    assert_eq!(bench.node.publications(bench.now), []);
}

#[test]
fn many_publications_of_one_peer_live_side_by_side() {
    let mut bench = Bench::new(TAKES_ONLY);
    let tags: Vec<String> = (0..50)
        .map(|number| {
            let request = Request::saying(&format!("Custom:{number}"), "INUSE");
            bench.ask(&request).tag().to_owned()
        })
        .collect();
    assert_eq!(bench.node.publications(bench.now).len(), 50);
    for (number, tag) in tags.iter().enumerate() {
        let request = Request::saying(&format!("Custom:{number}"), "BUSY").tag(tag);
        assert_eq!(bench.ask(&request).status(), 200);
    }
}

#[test]
fn of_several_requests_with_one_tag_the_first_wins() {
    let mut bench = Bench::new(TAKES_ONLY);
    let tag = bench.ask(&Request::new()).tag().to_owned();
    let statuses: Vec<u16> = ["BUSY", "RINGING", "ONHOLD"]
        .map(|state| {
            bench
                .ask(&Request::saying("Custom:x1", state).tag(&tag))
                .status()
        })
        .to_vec();
    assert_eq!(statuses, [200, 412, 412]);
    assert_eq!(bench.lamp("Custom:x1"), Some("BUSY"));
}

#[test]
fn a_tag_lives_64_seconds_past_its_expiry() {
    let mut bench = Bench::new(TAKES_ONLY);
    let tag = bench.ask(&Request::new().expires("10")).tag().to_owned();
    bench.pass(Duration::from_secs(10 + 63));
    let tag = bench
        .ask(&Request::refresh_of(&tag).expires("10"))
        .tag()
        .to_owned();
    bench.pass(Duration::from_secs(10 + 65));
    assert_eq!(bench.ask(&Request::refresh_of(&tag)).status(), 412);
    assert_eq!(bench.node.publications(bench.now), []);
    assert!(bench.notices().contains(&"publication-expired"));
}

#[test]
fn a_peer_that_uses_our_entity_id_is_answered_200_and_ignored() {
    let mut bench = Bench::new(TAKES_ONLY);
    let body = device("Custom:x1", "INUSE").replace(PEER_EID, NODE_EID);
    for _ in 0..3 {
        assert_eq!(bench.ask(&Request::new().body(body.as_str())).status(), 200);
    }
    assert_eq!(bench.lamp("Custom:x1"), None);
    assert_eq!(bench.node.counters().own_entity_id_received, 3);
    let reports = bench
        .notices()
        .into_iter()
        .filter(|code| *code == "own-entity-id")
        .count();
    assert_eq!(reports, 1, "reported once, not for each state");
}

#[test]
fn what_is_not_cachable_is_shown_but_not_summed() {
    let mut bench = Bench::new(TAKES_ONLY);
    for cachable in ["0", "2", "\"1\"", "true", "null", "1.0"] {
        let name = format!("Custom:{}", cachable.replace('"', ""));
        let body =
            device(&name, "INUSE").replace("\"cachable\":1", &format!("\"cachable\":{cachable}"));
        assert_eq!(bench.ask(&Request::new().body(body)).status(), 200);
        let view = bench.node.device(&name).unwrap();
        assert_eq!(view.state, DeviceState::Invalid, "{cachable}");
        assert!(!view.entities[0].cachable, "{cachable}");
    }
    // Missing counts as not cachable; a kept value stays what is summed, and replaces what was passing.
    let body = device("Custom:x1", "RINGING").replace("\"cachable\":1,", "");
    bench.ask(&Request::new().body(body));
    assert_eq!(bench.lamp("Custom:x1"), Some("INVALID"));
    bench.ask(&Request::saying("Custom:x1", "BUSY"));
    assert_eq!(bench.lamp("Custom:x1"), Some("BUSY"));
    assert_eq!(bench.node.device("Custom:x1").unwrap().entities.len(), 1);
}

#[test]
fn an_unknown_state_word_counts_as_unknown_and_case_does_not_matter() {
    let mut bench = Bench::new(TAKES_ONLY);
    bench.ask(&Request::saying("Custom:a", "DANCING"));
    bench.ask(&Request::saying("Custom:b", "inuse"));
    assert_eq!(bench.lamp("Custom:a"), Some("UNKNOWN"));
    assert_eq!(bench.lamp("Custom:b"), Some("INUSE"));
}

#[test]
fn missing_counts_of_a_mailbox_are_0() {
    let mut bench = Bench::new(TAKES_ONLY);
    let body = format!(
        r#"{{"type":"mailboxstate","uniqueid":"100@default","new":"3","eid":"{PEER_EID}"}}"#
    );
    assert_eq!(
        bench
            .ask(&Request::new().event("asterisk-mwi").body(body))
            .status(),
        200
    );
    let view = bench.node.mailbox("100@default").unwrap();
    assert_eq!((view.new, view.old), (0, 0));
}

#[test]
fn of_a_mailbox_the_last_writer_wins_whichever_its_entity_id() {
    let mut bench = Bench::new(TAKES_ONLY);
    let mwi = |body: String| Request::new().event("asterisk-mwi").body(body);
    bench.ask(&mwi(mailbox("100@default", 3, 1)));
    bench.ask(&mwi(
        mailbox("100@default", 5, 2).replace(PEER_EID, "02:00:00:00:00:09")
    ));
    let view = bench.node.mailbox("100@default").unwrap();
    assert_eq!(
        (view.new, view.old, view.eid.to_string()),
        (5, 2, "02:00:00:00:00:09".to_owned())
    );
}

#[test]
fn device_states_of_several_entities_are_summed() {
    let mut bench = Bench::new(TAKES_ONLY);
    bench.ask(&Request::saying("Custom:x1", "RINGING"));
    let other = device("Custom:x1", "INUSE").replace(PEER_EID, "02:00:00:00:00:09");
    bench.ask(&Request::new().body(other));
    assert_eq!(bench.lamp("Custom:x1"), Some("RINGINUSE"));
    bench.ask(&Request::saying("Custom:x1", "INVALID"));
    assert_eq!(bench.lamp("Custom:x1"), Some("INUSE"));
}

#[test]
fn malformed_requests_get_400_where_an_answer_is_possible() {
    let whole = "PUBLISH sip:peer@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5060;rport;branch=z9hG4bK1\r\n\
        From: <sip:peer@127.0.0.1>;tag=1\r\nTo: <sip:peer@127.0.0.1>\r\nCall-ID: c\r\nCSeq: 1 PUBLISH\r\n\
        Event: asterisk-devicestate\r\nContent-Type: application/json\r\nContent-Length: 98\r\n\r\n\
        {\"type\":\"devicestate\",\"device\":\"Custom:x1\",\"state\":\"INUSE\",\"cachable\":1,\"eid\":\"02:00:00:00:00:02\"}";
    let status = |text: &str| {
        let mut bench = Bench::new(TAKES_ONLY);
        let answers = bench.put(PEER, text);
        assert!(answers.len() <= 1, "{answers:?}");
        answers.first().map(|it| Answer(it.clone()).status())
    };
    assert_eq!(status(whole), Some(200));
    for header in ["From", "To", "Call-ID", "CSeq"] {
        let start = whole.find(&format!("\r\n{header}:")).unwrap() + 2;
        let end = start + whole[start..].find("\r\n").unwrap() + 2;
        let without = format!("{}{}", &whole[..start], &whole[end..]);
        assert_eq!(status(&without), Some(400), "without {header}");
    }
    assert_eq!(
        status(&whole.replace("CSeq: 1 PUBLISH", "CSeq: 1 OPTIONS")),
        Some(400)
    );
    assert_eq!(
        status(&whole.replace("Content-Length: 98", "Content-Length: 99")),
        Some(400),
        "too large"
    );
    assert_eq!(
        status(&whole.replace("Content-Length: 98\r\n", "")),
        Some(200),
        "missing: the rest"
    );
    assert_eq!(status(&format!("{whole}junk")), Some(200), "too small: cut");
    assert_eq!(
        status(&whole.replace("Content-Length: 98", "l:        98")),
        Some(200),
        "compact, padded"
    );
    assert_eq!(
        status(
            &whole
                .replace("Event:", "o:")
                .replace("Content-Type:", "c:")
                .replace("Via:", "v:")
        ),
        Some(200)
    );
    assert_eq!(
        status(&whole.replace("Event: ", "eVENT:\r\n ")),
        Some(200),
        "any case, folded"
    );
    assert_eq!(status("\r\n\r\n"), None, "a keep-alive is no request");
    assert_eq!(status("hello"), None);
    assert_eq!(
        status(&whole.replace("PUBLISH", "ACK")),
        None,
        "an ACK is never answered"
    );
    assert_eq!(
        status("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK9\r\n\r\n"),
        None
    );
}

#[test]
fn an_answer_goes_to_the_source_and_says_what_it_was() {
    let mut bench = Bench::new(TAKES_ONLY);
    let answer = bench.ask(&Request::new().from("127.0.0.2:40000"));
    let via = answer.header("Via").unwrap();
    assert!(
        via.contains("rport=40000") && via.contains("received=127.0.0.2"),
        "{via}"
    );
    assert!(answer.header("To").unwrap().contains(";tag="));
    assert_eq!(
        answer.header("Server").unwrap(),
        concat!("Lampwire/", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn nothing_is_taken_before_the_node_starts() {
    use lampwire_core::{Node, Now, Setup, TransportId};
    let mut source = lampwire_conf::MapSource::new([("node.conf", TAKES_ONLY)]);
    let (config, _) = lampwire_conf::load("node.conf", &mut source);
    let setup = Setup {
        config: config.into(),
        entity_id: NODE_EID.parse().unwrap(),
        seed: [0; 32],
        secret: [0; 32],
    };
    let mut node = Node::new(Now::default(), setup);
    node.handle_datagram(
        Now::default(),
        TransportId(0),
        PEER.parse().unwrap(),
        b"OPTIONS sip:a SIP/2.0\r\n\r\n",
    );
    assert!(node.poll_transmit().is_none());
}

#[test]
fn who_is_killed_again_and_again_is_not_kept_out_by_what_its_lives_have_left() {
    let mut bench = Bench::new(TAKES_ONLY);
    let oldest = bench.ask(&Request::new()).tag().to_owned();
    bench.pass(Duration::from_secs(1));
    let in_use = bench.ask(&Request::new()).tag().to_owned();
    for _ in 2..limits::PUBLICATIONS_OF_AN_ENDPOINT {
        bench.pass(Duration::from_millis(10));
        assert_eq!(bench.ask(&Request::new()).status(), 200);
    }
    let refused = bench.ask(&Request::new());
    assert_eq!(
        (refused.status(), refused.header("Retry-After")),
        (503, Some("60"))
    );
    bench.pass(limits::PUBLICATION_LEFT);
    let in_use = bench.ask(&Request::refresh_of(&in_use)).tag().to_owned();
    assert_eq!(bench.ask(&Request::new()).status(), 200);
    assert_eq!(bench.ask(&Request::refresh_of(&oldest)).status(), 412);
    assert_eq!(bench.ask(&Request::refresh_of(&in_use)).status(), 200);
}
