//! Bytes to messages.

use std::fmt;

use memchr::memchr;

use crate::limits;
use crate::message::Message;

/// How a line begins that only Asterisk says first.
const GREETING: &str = "Asterisk Call Manager/";
/// How the output of a command ended before Asterisk 14, where it was not marked line by line.
const END_OF_COMMAND: &str = "--END COMMAND--";

/// What was cut out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The first line: the interface's version, which is not Asterisk's.
    Greeting(String),
    /// An answer or an event.
    Message(Message),
}

/// What came is nothing that an Asterisk says. The connection is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Another program answers there. Its first line, cut short.
    #[error("it is no Asterisk: it begins with {0:?}")]
    Greeting(String),
    /// [`limits::LINE_BYTES`].
    #[error("a line is too long")]
    LineTooLong,
    /// [`limits::MESSAGE_LINES`] or [`limits::MESSAGE_BYTES`].
    #[error("a message is too long")]
    MessageTooLong,
}

/// Cuts messages out of the bytes of one connection. Bytes that are no UTF-8 are replaced.
#[derive(Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the first line that was not looked at begins.
    start: usize,
    /// How far the line that begins there was searched for its end.
    searched: usize,
    greeted: bool,
    message: Message,
    lines: usize,
    bytes: usize,
    raw: Raw,
    failed: Option<DecodeError>,
}

/// Whether the lines of a message are what a command printed (before Asterisk 14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Raw {
    #[default]
    No,
    /// The first lines may still be `Privilege` and `ActionID`.
    Beginning,
    Output,
    /// The output has ended, and the message ends with the next empty line.
    Over,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.buffer.len() - self.start;
        write!(f, "Decoder({waiting} bytes)")
    }
}

impl Decoder {
    /// Takes bytes as they come. Take all messages after each call: what waits here is bounded only by that.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next message; `None`: it has not come wholly.
    ///
    /// # Errors
    /// What came is not AMI. It is said again at each call, and nothing more is taken.
    pub fn take(&mut self) -> Result<Option<Incoming>, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let taken = self.next();
        if let Err(error) = &taken {
            self.failed = Some(error.clone());
            self.buffer = Vec::new();
            (self.start, self.searched) = (0, 0);
        }
        taken
    }

    fn next(&mut self) -> Result<Option<Incoming>, DecodeError> {
        while let Some((from, to)) = self.line()? {
            let line = String::from_utf8_lossy(&self.buffer[from..to]);
            if !self.greeted {
                let Some(version) = line.strip_prefix(GREETING) else {
                    return Err(DecodeError::Greeting(line.chars().take(60).collect()));
                };
                self.greeted = true;
                return Ok(Some(Incoming::Greeting(version.to_owned())));
            }
            let ends = line.is_empty() && !matches!(self.raw, Raw::Beginning | Raw::Output);
            if ends && self.message.is_empty() {
                continue;
            }
            if ends {
                (self.lines, self.bytes, self.raw) = (0, 0, Raw::No);
                let message = std::mem::take(&mut self.message);
                return Ok(Some(Incoming::Message(message)));
            }
            self.lines += 1;
            self.bytes += line.len();
            if self.lines > limits::MESSAGE_LINES || self.bytes > limits::MESSAGE_BYTES {
                return Err(DecodeError::MessageTooLong);
            }
            self.raw = take_line(&mut self.message, self.raw, &line);
        }
        Ok(None)
    }

    /// Where the next line is, without its end; `None`: it has not come wholly.
    fn line(&mut self) -> Result<Option<(usize, usize)>, DecodeError> {
        let longest = match self.greeted {
            true => limits::LINE_BYTES,
            false => limits::GREETING_BYTES,
        };
        let too_long = |decoder: &Self, bytes: usize| match decoder.greeted {
            _ if bytes <= longest => Ok(()),
            true => Err(DecodeError::LineTooLong),
            false => {
                let begin = &decoder.buffer[decoder.start..decoder.start + 60];
                let begin = String::from_utf8_lossy(begin).into_owned();
                Err(DecodeError::Greeting(begin))
            }
        };
        let Some(found) = memchr(b'\n', &self.buffer[self.searched..]) else {
            self.searched = self.buffer.len();
            too_long(self, self.buffer.len() - self.start)?;
            return Ok(None);
        };
        let (from, newline) = (self.start, self.searched + found);
        let to = match self.buffer[from..newline].last() {
            Some(b'\r') => newline - 1,
            Some(_) | None => newline,
        };
        too_long(self, to - from)?;
        (self.start, self.searched) = (newline + 1, newline + 1);
        Ok(Some((from, to)))
    }
}

/// Adds a line to a message, and tells how the next one is to be read.
fn take_line(message: &mut Message, raw: Raw, line: &str) -> Raw {
    let header = line.split_once(':').map(|(name, value)| {
        // One blank belongs to the colon; what follows may be a command's indented output.
        (name.trim(), value.strip_prefix(' ').unwrap_or(value))
    });
    if matches!(raw, Raw::Beginning | Raw::Output) {
        if let Some(last) = line.strip_suffix(END_OF_COMMAND) {
            if !last.is_empty() {
                message.add_output(last);
            }
            return Raw::Over;
        }
        if raw == Raw::Beginning
            && let Some((name, value)) = header
            && ["Privilege", "ActionID"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known))
        {
            message.add(name, value);
            return raw;
        }
        message.add_output(line);
        return Raw::Output;
    }
    let Some((name, value)) = header else {
        return raw;
    };
    message.add(name, value);
    let follows = name.eq_ignore_ascii_case("Response") && value.eq_ignore_ascii_case("Follows");
    if follows { Raw::Beginning } else { raw }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn all(decoder: &mut Decoder) -> Result<Vec<Incoming>, DecodeError> {
        std::iter::from_fn(|| decoder.take().transpose()).collect()
    }

    fn messages(text: &[u8]) -> Vec<Message> {
        let mut decoder = Decoder::default();
        decoder.push(b"Asterisk Call Manager/9.0.0\r\n");
        decoder.push(text);
        let incoming = all(&mut decoder).unwrap().into_iter();
        let messages = incoming.filter_map(|incoming| match incoming {
            Incoming::Greeting(_) => None,
            Incoming::Message(message) => Some(message),
        });
        messages.collect()
    }

    const NEW: &str = "Response: Success\r\nActionID: 3\r\nMessage: Command output follows\r\n\
        Output: \r\nOutput: PBX Core settings\r\nOutput:   Entity ID:  02:00:00:00:00:01\r\n\r\n";
    const OLD: &str = "Response: Follows\r\nPrivilege: Command\r\nActionID: 3\r\n\n\
        PBX Core settings\n  Entity ID:  02:00:00:00:00:01\n--END COMMAND--\r\n\r\n";

    #[test]
    fn what_a_command_prints_is_read_of_new_and_old_asterisks() {
        for text in [NEW, OLD] {
            let found = messages(format!("{text}Event: X\r\n\r\n").as_bytes());
            assert_eq!(found.len(), 2, "{found:?}");
            assert!(found[0].is_success() && found[0].is_response());
            assert_eq!(found[0].action_id(), Some(3));
            let lines: Vec<&str> = found[0].output().collect();
            assert_eq!(
                lines,
                ["", "PBX Core settings", "  Entity ID:  02:00:00:00:00:01"]
            );
            assert_eq!(found[1].event(), Some("X"));
        }
    }

    #[test]
    fn odd_lines_do_no_harm() {
        let found = messages(
            b"\r\n\r\nEvent:MessageWaiting\nMailbox: 100@default\nno colon\nNew: \xff\r\nempty:\r\n\n",
        );
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].event(), Some("MessageWaiting"));
        assert_eq!(found[0].get("mailbox"), Some("100@default"));
        assert_eq!(found[0].get("New"), Some("\u{fffd}"));
        assert_eq!(found[0].get("empty"), Some(""));
        assert!(!found[0].is_response() && !found[0].is_success());
        assert_eq!(found[0].action_id(), None);
    }

    #[test]
    fn another_program_is_known_at_once() {
        for text in [
            "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
            "x".repeat(limits::GREETING_BYTES + 1),
        ] {
            let mut decoder = Decoder::default();
            decoder.push(text.as_bytes());
            let error = decoder.take().unwrap_err();
            assert!(matches!(&error, DecodeError::Greeting(_)), "{error}");
            decoder.push(b"Asterisk Call Manager/9.0.0\r\n");
            assert_eq!(decoder.take().unwrap_err(), error);
        }
    }

    #[test]
    fn nothing_grows_without_limit() {
        let fails = |text: Vec<u8>| {
            let mut decoder = Decoder::default();
            decoder.push(b"Asterisk Call Manager/9.0.0\r\n");
            decoder.push(&text);
            all(&mut decoder).unwrap_err()
        };
        let line = vec![b'x'; limits::LINE_BYTES + 1];
        assert_eq!(fails(line), DecodeError::LineTooLong);
        let lines = b"a: b\r\n".repeat(limits::MESSAGE_LINES + 1);
        assert_eq!(fails(lines), DecodeError::MessageTooLong);
        let raw = [b"Response: Follows\n".to_vec(), b"\n".repeat(5000)].concat();
        assert_eq!(fails(raw), DecodeError::MessageTooLong);
        let long = [b"a: ".to_vec(), vec![b'x'; 60_000], b"\n".to_vec()].concat();
        assert_eq!(fails(long.repeat(18)), DecodeError::MessageTooLong);
    }

    proptest! {
        /// However the network cuts the bytes, the same messages come out.
        #[test]
        fn pieces_do_not_matter(cuts in proptest::collection::vec(1usize..40, 1..60)) {
            let text = format!("Asterisk Call Manager/9.0.0\r\n{NEW}{OLD}Event: X\r\n\r\n{NEW}");
            let mut whole = Decoder::default();
            whole.push(text.as_bytes());
            let expected = all(&mut whole).unwrap();
            let (mut decoder, mut found, mut rest) = (Decoder::default(), Vec::new(), text.as_bytes());
            for cut in cuts.iter().cycle() {
                let (piece, behind) = rest.split_at((*cut).min(rest.len()));
                decoder.push(piece);
                found.extend(all(&mut decoder).unwrap());
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, expected);
        }

        /// What an action says is read as it was said.
        #[test]
        fn fields_come_back(value in "[^\\p{Cc}]{0,80}") {
            let mut bytes = b"Asterisk Call Manager/9.0.0\r\n".to_vec();
            crate::Action::new("Setvar", 5).field("Value", &value).unwrap().write(&mut bytes);
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            let all = all(&mut decoder).unwrap();
            let Incoming::Message(message) = &all[1] else { panic!() };
            prop_assert_eq!(message.get("Value"), Some(value.as_str()));
            prop_assert_eq!(message.action_id(), Some(5));
        }
    }
}
