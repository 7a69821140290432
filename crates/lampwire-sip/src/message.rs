//! A message as an index over its bytes: nothing is copied or allocated.

use crate::defect::{Defect, ParseError};
use crate::header::{CSeq, Challenge, Credentials, Event, MediaType, NameAddr, Via};
use crate::header_name::{HeaderName, Method};
use crate::limits;
use crate::text;

/// A SIP message that came as one datagram, or was cut out of a stream.
///
/// Headers are found when asked for and typed when they are read; those that are asked for again and again are typed once. A message that has a [`Defect`] can still be answered, as far as what
/// the answer repeats is there.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    /// The lines above the body, where all of them are UTF-8.
    head: Option<&'a str>,
    start: StartLine<'a>,
    headers: [Entry; limits::MAX_HEADERS],
    count: usize,
    /// The place of the first header of each name, and one more.
    first: [u8; HeaderName::ALL.len() + 1],
    via: Result<Via<'a>, Defect>,
    from: Result<NameAddr<'a>, Defect>,
    to: Result<NameAddr<'a>, Defect>,
    cseq: Result<CSeq<'a>, Defect>,
    event: Result<Option<Event<'a>>, Defect>,
    content_type: Option<MediaType<'a>>,
    body: &'a [u8],
    defect: Option<Defect>,
}

/// The first line of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartLine<'a> {
    /// `METHOD URI SIP/2.0`
    Request {
        /// What is wanted.
        method: Method<'a>,
        /// The request-URI, as it was written.
        uri: &'a str,
    },
    /// `SIP/2.0 STATUS REASON`
    Response {
        /// 100 to 699.
        status: u16,
        /// The reason phrase, as it was written.
        reason: &'a str,
    },
}

/// Where a header stands. Offsets fit 16 bits since a message does.
#[derive(Clone, Copy, Debug)]
struct Entry {
    name: HeaderName,
    name_start: u16,
    name_end: u16,
    start: u16,
    end: u16,
}

impl Entry {
    /// All zeros, which is quick to write; none of these is looked at.
    const NONE: Self = Self {
        name: HeaderName::Via,
        name_start: 0,
        name_end: 0,
        start: 0,
        end: 0,
    };
}

impl<'a> Message<'a> {
    /// Reads one datagram. Without Content-Length the body is the rest; what follows a shorter one is cut off (RFC 3261 18.3).
    ///
    /// # Errors
    /// It is nothing that could be answered.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        // RFC 3261 7.5: empty lines before the first are passed over.
        let skipped = datagram
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        let bytes = &datagram[skipped..];
        if bytes.is_empty() {
            return Err(ParseError::KeepAlive);
        }
        if bytes.len() > limits::MAX_MESSAGE {
            return Err(ParseError::TooLarge);
        }
        let mut lines = Lines {
            bytes,
            at: 0,
            defect: None,
        };
        let first = lines
            .next()
            .map_or(&bytes[..0], |(start, end)| &bytes[start..end]);
        let (start, defect) = parse_start_line(first)?;
        let mut message = Self {
            bytes,
            head: None,
            start,
            headers: [Entry::NONE; limits::MAX_HEADERS],
            count: 0,
            first: [0; HeaderName::ALL.len() + 1],
            via: Err(Defect::Missing(HeaderName::Via)),
            from: Err(Defect::Missing(HeaderName::From)),
            to: Err(Defect::Missing(HeaderName::To)),
            cseq: Err(Defect::Missing(HeaderName::CSeq)),
            event: Ok(None),
            content_type: None,
            body: &[],
            defect,
        };
        let body_start = message.index_headers(&mut lines);
        let (head, body) = bytes.split_at(body_start.unwrap_or(bytes.len()));
        message.head = std::str::from_utf8(head).ok();
        // Before all else: with a line break that is none, no line is beyond doubt.
        message.defect = lines.defect.or(message.defect);
        if body_start.is_none() {
            message.note(Defect::NoEndOfHeaders);
        }
        message.check_singles();
        message.type_headers();
        message.cut_body(body);
        message.check_cseq();
        Ok(message)
    }

    /// The first line.
    pub const fn start(&self) -> StartLine<'a> {
        self.start
    }

    /// The first thing that is wrong with the message as a whole, where anything is; a line break that is none comes before all else.
    pub const fn defect(&self) -> Option<Defect> {
        self.defect
    }

    /// The body.
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The first value of a header, without blanks around it. A folded one still has its line breaks: the typed readers take them as blanks.
    pub fn header(&self, name: HeaderName) -> Option<&'a str> {
        self.headers(name).next()
    }

    /// All values of a header, in order, each line as it was written.
    pub fn headers(&self, name: HeaderName) -> impl Iterator<Item = &'a str> + '_ {
        let entries = match self.first[name as usize].checked_sub(1) {
            Some(first) => &self.headers[usize::from(first)..self.count],
            None => &[],
        };
        entries
            .iter()
            .filter(move |entry| entry.name == name)
            .filter_map(|entry| self.value(entry))
    }

    /// All values of a header by its text, in any case; the compact form finds the whole name and the other way round.
    pub fn header_named<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'a str> + 'm {
        let known = HeaderName::parse(name.as_bytes());
        self.entries()
            .filter(move |entry| match known {
                HeaderName::Other => self.name(entry).eq_ignore_ascii_case(name.as_bytes()),
                known => entry.name == known,
            })
            .filter_map(|entry| self.value(entry))
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub const fn via(&self) -> Result<Via<'a>, Defect> {
        self.via
    }

    /// From.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub const fn from(&self) -> Result<NameAddr<'a>, Defect> {
        self.from
    }

    /// To.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub const fn to(&self) -> Result<NameAddr<'a>, Defect> {
        self.to
    }

    /// Call-ID.
    ///
    /// # Errors
    /// It is missing, empty, or has a blank or control character in it.
    pub fn call_id(&self) -> Result<&'a str, Defect> {
        let value = self.required(HeaderName::CallId)?;
        let plain = |byte| matches!(byte, b'!'..=b'~');
        let wrong = |c: char| text::is_blank(c) || c.is_control();
        if value.is_empty() || !value.bytes().all(plain) && value.contains(wrong) {
            return Err(Defect::Malformed(HeaderName::CallId));
        }
        Ok(value)
    }

    /// CSeq.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub const fn cseq(&self) -> Result<CSeq<'a>, Defect> {
        self.cseq
    }

    /// Max-Forwards, where it is there.
    ///
    /// # Errors
    /// It is no number from 0 to 255.
    pub fn max_forwards(&self) -> Result<Option<u8>, Defect> {
        let number = self.seconds(HeaderName::MaxForwards)?;
        number
            .map(|number| {
                u8::try_from(number).map_err(|_| Defect::Malformed(HeaderName::MaxForwards))
            })
            .transpose()
    }

    /// Event (RFC 6665 8.2.1), where it is there.
    ///
    /// # Errors
    /// It is no token.
    pub const fn event(&self) -> Result<Option<Event<'a>>, Defect> {
        self.event
    }

    /// Expires in seconds, where it is there; what is beyond 32 bits counts as 2^32 - 1 (RFC 3261 20.19).
    ///
    /// # Errors
    /// It is not made of digits.
    pub fn expires(&self) -> Result<Option<u32>, Defect> {
        self.seconds(HeaderName::Expires)
    }

    /// Min-Expires in seconds, where it is there.
    ///
    /// # Errors
    /// It is not made of digits.
    pub fn min_expires(&self) -> Result<Option<u32>, Defect> {
        self.seconds(HeaderName::MinExpires)
    }

    /// Retry-After in seconds, where it is there; its comment and parameters are passed over (RFC 3261 20.33).
    ///
    /// # Errors
    /// It does not begin with digits, or goes on in a way of its own.
    pub fn retry_after(&self) -> Result<Option<u32>, Defect> {
        let malformed = Defect::Malformed(HeaderName::RetryAfter);
        let Some(value) = self.header(HeaderName::RetryAfter) else {
            return Ok(None);
        };
        let end = value
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(value.len());
        let seconds = number(&value[..end]).ok_or(malformed)?;
        match text::skip_comments(&value[end..]) {
            Some(rest) if rest.is_empty() || rest.starts_with(';') => Ok(Some(seconds)),
            Some(_) | None => Err(malformed),
        }
    }

    /// SIP-ETag (RFC 3903 11.3.1): a token, compared to the letter.
    pub fn etag(&self) -> Option<&'a str> {
        self.header(HeaderName::SipETag)
    }

    /// SIP-If-Match (RFC 3903 11.3.2).
    pub fn if_match(&self) -> Option<&'a str> {
        self.header(HeaderName::SipIfMatch)
    }

    /// Content-Type; `None` also where it is malformed.
    pub const fn content_type(&self) -> Option<MediaType<'a>> {
        self.content_type
    }

    /// The challenges of WWW-Authenticate and Proxy-Authenticate, in order. Those of other schemes than Digest are errors.
    pub fn challenges(&self) -> impl Iterator<Item = Result<Challenge<'a>, Defect>> + '_ {
        self.entries().filter_map(|entry| {
            let proxy = match entry.name {
                HeaderName::WwwAuthenticate => false,
                HeaderName::ProxyAuthenticate => true,
                _ => return None,
            };
            let challenge = self
                .value(entry)
                .and_then(|value| Challenge::parse(value, proxy));
            Some(challenge.ok_or(Defect::Malformed(entry.name)))
        })
    }

    /// The credentials of Authorization and Proxy-Authorization, in order. Those of other schemes than Digest are errors.
    pub fn credentials(&self) -> impl Iterator<Item = Result<Credentials<'a>, Defect>> + '_ {
        self.entries().filter_map(|entry| {
            let proxy = match entry.name {
                HeaderName::Authorization => false,
                HeaderName::ProxyAuthorization => true,
                _ => return None,
            };
            let credentials = self
                .value(entry)
                .and_then(|value| Credentials::parse(value, proxy));
            Some(credentials.ok_or(Defect::Malformed(entry.name)))
        })
    }

    /// The option tags of all Require headers.
    pub fn require(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.headers(HeaderName::Require).flat_map(text::list)
    }

    /// The values of all list headers of that name: Allow, Accept, Allow-Events, Supported, Unsupported, Route, Record-Route, Contact, Via.
    pub fn list(&self, name: HeaderName) -> impl Iterator<Item = &'a str> + '_ {
        self.headers(name).flat_map(text::list)
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> + '_ {
        self.headers[..self.count].iter()
    }

    fn name(&self, entry: &Entry) -> &'a [u8] {
        &self.bytes[usize::from(entry.name_start)..usize::from(entry.name_end)]
    }

    fn value(&self, entry: &Entry) -> Option<&'a str> {
        let place = usize::from(entry.start)..usize::from(entry.end);
        let value = match self.head {
            Some(head) => head.get(place),
            None => std::str::from_utf8(&self.bytes[place]).ok(),
        };
        value.map(text::trim)
    }

    fn required(&self, name: HeaderName) -> Result<&'a str, Defect> {
        self.header(name).ok_or(Defect::Missing(name))
    }

    fn address(&self, name: HeaderName) -> Result<NameAddr<'a>, Defect> {
        NameAddr::parse(self.required(name)?).ok_or(Defect::Malformed(name))
    }

    fn seconds(&self, name: HeaderName) -> Result<Option<u32>, Defect> {
        let value = self.header(name);
        value
            .map(|value| number(value).ok_or(Defect::Malformed(name)))
            .transpose()
    }

    fn note(&mut self, defect: Defect) {
        self.defect.get_or_insert(defect);
    }

    /// Finds all headers; where the body begins, if the headers end.
    fn index_headers(&mut self, lines: &mut Lines<'a>) -> Option<usize> {
        // Whether the line before is a header that was kept, which a fold goes on with.
        let mut kept = false;
        while let Some((start, end)) = lines.next() {
            if start == end {
                return Some(lines.at);
            }
            let line = &self.bytes[start..end];
            if matches!(line[0], b' ' | b'\t') {
                // RFC 3261 7.3.1: a line that begins with a blank goes on with the header before it.
                match self.count.checked_sub(1) {
                    Some(last) if kept => {
                        self.headers[last].end = offset(end);
                        self.check_length(last);
                    }
                    // The rest of what has been refused.
                    _ if self.defect.is_some() => {}
                    _ => self.note(Defect::Fold),
                }
                continue;
            }
            kept = false;
            // A name, blanks perhaps, and a colon.
            let name = line.iter().position(|byte| !text::is_token_byte(*byte));
            let name = &line[..name.unwrap_or(line.len())];
            let behind = line[name.len()..].iter();
            let blanks = behind.take_while(|byte| matches!(byte, b' ' | b'\t'));
            let colon = name.len() + blanks.count();
            if name.is_empty() || line.get(colon) != Some(&b':') {
                self.note(Defect::HeaderLine);
                continue;
            }
            if self.count == limits::MAX_HEADERS {
                self.note(Defect::TooManyHeaders);
                continue;
            }
            let blanks = line[colon + 1..].iter();
            let blanks = blanks.take_while(|byte| **byte == b' ').count();
            self.headers[self.count] = Entry {
                name: HeaderName::parse(name),
                name_start: offset(start),
                name_end: offset(start + name.len()),
                start: offset(start + colon + 1 + blanks),
                end: offset(end),
            };
            self.check_length(self.count);
            self.count += 1;
            kept = true;
        }
        None
    }

    fn check_length(&mut self, index: usize) {
        let Entry {
            name_start, end, ..
        } = self.headers[index];
        if usize::from(end - name_start) > limits::MAX_HEADER_LINE {
            self.note(Defect::HeaderTooLong);
        }
    }

    /// Headers that a message has once, and that are text. Where the first of each name stands is noted by the way.
    fn check_singles(&mut self) {
        for (place, index) in (1..).zip(0..self.count) {
            let entry = self.headers[index];
            let first = &mut self.first[entry.name as usize];
            let again = *first != 0;
            if !again {
                *first = place;
            }
            if entry.name == HeaderName::Other {
                continue;
            }
            if self.head.is_none() && self.value(&entry).is_none() {
                self.note(Defect::NotUtf8(entry.name));
            } else if again
                && entry.name.is_single()
                && self.header(entry.name) != self.value(&entry)
            {
                self.note(Defect::Duplicate(entry.name));
            }
        }
    }

    /// Headers that are asked for again and again.
    fn type_headers(&mut self) {
        self.via = self.required(HeaderName::Via).and_then(|value| {
            let via = text::list(value).next().and_then(Via::parse);
            via.ok_or(Defect::Malformed(HeaderName::Via))
        });
        self.from = self.address(HeaderName::From);
        self.to = self.address(HeaderName::To);
        self.cseq = self.required(HeaderName::CSeq).and_then(|value| {
            let cseq = CSeq::parse(value);
            cseq.ok_or(Defect::Malformed(HeaderName::CSeq))
        });
        let event = self.header(HeaderName::Event);
        let event = event.map(|it| Event::parse(it).ok_or(Defect::Malformed(HeaderName::Event)));
        self.event = event.transpose();
        let content_type = self.header(HeaderName::ContentType);
        self.content_type = content_type.and_then(MediaType::parse);
    }

    fn cut_body(&mut self, rest: &'a [u8]) {
        self.body = match self.header(HeaderName::ContentLength) {
            None => rest,
            Some(value) => match digits(value) {
                None => {
                    self.note(Defect::Malformed(HeaderName::ContentLength));
                    rest
                }
                Some(length) => match usize::try_from(length).ok().and_then(|it| rest.get(..it)) {
                    Some(body) => body,
                    None => {
                        self.note(Defect::BodyTooShort);
                        rest
                    }
                },
            },
        };
        if self.body.len() > limits::MAX_BODY {
            self.note(Defect::BodyTooLong);
        }
    }

    fn check_cseq(&mut self) {
        if let (StartLine::Request { method, .. }, Ok(cseq)) = (self.start, self.cseq())
            && cseq.method != method
        {
            self.note(Defect::MethodOfCSeq);
        }
    }
}

/// The lines of a message: where each begins and ends, without its line break.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    defect: Option<Defect>,
}

impl Lines<'_> {
    fn next(&mut self) -> Option<(usize, usize)> {
        let start = self.at;
        let rest = self.bytes.get(start..).filter(|rest| !rest.is_empty())?;
        if let Some(end) = memchr::memchr3(b'\r', b'\n', 0, rest)
            && rest[end..].starts_with(b"\r\n")
        {
            self.at = start + end + 2;
            return Some((start, start + end));
        }
        // Something is wrong with this one, or it is the last.
        let line = match memchr::memchr(b'\n', rest) {
            Some(feed) => {
                self.at = start + feed + 1;
                match rest[..feed].strip_suffix(b"\r") {
                    Some(line) => line,
                    None => {
                        self.defect.get_or_insert(Defect::ControlCharacter);
                        &rest[..feed]
                    }
                }
            }
            None => {
                self.at = self.bytes.len();
                rest
            }
        };
        if memchr::memchr2(b'\r', 0, line).is_some() {
            self.defect.get_or_insert(Defect::ControlCharacter);
        }
        Some((start, start + line.len()))
    }
}

fn parse_start_line(line: &[u8]) -> Result<(StartLine<'_>, Option<Defect>), ParseError> {
    let line = std::str::from_utf8(line).map_err(|_| ParseError::NotSip)?;
    if let Some(rest) = strip_version(line) {
        let rest = rest.strip_prefix(' ').ok_or(ParseError::NotSip)?;
        let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        if status.len() != 3 {
            return Err(ParseError::NotSip);
        }
        let status = number(status).and_then(|status| u16::try_from(status).ok());
        return match status {
            Some(status @ 100..=699) => Ok((StartLine::Response { status, reason }, None)),
            Some(_) | None => Err(ParseError::NotSip),
        };
    }
    let whole = line.trim_end_matches(text::is_blank);
    let (method, rest) = text::cut(whole, b' ').ok_or(ParseError::NotSip)?;
    let (uri, version) = rest.rsplit_once(' ').ok_or(ParseError::NotSip)?;
    let family = version
        .get(..4)
        .is_some_and(|it| it.eq_ignore_ascii_case("SIP/"));
    if !text::is_token(method) || !family {
        return Err(ParseError::NotSip);
    }
    let misshapen = whole.len() != line.len()
        || line.len() > limits::MAX_START_LINE
        || uri.is_empty()
        || text::find_blank(uri).is_some()
        || !is_version(&version[4..]);
    let defect = if misshapen {
        Some(Defect::StartLine)
    } else {
        strip_version(version)
            .is_none_or(|rest| !rest.is_empty())
            .then_some(Defect::Version)
    };
    Ok((
        StartLine::Request {
            method: Method::parse(method),
            uri,
        },
        defect,
    ))
}

/// What follows `SIP/2.0`, which is written in any case (RFC 3261 7.1).
fn strip_version(text: &str) -> Option<&str> {
    let version = text.get(..7)?;
    version.eq_ignore_ascii_case("SIP/2.0").then(|| &text[7..])
}

/// Whether `text` is of the form of `2.0` (RFC 3261 7.1).
fn is_version(text: &str) -> bool {
    text.split_once('.')
        .is_some_and(|(major, minor)| digits(major).is_some() && digits(minor).is_some())
}

/// A number made of digits alone; beyond 64 bits it counts as 2^64 - 1.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// A number made of digits alone; beyond 32 bits it counts as 2^32 - 1.
fn number(text: &str) -> Option<u32> {
    digits(text).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// An offset within a message, which is at most 65,535 bytes.
fn offset(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_fold_goes_on_with_no_header_but_the_one_before_it() {
        let text = b"PUBLISH sip:a@b SIP/2.0\r\nFrom: <sip:a@b>;tag=1\r\nno header\r\n ;x=y\r\nTo:\r\n <sip:c@d>\r\n\r\n";
        let message = Message::parse(text).unwrap();
        assert_eq!(message.defect(), Some(Defect::HeaderLine));
        assert_eq!(message.header(HeaderName::From), Some("<sip:a@b>;tag=1"));
        assert_eq!(message.to().unwrap().uri, "sip:c@d");
    }

    #[test]
    fn a_line_break_that_is_none_comes_before_all_else() {
        let text = b"PUBLISH sip:a@b SIP/3.0\r\nno header\r\nl: 0\n\r\n";
        let message = Message::parse(text).unwrap();
        assert_eq!(message.defect(), Some(Defect::ControlCharacter));
    }

    #[test]
    fn a_version_is_two_numbers() {
        for (text, whole) in [
            ("2.0", true),
            ("10.00", true),
            ("2", false),
            ("2.", false),
            ("+2.0", false),
        ] {
            assert_eq!(is_version(text), whole, "{text}");
        }
    }
}
