//! A directory in memory that fails when it is told to, and forgets what was not brought to the disk.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use crate::store::disk::{Disk, NotClaimed, Output};

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wrong {
    /// No room: half of what was to be written is.
    NoRoom,
    /// The device fails.
    Device,
}

/// The disk itself, which outlives whoever writes to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<Mutex<World>>);

#[derive(Debug, Default)]
struct World {
    /// What each name means to those who ask now: a number of a file.
    names: BTreeMap<String, usize>,
    /// What it means after a power cut.
    names_on_disk: BTreeMap<String, usize>,
    files: Vec<Content>,
    calls: usize,
    /// From this call on until that one, everything goes wrong.
    wrong: Option<(usize, usize, Wrong)>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// So much of it is on the disk for certain.
    synced: usize,
}

#[derive(Debug)]
pub(super) struct Handle {
    memory: Memory,
    number: usize,
}

impl Memory {
    /// Makes calls go wrong: those from the `first` on (the next one is 0), so many.
    pub(super) fn fail(&self, first: usize, count: usize, wrong: Wrong) {
        let mut world = self.0.lock().unwrap();
        let first = world.calls + first;
        world.wrong = Some((first, first + count, wrong));
    }

    /// How many calls there were.
    pub(super) fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }

    /// The power is cut: of what was not synced, a part is left, and of that the last bytes may be anything. `dice` decides.
    pub(super) fn cut(&self, mut dice: impl FnMut() -> u64) -> Self {
        let mut world = self.0.lock().unwrap();
        let mut after = World {
            files: world.files.clone(),
            ..World::default()
        };
        for file in &mut after.files {
            let unsure = file.bytes.len() - file.synced;
            let left = usize::try_from(dice()).unwrap_or(0) % (unsure + 1);
            file.bytes.truncate(file.synced + left);
            let torn = match dice() % 3 {
                0 => 0,
                _ => usize::try_from(dice()).unwrap_or(0) % (left + 1),
            };
            let at = file.bytes.len() - torn;
            let zeros = dice().is_multiple_of(2);
            for byte in &mut file.bytes[at..] {
                *byte = if zeros { 0 } else { dice().to_le_bytes()[0] };
            }
            file.synced = file.bytes.len();
        }
        // Names reach the disk when they are synced, or before.
        let names = match dice().is_multiple_of(2) {
            true => &world.names,
            false => &world.names_on_disk,
        };
        after.names.clone_from(names);
        after.names_on_disk.clone_from(names);
        world.wrong = None;
        Self(Arc::new(Mutex::new(after)))
    }

    pub(super) fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let world = self.0.lock().unwrap();
        let number = *world.names.get(name)?;
        Some(world.files[number].bytes.clone())
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        let mut world = self.0.lock().unwrap();
        let content = Content {
            bytes: bytes.to_vec(),
            synced: bytes.len(),
        };
        world.files.push(content);
        let number = world.files.len() - 1;
        world.names.insert(name.to_owned(), number);
        world.names_on_disk.insert(name.to_owned(), number);
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().names.keys().cloned().collect()
    }

    fn call(&self) -> Result<(), (Wrong, io::Error)> {
        let mut world = self.0.lock().unwrap();
        let number = world.calls;
        world.calls += 1;
        match world.wrong {
            Some((from, until, wrong)) if (from..until).contains(&number) => {
                let code = match wrong {
                    Wrong::NoRoom => nix::errno::Errno::ENOSPC,
                    Wrong::Device => nix::errno::Errno::EIO,
                };
                Err((wrong, code.into()))
            }
            _ => Ok(()),
        }
    }

    fn plain_call(&self) -> io::Result<()> {
        self.call().map_err(|(_, error)| error)
    }

    fn open(&self, number: usize) -> Handle {
        Handle {
            memory: self.clone(),
            number,
        }
    }
}

impl Disk for Memory {
    type File = Handle;

    fn claim(&mut self) -> Result<(), NotClaimed> {
        self.plain_call().map_err(NotClaimed::Fault)
    }

    fn read(&mut self, name: &str) -> io::Result<Option<Box<dyn Read>>> {
        self.plain_call()?;
        let bytes = self.bytes(name);
        Ok(bytes.map(|bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn Read>))
    }

    fn create(&mut self, name: &str) -> io::Result<Handle> {
        self.plain_call()?;
        let mut world = self.0.lock().unwrap();
        world.files.push(Content::default());
        let number = world.files.len() - 1;
        world.names.insert(name.to_owned(), number);
        drop(world);
        Ok(self.open(number))
    }

    fn append(&mut self, name: &str, length: u64) -> io::Result<Handle> {
        self.plain_call()?;
        let mut world = self.0.lock().unwrap();
        let number = *world.names.get(name).unwrap();
        let file = &mut world.files[number];
        file.bytes.truncate(usize::try_from(length).unwrap());
        file.synced = file.bytes.len();
        drop(world);
        Ok(self.open(number))
    }

    fn exists(&mut self, name: &str) -> bool {
        self.0.lock().unwrap().names.contains_key(name)
    }

    fn keep_as(&mut self, name: &str, second: &str) -> io::Result<()> {
        self.plain_call()?;
        let mut world = self.0.lock().unwrap();
        let number = *world.names.get(name).unwrap();
        world.names.insert(second.to_owned(), number);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.plain_call()?;
        let mut world = self.0.lock().unwrap();
        let number = world.names.remove(from).unwrap();
        world.names.insert(to.to_owned(), number);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.plain_call()?;
        self.0.lock().unwrap().names.remove(name);
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.plain_call()?;
        let mut world = self.0.lock().unwrap();
        world.names_on_disk = world.names.clone();
        Ok(())
    }

    fn place(&self, name: &str) -> String {
        format!("memory/{name}")
    }
}

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let outcome = self.memory.call();
        let mut world = self.memory.0.lock().unwrap();
        let file = &mut world.files[self.number];
        match outcome {
            Ok(()) => {
                // Short writes are lawful.
                let count = bytes.len().min(1 + bytes.len() * 2 / 3);
                file.bytes.extend_from_slice(&bytes[..count]);
                Ok(count)
            }
            Err((wrong, error)) => {
                if let Wrong::NoRoom = wrong {
                    file.bytes.extend_from_slice(&bytes[..bytes.len() / 2]);
                }
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Handle {
    fn sync(&mut self) -> io::Result<()> {
        self.memory.plain_call()?;
        let mut world = self.memory.0.lock().unwrap();
        let file = &mut world.files[self.number];
        file.synced = file.bytes.len();
        Ok(())
    }
}
