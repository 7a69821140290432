//! Peers that a new configuration would silence: a stock Asterisk that gets a 401 which it cannot answer says nothing more until it is restarted, so
//! whoever changes a configuration is told before he wonders.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lampwire_conf::{Auth, Config, Identifier, RequestFacts, Rule};
use lampwire_sip::{Message, Uri};

use super::{Node, ReloadWarning, is_named, next_hops};
use crate::compositor::{Publication, PublicationId};
use crate::directory::{Directory, Known};
use crate::limits;

/// By what the sender of each publication is known again.
#[derive(Debug, Default)]
pub(super) struct Senders(BTreeMap<PublicationId, Sender>);

#[derive(Debug)]
struct Sender {
    user: Option<Box<str>>,
    host: Box<str>,
    usernames: Vec<Box<str>>,
    uri: Box<str>,
}

impl Senders {
    /// A publication has ended.
    pub(super) fn forget(&mut self, id: PublicationId) {
        self.0.remove(&id);
    }
}

/// What becomes of a request like those that were taken.
enum Fate {
    Taken,
    /// It is challenged, and what it has answered with until now is no answer.
    Challenged(&'static str),
    /// It is nobody's.
    Unknown,
}

impl Node {
    /// A request of a publication was taken: what it can be known again by.
    pub(super) fn note_sender(&mut self, id: PublicationId, request: &Message<'_>, uri: &str) {
        if self.senders.0.contains_key(&id) {
            return;
        }
        let from = request.from().ok();
        let from = from.and_then(|from| Uri::parse(from.uri).ok());
        let user = from.as_ref().and_then(Uri::user_unescaped);
        let host = from.as_ref().map(|from| from.host.to_string());
        let credentials = request.credentials().flatten();
        let usernames = credentials.map(|it| it.username.into_owned().into_boxed_str());
        let sender = Sender {
            user: user.map(|user| user.into_owned().into_boxed_str()),
            host: host.unwrap_or_default().into_boxed_str(),
            usernames: usernames.take(limits::CREDENTIALS_OF_A_REQUEST).collect(),
            uri: uri.into(),
        };
        let names = sender.usernames.iter().map(|name| name.len());
        let user = sender.user.as_ref().map_or(0, |user| user.len());
        if user + sender.host.len() + sender.uri.len() + names.sum::<usize>()
            <= limits::SENDER_BYTES
        {
            self.senders.0.insert(id, sender);
        }
    }

    /// Which peers that publish here would be refused by another configuration.
    pub(super) fn silenced_by(&self, config: &Config) -> Vec<ReloadWarning> {
        let before = identifier(&self.config, &self.directory);
        let after = identifier(config, &self.directory);
        let mut warnings: Vec<ReloadWarning> = Vec::new();
        for (id, publication) in self.compositor.iter() {
            let warning = self.fate_of(config, (&before, &after), id, publication);
            // One publication of a peer's stands for all that meet with the same.
            if let Some(warning) = warning
                && !warnings.contains(&warning)
            {
                warnings.push(warning);
            }
        }
        warnings
    }

    fn fate_of(
        &self,
        config: &Config,
        (before, after): (&Identifier, &Identifier),
        id: PublicationId,
        publication: &Publication,
    ) -> Option<ReloadWarning> {
        let source = publication.remote.ip();
        let endpoint = &self.config.endpoints[publication.endpoint].name;
        let resource = &self.config.inbound_publications[publication.resource].name;
        let rule = &self.config.asterisk_publications[publication.rule].name;
        let find = |identifier: &Identifier| {
            let sender = self.senders.0.get(&id)?;
            let usernames: Vec<&str> = sender.usernames.iter().map(|it| &**it).collect();
            identifier.identify(&RequestFacts {
                source,
                from_user: sender.user.as_deref(),
                from_host: &sender.host,
                auth_usernames: &usernames,
                request_uri: &sender.uri,
                headers: &|_, _| {},
            })
        };
        let as_before = find(before) == Some(publication.endpoint);
        // Who was known by something that is not remembered (a header, a certificate) is taken to be known by it still.
        let found = match as_before {
            true => find(after),
            false => config.endpoints.iter().position(|it| it.name == *endpoint),
        };
        let fate = match found.map(|index| &config.endpoints[index]) {
            Some(found) if Rule::allows(&found.permit_deny, source) => {
                let were = auths(
                    &self.config,
                    &self.config.endpoints[publication.endpoint].auth,
                );
                let are = auths(config, &found.auth);
                if are.is_empty() {
                    Fate::Taken
                } else if were.is_empty() {
                    Fate::Challenged("it was not asked for credentials until now")
                } else if are.iter().any(|now| {
                    let mut were = were.iter();
                    were.any(|was| answers((was, &self.config), (now, config)))
                }) {
                    Fate::Taken
                } else {
                    Fate::Challenged("the credentials that it has are not those that are asked for")
                }
            }
            Some(_) | None => Fate::Unknown,
        };
        let peer = self.peers.of_asterisk_publication(rule);
        let lampwire = peer.is_some_and(|id| self.peers.get(id).life.is_some());
        let consequence = match lampwire {
            true => "it tries again at times, in vain until that is mended",
            false => "a stock Asterisk that cannot answer a 401 is silent until it is restarted",
        };
        let who = format!("peer {rule} (endpoint {endpoint}, from {source})");
        let (code, text) = match fate {
            Fate::Taken => return None,
            Fate::Challenged(why) => (
                "peer-silenced",
                format!(
                    "{who} will be answered 401 to what it publishes to {resource}: {why}; {consequence}"
                ),
            ),
            Fate::Unknown if self.is_a_peers(config, source) => (
                "peer-silenced",
                format!(
                    "{who} will be answered 403 to what it publishes to {resource}: no endpoint is found for it any more; its states are dropped"
                ),
            ),
            Fate::Unknown => (
                "peer-silenced",
                format!(
                    "{who} will be answered 401 to what it publishes to {resource}: no endpoint is found for it any more; {consequence}"
                ),
            ),
        };
        Some(ReloadWarning {
            code,
            peer: Some(rule.clone()),
            text,
        })
    }

    /// Whether an address is a configured peer's by another configuration.
    fn is_a_peers(&self, config: &Config, address: IpAddr) -> bool {
        is_named(config, address)
            || self.directory.has_address(address)
            || next_hops(config).contains(&address)
    }
}

/// Whose requests are whose by a configuration, with what is known of the names in it.
pub(super) fn identifier(config: &Config, directory: &Directory) -> Identifier {
    let mut identifier = Identifier::new(config);
    let names: Vec<String> = identifier.host_names().map(str::to_owned).collect();
    for name in names {
        if let Known::Yes(addresses) = directory.addresses(&name) {
            identifier.set_addresses(&name, addresses);
        }
    }
    identifier
}

fn auths<'a>(config: &'a Config, names: &[String]) -> Vec<&'a Auth> {
    let named = |name: &String| config.auths.iter().find(|auth| auth.name == *name);
    names.iter().filter_map(named).collect()
}

/// Whether who has answered the challenges of one auth section can answer those of another.
fn answers((was, old): (&Auth, &Config), (now, new): (&Auth, &Config)) -> bool {
    fn realm<'a>(auth: &'a Auth, config: &'a Config) -> &'a str {
        let own = auth.realm.as_deref().filter(|realm| !realm.is_empty());
        own.unwrap_or(&config.global.default_realm)
    }
    (&was.username, &was.secret) == (&now.username, &now.secret)
        && realm(was, old) == realm(now, new)
        // Which of them it answers with is not known.
        && was.algorithms_uas.iter().all(|it| now.algorithms_uas.contains(it))
}
