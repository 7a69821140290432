//! What an answer repeats, and whether it can be made to say more: no answer has a header that the program did not write itself.

use super::{CLOSED, Case, all, apart, attack, harmless};

pub(super) fn cases() -> Vec<Case> {
    let bad = |name: &str, value: &str| attack().set(name, value);
    let fine = |name: &str, value: &str| harmless().set(name, value);
    let uri = |uri: &str| attack().start(format!("PUBLISH {uri} SIP/2.0"));
    vec![
        all(
            "split-resource",
            "a line break in a name is part of the name",
            uri("sip:instance1%0d%0aX-Injected:%20yes@127.0.0.1"),
            404,
        ),
        all(
            "split-resource-and-body",
            "a line break in a name is part of the name",
            uri("sip:%0d%0a%0d%0aSIP%2f2.0%20200%20OK@127.0.0.1"),
            404,
        ),
        all(
            "split-resource-by-unicode",
            "a line separator is no line break",
            uri("sip:instance1\u{2028}X-Injected@127.0.0.1"),
            400,
        ),
        all(
            "split-via-by-fold",
            "a fold is a blank",
            fine(
                "Via",
                "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK@UNIQUE@;x=\r\n X-Injected: yes",
            ),
            200,
        ),
        all(
            "split-via-second",
            "a second Via is repeated as it is, but for its line breaks",
            fine(
                "Via",
                "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK@UNIQUE@,\r\n\tX-Injected: yes",
            ),
            200,
        ),
        all(
            "split-via-malformed",
            "is repeated without its line breaks",
            bad("Via", "garbage\r\n X-Injected: yes"),
            400,
        ),
        all(
            "split-from-by-fold",
            "a fold is a blank",
            fine(
                "From",
                "\"a\r\n X-Injected: yes\" <sip:instance1@127.0.0.1>;tag=1",
            ),
            200,
        ),
        all(
            "split-from-malformed",
            "is repeated without its line breaks",
            bad("From", "a b c\r\n X-Injected: yes"),
            400,
        ),
        all(
            "split-from-encoded",
            "an escape stays an escape",
            fine(
                "From",
                "<sip:instance1%0d%0aX-Injected:%20yes@127.0.0.1>;tag=1",
            ),
            200,
        ),
        all(
            "split-from-tag",
            "an escape stays an escape",
            fine("From", "<sip:instance1@127.0.0.1>;tag=1%0d%0aX-Injected"),
            200,
        ),
        all(
            "split-to-by-fold",
            "a fold is a blank",
            fine(
                "To",
                "<sip:instance1@127.0.0.1>\r\n ;x=\"\r\n X-Injected: yes\"",
            ),
            200,
        ),
        all(
            "split-to-malformed",
            "is repeated without its line breaks",
            bad("To", "<\r\n X-Injected: yes"),
            400,
        ),
        all(
            "split-call-id-by-fold",
            "a Call-ID has no blanks",
            bad("Call-ID", "a\r\n X-Injected: yes"),
            400,
        ),
        all(
            "split-call-id-encoded",
            "an escape stays an escape",
            fine("Call-ID", "a%0d%0aX-Injected:%20yes"),
            200,
        ),
        all(
            "split-cseq-by-fold",
            "a fold is a blank",
            fine("CSeq", "1\r\n\tPUBLISH"),
            200,
        ),
        all(
            "split-cseq-malformed",
            "is repeated without its line breaks",
            bad("CSeq", "1 PUBLISH\r\n X-Injected: yes"),
            400,
        ),
        all(
            "split-require",
            "is repeated without its line breaks",
            bad("Require", "a\r\n X-Injected: yes,\r\n b"),
            420,
        ),
        apart(
            "split-from-by-return",
            "a bare line break ends it all",
            bad("From", "<sip:instance1@127.0.0.1>;tag=x\rX-Injected: yes"),
            400,
            CLOSED,
        ),
        apart(
            "split-via-by-feed",
            "a bare line break ends it all",
            bad(
                "Via",
                "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\nX-Injected: yes",
            ),
            400,
            CLOSED,
        ),
        apart(
            "split-call-id-by-return",
            "a bare line break ends it all",
            bad("Call-ID", "x\rX-Injected: yes"),
            400,
            CLOSED,
        ),
        apart(
            "split-cseq-by-feed",
            "a bare line break ends it all",
            bad("CSeq", "1 PUBLISH\nX-Injected: yes"),
            400,
            CLOSED,
        ),
        apart(
            "split-to-by-nul",
            "a NUL ends it all",
            bad("To", "<sip:instance1@127.0.0.1>\0X-Injected: yes"),
            400,
            CLOSED,
        ),
        all(
            "split-by-next-line",
            "U+0085 is no line break",
            fine("Subject", "a\u{85}X-Injected: yes"),
            200,
        ),
        all(
            "split-by-vertical-tab",
            "a control character in a Call-ID",
            bad("Call-ID", "a\x0bX-Injected:yes"),
            400,
        ),
        all(
            "split-event",
            "an event of nobody",
            bad("Event", "a%0d%0aX-Injected"),
            489,
        ),
        all(
            "split-tag",
            "no tag of ours",
            bad("SIP-If-Match", "a\r\n X-Injected: yes"),
            412,
        ),
        all(
            "log-call-id",
            "would colour an operator's terminal",
            bad("Call-ID", "\x1b[2J"),
            400,
        ),
        all(
            "log-event",
            "would colour an operator's terminal",
            bad("Event", "\x1b[2J"),
            489,
        ),
        all(
            "log-require",
            "would colour an operator's terminal",
            bad("Require", "\x1b[2J\x07"),
            420,
        ),
        all(
            "log-content-type",
            "would colour an operator's terminal",
            bad("Content-Type", "\x1b/\x1b"),
            400,
        ),
        all(
            "log-lines",
            "would look like lines of the log",
            bad(
                "Require",
                "x\r\n 2026-01-01T00:00:00Z ERROR the disk is full",
            ),
            420,
        ),
    ]
}
