//! `@canary`: the way there and back.

use std::time::Duration;

use lampwire_core::limits;

use crate::bench::{Bench, Request, Sent};

const PEER: &str = "127.0.0.2:5060";

fn bench(more: &str) -> Bench {
    let mut bench = Bench::new(&format!(
        "[lampwire]\ntype=lampwire\nentity_id=02:00:00:00:00:01\nhttp_bind=\n\
         [udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:5060\n\
         [b]\ntype=endpoint\n\
         [b-device]\ntype=outbound-publish\nserver_uri=sip:a@127.0.0.2\nevent=asterisk-devicestate\n@lanes=1\n@resync=0\n@qualify_frequency=0\n{more}\n\
         [b]\ntype=inbound-publication\nendpoint=b\nevent_asterisk-devicestate=b\n\
         [b]\ntype=asterisk-publication\ndevicestate_publish=b-device\ndevice_state=yes\n"
    ));
    grant_all(&mut bench);
    bench
}

/// Grants everything that leaves; what it said.
fn grant_all(bench: &mut Bench) -> Vec<String> {
    let mut said = Vec::new();
    loop {
        let requests: Vec<Sent> = bench.requests();
        if requests.is_empty() {
            return said;
        }
        for request in requests {
            said.push(request.body().to_owned());
            bench.grant(&request, "tag");
        }
    }
}

fn of_peer(body: &str) -> Request {
    Request::new()
        .user("b")
        .from(PEER)
        .uri("sip:b@127.0.0.1")
        .body(body.to_owned())
}

fn canaries(said: &[String]) -> Vec<&String> {
    said.iter().filter(|it| it.contains("canary")).collect()
}

#[test]
fn a_lampwire_sends_it_back_and_the_time_is_shown() {
    let mut bench = bench("@probe=0\n@canary=yes");
    assert_eq!(
        canaries(&grant_all(&mut bench)).len(),
        0,
        "who knows what it is"
    );
    let refresh = r#"{"type":"refresh","eid":"02:00:00:00:00:02","life":1}"#;
    assert_eq!(bench.ask(&of_peer(refresh)).status(), 200);
    let mut said = grant_all(&mut bench);
    bench.pass(limits::CANARY_EVERY);
    said.extend(grant_all(&mut bench));
    let sent = canaries(&said);
    assert!(!sent.is_empty(), "{said:?}");
    let newest = sent.last().unwrap().to_string();
    assert!(newest.contains("02:00:00:00:00:01"), "{newest}");
    assert_eq!(
        bench.node.peers(bench.now)[0].canary,
        None,
        "it is on its way"
    );
    bench.pass(Duration::from_millis(70));
    assert_eq!(bench.ask(&of_peer(&newest)).status(), 200);
    let took = bench.node.peers(bench.now)[0].canary;
    assert_eq!(took, Some(Duration::from_millis(70)));
    // The same again is none that is on its way.
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.ask(&of_peer(&newest)).status(), 200);
    assert_eq!(bench.node.peers(bench.now)[0].canary, took);
    // One every ten seconds, however many come back.
    let mut more = Vec::new();
    for _ in 0..60 {
        bench.pass(Duration::from_secs(1));
        more.extend(grant_all(&mut bench));
    }
    assert!((5..=6).contains(&canaries(&more).len()), "{more:?}");
}

#[test]
fn a_peers_canary_goes_back_as_it_came_also_where_none_is_asked_for() {
    let mut bench = bench("@probe=0");
    let canary = r#"{"type":"canary","eid":"02:00:00:00:00:02","round":7}"#;
    assert_eq!(bench.ask(&of_peer(canary)).status(), 200);
    assert_eq!(grant_all(&mut bench), [canary]);
    // It is no state of anybody's, and leads to nothing else.
    let mut more = Vec::new();
    for _ in 0..30 {
        bench.pass(Duration::from_secs(1));
        more.extend(grant_all(&mut bench));
    }
    assert_eq!(canaries(&more).len(), 0);
    assert_eq!(bench.node.peers(bench.now)[0].canary, None);
}

#[test]
fn at_an_asterisk_it_is_the_time_of_the_answer_that_proves_a_publication() {
    let mut bench = bench("@probe=5\n@canary=yes");
    bench.set("x", lampwire_sip::DeviceState::Busy);
    grant_all(&mut bench);
    assert_eq!(bench.node.peers(bench.now)[0].canary, None);
    bench.pass(Duration::from_secs(5));
    let proof = bench.requests();
    assert_eq!(proof.len(), 1);
    assert_eq!(proof[0].body(), "");
    bench.pass(Duration::from_millis(30));
    bench.grant(&proof[0], "tag");
    let took = bench.node.peers(bench.now)[0].canary;
    assert_eq!(took, Some(Duration::from_millis(30)));
    assert_eq!(canaries(&grant_all(&mut bench)).len(), 0);
}
