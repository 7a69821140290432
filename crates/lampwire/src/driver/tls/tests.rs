//! What is said of files and options that TLS cannot work with.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

#[path = "../../../tests/it/certificates.rs"]
pub(crate) mod certificates;

use certificates::Authority;

/// A directory of one's own, removed at the end.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("lampwire-tls-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file of the fixtures, made by OpenSSL 3.0 with the options that ast_tls_cert gives it.
pub(crate) fn fixture(name: &str) -> String {
    format!("{}/tests/certificates/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Loads the section of a TLS transport with these options: what it is, and what is warned of.
pub(crate) fn load(options: &str) -> (Result<Tls, Vec<String>>, Vec<String>) {
    let text = format!("[tls]\ntype=transport\nprotocol=tls\nbind=127.0.0.1:0\n{options}\n");
    let mut source = lampwire_conf::MapSource::new([("tls.conf", text)]);
    let (config, diagnostics) = lampwire_conf::load("tls.conf", &mut source);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let mut warnings = Vec::new();
    let tls = Tls::load(&config.transports[0], &mut warnings).map_err(|problems| {
        problems
            .into_iter()
            .map(|it| format!("{}; {}", it.problem, it.advice))
            .collect()
    });
    (tls, warnings)
}

const UNCHECKED: &str = "verify_server=no: the certificates of servers are not checked, so a peer could be anybody; with verify_server=yes \
                         they are";

#[test]
fn what_is_wrong_is_told_with_the_file_and_what_to_do() {
    let directory = Directory::new();
    let authority = Authority::new("Lab");
    let (one, two) = (authority.sign(&["a.test"]), authority.sign(&["b.test"]));
    directory.write("cert.pem", &one.certificate);
    directory.write("other.key", &two.key);
    directory.write("garbage.pem", "not a certificate");
    directory.write(
        "broken.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    std::fs::create_dir(directory.path("empty")).unwrap();
    let fixtures = fixture("");
    let give_certificate =
        "give a PEM file with our certificate, and those that signed it after it";
    let give_key = "give a PEM file with the private key of our certificate";
    let give_authorities = "give a PEM file with the certificates of authorities";
    let convert = "convert it by `openssl pkcs8 -topk8 -v2 aes256`, or store it without a password";
    let table = [
        (
            "cert_file=D/none.pem\npriv_key_file=D/other.key",
            format!("cert_file: D/none.pem: no such file; {give_certificate}"),
        ),
        (
            "cert_file=D\npriv_key_file=D/other.key",
            format!("cert_file: D: it is a directory, not a file; {give_certificate}"),
        ),
        (
            "cert_file=D/garbage.pem\npriv_key_file=D/other.key",
            format!("cert_file: D/garbage.pem has no certificate in PEM form (-----BEGIN CERTIFICATE-----); {give_certificate}"),
        ),
        (
            "priv_key_file=D/other.key",
            "priv_key_file=D/other.key has no certificate to go with; set cert_file=".to_owned(),
        ),
        (
            "cert_file=D/cert.pem",
            "cert_file: D/cert.pem has no private key in PEM form (-----BEGIN PRIVATE KEY-----); set priv_key_file=".to_owned(),
        ),
        (
            "cert_file=D/cert.pem\npriv_key_file=D/garbage.pem",
            format!("priv_key_file: D/garbage.pem has no private key in PEM form (-----BEGIN PRIVATE KEY-----); {give_key}"),
        ),
        (
            "cert_file=D/cert.pem\npriv_key_file=D/other.key",
            "the key in D/other.key is not that of the first certificate in D/cert.pem; give the two that belong together; our own \
             certificate comes first, those that signed it after it"
                .to_owned(),
        ),
        (
            "cert_file=F/certificate.pem\npriv_key_file=F/encrypted.pem",
            "priv_key_file: the private key in F/encrypted.pem is encrypted, and there is no password; set password=".to_owned(),
        ),
        (
            "cert_file=F/certificate.pem\npriv_key_file=F/encrypted.pem\npassword=wrong",
            format!(
                "priv_key_file: the private key in F/encrypted.pem does not open with password=, or is encrypted in a way that is not \
                 supported; {convert}"
            ),
        ),
        (
            "cert_file=F/certificate.pem\npriv_key_file=F/old.pem\npassword=secret",
            format!(
                "priv_key_file: the private key in F/old.pem is encrypted in OpenSSL's old form, which is not read here; {convert}"
            ),
        ),
        (
            "ca_list_file=D/none.pem",
            format!("ca_list_file: D/none.pem: no such file; {give_authorities}"),
        ),
        (
            "ca_list_file=D/garbage.pem",
            format!(
                "ca_list_file: D/garbage.pem has no certificate of an authority in PEM form (-----BEGIN CERTIFICATE-----); {give_authorities}"
            ),
        ),
        (
            "ca_list_path=D/none",
            "ca_list_path: D/none: no such directory; give a directory with PEM files".to_owned(),
        ),
        (
            "ca_list_path=D/empty",
            "ca_list_path: no file in D/empty has a certificate of an authority in PEM form; give a directory with PEM files".to_owned(),
        ),
        (
            "method=tlsv1",
            "method=tlsv1: TLS 1.0 is broken and not spoken here; write tlsv1_2 or tlsv1_3, or leave method= out for both".to_owned(),
        ),
        (
            "method=tlsv1_1",
            "method=tlsv1_1: TLS 1.1 is broken and not spoken here; write tlsv1_2 or tlsv1_3, or leave method= out for both".to_owned(),
        ),
        (
            "method=tlsv1_2\ncipher=TLS_AES_128_GCM_SHA256",
            "no cipher of cipher= is one of the TLS version of method=; remove cipher=, or method=".to_owned(),
        ),
    ];
    let here = directory.path("");
    for (options, expected) in table {
        let options = options
            .replace("F/", &fixtures)
            .replace("D/", &here)
            .replace("=D", &format!("={}", here.trim_end_matches('/')));
        let told: Vec<String> = load(&options)
            .0
            .unwrap_err()
            .iter()
            .map(|it| {
                it.replace(&fixtures, "F/")
                    .replace(&here, "D/")
                    .replace(here.trim_end_matches('/'), "D")
            })
            .collect();
        assert_eq!(told, [expected]);
    }
    // A certificate that is none, with words of the library.
    let options = "cert_file=D/broken.pem\npriv_key_file=D/other.key".replace("D/", &here);
    let told = load(&options).0.unwrap_err().join("\n");
    assert!(told.contains("broken.pem cannot be read: "), "{told}");
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let told = load(
        "cert_file=/none/cert.pem\npriv_key_file=/none/key.pem\nca_list_file=/none/ca.pem\nca_list_path=/none\nmethod=tlsv1\ncipher=RC4",
    );
    assert_eq!(told.0.unwrap_err().len(), 6);
}

#[test]
fn what_is_odd_is_warned_of() {
    let directory = Directory::new();
    let authority = Authority::new("Lab");
    let expired = authority.sign_with(&["a.test"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let cert = directory.write(
        "cert.pem",
        &format!("{}{}", expired.key, expired.certificate),
    );
    let (tls, warnings) = load(&format!(
        "cert_file={cert}\ncipher=ECDHE-RSA-AES128-SHA, ecdhe-ecdsa-aes128-gcm-sha256"
    ));
    assert!(tls.unwrap().can_serve());
    assert_eq!(
        warnings,
        [
            "cipher= names \"ECDHE-RSA-AES128-SHA\", which is not spoken here".to_owned(),
            format!(
                "cert_file: the certificate in {cert} has expired on 2020-01-01T00:00:00Z: peers that check it refuse it"
            ),
            UNCHECKED.to_owned(),
        ]
    );
    let (tls, warnings) = load("");
    assert!(!tls.unwrap().can_serve());
    assert_eq!(warnings, [UNCHECKED]);
    // A directory may hold other things than certificates.
    directory.write("README", "authorities of the lab");
    directory.write("authority.pem", &authority.pem);
    let options = format!("ca_list_path={}\nverify_server=yes", directory.path(""));
    assert_eq!(load(&options).1, Vec::<String>::new());
}

#[test]
fn a_key_opens_with_its_password() {
    let options = format!(
        "cert_file={}\npriv_key_file={}\npassword=secret",
        fixture("certificate.pem"),
        fixture("encrypted.pem")
    );
    assert!(load(&options).0.unwrap().can_serve());
}

#[test]
fn ciphers_are_those_that_are_named() {
    let suites = |names: &str| -> Vec<String> {
        let tls = load(&format!("cipher={names}")).0.unwrap();
        let suites = tls.provider.cipher_suites.iter();
        suites.map(|it| format!("{:?}", it.suite())).collect()
    };
    assert_eq!(
        suites("ECDHE-RSA-AES128-GCM-SHA256"),
        [
            "TLS13_AES_256_GCM_SHA384",
            "TLS13_AES_128_GCM_SHA256",
            "TLS13_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
        ]
    );
    assert_eq!(
        suites("TLS_AES_128_GCM_SHA256,ECDHE-RSA-AES256-GCM-SHA384"),
        [
            "TLS13_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
        ]
    );
}
