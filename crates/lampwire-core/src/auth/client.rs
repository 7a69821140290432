//! Answers to the challenges of a peer.

use lampwire_conf::{Auth, Config};
use lampwire_sip::{
    Algorithm, Credentials, DigestRequest, HeaderName, HexDigest, Message, Qop, response,
};

use super::ha1_of;
use crate::random::Random;

/// The credentials of one publisher, and the challenge that it answers at the moment.
#[derive(Debug)]
pub(crate) struct ClientAuth {
    auths: Vec<Auth>,
    session: Option<Session>,
    /// Nonces in a row that the peer did not take a second time. A stock Asterisk challenges each request anew, so sending credentials
    /// unasked would only make them longer.
    refused_reuse: u32,
}

/// A challenge that can be answered (RFC 7616 3.3).
struct Session {
    username: String,
    algorithm: Algorithm,
    ha1: HexDigest,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    qop: Option<Qop>,
    /// How often the nonce has been used.
    nc: u32,
    proxy: bool,
}

/// Whether a challenge can be answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The next request carries credentials. `stale`: the last ones were right but for the nonce's age.
    Ready { stale: bool },
    /// Nothing that we have fits; what the operator is told.
    Impossible(String),
}

impl ClientAuth {
    pub(crate) fn new(config: &Config, names: &[String]) -> Self {
        Self {
            auths: auths(config, names),
            session: None,
            refused_reuse: 0,
        }
    }

    /// Goes on with the auth sections of another configuration. Tells whether they say the same, so that what was learned of the peer's challenge
    /// still serves.
    pub(crate) fn renew(&mut self, config: &Config, names: &[String]) -> bool {
        let before = std::mem::replace(&mut self.auths, auths(config, names));
        let like = |(one, other): (&Auth, &Auth)| {
            (&one.username, &one.secret, &one.realm, &one.algorithms_uac)
                == (
                    &other.username,
                    &other.secret,
                    &other.realm,
                    &other.algorithms_uac,
                )
        };
        let same = before.len() == self.auths.len() && before.iter().zip(&self.auths).all(like);
        if !same {
            (self.session, self.refused_reuse) = (None, 0);
        }
        same
    }

    /// Takes a 401 or 407: of several challenges the topmost that an auth section can answer (RFC 8760 2.4). `answered`: the request
    /// carried credentials.
    pub(crate) fn take_challenge(&mut self, response: &Message<'_>, answered: bool) -> Answered {
        if self.auths.is_empty() {
            return Answered::Impossible(
                "it asks for credentials, and the publish has no outbound_auth".to_owned(),
            );
        }
        let reused = answered && self.session.as_ref().is_some_and(|session| session.nc > 1);
        if reused {
            self.refused_reuse = self.refused_reuse.saturating_add(1);
        }
        let mut offered = Vec::new();
        for challenge in response.challenges().flatten() {
            let Some(algorithm) = challenge.algorithm else {
                continue;
            };
            offered.push(format!(
                "{} in realm {:?}",
                algorithm.as_str(),
                challenge.realm
            ));
            let fits = |auth: &&Auth| {
                auth.algorithms_uac.contains(&algorithm.base())
                    && auth
                        .realm
                        .as_deref()
                        .is_none_or(|realm| realm.is_empty() || realm == challenge.realm)
            };
            let Some((auth, ha1)) = self
                .auths
                .iter()
                .filter(fits)
                .find_map(|auth| Some((auth, ha1_of(auth, algorithm, &challenge.realm)?)))
            else {
                continue;
            };
            let stale = challenge.stale || reused;
            self.session = Some(Session {
                username: auth.username.clone(),
                algorithm,
                ha1,
                realm: challenge.realm.into_owned(),
                nonce: challenge.nonce.into_owned(),
                opaque: challenge.opaque.map(std::borrow::Cow::into_owned),
                qop: if challenge.qop.auth {
                    Some(Qop::Auth)
                } else if challenge.qop.auth_int {
                    Some(Qop::AuthInt)
                } else {
                    None
                },
                nc: 0,
                proxy: challenge.proxy,
            });
            return Answered::Ready { stale };
        }
        Answered::Impossible(format!(
            "it asks for credentials that outbound_auth does not have ({})",
            if offered.is_empty() {
                "no digest challenge that is understood".to_owned()
            } else {
                offered.join(", ")
            }
        ))
    }

    /// What was learned of the peer's challenge is forgotten.
    pub(crate) fn forget(&mut self) {
        self.session = None;
    }

    /// The header for a request, while there is a challenge to answer: the first use of a nonce, and more where the peer takes that.
    pub(crate) fn credentials(
        &mut self,
        method: &str,
        uri: &str,
        body: &[u8],
        random: &mut Random,
    ) -> Option<(HeaderName, Credentials<'static>)> {
        let session = self.session.as_mut()?;
        if session.nc > 0 && self.refused_reuse >= REUSE_TRIES {
            return None;
        }
        session.nc = session.nc.checked_add(1)?;
        let cnonce = format!("{:016x}", random.next_u64());
        let needs_cnonce = session.qop.is_some() || session.algorithm != session.algorithm.base();
        let cnonce = needs_cnonce.then_some(cnonce);
        let digest = response(
            session.algorithm,
            &session.ha1,
            &DigestRequest {
                method,
                uri,
                nonce: &session.nonce,
                body,
                qop: session
                    .qop
                    .zip(cnonce.as_deref())
                    .map(|(qop, cnonce)| (qop, session.nc, cnonce)),
                cnonce_for_sess: cnonce.as_deref(),
            },
        );
        let name = if session.proxy {
            HeaderName::ProxyAuthorization
        } else {
            HeaderName::Authorization
        };
        let credentials = Credentials {
            username: session.username.clone().into(),
            realm: session.realm.clone().into(),
            nonce: session.nonce.clone().into(),
            uri: uri.to_owned().into(),
            response: digest,
            algorithm: session.algorithm,
            cnonce: cnonce.map(Into::into),
            nc: session.qop.map(|_| session.nc),
            qop: session.qop,
            opaque: session.opaque.clone().map(Into::into),
            userhash: false,
            proxy: session.proxy,
        };
        Some((name, credentials))
    }

    /// The peer has taken a request with a nonce that it had seen before.
    pub(crate) fn accepted(&mut self) {
        if self.session.as_ref().is_some_and(|session| session.nc > 1) {
            self.refused_reuse = 0;
        }
    }
}

fn auths(config: &Config, names: &[String]) -> Vec<Auth> {
    let named = |name: &String| config.auths.iter().find(|auth| auth.name == *name);
    names.iter().filter_map(named).cloned().collect()
}

/// How often in a row a second use of a nonce is tried before it is believed that the peer takes none.
const REUSE_TRIES: u32 = 3;

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}
