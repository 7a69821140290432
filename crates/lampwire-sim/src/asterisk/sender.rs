//! The sending side: `res_pjsip_outbound_publish` and the publish client and non-INVITE transaction of pjsip under it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use lampwire_core::Time;
use lampwire_sip::{
    Algorithm, Challenge, Credentials, DigestRequest, EventPackage, HeaderName, Message, Method,
    Names, Qop, Writer, ha1, response,
};

use super::{Login, Settings};
use crate::random::Dice;

/// RFC 3261 17.1.2.2: the first pause of Timer E.
const T1: Duration = Duration::from_millis(500);
/// The longest pause of Timer E.
const T2: Duration = Duration::from_secs(4);
/// Timer F.
const GIVE_UP: Duration = Duration::from_secs(32);

/// The challenge in a row that ends a publish (`max_auth_attempts`).
const AUTH_ATTEMPTS_MAX: u32 = 5;

/// Messages that wait. Asterisk knows no bound; a simulation stays far below this, and what is beyond it is lost.
const QUEUE_MAX: usize = 1_000_000;

/// An `outbound-publish`: one publication, one request on its way, and a queue of messages.
#[derive(Debug)]
pub(super) struct Publisher {
    /// Whom it publishes to.
    pub(super) peer: usize,
    /// What it publishes.
    pub(super) event: EventPackage,
    /// Datagrams to send.
    pub(super) written: Vec<Vec<u8>>,
    own_address: SocketAddr,
    server_uri: String,
    /// `server_uri` as it stands in From and To, which is without its port.
    from_and_to: String,
    login: Option<Login>,
    expiration: u32,
    client: Client,
    queue: VecDeque<Vec<u8>>,
    in_flight: Option<InFlight>,
    keep_alive_at: Option<Time>,
    /// It has been answered in a way after which it never sends again.
    stuck: bool,
}

/// One publication at the peer.
#[derive(Debug)]
struct Client {
    call_id: String,
    cseq: u32,
    tag: Option<String>,
    expires: u32,
}

impl Client {
    fn new(expires: u32, dice: &mut Dice) -> Self {
        Self {
            call_id: identifier(dice),
            cseq: u32::try_from(dice.below(0x8000)).unwrap_or(0),
            tag: None,
            expires,
        }
    }
}

/// A request that has no final answer yet.
#[derive(Debug)]
struct InFlight {
    branch: String,
    bytes: Vec<u8>,
    /// What it says; `None`: a keep-alive.
    body: Option<Vec<u8>>,
    /// The nonce that its credentials answer.
    nonce: Option<String>,
    again_at: Time,
    pause: Duration,
    give_up_at: Time,
    challenges: u32,
}

impl Publisher {
    /// One for each peer and event that it publishes.
    pub(super) fn all(settings: &Settings, dice: &mut Dice) -> Vec<Self> {
        let mut publishers = Vec::new();
        for (index, peer) in settings.peers.iter().enumerate() {
            for event in &peer.publishes {
                publishers.push(Self {
                    peer: index,
                    event: *event,
                    written: Vec::new(),
                    own_address: settings.address,
                    server_uri: format!("sip:{}@{}", peer.resource, peer.address),
                    from_and_to: format!("<sip:{}@{}>", peer.resource, peer.address.ip()),
                    login: peer.answers.clone(),
                    expiration: peer.expiration,
                    client: Client::new(peer.expiration, dice),
                    queue: VecDeque::new(),
                    in_flight: None,
                    keep_alive_at: None,
                    stuck: false,
                });
            }
        }
        publishers
    }

    /// Whether it is the publish of that event to that peer.
    pub(super) fn is(&self, peer: usize, event: EventPackage) -> bool {
        (self.peer, self.event) == (peer, event)
    }

    /// Whether the request of this branch has no final answer yet.
    pub(super) fn waits_for(&self, branch: &str) -> bool {
        self.in_flight
            .as_ref()
            .is_some_and(|request| request.branch == branch)
    }

    /// When it wants to be called again.
    pub(super) fn due(&self) -> Option<Time> {
        match &self.in_flight {
            Some(request) => Some(request.again_at.min(request.give_up_at)),
            None => self.keep_alive_at,
        }
    }

    /// A message to send when its turn comes.
    pub(super) fn push(&mut self, now: Time, body: Vec<u8>, dice: &mut Dice) {
        if self.queue.len() < QUEUE_MAX {
            self.queue.push_back(body);
        }
        self.serve(now, dice);
    }

    /// An answer to the request on its way.
    pub(super) fn handle_answer(
        &mut self,
        now: Time,
        status: u16,
        answer: &Message<'_>,
        dice: &mut Dice,
    ) {
        if status < 200 {
            if let Some(request) = &mut self.in_flight {
                // RFC 3261 17.1.2.2, "Proceeding".
                request.pause = T2;
                request.again_at = now + T2;
            }
            return;
        }
        let Some(request) = self.in_flight.take() else {
            return;
        };
        match status {
            401 | 407 => return self.handle_challenge(now, answer, request, dice),
            412 => {
                self.client = Client::new(self.expiration, dice);
                if request.body.is_none() && self.queue.is_empty() {
                    // The keep-alive once more, now without a tag; the peer must refuse that.
                    return self.send(now, None, None, 0, dice);
                }
            }
            423 => match answer.min_expires() {
                Ok(Some(expires)) if expires > 0 => self.client.expires = expires,
                _ => {
                    self.stuck = true;
                    return;
                }
            },
            _ => {
                if status < 300 {
                    self.client.tag = answer.etag().map(str::to_owned);
                }
                if request.body.is_some() {
                    self.queue.pop_front();
                }
            }
        }
        self.go_on(now, dice);
    }

    /// Time has come.
    pub(super) fn handle_timeout(&mut self, now: Time, dice: &mut Dice) {
        match &mut self.in_flight {
            Some(request) if request.give_up_at <= now => {
                if request.body.is_some() {
                    self.queue.pop_front();
                }
                self.in_flight = None;
                self.go_on(now, dice);
            }
            Some(request) if request.again_at <= now => {
                request.pause = (request.pause * 2).min(T2);
                request.again_at = now + request.pause;
                self.written.push(request.bytes.clone());
            }
            Some(_) => {}
            None if self.keep_alive_at.is_some_and(|at| at <= now) => {
                self.send(now, None, None, 0, dice);
            }
            None => {}
        }
    }

    /// A request is done with: the next message, or a keep-alive in time.
    fn go_on(&mut self, now: Time, dice: &mut Dice) {
        if self.queue.is_empty() {
            self.keep_alive_at = Some(now + Duration::from_secs(self.expiration.into()));
        }
        self.serve(now, dice);
    }

    fn serve(&mut self, now: Time, dice: &mut Dice) {
        if self.in_flight.is_some() || self.stuck {
            return;
        }
        if let Some(body) = self.queue.front().cloned() {
            self.send(now, Some(body), None, 0, dice);
        }
    }

    /// Sends a message, or a keep-alive where there is none.
    fn send(
        &mut self,
        now: Time,
        body: Option<Vec<u8>>,
        credentials: Option<(HeaderName, String)>,
        challenges: u32,
        dice: &mut Dice,
    ) {
        self.keep_alive_at = None;
        let branch = format!("z9hG4bKPj{}", identifier(dice));
        let own = self.own_address;
        self.client.cseq = self.client.cseq.wrapping_add(1);
        let Client {
            call_id,
            cseq,
            tag,
            expires,
        } = &self.client;

        let mut bytes = Vec::new();
        let mut writer =
            Writer::request(&mut bytes, Names::Full, Method::Publish, &self.server_uri);
        writer
            .header(
                HeaderName::Via,
                format_args!("SIP/2.0/UDP {own};rport;branch={branch}"),
            )
            .header(
                HeaderName::From,
                format_args!("{};tag={}", self.from_and_to, identifier(dice)),
            )
            .header(HeaderName::To, &self.from_and_to)
            .header(HeaderName::CallId, call_id)
            .header(HeaderName::CSeq, format_args!("{cseq} PUBLISH"))
            .header(HeaderName::Event, self.event.as_str());
        if let Some(tag) = tag {
            writer.header(HeaderName::SipIfMatch, tag);
        }
        writer
            .header(HeaderName::Expires, expires)
            .header(HeaderName::MaxForwards, 70)
            .header(HeaderName::UserAgent, "Asterisk PBX");
        if let Some((name, value)) = credentials {
            writer.header(name, value);
        }
        match &body {
            Some(body) => writer.finish_with_body("application/json", body),
            None => writer.finish(),
        }

        self.written.push(bytes.clone());
        self.in_flight = Some(InFlight {
            branch,
            bytes,
            body,
            nonce: None,
            again_at: now + T1,
            pause: T1,
            give_up_at: now + GIVE_UP,
            challenges,
        });
    }

    /// A challenge that it cannot answer, or the fifth, leaves it stuck for ever.
    fn handle_challenge(
        &mut self,
        now: Time,
        answer: &Message<'_>,
        request: InFlight,
        dice: &mut Dice,
    ) {
        let challenge = answer
            .challenges()
            .flatten()
            .find(|it| it.algorithm == Some(Algorithm::Md5));
        match (challenge, self.login.clone()) {
            // The same nonce again means that the password is wrong.
            (Some(challenge), Some(_))
                if request.nonce.as_deref() == Some(&*challenge.nonce) && !challenge.stale =>
            {
                self.stuck = true;
            }
            (Some(challenge), Some(login)) if request.challenges + 1 < AUTH_ATTEMPTS_MAX => {
                let name = if challenge.proxy {
                    HeaderName::ProxyAuthorization
                } else {
                    HeaderName::Authorization
                };
                let credentials = self.credentials(&challenge, &login, dice).to_string();
                let challenges = request.challenges + 1;
                self.send(
                    now,
                    request.body,
                    Some((name, credentials)),
                    challenges,
                    dice,
                );
                if let Some(flight) = &mut self.in_flight {
                    flight.nonce = Some(challenge.nonce.into_owned());
                }
            }
            _ => self.stuck = true,
        }
    }

    fn credentials<'a>(
        &'a self,
        challenge: &Challenge<'a>,
        login: &'a Login,
        dice: &mut Dice,
    ) -> Credentials<'a> {
        let cnonce = identifier(dice);
        let secret = ha1(
            Algorithm::Md5,
            &login.username,
            &challenge.realm,
            &login.password,
        );
        let qop = challenge.qop.auth.then_some(Qop::Auth);
        let request = DigestRequest {
            method: Method::Publish.as_str(),
            uri: &self.server_uri,
            nonce: &challenge.nonce,
            body: b"",
            qop: qop.map(|qop| (qop, 1, cnonce.as_str())),
            cnonce_for_sess: None,
        };
        let response = response(Algorithm::Md5, &secret, &request);
        Credentials {
            username: login.username.as_str().into(),
            realm: challenge.realm.clone(),
            nonce: challenge.nonce.clone(),
            uri: self.server_uri.as_str().into(),
            response,
            algorithm: Algorithm::Md5,
            cnonce: qop.map(|_| cnonce.into()),
            nc: qop.map(|_| 1),
            qop,
            opaque: challenge.opaque.clone(),
            userhash: false,
            proxy: challenge.proxy,
        }
    }
}

/// As pjsip makes them: random, and written as a UUID's digits.
fn identifier(dice: &mut Dice) -> String {
    format!("{:016x}{:016x}", dice.next(), dice.next())
}
