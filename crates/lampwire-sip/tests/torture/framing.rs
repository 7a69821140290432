//! Header lines, duplicates, lengths, line breaks: where one message could be taken for two.

use lampwire_sip::{Defect, HeaderName, ParseError, limits};

use crate::{BASE, Case, Verdict, also, case, defect, dropped, first, malformed, swap, taken};

pub(crate) fn cases() -> Vec<Case> {
    let length = |line: &str| swap("Content-Length", line);
    let bad_length = || malformed(HeaderName::ContentLength);
    let mut cases = vec![
        case(
            "content-length-negative",
            "RFC 4475 3.1.2.3",
            length("Content-Length: -999"),
            bad_length(),
        ),
        case(
            "content-length-plus",
            "",
            length("Content-Length: +2"),
            bad_length(),
        ),
        case(
            "content-length-hex",
            "",
            length("Content-Length: 0x2"),
            bad_length(),
        ),
        case(
            "content-length-fraction",
            "",
            length("Content-Length: 2.0"),
            bad_length(),
        ),
        case(
            "content-length-word",
            "",
            length("Content-Length: two"),
            bad_length(),
        ),
        case(
            "content-length-list",
            "",
            length("Content-Length: 2, 2"),
            bad_length(),
        ),
        case(
            "content-length-empty",
            "",
            length("Content-Length:"),
            bad_length(),
        ),
        case(
            "content-length-inner-blank",
            "",
            length("Content-Length: 1 2"),
            bad_length(),
        ),
        case(
            "content-length-inner-fold",
            "",
            length("Content-Length: 1\r\n 2"),
            bad_length(),
        ),
        case(
            "content-length-form-feed",
            "",
            length("Content-Length: 2\x0c"),
            bad_length(),
        ),
        case(
            "content-length-other-digits",
            "",
            length("Content-Length: ２"),
            bad_length(),
        ),
        case(
            "content-length-not-utf8",
            "",
            swap("Content-Length", b"Content-Length: 2\xff"),
            defect(Defect::NotUtf8(HeaderName::ContentLength)),
        ),
        case(
            "content-length-space-colon-negative",
            "",
            length("Content-Length : -1"),
            bad_length(),
        ),
        case(
            "content-length-too-large",
            "RFC 4475 3.1.2.2",
            length("Content-Length: 9999"),
            defect(Defect::BodyTooShort),
        ),
        case(
            "content-length-one-too-large",
            "",
            length("Content-Length: 3"),
            defect(Defect::BodyTooShort),
        ),
        case(
            "content-length-2-32",
            "",
            length("Content-Length: 4294967298"),
            defect(Defect::BodyTooShort),
        ),
        case(
            "content-length-2-64",
            "",
            length("Content-Length: 18446744073709551615"),
            defect(Defect::BodyTooShort),
        ),
        case(
            "content-length-beyond-2-64",
            "",
            length("Content-Length: 18446744073709551618"),
            defect(Defect::BodyTooShort),
        ),
        case(
            "content-length-of-forty-digits",
            "",
            length(&format!("l: {}", "9".repeat(40))),
            defect(Defect::BodyTooShort),
        ),
        case(
            "content-length-twice-equal",
            "",
            also("Content-Length: 2"),
            taken(&[("body", "{}")]),
        ),
        case(
            "content-length-twice-equal-compact",
            "",
            also("l:2"),
            taken(&[("body", "{}")]),
        ),
        case(
            "content-length-twice",
            "RFC 4475 3.3.10",
            also("Content-Length: 1"),
            defect(Defect::Duplicate(HeaderName::ContentLength)),
        ),
        case(
            "content-length-twice-spelled-otherwise",
            "",
            also("l : 1"),
            defect(Defect::Duplicate(HeaderName::ContentLength)),
        ),
        case(
            "body-too-long",
            "",
            {
                let body = "x".repeat(limits::MAX_BODY + 1);
                [
                    length(&format!("Content-Length: {}", body.len() + 2)),
                    body.into_bytes(),
                ]
                .concat()
            },
            Verdict::Defect(Defect::BodyTooLong, 413),
        ),
        case(
            "body-as-long-as-can-be",
            "",
            {
                let body = "x".repeat(limits::MAX_BODY - 2);
                [
                    length(&format!("Content-Length: {}", limits::MAX_BODY)),
                    body.into_bytes(),
                ]
                .concat()
            },
            taken(&[("from.tag", "f1")]),
        ),
        case(
            "body-too-long-without-length",
            "",
            [length(""), "x".repeat(limits::MAX_BODY).into_bytes()].concat(),
            Verdict::Defect(Defect::BodyTooLong, 413),
        ),
        case(
            "message-too-long",
            "",
            [length(""), vec![b'x'; limits::MAX_MESSAGE]].concat(),
            dropped(ParseError::TooLarge),
        ),
        case(
            "bare-line-feeds",
            "",
            BASE.replace("\r\n", "\n"),
            defect(Defect::ControlCharacter),
        ),
        case(
            "one-bare-line-feed",
            "",
            BASE.replacen("PUBLISH\r\n", "PUBLISH\n", 1),
            defect(Defect::ControlCharacter),
        ),
        case(
            "bare-line-feed-hides-a-header",
            "",
            also("X: a\nl: 0"),
            defect(Defect::ControlCharacter),
        ),
        case(
            "bare-carriage-return",
            "",
            also("X: a\rl: 0"),
            defect(Defect::ControlCharacter),
        ),
        case(
            "bare-carriage-returns-for-breaks",
            "",
            BASE.replace("\r\n", "\r"),
            dropped(ParseError::NotSip),
        ),
        case(
            "carriage-return-twice",
            "",
            BASE.replacen("70\r\n", "70\r\r\n", 1),
            defect(Defect::ControlCharacter),
        ),
        case(
            "nul-in-a-value",
            "",
            also("X: a\0b"),
            defect(Defect::ControlCharacter),
        ),
        case(
            "nul-in-call-id",
            "",
            swap("Call-ID", "Call-ID: a\0b"),
            defect(Defect::ControlCharacter),
        ),
        case(
            "blank-line-hidden-by-a-bare-feed",
            "",
            also("X: a\r\n\nl: 0"),
            defect(Defect::ControlCharacter),
        ),
        case(
            "fold-behind-what-is-no-header",
            "RFC 3261 7.3.1",
            also("This is no header\r\n and its fold is nothing of Content-Length"),
            defect(Defect::HeaderLine),
        ),
        case(
            "nul-in-quotes",
            "RFC 4475 3.1.1.2",
            swap("To", "To: \"NUL:\\\0\" <sip:a@b>"),
            defect(Defect::ControlCharacter),
        ),
        case(
            "nul-in-a-name",
            "",
            also("X\0: a"),
            defect(Defect::ControlCharacter),
        ),
        case(
            "blank-line-of-a-bare-feed",
            "",
            BASE.replace("\r\n\r\n", "\r\n\n"),
            defect(Defect::ControlCharacter),
        ),
        case(
            "no-colon",
            "",
            also("This is no header"),
            defect(Defect::HeaderLine),
        ),
        case(
            "name-empty",
            "",
            also(": value"),
            defect(Defect::HeaderLine),
        ),
        case(
            "name-of-blanks",
            "",
            swap("Via", "Via: SIP/2.0/UDP h\r\n\u{a0}: x"),
            defect(Defect::HeaderLine),
        ),
        case(
            "name-with-blank",
            "",
            also("Content Length: 5"),
            defect(Defect::HeaderLine),
        ),
        case(
            "name-with-form-feed",
            "",
            also("X\x0c: 5"),
            defect(Defect::HeaderLine),
        ),
        case(
            "name-with-brackets",
            "",
            also("X<y>: 5"),
            defect(Defect::HeaderLine),
        ),
        case(
            "name-not-ascii",
            "",
            also("Größe: 5"),
            defect(Defect::HeaderLine),
        ),
        case(
            "first-header-folded",
            "",
            first("PUBLISH sip:a@b SIP/2.0\r\n ;folded"),
            defect(Defect::Fold),
        ),
        case(
            "no-blank-line",
            "",
            &BASE[..BASE.find("\r\n{}").unwrap()],
            defect(Defect::NoEndOfHeaders),
        ),
        case(
            "cut-within-a-header",
            "",
            &BASE[..200],
            defect(Defect::NoEndOfHeaders),
        ),
        case(
            "start-line-only",
            "",
            "PUBLISH sip:a@b SIP/2.0\r\n",
            defect(Defect::NoEndOfHeaders),
        ),
        case(
            "start-line-without-break",
            "",
            "PUBLISH sip:a@b SIP/2.0",
            defect(Defect::NoEndOfHeaders),
        ),
        case(
            "no-headers",
            "",
            "PUBLISH sip:a@b SIP/2.0\r\n\r\n",
            taken(&[
                ("via", "400 Missing Via header"),
                ("from", "400 Missing From header"),
                ("to", "400 Missing To header"),
                ("call_id", "400 Missing Call-ID header"),
                ("cseq", "400 Missing CSeq header"),
                ("event", "-"),
                ("expires", "-"),
            ]),
        ),
        case(
            "header-too-long",
            "",
            also(format!("X: {}", "y".repeat(limits::MAX_HEADER_LINE))),
            defect(Defect::HeaderTooLong),
        ),
        case(
            "header-too-long-by-folds",
            "",
            also(format!("X: y{}", "\r\n folded".repeat(1000))),
            defect(Defect::HeaderTooLong),
        ),
        case(
            "headers-too-many",
            "",
            also(vec!["X: y"; 55].join("\r\n")),
            defect(Defect::TooManyHeaders),
        ),
        case(
            "headers-by-the-thousand",
            "",
            also("X:\r\n".repeat(10_000).trim_end()),
            defect(Defect::TooManyHeaders),
        ),
        case(
            "missing-required-headers",
            "RFC 4475 3.3.1",
            "PUBLISH sip:a@b SIP/2.0\r\nCSeq: 193942 PUBLISH\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nl: 0\r\n\r\n",
            taken(&[
                ("cseq", "193942 PUBLISH"),
                ("call_id", "400 Missing Call-ID header"),
                ("from", "400 Missing From header"),
            ]),
        ),
    ];
    for name in [
        HeaderName::Via,
        HeaderName::From,
        HeaderName::CallId,
        HeaderName::Event,
        HeaderName::Expires,
        HeaderName::UserAgent,
    ] {
        let names = [
            "via-not-utf8",
            "from-not-utf8",
            "call-id-not-utf8",
            "event-not-utf8",
            "expires-not-utf8",
            "user-agent-not-utf8",
        ];
        let known = names
            .iter()
            .find(|known| known.starts_with(&name.as_str().to_ascii_lowercase()))
            .unwrap();
        let line = [name.as_str().as_bytes(), b": \xff\xfe"].concat();
        let bytes = if name == HeaderName::UserAgent {
            also(line)
        } else {
            swap(name.as_str(), line)
        };
        cases.push(case(known, "", bytes, defect(Defect::NotUtf8(name))));
    }
    // Each header that stands once, twice: two readers could take one message for two.
    for (name, one, other, equal, differs) in [
        (
            HeaderName::From,
            "<sip:a@b>;tag=1",
            "<sip:c@d>;tag=1",
            "from-twice-equal",
            "from-twice",
        ),
        (
            HeaderName::To,
            "<sip:a@b>",
            "<sip:c@d>",
            "to-twice-equal",
            "to-twice",
        ),
        (
            HeaderName::CallId,
            "a",
            "A",
            "call-id-twice-equal",
            "call-id-twice",
        ),
        (
            HeaderName::CSeq,
            "1 PUBLISH",
            "2 PUBLISH",
            "c-seq-twice-equal",
            "c-seq-twice",
        ),
        (
            HeaderName::MaxForwards,
            "1",
            "2",
            "max-forwards-twice-equal",
            "max-forwards-twice",
        ),
        (
            HeaderName::Event,
            "asterisk-mwi",
            "asterisk-devicestate",
            "event-twice-equal",
            "event-twice",
        ),
        (
            HeaderName::SipETag,
            "1",
            "2",
            "sip-etag-twice-equal",
            "sip-etag-twice",
        ),
        (
            HeaderName::SipIfMatch,
            "1",
            "2",
            "sip-if-match-twice-equal",
            "sip-if-match-twice",
        ),
        (
            HeaderName::Expires,
            "0",
            "3600",
            "expires-twice-equal",
            "expires-twice",
        ),
        (
            HeaderName::MinExpires,
            "1",
            "2",
            "min-expires-twice-equal",
            "min-expires-twice",
        ),
        (
            HeaderName::RetryAfter,
            "1",
            "2",
            "retry-after-twice-equal",
            "retry-after-twice",
        ),
        (
            HeaderName::ContentType,
            "application/json",
            "text/plain",
            "content-type-twice-equal",
            "content-type-twice",
        ),
    ] {
        let with = |value: &str| {
            let long = name.as_str();
            let short = name.compact().unwrap_or(long);
            let lines = format!("{long}: {one}\r\n{short}  : {value}");
            if BASE.contains(&format!("\r\n{long}:")) {
                swap(&format!("{long}:"), lines)
            } else {
                also(lines)
            }
        };
        cases.push(case(
            equal,
            "",
            with(one),
            taken(&[("via.branch", "z9hG4bKbase"), ("body", "{}")]),
        ));
        cases.push(case(
            differs,
            "RFC 4475 3.3.9",
            with(other),
            defect(Defect::Duplicate(name)),
        ));
    }
    cases
}
