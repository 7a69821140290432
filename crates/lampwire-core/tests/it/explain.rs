//! Why a lamp is lit: what is told of a name to whoever asks.

use lampwire_core::{Census, Delivery, DropCause, Source, Verdict};
use lampwire_sip::DeviceState;

use crate::bench::{Bench, NODE_EID, PEER_EID, RELATION, Request, mailbox};

fn filtered() -> String {
    format!("{RELATION}device_state_filter=^PJSIP/1\n").replacen(
        "@lanes=1\n",
        "@lanes=1\n@device_state_filter=^Custom:\n",
        1,
    )
}

#[test]
fn a_value_waits_until_the_peer_has_confirmed_it() {
    let mut bench = Bench::new(RELATION);
    for request in bench.requests() {
        bench.grant(&request, "t0");
    }
    bench.set("Custom:door", DeviceState::InUse);
    let told = |bench: &Bench| {
        let explained = bench.node.explain_device("Custom:door").unwrap();
        let values = explained.trail.publishers[0].values.iter();
        let of = values.map(|it| (it.eid, it.delivery));
        of.collect::<Vec<_>>()
    };
    let own = NODE_EID.parse().unwrap();
    assert_eq!(told(&bench), [(own, Delivery::Waiting)]);
    let requests = bench.requests();
    bench.answer(&requests[0], "403 Forbidden", "");
    assert_eq!(told(&bench), [(own, Delivery::Refused)]);
    bench.set("Custom:door", DeviceState::Busy);
    for request in bench.requests() {
        bench.grant(&request, "t1");
    }
    assert_eq!(told(&bench), [(own, Delivery::Confirmed)]);
    let explained = bench.node.explain_device("Custom:door").unwrap();
    let confirmed_at = explained.trail.publishers[0].values[0].confirmed_at;
    assert_eq!(confirmed_at, Some(bench.now.wall));
    bench.ask(&Request::saying("Custom:door", "RINGING"));
    let both = told(&bench);
    let peer = PEER_EID.parse().unwrap();
    assert_eq!(
        both,
        [(own, Delivery::Confirmed), (peer, Delivery::NotTold)]
    );
}

#[test]
fn filters_say_what_they_keep_out() {
    let mut bench = Bench::new(&filtered());
    bench.ask(&Request::saying("PJSIP/1001", "INUSE"));
    let explained = bench.node.explain_device("PJSIP/1001").unwrap();
    let told = &explained.trail.publishers[0];
    assert_eq!(told.verdict, Verdict::Filtered("^Custom:".to_owned()));
    assert_eq!(told.values, []);
    assert_eq!(explained.trail.publications[0].verdict, Verdict::Wanted);

    assert_eq!(bench.node.explain_device("PJSIP/2001"), None);
    for state in ["INUSE", "BUSY"] {
        bench.ask(&Request::saying("PJSIP/2001", state));
    }
    let explained = bench.node.explain_device("PJSIP/2001").unwrap();
    assert_eq!(explained.device.entities, []);
    let dropped = explained.trail.dropped.unwrap();
    assert_eq!(
        (dropped.cause, dropped.count, dropped.publication.as_str()),
        (DropCause::NotWanted, 2, "peer")
    );
    assert_eq!(
        (dropped.said.to_string().as_str(), dropped.eid),
        ("BUSY", PEER_EID.parse().unwrap())
    );
    assert_eq!(
        explained.trail.publications[0].verdict,
        Verdict::Filtered("^PJSIP/1".to_owned())
    );
}

#[test]
fn the_history_of_a_name_outlives_it() {
    let mut bench = Bench::new(RELATION);
    bench.set("Custom:a", DeviceState::InUse);
    bench.set("Custom:b", DeviceState::InUse);
    bench.set("Custom:a", DeviceState::Busy);
    let now = bench.now;
    bench.node.unset_device(now, "Custom:a").unwrap();
    let explained = bench.node.explain_device("Custom:a").unwrap();
    assert_eq!(explained.device.state, DeviceState::Invalid);
    let word = |said: Option<lampwire_core::Said>| said.map(|said| said.to_string());
    let history: Vec<_> = explained
        .trail
        .history
        .iter()
        .map(|it| (word(it.previous), word(it.said)))
        .collect();
    let (in_use, busy) = (Some("INUSE".to_owned()), Some("BUSY".to_owned()));
    assert_eq!(
        history,
        [(busy.clone(), None), (in_use.clone(), busy), (None, in_use)]
    );
}

#[test]
fn the_last_writer_of_a_mailbox_stands_first() {
    let mut bench = Bench::new(RELATION);
    let now = bench.now;
    bench.node.set_mailbox(now, "100@default", 1, 0).unwrap();
    bench.ask(
        &Request::new()
            .event("asterisk-mwi")
            .body(mailbox("100@default", 3, 2)),
    );
    let explained = bench.node.explain_mailbox("100@default").unwrap();
    let counts: Vec<_> = explained
        .entities
        .iter()
        .map(|it| (it.new, it.old))
        .collect();
    assert_eq!(counts, [(3, 2), (1, 0)]);
    assert_eq!(explained.trail.publishers[0].publisher, "peer-mwi");
    assert_eq!(bench.node.explain_mailbox("200@default"), None);
}

#[test]
fn states_are_counted_by_kind_and_source_in_parts() {
    let mut bench = Bench::new(RELATION);
    bench.set("Custom:a", DeviceState::InUse);
    bench.set("Custom:b", DeviceState::InUse);
    bench.ask(&Request::new());
    let now = bench.now;
    bench.node.set_mailbox(now, "100@default", 1, 0).unwrap();
    bench.node.unset_device(now, "Custom:b").unwrap();
    for budget in [1, 100] {
        let mut census = Census::default();
        while bench.node.count_states(&mut census, budget) {}
        let counts: Vec<_> = census.counts().filter(|(.., count)| *count > 0).collect();
        assert_eq!(
            counts,
            [
                ("device", Source::Local, 1),
                ("device", Source::Publication, 1),
                ("mailbox", Source::Local, 1)
            ]
        );
    }
}

#[test]
fn the_time_from_a_change_to_its_confirmation_is_counted() {
    let mut bench = Bench::new(RELATION);
    for request in bench.requests() {
        bench.grant(&request, "t0");
    }
    bench.set("Custom:door", DeviceState::InUse);
    let request = bench.requests().remove(0);
    bench.pass(std::time::Duration::from_millis(40));
    bench.grant(&request, "t1");
    let publisher = bench.node.publishers(bench.now).remove(0);
    let times = publisher.confirm_times;
    assert_eq!(
        (times.total, times.sum),
        (1, std::time::Duration::from_millis(40))
    );
    // The refresh at the start had an answer too, at once.
    assert_eq!(publisher.round_trips.total, 2);
}
