//! Whose request is it? And what hears whoever is nobody.

use lampwire_core::Query;

use crate::bench::{Bench, PEER, Request, TAKES_ONLY};

const STRANGER: &str = "127.0.0.99:5060";

#[test]
fn a_stranger_is_challenged_like_anybody_and_learns_nothing() {
    let mut bench = Bench::new(TAKES_ONLY);
    let answers: Vec<_> = ["sip:peer@127.0.0.1", "sip:nothing@127.0.0.1"]
        .map(|uri| bench.ask(&Request::new().user("nobody").from(STRANGER).uri(uri)))
        .into_iter()
        .collect();
    for answer in &answers {
        assert_eq!(answer.status(), 401);
        assert!(answer.header("WWW-Authenticate").is_some());
    }
    assert_eq!(bench.node.counters().refused["unknown-endpoint"], 2);
}

#[test]
fn an_unknown_name_at_a_configured_peers_address_gets_403() {
    // A stock Asterisk that gets a 401 it cannot answer is silent until its restart.
    let config = format!(
        "{TAKES_ONLY}[other]\ntype=identify\nendpoint=other\nmatch=127.0.0.7\n\
         [out]\ntype=outbound-publish\nserver_uri=sip:node@127.0.0.8\nevent=asterisk-mwi\n\
         [named]\ntype=outbound-publish\nserver_uri=sip:node@peer.example\nevent=asterisk-mwi\n"
    )
    .replace(
        "[other]\ntype=endpoint",
        "[other]\ntype=endpoint\nidentify_by=username",
    );
    let mut bench = Bench::new(&config);
    bench.resolve("peer.example", "127.0.0.9");
    for address in ["127.0.0.7:5060", "127.0.0.8:9999", "127.0.0.9:5060"] {
        let answer = bench.ask(&Request::new().user("nobody").from(address));
        assert_eq!(answer.status(), 403, "{address}");
    }
    assert_eq!(
        bench
            .ask(&Request::new().user("nobody").from(STRANGER))
            .status(),
        401
    );
}

#[test]
fn identified_by_address_network_and_host_name() {
    let config = format!(
        "{TAKES_ONLY}[other]\ntype=identify\nendpoint=other\nmatch=127.0.7.0/24,127.0.0.7\nmatch=peer.example\n"
    );
    let mut bench = Bench::new(&config);
    let from = |address: &str| Request::new().user("whoever").from(address);
    assert_eq!(bench.ask(&from("127.0.7.77:5060")).status(), 200);
    assert_eq!(bench.ask(&from("127.0.0.7:5060")).status(), 200);
    assert_eq!(bench.ask(&from("127.0.0.9:5060")).status(), 401);
    bench.resolve("peer.example", "127.0.0.9");
    assert_eq!(bench.ask(&from("127.0.0.9:5060")).status(), 200);
    // A name that stops resolving keeps its last addresses.
    let now = bench.now;
    let query = Query::Addresses("peer.example".to_owned());
    bench
        .node
        .handle_answer(now, &query, Err("no answer".to_owned()));
    assert_eq!(bench.ask(&from("127.0.0.9:5060")).status(), 200);
    assert!(bench.notices().contains(&"name-not-resolved"));
}

#[test]
fn an_access_list_denies_an_address() {
    let config = TAKES_ONLY.replace(
        "[peer]\ntype=endpoint",
        "[peer]\ntype=endpoint\ndeny=0.0.0.0/0.0.0.0\npermit=127.0.0.2/32",
    );
    let mut bench = Bench::new(&config);
    assert_eq!(bench.ask(&Request::new().from(PEER)).status(), 200);
    assert_eq!(
        bench.ask(&Request::new().from("127.0.0.3:5060")).status(),
        401,
        "as if there were no such endpoint"
    );
    assert_eq!(bench.node.counters().refused["access-list"], 1);
}

#[test]
fn an_endpoint_named_anonymous_takes_what_nobody_else_does() {
    let config = format!("{TAKES_ONLY}[anonymous]\ntype=endpoint\n");
    let mut bench = Bench::new(&config);
    assert_eq!(
        bench
            .ask(&Request::new().user("whoever").from(STRANGER))
            .status(),
        200
    );
}

#[test]
fn a_filter_drops_what_it_does_not_want_and_counts_it() {
    let config = TAKES_ONLY.replace(
        "device_state=yes\n",
        "device_state=yes\ndevice_state_filter=^PJSIP/\nmailbox_state_filter=^1000\n",
    );
    let mut bench = Bench::new(&config);
    assert_eq!(
        bench.ask(&Request::saying("Custom:x1", "INUSE")).status(),
        200
    );
    assert_eq!(
        bench.ask(&Request::saying("pjsip/100", "INUSE")).status(),
        200
    );
    assert_eq!(
        (bench.lamp("Custom:x1"), bench.lamp("pjsip/100")),
        (None, Some("INUSE"))
    );
    assert_eq!(bench.node.counters().filtered, 1);

    let config = TAKES_ONLY.replace("device_state=yes\n", "device_state=no\n");
    let mut bench = Bench::new(&config);
    assert_eq!(bench.ask(&Request::new()).status(), 200);
    assert_eq!(bench.lamp("Custom:x1"), None);
}
