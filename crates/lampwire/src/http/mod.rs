//! The HTTP interface.
//!
//!     GET    /api/v1/devices?match=REGEX&limit=N&after=NAME      a page of devices
//!     GET    /api/v1/devices/{device}                            PUT sets our own state, DELETE takes it back
//!     GET    /api/v1/mailboxes?match=REGEX&limit=N&after=NAME    a page of mailboxes
//!     GET    /api/v1/mailboxes/{uniqueid}                        PUT sets our own counts, DELETE takes them back
//!     GET    /api/v1/explain/devices/{device}, /api/v1/explain/mailboxes/{uniqueid}
//!     GET    /api/v1/status, /api/v1/peers, /api/v1/publishers, /api/v1/publications, /api/v1/cluster
//!     POST   /api/v1/refresh                                     asks peers for everything
//!     POST   /api/v1/reload                                      reads the configuration again
//!     GET    /api/v1/events                                      server-sent events; Last-Event-ID resumes
//!     GET    /metrics                                            for Prometheus
//!     GET    /openapi.json                                       all of this, described
//!     GET    /, /assets/...                                      the page; open, without data
//!     GET    /healthz, /readyz                                   open, without data
//!
//! All refusals are problem documents. With a token configured, everything under /api, /metrics and /openapi.json wants it.

mod body;
mod client;
mod devices;
mod door;
mod events;
mod explain;
mod guard;
mod health;
mod limits;
mod mailboxes;
mod metrics;
mod openapi;
mod overview;
mod page;
mod patience;
mod problem;
mod query;
mod refresh;
mod refusal;
mod reload;
mod server;
mod states;
mod token;
pub(crate) mod types;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware;
use axum::routing::{get, post, put};

use lampwire_core::WallTime;

use crate::cluster;
use crate::driver::Handle;
use crate::reload::{InForce, Reloader};
use crate::store::Status;
pub(crate) use door::Door;
use problem::Problem;
pub(crate) use server::{Listener, serve};

/// What every request may use.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// The node.
    pub(crate) node: Handle,
    /// The configuration that is in force.
    pub(crate) config: InForce,
    /// Reads it again; `None`: it did not come from a file.
    pub(crate) reloader: Option<Arc<Reloader>>,
    /// How the store stands.
    pub(crate) store: Arc<Status>,
    /// How the connection to NATS stands, where the node is one of a cluster.
    pub(crate) bus: Option<Arc<cluster::Status>>,
    /// Who was kept out.
    pub(crate) door: Door,
    /// When the node began.
    pub(crate) started_at: WallTime,
}

/// All routes.
pub(crate) fn routes(service: Service) -> Router {
    let api = Router::new()
        .route("/devices", get(devices::list))
        // A name may hold slashes, percent-encoded or not.
        .route(
            "/devices/{*device}",
            get(devices::show).put(devices::set).delete(devices::unset),
        )
        .route("/mailboxes", get(mailboxes::list))
        .route(
            "/mailboxes/{*uniqueid}",
            get(mailboxes::show)
                .put(mailboxes::set)
                .delete(mailboxes::unset),
        )
        .route("/states", put(states::set))
        .route("/explain/devices/{*device}", get(explain::device))
        .route("/explain/mailboxes/{*uniqueid}", get(explain::mailbox))
        .route("/status", get(overview::status))
        .route("/peers", get(overview::peers))
        .route("/publishers", get(overview::publishers))
        .route("/publications", get(overview::publications))
        .route("/cluster", get(overview::cluster))
        .route("/refresh", post(refresh::ask))
        .route("/reload", post(reload::reload))
        .route("/events", get(events::follow))
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(
            service.clone(),
            token::demand,
        ));
    let with_data = Router::new()
        .route("/metrics", get(metrics::show))
        .route("/openapi.json", get(openapi::show))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(
            service.clone(),
            token::demand,
        ));
    Router::new()
        .nest("/api/v1", api)
        .merge(with_data)
        .merge(page::routes())
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(no_such_route_outside)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(
            service.clone(),
            guard::keep_out,
        ))
        .layer(middleware::from_fn_with_state(service.clone(), door::note))
        .with_state(service)
}

async fn no_such_route(uri: Uri) -> Problem {
    Problem::not_found(
        "unknown-route",
        format!("{} is nothing that this node serves", uri.path()),
    )
}

/// As [`no_such_route`], but what begins with /api tells nothing to those without a token.
async fn no_such_route_outside(
    State(service): State<Service>,
    request: axum::extract::Request,
) -> Problem {
    if request.uri().path().starts_with("/api")
        && let Err(refusal) = client::Who::of(&service, request.headers())
    {
        return refusal;
    }
    no_such_route(request.uri().clone()).await
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        format!(
            "{method} is not what {} takes; the Allow header has what it does",
            uri.path()
        ),
    )
}
