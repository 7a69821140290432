//! What survives a restart, in `state_dir`.
//!
//! The node gives what is new ([`lampwire_core::Node::unsaved`]), the [`Keeper`] hands it, a batch at a time, to a thread that writes it, and a
//! [`Store`] is what it is written to. Nothing waits for the disk: while a batch is being written the next one becomes larger, and where
//! nothing can be written the node goes on in memory and writes everything anew once it can.

mod disk;
pub(crate) mod document;
mod encoding;
mod frame;
mod journal;
mod keeper;
mod status;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use lampwire_core::store::Record;
use lampwire_sip::EntityId;

pub(crate) use journal::look;
pub(crate) use keeper::Keeper;
pub(crate) use status::{Condition, Figures, Status};

pub(crate) use disk::Directory;

use disk::{Disk as _, NotClaimed};
use journal::Journal;

/// A place for what is kept. Everything waits for the disk, so it has a thread of its own.
pub(crate) trait Store: fmt::Debug + Send {
    /// Reads everything and makes ready to append; once, before anything else. An error means that the node must not run.
    fn open(&mut self) -> Result<Loaded, Fault>;
    /// Writes these records, all or none of which are read again. They are on the disk when this returns; but while there is only a
    /// snapshot that is not complete, they are so with it.
    fn append(&mut self, records: &[Record]) -> Result<(), Fault>;
    /// Begins to write everything anew. What was kept before stays until it is complete.
    fn begin_snapshot(&mut self) -> Result<(), Fault>;
    /// A part of everything, as it is at this moment.
    fn page(&mut self, records: &[Record]) -> Result<(), Fault>;
    /// That was everything: from now on this is what is kept.
    fn end_snapshot(&mut self) -> Result<(), Fault>;
    /// How large it is.
    fn size(&self) -> Size;
    /// Whether something can be appended without a new snapshot. After a fault it cannot.
    fn is_open(&self) -> bool;
}

/// How large a store is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// What everything took when it was written last.
    pub(crate) live: u64,
    /// What was appended since.
    pub(crate) journal: u64,
    /// All that was written since the start.
    pub(crate) written: u64,
}

/// What was kept.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The newest of each key.
    pub(crate) records: Vec<Record>,
    /// What an operator should know.
    pub(crate) findings: Findings,
}

/// How the store was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The end of the file had not reached the disk, and was cut off: the last life ended in the middle of a batch.
    pub(crate) cut: bool,
    /// Something could not be read, in words.
    pub(crate) damage: Option<String>,
    /// Nothing can be written.
    pub(crate) fault: Option<Fault>,
}

/// What is wrong with a store, in words that say where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The disk or the file system says no.
    Disk(String),
    /// Another process writes in the directory.
    Taken(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(text) | Self::Taken(text) => out.write_str(text),
        }
    }
}

impl Fault {
    /// Of a directory that another process uses, whose number is known or empty.
    fn taken(directory: &dyn fmt::Display, holder: &str) -> Self {
        Self::Taken(match holder {
            "" => format!("{directory} is used by another process"),
            number => format!("{directory} is used by process {number}"),
        })
    }
}

impl std::error::Error for Fault {}

/// A store that has been read.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Where the node's states go from now on.
    pub(crate) store: Box<dyn Store>,
    /// What it held.
    pub(crate) loaded: Loaded,
    /// The directory, for people.
    pub(crate) directory: String,
}

/// Makes sure that no other process uses a directory, before anything is written there. Whatever else is wrong with it, [`open`] says.
pub(crate) fn claim(directory: &Path) -> Result<Directory, Fault> {
    let mut claimed = Directory::new(directory);
    match claimed.claim() {
        Err(NotClaimed::Taken(holder)) => Err(Fault::taken(&directory.display(), &holder)),
        Ok(()) | Err(NotClaimed::Fault(_)) => Ok(claimed),
    }
}

/// Opens the store of a node. Fails only where another node uses the directory; whatever else is wrong stands in the findings.
pub(crate) fn open(claimed: Directory, entity_id: EntityId) -> Result<Opened, Fault> {
    let directory = claimed.place("");
    let mut store = Journal::new(claimed, entity_id);
    let loaded = store.open()?;
    Ok(Opened {
        store: Box::new(store),
        loaded,
        directory,
    })
}

/// What a directory holds, without a claim on it.
pub(crate) fn look_into(
    directory: &Path,
) -> anyhow::Result<(EntityId, Vec<Record>, Option<String>)> {
    let mut disk = Directory::new(directory);
    let place = disk.place(journal::FILE);
    let from = disk
        .read(journal::FILE)
        .map_err(|error| anyhow::anyhow!("{place} cannot be read: {error}"))?
        .ok_or_else(|| {
            anyhow::anyhow!("{place} is not there: no node has kept its states in that directory")
        })?;
    look(from).map_err(|error| anyhow::anyhow!("{place}: {error}"))
}

/// Makes this, and nothing else, what a directory holds.
pub(crate) fn replace(
    claimed: Directory,
    entity_id: EntityId,
    records: &[Record],
) -> Result<(), Fault> {
    let mut store = Journal::new(claimed, entity_id);
    store.begin_snapshot()?;
    for page in records.chunks(keeper::PAGE_CELLS as usize) {
        store.page(page)?;
    }
    store.end_snapshot()
}
