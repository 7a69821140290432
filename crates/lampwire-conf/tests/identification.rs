//! Whose request is it.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use lampwire_conf::{Identifier, MapSource, RequestFacts, Severity, load};

struct Request<'a> {
    source: &'a str,
    from: Option<&'a str>,
    host: &'a str,
    credentials: &'a [&'a str],
    uri: &'a str,
    header: (&'a str, &'a [&'a str]),
}

const REQUEST: Request<'static> = Request {
    source: "192.0.2.1",
    from: None,
    host: "h",
    credentials: &[],
    uri: "sip:r@h",
    header: ("", &[]),
};

struct Node {
    identifier: Identifier,
    names: Vec<String>,
}

fn node(text: &str) -> Node {
    let (config, diagnostics) = load("f", &mut MapSource::new([("f", text)]));
    assert!(
        diagnostics.iter().all(|d| d.severity != Severity::Error),
        "{diagnostics:?}"
    );
    Node {
        identifier: Identifier::new(&config),
        names: config
            .endpoints
            .iter()
            .map(|endpoint| endpoint.name.clone())
            .collect(),
    }
}

impl Node {
    fn of(&self, request: &Request<'_>) -> Option<&str> {
        let headers = |name: &str, each: &mut dyn FnMut(&str)| {
            if name.eq_ignore_ascii_case(request.header.0) {
                request.header.1.iter().for_each(|value| each(value));
            }
        };
        let facts = RequestFacts {
            source: request.source.parse().unwrap(),
            from_user: request.from,
            from_host: request.host,
            auth_usernames: request.credentials,
            request_uri: request.uri,
            headers: &headers,
        };
        self.identifier
            .identify(&facts)
            .map(|index| self.names[index].as_str())
    }

    fn source(&self, source: &str) -> Option<&str> {
        self.of(&Request { source, ..REQUEST })
    }

    fn user(&self, user: &str, host: &str) -> Option<&str> {
        self.of(&Request {
            from: Some(user),
            host,
            ..REQUEST
        })
    }
}

#[test]
fn by_user_name() {
    let node = node(
        "[a]\ntype=endpoint\n[a@one.example]\ntype=endpoint\n[A]\ntype=endpoint\n[b]\ntype=endpoint\nidentify_by=ip\n",
    );
    assert_eq!(node.user("a", "two.example"), Some("a"));
    assert_eq!(node.user("a", "One.Example"), Some("a@one.example"));
    assert_eq!(node.user("A", "h"), Some("A"));
    assert_eq!(node.user("b", "h"), None);
    assert_eq!(node.user("", "h"), None);
    assert_eq!(node.user("a;phone-context=x", "h"), None);
    assert_eq!(node.of(&REQUEST), None);
}

#[test]
fn user_options_can_be_left_out() {
    let node = node("[g]\ntype=global\nignore_uri_user_options=yes\n[a]\ntype=endpoint\n");
    assert_eq!(node.user("a;phone-context=x", "h"), Some("a"));
    assert_eq!(node.user(";a", "h"), None);
}

#[test]
fn by_address() {
    let node = node(
        "[a]\ntype=endpoint\n[b]\ntype=endpoint\n[c]\ntype=endpoint\nidentify_by=username\n\
         [1]\ntype=identify\nendpoint=c\nmatch=0.0.0.0/0\n\
         [2]\ntype=identify\nendpoint=a\nmatch=10.0.0.0/8,!10.1.0.0/16\nmatch=10.1.2.3\n\
         [3]\ntype=identify\nendpoint=b\nmatch=10.0.0.0/8,2001:db8::/32\n",
    );
    // The first section that fits, in the order of the file; one whose endpoint does not allow it is passed over.
    assert_eq!(node.source("10.0.0.1"), Some("a"));
    assert_eq!(node.source("::ffff:10.0.0.1"), Some("a"));
    assert_eq!(node.source("10.1.0.1"), Some("b"));
    assert_eq!(node.source("10.1.2.3"), Some("a"));
    assert_eq!(node.source("2001:db8::7"), Some("b"));
    assert_eq!(node.source("192.0.2.1"), None);
}

#[test]
fn by_host_name() {
    let mut node = node(
        "[a]\ntype=endpoint\n[i]\ntype=identify\nendpoint=a\nmatch=PBX.example,other.example\nmatch=pbx.example\n",
    );
    assert_eq!(
        node.identifier.host_names().collect::<Vec<_>>(),
        ["other.example", "pbx.example"]
    );
    assert_eq!(node.source("192.0.2.9"), None);
    let address: IpAddr = "192.0.2.9".parse().unwrap();
    node.identifier.set_addresses("Pbx.Example", &[address]);
    node.identifier
        .set_addresses("unknown.example", &["192.0.2.10".parse().unwrap()]);
    assert_eq!(node.source("192.0.2.9"), Some("a"));
    assert_eq!(node.source("192.0.2.10"), None);
    node.identifier.set_addresses("pbx.example", &[]);
    assert_eq!(node.source("192.0.2.9"), None);
}

#[test]
fn by_credentials() {
    let node = node(
        "[g]\ntype=global\nendpoint_identifier_order=username,auth_username\n[a]\ntype=endpoint\nidentify_by=auth_username\n[b]\ntype=endpoint\n",
    );
    let with = |from, credentials| {
        node.of(&Request {
            from,
            credentials,
            ..REQUEST
        })
    };
    assert_eq!(with(None, &["x", "a"]), Some("a"));
    assert_eq!(with(Some("a"), &[]), None);
    assert_eq!(with(Some("b"), &["a"]), Some("b"));
    assert_eq!(with(None, &["b"]), None);
}

#[test]
fn by_header() {
    let node = node(
        "[g]\ntype=global\nendpoint_identifier_order=header\n[a]\ntype=endpoint\nidentify_by=header\n[b]\ntype=endpoint\nidentify_by=header\n\
         [1]\ntype=identify\nendpoint=a\nmatch_header=X-Peer: one\n[2]\ntype=identify\nendpoint=b\nmatch_header=X-Peer: /^tw+o/\n",
    );
    let with = |name, values| {
        node.of(&Request {
            header: (name, values),
            ..REQUEST
        })
    };
    assert_eq!(with("x-peer", &["one"]), Some("a"));
    assert_eq!(with("x-peer", &["zero", "one"]), Some("a"));
    assert_eq!(with("x-peer", &["One"]), None);
    assert_eq!(with("x-peer", &["twwo and more"]), Some("b"));
    assert_eq!(with("x-peer", &["TWO"]), None);
    assert_eq!(with("x-other", &["one"]), None);
}

#[test]
fn by_request_uri() {
    let node = node(
        "[g]\ntype=global\nendpoint_identifier_order=request_uri\n[a]\ntype=endpoint\nidentify_by=request_uri\n[b]\ntype=endpoint\nidentify_by=request_uri\n\
         [1]\ntype=identify\nendpoint=a\nmatch_request_uri=sip:one@h\n[2]\ntype=identify\nendpoint=b\nmatch_request_uri=/^sip:two/\n",
    );
    assert_eq!(
        node.of(&Request {
            uri: "sip:one@h",
            ..REQUEST
        }),
        Some("a")
    );
    assert_eq!(
        node.of(&Request {
            uri: "sip:one@h:5060",
            ..REQUEST
        }),
        None
    );
    assert_eq!(
        node.of(&Request {
            uri: "sip:two@h;x=y",
            ..REQUEST
        }),
        Some("b")
    );
}

#[test]
fn by_nothing() {
    let node = node(
        "[anonymous]\ntype=endpoint\nidentify_by=ip\n[anonymous@one.example]\ntype=endpoint\n[a]\ntype=endpoint\n",
    );
    assert_eq!(node.user("stranger", "h"), Some("anonymous"));
    assert_eq!(
        node.user("stranger", "ONE.example"),
        Some("anonymous@one.example")
    );
    assert_eq!(node.user("a", "h"), Some("a"));
    assert_eq!(node.of(&REQUEST), Some("anonymous"));
}

#[test]
fn in_the_configured_order() {
    let sections = "[a]\ntype=endpoint\n[b]\ntype=endpoint\n[i]\ntype=identify\nendpoint=b\nmatch=192.0.2.0/24\n";
    assert_eq!(node(sections).user("a", "h"), Some("b"));
    let other = format!("[g]\ntype=global\nendpoint_identifier_order=username,ip\n{sections}");
    assert_eq!(node(&other).user("a", "h"), Some("a"));
    assert_eq!(node(&other).user("x", "h"), Some("b"));
    let users = format!("[g]\ntype=global\nendpoint_identifier_order=username\n{sections}");
    assert_eq!(node(&users).user("x", "h"), None);
}
