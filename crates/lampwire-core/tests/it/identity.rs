//! Whose request is it? And what hears whoever is nobody.

use std::time::Duration;

use lampwire_core::{Query, Records, limits};

use crate::bench::{Bench, PEER, RELATION, Request, TAKES_ONLY, dns};

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
    let not_yet = from("127.0.0.9:5060").text(&mut 77);
    assert_eq!(bench.put("127.0.0.9:5060", &not_yet), [] as [String; 0]);
    bench.resolve("peer.example", "127.0.0.9");
    assert!(bench.put("127.0.0.9:5060", &not_yet)[0].starts_with("SIP/2.0 200"));
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

/// The one at this address is known by a name, the peer by its name in From and its credentials.
fn named() -> Bench {
    let config = TAKES_ONLY.replace(
        "[peer]\ntype=endpoint",
        "[peer]\ntype=endpoint\nauth=secret",
    );
    Bench::new(&format!(
        "{config}[secret]\ntype=auth\nusername=ann\npassword=light\n\
         [other]\ntype=identify\nendpoint=other\nmatch=peer.example\n"
    ))
}

fn statuses(bench: &mut Bench, users: [&str; 2], mut number: u32) -> Vec<String> {
    let ask = |user| {
        let request = Request::new().user(user).from(STRANGER);
        let text = request.text(&mut number);
        bench
            .put(STRANGER, &text)
            .iter()
            .map(|answer| answer[8..11].to_owned())
            .collect::<String>()
    };
    users.map(ask).to_vec()
}

fn no_answer() -> Result<lampwire_core::Answer, String> {
    Err("no DNS server answered in time".to_owned())
}

fn nothing() -> Result<lampwire_core::Answer, String> {
    Ok(dns(Records::Addresses(Vec::new())))
}

#[test]
fn nobody_is_challenged_before_the_names_are_known() {
    // Whoever it is may be known by a name, and would be silent until its restart; and of those whom nobody knows and those who have not proven
    // themselves neither is answered, so that nobody learns which is which.
    let mut bench = named();
    let users = ["peer", "nobody"];
    let query = Query::Addresses("peer.example".to_owned());
    assert_eq!(bench.node.poll_query(), Some(query.clone()));
    assert_eq!(statuses(&mut bench, users, 100), ["", ""]);
    // That no server answers is no answer: it is asked again.
    bench.node.handle_answer(bench.now, &query, no_answer());
    assert_eq!(statuses(&mut bench, users, 200), ["", ""]);
    assert_eq!(bench.node.counters().awaiting_names, 4);
    assert!(bench.notices().contains(&"names-awaited"));
    assert_eq!(bench.node.counters().refused.len(), 0);
    // That there is no such name is one.
    bench.node.handle_answer(bench.now, &query, nothing());
    assert_eq!(statuses(&mut bench, users, 300), ["401", "401"]);
    // Later questions are asked beside the work.
    bench.node.handle_answer(bench.now, &query, no_answer());
    assert_eq!(statuses(&mut bench, users, 400), ["401", "401"]);
}

#[test]
fn names_are_not_waited_for_without_end_and_again_after_a_reload() {
    let mut bench = named();
    let users = ["peer", "nobody"];
    bench.pass(limits::NAMES_AWAITED - Duration::from_millis(1));
    assert_eq!(statuses(&mut bench, users, 100), ["", ""]);
    bench.pass(Duration::from_millis(1));
    assert_eq!(statuses(&mut bench, users, 200), ["401", "401"]);
    let more = format!("{TAKES_ONLY}[other]\ntype=identify\nendpoint=other\nmatch=new.example\n");
    bench.reload(&more).unwrap();
    // Whatever becomes of the name that nobody asks for any more.
    let former = Query::Addresses("peer.example".to_owned());
    bench.node.handle_answer(bench.now, &former, no_answer());
    assert_eq!(statuses(&mut bench, ["nobody", "no"], 300), ["", ""]);
    bench.resolve("new.example", "127.0.0.9");
    assert_eq!(statuses(&mut bench, ["nobody", "no"], 400), ["401", "401"]);
}

#[test]
fn who_is_known_at_an_address_is_challenged_there_whatever_names_are_asked_for() {
    // It has proven itself there before, and what it would not be answered would be lost.
    let mut bench = Bench::new(TAKES_ONLY);
    assert_eq!(bench.ask(&Request::new().from(STRANGER)).status(), 200);
    let config = TAKES_ONLY.replace(
        "[peer]\ntype=endpoint",
        "[peer]\ntype=endpoint\nauth=secret",
    );
    let config = format!(
        "{config}[secret]\ntype=auth\nusername=ann\npassword=light\n\
         [other]\ntype=identify\nendpoint=other\nmatch=peer.example\n"
    );
    bench.reload(&config).unwrap();
    assert_eq!(statuses(&mut bench, ["peer", "nobody"], 100), ["401", ""]);
}

#[test]
fn what_was_not_answered_while_names_were_asked_for_is_asked_for() {
    let config = format!(
        "{}[peer]\ntype=identify\nendpoint=peer\nmatch=peer.example\n",
        RELATION.replace("@probe=0", "@probe=0\n@resync=0\n@qualify_frequency=0")
    );
    let mut bench = Bench::new(&config);
    let grant = |bench: &mut Bench| {
        let requests = bench.requests();
        for request in &requests {
            bench.grant(request, "tag");
        }
        let asks = |it: &&crate::bench::Sent| it.body().contains("\"refresh\"");
        requests.iter().filter(asks).count()
    };
    assert_eq!(grant(&mut bench), 2, "at the start");
    bench.pass(limits::ASK_AFTER_REFUSAL);
    grant(&mut bench);
    let request = Request::new().user("x").from(STRANGER).text(&mut 5);
    assert_eq!(bench.put(STRANGER, &request), [] as [String; 0]);
    bench.resolve("peer.example", "127.0.0.99");
    bench.pass(limits::ASK_SETTLES);
    assert_eq!(grant(&mut bench), 2);
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
