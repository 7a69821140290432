//! What is known: one cell for each name under each entity id, and the order in which cells changed.

mod journal;
mod names;

use std::collections::BTreeMap;
use std::sync::Arc;

use lampwire_sip::{DeviceState, EntityId};

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
    /// `@max_devices` or `@max_mailboxes` of the endpoint.
    #[error("its endpoint holds as many as it may (@max_devices, @max_mailboxes)")]
    OfTheEndpoint,
}

/// Cells, names, entity ids and the journal of changes.
#[derive(Debug)]
pub(crate) struct Table {
    cells: Vec<Cell>,
    free: Vec<CellId>,
    /// Dead cells, to be freed when every publisher has passed them.
    dead: Vec<CellId>,
    eids: Vec<EntityId>,
    eid_ids: BTreeMap<EntityId, EidId>,
    pub(crate) names: Names,
    journal: Journal,
    /// Devices and mailboxes by the endpoint that holds them.
    held: Vec<[u32; 2]>,
}

impl Table {
    pub(crate) fn new(key: (u64, u64)) -> Self {
        Self {
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

    /// Takes a value in. `None`: it says nothing new. A value that is not to be cached is news each time.
    pub(crate) fn apply(&mut self, assertion: &Assertion<'_>) -> Result<Option<Change>, TableFull> {
        let eid = self.intern_eid(assertion.eid)?;
        let known = self.names.find(assertion.kind, assertion.name);
        let (kept, passing) = known.map_or((None, None), |name| self.cells_of(name, eid));
        let own = if assertion.cachable { kept } else { passing };
        let previous = [own, if assertion.cachable { passing } else { kept }]
            .into_iter()
            .flatten()
            .map(|id| self.cell(id))
            .find(|cell| !cell.dead)
            .map(|cell| cell.value);
        if let Some(id) = own {
            let cell = &mut self.cells[id.0 as usize];
            let same = cell.value == assertion.value && !cell.dead && cell.cachable;
            cell.source = assertion.source;
            cell.peer = assertion.peer;
            let holder = assertion.holder.map(|(holder, _)| holder);
            let before = std::mem::replace(&mut cell.holder, holder);
            self.hold(assertion.kind, before, holder);
            if same && passing.is_none_or(|id| self.cell(id).dead) {
                return Ok(None);
            }
        }
        let cell = match own {
            Some(id) => id,
            None => self.add_cell(assertion, eid)?,
        };
        if assertion.cachable
            && let Some(passing) = passing
        {
            self.bury(passing);
        }
        Ok(Some(self.change(
            cell,
            assertion.value,
            assertion.at,
            previous,
        )))
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
        self.eids[usize::from(id.0)]
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
                .filter(|cell| cell.cachable)
                .map(|cell| cell.value.state()),
        )
    }

    /// The cell whose value a mailbox's lamp shows: as on an Asterisk, the last writer's.
    pub(crate) fn mailbox(&self, mailbox: NameId) -> Option<&Cell> {
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

    fn intern_eid(&mut self, eid: EntityId) -> Result<EidId, TableFull> {
        if let Some(id) = self.eid_ids.get(&eid) {
            return Ok(*id);
        }
        if self.eids.len() >= limits::ENTITY_IDS {
            return Err(TableFull::EntityIds);
        }
        let id = EidId(u16::try_from(self.eids.len()).map_err(|_| TableFull::EntityIds)?);
        self.eids.push(eid);
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

    fn add_cell(&mut self, assertion: &Assertion<'_>, eid: EidId) -> Result<CellId, TableFull> {
        if !self.has_room() {
            return Err(TableFull::Cells);
        }
        if let Some((Holder(endpoint), max)) = assertion.holder
            && let Some(held) = self.held.get(usize::from(endpoint))
            && held[assertion.kind as usize] >= max.of(assertion.kind)
        {
            return Err(TableFull::OfTheEndpoint);
        }
        if let Some(name) = self.names.find(assertion.kind, assertion.name)
            && self.chain(name).count() >= limits::ENTITIES_OF_A_NAME
        {
            return Err(TableFull::EntitiesOfAName);
        }
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
        let rev = self.journal.push(id, value);
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
