//! HTTP digest as SIP uses it (RFC 3261 22, RFC 7616, RFC 8760): [`server`] challenges and verifies, [`client`] answers challenges.

pub(crate) mod client;
mod nonces;
pub(crate) mod server;

use lampwire_conf::{Auth, AuthSecret};
use lampwire_sip::{Algorithm, HexDigest, ha1};

/// H(A1) of an auth section for one algorithm and realm. `None` where the section holds other digests only.
fn ha1_of(auth: &Auth, algorithm: Algorithm, realm: &str) -> Option<HexDigest> {
    match &auth.secret {
        AuthSecret::Password(password) => {
            Some(ha1(algorithm, &auth.username, realm, password.expose()))
        }
        AuthSecret::Digests(digests) => digests
            .iter()
            .find(|(known, _)| *known == algorithm.base())
            .map(|(_, digest)| digest.clone()),
    }
}
