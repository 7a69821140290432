//! What the fuzz targets of the whole node and the replay of their corpora run. Not part of the interface.

mod cluster;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lampwire_conf::{Config, MapSource, load};
use lampwire_sip::{DeviceState, Message, StartLine};

pub use self::cluster::cluster;
use crate::io::{Answer, Records, SrvRecord};
use crate::{Certificate, FlowCommand, FlowId, Node, Now, Setup, Time, TransportId, WallTime};

/// The name of a target, which is that of its corpus, and what runs one case of it.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, for the replay.
pub const TARGETS: [Target; 2] = [("node", node), ("cluster", cluster)];

/// A hub with an honest peer, the victim, and two others of which anything may come.
const CONFIG: &str = "\
[lampwire]\ntype=lampwire\nentity_id=02:00:00:00:00:01\nhttp_bind=\nrelay=yes\nhold_time=7\n\
[udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:5060\n\
[tcp]\ntype=transport\nprotocol=tcp\nbind=127.0.0.1:5060\n\
[tls]\ntype=transport\nprotocol=tls\nbind=127.0.0.1:5061\n\
[victim]\ntype=endpoint\nidentify_by=ip\n\
[victim]\ntype=identify\nendpoint=victim\nmatch=127.0.0.9\n\
[a]\ntype=endpoint\nauth=a\n@allowed_eids=02:00:00:00:0a:*\n@max_devices=20\n@request_rate=50\n\
[a]\ntype=auth\nusername=a\npassword=p\nsupported_algorithms_uas=SHA-256,MD5\n\
[b]\ntype=endpoint\n@allowed_eids=02:00:00:00:0b:*\n@identify_by_certificate=subject:b\n\
[c]\ntype=endpoint\n@allowed_eids=02:00:00:00:0c:*\n\
[a-device]\ntype=outbound-publish\nserver_uri=sip:hub@127.0.0.2\nevent=asterisk-devicestate\n@lanes=2\noutbound_auth=a\n\
[a-mwi]\ntype=outbound-publish\nserver_uri=sip:hub@peer.example\nevent=asterisk-mwi\n@lanes=1\n@rate_limit=20\n\
[c-device]\ntype=outbound-publish\nserver_uri=sip:hub@127.0.0.4\\;transport=tcp\nevent=asterisk-devicestate\n@device_state_filter=^C\n@lanes=2\n\
[victim]\ntype=inbound-publication\nendpoint=victim\nevent_asterisk-devicestate=victim\nevent_asterisk-mwi=victim\n\
[a]\ntype=inbound-publication\nendpoint=a\nevent_asterisk-devicestate=a\nevent_asterisk-mwi=a\n\
[open]\ntype=inbound-publication\nevent_asterisk-devicestate=c\nevent_asterisk-mwi=c\n\
[victim]\ntype=asterisk-publication\ndevice_state=yes\nmailbox_state=yes\n\
[a]\ntype=asterisk-publication\ndevicestate_publish=a-device\nmailboxstate_publish=a-mwi\ndevice_state=yes\nmailbox_state=yes\n\
[c]\ntype=asterisk-publication\ndevicestate_publish=c-device\ndevice_state=yes\ndevice_state_filter=^[CP]\nmailbox_state=yes\n\
[r]\ntype=rewrite\npeer=c\ndevice=SIP/* -> PJSIP/*\nstate=UNAVAILABLE -> NOT_INUSE\n";

/// What a reload makes of it: less of some things, more of others, and a peer that is no more.
fn other_config() -> String {
    let without_c = CONFIG.split("[c-device]").next().unwrap_or_default();
    let rest = "[victim]\ntype=inbound-publication";
    let rest = CONFIG
        .split_once(rest)
        .map(|(_, it)| it)
        .unwrap_or_default();
    let changed = format!("{without_c}[victim]\ntype=inbound-publication{rest}");
    changed
        .replace("devicestate_publish=c-device\n", "")
        .replace("@max_devices=20", "@max_devices=5")
        .replace("hold_time=7", "hold_time=40")
        .replace(
            "[r]\ntype=rewrite\npeer=c\ndevice=SIP/* -> PJSIP/*",
            "[r]\ntype=rewrite\npeer=a\ndevice=P* -> C*",
        )
        .replace(
            "event=asterisk-devicestate\n@lanes=2\noutbound_auth=a",
            "event=asterisk-devicestate\n@lanes=1\n@canary=yes\n@device_state_filter=^P",
        )
        .replace(
            "identify_by=ip\n",
            "identify_by=ip\n[new]\ntype=identify\nendpoint=c\nmatch=new.example\n",
        )
}

/// The device of the victim's that nobody else may touch.
const TREASURE: &str = "Victim/1";

/// The most that one input may lead to: every lane of every publish, and answers.
const OUTPUTS_OF_AN_INPUT: usize = 2_000;

/// The most timers that a second of the clock may bring.
const TIMERS_OF_A_SECOND: usize = 20_000;

/// Reads the bytes as what happens to a node, one thing after the other. The victim's state stays as it is, whatever is sent leaves as
/// messages, and nothing goes on for ever.
pub fn node(data: &[u8]) {
    let mut world = World::new([CONFIG.to_owned(), other_config()].map(loaded));
    world.victim_speaks();
    let mut dice = Dice { data, at: 0 };
    // Longer inputs find nothing that shorter ones do not, and take their time.
    for _ in 0..200 {
        if dice.at >= data.len() {
            break;
        }
        world.step(&mut dice);
        world.check();
    }
    world.pass(Duration::from_secs(40));
    world.check();
}

fn loaded(text: String) -> Arc<Config> {
    let mut source = MapSource::new([("node.conf", text.as_str())]);
    Arc::new(load("node.conf", &mut source).0)
}

/// The bytes of a case, read as choices.
struct Dice<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Dice<'a> {
    fn byte(&mut self) -> u8 {
        let byte = self.data.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    fn choose<T: Copy>(&mut self, among: &[T]) -> T {
        among[usize::from(self.byte()) % among.len()]
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()) * 4;
        let rest = self.data.get(self.at..).unwrap_or_default();
        let taken = &rest[..length.min(rest.len())];
        self.at += taken.len();
        taken
    }
}

/// A node and what has been seen of it.
struct World {
    /// The one that is in force, and the one that a reload brings.
    configs: [Arc<Config>; 2],
    node: Node,
    now: Now,
    lives: u8,
    /// Datagrams that were put in, and requests and tags that came out: the newest few.
    put: Vec<(SocketAddr, Vec<u8>)>,
    requests: Vec<(Option<FlowId>, SocketAddr, String)>,
    tags: Vec<String>,
    nonces: Vec<String>,
    flows: Vec<FlowId>,
    treasure: DeviceState,
}

const SOURCES: [&str; 6] = [
    "127.0.0.2:5060",
    "127.0.0.4:5060",
    "127.0.0.5:5062",
    "192.0.2.1:5060",
    "192.0.2.1:40000",
    "[2001:db8::1]:5060",
];

/// How many of each kind are remembered.
const REMEMBERED: usize = 32;

impl World {
    fn new(configs: [Arc<Config>; 2]) -> Self {
        let now = Now {
            at: Time::from_micros(1_000_000),
            wall: WallTime::from_millis(1_767_225_600_000),
        };
        let mut world = Self {
            node: Self::born(&configs[0], now, 1),
            configs,
            now,
            lives: 1,
            put: Vec::new(),
            requests: Vec::new(),
            tags: Vec::new(),
            nonces: Vec::new(),
            flows: Vec::new(),
            treasure: DeviceState::InUse,
        };
        world.start();
        world
    }

    fn born(config: &Arc<Config>, now: Now, life: u8) -> Node {
        let setup = Setup {
            config: Arc::clone(config),
            entity_id: [2, 0, 0, 0, 0, 1].into(),
            seed: [life; 32],
            secret: [7; 32],
        };
        let mut node = Node::new(now, setup);
        node.watch(true);
        node
    }

    fn start(&mut self) {
        let transports = self.configs[0].transports.iter().map(|it| it.bind);
        let bound: Vec<_> = (0..).map(TransportId).zip(transports).collect();
        self.node.start(self.now, &bound);
        self.drain();
    }

    fn victim_speaks(&mut self) {
        let body = format!(
            r#"{{"type":"devicestate","device":"{TREASURE}","state":"INUSE","cachable":1,"eid":"02:00:00:00:00:09"}}"#
        );
        let request = format!(
            "PUBLISH sip:victim@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.9;branch=z9hG4bKvictim\r\nFrom: <sip:v@v>;tag=1\r\n\
             To: <sip:victim@127.0.0.1>\r\nCall-ID: v\r\nCSeq: 1 PUBLISH\r\nEvent: asterisk-devicestate\r\nExpires: 60\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let remote = SocketAddr::from(([127, 0, 0, 9], 5060));
        self.node
            .handle_datagram(self.now, TransportId(0), remote, request.as_bytes());
        self.drain();
        assert!(self.tags.len() == 1, "the victim's state is taken");
    }

    fn step(&mut self, dice: &mut Dice<'_>) {
        match dice.byte() % 16 {
            0 => {
                let bytes = dice.bytes().to_vec();
                self.datagram(dice, bytes);
            }
            1..=4 => {
                let request = self.request(dice);
                self.datagram(dice, request.into_bytes());
            }
            5 => self.again(dice),
            6..=8 => self.answer(dice),
            9 => {
                let millis = dice.choose(&[1, 100, 500, 1_000, 5_000, 12_000, 40_000, 4_000_000]);
                self.pass(Duration::from_millis(millis));
            }
            10 => self.open(dice),
            11 => {
                let text = match dice.byte() % 3 {
                    0 => dice.bytes().to_vec(),
                    _ => self.request(dice).into_bytes(),
                };
                let cut = usize::from(dice.byte()) * text.len() / 255;
                if let Some(flow) = self.flow(dice) {
                    self.node.handle_stream(self.now, flow, &text[..cut]);
                    self.drain();
                    self.node.handle_stream(self.now, flow, &text[cut..]);
                }
            }
            12 => self.turn_flow(dice),
            13 => self.set(dice),
            14 => self.resolve(dice),
            _ => match dice.byte() % 8 {
                0 => self.restart(true),
                1 => self.restart(false),
                2 => {
                    // The wall clock jumps.
                    let wall = self.now.wall.as_millis();
                    self.now.wall = WallTime::from_millis(match dice.byte() % 2 {
                        0 => wall.saturating_sub(86_400_000),
                        _ => wall.saturating_add(86_400_000),
                    });
                }
                3 => {
                    let target = dice.choose(&["127.0.0.2:5060", "127.0.0.4:5060"]);
                    let target = target.parse().expect("an address");
                    self.node
                        .handle_unreachable(self.now, TransportId(0), target);
                }
                4 | 5 => {
                    let reloaded = self.node.reload(self.now, Arc::clone(&self.configs[1]));
                    if reloaded.is_ok() {
                        self.configs.swap(0, 1);
                    }
                }
                _ => drop(self.node.refresh(self.now, None)),
            },
        }
        self.drain();
    }

    fn datagram(&mut self, dice: &mut Dice<'_>, bytes: Vec<u8>) {
        let remote: SocketAddr = dice.choose(&SOURCES).parse().expect("an address");
        self.node
            .handle_datagram(self.now, TransportId(0), remote, &bytes);
        remember(&mut self.put, (remote, bytes));
    }

    /// A request that is nearly right.
    fn request(&mut self, dice: &mut Dice<'_>) -> String {
        let method = dice.choose(&[
            "PUBLISH", "PUBLISH", "PUBLISH", "PUBLISH", "OPTIONS", "CANCEL", "INVITE", "ACK",
        ]);
        let user = dice.choose(&["a", "b", "c", "victim", "nobody", "c%00"]);
        let resource = dice.choose(&["a", "open", "open", "victim", "none", ""]);
        let event = dice.choose(&["asterisk-devicestate", "asterisk-mwi", "presence"]);
        let eid = dice.choose(&[
            "02:00:00:00:0a:01",
            "02:00:00:00:0b:01",
            "02:00:00:00:0c:01",
            "02:00:00:00:0c:02",
            "02:00:00:00:00:01",
            "02:00:00:00:00:09",
        ]);
        let name = dice.choose(&["C1", "C2", "P3", TREASURE, "SIP/1", "PJSIP/1", "x\\u0000"]);
        let state = dice.choose(&["INUSE", "NOT_INUSE", "INVALID", "UNAVAILABLE", "what"]);
        let number = dice.byte();
        let extra = match dice.byte() % 6 {
            0 => format!(
                r#","by":"02:00:00:00:0c:02","life":{},"seq":{number}"#,
                number % 3
            ),
            1 => format!(r#","by":"02:00:00:00:0c:01","life":9,"seq":{number},"lost":true"#),
            2 => r#","by":"02:00:00:00:00:01","life":9999999999999,"seq":1"#.to_owned(),
            3 => format!(r#","life":{number},"seen":9999999999999,"filter":"^(C|[P-S])+$""#),
            _ => String::new(),
        };
        let mut media_type = "application/json";
        let body = match (dice.byte() % 11, event) {
            (0, _) => String::new(),
            (1, _) => format!(r#"{{"type":"refresh","eid":"{eid}"{extra}}}"#),
            (2, _) => format!(r#"{{"type":"beat","eid":"{eid}"{extra}}}"#),
            (3, _) => format!(r#"{{"type":"dumped","eid":"{eid}"}}"#),
            (4, _) => format!(r#"{{"type":"canary","eid":"{eid}","round":{number}}}"#),
            (5, _) => format!(
                r#"{{"type":"beat","eid":"02:00:00:00:0c:02","by":"02:00:00:00:0c:02","seq":{number},"complete":{},"held":"{eid}"}}"#,
                number / 2
            ),
            (6 | 7, event) => {
                media_type = "application/vnd.lampwire.states+json";
                many(event, [eid, name, state], number, dice)
            }
            (_, "asterisk-mwi") => format!(
                r#"{{"type":"mailboxstate","uniqueid":"{name}","old":{},"new":{},"eid":"{eid}"{extra}}}"#,
                number / 16,
                number % 16
            ),
            _ => format!(
                r#"{{"type":"devicestate","device":"{name}","state":"{state}","cachable":{},"eid":"{eid}"{extra}}}"#,
                number & 1
            ),
        };
        let mut headers = format!("Event: {event}\r\n");
        if dice.byte().is_multiple_of(2)
            && let Some(tag) = pick(&self.tags, dice)
        {
            headers.push_str(&format!("SIP-If-Match: {tag}\r\n"));
        }
        match dice.byte() % 6 {
            0 => headers.push_str("Expires: 0\r\n"),
            1 => headers.push_str("Expires: 10\r\n"),
            2 => headers.push_str("Require: x\r\n"),
            _ => {}
        }
        if let Some(nonce) = pick(&self.nonces, dice) {
            headers.push_str(&format!(
                "Authorization: Digest username=\"a\",realm=\"asterisk\",nonce=\"{nonce}\",uri=\"sip:{resource}@127.0.0.1\",\
                 response=\"00112233445566778899aabbccddeeff\",algorithm=MD5,qop=auth,nc=0000000{},cnonce=\"c\"\r\n",
                number % 10
            ));
        }
        format!(
            "{method} sip:{resource}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5060;rport;branch=z9hG4bK{};alias\r\n\
             From: <sip:{user}@x>;tag=f\r\nTo: <sip:{resource}@127.0.0.1>\r\nCall-ID: {number}\r\nCSeq: {number} {method}\r\n{headers}\
             Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n{body}",
            dice.byte(),
            body.len()
        )
    }

    /// A datagram of before, as it was or with a byte changed.
    fn again(&mut self, dice: &mut Dice<'_>) {
        let Some((remote, mut bytes)) = pick(&self.put, dice) else {
            return;
        };
        let (at, flip) = (dice.byte(), dice.byte());
        if !bytes.is_empty() {
            let at = usize::from(at) * bytes.len() / 256;
            bytes[at] ^= flip;
        }
        self.node
            .handle_datagram(self.now, TransportId(0), remote, &bytes);
    }

    /// An answer to a request of the node's.
    fn answer(&mut self, dice: &mut Dice<'_>) {
        let Some((flow, remote, request)) = pick(&self.requests, dice) else {
            return;
        };
        let status = dice.choose(&[
            "200 OK", "200 OK", "200 OK", "412 x", "401 x", "423 x", "503 x", "403 x", "100 x",
            "302 x", "600 x",
        ]);
        let number = dice.byte();
        let headers = match dice.byte() % 8 {
            0 => format!("SIP-ETag: {number}\r\nExpires: 60\r\n"),
            1 => format!("SIP-ETag: t{number}\r\nExpires: {number}\r\n"),
            2 => format!("Retry-After: {number}000000\r\n"),
            3 => format!("Min-Expires: {number}\r\n"),
            4 => "WWW-Authenticate: Digest realm=\"asterisk\",nonce=\"n\",algorithm=MD5,qop=\"auth\"\r\n".to_owned(),
            5 => String::new(),
            _ => format!("SIP-ETag: {number}\r\n"),
        };
        let line = |name: &str| {
            let found = request.split("\r\n").find(|line| line.starts_with(name));
            found.unwrap_or_default().to_owned()
        };
        let answer = format!(
            "SIP/2.0 {status}\r\n{}\r\n{}\r\n{};tag=t\r\n{}\r\n{}\r\n{headers}Content-Length: 0\r\n\r\n",
            line("Via:"),
            line("From:"),
            line("To:"),
            line("Call-ID:"),
            line("CSeq:")
        );
        match flow {
            Some(flow) => self.node.handle_stream(self.now, flow, answer.as_bytes()),
            None => self
                .node
                .handle_datagram(self.now, TransportId(0), remote, answer.as_bytes()),
        }
    }

    fn open(&mut self, dice: &mut Dice<'_>) {
        let remote = dice.choose(&SOURCES).parse().expect("an address");
        let transport = TransportId(dice.choose(&[1, 2]));
        let certificate = Certificate {
            verified: dice.byte().is_multiple_of(2),
            subject: Some(dice.choose(&["b", "x"]).to_owned()),
            names: vec!["127.0.0.4".to_owned()],
        };
        let flow = self
            .node
            .handle_accepted(self.now, transport, remote, certificate);
        if let Some(flow) = flow {
            remember(&mut self.flows, flow);
        }
    }

    fn turn_flow(&mut self, dice: &mut Dice<'_>) {
        let Some(flow) = self.flow(dice) else { return };
        match dice.byte() % 4 {
            0 => self
                .node
                .handle_connected(self.now, flow, Certificate::default()),
            1 => self.node.handle_writable(self.now, flow),
            2 => self.node.handle_ended(self.now, flow),
            _ => self.node.handle_closed(self.now, flow, "closed"),
        }
    }

    fn flow(&self, dice: &mut Dice<'_>) -> Option<FlowId> {
        pick(&self.flows, dice)
    }

    fn set(&mut self, dice: &mut Dice<'_>) {
        let name = dice.choose(&["C1", "C9", "PJSIP/1", TREASURE]);
        let state = dice.choose(&DeviceState::ALL);
        let _ = match dice.byte() % 4 {
            0 => self
                .node
                .set_device(self.now, name, state, dice.byte() & 1 == 0)
                .map(drop),
            1 => self.node.unset_device(self.now, name),
            2 => self
                .node
                .set_mailbox(self.now, name, u16::from(dice.byte()), 0)
                .map(drop),
            _ => self.node.unset_mailbox(self.now, name),
        };
    }

    fn resolve(&mut self, dice: &mut Dice<'_>) {
        let Some(query) = self.node.poll_query() else {
            return;
        };
        let records = match &query {
            crate::Query::Addresses(_) => {
                Records::Addresses(vec![dice.choose(&[[127, 0, 0, 2], [127, 0, 0, 5]]).into()])
            }
            crate::Query::Srv(_) => Records::Srv(vec![SrvRecord {
                priority: u16::from(dice.byte()),
                weight: u16::from(dice.byte()),
                port: 5060,
                target: dice
                    .choose(&["peer.example", ".", "other.example"])
                    .to_owned(),
            }]),
            crate::Query::Naptr(_) => Records::Naptr(Vec::new()),
        };
        let answer = match dice.byte() % 3 {
            0 => Err("no answer".to_owned()),
            _ => Ok(Answer {
                records,
                valid_for: Duration::from_secs(u64::from(dice.byte())),
            }),
        };
        self.node.handle_answer(self.now, &query, answer);
    }

    fn restart(&mut self, in_order: bool) {
        let mut records = Vec::new();
        let mut next = Some(0);
        while let Some(from) = next {
            let (page, then) = self.node.everything(self.now, from, 7);
            records.extend(page);
            next = then;
        }
        records.extend(self.node.unsaved(self.now, 100).records);
        if in_order {
            self.node.shutdown(self.now);
            self.drain();
            records.extend(self.node.closing(self.now));
        }
        let kept: BTreeMap<_, _> = records
            .into_iter()
            .map(|it| (it.key().into_owned(), it))
            .collect();
        self.lives = self.lives.wrapping_add(1);
        self.node = Self::born(&self.configs[0], self.now, self.lives);
        self.node.restore(self.now, kept.into_values().collect());
        self.flows.clear();
        self.requests.clear();
        self.start();
    }

    fn pass(&mut self, duration: Duration) {
        let until = self.now.at + duration;
        let seconds = usize::try_from(duration.as_secs()).unwrap_or(0).min(50) + 1;
        let mut count = 0;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= until) {
            self.step_to(at.max(self.now.at));
            self.node.handle_timeout(self.now);
            self.drain();
            count += 1;
            assert!(
                count < TIMERS_OF_A_SECOND * seconds,
                "a timer that is due for ever"
            );
        }
        self.step_to(until);
    }

    fn step_to(&mut self, at: Time) {
        let wall = self.now.wall + at.since(self.now.at);
        self.now = Now { at, wall };
    }

    /// Takes what the node has to send: each a message that we ourselves can read.
    fn drain(&mut self) {
        let mut outputs = 0;
        let mut texts = Vec::new();
        while let Some(transmit) = self.node.poll_transmit() {
            texts.push((None, transmit.remote, transmit.bytes.to_vec()));
            outputs += 1;
        }
        while let Some(command) = self.node.poll_flow() {
            outputs += 1;
            match command {
                FlowCommand::Connect { flow, .. } => remember(&mut self.flows, flow),
                FlowCommand::Write { flow, bytes } => {
                    let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
                    if bytes.len() > 4 {
                        texts.push((Some(flow), nobody, bytes));
                    }
                }
                FlowCommand::Close { flow } => self.flows.retain(|other| *other != flow),
            }
        }
        while self.node.poll_event().is_some() {}
        assert!(
            outputs < OUTPUTS_OF_AN_INPUT,
            "{outputs} outputs of one input"
        );
        for (flow, remote, bytes) in texts {
            let message = Message::parse(&bytes).expect("what is sent is SIP");
            assert_eq!(message.defect().filter(|_| flow.is_none()), None);
            if let Some(tag) = message.etag() {
                remember(&mut self.tags, tag.to_owned());
            }
            if let Some(challenge) = message.challenges().flatten().next() {
                remember(&mut self.nonces, challenge.nonce.to_string());
            }
            if let StartLine::Request { .. } = message.start() {
                let text = String::from_utf8(bytes.clone()).expect("what is sent is UTF-8");
                remember(&mut self.requests, (flow, remote, text));
            }
        }
    }

    /// What must hold whatever has happened.
    fn check(&mut self) {
        let device = self.node.device(TREASURE);
        let treasure = device
            .iter()
            .flat_map(|device| &device.entities)
            .find(|entity| entity.eid == [2, 0, 0, 0, 0, 9].into());
        let state = treasure.map(|entity| entity.state);
        assert_eq!(state, Some(self.treasure), "the victim's state was touched");
        assert!(self.node.states() < 1_000);
        assert!(self.node.publications(self.now).len() < 2_000);
        let _ = (self.node.peers(self.now), self.node.publishers(self.now));
    }
}

/// The body of a request that brings many states, of several entity ids.
fn many(event: &str, [eid, name, state]: [&str; 3], number: u8, dice: &mut Dice<'_>) -> String {
    let group = |dice: &mut Dice<'_>| {
        let of = dice.choose(&[eid, "02:00:00:00:0c:01", "02:00:00:00:0c:03"]);
        let relayed = dice.byte().is_multiple_of(2);
        let (version, behind) = match relayed {
            true => (
                format!(r#","by":"02:00:00:00:0c:02","seq":{number}"#),
                format!(",{}", dice.byte()),
            ),
            false => (String::new(), String::new()),
        };
        let lost = if relayed && dice.byte().is_multiple_of(4) {
            r#","lost":true"#
        } else {
            ""
        };
        let states: Vec<String> = (0..dice.byte() % 4)
            .map(|index| match event {
                "asterisk-mwi" => format!(r#"["{name}{index}",{},{index}]"#, number % 5),
                _ => format!(r#"["{name}{index}","{state}"{behind}]"#),
            })
            .collect();
        let kind = match event {
            "asterisk-mwi" => "mailboxes",
            _ => "devices",
        };
        format!(
            r#"{{"eid":"{of}"{version}{lost},"{kind}":[{}]}}"#,
            states.join(",")
        )
    };
    let groups: Vec<String> = (0..=dice.byte() % 3).map(|_| group(dice)).collect();
    format!("[{}]", groups.join(","))
}

fn remember<T>(list: &mut Vec<T>, item: T) {
    if list.len() >= REMEMBERED {
        list.remove(0);
    }
    list.push(item);
}

fn pick<T: Clone>(list: &[T], dice: &mut Dice<'_>) -> Option<T> {
    let index = usize::from(dice.byte());
    (!list.is_empty()).then(|| list[index % list.len()].clone())
}
