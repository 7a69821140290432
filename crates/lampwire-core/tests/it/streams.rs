//! Requests and answers over connections.

use std::net::SocketAddr;
use std::time::Duration;

use lampwire_core::{Certificate, FlowCommand, FlowId, TransportId};
use lampwire_sip::DeviceState;

use crate::bench::{Answer, Bench, PEER, RELATION, Request, Sent};

const TCP: TransportId = TransportId(1);
const TLS: TransportId = TransportId(2);

/// A node that tells its peer of devices by `server_uri`, with a transport of each kind.
fn telling(server_uri: &str, more: &str) -> Bench {
    let server_uri = server_uri.replace(';', "\\;");
    Bench::new(&format!(
        "[lampwire]\ntype=lampwire\nentity_id=02:00:00:00:00:01\nhttp_bind=\n\
         [udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:5060\n\
         [tcp]\ntype=transport\nprotocol=tcp\nbind=127.0.0.1:5060\n\
         [tls]\ntype=transport\nprotocol=tls\nbind=127.0.0.1:5061\n\
         [peer]\ntype=endpoint\n\
         [peer]\ntype=inbound-publication\nevent_asterisk-devicestate=peer\n\
         [peer]\ntype=asterisk-publication\ndevice_state=yes\n\
         [out]\ntype=outbound-publish\nserver_uri={server_uri}\nevent=asterisk-devicestate\n@lanes=1\n@probe=0\n{more}"
    ))
}

impl Bench {
    fn flows(&mut self) -> Vec<FlowCommand> {
        std::iter::from_fn(|| self.node.poll_flow()).collect()
    }

    /// What is to be opened now, which must be one connection.
    fn connect(&mut self) -> (FlowId, TransportId, SocketAddr, String) {
        match &self.flows()[..] {
            [
                FlowCommand::Connect {
                    flow,
                    transport,
                    remote,
                    server_name,
                },
            ] => (*flow, *transport, *remote, server_name.clone()),
            other => panic!("{other:?}"),
        }
    }

    fn open(&mut self, flow: FlowId) {
        self.node
            .handle_connected(self.now, flow, Certificate::default());
    }

    /// What is written to a connection now; it is taken at once.
    fn written(&mut self, on: FlowId) -> String {
        let mut text = String::new();
        while let Some(command) = self.node.poll_flow() {
            match command {
                FlowCommand::Write { flow, bytes } if flow == on => {
                    text.push_str(&String::from_utf8(bytes).unwrap());
                    self.node.handle_writable(self.now, flow);
                }
                other => panic!("{other:?}"),
            }
        }
        text
    }

    fn request_on(&mut self, flow: FlowId) -> Sent {
        let text = self.written(flow);
        assert!(text.starts_with("PUBLISH"), "{text}");
        Sent {
            to: PEER.parse().unwrap(),
            text,
        }
    }

    fn hear(&mut self, flow: FlowId, text: &str) {
        self.node.handle_stream(self.now, flow, text.as_bytes());
    }

    fn accept(&mut self, transport: TransportId, certificate: Certificate) -> FlowId {
        let remote = "127.0.0.2:40000".parse().unwrap();
        self.node
            .handle_accepted(self.now, transport, remote, certificate)
            .unwrap()
    }
}

const GRANTED: &str = "SIP-ETag: t\r\nExpires: 3600\r\n";

#[test]
fn states_go_by_one_connection_without_copies() {
    let mut bench = telling("sip:node@127.0.0.2;transport=tcp", "");
    bench.set("Custom:x1", DeviceState::InUse);
    let (flow, transport, remote, name) = bench.connect();
    assert_eq!(
        (transport, remote, name.as_str()),
        (TCP, PEER.parse().unwrap(), "")
    );
    bench.open(flow);
    let first = bench.request_on(flow);
    assert!(
        first
            .header("Via")
            .unwrap()
            .starts_with("SIP/2.0/TCP 127.0.0.1:5060;")
    );
    assert!(first.header("Via").unwrap().ends_with(";alias"));
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.written(flow), "");
    bench.hear(flow, &first.answer("200 OK", GRANTED));
    bench.set("Custom:x1", DeviceState::NotInUse);
    let second = bench.request_on(flow);
    assert_eq!(second.header("SIP-If-Match"), Some("t"));
    assert!(bench.copies().is_empty(), "nothing by UDP");
}

#[test]
fn a_lost_connection_is_opened_again_and_the_state_arrives() {
    let mut bench = telling("sip:node@127.0.0.2;transport=tcp", "");
    bench.set("Custom:x1", DeviceState::InUse);
    let (refused, ..) = bench.connect();
    bench
        .node
        .handle_closed(bench.now, refused, "connection refused");
    assert!(bench.notices().contains(&"peer-away"));
    bench.set("Custom:x1", DeviceState::Busy);
    bench.pass(Duration::from_secs(1));
    let (flow, ..) = bench.connect();
    bench.open(flow);
    let request = bench.request_on(flow);
    assert!(request.body().contains("BUSY"), "{request:?}");
    // It was taken, and then the connection broke: the answer comes by the next one.
    bench.node.handle_closed(bench.now, flow, "reset");
    bench.pass(Duration::from_secs(1));
    let (flow, ..) = bench.connect();
    bench.open(flow);
    let again = bench.request_on(flow);
    assert!(again.body().contains("BUSY"));
    bench.hear(flow, &again.answer("200 OK", GRANTED));
    assert!(bench.notices().contains(&"peer-back"));
    assert_eq!(bench.node.publishers(bench.now)[0].behind, 0);
}

#[test]
fn a_peer_that_is_silent_on_its_connection_is_asked_over_another() {
    // A stock Asterisk that is booting takes a connection and then says nothing on it for half a minute.
    let mut bench = telling("sip:node@127.0.0.2;transport=tcp", "");
    bench.set("Custom:x1", DeviceState::InUse);
    let (flow, ..) = bench.connect();
    bench.open(flow);
    bench.request_on(flow);
    bench.pass(Duration::from_secs(6));
    assert_eq!(bench.flows(), [FlowCommand::Close { flow }]);
    bench.pass(Duration::from_secs(1));
    let (other, ..) = bench.connect();
    assert_ne!(other, flow);
}

#[test]
fn tls_names_whom_the_certificate_must_name() {
    let mut bench = telling("sips:node@peer.example:5062", "");
    bench.set("Custom:x1", DeviceState::InUse);
    bench.resolve("peer.example", "127.0.0.2");
    let (flow, transport, remote, name) = bench.connect();
    let wanted = "127.0.0.2:5062".parse().unwrap();
    assert_eq!(
        (transport, remote, name.as_str()),
        (TLS, wanted, "peer.example")
    );
    bench.open(flow);
    let request = bench.request_on(flow);
    assert!(
        request
            .header("Via")
            .unwrap()
            .starts_with("SIP/2.0/TLS 127.0.0.1:5061;")
    );
    assert!(
        request
            .text
            .starts_with("PUBLISH sips:node@peer.example:5062 SIP/2.0")
    );
}

#[test]
fn a_request_in_pieces_is_answered_by_its_own_connection() {
    let mut bench = telling("sip:node@127.0.0.9", "");
    let flow = bench.accept(TCP, Certificate::default());
    let text = Request::new().text(&mut 0);
    for piece in text.as_bytes().chunks(7) {
        bench.node.handle_stream(bench.now, flow, piece);
    }
    let answer = Answer(bench.written(flow));
    assert_eq!(answer.status(), 200);
    assert_eq!(bench.lamp("Custom:x1"), Some("INUSE"));
    bench.hear(flow, "\r\n\r\n");
    assert_eq!(bench.written(flow), "\r\n", "a ping is answered");
    let two = format!(
        "{}{}",
        Request::new().text(&mut 1),
        Request::new().text(&mut 2)
    );
    bench.hear(flow, &two);
    assert_eq!(bench.written(flow).matches("SIP/2.0 200 OK").count(), 2);
    bench.hear(flow, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(bench.flows(), [FlowCommand::Close { flow }]);
    assert!(bench.notices().contains(&"stream-broken"));
}

#[test]
fn a_peer_with_an_alias_is_told_over_its_own_connection() {
    let mut bench = telling("sip:node@127.0.0.2;transport=tcp", "");
    let flow = bench.accept(TCP, Certificate::default());
    let request = Request::new().text(&mut 0);
    let via = "Via: SIP/2.0/TCP 127.0.0.2:5060;alias";
    bench.hear(
        flow,
        &request.replace("Via: SIP/2.0/UDP 127.0.0.2:5060", via),
    );
    assert!(bench.written(flow).starts_with("SIP/2.0 200"));
    bench.set("Custom:y", DeviceState::InUse);
    bench.request_on(flow);
    // Its end is no trouble: there is a way of our own.
    bench
        .node
        .handle_closed(bench.now, flow, "closed by the peer");
    bench.pass(Duration::from_secs(1));
    assert_ne!(bench.connect().0, flow);
}

#[test]
fn an_alias_of_somebody_who_is_nobody_is_not_believed() {
    let mut bench = telling("sip:node@127.0.0.2;transport=tcp", "");
    let flow = bench.accept(TCP, Certificate::default());
    let request = Request::new().user("nobody").text(&mut 0);
    let via = "Via: SIP/2.0/TCP 127.0.0.2:5060;alias";
    bench.hear(
        flow,
        &request.replace("Via: SIP/2.0/UDP 127.0.0.2:5060", via),
    );
    assert!(bench.written(flow).starts_with("SIP/2.0 403"));
    bench.set("Custom:y", DeviceState::InUse);
    assert_ne!(bench.connect().0, flow);
}

#[test]
fn a_long_request_goes_by_tcp_where_that_is_allowed_and_by_udp_where_it_is_refused() {
    let long = "x".repeat(250);
    let proxy = format!("outbound_proxy=sip:127.0.0.2\\;lr\\;{}\n", "p".repeat(1000));
    let name = format!("Custom:{}", &long[..240]);
    let mut usual = telling("sip:node@127.0.0.2", &proxy);
    usual.set(&name, DeviceState::InUse);
    assert_eq!(
        usual.requests().len(),
        1,
        "as Asterisk: not by TCP unless told"
    );

    let mut bench = telling(
        "sip:node@127.0.0.2",
        &format!("{proxy}[system]\ntype=system\ndisable_tcp_switch=no\n"),
    );
    bench.set(&name, DeviceState::InUse);
    let (flow, transport, ..) = bench.connect();
    assert_eq!(transport, TCP);
    assert!(bench.requests().is_empty());
    bench.open(flow);
    let request = bench.request_on(flow);
    assert!(request.text.len() > 1300);
    bench.hear(flow, &request.answer("200 OK", GRANTED));

    bench.set(&name, DeviceState::Busy);
    bench.request_on(flow);
    bench
        .node
        .handle_closed(bench.now, flow, "connection refused");
    let by_udp = bench.requests();
    assert_eq!(by_udp.len(), 1);
    assert!(by_udp[0].header("Via").unwrap().starts_with("SIP/2.0/UDP"));
    bench.grant(&by_udp[0], "t2");
    assert_eq!(bench.node.publishers(bench.now)[0].behind, 0);
    bench.set(&name, DeviceState::InUse);
    assert_eq!(bench.requests().len(), 1, "TCP is not tried again at once");
    assert!(bench.flows().is_empty());
}

#[test]
fn an_idle_connection_is_kept_by_pings() {
    let mut bench = telling("sip:node@127.0.0.2;transport=tcp", "@qualify_frequency=0\n");
    bench.set("Custom:x1", DeviceState::InUse);
    let (flow, ..) = bench.connect();
    bench.open(flow);
    let request = bench.request_on(flow);
    bench.hear(flow, &request.answer("200 OK", GRANTED));
    bench.pass(Duration::from_secs(91));
    assert_eq!(bench.written(flow), "\r\n\r\n");
}

#[test]
fn a_relation_without_connections_opens_none() {
    let mut bench = Bench::new(RELATION);
    bench.set("Custom:x1", DeviceState::InUse);
    bench.pass(Duration::from_secs(60));
    assert!(bench.flows().is_empty());
}
