//! The directory as the journal sees it, so that tests can put one in its place that fails when it is told to.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// Files in one directory, by their names.
pub(crate) trait Disk: fmt::Debug + Send {
    /// A file that is written.
    type File: Output;

    /// Makes sure that the directory is there and that nobody else writes in it.
    fn claim(&mut self) -> Result<(), NotClaimed>;
    /// A file from its beginning; `None`: there is none.
    fn read(&mut self, name: &str) -> io::Result<Option<Box<dyn Read>>>;
    /// A new file, for this user only; an old one of that name is emptied.
    fn create(&mut self, name: &str) -> io::Result<Self::File>;
    /// A file that is there, cut off at `length` bytes and on the disk so, to be written on.
    fn append(&mut self, name: &str, length: u64) -> io::Result<Self::File>;
    /// Whether there is a file.
    fn exists(&mut self, name: &str) -> bool;
    /// Gives a file a second name; what had that one is gone. Where a file cannot have two, it is renamed.
    fn keep_as(&mut self, name: &str, second: &str) -> io::Result<()>;
    /// Gives a file another name; what had that name is gone.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// A file is to be there no more; nothing where there is none.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Brings the names of files to the disk.
    fn sync_names(&mut self) -> io::Result<()>;
    /// How the place of a file is told to people; without a name, that of the directory.
    fn place(&self, name: &str) -> String;
}

/// A file that is written at its end.
pub(crate) trait Output: Write + fmt::Debug + Send {
    /// Brings what was written to the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// Why nothing can be written in the directory.
#[derive(Debug)]
pub(crate) enum NotClaimed {
    /// Another process does, by its number where that is known.
    Taken(String),
    /// The system says no.
    Fault(io::Error),
}

/// The file that whoever writes in the directory has locked.
const LOCK: &str = "lock";

/// A directory of the file system.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    lock: Option<Flock<File>>,
}

impl Directory {
    /// The directory of that path, which need not be there yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            lock: None,
        }
    }
}

impl Disk for Directory {
    type File = Appended;

    fn claim(&mut self) -> Result<(), NotClaimed> {
        std::fs::create_dir_all(&self.path).map_err(NotClaimed::Fault)?;
        if self.lock.is_some() {
            return Ok(());
        }
        let path = self.path.join(LOCK);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        let file = options
            .truncate(false)
            .open(&path)
            .map_err(NotClaimed::Fault)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                // For people only: what counts is the lock.
                let _ = lock
                    .set_len(0)
                    .and_then(|()| writeln!(lock, "{}", std::process::id()));
                self.lock = Some(lock);
                Ok(())
            }
            Err((file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut holder = String::new();
                // Longer than any number of a process.
                let _ = file.take(20).read_to_string(&mut holder);
                Err(NotClaimed::Taken(holder.trim().to_owned()))
            }
            Err((_, error)) => Err(NotClaimed::Fault(error.into())),
        }
    }

    fn read(&mut self, name: &str) -> io::Result<Option<Box<dyn Read>>> {
        match File::open(self.path.join(name)) {
            Ok(file) => Ok(Some(Box::new(io::BufReader::with_capacity(1 << 16, file)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&mut self, name: &str) -> io::Result<Appended> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        Ok(Appended(options.open(path)?))
    }

    fn append(&mut self, name: &str, length: u64) -> io::Result<Appended> {
        let path = self.path.join(name);
        let file = OpenOptions::new().append(true).open(path)?;
        if file.metadata()?.len() != length {
            file.set_len(length)?;
            file.sync_all()?;
        }
        Ok(Appended(file))
    }

    fn exists(&mut self, name: &str) -> bool {
        self.path.join(name).symlink_metadata().is_ok()
    }

    fn keep_as(&mut self, name: &str, second: &str) -> io::Result<()> {
        self.remove(second)?;
        let (name, second) = (self.path.join(name), self.path.join(second));
        std::fs::hard_link(&name, &second).or_else(|_| std::fs::rename(&name, &second))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn sync_names(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn place(&self, name: &str) -> String {
        match name {
            "" => self.path.display().to_string(),
            name => self.path.join(name).display().to_string(),
        }
    }
}

/// A file of the file system.
#[derive(Debug)]
pub(crate) struct Appended(File);

impl Write for Appended {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Output for Appended {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()?;
        // Nobody would ever read what is written to a file without a name.
        match self.0.metadata()?.nlink() {
            0 => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the file was removed while it was written",
            )),
            _ => Ok(()),
        }
    }
}
