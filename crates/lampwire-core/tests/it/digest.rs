//! Credentials: those that peers show us, and those that we show them.

use std::time::Duration;

use lampwire_sip::{Algorithm, DeviceState, DigestRequest, Qop, ha1, response};

use crate::bench::{Answer, Bench, RELATION, Request, TAKES_ONLY};

const AUTH: &str = "[secret]\ntype=auth\nusername=ann\npassword=light\nsupported_algorithms_uas=SHA-512-256,SHA-256,MD5\nsupported_algorithms_uac=SHA-512-256,SHA-256,MD5\n";

fn guarded() -> Bench {
    let config = TAKES_ONLY.replace(
        "[peer]\ntype=endpoint",
        "[peer]\ntype=endpoint\nauth=secret",
    );
    Bench::new(&format!("{config}{AUTH}"))
}

/// The value of a parameter of a challenge or of credentials.
fn parameter<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let start = header.find(&format!("{name}="))? + name.len() + 1;
    let rest = &header[start..];
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split([',', ' ']).next(),
    }
}

fn challenges(answer: &Answer) -> Vec<&str> {
    answer
        .0
        .split("\r\n")
        .filter_map(|line| line.strip_prefix("WWW-Authenticate: "))
        .collect()
}

/// An Authorization line for a challenge.
fn credentials(
    challenge: &str,
    username: &str,
    password: &str,
    uri: &str,
    qop: Option<Qop>,
    body: &str,
) -> String {
    let algorithm = Algorithm::parse(parameter(challenge, "algorithm").unwrap()).unwrap();
    let (realm, nonce) = (
        parameter(challenge, "realm").unwrap(),
        parameter(challenge, "nonce").unwrap(),
    );
    let digest = response(
        algorithm,
        &ha1(algorithm, username, realm, password),
        &DigestRequest {
            method: "PUBLISH",
            uri,
            nonce,
            body: body.as_bytes(),
            qop: qop.map(|qop| (qop, 1, "c0ffee")),
            cnonce_for_sess: None,
        },
    );
    let qop = match qop {
        Some(Qop::Auth) => ", qop=auth, nc=00000001, cnonce=\"c0ffee\"",
        Some(Qop::AuthInt) => ", qop=auth-int, nc=00000001, cnonce=\"c0ffee\"",
        None => "",
    };
    format!(
        "Authorization: Digest username=\"{username}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{}\", algorithm={}{qop}\r\n",
        digest.as_str(),
        algorithm.as_str()
    )
}

const URI: &str = "sip:peer@127.0.0.1";

#[test]
fn one_challenge_for_each_algorithm_in_the_configured_order() {
    let answer = guarded().ask(&Request::new());
    assert_eq!(answer.status(), 401);
    let algorithms: Vec<_> = challenges(&answer)
        .iter()
        .map(|it| parameter(it, "algorithm").unwrap())
        .collect();
    assert_eq!(algorithms, ["SHA-512-256", "SHA-256", "MD5"]);
    assert!(
        challenges(&answer)
            .iter()
            .all(|it| parameter(it, "realm") == Some("asterisk"))
    );
}

#[test]
fn md5_alone_is_offered_unless_configured() {
    let config = TAKES_ONLY.replace(
        "[peer]\ntype=endpoint",
        "[peer]\ntype=endpoint\nauth=secret",
    );
    let mut bench = Bench::new(&format!(
        "{config}[secret]\ntype=auth\nusername=ann\npassword=light\n"
    ));
    let answer = bench.ask(&Request::new());
    let algorithms: Vec<_> = challenges(&answer)
        .iter()
        .map(|it| parameter(it, "algorithm").unwrap())
        .collect();
    assert_eq!(algorithms, ["MD5"]);
}

#[test]
fn right_credentials_are_taken_in_every_algorithm_and_qop() {
    for index in 0..3 {
        for qop in [Some(Qop::Auth), Some(Qop::AuthInt), None] {
            let mut bench = guarded();
            let challenge = challenges(&bench.ask(&Request::new()))[index].to_owned();
            let request = Request::new();
            let line = credentials(&challenge, "ann", "light", URI, qop, &request.body);
            assert_eq!(
                bench.ask(&request.extra(&line)).status(),
                200,
                "{challenge} {qop:?}"
            );
            assert_eq!(bench.lamp("Custom:x1"), Some("INUSE"));
        }
    }
}

#[test]
fn wrong_credentials_get_another_challenge_and_change_nothing() {
    let mut bench = guarded();
    let challenge = challenges(&bench.ask(&Request::new()))[2].to_owned();
    let body = Request::new().body;
    let right = credentials(&challenge, "ann", "light", URI, Some(Qop::Auth), &body);
    for (what, line) in [
        (
            "password",
            credentials(&challenge, "ann", "dark", URI, Some(Qop::Auth), &body),
        ),
        (
            "user name",
            credentials(&challenge, "bob", "light", URI, Some(Qop::Auth), &body),
        ),
        (
            "another request-URI",
            credentials(
                &challenge,
                "ann",
                "light",
                "sip:other@127.0.0.1",
                Some(Qop::Auth),
                &body,
            ),
        ),
        (
            "another body than auth-int was reckoned for",
            credentials(&challenge, "ann", "light", URI, Some(Qop::AuthInt), "{}"),
        ),
        ("no nc", right.replace("nc=00000001, ", "")),
        (
            "another realm",
            right.replace("realm=\"asterisk\"", "realm=\"elsewhere\""),
        ),
        ("not digest", "Authorization: Basic YTpi\r\n".to_owned()),
        (
            "userhash",
            right.replace("Digest ", "Digest userhash=true, "),
        ),
    ] {
        let answer = bench.ask(&Request::new().extra(&line));
        assert_eq!(answer.status(), 401, "{what}");
        assert_eq!(challenges(&answer).len(), 3, "{what}");
        assert!(!answer.0.contains("stale"), "{what}");
    }
    assert_eq!(bench.node.states(), 0);
}

#[test]
fn an_old_or_foreign_nonce_is_stale_where_the_rest_is_right() {
    let mut bench = guarded();
    let challenge = challenges(&bench.ask(&Request::new()))[2].to_owned();
    let body = Request::new().body;
    let line = credentials(&challenge, "ann", "light", URI, Some(Qop::Auth), &body);
    bench.pass(Duration::from_secs(33));
    let answer = bench.ask(&Request::new().extra(&line));
    assert_eq!(answer.status(), 401);
    assert!(
        challenges(&answer)
            .iter()
            .all(|it| it.contains("stale=true")),
        "{}",
        answer.0
    );

    let foreign = challenge.replace(parameter(&challenge, "nonce").unwrap(), "abcdef");
    let line = credentials(&foreign, "ann", "light", URI, Some(Qop::Auth), &body);
    assert!(
        bench
            .ask(&Request::new().extra(&line))
            .0
            .contains("stale=true")
    );
    let line = credentials(&foreign, "ann", "dark", URI, Some(Qop::Auth), &body);
    assert!(
        !bench
            .ask(&Request::new().extra(&line))
            .0
            .contains("stale=true")
    );
}

#[test]
fn what_was_captured_in_one_life_is_worth_nothing_in_the_next() {
    let config = TAKES_ONLY.replace(
        "[peer]\ntype=endpoint",
        "[peer]\ntype=endpoint\nauth=secret",
    );
    let config = format!("{config}{AUTH}");
    let mut bench = guarded();
    let challenge = challenges(&bench.ask(&Request::new()))[2].to_owned();
    let captured = Request::saying("Custom:x1", "INUSE");
    let line = credentials(
        &challenge,
        "ann",
        "light",
        URI,
        Some(Qop::Auth),
        &captured.body,
    );
    let captured = captured.extra(&line);
    assert_eq!(bench.ask(&captured).status(), 200);
    assert_eq!(bench.ask(&captured).status(), 401, "in the same life");
    // The keys of tags go on, the clock does too, and what was counted does not.
    let mut bench = bench.restarted(&config, true);
    let answer = bench.ask(&captured);
    assert_eq!(answer.status(), 401);
    assert!(answer.0.contains("stale=true"), "{}", answer.0);
}

#[test]
fn a_challenge_is_answered_with_the_topmost_algorithm_that_we_have() {
    let config = RELATION.replace(
        "event=asterisk-devicestate\n@lanes",
        "event=asterisk-devicestate\noutbound_auth=secret\n@lanes",
    );
    let mut bench = Bench::new(&format!("{config}{AUTH}"));
    let first = bench
        .requests()
        .into_iter()
        .find(|it| it.header("Event") == Some("asterisk-devicestate"))
        .unwrap();
    assert_eq!(
        first.header("Authorization"),
        None,
        "no credentials unasked"
    );
    bench.answer(
        &first,
        "401 Unauthorized",
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\", algorithm=SHA-999, qop=\"auth\"\r\n\
         WWW-Authenticate: Digest realm=\"r\", nonce=\"n2\", opaque=\"o\", algorithm=SHA-256, qop=\"auth,auth-int\"\r\n\
         WWW-Authenticate: Digest realm=\"r\", nonce=\"n3\", algorithm=MD5, qop=\"auth\"\r\n",
    );
    let second = bench.requests().remove(0);
    let line = second.header("Authorization").unwrap();
    assert_eq!(parameter(line, "nonce"), Some("n2"));
    assert_eq!(parameter(line, "opaque"), Some("o"));
    assert_eq!(parameter(line, "nc"), Some("00000001"));
    let cnonce = parameter(line, " cnonce").unwrap();
    let expected = response(
        Algorithm::Sha256,
        &ha1(Algorithm::Sha256, "ann", "r", "light"),
        &DigestRequest {
            method: "PUBLISH",
            uri: "sip:node@127.0.0.2",
            nonce: "n2",
            body: second.body().as_bytes(),
            qop: Some((Qop::Auth, 1, cnonce)),
            cnonce_for_sess: None,
        },
    );
    assert_eq!(parameter(line, "response"), Some(expected.as_str()));
    assert_eq!(first.header("Call-ID"), second.header("Call-ID"));
    assert_ne!(first.header("CSeq"), second.header("CSeq"));

    // The nonce is used again until the peer shows that it takes each once.
    bench.grant(&second, "t1");
    bench.set("Custom:x1", DeviceState::InUse);
    let third = bench.requests().remove(0);
    let line = third.header("Authorization").unwrap();
    assert_eq!(
        (parameter(line, "nonce"), parameter(line, "nc")),
        (Some("n2"), Some("00000002"))
    );
}

#[test]
fn refused_credentials_lead_to_a_long_pause_and_never_to_the_end() {
    let config = RELATION.replace(
        "event=asterisk-devicestate\n@lanes",
        "event=asterisk-devicestate\noutbound_auth=secret\n@lanes",
    );
    let mut bench = Bench::new(&format!("{config}{AUTH}"));
    let mut requests = 0;
    let mut pending: Vec<_> = bench
        .requests()
        .into_iter()
        .filter(|it| it.header("Event") == Some("asterisk-devicestate"))
        .collect();
    while let Some(request) = pending.pop() {
        requests += 1;
        let nonce = format!(
            "WWW-Authenticate: Digest realm=\"r\", nonce=\"n{requests}\", algorithm=MD5\r\n"
        );
        bench.answer(&request, "401 Unauthorized", &nonce);
        pending = bench.requests();
    }
    assert_eq!(
        requests, 6,
        "one without credentials and max_auth_attempts with"
    );
    assert!(bench.notices().contains(&"peer-refuses"));
    bench.pass(Duration::from_secs(299));
    assert_eq!(
        bench
            .requests()
            .iter()
            .filter(|it| it.header("Event") == Some("asterisk-devicestate"))
            .count(),
        0
    );
    bench.pass(Duration::from_secs(100));
    let again = bench
        .requests()
        .into_iter()
        .rfind(|it| it.header("Event") == Some("asterisk-devicestate"))
        .unwrap();
    bench.grant(&again, "t1");
    assert!(bench.notices().contains(&"peer-back"));
}

#[test]
fn a_challenge_without_outbound_auth_is_told_and_tried_again_later() {
    let mut bench = Bench::new(RELATION);
    let first = bench
        .requests()
        .into_iter()
        .find(|it| it.header("Event") == Some("asterisk-devicestate"))
        .unwrap();
    bench.answer(
        &first,
        "401 Unauthorized",
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n",
    );
    assert_eq!(bench.requests(), []);
    assert!(bench.notices().contains(&"peer-refuses"));
    bench.pass(Duration::from_secs(400));
    assert!(
        bench
            .requests()
            .iter()
            .any(|it| it.header("Event") == Some("asterisk-devicestate"))
    );
}
