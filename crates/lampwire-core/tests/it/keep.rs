//! A node that goes on where its last life ended.

use std::time::Duration;

use lampwire_core::store::Record;
use lampwire_core::{SetOutcome, SetValue, Setting, limits};
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

/// The options of the publish for devices, or of the asterisk-publication, with one more.
fn with(section: &str, option: &str) -> String {
    let before = match section {
        "publish" => "event=asterisk-devicestate\n",
        _ => "device_state=yes\n",
    };
    config().replacen(before, &format!("{before}{option}\n"), 1)
}

/// What the node says for a while, without what it asks.
fn told_states(bench: &mut Bench) -> Vec<String> {
    let mut heard = told(bench, 3);
    heard.retain(|body| !body.contains("\"refresh\""));
    heard
}

#[test]
fn a_filter_that_became_narrower_while_the_node_was_down_takes_back_what_the_peer_was_told() {
    let narrow = with("publish", "@device_state_filter=^PJSIP/");
    for in_order in [true, false] {
        let (mut bench, _) = settled();
        bench.set("PJSIP/1", DeviceState::Busy);
        told(&mut bench, 1);
        let mut bench = bench.restarted(&narrow, in_order);
        assert!(bench.notices().contains(&"told-otherwise"));
        let heard = told_states(&mut bench);
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert!(heard[0].contains("Custom:own") && heard[0].contains("INVALID"));
        // That was all.
        let mut bench = bench.restarted(&narrow, true);
        assert_eq!(told(&mut bench, 3), [] as [String; 0]);
        // And back again.
        let mut bench = bench.restarted(&config(), true);
        let heard = told(&mut bench, 3);
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert!(heard[0].contains("Custom:own") && heard[0].contains("\"INUSE\""));
    }
}

#[test]
fn what_could_not_be_taken_back_before_the_next_end_is_taken_back_after_it() {
    let narrow = with("publish", "@device_state_filter=^PJSIP/");
    // By a reload, and by a restart; the peer answers nothing between.
    for reload in [true, false] {
        let (mut bench, _) = settled();
        let batch = bench.node.unsaved(bench.now, 1000);
        bench.node.saved(&batch);
        let mut bench = match reload {
            true => {
                bench.reload(&narrow).unwrap();
                bench
            }
            false => bench.restarted(&narrow, true),
        };
        bench.pass(Duration::from_secs(1));
        let batch = bench.node.unsaved(bench.now, 1000);
        bench.node.saved(&batch);
        let mut bench = bench.restarted(&narrow, false);
        let heard = told_states(&mut bench);
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert!(heard[0].contains("Custom:own") && heard[0].contains("INVALID"));
    }
}

#[test]
fn other_names_for_a_peer_count_after_a_restart() {
    let (bench, _) = settled();
    let renamed = config()
        + "[names]\ntype=rewrite\npeer=peer\ndirection=out\ndevice=Custom:theirs -> Custom:own\n";
    let mut bench = bench.restarted(&renamed, true);
    let mut heard = told_states(&mut bench);
    heard.sort();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard[0].contains("Custom:own") && heard[0].contains("INVALID"));
    assert!(heard[1].contains("Custom:theirs") && heard[1].contains("\"INUSE\""));
    let mut bench = bench.restarted(&config(), true);
    let mut heard = told_states(&mut bench);
    heard.sort();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard[0].contains("Custom:own") && heard[0].contains("\"INUSE\""));
    assert!(heard[1].contains("Custom:theirs") && heard[1].contains("INVALID"));
}

#[test]
fn a_node_that_relays_since_its_restart_tells_what_it_had_heard() {
    let other = config()
        .split_once("[peer]\n")
        .map(|(_, relation)| {
            format!("[peer]\n{relation}")
                .replace("peer", "other")
                .replace("127.0.0.2", "127.0.0.3")
        })
        .unwrap();
    let alone = config() + &other;
    let hub = alone.replace("http_bind=\n", "http_bind=\nrelay=yes\n");
    let mut bench = Bench::new(&alone);
    told(&mut bench, 1);
    bench.ask(&Request::saying("Custom:x1", "BUSY"));
    bench.set("Custom:own", DeviceState::InUse);
    told(&mut bench, 1);
    let mut bench = bench.restarted(&hub, true);
    let heard = told_states(&mut bench);
    let of_peer = heard.iter().filter(|body| body.contains("Custom:x1"));
    assert_eq!(of_peer.count(), 1, "{heard:?}");
    let mut bench = bench.restarted(&alone, true);
    let heard = told_states(&mut bench);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains("Custom:x1") && heard[0].contains("INVALID"));
}

#[test]
fn a_peer_is_asked_for_what_is_taken_of_it_since_a_restart() {
    let narrow = with("taking", "device_state_filter=^PJSIP/");
    let mut bench = Bench::new(&narrow);
    told(&mut bench, 1);
    assert_eq!(
        bench.ask(&Request::saying("Custom:x1", "BUSY")).status(),
        200
    );
    assert_eq!(
        bench.ask(&Request::saying("PJSIP/1", "INUSE")).status(),
        200
    );
    let mut bench = bench.restarted(&narrow, true);
    assert_eq!(told(&mut bench, 3), [] as [String; 0]);
    let mut bench = bench.restarted(&config(), true);
    let heard = told(&mut bench, 3);
    assert!(
        heard.iter().any(|body| body.contains("\"refresh\"")),
        "{heard:?}"
    );
    assert_eq!(bench.lamp("PJSIP/1"), Some("INUSE"));
    // What is not wanted any more is gone; for what was always wanted nobody is asked.
    let mut bench = bench.restarted(&with("taking", "device_state_filter=^Custom/"), true);
    assert_eq!(bench.lamp("PJSIP/1"), None);
    told(&mut bench, 3);
    let mut bench = bench.restarted(&with("taking", "device_state_filter=^Custom/"), true);
    assert_eq!(told(&mut bench, 3), [] as [String; 0]);
}

#[test]
fn a_publish_that_is_gone_after_a_restart_is_told_of_once() {
    let (bench, _) = settled();
    let mut gone = config();
    let start = gone.find("[peer-mwi]").unwrap();
    let end = gone.find("[peer]\ntype=inbound").unwrap();
    gone.replace_range(start..end, "");
    let gone = gone.replace("mailboxstate_publish=peer-mwi\n", "");
    let mut bench = bench.restarted(&gone, true);
    assert!(bench.notices().contains(&"not-retracted"));
    let mut bench = bench.restarted(&gone, true);
    assert!(!bench.notices().contains(&"not-retracted"));
}

#[test]
fn another_time_to_live_is_kept_though_the_value_is_the_same() {
    let mut bench = Bench::new(&config());
    let set = |bench: &mut Bench, ttl: Option<u64>| {
        let setting = Setting {
            name: "Custom:door".to_owned(),
            value: SetValue::Device {
                state: DeviceState::InUse,
                cachable: true,
            },
            ttl: ttl.map(Duration::from_secs),
        };
        bench.node.set_states(bench.now, None, &[setting]).unwrap()
    };
    let kept = |bench: &mut Bench| -> Vec<Option<Duration>> {
        let batch = bench.node.unsaved(bench.now, 1000);
        bench.node.saved(&batch);
        let states = batch.records.into_iter().filter_map(|record| match record {
            Record::State(state) => Some(state.ttl),
            _ => None,
        });
        states.collect()
    };
    assert_eq!(set(&mut bench, None), [SetOutcome::Created]);
    assert_eq!(kept(&mut bench), [None]);
    for ttl in [Some(10), Some(20), None] {
        assert_eq!(set(&mut bench, ttl), [SetOutcome::Same]);
        assert_eq!(kept(&mut bench), [ttl.map(Duration::from_secs)]);
        // One that is renewed has its whole time again after a restart anyway.
        assert_eq!(set(&mut bench, ttl), [SetOutcome::Same]);
        assert_eq!(kept(&mut bench), []);
    }
}

#[test]
fn restored_states_count_for_the_endpoint_that_may_hold_so_many() {
    let bounded = |devices: u32| {
        let bound = format!("[peer]\ntype=endpoint\n@max_devices={devices}\n@max_mailboxes=1\n");
        config().replacen("[peer]\ntype=endpoint\n", &bound, 1)
    };
    let ask = |bench: &mut Bench, name: &str| bench.ask(&Request::saying(name, "INUSE")).status();
    let mut bench = Bench::new(&bounded(3));
    for name in ["Custom:1", "Custom:2"] {
        assert_eq!(ask(&mut bench, name), 200);
    }
    let mut bench = bench.restarted(&bounded(3), true);
    assert_eq!(ask(&mut bench, "Custom:3"), 200);
    assert_eq!(ask(&mut bench, "Custom:4"), 503);
    // Of what it has none is lost where it may hold less now.
    let mut bench = bench.restarted(&bounded(2), true);
    assert_eq!(bench.lamp("Custom:3"), Some("INUSE"));
    assert_eq!(ask(&mut bench, "Custom:4"), 503);
    assert_eq!(ask(&mut bench, "Custom:3"), 200);
    let mailbox = Request::new()
        .event("asterisk-mwi")
        .body(mailbox("100", 2, 1));
    assert_eq!(bench.ask(&mailbox).status(), 200);
    let mut bench = bench.restarted(&bounded(2), true);
    assert_eq!(bench.ask(&mailbox).status(), 200);
}
