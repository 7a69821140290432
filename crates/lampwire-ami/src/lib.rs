//! Asterisk's manager interface (AMI) without sockets: bytes to messages, actions to bytes.
//!
//! What comes from an Asterisk is a greeting and then messages, each of lines `Name: value` up to an empty line. A [`Decoder`] cuts them out
//! of whatever pieces the network gives, within the bounds of [`limits`]. What goes to it are [`Action`]s; one that would end a line early
//! cannot be made.
//!
//! ```
//! use lampwire_ami::{Action, Decoder, Incoming};
//!
//! let mut bytes = Vec::new();
//! Action::new("Ping", 7).write(&mut bytes);
//! assert_eq!(bytes, b"Action: Ping\r\nActionID: 7\r\n\r\n");
//!
//! let mut decoder = Decoder::default();
//! decoder.push(b"Asterisk Call Manager/5.0.2\r\nResponse: Success\r\nActionID: 7\r\nPing: Pong\r\n\r\n");
//! assert!(matches!(decoder.take(), Ok(Some(Incoming::Greeting(_)))));
//! let Ok(Some(Incoming::Message(pong))) = decoder.take() else { panic!() };
//! assert!(pong.is_success() && pong.action_id() == Some(7));
//! ```

mod action;
mod decoder;
pub mod limits;
mod login;
mod message;

pub use self::action::{Action, NotAValue};
pub use self::decoder::{DecodeError, Decoder, Incoming};
pub use self::login::login_key;
pub use self::message::Message;
