//! Who is what: how far the bus is trusted, how this node is attached to servers, whose home it is and whom it speaks to.

use std::collections::{BTreeMap, BTreeSet};

use lampwire_bus::Way;
use lampwire_sip::EntityId;

use crate::cluster::members::Role;
use crate::cluster::{Reading, Stage};
use crate::io::Level;
use crate::limits;
use crate::node::Node;
use crate::peer::PeerId;
use crate::publisher::Voice;
use crate::table::EidId;
use crate::time::Now;

impl Node {
    /// How this node is attached to servers may be another: the others are told.
    pub(in crate::node) fn note_ways(&mut self, now: Now) {
        if self.cluster.is_none() {
            return;
        }
        let wanted = self.own_ways();
        let life = self.table.life();
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        cluster.ways_due = false;
        let own = cluster.own;
        let mut changed = false;
        for eid in cluster.members.servers_of(own) {
            if !wanted.contains_key(&eid) {
                cluster.members.set_way(eid, own, None);
                cluster.shadows.forget_server(eid);
                cluster.column.note_way(eid);
                changed = true;
            }
        }
        for (eid, (hears, tells, peer)) in wanted {
            let before = cluster.members.own_way(eid).cloned().unwrap_or_default();
            let way = Way {
                life,
                hears,
                tells,
                peer,
                ..before.clone()
            };
            if way == before {
                continue;
            }
            if !hears {
                cluster.shadows.forget_server(eid);
            }
            if cluster.members.set_way(eid, own, Some(way)) {
                cluster.column.note_way(eid);
                changed = true;
            }
        }
        if changed {
            self.review_roles(now);
            self.pump_column(now);
        }
    }

    /// The servers that this node hears at first hand or can tell something, and what it calls them.
    fn own_ways(&self) -> BTreeMap<EntityId, (bool, bool, String)> {
        let mut ways: BTreeMap<EntityId, (bool, bool, String)> = BTreeMap::new();
        for (id, peer) in self.peers.iter() {
            let Some(eid) = peer.entity_id else {
                continue;
            };
            let publishes = self
                .publishers
                .iter()
                .any(|it| it.peer == Some(id) && it.is_started() && !it.is_retiring());
            let writes = peer.ami.is_some_and(|section| self.has_sink(section));
            // A Lampwire compares versions: several may tell it.
            let tells = peer.life.is_none() && peer.is_there() && (publishes || writes);
            let way = ways.entry(eid).or_default();
            way.1 |= tells;
            way.2.clone_from(&peer.name);
        }
        for (eid, peer, open) in self.leases.ways() {
            let way = ways.entry(self.table.eid(eid)).or_default();
            way.0 |= open;
            if way.2.is_empty() {
                way.2.clone_from(&self.peers.get(peer).name);
            }
        }
        ways
    }

    /// How far the bus can be trusted may be another.
    pub(super) fn review_stage(&mut self, now: Now) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let before = cluster.stage;
        let stage = match (before, cluster.sees(now.at)) {
            (_, true) => Stage::Joined,
            (Stage::Joining, false) if now.at < self.started_at + limits::JOIN_PATIENCE => {
                Stage::Joining
            }
            (Stage::Joining | Stage::Alone | Stage::Joined, false) => Stage::Alone,
        };
        if stage == before {
            return;
        }
        (cluster.stage, cluster.stage_since) = (stage, now.at);
        cluster.said_again = false;
        cluster.members.all_changed();
        let cluster_name = &cluster.settings.cluster;
        let (level, code, text) = match stage {
            Stage::Joined => (
                Level::Info,
                "cluster-joined",
                format!("cluster {cluster_name}: all that the others know is known here"),
            ),
            Stage::Alone | Stage::Joining => (
                Level::Warn,
                "cluster-alone",
                format!(
                    "cluster {cluster_name}: what the others do cannot be seen; their states stay as they are"
                ),
            ),
        };
        self.outbox.notice(level, code, text);
        // Whoever takes a role in such a moment has the last word over those who had it before.
        self.table.begin_term(now.wall);
        if stage == Stage::Alone {
            self.speak_alone(now);
        }
        self.review_roles(now);
        self.set_voices(now);
        if stage == Stage::Joined {
            let servers = self
                .cluster
                .as_ref()
                .map_or_else(Vec::new, |it| it.members.told_elsewhere());
            self.doubt(now, &servers);
        }
    }

    /// While nodes did not see each other, more than one may have spoken to a server, and the last word may have been an old one. Whoever speaks to
    /// it from now on says everything once more, when all news is said.
    pub(super) fn doubt(&mut self, now: Now, servers: &[EntityId]) {
        let peers: BTreeSet<PeerId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.entity_id.is_some_and(|eid| servers.contains(&eid)))
            .map(|(id, _)| id)
            .collect();
        if peers.is_empty() {
            return;
        }
        self.each_publisher(now, |publisher, ctx| {
            if publisher.peer.is_some_and(|peer| peers.contains(&peer)) {
                publisher.doubt(ctx);
            }
        });
    }

    /// Nobody else can be seen: what was kept in mind is said.
    fn speak_alone(&mut self, now: Now) {
        let servers: Vec<EidId> = self.leases.all();
        for eid in servers {
            self.say_shadows(now, self.table.eid(eid));
        }
    }

    /// Reckons the roles of those servers anew of which something has changed.
    pub(in crate::node) fn review_roles(&mut self, now: Now) {
        let mut all: BTreeSet<EntityId> = BTreeSet::new();
        let mut taken = Vec::new();
        // Taking a role changes what is known, and once more is enough.
        for _ in 0..2 {
            let Some(cluster) = &mut self.cluster else {
                return;
            };
            let changed = cluster.members.take_changed();
            if changed.is_empty() {
                break;
            }
            if cluster.stage == Stage::Joined {
                let own = cluster.own;
                let mut claimed = false;
                for eid in &changed {
                    for role in Role::ALL {
                        if let Some(term) = cluster.members.claim(*eid, role)
                            && let Some(mut way) = cluster.members.own_way(*eid).cloned()
                        {
                            role.set_term(&mut way, term);
                            cluster.members.set_way(*eid, own, Some(way));
                            cluster.column.note_way(*eid);
                            cluster.counters.claims += 1;
                            claimed |= role == Role::Home;
                        }
                    }
                }
                taken.extend(cluster.review_homes(&changed));
                if claimed || !taken.is_empty() {
                    self.table.begin_term(now.wall);
                }
            }
            all.extend(changed);
        }
        let mut homes = BTreeSet::new();
        for eid in taken {
            self.say_shadows(now, eid);
            if let Some(id) = self.table.eid_id(eid) {
                self.take_over(now, id);
                homes.insert(id);
            }
        }
        self.note_unasked(&homes);
        self.ask_unasked(now);
        let joined = self
            .cluster
            .as_ref()
            .is_some_and(|it| it.stage == Stage::Joined);
        if joined {
            for eid in &all {
                self.note_elsewhere(now, *eid);
            }
        }
        if !all.is_empty() {
            self.set_voices(now);
            self.pump_column(now);
        }
        if let Some(cluster) = &mut self.cluster {
            let gained: Vec<EntityId> = cluster.members.take_gained().into_iter().collect();
            self.doubt(now, &gained);
        }
    }

    /// Whether another node hears a server: then it is not lost with us.
    fn note_elsewhere(&mut self, now: Now, eid: EntityId) {
        let Some(cluster) = &self.cluster else {
            return;
        };
        let elsewhere = cluster.members.is_heard_elsewhere(eid);
        if let Some(id) = self.table.eid_id(eid)
            && self.leases.set_elsewhere(id, elsewhere)
        {
            self.look_at(now, id);
        }
    }

    // ---- who speaks to a server

    /// Gives each publisher the voice that it is to have.
    pub(in crate::node) fn set_voices(&mut self, now: Now) {
        let Some(cluster) = &self.cluster else {
            return;
        };
        // A Lampwire compares versions, but would take it that it has been told everything.
        let joining = cluster.stage == Stage::Joining;
        let voices: Vec<Voice> = self
            .publishers
            .iter()
            .map(|publisher| match publisher.tells_a_lampwire() && !joining {
                true => Voice::All,
                false => self.voice_to(publisher.peer),
            })
            .collect();
        let (publishers, mut ctx) = self.lend(now);
        for (publisher, voice) in publishers.iter_mut().zip(voices) {
            publisher.set_voice(&mut ctx, voice);
        }
        self.write_amis(now);
    }

    /// Whether there is a server that another node may tell something as well.
    pub(in crate::node) fn shares_servers(&self) -> bool {
        let Some(cluster) = &self.cluster else {
            return false;
        };
        let told = self.publishers.iter().filter_map(|it| it.peer);
        let mut told = told.filter_map(|peer| self.peers.get(peer).entity_id);
        told.any(|eid| cluster.members.may_be_told_elsewhere(eid))
    }

    /// Whether this node puts others' states into a server that is reached by its manager interface: it is the speaker, or alone and was that.
    pub(in crate::node) fn writes_to(&self, peer: PeerId) -> bool {
        let (Some(cluster), Some(eid)) = (&self.cluster, self.peers.get(peer).entity_id) else {
            return true;
        };
        let speaker = match cluster.stage {
            Stage::Joining => return false,
            Stage::Alone => cluster.members.last(eid, Role::Speaker),
            Stage::Joined => cluster.members.holder(eid, Role::Speaker),
        };
        speaker.is_none_or(|node| node == cluster.own)
    }

    /// What a peer is told by this node.
    pub(in crate::node) fn voice_to(&self, peer: Option<PeerId>) -> Voice {
        let (Some(cluster), Some(peer)) = (&self.cluster, peer) else {
            return Voice::All;
        };
        let eid = self.peers.get(peer).entity_id;
        match (cluster.stage, eid) {
            // What is known may be old, also of this node's own servers: others may have heard them meanwhile.
            (Stage::Joining, _) => Voice::None,
            // What is being read may be followed by something newer.
            (Stage::Alone, _) if matches!(cluster.own_site().reading, Reading::Behind { .. }) => {
                Voice::FirstHand
            }
            (_, None) => Voice::All,
            // Somebody else may tell it newer things.
            (Stage::Alone, Some(eid)) if cluster.members.may_be_told_elsewhere(eid) => {
                Voice::FirstHand
            }
            (Stage::Alone, Some(_)) => Voice::All,
            (Stage::Joined, Some(eid)) => match cluster.members.holder(eid, Role::Speaker) {
                Some(node) if node != cluster.own => Voice::None,
                Some(_) | None => Voice::All,
            },
        }
    }

    /// Others have held this node to be gone, and told servers so that both are attached to: what is its own is said once more.
    pub(super) fn say_again_alone(&mut self, now: Now) {
        let hold = self.config.lampwire.hold_time;
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let judged = cluster.stage_since + limits::HUB_SILENT + hold + 2 * limits::HUB_BEAT;
        if cluster.stage != Stage::Alone || cluster.said_again || now.at < judged {
            return;
        }
        cluster.said_again = true;
        self.each_publisher(now, |publisher, ctx| {
            if publisher.voice() == Voice::FirstHand {
                publisher.say_all(ctx);
            }
        });
    }
}
