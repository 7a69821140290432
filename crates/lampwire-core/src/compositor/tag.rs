//! Entity tags (RFC 3903 4.1): which publication, which generation of it, and a seal that only this node can make.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};
use subtle::ConstantTimeEq;

use crate::hex::{Hex, bytes_of};
use crate::time::WallTime;

/// The key with which tags are sealed.
pub(crate) type TagKey = [u8; 16];

/// What a tag is good for: a tag of one endpoint, resource, event or publication is none of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) event: &'static str,
    /// When the publication began. Numbers and generations are given again in another life of the node, which does not know how far those of
    /// publications went that had ended.
    pub(crate) began: WallTime,
}

/// An entity tag. On the wire 48 hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntityTag {
    pub(crate) publication: u32,
    pub(crate) generation: u32,
    seal: [u8; 16],
}

impl EntityTag {
    /// The tag of one generation of a publication, sealed with SipHash-2-4 of 128 bits: nobody without the key can make one, or use one
    /// under another binding.
    pub(crate) fn seal(
        key: &TagKey,
        publication: u32,
        generation: u32,
        binding: Binding<'_>,
    ) -> Self {
        let mut hasher = SipHasher24::new_with_key(key);
        hasher.write(&(u64::from(publication) << 32 | u64::from(generation)).to_be_bytes());
        hasher.write(&binding.began.as_millis().to_be_bytes());
        for part in [binding.endpoint, binding.resource, binding.event] {
            hasher.write(&(part.len() as u64).to_be_bytes());
            hasher.write(part.as_bytes());
        }
        Self {
            publication,
            generation,
            seal: hasher.finish128().as_bytes(),
        }
    }

    /// Reads a SIP-If-Match. `None`: no tag that this node ever gave. The seal is not looked at yet.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 24] = bytes_of(text.as_bytes())?;
        let word = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let mut seal = [0; 16];
        seal.copy_from_slice(&bytes[8..]);
        Some(Self {
            publication: word(0),
            generation: word(4),
            seal,
        })
    }

    /// As it is written.
    pub(crate) fn digits(&self) -> Hex<48> {
        let mut bytes = [0; 24];
        bytes[..4].copy_from_slice(&self.publication.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.generation.to_be_bytes());
        bytes[8..].copy_from_slice(&self.seal);
        Hex::of(&bytes)
    }

    /// Whether this tag is the one sealed for its publication, its generation and `binding`. Takes the same time whatever the answer.
    pub(crate) fn is_sealed(&self, key: &TagKey, binding: Binding<'_>) -> bool {
        self.is_same(&Self::seal(key, self.publication, self.generation, binding))
    }

    /// Whether this is that tag. Takes the same time wherever their seals differ.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.publication, self.generation) == (other.publication, other.generation)
            && bool::from(self.seal.ct_eq(&other.seal))
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digits().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: TagKey = [7; 16];
    const BINDING: Binding<'static> = Binding {
        endpoint: "a",
        resource: "b",
        event: "asterisk-devicestate",
        began: WallTime::from_millis(7),
    };

    #[test]
    fn reads_what_it_writes() {
        let tag = EntityTag::seal(&KEY, 3, 9, BINDING);
        let read = EntityTag::parse(&tag.to_string()).unwrap();
        assert_eq!((read.publication, read.generation), (3, 9));
        assert!(read.is_sealed(&KEY, BINDING));
    }

    #[test]
    fn is_good_for_nothing_else() {
        let tag = EntityTag::seal(&KEY, 3, 9, BINDING);
        for other in [
            Binding {
                endpoint: "ab",
                resource: "",
                ..BINDING
            },
            Binding {
                endpoint: "b",
                resource: "a",
                ..BINDING
            },
            Binding {
                event: "asterisk-mwi",
                ..BINDING
            },
            Binding {
                began: WallTime::from_millis(8),
                ..BINDING
            },
        ] {
            assert!(!tag.is_sealed(&KEY, other));
        }
        assert!(!tag.is_sealed(&[8; 16], BINDING));
        assert!(
            !EntityTag {
                generation: 10,
                ..tag
            }
            .is_sealed(&KEY, BINDING)
        );
        assert!(
            !EntityTag {
                publication: 4,
                ..tag
            }
            .is_sealed(&KEY, BINDING)
        );
    }

    #[test]
    fn anything_else_is_no_tag() {
        let tag = EntityTag::seal(&KEY, 3, 0xab, BINDING).to_string();
        for text in [
            "",
            "0",
            "1",
            &tag[1..],
            &tag.to_uppercase(),
            &format!("{tag}0"),
            &tag.replace('0', "é"),
        ] {
            assert!(EntityTag::parse(text).is_none(), "{text}");
        }
    }
}
