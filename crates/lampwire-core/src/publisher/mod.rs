//! The event publication agent of RFC 3903: one publisher for each outbound-publish, working until its peer has confirmed what it should
//! hold.
//!
//! Nothing is queued: a lane is a pair of cursors over the table's journal. Whatever goes wrong, the cursors stay where the peer's last
//! confirmation left them, and the work goes on from there.

mod answer;
mod canary;
mod lane;
mod pace;
mod place;
mod probe;
mod renew;
pub(crate) mod request;
mod told;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lampwire_conf::{Config, Filter, OutboundPublish, Protocol};
use lampwire_sip::{EntityId, EventPackage, Message, States, Version};

use self::canary::Canary;
use self::lane::{Flight, Job, Lane, Leave, Next};
use self::pace::Pace;
use self::place::Place;
use self::probe::Probe;
pub(crate) use self::renew::{Retraction, Terms, is_same_relation, leads_to};
use self::told::Confirmations;
pub use self::told::Delivery;
use crate::auth::client::ClientAuth;
use crate::counters::Histogram;
use crate::directory::Directory;
use crate::filters::{FilterId, Filters};
use crate::flow::{Flows, Outlet};
use crate::io::{FlowId, Level, Outbox, TransportId};
use crate::lease::Leases;
use crate::limits;
use crate::locate::Target;
use crate::peer::{PeerId, Peers};
use crate::random::Random;
use crate::rewrite::Rewrites;
use crate::store::KeptLane;
use crate::table::{Cell, CellId, Entry, Kind, NameId, Names, Rev, Source, Table};
use crate::time::{Now, Time};
use crate::timers::{Timer, Timers};
use crate::transaction::client::{ClientTransaction, Due};
use crate::view::{self, AnswerView, LaneView, PublisherStatus};

/// A publisher's number. It keeps it for as long as it lives, wherever its section stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PublisherId(pub(crate) u16);

/// What a publisher works with: the node's parts, lent for one step.
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) config: &'a Config,
    pub(crate) entity_id: EntityId,
    pub(crate) table: &'a Table,
    pub(crate) leases: &'a Leases,
    pub(crate) filters: &'a Filters,
    pub(crate) rewrites: &'a Rewrites,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) timers: &'a mut Timers,
    pub(crate) random: &'a mut Random,
    pub(crate) peers: &'a mut Peers,
    pub(crate) flows: &'a mut Flows,
    pub(crate) directory: &'a mut Directory,
    /// The local address of each transport, as it is bound.
    pub(crate) bound: &'a BTreeMap<TransportId, SocketAddr>,
    /// What the node knows is kept over its restart, its publications among it.
    pub(crate) keeps: bool,
}

impl Context<'_> {
    /// The connections, and what they need to do something.
    pub(crate) fn flows(&mut self) -> (&mut Flows, Outlet<'_>) {
        let out = Outlet {
            now: self.now.at,
            outbox: self.outbox,
            timers: self.timers,
        };
        (self.flows, out)
    }
}

/// What of the configuration decides which values a publisher sends.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) kind: Kind,
    pub(crate) lanes: u16,
    pub(crate) filter: Option<FilterId>,
    /// The time over which all device states are sent again; zero: never. Mailboxes never are: every value that comes makes an
    /// Asterisk notify each telephone.
    pub(crate) resync: Duration,
    /// After this time without an answer the publication proves that the peer still has it; zero: only before it runs out.
    pub(crate) probe: Duration,
    /// What others tell this node goes on to the peer.
    pub(crate) relay: bool,
    pub(crate) peer: Option<PeerId>,
    /// The peer's own entity id, where it is known.
    pub(crate) peer_eid: Option<EntityId>,
    /// The peer is a Lampwire: it compares versions, and knows what a beat is.
    pub(crate) lampwire: bool,
    /// What the peer, being a Lampwire, says that it takes: the rest need not be sent.
    pub(crate) pushed: Option<Filter>,
    /// It tells nothing any more.
    pub(crate) silent: bool,
    /// What of all that it may tell is its to tell now.
    pub(crate) voice: Voice,
}

/// What a publisher says while several nodes of a cluster could speak to its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// Everything.
    All,
    /// Only what this node has not from the cluster: of the rest another may know more.
    FirstHand,
    /// Nothing: another node speaks.
    None,
}

/// One outbound-publish at work.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) id: PublisherId,
    pub(crate) peer: Option<PeerId>,
    /// Its section.
    pub(crate) publish: Arc<OutboundPublish>,
    settings: Settings,
    /// It works; else it waits for the node to start, or for one to end that told the same peer.
    started: bool,
    pub(crate) event: EventPackage,
    /// The peer's states are taken here (an asterisk-publication names this publish), so it can be asked for them.
    may_ask: bool,
    /// The peer is to be asked for all it has, and has not confirmed that it was.
    asking: bool,
    /// The round of asking that this is for.
    ask_round: u64,
    lanes: Vec<Lane>,
    state: State,
    place: Place,
    probe: Probe,
    /// When the peer last answered anything.
    heard: Time,
    /// When it was left alone for a while, having answered until then.
    trouble_since: Time,
    auth: ClientAuth,
    /// Seconds asked for; raised by 423.
    expiration: u32,
    /// How often everything was begun anew because the peer had forgotten us.
    epoch: u32,
    /// The highest tag that was an integer: a stock Asterisk counts its tags, so one that is not above has restarted.
    highest_tag: Option<u64>,
    pace: Pace,
    refusals_in_a_row: u32,
    confirmations: Confirmations,
    /// It is to be told that it has been told everything, as it asked for in this round.
    mark_due: Option<u64>,
    /// The round in which it has just asked; the dump for it begins with `say_all`.
    round_asked: Option<u64>,
    /// The last change before the end of that dump, and its number: what it left out since a newer value was to be told lies before this.
    dumped_at: Option<(Rev, u64)>,
    /// The newest beat of each hub that the peer has not confirmed.
    beats: BTreeMap<EntityId, Beat>,
    /// What may be said with the next beat of a hub, once the peer has confirmed what it rests on.
    claims: BTreeMap<EntityId, Claim>,
    canary: Canary,
    /// The last request had no answer at all.
    unanswered: bool,
    /// Its lanes are those of an earlier life.
    restored: bool,
    /// It has not said everything since then, since its voice was another's: what follows is to be said when it is its own again.
    muted: Option<Rev>,
    pub(crate) counters: PublisherCounters,
    last_answer: Option<AnswerView>,
}

/// A hub's beat on its way to a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beat {
    pub(crate) version: Version,
    /// The peer has been told everything up to this number of the hub's; and whether of all names.
    pub(crate) complete: Option<(u64, bool)>,
}

/// All that a hub has stamped up to a number is known here, and was a change up to `at`: once the peer has confirmed that, the same holds of it.
#[derive(Clone, Copy, Debug)]
struct Claim {
    seq: u64,
    full: bool,
    at: Rev,
}

/// What is kept of a lane.
pub(crate) struct Kept {
    pub(crate) tag: Option<String>,
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    pub(crate) expires_at: Time,
    pub(crate) confirmed: Rev,
}

/// What a publisher counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PublisherCounters {
    pub(crate) sent: u64,
    pub(crate) copies: u64,
    pub(crate) confirmed: u64,
    pub(crate) refused: u64,
    /// From a request to its final answer.
    pub(crate) round_trips: Histogram,
    /// The times of its canaries.
    pub(crate) canaries: Histogram,
    /// From a change to its confirmation.
    pub(crate) confirm_times: Histogram,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The node has not started, or the peer's name is not resolved yet.
    Resolving,
    /// The peer answers, or has not been tried.
    Up,
    /// The peer is silent or unable: one lane tries at times.
    Away { retry_at: Time, failures: u32 },
    /// The peer refuses: one lane tries, seldom.
    Refused { retry_at: Time, failures: u32 },
    /// What waits is still said, then every publication is ended.
    Stopping,
}

/// Why a peer is left alone for a while.
enum Trouble {
    Away(Option<Duration>),
    Refused(Option<Duration>),
}

impl Publisher {
    pub(crate) fn new(
        now: Now,
        config: &Config,
        publish: &OutboundPublish,
        id: PublisherId,
        peers: &Peers,
        filters: &mut Filters,
        random: &mut Random,
    ) -> Self {
        let lanes = (0..publish.lanes)
            .map(|_| {
                Lane::new(
                    now.at,
                    request::call_id(random),
                    request::first_cseq(random),
                )
            })
            .collect();
        Self {
            id,
            peer: peers.of_publisher(id),
            settings: Settings::of(config, publish, id, peers, filters),
            publish: Arc::new(publish.clone()),
            started: false,
            event: publish.event,
            may_ask: renew::is_named(config, publish),
            asking: false,
            ask_round: 0,
            lanes,
            state: State::Resolving,
            place: Place::new(publish, random),
            probe: Probe::new(publish, now.at, random),
            heard: now.at,
            trouble_since: now.at,
            auth: ClientAuth::new(config, &publish.outbound_auth),
            expiration: publish.expiration,
            epoch: 0,
            highest_tag: None,
            pace: Pace::new(publish.rate_limit, publish.lanes),
            refusals_in_a_row: 0,
            confirmations: Confirmations::default(),
            mark_due: None,
            round_asked: None,
            dumped_at: None,
            beats: BTreeMap::new(),
            claims: BTreeMap::new(),
            canary: Canary::of(publish),
            unanswered: false,
            restored: false,
            muted: None,
            counters: PublisherCounters::default(),
            last_answer: None,
        }
    }

    // ---- what makes work

    /// The node starts: all states are to be said that the peer has not confirmed in an earlier life of the node, and the peer is asked for
    /// all of its, if `ask`.
    pub(crate) fn start(&mut self, ctx: &mut Context<'_>, ask: bool) {
        if !self.restored {
            for lane in &mut self.lanes {
                lane.say_all(ctx.table.head());
            }
        }
        self.asking = self.may_ask && (ask || !self.restored);
        self.probe.wait(ctx.now.at);
        self.started = true;
        self.place.begin(ctx.config, &self.publish, ctx.bound);
        self.locate(ctx);
        self.set_probe_timer(ctx);
    }

    /// Goes on with the publications of an earlier life. Names may have been dealt out to other lanes then, so what any lane had not
    /// confirmed is said again by all. Where that life did not end in order, the tags are those of its last moments or older: a 412 will
    /// tell.
    pub(crate) fn restore(&mut self, now: Now, kept: &[&KeptLane], head: Rev, closed: bool) {
        let Some(confirmed) = kept.iter().map(|lane| Rev(lane.confirmed)).min() else {
            return;
        };
        self.restored = true;
        let confirmed = confirmed.min(head);
        for kept in kept {
            let Some(lane) = self.lanes.get_mut(usize::from(kept.lane)) else {
                continue;
            };
            let left = kept
                .expires_at
                .as_millis()
                .checked_sub(now.wall.as_millis());
            if let (Some(tag), Some(left)) = (&kept.tag, left) {
                let left = Duration::from_millis(left);
                lane.tag = Some(tag.clone());
                lane.call_id.clone_from(&kept.call_id);
                // Some requests may have left after this was kept.
                lane.cseq = kept.cseq.wrapping_add(if closed { 0 } else { 0x1000 });
                lane.expires_at = now.at + left;
                lane.refresh_at = now.at + refresh_after(left);
                lane.prove_at = now.at;
                self.highest_tag = self.highest_tag.max(tag.parse().ok());
            }
        }
        if confirmed < head {
            for lane in &mut self.lanes {
                lane.dump = Some(lane::Dump {
                    next: confirmed.next(),
                    until: head,
                });
            }
        }
    }

    /// The last life did not end in order, and its last changes of its own states may be lost here, but not at the peer. A lane whose tag is
    /// kept learns that by a 412. One that has none begins anew and would not: it says its own states once more.
    pub(crate) fn doubt_own(&mut self, names: &Names, own: &[(NameId, Rev)], head: Rev) {
        for (name, rev) in own.iter().filter(|_| self.restored) {
            let index = names.lane_of(*name, self.settings.lanes);
            let lane = &mut self.lanes[usize::from(index)];
            if names.get(*name).kind == self.settings.kind && lane.tag.is_none() {
                let next = lane.dump.map_or(*rev, |dump| dump.next.min(*rev));
                lane.dump = Some(lane::Dump { next, until: head });
            }
        }
    }

    /// A peer's own entity id is known from an earlier life.
    pub(crate) fn knows_own(&mut self, peer: PeerId, eid: EntityId) {
        if self.peer == Some(peer) {
            self.settings.peer_eid = Some(eid);
        }
    }

    /// Its lanes as they are kept: those that hold a publication, or have ever.
    pub(crate) fn kept(&self, head: Rev) -> impl Iterator<Item = (u16, Kept)> + '_ {
        (0..).zip(&self.lanes).map(move |(index, lane)| {
            let kept = Kept {
                tag: lane.tag.clone(),
                call_id: lane.call_id.clone(),
                cseq: lane.cseq,
                expires_at: lane.expires_at,
                confirmed: lane.confirmed(head),
            };
            (index, kept)
        })
    }

    /// The lane to which a change belongs, where this publisher tells of it.
    pub(crate) fn lane_for(&self, table: &Table, filters: &Filters, entry: &Entry) -> Option<u16> {
        let lane = table
            .names
            .lane_of(table.cell(entry.cell).name, self.settings.lanes);
        wants(&self.settings, lane, table, filters, entry).then_some(lane)
    }

    /// A change that this publisher tells of, on the lane that `lane_for` gave.
    pub(crate) fn note(&mut self, ctx: &mut Context<'_>, lane: u16, rev: Rev) {
        self.confirmations.came(rev, ctx.now.at);
        self.lanes[usize::from(lane)].note(rev);
        self.pump(ctx, lane);
    }

    /// From now on it is this publisher's to tell that much. Whoever speaks again says what has changed since it fell silent.
    pub(crate) fn set_voice(&mut self, ctx: &mut Context<'_>, voice: Voice) {
        let before = std::mem::replace(&mut self.settings.voice, voice);
        if before == voice {
            return;
        }
        let head = ctx.table.head();
        if voice != Voice::All {
            let from = self.confirmed(head).next();
            self.muted.get_or_insert(from);
        }
        if voice == Voice::None {
            // A copy of what is under way would overtake what the other says.
            for lane in &mut self.lanes {
                if let Some(lane::Job::State { .. }) = lane.job {
                    lane.job = None;
                    lane.beside.clear();
                    if lane.flight.take().is_some() {
                        lane.begin_anew(ctx.random);
                    }
                }
            }
            return;
        }
        // What is to be said by the first hand only may have been passed over by whoever spoke until now.
        let from = match voice {
            Voice::All => self.muted.take(),
            Voice::FirstHand | Voice::None => self.muted,
        };
        if !self.started {
            return;
        }
        for lane in &mut self.lanes {
            lane.say_from(from.unwrap_or_default(), head);
        }
        self.pump_all(ctx);
    }

    /// The peer may have been told something old after all that it was told by us: what it has confirmed is said once more.
    pub(crate) fn doubt(&mut self, ctx: &mut Context<'_>) {
        if self.settings.lampwire {
            return; // it compares versions
        }
        self.forget_told();
        if self.settings.voice == Voice::None || !self.started {
            return;
        }
        for lane in &mut self.lanes {
            lane.doubt(ctx.table.head());
        }
        self.pump_all(ctx);
    }

    pub(crate) const fn voice(&self) -> Voice {
        self.settings.voice
    }

    /// The peer has lost what it was told, or may have: whoever speaks to it next says everything.
    pub(crate) fn forget_told(&mut self) {
        if let Some(muted) = &mut self.muted {
            *muted = Rev::default();
        }
    }

    /// The peer is a Lampwire, which compares versions.
    pub(crate) const fn tells_a_lampwire(&self) -> bool {
        self.settings.lampwire
    }

    /// The peer asks for everything it should hold.
    pub(crate) fn say_all(&mut self, ctx: &mut Context<'_>) {
        if let Some(round) = self.round_asked.take() {
            self.mark_due = Some(round);
            self.dumped_at = None;
        }
        self.forget_told();
        self.forget_claims();
        for lane in &mut self.lanes {
            lane.say_all(ctx.table.head());
        }
        self.pump_all(ctx);
    }

    /// Asks the peer for all it has, where its states are taken here; tells whether they are.
    pub(crate) fn ask(&mut self, ctx: &mut Context<'_>) -> bool {
        self.asking = self.may_ask;
        self.ask_round = ctx.table.round();
        self.pump_all(ctx);
        self.may_ask
    }

    /// Whether the peer can be asked for all it has.
    pub(crate) const fn can_ask(&self) -> bool {
        self.may_ask
    }

    /// The peer has been asked and has not confirmed it yet.
    pub(crate) const fn is_asking(&self) -> bool {
        self.asking
    }

    /// Whether the peer is asked at times whether it is there.
    pub(crate) fn can_probe(&self) -> bool {
        !self.settings.probe.is_zero() || self.probe.is_on()
    }

    /// How long the peer may be silent before it is taken to be away.
    pub(crate) fn patience(&self) -> Duration {
        self.probe.patience()
    }

    /// Since when the peer, which does not answer, is silent for so long that it is not there; `None`: it answers.
    pub(crate) fn silent_at(&self) -> Option<Time> {
        let silent = self.unanswered && matches!(self.state, State::Away { .. });
        silent.then(|| self.heard + self.probe.patience())
    }

    /// What the peer has told of itself by its `refresh`.
    pub(crate) fn know(
        &mut self,
        lampwire: bool,
        event: EventPackage,
        round: Option<u64>,
        filter: Option<&Filter>,
    ) {
        self.settings.lampwire = lampwire;
        if self.event != event {
            return; // it says nothing about what this one tells
        }
        self.round_asked = round.filter(|_| lampwire);
        self.settings.pushed = filter.cloned();
    }

    /// A peer's own entity id is known, or another than before: what could not be told to it is.
    pub(crate) fn own_learned(&mut self, ctx: &mut Context<'_>, peer: PeerId, eid: EntityId) {
        if self.peer == Some(peer) {
            self.settings.peer_eid = Some(eid);
        }
        // Whatever this peer says at first hand may go to those whose own entity ids are not known.
        if self.peer == Some(peer) || self.settings.peer_eid.is_none() {
            for lane in &mut self.lanes {
                lane.say_all(ctx.table.head());
            }
            self.pump_all(ctx);
        }
    }

    /// A beat of a hub's, for a peer that knows what one is. It goes by the publish of devices, where there is one. `claim`: up to which
    /// number everything of that hub's is known here, and whether of all names.
    pub(crate) fn beat(
        &mut self,
        ctx: &mut Context<'_>,
        beat: Version,
        claim: Option<(u64, bool)>,
    ) {
        let known = self.beats.contains_key(&beat.by) || self.beats.len() < limits::HUBS;
        let peer = self.peer.map(|peer| ctx.peers.get(peer));
        let first = peer.and_then(|peer| peer.device_publisher.or(peer.mailbox_publisher));
        if !self.settings.lampwire || first != Some(self.id) || !known {
            return;
        }
        let head = ctx.table.head();
        if let Some((seq, full)) = claim {
            let full = full && self.tells_all_names(ctx);
            let claim = Claim {
                seq,
                full,
                at: head,
            };
            self.claims.entry(beat.by).or_insert(claim);
        }
        // What the peer has told before and does not know any more, it may still be told.
        let may_claim = self.settings.voice == Voice::All
            && peer.is_some_and(|peer| peer.sweep.is_none())
            && self.settings.peer_eid.is_some()
            && self.settings.kind == Kind::Device;
        let due = may_claim.then(|| self.confirmed(head));
        let complete = match self.claims.get(&beat.by) {
            Some(claim) if due.is_some_and(|confirmed| confirmed >= claim.at) => {
                Some((claim.seq, claim.full))
            }
            Some(_) | None => None,
        };
        if complete.is_some() {
            self.claims.remove(&beat.by);
        }
        let beat = Beat {
            version: beat,
            complete,
        };
        self.beats.insert(beat.version.by, beat);
        self.pump(ctx, 0);
    }

    /// No filter and no rewrite stands between what is known here and what the peer is told.
    fn tells_all_names(&self, ctx: &Context<'_>) -> bool {
        self.settings.pushed.is_none() && self.tells_all_wanted(ctx)
    }

    /// The same, but for the filter that is the peer's own.
    fn tells_all_wanted(&self, ctx: &Context<'_>) -> bool {
        self.settings.filter.is_none() && self.peer.is_some_and(|peer| !ctx.rewrites.concern(peer))
    }

    /// The peer has begun anew: nothing that it was told counts any more.
    pub(crate) fn forget_claims(&mut self) {
        self.claims.clear();
        for beat in self.beats.values_mut() {
            beat.complete = None;
        }
    }

    /// A value that the peer may have overwritten is told it once more.
    pub(crate) fn say_again(&mut self, ctx: &mut Context<'_>, cell: CellId) {
        let rev = ctx.table.cell(cell).rev;
        let entry = Entry {
            rev,
            cell,
            value: ctx.table.told(ctx.table.cell(cell)),
        };
        if let Some(index) = self.lane_for(ctx.table, ctx.filters, &entry) {
            let lane = &mut self.lanes[usize::from(index)];
            if lane.has_confirmed(&entry) || lane.is_saying(&entry) {
                lane.except(cell, rev, ctx.now.at, ctx.table.head());
                self.pump(ctx, index);
            }
        }
    }

    /// The peer has shown itself in a way that a restart would explain: it is asked at once whether it still has our publication.
    pub(crate) fn probe_now(&mut self, ctx: &mut Context<'_>) {
        if self.settings.probe.is_zero() {
            return;
        }
        if let Some(keeper) = self.lanes.iter().position(|lane| lane.tag.is_some()) {
            self.lanes[keeper].prove_at = ctx.now.at;
            self.pump(ctx, u16::try_from(keeper).unwrap_or(0));
        }
    }

    /// The peer began a publication anew while its earlier one was live. A stock Asterisk holds one at a time, so it has restarted.
    pub(crate) fn began_anew_there(&mut self, ctx: &mut Context<'_>) {
        self.forget_told();
        if self.highest_tag.is_some() {
            self.highest_tag = None;
            self.begin_anew(ctx);
        } else {
            self.probe_now(ctx);
        }
    }

    /// The node ends: what waits is still said where the peer takes it, then each publication is ended.
    pub(crate) fn stop(&mut self, ctx: &mut Context<'_>) {
        if self.settings.silent {
            return; // it is ending already
        }
        let gave_up = !matches!(self.state, State::Up);
        self.state = State::Stopping;
        self.asking = false;
        self.probe.end();
        if gave_up {
            // A peer that is away or refuses is not waited for; its publications run out by themselves.
            for lane in &mut self.lanes {
                lane.drop_work();
            }
        }
        self.pump_all(ctx);
    }

    /// Nothing is on its way any more.
    pub(crate) fn is_drained(&self) -> bool {
        let mut lanes = self.lanes.iter();
        let idle = lanes.all(|lane| lane.flight.is_none() && lane.job.is_none());
        idle && (!self.settings.silent || self.is_retired())
    }

    // ---- what comes back

    /// An answer to a request of the lane `index`, if `branch` is that of its request on the way. Tells whether it was.
    pub(crate) fn handle_response(
        &mut self,
        ctx: &mut Context<'_>,
        index: u16,
        branch: u64,
        response: &Message<'_>,
        status: u16,
        reason: &str,
    ) -> bool {
        if index == probe::LANE {
            return self.on_probe_answered(ctx, branch, status);
        }
        let Some(lane) = self.lanes.get_mut(usize::from(index)) else {
            return false;
        };
        let Some(flight) = &mut lane.flight else {
            return false;
        };
        if flight.branch != branch {
            return false;
        }
        if status < 200 {
            flight.transaction.provisional();
            return true;
        }
        let Some(flight) = lane.flight.take() else {
            return false;
        };
        self.last_answer = Some(AnswerView {
            status,
            reason: view::in_print(reason),
            at: ctx.now.wall,
        });
        self.heard = ctx.now.at;
        self.unanswered = false;
        let round_trip = ctx.now.at.since(flight.transaction.started());
        self.pace.answered((!flight.copied).then_some(round_trip));
        self.counters.round_trips.observe(round_trip);
        if let Some(id) = self.peer {
            let peer = ctx.peers.get_mut(id);
            peer.heard(ctx.now);
            peer.round_trip = Some(round_trip);
            if peer.restored {
                ctx.peers.note_change(id);
            }
        }
        match status {
            200..300 => {
                if flight.with_credentials {
                    self.auth.accepted();
                }
                self.on_accepted(ctx, index, &flight, response);
            }
            401 | 407 => self.on_challenge(ctx, index, &flight, response),
            412 => self.on_forgotten(ctx, index, &flight, reason),
            423 => self.on_too_brief(ctx, index, response, reason),
            408 | 500..600 => {
                let after = response.retry_after().ok().flatten();
                let after = after.map(|seconds| Duration::from_secs(seconds.into()));
                self.on_unable(ctx, index, status, reason, after);
            }
            // 3xx is not followed, and a peer that has moved is told of.
            _ => self.on_refused(ctx, index, status, reason),
        }
        true
    }

    /// The time of a lane: a copy is due, an answer is overdue, its publication wants care.
    pub(crate) fn handle_lane_timer(&mut self, ctx: &mut Context<'_>, index: u16) {
        let now = ctx.now.at;
        let Some(flight) = self
            .lanes
            .get(usize::from(index))
            .and_then(|lane| lane.flight.as_ref())
        else {
            self.pump(ctx, index);
            return;
        };
        if self.state == State::Up && self.silent_from(flight) <= now {
            let seconds = self.probe.patience().as_secs();
            self.gone(ctx, index, format!("no answer for {seconds} s"));
            self.set_lane_timer(ctx, index);
            return;
        }
        let away = matches!(self.state, State::Away { .. });
        let first = self.lanes.iter().position(|lane| lane.flight.is_some());
        let lane = &mut self.lanes[usize::from(index)];
        let Some(flight) = &mut lane.flight else {
            return;
        };
        match flight.transaction.due(now, away) {
            Due::Wait(_) => {}
            // A peer that is away is asked by one request at a time.
            Due::Resend if away && first != Some(usize::from(index)) => {}
            Due::Resend => {
                self.counters.copies += 1;
                self.resend(ctx, index);
            }
            Due::TimedOut => {
                let seconds = ctx.config.system.timer_b.as_secs();
                if let Some(flow) = lane.flight.take().and_then(|flight| flight.flow) {
                    let (flows, mut out) = ctx.flows();
                    flows.close(&mut out, flow, format!("no answer within {seconds} s"));
                }
                self.gone(ctx, index, format!("no answer within {seconds} s"));
            }
        }
        self.set_lane_timer(ctx, index);
    }

    /// When a request on its way has waited so long, with nothing heard of the peer meanwhile, that the peer is taken to be away.
    fn silent_from(&self, flight: &Flight) -> Time {
        flight.transaction.started().max(self.heard) + self.probe.patience()
    }

    /// Sends a copy of the request on its way.
    fn resend(&mut self, ctx: &mut Context<'_>, index: u16) {
        let lane = &mut self.lanes[usize::from(index)];
        if let (Some(flight), Some(target)) = (&mut lane.flight, self.place.target())
            && flight.flow.is_none()
        {
            flight.copied = true;
            let bytes = &lane.bytes;
            ctx.outbox.transmit(target.transport, target.remote, |out| {
                out.extend_from_slice(bytes);
            });
        }
    }

    /// The time of the publisher: its pause is over.
    pub(crate) fn handle_timer(&mut self, ctx: &mut Context<'_>) {
        self.pump_all(ctx);
        self.set_probe_timer(ctx);
    }

    /// The network said that nothing listens at `remote`.
    pub(crate) fn handle_unreachable(&mut self, ctx: &mut Context<'_>, target: Target) {
        let why = format!("{} is unreachable", target.remote);
        self.lose_probe(ctx, |to, flow| to == target && flow.is_none(), &why);
        if self.place.target() == Some(target) {
            self.lose_flights(ctx, |flight| flight.flow.is_none(), why);
        }
        self.set_probe_timer(ctx);
    }

    /// A connection has ended.
    pub(crate) fn handle_flow_lost(&mut self, ctx: &mut Context<'_>, flow: FlowId, why: &str) {
        self.lose_probe(ctx, |_, other| other == Some(flow), why);
        self.take_back_from_tcp(ctx, flow, why);
        self.lose_flights(ctx, |flight| flight.flow == Some(flow), why.to_owned());
        self.set_probe_timer(ctx);
    }

    /// Requests that were on a way that is no more are said again on the next.
    fn lose_flights(&mut self, ctx: &mut Context<'_>, lost: impl Fn(&Flight) -> bool, why: String) {
        let mut first = None;
        for (index, lane) in (0..).zip(&mut self.lanes) {
            if lane.flight.take_if(|flight| lost(flight)).is_some() {
                first.get_or_insert(index);
            }
        }
        if let Some(index) = first {
            self.gone(ctx, index, why);
        }
    }

    // ---- how the work goes on

    /// The peer cannot be reached where it was looked for: another of its places is tried, or it is left alone for a while.
    fn gone(&mut self, ctx: &mut Context<'_>, index: u16, why: String) {
        self.unanswered = true;
        if self.fail_over(ctx, &why) {
            return;
        }
        // What is on its way over a connection on which nothing comes back goes by another next time.
        let flow = self.lanes[usize::from(index)]
            .flight
            .as_ref()
            .and_then(|flight| flight.flow);
        if let Some(flow) = flow {
            let (flows, mut out) = ctx.flows();
            flows.close(&mut out, flow, why.clone());
            for lane in &mut self.lanes {
                lane.flight.take_if(|flight| flight.flow == Some(flow));
            }
        }
        self.trouble(ctx, Trouble::Away(None), why);
    }

    /// Leaves the peer alone for a while, and says so when that begins.
    fn trouble(&mut self, ctx: &mut Context<'_>, trouble: Trouble, why: String) {
        let publish = Arc::clone(&self.publish);
        let (failures, was_up) = match self.state {
            State::Away { failures, .. } | State::Refused { failures, .. } => (failures, false),
            State::Resolving | State::Up => (0, true),
            State::Stopping => {
                for lane in &mut self.lanes {
                    lane.drop_work();
                }
                return;
            }
        };
        let (level, code, first, longest, asked) = match trouble {
            Trouble::Away(asked) => (
                Level::Warn,
                "peer-away",
                limits::BACK_OFF_FIRST,
                limits::BACK_OFF_AWAY_MAX,
                asked,
            ),
            Trouble::Refused(asked) => (
                Level::Error,
                "peer-refuses",
                limits::REFUSED_FIRST,
                limits::REFUSED_MAX,
                asked,
            ),
        };
        let pause = asked
            .map(|asked| asked.clamp(first, limits::REFUSED_MAX))
            .unwrap_or_else(|| back_off(first, longest, failures, ctx.random));
        let retry_at = ctx.now.at + pause;
        let failures = failures.saturating_add(1);
        if was_up {
            self.trouble_since = ctx.now.at;
        }
        self.state = match trouble {
            Trouble::Away(_) => State::Away { retry_at, failures },
            Trouble::Refused(_) => State::Refused { retry_at, failures },
        };
        let text = format!(
            "publish {}: {}: {why}; tried again in {:.1} s, and nothing is lost until then",
            publish.name,
            publish.server_uri,
            pause.as_secs_f32()
        );
        let level = if was_up { level } else { Level::Debug };
        ctx.outbox.notice(level, code, text);
        if let Some(peer) = self.peer.filter(|_| was_up) {
            ctx.peers.note_change(peer);
        }
        self.set_timer(ctx);
        self.set_probe_timer(ctx);
    }

    /// The peer has answered: every lane goes on, and values that newer ones have overtaken meanwhile are passed over.
    fn recovered(&mut self, ctx: &mut Context<'_>) {
        let was_away = match self.state {
            State::Away { .. } => true,
            State::Refused { .. } => false,
            State::Resolving | State::Up | State::Stopping => return,
        };
        self.state = State::Up;
        let publish = Arc::clone(&self.publish);
        let text = format!(
            "publish {}: {} takes states again",
            publish.name, publish.server_uri
        );
        ctx.outbox.notice(Level::Info, "peer-back", text);
        if let Some(peer) = self.peer {
            ctx.peers.note_change(peer);
        }
        // A stock Asterisk that has restarted meanwhile may have given our old tag to somebody else, and grants it: nothing in its answer
        // says so. Each repeated mailbox makes it notify telephones once; a lamp that stays wrong is worse.
        let doubtful = was_away && self.highest_tag.is_some();
        if was_away {
            self.pace.begin_anew();
        }
        for lane in &mut self.lanes {
            lane.coalesce(ctx.table.head());
            if doubtful {
                lane.doubt(ctx.table.head());
            }
        }
        self.set_timer(ctx);
        for index in 0..self.settings.lanes {
            // What waited for an answer while the peer was away is not left to its own long pauses.
            self.resend(ctx, index);
            self.pump(ctx, index);
        }
    }

    /// The peer has forgotten us, so it has restarted: every publication is begun anew and everything is said again.
    fn begin_anew(&mut self, ctx: &mut Context<'_>) {
        self.epoch += 1;
        self.forget_told();
        self.forget_claims();
        let publish = Arc::clone(&self.publish);
        let text = format!(
            "publish {}: {} has forgotten our publications; everything is sent again",
            publish.name, publish.server_uri
        );
        ctx.outbox.notice(Level::Info, "peer-restarted", text);
        for lane in &mut self.lanes {
            lane.say_all(ctx.table.head());
            if lane.flight.is_none() {
                lane.begin_anew(ctx.random);
            }
        }
        self.pump_all(ctx);
        if self.lanes.iter().all(Lane::has_nothing_to_say) {
            // There is nothing to say by which the peer would hear of us: asking for its states does.
            self.asking = self.may_ask;
            self.pump(ctx, 0);
        }
    }

    fn pump_all(&mut self, ctx: &mut Context<'_>) {
        for index in 0..self.settings.lanes {
            self.pump(ctx, index);
        }
    }

    /// Lets lanes go on with a dump that the pace has held back.
    fn pump_waiting(&mut self, ctx: &mut Context<'_>) {
        for index in 0..self.settings.lanes {
            let lane = &self.lanes[usize::from(index)];
            if lane.flight.is_none() && lane.walks() {
                if self.dumping() >= self.pace.window() {
                    return;
                }
                self.pump(ctx, index);
            }
        }
    }

    /// Requests of a dump that are on their way.
    fn dumping(&self) -> u16 {
        let lanes = self.lanes.iter();
        let count = lanes
            .filter(|lane| lane.flight.is_some() && lane.job_of_dump)
            .count();
        u16::try_from(count).unwrap_or(u16::MAX)
    }

    /// Lets a lane that is free say what it has to say.
    fn pump(&mut self, ctx: &mut Context<'_>, index: u16) {
        let lane = &self.lanes[usize::from(index)];
        if lane.flight.is_none() && self.may_send(ctx.now.at, index) {
            if lane.tag.is_some() && lane.expires_at <= ctx.now.at {
                // Not refreshed in time, so the peer may have forgotten us. A new publication says so without a 412.
                self.begin_anew(ctx);
                return;
            }
            if let State::Away { .. } | State::Refused { .. } = self.state {
                // What changed meanwhile is told by its newest value.
                self.lanes[usize::from(index)].coalesce(ctx.table.head());
            }
            match self.next(ctx, index) {
                Next::Job(job) => {
                    self.lanes[usize::from(index)].job = Some(job);
                    self.send(ctx, index);
                    return;
                }
                Next::Yield => {
                    let timer = Timer::Lane {
                        publisher: self.id.0,
                        lane: index,
                    };
                    ctx.timers.set(timer, ctx.now.at + limits::LANE_TURN);
                    return;
                }
                Next::Nothing => {}
            }
        }
        self.set_lane_timer(ctx, index);
    }

    /// Whether the lane may send now: each lane while the peer answers, one at a time to try a peer in trouble.
    fn may_send(&self, now: Time, index: u16) -> bool {
        if self.place.target().is_none() {
            return false;
        }
        match self.state {
            State::Up | State::Stopping => true,
            State::Resolving => false,
            State::Away { retry_at, .. } | State::Refused { retry_at, .. } => {
                let others = self.lanes.iter().enumerate();
                retry_at <= now
                    && others
                        .filter(|(other, _)| *other != usize::from(index))
                        .all(|(_, lane)| lane.flight.is_none())
            }
        }
    }

    fn next(&mut self, ctx: &mut Context<'_>, index: u16) -> Next {
        let now = ctx.now.at;
        let open_below = self.lanes[..usize::from(index)]
            .iter()
            .any(|lane| lane.tag.is_some());
        let stopping = self.state == State::Stopping;
        let asks = self.asking && index == 0;
        let leave = if self.pace.waits_until(now).is_some() {
            Leave::None
        } else if self.dumping() < self.pace.window() {
            Leave::All
        } else {
            Leave::Live
        };
        let lane = &mut self.lanes[usize::from(index)];
        if asks && lane.job.is_none() {
            lane.job_of_dump = false;
            return Next::Job(Job::AskRefresh);
        }
        match lane.next(now, index, &self.settings, ctx.table, ctx.filters, leave) {
            Next::Nothing => {}
            next @ (Next::Job(_) | Next::Yield) => return next,
        }
        lane.job_of_dump = false;
        if index == 0 && !stopping {
            if let Some((by, _)) = self.beats.first_key_value() {
                return Next::Job(Job::Beat(*by));
            }
            if let Some((eid, number)) = self.next_canary(ctx) {
                return Next::Job(Job::Canary(eid, number));
            }
            if self.mark_due.is_some() && self.has_said_all(ctx.table) {
                return Next::Job(Job::Mark);
            }
        }
        let lane = &mut self.lanes[usize::from(index)];
        let idle = lane.idle_since + limits::LANE_IDLE <= now && open_below;
        let proof_due = !self.settings.probe.is_zero() && !open_below && lane.prove_at <= now;
        // A node that will go on from here leaves its publications as they are.
        let ends = stopping && (self.settings.silent || !ctx.keeps) && lane.retractions.is_empty();
        if lane.tag.is_some() && (idle || ends) && (ends || !lane.has_work()) {
            Next::Job(Job::Close)
        } else if !stopping && lane.tag.is_some() && (lane.refresh_at <= now || proof_due) {
            Next::Job(Job::KeepAlive)
        } else {
            Next::Nothing
        }
    }

    /// Whether the peer has confirmed everything that it asked for: what was dumped, and what was told by newer values instead.
    fn has_said_all(&mut self, table: &Table) -> bool {
        if self.settings.voice != Voice::All {
            return false;
        }
        let head = table.head();
        if self.dumped_at.is_none() && self.lanes.iter().all(Lane::has_dumped) {
            self.dumped_at = Some((head, table.newest_seq()));
        }
        self.dumped_at
            .is_some_and(|(at, _)| self.lanes.iter().all(|lane| lane.confirmed(head) >= at))
    }

    /// Writes the request for the lane's job and sends it.
    fn send(&mut self, ctx: &mut Context<'_>, index: u16) {
        let Some(target) = self.place.target() else {
            return;
        };
        if !self.write(ctx, index, target) {
            return;
        }
        let too_long = self.lanes[usize::from(index)].bytes.len() > limits::DATAGRAM_COMFORTABLE;
        let target = match self.place.stream_instead(ctx, target) {
            Some(stream) if too_long && self.write(ctx, index, stream) => stream,
            Some(_) | None => target,
        };
        self.counters.sent += 1;
        let bytes = std::mem::take(&mut self.lanes[usize::from(index)].bytes);
        let flow = self.place.transmit(ctx, target, &bytes);
        let lane = &mut self.lanes[usize::from(index)];
        lane.bytes = bytes;
        if let Some(flight) = &mut lane.flight {
            flight.flow = flow;
            if flow.is_some() {
                flight.transaction.over_stream();
            }
        }
        if let Some(Job::State { .. }) = lane.job {
            self.pace.said(ctx.now.at);
        }
        self.set_lane_timer(ctx, index);
    }

    /// Writes the request for the lane's job, as it goes to `target`; false where the lane has none.
    fn write(&mut self, ctx: &mut Context<'_>, index: u16, target: Target) -> bool {
        let publish = Arc::clone(&self.publish);
        let all_wanted = self.tells_all_wanted(ctx);
        self.take_beside(ctx, index, target);
        let lane = &mut self.lanes[usize::from(index)];
        let Some(job) = lane.job else {
            return false;
        };
        let dumped = self.dumped_at.map(|(_, seq)| (seq, all_wanted));
        lane.cseq = lane.cseq.wrapping_add(1) & request::CSEQ_MASK;
        let branch = ctx.random.next_u64();
        let with_credentials = request::write(
            &mut lane.bytes,
            ctx,
            &request::Parts {
                publish: &publish,
                event: self.event,
                target,
                branch: request::Branch {
                    publisher: self.id.0,
                    lane: index,
                    random: branch,
                },
                call_id: &lane.call_id,
                cseq: lane.cseq,
                tag: lane.tag.as_deref(),
                expires: if job == Job::Close {
                    0
                } else {
                    self.expiration
                },
                job: Some(job),
                beat: match job {
                    Job::Beat(by) => self.beats.get(&by).copied(),
                    _ => None,
                },
                round: self.mark_due,
                dumped,
                peer: self.peer,
                retraction: lane.retractions.front(),
                beside: &lane.beside,
            },
            &mut self.auth,
        );
        let system = &ctx.config.system;
        lane.flight = Some(Flight {
            transaction: ClientTransaction::new(ctx.now.at, system.timer_t1, system.timer_b),
            branch,
            flow: None,
            with_tag: lane.tag.is_some(),
            with_credentials,
            epoch: self.epoch,
            highest_tag: self.highest_tag,
            copied: false,
            beat: match job {
                Job::Beat(by) => self.beats.get(&by).map(|beat| beat.version.seq),
                Job::Mark => self.mark_due,
                Job::AskRefresh => Some(ctx.table.round()),
                _ => None,
            },
        });
        true
    }

    /// Chooses what is told beside the lane's job: as much of what waits as one request holds, where the peer has offered to take that.
    fn take_beside(&mut self, ctx: &Context<'_>, index: u16, target: Target) {
        let lane = &mut self.lanes[usize::from(index)];
        lane.give_back();
        let Some(Job::State { cell, rev, value }) = lane.job else {
            return;
        };
        let may = lane.takes_many && !self.pace.is_limited();
        if !may || !ctx.table.cell(cell).cachable {
            return;
        }
        let most = match request::protocol(ctx.config, target) {
            Protocol::Tcp | Protocol::Tls => limits::BESIDE_ON_STREAM,
            // The lines above the body are about those of the last request.
            Protocol::Udp => {
                let head = lane.bytes.windows(4).position(|it| it == b"\r\n\r\n");
                let head = head.unwrap_or(0) + limits::HEAD_GROWS;
                limits::DATAGRAM_COMFORTABLE.saturating_sub(head)
            }
        };
        let mut states = States::within(most);
        let first = Entry { rev, cell, value };
        let waits = lane.live.is_some() || lane.job_of_dump;
        if waits && states.push(request::told(ctx, self.peer, &first)) {
            lane.take_beside(index, &self.settings, ctx.table, ctx.filters, |entry| {
                states.push(request::told(ctx, self.peer, entry))
            });
        }
    }

    fn set_timer(&self, ctx: &mut Context<'_>) {
        let timer = Timer::Publisher(self.id.0);
        match self.state {
            State::Away { retry_at, .. } | State::Refused { retry_at, .. }
                if retry_at > ctx.now.at =>
            {
                ctx.timers.set(timer, retry_at);
            }
            State::Away { .. }
            | State::Refused { .. }
            | State::Resolving
            | State::Up
            | State::Stopping => {
                ctx.timers.clear(timer);
            }
        }
    }

    fn set_lane_timer(&self, ctx: &mut Context<'_>, index: u16) {
        let lane = &self.lanes[usize::from(index)];
        let timer = Timer::Lane {
            publisher: self.id.0,
            lane: index,
        };
        let at = match &lane.flight {
            Some(flight) if self.state == State::Up => {
                Some(flight.transaction.next_due().min(self.silent_from(flight)))
            }
            Some(flight) => Some(flight.transaction.next_due()),
            // While the peer is left alone the publisher's own timer wakes; while another lane tries it, that lane's answer.
            None if !self.may_send(ctx.now.at, index) => None,
            None => {
                let exception = lane
                    .exceptions
                    .values()
                    .map(|exception| exception.retry_at)
                    .min();
                let care = lane.tag.as_ref().map(|_| {
                    let open_below = self.lanes[..usize::from(index)]
                        .iter()
                        .any(|lane| lane.tag.is_some());
                    let idle = lane.idle_since + limits::LANE_IDLE;
                    if open_below && lane.has_work() {
                        // It is not closed while its work waits for the pace.
                        lane.refresh_at
                    } else if open_below {
                        idle.min(lane.refresh_at)
                    } else if self.settings.probe.is_zero() {
                        lane.refresh_at
                    } else {
                        lane.refresh_at.min(lane.prove_at)
                    }
                });
                let pace = self
                    .pace
                    .waits_until(ctx.now.at)
                    .filter(|_| lane.has_work() || exception.is_some());
                // A walk that is due and was held back by the pace is no reason to ask again at once.
                let resync = lane.resync_at().map(|at| match at > ctx.now.at {
                    true => at,
                    false => ctx.now.at + limits::RESYNC_HELD_BACK,
                });
                let canary = self.canary_at().filter(|_| index == 0);
                let wanted = [
                    exception.filter(|_| pace.is_none()),
                    care,
                    pace,
                    resync,
                    canary,
                ];
                // What could not be done just now is not asked again within the same moment, whatever the reason: a node that finds
                // a timer due for ever does nothing else.
                let soonest = ctx.now.at + limits::LANE_TURN;
                wanted.into_iter().flatten().min().map(|at| at.max(soonest))
            }
        };
        match at {
            Some(at) => ctx.timers.set(timer, at),
            None => ctx.timers.clear(timer),
        }
    }

    // ---- what is shown

    /// The revision up to which the peer has confirmed everything that this publisher tells.
    pub(crate) fn confirmed(&self, head: Rev) -> Rev {
        self.lanes
            .iter()
            .map(|lane| lane.confirmed(head))
            .min()
            .unwrap_or(head)
    }

    /// From which change on the peer may not have confirmed all.
    pub(crate) fn oldest_unconfirmed(&self, table: &Table) -> Rev {
        self.confirmed(table.head()).next()
    }

    /// States that the peer should hold and has not confirmed, among `budget` changes from this one on.
    pub(crate) fn behind(
        &self,
        table: &Table,
        filters: &Filters,
        from: Rev,
        budget: usize,
    ) -> PartBehind {
        let mut part = PartBehind {
            count: 0,
            looked_at: 0,
            next: None,
        };
        let mut next = from;
        for entry in table.entries_from(from).take(budget) {
            part.looked_at += 1;
            next = entry.rev.next();
            let Some(index) = self.lane_for(table, filters, &entry) else {
                continue;
            };
            let lane = &self.lanes[usize::from(index)];
            if table.is_newest(&entry) && !lane.has_confirmed(&entry) {
                part.count += 1;
            }
        }
        if part.looked_at == budget {
            part.next = Some(next);
        }
        part
    }

    pub(crate) fn status(&self) -> PublisherStatus {
        match self.state {
            State::Resolving => PublisherStatus::Resolving,
            State::Stopping => PublisherStatus::Stopped,
            State::Away { .. } | State::Refused { .. } => PublisherStatus::BackOff,
            State::Up if self.lanes.iter().any(|lane| lane.flight.is_some()) => {
                PublisherStatus::Publishing
            }
            State::Up => PublisherStatus::Idle,
        }
    }

    pub(crate) fn retry_at(&self) -> Option<Time> {
        match self.state {
            State::Away { retry_at, .. } | State::Refused { retry_at, .. } => Some(retry_at),
            State::Resolving | State::Up | State::Stopping => None,
        }
    }

    pub(crate) fn lanes(&self, now: Now) -> Vec<LaneView> {
        let shown = |(index, lane): (u16, &Lane)| {
            (lane.tag.is_some() || lane.flight.is_some()).then(|| LaneView {
                index,
                open: lane.tag.is_some(),
                opened_at: lane.opened_at.filter(|_| lane.tag.is_some()),
                expires_at: lane.tag.as_ref().map(|_| now.wall_at(lane.expires_at)),
                in_flight: lane.flight.is_some(),
            })
        };
        (0..).zip(&self.lanes).filter_map(shown).collect()
    }

    pub(crate) fn last_answer(&self) -> Option<&AnswerView> {
        self.last_answer.as_ref()
    }

    pub(crate) fn target(&self) -> Option<Target> {
        self.place.target()
    }
}

/// A part of what a peer is behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartBehind {
    pub(crate) count: u64,
    pub(crate) looked_at: usize,
    /// Where to go on; `None`: that was all.
    pub(crate) next: Option<Rev>,
}

/// When a publication is refreshed: a minute before its end, so that a request may take its whole 32 s; a short one at half its time.
fn refresh_after(granted: Duration) -> Duration {
    let minute = Duration::from_secs(60);
    if granted >= 4 * minute {
        granted - minute
    } else {
        granted / 2
    }
}

/// `first`, doubled with each failure up to `longest`, give or take a quarter so that many do not come at once.
pub(crate) fn back_off(
    first: Duration,
    longest: Duration,
    failures: u32,
    random: &mut Random,
) -> Duration {
    let pause = first.saturating_mul(1 << failures.min(16)).min(longest);
    let spread = u64::try_from(pause.as_micros() / 2).unwrap_or(u64::MAX);
    pause * 3 / 4 + Duration::from_micros(random.below(spread))
}

/// Whether an entry is one that the lane `index` tells of: of its event, ours to tell, wanted by the filter, and of a name of this lane.
fn wants(settings: &Settings, index: u16, table: &Table, filters: &Filters, entry: &Entry) -> bool {
    let cell = table.cell(entry.cell);
    !settings.silent
        && match settings.voice {
            Voice::All => true,
            Voice::FirstHand => cell.source != Source::Cluster,
            Voice::None => false,
        }
        && table.names.get(cell.name).kind == settings.kind
        && table.names.lane_of(cell.name, settings.lanes) == index
        && (matches!(cell.source, Source::Local | Source::Ami) || may_relay(settings, table, cell))
        && table.is_told(entry.cell)
        && (table.has_version(entry) || !settings.lampwire && !table.is_here(cell))
        && filters.wants(settings.filter, &table.names, cell.name)
        && settings
            .pushed
            .as_ref()
            .is_none_or(|filter| filter.is_match(&table.names.get(cell.name).text))
}

/// Whether what a peer has told this node goes on to the peer of a publisher: never back to whom it came from, never to the node whose entity id
/// it is. An Asterisk takes its own entity id for its own state and publishes that on; so while a peer's own is not known, it hears only what
/// surely is another's: what another peer says of itself.
fn may_relay(settings: &Settings, table: &Table, cell: &Cell) -> bool {
    let Some(to) = settings.peer else {
        return settings.relay && cell.peer.is_some();
    };
    settings.relay
        && cell.peer != Some(to)
        && !table.is_first_hand(cell.eid, to)
        && match settings.peer_eid {
            Some(own) => own != table.eid(cell.eid),
            None => cell.peer.is_some() && table.owner_of(cell.eid) == cell.peer,
        }
}
