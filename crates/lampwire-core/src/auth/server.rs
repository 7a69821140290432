//! Challenges that nobody can forge, and credentials that are verified without a table of nonces given.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::Hasher;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use lampwire_conf::{Auth, Config, QualityOfProtection};
use lampwire_sip::{
    Algorithm, Credentials, DigestRequest, HeaderName, HexDigest, Message, Qop, Writer, response,
};
use sha2::Sha256;
use siphasher::sip::SipHasher13;
use subtle::ConstantTimeEq;

use super::ha1_of;
use super::nonces::{NonceId, Nonces};
use crate::hex::bytes_of;
use crate::limits;
use crate::time::Time;
use crate::transaction::server::TransactionKey;

/// The judge over credentials.
pub(crate) struct Authenticator {
    /// Ready to seal nonces, with the key of this life.
    mac: Hmac<Sha256>,
    /// Says which guise a user gets, in every life the same.
    guise_key: [u8; 16],
    /// Challenges made: no two nonces are the same, even within a microsecond.
    made: u32,
    nonces: Nonces,
    /// The longest life of any nonce.
    longest: Duration,
    /// The auth sections of each endpoint, by their place.
    of_endpoint: Vec<Vec<usize>>,
    /// The endpoints whose challenges differ from each other.
    guises: Vec<usize>,
    /// H(A1) of each auth section's password, for each algorithm that it offers.
    secrets: Vec<Vec<(Algorithm, HexDigest)>>,
}

/// What is found of a request's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Those of one of the endpoint's auth sections.
    Right(Use),
    /// Right, but for a nonce that is too old or of another life of this node (RFC 7616 3.3: stale).
    Stale,
    /// None, or none for our realm.
    Missing,
    /// Wrong, and why.
    Wrong(&'static str),
}

/// A count of a nonce that right credentials have used; `None` without quality of protection, which has no count.
pub(crate) type Use = Option<(NonceId, u32)>;

/// A request as credentials see it.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) request: &'a Message<'a>,
    pub(crate) method: &'a str,
    pub(crate) uri: &'a str,
}

impl Authenticator {
    /// `nonce_key` is of this life alone: the counts of nonces that were used are not known in another. `guise_key` may be kept.
    pub(crate) fn new(nonce_key: [u8; 32], guise_key: [u8; 16], config: &Config) -> Self {
        let mut made = Self {
            mac: Hmac::new_from_slice(&nonce_key)
                .expect("HMAC takes a key of any length (RFC 2104)"),
            guise_key,
            made: 0,
            nonces: Nonces::default(),
            longest: Duration::ZERO,
            of_endpoint: Vec::new(),
            guises: Vec::new(),
            secrets: Vec::new(),
        };
        made.renew(config);
        made
    }

    /// From now on by the auth sections of another configuration. Nonces that were given stay good.
    pub(crate) fn renew(&mut self, config: &Config) {
        let sections_of = |endpoint: &lampwire_conf::Endpoint| -> Vec<usize> {
            let position = |name: &String| config.auths.iter().position(|it| it.name == *name);
            endpoint.auth.iter().filter_map(position).collect()
        };
        self.of_endpoint = config.endpoints.iter().map(sections_of).collect();
        let mut seen = BTreeSet::new();
        self.guises.clear();
        for (endpoint, sections) in self.of_endpoint.iter().enumerate() {
            let shown: Vec<String> = sections
                .iter()
                .flat_map(|index| offers(config, &config.auths[*index]))
                .map(|offer| format!("{offer:?}"))
                .collect();
            if !shown.is_empty() && seen.insert(shown) {
                self.guises.push(endpoint);
            }
        }
        let secrets_of = |auth: &Auth| {
            let realm = realm_of(config, auth);
            let offered = auth.algorithms_uas.iter();
            offered
                .filter_map(|it| Some((*it, ha1_of(auth, *it, realm)?)))
                .collect()
        };
        self.secrets = config.auths.iter().map(secrets_of).collect();
        let lifetimes = config.auths.iter().map(|auth| auth.nonce_lifetime);
        self.longest = lifetimes.max().unwrap_or_default();
    }

    /// The auth sections by which a request is challenged that is no endpoint's: those of some endpoint, the same ones for the same user.
    /// So nobody can tell from the answer which endpoints there are. Nothing it could be answered with is taken.
    pub(crate) fn guise(&self, from_user: &str) -> &[usize] {
        if self.guises.is_empty() {
            return &[];
        }
        let mut hasher = SipHasher13::new_with_key(&self.guise_key);
        hasher.write(from_user.as_bytes());
        let count = self.guises.len() as u64;
        let index = usize::try_from(hasher.finish() % count).expect("below a length");
        self.auths_of(self.guises[index])
    }

    /// The auth sections of an endpoint, by their place.
    pub(crate) fn auths_of(&self, endpoint: usize) -> &[usize] {
        &self.of_endpoint[endpoint]
    }

    /// The number of a challenge that is to be made.
    pub(crate) fn number(&mut self) -> u32 {
        self.made = self.made.wrapping_add(1);
        self.made
    }

    /// Writes one WWW-Authenticate for each realm and algorithm of `auths`, in the configured order. Without any, one for the default
    /// realm that nobody can answer.
    pub(crate) fn challenge(
        &self,
        writer: &mut Writer<'_>,
        now: Time,
        config: &Config,
        auths: &[usize],
        number: u32,
        stale: bool,
    ) {
        let defaults = config.global.default_auth_algorithms_uas.iter();
        let defaults = defaults.map(|algorithm| Offer {
            realm: &config.global.default_realm,
            algorithm: *algorithm,
            qop: "auth",
        });
        let offered: Vec<Offer<'_>> = match auths {
            [] => defaults.collect(),
            auths => auths
                .iter()
                .flat_map(|index| offers(config, &config.auths[*index]))
                .collect(),
        };
        for Offer {
            realm,
            algorithm,
            qop,
        } in offered
        {
            let nonce = self.nonce(now, number, realm);
            let opaque = opaque_of(&nonce);
            let qop = match qop {
                "" => String::new(),
                qop => format!(",qop=\"{qop}\""),
            };
            let stale = if stale { ",stale=true" } else { "" };
            writer.header(
                HeaderName::WwwAuthenticate,
                format_args!(
                    "Digest realm=\"{}\",nonce=\"{nonce}\",opaque=\"{opaque}\",algorithm={}{qop}{stale}",
                    Quoted(realm),
                    algorithm.as_str()
                ),
            );
        }
    }

    /// Judges the credentials of a request by the endpoint's auth sections. One right set is enough.
    pub(crate) fn verify(
        &self,
        now: Time,
        config: &Config,
        auths: &[usize],
        claim: Claim<'_>,
    ) -> Verdict {
        let mut verdict = Verdict::Missing;
        for credentials in claim
            .request
            .credentials()
            .take(limits::CREDENTIALS_OF_A_REQUEST)
        {
            let Ok(credentials) = credentials else {
                verdict = Verdict::Wrong("malformed Authorization");
                continue;
            };
            for index in auths {
                let (auth, secrets) = (&config.auths[*index], &self.secrets[*index]);
                if credentials.realm != realm_of(config, auth) {
                    continue;
                }
                match self.verify_one(now, auth, secrets, &credentials, claim) {
                    verdict @ (Verdict::Right(_) | Verdict::Stale) => return verdict,
                    other => verdict = other,
                }
            }
        }
        verdict
    }

    /// Uses the count that right credentials came with; false: it has been used by another request.
    pub(crate) fn take(&mut self, now: Time, used: Use, by: Option<TransactionKey>) -> bool {
        let oldest_good = Time::from_micros(
            now.as_micros()
                .saturating_sub(u64::try_from(self.longest.as_micros()).unwrap_or(u64::MAX)),
        );
        used.is_none_or(|(nonce, count)| self.nonces.take(nonce, count, by, oldest_good))
    }

    /// What depends on secrets (whether the user is right, and the digest) is reckoned in every case, and told only at the end.
    fn verify_one(
        &self,
        now: Time,
        auth: &Auth,
        secrets: &[(Algorithm, HexDigest)],
        credentials: &Credentials<'_>,
        claim: Claim<'_>,
    ) -> Verdict {
        if credentials.userhash {
            return Verdict::Wrong("userhash is not supported");
        }
        if !auth.algorithms_uas.contains(&credentials.algorithm.base()) {
            return Verdict::Wrong("an algorithm that was not offered");
        }
        if credentials.uri != claim.uri {
            return Verdict::Wrong("credentials for another request-URI");
        }
        let opaque = credentials.opaque.as_deref();
        if opaque.is_some_and(|opaque| opaque != opaque_of(&credentials.nonce)) {
            return Verdict::Wrong("another opaque than was given");
        }
        let algorithm = credentials.algorithm.base();
        let Some((_, ha1)) = secrets.iter().find(|(known, _)| *known == algorithm) else {
            return Verdict::Wrong("no digest of that algorithm is configured");
        };
        let (nc, cnonce) = (credentials.nc, credentials.cnonce.as_deref());
        let (quality, qop) = match (credentials.qop, nc, cnonce) {
            (Some(Qop::Auth), Some(nc), Some(cnonce)) => {
                (QualityOfProtection::Auth, Some((Qop::Auth, nc, cnonce)))
            }
            (Some(Qop::AuthInt), Some(nc), Some(cnonce)) => (
                QualityOfProtection::AuthInt,
                Some((Qop::AuthInt, nc, cnonce)),
            ),
            (None, _, _) => (QualityOfProtection::None, None),
            (Some(_), _, _) => return Verdict::Wrong("qop without nc or cnonce"),
        };
        if !auth.qop.contains(&quality) {
            return Verdict::Wrong("a quality of protection that is not taken here");
        }
        let right = response(
            credentials.algorithm,
            ha1,
            &DigestRequest {
                method: claim.method,
                uri: claim.uri,
                nonce: &credentials.nonce,
                body: claim.request.body(),
                qop,
                cnonce_for_sess: cnonce,
            },
        );
        let user = credentials
            .username
            .as_bytes()
            .ct_eq(auth.username.as_bytes());
        let digest = right == credentials.response;
        let given = self.given(now, &credentials.nonce, &credentials.realm);
        if !bool::from(user) {
            return Verdict::Wrong("another user name");
        }
        if !digest {
            return Verdict::Wrong("wrong digest: compare user name, password and realm");
        }
        match given {
            Some(id) if now.since(id.given) <= auth.nonce_lifetime => {
                Verdict::Right(qop.map(|(_, nc, _)| (id, nc)))
            }
            Some(_) | None => Verdict::Stale,
        }
    }

    /// A nonce: the time at which it was given, its number, and a seal over both and the realm, so that none has to be remembered (RFC 7616
    /// 3.3).
    fn nonce(&self, now: Time, number: u32, realm: &str) -> String {
        let given = now.as_micros();
        let seal = u128::from_be_bytes(self.seal(given, number, realm));
        format!("{given:016x}{number:08x}{seal:032x}")
    }

    /// Which nonce of ours this is; `None` where it is none.
    fn given(&self, now: Time, nonce: &str, realm: &str) -> Option<NonceId> {
        let nonce: [u8; 28] = bytes_of(nonce.as_bytes())?;
        let (given, rest) = nonce.split_first_chunk::<8>()?;
        let (number, seal) = rest.split_first_chunk::<4>()?;
        let (given, number) = (u64::from_be_bytes(*given), u32::from_be_bytes(*number));
        let seal: [u8; 16] = seal.try_into().ok()?;
        let ours = bool::from(seal.ct_eq(&self.seal(given, number, realm)));
        let past = given <= now.as_micros();
        (ours && past).then(|| NonceId {
            given: Time::from_micros(given),
            seal,
        })
    }

    fn seal(&self, given: u64, number: u32, realm: &str) -> [u8; 16] {
        let mut mac = self.mac.clone();
        mac.update(&given.to_be_bytes());
        mac.update(&number.to_be_bytes());
        mac.update(realm.as_bytes());
        let whole = mac.finalize().into_bytes();
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        half
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator(..)")
    }
}

/// What one challenge offers.
#[derive(Debug)]
struct Offer<'a> {
    realm: &'a str,
    algorithm: Algorithm,
    /// The value of `qop`; empty: there is none.
    qop: &'static str,
}

/// The challenges of an auth section, in its order of algorithms (RFC 8760 2.3).
fn offers<'a>(config: &'a Config, auth: &'a Auth) -> impl Iterator<Item = Offer<'a>> {
    let named = |quality| auth.qop_given && auth.qop.contains(&quality);
    let qop = match (
        named(QualityOfProtection::Auth),
        named(QualityOfProtection::AuthInt),
    ) {
        (true, true) => "auth,auth-int",
        (false, true) => "auth-int",
        (false, false) if auth.qop_given => "",
        (true, false) | (false, false) => "auth",
    };
    auth.algorithms_uas.iter().map(move |algorithm| Offer {
        realm: realm_of(config, auth),
        algorithm: *algorithm,
        qop,
    })
}

/// What a challenge asks to be given back: the end of its nonce, so that it need not be remembered.
fn opaque_of(nonce: &str) -> &str {
    nonce
        .len()
        .checked_sub(16)
        .and_then(|at| nonce.get(at..))
        .unwrap_or_default()
}

/// The realm that an auth section challenges with: its own, else the configured default.
fn realm_of<'a>(config: &'a Config, auth: &'a Auth) -> &'a str {
    auth.realm
        .as_deref()
        .unwrap_or(&config.global.default_realm)
}

/// The inside of a quoted string (RFC 3261 25.1).
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{character}")?;
        }
        Ok(())
    }
}
