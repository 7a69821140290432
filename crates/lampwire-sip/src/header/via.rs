//! Via (RFC 3261 20.42, RFC 3581).

use std::fmt;

use crate::params::Params;
use crate::text;
use crate::uri::{Host, parse_port};

/// One Via: where an answer goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// How the request was sent.
    pub transport: Transport<'a>,
    /// Who says to have sent it.
    pub host: Host<'a>,
    /// The port of that, where one is written.
    pub port: Option<u16>,
    /// The transaction's identifier.
    pub branch: Option<&'a str>,
    /// The address that the request came from, as the receiver saw it.
    pub received: Option<&'a str>,
    /// `Some(None)`: the sender asks for answers to the port it sent from; `Some(Some(port))`: that port, as the receiver saw it.
    pub rport: Option<Option<u16>>,
    /// All parameters.
    pub params: Params<'a>,
}

/// The transport that a Via names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport<'a> {
    /// `UDP`
    Udp,
    /// `TCP`
    Tcp,
    /// `TLS`
    Tls,
    /// `WS`
    Ws,
    /// `WSS`
    Wss,
    /// Another, as it was written.
    Other(&'a str),
}

impl<'a> Transport<'a> {
    /// The transport of a word, in any case.
    pub fn parse(word: &'a str) -> Self {
        match word {
            _ if word.eq_ignore_ascii_case("UDP") => Self::Udp,
            _ if word.eq_ignore_ascii_case("TCP") => Self::Tcp,
            _ if word.eq_ignore_ascii_case("TLS") => Self::Tls,
            _ if word.eq_ignore_ascii_case("WS") => Self::Ws,
            _ if word.eq_ignore_ascii_case("WSS") => Self::Wss,
            _ => Self::Other(word),
        }
    }

    /// Its word.
    pub const fn as_str(&self) -> &'a str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
            Self::Other(word) => word,
        }
    }
}

impl<'a> Via<'a> {
    /// Reads one value; `None` where it is malformed.
    pub fn parse(value: &'a str) -> Option<Self> {
        let (name, rest) = text::cut(value, b'/')?;
        let (version, rest) = text::cut(rest, b'/')?;
        let rest = rest.trim_start_matches(text::is_blank);
        let blank = text::find_blank(rest)?;
        let (transport, rest) = rest.split_at(blank);
        let is_sip = text::trim(name).eq_ignore_ascii_case("SIP") && text::trim(version) == "2.0";
        if !is_sip || !text::is_token(transport) {
            return None;
        }
        let (sent_by, params) = text::cut(rest, b';').unwrap_or((rest, ""));
        let (host, port) = sent_by_of(text::trim(sent_by))?;
        let params = Params::new(params);
        // An answer adds to them.
        let [rport, branch, received] = params.whole(["rport", "branch", "received"])?;
        let rport = match rport {
            None => None,
            Some(None | Some("")) => Some(None),
            Some(Some(port)) => Some(Some(parse_port(port).ok()?)),
        };
        Some(Self {
            transport: Transport::parse(transport),
            host,
            port,
            branch: branch.flatten().filter(|branch| !branch.is_empty()),
            received: received.flatten(),
            rport,
            params,
        })
    }
}

/// Host and port, which may have blanks around the colon.
fn sent_by_of(text: &str) -> Option<(Host<'_>, Option<u16>)> {
    if text::find_blank(text).is_none() {
        return Host::parse_with_port(text).ok();
    }
    let (host, port) = text.rsplit_once(':')?;
    let (host, none) = Host::parse_with_port(text::trim(host)).ok()?;
    if none.is_some() {
        return None;
    }
    parse_port(text::trim(port))
        .ok()
        .map(|port| (host, Some(port)))
}

impl fmt::Display for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport.as_str(), self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if !self.params.as_str().is_empty() {
            write!(f, ";{}", self.params.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_an_asterisks() {
        let via = Via::parse("SIP/2.0/UDP 127.0.1.1:5060;rport;branch=z9hG4bKPje0889a2d").unwrap();
        assert_eq!(via.transport, Transport::Udp);
        assert_eq!(
            (via.host, via.port),
            (Host::V4([127, 0, 1, 1].into()), Some(5060))
        );
        assert_eq!(
            (via.branch, via.rport),
            (Some("z9hG4bKPje0889a2d"), Some(None))
        );
    }

    #[test]
    fn takes_blanks_wherever_the_grammar_has_them() {
        let via =
            Via::parse("SIP / 2.0\r\n / UDP  first.example.com : 4000 ;ttl=16 ; branch = z9hG4bK1")
                .unwrap();
        assert_eq!(
            (via.host, via.port),
            (Host::Name("first.example.com"), Some(4000))
        );
        assert_eq!(via.branch, Some("z9hG4bK1"));
        let v6 = Via::parse("SIP/2.0/TLS [2001:db8::9];received=2001:db8::1;rport=5061").unwrap();
        assert_eq!((v6.transport, v6.rport), (Transport::Tls, Some(Some(5061))));
        assert_eq!(v6.received, Some("2001:db8::1"));
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/3.0/UDP a",
            "HTTP/2.0/UDP a",
            "SIP/2.0/U@P a",
            "SIP/2.0/UDP a:b",
            "SIP/2.0/UDP a:70000",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP a;rport=x",
            "SIP/2.0/UDP a;x=\"y;branch=z",
            "SIP/2.0/UDP a;x=<y;branch=z",
            "SIP/2.0/UDP a;rport=+1",
            "SIP/2.0/UDP a;rport=0",
            "SIP/2.0/UDP a : 0",
            "SIP/2.0/UDP a : +1",
        ] {
            assert!(Via::parse(text).is_none(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn printed_and_read_again_it_is_the_same(
            transport in "UDP|TCP|TLS|SCTP",
            host in "[a-z][a-z0-9.]{0,10}|10\\.0\\.0\\.1|\\[::1\\]",
            port in prop::option::of(1u16..),
            params in prop::collection::vec("[a-z]{1,8}(=[a-zA-Z0-9]{1,8})?", 0..4),
        ) {
            let mut text = format!("SIP/2.0/{transport} {host}");
            if let Some(port) = port { text.push_str(&format!(":{port}")); }
            for param in params { text.push_str(&format!(";{param}")); }
            if let Some(via) = Via::parse(&text) {
                prop_assert_eq!(via.to_string(), text.as_str());
                let printed = via.to_string();
                prop_assert_eq!(Via::parse(&printed), Some(via));
            }
        }

        #[test]
        fn nothing_makes_it_panic(text in ".{0,60}") {
            let _ = Via::parse(&text);
        }
    }
}
