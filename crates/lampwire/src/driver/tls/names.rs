//! What a certificate says of its owner, and whether that is who was meant (RFC 5922 section 7).

use std::fmt;
use std::net::IpAddr;

use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// A certificate of any version, its fields not judged: that is the verifier's work.
pub(super) type Certificate = CertificateInner<Raw>;

/// The most names that are told in a log line.
const TOLD_MAX: usize = 8;

/// The names in a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// The common name of the subject.
    pub(crate) subject: Option<String>,
    /// The subject alternative names: host names, addresses and URIs, as written.
    pub(crate) alternative: Vec<String>,
    hosts: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Names {
    /// The names of a certificate in DER. `None`: it is none.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        Some(Self::of(&Certificate::from_der(der).ok()?))
    }

    /// The names of a certificate.
    pub(super) fn of(certificate: &Certificate) -> Self {
        let fields = certificate.tbs_certificate();
        let common = fields.subject().common_name().ok().flatten();
        let mut names = Self {
            subject: common.map(|name| name.value().into_owned()),
            ..Self::default()
        };
        if let Ok(Some((_, SubjectAltName(list)))) = fields.get_extension() {
            list.iter().for_each(|name| names.add(name));
        }
        names
    }

    fn add(&mut self, name: &GeneralName) {
        match name {
            GeneralName::DnsName(host) => {
                self.alternative.push(host.to_string());
                self.hosts.push(host.to_string());
            }
            GeneralName::UniformResourceIdentifier(uri) => {
                self.alternative.push(uri.to_string());
                self.hosts.extend(sip_domain(uri.as_ref()));
            }
            GeneralName::IpAddress(octets) => {
                let octets = octets.as_bytes();
                let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
                let six = <[u8; 16]>::try_from(octets).map(IpAddr::from);
                if let Ok(address) = four.or(six) {
                    self.alternative.push(address.to_string());
                    self.addresses.push(address);
                }
            }
            _ => (),
        }
    }

    /// Whether the certificate is one of `expected`, a host name or an address. The common name counts only where there is no
    /// other (Asterisk's own ast_tls_cert makes such); `*.` at the beginning stands for one label where wildcards are allowed.
    pub(crate) fn are_of(&self, expected: &str, wildcards: bool) -> bool {
        let expected = expected.trim_start_matches('[').trim_end_matches(']');
        let by_common_name = self.hosts.is_empty() && self.addresses.is_empty();
        let common = self.subject.as_deref().filter(|_| by_common_name);
        if let Ok(address) = expected.parse::<IpAddr>() {
            let said = common.and_then(|name| name.parse().ok());
            return self
                .addresses
                .iter()
                .chain(&said)
                .any(|own| *own == address);
        }
        self.hosts
            .iter()
            .map(String::as_str)
            .chain(common)
            .any(|own| is_host(own, expected, wildcards))
    }
}

impl fmt::Display for Names {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told: Vec<String> = self
            .subject
            .iter()
            .map(|name| format!("CN={name}"))
            .chain(self.alternative.iter().cloned())
            .collect();
        let more = told.len().saturating_sub(TOLD_MAX);
        told.truncate(TOLD_MAX);
        if told.is_empty() {
            return out.write_str("without a name");
        }
        // A name may hold anything.
        let text = told.join(", ");
        write!(out, "for {}", text.escape_debug())?;
        if more > 0 {
            write!(out, " and {more} more")?;
        }
        Ok(())
    }
}

/// The domain of `sip:example.org`. A URI with a user is that of a person (RFC 5922 7.1).
fn sip_domain(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    let domain = rest.split([':', ';', '?']).next()?;
    let is = scheme.eq_ignore_ascii_case("sip") && !rest.contains('@') && !domain.is_empty();
    is.then(|| domain.to_owned())
}

fn is_host(own: &str, expected: &str, wildcards: bool) -> bool {
    let (own, expected) = (own.trim_end_matches('.'), expected.trim_end_matches('.'));
    if let Some(domain) = own.strip_prefix("*.").filter(|_| wildcards) {
        return expected.split_once('.').is_some_and(|(label, rest)| {
            !label.is_empty() && domain.contains('.') && rest.eq_ignore_ascii_case(domain)
        });
    }
    !own.is_empty() && own.eq_ignore_ascii_case(expected)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::type_complexity)]
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn names(common: Option<&str>, alternative: &[SanType]) -> Names {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        params.subject_alt_names = alternative.to_vec();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Names::read(certificate.der()).unwrap()
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    fn uri(uri: &str) -> SanType {
        SanType::URI(uri.try_into().unwrap())
    }

    fn ip(address: &str) -> SanType {
        SanType::IpAddress(address.parse().unwrap())
    }

    #[test]
    fn names_are_compared_as_rfc_5922_says() {
        let pbx = "pbx.example.org";
        let star = || vec![dns("*.example.org")];
        // Common name, alternative names, expected, with wildcards, without.
        let table: Vec<(Option<&str>, Vec<SanType>, &str, bool, bool)> = vec![
            (None, vec![dns(pbx)], pbx, true, true),
            (
                None,
                vec![dns("PBX.Example.ORG")],
                "pbx.example.org.",
                true,
                true,
            ),
            (None, vec![dns("example.org")], pbx, false, false),
            (
                None,
                vec![dns("other.example.org"), dns(pbx)],
                pbx,
                true,
                true,
            ),
            (None, vec![uri("sip:pbx.example.org")], pbx, true, true),
            (
                None,
                vec![uri("SIP:pbx.example.org:5061;transport=tls")],
                pbx,
                true,
                true,
            ),
            (
                None,
                vec![uri("sip:anna@pbx.example.org")],
                pbx,
                false,
                false,
            ),
            (
                None,
                vec![uri("https://pbx.example.org")],
                pbx,
                false,
                false,
            ),
            (None, vec![uri("https:pbx.example.org")], pbx, false, false),
            (None, vec![ip("192.0.2.1")], "192.0.2.1", true, true),
            (None, vec![ip("2001:db8::1")], "[2001:db8:0::1]", true, true),
            (None, vec![ip("192.0.2.1")], "192.0.2.2", false, false),
            (None, vec![dns("192.0.2.1")], "192.0.2.1", false, false),
            (None, star(), pbx, true, false),
            (None, star(), "example.org", false, false),
            (None, star(), "a.b.example.org", false, false),
            (None, vec![dns("*.org")], "example.org", false, false),
            (None, vec![dns("p*.example.org")], pbx, false, false),
            (None, vec![dns("pbx.*.org")], pbx, false, false),
            (Some(pbx), vec![], pbx, true, true),
            (Some("192.0.2.1"), vec![], "192.0.2.1", true, true),
            (Some("*.example.org"), vec![], pbx, true, false),
            (Some(pbx), vec![dns("other.example.org")], pbx, false, false),
            (Some(pbx), vec![ip("192.0.2.1")], pbx, false, false),
            (Some(pbx), vec![uri("https://example.org")], pbx, true, true),
            (Some("Asterisk"), vec![], pbx, false, false),
            (None, vec![], pbx, false, false),
            (None, vec![dns(pbx)], "", false, false),
        ];
        for (common, alternative, expected, with, without) in table {
            let names = names(common, &alternative);
            assert_eq!(names.are_of(expected, true), with, "{names} {expected}");
            assert_eq!(names.are_of(expected, false), without, "{names} {expected}");
        }
    }

    #[test]
    fn names_are_told() {
        let all = names(
            Some("pbx\n"),
            &[dns("pbx.example.org"), uri("sip:example.org"), ip("::1")],
        );
        assert_eq!(
            all.to_string(),
            "for CN=pbx\\n, pbx.example.org, sip:example.org, ::1"
        );
        assert_eq!(
            all.alternative,
            ["pbx.example.org", "sip:example.org", "::1"]
        );
        assert_eq!(names(None, &[]).to_string(), "without a name");
        let many: Vec<SanType> = (0..10).map(|n| dns(&format!("h{n}.example.org"))).collect();
        assert!(
            names(None, &many)
                .to_string()
                .ends_with("h7.example.org and 2 more")
        );
        assert_eq!(Names::read(b"no certificate"), None);
    }
}
