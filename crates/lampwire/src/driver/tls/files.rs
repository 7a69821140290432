//! The files that a transport's section names: certificates, keys, authorities.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use lampwire_conf::{Source, Tls};
use pkcs8::EncryptedPrivateKeyInfoRef;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SigningKey};
use x509_cert::der::{Decode, Encode};

use super::Problem;
use super::names::Certificate;
use super::verify::Authorities;
use crate::configuration::Files;

/// Our certificate with its chain, and its key; `None` where none is configured.
pub(super) fn identity(
    tls: &Tls,
    provider: &CryptoProvider,
    warnings: &mut Vec<String>,
) -> Result<Option<CertifiedKey>, Vec<Problem>> {
    let Some(cert_file) = tls.cert_file.as_deref() else {
        return match &tls.priv_key_file {
            None => Ok(None),
            Some(path) => Err(vec![Problem::new(
                format!("priv_key_file={path} has no certificate to go with"),
                "set cert_file=",
            )]),
        };
    };
    let chain = chain(cert_file, warnings);
    let key = match tls.priv_key_file.as_deref() {
        Some(path) => key("priv_key_file", path, tls, provider),
        None => key("cert_file", cert_file, tls, provider),
    };
    match (chain, key) {
        (Ok((chain, certificate)), Ok(key)) => {
            let of_certificate = certificate.tbs_certificate().subject_public_key_info();
            let of_key = key.public_key();
            let matches = of_key.is_none_or(|of_key| {
                of_certificate
                    .to_der()
                    .is_ok_and(|der| der == of_key.as_ref())
            });
            if !matches {
                let key_file = tls.priv_key_file.as_deref().unwrap_or(cert_file);
                return Err(vec![Problem::new(
                    format!(
                        "the key in {key_file} is not that of the first certificate in {cert_file}"
                    ),
                    "give the two that belong together; our own certificate comes first, those that signed it after it",
                )]);
            }
            Ok(Some(CertifiedKey::new(chain, key)))
        }
        (chain, key) => Err(chain.err().into_iter().chain(key.err()).collect()),
    }
}

fn chain(
    path: &str,
    warnings: &mut Vec<String>,
) -> Result<(Vec<CertificateDer<'static>>, Certificate), Problem> {
    const ADVICE: &str = "give a PEM file with our certificate, and those that signed it after it";
    let chain = certificates(&read("cert_file", path, ADVICE)?);
    let Some(first) = chain.first() else {
        return Err(Problem::new(
            format!(
                "cert_file: {path} has no certificate in PEM form (-----BEGIN CERTIFICATE-----)"
            ),
            ADVICE,
        ));
    };
    let certificate = Certificate::from_der(first).map_err(|error| {
        Problem::new(
            format!("cert_file: the certificate in {path} cannot be read: {error}"),
            ADVICE,
        )
    })?;
    let end = certificate.tbs_certificate().validity().not_after;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    if now.is_ok_and(|now| now > end.to_unix_duration()) {
        warnings.push(format!(
            "cert_file: the certificate in {path} has expired on {end}: peers that check it refuse it"
        ));
    }
    Ok((chain, certificate))
}

fn key(
    option: &str,
    path: &str,
    tls: &Tls,
    provider: &CryptoProvider,
) -> Result<Arc<dyn SigningKey>, Problem> {
    const ADVICE: &str = "give a PEM file with the private key of our certificate";
    const CONVERT: &str =
        "convert it by `openssl pkcs8 -topk8 -v2 aes256`, or store it without a password";
    let pem = read(option, path, ADVICE)?;
    let has = |text: &[u8]| pem.windows(text.len()).any(|window| window == text);
    let problem = |what: String, advice: &str| Problem::new(format!("{option}: {what}"), advice);
    let der = if has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        let Some(password) = &tls.password else {
            return Err(problem(
                format!("the private key in {path} is encrypted, and there is no password"),
                "set password=",
            ));
        };
        decrypt(&pem, password.expose().as_bytes())
            .map_err(|why| problem(format!("the private key in {path} {why}"), CONVERT))?
    } else if has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(problem(
            format!(
                "the private key in {path} is encrypted in OpenSSL's old form, which is not read here"
            ),
            CONVERT,
        ));
    } else {
        PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
            problem(
                format!("{path} has no private key in PEM form (-----BEGIN PRIVATE KEY-----)"),
                if option == "cert_file" {
                    "set priv_key_file="
                } else {
                    ADVICE
                },
            )
        })?
    };
    provider
        .key_provider
        .load_private_key(der)
        .map_err(|error| {
            problem(
                format!("the private key in {path} cannot be used: {error}"),
                "RSA of 2048 bits and more, ECDSA P-256 and P-384, and Ed25519 can",
            )
        })
}

/// Opens a key that is encrypted as PKCS #8 says (RFC 5958, RFC 8018).
fn decrypt(pem: &[u8], password: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let text = String::from_utf8_lossy(pem);
    // There may be certificates in the same file.
    let block = text
        .find(BEGIN)
        .and_then(|begin| {
            let end = text[begin..].find(END)? + END.len();
            Some(text[begin..begin + end].replace("\r\n", "\n"))
        })
        .ok_or("has no end")?;
    let (_, document) = pkcs8::SecretDocument::from_pem(&block)
        .map_err(|error| format!("cannot be read: {error}"))?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|error| format!("is encrypted in a way that is not supported: {error}"))?;
    let key = encrypted.decrypt(password).map_err(
        |_| "does not open with password=, or is encrypted in a way that is not supported",
    )?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// Those of `ca_list_file` and `ca_list_path`.
pub(super) fn configured_authorities(
    tls: &Tls,
    warnings: &mut Vec<String>,
) -> Result<Authorities, Vec<Problem>> {
    let mut found = Authorities::default();
    let mut problems = Vec::new();
    let mut origins = Vec::new();
    if let Some(path) = tls.ca_list_file.as_deref() {
        const ADVICE: &str = "give a PEM file with the certificates of authorities";
        origins.push(path);
        match read("ca_list_file", path, ADVICE) {
            Ok(pem) if add(&mut found, &pem, path, warnings) == 0 => problems.push(Problem::new(
                format!("ca_list_file: {path} has no certificate of an authority in PEM form (-----BEGIN CERTIFICATE-----)"),
                ADVICE,
            )),
            Ok(_) => (),
            Err(problem) => problems.push(problem),
        }
    }
    if let Some(path) = tls.ca_list_path.as_deref() {
        const ADVICE: &str = "give a directory with PEM files";
        origins.push(path);
        match directory(path) {
            Ok(files) => {
                let mut added = 0;
                for file in files {
                    match read("ca_list_path", &file, "let it be read, or remove it") {
                        Ok(pem) => added += add(&mut found, &pem, &file, warnings),
                        Err(problem) => warnings.push(problem.problem),
                    }
                }
                if added == 0 {
                    problems.push(Problem::new(
                        format!("ca_list_path: no file in {path} has a certificate of an authority in PEM form"),
                        ADVICE,
                    ));
                }
            }
            Err(why) => problems.push(Problem::new(format!("ca_list_path: {path}: {why}"), ADVICE)),
        }
    }
    found.origin = origins.join(" and ");
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(problems)
    }
}

/// Those that the system trusts, where the configuration names none.
pub(super) fn authorities_of_the_system(
    warnings: &mut Vec<String>,
) -> Result<Authorities, Vec<Problem>> {
    let system = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(system.certs);
    if added == 0 {
        let why = system.errors.first().map(|error| format!(": {error}"));
        return Err(vec![Problem::new(
            format!(
                "certificates are to be checked, ca_list_file= is not set, and the system has no list of authorities{}",
                why.unwrap_or_default()
            ),
            "set ca_list_file=, or install the package ca-certificates",
        )]);
    }
    warnings.extend(system.errors.iter().map(ToString::to_string));
    Ok(Authorities {
        roots,
        certificates: Vec::new(),
        origin: "the system's list (ca_list_file= is not set)".to_owned(),
    })
}

/// Adds what stands in the PEM text, and says how many that were.
fn add(found: &mut Authorities, pem: &[u8], path: &str, warnings: &mut Vec<String>) -> usize {
    let mut added = 0;
    for certificate in certificates(pem) {
        match found.roots.add(certificate.clone()) {
            Ok(()) => {
                added += 1;
                found.certificates.push(certificate);
            }
            Err(error) => warnings.push(format!("a certificate in {path} is passed over: {error}")),
        }
    }
    added
}

fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .collect()
}

fn read(option: &str, path: &str, advice: &str) -> Result<Vec<u8>, Problem> {
    Files
        .read(path)
        .map_err(|why| Problem::new(format!("{option}: {path}: {why}"), advice))
}

/// The files of a directory by name. A directory that OpenSSL has hashed holds each certificate twice, which does no harm.
fn directory(path: &str) -> Result<Vec<String>, String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "no such directory".to_owned(),
        _ => error.to_string(),
    })? {
        let entry = entry.map_err(|error| error.to_string())?.path();
        if entry.is_file() {
            files.push(entry.to_string_lossy().into_owned());
        }
    }
    files.sort();
    Ok(files)
}
