//! Messages, written into a caller's buffer.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

use crate::header::Via;
use crate::header_name::{HeaderName, Method};
use crate::message::Message;
use crate::text;

/// Writes one message behind what the buffer holds. It allocates nothing but what the buffer needs to grow.
///
/// Whatever is written as a value, no CR, LF or NUL gets through: they become blanks, so that nothing that is echoed can begin a header
/// of its own.
#[derive(Debug)]
pub struct Writer<'b> {
    out: &'b mut Vec<u8>,
    names: Names,
    /// Where the line that is being written begins.
    line: usize,
}

/// How the names of headers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// In full.
    #[default]
    Full,
    /// In the compact form, where there is one (compact_headers).
    Compact,
}

impl<'b> Writer<'b> {
    /// A request, begun with its first line.
    pub fn request(out: &'b mut Vec<u8>, names: Names, method: Method<'_>, uri: &str) -> Self {
        let mut writer = Self::new(out, names);
        writer.put(method.as_str());
        writer.put(" ");
        writer.put(uri);
        writer.put(" SIP/2.0");
        writer.end_line();
        writer
    }

    /// A response, begun with its first line. An empty reason stands for the usual phrase of the status.
    pub fn response(out: &'b mut Vec<u8>, names: Names, status: u16, reason: &str) -> Self {
        let reason = if reason.is_empty() {
            reason_phrase(status)
        } else {
            reason
        };
        let mut writer = Self::new(out, names);
        writer.put("SIP/2.0 ");
        writer.put_number(status.into());
        writer.put(" ");
        writer.put(reason);
        writer.end_line();
        writer
    }

    /// A response to `request`, with all that it repeats (RFC 3261 8.2.6.2): each Via in order, From, To with `to_tag` where it has none,
    /// Call-ID and CSeq, even where they are malformed. The topmost Via says where the request came from (RFC 3261 18.2.1, RFC 3581 4).
    pub fn reply(
        out: &'b mut Vec<u8>,
        names: Names,
        request: &Message<'_>,
        source: SocketAddr,
        status: u16,
        reason: &str,
        to_tag: &str,
    ) -> Self {
        let mut writer = Self::response(out, names, status, reason);
        for (index, value) in request.list(HeaderName::Via).enumerate() {
            // An empty one before it leaves the topmost untyped.
            let typed = || request.via().ok().or_else(|| Via::parse(value));
            match (index == 0).then(typed).flatten() {
                Some(via) => writer.received(value, &via, source),
                None => writer.text(HeaderName::Via, value),
            };
        }
        if let Some(from) = request.header(HeaderName::From) {
            writer.text(HeaderName::From, from);
        }
        if let Some(to) = request.header(HeaderName::To) {
            let tagged = request.to().is_ok_and(|to| to.tag().is_some());
            writer.begin(HeaderName::To);
            writer.put(to);
            if !tagged && !to_tag.is_empty() {
                writer.put(";tag=");
                writer.put(to_tag);
            }
            writer.end_line();
        }
        for name in [HeaderName::CallId, HeaderName::CSeq] {
            if let Some(value) = request.header(name) {
                writer.text(name, value);
            }
        }
        writer
    }

    /// A header. `Other` has no name and is passed over.
    pub fn header(&mut self, name: HeaderName, value: impl fmt::Display) -> &mut Self {
        if name != HeaderName::Other {
            self.begin(name);
            self.put_display(format_args!("{value}"));
            self.end_line();
        }
        self
    }

    /// The same of a value that needs no formatting.
    pub fn text(&mut self, name: HeaderName, value: &str) -> &mut Self {
        if name != HeaderName::Other {
            self.begin(name);
            self.put(value);
            self.end_line();
        }
        self
    }

    /// The same of a number: a length, or seconds.
    pub fn number(&mut self, name: HeaderName, value: u32) -> &mut Self {
        if name != HeaderName::Other {
            self.begin(name);
            self.put_number(value);
            self.end_line();
        }
        self
    }

    /// A header of any other name, which must be a token; another is passed over.
    pub fn raw(&mut self, name: &str, value: impl fmt::Display) -> &mut Self {
        if text::is_token(name) {
            self.put_display(format_args!("{name}: {value}"));
            self.end_line();
        }
        self
    }

    /// Ends the message, without a body.
    pub fn finish(mut self) {
        self.text(HeaderName::ContentLength, "0");
        self.out.extend_from_slice(b"\r\n");
    }

    /// Ends the message with a body of this media type.
    pub fn finish_with_body(mut self, media_type: &str, body: &[u8]) {
        self.text(HeaderName::ContentType, media_type)
            .header(HeaderName::ContentLength, body.len());
        self.out.extend_from_slice(b"\r\n");
        self.out.extend_from_slice(body);
    }

    fn new(out: &'b mut Vec<u8>, names: Names) -> Self {
        let line = out.len();
        Self { out, names, line }
    }

    /// The topmost Via with the address and port that the request came from.
    fn received(&mut self, value: &str, via: &Via<'_>, source: SocketAddr) -> &mut Self {
        self.begin(HeaderName::Via);
        // What is before the parameters is left as it was written: the sender knows its own by it (RFC 3261 18.1.2).
        let sent = text::cut(value, b';').map_or(value, |(sent, _)| sent);
        self.put(text::trim(sent));
        for (name, value) in via.params.iter() {
            if name.eq_ignore_ascii_case("received") {
                continue; // what the sender says of its own address is not what we saw
            }
            self.put(";");
            self.put(name);
            if name.eq_ignore_ascii_case("rport") {
                self.put("=");
                self.put_number(source.port().into());
            } else if let Some(value) = value {
                self.put("=");
                self.put(value);
            }
        }
        // RFC 3581 4 asks for it beside rport; RFC 3261 18.2.1 where sent-by is another address.
        self.put(";received=");
        match source.ip() {
            IpAddr::V4(address) => {
                for (index, octet) in address.octets().into_iter().enumerate() {
                    if index > 0 {
                        self.put(".");
                    }
                    self.put_number(octet.into());
                }
            }
            IpAddr::V6(address) => self.put_display(format_args!("{address}")),
        }
        self.end_line();
        self
    }

    fn begin(&mut self, name: HeaderName) {
        let name = match self.names {
            Names::Full => name.as_str(),
            Names::Compact => name.compact().unwrap_or(name.as_str()),
        };
        self.put(name);
        self.put(": ");
    }

    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn put_number(&mut self, number: u32) {
        let (mut digits, mut rest) = ([0; 10], number);
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b"0123456789"[(rest % 10) as usize];
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[first..]);
    }

    fn put_display(&mut self, value: fmt::Arguments<'_>) {
        // Writing into a buffer that grows cannot fail; a value whose Display does writes what it had.
        let _ = Parts(self).write_fmt(value);
    }

    /// Ends a line, and lets no line break in it through.
    fn end_line(&mut self) {
        let line = &mut self.out[self.line..];
        if memchr::memchr3(b'\r', b'\n', 0, line).is_some() {
            for byte in line {
                if matches!(byte, b'\r' | b'\n' | 0) {
                    *byte = b' ';
                }
            }
        }
        self.out.extend_from_slice(b"\r\n");
        self.line = self.out.len();
    }
}

/// What is formatted comes in parts.
struct Parts<'w, 'b>(&'w mut Writer<'b>);

impl fmt::Write for Parts<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.put(text);
        Ok(())
    }
}

/// The usual reason phrase of a status.
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        200 => "OK",
        202 => "Accepted",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        489 => "Bad Event",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        _ => match status / 100 {
            1 => "In Progress",
            2 => "Success",
            3 => "Redirection",
            4 => "Request Failure",
            5 => "Server Failure",
            _ => "Global Failure",
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::message::StartLine;

    const REQUEST: &str = "PUBLISH sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP 10.0.0.1:5070;rport;received=6.6.6.6;branch=z9hG4bK1, SIP/2.0/TCP two\r\n\
        Via: SIP/2.0/UDP three\r\nFrom: \"x\" <sip:a@b>;tag=f\r\nt: <sip:a@b>\r\ni: call\r\nCSeq: 7 PUBLISH\r\n\r\n";

    fn reply(request: &str, source: &str) -> String {
        let request = Message::parse(request.as_bytes()).unwrap();
        let mut out = b"before ".to_vec();
        Writer::reply(
            &mut out,
            Names::Full,
            &request,
            source.parse().unwrap(),
            200,
            "",
            "t1",
        )
        .finish();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_reply_repeats_what_it_must_and_says_where_the_request_came_from() {
        assert_eq!(
            reply(REQUEST, "10.0.0.9:40000"),
            "before SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1:5070;rport=40000;branch=z9hG4bK1;received=10.0.0.9\r\n\
             Via: SIP/2.0/TCP two\r\nVia: SIP/2.0/UDP three\r\nFrom: \"x\" <sip:a@b>;tag=f\r\nTo: <sip:a@b>;tag=t1\r\n\
             Call-ID: call\r\nCSeq: 7 PUBLISH\r\nContent-Length: 0\r\n\r\n"
        );
        let tagged = REQUEST.replace("t: <sip:a@b>", "t: <sip:a@b>;tag=mine");
        assert!(reply(&tagged, "[::1]:5060").contains("\r\nTo: <sip:a@b>;tag=mine\r\n"));
        assert!(reply(REQUEST, "[::1]:5060").contains(";received=::1\r\n"));
    }

    #[test]
    fn a_reply_keeps_the_sent_by_as_it_was_written() {
        let odd = REQUEST.replace(
            "SIP/2.0/UDP 10.0.0.1:5070;",
            "SIP / 2.0/udp [2001:DB8:0::1] : 5070 ;",
        );
        assert!(
            reply(&odd, "[::1]:5060")
                .contains("\r\nVia: SIP / 2.0/udp [2001:DB8:0::1] : 5070;rport=5060;branch")
        );
    }

    #[test]
    fn nothing_that_is_echoed_begins_a_header() {
        let mut out = Vec::new();
        let mut writer = Writer::response(&mut out, Names::Compact, 400, "Bad\r\nX-Evil: 1");
        writer
            .header(HeaderName::Via, "a\nb\0c")
            .raw("X-Name", "d\re")
            .raw("bad name", "x");
        writer.finish_with_body("application/json", b"{}\r\n");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "SIP/2.0 400 Bad  X-Evil: 1\r\nv: a b c\r\nX-Name: d e\r\nc: application/json\r\nl: 4\r\n\r\n{}\r\n"
        );
    }

    #[test]
    fn what_is_written_is_read() {
        for names in [Names::Full, Names::Compact] {
            let mut out = Vec::new();
            let mut writer = Writer::request(&mut out, names, Method::Publish, "sip:a@b");
            writer
                .header(HeaderName::Via, "SIP/2.0/UDP h;branch=z9hG4bK1")
                .header(HeaderName::CSeq, "1 PUBLISH")
                .header(HeaderName::Event, "asterisk-mwi");
            writer.finish_with_body("application/json", b"{}");
            let message = Message::parse(&out).unwrap();
            assert_eq!(
                message.start(),
                StartLine::Request {
                    method: Method::Publish,
                    uri: "sip:a@b"
                }
            );
            assert_eq!(message.defect(), None);
            assert_eq!(message.event().unwrap().unwrap().package, "asterisk-mwi");
            assert_eq!(message.body(), b"{}");
        }
    }
}
