//! What the node refuses, in the words of HTTP.

use axum::http::StatusCode;
use lampwire_core::SetError;

use super::problem::Problem;

/// The problem that a refused PUT or DELETE is.
pub(crate) fn refused(error: SetError) -> Problem {
    let detail = error.to_string();
    match error {
        SetError::Name(_) => Problem::unprocessable("bad-name", detail),
        SetError::NotOurs(_) => Problem::not_found("not-set-here", detail),
        SetError::Passing(_) => Problem::unprocessable("bad-ttl", detail),
        SetError::Foreign(_) => Problem::unprocessable("foreign-eid", detail),
        SetError::Stopping => Problem::stopping(),
        SetError::Full(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "full", detail),
        // What the core learns to refuse later.
        _ => Problem::unprocessable("refused", detail),
    }
}
