//! `type=acl`: addresses that are let in or kept out before anything else is looked at.

use super::Options;
use crate::options::{OptionSpec, SectionSpec, known, list};
use crate::value::Rule;
use crate::{Location, Severity};

const OPTIONS: &[OptionSpec] = &[
    list("acl", "Other acl sections whose rules must be passed too.").example("outside"),
    list(
        "deny",
        "Networks that are kept out; the last line of permit and deny that fits an address decides.",
    ).example("0.0.0.0/0"),
    list(
        "permit",
        "Networks that are let in; the last line of permit and deny that fits an address decides.",
    ).example("10.0.0.0/8"),
    known("contact_acl"),
    known("contact_deny"),
    known("contact_permit"),
];

pub(crate) const SPEC: SectionSpec = SectionSpec {
    name: "acl",
    doc: "Addresses that are let in or kept out before anything else is looked at.",
    options: OPTIONS,
    open_prefix: None,
    single: false,
};

/// Rules for the sources of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Acl {
    /// The section's name.
    pub name: String,
    /// Where it stands.
    pub at: Location,
    /// Other sections whose rules must be passed too; they exist, and none leads back here.
    pub acl: Vec<String>,
    /// Its rules in the order of the file.
    pub rules: Vec<Rule>,
}

pub(crate) fn read(options: &mut Options<'_, '_>) -> Acl {
    Acl {
        name: options.section.name.clone(),
        at: options.section.at.clone(),
        acl: options.references("acl", "acl", Some(Severity::Error)),
        rules: options.rules(),
    }
}
