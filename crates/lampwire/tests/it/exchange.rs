//! Two whole nodes.

use super::harness::{DEADLINE, Events, Node, Process, address, lampwire, sections, wait_for};
use super::pair::{ONE, TWO, relation, start_one, start_two};

#[test]
fn states_cross_both_ways() {
    let (at_one, at_two) = (address(), address());
    let (one, two) = (start_one(at_one, at_two), start_two(at_two, at_one));
    let (events_one, events_two) = (Events::follow(&one, None), Events::follow(&two, None));

    assert_eq!(
        one.command(&["set", "device", "PJSIP/1001", "RINGING"]),
        (0, String::new(), String::new())
    );
    let event = events_two.next_of("device", "PJSIP/1001");
    assert_eq!(
        (&event.data["state"], &event.data["eid"]),
        (&"RINGING".into(), &ONE.into())
    );
    assert_eq!(event.data["entities"][0]["source"], "publication");
    assert_eq!(event.data["entities"][0]["peer"], "instance1");

    // The sum of both nodes' words is on both.
    assert_eq!(two.command(&["set", "device", "PJSIP/1001", "INUSE"]).0, 0);
    events_one.next_of("device", "PJSIP/1001");
    let event = events_one.next_of("device", "PJSIP/1001");
    assert_eq!(
        (&event.data["eid"], &event.data["state"]),
        (&TWO.into(), &"RINGINUSE".into())
    );
    assert_eq!(
        two.get("/api/v1/devices/PJSIP%2F1001").json["state"],
        "RINGINUSE"
    );

    assert_eq!(
        two.command(&["set", "mailbox", "100@default", "--new", "3", "--old", "2"])
            .0,
        0
    );
    let event = events_one.next_of("mailbox", "100@default");
    assert_eq!(
        (&event.data["new"], &event.data["old"], &event.data["eid"]),
        (&3.into(), &2.into(), &TWO.into())
    );

    // What is taken back is INVALID at the other.
    assert_eq!(one.command(&["unset", "device", "PJSIP/1001"]).0, 0);
    wait_for("INVALID at the other", || {
        (two.said("PJSIP/1001", ONE)? == "INVALID").then_some(())
    });
    assert_eq!(
        two.get("/api/v1/devices/PJSIP%2F1001").json["state"],
        "INUSE"
    );
}

#[test]
fn a_node_that_comes_later_gets_everything() {
    let (at_one, at_two) = (address(), address());
    let one = start_one(at_one, at_two);
    for n in 0..50 {
        assert_eq!(
            one.put(
                &format!("/api/v1/devices/Custom%3A{n}"),
                r#"{"state":"INUSE"}"#
            )
            .status,
            201
        );
    }
    let two = start_two(at_two, at_one);
    wait_for("all states", || {
        let devices = two.get("/api/v1/devices?limit=1000").json["devices"]
            .as_array()?
            .len();
        (devices == 50).then_some(())
    });
    // It went away and came back with nothing: what it had not yet is sent again.
    drop(two);
    let two = start_two(at_two, at_one);
    wait_for("all states again", || {
        let devices = two.get("/api/v1/devices?limit=1000").json["devices"]
            .as_array()?
            .len();
        (devices == 50).then_some(())
    });
}

#[test]
fn the_overview_shows_the_peer() {
    let (at_one, at_two) = (address(), address());
    let (one, two) = (start_one(at_one, at_two), start_two(at_two, at_one));
    assert_eq!(two.command(&["set", "device", "Custom:x", "INUSE"]).0, 0);
    assert_eq!(one.command(&["set", "device", "Custom:y", "INUSE"]).0, 0);
    wait_for("both states", || {
        one.said("Custom:x", TWO).and(two.said("Custom:y", ONE))
    });
    wait_for("a peer that is up and has everything", || {
        let peer = one.get("/api/v1/peers").json["peers"][0].clone();
        (peer["name"] == "instance2"
            && peer["status"] == "up"
            && peer["behind"] == 0
            && peer["publications"] != 0)
            .then_some(())
    });
    let publications = one.get("/api/v1/publications").json["publications"].clone();
    assert_eq!(publications[0]["endpoint"], "instance2");
    assert_eq!(publications[0]["event"], "asterisk-devicestate");

    let (code, table, _) = one.command(&["show", "peers"]);
    assert_eq!(code, 0);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("PEER"), "{table}");
    assert!(
        lines[1].starts_with("instance2") && lines[1].contains(" up "),
        "{table}"
    );
    let (_, table, _) = one.command(&["show", "publishers"]);
    assert!(
        table.contains("instance2-devicestate") && table.contains("200 OK"),
        "{table}"
    );
    let (_, table, _) = one.command(&["show", "publications", "instance2"]);
    assert!(table.contains("asterisk-devicestate"), "{table}");
    assert!(!table.contains('\x1b'), "no colour where it is no terminal");
    let (_, table, _) = one.command(&["show", "devices", "custom"]);
    let said: Vec<&str> = table
        .lines()
        .skip(1)
        .flat_map(|line| line.split_whitespace().nth(2))
        .collect();
    assert_eq!(said, ["instance2", "this"], "{table}");
    let (_, text, _) = one.command(&["show", "devices", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["devices"].as_array().unwrap().len(), 2);
}

#[test]
fn refresh_asks_the_peer() {
    let (at_one, at_two) = (address(), address());
    let (one, two) = (start_one(at_one, at_two), start_two(at_two, at_one));
    assert_eq!(two.command(&["set", "device", "Custom:x", "INUSE"]).0, 0);
    wait_for("the state", || one.said("Custom:x", TWO));
    let (code, text, _) = one.command(&["refresh"]);
    assert_eq!(code, 0);
    assert!(text.starts_with("asked over"), "{text}");
    let (code, _, error) = one.command(&["refresh", "nobody"]);
    assert_eq!(code, 1);
    assert!(
        error.contains("nobody") && error.contains("instance2-devicestate"),
        "{error}"
    );
}

#[test]
fn a_node_that_ends_removes_its_publications() {
    let (at_one, at_two) = (address(), address());
    let (one, mut two) = (start_one(at_one, at_two), start_two(at_two, at_one));
    assert_eq!(two.command(&["set", "device", "Custom:x", "INUSE"]).0, 0);
    wait_for("a publication", || {
        let count = one.get("/api/v1/publications").json["publications"]
            .as_array()?
            .len();
        (count > 0).then_some(())
    });
    let events = Events::follow(&one, None);
    two.process.signal("TERM");
    assert_eq!(two.process.ended(), Some(0));
    let event = loop {
        let event = events.next();
        if event.kind == "publication" {
            break event;
        }
    };
    assert!(event.data["ended"].is_string(), "{event:?}");
    wait_for("no publication", || {
        let count = one.get("/api/v1/publications").json["publications"]
            .as_array()?
            .len();
        (count == 0).then_some(())
    });
}

#[test]
fn a_second_signal_ends_at_once_and_a_hangup_does_not() {
    let (at_one, at_two) = (address(), address());
    let mut one = start_one(at_one, at_two);
    one.process.signal("HUP");
    wait_for("a reload", || {
        one.process.log().contains(" reloaded ").then_some(())
    });
    assert_eq!(one.get("/healthz").status, 200);
    one.process.signal("INT");
    one.process.signal("TERM");
    one.process.ended();
}

#[test]
fn watch_prints_changes_as_they_come() {
    let node = Node::alone();
    let mut command = lampwire();
    command
        .env("LAMPWIRE_NODE", &node.url)
        .args(["watch", "--count", "2", "custom"]);
    let mut watching = Process::start(command.stdout(std::process::Stdio::piped()));
    // It has begun when the node has a reader: from then on nothing is missed. A change of another name shows when.
    let mut n = 0;
    let status = loop {
        n += 1;
        node.put(
            "/api/v1/devices/Custom%3Aa",
            &format!(
                "{{\"state\":\"{}\"}}",
                if n % 2 == 0 { "BUSY" } else { "INUSE" }
            ),
        );
        if let Some(status) = watching.child.try_wait().unwrap() {
            break status;
        }
        assert!(n < DEADLINE.as_millis(), "it never ends");
    };
    assert!(status.success());
    let mut text = String::new();
    std::io::Read::read_to_string(&mut watching.child.stdout.take().unwrap(), &mut text).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.contains("device Custom:a") && text.contains("(this node)"),
        "{text}"
    );
    assert!(
        text.contains("INUSE -> BUSY") || text.contains("BUSY -> INUSE"),
        "{text}"
    );
}

#[test]
fn an_entity_id_is_kept_in_the_state_directory() {
    let directory = super::harness::Directory::new();
    let at = address();
    let state = directory.0.join("state");
    let path = directory.write(
        "lampwire.conf",
        &sections(at, "").replace("state_dir=", &format!("state_dir={}", state.display())),
    );
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut process = Process::start(lampwire().args(["run", "-c", &path]));
        let line = wait_for("its entity id in the log", || {
            let log = process.log();
            log.lines()
                .find(|line| line.contains("entity id"))
                .map(str::to_owned)
        });
        ids.push(line.split("entity id ").nth(1).unwrap()[..17].to_owned());
        wait_for("its running", || {
            process.log().contains("running with").then_some(())
        });
        process.signal("TERM");
        assert_eq!(process.ended(), Some(0));
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(
        std::fs::read_to_string(state.join("entity_id"))
            .unwrap()
            .trim(),
        ids[0]
    );
}

/// The time of a canary, there and back over two real nodes, as a figure, over HTTP and in a terminal.
#[test]
fn a_canary_is_timed() {
    let (at_one, at_two) = (address(), address());
    let with_canary = relation("instance1", "instance2", at_two).replace(
        "type=outbound-publish\n",
        "type=outbound-publish\n@canary=yes\n",
    );
    let one = Node::start(at_one, &format!("entity_id={ONE}"), &with_canary);
    let two = start_two(at_two, at_one);
    let milliseconds = wait_for("a canary that is back", || {
        one.get("/api/v1/peers").json["peers"][0]["canary_ms"].as_f64()
    });
    assert!(milliseconds > 0.0, "{milliseconds}");
    let count = "lampwire_publisher_canary_seconds_count{publisher=\"instance2-devicestate\"} ";
    wait_for("a canary in the figures", || {
        let text = one.get("/metrics").text;
        let line = text.lines().find_map(|line| line.strip_prefix(count))?;
        (line.parse::<u64>().unwrap() > 0).then_some(())
    });
    let (code, out, error) = one.command(&["show", "peers"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let mut lines = out.lines();
    let (head, row) = (lines.next().unwrap(), lines.next().unwrap());
    let column = head.find("CANARY").unwrap();
    let cell = row[column..].split("  ").next().unwrap();
    assert!(
        cell.strip_suffix(" ms")
            .is_some_and(|it| it.parse::<f64>().is_ok()),
        "{out}"
    );
    // Who sends none shows none.
    let (_, out, _) = two.command(&["show", "peers"]);
    assert!(
        out.lines().nth(1).unwrap()[column..].starts_with('-'),
        "{out}"
    );
    assert!(!two.get("/metrics").text.contains("canary_seconds_count{"));
}
