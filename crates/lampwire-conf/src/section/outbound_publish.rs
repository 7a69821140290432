//! `type=outbound-publish`: where our states go.

use std::time::Duration;

use lampwire_sip::EventPackage;

use super::{Options, one_of, sip_uri};
use crate::diagnostic::quote;
use crate::filter::Filter;
use crate::options::{OTHER_EVENTS, OptionSpec, SectionSpec, acts, known, list, unset};
use crate::{Location, Severity};

const OPTIONS: &[OptionSpec] = &[
    unset(
        "server_uri",
        "Where it is published: sip:RESOURCE@HOST, RESOURCE being the peer's inbound-publication.",
    ).example("sip:pbx@10.0.0.12"),
    unset("event", "asterisk-devicestate or asterisk-mwi.").example("asterisk-devicestate"),
    acts(
        "expiration",
        "3600",
        "Seconds for which a publication is asked to live.",
    ).example("1800"),
    list(
        "outbound_auth",
        "The auth sections that answer the peer's challenges.",
    ).example("office-out"),
    unset("outbound_proxy", "The URI of a proxy on the way.").example("sip:10.0.0.1\\;lr"),
    unset(
        "from_uri",
        "As Asterisk sends it: what stands here goes into To.",
    ).example("sip:pbx@10.0.0.12"),
    unset(
        "to_uri",
        "As Asterisk sends it: what stands here goes into From.",
    ).example("sip:pbx@10.0.0.12"),
    acts(
        "max_auth_attempts",
        "5",
        "Refused credentials in a row before a long pause.",
    ).example("3"),
    unset(
        "transport",
        "The transport to send from; without it the one that fits.",
    ).example("udp"),
    unset("@from_uri", "The URI in From.").example("sip:pbx@10.0.0.11"),
    unset("@to_uri", "The URI in To.").example("sip:pbx@10.0.0.12"),
    unset(
        "@device_state_filter",
        "Only devices whose name the pattern is found in are sent.",
    ).example("^PJSIP/1"),
    unset(
        "@mailbox_state_filter",
        "Only mailboxes whose id the pattern is found in are sent.",
    ).example("@north$"),
    acts(
        "@lanes",
        "8",
        "Most publications side by side, opened as needed; 1 is as Asterisk does.",
    ).example("16"),
    acts("@rate_limit", "0", "Most states a second; 0: no limit.").example("200"),
    acts(
        "@resync",
        "3600",
        "Seconds over which all device states are sent again; 0: never.",
    ).example("7200"),
    acts(
        "@probe",
        "5",
        "Seconds after which an idle publication proves itself by an empty refresh; 0: never.",
    ).example("10"),
    acts(
        "@qualify_frequency",
        "20",
        "Seconds between OPTIONS where there is no publication to probe with; 0: none.",
    ).example("60"),
    acts(
        "@qualify_timeout",
        "3",
        "Seconds in which a probe or OPTIONS must be answered; two unanswered in a row: lost.",
    ).example("5"),
    acts(
        "@canary",
        "no",
        "Whether the way there and back is measured.",
    ).example("yes"),
    list(
        "@mailbox_owner",
        "`PATTERN PEER`: mailboxes whose id the pattern is found in are this peer's, an asterisk-publication.",
    ).example("@north$ office"),
    known("multi_user"),
];

pub(crate) const SPEC: SectionSpec = SectionSpec {
    name: "outbound-publish",
    doc: "Where our states go.",
    options: OPTIONS,
    open_prefix: None,
    single: false,
};

/// Most publications of one publisher side by side. A stock Asterisk is fastest with 8 to 16.
const MAX_LANES: u16 = 128;
/// A day in seconds: beyond it a resync or probe is as good as none.
const DAY: u32 = 24 * 60 * 60;

/// Where our states go.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboundPublish {
    /// The section's name.
    pub name: String,
    /// Where it stands.
    pub at: Location,
    /// A valid sip: or sips: URI.
    pub server_uri: String,
    /// As Asterisk sends it, into To; a valid URI.
    pub from_uri: Option<String>,
    /// As Asterisk sends it, into From; a valid URI.
    pub to_uri: Option<String>,
    /// `@from_uri`: From; a valid URI.
    pub at_from_uri: Option<String>,
    /// `@to_uri`: To; a valid URI.
    pub at_to_uri: Option<String>,
    /// Device states or mailbox states.
    pub event: EventPackage,
    /// Life of a publication in seconds, 1 to 4,294,967,295.
    pub expiration: u32,
    /// Refused credentials in a row before a long pause, at least 1.
    pub max_auth_attempts: u32,
    /// The auth sections that answer challenges; they exist.
    pub outbound_auth: Vec<String>,
    /// A valid sip: or sips: URI.
    pub outbound_proxy: Option<String>,
    /// The transport to send from; it exists.
    pub transport: Option<String>,
    /// Devices that are sent; None: all.
    pub device_state_filter: Option<Filter>,
    /// Mailboxes that are sent; None: all.
    pub mailbox_state_filter: Option<Filter>,
    /// Most publications side by side, 1 to 128.
    pub lanes: u16,
    /// Most states a second; 0: no limit.
    pub rate_limit: u32,
    /// In which all device states are sent again; zero: never. At most a day.
    pub resync: Duration,
    /// After which an idle publication proves itself; zero: never. At most a day.
    pub probe: Duration,
    /// Between OPTIONS; zero: none. At most a day.
    pub qualify_frequency: Duration,
    /// In which a probe or OPTIONS must be answered, 1 s to 32 s.
    pub qualify_timeout: Duration,
    /// The way there and back is measured.
    pub canary: bool,
    /// Who owns which mailboxes; the first that fits decides.
    pub mailbox_owner: Vec<MailboxOwner>,
}

/// Whose the mailboxes are that a pattern is found in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxOwner {
    /// Which mailboxes.
    pub pattern: Filter,
    /// Whose: the name of an asterisk-publication, which exists.
    pub peer: String,
}

/// None: the section is skipped or wrong.
pub(crate) fn read(options: &mut Options<'_, '_>) -> Option<OutboundPublish> {
    let event = match event(options) {
        Event::Ours(event) => Some(event),
        Event::Other => return None,
        Event::Wrong => None,
    };
    let server_uri = options.uri("server_uri");
    match (
        &server_uri,
        options
            .last("server_uri")
            .filter(|entry| !entry.value.is_empty()),
    ) {
        (None, None) => options.missing("server_uri", "sip:instance1@192.0.2.1"),
        (Some(uri), Some(entry))
            if sip_uri(uri).is_ok_and(|uri| uri.user.is_none_or(str::is_empty)) =>
        {
            options.context.findings.warning(
                "uri-without-user",
                &entry.value_at,
                format!("{} names no resource: a peer answers 404", quote(uri)),
                Some("as in `sip:instance1@192.0.2.1`, where instance1 is the peer's inbound-publication".to_owned()),
            );
        }
        (Some(_) | None, Some(_)) | (Some(_), None) => {}
    }
    for (name, of) in [
        ("@device_state_filter", EventPackage::DeviceState),
        ("@mailbox_state_filter", EventPackage::Mwi),
    ] {
        if let (Some(event), Some(entry)) = (event, options.last(name))
            && event != of
            && !entry.value.is_empty()
        {
            let message = format!("`{name}` does nothing on event={}", event.as_str());
            options
                .context
                .findings
                .warning("filter-of-other-event", &entry.at, message, None);
        }
    }
    let publish = OutboundPublish {
        name: options.section.name.clone(),
        at: options.section.at.clone(),
        server_uri: server_uri.clone().unwrap_or_default(),
        from_uri: options.uri("from_uri"),
        to_uri: options.uri("to_uri"),
        at_from_uri: options.uri("@from_uri"),
        at_to_uri: options.uri("@to_uri"),
        event: event.unwrap_or(EventPackage::DeviceState),
        expiration: options.number("expiration", 1..=u32::MAX),
        max_auth_attempts: options.number("max_auth_attempts", 1..=u32::MAX),
        outbound_auth: options.references("outbound_auth", "auth", Some(Severity::Error)),
        outbound_proxy: options.uri("outbound_proxy"),
        transport: options.reference("transport", "transport"),
        device_state_filter: options.filter("@device_state_filter"),
        mailbox_state_filter: options.filter("@mailbox_state_filter"),
        lanes: options.number("@lanes", 1..=MAX_LANES),
        rate_limit: options.number("@rate_limit", 0..=1_000_000),
        resync: options.seconds("@resync", 0..=DAY),
        probe: options.seconds("@probe", 0..=DAY),
        qualify_frequency: options.seconds("@qualify_frequency", 0..=DAY),
        qualify_timeout: options.seconds("@qualify_timeout", 1..=32),
        canary: options.boolean("@canary"),
        mailbox_owner: mailbox_owner(options),
    };
    (event.is_some() && server_uri.is_some()).then_some(publish)
}

enum Event {
    Ours(EventPackage),
    /// Another package that Asterisk knows: the section is skipped.
    Other,
    Wrong,
}

fn event(options: &mut Options<'_, '_>) -> Event {
    let Some(entry) = options
        .last("event")
        .filter(|entry| !entry.value.is_empty())
    else {
        options.missing("event", "asterisk-devicestate");
        return Event::Wrong;
    };
    if let Some(event) = EventPackage::parse(&entry.value) {
        return Event::Ours(event);
    }
    if OTHER_EVENTS.contains(&entry.value.as_str()) {
        let why = format!("event {} is not of the exchange", quote(&entry.value));
        options.skip(&entry.value_at, &why);
        return Event::Other;
    }
    let ours = [
        EventPackage::DeviceState.as_str(),
        EventPackage::Mwi.as_str(),
    ];
    let near = crate::nearest::nearest(
        &entry.value,
        ours.into_iter().chain(OTHER_EVENTS.iter().copied()),
    );
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => one_of(&entry.value, &ours),
    };
    options.error(
        "unknown-event",
        entry,
        format!("unknown event {}", quote(&entry.value)),
        &help,
    );
    Event::Wrong
}

fn mailbox_owner(options: &mut Options<'_, '_>) -> Vec<MailboxOwner> {
    let mut owners = Vec::new();
    for entry in options.all("@mailbox_owner") {
        let Some((pattern, peer)) = entry.value.rsplit_once([' ', '\t']) else {
            options.bad_value(
                entry,
                "@mailbox_owner",
                "`PATTERN PEER`, as in `^100@ instance2`",
            );
            continue;
        };
        let pattern = pattern.trim_end();
        match Filter::parse(pattern) {
            Ok(parsed) => {
                options.refer(
                    "@mailbox_owner",
                    entry,
                    peer,
                    "asterisk-publication",
                    Severity::Error,
                    None,
                );
                owners.push(MailboxOwner {
                    pattern: parsed,
                    peer: peer.to_owned(),
                });
            }
            Err(error) => options.pattern_error(entry, "@mailbox_owner", pattern, &error),
        }
    }
    owners
}
