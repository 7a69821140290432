//! POST /api/v1/refresh: asks peers to send everything.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};

use super::Service;
use super::body::OptionalJson;
use super::problem::Problem;
use super::types::ProblemDocument;
use super::types::{Refresh, Refreshed};

/// Asks all peers, or the one that the given publisher tells.
#[utoipa::path(post, path = "/api/v1/refresh", tag = "exchange", operation_id = "refresh", summary = "Asks peers for everything they have",
    params(("publisher" = Option<String>, Query, description = "only over this outbound-publish")), request_body = Option<Refresh>,
    responses((status = 200, description = "how many publishers ask", body = Refreshed), (status = 404, description = "there is no such publisher", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn ask(
    State(service): State<Service>,
    query: Result<Query<Refresh>, QueryRejection>,
    OptionalJson(body): OptionalJson<Refresh>,
) -> Result<Json<Refreshed>, Problem> {
    let Query(query) =
        query.map_err(|error| Problem::bad_request("bad-query", error.body_text()))?;
    let publisher = body.and_then(|body| body.publisher).or(query.publisher);
    let asked = service
        .node
        .ask(move |node, now| node.refresh(now, publisher.as_deref()))
        .await?;
    match asked {
        Ok(asked) => Ok(Json(Refreshed { asked })),
        Err(unknown) => Err(Problem::not_found("unknown-publisher", unknown.to_string())),
    }
}
