//! First lines of requests and responses.

use lampwire_sip::{Defect, HeaderName, ParseError};

use crate::{Case, Verdict, case, defect, dropped, first, response, swap, taken};

pub(crate) fn cases() -> Vec<Case> {
    let not_sip = || dropped(ParseError::NotSip);
    let version = || Verdict::Defect(Defect::Version, 505);
    let line = |text: &str| first(text);
    vec![
        case("keep-alive", "", "\r\n\r\n", dropped(ParseError::KeepAlive)),
        case("empty", "", "", dropped(ParseError::KeepAlive)),
        case(
            "not-sip",
            "",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            not_sip(),
        ),
        case(
            "http-version",
            "",
            line("PUBLISH sip:a@b HTTP/1.1"),
            not_sip(),
        ),
        case("one-word", "", line("PUBLISH"), not_sip()),
        case("no-version", "", line("PUBLISH sip:a@b"), not_sip()),
        case(
            "binary",
            "",
            [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
            not_sip(),
        ),
        case(
            "version-7",
            "RFC 4475 3.1.2.16",
            line("PUBLISH sip:a@b SIP/7.0"),
            version(),
        ),
        case("version-3", "", line("PUBLISH sip:a@b SIP/3.0"), version()),
        case(
            "version-2-00",
            "RFC 3261 7.1",
            line("PUBLISH sip:a@b SIP/2.00"),
            version(),
        ),
        case(
            "version-2-1",
            "",
            line("PUBLISH sip:a@b SIP/2.1"),
            version(),
        ),
        case(
            "version-none",
            "",
            line("PUBLISH sip:a@b SIP/"),
            defect(Defect::StartLine),
        ),
        case(
            "version-word",
            "",
            line("PUBLISH sip:a@b SIP/two"),
            defect(Defect::StartLine),
        ),
        case(
            "version-any-case",
            "RFC 3261 7.1",
            line("PUBLISH sip:a@b sIp/2.0"),
            taken(&[("uri", "sip:a@b")]),
        ),
        case(
            "method-lower-case",
            "RFC 3261 7.1",
            line("publish sip:a@b SIP/2.0"),
            defect(Defect::MethodOfCSeq),
        ),
        case(
            "method-illegal-character",
            "",
            line("PUB(LISH sip:a@b SIP/2.0"),
            not_sip(),
        ),
        case("method-empty", "", line(" sip:a@b SIP/2.0"), not_sip()),
        case(
            "blanks-between",
            "RFC 4475 3.1.2.9",
            line("PUBLISH  sip:a@b  SIP/2.0"),
            defect(Defect::StartLine),
        ),
        case(
            "blanks-behind",
            "RFC 4475 3.1.2.10",
            line("PUBLISH sip:a@b SIP/2.0  "),
            defect(Defect::StartLine),
        ),
        case(
            "tab-between",
            "",
            line("PUBLISH\tsip:a@b\tSIP/2.0"),
            not_sip(),
        ),
        case(
            "blank-in-uri",
            "RFC 4475 3.1.2.8",
            line("PUBLISH sip:a@b; lr SIP/2.0"),
            defect(Defect::StartLine),
        ),
        case(
            "no-uri",
            "",
            line("PUBLISH  SIP/2.0"),
            defect(Defect::StartLine),
        ),
        case(
            "uri-not-utf8",
            "",
            first(b"PUBLISH sip:\xff@b SIP/2.0"),
            not_sip(),
        ),
        case(
            "uri-in-brackets",
            "RFC 4475 3.1.2.7",
            line("PUBLISH <sip:a@b> SIP/2.0"),
            taken(&[(
                "uri.host",
                "400 the URI has a character that must be escaped",
            )]),
        ),
        case(
            "uri-too-long",
            "",
            line(&format!("PUBLISH sip:{}@b SIP/2.0", "a".repeat(2048))),
            taken(&[("uri.host", "400 the URI is too long")]),
        ),
        case(
            "uri-as-long-as-can-be",
            "",
            line(&format!("PUBLISH sip:{}@b SIP/2.0", "a".repeat(2042))),
            taken(&[("uri.host", "b")]),
        ),
        case(
            "start-line-too-long",
            "",
            line(&format!("PUBLISH sip:{}@b SIP/2.0", "a".repeat(4096))),
            defect(Defect::StartLine),
        ),
        case(
            "nul-in-start-line",
            "",
            first(b"PUBLISH sip:a\0@b SIP/2.0"),
            defect(Defect::ControlCharacter),
        ),
        case(
            "cr-in-start-line",
            "",
            first(b"PUBLISH sip:a@b SIP/2.0\r"),
            defect(Defect::ControlCharacter),
        ),
        case(
            "uri-scheme-unknown",
            "RFC 4475 3.3.2",
            line("PUBLISH nobodyknows:what@b SIP/2.0"),
            taken(&[("uri.scheme", "nobodyknows"), ("uri.user", "what@b")]),
        ),
        case(
            "uri-scheme-atypical",
            "RFC 4475 3.3.3",
            line("PUBLISH soap.beep://192.0.2.103:3002 SIP/2.0"),
            taken(&[("uri.scheme", "soap.beep")]),
        ),
        case(
            "uri-scheme-missing",
            "",
            line("PUBLISH instance1 SIP/2.0"),
            taken(&[("uri.scheme", "400 the URI has no scheme")]),
        ),
        case(
            "uri-with-headers",
            "RFC 4475 3.1.2.11",
            line("PUBLISH sip:a@b?Route=%3Csip:c%3E SIP/2.0"),
            taken(&[("uri.host", "b"), ("uri.headers", "Route=%3Csip:c%3E")]),
        ),
        case(
            "method-unknown",
            "RFC 4475 3.1.2.18",
            line("NEWMETHOD sip:a@b SIP/2.0"),
            defect(Defect::MethodOfCSeq),
        ),
        case(
            "method-of-cseq-differs",
            "RFC 4475 3.1.2.17",
            swap("CSeq", "CSeq: 8 NOTIFY"),
            defect(Defect::MethodOfCSeq),
        ),
        case(
            "method-of-cseq-in-another-case",
            "",
            swap("CSeq", "CSeq: 8 Publish"),
            defect(Defect::MethodOfCSeq),
        ),
        case(
            "response",
            "",
            response("SIP/2.0 200 OK", "SIP-ETag: 6"),
            taken(&[
                ("status", "200"),
                ("reason", "OK"),
                ("etag", "6"),
                ("via.rport", "5060"),
                ("to.tag", "t1"),
            ]),
        ),
        case(
            "response-reason-unusual",
            "RFC 4475 3.1.1.12",
            response("SIP/2.0 200 = 2**3 * 5**2 сто девяносто", ""),
            taken(&[("reason", "= 2**3 * 5**2 сто девяносто")]),
        ),
        case(
            "response-reason-empty",
            "RFC 4475 3.1.1.13",
            response("SIP/2.0 100 ", ""),
            taken(&[("status", "100"), ("reason", "")]),
        ),
        case(
            "response-reason-missing",
            "",
            response("SIP/2.0 100", ""),
            taken(&[("status", "100"), ("reason", "")]),
        ),
        case(
            "response-699",
            "",
            response("SIP/2.0 699 Last", ""),
            taken(&[("status", "699")]),
        ),
        case("response-99", "", response("SIP/2.0 99 Low", ""), not_sip()),
        case(
            "response-099",
            "",
            response("SIP/2.0 099 Low", ""),
            not_sip(),
        ),
        case(
            "response-700",
            "",
            response("SIP/2.0 700 High", ""),
            not_sip(),
        ),
        case(
            "response-20",
            "",
            response("SIP/2.0 20 Short", ""),
            not_sip(),
        ),
        case(
            "response-2000",
            "",
            response("SIP/2.0 2000 Long", ""),
            not_sip(),
        ),
        case(
            "response-status-huge",
            "RFC 4475 3.1.2.19",
            response("SIP/2.0 4294967301 better not break", ""),
            not_sip(),
        ),
        case(
            "response-status-signed",
            "",
            response("SIP/2.0 +20 Plus", ""),
            not_sip(),
        ),
        case(
            "response-status-word",
            "",
            response("SIP/2.0 two OK", ""),
            not_sip(),
        ),
        case(
            "response-blanks",
            "",
            response("SIP/2.0  200 OK", ""),
            not_sip(),
        ),
        case(
            "response-version-3",
            "",
            response("SIP/3.0 200 OK", ""),
            not_sip(),
        ),
        case(
            "response-cseq-of-any-method",
            "",
            response("SIP/2.0 481 Gone", "Server: x"),
            taken(&[("cseq", "7 PUBLISH")]),
        ),
        case(
            "version-of-via-differs",
            "",
            swap("Via", "Via: SIP/3.0/UDP 192.0.2.1;branch=z9hG4bK1"),
            taken(&[("via", "400 Malformed Via header")]),
        ),
        case(
            "method-missing-in-cseq",
            "",
            swap("CSeq", "CSeq: 7"),
            taken(&[("cseq", "400 Malformed CSeq header")]),
        ),
        case(
            "cseq-missing",
            "RFC 4475 3.3.1",
            swap("CSeq", ""),
            taken(&[("cseq", "400 Missing CSeq header")]),
        ),
        case(
            "two-messages-in-one",
            "",
            [
                first("PUBLISH sip:a@b SIP/2.0"),
                response("SIP/2.0 200 OK", ""),
            ]
            .concat(),
            taken(&[("body", "{}")]),
        ),
        case(
            "cseq-twice",
            "RFC 4475 3.3.9",
            swap("CSeq", "CSeq: 7 PUBLISH\r\nCSeq: 8 PUBLISH"),
            defect(Defect::Duplicate(HeaderName::CSeq)),
        ),
    ]
}
