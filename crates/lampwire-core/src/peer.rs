//! What belongs together: a peer is an asterisk-publication, the publishes it names, the inbound-publications that name it and their
//! endpoints.

use std::collections::BTreeMap;
use std::time::Duration;

use lampwire_conf::Config;
use lampwire_sip::{EntityId, EventPackage};

use crate::publisher::PublisherId;
use crate::time::{Now, Time, WallTime};

/// A peer's number in its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PeerId(pub(crate) u16);

/// Another node, as far as we know it.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The name of its asterisk-publication; of its publish, where no asterisk-publication names that.
    pub(crate) name: String,
    /// The publishes by which it is told, by event; what a `refresh` from it starts.
    pub(crate) device_publisher: Option<PublisherId>,
    pub(crate) mailbox_publisher: Option<PublisherId>,
    /// Names of the endpoints that may publish as this peer.
    pub(crate) endpoints: Vec<String>,
    /// The section by which it is read over its manager interface; `None`: it publishes.
    pub(crate) ami: Option<u16>,
    /// Its own entity id: configured, or told by its `refresh`.
    pub(crate) entity_id: Option<EntityId>,
    /// When it last sent a request that we took, or answered one of ours.
    pub(crate) last_heard: Option<WallTime>,
    /// The time from our last request to its answer.
    pub(crate) round_trip: Option<Duration>,
    /// How long the last canary took there and back.
    pub(crate) canary: Option<Duration>,
    /// What we refused to it since it was last asked for everything.
    pub(crate) missed: Option<Missed>,
    /// When it was last asked for everything.
    pub(crate) asked_at: Option<Time>,
    /// When we challenged it, if it has sent nothing since that was taken.
    pub(crate) challenged: Option<Challenged>,
    /// It does not answer, and nothing was taken of it lately.
    pub(crate) away: bool,
    /// Its last publication has ended, and nothing was taken of it since.
    pub(crate) ended: bool,
    /// Until when its empty initial PUBLISH shows that it is there, though it holds no publication.
    pub(crate) knocks_until: Option<Time>,
    /// Until when what was last taken of it shows that it is there.
    pub(crate) taken_until: Time,
    /// When a state of it was last taken.
    pub(crate) said_at: Time,
    /// States of it that were refused.
    pub(crate) refusals: u64,
    /// Device states that it said again as they were: only a dump does that.
    pub(crate) repeats: u64,
    /// What is known of it is of an earlier life of this node, and nothing has been heard of it since.
    pub(crate) restored: bool,
    /// When it started, where it is a Lampwire.
    pub(crate) life: Option<u64>,
    /// The round of asking in which that became known.
    pub(crate) known_since: u32,
    /// Up to which of its own numbers it has told all that it says of itself and that is taken of it.
    pub(crate) told_of_itself: Option<u64>,
    /// What it no longer has is being found out.
    pub(crate) sweep: Option<Sweep>,
    /// It said nothing when it was asked for all it has, in that round.
    pub(crate) unswept: Option<u32>,
    /// How often it has been asked again for that reason.
    pub(crate) doubts: u8,
    /// It has told all since this round of asking, and of some that it left out it cannot be said yet whether they are gone.
    pub(crate) undecided: Option<u32>,
}

/// How far it has been found out what a peer no longer has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sweep {
    /// The round of asking with which it began.
    pub(crate) round: u32,
    pub(crate) asked_at: Time,
    /// How many of its states had been refused by then.
    pub(crate) refused: u64,
    /// How many it had repeated by the time this dump was asked for.
    pub(crate) repeats: u64,
    /// One dump is over, and this is the second, asked for in that round.
    pub(crate) second: Option<u32>,
    /// When it is over, another begins: what was not its to say when this one began is now.
    pub(crate) again: bool,
}

/// States of a peer that we refused, and which it will not say again by itself (a stock Asterisk drops what it is refused).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missed {
    /// How many.
    pub(crate) states: u64,
    /// The last refusal: its status and code, and when.
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) at: WallTime,
    /// What has to change before the peer is asked again.
    pub(crate) until: Until,
    /// Some were refused because it speaks for too many entity ids, or brings the words of too many hubs.
    pub(crate) too_many_entity_ids: bool,
}

/// A challenge that was not answered yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Challenged {
    pub(crate) at: WallTime,
    /// The request came from an address of the peer's. Else it had only its name, which anybody may use.
    pub(crate) from_its_address: bool,
}

/// When the reason of a refusal is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Until {
    /// When the peer's state or the configuration is another: nobody here can know, so nothing is done.
    Changed,
    /// When there is room again.
    Room,
    /// It is gone already.
    Now,
}

impl Peer {
    /// A sign of life.
    pub(crate) fn heard(&mut self, now: Now) {
        self.last_heard = Some(now.wall);
    }

    /// Whether it is there, as far as is known.
    pub(crate) const fn is_there(&self) -> bool {
        !(self.away || self.ended || self.restored)
    }

    fn shares_a_publisher(&self, other: &Self) -> bool {
        let same = |one: Option<PublisherId>, other| one.is_some() && one == other;
        same(self.device_publisher, other.device_publisher)
            || same(self.mailbox_publisher, other.mailbox_publisher)
    }

    /// The publish that tells this peer of `event`.
    pub(crate) const fn publisher(&self, event: EventPackage) -> Option<PublisherId> {
        match event {
            EventPackage::DeviceState => self.device_publisher,
            EventPackage::Mwi => self.mailbox_publisher,
        }
    }
}

/// All peers, and who is whose.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    /// By number. A peer keeps its number for as long as it is configured, whatever becomes of its name and place.
    list: Vec<Peer>,
    /// In the order of the configuration.
    order: Vec<PeerId>,
    of_asterisk_publication: BTreeMap<String, PeerId>,
    of_publisher: BTreeMap<PublisherId, PeerId>,
    /// The readers of the buckets of a cluster's sites.
    readers: Vec<PeerId>,
    /// Peers that have come or gone since it was last told.
    changed: Vec<PeerId>,
}

impl Peers {
    /// The peers of a configuration whose publishes have these numbers, one for each. An asterisk-publication that neither takes nor sends
    /// anything is one too: what it is named by may still publish to it.
    pub(crate) fn of(config: &Config, publishers: &[PublisherId]) -> Self {
        let mut peers = Self::default();
        let publisher_of = |name: &Option<String>| {
            let name = name.as_deref()?;
            let index = config
                .outbound_publishes
                .iter()
                .position(|publish| publish.name == name)?;
            publishers.get(index).copied()
        };
        for publication in &config.asterisk_publications {
            let endpoints = config
                .inbound_publications
                .iter()
                .filter(|inbound| {
                    [&inbound.device_state, &inbound.mwi]
                        .into_iter()
                        .any(|named| named.as_deref() == Some(publication.name.as_str()))
                })
                .filter_map(|inbound| inbound.endpoint.clone())
                .collect();
            let id = peers.add(
                &publication.name,
                publisher_of(&publication.devicestate_publish),
                publisher_of(&publication.mailboxstate_publish),
                endpoints,
            );
            peers
                .of_asterisk_publication
                .insert(publication.name.clone(), id);
        }
        for (publish, id) in config.outbound_publishes.iter().zip(publishers) {
            if !peers.of_publisher.contains_key(id) {
                let publisher = Some(*id);
                let (device, mailbox) = match publish.event {
                    EventPackage::DeviceState => (publisher, None),
                    EventPackage::Mwi => (None, publisher),
                };
                peers.add(&publish.name, device, mailbox, Vec::new());
            }
        }
        for (index, ami) in (0..).zip(&config.amis) {
            let id = peers.add(&ami.name, None, None, Vec::new());
            let peer = peers.get_mut(id);
            peer.ami = Some(index);
            // Until it has been read.
            peer.away = true;
        }
        for peer in &mut peers.list {
            let configured = |endpoint: &String| {
                config
                    .endpoints
                    .iter()
                    .find(|known| known.name == *endpoint)?
                    .entity_id
            };
            peer.entity_id = match peer.ami {
                Some(index) => config.amis[usize::from(index)].eid,
                None => peer.endpoints.iter().find_map(configured),
            };
        }
        peers
    }

    /// Goes on by another configuration. A peer is known again by its name, or else by a publisher of its, or where `akin` says that what
    /// was under the first name is under the second now. Gives those that are no more from now on; their numbers are given to others by the next reload.
    pub(crate) fn renew(
        &mut self,
        config: &Config,
        publishers: &[PublisherId],
        akin: impl Fn(&str, &str) -> bool,
    ) -> Vec<PeerId> {
        let fresh = Self::of(config, publishers);
        let mut gone = std::mem::take(&mut self.order);
        let mut known: Vec<Option<PeerId>> = vec![None; fresh.list.len()];
        for by_name in [true, false] {
            for (known, new) in known.iter_mut().zip(&fresh.list) {
                let is_it = |id: &PeerId| {
                    let old = self.get(*id);
                    match (old.ami.is_some(), by_name) {
                        (is_ami, _) if is_ami != new.ami.is_some() => false,
                        (_, true) => old.name == new.name,
                        (true, false) => false,
                        (false, false) => old.shares_a_publisher(new) || akin(&old.name, &new.name),
                    }
                };
                if known.is_none()
                    && let Some(index) = gone.iter().position(is_it)
                {
                    *known = Some(gone.remove(index));
                }
            }
        }
        // Numbers that nobody has: not of those that go on, nor of those that are just going.
        let mut free = (0..).map(PeerId).filter({
            let taken: Vec<PeerId> = {
                let known = known.iter().flatten().chain(&gone);
                known.chain(&self.readers).copied().collect()
            };
            move |id| !taken.contains(id)
        });
        let mut number = Vec::new();
        for (known, new) in known.into_iter().zip(fresh.list) {
            let id = match known {
                Some(id) => {
                    let old = self.get_mut(id);
                    old.entity_id = new.entity_id.or(old.entity_id);
                    old.name = new.name;
                    old.device_publisher = new.device_publisher;
                    old.mailbox_publisher = new.mailbox_publisher;
                    old.endpoints = new.endpoints;
                    old.ami = new.ami;
                    id
                }
                None => {
                    let id = free.next().expect("sections are bounded below 65,536");
                    match self.list.get_mut(usize::from(id.0)) {
                        Some(place) => *place = new,
                        None => self.list.push(new),
                    }
                    id
                }
            };
            number.push(id);
        }
        let renumbered = |id: &PeerId| number[usize::from(id.0)];
        let names = fresh.of_asterisk_publication.iter();
        self.of_asterisk_publication = names
            .map(|(name, id)| (name.clone(), renumbered(id)))
            .collect();
        let publishers = fresh.of_publisher.iter();
        self.of_publisher = publishers
            .map(|(publisher, id)| (*publisher, renumbered(id)))
            .collect();
        self.order = number;
        self.changed.retain(|id| !gone.contains(id));
        gone
    }

    fn add(
        &mut self,
        name: &str,
        device_publisher: Option<PublisherId>,
        mailbox_publisher: Option<PublisherId>,
        endpoints: Vec<String>,
    ) -> PeerId {
        let id = PeerId(u16::try_from(self.list.len()).expect("sections are bounded below 65,536"));
        for publisher in [device_publisher, mailbox_publisher].into_iter().flatten() {
            self.of_publisher.entry(publisher).or_insert(id);
        }
        self.order.push(id);
        self.list.push(Peer {
            name: name.to_owned(),
            device_publisher,
            mailbox_publisher,
            endpoints,
            ami: None,
            entity_id: None,
            last_heard: None,
            round_trip: None,
            canary: None,
            missed: None,
            asked_at: None,
            challenged: None,
            away: false,
            ended: false,
            knocks_until: None,
            taken_until: Time::default(),
            said_at: Time::default(),
            refusals: 0,
            repeats: 0,
            restored: false,
            life: None,
            known_since: 0,
            told_of_itself: None,
            sweep: None,
            unswept: None,
            doubts: 0,
            undecided: None,
        });
        id
    }

    /// Adds the reader of a site's bucket: what was read there came by it. It is no peer to anybody who asks for peers, and stays for as long as
    /// the node does.
    pub(crate) fn add_reader(&mut self, site: &str) -> PeerId {
        let id = self.add(site, None, None, Vec::new());
        self.order.retain(|other| *other != id);
        self.readers.push(id);
        id
    }

    pub(crate) fn of_asterisk_publication(&self, name: &str) -> Option<PeerId> {
        self.of_asterisk_publication.get(name).copied()
    }

    /// The Asterisk that is reached by the manager interface of this section.
    pub(crate) fn of_ami(&self, name: &str) -> Option<PeerId> {
        let mut peers = self.iter();
        let (id, _) = peers.find(|(_, peer)| peer.ami.is_some() && peer.name == name)?;
        Some(id)
    }

    pub(crate) fn of_publisher(&self, publisher: PublisherId) -> Option<PeerId> {
        self.of_publisher.get(&publisher).copied()
    }

    /// A peer has come or gone: whoever watches is to be told.
    pub(crate) fn note_change(&mut self, id: PeerId) {
        if !self.changed.contains(&id) {
            self.changed.push(id);
        }
    }

    /// The peers that have come or gone since this was last asked.
    pub(crate) fn take_changed(&mut self) -> Vec<PeerId> {
        std::mem::take(&mut self.changed)
    }

    /// Whether a peer is still configured.
    pub(crate) fn has(&self, id: PeerId) -> bool {
        self.order.contains(&id)
    }

    /// The peer of a name.
    pub(crate) fn named(&self, name: &str) -> Option<PeerId> {
        self.iter()
            .find(|(_, peer)| peer.name == name)
            .map(|(id, _)| id)
    }

    pub(crate) fn get(&self, id: PeerId) -> &Peer {
        &self.list[usize::from(id.0)]
    }

    pub(crate) fn get_mut(&mut self, id: PeerId) -> &mut Peer {
        &mut self.list[usize::from(id.0)]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerId, &Peer)> + '_ {
        self.order.iter().map(|id| (*id, self.get(*id)))
    }
}
