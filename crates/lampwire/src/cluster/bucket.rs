//! A site's bucket: what it is called, how it is made, and questions to JetStream.

use std::fmt;

use async_nats::jetstream::context::RequestErrorKind;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, StorageType};
use async_nats::jetstream::{self, Context};
use async_nats::jetstream::{Error, ErrorCode};
use async_nats::{Client, Subject};
use lampwire_conf::Cluster;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::limits::MESSAGE_MAX;
use super::patience::Patience;
use super::reason;

/// What the things of one cluster are called in NATS.
#[derive(Clone, Debug)]
pub(super) struct Names {
    cluster: String,
}

impl Names {
    pub(super) fn new(cluster: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
        }
    }

    /// The stream that a site's bucket is.
    pub(super) fn stream(&self, site: &str) -> String {
        format!("KV_lampwire_{}_{site}", self.cluster)
    }

    /// What stands before each key of a site's bucket in the subjects of its stream.
    pub(super) fn keys(&self, site: &str) -> String {
        format!("$KV.lampwire_{}_{site}.", self.cluster)
    }

    /// What stands before each topic of messages that nobody keeps.
    pub(super) fn topics(&self) -> String {
        format!("lampwire.{}.", self.cluster)
    }
}

/// JetStream of a domain, or of the servers that are connected to.
pub(super) fn context(client: &Client, domain: Option<&str>, patience: &Patience) -> Context {
    let mut context = match domain {
        Some(domain) => jetstream::with_domain(client.clone(), domain),
        None => jetstream::new(client.clone()),
    };
    context.set_timeout(patience.now());
    context
}

/// Why JetStream did not do what it was asked for.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody is there to answer.
    Nobody,
    /// There was no answer.
    Silence,
    /// It said no.
    Refused(Error),
    /// The question could not be asked, or the answer is none.
    Other(String),
}

impl Trouble {
    fn is(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Refused(error) if error.error_code() == code)
    }

    /// It, in words.
    pub(super) fn of_domain(&self, domain: Option<&str>) -> String {
        match (self, domain) {
            (Self::Nobody, Some(domain)) => {
                format!("no server of the JetStream domain {domain} can be reached")
            }
            (Self::Nobody, None) => {
                "JetStream is not enabled there, or not for this account".to_owned()
            }
            (other, _) => other.to_string(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody is there who could answer"),
            Self::Silence => f.write_str("JetStream gives no answer"),
            Self::Refused(error) => write!(f, "JetStream says: {}", reason(&error.to_string())),
            Self::Other(text) => f.write_str(&reason(text)),
        }
    }
}

/// Asks JetStream.
pub(super) async fn ask<T: DeserializeOwned>(
    context: &Context,
    question: String,
    more: &impl Serialize,
) -> Result<T, Trouble> {
    match context.request(Subject::from(question), more).await {
        Ok(Response::Ok(answer)) => Ok(answer),
        Ok(Response::Err { error }) => Err(Trouble::Refused(error)),
        Err(error) => Err(match error.kind() {
            RequestErrorKind::NoResponders => Trouble::Nobody,
            RequestErrorKind::TimedOut => Trouble::Silence,
            RequestErrorKind::InvalidSubject | RequestErrorKind::Other => {
                Trouble::Other(error.to_string())
            }
        }),
    }
}

/// How a stream is; `None`: there is none of that name.
pub(super) async fn look(context: &Context, stream: &str) -> Result<Option<Info>, Trouble> {
    match ask(context, format!("STREAM.INFO.{stream}"), &()).await {
        Ok(info) => Ok(Some(info)),
        Err(trouble) if trouble.is(ErrorCode::STREAM_NOT_FOUND) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// Which stream it is: when it was made, to the nanosecond. One that was made anew under the same name is another.
pub(super) fn incarnation(info: &Info) -> u64 {
    let made = info.created.unix_timestamp_nanos();
    u64::try_from(made).unwrap_or_default()
}

/// The own site's bucket, which is made where there is none. True: it was made now.
pub(super) async fn ensure(
    context: &Context,
    names: &Names,
    settings: &Cluster,
) -> Result<(Info, bool), Trouble> {
    let wanted = wanted(names, settings);
    if let Some(info) = look(context, &wanted.name).await? {
        return Ok((info, false));
    }
    let question = format!("STREAM.CREATE.{}", wanted.name);
    match ask(context, question, &wanted).await {
        Ok(info) => Ok((info, true)),
        // Another node was faster, and is configured otherwise.
        Err(trouble) if trouble.is(ErrorCode::STREAM_NAME_EXIST) => {
            match look(context, &wanted.name).await? {
                Some(info) => Ok((info, false)),
                None => Err(trouble),
            }
        }
        Err(trouble) => Err(trouble),
    }
}

/// The bucket as the configuration has it: as the key-value buckets of other clients are, so that their tools show it.
fn wanted(names: &Names, settings: &Cluster) -> Config {
    Config {
        name: names.stream(&settings.site),
        description: Some("what Lampwire's nodes share".to_owned()),
        subjects: vec![format!("{}>", names.keys(&settings.site))],
        max_messages_per_subject: 1,
        max_bytes: settings
            .max_bytes
            .map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        max_messages: -1,
        max_consumers: -1,
        max_message_size: MESSAGE_MAX,
        // A full bucket says so, and does not drop what nobody would know to be missing.
        discard: DiscardPolicy::New,
        storage: match settings.in_memory {
            true => StorageType::Memory,
            false => StorageType::File,
        },
        num_replicas: usize::from(settings.replicas),
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        ..Config::default()
    }
}

/// What of a bucket is otherwise than this node is configured; an error where it cannot be used.
pub(super) fn differences(
    found: &Config,
    names: &Names,
    settings: &Cluster,
) -> Result<Vec<String>, String> {
    let wanted = wanted(names, settings);
    if !wanted.subjects.iter().all(|it| found.subjects.contains(it)) {
        return Err(format!(
            "the stream {} is there and is no bucket: its subjects are {}, not {}",
            wanted.name,
            reason(&found.subjects.join(", ")),
            wanted.subjects.join(", ")
        ));
    }
    let limit = |bytes: i64| match bytes {
        ..=0 => "no limit".to_owned(),
        bytes => format!("{bytes} bytes"),
    };
    let of = |config: &Config| {
        [
            ("replicas", config.num_replicas.to_string()),
            ("storage", format!("{:?}", config.storage).to_lowercase()),
            ("max_bytes", limit(config.max_bytes)),
            ("history", config.max_messages_per_subject.to_string()),
            ("max_age", format!("{} s", config.max_age.as_secs())),
            ("discard", format!("{:?}", config.discard).to_lowercase()),
            ("largest value", limit(config.max_message_size.into())),
        ]
    };
    let pairs = of(found).into_iter().zip(of(&wanted));
    Ok(pairs
        .filter(|(found, wanted)| found != wanted)
        .map(|((what, found), (_, wanted))| format!("{what} is {found}, not {wanted}"))
        .collect())
}
