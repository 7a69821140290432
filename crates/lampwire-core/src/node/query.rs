//! What the node shows of itself. Nothing here changes anything.

use lampwire_sip::EntityId;

use super::Node;
use crate::ami::Link;
use crate::compositor::{Publication, PublicationId};
use crate::counters::Counters;
use crate::limits;
use crate::peer::{Peer, PeerId, Until};
use crate::publisher::Publisher;
use crate::table::{Cell, Kind, NameId};
use crate::time::Now;
use crate::view::{
    DeviceView, EntityView, MailboxView, Page, PeerStatus, PeerView, PublicationView,
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

    /// All peers, in the order of the configuration.
    pub fn peers(&self, now: Now) -> Vec<PeerView> {
        self.peers
            .iter()
            .map(|(id, peer)| self.peer_view(now, id, peer))
            .collect()
    }

    /// All outbound-publishes, in the order of the configuration.
    pub fn publishers(&self, now: Now) -> Vec<PublisherView> {
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
                behind: publisher.behind(&self.table, &self.filters),
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
                peer: self.peer_name(cell.peer),
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
            peer: self.peer_name(cell.peer),
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

    pub(super) fn peer_view(&self, now: Now, id: PeerId, peer: &Peer) -> PeerView {
        let publications: Vec<&Publication> = self
            .compositor
            .iter()
            .map(|(_, publication)| publication)
            .filter(|publication| publication.expires_at > now.at)
            .filter(|publication| {
                let rule = &self.config.asterisk_publications[publication.rule].name;
                self.peers.of_asterisk_publication(rule) == Some(id)
            })
            .collect();
        let publishers: Vec<&Publisher> = self
            .publishers
            .iter()
            .filter(|publisher| publisher.peer == Some(id))
            .collect();
        let mut endpoints = peer.endpoints.clone();
        endpoints.extend(
            publications
                .iter()
                .map(|it| self.config.endpoints[it.endpoint].name.clone()),
        );
        endpoints.sort_unstable();
        endpoints.dedup();
        let in_trouble = publishers
            .iter()
            .any(|publisher| publisher.status() == PublisherStatus::BackOff);
        // A publication outlives its server by an hour. Who does not answer and has sent nothing since is not there.
        let is_silent = publishers
            .iter()
            .filter_map(|publisher| publisher.away_since())
            .any(|since| peer.last_heard <= Some(now.wall_at(since)));
        let link = peer.ami.and_then(|index| self.amis.get(usize::from(index)));
        let status = if let Some(link) = link {
            match (link.is_live(), link.is_in_trouble()) {
                (true, _) => PeerStatus::Up,
                (false, true) => PeerStatus::Down,
                (false, false) => PeerStatus::Unknown,
            }
        } else if is_silent {
            PeerStatus::Down
        } else if !publications.is_empty() || (peer.last_heard.is_some() && !in_trouble) {
            PeerStatus::Up
        } else if in_trouble {
            PeerStatus::Down
        } else {
            PeerStatus::Unknown
        };
        let configured =
            |name: &String| self.config.endpoints.iter().position(|it| it.name == *name);
        let found = endpoints
            .iter()
            .filter_map(configured)
            .flat_map(|it| self.speakers.findings(it));
        let mut notes = notes(now, peer, &publishers, &publications);
        notes.extend(found.map(|finding| finding.text(&self.config)));
        let claiming = endpoints
            .iter()
            .filter_map(configured)
            .filter(|it| self.reported.contains(&(*it, self.entity_id)));
        notes.extend(claiming.map(|it| self.claims_ours(it)));
        PeerView {
            name: peer.name.clone(),
            entity_id: peer.entity_id,
            status,
            endpoints,
            publishers: publishers.iter().map(|it| it.name().to_owned()).collect(),
            publications: publications.len(),
            last_heard: peer.last_heard,
            round_trip: peer.round_trip,
            canary: peer.canary,
            behind: publishers
                .iter()
                .map(|it| it.behind(&self.table, &self.filters))
                .chain(link.map(Link::behind))
                .sum(),
            notes,
        }
    }

    fn peer_name(&self, peer: Option<PeerId>) -> Option<String> {
        peer.map(|peer| self.peers.get(peer).name.clone())
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
    if let Some(at) = peer.challenged
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
