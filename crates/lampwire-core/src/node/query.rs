//! What the node shows of itself. Nothing here changes anything.

use std::collections::{BTreeMap, BTreeSet};

use lampwire_sip::EntityId;

use super::{Behind, Node};
use crate::ami::Link;
use crate::compositor::{Publication, PublicationId};
use crate::counters::Counters;
use crate::limits;
use crate::peer::{Challenged, Peer, PeerId, Until};
use crate::publisher::Publisher;
use crate::table::{Cell, Kind, NameId};
use crate::time::Now;
use crate::view::{
    DeviceView, EntityView, MailboxView, Page, PeerCounts, PeerStatus, PeerView, PublicationView,
    PublisherStatus, PublisherView,
};

impl Node {
    /// The node's own entity id.
    pub fn entity_id(&self) -> EntityId {
        self.entity_id
    }

    /// Devices in byte order of their names, from behind `after`: at most `limit` that `wanted` takes, among at most `scan_budget` names
    /// looked at.
    pub fn devices(
        &self,
        after: Option<&str>,
        limit: usize,
        scan_budget: usize,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Page<DeviceView> {
        self.page(Kind::Device, after, limit, scan_budget, wanted, |name| {
            let view = self.device_view(name);
            (!view.entities.is_empty()).then_some(view)
        })
    }

    /// Mailboxes, as `devices` lists devices.
    pub fn mailboxes(
        &self,
        after: Option<&str>,
        limit: usize,
        scan_budget: usize,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Page<MailboxView> {
        self.page(Kind::Mailbox, after, limit, scan_budget, wanted, |name| {
            self.table.mailbox(name).map(|cell| self.mailbox_view(cell))
        })
    }

    /// One device; `None` where nobody has said anything of it.
    pub fn device(&self, name: &str) -> Option<DeviceView> {
        let view = self.device_view(self.table.names.find(Kind::Device, name)?);
        (!view.entities.is_empty()).then_some(view)
    }

    /// One mailbox; `None` where nobody has said anything of it.
    pub fn mailbox(&self, name: &str) -> Option<MailboxView> {
        let cell = self
            .table
            .mailbox(self.table.names.find(Kind::Mailbox, name)?)?;
        Some(self.mailbox_view(cell))
    }

    /// All peers, in the order of the configuration. How far they are behind is counted at once, however long it takes.
    pub fn peers(&self, now: Now) -> Vec<PeerView> {
        self.peers_with(now, &self.behind())
    }

    /// The same with what was counted of how far they are behind.
    pub fn peers_with(&self, now: Now, behind: &Behind) -> Vec<PeerView> {
        let held = self.held(now);
        let view = |(id, _): (PeerId, &Peer)| {
            let held = held.get(&id).map_or(&[][..], Vec::as_slice);
            let of_publishers = self.publishers_of(id).map(|it| behind.of(it.id));
            self.peer_view(now, id, held, of_publishers.sum())
        };
        self.peers.iter().map(view).collect()
    }

    /// Peers by their status: what can be told at any time.
    pub fn peer_counts(&self, now: Now) -> PeerCounts {
        let held = self.held(now);
        let mut counts = PeerCounts::default();
        for (id, _) in self.peers.iter() {
            match self.peer_status(now, id, held.contains_key(&id)) {
                PeerStatus::Up => counts.up += 1,
                PeerStatus::Down => counts.down += 1,
                PeerStatus::Unknown => counts.unknown += 1,
            }
        }
        counts
    }

    /// All outbound-publishes, in the order of the configuration. How far their peers are behind is counted at once, however long it takes.
    pub fn publishers(&self, now: Now) -> Vec<PublisherView> {
        self.publishers_with(now, &self.behind())
    }

    /// The same with what was counted of how far their peers are behind.
    pub fn publishers_with(&self, now: Now, behind: &Behind) -> Vec<PublisherView> {
        let views = self.publishers.iter().zip(&self.config.outbound_publishes);
        views
            .map(|(publisher, publish)| PublisherView {
                name: publish.name.clone(),
                peer: publisher.peer.map(|peer| self.peers.get(peer).name.clone()),
                event: publisher.event,
                server_uri: publish.server_uri.clone(),
                target: publisher.target().map(|target| target.remote),
                status: publisher.status(),
                lanes: publisher.lanes(now),
                behind: behind.of(publisher.id),
                sent: publisher.counters.sent,
                confirmed: publisher.counters.confirmed,
                refused: publisher.counters.refused,
                copies: publisher.counters.copies,
                in_flight: publisher.in_flight(),
                round_trips: publisher.counters.round_trips,
                canaries: publisher.counters.canaries,
                confirm_times: publisher.counters.confirm_times,
                last_answer: publisher.last_answer().cloned(),
                retry_at: publisher.retry_at().map(|at| now.wall_at(at)),
            })
            .collect()
    }

    /// All publications that peers hold here, by number.
    pub fn publications(&self, now: Now) -> Vec<PublicationView> {
        self.compositor
            .iter()
            .map(|(id, publication)| self.publication_view(now, id, publication))
            .collect()
    }

    /// How many publications peers hold here.
    pub fn publication_count(&self) -> usize {
        self.compositor.iter().count()
    }

    /// What the node has counted since it was made.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// States kept, of devices and mailboxes and of all entities.
    pub fn states(&self) -> usize {
        self.table.len()
    }

    fn page<T>(
        &self,
        kind: Kind,
        after: Option<&str>,
        limit: usize,
        scan_budget: usize,
        wanted: &dyn Fn(&str) -> bool,
        view: impl Fn(NameId) -> Option<T>,
    ) -> Page<T> {
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        let mut last = None;
        for (looked_at, (text, name)) in self.table.names.after(kind, after).enumerate() {
            if page.items.len() >= limit || looked_at >= scan_budget {
                page.next = last.map(str::to_owned);
                break;
            }
            last = Some(text);
            if wanted(text)
                && let Some(item) = view(name)
            {
                page.items.push(item);
            }
        }
        page
    }

    pub(super) fn device_view(&self, name: NameId) -> DeviceView {
        let mut entities: Vec<EntityView> = self
            .table
            .entities(name)
            .map(|cell| EntityView {
                eid: self.table.eid(cell.eid),
                state: cell.value.state(),
                cachable: cell.cachable,
                source: cell.source,
                peer: self.teller_name(cell),
                updated_at: cell.updated_at,
                lost: self.table.is_lost(cell),
            })
            .collect();
        entities.sort_by_key(|entity| (entity.eid, !entity.cachable));
        DeviceView {
            device: self.table.names.get(name).text.to_string(),
            state: self.table.sum(name),
            entities,
        }
    }

    pub(super) fn mailbox_view(&self, cell: &Cell) -> MailboxView {
        let (new, old) = cell.value.counts();
        MailboxView {
            mailbox: self.table.names.get(cell.name).text.to_string(),
            new,
            old,
            eid: self.table.eid(cell.eid),
            source: cell.source,
            peer: self.teller_name(cell),
            updated_at: cell.updated_at,
            lost: self.table.is_lost(cell),
        }
    }

    pub(super) fn publication_view(
        &self,
        now: Now,
        id: PublicationId,
        publication: &Publication,
    ) -> PublicationView {
        PublicationView {
            id: id.0,
            endpoint: self.config.endpoints[publication.endpoint].name.clone(),
            resource: self.config.inbound_publications[publication.resource]
                .name
                .clone(),
            event: publication.event,
            remote: publication.remote,
            created_at: publication.created_at,
            changed_at: publication.changed_at,
            expires_at: now.wall_at(publication.expires_at),
            states: publication.states,
        }
    }

    /// The live publications of each peer.
    fn held(&self, now: Now) -> BTreeMap<PeerId, Vec<&Publication>> {
        let rules = self.config.asterisk_publications.iter();
        let peers: Vec<Option<PeerId>> = rules
            .map(|rule| self.peers.of_asterisk_publication(&rule.name))
            .collect();
        let mut held: BTreeMap<PeerId, Vec<&Publication>> = BTreeMap::new();
        for (_, publication) in self.compositor.iter() {
            if publication.expires_at > now.at
                && let Some(peer) = peers[publication.rule]
            {
                held.entry(peer).or_default().push(publication);
            }
        }
        held
    }

    /// The live publications of one peer.
    pub(super) fn held_by(&self, now: Now, id: PeerId) -> Vec<&Publication> {
        self.held(now).remove(&id).unwrap_or_default()
    }

    /// How far a peer is behind, with `budget` changes of each publisher looked at.
    pub(super) fn behind_of_peer(&self, id: PeerId, budget: usize) -> u64 {
        self.publishers_of(id)
            .map(|it| {
                let oldest = it.oldest_unconfirmed(&self.table);
                let part = it.behind(&self.table, &self.filters, oldest, budget);
                part.count
            })
            .sum()
    }

    fn publishers_of(&self, id: PeerId) -> impl Iterator<Item = &Publisher> {
        let all = self.publishers.iter();
        all.filter(move |publisher| publisher.peer == Some(id))
    }

    /// Whether a peer is there; `holds`: it has a live publication here.
    fn peer_status(&self, now: Now, id: PeerId, holds: bool) -> PeerStatus {
        let peer = self.peers.get(id);
        if let Some(link) = self.link_of(peer) {
            return match (link.is_live(), link.is_in_trouble()) {
                (true, _) => PeerStatus::Up,
                (false, true) => PeerStatus::Down,
                (false, false) => PeerStatus::Unknown,
            };
        }
        let in_trouble = self
            .publishers_of(id)
            .any(|publisher| publisher.status() == PublisherStatus::BackOff);
        // A publication outlives its server by an hour. Who does not answer and has sent nothing since is not there.
        let is_silent = self
            .publishers_of(id)
            .filter_map(Publisher::away_since)
            .any(|since| peer.last_heard <= Some(now.wall_at(since)));
        if is_silent {
            PeerStatus::Down
        } else if holds || (peer.last_heard.is_some() && !in_trouble) {
            PeerStatus::Up
        } else if in_trouble {
            PeerStatus::Down
        } else {
            PeerStatus::Unknown
        }
    }

    fn link_of(&self, peer: &Peer) -> Option<&Link> {
        peer.ami.and_then(|index| self.amis.get(usize::from(index)))
    }

    /// `publications`: its live ones here; `behind`: over all its publishers.
    pub(super) fn peer_view(
        &self,
        now: Now,
        id: PeerId,
        publications: &[&Publication],
        behind: u64,
    ) -> PeerView {
        let peer = self.peers.get(id);
        let publishers: Vec<&Publisher> = self.publishers_of(id).collect();
        let speaking: BTreeSet<usize> = publications.iter().map(|it| it.endpoint).collect();
        let mut endpoints = peer.endpoints.clone();
        endpoints.extend(
            speaking
                .into_iter()
                .map(|it| self.config.endpoints[it].name.clone()),
        );
        endpoints.sort_unstable();
        endpoints.dedup();
        let configured =
            |name: &String| self.config.endpoints.iter().position(|it| it.name == *name);
        let found = endpoints
            .iter()
            .filter_map(configured)
            .flat_map(|it| self.speakers.findings(it));
        let mut notes = notes(now, peer, &publishers, publications);
        notes.extend(found.map(|finding| finding.text(&self.config)));
        let claiming = endpoints
            .iter()
            .filter_map(configured)
            .filter(|it| self.reported.contains(&(*it, self.entity_id)));
        notes.extend(claiming.map(|it| self.claims_ours(it)));
        PeerView {
            name: peer.name.clone(),
            entity_id: peer.entity_id,
            status: self.peer_status(now, id, !publications.is_empty()),
            endpoints,
            publishers: publishers.iter().map(|it| it.name().to_owned()).collect(),
            publications: publications.len(),
            last_heard: peer.last_heard,
            round_trip: peer.round_trip,
            canary: peer.canary,
            behind: behind + self.link_of(peer).map_or(0, Link::behind),
            notes,
        }
    }
}

/// What an operator should know of a peer.
fn notes(
    now: Now,
    peer: &Peer,
    publishers: &[&Publisher],
    publications: &[&Publication],
) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(missed) = peer.missed {
        let can_be_asked = publishers.iter().any(|publisher| publisher.can_ask());
        let what_next = match (can_be_asked, missed.until) {
            (false, _) => {
                "it cannot be asked for them: no publish of an asterisk-publication leads to it"
            }
            (true, Until::Now) => "it will be asked for all it has",
            (true, Until::Room) => "it will be asked for all it has when there is room",
            (true, Until::Changed) => {
                "it will be asked after a reload that changes anything; mended elsewhere, ask it by `lampwire refresh`"
            }
        };
        notes.push(format!(
            "incomplete: refused {} requests, the last at {} with {} ({}); {what_next}",
            missed.states, missed.at, missed.status, missed.code
        ));
    }
    if let Some(Challenged {
        at,
        from_its_address,
    }) = peer.challenged
        && (from_its_address || publications.is_empty())
        && now.wall.as_millis().saturating_sub(at.as_millis()) > limits::CHALLENGE_ANSWERED_MS
    {
        notes.push(format!(
            "silent since we answered 401 at {at}: give its publish credentials and restart it, or change its publish"
        ));
    }
    if peer.entity_id.is_none() {
        notes.push("own entity id unknown".to_owned());
    }
    if peer.ami.is_some() {
        notes.push("over its manager interface".to_owned());
    } else if publishers.is_empty() {
        notes.push("one-way: no publish tells it anything".to_owned());
    } else if publications.is_empty() {
        notes.push("no live publication of it".to_owned());
    }
    for publisher in publishers {
        if let (PublisherStatus::BackOff, Some(answer)) =
            (publisher.status(), publisher.last_answer())
        {
            notes.push(format!("last answer: {} {}", answer.status, answer.reason));
        }
    }
    notes.sort_unstable();
    notes.dedup();
    notes
}
