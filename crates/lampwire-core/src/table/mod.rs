//! What is known: one cell for each name under each entity id, and the order in which cells changed.

mod journal;
mod names;

use std::collections::BTreeMap;
use std::sync::Arc;

use lampwire_sip::{DeviceState, EntityId, Version};

use self::journal::Journal;
pub(crate) use self::journal::{Entry, Rev};
pub(crate) use self::names::{Kind, NameId, Names};
use crate::limits;
use crate::peer::PeerId;
use crate::sum;
use crate::time::WallTime;

/// A device state or a mailbox's two counts, packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value(pub(crate) u32);

impl Value {
    pub(crate) fn device(state: DeviceState) -> Self {
        let index = DeviceState::ALL
            .iter()
            .position(|&other| other == state)
            .unwrap_or(0);
        Self(u32::try_from(index).unwrap_or(0))
    }

    pub(crate) fn mailbox(new: u16, old: u16) -> Self {
        Self(u32::from(new) << 16 | u32::from(old))
    }

    /// The device state, where this is one.
    pub(crate) fn state(self) -> DeviceState {
        DeviceState::ALL
            .get(self.0 as usize)
            .copied()
            .unwrap_or(DeviceState::Unknown)
    }

    /// (new, old), where this is a mailbox's.
    pub(crate) const fn counts(self) -> (u16, u16) {
        ((self.0 >> 16) as u16, (self.0 & 0xffff) as u16)
    }

    /// What a deletion tells the peers: INVALID takes a device out of every Asterisk's sum, and an empty mailbox puts the lamp out.
    fn deleted(kind: Kind) -> Self {
        match kind {
            Kind::Device => Self::device(DeviceState::Invalid),
            Kind::Mailbox => Self::mailbox(0, 0),
        }
    }
}

/// A cell's number in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CellId(pub(crate) u32);

/// An entity id's number in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EidId(u16);

impl EidId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The number of one life of a node that stamps values. 0 is this node in its own life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StamperId(u16);

impl StamperId {
    /// This node.
    pub(crate) const HERE: Self = Self(0);
}

/// What is known of an entity id as a whole.
#[derive(Debug)]
struct Eid {
    id: EntityId,
    /// Its node is lost: its devices count no more, and others are told what stands in for their states.
    lost: bool,
    /// Peers that speak for it at first hand.
    told_by: Vec<PeerId>,
    /// The peer whose own entity id it is.
    own_of: Option<PeerId>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Set on this node.
    Local,
    /// A peer's PUBLISH.
    Publication,
    /// An Asterisk that is read over AMI.
    Ami,
    /// Another node of the cluster.
    Cluster,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Local, Self::Publication, Self::Ami, Self::Cluster];

    /// The word that the interface uses: `local`, `publication`, `ami`, `cluster`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Publication => "publication",
            Self::Ami => "ami",
            Self::Cluster => "cluster",
        }
    }
}

/// An endpoint by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder(u16);

impl Holder {
    pub(crate) fn of_endpoint(endpoint: usize) -> Option<Self> {
        u16::try_from(endpoint).ok().map(Self)
    }
}

/// How many devices and mailboxes an endpoint may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxStates {
    pub(crate) devices: u32,
    pub(crate) mailboxes: u32,
}

impl MaxStates {
    const fn of(self, kind: Kind) -> u32 {
        match kind {
            Kind::Device => self.devices,
            Kind::Mailbox => self.mailboxes,
        }
    }
}

/// One name's value under one entity id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) name: NameId,
    next_of_name: Option<CellId>,
    pub(crate) value: Value,
    pub(crate) eid: EidId,
    pub(crate) peer: Option<PeerId>,
    /// The endpoint that said it last, in whose count it stands.
    holder: Option<Holder>,
    pub(crate) source: Source,
    /// False: delivered as an event, shown, but neither summed nor dumped. It stands in a cell of its own beside the kept value.
    pub(crate) cachable: bool,
    /// Deleted, and kept only until every publisher has told its peer.
    pub(crate) dead: bool,
    /// It stands in the list of the dead.
    listed: bool,
    /// Who stamped it, and with which number.
    stamper: StamperId,
    seq: u64,
    /// The round of asking in which it was last said.
    said: u32,
    pub(crate) rev: Rev,
    pub(crate) updated_at: WallTime,
}

impl Cell {
    /// It is neither free nor deleted.
    pub(crate) fn is_live(&self) -> bool {
        self.rev != Rev::default() && !self.dead
    }
}

/// A value that somebody asserts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assertion<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    pub(crate) eid: EntityId,
    pub(crate) value: Value,
    pub(crate) cachable: bool,
    pub(crate) source: Source,
    pub(crate) peer: Option<PeerId>,
    /// The endpoint that says it, and how many it may hold.
    pub(crate) holder: Option<(Holder, MaxStates)>,
    /// Which version it is; `None`: it was heard at first hand, and is stamped here.
    pub(crate) version: Option<Version>,
    pub(crate) at: WallTime,
}

/// A value of an earlier life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restored<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    pub(crate) eid: EntityId,
    pub(crate) value: Value,
    pub(crate) source: Source,
    pub(crate) peer: Option<PeerId>,
    pub(crate) version: Version,
    /// It was stamped by this node.
    pub(crate) here: bool,
    pub(crate) owner: bool,
    pub(crate) rev: Rev,
    pub(crate) at: WallTime,
}

/// A change that is real: others are to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) cell: CellId,
    pub(crate) name: NameId,
    pub(crate) kind: Kind,
    pub(crate) previous: Option<Value>,
    pub(crate) rev: Rev,
}

/// The table is full: the bound that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableFull {
    /// [`limits::CELLS`].
    #[error("no room for another state")]
    Cells,
    /// [`limits::ENTITY_IDS`].
    #[error("no room for another entity id")]
    EntityIds,
    /// [`limits::ENTITIES_OF_A_NAME`].
    #[error("too many entity ids speak for one name")]
    EntitiesOfAName,
    /// As many nodes, or lives of nodes, have stamped values as can be told apart.
    #[error("too many lives of other hubs")]
    Stampers,
    /// `@max_devices` or `@max_mailboxes` of the endpoint.
    #[error("its endpoint holds as many as it may (@max_devices, @max_mailboxes)")]
    OfTheEndpoint,
}

/// What of the configuration decides how values are told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// What a lost node's devices are told to be in; `None`: what they last were.
    pub(crate) retract_as: Option<DeviceState>,
    /// One owner's value is a mailbox's (as on a hub), and not the last writer's (as on an Asterisk).
    pub(crate) owners: bool,
    /// Random, another in each life.
    pub(crate) key_of_rounds: u32,
}

/// Cells, names, entity ids and the journal of changes.
#[derive(Debug)]
pub(crate) struct Table {
    cells: Vec<Cell>,
    free: Vec<CellId>,
    /// Dead cells, to be freed when every publisher has passed them.
    dead: Vec<CellId>,
    eids: Vec<Eid>,
    eid_ids: BTreeMap<EntityId, EidId>,
    /// Those who stamp values, each with one life; the first is this node.
    stampers: Vec<(EntityId, u64)>,
    stamper_ids: BTreeMap<(EntityId, u64), StamperId>,
    /// What a lost node's devices are told to be in; `None`: what they last were.
    retract_as: Option<Value>,
    /// One owner's value is a mailbox's, and not the last writer's.
    owners: bool,
    /// How often any peer has been asked for everything.
    round: u32,
    /// Another one in each life.
    key_of_rounds: u32,
    pub(crate) names: Names,
    journal: Journal,
    /// Devices and mailboxes by the endpoint that holds them.
    held: Vec<[u32; 2]>,
}

impl Table {
    pub(crate) fn new(key: (u64, u64), here: (EntityId, u64), rules: Rules) -> Self {
        Self {
            stampers: vec![here],
            stamper_ids: BTreeMap::new(),
            retract_as: rules.retract_as.map(Value::device),
            owners: rules.owners,
            round: 0,
            key_of_rounds: rules.key_of_rounds >> 1,
            cells: Vec::new(),
            free: Vec::new(),
            dead: Vec::new(),
            eids: Vec::new(),
            eid_ids: BTreeMap::new(),
            names: Names::new(key),
            journal: Journal::default(),
            held: Vec::new(),
        }
    }

    /// Whether another state of anybody's would fit.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty() || self.cells.len() < limits::CELLS
    }

    /// Whether so many more would fit.
    pub(crate) fn has_room_for_more(&self, count: usize) -> bool {
        self.free.len() + limits::CELLS.saturating_sub(self.cells.len()) >= count
    }

    /// Whether an endpoint may hold another device and another mailbox.
    pub(crate) fn has_room_for(&self, endpoint: usize, max: MaxStates) -> bool {
        let held = self.held.get(endpoint).copied().unwrap_or_default();
        held[Kind::Device as usize] < max.devices && held[Kind::Mailbox as usize] < max.mailboxes
    }

    /// Moves a state from one endpoint's count to another's.
    fn hold(&mut self, kind: Kind, before: Option<Holder>, after: Option<Holder>) {
        if before == after {
            return;
        }
        if let Some(Holder(endpoint)) = before {
            self.held[usize::from(endpoint)][kind as usize] -= 1;
        }
        if let Some(Holder(endpoint)) = after {
            let endpoint = usize::from(endpoint);
            if self.held.len() <= endpoint {
                self.held.resize(endpoint + 1, [0; 2]);
            }
            self.held[endpoint][kind as usize] += 1;
        }
    }

    /// Whether a value would fit, so that nothing is touched where it does not.
    pub(crate) fn check_room(&self, assertion: &Assertion<'_>) -> Result<(), TableFull> {
        let eid = self.eid_ids.get(&assertion.eid);
        if eid.is_none() && self.eids.len() >= limits::ENTITY_IDS {
            return Err(TableFull::EntityIds);
        }
        let stamper = assertion.version.map(|version| (version.by, version.life));
        if stamper.is_some_and(|key| !self.stamper_ids.contains_key(&key))
            && self.stampers.len() > usize::from(u16::MAX)
        {
            return Err(TableFull::Stampers);
        }
        let name = self.names.find(assertion.kind, assertion.name);
        let (kept, passing) = match (name, eid) {
            (Some(name), Some(eid)) => self.cells_of(name, *eid),
            _ => (None, None),
        };
        let own = if assertion.cachable { kept } else { passing };
        if own.is_some() {
            return Ok(());
        }
        if !self.has_room() {
            return Err(TableFull::Cells);
        }
        if let Some((Holder(endpoint), max)) = assertion.holder
            && let Some(held) = self.held.get(usize::from(endpoint))
            && held[assertion.kind as usize] >= max.of(assertion.kind)
        {
            return Err(TableFull::OfTheEndpoint);
        }
        if name.is_some_and(|name| self.chain(name).count() >= limits::ENTITIES_OF_A_NAME) {
            return Err(TableFull::EntitiesOfAName);
        }
        Ok(())
    }

    /// Takes a value in. `None`: it says nothing new. A value that is not to be cached is news each time.
    pub(crate) fn apply(&mut self, assertion: &Assertion<'_>) -> Result<Option<Change>, TableFull> {
        self.check_room(assertion)?;
        let eid = self.intern_eid(assertion.eid)?;
        let known = self.names.find(assertion.kind, assertion.name);
        let (kept, passing) = known.map_or((None, None), |name| self.cells_of(name, eid));
        let own = if assertion.cachable { kept } else { passing };
        let stamper = match assertion.version {
            None => StamperId::HERE,
            Some(version) => self.intern_stamper(version)?,
        };
        let previous = [own, if assertion.cachable { passing } else { kept }]
            .into_iter()
            .flatten()
            .map(|id| self.cell(id))
            .find(|cell| !cell.dead)
            .map(|cell| cell.value);
        if let Some(id) = own {
            let round = self.round;
            let cell = &mut self.cells[id.0 as usize];
            let same = cell.value == assertion.value && !cell.dead && cell.cachable;
            cell.source = assertion.source;
            cell.peer = assertion.peer;
            cell.said = round;
            if let Some(version) = assertion.version {
                (cell.stamper, cell.seq) = (stamper, version.seq);
            }
            let holder = assertion.holder.map(|(holder, _)| holder);
            let before = std::mem::replace(&mut cell.holder, holder);
            self.hold(assertion.kind, before, holder);
            if same && passing.is_none_or(|id| self.cell(id).dead) {
                return Ok(None);
            }
        }
        let cell = match own {
            Some(id) => id,
            None => self.add_cell(assertion, eid, stamper)?,
        };
        if assertion.version.is_none() {
            let seq = self.journal.head().next().number();
            let cell = &mut self.cells[cell.0 as usize];
            (cell.stamper, cell.seq) = (StamperId::HERE, seq);
        }
        if assertion.cachable
            && let Some(passing) = passing
        {
            self.bury(passing);
        }
        self.note_owner(cell, assertion.value);
        Ok(Some(self.change(
            cell,
            assertion.value,
            assertion.at,
            previous,
        )))
    }

    /// A mailbox belongs to the entity id that last reported messages in it: a server that merely knows an empty mailbox does not take it
    /// over.
    fn note_owner(&mut self, id: CellId, value: Value) {
        let name = self.cell(id).name;
        if self.names.get(name).kind != Kind::Mailbox {
            return;
        }
        let owner = self.names.get(name).owner;
        let owned = owner.is_some_and(|owner| !self.cell(owner).dead);
        if !owned || value != Value::mailbox(0, 0) {
            self.names.get_mut(name).owner = Some(id);
        }
    }

    /// The value of a name that a peer told.
    pub(crate) fn told_by(&self, name: NameId, peer: PeerId) -> Option<CellId> {
        self.chain(name).find(|id| {
            let cell = self.cell(*id);
            cell.peer == Some(peer) && !cell.dead
        })
    }

    /// Gives a mailbox to the entity id of one of its values, as configured.
    pub(crate) fn set_owner(&mut self, id: CellId) {
        let name = self.cell(id).name;
        self.names.get_mut(name).owner = Some(id);
    }

    /// Whether a value is the one that others are told of its name: each entity's of a device, one owner's of a mailbox.
    pub(crate) fn is_told(&self, id: CellId) -> bool {
        let name = self.names.get(self.cell(id).name);
        !self.owners || name.kind == Kind::Device || name.owner.is_none_or(|owner| owner == id)
    }

    /// What others are told of a cell: its value, or what stands in for it while its node is lost.
    pub(crate) fn told(&self, cell: &Cell) -> Value {
        let kind = self.names.get(cell.name).kind;
        match self.retract_as {
            Some(value) if kind == Kind::Device && self.is_lost(cell.eid) && !cell.dead => value,
            Some(_) | None => cell.value,
        }
    }

    /// The version of a value, as another Lampwire is told.
    pub(crate) fn version(&self, cell: &Cell) -> Version {
        let (by, life) = self.stampers[usize::from(cell.stamper.0)];
        Version {
            by,
            life,
            seq: cell.seq,
        }
    }

    /// The version of what a cell's entry at `rev` told: what this node stamps has the number of its change.
    pub(crate) fn version_at(&self, cell: &Cell, rev: Rev) -> Version {
        let version = self.version(cell);
        match cell.stamper {
            StamperId::HERE => Version {
                seq: rev.number(),
                ..version
            },
            _ => version,
        }
    }

    /// Whether an entry may be told as it is: of what another node stamped only the newest version is known.
    pub(crate) fn has_version(&self, entry: &Entry) -> bool {
        let cell = self.cell(entry.cell);
        cell.stamper == StamperId::HERE || cell.rev == entry.rev
    }

    /// A newer life of this node than any that others know: what it stamps is not older than what it stamped before.
    pub(crate) fn live_again(&mut self, life: u64) {
        self.stampers[0].1 = life;
    }

    /// The life of this node.
    pub(crate) fn life(&self) -> u64 {
        self.stampers[0].1
    }

    /// The round of asking that is on, as peers are told it: no two lives of a node have the same rounds, so that the end of a dump that an
    /// earlier life asked for is not taken for the end of another.
    pub(crate) const fn round(&self) -> u64 {
        (self.key_of_rounds as u64) << 32 | self.round as u64
    }

    /// Which round a peer means; `None`: one of an earlier life.
    pub(crate) fn round_meant(&self, told: u64) -> Option<u32> {
        (told >> 32 == u64::from(self.key_of_rounds))
            .then(|| u32::try_from(told & u64::from(u32::MAX)).unwrap_or(0))
    }

    /// Begins a round of asking; what is said from now on has this number or a higher one.
    pub(crate) fn begin_round(&mut self) -> u32 {
        self.round = self.round.saturating_add(1);
        self.round
    }

    /// Devices that a peer was last heard to speak of before a round, at first hand or not, and that would be told in a dump.
    pub(crate) fn unsaid_since(&self, peer: PeerId, round: u32) -> Vec<(EntityId, Arc<str>)> {
        self.cells
            .iter()
            .filter(|cell| {
                cell.peer == Some(peer)
                    && cell.said < round
                    && cell.cachable
                    && !cell.dead
                    && cell.rev != Rev::default()
                    && matches!(cell.source, Source::Publication | Source::Ami)
            })
            .filter_map(|cell| {
                let name = self.names.get(cell.name);
                (name.kind == Kind::Device).then(|| (self.eid(cell.eid), Arc::clone(&name.text)))
            })
            .collect()
    }

    // ---- entity ids as a whole

    /// The number of an entity id, where it is known.
    pub(crate) fn eid_id(&self, eid: EntityId) -> Option<EidId> {
        self.eid_ids.get(&eid).copied()
    }

    pub(crate) fn is_lost(&self, eid: EidId) -> bool {
        self.eids[eid.index()].lost
    }

    /// Marks an entity id's node as lost or back. Its devices are to be told anew: by [`Self::tell_anew`].
    pub(crate) fn set_lost(&mut self, eid: EidId, lost: bool) {
        self.eids[eid.index()].lost = lost;
    }

    /// A peer speaks for an entity id at first hand.
    pub(crate) fn note_first_hand(&mut self, eid: EidId, peer: PeerId) {
        let told_by = &mut self.eids[eid.index()].told_by;
        if !told_by.contains(&peer) {
            told_by.push(peer);
        }
    }

    /// Whether a peer speaks for an entity id at first hand.
    pub(crate) fn is_first_hand(&self, eid: EidId, peer: PeerId) -> bool {
        self.eids[eid.index()].told_by.contains(&peer)
    }

    /// The peer whose own entity id it is.
    pub(crate) fn owner_of(&self, eid: EidId) -> Option<PeerId> {
        self.eids[eid.index()].own_of
    }

    /// An entity id is a peer's own; any other that was before is no more.
    pub(crate) fn set_own(&mut self, eid: EntityId, peer: PeerId) {
        for known in &mut self.eids {
            if known.own_of == Some(peer) {
                known.own_of = None;
            }
        }
        if let Ok(id) = self.intern_eid(eid) {
            self.eids[id.index()].own_of = Some(peer);
        }
    }

    /// Tells some devices of an entity id anew, as its node is lost or back: those from cell `from` on, at most `limit` of them looked at.
    /// The cell to go on with, where there are more.
    pub(crate) fn tell_anew(
        &mut self,
        eid: EidId,
        from: CellId,
        limit: usize,
        mut tell: impl FnMut(Change),
    ) -> Option<CellId> {
        let first = from.0 as usize;
        let end = self.cells.len().min(first + limit);
        for index in first..end {
            let cell = self.cells[index];
            let concerned = cell.eid == eid
                && cell.cachable
                && !cell.dead
                && cell.rev != Rev::default()
                && self.names.get(cell.name).kind == Kind::Device;
            if concerned {
                if cell.stamper == StamperId::HERE {
                    // A number of its own: whoever is told by two ways knows which word is the newer one.
                    self.cells[index].seq = self.journal.head().next().number();
                }
                let id = CellId(u32::try_from(index).expect("bounded by CELLS"));
                let change = self.change(id, cell.value, cell.updated_at, Some(cell.value));
                tell(change);
            }
        }
        (end < self.cells.len()).then(|| CellId(u32::try_from(end).expect("bounded by CELLS")))
    }

    /// A value was said again in this round of asking.
    pub(crate) fn note_said(&mut self, kind: Kind, name: &str, eid: EidId) {
        if let Some(name) = self.names.find(kind, name)
            && let (Some(id), _) = self.cells_of(name, eid)
        {
            self.cells[id.0 as usize].said = self.round;
        }
    }

    /// A value has another version, and is as it was.
    pub(crate) fn set_version(
        &mut self,
        kind: Kind,
        name: &str,
        eid: EidId,
        version: Version,
    ) -> Result<(), TableFull> {
        let stamper = self.intern_stamper(version)?;
        if let Some(name) = self.names.find(kind, name)
            && let (Some(id), _) = self.cells_of(name, eid)
        {
            let cell = &mut self.cells[id.0 as usize];
            (cell.stamper, cell.seq) = (stamper, version.seq);
        }
        Ok(())
    }

    fn intern_stamper(&mut self, version: Version) -> Result<StamperId, TableFull> {
        let key = (version.by, version.life);
        if let Some(id) = self.stamper_ids.get(&key) {
            return Ok(*id);
        }
        let id = u16::try_from(self.stampers.len()).map_err(|_| TableFull::Stampers)?;
        self.stampers.push(key);
        self.stamper_ids.insert(key, StamperId(id));
        Ok(StamperId(id))
    }

    /// The version of the value of a name under an entity id, where there is one.
    pub(crate) fn version_of(&self, kind: Kind, name: &str, eid: EntityId) -> Option<Version> {
        let (kept, passing) = self.cells_of(self.names.find(kind, name)?, *self.eid_ids.get(&eid)?);
        let id = kept.or(passing)?;
        let cell = self.cell(id);
        (!cell.dead).then(|| self.version(cell))
    }

    /// The newest life of a node that has stamped anything here.
    pub(crate) fn newest_life(&self, by: EntityId) -> Option<u64> {
        let lives = self.stamper_ids.range((by, 0)..=(by, u64::MAX));
        lives.map(|((_, life), _)| *life).next_back()
    }

    /// Puts a value of an earlier life back, in the order of their revisions.
    pub(crate) fn restore(&mut self, restored: &Restored<'_>) -> Result<EidId, TableFull> {
        let assertion = Assertion {
            kind: restored.kind,
            name: restored.name,
            eid: restored.eid,
            value: restored.value,
            cachable: true,
            source: restored.source,
            peer: restored.peer,
            holder: None,
            version: (!restored.here).then_some(restored.version),
            at: restored.at,
        };
        self.check_room(&assertion)?;
        let eid = self.intern_eid(restored.eid)?;
        let stamper = match assertion.version {
            Some(version) => self.intern_stamper(version)?,
            None => StamperId::HERE,
        };
        let known = self.names.find(restored.kind, restored.name);
        if known.is_some_and(|name| self.cells_of(name, eid).0.is_some()) {
            return Ok(eid);
        }
        let id = self.add_cell(&assertion, eid, stamper)?;
        self.cells[id.0 as usize].seq = restored.version.seq;
        let told = self.told(self.cell(id));
        self.journal.restore(restored.rev, id, told);
        let head = self.journal.head();
        self.cells[id.0 as usize].rev = head;
        if restored.owner {
            self.set_owner(id);
        }
        Ok(eid)
    }

    /// A cell that is to be kept, or was.
    pub(crate) fn kept(&self, id: CellId) -> Option<&Cell> {
        let cell = self.cell(id);
        (cell.cachable && cell.rev != Rev::default()).then_some(cell)
    }

    /// How many cells there are, free ones among them.
    pub(crate) fn cell_count(&self) -> u32 {
        u32::try_from(self.cells.len()).unwrap_or(u32::MAX)
    }

    /// Each entity id and whether its node is lost.
    pub(crate) fn losses(&self) -> impl Iterator<Item = (EntityId, bool)> + '_ {
        self.eids.iter().map(|eid| (eid.id, eid.lost))
    }

    /// Deletes the values of `name` under `eid`: peers are told INVALID or 0/0, and then nothing is left of it. `None`: there was none.
    pub(crate) fn delete(
        &mut self,
        kind: Kind,
        name: &str,
        eid: EntityId,
        at: WallTime,
    ) -> Option<Change> {
        let eid = *self.eid_ids.get(&eid)?;
        let (kept, passing) = self.cells_of(self.names.find(kind, name)?, eid);
        let live = |id: &CellId| !self.cell(*id).dead;
        let (kept, passing) = (kept.filter(live), passing.filter(live));
        let id = kept.or(passing)?;
        if kept.is_some()
            && let Some(passing) = passing
        {
            self.bury(passing);
        }
        let previous = Some(self.cell(id).value);
        // To be gone is news: what another hub has of it is older.
        let here = self.journal.head().next().number();
        let cell = &mut self.cells[id.0 as usize];
        cell.seq = match cell.stamper {
            StamperId::HERE => here,
            _ => cell.seq + 1,
        };
        let change = self.change(id, Value::deleted(kind), at, previous);
        self.bury(id);
        Some(change)
    }

    /// Frees what was deleted and stands at or before `confirmed`, the revision up to which every peer has been told.
    pub(crate) fn free_dead(&mut self, confirmed: Rev) {
        let mut dead = std::mem::take(&mut self.dead);
        dead.retain(|&id| {
            let cell = *self.cell(id);
            let waits = cell.dead && cell.rev > confirmed;
            if !waits {
                self.cells[id.0 as usize].listed = false;
                if cell.dead {
                    self.free_cell(id);
                }
            }
            waits
        });
        dead.append(&mut self.dead);
        self.dead = dead;
    }

    /// How many deleted cells wait to be freed.
    pub(crate) const fn dead(&self) -> usize {
        self.dead.len()
    }

    pub(crate) fn cell(&self, id: CellId) -> &Cell {
        &self.cells[id.0 as usize]
    }

    pub(crate) fn eid(&self, id: EidId) -> EntityId {
        self.eids[id.index()].id
    }

    /// Whether `entry` is its cell's newest.
    pub(crate) fn is_newest(&self, entry: &Entry) -> bool {
        self.cell(entry.cell).rev == entry.rev
    }

    pub(crate) const fn head(&self) -> Rev {
        self.journal.head()
    }

    pub(crate) fn window_start(&self) -> Rev {
        self.journal.window_start()
    }

    pub(crate) fn entries_from(&self, from: Rev) -> impl Iterator<Item = Entry> + '_ {
        self.journal.entries_from(from)
    }

    /// The cells of a name that are not deleted.
    pub(crate) fn entities(&self, name: NameId) -> impl Iterator<Item = &Cell> + '_ {
        self.chain(name)
            .map(|id| self.cell(id))
            .filter(|cell| !cell.dead)
    }

    /// The state that a device's lamp shows.
    pub(crate) fn sum(&self, device: NameId) -> DeviceState {
        sum::sum(
            self.entities(device)
                .filter(|cell| {
                    cell.cachable && !(self.retract_as.is_some() && self.is_lost(cell.eid))
                })
                .map(|cell| cell.value.state()),
        )
    }

    /// The cell whose value a mailbox's lamp shows: the owner's on a hub, else as on an Asterisk the last writer's.
    pub(crate) fn mailbox(&self, mailbox: NameId) -> Option<&Cell> {
        if let Some(owner) = self.names.get(mailbox).owner.filter(|_| self.owners) {
            return Some(self.cell(owner)).filter(|cell| !cell.dead);
        }
        self.entities(mailbox).max_by_key(|cell| cell.rev)
    }

    /// The names that have a value under an entity id.
    pub(crate) fn names_under(&self, eid: EntityId) -> Vec<(Kind, Arc<str>)> {
        let Some(eid) = self.eid_ids.get(&eid) else {
            return Vec::new();
        };
        let live = self
            .cells
            .iter()
            .filter(|cell| cell.eid == *eid && cell.rev != Rev::default() && !cell.dead);
        let mut names: Vec<NameId> = live.map(|cell| cell.name).collect();
        names.dedup();
        names
            .into_iter()
            .map(|name| self.names.get(name))
            .map(|name| (name.kind, Arc::clone(&name.text)))
            .collect()
    }

    /// All cells from a number on, free and dead ones too.
    pub(crate) fn cells_from(&self, number: usize) -> impl Iterator<Item = &Cell> + '_ {
        self.cells.iter().skip(number)
    }

    /// Cells that hold a value.
    pub(crate) fn len(&self) -> usize {
        self.cells.len() - self.free.len() - self.dead.len()
    }

    pub(crate) fn intern_eid(&mut self, eid: EntityId) -> Result<EidId, TableFull> {
        if let Some(id) = self.eid_ids.get(&eid) {
            return Ok(*id);
        }
        if self.eids.len() >= limits::ENTITY_IDS {
            return Err(TableFull::EntityIds);
        }
        let id = EidId(u16::try_from(self.eids.len()).map_err(|_| TableFull::EntityIds)?);
        self.eids.push(Eid {
            id: eid,
            lost: false,
            told_by: Vec::new(),
            own_of: None,
        });
        self.eid_ids.insert(eid, id);
        Ok(id)
    }

    /// The kept and the passing cell of a name under an entity id.
    fn cells_of(&self, name: NameId, eid: EidId) -> (Option<CellId>, Option<CellId>) {
        let (mut kept, mut passing) = (None, None);
        for id in self.chain(name).filter(|id| self.cell(*id).eid == eid) {
            if self.cell(id).cachable {
                kept = Some(id);
            } else {
                passing = Some(id);
            }
        }
        (kept, passing)
    }

    fn chain(&self, name: NameId) -> impl Iterator<Item = CellId> + '_ {
        std::iter::successors(self.names.get(name).first_cell, |id| {
            self.cell(*id).next_of_name
        })
    }

    fn add_cell(
        &mut self,
        assertion: &Assertion<'_>,
        eid: EidId,
        stamper: StamperId,
    ) -> Result<CellId, TableFull> {
        let name = self.names.intern(assertion.kind, assertion.name);
        let cell = Cell {
            name,
            next_of_name: self.names.get(name).first_cell,
            value: assertion.value,
            eid,
            peer: assertion.peer,
            holder: assertion.holder.map(|(holder, _)| holder),
            source: assertion.source,
            cachable: assertion.cachable,
            dead: false,
            listed: false,
            stamper,
            seq: assertion.version.map_or(0, |version| version.seq),
            said: self.round,
            rev: Rev::default(),
            updated_at: assertion.at,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.cells[id.0 as usize] = cell;
                id
            }
            None => {
                self.cells.push(cell);
                CellId(u32::try_from(self.cells.len() - 1).map_err(|_| TableFull::Cells)?)
            }
        };
        self.names.get_mut(name).first_cell = Some(id);
        self.hold(
            assertion.kind,
            None,
            assertion.holder.map(|(holder, _)| holder),
        );
        Ok(id)
    }

    fn change(
        &mut self,
        id: CellId,
        value: Value,
        at: WallTime,
        previous: Option<Value>,
    ) -> Change {
        let told = match self.cell(id).dead {
            true => value,
            false => self.told(&Cell {
                value,
                ..*self.cell(id)
            }),
        };
        let rev = self.journal.push(id, told);
        let cell = &mut self.cells[id.0 as usize];
        let old = std::mem::replace(&mut cell.rev, rev);
        cell.value = value;
        cell.updated_at = at;
        cell.dead = false;
        let name = cell.name;
        if old != Rev::default() {
            self.supersede(old);
        }
        Change {
            cell: id,
            name,
            kind: self.names.get(name).kind,
            previous,
            rev,
        }
    }

    /// Marks a cell as deleted. Its number stays taken until every cursor has passed it, since the journal still names it.
    fn bury(&mut self, id: CellId) {
        let cell = &mut self.cells[id.0 as usize];
        cell.dead = true;
        // A cell that was revived since still stands in the list.
        if !std::mem::replace(&mut cell.listed, true) {
            self.dead.push(id);
        }
    }

    fn free_cell(&mut self, id: CellId) {
        let Cell {
            name,
            rev,
            next_of_name,
            holder,
            ..
        } = *self.cell(id);
        self.hold(self.names.get(name).kind, holder, None);
        let before = self
            .chain(name)
            .find(|&other| self.cell(other).next_of_name == Some(id));
        match before {
            Some(before) => self.cells[before.0 as usize].next_of_name = next_of_name,
            None => self.names.get_mut(name).first_cell = next_of_name,
        }
        if self.names.get(name).owner == Some(id) {
            self.names.get_mut(name).owner = None;
        }
        if self.names.get(name).first_cell.is_none() {
            self.names.remove(name);
        }
        self.cells[id.0 as usize].rev = Rev::default();
        self.cells[id.0 as usize].dead = false;
        self.supersede(rev);
        self.free.push(id);
    }

    fn supersede(&mut self, rev: Rev) {
        let Self { journal, cells, .. } = self;
        journal.supersede(rev, |entry| cells[entry.cell.0 as usize].rev == entry.rev);
    }
}
