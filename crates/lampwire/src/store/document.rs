//! What is kept, as JSON for people and other programs: a line that says what it is, then a line for each record.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::Timestamp;
use lampwire_core::store::{
    KeptLane, KeptPublication, KeptRewrite, KeptState, KeptTaking, KeptTerms, KeptValue, Record,
};
use lampwire_core::{Source, WallTime};
use lampwire_sip::{DeviceState, EntityId, EventPackage, Version};
use serde::{Deserialize, Serialize};

/// The version of the document that is written. Those before it are read too: version 1 has no `terms` and `taking`.
const VERSION: u32 = 2;

/// The longest line that is read: a record holds a few names and a tag.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// The most records that are read: more states, publications and lanes than a node can have.
const RECORDS_MAX: usize = 4_000_000;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// The version of the document.
    lampwire_states: u32,
    /// Whose states they are.
    entity_id: String,
}

/// A record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
enum Line {
    Life {
        life: u64,
    },
    Device {
        device: String,
        state: String,
        #[serde(flatten)]
        about: About,
    },
    Mailbox {
        mailbox: String,
        new: u16,
        old: u16,
        #[serde(flatten)]
        about: About,
    },
    Publication {
        id: u32,
        generation: u32,
        endpoint: String,
        resource: String,
        event: String,
        remote: SocketAddr,
        created_at: String,
        expires_at: String,
        states: u64,
    },
    Lane {
        publish: String,
        server_uri: String,
        lane: u16,
        tag: Option<String>,
        call_id: String,
        cseq: u32,
        expires_at: String,
        confirmed: u64,
    },
    Peer {
        name: String,
        eid: String,
    },
    Closed {
        in_order: bool,
    },
    Terms {
        publish: String,
        server_uri: String,
        relay: bool,
        filter: Option<String>,
        eid: Option<String>,
        rewrites: Vec<Rules>,
    },
    Taking {
        peer: String,
        devices: bool,
        mailboxes: bool,
        device_filter: Option<String>,
        mailbox_filter: Option<String>,
        rewrites: Vec<Rules>,
    },
}

/// The rules of a rewrite section.
#[derive(Debug, Serialize, Deserialize)]
struct Rules {
    devices: Vec<String>,
    mailboxes: Vec<String>,
    /// The peer's and ours.
    states: Vec<(String, String)>,
}

/// What devices and mailboxes have in common.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    eid: String,
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    /// The node that stamped the value, and its number.
    by: String,
    seq: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lost: bool,
    /// Deleted, and not every peer has been told so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    gone: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    owner: bool,
    rev: u64,
    updated_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
}

/// Writes everything. Records that say that there is nothing are left out.
pub(crate) fn write(
    out: &mut impl Write,
    entity_id: EntityId,
    records: &[Record],
) -> io::Result<()> {
    let head = Head {
        lampwire_states: VERSION,
        entity_id: entity_id.to_string(),
    };
    serde_json::to_writer(&mut *out, &head)?;
    writeln!(out)?;
    for line in records.iter().filter_map(line_of) {
        serde_json::to_writer(&mut *out, &line)?;
        writeln!(out)?;
    }
    Ok(())
}

/// Reads a whole document: whose it is, and its records. An error names the line.
pub(crate) fn read(from: impl BufRead) -> anyhow::Result<(EntityId, Vec<Record>)> {
    let mut from = from;
    let mut records = Vec::new();
    let mut entity_id = None;
    let mut text = String::new();
    for number in 1_usize.. {
        text.clear();
        let length = io::Read::take(&mut from, LINE_BYTES_MAX)
            .read_line(&mut text)
            .with_context(|| format!("line {number}"))?;
        if length == 0 {
            break;
        }
        ensure!(
            text.ends_with('\n') || (length as u64) < LINE_BYTES_MAX,
            "line {number}: longer than {LINE_BYTES_MAX} bytes"
        );
        if text.trim().is_empty() {
            continue;
        }
        ensure!(
            records.len() < RECORDS_MAX,
            "more than {RECORDS_MAX} records"
        );
        if entity_id.is_none() {
            let head: Head = serde_json::from_str(&text).with_context(|| {
                format!("line {number}: the first line of an export is expected, with lampwire_states and entity_id")
            })?;
            ensure!(
                (1..=VERSION).contains(&head.lampwire_states),
                "line {number}: version {} of the document is not known; export it with this version of lampwire",
                head.lampwire_states
            );
            entity_id = Some(eid(&head.entity_id).with_context(|| format!("line {number}"))?);
            continue;
        }
        let record = serde_json::from_str(&text)
            .map_err(anyhow::Error::from)
            .and_then(record_of)
            .with_context(|| format!("line {number}"))?;
        records.push(record);
    }
    Ok((entity_id.context("the document is empty")?, records))
}

fn line_of(record: &Record) -> Option<Line> {
    Some(match record {
        Record::Life(life) => Line::Life { life: *life },
        Record::State(state) => {
            let about = About {
                eid: state.entity_id.to_string(),
                source: state.source.as_str().to_owned(),
                peer: state.peer.clone(),
                by: state.version.by.to_string(),
                seq: state.version.seq,
                lost: state.lost,
                gone: state.gone,
                owner: state.owner,
                rev: state.rev,
                updated_at: state.updated_at.to_string(),
                ttl_ms: state
                    .ttl
                    .map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
            };
            let name = state.name.clone();
            match state.value {
                KeptValue::Device(value) => Line::Device {
                    device: name,
                    state: value.as_str().to_owned(),
                    about,
                },
                KeptValue::Mailbox { new, old } => Line::Mailbox {
                    mailbox: name,
                    new,
                    old,
                    about,
                },
            }
        }
        Record::Publication(it) => Line::Publication {
            id: it.id,
            generation: it.generation,
            endpoint: it.endpoint.clone(),
            resource: it.resource.clone(),
            event: it.event.as_str().to_owned(),
            remote: it.remote,
            created_at: it.created_at.to_string(),
            expires_at: it.expires_at.to_string(),
            states: it.states,
        },
        Record::Lane(it) => Line::Lane {
            publish: it.publish.clone(),
            server_uri: it.server_uri.clone(),
            lane: it.lane,
            tag: it.tag.clone(),
            call_id: it.call_id.clone(),
            cseq: it.cseq,
            expires_at: it.expires_at.to_string(),
            confirmed: it.confirmed,
        },
        Record::Peer { name, entity_id } => Line::Peer {
            name: name.clone(),
            eid: entity_id.to_string(),
        },
        Record::Closed(in_order) => Line::Closed {
            in_order: *in_order,
        },
        Record::Terms(it) => Line::Terms {
            publish: it.publish.clone(),
            server_uri: it.server_uri.clone(),
            relay: it.relay,
            filter: it.filter.clone(),
            eid: it.peer.map(|eid| eid.to_string()),
            rewrites: it.rewrites.iter().map(rules_of).collect(),
        },
        Record::Taking(it) => Line::Taking {
            peer: it.peer.clone(),
            devices: it.devices,
            mailboxes: it.mailboxes,
            device_filter: it.device_filter.clone(),
            mailbox_filter: it.mailbox_filter.clone(),
            rewrites: it.rewrites.iter().map(rules_of).collect(),
        },
        Record::PublicationGone(_) | Record::TermsGone(_) => return None,
    })
}

fn record_of(line: Line) -> anyhow::Result<Record> {
    Ok(match line {
        Line::Life { life } => Record::Life(life),
        Line::Device {
            device,
            state,
            about,
        } => {
            let value = KeptValue::Device(device_state(&state)?);
            Record::State(about.state(device, value)?)
        }
        Line::Mailbox {
            mailbox,
            new,
            old,
            about,
        } => Record::State(about.state(mailbox, KeptValue::Mailbox { new, old })?),
        Line::Publication {
            id,
            generation,
            endpoint,
            resource,
            event,
            remote,
            created_at,
            expires_at,
            states,
        } => Record::Publication(KeptPublication {
            id,
            generation,
            endpoint,
            resource,
            event: EventPackage::parse(&event)
                .with_context(|| format!("{event:?} is no event of the exchange"))?,
            remote,
            created_at: wall(&created_at)?,
            expires_at: wall(&expires_at)?,
            states,
        }),
        Line::Lane {
            publish,
            server_uri,
            lane,
            tag,
            call_id,
            cseq,
            expires_at,
            confirmed,
        } => Record::Lane(KeptLane {
            publish,
            server_uri,
            lane,
            tag,
            call_id,
            cseq,
            expires_at: wall(&expires_at)?,
            confirmed,
        }),
        Line::Peer { name, eid: id } => Record::Peer {
            name,
            entity_id: eid(&id)?,
        },
        Line::Closed { in_order } => Record::Closed(in_order),
        Line::Terms {
            publish,
            server_uri,
            relay,
            filter,
            eid: peer,
            rewrites,
        } => Record::Terms(KeptTerms {
            publish,
            server_uri,
            relay,
            filter,
            peer: peer.as_deref().map(eid).transpose()?,
            rewrites: rewrites
                .into_iter()
                .map(Rules::kept)
                .collect::<Result<_, _>>()?,
        }),
        Line::Taking {
            peer,
            devices,
            mailboxes,
            device_filter,
            mailbox_filter,
            rewrites,
        } => Record::Taking(KeptTaking {
            peer,
            devices,
            mailboxes,
            device_filter,
            mailbox_filter,
            rewrites: rewrites
                .into_iter()
                .map(Rules::kept)
                .collect::<Result<_, _>>()?,
        }),
    })
}

fn rules_of(rewrite: &KeptRewrite) -> Rules {
    let word = |state: &DeviceState| state.as_str().to_owned();
    Rules {
        devices: rewrite.devices.clone(),
        mailboxes: rewrite.mailboxes.clone(),
        states: rewrite
            .states
            .iter()
            .map(|(theirs, ours)| (word(theirs), word(ours)))
            .collect(),
    }
}

impl Rules {
    fn kept(self) -> anyhow::Result<KeptRewrite> {
        let mut states = Vec::new();
        for (theirs, ours) in &self.states {
            states.push((device_state(theirs)?, device_state(ours)?));
        }
        Ok(KeptRewrite {
            devices: self.devices,
            mailboxes: self.mailboxes,
            states,
        })
    }
}

fn device_state(word: &str) -> anyhow::Result<DeviceState> {
    let found = DeviceState::ALL.into_iter().find(|it| it.as_str() == word);
    found.with_context(|| format!("{word:?} is no device state"))
}

impl About {
    fn state(self, name: String, value: KeptValue) -> anyhow::Result<KeptState> {
        ensure!(
            (1..=lampwire_sip::limits::MAX_NAME).contains(&name.len()),
            "a name has 1 to {} bytes",
            lampwire_sip::limits::MAX_NAME
        );
        let source = Source::ALL
            .into_iter()
            .find(|it| it.as_str() == self.source);
        Ok(KeptState {
            name,
            entity_id: eid(&self.eid)?,
            value,
            source: source.with_context(|| format!("{:?} is no source", self.source))?,
            peer: self.peer,
            version: Version {
                by: eid(&self.by)?,
                seq: self.seq,
            },
            lost: self.lost,
            gone: self.gone,
            owner: self.owner,
            rev: self.rev,
            updated_at: wall(&self.updated_at)?,
            ttl: self.ttl_ms.map(Duration::from_millis),
        })
    }
}

fn eid(text: &str) -> anyhow::Result<EntityId> {
    text.parse()
        .ok()
        .with_context(|| format!("{text:?} is no entity id, as 02:00:00:00:00:01 is one"))
}

fn wall(text: &str) -> anyhow::Result<WallTime> {
    let time: Timestamp = text
        .parse()
        .with_context(|| format!("{text:?} is no time, as 2026-11-22T10:00:00.123Z is one"))?;
    let millis = u64::try_from(time.as_millisecond());
    Ok(WallTime::from_millis(millis.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::store::tests::any_record;

    proptest! {
        #[test]
        fn what_is_exported_is_read_again(records in prop::collection::vec(any_record(), 0..20)) {
            let id = EntityId::from([2, 0, 0, 0, 0, 9]);
            let mut text = Vec::new();
            write(&mut text, id, &records).unwrap();
            let kept: Vec<_> = records.into_iter().filter(|it| !it.is_absence()).collect();
            prop_assert_eq!(read(&text[..]).unwrap(), (id, kept));
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let head = r#"{"lampwire_states":1,"entity_id":"02:00:00:00:00:01"}"#;
        for (text, expected) in [
            (String::new(), "the document is empty"),
            (
                "{}".to_owned(),
                "line 1: the first line of an export is expected",
            ),
            (head.replace(":1,", ":3,"), "line 1: version 3"),
            (head.replace(":1,", ":0,"), "line 1: version 0"),
            (
                head.replace("02:", ""),
                "line 1: \"00:00:00:00:01\" is no entity id",
            ),
            (
                format!("{head}\n\n{{\"record\":\"cat\"}}\n"),
                "line 3: unknown variant `cat`",
            ),
            (
                format!("{head}\n{{\"record\":\"peer\",\"name\":\"a\",\"eid\":\"x\"}}"),
                "line 2: \"x\" is no entity id",
            ),
        ] {
            let error = format!("{:#}", read(text.as_bytes()).unwrap_err());
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
