//! Devices: what all entities say of them, and what this node itself says.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lampwire_core::SetOutcome;
use lampwire_sip::DeviceState;

use super::Service;
use super::body;
use super::problem::Problem;
use super::query::{ListQuery, Name};
use super::refusal::refused;
use super::types::{Device, Devices, SetDevice};

/// GET of all.
pub(crate) async fn list(
    State(service): State<Service>,
    ListQuery(list): ListQuery,
) -> Result<Json<Devices>, Problem> {
    let page = service.node.devices(list).await?;
    Ok(Json(Devices {
        devices: page.items.into_iter().map(Device::from).collect(),
        next: page.next,
    }))
}

/// GET of one.
pub(crate) async fn show(
    State(service): State<Service>,
    Name(name): Name,
) -> Result<Json<Device>, Problem> {
    let unknown = unknown(&name);
    let found = service.node.ask(move |node, _| node.device(&name)).await?;
    found.map(|view| Json(Device::from(view))).ok_or(unknown)
}

/// PUT: this node's own state of the device.
pub(crate) async fn set(
    State(service): State<Service>,
    Name(name): Name,
    body::Json(wanted): body::Json<SetDevice>,
) -> Result<Response, Problem> {
    let Some(state) = DeviceState::parse(&wanted.state) else {
        let words: Vec<_> = DeviceState::ALL
            .iter()
            .map(|state| state.as_str())
            .collect();
        return Err(Problem::unprocessable(
            "unknown-state",
            format!(
                "{:?} is no device state: give one of {}",
                wanted.state,
                words.join(", ")
            ),
        ));
    };
    let (outcome, view) = service
        .node
        .ask(move |node, now| {
            let outcome = node.set_device(now, &name, state, wanted.cachable);
            (outcome, node.device(&name))
        })
        .await?;
    let status = match outcome.map_err(refused)? {
        SetOutcome::Created => StatusCode::CREATED,
        SetOutcome::Changed | SetOutcome::Same => StatusCode::OK,
    };
    // What is not cachable is told to the peers and not kept.
    Ok(match view {
        Some(view) => (status, Json(Device::from(view))).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// DELETE: peers get INVALID for it under this node's eid, and it is gone here.
pub(crate) async fn unset(
    State(service): State<Service>,
    Name(name): Name,
) -> Result<StatusCode, Problem> {
    service
        .node
        .ask(move |node, now| node.unset_device(now, &name))
        .await?
        .map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

fn unknown(name: &str) -> Problem {
    Problem::not_found(
        "unknown-device",
        format!("no node has said anything of a device {name:?}"),
    )
}
