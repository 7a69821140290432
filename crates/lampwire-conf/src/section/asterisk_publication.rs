//! `type=asterisk-publication`: a peer, what we take from it and whom we ask for all it has.

use super::Options;
use crate::Location;
use crate::filter::Filter;
use crate::options::{OptionSpec, SectionSpec, acts, unset};

const OPTIONS: &[OptionSpec] = &[
    unset(
        "devicestate_publish",
        "The outbound-publish over which device states are asked for and answered.",
    )
    .example("office-devicestate"),
    unset(
        "mailboxstate_publish",
        "The outbound-publish over which mailbox states are asked for and answered.",
    )
    .example("office-mwi"),
    acts("device_state", "no", "Whether device states are taken.").example("yes"),
    unset(
        "device_state_filter",
        "Only devices whose name the pattern is found in are taken.",
    )
    .example("^PJSIP/2"),
    acts("mailbox_state", "no", "Whether mailbox states are taken.").example("yes"),
    unset(
        "mailbox_state_filter",
        "Only mailboxes whose id the pattern is found in are taken.",
    )
    .example("@south$"),
];

pub(crate) const SPEC: SectionSpec = SectionSpec {
    name: "asterisk-publication",
    doc: "A peer: what is taken from it, and over which publishes it is asked for everything.",
    options: OPTIONS,
    open_prefix: None,
    single: false,
};

/// A peer.
#[derive(Clone, Debug, PartialEq)]
pub struct AsteriskPublication {
    /// The section's name: the peer's.
    pub name: String,
    /// Where it stands.
    pub at: Location,
    /// The outbound-publish for device states; it exists.
    pub devicestate_publish: Option<String>,
    /// The outbound-publish for mailbox states; it exists.
    pub mailboxstate_publish: Option<String>,
    /// Device states are taken.
    pub device_state: bool,
    /// Which devices; None: all.
    pub device_state_filter: Option<Filter>,
    /// Mailbox states are taken.
    pub mailbox_state: bool,
    /// Which mailboxes; None: all.
    pub mailbox_state_filter: Option<Filter>,
}

pub(crate) fn read(options: &mut Options<'_, '_>) -> AsteriskPublication {
    let device_state = options.boolean("device_state");
    let mailbox_state = options.boolean("mailbox_state");
    for (on, switch, filter) in [
        (device_state, "device_state", "device_state_filter"),
        (mailbox_state, "mailbox_state", "mailbox_state_filter"),
    ] {
        if let Some(entry) = options
            .last(filter)
            .filter(|entry| !on && !entry.value.is_empty())
        {
            let message = format!("`{filter}` does nothing without `{switch}=yes`");
            options
                .context
                .findings
                .warning("filter-of-nothing", &entry.at, message, None);
        }
    }
    AsteriskPublication {
        name: options.section.name.clone(),
        at: options.section.at.clone(),
        devicestate_publish: options.reference("devicestate_publish", "outbound-publish"),
        mailboxstate_publish: options.reference("mailboxstate_publish", "outbound-publish"),
        device_state,
        device_state_filter: options.filter("device_state_filter"),
        mailbox_state,
        mailbox_state_filter: options.filter("mailbox_state_filter"),
    }
}
