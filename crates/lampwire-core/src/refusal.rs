//! A refusal is a value: what the peer hears, and separately what the log says.

use std::borrow::Cow;

/// A request that is not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The answer's status, 400 to 699.
    pub(crate) status: u16,
    /// The answer's reason phrase; empty for the standard one.
    pub(crate) reason: Cow<'static, str>,
    /// The header that belongs to the status.
    pub(crate) header: RefusalHeader,
    /// A short code for logs and counters: one of few.
    pub(crate) code: &'static str,
    /// What the operator is told, beyond who and what.
    pub(crate) cause: Cow<'static, str>,
}

/// The header that tells the peer what to do about a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RefusalHeader {
    None,
    /// 401: WWW-Authenticate, one a algorithm; true for an old nonce.
    Challenge {
        stale: bool,
    },
    /// 405: the methods that are understood.
    Allow,
    /// 415: the media type that is understood.
    Accept,
    /// 489: the events that are understood.
    AllowEvents,
    /// 423: the shortest expiry taken, in seconds.
    MinExpires(u32),
    /// 420: the option tags that are not understood.
    Unsupported(String),
    /// 503: when to try again, in seconds.
    RetryAfter(u32),
}

impl Refusal {
    pub(crate) fn new(
        status: u16,
        code: &'static str,
        cause: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            reason: Cow::Borrowed(""),
            header: RefusalHeader::None,
            code,
            cause: cause.into(),
        }
    }

    pub(crate) fn with(self, header: RefusalHeader) -> Self {
        Self { header, ..self }
    }

    pub(crate) fn saying(self, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason: reason.into(),
            ..self
        }
    }
}
