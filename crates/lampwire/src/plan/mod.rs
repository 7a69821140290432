//! From a few lines about the servers to the configuration of each: `lampwire plan`.
//!
//! What is written is first looked at as `lampwire check` does it, and nothing is written of which anything would be said. Secrets, keys and
//! certificates that an earlier run has made are read back, so that running it again changes only what must change.

mod authority;
mod files;
mod guide;
mod nats;
mod peers;
mod secrets;
mod sections;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use lampwire_conf::check::{self, Address, Instance, Paths};
use lampwire_conf::{Diagnostic, MapSource};

pub(crate) use files::Written;
use files::{File, Mode};
pub(crate) use peers::Plan;
use peers::{Kind, Peer};
use secrets::Secrets;

/// What the plan of an earlier run left for a peer that is no longer in it.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Each file with what became of it, in the order of the plan.
    pub(crate) files: Vec<(PathBuf, Written)>,
    /// Directories of instances that the plan no longer has.
    pub(crate) left_over: Vec<PathBuf>,
}

/// The name of a peer's resource, endpoint and user at the others. No telephone or trunk is called so.
fn resource(peer: &Peer) -> String {
    format!("lamp-{}", peer.name)
}

/// Writes the plan's files into the directory.
pub(crate) fn write(plan: &Plan, directory: &Path) -> anyhow::Result<Done> {
    let secrets = Secrets::gather(plan, directory)?;
    let mut written = Vec::new();
    for peer in &plan.peers {
        let path = Path::new(&peer.name).join(peer.kind.file_name());
        let text = sections::of(plan, peer, &secrets);
        written.push(File::ours(path, text, Mode::Secret));
    }
    look_at(plan, &written)?;
    for peer in plan.peers.iter().filter(|_| plan.hints) {
        if let Some(text) = sections::hints(plan, peer) {
            let path = Path::new(&peer.name).join("extensions.conf");
            written.push(File::ours(path, text, Mode::Open));
        }
    }
    if let Some(cluster) = &plan.cluster {
        for server in &cluster.servers {
            let path = Path::new(&server.name).join(nats::FILE_NAME);
            let text = nats::of(plan, cluster, server, &secrets);
            written.push(File::nats(path, text));
        }
    }
    if plan.tls || plan.cluster.is_some() {
        written.extend(authority::files(plan, directory)?);
    }
    let guide = guide::text(plan);
    written.push(File::guide(Path::new("README.md").into(), guide));
    let mut done = Done {
        files: files::write_all(directory, written)?,
        left_over: Vec::new(),
    };
    done.left_over = left_over(plan, directory)?;
    Ok(done)
}

/// Nothing may be said of it.
fn look_at(plan: &Plan, written: &[File]) -> anyhow::Result<()> {
    let text = |path: &Path| path.to_str().map(str::to_owned).unwrap_or_default();
    let mut source = MapSource::new(
        written
            .iter()
            .map(|file| (text(&file.path), file.bytes.clone())),
    );
    let instances: Vec<Instance> = plan
        .peers
        .iter()
        .zip(written)
        .map(|(peer, file)| {
            let paths = Paths {
                configuration: &text(&file.path),
                asterisk: None,
                sorcery: None,
                manager: None,
            };
            let address = Address {
                host: peer.host.clone(),
                port: Some(peer.port),
            };
            Instance::read(peer.name.as_str(), Some(address), &paths, &mut source)
        })
        .collect();
    let found = check::several(&instances).findings;
    if found.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = found.iter().map(Diagnostic::to_string).collect();
    bail!(
        "nothing is written: what would be has findings, so something in the plan must change\n{}",
        lines.join("\n")
    )
}

/// Directories that an earlier run has made for peers that the plan no longer has.
fn left_over(plan: &Plan, directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("{} cannot be read", directory.display()))?;
    for entry in entries.take(files::ENTRIES_MAX) {
        let path = entry?.path();
        let servers = plan.cluster.iter().flat_map(|it| &it.servers);
        let known = (plan.peers.iter().map(|it| &it.name))
            .chain(servers.map(|it| &it.name))
            .any(|name| path.file_name() == Some(name.as_ref()));
        let ours = [Kind::Asterisk, Kind::Lampwire]
            .into_iter()
            .map(Kind::file_name)
            .chain([nats::FILE_NAME])
            .any(|name| files::is_ours(&path.join(name)));
        if !known && ours {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
