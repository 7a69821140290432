//! Peers, publishers and publications: how the exchange stands.

use axum::Json;
use axum::extract::State;

use super::Service;
use super::problem::Problem;
use super::types::{Peer, Peers, Publication, Publications, Publisher, Publishers};

/// GET of the peers.
pub(crate) async fn peers(State(service): State<Service>) -> Result<Json<Peers>, Problem> {
    let views = service.node.ask(|node, now| node.peers(now)).await?;
    Ok(Json(Peers {
        peers: views.into_iter().map(Peer::from).collect(),
    }))
}

/// GET of the publishers.
pub(crate) async fn publishers(
    State(service): State<Service>,
) -> Result<Json<Publishers>, Problem> {
    let views = service.node.ask(|node, now| node.publishers(now)).await?;
    Ok(Json(Publishers {
        publishers: views.into_iter().map(Publisher::from).collect(),
    }))
}

/// GET of the publications.
pub(crate) async fn publications(
    State(service): State<Service>,
) -> Result<Json<Publications>, Problem> {
    let views = service.node.ask(|node, now| node.publications(now)).await?;
    Ok(Json(Publications {
        publications: views.into_iter().map(Publication::from).collect(),
    }))
}
