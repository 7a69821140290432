//! CSeq (RFC 3261 20.16).

use std::fmt;

use crate::header_name::Method;
use crate::text;

/// A request's number in its sequence, and its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Below 2^31.
    pub number: u32,
    /// The method of the request that it belongs to.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Reads a value; `None` where it is malformed or the number is 2^31 or more (RFC 3261 8.1.1.5).
    pub fn parse(value: &'a str) -> Option<Self> {
        let value = text::trim(value);
        let blank = text::find_blank(value)?;
        let (number, method) = (&value[..blank], text::trim(&value[blank..]));
        if !number.bytes().all(|byte| byte.is_ascii_digit()) || !text::is_token(method) {
            return None;
        }
        let number = number.parse().ok().filter(|number| *number < 1 << 31)?;
        Some(Self {
            number,
            method: Method::parse(method),
        })
    }
}

impl fmt::Display for CSeq<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_blanks_and_leading_zeros() {
        let cseq = CSeq::parse("0009\r\n  PUBLISH").unwrap();
        assert_eq!(
            cseq,
            CSeq {
                number: 9,
                method: Method::Publish
            }
        );
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "",
            "1",
            "PUBLISH 1",
            "-1 PUBLISH",
            "1 PUB LISH",
            "2147483648 PUBLISH",
            "36893488147419103232 PUBLISH",
            "1 ",
        ] {
            assert!(CSeq::parse(text).is_none(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn printed_and_read_again_it_is_the_same(number in 0u32..1 << 31, method in "[A-Z]{1,10}") {
            let cseq = CSeq { number, method: Method::parse(&method) };
            let printed = cseq.to_string();
            prop_assert_eq!(CSeq::parse(&printed), Some(cseq));
        }
    }
}
