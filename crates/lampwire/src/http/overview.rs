//! Peers, publishers and publications: how the exchange stands.

use axum::Json;
use axum::extract::State;
use lampwire_core::PeerStatus;

use super::Service;
use super::problem::Problem;
use super::types::{
    Peer, PeerCounts, Peers, ProblemDocument, Publication, Publications, Publisher, Publishers,
    Status, Store, cluster,
};

/// GET of the peers.
#[utoipa::path(get, path = "/api/v1/peers", tag = "exchange", summary = "The nodes on the other side",
    responses((status = 200, description = "all of them", body = Peers)))]
pub(crate) async fn peers(State(service): State<Service>) -> Result<Json<Peers>, Problem> {
    let views = service.node.peers().await?;
    Ok(Json(Peers {
        peers: views.into_iter().map(Peer::from).collect(),
    }))
}

/// GET of the publishers.
#[utoipa::path(get, path = "/api/v1/publishers", tag = "exchange", summary = "The outbound-publishes at work",
    responses((status = 200, description = "all of them", body = Publishers)))]
pub(crate) async fn publishers(
    State(service): State<Service>,
) -> Result<Json<Publishers>, Problem> {
    let behind = service.node.behind().await?;
    let views = service
        .node
        .ask(move |node, now| node.publishers_with(now, &behind))
        .await?;
    Ok(Json(Publishers {
        publishers: views.into_iter().map(Publisher::from).collect(),
    }))
}

/// GET of the publications.
#[utoipa::path(get, path = "/api/v1/publications", tag = "exchange", summary = "What peers publish here",
    responses((status = 200, description = "all of them", body = Publications)))]
pub(crate) async fn publications(
    State(service): State<Service>,
) -> Result<Json<Publications>, Problem> {
    let views = service.node.ask(|node, now| node.publications(now)).await?;
    Ok(Json(Publications {
        publications: views.into_iter().map(Publication::from).collect(),
    }))
}

/// GET of the cluster.
#[utoipa::path(get, path = "/api/v1/cluster", tag = "exchange", operation_id = "cluster", summary = "The cluster, as this node sees it",
    responses((status = 200, description = "its nodes, sites and servers", body = cluster::Cluster),
        (status = 404, description = "the node is in no cluster", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn cluster(
    State(service): State<Service>,
) -> Result<Json<cluster::Cluster>, Problem> {
    let view = service.node.ask(|node, now| node.cluster(now)).await?;
    let none = || {
        Problem::not_found(
            "no-cluster",
            "this node is in no cluster: its configuration has no section of type=cluster",
        )
    };
    view.map(|view| Json(view.into())).ok_or_else(none)
}

/// GET of the summary.
#[utoipa::path(get, path = "/api/v1/status", tag = "exchange", summary = "How the node stands, on one screen",
    responses((status = 200, description = "how it stands", body = Status)))]
pub(crate) async fn status(State(service): State<Service>) -> Result<Json<Status>, Problem> {
    let behind = service.node.behind().await?;
    let (peers, publications, states, own, in_cluster) = service
        .node
        .ask(move |node, now| {
            (
                node.peers_with(now, &behind),
                node.publication_count(),
                node.states(),
                node.entity_id(),
                node.cluster(now),
            )
        })
        .await?;
    let count = |status| peers.iter().filter(|peer| peer.status == status).count();
    let notes = peers.iter().flat_map(|peer| {
        let notes = peer.notes.iter();
        notes.map(|note| format!("{}: {note}", peer.name))
    });
    let store = Store::from(service.store.figures());
    let of_store = store
        .problem
        .iter()
        .map(|problem| format!("states are in memory only: {problem}"));
    let of_cluster = in_cluster.iter().flat_map(cluster::notes);
    Ok(Json(Status {
        entity_id: own.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: service.started_at.to_string(),
        states,
        peers: PeerCounts {
            up: count(PeerStatus::Up),
            down: count(PeerStatus::Down),
            unknown: count(PeerStatus::Unknown),
        },
        publications,
        behind: peers.iter().map(|peer| peer.behind).sum(),
        followers: service.node.event_readers(),
        notes: of_store.chain(of_cluster).chain(notes).collect(),
        store,
        cluster: in_cluster.as_ref().map(cluster::Share::from),
    }))
}
