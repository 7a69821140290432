//! The keys of a bucket.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use lampwire_sip::{EntityId, valid_name};

use crate::limits;

/// Who reads a key or hears a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Every site.
    Wide,
    /// The site where it was written, and no other.
    Site,
}

impl Scope {
    /// How it is written: `w`, `s`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wide => "w",
            Self::Site => "s",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "w" => Some(Self::Wide),
            "s" => Some(Self::Site),
            _ => None,
        }
    }
}

/// A key: `<scope>.<node>.` and what it is about. The node is whose column it stands in: the only one that writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key<'a> {
    /// Who reads it.
    pub scope: Scope,
    /// Who writes it.
    pub node: EntityId,
    /// What it is about.
    pub subject: Subject<'a>,
}

/// What a key is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject<'a> {
    /// `d.<entity id>.<name>`: a device's state under an entity id.
    Device {
        /// Whose state it is.
        eid: EntityId,
        /// The device.
        name: Cow<'a, str>,
    },
    /// `m.<entity id>.<name>`: a mailbox's counts under an entity id.
    Mailbox {
        /// Who says so.
        eid: EntityId,
        /// The mailbox.
        name: Cow<'a, str>,
    },
    /// `y.<entity id>`: how the node is attached to the server of an entity id.
    Way {
        /// The server's.
        eid: EntityId,
    },
    /// `n`: the node itself.
    Node,
}

impl<'a> Key<'a> {
    /// Reads one; `None` where it is none that this version knows.
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.len() > limits::KEY {
            return None;
        }
        let mut parts = text.split('.');
        let scope = Scope::parse(parts.next()?)?;
        let node = hex(parts.next()?)?;
        let subject = match parts.next()? {
            "n" => Subject::Node,
            "y" => Subject::Way {
                eid: hex(parts.next()?)?,
            },
            "d" => Subject::Device {
                eid: hex(parts.next()?)?,
                name: name(parts.next()?)?,
            },
            "m" => Subject::Mailbox {
                eid: hex(parts.next()?)?,
                name: name(parts.next()?)?,
            },
            _ => return None,
        };
        parts.next().is_none().then_some(Self {
            scope,
            node,
            subject,
        })
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.scope.as_str())?;
        write_hex(f, self.node)?;
        match &self.subject {
            Subject::Node => f.write_str(".n"),
            Subject::Way { eid } => {
                f.write_str(".y.")?;
                write_hex(f, *eid)
            }
            Subject::Device { eid, name } => {
                f.write_str(".d.")?;
                write_hex(f, *eid)?;
                write_name(f, name)
            }
            Subject::Mailbox { eid, name } => {
                f.write_str(".m.")?;
                write_hex(f, *eid)?;
                write_name(f, name)
            }
        }
    }
}

/// An entity id as twelve small hexadecimal digits: a colon is none of a key's characters.
pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, eid: EntityId) -> fmt::Result {
    eid.as_bytes()
        .iter()
        .try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Each entity id has one way to be written, so each key has one.
pub(crate) fn hex(text: &str) -> Option<EntityId> {
    let digits: &[u8; 12] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 6];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = small_digit(pair[0])? << 4 | small_digit(pair[1])?;
    }
    Some(EntityId::from(bytes))
}

const fn small_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// What stands in a key as it is. A dot ends a part, `*` and `>` are NATS' own, and others it does not take.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/')
}

fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    f.write_char('.')?;
    for byte in name.bytes() {
        if is_plain(byte) {
            f.write_char(char::from(byte))?;
        } else {
            write!(f, "={byte:02X}")?;
        }
    }
    Ok(())
}

fn name(text: &str) -> Option<Cow<'_, str>> {
    let name = if text.bytes().all(is_plain) {
        Cow::Borrowed(text)
    } else {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            if first == b'=' {
                let (pair, after) = rest.split_at_checked(2)?;
                let byte = large_digit(pair[0])? << 4 | large_digit(pair[1])?;
                if is_plain(byte) {
                    return None; // written otherwise than it is written here
                }
                bytes.push(byte);
                rest = after;
            } else if is_plain(first) {
                bytes.push(first);
            } else {
                return None;
            }
        }
        Cow::Owned(String::from_utf8(bytes).ok()?)
    };
    valid_name(&name).ok()?;
    Some(name)
}

const fn large_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NODE: [u8; 6] = [2, 0xaa, 0xbb, 0xcc, 0xdd, 1];

    fn device(name: &str) -> Key<'_> {
        Key {
            scope: Scope::Wide,
            node: NODE.into(),
            subject: Subject::Device {
                eid: NODE.into(),
                name: name.into(),
            },
        }
    }

    #[test]
    fn names_are_written_so_that_nats_takes_them() {
        let written = device("Custom:door 2.ä").to_string();
        assert_eq!(
            written,
            "w.02aabbccdd01.d.02aabbccdd01.Custom=3Adoor=202=2E=C3=A4"
        );
        assert_eq!(Key::parse(&written), Some(device("Custom:door 2.ä")));
    }

    #[test]
    fn a_key_has_one_way_to_be_written() {
        for wrong in [
            "w.02aabbccdd01.d.02aabbccdd01.=41",
            "w.02aabbccdd01.d.02aabbccdd01.=3a",
            "w.02AABBCCDD01.n",
            "w.02aabbccdd01.d.02aabbccdd01.",
            "w.02aabbccdd01.d.02aabbccdd01.a.b",
            "w.02aabbccdd01.d.02aabbccdd01.=0A",
            "w.02aabbccdd01.d.02aabbccdd01.=FF",
            "w.02aabbccdd01.d.02aabbccdd01.=C",
            "w.02aabbccdd01.d.02aabbccdd01",
            "w.02aabbccdd01.n.x",
            "q.02aabbccdd01.n",
            "w.02aabbccdd01.z",
        ] {
            assert_eq!(Key::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in "\\PC{1,40}") {
            prop_assume!(valid_name(&name).is_ok());
            let key = device(&name);
            let written = key.to_string();
            prop_assert!(written.bytes().all(|it| is_plain(it) || matches!(it, b'.' | b'=')));
            prop_assert_eq!(Key::parse(&written), Some(key));
        }

        #[test]
        fn what_is_read_is_written_as_it_was(text in "[ws]\\.[0-9a-f]{12}\\.[dmyn](\\.[0-9a-f]{12})?(\\.[ -~]{0,20})?") {
            if let Some(key) = Key::parse(&text) {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }
}
