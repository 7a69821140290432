//! States that are set on the node itself, and what it shows.

use std::time::Duration;

use lampwire_core::{Event, SetError, SetOutcome, SetValue, Setting};
use lampwire_sip::DeviceState;

use crate::bench::{Bench, NODE_EID, PEER_EID, Request, TAKES_ONLY};

#[test]
fn set_changes_once_and_unset_leaves_nothing() {
    let mut bench = Bench::new(TAKES_ONLY);
    let now = bench.now;
    let mut set = |state| {
        bench
            .node
            .set_device(now, "Custom:door", state, true)
            .unwrap()
    };
    assert_eq!(set(DeviceState::InUse), SetOutcome::Created);
    assert_eq!(set(DeviceState::InUse), SetOutcome::Same);
    assert_eq!(set(DeviceState::Busy), SetOutcome::Changed);
    assert_eq!(bench.lamp("Custom:door"), Some("BUSY"));
    bench.node.unset_device(now, "Custom:door").unwrap();
    assert_eq!(bench.lamp("Custom:door"), None);
    assert_eq!(
        bench.node.unset_device(now, "Custom:door"),
        Err(SetError::NotOurs("Custom:door".to_owned()))
    );
    assert_eq!(
        bench
            .node
            .set_device(now, "Custom:door", DeviceState::InUse, true),
        Ok(SetOutcome::Created)
    );
}

#[test]
fn nobody_takes_back_what_another_node_has_set() {
    let mut bench = Bench::new(TAKES_ONLY);
    bench.ask(&Request::new());
    let now = bench.now;
    assert!(matches!(
        bench.node.unset_device(now, "Custom:x1"),
        Err(SetError::NotOurs(_))
    ));
    assert_eq!(bench.lamp("Custom:x1"), Some("INUSE"));
}

#[test]
fn names_are_checked() {
    let mut bench = Bench::new(TAKES_ONLY);
    let now = bench.now;
    let long = "x".repeat(256);
    for name in ["", "a\nb", "a\u{7f}b", long.as_str()] {
        let outcome = bench.node.set_device(now, name, DeviceState::InUse, true);
        assert!(matches!(outcome, Err(SetError::Name(_))), "{name:?}");
    }
    assert!(
        bench
            .node
            .set_device(now, "Tür \"1\"", DeviceState::InUse, true)
            .is_ok()
    );
}

#[test]
fn listings_are_in_order_paged_and_bounded() {
    let mut bench = Bench::new(TAKES_ONLY);
    for number in [3, 1, 2, 5, 4] {
        bench.set(&format!("Custom:{number}"), DeviceState::InUse);
        let now = bench.now;
        bench
            .node
            .set_mailbox(now, &format!("{number}@default"), number, 0)
            .unwrap();
    }
    let names = |after: Option<&str>, limit, budget, wanted: &dyn Fn(&str) -> bool| {
        let page = bench.node.devices(after, limit, budget, wanted);
        (
            page.items
                .into_iter()
                .map(|it| it.device)
                .collect::<Vec<_>>(),
            page.next,
        )
    };
    let all = |_: &str| true;
    assert_eq!(
        names(None, 2, 100, &all),
        (
            vec!["Custom:1".into(), "Custom:2".into()],
            Some("Custom:2".into())
        )
    );
    assert_eq!(
        names(Some("Custom:2"), 3, 100, &all).0,
        ["Custom:3", "Custom:4", "Custom:5"]
    );
    assert_eq!(names(Some("Custom:2"), 3, 100, &all).1, None);
    assert_eq!(
        names(None, 100, 2, &|name| name.ends_with('5')),
        (vec![], Some("Custom:2".into()))
    );
    assert_eq!(bench.node.mailboxes(None, 100, 100, &all).items.len(), 5);
    assert_eq!(bench.node.mailbox("3@default").unwrap().new, 3);
}

#[test]
fn watchers_see_each_change_with_what_was_before() {
    let mut bench = Bench::new(TAKES_ONLY);
    bench.notices();
    bench.ask(&Request::saying("Custom:x1", "INUSE"));
    bench.ask(&Request::saying("Custom:x1", "INUSE"));
    bench.ask(&Request::saying("Custom:x1", "BUSY"));
    let mut seen = Vec::new();
    while let Some(event) = bench.node.poll_event() {
        if let Event::Device {
            device,
            previous,
            eid,
        } = event
        {
            assert_eq!(eid.to_string(), "02:00:00:00:00:02");
            assert_eq!(device.entities[0].peer.as_deref(), Some("peer"));
            seen.push((device.state, previous));
        }
    }
    assert_eq!(
        seen,
        [
            (DeviceState::InUse, None),
            (DeviceState::Busy, Some(DeviceState::InUse))
        ]
    );
}

fn device(name: &str, state: DeviceState, ttl: Option<u64>) -> Setting {
    Setting {
        name: name.to_owned(),
        value: SetValue::Device {
            state,
            cachable: true,
        },
        ttl: ttl.map(Duration::from_secs),
    }
}

/// A program that speaks under an entity id of its own.
const CLIENT_EID: &str = "02:00:00:00:00:77";

fn with_client() -> String {
    format!("{TAKES_ONLY}[door]\ntype=api-client\ntoken=door\neid={CLIENT_EID}\n")
}

#[test]
fn what_is_not_renewed_in_time_is_taken_back() {
    let config = with_client();
    let mut bench = Bench::new(&config);
    let eid = Some(CLIENT_EID.parse().unwrap());
    let set = |bench: &mut Bench, ttl| {
        let setting = device("Custom:door", DeviceState::InUse, ttl);
        bench.node.set_states(bench.now, eid, &[setting]).unwrap()
    };
    assert_eq!(set(&mut bench, Some(10)), [SetOutcome::Created]);
    bench.pass(Duration::from_secs(9));
    assert_eq!(set(&mut bench, Some(10)), [SetOutcome::Same]);
    bench.pass(Duration::from_secs(9));
    assert_eq!(bench.lamp("Custom:door"), Some("INUSE"));
    // Over a restart it has its whole time again.
    let mut bench = bench.restarted(&config, false);
    bench.pass(Duration::from_secs(9));
    assert_eq!(bench.lamp("Custom:door"), Some("INUSE"));
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.lamp("Custom:door"), None);
    assert_eq!(bench.node.counters().expired, 1);
    // Without a time it stays, and a time that was is forgotten.
    set(&mut bench, Some(10));
    set(&mut bench, None);
    bench.pass(Duration::from_secs(1000));
    assert_eq!(bench.lamp("Custom:door"), Some("INUSE"));
    let mut bench = bench.restarted(&config, true);
    bench.pass(Duration::from_secs(1000));
    assert_eq!(
        bench.lamp("Custom:door"),
        Some("INUSE"),
        "it is nobody's to be lost"
    );
    assert!(bench.node.unset_device(bench.now, "Custom:door").is_err());
    bench
        .node
        .unset_device_of(bench.now, eid, "Custom:door")
        .unwrap();
    assert_eq!(bench.lamp("Custom:door"), None);
}

#[test]
fn a_list_is_set_wholly_or_not() {
    let mut bench = Bench::new(TAKES_ONLY);
    let mailbox = Setting {
        name: "a".to_owned(),
        value: SetValue::Mailbox { new: 1, old: 0 },
        ttl: None,
    };
    let good = [
        device("a", DeviceState::InUse, None),
        mailbox,
        device("b", DeviceState::Busy, Some(5)),
    ];
    for (wrong, place) in [("a", 3), ("", 3), ("x\ny", 3)] {
        let mut list = good.to_vec();
        list.push(device(wrong, DeviceState::Busy, None));
        list.push(device("", DeviceState::Busy, None));
        let refused = bench.node.set_states(bench.now, None, &list).unwrap_err();
        assert_eq!(refused.0, place);
        assert_eq!(bench.lamp("a"), None);
    }
    let done = bench.node.set_states(bench.now, None, &good).unwrap();
    assert_eq!(done, [SetOutcome::Created; 3]);
    assert_eq!(bench.lamp("b"), Some("BUSY"));
    assert_eq!(bench.node.set_states(bench.now, None, &[]), Ok(vec![]));
}

#[test]
fn states_are_set_under_the_entity_ids_of_the_node_and_its_clients_only() {
    let mut bench = Bench::new(&with_client());
    bench.ask(&Request::new());
    let set = |bench: &mut Bench, eid: &str| {
        let setting = device("Custom:x1", DeviceState::Busy, None);
        let eid = Some(eid.parse().unwrap());
        bench.node.set_states(bench.now, eid, &[setting])
    };
    for eid in [NODE_EID, CLIENT_EID] {
        assert_eq!(set(&mut bench, eid), Ok(vec![SetOutcome::Created]));
    }
    for eid in [PEER_EID, "02:00:00:00:00:78"] {
        assert!(matches!(
            set(&mut bench, eid),
            Err((0, SetError::Foreign(_)))
        ));
    }
    // What a peer has told is not taken back as if it had been set here.
    let peer = Some(PEER_EID.parse().unwrap());
    assert!(matches!(
        bench.node.unset_device_of(bench.now, peer, "Custom:x1"),
        Err(SetError::NotOurs(_))
    ));
    let said = bench.node.device("Custom:x1").unwrap();
    assert_eq!(said.entities.len(), 3);
}

#[test]
fn what_a_client_has_set_goes_with_its_section() {
    let eid = Some(CLIENT_EID.parse().unwrap());
    let mailbox = Setting {
        name: "1@door".to_owned(),
        value: SetValue::Mailbox { new: 1, old: 0 },
        ttl: None,
    };
    let settings = [
        device("Custom:door", DeviceState::InUse, None),
        device("Custom:bell", DeviceState::InUse, Some(60)),
        mailbox,
    ];
    let other = with_client().replace(CLIENT_EID, "02:00:00:00:00:78");
    for after in [TAKES_ONLY, &other] {
        for restarts in [false, true] {
            let mut bench = Bench::new(&with_client());
            bench.set("Custom:door", DeviceState::Ringing);
            bench.node.set_states(bench.now, eid, &settings).unwrap();
            assert_eq!(bench.lamp("Custom:door"), Some("RINGINUSE"));
            // Under another name it is the same client.
            let renamed = with_client().replace("[door]", "[gate]");
            let report = bench.reload(&renamed).unwrap();
            assert_eq!(report.warnings, []);
            assert_eq!(bench.lamp("Custom:door"), Some("RINGINUSE"));
            let mut bench = match restarts {
                true => bench.restarted(after, true),
                false => {
                    let report = bench.reload(after).unwrap();
                    let codes: Vec<_> = report.warnings.iter().map(|it| it.code).collect();
                    assert_eq!(codes, ["client-gone"]);
                    bench
                }
            };
            assert!(bench.notices().contains(&"client-gone"));
            assert_eq!(bench.lamp("Custom:door"), Some("RINGING"));
            assert_eq!(bench.lamp("Custom:bell"), None);
            assert_eq!(bench.node.mailbox("1@door"), None);
            bench.pass(Duration::from_secs(100));
            assert_eq!(bench.node.counters().expired, 0);
        }
    }
}

#[test]
fn what_is_told_once_has_no_time_to_live_and_leaves_that_of_what_is_kept() {
    let mut bench = Bench::new(TAKES_ONLY);
    let kept = device("Custom:door", DeviceState::InUse, Some(10));
    let passing = |ttl: Option<u64>| Setting {
        value: SetValue::Device {
            state: DeviceState::Ringing,
            cachable: false,
        },
        ..device("Custom:door", DeviceState::Ringing, ttl)
    };
    let set =
        |bench: &mut Bench, setting: Setting| bench.node.set_states(bench.now, None, &[setting]);
    set(&mut bench, kept).unwrap();
    assert_eq!(
        set(&mut bench, passing(Some(5))),
        Err((0, SetError::Passing("Custom:door".to_owned())))
    );
    bench.pass(Duration::from_secs(6));
    assert_eq!(bench.lamp("Custom:door"), Some("INUSE"));
    set(&mut bench, passing(None)).unwrap();
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.lamp("Custom:door"), Some("INUSE"));
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.lamp("Custom:door"), None);
}
