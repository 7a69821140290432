//! The passwords of a plan: given, read back from what an earlier run wrote, or made.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use lampwire_conf::{AuthSecret, MapSource, Secret, load};

use super::peers::{Authentication, Plan};
use super::{files, resource};

/// Bytes of chance in a password: it is never typed.
const CHANCE: usize = 20;

/// (who is let in, where) -> the password.
pub(super) struct Secrets(HashMap<(String, String), Secret>);

impl Secrets {
    /// All that the plan needs.
    pub(super) fn gather(plan: &Plan, directory: &Path) -> anyhow::Result<Self> {
        let mut secrets = Self(HashMap::new());
        if plan.auth == Authentication::None {
            return Ok(secrets);
        }
        let mut known = HashMap::new();
        for peer in &plan.peers {
            read_back(directory, peer, &mut known)?;
        }
        for from in &plan.peers {
            for to in plan.others(from) {
                let key = (from.name.clone(), to.name.clone());
                let of_sender = (from.name.clone(), format!("{}-out", resource(to)));
                let of_receiver = (to.name.clone(), format!("{}-in", resource(from)));
                let earlier = known.remove(&of_receiver).or(known.remove(&of_sender));
                let secret = match (&from.password, earlier) {
                    (Some(given), _) => Secret::new(given.as_str()),
                    (None, Some(earlier)) => earlier,
                    (None, None) => made()?,
                };
                secrets.0.insert(key, secret);
            }
        }
        Ok(secrets)
    }

    /// The password by which one is let in at the other; None: none is asked for.
    pub(super) fn of(&self, from: &str, to: &str) -> Option<&str> {
        self.0
            .get(&(from.to_owned(), to.to_owned()))
            .map(Secret::expose)
    }
}

/// The passwords in the file that an earlier run has written for the peer: (peer, section) -> password.
fn read_back(
    directory: &Path,
    peer: &super::Peer,
    known: &mut HashMap<(String, String), Secret>,
) -> anyhow::Result<()> {
    let path = directory.join(&peer.name).join(peer.kind.file_name());
    let Some(bytes) = files::read(&path)? else {
        return Ok(());
    };
    let (config, _) = load("earlier", &mut MapSource::new([("earlier", bytes)]));
    for auth in config.auths {
        if let AuthSecret::Password(password) = auth.secret {
            known.insert((peer.name.clone(), auth.name), password);
        }
    }
    Ok(())
}

fn made() -> anyhow::Result<Secret> {
    let mut bytes = [0; CHANCE];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Secret::new(text))
}
