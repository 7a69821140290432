//! Writing what is new and leaving what is as it should be.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The first line of each configuration that a plan writes.
pub(super) const MARK: &str =
    "; Made by `lampwire plan`, which overwrites it: change PEERS.toml instead.";
/// The same of a NATS server's.
const NATS_MARK: &str =
    "# Made by `lampwire plan`, which overwrites it: change PEERS.toml instead.";
/// The same of the guide.
const GUIDE_MARK: &str = "<!-- Made by `lampwire plan`, which overwrites it. -->";
/// The longest file that is read back: the configuration in a mesh of the most peers is below.
const READ_MAX: u64 = 4 * 1024 * 1024;
/// The most entries of the plan's directory that are looked at: one for each peer, and as many of earlier plans.
pub(super) const ENTRIES_MAX: usize = 10_000;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Its owner alone: it holds passwords or a key.
    Secret,
    /// Everybody.
    Open,
}

impl Mode {
    fn bits(self) -> u32 {
        match self {
            Self::Secret => 0o600,
            Self::Open => 0o644,
        }
    }
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    New,
    Changed,
    Unchanged,
}

impl Written {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
        }
    }
}

/// A file that is to be.
#[derive(Debug)]
pub(super) struct File {
    /// Below the plan's directory.
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    mode: Mode,
    /// What an earlier one must begin with to be overwritten.
    mark: &'static str,
}

impl File {
    /// A configuration, with the line that says whose it is.
    pub(super) fn ours(path: PathBuf, text: String, mode: Mode) -> Self {
        Self {
            path,
            bytes: format!("{MARK}\n{text}").into_bytes(),
            mode,
            mark: MARK,
        }
    }

    /// The configuration of a NATS server.
    pub(super) fn nats(path: PathBuf, text: String) -> Self {
        Self {
            path,
            bytes: format!("{NATS_MARK}\n{text}").into_bytes(),
            mode: Mode::Secret,
            mark: NATS_MARK,
        }
    }

    /// The guide.
    pub(super) fn guide(path: PathBuf, text: String) -> Self {
        Self {
            path,
            bytes: format!("{GUIDE_MARK}\n\n{text}").into_bytes(),
            mode: Mode::Open,
            mark: GUIDE_MARK,
        }
    }

    /// A key or certificate in PEM.
    pub(super) fn pem(path: PathBuf, text: String, mode: Mode) -> Self {
        Self {
            path,
            bytes: text.into_bytes(),
            mode,
            mark: "-----BEGIN ",
        }
    }
}

/// The content of a file; None: there is none.
pub(super) fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", path.display()));
        }
    };
    let mut bytes = Vec::new();
    file.take(READ_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    if bytes.len() as u64 > READ_MAX {
        bail!("{} is longer than {READ_MAX} bytes", path.display());
    }
    Ok(Some(bytes))
}

/// Whether an earlier run has written it.
pub(super) fn is_ours(path: &Path) -> bool {
    let is_marked = |bytes: &[u8]| {
        let mut marks = [MARK, NATS_MARK].into_iter();
        marks.any(|mark| bytes.starts_with(mark.as_bytes()))
    };
    matches!(read(path), Ok(Some(bytes)) if is_marked(&bytes))
}

/// Writes all of them, after it is sure that none is somebody else's.
pub(super) fn write_all(
    directory: &Path,
    wanted: Vec<File>,
) -> anyhow::Result<Vec<(PathBuf, Written)>> {
    let mut plan = Vec::new();
    for file in wanted {
        let path = directory.join(&file.path);
        let earlier = read(&path)?;
        if earlier
            .as_ref()
            .is_some_and(|it| !it.starts_with(file.mark.as_bytes()))
        {
            bail!(
                "nothing is written: {} is there, and no plan has made it; move it away, or give another directory",
                path.display()
            );
        }
        let state = match earlier {
            None => Written::New,
            Some(earlier) if earlier == file.bytes => Written::Unchanged,
            Some(_) => Written::Changed,
        };
        plan.push((path, file, state));
    }
    let mut done = Vec::new();
    for (path, file, state) in plan {
        let failed = || format!("{} cannot be written", path.display());
        if state == Written::Unchanged {
            fs::set_permissions(&path, Permissions::from_mode(file.mode.bits()))
                .with_context(failed)?;
        } else {
            write(&path, &file).with_context(failed)?;
        }
        done.push((path, state));
    }
    Ok(done)
}

/// Beside it and then in its place, so that there is never half a file, and never one that others may read.
fn write(path: &Path, file: &File) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(file.mode.bits())
        .open(&beside)?;
    out.write_all(&file.bytes)?;
    out.sync_all()?;
    fs::rename(&beside, path)
}
