//! Whole messages that are odd and right (RFC 4475 3.1.1).

use crate::{BASE, Case, also, case, response, swap, taken};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(
            "base",
            "",
            BASE,
            taken(&[
                ("method", "PUBLISH"),
                ("uri.user", "instance1"),
                ("via.branch", "z9hG4bKbase"),
                ("via.rport", "asked"),
                ("via.port", "5060"),
                ("from.tag", "f1"),
                ("to.tag", "-"),
                ("call_id", "base@192.0.2.1"),
                ("cseq", "7 PUBLISH"),
                ("max_forwards", "70"),
                ("event", "asterisk-devicestate"),
                ("expires", "3600"),
                ("if_match", "-"),
                ("is_json", "true"),
                ("body", "{}"),
            ]),
        ),
        case(
            "tortuous",
            "RFC 4475 3.1.1.1",
            "\r\n\r\nPUBLISH sip:inst%61nce1;x=y@192.0.2.2;unknownparam SIP/2.0\r\n\
             TO :\r\n sip:instance1@192.0.2.2 ;   tag    = 1918181833n\r\n\
             from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n\
             MaX-fOrWaRdS: 0068\r\n\
             Call-ID: wsinv.ndaksdj@192.0.2.1\r\n\
             Content-Length   : 2\r\n\
             cseq: 0009\r\n  PUBLISH\r\n\
             Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\n\
             s :\r\n\
             NewFangledHeader:   newfangled value\r\n continued newfangled value\r\n\
             UnknownHeaderWithUnusualValue: ;;,,;;,;\r\n\
             v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n\
             o:\r\n\tasterisk-mwi\r\n\t; id = 7\r\n\
             m:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam = newvalue ;secondparam ; q = 0.33\r\n\
             \r\n{}",
            taken(&[
                ("uri.user", "instance1;x=y"),
                ("uri.params", "unknownparam"),
                ("to.uri.user", "instance1"),
                ("to.tag", "1918181833n"),
                ("from.display", "\"J Rosenberg \\\\\\\"\""),
                ("from.tag", "98asjd8"),
                ("max_forwards", "68"),
                ("cseq", "9 PUBLISH"),
                ("via.transport", "UDP"),
                ("via.branch", "390skdjuw"),
                ("vias", "3"),
                ("event", "asterisk-mwi"),
                ("event.id", "7"),
                (
                    "named.NEWFANGLEDHEADER",
                    "newfangled value\r\n continued newfangled value",
                ),
                ("named.UnknownHeaderWithUnusualValue", ";;,,;;,;"),
                ("body", "{}"),
            ]),
        ),
        case(
            "method-of-odd-characters",
            "RFC 4475 3.1.1.2",
            "!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bK-.!%66*_+`'~\r\n\
             To: \"BEL:\\\x07 DEL:\\\x7f\" <sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com>\r\n\
             From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%=\"\u{440}\u{430}\u{431}\";tag=_token~1'+`*%!-.\r\n\
             Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{\r\n\
             CSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~\r\n\
             extensionHeader-!.%*+_`'~: \u{fffd}\u{5927}\u{505c}\u{96fb}\r\n\
             Content-Length: 0\r\n\r\n",
            taken(&[
                ("method", "!interesting-Method0123456789_*+`.%indeed'~"),
                (
                    "uri.user",
                    "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*",
                ),
                ("uri.password", "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"),
                ("uri.host", "example.com"),
                ("via.branch", "z9hG4bK-.!%66*_+`'~"),
                ("from.display", "token1~` token2'+_ token3*%!.-"),
                ("from.tag", "_token~1'+`*%!-."),
                ("call_id", "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"),
                (
                    "cseq",
                    "139122385 !interesting-Method0123456789_*+`.%indeed'~",
                ),
            ]),
        ),
        case(
            "compact-forms-of-all",
            "RFC 3261 7.3.3",
            "PUBLISH sip:a@b SIP/2.0\r\nv:SIP/2.0/UDP c;branch=z9hG4bK1\r\nf:sip:a@b;tag=1\r\nt:sip:a@b\r\ni:x\r\nCSeq:1 PUBLISH\r\n\
             o:asterisk-mwi\r\nc:application/json\r\nm:<sip:a@c>\r\nk:path\r\nu:asterisk-mwi\r\ne:identity\r\nl:2\r\n\r\n{}",
            taken(&[
                ("via.host", "c"),
                ("from.tag", "1"),
                ("to.uri", "sip:a@b"),
                ("call_id", "x"),
                ("event", "asterisk-mwi"),
                ("is_json", "true"),
                ("named.contact", "<sip:a@c>"),
                ("named.Content-Encoding", "identity"),
                ("list.Supported", "path"),
                ("list.u", "asterisk-mwi"),
                ("body", "{}"),
            ]),
        ),
        case(
            "names-in-any-case",
            "RFC 3261 7.3.1",
            String::from_utf8(BASE.into())
                .unwrap()
                .replace("Via:", "vIA:")
                .replace("Call-ID:", "CALL-id:")
                .replace("CSeq:", "cSEQ:"),
            taken(&[
                ("via.branch", "z9hG4bKbase"),
                ("call_id", "base@192.0.2.1"),
                ("cseq", "7 PUBLISH"),
            ]),
        ),
        case(
            "blanks-before-the-colon",
            "RFC 3261 7.3.1",
            BASE.replace(": ", " \t :"),
            taken(&[
                ("via.branch", "z9hG4bKbase"),
                ("event", "asterisk-devicestate"),
                ("body", "{}"),
            ]),
        ),
        case(
            "no-blanks-at-all",
            "",
            BASE.replace(": ", ":"),
            taken(&[("from.tag", "f1"), ("expires", "3600"), ("body", "{}")]),
        ),
        case(
            "content-length-padded",
            "",
            swap("Content-Length", "Content-Length:            2     "),
            taken(&[("body", "{}")]),
        ),
        case(
            "content-length-zeros",
            "",
            swap(
                "Content-Length",
                "Content-Length: 0000000000000000000000002",
            ),
            taken(&[("body", "{}")]),
        ),
        case(
            "content-length-folded",
            "",
            swap("Content-Length", "Content-Length:\r\n\t2\r\n "),
            taken(&[("body", "{}")]),
        ),
        case(
            "content-length-missing",
            "RFC 3261 18.3",
            swap("Content-Length", ""),
            taken(&[("body", "{}")]),
        ),
        case(
            "content-length-shorter",
            "RFC 4475 3.1.1.8",
            swap("Content-Length", "Content-Length: 1"),
            taken(&[("body", "{")]),
        ),
        case(
            "content-length-zero",
            "",
            swap("Content-Length", "l: 0"),
            taken(&[("body", "")]),
        ),
        case(
            "folds-everywhere",
            "RFC 4475 3.1.1.6",
            BASE.replace(": ", ":\r\n \t")
                .replace(";tag", "\r\n\t ;\r\n tag"),
            taken(&[
                ("via.branch", "z9hG4bKbase"),
                ("from.tag", "f1"),
                ("cseq", "7 PUBLISH"),
                ("event", "asterisk-devicestate"),
                ("expires", "3600"),
                ("is_json", "true"),
            ]),
        ),
        case(
            "fold-of-blanks-only",
            "",
            swap("Expires", "Expires: 60\r\n   \r\n\t"),
            taken(&[("expires", "60")]),
        ),
        case(
            "display-next-to-its-bracket",
            "RFC 4475 3.1.1.6",
            swap("From", "From: Caller<sip:a@b>;tag=1"),
            taken(&[("from.display", "Caller"), ("from.uri", "sip:a@b")]),
        ),
        case(
            "uri-escaped",
            "RFC 4475 3.1.1.3",
            swap("To", "To: <sip:%75se%72@example.com>"),
            taken(&[("to.uri.user", "user")]),
        ),
        case(
            "uri-escaped-nul",
            "RFC 4475 3.1.1.4",
            swap("To", "To: <sip:null-%00-null@example.com>"),
            taken(&[("to.uri.user", "null-\0-null")]),
        ),
        case(
            "uri-escaped-at",
            "",
            swap("To", "To: <sip:a%40b@c>"),
            taken(&[("to.uri.user", "a@b"), ("to.uri.host", "c")]),
        ),
        case(
            "uri-escapes-no-utf8",
            "",
            swap("To", "To: <sip:a%FFb@c>"),
            taken(&[("to.uri.user", "a%FFb")]),
        ),
        case(
            "percent-is-a-letter",
            "RFC 4475 3.1.1.5",
            also("Re%71uire: nothing\r\nFrom%: x"),
            taken(&[
                ("require", ""),
                ("named.re%71uire", "nothing"),
                ("named.From%", "x"),
            ]),
        ),
        case(
            "semicolons-in-the-user",
            "RFC 4475 3.1.1.9",
            swap("To", "To: <sip:user;par=u%40example.net@example.com>"),
            taken(&[
                ("to.uri.user", "user;par=u@example.net"),
                ("to.uri.host", "example.com"),
                ("to.uri.params", ""),
            ]),
        ),
        case(
            "transports-of-all-kinds",
            "RFC 4475 3.1.1.10",
            swap(
                "Via",
                "Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw\r\nVia: SIP/2.0/SCTP t2.example.com;branch=z9hG4bKklasjdhf\r\n\
                 Via: SIP/2.0/TLS t3.example.com;branch=z9hG4bK2980unddj\r\nVia: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en\r\n\
                 Via: SIP/2.0/TCP t5.example.com;branch=z9hG4bK0a9idfnee",
            ),
            taken(&[("vias", "5"), ("via.transport", "UDP")]),
        ),
        case(
            "transport-unknown-topmost",
            "RFC 4475 3.1.1.10",
            swap("Via", "Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bK1"),
            taken(&[("via.transport", "UNKNOWN")]),
        ),
        case(
            "transport-in-lower-case",
            "",
            swap("Via", "Via: sip/2.0/udp h;branch=z9hG4bK1"),
            taken(&[("via.transport", "UDP")]),
        ),
        case(
            "unknown-header-of-any-bytes",
            "",
            also(b"X-Bytes: \xff\xfe\x80 \x01\x7f"),
            taken(&[("named.X-Bytes", ""), ("body", "{}")]),
        ),
        case(
            "unknown-header-empty",
            "",
            also("X-Empty:"),
            taken(&[("named.X-Empty", "")]),
        ),
        case(
            "utf8-in-known-headers",
            "",
            swap("From", "From: Jürgen <sip:j%C3%BCrgen@b>;tag=ä"),
            taken(&[
                ("from.display", "Jürgen"),
                ("from.uri.user", "jürgen"),
                ("from.tag", "ä"),
            ]),
        ),
        case(
            "many-values-everywhere",
            "RFC 4475 3.1.1.7",
            also(format!(
                "X-Long: {}\r\nX-Longer:\r\n {}\r\nRequire: {}last",
                "a".repeat(8000),
                "b".repeat(8000),
                "tag, ".repeat(3),
            )),
            taken(&[("require", "tag | tag | tag | last")]),
        ),
        case(
            "headers-as-many-as-can-be",
            "",
            also(vec!["X: y"; 54].join("\r\n")),
            taken(&[("body", "{}"), ("from.tag", "f1")]),
        ),
        case(
            "tag-of-500-characters",
            "RFC 4475 3.1.1.7",
            swap(
                "To",
                format!("To: <sip:a@b>;x={};tag=last", "y".repeat(500)),
            ),
            taken(&[("to.tag", "last")]),
        ),
        case(
            "vias-of-many-proxies",
            "RFC 4475 3.1.1.7",
            swap(
                "Via",
                vec!["Via: SIP/2.0/UDP h;branch=z9hG4bK1, SIP/2.0/TCP h"; 25].join("\r\n"),
            ),
            taken(&[("vias", "50"), ("via.branch", "z9hG4bK1")]),
        ),
        case(
            "via-with-empty-elements",
            "",
            swap("Via", "Via: , SIP/2.0/UDP h;branch=z9hG4bK1,,"),
            taken(&[("vias", "1"), ("via.host", "h")]),
        ),
        case(
            "via-comma-in-quotes",
            "",
            swap(
                "Via",
                "Via: SIP/2.0/UDP h;x=\"a, b\";branch=z9hG4bK1, SIP/2.0/UDP i",
            ),
            taken(&[("vias", "2"), ("via.branch", "z9hG4bK1")]),
        ),
        case(
            "content-type-with-parameters",
            "",
            swap(
                "Content-Type",
                "c: APPLICATION/Json ; charset=\"utf-8;\" ; x",
            ),
            taken(&[("is_json", "true")]),
        ),
        case(
            "content-type-other",
            "RFC 4475 3.3.7",
            swap("Content-Type", "Content-Type: application/unknownformat"),
            taken(&[
                ("is_json", "false"),
                ("content_type", "application/unknownformat"),
            ]),
        ),
        case(
            "content-type-malformed",
            "",
            swap("Content-Type", "Content-Type: json"),
            taken(&[("content_type", "-")]),
        ),
        case(
            "body-is-binary",
            "RFC 4475 3.1.1.11",
            [
                &swap("Content-Length", "Content-Length: 4"),
                b"\0\r\xff".as_slice(),
            ]
            .concat(),
            taken(&[("body", "{}\0\r")]),
        ),
        case(
            "body-with-header-lines",
            "",
            [
                &swap("Content-Length", ""),
                b"\r\n\r\nContent-Length: 1\r\n".as_slice(),
            ]
            .concat(),
            taken(&[("body", "{}\r\n\r\nContent-Length: 1\r\n")]),
        ),
        case(
            "no-branch",
            "RFC 4475 3.4.1",
            swap("Via", "Via: SIP/2.0/UDP 192.0.2.1"),
            taken(&[("via.branch", "-"), ("via.host", "192.0.2.1")]),
        ),
        case(
            "branch-empty",
            "",
            swap("Via", "Via: SIP/2.0/UDP 192.0.2.1;branch="),
            taken(&[("via.branch", "-")]),
        ),
        case(
            "branch-of-the-cookie-only",
            "RFC 4475 3.2.1",
            swap("Via", "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK"),
            taken(&[("via.branch", "z9hG4bK")]),
        ),
        case(
            "no-tag",
            "RFC 4475 3.4.1",
            swap("From", "From: <sip:a@b>"),
            taken(&[("from.tag", "-")]),
        ),
        case(
            "require-unknown",
            "RFC 4475 3.3.6",
            also("Require: nothingSupportsThis, nothingSupportsThisEither\r\nrequire: more"),
            taken(&[(
                "require",
                "nothingSupportsThis | nothingSupportsThisEither | more",
            )]),
        ),
        case(
            "max-forwards-zero",
            "RFC 4475 3.3.12",
            swap("Max-Forwards", "Max-Forwards: 0"),
            taken(&[("max_forwards", "0")]),
        ),
        case(
            "response-received-odd",
            "RFC 4475 3.3.11",
            response("SIP/2.0 200 OK", "")
                .replace_all("received=192.0.2.1", "received=255.255.255.255"),
            taken(&[("via.received", "255.255.255.255"), ("status", "200")]),
        ),
        case(
            "response-of-multiple-contacts",
            "",
            response(
                "SIP/2.0 302 Moved",
                "Contact: <sip:a@b>, \"c, d\" <sip:e,f@g>;q=0.5",
            ),
            taken(&[("list.Contact", "<sip:a@b> | \"c, d\" <sip:e,f@g>;q=0.5")]),
        ),
    ]
}

trait ReplaceAll {
    fn replace_all(self, from: &str, to: &str) -> Self;
}

impl ReplaceAll for Vec<u8> {
    fn replace_all(self, from: &str, to: &str) -> Self {
        String::from_utf8(self)
            .unwrap()
            .replace(from, to)
            .into_bytes()
    }
}
