//! Names of headers, their compact forms, and methods.

/// The headers that the exchange knows; all others are kept verbatim under their own names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // each is the header of its name
pub enum HeaderName {
    Via,
    From,
    To,
    CallId,
    CSeq,
    MaxForwards,
    Contact,
    Event,
    SipETag,
    SipIfMatch,
    Expires,
    MinExpires,
    RetryAfter,
    ContentType,
    ContentLength,
    ContentEncoding,
    WwwAuthenticate,
    ProxyAuthenticate,
    Authorization,
    ProxyAuthorization,
    Allow,
    Accept,
    AllowEvents,
    Require,
    Supported,
    Unsupported,
    Route,
    RecordRoute,
    Server,
    UserAgent,
    Warning,
    Date,
    /// Any other.
    Other,
}

impl HeaderName {
    /// Every name but `Other`.
    pub const ALL: [Self; 32] = [
        Self::Via,
        Self::From,
        Self::To,
        Self::CallId,
        Self::CSeq,
        Self::MaxForwards,
        Self::Contact,
        Self::Event,
        Self::SipETag,
        Self::SipIfMatch,
        Self::Expires,
        Self::MinExpires,
        Self::RetryAfter,
        Self::ContentType,
        Self::ContentLength,
        Self::ContentEncoding,
        Self::WwwAuthenticate,
        Self::ProxyAuthenticate,
        Self::Authorization,
        Self::ProxyAuthorization,
        Self::Allow,
        Self::Accept,
        Self::AllowEvents,
        Self::Require,
        Self::Supported,
        Self::Unsupported,
        Self::Route,
        Self::RecordRoute,
        Self::Server,
        Self::UserAgent,
        Self::Warning,
        Self::Date,
    ];

    /// The name in its usual spelling; empty for `Other`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Via => "Via",
            Self::From => "From",
            Self::To => "To",
            Self::CallId => "Call-ID",
            Self::CSeq => "CSeq",
            Self::MaxForwards => "Max-Forwards",
            Self::Contact => "Contact",
            Self::Event => "Event",
            Self::SipETag => "SIP-ETag",
            Self::SipIfMatch => "SIP-If-Match",
            Self::Expires => "Expires",
            Self::MinExpires => "Min-Expires",
            Self::RetryAfter => "Retry-After",
            Self::ContentType => "Content-Type",
            Self::ContentLength => "Content-Length",
            Self::ContentEncoding => "Content-Encoding",
            Self::WwwAuthenticate => "WWW-Authenticate",
            Self::ProxyAuthenticate => "Proxy-Authenticate",
            Self::Authorization => "Authorization",
            Self::ProxyAuthorization => "Proxy-Authorization",
            Self::Allow => "Allow",
            Self::Accept => "Accept",
            Self::AllowEvents => "Allow-Events",
            Self::Require => "Require",
            Self::Supported => "Supported",
            Self::Unsupported => "Unsupported",
            Self::Route => "Route",
            Self::RecordRoute => "Record-Route",
            Self::Server => "Server",
            Self::UserAgent => "User-Agent",
            Self::Warning => "Warning",
            Self::Date => "Date",
            Self::Other => "",
        }
    }

    /// The compact form (RFC 3261 20, RFC 6665 8.2.1), where there is one.
    pub const fn compact(self) -> Option<&'static str> {
        match self {
            Self::Via => Some("v"),
            Self::From => Some("f"),
            Self::To => Some("t"),
            Self::CallId => Some("i"),
            Self::Contact => Some("m"),
            Self::Event => Some("o"),
            Self::ContentType => Some("c"),
            Self::ContentLength => Some("l"),
            Self::ContentEncoding => Some("e"),
            Self::Supported => Some("k"),
            Self::AllowEvents => Some("u"),
            Self::CSeq
            | Self::MaxForwards
            | Self::SipETag
            | Self::SipIfMatch
            | Self::Expires
            | Self::MinExpires
            | Self::RetryAfter
            | Self::WwwAuthenticate
            | Self::ProxyAuthenticate
            | Self::Authorization
            | Self::ProxyAuthorization
            | Self::Allow
            | Self::Accept
            | Self::Require
            | Self::Unsupported
            | Self::Route
            | Self::RecordRoute
            | Self::Server
            | Self::UserAgent
            | Self::Warning
            | Self::Date
            | Self::Other => None,
        }
    }

    /// The header of a name, in any case and in its compact form.
    pub fn parse(name: &[u8]) -> Self {
        let Some(first) = name.first().map(u8::to_ascii_lowercase) else {
            return Self::Other;
        };
        if name.len() == 1 {
            return match first {
                b'v' => Self::Via,
                b'f' => Self::From,
                b't' => Self::To,
                b'i' => Self::CallId,
                b'm' => Self::Contact,
                b'o' => Self::Event,
                b'c' => Self::ContentType,
                b'l' => Self::ContentLength,
                b'e' => Self::ContentEncoding,
                b'k' => Self::Supported,
                b'u' => Self::AllowEvents,
                _ => Self::Other,
            };
        }
        // Length and first letter leave one that it can be.
        let candidate = match (name.len(), first) {
            (2, b't') => Self::To,
            (3, b'v') => Self::Via,
            (4, b'f') => Self::From,
            (4, b'c') => Self::CSeq,
            (4, b'd') => Self::Date,
            (5, b'e') => Self::Event,
            (5, b'r') => Self::Route,
            (5, b'a') => Self::Allow,
            (6, b'a') => Self::Accept,
            (6, b's') => Self::Server,
            (7, b'c') if name[4] == b'-' => Self::CallId,
            (7, b'c') => Self::Contact,
            (7, b'e') => Self::Expires,
            (7, b'r') => Self::Require,
            (7, b'w') => Self::Warning,
            (8, b's') => Self::SipETag,
            (9, b's') => Self::Supported,
            (10, b'u') => Self::UserAgent,
            (11, b'm') => Self::MinExpires,
            (11, b'r') => Self::RetryAfter,
            (11, b'u') => Self::Unsupported,
            (12, b'm') => Self::MaxForwards,
            (12, b's') => Self::SipIfMatch,
            (12, b'c') => Self::ContentType,
            (12, b'a') => Self::AllowEvents,
            (12, b'r') => Self::RecordRoute,
            (13, b'a') => Self::Authorization,
            (14, b'c') => Self::ContentLength,
            (16, b'w') => Self::WwwAuthenticate,
            (16, b'c') => Self::ContentEncoding,
            (18, b'p') => Self::ProxyAuthenticate,
            (19, b'p') => Self::ProxyAuthorization,
            _ => return Self::Other,
        };
        let text = candidate.as_str().as_bytes();
        match text == name || text.eq_ignore_ascii_case(name) {
            true => candidate,
            false => Self::Other,
        }
    }

    /// Whether a message may have it once only (RFC 3261 7.3.1): two that differ make a message mean two things.
    pub(crate) const fn is_single(self) -> bool {
        matches!(
            self,
            Self::From
                | Self::To
                | Self::CallId
                | Self::CSeq
                | Self::MaxForwards
                | Self::Event
                | Self::SipETag
                | Self::SipIfMatch
                | Self::Expires
                | Self::MinExpires
                | Self::RetryAfter
                | Self::ContentType
                | Self::ContentLength
        )
    }
}

/// A request's method. Methods are compared with their case (RFC 3261 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is the method of its name
pub enum Method<'a> {
    Publish,
    Options,
    Register,
    Invite,
    Ack,
    Bye,
    Cancel,
    Subscribe,
    Notify,
    Message,
    Info,
    Update,
    Prack,
    Refer,
    /// Any other token.
    Other(&'a str),
}

impl<'a> Method<'a> {
    /// The method of a word.
    pub fn parse(word: &'a str) -> Self {
        match word {
            "PUBLISH" => Self::Publish,
            "OPTIONS" => Self::Options,
            "REGISTER" => Self::Register,
            "INVITE" => Self::Invite,
            "ACK" => Self::Ack,
            "BYE" => Self::Bye,
            "CANCEL" => Self::Cancel,
            "SUBSCRIBE" => Self::Subscribe,
            "NOTIFY" => Self::Notify,
            "MESSAGE" => Self::Message,
            "INFO" => Self::Info,
            "UPDATE" => Self::Update,
            "PRACK" => Self::Prack,
            "REFER" => Self::Refer,
            other => Self::Other(other),
        }
    }

    /// The word of the method.
    pub const fn as_str(&self) -> &'a str {
        match self {
            Self::Publish => "PUBLISH",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Subscribe => "SUBSCRIBE",
            Self::Notify => "NOTIFY",
            Self::Message => "MESSAGE",
            Self::Info => "INFO",
            Self::Update => "UPDATE",
            Self::Prack => "PRACK",
            Self::Refer => "REFER",
            Self::Other(word) => word,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_in_any_case_and_in_its_compact_form() {
        for name in HeaderName::ALL {
            let text = name.as_str();
            assert_eq!(HeaderName::parse(text.as_bytes()), name);
            assert_eq!(HeaderName::parse(text.to_uppercase().as_bytes()), name);
            assert_eq!(HeaderName::parse(text.to_lowercase().as_bytes()), name);
            if let Some(compact) = name.compact() {
                assert_eq!(HeaderName::parse(compact.as_bytes()), name);
                assert_eq!(HeaderName::parse(compact.to_uppercase().as_bytes()), name);
            }
        }
        for other in ["", "x", "X-Via", "Vias", "Cal-ID", "Content-Lengths"] {
            assert_eq!(HeaderName::parse(other.as_bytes()), HeaderName::Other);
        }
    }
}
