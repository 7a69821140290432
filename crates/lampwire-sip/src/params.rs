//! Parameters behind a header value or a URI: `;name=value;flag`.

use std::borrow::Cow;

use crate::limits;
use crate::text;

/// The parameters of a header value or URI, as they were written, without the first semicolon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    /// Parameters from the text behind the first semicolon.
    pub(crate) const fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// As they were written.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Each parameter with its value, where it has one; quoted values keep their quotes. At most [`limits::MAX_PARAMS`].
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let end = text::find_outside(rest, b";").unwrap_or(rest.len());
                let (part, behind) = (text::trim(&rest[..end]), &rest[end..]);
                rest = behind.strip_prefix(';').unwrap_or(behind);
                if !part.is_empty() {
                    return Some(match part.split_once('=') {
                        Some((name, value)) => (text::trim(name), Some(text::trim(value))),
                        None => (part, None),
                    });
                }
            }
            None
        })
        .take(limits::MAX_PARAMS)
    }

    /// Whether all of them are seen, and a further one written behind them would be one more.
    pub(crate) fn is_whole(self) -> bool {
        text::is_closed(self.0) && self.iter().count() < limits::MAX_PARAMS
    }

    /// The first parameter of that name, in any case: `Some(None)` where it has no value.
    pub fn get(self, name: &str) -> Option<Option<&'a str>> {
        self.iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The value of a parameter, without quotes.
    pub fn value(self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).flatten().map(text::unquote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case_values_with_quotes_and_flags() {
        let params = Params::new(r#" Tag = a1 ;rport; x="a;b" ;;y="#);
        let all: Vec<_> = params.iter().collect();
        assert_eq!(
            all,
            [
                ("Tag", Some("a1")),
                ("rport", None),
                ("x", Some("\"a;b\"")),
                ("y", Some(""))
            ]
        );
        assert_eq!(params.get("TAG"), Some(Some("a1")));
        assert_eq!(params.get("rport"), Some(None));
        assert_eq!(params.get("none"), None);
        assert_eq!(params.value("x").as_deref(), Some("a;b"));
    }

    #[test]
    fn whole_is_what_can_be_added_to() {
        let many = |count: usize| ";a".repeat(count);
        assert!(Params::new(&many(limits::MAX_PARAMS - 1)).is_whole());
        assert!(!Params::new(&many(limits::MAX_PARAMS)).is_whole());
        assert!(Params::new("").is_whole() && Params::new("a=\"b;\"").is_whole());
        assert!(!Params::new("a=\"b;").is_whole() && !Params::new("a=<b").is_whole());
    }

    #[test]
    fn there_is_a_bound() {
        let many = ";a".repeat(1000);
        assert_eq!(Params::new(&many).iter().count(), limits::MAX_PARAMS);
    }
}
