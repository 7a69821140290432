//! What is said on the bus and kept by nobody: beats, and values that are not to be kept.

use lampwire_bus::{Beat, HubBeat, Passing, Protocol, Said, Scope, Topic, What, Written};
use lampwire_sip::{EntityId, Extras, Version};

use crate::cluster::{Cluster, Link, Site, members};
use crate::io::Level;
use crate::limits;
use crate::node::Node;
use crate::peer::PeerId;
use crate::table::{Assertion, Kind, Source, Value, newest_possible};
use crate::time::{Now, Time, WallTime};

impl Node {
    pub(super) fn bus_said(&mut self, now: Now, topic: &str, bytes: &[u8]) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let Some(topic) = Topic::parse(topic) else {
            return; // a later protocol's
        };
        let is_own_site = topic.site == cluster.settings.site;
        if topic.scope == Scope::Site && !is_own_site {
            return;
        }
        let Some(said) = Said::parse(topic.what, bytes) else {
            cluster.counters.unreadable += 1;
            return;
        };
        match said {
            Said::Beat(beat) if topic.node == cluster.own => self.take_double(now, &beat),
            _ if topic.node == cluster.own => {}
            Said::Beat(beat) => self.take_bus_beat(now, &topic, beat),
            Said::Hub(hub) => self.take_hub_beat(now, &topic, hub),
            Said::Passing(passing) => self.take_passing(now, &topic, &passing),
        }
    }

    /// A beat under our own entity id that is none of ours: two processes have one entity id. The one that began later stands aside.
    fn take_double(&mut self, now: Now, beat: &Beat) {
        let life = self.table.life();
        let Some(cluster) = self.cluster.as_mut().filter(|_| beat.life != life) else {
            return;
        };
        if beat.life < life {
            cluster.double = Some(now.at);
        }
        let text = format!(
            "the node that calls itself {:?} has our entity id {}: give each node its own; {}",
            beat.name,
            self.entity_id,
            match beat.life < life {
                true => "this one, which began later, puts nothing into the cluster",
                false => "the other began later and puts nothing into the cluster",
            }
        );
        if cluster.reported.insert(("entity-id-twice", self.entity_id)) {
            *self.counters.findings.entry("entity-id-twice").or_default() += 1;
            self.outbox.notice(Level::Error, "entity-id-twice", text);
        }
        self.review_stage(now);
    }

    fn take_bus_beat(&mut self, now: Now, topic: &Topic, beat: Beat) {
        let node = topic.node;
        if beat.seq > newest_possible(now.wall) || beat.life > newest_life(now.wall) {
            self.report_bus(
                "version-ahead",
                node,
                "its beats lie years ahead of this node's clock; one of the two clocks is wrong",
            );
            return;
        }
        let (seq, domain) = (beat.seq, beat.domain.clone());
        let (oldest, newest) = (beat.oldest, beat.protocol);
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let known = cluster.members.get(node).is_some();
        let told = cluster.members.beat(now.at, node, &topic.site, beat);
        match told {
            members::Told::Nothing => return,
            members::Told::Full => {
                self.report_bus("too-many-nodes", node, "there is no room for another node");
                return;
            }
            members::Told::StillThere => {}
            members::Told::Back | members::Told::Reborn => {
                let name = cluster.name_of(node).unwrap_or_default();
                let text = match known {
                    false => format!(
                        "cluster: node {name} ({node}) of site {} is there",
                        topic.site
                    ),
                    true => format!("cluster: node {name} ({node}) is there again"),
                };
                self.outbox.notice(Level::Info, "node-joined", text);
            }
        }
        cluster.heard_of.insert(node);
        if oldest > Protocol::NEWEST.0 {
            let text = format!(
                "it speaks protocol {oldest} to {newest} and not ours, {}: upgrade this node",
                Protocol::NEWEST.0
            );
            self.report_bus("protocol-too-new", node, &text);
        }
        self.meet_site(now, &topic.site, domain);
        if told != members::Told::StillThere {
            self.answer_beat(now);
            self.review_roles(now);
            let servers = cluster_servers(&self.cluster, node);
            self.doubt(now, &servers);
        }
        self.pass_beat_on(now, node, seq);
        self.note_written(node);
    }

    /// Who has just come is to know at once who is there.
    fn answer_beat(&mut self, now: Now) {
        let said_at = self.cluster.as_ref().map(|it| it.said_at);
        if said_at.is_some_and(|at| now.at >= at + limits::BUS_ANSWER) {
            self.say_beat(now);
        }
    }

    /// A beat that came over the bus is one as from a hub: whoever stamps is there. Hubs that are no nodes hear of it, as often as of any hub.
    fn pass_beat_on(&mut self, now: Now, node: EntityId, seq: u64) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let is_due = |at: Time| now.at >= at + limits::HUB_BEAT;
        let beat = Version { seq, by: node };
        let alive = self.leases.hub_life(node) == crate::lease::Life::Alive;
        let Some(member) = cluster.members.get_mut(node) else {
            return;
        };
        let Some(reader) = cluster.sites.get(&member.site).map(|it| it.peer) else {
            return;
        };
        if alive && !member.passed_on.is_none_or(is_due) {
            self.leases.beat(now.at, node, seq);
            self.wait_for_hubs();
            return;
        }
        member.passed_on = Some(now.at);
        self.take_beat(now, reader, beat, &Extras::default());
    }

    /// A site is heard of for the first time: its bucket is read too.
    pub(super) fn meet_site(&mut self, now: Now, name: &str, domain: Option<String>) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        if let Some(site) = cluster.sites.get_mut(name) {
            if site.domain.is_none() {
                site.domain = domain;
            }
            return;
        }
        if cluster.sites.len() >= limits::SITES {
            self.report_bus(
                "too-many-sites",
                self.entity_id,
                "there is no room for another site",
            );
            return;
        }
        let peer = self.peers.add_reader(name);
        cluster
            .sites
            .insert(name.to_owned(), Site::new(peer, domain));
        // Whoever comes later learns of it from what this node says of itself.
        cluster.column.note_about();
        self.read_sites(now);
    }

    /// The reader of a site's bucket, made now if it is none yet: what was kept of an earlier life names it.
    pub(in crate::node) fn reader_of(&mut self, name: &str) -> Option<PeerId> {
        let cluster = self.cluster.as_mut()?;
        if let Some(site) = cluster.sites.get(name) {
            return Some(site.peer);
        }
        if cluster.sites.len() >= limits::SITES || !lampwire_bus::is_token(name) {
            return None;
        }
        let peer = self.peers.add_reader(name);
        // Its servers' domain comes with the first beat of a node there.
        cluster.sites.insert(name.to_owned(), Site::new(peer, None));
        Some(peer)
    }

    /// Everything that a node has stamped up to a number has been read here, or is known to be gone.
    pub(super) fn note_written(&mut self, node: EntityId) {
        let Some(cluster) = &self.cluster else {
            return;
        };
        let settings = &cluster.settings;
        let Some(member) = cluster.members.get(node) else {
            return;
        };
        let (Some(written), Some(site)) = (member.beat.written, cluster.sites.get(&member.site))
        else {
            return;
        };
        if site.has_read(&written) {
            let full = member.site == settings.site
                && settings.device_state_filter.is_none()
                && settings.mailbox_state_filter.is_none();
            let name = member.site.clone();
            self.note_complete(&name, node, written.seq, full);
        }
    }

    fn note_complete(&mut self, name: &str, by: EntityId, seq: u64, full: bool) {
        let cluster = self.cluster.as_mut();
        let Some(site) = cluster.and_then(|it| it.sites.get_mut(name)) else {
            return;
        };
        if site.told.len() >= limits::HUBS && !site.told.contains_key(&by) {
            return; // there is no room for what it stamps either
        }
        let told = site.told.entry(by).or_default();
        *told = seq.max(*told);
        self.leases.note_complete(by, site.peer, seq, full);
    }

    fn take_hub_beat(&mut self, now: Now, topic: &Topic, hub: HubBeat) {
        let HubBeat { beat, written } = hub;
        if beat.seq > newest_possible(now.wall) {
            return;
        }
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let Some(site) = cluster.sites.get(&topic.site) else {
            return;
        };
        if cluster.heard_of.len() < limits::HUBS {
            cluster.heard_of.insert(beat.by);
        }
        let reader = site.peer;
        let complete = written.filter(|written| site.has_read(written));
        let full =
            topic.site == cluster.settings.site && cluster.settings.device_state_filter.is_none();
        self.take_beat(now, reader, beat, &Extras::default());
        if let Some(written) = complete {
            self.note_complete(&topic.site, beat.by, written.seq, full);
        }
    }

    /// A hub that is no node of the cluster is there: the others are told so, and how much of what it stamped stands in our column.
    pub(in crate::node) fn say_hub(&mut self, from: PeerId, beat: Version) {
        let Some(cluster) = &self.cluster else {
            return;
        };
        let is_member = cluster.members.get(beat.by).is_some();
        if is_member || cluster.site_of(from).is_some() || !matches!(cluster.link, Link::Up(_)) {
            return;
        }
        let head = self.table.head();
        let confirmed = cluster.column.confirmed(head, &self.table) == head;
        let complete = self.leases.complete(beat.by).filter(|_| confirmed);
        let place = cluster.own_site().read;
        let written = complete.zip(place).map(|(seq, place)| Written {
            seq,
            at: cluster.column.acked_at(),
            stream: place.incarnation,
        });
        let said = Said::Hub(HubBeat { beat, written });
        let command = self.say(Scope::Wide, What::Hub, &said);
        self.outbox.bus(command);
    }

    fn take_passing(&mut self, now: Now, topic: &Topic, passing: &Passing) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let filter = cluster.settings.device_state_filter.as_ref();
        let wanted = filter.is_none_or(|filter| filter.is_match(&passing.device));
        if cluster.protocol < Protocol::PASSING || !wanted || passing.eid == self.entity_id {
            return;
        }
        let Some(site) = cluster.sites.get(&topic.site).map(|site| site.peer) else {
            return;
        };
        let version = passing.version;
        if version.seq > newest_possible(now.wall) || version.by == self.entity_id {
            return;
        }
        let known = self.table.known(Kind::Device, &passing.device, passing.eid);
        if known.is_some_and(|known| known.version >= version)
            || !self.leases.note_hub(now.at, version.by)
        {
            return;
        }
        let applied = self.table.apply(&Assertion {
            kind: Kind::Device,
            name: &passing.device,
            eid: passing.eid,
            value: Value::device(passing.state),
            cachable: false,
            source: Source::Cluster,
            peer: Some(site),
            holder: None,
            version: Some(version),
            lost: false,
            at: now.wall,
        });
        if let Ok(Some(change)) = applied {
            self.fan_out(now, change);
        }
    }
}

/// The servers that a node could tell something, as it said last.
fn cluster_servers(cluster: &Option<Box<Cluster>>, node: EntityId) -> Vec<EntityId> {
    cluster
        .as_ref()
        .map_or_else(Vec::new, |it| it.members.told_by(node))
}

/// A life that begins later than this is of a clock that is wrong.
fn newest_life(wall: WallTime) -> u64 {
    wall.max(WallTime::from_millis(limits::CLOCK_IS_SET))
        .as_millis()
        .saturating_add(u64::try_from(limits::CLOCKS_APART.as_millis()).unwrap_or(u64::MAX))
}
