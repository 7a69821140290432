//! The HTTP interface of one node.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::harness::{DEADLINE, Node, Request, address};

#[test]
fn a_device_is_set_shown_listed_and_taken_back() {
    let node = Node::start(address(), "entity_id=02:00:00:00:00:01", "");
    let path = "/api/v1/devices/PJSIP%2F1001";
    assert!(node.get(path).problem(404).contains("PJSIP/1001"));

    let answer = node.put(path, r#"{"state":"INUSE"}"#);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.json["device"], "PJSIP/1001");
    assert_eq!(answer.json["state"], "INUSE");
    let entity = &answer.json["entities"][0];
    assert_eq!(entity["eid"], "02:00:00:00:00:01");
    assert_eq!(entity["state"], "INUSE");
    assert_eq!(entity["cachable"], true);
    assert_eq!(entity["source"], "local");
    assert!(entity["peer"].is_null());
    let updated_at = entity["updated_at"].as_str().unwrap();
    assert_eq!(
        (
            updated_at.len(),
            &updated_at[10..11],
            &updated_at[19..20],
            &updated_at[23..]
        ),
        (24, "T", ".", "Z")
    );

    assert_eq!(
        node.put(path, r#"{"state":"ringing","cachable":true}"#)
            .status,
        200
    );
    assert_eq!(node.get(path).json["state"], "RINGING");
    assert_eq!(
        node.get("/api/v1/devices/PJSIP/1001").json["state"],
        "RINGING"
    );
    assert_eq!(
        node.get("/api/v1/devices/pjsip%2F1001").status,
        404,
        "names compare byte for byte"
    );

    let all = node.get("/api/v1/devices").json;
    assert_eq!(all["devices"].as_array().unwrap().len(), 1);
    assert!(all["next"].is_null());

    assert_eq!(node.delete(path).status, 204);
    assert!(node.delete(path).problem(404).contains("PJSIP/1001"));
}

#[test]
fn a_mailbox_is_set_shown_listed_and_taken_back() {
    let node = Node::start(address(), "entity_id=02:00:00:00:00:01", "");
    let path = "/api/v1/mailboxes/100%40default";
    assert!(node.get(path).problem(404).contains("100@default"));
    let answer = node.put(path, r#"{"new":3,"old":2}"#);
    assert_eq!(answer.status, 201, "{answer:?}");
    let mailbox = node.get("/api/v1/mailboxes/100@default").json;
    assert_eq!(mailbox, answer.json);
    assert_eq!(
        (&mailbox["mailbox"], &mailbox["new"], &mailbox["old"]),
        (&"100@default".into(), &3.into(), &2.into())
    );
    assert_eq!(
        (&mailbox["eid"], &mailbox["source"]),
        (&"02:00:00:00:00:01".into(), &"local".into())
    );
    assert_eq!(node.put(path, r#"{"new":4}"#).json["old"], 0);
    assert_eq!(
        node.get("/api/v1/mailboxes?match=^100@").json["mailboxes"][0]["new"],
        4
    );
    assert_eq!(node.delete(path).status, 204);
    node.delete(path).problem(404);
}

#[test]
fn listings_come_in_pages_in_order_and_filtered() {
    let node = Node::alone();
    for n in 0..25 {
        let answer = node.put(
            &format!("/api/v1/devices/Custom%3A{n:02}"),
            r#"{"state":"INUSE"}"#,
        );
        assert_eq!(answer.status, 201);
    }
    let names = |path: &str| -> (Vec<String>, Option<String>) {
        let json = node.get(path).json;
        let names = json["devices"]
            .as_array()
            .unwrap()
            .iter()
            .map(|device| device["device"].as_str().unwrap().to_owned());
        (names.collect(), json["next"].as_str().map(str::to_owned))
    };
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let (page, next) = names(&format!("/api/v1/devices?limit=10{after}"));
        assert!(page.len() <= 10);
        all.extend(page);
        let Some(next) = next else { break };
        after = format!("&after={}", next.replace(':', "%3A"));
    }
    let wanted: Vec<String> = (0..25).map(|n| format!("Custom:{n:02}")).collect();
    assert_eq!(all, wanted);
    // Without case and not anchored, as filters are.
    assert_eq!(
        names("/api/v1/devices?match=custom:0%5B1-3%5D").0,
        wanted[1..4]
    );
    assert_eq!(
        names("/api/v1/devices?match=2%24&limit=2").0,
        ["Custom:02", "Custom:12"]
    );
    assert_eq!(names("/api/v1/devices?limit=100000").0.len(), 25);
}

#[test]
fn names_may_hold_anything_printable() {
    let node = Node::alone();
    for (encoded, name) in [
        ("Custom%3A%C3%BC%20%22x%22", "Custom:ü \"x\""),
        ("a%2Fb%2F%2Fc", "a/b//c"),
        ("%25%3F%23%26", "%?#&"),
        ("%2E%2E", ".."),
    ] {
        let path = format!("/api/v1/devices/{encoded}");
        assert_eq!(node.put(&path, r#"{"state":"BUSY"}"#).json["device"], name);
        assert_eq!(node.get(&path).json["device"], name);
    }
    let long = "x".repeat(256);
    node.put(&format!("/api/v1/devices/{long}"), r#"{"state":"BUSY"}"#)
        .problem(422);
    node.put("/api/v1/devices/a%0Ab", r#"{"state":"BUSY"}"#)
        .problem(422);
    node.put("/api/v1/devices/%FF", r#"{"state":"BUSY"}"#)
        .problem(400);
}

#[test]
fn every_refusal_is_a_problem_document() {
    let node = Node::alone();
    let device = "/api/v1/devices/Custom%3Ax";
    assert!(
        node.put(device, r#"{"state":"BUSSY"}"#)
            .problem(422)
            .contains("RINGINUSE")
    );
    node.put(device, r#"{"state":7}"#).problem(422);
    node.put(device, r"{}").problem(422);
    assert!(
        node.put(device, r#"{"state":"BUSY","cacheable":true}"#)
            .problem(422)
            .contains("cacheable")
    );
    node.put(device, "{").problem(400);
    node.put(device, "").problem(400);
    node.put("/api/v1/mailboxes/1", r#"{"new":65536}"#)
        .problem(422);
    node.put("/api/v1/mailboxes/1", r#"{"new":-1}"#)
        .problem(422);
    node.put("/api/v1/mailboxes/1", r#"{"old":1}"#).problem(422);
    let wrong_type = Request::get(&node.url, device)
        .method("PUT")
        .header("content-type", "text/plain")
        .body("{}")
        .send();
    wrong_type.problem(415);
    node.put(device, &" ".repeat(65 * 1024)).problem(413);
    assert!(
        node.get("/api/v1/devices?match=%28")
            .problem(400)
            .contains("regular expression")
    );
    node.get("/api/v1/devices?limit=0").problem(400);
    node.get("/api/v1/devices?limit=many").problem(400);
    node.get("/api/v1/nothing").problem(404);
    node.get("/api").problem(404);
    node.get("/nothing").problem(404);
    let answer = node.post(device, "{}");
    answer.problem(405);
    assert!(
        answer
            .header("allow")
            .is_some_and(|allow| allow.contains("PUT")),
        "{answer:?}"
    );
    node.post("/healthz", "{}").problem(405);
    assert!(
        node.post("/api/v1/refresh", r#"{"publisher":"nobody"}"#)
            .problem(404)
            .contains("nobody")
    );
    node.post("/api/v1/refresh", r#"{"publisher":1}"#)
        .problem(422);
    assert_eq!(
        node.get("/api/v1/devices").json["devices"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn the_overview_of_a_node_alone_is_empty() {
    let node = Node::alone();
    for what in ["peers", "publishers", "publications"] {
        assert_eq!(
            node.get(&format!("/api/v1/{what}")).json[what]
                .as_array()
                .unwrap()
                .len(),
            0
        );
    }
    assert_eq!(node.post("/api/v1/refresh", "").json["asked"], 0);
    assert_eq!(node.get("/healthz").status, 200);
    let ready = node.get("/readyz");
    assert_eq!(
        (ready.status, &ready.json["status"]),
        (200, &"ready".into())
    );
}

#[test]
fn a_token_is_wanted_for_everything_with_data() {
    let node = Node::start(address(), "http_token=s3cret-of-this-test", "");
    for path in [
        "/api/v1/devices",
        "/api/v1/events",
        "/api/v1/nothing",
        "/api/v2",
        "/api",
    ] {
        let answer = node.get(path);
        answer.problem(401);
        assert!(
            answer
                .header("www-authenticate")
                .is_some_and(|value| value.starts_with("Bearer"))
        );
    }
    for wrong in [
        "Bearer s3cret-of-this-tesT",
        "Bearer",
        "Bearer ",
        "Basic s3cret-of-this-test",
        "s3cret-of-this-test",
    ] {
        let request = Request::get(&node.url, "/api/v1/devices").header("authorization", wrong);
        request.send().problem(401);
    }
    let with = |path: &str| {
        Request::get(&node.url, path)
            .header("authorization", "bearer s3cret-of-this-test")
            .send()
    };
    assert_eq!(with("/api/v1/devices").status, 200);
    with("/api/v1/nothing").problem(404);
    assert_eq!(node.get("/healthz").status, 200);
    assert_eq!(node.get("/readyz").status, 200);

    let (code, _, error) = node.command(&["show", "devices"]);
    assert_eq!(code, 1);
    assert!(error.contains("LAMPWIRE_TOKEN"), "{error}");
    let (code, _, error) = node.command(&["show", "devices", "--token", "s3cret-of-this-test"]);
    assert_eq!((code, error.as_str()), (0, "no devices\n"));
    let (code, _, error) = node.command(&["show", "devices", "--token", "ключ"]);
    assert_eq!(code, 1);
    assert!(error.contains("ASCII characters only"), "{error}");
    assert!(!node.process.log().contains("s3cret"));
}

#[test]
fn a_client_that_says_nothing_holds_nothing_up() {
    let node = Node::alone();
    let host = node.url.strip_prefix("http://").unwrap();
    // More than the connections that are served at a time would be needed to shut others out: these are not.
    let mut silent: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(host).unwrap())
        .collect();
    silent[0].write_all(b"GET /healthz HT").unwrap();
    assert_eq!(node.get("/healthz").status, 200);
    // The server ends such a connection by itself.
    silent[0].set_read_timeout(Some(DEADLINE)).unwrap();
    let mut rest = Vec::new();
    silent[0].read_to_end(&mut rest).unwrap();
}

#[test]
fn nonsense_is_no_http() {
    let node = Node::alone();
    let mut stream = TcpStream::connect(node.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"PUBLISH sip:x SIP/2.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(
        answer.starts_with(b"HTTP/1.1 400"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(node.get("/healthz").status, 200);
}
