//! What may stand in the place of the node that is tested, and the choice of it.

use std::fmt;

use crate::asterisk::Release;

/// What a case is run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject {
    /// The program of this project.
    Lampwire,
    /// An Asterisk, which proves the case.
    Asterisk(Release),
    /// A program that does nothing, with which every case must fail.
    Sleep,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lampwire => f.write_str("lampwire"),
            Self::Asterisk(release) => f.write_str(release.name()),
            Self::Sleep => f.write_str("sleep"),
        }
    }
}

/// What the run is to be done with.
#[derive(Debug)]
pub(crate) enum Choice {
    /// Lampwire, an Asterisk of the peer's release, and the proof that `sleep` fails.
    Usual,
    /// Exactly these, and every case is expected to hold, with `sleep` too.
    Named(Vec<Subject>),
}

impl Choice {
    /// Reads LAMPWIRE_SUBJECT: a comma list of lampwire, asterisk22, asterisk16, sleep.
    pub(crate) fn from_environment() -> Result<Self, String> {
        let text = std::env::var("LAMPWIRE_SUBJECT").unwrap_or_default();
        let words = text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty());
        let subjects = words
            .map(|word| match word {
                "lampwire" => Ok(Subject::Lampwire),
                "asterisk22" => Ok(Subject::Asterisk(Release::Asterisk22)),
                "asterisk16" => Ok(Subject::Asterisk(Release::Asterisk16)),
                "sleep" => Ok(Subject::Sleep),
                other => Err(format!(
                    "LAMPWIRE_SUBJECT: '{other}' is none of lampwire, asterisk22, asterisk16, sleep"
                )),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(match subjects.as_slice() {
            [] => Self::Usual,
            _ => Self::Named(subjects),
        })
    }

    /// The subjects for cases with a peer of this release.
    pub(crate) fn subjects(&self, peer: Release) -> Vec<Subject> {
        match self {
            Self::Usual => vec![Subject::Lampwire, Subject::Asterisk(peer), Subject::Sleep],
            Self::Named(subjects) => subjects.clone(),
        }
    }

    /// Whether a case with this subject is there to fail.
    pub(crate) fn expects_failure(&self, subject: Subject) -> bool {
        matches!(self, Self::Usual) && subject == Subject::Sleep
    }
}
