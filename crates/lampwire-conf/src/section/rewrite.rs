//! `type=rewrite`: names and states that a peer has otherwise than this node.

use std::fmt;
use std::str::FromStr;

use lampwire_sip::DeviceState;

use super::{Options, one_of};
use crate::Location;
use crate::diagnostic::quote;
use crate::options::{OptionSpec, SectionSpec, acts, list, unset};

const OPTIONS: &[OptionSpec] = &[
    unset(
        "peer",
        "The asterisk-publication whose peer has other names, or the ami section.",
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
    /// The asterisk-publication whose peer is meant, or where none has that name the ami section; one of them exists.
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
    let way = Way { inbound, outbound };
    let devices = renamings(options, "device", way);
    let mailboxes = renamings(options, "mailbox", way);
    let states = states(options, way);
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
            "the name of an asterisk-publication, or of an ami section",
        );
        return None;
    };
    let peer = entry.value.clone();
    options.refer_to_either("peer", entry, "asterisk-publication", "ami");
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

/// What is rewritten.
#[derive(Clone, Copy, Debug)]
struct Way {
    inbound: bool,
    outbound: bool,
}

/// What is wrong with two lines of which one stands before the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clash {
    /// The second is never used.
    Unreachable,
    /// Two become one.
    Collision,
}

impl Clash {
    const fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "rewrite-unreachable",
            Self::Collision => "rewrite-collision",
        }
    }

    fn message(self, before: &str, line: &str) -> String {
        match self {
            Self::Unreachable => format!("`{line}` is never reached: `{before}` takes all of it"),
            Self::Collision => format!("`{before}` and `{line}` can make one name of two"),
        }
    }

    fn help(self) -> String {
        match self {
            Self::Unreachable => "put the narrower one first",
            Self::Collision => "the two would overwrite each other here, and there is no way back",
        }
        .to_owned()
    }
}

/// What comes in is found by the peer's names, else what goes out by ours.
fn clash(before: &Renaming, line: &Renaming, way: Way) -> Option<Clash> {
    let (found_by, made, found_before, made_before) = match way.inbound {
        true => (&line.theirs, &line.ours, &before.theirs, &before.ours),
        false => (&line.ours, &line.theirs, &before.ours, &before.theirs),
    };
    match found_by.lies_in(found_before) {
        true => Some(Clash::Unreachable),
        false => made.meets(made_before).then_some(Clash::Collision),
    }
}

/// The same of two states.
fn clash_of_states(
    before: (DeviceState, DeviceState),
    line: (DeviceState, DeviceState),
    way: Way,
) -> Option<Clash> {
    let ((theirs, ours), (theirs_before, ours_before)) = (line, before);
    let (same_theirs, same_ours) = (theirs == theirs_before, ours == ours_before);
    match (way.inbound, way.outbound) {
        (true, _) if same_theirs => Some(Clash::Unreachable),
        (false, _) if same_ours => Some(Clash::Unreachable),
        // What only comes in may lose a difference.
        (true, true) if same_ours => Some(Clash::Collision),
        _ => None,
    }
}

/// Several sections of one peer are one list of lines: what is wrong between them.
pub(crate) fn compare(rewrites: &[Rewrite], findings: &mut crate::diagnostic::Findings) {
    for (index, rewrite) in rewrites.iter().enumerate() {
        for before in &rewrites[..index] {
            let way = Way {
                inbound: before.inbound && rewrite.inbound,
                outbound: before.outbound && rewrite.outbound,
            };
            if before.peer != rewrite.peer || !(way.inbound || way.outbound) {
                continue;
            }
            let mut tell = |clash: Clash, line: &str, other: &str| {
                let message = format!(
                    "behind rewrite {} of the same peer: {}",
                    quote(&before.name),
                    clash.message(other, line)
                );
                findings.warning(clash.code(), &rewrite.at, message, Some(clash.help()));
            };
            for (lines, others) in [
                (&rewrite.devices, &before.devices),
                (&rewrite.mailboxes, &before.mailboxes),
            ] {
                for line in lines {
                    let first = others
                        .iter()
                        .find_map(|other| Some((clash(other, line, way)?, other)));
                    if let Some((clash, other)) = first {
                        tell(clash, &line.to_string(), &other.to_string());
                    }
                }
            }
            for line in &rewrite.states {
                let first = before
                    .states
                    .iter()
                    .find_map(|other| Some((clash_of_states(*other, *line, way)?, other)));
                if let Some((clash, other)) = first {
                    let [line, other] = [line, other]
                        .map(|(theirs, ours)| format!("{} -> {}", theirs.as_str(), ours.as_str()));
                    tell(clash, &line, &other);
                }
            }
        }
    }
}

/// The renamings of an option. Two names that become one are a warning: the lamp of both would show whichever spoke last.
fn renamings(options: &mut Options<'_, '_>, name: &'static str, way: Way) -> Vec<Renaming> {
    let mut list: Vec<Renaming> = Vec::new();
    for entry in options.all(name) {
        let renaming: Renaming = match entry.value.parse() {
            Ok(renaming) => renaming,
            Err(takes) => {
                options.bad_value(entry, name, takes);
                continue;
            }
        };
        for wanted in [Clash::Unreachable, Clash::Collision] {
            let mut before = list.iter();
            if let Some(before) = before.find(|it| clash(it, &renaming, way) == Some(wanted)) {
                let message = wanted.message(&before.to_string(), &renaming.to_string());
                options.context.findings.warning(
                    wanted.code(),
                    &entry.at,
                    message,
                    Some(wanted.help()),
                );
            }
        }
        list.push(renaming);
    }
    // A name that is left as it is may be one that another is renamed to.
    for entry in options.all(name) {
        let Ok(renaming) = entry.value.parse::<Renaming>() else {
            continue;
        };
        let moved = list.iter().any(|other| match way.inbound {
            true => renaming.ours.lies_in(&other.theirs),
            false => renaming.theirs.lies_in(&other.ours),
        });
        if !moved {
            let whose = match way.inbound {
                true => "the peer",
                false => "this node",
            };
            let message = format!(
                "`{renaming}` makes names that {whose} may have itself, and those are left as they are"
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
fn states(options: &mut Options<'_, '_>, way: Way) -> Vec<(DeviceState, DeviceState)> {
    let mut places = Vec::new();
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
        let before = list
            .iter()
            .find_map(|before| clash_of_states(*before, (theirs, ours), way));
        let (clash, message, help) = match before {
            Some(clash @ Clash::Collision) => (
                clash,
                format!("two states of the peer's become {}", ours.as_str()),
                "what this node tells the peer cannot be told apart again: use direction=in",
            ),
            Some(clash @ Clash::Unreachable) => (
                clash,
                format!(
                    "`{}` is never reached: a line before it takes all of it",
                    entry.value
                ),
                "leave one of the two",
            ),
            None => {
                list.push((theirs, ours));
                places.push((entry, (theirs, ours)));
                continue;
            }
        };
        list.push((theirs, ours));
        let help = Some(help.to_owned());
        options
            .context
            .findings
            .warning(clash.code(), &entry.at, message, help);
    }
    // A state of the peer's that is left as it is may be one that another becomes.
    for (entry, (theirs, ours)) in places {
        let moved = list.iter().any(|(theirs, _)| *theirs == ours);
        if way.inbound && way.outbound && !moved {
            let message = format!(
                "`{}` has no way back: the peer is told {} for each {} of ours, also where that is what it said itself",
                entry.value,
                theirs.as_str(),
                ours.as_str()
            );
            let help = "use direction=in, or a second line that moves it the other way";
            options.context.findings.warning(
                "rewrite-collision",
                &entry.at,
                message,
                Some(help.to_owned()),
            );
        }
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
