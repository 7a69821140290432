//! Digest challenges and credentials (RFC 7616, RFC 8760).

use crate::{Case, also, case, response, taken};

/// Credentials that are whole.
const GOOD: &str = "Digest username=\"alice\", realm=\"asterisk\", nonce=\"n/1\", uri=\"sip:a@b\", \
    response=\"0123456789abcdef0123456789abcdef\", algorithm=MD5, cnonce=\"c\", qop=auth, nc=0000001f";

pub(crate) fn cases() -> Vec<Case> {
    let credentials = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        also(format!("Authorization: {}", GOOD.replacen(from, to, 1)))
    };
    let challenge = |value: &str| {
        response(
            "SIP/2.0 401 Unauthorized",
            &format!("WWW-Authenticate: {value}"),
        )
    };
    let bad = || taken(&[("credentials", "400 Malformed Authorization header")]);
    let bad_challenge = || taken(&[("challenges.realm", "400 Malformed WWW-Authenticate header")]);
    vec![
        case(
            "credentials",
            "RFC 7616 3.4",
            credentials("Digest", "Digest"),
            taken(&[
                ("credentials.username", "alice"),
                ("credentials.realm", "asterisk"),
                ("credentials.algorithm", "MD5"),
                ("credentials.qop", "auth"),
                ("credentials.nc", "31"),
            ]),
        ),
        case(
            "credentials-any-case-and-fold",
            "",
            credentials("Digest username", "dIgEsT\r\n\tUserName"),
            taken(&[("credentials.username", "alice")]),
        ),
        case(
            "credentials-quoted-words",
            "",
            credentials("=MD5", "=\"md5\"").replace_once("qop=auth", "qop=\"auth\""),
            taken(&[
                ("credentials.algorithm", "MD5"),
                ("credentials.qop", "auth"),
            ]),
        ),
        case(
            "credentials-escapes",
            "",
            credentials("\"alice\"", "\"a\\\"li\\\\ce, x=\\\"y\""),
            taken(&[("credentials.username", "a\"li\\ce, x=\"y")]),
        ),
        case(
            "credentials-fold-in-quotes",
            "RFC 3261 25.1",
            credentials("\"asterisk\"", "\"as \r\n\t  terisk\""),
            taken(&[("credentials.realm", "as terisk")]),
        ),
        case(
            "credentials-without-qop",
            "RFC 2069",
            credentials(", cnonce=\"c\", qop=auth, nc=0000001f", ""),
            taken(&[("credentials.qop", "-"), ("credentials.nc", "-")]),
        ),
        case(
            "credentials-without-algorithm",
            "RFC 7616 3.4",
            credentials("algorithm=MD5, ", ""),
            taken(&[("credentials.algorithm", "MD5")]),
        ),
        case(
            "credentials-several",
            "RFC 8760 2.4",
            also(format!(
                "Authorization: {GOOD}\r\nProxy-Authorization: {GOOD}\r\nAuthorization: Basic eA=="
            )),
            taken(&[(
                "credentials.username",
                "alice | alice | 400 Malformed Authorization header",
            )]),
        ),
        case(
            "credentials-empty-elements",
            "",
            credentials("Digest ", "Digest ,, "),
            taken(&[("credentials.username", "alice")]),
        ),
        case(
            "credentials-unknown-parameters",
            "",
            credentials("Digest ", "Digest x=y, z=\"a=b\", "),
            taken(&[("credentials.username", "alice")]),
        ),
        case(
            "credentials-other-scheme",
            "RFC 4475 3.3.8",
            also("Authorization: NoOneKnowsThisScheme opaque-data=here"),
            bad(),
        ),
        case(
            "credentials-scheme-only",
            "",
            also("Authorization: Digest"),
            bad(),
        ),
        case("credentials-empty", "", also("Authorization:"), bad()),
        case(
            "credentials-nc-short",
            "RFC 7616 3.4",
            credentials("nc=0000001f", "nc=1f"),
            bad(),
        ),
        case(
            "credentials-nc-long",
            "RFC 7616 3.4",
            credentials("nc=0000001f", "nc=000000001f"),
            bad(),
        ),
        case(
            "credentials-nc-no-hex",
            "",
            credentials("nc=0000001f", "nc=0000001g"),
            bad(),
        ),
        case(
            "credentials-nc-signed",
            "",
            credentials("nc=0000001f", "nc=+000001f"),
            bad(),
        ),
        case(
            "credentials-nc-capitals",
            "",
            credentials("nc=0000001f", "nc=0000001F"),
            taken(&[("credentials.nc", "31")]),
        ),
        case(
            "credentials-nc-quoted",
            "",
            credentials("nc=0000001f", "nc=\"0000001f\""),
            taken(&[("credentials.nc", "31")]),
        ),
        case(
            "credentials-qop-list",
            "",
            credentials("qop=auth", "qop=\"auth,auth-int\""),
            bad(),
        ),
        case(
            "credentials-qop-unknown",
            "",
            credentials("qop=auth", "qop=auth-conf"),
            bad(),
        ),
        case(
            "credentials-algorithm-unknown",
            "",
            credentials("=MD5", "=SHA-1"),
            bad(),
        ),
        case(
            "credentials-response-short",
            "",
            credentials("0123456789abcdef0123456789abcdef", "0123456789abcdef"),
            bad(),
        ),
        case(
            "credentials-response-no-hex",
            "",
            credentials("0123456789abcdef0123456789abcdef", &"z".repeat(32)),
            bad(),
        ),
        case(
            "credentials-no-username",
            "",
            credentials("username=\"alice\", ", ""),
            bad(),
        ),
        case(
            "credentials-no-nonce",
            "",
            credentials("nonce=\"n/1\", ", ""),
            bad(),
        ),
        case(
            "credentials-quote-never-closed",
            "",
            credentials("realm=\"asterisk\"", "realm=\"asterisk"),
            bad(),
        ),
        case(
            "credentials-no-comma",
            "",
            credentials("\"asterisk\", ", "\"asterisk\" "),
            bad(),
        ),
        case(
            "credentials-no-value",
            "",
            credentials("cnonce=\"c\"", "cnonce="),
            bad(),
        ),
        // Which of the two names would be looked up, and which hashed?
        case(
            "credentials-name-twice",
            "RFC 9110 11.2",
            credentials("username", "username=\"bob\", Username"),
            bad(),
        ),
        case(
            "challenge",
            "RFC 7616 3.3",
            challenge("Digest realm=\"asterisk\", nonce=\"n\", qop=\"auth\""),
            taken(&[
                ("challenges.realm", "asterisk"),
                ("challenges.algorithm", "MD5"),
                ("challenges.stale", "false"),
                ("challenges.qop", "auth=true auth-int=false"),
            ]),
        ),
        case(
            "challenge-qop-list",
            "",
            challenge(
                "Digest realm=\"a, b\",nonce=n,algorithm=\"SHA-256\",qop=\" auth-int ,AUTH, x\",stale=\"TRUE\"",
            ),
            taken(&[
                ("challenges.realm", "a, b"),
                ("challenges.algorithm", "SHA-256"),
                ("challenges.qop", "auth=true auth-int=true"),
                ("challenges.stale", "true"),
            ]),
        ),
        case(
            "challenge-of-each-algorithm",
            "RFC 8760 2.4",
            challenge(
                "Digest realm=\"a\", nonce=\"n\", algorithm=SHA-512-256\r\nWWW-Authenticate: Digest realm=\"a\", nonce=\"m\", algorithm=SHA-256-sess\r\n\
             Proxy-Authenticate: Digest realm=\"a\", nonce=\"o\", algorithm=NEW\r\nWWW-Authenticate: Basic realm=\"a\"",
            ),
            taken(&[(
                "challenges.algorithm",
                "SHA-512-256 | SHA-256-sess | unknown | 400 Malformed WWW-Authenticate header",
            )]),
        ),
        case(
            "challenge-without-nonce",
            "",
            challenge("Digest realm=\"a\""),
            bad_challenge(),
        ),
        case(
            "challenge-other-scheme",
            "",
            challenge("Negotiate realm=\"a\", nonce=\"b\""),
            bad_challenge(),
        ),
        case(
            "challenge-realm-twice",
            "",
            challenge("Digest realm=\"a\", nonce=\"n\", realm=\"b\""),
            bad_challenge(),
        ),
        case(
            "challenge-glued",
            "",
            challenge("Digestrealm=\"a\", nonce=\"n\""),
            bad_challenge(),
        ),
    ]
}

trait ReplaceOnce {
    fn replace_once(self, from: &str, to: &str) -> Self;
}

impl ReplaceOnce for Vec<u8> {
    fn replace_once(self, from: &str, to: &str) -> Self {
        String::from_utf8(self)
            .unwrap()
            .replacen(from, to, 1)
            .into_bytes()
    }
}
