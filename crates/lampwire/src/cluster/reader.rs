//! A site's bucket as it is read: everything that stands there, or what was written behind a place, and then the news.
//!
//! A consumer is pulled, so that no more is on its way than is taken. Of 100,000 keys, pushing brings them in 0.4 s and pulling in 0.6 s, but a pushed
//! consumer may have 32 MB on its way, and drops what the node is too slow for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::pull::{Config, MessagesErrorKind};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::message::Message;
use async_nats::jetstream::stream::{ConsumerErrorKind, Info};
use futures_util::StreamExt;
use lampwire_bus::limits::RECORD;
use lampwire_core::Place;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::bucket::{self, Trouble};
use super::limits;
use super::patience::Patience;
use super::status::{Status, add, count};
use super::writer::is_withdrawn;
use super::{Happened, reason};

/// What is to be read, and from where.
pub(super) struct Plan {
    pub(super) site: Arc<str>,
    pub(super) context: Context,
    pub(super) patience: Arc<Patience>,
    pub(super) domain: Option<String>,
    pub(super) stream: String,
    /// What the subjects of its keys begin with.
    pub(super) keys: String,
    /// Only keys that are for all sites.
    pub(super) wide: bool,
    pub(super) from: Option<Place>,
    /// What the consumer is called, so that whoever looks at the servers knows whose it is.
    pub(super) consumer: String,
}

impl Plan {
    /// There was no answer; and why the reading is over.
    fn silence(&self) -> String {
        self.patience.disappointed();
        Trouble::Silence.to_string()
    }
}

/// Reads it, until it cannot be read any more; that is told.
pub(super) async fn read(plan: Plan, tell: mpsc::Sender<Happened>, status: Arc<Status>) {
    let Err(why) = follow(&plan, &tell, &status).await;
    count(&status.readings_ended);
    let site = plan.site;
    // An error: the node has ended.
    let _ = tell.send(Happened::Failed { site, why }).await;
}

async fn follow(
    plan: &Plan,
    tell: &mpsc::Sender<Happened>,
    status: &Status,
) -> Result<Infallible, String> {
    let info = look(plan).await?;
    let incarnation = bucket::incarnation(&info);
    let last = info.state.last_sequence;
    let from = plan
        .from
        .filter(|place| place.incarnation == incarnation && place.at <= last);
    let deliver_policy = match from {
        Some(place) => DeliverPolicy::ByStartSequence {
            start_sequence: place.at + 1,
        },
        // The same where each key has one message, and old servers need seconds to find the last one of each of a million keys.
        None if info.config.max_messages_per_subject == 1 => DeliverPolicy::All,
        None => DeliverPolicy::LastPerSubject,
    };
    let config = Config {
        name: Some(plan.consumer.clone()),
        description: Some("a Lampwire node reads".to_owned()),
        deliver_policy,
        ack_policy: AckPolicy::None,
        filter_subject: match plan.wide {
            true => format!("{}{}.>", plan.keys, lampwire_bus::Scope::Wide.as_str()),
            false => String::new(),
        },
        inactive_threshold: limits::READER_KEPT,
        memory_storage: true,
        num_replicas: 1,
        ..Config::default()
    };
    let asked = Instant::now();
    let consumer = plan
        .context
        .create_consumer_on_stream(config, plan.stream.as_str())
        .await
        .map_err(|error| match error.kind() {
            ConsumerErrorKind::TimedOut => plan.silence(),
            _ => reason(&error.to_string()),
        })?;
    plan.patience.answered(asked.elapsed());
    if bucket::incarnation(&look(plan).await?) != incarnation {
        return Err("the bucket was made anew just now".to_owned());
    }
    let pending = consumer.cached_info().num_pending;
    let mut messages = consumer
        .stream()
        .max_messages_per_batch(limits::READ_BATCH)
        .expires(limits::READ_EXPIRES)
        .heartbeat(limits::READ_HEARTBEAT)
        .messages()
        .await
        .map_err(|error| reason(&error.to_string()))?;
    count(&status.readings);
    let opened = Happened::Opened {
        site: Arc::clone(&plan.site),
        incarnation,
        whole: from.is_none(),
        pending,
        last,
    };
    send(tell, opened).await?;
    let (mut behind, mut number) = (pending > 0, 0);
    loop {
        let patience = match behind {
            true => limits::READ_STALLED,
            false => Duration::MAX,
        };
        let message = match timeout(patience, messages.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return Err(over(error.kind(), &error)),
            Ok(None) => return Err("the reading has ended".to_owned()),
            Err(_) => {
                return Err(format!(
                    "there is more to be read, and for {} s nothing has come",
                    limits::READ_STALLED.as_secs()
                ));
            }
        };
        let place = place_of(&message)?;
        number += 1;
        if place.consumer != number {
            return Err(format!(
                "record {number} of the reading is missing: {} came",
                place.consumer
            ));
        }
        // What comes behind the last one that was there at the beginning is news, however the servers count.
        let pending = match behind && place.stream >= last {
            true => 0,
            false => place.pending,
        };
        behind &= pending > 0;
        count(&status.records);
        add(
            &status.bytes_in,
            message.subject.len() + message.payload.len(),
        );
        send(tell, record(plan, message, place.stream, pending)).await?;
    }
}

async fn look(plan: &Plan) -> Result<Info, String> {
    match bucket::look(&plan.context, &plan.stream).await {
        Ok(Some(info)) => Ok(info),
        Ok(None) => Err(format!("there is no bucket {}", plan.stream)),
        Err(Trouble::Silence) => Err(plan.silence()),
        Err(trouble) => Err(trouble.of_domain(plan.domain.as_deref())),
    }
}

async fn send(tell: &mpsc::Sender<Happened>, happened: Happened) -> Result<(), String> {
    let sent = tell.send(happened).await;
    sent.map_err(|_| "the node has ended".to_owned())
}

/// Where a message stands.
struct Numbers {
    stream: u64,
    /// In the reading, from 1 on, without gaps.
    consumer: u64,
    pending: u64,
}

fn place_of(message: &Message) -> Result<Numbers, String> {
    let info = message
        .info()
        .map_err(|error| format!("a record without a place has come: {error}"))?;
    Ok(Numbers {
        stream: info.stream_sequence,
        consumer: info.consumer_sequence,
        pending: info.pending,
    })
}

fn record(plan: &Plan, message: Message, at: u64, pending: u64) -> Happened {
    let mut message = message.message;
    // Longer than any record is: too long already says that it is none.
    message.payload.truncate(RECORD + 1);
    Happened::Record {
        site: Arc::clone(&plan.site),
        at,
        pending,
        key: match message.subject.starts_with(&plan.keys) {
            true => plan.keys.len(),
            // Of a bucket that takes other subjects too: it counts, and is none that anybody knows.
            false => message.subject.len(),
        },
        withdrawn: is_withdrawn(&message),
        message,
    }
}

/// Why a reading is over.
fn over(kind: MessagesErrorKind, error: &impl ToString) -> String {
    match kind {
        MessagesErrorKind::MissingHeartbeat => format!(
            "the servers have shown nothing of it for {} s",
            2 * limits::READ_HEARTBEAT.as_secs()
        ),
        MessagesErrorKind::ConsumerDeleted => {
            "the servers have ended the reading: the bucket was removed, or its leader is another"
                .to_owned()
        }
        MessagesErrorKind::NoResponders => "no server has the bucket at the moment".to_owned(),
        _ => reason(&error.to_string()),
    }
}
