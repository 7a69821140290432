//! What stands in the bodies about a cluster.

use lampwire_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The cluster, as the node that is asked sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Cluster {
    pub(crate) cluster: String,
    /// What this node is called.
    pub(crate) node: String,
    pub(crate) site: String,
    /// `joined`: it sees the others. `joining`: it has just started and tells nobody anything yet. `alone`: it cannot see the others, and goes on with what it has and
    /// its own peers.
    pub(crate) stage: String,
    pub(crate) stage_since: String,
    pub(crate) bus: Bus,
    /// States of this node's own that the bucket has not confirmed yet; among the newest 65,536 changes.
    pub(crate) waiting: u64,
    /// Records on their way to the bucket.
    pub(crate) in_flight: usize,
    /// States heard here of servers whose home another node is, and that the home has not said yet.
    pub(crate) shadows: usize,
    /// This node first, then by name.
    pub(crate) nodes: Vec<Node>,
    /// This node's first, then by name.
    pub(crate) sites: Vec<Site>,
    /// The servers that nodes are attached to, by entity id.
    pub(crate) servers: Vec<Server>,
}

/// The connection to NATS.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Bus {
    /// `up` or `down`.
    pub(crate) status: String,
    /// The server; `null`: there is no connection.
    pub(crate) server: Option<String>,
    /// Why there is none.
    pub(crate) problem: Option<String>,
    pub(crate) since: String,
    /// How often it was lost.
    pub(crate) losses: u64,
}

/// A node of the cluster.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) entity_id: String,
    /// It is the one that is asked. Absent: false.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub(crate) own: bool,
    pub(crate) site: String,
    /// Of the nodes that a server is attached to the one of the lowest rank is its home and speaks to it.
    pub(crate) rank: u16,
    /// `up` or `down`.
    pub(crate) status: String,
    /// `null`: it is the one that is asked.
    pub(crate) last_heard: Option<String>,
    pub(crate) started_at: String,
    /// Its program's version; `null`: not known.
    pub(crate) version: Option<String>,
    /// The newest protocol that it speaks.
    pub(crate) protocol: u16,
    /// The oldest that it understands.
    pub(crate) oldest_protocol: u16,
    /// States that it keeps.
    pub(crate) states: u64,
    /// The number of its newest stamp that the bucket has confirmed with all before it.
    pub(crate) written: Option<u64>,
    /// Records of the buckets that it had not read when it was heard last.
    pub(crate) lag: u64,
    /// Servers whose home it is.
    pub(crate) homes: usize,
    /// Servers that it speaks to.
    pub(crate) speaks: usize,
}

/// A site of the cluster.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Site {
    pub(crate) name: String,
    /// The JetStream domain of its servers.
    pub(crate) domain: Option<String>,
    /// How its bucket is read: `live`, `behind` or `not-read`.
    pub(crate) reading: String,
    /// The place up to which it was read.
    pub(crate) read: Option<u64>,
    /// Records that wait to be read.
    pub(crate) pending: u64,
    pub(crate) read_at: Option<String>,
}

/// A server that nodes are attached to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Server {
    pub(crate) entity_id: String,
    /// The node that stamps its states; `null`: none that is there hears it.
    pub(crate) home: Option<String>,
    /// The node that tells it the states of all others; `null`: none that is there can.
    pub(crate) speaker: Option<String>,
    pub(crate) ways: Vec<Way>,
}

/// How a node is attached to a server.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Way {
    pub(crate) node: String,
    /// What the node calls the server.
    pub(crate) peer: String,
    /// It hears the server at first hand.
    pub(crate) hears: bool,
    /// It can tell it states.
    pub(crate) tells: bool,
    /// The node is there.
    pub(crate) up: bool,
    /// The term in which it took to be the home; 0: never.
    pub(crate) home_term: u64,
    /// The term in which it took to speak; 0: never.
    pub(crate) speaker_term: u64,
}

/// The cluster, in the summary of the node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Share {
    pub(crate) cluster: String,
    pub(crate) node: String,
    pub(crate) site: String,
    /// `joining`, `alone` or `joined`.
    pub(crate) stage: String,
    /// `up` or `down`: the connection to NATS.
    pub(crate) bus: String,
    /// Nodes that are there, this one among them.
    pub(crate) nodes_up: usize,
    /// Nodes that were there in this life of the node, and are not.
    pub(crate) nodes_down: usize,
    /// States of this node's own that the bucket has not confirmed yet.
    pub(crate) waiting: u64,
}

fn up_or_down(up: bool) -> String {
    if up { "up" } else { "down" }.to_owned()
}

impl From<core::ClusterView> for Cluster {
    fn from(view: core::ClusterView) -> Self {
        let (server, problem) = match view.link {
            Ok(server) => (Some(server), None),
            Err(why) => (None, Some(why)),
        };
        Self {
            cluster: view.cluster,
            node: view.node,
            site: view.site,
            stage: view.stage.as_str().to_owned(),
            stage_since: view.stage_since.to_string(),
            bus: Bus {
                status: up_or_down(server.is_some()),
                server,
                problem,
                since: view.link_since.to_string(),
                losses: view.losses,
            },
            waiting: view.waiting,
            in_flight: view.in_flight,
            shadows: view.shadows,
            nodes: view.nodes.into_iter().map(Node::from).collect(),
            sites: view.sites.into_iter().map(Site::from).collect(),
            servers: view.servers.into_iter().map(Server::from).collect(),
        }
    }
}

impl From<core::NodeView> for Node {
    fn from(view: core::NodeView) -> Self {
        let (protocol, oldest_protocol) = view.protocol;
        Self {
            name: view.name,
            entity_id: view.entity_id.to_string(),
            own: view.own,
            site: view.site,
            rank: view.rank,
            status: up_or_down(view.alive),
            last_heard: view.last_heard.map(|at| at.to_string()),
            started_at: view.started_at.to_string(),
            version: view.program,
            protocol,
            oldest_protocol,
            states: view.states,
            written: view.written,
            lag: view.lag,
            homes: view.homes,
            speaks: view.speaks,
        }
    }
}

impl From<core::SiteView> for Site {
    fn from(view: core::SiteView) -> Self {
        Self {
            name: view.name,
            domain: view.domain,
            reading: view.reading.as_str().to_owned(),
            read: view.read,
            pending: view.pending,
            read_at: view.read_at.map(|at| at.to_string()),
        }
    }
}

impl From<core::ServerView> for Server {
    fn from(view: core::ServerView) -> Self {
        let way = |way: core::WayView| {
            let (home_term, speaker_term) = way.terms;
            Way {
                node: way.node,
                peer: way.peer,
                hears: way.hears,
                tells: way.tells,
                up: way.alive,
                home_term,
                speaker_term,
            }
        };
        Self {
            entity_id: view.entity_id.to_string(),
            home: view.home,
            speaker: view.speaker,
            ways: view.ways.into_iter().map(way).collect(),
        }
    }
}

impl From<&core::ClusterView> for Share {
    fn from(view: &core::ClusterView) -> Self {
        let nodes_up = view.nodes.iter().filter(|node| node.alive).count();
        Self {
            cluster: view.cluster.clone(),
            node: view.node.clone(),
            site: view.site.clone(),
            stage: view.stage.as_str().to_owned(),
            bus: up_or_down(view.link.is_ok()),
            nodes_up,
            nodes_down: view.nodes.len() - nodes_up,
            waiting: view.waiting,
        }
    }
}

/// What an operator should know of the cluster.
pub(crate) fn notes(view: &core::ClusterView) -> Vec<String> {
    let mut notes = Vec::new();
    if let Err(why) = &view.link {
        notes.push(format!(
            "cluster {}: no connection to NATS ({why}); this node goes on with what it has and its own peers",
            view.cluster
        ));
    } else if view.stage == core::ClusterStage::Alone {
        notes.push(format!(
            "cluster {}: this node cannot see the others; it goes on with what it has and its own peers",
            view.cluster
        ));
    }
    let down = view.nodes.iter().filter(|node| !node.alive);
    notes.extend(down.map(|node| {
        format!(
            "cluster {}: node {} is away; others have its roles",
            view.cluster, node.name
        )
    }));
    let unread = view
        .sites
        .iter()
        .filter(|site| view.link.is_ok() && site.reading == core::SiteReading::Not);
    notes.extend(unread.map(|site| {
        format!(
            "cluster {}: the bucket of site {} is not read",
            view.cluster, site.name
        )
    }));
    notes
}
