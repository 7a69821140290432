//! `lampwire watch`: changes as they come.

use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::node::NodeArguments;
use super::output;
use super::show::speaker;
use super::table::colour_of;
use crate::http::types::{DeviceEvent, LostEvent, MailboxEvent, Peer, PublicationEvent};

/// How long to wait before a broken connection is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The longest line of the stream that is taken for one: longer than any event of a node.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Print changes as they come
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only those whose name this regular expression matches (POSIX extended, without case, as in filters)
    #[arg(value_name = "MATCH")]
    pattern: Option<String>,

    /// End after so many changes
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    #[command(flatten)]
    node: NodeArguments,
}

impl Arguments {
    /// Follows the node's events, for ever unless --count is given; a connection that breaks is made again and goes on where it was.
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        let client = self.node.client()?;
        let mut last_id: Option<String> = None;
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut stream = client.events(self.pattern.as_deref(), None)?;
        loop {
            let mut lines = BufReader::new(stream);
            while let Some(event) = next_event(&mut lines, &mut last_id) {
                self.print(&event)?;
                left -= u64::from(event.is_change());
                if left == 0 {
                    return Ok(());
                }
            }
            eprintln!("the connection is lost; trying again");
            stream = loop {
                std::thread::sleep(RETRY);
                if let Ok(stream) = client.events(self.pattern.as_deref(), last_id.as_deref()) {
                    match last_id {
                        Some(_) => eprintln!("connected again"),
                        None => eprintln!("connected again; what changed meanwhile is not shown"),
                    }
                    break stream;
                }
            };
        }
    }

    fn print(&self, event: &Event) -> anyhow::Result<()> {
        let mut out = output::stdout();
        if self.node.json {
            let data: Value = serde_json::from_str(&event.data)?;
            let id = event.id.as_deref().and_then(|id| id.parse::<u64>().ok());
            writeln!(
                out,
                "{}",
                json!({"id": id, "event": event.kind, "data": data})
            )?;
        } else {
            let event = event.in_print();
            writeln!(out, "{}", line(&event, self.node.colour())?)?;
        }
        out.flush()?;
        Ok(())
    }
}

/// One event of the stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    id: Option<String>,
    kind: String,
    data: String,
}

impl Event {
    /// The same with every text in it as it may be printed.
    fn in_print(&self) -> Self {
        fn each(value: &mut Value) {
            match value {
                Value::String(text) => *text = output::plain(text).into_owned(),
                Value::Array(items) => items.iter_mut().for_each(each),
                Value::Object(members) => members.values_mut().for_each(each),
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        let data = match serde_json::from_str::<Value>(&self.data) {
            Ok(mut data) => {
                each(&mut data);
                data.to_string()
            }
            // It is told as what it is not.
            Err(_) => self.data.clone(),
        };
        Self {
            id: self.id.clone(),
            kind: output::plain(&self.kind).into_owned(),
            data: output::plain(&data).into_owned(),
        }
    }

    /// Something of the node changed, as against a word about the stream itself.
    fn is_change(&self) -> bool {
        !matches!(self.kind.as_str(), "lost" | "reset")
    }
}

/// Reads the next event that has data. `last_id` becomes the last id that was read, with data or without, once its block has
/// ended. `None`: the stream has ended or is broken.
fn next_event(lines: &mut impl BufRead, last_id: &mut Option<String>) -> Option<Event> {
    let mut event = Event::default();
    loop {
        let mut line = Vec::new();
        let length = lines
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .ok()?;
        if length == 0 || line.last() != Some(&b'\n') {
            return None;
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches(['\n', '\r']);
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => {
                if event.id.is_some() {
                    last_id.clone_from(&event.id);
                }
                if !event.data.is_empty() {
                    return Some(event);
                }
                event = Event::default();
            }
            "id" => event.id = Some(value.to_owned()),
            "event" => event.kind = value.to_owned(),
            "data" => {
                if !event.data.is_empty() {
                    event.data.push('\n');
                }
                event.data.push_str(value);
            }
            // A comment, or a field that does not matter here.
            _ => (),
        }
    }
}

/// An event as a line for people.
fn line(event: &Event, colour: bool) -> Result<String, serde_json::Error> {
    let paint = |word: &str| match colour_of(word) {
        Some(code) if colour => format!("\x1b[{code}m{word}\x1b[0m"),
        _ => word.to_owned(),
    };
    Ok(match event.kind.as_str() {
        "device" => {
            let DeviceEvent {
                device,
                eid,
                previous,
            } = serde_json::from_str(&event.data)?;
            let said = device.entities.iter().find(|entity| entity.eid == eid);
            let time = said.map_or("", |entity| clock(&entity.updated_at));
            let who = said.map_or_else(
                || eid.clone(),
                |entity| speaker(entity.peer.as_deref(), &entity.source),
            );
            let now = said.map_or("INVALID", |entity| &entity.state);
            let sum = if device.entities.len() > 1 {
                format!(", sum {}", paint(&device.state))
            } else {
                String::new()
            };
            let before = previous
                .as_deref()
                .map(|state| format!("{} -> ", paint(state)))
                .unwrap_or_default();
            format!(
                "{time} device {} {before}{} ({who}{sum})",
                device.device,
                paint(now)
            )
        }
        "mailbox" => {
            let MailboxEvent {
                mailbox,
                owner,
                said,
                previous,
            } = serde_json::from_str(&event.data)?;
            let time = clock(
                said.as_ref()
                    .map_or(&mailbox.updated_at, |it| &it.updated_at),
            );
            let who = said.as_ref().map_or_else(
                || mailbox.eid.clone(),
                |said| speaker(said.peer.as_deref(), &said.source),
            );
            let before = previous
                .map(|counts| format!("{}/{} -> ", counts.new, counts.old))
                .unwrap_or_default();
            let (new, old) = said.as_ref().map_or((0, 0), |said| (said.new, said.old));
            let shown = match owner {
                Some(owner) if owner != mailbox.eid => {
                    let owner = mailbox.peer.as_deref().unwrap_or(&owner);
                    format!(", shows {}/{} of {owner}", mailbox.new, mailbox.old)
                }
                Some(_) | None => String::new(),
            };
            format!(
                "{time} mailbox {} {before}{new}/{old} ({who}{shown})",
                mailbox.mailbox
            )
        }
        "peer" => {
            let peer: Peer = serde_json::from_str(&event.data)?;
            format!("{} peer {} {}", now(), peer.name, paint(&peer.status))
        }
        "publication" => {
            let PublicationEvent { publication, ended } = serde_json::from_str(&event.data)?;
            let how = ended.map_or_else(|| "began".to_owned(), |why| format!("ended ({why})"));
            format!(
                "{} publication {} of {} to {}, {}, {how}",
                now(),
                publication.id,
                publication.endpoint,
                publication.resource,
                publication.event
            )
        }
        "lost" => {
            let LostEvent { lost } = serde_json::from_str(&event.data)?;
            format!(
                "{} {lost} changes are lost: this terminal reads too slowly",
                now()
            )
        }
        "reset" => format!(
            "{} changes are lost: the node keeps only the last ones",
            now()
        ),
        other => format!("{} {other} {}", now(), event.data),
    })
}

/// The time of the day of an RFC 3339 moment, as it is written (UTC).
fn clock(moment: &str) -> &str {
    moment.split_once('T').map_or(moment, |(_, time)| time)
}

fn now() -> String {
    clock(&format!("{:.3}", jiff::Timestamp::now())).to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn events_are_read_from_a_stream() {
        let text = b": following\nid: 6\n\nid: 7\nevent: device\ndata: {}\n\n: still here\n\nevent:peer\ndata:{\ndata:}\r\n\r\nid: 9\nda";
        let mut lines = BufReader::new(&text[..]);
        let mut last_id = None;
        let first = next_event(&mut lines, &mut last_id).unwrap();
        assert_eq!(
            (
                first.id.as_deref(),
                first.kind.as_str(),
                first.data.as_str()
            ),
            (Some("7"), "device", "{}")
        );
        let second = next_event(&mut lines, &mut last_id).unwrap();
        assert_eq!(
            (second.id, second.kind.as_str(), second.data.as_str()),
            (None, "peer", "{\n}")
        );
        // What was cut off counts for nothing.
        assert_eq!(next_event(&mut lines, &mut last_id), None);
        assert_eq!(last_id.as_deref(), Some("7"));
        let mut greeting = BufReader::new(&b": following\nid: 6\n\n"[..]);
        assert_eq!(next_event(&mut greeting, &mut last_id), None);
        assert_eq!(last_id.as_deref(), Some("6"));
    }

    #[test]
    fn a_change_of_a_device_is_one_line() {
        let event = Event {
            id: None,
            kind: "device".to_owned(),
            data: r#"{"device":"PJSIP/1","state":"RINGINUSE","entities":[
                {"eid":"02:00:00:00:00:01","state":"INUSE","cachable":true,"source":"local","peer":null,"updated_at":"2026-11-22T10:00:00.123Z"},
                {"eid":"02:00:00:00:00:02","state":"RINGING","cachable":true,"source":"publication","peer":"office2","updated_at":"2026-11-22T10:00:01.123Z"}],
                "eid":"02:00:00:00:00:02","previous":"NOT_INUSE"}"#.to_owned(),
        };
        assert_eq!(
            line(&event, false).unwrap(),
            "10:00:01.123Z device PJSIP/1 NOT_INUSE -> RINGING (office2, sum RINGINUSE)"
        );
        assert!(
            line(&event, true)
                .unwrap()
                .contains("\x1b[33mRINGING\x1b[0m")
        );
    }

    #[test]
    fn no_word_in_an_event_leads_the_terminal() {
        let event = |kind: &str, data: &str| Event {
            id: None,
            kind: kind.to_owned(),
            data: data.to_owned(),
        };
        let peer = event(
            "peer",
            r#"{"name":"a\u001b[2J","entity_id":null,"status":"up","endpoints":[],"publishers":[],"publications":0,
                "last_heard":null,"round_trip_ms":null,"canary_ms":null,"behind":0,"notes":[]}"#,
        );
        let told = line(&peer.in_print(), false).unwrap();
        assert!(told.ends_with(r"peer a\u{1b}[2J up"), "{told}");
        let told = line(&event("\u{1b}x", "\u{9b}1m").in_print(), false).unwrap();
        assert!(told.ends_with(r"\u{1b}x \u{9b}1m"), "{told}");
    }

    #[test]
    fn a_change_of_a_mailbox_is_one_line() {
        let said = |data: &str| {
            let event = Event {
                id: None,
                kind: "mailbox".to_owned(),
                data: data.to_owned(),
            };
            line(&event, false).unwrap()
        };
        assert_eq!(
            said(
                r#"{"mailbox":"100@default","new":3,"old":2,"eid":"02:00:00:00:00:01","source":"publication","peer":"office2",
                "updated_at":"2026-11-22T10:00:00.123Z","owner":"02:00:00:00:00:01","previous":{"new":2,"old":2},
                "said":{"new":3,"old":2,"source":"publication","peer":"office2","updated_at":"2026-11-22T10:00:00.123Z"}}"#
            ),
            "10:00:00.123Z mailbox 100@default 2/2 -> 3/2 (office2)"
        );
        assert_eq!(
            said(
                r#"{"mailbox":"100@default","new":3,"old":2,"eid":"02:00:00:00:00:02","source":"publication","peer":"office2",
                "updated_at":"2026-11-22T10:00:00.123Z","owner":"02:00:00:00:00:01","previous":null,
                "said":{"new":0,"old":0,"source":"publication","peer":"office3","updated_at":"2026-11-22T10:01:00.123Z"}}"#
            ),
            "10:01:00.123Z mailbox 100@default 0/0 (office3, shows 3/2 of office2)"
        );
        assert_eq!(
            said(
                r#"{"mailbox":"100@default","new":0,"old":0,"eid":"02:00:00:00:00:02","source":"publication","peer":"office2",
                "updated_at":"2026-11-22T10:00:00.123Z","owner":null,"previous":{"new":1,"old":0},"said":null}"#
            ),
            "10:00:00.123Z mailbox 100@default 1/0 -> 0/0 (02:00:00:00:00:02)"
        );
    }
}
