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
            if let Some(peer) = peers.of_asterisk_publication(&rewrite.peer) {
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
        let inbound = self.of(config, peer).filter(|rewrite| rewrite.inbound);
        let rewrites: Vec<&Rewrite> = inbound.collect();
        let renamed = |rules: fn(&Rewrite) -> &Vec<Renaming>, name: &str| {
            let mut all = rewrites.iter().flat_map(|rewrite| rules(rewrite));
            all.find_map(|rule| rule.to_ours(name))
        };
        match &mut change {
            StateChange::Device { device, state, .. } => {
                if let Some(name) = renamed(|rewrite| &rewrite.devices, device) {
                    valid_name(&name)?;
                    *device = Cow::Owned(name);
                }
                let mut states = rewrites.iter().flat_map(|rewrite| &rewrite.states);
                if let Some((_, ours)) = states.find(|(theirs, _)| theirs == state) {
                    *state = *ours;
                }
            }
            StateChange::Mailbox { uniqueid, .. } => {
                if let Some(name) = renamed(|rewrite| &rewrite.mailboxes, uniqueid) {
                    valid_name(&name)?;
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
            .flat_map(|rewrite| match kind {
                Kind::Device => &rewrite.devices,
                Kind::Mailbox => &rewrite.mailboxes,
            })
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
