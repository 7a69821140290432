//! Another configuration for a node at work: what is the same in it is not touched, what is another takes effect at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use lampwire_core::{NotReloaded, RelationChange, RelationTurn};
use lampwire_sip::DeviceState;

use crate::bench::{Bench, PEER, RELATION, Request, Sent, mailbox};

/// What the node says, each request granted with a tag that no other has: to whom, and the body in short.
fn talk(bench: &mut Bench) -> Vec<String> {
    let mut said = Vec::new();
    for _ in 0..500 {
        let requests = bench.requests();
        if requests.is_empty() {
            return said;
        }
        for request in requests {
            said.push(short(&request));
            let tag = format!("tag{}", said.len());
            if request.header("Expires") == Some("0") {
                bench.answer(&request, "200 OK", "Expires: 0\r\n");
            } else {
                bench.grant(&request, &tag);
            }
        }
    }
    panic!("it does not fall quiet: {said:?}");
}

/// The last byte of the peer's address, and what it is told.
fn short(request: &Sent) -> String {
    let to = request.to.to_string();
    let to = to.split(':').next().unwrap().rsplit('.').next().unwrap();
    let body = request.body();
    let part = |name: &str| {
        let start = body.find(&format!("\"{name}\":"))? + name.len() + 3;
        let value = body[start..].split([',', '}']).next()?;
        Some(value.trim_matches('"').to_owned())
    };
    let text = match (part("device"), part("uniqueid"), part("type")) {
        (Some(device), ..) => format!("{device} {}", part("state").unwrap()),
        (_, Some(mailbox), _) => {
            format!(
                "{mailbox} {}/{}",
                part("new").unwrap(),
                part("old").unwrap()
            )
        }
        (.., Some(kind)) => kind,
        _ if request.header("Expires") == Some("0") => {
            let event = request.header("Event").unwrap();
            format!("end {}", event.strip_prefix("asterisk-").unwrap())
        }
        _ => "empty".to_owned(),
    };
    format!("{to} {text}")
}

/// A node whose peer has been told two devices and a mailbox, and falls quiet.
fn settled(config: &str) -> Bench {
    let mut bench = Bench::new(config);
    bench.set("PJSIP/1", DeviceState::InUse);
    bench.set("SIP/2", DeviceState::Ringing);
    bench.node.set_mailbox(bench.now, "100@a", 1, 0).unwrap();
    let said = talk(&mut bench);
    assert_eq!(said.iter().filter(|it| it.contains("refresh")).count(), 2);
    bench
}

fn with_filter(filter: &str) -> String {
    let option = format!("event=asterisk-devicestate\n@device_state_filter={filter}\n");
    RELATION.replacen("event=asterisk-devicestate\n", &option, 1)
}

const OTHER: &str = "
[other]
type=endpoint
[other-device]
type=outbound-publish
server_uri=sip:node@127.0.0.3
event=asterisk-devicestate
@lanes=1
@probe=0
[other]
type=inbound-publication
endpoint=other
event_asterisk-devicestate=other
[other]
type=asterisk-publication
devicestate_publish=other-device
device_state=yes
";

fn relation(publish: &str, turn: RelationTurn, retracted: usize, added: usize) -> RelationChange {
    RelationChange {
        publish: publish.to_owned(),
        turn,
        retracted,
        added,
    }
}

/// The tag that the node's next word to its peer carries.
fn tag_of_next(bench: &mut Bench, state: DeviceState) -> String {
    bench.set("PJSIP/1", state);
    let mut requests = bench.requests();
    requests.retain(|it| it.to == PEER.parse().unwrap());
    let request = requests.remove(0);
    bench.grant(&request, "another");
    request.header("SIP-If-Match").unwrap_or("none").to_owned()
}

#[test]
fn what_is_the_same_is_not_touched_and_keeps_its_tag() {
    let mut bench = settled(RELATION);
    let before = tag_of_next(&mut bench, DeviceState::Busy);
    assert!(before.starts_with("tag"), "{before}");
    let report = bench
        .reload(&format!("; another place\n\n{RELATION}"))
        .unwrap();
    assert_eq!(
        (
            report.difference.changes.len(),
            report.relations.len(),
            report.warnings.len()
        ),
        (0, 0, 0),
        "{report:?}"
    );
    assert_eq!(bench.requests().len(), 0);

    let report = bench.reload(&format!("{OTHER}{RELATION}")).unwrap();
    assert_eq!(
        report.relations,
        [relation("other-device", RelationTurn::Begun, 0, 0)]
    );
    let said = talk(&mut bench);
    assert_eq!(said, ["3 refresh", "3 SIP/2 RINGING", "3 PJSIP/1 BUSY"]);
    assert_eq!(tag_of_next(&mut bench, DeviceState::InUse), "another");
    talk(&mut bench);

    // In another order too, and what is on its way is answered.
    bench.set("PJSIP/1", DeviceState::Ringing);
    let on_the_way = bench.requests();
    bench.reload(&format!("{RELATION}{OTHER}")).unwrap();
    for request in &on_the_way {
        bench.grant(request, "after");
    }
    assert_eq!(bench.requests().len(), 0);
    assert_eq!(tag_of_next(&mut bench, DeviceState::InUse), "after");
    let publishers = bench.node.publishers(bench.now);
    let names: Vec<_> = publishers.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["peer-device", "peer-mwi", "other-device"]);
}

#[test]
fn a_narrower_filter_takes_back_and_a_wider_one_tells() {
    let mut bench = settled(RELATION);
    let report = bench.reload(&with_filter("^PJSIP/")).unwrap();
    assert_eq!(
        report.relations,
        [relation("peer-device", RelationTurn::GoesOn, 1, 0)]
    );
    assert_eq!(bench.node.counters().retracted_by_reload, 1);
    assert_eq!(talk(&mut bench), ["2 SIP/2 INVALID"]);
    bench.set("SIP/2", DeviceState::Busy);
    bench.set("SIP/3", DeviceState::Busy);
    assert_eq!(talk(&mut bench), [""; 0]);
    assert_ne!(tag_of_next(&mut bench, DeviceState::Busy), "none");

    let report = bench.reload(&with_filter("IP/")).unwrap();
    assert_eq!(
        report.relations,
        [relation("peer-device", RelationTurn::GoesOn, 0, 2)]
    );
    assert_eq!(talk(&mut bench), ["2 SIP/2 BUSY", "2 SIP/3 BUSY"]);
    let report = bench.reload(RELATION).unwrap();
    assert_eq!(
        report.relations,
        [relation("peer-device", RelationTurn::GoesOn, 0, 0)]
    );
    assert_eq!(talk(&mut bench), [""; 0]);
    // A filter on mailboxes leaves them at the peer.
    let mailboxes = RELATION.replacen(
        "event=asterisk-mwi\n",
        "event=asterisk-mwi\n@mailbox_state_filter=^2\n",
        1,
    );
    let report = bench.reload(&mailboxes).unwrap();
    assert_eq!(
        report.relations,
        [relation("peer-mwi", RelationTurn::GoesOn, 0, 0)]
    );
    assert_eq!(talk(&mut bench), [""; 0]);
    bench.reload(RELATION).unwrap();
    assert_eq!(talk(&mut bench), ["2 100@a 1/0"]);
}

#[test]
fn what_is_on_its_way_or_waits_to_be_taken_back_ends_right() {
    let mut bench = settled(RELATION);
    bench.set("SIP/2", DeviceState::Busy);
    let on_the_way = bench.requests();
    bench.reload(&with_filter("^PJSIP/")).unwrap();
    assert_eq!(bench.requests().len(), 0, "one request at a time");
    bench.grant(&on_the_way[0], "next");
    let retraction = bench.requests();
    assert_eq!(short(&retraction[0]), "2 SIP/2 INVALID");
    // It is wanted again while it is being taken back.
    bench.reload(RELATION).unwrap();
    bench.grant(&retraction[0], "next");
    assert_eq!(talk(&mut bench), ["2 SIP/2 BUSY"]);

    // Again, before it could be said at all: nothing need be said.
    bench.set("PJSIP/1", DeviceState::Ringing);
    let on_the_way = bench.requests();
    bench.reload(&with_filter("^PJSIP/")).unwrap();
    bench.reload(RELATION).unwrap();
    bench.grant(&on_the_way[0], "next");
    assert_eq!(talk(&mut bench), ["2 SIP/2 BUSY"]);

    // What was deleted and is not told any more is taken back all the same.
    bench.set("PJSIP/1", DeviceState::Busy);
    let on_the_way = bench.requests();
    bench.node.unset_device(bench.now, "SIP/2").unwrap();
    bench.reload(&with_filter("^PJSIP/")).unwrap();
    bench.grant(&on_the_way[0], "next");
    assert_eq!(talk(&mut bench), ["2 SIP/2 INVALID"]);
}

#[test]
fn a_relation_that_is_no_more_takes_back_its_devices_and_ends_its_publications() {
    let both = format!("{RELATION}{OTHER}");
    let mut bench = Bench::new(&both);
    bench.set("PJSIP/1", DeviceState::InUse);
    bench.set("SIP/2", DeviceState::Ringing);
    bench.node.set_mailbox(bench.now, "100@a", 1, 0).unwrap();
    talk(&mut bench);
    let alone = RELATION.split("[peer]").next().unwrap().to_owned() + OTHER;
    let report = bench.reload(&alone).unwrap();
    assert_eq!(
        report.relations,
        [
            relation("peer-device", RelationTurn::Ends, 2, 0),
            relation("peer-mwi", RelationTurn::Ends, 0, 0)
        ]
    );
    // It says nothing new meanwhile.
    bench.set("PJSIP/1", DeviceState::Busy);
    let said = talk(&mut bench);
    let to_two: Vec<_> = said.iter().filter(|it| it.starts_with("2 ")).collect();
    assert_eq!(
        to_two,
        [
            "2 PJSIP/1 INVALID",
            "2 end mwi",
            "2 SIP/2 INVALID",
            "2 end devicestate"
        ]
    );
    let to_three: Vec<_> = said.iter().filter(|it| it.starts_with("3 ")).collect();
    assert_eq!(to_three, ["3 PJSIP/1 BUSY"]);
    assert!(bench.notices().contains(&"relation-ended"));
    bench.pass(Duration::from_secs(120));
    bench.set("SIP/2", DeviceState::Busy);
    assert!(talk(&mut bench).iter().all(|it| it.starts_with("3 ")));

    // A plain end leaves states.
    let mut bench = settled(RELATION);
    bench.node.shutdown(bench.now);
    assert_eq!(talk(&mut bench), ["2 end devicestate", "2 end mwi"]);
}

#[test]
fn a_relation_that_is_no_more_is_not_waited_for_where_its_peer_is_silent() {
    let mut bench = settled(RELATION);
    bench.set("PJSIP/1", DeviceState::Busy);
    bench.pass(Duration::from_secs(40));
    let report = bench.reload(OTHER_ALONE).unwrap();
    let codes: Vec<_> = report.warnings.iter().map(|it| it.code).collect();
    assert_eq!(codes, ["not-retracted"], "{report:?}");
    bench.copies();
    assert_eq!(talk(&mut bench), [""; 0]);
    assert_eq!(bench.node.publishers(bench.now).len(), 0);
}

/// No peer at all.
const OTHER_ALONE: &str = "
[lampwire]
type=lampwire
entity_id=02:00:00:00:00:01
http_bind=
[udp]
type=transport
protocol=udp
bind=127.0.0.1:5060
";

#[test]
fn a_section_that_is_called_otherwise_is_the_same_relation() {
    let mut bench = settled(RELATION);
    bench.ask(&Request::saying("SIP/9", "INUSE"));
    talk(&mut bench);
    let renamed = RELATION
        .replace("peer-device", "north-device")
        .replace("[peer]\ntype=asterisk", "[north]\ntype=asterisk")
        .replace("state=peer\n", "state=north\n")
        .replace("mwi=peer\n", "mwi=north\n");
    let report = bench.reload(&renamed).unwrap();
    assert_eq!((report.relations, report.warnings), (vec![], vec![]));
    assert_eq!(talk(&mut bench), [""; 0]);
    assert_ne!(tag_of_next(&mut bench, DeviceState::Busy), "none");
    let publishers = bench.node.publishers(bench.now);
    assert_eq!(publishers[0].name, "north-device");
    assert_eq!(publishers[0].peer.as_deref(), Some("north"));
    assert_eq!(bench.node.peers(bench.now)[0].name, "north");
    assert_eq!(bench.lamp("SIP/9"), Some("INUSE"));
    let entity = &bench.node.device("SIP/9").unwrap().entities[0];
    assert_eq!(entity.peer.as_deref(), Some("north"));
}

#[test]
fn another_sender_waits_until_the_former_has_ended() {
    let mut bench = settled(RELATION);
    bench.set("PJSIP/1", DeviceState::Busy);
    let on_the_way = bench.requests();
    let text = with_filter("^PJSIP/").replacen(
        "event=asterisk-devicestate\n",
        "event=asterisk-devicestate\n@from_uri=sip:us@127.0.0.1\n",
        1,
    );
    let report = bench.reload(&text).unwrap();
    assert_eq!(
        report.relations,
        [
            relation("peer-device", RelationTurn::Begun, 0, 0),
            // What the new one tells is not taken back.
            relation("peer-device", RelationTurn::Ends, 1, 0)
        ]
    );
    assert_eq!(bench.requests().len(), 0, "one word at a time");
    bench.grant(&on_the_way[0], "next");
    assert_eq!(
        talk(&mut bench),
        [
            "2 SIP/2 INVALID",
            "2 end devicestate",
            "2 refresh",
            "2 PJSIP/1 BUSY"
        ]
    );
    assert!(bench.requests().is_empty());
}

#[test]
fn credentials_take_effect_at_once() {
    let with = |name: &str, password: &str| {
        RELATION.replacen(
            "[peer]\ntype=endpoint\n",
            &format!("[peer]\ntype=endpoint\nauth={name}\n"),
            1,
        ) + &format!("[{name}]\ntype=auth\nusername=peer\npassword={password}\n")
    };
    let mut bench = settled(RELATION);
    let tag = bench.ask(&Request::new()).tag().to_owned();
    talk(&mut bench);
    let report = bench.reload(&with("secret", "one")).unwrap();
    assert_eq!(report.warnings.len(), 1);
    let warning = &report.warnings[0];
    assert_eq!(
        (warning.code, warning.peer.as_deref()),
        ("peer-silenced", Some("peer"))
    );
    assert!(
        warning
            .text
            .starts_with("peer peer (endpoint peer, from 127.0.0.2) will be answered 401"),
        "{}",
        warning.text
    );
    let answer = bench.ask(&Request::new().tag(&tag));
    assert_eq!(answer.status(), 401);
    // The other way round nobody is silenced, and the tag is still good.
    assert_eq!(bench.reload(RELATION).unwrap().warnings, []);
    assert_eq!(bench.ask(&Request::new().tag(&tag)).status(), 200);
}

#[test]
fn our_own_credentials_change_and_the_tag_stays() {
    let with = |password: &str| {
        RELATION.replacen("@lanes=1\n", "@lanes=1\noutbound_auth=us\n", 1)
            + &format!("[us]\ntype=auth\nusername=us\npassword={password}\n")
    };
    let mut bench = settled(&with("one"));
    let report = bench.reload(&with("two")).unwrap();
    assert_eq!(report.difference.changes.len(), 1);
    assert_eq!(report.relations, []);
    assert_ne!(tag_of_next(&mut bench, DeviceState::Busy), "none");
    talk(&mut bench);
    // A peer that refuses is asked again as soon as the password is another.
    bench.set("PJSIP/1", DeviceState::Ringing);
    let request = bench.requests().remove(0);
    let challenge = "WWW-Authenticate: Digest realm=\"x\",nonce=\"1\",algorithm=MD5\r\n";
    let mut request = request;
    for _ in 0..12 {
        bench.answer(&request, "401 Unauthorized", challenge);
        match bench.requests().into_iter().next() {
            Some(next) => request = next,
            None => break,
        }
    }
    assert!(bench.notices().contains(&"peer-refuses"));
    bench.reload(&with("three")).unwrap();
    assert_eq!(talk(&mut bench), ["2 PJSIP/1 RINGING"]);
}

#[test]
fn an_endpoint_that_is_no_more_ends_its_publications_and_its_peer_is_lost() {
    let both = format!("{RELATION}{OTHER}");
    let mut bench = Bench::new(&both);
    talk(&mut bench);
    let request = Request::saying("SIP/9", "INUSE")
        .user("other")
        .uri("sip:other@127.0.0.1")
        .from("127.0.0.3:5060");
    let tag = bench.ask(&request).tag().to_owned();
    talk(&mut bench);
    assert_eq!(bench.node.publications(bench.now).len(), 1);
    let less = both
        .replace("[other]\ntype=endpoint\n", "")
        .replace("endpoint=other\n", "");
    let report = bench.reload(&less).unwrap();
    let codes: Vec<_> = report.warnings.iter().map(|it| it.code).collect();
    assert_eq!(codes, ["peer-silenced", "publication-ended"]);
    assert!(
        report.warnings[0].text.contains("answered 403"),
        "{report:?}"
    );
    assert_eq!(bench.node.publications(bench.now).len(), 0);
    assert_eq!(bench.lamp("SIP/9"), Some("INUSE"), "it is held");
    bench.pass(Duration::from_secs(61));
    assert!(bench.notices().contains(&"node-lost"));
    assert!(bench.node.device("SIP/9").unwrap().entities[0].lost);
    // It is let in again and comes back with a new publication: its old tag is none.
    bench.reload(&both).unwrap();
    assert_eq!(bench.ask(&request.clone().tag(&tag)).status(), 412);
    assert_eq!(bench.ask(&request).status(), 200);
    assert_eq!(bench.lamp("SIP/9"), Some("INUSE"));
}

#[test]
fn a_peer_that_is_no_more_leaves_no_lamp_lit_at_the_others() {
    let hub = format!("{RELATION}{OTHER}").replacen("http_bind=\n", "http_bind=\nrelay=yes\n", 1);
    let mut bench = Bench::new(&hub);
    talk(&mut bench);
    bench.ask(&Request::saying("SIP/9", "INUSE"));
    assert!(talk(&mut bench).contains(&"3 SIP/9 INUSE".to_owned()));
    let counts = mailbox("100@a", 2, 1);
    bench.ask(&Request::new().event("asterisk-mwi").body(counts));
    let without: String = {
        let (head, rest) = hub.split_once("[peer]").unwrap();
        format!("{head}{}", &rest[rest.find("[other]").unwrap()..])
    };
    let report = bench.reload(&without).unwrap();
    let codes: Vec<_> = report.warnings.iter().map(|it| it.code).collect();
    assert_eq!(codes, ["peer-silenced", "publication-ended"]);
    let said = talk(&mut bench);
    assert!(said.contains(&"3 SIP/9 INVALID".to_owned()), "{said:?}");
    assert_eq!(bench.lamp("SIP/9"), None);
    let mailbox = bench.node.mailbox("100@a").unwrap();
    assert_eq!((mailbox.new, mailbox.peer), (2, None), "mailboxes are left");
    // It comes back as if it had never been there.
    bench.reload(&hub).unwrap();
    talk(&mut bench);
    bench.ask(&Request::saying("SIP/9", "RINGING"));
    assert!(talk(&mut bench).contains(&"3 SIP/9 RINGING".to_owned()));
    assert_eq!(bench.lamp("SIP/9"), Some("RINGING"));
}

#[test]
fn what_is_taken_of_a_peer_changes_at_once() {
    let mut bench = settled(RELATION);
    bench.ask(&Request::saying("SIP/8", "INUSE"));
    bench.ask(&Request::saying("PJSIP/9", "INUSE"));
    talk(&mut bench);
    let narrow = RELATION.replacen(
        "device_state=yes",
        "device_state=yes\ndevice_state_filter=^PJSIP/",
        1,
    );
    bench.reload(&narrow).unwrap();
    assert_eq!(
        (bench.lamp("SIP/8"), bench.lamp("PJSIP/9")),
        (None, Some("INUSE"))
    );
    assert_eq!(
        talk(&mut bench),
        ["2 refresh", "2 refresh"],
        "what it is to tell is another"
    );
    bench.ask(&Request::saying("SIP/8", "BUSY"));
    assert_eq!(bench.lamp("SIP/8"), None);
    bench.reload(RELATION).unwrap();
    assert_eq!(talk(&mut bench), ["2 refresh", "2 refresh"]);
    bench.ask(&Request::saying("SIP/8", "BUSY"));
    assert_eq!(bench.lamp("SIP/8"), Some("BUSY"));
}

#[test]
fn other_names_for_a_peer_are_told_in_place_of_the_former() {
    let rewrite = |theirs: &str| {
        format!(
            "{RELATION}[names]\ntype=rewrite\npeer=peer\ndirection=out\ndevice={theirs}/* -> SIP/*\n"
        )
    };
    let mut bench = settled(RELATION);
    bench.reload(&rewrite("North")).unwrap();
    assert_eq!(talk(&mut bench), ["2 SIP/2 INVALID", "2 North/2 RINGING"]);
    bench.reload(&rewrite("South")).unwrap();
    assert_eq!(talk(&mut bench), ["2 North/2 INVALID", "2 South/2 RINGING"]);
    bench.reload(&rewrite("South")).unwrap();
    assert_eq!(talk(&mut bench), [""; 0]);
}

#[test]
fn what_needs_a_restart_changes_nothing() {
    let mut bench = settled(RELATION);
    let text = with_filter("^PJSIP/")
        .replace(":5060", ":5070")
        .replace("http_bind=", "state_dir=/x");
    let refused = bench.reload(&text).unwrap_err();
    let NotReloaded::NeedsRestart(needs) = &refused else {
        panic!("{refused}");
    };
    assert_eq!(needs.len(), 3, "{refused}");
    let lines = refused.to_string();
    assert!(
        lines.contains("node.conf:6:1: transport udp is bound otherwise"),
        "{lines}"
    );
    assert_eq!(talk(&mut bench), [""; 0]);
    bench.set("SIP/2", DeviceState::Busy);
    assert_eq!(talk(&mut bench), ["2 SIP/2 BUSY"]);
    bench.node.shutdown(bench.now);
    assert_eq!(bench.reload(RELATION).unwrap_err(), NotReloaded::NotRunning);
}

#[test]
fn a_peer_that_would_be_silenced_is_named() {
    let endpoint = "[peer]\ntype=endpoint\nauth=secret\n";
    let secret = "[secret]\ntype=auth\nusername=peer\npassword=one\n";
    let base = RELATION.replacen("[peer]\ntype=endpoint\n", "", 1);
    let by_address = |more: &str| {
        format!(
            "{base}[north]\ntype=endpoint\n{more}[north]\ntype=identify\nendpoint=north\nmatch=127.0.0.2\n"
        )
    };
    let mut bench = settled(&by_address(""));
    bench.ask(&Request::new().user("anybody"));
    talk(&mut bench);
    let warned = |bench: &mut Bench, text: &str| -> Vec<String> {
        let report = bench.reload(text).unwrap();
        let silenced = report
            .warnings
            .into_iter()
            .filter(|it| it.code == "peer-silenced");
        silenced.map(|it| it.text).collect()
    };
    // Known by its address still, and let in without credentials.
    assert_eq!(
        warned(&mut bench, &by_address("@request_rate=10\n")),
        [""; 0]
    );
    let asked = by_address("auth=secret\n") + secret;
    let asked = warned(&mut bench, &asked);
    assert!(
        asked[0].contains("it was not asked for credentials until now"),
        "{asked:?}"
    );
    assert_eq!(warned(&mut bench, &by_address("")), [""; 0]);
    // Nobody's now; its address is that of a publish, so it is answered 403, which costs it its states alone.
    let unknown = warned(&mut bench, &format!("{base}{endpoint}{secret}"));
    assert!(
        unknown[0].contains("no endpoint is found for it any more"),
        "{unknown:?}"
    );
}

/// Lets time pass; copies of what waits are not put there twice.
fn pass(bench: &mut Bench, waiting: &mut Vec<Sent>, duration: Duration) {
    let until = bench.now.at + duration;
    while bench.now.at < until {
        bench.pass(Duration::from_millis(50));
        for request in bench.requests() {
            if !waiting.contains(&request) {
                waiting.push(request);
            }
        }
    }
}

/// A peer that holds what it was told, and answers late.
#[derive(Default)]
struct Holder {
    holds: BTreeMap<String, String>,
    tags: u32,
    /// Publications that it has, by their tags.
    open: BTreeSet<String>,
}

impl Holder {
    /// Takes a request in; the headers of the 200.
    fn take(&mut self, request: &Sent) -> String {
        if let Some(tag) = request.header("SIP-If-Match") {
            assert!(
                self.open.remove(tag),
                "it never had {tag}: {}",
                request.text
            );
        }
        let text = short(request);
        if let [_, name, state] = text.split(' ').collect::<Vec<_>>()[..]
            && name.contains('/')
        {
            match state {
                "INVALID" => self.holds.remove(name),
                state => self.holds.insert(name.to_owned(), state.to_owned()),
            };
        }
        if request.header("Expires") == Some("0") {
            return "Expires: 0\r\n".to_owned();
        }
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.open.insert(tag.clone());
        format!("SIP-ETag: {tag}\r\nExpires: 3600\r\n")
    }
}

#[test]
fn five_hundred_reloads_while_states_change_lose_nothing() {
    for seed in 0..6 {
        // Half of them on a wire that loses one request in eight.
        reload_while_states_change(seed, seed % 2 == 1);
    }
}

fn reload_while_states_change(seed: u64, lossy: bool) {
    const STATES: [DeviceState; 3] = [
        DeviceState::InUse,
        DeviceState::Ringing,
        DeviceState::NotInUse,
    ];
    // The first peer stays as it is; the second is told another half each time; the third comes and goes.
    let common = format!("{}{OTHER}", RELATION.replace("@lanes=1", "@lanes=3"));
    let one = common.replacen(
        "127.0.0.3\nevent=asterisk-devicestate\n",
        "127.0.0.3\nevent=asterisk-devicestate\n@device_state_filter=[02468]$\n",
        1,
    );
    let third = "[third]\ntype=outbound-publish\nserver_uri=sip:node@127.0.0.4\nevent=asterisk-devicestate\n@lanes=2\n@probe=0\n";
    let two = common.replacen(
        "127.0.0.3\nevent=asterisk-devicestate\n",
        "127.0.0.3\nevent=asterisk-devicestate\n@device_state_filter=[13579]$\n",
        1,
    ) + third;
    let mut bench = Bench::new(&one);
    let mut peers: BTreeMap<SocketAddr, Holder> = BTreeMap::new();
    let mut known: BTreeMap<String, DeviceState> = BTreeMap::new();
    let mut waiting: Vec<Sent> = Vec::new();
    let mut dice = 12345 + seed;
    let mut roll = move |sides: u64| {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % sides
    };
    let mut begun = 0;
    let mut deliver = |bench: &mut Bench,
                       waiting: &mut Vec<Sent>,
                       peers: &mut BTreeMap<SocketAddr, Holder>,
                       index: usize| {
        let request = waiting.remove(index);
        let first: SocketAddr = "127.0.0.2:5060".parse().unwrap();
        begun += u32::from(
            request.to == first
                && request.header("SIP-If-Match").is_none()
                && !request.body().is_empty(),
        );
        let headers = peers.entry(request.to).or_default().take(&request);
        bench.answer(&request, "200 OK", &headers);
        waiting.extend(bench.requests());
    };
    waiting.extend(bench.requests());
    for turn in 0..500_u32 {
        for _ in 0..roll(8) {
            let name = format!("PJSIP/{}", roll(40));
            if roll(6) == 0 {
                if known.remove(&name).is_some() {
                    bench.node.unset_device(bench.now, &name).unwrap();
                }
            } else {
                let state = STATES[usize::try_from(roll(3)).unwrap()];
                known.insert(name.clone(), state);
                bench.set(&name, state);
            }
            waiting.extend(bench.requests());
            if !waiting.is_empty() && roll(3) > 0 {
                let index = usize::try_from(roll(waiting.len() as u64)).unwrap();
                deliver(&mut bench, &mut waiting, &mut peers, index);
            }
        }
        // Now and then all is said.
        while turn % 5 == 0 && !waiting.is_empty() {
            deliver(&mut bench, &mut waiting, &mut peers, 0);
        }
        bench
            .reload(if turn % 2 == 0 { &two } else { &one })
            .unwrap();
        waiting.extend(bench.requests());
        if lossy && roll(2) == 0 {
            if !waiting.is_empty() && roll(4) == 0 {
                let index = usize::try_from(roll(waiting.len() as u64)).unwrap();
                waiting.remove(index);
            }
            pass(&mut bench, &mut waiting, Duration::from_millis(600));
        }
    }
    bench.reload(&two).unwrap();
    waiting.extend(bench.requests());
    for _ in 0..if lossy { 200 } else { 1 } {
        while !waiting.is_empty() {
            deliver(&mut bench, &mut waiting, &mut peers, 0);
        }
        if lossy {
            pass(&mut bench, &mut waiting, Duration::from_millis(600));
        }
    }
    let expected = |odd_only: bool| -> BTreeMap<String, String> {
        let odd = |name: &str| {
            matches!(
                name.as_bytes().last(),
                Some(b'1' | b'3' | b'5' | b'7' | b'9')
            )
        };
        let wanted = known.iter().filter(|(name, _)| !odd_only || odd(name));
        wanted
            .map(|(name, state)| (name.clone(), state.as_str().to_owned()))
            .collect()
    };
    for (address, odd_only) in [
        ("127.0.0.2", false),
        ("127.0.0.3", true),
        ("127.0.0.4", false),
    ] {
        let peer = &peers[&format!("{address}:5060").parse().unwrap()];
        assert_eq!(peer.holds, expected(odd_only), "{address}, seed {seed}");
    }
    // Of the relation that is always the same each lane began once, as did that of the mailboxes' question.
    assert_eq!(begun, 4, "seed {seed}");
}

#[test]
fn a_name_that_identifies_is_resolved_from_then_on() {
    let base = RELATION.replacen("[peer]\ntype=endpoint\n", "", 1);
    let named = |host: &str| {
        format!(
            "{base}[north]\ntype=endpoint\n[north]\ntype=identify\nendpoint=north\nmatch={host}\nsrv_lookups=no\n"
        )
    };
    let mut bench = settled(&named("127.0.0.9"));
    let request = Request::new().user("anybody").from("127.0.0.7:5060");
    assert_eq!(bench.ask(&request).status(), 401);
    bench.reload(&named("pbx.example")).unwrap();
    bench.resolve("pbx.example", "127.0.0.7");
    assert_eq!(bench.ask(&request).status(), 200);
}

#[test]
fn what_a_node_that_restarts_after_a_reload_goes_on_with() {
    // Something is kept from here on.
    let mut bench = settled(RELATION);
    bench.node.unsaved(bench.now, 1000);
    bench.reload(&format!("{OTHER_ALONE}{OTHER}")).unwrap();
    talk(&mut bench);
    // The relation is begun anew under the name that it had: nothing that was confirmed then counts.
    let mut bench = bench.restarted(RELATION, true);
    let said = talk(&mut bench);
    for text in ["2 PJSIP/1 INUSE", "2 SIP/2 RINGING", "2 100@a 1/0"] {
        assert!(said.contains(&text.to_owned()), "{text}: {said:?}");
    }

    let mut bench = settled(RELATION);
    bench.node.unsaved(bench.now, 1000);
    let renamed = RELATION.replace("peer-device", "north-device");
    bench.reload(&renamed).unwrap();
    talk(&mut bench);
    let mut bench = bench.restarted(&renamed, true);
    assert_eq!(
        talk(&mut bench),
        [""; 0],
        "its lanes are kept under the new name"
    );
}
