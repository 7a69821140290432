//! Certificates of X.509 version 1. OpenSSL made such before its version 3.2 unless it was told otherwise, and so does the script that
//! comes with Asterisk (ast_tls_cert) on those systems; rustls checks version 3 only.
//!
//! One of version 1 says nothing of what it may be used for. So it is taken for its owner's and never for an authority's, and one of
//! the configured authorities must have signed it with its own hand.

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key,
};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer,
};
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error};
use x509_cert::certificate::Version;
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::names::Certificate;

/// The certificate, if it is of version 1.
pub(super) fn read(der: &CertificateDer<'_>) -> Option<Certificate> {
    let certificate = Certificate::from_der(der).ok()?;
    (certificate.tbs_certificate().version() == Version::V1).then_some(certificate)
}

/// Whether one of the authorities has signed it.
pub(super) fn is_signed(
    certificate: &Certificate,
    authorities: &[CertificateDer<'_>],
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), CertificateError> {
    let fields = certificate.tbs_certificate();
    let (Ok(message), Some(signature)) = (fields.to_der(), certificate.signature().as_bytes())
    else {
        return Err(CertificateError::BadEncoding);
    };
    let signed_by = bare(certificate.signature_algorithm());
    let mut verdict = CertificateError::UnknownIssuer;
    for authority in authorities {
        let Ok(authority) = Certificate::from_der(authority) else {
            continue;
        };
        let authority = authority.tbs_certificate();
        if authority.subject() != fields.issuer() {
            continue;
        }
        let by_key = algorithms.all.iter().any(|algorithm| {
            Some(algorithm.signature_alg_id().as_ref()) == signed_by.as_deref()
                && is_good(
                    *algorithm,
                    authority.subject_public_key_info(),
                    &message,
                    signature,
                )
        });
        if by_key {
            return Ok(());
        }
        verdict = CertificateError::BadSignature;
    }
    Err(verdict)
}

/// Whether the handshake of TLS 1.2 is signed by the certificate's key.
pub(super) fn tls12_signature(
    certificate: &Certificate,
    message: &[u8],
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let key = certificate.tbs_certificate().subject_public_key_info();
    let good = algorithms
        .mapping
        .iter()
        .filter(|(scheme, _)| *scheme == signed.scheme)
        .flat_map(|(_, possible)| possible.iter())
        .any(|algorithm| is_good(*algorithm, key, message, signed.signature()));
    if good {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    }
}

/// Whether the handshake of TLS 1.3 is signed by the certificate's key.
pub(super) fn tls13_signature(
    certificate: &Certificate,
    message: &[u8],
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let key = certificate.tbs_certificate().subject_public_key_info();
    let key = key.to_der().map_err(|_| CertificateError::BadEncoding)?;
    verify_tls13_signature_with_raw_key(
        message,
        &SubjectPublicKeyInfoDer::from(key),
        signed,
        algorithms,
    )
}

fn is_good(
    algorithm: &dyn SignatureVerificationAlgorithm,
    key: &SubjectPublicKeyInfoOwned,
    message: &[u8],
    signature: &[u8],
) -> bool {
    Some(algorithm.public_key_alg_id().as_ref()) == bare(&key.algorithm).as_deref()
        && key
            .subject_public_key
            .as_bytes()
            .is_some_and(|key| algorithm.verify_signature(key, message, signature).is_ok())
}

/// The identifier as rustls has it: without the tag and length of its sequence.
fn bare(identifier: &AlgorithmIdentifierOwned) -> Option<Vec<u8>> {
    let mut der = identifier.oid.to_der().ok()?;
    if let Some(parameters) = &identifier.parameters {
        der.extend(parameters.to_der().ok()?);
    }
    Some(der)
}
