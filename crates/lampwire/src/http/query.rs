//! Parameters of listings and names in paths.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use lampwire_conf::Filter;
use lampwire_sip::EntityId;
use serde::Deserialize;

use super::limits;
use super::problem::Problem;
use crate::driver::List;

/// `?match=REGEX&limit=N&after=NAME`, as written.
#[derive(Debug, Deserialize)]
struct Parameters {
    #[serde(rename = "match")]
    pattern: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

/// A listing's parameters, read.
#[derive(Debug)]
pub(crate) struct ListQuery(pub(crate) List);

impl<S: Send + Sync> FromRequestParts<S> for ListQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(parameters) = Query::<Parameters>::from_request_parts(parts, state)
            .await
            .map_err(|error: QueryRejection| {
                Problem::bad_request("bad-query", error.body_text())
            })?;
        let limit = match parameters.limit {
            None => limits::PAGE_DEFAULT,
            Some(0) => {
                return Err(Problem::bad_request(
                    "bad-query",
                    "limit=0 asks for nothing: give 1 to 1000",
                ));
            }
            Some(limit) => limit.min(limits::PAGE_MAX),
        };
        Ok(Self(List {
            after: parameters.after,
            limit,
            filter: filter(parameters.pattern.as_deref())?,
            scan_budget: limits::SCAN_NAMES,
        }))
    }
}

/// `?eid=EID`, as written.
#[derive(Debug, Deserialize)]
struct Under {
    eid: Option<String>,
}

/// The entity id under which a state is set or taken back, where the request names one.
#[derive(Debug)]
pub(crate) struct Eid(pub(crate) Option<EntityId>);

impl<S: Send + Sync> FromRequestParts<S> for Eid {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(under) = Query::<Under>::from_request_parts(parts, state)
            .await
            .map_err(|error: QueryRejection| {
                Problem::bad_request("bad-query", error.body_text())
            })?;
        let Some(text) = under.eid else {
            return Ok(Self(None));
        };
        text.parse().map(|eid| Self(Some(eid))).map_err(|_| {
            Problem::bad_request(
                "bad-query",
                format!("eid={text:?} is no entity id: give one as 02:00:00:00:00:77"),
            )
        })
    }
}

/// The filter that `match=` means; an empty one matches everything.
pub(crate) fn filter(pattern: Option<&str>) -> Result<Option<Arc<Filter>>, Problem> {
    match pattern {
        None | Some("") => Ok(None),
        Some(pattern) => Filter::parse(pattern)
            .map(|filter| Some(Arc::new(filter)))
            .map_err(|error| {
                Problem::bad_request(
                    "bad-match",
                    format!("match= is no POSIX extended regular expression: {error}"),
                )
            }),
    }
}

/// The name at the end of a path, decoded.
#[derive(Debug)]
pub(crate) struct Name(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error: PathRejection| {
                Problem::bad_request(
                    "bad-name",
                    format!("the name in the path cannot be read: {}", error.body_text()),
                )
            })?;
        Ok(Self(name))
    }
}
