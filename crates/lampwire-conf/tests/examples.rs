//! The files of Asterisk's documentation page load without a change.
#![allow(clippy::unwrap_used)]

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
