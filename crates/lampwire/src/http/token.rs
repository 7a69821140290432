//! Who may use the interface: a bearer token (RFC 6750).

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Service;
use super::client::Who;

/// Lets a request pass that has a token which may ask it, or where none is configured.
pub(crate) async fn demand(
    State(service): State<Service>,
    mut request: Request,
    next: Next,
) -> Response {
    let who = Who::of(&service, request.headers());
    match who.and_then(|who| who.may_ask(&request).map(|()| who)) {
        Ok(who) => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}
