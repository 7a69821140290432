//! `type=inbound-publication`: a resource that peers publish to.

use super::Options;
use crate::diagnostic::quote;
use crate::nearest::nearest;
use crate::options::{OptionSpec, SectionSpec, unset};
use crate::{Location, Severity};

const OPTIONS: &[OptionSpec] = &[
    unset(
        "endpoint",
        "The only endpoint that may publish here; without it, any may.",
    )
    .example("office"),
    unset(
        "event_asterisk-devicestate",
        "The asterisk-publication that takes device states.",
    )
    .example("office"),
    unset(
        "event_asterisk-mwi",
        "The asterisk-publication that takes mailbox states.",
    )
    .example("office"),
];

pub(crate) const SPEC: SectionSpec = SectionSpec {
    name: "inbound-publication",
    doc: "A resource that peers publish to: its name is the user part of their server_uri.",
    options: OPTIONS,
    open_prefix: Some("event_"),
    single: false,
};

/// A resource that peers publish to.
#[derive(Clone, Debug, PartialEq)]
pub struct InboundPublication {
    /// The section's name: the user part of the peer's `server_uri`.
    pub name: String,
    /// Where it stands.
    pub at: Location,
    /// The only endpoint that may publish here; it exists. None: any may.
    pub endpoint: Option<String>,
    /// The asterisk-publication that takes device states; it may not exist (404 on the wire).
    pub device_state: Option<String>,
    /// The asterisk-publication that takes mailbox states; it may not exist (404 on the wire).
    pub mwi: Option<String>,
}

pub(crate) fn read(options: &mut Options<'_, '_>) -> InboundPublication {
    for entry in options.open.clone() {
        let ours = OPTIONS
            .iter()
            .map(|option| option.name)
            .filter(|name| name.starts_with("event_"));
        if let Some(near) = nearest(&entry.name, ours) {
            let message = format!(
                "{} is an event of others, and passed over",
                quote(&entry.name)
            );
            let help = Some(format!("did you mean `{near}`?"));
            options
                .context
                .findings
                .warning("unknown-event", &entry.at, message, help);
        }
    }
    let device_state = publication(options, "event_asterisk-devicestate");
    let mwi = publication(options, "event_asterisk-mwi");
    if device_state.is_none() && mwi.is_none() && options.open.is_empty() {
        let message = format!(
            "inbound-publication {} takes no event",
            quote(&options.section.name)
        );
        let help = "add `event_asterisk-devicestate=` or `event_asterisk-mwi=` with the name of an asterisk-publication";
        options.context.findings.warning(
            "takes-nothing",
            &options.section.at,
            message,
            Some(help.to_owned()),
        );
    }
    InboundPublication {
        name: options.section.name.clone(),
        at: options.section.at.clone(),
        endpoint: options.reference("endpoint", "endpoint"),
        device_state,
        mwi,
    }
}

fn publication(options: &mut Options<'_, '_>, name: &'static str) -> Option<String> {
    let entry = options.last(name).filter(|entry| !entry.value.is_empty())?;
    let missing = Severity::Warning;
    options.refer(
        name,
        entry,
        &entry.value,
        "asterisk-publication",
        missing,
        Some(missing),
    );
    Some(entry.value.clone())
}
