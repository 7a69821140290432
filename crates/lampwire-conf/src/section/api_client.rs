//! `type=api-client`: a program that may set states over HTTP.

use lampwire_sip::EntityId;

use super::Options;
use crate::Location;
use crate::filter::Filter;
use crate::options::{OptionSpec, SectionSpec, unset};
use crate::secret::Secret;

const OPTIONS: &[OptionSpec] = &[
    unset(
        "token",
        "The bearer token of its requests; `@/path` reads it from a file.",
    )
    .example("@/etc/lampwire/door.token"),
    unset(
        "eid",
        "The entity id under which its states are told; without it our own.",
    )
    .example("02:00:00:00:00:77"),
    unset(
        "device_state_filter",
        "The devices that it may set: a regular expression; without one all.",
    )
    .example("^Custom:door"),
    unset(
        "mailbox_state_filter",
        "The mailboxes that it may set: a regular expression; without one all.",
    )
    .example("^100@"),
];

pub(crate) const SPEC: SectionSpec = SectionSpec {
    name: "api-client",
    doc: "A program that may set states over HTTP, and nothing else; Asterisk does not know the type.",
    options: OPTIONS,
    open_prefix: None,
    single: false,
};

/// A program that may set states over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiClient {
    /// The section's name.
    pub name: String,
    /// Where it stands.
    pub at: Location,
    /// Its bearer token. No two clients have the same, and none that of the node.
    pub token: Secret,
    /// The entity id under which its states are told; None: the node's own.
    pub eid: Option<EntityId>,
    /// The devices that it may set; None: all.
    pub device_state_filter: Option<Filter>,
    /// The mailboxes that it may set; None: all.
    pub mailbox_state_filter: Option<Filter>,
}

/// None: the section is wrong.
pub(crate) fn read(options: &mut Options<'_, '_>) -> Option<ApiClient> {
    let eid = options.entity_id("eid");
    let device_state_filter = options.filter("device_state_filter");
    let mailbox_state_filter = options.filter("mailbox_state_filter");
    let token = options.token("token");
    if token.is_none() && options.text("token").is_none() {
        options.missing("token", "@/etc/lampwire/door.token");
    }
    Some(ApiClient {
        name: options.section.name.clone(),
        at: options.section.at.clone(),
        token: token?,
        eid,
        device_state_filter,
        mailbox_state_filter,
    })
}
