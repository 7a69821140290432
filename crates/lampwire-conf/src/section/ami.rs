//! `type=ami`: an Asterisk that takes part through its manager interface.

use lampwire_sip::{EntityId, valid_name};

use super::Options;
use crate::Location;
use crate::diagnostic::quote;
use crate::filter::Filter;
use crate::options::{OptionSpec, SectionSpec, acts, list, unset};
use crate::secret::Secret;
use crate::value;

const OPTIONS: &[OptionSpec] = &[
    unset("host", "The Asterisk's address or host name.").example("10.0.0.13"),
    unset(
        "port",
        "The port of its manager interface; 5038, with tls 5039, where none or 0 is given.",
    ).example("5139"),
    unset("username", "The user's name in its manager.conf.").example("lampwire"),
    unset(
        "secret",
        "The user's secret; `@/path` reads it from a file.",
    ).example("@/etc/lampwire/ami.secret"),
    acts(
        "tls",
        "no",
        "Whether the connection is TLS (tlsenable of its manager.conf).",
    ).example("yes"),
    acts(
        "verify_server",
        "yes",
        "Whether its certificate is checked, with tls.",
    ).example("no"),
    unset(
        "ca_list_file",
        "PEM file of the authorities that its certificate is checked against; without one, those of the system.",
    ).example("/etc/lampwire/authority.pem"),
    unset(
        "device_state_filter",
        "The devices that are read: a regular expression; without one all.",
    ).example("^PJSIP/3"),
    unset(
        "mailbox_state_filter",
        "The mailboxes that are read, and that sink leaves alone: a regular expression; without one all.",
    ).example("@default$"),
    list(
        "mailboxes",
        "Mailboxes whose counts are asked for when the connection is made, where the Asterisk does not list those of its app_voicemail.",
    ).example("100@default"),
    unset(
        "eid",
        "Its entity id; without it it is asked for it (`core show settings`).",
    ).example("02:00:00:00:00:03"),
    acts(
        "sink",
        "no",
        "Whether others' states are put into it: devices as Custom: devices, mailboxes by MWIUpdate.",
    ).example("yes"),
    acts(
        "prefix",
        "remote-",
        "What stands between `Custom:` and the name of another's device, with sink.",
    ).example("far-"),
];

pub(crate) const SPEC: SectionSpec = SectionSpec {
    name: "ami",
    doc: "An Asterisk that takes part through its manager interface; Asterisk does not know the type.",
    options: OPTIONS,
    open_prefix: None,
    single: false,
};

/// Most mailboxes that one section lists: each is one question when the connection is made.
const MAX_MAILBOXES: usize = 10_000;
/// The longest prefix, so that names of other nodes still fit into Asterisk's database behind it.
const MAX_PREFIX: usize = 64;
/// The longest user name and secret, in bytes: what stands in one line of the interface.
const MAX_CREDENTIAL: usize = 256;

/// An Asterisk that takes part through its manager interface.
#[derive(Clone, Debug, PartialEq)]
pub struct Ami {
    /// The section's name.
    pub name: String,
    /// Where it stands.
    pub at: Location,
    /// Address or host name, without brackets.
    pub host: String,
    /// TCP port, not 0.
    pub port: u16,
    /// The user's name.
    pub username: String,
    /// The user's secret.
    pub secret: Secret,
    /// The connection is TLS.
    pub tls: bool,
    /// Its certificate is checked.
    pub verify_server: bool,
    /// PEM file of the authorities; None: those of the system.
    pub ca_list_file: Option<String>,
    /// The devices that are read; None: all.
    pub device_state_filter: Option<Filter>,
    /// The mailboxes that are read, which the sink leaves alone; None: all.
    pub mailbox_state_filter: Option<Filter>,
    /// Mailboxes whose counts are asked for when the connection is made.
    pub mailboxes: Vec<String>,
    /// Its entity id; None: it is asked for it.
    pub eid: Option<EntityId>,
    /// Others' states are put into it.
    pub sink: bool,
    /// What stands between `Custom:` and the name of another's device. Never empty.
    pub prefix: String,
}

impl Ami {
    /// How the names of all devices begin that the sink writes.
    pub fn sink_prefix(&self) -> String {
        format!("Custom:{}", self.prefix)
    }
}

/// None: the section is wrong.
pub(crate) fn read(options: &mut Options<'_, '_>) -> Option<Ami> {
    let tls = options.boolean("tls");
    let port = match options.number("port", 0..=u16::MAX) {
        0 if tls => 5039,
        0 => 5038,
        port => port,
    };
    let verify_server = options.boolean("verify_server");
    let ca_list_file = options.text("ca_list_file");
    if let Some(entry) = options.last("ca_list_file").filter(|_| !tls) {
        let message = "`ca_list_file` without `tls=yes` has no effect".to_owned();
        options
            .context
            .findings
            .warning("ami-not-tls", &entry.at, message, None);
    }
    let device_state_filter = options.filter("device_state_filter");
    let mailbox_state_filter = options.filter("mailbox_state_filter");
    let mailboxes = mailboxes(options, mailbox_state_filter.as_ref());
    let eid = options.entity_id("eid");
    let sink = options.boolean("sink");
    let prefix = prefix(options);
    let secret = options.secret("secret");
    match &secret {
        Some(secret) => credential(options, "secret", secret.expose()),
        // One that cannot be read was told of.
        None if options.text("secret").is_none() => {
            options.missing("secret", "@/etc/lampwire/secret");
        }
        None => {}
    }
    let username = options.text("username");
    match &username {
        Some(username) => credential(options, "username", username),
        None => options.missing("username", "lampwire"),
    }
    let host = host(options);
    Some(Ami {
        name: options.section.name.clone(),
        at: options.section.at.clone(),
        host: host?,
        port,
        username: username?,
        secret: secret?,
        tls,
        verify_server,
        ca_list_file,
        device_state_filter,
        mailbox_state_filter,
        mailboxes,
        eid,
        sink,
        prefix,
    })
}

fn host(options: &mut Options<'_, '_>) -> Option<String> {
    let Some(entry) = options.last("host").filter(|entry| !entry.value.is_empty()) else {
        options.missing("host", "192.0.2.1");
        return None;
    };
    let host = entry.value.trim_start_matches('[').trim_end_matches(']');
    if host.parse::<std::net::IpAddr>().is_ok() || value::is_host_name(host) {
        return Some(host.to_owned());
    }
    options.bad_value(
        entry,
        "host",
        "an IP address or a host name; the port is an option of its own",
    );
    None
}

/// What goes into one line of the interface.
fn credential(options: &mut Options<'_, '_>, name: &'static str, text: &str) {
    if text.len() > MAX_CREDENTIAL || text.chars().any(char::is_control) {
        let message = format!(
            "`{name}` is too long for a line of the manager interface, or has a control character in it"
        );
        let at = options.section.at.clone();
        options.context.findings.error("bad-value", &at, message);
    }
}

fn mailboxes(options: &mut Options<'_, '_>, filter: Option<&Filter>) -> Vec<String> {
    let mut mailboxes: Vec<String> = Vec::new();
    for entry in options.all("mailboxes") {
        for item in value::items(&entry.value) {
            if valid_name(item).is_err() || !item.contains('@') {
                let message = format!("{} is no mailbox", quote(item));
                options.error_at("bad-value", entry, item, message, "as in `100@default`");
            } else if filter.is_some_and(|filter| !filter.is_match(item)) {
                let message = format!(
                    "mailbox {} is kept out by `mailbox_state_filter`",
                    quote(item)
                );
                let help = "it would be asked for and never told";
                options.error_at("ami-mailbox", entry, item, message, help);
            } else if mailboxes.len() >= MAX_MAILBOXES {
                let message = format!("more than {MAX_MAILBOXES} mailboxes");
                options.error("bad-value", entry, message, "");
                return mailboxes;
            } else {
                mailboxes.push(item.to_owned());
            }
        }
    }
    mailboxes.sort_unstable();
    mailboxes.dedup();
    mailboxes
}

fn prefix(options: &mut Options<'_, '_>) -> String {
    let Some(entry) = options.last("prefix") else {
        return "remote-".to_owned();
    };
    let wrong = match entry.value.as_str() {
        "" => Some("all Custom: devices of the Asterisk's own would be taken for others'"),
        long if long.len() > MAX_PREFIX => Some("it is longer than 64 bytes"),
        text if text.chars().any(char::is_control) => Some("it has a control character in it"),
        _ => None,
    };
    if let Some(why) = wrong {
        let message = format!("{} is no value of `prefix`: {why}", quote(&entry.value));
        options.error("bad-value", entry, message, "as in `remote-`");
    }
    entry.value.clone()
}
