//! Content-Type and the values of Accept (RFC 3261 20.15).

use std::fmt;

use crate::params::Params;
use crate::text;

/// A media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// `application` of `application/json`.
    pub kind: &'a str,
    /// `json` of `application/json`.
    pub subtype: &'a str,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Reads a value; `None` where it is malformed.
    pub fn parse(value: &'a str) -> Option<Self> {
        let (types, params) = text::cut(value, b';').unwrap_or((value, ""));
        let (kind, subtype) = text::cut(types, b'/')?;
        let (kind, subtype) = (text::trim(kind), text::trim(subtype));
        (text::is_token(kind) && text::is_token(subtype)).then_some(Self {
            kind,
            subtype,
            params: Params::new(params),
        })
    }

    /// Whether it is that of many states in one body.
    pub fn is_states(&self) -> bool {
        crate::states::STATES_MEDIA_TYPE
            .split_once('/')
            .is_some_and(|(kind, subtype)| self.is(kind, subtype))
    }

    /// Whether it is this type, in any case and with whatever parameters.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.subtype.eq_ignore_ascii_case(subtype) && self.kind.eq_ignore_ascii_case(kind)
    }
}

impl fmt::Display for MediaType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.subtype)?;
        if !self.params.as_str().is_empty() {
            write!(f, ";{}", self.params.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_parameters_do_not_matter() {
        for text in [
            "application/json",
            "Application/JSON;charset=utf-8",
            "application / json ; a",
        ] {
            let media_type = MediaType::parse(text);
            assert!(
                media_type.is_some_and(|it| it.is("application", "json")),
                "{text}"
            );
        }
        for text in ["", "json", "/json", "application/", "application/js on"] {
            assert!(MediaType::parse(text).is_none(), "{text:?}");
        }
    }
}
