//! Challenges that nobody can forge and credentials that are verified without a table of nonces.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use lampwire_conf::{Auth, Config};
use lampwire_sip::{
    Algorithm, Credentials, DigestRequest, HeaderName, Message, Qop, Writer, response,
};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::ha1_of;
use crate::time::Time;

/// The judge over credentials.
pub(crate) struct Authenticator {
    key: [u8; 32],
}

/// What is found of a request's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Those of one of the endpoint's auth sections.
    Right,
    /// Right, but for a nonce that is too old or of another life of this node (RFC 7616 3.3: stale).
    Stale,
    /// None, or none for our realm.
    Missing,
    /// Wrong, and why.
    Wrong(&'static str),
}

impl Authenticator {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// Writes one WWW-Authenticate for each realm and algorithm of `auths`, in the configured order. Without any, one for the default
    /// realm that nobody can answer.
    pub(crate) fn challenge(
        &self,
        writer: &mut Writer<'_>,
        now: Time,
        config: &Config,
        auths: &[&Auth],
        stale: bool,
    ) {
        let mut write = |realm: &str, algorithm: Algorithm| {
            let nonce = self.nonce(now, realm);
            let stale = if stale { ",stale=true" } else { "" };
            writer.header(
                HeaderName::WwwAuthenticate,
                format_args!(
                    "Digest realm=\"{}\",nonce=\"{nonce}\",opaque=\"{}\",algorithm={},qop=\"auth\"{stale}",
                    Quoted(realm),
                    &nonce[nonce.len() - 16..],
                    algorithm.as_str()
                ),
            );
        };
        if auths.is_empty() {
            for algorithm in &config.global.default_auth_algorithms_uas {
                write(&config.global.default_realm, *algorithm);
            }
        }
        for auth in auths {
            for algorithm in &auth.algorithms_uas {
                write(realm_of(config, auth), *algorithm);
            }
        }
    }

    /// Judges the credentials of a request by the endpoint's auth sections. One right set is enough.
    pub(crate) fn verify(
        &self,
        now: Time,
        config: &Config,
        auths: &[&Auth],
        request: &Message<'_>,
        method: &str,
        uri: &str,
    ) -> Verdict {
        let mut verdict = Verdict::Missing;
        for credentials in request.credentials() {
            let Ok(credentials) = credentials else {
                verdict = Verdict::Wrong("malformed Authorization");
                continue;
            };
            for auth in auths {
                if credentials.realm != realm_of(config, auth) {
                    continue;
                }
                match self.verify_one(now, auth, &credentials, request, method, uri) {
                    verdict @ (Verdict::Right | Verdict::Stale) => return verdict,
                    other => verdict = other,
                }
            }
        }
        verdict
    }

    fn verify_one(
        &self,
        now: Time,
        auth: &Auth,
        credentials: &Credentials<'_>,
        request: &Message<'_>,
        method: &str,
        uri: &str,
    ) -> Verdict {
        if credentials.userhash {
            return Verdict::Wrong("userhash is not supported");
        }
        if !auth.algorithms_uas.contains(&credentials.algorithm.base()) {
            return Verdict::Wrong("an algorithm that was not offered");
        }
        if credentials.username != auth.username {
            return Verdict::Wrong("another user name");
        }
        if credentials.uri != uri {
            return Verdict::Wrong("credentials for another request-URI");
        }
        let Some(ha1) = ha1_of(auth, credentials.algorithm, &credentials.realm) else {
            return Verdict::Wrong("no digest of that algorithm is configured");
        };
        let (nc, cnonce) = (credentials.nc, credentials.cnonce.as_deref());
        let qop = match (credentials.qop, nc, cnonce) {
            (Some(qop @ (Qop::Auth | Qop::AuthInt)), Some(nc), Some(cnonce)) => {
                Some((qop, nc, cnonce))
            }
            (None, _, _) => None,
            (Some(_), _, _) => return Verdict::Wrong("qop without nc or cnonce"),
        };
        let right = response(
            credentials.algorithm,
            &ha1,
            &DigestRequest {
                method,
                uri,
                nonce: &credentials.nonce,
                body: request.body(),
                qop,
                cnonce_for_sess: cnonce,
            },
        );
        if right != credentials.response {
            return Verdict::Wrong("wrong digest: compare user name, password and realm");
        }
        match self.age_of(now, &credentials.nonce, &credentials.realm) {
            Some(age) if age <= auth.nonce_lifetime => Verdict::Right,
            Some(_) | None => Verdict::Stale,
        }
    }

    /// A nonce: the time at which it was given and a seal over it and the realm, so that none has to be remembered (RFC 7616 3.3).
    fn nonce(&self, now: Time, realm: &str) -> String {
        let seal = self.seal(now.as_micros(), realm);
        format!("{:016x}{:032x}", now.as_micros(), u128::from_be_bytes(seal))
    }

    /// How long ago we gave this nonce; `None` where we did not.
    fn age_of(&self, now: Time, nonce: &str, realm: &str) -> Option<std::time::Duration> {
        if nonce.len() != 48 || !nonce.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let given = u64::from_str_radix(&nonce[..16], 16).ok()?;
        let seal = u128::from_str_radix(&nonce[16..], 16).ok()?.to_be_bytes();
        let ours = bool::from(seal.ct_eq(&self.seal(given, realm)));
        let past = given <= now.as_micros();
        (ours && past).then(|| now.since(Time::from_micros(given)))
    }

    fn seal(&self, given: u64, realm: &str) -> [u8; 16] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key)
            .expect("HMAC takes a key of any length (RFC 2104)");
        mac.update(&given.to_be_bytes());
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
