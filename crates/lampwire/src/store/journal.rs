//! The store as one file: a snapshot, then every batch since. When the batches are longer than the snapshot, a new file is written
//! beside it and takes its name; meanwhile batches go to both.
//!
//! The snapshot is not of one moment: its pages are read one after the other from a node that goes on. That is all right because the batches
//! of that time stand between them in the same order: whatever is read last of a key is what it was last.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::io::{self, Read, Write};

use lampwire_core::store::Record;
use lampwire_sip::EntityId;

use super::disk::{Disk, NotClaimed, Output};
use super::frame::{self, Frames, HEADER, Kind, Next, Opened};
use super::{Fault, Loaded, Size, Store};

/// The file.
pub(crate) const FILE: &str = "states";

/// The one that is to take its place.
const NEW: &str = "states.new";

/// Files that could not be read whole, and are kept for people, are called `states.set-aside-1` and so on. So many are kept; then the last one
/// is replaced, so that a disk that goes bad does not fill up with them.
const SET_ASIDE_MAX: usize = 5;

/// A journal in a directory.
#[derive(Debug)]
pub(crate) struct Journal<D: Disk> {
    disk: D,
    entity_id: EntityId,
    /// What is appended to; `None`: there is none, or it failed, and what a file holds after that nobody knows.
    current: Option<Open<D::File>>,
    /// The snapshot that is being written.
    next: Option<Open<D::File>>,
    /// The file holds something that was not read, and must not be lost.
    set_aside: bool,
    buffer: Vec<u8>,
    written: u64,
}

#[derive(Debug)]
struct Open<F> {
    file: F,
    /// Bytes of the snapshot, with the header.
    live: u64,
    /// Bytes of the batches after it.
    journal: u64,
}

impl<D: Disk> Journal<D> {
    /// A journal of this node's.
    pub(crate) fn new(disk: D, entity_id: EntityId) -> Self {
        Self {
            disk,
            entity_id,
            current: None,
            next: None,
            set_aside: false,
            buffer: Vec::new(),
            written: 0,
        }
    }

    /// Reads the file and opens it for what follows.
    fn open_file(&mut self, loaded: &mut Loaded) -> Result<(), Fault> {
        // Until it has been read whole, it is too good to be replaced.
        self.set_aside = true;
        let read = self.disk.read(FILE);
        let Some(from) = read.map_err(|error| self.fault("cannot be read", FILE, &error))? else {
            self.set_aside = false;
            return Ok(());
        };
        let why = match Frames::open(from) {
            Ok(Opened::Frames(mut frames)) if frames.entity_id == self.entity_id => {
                self.take_in(&mut frames, loaded)
            }
            Ok(Opened::Frames(frames)) => Some(format!(
                "it is of another node, whose entity id is {}",
                frames.entity_id
            )),
            Ok(Opened::NoHeader) => Some(NO_STORE.to_owned()),
            Ok(Opened::Newer(version)) => Some(newer(version)),
            Err(error) => Some(format!("it cannot be read: {error}")),
        };
        self.set_aside = why.is_some();
        loaded.findings.damage = why.map(|why| {
            format!(
                "{}: {why}; the node goes on with {} records of it, and the file is set aside",
                self.disk.place(FILE),
                loaded.records.len()
            )
        });
        Ok(())
    }

    /// Takes in all frames. `None`: the file can be appended to; else what is wrong with it.
    fn take_in(&mut self, frames: &mut Frames, loaded: &mut Loaded) -> Option<String> {
        let all = Everything::of(frames);
        loaded.records = all.records;
        if all.wrong.is_some() {
            // What was in the missing parts is asked for.
            loaded.records.retain(|it| !matches!(it, Record::Closed(_)));
            return all.wrong;
        }
        loaded.findings.cut = all.cut;
        match self.disk.append(FILE, frames.at) {
            // An older version is read, and written anew.
            Ok(_) if frames.version != frame::VERSION => {}
            Ok(file) => {
                self.current = Some(Open {
                    file,
                    live: all.live,
                    journal: frames.at - all.live,
                });
            }
            Err(error) => {
                loaded.findings.fault = Some(self.fault("cannot be written", FILE, &error));
            }
        }
        None
    }

    /// Gives the file that is to be replaced a second name, under which it stays for people.
    fn keep_old(&mut self) -> io::Result<()> {
        let name = |number| format!("{FILE}.set-aside-{number}");
        let free = (1..SET_ASIDE_MAX).find(|number| !self.disk.exists(&name(*number)));
        let name = name(free.unwrap_or(SET_ASIDE_MAX));
        self.disk.keep_as(FILE, &name)?;
        self.set_aside = false;
        let place = self.disk.place(&name);
        tracing::warn!("state_dir: the file that could not be read whole is kept as {place}");
        Ok(())
    }

    fn fault(&self, what: &str, name: &str, error: &io::Error) -> Fault {
        Fault::Disk(format!("{} {what}: {error}", self.disk.place(name)))
    }

    fn write_append(&mut self, records: &[Record]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        frame::write(&mut self.buffer, Kind::Batch, records)?;
        let length = self.buffer.len() as u64;
        if let Some(open) = &mut self.current {
            open.file.write_all(&self.buffer)?;
            open.file.sync()?;
            open.journal += length;
            self.written += length;
        }
        if let Some(open) = &mut self.next {
            open.file.write_all(&self.buffer)?;
            open.live += length;
            self.written += length;
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Fault> {
        self.disk.claim().map_err(|error| match error {
            NotClaimed::Taken(holder) => self.taken(&holder),
            NotClaimed::Fault(error) => self.fault("cannot be written", NEW, &error),
        })?;
        let header = frame::header(self.entity_id);
        let created = self.disk.create(NEW).and_then(|mut file| {
            file.write_all(&header)?;
            Ok(file)
        });
        let file = created.map_err(|error| self.fault("cannot be written", NEW, &error))?;
        self.written += header.len() as u64;
        self.next = Some(Open {
            file,
            live: header.len() as u64,
            journal: 0,
        });
        Ok(())
    }

    fn taken(&self, holder: &str) -> Fault {
        Fault::taken(&self.disk.place(""), holder)
    }

    fn write_page(&mut self, kind: Kind, records: &[Record]) -> io::Result<()> {
        let open = self
            .next
            .as_mut()
            .ok_or_else(|| io::Error::other("no snapshot was begun"))?;
        frame::write(&mut self.buffer, kind, records)?;
        open.file.write_all(&self.buffer)?;
        open.live += self.buffer.len() as u64;
        self.written += self.buffer.len() as u64;
        Ok(())
    }

    fn complete(&mut self) -> io::Result<()> {
        self.write_page(Kind::Complete, &[])?;
        if let Some(mut open) = self.next.take() {
            open.file.sync()?;
            if self.set_aside && self.disk.exists(FILE) {
                self.keep_old()?;
            }
            self.disk.rename(NEW, FILE)?;
            self.disk.sync_names()?;
            self.current = Some(open);
        }
        Ok(())
    }

    /// After a fault nobody knows what a file holds: it is left as it is. What was written of its successor is of no use to anybody, and may be
    /// what the disk is full of.
    fn give_up<T>(&mut self, result: io::Result<T>, name: &str) -> Result<T, Fault> {
        result.map_err(|error| {
            self.current = None;
            self.next = None;
            // Where that fails too, the next attempt writes over it.
            let _ = self.disk.remove(NEW);
            self.fault("cannot be written", name, &error)
        })
    }
}

impl<D: Disk> Store for Journal<D> {
    fn open(&mut self) -> Result<Loaded, Fault> {
        let mut loaded = Loaded::default();
        let claimed = match self.disk.claim() {
            Ok(()) => Ok(()),
            Err(NotClaimed::Taken(holder)) => return Err(self.taken(&holder)),
            Err(NotClaimed::Fault(error)) => Err(self.fault("cannot be written", FILE, &error)),
        };
        let opened = self.open_file(&mut loaded);
        if let Err(fault) = claimed.and(opened) {
            self.current = None;
            loaded.findings.fault = Some(fault);
        }
        // From here on the node hears what the file does not know. Before anything comes in, the file says that this life has not ended in order.
        if self.current.is_some()
            && let Err(fault) = self.append(&[Record::Closed(false)])
        {
            loaded.findings.fault = Some(fault);
        }
        Ok(loaded)
    }

    fn append(&mut self, records: &[Record]) -> Result<(), Fault> {
        let result = self.write_append(records);
        self.give_up(result, FILE)
    }

    fn begin_snapshot(&mut self) -> Result<(), Fault> {
        self.next = None;
        let result = self.begin();
        if let Err(Fault::Disk(_)) = result {
            let _ = self.disk.remove(NEW);
        }
        if result.is_err() {
            self.current = None;
        }
        result
    }

    fn page(&mut self, records: &[Record]) -> Result<(), Fault> {
        let result = self.write_page(Kind::Page, records);
        self.give_up(result, NEW)
    }

    fn end_snapshot(&mut self) -> Result<(), Fault> {
        let result = self.complete();
        self.give_up(result, NEW)
    }

    fn size(&self) -> Size {
        let of_current = self.current.as_ref();
        Size {
            live: of_current.map_or(0, |open| open.live),
            journal: of_current.map_or(0, |open| open.journal),
            written: self.written,
        }
    }

    fn is_open(&self) -> bool {
        self.current.is_some()
    }
}

/// The newest record of each key. Pages of a snapshot name each key once, unless a batch has it as well: so only what is in batches is looked up.
#[derive(Debug, Default)]
struct Gathered {
    records: Vec<Record>,
    /// Where the newest of each key is that was in a batch: by the sum of the key, or the next free number where two keys have the same.
    changed: HashMap<u64, usize, BuildHasherDefault<AsItIs>>,
    sums: RandomState,
}

/// A number that is a sum already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }

    fn write_u64(&mut self, sum: u64) {
        self.0 = sum;
    }
}

impl Gathered {
    fn add(&mut self, kind: Kind, records: Vec<Record>) {
        for record in records {
            match self.place(&record) {
                Ok(place) => self.records[place] = record,
                Err(sum) => {
                    if kind == Kind::Batch {
                        self.changed.insert(sum, self.records.len());
                    }
                    self.records.push(record);
                }
            }
        }
    }

    /// Where the record of that key is that was in a batch, or the number under which it would be.
    fn place(&self, record: &Record) -> Result<usize, u64> {
        let mut sum = self.sums.hash_one(record.key());
        while let Some(place) = self.changed.get(&sum) {
            if self.records[*place].key() == record.key() {
                return Ok(*place);
            }
            sum = sum.wrapping_add(1);
        }
        Err(sum)
    }

    fn records(mut self) -> Vec<Record> {
        let records = self.records.iter().enumerate();
        let newest = records
            .map(|(at, record)| !record.is_absence() && self.place(record).unwrap_or(at) == at);
        let mut keep = newest.collect::<Vec<_>>().into_iter();
        self.records.retain(|_| keep.next().unwrap_or(false));
        self.records
    }
}

/// All that the frames of a file hold.
struct Everything {
    records: Vec<Record>,
    /// Where the snapshot ends.
    live: u64,
    /// The file ends within a batch that was never said to be written.
    cut: bool,
    /// What cannot be read, in words.
    wrong: Option<String>,
}

impl Everything {
    fn of(frames: &mut Frames) -> Self {
        let mut gathered = Gathered::default();
        let (mut live, mut complete, mut damaged) = (HEADER as u64, false, 0_u32);
        let end = loop {
            match frames.next() {
                Ok(Next::Frame(kind, records)) => {
                    gathered.add(kind, records);
                    if kind == Kind::Complete {
                        (live, complete) = (frames.at, true);
                    }
                }
                Ok(Next::Damaged) => damaged += 1,
                end => break end,
            }
        };
        let at = frames.at;
        let wrong = match &end {
            Err(error) => Some(format!("it cannot be read beyond byte {at}: {error}")),
            Ok(Next::Garbage) => Some(format!("it is damaged from byte {at} on")),
            Ok(_) if damaged > 0 => Some(format!("{damaged} pieces of it are damaged")),
            Ok(_) if !complete => Some("its beginning is not whole".to_owned()),
            Ok(_) => None,
        };
        Self {
            records: gathered.records(),
            live,
            cut: matches!(end, Ok(Next::Torn)),
            wrong,
        }
    }
}

/// What a file holds, for whoever only looks, while a node may be writing it: whose it is, its records, and what could not be read.
pub(crate) fn look(from: Box<dyn Read>) -> io::Result<(EntityId, Vec<Record>, Option<String>)> {
    let invalid = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    match Frames::open(from)? {
        Opened::Frames(mut frames) => {
            let all = Everything::of(&mut frames);
            Ok((frames.entity_id, all.records, all.wrong))
        }
        Opened::NoHeader => invalid(NO_STORE.to_owned()),
        Opened::Newer(version) => invalid(newer(version)),
    }
}

/// A file without our header.
const NO_STORE: &str = "it has not the form of a store";

fn newer(version: u16) -> String {
    format!("it was written by a newer lampwire, in version {version} of the format")
}
