//! What holds of those who tell states other than by PUBLISH.

use std::collections::HashMap;

use lampwire_sip::EntityId;

use crate::config::Config;
use crate::diagnostic::{Findings, quote};
use crate::section::ami::Ami;
use crate::section::sip_uri;

/// The manager interface shows the sum of a device's states, and never who said what. So nobody else may put states into that Asterisk
/// under names that are read there.
pub(super) fn amis(config: &Config, findings: &mut Findings) {
    let mut first: HashMap<(String, u16), &Ami> = HashMap::new();
    for ami in &config.amis {
        let name = quote(&ami.name);
        let host = ami.host.to_ascii_lowercase();
        if let Some(other) = first.insert((host.clone(), ami.port), ami) {
            let message = format!("{name} and {} are the same Asterisk", quote(&other.name));
            let help = "each would read what the other puts in";
            findings.error_with_help("ami-twice", &ami.at, message, help);
        }
        let published = config.outbound_publishes.iter().find(|publish| {
            sip_uri(&publish.server_uri).is_ok_and(|uri| {
                uri.host
                    .to_string()
                    .trim_matches(['[', ']'])
                    .eq_ignore_ascii_case(&host)
            })
        });
        if let Some(publish) = published {
            let message = format!(
                "the Asterisk of {name} is told states by publish {} as well",
                quote(&publish.name)
            );
            let help = "its manager interface would show them as its own: remove one of the two";
            findings.error_with_help("ami-and-publish", &ami.at, message, help);
        }
        if !ami.sink {
            continue;
        }
        let prefix = ami.sink_prefix();
        if ami
            .device_state_filter
            .as_ref()
            .is_none_or(|filter| filter.may_match_after(&prefix))
        {
            let message = format!("{name} would read the devices {prefix}* that it writes itself");
            let help =
                "give it a `device_state_filter` that lets none of them through, as in `^PJSIP/`";
            findings.error_with_help("ami-echo", &ami.at, message, help);
        }
        if ami.mailbox_state_filter.is_none() {
            let message = format!("{name} puts no mailbox into its Asterisk: it reads all of them");
            let help = "`mailbox_state_filter` says which are read; the others are put in";
            findings.warning("ami-no-mailbox", &ami.at, message, Some(help.to_owned()));
        }
    }
    let named = config
        .amis
        .iter()
        .filter_map(|ami| Some((ami.eid?, format!("`eid` of {}", quote(&ami.name)), &ami.at)));
    let mut speakers: HashMap<EntityId, String> = HashMap::new();
    if let Some(own) = config.lampwire.entity_id {
        speakers.insert(own, "our own `entity_id`".to_owned());
    }
    for endpoint in &config.endpoints {
        if let Some(eid) = endpoint.entity_id {
            let whose = format!("`@entity_id` of endpoint {}", quote(&endpoint.name));
            speakers.insert(eid, whose);
        }
    }
    for (eid, whose, at) in named {
        if let Some(other) = speakers.insert(eid, whose.clone()) {
            let message = format!("{whose} is {eid}, as is {other}");
            let help = "no two nodes may have the same";
            findings.error_with_help("same-entity-id", at, message, help);
        }
    }
}

/// A token is one client's, and an entity id of a client's is no other node's.
pub(super) fn api_clients(config: &Config, findings: &mut Findings) {
    for (index, client) in config.api_clients.iter().enumerate() {
        let name = quote(&client.name);
        let same = |token: &crate::Secret| token.expose() == client.token.expose();
        let others = config.api_clients[..index]
            .iter()
            .find(|other| same(&other.token))
            .map(|other| quote(&other.name));
        let nodes = config
            .lampwire
            .http_token
            .as_ref()
            .filter(|token| same(token));
        if let Some(other) = others.or(nodes.map(|_| "`http_token`".to_owned())) {
            let message = format!("{name} has the token of {other}");
            let help = "nobody could tell the two apart";
            findings.error_with_help("same-token", &client.at, message, help);
        }
        let Some(eid) = client.eid else { continue };
        let endpoint = config
            .endpoints
            .iter()
            .find(|endpoint| endpoint.entity_id == Some(eid))
            .map(|endpoint| format!("endpoint {}", quote(&endpoint.name)));
        let ami = config.amis.iter().find(|ami| ami.eid == Some(eid));
        let ami = ami.map(|ami| quote(&ami.name));
        if let Some(other) = endpoint.or(ami) {
            let message = format!("`eid` of {name} is {eid}, as is that of {other}");
            let help = "no two nodes may have the same";
            findings.error_with_help("same-entity-id", &client.at, message, help);
        }
    }
    if let Some(client) = config.api_clients.first()
        && config.lampwire.http_token.is_none()
    {
        let message = format!(
            "{} is bound to its names, and whoever sends no token is not",
            quote(&client.name)
        );
        let help = Some("set `http_token`".to_owned());
        findings.warning("api-client-open", &client.at, message, help);
    }
}
