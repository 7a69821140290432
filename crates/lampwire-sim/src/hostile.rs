//! A peer that means harm: it answers at random and asks at random.
//!
//! It keeps to its own entity id, or to what is none, unless it is lawless: what a peer says under the entity id of another cannot be
//! told from the truth by anything in a PUBLISH.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use lampwire_core::Time;
use lampwire_sip::{
    Algorithm, DeviceState, DigestRequest, EntityId, HeaderName, Message, Method, Names, Qop,
    StartLine, StateChange, Writer, ha1, response,
};

use crate::random::Dice;

/// What it sends in all. Then it is silent, so that a run comes to an end.
const BUDGET: u32 = 1500;

/// The longest that it thinks before it answers.
const THINKS: Duration = Duration::from_millis(400);

/// The longest pause between two requests of its own.
const PAUSE: Duration = Duration::from_millis(600);

/// Requests and tags that it remembers, to use them wrongly.
const MEMORY: usize = 16;

/// What it knows.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of its endpoint, and of what it publishes to.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Its own entity id.
    pub entity_id: EntityId,
    /// Whom it is after.
    pub victims: Vec<Victim>,
    /// User name and password, where it has them.
    pub credentials: Option<(&'static str, &'static str)>,
    /// It speaks under anybody's name.
    pub lawless: bool,
}

/// Whom it is after.
#[derive(Clone, Debug)]
pub struct Victim {
    /// Where that is.
    pub address: SocketAddr,
    /// The name of its endpoint at others.
    pub name: String,
    /// Its entity id.
    pub entity_id: EntityId,
}

/// A peer that means harm.
#[derive(Debug)]
pub struct Hostile {
    settings: Settings,
    dice: Dice,
    /// What it is about to send, in order of time as far as it cares.
    thoughts: Vec<(Time, SocketAddr, Vec<u8>)>,
    out: VecDeque<(SocketAddr, Vec<u8>)>,
    next_attack: Time,
    budget: u32,
    /// Requests it got.
    heard: VecDeque<Vec<u8>>,
    /// Tags it was given.
    tags: VecDeque<String>,
    /// The last challenge it was given: realm and nonce.
    challenge: Option<(String, String)>,
}

/// The entity id of a hostile peer: far from everybody's, so that no slip of a finger makes it another's.
pub fn entity_id() -> EntityId {
    "66:66:66:66:66:66"
        .parse()
        .expect("six bytes in hexadecimal")
}

impl Hostile {
    /// A hostile peer that begins at `at`.
    pub fn new(settings: Settings, dice: Dice, at: Time) -> Self {
        Self {
            settings,
            dice,
            thoughts: Vec::new(),
            out: VecDeque::new(),
            next_attack: at,
            budget: BUDGET,
            heard: VecDeque::new(),
            tags: VecDeque::new(),
            challenge: None,
        }
    }

    /// A datagram has come: a request is answered with anything, an answer is learned from.
    pub fn handle_datagram(&mut self, at: Time, from: SocketAddr, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else {
            return;
        };
        if let StartLine::Response { .. } = message.start() {
            if let Some(tag) = message.etag() {
                remember(&mut self.tags, tag.to_owned());
            }
            if let Some(Ok(challenge)) = message.challenges().next() {
                self.challenge = Some((challenge.realm.to_string(), challenge.nonce.to_string()));
            }
            return;
        }
        remember(&mut self.heard, bytes.to_vec());
        let answers = *self.dice.pick(&[0, 1, 1, 1, 1, 1, 1, 2, 3]);
        for _ in 0..answers {
            let mut answer = self.answer(from, &message);
            if self.dice.chance(15) {
                mutate(&mut self.dice, &mut answer);
            }
            let when = at + self.dice.time_below(THINKS);
            self.thoughts.push((when, from, answer));
        }
    }

    /// When it does something of itself.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.budget == 0 {
            return None;
        }
        let thought = self.thoughts.iter().map(|(at, ..)| *at).min();
        Some(thought.map_or(self.next_attack, |at| at.min(self.next_attack)))
    }

    /// It does what it has thought of, and sometimes attacks.
    pub fn handle_timeout(&mut self, at: Time) {
        for (when, to, bytes) in std::mem::take(&mut self.thoughts) {
            if when <= at {
                self.say(to, bytes);
            } else {
                self.thoughts.push((when, to, bytes));
            }
        }
        if self.next_attack <= at {
            self.next_attack = at + self.dice.time_below(PAUSE);
            let victim = self.dice.pick(&self.settings.victims).clone();
            let mut bytes = self.attack(&victim);
            if self.dice.chance(30) {
                mutate(&mut self.dice, &mut bytes);
            }
            self.say(victim.address, bytes);
        }
    }

    /// The next datagram it sends.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.out.pop_front()
    }

    fn say(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        if self.budget > 0 {
            self.budget -= 1;
            self.out.push_back((to, bytes));
        }
    }

    /// An answer of any kind.
    fn answer(&mut self, to: SocketAddr, request: &Message<'_>) -> Vec<u8> {
        const STATUSES: [u16; 34] = [
            100, 180, 200, 200, 200, 200, 200, 200, 202, 300, 302, 305, 400, 401, 401, 403, 404,
            405, 407, 408, 412, 412, 415, 416, 420, 423, 423, 481, 489, 500, 503, 503, 603, 699,
        ];
        let dice = &mut self.dice;
        let mut out = Vec::new();
        let status = *dice.pick(&STATUSES);
        let mut writer = Writer::reply(&mut out, Names::Full, request, to, status, "", "hostile");
        if dice.chance(80) {
            writer.header(HeaderName::SipETag, strange_tag(dice));
        }
        if dice.chance(70) {
            writer.header(HeaderName::Expires, *dice.pick(&SECONDS));
        }
        if status == 423 || dice.chance(5) {
            writer.header(HeaderName::MinExpires, *dice.pick(&SECONDS));
        }
        if dice.chance(20) {
            writer.header(HeaderName::RetryAfter, *dice.pick(&SECONDS));
        }
        if (300..400).contains(&status) {
            writer.header(HeaderName::Contact, format_args!("<sip:elsewhere@{to}>"));
        }
        if status == 401 || status == 407 {
            for _ in 0..dice.below(4) {
                let name =
                    *dice.pick(&[HeaderName::WwwAuthenticate, HeaderName::ProxyAuthenticate]);
                writer.header(name, strange_challenge(dice));
            }
        }
        writer.finish();
        if dice.chance(5) {
            // An answer to another request than the one that was asked.
            let text = String::from_utf8_lossy(&out).replacen("CSeq: ", "CSeq: 9", 1);
            out = text.into_bytes();
        }
        out
    }

    /// A request of any kind.
    fn attack(&mut self, victim: &Victim) -> Vec<u8> {
        let dice = &mut self.dice;
        let settings = &self.settings;
        if settings.lawless
            && let Some(again) = self.heard.get(dice.below(MEMORY * 2))
        {
            // What one victim said, as if we had said it, to another.
            return again.clone();
        }
        let name = match dice.below(10) {
            0 => "nobody",
            1 if settings.lawless => &victim.name,
            _ => &settings.name,
        };
        let method = *dice.pick(&[
            Method::Publish,
            Method::Publish,
            Method::Publish,
            Method::Publish,
            Method::Publish,
            Method::Options,
            Method::Cancel,
            Method::Other("SUBSCRIBE"),
        ]);
        let uri = format!("sip:{name}@{}", victim.address);
        let event = *dice.pick(&[
            "asterisk-devicestate",
            "asterisk-devicestate",
            "asterisk-devicestate",
            "asterisk-mwi",
            "presence",
        ]);
        let eid = match dice.below(8) {
            0 => "02:00:00:00:00".to_owned(),
            1 => "not an entity id".to_owned(),
            2 if settings.lawless => dice.pick(&settings.victims).entity_id.to_string(),
            _ => settings.entity_id.to_string(),
        };
        let body = body(dice, &eid);
        let mut out = Vec::new();
        let mut writer = Writer::request(&mut out, Names::Full, method, &uri);
        writer
            .header(
                HeaderName::Via,
                format_args!(
                    "SIP/2.0/UDP {};rport;branch=z9hG4bK{}",
                    settings.address,
                    dice.below(500)
                ),
            )
            .header(
                HeaderName::From,
                format_args!("<{uri}>;tag={}", dice.below(9)),
            )
            .header(HeaderName::To, format_args!("<{uri}>"))
            .header(HeaderName::CallId, dice.below(20))
            .header(
                HeaderName::CSeq,
                format_args!("{} {}", dice.next() >> 33, method.as_str()),
            )
            .header(HeaderName::MaxForwards, 70)
            .header(HeaderName::Event, event);
        if dice.chance(50) {
            match self.tags.get(dice.below(MEMORY)) {
                Some(tag) => writer.header(HeaderName::SipIfMatch, tag),
                None => writer.header(HeaderName::SipIfMatch, strange_tag(dice)),
            };
        }
        if dice.chance(80) {
            writer.header(HeaderName::Expires, *dice.pick(&SECONDS));
        }
        if let (Some((username, password)), Some((realm, nonce))) =
            (settings.credentials, &self.challenge)
        {
            let credentials = credentials(username, password, realm, nonce, method.as_str(), &uri);
            writer.header(HeaderName::Authorization, credentials);
        }
        match dice.below(10) {
            0 => writer.finish(),
            1 => writer.finish_with_body("text/plain", &body),
            _ => writer.finish_with_body("application/json", &body),
        }
        out
    }
}

/// Numbers of seconds, for every header that has some.
const SECONDS: [&str; 12] = [
    "0",
    "1",
    "9",
    "10",
    "60",
    "3600",
    "3600",
    "3600",
    "4294967295",
    "4294967296",
    "-1",
    "soon",
];

fn strange_tag(dice: &mut Dice) -> String {
    match dice.below(8) {
        0 => String::new(),
        1 => "x".repeat(600),
        2 => u64::MAX.to_string(),
        3 => "0".to_owned(),
        4 => "a b \u{e9}; c=\"".to_owned(),
        5 => format!("{:048x}", dice.next()),
        _ => dice.below(50).to_string(),
    }
}

fn strange_challenge(dice: &mut Dice) -> String {
    match dice.below(5) {
        0 => "Basic realm=\"x\"".to_owned(),
        1 => "Digest realm=\"asterisk\"".to_owned(),
        2 => "Digest realm=\"asterisk\", nonce=\"".to_owned(),
        _ => format!(
            "Digest realm=\"{}\", nonce=\"{:x}\", algorithm={}, stale={}{}",
            dice.pick(&["asterisk", "elsewhere", ""]),
            dice.next(),
            dice.pick(&["MD5", "MD5", "SHA-256", "SHA-512-256", "MD5-sess", "ROT13"]),
            dice.pick(&["true", "false", "TRUE", "perhaps"]),
            dice.pick(&[
                "",
                ", qop=\"auth\"",
                ", qop=\"auth-int\"",
                ", qop=\"none\"",
                ", opaque=\"\""
            ]),
        ),
    }
}

/// A body of any kind, under the entity id `eid` where it has one.
fn body(dice: &mut Dice, eid: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match (dice.below(8), eid.parse::<EntityId>()) {
        (0, _) => out.extend_from_slice(b"{\"type\":\"devicestate\""),
        (1, _) => out.extend_from_slice(format!("{{\"type\":\"refresh\",\"eid\":\"{eid}\"}}").as_bytes()),
        (2, Ok(eid)) => StateChange::Mailbox {
            uniqueid: format!("{}@hostile", dice.below(9)).into(),
            new: 3,
            old: 2,
            eid,
        }
        .write(&mut out),
        (3, _) => out = (0..dice.below(1500)).map(|_| dice.byte()).collect(),
        (_, Ok(eid)) => StateChange::Device {
            device: format!("PJSIP/{}", dice.below(40)).into(),
            state: *dice.pick(&DeviceState::ALL),
            cachable: dice.chance(80),
            eid,
        }
        .write(&mut out),
        (_, Err(_)) => out.extend_from_slice(
            format!("{{\"type\":\"devicestate\",\"device\":\"PJSIP/1\",\"state\":\"INUSE\",\"cachable\":1,\"eid\":\"{eid}\"}}")
                .as_bytes(),
        ),
    }
    out
}

fn credentials(
    username: &str,
    password: &str,
    realm: &str,
    nonce: &str,
    method: &str,
    uri: &str,
) -> String {
    let secret = ha1(Algorithm::Md5, username, realm, password);
    let request = DigestRequest {
        method,
        uri,
        nonce,
        body: b"",
        qop: Some((Qop::Auth, 1, "c")),
        cnonce_for_sess: None,
    };
    let response = response(Algorithm::Md5, &secret, &request);
    format!(
        "Digest username=\"{username}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{}\", algorithm=MD5, cnonce=\"c\", qop=auth, nc=00000001",
        response.as_str()
    )
}

/// Damages a datagram: bytes changed, cut out or doubled.
fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..=dice.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = dice.below(bytes.len());
        let upto = (at + 1 + dice.below(30)).min(bytes.len());
        match dice.below(5) {
            0 => bytes[at] = dice.byte(),
            1 => drop(bytes.drain(at..upto)),
            2 => {
                let doubled = bytes[at..upto].to_vec();
                bytes.splice(at..at, doubled);
            }
            3 => bytes.truncate(at),
            _ => bytes[at] ^= 0x20,
        }
    }
}

fn remember<T>(memory: &mut VecDeque<T>, what: T) {
    if memory.len() >= MEMORY {
        memory.pop_front();
    }
    memory.push_back(what);
}
