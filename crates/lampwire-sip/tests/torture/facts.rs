//! What a message says, as text, so that the tables can name it.

use std::fmt::Display;

use lampwire_sip::{Defect, HeaderName, Message, NameAddr, StartLine, Uri, UriError};

/// The value of one fact: `-` where there is none, `400` and the reason where it cannot be read.
pub(crate) fn fact(message: &Message<'_>, key: &str) -> String {
    let (head, tail) = key.split_once('.').unwrap_or((key, ""));
    match (head, tail) {
        ("method", "") => match message.start() {
            StartLine::Request { method, .. } => method.as_str().to_owned(),
            StartLine::Response { .. } => "-".to_owned(),
        },
        ("status", "") => match message.start() {
            StartLine::Response { status, .. } => status.to_string(),
            StartLine::Request { .. } => "-".to_owned(),
        },
        ("reason", "") => match message.start() {
            StartLine::Response { reason, .. } => reason.to_owned(),
            StartLine::Request { .. } => "-".to_owned(),
        },
        ("uri", part) => match message.start() {
            StartLine::Request { uri, .. } => uri_fact(uri, part),
            StartLine::Response { .. } => "-".to_owned(),
        },
        ("vias", "") => message.list(HeaderName::Via).count().to_string(),
        ("via", part) => read(message.via(), |via| match part {
            "" => via.to_string(),
            "transport" => via.transport.as_str().to_owned(),
            "host" => via.host.to_string(),
            "port" => or_none(via.port),
            "branch" => or_none(via.branch),
            "received" => or_none(via.received),
            "rport" => via.rport.map_or("-".to_owned(), |port| {
                port.map_or("asked".to_owned(), |port| port.to_string())
            }),
            other => panic!("no fact of Via: {other}"),
        }),
        ("from", part) => address(message.from(), part),
        ("to", part) => address(message.to(), part),
        ("call_id", "") => read(message.call_id(), str::to_owned),
        ("cseq", "") => read(message.cseq(), |cseq| cseq.to_string()),
        ("max_forwards", "") => read(message.max_forwards(), or_none),
        ("event", "") => read(message.event(), |event| {
            or_none(event.map(|event| event.package))
        }),
        ("event", "id") => read(message.event(), |event| {
            or_none(event.and_then(|event| event.id))
        }),
        ("expires", "") => read(message.expires(), or_none),
        ("min_expires", "") => read(message.min_expires(), or_none),
        ("retry_after", "") => read(message.retry_after(), or_none),
        ("etag", "") => or_none(message.etag()),
        ("if_match", "") => or_none(message.if_match()),
        ("content_type", "") => or_none(message.content_type()),
        ("is_json", "") => message
            .content_type()
            .is_some_and(|it| it.is("application", "json"))
            .to_string(),
        ("require", "") => joined(message.require()),
        ("list", name) => joined(message.list(HeaderName::parse(name.as_bytes()))),
        ("named", name) => joined(message.header_named(name)),
        ("credentials", part) => joined(message.credentials().map(|credentials| {
            read(credentials, |credentials| match part {
                "" => credentials.to_string(),
                "username" => credentials.username.into_owned(),
                "realm" => credentials.realm.into_owned(),
                "nc" => or_none(credentials.nc),
                "algorithm" => credentials.algorithm.as_str().to_owned(),
                "qop" => or_none(credentials.qop.map(|qop| qop.as_str())),
                other => panic!("no fact of credentials: {other}"),
            })
        })),
        ("challenges", part) => joined(message.challenges().map(|challenge| {
            read(challenge, |challenge| match part {
                "realm" => challenge.realm.into_owned(),
                "stale" => challenge.stale.to_string(),
                "algorithm" => challenge
                    .algorithm
                    .map_or("unknown", |algorithm| algorithm.as_str())
                    .to_owned(),
                "qop" => format!(
                    "auth={} auth-int={}",
                    challenge.qop.auth, challenge.qop.auth_int
                ),
                other => panic!("no fact of a challenge: {other}"),
            })
        })),
        ("body", "") => String::from_utf8_lossy(message.body()).into_owned(),
        _ => panic!("no fact: {key}"),
    }
}

fn read<T>(value: Result<T, Defect>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|defect| format!("{} {defect}", defect.status()), text)
}

fn or_none<T: Display>(value: Option<T>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

fn joined(values: impl Iterator<Item = impl Display>) -> String {
    values
        .map(|value| value.to_string())
        .collect::<Vec<_>>()
        .join(" | ")
}

fn address(value: Result<NameAddr<'_>, Defect>, part: &str) -> String {
    read(value, |address| match part {
        "" => address.to_string(),
        "display" => or_none(address.display),
        "tag" => or_none(address.tag()),
        "params" => address.params.as_str().to_owned(),
        part => match part.strip_prefix("uri") {
            Some(part) => uri_fact(address.uri, part.trim_start_matches('.')),
            None => panic!("no fact of an address: {part}"),
        },
    })
}

fn uri_fact(text: &str, part: &str) -> String {
    if part.is_empty() {
        return text.to_owned();
    }
    let uri = match Uri::parse(text) {
        Ok(uri) => uri,
        Err(error) => return refusal(error),
    };
    match part {
        "scheme" => uri.scheme.as_str().to_owned(),
        "user" => or_none(uri.user_unescaped()),
        "password" => or_none(uri.password),
        "host" => uri.host.to_string(),
        "port" => or_none(uri.port),
        "params" => uri.params.as_str().to_owned(),
        "headers" => or_none(uri.headers),
        other => panic!("no fact of a URI: {other}"),
    }
}

fn refusal(error: UriError) -> String {
    format!("400 {error}")
}
