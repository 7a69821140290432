//! A torture set: messages after the subjects of RFC 4475 and RFC 5118, and of what else has broken SIP readers, each with its verdict.
//!
//! The tables in the modules are the document. A case is a name, where its subject is from, the bytes, and one of three verdicts:
//!
//! - dropped: nothing that could be answered;
//! - a defect: answered at once, with a status of its own;
//! - taken: the message is whole, and reads as these facts say. A single header that cannot be read is a fact too: `400` and why.

#![allow(clippy::unwrap_used)]

mod addresses;
mod facts;
mod framing;
mod numbers;
mod security;
mod start_lines;
mod valid;

use std::collections::BTreeSet;
use std::path::Path;

use lampwire_sip::{Defect, HeaderName, Message, Names, ParseError, StartLine, Writer};

/// One message and what is to become of it.
struct Case {
    name: &'static str,
    /// The section of the RFC that the subject is from; `""` for the crate's own.
    source: &'static str,
    bytes: Vec<u8>,
    verdict: Verdict,
}

enum Verdict {
    Dropped(ParseError),
    Defect(Defect, u16),
    Taken(&'static [(&'static str, &'static str)]),
}

fn case(
    name: &'static str,
    source: &'static str,
    bytes: impl Into<Vec<u8>>,
    verdict: Verdict,
) -> Case {
    Case {
        name,
        source,
        bytes: bytes.into(),
        verdict,
    }
}

fn dropped(error: ParseError) -> Verdict {
    Verdict::Dropped(error)
}

/// Most defects are answered by 400; the table says so where it is another.
fn defect(defect: Defect) -> Verdict {
    Verdict::Defect(defect, 400)
}

fn malformed(name: HeaderName) -> Verdict {
    defect(Defect::Malformed(name))
}

fn taken(facts: &'static [(&'static str, &'static str)]) -> Verdict {
    Verdict::Taken(facts)
}

/// The message that most cases are a change of.
const BASE: &str = "PUBLISH sip:instance1@192.0.2.2 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKbase\r\n\
    From: <sip:instance1@192.0.2.1>;tag=f1\r\n\
    To: <sip:instance1@192.0.2.2>\r\n\
    Call-ID: base@192.0.2.1\r\n\
    CSeq: 7 PUBLISH\r\n\
    Max-Forwards: 70\r\n\
    Event: asterisk-devicestate\r\n\
    Expires: 3600\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 2\r\n\
    \r\n\
    {}";

/// [`BASE`] with other lines in the place of the one that begins so; none takes it out.
fn swap(begin: &str, lines: impl AsRef<[u8]>) -> Vec<u8> {
    let start = BASE
        .find(&format!("\r\n{begin}"))
        .expect("the base has the line")
        + 2;
    let end = start + BASE[start..].find("\r\n").unwrap() + 2;
    let mut lines = lines.as_ref().to_vec();
    if !lines.is_empty() {
        lines.extend_from_slice(b"\r\n");
    }
    [&BASE.as_bytes()[..start], &lines, &BASE.as_bytes()[end..]].concat()
}

/// [`BASE`] with further lines behind its other headers.
fn also(lines: impl AsRef<[u8]>) -> Vec<u8> {
    swap(
        "Content-Length",
        [b"Content-Length: 2\r\n", lines.as_ref()].concat(),
    )
}

/// [`BASE`] with another first line.
fn first(line: impl AsRef<[u8]>) -> Vec<u8> {
    let rest = &BASE.as_bytes()[BASE.find("\r\n").unwrap()..];
    [line.as_ref(), rest].concat()
}

/// A response that has `lines` besides what every response has.
fn response(start: &str, lines: &str) -> Vec<u8> {
    let mut text = format!(
        "{start}\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport=5060;received=192.0.2.1;branch=z9hG4bKbase\r\n\
         From: <sip:instance1@192.0.2.1>;tag=f1\r\nTo: <sip:instance1@192.0.2.2>;tag=t1\r\nCall-ID: base@192.0.2.1\r\nCSeq: 7 PUBLISH\r\n"
    );
    if !lines.is_empty() {
        text.push_str(lines);
        text.push_str("\r\n");
    }
    text.push_str("Content-Length: 0\r\n\r\n");
    text.into_bytes()
}

fn all() -> Vec<Case> {
    let groups = [
        valid::cases(),
        start_lines::cases(),
        framing::cases(),
        addresses::cases(),
        numbers::cases(),
        security::cases(),
    ];
    groups.into_iter().flatten().collect()
}

#[test]
fn every_message_gets_its_verdict() {
    let mut wrong = Vec::new();
    for Case {
        name,
        source,
        bytes,
        verdict,
    } in all()
    {
        let parsed = Message::parse(&bytes);
        match (verdict, parsed) {
            (Verdict::Dropped(expected), Err(error)) if expected == error => {}
            (Verdict::Defect(expected, status), Ok(message))
                if message.defect() == Some(expected) =>
            {
                if expected.status() != status {
                    wrong.push(format!(
                        "{name} ({source}): status {}, not {status}",
                        expected.status()
                    ));
                }
            }
            (Verdict::Taken(facts), Ok(message)) if message.defect().is_none() => {
                for (key, expected) in facts {
                    let found = facts::fact(&message, key);
                    if found != *expected {
                        wrong.push(format!(
                            "{name} ({source}): {key} is {found:?}, not {expected:?}"
                        ));
                    }
                }
            }
            (_, Ok(message)) => wrong.push(format!(
                "{name} ({source}): taken with {:?}",
                message.defect()
            )),
            (_, Err(error)) => wrong.push(format!("{name} ({source}): dropped, {error:?}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} verdicts differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn whatever_is_not_dropped_can_be_answered() {
    for Case { name, bytes, .. } in all() {
        let Ok(message) = Message::parse(&bytes) else {
            continue;
        };
        if !matches!(message.start(), StartLine::Request { .. }) {
            continue;
        }
        for names in [Names::Full, Names::Compact] {
            let mut out = Vec::new();
            Writer::reply(
                &mut out,
                names,
                &message,
                "192.0.2.9:40000".parse().unwrap(),
                400,
                "",
                "t9",
            )
            .finish();
            let reply = Message::parse(&out).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(
                matches!(reply.start(), StartLine::Response { status: 400, .. }),
                "{name}"
            );
            for key in [
                "vias",
                "via.branch",
                "from.uri",
                "from.tag",
                "call_id",
                "cseq",
            ] {
                let said = facts::fact(&message, key);
                // What cannot be read may be left out.
                if !said.starts_with("400 ") {
                    assert_eq!(facts::fact(&reply, key), said, "{name}: {key}");
                }
            }
        }
    }
}

#[test]
fn the_set_is_large_and_its_names_are_file_names() {
    let cases = all();
    assert!(cases.len() >= 80, "{}", cases.len());
    let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "two cases of one name");
    for name in names {
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
            "{name}"
        );
    }
}

/// Makes the seeds of the fuzz targets anew: `cargo test -p lampwire-sip --test torture -- --ignored`.
#[test]
#[ignore = "writes files"]
fn write_seeds() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let directory = corpora.join(target);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(name), bytes).unwrap();
    };
    // Few enough to be kept, short enough to be changed quickly.
    let cases = all();
    let short = || cases.iter().filter(|case| case.bytes.len() < 1500);
    for case in short().step_by(6) {
        write("message", case.name, &case.bytes);
    }
    for (index, case) in short().skip(3).step_by(9).enumerate() {
        // The lengths of the pieces, a message, a ping, and another.
        let size = u8::try_from(index).unwrap();
        let stream = [
            &[1, size, 200, 7],
            case.bytes.as_slice(),
            b"\r\n\r\n",
            BASE.as_bytes(),
        ]
        .concat();
        write("stream", case.name, &stream);
    }
    for case in short().filter(|case| case.name.starts_with("c")) {
        let Ok(message) = Message::parse(&case.bytes) else {
            continue;
        };
        for name in [HeaderName::Authorization, HeaderName::WwwAuthenticate] {
            if let Some(value) = message.header(name) {
                write("digest_header", case.name, value.as_bytes());
            }
        }
    }
    for (name, body) in [
        (
            "device",
            r#"{"type":"devicestate","device":"PJSIP/1001","state":"INUSE","cachable":1,"eid":"02:00:00:00:00:01"}"#,
        ),
        (
            "device-event",
            r#"{"type":"devicestate","device":"Custom:x","state":"inuse","cachable":0,"eid":"02:00:00:00:00:0A"}"#,
        ),
        (
            "device-escapes",
            r#"{ "eid":"02:00:00:00:00:01", "x":[{},"\"",1e9,null], "device":"a\u00fc\"b\\c\ud83d\ude00", "type":"devicestate", "state":"?" }"#,
        ),
        (
            "mailbox",
            r#"{"type":"mailboxstate","uniqueid":"100@default","old":2,"new":3,"eid":"02:00:00:00:00:01"}"#,
        ),
        (
            "mailbox-odd-counts",
            r#"{"type":"mailboxstate","uniqueid":"100","old":"2","new":65536,"eid":"02:00:00:00:00:01"}"#,
        ),
        (
            "mailbox-no-counts",
            r#"{"type":"mailboxstate","uniqueid":"ü@b","eid":"02:00:00:00:00:01"}"#,
        ),
        ("refresh", r#"{"type":"refresh","eid":"02:00:00:00:00:02"}"#),
        (
            "twice",
            r#"{"type":"refresh","type":"devicestate","eid":"02:00:00:00:00:02"}"#,
        ),
        ("eid-short", r#"{"type":"refresh","eid":"02:00:00:00:00"}"#),
        (
            "eid-signed",
            r#"{"type":"refresh","eid":"02:00:00:00:00:+2"}"#,
        ),
        ("array", "[1]"),
        ("two", "{}{}"),
        ("empty", ""),
        ("surrogate", r#"{"type":"refresh","eid":"\ud800"}"#),
    ] {
        write("body", name, body.as_bytes());
    }
}
