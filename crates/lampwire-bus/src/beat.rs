//! Messages that nobody keeps.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;

use lampwire_sip::{DeviceState, EntityId, Version, valid_name};
use serde::Deserialize;

use crate::limits;
use crate::record::{label, object, text};
use crate::topic::{What, is_token};

/// A message that nobody keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A node is there.
    Beat(Beat),
    /// A hub is there that is no node of the cluster.
    Hub(HubBeat),
    /// A value that is not to be kept.
    Passing(Passing),
}

/// A node is there, and how far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
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
    /// The beat's number: it is among those that the node stamps values with, and rises.
    pub seq: u64,
    /// What of its own stands in the bucket.
    pub written: Option<Written>,
    /// How far it has read the bucket of each site.
    pub read: BTreeMap<String, u64>,
    /// The domain of its site's servers (JetStream), where they have one.
    pub domain: Option<String>,
    /// States that it keeps.
    pub states: u64,
}

/// All that a node has stamped up to a number stands in its site's bucket, up to a place there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The number.
    pub seq: u64,
    /// The place.
    pub at: u64,
    /// Which stream the bucket is: one that was made anew is another.
    pub stream: u64,
}

/// A hub is there that is no node of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubBeat {
    /// Which one, and the number of its beat.
    pub beat: Version,
    /// All that it has stamped up to that number stands in the bucket, up to that place, as far as the node that says so knows it.
    pub written: Option<Written>,
}

/// A value that is not to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passing {
    /// The device.
    pub device: String,
    /// Its state.
    pub state: DeviceState,
    /// Whose state it is.
    pub eid: EntityId,
    /// Which version it is.
    pub version: Version,
}

impl Said {
    /// Reads a message of this kind; `None` where it is none.
    pub fn parse(what: What, bytes: &[u8]) -> Option<Self> {
        if bytes.len() > limits::SAID {
            return None;
        }
        match what {
            What::Beat => beat(bytes).map(Self::Beat),
            What::Hub => hub(bytes).map(Self::Hub),
            What::Passing => passing(bytes).map(Self::Passing),
        }
    }

    /// Appends it to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        // Writing into a buffer that grows cannot fail.
        let _ = match self {
            Self::Beat(beat) => beat.write(out),
            Self::Hub(hub) => hub.write(out),
            Self::Passing(passing) => passing.write(out),
        };
    }
}

impl Beat {
    fn write(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        out.extend_from_slice(b"{\"name\":");
        text(out, &self.name);
        let Self {
            rank,
            oldest,
            life,
            seq,
            states,
            ..
        } = self;
        write!(
            out,
            ",\"rank\":{rank},\"protocol\":{},\"oldest\":{oldest},\"life\":{life},\"seq\":{seq},\"states\":{states}",
            self.protocol
        )?;
        if let Some(written) = self.written {
            write_written(out, written)?;
        }
        out.extend_from_slice(b",\"read\":");
        write_read(out, &self.read)?;
        if let Some(domain) = &self.domain {
            out.extend_from_slice(b",\"domain\":");
            text(out, domain);
        }
        out.push(b'}');
        Ok(())
    }
}

impl HubBeat {
    fn write(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        let Version { seq, by } = self.beat;
        write!(out, "{{\"hub\":\"{by}\",\"seq\":{seq}")?;
        if let Some(written) = self.written {
            write_written(out, written)?;
        }
        out.push(b'}');
        Ok(())
    }
}

impl Passing {
    fn write(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        out.extend_from_slice(b"{\"device\":");
        text(out, &self.device);
        let Version { seq, by } = self.version;
        write!(
            out,
            ",\"state\":\"{}\",\"eid\":\"{}\",\"by\":\"{by}\",\"seq\":{seq}}}",
            self.state.as_str(),
            self.eid
        )
    }
}

fn write_written(out: &mut Vec<u8>, written: Written) -> std::io::Result<()> {
    let Written { seq, at, stream } = written;
    write!(
        out,
        ",\"written\":{{\"seq\":{seq},\"at\":{at},\"stream\":{stream}}}"
    )
}

fn write_read(out: &mut Vec<u8>, read: &BTreeMap<String, u64>) -> std::io::Result<()> {
    out.push(b'{');
    for (index, (site, at)) in read.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        text(out, site);
        write!(out, ":{at}")?;
    }
    out.push(b'}');
    Ok(())
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WrittenMembers {
    seq: u64,
    at: u64,
    stream: u64,
}

impl WrittenMembers {
    const fn value(&self) -> Written {
        Written {
            seq: self.seq,
            at: self.at,
            stream: self.stream,
        }
    }
}

fn beat(bytes: &[u8]) -> Option<Beat> {
    #[derive(Deserialize)]
    struct Members {
        #[serde(default)]
        name: String,
        #[serde(default)]
        rank: u16,
        protocol: u16,
        #[serde(default)]
        oldest: u16,
        life: u64,
        seq: u64,
        #[serde(default)]
        states: u64,
        written: Option<WrittenMembers>,
        #[serde(default)]
        read: BTreeMap<String, u64>,
        domain: Option<String>,
    }
    let members: Members = object(bytes).ok()?;
    Some(Beat {
        name: label(members.name),
        rank: members.rank,
        protocol: members.protocol,
        oldest: members.oldest,
        life: members.life,
        seq: members.seq,
        written: members.written.map(|it| it.value()),
        read: sites(members.read)?,
        domain: members.domain.filter(|domain| is_token(domain)),
        states: members.states,
    })
}

fn sites(read: BTreeMap<String, u64>) -> Option<BTreeMap<String, u64>> {
    let sound = read.len() <= limits::SITES && read.keys().all(|site| is_token(site));
    sound.then_some(read)
}

fn hub(bytes: &[u8]) -> Option<HubBeat> {
    #[derive(Deserialize)]
    struct Members<'a> {
        #[serde(borrow)]
        hub: Cow<'a, str>,
        seq: u64,
        written: Option<WrittenMembers>,
    }
    let members: Members<'_> = object(bytes).ok()?;
    Some(HubBeat {
        beat: Version {
            seq: members.seq,
            by: members.hub.parse().ok()?,
        },
        written: members.written.map(|it| it.value()),
    })
}

fn passing(bytes: &[u8]) -> Option<Passing> {
    #[derive(Deserialize)]
    struct Members<'a> {
        #[serde(borrow)]
        device: Cow<'a, str>,
        #[serde(borrow)]
        state: Cow<'a, str>,
        #[serde(borrow)]
        eid: Cow<'a, str>,
        #[serde(borrow)]
        by: Cow<'a, str>,
        seq: u64,
    }
    let members: Members<'_> = object(bytes).ok()?;
    valid_name(&members.device).ok()?;
    Some(Passing {
        device: members.device.into_owned(),
        state: DeviceState::parse(&members.state).unwrap_or(DeviceState::Unknown),
        eid: members.eid.parse().ok()?,
        version: Version {
            seq: members.seq,
            by: members.by.parse().ok()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: [u8; 6] = [2, 0, 0, 0, 0, 9];

    fn sample() -> Beat {
        Beat {
            name: "hub1".to_owned(),
            rank: 100,
            protocol: 3,
            oldest: 1,
            life: 5,
            seq: 6,
            written: Some(Written {
                seq: 4,
                at: 77,
                stream: 2,
            }),
            read: BTreeMap::from([("berlin".to_owned(), 78), ("main".to_owned(), 1)]),
            domain: Some("berlin".to_owned()),
            states: 12,
        }
    }

    fn again(what: What, said: &Said) -> Option<Said> {
        let mut out = Vec::new();
        said.write(&mut out);
        Said::parse(what, &out)
    }

    #[test]
    fn messages_read_as_they_are_written() {
        let hub = HubBeat {
            beat: Version {
                seq: 3,
                by: HUB.into(),
            },
            written: None,
        };
        let passing = Passing {
            device: "Custom:\"1".to_owned(),
            state: DeviceState::Ringing,
            eid: HUB.into(),
            version: hub.beat,
        };
        for (what, said) in [
            (What::Beat, Said::Beat(sample())),
            (What::Beat, Said::Beat(Beat::default())),
            (What::Hub, Said::Hub(hub)),
            (What::Passing, Said::Passing(passing)),
        ] {
            assert_eq!(again(what, &said), Some(said));
        }
    }

    #[test]
    fn what_is_none_is_none() {
        for (what, text) in [
            (What::Beat, "[]"),
            (What::Beat, r#"["a",1,1,1,1,1,1]"#),
            (What::Beat, r#"{"protocol":1,"life":1}"#),
            (
                What::Beat,
                r#"{"protocol":1,"life":1,"seq":1,"read":{"no site":1}}"#,
            ),
            (What::Hub, r#"{"hub":"x","seq":1}"#),
            (
                What::Passing,
                r#"{"device":"","state":"BUSY","eid":"02:00:00:00:00:01","by":"02:00:00:00:00:01","seq":1}"#,
            ),
        ] {
            assert_eq!(Said::parse(what, text.as_bytes()), None, "{text}");
        }
        let long = vec![b' '; limits::SAID + 1];
        assert_eq!(Said::parse(What::Beat, &long), None);
    }
}
