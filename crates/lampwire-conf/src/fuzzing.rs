//! What the fuzz targets and the replay of their corpora run. Not part of the interface.

use crate::check::{Address, Instance, Paths, dot, several, svg};
use crate::{Filter, Identifier, MapSource, RequestFacts, Severity, Source, load};

/// A source in which every name is the text itself, so that a file can include itself under any name.
struct Everything<'d>(&'d [u8]);

impl Source for Everything<'_> {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, String> {
        if path.contains("missing") {
            Err("No such file or directory".to_owned())
        } else {
            Ok(self.0.to_vec())
        }
    }

    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        Ok(vec![
            pattern.replace(['*', '?', '['], "1"),
            pattern.replace(['*', '?', '['], "missing"),
        ])
    }
}

/// Loads the bytes as a configuration; what it gives must hold together.
pub fn configuration(data: &[u8]) {
    // What includes itself by ever new names is bounded by depth, but grows with each level.
    if data.len() > 16 * 1024
        || data
            .windows(8)
            .filter(|window| window.eq_ignore_ascii_case(b"#include"))
            .count()
            > 2
    {
        return;
    }
    let (config, diagnostics) = load("fuzz.conf", &mut Everything(data));
    for diagnostic in &diagnostics {
        let line = diagnostic.to_string();
        assert!(
            !line.contains(['\n', '\r', '\0']),
            "a diagnostic is one line: {line:?}"
        );
    }
    assert!(!config.transports.is_empty());
    if diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error)
    {
        return;
    }
    let endpoint = |name: &String| {
        config
            .endpoints
            .iter()
            .any(|endpoint| endpoint.name == *name)
    };
    let auth = |name: &String| config.auths.iter().any(|auth| auth.name == *name);
    let transport = |name: &String| {
        config
            .transports
            .iter()
            .any(|transport| transport.name == *name)
    };
    let publish = |name: &String| {
        config
            .outbound_publishes
            .iter()
            .any(|publish| publish.name == *name)
    };
    for section in &config.endpoints {
        assert!(section.auth.iter().chain(&section.outbound_auth).all(auth));
        assert!(section.transport.iter().all(transport));
    }
    for section in &config.outbound_publishes {
        assert!(section.outbound_auth.iter().all(auth));
        assert!(section.transport.iter().all(transport));
        assert!(section.lanes >= 1 && section.expiration >= 1);
    }
    for section in &config.asterisk_publications {
        assert!(
            section
                .devicestate_publish
                .iter()
                .chain(&section.mailboxstate_publish)
                .all(publish)
        );
    }
    assert!(
        config
            .inbound_publications
            .iter()
            .all(|section| section.endpoint.iter().all(endpoint))
    );
    assert!(
        config
            .identifies
            .iter()
            .all(|section| endpoint(&section.endpoint))
    );
    assert!(config.lampwire.expires_min <= config.lampwire.expires_max);
    let identifier = Identifier::new(&config);
    let headers = |name: &str, found: &mut dyn FnMut(&str)| found(name);
    let found = identifier.identify(&RequestFacts {
        source: [127, 0, 0, 1].into(),
        from_user: Some("instance1"),
        from_host: "127.0.0.1",
        auth_usernames: &["instance1"],
        request_uri: "sip:instance2@127.0.0.1",
        headers: &headers,
    });
    assert!(found.is_none_or(|index| index < config.endpoints.len()));
}

/// The first line is a pattern, what follows is matched.
pub fn filter(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (pattern, subject) = text.split_once('\n').unwrap_or((&text, "PJSIP/1000"));
    for parsed in [Filter::parse(pattern), Filter::parse_with_case(pattern)] {
        match parsed {
            Ok(filter) => {
                filter.is_match(subject);
            }
            Err(error) => assert!(error.offset <= pattern.len() && !error.message.is_empty()),
        }
    }
}

/// Looks at several instances together, as `check` does. The text is as in the corpus of its tests: each file begins with a line `=== NAME`,
/// or `=== ADDRESS=NAME`.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // Each is met by each, and what includes itself grows.
    let parts: Vec<(&str, &str)> = text
        .split("=== ")
        .skip(1)
        .take(6)
        .map(|part| part.split_once('\n').unwrap_or((part, "")))
        .filter(|(name, _)| !name.is_empty() && !name.contains(char::is_control))
        .collect();
    if text.len() > 16 * 1024 || text.to_ascii_lowercase().contains("#include") {
        return;
    }
    let path = |name: &str| {
        name.rsplit_once('=')
            .map_or(name, |(_, path)| path)
            .to_owned()
    };
    let mut source = MapSource::new(parts.iter().map(|(name, text)| (path(name), *text)));
    let of = |ending: &str| {
        let mut found = parts.iter().map(|(name, _)| path(name));
        found.find(|path| path.ends_with(ending))
    };
    const BESIDE: [&str; 3] = ["asterisk.conf", "sorcery.conf", "manager.conf"];
    let [asterisk, sorcery, manager] = BESIDE.map(of);
    let instances: Vec<Instance> = parts
        .iter()
        .filter(|(name, _)| !BESIDE.iter().any(|beside| name.ends_with(beside)))
        .map(|(name, _)| {
            let address = name
                .split_once('=')
                .map(|(address, _)| address.parse::<Address>());
            let configuration = path(name);
            let paths = Paths {
                configuration: &configuration,
                asterisk: asterisk.as_deref(),
                sorcery: sorcery.as_deref(),
                manager: manager.as_deref(),
            };
            Instance::read(*name, address.and_then(Result::ok), &paths, &mut source)
        })
        .collect();
    let web = several(&instances);
    for finding in &web.findings {
        let line = finding.to_string();
        assert!(
            !line.contains(['\n', '\r', '\0']),
            "a finding is one line: {line:?}"
        );
    }
    assert!(svg(&instances, &web).ends_with("</svg>\n"));
    assert!(dot(&instances, &web).ends_with("}\n"));
}
