//! Who speaks for which entity id: what is remembered of each endpoint, and what is wrong about it.
//!
//! An entity id stands in the body and is believed (that is how relays work), so nothing in the protocol keeps two servers from using one, or
//! one from using another at each start. Both make lamps wrong in ways that nobody understands; here they are noticed.

use std::collections::{BTreeMap, BTreeSet};

use lampwire_conf::Config;
use lampwire_sip::EntityId;

use crate::limits;
use crate::peer::PeerId;
use crate::time::Time;

/// What an endpoint has said about entity ids.
#[derive(Debug, Default)]
struct Speaker {
    /// It is configured.
    configured: bool,
    /// Its own, by its `refresh` or its configuration.
    own: Option<EntityId>,
    /// All that it has spoken for at first hand.
    spoken: BTreeSet<EntityId>,
    /// All that it has brought anything of, at first hand or not, bounded.
    brought: BTreeSet<EntityId>,
    /// The hubs whose words it has brought, bounded.
    hubs: BTreeSet<EntityId>,
}

impl Speaker {
    /// Its own entity id: as it told, or, where it never did, the only one that it ever spoke for.
    fn presumed_own(&self) -> Option<EntityId> {
        match self.spoken.len() {
            1 => self.own.or(self.spoken.first().copied()),
            _ => self.own,
        }
    }
}

/// Something about entity ids that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Finding {
    /// Two endpoints have the same own entity id.
    Shared {
        eid: EntityId,
        endpoints: (usize, usize),
    },
    /// An endpoint has another own entity id than before.
    Changed {
        endpoint: usize,
        from: EntityId,
        to: EntityId,
    },
    /// An endpoint's own entity id is another than its `@entity_id`.
    NotAsConfigured {
        endpoint: usize,
        configured: EntityId,
        told: EntityId,
    },
}

impl Finding {
    /// Whether it is about this endpoint.
    pub(crate) const fn concerns(&self, endpoint: usize) -> bool {
        match self {
            Self::Shared { endpoints, .. } => endpoints.0 == endpoint || endpoints.1 == endpoint,
            Self::Changed { endpoint: it, .. } | Self::NotAsConfigured { endpoint: it, .. } => {
                *it == endpoint
            }
        }
    }

    /// What is told, in a line, and what to do.
    pub(crate) fn text(&self, config: &Config) -> String {
        let name = |endpoint: usize| &config.endpoints[endpoint].name;
        match self {
            Self::Shared { eid, endpoints } => format!(
                "endpoints {} and {} both speak as {eid}: give each server an entity id of its own (entityid in asterisk.conf), or name \
                 the one that relays by @entity_id",
                name(endpoints.0),
                name(endpoints.1)
            ),
            Self::Changed { endpoint, from, to } => format!(
                "endpoint {} was {from} and is {to} now: its devices as {from} are taken back when it has told all anew; set entityid in \
                 its asterisk.conf, or it will change at each start",
                name(*endpoint)
            ),
            Self::NotAsConfigured {
                endpoint,
                configured,
                told,
            } => format!(
                "endpoint {} says that it is {told}, and its @entity_id is {configured}: correct the one that is wrong",
                name(*endpoint)
            ),
        }
    }

    /// The word for logs and counters.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Shared { .. } => "entity-id-shared",
            Self::Changed { .. } => "entity-id-changed",
            Self::NotAsConfigured { .. } => "entity-id-not-as-configured",
        }
    }
}

/// An entity id that its server has left for another one.
#[derive(Clone, Copy, Debug)]
struct Left {
    endpoint: usize,
    peer: Option<PeerId>,
    /// Under which its server speaks now.
    successor: EntityId,
    /// When it was found, where that was by what the server said and not by its `refresh`: it may speak for both.
    unsaid_since: Option<Time>,
    /// When the successor last said something, or the change was found.
    quiet_since: Time,
    /// A device was told under the successor: before that its server has not told all anew.
    said: bool,
}

impl Left {
    fn due(&self) -> Option<Time> {
        let settled = self.unsaid_since.map(|since| since + limits::LEFT_UNSAID);
        let due = (self.quiet_since + limits::DUMP_QUIET).max(settled.unwrap_or_default());
        self.said.then_some(due)
    }
}

/// An entity id whose devices are to be taken back now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) eid: EntityId,
    /// Under which its server speaks now, and the peer that it is.
    pub(crate) successor: EntityId,
    pub(crate) peer: Option<PeerId>,
}

/// A state that an endpoint says at first hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) eid: EntityId,
    pub(crate) peer: Option<PeerId>,
    /// It is a device's.
    pub(crate) device: bool,
    /// It begins a publication, as of a server that has just started.
    pub(crate) begins: bool,
}

/// What all endpoints have said.
#[derive(Debug, Default)]
pub(crate) struct Speakers {
    list: Vec<Speaker>,
    findings: BTreeSet<Finding>,
    left: BTreeMap<EntityId, Left>,
}

/// A bound is met: the endpoint speaks for too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMany {
    EntityIds,
    Hubs,
}

impl Speakers {
    /// Nothing said yet, but for what is configured.
    pub(crate) fn new(config: &Config) -> Self {
        let speaker = |endpoint: &lampwire_conf::Endpoint| Speaker {
            configured: endpoint.entity_id.is_some(),
            own: endpoint.entity_id,
            ..Speaker::default()
        };
        Self {
            list: config.endpoints.iter().map(speaker).collect(),
            findings: BTreeSet::new(),
            left: BTreeMap::new(),
        }
    }

    /// Endpoints have other places, and perhaps other entity ids by the configuration. What those said that are no more is forgotten.
    pub(crate) fn renew(&mut self, config: &Config, place: impl Fn(usize) -> Option<usize>) {
        let before = std::mem::replace(self, Self::new(config));
        let left = before.left.into_iter();
        self.left = left
            .filter_map(|(eid, left)| {
                let endpoint = place(left.endpoint)?;
                Some((eid, Left { endpoint, ..left }))
            })
            .collect();
        for (index, speaker) in before.list.into_iter().enumerate() {
            if let Some(at) = place(index) {
                let configured = config.endpoints[at].entity_id;
                self.list[at] = Speaker {
                    configured: configured.is_some(),
                    own: configured.or(speaker.own),
                    ..speaker
                };
            }
        }
        let moved = before.findings.into_iter().filter_map(|finding| {
            Some(match finding {
                Finding::Shared {
                    eid,
                    endpoints: (one, other),
                } => {
                    let (one, other) = (place(one)?, place(other)?);
                    let endpoints = (one.min(other), one.max(other));
                    Finding::Shared { eid, endpoints }
                }
                Finding::Changed { endpoint, from, to } => Finding::Changed {
                    endpoint: place(endpoint)?,
                    from,
                    to,
                },
                Finding::NotAsConfigured {
                    endpoint,
                    configured,
                    told,
                } => {
                    let endpoint = place(endpoint)?;
                    // Where the configuration was corrected, there is nothing to find any more.
                    if config.endpoints[endpoint].entity_id != Some(configured) {
                        return None;
                    }
                    Finding::NotAsConfigured {
                        endpoint,
                        configured,
                        told,
                    }
                }
            })
        });
        self.findings = moved.collect();
    }

    /// Whether an endpoint may bring something of these entity ids, in the words of these hubs.
    pub(crate) fn check(
        &self,
        endpoint: usize,
        eids: impl Iterator<Item = EntityId>,
        hubs: impl Iterator<Item = EntityId>,
    ) -> Result<(), TooMany> {
        let speaker = &self.list[endpoint];
        let fits = |known: &BTreeSet<EntityId>,
                    bound: usize,
                    others: &mut dyn Iterator<Item = EntityId>| {
            let new: BTreeSet<EntityId> = others.filter(|it| !known.contains(it)).collect();
            new.is_empty() || known.len() + new.len() <= bound
        };
        let bound = limits::ENTITY_IDS_OF_AN_ENDPOINT;
        if !fits(&speaker.brought, bound, &mut { eids }) {
            return Err(TooMany::EntityIds);
        }
        if !fits(&speaker.hubs, limits::HUBS_OF_AN_ENDPOINT, &mut { hubs }) {
            return Err(TooMany::Hubs);
        }
        Ok(())
    }

    /// An endpoint has brought something of an entity id, which was checked; `by`: in the words of this hub.
    pub(crate) fn brought(&mut self, endpoint: usize, eid: EntityId, by: Option<EntityId>) {
        let speaker = &mut self.list[endpoint];
        speaker.brought.insert(eid);
        speaker.hubs.extend(by);
    }

    /// Whether an endpoint may bring something of one more entity id, in the words of one more hub.
    pub(crate) fn has_room(&self, endpoint: usize) -> bool {
        let speaker = &self.list[endpoint];
        speaker.brought.len() < limits::ENTITY_IDS_OF_AN_ENDPOINT
            && speaker.hubs.len() < limits::HUBS_OF_AN_ENDPOINT
    }

    /// Forgets what an endpoint has brought of entity ids of which nothing is left.
    pub(crate) fn forget_but(&mut self, endpoint: usize, live: &BTreeSet<EntityId>) {
        let Speaker {
            own,
            spoken,
            brought,
            ..
        } = &mut self.list[endpoint];
        brought.retain(|eid| live.contains(eid) || *own == Some(*eid));
        spoken.retain(|eid| brought.contains(eid));
    }

    /// An endpoint has brought the beat of a hub, which was checked.
    pub(crate) fn brought_beat(&mut self, endpoint: usize, by: EntityId) {
        self.list[endpoint].hubs.insert(by);
    }

    /// An endpoint goes on from an earlier life of this node, in which this was its own.
    pub(crate) fn was(&mut self, endpoint: usize, eid: EntityId) {
        let speaker = &mut self.list[endpoint];
        speaker.own.get_or_insert(eid);
        speaker.brought.insert(eid);
    }

    /// An endpoint has said a state at first hand. What is wrong about that, if it was not known before.
    pub(crate) fn said(&mut self, now: Time, endpoint: usize, said: Said) -> Option<Finding> {
        let eid = said.eid;
        for left in self.left.values_mut().filter(|left| left.successor == eid) {
            left.quiet_since = now;
            left.said |= said.device;
        }
        self.stays(endpoint, eid);
        let speaker = &mut self.list[endpoint];
        let before = speaker.presumed_own();
        let alone = speaker.spoken.iter().all(|it| Some(*it) == before);
        if !speaker.spoken.insert(eid) {
            return None;
        }
        // A server that is made anew begins so. A relay may: then it says something of the former one, too.
        if let Some(from) = before.filter(|from| *from != eid && said.begins && alone)
            && !self.list[endpoint].configured
        {
            let left = Left {
                endpoint,
                peer: said.peer,
                successor: eid,
                unsaid_since: Some(now),
                quiet_since: now,
                said: said.device,
            };
            return self.leaves(from, left);
        }
        self.shared(endpoint)
    }

    /// An endpoint has said in a `refresh` which entity id is its own.
    pub(crate) fn is(
        &mut self,
        now: Time,
        config: &Config,
        (endpoint, peer): (usize, Option<PeerId>),
        eid: EntityId,
    ) -> Option<Finding> {
        if let Some(configured) = config.endpoints[endpoint].entity_id {
            let finding = Finding::NotAsConfigured {
                endpoint,
                configured,
                told: eid,
            };
            return (configured != eid && self.findings.insert(finding.clone())).then_some(finding);
        }
        self.stays(endpoint, eid);
        let before = self.list[endpoint].presumed_own();
        self.list[endpoint].own = Some(eid);
        match before {
            Some(from) if from != eid => {
                self.list[endpoint].spoken.remove(&from);
                let known = self.left.get(&from);
                let left = Left {
                    endpoint,
                    peer,
                    successor: eid,
                    unsaid_since: None,
                    quiet_since: now,
                    said: known.is_some_and(|it| it.successor == eid && it.said),
                };
                self.leaves(from, left)
            }
            Some(_) | None => self.shared(endpoint),
        }
    }

    /// The server of an endpoint has left an entity id, unless that is another's.
    fn leaves(&mut self, from: EntityId, left: Left) -> Option<Finding> {
        let Left {
            endpoint,
            successor: to,
            ..
        } = left;
        let others = (0..).zip(&self.list).filter(|(it, _)| *it != endpoint);
        let elsewhere = others.into_iter().any(|(_, it)| it.own == Some(from));
        if !elsewhere && self.left.len() < limits::ENTITY_IDS_LEFT {
            self.left.insert(from, left);
        }
        let finding = Finding::Changed { endpoint, from, to };
        if self.findings.contains(&finding) {
            return None;
        }
        // Only the last change is kept, or they would pile up.
        self.findings.retain(
            |other| !matches!(other, Finding::Changed { endpoint: it, .. } if *it == endpoint),
        );
        self.findings.insert(finding.clone());
        Some(finding)
    }

    /// An endpoint speaks under an entity id: it has not left that.
    fn stays(&mut self, endpoint: usize, eid: EntityId) {
        self.left.remove(&eid);
        let is_it = |it: &Finding| matches!(it, Finding::Changed { endpoint: of, from, .. } if (*of, *from) == (endpoint, eid));
        if self.findings.iter().any(is_it) {
            self.findings.retain(|it| !is_it(it));
        }
    }

    /// The entity ids whose devices are to be taken back now: their servers have said everything under another one. And when to look again.
    pub(crate) fn take_left(&mut self, now: Time) -> (Vec<Due>, Option<Time>) {
        let mut due = Vec::new();
        let list = &mut self.list;
        self.left.retain(|eid, left| {
            let is_due = left.due().is_some_and(|due| due <= now);
            if is_due {
                let Left {
                    peer, successor, ..
                } = *left;
                due.push(Due {
                    eid: *eid,
                    successor,
                    peer,
                });
                let speaker = &mut list[left.endpoint];
                speaker.spoken.remove(eid);
                if speaker.own == Some(*eid) {
                    speaker.own = Some(successor);
                }
            }
            !is_due
        });
        (due, self.next_left())
    }

    /// When to look for entity ids that were left.
    pub(crate) fn next_left(&self) -> Option<Time> {
        self.left.values().filter_map(Left::due).min()
    }

    /// What was found so far about an endpoint.
    pub(crate) fn findings(&self, endpoint: usize) -> impl Iterator<Item = &Finding> + '_ {
        self.findings
            .iter()
            .filter(move |finding| finding.concerns(endpoint))
    }

    fn shared(&mut self, endpoint: usize) -> Option<Finding> {
        let eid = self.list[endpoint].presumed_own()?;
        let other = (0..self.list.len())
            .find(|&other| other != endpoint && self.list[other].presumed_own() == Some(eid))?;
        let finding = Finding::Shared {
            eid,
            endpoints: (endpoint.min(other), endpoint.max(other)),
        };
        self.findings.insert(finding.clone()).then_some(finding)
    }
}

#[cfg(test)]
mod tests {
    use lampwire_conf::{MapSource, load};

    use super::*;

    fn config() -> Config {
        let text = "[a]\ntype=endpoint\n[b]\ntype=endpoint\n[c]\ntype=endpoint\n@entity_id=02:00:00:00:00:0c\n";
        load("a.conf", &mut MapSource::new([("a.conf", text)])).0
    }

    fn eid(number: u8) -> EntityId {
        format!("02:00:00:00:00:{number:02x}").parse().unwrap()
    }

    fn said(eid: EntityId) -> Said {
        Said {
            eid,
            peer: None,
            device: true,
            begins: false,
        }
    }

    const NOW: Time = Time::from_micros(1);
    const QUIET: std::time::Duration = limits::DUMP_QUIET;

    #[test]
    fn two_with_one_entity_id_are_found_and_a_relay_is_not_one() {
        let config = config();
        let mut speakers = Speakers::new(&config);
        assert_eq!(speakers.is(NOW, &config, (0, None), eid(1)), None);
        // The second speaks for several: it relays.
        assert_eq!(speakers.is(NOW, &config, (1, None), eid(2)), None);
        assert_eq!(speakers.said(NOW, 1, said(eid(2))), None);
        assert_eq!(speakers.said(NOW, 1, said(eid(1))), None);
        let shared = Finding::Shared {
            eid: eid(0x0c),
            endpoints: (0, 2),
        };
        let mut speakers = Speakers::new(&config);
        assert_eq!(speakers.said(NOW, 0, said(eid(0x0c))), Some(shared.clone()));
        assert_eq!(speakers.said(NOW, 0, said(eid(0x0c))), None, "told once");
        assert_eq!(speakers.findings(2).collect::<Vec<_>>(), [&shared]);
        assert!(
            shared
                .text(&config)
                .starts_with("endpoints a and c both speak as 02:00:00:00:00:0c")
        );
    }

    #[test]
    fn an_entity_id_that_was_left_is_taken_back_once_the_new_one_is_quiet() {
        let config = config();
        let mut speakers = Speakers::new(&config);
        speakers.said(NOW, 0, said(eid(1)));
        let changed = speakers.is(NOW, &config, (0, None), eid(2)).unwrap();
        assert_eq!(changed.code(), "entity-id-changed");
        let later = NOW + QUIET / 2;
        speakers.said(later, 0, said(eid(2)));
        assert_eq!(
            speakers.take_left(NOW + QUIET),
            (Vec::new(), Some(later + QUIET))
        );
        let due = Due {
            eid: eid(1),
            successor: eid(2),
            peer: None,
        };
        assert_eq!(speakers.take_left(later + QUIET), (vec![due], None));
        // One that another endpoint has is not taken back.
        speakers.is(NOW, &config, (1, None), eid(2));
        speakers.is(NOW, &config, (0, None), eid(3));
        assert_eq!(speakers.next_left(), None);
    }

    #[test]
    fn another_entity_id_than_configured_is_told_once() {
        let config = config();
        let mut speakers = Speakers::new(&config);
        let finding = speakers.is(NOW, &config, (2, None), eid(1)).unwrap();
        assert_eq!(finding.code(), "entity-id-not-as-configured");
        assert_eq!(speakers.is(NOW, &config, (2, None), eid(1)), None);
        assert_eq!(speakers.is(NOW, &config, (2, None), eid(0x0c)), None);
    }

    fn check(speakers: &Speakers, eid: EntityId) -> Result<(), TooMany> {
        speakers.check(0, [eid].into_iter(), std::iter::empty())
    }

    #[test]
    fn an_endpoint_speaks_for_a_bounded_number() {
        let config = config();
        let mut speakers = Speakers::new(&config);
        for number in 0..limits::ENTITY_IDS_OF_AN_ENDPOINT {
            let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
            let eid: EntityId = format!("02:00:00:00:{high:02x}:{low:02x}").parse().unwrap();
            assert_eq!(check(&speakers, eid), Ok(()));
            speakers.brought(0, eid, None);
        }
        let another = "04:00:00:00:00:00".parse().unwrap();
        assert_eq!(check(&speakers, another), Err(TooMany::EntityIds));
        assert_eq!(check(&speakers, eid(1)), Ok(()));
    }
}
