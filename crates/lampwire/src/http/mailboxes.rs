//! Mailboxes: their counts, and what this node itself says of them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lampwire_core::{SetValue, Setting};

use super::Service;
use super::body;
use super::client::{Subject, Who};
use super::devices::status_of;
use super::problem::Problem;
use super::query::{Eid, ListQuery, Name};
use super::refusal::refused;
use super::types::ProblemDocument;
use super::types::{Mailbox, Mailboxes, SetMailbox, lifetime};

/// GET of all.
#[utoipa::path(get, path = "/api/v1/mailboxes", tag = "states", operation_id = "list_mailboxes",
    summary = "A page of mailboxes, in byte order of their names", params(
        ("match" = Option<String>, Query, description = "only names that this POSIX extended regular expression matches, without case"),
        ("limit" = Option<usize>, Query, description = "at most so many, 1 to 1000; 100 where it is not given"),
        ("after" = Option<String>, Query, description = "go on behind this name: `next` of the page before")),
    responses((status = 200, description = "the page", body = Mailboxes), (status = 400, description = "a parameter is none", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(service): State<Service>,
    ListQuery(list): ListQuery,
) -> Result<Json<Mailboxes>, Problem> {
    let page = service.node.mailboxes(list).await?;
    Ok(Json(Mailboxes {
        mailboxes: page.items.into_iter().map(Mailbox::from).collect(),
        next: page.next,
    }))
}

/// GET of one.
#[utoipa::path(get, path = "/api/v1/mailboxes/{uniqueid}", tag = "states", operation_id = "show_mailbox",
    summary = "One mailbox", params(("uniqueid" = String, Path, description = "the name, percent-encoded")),
    responses((status = 200, description = "the mailbox", body = Mailbox), (status = 404, description = "nobody has said anything of it", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn show(
    State(service): State<Service>,
    Name(name): Name,
) -> Result<Json<Mailbox>, Problem> {
    let unknown = Problem::not_found(
        "unknown-mailbox",
        format!("no node has said anything of a mailbox {name:?}"),
    );
    let found = service.node.ask(move |node, _| node.mailbox(&name)).await?;
    found.map(|view| Json(Mailbox::from(view))).ok_or(unknown)
}

/// PUT: this node's own counts of the mailbox.
#[utoipa::path(put, path = "/api/v1/mailboxes/{uniqueid}", tag = "states", operation_id = "set_mailbox",
    summary = "Sets what this node itself says of a mailbox", params(("uniqueid" = String, Path, description = "the name, percent-encoded"),
        ("eid" = Option<String>, Query, description = "set it under this entity id, which is that of an api-client; only with http_token, or where there is none")), request_body = SetMailbox,
    responses((status = 200, description = "the mailbox as it is now", body = Mailbox), (status = 201, description = "this node had said nothing of it before", body = Mailbox),
        (status = 204, description = "told, and not kept"), (status = 400, description = "no JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "the body is too long", body = ProblemDocument, content_type = "application/problem+json"), (status = 415, description = "the body is declared as something else than JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "no such state, or no such member", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn set(
    State(service): State<Service>,
    who: Who,
    Name(name): Name,
    Eid(asked): Eid,
    body::Json(wanted): body::Json<SetMailbox>,
) -> Result<Response, Problem> {
    let SetMailbox { new, old, ttl } = wanted;
    let setting = Setting {
        value: SetValue::Mailbox { new, old },
        ttl: lifetime(ttl)?,
        name,
    };
    let eid = who.may_set(Subject::Mailbox(&setting.name), asked)?;
    let (outcome, view) = service
        .node
        .ask(move |node, now| {
            let outcome = node.set_states(now, eid, std::slice::from_ref(&setting));
            (outcome, node.mailbox(&setting.name))
        })
        .await?;
    let status = status_of(&outcome.map_err(|(_, error)| refused(error))?);
    Ok(match view {
        Some(view) => (status, Json(Mailbox::from(view))).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// DELETE: peers get 0/0 for it, and it is gone here.
#[utoipa::path(delete, path = "/api/v1/mailboxes/{uniqueid}", tag = "states", operation_id = "unset_mailbox",
    summary = "Takes back what this node itself says of a mailbox", params(("uniqueid" = String, Path, description = "the name, percent-encoded"),
        ("eid" = Option<String>, Query, description = "take back what was set here under this entity id; only with http_token, or where there is none")),
    responses((status = 204, description = "taken back"), (status = 404, description = "this node says nothing of it", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn unset(
    State(service): State<Service>,
    who: Who,
    Name(name): Name,
    Eid(asked): Eid,
) -> Result<StatusCode, Problem> {
    let eid = who.may_set(Subject::Mailbox(&name), asked)?;
    service
        .node
        .ask(move |node, now| node.unset_mailbox_of(now, eid, &name))
        .await?
        .map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}
