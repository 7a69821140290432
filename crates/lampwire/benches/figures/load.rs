//! PUBLISHes in a closed loop: so many on their way, and another one for each answer.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use lampwire_sip::Message;

use crate::digest::Session;

/// Publications side by side; each has one request on its way at most.
pub(crate) const LANES: usize = 200;
/// Requests on their way at most.
const AT_ONCE: usize = 50;
/// How long an answer may take before a copy leaves, and all of it before the bench gives up.
const COPY_AFTER: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);

/// What is published.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A device state as Asterisk tells it.
    DeviceState,
    /// A presence document of about the same size, for Kamailio.
    Presence,
}

/// One sender at one address.
pub(crate) struct Load {
    socket: UdpSocket,
    from: SocketAddr,
    to: SocketAddr,
    event: Event,
    secret: Option<(String, String)>,
    session: Option<Session>,
    lanes: Vec<Lane>,
    /// Of each device whether it is in use.
    devices: Vec<bool>,
    turn: u64,
    /// Bytes of requests, and how many.
    pub(crate) written: (u64, u64),
}

#[derive(Clone, Default)]
struct Lane {
    tag: Option<String>,
    cseq: u32,
    device: usize,
    bytes: Vec<u8>,
    flight: Option<Instant>,
}

impl Load {
    /// A sender of states of so many devices.
    pub(crate) fn new(from: SocketAddr, to: SocketAddr, event: Event, devices: usize) -> Self {
        let socket = UdpSocket::bind(from).expect("the sender's address is free");
        socket.connect(to).expect("loopback");
        let wait = Some(Duration::from_millis(100));
        socket.set_read_timeout(wait).expect("a time-out");
        Self {
            socket,
            from,
            to,
            event,
            secret: None,
            session: None,
            lanes: vec![Lane::default(); LANES],
            devices: vec![false; devices],
            turn: 0,
            written: (0, 0),
        }
    }

    /// The same, who knows a password.
    pub(crate) fn with_secret(self, user: &str, password: &str) -> Self {
        Self {
            secret: Some((user.to_owned(), password.to_owned())),
            ..self
        }
    }

    /// Knows so many devices from now on.
    pub(crate) fn grow(&mut self, devices: usize) {
        self.devices.resize(devices, false);
    }

    /// Tells each device from the first to the last of these once.
    pub(crate) fn fill(&mut self, devices: std::ops::Range<usize>) {
        let mut next = devices.clone();
        self.run(devices.len(), |_, _| next.next().expect("counted"));
    }

    /// Changes so many devices, each lane its own.
    pub(crate) fn change(&mut self, count: usize) {
        let all = self.devices.len();
        self.run(count, |lane, _| lane % all);
    }

    /// Changes so many devices, any of all.
    pub(crate) fn change_any(&mut self, count: usize) {
        let all = self.devices.len() as u64;
        self.run(count, |_, turn| {
            let mixed = turn.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            usize::try_from((mixed >> 20) % all).expect("a place in memory")
        });
    }

    fn run(&mut self, count: usize, mut device: impl FnMut(usize, u64) -> usize) {
        let (mut sent, mut answered) = (0, 0);
        let mut free: Vec<usize> = (0..LANES).rev().collect();
        let mut buffer = [0; 4096];
        let mut last = Instant::now();
        while answered < count {
            while sent < count && sent - answered < AT_ONCE {
                let index = free.remove(0);
                let device = device(index, self.turn);
                self.turn += 1;
                self.lanes[index].device = device;
                self.devices[device] = !self.devices[device];
                self.send(index);
                sent += 1;
            }
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    if let Some(index) = self.take(&buffer[..length]) {
                        answered += 1;
                        free.push(index);
                        last = Instant::now();
                    }
                }
                Err(_) => {
                    assert!(last.elapsed() < PATIENCE, "{} does not answer", self.to);
                    self.copies();
                }
            }
        }
    }

    /// Takes an answer; the lane that is free by it.
    fn take(&mut self, bytes: &[u8]) -> Option<usize> {
        let text = std::str::from_utf8(bytes).ok()?;
        let branch = text.split_once("branch=z9hG4bKfig")?.1;
        let (index, rest) = branch.split_once('x')?;
        let index: usize = index.parse().ok()?;
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let cseq: u32 = rest[..end].parse().ok()?;
        let lane = self.lanes.get_mut(index)?;
        if lane.cseq != cseq || lane.flight.is_none() || text.starts_with("SIP/2.0 1") {
            return None;
        }
        if text.starts_with("SIP/2.0 401") || text.starts_with("SIP/2.0 407") {
            let secret = self.secret.as_ref().expect("a password that is asked for");
            let message = Message::parse(bytes).expect("a challenge");
            self.session = Session::of(&message, secret);
            self.send(index);
            return None;
        }
        assert!(text.starts_with("SIP/2.0 200"), "{text}");
        lane.flight = None;
        if let Some((_, tag)) = text.split_once("SIP-ETag: ") {
            lane.tag = Some(tag.split('\r').next().unwrap_or(tag).to_owned());
        }
        Some(index)
    }

    fn copies(&mut self) {
        for lane in &mut self.lanes {
            if lane.flight.is_some_and(|it| it.elapsed() > COPY_AFTER) {
                lane.flight = Some(Instant::now());
                let _ = self.socket.send(&lane.bytes);
            }
        }
    }

    fn send(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        lane.cseq += 1;
        let (from, to, cseq) = (self.from, self.to, lane.cseq);
        let in_use = self.devices[lane.device];
        let (user, event, kind, body) = match self.event {
            Event::DeviceState => (
                "load".to_owned(),
                "asterisk-devicestate",
                "application/json",
                format!(
                    r#"{{"type":"devicestate","device":"PJSIP/{}","state":"{}","cachable":1,"eid":"02:00:00:00:00:02"}}"#,
                    1_000_000 + lane.device,
                    if in_use { "INUSE" } else { "NOT_INUSE" }
                ),
            ),
            Event::Presence => (
                format!("u{index}"),
                "presence",
                "application/pidf+xml",
                format!(
                    "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:u{index}@{to}\"><tuple id=\"t\"><status><basic>{}</basic></status></tuple></presence>",
                    if in_use { "open" } else { "closed" }
                ),
            ),
        };
        let uri = format!("sip:{user}@{to}");
        let tag = lane.tag.as_ref();
        let tag = tag.map_or_else(String::new, |tag| format!("SIP-If-Match: {tag}\r\n"));
        let credentials = self.session.as_mut().map_or_else(String::new, |session| {
            let name = match session.is_of_proxy() {
                true => "Proxy-Authorization",
                false => "Authorization",
            };
            let credentials = session.credentials("PUBLISH", &uri, body.as_bytes());
            format!("{name}: {credentials}\r\n")
        });
        let text = format!(
            "PUBLISH {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bKfig{index}x{cseq}\r\n\
             From: <sip:{user}@{from}>;tag=fig{index}\r\nTo: <{uri}>\r\nCall-ID: figures-{index}@{from}\r\nCSeq: {cseq} PUBLISH\r\n\
             Event: {event}\r\n{tag}Expires: 3600\r\nMax-Forwards: 70\r\n{credentials}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        lane.bytes = text.into_bytes();
        lane.flight = Some(Instant::now());
        self.written.0 += lane.bytes.len() as u64;
        self.written.1 += 1;
        let _ = self.socket.send(&lane.bytes);
    }
}

/// What answers with as many bytes as a 200 has, and does nothing else: what a socket costs under tokio.
pub(crate) fn echo(at: SocketAddr) -> ! {
    /// A 200 of Lampwire's to these requests.
    const ANSWER: usize = 330;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let socket = tokio::net::UdpSocket::bind(at).await.expect("an address");
        let mut buffer = [0; 65_536];
        loop {
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
                continue;
            };
            buffer[..14].copy_from_slice(b"SIP/2.0 200 OK");
            let _ = socket.send_to(&buffer[..length.min(ANSWER)], from).await;
        }
    })
}
