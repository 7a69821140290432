//! WWW-Authenticate, Proxy-Authenticate, Authorization, Proxy-Authorization with the Digest scheme (RFC 7616, RFC 8760).

use std::borrow::Cow;
use std::fmt;

use crate::digest::{Algorithm, HexDigest, Qop};
use crate::limits;
use crate::text;

/// A challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// Whose password is asked for.
    pub realm: Cow<'a, str>,
    /// What the answer is reckoned over.
    pub nonce: Cow<'a, str>,
    /// To be given back as it is.
    pub opaque: Option<Cow<'a, str>>,
    /// The last answer was right but for its nonce.
    pub stale: bool,
    /// `None`: one that is not known here. Without the parameter it is MD5.
    pub algorithm: Option<Algorithm>,
    /// The kinds of protection offered.
    pub qop: Qops,
    /// The user name may be sent hashed, which is never done here.
    pub userhash: bool,
    /// It came as Proxy-Authenticate.
    pub proxy: bool,
}

/// The kinds of protection that a challenge offers; neither: as in RFC 2069.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Qops {
    /// `auth`
    pub auth: bool,
    /// `auth-int`
    pub auth_int: bool,
}

/// The answer to a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// Who it is.
    pub username: Cow<'a, str>,
    /// The challenge's.
    pub realm: Cow<'a, str>,
    /// The challenge's.
    pub nonce: Cow<'a, str>,
    /// The request-URI that the digest was reckoned over.
    pub uri: Cow<'a, str>,
    /// The digest.
    pub response: HexDigest,
    /// The challenge's; MD5 without the parameter.
    pub algorithm: Algorithm,
    /// The client's own nonce.
    pub cnonce: Option<Cow<'a, str>>,
    /// How often the nonce has been used, this time counted.
    pub nc: Option<u32>,
    /// The kind of protection.
    pub qop: Option<Qop>,
    /// The challenge's.
    pub opaque: Option<Cow<'a, str>>,
    /// The user name is a hash.
    pub userhash: bool,
    /// It came as Proxy-Authorization.
    pub proxy: bool,
}

impl<'a> Challenge<'a> {
    /// Reads a value; `None` where it is malformed or of another scheme. Values are taken with and without quotes.
    pub fn parse(value: &'a str, proxy: bool) -> Option<Self> {
        let params = AuthParams::parse(value)?;
        let mut qop = Qops::default();
        let offered = params.get("qop").unwrap_or_default();
        for word in offered.split(',').map(text::trim) {
            qop.auth |= word.eq_ignore_ascii_case("auth");
            qop.auth_int |= word.eq_ignore_ascii_case("auth-int");
        }
        Some(Self {
            realm: params.get("realm")?,
            nonce: params.get("nonce")?,
            opaque: params.get("opaque"),
            stale: params.is_true("stale"),
            algorithm: match params.get("algorithm") {
                Some(word) => Algorithm::parse(&word),
                None => Some(Algorithm::Md5),
            },
            qop,
            userhash: params.is_true("userhash"),
            proxy,
        })
    }
}

impl fmt::Display for Challenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest ")?;
        quoted(f, "realm", &self.realm)?;
        f.write_str(",")?;
        quoted(f, "nonce", &self.nonce)?;
        if let Some(opaque) = &self.opaque {
            f.write_str(",")?;
            quoted(f, "opaque", opaque)?;
        }
        if self.stale {
            f.write_str(",stale=true")?;
        }
        if let Some(algorithm) = self.algorithm {
            write!(f, ",algorithm={}", algorithm.as_str())?;
        }
        match (self.qop.auth, self.qop.auth_int) {
            (true, true) => f.write_str(",qop=\"auth,auth-int\"")?,
            (true, false) => f.write_str(",qop=\"auth\"")?,
            (false, true) => f.write_str(",qop=\"auth-int\"")?,
            (false, false) => {}
        }
        if self.userhash {
            f.write_str(",userhash=true")
        } else {
            Ok(())
        }
    }
}

impl<'a> Credentials<'a> {
    /// Reads a value; `None` where it is malformed, of another scheme, or of an algorithm that is not known here.
    pub fn parse(value: &'a str, proxy: bool) -> Option<Self> {
        let params = AuthParams::parse(value)?;
        let nc = match params.get("nc") {
            Some(nc) if nc.len() == 8 && nc.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                Some(u32::from_str_radix(&nc, 16).ok()?)
            }
            Some(_) => return None,
            None => None,
        };
        let qop = match params.get("qop") {
            Some(word) => Some(Qop::parse(&word)?),
            None => None,
        };
        Some(Self {
            username: params.get("username")?,
            realm: params.get("realm")?,
            nonce: params.get("nonce")?,
            uri: params.get("uri")?,
            response: HexDigest::parse(&params.get("response")?)?,
            algorithm: match params.get("algorithm") {
                Some(word) => Algorithm::parse(&word)?,
                None => Algorithm::Md5,
            },
            cnonce: params.get("cnonce"),
            nc,
            qop,
            opaque: params.get("opaque"),
            userhash: params.is_true("userhash"),
            proxy,
        })
    }
}

impl fmt::Display for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest ")?;
        for (name, value) in [
            ("username", &self.username),
            ("realm", &self.realm),
            ("nonce", &self.nonce),
            ("uri", &self.uri),
        ] {
            quoted(f, name, value)?;
            f.write_str(", ")?;
        }
        // RFC 7616 3.4: algorithm, qop and nc are written without quotes.
        write!(
            f,
            "response=\"{}\", algorithm={}",
            self.response.as_str(),
            self.algorithm.as_str()
        )?;
        for (name, value) in [("cnonce", &self.cnonce), ("opaque", &self.opaque)] {
            if let Some(value) = value {
                f.write_str(", ")?;
                quoted(f, name, value)?;
            }
        }
        if let Some(qop) = self.qop {
            write!(f, ", qop={}", qop.as_str())?;
        }
        if let Some(nc) = self.nc {
            write!(f, ", nc={nc:08x}")?;
        }
        if self.userhash {
            f.write_str(", userhash=true")
        } else {
            Ok(())
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    write!(f, "{name}=\"")?;
    text::escape(f, value)?;
    f.write_str("\"")
}

/// The `name=value` pairs behind `Digest`, each name once.
struct AuthParams<'a> {
    pairs: [(&'a str, &'a str); limits::MAX_PARAMS],
    count: usize,
}

impl<'a> AuthParams<'a> {
    fn parse(value: &'a str) -> Option<Self> {
        let value = text::trim(value);
        let scheme = value.get(..6)?;
        let rest = &value[6..];
        if !scheme.eq_ignore_ascii_case("Digest") || !rest.starts_with(text::is_blank) {
            return None;
        }
        let mut params = Self {
            pairs: [("", ""); limits::MAX_PARAMS],
            count: 0,
        };
        for pair in text::list(rest) {
            let (name, value) = text::cut(pair, b'=')?;
            let (name, value) = (text::trim(name), text::trim(value));
            let whole = match value.starts_with('"') {
                true => text::quoted_string(value)?.1.is_empty(),
                false => {
                    let wrong = |byte| text::is_blank_byte(byte) || byte == b'"';
                    !value.is_empty() && !value.bytes().any(wrong)
                }
            };
            // RFC 9110 11.2: each name once. Of two, one reader takes the first, another the last.
            let again = params.value(name).is_some();
            if !text::is_token(name) || !whole || again || params.count == limits::MAX_PARAMS {
                return None;
            }
            params.pairs[params.count] = (name, value);
            params.count += 1;
        }
        (params.count > 0).then_some(params)
    }

    fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.value(name).map(text::unquote)
    }

    /// As it was written.
    fn value(&self, name: &str) -> Option<&'a str> {
        let mut pairs = self.pairs[..self.count].iter();
        let found = pairs.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }

    fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_an_asterisks_challenge() {
        let challenge = Challenge::parse(
            r#"Digest realm="asterisk",nonce="1700000000/abc",opaque="42",algorithm=MD5,qop="auth""#,
            false,
        )
        .unwrap();
        assert_eq!(
            (&*challenge.realm, &*challenge.nonce),
            ("asterisk", "1700000000/abc")
        );
        assert_eq!(challenge.algorithm, Some(Algorithm::Md5));
        assert_eq!(
            challenge.qop,
            Qops {
                auth: true,
                auth_int: false
            }
        );
    }

    #[test]
    fn takes_quotes_or_none_and_several_protections() {
        let challenge = Challenge::parse(
            r#"digest  nonce=abc , realm="a \"b\", c" ,algorithm="sha-256", qop="auth, auth-int", STALE=TRUE"#,
            true,
        )
        .unwrap();
        assert_eq!(&*challenge.realm, r#"a "b", c"#);
        assert_eq!(challenge.algorithm, Some(Algorithm::Sha256));
        assert_eq!(
            challenge.qop,
            Qops {
                auth: true,
                auth_int: true
            }
        );
        assert!(challenge.stale && challenge.proxy);
        let unknown =
            Challenge::parse(r#"Digest realm="a", nonce="b", algorithm=SHA-999"#, false).unwrap();
        assert_eq!(unknown.algorithm, None);
        let none = Challenge::parse(r#"Digest realm="a", nonce="b""#, false).unwrap();
        assert_eq!(
            (none.algorithm, none.qop),
            (Some(Algorithm::Md5), Qops::default())
        );
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "",
            "Digest",
            "Digest ",
            "Basic realm=\"a\"",
            "Digest realm=\"a\"",
            "Digest nonce=\"a\"",
            "Digest realm=\"a, nonce=\"b\"",
            "Digest realm",
            "Digest realm=\"a\" nonce=\"b\"",
            "Digestrealm=\"a\",nonce=\"b\"",
            "Digest realm=,nonce=b",
            "Digest realm=a,nonce=b,Realm=c",
        ] {
            assert!(Challenge::parse(text, false).is_none(), "{text:?}");
        }
    }

    #[test]
    fn credentials_are_taken_and_checked() {
        let hex = "0123456789abcdef0123456789abcdef";
        let good = format!(
            "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"sip:x@y\", response=\"{hex}\", algorithm=MD5, cnonce=\"c\", qop=auth, nc=0000001f"
        );
        let credentials = Credentials::parse(&good, false).unwrap();
        assert_eq!(
            (credentials.nc, credentials.qop),
            (Some(31), Some(Qop::Auth))
        );
        for (from, to) in [
            ("nc=0000001f", "nc=1f"),
            ("nc=0000001f", "nc=0000001g"),
            ("qop=auth", "qop=none"),
            ("algorithm=MD5", "algorithm=MD6"),
            (hex, "123"),
            ("username=\"a\", ", ""),
            ("Digest", "Bearer"),
        ] {
            assert!(
                Credentials::parse(&good.replace(from, to), false).is_none(),
                "{to}"
            );
        }
        let upper = good.replace(hex, &hex.to_uppercase());
        assert_eq!(
            Credentials::parse(&upper, false).unwrap().response,
            credentials.response
        );
    }

    proptest! {
        #[test]
        fn credentials_printed_and_read_again_are_the_same(
            words in prop::collection::vec("[ -~äöü]{0,12}", 6),
            nc in prop::option::of(any::<u32>()),
            qop in prop::option::of(prop_oneof![Just(Qop::Auth), Just(Qop::AuthInt)]),
            userhash in any::<bool>(),
        ) {
            let word = |index: usize| Cow::Borrowed(words[index].as_str());
            let credentials = Credentials {
                username: word(0), realm: word(1), nonce: word(2), uri: word(3),
                response: HexDigest::parse("0123456789abcdef0123456789abcdef").unwrap(),
                algorithm: Algorithm::Sha256Sess, cnonce: Some(word(4)), nc, qop, opaque: Some(word(5)), userhash, proxy: false,
            };
            let printed = credentials.to_string();
            prop_assert_eq!(Credentials::parse(&printed, false), Some(credentials.clone()), "{}", printed);
        }

        #[test]
        fn challenges_printed_and_read_again_are_the_same(
            words in prop::collection::vec("[ -~äöü]{0,12}", 3), stale in any::<bool>(), auth in any::<bool>(), auth_int in any::<bool>(),
        ) {
            let word = |index: usize| Cow::Borrowed(words[index].as_str());
            let challenge = Challenge {
                realm: word(0), nonce: word(1), opaque: Some(word(2)), stale, algorithm: Some(Algorithm::Sha512_256),
                qop: Qops { auth, auth_int }, userhash: false, proxy: true,
            };
            let printed = challenge.to_string();
            prop_assert_eq!(Challenge::parse(&printed, true), Some(challenge.clone()), "{}", printed);
        }

        #[test]
        fn nothing_makes_it_panic(text in "(Digest )?.{0,80}") {
            let _ = Challenge::parse(&text, false);
            let _ = Credentials::parse(&text, false);
        }
    }
}
