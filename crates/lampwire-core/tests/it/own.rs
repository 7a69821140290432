//! States that are set on the node itself, and what it shows.

use lampwire_core::{Event, SetError, SetOutcome};
use lampwire_sip::DeviceState;

use crate::bench::{Bench, Request, TAKES_ONLY};

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
