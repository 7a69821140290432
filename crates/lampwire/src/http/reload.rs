//! POST /api/v1/reload: reads the configuration again.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::Service;
use super::problem::Problem;
use super::types::{ProblemDocument, Reloaded};

/// Reads the configuration again and goes on by it, wholly or not at all.
#[utoipa::path(post, path = "/api/v1/reload", tag = "exchange", operation_id = "reload", summary = "Reads the configuration again, wholly or not at all",
    responses((status = 200, description = "what is another now", body = Reloaded),
        (status = 409, description = "this node did not start from a file", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "the configuration was not taken, and nothing has changed", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn reload(State(service): State<Service>) -> Result<Json<Reloaded>, Problem> {
    let Some(reloader) = service.reloader else {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "no-file",
            "this node did not start from a file: there is none to be read again",
        ));
    };
    match reloader.reload().await {
        Ok(reloaded) => Ok(Json(reloaded)),
        Err(refused) => {
            let detail = refused.to_string();
            Err(Problem::unprocessable(refused.kind, detail).finding(refused.findings))
        }
    }
}
