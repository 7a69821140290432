//! The subjects of messages that nobody keeps.

use std::fmt;

use lampwire_sip::EntityId;

use crate::Scope;
use crate::key::{hex, write_hex};
use crate::limits;

/// Where a message belongs: `<scope>.<site>.<node>.<what>`, behind the cluster's own prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Topic {
    /// Who is to hear it.
    pub scope: Scope,
    /// The site of whoever says it.
    pub site: String,
    /// Who says it.
    pub node: EntityId,
    /// What kind of message it is.
    pub what: What,
}

/// The kinds of messages that nobody keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// The node's own beat.
    Beat,
    /// The beat of a hub that is no node of the cluster.
    Hub,
    /// A value that is not to be kept.
    Passing,
}

impl What {
    const ALL: [Self; 3] = [Self::Beat, Self::Hub, Self::Passing];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Beat => "beat",
            Self::Hub => "hub",
            Self::Passing => "pass",
        }
    }
}

impl Topic {
    /// Reads one; `None` where it is none that this version knows.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let scope = Scope::parse(parts.next()?)?;
        let site = parts.next().filter(|site| is_token(site))?.to_owned();
        let node = hex(parts.next()?)?;
        let what = parts.next()?;
        let what = What::ALL.into_iter().find(|it| it.as_str() == what)?;
        parts.next().is_none().then_some(Self {
            scope,
            site,
            node,
            what,
        })
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.", self.scope.as_str(), self.site)?;
        write_hex(f, self.node)?;
        write!(f, ".{}", self.what.as_str())
    }
}

/// Whether a text can be the name of a cluster or a site: 1 to [`limits::TOKEN`] letters, digits, `-` and `_`.
pub fn is_token(text: &str) -> bool {
    (1..=limits::TOKEN).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_reads_as_it_is_written() {
        let text = "w.berlin.020000000001.beat";
        let topic = Topic::parse(text).unwrap();
        assert_eq!(topic.to_string(), text);
        assert_eq!((topic.what, topic.site.as_str()), (What::Beat, "berlin"));
    }

    #[test]
    fn what_is_no_topic_is_none() {
        for text in [
            "",
            "w",
            "w.berlin.020000000001",
            "w.berlin.020000000001.news",
            "w.berlin.020000000001.beat.more",
            "w..020000000001.beat",
            "x.berlin.020000000001.beat",
            "w.berlin.02000000000g.beat",
            "w.ber*lin.020000000001.beat",
        ] {
            assert_eq!(Topic::parse(text), None, "{text}");
        }
    }
}
