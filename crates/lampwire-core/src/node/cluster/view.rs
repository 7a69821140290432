//! What a node shows of the cluster.

use std::collections::BTreeMap;

use lampwire_bus::Protocol;
use lampwire_sip::EntityId;

use crate::cluster::members::Role;
use crate::cluster::{Cluster, Link, Reading, Stage};
use crate::node::Node;
use crate::peer::PeerId;
use crate::publisher::{Publisher, Voice};
use crate::table::{Cell, Source};
use crate::time::{Now, WallTime};
use crate::view::{
    ClusterStage, ClusterView, NodeView, ServerView, SiteReading, SiteView, WayView,
};

impl Node {
    /// The cluster, as this node sees it; `None` where the configuration has none.
    pub fn cluster(&self, now: Now) -> Option<ClusterView> {
        let cluster = self.cluster.as_deref()?;
        let servers: Vec<ServerView> = cluster.servers();
        Some(ClusterView {
            cluster: cluster.settings.cluster.clone(),
            node: cluster.name.clone(),
            site: cluster.settings.site.clone(),
            stage: match cluster.stage {
                Stage::Joining => ClusterStage::Joining,
                Stage::Alone => ClusterStage::Alone,
                Stage::Joined => ClusterStage::Joined,
            },
            stage_since: now.wall_at(cluster.stage_since),
            link: match &cluster.link {
                Link::Up(server) => Ok(server.clone()),
                Link::Down(why) => Err(why.clone()),
            },
            link_since: now.wall_at(cluster.link_since),
            waiting: cluster.column.behind(&self.table),
            in_flight: cluster.column.in_flight(),
            shadows: cluster.shadows.len(),
            records: cluster.counters.records,
            news: cluster.counters.news,
            unreadable: cluster.counters.unreadable,
            filtered: cluster.counters.filtered,
            put: cluster.column.counters.put,
            refused: cluster.column.counters.refused,
            losses: cluster.counters.losses,
            claims: cluster.counters.claims,
            overdue: cluster.counters.overdue,
            nodes: self.cluster_nodes(now, cluster),
            sites: cluster.site_views(now),
            servers,
        })
    }

    fn cluster_nodes(&self, now: Now, cluster: &Cluster) -> Vec<NodeView> {
        // Once for each server, not for each node and server: there may be a thousand of both.
        let mut held: BTreeMap<(EntityId, Role), usize> = BTreeMap::new();
        for (eid, _) in cluster.members.ways() {
            for role in Role::ALL {
                if let Some(node) = cluster.members.holder(eid, role) {
                    *held.entry((node, role)).or_default() += 1;
                }
            }
        }
        let roles = |node: EntityId, role: Role| held.get(&(node, role)).copied().unwrap_or(0);
        let own = NodeView {
            name: cluster.name.clone(),
            entity_id: cluster.own,
            own: true,
            site: cluster.settings.site.clone(),
            rank: cluster.settings.rank,
            protocol: (cluster.protocol.0, Protocol::OLDEST.0),
            program: Some(env!("CARGO_PKG_VERSION").to_owned()),
            alive: true,
            last_heard: None,
            started_at: WallTime::from_millis(self.table.life()),
            states: self.table.len() as u64,
            written: cluster.written.map(|it| it.seq),
            lag: cluster.sites.values().map(|site| site.pending).sum(),
            homes: roles(cluster.own, Role::Home),
            speaks: roles(cluster.own, Role::Speaker),
        };
        let others = cluster.members.iter().map(|(node, member)| {
            let unread = cluster.sites.iter().map(|(name, site)| {
                let here = site.read.map_or(0, |place| place.at);
                let there = member.beat.read.get(name);
                // A site that it has never read is one that it need not.
                there.map_or(0, |there| here.saturating_sub(*there))
            });
            NodeView {
                name: member.beat.name.clone(),
                entity_id: node,
                own: false,
                site: member.site.clone(),
                rank: member.beat.rank,
                protocol: (member.beat.protocol, member.beat.oldest),
                program: member.program.clone(),
                alive: member.alive,
                last_heard: Some(now.wall_at(member.at)),
                started_at: WallTime::from_millis(member.beat.life),
                states: member.beat.states,
                written: member.beat.written.map(|it| it.seq),
                lag: unread.sum(),
                homes: roles(node, Role::Home),
                speaks: roles(node, Role::Speaker),
            }
        });
        let mut others: Vec<NodeView> = others.collect();
        others
            .sort_by(|one, other| (&one.name, one.entity_id).cmp(&(&other.name, other.entity_id)));
        std::iter::once(own).chain(others).collect()
    }

    /// Whom a value came from, in the words of people: a peer, or the node of the cluster that has stamped it.
    pub(in crate::node) fn teller_name(&self, cell: &Cell) -> Option<String> {
        let node = (cell.source == Source::Cluster).then(|| self.table.version(cell).by);
        self.teller_of(cell.peer, node)
    }

    /// The same of a change that came over the bus, stamped by `node`, or from a peer.
    pub(in crate::node) fn teller_of(
        &self,
        peer: Option<PeerId>,
        node: Option<EntityId>,
    ) -> Option<String> {
        let cluster = self.cluster.as_ref();
        let name = node.and_then(|node| cluster?.name_of(node));
        // Else it was read in a site's bucket, or heard of a peer.
        let peer = || peer.map(|peer| self.peers.get(peer).name.clone());
        name.map(str::to_owned).or_else(peer)
    }

    /// The node of the cluster that speaks to a publisher's peer instead of this one.
    pub(in crate::node) fn speaks_instead(&self, publisher: &Publisher) -> Option<String> {
        let cluster = self.cluster.as_deref()?;
        if publisher.voice() != Voice::None || cluster.stage != Stage::Joined {
            return None;
        }
        let eid = self.peers.get(publisher.peer?).entity_id?;
        let node = cluster.members.holder(eid, Role::Speaker)?;
        Some(
            cluster
                .name_of(node)
                .map_or_else(|| node.to_string(), str::to_owned),
        )
    }
}

impl Cluster {
    fn site_views(&self, now: Now) -> Vec<SiteView> {
        let mut views: Vec<SiteView> = self
            .sites
            .iter()
            .map(|(name, site)| SiteView {
                name: name.clone(),
                domain: site.domain.clone(),
                reading: match site.reading {
                    Reading::Not => SiteReading::Not,
                    Reading::Asked | Reading::Behind { .. } => SiteReading::Behind,
                    Reading::Live => SiteReading::Live,
                },
                read: site.read.map(|place| place.at),
                pending: site.pending,
                read_at: site.read_at.map(|at| now.wall_at(at)),
            })
            .collect();
        views.sort_by_key(|view| view.name != self.settings.site);
        views
    }

    fn servers(&self) -> Vec<ServerView> {
        let name = |node: EntityId| {
            self.name_of(node)
                .map_or_else(|| node.to_string(), str::to_owned)
        };
        let view = |eid: EntityId| {
            let holder = |role| self.members.holder(eid, role).map(name);
            let ways = self.members.ways_to(eid).map(|(node, way, alive)| WayView {
                node: name(node),
                peer: way.peer.clone(),
                hears: way.hears,
                tells: way.tells,
                alive,
                terms: (way.home, way.speaker),
            });
            let mut ways: Vec<WayView> = ways.collect();
            ways.sort_by(|one, other| one.node.cmp(&other.node));
            ServerView {
                entity_id: eid,
                home: holder(Role::Home),
                speaker: holder(Role::Speaker),
                ways,
            }
        };
        self.members.ways().map(|(eid, _)| view(eid)).collect()
    }
}
