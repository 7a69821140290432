//! Refusals of the HTTP interface: problem documents (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::types::{Finding, ProblemDocument};

/// A refusal: a status, a word that stays the same for programs, and a sentence for people that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    findings: Vec<Finding>,
}

impl Problem {
    /// `kind` is a word in kebab-case; it becomes the document's `type`.
    pub(crate) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            detail: detail.into(),
            findings: Vec::new(),
        }
    }

    /// The same with what is wrong, one by one.
    pub(crate) fn finding(self, findings: Vec<Finding>) -> Self {
        Self { findings, ..self }
    }

    /// The same of a part of the request.
    pub(crate) fn at(self, part: &str) -> Self {
        let detail = format!("{part}: {}", self.detail);
        Self { detail, ..self }
    }

    /// 400: the request cannot be understood.
    pub(crate) fn bad_request(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, detail)
    }

    /// 404.
    pub(crate) fn not_found(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, kind, detail)
    }

    /// 422: understood, but it asks for what cannot be.
    pub(crate) fn unprocessable(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, kind, detail)
    }

    /// 503: the node is ending and answers nothing more.
    pub(crate) fn stopping() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "the node is ending",
        )
    }
}

impl From<crate::driver::Stopped> for Problem {
    fn from(_: crate::driver::Stopped) -> Self {
        Self::stopping()
    }
}

/// Why a request was refused, for whoever notes that.
#[derive(Clone, Debug)]
pub(crate) struct Reason {
    pub(crate) kind: &'static str,
    pub(crate) detail: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let reason = Reason {
            kind: self.kind,
            detail: self.detail.clone(),
        };
        let document = ProblemDocument {
            kind: format!("urn:lampwire:problem:{}", self.kind),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            findings: self.findings,
        };
        let mut response = (self.status, axum::Json(document)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"lampwire\""),
            );
        }
        response.extensions_mut().insert(reason);
        response
    }
}
