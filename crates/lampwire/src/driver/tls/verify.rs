//! Whether a certificate is believed: by its chain, by the names in it, or without a look where the configuration wants none.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::verify_server_cert_signed_by_trust_anchor;
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use x509_cert::certificate::Version;
use x509_cert::der::Decode;

use super::names::{Certificate, Names};
use super::{told, version1};

/// The authorities that certificates are checked against.
#[derive(Debug)]
pub(super) struct Authorities {
    pub(super) roots: RootCertStore,
    /// The certificates themselves: one that signs itself may stand among them and be its owner's.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// Where they come from.
    pub(super) origin: String,
}

impl Default for Authorities {
    fn default() -> Self {
        Self {
            roots: RootCertStore::empty(),
            certificates: Vec::new(),
            origin: "the empty list".to_owned(),
        }
    }
}

/// What one side of a transport asks of the other.
#[derive(Debug)]
pub(super) struct Rules {
    /// Certificates are checked. Otherwise they are taken as they are.
    pub(super) check: bool,
    /// A client must show one.
    pub(super) required: bool,
    /// `*.example.org` stands for a host there.
    pub(super) wildcards: bool,
    pub(super) authorities: Arc<Authorities>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// Judges the chains of clients; `None` for rules about servers.
    pub(super) as_client: Option<Arc<dyn ClientCertVerifier>>,
}

/// The judge of one connection.
#[derive(Debug)]
pub(super) struct Verifier {
    rules: Arc<Rules>,
    /// Whom the certificate must name; `None`: anybody whom an authority has signed.
    expected: Option<String>,
    /// The option that says so.
    named_by: &'static str,
    /// Why it was refused.
    why: Mutex<Option<String>>,
}

impl Verifier {
    pub(super) fn new(rules: &Arc<Rules>, expected: Option<&str>, named_by: &'static str) -> Self {
        Self {
            rules: Arc::clone(rules),
            expected: expected.map(str::to_owned),
            named_by,
            why: Mutex::new(None),
        }
    }

    /// What the certificate that was shown says, once the handshake is over.
    pub(super) fn certificate(
        &self,
        shown: Option<&[CertificateDer<'_>]>,
    ) -> lampwire_core::Certificate {
        shown
            .and_then(|chain| Names::read(chain.first()?))
            .map_or_else(lampwire_core::Certificate::default, |names| {
                told(names, self.rules.check)
            })
    }

    /// Why the certificate was refused, if it was.
    pub(super) fn why(&self) -> Option<String> {
        self.why
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if !self.rules.check {
            return Ok(());
        }
        let refuse = |error: Error, why: String| {
            *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            Err(error)
        };
        let Ok(certificate) = Certificate::from_der(end_entity) else {
            return refuse(
                CertificateError::BadEncoding.into(),
                "its certificate cannot be read".to_owned(),
            );
        };
        let names = Names::of(&certificate);
        if let Err(error) = self.chain(&certificate, end_entity, intermediates, now) {
            let why = self.why_not_chain(&error, &certificate);
            return refuse(error, format!("its certificate ({names}) {why}"));
        }
        match &self.expected {
            Some(expected) if !names.are_of(expected, self.rules.wildcards) => {
                let wildcard = names.are_of(expected, true);
                let advice = if wildcard {
                    "set allow_wildcard_certs=yes".to_owned()
                } else {
                    format!(
                        "let {} name the peer as its certificate does, or give the peer one with that name",
                        self.named_by
                    )
                };
                refuse(
                    CertificateError::NotValidForName.into(),
                    format!("its certificate is {names}, and not for {expected}; {advice}"),
                )
            }
            _ => Ok(()),
        }
    }

    /// Whether it is signed by one of the authorities, or is one of the list itself.
    fn chain(
        &self,
        certificate: &Certificate,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let authorities = &self.rules.authorities;
        if authorities.certificates.iter().any(|own| own == end_entity) {
            // Listed itself: only its time can be against it. Many small sites have one such certificate and nothing else.
            return in_time(certificate, now);
        }
        if certificate.tbs_certificate().version() == Version::V1 {
            in_time(certificate, now)?;
            let signed = version1::is_signed(
                certificate,
                &authorities.certificates,
                &self.rules.algorithms,
            );
            return signed.map_err(Error::from);
        }
        let as_server = verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &authorities.roots,
            intermediates,
            now,
            self.rules.algorithms.all,
        );
        // SIP peers show one certificate in both roles, and authorities of the web give such for servers only: so a client may
        // show either.
        match (as_server, &self.rules.as_client) {
            (
                Err(Error::InvalidCertificate(
                    CertificateError::InvalidPurpose
                    | CertificateError::InvalidPurposeContext { .. },
                )),
                Some(client),
            ) => client
                .verify_client_cert(end_entity, intermediates, now)
                .map(|_| ()),
            (result, _) => result,
        }
    }

    fn why_not_chain(&self, error: &Error, certificate: &Certificate) -> String {
        let origin = &self.rules.authorities.origin;
        let Error::InvalidCertificate(reason) = error else {
            return format!("is not accepted: {error}");
        };
        match reason {
            CertificateError::UnknownIssuer => {
                format!("is not signed by an authority in {origin}: UnknownIssuer")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!(
                "has expired on {}: it is to be renewed",
                certificate.tbs_certificate().validity().not_after
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => format!(
                "is not valid before {}: see the clocks of both machines",
                certificate.tbs_certificate().validity().not_before
            ),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "is not made for this: its extendedKeyUsage has no serverAuth".to_owned()
            }
            CertificateError::BadSignature => {
                format!("is not signed by the authority in {origin} that it names: BadSignature")
            }
            _ => format!("is not accepted: {error}"),
        }
    }
}

/// Whether its time has begun and not ended.
fn in_time(certificate: &Certificate, now: UnixTime) -> Result<(), Error> {
    let validity = certificate.tbs_certificate().validity();
    let now = now.as_secs();
    if now > validity.not_after.to_unix_duration().as_secs() {
        Err(CertificateError::Expired.into())
    } else if now < validity.not_before.to_unix_duration().as_secs() {
        Err(CertificateError::NotValidYet.into())
    } else {
        Ok(())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, intermediates, now)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.rules.check {
            // It proves nothing: the certificate may be anybody's.
            return Ok(HandshakeSignatureValid::assertion());
        }
        match version1::read(cert) {
            Some(old) => version1::tls12_signature(&old, message, dss, &self.rules.algorithms),
            None => verify_tls12_signature(message, cert, dss, &self.rules.algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.rules.check {
            return Ok(HandshakeSignatureValid::assertion());
        }
        match version1::read(cert) {
            Some(old) => version1::tls13_signature(&old, message, dss, &self.rules.algorithms),
            None => verify_tls13_signature(message, cert, dss, &self.rules.algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.rules.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.rules.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity, intermediates, now)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.rules.algorithms.supported_schemes()
    }
}
