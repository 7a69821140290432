//! A node that goes on where its last life ended.

use std::time::Duration;

use lampwire_core::limits;
use lampwire_core::store::Record;
use lampwire_sip::DeviceState;

use crate::bench::{Bench, NODE_EID, RELATION, Request, device, mailbox};

/// Everything the node says for some seconds, each granted with the next tag of a stock peer; bodies only, and what had none as its Expires.
fn told(bench: &mut Bench, seconds: u64) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..seconds {
        bench.pass(Duration::from_secs(1));
        for request in bench.requests() {
            all.push(match request.body() {
                "" => format!("Expires: {}", request.header("Expires").unwrap_or("-")),
                body => body.to_owned(),
            });
            bench.grant(&request, "tag");
        }
    }
    all
}

fn config() -> String {
    RELATION.replace("@probe=0", "@probe=0\n@resync=0")
}

/// A node that knows a state of the peer's and has told one of its own; with the tag of the peer's publication.
fn settled() -> (Bench, String) {
    let mut bench = Bench::new(&config());
    told(&mut bench, 1);
    bench.set("Custom:own", DeviceState::InUse);
    told(&mut bench, 1);
    let first = bench.ask(&Request::new()).tag().to_owned();
    let tag = bench
        .ask(&Request::saying("Custom:x1", "BUSY").tag(&first))
        .tag()
        .to_owned();
    bench.ask(
        &Request::new()
            .event("asterisk-mwi")
            .body(mailbox("100", 2, 1)),
    );
    told(&mut bench, 1);
    (bench, tag)
}

#[test]
fn after_an_end_in_order_nothing_is_sent_again_and_no_tag_is_unknown() {
    let (bench, tag) = settled();
    let mut bench = bench.restarted(&config(), true);
    assert_eq!(bench.lamp("Custom:x1"), Some("BUSY"));
    assert_eq!(bench.lamp("Custom:own"), Some("INUSE"));
    assert_eq!(bench.node.mailbox("100").unwrap().new, 2);
    let answer = bench.ask(&Request::saying("Custom:x1", "RINGING").tag(&tag));
    assert_eq!(answer.status(), 200);
    let heard = told(&mut bench, 30);
    assert_eq!(heard, [] as [String; 0]);
    // It goes on as before.
    bench.set("Custom:own", DeviceState::Busy);
    let heard = told(&mut bench, 2);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains("BUSY") && heard[0].contains(NODE_EID));
}

#[test]
fn what_the_peer_had_not_confirmed_is_said() {
    let (mut bench, _) = settled();
    bench.set("Custom:own", DeviceState::Busy);
    bench.set("Custom:second", DeviceState::Ringing);
    let mut bench = bench.restarted(&config(), true);
    let heard = told(&mut bench, 2);
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard[0].contains("BUSY") && heard[1].contains("RINGING"));
}

#[test]
fn a_state_that_was_taken_back_is_not_there_again_and_the_peer_is_told() {
    let (mut bench, _) = settled();
    bench.node.unset_device(bench.now, "Custom:own").unwrap();
    let mut bench = bench.restarted(&config(), true);
    assert_eq!(bench.lamp("Custom:own"), None);
    let heard = told(&mut bench, 2);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains("Custom:own") && heard[0].contains("INVALID"));
    // Everybody has been told: nothing is left of it.
    told(&mut bench, 3);
    let batch = bench.node.unsaved(bench.now, 1000);
    bench.node.saved(&batch);
    bench.pass(limits::TOMBSTONE_SWEEP * 2);
    let (records, _) = bench.node.everything(bench.now, 0, 1000);
    let left = |it: &Record| matches!(it, Record::State(state) if state.name == "Custom:own");
    assert!(!records.iter().any(left), "{records:?}");
}

#[test]
fn after_an_end_without_notice_own_states_are_said_again_where_no_tag_can_prove_what_the_peer_has()
{
    for (in_order, said_again) in [(true, false), (false, true)] {
        let (bench, _) = settled();
        // Its publications have run out meanwhile.
        let mut bench = bench.away(&config(), in_order, Duration::from_secs(2 * 3600));
        let heard = told(&mut bench, 3);
        let again = heard.iter().any(|body| body.contains("Custom:own"));
        assert_eq!(again, said_again, "{heard:?}");
    }
}

#[test]
fn after_an_end_without_notice_peers_are_asked_for_what_was_missed() {
    let (bench, _) = settled();
    let mut bench = bench.restarted(&config(), false);
    let heard = told(&mut bench, 3);
    assert!(
        heard.iter().all(|body| body.contains("\"refresh\"")),
        "{heard:?}"
    );
    assert_eq!(heard.len(), 2);
}

#[test]
fn a_tag_newer_than_the_kept_one_is_taken_once_and_what_came_under_it_is_asked_for() {
    let (mut bench, tag) = settled();
    // What is kept ends here; the node lives on for a moment.
    let mut later = Bench::new(&config());
    std::mem::swap(&mut bench, &mut later);
    let newer = later
        .ask(&Request::saying("Custom:x1", "ONHOLD").tag(&tag))
        .tag()
        .to_owned();
    drop(bench);
    let (again, same_tag) = settled();
    assert_eq!(tag, same_tag, "the same seed gives the same tags");
    let mut bench = again.restarted(&config(), true);
    assert_eq!(
        bench
            .ask(&Request::saying("Custom:x1", "INUSE").tag(&newer))
            .status(),
        200
    );
    let heard = told(&mut bench, 2);
    assert!(
        heard.iter().any(|body| body.contains("\"refresh\"")),
        "{heard:?}"
    );
    assert_eq!(
        bench
            .ask(&Request::saying("Custom:x1", "BUSY").tag(&newer))
            .status(),
        412,
        "used"
    );
    assert_eq!(
        bench
            .ask(&Request::saying("Custom:x1", "BUSY").tag(&tag))
            .status(),
        412,
        "older"
    );
}

#[test]
fn no_tag_of_an_earlier_life_is_that_of_another_publication() {
    let mut bench = Bench::new(&config());
    // A publication whose tag has changed a few times, and that has ended.
    let mut tags = vec![bench.ask(&Request::new()).tag().to_owned()];
    for state in ["BUSY", "INUSE", "RINGING"] {
        let last = tags[tags.len() - 1].clone();
        let answer = bench.ask(&Request::saying("Custom:x1", state).tag(&last));
        tags.push(answer.tag().to_owned());
    }
    let last = tags[tags.len() - 1].clone();
    let ended = bench.ask(&Request::refresh_of(&last).expires("0"));
    tags.push(ended.tag().to_owned());
    bench.pass(Duration::from_secs(1));
    // Another takes its place in the next life, and that life ends without notice.
    let mut bench = bench.restarted(&config(), true);
    let mut given = vec![bench.ask(&Request::new()).tag().to_owned()];
    let second = bench.ask(&Request::saying("Custom:x1", "BUSY").tag(&given[0]));
    given.push(second.tag().to_owned());
    assert!(given.iter().all(|tag| !tags.contains(tag)), "{given:?}");
    let mut bench = bench.restarted(&config(), false);
    for tag in &tags {
        let request = Request::saying("Custom:x1", "ONHOLD").tag(tag);
        assert_eq!(bench.ask(&request).status(), 412);
    }
    let request = Request::saying("Custom:x1", "ONHOLD").tag(&given[1]);
    assert_eq!(bench.ask(&request).status(), 200);
}

#[test]
fn a_peer_that_is_not_heard_of_again_is_held_and_then_lost() {
    let (bench, _) = settled();
    let mut bench = bench.restarted(&config(), true);
    let pass = |bench: &mut Bench, seconds: u64| {
        for _ in 0..seconds {
            bench.pass(Duration::from_secs(1));
        }
    };
    pass(&mut bench, 58);
    assert_eq!(bench.lamp("Custom:x1"), Some("BUSY"));
    pass(&mut bench, 4);
    assert_eq!(bench.lamp("Custom:x1"), Some("INVALID"));
    // And so it is after one more restart, until the peer speaks.
    let mut bench = bench.restarted(&config(), false);
    assert_eq!(bench.lamp("Custom:x1"), Some("INVALID"));
    assert_eq!(
        bench
            .ask(&Request::new().body(device("Custom:y", "INUSE")))
            .status(),
        200
    );
    assert_eq!(bench.lamp("Custom:x1"), Some("BUSY"));
}

#[test]
fn a_peer_that_answers_is_heard_of() {
    let config = RELATION.replace("@probe=0", "@probe=5\n@resync=0");
    let mut bench = Bench::new(&config);
    told(&mut bench, 1);
    bench.set("Custom:own", DeviceState::InUse);
    bench.ask(&Request::new());
    told(&mut bench, 2);
    let mut bench = bench.restarted(&config, true);
    let heard = told(&mut bench, 100);
    assert!(
        heard.iter().all(|what| what.starts_with("Expires: ")),
        "{heard:?}"
    );
    assert_eq!(bench.lamp("Custom:x1"), Some("INUSE"));
}

#[test]
fn what_the_configuration_no_longer_has_is_left_out() {
    let (bench, tag) = settled();
    let other = config().replace(
        "[peer]\ntype=inbound-publication\n",
        "[peer2]\ntype=inbound-publication\n",
    );
    let mut bench = bench.restarted(&other, true);
    assert_eq!(bench.lamp("Custom:x1"), Some("BUSY"));
    let request = Request::saying("Custom:x1", "INUSE").uri("sip:peer2@127.0.0.1");
    assert_eq!(bench.ask(&request.clone().tag(&tag)).status(), 412);
    assert_eq!(bench.ask(&request).status(), 200);
}

#[test]
fn a_batch_holds_no_tag_without_the_states_that_came_under_it() {
    let (mut bench, _) = settled();
    let batch = bench.node.unsaved(bench.now, 1000);
    bench.node.saved(&batch);
    assert_eq!(bench.node.unsaved(bench.now, 1000).records, []);
    for number in 0..10 {
        bench.ask(&Request::saying(&format!("Custom:{number}"), "INUSE"));
    }
    let part = bench.node.unsaved(bench.now, 4);
    assert!(part.more);
    let kinds = |records: &[Record]| {
        records
            .iter()
            .filter(|it| matches!(it, Record::Publication(_)))
            .count()
    };
    assert_eq!((part.records.len(), kinds(&part.records)), (4, 0));
    // It was not written: the same comes again.
    assert_eq!(bench.node.unsaved(bench.now, 4).records, part.records);
    bench.node.saved(&part);
    let rest = bench.node.unsaved(bench.now, 1000);
    assert!(!rest.more && kinds(&rest.records) == 10, "{rest:?}");
}

#[test]
fn a_keeper_that_could_not_write_holds_nothing_back_and_begins_anew_with_everything() {
    let (mut bench, _) = settled();
    let _ = bench.node.unsaved(bench.now, 1000);
    bench.node.unkept();
    bench.set("Custom:meanwhile", DeviceState::Busy);
    bench.node.unset_device(bench.now, "Custom:own").unwrap();
    told(&mut bench, 3);
    let (records, more) = bench.node.everything(bench.now, 0, 1000);
    assert_eq!(more, None);
    let states = records.iter().filter_map(|record| match record {
        Record::State(state) => Some(state.name.as_str()),
        _ => None,
    });
    let mut states: Vec<_> = states.collect();
    states.sort_unstable();
    assert_eq!(states, ["100", "Custom:meanwhile", "Custom:x1"]);
    assert!(
        records
            .iter()
            .any(|it| matches!(it, Record::Publication(_)))
    );
    assert!(records.iter().any(|it| matches!(it, Record::Lane(_))));
    // And from there on what is new, a deletion among it.
    let batch = bench.node.unsaved(bench.now, 1000);
    assert_eq!(
        batch
            .records
            .iter()
            .filter(|it| matches!(it, Record::State(_)))
            .count(),
        0
    );
    bench
        .node
        .unset_device(bench.now, "Custom:meanwhile")
        .unwrap();
    told(&mut bench, 3);
    let batch = bench.node.unsaved(bench.now, 1000);
    let gone = |it: &Record| matches!(it, Record::State(state) if state.gone && state.name == "Custom:meanwhile");
    assert!(batch.records.iter().any(gone), "{batch:?}");
}
