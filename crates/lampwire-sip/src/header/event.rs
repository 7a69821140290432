//! Event (RFC 6665 8.2.1).

use std::fmt;

use crate::params::Params;
use crate::text;

/// What a PUBLISH tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The package, with its templates; compared with its case.
    pub package: &'a str,
    /// The `id` parameter, where there is one.
    pub id: Option<&'a str>,
}

impl<'a> Event<'a> {
    /// Reads a value; `None` where the package is no token.
    pub fn parse(value: &'a str) -> Option<Self> {
        let (package, params) = text::cut(value, b';').unwrap_or((value, ""));
        let package = text::trim(package);
        let id = Params::new(params).get("id").flatten();
        text::is_token(package).then_some(Self { package, id })
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.package)?;
        self.id.map_or(Ok(()), |id| write!(f, ";id={id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_parameters_and_refuses_what_is_no_token() {
        let event = Event::parse("asterisk-mwi ;id=7;x");
        assert_eq!(
            event,
            Some(Event {
                package: "asterisk-mwi",
                id: Some("7")
            })
        );
        assert_eq!(
            event.map(|event| event.to_string()).as_deref(),
            Some("asterisk-mwi;id=7")
        );
        for text in ["", ";id=1", "a b", "a,b", "\"a\""] {
            assert_eq!(Event::parse(text), None, "{text:?}");
        }
    }
}
