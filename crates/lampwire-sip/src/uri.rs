//! SIP and tel URIs (RFC 3261 19.1, RFC 3966).

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::limits;
use crate::params::Params;
use crate::text::{self, hex_value};

/// A host: a name, or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Host<'a> {
    /// A name; empty in URIs that have no host.
    Name(&'a str),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6(Ipv6Addr),
}

impl<'a> Host<'a> {
    /// Reads `host`, `host:port`, `[address]` or `[address]:port`.
    ///
    /// # Errors
    /// It is none of these, or the port is none from 1 to 65535.
    pub fn parse_with_port(text: &'a str) -> Result<(Self, Option<u16>), UriError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, behind) = text::cut(rest, b']').ok_or(UriError::Host)?;
                let address = address.parse().map_err(|_| UriError::Host)?;
                let port = match behind {
                    "" => None,
                    behind => Some(behind.strip_prefix(':').ok_or(UriError::Host)?),
                };
                (Self::V6(address), port)
            }
            None => {
                let (host, port) = match text::cut(text, b':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (text, None),
                };
                let is_digit = |first: &u8| first.is_ascii_digit();
                let address = host.as_bytes().first().filter(|first| is_digit(first));
                let host = match address.and_then(|_| host.parse().ok()) {
                    Some(address) => Self::V4(address),
                    None if is_host_name(host) => Self::Name(host),
                    None => return Err(UriError::Host),
                };
                (host, port)
            }
        };
        Ok((host, port.map(parse_port).transpose()?))
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// What a URI begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme<'a> {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Another, as it was written.
    Other(&'a str),
}

impl Scheme<'_> {
    /// The scheme in lower case; another one as it was written.
    pub const fn as_str(&self) -> &str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
            Self::Tel => "tel",
            Self::Other(scheme) => scheme,
        }
    }
}

/// A URI, taken apart. Of one that is neither sip nor sips, `user` is all behind the scheme up to its parameters, and there is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// What it begins with.
    pub scheme: Scheme<'a>,
    /// The user part, still escaped.
    pub user: Option<&'a str>,
    /// The password, which nobody should send.
    pub password: Option<&'a str>,
    /// The host.
    pub host: Host<'a>,
    /// The port, where one is written.
    pub port: Option<u16>,
    /// The parameters behind the host.
    pub params: Params<'a>,
    /// What stands behind the question mark.
    pub headers: Option<&'a str>,
}

/// Why a text is no URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// Longer than [`limits::MAX_URI`].
    #[error("the URI is too long")]
    TooLong,
    /// No scheme and colon at its front.
    #[error("the URI has no scheme")]
    Scheme,
    /// A blank, a control character, a quote or an angle bracket.
    #[error("the URI has a character that must be escaped")]
    Character,
    /// The part before the @ is empty or badly escaped.
    #[error("the URI's user part is malformed")]
    User,
    /// The host is missing or malformed.
    #[error("the URI's host is malformed")]
    Host,
    /// The port is none from 1 to 65535.
    #[error("the URI's port is malformed")]
    Port,
}

impl<'a> Uri<'a> {
    /// Takes a URI apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &'a str) -> Result<Self, UriError> {
        if text.len() > limits::MAX_URI {
            return Err(UriError::TooLong);
        }
        let plain = |byte| matches!(byte, b'!' | b'#'..=b';' | b'=' | b'?'..=b'~');
        let wrong = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"');
        if !text.bytes().all(plain) && text.contains(wrong) {
            return Err(UriError::Character);
        }
        let (scheme, rest) = text::cut(text, b':').ok_or(UriError::Scheme)?;
        let scheme = match scheme {
            _ if scheme.eq_ignore_ascii_case("sip") => Scheme::Sip,
            _ if scheme.eq_ignore_ascii_case("sips") => Scheme::Sips,
            _ if scheme.eq_ignore_ascii_case("tel") => Scheme::Tel,
            _ if is_scheme(scheme) => Scheme::Other(scheme),
            _ => return Err(UriError::Scheme),
        };
        if rest.is_empty() {
            return Err(UriError::Host);
        }
        if let Scheme::Tel | Scheme::Other(_) = scheme {
            let (user, params) = text::cut(rest, b';').unwrap_or((rest, ""));
            if user.is_empty() {
                return Err(UriError::User);
            }
            return Ok(Self {
                scheme,
                user: Some(user),
                password: None,
                host: Host::Name(""),
                port: None,
                params: Params::new(params),
                headers: None,
            });
        }
        // RFC 3261 19.1.2: an @ in the user part is escaped, so the first one ends it.
        let (user_info, host) = match text::cut(rest, b'@') {
            Some((user_info, host)) => (Some(user_info), host),
            None => (None, rest),
        };
        let (user, password) = match user_info {
            Some(info) => match text::cut(info, b':') {
                Some((user, password)) => (Some(user), Some(password)),
                None => (Some(info), None),
            },
            None => (None, None),
        };
        if user.is_some_and(|user| user.is_empty() || !is_escaped_well(user)) {
            return Err(UriError::User);
        }
        let (host, headers) = match text::cut(host, b'?') {
            Some((host, headers)) => (host, Some(headers)),
            None => (host, None),
        };
        let (host, params) = text::cut(host, b';').unwrap_or((host, ""));
        let (host, port) = Host::parse_with_port(host)?;
        Ok(Self {
            scheme,
            user,
            password,
            host,
            port,
            params: Params::new(params),
            headers,
        })
    }

    /// The user part with its escapes undone. Escapes that make no UTF-8 are left as they are.
    pub fn user_unescaped(&self) -> Option<Cow<'a, str>> {
        let user = self.user?;
        if !user.bytes().any(|byte| byte == b'%') {
            return Some(Cow::Borrowed(user));
        }
        let mut bytes = Vec::with_capacity(user.len());
        let mut rest = user.as_bytes();
        while let [first, behind @ ..] = rest {
            match (first, behind) {
                (b'%', [high, low, after @ ..])
                    if hex_value(*high).is_some() && hex_value(*low).is_some() =>
                {
                    let value = hex_value(*high).unwrap_or(0) << 4 | hex_value(*low).unwrap_or(0);
                    bytes.push(value);
                    rest = after;
                }
                _ => {
                    bytes.push(*first);
                    rest = behind;
                }
            }
        }
        Some(String::from_utf8(bytes).map_or(Cow::Borrowed(user), Cow::Owned))
    }

    /// A parameter by its name: `Some(None)` where it has no value.
    pub fn param(&self, name: &str) -> Option<Option<&'a str>> {
        self.params.get(name)
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme.as_str())?;
        if let Some(user) = self.user {
            f.write_str(user)?;
        }
        if let Some(password) = self.password {
            write!(f, ":{password}")?;
        }
        if let Scheme::Sip | Scheme::Sips = self.scheme {
            if self.user.is_some() {
                f.write_str("@")?;
            }
            self.host.fmt(f)?;
            if let Some(port) = self.port {
                write!(f, ":{port}")?;
            }
        }
        if !self.params.as_str().is_empty() {
            write!(f, ";{}", self.params.as_str())?;
        }
        if let Some(headers) = self.headers {
            write!(f, "?{headers}")?;
        }
        Ok(())
    }
}

/// A port of digits alone: no sign, no blank.
pub(crate) fn parse_port(text: &str) -> Result<u16, UriError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UriError::Port);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(UriError::Port),
        Ok(port) => Ok(port),
    }
}

/// Letters, digits, hyphens, underscores (which are in use, whatever RFC 1123 says) and dots.
fn is_host_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn is_escaped_well(user: &str) -> bool {
    if !user.bytes().any(|byte| byte == b'%') {
        return true;
    }
    user.split('%').skip(1).all(|behind| {
        let digits = behind.as_bytes();
        digits.len() >= 2 && hex_value(digits[0]).is_some() && hex_value(digits[1]).is_some()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters_alone_are_no_uri() {
        for text in ["tel:;x", "other:;", "other:;x=y"] {
            assert_eq!(Uri::parse(text), Err(UriError::User), "{text}");
        }
    }

    #[test]
    fn takes_all_parts() {
        let uri = Uri::parse("SIP:j%40n:pw@[2001:db8::1]:5070;transport=tcp;lr?subject=x").unwrap();
        assert_eq!(uri.scheme, Scheme::Sip);
        assert_eq!(uri.user_unescaped().as_deref(), Some("j@n"));
        assert_eq!(uri.password, Some("pw"));
        assert_eq!(uri.host, Host::V6("2001:db8::1".parse().unwrap()));
        assert_eq!(uri.port, Some(5070));
        assert_eq!(uri.param("TRANSPORT"), Some(Some("tcp")));
        assert_eq!(uri.param("lr"), Some(None));
        assert_eq!(uri.headers, Some("subject=x"));
    }

    #[test]
    fn the_least_is_a_host() {
        let uri = Uri::parse("sips:example.org").unwrap();
        assert_eq!(
            (uri.user, uri.host, uri.port),
            (None, Host::Name("example.org"), None)
        );
        let tel = Uri::parse("tel:+49-30-123;phone-context=x").unwrap();
        assert_eq!((tel.scheme, tel.user), (Scheme::Tel, Some("+49-30-123")));
        assert_eq!(
            Uri::parse("mailto:a@b").unwrap().scheme,
            Scheme::Other("mailto")
        );
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "",
            "sip",
            "sip:",
            "sip:@host",
            "sip:a@",
            "sip:a b@host",
            "sip:a@host:0",
            "sip:a@host:65536",
            "sip:a@host:+1",
            "sip:a@host:",
            "sip:a@[::1",
            "sip:a@[::1]x",
            "sip:a@::1",
            "sip:a%4@host",
            "sip:a%zz@host",
            "1sip:x",
            "sip:a@ho<st",
            "sip:a@host\r\nX: y",
            "sip:a@h\u{e4}st",
        ] {
            assert!(Uri::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(
            Uri::parse(&format!("sip:{}@h", "a".repeat(3000))),
            Err(UriError::TooLong)
        );
    }

    proptest! {
        #[test]
        fn printed_and_read_again_it_is_the_same(
            user in prop::option::of("[a-zA-Z0-9_.!~*'()&=+$,;?/-]{1,20}"),
            host in "[a-z][a-z0-9.-]{0,20}|127\\.0\\.0\\.1|\\[::1\\]",
            port in prop::option::of(1u16..),
            params in prop::option::of("[a-z]{1,5}(=[a-z0-9]{1,5})?"),
            headers in prop::option::of("[a-z]{1,5}=[a-z]{1,5}"),
        ) {
            let mut text = String::from("sip:");
            if let Some(user) = &user { text.push_str(user); text.push('@'); }
            text.push_str(&host);
            if let Some(port) = port { text.push_str(&format!(":{port}")); }
            if let Some(params) = &params { text.push_str(&format!(";{params}")); }
            if let Some(headers) = &headers { text.push_str(&format!("?{headers}")); }
            let uri = Uri::parse(&text).unwrap();
            prop_assert_eq!(uri.to_string(), text.as_str());
            let printed = uri.to_string();
            prop_assert_eq!(Uri::parse(&printed).unwrap(), uri);
        }

        #[test]
        fn nothing_makes_it_panic(text in ".{0,60}") {
            if let Ok(uri) = Uri::parse(&text) {
                let _ = uri.user_unescaped();
                let printed = uri.to_string();
                prop_assert!(Uri::parse(&printed).is_ok());
            }
        }
    }
}
