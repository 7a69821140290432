//! The node on the bus: what is read there goes into the table like a hub's word, and what the node knows goes there.

mod column;
mod reading;
mod roles;
mod said;
mod shadows;
mod view;

use std::collections::BTreeMap;

use lampwire_bus::{Beat, Protocol, Said, Scope, What};
use lampwire_sip::{EntityId, Version};

pub(super) use self::shadows::InShadow;
use super::{Life, Node};
use crate::cluster::{Cluster, Link, Older, Reading, Stage};
use crate::io::{BusCommand, BusInput, Level};
use crate::limits;
use crate::table::{Kind, Rev, Source};
use crate::time::{Now, Time};
use crate::timers::Timer;

impl Node {
    /// Something happened on the bus. Nothing comes of it where the configuration has no cluster.
    pub fn handle_bus(&mut self, now: Now, input: BusInput<'_>) {
        if self.cluster.is_none() || self.life != Life::Running {
            return;
        }
        match input {
            BusInput::Up { server } => self.bus_up(now, server),
            BusInput::Down { why } => self.bus_down(now, why),
            BusInput::Opened {
                site,
                incarnation,
                whole,
                pending,
                last,
            } => self.bus_opened(now, site, incarnation, whole, pending, last),
            BusInput::Record {
                site,
                at,
                pending,
                key,
                value,
            } => self.bus_record(now, site, at, pending, key, value),
            BusInput::Failed { site, why } => self.bus_failed(now, site, why),
            BusInput::Stored { number, result } => self.bus_stored(now, number, result),
            BusInput::Said { topic, bytes } => self.bus_said(now, topic, bytes),
        }
        self.settle(now);
    }

    /// The next thing to be done on the bus.
    pub fn poll_bus(&mut self) -> Option<BusCommand> {
        self.outbox.poll_bus()
    }

    /// The share in a cluster that a configuration asks for.
    pub(super) fn join(
        now: Now,
        config: &lampwire_conf::Config,
        own: EntityId,
        peers: &mut crate::peer::Peers,
    ) -> Option<Box<Cluster>> {
        let settings = config.cluster.as_ref()?;
        let name = settings.node.clone().unwrap_or_else(|| own.to_string());
        let site = peers.add_reader(&settings.site);
        let cluster = Cluster::new(settings, name, own, site, now.at);
        Some(Box::new(cluster))
    }

    /// The node starts, and looks after its share from now on.
    pub(super) fn start_cluster(&mut self, now: Now) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        (cluster.stage, cluster.stage_since) = (Stage::Joining, now.at);
        self.set_voices(now);
        self.timers.set(Timer::Cluster, now.at + limits::BUS_BEAT);
    }

    /// What an earlier life had from a cluster is taken back where this one is in none: nobody would ever do that.
    pub(super) fn leave_cluster(&mut self, now: Now) {
        if self.cluster.is_some() {
            return;
        }
        for (kind, name, eid) in self.table.cells_from_cluster() {
            if let Some(change) = self.table.delete(kind, &name, eid, now.wall) {
                self.fan_out(now, change);
            }
        }
    }

    /// A change is one for the cluster too.
    pub(super) fn tell_cluster(&mut self, now: Now, rev: Rev) {
        if let Some(cluster) = &mut self.cluster {
            cluster.column.note(rev);
            self.pump_column(now);
        }
    }

    /// The change up to which the bucket has confirmed everything: what was deleted stays until then.
    pub(super) fn told_cluster(&self, head: Rev) -> Option<Rev> {
        let cluster = self.cluster.as_ref()?;
        Some(cluster.column.confirmed(head, &self.table))
    }

    /// What every input ends with.
    pub(super) fn settle_cluster(&mut self, now: Now) {
        if self.cluster.as_ref().is_some_and(|it| it.ways_due) {
            self.note_ways(now);
        }
    }

    // ---- the connection

    fn bus_up(&mut self, now: Now, server: &str) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        cluster.column.lost();
        cluster.link = Link::Up(server.to_owned());
        cluster.link_since = now.at;
        for site in cluster.sites.values_mut() {
            (site.reading, site.retry_at, site.failures) = (Reading::Not, None, 0);
        }
        let text = format!(
            "cluster {}: connected to {server}",
            cluster.settings.cluster
        );
        self.outbox.notice(Level::Info, "bus-up", text);
        self.read_sites(now);
        self.say_beat(now);
        self.timers
            .set(Timer::Cluster, now.at + limits::BUS_SETTLES);
    }

    fn bus_down(&mut self, now: Now, why: &str) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let was_up = matches!(cluster.link, Link::Up(_));
        let news = was_up || cluster.link != Link::Down(why.to_owned());
        cluster.link = Link::Down(why.to_owned());
        cluster.column.lost();
        for site in cluster.sites.values_mut() {
            site.reading = Reading::Not;
        }
        if was_up {
            cluster.counters.losses += 1;
        }
        if news {
            let text = format!(
                "cluster {}: no connection to the bus: {why}; the node goes on with what it has and its own peers",
                cluster.settings.cluster
            );
            self.outbox.notice(Level::Warn, "bus-down", text);
        }
        self.review_stage(now);
    }

    // ---- at each beat

    /// The time of our beat: what is to be looked after at times.
    pub(super) fn tick_cluster(&mut self, now: Now) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        self.timers.set(Timer::Cluster, now.at + limits::BUS_BEAT);
        if cluster
            .double
            .is_some_and(|at| now.at >= at + limits::BUS_SILENT)
        {
            cluster.double = None;
            cluster
                .reported
                .remove(&("entity-id-twice", self.entity_id));
        }
        for node in cluster.members.look(now.at) {
            let name = cluster.name_of(node).unwrap_or_default();
            let text = format!(
                "cluster: nothing is heard of node {name} ({node}) any more; others take its roles"
            );
            self.outbox.notice(Level::Warn, "node-left", text);
        }
        let due = |at: Time| now.at >= at + limits::BUS_WRITABLE / 3;
        if cluster.acked.is_none_or(due) {
            cluster.column.note_about();
        }
        if !cluster.sees(now.at) {
            // Who cannot see the others does not judge them.
            for by in &cluster.heard_of {
                self.leases.spare(now.at, *by);
            }
            self.wait_for_hubs();
        }
        self.note_ways(now);
        self.review_stage(now);
        self.review_roles(now);
        self.read_sites(now);
        self.sweep_sites(now);
        self.say_again_alone(now);
        self.say_beat(now);
        self.set_voices(now);
        self.pump_column(now);
    }

    pub(super) fn say_beat(&mut self, now: Now) {
        let Some(cluster) = &self.cluster else {
            return;
        };
        if !matches!(cluster.link, Link::Up(_)) {
            return;
        }
        self.last_beat = self.table.tick();
        let read = cluster.sites.iter();
        let read: BTreeMap<String, u64> = read
            .filter_map(|(name, site)| Some((name.clone(), site.read?.at)))
            .collect();
        let beat = Beat {
            name: cluster.name.clone(),
            rank: cluster.settings.rank,
            protocol: cluster.protocol.0,
            oldest: Protocol::OLDEST.0,
            life: self.table.life(),
            seq: self.last_beat,
            written: cluster.written,
            read,
            domain: cluster.settings.domain.clone(),
            states: self.table.len() as u64,
        };
        let command = self.say(Scope::Wide, What::Beat, &Said::Beat(beat));
        if let Some(cluster) = &mut self.cluster {
            cluster.said_at = now.at;
        }
        self.outbox.bus(command);
    }

    /// Takes back what did not stand in a bucket when all of it was read, and that nobody has told since.
    fn sweep_sites(&mut self, now: Now) {
        let hold = self.config.lampwire.hold_time;
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let due = cluster.sites.iter_mut().filter_map(|(name, site)| {
            site.sweep_at.take_if(|at| *at <= now.at)?;
            let older = std::mem::take(&mut site.older);
            Some((
                name.clone(),
                site.peer,
                site.round,
                site.told.clone(),
                older,
            ))
        });
        let due: Vec<_> = due.collect();
        for (site, reader, round, told, mut older) in due {
            let mut left = false;
            for unread in self.table.unread_since(reader, round) {
                let (kind, name, eid, version) = unread;
                let complete = told.get(&version.by).copied();
                let Some(seq) = complete.filter(|seq| *seq >= version.seq) else {
                    // Whoever has stamped it is away, and may put it there when he is back.
                    left = true;
                    continue;
                };
                // To be gone is newer than what others were told.
                let version = Version { seq, ..version };
                self.counters.swept += 1;
                let key = (kind, name, eid);
                if let Some(older) = older.remove(&key) {
                    let (_, name, _) = key;
                    self.say_older(now, kind, &name, eid, &older);
                    continue;
                }
                let (_, name, _) = key;
                let gone = self.table.entomb(
                    (kind, &name, eid),
                    version,
                    Some(reader),
                    Source::Cluster,
                    now.wall,
                );
                if let Ok(change) = gone {
                    self.fan_out(now, change);
                }
            }
            let cluster = self.cluster.as_mut().filter(|_| left);
            if let Some(site) = cluster.and_then(|it| it.sites.get_mut(&site)) {
                site.sweep_at = Some(now.at + hold.max(limits::BUS_WRITABLE));
                site.older = older;
            }
        }
    }

    /// Nobody knows of what was newer: what stands in the bucket counts, and is said above that.
    fn say_older(&mut self, now: Now, kind: Kind, name: &str, eid: EntityId, older: &Older) {
        let Some(cell) = self.table.known_cell(kind, name, eid) else {
            return;
        };
        let change = self.table.replace(cell, older.value, older.at);
        self.fan_out(now, change);
    }

    /// Says once what is wrong about another node.
    fn report_bus(&mut self, code: &'static str, node: EntityId, what: &str) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        *self.counters.findings.entry(code).or_default() += 1;
        if cluster.reported.len() >= 2 * limits::MEMBERS || !cluster.reported.insert((code, node)) {
            return;
        }
        let name = cluster.name_of(node).unwrap_or("unknown").to_owned();
        let text = format!("cluster: node {name} ({node}): {what}");
        self.outbox.notice(Level::Error, code, text);
    }
}

#[cfg(test)]
impl Node {
    /// How much is kept of what others say on the bus, and how much of it there may be.
    pub(crate) fn kept_of_bus(&self) -> Vec<(&'static str, usize, usize)> {
        let Some(cluster) = &self.cluster else {
            return Vec::new();
        };
        let ways = cluster.members.ways().map(|(_, ways)| ways.len());
        let told = cluster.sites.values().map(|site| site.told.len());
        vec![
            ("nodes", cluster.members.iter().count(), limits::MEMBERS),
            ("ways", ways.sum(), limits::WAYS),
            ("sites", cluster.sites.len(), limits::SITES),
            ("complete ones", told.max().unwrap_or(0), limits::HUBS),
            (
                "those heard of",
                cluster.heard_of.len(),
                limits::HUBS + limits::MEMBERS,
            ),
            ("reports", cluster.reported.len(), 2 * limits::MEMBERS),
            ("states", self.table.len(), limits::CELLS),
        ]
    }
}

impl Cluster {
    /// Who hears of a name.
    fn scope_of(&self, kind: Kind, name: &str) -> Scope {
        let filter = match kind {
            Kind::Device => &self.settings.wide_device_state_filter,
            Kind::Mailbox => &self.settings.wide_mailbox_state_filter,
        };
        match filter {
            Some(filter) if !filter.is_match(name) => Scope::Site,
            Some(_) | None => Scope::Wide,
        }
    }
}
