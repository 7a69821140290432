//! What stands under a key.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;

use lampwire_sip::{DeviceState, EntityId, Version};
use serde::Deserialize;

use crate::key::Subject;
use crate::limits;
use crate::protocol::Protocol;
use crate::topic::is_token;

/// What stands under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Under that of a device or mailbox.
    State(State),
    /// Under that of a way.
    Way(Way),
    /// Under that of a node.
    About(About),
}

/// A value of one name under one entity id, as the node of the column knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What it is.
    pub value: Value,
    /// Which version of it this is.
    pub version: Version,
    /// Its server is lost: the value is its last one and does not count.
    pub lost: bool,
    /// How the node came to know it.
    pub from: From,
    /// When it was said, in milliseconds since 1970.
    pub at: u64,
    /// It is taken back so many seconds after it was set, unless it is set again.
    pub ttl: Option<u32>,
    /// A mailbox's: the number of the version in which messages were last reported under this entity id.
    pub messages: Option<u64>,
    /// A mailbox's: by the configuration of some node it is this value that counts.
    pub owner: bool,
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A device is in a state.
    Device(DeviceState),
    /// A mailbox holds messages.
    Mailbox {
        /// New ones.
        new: u16,
        /// Old ones.
        old: u16,
    },
    /// It was taken back. It stays for a day, so that whoever was away learns of it.
    Gone,
}

/// How a node came to know a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// It was set there.
    Local,
    /// A peer published it.
    Peer,
    /// It was read over a manager interface.
    Ami,
}

/// How a node is attached to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The life of the node in which this holds. What an earlier life said holds no more.
    pub life: u64,
    /// It hears the server at first hand.
    pub hears: bool,
    /// The term in which it is the home of the server's states, as it says; 0: in none. The highest of all counts.
    pub home: u64,
    /// It can tell the server states.
    pub tells: bool,
    /// The term in which it is the one that tells it states; 0: in none.
    pub speaker: u64,
    /// What the node calls the server.
    pub peer: String,
}

/// A node, in the words of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// What people call it.
    pub name: String,
    /// Of the nodes that are attached to one server the one of the lowest rank is its home and speaks to it.
    pub rank: u16,
    /// The newest protocol that it speaks.
    pub protocol: u16,
    /// The oldest that it understands.
    pub oldest: u16,
    /// When this life of it began, in milliseconds since 1970.
    pub life: u64,
    /// Its program's version.
    pub program: String,
    /// The sites that it knows of, each with the domain of its servers, where they have one: whoever comes while all nodes of a site are away
    /// learns here that there is one.
    pub sites: BTreeMap<String, Option<String>>,
}

/// Why a record is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// More than [`limits::RECORD`].
    #[error("record too long")]
    TooLong,
    /// It is no JSON object, or one of its members is not what it should be.
    #[error("record is not what its key promises")]
    Malformed,
    /// Only readers of this protocol understand it.
    #[error("record needs protocol {0}")]
    Needs(u16),
}

impl Record {
    /// Reads what stands under a key of this subject, in the column of `node`.
    ///
    /// # Errors
    /// What is wrong with it, or that this version cannot understand it.
    pub fn parse(subject: &Subject<'_>, node: EntityId, bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > limits::RECORD {
            return Err(RecordError::TooLong);
        }
        match subject {
            Subject::Device { .. } => state(node, bytes, |it| it.device()).map(Self::State),
            Subject::Mailbox { .. } => state(node, bytes, |it| it.mailbox()).map(Self::State),
            Subject::Way { .. } => way(bytes).map(Self::Way),
            Subject::Node => about(bytes).map(Self::About),
        }
    }

    /// Appends it to `out` as it stands in the column of `node`, for readers of `protocol`.
    pub fn write(&self, node: EntityId, protocol: Protocol, out: &mut Vec<u8>) {
        // Writing into a buffer that grows cannot fail.
        let _ = match self {
            Self::State(state) => state.write(node, protocol, out),
            Self::Way(way) => way.write(out),
            Self::About(about) => about.write(out),
        };
    }
}

impl State {
    fn write(&self, node: EntityId, protocol: Protocol, out: &mut Vec<u8>) -> std::io::Result<()> {
        let seq = self.version.seq;
        match self.value {
            Value::Device(state) => write!(out, "{{\"state\":\"{}\"", state.as_str())?,
            Value::Mailbox { new, old } => write!(out, "{{\"new\":{new},\"old\":{old}")?,
            Value::Gone => out.extend_from_slice(b"{\"gone\":true"),
        }
        write!(out, ",\"seq\":{seq}")?;
        if self.version.by != node {
            write!(out, ",\"by\":\"{}\"", self.version.by)?;
        }
        if self.lost {
            out.extend_from_slice(b",\"lost\":true");
        }
        match self.from {
            From::Peer => {}
            From::Local => out.extend_from_slice(b",\"from\":\"local\""),
            From::Ami => out.extend_from_slice(b",\"from\":\"ami\""),
        }
        write!(out, ",\"at\":{}", self.at)?;
        if let Some(ttl) = self.ttl {
            write!(out, ",\"ttl\":{ttl}")?;
        }
        if protocol >= Protocol::OWNERS {
            if let Some(messages) = self.messages {
                write!(out, ",\"messages\":{messages}")?;
            }
            if self.owner {
                out.extend_from_slice(b",\"owner\":true");
            }
        }
        out.push(b'}');
        Ok(())
    }
}

impl Way {
    fn write(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        let Self {
            life,
            hears,
            home,
            tells,
            speaker,
            peer,
        } = self;
        write!(
            out,
            "{{\"life\":{life},\"hears\":{hears},\"home\":{home},\"tells\":{tells},\"speaker\":{speaker},\"peer\":"
        )?;
        text(out, peer);
        out.push(b'}');
        Ok(())
    }
}

impl About {
    fn write(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        out.extend_from_slice(b"{\"name\":");
        text(out, &self.name);
        let Self {
            rank,
            protocol,
            oldest,
            life,
            ..
        } = self;
        write!(
            out,
            ",\"rank\":{rank},\"protocol\":{protocol},\"oldest\":{oldest},\"life\":{life},\"program\":"
        )?;
        text(out, &self.program);
        out.extend_from_slice(b",\"sites\":{");
        for (index, (site, domain)) in self.sites.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            text(out, site);
            out.push(b':');
            match domain {
                Some(domain) => text(out, domain),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.extend_from_slice(b"}}");
        Ok(())
    }
}

/// Reads an object. What reads objects would take an array of their members too.
pub(crate) fn object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, NoObject> {
    match bytes.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(bytes).map_err(|_| NoObject),
        Some(_) | None => Err(NoObject),
    }
}

/// It is no object of that kind.
#[derive(Debug)]
pub(crate) struct NoObject;

/// Appends a JSON string.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    // A text can be written, and so can a buffer that grows be written to.
    let _ = serde_json::to_writer(out, text);
}

/// A text that is borrowed from what is read, unless something in it is escaped.
#[derive(Deserialize)]
#[serde(transparent)]
struct Word<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of a state.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default)]
    state: Option<Word<'a>>,
    new: Option<u16>,
    old: Option<u16>,
    #[serde(default)]
    gone: bool,
    seq: Option<u64>,
    #[serde(borrow, default)]
    by: Option<Word<'a>>,
    #[serde(default)]
    lost: bool,
    #[serde(borrow, default)]
    from: Option<Word<'a>>,
    #[serde(default)]
    at: u64,
    ttl: Option<u32>,
    messages: Option<u64>,
    #[serde(default)]
    owner: bool,
    needs: Option<u16>,
}

impl Members<'_> {
    fn device(&self) -> Option<Value> {
        let word = self.state.as_ref()?;
        // As with a body: a word that is not known says that the state is not.
        let state = DeviceState::parse(&word.0).unwrap_or(DeviceState::Unknown);
        Some(Value::Device(state))
    }

    fn mailbox(&self) -> Option<Value> {
        Some(Value::Mailbox {
            new: self.new?,
            old: self.old?,
        })
    }
}

fn state(
    node: EntityId,
    bytes: &[u8],
    value: fn(&Members<'_>) -> Option<Value>,
) -> Result<State, RecordError> {
    let members: Members<'_> =
        object(bytes).map_err(|_| needed(bytes).unwrap_or(RecordError::Malformed))?;
    understood(members.needs)?;
    let by = match &members.by {
        None => node,
        Some(by) => by.0.parse().map_err(|_| RecordError::Malformed)?,
    };
    let value = match members.gone {
        true => Some(Value::Gone),
        false => value(&members),
    };
    let from = match members.from.as_ref().map(|it| &*it.0) {
        Some("local") => From::Local,
        Some("ami") => From::Ami,
        Some(_) | None => From::Peer,
    };
    Ok(State {
        value: value.ok_or(RecordError::Malformed)?,
        version: Version {
            seq: members.seq.ok_or(RecordError::Malformed)?,
            by,
        },
        lost: members.lost,
        from,
        at: members.at,
        ttl: members.ttl.filter(|ttl| *ttl > 0),
        messages: members.messages,
        owner: members.owner,
    })
}

fn way(bytes: &[u8]) -> Result<Way, RecordError> {
    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Members {
        life: u64,
        hears: bool,
        home: u64,
        tells: bool,
        speaker: u64,
        peer: String,
        needs: Option<u16>,
    }
    let members: Members =
        object(bytes).map_err(|_| needed(bytes).unwrap_or(RecordError::Malformed))?;
    understood(members.needs)?;
    Ok(Way {
        life: members.life,
        hears: members.hears,
        home: members.home,
        tells: members.tells,
        speaker: members.speaker,
        peer: label(members.peer),
    })
}

fn about(bytes: &[u8]) -> Result<About, RecordError> {
    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Members {
        name: String,
        rank: u16,
        protocol: u16,
        oldest: u16,
        life: u64,
        program: String,
        sites: BTreeMap<String, Option<String>>,
        needs: Option<u16>,
    }
    let members: Members =
        object(bytes).map_err(|_| needed(bytes).unwrap_or(RecordError::Malformed))?;
    understood(members.needs)?;
    Ok(About {
        name: label(members.name),
        rank: members.rank,
        protocol: members.protocol,
        oldest: members.oldest,
        life: members.life,
        program: label(members.program),
        sites: members
            .sites
            .into_iter()
            .filter(|(site, _)| is_token(site))
            .map(|(site, domain)| (site, domain.filter(|domain| is_token(domain))))
            .take(limits::SITES)
            .collect(),
    })
}

/// Which protocol a record asks for that could not be read as it is.
fn needed(bytes: &[u8]) -> Option<RecordError> {
    #[derive(Deserialize)]
    struct Needs {
        needs: u16,
    }
    let Needs { needs } = object(bytes).ok()?;
    understood(Some(needs)).err()
}

fn understood(needs: Option<u16>) -> Result<(), RecordError> {
    match needs {
        Some(needs) if needs > Protocol::NEWEST.0 => Err(RecordError::Needs(needs)),
        Some(_) | None => Ok(()),
    }
}

/// A name for people: what is too long or cannot be shown is left out.
pub(crate) fn label(text: String) -> String {
    if text.len() <= limits::LABEL && !text.chars().any(char::is_control) {
        return text;
    }
    let mut kept = String::new();
    for character in text.chars().filter(|it| !it.is_control()) {
        if kept.len() + character.len_utf8() > limits::LABEL {
            break;
        }
        kept.push(character);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn subject(mailbox: bool) -> Subject<'static> {
        let eid = NODE.into();
        match mailbox {
            false => Subject::Device {
                eid,
                name: "PJSIP/1".into(),
            },
            true => Subject::Mailbox {
                eid,
                name: "1@x".into(),
            },
        }
    }

    fn sample() -> State {
        State {
            value: Value::Device(DeviceState::InUse),
            version: Version {
                seq: 7,
                by: NODE.into(),
            },
            lost: false,
            from: From::Peer,
            at: 1000,
            ttl: None,
            messages: None,
            owner: false,
        }
    }

    fn written(record: &Record, protocol: Protocol) -> String {
        let mut out = Vec::new();
        record.write(NODE.into(), protocol, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_state_reads_as_it_is_written() {
        let plain = written(&Record::State(sample()), Protocol::NEWEST);
        assert_eq!(plain, r#"{"state":"INUSE","seq":7,"at":1000}"#);
        let all = State {
            value: Value::Mailbox { new: 1, old: 2 },
            version: Version {
                seq: 8,
                by: [2, 0, 0, 0, 0, 9].into(),
            },
            lost: true,
            from: From::Local,
            at: 5,
            ttl: Some(60),
            messages: Some(6),
            owner: true,
        };
        for (mailbox, state) in [
            (false, sample()),
            (
                false,
                State {
                    value: Value::Gone,
                    from: From::Ami,
                    ..sample()
                },
            ),
            (true, all),
        ] {
            let record = Record::State(state);
            let text = written(&record, Protocol::NEWEST);
            let read = Record::parse(&subject(mailbox), NODE.into(), text.as_bytes());
            assert_eq!(read, Ok(record), "{text}");
        }
    }

    #[test]
    fn an_older_protocol_lacks_what_came_later() {
        let state = State {
            value: Value::Mailbox { new: 0, old: 0 },
            messages: Some(6),
            owner: true,
            ..sample()
        };
        let text = written(&Record::State(state), Protocol::STATES);
        assert_eq!(text, r#"{"new":0,"old":0,"seq":7,"at":1000}"#);
    }

    #[test]
    fn ways_and_nodes_read_as_they_are_written() {
        let way = Record::Way(Way {
            life: 3,
            hears: true,
            home: 4,
            tells: false,
            speaker: 5,
            peer: "the \"office\"".to_owned(),
        });
        let eid = NODE.into();
        let text = written(&way, Protocol::NEWEST);
        let read = Record::parse(&Subject::Way { eid }, eid, text.as_bytes());
        assert_eq!(read, Ok(way));
        let about = Record::About(About {
            name: "hub1".to_owned(),
            rank: 10,
            protocol: 3,
            oldest: 1,
            life: 9,
            program: "0.1.0".to_owned(),
            sites: BTreeMap::from([
                ("berlin".to_owned(), Some("b".to_owned())),
                ("main".to_owned(), None),
            ]),
        });
        let text = written(&about, Protocol::NEWEST);
        let read = Record::parse(&Subject::Node, eid, text.as_bytes());
        assert_eq!(read, Ok(about));
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let text = br#"{"state":"BUSY","seq":1,"mood":{"a":[1]},"at":2}"#;
        let read = Record::parse(&subject(false), NODE.into(), text).unwrap();
        let Record::State(state) = read else { panic!() };
        assert_eq!(state.value, Value::Device(DeviceState::Busy));
    }

    #[test]
    fn what_a_later_version_needs_is_told() {
        for text in [
            r#"{"state":"BUSY","seq":1,"needs":9}"#,
            r#"{"state":["BUSY"],"seq":"x","needs":9}"#,
        ] {
            let read = Record::parse(&subject(false), NODE.into(), text.as_bytes());
            assert_eq!(read, Err(RecordError::Needs(9)), "{text}");
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for text in [
            "",
            "null",
            "[]",
            r#"{"state":"BUSY"}"#,
            r#"{"seq":1}"#,
            r#"{"new":1,"old":2,"seq":1}"#,
            r#"{"state":"BUSY","seq":-1}"#,
            r#"{"state":"BUSY","seq":1,"by":"x"}"#,
        ] {
            let read = Record::parse(&subject(false), NODE.into(), text.as_bytes());
            assert_eq!(read, Err(RecordError::Malformed), "{text}");
        }
        let long = vec![b' '; limits::RECORD + 1];
        let read = Record::parse(&subject(false), NODE.into(), &long);
        assert_eq!(read, Err(RecordError::TooLong));
    }

    #[test]
    fn a_name_for_people_has_bounds() {
        assert_eq!(label("a\u{1b}[31mb".to_owned()), "a[31mb");
        assert_eq!(label("ä".repeat(200)).len(), 254);
    }
}
