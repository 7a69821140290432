//! `type=cluster`: what this node shares with others over NATS.

use super::Options;
use crate::Location;
use crate::diagnostic::quote;
use crate::filter::Filter;
use crate::options::{OptionSpec, SectionSpec, acts, list, unset};
use crate::secret::Secret;
use crate::value;

const OPTIONS: &[OptionSpec] = &[
    list(
        "url",
        "A NATS server, as in nats://192.0.2.1:4222 or tls://nats.example.org; several lines or a list add up, and each is tried.",
    )
    .example("tls://nats1.example.org,tls://nats2.example.org"),
    unset("username", "The user's name at the NATS servers.")
    .example("hub1"),
    unset(
        "password",
        "The user's password; `@/path` reads it from a file.",
    )
    .example("@/etc/lampwire/nats.secret"),
    unset(
        "token",
        "The token that the NATS servers want; `@/path` reads it from a file.",
    )
    .example("@/etc/lampwire/nats.secret"),
    unset(
        "nkey",
        "The seed of the nkey that the NATS servers know; `@/path` reads it from a file.",
    )
    .example("@/etc/lampwire/nats.nkey"),
    unset("credentials", "A .creds file with a user's JWT and seed.")
    .example("/etc/lampwire/nats.creds"),
    acts(
        "tls",
        "no",
        "Whether the connection must be TLS, whatever the servers' URLs say.",
    )
    .example("yes"),
    unset(
        "ca_list_file",
        "PEM file of the authorities that the servers' certificates are checked against; without one, those of the system.",
    )
    .example("/etc/lampwire/nats-authority.pem"),
    unset(
        "cert_file",
        "PEM file with the certificate that is shown to the servers.",
    )
    .example("/etc/lampwire/nats.pem"),
    unset(
        "priv_key_file",
        "PEM file with the private key of cert_file.",
    )
    .example("/etc/lampwire/nats.key"),
    unset(
        "cluster",
        "The cluster's name: its nodes have the same, and two clusters on the same servers have two. Without it the section's name.",
    )
    .example("pbx"),
    unset(
        "node",
        "What this node is called in listings; without it the machine's name.",
    )
    .example("hub1"),
    acts(
        "site",
        "main",
        "The place that this node stands at. Each site has a bucket of its own, on its own servers where they have a JetStream domain.",
    )
    .example("berlin"),
    unset(
        "domain",
        "The JetStream domain of this site's servers, where sites are joined by leaf nodes.",
    )
    .example("berlin"),
    acts(
        "rank",
        "100",
        "Of the nodes that a server is attached to the one of the lowest rank speaks to it and stamps its states, 0 to 65535.",
    )
    .example("50"),
    acts(
        "replicas",
        "1",
        "How many NATS servers keep the bucket, 1 to 5: 3 go on when one of them is gone.",
    )
    .example("3"),
    acts(
        "storage",
        "file",
        "Where the servers keep it: file, or memory.",
    )
    .example("memory"),
    acts(
        "max_bytes",
        "0",
        "The most bytes that the bucket may take at the servers; 0: as many as the servers allow.",
    )
    .example("1000000000"),
    acts(
        "protocol",
        "3",
        "The newest version of the protocol that this node speaks, 1 to 3: a lower one for as long as a downgrade may be needed.",
    )
    .example("2"),
    unset(
        "device_state_filter",
        "The devices that are taken from the other nodes: a regular expression; without one all.",
    )
    .example("^PJSIP/"),
    unset(
        "mailbox_state_filter",
        "The mailboxes that are taken from the other nodes: a regular expression; without one all.",
    )
    .example("@default$"),
    unset(
        "wide_device_state_filter",
        "The devices of this node's peers and programs that other sites hear of: a regular expression; without one all.",
    )
    .example("^PJSIP/"),
    unset(
        "wide_mailbox_state_filter",
        "The mailboxes of this node's peers and programs that other sites hear of: a regular expression; without one all.",
    )
    .example("@default$"),
];

pub(crate) const SPEC: SectionSpec = SectionSpec {
    name: "cluster",
    doc: "What this node shares with others over NATS, as one hub; Asterisk does not know the type.",
    options: OPTIONS,
    open_prefix: None,
    single: true,
};

/// The port of a NATS server where its URL names none.
const NATS_PORT: u16 = 4222;
/// Most servers that are listed: a client learns of the rest from any of them.
const MAX_URLS: usize = 32;
/// The newest protocol there is.
const NEWEST_PROTOCOL: u16 = 3;
/// Most bytes of a bucket: a tebibyte.
const MAX_BYTES: u64 = 1 << 40;

/// What this node shares with others over NATS.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// The section's name.
    pub name: String,
    /// Where it stands.
    pub at: Location,
    /// NATS servers, as URLs of `nats` or `tls` with a host. At least one.
    pub urls: Vec<String>,
    /// How the node proves who it is.
    pub login: Login,
    /// The connection must be TLS.
    pub tls: bool,
    /// PEM file of the authorities; None: those of the system. Named, not read.
    pub ca_list_file: Option<String>,
    /// PEM files with the certificate that is shown, and its private key.
    pub certificate: Option<(String, String)>,
    /// The cluster's name: letters, digits, `-` and `_`.
    pub cluster: String,
    /// What the node is called; None: as its machine.
    pub node: Option<String>,
    /// The site's name: letters, digits, `-` and `_`.
    pub site: String,
    /// The JetStream domain of the site's servers.
    pub domain: Option<String>,
    /// The lowest speaks and stamps.
    pub rank: u16,
    /// How many servers keep the bucket: 1 to 5.
    pub replicas: u8,
    /// The bucket is kept in memory only.
    pub in_memory: bool,
    /// The most bytes of the bucket; None: as many as the servers allow.
    pub max_bytes: Option<u64>,
    /// The newest protocol that is spoken: 1 to 3.
    pub protocol: u16,
    /// The devices that are taken of others; None: all.
    pub device_state_filter: Option<Filter>,
    /// The mailboxes that are taken of others; None: all.
    pub mailbox_state_filter: Option<Filter>,
    /// The devices that other sites hear of; None: all.
    pub wide_device_state_filter: Option<Filter>,
    /// The mailboxes that other sites hear of; None: all.
    pub wide_mailbox_state_filter: Option<Filter>,
}

/// How the node proves to the NATS servers who it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Login {
    /// Not at all.
    None,
    /// By name and password.
    Password(String, Secret),
    /// By a token.
    Token(Secret),
    /// By the seed of an nkey.
    Nkey(Secret),
    /// By a .creds file, whose contents these are.
    Credentials(Secret),
}

/// None: the section is wrong.
pub(crate) fn read(options: &mut Options<'_, '_>) -> Option<Cluster> {
    let urls = urls(options);
    let login = login(options);
    let tls = options.boolean("tls");
    let ca_list_file = options.text("ca_list_file");
    let certificate = certificate(options);
    let named = options.section.name.clone();
    let cluster = match token(options, "cluster") {
        Some(cluster) => Some(cluster),
        None if options.text("cluster").is_some() => None,
        None if is_token(&named) => Some(named),
        None => {
            let message = format!("{} cannot be the name of a cluster", quote(&named));
            let help = format!("{TOKEN}; name it by `cluster=`, or rename the section");
            let at = options.section.at.clone();
            options
                .context
                .findings
                .error_with_help("bad-value", &at, message, help);
            None
        }
    };
    let node = node(options);
    let site = match options.last("site") {
        None => Some("main".to_owned()),
        Some(_) => token(options, "site"),
    };
    let domain = token(options, "domain");
    let storage = options.word("storage", &[("file", false), ("memory", true)], false);
    let max_bytes = options.number("max_bytes", 0..=MAX_BYTES);
    Some(Cluster {
        name: options.section.name.clone(),
        at: options.section.at.clone(),
        login,
        tls,
        ca_list_file,
        certificate,
        node,
        domain,
        rank: options.number("rank", 0..=u16::MAX),
        replicas: options.number("replicas", 1..=5),
        in_memory: storage,
        max_bytes: Some(max_bytes).filter(|bytes| *bytes > 0),
        protocol: options.number("protocol", 1..=NEWEST_PROTOCOL),
        device_state_filter: options.filter("device_state_filter"),
        mailbox_state_filter: options.filter("mailbox_state_filter"),
        wide_device_state_filter: options.filter("wide_device_state_filter"),
        wide_mailbox_state_filter: options.filter("wide_mailbox_state_filter"),
        urls: urls?,
        cluster: cluster?,
        site: site?,
    })
}

/// What the names of clusters, sites and domains are made of: they stand in subjects and in the names of buckets.
const TOKEN: &str = "1 to 32 letters, digits, `-` and `_`";

fn is_token(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// None: it is not given, or wrong.
fn token(options: &mut Options<'_, '_>, name: &'static str) -> Option<String> {
    let entry = options.last(name).filter(|entry| !entry.value.is_empty())?;
    if is_token(&entry.value) {
        return Some(entry.value.clone());
    }
    options.bad_value(entry, name, TOKEN);
    None
}

fn node(options: &mut Options<'_, '_>) -> Option<String> {
    let entry = options
        .last("node")
        .filter(|entry| !entry.value.is_empty())?;
    if entry.value.len() > 255 || entry.value.chars().any(char::is_control) {
        options.bad_value(
            entry,
            "node",
            "at most 255 bytes without control characters",
        );
    }
    Some(entry.value.clone())
}

fn urls(options: &mut Options<'_, '_>) -> Option<Vec<String>> {
    let mut urls: Vec<String> = Vec::new();
    let mut wrong = false;
    for entry in options.all("url") {
        for item in value::items(&entry.value) {
            match server(item) {
                Ok(url) if urls.contains(&url) => {}
                Ok(url) => urls.push(url),
                Err(why) => {
                    wrong = true;
                    // What stands before an `@` may be a secret, and is not repeated.
                    let shown = item.rsplit_once('@').map_or(item, |(_, rest)| rest);
                    let message = format!("{} is no value of `url`: {why}", quote(shown));
                    let help = "as in nats://192.0.2.1:4222, tls://nats.example.org";
                    options.error_at("bad-value", entry, item, message, help);
                }
            }
        }
    }
    if urls.len() > MAX_URLS {
        let at = options.section.at.clone();
        let message = format!("more than {MAX_URLS} servers in `url`");
        options.context.findings.error("bad-value", &at, message);
    }
    if urls.is_empty() && !wrong {
        options.missing("url", "nats://192.0.2.1:4222");
    }
    (!urls.is_empty()).then_some(urls)
}

/// A server's URL in full. Credentials do not stand in it: whoever reads a log would read them.
fn server(text: &str) -> Result<String, &'static str> {
    let (scheme, rest) = match text.split_once("://") {
        Some(("nats", rest)) => ("nats", rest),
        Some(("tls", rest)) => ("tls", rest),
        Some(_) => return Err("it must begin with nats:// or tls://"),
        None => ("nats", text),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        return Err("credentials are options of their own");
    }
    let (host, port) = match rest.strip_prefix('[') {
        Some(inner) => {
            let (host, after) = inner.split_once(']').ok_or("its bracket has no end")?;
            host.parse::<std::net::Ipv6Addr>()
                .map_err(|_| "what stands in its brackets is no IPv6 address")?;
            (format!("[{host}]"), after)
        }
        None => {
            let (host, after) = rest.find(':').map_or((rest, ""), |at| rest.split_at(at));
            let is_address = host.parse::<std::net::Ipv4Addr>().is_ok();
            if !is_address && !value::is_host_name(host) {
                return Err("it has no host");
            }
            (host.to_owned(), after)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port
            .parse::<u16>()
            .ok()
            .filter(|port| *port != 0)
            .ok_or("its port is none")?,
        None if port.is_empty() => NATS_PORT,
        None => return Err("something stands behind its host"),
    };
    Ok(format!("{scheme}://{host}:{port}"))
}

fn certificate(options: &mut Options<'_, '_>) -> Option<(String, String)> {
    let (certificate, key) = (options.text("cert_file"), options.text("priv_key_file"));
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            options.missing("priv_key_file", "/etc/lampwire/nats.key");
            None
        }
        (None, Some(_)) => {
            options.missing("cert_file", "/etc/lampwire/nats.pem");
            None
        }
    }
}

fn login(options: &mut Options<'_, '_>) -> Login {
    let mut ways = Vec::new();
    let username = options.text("username");
    let password = options.secret("password");
    let has_password = options.text("password").is_some();
    match (username, password) {
        (Some(username), Some(password)) => {
            ways.push(("username", Login::Password(username, password)));
        }
        (Some(_), None) if !has_password => options.missing("password", "@/etc/lampwire/nats"),
        (None, Some(_)) => options.missing("username", "lampwire"),
        _ => {}
    }
    if let Some(token) = options.secret("token") {
        ways.push(("token", Login::Token(token)));
    }
    if let Some(seed) = options.secret("nkey") {
        // A user's seed in the form of nkeys: SU and base32.
        let sound = seed.expose().starts_with("SU")
            && seed
                .expose()
                .bytes()
                .all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'));
        if let Some(entry) = options.last("nkey").filter(|_| !sound) {
            options.error(
                "bad-value",
                entry,
                "`nkey` is no user's seed",
                "it begins with SU; `nsc generate nkey --user` makes one",
            );
        }
        ways.push(("nkey", Login::Nkey(seed)));
    }
    if let Some(credentials) = credentials(options) {
        ways.push(("credentials", Login::Credentials(credentials)));
    }
    if ways.len() > 1 {
        let names: Vec<&str> = ways.iter().map(|(name, _)| *name).collect();
        let message = format!("there are several ways to log in: `{}`", names.join("`, `"));
        let at = options.section.at.clone();
        options
            .context
            .findings
            .error_with_help("bad-value", &at, message, "keep one of them");
    }
    ways.pop().map_or(Login::None, |(_, login)| login)
}

/// What stands in the file of `credentials`.
fn credentials(options: &mut Options<'_, '_>) -> Option<Secret> {
    let entry = options
        .last("credentials")
        .filter(|entry| !entry.value.is_empty())?;
    let path = entry.value.strip_prefix('@').unwrap_or(&entry.value);
    match options.context.source.read(path) {
        Ok(bytes) => {
            let text = Secret::new(String::from_utf8_lossy(&bytes));
            if text.expose().contains("-----BEGIN NATS USER JWT-----") {
                return Some(text);
            }
            let message = format!("{} is no .creds file", quote(path));
            options.error(
                "bad-value",
                entry,
                message,
                "`nsc generate creds` makes one",
            );
            None
        }
        Err(reason) => {
            let reason: String = reason.chars().take(300).collect();
            let message = format!("`credentials`: {} cannot be read: {reason}", quote(path));
            options.error("unreadable", entry, message, "");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_url_is_made_whole() {
        for (text, url) in [
            ("nats://192.0.2.1", "nats://192.0.2.1:4222"),
            ("192.0.2.1:4223", "nats://192.0.2.1:4223"),
            ("tls://nats.example.org/", "tls://nats.example.org:4222"),
            ("nats://[2001:db8::1]:1", "nats://[2001:db8::1]:1"),
        ] {
            assert_eq!(server(text).as_deref(), Ok(url), "{text}");
        }
        for text in [
            "",
            "http://192.0.2.1",
            "nats://user:secret@192.0.2.1",
            "nats://192.0.2.1:0",
            "nats://192.0.2.1:x",
            "nats://[::1",
            "nats://[x]",
            "nats://a b",
            "nats://[::1]x",
        ] {
            assert!(server(text).is_err(), "{text}");
        }
    }
}
