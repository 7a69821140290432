//! Every bound of the way to NATS, each with its reason.

use std::time::Duration;

/// What the node wants done and that waits for the connection's thread: all puts that the core has on their way at once, a reading of each site,
/// and beats. What nobody keeps is left out where this is full, and the rest is refused.
pub(super) const ORDERS_WAITING: usize = 1024;

/// What happened and waits for the node. A record is some 300 bytes, so less than a megabyte as a rule; who reads a bucket waits while it is full.
pub(super) const HAPPENINGS_WAITING: usize = 1024;

/// What the client has taken and not written yet. Beyond it the connection is stuck, and puts are refused until it moves or ends.
pub(super) const WRITES_WAITING: usize = 4096;

/// What has come in for one subscription and waits for its reader. Answers and records are bounded by what was asked for, at most 750; beats and
/// values that nobody keeps are dropped beyond it.
pub(super) const MESSAGES_WAITING: usize = 4096;

/// How long a server may take to be connected to, its greeting and TLS included: three round trips over three continents. One that hangs is
/// left for the next.
pub(super) const CONNECTING_MAX: Duration = Duration::from_secs(3);

/// The pause between two pings where nothing comes. A connection on which three were not answered is dead: before the core takes the other
/// nodes for gone, which it does after 3.5 s.
pub(super) const PING_PERIOD: Duration = Duration::from_secs(1);

/// How long an answer is waited for at first: a put, a question. Several round trips over three continents. Servers that have lost their leader keep
/// silent, and what was not answered is asked again.
pub(super) const ANSWER_FIRST: Duration = Duration::from_secs(1);

/// So many times as long as the last answer took the next one may take.
pub(super) const ANSWER_SPREAD: u32 = 4;

/// The longest that an answer is waited for. Servers elect a new leader in that time.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How often it is looked for what was not answered, and whether the connection is still there.
pub(super) const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// The first pause after a connection could not be made; doubled each time.
pub(super) const PAUSE_FIRST: Duration = Duration::from_millis(250);

/// The longest of these pauses: who has mended the servers does not wait long.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A connection that held for this time was a good one: when it is lost, another is tried at once.
pub(super) const GOOD_AFTER: Duration = Duration::from_secs(10);

/// Servers that are tried: those of the configuration and those that they name.
pub(super) const SERVERS_MAX: usize = 64;

/// Servers whose reasons are told when none can be used.
pub(super) const REASONS_TOLD: usize = 3;

/// The longest reason, in characters: servers' words go to the log.
pub(super) const REASON_MAX: usize = 300;

/// Records that are asked for at once. More makes it no faster: of 100,000 records some 150,000 come in a second at 200 and at 5000 as well.
pub(super) const READ_BATCH: usize = 500;

/// How often the servers show that a reading still stands where there is no news. Without any sign for twice as long it is over.
pub(super) const READ_HEARTBEAT: Duration = Duration::from_secs(1);

/// How long one request for records waits at the servers.
pub(super) const READ_EXPIRES: Duration = Duration::from_secs(30);

/// A reading that is not at the end and to which nothing comes for this time is begun anew: the servers have miscounted what is to be read.
pub(super) const READ_STALLED: Duration = Duration::from_secs(5);

/// After this time the servers forget a reading of a node that is gone.
pub(super) const READER_KEPT: Duration = Duration::from_secs(60);

/// The largest message that the bucket takes: the longest record, its key and its header. So what waits here has a bound in bytes too.
pub(super) const MESSAGE_MAX: i32 = 40 * 1024;

/// How long the end waits for what is on its way.
pub(super) const CLOSING_MAX: Duration = Duration::from_secs(2);

/// The pause after the system could not give what a connection needs (too many open files, as a rule).
pub(super) const SYSTEM_PAUSE: Duration = Duration::from_secs(1);
