//! The command line itself.

use std::process::Command;

use super::harness::{Directory, Node, Process, address, lampwire, run, sections, wait_for};

#[test]
fn help_names_every_command_and_hides_the_token() {
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, 0);
    for command in [
        "run",
        "demo",
        "check",
        "status",
        "plan",
        "show",
        "explain",
        "watch",
        "set",
        "unset",
        "refresh",
        "reload",
        "bench",
        "completions",
        "man",
    ] {
        assert!(
            out.lines()
                .any(|line| line.trim_start().starts_with(command)),
            "{command}: {out}"
        );
    }
    let output = lampwire()
        .env("LAMPWIRE_TOKEN", "s3cret")
        .args(["show", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(
        help.contains("LAMPWIRE_TOKEN") && !help.contains("s3cret"),
        "{help}"
    );
    let (code, out, _) = run(&["--version"]);
    assert_eq!((code, out.starts_with("lampwire ")), (0, true));
}

#[test]
fn the_help_of_every_command_is_as_it_was() {
    let mut all = String::new();
    for command in [
        "run",
        "demo",
        "check",
        "plan",
        "status",
        "health",
        "show",
        "explain",
        "watch",
        "set",
        "unset",
        "refresh",
        "reload",
        "state",
        "state export",
        "state import",
        "bench",
        "bench publish",
    ] {
        let arguments: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let (code, out, _) = run(&arguments);
        assert_eq!(code, 0);
        all.push_str(&format!("==> lampwire {command} --help\n{out}\n"));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/help.txt");
    if std::env::var_os("LAMPWIRE_UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &all).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    assert_eq!(
        all, golden,
        "look at the difference, then set LAMPWIRE_UPDATE_GOLDEN=1 to take it over"
    );
}

#[test]
fn bad_usage_is_exit_status_2() {
    for arguments in [
        &["nonsense"][..],
        &[],
        &["show"],
        &["show", "nonsense"],
        &["set", "device", "x"],
        &["set", "mailbox", "x", "--new", "many"],
        &["run", "--nonsense"],
        &["demo", "--sip-port", "0"],
    ] {
        let (code, out, error) = run(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {error}");
    }
}

#[test]
fn a_node_that_is_not_there_is_told_with_what_to_do() {
    let url = format!("http://{}:7060", address());
    for arguments in [
        &["show", "devices"][..],
        &["health"],
        &["watch"],
        &["set", "device", "x", "BUSY"],
        &["refresh"],
    ] {
        let output = lampwire()
            .env("LAMPWIRE_NODE", &url)
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            format!(
                "error: no node answers at {url}: start one with `lampwire run`, or give --node URL\n"
            )
        );
    }
}

#[test]
fn what_the_node_refuses_is_said_in_its_words() {
    let node = Node::alone();
    let (code, _, error) = node.command(&["set", "device", "Custom:x", "BUSSY"]);
    assert_eq!(code, 1);
    assert!(
        error.starts_with("error: \"BUSSY\" is no device state"),
        "{error}"
    );
    let (code, _, error) = node.command(&["unset", "device", "Custom:x"]);
    assert_eq!(code, 1);
    assert!(error.contains("Custom:x"), "{error}");
    let (code, _, error) = node.command(&["show", "devices", "("]);
    assert_eq!(code, 1);
    assert!(error.contains("regular expression"), "{error}");
    let (code, _, error) = node.command(&["show", "peers", "("]);
    assert_eq!(code, 1);
    assert!(error.contains("regular expression"), "{error}");
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let node = Node::alone();
    for n in 0..300 {
        node.put(
            &format!("/api/v1/devices/Custom%3A{n}"),
            r#"{"state":"INUSE"}"#,
        );
    }
    let program = env!("CARGO_BIN_EXE_lampwire");
    let script = format!(
        "{program} show devices --json --node {} | head -c 10; {program} show devices --node {} | head -n 1",
        node.url, node.url
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn completions_and_the_manual_come_from_the_definition() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = run(&["completions", shell]);
        assert_eq!(code, 0);
        assert!(out.contains("sip-port"), "{shell}");
    }
    let (code, out, _) = run(&["man"]);
    assert_eq!(code, 0);
    assert!(out.contains(".TH lampwire"), "{out}");
    for command in [
        "refresh",
        "bench publish",
        "set device",
        "set mailbox",
        "unset device",
        "unset mailbox",
        "state export",
        "state import",
    ] {
        let head = format!(".SH LAMPWIRE {}\n", command.to_uppercase());
        let (_, section) = out.split_once(&head).expect(command);
        let section = section.split(".SH LAMPWIRE").next().unwrap();
        let section = section.replace("\\-", "-");
        let (_, help, _) = run(&command.split(' ').chain(["--help"]).collect::<Vec<_>>());
        let options = help.split_whitespace().filter(|it| it.starts_with("--"));
        for option in options.map(|it| it.trim_end_matches(|it: char| !it.is_alphanumeric())) {
            assert!(section.contains(option), "{command} {option}: {section}");
        }
    }
}

#[test]
fn more_open_files_are_asked_for_than_the_system_gives_at_first() {
    let directory = Directory::new();
    let path = directory.write("lampwire.conf", &sections(address(), ""));
    let program = env!("CARGO_BIN_EXE_lampwire");
    let script = "ulimit -Sn 256 && exec \"$0\" run -c \"$1\"";
    let process = Process::start(Command::new("sh").args(["-c", script, program, &path]));
    wait_for("a node that runs", || {
        process.log().contains("running with").then_some(())
    });
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.child.id())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let numbers: Vec<u64> = line
        .unwrap()
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    assert_eq!(numbers[0], numbers[1].min(16_384));
}

#[test]
fn the_log_is_text_or_json() {
    let at = address();
    let directory = super::harness::Directory::new();
    let config = directory.write("lampwire.conf", &super::harness::sections(at, ""));
    let lines = |format: &str| {
        let mut command = lampwire();
        command.args(["run", "-c", &config, "--log-format", format]);
        let process = super::harness::Process::start(&mut command);
        // A refusal has a code.
        let socket = std::net::UdpSocket::bind((super::harness::address(), 0)).unwrap();
        let request = "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
                       To: <sip:x>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";
        super::harness::wait_for("a refusal in the log", || {
            let _ = socket.send_to(request.as_bytes(), (at, 5060));
            process
                .log()
                .contains("unknown-endpoint")
                .then(|| process.log())
        })
    };
    let text = lines("text");
    assert!(
        text.lines()
            .any(|line| line.contains(" WARN unknown-endpoint: OPTIONS sip:x from ")),
        "{text}"
    );
    assert!(!text.contains("code="), "{text}");
    let json = lines("json");
    let refusal = json
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|line| line["code"] == "unknown-endpoint")
        .unwrap();
    assert_eq!(refusal["level"], "WARN");
    assert!(
        refusal["message"]
            .as_str()
            .unwrap()
            .starts_with("unknown-endpoint: OPTIONS")
    );
}

#[test]
fn a_table_can_be_watched() {
    let node = Node::alone();
    node.put("/api/v1/devices/Custom%3A1", r#"{"state":"INUSE"}"#);
    let mut command = lampwire();
    command
        .env("LAMPWIRE_NODE", &node.url)
        .args(["show", "devices", "--watch"])
        .stdout(std::process::Stdio::piped());
    let mut process = super::harness::Process::start(&mut command);
    let mut lines = process.lines();
    let mut shows =
        |state: &str| lines.any(|line| line.starts_with("Custom:1") && line.contains(state));
    assert!(shows(" INUSE "));
    node.put("/api/v1/devices/Custom%3A1", r#"{"state":"BUSY"}"#);
    assert!(shows(" BUSY "));
}
