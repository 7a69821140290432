//! Messages out of a stream (TCP, TLS), by the same rules as datagrams (RFC 3261 18.3, RFC 5626 3.5.1).

use crate::header_name::HeaderName;
use crate::limits;
use crate::text;

/// Cuts a stream of bytes into messages. It holds what has come of the next message and no more.
///
/// What a datagram forgives, a stream cannot: where a message's length is not beyond doubt, whatever follows could be taken for a message
/// of its own. Then the stream is at its end, and the connection is to be closed.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// Where the next frame begins. What is before it goes when more comes: to move the rest for each frame would make many small
    /// frames dear.
    at: usize,
    /// How far behind `at` the headers' end has been looked for.
    searched: usize,
    /// The length of the next message, once its headers are whole; 0 before.
    length: usize,
    /// The last frame was a pong, which another CR LF makes a ping.
    half_ping: bool,
    failed: Option<StreamError>,
}

/// What was cut out of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message.
    Message(&'a [u8]),
    /// CR LF CR LF: the peer asks whether the connection lives, and expects CR LF.
    Ping,
    /// CR LF alone: the answer to our ping.
    Pong,
    /// The headers of a message whose body is longer than [`limits::MAX_BODY`], so that it can be answered. It is the last frame: the stream
    /// is at its end behind it.
    Overlong(&'a [u8]),
}

/// Why a stream is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The headers of a message are longer than [`limits::MAX_HEAD`].
    #[error("the headers do not end")]
    HeadersTooLong,
    /// No Content-Length.
    #[error("a message on a stream needs a Content-Length")]
    NoLength,
    /// Content-Length is no number, or there are two that differ.
    #[error("the Content-Length is in doubt")]
    BadLength,
    /// Content-Length is beyond [`limits::MAX_BODY`].
    #[error("the body is too long")]
    BodyTooLong,
    /// A line break that is not CR LF within the headers.
    #[error("a line break that is none")]
    LineBreak,
    /// A byte that cannot begin a message.
    #[error("not SIP")]
    NotSip,
}

impl Splitter {
    /// An empty stream.
    pub const fn new() -> Self {
        Self {
            buffer: Vec::new(),
            at: 0,
            searched: 0,
            length: 0,
            half_ping: false,
            failed: None,
        }
    }

    /// More bytes have come. Take all frames with `next` before the next call.
    ///
    /// # Errors
    /// The stream was at its end before.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next frame, if all of it has come.
    ///
    /// # Errors
    /// The stream is at its end; every later call says so again.
    #[allow(clippy::should_implement_trait)] // a lending iterator: each frame lives until the next call
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, StreamError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.cut() {
            Ok(Cut::More) => Ok(None),
            Ok(Cut::Ping(length)) => {
                self.take(length, false);
                Ok(Some(Frame::Ping))
            }
            Ok(Cut::Pong) => {
                self.take(2, true);
                Ok(Some(Frame::Pong))
            }
            Ok(Cut::Message(length)) => {
                let start = self.at;
                self.take(length, false);
                Ok(Some(Frame::Message(&self.buffer[start..self.at])))
            }
            Ok(Cut::Overlong(length)) => {
                self.failed = Some(StreamError::BodyTooLong);
                let head = self.at..self.at + length;
                self.at = self.buffer.len();
                Ok(Some(Frame::Overlong(&self.buffer[head])))
            }
            Err(error) => {
                self.failed = Some(error);
                self.buffer = Vec::new();
                self.at = 0;
                Err(error)
            }
        }
    }

    /// Bytes of a message that has not come whole: a stream that is silent with some is waited for, but not for ever.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.at
    }

    fn take(&mut self, length: usize, half_ping: bool) {
        self.at += length;
        self.searched = 0;
        self.length = 0;
        self.half_ping = half_ping;
    }

    fn cut(&mut self) -> Result<Cut, StreamError> {
        let rest = &self.buffer[self.at..];
        match rest {
            [] | [b'\r'] => return Ok(Cut::More),
            // The other half of a ping whose first half came alone, and was taken for a pong.
            [b'\r', b'\n', ..] if self.half_ping => return Ok(Cut::Ping(2)),
            [b'\r', b'\n', b'\r', b'\n', ..] => return Ok(Cut::Ping(4)),
            // The rest of a ping may be on its way; a pong is known once anything else follows or nothing does.
            [b'\r', b'\n', b'\r'] => return Ok(Cut::More),
            [b'\r', b'\n', ..] => return Ok(Cut::Pong),
            [first, ..] if !first.is_ascii_alphabetic() => return Err(StreamError::NotSip),
            _ => {}
        }
        if self.length == 0 {
            // The end that is looked for may have begun in what was searched before, or be where the search ended.
            let from = self.searched.saturating_sub(4);
            let Some(end) = find_end(&rest[from..]).map(|at| from + at) else {
                self.searched = rest.len();
                return if rest.len() > limits::MAX_HEAD {
                    Err(StreamError::HeadersTooLong)
                } else {
                    Ok(Cut::More)
                };
            };
            if end > limits::MAX_HEAD {
                return Err(StreamError::HeadersTooLong);
            }
            self.length = match content_length(&rest[..end - 2]) {
                Err(StreamError::BodyTooLong) => return Ok(Cut::Overlong(end)),
                length => end + length?,
            };
        }
        Ok(if rest.len() < self.length {
            Cut::More
        } else {
            Cut::Message(self.length)
        })
    }
}

enum Cut {
    More,
    /// How many bytes of it are left.
    Ping(usize),
    Pong,
    Message(usize),
    /// The length of the headers.
    Overlong(usize),
}

/// Where the body begins: behind the first CR LF CR LF.
fn find_end(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// The one length that the headers tell. `Content-Length : n`, in any case, in compact form or folded, is the same header.
fn content_length(headers: &[u8]) -> Result<usize, StreamError> {
    let mut found = None;
    let mut folded_onto_length = false;
    // An empty piece in between would be a blank line of a bare feed, which ends the headers to other readers.
    let headers = headers.strip_suffix(b"\n").unwrap_or(headers);
    for line in headers.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").ok_or(StreamError::LineBreak)?;
        if memchr::memchr2(b'\r', 0, line).is_some() {
            return Err(StreamError::LineBreak);
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            if folded_onto_length && !text::trim_blanks(line).is_empty() {
                // A length in two lines may be read in two ways.
                let value = number(text::trim_blanks(line))?;
                if found.replace(value).is_some() {
                    return Err(StreamError::BadLength);
                }
            }
            continue;
        }
        folded_onto_length = false;
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        if HeaderName::parse(text::trim_blanks_end(&line[..colon])) != HeaderName::ContentLength {
            continue;
        }
        folded_onto_length = true;
        let value = text::trim_blanks(&line[colon + 1..]);
        if value.is_empty() {
            continue; // the value may follow in a folded line
        }
        let value = number(value)?;
        if found.is_some_and(|other| other != value) {
            return Err(StreamError::BadLength);
        }
        found = Some(value);
    }
    let length = found.ok_or(StreamError::NoLength)?;
    if length > limits::MAX_BODY {
        Err(StreamError::BodyTooLong)
    } else {
        Ok(length)
    }
}

fn number(value: &[u8]) -> Result<usize, StreamError> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(StreamError::BadLength);
    }
    let text = std::str::from_utf8(value).map_err(|_| StreamError::BadLength)?;
    text.parse().map_err(|_| StreamError::BodyTooLong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn message(length: &str, body: &str) -> String {
        format!("OPTIONS sip:a@b SIP/2.0\r\nCSeq: 1 OPTIONS\r\n{length}\r\n\r\n{body}")
    }

    fn split(chunks: &[&[u8]]) -> (Vec<String>, Option<StreamError>) {
        let mut splitter = Splitter::new();
        let mut frames = Vec::new();
        for chunk in chunks {
            if let Err(error) = splitter.push(chunk) {
                return (frames, Some(error));
            }
            loop {
                match splitter.next() {
                    Ok(Some(Frame::Message(bytes))) => {
                        frames.push(String::from_utf8_lossy(bytes).into_owned());
                    }
                    Ok(Some(Frame::Ping)) => frames.push("ping".to_owned()),
                    Ok(Some(Frame::Pong)) => frames.push("pong".to_owned()),
                    Ok(Some(Frame::Overlong(_))) => frames.push("overlong".to_owned()),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
        }
        (frames, None)
    }

    #[test]
    fn messages_pings_and_pongs_in_order() {
        let one = message("Content-Length: 2", "{}");
        let two = message("l:0", "");
        let stream = format!("{one}\r\n\r\n{two}\r\n{one}");
        let (frames, error) = split(&[stream.as_bytes()]);
        assert_eq!(
            frames,
            [one.as_str(), "ping", two.as_str(), "pong", one.as_str()]
        );
        assert_eq!(error, None);
    }

    #[test]
    fn a_ping_in_two_halves_is_answered() {
        let break_ = b"\r\n".as_slice();
        assert_eq!(split(&[break_, break_]).0, ["pong", "ping"]);
        assert_eq!(
            split(&[break_, b"\r", b"\n\r\n"]).0,
            ["pong", "ping", "pong"]
        );
        let one = message("l:0", "");
        let (frames, _) = split(&[break_, one.as_bytes(), break_, break_]);
        assert_eq!(frames, ["pong", one.as_str(), "pong", "ping"]);
    }

    #[test]
    fn a_length_that_is_in_doubt_ends_the_stream() {
        use StreamError::{BadLength, NoLength};
        for (length, expected) in [
            ("X: y", NoLength),
            ("Content-Length:", NoLength),
            ("Content-Length: -1", BadLength),
            ("Content-Length: +5", BadLength),
            ("Content-Length: 0x10", BadLength),
            ("Content-Length: 4\x0c", BadLength),
            ("Content-Length\x0c: 4", NoLength),
            ("Content-Length: 1 2", BadLength),
            ("Content-Length: 1\r\n 2", BadLength),
            ("Content-Length: 1\r\nContent-Length: 2", BadLength),
            ("Content-Length: 1\r\nl : 2", BadLength),
        ] {
            let text = message(length, "body");
            assert_eq!(
                split(&[text.as_bytes()]),
                (vec![], Some(expected)),
                "{length}"
            );
        }
    }

    #[test]
    fn the_headers_of_a_body_that_is_too_long_come_alone_and_last() {
        for length in [
            "Content-Length: 18446744073709551615",
            "Content-Length: 99999999999999999999999",
            "Content-Length: 65537",
        ] {
            let text = message(length, "OPTIONS sip:a@b SIP/2.0\r\nl: 0\r\n\r\n");
            assert_eq!(
                split(&[text.as_bytes()]),
                (vec!["overlong".to_owned()], Some(StreamError::BodyTooLong)),
                "{length}"
            );
        }
    }

    #[test]
    fn a_blank_before_the_colon_hides_no_length() {
        let text = message("Content-Length : 4", "body");
        assert_eq!(split(&[text.as_bytes()]), (vec![text.clone()], None));
        let folded = message("Content-Length:\r\n  4", "body");
        assert_eq!(split(&[folded.as_bytes()]), (vec![folded.clone()], None));
    }

    #[test]
    fn line_breaks_that_are_none_end_the_stream() {
        for text in [
            message("l: 0\nX: y", ""),
            message("l: 0\r\nX: a\rb", ""),
            message("X: \0\r\nl: 0", ""),
            message("l: 0\r\n\nX: y", ""),
            message("\nl: 0", ""),
        ] {
            assert_eq!(
                split(&[text.as_bytes()]),
                (vec![], Some(StreamError::LineBreak)),
                "{text:?}"
            );
        }
        assert_eq!(split(&[b"\0"]), (vec![], Some(StreamError::NotSip)));
        assert_eq!(split(&[b"{}"]), (vec![], Some(StreamError::NotSip)));
    }

    #[test]
    fn headers_that_never_end_are_not_kept() {
        let long = "a".repeat(limits::MAX_MESSAGE + 1);
        assert_eq!(
            split(&[long.as_bytes()]).1,
            Some(StreamError::HeadersTooLong)
        );
    }

    proptest! {
        #[test]
        fn how_the_bytes_come_does_not_matter(cuts in prop::collection::vec(1usize..40, 0..60), extra in "[a-z]{0,20}") {
            let stream = format!(
                "{}\r\n\r\n{}{}",
                message("Content-Length: 3", "abc"), message("l: 0", ""), message(&format!("l: {}", extra.len()), &extra)
            );
            let mut rest = stream.as_bytes();
            let mut chunks = Vec::new();
            for cut in cuts {
                let (chunk, behind) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = behind;
            }
            chunks.push(rest);
            let (frames, error) = split(&chunks);
            prop_assert_eq!(error, None);
            // A ping that comes in two halves is a pong and a ping: it is answered all the same.
            prop_assert_eq!(frames.iter().filter(|frame| *frame == "ping").count(), 1);
            let messages = frames.iter().filter(|frame| frame.len() > 4).count();
            prop_assert_eq!(messages, 3);
        }

        #[test]
        fn nothing_makes_it_panic_or_grow(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
            let mut splitter = Splitter::new();
            for chunk in &chunks {
                if splitter.push(chunk).is_err() { break; }
                while let Ok(Some(_)) = splitter.next() {}
                prop_assert!(splitter.pending() <= limits::MAX_MESSAGE + 200);
            }
        }
    }
}
