//! Every bound of the core, each with its reason. At a bound there is a defined refusal and a counter.

use std::time::Duration;

/// The newest changes that a publisher can still read one by one. A publisher further behind skips values that newer ones have
/// overtaken. 65,536 entries of 16 bytes are 1 MB and more than a second at 50,000 changes a second.
pub const CHANGE_LOG_ENTRIES: usize = 65_536;

/// Entries in one segment of the journal: what one compaction touches at most, so that no change waits for more than that.
pub const JOURNAL_SEGMENT_ENTRIES: usize = 4096;

/// Cells (one name's value under one entity id) kept in all. Two million fit in half a gigabyte; a change that needs another is
/// answered 503, and nothing that is kept is touched.
pub const CELLS: usize = 2_000_000;

/// Entity ids known in all. Each costs little, but every device that all of them speak for is a chain of that length.
pub const ENTITY_IDS: usize = 10_000;

/// Entity ids that may speak for one name: the sum walks them all. The largest mesh that Asterisk users report has a few dozen nodes.
pub const ENTITIES_OF_A_NAME: usize = 256;

/// Publications (RFC 3903 event state) held in all: 50 peers with 128 lanes and both events come to 12,800.
pub const PUBLICATIONS: usize = 20_000;

/// Publications held for one endpoint: 128 lanes for each of two events, and as many again while a restarted peer's old ones run out.
pub const PUBLICATIONS_OF_AN_ENDPOINT: usize = 512;

/// How long a tag is still known after its publication's expiry. A stock Asterisk sends its refresh exactly when the publication
/// expires, and gives the tag up for good where it is answered 412.
pub const TAG_GRACE: Duration = Duration::from_secs(64);

/// How long the answer to an initial publication, a removal or a request of another method is remembered (Timer J, RFC 3261 17.2.2).
pub const TRANSACTION_LIFETIME: Duration = Duration::from_secs(32);

/// Answers remembered at once; beyond it the oldest is forgotten early, and a retransmission of it is decided again. Initials and
/// removals are rare; a full table of a flood is about 5 MB.
pub const TRANSACTIONS: usize = 65_536;

/// T2 of RFC 3261 17.1.2.2: the longest pause between two copies of one request.
pub const TIMER_T2: Duration = Duration::from_secs(4);

/// The same while the peer is known to be away: one small request a second, so that its return is noticed at once.
pub const TIMER_T2_AWAY: Duration = Duration::from_secs(1);

/// The first pause after a peer is silent, unreachable or answers 5xx. Doubled each time, with jitter.
pub const BACK_OFF_FIRST: Duration = Duration::from_millis(500);

/// The longest pause while a peer is away. Short, since what is sent is one small request.
pub const BACK_OFF_AWAY_MAX: Duration = Duration::from_secs(1);

/// The first pause after a peer has refused (4xx, 6xx) what it will probably refuse again.
pub const REFUSED_FIRST: Duration = Duration::from_secs(5);

/// The longest pause after refusals.
pub const REFUSED_MAX: Duration = Duration::from_secs(300);

/// Refusals in a row, of different states, after which the relation and not the state is held to be the matter.
pub const REFUSALS_IN_A_ROW: u32 = 3;

/// States of one lane that the peer refused one by one and that wait for their next try. Beyond it the lane goes back in its cursor:
/// more is sent again than need be, and nothing is forgotten.
pub const EXCEPTIONS_OF_A_LANE: usize = 1024;

/// How often in a row a request is raised after 423 before that counts as a refusal. RFC 3903 6 needs one.
pub const INTERVAL_TOO_BRIEF_IN_A_ROW: u32 = 3;

/// The longest expiry we follow a 423 to, in seconds: a week. A Min-Expires beyond it is a refusal.
pub const MIN_EXPIRES_FOLLOWED_S: u32 = 604_800;

/// How often in a row a lane starts anew at once after 412. More often it waits: a stock Asterisk that answers 412 again and again is
/// asked 2,000 times in 250 ms by one of its own kind.
pub const RESTARTS_IN_A_ROW: u32 = 3;

/// A lane with nothing to say is closed after this time, but for one that keeps the relation alive. Long enough that a busy hour does
/// not open and close, short enough that a dump's lanes do not stay.
pub const LANE_IDLE: Duration = Duration::from_secs(60);

/// The pause before the slow walk over all states (`@resync`) is tried again where the pace held it back. It has an hour as a rule.
pub const RESYNC_HELD_BACK: Duration = Duration::from_secs(1);

/// How long a shutdown waits for the answers to its removals.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// How long a host name's address is used before it is asked for again, where the answer names no time.
pub const RESOLVED_FOR: Duration = Duration::from_secs(60);

/// The pause before a host name that did not resolve is asked for again.
pub const RESOLVE_AGAIN: Duration = Duration::from_secs(5);

/// Events waiting for the driver to take them. The driver drains after each input, so only a driver that forgets to meets this; then
/// the oldest are dropped and counted.
pub const EVENTS_WAITING: usize = 65_536;

/// Journal entries that one turn of a lane looks at before it yields to other inputs.
pub const SCAN_BUDGET: usize = 4096;

/// How often it is looked whether deleted values have been confirmed by everyone, while there are any.
pub const TOMBSTONE_SWEEP: Duration = Duration::from_secs(1);

/// Distinct filters whose verdict is remembered with each name. Others are matched anew each time.
pub const FILTERS_REMEMBERED: usize = 16;

/// The longest entity tag taken from a peer, in bytes. RFC 3903 sets no bound; a longer one is as none, so that each state begins a
/// publication of its own and nothing is lost.
pub const TAG_LENGTH: usize = 512;

/// How long after its first 200 a publication is so new that a 412 to it is taken for a stock Asterisk's race and not for its restart.
pub const FRESH_PUBLICATION: Duration = Duration::from_secs(1);
