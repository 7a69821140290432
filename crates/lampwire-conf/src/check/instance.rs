//! One of the instances that are looked at together: its configuration, and what stands beside it.

use std::str::FromStr;
use std::sync::Arc;

use lampwire_sip::{EntityId, Host};

use super::manager::Manager;
use crate::config::Config;
use crate::diagnostic::{Diagnostic, Findings, Location, Severity, quote};
use crate::grammar;
use crate::source::Source;

/// Whose configuration it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file without a section of type=lampwire.
    Asterisk,
    /// A file with one.
    Lampwire,
}

impl Kind {
    pub(super) fn of(config: &Config) -> Self {
        match config.lampwire.at {
            Some(_) => Self::Lampwire,
            None => Self::Asterisk,
        }
    }

    /// `Asterisk` or `Lampwire`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asterisk => "Asterisk",
            Self::Lampwire => "Lampwire",
        }
    }
}

/// Where an instance can be reached, as it is told on the command line: `host`, `host:port`, `[address]:port`, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A host name in lower case, or an IP address without brackets.
    pub host: String,
    /// The port; None: those of the transports.
    pub port: Option<u16>,
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if let Ok(address) = text.parse::<std::net::IpAddr>() {
            let host = address.to_string();
            return Ok(Self { host, port: None });
        }
        match Host::parse_with_port(text) {
            Ok((host, port)) => Ok(Self {
                host: host_text(host),
                port,
            }),
            Err(_) => Err("is neither an address nor a host name, with or without a port"),
        }
    }
}

/// A host as places are compared: lower case, without brackets or a dot at the end.
pub(super) fn host_text(host: Host<'_>) -> String {
    match host {
        Host::V4(address) => address.to_string(),
        Host::V6(address) => address.to_string(),
        Host::Name(name) => name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(),
    }
}

/// The files of an instance.
#[derive(Clone, Copy, Debug)]
pub struct Paths<'a> {
    /// Its pjsip.conf or lampwire.conf.
    pub configuration: &'a str,
    /// Its asterisk.conf, which may tell its entity id.
    pub asterisk: Option<&'a str>,
    /// Its sorcery.conf, which may say that objects come from a database.
    pub sorcery: Option<&'a str>,
    /// Its manager.conf, which says who may log in at its manager interface.
    pub manager: Option<&'a str>,
}

/// One of the instances that are looked at together.
#[derive(Clone, Debug)]
pub struct Instance {
    /// What it is called in messages: the file or directory.
    pub name: String,
    /// Where it can be reached, if that was said.
    pub address: Option<Address>,
    /// Whose configuration it is.
    pub kind: Kind,
    /// What it runs by.
    pub config: Config,
    /// Its entity id, where one of its files tells it.
    pub entity_id: Option<EntityId>,
    /// Where that stands.
    pub(super) entity_id_at: Location,
    /// The manager interface of an Asterisk, if its file was given.
    pub(super) manager: Option<Manager>,
    /// The whole of its main file.
    pub(super) at: Location,
    /// What is wrong with it by itself.
    pub(super) found: Vec<Diagnostic>,
}

impl Instance {
    /// Reads its files.
    pub fn read(
        name: impl Into<String>,
        address: Option<Address>,
        paths: &Paths<'_>,
        source: &mut dyn Source,
    ) -> Self {
        let (config, mut found) = super::one_of_its_kind(paths.configuration, source);
        let at = Location {
            file: Arc::from(paths.configuration),
            line: 0,
            column: 0,
        };
        let kind = Kind::of(&config);
        let mut findings = Findings::default();
        let mut entity_id = config.lampwire.entity_id;
        let mut entity_id_at = config.lampwire.at.clone().unwrap_or_else(|| at.clone());
        if let Some(path) = paths.asterisk.filter(|_| kind == Kind::Asterisk) {
            (entity_id, entity_id_at) = entity_id_of(path, source, &mut findings);
        }
        if let Some(path) = paths.sorcery {
            realtime(path, source, &mut findings);
        }
        let manager = paths.manager.filter(|_| kind == Kind::Asterisk);
        let manager = manager.map(|path| Manager::read(path, source));
        found.extend(findings.finish(&at.file));
        Self {
            name: name.into(),
            address,
            kind,
            config,
            entity_id,
            entity_id_at,
            manager,
            at,
            found,
        }
    }

    /// Adds what was found by somebody who knows more than the files say.
    pub fn add(&mut self, found: impl IntoIterator<Item = Diagnostic>) {
        self.found.extend(found);
    }

    /// Whether it can run at all.
    pub(super) fn has_errors(&self) -> bool {
        self.found
            .iter()
            .any(|found| found.severity == Severity::Error)
    }

    /// Its place where a finding concerns the whole of it: the section of the node, else the file.
    pub(super) fn whole(&self) -> &Location {
        self.config.lampwire.at.as_ref().unwrap_or(&self.at)
    }
}

/// `entityid` of `[options]` in asterisk.conf. What else is wrong in that file does not concern the exchange.
fn entity_id_of(
    path: &str,
    source: &mut dyn Source,
    findings: &mut Findings,
) -> (Option<EntityId>, Location) {
    let sections = grammar::read(path, source, &mut Findings::default());
    let line = sections
        .iter()
        .filter(|section| section.name.eq_ignore_ascii_case("options"))
        .flat_map(|section| &section.lines)
        .rfind(|line| line.entry.name.eq_ignore_ascii_case("entityid"));
    let whole = Location {
        file: Arc::from(path),
        line: 0,
        column: 0,
    };
    let Some(line) = line else {
        let message = "no `entityid` in its section `[options]`: Asterisk takes the address of a network card";
        findings.note("entity-id-unset", &whole, message);
        return (None, whole);
    };
    let entry = &line.entry;
    let parsed = entry.value.parse().ok();
    if parsed.is_none() {
        let message = format!("{} is no value of `entityid`", quote(&entry.value));
        let help = "six bytes in hex, as in 02:00:00:00:00:01";
        findings.error_with_help("bad-value", &entry.value_at, message, help);
    }
    (parsed, entry.value_at.clone())
}

/// Asterisk's tables have no columns for options that begin with `@`.
fn realtime(path: &str, source: &mut dyn Source, findings: &mut Findings) {
    let sections = grammar::read(path, source, &mut Findings::default());
    for line in sections.iter().flat_map(|section| &section.lines) {
        let object = line.entry.name.split('/').next().unwrap_or_default();
        let wizard = line.entry.value.split(',').next().unwrap_or_default();
        if object.trim() == "outbound-publish" && wizard.trim().eq_ignore_ascii_case("realtime") {
            let message = "outbound-publish comes from a database, which has no columns for `@device_state_filter` and `@mailbox_state_filter`";
            let help = Some("`outbound-publish=config,pjsip.conf,criteria=type=outbound-publish` reads them from the file".to_owned());
            findings.warning("realtime-loses-options", &line.entry.at, message, help);
        }
    }
}
