//! Devices: what all entities say of them, and what this node itself says.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lampwire_core::{SetOutcome, SetValue, Setting};
use lampwire_sip::DeviceState;

use super::Service;
use super::body;
use super::client::{Subject, Who};
use super::problem::Problem;
use super::query::{Eid, ListQuery, Name};
use super::refusal::refused;
use super::types::ProblemDocument;
use super::types::{Device, Devices, SetDevice, lifetime};

/// GET of all.
#[utoipa::path(get, path = "/api/v1/devices", tag = "states", operation_id = "list_devices",
    summary = "A page of devices, in byte order of their names", params(
        ("match" = Option<String>, Query, description = "only names that this POSIX extended regular expression matches, without case"),
        ("limit" = Option<usize>, Query, description = "at most so many, 1 to 1000; 100 where it is not given"),
        ("after" = Option<String>, Query, description = "go on behind this name: `next` of the page before")),
    responses((status = 200, description = "the page", body = Devices), (status = 400, description = "a parameter is none", body = ProblemDocument, content_type = "application/problem+json")))]
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
    responses((status = 200, description = "the device", body = Device), (status = 404, description = "nobody has said anything of it", body = ProblemDocument, content_type = "application/problem+json")))]
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
    summary = "Sets what this node itself says of a device", params(("device" = String, Path, description = "the name, percent-encoded"),
        ("eid" = Option<String>, Query, description = "set it under this entity id, which is that of an api-client; only with http_token, or where there is none")), request_body = SetDevice,
    responses((status = 200, description = "the device as it is now", body = Device), (status = 201, description = "this node had said nothing of it before", body = Device),
        (status = 204, description = "told, and not kept"), (status = 400, description = "no JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "the body is too long", body = ProblemDocument, content_type = "application/problem+json"), (status = 415, description = "the body is declared as something else than JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "no such state, or no such member", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn set(
    State(service): State<Service>,
    who: Who,
    Name(name): Name,
    Eid(asked): Eid,
    body::Json(wanted): body::Json<SetDevice>,
) -> Result<Response, Problem> {
    let setting = Setting {
        value: SetValue::Device {
            state: state_of(&wanted.state)?,
            cachable: wanted.cachable,
        },
        ttl: lifetime(wanted.ttl)?,
        name,
    };
    let eid = who.may_set(Subject::Device(&setting.name), asked)?;
    let (outcome, view) = service
        .node
        .ask(move |node, now| {
            let outcome = node.set_states(now, eid, std::slice::from_ref(&setting));
            (outcome, node.device(&setting.name))
        })
        .await?;
    let outcome = outcome.map_err(|(_, error)| refused(error))?;
    let status = status_of(&outcome);
    // What is not cachable is told to the peers and not kept.
    Ok(match view {
        Some(view) => (status, Json(Device::from(view))).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// DELETE: peers get INVALID for it under this node's eid, and it is gone here.
#[utoipa::path(delete, path = "/api/v1/devices/{device}", tag = "states", operation_id = "unset_device",
    summary = "Takes back what this node itself says of a device", params(("device" = String, Path, description = "the name, percent-encoded"),
        ("eid" = Option<String>, Query, description = "take back what was set here under this entity id; only with http_token, or where there is none")),
    responses((status = 204, description = "taken back"), (status = 404, description = "this node says nothing of it", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn unset(
    State(service): State<Service>,
    who: Who,
    Name(name): Name,
    Eid(asked): Eid,
) -> Result<StatusCode, Problem> {
    let eid = who.may_set(Subject::Device(&name), asked)?;
    service
        .node
        .ask(move |node, now| node.unset_device_of(now, eid, &name))
        .await?
        .map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The state of a word.
pub(crate) fn state_of(word: &str) -> Result<DeviceState, Problem> {
    DeviceState::parse(word).ok_or_else(|| {
        let words: Vec<_> = DeviceState::ALL
            .iter()
            .map(|state| state.as_str())
            .collect();
        let words = words.join(", ");
        Problem::unprocessable(
            "unknown-state",
            format!("{word:?} is no device state: give one of {words}"),
        )
    })
}

/// 201 for what is new, 200 for the rest.
pub(crate) fn status_of(outcomes: &[SetOutcome]) -> StatusCode {
    match outcomes {
        [SetOutcome::Created] => StatusCode::CREATED,
        _ => StatusCode::OK,
    }
}

fn unknown(name: &str) -> Problem {
    Problem::not_found(
        "unknown-device",
        format!("no node has said anything of a device {name:?}"),
    )
}
