//! Messages out of a stream (TCP, TLS), by the same rules as datagrams (RFC 3261 18.3, RFC 5626 3.5.1).

use crate::header_name::HeaderName;
use crate::limits;

/// Cuts a stream of bytes into messages. It holds what has come of the next message and no more.
///
/// What a datagram forgives, a stream cannot: where a message's length is not beyond doubt, whatever follows could be taken for a message
/// of its own. Then the stream is at its end, and the connection is to be closed.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// What was cut out and is to be dropped from the front.
    taken: usize,
    /// How far the headers' end has been looked for.
    searched: usize,
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
}

/// Why a stream is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The headers of a message are longer than [`limits::MAX_MESSAGE`].
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
            taken: 0,
            searched: 0,
            failed: None,
        }
    }

    /// More bytes have come. Take all frames with `next` before the next call.
    ///
    /// # Errors
    /// The stream was at its end before, or holds more than the longest message without being one.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.drop_taken();
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
        self.drop_taken();
        match self.cut() {
            Ok(Cut::More) => Ok(None),
            Ok(Cut::Ping) => {
                self.taken = 4;
                Ok(Some(Frame::Ping))
            }
            Ok(Cut::Pong) => {
                self.taken = 2;
                Ok(Some(Frame::Pong))
            }
            Ok(Cut::Message(length)) => {
                self.taken = length;
                Ok(Some(Frame::Message(&self.buffer[..length])))
            }
            Err(error) => {
                self.failed = Some(error);
                self.buffer = Vec::new();
                Err(error)
            }
        }
    }

    /// Bytes of a message that has not come whole: a stream that is silent with some is waited for, but not for ever.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.taken
    }

    fn drop_taken(&mut self) {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
            self.searched = 0;
        }
    }

    fn cut(&mut self) -> Result<Cut, StreamError> {
        match &self.buffer[..] {
            [] | [b'\r'] => return Ok(Cut::More),
            [b'\r', b'\n', b'\r', b'\n', ..] => return Ok(Cut::Ping),
            // The rest of a ping may be on its way; a pong is known once anything else follows or nothing does.
            [b'\r', b'\n', b'\r'] => return Ok(Cut::More),
            [b'\r', b'\n', ..] => return Ok(Cut::Pong),
            [first, ..] if !first.is_ascii_alphabetic() => return Err(StreamError::NotSip),
            _ => {}
        }
        // The end that is looked for may have begun in what was searched before, or be where the search ended.
        let from = self.searched.saturating_sub(4);
        let Some(end) = find_end(&self.buffer[from..]).map(|at| from + at) else {
            self.searched = self.buffer.len();
            return if self.buffer.len() > limits::MAX_MESSAGE {
                Err(StreamError::HeadersTooLong)
            } else {
                Ok(Cut::More)
            };
        };
        if end > limits::MAX_MESSAGE {
            return Err(StreamError::HeadersTooLong);
        }
        self.searched = end;
        let length = end + content_length(&self.buffer[..end - 2])?;
        if length > limits::MAX_MESSAGE {
            return Err(StreamError::BodyTooLong);
        }
        Ok(if self.buffer.len() < length {
            Cut::More
        } else {
            Cut::Message(length)
        })
    }
}

enum Cut {
    More,
    Ping,
    Pong,
    Message(usize),
}

/// Where the body begins: behind the first CR LF CR LF.
fn find_end(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// The one length that the headers tell. `Content-Length : n`, in any case, in compact form or folded, is the same header.
fn content_length(headers: &[u8]) -> Result<usize, StreamError> {
    let mut found = None;
    let mut folded_onto_length = false;
    for line in headers.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        let line = line.strip_suffix(b"\r").ok_or(StreamError::LineBreak)?;
        if memchr::memchr2(b'\r', 0, line).is_some() {
            return Err(StreamError::LineBreak);
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            if folded_onto_length && !line.trim_ascii().is_empty() {
                // A length in two lines may be read in two ways.
                let value = number(line.trim_ascii())?;
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
        if HeaderName::parse(line[..colon].trim_ascii()) != HeaderName::ContentLength {
            continue;
        }
        folded_onto_length = true;
        let value = line[colon + 1..].trim_ascii();
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
    fn a_length_that_is_in_doubt_ends_the_stream() {
        use StreamError::{BadLength, BodyTooLong, NoLength};
        for (length, expected) in [
            ("X: y", NoLength),
            ("Content-Length:", NoLength),
            ("Content-Length: -1", BadLength),
            ("Content-Length: +5", BadLength),
            ("Content-Length: 0x10", BadLength),
            ("Content-Length: 1 2", BadLength),
            ("Content-Length: 1\r\n 2", BadLength),
            ("Content-Length: 1\r\nContent-Length: 2", BadLength),
            ("Content-Length: 1\r\nl : 2", BadLength),
            ("Content-Length: 18446744073709551615", BodyTooLong),
            ("Content-Length: 99999999999999999999999", BodyTooLong),
            ("Content-Length: 65537", BodyTooLong),
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
            // A ping that comes in two halves is two pongs: both keep the connection alive.
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
