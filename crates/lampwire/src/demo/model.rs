//! What the demo knows of its two nodes, drawn from their events: each node's own lamps, and how the other sees them.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::driver::events::{Entry, Kind};
use crate::http::types::{DeviceEvent, MailboxEvent};

/// The most changes of a lamp that may be on their way; older ones are not measured.
const ON_THE_WAY_MAX: usize = 16;

/// The most latencies that are kept for the median.
const LATENCIES_MAX: usize = 1000;

/// The most lamps of a node that are kept; what else somebody sets is not shown.
const LAMPS_MAX: usize = 200;

/// Both nodes.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// By node.
    pub(crate) sides: [Side; 2],
    latencies: VecDeque<Duration>,
    /// Changes that have crossed.
    pub(crate) crossed: u64,
    /// The longest that a change took.
    pub(crate) worst: Duration,
}

/// The own lamps of one node.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// The node's entity id: what it says itself bears it.
    pub(crate) entity_id: String,
    pub(crate) devices: BTreeMap<String, Lamp>,
    pub(crate) mailboxes: BTreeMap<String, Lamp>,
}

/// A device or mailbox of a node.
#[derive(Debug, Default)]
pub(crate) struct Lamp {
    /// What its own node says: a state's name, or the counts.
    pub(crate) own: String,
    /// What the other node shows.
    pub(crate) seen: Option<String>,
    /// How long its last change took to cross.
    pub(crate) latency: Option<Duration>,
    /// When it last changed.
    pub(crate) changed_at: Option<Instant>,
    on_the_way: VecDeque<(String, Instant)>,
    /// What the other node was heard to show before its cause was heard of: two nodes, two streams of events.
    early: Option<(String, Instant)>,
}

/// A change at one node, as a line says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) node: usize,
    pub(crate) name: String,
    pub(crate) value: String,
}

impl Model {
    /// Two nodes with these entity ids and no lamps.
    pub(crate) fn new(entity_ids: [String; 2]) -> Self {
        Self {
            sides: entity_ids.map(|entity_id| Side {
                entity_id,
                ..Side::default()
            }),
            ..Self::default()
        }
    }

    /// Takes an event of a node. Gives what it says, if it is about a device or mailbox.
    pub(crate) fn take(&mut self, node: usize, entry: &Entry) -> Option<Change> {
        let (name, eid, value) = match entry.kind {
            Kind::Device => {
                let event: DeviceEvent = serde_json::from_str(&entry.data).ok()?;
                let said = event
                    .device
                    .entities
                    .into_iter()
                    .find(|entity| entity.eid == event.eid);
                // A device that is taken back is INVALID to everybody.
                (
                    event.device.device,
                    event.eid,
                    said.map_or_else(|| "INVALID".to_owned(), |entity| entity.state),
                )
            }
            Kind::Mailbox => {
                let MailboxEvent { mailbox, said, .. } = serde_json::from_str(&entry.data).ok()?;
                let (new, old) = said.map_or((0, 0), |said| (said.new, said.old));
                (mailbox.mailbox, mailbox.eid, format!("{new}/{old}"))
            }
            Kind::Peer | Kind::Publication => return None,
        };
        if let Some(owner) = self.sides.iter().position(|side| side.entity_id == eid) {
            self.note(owner, owner == node, entry, &name, &value);
        }
        Some(Change { node, name, value })
    }

    fn note(&mut self, owner: usize, own: bool, entry: &Entry, name: &str, value: &str) {
        let side = &mut self.sides[owner];
        let lamps = if entry.kind == Kind::Device {
            &mut side.devices
        } else {
            &mut side.mailboxes
        };
        if !lamps.contains_key(name) && lamps.len() == LAMPS_MAX {
            return;
        }
        let lamp = lamps.entry(name.to_owned()).or_default();
        if own {
            value.clone_into(&mut lamp.own);
            lamp.changed_at = Some(entry.at);
            if let Some((_, seen_at)) = lamp.early.take().filter(|(seen, _)| seen == value) {
                let latency = seen_at.saturating_duration_since(entry.at);
                lamp.latency = Some(latency);
                return self.count(latency);
            }
            if lamp.on_the_way.len() == ON_THE_WAY_MAX {
                lamp.on_the_way.pop_front();
            }
            lamp.on_the_way.push_back((value.to_owned(), entry.at));
            return;
        }
        lamp.seen = Some(value.to_owned());
        // What was overtaken on the way is not waited for any more.
        let arrived = lamp.on_the_way.iter().position(|(sent, _)| sent == value);
        match arrived.and_then(|index| lamp.on_the_way.drain(..=index).next_back()) {
            Some((_, sent_at)) => {
                let latency = entry.at.saturating_duration_since(sent_at);
                lamp.latency = Some(latency);
                self.count(latency);
            }
            None => lamp.early = Some((value.to_owned(), entry.at)),
        }
    }

    fn count(&mut self, latency: Duration) {
        self.crossed += 1;
        self.worst = self.worst.max(latency);
        if self.latencies.len() == LATENCIES_MAX {
            self.latencies.pop_front();
        }
        self.latencies.push_back(latency);
    }

    /// The median of the last changes' times.
    pub(crate) fn median(&self) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.latencies.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// How many lamps show something else at the other node.
    pub(crate) fn differing(&self) -> usize {
        self.sides
            .iter()
            .flat_map(|side| side.devices.values().chain(side.mailboxes.values()))
            .filter(|lamp| lamp.seen.as_ref() != Some(&lamp.own))
            .count()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    pub(crate) fn device(eid: &str, name: &str, state: &str, at: Instant) -> Entry {
        let data = format!(
            r#"{{"device":"{name}","state":"{state}","entities":[{{"eid":"{eid}","state":"{state}","cachable":true,
            "source":"local","peer":null,"updated_at":""}}],"eid":"{eid}","previous":null}}"#
        );
        Entry {
            id: 1,
            at,
            kind: Kind::Device,
            name: name.to_owned(),
            data,
        }
    }

    #[test]
    fn a_change_crosses_and_is_measured() {
        let mut model = Model::new(["a".to_owned(), "b".to_owned()]);
        let begin = Instant::now();
        let change = model
            .take(0, &device("a", "PJSIP/1", "INUSE", begin))
            .unwrap();
        assert_eq!(
            change,
            Change {
                node: 0,
                name: "PJSIP/1".to_owned(),
                value: "INUSE".to_owned()
            }
        );
        assert_eq!(model.differing(), 1);
        let later = begin + Duration::from_millis(3);
        model.take(1, &device("a", "PJSIP/1", "INUSE", later));
        let lamp = &model.sides[0].devices["PJSIP/1"];
        assert_eq!(lamp.seen.as_deref(), Some("INUSE"));
        assert_eq!(lamp.latency, Some(Duration::from_millis(3)));
        assert_eq!(
            (model.differing(), model.crossed, model.median()),
            (0, 1, Some(Duration::from_millis(3)))
        );
    }

    #[test]
    fn the_effect_may_be_heard_before_its_cause() {
        let mut model = Model::new(["a".to_owned(), "b".to_owned()]);
        let begin = Instant::now();
        model.take(
            1,
            &device("a", "PJSIP/1", "INUSE", begin + Duration::from_millis(1)),
        );
        model.take(0, &device("a", "PJSIP/1", "INUSE", begin));
        assert_eq!(
            model.sides[0].devices["PJSIP/1"].latency,
            Some(Duration::from_millis(1))
        );
        assert_eq!((model.crossed, model.differing()), (1, 0));
    }

    #[test]
    fn what_is_overtaken_is_not_waited_for() {
        let mut model = Model::new(["a".to_owned(), "b".to_owned()]);
        let begin = Instant::now();
        model.take(0, &device("a", "PJSIP/1", "INUSE", begin));
        model.take(
            0,
            &device("a", "PJSIP/1", "BUSY", begin + Duration::from_millis(1)),
        );
        model.take(
            1,
            &device("a", "PJSIP/1", "BUSY", begin + Duration::from_millis(3)),
        );
        assert_eq!(
            model.sides[0].devices["PJSIP/1"].latency,
            Some(Duration::from_millis(2))
        );
        assert_eq!(model.crossed, 1);
    }

    #[test]
    fn lamps_are_bounded() {
        let mut model = Model::new(["a".to_owned(), "b".to_owned()]);
        for n in 0..LAMPS_MAX + 10 {
            model.take(
                0,
                &device("a", &format!("Custom:{n}"), "INUSE", Instant::now()),
            );
        }
        assert_eq!(model.sides[0].devices.len(), LAMPS_MAX);
    }
}
