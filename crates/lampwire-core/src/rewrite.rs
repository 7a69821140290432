//! What a peer calls otherwise: names and states are this node's from the moment they come in until they leave.

use std::borrow::Cow;

use lampwire_conf::{Config, Location, Renaming, Rewrite};
use lampwire_sip::{BodyError, DeviceState, StateChange, valid_name};

use crate::peer::{PeerId, Peers};
use crate::store::KeptRewrite;
use crate::table::Kind;

/// The rewrites of each peer, as their places in the configuration.
#[derive(Debug, Default)]
pub(crate) struct Rewrites {
    of: Vec<Vec<usize>>,
}

impl Rewrites {
    pub(crate) fn new(config: &Config, peers: &Peers) -> Self {
        let mut of = Vec::new();
        for (index, rewrite) in config.rewrites.iter().enumerate() {
            let peer = peers.of_asterisk_publication(&rewrite.peer);
            if let Some(peer) = peer.or_else(|| peers.of_ami(&rewrite.peer)) {
                let peer = usize::from(peer.0);
                if of.len() <= peer {
                    of.resize(peer + 1, Vec::new());
                }
                of[peer].push(index);
            }
        }
        Self { of }
    }

    /// Those of a configuration in which the first `count` are this peer's.
    pub(crate) fn of_one(peer: Option<PeerId>, count: usize) -> Self {
        let mut of = Vec::new();
        if let Some(peer) = peer {
            of.resize(usize::from(peer.0), Vec::new());
            of.push((0..count).collect());
        }
        Self { of }
    }

    /// Whether a peer has names of its own: then a filter of one side says nothing to the other.
    pub(crate) fn concern(&self, peer: PeerId) -> bool {
        self.of
            .get(usize::from(peer.0))
            .is_some_and(|list| !list.is_empty())
    }

    fn of<'a>(&'a self, config: &'a Config, peer: PeerId) -> impl Iterator<Item = &'a Rewrite> {
        let indexes = self
            .of
            .get(usize::from(peer.0))
            .map_or(&[][..], Vec::as_slice);
        indexes.iter().map(|index| &config.rewrites[*index])
    }

    /// What a peer is told otherwise; two that are alike tell alike.
    pub(crate) fn told(&self, config: &Config, peer: Option<PeerId>) -> Vec<Rules> {
        let all = peer.into_iter().flat_map(|peer| self.of(config, peer));
        all.filter(|it| it.outbound).map(rules_of).collect()
    }

    /// What is heard otherwise of a peer.
    pub(crate) fn heard(&self, config: &Config, peer: PeerId) -> Vec<Rules> {
        let all = self.of(config, peer);
        all.filter(|it| it.inbound).map(rules_of).collect()
    }

    /// What a peer tells, under our names.
    ///
    /// # Errors
    /// Our name for it is none: it is too long.
    pub(crate) fn to_ours<'a>(
        &self,
        config: &Config,
        peer: PeerId,
        mut change: StateChange<'a>,
    ) -> Result<StateChange<'a>, BodyError> {
        match &mut change {
            StateChange::Device { device, state, .. } => {
                if let Some(name) = self.our_name(config, peer, Kind::Device, device)? {
                    *device = Cow::Owned(name);
                }
                *state = self.our_state(config, peer, *state);
            }
            StateChange::Mailbox { uniqueid, .. } => {
                if let Some(name) = self.our_name(config, peer, Kind::Mailbox, uniqueid)? {
                    *uniqueid = Cow::Owned(name);
                }
            }
            StateChange::Refresh { .. }
            | StateChange::Dumped { .. }
            | StateChange::Beat { .. }
            | StateChange::Canary { .. } => {}
        }
        Ok(change)
    }

    /// Our name for one of a peer's; `None`: it is the same.
    ///
    /// # Errors
    /// Our name for it is none: it is too long.
    pub(crate) fn our_name(
        &self,
        config: &Config,
        peer: PeerId,
        kind: Kind,
        theirs: &str,
    ) -> Result<Option<String>, BodyError> {
        let inbound = self.of(config, peer).filter(|rewrite| rewrite.inbound);
        let mut rules = inbound.flat_map(|rewrite| renamings(rewrite, kind));
        let Some(name) = rules.find_map(|rule| rule.to_ours(theirs)) else {
            return Ok(None);
        };
        valid_name(&name)?;
        Ok(Some(name))
    }

    /// Our word for one of a peer's states.
    pub(crate) fn our_state(
        &self,
        config: &Config,
        peer: PeerId,
        state: DeviceState,
    ) -> DeviceState {
        let inbound = self.of(config, peer).filter(|rewrite| rewrite.inbound);
        let mut states = inbound.flat_map(|rewrite| &rewrite.states);
        let ours = states.find(|(theirs, _)| *theirs == state);
        ours.map_or(state, |(_, ours)| *ours)
    }

    /// Our names that a peer has under this one.
    pub(crate) fn behind<'a>(
        &self,
        config: &Config,
        peer: PeerId,
        kind: Kind,
        theirs: &'a str,
    ) -> Vec<Cow<'a, str>> {
        let outbound = self.of(config, peer).filter(|rewrite| rewrite.outbound);
        let rules = outbound.flat_map(|rewrite| renamings(rewrite, kind));
        let renamed = rules.filter_map(|rule| rule.to_ours(theirs));
        let same = std::iter::once(Cow::Borrowed(theirs));
        let mut names: Vec<_> = renamed.map(Cow::Owned).chain(same).collect();
        names.retain(|name| self.name_for(config, Some(peer), kind, name) == theirs);
        names
    }

    /// A peer's name for one of ours.
    pub(crate) fn name_for<'a>(
        &self,
        config: &Config,
        peer: Option<PeerId>,
        kind: Kind,
        name: &'a str,
    ) -> Cow<'a, str> {
        let rewrites = peer.into_iter().flat_map(|peer| self.of(config, peer));
        rewrites
            .filter(|rewrite| rewrite.outbound)
            .flat_map(|rewrite| renamings(rewrite, kind))
            .find_map(|rule| rule.to_theirs(name))
            .filter(|name| valid_name(name).is_ok())
            .map_or(Cow::Borrowed(name), Cow::Owned)
    }

    /// A peer's word for one of our states.
    pub(crate) fn state_for(
        &self,
        config: &Config,
        peer: Option<PeerId>,
        state: DeviceState,
    ) -> DeviceState {
        let rewrites = peer.into_iter().flat_map(|peer| self.of(config, peer));
        rewrites
            .filter(|rewrite| rewrite.outbound)
            .flat_map(|rewrite| &rewrite.states)
            .find(|(_, ours)| *ours == state)
            .map_or(state, |(theirs, _)| *theirs)
    }
}

fn renamings(rewrite: &Rewrite, kind: Kind) -> &Vec<Renaming> {
    match kind {
        Kind::Device => &rewrite.devices,
        Kind::Mailbox => &rewrite.mailboxes,
    }
}

/// Devices, mailboxes and states of one section.
pub(crate) type Rules = (
    Vec<Renaming>,
    Vec<Renaming>,
    Vec<(DeviceState, DeviceState)>,
);

fn rules_of(rewrite: &Rewrite) -> Rules {
    let Rewrite {
        devices,
        mailboxes,
        states,
        ..
    } = rewrite;
    (devices.clone(), mailboxes.clone(), states.clone())
}

/// Rules as they are kept over a restart.
pub(crate) fn kept(rules: &[Rules]) -> Vec<KeptRewrite> {
    let texts = |list: &[Renaming]| list.iter().map(ToString::to_string).collect();
    let kept = |(devices, mailboxes, states): &Rules| KeptRewrite {
        devices: texts(devices),
        mailboxes: texts(mailboxes),
        states: states.clone(),
    };
    rules.iter().map(kept).collect()
}

/// Sections of which a peer is told by these rules; `None`: they are none.
pub(crate) fn from_kept(kept: &[KeptRewrite]) -> Option<Vec<Rewrite>> {
    let renamings = |list: &[String]| -> Option<Vec<Renaming>> {
        list.iter().map(|text| text.parse().ok()).collect()
    };
    let section = |kept: &KeptRewrite| {
        Some(Rewrite {
            name: String::new(),
            at: Location {
                file: "".into(),
                line: 0,
                column: 0,
            },
            peer: String::new(),
            inbound: false,
            outbound: true,
            devices: renamings(&kept.devices)?,
            mailboxes: renamings(&kept.mailboxes)?,
            states: kept.states.clone(),
        })
    };
    kept.iter().map(section).collect()
}
