//! Nodes that reach each other by connections, and by names.

use std::net::Ipv4Addr;

use super::harness::{Node, address, wait_for};
use super::zone::{Server, Zone, service};

const EID: [&str; 2] = ["02:00:00:00:00:01", "02:00:00:00:00:02"];

/// A node that tells `uri` of its devices, and takes all from whoever calls it `name`.
fn telling(at: Ipv4Addr, own: &str, uri: &str, more: &str) -> Node {
    let text = format!(
        "[out]\ntype=outbound-publish\nserver_uri={uri}\nevent=asterisk-devicestate\n{more}"
    );
    Node::start(at, own, &text)
}

/// A node that takes everything from `instance1`.
fn taking(at: Ipv4Addr, more: &str) -> Node {
    let text = format!(
        "[instance1]\ntype=endpoint\n[instance1]\ntype=inbound-publication\nevent_asterisk-devicestate=instance1\n\
         [instance1]\ntype=asterisk-publication\ndevice_state=yes\n{more}"
    );
    Node::start(at, &format!("entity_id={}", EID[1]), &text)
}

fn tcp(at: Ipv4Addr) -> String {
    format!("[tcp]\ntype=transport\nprotocol=tcp\nbind={at}:5060\n")
}

fn until_told(node: &Node, device: &str, state: &str) {
    wait_for(&format!("{device} to be {state}"), || {
        (node.said(device, EID[0]).as_deref() == Some(state)).then_some(())
    });
}

#[test]
fn states_cross_by_tcp_and_a_connection_that_broke_is_made_anew() {
    let (at_one, at_two) = (address(), address());
    let own = format!("entity_id={}", EID[0]);
    let one = telling(
        at_one,
        &own,
        &format!("sip:instance1@{at_two}\\;transport=tcp"),
        &tcp(at_one),
    );
    assert_eq!(one.command(&["set", "device", "Custom:x", "RINGING"]).0, 0);
    let two = taking(at_two, &tcp(at_two));
    until_told(&two, "Custom:x", "RINGING");
    drop(two);
    assert_eq!(one.command(&["set", "device", "Custom:x", "INUSE"]).0, 0);
    let two = taking(at_two, &tcp(at_two));
    until_told(&two, "Custom:x", "INUSE");
}

#[test]
fn the_preferred_server_of_a_name_the_next_one_and_back() {
    let (at_one, preferred, second) = (address(), address(), address());
    let server = |priority, host, address| Server {
        priority,
        weight: 1,
        host,
        address,
    };
    let servers = [
        server(2, "b.lamps.test", second),
        server(1, "a.lamps.test", preferred),
    ];
    let zone = Zone::new(service("_sip._udp.lamps.test", &servers));
    let own = format!("entity_id={}\nnameserver={}", EID[0], zone.address);
    let one = telling(
        at_one,
        &own,
        "sip:instance1@lamps.test",
        "@qualify_timeout=1\n",
    );
    let two = taking(second, "");
    let first = taking(preferred, "");
    assert_eq!(one.command(&["set", "device", "Custom:x", "RINGING"]).0, 0);
    until_told(&first, "Custom:x", "RINGING");
    assert_eq!(two.said("Custom:x", EID[0]), None);

    // It ends, and the next one is told all.
    drop(first);
    assert_eq!(one.command(&["set", "device", "Custom:x", "BUSY"]).0, 0);
    until_told(&two, "Custom:x", "BUSY");

    // It is back, and is told all again.
    let first = taking(preferred, "");
    until_told(&first, "Custom:x", "BUSY");

    // The zone prefers the other now.
    zone.change(service(
        "_sip._udp.lamps.test",
        &[server(1, "b.lamps.test", second)],
    ));
    wait_for("the other server to be used", || {
        one.command(&["set", "device", "Custom:x", "INUSE"]);
        one.command(&["set", "device", "Custom:x", "RINGING"]);
        (two.said("Custom:x", EID[0]).as_deref() == Some("RINGING")).then_some(())
    });
}
