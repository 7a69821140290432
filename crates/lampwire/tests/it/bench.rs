//! Load by `lampwire bench`, on nodes that take it and others that do not.

use serde_json::Value;

use super::certificates::Authority;
use super::harness::{Directory, Node, address, finish, lampwire, run};
use super::target;

/// A node that takes everything from whoever calls himself `load`; `more` is its endpoint's.
fn taking(more: &str, transports: &str) -> (Node, std::net::Ipv4Addr) {
    let at = address();
    let transports = transports.replace("ADDRESS", &at.to_string());
    let text = format!(
        "{transports}[load]\ntype=endpoint\n{more}\n[load]\ntype=inbound-publication\nevent_asterisk-devicestate=load\n\
         event_asterisk-mwi=load\n[load]\ntype=asterisk-publication\ndevice_state=yes\nmailbox_state=yes\n\
         [other]\ntype=inbound-publication\nendpoint=load\nevent_asterisk-mwi=load\n"
    );
    (Node::start(at, "entity_id=02:00:00:00:00:01", &text), at)
}

/// Runs it, and gives what it measured.
fn measured(arguments: &[&str]) -> Value {
    let all = [
        &["bench", "publish", "--json", "--duration", "1"],
        arguments,
    ]
    .concat();
    let (code, out, error) = run(&all);
    assert_eq!((code, error.as_str()), (0, ""), "{arguments:?}");
    let json: Value = serde_json::from_str(&out).unwrap();
    for (name, expected) in [("unanswered", 0), ("due", 200), ("sent", 200)] {
        assert_eq!(json[name], expected, "{name}: {json}");
    }
    assert_eq!(json["granted"], 200, "{json}");
    for kind in ["latency_us", "service_us"] {
        let of = |name: &str| json[kind][name].as_u64().unwrap();
        assert!(
            of("p50") > 0 && of("p50") <= of("p99") && of("p99") <= of("max"),
            "{json}"
        );
    }
    json
}

fn publications(node: &Node) -> u64 {
    let text = node.get("/metrics").text;
    let line = text
        .lines()
        .find(|line| line.starts_with("lampwire_publications "));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

fn states(node: &Node) -> Value {
    node.get("/api/v1/status").json["states"].clone()
}

#[test]
fn every_request_is_answered_and_nothing_is_left() {
    let (node, at) = taking("", "");
    let target = format!("sip:load@{at}");
    measured(&[&target, "--rate", "200", "--lanes", "5", "--devices", "30"]);
    assert_eq!(publications(&node), 0);
    assert_eq!(states(&node), 30);
    measured(&[
        &target,
        "--rate",
        "200",
        "--lanes",
        "7",
        "--event",
        "asterisk-mwi",
        "--keep",
    ]);
    assert_eq!(publications(&node), 7);
    assert_eq!(states(&node), 37);
    // The last change of each device is the one that is kept: 40 on each lane of six devices are six rounds and four devices of a seventh.
    let eid = "02:00:00:00:be:4c";
    assert_eq!(
        node.said("Custom:bench0000000", eid).as_deref(),
        Some("INUSE")
    );
    assert_eq!(
        node.said("Custom:bench0000029", eid).as_deref(),
        Some("NOT_INUSE")
    );
}

/// Each by itself, as the interface has them.
#[test]
fn every_option_works_alone() {
    let (_node, at) = taking("", "");
    let target = format!("sip:load@{at}:5060");
    for (option, lanes, devices) in [
        (&["--devices", "3"][..], 3, 3),
        (&["--devices", "100"], 64, 100),
        (&["--lanes", "4"], 4, 4),
        (&["--event", "asterisk-mwi"], 64, 64),
        (&[], 64, 64),
    ] {
        let arguments = [
            &["bench", "publish", "--json", "--duration", "1"][..],
            &["--to", &target],
            option,
        ]
        .concat();
        let (code, out, error) = run(&arguments);
        assert_eq!((code, error.as_str()), (0, ""), "{option:?}");
        let json: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (json["granted"].as_u64(), json["lanes"].as_u64()),
            (Some(100), Some(lanes)),
            "{option:?}: {json}"
        );
        assert_eq!(json["devices"], devices, "{option:?}: {json}");
    }
}

#[test]
fn challenges_are_answered_over_tcp_by_the_algorithm_asked_for() {
    let auth = "auth=load\n[load]\ntype=auth\nauth_type=digest\nusername=lamp\npassword=s3cret\nsupported_algorithms_uas=SHA-256\n";
    let (_node, at) = taking(
        auth,
        "[tcp]\ntype=transport\nprotocol=tcp\nbind=ADDRESS:5060\n",
    );
    let directory = Directory::new();
    let secret = format!("@{}", directory.write("secret", "lamp:s3cret\n"));
    for target in [
        format!("sip:load@{at}"),
        format!("sip:load@{at};transport=tcp"),
    ] {
        let json = measured(&[
            &target, "--rate", "200", "--lanes", "5", "--digest", &secret,
        ]);
        assert_eq!(json["challenges"], 0, "a nonce serves again: {json}");
        let (code, _, error) = run(&["bench", "publish", &target]);
        assert!(
            code == 1 && error.contains("give --digest USER:PASSWORD"),
            "{error}"
        );
        let (code, _, error) = run(&["bench", "publish", &target, "--digest", "lamp:wrong"]);
        assert!(
            code == 1 && error.contains("401") && error.contains("not what it expects"),
            "{error}"
        );
    }
}

#[test]
fn tls_is_checked() {
    let authority = Authority::new("Right authority");
    let directory = Directory::new();
    let ca = directory.write("ca.pem", &authority.pem);
    let other = directory.write("other.pem", &Authority::new("Wrong authority").pem);
    let signed = authority.sign(&["localhost", "127.0.0.1"]);
    let (certificate, key) = (
        directory.write("cert.pem", &signed.certificate),
        directory.write("key.pem", &signed.key),
    );
    let (_node, _) = taking(
        "",
        &format!(
            "[tls]\ntype=transport\nprotocol=tls\nbind=127.0.0.1:15971\ncert_file={certificate}\npriv_key_file={key}\n"
        ),
    );
    let target = "sips:load@127.0.0.1:15971";
    measured(&[target, "--rate", "200", "--lanes", "5", "--ca", &ca]);
    let (code, _, error) = run(&["bench", "publish", target, "--ca", &other]);
    assert!(
        code == 1 && error.contains("no TLS with 127.0.0.1"),
        "{error}"
    );
}

/// What a load measures on a target that is mute for half a second.
fn measured_mute(target: &str, more: &[&str]) -> Value {
    let arguments = ["bench", "publish", target, "--json", "--keep"];
    let (code, out, error) = run(&[&arguments[..], more].concat());
    assert_eq!((code, error.as_str()), (0, ""));
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["unanswered"], 0, "{json}");
    assert_eq!(json["granted"], json["due"], "{json}");
    json
}

#[test]
fn a_target_that_is_mute_for_half_a_second_is_not_spared_what_was_due_then() {
    let at = address();
    // A quarter of the load is due while it is mute, on four lanes, which have one request on its way each.
    target::over_udp(at, 4 + 500);
    let target = format!("sip:load@{at}");
    let load = ["--rate", "1000", "--duration", "2", "--lanes", "4"];
    let json = measured_mute(&target, &load);
    let of = |kind: &str, name: &str| json[kind][name].as_u64().unwrap();
    // One in a hundred waited for nearly all of it, and one in ten for most of it. Who counts from when a request left sees four.
    assert!(of("latency_us", "p99") >= 450_000, "{json}");
    assert!(of("latency_us", "p90") >= 250_000, "{json}");
    assert!(of("latency_us", "max") >= 490_000, "{json}");
    assert!(of("service_us", "max") >= 490_000, "{json}");
}

#[test]
fn over_tls_more_may_wait_for_the_target_than_fits_into_a_buffer() {
    let authority = Authority::new("Right authority");
    let directory = Directory::new();
    let ca = directory.write("ca.pem", &authority.pem);
    let at = address();
    let signed = authority.sign(&[&at.to_string()]);
    target::over_tls((at, 5061).into(), &signed, 1000 + 200);
    let target = format!("sips:load@{at}");
    let load = [
        "--rate",
        "2000",
        "--duration",
        "1",
        "--lanes",
        "1000",
        "--ca",
        &ca,
    ];
    measured_mute(&target, &load);
}

#[test]
fn what_cannot_be_measured_is_told_with_what_to_do() {
    let (_node, at) = taking("", "");
    let nobody = address();
    for (arguments, told) in [
        (
            &[format!("sip:nobody@{at}"), "--user=load".to_owned()][..],
            "no inbound-publication",
        ),
        (
            &[format!("sip:other@{at}"), "--user=load".to_owned()],
            "and --event",
        ),
        (&[format!("sip:load@{nobody}")], "nothing listens at"),
        (
            &[format!("sip:load@{nobody};transport=tcp")],
            "nothing takes connections at",
        ),
        (
            &[
                format!("sip:load@{at}"),
                "--devices=3".to_owned(),
                "--lanes=4".to_owned(),
            ],
            "fewer than --lanes 4",
        ),
        (
            &[format!("sip:load@{at}"), "--ca=x".to_owned()],
            "--ca is for TLS",
        ),
        (
            &[format!("sip:load@{at}"), "--bind=192.0.2.1".to_owned()],
            "no address to send from",
        ),
    ] {
        let (code, out, error) = finish(lampwire().args(["bench", "publish"]).args(arguments));
        assert_eq!((code, out.as_str()), (1, ""), "{error}");
        assert!(
            error.starts_with("error: ") && error.contains(told),
            "{error}"
        );
    }
    for wrong in [
        &["load@127.0.0.1"][..],
        &["--to", "load@127.0.0.1"],
        &["--to", "sip:load@127.0.0.1", "sip:load@127.0.0.1"],
        &[],
        &["sip:load@127.0.0.1", "--rate", "0"],
        &["sip:load@127.0.0.1", "--lanes", "10001"],
        &["sip:load@127.0.0.1", "--event", "presence"],
    ] {
        let (code, _, error) = run(&[&["bench", "publish"], wrong].concat());
        assert_eq!(code, 2, "{error}");
    }
}

#[test]
fn the_tables_stand_in_line() {
    let (_node, at) = taking("", "");
    let target = format!("sip:load@{at}");
    let (code, out, error) = run(&["bench", "publish", &target, "--duration", "1"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let tables: Vec<Vec<&str>> = out
        .split("\n\n")
        .map(|table| table.lines().collect())
        .collect();
    assert_eq!(tables.len(), 2, "{out}");
    for table in &tables {
        let ends: Vec<usize> = table.iter().map(|line| line.len()).collect();
        assert_eq!(ends, vec![ends[0]; table.len()], "{out}");
    }
    let row = |index: usize| tables[0][index].split_whitespace().collect::<Vec<_>>();
    assert_eq!(row(0), ["REQUESTS", "COUNT", "A", "SECOND"]);
    assert_eq!(row(1)[..2], ["due", "100"]);
    assert_eq!(row(2)[..2], ["granted", "100"]);
    assert!(tables[1][0].starts_with("LATENCY, MS"), "{out}");
}
