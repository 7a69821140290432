//! Via, From, To and URIs; IPv6 wherever an address can stand (RFC 5118).

use crate::{Case, case, first, swap, taken};

pub(crate) fn cases() -> Vec<Case> {
    let uri = |uri: &str| first(format!("PUBLISH {uri} SIP/2.0"));
    let via = |value: &str| swap("Via", format!("Via: {value}"));
    let from = |value: &str| swap("From", format!("From: {value}"));
    let to = |value: &str| swap("To", format!("To: {value}"));
    let bad_via = || taken(&[("via", "400 Malformed Via header")]);
    let bad_from = || taken(&[("from", "400 Malformed From header")]);
    let bad_host = || taken(&[("uri.host", "400 the URI's host is malformed")]);
    let bad_port = || taken(&[("uri.port", "400 the URI's port is malformed")]);
    let bad_user = || taken(&[("uri.user", "400 the URI's user part is malformed")]);
    vec![
        case(
            "ipv6-everywhere",
            "RFC 5118 4.1",
            swap(
                "Via",
                "Via: SIP/2.0/TLS [2001:db8::9:1]:5061;rport;branch=z9hG4bK1",
            ),
            taken(&[
                ("via.host", "[2001:db8::9:1]"),
                ("via.port", "5061"),
                ("via.transport", "TLS"),
            ]),
        ),
        case(
            "ipv6-request-uri",
            "RFC 5118 4.1",
            uri("sip:[2001:db8::10]"),
            taken(&[
                ("uri.host", "[2001:db8::10]"),
                ("uri.port", "-"),
                ("uri.user", "-"),
            ]),
        ),
        case(
            "ipv6-unbracketed",
            "RFC 5118 4.2",
            uri("sip:2001:db8::10"),
            bad_port(),
        ),
        case(
            "ipv6-port-within",
            "RFC 5118 4.3",
            uri("sip:[2001:db8::10:5070]"),
            taken(&[("uri.host", "[2001:db8::10:5070]"), ("uri.port", "-")]),
        ),
        case(
            "ipv6-port-behind",
            "RFC 5118 4.4",
            uri("sip:[2001:db8::10]:5070"),
            taken(&[("uri.host", "[2001:db8::10]"), ("uri.port", "5070")]),
        ),
        case(
            "ipv6-received-plain",
            "RFC 5118 4.5",
            via("SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bK1"),
            taken(&[("via.received", "2001:db8::9:255")]),
        ),
        case(
            "ipv6-received-in-brackets",
            "RFC 5118 4.5",
            via("SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bK1"),
            taken(&[
                ("via.received", "[2001:db8::9:255]"),
                ("via.branch", "z9hG4bK1"),
            ]),
        ),
        case(
            "ipv6-and-ipv4-vias",
            "RFC 5118 4.8",
            via(
                "SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bK1, SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2",
            ),
            taken(&[
                ("vias", "2"),
                ("via.host", "[2001:db8::9:1]"),
                ("via.port", "6050"),
            ]),
        ),
        case(
            "ipv6-mapped",
            "RFC 5118 4.9",
            uri("sip:user@[::ffff:192.0.2.10]:19823"),
            taken(&[("uri.host", "[::ffff:192.0.2.10]"), ("uri.port", "19823")]),
        ),
        // RFC 5118 leaves it to the reader; three colons name no address, so there is nothing to take it for.
        case(
            "ipv6-three-colons",
            "RFC 5118 4.10",
            uri("sip:user@[2001:db8:::192.0.2.1]"),
            bad_host(),
        ),
        case(
            "ipv6-in-from-and-to",
            "",
            from("<sip:a@[2001:db8::1]:5062;transport=udp>;tag=1"),
            taken(&[
                ("from.uri.host", "[2001:db8::1]"),
                ("from.uri.port", "5062"),
                ("from.uri.params", "transport=udp"),
                ("from.tag", "1"),
            ]),
        ),
        case(
            "ipv6-without-brackets-in-via",
            "RFC 5118 4.2",
            via("SIP/2.0/UDP 2001:db8::1;branch=z9hG4bK1"),
            bad_via(),
        ),
        case("ipv6-zone", "", uri("sip:a@[fe80::1%25eth0]"), bad_host()),
        case(
            "ipv6-zone-in-via",
            "",
            via("SIP/2.0/UDP [fe80::1%eth0]:5060;branch=z9hG4bK1"),
            bad_via(),
        ),
        case(
            "ipv6-never-closed",
            "",
            uri("sip:a@[2001:db8::1"),
            bad_host(),
        ),
        case(
            "ipv6-closed-twice",
            "",
            uri("sip:a@[2001:db8::1]]"),
            bad_host(),
        ),
        case(
            "ipv6-in-capitals",
            "",
            via("SIP/2.0/UDP [2001:DB8:0:0::1];branch=z9hG4bK1"),
            taken(&[("via.host", "[2001:db8::1]")]),
        ),
        case("ipv4-in-brackets", "", uri("sip:a@[192.0.2.1]"), bad_host()),
        case("port-zero", "", uri("sip:a@b:0"), bad_port()),
        case("port-too-large", "", uri("sip:a@b:65536"), bad_port()),
        case(
            "port-of-many-digits",
            "",
            uri("sip:a@b:99999999999999999999"),
            bad_port(),
        ),
        case("port-signed", "", uri("sip:a@b:+5060"), bad_port()),
        case("port-empty", "", uri("sip:a@b:"), bad_port()),
        case(
            "port-largest",
            "",
            uri("sip:a@b:65535"),
            taken(&[("uri.port", "65535")]),
        ),
        case(
            "port-with-zeros",
            "",
            uri("sip:a@b:0005060"),
            taken(&[("uri.port", "5060")]),
        ),
        case("host-missing", "", uri("sip:"), bad_host()),
        case("host-missing-behind-user", "", uri("sip:a@"), bad_host()),
        case("host-of-odd-characters", "", uri("sip:a@b$c"), bad_host()),
        case(
            "host-with-underscore",
            "",
            uri("sip:a@pbx_1.example"),
            taken(&[("uri.host", "pbx_1.example")]),
        ),
        case(
            "host-too-long",
            "",
            uri(&format!("sip:a@{}", "h".repeat(256))),
            bad_host(),
        ),
        case(
            "host-international",
            "",
            uri("sip:a@bücher.example"),
            bad_host(),
        ),
        case("user-empty", "", uri("sip:@b"), bad_user()),
        case(
            "user-empty-with-password",
            "",
            uri("sip::secret@b"),
            bad_user(),
        ),
        case("user-escape-cut", "", uri("sip:a%4@b"), bad_user()),
        case(
            "user-escape-of-no-digits",
            "",
            uri("sip:a%zz@b"),
            bad_user(),
        ),
        case("user-at-twice", "", uri("sip:a@b@c"), bad_host()),
        case(
            "uri-quote",
            "",
            uri("sip:\"a\"@b"),
            taken(&[(
                "uri.user",
                "400 the URI has a character that must be escaped",
            )]),
        ),
        case(
            "uri-of-everything",
            "RFC 3261 19.1.1",
            uri("SIPS:a:pw@[::1]:5061;transport=tls;lr;x=%20?subject=y&z=1"),
            taken(&[
                ("uri.scheme", "sips"),
                ("uri.user", "a"),
                ("uri.password", "pw"),
                ("uri.host", "[::1]"),
                ("uri.port", "5061"),
                ("uri.params", "transport=tls;lr;x=%20"),
                ("uri.headers", "subject=y&z=1"),
            ]),
        ),
        case(
            "tel",
            "RFC 3966 3",
            uri("tel:+1-201-555-0123;phone-context=example.com"),
            taken(&[
                ("uri.scheme", "tel"),
                ("uri.user", "+1-201-555-0123"),
                ("uri.host", ""),
                ("uri.params", "phone-context=example.com"),
            ]),
        ),
        case(
            "tel-in-from-and-to",
            "",
            from("<tel:7042;phone-context=example.com>;tag=1"),
            taken(&[
                ("from.uri.scheme", "tel"),
                ("from.uri.user", "7042"),
                ("from.tag", "1"),
            ]),
        ),
        case(
            "from-scheme-unknown",
            "RFC 4475 3.3.4",
            from("<isbn:2983792873>;tag=1"),
            taken(&[("from.uri.scheme", "isbn"), ("from.tag", "1")]),
        ),
        case(
            "from-without-brackets",
            "RFC 3261 20.10",
            from("sip:a@b;tag=1;lr"),
            taken(&[
                ("from.uri", "sip:a@b"),
                ("from.uri.params", ""),
                ("from.tag", "1"),
            ]),
        ),
        case(
            "from-without-brackets-angle-in-a-parameter",
            "",
            from("sip:a@b;x=\"<c>\";tag=1"),
            taken(&[("from.uri", "sip:a@b"), ("from.tag", "1")]),
        ),
        case(
            "from-parameters-of-uri-and-header",
            "",
            from("<sip:a@b;tag=no>;tag=yes"),
            taken(&[("from.uri.params", "tag=no"), ("from.tag", "yes")]),
        ),
        case(
            "from-quoted",
            "",
            from("\"a \\\"<sip:no@no>;tag=no\\\\\" <sip:a@b>;tag=yes"),
            taken(&[
                ("from.display", "\"a \\\"<sip:no@no>;tag=no\\\\\""),
                ("from.uri", "sip:a@b"),
                ("from.tag", "yes"),
            ]),
        ),
        case(
            "from-display-empty",
            "",
            from("\"\"<sip:a@b>;tag=1"),
            taken(&[("from.display", "\"\""), ("from.tag", "1")]),
        ),
        case(
            "from-quote-never-closed",
            "RFC 4475 3.1.2.6",
            from("\"Mr. J. User <sip:a@b>;tag=1"),
            bad_from(),
        ),
        case(
            "from-quote-closed-by-an-escape",
            "",
            from("\"Mr. J. User\\\" <sip:a@b>;tag=1"),
            bad_from(),
        ),
        case(
            "from-display-with-comma",
            "RFC 4475 3.1.2.15",
            from("Bell, Alexander <sip:a@b>;tag=1"),
            bad_from(),
        ),
        case(
            "from-bracket-never-closed",
            "",
            from("<sip:a@b;tag=1"),
            bad_from(),
        ),
        case(
            "from-bracket-never-opened",
            "",
            from("sip:a@b>;tag=1"),
            bad_from(),
        ),
        case("from-empty", "", from(""), bad_from()),
        case("from-empty-brackets", "", from("<>;tag=1"), bad_from()),
        case(
            "from-junk-behind",
            "",
            from("<sip:a@b> junk;tag=1"),
            bad_from(),
        ),
        case(
            "from-two-addresses",
            "",
            from("<sip:a@b>, <sip:c@d>;tag=1"),
            bad_from(),
        ),
        case(
            "from-tag-empty",
            "RFC 3261 25.1",
            from("<sip:a@b>;tag="),
            bad_from(),
        ),
        case(
            "from-tag-without-value",
            "RFC 3261 25.1",
            from("<sip:a@b>;tag"),
            bad_from(),
        ),
        case(
            "from-uri-with-blanks-around",
            "RFC 4475 3.1.2.14",
            from("< sip:a@b >;tag=1"),
            taken(&[("from.uri", "sip:a@b")]),
        ),
        case(
            "to-uri-with-blank",
            "RFC 4475 3.1.2.14",
            to("<sip:a @b>"),
            taken(&[(
                "to.uri.host",
                "400 the URI has a character that must be escaped",
            )]),
        ),
        case(
            "to-no-uri",
            "",
            to("<just words>"),
            taken(&[(
                "to.uri.host",
                "400 the URI has a character that must be escaped",
            )]),
        ),
        case(
            "to-missing",
            "RFC 4475 3.3.1",
            swap("To", ""),
            taken(&[("to", "400 Missing To header")]),
        ),
        case(
            "via-missing",
            "RFC 4475 3.3.1",
            swap("Via", ""),
            taken(&[("via", "400 Missing Via header"), ("vias", "0")]),
        ),
        case("via-empty", "", via(""), bad_via()),
        case("via-of-commas", "", via(",,"), bad_via()),
        case(
            "via-no-host",
            "",
            via("SIP/2.0/UDP ;branch=z9hG4bK1"),
            bad_via(),
        ),
        case(
            "via-no-transport",
            "",
            via("SIP/2.0 192.0.2.1;branch=z9hG4bK1"),
            bad_via(),
        ),
        case(
            "via-port-too-large",
            "",
            via("SIP/2.0/UDP h:70000;branch=z9hG4bK1"),
            bad_via(),
        ),
        case(
            "via-port-zero",
            "",
            via("SIP/2.0/UDP h : 0;branch=z9hG4bK1"),
            bad_via(),
        ),
        case(
            "via-port-word",
            "",
            via("SIP/2.0/UDP h:sip;branch=z9hG4bK1"),
            bad_via(),
        ),
        case(
            "via-port-signed",
            "",
            via("SIP/2.0/UDP h : +5060;branch=z9hG4bK1"),
            bad_via(),
        ),
        case(
            "via-rport-word",
            "RFC 3581 3",
            via("SIP/2.0/UDP h;rport=x;branch=z9hG4bK1"),
            bad_via(),
        ),
        case(
            "via-rport-signed",
            "RFC 3581 3",
            via("SIP/2.0/UDP h;rport=+5060;branch=z9hG4bK1"),
            bad_via(),
        ),
        case(
            "via-rport-too-large",
            "RFC 3581 3",
            via("SIP/2.0/UDP h;rport=65536;branch=z9hG4bK1"),
            bad_via(),
        ),
        case(
            "via-rport-zero",
            "RFC 3581 3",
            via("SIP/2.0/UDP h;rport=0;branch=z9hG4bK1"),
            bad_via(),
        ),
        case(
            "via-rport-empty",
            "",
            via("SIP/2.0/UDP h;rport=;branch=z9hG4bK1"),
            taken(&[("via.rport", "asked")]),
        ),
        case(
            "via-second-malformed",
            "",
            via("SIP/2.0/UDP h;branch=z9hG4bK1, garbage"),
            taken(&[("vias", "2"), ("via.branch", "z9hG4bK1")]),
        ),
        case(
            "via-first-malformed",
            "",
            via("garbage, SIP/2.0/UDP h;branch=z9hG4bK1"),
            bad_via(),
        ),
        case(
            "via-quote-never-closed",
            "",
            via("SIP/2.0/UDP h;x=\"y;branch=z9hG4bK1"),
            bad_via(),
        ),
        case(
            "via-parameters-in-capitals",
            "",
            via("SIP/2.0/UDP h;RPORT;BRANCH=z9hG4bK1"),
            taken(&[("via.branch", "z9hG4bK1"), ("via.rport", "asked")]),
        ),
        case(
            "via-blanks-everywhere",
            "RFC 4475 3.1.1.6",
            via("SIP / 2.0 / UDP \t [2001:db8::1] : 5061 ; branch = z9hG4bK1 ;\t rport"),
            taken(&[
                ("via.host", "[2001:db8::1]"),
                ("via.port", "5061"),
                ("via.branch", "z9hG4bK1"),
                ("via.rport", "asked"),
            ]),
        ),
        case(
            "call-id-empty",
            "",
            swap("Call-ID", "Call-ID:"),
            taken(&[("call_id", "400 Malformed Call-ID header")]),
        ),
        case(
            "call-id-two-words",
            "",
            swap("Call-ID", "Call-ID: a b"),
            taken(&[("call_id", "400 Malformed Call-ID header")]),
        ),
    ]
}
