//! What the fuzz targets and the replay of their corpora run. Not part of the interface.

use std::net::SocketAddr;

use crate::{
    Challenge, Credentials, DeviceState, EventPackage, Frame, HeaderName, Message, Names,
    ParseError, Splitter, StartLine, StateChange, States, StreamError, Told, Uri, Writer, limits,
    parse_states, valid_name,
};

/// The name of a target, which is that of its corpus, and what runs one case of it.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, for the replay.
pub const TARGETS: [Target; 4] = [
    ("message", message),
    ("stream", stream),
    ("body", body),
    ("digest_header", digest_header),
];

/// Reads the bytes as a datagram, and answers it. What is read prints to what reads the same; the answer repeats what it must.
pub fn message(data: &[u8]) {
    let message = match Message::parse(data) {
        Ok(message) => message,
        Err(ParseError::KeepAlive) => {
            return assert!(data.iter().all(|byte| matches!(byte, b'\r' | b'\n')));
        }
        Err(ParseError::TooLarge) => return assert!(data.len() > limits::MAX_MESSAGE),
        Err(ParseError::NotSip) => return,
    };
    if let Some(defect) = message.defect() {
        assert_one_line(&defect.to_string());
    }
    read_all(&message);
    if let Ok(via) = message.via() {
        let printed = via.to_string();
        let again = crate::Via::parse(&printed).expect("a Via prints as a Via");
        assert_eq!(again, via, "{printed:?}");
    }
    for address in [message.from(), message.to()].into_iter().flatten() {
        let printed = address.to_string();
        let again = crate::NameAddr::parse(&printed).expect("an address prints as an address");
        assert_eq!(again, address, "{printed:?}");
        print_uri(address.uri);
    }
    if let Ok(cseq) = message.cseq() {
        assert_eq!(crate::CSeq::parse(&cseq.to_string()), Some(cseq));
    }
    if let Ok(Some(event)) = message.event() {
        let printed = event.to_string();
        assert_eq!(crate::Event::parse(&printed), Some(event), "{printed:?}");
    }
    if let Some(media_type) = message.content_type() {
        let printed = media_type.to_string();
        assert_eq!(crate::MediaType::parse(&printed), Some(media_type));
    }
    if let StartLine::Request { uri, .. } = message.start() {
        print_uri(uri);
        answer(&message);
    }
}

/// Every reader, for its panics alone.
fn read_all(message: &Message<'_>) {
    for name in HeaderName::ALL {
        assert_eq!(message.header(name), message.headers(name).next());
        let _ = message.list(name).count();
        let by_text = message.header_named(name.as_str()).count();
        assert_eq!(by_text, message.headers(name).count());
    }
    let _ = (message.call_id(), message.max_forwards(), message.expires());
    let _ = (message.min_expires(), message.retry_after());
    let _ = (
        message.etag(),
        message.if_match(),
        message.require().count(),
    );
    let _ = message.challenges().count() + message.credentials().count();
    assert!(message.body().len() <= limits::MAX_BODY || message.defect().is_some());
}

fn print_uri(text: &str) {
    let Ok(uri) = Uri::parse(text) else { return };
    let printed = uri.to_string();
    assert_eq!(Uri::parse(&printed), Ok(uri), "{text:?} {printed:?}");
    let _ = uri.user_unescaped();
}

fn answer(message: &Message<'_>) {
    let source = SocketAddr::from(([192, 0, 2, 9], 40_000));
    let values = message.list(HeaderName::Via).count();
    for names in [Names::Full, Names::Compact] {
        let mut out = Vec::new();
        Writer::reply(&mut out, names, message, source, 400, "", "t9").finish();
        if out.len() > limits::MAX_MESSAGE || values + 5 > limits::MAX_HEADERS {
            return; // more than we read ourselves
        }
        let reply = Message::parse(&out).expect("an answer is a message");
        assert!(matches!(
            reply.start(),
            StartLine::Response { status: 400, .. }
        ));
        let lines = out.split(|byte| *byte == b'\n').count();
        assert!(lines <= values + 5 + 4, "a header was let in");
        if message.defect() == Some(crate::Defect::ControlCharacter) {
            continue; // what was written as a blank may read otherwise
        }
        assert_eq!(reply.list(HeaderName::Via).count(), values);
        let sets = [
            message.via().map(|via| via.params),
            message.to().map(|to| to.params),
        ];
        let full = |params: crate::Params<'_>| params.iter().count() + 1 >= limits::MAX_PARAMS;
        if sets.into_iter().flatten().any(full) {
            continue; // with the one that is added there are more than we read ourselves
        }
        if let Ok(via) = message.via() {
            let returned = reply.via().expect("the topmost Via comes back");
            assert_eq!(returned.branch.map(flat), via.branch.map(flat));
            assert_eq!(returned.host, via.host);
            assert_eq!(
                (returned.transport, returned.port),
                (via.transport, via.port)
            );
            assert_eq!(returned.received, Some("192.0.2.9"));
        }
        if let Ok(from) = message.from() {
            let returned = reply.from().expect("From comes back");
            assert_eq!(flat(returned.uri), flat(from.uri));
            assert_eq!(returned.tag().map(flat), from.tag().map(flat));
        }
        if let Ok(to) = message.to() {
            let returned = reply.to().expect("To comes back");
            assert_eq!(flat(returned.uri), flat(to.uri));
            assert!(returned.tag().is_some());
        }
        if let Ok(call_id) = message.call_id() {
            assert_eq!(reply.call_id().map(flat), Ok(flat(call_id)));
        }
        if let Ok(cseq) = message.cseq() {
            assert_eq!(reply.cseq(), Ok(cseq));
        }
    }
}

/// As the writer writes it: line breaks and NUL are blanks.
fn flat(text: &str) -> String {
    text.replace(['\r', '\n', '\0'], " ")
}

/// Reads the bytes as a stream, whole and in pieces whose lengths the first bytes say.
pub fn stream(data: &[u8]) {
    let Some((seed, data)) = data.split_first_chunk::<4>() else {
        return;
    };
    let whole = frames([data].into_iter());
    let mut sizes = seed.iter().cycle();
    let mut rest = data;
    let pieces = std::iter::from_fn(|| {
        let size = usize::from(*sizes.next()?).max(1).min(rest.len());
        let (piece, behind) = rest.split_at(size);
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    });
    let cut = frames(pieces);
    assert_eq!(
        whole, cut,
        "messages, pings and the end, however the bytes come"
    );
}

/// The messages, how many pings came, and how it ended. Pongs count for nothing: a ping in halves begins with one.
fn frames<'d>(
    pieces: impl Iterator<Item = &'d [u8]>,
) -> (Vec<Vec<u8>>, usize, Option<StreamError>) {
    let mut splitter = Splitter::new();
    let (mut messages, mut pings) = (Vec::new(), 0);
    for piece in pieces {
        if let Err(error) = splitter.push(piece) {
            return (messages, pings, Some(error));
        }
        loop {
            match splitter.next() {
                Ok(Some(Frame::Message(frame))) => {
                    check_frame(frame);
                    messages.push(frame.to_vec());
                }
                Ok(Some(Frame::Ping)) => pings += 1,
                Ok(Some(Frame::Pong)) => {}
                Ok(Some(Frame::Overlong(head))) => {
                    assert!(head.ends_with(b"\r\n\r\n") && head.len() <= limits::MAX_HEAD);
                }
                Ok(None) => break,
                Err(error) => return (messages, pings, Some(error)),
            }
        }
        assert!(splitter.pending() <= limits::MAX_MESSAGE);
    }
    (messages, pings, None)
}

/// The reader of datagrams takes the frame for the same message: its body ends where the frame does.
fn check_frame(frame: &[u8]) {
    let Ok(message) = Message::parse(frame) else {
        return; // not SIP, but whole
    };
    let headers = memchr::memmem::find(frame, b"\r\n\r\n").expect("a frame has an end of headers");
    assert_eq!(message.body(), &frame[headers + 4..]);
    use crate::Defect::{BodyTooLong, BodyTooShort, ControlCharacter, Malformed, NoEndOfHeaders};
    let doubtful = matches!(
        message.defect(),
        Some(
            BodyTooShort
                | BodyTooLong
                | NoEndOfHeaders
                | ControlCharacter
                | Malformed(HeaderName::ContentLength)
        )
    );
    assert!(!doubtful, "{:?}", message.defect());
}

/// Reads the bytes as the body of each event, and as one of many states. What was read is written to what reads the same.
pub fn body(data: &[u8]) {
    for event in [EventPackage::DeviceState, EventPackage::Mwi] {
        match parse_states(event, data) {
            Ok(mut told) => {
                let mut states = States::within(usize::MAX);
                assert!(told.iter().all(|it| states.push(it.clone())));
                let mut out = Vec::new();
                states.write(&mut out);
                // Groups have an order of their own; within one it is kept.
                told.sort_by_key(|(change, extras)| {
                    let by = extras.version.map(|version| version.by);
                    (change.eid(), by, extras.lost)
                });
                // Numbers as no node takes them may lie further apart than can be written.
                let possible = |(_, extras): &Told<'_>| {
                    extras.version.is_none_or(|version| version.seq < 1 << 62)
                };
                if told.iter().all(possible) {
                    assert_eq!(parse_states(event, &out), Ok(told));
                }
            }
            Err(error) => assert_one_line(&error.to_string()),
        }
        let change = match StateChange::parse(event, data) {
            Ok(change) => change,
            Err(error) => {
                assert_one_line(&error.to_string());
                continue;
            }
        };
        match &change {
            StateChange::Device { device, state, .. } => {
                assert_eq!(valid_name(device), Ok(()));
                assert_eq!(DeviceState::parse(state.as_str()), Some(*state));
            }
            StateChange::Mailbox { uniqueid, .. } => assert_eq!(valid_name(uniqueid), Ok(())),
            StateChange::Refresh { .. }
            | StateChange::Dumped { .. }
            | StateChange::Beat { .. }
            | StateChange::Canary { .. } => {}
        }
        let mut out = Vec::new();
        change.write(&mut out);
        let printed = String::from_utf8_lossy(&out);
        assert_eq!(
            StateChange::parse(event, &out).as_ref(),
            Ok(&change),
            "{printed}"
        );
        // And what one Lampwire adds for another.
        let (change, extras) = StateChange::parse_with_extras(event, data)
            .expect("it was read before, without what is added");
        out.clear();
        change.write_with_extras(&extras, &mut out);
        let printed = String::from_utf8_lossy(&out);
        assert_eq!(
            StateChange::parse_with_extras(event, &out),
            Ok((change, extras)),
            "{printed}"
        );
    }
}

/// Reads the bytes as a challenge and as credentials. What is read prints to what reads the same.
pub fn digest_header(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for proxy in [false, true] {
        if let Some(challenge) = Challenge::parse(text, proxy) {
            let printed = challenge.to_string();
            let again = Challenge::parse(&printed, proxy).expect("a challenge prints as one");
            // An algorithm that is not known is not written: nobody could answer it.
            if challenge.algorithm.is_some() {
                assert_eq!(again, challenge, "{printed:?}");
            }
        }
        if let Some(credentials) = Credentials::parse(text, proxy) {
            let printed = credentials.to_string();
            assert_eq!(
                Credentials::parse(&printed, proxy).as_ref(),
                Some(&credentials),
                "{printed:?}"
            );
        }
    }
}

/// It is to be a reason phrase.
fn assert_one_line(text: &str) {
    assert!(!text.contains(['\r', '\n', '\0']), "{text:?}");
    assert!(text.len() < 200, "{text:?}");
}
