//! Whole messages: written and read again they say the same; answered, they come back with what an answer repeats.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use lampwire_sip::{
    Algorithm, CSeq, Challenge, Credentials, Frame, HeaderName, HexDigest, Message, Method,
    NameAddr, Names, Qop, Qops, Splitter, StartLine, Via, Writer,
};
use proptest::prelude::*;

/// The headers of a message, as values of their types or as text.
#[derive(Clone, Debug)]
struct Headers {
    vias: Vec<String>,
    from: String,
    to: String,
    call_id: String,
    number: u32,
    event: Option<(String, Option<String>)>,
    expires: Option<u32>,
    max_forwards: Option<u8>,
    etag: Option<String>,
    require: Vec<String>,
    username: String,
    realm: String,
    nonce: String,
    nc: Option<u32>,
    algorithm: Algorithm,
    others: Vec<(String, String)>,
    media_type: String,
    body: Option<Vec<u8>>,
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,8}(\\.[a-z]{1,5}){0,2}",
        any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|address| format!("[{address}]")),
    ]
}

fn uri() -> impl Strategy<Value = String> {
    let user = prop::option::of("[a-zA-Z0-9_.!~*'()&=+$,;?/-]{1,12}(%[0-9a-f]{2})?");
    let parts = (
        "sips?",
        user,
        host(),
        prop::option::of(1u16..),
        prop::option::of("transport=(udp|tcp)|lr"),
    );
    parts.prop_map(|(scheme, user, host, port, params)| {
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let params = params
            .map(|params| format!(";{params}"))
            .unwrap_or_default();
        format!("{scheme}:{user}{host}{port}{params}")
    })
}

fn address() -> impl Strategy<Value = String> {
    let display =
        prop::option::of("[a-z]{1,6}( [A-Z.]{1,4})?|\"([ !#-\\[\\]-~ü]|\\\\[\"\\\\]){0,12}\"");
    let parts = (
        display,
        uri(),
        prop::option::of("[a-zA-Z0-9.!%*_+`'~-]{1,12}"),
    );
    parts.prop_map(|(display, uri, tag)| {
        let display = display
            .map(|display| format!("{display} "))
            .unwrap_or_default();
        let tag = tag.map(|tag| format!(";tag={tag}")).unwrap_or_default();
        format!("{display}<{uri}>{tag}")
    })
}

fn via() -> impl Strategy<Value = String> {
    let parts = (
        "UDP|TCP|TLS|WS|WSS|SCTP",
        host(),
        prop::option::of(1u16..),
        prop::option::of("z9hG4bK[a-zA-Z0-9.-]{0,20}"),
        prop::option::of(prop::option::of(1u16..)),
        prop::option::of(any::<std::net::IpAddr>()),
    );
    parts.prop_map(|(transport, host, port, branch, rport, received)| {
        let mut text = format!("SIP/2.0/{transport} {host}");
        let add = |text: &mut String, name: &str, value: &str| {
            text.push(';');
            text.push_str(name);
            text.push_str(value);
        };
        if let Some(port) = port {
            text.push_str(&format!(":{port}"));
        }
        match rport {
            Some(Some(port)) => add(&mut text, "rport=", &port.to_string()),
            Some(None) => add(&mut text, "rport", ""),
            None => {}
        }
        if let Some(branch) = branch {
            add(&mut text, "branch=", &branch);
        }
        if let Some(received) = received {
            add(&mut text, "received=", &received.to_string());
        }
        text
    })
}

prop_compose! {
    fn headers()(
        vias in prop::collection::vec(via(), 1..6),
        from in address(),
        to in address(),
        call_id in "[a-zA-Z0-9.@-]{1,30}",
        number in 0u32..1 << 31,
        (event, expires, max_forwards, etag) in (
            prop::option::of(("[a-z.-]{1,20}", prop::option::of("[a-z0-9]{1,8}"))),
            any::<Option<u32>>(),
            any::<Option<u8>>(),
            prop::option::of("[a-zA-Z0-9.]{1,30}"),
        ),
        require in prop::collection::vec("[a-z0-9]{1,8}", 0..4),
        (username, realm, nonce) in ("[ -~äöü]{0,16}", "[ -~äöü]{0,16}", "[ -~]{0,40}"),
        nc in any::<Option<u32>>(),
        algorithm in prop::sample::select(&Algorithm::ALL[..]),
        others in prop::collection::vec(("X-[a-zA-Z0-9.!%*_+`'~-]{1,10}", "[ -~ü]{0,40}"), 0..5),
        media_type in "application/json|text/plain;charset=utf-8",
        body in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
    ) -> Headers {
        Headers {
            vias, from, to, call_id, number, event, expires, max_forwards, etag, require, username, realm, nonce, nc, algorithm,
            others, media_type, body,
        }
    }
}

fn challenge(headers: &Headers) -> Challenge<'_> {
    Challenge {
        realm: headers.realm.as_str().into(),
        nonce: headers.nonce.as_str().into(),
        opaque: headers.etag.as_deref().map(Into::into),
        stale: headers.expires.is_some(),
        algorithm: Some(headers.algorithm),
        qop: Qops {
            auth: headers.nc.is_some(),
            auth_int: headers.event.is_some(),
        },
        userhash: false,
        proxy: true,
    }
}

fn credentials(headers: &Headers) -> Credentials<'_> {
    Credentials {
        username: headers.username.as_str().into(),
        realm: headers.realm.as_str().into(),
        nonce: headers.nonce.as_str().into(),
        uri: "sip:a@b".into(),
        response: HexDigest::parse("0123456789abcdef0123456789abcdef").unwrap(),
        algorithm: headers.algorithm,
        cnonce: headers.nc.map(|_| "c\"\\".into()),
        nc: headers.nc,
        qop: headers.nc.map(|_| Qop::Auth),
        opaque: None,
        userhash: false,
        proxy: false,
    }
}

fn write(headers: &Headers, mut writer: Writer<'_>, method: Method<'_>) {
    for via in &headers.vias {
        writer.header(HeaderName::Via, Via::parse(via).unwrap());
    }
    writer
        .header(HeaderName::From, NameAddr::parse(&headers.from).unwrap())
        .header(HeaderName::To, NameAddr::parse(&headers.to).unwrap())
        .header(HeaderName::CallId, &headers.call_id)
        .header(
            HeaderName::CSeq,
            CSeq {
                number: headers.number,
                method,
            },
        );
    if let Some((package, id)) = &headers.event {
        let id = id.as_deref();
        writer.header(HeaderName::Event, lampwire_sip::Event { package, id });
    }
    if let Some(expires) = headers.expires {
        writer
            .header(HeaderName::Expires, expires)
            .header(HeaderName::MinExpires, expires)
            .header(HeaderName::RetryAfter, format_args!("{expires} (a (b))"));
    }
    if let Some(hops) = headers.max_forwards {
        writer.header(HeaderName::MaxForwards, hops);
    }
    if let Some(etag) = &headers.etag {
        writer
            .header(HeaderName::SipETag, etag)
            .header(HeaderName::SipIfMatch, etag);
    }
    if !headers.require.is_empty() {
        writer.header(HeaderName::Require, headers.require.join(", "));
    }
    writer
        .header(HeaderName::ProxyAuthenticate, challenge(headers))
        .header(HeaderName::Authorization, credentials(headers));
    for (name, value) in &headers.others {
        writer.raw(name, value);
    }
    match &headers.body {
        Some(body) => writer.finish_with_body(&headers.media_type, body),
        None => writer.finish(),
    }
}

fn compare(headers: &Headers, message: &Message<'_>, method: Method<'_>) {
    assert_eq!(message.defect(), None);
    let vias: Vec<_> = message.list(HeaderName::Via).collect();
    assert_eq!(vias, headers.vias);
    assert_eq!(message.via(), Ok(Via::parse(&headers.vias[0]).unwrap()));
    assert_eq!(message.from(), Ok(NameAddr::parse(&headers.from).unwrap()));
    assert_eq!(message.to(), Ok(NameAddr::parse(&headers.to).unwrap()));
    assert_eq!(message.call_id(), Ok(headers.call_id.as_str()));
    let number = headers.number;
    assert_eq!(message.cseq(), Ok(CSeq { number, method }));
    let event = headers.event.as_ref().map(|(package, id)| {
        let id = id.as_deref();
        lampwire_sip::Event { package, id }
    });
    assert_eq!(message.event(), Ok(event));
    assert_eq!(message.expires(), Ok(headers.expires));
    assert_eq!(message.min_expires(), Ok(headers.expires));
    assert_eq!(message.retry_after(), Ok(headers.expires));
    assert_eq!(message.max_forwards(), Ok(headers.max_forwards));
    assert_eq!(message.etag(), headers.etag.as_deref());
    assert_eq!(message.if_match(), headers.etag.as_deref());
    assert_eq!(message.require().collect::<Vec<_>>(), headers.require);
    let challenges: Vec<_> = message.challenges().collect();
    assert_eq!(challenges, [Ok(challenge(headers))]);
    let answers: Vec<_> = message.credentials().collect();
    assert_eq!(answers, [Ok(credentials(headers))]);
    for (name, _) in &headers.others {
        // A name may come twice, in another case: all values are found, in order.
        let same = |other: &&(String, String)| other.0.eq_ignore_ascii_case(name);
        let written = headers.others.iter().filter(same);
        let written: Vec<_> = written.map(|(_, value)| value.trim()).collect();
        assert_eq!(message.header_named(name).collect::<Vec<_>>(), written);
    }
    assert_eq!(message.body(), headers.body.as_deref().unwrap_or_default());
    let media_type = message.content_type().map(|it| it.to_string());
    assert_eq!(
        media_type,
        headers.body.as_ref().map(|_| headers.media_type.clone())
    );
}

fn names() -> impl Strategy<Value = Names> {
    prop_oneof![Just(Names::Full), Just(Names::Compact)]
}

proptest! {
    #[test]
    fn a_request_says_what_was_written(headers in headers(), names in names(), uri in uri(), word in "PUBLISH|OPTIONS|[A-Z]{1,9}") {
        let method = Method::parse(&word);
        let mut out = Vec::new();
        write(&headers, Writer::request(&mut out, names, method, &uri), method);
        let message = Message::parse(&out).unwrap();
        prop_assert_eq!(message.start(), StartLine::Request { method, uri: &uri });
        compare(&headers, &message, method);
    }

    #[test]
    fn a_response_says_what_was_written(headers in headers(), names in names(), status in 100u16..700, reason in "[!-~ü][ -~ü]{0,30}") {
        let mut out = Vec::new();
        write(&headers, Writer::response(&mut out, names, status, &reason), Method::Publish);
        let message = Message::parse(&out).unwrap();
        prop_assert_eq!(message.start(), StartLine::Response { status, reason: &reason });
        compare(&headers, &message, Method::Publish);
    }

    #[test]
    fn a_stream_of_messages_is_cut_where_each_was_written(all in prop::collection::vec(headers(), 1..4), names in names(), size in 1usize..400) {
        let written: Vec<Vec<u8>> = all.iter().map(|headers| {
            let mut out = Vec::new();
            write(headers, Writer::request(&mut out, names, Method::Publish, "sip:a@b"), Method::Publish);
            out
        }).collect();
        let mut splitter = Splitter::new();
        let mut frames = Vec::new();
        for piece in written.concat().chunks(size) {
            splitter.push(piece).unwrap();
            while let Some(frame) = splitter.next().unwrap() {
                let Frame::Message(bytes) = frame else { panic!("{frame:?}") };
                frames.push(bytes.to_vec());
            }
        }
        prop_assert_eq!(frames, written);
        prop_assert_eq!(splitter.pending(), 0);
    }

    #[test]
    fn an_answer_repeats_what_it_must(headers in headers(), names in names(), source in any::<SocketAddr>(), status in 100u16..700) {
        let mut out = Vec::new();
        write(&headers, Writer::request(&mut out, names, Method::Publish, "sip:a@b"), Method::Publish);
        let request = Message::parse(&out).unwrap();
        let mut answer = Vec::new();
        Writer::reply(&mut answer, names, &request, source, status, "", "t9").finish();
        let answer = Message::parse(&answer).unwrap();
        prop_assert_eq!(answer.defect(), None);

        let (sent, returned) = (request.via().unwrap(), answer.via().unwrap());
        prop_assert_eq!((returned.transport, returned.host, returned.port), (sent.transport, sent.host, sent.port));
        prop_assert_eq!(returned.branch, sent.branch);
        let address = source.ip().to_string();
        prop_assert_eq!(returned.received, Some(address.as_str()));
        if source.port() > 0 {
            prop_assert_eq!(returned.rport, sent.rport.map(|_| Some(source.port())));
        }
        let vias: Vec<_> = answer.list(HeaderName::Via).skip(1).collect();
        prop_assert_eq!(&vias, &headers.vias[1..]);
        prop_assert_eq!(answer.from(), request.from());
        let (asked, told) = (request.to().unwrap(), answer.to().unwrap());
        prop_assert_eq!((told.display, told.uri), (asked.display, asked.uri));
        prop_assert_eq!(told.tag(), asked.tag().or(Some("t9")));
        prop_assert_eq!(answer.call_id(), request.call_id());
        prop_assert_eq!(answer.cseq(), request.cseq());
    }

    /// Of bytes changed anywhere: the properties that the fuzz targets hold.
    #[test]
    fn a_damaged_message_is_read_and_answered_or_dropped(
        headers in headers(),
        names in names(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut out = Vec::new();
        write(&headers, Writer::request(&mut out, names, Method::Publish, "sip:a@b"), Method::Publish);
        for (index, byte) in damage {
            let at = index.index(out.len());
            out[at] = byte;
        }
        lampwire_sip::fuzzing::message(&out);
        lampwire_sip::fuzzing::stream(&out);
        lampwire_sip::fuzzing::message(&out[..cut.index(out.len())]);
    }

    #[test]
    fn any_lines_at_all_are_read_and_answered_or_dropped(lines in prop::collection::vec("(Via|From|To|t|l|CSeq|Call-ID|X)? ?:? ?[ -~\r\n\t]{0,40}", 0..12)) {
        let text = format!("PUBLISH sip:a@b SIP/2.0\r\n{}\r\n\r\n", lines.join("\r\n"));
        lampwire_sip::fuzzing::message(text.as_bytes());
    }
}
