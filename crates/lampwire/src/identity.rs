//! The node's own entity id: configured, else made once and kept, else derived from the machine.
//!
//! Peers keep states under the id they came with, so an id that changes with each start leaves the old states behind
//! for as long as a peer keeps them. Hence the care.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use lampwire_sip::EntityId;

/// The file in the state directory that holds the id, one line.
const FILE_NAME: &str = "entity_id";

/// The file beside it that holds the key of our entity tags, so that they are good after a restart.
const SECRET_NAME: &str = "secret";

/// More than any text that is an id: a longer file is not ours.
const FILE_BYTES_MAX: u64 = 256;

/// An entity id and why it is this one.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The id.
    pub(crate) entity_id: EntityId,
    /// Where it comes from.
    pub(crate) origin: Origin,
    /// What went wrong on the way, for a warning.
    pub(crate) trouble: Option<String>,
}

/// Where an entity id comes from. Displays as the end of a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `entity_id=` of the `[lampwire]` section.
    Configured,
    /// Read from this file.
    Kept(PathBuf),
    /// Made now, at random, and written to this file.
    Made(PathBuf),
    /// Reckoned from the host's name and the first transport's address.
    Derived,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured => write!(out, "as configured"),
            Self::Kept(path) => write!(out, "kept in {}", path.display()),
            Self::Made(path) => write!(out, "made now and kept in {}", path.display()),
            Self::Derived => write!(
                out,
                "derived from the host's name and the first bind; set entity_id= or state_dir= to keep it when they change"
            ),
        }
    }
}

/// Chooses the id of a node. Never fails: a state directory that cannot be used is a `trouble`, and the id is derived.
pub(crate) fn choose(
    configured: Option<EntityId>,
    state_dir: Option<&str>,
    first_bind: SocketAddr,
) -> Identity {
    if let Some(entity_id) = configured {
        return Identity {
            entity_id,
            origin: Origin::Configured,
            trouble: None,
        };
    }
    let trouble = match state_dir.map(|directory| keep(Path::new(directory))) {
        Some(Ok(identity)) => return identity,
        Some(Err(trouble)) => Some(trouble),
        None => None,
    };
    Identity {
        entity_id: derive(&host_name(), first_bind),
        origin: Origin::Derived,
        trouble,
    }
}

/// Reads the id that the directory keeps, or makes one and keeps it there.
fn keep(directory: &Path) -> Result<Identity, String> {
    let path = directory.join(FILE_NAME);
    let about = |what: &str, error: &dyn fmt::Display| {
        format!("state_dir: {} {what}: {error}", path.display())
    };
    match File::open(&path) {
        Ok(file) => {
            let mut text = String::new();
            file.take(FILE_BYTES_MAX)
                .read_to_string(&mut text)
                .map_err(|error| about("cannot be read", &error))?;
            let entity_id = text.trim().parse().map_err(|_| {
                about(
                    "holds no entity id",
                    &"expected six hex bytes with colons; mend or remove the file",
                )
            })?;
            Ok(Identity {
                entity_id,
                origin: Origin::Kept(path),
                trouble: None,
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let entity_id = random().map_err(|error| about("cannot be made", &error))?;
            write_new(directory, &path, format!("{entity_id}\n").as_bytes())
                .map_err(|error| about("cannot be written", &error))?;
            Ok(Identity {
                entity_id,
                origin: Origin::Made(path),
                trouble: None,
            })
        }
        Err(error) => Err(about("cannot be read", &error)),
    }
}

/// Gives a directory this entity id. Fails where it has another one: what is kept there is that node's.
pub(crate) fn adopt(directory: &Path, entity_id: EntityId) -> Result<(), String> {
    let path = directory.join(FILE_NAME);
    let place = path.display();
    if !path.exists() {
        return write_new(directory, &path, format!("{entity_id}\n").as_bytes())
            .map_err(|error| format!("{place} cannot be written: {error}"));
    }
    match keep(directory)?.entity_id {
        kept if kept == entity_id => Ok(()),
        kept => Err(format!(
            "{place} says {kept}, and these are states of {entity_id}: remove the file to make the directory that node's"
        )),
    }
}

/// The secret that the directory keeps, or a new one, which is kept there. An error: it cannot be, and is good for this life only.
pub(crate) fn secret(directory: &Path) -> Result<[u8; 32], String> {
    let path = directory.join(SECRET_NAME);
    let about = |error: &dyn fmt::Display| format!("state_dir: {}: {error}", path.display());
    let mut kept = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut kept));
    match read {
        Ok(_) => {
            if let Ok(secret) = kept.as_slice().try_into() {
                return Ok(secret);
            }
            // Half a secret is worth nothing, and nobody can mend it.
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(about(&error)),
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| about(&error))?;
    write_new(directory, &path, &secret).map_err(|error| about(&error))?;
    Ok(secret)
}

/// Writes the whole file or nothing: a temporary file beside it, on the disk, then renamed.
fn write_new(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

fn random() -> Result<EntityId, getrandom::Error> {
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes)?;
    Ok(local_unicast(bytes))
}

/// The same host and bind give the same id, in every version of the program: FNV-1a, which never changes, as a hash of
/// the standard library may.
fn derive(host: &str, first_bind: SocketAddr) -> EntityId {
    let hash = format!("{host} {first_bind}")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    let [_, _, bytes @ ..] = hash.to_be_bytes();
    local_unicast(bytes)
}

/// An entity id looks like an Ethernet address; the bits "locally administered" and "one station" keep ours apart from
/// those of real network cards, which Asterisk takes for its own.
fn local_unicast(mut bytes: [u8; 6]) -> EntityId {
    bytes[0] = (bytes[0] | 0x02) & !0x01;
    bytes
        .map(|byte| format!("{byte:02x}"))
        .join(":")
        .parse()
        .expect("six hex bytes with colons are an entity id")
}

/// What the machine is called.
pub(crate) fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bind() -> SocketAddr {
        "192.0.2.1:5060".parse().unwrap()
    }

    fn directory(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("lampwire-identity-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn a_configured_id_is_taken_as_it_is() {
        let id: EntityId = "02:00:00:00:00:01".parse().unwrap();
        let identity = choose(Some(id), Some("/proc/nowhere"), bind());
        assert_eq!(identity.entity_id, id);
        assert_eq!(identity.origin, Origin::Configured);
        assert!(identity.trouble.is_none());
    }

    #[test]
    fn an_id_is_made_once_and_kept() {
        let directory = directory("kept");
        let first = choose(None, directory.to_str(), bind());
        assert!(matches!(first.origin, Origin::Made(_)), "{first:?}");
        let second = choose(None, directory.to_str(), bind());
        assert!(matches!(second.origin, Origin::Kept(_)), "{second:?}");
        assert_eq!(first.entity_id, second.entity_id);
        assert!(!directory.join("entity_id.new").exists());
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_a_warning_and_the_id_is_derived() {
        let identity = choose(None, Some("/proc/nowhere"), bind());
        assert_eq!(identity.origin, Origin::Derived);
        assert!(
            identity
                .trouble
                .unwrap()
                .contains("/proc/nowhere/entity_id")
        );
    }

    #[test]
    fn a_file_that_holds_something_else_is_left_alone() {
        let directory = directory("other");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(FILE_NAME), "something else").unwrap();
        let identity = choose(None, directory.to_str(), bind());
        assert_eq!(identity.origin, Origin::Derived);
        assert!(identity.trouble.unwrap().contains("holds no entity id"));
        assert_eq!(
            std::fs::read_to_string(directory.join(FILE_NAME)).unwrap(),
            "something else"
        );
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_secret_is_made_once_and_only_for_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let directory = directory("secret");
        let first = secret(&directory).unwrap();
        assert_eq!(secret(&directory).unwrap(), first);
        let path = directory.join(SECRET_NAME);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, "half").unwrap();
        let second = secret(&directory).unwrap();
        assert_ne!(second, first);
        assert_eq!(secret(&directory).unwrap(), second);
        std::fs::remove_dir_all(directory).unwrap();
        assert!(
            secret(Path::new("/proc/nowhere"))
                .unwrap_err()
                .contains("/proc/nowhere/secret")
        );
    }

    #[test]
    fn a_directory_takes_an_id_once() {
        let directory = directory("adopt");
        let id = |text: &str| text.parse::<EntityId>().unwrap();
        adopt(&directory, id("02:00:00:00:00:01")).unwrap();
        adopt(&directory, id("02:00:00:00:00:01")).unwrap();
        let error = adopt(&directory, id("02:00:00:00:00:02")).unwrap_err();
        assert!(error.contains("says 02:00:00:00:00:01"), "{error}");
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_derived_id_never_changes() {
        // Kept as text: a change of the arithmetic would change the id of every node that runs without state_dir.
        assert_eq!(
            derive("pbx1", bind()).to_string(),
            derive("pbx1", bind()).to_string()
        );
        assert_ne!(derive("pbx1", bind()), derive("pbx2", bind()));
        assert!(derive("pbx1", bind()).to_string().as_bytes()[1].is_ascii_hexdigit());
    }
}
