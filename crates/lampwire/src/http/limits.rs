//! The bounds of the HTTP interface, each with its reason.

use std::time::Duration;

/// The longest body that is read, in bytes. The largest honest one has some three hundred.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// The same of a list of states: [`STATES_AT_A_TIME`] with the longest names, each character of them escaped, are not honest.
pub(crate) const LIST_BYTES_MAX: usize = 512 * 1024;

/// Most states that one request sets: the node does nothing else meanwhile, some 2 ms.
pub(crate) const STATES_AT_A_TIME: usize = 1000;

/// The longest time after which a state is to be taken back, in seconds: 30 days.
pub(crate) const TTL_MAX: u32 = 30 * 24 * 60 * 60;

/// How long a client may take to send a request's head, and how long an idle connection is kept: a client that sends a byte a
/// minute holds a connection no longer than this.
pub(crate) const HEADER_TIME_MAX: Duration = Duration::from_secs(15);

/// How long a client may take to send a body of at most [`BODY_BYTES_MAX`].
pub(crate) const BODY_TIME_MAX: Duration = Duration::from_secs(15);

/// How long an answer may wait for a client that reads nothing of it: as long as for a request that does not come.
pub(crate) const WRITE_TIME_MAX: Duration = Duration::from_secs(15);

/// The same of one that follows events. It may rest, as a terminal that was stopped does: it holds one of [`EVENT_CLIENTS_MAX`]
/// places, no memory but the system's buffers, and is told afterwards what it has missed.
pub(crate) const EVENTS_WRITE_TIME_MAX: Duration = Duration::from_secs(5 * 60);

/// The most connections at a time; the next one waits in the system's queue. None is held for ever: see the times above.
pub(crate) const CONNECTIONS_MAX: usize = 512;

/// The most clients that follow events at a time: each holds a connection for as long as it reads.
pub(crate) const EVENT_CLIENTS_MAX: usize = 128;

/// What the system may hold of one connection's unread answers, in bytes. Without it Linux keeps up to 4 MB for each
/// client that does not read.
pub(crate) const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// How often a comment is sent to a client of quiet events, so that both sides and what lies between see a live connection.
pub(crate) const EVENTS_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The page size where none is asked for.
pub(crate) const PAGE_DEFAULT: usize = 100;

/// The largest page; who asks for more gets this and `next`.
pub(crate) const PAGE_MAX: usize = 1000;

/// How many names one turn of the node may look at for a page, so that a search through a million names holds up no
/// datagram for longer than about a millisecond.
pub(crate) const SCAN_NAMES: usize = 2000;

/// How many states one turn of the node may count for the metrics: some 0.3 ms.
pub(crate) const COUNT_CELLS: usize = 50_000;

/// How often it is said that connections cannot be taken: it happens ten times a second where files are short.
pub(crate) const TROUBLE_TOLD: Duration = Duration::from_secs(10);

/// How long open requests may go on once the node ends.
pub(crate) const END_TIME_MAX: Duration = Duration::from_secs(1);
