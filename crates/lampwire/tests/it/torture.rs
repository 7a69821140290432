//! The torture set: hostile datagrams and streams against the running program, each with its verdict, over UDP, TCP and TLS.
//!
//! The cases are in the files of the folder. Nothing is shown by waiting: what is not answered before an OPTIONS that was sent after it
//! never is. `docs/torture.md` is the table of all, written by the last test.

mod bodies;
mod framing;
mod headers;
mod hellos;
mod splitting;
mod start_lines;
mod streams;

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;

use super::harness::{Node, address, wait_for};
use super::sip::{Draft, Line, Ports, Transport, is_silent, until_closed};

/// The honest peer's entity id.
const HONEST: &str = "02:00:00:00:00:01";

/// That of the one who tortures.
const HOSTILE: &str = "02:00:00:00:00:02";

/// Hostile bytes and what is to become of them.
struct Case {
    name: &'static str,
    /// What is wrong with them, or why they are taken.
    why: &'static str,
    /// Datagrams, or what is written to a stream one after the other.
    pieces: Vec<Vec<u8>>,
    over: Over,
}

/// By which way they come, with their verdict.
enum Over {
    All(Verdict),
    Datagram(Verdict),
    Stream(Verdict),
    Apart {
        datagram: Verdict,
        stream: Verdict,
    },
    /// To the port of TLS, without TLS.
    Hello(Verdict),
}

/// What is to become of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// These answers, in this order, and the connection goes on.
    Answered(Vec<u16>),
    /// These answers, and the connection is closed.
    Closed(Vec<u16>),
    /// More is waited for, for a while, and nobody else is kept waiting.
    Waits,
}

const DROPPED: Verdict = Verdict::Answered(Vec::new());
const CLOSED: Verdict = Verdict::Closed(Vec::new());

impl From<u16> for Verdict {
    fn from(status: u16) -> Self {
        Self::Answered(vec![status])
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statuses = |statuses: &[u16]| match statuses {
            [one] => one.to_string(),
            [first, ..] => format!("{} times {first}", statuses.len()),
            [] => String::new(),
        };
        match self {
            Self::Answered(none) if none.is_empty() => f.write_str("dropped"),
            Self::Answered(all) => f.write_str(&statuses(all)),
            Self::Closed(none) if none.is_empty() => f.write_str("closed"),
            Self::Closed(all) => write!(f, "{}, then closed", statuses(all)),
            Self::Waits => f.write_str("waited for"),
        }
    }
}

impl Case {
    fn verdict(&self, transport: Transport) -> Option<&Verdict> {
        match (&self.over, transport) {
            (Over::All(verdict), _)
            | (Over::Datagram(verdict), Transport::Udp)
            | (Over::Stream(verdict), Transport::Tcp | Transport::Tls)
            | (
                Over::Apart {
                    datagram: verdict, ..
                },
                Transport::Udp,
            )
            | (
                Over::Apart {
                    stream: verdict, ..
                },
                Transport::Tcp | Transport::Tls,
            ) => Some(verdict),
            _ => None,
        }
    }
}

/// The same over every transport.
fn all(
    name: &'static str,
    why: &'static str,
    message: impl Into<Vec<u8>>,
    verdict: impl Into<Verdict>,
) -> Case {
    Case {
        name,
        why,
        pieces: vec![message.into()],
        over: Over::All(verdict.into()),
    }
}

/// One verdict as a datagram, and another on a stream.
fn apart(
    name: &'static str,
    why: &'static str,
    message: impl Into<Vec<u8>>,
    datagram: impl Into<Verdict>,
    stream: impl Into<Verdict>,
) -> Case {
    Case {
        name,
        why,
        pieces: vec![message.into()],
        over: Over::Apart {
            datagram: datagram.into(),
            stream: stream.into(),
        },
    }
}

fn datagram(
    name: &'static str,
    why: &'static str,
    message: impl Into<Vec<u8>>,
    verdict: impl Into<Verdict>,
) -> Case {
    Case {
        name,
        why,
        pieces: vec![message.into()],
        over: Over::Datagram(verdict.into()),
    }
}

fn stream(
    name: &'static str,
    why: &'static str,
    pieces: Vec<Vec<u8>>,
    verdict: impl Into<Verdict>,
) -> Case {
    Case {
        name,
        why,
        pieces,
        over: Over::Stream(verdict.into()),
    }
}

fn hello(
    name: &'static str,
    why: &'static str,
    bytes: impl Into<Vec<u8>>,
    verdict: Verdict,
) -> Case {
    Case {
        name,
        why,
        pieces: vec![bytes.into()],
        over: Over::Hello(verdict),
    }
}

/// A PUBLISH that would change the honest peer's state, were it taken. What is to be refused is a change of it.
fn attack() -> Draft {
    let body = format!(
        r#"{{"type":"devicestate","device":"Honest/1","state":"BUSY","cachable":1,"eid":"{HONEST}"}}"#
    );
    Draft::publish("instance1", "asterisk-devicestate", body)
}

/// A PUBLISH that changes nothing when it is taken. What looks odd and is right is a change of it.
fn harmless() -> Draft {
    let body = format!(r#"{{"type":"refresh","eid":"{HOSTILE}"}}"#);
    Draft::publish("instance1", "asterisk-devicestate", body)
}

/// An OPTIONS.
fn options() -> Draft {
    Draft::new("OPTIONS", "sip:instance1@127.0.0.1")
}

/// The bytes of all cases, for who wants to change them at random.
pub(crate) fn pieces() -> Vec<Vec<u8>> {
    cases().into_iter().flat_map(|case| case.pieces).collect()
}

fn cases() -> Vec<Case> {
    let groups = [
        start_lines::cases(),
        framing::cases(),
        headers::cases(),
        splitting::cases(),
        bodies::cases(),
        streams::cases(),
        hellos::cases(),
    ];
    groups.into_iter().flatten().collect()
}

/// A node with an honest peer and one that tortures it, both known by their addresses.
struct Bench {
    node: Node,
    ports: Ports,
    honest: Ipv4Addr,
    hostile: Ipv4Addr,
}

impl Bench {
    fn new() -> Self {
        let (at, honest, hostile) = (address(), address(), address());
        let (ports, mut text) = Ports::new(at);
        // Nobody is held back for the number of what he sends: that is looked at elsewhere.
        text.push_str("[global]\ntype=global\nunidentified_request_count=0\n");
        for (name, resource, address) in [
            ("honest", "honest", honest),
            ("hostile", "instance1", hostile),
        ] {
            text.push_str(&format!(
                "[{name}]\ntype=endpoint\n[{name}]\ntype=identify\nendpoint={name}\nmatch={address}\n\
                 [{resource}]\ntype=inbound-publication\nendpoint={name}\nevent_asterisk-devicestate={name}\n\
                 event_asterisk-mwi={name}\n[{name}]\ntype=asterisk-publication\ndevice_state=yes\nmailbox_state=yes\n"
            ));
        }
        let node = Node::start(at, "entity_id=02:00:00:00:00:99", &text);
        Self {
            node,
            ports,
            honest,
            hostile,
        }
    }

    /// All that the node holds of devices and mailboxes.
    fn states(&self) -> [String; 2] {
        ["/api/v1/devices", "/api/v1/mailboxes"].map(|path| self.node.get(path).json.to_string())
    }

    /// What has become of a case. `None` where it is as was expected; a connection that is still to be closed goes to `closing`.
    fn differs(
        &self,
        case: &Case,
        transport: Transport,
        expected: &Verdict,
        closing: &mut Vec<Line>,
    ) -> Option<String> {
        let mut line = self.ports.open(transport, self.hostile);
        for piece in &case.pieces {
            line.send(piece);
        }
        if let Verdict::Closed(statuses) = expected
            && !statuses.is_empty()
        {
            // The node leaves it open for a moment, so that what it said last is read.
            let status = |line: &mut Line| line.hear().map(|answer| answer.status);
            let heard: Vec<_> = statuses.iter().map_while(|_| status(&mut line)).collect();
            closing.push(line);
            return (heard != *statuses).then(|| format!("{heard:?}, not {expected}"));
        }
        if *expected == Verdict::Waits {
            self.serve_another(transport);
            return (!line.is_silent()).then(|| "was not waited for".to_owned());
        }
        let (answers, kept) = line.settle();
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        let verdict = match kept {
            true => Verdict::Answered(statuses),
            false => Verdict::Closed(statuses),
        };
        let reason = answers.last().map_or("", |answer| answer.reason());
        (verdict != *expected).then(|| format!("{verdict} ({reason}), not {expected}"))
    }

    fn differs_at_tls_port(&self, case: &Case, expected: &Verdict) -> Option<String> {
        let mut stream = self.ports.knock(self.hostile);
        for piece in &case.pieces {
            // An error: it is closed, as the next read says.
            let _ = stream.write_all(piece);
        }
        if *expected == Verdict::Waits {
            self.serve_another(Transport::Tls);
            return (!is_silent(&mut stream)).then(|| "was not waited for".to_owned());
        }
        let heard = until_closed(&mut stream);
        let leaked = heard.windows(4).any(|bytes| bytes == b"SIP/");
        leaked.then(|| "SIP without TLS".to_owned())
    }

    /// Somebody else is served meanwhile.
    fn serve_another(&self, transport: Transport) {
        let (_, served) = self.ports.open(transport, self.honest).settle();
        assert!(served);
    }
}

#[test]
fn every_case_gets_its_verdict_and_no_state_changes() {
    let bench = Bench::new();
    let honest = |state: &str| {
        let body = format!(
            r#"{{"type":"devicestate","device":"Honest/1","state":"{state}","cachable":1,"eid":"{HONEST}"}}"#
        );
        Draft::publish("honest", "asterisk-devicestate", body)
    };
    let mut peer = bench.ports.open(Transport::Udp, bench.honest);
    let tag = peer.ask(honest("INUSE")).tag();
    let mut states = bench.states();
    assert_eq!(
        bench.node.said("Honest/1", HONEST).as_deref(),
        Some("INUSE")
    );

    let (mut wrong, mut closing) = (Vec::new(), Vec::new());
    for case in cases() {
        // The last one is shown where a test ends in a panic.
        println!("{}", case.name);
        let mut found = Vec::new();
        for transport in Transport::ALL {
            if let Some(expected) = case.verdict(transport) {
                let differs = bench.differs(&case, transport, expected, &mut closing);
                found.extend(differs.map(|it| format!("{}: {it}", transport.as_str())));
            }
        }
        if let Over::Hello(expected) = &case.over {
            found.extend(bench.differs_at_tls_port(&case, expected));
        }
        let now = bench.states();
        if now != states {
            found.push(format!("a state has changed: {now:?}"));
            states = now;
        }
        wrong.extend(found.into_iter().map(|it| format!("{}: {it}", case.name)));
    }
    assert!(
        wrong.is_empty(),
        "{} verdicts differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    for mut line in closing {
        assert!(line.hear().is_none());
    }

    // The honest peer goes on where it was, over the publication that it has had all the time, and over new ones.
    peer.ask(honest("RINGING").set("SIP-If-Match", tag)).tag();
    assert_eq!(
        bench.node.said("Honest/1", HONEST).as_deref(),
        Some("RINGING")
    );
    for (transport, state) in Transport::ALL.into_iter().zip(["BUSY", "ONHOLD", "INUSE"]) {
        let mut line = bench.ports.open(transport, bench.honest);
        line.ask(honest(state)).tag();
        assert_eq!(bench.node.said("Honest/1", HONEST).as_deref(), Some(state));
    }
    let log = bench.node.process.log();
    assert!(!log.contains("panicked"), "{log}");
    let control = |c: char| c.is_control() && c != '\n';
    let dirty: Vec<&str> = log.lines().filter(|line| line.contains(control)).collect();
    assert!(dirty.is_empty(), "{dirty:?}");
    assert!(log.lines().all(|line| line.len() < 2500), "{log}");
}

#[test]
fn connections_of_one_address_keep_nobody_out() {
    let bench = Bench::new();
    for transport in [Transport::Tcp, Transport::Tls] {
        let mut open = Vec::new();
        let refused = loop {
            let mut line = bench.ports.open(transport, bench.hostile);
            line.send(&options().bytes());
            match line.hear() {
                Some(_) => open.push(line),
                None => break open.len(),
            }
        };
        assert_eq!(refused, 100, "{}", transport.as_str());
        bench.serve_another(transport);
        assert!(open.iter_mut().all(Line::is_silent));
        // Those that end make room again.
        drop(open);
        wait_for("room", || {
            let mut line = bench.ports.open(transport, bench.hostile);
            line.send(&options().bytes());
            line.hear()
        });
    }
}

#[test]
fn who_reads_no_answers_is_closed_and_keeps_nobody_waiting() {
    let bench = Bench::new();
    for transport in [Transport::Tcp, Transport::Tls] {
        let mut deaf = bench.ports.open(transport, bench.hostile);
        let many = options().bytes().repeat(50);
        let sent = (0..10_000).take_while(|_| deaf.try_send(&many)).count();
        assert!(sent < 10_000, "{}", transport.as_str());
        bench.serve_another(transport);
    }
}

#[test]
fn half_open_handshakes_keep_nobody_out() {
    let bench = Bench::new();
    let mut first = bench.ports.knock(bench.hostile);
    let mut others: Vec<_> = (0..100).map(|_| bench.ports.knock(bench.hostile)).collect();
    bench.serve_another(Transport::Tls);
    // Nobody has been served because a handshake had run out of time.
    assert!(is_silent(&mut first));
    // One address cannot take all places.
    let last = others.last_mut().unwrap();
    assert!(until_closed(last).is_empty());
}

#[test]
fn the_set_is_large_and_its_names_are_its_own() {
    let cases = cases();
    assert!(cases.len() >= 180, "{}", cases.len());
    let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "two cases of one name");
    let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    assert!(names.iter().all(|name| name.chars().all(fit)));
}

#[test]
fn the_document_has_every_case() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/torture.md");
    let made = document();
    if std::env::var_os("LAMPWIRE_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, made).unwrap();
    } else {
        let document = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            document, made,
            "run this test once with LAMPWIRE_UPDATE_GOLDEN=1"
        );
    }
}

fn document() -> String {
    let cases = cases();
    let mut text = format!(
        "# The torture set\n\n\
         <!-- Written by crates/lampwire/tests/it/torture.rs; do not edit. -->\n\n\
         {} hostile datagrams and streams, and what the running program makes of each. The bytes are in `crates/lampwire/tests/it/torture/`;\n\
         `cargo test -p lampwire --test it -- torture` runs them all. After each of them every state is as it was before, and every answer\n\
         has only headers of its own. \"Dropped\" is not answered, and what comes next is. \"Closed\" ends the connection. \"Waited for\" is half\n\
         of something: others are served, and the connection is closed if the rest does not come in time.\n\n\
         | case | over | verdict | why |\n|---|---|---|---|\n",
        cases.len()
    );
    for Case {
        name, why, over, ..
    } in cases
    {
        let (over, verdict) = match over {
            Over::All(verdict) => ("UDP, TCP, TLS", verdict.to_string()),
            Over::Datagram(verdict) => ("UDP", verdict.to_string()),
            Over::Stream(verdict) => ("TCP, TLS", verdict.to_string()),
            Over::Apart { datagram, stream } => ("UDP; TCP, TLS", format!("{datagram}; {stream}")),
            Over::Hello(verdict) => ("the port of TLS", verdict.to_string()),
        };
        text.push_str(&format!("| {name} | {over} | {verdict} | {why} |\n"));
    }
    text
}
