//! Programs that set states: for a time, many at once, and with tokens of their own.

use super::harness::{Answer, Node, Request, address, wait_for};

const DOOR: &str = "[door]\ntype=api-client\ntoken=door-token\neid=02:00:00:00:00:77\n\
    device_state_filter=^Custom:door\nmailbox_state_filter=^none$\n\
    [calendar]\ntype=api-client\ntoken=calendar-token\n";

fn ask(node: &Node, token: Option<&str>, method: &str, path: &str, body: &str) -> Answer {
    let request = Request::get(&node.url, path).method(method);
    let request = match token {
        Some(token) => request.header("authorization", &format!("Bearer {token}")),
        None => request,
    };
    match body {
        "" => request.send(),
        body => request.body(body).send(),
    }
}

#[test]
fn a_state_that_is_not_renewed_is_taken_back() {
    let node = Node::alone();
    let door = "/api/v1/devices/Custom:door";
    assert_eq!(node.put(door, r#"{"state":"INUSE","ttl":1}"#).status, 201);
    let box_ = "/api/v1/mailboxes/1@default";
    assert_eq!(node.put(box_, r#"{"new":1,"ttl":1}"#).status, 201);
    assert_eq!(
        node.put("/api/v1/devices/Custom:stays", r#"{"state":"INUSE"}"#)
            .status,
        201
    );
    for path in [door, box_] {
        wait_for("the end of a state", || {
            (node.get(path).status == 404).then_some(())
        });
    }
    assert_eq!(node.get("/api/v1/devices/Custom:stays").status, 200);
    for wrong in ["0", "2592001", "-1", "\"1\""] {
        let detail = node
            .put(door, &format!(r#"{{"state":"INUSE","ttl":{wrong}}}"#))
            .problem(422);
        assert!(detail.contains("ttl") || detail.contains("fit"), "{detail}");
    }
    assert_eq!(node.get(door).status, 404);
    let detail = node
        .put(door, r#"{"state":"INUSE","cachable":false,"ttl":5}"#)
        .problem(422);
    assert!(detail.contains("told once"), "{detail}");
}

#[test]
fn many_states_are_set_wholly_or_not() {
    let node = Node::alone();
    let path = "/api/v1/states";
    let good = r#"{"device":"Custom:a","state":"INUSE"},{"device":"Custom:b","state":"BUSY","ttl":60},{"mailbox":"1@a","new":2,"old":1}"#;
    for (last, told) in [
        (
            r#"{"device":"Custom:c","state":"OCCUPIED"}"#,
            "states[3]: \"OCCUPIED\"",
        ),
        (
            r#"{"device":"Custom:a","state":"BUSY"}"#,
            "states[3]: \"Custom:a\" stands twice",
        ),
        (r#"{"device":"","state":"BUSY"}"#, "states[3]: "),
        (
            r#"{"device":"Custom:c"}"#,
            "states[3]: give device and state",
        ),
        (
            r#"{"device":"Custom:c","mailbox":"1","state":"BUSY","new":1}"#,
            "states[3]: give",
        ),
        (r#"{"mailbox":"1","new":1,"ttl":0}"#, "states[3]: ttl"),
        (r#"{"mailbox":"1","new":70000}"#, "does not fit"),
        (r#"{"mailbox":"1","new":1,"next":1}"#, "does not fit"),
    ] {
        let body = format!(r#"{{"states":[{good},{last}]}}"#);
        let detail = node.put(path, &body).problem(422);
        assert!(detail.contains(told), "{detail}");
        assert_eq!(node.get("/api/v1/devices/Custom:a").status, 404);
    }
    let answer = node.put(path, &format!(r#"{{"states":[{good}]}}"#));
    assert_eq!((answer.status, &answer.json["created"]), (200, &3.into()));
    let answer = node.put(
        path,
        &format!(r#"{{"states":[{}]}}"#, good.replace("BUSY", "RINGING")),
    );
    assert_eq!(
        (&answer.json["changed"], &answer.json["same"]),
        (&1.into(), &2.into())
    );
    assert_eq!(
        node.get("/api/v1/devices/Custom:b").json["state"],
        "RINGING"
    );
    let list = |count: usize| {
        let states =
            (0..count).map(|number| format!(r#"{{"device":"Custom:n{number}","state":"INUSE"}}"#));
        format!(r#"{{"states":[{}]}}"#, states.collect::<Vec<_>>().join(","))
    };
    assert_eq!(node.put(path, &list(1000)).json["created"], 1000);
    assert!(
        node.put(path, &list(1001))
            .problem(422)
            .contains("at most 1000")
    );
    assert_eq!(node.put(path, r#"{"states":[]}"#).status, 200);
    node.put(path, "[]").problem(422);
    node.get(path).problem(405);
}

#[test]
fn a_client_sets_its_own_names_under_its_own_entity_id_and_nothing_else() {
    let node = Node::start(address(), "http_token=all", DOOR);
    let (door, calendar, all) = (Some("door-token"), Some("calendar-token"), Some("all"));
    let state = r#"{"state":"INUSE"}"#;
    let path = "/api/v1/devices/Custom:door1";
    let answer = ask(&node, door, "PUT", path, state);
    assert_eq!(answer.status, 201);
    assert_eq!(answer.json["entities"][0]["eid"], "02:00:00:00:00:77");
    assert_eq!(
        ask(&node, calendar, "PUT", path, r#"{"state":"RINGING"}"#).status,
        201
    );
    let seen = ask(&node, all, "GET", path, "").json;
    assert_eq!(
        seen["state"], "RINGINUSE",
        "two say something, and it is summed"
    );
    // Each takes back its own only.
    assert_eq!(ask(&node, door, "DELETE", path, "").status, 204);
    ask(&node, door, "DELETE", path, "").problem(404);
    assert_eq!(ask(&node, all, "GET", path, "").json["state"], "RINGING");
    for (method, path, body) in [
        ("PUT", "/api/v1/devices/PJSIP%2F1", state),
        ("DELETE", "/api/v1/devices/PJSIP%2F1", ""),
        ("PUT", "/api/v1/mailboxes/1@a", r#"{"new":1}"#),
        ("DELETE", "/api/v1/mailboxes/1@a", ""),
        (
            "PUT",
            "/api/v1/states",
            r#"{"states":[{"device":"Custom:door1","state":"BUSY"},{"device":"Custom:x","state":"BUSY"}]}"#,
        ),
        ("GET", "/api/v1/devices", ""),
        ("GET", path, ""),
        ("GET", "/api/v1/peers", ""),
        ("POST", "/api/v1/refresh", "{}"),
        ("GET", "/api/v1/events", ""),
        ("GET", "/metrics", ""),
        ("GET", "/openapi.json", ""),
    ] {
        let refused = ask(&node, door, method, path, body);
        assert!(
            refused.problem(403).contains("client door"),
            "{method} {path}"
        );
    }
    let batch = r#"{"states":[{"device":"Custom:door1","state":"BUSY"},{"device":"Custom:door2","state":"BUSY","ttl":60}]}"#;
    assert_eq!(
        ask(&node, door, "PUT", "/api/v1/states", batch).json["created"],
        2
    );
    for token in [None, Some("other"), Some("door-toke"), Some("")] {
        ask(&node, token, "PUT", path, state).problem(401);
    }
    assert!(!node.process.log().contains("door-token"));
}

#[test]
fn without_a_token_of_the_node_clients_are_known_all_the_same() {
    let node = Node::start(address(), "", DOOR);
    assert_eq!(ask(&node, None, "GET", "/api/v1/devices", "").status, 200);
    let door = Some("door-token");
    ask(&node, door, "GET", "/api/v1/devices", "").problem(403);
    ask(&node, Some("wrong"), "GET", "/api/v1/devices", "").problem(401);
    let answer = ask(
        &node,
        door,
        "PUT",
        "/api/v1/devices/Custom:door",
        r#"{"state":"BUSY"}"#,
    );
    assert_eq!(answer.json["entities"][0]["eid"], "02:00:00:00:00:77");
}

#[test]
fn an_operator_takes_back_what_a_client_has_set_and_is_told_how() {
    let node = Node::start(address(), "http_token=all", DOOR);
    let (door, all) = (Some("door-token"), Some("all"));
    let path = "/api/v1/devices/Custom:door1";
    let under = format!("{path}?eid=02:00:00:00:00:77");
    let state = r#"{"state":"INUSE"}"#;
    assert_eq!(ask(&node, door, "PUT", path, state).status, 201);
    // It is not his own.
    ask(&node, all, "DELETE", path, "").problem(404);
    let explained = ask(
        &node,
        all,
        "GET",
        "/api/v1/explain/devices/Custom:door1",
        "",
    )
    .json;
    let command = explained["entities"][0]["clear"]["command"]
        .as_str()
        .unwrap();
    assert_eq!(
        command,
        "lampwire unset device Custom:door1 --eid 02:00:00:00:00:77"
    );
    let words: Vec<&str> = command
        .split(' ')
        .skip(1)
        .chain(["--token", "all"])
        .collect();
    let (code, _, error) = node.command(&words);
    assert_eq!((code, error.as_str()), (0, ""));
    ask(&node, all, "GET", path, "").problem(404);
    // And sets it, for a client that cannot.
    assert_eq!(ask(&node, all, "PUT", &under, state).status, 201);
    assert_eq!(ask(&node, door, "DELETE", path, "").status, 204);
    let mailbox = "/api/v1/mailboxes/1@a?eid=02:00:00:00:00:77";
    assert_eq!(ask(&node, all, "PUT", mailbox, r#"{"new":1}"#).status, 201);
    assert_eq!(ask(&node, all, "DELETE", mailbox, "").status, 204);
    let list = r#"{"states":[{"device":"Custom:door1","state":"BUSY"}]}"#;
    let states = "/api/v1/states?eid=02:00:00:00:00:77";
    assert_eq!(ask(&node, all, "PUT", states, list).json["created"], 1);
    assert_eq!(ask(&node, all, "DELETE", &under, "").status, 204);
    // Nobody speaks under those, or nobody may.
    let other = format!("{path}?eid=02:00:00:00:00:78");
    let detail = ask(&node, all, "PUT", &other, state).problem(422);
    assert!(detail.contains("02:00:00:00:00:78"), "{detail}");
    ask(&node, all, "DELETE", &other, "").problem(404);
    ask(&node, all, "DELETE", &format!("{path}?eid=77"), "").problem(400);
    for method in ["PUT", "DELETE"] {
        let refused = ask(&node, door, method, &under, state).problem(403);
        assert!(refused.contains("client door"), "{refused}");
    }
}

/// As many entity ids speak for one name as there may: the next is told so, and nothing of his is set.
#[test]
fn a_bound_that_is_met_is_told() {
    let clients: String = (0..257)
        .map(|number| {
            format!(
                "[client{number}]\ntype=api-client\ntoken=token-{number}\neid=02:00:00:00:{:02x}:{:02x}\n",
                number / 256 + 1,
                number % 256
            )
        })
        .collect();
    let node = Node::start(address(), "http_token=all", &clients);
    let path = "/api/v1/devices/Custom:door";
    let state = r#"{"state":"BUSY"}"#;
    for number in 0..256 {
        let token = format!("token-{number}");
        assert_eq!(ask(&node, Some(&token), "PUT", path, state).status, 201);
    }
    let batch = r#"{"states":[{"device":"Custom:other","state":"BUSY"},{"device":"Custom:door","state":"BUSY"}]}"#;
    for (path, body) in [(path, state), ("/api/v1/states", batch)] {
        let told = ask(&node, Some("token-256"), "PUT", path, body).problem(503);
        assert!(told.contains("too many entity ids"), "{told}");
    }
    let all = Some("all");
    let entities = ask(&node, all, "GET", path, "").json["entities"].clone();
    assert_eq!(entities.as_array().unwrap().len(), 256);
    ask(&node, all, "GET", "/api/v1/devices/Custom:other", "").problem(404);
}
