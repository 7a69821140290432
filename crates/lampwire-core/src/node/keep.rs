//! What survives a restart: what is given to whoever keeps it, and how a node goes on from it.

use std::collections::{BTreeMap, BTreeSet};

use lampwire_conf::OutboundPublish;
use lampwire_sip::EntityId;

use super::Node;
use super::terms::KeptRules;
use crate::io::Level;
use crate::limits;
use crate::peer::PeerId;
use crate::publisher::PublisherId;
use crate::store::{Batch, KeptLane, KeptPublication, KeptState, KeptValue, Record};
use crate::table::{CellId, Holder, Kind, Restored, Rev, Source, Value};
use crate::time::Now;
use crate::timers::Timer;

/// What has been given to the keeper, beside the values.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Somebody keeps what the node gives.
    on: bool,
    /// The change up to which values are written.
    saved: Rev,
    /// Publications that have changed since they were given.
    pub(super) publications: BTreeSet<u32>,
    /// Cells of which something has changed since they were given that is no value.
    cells: BTreeSet<CellId>,
    /// Each lane as it was given: its tag and what is confirmed.
    lanes: BTreeMap<(u16, u16), (Option<String>, Rev)>,
    /// Lanes that were given and are no more: publish, server_uri and number.
    ended: Vec<(String, String, u16)>,
    peers: BTreeMap<String, EntityId>,
    pub(super) rules: KeptRules,
    life: u64,
}

impl Node {
    /// Goes on from what was kept; before [`Node::start`]. What names something that the configuration no longer has is left out: states
    /// of a peer that is gone are held and then lost like those of one that is away.
    ///
    /// Where the last life did not end in order, something that peers said may have been missed, and they are asked for everything.
    pub fn restore(&mut self, now: Now, records: Vec<Record>) {
        let mut states = Vec::new();
        let mut lanes = Vec::new();
        let (mut terms, mut takings) = (Vec::new(), Vec::new());
        let mut closed = false;
        for record in records {
            match record {
                Record::Life(life) => {
                    let life = now.wall.as_millis().max(life.saturating_add(1));
                    self.table.live_again(life);
                }
                Record::State(state) => states.push(state),
                Record::Publication(kept) => self.restore_publication(now, &kept),
                Record::Lane(lane) => lanes.push(lane),
                Record::Peer { name, entity_id } => {
                    if let Some(id) = self.peers.named(&name) {
                        self.table.set_own(entity_id, id);
                        let peer = self.peers.get_mut(id);
                        peer.entity_id = peer.entity_id.or(Some(entity_id));
                        let own = peer.entity_id.unwrap_or(entity_id);
                        for publisher in &mut self.publishers {
                            publisher.knows_own(id, own);
                        }
                        self.kept.peers.insert(name, entity_id);
                    }
                }
                Record::Closed(yes) => closed = yes,
                Record::Terms(kept) => terms.push(kept),
                Record::Taking(kept) => takings.push(kept),
                Record::PublicationGone(_) | Record::TermsGone(_) => {}
            }
        }
        self.restore_speakers();
        states.sort_by_key(|state: &KeptState| state.rev);
        let count = states.iter().filter(|state| !state.gone).count();
        self.table.names.expect(count.min(limits::CELLS));
        let holders = self.holders();
        for state in &states {
            self.restore_state(now, state, &holders);
        }
        self.timers
            .set(Timer::Tombstones, now.at + limits::TOMBSTONE_SWEEP);
        self.restore_lanes(now, &lanes, closed);
        self.leave_cluster(now);
        self.restore_rules(&terms, takings);
        self.kept.saved = self.table.head();
        self.kept.life = 0;
        self.restored = Some(closed);
        if count > 0 {
            let how = match closed {
                true => "in order",
                false => "without notice, so peers are asked for what was missed",
            };
            let text = format!("{count} states are as they were; the last life ended {how}");
            self.outbox.notice(Level::Info, "restored", text);
        }
    }

    /// The endpoints of peers are known to be theirs: of those whose entity ids are kept.
    fn restore_speakers(&mut self) {
        let mut known = Vec::new();
        for (_, publication) in self.compositor.iter() {
            let rule = &self.config.asterisk_publications[publication.rule].name;
            known.push((publication.endpoint, rule));
        }
        for (_, peer) in self.peers.iter() {
            if let [only] = &*peer.endpoints
                && let Some(endpoint) = self.config.endpoints.iter().position(|it| it.name == *only)
            {
                known.push((endpoint, &peer.name));
            }
        }
        for (endpoint, peer) in known {
            if let Some(eid) = self.kept.peers.get(peer) {
                self.speakers.was(endpoint, *eid);
            }
        }
    }

    fn restore_state(&mut self, now: Now, state: &KeptState, holders: &BTreeMap<PeerId, Holder>) {
        let from_cluster = state.source == Source::Cluster;
        let peer = match state.peer.as_deref() {
            Some(site) if from_cluster => self.reader_of(site),
            Some(name) => self.peers.named(name),
            None => None,
        };
        let (kind, value) = match state.value {
            KeptValue::Device(value) => (Kind::Device, Value::device(value)),
            KeptValue::Mailbox { new, old } => (Kind::Mailbox, Value::mailbox(new, old)),
        };
        let restored = Restored {
            kind,
            name: &state.name,
            eid: state.entity_id,
            value,
            source: state.source,
            peer,
            holder: peer.and_then(|id| holders.get(&id).copied()),
            version: state.version,
            lost: state.lost,
            owner: state.owner,
            gone: state.gone,
            rev: Rev(state.rev),
            at: state.updated_at,
        };
        let Ok(eid) = self.table.restore(&restored) else {
            return;
        };
        if state.gone {
            return; // it only waits for those who have not been told yet
        }
        if let Some(ttl) = state.ttl {
            // Whoever renews it may not have been able to while we were away.
            let key = (kind, state.name.as_str().into(), state.entity_id);
            self.let_live(now, key, ttl);
        }
        // What was set here is nobody's to be heard of again, under whatever entity id.
        if state.entity_id != self.entity_id && state.source != Source::Local {
            let hold = now.at + self.config.lampwire.hold_time;
            let here = state.version.by == self.entity_id;
            if here {
                self.leases.restore(eid, peer, state.lost, hold);
            } else {
                self.leases.note_hub(now.at, state.version.by);
            }
            // The readers of buckets have been nowhere.
            if let Some(id) = peer.filter(|_| !from_cluster) {
                match here {
                    true => self.table.note_first_hand(eid, id),
                    false => self.leases.note_teller(id),
                }
                self.peers.get_mut(id).restored = true;
            }
        }
    }

    /// For whom the states of each peer count until he says them again: the endpoint that holds a publication as that peer, or may; or the
    /// manager interface by which it is read.
    fn holders(&self) -> BTreeMap<PeerId, Holder> {
        let endpoints = &self.config.endpoints;
        let mut holders = BTreeMap::new();
        for (id, peer) in self.peers.iter() {
            let mut named = peer.endpoints.iter();
            let named = || named.find_map(|name| endpoints.iter().position(|it| it.name == *name));
            let place = peer.ami.map(|index| endpoints.len() + usize::from(index));
            let holder = place.or_else(named).and_then(Holder::of_endpoint);
            holders.extend(holder.map(|holder| (id, holder)));
        }
        for (_, publication) in self.compositor.iter() {
            let rule = &self.config.asterisk_publications[publication.rule].name;
            let peer = self.peers.of_asterisk_publication(rule);
            holders.extend(peer.zip(Holder::of_endpoint(publication.endpoint)));
        }
        holders
    }

    fn restore_publication(&mut self, now: Now, kept: &KeptPublication) {
        let left = kept
            .expires_at
            .as_millis()
            .checked_sub(now.wall.as_millis());
        let Some(left) = left.map(std::time::Duration::from_millis) else {
            return;
        };
        let ends = now.at + left;
        if let Some(id) = self.compositor.restore(&self.config, kept, ends) {
            let forgotten = ends + limits::TAG_GRACE;
            let timer = Timer::Publication(id.0);
            self.timers.set(timer, forgotten);
            if let Some(publication) = self.compositor.get(id) {
                let (endpoint, remote) = (publication.endpoint, publication.remote);
                self.strangers.know(endpoint, remote.ip());
            }
        }
    }

    fn restore_lanes(&mut self, now: Now, lanes: &[KeptLane], closed: bool) {
        let head = self.table.head();
        let own = match closed {
            true => Vec::new(),
            false => self.table.own_cells(),
        };
        for (index, publish) in self.config.outbound_publishes.iter().enumerate() {
            let of_publish = lanes.iter().filter(|lane| {
                lane.publish == publish.name && lane.server_uri == publish.server_uri
            });
            let kept: Vec<&KeptLane> = of_publish.collect();
            self.publishers[index].restore(now, &kept, head, closed);
            self.publishers[index].doubt_own(&self.table.names, &own, head);
        }
        self.forget_publishes(lanes);
    }

    /// Publishes that told something in an earlier life, and which the configuration no longer has as they were.
    fn forget_publishes(&mut self, lanes: &[KeptLane]) {
        let mut gone = BTreeSet::new();
        for lane in lanes {
            let mut publishes = self.config.outbound_publishes.iter();
            let goes_on =
                publishes.any(|it| (&it.name, &it.server_uri) == (&lane.publish, &lane.server_uri));
            if goes_on || lane.tag.is_none() && lane.confirmed == 0 {
                continue;
            }
            let ended = (lane.publish.clone(), lane.server_uri.clone(), lane.lane);
            self.kept.ended.push(ended);
            if gone.insert((&lane.publish, &lane.server_uri)) {
                let text = format!(
                    "publish {}: {} is not published to any more since the restart, so what it was told is not taken back there",
                    lane.publish, lane.server_uri
                );
                self.outbox.notice(Level::Warn, "not-retracted", text);
            }
        }
    }

    /// What is to be kept and has not been given yet: at most about `limit` states. A node that is never asked keeps nothing back for it.
    pub fn unsaved(&mut self, now: Now, limit: usize) -> Batch {
        self.kept.on = true;
        let mut batch = Batch::default();
        if self.kept.life != self.table.life() {
            self.kept.life = self.table.life();
            batch.records.push(Record::Life(self.kept.life));
            batch.records.push(Record::Closed(false));
            self.rules_changed();
        }
        let from = self.kept.saved.next();
        let mut until = self.table.head();
        let entries: Vec<_> = self.table.entries_from(from).take(limit + 1).collect();
        if entries.len() > limit
            && let Some(last) = entries.get(limit)
        {
            until = last.rev.before();
            batch.more = true;
        }
        for entry in entries.iter().filter(|entry| entry.rev <= until) {
            if self.table.is_newest(entry) {
                batch.records.extend(self.kept_cell(entry.cell));
            }
        }
        batch.until = until.number();
        if batch.more {
            return batch;
        }
        for cell in std::mem::take(&mut self.kept.cells) {
            if self.table.cell(cell).rev <= self.kept.saved {
                batch.records.extend(self.kept_cell(cell));
            }
        }
        // Only now, with every state that came under their tags.
        for id in std::mem::take(&mut self.kept.publications) {
            batch.records.push(self.kept_publication(now, id));
        }
        self.keep_lanes(now, &mut batch.records);
        self.keep_peers(&mut batch.records);
        self.keep_rules(&mut batch.records);
        batch
    }

    /// A batch has been written.
    pub fn saved(&mut self, batch: &Batch) {
        self.kept.saved = self.kept.saved.max(Rev(batch.until));
    }

    /// What was given could not be written: nothing is held back for the keeper until it begins anew with [`Node::everything`].
    pub fn unkept(&mut self) {
        self.kept.on = false;
        self.kept.publications.clear();
        self.kept.cells.clear();
    }

    /// Everything that is to be kept, a page at a time: from a cell number (0 at first) on, at most `limit` cells. The number to go on
    /// with; `None`: that was all. What changes meanwhile is given by [`Node::unsaved`] again.
    pub fn everything(&mut self, now: Now, from: u32, limit: u32) -> (Vec<Record>, Option<u32>) {
        let mut records = Vec::new();
        if from == 0 {
            if !self.kept.on {
                self.kept.on = true;
                self.kept.saved = self.table.head();
                self.kept.publications.clear();
                self.kept.cells.clear();
            }
            records.push(Record::Life(self.table.life()));
            records.push(Record::Closed(false));
            let ids: Vec<u32> = self.compositor.iter().map(|(id, _)| id.0).collect();
            for id in ids {
                records.push(self.kept_publication(now, id));
            }
            self.kept.lanes.clear();
            self.kept.peers.clear();
            self.keep_lanes(now, &mut records);
            self.keep_peers(&mut records);
            self.keep_all_rules(&mut records);
        }
        let end = from.saturating_add(limit).min(self.table.cell_count());
        for index in from..end {
            records.extend(self.kept_cell(CellId::at(index)));
        }
        records.retain(|record| !record.is_absence());
        (records, (end < self.table.cell_count()).then_some(end))
    }

    /// What is said last, when the node has drained: nothing was missed up to here.
    pub fn closing(&mut self, now: Now) -> Vec<Record> {
        let mut batch = self.unsaved(now, usize::MAX - 1);
        batch.records.push(Record::Closed(true));
        batch.records
    }

    /// Of a cell something has changed that is no value. Without a keeper nothing is remembered for it.
    pub(super) fn note_unkept(&mut self, cell: Option<CellId>) {
        if self.kept.on || self.restored.is_some() {
            self.kept.cells.extend(cell);
        }
    }

    /// The change up to which everything is kept: what was deleted stays until then.
    pub(super) fn kept_until(&self) -> Option<Rev> {
        self.kept.on.then_some(self.kept.saved)
    }

    fn kept_cell(&self, id: CellId) -> Option<Record> {
        let cell = self.table.kept(id)?;
        let name = self.table.names.get(cell.name);
        let entity_id = self.table.eid(cell.eid);
        let value = match name.kind {
            Kind::Device => KeptValue::Device(cell.value.state()),
            Kind::Mailbox => {
                let (new, old) = cell.value.counts();
                KeptValue::Mailbox { new, old }
            }
        };
        Some(Record::State(KeptState {
            name: name.text.to_string(),
            entity_id,
            value,
            source: cell.source,
            peer: cell.peer.map(|peer| self.peers.get(peer).name.clone()),
            version: self.table.version(cell),
            lost: cell.lost,
            gone: cell.dead,
            owner: name.owner == Some(id),
            rev: cell.rev.number(),
            updated_at: cell.updated_at,
            ttl: self.renewals.ttl(name.kind, &name.text, entity_id),
        }))
    }

    fn kept_publication(&self, now: Now, id: u32) -> Record {
        match self.compositor.kept(id) {
            None => Record::PublicationGone(id),
            Some((publication, generation)) => Record::Publication(KeptPublication {
                id,
                generation,
                endpoint: self.config.endpoints[publication.endpoint].name.clone(),
                resource: self.config.inbound_publications[publication.resource]
                    .name
                    .clone(),
                event: publication.event,
                remote: publication.remote,
                created_at: publication.created_at,
                expires_at: now.wall_at(publication.expires_at),
                states: publication.states,
            }),
        }
    }

    /// What was given of a publish's lanes is to be forgotten: they are no more, or have another name.
    pub(super) fn unkeep_lanes(&mut self, id: PublisherId, publish: &OutboundPublish) {
        let kept = &mut self.kept;
        let lanes: Vec<(u16, u16)> = kept
            .lanes
            .range((id.0, 0)..=(id.0, u16::MAX))
            .map(|(key, _)| *key)
            .collect();
        for key in lanes {
            kept.lanes.remove(&key);
            let (name, uri) = (publish.name.clone(), publish.server_uri.clone());
            kept.ended.push((name, uri, key.1));
        }
        self.unkeep_terms(id, &publish.name);
    }

    fn keep_lanes(&mut self, now: Now, records: &mut Vec<Record>) {
        let head = self.table.head();
        for (publish, server_uri, lane) in std::mem::take(&mut self.kept.ended) {
            // Whoever comes under that name again says everything.
            records.push(Record::Lane(KeptLane {
                publish,
                server_uri,
                lane,
                tag: None,
                call_id: String::new(),
                cseq: 0,
                expires_at: now.wall,
                confirmed: 0,
            }));
        }
        for (publisher, publish) in self.publishers.iter().zip(&self.config.outbound_publishes) {
            for (index, lane) in publisher.kept(head) {
                let key = (publisher.id.0, index);
                let as_given = (lane.tag.clone(), lane.confirmed);
                let untouched = (None, Rev::default());
                if self.kept.lanes.get(&key).unwrap_or(&untouched) == &as_given {
                    continue;
                }
                self.kept.lanes.insert(key, as_given);
                records.push(Record::Lane(KeptLane {
                    publish: publish.name.clone(),
                    server_uri: publish.server_uri.clone(),
                    lane: index,
                    tag: lane.tag,
                    call_id: lane.call_id,
                    cseq: lane.cseq,
                    expires_at: now.wall_at(lane.expires_at),
                    confirmed: lane.confirmed.number(),
                }));
            }
        }
    }

    fn keep_peers(&mut self, records: &mut Vec<Record>) {
        for (_, peer) in self.peers.iter() {
            if let Some(entity_id) = peer.entity_id
                && self.kept.peers.get(&peer.name) != Some(&entity_id)
            {
                self.kept.peers.insert(peer.name.clone(), entity_id);
                let name = peer.name.clone();
                records.push(Record::Peer { name, entity_id });
            }
        }
    }
}
