//! What is put into the own site's bucket, and what is said.
//!
//! Puts leave in the order in which they were asked for, many at once, each with a subject of its own for the answer. Nothing here waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::PurgeResponse;
use async_nats::message::OutboundMessage;
use async_nats::{Client, HeaderMap, Message, StatusCode, Subject};
use futures_util::FutureExt;
use lampwire_core::BusCommand;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::bucket::Names;
use super::patience::Patience;
use super::status::{Status, add, count};
use super::{Happened, reason};

/// What is put under a key that is withdrawn, as key-value clients do.
const OPERATION: &str = "KV-Operation";
const DELETED: &str = "DEL";

/// Puts and says, over one connection.
pub(super) struct Writer {
    client: Client,
    /// The stream that takes the puts, and what its subjects begin with.
    stream: String,
    keys: String,
    topics: String,
    /// What JetStream's own subjects begin with.
    api: String,
    /// Answers come to subjects that begin like this and end with a number.
    inbox: String,
    flights: BTreeMap<u64, Flight>,
    patience: Patience,
    status: Arc<Status>,
}

/// Something that is on its way.
struct Flight {
    since: Instant,
    /// The place up to which a key is erased; `None`: something is put.
    erases: Option<u64>,
}

impl Writer {
    pub(super) fn new(
        client: Client,
        names: &Names,
        site: &str,
        domain: Option<&str>,
        status: Arc<Status>,
    ) -> Self {
        let inbox = client.new_inbox();
        Self {
            client,
            stream: names.stream(site),
            keys: names.keys(site),
            topics: names.topics(),
            api: domain.map_or("$JS.API".to_owned(), |domain| format!("$JS.{domain}.API")),
            inbox,
            flights: BTreeMap::new(),
            patience: Patience::new(),
            status,
        }
    }

    /// Where answers come.
    pub(super) fn inbox(&self) -> String {
        format!("{}.*", self.inbox)
    }

    /// Does what the node wants; a reading is not for this. Gives what becomes of it at once where it cannot leave.
    pub(super) fn take(&mut self, command: BusCommand) -> Option<Happened> {
        match command {
            BusCommand::Put { number, key, bytes } => {
                let subject = format!("{}{key}", self.keys);
                self.put(number, subject, None, bytes, None)
            }
            BusCommand::Withdraw { number, key } => {
                let mut headers = HeaderMap::new();
                headers.insert(OPERATION, DELETED);
                let subject = format!("{}{key}", self.keys);
                self.put(number, subject, Some(headers), Vec::new(), None)
            }
            BusCommand::Erase { number, key, at } => {
                // JetStream stops before the number that it is given.
                let which =
                    json!({"filter": format!("{}{key}", self.keys), "seq": at.saturating_add(1)});
                let subject = format!("{}.STREAM.PURGE.{}", self.api, self.stream);
                let bytes = which.to_string().into_bytes();
                self.put(number, subject, None, bytes, Some(at))
            }
            BusCommand::Say { topic, bytes } => {
                let subject = format!("{}{topic}", self.topics);
                let length = subject.len() + bytes.len();
                let message = outbound(subject, None, None, bytes);
                match self.send(message) {
                    Ok(()) => {
                        count(&self.status.said);
                        add(&self.status.bytes_out, length);
                    }
                    Err(_) => count(&self.status.unsaid),
                }
                None
            }
            BusCommand::Read { .. } => None,
        }
    }

    fn put(
        &mut self,
        number: u64,
        subject: String,
        headers: Option<HeaderMap>,
        bytes: Vec<u8>,
        erases: Option<u64>,
    ) -> Option<Happened> {
        let length = subject.len() + bytes.len();
        let reply = format!("{}.{number}", self.inbox);
        let message = outbound(subject, Some(reply), headers, bytes);
        if let Err(why) = self.send(message) {
            count(&self.status.refused);
            let result = Err(why);
            return Some(Happened::Stored { number, result });
        }
        add(&self.status.bytes_out, length);
        let since = Instant::now();
        self.flights.insert(number, Flight { since, erases });
        self.note_flights();
        None
    }

    /// Hands it to the client, which writes it when it can. Where there is no room the connection is stuck.
    fn send(&self, message: OutboundMessage) -> Result<(), String> {
        let OutboundMessage {
            subject,
            reply,
            payload,
            headers,
        } = message;
        let client = &self.client;
        let sent = async {
            match (reply, headers) {
                (Some(reply), Some(headers)) => {
                    client
                        .publish_with_reply_and_headers(subject, reply, headers, payload)
                        .await
                }
                (Some(reply), None) => client.publish_with_reply(subject, reply, payload).await,
                (None, _) => client.publish(subject, payload).await,
            }
        };
        // Without tokio's budget, or it would say that it waits because much was done before it.
        match tokio::task::unconstrained(sent).now_or_never() {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(reason(&error.to_string())),
            None => Err("the connection does not take anything".to_owned()),
        }
    }

    /// An answer has come.
    pub(super) fn answered(&mut self, message: &Message) -> Option<Happened> {
        let number = message.subject.rsplit('.').next()?.parse().ok()?;
        // One that nobody waits for any more came too late.
        let flight = self.flights.remove(&number)?;
        self.patience.answered(flight.since.elapsed());
        self.note_flights();
        let result = match message.status {
            Some(StatusCode::NO_RESPONDERS) => {
                Err("no server has the bucket at the moment".to_owned())
            }
            _ => match flight.erases {
                Some(at) => answer::<PurgeResponse>(&message.payload).map(|_| at),
                None => answer::<PublishAck>(&message.payload).and_then(|ack| {
                    match ack.stream == self.stream {
                        true => Ok(ack.sequence),
                        false => Err(format!(
                            "another stream, {}, takes what is meant for {}",
                            reason(&ack.stream),
                            self.stream
                        )),
                    }
                }),
            },
        };
        count(match result {
            Ok(_) => &self.status.stored,
            Err(_) => &self.status.refused,
        });
        Some(Happened::Stored { number, result })
    }

    /// What nobody has answered in time. `hint`: what the server has said lately.
    pub(super) fn overdue(&mut self, hint: Option<&str>) -> Vec<Happened> {
        let patience = self.patience.now();
        let due = self.flights.iter();
        let due = due.filter(|(_, flight)| flight.since.elapsed() >= patience);
        let numbers: Vec<u64> = due.map(|(number, _)| *number).collect();
        if !numbers.is_empty() {
            self.patience.disappointed();
        }
        let why = || {
            let seconds = patience.as_secs_f32();
            match hint {
                Some(hint) => format!("no answer in {seconds:.1} s; the server says: {hint}"),
                None => format!("no answer in {seconds:.1} s"),
            }
        };
        let overdue = numbers.into_iter().map(|number| {
            self.flights.remove(&number);
            count(&self.status.unanswered);
            let result = Err(why());
            Happened::Stored { number, result }
        });
        let overdue = overdue.collect();
        self.note_flights();
        overdue
    }

    /// Whether anything is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.flights.is_empty()
    }

    fn note_flights(&self) {
        let count = self.flights.len() as u64;
        self.status.in_flight.store(count, Ordering::Relaxed);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.status.in_flight.store(0, Ordering::Relaxed);
    }
}

/// Whether a message is a mark that its key was withdrawn, of this program or of another.
pub(super) fn is_withdrawn(message: &Message) -> bool {
    let Some(headers) = &message.headers else {
        return false;
    };
    let operation = headers.get(OPERATION).map(|value| value.as_str());
    // The servers' own marks, where a key has run out.
    operation.is_some_and(|it| it == DELETED || it == "PURGE")
        || headers.get("Nats-Marker-Reason").is_some()
}

fn outbound(
    subject: String,
    reply: Option<String>,
    headers: Option<HeaderMap>,
    bytes: Vec<u8>,
) -> OutboundMessage {
    OutboundMessage {
        subject: Subject::from(subject),
        reply: reply.map(Subject::from),
        payload: bytes.into(),
        headers,
    }
}

/// What JetStream answers, or why it did not do it.
fn answer<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    match serde_json::from_slice(bytes) {
        Ok(Response::Ok(answer)) => Ok(answer),
        Ok(Response::Err { error }) => Err(reason(&error.to_string())),
        Err(error) => Err(format!("JetStream's answer is none: {error}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn message(headers: Option<HeaderMap>) -> Message {
        Message {
            subject: "a".into(),
            reply: None,
            payload: "".into(),
            headers,
            status: None,
            description: None,
            length: 1,
        }
    }

    #[test]
    fn marks_are_known() {
        assert!(!is_withdrawn(&message(None)));
        for (name, value, is) in [
            (OPERATION, "DEL", true),
            (OPERATION, "PURGE", true),
            (OPERATION, "PUT", false),
            ("Nats-Marker-Reason", "MaxAge", true),
            ("Other", "DEL", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value);
            assert_eq!(is_withdrawn(&message(Some(headers))), is, "{name} {value}");
        }
    }

    #[test]
    fn answers_are_read() {
        let stored = answer::<PublishAck>(br#"{"stream":"KV_a", "seq":7}"#).unwrap();
        assert_eq!((stored.stream.as_str(), stored.sequence), ("KV_a", 7));
        let refused = br#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"KV_a","seq":0}"#;
        let why = answer::<PublishAck>(refused).unwrap_err();
        assert!(why.contains("maximum bytes exceeded"), "{why}");
        let erased = br#"{"type":"io.nats.jetstream.api.v1.stream_purge_response","success":true,"purged":1}"#;
        assert!(answer::<PurgeResponse>(erased).is_ok());
        assert!(answer::<PublishAck>(b"hello").is_err());
    }
}
