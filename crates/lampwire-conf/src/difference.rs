//! What is another in a configuration than in the one before: for a reload. Where a section stands in its file is no difference.

use std::collections::BTreeMap;
use std::fmt;

use crate::config::Config;
use crate::diagnostic::Location;
use crate::section::transport::Transport;
use crate::{
    Acl, Ami, ApiClient, AsteriskPublication, Auth, Cluster, Endpoint, Identify,
    InboundPublication, OutboundPublish, Rewrite,
};

/// What happened to a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// It was not there before.
    Added,
    /// It is no more.
    Removed,
    /// An option of it is another.
    Changed,
}

impl What {
    /// The word for it: `added`, `removed`, `changed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// A section that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionChange {
    /// The section's type, as in `type=`.
    pub kind: &'static str,
    /// The section's name.
    pub name: String,
    /// What happened to it.
    pub what: What,
}

/// All sections that are not as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Type by type, in the order of the files: what was added or changed as it stands in the new one, then what was removed.
    pub changes: Vec<SectionChange>,
    /// How many sections are as they were.
    pub unchanged: usize,
}

/// A change that a running node cannot follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeedsRestart {
    /// Where the section stands in the new configuration; in the old one, where it is gone. None: it stands nowhere.
    pub at: Option<Location>,
    /// Which option or section, and why it takes a restart.
    pub text: String,
}

impl fmt::Display for NeedsRestart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) if at.line > 0 => write!(f, "{at}: {}", self.text),
            Some(_) | None => f.write_str(&self.text),
        }
    }
}

/// A section that has a name.
trait Named: Clone + PartialEq {
    const KIND: &'static str;

    fn name(&self) -> &str;

    fn at(&mut self) -> &mut Location;

    /// Alike but for the place in the file.
    fn is_like(&self, other: &Self) -> bool {
        let mut moved = self.clone();
        moved.at().clone_from(other.clone().at());
        moved == *other
    }
}

macro_rules! named {
    ($($section:ty => $kind:literal),* $(,)?) => {
        $(impl Named for $section {
            const KIND: &'static str = $kind;

            fn name(&self) -> &str {
                &self.name
            }

            fn at(&mut self) -> &mut Location {
                &mut self.at
            }
        })*
    };
}

named! {
    Transport => "transport",
    Endpoint => "endpoint",
    Auth => "auth",
    Identify => "identify",
    Acl => "acl",
    OutboundPublish => "outbound-publish",
    InboundPublication => "inbound-publication",
    AsteriskPublication => "asterisk-publication",
    Rewrite => "rewrite",
    Ami => "ami",
    ApiClient => "api-client",
    Cluster => "cluster",
}

impl Difference {
    /// What is another in `new` than in `old`.
    pub fn of(old: &Config, new: &Config) -> Self {
        let mut difference = Self::default();
        let mut moved = new.lampwire.clone();
        moved.at.clone_from(&old.lampwire.at);
        difference.single("lampwire", moved == old.lampwire);
        difference.single("global", new.global == old.global);
        difference.single("system", new.system == old.system);
        difference.sections(&old.transports, &new.transports);
        difference.sections(&old.endpoints, &new.endpoints);
        difference.sections(&old.auths, &new.auths);
        difference.sections(&old.identifies, &new.identifies);
        difference.sections(&old.acls, &new.acls);
        difference.sections(&old.outbound_publishes, &new.outbound_publishes);
        difference.sections(&old.inbound_publications, &new.inbound_publications);
        difference.sections(&old.asterisk_publications, &new.asterisk_publications);
        difference.sections(&old.rewrites, &new.rewrites);
        difference.sections(&old.amis, &new.amis);
        difference.sections(&old.api_clients, &new.api_clients);
        difference.sections(old.cluster.as_slice(), new.cluster.as_slice());
        difference
    }

    /// Whether a section is as it was.
    pub fn leaves(&self, kind: &str, name: &str) -> bool {
        !self
            .changes
            .iter()
            .any(|change| change.kind == kind && change.name == name)
    }

    /// A type of which there is one section at most, in which all has a default: it cannot be told from one that is not there.
    fn single(&mut self, kind: &'static str, same: bool) {
        if same {
            self.unchanged += 1;
        } else {
            self.changes.push(SectionChange {
                kind,
                name: kind.to_owned(),
                what: What::Changed,
            });
        }
    }

    fn sections<T: Named>(&mut self, old: &[T], new: &[T]) {
        let mut before: BTreeMap<&str, &T> = old.iter().map(|it| (it.name(), it)).collect();
        let mut note = |name: &str, what| {
            self.changes.push(SectionChange {
                kind: T::KIND,
                name: name.to_owned(),
                what,
            });
        };
        let mut unchanged = 0;
        for section in new {
            match before.remove(section.name()) {
                Some(other) if section.is_like(other) => unchanged += 1,
                Some(_) => note(section.name(), What::Changed),
                None => note(section.name(), What::Added),
            }
        }
        for section in old {
            if before.contains_key(section.name()) {
                note(section.name(), What::Removed);
            }
        }
        self.unchanged += unchanged;
    }
}

/// What a running node cannot follow of a new configuration: it would have to give up what it is bound to, or whom it is known as.
pub(crate) fn needs_restart(old: &Config, new: &Config) -> Vec<NeedsRestart> {
    let mut needs = Vec::new();
    let (was, is) = (&old.lampwire, &new.lampwire);
    for (same, option, why) in [
        (
            was.entity_id == is.entity_id,
            "entity_id",
            "peers hold our states under the old one",
        ),
        (
            was.state_dir == is.state_dir,
            "state_dir",
            "the directory is opened at the start",
        ),
        (
            was.store_window == is.store_window,
            "store_window",
            "whoever writes there is begun at the start",
        ),
        (
            was.http_bind == is.http_bind,
            "http_bind",
            "the address is bound at the start",
        ),
        (
            (&was.http_cert, &was.http_key) == (&is.http_cert, &is.http_key),
            "http_cert and http_key",
            "which files they are is settled at the start; what stands in them is read at each reload",
        ),
        (
            was.hep_server == is.hep_server,
            "hep_server",
            "its socket is made at the start",
        ),
        (
            was.nameservers == is.nameservers,
            "nameserver",
            "the resolver is made at the start",
        ),
        (
            was.relay == is.relay,
            "relay",
            "who hears of whom is decided at the start",
        ),
        (
            was.retract_as == is.retract_as,
            "retract_as",
            "others have been told what the devices of lost nodes are",
        ),
    ] {
        if !same {
            needs.push(NeedsRestart {
                at: is.at.clone().or_else(|| was.at.clone()),
                text: format!("{option} of [lampwire] is another, and needs a restart: {why}"),
            });
        }
    }
    let cluster = match (&old.cluster, &new.cluster) {
        (None, None) => None,
        (Some(was), Some(is)) if was.is_like(is) => None,
        (was, is) => is.as_ref().or(was.as_ref()),
    };
    if let Some(cluster) = cluster {
        needs.push(NeedsRestart {
            at: Some(cluster.at.clone()),
            text: format!(
                "[{}] of type=cluster is another, and needs a restart: which states are shared with whom is settled at the start",
                cluster.name
            ),
        });
    }
    let bound = |transport: &Transport| {
        let Transport {
            protocol,
            bind,
            tcp_keepalive,
            tos,
            cos,
            ..
        } = transport;
        (*protocol, *bind, *tcp_keepalive, *tos, *cos)
    };
    let mut need = |transport: &Transport, what: &str| {
        let name = &transport.name;
        needs.push(NeedsRestart {
            at: Some(transport.at.clone()),
            text: format!(
                "transport {name} {what}, and needs a restart: sockets are bound at the start"
            ),
        });
    };
    let mut same_order = old.transports.len() == new.transports.len();
    for transport in &new.transports {
        match old.transports.iter().find(|it| it.name == transport.name) {
            None => need(transport, "is added"),
            Some(before) if bound(before) != bound(transport) || before.tls != transport.tls => {
                need(transport, "is bound otherwise");
            }
            Some(_) => {}
        }
    }
    for transport in &old.transports {
        if !new.transports.iter().any(|it| it.name == transport.name) {
            need(transport, "is removed");
        }
    }
    let pairs = old.transports.iter().zip(&new.transports);
    same_order &= pairs.into_iter().all(|(old, new)| old.name == new.name);
    if needs.is_empty() && !same_order {
        needs.push(NeedsRestart {
            at: new.transports.first().map(|it| it.at.clone()),
            text: "the transports stand in another order, and that needs a restart: the first that fits is used"
                .to_owned(),
        });
    }
    needs
}

impl Config {
    /// What a node that runs by this configuration cannot follow of a new one: empty where it can follow all of it. Each says what, where, and
    /// why.
    pub fn needs_restart_for(&self, new: &Self) -> Vec<NeedsRestart> {
        needs_restart(self, new)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{MapSource, load};

    fn config(text: &str) -> Config {
        load("a.conf", &mut MapSource::new([("a.conf", text)])).0
    }

    const TEXT: &str = "[lampwire]\ntype=lampwire\nstate_dir=\n[udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:5060\n\
         [a]\ntype=endpoint\nauth=a\n[a]\ntype=auth\nusername=a\npassword=one\n[b]\ntype=endpoint\n";

    #[test]
    fn what_is_added_removed_and_changed_is_named_and_a_comment_is_no_change() {
        let old = config(TEXT);
        let moved = config(&format!("; a comment\n\n{TEXT}"));
        let same = Difference::of(&old, &moved);
        assert_eq!((same.changes.len(), same.unchanged), (0, 7));
        let text = TEXT
            .replace("[b]", "[c]")
            .replace("password=one", "password=two");
        let difference = Difference::of(&old, &config(&text));
        let words: Vec<_> = difference
            .changes
            .iter()
            .map(|it| format!("{} {} {}", it.kind, it.name, it.what.as_str()))
            .collect();
        assert_eq!(
            words,
            ["endpoint c added", "endpoint b removed", "auth a changed"]
        );
        assert!(difference.leaves("endpoint", "a") && !difference.leaves("auth", "a"));
    }

    #[test]
    fn what_needs_a_restart_is_named_with_its_line() {
        let old = config(TEXT);
        assert!(old.needs_restart_for(&config(TEXT)).is_empty());
        for (from, to, expected) in [
            (
                "state_dir=",
                "state_dir=/tmp",
                "a.conf:1:1: state_dir of [lampwire] is another",
            ),
            (
                "state_dir=",
                "state_dir=\nrelay=yes",
                "a.conf:1:1: relay of [lampwire] is another",
            ),
            (
                "5060",
                "5070",
                "a.conf:4:1: transport udp is bound otherwise",
            ),
            ("[udp]", "[two]", "a.conf:4:1: transport two is added"),
        ] {
            let needs = old.needs_restart_for(&config(&TEXT.replacen(from, to, 1)));
            assert!(needs[0].to_string().starts_with(expected), "{needs:?}");
        }
        // What peers are told of a transport is read each time.
        let told = TEXT.replace("5060", "5060\nexternal_signaling_address=192.0.2.1");
        assert!(old.needs_restart_for(&config(&told)).is_empty());
    }
}
