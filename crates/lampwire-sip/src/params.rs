//! Parameters behind a header value or a URI: `;name=value;flag`.

use std::borrow::Cow;

use crate::limits;
use crate::text;

/// A parameter as it was found: with its value, where it has one.
pub(crate) type Found<'a> = Option<Option<&'a str>>;

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
                let end = text::find_outside(rest, b';').unwrap_or(rest.len());
                let (part, behind) = (text::trim(&rest[..end]), &rest[end..]);
                rest = behind.strip_prefix(';').unwrap_or(behind);
                if !part.is_empty() {
                    return Some(match text::cut(part, b'=') {
                        Some((name, value)) => (text::trim(name), Some(text::trim(value))),
                        None => (part, None),
                    });
                }
            }
            None
        })
        .take(limits::MAX_PARAMS)
    }

    /// What [`Params::get`] gives for each of these names, by one walk; `None` where not all of them are seen, or a further one written
    /// behind them would not be one more.
    pub(crate) fn whole<const N: usize>(self, names: [&str; N]) -> Option<[Found<'a>; N]> {
        let mut found = [None; N];
        let mut count = 0;
        for (known, value) in self.iter() {
            count += 1;
            let place = names.iter().position(|it| it.eq_ignore_ascii_case(known));
            if let Some(place) = place {
                found[place].get_or_insert(value);
            }
        }
        (count < limits::MAX_PARAMS && text::is_closed(self.0)).then_some(found)
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
        let whole = |text: &str| Params::new(text).whole([]).is_some();
        assert!(whole(&many(limits::MAX_PARAMS - 1)));
        assert!(!whole(&many(limits::MAX_PARAMS)));
        assert!(whole("") && whole("a=\"b;\""));
        assert!(!whole("a=\"b;") && !whole("a=<b"));
        let params = Params::new("b=1;A;a=2;B=3");
        assert_eq!(
            params.whole(["a", "b", "c"]),
            Some([Some(None), Some(Some("1")), None])
        );
    }

    #[test]
    fn there_is_a_bound() {
        let many = ";a".repeat(1000);
        assert_eq!(Params::new(&many).iter().count(), limits::MAX_PARAMS);
    }
}
