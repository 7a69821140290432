//! TLS as a transport's section has it: certificate and key, authorities, versions and ciphers, all read before anything begins.

mod files;
mod names;
mod verify;
mod version1;
pub(crate) mod web;

use std::io;
use std::sync::Arc;

use lampwire_conf::{TlsMethod, Transport};
use lampwire_core::Certificate;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{
    self, AlertDescription, CipherSuite, ClientConfig, ServerConfig, SupportedCipherSuite,
    SupportedProtocolVersion, version,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub(crate) use names::Names;
use verify::{Authorities, Rules, Verifier};

/// Why TLS cannot begin: what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) problem: String,
    pub(crate) advice: String,
}

impl Problem {
    fn new(problem: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            advice: advice.into(),
        }
    }
}

/// What handshakes of one transport need.
#[derive(Debug)]
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    versions: Vec<&'static SupportedProtocolVersion>,
    /// Our certificate and its key.
    identity: Option<Arc<SingleCertAndKey>>,
    /// How servers, and how clients are checked.
    servers: Arc<Rules>,
    clients: Arc<Rules>,
    /// The option that says which server is meant.
    pub(crate) named_by: &'static str,
}

impl Tls {
    /// Reads the files of a transport. What is odd but no hindrance goes into `warnings`. All that is wrong is told at once.
    pub(crate) fn load(
        transport: &Transport,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Vec<Problem>> {
        let tls = &transport.tls;
        let mut problems = Vec::new();
        let versions = versions(tls.method).unwrap_or_else(|problem| {
            problems.push(problem);
            Vec::new()
        });
        let mut provider = ring::default_provider();
        if !tls.cipher.is_empty() {
            match suites(&provider, &tls.cipher, warnings) {
                Ok(suites) => provider.cipher_suites = suites,
                Err(problem) => problems.push(problem),
            }
        }
        let usable = |suite: &SupportedCipherSuite| versions.contains(&suite.version());
        if problems.is_empty() && !provider.cipher_suites.iter().any(usable) {
            problems.push(Problem::new(
                "no cipher of cipher= is one of the TLS version of method=",
                "remove cipher=, or method=",
            ));
        }
        let identity = files::identity(tls, &provider, warnings).unwrap_or_else(|found| {
            problems.extend(found);
            None
        });
        let authorities = if tls.ca_list_file.is_some() || tls.ca_list_path.is_some() {
            files::configured_authorities(tls, warnings)
        } else if tls.verify_server || tls.verify_client {
            files::authorities_of_the_system(warnings)
        } else {
            Ok(Authorities::default())
        };
        let authorities = Arc::new(authorities.unwrap_or_else(|found| {
            problems.extend(found);
            Authorities::default()
        }));
        let provider = Arc::new(provider);
        let as_client = tls.verify_client.then(|| {
            let roots = Arc::new(authorities.roots.clone());
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()
        });
        let as_client = as_client.transpose().unwrap_or_else(|error| {
            if problems.is_empty() {
                problems.push(Problem::new(error.to_string(), "set ca_list_file="));
            }
            None
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        if !tls.verify_server {
            warnings.push(
                "verify_server=no: the certificates of servers are not checked, so a peer could be anybody; with verify_server=yes \
                 they are"
                    .to_owned(),
            );
        }
        let algorithms = provider.signature_verification_algorithms;
        let rules = |check, required, as_client| {
            Arc::new(Rules {
                check,
                required,
                as_client,
                wildcards: tls.allow_wildcard_certs,
                authorities: Arc::clone(&authorities),
                algorithms,
            })
        };
        Ok(Self {
            servers: rules(tls.verify_server, true, None),
            clients: rules(tls.verify_client, tls.require_client_cert, as_client),
            named_by: "server_uri=",
            provider,
            versions,
            identity: identity.map(|identity: CertifiedKey| Arc::new(identity.into())),
        })
    }

    /// Whether there is a certificate, without which nobody can connect.
    pub(crate) fn can_serve(&self) -> bool {
        self.identity.is_some()
    }

    /// What makes a connection to a server whose certificate must be one for `server_name`: a host name or an address.
    pub(crate) fn connector(&self, server_name: &str) -> Result<Connector, String> {
        let expected = server_name.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(expected.to_owned())
            .map_err(|_| format!("{expected:?} cannot be the name in a certificate"))?;
        let verifier = Arc::new(Verifier::new(&self.servers, Some(expected), self.named_by));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&self.versions)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _);
        let mut config = match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::clone(identity) as _),
            None => builder.with_no_client_auth(),
        };
        // Connections last; a certificate is to be checked with each.
        config.resumption = Resumption::disabled();
        Ok(Connector {
            tls: TlsConnector::from(Arc::new(config)),
            name,
            verifier,
        })
    }

    /// What answers a client.
    pub(crate) fn acceptor(&self) -> Result<Acceptor, String> {
        let identity = self
            .identity
            .as_ref()
            .ok_or("this transport has no certificate: set cert_file=")?;
        let verifier = Arc::new(Verifier::new(&self.clients, None, self.named_by));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&self.versions)
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(Arc::clone(&verifier) as _)
            .with_cert_resolver(Arc::clone(identity) as _);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Acceptor {
            tls: TlsAcceptor::from(Arc::new(config)),
            verifier,
        })
    }
}

/// Makes one connection.
pub(crate) struct Connector {
    pub(crate) tls: TlsConnector,
    pub(crate) name: ServerName<'static>,
    verifier: Arc<Verifier>,
}

/// Answers one connection.
pub(crate) struct Acceptor {
    pub(crate) tls: TlsAcceptor,
    verifier: Arc<Verifier>,
}

impl Connector {
    /// What the server has shown.
    pub(crate) fn certificate(&self, shown: Option<&[CertificateDer<'_>]>) -> Certificate {
        self.verifier.certificate(shown)
    }

    /// Why the handshake failed.
    pub(crate) fn why(&self, error: &io::Error) -> String {
        self.verifier.why().unwrap_or_else(|| why(error))
    }
}

impl Acceptor {
    /// What the client has shown.
    pub(crate) fn certificate(&self, shown: Option<&[CertificateDer<'_>]>) -> Certificate {
        self.verifier.certificate(shown)
    }

    /// Why the handshake failed.
    pub(crate) fn why(&self, error: &io::Error) -> String {
        self.verifier.why().unwrap_or_else(|| why(error))
    }
}

/// What ended a connection or kept it from beginning, of TLS or below.
pub(crate) fn why(error: &io::Error) -> String {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::AlertReceived(alert)) => refused_by_peer(*alert),
        Some(rustls::Error::InvalidMessage(_)) => {
            "what the other side says is not TLS: is that a port for TCP?".to_owned()
        }
        Some(rustls::Error::NoCertificatesPresented) => {
            "it shows no certificate, and require_client_cert=yes wants one".to_owned()
        }
        Some(rustls::Error::PeerIncompatible(what)) => format!(
            "both sides have no TLS version or cipher in common ({what:?}): see method= and cipher="
        ),
        Some(other) => other.to_string(),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof => "the other side closed the connection".to_owned(),
            io::ErrorKind::ConnectionReset => "the other side reset the connection".to_owned(),
            io::ErrorKind::ConnectionRefused => {
                "connection refused: nothing listens there".to_owned()
            }
            io::ErrorKind::AddrNotAvailable => {
                "the address of bind= cannot be used for it, or no port is free".to_owned()
            }
            _ => error.to_string(),
        },
    }
}

fn refused_by_peer(alert: AlertDescription) -> String {
    let meaning = match alert {
        AlertDescription::UnknownCA => "it does not know the authority that signed our certificate",
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => "it does not accept our certificate; its log says why",
        AlertDescription::DecryptError => {
            "a signature is wrong, of our certificate as a rule; its log says why"
        }
        AlertDescription::CertificateExpired => "it takes our certificate for expired",
        AlertDescription::CertificateRequired => {
            "it wants a certificate of ours: set cert_file= and priv_key_file="
        }
        AlertDescription::HandshakeFailure => {
            "it has no TLS version or cipher in common with us, or wants a certificate of ours"
        }
        AlertDescription::ProtocolVersion => "it does not speak our versions of TLS: see method=",
        _ => "its log may say why",
    };
    format!("the other side refused the handshake ({alert:?}): {meaning}")
}

fn versions(method: TlsMethod) -> Result<Vec<&'static SupportedProtocolVersion>, Problem> {
    let old = |name: &str, option: &str| {
        Err(Problem::new(
            format!("method={option}: {name} is broken and not spoken here"),
            "write tlsv1_2 or tlsv1_3, or leave method= out for both",
        ))
    };
    match method {
        TlsMethod::Any => Ok(vec![&version::TLS13, &version::TLS12]),
        TlsMethod::Tls12 => Ok(vec![&version::TLS12]),
        TlsMethod::Tls13 => Ok(vec![&version::TLS13]),
        TlsMethod::Tls10 => old("TLS 1.0", "tlsv1"),
        TlsMethod::Tls11 => old("TLS 1.1", "tlsv1_1"),
    }
}

/// The ciphers that are spoken here, by their OpenSSL names.
const SUITES: [(&str, CipherSuite); 9] = [
    (
        "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_AES_256_GCM_SHA384,
    ),
    (
        "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_128_GCM_SHA256,
    ),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "ECDHE-RSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// The ciphers that `cipher=` leaves, those of the provider's order. Where it names none of TLS 1.3, all of TLS 1.3 stay: as with
/// OpenSSL, whose lists are about the older versions.
fn suites(
    provider: &CryptoProvider,
    names: &[String],
    warnings: &mut Vec<String>,
) -> Result<Vec<SupportedCipherSuite>, Problem> {
    let mut wanted = Vec::new();
    for name in names {
        match SUITES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
        {
            Some((_, suite)) => wanted.push(*suite),
            None => warnings.push(format!("cipher= names {name:?}, which is not spoken here")),
        }
    }
    if wanted.is_empty() {
        let names: Vec<&str> = SUITES.iter().map(|(name, _)| *name).collect();
        return Err(Problem::new(
            "cipher= names none that is spoken here",
            format!("remove it, or name some of {}", names.join(", ")),
        ));
    }
    let is_13 = |suite: &SupportedCipherSuite| suite.version() == &version::TLS13;
    let mut suites = provider.cipher_suites.clone();
    let names_13 = suites
        .iter()
        .any(|suite| is_13(suite) && wanted.contains(&suite.suite()));
    suites.retain(|suite| wanted.contains(&suite.suite()) || (is_13(suite) && !names_13));
    Ok(suites)
}

/// What the core is told of the certificate that the other side has shown.
fn told(names: Names, verified: bool) -> Certificate {
    Certificate {
        verified,
        subject: names.subject,
        names: names.alternative,
    }
}

#[cfg(test)]
pub(crate) mod tests;
