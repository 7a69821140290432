//! PUT /api/v1/states: many states at once, all of them or none.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lampwire_core::{SetOutcome, SetValue, Setting};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Service;
use super::body;
use super::client::{Subject, Who};
use super::devices::state_of;
use super::limits;
use super::problem::Problem;
use super::query::Eid;
use super::refusal::refused;
use super::types::{ProblemDocument, lifetime};

/// Body of `PUT /api/v1/states`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetStates {
    /// At most 1000, each name once.
    pub(crate) states: Vec<SetState>,
}

/// A device's state, or a mailbox's counts: which of the two it is, its name says.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetState {
    /// A device's name, with `state`.
    #[serde(default)]
    pub(crate) device: Option<String>,
    #[serde(default)]
    pub(crate) state: Option<String>,
    /// Only of a device; true where it is not given.
    #[serde(default)]
    pub(crate) cachable: Option<bool>,
    /// A mailbox's name, with `new`.
    #[serde(default)]
    pub(crate) mailbox: Option<String>,
    #[serde(default)]
    pub(crate) new: Option<u16>,
    #[serde(default)]
    pub(crate) old: Option<u16>,
    /// Seconds after which it is taken back unless it is set again.
    #[serde(default)]
    pub(crate) ttl: Option<u32>,
}

/// Answer to `PUT /api/v1/states`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatesSet {
    /// Of which nothing had been said under this entity id.
    pub(crate) created: usize,
    pub(crate) changed: usize,
    /// As they were: nobody is told again.
    pub(crate) same: usize,
}

/// PUT: all of them, or none.
#[utoipa::path(put, path = "/api/v1/states", tag = "states", operation_id = "set_states",
    summary = "Sets many states at once, all of them or none", params(
        ("eid" = Option<String>, Query, description = "set them under this entity id, which is that of an api-client; only with http_token, or where there is none")),
    request_body = SetStates,
    responses((status = 200, description = "what became of them", body = StatesSet), (status = 400, description = "no JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "a client that may not set one of the names", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "the body is too long", body = ProblemDocument, content_type = "application/problem+json"), (status = 415, description = "the body is declared as something else than JSON", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "one of them cannot be set, and none was", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn set(
    State(service): State<Service>,
    who: Who,
    Eid(asked): Eid,
    body::List(wanted): body::List<SetStates>,
) -> Result<Json<StatesSet>, Problem> {
    let count = wanted.states.len();
    if count > limits::STATES_AT_A_TIME {
        return Err(Problem::unprocessable(
            "too-many-states",
            format!(
                "{count} states; one request sets at most {}",
                limits::STATES_AT_A_TIME
            ),
        ));
    }
    let mut eid = None;
    let mut settings = Vec::with_capacity(count);
    for (index, state) in wanted.states.into_iter().enumerate() {
        let at = |problem: Problem| problem.at(&format!("states[{index}]"));
        let setting = setting(state).map_err(at)?;
        let subject = match setting.value {
            SetValue::Device { .. } => Subject::Device(&setting.name),
            SetValue::Mailbox { .. } => Subject::Mailbox(&setting.name),
        };
        eid = who.may_set(subject, asked).map_err(at)?;
        settings.push(setting);
    }
    let outcomes = service
        .node
        .ask(move |node, now| node.set_states(now, eid, &settings))
        .await?
        .map_err(|(index, error)| refused(error).at(&format!("states[{index}]")))?;
    let count = |wanted| outcomes.iter().filter(|it| **it == wanted).count();
    Ok(Json(StatesSet {
        created: count(SetOutcome::Created),
        changed: count(SetOutcome::Changed),
        same: count(SetOutcome::Same),
    }))
}

fn setting(wanted: SetState) -> Result<Setting, Problem> {
    let ttl = lifetime(wanted.ttl)?;
    let (name, value) = match wanted {
        SetState {
            device: Some(name),
            state: Some(state),
            cachable,
            mailbox: None,
            new: None,
            old: None,
            ..
        } => {
            let state = state_of(&state)?;
            let cachable = cachable.unwrap_or(true);
            (name, SetValue::Device { state, cachable })
        }
        SetState {
            mailbox: Some(name),
            new: Some(new),
            old,
            device: None,
            state: None,
            cachable: None,
            ..
        } => {
            let old = old.unwrap_or(0);
            (name, SetValue::Mailbox { new, old })
        }
        _ => {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "bad-value",
                "give device and state (cachable, ttl), or mailbox and new (old, ttl)",
            ));
        }
    };
    Ok(Setting { name, value, ttl })
}
