//! Where a message ends: lengths, line breaks, folds, and headers that stand twice.

use super::{
    CLOSED, Case, DROPPED, HONEST, Verdict, all, apart, attack, datagram, harmless, options,
};

pub(super) fn cases() -> Vec<Case> {
    let length = |value: &str| attack().set("Content-Length", value);
    let body_length = attack().bytes().len()
        - attack()
            .bytes()
            .windows(4)
            .position(|it| it == b"\r\n\r\n")
            .unwrap()
        - 4;
    let whole = attack().bytes();
    let head_end = whole.len() - body_length;
    let mut cases = vec![
        apart("length-negative", "no length", length("-1"), 400, CLOSED),
        apart(
            "length-signed",
            "no length",
            length(&format!("+{body_length}")),
            400,
            CLOSED,
        ),
        apart(
            "length-hexadecimal",
            "no length",
            length("0x10"),
            400,
            CLOSED,
        ),
        apart("length-fraction", "no length", length("98.0"), 400, CLOSED),
        apart("length-exponent", "no length", length("1e2"), 400, CLOSED),
        apart("length-word", "no length", length("long"), 400, CLOSED),
        apart("length-empty", "no length", length(""), 400, CLOSED),
        apart(
            "length-list",
            "two readers take it for two lengths",
            length(&format!("0, {body_length}")),
            400,
            CLOSED,
        ),
        apart(
            "length-parameter",
            "no length",
            length("0;x=1"),
            400,
            CLOSED,
        ),
        apart(
            "length-in-other-digits",
            "digits that are not ASCII",
            length("\u{661}\u{662}"),
            400,
            CLOSED,
        ),
        apart(
            "length-with-form-feed",
            "no blank",
            length(&format!("{body_length}\x0c")),
            400,
            CLOSED,
        ),
        apart(
            "length-one-too-large",
            "the body is not all there",
            length(&(body_length + 1).to_string()),
            400,
            Verdict::Waits,
        ),
        apart(
            "length-one-too-small",
            "what is behind it is cut off, and is no message",
            length(&(body_length - 1).to_string()),
            400,
            Verdict::Closed(vec![400]),
        ),
        apart(
            "length-2-32",
            "must not wrap",
            length(&(4_294_967_296 + body_length as u64).to_string()),
            400,
            Verdict::Closed(vec![413]),
        ),
        apart(
            "length-2-64",
            "must not wrap",
            length("18446744073709551616"),
            400,
            Verdict::Closed(vec![413]),
        ),
        apart(
            "length-of-forty-digits",
            "must not wrap",
            length(&"9".repeat(40)),
            400,
            Verdict::Closed(vec![413]),
        ),
        all(
            "length-with-zeros",
            "a number with zeros before it",
            harmless().set("Content-Length", format!("{:020}", harmless_length())),
            200,
        ),
        all(
            "length-with-blank-before-colon",
            "the same header",
            harmless()
                .without("Content-Length")
                .also(format!("Content-Length : {}", harmless_length())),
            200,
        ),
        all(
            "length-with-tab-before-colon",
            "the same header",
            harmless()
                .without("Content-Length")
                .also(format!("cOnTeNt-LeNgTh\t:{}", harmless_length())),
            200,
        ),
        all(
            "length-folded",
            "the same header",
            harmless()
                .without("Content-Length")
                .also(format!("l:\r\n {}", harmless_length())),
            200,
        ),
        all(
            "length-twice-alike",
            "says one thing",
            harmless().also(format!("l: {}", harmless_length())),
            200,
        ),
        apart(
            "length-twice",
            "the body of one reader is a request to another",
            attack().also("Content-Length: 0"),
            400,
            CLOSED,
        ),
        apart(
            "length-twice-with-blank",
            "hidden from those who look for the colon",
            attack().first("Content-Length : 0"),
            400,
            CLOSED,
        ),
        apart(
            "length-twice-compact",
            "hidden from those who look for the long name",
            attack().first("l: 0"),
            400,
            CLOSED,
        ),
        apart(
            "length-in-two-lines",
            "one number or two?",
            length("1\r\n 2"),
            400,
            CLOSED,
        ),
        apart(
            "length-missing",
            "a datagram ends it, a stream does not",
            harmless().without("Content-Length"),
            200,
            CLOSED,
        ),
        all(
            "length-named-otherwise",
            "is another header",
            harmless()
                .also("Content_Length: 0")
                .also("X-Content-Length: 1"),
            200,
        ),
        all(
            "transfer-encoding-chunked",
            "is nothing in SIP",
            harmless().also("Transfer-Encoding: chunked"),
            200,
        ),
        all(
            "request-in-a-body",
            "a body is not read as a request",
            options().body(attack().bytes()),
            200,
        ),
        datagram(
            "request-behind-a-request",
            "what is behind the length is cut off",
            [options().bytes(), attack().bytes()].concat(),
            200,
        ),
        apart(
            "feeds-for-breaks",
            "no line ends",
            attack().replace("\r\n", "\n"),
            400,
            CLOSED,
        ),
        apart(
            "returns-for-breaks",
            "no line ends",
            attack().replace("\r\n", "\r"),
            DROPPED,
            CLOSED,
        ),
        apart(
            "one-bare-feed",
            "a line for some readers",
            attack().also("X: a\nContent-Length: 0"),
            400,
            CLOSED,
        ),
        apart(
            "one-bare-return",
            "a line for some readers",
            attack().also("X: a\rContent-Length: 0"),
            400,
            CLOSED,
        ),
        apart(
            "return-twice",
            "a line for some readers",
            attack().also("X: a\r"),
            400,
            CLOSED,
        ),
        apart(
            "blank-line-of-a-bare-feed",
            "the end of the headers for some readers",
            attack().also("X: a\r\n\nY: b"),
            400,
            CLOSED,
        ),
        apart(
            "blank-line-of-two-feeds",
            "the end of the headers for some readers",
            attack().replace("\r\n\r\n", "\n\n"),
            400,
            CLOSED,
        ),
        apart(
            "nul-in-a-value",
            "the end of the text for some readers",
            attack().also("X: a\0b"),
            400,
            CLOSED,
        ),
        apart(
            "nul-in-a-name",
            "the end of the text for some readers",
            attack().also("X\0Y: a"),
            400,
            CLOSED,
        ),
        apart(
            "nul-in-call-id",
            "the end of the text for some readers",
            attack().set("Call-ID", "a\0b"),
            400,
            CLOSED,
        ),
        all(
            "line-without-colon",
            "no header",
            attack().also("This is no header"),
            400,
        ),
        all("name-empty", "no header", attack().also(": value"), 400),
        all(
            "name-with-blank",
            "no header",
            attack().also("Content Length: 0"),
            400,
        ),
        all(
            "name-not-ascii",
            "no header",
            attack().also("L\u{e4}nge: 5"),
            400,
        ),
        all(
            "name-with-vertical-tab",
            "no header",
            attack().also("Content-Length\x0b: 0"),
            400,
        ),
        all(
            "name-of-5000-letters",
            "a header that nobody knows",
            harmless().also(format!("{}: 1", "X".repeat(5000))),
            200,
        ),
        all(
            "first-header-folded",
            "goes on with nothing",
            attack().first(" folded"),
            400,
        ),
        all(
            "fold-of-blanks",
            "a blank line for some readers",
            harmless().set("Subject", "a\r\n \t \r\n b"),
            200,
        ),
        apart(
            "headers-without-end",
            "the blank line is missing",
            whole[..head_end - 2].to_vec(),
            400,
            Verdict::Waits,
        ),
        apart(
            "cut-within-a-header",
            "the rest is missing",
            whole[..150].to_vec(),
            400,
            Verdict::Waits,
        ),
        all(
            "headers-by-the-hundred",
            "more than a message may have",
            attack().also(vec!["X: y"; 100].join("\r\n")),
            400,
        ),
        apart(
            "headers-by-the-ten-thousand",
            "more than a message may have",
            attack().also(vec!["X:"; 10_000].join("\r\n")),
            400,
            CLOSED,
        ),
        all(
            "header-of-9000",
            "longer than a header may be",
            attack().also(format!("X: {}", "y".repeat(9000))),
            400,
        ),
        all(
            "header-of-9000-by-folds",
            "longer than a header may be",
            attack().also(format!("X: y{}", "\r\n folded".repeat(1000))),
            400,
        ),
        datagram(
            "datagram-of-65507",
            "as long as a datagram can be, in one header",
            longest(),
            400,
        ),
        all(
            "header-not-utf8-unknown",
            "nobody reads it",
            harmless().also(b"X: \xff\xfe"),
            200,
        ),
    ];
    for (name, header) in [
        ("via-not-utf8", "Via"),
        ("from-not-utf8", "From"),
        ("call-id-not-utf8", "Call-ID"),
        ("event-not-utf8", "Event"),
        ("expires-not-utf8", "Expires"),
    ] {
        cases.push(all(
            name,
            "no text",
            attack().set(header, b"\xff\xfe\xc3("),
            400,
        ));
    }
    // Each header that stands once, twice.
    for (name, line) in [
        ("from-twice", "f: <sip:honest@127.0.0.1>;tag=1"),
        ("to-twice", "t: <sip:honest@127.0.0.1>"),
        ("call-id-twice", "i : another"),
        ("cseq-twice", "CSEQ: 2 PUBLISH"),
        ("max-forwards-twice", "Max-Forwards : 0"),
        ("event-twice", "o: asterisk-mwi"),
        ("content-type-twice", "c: text/plain"),
    ] {
        cases.push(all(
            name,
            "two readers take it for two requests",
            attack().also(line),
            400,
        ));
    }
    for (name, one, two) in [
        ("expires-twice", "Expires: 0", "Expires: 3600"),
        ("if-match-twice", "SIP-If-Match: 1", "SIP-If-Match: 2"),
    ] {
        cases.push(all(
            name,
            "two readers take it for two requests",
            attack().also(one).also(two),
            400,
        ));
    }
    cases
}

fn harmless_length() -> usize {
    format!(r#"{{"type":"refresh","eid":"{HONEST}"}}"#).len()
}

/// A datagram of 65,507 bytes. Nothing in it is filled in, which would change its length.
fn longest() -> Vec<u8> {
    let head = "PUBLISH sip:instance1@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKlongest\r\n\
                From: <sip:instance1@127.0.0.1>;tag=1\r\nTo: <sip:instance1@127.0.0.1>\r\nCall-ID: longest\r\nCSeq: 1 PUBLISH\r\n\
                Event: asterisk-devicestate\r\nContent-Length: 0\r\nX: ";
    let padding = "y".repeat(65_507 - head.len() - 4);
    format!("{head}{padding}\r\n\r\n").into_bytes()
}
