//! What those get who are nobody's, and what peers get that ask for too much.

use std::time::Duration;

use lampwire_core::{Certificate, FlowCommand, FlowId, TransportId, limits};
use lampwire_sip::{Algorithm, DigestRequest, Qop, ha1, response};

use crate::bench::{Answer, Bench, PEER, RELATION, Request, TAKES_ONLY, device, mailbox};

const URI: &str = "sip:peer@127.0.0.1";
const STRANGER: &str = "192.0.2.7:5060";

/// Two endpoints with credentials in different realms, one without.
fn guarded(auth: &str) -> Bench {
    let config = TAKES_ONLY
        .replace(
            "[peer]\ntype=endpoint",
            "[peer]\ntype=endpoint\nauth=secret",
        )
        .replace(
            "[other]\ntype=endpoint",
            "[other]\ntype=endpoint\nauth=others\n[free]\ntype=endpoint",
        );
    Bench::new(&format!(
        "{config}[secret]\ntype=auth\nusername=ann\npassword=light\n{auth}\n\
         [others]\ntype=auth\nusername=bob\npassword=dark\nrealm=cellar\nsupported_algorithms_uas=SHA-256,MD5\n"
    ))
}

fn challenges(answer: &Answer) -> Vec<String> {
    answer
        .0
        .split("\r\n")
        .filter_map(|line| line.strip_prefix("WWW-Authenticate: "))
        .map(str::to_owned)
        .collect()
}

fn parameter<'a>(header: &'a str, name: &str) -> &'a str {
    let start = header.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
    header[start..].split('"').next().unwrap()
}

/// Credentials with MD5 for a challenge, and what goes with them.
fn credentials(
    challenge: &str,
    nc: u32,
    qop: Option<Qop>,
    body: &str,
    opaque: Option<&str>,
) -> String {
    let (realm, nonce) = (parameter(challenge, "realm"), parameter(challenge, "nonce"));
    let digest = response(
        Algorithm::Md5,
        &ha1(Algorithm::Md5, "ann", realm, "light"),
        &DigestRequest {
            method: "PUBLISH",
            uri: URI,
            nonce,
            body: body.as_bytes(),
            qop: qop.map(|qop| (qop, nc, "c0ffee")),
            cnonce_for_sess: None,
        },
    );
    let quality = qop.map_or_else(String::new, |qop| {
        format!(", qop={}, nc={nc:08x}, cnonce=\"c0ffee\"", qop.as_str())
    });
    let opaque = opaque.map_or_else(String::new, |text| format!(", opaque=\"{text}\""));
    format!(
        "Authorization: Digest username=\"ann\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{URI}\", response=\"{}\", \
         algorithm=MD5{quality}{opaque}\r\n",
        digest.as_str()
    )
}

/// An answer without what differs from one request to the next.
fn shape(answer: &Answer) -> Vec<String> {
    let nonce_free = |line: &str| {
        let mut line = line.to_owned();
        for name in ["nonce", "opaque"] {
            if line.starts_with("WWW-Authenticate") {
                let value = parameter(&line, name).to_owned();
                line = line.replace(&value, "");
            }
        }
        line
    };
    answer
        .0
        .split("\r\n")
        .filter(|line| {
            !["Via:", "To:", "From:", "CSeq:"]
                .iter()
                .any(|name| line.starts_with(name))
        })
        .map(nonce_free)
        .collect()
}

// ---- who is nobody's learns nothing

#[test]
fn unknown_users_get_what_some_endpoint_gets_and_always_the_same() {
    let mut bench = guarded("");
    let ask = |bench: &mut Bench, user: &str| {
        let request = Request::new().user(user).from(STRANGER);
        bench.ask(&request)
    };
    let known = ["peer", "other"].map(|user| shape(&ask(&mut bench, user)));
    assert_ne!(known[0], known[1], "their realms differ");
    let mut seen = [false; 2];
    for number in 0..40 {
        let user = format!("guess{number}");
        let answer = ask(&mut bench, &user);
        assert_eq!(answer.status(), 401);
        let which = known.iter().position(|known| *known == shape(&answer));
        seen[which.expect("as an endpoint's")] = true;
        assert_eq!(shape(&ask(&mut bench, &user)), shape(&answer), "{user}");
    }
    assert_eq!(seen, [true; 2]);
}

#[test]
fn an_endpoint_that_its_access_list_keeps_out_is_as_if_there_were_none() {
    let config = TAKES_ONLY.replace(
        "[other]\ntype=endpoint",
        "[other]\ntype=endpoint\ndeny=0.0.0.0/0\npermit=10.0.0.0/8",
    );
    let mut bench = Bench::new(&config);
    let of = |user: &str| Request::new().user(user).from(STRANGER);
    let (kept_out, unknown) = (bench.ask(&of("other")), bench.ask(&of("nobody")));
    assert_eq!(kept_out.status(), 401);
    assert_eq!(shape(&kept_out), shape(&unknown));
    assert_eq!(bench.ask(&of("other").from("10.1.2.3:5060")).status(), 200);
}

// ---- digest

#[test]
fn a_count_of_a_nonce_is_good_once() {
    let mut bench = guarded("");
    let challenge = challenges(&bench.ask(&Request::new())).remove(0);
    let mut ask = |nc: u32, state: &str| {
        let request = Request::saying("Custom:x1", state);
        let line = credentials(&challenge, nc, Some(Qop::Auth), &request.body, None);
        let answer = bench.ask(&request.extra(&line));
        (answer.status(), answer.0.contains("stale=true"))
    };
    assert_eq!(ask(1, "INUSE"), (200, false));
    // The header of another's request with another body: the digest does not cover it, the count does.
    assert_eq!(ask(1, "BUSY"), (401, true));
    assert_eq!(ask(3, "RINGING"), (200, false));
    assert_eq!(ask(2, "ONHOLD"), (200, false), "overtaken on the way");
    assert_eq!(ask(2, "BUSY"), (401, true));
    assert_eq!(ask(3, "BUSY"), (401, true));
    assert_eq!(bench.lamp("Custom:x1"), Some("ONHOLD"));
}

#[test]
fn a_copy_of_a_refused_request_is_refused_for_the_same_reason() {
    let mut bench = guarded("");
    let challenge = challenges(&bench.ask(&Request::new())).remove(0);
    let request = Request::new().tag("unknown").branch("z9hG4bKcopy");
    let line = credentials(&challenge, 1, Some(Qop::Auth), &request.body, None);
    let request = request.extra(&line);
    assert_eq!(bench.ask(&request).status(), 412);
    assert_eq!(bench.ask(&request).status(), 412);
    assert_eq!(bench.ask(&request.branch("z9hG4bKanother")).status(), 401);
}

#[test]
fn the_opaque_comes_back_as_it_was_given_or_not_at_all() {
    for (opaque, status) in [(None, 200), (Some(true), 200), (Some(false), 401)] {
        let mut bench = guarded("");
        let challenge = challenges(&bench.ask(&Request::new())).remove(0);
        let given = opaque.map(|right| match right {
            true => parameter(&challenge, "opaque"),
            false => "0123456789abcdef",
        });
        let request = Request::new();
        let line = credentials(&challenge, 1, Some(Qop::Auth), &request.body, given);
        assert_eq!(
            bench.ask(&request.extra(&line)).status(),
            status,
            "{opaque:?}"
        );
    }
}

#[test]
fn the_quality_of_protection_is_as_configured() {
    let [auth, int, none] = [Some(Qop::Auth), Some(Qop::AuthInt), None];
    for (option, offered, taken) in [
        ("", Some("auth"), vec![auth, int, none]),
        ("@qop=auth", Some("auth"), vec![auth]),
        ("@qop=auth-int", Some("auth-int"), vec![int]),
        ("@qop=auth-int,auth", Some("auth,auth-int"), vec![auth, int]),
        ("@qop=auth,none", Some("auth"), vec![auth, none]),
        ("@qop=none", None, vec![none]),
    ] {
        for quality in [auth, int, none] {
            let mut bench = guarded(option);
            let challenge = challenges(&bench.ask(&Request::new())).remove(0);
            let shown = challenge
                .contains("qop=")
                .then(|| parameter(&challenge, "qop"));
            assert_eq!(shown, offered, "{option}");
            let request = Request::new();
            let line = credentials(&challenge, 1, quality, &request.body, None);
            let expected = if taken.contains(&quality) { 200 } else { 401 };
            assert_eq!(
                bench.ask(&request.extra(&line)).status(),
                expected,
                "{option} {quality:?}"
            );
        }
    }
}

// ---- certificates

fn with_tls(more: &str) -> Bench {
    Bench::new(&format!(
        "{TAKES_ONLY}[tls]\ntype=transport\nprotocol=tls\nbind=127.0.0.1:5061\n{more}"
    ))
}

fn accept(bench: &mut Bench, from: &str, certificate: Certificate) -> FlowId {
    bench
        .node
        .handle_accepted(
            bench.now,
            TransportId(1),
            from.parse().unwrap(),
            certificate,
        )
        .unwrap()
}

/// Puts a message in by a connection; what is written to it.
fn hear(bench: &mut Bench, flow: FlowId, text: &str) -> String {
    bench.node.handle_stream(bench.now, flow, text.as_bytes());
    let mut written = String::new();
    while let Some(command) = bench.node.poll_flow() {
        match command {
            FlowCommand::Write { flow: on, bytes } if on == flow => {
                written.push_str(&String::from_utf8(bytes).unwrap());
                bench.node.handle_writable(bench.now, flow);
            }
            FlowCommand::Close { flow: on } if on == flow => written.push_str("(closed)"),
            other => panic!("{other:?}"),
        }
    }
    written
}

fn status_of(text: &str) -> &str {
    text.get(8..11).unwrap_or(text)
}

#[test]
fn a_certificate_identifies_its_endpoint_and_nothing_else_does() {
    let shown = |verified, subject: &str, names: &[&str]| Certificate {
        verified,
        subject: Some(subject.to_owned()),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    for (certificate, user, expected) in [
        (shown(true, "office", &[]), "whoever", "200"),
        (shown(true, "other", &["PBX.example.org"]), "whoever", "200"),
        (shown(true, "Office", &[]), "whoever", "401"),
        (shown(false, "office", &[]), "whoever", "401"),
        (shown(true, "other", &["pbx.example.com"]), "whoever", "401"),
        // The name alone is no certificate.
        (shown(true, "other", &[]), "office", "401"),
        (Certificate::default(), "office", "401"),
        // Others are found as ever.
        (Certificate::default(), "peer", "200"),
    ] {
        let mut bench = with_tls(
            "[office]\ntype=endpoint\n@identify_by_certificate=subject:office\n\
             @identify_by_certificate=san:pbx.example.org\n",
        );
        let flow = accept(&mut bench, STRANGER, certificate.clone());
        let request = Request::new().user(user).from(STRANGER).text(&mut 0);
        let answer = hear(&mut bench, flow, &request);
        assert_eq!(status_of(&answer), expected, "{certificate:?} {user}");
    }
}

// ---- floods

#[test]
fn a_stranger_is_answered_then_told_to_wait_then_not_heard() {
    let mut bench = Bench::new(TAKES_ONLY);
    let mut counts = std::collections::BTreeMap::new();
    for number in 0..2_000u32 {
        let request = Request::new()
            .user("nobody")
            .from(STRANGER)
            .text(&mut (number + 1));
        let answers = bench.put(STRANGER, &request);
        let status = answers
            .first()
            .map_or("", |answer| status_of(answer))
            .to_owned();
        assert!(
            status != "503" || answers[0].contains("\r\nRetry-After: 1\r\n"),
            "{answers:?}"
        );
        *counts.entry(status).or_insert(0) += 1;
    }
    let burst = limits::STRANGER_BURST;
    let expected = [
        (String::new(), 2_000 - 2 * burst),
        ("401".to_owned(), burst),
        ("503".to_owned(), burst),
    ];
    assert_eq!(counts, expected.into());
    assert_eq!(
        u64::from(2_000 - 2 * burst),
        bench.node.counters().unanswered
    );
    // Whoever is known is heard all the same, also from that address.
    assert_eq!(bench.ask(&Request::new().from(STRANGER)).status(), 200);
    assert_eq!(
        bench
            .ask(&Request::new().user("nobody").from("192.0.2.8:5060"))
            .status(),
        401
    );
    bench.pass(Duration::from_secs(5));
    assert_eq!(
        bench
            .ask(&Request::new().user("nobody").from(STRANGER))
            .status(),
        401
    );
}

#[test]
fn whoever_answers_challenges_is_never_told_to_wait() {
    let mut bench = guarded("");
    for _ in 0..2_000 {
        let request = Request::new().from(STRANGER);
        let challenge = challenges(&bench.ask(&request)).remove(0);
        let line = credentials(&challenge, 1, Some(Qop::Auth), &request.body, None);
        let answer = bench.ask(&request.extra(&line));
        assert_eq!(answer.status(), 200);
        let ended = Request::new().from(STRANGER).tag(answer.tag()).expires("0");
        let line = credentials(&challenge, 2, Some(Qop::Auth), &ended.body, None);
        assert_eq!(bench.ask(&ended.extra(&line)).status(), 200);
    }
}

/// Requests of somebody else at this address, more than are answered.
fn flood(bench: &mut Bench, from: &str, user: &str) {
    for number in 0..3_000u32 {
        let request = Request::new().user(user).from(from);
        bench.put(from, &request.text(&mut (number + 100_000)));
    }
}

/// The peer proves itself at this address, and ends what it began.
fn prove(bench: &mut Bench, from: &str) {
    let first = Request::new().from(from);
    let challenge = challenges(&bench.ask(&first)).remove(0);
    let line = credentials(&challenge, 1, Some(Qop::Auth), &first.body, None);
    assert_eq!(bench.ask(&first.extra(&line)).status(), 200);
}

#[test]
fn a_peer_is_challenged_whatever_comes_from_its_neighbours() {
    for (peer, neighbour) in [
        (STRANGER, STRANGER),
        // A network of 64 bits counts as one stranger.
        ("[2001:db8::1]:5060", "[2001:db8::2]:5060"),
    ] {
        let mut bench = guarded("");
        prove(&mut bench, peer);
        flood(&mut bench, neighbour, "nobody");
        prove(&mut bench, peer);
        flood(&mut bench, neighbour, "other");
        prove(&mut bench, peer);
    }
}

#[test]
fn a_configured_address_is_challenged_whatever_comes_from_beside_it() {
    let at = "[2001:db8:0:1::1]:5060";
    let mut bench = with_peer_at("2001:db8:0:1::1");
    flood(&mut bench, "[2001:db8:0:1::2]:5060", "nobody");
    prove(&mut bench, at);
    // Nobody's requests from there have a bucket of their own as well.
    let mut bench = with_peer_at("2001:db8:0:1::1");
    flood(&mut bench, at, "nobody");
    prove(&mut bench, at);
}

/// As [`guarded`], and the peer's address is configured.
fn with_peer_at(address: &str) -> Bench {
    let config = TAKES_ONLY.replace(
        "[peer]\ntype=endpoint",
        "[peer]\ntype=endpoint\nauth=secret\nidentify_by=username",
    );
    Bench::new(&format!(
        "{config}[secret]\ntype=auth\nusername=ann\npassword=light\n\
         [peer]\ntype=identify\nendpoint=peer\nmatch={address}\n"
    ))
}

/// Both ways, the peer with credentials.
fn both_ways() -> Bench {
    let config = RELATION
        .replace("@probe=0", "@probe=0\n@resync=0\n@qualify_frequency=0")
        .replace(
            "[peer]\ntype=endpoint",
            "[peer]\ntype=endpoint\nauth=secret",
        );
    let mut bench = Bench::new(&format!(
        "{config}[secret]\ntype=auth\nusername=ann\npassword=light\n"
    ));
    asked(&mut bench, Duration::from_secs(70));
    bench
}

#[test]
fn what_a_peer_is_not_answered_among_challenges_in_its_name_is_asked_for() {
    let mut bench = both_ways();
    prove(&mut bench, STRANGER);
    flood(&mut bench, STRANGER, "peer");
    let request = Request::new().from(STRANGER).text(&mut 9);
    assert_eq!(
        bench.put(STRANGER, &request),
        [] as [String; 0],
        "no refusal: that would be the end of the state"
    );
    assert_eq!(asked(&mut bench, Duration::from_secs(3)), 2);
    assert!(!bench.put(STRANGER, &request).is_empty(), "a copy of it");
}

#[test]
fn strangers_in_a_peers_name_do_not_make_us_ask_it_and_the_peer_does() {
    let mut bench = both_ways();
    flood(&mut bench, STRANGER, "peer");
    assert_eq!(asked(&mut bench, Duration::from_secs(70)), 0);
    flood(&mut bench, STRANGER, "peer");
    bench.pass(Duration::from_secs(2));
    prove(&mut bench, STRANGER);
    assert_eq!(
        asked(&mut bench, Duration::from_secs(3)),
        2,
        "it was among those that were not answered"
    );
}

#[test]
fn a_peer_is_known_at_its_address_over_a_restart() {
    let config = RELATION.replace(
        "[peer]\ntype=endpoint",
        "[peer]\ntype=endpoint\nauth=secret",
    );
    let config = format!("{config}[secret]\ntype=auth\nusername=ann\npassword=light\n");
    let mut bench = Bench::new(&config);
    prove(&mut bench, STRANGER);
    let mut bench = bench.restarted(&config, false);
    flood(&mut bench, STRANGER, "nobody");
    prove(&mut bench, STRANGER);
}

#[test]
fn guesses_of_a_password_run_dry() {
    let mut bench = guarded("");
    let challenge = challenges(&bench.ask(&Request::new().from(STRANGER))).remove(0);
    let mut answered = 0;
    for number in 0..3_000u32 {
        let wrong = "Authorization: Digest username=\"ann\", realm=\"asterisk\", response=\"0123456789abcdef0123456789abcdef\", ";
        let line = format!(
            "{wrong}nonce=\"{}\", uri=\"{URI}\"\r\n",
            parameter(&challenge, "nonce")
        );
        let request = Request::new()
            .from(STRANGER)
            .extra(&line)
            .text(&mut (number + 7));
        let answers = bench.put(STRANGER, &request);
        answered += u32::from(answers.iter().any(|answer| status_of(answer) == "401"));
    }
    assert_eq!(answered, limits::STRANGER_BURST - 1);
}

#[test]
fn a_stranger_on_a_connection_loses_it() {
    let mut bench = with_tls("");
    let flow = accept(&mut bench, STRANGER, Certificate::default());
    let burst = limits::STRANGER_BURST as usize;
    let request = |number: usize| {
        let mut next = u32::try_from(number).unwrap();
        Request::new().user("nobody").from(STRANGER).text(&mut next)
    };
    for number in 0..burst {
        assert_eq!(status_of(&hear(&mut bench, flow, &request(number))), "401");
    }
    assert_eq!(status_of(&hear(&mut bench, flow, &request(burst))), "503");
    assert_eq!(
        hear(&mut bench, flow, &request(burst + 1)),
        "",
        "it is not heard any more"
    );
    bench.pass(limits::FLOW_LINGER);
    assert_eq!(hear(&mut bench, flow, ""), "(closed)");
}

#[test]
fn a_body_that_is_too_long_is_answered_and_ends_the_connection() {
    let mut bench = with_tls("");
    let flow = accept(&mut bench, PEER, Certificate::default());
    let request = Request::new()
        .text(&mut 0)
        .replace("Content-Length: 9", "Content-Length: 123456789");
    let answer = hear(&mut bench, flow, &request);
    assert!(answer.starts_with("SIP/2.0 413 "), "{answer}");
    bench.pass(limits::FLOW_LINGER);
    assert_eq!(hear(&mut bench, flow, &request), "(closed)");
    assert_eq!(bench.lamp("Custom:x1"), None);
}

#[test]
fn a_peer_that_says_nothing_more_still_gets_its_answers() {
    let mut bench = with_tls("");
    let flow = accept(&mut bench, PEER, Certificate::default());
    let request = Request::new().text(&mut 0);
    bench
        .node
        .handle_stream(bench.now, flow, request.as_bytes());
    bench
        .node
        .handle_stream(bench.now, flow, request.as_bytes());
    bench.node.handle_ended(bench.now, flow);
    let answers = hear(&mut bench, flow, "");
    assert_eq!(answers.matches("SIP/2.0 200").count(), 2);
    assert!(answers.ends_with("(closed)"), "{answers}");
    let flow = accept(&mut bench, PEER, Certificate::default());
    bench.node.handle_ended(bench.now, flow);
    assert_eq!(hear(&mut bench, flow, ""), "(closed)");
}

#[test]
fn connections_are_counted_by_network_and_a_configured_peers_by_its_address() {
    let mut bench = with_tls("[other]\ntype=identify\nendpoint=other\nmatch=2001:db8::1\n");
    let mut taken = |host: usize| {
        let remote = format!("[2001:db8::{host:x}]:5060").parse().unwrap();
        let shown = Certificate::default();
        let (now, transport) = (bench.now, TransportId(1));
        bench
            .node
            .handle_accepted(now, transport, remote, shown)
            .is_some()
    };
    let bound = limits::FLOWS_OF_AN_ADDRESS;
    assert_eq!((2..1000).filter(|host| taken(*host)).count(), bound);
    assert_eq!((0..1000).filter(|_| taken(1)).count(), bound);
}

#[test]
fn half_messages_of_all_connections_together_are_bounded() {
    let mut bench = with_tls("");
    let head = Request::new()
        .text(&mut 0)
        .replace("Content-Length: 9", "Content-Length: 6500");
    let half = format!("{head}{}", "x".repeat(60_000));
    let mut closed = 0;
    for number in 0..2_000u32 {
        let [_, _, third, fourth] = number.to_be_bytes();
        let from = format!("10.0.{third}.{fourth}:5060");
        let flow = accept(&mut bench, &from, Certificate::default());
        closed += u32::from(hear(&mut bench, flow, &half) == "(closed)");
    }
    assert!(
        closed >= 2_000 - u32::try_from(limits::FLOW_BYTES / half.len()).unwrap(),
        "{closed}"
    );
    assert!(closed < 1_000, "{closed}");
}

// ---- what one endpoint may hold, and how fast it may ask

#[test]
fn an_endpoint_holds_as_many_states_as_it_may_and_can_still_change_them() {
    let config = TAKES_ONLY.replace(
        "[peer]\ntype=endpoint",
        "[peer]\ntype=endpoint\n@max_devices=2\n@max_mailboxes=1",
    );
    let mut bench = Bench::new(&config);
    let of = |name: &str, state: &str| Request::saying(name, state);
    assert_eq!(bench.ask(&of("a", "INUSE")).status(), 200);
    assert_eq!(bench.ask(&of("b", "INUSE")).status(), 200);
    let refused = bench.ask(&of("c", "INUSE"));
    assert_eq!(
        (refused.status(), refused.header("Retry-After")),
        (503, Some("60"))
    );
    assert_eq!(bench.ask(&of("b", "BUSY")).status(), 200);
    let boxes = |name: &str| {
        Request::new()
            .event("asterisk-mwi")
            .body(mailbox(name, 1, 0))
    };
    assert_eq!(bench.ask(&boxes("1")).status(), 200);
    assert_eq!(bench.ask(&boxes("2")).status(), 503);
    // Another endpoint has room of its own.
    let other = Request::new()
        .user("other")
        .body(device("c", "INUSE").replace("00:02", "00:03"));
    assert_eq!(bench.ask(&other).status(), 200);
    assert_eq!(
        (bench.lamp("b"), bench.lamp("c")),
        (Some("BUSY"), Some("INUSE"))
    );
}

#[test]
fn an_endpoint_above_its_rate_hears_later_and_nothing_is_refused() {
    let config = TAKES_ONLY.replace(
        "[peer]\ntype=endpoint",
        "[peer]\ntype=endpoint\n@request_rate=100",
    );
    let mut bench = Bench::new(&config);
    let mut at_once = 0;
    for number in 0..60 {
        let request = Request::saying(&format!("d{number}"), "INUSE").text(&mut (number + 1));
        at_once += bench.put(PEER, &request).len();
        // A copy of what waits to be answered is not answered twice.
        if number > 20 {
            assert_eq!(bench.put(PEER, &request).len(), 0);
        }
        assert_eq!(
            bench.lamp(&format!("d{number}")),
            Some("INUSE"),
            "it is taken at once"
        );
    }
    assert_eq!(at_once, 10, "a tenth of a second's");
    assert_eq!(bench.node.counters().late, 50);
    let mut heard = 0;
    for _ in 0..10 {
        heard += bench.pass_and_count(Duration::from_millis(50));
    }
    assert_eq!(heard, 50, "5 in each 50 ms");
    bench.pass(Duration::from_secs(1));
    assert_eq!(
        bench.ask(&Request::new().branch("z9hG4bKlast")).status(),
        200
    );
}

#[test]
fn what_is_not_proven_spends_nothing_of_an_endpoints_rate() {
    let config = TAKES_ONLY.replace(
        "[peer]\ntype=endpoint",
        "[peer]\ntype=endpoint\nauth=secret\n@request_rate=1",
    );
    let mut bench = Bench::new(&format!(
        "{config}[secret]\ntype=auth\nusername=ann\npassword=light\n"
    ));
    for number in 0..50u32 {
        let request = Request::new().from(STRANGER).text(&mut (number + 500));
        assert_eq!(bench.put(STRANGER, &request).len(), 1, "answered at once");
    }
    prove(&mut bench, PEER);
    assert_eq!(bench.node.counters().late, 0);
}

#[test]
fn an_endpoint_that_does_not_wait_for_answers_is_not_looked_at() {
    let config = TAKES_ONLY.replace(
        "[peer]\ntype=endpoint",
        "[peer]\ntype=endpoint\n@request_rate=1",
    );
    let mut bench = Bench::new(&config);
    let tag = bench.ask(&Request::new()).tag().to_owned();
    for number in 0..2_000u32 {
        let request = Request::new().tag(&tag).text(&mut (number + 1));
        bench.put(PEER, &request);
    }
    let bound = limits::LATE_ANSWERS as u64;
    assert_eq!(bench.node.counters().late, bound);
    assert_eq!(bench.node.counters().overtaken, 2_000 - bound);
    let other = Request::new()
        .user("other")
        .branch("z9hG4bKother")
        .body(device("c", "INUSE").replace("00:02", "00:03"));
    assert_eq!(bench.ask(&other).status(), 200);
}

// ---- what was refused is asked for

fn note(bench: &Bench, word: &str) -> Option<String> {
    let peers = bench.node.peers(bench.now);
    peers[0]
        .notes
        .iter()
        .find(|note| note.contains(word))
        .cloned()
}

/// Requests for everything that the node sends within a time, over either publish; each is granted, as is everything else.
fn asked(bench: &mut Bench, within: Duration) -> usize {
    let mut count = 0;
    let mut left = within;
    while !left.is_zero() {
        let step = left.min(Duration::from_millis(100));
        left -= step;
        bench.pass(step);
        for request in bench.requests() {
            count += usize::from(request.body().contains("\"refresh\""));
            bench.grant(&request, "tag");
        }
    }
    count
}

#[test]
fn a_peer_whose_tag_is_not_known_is_asked_for_everything_once_a_minute() {
    let mut bench = Bench::new(RELATION);
    assert_eq!(
        asked(&mut bench, Duration::from_secs(5)),
        2,
        "at the start, over both"
    );
    let unknown = Request::new().tag("0");
    assert_eq!(bench.ask(&unknown).status(), 412);
    assert!(note(&bench, "incomplete").is_some_and(|it| it.contains("412")));
    assert_eq!(
        asked(&mut bench, Duration::from_secs(54)),
        0,
        "it was asked less than a minute ago"
    );
    assert_eq!(asked(&mut bench, Duration::from_secs(3)), 2);
    assert_eq!(note(&bench, "incomplete"), None);
    bench.pass(Duration::from_secs(120));
    for _ in 0..3 {
        assert_eq!(bench.ask(&unknown).status(), 412);
    }
    assert_eq!(
        asked(&mut bench, Duration::from_secs(3)),
        2,
        "a swarm is one reason"
    );
    assert_eq!(bench.node.counters().asked_for_missed, 2);
}

#[test]
fn a_late_copy_is_no_reason_to_ask() {
    let mut bench = Bench::new(RELATION);
    asked(&mut bench, Duration::from_secs(70));
    let first = bench.ask(&Request::new()).tag().to_owned();
    bench.ask(&Request::new().tag(&first));
    assert_eq!(bench.ask(&Request::new().tag(&first)).status(), 412);
    assert_eq!(asked(&mut bench, Duration::from_secs(130)), 0);
}

#[test]
fn a_peer_that_was_refused_for_want_of_room_is_asked_when_there_is_some() {
    let config = RELATION
        .replace(
            "[peer]\ntype=endpoint",
            "[peer]\ntype=endpoint\n@max_devices=1",
        )
        .replace(
            "[peer]\ntype=inbound-publication",
            "[peer]\ntype=inbound-publication\nendpoint=peer",
        );
    let mut bench = Bench::new(&config);
    asked(&mut bench, Duration::from_secs(70));
    assert_eq!(bench.ask(&Request::saying("a", "INUSE")).status(), 200);
    assert_eq!(bench.ask(&Request::saying("b", "INUSE")).status(), 503);
    assert!(note(&bench, "when there is room").is_some());
    assert_eq!(
        asked(&mut bench, Duration::from_secs(130)),
        0,
        "there is none yet"
    );
    let larger = config.replace("@max_devices=1", "@max_devices=2");
    bench.reload(&larger).unwrap();
    assert_eq!(asked(&mut bench, Duration::from_secs(61)), 2);
    assert_eq!(note(&bench, "incomplete"), None);
    assert_eq!(bench.ask(&Request::saying("b", "INUSE")).status(), 200);
}

#[test]
fn a_peer_that_spoke_for_too_many_is_asked_when_it_may_speak_for_another() {
    let config = RELATION
        .replace("@probe=0", "@probe=0\n@resync=0\n@qualify_frequency=0")
        .replace(
            "[peer]\ntype=inbound-publication",
            "[peer]\ntype=inbound-publication\nendpoint=peer",
        );
    let mut bench = Bench::new(&config);
    asked(&mut bench, Duration::from_secs(70));
    // A server that is made anew each time; what it left is taken back.
    let mut last = None;
    for number in 0..=limits::ENTITY_IDS_OF_AN_ENDPOINT {
        let eid = format!("04:00:00:00:{:02x}:{:02x}", number / 256, number % 256);
        let mut request = Request::new().body(format!(r#"{{"type":"refresh","eid":"{eid}"}}"#));
        request.tag.clone_from(&last);
        let answer = bench.ask(&request);
        if answer.status() == 503 {
            assert_eq!(number, limits::ENTITY_IDS_OF_AN_ENDPOINT);
            break;
        }
        last = Some(answer.tag().to_owned());
        if number < 4 {
            let body = device("a", "INUSE").replace("02:00:00:00:00:02", &eid);
            let answer = bench.ask(&Request::new().body(body).tag(last.as_deref().unwrap()));
            last = Some(answer.tag().to_owned());
        }
    }
    assert!(note(&bench, "when there is room").is_some());
    // Nothing is left under those that it has left, so there is room.
    assert_eq!(asked(&mut bench, Duration::from_secs(130)), 2);
}

#[test]
fn what_a_reload_may_have_mended_is_asked_for_after_it() {
    let config = RELATION
        .replace("@probe=0", "@probe=0\n@resync=0\n@qualify_frequency=0")
        .replace(
            "[peer]\ntype=endpoint",
            "[peer]\ntype=endpoint\n@allowed_eids=04:*",
        );
    let mut bench = Bench::new(&config);
    asked(&mut bench, Duration::from_secs(70));
    assert_eq!(bench.ask(&Request::new()).status(), 403);
    assert_eq!(asked(&mut bench, Duration::from_secs(130)), 0);
    bench.reload(&config).unwrap();
    assert_eq!(
        asked(&mut bench, Duration::from_secs(5)),
        0,
        "it is what it was"
    );
    bench.reload(&config.replace("04:*", "02:*")).unwrap();
    assert_eq!(asked(&mut bench, Duration::from_secs(5)), 2);
    assert_eq!(note(&bench, "incomplete"), None);
}

#[test]
fn what_is_wrong_with_a_state_itself_is_shown_and_not_asked_for() {
    let mut bench = Bench::new(RELATION);
    asked(&mut bench, Duration::from_secs(70));
    assert_eq!(bench.ask(&Request::new().body("{}")).status(), 400);
    assert_eq!(bench.ask(&Request::new().body("[]")).status(), 400);
    assert!(note(&bench, "incomplete: refused 2 requests").is_some());
    assert_eq!(asked(&mut bench, Duration::from_secs(130)), 0);
    bench.node.refresh(bench.now, None).unwrap();
    assert_eq!(note(&bench, "incomplete"), None, "the operator has asked");
}

#[test]
fn a_peer_that_cannot_be_asked_is_shown_as_incomplete() {
    let mut bench = Bench::new(TAKES_ONLY);
    assert_eq!(bench.ask(&Request::new().tag("0")).status(), 412);
    assert!(note(&bench, "incomplete").is_some_and(|it| it.contains("cannot be asked")));
    // What nothing is lost by is no reason.
    let mut bench = Bench::new(TAKES_ONLY);
    assert_eq!(bench.ask(&Request::new().body("")).status(), 400);
    assert_eq!(bench.ask(&Request::new().expires("1")).status(), 423);
    assert_eq!(note(&bench, "incomplete"), None);
}

#[test]
fn a_peer_that_a_challenge_has_silenced_is_shown() {
    let config = RELATION.replace(
        "[peer]\ntype=endpoint",
        "[peer]\ntype=endpoint\nauth=secret",
    );
    let mut bench = Bench::new(&format!(
        "{config}[secret]\ntype=auth\nusername=ann\npassword=light\n"
    ));
    assert_eq!(bench.ask(&Request::new()).status(), 401);
    assert_eq!(note(&bench, "silent"), None);
    bench.pass(Duration::from_secs(65));
    assert!(note(&bench, "silent since we answered 401").is_some());
}

/// It answers what it is told, and sends nothing itself: that is how a stock Asterisk is silent.
#[test]
fn a_silenced_peer_that_answers_is_shown_all_the_same() {
    let config = RELATION
        .replace(
            "[peer]\ntype=endpoint",
            "[peer]\ntype=endpoint\nauth=secret",
        )
        .replace("@probe=0", "@probe=5");
    let mut bench = Bench::new(&format!(
        "{config}[secret]\ntype=auth\nusername=ann\npassword=light\n"
    ));
    asked(&mut bench, Duration::from_secs(1));
    assert_eq!(bench.ask(&Request::new()).status(), 401);
    asked(&mut bench, Duration::from_secs(65));
    assert!(note(&bench, "silent since we answered 401").is_some());
}

/// One that is known by its user name, whatever its address, is shown too, unless it holds a publication: then anybody may use its name.
#[test]
fn a_silenced_peer_that_is_known_by_its_name_is_shown() {
    let config = RELATION.replace(
        "[peer]\ntype=endpoint",
        "[peer]\ntype=endpoint\nauth=secret",
    );
    let with = |auth: &str| {
        format!("{config}[secret]\ntype=auth\nauth_type={auth}\nusername=ann\npassword=light\n")
    };
    let elsewhere = || Request::new().from("192.0.2.77:5060");
    let mut bench = Bench::new(&with("userpass"));
    asked(&mut bench, Duration::from_secs(1));
    assert_eq!(bench.ask(&elsewhere().user("somebody")).status(), 401);
    asked(&mut bench, Duration::from_secs(65));
    assert_eq!(note(&bench, "silent"), None, "nobody's name");
    assert_eq!(bench.ask(&elsewhere()).status(), 401);
    assert_eq!(note(&bench, "silent"), None);
    asked(&mut bench, Duration::from_secs(65));
    assert!(note(&bench, "silent since we answered 401").is_some());

    // It had published before it was asked for a password.
    let mut bench = Bench::new(&config.replace("auth=secret\n", ""));
    assert_eq!(bench.ask(&elsewhere()).status(), 200);
    bench.reload(&with("userpass")).unwrap();
    assert_eq!(bench.ask(&elsewhere()).status(), 401);
    asked(&mut bench, Duration::from_secs(65));
    assert_eq!(note(&bench, "silent"), None);
    asked(&mut bench, Duration::from_secs(3600));
    assert!(note(&bench, "silent since we answered 401").is_some());
}
