//! What Prometheus sees.

use super::harness::{Node, Request, address, wait_for};
use super::pair::{start_one, start_two};

/// The value of a series, as it is written.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line?.trim().parse().ok()
}

#[test]
fn an_exchange_shows_in_figures() {
    let (at_one, at_two) = (address(), address());
    let (one, two) = (start_one(at_one, at_two), start_two(at_two, at_one));
    one.put("/api/v1/devices/Custom%3A1", r#"{"state":"INUSE"}"#);
    let text = wait_for("a state that has arrived", || {
        let text = two.get("/metrics").text;
        (value(
            &text,
            "lampwire_states{kind=\"device\",source=\"publication\"}",
        )? == 1.0)
            .then_some(text)
    });
    let granted = "lampwire_sip_requests_total{endpoint=\"instance1\",method=\"PUBLISH\",event=\"asterisk-devicestate\",status=\"200\"}";
    assert!(value(&text, granted).is_some_and(|it| it >= 1.0), "{text}");
    let text = wait_for("a peer that is up", || {
        let text = one.get("/metrics").text;
        (value(&text, "lampwire_peer_up{peer=\"instance2\"}")? == 1.0
            && value(
                &text,
                "lampwire_publisher_behind_states{publisher=\"instance2-devicestate\"}",
            )? == 0.0)
            .then_some(text)
    });
    let count = value(
        &text,
        "lampwire_publisher_round_trip_seconds_count{publisher=\"instance2-devicestate\"}",
    );
    let all = value(
        &text,
        "lampwire_publisher_round_trip_seconds_bucket{publisher=\"instance2-devicestate\",le=\"+Inf\"}",
    );
    assert!(count.is_some_and(|it| it >= 1.0) && count == all, "{text}");
    drop(one);
    wait_for("a peer that is down", || {
        let text = two.get("/metrics").text;
        // What the alerts of a lost peer go by.
        (value(
            &text,
            "lampwire_publisher_back_off{publisher=\"instance1-devicestate\"}",
        )? == 1.0
            && value(&text, "lampwire_peer_up{peer=\"instance1\"}")? == 0.0)
            .then_some(())
    });
}

#[test]
fn both_formats_are_well_formed() {
    let node = Node::start(address(), "", "[a\"b]\ntype=endpoint\n");
    node.put("/api/v1/devices/Custom%3A1", r#"{"state":"INUSE"}"#);
    let classic = node.get("/metrics");
    assert_eq!(
        classic.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    well_formed(&classic.text);
    let open = Request::get(&node.url, "/metrics")
        .header(
            "accept",
            "application/openmetrics-text; version=1.0.0,text/plain;q=0.5",
        )
        .send();
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open.text.ends_with("\n# EOF\n"));
    assert!(!open.text.contains("_total counter"), "{}", open.text);
    well_formed(&open.text);
    node.post("/metrics", "{}").problem(405);
}

/// Every sample stands behind the TYPE of its family, each family stands once, and values are numbers.
fn well_formed(text: &str) {
    let mut family = String::new();
    let mut seen = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap().to_owned();
            assert!(seen.insert(family.clone()), "{family} stands twice");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&family), "{line} is not of {family}");
            let (_, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    // OpenMetrics has a family without the end of its name.
    assert!(seen.contains("lampwire_build_info") || seen.contains("lampwire_build"));
}
