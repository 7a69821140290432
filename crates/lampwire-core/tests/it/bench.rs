//! A node on a bench: datagrams are put in as text, and what comes out is read as text.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lampwire_conf::{Config, MapSource, Severity, load};
use lampwire_core::store::Record;
use lampwire_core::{
    Event, Node, NotReloaded, Notice, Now, Query, Records, ReloadReport, Setup, Time, TransportId,
    WallTime,
};
use lampwire_sip::{DeviceState, EntityId};

/// Where its only configured peer is.
pub(crate) const PEER: &str = "127.0.0.2:5060";
/// The peer's entity id.
pub(crate) const PEER_EID: &str = "02:00:00:00:00:02";
/// The node's entity id.
pub(crate) const NODE_EID: &str = "02:00:00:00:00:01";

/// The moment at which a bench begins.
pub(crate) const BEGIN: Now = Now {
    at: Time::from_micros(1_000_000),
    wall: WallTime::from_millis(1_767_225_600_000),
};

/// A node with one peer that exchanges everything, without credentials.
pub(crate) const RELATION: &str = "
[lampwire]
type=lampwire
entity_id=02:00:00:00:00:01
http_bind=
[udp]
type=transport
protocol=udp
bind=127.0.0.1:5060
[peer]
type=endpoint
[peer-device]
type=outbound-publish
server_uri=sip:node@127.0.0.2
event=asterisk-devicestate
@lanes=1
@probe=0
@qualify_frequency=0
[peer-mwi]
type=outbound-publish
server_uri=sip:node@127.0.0.2
event=asterisk-mwi
@lanes=1
@probe=0
@qualify_frequency=0
[peer]
type=inbound-publication
event_asterisk-devicestate=peer
event_asterisk-mwi=peer
[peer]
type=asterisk-publication
devicestate_publish=peer-device
mailboxstate_publish=peer-mwi
device_state=yes
mailbox_state=yes
";

/// A node that only takes: nothing of its own is in the way of an answer.
pub(crate) const TAKES_ONLY: &str = "
[lampwire]
type=lampwire
entity_id=02:00:00:00:00:01
http_bind=
[udp]
type=transport
protocol=udp
bind=127.0.0.1:5060
[peer]
type=endpoint
[other]
type=endpoint
[peer]
type=inbound-publication
event_asterisk-devicestate=peer
event_asterisk-mwi=peer
[peers-own]
type=inbound-publication
endpoint=peer
event_asterisk-devicestate=peer
[devices-only]
type=inbound-publication
event_asterisk-devicestate=peer
[peer]
type=asterisk-publication
device_state=yes
mailbox_state=yes
";

/// A node, and a clock that stands still until it is moved.
pub(crate) struct Bench {
    pub(crate) node: Node,
    pub(crate) now: Now,
    sent: Vec<(SocketAddr, String)>,
    next: u32,
}

impl Bench {
    /// A started node of this configuration, which must be without error.
    pub(crate) fn new(config: &str) -> Self {
        Self::at(config, NODE_EID.parse().unwrap(), BEGIN)
    }

    /// The same with another entity id, at a moment.
    pub(crate) fn at(config: &str, entity_id: EntityId, now: Now) -> Self {
        Self::born(config, entity_id, now, None)
    }

    /// The node ends, in order or not, and another of this configuration goes on from what was kept. Nothing that it had to send goes out.
    pub(crate) fn restarted(self, config: &str, in_order: bool) -> Self {
        self.away(config, in_order, Duration::ZERO)
    }

    /// The same, some time later.
    pub(crate) fn away(mut self, config: &str, in_order: bool, time: Duration) -> Self {
        let mut kept = BTreeMap::new();
        let (mut records, mut next) = self.node.everything(self.now, 0, 3);
        while let Some(from) = next {
            let (more, then) = self.node.everything(self.now, from, 3);
            records.extend(more);
            next = then;
        }
        records.extend(self.node.unsaved(self.now, 1000).records);
        if in_order {
            self.node.shutdown(self.now);
            records.extend(self.node.closing(self.now));
        }
        for record in records {
            kept.insert(record.key().into_owned(), record);
        }
        kept.retain(|_, record| !record.is_absence());
        let end = self.now.at + time;
        self.step_to(end);
        let entity_id = self.node.entity_id();
        let kept = kept.into_values().collect();
        Self::born(config, entity_id, self.now, Some(kept))
    }

    fn born(config: &str, entity_id: EntityId, now: Now, earlier: Option<Vec<Record>>) -> Self {
        let config = loaded(config);
        let bound: Vec<_> = (0..)
            .map(TransportId)
            .zip(config.transports.iter().map(|transport| transport.bind))
            .collect();
        let mut node = Node::new(
            now,
            Setup {
                config: Arc::new(config),
                entity_id,
                seed: [if earlier.is_some() { 8 } else { 7 }; 32],
                secret: [7; 32],
            },
        );
        if let Some(records) = earlier {
            node.restore(now, records);
        }
        node.watch(true);
        node.start(now, &bound);
        let mut bench = Self {
            node,
            now,
            sent: Vec::new(),
            next: 0,
        };
        bench.drain();
        bench
    }

    /// Another configuration, which must be without error, for the node at work.
    pub(crate) fn reload(&mut self, config: &str) -> Result<ReloadReport, NotReloaded> {
        self.node.reload(self.now, Arc::new(loaded(config)))
    }

    /// Puts a datagram in and gives what the node sends to its source because of it.
    pub(crate) fn put(&mut self, from: &str, text: &str) -> Vec<String> {
        self.put_bytes(from, text.as_bytes())
    }

    pub(crate) fn put_bytes(&mut self, from: &str, bytes: &[u8]) -> Vec<String> {
        let remote: SocketAddr = from.parse().unwrap();
        self.sent.clear();
        self.node
            .handle_datagram(self.now, TransportId(0), remote, bytes);
        self.drain();
        self.sent
            .iter()
            .filter(|(to, _)| *to == remote)
            .map(|(_, text)| text.clone())
            .collect()
    }

    /// Puts a request in, and gives the one answer to it.
    pub(crate) fn ask(&mut self, request: &Request) -> Answer {
        let text = request.text(&mut self.next);
        let answers = self.put(&request.from, &text);
        let answers: Vec<_> = answers
            .iter()
            .filter(|it| it.starts_with("SIP/2.0"))
            .collect();
        assert_eq!(answers.len(), 1, "one answer a request: {answers:?}");
        Answer(answers[0].clone())
    }

    /// The requests that the node has sent since it was last asked, copies left out.
    pub(crate) fn requests(&mut self) -> Vec<Sent> {
        let mut requests: Vec<Sent> = Vec::new();
        for request in self.copies() {
            if !requests.contains(&request) {
                requests.push(request);
            }
        }
        requests
    }

    /// The same with each copy.
    pub(crate) fn copies(&mut self) -> Vec<Sent> {
        self.drain();
        let requests = self
            .sent
            .drain(..)
            .filter(|(_, text)| !text.starts_with("SIP/2.0"));
        requests.map(|(to, text)| Sent { to, text }).collect()
    }

    /// Answers a request of the node's.
    pub(crate) fn answer(&mut self, request: &Sent, status: &str, headers: &str) {
        let text = request.answer(status, headers);
        let to = request.to;
        self.sent.clear();
        self.node
            .handle_datagram(self.now, TransportId(0), to, text.as_bytes());
    }

    /// Grants a PUBLISH of the node's with a tag.
    pub(crate) fn grant(&mut self, request: &Sent, tag: &str) {
        self.answer(
            request,
            "200 OK",
            &format!("SIP-ETag: {tag}\r\nExpires: 3600\r\n"),
        );
    }

    /// Lets time pass, with all that is due on the way.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let until = self.now.at + duration;
        self.sent.clear();
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= until) {
            self.step_to(at);
            self.node.handle_timeout(self.now);
            self.drain();
        }
        self.step_to(until);
    }

    /// The same, and how many answers left meanwhile.
    pub(crate) fn pass_and_count(&mut self, duration: Duration) -> usize {
        self.pass(duration);
        self.sent
            .iter()
            .filter(|(_, text)| text.starts_with("SIP/2.0"))
            .count()
    }

    fn step_to(&mut self, at: Time) {
        let at = at.max(self.now.at);
        self.now = Now {
            at,
            wall: self.now.wall + at.since(self.now.at),
        };
    }

    pub(crate) fn set(&mut self, device: &str, state: DeviceState) {
        self.node.set_device(self.now, device, state, true).unwrap();
    }

    /// The state that a device's lamp shows, as a word.
    pub(crate) fn lamp(&self, device: &str) -> Option<&'static str> {
        self.node.device(device).map(|it| it.state.as_str())
    }

    /// Answers what the node asks the DNS: one host has this address, and there is nothing else.
    pub(crate) fn resolve(&mut self, host: &str, address: &str) {
        while let Some(query) = self.node.poll_query() {
            let found = match &query {
                Query::Addresses(name) if name == host => {
                    Records::Addresses(vec![address.parse().unwrap()])
                }
                Query::Addresses(_) => continue,
                Query::Srv(_) => Records::Srv(Vec::new()),
                Query::Naptr(_) => Records::Naptr(Vec::new()),
            };
            self.node.handle_answer(self.now, &query, Ok(dns(found)));
        }
    }

    /// The codes of the notices since last asked.
    pub(crate) fn notices(&mut self) -> Vec<&'static str> {
        let mut codes = Vec::new();
        while let Some(event) = self.node.poll_event() {
            if let Event::Notice(Notice { code, .. }) = event {
                codes.push(code);
            }
        }
        codes
    }

    fn drain(&mut self) {
        while let Some(transmit) = self.node.poll_transmit() {
            let text = String::from_utf8(transmit.bytes.to_vec()).unwrap();
            self.sent.push((transmit.remote, text));
        }
    }
}

/// A configuration, which must be without error.
fn loaded(text: &str) -> Config {
    let mut source = MapSource::new([("node.conf", text)]);
    let (config, diagnostics) = load("node.conf", &mut source);
    let errors: Vec<_> = diagnostics
        .iter()
        .filter(|it| it.severity == Severity::Error)
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    config
}

/// An answer of the DNS that holds for a minute.
pub(crate) fn dns(records: Records) -> lampwire_core::Answer {
    lampwire_core::Answer {
        records,
        valid_for: Duration::from_secs(60),
    }
}

/// A PUBLISH of the peer's, each part of which can be replaced.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) from: String,
    pub(crate) method: &'static str,
    pub(crate) uri: String,
    pub(crate) user: String,
    pub(crate) event: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) expires: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) body: String,
    /// Whole lines, each ended by CR LF.
    pub(crate) extra: String,
    /// A branch of its own; else each request has a new one.
    pub(crate) branch: Option<String>,
}

impl Request {
    /// The peer says that Custom:x1 is in use.
    pub(crate) fn new() -> Self {
        Self {
            from: PEER.to_owned(),
            method: "PUBLISH",
            uri: "sip:peer@127.0.0.1".to_owned(),
            user: "peer".to_owned(),
            event: Some("asterisk-devicestate".to_owned()),
            tag: None,
            expires: None,
            content_type: Some("application/json".to_owned()),
            body: device("Custom:x1", "INUSE"),
            extra: String::new(),
            branch: None,
        }
    }

    pub(crate) fn saying(device_name: &str, state: &str) -> Self {
        Self::new().body(device(device_name, state))
    }

    pub(crate) fn refresh_of(tag: &str) -> Self {
        Self {
            body: String::new(),
            content_type: None,
            ..Self::new()
        }
        .tag(tag)
    }

    pub(crate) fn body(self, body: impl Into<String>) -> Self {
        Self {
            body: body.into(),
            ..self
        }
    }

    pub(crate) fn tag(self, tag: &str) -> Self {
        Self {
            tag: Some(tag.to_owned()),
            ..self
        }
    }

    pub(crate) fn expires(self, seconds: &str) -> Self {
        Self {
            expires: Some(seconds.to_owned()),
            ..self
        }
    }

    pub(crate) fn event(self, event: &str) -> Self {
        Self {
            event: Some(event.to_owned()),
            ..self
        }
    }

    pub(crate) fn uri(self, uri: &str) -> Self {
        Self {
            uri: uri.to_owned(),
            ..self
        }
    }

    pub(crate) fn user(self, user: &str) -> Self {
        Self {
            user: user.to_owned(),
            ..self
        }
    }

    pub(crate) fn branch(self, branch: &str) -> Self {
        Self {
            branch: Some(branch.to_owned()),
            ..self
        }
    }

    pub(crate) fn extra(self, lines: &str) -> Self {
        Self {
            extra: lines.to_owned(),
            ..self
        }
    }

    pub(crate) fn from(self, address: &str) -> Self {
        Self {
            from: address.to_owned(),
            ..self
        }
    }

    pub(crate) fn text(&self, next: &mut u32) -> String {
        *next += 1;
        let branch = self
            .branch
            .clone()
            .unwrap_or_else(|| format!("z9hG4bKtest{next}"));
        let line = |name: &str, value: &Option<String>| {
            value
                .as_ref()
                .map_or_else(String::new, |value| format!("{name}: {value}\r\n"))
        };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};rport;branch={branch}\r\n\
             From: <sip:{user}@127.0.0.1>;tag=f{next}\r\nTo: <{uri}>\r\nCall-ID: call\r\nCSeq: {next} {method}\r\n\
             Max-Forwards: 70\r\n{event}{tag}{expires}{content_type}{extra}Content-Length: {length}\r\n\r\n{body}",
            method = self.method,
            uri = self.uri,
            from = self.from,
            user = self.user,
            event = line("Event", &self.event),
            tag = line("SIP-If-Match", &self.tag),
            expires = line("Expires", &self.expires),
            content_type = line("Content-Type", &self.content_type),
            extra = self.extra,
            length = self.body.len(),
            body = self.body,
        )
    }
}

/// An answer of the node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer(pub(crate) String);

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.0[8..11].parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.0, name)
    }

    pub(crate) fn tag(&self) -> &str {
        self.header("SIP-ETag")
            .expect("a 2xx to a PUBLISH has a tag")
    }
}

/// A request of the node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) to: SocketAddr,
    pub(crate) text: String,
}

impl Sent {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.text, name)
    }

    pub(crate) fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").unwrap().1
    }

    /// The text of an answer to it.
    pub(crate) fn answer(&self, status: &str, headers: &str) -> String {
        format!(
            "SIP/2.0 {status}\r\n{}\r\n{}\r\n{};tag=peer\r\n{}\r\n{}\r\n{headers}Content-Length: 0\r\n\r\n",
            self.line("Via"),
            self.line("From"),
            self.line("To"),
            self.line("Call-ID"),
            self.line("CSeq"),
        )
    }

    fn line(&self, name: &str) -> &str {
        let prefix = format!("{name}: ");
        self.text
            .split("\r\n")
            .find(|line| line.starts_with(&prefix))
            .unwrap()
    }
}

fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let prefix = format!("{name}: ");
    let head = text.split_once("\r\n\r\n")?.0;
    head.split("\r\n")
        .find_map(|line| line.strip_prefix(&prefix))
}

/// The body of a device state of the peer's.
pub(crate) fn device(name: &str, state: &str) -> String {
    format!(
        r#"{{"type":"devicestate","device":"{name}","state":"{state}","cachable":1,"eid":"{PEER_EID}"}}"#
    )
}

/// The body of a mailbox state of the peer's.
pub(crate) fn mailbox(name: &str, new: u32, old: u32) -> String {
    format!(
        r#"{{"type":"mailboxstate","uniqueid":"{name}","old":{old},"new":{new},"eid":"{PEER_EID}"}}"#
    )
}
