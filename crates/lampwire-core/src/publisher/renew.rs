//! What a reload does to a publisher: it goes on under other terms, or takes back what it told and ends.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use lampwire_conf::{Auth, Config, Filter, OutboundPublish};
use lampwire_sip::{DeviceState, EntityId, EventPackage, Version};

use super::lane::{Job, Lane};
use super::{
    Context, Kind, Place, Publisher, PublisherId, Rev, Settings, State, Voice, request, wants,
};
use crate::filters::Filters;
use crate::peer::Peers;
use crate::rewrite::Rewrites;
use crate::table::{CellId, Entry, Source, Table};
use crate::timers::Timer;

/// A device that the peer is to forget: told as INVALID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retraction {
    /// The peer's name for it.
    pub(crate) name: Arc<str>,
    pub(crate) eid: EntityId,
    /// Newer than what the peer has, where what it has came with a version.
    pub(crate) version: Option<Version>,
}

/// By what a publisher tells its peer.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) filters: &'a Filters,
    pub(crate) rewrites: &'a Rewrites,
    pub(crate) config: &'a Config,
}

/// What another set of terms makes of what the peer holds.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Each with its lane.
    retractions: Vec<(u16, Retraction)>,
    included: Vec<(u16, Entry)>,
    /// How the peer is told under the new terms; empty where nothing may be on its way that contradicts it.
    told: BTreeSet<(EntityId, String)>,
    /// Devices that the peer, being a hub, is left with: it has them by other ways too, and to be told that they are gone would make all hubs
    /// believe it.
    pub(crate) spared: usize,
}

impl Settings {
    pub(super) fn of(
        config: &Config,
        publish: &OutboundPublish,
        id: PublisherId,
        peers: &Peers,
        filters: &mut Filters,
    ) -> Self {
        let (kind, filter) = match publish.event {
            EventPackage::DeviceState => (Kind::Device, &publish.device_state_filter),
            EventPackage::Mwi => (Kind::Mailbox, &publish.mailbox_state_filter),
        };
        let peer = peers.of_publisher(id);
        Self {
            kind,
            lanes: publish.lanes,
            filter: filter.as_ref().map(|filter| filters.intern(filter)),
            resync: match publish.event {
                EventPackage::DeviceState => publish.resync,
                EventPackage::Mwi => std::time::Duration::ZERO,
            },
            probe: publish.probe,
            relay: config.lampwire.relay,
            peer,
            peer_eid: peer.and_then(|id| peers.get(id).entity_id),
            lampwire: false,
            pushed: None,
            silent: false,
            voice: Voice::All,
        }
    }
}

impl Terms<'_> {
    /// Whether a peer is told the same by both, so that nothing need be looked at.
    pub(crate) fn tell_like(&self, other: &Self) -> bool {
        let text = |terms: &Self| {
            let filter = terms.settings.filter;
            filter.map(|filter| terms.filters.text(filter).to_owned())
        };
        let (one, two) = (self.settings, other.settings);
        let relays = one.relay || two.relay;
        (one.kind, one.relay) == (two.kind, two.relay)
            && (!relays || (one.peer, one.peer_eid) == (two.peer, two.peer_eid))
            && one.pushed == two.pushed
            && text(self) == text(other)
            && self.rewrites.told(self.config, one.peer)
                == other.rewrites.told(other.config, two.peer)
    }

    fn tells(&self, table: &Table, entry: &Entry) -> bool {
        let name = table.cell(entry.cell).name;
        let lane = table.names.lane_of(name, self.settings.lanes);
        wants(self.settings, lane, table, self.filters, entry)
    }

    /// The peer's name for a cell's.
    fn name<'t>(&self, table: &'t Table, cell: CellId) -> Cow<'t, str> {
        let name = table.names.get(table.cell(cell).name);
        let peer = self.settings.peer;
        self.rewrites
            .name_for(self.config, peer, name.kind, &name.text)
    }

    fn state(&self, state: DeviceState) -> DeviceState {
        self.rewrites
            .state_for(self.config, self.settings.peer, state)
    }
}

impl Publisher {
    /// The name of its section.
    pub(crate) fn name(&self) -> &str {
        &self.publish.name
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// It works, or is waiting for another to end.
    pub(crate) const fn is_started(&self) -> bool {
        self.started
    }

    /// It takes back what it told, and will be gone.
    pub(crate) const fn is_retiring(&self) -> bool {
        self.settings.silent
    }

    /// It has told its peer anything, in this life or an earlier one.
    pub(crate) const fn has_told(&self) -> bool {
        self.counters.sent > 0 || self.restored
    }

    /// It has ended all that it had at its peer, or cannot.
    pub(crate) fn is_retired(&self) -> bool {
        self.settings.silent
            && self.lanes.iter().all(|lane| {
                lane.flight.is_none()
                    && lane.job.is_none()
                    && lane.tag.is_none()
                    && lane.retractions.is_empty()
            })
    }

    /// The settings that it would have by another configuration; what the peer has said of itself stays.
    pub(crate) fn settings_by(
        &self,
        config: &Config,
        publish: &OutboundPublish,
        peers: &Peers,
        filters: &mut Filters,
    ) -> Settings {
        let settings = Settings::of(config, publish, self.id, peers, filters);
        let pushed: Option<&Filter> = self.settings.pushed.as_ref();
        Settings {
            lampwire: self.settings.lampwire,
            voice: self.settings.voice,
            pushed: pushed
                .filter(|_| settings.peer == self.settings.peer)
                .cloned(),
            peer_eid: settings.peer_eid.or(self.settings.peer_eid),
            ..settings
        }
    }

    /// What the peer is to forget and to hear of under other terms; `None`: under none. `others` are those of publishers that lead to the same
    /// resource, whose word is not taken back. `spares`: the peer is a hub, from which nothing is taken back. `stamped` is our own entity id and the number under which what we stamped is taken back.
    pub(crate) fn changes(
        &self,
        table: &Table,
        old: Terms<'_>,
        new: Option<Terms<'_>>,
        others: &[Terms<'_>],
        spares: bool,
        stamped: (EntityId, u64),
    ) -> Changes {
        let mut changes = Changes::default();
        let told = self.has_told();
        let renames = new.is_some_and(|new| {
            let concern = |terms: Terms<'_>| {
                let peer = terms.settings.peer;
                peer.is_some_and(|peer| terms.rewrites.concern(peer))
            };
            concern(old) || concern(new)
        });
        let collects = renames || self.lanes.iter().any(|lane| !lane.retractions.is_empty());
        for (id, cell) in (0..).map(CellId::at).zip(table.cells_from(0)) {
            let name = table.names.get(cell.name);
            if cell.rev == Rev::default() || name.kind != self.settings.kind || !cell.cachable {
                continue;
            }
            let entry = Entry {
                rev: cell.rev,
                cell: id,
                value: table.told(cell),
            };
            let was = old.tells(table, &entry);
            let is = new.filter(|new| new.tells(table, &entry));
            let index = table.names.lane_of(cell.name, self.settings.lanes);
            let lane = &self.lanes[usize::from(index)];
            let same_name = is.is_none_or(|new| old.name(table, id) == new.name(table, id));
            // A deleted one is taken back by its own last word, once that was said.
            let held = told && !(cell.dead && lane.has_confirmed(&entry));
            let forgotten = was && held && (is.is_none() || !same_name);
            let by_another = || {
                let mut others = others.iter();
                others
                    .any(|it| it.tells(table, &entry) && it.name(table, id) == old.name(table, id))
            };
            let retracts = forgotten && name.kind == Kind::Device && !by_another();
            if retracts && spares {
                changes.spared += 1;
            } else if retracts {
                let retraction = Retraction {
                    name: old.name(table, id).into(),
                    eid: table.eid(cell.eid),
                    version: newer(table, cell, old.settings.relay, stamped),
                };
                changes.retractions.push((index, retraction));
            }
            let Some(new) = is else { continue };
            let state = cell.value.state();
            let same_state = name.kind == Kind::Mailbox || old.state(state) == new.state(state);
            let said = lane.has_confirmed(&entry) || lane.is_saying(&entry);
            if !cell.dead && said && !(was && same_name && same_state) {
                changes.included.push((index, entry));
            }
            // A deleted one whose end is not said any more is no word that would stand against its being taken back.
            if collects && !(cell.dead && said) {
                let name = new.name(table, id).into_owned();
                changes.told.insert((table.eid(cell.eid), name));
            }
        }
        changes
    }

    /// The cells that the peer is to hear of in addition.
    pub(crate) fn included(changes: &Changes) -> impl Iterator<Item = CellId> + '_ {
        changes.included.iter().map(|(_, entry)| entry.cell)
    }

    /// Goes on by another section, as another publish of the same relation, and makes the changes that this means for the peer. Gives how
    /// many devices are taken back, and how many states are added.
    pub(crate) fn renew(
        &mut self,
        ctx: &mut Context<'_>,
        publish: &OutboundPublish,
        settings: Settings,
        changes: Option<Changes>,
    ) -> (usize, usize) {
        let tells_otherwise = changes.is_some();
        let changes = changes.unwrap_or_default();
        let before = std::mem::replace(&mut self.publish, Arc::new(publish.clone()));
        let moved = OutboundPublish {
            at: before.at.clone(),
            ..publish.clone()
        };
        let same_auth = self.auth.renew(ctx.config, &publish.outbound_auth);
        self.peer = settings.peer;
        self.settings = settings;
        let was_asked = std::mem::replace(&mut self.may_ask, is_named(ctx.config, publish));
        self.asking = self.may_ask && (self.asking || (self.started && !was_asked));
        if before.expiration != publish.expiration {
            self.expiration = publish.expiration;
        }
        self.pace.set_rate(publish.rate_limit);
        self.probe.configure(publish);
        self.canary.configure(publish.canary);
        if tells_otherwise {
            self.forget_claims();
        }
        let done = self.change(changes);
        if self.started {
            if request::next_hop_uri(&before) != request::next_hop_uri(publish) {
                self.place = Place::new(publish, ctx.random);
                self.place.begin(ctx.config, publish, ctx.bound);
                self.locate(ctx);
            }
            if let State::Away { failures, .. } | State::Refused { failures, .. } = self.state
                && !(same_auth && moved == *before)
            {
                // What was wrong may have been mended by this.
                self.state = State::Away {
                    retry_at: ctx.now.at,
                    failures,
                };
            }
            self.set_timer(ctx);
            self.pump_all(ctx);
            self.set_probe_timer(ctx);
        }
        done
    }

    /// Makes the changes that other rules than in an earlier life mean for the peer; before the start. Gives how many devices are taken back,
    /// and how many states are added.
    pub(crate) fn tell_otherwise(&mut self, changes: Changes) -> (usize, usize) {
        self.change(changes)
    }

    /// The peer is told everything, whatever it has confirmed in an earlier life; before the start.
    pub(crate) fn tell_anew(&mut self, table: &Table) {
        for lane in &mut self.lanes {
            lane.say_all(table.head());
        }
    }

    /// Devices are still to be taken back from its peer.
    pub(crate) fn takes_back(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.retractions.is_empty())
    }

    /// Ends: devices are taken back, then its publications are ended. A peer that does not take anything is left as it is; gives how many
    /// devices are taken back, if any can be.
    pub(crate) fn retire(&mut self, ctx: &mut Context<'_>, changes: Changes) -> Option<usize> {
        let able = matches!(self.state, State::Up) && self.place.target().is_some();
        self.settings.silent = true;
        self.settings.peer = None;
        self.peer = None;
        self.state = State::Stopping;
        (self.may_ask, self.asking) = (false, false);
        self.mark_due = None;
        self.beats.clear();
        self.probe.end();
        for lane in &mut self.lanes {
            let was = (lane.tag.take(), lane.flight.take(), lane.job.take());
            let front = lane.retractions.pop_front();
            lane.drop_work();
            if able {
                (lane.tag, lane.flight, lane.job) = was;
                lane.retractions
                    .extend(front.filter(|_| lane.job == Some(Job::Retract)));
                if lane.flight.is_none() {
                    lane.job = None;
                }
            }
        }
        let count = changes.retractions.len();
        if able {
            self.change(changes);
        }
        ctx.timers.clear(Timer::Publisher(self.id.0));
        self.pump_all(ctx);
        self.set_probe_timer(ctx);
        able.then_some(count)
    }

    /// It is gone: nothing wakes for it any more.
    pub(crate) fn clear_timers(&self, ctx: &mut Context<'_>) {
        for lane in 0..self.settings.lanes {
            let publisher = self.id.0;
            ctx.timers.clear(Timer::Lane { publisher, lane });
        }
        ctx.timers.clear(Timer::Publisher(self.id.0));
        ctx.timers.clear(Timer::Probe(self.id.0));
    }

    fn change(&mut self, changes: Changes) -> (usize, usize) {
        let Changes {
            retractions,
            included,
            told,
            spared: _,
        } = changes;
        let still = |it: &Retraction| !told.contains(&(it.eid, it.name.to_string()));
        for lane in &mut self.lanes {
            let first = match lane.job {
                // It is on its way.
                Some(Job::Retract) => lane.retractions.pop_front(),
                _ => None,
            };
            lane.retractions.retain(still);
            if let Some(first) = first {
                lane.retractions.push_front(first);
            }
        }
        let mut taken_back = 0;
        for (index, retraction) in retractions {
            if still(&retraction) {
                taken_back += 1;
                let lane: &mut Lane = &mut self.lanes[usize::from(index)];
                lane.retractions.push_back(retraction);
            }
        }
        let added = included.len();
        for (index, entry) in included {
            let lane = &mut self.lanes[usize::from(index)];
            lane.included.insert(entry.rev, entry.cell);
        }
        (taken_back, added)
    }
}

/// A version that is newer than a cell's, where others are told one: where this node is no hub, its own word needs none.
fn newer(
    table: &Table,
    cell: &crate::table::Cell,
    relay: bool,
    (by, number): (EntityId, u64),
) -> Option<Version> {
    let stamped = relay || matches!(cell.source, Source::Publication | Source::Cluster);
    let above = table.version(cell).seq.saturating_add(1);
    stamped.then(|| Version {
        by,
        seq: number.max(above),
    })
}

/// Whether an asterisk-publication names a publish: then its peer can be asked for its states.
pub(super) fn is_named(config: &Config, publish: &OutboundPublish) -> bool {
    config.asterisk_publications.iter().any(|publication| {
        [
            &publication.devicestate_publish,
            &publication.mailboxstate_publish,
        ]
        .into_iter()
        .any(|name| name.as_deref() == Some(publish.name.as_str()))
    })
}

/// Whether a publish leads to the same resource, for the same event.
pub(crate) fn leads_to(one: &OutboundPublish, other: &OutboundPublish) -> bool {
    (one.event, &one.server_uri) == (other.event, &other.server_uri)
}

/// Whether the publications of a publish go on under another section, perhaps of another configuration: they lead to the same resource, and the
/// peer sees the same sender.
pub(crate) fn is_same_relation(
    (old, old_config): (&OutboundPublish, &Config),
    (new, new_config): (&OutboundPublish, &Config),
) -> bool {
    let same_auth = || {
        let auths = |publish: &OutboundPublish, config: &Config| -> Vec<Auth> {
            let names = publish.outbound_auth.iter();
            let named =
                |name: &String| config.auths.iter().find(|auth| auth.name == *name).cloned();
            names.filter_map(named).collect()
        };
        let (before, after) = (auths(old, old_config), auths(new, new_config));
        let alike = |(one, other): (&Auth, &Auth)| {
            (&one.username, &one.secret, &one.realm)
                == (&other.username, &other.secret, &other.realm)
        };
        old.outbound_auth == new.outbound_auth
            || (before.len() == after.len() && before.iter().zip(&after).all(alike))
    };
    leads_to(old, new)
        && request::from_uri(old) == request::from_uri(new)
        && (&old.transport, old.lanes) == (&new.transport, new.lanes)
        && same_auth()
}
