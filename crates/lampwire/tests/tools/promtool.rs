//! Prometheus' own tool reads the figures, the alerts and their tests.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::chromium::find_program;
use crate::harness::{Directory, Request, address, wait_for};
use crate::pair::{start_one, start_two};

/// Where it is, if it is.
pub(crate) fn find() -> Option<PathBuf> {
    find_program(&["promtool"])
}

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/prometheus")
}

fn check(command: &mut Command, input: &str) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}\n{input}",
        String::from_utf8_lossy(&told)
    );
}

/// The figures of two nodes at work, by its rules of good names too.
pub(crate) fn the_figures_are_well_formed(program: &Path) {
    let (at_one, at_two) = (address(), address());
    let (one, _two) = (start_one(at_one, at_two), start_two(at_two, at_one));
    one.put("/api/v1/devices/Custom%3A1", r#"{"state":"INUSE"}"#);
    let text = wait_for("a confirmed state", || {
        let text = Request::get(&one.url, "/metrics").send().text;
        text.contains(
            "lampwire_publisher_confirmed_states_total{publisher=\"instance2-devicestate\"} 1",
        )
        .then_some(text)
    });
    check(Command::new(program).args(["check", "metrics"]), &text);
}

/// A peer is lost, and the alerts fire that are for that: every series of the node's as it was before and after, through the rules.
pub(crate) fn the_loss_of_a_peer_fires_by_a_nodes_own_figures(program: &Path) {
    let (at_one, at_two) = (address(), address());
    let (one, two) = (start_one(at_one, at_two), start_two(at_two, at_one));
    one.put("/api/v1/devices/Custom%3A1", r#"{"state":"INUSE"}"#);
    let figures_with = |line: &str| {
        wait_for(line, || {
            let text = Request::get(&one.url, "/metrics").send().text;
            text.lines().any(|it| it == line).then_some(text)
        })
    };
    // It has answered: whoever has only published may do so for another hour without being asked.
    figures_with(
        "lampwire_publisher_confirmed_states_total{publisher=\"instance2-devicestate\"} 1",
    );
    let before = figures_with("lampwire_peer_up{peer=\"instance2\"} 1");
    drop(two);
    let after = figures_with("lampwire_peer_up{peer=\"instance2\"} 0");
    let series = |text: &str| -> BTreeMap<String, String> {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(series, value)| (series.to_owned(), value.to_owned()))
            .collect()
    };
    let (before, after) = (series(&before), series(&after));
    // A minute and a half as it was, then as it is: a value every 15 seconds.
    let mut document = format!(
        "rule_files: [{}]\nevaluation_interval: 15s\ntests:\n- interval: 15s\n  input_series:\n",
        packaging().join("lampwire.rules.yml").display()
    );
    for (series, value) in &after {
        let was = before.get(series).map_or("_", String::as_str);
        let values = format!(
            "{}{}",
            format!("{was} ").repeat(6),
            format!("{value} ").repeat(20)
        );
        let series = series.replace('\'', "''");
        document.push_str(&format!("  - series: '{series}'\n    values: '{values}'\n"));
    }
    document.push_str("  alert_rule_test:\n");
    for (time, alert, label) in [
        ("1m", "LampwirePeerLost", None),
        ("1m", "LampwirePublisherBackOff", None),
        ("4m", "LampwirePeerLost", Some("peer: instance2")),
        ("4m", "LampwireStatesInMemoryOnly", None),
        ("4m", "LampwireEntityIdShared", None),
    ] {
        document.push_str(&format!(
            "  - eval_time: {time}\n    alertname: {alert}\n    exp_alerts:"
        ));
        match label {
            None => document.push_str(" []\n"),
            Some(label) => document.push_str(&format!(
                "\n    - exp_labels: {{severity: critical, {label}}}\n      exp_annotations:\n\
                 \x20       summary: ' has lost its peer instance2'\n\
                 \x20       description: 'Its states are not told and not heard. See `lampwire show peers` there.'\n"
            )),
        }
    }
    let directory = Directory::new();
    let file = directory.write("live.test.yml", &document);
    check(Command::new(program).args(["test", "rules", &file]), "");
}

/// The alerts are rules, and fire when they should.
pub(crate) fn the_alerts_are_rules_and_fire(program: &Path) {
    let check_in = |arguments: &[&str]| {
        check(
            Command::new(program)
                .args(arguments)
                .current_dir(packaging()),
            "",
        );
    };
    check_in(&["check", "rules", "lampwire.rules.yml"]);
    check_in(&["test", "rules", "lampwire.test.yml"]);
}
