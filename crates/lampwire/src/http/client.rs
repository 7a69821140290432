//! Who asks: whoever has the node's token, or a program that may set states and nothing else (type=api-client).

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use lampwire_conf::{ApiClient, Filter, Secret};
use lampwire_sip::EntityId;
use subtle::ConstantTimeEq;

use super::Service;
use super::problem::Problem;

/// Whose request it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Who {
    /// He may do everything.
    Operator,
    /// One of the configured clients.
    Client(Arc<ApiClient>),
}

/// What is to be set or taken back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject<'a> {
    /// A device.
    Device(&'a str),
    /// A mailbox.
    Mailbox(&'a str),
}

impl Who {
    /// By the token of a request; else the 401.
    pub(crate) fn of(service: &Service, headers: &HeaderMap) -> Result<Self, Problem> {
        let config = service.config.get();
        let (clients, token) = (&config.api_clients, &config.lampwire.http_token);
        if token.is_none() && (clients.is_empty() || !headers.contains_key(header::AUTHORIZATION)) {
            return Ok(Self::Operator);
        }
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
            Some(_) | None => {
                return refuse("the Authorization header is none of the Bearer scheme");
            }
        };
        // All are looked at, so that the time does not tell which it was.
        let mut found = None;
        // The length may show; the bytes do not.
        let is = |token: &Secret| bool::from(token.expose().as_bytes().ct_eq(given));
        for client in clients {
            if is(&client.token) {
                found = Some(Self::Client(Arc::new(client.clone())));
            }
        }
        if token.as_ref().is_some_and(is) {
            found = Some(Self::Operator);
        }
        match found {
            Some(who) => Ok(who),
            None => refuse("this is not a token of this node"),
        }
    }

    /// Whether he may ask this at all; `path` is below /api/v1 or stands beside it.
    pub(crate) fn may_ask(&self, request: &Request) -> Result<(), Problem> {
        let Self::Client(client) = self else {
            return Ok(());
        };
        let path = request.uri().path();
        let sets = matches!(*request.method(), Method::PUT | Method::DELETE)
            && (path == "/states"
                || path.starts_with("/devices/")
                || path.starts_with("/mailboxes/"));
        match sets {
            true => Ok(()),
            false => Err(forbidden(client, "may set states, and nothing else")),
        }
    }

    /// The entity id under which he may set this; `None`: the node's own. `asked`: the one that the request names, as only an operator may.
    pub(crate) fn may_set(
        &self,
        subject: Subject<'_>,
        asked: Option<EntityId>,
    ) -> Result<Option<EntityId>, Problem> {
        let Self::Client(client) = self else {
            return Ok(asked);
        };
        if asked.is_some() {
            return Err(forbidden(client, "may name no entity id: it has its own"));
        }
        let (filter, name): (&Option<Filter>, &str) = match subject {
            Subject::Device(name) => (&client.device_state_filter, name),
            Subject::Mailbox(name) => (&client.mailbox_state_filter, name),
        };
        match filter.as_ref().is_none_or(|filter| filter.is_match(name)) {
            true => Ok(client.eid),
            false => Err(forbidden(client, &format!("may not set {name:?}"))),
        }
    }
}

fn forbidden(client: &ApiClient, what: &str) -> Problem {
    let detail = format!("client {} {what}", client.name);
    Problem::new(StatusCode::FORBIDDEN, "client-may-not", detail)
}

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Never missing: it is put there before a handler is asked.
        let who = parts.extensions.get::<Self>().cloned();
        who.ok_or_else(|| {
            Problem::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "nobody knows whose request it is",
            )
        })
    }
}
