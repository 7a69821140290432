//! Numbers in headers, Event, and the tags of publications.

use crate::{Case, also, case, response, swap, taken};

pub(crate) fn cases() -> Vec<Case> {
    let cseq = |value: &str| swap("CSeq", format!("CSeq: {value}"));
    let expires = |value: &str| swap("Expires", format!("Expires: {value}"));
    let retry = |value: &str| response("SIP/2.0 503 Busy", &format!("Retry-After: {value}"));
    let event = |value: &str| swap("Event", format!("Event: {value}"));
    let bad_cseq = || taken(&[("cseq", "400 Malformed CSeq header")]);
    let bad_expires = || taken(&[("expires", "400 Malformed Expires header")]);
    let bad_retry = || taken(&[("retry_after", "400 Malformed Retry-After header")]);
    let bad_event = || taken(&[("event", "400 Malformed Event header")]);
    let bad_forwards = || taken(&[("max_forwards", "400 Malformed Max-Forwards header")]);
    vec![
        case(
            "cseq-largest",
            "RFC 3261 8.1.1.5",
            cseq("2147483647 PUBLISH"),
            taken(&[("cseq", "2147483647 PUBLISH")]),
        ),
        case(
            "cseq-zero",
            "",
            cseq("0 PUBLISH"),
            taken(&[("cseq", "0 PUBLISH")]),
        ),
        case(
            "cseq-2-31",
            "RFC 3261 8.1.1.5",
            cseq("2147483648 PUBLISH"),
            bad_cseq(),
        ),
        case("cseq-2-32", "", cseq("4294967296 PUBLISH"), bad_cseq()),
        case(
            "cseq-overflow",
            "RFC 4475 3.1.2.4",
            cseq("36893488147419103232 PUBLISH"),
            bad_cseq(),
        ),
        case("cseq-negative", "", cseq("-1 PUBLISH"), bad_cseq()),
        case("cseq-signed", "", cseq("+1 PUBLISH"), bad_cseq()),
        case("cseq-hex", "", cseq("0x1 PUBLISH"), bad_cseq()),
        case("cseq-without-blank", "", cseq("1PUBLISH"), bad_cseq()),
        case("cseq-turned-round", "", cseq("PUBLISH 1"), bad_cseq()),
        case(
            "cseq-three-words",
            "",
            cseq("1 PUBLISH PUBLISH"),
            bad_cseq(),
        ),
        case(
            "expires-zero",
            "RFC 3903 4.5",
            expires("0"),
            taken(&[("expires", "0")]),
        ),
        case(
            "expires-largest",
            "RFC 3261 20.19",
            expires("4294967295"),
            taken(&[("expires", "4294967295")]),
        ),
        case(
            "expires-overflow",
            "RFC 3261 20.19",
            expires("4294967296"),
            taken(&[("expires", "4294967295")]),
        ),
        case(
            "expires-far-overflow",
            "RFC 4475 3.1.2.4",
            expires(&"10".repeat(40)),
            taken(&[("expires", "4294967295")]),
        ),
        case(
            "expires-with-zeros",
            "",
            expires("000000000000060"),
            taken(&[("expires", "60")]),
        ),
        case("expires-negative", "", expires("-1"), bad_expires()),
        case("expires-signed", "", expires("+60"), bad_expires()),
        case("expires-word", "", expires("soon"), bad_expires()),
        case(
            "expires-date",
            "",
            expires("Thu, 01 Dec 1994 16:00:00 GMT"),
            bad_expires(),
        ),
        case("expires-fraction", "", expires("3600.5"), bad_expires()),
        case("expires-parameter", "", expires("3600;x"), bad_expires()),
        case("expires-empty", "", expires(""), bad_expires()),
        case(
            "min-expires",
            "RFC 3903 11.2.1",
            response("SIP/2.0 423 Brief", "Min-Expires: 60"),
            taken(&[("min_expires", "60")]),
        ),
        case(
            "min-expires-overflow",
            "",
            response("SIP/2.0 423 Brief", "Min-Expires: 99999999999"),
            taken(&[("min_expires", "4294967295")]),
        ),
        case(
            "min-expires-word",
            "",
            response("SIP/2.0 423 Brief", "Min-Expires: long"),
            taken(&[("min_expires", "400 Malformed Min-Expires header")]),
        ),
        case(
            "retry-after",
            "RFC 3261 20.33",
            retry("18000;duration=3600"),
            taken(&[("retry_after", "18000")]),
        ),
        case(
            "retry-after-comment",
            "RFC 3261 20.33",
            retry("120 (I'm in a meeting)"),
            taken(&[("retry_after", "120")]),
        ),
        case(
            "retry-after-nested",
            "RFC 3261 25.1",
            retry("5(a (b \\) c) \"(\" \u{fc}))  ;duration=1"),
            taken(&[("retry_after", "5")]),
        ),
        case(
            "retry-after-two-comments",
            "",
            retry("5 (a) (b)"),
            taken(&[("retry_after", "5")]),
        ),
        case(
            "retry-after-overflow",
            "",
            retry("99999999999999999999"),
            taken(&[("retry_after", "4294967295")]),
        ),
        case(
            "retry-after-comment-open",
            "",
            retry("5 (a (b)"),
            bad_retry(),
        ),
        case(
            "retry-after-too-deep",
            "",
            retry(&format!("5 {}{}", "(".repeat(200), ")".repeat(200))),
            bad_retry(),
        ),
        case("retry-after-junk", "", retry("5 seconds"), bad_retry()),
        case(
            "retry-after-date",
            "",
            retry("Thu, 01 Dec 1994 16:00:00 GMT"),
            bad_retry(),
        ),
        case("retry-after-negative", "", retry("-5"), bad_retry()),
        case("retry-after-comment-first", "", retry("(a) 5"), bad_retry()),
        case(
            "event-id",
            "RFC 6665 8.2.1",
            event("asterisk-mwi ; x=\"a;id=no\" ; id=42"),
            taken(&[("event", "asterisk-mwi"), ("event.id", "42")]),
        ),
        case(
            "event-template",
            "RFC 6665 8.2.1",
            event("asterisk-mwi.winfo"),
            taken(&[("event", "asterisk-mwi.winfo")]),
        ),
        case(
            "event-keeps-its-case",
            "",
            event("Asterisk-MWI"),
            taken(&[("event", "Asterisk-MWI")]),
        ),
        case(
            "event-missing",
            "",
            swap("Event", ""),
            taken(&[("event", "-")]),
        ),
        case("event-empty", "", event(""), bad_event()),
        case("event-quoted", "", event("\"asterisk-mwi\""), bad_event()),
        case(
            "event-list",
            "",
            event("asterisk-mwi, asterisk-devicestate"),
            bad_event(),
        ),
        case("event-parameters-only", "", event(";id=1"), bad_event()),
        case(
            "max-forwards-largest",
            "",
            swap("Max-Forwards", "Max-Forwards: 255"),
            taken(&[("max_forwards", "255")]),
        ),
        case(
            "max-forwards-missing",
            "",
            swap("Max-Forwards", ""),
            taken(&[("max_forwards", "-")]),
        ),
        case(
            "max-forwards-too-large",
            "RFC 4475 3.1.2.4",
            swap("Max-Forwards", "Max-Forwards: 256"),
            bad_forwards(),
        ),
        case(
            "max-forwards-overflow",
            "",
            swap("Max-Forwards", "Max-Forwards: 4294967366"),
            bad_forwards(),
        ),
        case(
            "max-forwards-negative",
            "",
            swap("Max-Forwards", "Max-Forwards: -1"),
            bad_forwards(),
        ),
        case(
            "max-forwards-word",
            "",
            swap("Max-Forwards", "Max-Forwards: many"),
            bad_forwards(),
        ),
        case(
            "if-match",
            "RFC 3903 11.3.2",
            also("SIP-If-Match: dx200xyz"),
            taken(&[("if_match", "dx200xyz")]),
        ),
        case(
            "if-match-empty",
            "",
            also("SIP-If-Match:"),
            taken(&[("if_match", "")]),
        ),
        case(
            "if-match-folded",
            "",
            also("sip-if-match:\r\n dx200xyz"),
            taken(&[("if_match", "dx200xyz")]),
        ),
    ]
}
