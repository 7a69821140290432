//! Asterisks that take part through their manager interface: what they say goes into the table like a peer's, and what others say is put into
//! them.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use lampwire_conf::{Config, Filter};
use lampwire_sip::EntityId;

use super::cluster::InShadow;
use super::{Life, Node};
use crate::ami::sink::Wanted;
use crate::ami::{Fact, Link};
use crate::directory::Known;
use crate::flow::Outlet;
use crate::io::{FlowId, Level, Query};
use crate::limits;
use crate::peer::PeerId;
use crate::random::Random;
use crate::rewrite::Rewrites;
use crate::sum;
use crate::table::{Assertion, Change, Holder, Kind, MaxStates, Source, Table, Value};
use crate::time::Now;
use crate::timers::Timer;

/// What one Asterisk may hold in the table.
const MAX: MaxStates = MaxStates {
    devices: limits::AMI_STATES,
    mailboxes: limits::AMI_STATES,
};

impl Node {
    /// The links of a configuration.
    pub(super) fn links(config: &lampwire_conf::Config, peers: &crate::peer::Peers) -> Vec<Link> {
        let sections = peers.iter().filter_map(|(id, peer)| {
            let index = peer.ami?;
            let transport = usize::from(index) + config.transports.len();
            let transport = crate::TransportId(u16::try_from(transport).ok()?);
            let settings = config.amis.get(usize::from(index))?.clone();
            Some(Link::new(index, id, settings, transport))
        });
        sections.collect()
    }

    /// The place of the link of this number; one where there is none, if it is no more.
    fn ami_at(&self, section: u16) -> usize {
        let mut links = self.amis.iter();
        links
            .position(|link| link.index == section)
            .unwrap_or(usize::MAX)
    }

    /// Connects to those whose time it is.
    pub(super) fn connect_amis(&mut self, now: Now) {
        for index in 0..self.amis.len() {
            self.connect_ami(now, index);
        }
    }

    fn connect_ami(&mut self, now: Now, index: usize) {
        if self.life != Life::Running {
            return;
        }
        let link = &self.amis[index];
        let (host, port) = (link.host().to_owned(), link.port());
        let place = match host.parse::<IpAddr>() {
            Ok(address) => Ok(address),
            Err(_) => {
                self.directory
                    .want(&mut self.outbox, Query::Addresses(host.clone()));
                match self.directory.addresses(&host) {
                    Known::Yes([]) => Err(format!("{host} has no address")),
                    // Another one each time: one that does not answer is not stayed with.
                    Known::Yes(all) => Ok(all[link.attempt() % all.len()]),
                    Known::Never(why) => Err(format!("{host} does not resolve: {why}")),
                    Known::NotYet => {
                        // The answer makes it go on; this is in case none comes.
                        let again = now.at + limits::BACK_OFF_AWAY_MAX;
                        self.timers.set(Timer::Ami(link.index), again);
                        return;
                    }
                }
            }
        };
        let place = place.map(|address| SocketAddr::new(address, port));
        self.with_ami(now, index, |link, out, random| {
            link.connect(out, random, place);
        });
    }

    /// The time of one has come.
    pub(super) fn handle_ami_timer(&mut self, now: Now, section: u16) {
        let index = self.ami_at(section);
        if self.with_ami(now, index, Link::timeout) == Some(true) {
            self.connect_ami(now, index);
        }
    }

    /// The connection of one can carry bytes.
    pub(super) fn handle_ami_connected(&mut self, now: Now, section: u16, flow: FlowId) {
        self.with_ami(now, self.ami_at(section), |link, out, _| {
            link.connected(out, flow);
        });
    }

    /// Bytes have come from one.
    pub(super) fn handle_ami_bytes(&mut self, now: Now, section: u16, flow: FlowId, bytes: &[u8]) {
        self.with_ami(now, self.ami_at(section), |link, out, random| {
            link.bytes(out, random, flow, bytes);
        });
        self.settle(now);
    }

    /// The connection of one has taken what was written.
    pub(super) fn handle_ami_writable(&mut self, now: Now, section: u16, flow: FlowId) {
        self.with_ami(now, self.ami_at(section), |link, out, _| {
            link.writable(out, flow);
        });
    }

    /// One says nothing more over its connection.
    pub(super) fn handle_ami_ended(&mut self, now: Now, section: u16, flow: FlowId) {
        self.with_ami(now, self.ami_at(section), |link, out, random| {
            link.ended(out, random, flow);
        });
        self.settle(now);
    }

    /// The connection of one has ended.
    pub(super) fn handle_ami_closed(&mut self, now: Now, section: u16, flow: FlowId, why: &str) {
        self.with_ami(now, self.ami_at(section), |link, out, random| {
            link.closed(out, random, flow, why);
        });
        self.settle(now);
    }

    /// The node ends.
    pub(super) fn stop_amis(&mut self, now: Now) {
        for index in 0..self.amis.len() {
            self.with_ami(now, index, |link, out, _| link.stop(out));
        }
    }

    /// A change of anybody's is one for those who are told by their manager interface.
    pub(super) fn tell_sinks(&mut self, now: Now, change: Change) {
        let eid = self.table.eid(self.table.cell(change.cell).eid);
        for index in 0..self.amis.len() {
            let link = &mut self.amis[index];
            let other = link.entity_id() != Some(eid);
            let peer = Some(link.peer);
            if let Some(sink) = link.sink.as_mut().filter(|_| other) {
                let name = &self.table.names.get(change.name).text;
                let theirs = self
                    .rewrites
                    .name_for(&self.config, peer, change.kind, name);
                sink.note(change.kind, arc(name, theirs));
                self.write_ami(now, index);
            }
        }
    }

    /// A node that began with nothing could have heard of everything by now.
    pub(super) fn look_at_unspoken(&mut self, now: Now) {
        for index in 0..self.amis.len() {
            if let Some(sink) = &mut self.amis[index].sink {
                sink.look_at_unspoken();
                self.write_ami(now, index);
            }
        }
    }

    /// Whether others' states are put into the Asterisk of this section.
    pub(super) fn has_sink(&self, section: u16) -> bool {
        let link = self.amis.get(self.ami_at(section));
        link.is_some_and(|link| link.sink.is_some())
    }

    /// Lets one do something, and takes in what comes of it.
    fn with_ami<T>(
        &mut self,
        now: Now,
        index: usize,
        step: impl FnOnce(&mut Link, &mut Outlet<'_>, &mut Random) -> T,
    ) -> Option<T> {
        let Self {
            amis,
            outbox,
            timers,
            random,
            ..
        } = self;
        let link = amis.get_mut(index)?;
        let mut out = Outlet {
            now: now.at,
            outbox,
            timers,
        };
        let done = step(link, &mut out, random);
        while let Some(fact) = self.amis[index].take_fact() {
            self.take_fact(now, index, fact);
        }
        self.write_ami(now, index);
        Some(done)
    }

    fn take_fact(&mut self, now: Now, index: usize, fact: Fact) {
        let id = self.amis[index].peer;
        self.peers.get_mut(id).heard(now);
        match fact {
            Fact::All {
                entity_id,
                devices,
                mailboxes,
            } => self.take_all(now, index, entity_id, &devices, &mailboxes),
            Fact::Device(name, state) => {
                self.ami_says(now, id, Kind::Device, &name, Value::device(state));
            }
            Fact::Mailbox(name, (new, old)) => {
                self.ami_says(now, id, Kind::Mailbox, &name, Value::mailbox(new, old));
            }
            Fact::Gone => {
                let peer = self.peers.get_mut(id);
                let was_there = peer.is_there();
                peer.away = true;
                self.turn_peer(now, id, was_there, false);
            }
        }
    }

    /// An Asterisk is there with all it has: what is not among it is taken back.
    fn take_all(
        &mut self,
        now: Now,
        index: usize,
        entity_id: EntityId,
        devices: &[(Arc<str>, lampwire_sip::DeviceState)],
        mailboxes: &[(Arc<str>, (u16, u16))],
    ) {
        let id = self.amis[index].peer;
        let owner = self
            .table
            .eid_id(entity_id)
            .and_then(|eid| self.table.owner_of(eid));
        let taken = if entity_id == self.entity_id {
            Some("our own".to_owned())
        } else {
            owner
                .filter(|owner| *owner != id && self.peers.has(*owner))
                .map(|owner| format!("that of peer {}", self.peers.get(owner).name))
        };
        if let Some(whose) = taken {
            let what = format!("its entity id {entity_id} is {whose}");
            self.with_ami(now, index, |link, out, random| {
                link.refuse(out, random, what, "give each server its own");
            });
            return;
        }
        let before = self.peers.get(id).entity_id;
        if let Some(before) = before.filter(|before| *before != entity_id) {
            // Its devices are found below; mailboxes are never swept.
            for (kind, name) in self.table.names_under(before) {
                if let Some(change) = self.table.delete(kind, &name, before, now.wall) {
                    self.fan_out(now, change);
                }
            }
        }
        self.learn_own(now, id, entity_id);
        let Ok(eid) = self.table.intern_eid(entity_id) else {
            self.with_ami(now, index, |link, out, random| {
                let what = "there is no room for another entity id".to_owned();
                link.refuse(out, random, what, "see the limits");
            });
            return;
        };
        let round = self.table.begin_round();
        for (name, state) in devices {
            self.ami_says(now, id, Kind::Device, name, Value::device(*state));
        }
        for (name, (new, old)) in mailboxes {
            self.ami_says(now, id, Kind::Mailbox, name, Value::mailbox(*new, *old));
        }
        self.sweep_peer(now, id, round);
        // Now that everything is as it is there, it is alive again: what stood in for its states goes.
        self.leases.hear(eid, id);
        self.table.note_first_hand(eid, id);
        let peer = self.peers.get_mut(id);
        let was_there = peer.is_there();
        (peer.away, peer.restored) = (false, false);
        self.turn_peer(now, id, was_there, false);
        self.look_at(now, eid);
        // A node that knows nothing yet would darken every lamp.
        let blank = now.at < self.blank_until;
        let put = Put {
            table: &self.table,
            rewrites: &self.rewrites,
            config: &self.config,
            peer: id,
            own: Some(entity_id),
            read: self.config.amis[index].mailbox_state_filter.as_ref(),
        };
        if let Some(sink) = &mut self.amis[index].sink {
            for kind in [Kind::Device, Kind::Mailbox] {
                for (_, name) in self.table.names.after(kind, None) {
                    let name = &self.table.names.get(name).text;
                    let theirs = arc(name, put.name(kind, name));
                    if !blank || put.wanted(kind, &theirs) != Wanted::Nothing {
                        sink.note(kind, theirs);
                    }
                }
            }
            match blank {
                true => self.timers.set(Timer::Unspoken, self.blank_until),
                false => sink.look_at_unspoken(),
            }
        }
        let count = devices.len();
        self.with_ami(now, index, |link, out, _| link.taken_over(out, count));
    }

    /// An Asterisk says something of one of its names.
    fn ami_says(&mut self, now: Now, id: PeerId, kind: Kind, theirs: &str, value: Value) {
        let Some(eid) = self.peers.get(id).entity_id else {
            return;
        };
        // One whose name here would be too long is left out.
        let Ok(ours) = self.rewrites.our_name(&self.config, id, kind, theirs) else {
            return;
        };
        let name = ours.as_deref().unwrap_or(theirs);
        let value = match kind {
            Kind::Device => Value::device(self.rewrites.our_state(&self.config, id, value.state())),
            Kind::Mailbox => value,
        };
        // Those of an endpoint are counted under its number; these follow.
        let index = self.peers.get(id).ami.map(usize::from);
        let holder = index.and_then(|it| Holder::of_endpoint(self.config.endpoints.len() + it));
        let assertion = Assertion {
            kind,
            name,
            eid,
            value,
            cachable: true,
            source: Source::Ami,
            peer: Some(id),
            holder: holder.map(|holder| (holder, MAX)),
            version: None,
            lost: false,
            at: now.wall,
        };
        match self.in_shadow(now, &assertion) {
            InShadow::No => {}
            InShadow::Known => {
                self.counters.repeats_received += 1;
                return;
            }
            InShadow::News => return,
        }
        match self.table.apply(&assertion) {
            Ok(Some(change)) => {
                self.counters.changes_received += 1;
                self.fan_out(now, change);
            }
            Ok(None) => {
                self.counters.repeats_received += 1;
                if let Some(change) = self.hear_adopted(&assertion) {
                    self.fan_out(now, change);
                }
            }
            Err(full) => {
                let text = format!(
                    "a state of {name} from {} is not taken: {full}",
                    self.peers.get(id).name
                );
                self.outbox.notice(Level::Error, "ami-table-full", text);
            }
        }
    }

    /// Who puts states into each may be another.
    pub(super) fn write_amis(&mut self, now: Now) {
        for index in 0..self.amis.len() {
            self.write_ami(now, index);
        }
    }

    /// Writes what one should hold and does not.
    fn write_ami(&mut self, now: Now, index: usize) {
        let peer = self.amis[index].peer;
        // Two that write would each put right what the other has written, without end.
        if !self.writes_to(peer) {
            return;
        }
        let Self {
            amis,
            table,
            rewrites,
            config,
            outbox,
            timers,
            ..
        } = self;
        let link = &mut amis[index];
        if link.sink.is_none() || !link.is_live() {
            return;
        }
        let put = Put {
            table,
            rewrites,
            config,
            peer: link.peer,
            own: link.entity_id(),
            read: config.amis[index].mailbox_state_filter.as_ref(),
        };
        let mut out = Outlet {
            now: now.at,
            outbox,
            timers,
        };
        link.write(&mut out, &|kind, theirs| put.wanted(kind, theirs));
    }
}

/// What others' states come to for one Asterisk.
struct Put<'a> {
    table: &'a Table,
    rewrites: &'a Rewrites,
    config: &'a Config,
    peer: PeerId,
    /// Its own entity id.
    own: Option<EntityId>,
    /// The mailboxes that are its own to tell, by its names.
    read: Option<&'a Filter>,
}

impl Put<'_> {
    /// Its name for one of ours.
    fn name<'n>(&self, kind: Kind, ours: &'n str) -> Cow<'n, str> {
        self.rewrites
            .name_for(self.config, Some(self.peer), kind, ours)
    }

    /// What it should hold under one of its names.
    fn wanted(&self, kind: Kind, theirs: &str) -> Wanted {
        if kind == Kind::Mailbox && self.read.is_none_or(|filter| filter.is_match(theirs)) {
            return Wanted::Nothing;
        }
        if !self.rewrites.concern(self.peer) {
            return wanted(self.table, self.own, kind, theirs);
        }
        let ours = self
            .rewrites
            .behind(self.config, self.peer, kind, theirs)
            .into_iter();
        let mut wanted = ours.map(|ours| wanted(self.table, self.own, kind, &ours));
        match wanted.find(|wanted| *wanted != Wanted::Nothing) {
            Some(Wanted::Device(state)) => {
                let peer = Some(self.peer);
                Wanted::Device(self.rewrites.state_for(self.config, peer, state))
            }
            wanted => wanted.unwrap_or(Wanted::Nothing),
        }
    }
}

/// A name that is known already where it is the same.
fn arc(known: &Arc<str>, name: Cow<'_, str>) -> Arc<str> {
    match name {
        Cow::Borrowed(_) => Arc::clone(known),
        Cow::Owned(name) => name.into(),
    }
}

/// What the states of all others than `own` come to.
fn wanted(table: &Table, own: Option<EntityId>, kind: Kind, name: &str) -> Wanted {
    let Some(id) = table.names.find(kind, name) else {
        return Wanted::Nothing;
    };
    let others = table
        .entities(id)
        .filter(|cell| cell.cachable && Some(table.eid(cell.eid)) != own);
    match kind {
        Kind::Device => {
            let mut states = others.map(|cell| table.told(cell).state()).peekable();
            match states.peek() {
                Some(_) => Wanted::Device(sum::sum(states)),
                None => Wanted::Nothing,
            }
        }
        Kind::Mailbox => {
            // The owner's on a hub, as others are told; else the last word, as on an Asterisk.
            let told = table.mailbox(id);
            let told = told.filter(|cell| Some(table.eid(cell.eid)) != own);
            match told.or_else(|| others.max_by_key(|cell| cell.rev)) {
                Some(cell) => {
                    let (new, old) = cell.value.counts();
                    Wanted::Mailbox(new, old)
                }
                None => Wanted::Nothing,
            }
        }
    }
}
