//! `type=global`: what holds for all endpoints.

use std::time::Duration;

use lampwire_sip::Algorithm;

use super::Options;
use crate::Location;
use crate::options::{OptionSpec, SectionSpec, acts, known, unset};

const OPTIONS: &[OptionSpec] = &[
    acts(
        "ignore_uri_user_options",
        "no",
        "Whether what follows a `;` in the user part of a URI is left out when users are compared.",
    ).example("yes"),
    acts("max_forwards", "70", "Max-Forwards of requests we send.").example("20"),
    acts(
        "keep_alive_interval",
        "90",
        "Seconds between keep-alives on connections; 0: none.",
    ).example("30"),
    acts(
        "unidentified_request_period",
        "5",
        "Seconds over which unidentified requests of one address are counted.",
    ).example("10"),
    acts(
        "unidentified_request_count",
        "5",
        "How many unidentified requests of one address in that time are too many.",
    ).example("20"),
    acts(
        "unidentified_request_prune_interval",
        "30",
        "Seconds between rounds that forget addresses that have been quiet.",
    ).example("60"),
    unset(
        "user_agent",
        "User-Agent of requests and Server of answers.",
    ).example("PBX"),
    acts(
        "endpoint_identifier_order",
        "ip,username,anonymous",
        "The ways in which the endpoint of a request is sought, in order: ip, username, auth_username, header, request_uri, anonymous.",
    ).example("ip,username"),
    acts(
        "default_realm",
        "asterisk",
        "Realm of challenges where the auth section has none.",
    ).example("pbx.example.com"),
    acts(
        "default_auth_algorithms_uas",
        "MD5",
        "Digest algorithms we challenge with where the auth section names none.",
    ).example("SHA-256,MD5"),
    acts(
        "default_auth_algorithms_uac",
        "MD5",
        "Digest algorithms we answer with where the auth section names none.",
    ).example("SHA-256,MD5"),
    known("contact_expiration_check_interval"),
    known("disable_multi_domain"),
    known("max_initial_qualify_time"),
    known("regcontext"),
    known("default_outbound_endpoint"),
    known("default_voicemail_extension"),
    known("debug"),
    known("default_from_user"),
    known("mwi_tps_queue_high"),
    known("mwi_tps_queue_low"),
    known("mwi_disable_initial_unsolicited"),
    known("use_callerid_contact"),
    known("send_contact_status_on_update_registration"),
    known("taskprocessor_overload_trigger"),
    known("norefersub"),
    known("allow_sending_180_after_183"),
    known("all_codecs_on_empty_reinvite"),
];

pub(crate) const SPEC: SectionSpec = SectionSpec {
    name: "global",
    doc: "What holds for all endpoints.",
    options: OPTIONS,
    open_prefix: None,
    single: true,
};

/// A way in which the endpoint of a request is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdentifyBy {
    /// By the address it comes from, through `type=identify`.
    Ip,
    /// By the user of its From header.
    Username,
    /// By the user name of its credentials.
    AuthUsername,
    /// By a header, through `type=identify`.
    Header,
    /// By its Request-URI, through `type=identify`.
    RequestUri,
    /// The endpoint named `anonymous`, for what nobody else is.
    Anonymous,
}

impl IdentifyBy {
    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Username => "username",
            Self::AuthUsername => "auth_username",
            Self::Header => "header",
            Self::RequestUri => "request_uri",
            Self::Anonymous => "anonymous",
        }
    }
}

/// The ways of identification by name.
pub(crate) const IDENTIFY_BY: [(&str, IdentifyBy); 6] = [
    ("ip", IdentifyBy::Ip),
    ("username", IdentifyBy::Username),
    ("auth_username", IdentifyBy::AuthUsername),
    ("header", IdentifyBy::Header),
    ("request_uri", IdentifyBy::RequestUri),
    ("anonymous", IdentifyBy::Anonymous),
];

/// What holds for all endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Global {
    /// Where the section stands; None: there is none, all is default.
    pub at: Option<Location>,
    /// User-Agent and Server; None: the program's own name and version.
    pub user_agent: Option<String>,
    /// Max-Forwards of requests, 1 to 255.
    pub max_forwards: u8,
    /// The ways of identification in order, each once.
    pub endpoint_identifier_order: Vec<IdentifyBy>,
    /// Realm of challenges where the auth section has none.
    pub default_realm: String,
    /// Algorithms we challenge with, in order of preference, where the auth section names none.
    pub default_auth_algorithms_uas: Vec<Algorithm>,
    /// Algorithms we answer with where the auth section names none.
    pub default_auth_algorithms_uac: Vec<Algorithm>,
    /// What follows a `;` in the user part of a URI is left out when users are compared.
    pub ignore_uri_user_options: bool,
    /// Between keep-alives on connections; zero: none. At most a day.
    pub keep_alive_interval: Duration,
    /// The time over which unidentified requests of one address are counted, 1 s to a day.
    pub unidentified_request_period: Duration,
    /// How many of them are too many; 0: the count is off.
    pub unidentified_request_count: u32,
    /// Between rounds that forget quiet addresses, 1 s to a day.
    pub unidentified_request_prune_interval: Duration,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            at: None,
            user_agent: None,
            max_forwards: 70,
            endpoint_identifier_order: vec![
                IdentifyBy::Ip,
                IdentifyBy::Username,
                IdentifyBy::Anonymous,
            ],
            default_realm: "asterisk".to_owned(),
            default_auth_algorithms_uas: vec![Algorithm::Md5],
            default_auth_algorithms_uac: vec![Algorithm::Md5],
            ignore_uri_user_options: false,
            keep_alive_interval: Duration::from_secs(90),
            unidentified_request_period: Duration::from_secs(5),
            unidentified_request_count: 5,
            unidentified_request_prune_interval: Duration::from_secs(30),
        }
    }
}

/// A day in seconds: beyond it an interval is a slip of the hand.
const DAY: u32 = 24 * 60 * 60;

pub(crate) fn read(options: &mut Options<'_, '_>) -> Global {
    let default = Global::default();
    Global {
        at: Some(options.section.at.clone()),
        user_agent: options.text("user_agent"),
        max_forwards: options.number("max_forwards", 1..=255),
        endpoint_identifier_order: options
            .words("endpoint_identifier_order", &IDENTIFY_BY)
            .unwrap_or(default.endpoint_identifier_order),
        default_realm: options
            .text("default_realm")
            .unwrap_or(default.default_realm),
        default_auth_algorithms_uas: options
            .algorithms("default_auth_algorithms_uas")
            .unwrap_or(default.default_auth_algorithms_uas),
        default_auth_algorithms_uac: options
            .algorithms("default_auth_algorithms_uac")
            .unwrap_or(default.default_auth_algorithms_uac),
        ignore_uri_user_options: options.boolean("ignore_uri_user_options"),
        keep_alive_interval: options.seconds("keep_alive_interval", 0..=DAY),
        unidentified_request_period: options.seconds("unidentified_request_period", 1..=DAY),
        unidentified_request_count: options.number("unidentified_request_count", 0..=1_000_000),
        unidentified_request_prune_interval: options
            .seconds("unidentified_request_prune_interval", 1..=DAY),
    }
}
