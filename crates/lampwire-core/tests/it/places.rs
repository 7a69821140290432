//! Where a peer is: several servers behind one name, proxies, and peers that have nothing to prove themselves by.

use std::net::SocketAddr;
use std::time::Duration;

use lampwire_core::{Query, Records, SrvRecord};
use lampwire_sip::DeviceState;

use crate::bench::{Bench, Sent, dns};

const ONE: &str = "127.0.0.11:5071";
const TWO: &str = "127.0.0.12:5072";

fn config(server_uri: &str, more: &str) -> String {
    format!(
        "[lampwire]\ntype=lampwire\nentity_id=02:00:00:00:00:01\nhttp_bind=\n\
         [udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:5060\n\
         [out]\ntype=outbound-publish\nserver_uri={server_uri}\nevent=asterisk-devicestate\n@lanes=1\n{more}"
    )
}

/// A peer with a preferred server and another.
fn two_servers() -> Bench {
    let mut bench = Bench::new(&config(
        "sip:node@peer.example\\;transport=udp",
        "@probe=0\n",
    ));
    bench.set("Custom:x1", DeviceState::InUse);
    answer_dns(&mut bench, &[(1, ONE), (2, TWO)]);
    bench
}

/// Answers whatever is asked with these servers: priority and address.
fn answer_dns(bench: &mut Bench, servers: &[(u16, &str)]) {
    while let Some(query) = bench.node.poll_query() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let records = match &query {
            Query::Naptr(_) => Records::Naptr(Vec::new()),
            Query::Srv(_) => Records::Srv(
                servers
                    .iter()
                    .map(|(priority, server)| SrvRecord {
                        priority: *priority,
                        weight: 1,
                        port: address(server).port(),
                        target: format!("h{}.example", address(server).port()),
                    })
                    .collect(),
            ),
            Query::Addresses(host) => Records::Addresses(
                servers
                    .iter()
                    .map(|(_, server)| address(server))
                    .filter(|it| *host == format!("h{}.example", it.port()))
                    .map(|it| it.ip())
                    .collect(),
            ),
        };
        bench
            .node
            .handle_answer(bench.now, &query, Ok(dns(records)));
    }
}

fn only(bench: &mut Bench) -> Sent {
    let mut requests = bench.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    requests.remove(0)
}

fn to(request: &Sent) -> String {
    request.to.to_string()
}

#[test]
fn the_preferred_server_is_used_and_the_next_when_it_is_silent_and_it_is_gone_back_to() {
    let mut bench = two_servers();
    let first = only(&mut bench);
    assert_eq!(to(&first), ONE);
    bench.grant(&first, "a1");

    // Silence: the next server is told everything, as a new publication.
    bench.set("Custom:x1", DeviceState::Busy);
    bench.pass(Duration::from_secs(6));
    let second = bench
        .requests()
        .into_iter()
        .find(|it| to(it) == TWO)
        .unwrap();
    assert_eq!(second.header("SIP-If-Match"), None);
    assert!(second.body().contains("BUSY"));
    assert!(bench.notices().contains(&"peer-failed-over"));
    bench.grant(&second, "b1");

    // The preferred one is asked for by OPTIONS, and not used before it answers.
    bench.pass(Duration::from_secs(11));
    let looked = bench
        .requests()
        .into_iter()
        .filter(|it| to(it) == ONE)
        .collect::<Vec<_>>();
    assert!(
        looked
            .iter()
            .all(|it| it.text.starts_with("OPTIONS sip:node@peer.example")),
        "{looked:?}"
    );
    bench.pass(Duration::from_secs(15));
    let looked = bench
        .requests()
        .into_iter()
        .rfind(|it| to(it) == ONE)
        .unwrap();
    bench.answer(&looked, "404 Not Found", "");
    assert!(bench.notices().contains(&"peer-preferred-again"));
    let back = bench
        .requests()
        .into_iter()
        .find(|it| to(it) == ONE)
        .unwrap();
    assert_eq!(back.header("SIP-If-Match"), None);
    assert!(back.body().contains("BUSY"));
    bench.grant(&back, "a1");
    assert_eq!(bench.node.publishers(bench.now)[0].behind, 0);
}

#[test]
fn a_server_that_refuses_or_is_unable_is_left_at_once() {
    let mut bench = two_servers();
    let first = only(&mut bench);
    bench.answer(&first, "503 Service Unavailable", "Retry-After: 60\r\n");
    let second = only(&mut bench);
    assert_eq!(to(&second), TWO);
    // Nothing listens there either: it begins at the preferred one again, after a pause.
    bench.node.handle_unreachable(
        bench.now,
        lampwire_core::TransportId(0),
        TWO.parse().unwrap(),
    );
    assert!(bench.requests().is_empty());
    assert!(bench.notices().contains(&"peer-away"));
    bench.pass(Duration::from_secs(1));
    assert_eq!(to(&only(&mut bench)), ONE);
}

#[test]
fn records_that_change_are_followed_and_a_dns_that_fails_changes_nothing() {
    let mut bench = two_servers();
    let first = only(&mut bench);
    bench.grant(&first, "a1");
    bench.pass(Duration::from_secs(61));
    for request in bench.requests() {
        bench.grant(&request, "a2");
    }
    let query = bench.node.poll_query().unwrap();
    bench
        .node
        .handle_answer(bench.now, &query, Err("no answer".to_owned()));
    bench.set("Custom:x1", DeviceState::Busy);
    let same = only(&mut bench);
    assert_eq!(to(&same), ONE);
    bench.grant(&same, "a3");

    bench.pass(Duration::from_secs(70));
    for request in bench.requests() {
        bench.grant(&request, "a4");
    }
    answer_dns(&mut bench, &[(1, TWO)]);
    let moved = bench
        .requests()
        .into_iter()
        .find(|it| to(it) == TWO)
        .unwrap();
    assert_eq!(moved.header("SIP-If-Match"), None);
    assert!(bench.notices().contains(&"peer-moved"));
}

#[test]
fn a_peer_with_nothing_to_prove_itself_by_is_asked_by_options() {
    let mut bench = Bench::new(&config("sip:node@127.0.0.2", ""));
    bench.pass(Duration::from_secs(19));
    assert!(bench.requests().is_empty(), "there is nothing to say");
    bench.pass(Duration::from_secs(2));
    let asked = only(&mut bench);
    assert!(
        asked
            .text
            .starts_with("OPTIONS sip:node@127.0.0.2 SIP/2.0\r\n")
    );
    assert_eq!(asked.header("Event"), None);
    bench.answer(&asked, "401 Unauthorized", "");
    assert!(bench.node.peers(bench.now)[0].last_heard.is_some());
    bench.pass(Duration::from_secs(21));
    let asked = bench.requests().pop().unwrap();
    // Two probes' time without an answer: it is away, and asked more often.
    bench.pass(Duration::from_secs(6));
    assert!(bench.notices().contains(&"peer-away"));
    bench.pass(Duration::from_secs(2));
    let again = bench.requests().pop().unwrap();
    assert_ne!(again.header("Via"), asked.header("Via"));
    bench.answer(&again, "200 OK", "");
    assert!(bench.notices().contains(&"peer-back"));

    let mut silent = Bench::new(&config("sip:node@127.0.0.2", "@qualify_frequency=0\n"));
    silent.pass(Duration::from_secs(600));
    assert!(silent.copies().is_empty());
}

#[test]
fn a_publication_that_proves_nothing_does_not_stand_for_options() {
    // With @probe=0 nobody would notice that the peer is gone before there is something to say.
    for (probe, asked) in [
        ("@probe=0\n", true),
        ("@probe=0\n@qualify_frequency=0\n", false),
    ] {
        let mut bench = Bench::new(&config("sip:node@127.0.0.2", probe));
        bench.set("Custom:x1", DeviceState::InUse);
        let publish = only(&mut bench);
        bench.grant(&publish, "t1");
        bench.pass(Duration::from_secs(21));
        let options = bench.requests();
        assert_eq!(options.len(), usize::from(asked));
        let Some(options) = options.first() else {
            bench.pass(Duration::from_secs(600));
            assert!(bench.requests().is_empty());
            continue;
        };
        assert!(options.text.starts_with("OPTIONS "), "{}", options.text);
        bench.answer(options, "200 OK", "");
        bench.pass(Duration::from_secs(27));
        assert!(bench.notices().contains(&"peer-away"));
        bench.pass(Duration::from_secs(2));
        let again = bench.requests().pop().unwrap();
        assert!(again.text.starts_with("OPTIONS "), "{}", again.text);
        bench.answer(&again, "200 OK", "");
        assert!(bench.notices().contains(&"peer-back"));
    }
}

#[test]
fn a_proxy_is_the_next_hop_and_stands_in_route() {
    let mut bench = Bench::new(&config(
        "sip:node@peer.example",
        "outbound_proxy=sip:127.0.0.3:5080\\;lr\n",
    ));
    bench.set("Custom:x1", DeviceState::InUse);
    let request = only(&mut bench);
    assert_eq!(to(&request), "127.0.0.3:5080");
    assert!(
        request
            .text
            .starts_with("PUBLISH sip:node@peer.example SIP/2.0")
    );
    assert_eq!(request.header("Route"), Some("<sip:127.0.0.3:5080;lr>"));

    // A strict router of RFC 2543 wants to find itself in the Request-URI.
    let mut bench = Bench::new(&config(
        "sip:node@peer.example",
        "outbound_proxy=sip:127.0.0.3:5080\n",
    ));
    bench.set("Custom:x1", DeviceState::InUse);
    let request = only(&mut bench);
    assert!(
        request
            .text
            .starts_with("PUBLISH sip:127.0.0.3:5080 SIP/2.0")
    );
    assert_eq!(request.header("Route"), Some("<sip:node@peer.example>"));
}

#[test]
fn a_refused_options_is_not_sent_again_at_once() {
    // Nothing listens there: each OPTIONS is answered by ICMP within the moment, and must not be followed by the next.
    let mut bench = Bench::new(&config("sip:node@127.0.0.2", ""));
    let peer: SocketAddr = "127.0.0.2:5060".parse().unwrap();
    let mut sent = 0;
    for _ in 0..600 {
        bench.pass(Duration::from_millis(100));
        for _ in 0..10 {
            let options = bench.requests().len();
            if options == 0 {
                break;
            }
            sent += options;
            bench
                .node
                .handle_unreachable(bench.now, lampwire_core::TransportId(0), peer);
            bench.pass(Duration::ZERO);
        }
    }
    assert!(bench.notices().contains(&"peer-away"));
    // The first after 20 s, then one a second or so.
    assert!((30..=60).contains(&sent), "{sent} in a minute");
}
