//! What is put into the own site's bucket, and what becomes of it.

use lampwire_bus::{
    About, From, Key, Passing, Protocol, Record, Said, Scope, State, Subject, Topic, Value as Told,
    What,
};

use crate::cluster::column::Job;
use crate::cluster::{Link, Reading};
use crate::io::{BusCommand, Level};
use crate::limits;
use crate::node::Node;
use crate::publisher::back_off;
use crate::table::{CellId, Entry, Kind, Source};
use crate::time::Now;
use crate::timers::Timer;

/// The version of the program, as others are told it.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");

impl Node {
    pub(super) fn bus_stored(&mut self, now: Now, number: u64, result: Result<u64, &str>) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        match result {
            Ok(at) if cluster.column.is_of_another(number, at) => {
                cluster.column.lost();
                cluster.written = None;
                let site = cluster.settings.site.clone();
                self.bus_failed(
                    now,
                    &site,
                    "its stream is another than the one that was read",
                );
            }
            Ok(at) => {
                cluster.acked = Some(now.at);
                let job = cluster.column.confirmed_put(number, at);
                self.note_stored(now, job, at);
                self.review_stage(now);
            }
            Err(why) => {
                let first = cluster.column.retry_at.is_none_or(|at| at <= now.at);
                let random = &mut self.random;
                cluster.column.refused(now.at, number, |failures| {
                    let (first, longest) = (limits::BUS_RETRY_FIRST, limits::BUS_RETRY_MAX);
                    now.at + back_off(first, longest, failures, random)
                });
                if let Some(at) = cluster.column.retry_at {
                    self.timers.set(Timer::Column, at);
                }
                if first && cluster.reported.insert(("bus-refuses", self.entity_id)) {
                    let text = format!(
                        "cluster {}: the bucket does not take what is put: {why}; tried again",
                        cluster.settings.cluster
                    );
                    self.outbox.notice(Level::Warn, "bus-refuses", text);
                }
            }
        }
        self.pump_column(now);
    }

    /// Something stands in the bucket now.
    fn note_stored(&mut self, now: Now, job: Option<Job>, at: u64) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        cluster.reported.remove(&("bus-refuses", self.entity_id));
        let due = now.wall + limits::GONE_KEPT;
        match job {
            Some(Job::Put(Entry { cell, rev, .. })) => {
                let known = self.table.cell(cell);
                if known.dead && known.rev == rev {
                    let key = self.key_of(cell);
                    self.table.set_stored(cell, false);
                    if let Some(cluster) = &mut self.cluster {
                        cluster.column.erase_later(due, key, at);
                    }
                }
            }
            Some(Job::Withdraw(cell)) => {
                let key = self.key_of(cell);
                if self.table.cell(cell).source == Source::Cluster {
                    self.table.set_stored(cell, false);
                }
                if let Some(cluster) = &mut self.cluster {
                    cluster.column.erase_later(due, key, at);
                }
            }
            Some(Job::WithdrawKey(key)) => cluster.column.erase_later(due, key, at),
            Some(Job::Way(_) | Job::About | Job::Erase(..) | Job::Pass(_)) | None => {}
        }
        let head = self.table.head();
        if let Some(cluster) = &mut self.cluster
            && cluster.column.confirmed(head, &self.table) == head
        {
            cluster.note_written(self.table.newest_seq());
        }
    }

    /// The key of a cell in our column.
    fn key_of(&self, cell: CellId) -> String {
        let cell = self.table.cell(cell);
        let name = self.table.names.get(cell.name);
        let eid = self.table.eid(cell.eid);
        let scope = match &self.cluster {
            Some(cluster) => cluster.scope_of(name.kind, &name.text),
            None => Scope::Wide,
        };
        let name_text = (&*name.text).into();
        let subject = match name.kind {
            Kind::Device => Subject::Device {
                eid,
                name: name_text,
            },
            Kind::Mailbox => Subject::Mailbox {
                eid,
                name: name_text,
            },
        };
        let node = self.entity_id;
        Key {
            scope,
            node,
            subject,
        }
        .to_string()
    }

    /// Puts what the bucket lacks, as much as may be on its way at once.
    pub(in crate::node) fn pump_column(&mut self, now: Now) {
        loop {
            let Some(cluster) = &mut self.cluster else {
                return;
            };
            let may = matches!(cluster.link, Link::Up(_))
                && cluster.own_site().reading == Reading::Live
                && cluster.double.is_none();
            if !may {
                return;
            }
            let read = cluster.own_site().read.map_or(0, |place| place.at);
            let Some((number, job)) = cluster.column.next(now, &self.table, read) else {
                if cluster.column.yields {
                    self.timers.set(Timer::Column, now.at + limits::LANE_TURN);
                }
                return;
            };
            if let Some(command) = self.command(now, number, &job) {
                self.outbox.bus(command);
            } else if let Some(cluster) = &mut self.cluster {
                // There is nothing to be said after all.
                let at = cluster.column.acked_at();
                cluster.column.confirmed_put(number, at);
            }
        }
    }

    fn command(&mut self, now: Now, number: u64, job: &Job) -> Option<BusCommand> {
        match job {
            Job::Put(entry) => {
                let key = self.key_of(entry.cell);
                let record = Record::State(self.state_of(entry));
                self.table.set_stored(entry.cell, true);
                let cluster = self.cluster.as_mut()?;
                cluster.column.keep(&key);
                Some(self.put(number, key, &record))
            }
            Job::Pass(entry) => self.passing(entry),
            Job::Withdraw(cell) => Some(BusCommand::Withdraw {
                number,
                key: self.key_of(*cell),
            }),
            Job::Way(eid) => {
                let key = Key {
                    scope: Scope::Wide,
                    node: self.entity_id,
                    subject: Subject::Way { eid: *eid },
                }
                .to_string();
                let cluster = self.cluster.as_mut()?;
                cluster.column.keep(&key);
                match cluster.members.own_way(*eid).cloned() {
                    Some(way) => Some(self.put(number, key, &Record::Way(way))),
                    None => Some(BusCommand::Withdraw { number, key }),
                }
            }
            Job::About => {
                let key = Key {
                    scope: Scope::Wide,
                    node: self.entity_id,
                    subject: Subject::Node,
                }
                .to_string();
                let cluster = self.cluster.as_ref()?;
                let about = About {
                    name: cluster.name.clone(),
                    rank: cluster.settings.rank,
                    protocol: cluster.protocol.0,
                    oldest: Protocol::OLDEST.0,
                    life: self.table.life(),
                    program: PROGRAM.to_owned(),
                    sites: cluster
                        .sites
                        .iter()
                        .map(|(name, site)| (name.clone(), site.domain.clone()))
                        .collect(),
                };
                Some(self.put(number, key, &Record::About(about)))
            }
            Job::WithdrawKey(key) => Some(BusCommand::Withdraw {
                number,
                key: key.clone(),
            }),
            Job::Erase(key, at) => {
                let _ = now;
                Some(BusCommand::Erase {
                    number,
                    key: key.clone(),
                    at: *at,
                })
            }
        }
    }

    fn put(&self, number: u64, key: String, record: &Record) -> BusCommand {
        let protocol = self
            .cluster
            .as_ref()
            .map_or(Protocol::NEWEST, |it| it.protocol);
        let mut bytes = Vec::with_capacity(96);
        record.write(self.entity_id, protocol, &mut bytes);
        BusCommand::Put { number, key, bytes }
    }

    /// What is put of an entry of a cell of ours.
    fn state_of(&self, entry: &Entry) -> State {
        let cell = self.table.cell(entry.cell);
        let name = self.table.names.get(cell.name);
        let eid = self.table.eid(cell.eid);
        let newest = cell.rev == entry.rev;
        // What an entry tells of a lost server only stands in for its value.
        let value = if newest { cell.value } else { entry.value };
        let value = match name.kind {
            _ if newest && cell.dead => Told::Gone,
            Kind::Device => Told::Device(value.state()),
            Kind::Mailbox => {
                let (new, old) = value.counts();
                Told::Mailbox { new, old }
            }
        };
        let ttl = self.renewals.ttl(name.kind, &name.text, eid);
        let report = self.table.report(entry.cell);
        State {
            value,
            version: self.table.version_at(cell, entry.rev),
            // A mailbox stands as it is.
            lost: cell.lost && name.kind == Kind::Device,
            from: match cell.source {
                Source::Local => From::Local,
                Source::Ami => From::Ami,
                Source::Publication | Source::Cluster => From::Peer,
            },
            at: cell.updated_at.as_millis(),
            ttl: ttl.map(|ttl| u32::try_from(ttl.as_secs().max(1)).unwrap_or(u32::MAX)),
            messages: Some(report.seq).filter(|seq| *seq > 0),
            owner: report.configured,
        }
    }

    /// A value that is not kept, for whoever is there.
    fn passing(&self, entry: &Entry) -> Option<BusCommand> {
        let cluster = self.cluster.as_ref()?;
        let cell = self.table.cell(entry.cell);
        let name = self.table.names.get(cell.name);
        if cluster.protocol < Protocol::PASSING || name.kind != Kind::Device {
            return None;
        }
        let said = Said::Passing(Passing {
            device: name.text.to_string(),
            state: entry.value.state(),
            eid: self.table.eid(cell.eid),
            version: self.table.version_at(cell, entry.rev),
        });
        let scope = cluster.scope_of(name.kind, &name.text);
        Some(self.say(scope, What::Passing, &said))
    }

    pub(super) fn say(&self, scope: Scope, what: What, said: &Said) -> BusCommand {
        let site = match &self.cluster {
            Some(cluster) => cluster.settings.site.clone(),
            None => String::new(),
        };
        let topic = Topic {
            scope,
            site,
            node: self.entity_id,
            what,
        };
        let mut bytes = Vec::with_capacity(256);
        said.write(&mut bytes);
        BusCommand::Say {
            topic: topic.to_string(),
            bytes,
        }
    }
}
