//! Every bound of the core, each with its reason. At a bound there is a defined refusal and a counter.

use std::time::Duration;

/// The newest changes that a publisher can still read one by one. A publisher further behind skips values that newer ones have
/// overtaken. 65,536 entries of 16 bytes are 1 MB and more than a second at 50,000 changes a second.
pub const CHANGE_LOG_ENTRIES: usize = 65_536;

/// Changes of one publisher that are looked at to tell in an event how far its peer is behind: an event comes with what happened, and not
/// when somebody asks, and all peers may go at once.
pub const BEHIND_IN_EVENT: usize = 1024;

/// Entries in one segment of the journal: what one compaction touches at most, so that no change waits for more than that.
pub const JOURNAL_SEGMENT_ENTRIES: usize = 4096;

/// Cells (one name's value under one entity id) kept in all. Two million fit in half a gigabyte; a change that needs another is
/// answered 503, and nothing that is kept is touched.
pub const CELLS: usize = 2_000_000;

/// Entity ids known in all. Each costs little, but every device that all of them speak for is a chain of that length.
pub const ENTITY_IDS: usize = 10_000;

/// Entity ids that may speak for one name: the sum walks them all. The largest mesh that Asterisk users report has a few dozen nodes.
pub const ENTITIES_OF_A_NAME: usize = 256;

/// How far a hub's beat may be behind its newest one and be merely late, and how far what one peer has seen of a hub may be behind what
/// another has: what it stamps in a minute at 50,000 changes a second, which share its numbers. That is less than three seconds of its clock.
pub const BEATS_LATE: u64 = 3_000_000;

/// How far a peer's clock may be ahead: more than any drift, and so little that nobody can take the numbers of all future for himself. What
/// this node stamps above such a number is within the bound of others again after a millisecond.
pub const CLOCKS_APART: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A clock that shows less than this, in milliseconds since 1970 (January 2026), has not been set yet, as on a board without a battery.
pub const CLOCK_IS_SET: u64 = 1_767_225_600_000;

/// Publications (RFC 3903 event state) held in all: 50 peers with 128 lanes and both events come to 12,800.
pub const PUBLICATIONS: usize = 20_000;

/// Publications held for one endpoint: 128 lanes for each of two events, and as many again while a restarted peer's old ones run out.
pub const PUBLICATIONS_OF_AN_ENDPOINT: usize = 512;

/// An endpoint at that bound loses the publication that it has not used for the longest, if it has not for this long: a server that is killed
/// each few minutes would else be kept out by what its earlier lives have left. Long enough that no publication that just began is lost.
pub const PUBLICATION_LEFT: Duration = Duration::from_secs(60);

/// How long a tag is still known after its publication's expiry. A stock Asterisk sends its refresh exactly when the publication
/// expires, and gives the tag up for good where it is answered 412.
pub const TAG_GRACE: Duration = Duration::from_secs(64);

/// How long the answer to an initial publication or a removal is remembered at least (Timer J, RFC 3261 17.2.2); twice as long at most.
pub const TRANSACTION_LIFETIME: Duration = Duration::from_secs(32);

/// Answers remembered at once; beyond it the older half is forgotten early, and a retransmission of those is decided again. Initials and
/// removals are rare; a full table of a flood is about 5 MB.
pub const TRANSACTIONS: usize = 65_536;

/// Nonces whose counts are remembered: a stock Asterisk uses a new one for each request, so this is what 2,000 requests a second use in
/// the 32 s that a nonce is good. Beyond it the oldest is taken for used up. About 5 MB.
pub const NONCES: usize = 65_536;

/// Bytes of what the sender of a publication is known again by, kept so that a reload which would silence it can say so. Names and URIs of peers
/// are far shorter; one that is longer is not looked at by that.
pub const SENDER_BYTES: usize = 512;

/// Sets of credentials of one request that are looked at: one for each of three algorithms in a few realms.
pub const CREDENTIALS_OF_A_REQUEST: usize = 8;

/// Answers that an address gets in a row without proving who it is: a peer with 128 lanes for each of two events asks for 256 challenges
/// at once, and once more when its nonce has grown old.
pub const STRANGER_BURST: u32 = 512;

/// Addresses whose unproven requests are counted one by one; all others share one bucket. About 1 MB.
pub const STRANGERS: usize = 16_384;

/// Addresses at which an endpoint is remembered to have proven itself: the servers that publish as one, and where they were before. 40 bytes each.
pub const HOMES_OF_AN_ENDPOINT: usize = 16;

/// The time of one request in the bucket that all others share: a thousand answers a second.
pub const STRANGERS_OTHERS_COST: Duration = Duration::from_millis(1);

/// The time of one request that cannot be proven but comes from a configured peer's address, or asks for a challenge where its endpoint has proven
/// itself: a thousand answers a second.
pub const STRANGERS_AT_A_PEERS_COST: Duration = Duration::from_millis(1);

/// The time of one answer that says that there are too many requests, to all addresses together: a hundred a second. They are for people who
/// look for the reason; a flood is not worth its answers.
pub const STRANGERS_BUSY_COST: Duration = Duration::from_millis(10);

/// Answers of one endpoint that wait for its `@request_rate`: twice the requests that 128 lanes of two events have on their way. An endpoint
/// that has more does not wait for answers, and what it asks then is not looked at. About 1 MB.
pub const LATE_ANSWERS: usize = 512;

/// How far an endpoint may run ahead of its `@request_rate` before answers come later.
pub const REQUEST_BURST: Duration = Duration::from_millis(100);

/// Who has not answered a challenge after this time, in milliseconds, will not: twice the life of a request.
pub const CHALLENGE_ANSWERED_MS: u64 = 64_000;

/// How long after a refusal the peer is asked for all its states: a restart of this node refuses one request on each of its lanes.
pub const ASK_SETTLES: Duration = Duration::from_secs(1);

/// The soonest that a peer is asked again for all its states because we refused one.
pub const ASK_AFTER_REFUSAL: Duration = Duration::from_secs(60);

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

/// The soonest that a lane with nothing on its way looks again for something to do.
pub const LANE_TURN: Duration = Duration::from_millis(1);

/// The pause before the slow walk over all states (`@resync`) is tried again where the pace held it back. It has an hour as a rule.
pub const RESYNC_HELD_BACK: Duration = Duration::from_secs(1);

/// How long a shutdown waits for the answers to its removals.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// The soonest that a question to the DNS is asked again, whatever its answer says, and after none: an answer that says "believe me for
/// no time" is not asked for with each request.
pub const DNS_SOONEST: Duration = Duration::from_secs(5);

/// The latest that a question is asked again: a day, so that a wrong life of an answer heals.
pub const DNS_LATEST: Duration = Duration::from_secs(86_400);

/// How long unproven requests of unknown addresses are not answered while names of the configuration were never answered: longer than a site's
/// DNS server needs to come up beside this node. A peer that is challenged before its name is known may be silent until somebody restarts it; new
/// addresses cannot be kept waiting for ever.
pub const NAMES_AWAITED: Duration = Duration::from_secs(300);

/// Questions to the DNS that are kept: a thousand peers with three services and a host each.
pub const DNS_QUESTIONS: usize = 4096;

/// Records taken of one answer. More than one site's servers, and each is tried in turn.
pub const DNS_RECORDS: usize = 16;

/// Places at which one peer is tried in turn.
pub const TARGETS: usize = 16;

/// How long a publisher stays with a second-best server before it asks whether the preferred one is back, and between two such questions:
/// one OPTIONS each.
pub const RETURN_AFTER: Duration = Duration::from_secs(10);

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

/// Bytes that wait for a connection to take them: 128 lanes with a request of 8 kB each. A peer that reads so slowly is not waited for;
/// its connection is closed, and what it should hold is said again over the next.
pub const FLOW_QUEUE: usize = 1024 * 1024;

/// Answers that wait for a peer to read them from a connection of its own: a thousand. A stock Asterisk has one.
pub const FLOW_QUEUE_OF_A_PEERS: usize = 512 * 1024;

/// Bytes that all connections of peers hold, halves of messages and answers that nobody has read yet. Who asks for more beyond it is closed:
/// a thousand connections that each begin a longest message and stop meet this bound, and a thousand honest ones hold nothing.
pub const FLOW_BYTES: usize = 64 * 1024 * 1024;

/// How long the last words over a connection may take to be read before it is closed.
pub const FLOW_LINGER: Duration = Duration::from_secs(1);

/// Connections of peers held at once. 10,000 sites with one each; each costs a task and a few kB.
pub const FLOWS_ACCEPTED: usize = 10_000;

/// Connections of one address held at once (of one IPv6 network of 64 bits, but where the address is a configured peer's): a site's servers behind
/// one NAT, and old ones that have not been noticed to be dead.
pub const FLOWS_OF_AN_ADDRESS: usize = 100;

/// Names of a certificate under which its owner may be reached by its own connection.
pub const ALIASES_OF_A_FLOW: usize = 16;

/// How long a connection may take to open. The driver gives up a little earlier and says why; this is in case it does not.
pub const FLOW_OPENING: Duration = Duration::from_secs(15);

/// How long the peer may leave our bytes, or a message of its own half said (Timer F: by then the request is given up anyway).
pub const FLOW_STALLED: Duration = Duration::from_secs(32);

/// A connection of a peer over which nothing goes for this time is closed. Peers that mean to keep it send a ping every two minutes or so
/// (RFC 5626 4.4.1).
pub const FLOW_IDLE: Duration = Duration::from_secs(600);

/// A request that is longer than this goes by TCP where the configuration allows (RFC 3261 18.1.1).
pub const DATAGRAM_COMFORTABLE: usize = 1300;

/// How much longer the lines above a body may be than those of the request before: a tag that grows, one more digit, a header of credentials
/// with another nonce.
pub const HEAD_GROWS: usize = 80;

/// The longest body of many states on a connection, in bytes: some 600 states, which the peer takes in within a millisecond or two, and a dump of
/// ten thousand takes a few round trips.
pub const BESIDE_ON_STREAM: usize = 16 * 1024;

/// How long long requests go by UDP after a peer has refused them by TCP.
pub const TCP_REFUSED_FOR: Duration = Duration::from_secs(300);

/// Entity ids that one endpoint may speak for: a hub speaks for all its peers, anybody else for one.
pub const ENTITY_IDS_OF_AN_ENDPOINT: usize = 1024;

/// Hubs whose words one endpoint may bring: all of a mesh that is larger than any that is known of. Four endpoints may take all the room there is.
pub const HUBS_OF_AN_ENDPOINT: usize = 256;

/// Entity ids that were left by their servers and whose devices are to be taken back.
pub const ENTITY_IDS_LEFT: usize = 1024;

/// How long a server that began anew under another entity id, and does not say by `refresh` which is its own, must have said nothing under the
/// former one before its devices of then are taken back: one that speaks for both has said something of each by then.
pub const LEFT_UNSAID: Duration = Duration::from_secs(60);

/// How often a hub shows itself to other hubs, by one small request to each of them.
pub const HUB_BEAT: Duration = Duration::from_secs(5);

/// How long before a hub holds a node to be lost it says so with its beats, if that is more than half of the time for which it holds it: some of
/// them arrive, and who hears the node takes over what the hub has stamped of it.
pub const HELD_TOLD: Duration = Duration::from_secs(15);

/// A hub of which no beat has come for this time is not heard any more: three were lost, with every copy of them.
pub const HUB_SILENT: Duration = Duration::from_secs(20);

/// How often a peer is asked again for all that it has when it then said nothing, or only news, so that it may not have been an answer: one
/// that never answers would be asked for ever.
pub const DUMPS_DOUBTED: u8 = 3;

/// The pause between two canaries to a peer: often enough for a minute's picture, and one request more in the pause of two probes.
pub const CANARY_EVERY: Duration = Duration::from_secs(10);

/// Hubs that are known by their beats.
pub const HUBS: usize = 1024;

/// The longest filter that another Lampwire may ask us to apply for it, in bytes.
pub const FILTER_PUSHED: usize = 4096;

/// Cells looked at in one turn when all states of an entity id are told anew.
pub const TELL_ANEW_BUDGET: usize = 65_536;

/// A dump has no end mark: it is taken for complete when nothing more has come for this time. The slowest stock Asterisk leaves 1 s
/// between two states (a copy of a lost request).
pub const DUMP_QUIET: Duration = Duration::from_secs(10);

/// The newest changes that are remembered with their time, for whoever asks why a lamp is lit. 16,384 of 72 bytes are 1.2 MB, and a quarter
/// of an hour at twenty changes a second.
pub const CHANGES_REMEMBERED: usize = 16_384;

/// Names whose last dropped state is remembered: 4096 of some 150 bytes.
pub const DROPS_REMEMBERED: usize = 4096;

/// Values that are remembered for each publisher with the time they came and the time the peer confirmed them, 40 bytes each.
pub const CONFIRMATIONS_REMEMBERED: usize = 2048;

/// Changes of one name that are shown.
pub const CHANGES_SHOWN: usize = 20;

/// How long a connection to a manager interface may take to be made. Short, so that after a cut it is not a copy of the first packet, seconds
/// later, that gets through.
pub const AMI_CONNECTING: Duration = Duration::from_secs(2);

/// After so long without a word an Asterisk is asked by a Ping over its manager interface.
pub const AMI_PING: Duration = Duration::from_secs(5);

/// After so long without a word, though it was asked something, an Asterisk is away. Above the time that one with many devices needs to begin
/// its list.
pub const AMI_SILENCE: Duration = Duration::from_secs(10);

/// After so long without the word that an Asterisk is fully booted an operator is told what may be wrong.
pub const AMI_BOOTING: Duration = Duration::from_secs(60);

/// Actions of a kind that are on their way to a manager interface at once: it does them one by one.
pub const AMI_WRITES: usize = 32;

/// States that are read of one Asterisk: more than any has telephones. About 30 MB while a list comes in.
pub const AMI_STATES: u32 = 200_000;

/// The longest name of a `Custom:` device that is written, in bytes behind `Custom:`. Asterisk 16 has 256 for it with its family and two slashes.
pub const AMI_DATABASE_KEY: usize = 235;

/// Characters of a reason that an Asterisk gives that go to the log.
pub const AMI_REASON: usize = 200;

/// Other nodes of a cluster that are known. Each tells of itself once a second, and every one hears it.
pub const MEMBERS: usize = 1024;

/// Ways of all nodes of a cluster to servers: ten thousand servers, each attached to three nodes. About 10 MB.
pub const WAYS: usize = 32_768;

/// Sites of a cluster whose buckets are read.
pub const SITES: usize = 64;

/// How often a node shows itself on the bus, and looks after what it has there.
pub const BUS_BEAT: Duration = Duration::from_secs(1);

/// The time after a connection to the bus was made in which everybody who is there answers the first beat, so that who is missing then is not there.
pub const BUS_SETTLES: Duration = Duration::from_millis(500);

/// The soonest that a beat is followed by another, as an answer to a node that has just come.
pub const BUS_ANSWER: Duration = Duration::from_millis(200);

/// A node of which no beat has come over the bus for this time is not there: others take its roles. Three were lost.
pub const BUS_SILENT: Duration = Duration::from_millis(3500);

/// A bucket that has confirmed nothing for this time does not take anything any more. Where nothing is to be put it is asked at a third of it.
pub const BUS_WRITABLE: Duration = Duration::from_secs(15);

/// How long a node that has just started waits for the bus before it goes on without: what its servers tell it meanwhile may be known to others.
pub const JOIN_PATIENCE: Duration = Duration::from_secs(5);

/// How long a value may differ from what its home says before whoever heard it says it himself. Many times what the way over the bus takes, and
/// less than anybody looks at a lamp.
pub const SHADOW_PATIENCE: Duration = Duration::from_secs(2);

/// Values that are kept in mind because another node is the home of their server. Beyond it they are said at once, which costs a little order.
pub const SHADOWS: usize = 65_536;

/// Puts that are on their way to the bucket at once: at a millisecond each, a quarter of a million a second.
pub const BUS_IN_FLIGHT: usize = 256;

/// How long a key that was deleted or withdrawn is left, so that whoever was away learns of it. Whoever was away for longer reads everything.
pub const GONE_KEPT: Duration = Duration::from_secs(86_400);

/// A place in a bucket is good for going on from it for so long: well within the time that what is gone is kept.
pub const PLACE_GOOD: Duration = Duration::from_secs(43_200);

/// Values in a bucket that are older than what is known, and may count all the same: only a bucket that was lost leads to any.
pub const OLDER_VALUES: usize = 65_536;

/// Keys that wait to be erased. About 10 MB; what is more is left there, at the servers' cost.
pub const ERASURES: usize = 100_000;

/// Keys of an earlier life that are withdrawn one after another.
pub const ORPHANS: usize = 100_000;

/// The first pause after the bucket refused something, or could not be read. Doubled each time.
pub const BUS_RETRY_FIRST: Duration = Duration::from_millis(250);

/// The longest of these pauses: servers that have elected a leader meanwhile are found soon.
pub const BUS_RETRY_MAX: Duration = Duration::from_secs(2);

/// Puts on their way at once while the bucket refuses: few, so that one that is full is not kept busy with refusing, and more than one, so that
/// a single record that it will never take holds up nothing.
pub const BUS_PROBES: usize = 16;

/// Characters of a reason phrase that are shown to whoever asks for a peer's last answer. Each escaped one counts as what is written for it.
pub const REASON_SHOWN: usize = 128;

/// States that have run out and are taken back in one turn, so that a program that has died with a hundred thousand holds up nobody else.
pub const EXPIRED_AT_A_TIME: usize = 1024;
