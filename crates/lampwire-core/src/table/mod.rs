//! What is known: one cell for each name under each entity id, and the order in which cells changed.

mod journal;
mod names;
mod order;
mod reports;

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use lampwire_sip::{DeviceState, EntityId, Version};

use self::journal::Journal;
pub(crate) use self::journal::{Entry, Rev};
pub(crate) use self::names::{Kind, NameId, Names};
use self::reports::{Report, Reports};
use crate::lease::Life;
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
pub(crate) struct CellId(NonZeroU32);

impl CellId {
    /// The cell at this place. What is kept is one more, so that a cell that may be none takes no more room.
    pub(crate) const fn at(place: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(place))
    }

    /// Its place.
    pub(crate) const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// An entity id's number in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EidId(u16);

impl EidId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The number of a node that stamps values. 0 is this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StamperId(u16);

impl StamperId {
    /// This node.
    pub(crate) const HERE: Self = Self(0);
}

/// A node that stamps values.
#[derive(Debug)]
struct Stamper {
    id: EntityId,
    /// It is silent and its time is over: the devices that it stamped count no more.
    life: Life,
    /// The highest number of it that was seen here.
    newest: u64,
}

/// What is known of an entity id as a whole.
#[derive(Debug)]
struct Eid {
    id: EntityId,
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
pub(crate) struct Holder(NonZeroU16);

impl Holder {
    pub(crate) fn of_endpoint(endpoint: usize) -> Option<Self> {
        let number = u16::try_from(endpoint + 1).ok()?;
        NonZeroU16::new(number).map(Self)
    }

    fn endpoint(self) -> usize {
        usize::from(self.0.get()) - 1
    }
}

/// How many devices and mailboxes an endpoint may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxStates {
    pub(crate) devices: u32,
    pub(crate) mailboxes: u32,
}

impl MaxStates {
    const ANY: Self = Self {
        devices: u32::MAX,
        mailboxes: u32::MAX,
    };

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
    /// Our column of the cluster's bucket has something under its key.
    pub(crate) stored: bool,
    /// Who stamped it, and with which number.
    stamper: StamperId,
    seq: u64,
    /// Changes before this one were stamped by another, or were of a node that was lost then and is not now, or the other way round: what
    /// they told is not told any more.
    since: Rev,
    /// Who stamped it says that its node is lost: a device counts no more, and others are told what stands in for its state.
    pub(crate) lost: bool,
    /// The round of asking in which it was last said.
    said: u32,
    pub(crate) rev: Rev,
    pub(crate) updated_at: WallTime,
}

/// There may be a million of them.
const _: () = assert!(size_of::<Cell>() <= 64);

impl Cell {
    /// It was said in this round of asking, or since.
    pub(crate) const fn was_said(&self, round: u32) -> bool {
        self.said >= round
    }

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
    /// The value only stands in for that of a node that is lost.
    pub(crate) lost: bool,
    pub(crate) at: WallTime,
}

/// What is known of the value of a name under an entity id, whether it is deleted or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownValue {
    pub(crate) cell: CellId,
    pub(crate) version: Version,
    pub(crate) lost: bool,
    pub(crate) peer: Option<PeerId>,
    pub(crate) said: u32,
}

/// A device that a peer has not spoken of when it should have.
#[derive(Clone, Debug)]
pub(crate) struct Unsaid {
    pub(crate) cell: CellId,
    pub(crate) eid: EntityId,
    pub(crate) name: Arc<str>,
    pub(crate) peer: Option<PeerId>,
    pub(crate) version: Version,
    /// This node has stamped it.
    pub(crate) here: bool,
}

/// Which cells are told anew, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anew {
    /// What this node has stamped of an entity id: its node is lost.
    Lost(EidId),
    /// Of an entity id that this peer tells of again: what was lost, and what a hub has stamped that is not heard.
    Back(EidId, PeerId),
    /// What this hub has stamped of an entity id that it does not hear any more, and this peer tells of.
    Taken(EidId, StamperId, PeerId),
    /// What a hub has stamped that is lost, or back.
    Hub(StamperId),
    /// What this node has stamped below a number that an earlier life of it had given.
    Below,
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
    /// For whom it counts, however many he may hold by now.
    pub(crate) holder: Option<Holder>,
    pub(crate) version: Version,
    pub(crate) lost: bool,
    pub(crate) gone: bool,
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
    /// As many nodes have stamped values as can be told apart.
    #[error("too many other hubs")]
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
    /// Several nodes are to agree whose value is a mailbox's.
    pub(crate) agree: bool,
    /// Random, another in each life.
    pub(crate) key_of_rounds: u32,
}

/// How many changes a millisecond a node may stamp, over its whole life, before its numbers run ahead of the clock: so many that its next
/// life is above them, and so few that a number is exact in any JSON reader (below 2^53) for two centuries.
const SEQS_PER_MILLISECOND: u64 = 1 << 10;

/// No number is raised above this one, whatever a peer says: JSON readers of 63 bits take it.
const SEQ_MAX: u64 = 1 << 61;

/// The highest number that a value may bear at this time, if no clock is further ahead than they may be apart.
pub(crate) fn newest_possible(wall: WallTime) -> u64 {
    let ahead = wall.max(WallTime::from_millis(limits::CLOCK_IS_SET)) + limits::CLOCKS_APART;
    base_of(ahead.as_millis())
}

const fn base_of(life: u64) -> u64 {
    let base = life.saturating_mul(SEQS_PER_MILLISECOND);
    if base < SEQ_MAX { base } else { SEQ_MAX }
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
    /// Those who stamp values; the first is this node.
    stampers: Vec<Stamper>,
    stamper_ids: BTreeMap<EntityId, StamperId>,
    /// When this life began, in milliseconds since 1970.
    life: u64,
    /// All that was stamped in earlier lives lies at or below this number, as far as is known.
    first: u64,
    /// What is added to a revision to make the number that a value is stamped with.
    base: u64,
    /// What a lost node's devices are told to be in; `None`: what they last were.
    retract_as: Option<Value>,
    /// One owner's value is a mailbox's, and not the last writer's.
    owners: bool,
    /// What several nodes agree by whose that is; `None`: this one is alone.
    reports: Option<Reports>,
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
    /// `here` is this node and when its life began, in milliseconds since 1970.
    pub(crate) fn new(key: (u64, u64), here: (EntityId, u64), rules: Rules) -> Self {
        let (id, life) = here;
        Self {
            stampers: vec![Stamper {
                id,
                life: Life::Alive,
                newest: 0,
            }],
            stamper_ids: BTreeMap::from([(id, StamperId::HERE)]),
            life,
            first: base_of(life),
            base: base_of(life),
            retract_as: rules.retract_as.map(Value::device),
            owners: rules.owners,
            reports: rules.agree.then(Reports::default),
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
        if let Some(holder) = before {
            self.held[holder.endpoint()][kind as usize] -= 1;
        }
        if let Some(holder) = after {
            let endpoint = holder.endpoint();
            if self.held.len() <= endpoint {
                self.held.resize(endpoint + 1, [0; 2]);
            }
            self.held[endpoint][kind as usize] += 1;
        }
    }

    /// Whether a value would take a cell of its own that is not there yet.
    pub(crate) fn is_new(&self, assertion: &Assertion<'_>) -> bool {
        let known = self.names.find(assertion.kind, assertion.name);
        let Some((name, eid)) = known.zip(self.eid_ids.get(&assertion.eid)) else {
            return true;
        };
        let (kept, passing) = self.cells_of(name, *eid);
        let own = if assertion.cachable { kept } else { passing };
        own.is_none()
    }

    /// Whether a value would fit, so that nothing is touched where it does not.
    pub(crate) fn check_room(&self, assertion: &Assertion<'_>) -> Result<(), TableFull> {
        let name = self.names.find(assertion.kind, assertion.name);
        self.check_room_of(assertion, name)
    }

    /// Whether all of these would fit together.
    pub(crate) fn check_room_for_all(&self, all: &[Assertion<'_>]) -> Result<(), TableFull> {
        let (mut cells, mut eids, mut stampers) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut of_name: BTreeMap<(Kind, &str), usize> = BTreeMap::new();
        let mut of_holder: BTreeMap<(usize, Kind), u32> = BTreeMap::new();
        for assertion in all {
            let (kind, name) = (assertion.kind, assertion.name);
            let known = self.names.find(kind, name);
            self.check_room_of(assertion, known)?;
            let eid = self.eid_ids.get(&assertion.eid);
            if eid.is_none() {
                eids.insert(assertion.eid);
            }
            let by = assertion.version.map(|version| version.by);
            stampers.extend(by.filter(|by| !self.stamper_ids.contains_key(by)));
            let own = known.zip(eid).and_then(|(name, eid)| {
                let (kept, passing) = self.cells_of(name, *eid);
                if assertion.cachable { kept } else { passing }
            });
            let is_new =
                own.is_none() && cells.insert((kind, name, assertion.eid, assertion.cachable));
            if !is_new {
                continue;
            }
            let others = of_name
                .entry((kind, name))
                .or_insert_with(|| known.map_or(0, |name| self.chain(name).count()));
            *others += 1;
            if *others > limits::ENTITIES_OF_A_NAME {
                return Err(TableFull::EntitiesOfAName);
            }
            if let Some((holder, max)) = assertion.holder {
                let endpoint = holder.endpoint();
                let held = of_holder.entry((endpoint, kind)).or_insert_with(|| {
                    self.held
                        .get(endpoint)
                        .map_or(0, |held| held[kind as usize])
                });
                *held += 1;
                if *held > max.of(kind) {
                    return Err(TableFull::OfTheEndpoint);
                }
            }
        }
        if !self.has_room_for_more(cells.len()) {
            return Err(TableFull::Cells);
        }
        if self.eids.len() + eids.len() > limits::ENTITY_IDS {
            return Err(TableFull::EntityIds);
        }
        if !stampers.is_empty() && self.stampers.len() + stampers.len() > limits::HUBS + 1 {
            return Err(TableFull::Stampers);
        }
        Ok(())
    }

    /// The same as for one, of a name that has been looked up.
    fn check_room_of(
        &self,
        assertion: &Assertion<'_>,
        name: Option<NameId>,
    ) -> Result<(), TableFull> {
        let eid = self.eid_ids.get(&assertion.eid);
        if eid.is_none() && self.eids.len() >= limits::ENTITY_IDS {
            return Err(TableFull::EntityIds);
        }
        let stamper = assertion.version.map(|version| version.by);
        if stamper.is_some_and(|by| !self.stamper_ids.contains_key(&by))
            && self.stampers.len() > limits::HUBS
        {
            return Err(TableFull::Stampers);
        }
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
        if let Some((holder, max)) = assertion.holder
            && let Some(held) = self.held.get(holder.endpoint())
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
    ///
    /// What comes at first hand is stamped above whatever was known. Whether what another hub has stamped is newer is not looked at here.
    pub(crate) fn apply(&mut self, assertion: &Assertion<'_>) -> Result<Option<Change>, TableFull> {
        let known = self.names.find(assertion.kind, assertion.name);
        self.check_room_of(assertion, known)?;
        let eid = self.intern_eid(assertion.eid)?;
        let (kept, passing) = known.map_or((None, None), |name| self.cells_of(name, eid));
        let own = if assertion.cachable { kept } else { passing };
        let stamper = match assertion.version {
            None => StamperId::HERE,
            Some(version) => self.intern_stamper(version)?,
        };
        let mut known = [own, if assertion.cachable { passing } else { kept }]
            .into_iter()
            .flatten()
            .map(|id| self.cell(id));
        let above = known.clone().map(|cell| cell.seq).max().unwrap_or(0);
        let previous = known.find(|cell| !cell.dead).map(|cell| cell.value);
        let mut value = assertion.value;
        if let Some(id) = own {
            let before = *self.cell(id);
            if assertion.lost && !before.dead && assertion.source != Source::Cluster {
                // What stands in for a value does not overwrite it. In the cluster's bucket the value itself stands.
                value = before.value;
            }
            let same = before.value == value
                && !before.dead
                && before.cachable
                && before.lost == assertion.lost
                && passing.is_none_or(|id| self.cell(id).dead);
            if same && assertion.version.is_none() && before.stamper != StamperId::HERE {
                if self.is_heard(before.stamper) {
                    // Another hub has heard the same, and is believed.
                    if before.source == Source::Cluster {
                        self.note_repeated(id);
                    }
                    return Ok(None);
                }
            } else if same && stamper == before.stamper && assertion.version.is_none() {
                self.note_teller(id, assertion);
                return Ok(None);
            }
            // Another version of the same value goes on: others may have had one in between.
        }
        let cell = match own {
            Some(id) => {
                self.note_teller(id, assertion);
                id
            }
            None => self.add_cell(assertion, eid, stamper)?,
        };
        let seq = match assertion.version {
            Some(version) => version.seq,
            None => self.next_seq(above),
        };
        self.stamp(cell, stamper, seq, assertion.lost);
        if assertion.cachable
            && let Some(passing) = passing
        {
            self.bury(passing);
        }
        self.note_owner(cell, value);
        Ok(Some(self.change(cell, value, assertion.at, previous)))
    }

    /// Stamps what a cell is about to tell.
    fn stamp(&mut self, id: CellId, stamper: StamperId, seq: u64, lost: bool) {
        let next = self.journal.head().next();
        let cell = &mut self.cells[id.index()];
        if (cell.stamper, cell.lost) != (stamper, lost) {
            cell.since = next;
        }
        (cell.stamper, cell.seq, cell.lost) = (stamper, seq, lost);
    }

    /// Who tells of a value now.
    fn note_teller(&mut self, id: CellId, assertion: &Assertion<'_>) {
        let round = self.round;
        let holder = assertion.holder.map(|(holder, _)| holder);
        let cell = &mut self.cells[id.index()];
        (cell.source, cell.peer, cell.said) = (assertion.source, assertion.peer, round);
        let before = std::mem::replace(&mut cell.holder, holder);
        self.hold(assertion.kind, before, holder);
    }

    /// The number for the next change that this node stamps: above `above`, and above all that it stamped before.
    fn next_seq(&mut self, above: u64) -> u64 {
        let next = self.journal.head().next().number();
        self.base = self.base.max(above.saturating_add(1).saturating_sub(next));
        self.base.saturating_add(next)
    }

    /// The number of the newest change: all that this node has stamped lies at or below it.
    pub(crate) fn newest_seq(&self) -> u64 {
        self.base.saturating_add(self.journal.head().number())
    }

    /// Whatever is stamped from now on is above this number.
    pub(crate) fn raise_above(&mut self, above: u64) {
        self.next_seq(above.min(SEQ_MAX));
    }

    /// What is stamped from now on is above what others that have heard nothing of it stamped before, as far as clocks agree.
    pub(crate) fn begin_term(&mut self, wall: WallTime) {
        let from = base_of(wall.as_millis());
        self.base = self
            .base
            .max(from.saturating_sub(self.journal.head().number()));
    }

    /// All that this life stamps lies above this number.
    pub(crate) const fn first_seq(&self) -> u64 {
        self.first
    }

    /// Others have seen this number of ours: what is stamped from now on is above it. True where it was not stamped in this life: the clock
    /// has gone back since the one that did, and what this one has stamped so far seems to be older.
    pub(crate) fn raise(&mut self, seen: u64) -> bool {
        let unknown = seen > self.newest_seq();
        if unknown {
            // Others may have seen a few more.
            self.first = seen.saturating_add(limits::BEATS_LATE).min(SEQ_MAX);
            self.next_seq(self.first);
        }
        unknown
    }

    /// A number that stamps nothing, above all that were given.
    pub(crate) fn tick(&mut self) -> u64 {
        self.base = self.base.saturating_add(1);
        self.newest_seq()
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
        let reports_some = value != Value::mailbox(0, 0);
        let seq = self.cell(id).seq;
        if let Some(reports) = self.reports.as_mut().filter(|_| reports_some) {
            reports.note(id, seq);
        }
        match self.reports {
            Some(_) if owned => self.review_owner(id),
            _ if !owned || reports_some => self.names.get_mut(name).owner = Some(id),
            _ => {}
        }
    }

    /// A mailbox goes to this value if that is nearer to be its owner's than the one that is.
    fn review_owner(&mut self, id: CellId) {
        let name = self.cell(id).name;
        let owner = self.names.get(name).owner;
        if owner.is_none_or(|owner| self.claim(owner) < self.claim(id)) {
            self.names.get_mut(name).owner = Some(id);
        }
    }

    /// How near a value of a mailbox is to be the one that counts, among several nodes: the highest does, in whatever order they hear of them.
    fn claim(&self, id: CellId) -> (bool, Report, EntityId) {
        let cell = self.cell(id);
        let Report { configured, seq } = self.report(id);
        // One that is lost gives way to whoever reports messages.
        let configured = configured && !self.is_lost(cell);
        (!cell.dead, Report { configured, seq }, self.eid(cell.eid))
    }

    /// When messages were last reported under an entity id, as several nodes agree by.
    pub(crate) fn report(&self, id: CellId) -> Report {
        self.reports
            .as_ref()
            .map(|reports| reports.get(id))
            .unwrap_or_default()
    }

    /// Another node knows this of a value. True if another value counts by that.
    pub(crate) fn note_report(
        &mut self,
        id: CellId,
        seq: Option<u64>,
        configured: Option<bool>,
    ) -> bool {
        let Some(reports) = &mut self.reports else {
            return false;
        };
        if let Some(seq) = seq {
            reports.note(id, seq);
        }
        if let Some(configured) = configured {
            reports.configure(id, configured);
        }
        let name = self.cell(id).name;
        let before = self.names.get(name).owner;
        if !self.cell(id).dead {
            self.review_owner(id);
        }
        self.names.get(name).owner != before
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
        if let Some(reports) = &mut self.reports {
            reports.configure(id, true);
        }
        self.names.get_mut(name).owner = Some(id);
    }

    /// The value that counts of a mailbox.
    pub(crate) fn owner_of_mailbox(&self, mailbox: &str) -> Option<CellId> {
        let name = self.names.find(Kind::Mailbox, mailbox)?;
        self.names.get(name).owner
    }

    /// Others are told a value as if it were news: what they were told since was another's.
    pub(crate) fn tell_again(&mut self, id: CellId) -> Change {
        let Cell {
            value, updated_at, ..
        } = *self.cell(id);
        self.change(id, value, updated_at, Some(value))
    }

    /// A mailbox whose owner's value is deleted goes to whoever reported messages last of those that still have any; one whose node is lost only
    /// where no other has. The change that others are to hear instead of the deletion.
    pub(crate) fn inherit(&mut self, name: NameId) -> Option<Change> {
        let owner = self.names.get(name).owner?;
        if !self.owners || !self.cell(owner).dead {
            return None;
        }
        let has_some = |id: &CellId| {
            let cell = self.cell(*id);
            !cell.dead && cell.value != Value::mailbox(0, 0)
        };
        let heirs = self.chain(name).filter(has_some);
        let heir = heirs.max_by_key(|id| {
            let cell = self.cell(*id);
            let last = match self.reports {
                Some(_) => self.report(*id).seq,
                None => cell.rev.number(),
            };
            (!self.is_lost(cell), last, self.eid(cell.eid))
        })?;
        self.names.get_mut(name).owner = Some(heir);
        Some(self.tell_again(heir))
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
            Some(value) if kind == Kind::Device && self.is_lost(cell) && !cell.dead => value,
            Some(_) | None => cell.value,
        }
    }

    /// Whether what others are told of a cell only stands in for its value.
    pub(crate) fn stands_in(&self, cell: &Cell) -> bool {
        self.retract_as.is_some()
            && self.names.get(cell.name).kind == Kind::Device
            && self.is_lost(cell)
            && !cell.dead
    }

    /// Whether the node of a value is lost, or the hub that stamped it.
    pub(crate) fn is_lost(&self, cell: &Cell) -> bool {
        cell.lost || self.stampers[usize::from(cell.stamper.0)].life == Life::Lost
    }

    /// Whether a hub is neither held nor lost.
    fn is_heard(&self, stamper: StamperId) -> bool {
        self.stampers[usize::from(stamper.0)].life == Life::Alive
    }

    /// The version of a value, as another Lampwire is told.
    pub(crate) fn version(&self, cell: &Cell) -> Version {
        Version {
            by: self.stampers[usize::from(cell.stamper.0)].id,
            seq: cell.seq,
        }
    }

    /// The version of what a cell's entry at `rev` told: what this node stamps has numbers that rise with its changes.
    pub(crate) fn version_at(&self, cell: &Cell, rev: Rev) -> Version {
        let version = self.version(cell);
        if cell.stamper != StamperId::HERE {
            return version;
        }
        let behind = cell.rev.number().saturating_sub(rev.number());
        Version {
            seq: version.seq.saturating_sub(behind),
            ..version
        }
    }

    /// What a request says of a cell that was to tell `value` when it was chosen. Of what another node stamped only the newest version is
    /// known, and the newest value goes with it.
    pub(crate) fn said(&self, cell: &Cell, value: Value) -> Value {
        match cell.stamper {
            StamperId::HERE => value,
            _ => self.told(cell),
        }
    }

    /// Whether this node has stamped a value.
    pub(crate) fn is_here(&self, cell: &Cell) -> bool {
        cell.stamper == StamperId::HERE
    }

    /// Whether an entry may be told as it is: of what another node stamped only the newest version is known.
    pub(crate) fn has_version(&self, entry: &Entry) -> bool {
        let cell = self.cell(entry.cell);
        cell.rev == entry.rev || cell.stamper == StamperId::HERE && cell.since <= entry.rev
    }

    /// A life of this node that began then: what it stamps is newer than what it stamped before.
    pub(crate) fn live_again(&mut self, life: u64) {
        self.life = life;
        self.first = base_of(life);
        self.base = self.base.max(self.first);
    }

    /// When the life of this node began, in milliseconds since 1970.
    pub(crate) fn life(&self) -> u64 {
        self.life
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
    /// Of what came over the cluster's bus or from an earlier life those too that are under an entity id which the peer speaks for at first
    /// hand, and for which `is_home` says that it is ours to say.
    pub(crate) fn unsaid_since(
        &self,
        peer: PeerId,
        round: u32,
        is_home: impl Fn(EntityId) -> bool,
    ) -> Vec<Unsaid> {
        self.unsaid(|cell| {
            let of_peer = cell.peer == Some(peer)
                || (cell.peer.is_none() || cell.source == Source::Cluster)
                    && self.is_first_hand(cell.eid, peer)
                    && is_home(self.eid(cell.eid));
            cell.said < round && of_peer
        })
    }

    /// Those of some servers of which anything is known from the cluster only.
    pub(crate) fn known_from_cluster(&self, of: &BTreeSet<EidId>) -> BTreeSet<EidId> {
        let from = |cell: &&Cell| cell.source == Source::Cluster && cell.is_live();
        let mut known = BTreeSet::new();
        for cell in self.cells.iter().filter(from) {
            if of.contains(&cell.eid) && known.insert(cell.eid) && known.len() == of.len() {
                break;
            }
        }
        known
    }

    /// Whether a peer has last said some device in a round from `first` on and before `second`.
    pub(crate) fn said_between(&self, peer: PeerId, first: u32, second: u32) -> bool {
        let of_peer = |cell: &Cell| cell.peer == Some(peer) && (first..second).contains(&cell.said);
        !self.unsaid(of_peer).is_empty()
    }

    /// Devices that a node has stamped of itself, and that it, the peer `peer`, has not said since a round.
    pub(crate) fn unsaid_of(&self, own: EntityId, peer: PeerId, round: u32) -> Vec<Unsaid> {
        let (Some(eid), Some(stamper)) = (self.eid_id(own), self.stamper(own)) else {
            return Vec::new();
        };
        self.unsaid(|cell| {
            let said = cell.peer == Some(peer) && cell.said >= round;
            cell.eid == eid && cell.stamper == stamper && !said
        })
    }

    fn unsaid(&self, which: impl Fn(&Cell) -> bool) -> Vec<Unsaid> {
        (0..)
            .zip(&self.cells)
            .filter(|(_, cell)| {
                which(cell)
                    && cell.cachable
                    && cell.is_live()
                    && cell.source != Source::Local
                    && self.names.get(cell.name).kind == Kind::Device
            })
            .map(|(index, cell)| Unsaid {
                cell: CellId::at(index),
                eid: self.eid(cell.eid),
                name: Arc::clone(&self.names.get(cell.name).text),
                peer: cell.peer,
                version: self.version(cell),
                here: cell.stamper == StamperId::HERE || cell.source == Source::Cluster,
            })
            .collect()
    }

    /// A peer has told a value, again or for the first time; `None`: nobody in particular, so everybody may be told it.
    pub(crate) fn set_parent(&mut self, id: CellId, peer: Option<PeerId>) {
        let round = self.round;
        let cell = &mut self.cells[id.index()];
        (cell.peer, cell.said) = (peer, round);
    }

    /// What a peer has told, and others have stamped, counts as told by another from now on; true if there is any.
    pub(crate) fn leave_to(&mut self, peer: PeerId, heir: PeerId) -> bool {
        let mut any = false;
        for cell in &mut self.cells {
            if cell.peer == Some(peer) && cell.stamper != StamperId::HERE && cell.is_live() {
                cell.peer = Some(heir);
                any = true;
            }
        }
        any
    }

    // ---- the cluster

    /// The keys of what came over the bus.
    pub(crate) fn cells_from_cluster(&self) -> Vec<(Kind, Arc<str>, EntityId)> {
        let cells = self
            .cells
            .iter()
            .filter(|cell| cell.source == Source::Cluster && cell.is_live());
        cells
            .map(|cell| {
                let name = self.names.get(cell.name);
                (name.kind, Arc::clone(&name.text), self.eid(cell.eid))
            })
            .collect()
    }

    /// What stands in our column of the bucket is not known any more.
    pub(crate) fn forget_stored(&mut self) {
        for cell in &mut self.cells {
            cell.stored = false;
        }
    }

    /// Something of ours stands in the bucket under a cell's key, or nothing does.
    pub(crate) fn set_stored(&mut self, id: CellId, stored: bool) {
        self.cells[id.index()].stored = stored;
    }

    /// The kept value of a name under an entity id, deleted or not.
    pub(crate) fn known_cell(&self, kind: Kind, name: &str, eid: EntityId) -> Option<CellId> {
        let name = self.names.find(kind, name)?;
        self.cells_of(name, *self.eid_ids.get(&eid)?).0
    }

    /// A value was told once more, by whomever.
    pub(crate) fn note_repeated(&mut self, id: CellId) {
        self.cells[id.index()].said = self.round;
    }

    /// A value was read once more in the bucket of this reader's.
    pub(crate) fn note_said(&mut self, id: CellId, reader: PeerId) {
        let round = self.round;
        let cell = &mut self.cells[id.index()];
        if cell.source == Source::Cluster {
            (cell.peer, cell.said) = (Some(reader), round);
        }
    }

    /// What came from the bucket of this reader's and was not read there since a round.
    pub(crate) fn unread_since(
        &self,
        reader: PeerId,
        round: u32,
    ) -> Vec<(Kind, Arc<str>, EntityId, Version)> {
        let unread = self.cells.iter().filter(|cell| {
            cell.peer == Some(reader)
                && cell.source == Source::Cluster
                && cell.said < round
                && cell.cachable
                && cell.is_live()
        });
        unread
            .map(|cell| {
                let name = self.names.get(cell.name);
                let text = Arc::clone(&name.text);
                (name.kind, text, self.eid(cell.eid), self.version(cell))
            })
            .collect()
    }

    // ---- what a reload does

    /// A number that is newer than all that was told, and older than all that will be.
    pub(crate) fn skip(&mut self) -> u64 {
        self.journal.skip();
        self.newest_seq()
    }

    /// Endpoints have other places: each state counts for its endpoint at its new place, and for none where that is no more.
    pub(crate) fn rehold(&mut self, place: impl Fn(usize) -> Option<usize>) {
        self.held.clear();
        for index in 0..self.cells.len() {
            let cell = &mut self.cells[index];
            let before = cell.holder.take();
            if cell.rev == Rev::default() {
                continue; // a free one
            }
            let holder = before
                .and_then(|holder| place(holder.endpoint()))
                .and_then(Holder::of_endpoint);
            cell.holder = holder;
            let kind = self.names.get(cell.name).kind;
            self.hold(kind, None, holder);
        }
    }

    /// The devices that a peer told, of those that `which` names. What another hub has stamped is this node's to take back only where it tells
    /// nobody (`all`).
    pub(crate) fn devices_of(
        &self,
        peer: PeerId,
        all: bool,
        which: impl Fn(NameId) -> bool,
    ) -> Vec<(EntityId, Arc<str>)> {
        let of_peer = self.cells.iter().filter(|cell| {
            cell.is_live()
                && cell.peer == Some(peer)
                && cell.source != Source::Local
                && (all || cell.stamper == StamperId::HERE)
        });
        of_peer
            .filter(|cell| self.names.get(cell.name).kind == Kind::Device && which(cell.name))
            .map(|cell| {
                (
                    self.eid(cell.eid),
                    Arc::clone(&self.names.get(cell.name).text),
                )
            })
            .collect()
    }

    /// A peer is no more: what is left of what it told is nobody's in particular, and it speaks for no entity id.
    pub(crate) fn forget_peer(&mut self, peer: PeerId) {
        for cell in &mut self.cells {
            // What was just deleted is told to the others as that peer's last word.
            cell.peer = cell.peer.filter(|it| *it != peer || cell.dead);
        }
        for eid in &mut self.eids {
            eid.told_by.retain(|it| *it != peer);
        }
    }

    /// No entity id is that of a peer that is no more. Its last word may have been kept from others until now, had that been forgotten at once.
    pub(crate) fn forget_owner(&mut self, peer: PeerId) {
        for eid in &mut self.eids {
            eid.own_of = eid.own_of.filter(|it| *it != peer);
        }
    }

    /// What this node has stamped of a value is newer than what was said of it, though it is the same: it was taken back from somebody.
    pub(crate) fn renumber(&mut self, id: CellId, seq: u64) {
        let cell = &mut self.cells[id.index()];
        if cell.stamper == StamperId::HERE {
            cell.seq = cell.seq.max(seq);
        }
    }

    // ---- entity ids as a whole

    /// The number of an entity id, where it is known.
    pub(crate) fn eid_id(&self, eid: EntityId) -> Option<EidId> {
        self.eid_ids.get(&eid).copied()
    }

    /// A peer speaks for an entity id at first hand.
    pub(crate) fn note_first_hand(&mut self, eid: EidId, peer: PeerId) {
        let told_by = &mut self.eids[eid.index()].told_by;
        if !told_by.contains(&peer) {
            told_by.push(peer);
        }
    }

    /// A peer speaks for an entity id no more.
    pub(crate) fn forget_first_hand(&mut self, eid: EidId, peer: PeerId) {
        self.eids[eid.index()].told_by.retain(|it| *it != peer);
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

    /// Tells some cells anew: those from cell `from` on, at most `limit` of them looked at. The cell to go on with, where there are more.
    pub(crate) fn tell_anew(
        &mut self,
        which: Anew,
        from: CellId,
        limit: usize,
        mut tell: impl FnMut(Change),
    ) -> Option<CellId> {
        let first = from.index();
        let end = self.cells.len().min(first + limit);
        for index in first..end {
            let id = CellId::at(u32::try_from(index).expect("bounded by CELLS"));
            if let Some(change) = self.tell_one_anew(which, id) {
                tell(change);
            }
        }
        (end < self.cells.len()).then(|| CellId::at(u32::try_from(end).expect("bounded by CELLS")))
    }

    /// Tells one cell anew, if it is one of these.
    pub(crate) fn tell_one_anew(&mut self, which: Anew, id: CellId) -> Option<Change> {
        let before = *self.cell(id);
        if !before.cachable || !before.is_live() {
            return None;
        }
        let here = before.stamper == StamperId::HERE;
        let heard = self.is_heard(before.stamper);
        let own = before.source == Source::Local;
        let (stamp, lost, peer) = match which {
            Anew::Lost(eid) if before.eid == eid && here && !own && !before.lost => {
                (true, true, before.peer)
            }
            Anew::Back(eid, _) if before.eid == eid && here && before.lost => {
                (true, false, before.peer)
            }
            // That hub does not know better any more.
            Anew::Back(eid, peer) if before.eid == eid && !here && (before.lost || !heard) => {
                (true, false, Some(peer))
            }
            Anew::Taken(eid, stamper, peer) if before.eid == eid && before.stamper == stamper => {
                (true, false, Some(peer))
            }
            Anew::Hub(stamper) if before.stamper == stamper => (false, before.lost, before.peer),
            Anew::Below if here && before.seq <= self.first => (true, before.lost, before.peer),
            Anew::Lost(_) | Anew::Back(..) | Anew::Taken(..) | Anew::Hub(_) | Anew::Below => {
                return None;
            }
        };
        if stamp {
            let seq = self.next_seq(before.seq);
            self.stamp(id, StamperId::HERE, seq, lost);
            let cell = &mut self.cells[id.index()];
            if cell.peer != peer {
                (cell.peer, cell.said) = (peer, self.round);
            }
            if cell.source == Source::Cluster {
                cell.source = Source::Publication;
            }
        }
        // That another stamps it now is news to other hubs, whatever it is. A mailbox stands as it is.
        let device = self.names.get(before.name).kind == Kind::Device;
        let told =
            (device && self.retract_as.is_some()) || (stamp && !here) || which == Anew::Below;
        told.then(|| self.change(id, before.value, before.updated_at, Some(before.value)))
    }

    /// A value is another, as this node says from now on.
    pub(crate) fn replace(&mut self, id: CellId, value: Value, at: WallTime) -> Change {
        let before = *self.cell(id);
        let seq = self.next_seq(before.seq);
        self.stamp(id, StamperId::HERE, seq, false);
        self.cells[id.index()].source = Source::Publication;
        self.change(id, value, at, Some(before.value))
    }

    /// Whether anything that peers have told of an entity id is stamped here.
    pub(crate) fn is_stamped_here(&self, eid: EidId) -> bool {
        let here = |cell: &Cell| cell.stamper == StamperId::HERE && cell.source != Source::Local;
        let mut live = self.cells.iter().filter(|cell| cell.is_live());
        live.any(|cell| cell.eid == eid && here(cell))
    }

    /// What this node has stamped is stamped anew, above everything.
    pub(crate) fn restamp(&mut self, id: CellId) -> Change {
        let before = *self.cell(id);
        let seq = self.next_seq(before.seq);
        self.cells[id.index()].seq = seq;
        let change = self.change(id, before.value, before.updated_at, Some(before.value));
        self.cells[id.index()].dead = before.dead;
        change
    }

    /// A hub has stamped something: whether it is there is known from its beats.
    pub(crate) fn meet_stamper(&mut self, by: EntityId, life: Life) -> Result<(), TableFull> {
        if !self.stamper_ids.contains_key(&by) {
            let stamper = self.intern_stamper(Version { seq: 0, by })?;
            self.set_stamper_life(stamper, life);
        }
        Ok(())
    }

    /// The number of a node that has stamped something.
    pub(crate) fn stamper(&self, by: EntityId) -> Option<StamperId> {
        self.stamper_ids.get(&by).copied()
    }

    /// What has become of a hub that stamps values.
    pub(crate) fn set_stamper_life(&mut self, stamper: StamperId, life: Life) {
        self.stampers[usize::from(stamper.0)].life = life;
    }

    /// The entity ids of which a hub has stamped something.
    pub(crate) fn stamped_by(&self, stamper: StamperId) -> BTreeSet<EidId> {
        let of_it = self
            .cells
            .iter()
            .filter(|cell| cell.stamper == stamper && cell.is_live());
        of_it.map(|cell| cell.eid).collect()
    }

    /// What is known of a name under an entity id.
    pub(crate) fn known(&self, kind: Kind, name: &str, eid: EntityId) -> Option<KnownValue> {
        let (kept, passing) = self.cells_of(self.names.find(kind, name)?, *self.eid_ids.get(&eid)?);
        let known = [kept, passing].into_iter().flatten().map(|id| {
            let cell = self.cell(id);
            KnownValue {
                cell: id,
                version: self.version(cell),
                lost: cell.lost,
                peer: cell.peer,
                said: cell.said,
            }
        });
        known.max_by_key(|known| known.version)
    }

    fn intern_stamper(&mut self, version: Version) -> Result<StamperId, TableFull> {
        let id = match self.stamper_ids.get(&version.by) {
            Some(id) => *id,
            None => {
                let id = u16::try_from(self.stampers.len()).map_err(|_| TableFull::Stampers)?;
                self.stampers.push(Stamper {
                    id: version.by,
                    life: Life::Alive,
                    newest: 0,
                });
                self.stamper_ids.insert(version.by, StamperId(id));
                StamperId(id)
            }
        };
        let newest = &mut self.stampers[usize::from(id.0)].newest;
        *newest = version.seq.max(*newest);
        Ok(id)
    }

    /// The highest number of a node's that was seen here.
    pub(crate) fn newest_of(&self, by: EntityId) -> Option<u64> {
        let id = self.stamper_ids.get(&by)?;
        Some(self.stampers[usize::from(id.0)].newest).filter(|newest| *newest > 0)
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
            holder: restored.holder.map(|holder| (holder, MaxStates::ANY)),
            version: Some(restored.version),
            lost: restored.lost,
            at: restored.at,
        };
        self.check_room(&assertion)?;
        let eid = self.intern_eid(restored.eid)?;
        let stamper = self.intern_stamper(restored.version)?;
        let known = self.names.find(restored.kind, restored.name);
        if known.is_some_and(|name| self.cells_of(name, eid).0.is_some()) {
            return Ok(eid);
        }
        let id = self.add_cell(&assertion, eid, stamper)?;
        self.raise(self.stampers[0].newest);
        let told = self.told(self.cell(id));
        self.journal.restore(restored.rev, id, told);
        let head = self.journal.head();
        self.cells[id.index()].rev = head;
        if let Some(reports) = &mut self.reports
            && restored.value != Value::mailbox(0, 0)
            && restored.kind == Kind::Mailbox
        {
            reports.note(id, restored.version.seq);
        }
        if restored.owner {
            let name = self.cell(id).name;
            self.names.get_mut(name).owner = Some(id);
        }
        if restored.gone {
            self.bury(id);
        }
        Ok(eid)
    }

    /// The names of which this node has a state of its own, and when each changed last.
    pub(crate) fn own_cells(&self) -> Vec<(NameId, Rev)> {
        let own = self
            .cells
            .iter()
            .filter(|cell| cell.source == Source::Local && cell.cachable && cell.is_live());
        own.map(|cell| (cell.name, cell.rev)).collect()
    }

    /// Whether a name has a value under an entity id that was set on this node.
    pub(crate) fn is_local(&self, kind: Kind, name: &str, eid: EntityId) -> bool {
        let (name, eid) = (self.names.find(kind, name), self.eid_ids.get(&eid));
        let (Some(name), Some(eid)) = (name, eid) else {
            return false;
        };
        let mut cells = self.chain(name).map(|id| self.cell(id));
        cells.any(|cell| cell.eid == *eid && cell.source == Source::Local && cell.is_live())
    }

    /// What was set on this node under other entity ids than its own.
    pub(crate) fn local_of_others(
        &self,
        own: EntityId,
    ) -> BTreeMap<EntityId, Vec<(Kind, Arc<str>)>> {
        let mut found: BTreeMap<EntityId, Vec<(Kind, Arc<str>)>> = BTreeMap::new();
        let local = self.cells.iter();
        for cell in local.filter(|cell| cell.source == Source::Local && cell.is_live()) {
            let eid = self.eid(cell.eid);
            if eid != own {
                let name = self.names.get(cell.name);
                let entry = (name.kind, Arc::clone(&name.text));
                found.entry(eid).or_default().push(entry);
            }
        }
        found
    }

    /// The cell of a name under an entity id that is kept.
    pub(crate) fn kept_cell(&self, kind: Kind, name: &str, eid: EntityId) -> Option<CellId> {
        self.cells_of(self.names.find(kind, name)?, *self.eid_ids.get(&eid)?)
            .0
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
        let seq = self.next_seq(self.cell(id).seq);
        self.stamp(id, StamperId::HERE, seq, false);
        let cell = &mut self.cells[id.index()];
        if cell.source == Source::Cluster {
            // That it is gone is ours to tell.
            cell.source = Source::Publication;
        }
        let change = self.change(id, Value::deleted(kind), at, previous);
        self.bury(id);
        Some(change)
    }

    /// A value is gone, as `version` knows: it is deleted, or where nothing is known of it, others are told so. `peer` has said so, if anyone.
    pub(crate) fn entomb(
        &mut self,
        (kind, name, eid): (Kind, &str, EntityId),
        version: Version,
        peer: Option<PeerId>,
        source: Source,
        at: WallTime,
    ) -> Result<Change, TableFull> {
        let assertion = Assertion {
            kind,
            name,
            eid,
            value: Value::deleted(kind),
            cachable: true,
            source,
            peer,
            holder: None,
            version: Some(version),
            lost: false,
            at,
        };
        self.check_room(&assertion)?;
        let stamper = self.intern_stamper(version)?;
        let eid = self.intern_eid(eid)?;
        let known = self.names.find(kind, name);
        let (kept, passing) = known.map_or((None, None), |name| self.cells_of(name, eid));
        if let Some(passing) = passing {
            self.bury(passing);
        }
        let id = match kept {
            Some(id) => id,
            None => self.add_cell(&assertion, eid, stamper)?,
        };
        let before = Some(self.cell(id)).filter(|cell| !cell.dead && kept.is_some());
        let previous = before.map(|cell| cell.value);
        let cell = &mut self.cells[id.index()];
        (cell.peer, cell.source) = (peer, source);
        self.stamp(id, stamper, version.seq, false);
        let change = self.change(id, Value::deleted(kind), at, previous);
        self.bury(id);
        Ok(change)
    }

    /// The version with which this node says that something is gone that others know by `above`.
    pub(crate) fn version_above(&mut self, above: u64) -> Version {
        Version {
            by: self.stampers[0].id,
            seq: self.next_seq(above),
        }
    }

    /// Frees what was deleted and stands at or before `confirmed`, the revision up to which every peer has been told. What lies behind `told` waits
    /// for a day: it may have to be told once more.
    pub(crate) fn free_dead(&mut self, confirmed: Rev, told: Rev, now: WallTime) {
        let mut dead = std::mem::take(&mut self.dead);
        dead.retain(|&id| {
            let cell = *self.cell(id);
            let untold = cell.rev > told && cell.updated_at + limits::GONE_KEPT > now;
            let waits = cell.dead && (cell.rev > confirmed || untold);
            if !waits {
                self.cells[id.index()].listed = false;
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
        &self.cells[id.index()]
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
                .filter(|cell| cell.cachable && !(self.retract_as.is_some() && self.is_lost(cell)))
                .map(|cell| cell.value.state()),
        )
    }

    /// The cell whose value a mailbox's lamp shows: the owner's on a hub, else as on an Asterisk the last writer's. An owner that has
    /// taken back what it said owns nothing.
    pub(crate) fn mailbox(&self, mailbox: NameId) -> Option<&Cell> {
        let owner = self.names.get(mailbox).owner.filter(|_| self.owners);
        owner
            .map(|owner| self.cell(owner))
            .filter(|cell| !cell.dead)
            .or_else(|| self.entities(mailbox).max_by_key(|cell| cell.rev))
    }

    /// The entity ids under which there is any value.
    pub(crate) fn live_entity_ids(&self) -> BTreeSet<EntityId> {
        let mut live = vec![false; self.eids.len()];
        for cell in self.cells.iter().filter(|cell| cell.is_live()) {
            live[cell.eid.index()] = true;
        }
        let live = self.eids.iter().zip(live).filter(|(_, live)| *live);
        live.map(|(eid, _)| eid.id).collect()
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
            stored: false,
            stamper,
            seq: assertion.version.map_or(0, |version| version.seq),
            since: self.journal.head().next(),
            lost: assertion.lost,
            said: self.round,
            rev: Rev::default(),
            updated_at: assertion.at,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.cells[id.index()] = cell;
                id
            }
            None => {
                self.cells.push(cell);
                CellId::at(u32::try_from(self.cells.len() - 1).map_err(|_| TableFull::Cells)?)
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
        let cell = &mut self.cells[id.index()];
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
        let cell = &mut self.cells[id.index()];
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
            Some(before) => self.cells[before.index()].next_of_name = next_of_name,
            None => self.names.get_mut(name).first_cell = next_of_name,
        }
        if let Some(reports) = &mut self.reports {
            reports.forget(id);
        }
        if self.names.get(name).owner == Some(id) {
            self.names.get_mut(name).owner = None;
        }
        if self.names.get(name).first_cell.is_none() {
            self.names.remove(name);
        }
        self.cells[id.index()].rev = Rev::default();
        self.cells[id.index()].dead = false;
        self.supersede(rev);
        self.free.push(id);
    }

    fn supersede(&mut self, rev: Rev) {
        let Self { journal, cells, .. } = self;
        journal.supersede(rev, |entry| cells[entry.cell.index()].rev == entry.rev);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_has_no_cell_needs_one() {
        let id = EntityId::from([2, 0, 0, 0, 0, 1]);
        let mut table = Table::new((1, 2), (id, 1), Rules::default());
        let assertion = |name, cachable| Assertion {
            kind: Kind::Device,
            name,
            eid: id,
            value: Value::device(DeviceState::InUse),
            cachable,
            source: Source::Local,
            peer: None,
            holder: None,
            version: None,
            lost: false,
            at: WallTime::from_millis(1),
        };
        assert!(table.is_new(&assertion("a", true)));
        table.apply(&assertion("a", true)).unwrap();
        for (name, cachable, new) in [("a", true, false), ("a", false, true), ("b", true, true)] {
            assert_eq!(table.is_new(&assertion(name, cachable)), new, "{name}");
        }
        let other = Assertion {
            eid: EntityId::from([2, 0, 0, 0, 0, 2]),
            ..assertion("a", true)
        };
        assert!(table.is_new(&other));
        // What was deleted has its cell until everybody has been told.
        let at = WallTime::from_millis(2);
        table.delete(Kind::Device, "a", id, at).unwrap();
        assert!(!table.is_new(&assertion("a", true)));
    }
}
