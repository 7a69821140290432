//! The private authority of a plan with TLS, and the certificates that it signs.

use std::path::Path;

use anyhow::{Context, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::files::{self, File, Mode};
use super::peers::{Kind, Plan};
use crate::driver::tls::Names;

/// The name of the authority in its certificate.
const NAME: &str = "Lampwire plan";

/// Who gets files of the authority's.
struct Holder<'a> {
    name: &'a str,
    host: &'a str,
    /// A certificate of its own, and not only that of the authority.
    certified: bool,
}

/// With TLS each peer; of a cluster each NATS server, and the nodes at least know the authority.
fn holders(plan: &Plan) -> Vec<Holder<'_>> {
    let of_cluster = |kind| plan.cluster.is_some() && kind == Kind::Lampwire;
    let peers = plan.peers.iter();
    let peers = peers.filter(|peer| plan.tls || of_cluster(peer.kind));
    let peers = peers.map(|peer| Holder {
        name: &peer.name,
        host: &peer.host,
        certified: plan.tls,
    });
    let servers = plan.cluster.iter().flat_map(|it| &it.servers);
    let servers = servers.map(|server| Holder {
        name: &server.name,
        host: &server.host,
        certified: true,
    });
    peers.chain(servers).collect()
}

/// The authority's files, and each holder's `tls/{certificate,key,authority}.pem`.
pub(super) fn files(plan: &Plan, directory: &Path) -> anyhow::Result<Vec<File>> {
    let place = Path::new("authority");
    let (key_path, certificate_path) = (place.join("key.pem"), place.join("authority.pem"));
    let earlier = (
        text(&directory.join(&key_path))?,
        text(&directory.join(&certificate_path))?,
    );
    let params = params();
    let (key, authority) = match earlier {
        (Some(key), Some(certificate)) => {
            let key = KeyPair::from_pem(&key).with_context(|| {
                format!(
                    "the key in {} cannot be read",
                    directory.join(&key_path).display()
                )
            })?;
            (key, certificate)
        }
        (None, None) => {
            let key = KeyPair::generate().context("no key can be made")?;
            let certificate = params
                .self_signed(&key)
                .context("no certificate can be made")?;
            (key, certificate.pem())
        }
        (Some(_), None) | (None, Some(_)) => bail!(
            "of the authority's key.pem and authority.pem in {} only one is there; bring the other back, or remove both and all tls directories",
            directory.join(place).display()
        ),
    };
    let mut wanted = vec![
        File::pem(key_path, key.serialize_pem(), Mode::Secret),
        File::pem(certificate_path, authority.clone(), Mode::Open),
    ];
    let issuer = Issuer::new(params, key);
    for holder in holders(plan) {
        let tls = Path::new(holder.name).join("tls");
        wanted.push(File::pem(
            tls.join("authority.pem"),
            authority.clone(),
            Mode::Open,
        ));
        if !holder.certified {
            continue;
        }
        let (key_path, certificate_path) = (tls.join("key.pem"), tls.join("certificate.pem"));
        let (key, certificate) = match (
            text(&directory.join(&key_path))?,
            text(&directory.join(&certificate_path))?,
        ) {
            (Some(key), Some(certificate)) if is_of(&certificate, holder.host) => {
                (key, certificate)
            }
            _ => issue(holder.host, &issuer)?,
        };
        wanted.push(File::pem(certificate_path, certificate, Mode::Open));
        wanted.push(File::pem(key_path, key, Mode::Secret));
    }
    Ok(wanted)
}

fn text(path: &Path) -> anyhow::Result<Option<String>> {
    let bytes = files::read(path)?;
    bytes
        .map(|bytes| {
            String::from_utf8(bytes).with_context(|| format!("{} is no text", path.display()))
        })
        .transpose()
}

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, NAME);
    params
}

/// Whether the certificate is for the address: a server that has moved needs another.
fn is_of(pem: &str, host: &str) -> bool {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .ok()
        .and_then(|der| Names::read(&der))
        .is_some_and(|names| names.are_of(host, false))
}

/// A key and its certificate, for whoever is at that address as server and as client.
fn issue(host: &str, issuer: &Issuer<'_, KeyPair>) -> anyhow::Result<(String, String)> {
    let key = KeyPair::generate().context("no key can be made")?;
    let mut params = CertificateParams::new(vec![host.to_owned()])
        .with_context(|| format!("{host} cannot stand in a certificate"))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, host);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let certificate = params
        .signed_by(&key, issuer)
        .context("no certificate can be made")?;
    Ok((key.serialize_pem(), certificate.pem()))
}
