//! Why a lamp is lit, or is not.

use axum::Json;
use axum::extract::State;
use lampwire_core::{TakenView, Verdict};

use super::Service;
use super::problem::Problem;
use super::query::Name;
use super::types::ProblemDocument;
use super::types::explain::{DeviceExplanation, MailboxExplanation};

/// GET of a device's explanation.
#[utoipa::path(get, path = "/api/v1/explain/devices/{device}", tag = "explain",
    summary = "Why a device shows what it shows",
    params(("device" = String, Path, description = "the name, percent-encoded")),
    responses((status = 200, description = "why it shows what it shows", body = DeviceExplanation),
        (status = 404, description = "nothing is known of it", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn device(
    State(service): State<Service>,
    Name(name): Name,
) -> Result<Json<DeviceExplanation>, Problem> {
    let asked = name.clone();
    let (found, taken, own, now) = service
        .node
        .ask(move |node, now| {
            let found = node.explain_device(&asked);
            let taken = node.would_take(true, &asked);
            (found, taken, node.entity_id(), now.wall)
        })
        .await?;
    match found {
        Some(view) => Ok(Json(DeviceExplanation::new(view, own, now))),
        None => Err(unknown("device", &name, &taken)),
    }
}

/// GET of a mailbox's explanation.
#[utoipa::path(get, path = "/api/v1/explain/mailboxes/{uniqueid}", tag = "explain",
    summary = "Why a mailbox shows what it shows",
    params(("uniqueid" = String, Path, description = "the name, percent-encoded")),
    responses((status = 200, description = "why it shows what it shows", body = MailboxExplanation),
        (status = 404, description = "nothing is known of it", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn mailbox(
    State(service): State<Service>,
    Name(name): Name,
) -> Result<Json<MailboxExplanation>, Problem> {
    let asked = name.clone();
    let (found, taken, own, now) = service
        .node
        .ask(move |node, now| {
            let found = node.explain_mailbox(&asked);
            let taken = node.would_take(false, &asked);
            (found, taken, node.entity_id(), now.wall)
        })
        .await?;
    match found {
        Some(view) => Ok(Json(MailboxExplanation::new(view, own, now))),
        None => Err(unknown("mailbox", &name, &taken)),
    }
}

/// That nothing is known, and who would have kept it out.
fn unknown(kind: &str, name: &str, taken: &[TakenView]) -> Problem {
    let mut detail = format!("no node has said anything of a {kind} {name:?}");
    let keepers: Vec<String> = taken
        .iter()
        .filter_map(|taken| match &taken.verdict {
            Verdict::Wanted | Verdict::AnotherSpeaks(_) => None,
            Verdict::Filtered(filter) | Verdict::NotAskedFor(filter) => {
                Some(format!("{} by its filter {filter:?}", taken.publication))
            }
            Verdict::KindOff => Some(format!(
                "{}, which takes none of this kind",
                taken.publication
            )),
        })
        .collect();
    if !keepers.is_empty() {
        detail.push_str(&format!("; kept out if they did: {}", keepers.join("; ")));
    }
    let code = match kind {
        "device" => "unknown-device",
        _ => "unknown-mailbox",
    };
    Problem::not_found(code, detail)
}
