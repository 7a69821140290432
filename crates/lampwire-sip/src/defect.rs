//! What can be wrong with a message.

use std::fmt;

use crate::header_name::HeaderName;

/// Why a datagram is no message that could be answered. Dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Line breaks only: it keeps a path through a NAT open (RFC 5626 3.5.1).
    #[error("a keep-alive")]
    KeepAlive,
    /// Its first line is neither a request's nor a response's.
    #[error("the first line is not SIP")]
    NotSip,
    /// Longer than [`crate::limits::MAX_MESSAGE`].
    #[error("longer than a datagram can be")]
    TooLarge,
}

/// What is wrong with a message that is recognisable as one. Its text is fit to be the reason phrase of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defect {
    /// The first line has blanks where none belong, or is too long.
    StartLine,
    /// Another version than SIP/2.0.
    Version,
    /// A line break that is not CR LF, or a NUL, within the headers.
    ControlCharacter,
    /// A line without colon, or with a name that is no token.
    HeaderLine,
    /// The first header begins with a blank.
    Fold,
    /// More than [`crate::limits::MAX_HEADERS`].
    TooManyHeaders,
    /// A header longer than [`crate::limits::MAX_HEADER_LINE`].
    HeaderTooLong,
    /// The message ends before the empty line behind the headers.
    NoEndOfHeaders,
    /// A header that a message has once stands there twice, and differs.
    Duplicate(HeaderName),
    /// A header that every message has is missing.
    Missing(HeaderName),
    /// A header's value is not what its grammar says.
    Malformed(HeaderName),
    /// A header's value is no UTF-8.
    NotUtf8(HeaderName),
    /// The body is shorter than Content-Length says.
    BodyTooShort,
    /// The body is longer than [`crate::limits::MAX_BODY`].
    BodyTooLong,
    /// CSeq names another method than the request.
    MethodOfCSeq,
}

impl Defect {
    /// The status of the answer: 505 for another version, 413 for a body that is too long, 400 for all else.
    pub const fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::BodyTooLong => 413,
            Self::StartLine
            | Self::ControlCharacter
            | Self::HeaderLine
            | Self::Fold
            | Self::TooManyHeaders
            | Self::HeaderTooLong
            | Self::NoEndOfHeaders
            | Self::Duplicate(_)
            | Self::Missing(_)
            | Self::Malformed(_)
            | Self::NotUtf8(_)
            | Self::BodyTooShort
            | Self::MethodOfCSeq => 400,
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartLine => f.write_str("Malformed request line"),
            Self::Version => f.write_str("Version Not Supported"),
            Self::ControlCharacter => f.write_str("Control character in a header"),
            Self::HeaderLine => f.write_str("Malformed header line"),
            Self::Fold => f.write_str("First header is folded"),
            Self::TooManyHeaders => f.write_str("Too many headers"),
            Self::HeaderTooLong => f.write_str("Header too long"),
            Self::NoEndOfHeaders => f.write_str("Headers do not end"),
            Self::Duplicate(name) => write!(f, "Two {} headers", name.as_str()),
            Self::Missing(name) => write!(f, "Missing {} header", name.as_str()),
            Self::Malformed(name) => write!(f, "Malformed {} header", name.as_str()),
            Self::NotUtf8(name) => write!(f, "{} header is not UTF-8", name.as_str()),
            Self::BodyTooShort => f.write_str("Body shorter than Content-Length"),
            Self::BodyTooLong => f.write_str("Body too long"),
            Self::MethodOfCSeq => f.write_str("CSeq method differs from the request"),
        }
    }
}

impl std::error::Error for Defect {}
