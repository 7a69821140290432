//! From, To, Contact, Route: a URI with or without a name before it (RFC 3261 20.10).

use std::fmt;

use crate::params::Params;
use crate::text;
use crate::uri::{Uri, UriError};

/// An address: `"Name" <uri>;params`, or `uri;params`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The name, with its quotes where it has any.
    pub display: Option<&'a str>,
    /// The URI, as it was written.
    pub uri: &'a str,
    /// The header's own parameters.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value; `None` where it is malformed.
    pub fn parse(value: &'a str) -> Option<Self> {
        let value = text::trim(value);
        let (display, rest) = if value.starts_with('"') {
            let (quoted, rest) = text::quoted_string(value)?;
            let rest = text::trim(rest);
            if !rest.starts_with('<') {
                return None;
            }
            (Some(quoted), rest)
        } else {
            // A semicolon cannot stand in a name without quotes: what follows one is a parameter, brackets and all.
            match memchr::memchr2(b'<', b';', value.as_bytes())
                .filter(|at| value[*at..].starts_with('<'))
            {
                Some(angle) => {
                    let display = text::trim(&value[..angle]);
                    let words = display
                        .split(text::is_blank)
                        .filter(|word| !word.is_empty());
                    if !words
                        .into_iter()
                        .all(|word| text::is_token(word) || !word.is_ascii())
                    {
                        return None;
                    }
                    (
                        Some(display).filter(|display| !display.is_empty()),
                        &value[angle..],
                    )
                }
                None => {
                    // RFC 3261 20.10: without brackets, parameters are the header's, not the URI's.
                    let (uri, params) = text::cut(value, b';').unwrap_or((value, ""));
                    let uri = text::trim(uri);
                    let wrong = |c: char| text::is_blank(c) || matches!(c, '>' | '"');
                    let whole = !uri.is_empty() && !uri.contains(wrong);
                    return whole
                        .then_some(Self {
                            display: None,
                            uri,
                            params: Params::new(params),
                        })?
                        .checked();
                }
            }
        };
        let (uri, behind) = text::cut(rest.strip_prefix('<')?, b'>')?;
        let behind = text::trim(behind);
        let params = match behind.strip_prefix(';') {
            Some(params) => params,
            None if behind.is_empty() => "",
            None => return None,
        };
        let uri = text::trim(uri);
        (!uri.is_empty())
            .then_some(Self {
                display,
                uri,
                params: Params::new(params),
            })?
            .checked()
    }

    /// A tag without a value is none that an answer could repeat (RFC 3261 25.1), nor could one be added behind an open quote.
    fn checked(self) -> Option<Self> {
        let [tag] = self.params.whole(["tag"])?;
        (!matches!(tag, Some(None | Some("")))).then_some(self)
    }

    /// The dialog's or transaction's tag.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag").flatten()
    }

    /// The URI, taken apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parsed_uri(&self) -> Result<Uri<'a>, UriError> {
        Uri::parse(self.uri)
    }
}

impl fmt::Display for NameAddr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = self.display {
            write!(f, "{display} ")?;
        }
        write!(f, "<{}>", self.uri)?;
        if !self.params.as_str().is_empty() {
            write!(f, ";{}", self.params.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_all_forms() {
        let plain = NameAddr::parse("sip:a@b;tag=1").unwrap();
        assert_eq!((plain.uri, plain.tag()), ("sip:a@b", Some("1")));
        let brackets = NameAddr::parse("sip:a@b;x=\"<c>\";tag=4").unwrap();
        assert_eq!((brackets.uri, brackets.tag()), ("sip:a@b", Some("4")));
        let angle = NameAddr::parse("<sip:a@b;lr>;tag=2").unwrap();
        assert_eq!((angle.uri, angle.tag()), ("sip:a@b;lr", Some("2")));
        let token = NameAddr::parse("Watson T. <sip:a@b>").unwrap();
        assert_eq!((token.display, token.tag()), (Some("Watson T."), None));
        let quoted = NameAddr::parse(r#""A \"<x>\" B"  <sip:a@b> ; tag=3"#).unwrap();
        assert_eq!(
            (quoted.display, quoted.tag()),
            (Some(r#""A \"<x>\" B""#), Some("3"))
        );
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "",
            "<>",
            "<sip:a@b",
            "\"a <sip:b@c>",
            "\"a\" sip:b@c",
            "a@b <sip:c@d>",
            "<sip:a@b>x",
            "sip:a b@c",
            "<sip:a@b>;tag=",
            "sip:a@b;tag",
            "sip:a@b;x=\"y;tag=1",
            "<sip:a@b>;x=<y",
        ] {
            assert!(NameAddr::parse(text).is_none(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn printed_and_read_again_it_is_the_same(
            display in prop::option::of("[A-Za-z]{1,8}|\"[A-Za-z <>;,]{0,12}\""),
            uri in "sip:[a-z]{1,8}@[a-z]{1,8}(;[a-z]{1,4})?",
            params in prop::option::of("tag=[a-z0-9]{1,8}"),
        ) {
            let mut text = display.map(|display| format!("{display} ")).unwrap_or_default();
            text.push_str(&format!("<{uri}>"));
            if let Some(params) = params { text.push_str(&format!(";{params}")); }
            let address = NameAddr::parse(&text).unwrap();
            prop_assert_eq!(address.to_string(), text);
        }

        #[test]
        fn nothing_makes_it_panic(text in ".{0,60}") {
            if let Some(address) = NameAddr::parse(&text) {
                let printed = address.to_string();
                prop_assert!(NameAddr::parse(&printed).is_some(), "{}", printed);
            }
        }
    }
}
