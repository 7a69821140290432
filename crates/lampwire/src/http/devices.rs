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
use super::types::ProblemDocument;
use super::types::{Device, Devices, SetDevice};

/// GET of all.
#[utoipa::path(get, path = "/api/v1/devices", tag = "states", operation_id = "list_devices",
    summary = "A page of devices, in byte order of their names", params(
        ("match" = Option<String>, Query, description = "only names that this POSIX extended regular expression matches, without case"),
        ("limit" = Option<usize>, Query, description = "at most so many, 1 to 1000; 100 where it is not given"),
        ("after" = Option<String>, Query, description = "go on behind this name: `next` of the page before")),
    responses((status = 200, body = Devices), (status = 400, description = "a parameter is none", body = ProblemDocument, content_type = "application/problem+json")))]
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
#[utoipa::path(get, path = "/api/v1/devices/{device}", tag = "states", operation_id = "show_device",
    summary = "One device", params(("device" = String, Path, description = "the name, percent-encoded")),
    responses((status = 200, body = Device), (status = 404, description = "nobody has said anything of it", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn show(
    State(service): State<Service>,
    Name(name): Name,
) -> Result<Json<Device>, Problem> {
    let unknown = unknown(&name);
    let found = service.node.ask(move |node, _| node.device(&name)).await?;
    found.map(|view| Json(Device::from(view))).ok_or(unknown)
}

/// PUT: this node's own state of the device.
#[utoipa::path(put, path = "/api/v1/devices/{device}", tag = "states", operation_id = "set_device",
    summary = "Sets what this node itself says of a device", params(("device" = String, Path, description = "the name, percent-encoded")), request_body = SetDevice,
    responses((status = 200, body = Device), (status = 201, description = "this node had said nothing of it before", body = Device),
        (status = 204, description = "told, and not kept"), (status = 400, description = "no JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "the body is too long", body = ProblemDocument, content_type = "application/problem+json"), (status = 415, description = "the body is declared as something else than JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "no such state, or no such member", body = ProblemDocument, content_type = "application/problem+json")))]
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
#[utoipa::path(delete, path = "/api/v1/devices/{device}", tag = "states", operation_id = "unset_device",
    summary = "Takes back what this node itself says of a device", params(("device" = String, Path, description = "the name, percent-encoded")),
    responses((status = 204, description = "taken back"), (status = 404, description = "this node says nothing of it", body = ProblemDocument, content_type = "application/problem+json")))]
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
