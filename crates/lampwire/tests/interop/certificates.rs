//! An authority and the certificates that it signs, made for one case.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::instance::{Outcome, lab};

/// An authority.
pub(crate) struct Certificates {
    authority: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Certificates {
    /// A new one of this name.
    pub(crate) fn new(name: &str) -> Outcome<Self> {
        let key = KeyPair::generate().map_err(lab("a key"))?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).map_err(lab("a certificate"))?;
        Ok(Self {
            authority: certificate.pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Writes `authority.pem`, `certificate.pem` and `key.pem` for a node at this address.
    pub(crate) fn write(&self, directory: &Path, address: IpAddr) -> Outcome {
        self.write_without_authority(directory, address)?;
        write(directory, "authority.pem", &self.authority)
    }

    /// Writes `certificate.pem` and `key.pem` alone, so that the node goes on to trust another authority.
    pub(crate) fn write_without_authority(&self, directory: &Path, address: IpAddr) -> Outcome {
        let key = KeyPair::generate().map_err(lab("a key"))?;
        let params = CertificateParams::new(vec![address.to_string()]).map_err(lab("a name"))?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(lab("a certificate"))?;
        write(directory, "certificate.pem", &certificate.pem())?;
        write(directory, "key.pem", &key.serialize_pem())
    }
}

fn write(directory: &Path, name: &str, text: &str) -> Outcome {
    fs::create_dir_all(directory).map_err(lab(directory.display()))?;
    fs::write(directory.join(name), text).map_err(lab(name))
}
