//! TLS for the HTTP server.

use std::fmt;
use std::sync::Arc;

use lampwire_conf::Tls as Files;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::sign::SingleCertAndKey;

use super::{Problem, files};

/// What answers clients of HTTPS.
pub(crate) struct Acceptor(pub(crate) TlsAcceptor);

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

/// It, by `http_cert`, and its key, which may stand in the same file. Clients show no certificate; they have
/// the token.
pub(crate) fn acceptor(
    certificate: &str,
    key: Option<&str>,
    warnings: &mut Vec<String>,
) -> Result<Acceptor, Vec<Problem>> {
    let named = Files {
        cert_file: Some(certificate.to_owned()),
        priv_key_file: key.map(str::to_owned),
        ..Files::default()
    };
    let provider = Arc::new(ring::default_provider());
    let identity = files::identity(&named, &provider, warnings)?
        .ok_or_else(|| vec![Problem::new("there is no certificate", "set http_cert=")])?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| vec![Problem::new(error.to_string(), "see http_cert=")])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
}
