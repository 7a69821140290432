//! Every bound of the codec, each with its reason. At a bound the connection is not one with an Asterisk, or of no use: an error.

/// The longest line, in bytes without its end. Asterisk cuts what it writes at 64 kB.
pub const LINE_BYTES: usize = 65_536;

/// The longest greeting, in bytes: `Asterisk Call Manager/` and a version.
pub const GREETING_BYTES: usize = 256;

/// Lines of one message, those of a command's output among them: `core show settings` prints some hundred.
pub const MESSAGE_LINES: usize = 4096;

/// Bytes of one message.
pub const MESSAGE_BYTES: usize = 1024 * 1024;

/// The longest value of an action's field, in bytes. Asterisk 16 reads lines of up to 1,025 bytes and what is longer is cut or refused.
pub const FIELD_BYTES: usize = 1000;
