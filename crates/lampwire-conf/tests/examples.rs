//! The files of Asterisk's documentation page load without a change, and of three sites together nothing is to be said.
#![allow(clippy::unwrap_used)]

use lampwire_conf::check::{Address, Instance, Paths, several};
use lampwire_conf::{MapSource, Severity, load};

#[test]
fn the_examples_load_without_an_error() {
    for (name, text) in [
        (
            "instance1.conf",
            include_str!("../../../examples/instance1.conf"),
        ),
        (
            "instance2.conf",
            include_str!("../../../examples/instance2.conf"),
        ),
        (
            "instance2-filtered.conf",
            include_str!("../../../examples/instance2-filtered.conf"),
        ),
    ] {
        let (config, diagnostics) = load(name, &mut MapSource::new([(name, text)]));
        let errors: Vec<_> = diagnostics
            .iter()
            .filter(|d| d.severity != Severity::Warning)
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
        assert_eq!(diagnostics[0].code, "no-authentication");
        assert_eq!(config.outbound_publishes.len(), 2);
        assert_eq!(config.endpoints.len(), 1);
        assert_eq!(config.inbound_publications.len(), 1);
        assert_eq!(config.asterisk_publications.len(), 1);
        assert_eq!(config.transports.len(), 1);
        assert_eq!(config.transports[0].name, "default");
        let filtered = name.contains("filtered");
        let peer = &config.asterisk_publications[0];
        assert_eq!(peer.device_state_filter.is_some(), filtered);
        if let Some(filter) = &peer.device_state_filter {
            assert!(filter.is_match("pjsip/1000"));
            assert!(!filter.is_match("Custom:PJSIP/1000"));
        }
    }
}

/// The node of each site, and its Asterisk.
const SITES: [(&str, &str, &str); 6] = [
    (
        "192.0.2.9",
        "berlin/lampwire.conf",
        include_str!("../../../examples/three-sites/berlin/lampwire.conf"),
    ),
    (
        "192.0.2.11",
        "berlin/pjsip.conf",
        include_str!("../../../examples/three-sites/berlin/pjsip.conf"),
    ),
    (
        "198.51.100.9",
        "paris/lampwire.conf",
        include_str!("../../../examples/three-sites/paris/lampwire.conf"),
    ),
    (
        "198.51.100.11",
        "paris/pjsip.conf",
        include_str!("../../../examples/three-sites/paris/pjsip.conf"),
    ),
    (
        "203.0.113.9",
        "vienna/lampwire.conf",
        include_str!("../../../examples/three-sites/vienna/lampwire.conf"),
    ),
    (
        "203.0.113.11",
        "vienna/pjsip.conf",
        include_str!("../../../examples/three-sites/vienna/pjsip.conf"),
    ),
];

#[test]
fn of_three_sites_nothing_is_to_be_said() {
    let mut source = MapSource::new(SITES.map(|(_, name, text)| (name, text)));
    let instances: Vec<Instance> = SITES
        .iter()
        .map(|(address, name, _)| {
            let address: Address = address.parse().unwrap();
            let paths = Paths {
                configuration: name,
                asterisk: None,
                sorcery: None,
                manager: None,
            };
            Instance::read(*name, Some(address), &paths, &mut source)
        })
        .collect();
    let web = several(&instances);
    let told: Vec<String> = web.findings.iter().map(ToString::to_string).collect();
    assert_eq!(told, [""; 0]);
    assert_eq!(web.links.len(), 12);
    for (at, digit) in [(0, '1'), (2, '2'), (4, '3')] {
        let cluster = instances[at].config.cluster.as_ref().unwrap();
        assert_eq!(cluster.domain.as_ref(), Some(&cluster.site));
        let devices = cluster.wide_device_state_filter.as_ref().unwrap();
        let mailboxes = cluster.wide_mailbox_state_filter.as_ref().unwrap();
        // Telephones are told to all sites, and what else there is stays at home.
        assert!(devices.is_match(&format!("PJSIP/{digit}001")));
        assert!(mailboxes.is_match(&format!("{digit}001@default")));
        for device in ["Custom:door", "Queue:sales", "PJSIP/trunk"] {
            assert!(!devices.is_match(device));
        }
        assert!(!mailboxes.is_match("sales@default"));
    }
}

/// Passwords, domains and addresses of the NATS servers are those of the nodes and of each other.
#[test]
fn the_nats_servers_of_three_sites_are_those_of_their_nodes() {
    let berlin = include_str!("../../../examples/three-sites/berlin/nats-server.conf");
    for (site, nats) in [
        ("berlin", berlin),
        (
            "paris",
            include_str!("../../../examples/three-sites/paris/nats-server.conf"),
        ),
        (
            "vienna",
            include_str!("../../../examples/three-sites/vienna/nats-server.conf"),
        ),
    ] {
        let name = format!("{site}/lampwire.conf");
        let (_, _, text) = SITES.iter().find(|(_, it, _)| *it == name).unwrap();
        let password = format!("change-me-nats-{site}");
        assert!(text.contains(&format!("username=lampwire\npassword={password}\n")));
        assert!(nats.contains(&format!("user: \"lampwire\", password: \"{password}\"")));
        assert!(nats.contains(&format!("domain: \"{site}\"")));
        assert!(nats.contains("listen: \"127.0.0.1:4222\""));
        if site != "berlin" {
            let leaf = format!("change-me-leaf-{site}");
            assert!(nats.contains(&format!("tls://{site}:{leaf}@192.0.2.9:7422")));
            assert!(berlin.contains(&format!("user: \"{site}\", password: \"{leaf}\"")));
            assert!(berlin.contains("listen: \"192.0.2.9:7422\""));
        }
    }
}
