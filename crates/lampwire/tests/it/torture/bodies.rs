//! Bodies that are no state, or one that nobody can mean.

use super::super::sip::Draft;
use super::{Case, HONEST, HOSTILE, all, attack, harmless};

const XML: &str = r#"<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>"#;

/// An `a`, packed.
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\x04\0\x43\xbe\xb7\xe8\x01\0\0\0";

/// Half a body of parts, whose boundary is `x`.
const PARTS: &str = "--x\r\nContent-Type: multipart/mixed;boundary=x\r\n\r\n{}\r\n";

pub(super) fn cases() -> Vec<Case> {
    let body = |text: &str| attack().body(text);
    // A state of the honest peer's device, but for one member.
    let with = |member: &str, value: &str| {
        let text = String::from_utf8(attack().bytes()).unwrap();
        let (_, text) = text.split_once("\r\n\r\n").unwrap();
        let from = format!("\"{member}\":");
        let start = text.find(&from).unwrap() + from.len();
        let end = start + text[start..].find([',', '}']).unwrap();
        attack().body(format!("{}{value}{}", &text[..start], &text[end..]))
    };
    // A whole state with something before and behind it.
    let around = |before: &str, behind: &str| {
        let text = String::from_utf8(attack().bytes()).unwrap();
        let (_, text) = text.split_once("\r\n\r\n").unwrap();
        attack().body(format!("{before}{text}{behind}"))
    };
    let fine = |text: &str| harmless().body(text);
    let refresh = |more: &str| fine(&format!(r#"{{"type":"refresh",{more}"eid":"{HOSTILE}"}}"#));
    let mailbox = |members: &str| {
        let text = format!(r#"{{"type":"mailboxstate",{members}"eid":"{HONEST}"}}"#);
        Draft::publish("instance1", "asterisk-mwi", text)
    };
    let utf16: Vec<u8> = "{\"type\":\"refresh\"}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    vec![
        all(
            "json-arrays-in-arrays",
            "deeper than is followed",
            body(&"[".repeat(10_000)),
            400,
        ),
        all(
            "json-objects-in-objects",
            "deeper than is followed",
            body(&"{\"a\":".repeat(5000)),
            400,
        ),
        all(
            "json-ten-thousand-deep",
            "a member that nobody knows is passed over without a stack",
            refresh(&format!(
                "\"x\":{}{},",
                "[".repeat(10_000),
                "]".repeat(10_000)
            )),
            200,
        ),
        all(
            "json-hundred-deep",
            "a member that nobody knows",
            refresh(&format!("\"x\":{}{},", "[".repeat(100), "]".repeat(100))),
            200,
        ),
        all(
            "json-number-of-5000-digits",
            "a member that nobody knows",
            refresh(&format!("\"x\":{},", "9".repeat(5000))),
            200,
        ),
        all(
            "json-number-1e999999999",
            "a member that nobody knows",
            refresh("\"x\":1e999999999,\"y\":-1e-999999999,"),
            200,
        ),
        all(
            "json-number-with-zeros",
            "no JSON",
            refresh("\"x\":007,"),
            400,
        ),
        all("json-nan", "no JSON", with("cachable", "NaN"), 400),
        all(
            "json-infinity",
            "no JSON",
            with("cachable", "-Infinity"),
            400,
        ),
        all("json-hexadecimal", "no JSON", with("cachable", "0x1"), 400),
        all("json-comment", "no JSON", around("/* a */", ""), 400),
        all(
            "json-trailing-comma",
            "no JSON",
            refresh("\"x\":[1,],"),
            400,
        ),
        all(
            "json-single-quotes",
            "no JSON",
            body("{'type':'refresh'}"),
            400,
        ),
        all(
            "json-names-without-quotes",
            "no JSON",
            body("{type:\"refresh\"}"),
            400,
        ),
        all(
            "json-two-objects",
            "one body is one state",
            around("", "{}"),
            400,
        ),
        all(
            "json-behind-the-object",
            "one body is one state",
            around("", " x"),
            400,
        ),
        all(
            "json-nul-behind-the-object",
            "one body is one state",
            around("", "\0"),
            400,
        ),
        all(
            "json-prefix-against-scripts",
            "no JSON",
            around(")]}',\n", ""),
            400,
        ),
        all(
            "json-byte-order-mark",
            "no JSON",
            around("\u{feff}", ""),
            400,
        ),
        all("json-utf-16", "no UTF-8", attack().body(utf16), 400),
        all(
            "json-not-utf8",
            "no UTF-8",
            attack().body(b"{\"type\":\"\xff\"}"),
            400,
        ),
        all(
            "json-overlong-utf8",
            "no UTF-8",
            attack().body(b"{\"type\":\"\xc0\xaf\"}"),
            400,
        ),
        all(
            "json-never-ends",
            "cut off",
            body("{\"type\":\"devicestate\",\"device\":\"Honest/1"),
            400,
        ),
        all("json-array", "no object", around("[", "]"), 400),
        all("json-null", "no object", body("null"), 400),
        all("json-text", "no object", body("\"devicestate\""), 400),
        all("json-number", "no object", body("-0"), 400),
        all(
            "json-blanks",
            "nothing in it",
            body(&" ".repeat(30_000)),
            400,
        ),
        all("json-empty-object", "nothing in it", body("{}"), 400),
        all(
            "json-thousands-of-members",
            "members that nobody knows",
            refresh(&"\"x\":0,".repeat(4000)),
            200,
        ),
        all(
            "json-prototype",
            "a member that nobody knows",
            refresh("\"__proto__\":{\"type\":\"devicestate\"},\"constructor\":1,"),
            200,
        ),
        all(
            "json-member-of-20000",
            "a member that nobody knows",
            refresh(&format!("\"{}\":1,", "k".repeat(20_000))),
            200,
        ),
        all(
            "json-twice-type",
            "the last one counts",
            refresh(r#""type":"devicestate","device":"Honest/1","state":"BUSY","type":"refresh","#),
            200,
        ),
        all(
            "json-escaped-names",
            "the same text",
            fine(&format!(
                r#"{{"\u0074ype":"\u0072efresh","eid":"{HOSTILE}"}}"#
            )),
            200,
        ),
        all(
            "json-lone-surrogate",
            "half a character",
            with("device", "\"Honest/1\\ud800\""),
            400,
        ),
        all(
            "json-surrogates-turned-round",
            "two halves of no character",
            with("device", "\"\\udc00\\ud800\""),
            400,
        ),
        all(
            "json-surrogate-in-a-name",
            "half a character",
            with("device", "\"Honest/1\",\"\\udfff\":1"),
            400,
        ),
        all(
            "json-escape-unknown",
            "no JSON",
            with("device", "\"\\x41\""),
            400,
        ),
        all(
            "json-raw-line-break",
            "no JSON",
            with("device", "\"Honest\n/1\""),
            400,
        ),
        all(
            "type-missing",
            "what is it?",
            body("{\"device\":\"Honest/1\"}"),
            400,
        ),
        all("type-number", "no text", with("type", "1"), 400),
        all(
            "type-unknown",
            "what is it?",
            with("type", "\"devicestate2\""),
            400,
        ),
        all(
            "type-in-capitals",
            "compared with its case",
            with("type", "\"DEVICESTATE\""),
            400,
        ),
        all("device-empty", "no name", with("device", "\"\""), 400),
        all("device-number", "no text", with("device", "1"), 400),
        all(
            "device-object",
            "no text",
            with("device", "{\"$ne\":null}"),
            400,
        ),
        all(
            "device-of-256",
            "longer than a name may be",
            with("device", &format!("\"{}\"", "d".repeat(256))),
            400,
        ),
        all(
            "device-of-30000",
            "longer than a name may be",
            with("device", &format!("\"{}\"", "d".repeat(30_000))),
            400,
        ),
        all(
            "device-nul",
            "a control character",
            with("device", "\"Honest/1\\u0000\""),
            400,
        ),
        all(
            "device-line-break",
            "a control character",
            with("device", "\"Honest/1\\r\\nX: y\""),
            400,
        ),
        all(
            "device-escape",
            "would colour an operator's terminal",
            with("device", "\"\\u001b[2J\""),
            400,
        ),
        all(
            "device-delete",
            "a control character",
            with("device", "\"a\\u007f\""),
            400,
        ),
        all(
            "device-next-line",
            "a control character",
            with("device", "\"a\\u0085\""),
            400,
        ),
        all(
            "device-line-separator",
            "a line break for some readers",
            with("device", "\"a\\u2028\""),
            400,
        ),
        all(
            "state-missing",
            "which state?",
            body(&format!(
                r#"{{"type":"devicestate","device":"Honest/1","eid":"{HONEST}"}}"#
            )),
            400,
        ),
        all("state-number", "no text", with("state", "2"), 400),
        all("state-list", "no text", with("state", "[\"BUSY\"]"), 400),
        all(
            "eid-missing",
            "whose state?",
            body(r#"{"type":"devicestate","device":"Honest/1","state":"BUSY"}"#),
            400,
        ),
        all("eid-number", "no text", with("eid", "2199023255553"), 400),
        all(
            "eid-short",
            "five bytes",
            with("eid", "\"02:00:00:00:01\""),
            400,
        ),
        all(
            "eid-long",
            "seven bytes",
            with("eid", "\"02:00:00:00:00:00:01\""),
            400,
        ),
        all(
            "eid-signed",
            "no digits",
            with("eid", "\"02:00:00:00:00:+1\""),
            400,
        ),
        all(
            "eid-with-dashes",
            "no colons",
            with("eid", "\"02-00-00-00-00-01\""),
            400,
        ),
        all(
            "eid-in-other-digits",
            "digits that are not ASCII",
            with("eid", "\"02:00:00:00:00:\u{660}\u{661}\""),
            400,
        ),
        all(
            "eid-with-nul",
            "more than an entity id",
            with("eid", "\"02:00:00:00:00:01\\u0000\""),
            400,
        ),
        all(
            "eid-of-20000",
            "more than an entity id",
            with("eid", &format!("\"{}\"", "02:".repeat(6666))),
            400,
        ),
        all(
            "eid-of-the-node",
            "somebody speaks as the node itself: dropped",
            with("eid", "\"02:00:00:00:00:99\""),
            200,
        ),
        all(
            "mailbox-new-negative",
            "no count",
            mailbox(r#""uniqueid":"1@a","old":0,"new":-1,"#),
            400,
        ),
        all(
            "mailbox-new-65536",
            "beyond a count",
            mailbox(r#""uniqueid":"1@a","old":0,"new":65536,"#),
            400,
        ),
        all(
            "mailbox-old-2-32",
            "must not wrap",
            mailbox(r#""uniqueid":"1@a","old":4294967296,"new":1,"#),
            400,
        ),
        all(
            "mailbox-old-2-64",
            "must not wrap",
            mailbox(r#""uniqueid":"1@a","old":18446744073709551616,"new":1,"#),
            400,
        ),
        all(
            "mailbox-new-1e20",
            "must not wrap",
            mailbox(r#""uniqueid":"1@a","old":0,"new":1e20,"#),
            400,
        ),
        all(
            "mailbox-nameless",
            "which mailbox?",
            mailbox(r#""old":0,"new":1,"#),
            400,
        ),
        all(
            "mailbox-name-null",
            "no text",
            mailbox(r#""uniqueid":null,"old":0,"new":1,"#),
            400,
        ),
        all(
            "mailbox-name-line-break",
            "a control character",
            mailbox(r#""uniqueid":"1\n@a","old":0,"new":1,"#),
            400,
        ),
        all("body-missing", "a new publication needs one", body(""), 400),
        all(
            "body-xml",
            "entities within entities are never looked at",
            attack()
                .set("Content-Type", "application/pidf+xml")
                .body(XML),
            415,
        ),
        all(
            "body-xml-called-json",
            "no JSON",
            body("<?xml version=\"1.0\"?><a/>"),
            400,
        ),
        all(
            "body-gzip",
            "no JSON",
            attack().set("Content-Encoding", "gzip").body(GZIP),
            400,
        ),
        all(
            "body-multipart",
            "parts are not looked for",
            attack()
                .set("Content-Type", "multipart/mixed;boundary=x")
                .body(PARTS),
            415,
        ),
        all(
            "body-multipart-in-multipart",
            "parts are not looked for",
            attack()
                .set("Content-Type", "multipart/mixed;boundary=x")
                .body(PARTS.repeat(300)),
            415,
        ),
    ]
}
