//! Every bound of the wire format, each with its reason.

/// The longest body, in bytes. A state is about a hundred; many in one message are what this is for.
pub const MAX_BODY: usize = 64 * 1024;

/// States in one body: those of a small server, and what a node takes in within a millisecond or two.
pub const MAX_STATES: usize = 1024;

/// The longest headers of a message on a stream, in bytes, its first line among them: four header lines of the greatest length. A state's
/// are about 600 bytes, and each proxy on the way adds 200.
pub const MAX_HEAD: usize = 32 * 1024;

/// The longest message, in bytes. A UDP datagram carries less.
pub const MAX_MESSAGE: usize = MAX_HEAD + MAX_BODY;

/// Header lines in one message. A PUBLISH has about 14; each proxy on the way adds a Via and a Record-Route.
pub const MAX_HEADERS: usize = 64;

/// The longest header line with its folds, in bytes. Digest credentials of SHA-512-256 need about 500.
pub const MAX_HEADER_LINE: usize = 8192;

/// The longest start line, in bytes.
pub const MAX_START_LINE: usize = 4096;

/// The longest URI, in bytes.
pub const MAX_URI: usize = 2048;

/// Parameters of one header or URI that are looked at. Looking one up walks them all.
pub const MAX_PARAMS: usize = 64;

/// The longest name of a device or mailbox, in bytes: Asterisk's own are 80.
pub const MAX_NAME: usize = 255;

/// Comments within comments (RFC 3261 25.1) that are followed.
pub const MAX_COMMENT_DEPTH: usize = 16;
