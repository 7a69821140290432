//! Headers that cannot be read, or say what nobody can mean.

use super::{Case, all, attack, harmless};

pub(super) fn cases() -> Vec<Case> {
    let bad = |name: &str, value: &str| attack().set(name, value);
    let fine = |name: &str, value: &str| harmless().set(name, value);
    let digest = |parameters: &str| fine("Authorization", &format!("Digest {parameters}"));
    vec![
        all(
            "via-missing",
            "nobody to answer by name; the source is answered",
            attack().without("Via"),
            400,
        ),
        all("via-empty", "no Via", bad("Via", ""), 400),
        all("via-of-commas", "no Via", bad("Via", ",,,,"), 400),
        all(
            "via-without-host",
            "no Via",
            bad("Via", "SIP/2.0/UDP ;branch=z9hG4bK1"),
            400,
        ),
        all(
            "via-port-70000",
            "no port",
            bad("Via", "SIP/2.0/UDP 127.0.0.1:70000;branch=z9hG4bK1"),
            400,
        ),
        all(
            "via-port-negative",
            "no port",
            bad("Via", "SIP/2.0/UDP 127.0.0.1:-5060;branch=z9hG4bK1"),
            400,
        ),
        all(
            "via-rport-word",
            "no port",
            bad("Via", "SIP/2.0/UDP 127.0.0.1;rport=x;branch=z9hG4bK1"),
            400,
        ),
        all(
            "via-quote-never-closed",
            "what the answer adds would be in the quotes",
            bad("Via", "SIP/2.0/UDP 127.0.0.1;x=\"y;branch=z9hG4bK1"),
            400,
        ),
        all(
            "via-with-200-parameters",
            "more than are looked at",
            bad(
                "Via",
                &format!(
                    "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK@UNIQUE@{}",
                    ";a".repeat(200)
                ),
            ),
            400,
        ),
        all(
            "via-of-version-3",
            "no Via",
            bad("Via", "SIP/3.0/UDP 127.0.0.1;branch=z9hG4bK1"),
            400,
        ),
        all(
            "via-of-somebody-else",
            "the answer goes to where the request came from",
            fine("Via", "SIP/2.0/UDP 192.0.2.1:9;branch=z9hG4bK@UNIQUE@"),
            200,
        ),
        all(
            "via-received-forged",
            "the answer goes to where the request came from",
            fine(
                "Via",
                "SIP/2.0/UDP 127.0.0.1;received=192.0.2.1;rport=9;branch=z9hG4bK@UNIQUE@",
            ),
            200,
        ),
        all(
            "via-maddr",
            "the answer goes to where the request came from",
            fine(
                "Via",
                "SIP/2.0/UDP 127.0.0.1;maddr=192.0.2.1;ttl=255;branch=z9hG4bK@UNIQUE@",
            ),
            200,
        ),
        all(
            "via-of-another-transport",
            "the answer goes the way that the request came",
            fine("Via", "SIP/2.0/SCTP 127.0.0.1;branch=z9hG4bK@UNIQUE@"),
            200,
        ),
        all(
            "via-fifty-in-a-line",
            "each is repeated",
            fine(
                "Via",
                &vec!["SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK@UNIQUE@"; 50].join(", "),
            ),
            200,
        ),
        all(
            "branch-missing",
            "as before RFC 3261",
            fine("Via", "SIP/2.0/@T@ 127.0.0.1:5060"),
            200,
        ),
        all(
            "branch-of-8000",
            "is hashed, not kept",
            fine(
                "Via",
                &format!(
                    "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK@UNIQUE@{}",
                    "a".repeat(8000)
                ),
            ),
            200,
        ),
        all("from-missing", "no sender", attack().without("From"), 400),
        all("from-empty", "no sender", bad("From", ""), 400),
        all(
            "from-bracket-never-closed",
            "no address",
            bad("From", "<sip:instance1@127.0.0.1;tag=1"),
            400,
        ),
        all(
            "from-quote-never-closed",
            "no address",
            bad("From", "\"instance1 <sip:instance1@127.0.0.1>;tag=1"),
            400,
        ),
        all(
            "from-two-addresses",
            "which is the sender?",
            bad(
                "From",
                "<sip:instance1@127.0.0.1>, <sip:honest@127.0.0.1>;tag=1",
            ),
            400,
        ),
        all(
            "from-nested-comments",
            "an address has no comments",
            bad(
                "From",
                &format!(
                    "{}{} <sip:instance1@127.0.0.1>;tag=1",
                    "(".repeat(3000),
                    ")".repeat(3000)
                ),
            ),
            400,
        ),
        all(
            "from-tag-empty",
            "no tag",
            bad("From", "<sip:instance1@127.0.0.1>;tag="),
            400,
        ),
        all(
            "from-user-of-4000",
            "an address that is known by its source",
            fine(
                "From",
                &format!("<sip:{}@127.0.0.1>;tag=1", "a".repeat(4000)),
            ),
            200,
        ),
        all(
            "from-tag-of-8000",
            "is repeated and not kept",
            fine(
                "From",
                &format!("<sip:instance1@127.0.0.1>;tag={}", "a".repeat(8000)),
            ),
            200,
        ),
        all(
            "from-of-the-honest-peer",
            "the address decides who it is, and not From",
            attack()
                .start("PUBLISH sip:honest@127.0.0.1 SIP/2.0")
                .set("From", "<sip:honest@127.0.0.1>;tag=1"),
            403,
        ),
        all("to-missing", "no receiver", attack().without("To"), 400),
        all("to-empty", "no receiver", bad("To", ""), 400),
        all(
            "to-of-words",
            "is not looked at beyond its brackets",
            fine("To", "<just words>"),
            200,
        ),
        all(
            "call-id-missing",
            "no Call-ID",
            attack().without("Call-ID"),
            400,
        ),
        all("call-id-empty", "no Call-ID", bad("Call-ID", ""), 400),
        all(
            "call-id-two-words",
            "no Call-ID",
            bad("Call-ID", "a b"),
            400,
        ),
        all(
            "call-id-of-8000",
            "is repeated and not kept",
            fine("Call-ID", &"a".repeat(8000)),
            200,
        ),
        all("cseq-missing", "no CSeq", attack().without("CSeq"), 400),
        all("cseq-empty", "no CSeq", bad("CSeq", ""), 400),
        all(
            "cseq-2-31",
            "beyond what a CSeq may be",
            bad("CSeq", "2147483648 PUBLISH"),
            400,
        ),
        all(
            "cseq-2-32",
            "must not wrap",
            bad("CSeq", "4294967297 PUBLISH"),
            400,
        ),
        all(
            "cseq-of-forty-digits",
            "must not wrap",
            bad("CSeq", &format!("{} PUBLISH", "9".repeat(40))),
            400,
        ),
        all("cseq-negative", "no number", bad("CSeq", "-1 PUBLISH"), 400),
        all("cseq-signed", "no number", bad("CSeq", "+1 PUBLISH"), 400),
        all(
            "cseq-turned-round",
            "no number",
            bad("CSeq", "PUBLISH 1"),
            400,
        ),
        all(
            "cseq-three-words",
            "no method",
            bad("CSeq", "1 PUBLISH OPTIONS"),
            400,
        ),
        all(
            "cseq-of-another-method",
            "a PUBLISH to one reader, a NOTIFY to another",
            bad("CSeq", "1 NOTIFY"),
            400,
        ),
        all(
            "max-forwards-0",
            "it has arrived",
            fine("Max-Forwards", "0"),
            200,
        ),
        all(
            "max-forwards-word",
            "is not looked at by who does not forward",
            fine("Max-Forwards", "-4294967296"),
            200,
        ),
        all("expires-negative", "no time", bad("Expires", "-1"), 400),
        all("expires-signed", "no time", bad("Expires", "+60"), 400),
        all("expires-word", "no time", bad("Expires", "never"), 400),
        all("expires-fraction", "no time", bad("Expires", "3600.5"), 400),
        all("expires-empty", "no time", bad("Expires", ""), 400),
        all(
            "expires-1",
            "below what is granted",
            bad("Expires", "1"),
            423,
        ),
        all(
            "expires-2-32",
            "is shortened, and does not wrap to a removal",
            fine("Expires", "4294967296"),
            200,
        ),
        all(
            "expires-of-forty-digits",
            "is shortened",
            fine("Expires", &"9".repeat(40)),
            200,
        ),
        all(
            "expires-0-without-tag",
            "there is nothing to remove",
            bad("Expires", "0"),
            412,
        ),
        all(
            "event-missing",
            "which event?",
            attack().without("Event"),
            489,
        ),
        all("event-empty", "no event", bad("Event", ""), 489),
        all(
            "event-unknown",
            "an event of others",
            bad("Event", "presence"),
            489,
        ),
        all(
            "event-quoted",
            "no token",
            bad("Event", "\"asterisk-devicestate\""),
            489,
        ),
        all(
            "event-list",
            "one at a time",
            bad("Event", "asterisk-devicestate, asterisk-mwi"),
            489,
        ),
        all(
            "event-in-capitals",
            "compared with its case",
            bad("Event", "ASTERISK-DEVICESTATE"),
            489,
        ),
        all(
            "event-template",
            "another event",
            bad("Event", "asterisk-devicestate.winfo"),
            489,
        ),
        all(
            "event-of-8000",
            "an event of nobody",
            bad("Event", &"a".repeat(8000)),
            489,
        ),
        all(
            "event-of-the-other-body",
            "a device's state for mailboxes",
            bad("Event", "asterisk-mwi"),
            400,
        ),
        all(
            "event-with-parameters",
            "parameters are passed over",
            fine("Event", "asterisk-devicestate;id=%00;x=\"a;b\""),
            200,
        ),
        all("tag-empty", "no tag of ours", bad("SIP-If-Match", ""), 412),
        all(
            "tag-integer",
            "no tag of ours",
            bad("SIP-If-Match", "0"),
            412,
        ),
        all(
            "tag-forged",
            "looks like one of ours",
            bad("SIP-If-Match", &"0".repeat(48)),
            412,
        ),
        all(
            "tag-of-8000",
            "no tag of ours",
            bad("SIP-If-Match", &"0".repeat(8000)),
            412,
        ),
        all(
            "tag-not-ascii",
            "no tag of ours",
            bad("SIP-If-Match", "\u{660}\u{2028}"),
            412,
        ),
        all("tag-star", "is not any tag", bad("SIP-If-Match", "*"), 412),
        all(
            "require-unknown",
            "not understood",
            bad("Require", "100rel"),
            420,
        ),
        all(
            "require-a-thousand",
            "each is named in the answer, once for once",
            bad("Require", &vec!["x"; 1000].join(",")),
            420,
        ),
        all(
            "require-of-commas",
            "requires nothing",
            fine("Require", ",,,,,,,,"),
            200,
        ),
        all(
            "content-type-missing",
            "what is the body?",
            attack().without("Content-Type"),
            400,
        ),
        all(
            "content-type-word",
            "no media type",
            bad("Content-Type", "json"),
            400,
        ),
        all(
            "content-type-text",
            "not understood",
            bad("Content-Type", "text/plain"),
            415,
        ),
        all(
            "content-type-json-dialect",
            "not understood",
            bad("Content-Type", "application/json-seq"),
            415,
        ),
        all(
            "content-type-with-parameters",
            "parameters are passed over",
            fine("Content-Type", "APPLICATION / JSON ; charset=\"x;y\";;;"),
            200,
        ),
        all(
            "user-agent-nested-comments",
            "nobody reads it",
            fine(
                "User-Agent",
                &format!("a {}{}", "(".repeat(4000), ")".repeat(4000)),
            ),
            200,
        ),
        all(
            "route-to-elsewhere",
            "nothing is forwarded",
            fine("Route", "<sip:192.0.2.1;lr>"),
            200,
        ),
        all(
            "contact-quotes-never-closed",
            "nobody reads it",
            fine("Contact", "\"\"\"<<<>>;;;"),
            200,
        ),
        all(
            "authorization-unasked",
            "an endpoint without auth needs none",
            digest(
                "username=\"x\", realm=\"y\", nonce=\"z\", uri=\"u\", response=\"00000000000000000000000000000000\"",
            ),
            200,
        ),
        all(
            "authorization-garbage",
            "an endpoint without auth needs none",
            digest(&",=\"\\".repeat(1000)),
            200,
        ),
        all(
            "authorization-forty",
            "an endpoint without auth needs none",
            harmless().also(vec!["Authorization: Digest username=\"x\""; 40].join("\r\n")),
            200,
        ),
    ]
}
