//! Mailboxes: their counts, and what this node itself says of them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lampwire_core::SetOutcome;

use super::Service;
use super::body;
use super::problem::Problem;
use super::query::{ListQuery, Name};
use super::refusal::refused;
use super::types::{Mailbox, Mailboxes, SetMailbox};

/// GET of all.
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
pub(crate) async fn set(
    State(service): State<Service>,
    Name(name): Name,
    body::Json(wanted): body::Json<SetMailbox>,
) -> Result<Response, Problem> {
    let (outcome, view) = service
        .node
        .ask(move |node, now| {
            let outcome = node.set_mailbox(now, &name, wanted.new, wanted.old);
            (outcome, node.mailbox(&name))
        })
        .await?;
    let status = match outcome.map_err(refused)? {
        SetOutcome::Created => StatusCode::CREATED,
        SetOutcome::Changed | SetOutcome::Same => StatusCode::OK,
    };
    Ok(match view {
        Some(view) => (status, Json(Mailbox::from(view))).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// DELETE: peers get 0/0 for it, and it is gone here.
pub(crate) async fn unset(
    State(service): State<Service>,
    Name(name): Name,
) -> Result<StatusCode, Problem> {
    service
        .node
        .ask(move |node, now| node.unset_mailbox(now, &name))
        .await?
        .map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}
