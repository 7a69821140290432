//! Which section types and options there are. From these tables options are recognised, defaults are taken, the nearest
//! name is sought and the reference for users is made; nothing else lists them.

use crate::section;

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Lampwire obeys it.
    Acts,
    /// An option of Asterisk that does not concern the exchange: read and passed over in silence.
    Known,
}

/// One option of a section type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionSpec {
    /// Its name in lower case; those of ours on Asterisk's types begin with `@`.
    pub name: &'static str,
    /// Whether it acts.
    pub effect: Effect,
    /// What holds where it is not given; None: nothing does.
    pub default: Option<&'static str>,
    /// Several lines add up. Otherwise the last one wins.
    pub adds_up: bool,
    /// A value that a user may have for it; None: the default serves.
    pub example: Option<&'static str>,
    /// One line for users; empty for those that do not act.
    pub doc: &'static str,
}

impl OptionSpec {
    /// The same with a value that a user may have for it. It is shown in the reference, and loaded by a test.
    pub(crate) const fn example(self, example: &'static str) -> Self {
        Self {
            example: Some(example),
            ..self
        }
    }

    /// The option as a line of a section; None where it does not act.
    pub fn line(&self) -> Option<String> {
        let value = self.example.or(self.default)?;
        (self.effect == Effect::Acts).then(|| format!("{}={value}", self.name))
    }
}

/// One section type.
#[derive(Clone, Copy, Debug)]
pub struct SectionSpec {
    /// What stands behind `type=`.
    pub name: &'static str,
    /// One line for users.
    pub doc: &'static str,
    /// Its options; those that act come first.
    pub options: &'static [OptionSpec],
    /// Options with this beginning are known, whatever follows.
    pub open_prefix: Option<&'static str>,
    /// There can be but one section of this type, whatever its name.
    pub single: bool,
}

impl SectionSpec {
    /// The place of the option in [`SectionSpec::options`], its name compared without case.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.options
            .iter()
            .position(|option| option.name.eq_ignore_ascii_case(name))
    }
}

/// The section types that concern the exchange.
pub const SECTIONS: &[&SectionSpec] = &[
    &section::lampwire::SPEC,
    &section::global::SPEC,
    &section::system::SPEC,
    &section::transport::SPEC,
    &section::endpoint::SPEC,
    &section::auth::SPEC,
    &section::identify::SPEC,
    &section::acl::SPEC,
    &section::outbound_publish::SPEC,
    &section::inbound_publication::SPEC,
    &section::asterisk_publication::SPEC,
    &section::rewrite::SPEC,
    &section::ami::SPEC,
    &section::api_client::SPEC,
    &section::cluster::SPEC,
];

/// Section types of Asterisk's pjsip.conf, geolocation.conf and stir_shaken.conf that do not concern the exchange: skipped whole.
pub const OTHER_TYPES: &[&str] = &[
    "aor",
    "contact",
    "registration",
    "domain_alias",
    "phoneprov",
    "resource_list",
    "subscription_persistence",
    "inbound_subscription_persistence",
    "location",
    "profile",
    "geoloc_location",
    "geoloc_profile",
    "stir_shaken",
    "general",
    "store",
    "certificate",
    "attestation",
    "verification",
    "tn",
];

/// Event packages of Asterisk that an `outbound-publish` may name and that are not of the exchange.
pub const OTHER_EVENTS: &[&str] = &[
    "presence",
    "dialog",
    "message-summary",
    "presence.winfo",
    "conference",
    "reg",
    "refer",
    "ua-profile",
];

/// The type's table.
pub fn section_spec(name: &str) -> Option<&'static SectionSpec> {
    SECTIONS.iter().copied().find(|spec| spec.name == name)
}

pub(crate) const fn acts(
    name: &'static str,
    default: &'static str,
    doc: &'static str,
) -> OptionSpec {
    OptionSpec {
        name,
        effect: Effect::Acts,
        default: Some(default),
        adds_up: false,
        example: None,
        doc,
    }
}

pub(crate) const fn unset(name: &'static str, doc: &'static str) -> OptionSpec {
    OptionSpec {
        name,
        effect: Effect::Acts,
        default: None,
        adds_up: false,
        example: None,
        doc,
    }
}

pub(crate) const fn list(name: &'static str, doc: &'static str) -> OptionSpec {
    OptionSpec {
        name,
        effect: Effect::Acts,
        default: None,
        adds_up: true,
        example: None,
        doc,
    }
}

pub(crate) const fn known(name: &'static str) -> OptionSpec {
    OptionSpec {
        name,
        effect: Effect::Known,
        default: None,
        adds_up: true,
        example: None,
        doc: "",
    }
}

/// What people write on a type where it is not an option, and what they should write. Looked at before the tables of the
/// other types and the nearest names.
const HINTS: &[(&str, &str, &str)] = &[
    (
        "outbound-publish",
        "device_state_filter",
        "`device_state_filter` is an option of asterisk-publication, for what is received; for what is sent write `@device_state_filter`",
    ),
    (
        "outbound-publish",
        "mailbox_state_filter",
        "`mailbox_state_filter` is an option of asterisk-publication, for what is received; for what is sent write `@mailbox_state_filter`",
    ),
    (
        "asterisk-publication",
        "@device_state_filter",
        "`@device_state_filter` stands on outbound-publish, for what is sent; for what is received write `device_state_filter`",
    ),
    (
        "asterisk-publication",
        "@mailbox_state_filter",
        "`@mailbox_state_filter` stands on outbound-publish, for what is sent; for what is received write `mailbox_state_filter`",
    ),
    (
        "outbound-publish",
        "auth",
        "what answers a challenge is `outbound_auth`",
    ),
    (
        "outbound-publish",
        "endpoint",
        "an outbound-publish has no endpoint: `server_uri` says where it goes",
    ),
    (
        "outbound-publish",
        "contact",
        "where it goes is `server_uri`",
    ),
    ("outbound-publish", "expires", "write `expiration`"),
    (
        "inbound-publication",
        "auth",
        "what is challenged is the endpoint: put `auth` there",
    ),
    (
        "inbound-publication",
        "event",
        "write `event_asterisk-devicestate` or `event_asterisk-mwi` with the name of an asterisk-publication",
    ),
    (
        "asterisk-publication",
        "endpoint",
        "the endpoint is named by the inbound-publication",
    ),
    ("auth", "user", "write `username`"),
    ("auth", "secret", "write `password`"),
    (
        "endpoint",
        "secret",
        "write a section of type=auth and name it by `auth`",
    ),
    (
        "endpoint",
        "username",
        "the endpoint's user name is its section's name; credentials stand in a section of type=auth",
    ),
    (
        "endpoint",
        "password",
        "write a section of type=auth and name it by `auth`",
    ),
    (
        "endpoint",
        "match",
        "addresses stand in a section of type=identify with `endpoint` and `match`",
    ),
    (
        "endpoint",
        "host",
        "addresses stand in a section of type=identify with `endpoint` and `match`",
    ),
    (
        "transport",
        "port",
        "the port is part of `bind`, as in `bind=0.0.0.0:5060`",
    ),
    ("transport", "bindaddr", "write `bind`"),
    (
        "transport",
        "bindport",
        "the port is part of `bind`, as in `bind=0.0.0.0:5060`",
    ),
    (
        "transport",
        "externip",
        "write `external_signaling_address`",
    ),
    ("transport", "localnet", "write `local_net`"),
    (
        "global",
        "transport",
        "a transport is a section of its own with type=transport",
    ),
    (
        "lampwire",
        "bind",
        "SIP is bound by a section of type=transport, HTTP by `http_bind`",
    ),
    (
        "lampwire",
        "port",
        "SIP is bound by a section of type=transport, HTTP by `http_bind`",
    ),
    ("lampwire", "eid", "write `entity_id`"),
    ("lampwire", "entityid", "write `entity_id`"),
];

/// What to do about an option that the type does not have.
pub(crate) fn advice(spec: &SectionSpec, name: &str) -> Option<String> {
    let hint = HINTS
        .iter()
        .find(|(section, option, _)| *section == spec.name && option.eq_ignore_ascii_case(name));
    if let Some((_, _, hint)) = hint {
        return Some((*hint).to_owned());
    }
    // The right name, but for the `@` that tells ours from Asterisk's.
    let twin = match name.strip_prefix('@') {
        Some(bare) => spec.position(bare),
        None => spec.position(&format!("@{name}")),
    };
    if let Some(index) = twin {
        return Some(format!("write `{}`", spec.options[index].name));
    }
    let nearest = nearest_option(spec, name);
    let elsewhere: Vec<&str> = SECTIONS
        .iter()
        .filter(|other| other.name != spec.name && other.position(name).is_some())
        .map(|other| other.name)
        .collect();
    match (nearest, elsewhere.as_slice()) {
        (_, [_, ..]) => Some(format!(
            "`{}` is an option of {}",
            name.to_ascii_lowercase(),
            elsewhere.join(", ")
        )),
        (Some(near), []) => Some(format!("did you mean `{near}`?")),
        (None, []) => None,
    }
}

/// The option of the type that is nearest to the name.
fn nearest_option(spec: &SectionSpec, name: &str) -> Option<&'static str> {
    crate::nearest::nearest(name, spec.options.iter().map(|option| option.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_that_acts_is_described_and_none_stands_twice() {
        for spec in SECTIONS {
            assert!(!spec.doc.is_empty());
            for (index, option) in spec.options.iter().enumerate() {
                assert_eq!(
                    option.doc.is_empty(),
                    option.effect == Effect::Known,
                    "{} {}",
                    spec.name,
                    option.name
                );
                assert_eq!(
                    spec.position(option.name),
                    Some(index),
                    "{} {}",
                    spec.name,
                    option.name
                );
                assert_eq!(option.name, option.name.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn hints_are_for_options_that_do_not_exist() {
        for (section, option, _) in HINTS {
            let spec = section_spec(section).unwrap();
            assert!(spec.position(option).is_none(), "{section} {option}");
        }
    }

    #[test]
    fn advice_prefers_what_is_sure() {
        let publish = section_spec("outbound-publish").unwrap();
        assert!(
            advice(publish, "device_state_filter")
                .unwrap()
                .contains("`@device_state_filter`")
        );
        assert_eq!(advice(publish, "lanes").unwrap(), "write `@lanes`");
        assert_eq!(
            advice(publish, "sever_uri").unwrap(),
            "did you mean `server_uri`?"
        );
        assert_eq!(
            advice(publish, "permit").unwrap(),
            "`permit` is an option of endpoint, acl"
        );
        assert_eq!(advice(publish, "quite_something_else"), None);
    }
}
