//! By what rules peers were told and heard, kept over a restart: a configuration that was changed while the node was down counts from its start
//! on, as it does after a reload.

use std::collections::{BTreeMap, BTreeSet};

use lampwire_conf::{Config, Filter};

use super::Node;
use crate::filters::Filters;
use crate::io::Level;
use crate::publisher::{Publisher, PublisherId, Settings, Terms, leads_to};
use crate::rewrite::{self, Rewrites};
use crate::store::{KeptTaking, KeptTerms, Record};
use crate::time::Now;

/// What of the rules has been given to the keeper.
#[derive(Debug, Default)]
pub(super) struct KeptRules {
    /// By which rules each publisher has told its peer all that this asks for.
    terms: BTreeMap<PublisherId, KeptTerms>,
    /// Publishers whose rules may be others than those.
    due: BTreeSet<PublisherId>,
    /// Publishes that are no more.
    ended: Vec<String>,
    takings_due: bool,
    /// What was taken of peers in an earlier life, until this one begins.
    before: Vec<KeptTaking>,
}

impl Node {
    /// Rules may be others than those that were given to the keeper.
    pub(super) fn rules_changed(&mut self) {
        let ids = self.publishers.iter().map(|publisher| publisher.id);
        self.kept.rules.due = ids.collect();
        self.kept.rules.takings_due = true;
    }

    /// A publish is no more, or has another name.
    pub(super) fn unkeep_terms(&mut self, id: PublisherId, publish: &str) {
        self.kept.rules.terms.remove(&id);
        self.kept.rules.ended.push(publish.to_owned());
    }

    /// Gives the rules that are others than before. A publisher's come once its peer has been told all that they ask for: until then a node that
    /// goes on from here has it to do.
    pub(super) fn keep_rules(&mut self, records: &mut Vec<Record>) {
        records.extend(self.kept.rules.ended.drain(..).map(Record::TermsGone));
        let mut due = std::mem::take(&mut self.kept.rules.due);
        for publisher in &self.publishers {
            let id = publisher.id;
            let known = self.kept.rules.terms.contains_key(&id);
            let wanted = due.contains(&id) && !publisher.is_retiring();
            if wanted && !(known && publisher.takes_back()) {
                let terms = self.terms_of(publisher);
                due.remove(&id);
                if self.kept.rules.terms.get(&id) != Some(&terms) {
                    records.push(Record::Terms(terms.clone()));
                    self.kept.rules.terms.insert(id, terms);
                }
            }
        }
        due.retain(|id| self.kept.rules.terms.contains_key(id));
        self.kept.rules.due = due;
        if std::mem::take(&mut self.kept.rules.takings_due) {
            let takings = 0..self.config.asterisk_publications.len();
            let takings = takings.filter_map(|index| self.taking_of(index));
            records.extend(takings.map(Record::Taking));
        }
    }

    /// Gives all rules, for a store that holds nothing yet.
    pub(super) fn keep_all_rules(&mut self, records: &mut Vec<Record>) {
        self.rules_changed();
        let mut news = Vec::new();
        self.keep_rules(&mut news);
        news.retain(|record| matches!(record, Record::Taking(_)));
        records.extend(self.kept.rules.terms.values().cloned().map(Record::Terms));
        records.append(&mut news);
    }

    fn terms_of(&self, publisher: &Publisher) -> KeptTerms {
        let settings = publisher.settings();
        let text = |filter| self.filters.text(filter).to_owned();
        KeptTerms {
            publish: publisher.publish.name.clone(),
            server_uri: publisher.publish.server_uri.clone(),
            relay: settings.relay,
            filter: settings.filter.map(text),
            // Nothing is told under its own entity id to a peer that is told nothing of others.
            peer: settings.peer_eid.filter(|_| settings.relay),
            rewrites: rewrite::kept(&self.rewrites.told(&self.config, settings.peer)),
        }
    }

    fn taking_of(&self, index: usize) -> Option<KeptTaking> {
        let rule = &self.config.asterisk_publications[index];
        let peer = self.peers.of_asterisk_publication(&rule.name)?;
        let text = |filter: &Filter| filter.as_str().to_owned();
        Some(KeptTaking {
            peer: rule.name.clone(),
            devices: rule.device_state,
            mailboxes: rule.mailbox_state,
            device_filter: rule.device_state_filter.as_ref().map(text),
            mailbox_filter: rule.mailbox_state_filter.as_ref().map(text),
            rewrites: rewrite::kept(&self.rewrites.heard(&self.config, peer)),
        })
    }

    fn terms_now<'a>(&'a self, publisher: &'a Publisher) -> Terms<'a> {
        Terms {
            settings: publisher.settings(),
            filters: &self.filters,
            rewrites: &self.rewrites,
            config: &self.config,
        }
    }

    /// What was kept of an earlier life's rules; the lanes are restored. Peers are told what has become of what they were told by other rules.
    pub(super) fn restore_rules(&mut self, terms: &[KeptTerms], takings: Vec<KeptTaking>) {
        self.kept.rules.before = takings;
        let mut stamped = None;
        for index in 0..self.config.outbound_publishes.len() {
            let publisher = &self.publishers[index];
            let (id, publish) = (publisher.id, &publisher.publish);
            let is_it =
                |it: &&KeptTerms| it.publish == publish.name && it.server_uri == publish.server_uri;
            let Some(before) = terms.iter().find(is_it).filter(|_| publisher.has_told()) else {
                continue;
            };
            self.kept.rules.terms.insert(id, before.clone());
            if self.terms_of(publisher) != *before {
                let number = *stamped.get_or_insert_with(|| self.table.skip());
                self.tell_by_other_rules(index, before, number);
            }
        }
        self.rules_changed();
    }

    /// Makes the changes for a publisher's peer that a reload from the former rules to these would have made.
    fn tell_by_other_rules(&mut self, index: usize, before: &KeptTerms, number: u64) {
        let publisher = &self.publishers[index];
        let name = publisher.publish.name.clone();
        let mut former = Filters::default();
        let filter = before.filter.as_deref().map(Filter::parse).transpose();
        let rewrites = rewrite::from_kept(&before.rewrites);
        let (Ok(filter), Some(rewrites)) = (filter, rewrites) else {
            // Of another program, or of none: all that can be done is to say everything.
            self.publishers[index].tell_anew(&self.table);
            return;
        };
        let settings = publisher.settings();
        let old_settings = Settings {
            relay: before.relay,
            filter: filter.as_ref().map(|filter| former.intern(filter)),
            peer_eid: before.peer,
            ..settings.clone()
        };
        let old_rewrites = Rewrites::of_one(settings.peer, rewrites.len());
        let old_config = Config {
            rewrites,
            ..Config::default()
        };
        let old = Terms {
            settings: &old_settings,
            filters: &former,
            rewrites: &old_rewrites,
            config: &old_config,
        };
        let of_others = self.publishers.iter().filter(|other| {
            other.id != publisher.id && leads_to(&other.publish, &publisher.publish)
        });
        let others: Vec<Terms<'_>> = of_others.map(|other| self.terms_now(other)).collect();
        let relay = self.config.lampwire.relay;
        let spares = relay && settings.peer_eid.is_some_and(|eid| self.leases.is_hub(eid));
        let stamped = (self.entity_id, number);
        let new = Some(self.terms_now(publisher));
        let changes = publisher.changes(&self.table, old, new, &others, spares, stamped);
        for cell in Publisher::included(&changes) {
            self.table.renumber(cell, number);
        }
        let spared = changes.spared;
        let (retracted, added) = self.publishers[index].tell_otherwise(changes);
        let mut text = format!(
            "publish {name}: since the configuration is another than before the restart, {retracted} devices are taken back and {added} states are told in addition"
        );
        if spared > 0 {
            text += &format!("; {spared} devices are not taken back, as the peer is a hub");
        }
        let level = if spared > 0 { Level::Warn } else { Level::Info };
        self.outbox.notice(level, "told-otherwise", text);
    }

    /// The node has begun: what is taken of peers by other rules than in its earlier life is asked for, what is not taken any more is taken back.
    pub(super) fn take_by_other_rules(&mut self, now: Now) {
        for before in std::mem::take(&mut self.kept.rules.before) {
            let rules = &self.config.asterisk_publications;
            let index = rules.iter().position(|rule| rule.name == before.peer);
            let Some(index) = index else { continue };
            let Some(taking) = self.taking_of(index) else {
                continue;
            };
            let devices = |it: &KeptTaking| (it.devices, it.device_filter.clone());
            let mailboxes = |it: &KeptTaking| (it.mailboxes, it.mailbox_filter.clone());
            self.renew_taking(
                now,
                index,
                devices(&before) == devices(&taking),
                mailboxes(&before) == mailboxes(&taking),
                before.rewrites == taking.rewrites,
            );
        }
    }
}
