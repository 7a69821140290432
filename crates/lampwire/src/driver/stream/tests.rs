//! Connections between two sides on loopback, without a node.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream as StdStream;

use super::*;
use crate::driver::tls::tests::certificates::{Authority, Signed};
use crate::driver::tls::tests::{Directory, fixture, load};

/// How long anything may take before a test fails.
const DEADLINE: Duration = Duration::from_secs(20);

const FLOW: FlowId = FlowId(1);

/// One side: a transport and its connections.
struct Side {
    connections: Connections,
    local: SocketAddr,
}

impl Side {
    fn new(tls: Option<Tls>) -> Self {
        let transport = StreamTransport::bind(
            TransportId(0),
            "127.0.0.1:0".parse().unwrap(),
            Marks { tos: 0xb8, cos: 3 },
            Some(TcpKeepalive {
                idle_time: Duration::from_secs(30),
                interval: Duration::from_secs(10),
                probe_count: 5,
            }),
            tls,
        )
        .unwrap();
        let local = transport.local;
        let mut connections =
            Connections::new(std::iter::once(&transport), runtime::Handle::current());
        connections.listen(vec![transport]);
        Self { connections, local }
    }

    fn tcp() -> Self {
        Self::new(None)
    }

    fn tls(options: &str) -> Self {
        Self::new(Some(load(options).0.unwrap()))
    }

    async fn next(&mut self) -> Happened {
        timeout(DEADLINE, self.connections.next()).await.unwrap()
    }

    fn connect(&mut self, remote: SocketAddr, server_name: &str) {
        let command = FlowCommand::Connect {
            flow: FLOW,
            transport: TransportId(0),
            remote,
            server_name: server_name.to_owned(),
        };
        self.connections.obey(command).unwrap();
    }

    fn write(&mut self, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        let command = FlowCommand::Write { flow: FLOW, bytes };
        self.connections.obey(command).unwrap();
    }

    fn close(&mut self) {
        let command = FlowCommand::Close { flow: FLOW };
        self.connections.obey(command).unwrap();
    }

    /// Bytes until there are these, and nothing else.
    async fn reads(&mut self, expected: &[u8]) {
        let mut read = Vec::new();
        while read.len() < expected.len() {
            match self.next().await {
                Happened::Data { flow: FLOW, bytes } => read.extend(bytes),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(read, expected);
    }

    async fn is_refused(&mut self) -> String {
        match self.next().await {
            Happened::Refused { why, .. } => why,
            other => panic!("{other:?}"),
        }
    }

    /// The other side has said its last.
    async fn is_ended(&mut self) {
        match self.next().await {
            Happened::Ended { flow: FLOW } => (),
            other => panic!("{other:?}"),
        }
    }

    async fn is_closed(&mut self) -> String {
        match self.next().await {
            Happened::Closed { flow: FLOW, why } => why,
            other => panic!("{other:?}"),
        }
    }
}

/// What each side knows of the other, or why there is no connection: the client, then the server.
type Shaken = (Result<Certificate, String>, Result<Certificate, String>);

async fn shake(client: &mut Side, server: &mut Side, server_name: &str) -> Shaken {
    client.connect(server.local, server_name);
    let (at_client, at_server) = tokio::join!(client.next(), server.next());
    let at_server = match at_server {
        Happened::Accepted {
            certificate, link, ..
        } => {
            server.connections.welcome(link, FLOW);
            Ok(certificate)
        }
        Happened::Refused { why, .. } => Err(why),
        other => panic!("{other:?}"),
    };
    let at_client = match at_client {
        Happened::Closed { why, .. } => Err(why),
        // With TLS 1.3 the client is through before the server has looked at its certificate.
        Happened::Connected { certificate, .. } if at_server.is_ok() => Ok(certificate),
        Happened::Connected { .. } => Err(client.is_closed().await),
        other => panic!("{other:?}"),
    };
    (at_client, at_server)
}

#[tokio::test]
async fn bytes_cross_both_ways_and_an_end_is_told() {
    let (mut client, mut server) = (Side::tcp(), Side::tcp());
    let (at_client, at_server) = shake(&mut client, &mut server, "server.test").await;
    assert_eq!(
        (at_client, at_server),
        (Ok(Certificate::default()), Ok(Certificate::default()))
    );
    client.write(b"one");
    assert!(matches!(
        client.next().await,
        Happened::Written { flow: FLOW }
    ));
    server.reads(b"one").await;
    let large = vec![7; 1024 * 1024];
    server.write(&large);
    client.reads(&large).await;
    assert!(matches!(
        server.next().await,
        Happened::Written { flow: FLOW }
    ));
    // What was written before a close still leaves.
    client.write(b"the end");
    client.close();
    server.reads(b"the end").await;
    server.is_ended().await;
    // A connection that is not there: nothing.
    client.close();
    client.write(b"lost");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_told() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let remote = unused.local_addr().unwrap();
    drop(unused);
    let mut client = Side::tcp();
    client.connect(remote, "server.test");
    assert_eq!(
        client.is_closed().await,
        format!("{remote}: connection refused: nothing listens there")
    );
}

#[tokio::test]
async fn a_connection_that_the_node_does_not_want_is_closed() {
    let (mut client, mut server) = (Side::tcp(), Side::tcp());
    client.connect(server.local, "server.test");
    assert!(matches!(client.next().await, Happened::Connected { .. }));
    match server.next().await {
        Happened::Accepted { link, .. } => drop(link),
        other => panic!("{other:?}"),
    }
    client.is_ended().await;
}

#[tokio::test]
async fn a_peer_that_reads_nothing_does_not_outlive_its_close() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Side::tcp();
    client.connect(listener.local_addr().unwrap(), "server.test");
    assert!(matches!(client.next().await, Happened::Connected { .. }));
    let _silent = listener.accept().unwrap();
    // More than the buffers of both systems take.
    client.write(&vec![0; 64 * 1024 * 1024]);
    client.close();
    // The listener's task is the other one that can tell something.
    let ended = async {
        while client.connections.happened.sender_strong_count() > 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, ended).await.unwrap();
}

/// Files of a lab: an authority, and a certificate for the server and one for the client.
struct Lab {
    directory: Directory,
    authority: Authority,
}

impl Lab {
    fn new() -> Self {
        let lab = Self {
            directory: Directory::new(),
            authority: Authority::new("Lab"),
        };
        lab.directory.write("authority.pem", &lab.authority.pem);
        lab
    }

    /// Options for a side that shows this certificate.
    fn showing(&self, name: &str, signed: &Signed) -> String {
        let pem = format!("{}{}", signed.key, signed.certificate);
        format!("cert_file={}\n", self.directory.write(name, &pem))
    }

    /// Options for a side that trusts the authority.
    fn trusting(&self) -> String {
        format!("ca_list_file={}\n", self.directory.path("authority.pem"))
    }

    /// A reason without the directory's name.
    fn plain(&self, reason: Result<Certificate, String>) -> String {
        let path = self.directory.path("");
        reason.unwrap_err().replace(&path, "")
    }
}

#[tokio::test]
async fn certificates_are_checked_both_ways() {
    for method in ["tlsv1_2", "tlsv1_3"] {
        let lab = Lab::new();
        let trusting = lab.trusting();
        let server = lab.showing(
            "server.pem",
            &lab.authority.sign(&["server.test", "127.0.0.1"]),
        );
        let client = lab.showing("client.pem", &lab.authority.sign(&["client.test"]));
        let mut server = Side::tls(&format!(
            "{server}{trusting}verify_client=yes\nrequire_client_cert=yes\nmethod={method}"
        ));
        let mut client = Side::tls(&format!("{client}{trusting}verify_server=yes"));
        let (at_client, at_server) = shake(&mut client, &mut server, "server.test").await;
        let certificate = at_client.unwrap();
        assert!(certificate.verified);
        assert_eq!(certificate.names, ["server.test", "127.0.0.1"]);
        let certificate = at_server.unwrap();
        assert!(certificate.verified);
        assert_eq!(certificate.names, ["client.test"]);
        client.write(b"one");
        server.reads(b"one").await;
        server.close();
        assert!(matches!(client.next().await, Happened::Written { .. }));
        assert_eq!(
            client.is_closed().await,
            "the other side closed the connection right after the handshake, as an Asterisk does that refuses our certificate: its log \
             says why"
        );
    }
}

#[tokio::test]
async fn a_certificate_is_taken_as_it_is_where_none_is_checked() {
    let lab = Lab::new();
    let other = Authority::new("Other");
    let mut server = Side::tls(&lab.showing("server.pem", &other.sign(&["server.test"])));
    let mut client = Side::tls(&lab.showing("client.pem", &other.sign(&["client.test"])));
    let (at_client, at_server) = shake(&mut client, &mut server, "elsewhere.test").await;
    let (at_client, at_server) = (at_client.unwrap(), at_server.unwrap());
    assert!(!at_client.verified && !at_server.verified);
    assert_eq!(at_client.names, ["server.test"]);
    assert_eq!(at_server.names, ["client.test"]);
    // A client need not have one.
    let (_, at_server) = shake(&mut Side::tls(""), &mut server, "server.test").await;
    assert_eq!(at_server, Ok(Certificate::default()));
}

#[tokio::test]
async fn a_server_that_is_not_who_was_meant_is_refused() {
    let refused_at_server = |alert: &str, meaning: &str| {
        format!("the other side refused the handshake ({alert}): {meaning}")
    };
    let not_accepted = "it does not accept our certificate; its log says why";
    let old = |params: &mut rcgen::CertificateParams| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    };
    let young = |params: &mut rcgen::CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2120, 1, 1);
        params.not_after = rcgen::date_time_ymd(2121, 1, 1);
    };
    let clients = |params: &mut rcgen::CertificateParams| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    };
    let lab = Lab::new();
    let lab_signs = |name: &str| lab.authority.sign(&[name]);
    let table = [
        (
            Authority::new("Other").sign(&["server.test"]),
            "its certificate (for server.test) is not signed by an authority in authority.pem: UnknownIssuer",
            refused_at_server(
                "UnknownCA",
                "it does not know the authority that signed our certificate",
            ),
        ),
        (
            // The same name, another key.
            Authority::new("Lab").sign(&["server.test"]),
            "its certificate (for server.test) is not signed by the authority in authority.pem that it names: BadSignature",
            refused_at_server(
                "DecryptError",
                "a signature is wrong, of our certificate as a rule; its log says why",
            ),
        ),
        (
            lab_signs("other.test"),
            "its certificate is for other.test, and not for server.test; let server_uri= name the peer as its certificate does, or give \
             the peer one with that name",
            refused_at_server("BadCertificate", not_accepted),
        ),
        (
            lab_signs("*.test"),
            "its certificate is for *.test, and not for server.test; let server_uri= name the peer as its certificate does, or give the \
             peer one with that name",
            refused_at_server("BadCertificate", not_accepted),
        ),
        (
            lab.authority.sign_with(&["server.test"], old),
            "its certificate (for server.test) has expired on 2020-01-01T00:00:00Z: it is to be renewed",
            refused_at_server("CertificateExpired", "it takes our certificate for expired"),
        ),
        (
            lab.authority.sign_with(&["server.test"], young),
            "its certificate (for server.test) is not valid before 2120-01-01T00:00:00Z: see the clocks of both machines",
            refused_at_server("CertificateExpired", "it takes our certificate for expired"),
        ),
        (
            lab.authority.sign_with(&["server.test"], clients),
            "its certificate (for server.test) is not made for this: its extendedKeyUsage has no serverAuth",
            refused_at_server("UnsupportedCertificate", not_accepted),
        ),
    ];
    let mut client = Side::tls(&format!("{}verify_server=yes", lab.trusting()));
    for (signed, why_client, why_server) in table {
        let mut server = Side::tls(&lab.showing("server.pem", &signed));
        let (at_client, at_server) = shake(&mut client, &mut server, "server.test").await;
        let expected = format!("{}: {why_client}", server.local);
        assert_eq!(
            (lab.plain(at_client), at_server),
            (expected, Err(why_server))
        );
    }
    let star = lab_signs("*.lamps.test");
    let mut server = Side::tls(&lab.showing("server.pem", &star));
    let (at_client, _) = shake(&mut client, &mut server, "server.lamps.test").await;
    assert_eq!(
        lab.plain(at_client),
        format!(
            "{}: its certificate is for *.lamps.test, and not for server.lamps.test; set allow_wildcard_certs=yes",
            server.local
        )
    );
    let mut server = Side::tls(&lab.showing("server.pem", &star));
    let mut client = Side::tls(&format!(
        "{}verify_server=yes\nallow_wildcard_certs=yes",
        lab.trusting()
    ));
    let (at_client, _) = shake(&mut client, &mut server, "server.lamps.test").await;
    assert!(at_client.unwrap().verified);
}

#[tokio::test]
async fn a_client_that_nobody_vouches_for_is_refused() {
    let lab = Lab::new();
    let server = lab.showing("server.pem", &lab.authority.sign(&["server.test"]));
    let other = Authority::new("Other");
    let stranger = lab.showing("stranger.pem", &other.sign(&["client.test"]));
    for method in ["tlsv1_2", "tlsv1_3"] {
        let mut server = Side::tls(&format!(
            "{server}{}verify_client=yes\nrequire_client_cert=yes\nmethod={method}",
            lab.trusting()
        ));
        let (at_client, at_server) =
            shake(&mut Side::tls(&stranger), &mut server, "server.test").await;
        assert_eq!(
            lab.plain(at_server),
            "its certificate (for client.test) is not signed by an authority in authority.pem: UnknownIssuer"
        );
        let at_client = at_client.unwrap_err();
        assert!(
            at_client.ends_with(
                "the other side refused the handshake (UnknownCA): it does not know the authority that signed our certificate"
            ),
            "{at_client}"
        );
        let (at_client, at_server) = shake(&mut Side::tls(""), &mut server, "server.test").await;
        assert_eq!(
            at_server.unwrap_err(),
            "it shows no certificate, and require_client_cert=yes wants one"
        );
        let at_client = at_client.unwrap_err();
        assert!(
            at_client.contains("the other side refused the handshake"),
            "{at_client}"
        );
    }
}

#[tokio::test]
async fn a_certificate_of_a_server_does_for_a_client_and_one_of_a_client_too() {
    let lab = Lab::new();
    let server = lab.showing("server.pem", &lab.authority.sign(&["server.test"]));
    for purpose in [
        rcgen::ExtendedKeyUsagePurpose::ServerAuth,
        rcgen::ExtendedKeyUsagePurpose::ClientAuth,
    ] {
        let mut server = Side::tls(&format!("{server}{}verify_client=yes", lab.trusting()));
        let signed = lab.authority.sign_with(&["client.test"], |params| {
            params.extended_key_usages = vec![purpose];
        });
        let mut client = Side::tls(&lab.showing("client.pem", &signed));
        let (_, at_server) = shake(&mut client, &mut server, "server.test").await;
        assert!(at_server.unwrap().verified);
    }
}

#[tokio::test]
async fn a_certificate_that_signs_itself_is_its_own_authority() {
    let lab = Lab::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["server.test".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let signed = Signed {
        certificate: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    };
    lab.directory.write("authority.pem", &signed.certificate);
    let mut server = Side::tls(&lab.showing("server.pem", &signed));
    let mut client = Side::tls(&format!("{}verify_server=yes", lab.trusting()));
    let (at_client, _) = shake(&mut client, &mut server, "server.test").await;
    assert!(at_client.unwrap().verified);
}

#[tokio::test]
async fn certificates_of_asterisks_own_script_are_checked() {
    for method in ["tlsv1_2", "tlsv1_3"] {
        let both = format!(
            "cert_file={}\nca_list_file={}\nverify_server=yes\nverify_client=yes\nmethod={method}\n",
            fixture("certificate.pem"),
            fixture("authority.pem")
        );
        let (mut client, mut server) = (Side::tls(&both), Side::tls(&both));
        let (at_client, at_server) = shake(&mut client, &mut server, "pbx.example.org").await;
        let expected = Certificate {
            verified: true,
            subject: Some("pbx.example.org".to_owned()),
            names: Vec::new(),
        };
        assert_eq!((at_client, at_server), (Ok(expected.clone()), Ok(expected)));
        // Another authority, and one that has its name.
        for name in ["Other", "Asterisk Private CA"] {
            let lab = Lab::new();
            lab.directory
                .write("authority.pem", &Authority::new(name).pem);
            let mut client = Side::tls(&format!("{}verify_server=yes", lab.trusting()));
            let (at_client, _) = shake(&mut client, &mut server, "pbx.example.org").await;
            assert_eq!(
                lab.plain(at_client),
                format!(
                    "{}: its certificate (for CN=pbx.example.org) is not signed by an authority in authority.pem: UnknownIssuer",
                    server.local
                )
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_tls_is_told() {
    let lab = Lab::new();
    let mut server = Side::tls(&lab.showing("server.pem", &lab.authority.sign(&["server.test"])));
    let mut stream = StdStream::connect(server.local).unwrap();
    stream
        .write_all(b"OPTIONS sip:server.test SIP/2.0\r\n\r\n")
        .unwrap();
    assert_eq!(
        server.is_refused().await,
        "what the other side says is not TLS: is that a port for TCP?"
    );
    let mut rest = Vec::new();
    // It is told off in TLS, and then it ends.
    let _ = stream.read_to_end(&mut rest);

    let without = Side::tls("");
    let mut client = Side::tcp();
    client.connect(without.local, "server.test");
    assert!(client.is_closed().await.ends_with("nothing listens there"));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_shakes_hands_is_dropped() {
    let lab = Lab::new();
    let mut server = Side::tls(&lab.showing("server.pem", &lab.authority.sign(&["server.test"])));
    let mut silent = StdStream::connect(server.local).unwrap();
    assert_eq!(
        server.is_refused().await,
        "its handshake was not complete after 10 s"
    );
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let remote = listener.local_addr().unwrap();
    let mut client = Side::tls("");
    client.connect(remote, "server.test");
    assert_eq!(
        client.is_closed().await,
        format!("{remote}: no connection after 10 s")
    );
}

#[tokio::test]
async fn the_end_says_goodbye() {
    let lab = Lab::new();
    let mut server = Side::tls(&lab.showing("server.pem", &lab.authority.sign(&["server.test"])));
    let mut client = Side::tls("");
    shake(&mut client, &mut server, "server.test")
        .await
        .0
        .unwrap();
    server.write(b"one");
    server.connections.end().await;
    client.reads(b"one").await;
    client.is_ended().await;
}

#[test]
fn handshakes_are_counted_by_address_and_by_network() {
    let handshakes = Arc::new(Handshakes::default());
    let of_network = |host: usize| -> IpAddr { format!("2001:db8::{host:x}").parse().unwrap() };
    let mut held: Vec<Handshake> = (0..HANDSHAKES_OF_AN_ADDRESS)
        .map(|_| handshakes.begin(of_network(1)).unwrap())
        .collect();
    assert!(handshakes.begin(of_network(1)).is_none());
    let others = 2..=HANDSHAKES_OF_A_NETWORK - held.len() + 1;
    held.extend(others.map(|host| handshakes.begin(of_network(host)).unwrap()));
    assert!(handshakes.begin(of_network(0xffff)).is_none());
    assert!(
        handshakes
            .begin("2001:db8:0:1::1".parse().unwrap())
            .is_some()
    );
    assert!(handshakes.begin("192.0.2.1".parse().unwrap()).is_some());
    held.clear();
    assert!(handshakes.0.lock().unwrap().iter().all(BTreeMap::is_empty));
}
