//! Why a lamp is lit, asked over HTTP and on the command line.

use std::net::UdpSocket;

use super::harness::{Node, address, wait_for};
use super::pair::{ONE, TWO, relation, start_one, start_two};
use super::sip::Draft;

#[test]
fn a_lamp_is_explained_on_both_nodes() {
    let (at_one, at_two) = (address(), address());
    let (one, two) = (start_one(at_one, at_two), start_two(at_two, at_one));
    for (node, state) in [(&one, "RINGING"), (&two, "INUSE")] {
        let body = format!("{{\"state\":\"{state}\"}}");
        assert_eq!(node.put("/api/v1/devices/Custom%3Adoor", &body).status, 201);
    }
    let explained = wait_for("a state that the other has confirmed", || {
        let answer = one.get("/api/v1/explain/devices/Custom%3Adoor").json;
        let told = answer["publishers"][0]["values"][0]["delivery"] == "confirmed";
        // Its first request says what it is.
        let known = answer["entities"].to_string().contains("the Lampwire of");
        (told && known && answer["state"] == "RINGINUSE").then_some(answer)
    });
    assert!(explained["publishers"][0]["values"][0]["confirmed_at"].is_string());
    assert!(
        explained["sum"]
            .as_str()
            .unwrap()
            .starts_with("RINGINUSE: made of RINGING of this node"),
        "{explained}"
    );
    let entities = explained["entities"].as_array().unwrap();
    let of = |eid: &str| entities.iter().find(|it| it["eid"] == eid).unwrap();
    assert_eq!(
        of(ONE)["clear"]["command"],
        "lampwire unset device Custom:door"
    );
    // The other is a Lampwire as well: no Asterisk's command helps there.
    assert_eq!(
        of(TWO)["clear"],
        serde_json::json!({
            "on": format!("the Lampwire of instance2 ({TWO})"),
            "command": "lampwire unset device Custom:door", "note": null
        })
    );
    assert_eq!(
        (&of(TWO)["peer"], &of(TWO)["decides"]),
        (&"instance2".into(), &true.into())
    );
    assert!(of(TWO)["age_ms"].is_u64());
    assert_eq!(
        explained["publishers"][0]["values"][1]["delivery"],
        "not-told"
    );
    assert_eq!(explained["publishers"][0]["peer"], "instance2");
    assert_eq!(explained["history"].as_array().unwrap().len(), 2);

    let (code, out, error) = one.command(&["explain", "Custom:door"]);
    assert_eq!((code, error.as_str()), (0, ""));
    for part in [
        "RINGINUSE: made of",
        "instance2",
        "confirmed",
        "to clear it on",
        "LATELY",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (code, out, _) = one.command(&["explain", "--json", "Custom:door"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["state"]), (0, &"RINGINUSE".into()));
}

#[test]
fn what_a_filter_keeps_out_is_told() {
    let (at_one, at_two) = (address(), address());
    let filter = relation("instance2", "instance1", at_one) + "device_state_filter=^PJSIP/1\n";
    let two = Node::start(at_two, &format!("entity_id={TWO}"), &filter);
    let problem = two.get("/api/v1/explain/devices/PJSIP%2F2001").problem(404);
    assert!(problem.contains("\"^PJSIP/1\""), "{problem}");
    // An Asterisk knows nothing of the filter, and sends it all the same.
    let body = format!(
        "{{\"type\":\"devicestate\",\"device\":\"PJSIP/2001\",\"state\":\"INUSE\",\"cachable\":\"1\",\"eid\":\"{ONE}\"}}"
    );
    let publish = Draft::publish("instance1", "asterisk-devicestate", body)
        .set("Via", "SIP/2.0/UDP 127.0.0.1:5060;rport;branch=z9hG4bK1")
        .bytes();
    let asterisk = UdpSocket::bind((at_one, 5060)).unwrap();
    let explained = wait_for("a state that was dropped", || {
        asterisk.send_to(&publish, (at_two, 5060)).unwrap();
        let answer = two.get("/api/v1/explain/devices/PJSIP%2F2001");
        (answer.status == 200).then_some(answer.json)
    });
    assert_eq!(explained["entities"].as_array().unwrap().len(), 0);
    let dropped = &explained["dropped"];
    assert_eq!(
        (&dropped["eid"], &dropped["said"], &dropped["cause"]),
        (&ONE.into(), &"INUSE".into(), &"not-wanted".into())
    );
    assert_eq!(explained["publications"][0]["filter"], "^PJSIP/1");
    let (_, out, _) = two.command(&["explain", "PJSIP/2001"]);
    assert!(
        out.contains("NOT TAKEN BY") && out.contains("dropped 1 times"),
        "{out}"
    );
}

#[test]
fn what_a_peer_has_not_asked_for_is_told() {
    let (at_one, at_two) = (address(), address());
    let one = start_one(at_one, at_two);
    let filter = relation("instance2", "instance1", at_one) + "device_state_filter=^PJSIP/1\n";
    let _two = Node::start(at_two, &format!("entity_id={TWO}"), &filter);
    one.put("/api/v1/devices/PJSIP%2F2001", r#"{"state":"INUSE"}"#);
    wait_for("a filter that a Lampwire has told", || {
        let explained = one.get("/api/v1/explain/devices/PJSIP%2F2001").json;
        let told = &explained["publishers"][0];
        let why = told["why"].as_str()?.to_owned();
        (told["wanted"] == false && why.contains("asked only for what \"^PJSIP/1\"")).then_some(())
    });
}

#[test]
fn mailboxes_are_explained_too_and_found_by_their_names() {
    let node = Node::alone();
    node.put("/api/v1/mailboxes/100%40default", r#"{"new":2,"old":1}"#);
    let explained = node.get("/api/v1/explain/mailboxes/100%40default").json;
    assert_eq!(
        (&explained["new"], &explained["old"]),
        (&2.into(), &1.into())
    );
    assert_eq!(
        explained["entities"][0]["clear"]["command"],
        "lampwire unset mailbox 100@default"
    );
    let (code, out, _) = node.command(&["explain", "100@default"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("100@default\n2/1 of this node"), "{out}");
    let (code, _, error) = node.command(&["explain", "PJSIP/1"]);
    assert_eq!(code, 1);
    assert!(
        error.contains("no node has said anything of a device \"PJSIP/1\""),
        "{error}"
    );
    node.get("/api/v1/explain/mailboxes/200%40default")
        .problem(404);
    node.post("/api/v1/explain/mailboxes/100%40default", "{}")
        .problem(405);
    node.get("/api/v1/explain").problem(404);
}

#[test]
fn the_status_is_on_one_screen() {
    let node = Node::start(address(), &format!("entity_id={ONE}"), "");
    node.put("/api/v1/devices/Custom%3A1", r#"{"state":"INUSE"}"#);
    let status = node.get("/api/v1/status").json;
    assert_eq!(
        (&status["entity_id"], &status["states"]),
        (&ONE.into(), &1.into())
    );
    let (code, out, _) = node.command(&["status"]);
    assert_eq!(code, 0);
    assert!(out.contains(ONE) && out.contains("0 up, 0 down"), "{out}");
}
