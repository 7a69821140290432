//! The node: it owns everything, and everything that happens to it is one call.
//!
//! Each `handle_*`, `set_*` and `unset_*` is one mutation; afterwards the driver drains `poll_transmit`, `poll_flow`, `poll_query` and
//! `poll_event`, and asks `poll_timeout` when to come again.

mod ami;
mod behind;
mod census;
mod cluster;
mod explain;
mod hub;
mod inbound;
mod keep;
mod many;
mod missed;
mod own;
mod query;
mod reload;
mod renewal;
mod silenced;
mod streams;
mod terms;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use lampwire_conf::{Config, Filter, Identifier, Match, RetractAs};
use lampwire_sip::{EntityId, Message};

use crate::ami::Link;
use crate::auth::server::Authenticator;
use crate::cluster::Cluster;
use crate::compositor::{Compositor, Expiry, PublicationId};
use crate::counters::Counters;
use crate::directory::{Directory, Known};
use crate::entity::{Due, Speakers};
use crate::filters::{FilterId, Filters};
use crate::flow::Flows;
use crate::io::{Answer, Event, FlowId, Level, Outbox, Query, Transmit, TransportId};
use crate::late::LateAnswers;
use crate::lately::Lately;
use crate::lease::Leases;
use crate::limits;
use crate::locate::{HopHost, NextHop, Target};
use crate::peer::{PeerId, Peers};
use crate::publisher::request::{Branch, next_hop_uri};
use crate::publisher::{Context, Publisher, PublisherId};
use crate::random::Random;
use crate::rewrite::Rewrites;
use crate::strangers::Strangers;
use crate::table::{Change, Entry, Kind, Rev, Rules, Table};
use crate::time::{Now, Time};
use crate::timers::{Timer, Timers};
use crate::transaction::server::ServerTransactions;

pub use self::behind::Behind;
pub use self::census::Census;
pub use self::explain::{
    ChangeView, DeliveryView, DeviceExplanation, DroppedView, MailboxExplanation, Said, TakenView,
    ToldView, Trail, Verdict,
};
use self::hub::Retelling;
use self::inbound::Origin;
use self::keep::Kept;
pub use self::own::{SetError, SetOutcome, SetValue, Setting, UnknownPublisher};
pub use self::reload::{NotReloaded, RelationChange, RelationTurn, ReloadReport, ReloadWarning};
use self::renewal::Renewals;
use self::silenced::Senders;

/// What a node is made from.
#[derive(Clone)]
pub struct Setup {
    /// A configuration without errors.
    pub config: Arc<Config>,
    /// The node's own entity id.
    pub entity_id: EntityId,
    /// All randomness of the node: another for each life.
    pub seed: [u8; 32],
    /// What tags are sealed with. A node that keeps what it knows over a restart keeps this too, or its old tags are none.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup")
            .field("entity_id", &self.entity_id)
            .finish_non_exhaustive()
    }
}

/// A node in the web of nodes that tell each other device and mailbox states.
#[derive(Debug)]
pub struct Node {
    config: Arc<Config>,
    entity_id: EntityId,
    table: Table,
    filters: Filters,
    /// What each asterisk-publication takes: the filters on devices and on mailboxes.
    taken: Vec<(Option<FilterId>, Option<FilterId>)>,
    peers: Peers,
    /// In the order of the configuration; behind them those that it no longer has, until they have ended.
    publishers: Vec<Publisher>,
    /// The place of each publisher there, by its number.
    publisher_at: Vec<Option<u16>>,
    compositor: Compositor,
    transactions: ServerTransactions,
    authenticator: Authenticator,
    identifier: Identifier,
    /// What the DNS says of the names in `identify` sections and on the way to peers.
    directory: Directory,
    /// Until when unproven requests of unknown addresses are not answered because names were never answered; `None`: all were.
    awaits_names: Option<Time>,
    flows: Flows,
    /// Asterisks that are reached by their manager interface, in the order of their sections.
    amis: Vec<Link>,
    /// The number of the next of them.
    next_ami: u16,
    /// Peers that the last reload left without a section.
    departed: Vec<PeerId>,
    /// The addresses that publishes name as their next hop.
    next_hops: BTreeSet<IpAddr>,
    /// Which endpoint speaks for which entity id.
    speakers: Speakers,
    strangers: Strangers,
    /// How the senders of publications were known.
    senders: Senders,
    late: LateAnswers,
    /// Who tells of which entity id.
    leases: Leases,
    rewrites: Rewrites,
    /// What it shares with other nodes over a bus.
    cluster: Option<Box<Cluster>>,
    /// What has been given to whoever keeps it over a restart.
    kept: Kept,
    /// The node goes on from an earlier life, which ended in order or not.
    restored: Option<bool>,
    /// Entity ids whose devices are being told anew.
    retelling: VecDeque<Retelling>,
    /// States that were set here for a time.
    renewals: Renewals,
    /// The number of our last beat.
    last_beat: u64,
    /// When the node started.
    started_at: Time,
    /// It began with nothing: until then it may not have heard of all that others have.
    blank_until: Time,
    /// What this node stamped in an earlier life and nobody has told since is gone.
    settled: bool,
    /// Endpoints (by index) and the entity id under which they may not speak, as it was reported.
    reported: BTreeSet<(usize, EntityId)>,
    timers: Timers,
    outbox: Outbox,
    random: Random,
    bound: BTreeMap<TransportId, SocketAddr>,
    counters: Counters,
    /// For whoever asks why a lamp is lit.
    lately: Lately,
    watched: bool,
    life: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Made, but its sockets are not bound yet.
    Made,
    Running,
    /// Ending: the answers to its last requests are waited for.
    Stopping,
    /// The time to wait is over.
    Over,
}

impl Node {
    /// A node that has not started: it answers nothing and sends nothing.
    pub fn new(now: Now, setup: Setup) -> Self {
        let Setup {
            config,
            entity_id,
            seed,
            secret,
        } = setup;
        let mut secrets = Random::new(&secret, "secrets");
        let mut random = Random::new(&seed, "random");
        let mut pair = || (secrets.next_u64(), secrets.next_u64());
        let (names_key, transactions_key) = (pair(), pair());
        let mut tag_key = [0; 16];
        secrets.fill(&mut tag_key);
        let mut guise_key = [0; 16];
        secrets.fill(&mut guise_key);
        // Which counts of a nonce are used is not kept, so no nonce may be good in another life.
        let mut nonce_key = [0; 32];
        Random::new(&seed, "nonces").fill(&mut nonce_key);
        let mut filters = Filters::default();
        let taken = taken(&config, &mut filters);
        let ids = (0..config.outbound_publishes.len()).filter_map(|it| u16::try_from(it).ok());
        let ids: Vec<PublisherId> = ids.map(PublisherId).collect();
        let mut peers = Peers::of(&config, &ids);
        let amis = Self::links(&config, &peers);
        let next_ami = u16::try_from(amis.len()).unwrap_or(0);
        let next_hops = next_hops(&config);
        let cluster = Self::join(now, &config, entity_id, &mut peers);
        let rewrites = Rewrites::new(&config, &peers);
        let publishers = config.outbound_publishes.iter().zip(ids);
        let publishers = publishers
            .map(|(publish, id)| {
                Publisher::new(now, &config, publish, id, &peers, &mut filters, &mut random)
            })
            .collect();
        let mut node = Self {
            compositor: Compositor::new(&config, tag_key),
            transactions: ServerTransactions::new(transactions_key),
            authenticator: Authenticator::new(nonce_key, guise_key, &config),
            identifier: Identifier::new(&config),
            table: Table::new(
                names_key,
                (entity_id, now.wall.as_millis()),
                Rules {
                    retract_as: retract_as(&config),
                    owners: config.lampwire.relay,
                    agree: config.cluster.is_some(),
                    key_of_rounds: Random::new(&seed, "rounds").next_u32(),
                },
            ),
            filters,
            taken,
            peers,
            publishers,
            publisher_at: Vec::new(),
            senders: Senders::default(),
            speakers: Speakers::new(&config),
            strangers: Strangers::new(&config),
            late: LateAnswers::new(&config),
            leases: Leases::default(),
            rewrites,
            cluster,
            kept: Kept::default(),
            restored: None,
            retelling: VecDeque::new(),
            renewals: Renewals::default(),
            last_beat: 0,
            started_at: now.at,
            blank_until: now.at,
            settled: false,
            directory: Directory::default(),
            awaits_names: None,
            flows: Flows::new(config.global.keep_alive_interval),
            amis,
            next_ami,
            departed: Vec::new(),
            next_hops,
            config,
            entity_id,
            reported: BTreeSet::new(),
            timers: Timers::default(),
            outbox: Outbox::default(),
            random,
            bound: BTreeMap::new(),
            counters: Counters::default(),
            lately: Lately::default(),
            watched: false,
            life: Life::Made,
        };
        node.place_publishers();
        node
    }

    /// The sockets are bound: publishers begin, and peers are asked for their states. With each transport comes the address that its
    /// requests name as their sender: the one it is bound to, or where that is none in particular, one of the machine's.
    pub fn start(&mut self, now: Now, bound: &[(TransportId, SocketAddr)]) {
        self.bound = bound.iter().copied().collect();
        self.life = Life::Running;
        self.started_at = now.at;
        if self.table.len() == 0 {
            self.blank_until = now.at + self.config.lampwire.hold_time;
        }
        self.identify_names();
        self.start_cluster(now);
        let round = self.table.begin_round();
        // What was missed between two lives is asked for; after an end in order nothing was.
        let ask = self.restored != Some(true);
        self.each_publisher(now, |publisher, ctx| publisher.start(ctx, ask));
        self.wait_for_losses();
        let asked = self.publishers.iter().filter(|it| it.is_asking());
        let asked: Vec<PeerId> = asked.filter_map(|it| it.peer).collect();
        for peer in asked {
            self.note_asked(now, peer);
            if self.peers.get(peer).restored {
                self.await_dumps(now, peer, round);
            }
        }
        let known: Vec<_> = self
            .peers
            .iter()
            .filter_map(|(id, peer)| Some((id, peer.entity_id?)))
            .collect();
        for (id, eid) in known {
            self.table.set_own(eid, id);
        }
        if self.config.lampwire.relay {
            self.beat(now);
        }
        self.take_by_other_rules(now);
        self.take_back_of_clients(now);
        self.connect_amis(now);
        self.await_names(now);
        self.settle(now);
    }

    /// A datagram has come in.
    pub fn handle_datagram(
        &mut self,
        now: Now,
        transport: TransportId,
        remote: SocketAddr,
        bytes: &[u8],
    ) {
        self.counters.datagrams_received += 1;
        if self.life == Life::Made {
            return;
        }
        let origin = Origin {
            transport,
            remote,
            flow: None,
        };
        self.receive(now, origin, bytes);
        self.settle(now);
    }

    /// The network said that nothing listens at `remote` (ICMP port or host unreachable).
    pub fn handle_unreachable(&mut self, now: Now, transport: TransportId, remote: SocketAddr) {
        let target = Target { transport, remote };
        self.each_publisher(now, |publisher, ctx| {
            publisher.handle_unreachable(ctx, target);
        });
        self.settle(now);
    }

    /// The answer to a question that `poll_query` gave. An error (nobody answered, or not in time) leaves what was known.
    pub fn handle_answer(&mut self, now: Now, query: &Query, answer: Result<Answer, String>) {
        let known = self.directory.is_known(query);
        match self
            .directory
            .answer(now.at, &mut self.timers, query, answer)
        {
            Ok(false) => return,
            Ok(true) => {}
            Err(why) => {
                let consequence = if known {
                    "its last answer is kept"
                } else {
                    "it is asked again"
                };
                let text = format!("{query} did not resolve: {why}; {consequence}");
                // Most domains have no NAPTR and SRV, and some servers do not say so.
                let level = match query {
                    Query::Addresses(_) => Level::Warn,
                    Query::Srv(_) | Query::Naptr(_) => Level::Info,
                };
                self.outbox.notice(level, "name-not-resolved", text);
            }
        }
        self.identify_names();
        self.each_publisher(now, Publisher::locate);
        self.connect_amis(now);
        self.awaits_names = self.awaits_names.filter(|_| self.directory.awaits_any());
        self.settle(now);
    }

    /// Whoever is nobody may be known by a name whose first answer has not come: until then he is not challenged.
    fn await_names(&mut self, now: Now) {
        let until = now.at + limits::NAMES_AWAITED;
        self.awaits_names = self.directory.awaits_any().then_some(until);
    }

    /// Takes back the devices that were said under entity ids that their servers have left for others. Mailboxes stay, as those of whoever is lost.
    fn take_back_left(&mut self, now: Now) {
        let (left, next) = self.speakers.take_left(now.at);
        for Due {
            eid,
            successor,
            peer,
        } in left
        {
            // One that sends no `refresh` was known by its first state.
            if let Some(peer) = peer.filter(|peer| self.peers.has(*peer))
                && self.peers.get(peer).entity_id == Some(eid)
            {
                self.learn_own(now, peer, successor);
            }
            let mut names = self.table.names_under(eid);
            names.retain(|(kind, _)| *kind == Kind::Device);
            let text = format!(
                "{} devices under {eid} are taken back: its server speaks under another entity id now",
                names.len()
            );
            self.outbox.notice(Level::Info, "entity-id-left", text);
            for (kind, name) in names {
                if let Some(change) = self.table.delete(kind, &name, eid, now.wall) {
                    self.fan_out(now, change);
                }
            }
        }
        if let Some(next) = next {
            self.timers.set(Timer::EntityIdsLeft, next);
        }
    }

    /// Wants the names of `identify` sections answered, and believes what is known of them.
    fn identify_names(&mut self) {
        let names: Vec<String> = self.identifier.host_names().map(str::to_owned).collect();
        for name in names {
            self.directory
                .want(&mut self.outbox, Query::Addresses(name.clone()));
            if let Known::Yes(addresses) = self.directory.addresses(&name) {
                self.identifier.set_addresses(&name, addresses);
            }
        }
    }

    /// The time that `poll_timeout` gave has come.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop(now.at) {
            match timer {
                Timer::Lane { publisher, lane } => {
                    self.with_publisher(now, PublisherId(publisher), |publisher, ctx| {
                        publisher.handle_lane_timer(ctx, lane);
                    });
                }
                Timer::Publisher(publisher) => {
                    self.with_publisher(now, PublisherId(publisher), Publisher::handle_timer);
                }
                Timer::Publication(id) => self.expire_publication(now, PublicationId(id)),
                Timer::Transactions => {
                    if self.transactions.expire() {
                        let next = now.at + limits::TRANSACTION_LIFETIME;
                        self.timers.set(Timer::Transactions, next);
                    }
                }
                Timer::Strangers => {
                    if let Some(next) = self.strangers.prune(now.at) {
                        self.timers.set(Timer::Strangers, next);
                    }
                }
                Timer::LateAnswers => self.send_late_answers(now),
                Timer::Missed(peer) => self.ask_for_missed(now, PeerId(peer)),
                Timer::Peer(peer) => self.review_peer(now, PeerId(peer)),
                Timer::Knock(peer) => self.knocked_last(now, PeerId(peer)),
                Timer::Sweep(peer) => self.go_on_sweeping(now, PeerId(peer)),
                Timer::Beat => self.beat(now),
                Timer::Hubs | Timer::Losses => {
                    self.look_at_all(now);
                    self.wait_for_hubs();
                }
                Timer::Retelling => self.go_on_retelling(now),
                Timer::Renewals => self.take_back_expired(now),
                Timer::Tombstones => self.sweep(now),
                Timer::EntityIdsLeft => self.take_back_left(now),
                Timer::Names => {
                    self.directory
                        .ask_again(now.at, &mut self.outbox, &mut self.timers);
                }
                Timer::Probe(publisher) => {
                    self.with_publisher(now, PublisherId(publisher), Publisher::handle_probe_timer);
                }
                Timer::Flow(flow) => self.care_for_flow(now, FlowId(flow)),
                Timer::Ami(section) => self.handle_ami_timer(now, section),
                Timer::Cluster => self.tick_cluster(now),
                Timer::Column => self.pump_column(now),
                Timer::Shadows => self.say_overdue(now),
                Timer::Unspoken => self.look_at_unspoken(now),
                Timer::Shutdown => self.life = Life::Over,
            }
        }
        self.settle(now);
    }

    /// The node is to end: what waits is still said to peers that take it, publications are removed. Drain until `is_drained`.
    pub fn shutdown(&mut self, now: Now) {
        if self.is_ending() {
            return;
        }
        self.life = Life::Stopping;
        self.timers
            .set(Timer::Shutdown, now.at + limits::SHUTDOWN_GRACE);
        self.each_publisher(now, Publisher::stop);
        self.stop_amis(now);
        self.settle(now);
    }

    /// Whether a node that is to end has nothing more to wait for.
    pub fn is_drained(&self) -> bool {
        match self.life {
            Life::Made | Life::Over => true,
            Life::Running => false,
            Life::Stopping => self.publishers.iter().all(Publisher::is_drained),
        }
    }

    fn is_ending(&self) -> bool {
        matches!(self.life, Life::Stopping | Life::Over)
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.outbox.poll_transmit()
    }

    /// The datagram that is to leave after `index` others, for those who send many at once; [`Self::transmitted`] says that it has.
    pub fn transmit_at(&self, index: usize) -> Option<Transmit<'_>> {
        self.outbox.transmit_at(index)
    }

    /// The first `count` datagrams have left, or are given up.
    pub fn transmitted(&mut self, count: usize) {
        self.outbox.transmitted(count);
    }

    /// The next question to the DNS; answered by `handle_answer`.
    pub fn poll_query(&mut self) -> Option<Query> {
        self.outbox.poll_query()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.outbox.poll_event()
    }

    /// When `handle_timeout` is to be called; it may find nothing due.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Whether events of devices, mailboxes, peers and publications are made. Notices always are.
    pub fn watch(&mut self, yes: bool) {
        self.watched = yes;
    }

    /// A change that is real goes to whoever is to hear of it.
    fn fan_out(&mut self, now: Now, change: Change) {
        let heir = match change.kind {
            Kind::Mailbox => self.table.inherit(change.name),
            Kind::Device => None,
        };
        self.filters.remember(&mut self.table.names, change.name);
        self.remember_change(now, &change);
        self.tell_watchers(change);
        self.spread(now, change);
        if let Some(heir) = heir {
            // Nobody has said anything of it: watchers were told by the change itself what is shown now.
            self.spread(now, heir);
        }
    }

    /// A value goes to all other nodes, as what is new or once more.
    fn spread(&mut self, now: Now, change: Change) {
        let entry = Entry {
            rev: change.rev,
            cell: change.cell,
            value: self.table.told(self.table.cell(change.cell)),
        };
        for index in 0..self.publishers.len() {
            let Some(lane) = self.publishers[index].lane_for(&self.table, &self.filters, &entry)
            else {
                continue;
            };
            let (publishers, mut ctx) = self.lend(now);
            publishers[index].note(&mut ctx, lane, change.rev);
        }
        self.tell_sinks(now, change);
        self.tell_cluster(now, change.rev);
        if self.table.dead() > 0 {
            self.timers
                .set(Timer::Tombstones, now.at + limits::TOMBSTONE_SWEEP);
        }
    }

    fn tell_watchers(&mut self, change: Change) {
        if !self.watched {
            return;
        }
        let eid = self.table.eid(self.table.cell(change.cell).eid);
        let event = match change.kind {
            Kind::Device => Event::Device {
                device: self.device_view(change.name),
                eid,
                previous: change.previous.map(|value| value.state()),
            },
            Kind::Mailbox => {
                let said = self.table.cell(change.cell);
                let shown = self.table.mailbox(change.name);
                Event::Mailbox {
                    shown: shown.map(|cell| self.mailbox_view(cell)),
                    eid,
                    said: self.mailbox_view(said),
                    taken_back: said.dead,
                    previous: change.previous.map(|value| value.counts()),
                }
            }
        };
        self.outbox.event(event);
    }

    /// What every input ends with: connections that were lost by it are told to whoever had something on them, and watchers hear of peers
    /// that have come or gone.
    fn settle(&mut self, now: Now) {
        while let Some((flow, why)) = self.flows.take_lost() {
            self.each_publisher(now, |publisher, ctx| {
                publisher.handle_flow_lost(ctx, flow, &why);
            });
        }
        self.let_retired_go(now);
        self.tell_of_peers(now);
        self.settle_cluster(now);
    }

    /// Tells watchers of peers that have come or gone.
    fn tell_of_peers(&mut self, now: Now) {
        let changed = self.peers.take_changed();
        for id in &changed {
            self.review_peer(now, *id);
        }
        // What the review found to be another is told with the rest.
        let _ = self.peers.take_changed();
        for id in changed {
            if self.watched {
                let behind = self.behind_of_peer(id, limits::BEHIND_IN_EVENT);
                let held = self.held_by(now, id);
                let peer = self.peer_view(now, id, &held, behind);
                self.outbox.event(Event::Peer { peer });
            }
        }
    }

    /// Frees what was deleted once every publisher has told its peer.
    fn sweep(&mut self, now: Now) {
        let head = self.table.head();
        let confirmed = self
            .publishers
            .iter()
            .map(|it| it.confirmed(head))
            .chain(self.kept_until())
            .chain(self.told_cluster(head))
            .min()
            .unwrap_or(head);
        // Another node that does not know yet may tell a server of ours that it is there, and then nobody else could say that it is not.
        let told = match self.shares_servers() {
            true => Rev::default(),
            false => head,
        };
        self.table.free_dead(confirmed, told, now.wall);
        if self.table.dead() > 0 {
            self.timers
                .set(Timer::Tombstones, now.at + limits::TOMBSTONE_SWEEP);
        }
    }

    fn expire_publication(&mut self, now: Now, id: PublicationId) {
        match self.compositor.expire(now.at, id) {
            Expiry::At(at) => self.timers.set(Timer::Publication(id.0), at),
            Expiry::Gone => {}
            Expiry::Ended(publication) => {
                self.kept.publications.insert(id.0);
                self.senders.forget(id);
                let rule = &self.config.asterisk_publications[publication.rule].name;
                if let Some(peer) = self.peers.of_asterisk_publication(rule) {
                    self.peers.note_change(peer);
                    self.publication_ended(now, peer);
                }
                self.counters.publications_expired += 1;
                let text = format!(
                    "endpoint {}: its publication to {} ran out; last heard from {}",
                    self.config.endpoints[publication.endpoint].name,
                    self.config.inbound_publications[publication.resource].name,
                    publication.remote
                );
                self.outbox.notice(Level::Warn, "publication-expired", text);
                self.tell_of_publication(now, id, &publication, Some("expired"));
            }
        }
    }

    /// An answer has come in.
    fn handle_response(&mut self, now: Now, response: &Message<'_>, status: u16, reason: &str) {
        let branch = response
            .via()
            .ok()
            .and_then(|via| Branch::parse(via.branch?));
        let known = branch.is_some_and(|branch| {
            let id = PublisherId(branch.publisher);
            self.with_publisher(now, id, |publisher, ctx| {
                publisher.handle_response(ctx, branch.lane, branch.random, response, status, reason)
            })
            .unwrap_or(false)
        });
        if known {
            self.counters.responses_received += 1;
        } else {
            self.counters.stray_responses += 1;
        }
    }

    /// Whether an address is one of a configured peer's: an identify section's, or the target of a publish.
    fn is_of_a_peer(&self, address: IpAddr) -> bool {
        is_named(&self.config, address)
            || self.directory.has_address(address)
            || self.next_hops.contains(&address)
    }

    fn each_publisher<T>(
        &mut self,
        now: Now,
        mut step: impl FnMut(&mut Publisher, &mut Context<'_>) -> T,
    ) {
        let (publishers, mut ctx) = self.lend(now);
        for publisher in publishers {
            step(publisher, &mut ctx);
        }
    }

    fn with_publisher<T>(
        &mut self,
        now: Now,
        id: PublisherId,
        step: impl FnOnce(&mut Publisher, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let index = (*self.publisher_at.get(usize::from(id.0))?)?;
        let (publishers, mut ctx) = self.lend(now);
        let publisher = publishers.get_mut(usize::from(index))?;
        Some(step(publisher, &mut ctx))
    }

    /// The publishers, and the parts of the node that they work with.
    fn lend(&mut self, now: Now) -> (&mut Vec<Publisher>, Context<'_>) {
        let keeps = self.kept_until().is_some();
        let ctx = Context {
            now,
            config: &self.config,
            entity_id: self.entity_id,
            table: &self.table,
            leases: &self.leases,
            filters: &self.filters,
            rewrites: &self.rewrites,
            outbox: &mut self.outbox,
            timers: &mut self.timers,
            random: &mut self.random,
            peers: &mut self.peers,
            flows: &mut self.flows,
            directory: &mut self.directory,
            bound: &self.bound,
            keeps,
        };
        (&mut self.publishers, ctx)
    }
}

/// What each asterisk-publication of a configuration takes.
fn taken(config: &Config, filters: &mut Filters) -> Vec<(Option<FilterId>, Option<FilterId>)> {
    let mut intern = |filter: &Option<Filter>| filter.as_ref().map(|filter| filters.intern(filter));
    let publications = config.asterisk_publications.iter();
    publications
        .map(|it| {
            (
                intern(&it.device_state_filter),
                intern(&it.mailbox_state_filter),
            )
        })
        .collect()
}

/// The addresses that a configuration's publishes name as their next hop.
fn next_hops(config: &Config) -> BTreeSet<IpAddr> {
    let hops = config.outbound_publishes.iter().map(next_hop_uri);
    hops.filter_map(|uri| match NextHop::of(uri)?.host {
        HopHost::Address(address) => Some(address),
        HopHost::Name(_) => None,
    })
    .collect()
}

/// Whether an identify section names an address by its number.
fn is_named(config: &Config, address: IpAddr) -> bool {
    let mut rules = config.identifies.iter().flat_map(|it| &it.matches);
    rules.any(|rule| match rule {
        Match::Network { network, negated } => !negated && network.contains(address),
        // Its addresses stand among the resolved ones.
        Match::Host { .. } => false,
    })
}

/// What a lost node's devices are told to be in; `None`: what they last were.
fn retract_as(config: &Config) -> Option<lampwire_sip::DeviceState> {
    match config.lampwire.retract_as {
        RetractAs::State(state) => Some(state),
        RetractAs::Keep => None,
    }
}
