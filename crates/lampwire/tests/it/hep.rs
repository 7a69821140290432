//! The mirror of SIP messages to a HEP collector, read by a decoder of the tests' own.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};

use super::harness::{DEADLINE, Node, address};
use super::pair::{ONE, TWO, relation};

/// A packet of HEP version 3.
#[derive(Debug)]
struct Packet {
    source: SocketAddr,
    destination: SocketAddr,
    protocol: u8,
    agent: [u8; 4],
    message: String,
}

fn decode(bytes: &[u8]) -> Packet {
    assert_eq!(&bytes[..4], b"HEP3");
    assert_eq!(
        usize::from(u16::from_be_bytes([bytes[4], bytes[5]])),
        bytes.len()
    );
    let mut chunks = BTreeMap::new();
    let mut rest = &bytes[6..];
    while !rest.is_empty() {
        let word = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
        assert_eq!(word(0), 0, "a chunk of the standard's own");
        let length = usize::from(word(4));
        assert!(chunks.insert(word(2), rest[6..length].to_vec()).is_none());
        rest = &rest[length..];
    }
    let octets = |kind: u16| <[u8; 4]>::try_from(chunks[&kind].as_slice()).unwrap();
    let number = |kind: u16| u16::from_be_bytes(chunks[&kind].as_slice().try_into().unwrap());
    assert_eq!(
        (chunks[&1].as_slice(), chunks[&11].as_slice()),
        (&[2][..], &[1][..])
    );
    let seconds = u32::from_be_bytes(octets(9));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!(now.abs_diff(u64::from(seconds)) < 60);
    assert!(u32::from_be_bytes(octets(10)) < 1_000_000);
    Packet {
        source: SocketAddr::from((octets(3), number(7))),
        destination: SocketAddr::from((octets(4), number(8))),
        protocol: chunks[&2][0],
        agent: octets(12),
        message: String::from_utf8(chunks[&15].clone()).unwrap(),
    }
}

/// Packets until one is of this kind.
fn find(collector: &UdpSocket, what: &str, wanted: impl Fn(&Packet) -> bool) -> Packet {
    collector.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut buffer = vec![0; 65536];
    loop {
        let length = collector
            .recv(&mut buffer)
            .unwrap_or_else(|_| panic!("waited in vain for {what}"));
        let packet = decode(&buffer[..length]);
        if wanted(&packet) {
            return packet;
        }
    }
}

fn sip_length(message: &str) -> usize {
    let (head, _) = message.split_once("\r\n\r\n").expect("whole headers");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .unwrap();
    head.len() + 4 + length.trim().parse::<usize>().unwrap()
}

#[test]
fn messages_over_udp_are_mirrored_byte_by_byte_both_ways() {
    let (at_one, at_two, at_collector, at_other) = (address(), address(), address(), address());
    let collector = UdpSocket::bind((at_collector, 9060)).unwrap();
    let other = UdpSocket::bind((at_other, 9060)).unwrap();
    let one = Node::start(
        at_one,
        &format!("entity_id={ONE}\nhep_server={at_collector}"),
        &relation("instance1", "instance2", at_two),
    );
    let _two = Node::start(
        at_two,
        &format!("entity_id={TWO}\nhep_server={at_other}"),
        &relation("instance2", "instance1", at_one),
    );
    one.put("/api/v1/devices/Custom%3Adoor", r#"{"state":"INUSE"}"#);
    let (sip_one, sip_two) = (
        SocketAddr::from((at_one, 5060)),
        SocketAddr::from((at_two, 5060)),
    );
    let sent = find(&collector, "our PUBLISH", |packet| {
        packet.message.contains("\"Custom:door\"")
    });
    assert!(
        sent.message.starts_with("PUBLISH sip:instance1@"),
        "{sent:?}"
    );
    assert_eq!(sip_length(&sent.message), sent.message.len());
    assert_eq!(
        (sent.source, sent.destination, sent.protocol),
        (sip_one, sip_two, 17)
    );
    // What one says it has sent is what the other says it has got.
    let got = find(&other, "the same there", |packet| {
        packet.message == sent.message
    });
    assert_eq!(
        (got.source, got.destination, got.agent),
        (sip_one, sip_two, [0, 0, 0, 2])
    );
    assert_eq!(sent.agent, [0, 0, 0, 1]);
    let call_id = sent
        .message
        .lines()
        .find(|line| line.starts_with("Call-ID: "))
        .unwrap()
        .to_owned();
    let answer = find(&collector, "its answer", |packet| {
        packet.message.starts_with("SIP/2.0 200 OK\r\n") && packet.message.contains(&call_id)
    });
    assert_eq!((answer.source, answer.destination), (sip_two, sip_one));
}

#[test]
fn messages_over_connections_are_mirrored_one_by_one() {
    let (at_one, at_two, at_collector) = (address(), address(), address());
    let collector = UdpSocket::bind((at_collector, 9060)).unwrap();
    let over_tcp = |at| format!("[tcp]\ntype=transport\nprotocol=tcp\nbind={at}:5062\n");
    let by_tcp = |relation: String, at| {
        relation.replace(
            &format!("@{at}\n"),
            &format!("@{at}:5062\\;transport=tcp\n"),
        )
    };
    let one = Node::start(
        at_one,
        &format!("entity_id={ONE}\nhep_server={at_collector}:9060"),
        &(over_tcp(at_one) + &by_tcp(relation("instance1", "instance2", at_two), at_two)),
    );
    let two = Node::start(
        at_two,
        &format!("entity_id={TWO}"),
        &(over_tcp(at_two) + &by_tcp(relation("instance2", "instance1", at_one), at_one)),
    );
    for number in 0..20 {
        for node in [&one, &two] {
            node.put(
                &format!("/api/v1/devices/Custom%3A{number}"),
                r#"{"state":"INUSE"}"#,
            );
        }
    }
    for (eid, name) in [(ONE, "ours"), (TWO, "theirs")] {
        let packet = find(&collector, name, |packet| {
            packet.message.contains(&format!("\"eid\":\"{eid}\""))
                && packet.message.contains("Custom:")
        });
        assert_eq!(packet.protocol, 6);
        assert_eq!(sip_length(&packet.message), packet.message.len());
    }
}
