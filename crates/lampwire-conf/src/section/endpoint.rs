//! `type=endpoint`: a peer as we know it when it speaks to us.

use std::fmt;
use std::str::FromStr;

use lampwire_sip::EntityId;

use super::Options;
use super::global::{IDENTIFY_BY, IdentifyBy};
use crate::diagnostic::quote;
use crate::options::{OptionSpec, SectionSpec, acts, known, list, unset};
use crate::value::{self, Rule};
use crate::{Location, Severity};

const OPTIONS: &[OptionSpec] = &[
    list(
        "auth",
        "The auth sections with which this endpoint is challenged; none: it is not.",
    ).example("office-in"),
    acts(
        "identify_by",
        "username,ip",
        "The ways in which a request may be found to be this endpoint's: username, ip, auth_username, header, request_uri.",
    ).example("ip"),
    list(
        "outbound_auth",
        "The auth sections that answer this endpoint's challenges. Without effect: no request goes to an endpoint, and a publish has its own.",
    ).example("office-out"),
    unset(
        "outbound_proxy",
        "The URI of a proxy for requests to this endpoint. Without effect: no request goes to an endpoint, and a publish has its own.",
    ).example("sip:10.0.0.1\\;lr"),
    unset("transport", "The transport for requests to this endpoint. Without effect: no request goes to an endpoint, and a publish has its own.").example("udp"),
    unset(
        "from_domain",
        "The domain in From of requests to this endpoint. Without effect: no request goes to an endpoint, and a publish has its own.",
    ).example("example.com"),
    list(
        "acl",
        "The acl sections whose rules its addresses must pass.",
    ).example("inside"),
    list(
        "deny",
        "Networks it may not come from; the last line of permit and deny that fits an address decides.",
    ).example("0.0.0.0/0"),
    list(
        "permit",
        "Networks it may come from; the last line of permit and deny that fits an address decides.",
    ).example("10.0.0.0/8"),
    unset(
        "@entity_id",
        "The peer's own entity id; without it, it is learned.",
    ).example("02:00:00:00:00:02"),
    list(
        "@allowed_eids",
        "The entity ids this peer may speak for, `*` standing for any byte or any rest; without it, all.",
    ).example("02:00:00:00:00:*"),
    list(
        "@identify_by_certificate",
        "The TLS client certificate that identifies it: `subject:NAME` or `san:NAME`, one a line.",
    ).example("san:office.example.com"),
    acts(
        "@max_devices",
        "1000000",
        "The most devices that are kept of what it publishes, all its entity ids together; one more is answered 503.",
    ).example("2000"),
    acts(
        "@max_mailboxes",
        "100000",
        "The most mailboxes that are kept of what it publishes; one more is answered 503.",
    ).example("2000"),
    acts(
        "@request_rate",
        "0",
        "Requests a second that are answered at once; beyond it answers come later, and nothing is refused. 0: no bound.",
    ).example("500"),
    known("100rel"),
    known("tos_audio"),
    known("aggregate_mwi"),
    known("allow"),
    known("codec_prefs_incoming_offer"),
    known("codec_prefs_outgoing_offer"),
    known("codec_prefs_incoming_answer"),
    known("codec_prefs_outgoing_answer"),
    known("allow_overlap"),
    known("overlap_context"),
    known("aors"),
    known("callerid"),
    known("callerid_privacy"),
    known("callerid_tag"),
    known("context"),
    known("direct_media_glare_mitigation"),
    known("direct_media_method"),
    known("trust_connected_line"),
    known("send_connected_line"),
    known("connected_line_method"),
    known("direct_media"),
    known("disable_direct_media_on_nat"),
    known("disallow"),
    known("dtmf_mode"),
    known("media_address"),
    known("bind_rtp_to_media_address"),
    known("force_rport"),
    known("ice_support"),
    known("redirect_method"),
    known("follow_redirect_methods"),
    known("mailboxes"),
    known("mwi_subscribe_replaces_unsolicited"),
    known("voicemail_extension"),
    known("moh_suggest"),
    known("rewrite_contact"),
    known("rtp_ipv6"),
    known("rtp_symmetric"),
    known("send_diversion"),
    known("send_history_info"),
    known("send_pai"),
    known("send_rpid"),
    known("rpid_immediate"),
    known("tenantid"),
    known("timers_min_se"),
    known("timers"),
    known("timers_sess_expires"),
    known("trust_id_inbound"),
    known("trust_id_outbound"),
    known("use_ptime"),
    known("use_avpf"),
    known("force_avp"),
    known("media_use_received_transport"),
    known("media_encryption"),
    known("media_encryption_optimistic"),
    known("g726_non_standard"),
    known("inband_progress"),
    known("call_group"),
    known("pickup_group"),
    known("named_call_group"),
    known("named_pickup_group"),
    known("device_state_busy_at"),
    known("t38_udptl"),
    known("t38_udptl_ec"),
    known("t38_udptl_maxdatagram"),
    known("fax_detect"),
    known("fax_detect_timeout"),
    known("t38_udptl_nat"),
    known("t38_udptl_ipv6"),
    known("t38_bind_udptl_to_media_address"),
    known("tone_zone"),
    known("language"),
    known("one_touch_recording"),
    known("record_on_feature"),
    known("record_off_feature"),
    known("rtp_engine"),
    known("allow_transfer"),
    known("user_eq_phone"),
    known("moh_passthrough"),
    known("sdp_owner"),
    known("sdp_session"),
    known("tos_video"),
    known("cos_audio"),
    known("cos_video"),
    known("allow_subscribe"),
    known("sub_min_expiry"),
    known("from_user"),
    known("mwi_from_user"),
    known("dtls_verify"),
    known("dtls_rekey"),
    known("dtls_auto_generate_cert"),
    known("dtls_cert_file"),
    known("dtls_private_key"),
    known("dtls_cipher"),
    known("dtls_ca_file"),
    known("dtls_ca_path"),
    known("dtls_setup"),
    known("dtls_fingerprint"),
    known("srtp_tag_32"),
    known("set_var"),
    known("message_context"),
    known("accountcode"),
    known("preferred_codec_only"),
    known("incoming_call_offer_pref"),
    known("outgoing_call_offer_pref"),
    known("rtp_keepalive"),
    known("rtp_timeout"),
    known("rtp_timeout_hold"),
    known("rtp_port_start"),
    known("rtp_port_end"),
    known("contact_acl"),
    known("contact_deny"),
    known("contact_permit"),
    known("subscribe_context"),
    known("contact_user"),
    known("asymmetric_rtp_codec"),
    known("rtcp_mux"),
    known("refer_blind_progress"),
    known("notify_early_inuse_ringing"),
    known("max_audio_streams"),
    known("max_video_streams"),
    known("bundle"),
    known("webrtc"),
    known("incoming_mwi_mailbox"),
    known("follow_early_media_fork"),
    known("accept_multiple_sdp_answers"),
    known("suppress_q850_reason_headers"),
    known("ignore_183_without_sdp"),
    known("stir_shaken"),
    known("stir_shaken_profile"),
    known("allow_unauthenticated_options"),
    known("security_negotiation"),
    known("security_mechanisms"),
    known("geoloc_incoming_call_profile"),
    known("geoloc_outgoing_call_profile"),
    known("send_aoc"),
    known("suppress_moh_on_sendonly"),
];

pub(crate) const SPEC: SectionSpec = SectionSpec {
    name: "endpoint",
    doc: "A peer as we know it when it speaks to us.",
    options: OPTIONS,
    open_prefix: None,
    single: false,
};

/// A peer as we know it when it speaks to us.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// The section's name: what a peer's From user must be for `username`.
    pub name: String,
    /// Where it stands.
    pub at: Location,
    /// The auth sections that challenge it, all of which exist; empty: it is not challenged.
    pub auth: Vec<String>,
    /// The ways in which a request may be found to be its.
    pub identify_by: Vec<IdentifyBy>,
    /// The auth sections that answer its challenges.
    pub outbound_auth: Vec<String>,
    /// A valid sip: or sips: URI.
    pub outbound_proxy: Option<String>,
    /// The transport for requests to it.
    pub transport: Option<String>,
    /// The domain in From of requests to it.
    pub from_domain: Option<String>,
    /// The acl sections whose rules its addresses must pass.
    pub acl: Vec<String>,
    /// Its own rules in the order of the file.
    pub permit_deny: Vec<Rule>,
    /// The peer's own entity id.
    pub entity_id: Option<EntityId>,
    /// The entity ids it may speak for; empty: all.
    pub allowed_eids: Vec<EidPattern>,
    /// The TLS client certificates that identify it.
    pub identify_by_certificate: Vec<CertificateName>,
    /// The most devices that are kept of what it publishes, 1 to 2,000,000.
    pub max_devices: u32,
    /// The most mailboxes that are kept of what it publishes, 1 to 2,000,000.
    pub max_mailboxes: u32,
    /// Requests a second that are answered at once, at most a million; 0: no bound.
    pub request_rate: u32,
}

/// Entity ids by their bytes, any of which may be open: `02:00:00:00:00:*`, `02:*` (any rest), `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EidPattern([Option<u8>; 6]);

/// The text is no entity id, nor one with `*` for bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no entity id, nor one with `*` for bytes of it")]
pub struct EidPatternError;

impl EidPattern {
    /// Whether the entity id is one of them.
    ///
    /// ```
    /// use lampwire_conf::EidPattern;
    ///
    /// let pattern: EidPattern = "02:00:*".parse()?;
    /// assert!(pattern.matches("02:00:00:00:00:07".parse()?));
    /// assert!(!pattern.matches("04:00:00:00:00:07".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn matches(&self, eid: EntityId) -> bool {
        self.0
            .iter()
            .zip(eid.as_bytes())
            .all(|(wanted, byte)| wanted.is_none_or(|wanted| wanted == byte))
    }
}

impl FromStr for EidPattern {
    type Err = EidPatternError;

    fn from_str(text: &str) -> Result<Self, EidPatternError> {
        let mut pattern = [None; 6];
        let mut count = 0;
        let mut open = false;
        for part in text.split(':') {
            let place = pattern.get_mut(count).ok_or(EidPatternError)?;
            open = part == "*";
            if !open {
                if part.is_empty()
                    || part.len() > 2
                    || !part.bytes().all(|byte| byte.is_ascii_hexdigit())
                {
                    return Err(EidPatternError);
                }
                *place = Some(u8::from_str_radix(part, 16).map_err(|_| EidPatternError)?);
            }
            count += 1;
        }
        if count < 6 && !open {
            Err(EidPatternError)
        } else {
            Ok(Self(pattern))
        }
    }
}

impl fmt::Display for EidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(":")?;
            }
            match byte {
                Some(byte) => write!(f, "{byte:02x}")?,
                None => f.write_str("*")?,
            }
        }
        Ok(())
    }
}

/// A name in a TLS client certificate that has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// The common name of its subject.
    Subject(String),
    /// One of its subject alternative names.
    San(String),
}

pub(crate) fn read(options: &mut Options<'_, '_>) -> Endpoint {
    let entity_id = options
        .last("@entity_id")
        .filter(|entry| !entry.value.is_empty())
        .and_then(|entry| {
            let parsed = entry.value.parse().ok();
            if parsed.is_none() {
                options.bad_value(
                    entry,
                    "@entity_id",
                    "six bytes in hex, as in 02:00:00:00:00:01",
                );
            }
            parsed
        });
    let mut allowed_eids = Vec::new();
    for entry in options.all("@allowed_eids") {
        for item in value::items(&entry.value) {
            match item.parse() {
                Ok(pattern) => allowed_eids.push(pattern),
                Err(why) => {
                    let message = format!("{} in `@allowed_eids` is {why}", quote(item));
                    options.error_at(
                        "bad-value",
                        entry,
                        item,
                        message,
                        "as in 02:00:00:00:00:01 or 02:00:00:*",
                    );
                }
            }
        }
    }
    let mut identify_by_certificate = Vec::new();
    for entry in options.all("@identify_by_certificate") {
        match entry
            .value
            .split_once(':')
            .map(|(kind, name)| (kind.trim(), name.trim()))
        {
            Some((kind, name)) if kind.eq_ignore_ascii_case("subject") && !name.is_empty() => {
                identify_by_certificate.push(CertificateName::Subject(name.to_owned()));
            }
            Some((kind, name)) if kind.eq_ignore_ascii_case("san") && !name.is_empty() => {
                identify_by_certificate.push(CertificateName::San(name.to_owned()));
            }
            Some(_) | None => options.bad_value(
                entry,
                "@identify_by_certificate",
                "`subject:NAME` or `san:NAME`",
            ),
        }
    }
    Endpoint {
        name: options.section.name.clone(),
        at: options.section.at.clone(),
        auth: options.references("auth", "auth", Some(Severity::Error)),
        identify_by: options
            .words("identify_by", &IDENTIFY_BY)
            .unwrap_or_else(|| vec![IdentifyBy::Username, IdentifyBy::Ip]),
        // Calls use it, the exchange does not: an auth that is none of ours (OAuth) is no harm here.
        outbound_auth: options.references("outbound_auth", "auth", None),
        outbound_proxy: options.uri("outbound_proxy"),
        transport: transport(options),
        from_domain: options.text("from_domain"),
        acl: options.references("acl", "acl", Some(Severity::Error)),
        permit_deny: options.rules(),
        entity_id,
        allowed_eids,
        identify_by_certificate,
        max_devices: options.number("@max_devices", 1..=2_000_000),
        max_mailboxes: options.number("@max_mailboxes", 1..=2_000_000),
        request_rate: options.number("@request_rate", 0..=1_000_000),
    }
}

/// A telephone in a browser names a transport of WebSockets: that is skipped, and no error.
fn transport(options: &mut Options<'_, '_>) -> Option<String> {
    let entry = options
        .last("transport")
        .filter(|entry| !entry.value.is_empty())?;
    options.refer(
        "transport",
        entry,
        &entry.value,
        "transport",
        Severity::Error,
        None,
    );
    Some(entry.value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eid_patterns() {
        for (text, shown) in [
            ("*", Some("*:*:*:*:*:*")),
            ("02:*", Some("02:*:*:*:*:*")),
            ("02:0:A:*:00:1", Some("02:00:0a:*:00:01")),
            ("02:00:00:00:00:01", Some("02:00:00:00:00:01")),
            ("02:00:00:00:00", None),
            ("02:00:00:00:00:00:00", None),
            ("02:00:00:00:00:*:*", None),
            ("02:+1:*", None),
            ("", None),
            ("02*", None),
        ] {
            assert_eq!(
                text.parse::<EidPattern>()
                    .ok()
                    .map(|p| p.to_string())
                    .as_deref(),
                shown,
                "{text}"
            );
        }
    }
}
