//! Whether the process is up and whether the node works: open to all, and without names or states.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Service;
use super::problem::Problem;
use super::types::Readiness;

/// GET /healthz: the process is up.
#[utoipa::path(get, path = "/healthz", tag = "node", summary = "The process is up",
    responses((status = 200, description = "it is", body = Object)))]
pub(crate) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// GET /readyz: the node answers, so its configuration is in force, what was kept is loaded and its sockets are bound. Peers that are away are told and make no
/// difference, nor does a store that cannot be written,
/// or a cluster that cannot be reached: a balancer that took the node out for them would make it worse.
#[utoipa::path(get, path = "/readyz", tag = "node", summary = "The configuration is in force and the sockets are bound",
    responses((status = 200, description = "they are; peers that are away, a store that cannot be written (`memory-only`), and a cluster that cannot be reached (`down`), make no difference", body = Object)))]
pub(crate) async fn ready(State(service): State<Service>) -> Result<Json<Readiness>, Problem> {
    // Nothing that takes longer the more there is to tell: whoever asks may do so as often as he likes.
    let peers = service.node.ask(|node, now| node.peer_counts(now)).await?;
    Ok(Json(Readiness {
        status: "ready".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        peers: peers.into(),
        store: service.store.condition().as_str().to_owned(),
        bus: match service.bus {
            None => "off",
            Some(bus) if bus.is_up() => "up",
            Some(_) => "down",
        }
        .to_owned(),
    }))
}
