//! Another configuration for a running node, all of it or nothing.
//!
//! What goes on under it keeps its number (peers, publishers) or is given its new place (endpoints, resources), so a relation that is as it was is
//! not touched: no request, no new tag, no cursor moved. A publisher is known again by where it leads and as whom, not by its section's name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use lampwire_conf::{Config, Difference, NeedsRestart, OutboundPublish};

use super::silenced::identifier;
use super::{Life, Node, next_hops, taken};
use crate::ami::Link;
use crate::compositor::Publication;
use crate::filters::{FilterId, Filters};
use crate::io::{Level, TransportId};
use crate::peer::{PeerId, Peers};
use crate::publisher::{Publisher, PublisherId, Terms, is_same_relation, leads_to};
use crate::rewrite::Rewrites;
use crate::table::Kind;
use crate::time::Now;
use crate::timers::Timer;

/// What a reload has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadReport {
    /// The sections that are not as they were.
    pub difference: Difference,
    /// The publishes by which peers are told something else than before, or that are new, or are no more.
    pub relations: Vec<RelationChange>,
    /// What an operator should know of.
    pub warnings: Vec<ReloadWarning>,
    /// Connections to manager interfaces that are new, by the names of their sections: the driver needs a way to make each.
    pub links: Vec<(String, TransportId)>,
}

/// What became of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationChange {
    /// Its section's name; the former one where it is no more.
    pub publish: String,
    /// What became of it.
    pub turn: RelationTurn,
    /// Devices that its peer is told to forget.
    pub retracted: usize,
    /// States that its peer is told beside those that it has; all of them, where it is new, are not counted.
    pub added: usize,
}

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationTurn {
    /// It is new: its peer is told everything.
    Begun,
    /// It goes on, and tells something else than before.
    GoesOn,
    /// It takes back what it told, and ends its publications.
    Ends,
}

impl RelationTurn {
    /// The word for it: `begun`, `goes-on`, `ends`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::GoesOn => "goes-on",
            Self::Ends => "ends",
        }
    }
}

/// Something that an operator should know of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadWarning {
    /// A stable word for programs: `peer-silenced`, `publication-ended`, `not-retracted`, `client-gone`.
    pub code: &'static str,
    /// The peer that it is about.
    pub peer: Option<String>,
    /// What it is, for people.
    pub text: String,
}

impl ReloadReport {
    fn spared(&mut self, publish: &OutboundPublish, count: usize) {
        if count > 0 {
            self.warnings.push(ReloadWarning {
                code: "not-retracted",
                peer: None,
                text: format!(
                    "publish {}: {} is a hub, so the {count} devices that it is not told any more are not taken back there: it and its neighbours may know of them by other ways",
                    publish.name, publish.server_uri
                ),
            });
        }
    }
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReloaded {
    /// The node has not started, or is ending.
    NotRunning,
    /// A running node cannot follow these changes.
    NeedsRestart(Vec<NeedsRestart>),
}

impl fmt::Display for NotReloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning => f.write_str("the node is not running"),
            Self::NeedsRestart(needs) => {
                for (index, need) in needs.iter().enumerate() {
                    let line_end = if index == 0 { "" } else { "\n" };
                    write!(f, "{line_end}{need}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for NotReloaded {}

/// What was in force before.
struct Before {
    config: Arc<Config>,
    filters: Filters,
    taken: Vec<(Option<FilterId>, Option<FilterId>)>,
    rewrites: Rewrites,
    /// The asterisk-publication of each peer, by its place.
    rules: BTreeMap<PeerId, usize>,
}

impl Before {
    /// By what a publisher told its peer.
    fn terms<'a>(&'a self, publisher: &'a Publisher) -> Terms<'a> {
        Terms {
            settings: publisher.settings(),
            filters: &self.filters,
            rewrites: &self.rewrites,
            config: &self.config,
        }
    }
}

impl Node {
    /// Goes on by another configuration, which is one without errors.
    ///
    /// What peers are told changes at once: what they are not to hear of any more is told to be INVALID (devices; mailboxes are left as they are,
    /// since an empty one makes telephones notify), what they are to hear of in addition is told. A publish that leads to the same resource, by the
    /// same transport, from the same sender and with the same credentials goes on whatever its section is called. One that is no more takes back
    /// its devices, then ends its publications. What a peer told that is no more is taken back from the others; publications whose endpoint
    /// or resource is no more end, and a peer that has none left goes the way of a lost one.
    ///
    /// # Errors
    /// The node is not running, or the change needs a restart. Nothing has changed then.
    pub fn reload(&mut self, now: Now, config: Arc<Config>) -> Result<ReloadReport, NotReloaded> {
        if self.life != Life::Running {
            return Err(NotReloaded::NotRunning);
        }
        let needs = self.config.needs_restart_for(&config);
        if !needs.is_empty() {
            return Err(NotReloaded::NeedsRestart(needs));
        }
        let mut report = ReloadReport {
            difference: Difference::of(&self.config, &config),
            warnings: self.silenced_by(&config),
            ..ReloadReport::default()
        };
        let old = Arc::clone(&self.config);
        let left = self.end_publications(now, &config, &mut report);
        let (matched, ids) = self.match_publishers(&config);
        let own: BTreeMap<PeerId, _> = self
            .peers
            .iter()
            .map(|(id, peer)| (id, peer.entity_id))
            .collect();
        let rules = rules(&self.peers, &old);
        for id in std::mem::take(&mut self.departed) {
            self.table.forget_owner(id);
        }
        let gone = self.peers.renew(&config, &ids, |before, after| {
            publish_to_the_same((&old, before), (&config, after))
        });
        let mut filters = Filters::default();
        let now_taken = taken(&config, &mut filters);
        let rewrites = Rewrites::new(&config, &self.peers);
        let before = Before {
            filters: std::mem::replace(&mut self.filters, filters),
            taken: std::mem::replace(&mut self.taken, now_taken),
            rewrites: std::mem::replace(&mut self.rewrites, rewrites),
            config: old,
            rules,
        };
        self.config = config;
        self.table.names.forget_verdicts();
        self.renew_places(&before, &gone);
        self.identify_names();
        self.renew_publishers(now, &before, &matched, &ids, &mut report);
        let at_peers = report.relations.iter().map(|it| it.retracted);
        self.counters.retracted_by_reload +=
            u64::try_from(at_peers.sum::<usize>()).unwrap_or(u64::MAX);
        self.renew_links(now, &before, &mut report);
        for id in gone {
            self.forget_peer(now, id);
        }
        self.renew_what_is_taken(now, &before);
        self.rules_changed();
        for id in left {
            if self.peers.has(id) {
                self.publication_ended(now, id);
            }
        }
        let learned: Vec<_> = self
            .peers
            .iter()
            .filter(|(id, peer)| own.get(id).is_none_or(|before| *before != peer.entity_id))
            .filter_map(|(id, peer)| Some((id, peer.entity_id?)))
            .collect();
        for (id, eid) in learned {
            self.peers.get_mut(id).entity_id = own.get(&id).copied().flatten();
            self.learn_own(now, id, eid);
        }
        let of_clients = self.take_back_of_clients(now);
        report
            .warnings
            .extend(of_clients.into_iter().map(|text| ReloadWarning {
                code: "client-gone",
                peer: None,
                text,
            }));
        self.start_waiting(now);
        if !report.difference.changes.is_empty() {
            self.ask_after_reload(now);
        }
        self.connect_amis(now);
        self.await_names(now);
        self.settle(now);
        Ok(report)
    }

    /// Gives each publisher its place.
    pub(super) fn place_publishers(&mut self) {
        self.publisher_at.clear();
        for (place, publisher) in self.publishers.iter().enumerate() {
            let number = usize::from(publisher.id.0);
            if self.publisher_at.len() <= number {
                self.publisher_at.resize(number + 1, None);
            }
            self.publisher_at[number] = u16::try_from(place).ok();
        }
    }

    /// Publishers that have ended are gone, and those begin that waited for that.
    pub(super) fn let_retired_go(&mut self, now: Now) {
        if self.publishers.len() == self.config.outbound_publishes.len() {
            return;
        }
        let (retired, rest): (Vec<Publisher>, Vec<Publisher>) =
            std::mem::take(&mut self.publishers)
                .into_iter()
                .partition(Publisher::is_retired);
        self.publishers = rest;
        if retired.is_empty() {
            return;
        }
        self.place_publishers();
        for publisher in retired {
            let (_, mut ctx) = self.lend(now);
            publisher.clear_timers(&mut ctx);
            let text = format!("publish {}: its publications are ended", publisher.name());
            self.outbox.notice(Level::Info, "relation-ended", text);
        }
        self.start_waiting(now);
    }

    /// Publishers begin that tell a peer which no other tells any more: two of them at once could overtake each other.
    fn start_waiting(&mut self, now: Now) {
        if self.life != Life::Running {
            return;
        }
        for index in 0..self.publishers.len() {
            let publisher = &self.publishers[index];
            let waits = self
                .publishers
                .iter()
                .any(|other| other.is_retiring() && leads_to(&other.publish, &publisher.publish));
            if publisher.is_started() || waits {
                continue;
            }
            let peer = publisher.peer;
            let (publishers, mut ctx) = self.lend(now);
            publishers[index].start(&mut ctx, true);
            if publishers[index].is_asking()
                && let Some(peer) = peer
            {
                self.note_asked(now, peer);
            }
        }
    }

    /// Ends publications whose endpoint, resource or peer is no more, or which are not for that endpoint any more. Gives the peers that held them.
    fn end_publications(
        &mut self,
        now: Now,
        config: &Config,
        report: &mut ReloadReport,
    ) -> Vec<PeerId> {
        let old = Arc::clone(&self.config);
        let mut left = Vec::new();
        for (id, publication) in self.compositor.renew(&old, config) {
            self.timers.clear(Timer::Publication(id.0));
            self.senders.forget(id);
            self.kept.publications.insert(id.0);
            self.tell_of_publication(now, id, &publication, Some("reload"));
            let rule = &old.asterisk_publications[publication.rule].name;
            if let Some(peer) = self.peers.of_asterisk_publication(rule)
                && !left.contains(&peer)
            {
                left.push(peer);
            }
            let warning = ended(&old, &publication);
            if !report.warnings.contains(&warning) {
                report.warnings.push(warning);
            }
        }
        left
    }

    /// For each publish of a configuration the place of the publisher that goes on by it, if one does, and the number that it has or is given.
    fn match_publishers(&self, config: &Config) -> (Vec<Option<usize>>, Vec<PublisherId>) {
        let publishes = &config.outbound_publishes;
        let mut free: Vec<usize> = (0..self.config.outbound_publishes.len()).collect();
        let mut matched = vec![None; publishes.len()];
        for by_name in [true, false] {
            for (matched, publish) in matched.iter_mut().zip(publishes) {
                let is_it = |index: &usize| {
                    let before: &OutboundPublish = &self.publishers[*index].publish;
                    (!by_name || before.name == publish.name)
                        && is_same_relation((before, &self.config), (publish, config))
                };
                if matched.is_none()
                    && let Some(found) = free.iter().position(is_it)
                {
                    *matched = Some(free.remove(found));
                }
            }
        }
        let taken: Vec<PublisherId> = self.publishers.iter().map(|it| it.id).collect();
        let mut numbers = (0..=u16::MAX).map(PublisherId);
        let mut given = Vec::with_capacity(publishes.len());
        for matched in &matched {
            let number = match matched {
                Some(index) => Some(taken[*index]),
                None => numbers.find(|id| !taken.contains(id)),
            };
            given.push(number.expect("sections are bounded far below 65,536"));
        }
        (matched, given)
    }

    /// What knows sections by their places.
    fn renew_places(&mut self, before: &Before, gone: &[PeerId]) {
        let (old, new) = (&before.config, &self.config);
        let places = |old: Vec<&String>, new: Vec<&String>| -> Vec<Option<usize>> {
            let new: BTreeMap<&String, usize> = new
                .into_iter()
                .enumerate()
                .map(|(at, it)| (it, at))
                .collect();
            old.into_iter().map(|name| new.get(name).copied()).collect()
        };
        let endpoints = places(
            old.endpoints.iter().map(|it| &it.name).collect(),
            new.endpoints.iter().map(|it| &it.name).collect(),
        );
        let rules = places(
            old.asterisk_publications
                .iter()
                .map(|it| &it.name)
                .collect(),
            new.asterisk_publications
                .iter()
                .map(|it| &it.name)
                .collect(),
        );
        let links = places(
            old.amis.iter().map(|it| &it.name).collect(),
            new.amis.iter().map(|it| &it.name).collect(),
        );
        let endpoint = |index: usize| endpoints.get(index).copied().flatten();
        self.authenticator.renew(new);
        self.identifier = identifier(new, &self.directory);
        self.speakers.renew(new, endpoint);
        self.late.renew(new, endpoint);
        self.strangers.renew(new, endpoint);
        self.flows.set_keep_alive(new.global.keep_alive_interval);
        self.next_hops = next_hops(new);
        let reported = std::mem::take(&mut self.reported).into_iter();
        self.reported = reported
            .filter_map(|(index, eid)| Some((endpoint(index)?, eid)))
            .collect();
        self.counters.renew(endpoint);
        let rule = |index: usize| rules.get(index).copied().flatten();
        self.lately.renew(rule, gone);
        // States that are read over a manager interface are counted behind those of all endpoints.
        self.table
            .rehold(|holder| match holder.checked_sub(old.endpoints.len()) {
                None => endpoint(holder),
                Some(link) => Some(new.endpoints.len() + links.get(link).copied().flatten()?),
            });
    }

    /// Publishers go on, begin, or end, each by what its peer is to hear of now.
    fn renew_publishers(
        &mut self,
        now: Now,
        before: &Before,
        matched: &[Option<usize>],
        ids: &[PublisherId],
        report: &mut ReloadReport,
    ) {
        let config = Arc::clone(&self.config);
        let count = before.config.outbound_publishes.len();
        let mut current: Vec<Option<Publisher>> = std::mem::take(&mut self.publishers)
            .into_iter()
            .map(Some)
            .collect();
        let mut publishers = Vec::with_capacity(config.outbound_publishes.len());
        let mut settings = Vec::with_capacity(config.outbound_publishes.len());
        for ((publish, id), matched) in config.outbound_publishes.iter().zip(ids).zip(matched) {
            let publisher = match matched.and_then(|index| current[index].take()) {
                Some(publisher) => publisher,
                None => Publisher::new(
                    now,
                    &config,
                    publish,
                    *id,
                    &self.peers,
                    &mut self.filters,
                    &mut self.random,
                ),
            };
            settings.push(publisher.settings_by(&config, publish, &self.peers, &mut self.filters));
            publishers.push(publisher);
        }
        let ending: Vec<Publisher> = current.drain(..count).flatten().collect();
        let stamped = (self.entity_id, self.table.skip());
        let terms: Vec<Terms<'_>> = settings
            .iter()
            .map(|settings| Terms {
                settings,
                filters: &self.filters,
                rewrites: &self.rewrites,
                config: &config,
            })
            .collect();
        let table = &self.table;
        // Those of the others that lead to where a publish leads; its own are no others'.
        let others = |publish: &OutboundPublish, own: Option<usize>| -> Vec<Terms<'_>> {
            let all = config.outbound_publishes.iter().zip(&terms).enumerate();
            all.filter(|(index, (other, _))| Some(*index) != own && leads_to(other, publish))
                .map(|(_, (_, terms))| *terms)
                .collect()
        };
        let (relay, leases) = (config.lampwire.relay, &self.leases);
        let spares = |publisher: &Publisher| {
            let peer = publisher.settings().peer_eid;
            relay && peer.is_some_and(|eid| leases.is_hub(eid))
        };
        let mut changes = Vec::with_capacity(publishers.len());
        for (index, publisher) in publishers.iter().enumerate() {
            let same = matched[index].is_none() || before.terms(publisher).tell_like(&terms[index]);
            changes.push((!same).then(|| {
                let others = others(&config.outbound_publishes[index], Some(index));
                publisher.changes(
                    table,
                    before.terms(publisher),
                    Some(terms[index]),
                    &others,
                    spares(publisher),
                    stamped,
                )
            }));
        }
        let endings: Vec<_> = ending
            .iter()
            .map(|publisher| {
                let others = others(&publisher.publish, None);
                publisher.changes(
                    table,
                    before.terms(publisher),
                    None,
                    &others,
                    spares(publisher),
                    stamped,
                )
            })
            .collect();

        let retiring = current.into_iter().flatten();
        self.publishers = publishers;
        self.publishers.extend(ending);
        self.publishers.extend(retiring);
        self.place_publishers();
        let sections = config.outbound_publishes.iter().zip(settings).zip(changes);
        for (index, ((publish, settings), changes)) in sections.enumerate() {
            if matched[index].is_none() {
                report.relations.push(RelationChange {
                    publish: publish.name.clone(),
                    turn: RelationTurn::Begun,
                    retracted: 0,
                    added: 0,
                });
                continue;
            }
            let former = Arc::clone(&self.publishers[index].publish);
            if former.name != publish.name {
                self.unkeep_lanes(ids[index], &former);
            }
            let tells_otherwise = changes.is_some();
            for cell in changes.iter().flat_map(Publisher::included) {
                self.table.renumber(cell, stamped.1);
            }
            if let Some(changes) = &changes {
                report.spared(publish, changes.spared);
            }
            let (publishers, mut ctx) = self.lend(now);
            let (retracted, added) = publishers[index].renew(&mut ctx, publish, settings, changes);
            if tells_otherwise {
                report.relations.push(RelationChange {
                    publish: publish.name.clone(),
                    turn: RelationTurn::GoesOn,
                    retracted,
                    added,
                });
            }
        }
        for (index, changes) in (config.outbound_publishes.len()..).zip(endings) {
            let (id, former) = {
                let publisher = &self.publishers[index];
                (publisher.id, Arc::clone(&publisher.publish))
            };
            self.unkeep_lanes(id, &former);
            report.spared(&former, changes.spared);
            let (publishers, mut ctx) = self.lend(now);
            let told = publishers[index].has_told();
            let retracted = publishers[index].retire(&mut ctx, changes);
            if retracted.is_none() && told {
                report.warnings.push(ReloadWarning {
                    code: "not-retracted",
                    peer: None,
                    text: format!(
                        "publish {}: {} takes nothing at the moment, so what it was told is not taken back there",
                        former.name, former.server_uri
                    ),
                });
            }
            report.relations.push(RelationChange {
                publish: former.name.clone(),
                turn: RelationTurn::Ends,
                retracted: retracted.unwrap_or(0),
                added: 0,
            });
        }
    }

    /// Connections to manager interfaces: those whose sections are as they were, and whose names, go on.
    fn renew_links(&mut self, now: Now, before: &Before, report: &mut ReloadReport) {
        let config = Arc::clone(&self.config);
        let mut former = std::mem::take(&mut self.amis);
        let numbers: Vec<u16> = former.iter().map(|link| link.index).collect();
        let mut links = Vec::new();
        for (place, ami) in (0..).zip(&config.amis) {
            let peer = self.peers.iter().find(|(_, peer)| peer.ami == Some(place));
            let Some((peer, _)) = peer else { continue };
            let known = former.iter().position(|link| link.name() == ami.name);
            let same_names = || {
                let (old, new) = (&before.rewrites, &self.rewrites);
                old.heard(&before.config, peer) == new.heard(&config, peer)
                    && old.told(&before.config, Some(peer)) == new.told(&config, Some(peer))
            };
            let same = || report.difference.leaves("ami", &ami.name) && same_names();
            match known.filter(|_| same()) {
                Some(index) => links.push(former.remove(index)),
                None => {
                    // Not soon again the number of another: what is left of its connection would be taken for this one's.
                    let most = usize::from(u16::MAX) - config.transports.len();
                    let mut number = self.next_ami;
                    while numbers.contains(&number) || usize::from(number) >= most {
                        number = if usize::from(number) >= most {
                            0
                        } else {
                            number + 1
                        };
                    }
                    self.next_ami = number.wrapping_add(1);
                    let transport = config.transports.len() + usize::from(number);
                    let transport = TransportId(u16::try_from(transport).unwrap_or(u16::MAX));
                    links.push(Link::new(number, peer, ami.clone(), transport));
                    report.links.push((ami.name.clone(), transport));
                }
            }
        }
        self.amis = links;
        for mut link in former {
            if link.is_live() && link.sink.is_some() {
                report.warnings.push(ReloadWarning {
                    code: "not-retracted",
                    peer: Some(link.name().to_owned()),
                    text: format!(
                        "ami {}: what was put into it as {} devices stays there until it is put there anew or taken back by hand",
                        link.name(),
                        link.sink_prefix()
                    ),
                });
            }
            let (_, mut out) = self.lend_flows(now);
            link.stop(&mut out);
            if self.peers.has(link.peer) {
                // It is read again by the new connection.
                let peer = self.peers.get_mut(link.peer);
                let was_there = peer.is_there();
                peer.away = true;
                self.turn_peer(now, link.peer, was_there, false);
            }
        }
    }

    /// A peer is no more: its devices are taken back from the others; mailboxes stay as they are.
    fn forget_peer(&mut self, now: Now, id: PeerId) {
        self.take_back(now, id, "that is configured no more", |_, _| true);
        self.table.forget_peer(id);
        for timer in [
            Timer::Missed(id.0),
            Timer::Peer(id.0),
            Timer::Knock(id.0),
            Timer::Sweep(id.0),
        ] {
            self.timers.clear(timer);
        }
        let former = self.peers.get_mut(id);
        (former.told_of_itself, former.life) = (None, None);
        self.departed.push(id);
        for (eid, others) in self.leases.forget(id) {
            self.look_at(now, eid);
            for other in others {
                // It tells of them too.
                self.ask_peer(now, other);
            }
        }
        self.wait_for_losses();
    }

    /// What is taken of peers: what is not wanted any more is taken back, and for what is wanted now a peer is asked.
    fn renew_what_is_taken(&mut self, now: Now, before: &Before) {
        let config = Arc::clone(&self.config);
        for (index, rule) in config.asterisk_publications.iter().enumerate() {
            let Some(id) = self.peers.of_asterisk_publication(&rule.name) else {
                continue;
            };
            let Some(former) = before.rules.get(&id) else {
                continue;
            };
            let (old, (old_devices, old_mailboxes)) = (
                &before.config.asterisk_publications[*former],
                before.taken[*former],
            );
            let (devices, mailboxes) = self.taken[index];
            let text =
                |filters: &Filters, id: Option<FilterId>| id.map(|id| filters.text(id).to_owned());
            let same_devices = old.device_state == rule.device_state
                && text(&before.filters, old_devices) == text(&self.filters, devices);
            let same_mailboxes = old.mailbox_state == rule.mailbox_state
                && text(&before.filters, old_mailboxes) == text(&self.filters, mailboxes);
            let heard_before = before.rewrites.heard(&before.config, id);
            let same_names = heard_before == self.rewrites.heard(&config, id);
            self.renew_taking(now, index, same_devices, same_mailboxes, same_names);
        }
    }

    /// The asterisk-publication at this place takes its peer's devices or mailboxes by other rules than before, or under other names, where
    /// these are not the same.
    pub(super) fn renew_taking(
        &mut self,
        now: Now,
        index: usize,
        same_devices: bool,
        same_mailboxes: bool,
        same_names: bool,
    ) {
        let rule = &self.config.asterisk_publications[index];
        let Some(id) = self.peers.of_asterisk_publication(&rule.name) else {
            return;
        };
        let (takes, (devices, _)) = (rule.device_state, self.taken[index]);
        if !same_devices {
            self.take_back(now, id, "that are not wanted any more", |filters, name| {
                !(takes && filters.matches(devices, name))
            });
        }
        if !(same_devices && same_mailboxes) {
            self.leases.forget_complete();
            // What is told in answer to an earlier question was chosen by the old filter.
            let since = self.table.begin_round();
            let peer = self.peers.get_mut(id);
            (peer.told_of_itself, peer.known_since) = (None, since);
        }
        if !same_names {
            self.begin_sweep(now, id);
        } else if !(same_devices && same_mailboxes) {
            self.ask_peer(now, id);
        }
    }

    /// Takes back devices that a peer told.
    fn take_back(
        &mut self,
        now: Now,
        id: PeerId,
        why: &str,
        which: impl Fn(&Filters, &str) -> bool,
    ) {
        let (names, filters) = (&self.table.names, &self.filters);
        let wanted = |name| which(filters, &names.get(name).text);
        let all = !self.config.lampwire.relay;
        let devices = self.table.devices_of(id, all, wanted);
        if devices.is_empty() {
            return;
        }
        let text = format!(
            "{} devices of peer {} {why} are taken back",
            devices.len(),
            self.peers.get(id).name
        );
        self.outbox.notice(Level::Info, "devices-gone", text);
        for (eid, name) in devices {
            self.counters.retracted_by_reload += 1;
            if let Some(change) = self.table.delete(Kind::Device, &name, eid, now.wall) {
                self.fan_out(now, change);
            }
        }
    }
}

fn rules(peers: &Peers, config: &Config) -> BTreeMap<PeerId, usize> {
    let rules = config.asterisk_publications.iter().enumerate();
    let of = |(index, rule): (usize, &lampwire_conf::AsteriskPublication)| {
        Some((peers.of_asterisk_publication(&rule.name)?, index))
    };
    rules.filter_map(of).collect()
}

/// Whether what is published to one asterisk-publication is now published to the other: they are one that has another name.
fn publish_to_the_same((old, before): (&Config, &str), (new, after): (&Config, &str)) -> bool {
    old.inbound_publications.iter().any(|resource| {
        let mut others = new.inbound_publications.iter();
        others.any(|other| {
            let is = |one: &Option<String>, other: &Option<String>| {
                one.as_deref() == Some(before) && other.as_deref() == Some(after)
            };
            resource.name == other.name
                && (is(&resource.device_state, &other.device_state)
                    || is(&resource.mwi, &other.mwi))
        })
    })
}

fn ended(config: &Config, publication: &Publication) -> ReloadWarning {
    let peer = &config.asterisk_publications[publication.rule].name;
    let resource = &config.inbound_publications[publication.resource].name;
    let endpoint = &config.endpoints[publication.endpoint].name;
    ReloadWarning {
        code: "publication-ended",
        peer: Some(peer.clone()),
        text: format!(
            "peer {peer}: what endpoint {endpoint} published to {resource} is ended here: it may not publish there any more"
        ),
    }
}
