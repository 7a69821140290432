//! What stands behind the equals sign: booleans, numbers, addresses, networks, lists.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use lampwire_sip::Algorithm;

/// yes/true/y/t/1/on and no/false/n/f/0/off, without case.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    let is = |words: [&str; 6]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["yes", "true", "y", "t", "1", "on"]) {
        Some(true)
    } else if is(["no", "false", "n", "f", "0", "off"]) {
        Some(false)
    } else {
        None
    }
}

/// The parts of a comma separated list, blanks around them and empty ones dropped.
pub(crate) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:5060`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:5060`.
pub(crate) fn socket_address(text: &str, default_port: u16) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    ip_address(text).map(|address| SocketAddr::new(address, default_port))
}

/// An address, IPv6 with or without brackets.
pub(crate) fn ip_address(text: &str) -> Option<IpAddr> {
    if let Some(inner) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    text.parse().ok()
}

/// A digest algorithm as Asterisk names them; those with `-sess` are not configurable.
pub(crate) fn algorithm(text: &str) -> Option<Algorithm> {
    ALGORITHMS
        .into_iter()
        .find(|(name, _)| text.eq_ignore_ascii_case(name))
        .map(|(_, algorithm)| algorithm)
}

/// The algorithms that can be configured, by name.
pub(crate) const ALGORITHMS: [(&str, Algorithm); 3] = [
    ("MD5", Algorithm::Md5),
    ("SHA-256", Algorithm::Sha256),
    ("SHA-512-256", Algorithm::Sha512_256),
];

/// A host name as DNS has them (letters, digits, `-`, `_`, dots), at most 253 characters, not all numbers.
pub(crate) fn is_host_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let numeric = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    !numeric
        && text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}

/// Addresses that agree in their first bits. Parsed from `192.0.2.1`, `192.0.2.0/24`, `192.0.2.0/255.255.255.0`,
/// `2001:db8::/32`, `[2001:db8::]/32`; bits behind the prefix are cleared, as Asterisk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// What stands before the slash is no IP address.
    #[error("is no IP address")]
    Address,
    /// What stands behind the slash is neither a length that fits nor a mask of ones followed by zeros.
    #[error("has no length or mask behind its slash that fits the address")]
    Mask,
}

impl Network {
    /// The network of the first `prefix` bits; None where the address has not so many.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(address) if prefix <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) if prefix <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => return None,
        };
        Some(Self { address, prefix })
    }

    /// The network of this one address.
    pub fn host(address: IpAddr) -> Self {
        Self {
            address,
            prefix: if address.is_ipv4() { 32 } else { 128 },
        }
    }

    /// Its first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The number of bits that its addresses agree in.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether the address is one of it. An IPv4 address in IPv6's clothes (`::ffff:192.0.2.1`, as a dual socket gives it) counts
    /// as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |address: IpAddr| {
            Self::new(address, self.prefix).is_some_and(|network| network == *self)
        };
        let plain = address.to_canonical();
        (plain.is_ipv4() == self.address.is_ipv4() && same(plain))
            || (address.is_ipv4() == self.address.is_ipv4() && same(address))
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let Some((address, mask)) = text.split_once('/') else {
            return ip_address(text.trim())
                .map(Self::host)
                .ok_or(NetworkError::Address);
        };
        let address = ip_address(address.trim()).ok_or(NetworkError::Address)?;
        let mask = mask.trim();
        let prefix = if mask.bytes().all(|byte| byte.is_ascii_digit()) {
            mask.parse().map_err(|_| NetworkError::Mask)?
        } else {
            match (address, ip_address(mask)) {
                (IpAddr::V4(_), Some(IpAddr::V4(mask))) => ones(u128::from(mask.to_bits()) << 96),
                (IpAddr::V6(_), Some(IpAddr::V6(mask))) => ones(mask.to_bits()),
                _ => None,
            }
            .ok_or(NetworkError::Mask)?
        };
        Self::new(address, prefix).ok_or(NetworkError::Mask)
    }
}

/// How many ones a mask has, if nothing but zeros follows them.
fn ones(mask: u128) -> Option<u8> {
    let ones = mask.leading_ones();
    (mask.checked_shl(ones).unwrap_or(0) == 0)
        .then(|| u8::try_from(ones).ok())
        .flatten()
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// One line of `permit=` or `deny=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whether the addresses are let in.
    pub allow: bool,
    /// Which addresses.
    pub network: Network,
}

impl Rule {
    /// An item of `permit` (else of `deny`); `!` before an address turns its meaning round. An error says what is wrong with the address.
    pub(crate) fn parse(permit: bool, item: &str) -> Result<Self, <Network as FromStr>::Err> {
        let (negated, text) = match item.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, item),
        };
        Ok(Self {
            allow: permit != negated,
            network: text.parse()?,
        })
    }

    /// What a list of rules says of an address: the last rule that names it decides, and without one it is let in.
    ///
    /// ```
    /// use lampwire_conf::Rule;
    ///
    /// let rules = [
    ///     Rule { allow: false, network: "0.0.0.0/0".parse()? },
    ///     Rule { allow: true, network: "192.0.2.0/24".parse()? },
    /// ];
    /// assert!(Rule::allows(&rules, "192.0.2.7".parse()?));
    /// assert!(!Rule::allows(&rules, "198.51.100.1".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn allows(rules: &[Self], address: IpAddr) -> bool {
        rules
            .iter()
            .rev()
            .find(|rule| rule.network.contains(address))
            .is_none_or(|rule| rule.allow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans() {
        for yes in ["yes", "True", "Y", "t", "1", "ON"] {
            assert_eq!(boolean(yes), Some(true), "{yes}");
        }
        for no in ["no", "FALSE", "n", "F", "0", "off"] {
            assert_eq!(boolean(no), Some(false), "{no}");
        }
        for neither in ["", "2", "yess", "enabled", "-1"] {
            assert_eq!(boolean(neither), None, "{neither}");
        }
    }

    #[test]
    fn addresses() {
        for (text, address) in [
            ("192.0.2.1", Some("192.0.2.1:5060")),
            ("192.0.2.1:5070", Some("192.0.2.1:5070")),
            ("::", Some("[::]:5060")),
            ("[::1]", Some("[::1]:5060")),
            ("[2001:db8::1]:7", Some("[2001:db8::1]:7")),
            ("192.0.2.1:", None),
            ("192.0.2.1:70000", None),
            ("192.0.2", None),
            ("[192.0.2.1]", None),
            ("example.org", None),
            ("", None),
        ] {
            assert_eq!(
                socket_address(text, 5060).map(|a| a.to_string()).as_deref(),
                address,
                "{text}"
            );
        }
    }

    #[test]
    fn networks() {
        for (text, network) in [
            ("192.0.2.1", Ok("192.0.2.1/32")),
            ("192.0.2.77/24", Ok("192.0.2.0/24")),
            ("192.0.2.0/255.255.255.0", Ok("192.0.2.0/24")),
            ("0.0.0.0/0.0.0.0", Ok("0.0.0.0/0")),
            ("0.0.0.0/0", Ok("0.0.0.0/0")),
            ("2001:db8:1::/32", Ok("2001:db8::/32")),
            ("[2001:db8::]/ffff::", Ok("2001::/16")),
            ("::/0", Ok("::/0")),
            ("192.0.2.0/33", Err(NetworkError::Mask)),
            ("192.0.2.0/", Err(NetworkError::Mask)),
            ("192.0.2.0/255.0.255.0", Err(NetworkError::Mask)),
            ("192.0.2.0/ffff::", Err(NetworkError::Mask)),
            ("192.0.2.0/-1", Err(NetworkError::Mask)),
            ("2001:db8::/129", Err(NetworkError::Mask)),
            ("pbx/24", Err(NetworkError::Address)),
            ("", Err(NetworkError::Address)),
        ] {
            let parsed = text.parse::<Network>().map(|network| network.to_string());
            assert_eq!(parsed, network.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn networks_contain() {
        let network: Network = "192.0.2.0/24".parse().unwrap();
        assert!(network.contains("192.0.2.255".parse().unwrap()));
        assert!(network.contains("::ffff:192.0.2.1".parse().unwrap()));
        assert!(!network.contains("192.0.3.0".parse().unwrap()));
        assert!(!network.contains("2001:db8::1".parse().unwrap()));
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(!all.contains("2001:db8::1".parse().unwrap()));
        let mapped: Network = "::ffff:0:0/96".parse().unwrap();
        assert!(mapped.contains("::ffff:192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn host_names() {
        for name in ["pbx", "pbx.example.org", "a-b_c.example.", "1and1.example"] {
            assert!(is_host_name(name), "{name}");
        }
        for name in [
            "",
            "192.0.2",
            "a b",
            "a..b",
            "pbx:5060",
            &"x".repeat(64),
            "ä.example",
        ] {
            assert!(!is_host_name(name), "{name}");
        }
    }
}
