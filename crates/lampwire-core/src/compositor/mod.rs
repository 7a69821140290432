//! The event state compositor of RFC 3903: which resource, which event, which publication, for how long.
//!
//! [`Compositor::check`] reads and decides; [`Compositor::commit`] is called once nothing can be refused any more.

mod tag;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lampwire_conf::Config;
use lampwire_sip::{EventPackage, Message, Uri};

use self::tag::Binding;
pub(crate) use self::tag::{EntityTag, TagKey};
use crate::limits;
use crate::refusal::{Refusal, RefusalHeader};
use crate::store::KeptPublication;
use crate::time::{Now, Time, WallTime};
use crate::transaction::server::TransactionKey;

/// A publication's number in its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PublicationId(pub(crate) u32);

/// What a 200 to a PUBLISH says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    /// The tag for the next request.
    pub(crate) tag: EntityTag,
    /// The expiry granted, in seconds; 0 for a removal.
    pub(crate) expires: u32,
}

/// What a PUBLISH wants (RFC 3903 4.1, table 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// A new publication with a body.
    Initial,
    /// A body for a publication.
    Modify(PublicationId),
    /// More time for a publication.
    Refresh(PublicationId),
    /// The end of a publication, with or without a last body.
    Remove(PublicationId),
}

/// A PUBLISH that the compositor would take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked {
    pub(crate) intent: Intent,
    /// Index of the endpoint in the configuration.
    pub(crate) endpoint: usize,
    /// Index of the inbound-publication in the configuration.
    pub(crate) resource: usize,
    pub(crate) event: EventPackage,
    /// Index of the asterisk-publication in the configuration.
    pub(crate) rule: usize,
    /// Seconds; 0 for a removal.
    pub(crate) expires: u32,
    /// That of the tag; it may be newer than what was kept of an earlier life.
    pub(crate) generation: Option<u32>,
}

/// All publications that peers hold here.
#[derive(Debug)]
pub(crate) struct Compositor {
    key: TagKey,
    resources: BTreeMap<String, usize>,
    rules: BTreeMap<String, usize>,
    slots: Vec<Slot>,
    free: Vec<PublicationId>,
    of_endpoint: Vec<usize>,
}

/// A place for a publication. Its generation goes on rising over all publications that it holds in a life of the node, and tags say when theirs
/// began, so none is given twice.
#[derive(Debug)]
struct Slot {
    generation: u32,
    publication: Option<Publication>,
}

/// A publication (RFC 3903 event state with its tag).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publication {
    pub(crate) endpoint: usize,
    pub(crate) resource: usize,
    pub(crate) event: EventPackage,
    pub(crate) rule: usize,
    pub(crate) remote: SocketAddr,
    pub(crate) created_at: WallTime,
    pub(crate) changed_at: WallTime,
    pub(crate) expires_at: Time,
    pub(crate) states: u64,
    /// The tag that was given last in this life.
    newest: Option<EntityTag>,
    /// It is of an earlier life: the first tag that is not older than the one that was kept is its tag.
    restored: bool,
    /// The last request that was taken and the expiry it was granted: a copy of it is answered alike.
    last_request: Option<TransactionKey>,
    expires: u32,
}

impl Compositor {
    pub(crate) fn new(config: &Config, key: TagKey) -> Self {
        let resources = config.inbound_publications.iter().map(|it| &it.name);
        let rules = config.asterisk_publications.iter().map(|it| &it.name);
        Self {
            key,
            resources: by_name(resources),
            rules: by_name(rules),
            slots: Vec::new(),
            free: Vec::new(),
            of_endpoint: vec![0; config.endpoints.len()],
        }
    }

    /// Goes on by another configuration: what names no endpoint, resource or peer of it any more, or is not for that endpoint any more, ends.
    /// Gives what ended, as it was.
    pub(crate) fn renew(
        &mut self,
        old: &Config,
        config: &Config,
    ) -> Vec<(PublicationId, Publication)> {
        let Self { slots, free, .. } = std::mem::replace(self, Self::new(config, self.key));
        (self.slots, self.free) = (slots, free);
        let mut ended = Vec::new();
        for (id, slot) in (0..).map(PublicationId).zip(&mut self.slots) {
            let Some(publication) = slot.publication.take() else {
                continue;
            };
            let endpoint = &old.endpoints[publication.endpoint].name;
            let place = || {
                let named = |it: &lampwire_conf::Endpoint| it.name == *endpoint;
                let at = config.endpoints.iter().position(named)?;
                let resource = &old.inbound_publications[publication.resource].name;
                let resource = *self.resources.get(resource)?;
                let inbound = &config.inbound_publications[resource];
                let owner = inbound.endpoint.as_ref();
                let rule = match publication.event {
                    EventPackage::DeviceState => inbound.device_state.as_ref(),
                    EventPackage::Mwi => inbound.mwi.as_ref(),
                };
                let rule = *self.rules.get(rule?)?;
                owner
                    .is_none_or(|owner| owner == endpoint)
                    .then_some((at, resource, rule))
            };
            match place() {
                Some((endpoint, resource, rule)) => {
                    self.of_endpoint[endpoint] += 1;
                    slot.publication = Some(Publication {
                        endpoint,
                        resource,
                        rule,
                        ..publication
                    });
                }
                None => {
                    self.free.push(id);
                    ended.push((id, publication));
                }
            }
        }
        ended
    }

    /// The answer to a request that has been taken before: a modify or refresh is known by its publication.
    pub(crate) fn answered(
        &self,
        config: &Config,
        if_match: &str,
        key: TransactionKey,
    ) -> Option<Accepted> {
        let id = PublicationId(EntityTag::parse(if_match)?.publication);
        let publication = self.get(id)?;
        (publication.last_request == Some(key)).then(|| Accepted {
            tag: self.tag(config, id, publication),
            expires: publication.expires,
        })
    }

    /// Resource, event, tag and expiry of a PUBLISH from `endpoint`, in this order. Changes nothing.
    pub(crate) fn check(
        &self,
        now: Now,
        config: &Config,
        request: &Message<'_>,
        uri: &Uri<'_>,
        endpoint: usize,
    ) -> Result<Checked, Refusal> {
        let resource = self.check_resource(config, uri, endpoint)?;
        let (event, rule) = self.check_event(config, request, resource)?;
        let held = match request.if_match() {
            Some(tag) => Some(self.check_tag(now, config, tag, endpoint, resource, event)?),
            None => None,
        };
        let (held, generation) = held.unzip();
        let expires = check_expires(config, request)?;
        let intent = match (held, expires, request.body().is_empty()) {
            (Some(id), 0, _) => Intent::Remove(id),
            (Some(id), _, true) => Intent::Refresh(id),
            (Some(id), _, false) => Intent::Modify(id),
            // RFC 3903 4.1: there is nothing without a tag that could be ended.
            (None, 0, _) => {
                return Err(Refusal::new(
                    412,
                    "removal-without-tag",
                    "Expires: 0 without SIP-If-Match",
                ));
            }
            (None, _, true) => {
                return Err(
                    Refusal::new(400, "empty-initial", "a new publication without body")
                        .saying("A new publication needs a body"),
                );
            }
            (None, _, false) => Intent::Initial,
        };
        if intent == Intent::Initial {
            self.check_room(now.at, endpoint)?;
        }
        Ok(Checked {
            intent,
            endpoint,
            resource,
            event,
            rule,
            expires,
            generation,
        })
    }

    /// Writes what was checked: the publication's new tag and end. `taken` states came with it.
    pub(crate) fn commit(
        &mut self,
        now: Now,
        config: &Config,
        checked: &Checked,
        key: Option<TransactionKey>,
        remote: SocketAddr,
        taken: u64,
    ) -> (PublicationId, Accepted) {
        let ends = now.at + Duration::from_secs(u64::from(checked.expires));
        let id = match checked.intent {
            Intent::Modify(id) | Intent::Refresh(id) | Intent::Remove(id) => id,
            Intent::Initial => self.add(
                now.at,
                Publication {
                    endpoint: checked.endpoint,
                    resource: checked.resource,
                    event: checked.event,
                    rule: checked.rule,
                    remote,
                    created_at: now.wall,
                    changed_at: now.wall,
                    expires_at: ends,
                    states: 0,
                    newest: None,
                    restored: false,
                    last_request: None,
                    expires: checked.expires,
                },
            ),
        };
        let slot = &mut self.slots[id.0 as usize];
        slot.generation = checked
            .generation
            .unwrap_or(slot.generation)
            .wrapping_add(1);
        if let Some(publication) = &mut slot.publication {
            publication.restored = false;
            publication.last_request = key;
            publication.remote = remote;
            publication.changed_at = now.wall;
            publication.expires_at = ends;
            publication.expires = checked.expires;
            publication.states += taken;
        }
        let publication = self.get(id).expect("it was found, or has just begun");
        let tag = self.tag(config, id, publication);
        let slot = &mut self.slots[id.0 as usize];
        if let Some(publication) = &mut slot.publication {
            publication.newest = Some(tag);
        }
        if matches!(checked.intent, Intent::Remove(_)) {
            self.end(id);
        }
        (
            id,
            Accepted {
                tag,
                expires: checked.expires,
            },
        )
    }

    /// Puts a publication of an earlier life back, where what it names is still there.
    pub(crate) fn restore(
        &mut self,
        config: &Config,
        kept: &KeptPublication,
        ends: Time,
    ) -> Option<PublicationId> {
        let index = kept.id as usize;
        if index >= limits::PUBLICATIONS {
            return None;
        }
        let endpoint = config
            .endpoints
            .iter()
            .position(|it| it.name == kept.endpoint)?;
        let resource = *self.resources.get(&kept.resource)?;
        let inbound = &config.inbound_publications[resource];
        let rule = match kept.event {
            EventPackage::DeviceState => inbound.device_state.as_ref(),
            EventPackage::Mwi => inbound.mwi.as_ref(),
        };
        let rule = *self.rules.get(rule?)?;
        while self.slots.len() <= index {
            let id = u32::try_from(self.slots.len()).ok()?;
            self.slots.push(Slot {
                generation: 0,
                publication: None,
            });
            self.free.push(PublicationId(id));
        }
        self.free.retain(|free| free.0 != kept.id);
        let slot = &mut self.slots[index];
        slot.generation = kept.generation;
        slot.publication = Some(Publication {
            endpoint,
            resource,
            event: kept.event,
            rule,
            remote: kept.remote,
            created_at: kept.created_at,
            changed_at: kept.created_at,
            expires_at: ends,
            states: kept.states,
            newest: None,
            restored: true,
            last_request: None,
            expires: 0,
        });
        self.of_endpoint[endpoint] += 1;
        Some(PublicationId(kept.id))
    }

    /// Whether a tag is newer than the one that was kept of its publication: states that came under those in between were not kept.
    pub(crate) fn missed_some(&self, checked: &Checked) -> bool {
        let (Intent::Modify(id) | Intent::Refresh(id) | Intent::Remove(id)) = checked.intent else {
            return false;
        };
        let slot = &self.slots[id.0 as usize];
        slot.publication.is_some_and(|it| it.restored)
            && checked
                .generation
                .is_some_and(|generation| generation > slot.generation)
    }

    /// A publication as it is kept, with the generation of its tag.
    pub(crate) fn kept(&self, id: u32) -> Option<(&Publication, u32)> {
        let slot = self.slots.get(id as usize)?;
        Some((slot.publication.as_ref()?, slot.generation))
    }

    /// Looks at a publication whose time may have come: its true end, or the publication that has ended.
    pub(crate) fn expire(&mut self, now: Time, id: PublicationId) -> Expiry {
        let Some(publication) = self.get(id) else {
            return Expiry::Gone;
        };
        let forgotten_at = publication.expires_at + limits::TAG_GRACE;
        if forgotten_at > now {
            return Expiry::At(forgotten_at);
        }
        let ended = *publication;
        self.end(id);
        Expiry::Ended(ended)
    }

    /// The name of the asterisk-publication that a request is for, as far as it says: by its resource, and by its event where it has one that
    /// is known.
    pub(crate) fn rule_meant<'a>(
        &self,
        config: &'a Config,
        request: &Message<'_>,
        uri: &str,
    ) -> Option<&'a str> {
        let uri = Uri::parse(uri).ok()?;
        let user = uri.user_unescaped()?;
        let inbound = &config.inbound_publications[*self.resources.get(&*user)?];
        let event = request.event().ok().flatten();
        let rule = match event.and_then(|event| EventPackage::parse(event.package)) {
            Some(EventPackage::DeviceState) => inbound.device_state.as_deref(),
            Some(EventPackage::Mwi) => inbound.mwi.as_deref(),
            None => inbound.device_state.as_deref().or(inbound.mwi.as_deref()),
        };
        rule.filter(|name| self.rules.contains_key(*name))
    }

    /// Whether an endpoint has a publication here that came from this address.
    pub(crate) fn knows(&self, endpoint: Option<usize>, source: IpAddr) -> bool {
        endpoint.is_some_and(|endpoint| {
            self.of_endpoint[endpoint] > 0
                && self
                    .iter()
                    .any(|(_, it)| it.endpoint == endpoint && it.remote.ip() == source)
        })
    }

    /// Whether an endpoint may begin one more publication.
    pub(crate) fn has_room(&self, now: Time, endpoint: usize) -> bool {
        self.check_room(now, endpoint).is_ok()
    }

    pub(crate) fn get(&self, id: PublicationId) -> Option<&Publication> {
        self.slots.get(id.0 as usize)?.publication.as_ref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PublicationId, &Publication)> + '_ {
        (0..)
            .map(PublicationId)
            .zip(&self.slots)
            .filter_map(|(id, slot)| Some((id, slot.publication.as_ref()?)))
    }

    /// Whether an endpoint holds a live publication of this resource and event already.
    pub(crate) fn holds_another(&self, now: Time, checked: &Checked) -> bool {
        self.of_endpoint[checked.endpoint] > 0
            && self.iter().any(|(_, other)| {
                other.endpoint == checked.endpoint
                    && other.resource == checked.resource
                    && other.event == checked.event
                    && other.expires_at > now
            })
    }

    fn check_resource(
        &self,
        config: &Config,
        uri: &Uri<'_>,
        endpoint: usize,
    ) -> Result<usize, Refusal> {
        let unknown = |user: &str| {
            Refusal::new(
                404,
                "unknown-resource",
                format!("no inbound-publication {user:?}"),
            )
        };
        let user = uri.user_unescaped().unwrap_or_default();
        let name = if config.global.ignore_uri_user_options {
            user.split(';').next().unwrap_or_default()
        } else {
            &user
        };
        let resource = *self.resources.get(name).ok_or_else(|| unknown(name))?;
        match &config.inbound_publications[resource].endpoint {
            Some(owner) if *owner != config.endpoints[endpoint].name => Err(Refusal::new(
                403,
                "resource-of-another",
                format!("inbound-publication {name:?} is for endpoint {owner:?}"),
            )),
            Some(_) | None => Ok(resource),
        }
    }

    fn check_event(
        &self,
        config: &Config,
        request: &Message<'_>,
        resource: usize,
    ) -> Result<(EventPackage, usize), Refusal> {
        let refused = |cause: String| {
            Refusal::new(489, "unknown-event", cause).with(RefusalHeader::AllowEvents)
        };
        let event = request
            .event()
            .map_err(|defect| refused(defect.to_string()))?
            .ok_or_else(|| refused("no Event header".to_owned()))?;
        let package = EventPackage::parse(event.package)
            .ok_or_else(|| refused(format!("event {:?}", event.package)))?;
        let inbound = &config.inbound_publications[resource];
        let rule = match package {
            EventPackage::DeviceState => &inbound.device_state,
            EventPackage::Mwi => &inbound.mwi,
        };
        let missing = |cause| Err(Refusal::new(404, "event-not-configured", cause));
        let Some(name) = rule else {
            return missing(format!(
                "[{}] has no event_{}",
                inbound.name,
                package.as_str()
            ));
        };
        match self.rules.get(name) {
            Some(rule) => Ok((package, *rule)),
            None => missing(format!("no asterisk-publication {name:?}")),
        }
    }

    /// The publication that a tag stands for. Whatever is wrong with it, the answer is the same (RFC 3903 6, step 4).
    fn check_tag(
        &self,
        now: Now,
        config: &Config,
        text: &str,
        endpoint: usize,
        resource: usize,
        event: EventPackage,
    ) -> Result<(PublicationId, u32), Refusal> {
        let refused = |cause: &'static str| Refusal::new(412, "unknown-tag", cause);
        let tag = EntityTag::parse(text).ok_or_else(|| refused("not a tag of this node"))?;
        let id = PublicationId(tag.publication);
        let publication = self
            .get(id)
            .ok_or_else(|| refused("a publication that has ended"))?;
        let other = "a tag of another node, endpoint, resource, event or publication";
        if (
            publication.endpoint,
            publication.resource,
            publication.event,
        ) != (endpoint, resource, event)
        {
            return Err(refused(other));
        }
        // As a rule it is the one that was given last, and needs not be sealed again to be known.
        let newest = publication.newest;
        if !newest.is_some_and(|newest| newest.is_same(&tag))
            && !tag.is_sealed(&self.key, self.binding(config, publication))
        {
            return Err(refused(other));
        }
        let generation = self.slots[id.0 as usize].generation;
        if generation != tag.generation && !(publication.restored && generation < tag.generation) {
            // A late copy, as a rule: its sender has gone on, or goes on now with a new publication.
            return Err(Refusal::new(412, "used-tag", "a tag that has been used"));
        }
        if now.at >= publication.expires_at + limits::TAG_GRACE {
            return Err(refused("a publication that has run out"));
        }
        Ok((id, tag.generation))
    }

    fn check_room(&self, now: Time, endpoint: usize) -> Result<(), Refusal> {
        let full = |cause| {
            Err(Refusal::new(503, "too-many-publications", cause)
                .with(RefusalHeader::RetryAfter(60)))
        };
        if self.of_endpoint[endpoint] >= limits::PUBLICATIONS_OF_AN_ENDPOINT {
            return match self.left_behind(now, endpoint) {
                Some(_) => Ok(()),
                None => full("the endpoint holds as many publications as one may"),
            };
        }
        if self.free.is_empty() && self.slots.len() >= limits::PUBLICATIONS {
            return full("the node holds as many publications as it may");
        }
        Ok(())
    }

    /// The publication of an endpoint that was used least lately, if that is so long ago that the endpoint may know nothing of it any more: one
    /// that is killed again and again leaves its publications behind each time.
    fn left_behind(&self, now: Time, endpoint: usize) -> Option<PublicationId> {
        let last_used = |it: &Publication| {
            let granted = u64::from(it.expires) * 1_000_000;
            it.expires_at.as_micros().saturating_sub(granted)
        };
        let of_it = self.iter().filter(|(_, it)| it.endpoint == endpoint);
        let (id, oldest) = of_it.min_by_key(|(_, it)| last_used(it))?;
        let idle = now.as_micros().saturating_sub(last_used(oldest));
        (Duration::from_micros(idle) >= limits::PUBLICATION_LEFT).then_some(id)
    }

    fn add(&mut self, now: Time, publication: Publication) -> PublicationId {
        let of_endpoint = self.of_endpoint[publication.endpoint];
        if of_endpoint >= limits::PUBLICATIONS_OF_AN_ENDPOINT
            && let Some(id) = self.left_behind(now, publication.endpoint)
        {
            self.slots[id.0 as usize].publication = Some(publication);
            return id;
        }
        self.of_endpoint[publication.endpoint] += 1;
        match self.free.pop() {
            Some(id) => {
                self.slots[id.0 as usize].publication = Some(publication);
                id
            }
            None => {
                self.slots.push(Slot {
                    generation: 0,
                    publication: Some(publication),
                });
                PublicationId(u32::try_from(self.slots.len() - 1).expect("bounded by PUBLICATIONS"))
            }
        }
    }

    fn end(&mut self, id: PublicationId) {
        if let Some(publication) = self.slots[id.0 as usize].publication.take() {
            self.of_endpoint[publication.endpoint] -= 1;
            self.free.push(id);
        }
    }

    fn tag(&self, config: &Config, id: PublicationId, publication: &Publication) -> EntityTag {
        let binding = self.binding(config, publication);
        let generation = self.slots[id.0 as usize].generation;
        EntityTag::seal(&self.key, id.0, generation, binding)
    }

    fn binding<'a>(&self, config: &'a Config, publication: &Publication) -> Binding<'a> {
        Binding {
            endpoint: &config.endpoints[publication.endpoint].name,
            resource: &config.inbound_publications[publication.resource].name,
            event: publication.event.as_str(),
            began: publication.created_at,
        }
    }
}

fn by_name<'a>(names: impl Iterator<Item = &'a String>) -> BTreeMap<String, usize> {
    let numbered = names.enumerate();
    numbered
        .map(|(index, name)| (name.clone(), index))
        .collect()
}

/// What a look at a publication's end found.
#[derive(Debug)]
pub(crate) enum Expiry {
    /// It lives until then.
    At(Time),
    /// It has just ended.
    Ended(Publication),
    /// It had ended before.
    Gone,
}

/// The expiry that is granted, in seconds (RFC 3903 6, step 5).
fn check_expires(config: &Config, request: &Message<'_>) -> Result<u32, Refusal> {
    let (min, max) = (config.lampwire.expires_min, config.lampwire.expires_max);
    let asked = request
        .expires()
        .map_err(|defect| {
            Refusal::new(400, "bad-expires", defect.to_string()).saying(defect.to_string())
        })?
        .unwrap_or(DEFAULT_EXPIRES);
    if asked != 0 && asked < min {
        return Err(Refusal::new(
            423,
            "interval-too-brief",
            format!("Expires {asked} below {min}"),
        )
        .with(RefusalHeader::MinExpires(min)));
    }
    Ok(asked.min(max))
}

/// Seconds granted to a PUBLISH without Expires, as Asterisk grants.
pub(crate) const DEFAULT_EXPIRES: u32 = 3600;
