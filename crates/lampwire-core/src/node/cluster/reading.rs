//! What is read in the buckets.

use std::collections::BTreeSet;
use std::sync::Arc;

use lampwire_bus::{
    From, Key, Protocol, Record, RecordError, Scope, State, Subject, Value as Told,
};
use lampwire_sip::EntityId;

use crate::cluster::{Cluster, Link, Older, Reading, Stage};
use crate::io::{BusCommand, Level, Place};
use crate::limits;
use crate::node::Node;
use crate::peer::PeerId;
use crate::publisher::back_off;
use crate::table::{Assertion, CellId, Change, EidId, Kind, Source, Value, newest_possible};
use crate::time::{Now, Time, WallTime};

/// A value in another node's column.
struct Heard<'a> {
    site: PeerId,
    node: EntityId,
    kind: Kind,
    name: &'a str,
    eid: EntityId,
    state: State,
}

impl Node {
    /// Begins to read the buckets that are not read.
    pub(super) fn read_sites(&mut self, now: Now) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        if !matches!(cluster.link, Link::Up(_)) {
            return;
        }
        let own = &cluster.settings.site;
        for (name, site) in &mut cluster.sites {
            let due = site.retry_at.is_none_or(|at| at <= now.at);
            if site.reading != Reading::Not || !due {
                continue;
            }
            site.reading = Reading::Asked;
            site.retry_at = None;
            // Who was away for too long may have missed what was erased since.
            let is_good = |read_at: Time| now.at < read_at + limits::PLACE_GOOD;
            self.outbox.bus(BusCommand::Read {
                site: name.clone(),
                domain: site.domain.clone(),
                wide: name != own,
                from: site.read.filter(|_| site.read_at.is_some_and(is_good)),
            });
        }
    }

    pub(super) fn bus_opened(
        &mut self,
        now: Now,
        name: &str,
        incarnation: u64,
        whole: bool,
        pending: u64,
        last: u64,
    ) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let is_own = cluster.settings.site == name;
        let Some(site) = cluster
            .sites
            .get_mut(name)
            .filter(|site| site.reading == Reading::Asked)
        else {
            return;
        };
        // Reading everything may have been broken off, and goes on where it was.
        site.unfinished |= whole;
        site.reading = Reading::Behind {
            whole: site.unfinished,
        };
        site.pending = pending;
        site.failures = 0;
        let at = match (site.read, pending) {
            (_, 0) => last,
            (Some(place), _) if !whole => place.at,
            _ => 0,
        };
        site.read = Some(Place { incarnation, at });
        site.read_at = Some(now.at);
        if whole {
            site.round = self.table.begin_round();
            site.sweep_at = None;
            site.told.clear();
            site.older.clear();
            if is_own {
                cluster.written = None;
                self.table.forget_stored();
            }
        }
        match pending {
            0 => self.caught_up(now, name),
            _ => self.set_voices(now),
        }
    }

    pub(super) fn bus_failed(&mut self, now: Now, name: &str, why: &str) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let Some(site) = cluster.sites.get_mut(name) else {
            return;
        };
        let was_read = site.reading != Reading::Not;
        site.reading = Reading::Not;
        let (first, longest) = (limits::BUS_RETRY_FIRST, limits::BUS_RETRY_MAX);
        let pause = back_off(first, longest, site.failures, &mut self.random);
        site.retry_at = Some(now.at + pause);
        site.failures = site.failures.saturating_add(1);
        if was_read && site.failures == 1 {
            let text = format!(
                "cluster {}: the bucket of site {name} cannot be read: {why}; tried again",
                cluster.settings.cluster
            );
            self.outbox.notice(Level::Warn, "bus-not-read", text);
        }
        self.review_stage(now);
    }

    /// All that stands in a site's bucket has been read.
    fn caught_up(&mut self, now: Now, name: &str) {
        let hold = self.config.lampwire.hold_time;
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let is_own = cluster.settings.site == name;
        let Some(site) = cluster.sites.get_mut(name) else {
            return;
        };
        let Reading::Behind { whole } = site.reading else {
            return;
        };
        site.reading = Reading::Live;
        site.unfinished = false;
        if whole {
            // A bucket that was lost is filled again by those whose columns stood there.
            site.sweep_at = Some(now.at + hold);
        }
        if is_own {
            cluster.adopted = true;
            if whole {
                cluster.column.put_rest(self.table.head());
                let servers: Vec<EntityId> = cluster.members.servers_of(cluster.own);
                servers
                    .into_iter()
                    .for_each(|eid| cluster.column.note_way(eid));
            }
            // What it says of itself shows whether the bucket takes anything.
            cluster.column.note_about();
            self.ask_unasked(now);
            self.note_ways(now);
            self.pump_column(now);
        }
        self.review_stage(now);
    }

    /// Servers are heard, or this node is their home now: they are to be asked which of what the cluster knows of them they still have.
    pub(in crate::node) fn note_unasked(&mut self, of: &BTreeSet<EidId>) {
        if let Some(cluster) = self.cluster.as_mut().filter(|_| !of.is_empty()) {
            let known = self.table.known_from_cluster(of);
            let known = known.into_iter().map(|eid| self.table.eid(eid));
            cluster.unasked.extend(known);
        }
    }

    /// What another node, or an earlier life of this one, knew of a server may be no more, whatever it has answered before that was read.
    pub(in crate::node) fn ask_unasked(&mut self, now: Now) {
        let knows = |it: &&Cluster| it.adopted && it.stage != Stage::Joining;
        let cluster = self.cluster.as_deref().filter(knows);
        let way = |eid: &EntityId| {
            let id = self.table.eid_id(*eid)?;
            let way = self.leases.open_way(id).or(self.table.owner_of(id))?;
            self.is_home(*eid).then_some((*eid, way))
        };
        let due = cluster.into_iter().flat_map(|it| &it.unasked);
        let due: Vec<(EntityId, PeerId)> = due.filter_map(way).collect();
        for (eid, peer) in due {
            if let Some(cluster) = &mut self.cluster {
                cluster.unasked.remove(&eid);
            }
            self.begin_sweep(now, peer);
        }
    }

    pub(super) fn bus_record(
        &mut self,
        now: Now,
        name: &str,
        at: u64,
        pending: u64,
        key: &str,
        value: Option<&[u8]>,
    ) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let is_own = cluster.settings.site == name;
        let Some(site) = cluster.sites.get_mut(name) else {
            return;
        };
        let (Some(place), Reading::Behind { .. } | Reading::Live) = (site.read, site.reading)
        else {
            return; // of a reading that was given up
        };
        cluster.counters.records += 1;
        site.pending = pending;
        // One that comes twice is no harm, and the place never goes back.
        let read_to = place.at.max(at);
        let behind = site.reading != Reading::Live;
        let reader = site.peer;
        site.read = Some(Place {
            at: read_to,
            ..place
        });
        site.read_at = Some(now.at);
        match Key::parse(key) {
            Some(key_read) if key_read.node == cluster.own => {
                if is_own && behind {
                    self.take_own_record(now, key, &key_read, at, value);
                }
            }
            Some(key_read) if is_own || key_read.scope == Scope::Wide => {
                self.take_record(now, reader, &key_read, value);
            }
            Some(_) => {}
            None => cluster.counters.unreadable += 1,
        }
        if pending == 0 && behind {
            self.caught_up(now, name);
        }
    }

    /// A record of another node's column.
    fn take_record(&mut self, now: Now, site: PeerId, key: &Key<'_>, value: Option<&[u8]>) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let node = key.node;
        let Some(bytes) = value else {
            if let Subject::Way { eid } = key.subject {
                cluster.members.set_way(eid, node, None);
                self.review_roles(now);
            }
            return; // of a value: it is not that node's to tell any more, and whose it is has told it
        };
        let record = match Record::parse(&key.subject, node, bytes) {
            Ok(record) => record,
            Err(error) => {
                cluster.counters.unreadable += 1;
                if cluster.reported.len() < limits::MEMBERS
                    && cluster.reported.insert(("record-unreadable", node))
                {
                    let advice = match error {
                        RecordError::Needs(_) => "; this node is to be upgraded",
                        _ => "",
                    };
                    let text =
                        format!("cluster: a record of node {node} is passed over: {error}{advice}");
                    self.outbox.notice(Level::Error, "record-unreadable", text);
                }
                return;
            }
        };
        match (record, &key.subject) {
            (Record::Way(way), Subject::Way { eid }) => {
                if !cluster.members.set_way(*eid, node, Some(way)) {
                    self.report_bus(
                        "too-many-ways",
                        node,
                        "there is no room for another way to a server",
                    );
                }
                self.review_roles(now);
            }
            (
                Record::State(state),
                subject @ (Subject::Device { eid, name } | Subject::Mailbox { eid, name }),
            ) => {
                let kind = match subject {
                    Subject::Mailbox { .. } => Kind::Mailbox,
                    _ => Kind::Device,
                };
                let heard = Heard {
                    site,
                    node,
                    kind,
                    name,
                    eid: *eid,
                    state,
                };
                self.hear_on_bus(now, &heard);
            }
            (Record::About(about), _) => {
                cluster.members.set_program(node, about.program);
                for (name, domain) in about.sites {
                    self.meet_site(now, &name, domain);
                }
            }
            (Record::Way(_) | Record::State(_), _) => {}
        }
    }

    /// A value that another node has put. The highest version counts, whatever the order in which they come and however often.
    fn hear_on_bus(&mut self, now: Now, heard: &Heard<'_>) {
        let Heard {
            kind, name, eid, ..
        } = *heard;
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let settings = &cluster.settings;
        let filter = match kind {
            Kind::Device => &settings.device_state_filter,
            Kind::Mailbox => &settings.mailbox_state_filter,
        };
        if filter.as_ref().is_some_and(|filter| !filter.is_match(name)) {
            cluster.counters.filtered += 1;
            return;
        }
        if eid == self.entity_id {
            self.counters.own_entity_id_received += 1;
            self.report_bus(
                "own-entity-id",
                heard.node,
                "it tells states under our own entity id: give each node its own",
            );
            return;
        }
        let State {
            value,
            version,
            lost,
            at,
            messages,
            ..
        } = heard.state;
        let newest = [Some(version.seq), messages].into_iter().flatten().max();
        if newest.is_some_and(|seq| seq > newest_possible(now.wall)) {
            self.report_bus("version-ahead", heard.node, "what it tells lies years ahead of this node's clock; one of the two clocks is wrong");
            return;
        }
        let room = self.leases.note_hub(now.at, version.by);
        let met = match room && version.by != self.entity_id {
            true => {
                let life = self.leases.hub_life(version.by);
                self.table.meet_stamper(version.by, life).is_ok()
            }
            false => version.by == self.entity_id,
        };
        if !met {
            self.report_bus(
                "too-many-hubs",
                version.by,
                "there is no room for another hub",
            );
            return;
        }
        self.wait_for_hubs();
        let known = self.table.known(kind, name, eid);
        if let Some(known) = &known {
            // Of the same version, what is there is more than what was taken to be gone, and what stands in for a value is less.
            let there = value != Told::Gone;
            let is_there = !self.table.cell(known.cell).dead;
            if (version, there, !lost) <= (known.version, is_there, !known.lost) {
                if version == known.version {
                    self.table.note_said(known.cell, heard.site);
                } else {
                    self.counters.stale += 1;
                    if there && !lost {
                        self.note_older(known.cell, heard);
                    }
                }
                if self.note_report(known.cell, heard)
                    && let Some(owner) = self.table.owner_of_mailbox(name)
                {
                    let again = self.table.tell_again(owner);
                    self.fan_out(now, again);
                }
                return;
            }
            if let Some(ours) = self.dispute_on_bus(known.cell, heard) {
                self.fan_out(now, ours);
                return;
            }
        }
        let change = match value {
            Told::Gone => self
                .table
                .entomb(
                    (kind, name, eid),
                    version,
                    Some(heard.site),
                    Source::Cluster,
                    now.wall,
                )
                .map(Some),
            Told::Device(_) | Told::Mailbox { .. } => self.table.apply(&Assertion {
                kind,
                name,
                eid,
                value: value_of(value),
                cachable: true,
                source: Source::Cluster,
                peer: Some(heard.site),
                holder: None,
                version: Some(version),
                lost,
                at: WallTime::from_millis(at),
            }),
        };
        let change = match change {
            Ok(change) => change,
            Err(full) => {
                let text = format!("some of its states are not taken: {full}");
                self.report_bus("bus-table-full", heard.node, &text);
                return;
            }
        };
        let Some(change) = change else {
            return;
        };
        self.renewals.forget(kind, name, eid);
        if let Some(cluster) = &mut self.cluster {
            cluster.counters.news += 1;
            let name = &self.table.names.get(change.name).text;
            let value = self.table.cell(change.cell).value;
            cluster.shadows.said(eid, kind, name, value);
        }
        // Whoever has an open way to the server says that it is not lost.
        let change = self.dispute(now, change).unwrap_or(change);
        self.note_report(change.cell, heard);
        self.fan_out(now, change);
    }

    /// Something older than what is known stands in the bucket, and what is known may not.
    fn note_older(&mut self, cell: CellId, heard: &Heard<'_>) {
        let cell = self.table.cell(cell);
        let cluster = self.cluster.as_mut();
        let mut sites = cluster.into_iter().flat_map(|it| it.sites.values_mut());
        let Some(site) = sites.find(|it| it.peer == heard.site) else {
            return;
        };
        let swept = site.sweep_at.is_some() || site.reading != Reading::Live;
        let may = swept && cell.source == Source::Cluster && !cell.was_said(site.round);
        if !may || site.older.len() >= limits::OLDER_VALUES {
            return;
        }
        let key = (heard.kind, Arc::from(heard.name), heard.eid);
        let older = Older {
            version: heard.state.version,
            value: value_of(heard.state.value),
            at: WallTime::from_millis(heard.state.at),
        };
        let known = site.older.entry(key).or_insert(older);
        if known.version < older.version {
            *known = older;
        }
    }

    /// A node that does not hear a server has had the last word of what is heard here: it was cut off, and this node's word counts.
    fn dispute_on_bus(&mut self, cell: CellId, heard: &Heard<'_>) -> Option<Change> {
        let cluster = self.cluster.as_ref()?;
        let known = self.table.cell(cell);
        let ours = self.table.is_here(known)
            && !known.dead
            && matches!(known.source, Source::Publication | Source::Ami)
            && self.leases.open_way(known.eid).is_some()
            && !cluster.stands_by(heard.eid);
        let same = value_of(heard.state.value) == known.value && !heard.state.lost;
        if !ours || same || cluster.members.hears(heard.node, heard.eid) {
            return None;
        }
        self.table.raise_above(heard.state.version.seq);
        Some(self.table.restamp(cell))
    }

    /// Of a mailbox: when messages were last reported under that entity id, as whoever heard it knows. True if another value counts by that.
    fn note_report(&mut self, cell: CellId, heard: &Heard<'_>) -> bool {
        let State {
            version,
            messages,
            owner,
            value,
            ..
        } = heard.state;
        if heard.kind != Kind::Mailbox
            || self
                .cluster
                .as_ref()
                .is_none_or(|it| it.protocol < Protocol::OWNERS)
        {
            return false;
        }
        let reports_some = !matches!(value, Told::Mailbox { new: 0, old: 0 } | Told::Gone);
        // Whoever speaks the first protocol says nothing of it.
        let seq = messages.or(reports_some.then_some(version.seq));
        let is_newest = self.table.version(self.table.cell(cell)) == version;
        self.table
            .note_report(cell, seq, is_newest.then_some(owner))
    }

    // ---- our own column

    /// What stands in our own column, while all of it is read: left by an earlier life, or put in this one.
    fn take_own_record(
        &mut self,
        now: Now,
        text: &str,
        key: &Key<'_>,
        at: u64,
        value: Option<&[u8]>,
    ) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let erased_at = now.wall + limits::GONE_KEPT;
        let (kind, name, eid) = match &key.subject {
            Subject::Device { eid, name } => (Kind::Device, name, *eid),
            Subject::Mailbox { eid, name } => (Kind::Mailbox, name, *eid),
            Subject::Way { eid } => {
                if value.is_none() {
                    cluster.column.erase_later(erased_at, text.to_owned(), at);
                } else if cluster.members.own_way(*eid).is_none() {
                    // Of an earlier life, and of a server that may come back: what it says is put anew then.
                    cluster.column.note_way(*eid);
                }
                return;
            }
            Subject::Node => {
                let record = value.map(|bytes| Record::parse(&key.subject, key.node, bytes));
                if let Some(Ok(Record::About(about))) = record {
                    for (name, domain) in about.sites {
                        self.meet_site(now, &name, domain);
                    }
                }
                return;
            }
        };
        let Some(bytes) = value else {
            cluster.column.erase_later(erased_at, text.to_owned(), at);
            return;
        };
        let Ok(Record::State(state)) = Record::parse(&key.subject, key.node, bytes) else {
            cluster.column.note_orphan(text.to_owned());
            return;
        };
        if state.version.by == self.entity_id {
            // Also of what is not known any more: what is stamped from now on is newer.
            self.table.raise_above(state.version.seq);
        }
        let wide = key.scope == cluster.scope_of(kind, name);
        let may_adopt = !cluster.adopted && wide;
        let known = self.table.known_cell(kind, name, eid);
        // Another's word is of now, unless ours was newer.
        let outdone = known.filter(|cell| {
            let known = self.table.cell(*cell);
            known.source == Source::Cluster && self.table.version(known) < state.version
        });
        if may_adopt && outdone.is_some() {
            if state.value == Told::Gone && state.version.by == self.entity_id {
                let (what, at) = ((kind, &**name, eid), WallTime::from_millis(state.at));
                let version = state.version;
                let gone = self
                    .table
                    .entomb(what, version, None, Source::Publication, at);
                if let Ok(change) = gone {
                    self.table.set_stored(change.cell, true);
                    self.fan_out(now, change);
                    return;
                }
            } else if self.adopt(now, kind, name, eid, &state) {
                return;
            }
        }
        if let Some(cell) = known {
            let known = self.table.cell(cell);
            let is_there = known.source != Source::Cluster
                && self.table.version(known) == state.version
                && known.dead == (state.value == Told::Gone)
                && (known.lost == state.lost || kind == Kind::Mailbox);
            self.table.set_stored(cell, true);
            if let Some(cluster) = self.cluster.as_mut().filter(|_| !is_there) {
                cluster.column.note_dirty(cell);
            }
            return;
        }
        if state.value == Told::Gone {
            let due = WallTime::from_millis(state.at) + limits::GONE_KEPT;
            if let Some(cluster) = &mut self.cluster {
                let due = due.min(erased_at);
                cluster.column.erase_later(due, text.to_owned(), at);
            }
            return;
        }
        if may_adopt && self.adopt(now, kind, name, eid, &state) {
            return;
        }
        if let Some(cluster) = &mut self.cluster {
            cluster.column.note_orphan(text.to_owned());
        }
    }

    /// Takes up what an earlier life has put into the bucket, and this one has not heard of: its programs' states stay as they are, and those of its
    /// servers are held until the servers are heard of. False: it is none of what this node may say.
    fn adopt(&mut self, now: Now, kind: Kind, name: &str, eid: EntityId, state: &State) -> bool {
        let own_word = state.version.by == self.entity_id;
        if !own_word || state.version.seq > newest_possible(now.wall) {
            return false; // whoever has stamped it tells it again
        }
        let source = match state.from {
            From::Local => Source::Local,
            From::Peer => Source::Publication,
            From::Ami => Source::Ami,
        };
        let of_peer = self
            .peers
            .iter()
            .find(|(_, peer)| peer.entity_id == Some(eid));
        let peer = of_peer
            .map(|(id, _)| id)
            .filter(|_| source != Source::Local);
        let applied = self.table.apply(&Assertion {
            kind,
            name,
            eid,
            value: value_of(state.value),
            cachable: true,
            source,
            peer,
            holder: None,
            version: Some(state.version),
            lost: state.lost,
            at: WallTime::from_millis(state.at),
        });
        let Ok(Some(change)) = applied else {
            return false;
        };
        self.table.set_stored(change.cell, true);
        let mut change = change;
        if source == Source::Local {
            // A peer may have been told something newer that did not get as far as the bucket.
            change = self.table.restamp(change.cell);
            if let Some(ttl) = state.ttl {
                let key = (kind, Arc::from(name), eid);
                self.let_live(now, key, std::time::Duration::from_secs(ttl.into()));
            }
        } else {
            let held_until = now.at + self.config.lampwire.hold_time;
            let id = self.table.cell(change.cell).eid;
            self.leases.restore(id, peer, state.lost, held_until);
            if let Some(cluster) = &mut self.cluster {
                cluster.unasked.insert(eid);
                cluster.unheard.insert(change.cell);
            }
            self.wait_for_losses();
        }
        self.fan_out(now, change);
        true
    }

    /// A server says again what an earlier life of this node had put into the bucket: it is stamped anew, once, above whatever that life told peers
    /// without putting it there.
    pub(in crate::node) fn hear_adopted(&mut self, assertion: &Assertion<'_>) -> Option<Change> {
        let cluster = self.cluster.as_mut().filter(|it| !it.unheard.is_empty())?;
        let Assertion {
            kind, name, eid, ..
        } = *assertion;
        let cell = self.table.known_cell(kind, name, eid)?;
        let is_ours = cluster.unheard.remove(&cell) && self.table.is_here(self.table.cell(cell));
        is_ours.then(|| self.table.restamp(cell))
    }
}

fn value_of(told: Told) -> Value {
    match told {
        Told::Device(state) => Value::device(state),
        Told::Mailbox { new, old } => Value::mailbox(new, old),
        Told::Gone => Value::device(lampwire_sip::DeviceState::Invalid),
    }
}
