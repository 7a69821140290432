//! The manager interface of an Asterisk as its manager.conf has it, and what a section of type=ami of another instance meets there, in the
//! order in which it would: port, user, address, secret, rights.
//!
//! What Asterisk does with each line was tried on 16 and 22: users are found without regard to case, the words of `read` and `write` with it
//! and without blanks around them; a user without `read` has none of its rights; TLS is not listened for where `enabled` is not set; a port
//! behind `bindaddr` is passed over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::instance::Instance;
use crate::Severity;
use crate::diagnostic::{Findings, Location, quote};
use crate::grammar::{self, Entry, Section};
use crate::nearest::nearest;
use crate::secret::Secret;
use crate::section::ami::Ami;
use crate::source::Source;
use crate::value::{self, Rule};

/// Where Asterisk listens if its file does not say.
const PORT: u16 = 5038;
const TLS_PORT: u16 = 5039;

/// A manager.conf.
#[derive(Clone, Debug)]
pub(super) struct Manager {
    /// The whole file.
    at: Location,
    /// `enabled`, and where it stands.
    enabled: bool,
    enabled_at: Location,
    plain: Listener,
    /// None: `tlsenable` is not set.
    tls: Option<Listener>,
    users: Vec<User>,
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
struct Listener {
    /// None: at all addresses, or a name that cannot be looked up here.
    address: Option<IpAddr>,
    port: u16,
}

/// A user of it.
#[derive(Clone, Debug)]
struct User {
    name: String,
    at: Location,
    secret: Option<(Secret, Location)>,
    /// Those of `permit` and `deny`.
    rules: Vec<Rule>,
    read: Rights,
    write: Rights,
}

/// What stands behind `read` or `write`.
#[derive(Clone, Debug)]
struct Rights {
    option: &'static str,
    at: Location,
    text: String,
}

impl Manager {
    /// Reads the file. What else is wrong in it does not concern the exchange.
    pub(super) fn read(path: &str, source: &mut dyn Source) -> Self {
        let sections = grammar::read(path, source, &mut Findings::default());
        let at = Location {
            file: Arc::from(path),
            line: 0,
            column: 0,
        };
        let mut manager = Self {
            enabled: false,
            enabled_at: at.clone(),
            at,
            plain: Listener {
                address: None,
                port: PORT,
            },
            tls: None,
            users: Vec::new(),
        };
        let is_general = |section: &Section| section.name.eq_ignore_ascii_case("general");
        let (general, users): (Vec<_>, Vec<_>) = sections
            .into_iter()
            .filter(|section| !section.template)
            .partition(is_general);
        manager.general(&general);
        for section in &users {
            manager.user(section);
        }
        manager
    }

    fn general(&mut self, sections: &[Section]) {
        let (mut tls_enabled, mut tls_bind) = (false, None);
        for section in sections {
            if self.enabled_at.line == 0 {
                self.enabled_at = section.at.clone();
            }
            for entry in entries(section) {
                let value = &entry.value;
                let yes = || value::boolean(value) == Some(true);
                match entry.name.to_ascii_lowercase().as_str() {
                    "enabled" => {
                        self.enabled = yes();
                        self.enabled_at = entry.value_at.clone();
                    }
                    "port" => self.plain.port = value.parse().unwrap_or(PORT),
                    "bindaddr" => self.plain.address = bound(value, PORT).0,
                    "tlsenable" => tls_enabled = yes(),
                    "tlsbindaddr" => tls_bind = Some(bound(value, TLS_PORT)),
                    _ => {}
                }
            }
        }
        let (address, port) = tls_bind.unwrap_or((self.plain.address, TLS_PORT));
        self.tls = tls_enabled.then_some(Listener { address, port });
    }

    fn user(&mut self, section: &Section) {
        let known = self.users.iter().position(|user| user.is(&section.name));
        let index = known.unwrap_or_else(|| {
            let rights = |option| Rights {
                option,
                at: section.at.clone(),
                text: String::new(),
            };
            self.users.push(User {
                name: section.name.clone(),
                at: section.at.clone(),
                secret: None,
                rules: Vec::new(),
                read: rights("read"),
                write: rights("write"),
            });
            self.users.len() - 1
        });
        let user = &mut self.users[index];
        for entry in entries(section) {
            let name = entry.name.to_ascii_lowercase();
            match name.as_str() {
                "secret" => {
                    let secret = Secret::new(entry.value.as_str());
                    user.secret = Some((secret, entry.value_at.clone()));
                }
                "permit" | "deny" => {
                    let items = value::items(&entry.value);
                    let rules = items.map(|item| Rule::parse(name == "permit", item));
                    user.rules.extend(rules.filter_map(Result::ok));
                }
                "read" | "write" => {
                    let rights = match name.as_str() {
                        "read" => &mut user.read,
                        _ => &mut user.write,
                    };
                    rights.at = entry.value_at.clone();
                    rights.text.clone_from(&entry.value);
                }
                _ => {}
            }
        }
    }

    /// The address that it is bound to alone.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.plain.address.filter(|address| !address.is_loopback())
    }

    /// Its file.
    pub(super) fn file(&self) -> &Arc<str> {
        &self.at.file
    }

    /// Logs in as the section does, and says what would go wrong.
    pub(super) fn meet(&self, from: &Instance, ami: &Ami, to: &Instance, findings: &mut Findings) {
        let (a, b, name) = (quote(&from.name), quote(&to.name), quote(&ami.name));
        if !self.enabled {
            let message = format!("{b} has no manager interface, which {name} of {a} is to read");
            let help = "set `enabled=yes` in `[general]`";
            findings.error_with_help("ami-not-enabled", &self.enabled_at, message, help);
            return;
        }
        let Some(listener) = self
            .tls
            .filter(|_| ami.tls)
            .or((!ami.tls).then_some(self.plain))
        else {
            let message = format!("{name} asks for TLS, and the manager interface of {b} has none");
            let help = format!(
                "set `tlsenable=yes` and `tlscertfile` in `[general]` of {}",
                self.at.file
            );
            findings.error_with_help("ami-no-tls", &ami.at, message, help);
            return;
        };
        let host: Option<IpAddr> = ami.host.parse().ok();
        // An address that was told for it may be one that leads to another.
        let elsewhere = to.address.is_none()
            && host.is_some_and(|host| listener.address.is_some_and(|at| at != host));
        if elsewhere || listener.port != ami.port {
            let message = format!(
                "{name} of {a} connects to port {} of {}, where the manager interface of {b} does not listen",
                ami.port, ami.host
            );
            let at = match listener.address {
                Some(address) => format!("port {} of {address}", listener.port),
                None => format!("port {}", listener.port),
            };
            let help = format!("it listens at {at}");
            findings.error_with_help("ami-not-listening", &ami.at, message, help);
            return;
        }
        let Some(user) = self.users.iter().find(|user| user.is(&ami.username)) else {
            let user = quote(&ami.username);
            let message = format!(
                "{} has no user {user}, as which {name} logs in",
                self.at.file
            );
            let names = self.users.iter().map(|user| user.name.as_str());
            let help = nearest(&ami.username, names).map(|near| format!("it has {}", quote(near)));
            findings.add(Severity::Error, "ami-no-user", &ami.at, message, help);
            return;
        };
        let source = source(from, host);
        if let Some(source) = source.filter(|source| !Rule::allows(&user.rules, *source)) {
            let message = format!(
                "user {} of {b} may not come from {source}, where {a} connects from",
                quote(&user.name)
            );
            let help = format!("add `permit={source}` behind the other lines");
            findings.error_with_help("ami-source-refused", &user.at, message, help);
        }
        match &user.secret {
            Some((secret, _)) if secret.expose() == ami.secret.expose() => {}
            found => {
                let message = format!(
                    "the secret of {name} is not that of user {} of {b}",
                    quote(&user.name)
                );
                let help = match found {
                    Some((_, at)) => format!("that stands at line {} of {}", at.line, at.file),
                    None => format!(
                        "that has none, and Asterisk lets nobody in as it: see line {} of {}",
                        user.at.line, user.at.file
                    ),
                };
                findings.error_with_help("ami-secret-differs", &ami.at, message, help);
            }
        }
        user.rights(ami, findings);
    }
}

impl User {
    /// Asterisk finds users without regard to case.
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// What it may not do that the section needs.
    fn rights(&self, ami: &Ami, findings: &mut Findings) {
        let mut missing = |rights: &Rights, severity, word: &str, effect: &str| {
            if rights.has(word) {
                return;
            }
            let option = rights.option;
            let message = format!(
                "user {} has no right `{word}` in `{option}`: {effect}",
                quote(&self.name)
            );
            let blurred = rights.text.split(',').find(|it| {
                let it = it.trim();
                it.eq_ignore_ascii_case(word) || it.eq_ignore_ascii_case("all")
            });
            let help = match blurred {
                Some(it) => format!(
                    "Asterisk does not know {}: it wants small letters, and no blanks beside the comma",
                    quote(it)
                ),
                None if rights.text.is_empty() => format!("add `{option}={word}`"),
                None => format!("add `,{word}` to its `{option}`"),
            };
            findings.add(
                severity,
                "ami-right-missing",
                &rights.at,
                message,
                Some(help),
            );
        };
        let error = Severity::Error;
        missing(
            &self.read,
            error,
            "system",
            "that it is fully booted is not heard, and it is not read",
        );
        missing(
            &self.read,
            error,
            "call",
            "no change is heard after the first list",
        );
        if ami.sink || !self.write.has("reporting") {
            missing(
                &self.write,
                error,
                "call",
                "its devices are not listed, and nothing can be put in",
            );
        }
        match ami.eid {
            None => missing(
                &self.write,
                error,
                "command",
                "its entity id cannot be asked for, and `eid` is not set",
            ),
            Some(_) => missing(
                &self.write,
                Severity::Warning,
                "command",
                "whether it has the exchange itself is not looked at",
            ),
        }
        missing(
            &self.write,
            Severity::Warning,
            "system",
            "all events of the rights in `read` are sent to be passed over",
        );
    }
}

impl Rights {
    fn has(&self, word: &str) -> bool {
        self.text.split(',').any(|it| it == word || it == "all")
    }
}

fn entries(section: &Section) -> impl Iterator<Item = &Arc<Entry>> {
    section.lines.iter().map(|line| &line.entry)
}

/// The address alone, and the port, of what is bound; no address: all of them.
fn bound(text: &str, port: u16) -> (Option<IpAddr>, u16) {
    match value::socket_address(text, port) {
        Some(at) => (Some(at.ip()).filter(|it| !it.is_unspecified()), at.port()),
        None => (None, port),
    }
}

/// Where its connections to a host come from, if that can be said: the sockets are not bound.
fn source(from: &Instance, host: Option<IpAddr>) -> Option<IpAddr> {
    match host {
        Some(IpAddr::V4(host)) if host.is_loopback() => return Some(Ipv4Addr::LOCALHOST.into()),
        Some(IpAddr::V6(host)) if host.is_loopback() => return Some(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let told = from.address.as_ref();
    if let Some(told) = told.and_then(|address| address.host.parse().ok()) {
        return Some(told);
    }
    let transports = from.config.transports.iter();
    let mut bound = transports.map(|it| it.bind.ip());
    let first = bound.next().filter(|it| !it.is_unspecified())?;
    bound.all(|other| other == first).then_some(first)
}
