//! Why a lamp is lit, or is not: what each entity says, what is kept out and by which filter, and who has been told.

use std::fmt;

use lampwire_sip::{DeviceState, EntityId};

use super::Node;
use crate::filters::FilterId;
use crate::lately::{Changed, DropCause, Dropped};
use crate::limits;
use crate::publisher::{Delivery, Publisher};
use crate::table::{Cell, Change, Kind, NameId, Source, Value};
use crate::time::{Now, WallTime};
use crate::view::{AnswerView, DeviceView, MailboxView};

/// A device with all that explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceExplanation {
    /// The device; without entities where nothing is kept of it.
    pub device: DeviceView,
    /// Those of its entities that are known to be Lampwires.
    pub lampwires: Vec<EntityId>,
    /// Where its values come from and go to.
    pub trail: Trail,
}

/// A mailbox with all that explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxExplanation {
    /// Its name.
    pub mailbox: String,
    /// What each entity says: what is shown, then the others, newest first.
    pub entities: Vec<MailboxView>,
    /// What is shown is its owner's, as on a hub, and not the last writer's.
    pub owned: bool,
    /// Those of them that are known to be Lampwires.
    pub lampwires: Vec<EntityId>,
    /// Where its values come from and go to.
    pub trail: Trail,
}

/// Where the values of a name come from and go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trail {
    /// The publishers of its kind, in the order of the configuration.
    pub publishers: Vec<ToldView>,
    /// The asterisk-publications, in the order of the configuration: whether they take states of this name.
    pub publications: Vec<TakenView>,
    /// The last state that was granted and not kept.
    pub dropped: Option<DroppedView>,
    /// The newest changes, newest first, as far as they are remembered.
    pub history: Vec<ChangeView>,
}

/// Whether a section of the configuration wants a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Wanted,
    /// Another node of the cluster, of this name, tells that peer everything.
    AnotherSpeaks(String),
    /// Its filter, as written, does not match.
    Filtered(String),
    /// The peer has asked for other names only, by this filter.
    NotAskedFor(String),
    /// It takes no states of this kind.
    KindOff,
}

/// What one publisher has told of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldView {
    /// The publish.
    pub publisher: String,
    /// The peer it tells.
    pub peer: Option<String>,
    /// Whether its filter wants the name.
    pub verdict: Verdict,
    /// For each entity's value, whether the peer has it. Empty where the filter does not want the name.
    pub values: Vec<DeliveryView>,
    /// The peer's last final answer, whatever it was about.
    pub last_answer: Option<AnswerView>,
}

/// Whether a peer has one entity's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryView {
    /// The entity.
    pub eid: EntityId,
    /// Whether it has come to the peer.
    pub delivery: Delivery,
    /// When the peer last confirmed it, where that is remembered.
    pub confirmed_at: Option<WallTime>,
}

/// Whether an asterisk-publication takes states of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenView {
    /// The asterisk-publication.
    pub publication: String,
    /// Whether it wants the name.
    pub verdict: Verdict,
}

/// A state that was granted and not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedView {
    /// When the last such state came.
    pub at: WallTime,
    /// Under which entity id.
    pub eid: EntityId,
    /// What it said.
    pub said: Said,
    /// The asterisk-publication over which it came.
    pub publication: String,
    /// Why.
    pub cause: DropCause,
    /// How many were dropped for this reason, as far as it is remembered.
    pub count: u64,
}

/// A change that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeView {
    /// When.
    pub at: WallTime,
    /// The entity that spoke.
    pub eid: EntityId,
    /// What it had said before.
    pub previous: Option<Said>,
    /// What it says since; `None`: nothing any more.
    pub said: Option<Said>,
    /// Where it was heard.
    pub source: Source,
    /// The peer it came from, where it came from one.
    pub peer: Option<String>,
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Of a device.
    Device(DeviceState),
    /// Of a mailbox: (new, old).
    Mailbox(u16, u16),
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(state) => f.write_str(state.as_str()),
            Self::Mailbox(new, old) => write!(f, "{new}/{old}"),
        }
    }
}

impl Said {
    fn of(kind: Kind, value: Value) -> Self {
        match kind {
            Kind::Device => Self::Device(value.state()),
            Kind::Mailbox => {
                let (new, old) = value.counts();
                Self::Mailbox(new, old)
            }
        }
    }
}

impl Node {
    /// Why a device shows what it shows; `None` where nothing is known of it.
    pub fn explain_device(&self, name: &str) -> Option<DeviceExplanation> {
        let known = self.table.names.find(Kind::Device, name);
        let trail = self.trail(Kind::Device, name, known);
        let device = match known {
            Some(known) => self.device_view(known),
            None => DeviceView {
                device: name.to_owned(),
                state: DeviceState::Invalid,
                entities: Vec::new(),
            },
        };
        let something = !device.entities.is_empty() || trail.has_something();
        let lampwires = self.lampwires(device.entities.iter().map(|entity| entity.eid));
        something.then_some(DeviceExplanation {
            device,
            lampwires,
            trail,
        })
    }

    /// Why a mailbox shows what it shows; `None` where nothing is known of it.
    pub fn explain_mailbox(&self, name: &str) -> Option<MailboxExplanation> {
        let known = self.table.names.find(Kind::Mailbox, name);
        let trail = self.trail(Kind::Mailbox, name, known);
        let mut cells: Vec<&Cell> = known
            .into_iter()
            .flat_map(|known| self.table.entities(known))
            .collect();
        let shown = known.and_then(|known| self.table.mailbox(known));
        let shown = shown.map(|cell| cell.rev);
        let owner = known
            .filter(|_| self.config.lampwire.relay)
            .and_then(|known| self.table.names.get(known).owner);
        cells.sort_by_key(|cell| (Some(cell.rev) != shown, std::cmp::Reverse(cell.rev)));
        let entities: Vec<MailboxView> = cells.iter().map(|cell| self.mailbox_view(cell)).collect();
        let something = !entities.is_empty() || trail.has_something();
        something.then_some(MailboxExplanation {
            mailbox: name.to_owned(),
            lampwires: self.lampwires(entities.iter().map(|entity| entity.eid)),
            entities,
            owned: owner.is_some_and(|owner| !self.table.cell(owner).dead),
            trail,
        })
    }

    /// Those of these entities that are peers of this node which have said that they are Lampwires.
    fn lampwires(&self, entities: impl Iterator<Item = EntityId>) -> Vec<EntityId> {
        let is_one = |eid: &EntityId| {
            let in_cluster = self.cluster.as_ref();
            in_cluster.is_some_and(|it| it.members.get(*eid).is_some())
                || self
                    .peers
                    .iter()
                    .any(|(_, peer)| peer.life.is_some() && peer.entity_id == Some(*eid))
        };
        entities.filter(is_one).collect()
    }

    /// Which asterisk-publications would take a device (or else a mailbox) of this name, whether or not it is known.
    pub fn would_take(&self, device: bool, name: &str) -> Vec<TakenView> {
        let kind = match device {
            true => Kind::Device,
            false => Kind::Mailbox,
        };
        let rules = self.config.asterisk_publications.iter().zip(&self.taken);
        rules
            .map(|(rule, &(devices, mailboxes))| {
                let (takes, filter) = match kind {
                    Kind::Device => (rule.device_state, devices),
                    Kind::Mailbox => (rule.mailbox_state, mailboxes),
                };
                TakenView {
                    publication: rule.name.clone(),
                    verdict: match takes {
                        true => self.verdict(filter, name),
                        false => Verdict::KindOff,
                    },
                }
            })
            .collect()
    }

    /// Remembers a change, for whoever asks later.
    pub(super) fn remember_change(&mut self, now: Now, change: &Change) {
        let cell = self.table.cell(change.cell);
        self.lately.changed(Changed {
            at: now.wall,
            kind: change.kind,
            name: std::sync::Arc::clone(&self.table.names.get(change.name).text),
            eid: self.table.eid(cell.eid),
            previous: change.previous,
            value: cell.value,
            source: cell.source,
            peer: cell.peer,
            node: (cell.source == Source::Cluster).then(|| self.table.version(cell).by),
            gone: cell.dead,
        });
    }

    fn trail(&self, kind: Kind, name: &str, known: Option<NameId>) -> Trail {
        let publishers = self.publishers.iter();
        let publishers = publishers.filter(|it| it.kind() == kind && !it.is_retiring());
        let history = self.lately.changes_of(kind, name, limits::CHANGES_SHOWN);
        Trail {
            publishers: publishers.map(|it| self.told(it, name, known)).collect(),
            publications: self.would_take(kind == Kind::Device, name),
            dropped: self
                .lately
                .drop_of(kind, name)
                .map(|dropped| self.dropped_view(dropped)),
            history: history.map(|change| self.change_view(change)).collect(),
        }
    }

    fn told(&self, publisher: &Publisher, name: &str, known: Option<NameId>) -> ToldView {
        let publish = &publisher.publish;
        let verdict = match (self.verdict(publisher.filter(), name), publisher.pushed()) {
            (Verdict::Wanted, Some(pushed)) if !pushed.is_match(name) => {
                Verdict::NotAskedFor(pushed.as_str().to_owned())
            }
            (Verdict::Wanted, _) => match self.speaks_instead(publisher) {
                Some(node) => Verdict::AnotherSpeaks(node),
                None => Verdict::Wanted,
            },
            (verdict, _) => verdict,
        };
        let cells = known
            .filter(|_| verdict == Verdict::Wanted)
            .into_iter()
            .flat_map(|known| self.table.entities(known));
        let mut values: Vec<DeliveryView> = cells
            .filter_map(|cell| {
                // The journal holds the newest entry of each cell for ever.
                let entry = self.table.entries_from(cell.rev).next()?;
                let delivery = publisher.delivery(&self.table, &self.filters, &entry);
                Some(DeliveryView {
                    eid: self.table.eid(cell.eid),
                    delivery,
                    confirmed_at: publisher
                        .confirmed_at(cell.rev)
                        .filter(|_| delivery == Delivery::Confirmed),
                })
            })
            .collect();
        values.sort_by_key(|value| value.eid);
        ToldView {
            publisher: publish.name.clone(),
            peer: publisher.peer.map(|peer| self.peers.get(peer).name.clone()),
            verdict,
            values,
            last_answer: publisher.last_answer().cloned(),
        }
    }

    fn verdict(&self, filter: Option<FilterId>, name: &str) -> Verdict {
        match filter {
            Some(filter) if !self.filters.matches(Some(filter), name) => {
                Verdict::Filtered(self.filters.text(filter).to_owned())
            }
            Some(_) | None => Verdict::Wanted,
        }
    }

    fn dropped_view(&self, dropped: &Dropped) -> DroppedView {
        DroppedView {
            at: dropped.at,
            eid: dropped.eid,
            said: Said::of(dropped.kind, dropped.value),
            publication: self.config.asterisk_publications[dropped.rule].name.clone(),
            cause: dropped.cause,
            count: dropped.count,
        }
    }

    fn change_view(&self, change: &Changed) -> ChangeView {
        let said = |value| Said::of(change.kind, value);
        ChangeView {
            at: change.at,
            eid: change.eid,
            previous: change.previous.map(said),
            said: (!change.gone).then(|| said(change.value)),
            source: change.source,
            peer: self.teller_of(change.peer, change.node),
        }
    }
}

impl Trail {
    fn has_something(&self) -> bool {
        self.dropped.is_some() || !self.history.is_empty()
    }
}
