//! The passwords of a plan: given, read back from what an earlier run wrote, or made.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use lampwire_conf::{AuthSecret, Login, MapSource, Secret, load};

use super::nats;
use super::peers::{Authentication, Cluster, Kind, Plan};
use super::{files, resource};

/// Bytes of chance in a password: it is never typed.
const CHANCE: usize = 20;

/// All passwords of a plan.
pub(super) struct Secrets {
    /// (who is let in, where) -> the password.
    relations: HashMap<(String, String), Secret>,
    /// Of nodes at the NATS servers.
    nodes: HashMap<String, Secret>,
    /// Of the NATS servers of a site at each other.
    routes: HashMap<String, Secret>,
    /// Of the NATS servers of other sites at those in the middle.
    leaf: Option<Secret>,
}

impl Secrets {
    /// All that the plan needs.
    pub(super) fn gather(plan: &Plan, directory: &Path) -> anyhow::Result<Self> {
        let mut secrets = Self {
            relations: HashMap::new(),
            nodes: HashMap::new(),
            routes: HashMap::new(),
            leaf: None,
        };
        let mut known = HashMap::new();
        for peer in &plan.peers {
            read_back(directory, peer, &mut known, &mut secrets.nodes)?;
        }
        if let Some(cluster) = &plan.cluster {
            secrets.gather_cluster(plan, cluster, directory)?;
        }
        if plan.auth == Authentication::None {
            return Ok(secrets);
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
                secrets.relations.insert(key, secret);
            }
        }
        Ok(secrets)
    }

    /// The password by which one is let in at the other; None: none is asked for.
    pub(super) fn of(&self, from: &str, to: &str) -> Option<&str> {
        self.relations
            .get(&(from.to_owned(), to.to_owned()))
            .map(Secret::expose)
    }

    /// The password of a node at the NATS servers.
    pub(super) fn of_node(&self, node: &str) -> &str {
        self.nodes.get(node).map_or("", Secret::expose)
    }

    /// The password of the NATS servers of a site at each other.
    pub(super) fn of_routes(&self, site: &str) -> &str {
        self.routes.get(site).map_or("", Secret::expose)
    }

    /// The password of the NATS servers of other sites at those in the middle.
    pub(super) fn of_leaf(&self) -> &str {
        self.leaf.as_ref().map_or("", Secret::expose)
    }

    /// Those of a cluster: what no earlier run has made is made now.
    fn gather_cluster(
        &mut self,
        plan: &Plan,
        cluster: &Cluster,
        directory: &Path,
    ) -> anyhow::Result<()> {
        for server in &cluster.servers {
            let path = directory.join(&server.name).join(nats::FILE_NAME);
            let Some(bytes) = files::read(&path)? else {
                continue;
            };
            let text = String::from_utf8_lossy(&bytes);
            if let Some(password) = nats::password(&text, nats::ROUTE) {
                self.routes.entry(server.site.clone()).or_insert(password);
            }
            if let Some(password) = nats::password(&text, nats::LEAF)
                && self.leaf.is_none()
            {
                self.leaf = Some(password);
            }
        }
        for node in plan.peers.iter().filter(|it| it.kind == Kind::Lampwire) {
            if !self.nodes.contains_key(&node.name) {
                self.nodes.insert(node.name.clone(), made()?);
            }
        }
        for server in &cluster.servers {
            if !self.routes.contains_key(&server.site) {
                self.routes.insert(server.site.clone(), made()?);
            }
        }
        if self.leaf.is_none() {
            self.leaf = Some(made()?);
        }
        Ok(())
    }
}

/// The passwords in the file that an earlier run has written for the peer: (peer, section) -> password, and that of a node at the NATS servers.
fn read_back(
    directory: &Path,
    peer: &super::Peer,
    known: &mut HashMap<(String, String), Secret>,
    nodes: &mut HashMap<String, Secret>,
) -> anyhow::Result<()> {
    let path = directory.join(&peer.name).join(peer.kind.file_name());
    let Some(bytes) = files::read(&path)? else {
        return Ok(());
    };
    let (config, _) = load("earlier", &mut MapSource::new([("earlier", bytes)]));
    if let Some(Login::Password(_, password)) = config.cluster.map(|it| it.login) {
        nodes.insert(peer.name.clone(), password);
    }
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
