//! The demo where its output is no terminal.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use super::harness::{Process, Request, lampwire, run, wait_for};

/// The demo has two fixed addresses, so one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A UDP port that is free on both of the demo's addresses, and an HTTP port that is free with the next one.
fn ports() -> (String, String) {
    let sip = wait_for("a free UDP port", || {
        let one = UdpSocket::bind("127.0.1.1:0").ok()?;
        let port = one.local_addr().ok()?.port();
        UdpSocket::bind(("127.0.1.2", port)).ok()?;
        Some(port)
    });
    let http = wait_for("two free TCP ports", || {
        let one = TcpListener::bind("127.0.0.1:0").ok()?;
        let port = one.local_addr().ok()?.port();
        TcpListener::bind(("127.0.0.1", port.checked_add(1)?)).ok()?;
        Some(port)
    });
    (sip.to_string(), http.to_string())
}

#[test]
fn lamps_cross_and_a_command_joins_in() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (sip, http) = ports();
    let mut command = lampwire();
    command
        .args(["demo", "--sip-port", &sip, "--http-port", &http])
        .stdout(Stdio::piped());
    let mut demo = Process::start(&mut command);
    let mut lines = demo.lines();

    // Every phone of each office appears at both nodes.
    let mut seen = BTreeSet::new();
    while seen.len() < 16 {
        let line = lines.next().expect("the demo goes on");
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, node, device, state] = words[..] else {
            panic!("{line:?}")
        };
        assert!(node == "instance1" || node == "instance2", "{line}");
        if device.starts_with("PJSIP/") {
            assert!(
                ["NOT_INUSE", "INUSE", "RINGING", "ONHOLD"].contains(&state),
                "{line}"
            );
            seen.insert((node.to_owned(), device.to_owned()));
        }
    }
    let url = format!("http://127.0.0.1:{http}");
    // Its configuration stands in no file.
    let reload = Request::get(&url, "/api/v1/reload").method("POST").send();
    assert!(reload.problem(409).contains("did not start from a file"));
    let (code, _, error) = run(&["set", "device", "Custom:hello", "INUSE", "--node", &url]);
    assert_eq!((code, error.as_str()), (0, ""));
    let mut shown = BTreeSet::new();
    while shown.len() < 2 {
        let line = lines.next().expect("the demo goes on");
        shown.extend(line.strip_suffix(" Custom:hello INUSE").map(str::to_owned));
    }
    demo.signal("INT");
    assert!(lines.count() < 10_000, "it goes on after the signal");
    assert_eq!(demo.ended(), Some(0));
}

#[test]
fn it_ends_by_itself_and_the_day_is_that_of_its_seed() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (sip, http) = ports();
    let (code, text, _) = run(&[
        "demo",
        "--duration",
        "2",
        "--sip-port",
        &sip,
        "--http-port",
        &http,
    ]);
    assert_eq!(code, 0);
    assert!(text.lines().count() >= 24, "{text}");
}

#[test]
fn a_port_in_use_is_told_with_the_option_that_goes_around_it() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (sip, http) = ports();
    let _sip = UdpSocket::bind(format!("127.0.1.2:{sip}")).unwrap();
    let _http = TcpListener::bind(format!("127.0.0.1:{http}")).unwrap();
    let (code, _, error) = run(&["demo", "--sip-port", &sip, "--http-port", &http]);
    assert_eq!(code, 1);
    let lines: Vec<&str> = error
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(
        lines[0].contains("instance1")
            && lines[0].contains("in use")
            && lines[0].ends_with("--http-port PORT"),
        "{error}"
    );
    assert!(
        lines[1].contains("instance2")
            && lines[1].contains("in use")
            && lines[1].ends_with("--sip-port PORT"),
        "{error}"
    );
}

#[test]
fn a_reader_that_has_had_enough_ends_it() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (sip, http) = ports();
    let mut command = lampwire();
    command
        .args(["demo", "--sip-port", &sip, "--http-port", &http])
        .stdout(Stdio::piped());
    let mut demo = Process::start(&mut command);
    let mut out = BufReader::new(demo.child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    drop(out);
    assert_eq!(demo.ended(), Some(0));
    assert!(!demo.log().contains("panic"), "{}", demo.log());
}
