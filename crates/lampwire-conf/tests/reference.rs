//! The reference of all options is made from the tables that the options are read by.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::Path;

use lampwire_conf::findings::GROUPS;
use lampwire_conf::options::{Effect, SECTIONS};
use lampwire_conf::{MapSource, Severity, check};

/// The tables in `docs/configuration.md`, between these two lines.
const BEGIN: &str = "<!-- options: made from the program's own tables -->\n";
const END: &str = "<!-- end of options -->\n";

/// The codes in `docs/findings.md`, between these two lines.
const BEGIN_CODES: &str = "<!-- codes: made from the program's own table -->\n";
const END_CODES: &str = "<!-- end of codes -->\n";

#[test]
fn the_document_has_every_option_as_the_program_reads_it() {
    compare("configuration.md", BEGIN, END, &reference());
}

#[test]
fn the_document_has_every_code_of_a_finding() {
    compare("findings.md", BEGIN_CODES, END_CODES, &codes());
}

/// No code stands twice, and each is written as a word for programs is.
#[test]
fn codes_are_words_of_their_own() {
    let mut seen = std::collections::BTreeSet::new();
    for code in GROUPS.iter().flat_map(|group| group.codes) {
        assert!(seen.insert(code.name), "{}", code.name);
        assert!(
            code.name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        );
        for text in [code.means, code.effect, code.mend] {
            assert!(!text.is_empty() && !text.ends_with('.'), "{}", code.name);
        }
    }
}

fn compare(name: &str, begin: &str, end: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name);
    let document = std::fs::read_to_string(&path).expect("the document is there");
    let (before, rest) = document
        .split_once(begin)
        .expect("the line before the tables");
    let (tables, after) = rest.split_once(end).expect("the line behind the tables");
    if std::env::var_os("LAMPWIRE_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{before}{begin}{made}{end}{after}"))
            .expect("it can be written");
    } else {
        assert_eq!(
            tables, made,
            "run this test once with LAMPWIRE_UPDATE_GOLDEN=1"
        );
    }
}

fn codes() -> String {
    let mut text = String::new();
    for group in GROUPS {
        let _ = writeln!(text, "\n## {}", group.name);
        for code in group.codes {
            let _ = writeln!(
                text,
                "\n### {}\n\n{}: {}.\n\n- On the wire: {}.\n- To mend it: {}.",
                code.name,
                capital(code.severity.as_str()),
                code.means,
                code.effect,
                code.mend
            );
        }
    }
    text.push('\n');
    text
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

fn reference() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        let _ = writeln!(text, "\n### {}\n\n{}\n", section.name, section.doc);
        let _ = writeln!(
            text,
            "| option | default | for example | what it does |\n|---|---|---|---|"
        );
        for option in section
            .options
            .iter()
            .filter(|option| option.effect == Effect::Acts)
        {
            let default = option
                .default
                .map_or_else(String::new, |it| format!("`{it}`"));
            let example = option.line().unwrap_or_default().replace('|', "\\|");
            let several = if option.adds_up {
                " Several lines add up."
            } else {
                ""
            };
            let _ = writeln!(
                text,
                "| `{}` | {default} | `{example}` | {}{several} |",
                option.name,
                option.doc.replace('|', "\\|")
            );
        }
        let known: Vec<_> = section
            .options
            .iter()
            .filter(|option| option.effect == Effect::Known)
            .map(|option| option.name)
            .collect();
        if !known.is_empty() {
            let _ = writeln!(text, "\nRead and passed over: {}.", known.join(", "));
        }
    }
    text.push('\n');
    text
}

/// A node on the machine of its NATS server.
const CLUSTER: &str = "url=nats://127.0.0.1\n";

/// What the examples are about: an office whose exchange is complete. Each section, with the line that is tried in its place.
fn office(of: &str, line: &str) -> String {
    let mut text = String::new();
    for (kind, name, body) in [
        ("lampwire", "lampwire", "state_dir=\nhttp_token=s3cret\n"),
        ("global", "global", ""),
        ("system", "system", ""),
        ("transport", "udp", "bind=10.0.0.11\n"),
        ("endpoint", "office", "auth=office-in\n"),
        (
            "auth",
            "office-in",
            "username=office\npassword=office-to-pbx\n",
        ),
        ("identify", "office", "endpoint=office\nmatch=10.0.0.12\n"),
        ("acl", "inside", "permit=10.0.0.0/8\n"),
        (
            "outbound-publish",
            "office-devicestate",
            "server_uri=sip:pbx@10.0.0.12\nevent=asterisk-devicestate\noutbound_auth=office-out\n",
        ),
        (
            "inbound-publication",
            "office",
            "endpoint=office\nevent_asterisk-devicestate=office\n",
        ),
        (
            "asterisk-publication",
            "office",
            "device_state=yes\ndevicestate_publish=office-devicestate\n",
        ),
        ("rewrite", "names", "peer=office\ndevice=SIP/* -> PJSIP/*\n"),
        (
            "ami",
            "far",
            "host=10.0.0.13\nusername=lampwire\nsecret=s3cret\ntls=yes\n",
        ),
        (
            "api-client",
            "door",
            "token=door-token\ndevice_state_filter=^Custom:door\n",
        ),
        ("cluster", "cluster", CLUSTER),
    ] {
        // A cluster wants a hub, and the office is none.
        let body = match (kind, of) {
            ("lampwire", "cluster") => "state_dir=\nhttp_token=s3cret\nrelay=yes\n",
            ("cluster", of) if of != "cluster" => continue,
            _ => body,
        };
        let line = if kind == of { line } else { "" };
        // The last one of what stands there twice would count, with a warning.
        let is_there = |option: &str| line.lines().any(|it| it.starts_with(option));
        let body: String = body
            .split_inclusive('\n')
            .filter(|it| !is_there(&it[..=it.find('=').unwrap()]))
            .collect();
        let _ = writeln!(text, "[{name}]\ntype={kind}\n{body}{line}\n");
    }
    // What else is named.
    text.push_str(
        "[office-out]\ntype=auth\nusername=pbx\npassword=pbx-to-office\n\n[outside]\ntype=acl\ndeny=192.0.2.0/24\n\n\
         [office-mwi]\ntype=outbound-publish\nserver_uri=sip:pbx@10.0.0.12\nevent=asterisk-mwi\noutbound_auth=office-out\n",
    );
    text
}

/// What an option needs beside it to make sense.
fn beside(section: &str, option: &str) -> &'static str {
    match (section, option) {
        ("auth", "md5_cred") => "auth_type=md5\n",
        ("auth", "password_digest") => "auth_type=digest\npassword=\n",
        ("outbound-publish", "@mailbox_state_filter") => "event=asterisk-mwi\n",
        ("asterisk-publication", "mailbox_state_filter") => "mailbox_state=yes\n",
        // Both ways it has no way back, which is warned of.
        ("rewrite", "state") => "direction=in\n",
        ("ami", "sink") => "device_state_filter=^PJSIP/\n",
        (
            "transport",
            "tcp_keepalive_idle_time" | "tcp_keepalive_interval_time" | "tcp_keepalive_probe_count",
        ) => "protocol=tcp\ntcp_keepalive_enable=yes\n",
        ("cluster", "url") => "tls=yes\nusername=hub1\npassword=hub1-to-nats\n",
        ("cluster", "username") => "password=hub1-to-nats\n",
        ("cluster", "password") => "username=hub1\n",
        ("cluster", "cert_file") => "priv_key_file=/etc/lampwire/nats.key\n",
        ("cluster", "priv_key_file") => "cert_file=/etc/lampwire/nats.pem\n",
        ("lampwire", "http_key") => "http_cert=/etc/lampwire/http.pem\n",
        ("transport", "external_signaling_port" | "local_net") => {
            "external_signaling_address=198.51.100.7\n"
        }
        (
            "transport",
            "ca_list_file"
            | "ca_list_path"
            | "cert_file"
            | "priv_key_file"
            | "password"
            | "cipher"
            | "method"
            | "require_client_cert"
            | "verify_client"
            | "verify_server"
            | "allow_wildcard_certs",
        ) => {
            "protocol=tls\nbind=10.0.0.11:5061\ncert_file=/etc/lampwire/pbx.pem\npriv_key_file=/etc/lampwire/pbx.key\n"
        }
        _ => "",
    }
}

/// Every example of an option is one: what it is loaded in has no error, and nothing is found at its line.
#[test]
fn every_option_has_an_example_that_can_be_loaded() {
    let mut wrong = String::new();
    let load = |text: &str| {
        let mut source = MapSource::new([
            ("lampwire.conf", text),
            ("/etc/lampwire/http.token", "s3cret\n"),
            ("/etc/lampwire/ami.secret", "s3cret\n"),
            ("/etc/lampwire/door.token", "another\n"),
            ("/etc/lampwire/nats.secret", "s3cret\n"),
            (
                "/etc/lampwire/nats.nkey",
                "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY\n",
            ),
            (
                "/etc/lampwire/nats.creds",
                "-----BEGIN NATS USER JWT-----\n",
            ),
        ]);
        check::one("lampwire.conf", &mut source)
    };
    let (plain, found) = load(&office("", ""));
    let found = found.iter().filter(|it| it.severity != Severity::Note);
    let found: Vec<String> = found.map(ToString::to_string).collect();
    assert_eq!(found, [""; 0], "without any of them");
    let mut count = 0;
    for section in SECTIONS {
        for option in section.options {
            let at = format!("{} {}", section.name, option.name);
            let Some(line) = option.line() else {
                assert_eq!(option.effect, Effect::Known, "{at} has no example");
                continue;
            };
            count += 1;
            let text = office(
                section.name,
                &format!("{}{line}", beside(section.name, option.name)),
            );
            let (config, found) = load(&text);
            let place = text.lines().position(|it| it == line).unwrap() + 1;
            for it in found {
                let there = it.at.line == u32::try_from(place).unwrap();
                if it.severity == Severity::Error || (there && it.severity == Severity::Warning) {
                    let _ = writeln!(wrong, "{at}: {line}: {it}");
                }
            }
            // An example shows something else than what holds anyway.
            let differs = format!("{config:?}") != format!("{plain:?}");
            if !differs && option.example.is_some() && !office("", "").contains(&line) {
                let _ = writeln!(wrong, "{at}: {line} changes nothing");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count > 120, "{count}");
}
