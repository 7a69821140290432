//! GET /api/v1/events: server-sent events of everything that changes.
//!
//! `Last-Event-ID` resumes from what is still kept; where it is not, a `reset` event says so: read the lists anew. A client
//! that reads too slowly gets a `lost` event with the count. `?match=` keeps devices and mailboxes (and peers, and publications by
//! their resource) whose name it matches.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use lampwire_conf::Filter;
use serde::Deserialize;

use super::patience::Patience;
use super::problem::Problem;
use super::types::ProblemDocument;
use super::types::{LostEvent, ResetEvent};
use super::{Service, limits, query};
use crate::driver::events::{Begin, Message, Reader};

/// `?match=REGEX`, as written.
#[derive(Debug, Deserialize)]
pub(crate) struct Parameters {
    #[serde(rename = "match")]
    pattern: Option<String>,
}

/// Begins to follow.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", summary = "Server-sent events of everything that changes",
    description = "`event` is device (DeviceEvent), mailbox (MailboxEvent), peer (Peer), publication (PublicationEvent), lost (LostEvent) or reset (ResetEvent).",
    params(("match" = Option<String>, Query, description = "only names that this POSIX extended regular expression matches, without case"),
        ("Last-Event-ID" = Option<String>, Header, description = "go on behind this event")),
    responses((status = 200, description = "a stream without end", content_type = "text/event-stream", body = String),
        (status = 400, description = "match= is no regular expression", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "too many clients follow already", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn follow(
    State(service): State<Service>,
    Extension(patience): Extension<Patience>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let Query(parameters) =
        parameters.map_err(|error| Problem::bad_request("bad-query", error.body_text()))?;
    let filter = query::filter(parameters.pattern.as_deref())?;
    let begin = match headers
        .get("last-event-id")
        .map(|value| value.to_str().unwrap_or_default().trim())
    {
        None | Some("") => Begin::Now,
        // What is no number is none of ours, so nothing is kept after it.
        Some(id) => Begin::After(id.parse().unwrap_or(0)),
    };
    if service.node.event_readers() >= limits::EVENT_CLIENTS_MAX {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-clients",
            format!(
                "{} clients follow events already, which is the most",
                limits::EVENT_CLIENTS_MAX
            ),
        ));
    }
    let reader = service.node.read_events(begin).await?;
    patience.follow();
    let keep_alive = KeepAlive::new()
        .interval(limits::EVENTS_KEEP_ALIVE)
        .text("still here");
    Ok(Sse::new(events(reader, filter)).keep_alive(keep_alive))
}

fn events(
    reader: Reader,
    filter: Option<Arc<Filter>>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    // A comment at once: it carries the head of the answer to the client, and the number behind which it goes on when the connection
    // breaks before there was an event.
    let hello = Event::default().comment("following");
    let hello = Ok(match reader.behind() {
        Some(id) => hello.id(id.to_string()),
        // The reset that follows has it: who breaks off before must be told again.
        None => hello,
    });
    let changes = stream::unfold((reader, filter), |(mut reader, filter)| async move {
        loop {
            let event = match reader.next().await? {
                Message::Entry(entry) => {
                    if filter
                        .as_ref()
                        .is_some_and(|filter| !filter.is_match(&entry.name))
                    {
                        continue;
                    }
                    Event::default()
                        .id(entry.id.to_string())
                        .event(entry.kind.as_str())
                        .data(&entry.data)
                }
                Message::Lost { count, last } => told("lost", last, &LostEvent { lost: count }),
                Message::Reset { last } => {
                    let reason = "the events after this Last-Event-ID are not kept any more: read the lists anew";
                    told(
                        "reset",
                        last,
                        &ResetEvent {
                            reason: reason.to_owned(),
                        },
                    )
                }
            };
            return Some((Ok(event), (reader, filter)));
        }
    });
    stream::StreamExt::chain(stream::once(std::future::ready(hello)), changes)
}

fn told(kind: &str, last: u64, data: &impl serde::Serialize) -> Event {
    let data = serde_json::to_string(data).unwrap_or_default();
    Event::default().id(last.to_string()).event(kind).data(data)
}
