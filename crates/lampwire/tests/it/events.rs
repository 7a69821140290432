//! The event stream.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use super::cut::Way;
use super::harness::{DEADLINE, Events, Node, Process, Request, address, lampwire, wait_for};

fn set(node: &Node, device: &str, state: &str) {
    let answer = node.put(
        &format!("/api/v1/devices/{device}"),
        &format!("{{\"state\":\"{state}\"}}"),
    );
    assert!(answer.status < 300, "{answer:?}");
}

#[test]
fn changes_come_in_order_with_what_was_before() {
    let node = Node::start(address(), "entity_id=02:00:00:00:00:01", "");
    let events = Events::follow(&node, None);
    set(&node, "Custom:a", "INUSE");
    set(&node, "Custom:a", "BUSY");
    node.put("/api/v1/mailboxes/100%40default", r#"{"new":1,"old":0}"#);
    node.put("/api/v1/mailboxes/100%40default", r#"{"new":2,"old":0}"#);

    let first = events.next();
    assert_eq!(
        (
            first.kind.as_str(),
            &first.data["device"],
            &first.data["state"]
        ),
        ("device", &"Custom:a".into(), &"INUSE".into())
    );
    assert!(first.data["previous"].is_null());
    assert_eq!(first.data["eid"], "02:00:00:00:00:01");
    assert_eq!(first.data["entities"][0]["state"], "INUSE");
    let second = events.next();
    assert_eq!(
        (&second.data["state"], &second.data["previous"]),
        (&"BUSY".into(), &"INUSE".into())
    );
    assert_eq!(second.id, first.id + 1);
    let third = events.next();
    assert_eq!(
        (
            third.kind.as_str(),
            &third.data["mailbox"],
            &third.data["new"]
        ),
        ("mailbox", &"100@default".into(), &1.into())
    );
    let fourth = events.next();
    assert_eq!(
        fourth.data["previous"],
        serde_json::json!({"new": 1, "old": 0})
    );
    assert_eq!(fourth.id, first.id + 3);
    assert_eq!(fourth.data["owner"], "02:00:00:00:00:01");
    assert_eq!(fourth.data["said"]["new"], 2);
    node.delete("/api/v1/mailboxes/100%40default");
    let fifth = events.next().data;
    assert!(fifth["owner"].is_null() && fifth["said"].is_null());
    assert_eq!((&fifth["new"], &fifth["old"]), (&0.into(), &0.into()));
    assert_eq!(fifth["previous"], serde_json::json!({"new": 2, "old": 0}));
}

#[test]
fn a_broken_connection_resumes_without_a_gap() {
    let node = Node::alone();
    let events = Events::follow(&node, None);
    set(&node, "Custom:a", "INUSE");
    let seen = events.next();
    drop(events);
    for state in ["BUSY", "RINGING", "NOT_INUSE"] {
        set(&node, "Custom:a", state);
    }
    let again = Events::follow(&node, Some(seen.id));
    for (offset, state) in [(1, "BUSY"), (2, "RINGING"), (3, "NOT_INUSE")] {
        let event = again.next();
        assert_eq!(
            (event.id, &event.data["state"]),
            (seen.id + offset, &state.into())
        );
    }
}

/// A stream says at once where it stands, so that one that breaks before its first event goes on without a gap as well.
#[test]
fn a_stream_without_events_can_be_resumed() {
    let node = Node::alone();
    let greeting = |last: Option<u64>| {
        let mut stream = TcpStream::connect(node.url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let last = last.map_or_else(String::new, |id| format!("last-event-id: {id}\r\n"));
        write!(
            stream,
            "GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n{last}\r\n"
        )
        .unwrap();
        let mut text = String::new();
        let mut buffer = [0; 1024];
        loop {
            let length = stream.read(&mut buffer).unwrap();
            assert!(length > 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..length]));
            if let Some((_, block)) = text.split_once(": following\n")
                && let Some((block, _)) = block.split_once('\n')
            {
                return block.strip_prefix("id: ").map(|id| id.parse().unwrap());
            }
        }
    };
    let id: u64 = greeting(None).expect("the greeting has an id");
    set(&node, "Custom:a", "INUSE");
    let event = Events::follow(&node, Some(id)).next();
    assert_eq!((event.id, event.kind.as_str()), (id + 1, "device"));
    assert_eq!(greeting(Some(id)), Some(id));
    // Before a reset nothing is said: else who breaks off between the two would not hear of it.
    assert_eq!(greeting(Some(1)), None);
}

#[test]
fn watch_misses_nothing_over_a_break_before_the_first_event() {
    let node = Node::alone();
    let way = Way::to(&node);
    let mut command = lampwire();
    command
        .args(["watch", "--count", "1", "--node", &way.url])
        .stdout(Stdio::piped());
    let mut watch = Process::start(&mut command);
    wait_for("the greeting", || {
        way.passed().contains(": following").then_some(())
    });
    way.cut();
    wait_for("the loss to be told", || {
        watch.log().contains("the connection is lost").then_some(())
    });
    set(&node, "Custom:a", "INUSE");
    way.mend();
    let line = watch.lines().next().unwrap();
    assert!(line.contains("device Custom:a INUSE"), "{line}");
}

#[test]
fn what_is_not_kept_any_more_is_told_by_a_reset() {
    let node = Node::alone();
    let events = Events::follow(&node, None);
    set(&node, "Custom:a", "INUSE");
    let mut seen = events.next();
    for unknown in [1, seen.id + 1000] {
        let again = Events::follow(&node, Some(unknown));
        let reset = again.next();
        assert_eq!((reset.kind.as_str(), reset.id), ("reset", seen.id));
        set(
            &node,
            "Custom:b",
            if unknown == 1 { "INUSE" } else { "BUSY" },
        );
        let event = again.next();
        assert_eq!(event.data["device"], "Custom:b");
        seen = event;
    }
    // What is no number at all is none of this node's either.
    let mut stream = TcpStream::connect(node.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
        .write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\nlast-event-id: x\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.contains("event: reset") {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}

#[test]
fn events_can_be_filtered_by_name() {
    let node = Node::alone();
    let events = Events::of(&node, "/api/v1/events?match=^pjsip/", None);
    set(&node, "Custom:a", "INUSE");
    set(&node, "PJSIP%2F1", "INUSE");
    assert_eq!(events.next().data["device"], "PJSIP/1");
    Request::get(&node.url, "/api/v1/events?match=%28")
        .send()
        .problem(400);
}

#[test]
fn a_reader_that_is_too_slow_is_told_how_much_it_lost() {
    let node = Node::alone();
    let host = node.url.strip_prefix("http://").unwrap().to_owned();
    let mut slow = TcpStream::connect(&host).unwrap();
    slow.set_read_timeout(Some(DEADLINE)).unwrap();
    slow.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    let mut buffer = [0; 65536];
    while !text.contains(": following") {
        let length = slow.read(&mut buffer).unwrap();
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    // More than the history and the system's buffers hold, over one connection, without waiting for each answer. Long names make long
    // events.
    let mut writer = TcpStream::connect(&host).unwrap();
    let mut reader = writer.try_clone().unwrap();
    let padding = "x".repeat(240);
    let writing = std::thread::spawn(move || {
        for n in 0..20_000 {
            let body = format!(
                "{{\"state\":\"{}\"}}",
                if n % 2 == 0 { "INUSE" } else { "BUSY" }
            );
            write!(
                writer,
                "PUT /api/v1/devices/{padding} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
        }
        write!(
            writer,
            "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
    });
    std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    writing.join().unwrap();
    let lost = loop {
        let length = slow.read(&mut buffer).unwrap();
        assert!(
            length > 0,
            "the stream ended without a word about what was lost"
        );
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
        if let Some((_, rest)) = text.split_once("event: lost\ndata: ")
            && let Some((data, _)) = rest.split_once('\n')
        {
            break serde_json::from_str::<serde_json::Value>(data).unwrap()["lost"]
                .as_u64()
                .unwrap();
        }
    };
    assert!(lost > 0);
}

/// All connections there are, of clients that ask for more than the system holds for them and never read.
#[test]
fn who_reads_nothing_holds_no_connection_for_ever() {
    let node = Node::alone();
    let host = node.url.strip_prefix("http://").unwrap();
    let request = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    let silent: Vec<TcpStream> = (0..512)
        .map(|_| {
            let mut stream = TcpStream::connect(host).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    // No answer while they are there; then all is well.
    let answer = wait_for("an answer", || {
        Request::get(&node.url, "/healthz").try_send()
    });
    assert_eq!(answer.status, 200);
    drop(silent);
}

#[test]
fn as_many_follow_as_there_is_room_for_and_none_of_them_holds_the_node_up() {
    let node = Node::alone();
    let host = node.url.strip_prefix("http://").unwrap();
    // They ask and never read.
    let mut silent: Vec<TcpStream> = (0..128)
        .map(|_| {
            let mut stream = TcpStream::connect(host).unwrap();
            stream
                .write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
                .unwrap();
            stream
        })
        .collect();
    let streams = |count: usize| {
        wait_for("the followers to be counted", || {
            (node.get("/api/v1/status").json["followers"] == count).then_some(())
        });
    };
    streams(128);
    let problem = node.get("/api/v1/events").problem(503);
    assert!(problem.contains("128"), "{problem}");
    for number in 0..500 {
        set(&node, &format!("Custom:{number}"), "INUSE");
    }
    silent.truncate(127);
    streams(127);
    let events = Events::follow(&node, None);
    set(&node, "Custom:last", "INUSE");
    assert_eq!(events.next().data["device"], "Custom:last");
}
