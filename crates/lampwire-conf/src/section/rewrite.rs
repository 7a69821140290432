//! `type=rewrite`: names and states that a peer has otherwise than this node.

use std::fmt;
use std::str::FromStr;

use lampwire_sip::DeviceState;

use super::{Options, one_of};
use crate::diagnostic::quote;
use crate::options::{OptionSpec, SectionSpec, acts, list, unset};
use crate::{Location, Severity};

const OPTIONS: &[OptionSpec] = &[
    unset(
        "peer",
        "The asterisk-publication whose peer has other names.",
    ).example("office"),
    acts(
        "direction",
        "both",
        "What is rewritten: in (what the peer tells), out (what the peer is told) or both.",
    ).example("in"),
    list(
        "device",
        "Devices: `THEIRS -> OURS`, with a `*` on each side or on none, as in `SIP/* -> PJSIP/*`. The first line that fits is taken.",
    ).example("SIP/* -> PJSIP/*"),
    list(
        "mailbox",
        "Mailboxes: `THEIRS -> OURS`, as for devices, as in `*@default -> *@branch`.",
    ).example("*@default -> *@branch"),
    list(
        "state",
        "Device states: `THEIRS -> OURS`, as in `UNAVAILABLE -> NOT_INUSE`.",
    ).example("UNAVAILABLE -> NOT_INUSE"),
];

pub(crate) const SPEC: SectionSpec = SectionSpec {
    name: "rewrite",
    doc: "Names and states that a peer has otherwise than this node; Asterisk does not know the type.",
    options: OPTIONS,
    open_prefix: None,
    single: false,
};

/// Names and states that a peer has otherwise than this node.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewrite {
    /// The section's name.
    pub name: String,
    /// Where it stands.
    pub at: Location,
    /// The asterisk-publication whose peer is meant, which exists.
    pub peer: String,
    /// What the peer tells is rewritten.
    pub inbound: bool,
    /// What the peer is told is rewritten.
    pub outbound: bool,
    /// Devices, in the order of the file.
    pub devices: Vec<Renaming>,
    /// Mailboxes, in the order of the file.
    pub mailboxes: Vec<Renaming>,
    /// States: the peer's and ours.
    pub states: Vec<(DeviceState, DeviceState)>,
}

/// One name for another, either of which may have a part left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renaming {
    theirs: Pattern,
    ours: Pattern,
}

/// A name, or what is before and behind the part of it that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Whole(String),
    Open(String, String),
}

impl Renaming {
    /// Our name for one of the peer's; `None`: it does not fit.
    pub fn to_ours(&self, theirs: &str) -> Option<String> {
        Some(self.ours.filled(self.theirs.open_part(theirs)?))
    }

    /// The peer's name for one of ours; `None`: it does not fit.
    pub fn to_theirs(&self, ours: &str) -> Option<String> {
        Some(self.theirs.filled(self.ours.open_part(ours)?))
    }
}

impl Pattern {
    /// What stands for the open part of a name that fits.
    fn open_part<'a>(&self, name: &'a str) -> Option<&'a str> {
        match self {
            Self::Whole(whole) => (whole == name).then_some(""),
            Self::Open(before, behind) => name.strip_prefix(&**before)?.strip_suffix(&**behind),
        }
    }

    fn filled(&self, part: &str) -> String {
        match self {
            Self::Whole(whole) => whole.clone(),
            Self::Open(before, behind) => format!("{before}{part}{behind}"),
        }
    }

    /// Whether any name fits both.
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole(name), other) | (other, Self::Whole(name)) => {
                other.open_part(name).is_some()
            }
            (Self::Open(before, behind), Self::Open(other_before, other_behind)) => {
                let begins =
                    before.starts_with(&**other_before) || other_before.starts_with(&**before);
                let ends = behind.ends_with(&**other_behind) || other_behind.ends_with(&**behind);
                begins && ends
            }
        }
    }

    /// Whether every name that fits this one fits `other`.
    fn lies_in(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole(name), other) => other.open_part(name).is_some(),
            (Self::Open(..), Self::Whole(_)) => false,
            (Self::Open(before, behind), Self::Open(other_before, other_behind)) => {
                before.starts_with(&**other_before) && behind.ends_with(&**other_behind)
            }
        }
    }
}

impl FromStr for Renaming {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (theirs, ours) = text
            .split_once("->")
            .ok_or("`THEIRS -> OURS`, as in `SIP/* -> PJSIP/*`")?;
        let pattern = |text: &str| {
            let text = text.trim();
            match text.split_once('*') {
                _ if text.is_empty() => Err("a name on each side of `->`"),
                None => Ok(Pattern::Whole(text.to_owned())),
                Some((_, behind)) if behind.contains('*') => Err("one `*` on each side at most"),
                Some((before, behind)) => Ok(Pattern::Open(before.to_owned(), behind.to_owned())),
            }
        };
        let (theirs, ours) = (pattern(theirs)?, pattern(ours)?);
        match (&theirs, &ours) {
            (Pattern::Whole(_), Pattern::Whole(_)) | (Pattern::Open(..), Pattern::Open(..)) => {
                Ok(Self { theirs, ours })
            }
            _ => Err("a `*` on both sides or on neither: else there is no way back"),
        }
    }
}

impl fmt::Display for Renaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.theirs, self.ours)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(whole) => f.write_str(whole),
            Self::Open(before, behind) => write!(f, "{before}*{behind}"),
        }
    }
}

/// None: the section is wrong.
pub(crate) fn read(options: &mut Options<'_, '_>) -> Option<Rewrite> {
    let at = options.section.at.clone();
    let directions = [
        ("both", (true, true)),
        ("in", (true, false)),
        ("out", (false, true)),
    ];
    let (inbound, outbound) = options.word("direction", &directions, (true, true));
    let devices = renamings(options, "device");
    let mailboxes = renamings(options, "mailbox");
    let states = states(options, inbound && outbound);
    if ["device", "mailbox", "state"]
        .into_iter()
        .all(|name| options.all(name).is_empty())
    {
        let message = format!("rewrite {} rewrites nothing", quote(&options.section.name));
        options
            .context
            .findings
            .warning("rewrite-empty", &at, message, None);
    }
    let Some(entry) = options.last("peer").filter(|entry| !entry.value.is_empty()) else {
        let message = format!("rewrite {} names no `peer`", quote(&options.section.name));
        options.context.findings.error_with_help(
            "rewrite-peer",
            &at,
            message,
            "the name of an asterisk-publication",
        );
        return None;
    };
    let peer = entry.value.clone();
    options.refer(
        "peer",
        entry,
        &peer,
        "asterisk-publication",
        Severity::Error,
        None,
    );
    Some(Rewrite {
        name: options.section.name.clone(),
        at,
        peer,
        inbound,
        outbound,
        devices,
        mailboxes,
        states,
    })
}

/// The renamings of an option. Two names that become one are a warning: the lamp of both would show whichever spoke last.
fn renamings(options: &mut Options<'_, '_>, name: &'static str) -> Vec<Renaming> {
    let mut list: Vec<Renaming> = Vec::new();
    for entry in options.all(name) {
        let renaming: Renaming = match entry.value.parse() {
            Ok(renaming) => renaming,
            Err(takes) => {
                options.bad_value(entry, name, takes);
                continue;
            }
        };
        if let Some(before) = list
            .iter()
            .find(|before| renaming.theirs.lies_in(&before.theirs))
        {
            let message = format!("`{renaming}` is never reached: `{before}` takes all of it");
            let help = Some("put the narrower one first".to_owned());
            options
                .context
                .findings
                .warning("rewrite-unreachable", &entry.at, message, help);
        }
        if let Some(before) = list.iter().find(|before| {
            renaming.ours.meets(&before.ours) && !renaming.theirs.lies_in(&before.theirs)
        }) {
            let message = format!("`{before}` and `{renaming}` can make one name of two");
            let help =
                "the two would overwrite each other here, and there is no way back".to_owned();
            options
                .context
                .findings
                .warning("rewrite-collision", &entry.at, message, Some(help));
        }
        list.push(renaming);
    }
    // A name of the peer's that is left as it is may be one that another is renamed to.
    for entry in options.all(name) {
        let Ok(renaming) = entry.value.parse::<Renaming>() else {
            continue;
        };
        if !list
            .iter()
            .any(|other| renaming.ours.lies_in(&other.theirs))
        {
            let message = format!(
                "`{renaming}` makes names that the peer may have itself, and those are left as they are"
            );
            options
                .context
                .findings
                .note("rewrite-overlap", &entry.at, message);
        }
    }
    list
}

/// The states of a rewrite. Both ways, two that become one have no way back.
fn states(options: &mut Options<'_, '_>, both: bool) -> Vec<(DeviceState, DeviceState)> {
    let mut list: Vec<(DeviceState, DeviceState)> = Vec::new();
    let words: Vec<&str> = DeviceState::ALL
        .iter()
        .map(|state| state.as_str())
        .collect();
    for entry in options.all("state") {
        let Some((theirs, ours)) = entry.value.split_once("->") else {
            options.bad_value(
                entry,
                "state",
                "`THEIRS -> OURS`, as in `UNAVAILABLE -> NOT_INUSE`",
            );
            continue;
        };
        let [theirs, ours] = [theirs, ours].map(|word| {
            let word = word.trim();
            let found = DeviceState::parse(word);
            if found.is_none() {
                let message = format!("{} is no device state", quote(word));
                options.error_at("bad-value", entry, word, message, &one_of(word, &words));
            }
            found
        });
        let (Some(theirs), Some(ours)) = (theirs, ours) else {
            continue;
        };
        if both && list.iter().any(|(_, before)| *before == ours) {
            let message = format!("two states of the peer's become {}", ours.as_str());
            let help = "what this node tells the peer cannot be told apart again: use direction=in";
            options.context.findings.warning(
                "rewrite-collision",
                &entry.at,
                message,
                Some(help.to_owned()),
            );
        }
        list.push((theirs, ours));
    }
    list
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for (rule, theirs, ours) in [
            ("SIP/* -> PJSIP/*", "SIP/100", Some("PJSIP/100")),
            ("SIP/* -> PJSIP/*", "PJSIP/100", None),
            ("*@default->*@branch", "100@default", Some("100@branch")),
            ("* -> t1-*", "x", Some("t1-x")),
            ("Custom:a -> Custom:b", "Custom:a", Some("Custom:b")),
            ("Custom:a -> Custom:b", "Custom:aa", None),
            ("SIP/* -> Local/*@out", "SIP/", Some("Local/@out")),
            ("a*a -> b*", "a", None),
        ] {
            let rule: Renaming = rule.parse().unwrap();
            assert_eq!(rule.to_ours(theirs).as_deref(), ours, "{rule}");
            if let Some(ours) = ours {
                assert_eq!(rule.to_theirs(ours).as_deref(), Some(theirs), "{rule}");
            }
        }
        for wrong in ["", "a", "a ->", "-> b", "a* -> b", "a -> b*", "a** -> b*"] {
            assert!(wrong.parse::<Renaming>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn patterns_meet_and_lie_in_each_other() {
        let rule = |text: &str| {
            format!("{text} -> {text}")
                .parse::<Renaming>()
                .unwrap()
                .ours
        };
        for (one, two, meet, lies) in [
            ("PJSIP/*", "PJSIP/1*", true, false),
            ("PJSIP/1*", "PJSIP/*", true, true),
            ("PJSIP/*", "SIP/*", false, false),
            ("PJSIP/*", "*", true, true),
            ("*@a", "1*", true, false),
            ("x", "*", true, true),
            ("x", "y", false, false),
        ] {
            assert_eq!(rule(one).meets(&rule(two)), meet, "{one} {two}");
            assert_eq!(rule(one).lies_in(&rule(two)), lies, "{one} {two}");
        }
    }
}
