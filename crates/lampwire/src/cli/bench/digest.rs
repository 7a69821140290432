//! Answers to challenges.

use lampwire_sip::{
    Algorithm, Challenge, Credentials, DigestRequest, HexDigest, Message, Qop, ha1, response,
};

/// A challenge that is answered, and how often its nonce was used. All lanes share it, as those of a publisher do.
pub(super) struct Session {
    username: String,
    algorithm: Algorithm,
    ha1: HexDigest,
    challenge: Challenge<'static>,
    count: u32,
}

impl Session {
    /// The answer to the first challenge of a 401 or 407 whose algorithm is known here; `None` where there is none.
    pub(super) fn of(
        refusal: &Message<'_>,
        (username, password): &(String, String),
    ) -> Option<Self> {
        let known = |challenge: &Challenge<'_>| challenge.algorithm.is_some();
        let challenge = refusal.challenges().flatten().find(known)?;
        let algorithm = challenge.algorithm?;
        Some(Self {
            username: username.clone(),
            algorithm,
            ha1: ha1(algorithm, username, &challenge.realm, password),
            challenge: Challenge {
                realm: challenge.realm.into_owned().into(),
                nonce: challenge.nonce.into_owned().into(),
                opaque: challenge.opaque.map(|it| it.into_owned().into()),
                ..challenge
            },
            count: 0,
        })
    }

    /// Credentials for the next request.
    pub(super) fn credentials(&mut self, method: &str, uri: &str, body: &[u8]) -> Credentials<'_> {
        self.count = self.count.wrapping_add(1);
        let qop = match self.challenge.qop {
            qop if qop.auth => Some(Qop::Auth),
            qop if qop.auth_int => Some(Qop::AuthInt),
            _ => None,
        };
        let needs_cnonce = qop.is_some() || self.algorithm.is_session();
        // Nothing here is worth a secret: it is to differ from request to request.
        let cnonce = needs_cnonce.then(|| format!("{:08x}", self.count));
        let digest = response(
            self.algorithm,
            &self.ha1,
            &DigestRequest {
                method,
                uri,
                nonce: &self.challenge.nonce,
                body,
                qop: qop
                    .zip(cnonce.as_deref())
                    .map(|(qop, cnonce)| (qop, self.count, cnonce)),
                cnonce_for_sess: cnonce.as_deref(),
            },
        );
        Credentials {
            username: self.username.as_str().into(),
            realm: (&*self.challenge.realm).into(),
            nonce: (&*self.challenge.nonce).into(),
            uri: uri.to_owned().into(),
            response: digest,
            algorithm: self.algorithm,
            cnonce: cnonce.map(Into::into),
            nc: qop.map(|_| self.count),
            qop,
            opaque: self.challenge.opaque.as_deref().map(Into::into),
            userhash: false,
            proxy: self.challenge.proxy,
        }
    }

    /// Whether credentials go into Proxy-Authorization.
    pub(super) fn is_of_proxy(&self) -> bool {
        self.challenge.proxy
    }
}
