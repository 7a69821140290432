//! What is asked of an Asterisk.

use std::fmt;

use zeroize::Zeroizing;

use crate::limits;

/// A value that cannot stand in a line: it would end it, or is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAValue {
    /// It has a line's end or a zero in it: what follows would be another field, or another action.
    #[error("it has a control character in it")]
    ControlCharacter,
    /// It is longer than [`limits::FIELD_BYTES`].
    #[error("it is too long for a line of AMI")]
    TooLong,
}

/// An action with its fields. Its `Debug` shows no values: a secret may be among them.
#[derive(Clone)]
pub struct Action {
    name: &'static str,
    text: Zeroizing<String>,
}

impl Action {
    /// An action by name, with the number by which its answer is known.
    pub fn new(name: &'static str, id: u64) -> Self {
        let text = format!("Action: {name}\r\nActionID: {id}\r\n");
        Self {
            name,
            text: Zeroizing::new(text),
        }
    }

    /// The same with one more field.
    ///
    /// # Errors
    /// The value cannot stand in a line. Nothing of it is written then.
    pub fn field(mut self, name: &'static str, value: &str) -> Result<Self, NotAValue> {
        if value.len() > limits::FIELD_BYTES {
            return Err(NotAValue::TooLong);
        }
        if value.chars().any(char::is_control) {
            return Err(NotAValue::ControlCharacter);
        }
        for part in [name, ": ", value, "\r\n"] {
            self.text.push_str(part);
        }
        Ok(self)
    }

    /// Appends it as it goes over the wire.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.text.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Action({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nothing_ends_a_line_early() {
        for wrong in ["a\r\nAction: Originate", "a\nb", "a\0", "\u{7f}", "\u{85}"] {
            let refused = Action::new("Setvar", 1).field("Value", wrong);
            assert_eq!(refused.unwrap_err(), NotAValue::ControlCharacter);
        }
        let long = "x".repeat(limits::FIELD_BYTES + 1);
        let refused = Action::new("Setvar", 1).field("Value", &long);
        assert_eq!(refused.unwrap_err(), NotAValue::TooLong);
    }

    #[test]
    fn a_secret_does_not_show() {
        let action = Action::new("Login", 1).field("Secret", "hunter2").unwrap();
        assert_eq!(format!("{action:?}"), "Action(Login)");
        let mut bytes = Vec::new();
        action.write(&mut bytes);
        assert_eq!(
            bytes,
            b"Action: Login\r\nActionID: 1\r\nSecret: hunter2\r\n\r\n"
        );
    }
}
