//! Who may use the interface: a bearer token (RFC 6750), compared in constant time.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use lampwire_conf::Secret;
use subtle::ConstantTimeEq;

use super::Service;
use super::client::Who;

/// The configured token.
#[derive(Debug)]
pub(crate) struct Token(Secret);

impl Token {
    /// Takes the configured secret.
    pub(crate) fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// Whether it is the one that was given.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        // The length may show; the bytes do not.
        bool::from(self.0.expose().as_bytes().ct_eq(given))
    }
}

/// Lets a request pass that has a token which may ask it, or where none is configured.
pub(crate) async fn demand(
    State(service): State<Service>,
    mut request: Request,
    next: Next,
) -> Response {
    let who = Who::of(&service, request.headers());
    match who.and_then(|who| who.may_ask(&service, &request).map(|()| who)) {
        Ok(who) => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}
