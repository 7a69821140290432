//! What `show peers` tells an operator to do.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::harness::{Node, address, wait_for};
use super::sip::Draft;

/// Twice the life of a request, after which a challenge is taken for unanswered, and some more.
const SILENCE: Duration = Duration::from_secs(90);

/// The notes of a peer, from the table of `lampwire show peers`.
fn notes(node: &Node, peer: &str) -> String {
    let (code, out, error) = node.command(&["show", "peers"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let column = out.lines().next().unwrap().find("NOTES").unwrap();
    let row = out
        .lines()
        .find(|line| line.split(' ').next() == Some(peer));
    let row = row.unwrap_or_else(|| panic!("{peer}: {out}"));
    row.get(column..).unwrap_or_default().to_owned()
}

/// A PUBLISH of an Asterisk that cannot answer a challenge; each resource gets its own branch.
fn publish(user: &str, resource: &str, body: &str) -> Vec<u8> {
    Draft::publish(resource, "asterisk-devicestate", body)
        .set("From", format!("<sip:{user}@127.0.0.1>;tag=f"))
        .set(
            "Via",
            format!("SIP/2.0/UDP 127.0.0.1:5060;rport;branch=z9hG4bK{resource}"),
        )
        .set("Call-ID", resource)
        .bytes()
}

#[test]
fn show_peers_says_what_is_to_be_done() {
    let (at, asterisk, stranger) = (address(), address(), address());
    // `asterisk` is known by its address, `roaming` by its user name; both are asked for a password that they have not. `teller` speaks
    // nonsense.
    let mut text = "[secret]\ntype=auth\nusername=x\npassword=y\n".to_owned();
    for (name, more) in [
        ("asterisk", "auth=secret\n"),
        ("roaming", "auth=secret\n"),
        ("teller", ""),
        ("quiet", "@entity_id=02:00:00:00:00:09\n"),
    ] {
        text.push_str(&format!(
            "[{name}]\ntype=endpoint\n{more}\
             [{name}]\ntype=inbound-publication\nendpoint={name}\nevent_asterisk-devicestate={name}\n\
             [{name}]\ntype=asterisk-publication\ndevice_state=yes\n"
        ));
    }
    text.push_str(&format!(
        "[asterisk]\ntype=identify\nendpoint=asterisk\nmatch={asterisk}\n"
    ));
    let node = Node::start(at, "", &text);
    // Nothing has happened yet.
    assert_eq!(
        notes(&node, "teller"),
        "one-way: no publish tells it anything; own entity id unknown"
    );
    assert_eq!(
        notes(&node, "quiet"),
        "one-way: no publish tells it anything"
    );
    let state = r#"{"type":"devicestate","device":"PJSIP/1","state":"INUSE","cachable":"1","eid":"02:00:00:00:00:05"}"#;
    for (from, user, resource, body, status) in [
        (stranger, "teller", "teller", "{}", "400"),
        (asterisk, "whoever", "asterisk", state, "401"),
        (stranger, "roaming", "roaming", state, "401"),
    ] {
        let socket = UdpSocket::bind((from, 5060)).unwrap();
        let answer = wait_for("an answer", || {
            socket
                .set_read_timeout(Some(Duration::from_millis(500)))
                .unwrap();
            let request = publish(user, resource, body);
            socket.send_to(&request, (at, 5060)).unwrap();
            let mut buffer = [0; 4096];
            let length = socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        });
        assert!(answer.starts_with(&format!("SIP/2.0 {status}")), "{answer}");
    }
    let told = notes(&node, "teller");
    assert!(
        told.starts_with("incomplete: refused 1 requests, the last at ")
            && told.contains("with 400")
            && told.contains("it cannot be asked for them: no publish"),
        "{told}"
    );
    // The one challenge may still be answered.
    assert!(!notes(&node, "asterisk").contains("silent"));
    let begin = Instant::now();
    for peer in ["asterisk", "roaming"] {
        loop {
            let told = notes(&node, peer);
            if told.contains("silent since we answered 401 at ") {
                assert!(told.contains("restart it, or change its publish"), "{told}");
                break;
            }
            assert!(begin.elapsed() < SILENCE, "{peer}: {told}");
            std::thread::sleep(Duration::from_millis(250));
        }
    }
    assert!(!notes(&node, "quiet").contains("silent"));
}
