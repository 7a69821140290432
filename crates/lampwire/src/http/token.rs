//! Who may use the interface: a bearer token (RFC 6750), compared in constant time.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use lampwire_conf::Secret;
use subtle::ConstantTimeEq;

use super::Service;
use super::problem::Problem;

/// The configured token.
#[derive(Debug)]
pub(crate) struct Token(Secret);

impl Token {
    /// Takes the configured secret.
    pub(crate) fn new(secret: Secret) -> Self {
        Self(secret)
    }

    fn is(&self, given: &[u8]) -> bool {
        // The length may show; the bytes do not.
        bool::from(self.0.expose().as_bytes().ct_eq(given))
    }
}

/// Lets a request pass that has the token, or where none is configured.
pub(crate) async fn demand(
    State(service): State<Service>,
    request: Request,
    next: Next,
) -> Response {
    match check(&service, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Whether the headers hold the token, where one is configured; else the 401.
pub(crate) fn check(service: &Service, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(token) = &service.token else {
        return Ok(());
    };
    let refuse = |detail: &str| {
        Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            detail,
        ))
    };
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return refuse(
            "this node wants a token: send Authorization: Bearer TOKEN, with http_token of its configuration",
        );
    };
    let value = value.as_bytes();
    let given = match value.split_at_checked(7) {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case(b"bearer ") => given.trim_ascii(),
        Some(_) | None => return refuse("the Authorization header is none of the Bearer scheme"),
    };
    if token.is(given) {
        Ok(())
    } else {
        refuse("this is not the token of this node")
    }
}
