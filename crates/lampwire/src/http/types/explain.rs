//! Answers to `GET /api/v1/explain/...`: why a lamp is lit, or is not.

use lampwire_core as core;
use lampwire_core::{DropCause, Source, Verdict, WallTime};
use lampwire_sip::{DeviceState, EntityId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Answer, Entity, Mailbox};

/// Why a device shows what it shows.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct DeviceExplanation {
    pub(crate) device: String,
    /// The sum of the entities' states.
    pub(crate) state: String,
    /// How the sum came about, in a sentence.
    pub(crate) sum: String,
    pub(crate) entities: Vec<ExplainedEntity>,
    #[serde(flatten)]
    pub(crate) trail: Trail,
}

/// What one entity says of a device, and what it does to the sum.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ExplainedEntity {
    #[serde(flatten)]
    pub(crate) entity: Entity,
    /// Milliseconds since it was said first.
    pub(crate) age_ms: u64,
    /// It is part of the sum.
    pub(crate) counts: bool,
    /// The sum would be another without it, or is what it says.
    pub(crate) decides: bool,
    pub(crate) clear: Clear,
}

/// Why a mailbox shows what it shows.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct MailboxExplanation {
    pub(crate) mailbox: String,
    /// `null`: nobody says anything of it.
    pub(crate) new: Option<u16>,
    pub(crate) old: Option<u16>,
    /// How the counts came about, in a sentence.
    pub(crate) sum: String,
    pub(crate) entities: Vec<ExplainedMailbox>,
    #[serde(flatten)]
    pub(crate) trail: Trail,
}

/// What one entity says of a mailbox.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ExplainedMailbox {
    #[serde(flatten)]
    pub(crate) entity: Mailbox,
    /// Milliseconds since it was said first.
    pub(crate) age_ms: u64,
    /// These are the counts that the lamp shows.
    pub(crate) decides: bool,
    pub(crate) clear: Clear,
}

/// How a state is taken back where it was set.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Clear {
    /// The server to do it on, in words.
    pub(crate) on: String,
    /// The command for a shell there; `null`: there is none.
    pub(crate) command: Option<String>,
    /// What else is to be known.
    pub(crate) note: Option<String>,
}

/// Where the values come from and go to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Trail {
    /// The outbound-publishes of this kind of state.
    pub(crate) publishers: Vec<Told>,
    /// The asterisk-publications, over which states of peers come in.
    pub(crate) publications: Vec<Taken>,
    /// The last state of this name that a peer sent and that was not kept, as far as it is remembered.
    pub(crate) dropped: Option<Dropped>,
    /// The newest changes, newest first, as far as they are remembered.
    pub(crate) history: Vec<Change>,
}

/// What an outbound-publish has told its peer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Told {
    pub(crate) publisher: String,
    pub(crate) peer: Option<String>,
    /// The name passes its filter.
    pub(crate) wanted: bool,
    /// The filter that keeps the name out.
    pub(crate) filter: Option<String>,
    /// Why it is kept out, where it is.
    pub(crate) why: Option<String>,
    pub(crate) values: Vec<ToldValue>,
    /// The peer's last answer, whatever it was about.
    pub(crate) last_answer: Option<Answer>,
}

/// Whether a peer has one entity's value.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ToldValue {
    pub(crate) eid: String,
    /// `confirmed`, `waiting`, `refused`, or `not-told`: it came from another node.
    pub(crate) delivery: String,
    /// When the peer last confirmed it, as far as it is remembered.
    pub(crate) confirmed_at: Option<String>,
}

/// Whether an asterisk-publication takes states of this name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Taken {
    pub(crate) publication: String,
    pub(crate) wanted: bool,
    /// The filter that keeps the name out.
    pub(crate) filter: Option<String>,
    /// Why it is kept out, where it is.
    pub(crate) why: Option<String>,
}

/// A state that was granted and not kept.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Dropped {
    /// When the last one came.
    pub(crate) at: String,
    pub(crate) eid: String,
    /// What it said: a state, or `NEW/OLD`.
    pub(crate) said: String,
    /// The asterisk-publication over which it came.
    pub(crate) publication: String,
    /// `not-wanted`: the asterisk-publication does not take it; `own-entity-id`: it came under this node's own entity id.
    pub(crate) cause: String,
    /// How many there were, as far as it is remembered.
    pub(crate) count: u64,
}

/// A change that happened.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Change {
    pub(crate) at: String,
    pub(crate) eid: String,
    /// What the entity had said before; `null`: nothing.
    pub(crate) previous: Option<String>,
    /// What it says since; `null`: nothing any more.
    pub(crate) said: Option<String>,
    pub(crate) source: String,
    pub(crate) peer: Option<String>,
}

impl DeviceExplanation {
    /// What the node of the entity id `own` knows, at the moment `now`.
    pub(crate) fn new(view: core::DeviceExplanation, own: EntityId, now: WallTime) -> Self {
        let core::DeviceExplanation {
            device,
            lampwires,
            trail,
        } = view;
        let sum = device.state;
        let sentence = sentence(&device);
        let name = &device.device;
        let entities = device.entities.iter().map(|entity| {
            let counts = entity.cachable && !entity.lost;
            ExplainedEntity {
                age_ms: age(now, entity.updated_at),
                counts,
                decides: counts && decides(entity.state, sum),
                clear: match lampwires.contains(&entity.eid) {
                    true => clear_lampwire("device", name, entity.peer.as_deref(), entity.eid),
                    false => clear_device(name, entity, own),
                },
                entity: entity.clone().into(),
            }
        });
        Self {
            state: sum.as_str().to_owned(),
            sum: sentence,
            entities: entities.collect(),
            trail: trail.into(),
            device: device.device,
        }
    }
}

impl MailboxExplanation {
    /// What the node of the entity id `own` knows, at the moment `now`.
    pub(crate) fn new(view: core::MailboxExplanation, own: EntityId, now: WallTime) -> Self {
        let shown = view.entities.first();
        let sum = match shown {
            Some(shown) if view.entities.len() > 1 && view.owned => format!(
                "{}/{} of {}, which owns it, among {} that say something",
                shown.new,
                shown.old,
                who(shown.peer.as_deref(), shown.eid),
                view.entities.len()
            ),
            Some(shown) if view.entities.len() > 1 => format!(
                "{}/{} of {}: as on an Asterisk, the last of {} that said something",
                shown.new,
                shown.old,
                who(shown.peer.as_deref(), shown.eid),
                view.entities.len()
            ),
            Some(shown) => format!(
                "{}/{} of {}, which alone says something",
                shown.new,
                shown.old,
                who(shown.peer.as_deref(), shown.eid)
            ),
            None => "nobody says anything of it".to_owned(),
        };
        let entities = view.entities.iter().enumerate();
        Self {
            new: shown.map(|shown| shown.new),
            old: shown.map(|shown| shown.old),
            sum,
            entities: entities
                .map(|(index, entity)| ExplainedMailbox {
                    age_ms: age(now, entity.updated_at),
                    decides: index == 0,
                    clear: match view.lampwires.contains(&entity.eid) {
                        true => clear_lampwire(
                            "mailbox",
                            &entity.mailbox,
                            entity.peer.as_deref(),
                            entity.eid,
                        ),
                        false => clear_mailbox(entity, own),
                    },
                    entity: entity.clone().into(),
                })
                .collect(),
            trail: view.trail.into(),
            mailbox: view.mailbox,
        }
    }
}

fn age(now: WallTime, then: WallTime) -> u64 {
    now.as_millis().saturating_sub(then.as_millis())
}

fn who(peer: Option<&str>, eid: EntityId) -> String {
    peer.map_or_else(
        || format!("this node ({eid})"),
        |peer| format!("{peer} ({eid})"),
    )
}

/// Whether a state that counts is why the sum is what it is.
fn decides(state: DeviceState, sum: DeviceState) -> bool {
    state == sum
        || (sum == DeviceState::RingInUse
            && matches!(
                state,
                DeviceState::Ringing | DeviceState::InUse | DeviceState::Busy | DeviceState::OnHold
            ))
}

/// How the sum of a device came about.
fn sentence(device: &core::DeviceView) -> String {
    let counting: Vec<_> = device
        .entities
        .iter()
        .filter(|entity| entity.cachable && !entity.lost)
        .collect();
    let sum = device.state.as_str();
    let deciding: Vec<String> = counting
        .iter()
        .filter(|entity| decides(entity.state, device.state))
        .map(|entity| match entity.state == device.state {
            true => who(entity.peer.as_deref(), entity.eid),
            false => format!(
                "{} of {}",
                entity.state.as_str(),
                who(entity.peer.as_deref(), entity.eid)
            ),
        })
        .collect();
    match (counting.len(), device.entities.len()) {
        (0, 0) => format!("{sum}: nobody says anything of it"),
        (0, _) => format!("{sum}: nothing of what is said of it counts"),
        (1, _) => format!(
            "{sum}: {} alone says something that counts",
            deciding.join("")
        ),
        (count, _) => {
            let alike = counting.iter().any(|entity| entity.state == device.state);
            match alike {
                true => format!(
                    "{sum}: the heaviest of {count} states, said by {}",
                    deciding.join(", ")
                ),
                false => format!("{sum}: made of {}", deciding.join(" and ")),
            }
        }
    }
}

fn clear_device(name: &str, entity: &core::EntityView, own: EntityId) -> Clear {
    let quoted = shell_word(name);
    let ours = format!("lampwire unset device {quoted}");
    if entity.source == Source::Local {
        return clear_here(ours, entity.eid, own);
    }
    let on = format!("the server of {}", who(entity.peer.as_deref(), entity.eid));
    if is_custom(name) {
        let command = format!("devstate change {} NOT_INUSE", asterisk_word(name));
        return Clear {
            on,
            command: Some(format!("asterisk -rx {}", shell_word(&command))),
            note: Some(format!(
                "a custom state can be changed only on the server that set it; where that is a Lampwire: {ours}"
            )),
        };
    }
    Clear {
        on,
        command: None,
        note: Some(format!(
            "it is the state of a channel or a registration there and ends with it (`asterisk -rx 'core show channels'` shows channels); \
             `lampwire refresh` asks for it again; where that is a Lampwire: {ours}"
        )),
    }
}

fn clear_mailbox(entity: &core::MailboxView, own: EntityId) -> Clear {
    let name = &entity.mailbox;
    let ours = format!("lampwire unset mailbox {}", shell_word(name));
    if entity.source == Source::Local {
        return clear_here(ours, entity.eid, own);
    }
    Clear {
        on: format!("the server of {}", who(entity.peer.as_deref(), entity.eid)),
        command: None,
        note: Some(format!(
            "the counts follow its voice mail; external ones: asterisk -rx {}; where that is a Lampwire: {ours}",
            shell_word(&format!("mwi delete mailbox {}", asterisk_word(name)))
        )),
    }
}

/// What was set on this node, by its operator or by a program that has an entity id of its own.
fn clear_here(command: String, eid: EntityId, own: EntityId) -> Clear {
    let on = "this node".to_owned();
    match eid == own {
        true => Clear {
            on,
            command: Some(command),
            note: None,
        },
        false => Clear {
            on,
            command: Some(format!("{command} --eid {eid}")),
            note: Some(format!(
                "a program (type=api-client) whose entity id is {eid} has set it, and may set it again"
            )),
        },
    }
}

/// What another Lampwire says itself: it was set there by the same commands as here.
fn clear_lampwire(kind: &str, name: &str, peer: Option<&str>, eid: EntityId) -> Clear {
    Clear {
        on: format!("the Lampwire of {}", who(peer, eid)),
        command: Some(format!("lampwire unset {kind} {}", shell_word(name))),
        note: None,
    }
}

/// Asterisk compares the technology of a device without case.
fn is_custom(name: &str) -> bool {
    name.get(..7)
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case("custom:"))
}

/// A word of a POSIX shell. Names hold no control characters.
fn shell_word(text: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_./:@+=,".contains(it);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A word of Asterisk's command line.
fn asterisk_word(text: &str) -> String {
    if text.contains([' ', '"', '\\', ';']) {
        format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
    } else {
        text.to_owned()
    }
}

/// The filter that keeps a name out, and what to say of that.
fn kept_out(verdict: &Verdict) -> (Option<String>, Option<String>) {
    match verdict {
        Verdict::Wanted => (None, None),
        Verdict::Filtered(filter) => (
            Some(filter.clone()),
            Some(format!("its filter {filter:?} does not match")),
        ),
        Verdict::NotAskedFor(filter) => (
            Some(filter.clone()),
            Some(format!(
                "the peer has asked only for what {filter:?} matches"
            )),
        ),
        Verdict::AnotherSpeaks(node) => (
            None,
            Some(format!(
                "node {node} of the cluster tells that server everything (see `lampwire show cluster`)"
            )),
        ),
        Verdict::KindOff => (None, Some("it takes no states of this kind".to_owned())),
    }
}

impl From<core::Trail> for Trail {
    fn from(trail: core::Trail) -> Self {
        Self {
            publishers: trail.publishers.into_iter().map(Told::from).collect(),
            publications: trail.publications.into_iter().map(Taken::from).collect(),
            dropped: trail.dropped.map(Dropped::from),
            history: trail.history.into_iter().map(Change::from).collect(),
        }
    }
}

impl From<core::ToldView> for Told {
    fn from(view: core::ToldView) -> Self {
        let value = |value: core::DeliveryView| ToldValue {
            eid: value.eid.to_string(),
            delivery: value.delivery.as_str().to_owned(),
            confirmed_at: value.confirmed_at.map(|at| at.to_string()),
        };
        let (filter, why) = kept_out(&view.verdict);
        Self {
            publisher: view.publisher,
            peer: view.peer,
            wanted: view.verdict == Verdict::Wanted,
            filter,
            why,
            values: view.values.into_iter().map(value).collect(),
            last_answer: view.last_answer.map(Answer::from),
        }
    }
}

impl From<core::TakenView> for Taken {
    fn from(view: core::TakenView) -> Self {
        let (filter, why) = kept_out(&view.verdict);
        Self {
            wanted: view.verdict == Verdict::Wanted,
            filter,
            why,
            publication: view.publication,
        }
    }
}

impl From<core::DroppedView> for Dropped {
    fn from(view: core::DroppedView) -> Self {
        Self {
            at: view.at.to_string(),
            eid: view.eid.to_string(),
            said: view.said.to_string(),
            publication: view.publication,
            cause: match view.cause {
                DropCause::NotWanted => "not-wanted",
                DropCause::OwnEntityId => "own-entity-id",
            }
            .to_owned(),
            count: view.count,
        }
    }
}

impl From<core::ChangeView> for Change {
    fn from(view: core::ChangeView) -> Self {
        Self {
            at: view.at.to_string(),
            eid: view.eid.to_string(),
            previous: view.previous.map(|said| said.to_string()),
            said: view.said.map(|said| said.to_string()),
            source: view.source.as_str().to_owned(),
            peer: view.peer,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entity(number: u8, state: DeviceState, peer: Option<&str>) -> core::EntityView {
        core::EntityView {
            eid: format!("02:00:00:00:00:{number:02}").parse().unwrap(),
            state,
            cachable: true,
            source: match peer {
                Some(_) => Source::Publication,
                None => Source::Local,
            },
            peer: peer.map(str::to_owned),
            updated_at: WallTime::from_millis(1000),
            lost: false,
        }
    }

    fn device(state: DeviceState, entities: Vec<core::EntityView>) -> core::DeviceView {
        core::DeviceView {
            device: "Custom:x".to_owned(),
            state,
            entities,
        }
    }

    #[test]
    fn the_sum_is_told_in_a_sentence() {
        use DeviceState::{InUse, Invalid, NotInUse, RingInUse, Ringing};
        let a = |state| entity(1, state, None);
        let b = |state| entity(2, state, Some("office"));
        let told = |state, entities| sentence(&device(state, entities));
        assert_eq!(told(Invalid, vec![]), "INVALID: nobody says anything of it");
        assert_eq!(
            told(InUse, vec![b(InUse)]),
            "INUSE: office (02:00:00:00:00:02) alone says something that counts"
        );
        assert_eq!(
            told(InUse, vec![a(NotInUse), b(InUse)]),
            "INUSE: the heaviest of 2 states, said by office (02:00:00:00:00:02)"
        );
        assert_eq!(
            told(RingInUse, vec![a(Ringing), b(InUse)]),
            "RINGINUSE: made of RINGING of this node (02:00:00:00:00:01) and INUSE of office (02:00:00:00:00:02)"
        );
        let mut passing = a(InUse);
        passing.cachable = false;
        assert_eq!(
            told(Invalid, vec![passing]),
            "INVALID: nothing of what is said of it counts"
        );
    }

    #[test]
    fn a_state_is_cleared_where_it_was_set() {
        let own = "02:00:00:00:00:01".parse().unwrap();
        let ours = clear_device("Custom:it's", &entity(1, DeviceState::InUse, None), own);
        assert_eq!(
            ours.command.unwrap(),
            r"lampwire unset device 'Custom:it'\''s'"
        );
        let program = clear_device("Custom:x", &entity(9, DeviceState::InUse, None), own);
        assert_eq!(
            (program.on.as_str(), program.command.as_deref()),
            (
                "this node",
                Some("lampwire unset device Custom:x --eid 02:00:00:00:00:09")
            )
        );
        let peer = entity(2, DeviceState::InUse, Some("office"));
        let theirs = clear_device("Custom:x", &peer, own);
        assert_eq!(
            theirs.command.unwrap(),
            "asterisk -rx 'devstate change Custom:x NOT_INUSE'"
        );
        assert_eq!(theirs.on, "the server of office (02:00:00:00:00:02)");
        assert_eq!(clear_device("PJSIP/1001", &peer, own).command, None);
        assert_eq!(
            clear_device("custom:a b", &peer, own).command.unwrap(),
            "asterisk -rx 'devstate change \"custom:a b\" NOT_INUSE'"
        );
    }
}
