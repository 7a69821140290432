//! The node: it owns everything, and everything that happens to it is one call.
//!
//! Each `handle_*`, `set_*` and `unset_*` is one mutation; afterwards the driver drains `poll_transmit`, `poll_query` and `poll_event`
//! and asks `poll_timeout` when to come again.

mod inbound;
mod own;
mod query;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use lampwire_conf::{Config, Identifier, Match};
use lampwire_sip::{EntityId, Message};

use crate::auth::server::Authenticator;
use crate::compositor::{Compositor, Expiry, PublicationId};
use crate::counters::Counters;
use crate::filters::{FilterId, Filters};
use crate::io::{Answer, Event, Level, Outbox, Query, Records, Transmit, TransportId};
use crate::limits;
use crate::peer::Peers;
use crate::publisher::request::{Branch, TargetHost};
use crate::publisher::{Context, Publisher, PublisherId, Target};
use crate::random::Random;
use crate::table::{Change, Entry, Kind, Table};
use crate::time::{Now, Time};
use crate::timers::{Timer, Timers};
use crate::transaction::server::ServerTransactions;

pub use self::own::{SetError, SetOutcome, UnknownPublisher};

/// What a node is made from.
#[derive(Clone)]
pub struct Setup {
    /// A configuration without errors.
    pub config: Arc<Config>,
    /// The node's own entity id.
    pub entity_id: EntityId,
    /// All randomness of the node. A secret: tags and nonces are sealed with what follows from it.
    pub seed: [u8; 32],
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
    publishers: Vec<Publisher>,
    compositor: Compositor,
    transactions: ServerTransactions,
    authenticator: Authenticator,
    identifier: Identifier,
    /// Addresses behind the host names of `identify` sections and of `server_uri`s, as they were last resolved.
    addresses: BTreeMap<String, Vec<IpAddr>>,
    /// Endpoints (by index) and the entity id under which they may not speak, as it was reported.
    reported: BTreeSet<(usize, EntityId)>,
    timers: Timers,
    outbox: Outbox,
    random: Random,
    bound: BTreeMap<TransportId, SocketAddr>,
    counters: Counters,
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
        } = setup;
        let mut secrets = Random::new(&seed, "secrets");
        let mut random = Random::new(&seed, "random");
        let mut pair = || (secrets.next_u64(), secrets.next_u64());
        let (names_key, transactions_key) = (pair(), pair());
        let mut tag_key = [0; 16];
        secrets.fill(&mut tag_key);
        let mut nonce_key = [0; 32];
        secrets.fill(&mut nonce_key);
        let mut filters = Filters::default();
        let taken = config
            .asterisk_publications
            .iter()
            .map(|publication| {
                let mut intern = |filter: &Option<lampwire_conf::Filter>| {
                    filter.as_ref().map(|filter| filters.intern(filter))
                };
                (
                    intern(&publication.device_state_filter),
                    intern(&publication.mailbox_state_filter),
                )
            })
            .collect();
        let peers = Peers::of(&config);
        let publishers = (0..config.outbound_publishes.len())
            .filter_map(|index| u16::try_from(index).ok())
            .map(|index| {
                let id = PublisherId(index);
                Publisher::new(now, &config, id, &peers, &mut filters, &mut random)
            })
            .collect();
        Self {
            compositor: Compositor::new(&config, tag_key),
            transactions: ServerTransactions::new(transactions_key),
            authenticator: Authenticator::new(nonce_key),
            identifier: Identifier::new(&config),
            table: Table::new(names_key),
            filters,
            taken,
            peers,
            publishers,
            config,
            entity_id,
            addresses: BTreeMap::new(),
            reported: BTreeSet::new(),
            timers: Timers::default(),
            outbox: Outbox::default(),
            random,
            bound: BTreeMap::new(),
            counters: Counters::default(),
            watched: false,
            life: Life::Made,
        }
    }

    /// The sockets are bound: publishers begin, and peers are asked for their states. With each transport comes the address that its
    /// requests name as their sender: the one it is bound to, or where that is none in particular, one of the machine's.
    pub fn start(&mut self, now: Now, bound: &[(TransportId, SocketAddr)]) {
        self.bound = bound.iter().copied().collect();
        self.life = Life::Running;
        let mut names: Vec<String> = self.identifier.host_names().map(str::to_owned).collect();
        names.sort_unstable();
        names.dedup();
        for (index, name) in (0u16..).zip(names) {
            self.addresses.insert(name.clone(), Vec::new());
            self.outbox.query(Query::Addresses(name));
            self.timers
                .set(Timer::IdentifyName(index), now.at + limits::RESOLVED_FOR);
        }
        self.each_publisher(now, Publisher::start);
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
        self.receive(now, transport, remote, bytes);
        self.tell_of_peers(now);
    }

    /// The network said that nothing listens at `remote` (ICMP port or host unreachable).
    pub fn handle_unreachable(&mut self, now: Now, transport: TransportId, remote: SocketAddr) {
        let target = Target { transport, remote };
        self.each_publisher(now, |publisher, ctx| {
            publisher.handle_unreachable(ctx, target);
        });
        self.tell_of_peers(now);
    }

    /// The answer to a question that `poll_query` gave. An error (nobody answered, or not in time) leaves what was known.
    pub fn handle_answer(&mut self, now: Now, query: &Query, answer: Result<Answer, String>) {
        let host = query.name();
        let addresses = match answer.map(|answer| match answer.records {
            Records::Addresses(addresses) => addresses,
            _ => Vec::new(),
        }) {
            Ok(addresses) if !addresses.is_empty() => addresses,
            Ok(_) => return self.not_resolved(now, host, "it has no address"),
            Err(error) => return self.not_resolved(now, host, &error),
        };
        self.identifier.set_addresses(host, &addresses);
        self.addresses.insert(host.to_owned(), addresses.clone());
        self.each_publisher(now, |publisher, ctx| {
            if publisher.host_name(ctx.config).as_deref() == Some(host) {
                publisher.resolved(ctx, &addresses);
            }
        });
    }

    fn not_resolved(&mut self, now: Now, host: &str, why: &str) {
        let kept = self
            .addresses
            .get(host)
            .is_some_and(|known| !known.is_empty());
        let consequence = if kept {
            "its last addresses are kept"
        } else {
            "it is asked again"
        };
        let text = format!("host name {host:?} did not resolve: {why}; {consequence}");
        self.outbox.notice(Level::Warn, "name-not-resolved", text);
        self.each_publisher(now, |publisher, ctx| {
            if publisher.host_name(ctx.config).as_deref() == Some(host) {
                publisher.resolved(ctx, &[]);
            }
        });
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
                    if let Some(next) = self.transactions.expire(now.at) {
                        self.timers.set(Timer::Transactions, next);
                    }
                }
                Timer::Tombstones => self.sweep(now),
                Timer::IdentifyName(index) => {
                    if let Some(name) = self.addresses.keys().nth(usize::from(index)) {
                        self.outbox.query(Query::Addresses(name.clone()));
                    }
                    self.timers.set(timer, now.at + limits::RESOLVED_FOR);
                }
                Timer::Shutdown => self.life = Life::Over,
            }
        }
        self.tell_of_peers(now);
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
        self.filters.remember(&mut self.table.names, change.name);
        self.tell_watchers(change);
        let value = self.table.cell(change.cell).value;
        let entry = Entry {
            rev: change.rev,
            cell: change.cell,
            value,
        };
        for index in 0..self.publishers.len() {
            let Some(lane) = self.publishers[index].lane_for(&self.table, &self.filters, &entry)
            else {
                continue;
            };
            let (publishers, mut ctx) = self.lend(now);
            publishers[index].note(&mut ctx, lane, change.rev);
        }
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
            Kind::Mailbox => Event::Mailbox {
                mailbox: self.mailbox_view(self.table.cell(change.cell)),
                eid,
                previous: change.previous.map(|value| value.counts()),
            },
        };
        self.outbox.event(event);
    }

    /// Tells watchers of peers that have come or gone.
    fn tell_of_peers(&mut self, now: Now) {
        for id in self.peers.take_changed() {
            if self.watched {
                let peer = self.peer_view(now, id, self.peers.get(id));
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
            .min()
            .unwrap_or(head);
        self.table.free_dead(confirmed);
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
                let rule = &self.config.asterisk_publications[publication.rule].name;
                if let Some(peer) = self.peers.of_asterisk_publication(rule) {
                    self.peers.note_change(peer);
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
        let identified = self
            .config
            .identifies
            .iter()
            .flat_map(|identify| &identify.matches);
        identified.into_iter().any(|rule| match rule {
            Match::Network { network, negated } => !negated && network.contains(address),
            // Its addresses stand among the resolved ones.
            Match::Host { .. } => false,
        }) || self
            .addresses
            .values()
            .flatten()
            .any(|known| *known == address)
            || self.config.outbound_publishes.iter().any(|publish| {
                crate::publisher::request::target_host(publish) == TargetHost::Address(address)
            })
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
        let (publishers, mut ctx) = self.lend(now);
        let publisher = publishers.get_mut(usize::from(id.0))?;
        Some(step(publisher, &mut ctx))
    }

    /// The publishers, and the parts of the node that they work with.
    fn lend(&mut self, now: Now) -> (&mut Vec<Publisher>, Context<'_>) {
        let ctx = Context {
            now,
            config: &self.config,
            entity_id: self.entity_id,
            table: &self.table,
            filters: &self.filters,
            outbox: &mut self.outbox,
            timers: &mut self.timers,
            random: &mut self.random,
            peers: &mut self.peers,
            bound: &self.bound,
        };
        (&mut self.publishers, ctx)
    }
}
