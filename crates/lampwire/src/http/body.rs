//! JSON bodies of requests, read within bounds of size and time.

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::limits;
use super::problem::Problem;

/// A body that is the JSON of a `T`.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        parse(&read(request, limits::BODY_BYTES_MAX).await?).map(Self)
    }
}

/// The same of a list, which may be longer.
#[derive(Debug)]
pub(crate) struct List<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for List<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        parse(&read(request, limits::LIST_BYTES_MAX).await?).map(Self)
    }
}

/// A body that is the JSON of a `T`, or nothing at all.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(pub(crate) Option<T>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = read(request, limits::BODY_BYTES_MAX).await?;
        if bytes.is_empty() {
            Ok(Self(None))
        } else {
            parse(&bytes).map(|value| Self(Some(value)))
        }
    }
}

/// The body's bytes, of a request that does not declare something else than JSON.
async fn read(request: Request, longest: usize) -> Result<Bytes, Problem> {
    let declared_length = header_text(request.headers(), header::CONTENT_LENGTH)
        .and_then(|length| length.parse::<u64>().ok())
        .unwrap_or(0);
    if declared_length > longest as u64 {
        return Err(too_large(longest));
    }
    if declared_length > 0 && !is_json(request.headers()) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "the body is to be JSON: send Content-Type: application/json",
        ));
    }
    let reading = to_bytes(request.into_body(), longest);
    match tokio::time::timeout(limits::BODY_TIME_MAX, reading).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => match std::error::Error::source(&error) {
            // The only error that axum itself makes of a body that arrives.
            Some(cause) if cause.to_string().contains("length limit") => Err(too_large(longest)),
            Some(_) | None => Err(Problem::bad_request(
                "bad-body",
                "the body did not arrive whole",
            )),
        },
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow-body",
            format!(
                "the body did not arrive within {} s",
                limits::BODY_TIME_MAX.as_secs()
            ),
        )),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        Category::Data => {
            Problem::unprocessable("bad-value", format!("the body does not fit: {error}"))
        }
        Category::Syntax | Category::Eof | Category::Io => {
            Problem::bad_request("bad-json", format!("the body is no JSON: {error}"))
        }
    })
}

fn too_large(longest: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        format!("the body may have {longest} bytes at most"),
    )
}

/// A missing Content-Type is taken for JSON, which is all that is spoken here.
fn is_json(headers: &HeaderMap) -> bool {
    header_text(headers, header::CONTENT_TYPE).is_none_or(|value| {
        let essence = value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
    })
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}
