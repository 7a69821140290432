//! A hub: what one peer publishes goes on to the others, and a peer that is lost leaves no lamp lit.

use std::time::Duration;

use lampwire_core::limits;
use lampwire_sip::DeviceState;

use crate::bench::{Answer, Bench, NODE_EID, Request, Sent};

/// A hub with stock peers a and b, and c, which is another hub.
fn config(more: &str) -> String {
    let mut config = format!(
        "[lampwire]\ntype=lampwire\nentity_id={NODE_EID}\nhttp_bind=\nrelay=yes\nhold_time=60\n{more}\n\
         [udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:5060\n"
    );
    for (name, address) in [("a", 2), ("b", 3), ("c", 4)] {
        config.push_str(&format!(
            "[{name}]\ntype=endpoint\n\
             [{name}-device]\ntype=outbound-publish\nserver_uri=sip:hub@127.0.0.{address}\nevent=asterisk-devicestate\n@lanes=1\n@resync=0\n@probe=0\n@qualify_frequency=0\n\
             [{name}-mwi]\ntype=outbound-publish\nserver_uri=sip:hub@127.0.0.{address}\nevent=asterisk-mwi\n@lanes=1\n@resync=0\n@probe=0\n@qualify_frequency=0\n\
             [{name}]\ntype=inbound-publication\nendpoint={name}\nevent_asterisk-devicestate={name}\nevent_asterisk-mwi={name}\n\
             [{name}]\ntype=asterisk-publication\ndevicestate_publish={name}-device\nmailboxstate_publish={name}-mwi\ndevice_state=yes\nmailbox_state=yes\n"
        ));
    }
    config
}

const A: (&str, &str, &str) = ("a", "127.0.0.2:5060", "02:00:00:00:00:0a");
const B: (&str, &str, &str) = ("b", "127.0.0.3:5060", "02:00:00:00:00:0b");
const C: (&str, &str, &str) = ("c", "127.0.0.4:5060", "02:00:00:00:00:0c");
/// A node behind the other hub.
const D: &str = "02:00:00:00:00:0d";

/// A hub that has started and asked everybody; nobody has said anything.
fn hub(more: &str) -> Bench {
    let mut bench = Bench::new(&config(more));
    settle(&mut bench);
    bench
}

/// All that the hub tells, with whom it is told to, each granted.
fn settle(bench: &mut Bench) -> Vec<(&'static str, String)> {
    let mut told = Vec::new();
    for turn in 0..200 {
        let requests: Vec<Sent> = bench.requests();
        if requests.is_empty() {
            break;
        }
        assert!(turn < 199, "it does not fall quiet: {requests:?}");
        for request in requests {
            let to = [A, B, C]
                .into_iter()
                .find(|peer| request.to == peer.1.parse().unwrap())
                .unwrap();
            if !request.body().is_empty() && !request.body().contains("\"refresh\"") {
                told.push((to.0, short(request.body())));
            }
            bench.grant(&request, "tag");
        }
    }
    told
}

/// The parts of a body that a test looks at: name, value, the last byte of the entity id, and the version.
pub(crate) fn short(body: &str) -> String {
    let part = |name: &str| {
        let start = body.find(&format!("\"{name}\":"))? + name.len() + 3;
        Some(
            body[start..]
                .split([',', '}'])
                .next()?
                .trim_matches('"')
                .to_owned(),
        )
    };
    let eid = part("eid").unwrap();
    let eid = &eid[eid.len() - 2..];
    let lost = part("lost").map_or("", |_| " lost");
    match (part("device"), part("uniqueid")) {
        (Some(name), _) => format!("{name} {} {eid}{lost}", part("state").unwrap()),
        (_, Some(name)) => format!(
            "{name} {}/{} {eid}",
            part("new").unwrap(),
            part("old").unwrap()
        ),
        _ => format!("{} {eid}", part("type").unwrap()),
    }
}

fn of(peer: (&str, &str, &str), body: String) -> Request {
    let mailbox = body.contains("mailboxstate");
    let request = Request::new()
        .user(peer.0)
        .from(peer.1)
        .uri(&format!("sip:{}@127.0.0.1", peer.0))
        .body(body);
    if mailbox {
        request.event("asterisk-mwi")
    } else {
        request
    }
}

fn device(eid: &str, name: &str, state: &str, more: &str) -> String {
    format!(
        r#"{{"type":"devicestate","device":"{name}","state":"{state}","cachable":1,"eid":"{eid}"{more}}}"#
    )
}

fn mailbox(eid: &str, name: &str, new: u32, old: u32) -> String {
    format!(
        r#"{{"type":"mailboxstate","uniqueid":"{name}","old":{old},"new":{new},"eid":"{eid}"}}"#
    )
}

/// A number that is stamped half a year after the beginning of a test.
const NEWER: u64 = (1_767_225_600_000 + 180 * 86_400_000) << 10;

/// The version that hub c gives a value.
fn stamped(seq: u64) -> String {
    format!(r#","by":"{}","seq":{seq}"#, C.2)
}

/// A peer says something that is taken; what the hub then tells.
fn say(
    bench: &mut Bench,
    peer: (&str, &str, &str),
    body: String,
) -> (Answer, Vec<(&'static str, String)>) {
    let answer = bench.ask(&of(peer, body));
    assert_eq!(answer.status(), 200, "{answer:?}");
    (answer, settle(bench))
}

fn tell(bench: &mut Bench, peer: (&str, &str, &str), body: String) -> Vec<(&'static str, String)> {
    say(bench, peer, body).1
}

/// A peer asks for everything, and with that tells its own entity id.
fn refresh(bench: &mut Bench, peer: (&str, &str, &str), more: &str) -> Vec<(&'static str, String)> {
    tell(
        bench,
        peer,
        format!(r#"{{"type":"refresh","eid":"{}"{more}}}"#, peer.2),
    )
}

/// Everyone has told its entity id; c is a hub.
fn acquainted(more: &str) -> Bench {
    let mut bench = hub(more);
    refresh(&mut bench, A, "");
    refresh(&mut bench, B, "");
    refresh(&mut bench, C, r#","life":1"#);
    bench
}

fn told(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    pairs
        .iter()
        .map(|(to, what)| (*to, (*what).to_owned()))
        .collect()
}

fn pass(bench: &mut Bench, seconds: u64) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for _ in 0..seconds {
        bench.pass(Duration::from_secs(1));
        all.extend(
            settle(bench)
                .into_iter()
                .filter(|(_, what)| !what.starts_with("beat")),
        );
    }
    all
}

// ---- relay

#[test]
fn what_one_peer_publishes_goes_on_to_the_others_under_its_own_entity_id() {
    let mut bench = acquainted("");
    assert_eq!(
        tell(&mut bench, A, device(A.2, "x", "INUSE", "")),
        told(&[("b", "x INUSE 0a"), ("c", "x INUSE 0a")])
    );
    assert_eq!(
        tell(&mut bench, A, device(A.2, "x", "INUSE", "")),
        [],
        "nothing new"
    );
    assert_eq!(
        tell(&mut bench, B, device(B.2, "x", "RINGING", "")),
        told(&[("a", "x RINGING 0b"), ("c", "x RINGING 0b")])
    );
    assert_eq!(bench.lamp("x"), Some("RINGINUSE"));
    bench.set("x", DeviceState::Busy);
    assert_eq!(
        settle(&mut bench),
        told(&[("a", "x BUSY 01"), ("b", "x BUSY 01"), ("c", "x BUSY 01")])
    );
    // Non-cachable values are relayed as such.
    let event = device(A.2, "y", "INUSE", "").replace("\"cachable\":1", "\"cachable\":0");
    assert_eq!(tell(&mut bench, A, event).len(), 2);
    let everything = refresh(&mut bench, B, "");
    assert_eq!(
        everything,
        told(&[("b", "x INUSE 0a"), ("b", "x BUSY 01")]),
        "its own is not told to it, nor is an event"
    );
}

#[test]
fn nothing_goes_to_the_node_whose_it_is_whichever_way_it_came() {
    let mut bench = acquainted("");
    // The other hub hears a as well, and tells of it.
    let body = device(A.2, "x", "INUSE", &stamped(4));
    assert_eq!(tell(&mut bench, C, body), told(&[("b", "x INUSE 0a")]));
}

#[test]
fn a_peer_whose_own_entity_id_is_not_known_hears_only_what_is_surely_anothers() {
    let mut bench = hub("");
    refresh(&mut bench, C, r#","life":1"#);
    assert_eq!(
        tell(&mut bench, A, device(A.2, "x", "INUSE", "")),
        told(&[("b", "x INUSE 0a"), ("c", "x INUSE 0a")]),
        "a says it of itself"
    );
    assert_eq!(
        tell(&mut bench, C, device(D, "y", "INUSE", &stamped(1))),
        told(&[("a", "y INUSE 0d")]),
        "d might be b"
    );
    let peers = bench.node.peers(bench.now);
    assert!(
        peers[1]
            .notes
            .iter()
            .any(|note| note.contains("own entity id unknown")),
        "{:?}",
        peers[1].notes
    );
    let everything = tell(&mut bench, B, device(B.2, "z", "BUSY", ""));
    assert!(
        everything.contains(&("b", "y INUSE 0d".to_owned())),
        "{everything:?}"
    );
}

#[test]
fn a_filter_of_another_lampwire_is_applied_here() {
    let mut bench = hub("");
    refresh(&mut bench, B, r#","life":1,"filter":"^wanted""#);
    assert_eq!(
        tell(&mut bench, A, device(A.2, "x", "INUSE", "")),
        told(&[("c", "x INUSE 0a")])
    );
    assert_eq!(
        tell(&mut bench, A, device(A.2, "Wanted/1", "INUSE", "")),
        told(&[("b", "Wanted/1 INUSE 0a"), ("c", "Wanted/1 INUSE 0a")])
    );
    // It is about devices only.
    assert_eq!(
        tell(&mut bench, A, mailbox(A.2, "100", 1, 0)),
        told(&[("b", "100 1/0 0a"), ("c", "100 1/0 0a")])
    );
    let everything = refresh(&mut bench, B, r#","life":1,"round":3,"filter":"""#);
    assert_eq!(
        everything,
        told(&[
            ("b", "x INUSE 0a"),
            ("b", "Wanted/1 INUSE 0a"),
            ("b", "beat 01"),
            ("b", "dumped 01")
        ])
    );
}

// ---- versions

#[test]
fn an_older_value_overwrites_nothing_and_a_circle_falls_quiet() {
    let mut bench = acquainted("");
    let x = |state: &str, seq: u64| device(D, "x", state, &stamped(seq));
    assert_eq!(tell(&mut bench, C, x("INUSE", 5)).len(), 2);
    assert_eq!(
        tell(&mut bench, C, x("BUSY", 4)),
        told(&[("c", "x INUSE 0d")]),
        "who knows less is told"
    );
    assert_eq!(
        tell(&mut bench, B, x("INUSE", 5)),
        [],
        "the same by another way"
    );
    assert_eq!(
        tell(&mut bench, B, x("ONHOLD", 6)),
        told(&[("a", "x ONHOLD 0d"), ("c", "x ONHOLD 0d")])
    );
    assert_eq!(tell(&mut bench, C, x("ONHOLD", 6)), []);
    assert_eq!(bench.node.counters().stale, 3);
    // Numbers of several hubs can be compared.
    let others = |seq: u64| stamped(seq).replace(C.2, B.2);
    assert_eq!(
        tell(&mut bench, B, device(D, "x", "RINGING", &others(5))),
        told(&[("b", "x ONHOLD 0d")])
    );
    assert_eq!(
        tell(&mut bench, B, device(D, "x", "RINGING", &others(7))).len(),
        2
    );
    // Our own word comes back.
    let ours = format!(r#","by":"{NODE_EID}","seq":99"#);
    assert_eq!(tell(&mut bench, C, device(A.2, "q", "BUSY", &ours)), []);
    assert_eq!(bench.lamp("q"), None);
}

#[test]
fn a_clock_that_went_back_makes_no_news_look_old() {
    let mut bench = acquainted("");
    bench.ask(&of(A, device(A.2, "x", "INUSE", "")));
    let seq = |bench: &mut Bench| {
        let request = bench
            .requests()
            .into_iter()
            .find(|it| it.to == C.1.parse().unwrap())
            .unwrap();
        let body = request.body().to_owned();
        bench.grant(&request, "tag");
        number(&body, "seq")
    };
    let before = seq(&mut bench);
    settle(&mut bench);
    let seen = before + 1_000_000;
    refresh(&mut bench, C, &format!(r#","life":1,"seen":{seen}"#));
    bench.ask(&of(A, device(A.2, "x", "BUSY", "")));
    // One peer may be behind another in what it has seen.
    assert!(seq(&mut bench) > seen + limits::BEATS_LATE);
    settle(&mut bench);
    // What another still has of our earlier life is overtaken by what we say now.
    let ours = format!(r#","by":"{NODE_EID}","seq":{}"#, seen + 500);
    let heard = tell(&mut bench, C, device(A.2, "x", "RINGING", &ours));
    assert!(heard.contains(&("c", "x BUSY 0a".to_owned())), "{heard:?}");
    assert_eq!(bench.lamp("x"), Some("BUSY"));
}

/// A number in a body.
fn number(body: &str, name: &str) -> u64 {
    let at = body.find(&format!("\"{name}\":")).unwrap() + name.len() + 3;
    let end = body[at..].find(|it: char| !it.is_ascii_digit()).unwrap();
    body[at..at + end].parse().unwrap()
}

// ---- lease, hold, retraction

#[test]
fn a_node_that_is_lost_leaves_no_lamp_lit_and_comes_back_as_it_was() {
    let mut bench = acquainted("");
    tell(&mut bench, B, device(B.2, "x", "NOT_INUSE", ""));
    tell(&mut bench, A, mailbox(A.2, "100", 3, 0));
    let (answer, _) = say(&mut bench, A, device(A.2, "x", "INUSE", ""));
    let tag = answer.tag().to_owned();
    // It ends all its publications: the mailbox's, that of its `refresh`, and this one. Those that are left run out.
    assert_eq!(
        bench
            .ask(&of(A, String::new()).tag(&tag).expires("0"))
            .status(),
        200
    );
    assert_eq!(pass(&mut bench, 3000), []);
    for peer in [B, C] {
        tell(&mut bench, peer, device(peer.2, "alive", "INUSE", ""));
    }
    assert_eq!(pass(&mut bench, 664), [], "held");
    assert_eq!(bench.lamp("x"), Some("INUSE"));
    let heard = pass(&mut bench, 62);
    assert_eq!(
        heard,
        told(&[("b", "x INVALID 0a lost"), ("c", "x INVALID 0a lost")]),
        "its mailbox stays"
    );
    assert_eq!(bench.lamp("x"), Some("NOT_INUSE"));
    assert_eq!(bench.node.counters().retracted_lost, 1, "no mailbox");
    let view = bench.node.device("x").unwrap();
    let lost: Vec<_> = view.entities.iter().map(|it| (it.state, it.lost)).collect();
    assert_eq!(
        lost,
        [(DeviceState::InUse, true), (DeviceState::NotInUse, false)]
    );
    // Any request that is taken brings everything back.
    let heard = tell(&mut bench, A, device(A.2, "y", "BUSY", ""));
    assert!(heard.contains(&("b", "x INUSE 0a".to_owned())), "{heard:?}");
    assert_eq!(bench.lamp("x"), Some("INUSE"));
    assert_eq!(
        (bench.node.counters().losses, bench.node.counters().returns),
        (1, 1)
    );
}

#[test]
fn a_peer_that_does_not_answer_is_lost_after_the_hold_and_back_with_its_answer() {
    let config = config("").replacen("@probe=0", "@probe=5", 1);
    let mut bench = Bench::new(&config);
    settle(&mut bench);
    refresh(&mut bench, A, "");
    refresh(&mut bench, B, "");
    tell(&mut bench, A, device(A.2, "x", "INUSE", ""));
    tell(&mut bench, B, device(B.2, "y", "INUSE", ""));
    // Nothing is granted to a from now on; the others answer.
    let step = |bench: &mut Bench, seconds: u64, answers: bool| {
        let mut heard = Vec::new();
        for _ in 0..seconds {
            bench.pass(Duration::from_secs(1));
            for request in bench.requests() {
                let to_a = request.to == A.1.parse().unwrap();
                if !to_a {
                    heard.extend(
                        request
                            .body()
                            .contains("device\":")
                            .then(|| short(request.body())),
                    );
                }
                if answers || !to_a {
                    bench.grant(&request, "tag");
                }
            }
        }
        heard
    };
    assert_eq!(step(&mut bench, 60, false), [] as [String; 0]);
    assert_eq!(bench.lamp("x"), Some("INUSE"));
    assert_eq!(
        step(&mut bench, 20, false),
        ["x INVALID 0a lost", "x INVALID 0a lost"]
    );
    assert_eq!(step(&mut bench, 5, true), ["x INUSE 0a", "x INUSE 0a"]);
}

#[test]
fn an_asterisk_that_has_lost_its_publication_and_says_so_is_there() {
    // Its keep-alive came too late, and it has nothing to say: it sends an empty initial PUBLISH each hour, until some state changes.
    let mut bench = acquainted("");
    let (first, _) = say(&mut bench, A, device(A.2, "x", "INUSE", ""));
    tell(&mut bench, B, device(B.2, "y", "INUSE", ""));
    let end = of(A, String::new()).tag(first.tag()).expires("0");
    assert_eq!(bench.ask(&end).status(), 200);
    pass(&mut bench, 3600);
    let knock = |bench: &mut Bench, expires: &str| {
        let knock = of(A, String::new()).expires(expires);
        assert_eq!(bench.ask(&knock).status(), 400);
        let peers = bench.node.peers(bench.now);
        assert_eq!(peers[0].last_heard, Some(bench.now.wall));
    };
    let everybody_else = |bench: &mut Bench| {
        tell(bench, B, device(B.2, "y", "INUSE", ""));
        tell(bench, C, device(C.2, "z", "INUSE", ""));
    };
    // Its last publication (that of its `refresh`) has ended, and it is held.
    everybody_else(&mut bench);
    pass(&mut bench, 64 + 30);
    knock(&mut bench, "3600");
    assert_eq!(pass(&mut bench, 3300), []);
    everybody_else(&mut bench);
    assert_eq!(pass(&mut bench, 250), []);
    knock(&mut bench, "600");
    assert_eq!(pass(&mut bench, 600 + 64 + 58), []);
    assert_eq!(bench.lamp("x"), Some("INUSE"));
    // Nobody knocks any more.
    let heard = pass(&mut bench, 4);
    assert_eq!(
        heard,
        told(&[("b", "x INVALID 0a lost"), ("c", "x INVALID 0a lost")])
    );
    knock(&mut bench, "600");
    let heard = settle(&mut bench);
    assert!(heard.contains(&("b", "x INUSE 0a".to_owned())), "{heard:?}");
    assert_eq!(bench.node.counters().refused["empty-initial"], 3);
    // It begins a publication, and ends that: it was stopped.
    let (again, _) = say(&mut bench, A, device(A.2, "x", "BUSY", ""));
    let end = of(A, String::new()).tag(again.tag()).expires("0");
    assert_eq!(bench.ask(&end).status(), 200);
    let heard = pass(&mut bench, 62);
    assert!(
        heard.contains(&("b", "x INVALID 0a lost".to_owned())),
        "{heard:?}"
    );
}

#[test]
fn what_stands_in_is_as_configured() {
    for (option, expected) in [
        ("retract_as=UNAVAILABLE", Some("x UNAVAILABLE 0a lost")),
        ("retract_as=keep", None),
    ] {
        let mut bench = acquainted(option);
        tell(&mut bench, A, device(A.2, "x", "INUSE", ""));
        let heard = pass(&mut bench, 3600 + 64 + 62);
        let to_b: Vec<_> = heard
            .iter()
            .filter(|(to, _)| *to == "b")
            .map(|(_, what)| what.as_str())
            .collect();
        assert_eq!(to_b, expected.into_iter().collect::<Vec<_>>(), "{option}");
        assert_eq!(
            bench.lamp("x"),
            Some(if expected.is_some() {
                "INVALID"
            } else {
                "INUSE"
            })
        );
    }
}

#[test]
fn a_server_that_goes_by_another_entity_id_is_not_heard_as_the_former_one() {
    let mut bench = acquainted("");
    tell(&mut bench, A, device(A.2, "x", "INUSE", ""));
    tell(&mut bench, A, mailbox(A.2, "100", 3, 0));
    // It has another entity id now, and nothing to say under it.
    let now = ("a", A.1, "02:00:00:00:00:1a");
    refresh(&mut bench, now, "");
    assert_eq!(pass(&mut bench, 58), [], "held");
    let heard = pass(&mut bench, 4);
    assert_eq!(
        heard,
        told(&[("b", "x INVALID 0a lost"), ("c", "x INVALID 0a lost")])
    );
    // The former one is another server, as far as anybody knows: it may be that of another peer.
    let heard = tell(&mut bench, B, device(A.2, "x", "BUSY", ""));
    assert!(heard.contains(&("a", "x BUSY 0a".to_owned())), "{heard:?}");
}

#[test]
fn closing_lanes_loses_nothing() {
    let mut bench = acquainted("");
    let (first, _) = say(&mut bench, A, device(A.2, "x", "INUSE", ""));
    say(&mut bench, A, device(A.2, "y", "INUSE", ""));
    assert_eq!(
        bench
            .ask(&of(A, String::new()).tag(first.tag()).expires("0"))
            .status(),
        200
    );
    assert_eq!(pass(&mut bench, 200), []);
    assert_eq!(bench.lamp("x"), Some("INUSE"));
}

/// A beat of hub c's that says what it soon holds to be lost.
fn holding_beat(number: u64, held: &str) -> String {
    format!(
        r#"{{"type":"beat","eid":"{}","by":"{}","seq":{number}{held}}}"#,
        C.2, C.2
    )
}

#[test]
fn what_another_hub_does_not_hear_any_more_and_we_do_is_ours_to_say() {
    let mut bench = acquainted("");
    // The other hub heard it first, and stamped it; we hear the same.
    let seq = NEWER - 1000;
    tell(&mut bench, C, device(A.2, "x", "INUSE", &stamped(seq)));
    assert_eq!(tell(&mut bench, A, device(A.2, "x", "INUSE", "")), []);
    assert_eq!(
        tell(&mut bench, C, holding_beat(seq + 1, "")),
        [],
        "nobody else knows what a beat is"
    );
    let held = |eid: &str| format!(r#","held":"{D},{eid}""#);
    assert_eq!(tell(&mut bench, C, holding_beat(seq + 2, &held(B.2))), []);
    let heard = tell(&mut bench, C, holding_beat(seq + 3, &held(A.2)));
    assert_eq!(heard, told(&[("b", "x INUSE 0a"), ("c", "x INUSE 0a")]));
    assert_eq!(tell(&mut bench, C, holding_beat(seq + 4, &held(A.2))), []);
    // Its word that it is lost comes too late, if it comes.
    let lost = stamped(seq + 5) + r#","lost":true"#;
    tell(&mut bench, C, device(A.2, "x", "INVALID", &lost));
    assert_eq!(bench.lamp("x"), Some("INUSE"));
}

#[test]
fn a_node_that_another_hub_still_hears_is_not_lost_here() {
    let mut bench = acquainted("");
    let (answer, _) = say(&mut bench, A, device(A.2, "x", "INUSE", ""));
    let end = of(A, String::new()).tag(answer.tag()).expires("0");
    assert_eq!(bench.ask(&end).status(), 200);
    pass(&mut bench, 3600);
    for peer in [B, C] {
        tell(&mut bench, peer, device(peer.2, "alive", "INUSE", ""));
    }
    // Held from now on; half of that time is over before anybody else is bothered.
    let mut held = Vec::new();
    for second in 0..(64 + 45) {
        bench.pass(Duration::from_secs(1));
        for request in bench.requests() {
            if request.body().contains("\"held\"") {
                held.push((second, request.to, request.body().to_owned()));
            }
            bench.grant(&request, "tag");
        }
    }
    let (first, to, body) = held.first().expect("it is told");
    assert!((64 + 30..64 + 36).contains(first), "{held:?}");
    assert_eq!(*to, C.1.parse().unwrap());
    assert!(body.ends_with(r#","held":"02:00:00:00:00:0a"}"#), "{body}");
    // The other hub hears it, and takes it over.
    let theirs = device(A.2, "x", "INUSE", &stamped(NEWER));
    tell(&mut bench, C, theirs);
    assert_eq!(pass(&mut bench, 30), []);
    assert_eq!(bench.lamp("x"), Some("INUSE"));
    assert_eq!(bench.node.counters().losses, 0);
    assert!(bench.notices().contains(&"node-elsewhere"));
}

#[test]
fn a_hub_that_falls_silent_takes_what_it_told_with_it_and_its_beats_go_on() {
    let mut bench = acquainted("");
    refresh(&mut bench, B, r#","life":5"#);
    tell(&mut bench, C, device(D, "x", "INUSE", &stamped(3)));
    let beat = |number: u64| {
        format!(
            r#"{{"type":"beat","eid":"{}","by":"{}","seq":{number}}}"#,
            C.2, C.2
        )
    };
    assert_eq!(tell(&mut bench, C, beat(1)), told(&[("b", "beat 0c")]));
    assert_eq!(tell(&mut bench, B, beat(1)), [], "round the circle");
    for number in 2..20 {
        assert_eq!(pass(&mut bench, 5), []);
        tell(&mut bench, C, beat(number));
    }
    assert_eq!(pass(&mut bench, 20 + 58), []);
    let heard = pass(&mut bench, 4);
    assert_eq!(
        heard,
        told(&[("a", "x INVALID 0d lost"), ("b", "x INVALID 0d lost")])
    );
    let heard = tell(&mut bench, B, beat(30));
    assert!(heard.contains(&("a", "x INUSE 0d".to_owned())), "{heard:?}");
}

#[test]
fn nobody_can_take_the_numbers_of_all_future_for_himself() {
    let mut bench = acquainted("");
    // Ten years after the clock of the test, in numbers of 1,024 a millisecond, and one more.
    let newest = (1_767_225_600_000 + 10 * 365 * 86_400_000) << 10;
    let at_least = |more: String| device(D, "x", "INUSE", &more);
    for body in [
        at_least(stamped(newest + 100_000_000)),
        at_least(stamped(i64::MAX as u64)),
        beat_of_c(1, i64::MAX as u64),
        format!(
            r#"{{"type":"refresh","eid":"{}","life":1,"seen":{}}}"#,
            C.2,
            i64::MAX
        ),
    ] {
        let answer = bench.ask(&of(C, body.clone()));
        assert_eq!(answer.status(), 403, "{body}: {answer:?}");
        assert_eq!(settle(&mut bench), [], "{body}");
    }
    assert_eq!(bench.lamp("x"), None);
    assert_eq!(
        tell(&mut bench, C, at_least(stamped(newest))),
        told(&[("a", "x INUSE 0d"), ("b", "x INUSE 0d")])
    );
}

#[test]
fn a_beat_is_of_the_hub_that_it_names() {
    let mut bench = acquainted("");
    refresh(&mut bench, B, r#","life":5"#);
    let foreign = format!(r#"{{"type":"beat","eid":"{}","by":"{D}","seq":1}}"#, C.2);
    assert_eq!(tell(&mut bench, C, foreign), []);
}

#[test]
fn what_is_heard_here_at_first_hand_is_ours_to_say_where_its_hub_is_lost() {
    let mut bench = acquainted("");
    tell(&mut bench, C, device(A.2, "x", "INUSE", &stamped(3)));
    tell(&mut bench, C, beat_of_c(1, 3));
    // Hub c falls silent and is lost; a is heard here, and what came of it by c is ours to say.
    pass(&mut bench, 120);
    tell(&mut bench, A, device(A.2, "y", "INUSE", ""));
    // One that b passes on of it still, later than what was known, is not what counts either.
    let later = device(A.2, "x", "BUSY", &stamped(NEWER));
    assert_eq!(bench.ask(&of(B, later)).status(), 200);
    let said = bench.requests();
    let ours = format!("\"by\":\"{NODE_EID}\"");
    let mut of_x = said
        .iter()
        .map(Sent::body)
        .filter(|it| it.contains("\"x\""));
    assert!(of_x.next().is_some_and(|it| it.contains(&ours)), "{said:?}");
    assert!(of_x.all(|it| it.contains(&ours)), "{said:?}");
}

#[test]
fn what_the_other_hub_holds_to_be_lost_is_lost_here_at_once() {
    let mut bench = acquainted("");
    tell(&mut bench, C, device(D, "x", "INUSE", &stamped(3)));
    let lost = format!("{},\"lost\":true", stamped(7));
    assert_eq!(
        tell(&mut bench, C, device(D, "x", "INVALID", &lost)),
        told(&[("a", "x INVALID 0d lost"), ("b", "x INVALID 0d lost")])
    );
    assert_eq!(
        bench.node.device("x").unwrap().entities[0].state,
        DeviceState::InUse,
        "nothing is overwritten"
    );
    let back = device(D, "x", "INUSE", &stamped(9));
    assert_eq!(
        tell(&mut bench, C, back),
        told(&[("a", "x INUSE 0d"), ("b", "x INUSE 0d")])
    );
}

// ---- what a peer no longer has

#[test]
fn a_stock_peer_that_restarted_loses_what_two_dumps_leave_out() {
    let mut bench = acquainted("");
    for name in ["x", "gone"] {
        tell(&mut bench, A, device(A.2, name, "INUSE", ""));
    }
    tell(&mut bench, A, mailbox(A.2, "100", 1, 0));
    pass(&mut bench, 15);
    // It begins anew while its old publications live, and is asked for everything.
    tell(&mut bench, A, device(A.2, "x", "NOT_INUSE", ""));
    tell(&mut bench, A, device(A.2, "x", "NOT_INUSE", ""));
    assert_eq!(pass(&mut bench, 50), []);
    // The second dump, too, has only the one.
    let _ = pass(&mut bench, 12);
    tell(&mut bench, A, device(A.2, "x", "NOT_INUSE", ""));
    let heard = pass(&mut bench, 200);
    let to_b: Vec<_> = heard
        .iter()
        .filter(|(to, _)| *to == "b")
        .map(|(_, what)| what.as_str())
        .collect();
    assert_eq!(to_b, ["gone INVALID 0a"]);
    assert!(bench.node.device("gone").is_none());
    assert!(bench.node.mailbox("100").is_some());
}

#[test]
fn whoever_says_all_again_at_his_leisure_has_sent_no_dump() {
    let mut bench = acquainted("");
    for name in ["x", "y", "z"] {
        tell(&mut bench, A, device(A.2, name, "INUSE", ""));
    }
    pass(&mut bench, 15);
    // It begins publications anew as it goes, does not answer when it is asked, and repeats one state a minute.
    for round in 0..20 {
        let name = ["x", "y", "z"][round % 3];
        tell(&mut bench, A, device(A.2, name, "INUSE", ""));
        assert_eq!(pass(&mut bench, 61), [], "{round}");
    }
    for name in ["x", "y", "z"] {
        assert!(bench.node.device(name).is_some(), "{name}");
    }
}

#[test]
fn a_lampwire_that_restarted_loses_what_one_marked_dump_leaves_out() {
    let mut bench = acquainted("");
    for name in ["x", "gone"] {
        tell(&mut bench, C, device(C.2, name, "INUSE", ""));
    }
    // Its refresh makes us ask; the round stands in what we ask.
    let refreshed = of(
        C,
        format!(r#"{{"type":"refresh","eid":"{}","life":2}}"#, C.2),
    );
    assert_eq!(bench.ask(&refreshed).status(), 200);
    let requests = bench.requests();
    let asked = requests
        .iter()
        .find(|it| it.to == C.1.parse().unwrap() && it.body().contains("\"refresh\""));
    let body = asked.unwrap().body();
    let at = body.find("\"round\":").unwrap() + 8;
    let round: u64 = body[at..].split(',').next().unwrap().parse().unwrap();
    for request in &requests {
        bench.grant(request, "tag");
    }
    settle(&mut bench);
    tell(&mut bench, C, device(C.2, "x", "INUSE", ""));
    // The end of an earlier dump is none of this one.
    let dumped = |round: u64| {
        format!(
            r#"{{"type":"dumped","eid":"{}","life":2,"round":{round}}}"#,
            C.2
        )
    };
    assert_eq!(tell(&mut bench, C, dumped(round - 1)), []);
    let heard = tell(&mut bench, C, dumped(round));
    assert_eq!(
        heard,
        told(&[("a", "gone INVALID 0c"), ("b", "gone INVALID 0c")])
    );
}

#[test]
fn a_value_that_was_overtaken_before_it_was_told_has_its_own_older_version() {
    let mut bench = acquainted("");
    // Nothing is granted meanwhile: the second change waits behind the first, and the third behind it.
    let mut requests = Vec::new();
    for state in ["INUSE", "BUSY", "ONHOLD"] {
        let said = of(A, device(A.2, "x", state, ""));
        assert_eq!(bench.ask(&said).status(), 200);
        requests.extend(bench.requests());
    }
    let mut told = Vec::new();
    while !requests.is_empty() {
        for request in std::mem::take(&mut requests) {
            if request.to == C.1.parse().unwrap() && request.body().contains("\"device\"") {
                let at = request.body().find("\"seq\":").unwrap() + 6;
                let seq: u64 = request.body()[at..].trim_end_matches('}').parse().unwrap();
                told.push((short(request.body()), seq));
            }
            bench.grant(&request, "tag");
            requests.extend(bench.requests());
        }
    }
    assert_eq!(told.last().unwrap().0, "x ONHOLD 0a");
    assert!(
        told.windows(2).all(|pair| pair[0].1 < pair[1].1),
        "{told:?}"
    );
}

#[test]
fn what_is_taken_back_is_newer_than_what_others_have_of_it() {
    let mut bench = acquainted("");
    let version = |bench: &mut Bench, body: String| {
        assert_eq!(bench.ask(&of(A, body)).status(), 200);
        let requests = bench.requests();
        let to_c = requests
            .iter()
            .find(|it| it.to == C.1.parse().unwrap())
            .unwrap();
        let body = to_c.body().to_owned();
        for request in &requests {
            bench.grant(request, "tag");
        }
        settle(bench);
        let at = body.find("\"seq\":").unwrap() + 6;
        body[at..]
            .trim_end_matches(|it: char| !it.is_ascii_digit())
            .split(',')
            .next()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let first = version(&mut bench, device(A.2, "x", "INUSE", ""));
    // Another entity id of the same peer: what it said before is taken back when it has told all anew.
    let change = device("02:00:00:00:00:aa", "x", "INUSE", "");
    assert_eq!(
        bench
            .ask(&of(
                A,
                r#"{"type":"refresh","eid":"02:00:00:00:00:aa"}"#.to_owned()
            ))
            .status(),
        200
    );
    settle(&mut bench);
    tell(&mut bench, A, change);
    let mut gone = None;
    for _ in 0..12 {
        bench.pass(Duration::from_secs(1));
        for request in bench.requests() {
            bench.grant(&request, "tag");
            if request.to == C.1.parse().unwrap() && request.body().contains("INVALID") {
                gone = Some(request);
            }
        }
    }
    let gone = gone.expect("it is told that the old one is gone");
    let at = gone.body().find("\"seq\":").unwrap() + 6;
    let seq: u64 = gone.body()[at..].trim_end_matches('}').parse().unwrap();
    assert!(seq > first, "{seq} {first}");
}

#[test]
fn the_end_of_a_dump_comes_after_it_also_where_its_asker_is_asked_at_the_same_moment() {
    let mut bench = acquainted("");
    tell(&mut bench, A, device(A.2, "x", "INUSE", ""));
    tell(&mut bench, C, device(C.2, "y", "INUSE", ""));
    let heard = refresh(&mut bench, C, r#","life":2,"round":7"#);
    let heard: Vec<_> = heard
        .iter()
        .filter(|(to, what)| *to == "c" && !what.starts_with("beat"))
        .collect();
    assert_eq!(
        heard
            .iter()
            .map(|(_, what)| what.as_str())
            .collect::<Vec<_>>(),
        ["x INUSE 0a", "dumped 01"]
    );
}

// ---- what is gone, among hubs

/// A beat of hub c's, which has told everything up to `complete`.
fn beat_of_c(number: u64, complete: u64) -> String {
    format!(
        r#"{{"type":"beat","eid":"{}","by":"{}","seq":{number},"complete":{complete}}}"#,
        C.2, C.2
    )
}

#[test]
fn what_is_not_known_though_everything_up_to_it_is_is_gone_and_whoever_has_it_is_told() {
    let mut bench = acquainted("");
    tell(&mut bench, C, device(D, "x", "INUSE", &stamped(5)));
    // Nothing is known of how far c has told yet, so what b knows of it is news.
    assert_eq!(
        tell(&mut bench, B, device(D, "early", "INUSE", &stamped(3))),
        told(&[("a", "early INUSE 0d"), ("c", "early INUSE 0d")])
    );
    tell(&mut bench, C, beat_of_c(1, 5));
    assert_eq!(
        tell(&mut bench, B, device(D, "gone", "INUSE", &stamped(4))),
        told(&[
            ("a", "gone INVALID 0d"),
            ("b", "gone INVALID 0d"),
            ("c", "gone INVALID 0d")
        ])
    );
    assert!(bench.node.device("gone").is_none());
    assert_eq!(
        tell(&mut bench, B, device(D, "news", "INUSE", &stamped(6))),
        told(&[("a", "news INUSE 0d"), ("c", "news INUSE 0d")]),
        "what lies beyond is news"
    );
    // What a filter may have kept from us says nothing.
    let partial = beat_of_c(2, 9).replace("\"complete\"", "\"partial\":true,\"complete\"");
    tell(&mut bench, C, partial);
    assert_eq!(
        tell(&mut bench, B, device(D, "hidden", "INUSE", &stamped(8))).len(),
        2
    );
}

#[test]
fn an_invalid_that_another_hub_tells_deletes_and_of_what_is_not_known_it_says_nothing() {
    let mut bench = acquainted("");
    tell(&mut bench, C, device(D, "x", "INUSE", &stamped(5)));
    assert_eq!(
        tell(&mut bench, C, device(D, "x", "INVALID", &stamped(6))),
        told(&[("a", "x INVALID 0d"), ("b", "x INVALID 0d")])
    );
    assert!(bench.node.device("x").is_none());
    assert_eq!(
        tell(&mut bench, C, device(D, "never", "INVALID", &stamped(7))),
        []
    );
}

#[test]
fn what_a_node_says_here_is_not_lost_because_another_hub_does_not_hear_it() {
    let mut bench = acquainted("");
    tell(&mut bench, A, device(A.2, "x", "INUSE", ""));
    // The other hub heard it as well, later than we, and then no more.
    tell(&mut bench, C, device(A.2, "x", "INUSE", &stamped(NEWER)));
    let lost = format!("{},\"lost\":true", stamped(NEWER + 1));
    let heard = tell(&mut bench, C, device(A.2, "x", "INVALID", &lost));
    assert_eq!(
        heard,
        told(&[("b", "x INUSE 0a"), ("c", "x INUSE 0a"),]),
        "our word is above its"
    );
    assert_eq!(bench.lamp("x"), Some("INUSE"));
}

#[test]
fn what_a_silent_hub_had_heard_is_ours_to_say_where_its_node_is_here_too() {
    let mut bench = acquainted("");
    tell(&mut bench, A, device(A.2, "y", "INUSE", ""));
    tell(&mut bench, C, device(A.2, "x", "BUSY", &stamped(NEWER)));
    tell(&mut bench, C, device(D, "z", "BUSY", &stamped(NEWER + 1)));
    let heard = pass(&mut bench, 25);
    assert_eq!(
        heard,
        told(&[("b", "x BUSY 0a"), ("c", "x BUSY 0a")]),
        "held, not lost"
    );
    let heard = pass(&mut bench, 60);
    assert_eq!(
        heard,
        told(&[("a", "z INVALID 0d lost"), ("b", "z INVALID 0d lost")])
    );
    assert_eq!(bench.lamp("x"), Some("BUSY"));
}

#[test]
fn our_word_of_an_earlier_life_is_taken_back_once_everybody_has_spoken() {
    let mut bench = acquainted("");
    let ours = format!(r#","by":"{NODE_EID}","seq":7"#);
    assert_eq!(
        tell(&mut bench, C, device(A.2, "x", "INUSE", &ours)),
        [],
        "a may still say so"
    );
    let heard = pass(&mut bench, 66);
    assert_eq!(heard, [], "but does not");
    // Now c is asked once more, and says it again.
    assert_eq!(
        tell(&mut bench, C, device(A.2, "x", "INUSE", &ours)),
        told(&[("b", "x INVALID 0a"), ("c", "x INVALID 0a"),])
    );
}

// ---- mailboxes

#[test]
fn a_mailbox_has_one_owner_and_an_empty_one_elsewhere_does_not_take_it() {
    let mut bench = acquainted("");
    assert_eq!(
        tell(&mut bench, A, mailbox(A.2, "100", 3, 1)),
        told(&[("b", "100 3/1 0a"), ("c", "100 3/1 0a")])
    );
    // b merely knows the mailbox; what it has now is mended.
    assert_eq!(
        tell(&mut bench, B, mailbox(B.2, "100", 0, 0)),
        told(&[("b", "100 3/1 0a")])
    );
    assert_eq!(
        tell(&mut bench, B, mailbox(B.2, "100", 0, 0)),
        told(&[("b", "100 3/1 0a")]),
        "once each time"
    );
    assert_eq!(bench.node.mailbox("100").unwrap().new, 3);
    assert_eq!(
        tell(&mut bench, A, mailbox(A.2, "100", 0, 0)),
        told(&[("b", "100 0/0 0a"), ("c", "100 0/0 0a")])
    );
    // Messages take it over.
    assert_eq!(
        tell(&mut bench, B, mailbox(B.2, "100", 1, 0)),
        told(&[("a", "100 1/0 0b"), ("c", "100 1/0 0b")])
    );
}

#[test]
fn a_mailbox_whose_owners_value_is_deleted_goes_to_the_next_that_has_messages() {
    let mut bench = acquainted("");
    tell(&mut bench, A, mailbox(A.2, "100", 3, 0));
    tell(&mut bench, B, mailbox(B.2, "100", 0, 0));
    bench.node.set_mailbox(bench.now, "100", 7, 1).unwrap();
    let everybody = |what| told(&[("a", what), ("b", what), ("c", what)]);
    assert_eq!(settle(&mut bench), everybody("100 7/1 01"));
    bench.node.unset_mailbox(bench.now, "100").unwrap();
    assert_eq!(
        settle(&mut bench),
        told(&[("b", "100 3/0 0a"), ("c", "100 3/0 0a")]),
        "and not that it is empty before"
    );
    assert_eq!(bench.node.mailbox("100").unwrap().new, 3);
    // Nobody else has any: it is empty.
    tell(&mut bench, A, mailbox(A.2, "200", 0, 0));
    bench.node.set_mailbox(bench.now, "200", 1, 0).unwrap();
    settle(&mut bench);
    bench.node.unset_mailbox(bench.now, "200").unwrap();
    assert_eq!(settle(&mut bench), everybody("200 0/0 01"));
}

#[test]
fn the_owner_of_a_mailbox_can_be_configured() {
    let config = config("").replacen("@lanes=1", "@mailbox_owner=^100 a\n@lanes=1", 1);
    let mut bench = Bench::new(&config);
    settle(&mut bench);
    for peer in [A, B, C] {
        refresh(&mut bench, peer, "");
    }
    tell(&mut bench, A, mailbox(A.2, "100", 0, 2));
    assert_eq!(
        tell(&mut bench, B, mailbox(B.2, "100", 5, 0)),
        told(&[("b", "100 0/2 0a")])
    );
    assert_eq!(bench.node.mailbox("100").unwrap().old, 2);
    // What explains it has first what is shown.
    let explained = bench.node.explain_mailbox("100").unwrap();
    let said: Vec<_> = explained
        .entities
        .iter()
        .map(|it| (it.new, it.old))
        .collect();
    assert_eq!((said, explained.owned), (vec![(0, 2), (5, 0)], true));
}

/// What watchers were told of mailboxes: what the lamp shows, then who spoke, what he says and what he had said before.
fn boxes(bench: &mut Bench) -> Vec<String> {
    let last = |eid: lampwire_sip::EntityId| eid.to_string().split_off(15);
    let mut seen = Vec::new();
    while let Some(event) = bench.node.poll_event() {
        if let lampwire_core::Event::Mailbox {
            shown,
            said,
            taken_back,
            eid,
            previous,
        } = event
        {
            let shown = shown.map_or("nothing".to_owned(), |it| {
                format!("{}/{} of {}", it.new, it.old, last(it.eid))
            });
            assert_eq!(said.eid, eid);
            let said = match taken_back {
                true => "nothing".to_owned(),
                false => format!("{}/{}", said.new, said.old),
            };
            let previous = previous.map(|(new, old)| format!("{new}/{old}"));
            seen.push(format!(
                "shows {shown}; {} says {said} before {}",
                last(eid),
                previous.as_deref().unwrap_or("nothing")
            ));
        }
    }
    seen
}

#[test]
fn watchers_are_told_what_the_lamp_of_a_mailbox_shows_whoever_spoke() {
    let config = config("").replacen("@lanes=1", "@mailbox_owner=^2 a\n@lanes=1", 1);
    let mut bench = Bench::new(&config);
    settle(&mut bench);
    for peer in [A, B, C] {
        refresh(&mut bench, peer, "");
    }
    boxes(&mut bench);
    for (peer, name, new, old) in [
        (A, "100", 3, 1),
        (B, "100", 0, 0),
        (B, "100", 1, 0),
        // The owner is configured.
        (A, "200", 0, 2),
        (B, "200", 5, 0),
    ] {
        tell(&mut bench, peer, mailbox(peer.2, name, new, old));
    }
    bench.node.set_mailbox(bench.now, "300", 2, 0).unwrap();
    bench.node.unset_mailbox(bench.now, "300").unwrap();
    assert_eq!(
        boxes(&mut bench),
        [
            "shows 3/1 of 0a; 0a says 3/1 before nothing",
            "shows 3/1 of 0a; 0b says 0/0 before nothing",
            "shows 1/0 of 0b; 0b says 1/0 before 0/0",
            "shows 0/2 of 0a; 0a says 0/2 before nothing",
            "shows 0/2 of 0a; 0b says 5/0 before nothing",
            "shows 2/0 of 01; 01 says 2/0 before nothing",
            "shows nothing; 01 says nothing before 2/0",
        ]
    );
    // The owner takes it back: others still say something of it, now as later, when it is forgotten.
    tell(&mut bench, A, mailbox(A.2, "400", 0, 3));
    bench.node.set_mailbox(bench.now, "400", 1, 0).unwrap();
    bench.node.unset_mailbox(bench.now, "400").unwrap();
    assert_eq!(
        boxes(&mut bench).last().unwrap(),
        "shows 0/3 of 0a; 01 says nothing before 1/0"
    );
    assert_eq!(bench.node.mailbox("400").unwrap().old, 3);
    pass(&mut bench, 60);
    assert_eq!(bench.node.mailbox("400").unwrap().old, 3);
}

#[test]
fn a_configured_owner_that_is_lost_gives_way_and_takes_its_mailbox_back() {
    let config = config("").replacen("@lanes=1", "@mailbox_owner=^100 a\n@lanes=1", 1);
    let mut bench = Bench::new(&config);
    settle(&mut bench);
    for peer in [A, B, C] {
        refresh(&mut bench, peer, "");
    }
    let (answer, _) = say(&mut bench, A, mailbox(A.2, "100", 2, 0));
    tell(&mut bench, B, mailbox(B.2, "100", 0, 0));
    let end = of(A, String::new())
        .event("asterisk-mwi")
        .tag(answer.tag())
        .expires("0");
    assert_eq!(bench.ask(&end).status(), 200);
    pass(&mut bench, 3600 - 10);
    tell(&mut bench, B, device(B.2, "alive", "INUSE", ""));
    tell(&mut bench, C, device(C.2, "alive", "INUSE", ""));
    assert_eq!(pass(&mut bench, 10 + 64 + 62), []);
    assert_eq!(bench.node.counters().losses, 1);
    // Its value stays until another reports messages.
    assert_eq!(
        tell(&mut bench, B, mailbox(B.2, "100", 0, 0)),
        told(&[("b", "100 2/0 0a")])
    );
    assert_eq!(
        tell(&mut bench, B, mailbox(B.2, "100", 5, 0)),
        told(&[("a", "100 5/0 0b"), ("c", "100 5/0 0b")])
    );
    // It is back, and says what it said before.
    let heard = tell(&mut bench, A, mailbox(A.2, "100", 2, 0));
    assert_eq!(heard, told(&[("b", "100 2/0 0a"), ("c", "100 2/0 0a")]));
    assert_eq!(
        tell(&mut bench, B, mailbox(B.2, "100", 6, 0)),
        told(&[("b", "100 2/0 0a")])
    );
}

// ---- rewrites

#[test]
fn a_peer_may_have_names_and_states_of_its_own() {
    let rewrite = "[r]\ntype=rewrite\npeer=a\ndevice=SIP/* -> PJSIP/*\nmailbox=*@default -> *@branch\nstate=UNAVAILABLE -> NOT_INUSE\n\
                   [s]\ntype=rewrite\npeer=b\ndirection=out\ndevice=T1-* -> *\n";
    let mut bench = Bench::new(&format!("{}{rewrite}", config("")));
    settle(&mut bench);
    for peer in [A, B, C] {
        refresh(&mut bench, peer, "");
    }
    assert_eq!(
        tell(&mut bench, A, device(A.2, "SIP/100", "UNAVAILABLE", "")),
        told(&[
            ("b", "T1-PJSIP/100 NOT_INUSE 0a"),
            ("c", "PJSIP/100 NOT_INUSE 0a")
        ])
    );
    assert_eq!(bench.lamp("PJSIP/100"), Some("NOT_INUSE"));
    assert_eq!(
        tell(&mut bench, C, device(C.2, "PJSIP/7", "NOT_INUSE", "")),
        told(&[
            ("a", "SIP/7 UNAVAILABLE 0c"),
            ("b", "T1-PJSIP/7 NOT_INUSE 0c")
        ])
    );
    assert_eq!(
        tell(&mut bench, B, device(B.2, "T1-x", "BUSY", "")),
        told(&[("a", "T1-x BUSY 0b"), ("c", "T1-x BUSY 0b")]),
        "out only"
    );
    assert_eq!(
        tell(&mut bench, A, mailbox(A.2, "100@default", 1, 0)),
        told(&[("b", "100@branch 1/0 0a"), ("c", "100@branch 1/0 0a")])
    );
    assert_eq!(
        tell(&mut bench, C, mailbox(C.2, "200@branch", 2, 0)),
        told(&[("a", "200@default 2/0 0c"), ("b", "200@branch 2/0 0c")])
    );
    // What the rewriting makes too long is refused.
    let long = format!("SIP/{}", "x".repeat(250));
    assert_eq!(
        bench.ask(&of(A, device(A.2, &long, "INUSE", ""))).status(),
        400
    );
}

// ---- the whole

#[test]
fn the_bounds_are_sensible() {
    assert!(limits::HUB_SILENT > limits::HUB_BEAT * 3);
}

#[test]
fn a_reload_takes_back_from_a_server_and_spares_a_hub() {
    let mut bench = hub("");
    refresh(&mut bench, B, "");
    refresh(&mut bench, C, r#","life":1"#);
    bench.ask(&of(C, device(D, "SIP/9", "INUSE", &stamped(7))));
    settle(&mut bench);
    bench.ask(&of(A, device(A.2, "SIP/1", "INUSE", "")));
    let told = settle(&mut bench);
    for to in [B.0, C.0] {
        assert!(
            told.contains(&(to, "SIP/1 INUSE 0a".to_owned())),
            "{told:?}"
        );
    }
    let narrow = |text: &str, name: &str| {
        let publish = format!("[{name}-device]\ntype=outbound-publish\n");
        text.replacen(&publish, &format!("{publish}@device_state_filter=^X\n"), 1)
    };
    let wide = config("");
    let report = bench.reload(&narrow(&narrow(&wide, "b"), "c")).unwrap();
    let mut told = settle(&mut bench);
    told.sort();
    let b = |text: &str| (B.0, text.to_owned());
    assert_eq!(told, [b("SIP/1 INVALID 0a"), b("SIP/9 INVALID 0d")]);
    let warnings: Vec<_> = report.warnings.iter().map(|it| it.code).collect();
    assert_eq!(warnings, ["not-retracted"]);
    assert!(report.warnings[0].text.contains("is a hub"), "{report:?}");
    bench.reload(&wide).unwrap();
    let told = settle(&mut bench);
    for text in [
        b("SIP/1 INUSE 0a"),
        b("SIP/9 INUSE 0d"),
        (C.0, "SIP/1 INUSE 0a".to_owned()),
    ] {
        assert!(told.contains(&text), "{text:?}: {told:?}");
    }
}
