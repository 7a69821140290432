//! Whoever was kept out: counted by the reason, and told in the log, not oftener than a log can bear.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use lampwire_core::{Level, Notice};

use super::Service;
use super::problem::Reason;
use crate::driver::Clock;
use crate::telemetry::notices::Notices;

/// Whose connection a request came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote(pub(crate) SocketAddr);

/// Those who were kept out.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    clock: Clock,
    kept_out: Arc<Mutex<KeptOut>>,
}

#[derive(Debug, Default)]
struct KeptOut {
    /// The reasons are this program's own words, so there are not many.
    counts: BTreeMap<&'static str, u64>,
    notices: Notices,
}

impl Door {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            kept_out: Arc::default(),
        }
    }

    /// How many there were, by the reason.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.kept_out().counts.clone()
    }

    fn note(&self, reason: &'static str, text: String) {
        // Whoever opens the page has no token at first: that is how it comes to ask for one.
        let (level, code) = match reason {
            "no-token" => (Level::Debug, "http-no-token"),
            _ => (Level::Warn, "http-refused"),
        };
        let notice = Notice { level, code, text };
        let mut kept_out = self.kept_out();
        *kept_out.counts.entry(reason).or_default() += 1;
        kept_out.notices.log(self.clock.now().at, &notice);
    }

    fn kept_out(&self) -> MutexGuard<'_, KeptOut> {
        // Counts and buckets stand for themselves, whatever became of who held the lock.
        self.kept_out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes a request that is answered 401 or 403: who asked what, and why he was not answered.
pub(crate) async fn note(State(service): State<Service>, request: Request, next: Next) -> Response {
    let remote = request.extensions().get::<Remote>().copied();
    let had_token = request.headers().contains_key(header::AUTHORIZATION);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let status = response.status();
    if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return response;
    }
    let Some(Reason { kind, detail }) = response.extensions().get() else {
        return response;
    };
    let kind = match (status, had_token) {
        (StatusCode::UNAUTHORIZED, true) => "wrong-token",
        (StatusCode::UNAUTHORIZED, false) => "no-token",
        _ => kind,
    };
    let from = remote.map_or_else(|| "?".to_owned(), |Remote(remote)| remote.to_string());
    let status = status.as_u16();
    let text = format!("{from} is answered {status} to {method} {path}: {detail}");
    service.door.note(kind, text);
    response
}
