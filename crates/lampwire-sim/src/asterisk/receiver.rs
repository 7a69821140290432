//! The receiving side: `res_pjsip_pubsub` and what of `res_pjsip` stands before it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use lampwire_core::Time;
use lampwire_sip::{
    Algorithm, Challenge, DigestRequest, EventPackage, HeaderName, Message, Method, Names, Qops,
    Scheme, StateChange, Uri, Writer, ha1, response,
};

use super::{Login, Peer, RACE, REALM, StockAsterisk, body};
use crate::random::Dice;

/// RFC 3261 17.2.2, Timer J: how long a copy of a request gets the same answer.
const TRANSACTION: Duration = Duration::from_secs(32);

/// How long a nonce is good (`nonce_lifetime`).
const NONCE_LIFETIME: Duration = Duration::from_secs(32);

/// The lifetime of a publication that names none, in seconds.
const EXPIRES_DEFAULT: u32 = 3600;

/// Publications and transactions that are kept, each. Asterisk knows no bound; a simulation stays far below this, and what is beyond it
/// takes the place of the oldest.
const KEPT_MAX: usize = 1_000_000;

/// Publications that peers have here, and requests that have been answered.
#[derive(Debug)]
pub(super) struct Receiver {
    /// One counter for the whole process, whoever publishes.
    next_tag: u32,
    publications: BTreeMap<(EventPackage, u32), Publication>,
    answered: BTreeMap<String, (SocketAddr, Vec<u8>)>,
    answered_in_order: VecDeque<(Time, String)>,
    secret: u64,
}

/// A publication. It belongs to whoever knows its tag.
#[derive(Debug)]
struct Publication {
    /// The peer whose `asterisk-publication` says what is let in.
    peer: usize,
    expires_at: Time,
    /// When it can be found, where it loses its race.
    found_from: Time,
}

/// An answer, but for what it repeats of the request.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: Vec<(HeaderName, String)>,
}

impl Reply {
    const fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
        }
    }

    fn granted(tag: u32, expires: u32) -> Self {
        let mut reply = Self::new(200);
        reply.headers.push((HeaderName::SipETag, tag.to_string()));
        reply
            .headers
            .push((HeaderName::Expires, expires.to_string()));
        reply
    }
}

impl Receiver {
    pub(super) const fn new(secret: u64) -> Self {
        Self {
            next_tag: 0,
            publications: BTreeMap::new(),
            answered: BTreeMap::new(),
            answered_in_order: VecDeque::new(),
            secret,
        }
    }

    const fn tag(&mut self) -> u32 {
        let tag = self.next_tag;
        self.next_tag = self.next_tag.wrapping_add(1);
        tag
    }

    fn keep(&mut self, event: EventPackage, tag: u32, publication: Publication) {
        if self.publications.len() >= KEPT_MAX {
            self.publications.pop_first();
        }
        self.publications.insert((event, tag), publication);
    }

    fn forget_old(&mut self, now: Time) {
        self.publications.retain(|_, it| it.expires_at > now);
        while let Some((at, branch)) = self.answered_in_order.front() {
            if *at + TRANSACTION > now && self.answered_in_order.len() < KEPT_MAX {
                return;
            }
            self.answered.remove(branch);
            self.answered_in_order.pop_front();
        }
    }

    /// The nonce of a moment: nothing is kept for it.
    fn nonce(&self, at: Time) -> String {
        let micros = at.as_micros();
        format!("{micros}/{:016x}", Dice::new(self.secret ^ micros).next())
    }

    fn challenge(&self, now: Time, stale: bool) -> Reply {
        let challenge = Challenge {
            realm: REALM.into(),
            nonce: self.nonce(now).into(),
            opaque: Some(format!("{:016x}", Dice::new(!self.secret).next()).into()),
            stale,
            algorithm: Some(Algorithm::Md5),
            qop: Qops {
                auth: true,
                auth_int: false,
            },
            userhash: false,
            proxy: false,
        };
        let mut reply = Reply::new(401);
        reply
            .headers
            .push((HeaderName::WwwAuthenticate, challenge.to_string()));
        reply
    }

    /// Whether a request proves that its sender knows the password; what to answer if not.
    fn authenticate(&self, now: Time, message: &Message<'_>, login: &Login) -> Result<(), Reply> {
        let Login { username, password } = login;
        let ha1 = ha1(Algorithm::Md5, username, REALM, password);
        for credentials in message.credentials().flatten() {
            let cnonce = credentials.cnonce.as_deref().unwrap_or_default();
            let request = DigestRequest {
                method: Method::Publish.as_str(),
                uri: &credentials.uri,
                nonce: &credentials.nonce,
                body: message.body(),
                qop: credentials
                    .qop
                    .map(|qop| (qop, credentials.nc.unwrap_or(0), cnonce)),
                cnonce_for_sess: None,
            };
            let right = credentials.algorithm == Algorithm::Md5
                && credentials.username == username.as_str()
                && credentials.realm == REALM
                && credentials.response == response(Algorithm::Md5, &ha1, &request);
            let given_at = credentials.nonce.split('/').next();
            let given_at = given_at
                .and_then(|micros| micros.parse().ok())
                .map(Time::from_micros)
                .filter(|at| self.nonce(*at) == credentials.nonce);
            match given_at {
                Some(at) if right && now.since(at) <= NONCE_LIFETIME => return Ok(()),
                Some(_) if right => return Err(self.challenge(now, true)),
                _ => {}
            }
        }
        Err(self.challenge(now, false))
    }
}

impl StockAsterisk {
    /// A request has come.
    pub(super) fn request(
        &mut self,
        now: Time,
        source: SocketAddr,
        message: &Message<'_>,
        body: &[u8],
        method: Method<'_>,
        uri: &str,
    ) {
        let (Ok(via), Ok(from), Ok(_), Ok(_), Ok(cseq), Ok(expires)) = (
            message.via(),
            message.from(),
            message.to(),
            message.call_id(),
            message.cseq(),
            message.expires(),
        ) else {
            return; // pjsip drops what lacks these, or what it cannot read
        };
        self.receiver.forget_old(now);
        let transaction = format!("{} {}", method.as_str(), via.branch.unwrap_or_default());
        if via.branch.is_some()
            && let Some(answer) = self.receiver.answered.get(&transaction)
        {
            self.transmits.push_back(answer.clone());
            return;
        }
        let user = from.parsed_uri().ok();
        let user = user.and_then(|uri| uri.user_unescaped().map(|it| it.into_owned()));
        let Some(reply) = self.decide(now, message, body, method, uri, user.as_deref(), expires)
        else {
            return;
        };
        if cseq.method != method {
            return; // applied all the same
        }

        let mut bytes = Vec::new();
        let Reply { status, headers } = reply;
        let tag = via.branch.unwrap_or("z9hG4bK");
        let mut writer = Writer::reply(&mut bytes, Names::Full, message, source, status, "", tag);
        for (name, value) in headers {
            writer.header(name, value);
        }
        writer.raw("Server", "Asterisk PBX");
        writer.finish();
        // RFC 3581: with rport the answer goes to where the request came from.
        let port = match via.rport {
            Some(_) => source.port(),
            None => via.port.unwrap_or(5060),
        };
        let to = SocketAddr::new(source.ip(), port);
        self.receiver
            .answered
            .insert(transaction.clone(), (to, bytes.clone()));
        self.receiver
            .answered_in_order
            .push_back((now, transaction));
        self.transmits.push_back((to, bytes));
    }

    /// What a request is answered; what it says is applied. `None`: nothing.
    #[allow(clippy::too_many_arguments)] // a request's parts, each taken apart once
    fn decide(
        &mut self,
        now: Time,
        message: &Message<'_>,
        body: &[u8],
        method: Method<'_>,
        uri: &str,
        user: Option<&str>,
        expires: Option<u32>,
    ) -> Option<Reply> {
        let refuse = |status| Some(Reply::new(status));
        if method == Method::Ack {
            return None;
        }
        let peers = &self.settings.peers;
        let endpoint = peers.iter().find(|it| user == Some(it.name.as_str()));
        let Some(endpoint) = endpoint else {
            return Some(self.receiver.challenge(now, false));
        };
        if let Some(login) = &endpoint.demands
            && let Err(reply) = self.receiver.authenticate(now, message, login)
        {
            return Some(reply);
        }
        let target = Uri::parse(uri).ok();
        match method {
            Method::Publish => {}
            // No extension of that name; without a name the server itself is asked.
            Method::Options if target.is_some_and(|uri| uri.user.is_some()) => return refuse(404),
            Method::Options => return refuse(200),
            Method::Subscribe => return refuse(489),
            _ => return refuse(405),
        }

        let Some(target) = target.filter(|it| matches!(it.scheme, Scheme::Sip | Scheme::Sips))
        else {
            return refuse(416);
        };
        let resource = target.user_unescaped().unwrap_or_default();
        let Some(peer) = peers.iter().position(|it| it.name == resource) else {
            return refuse(404);
        };
        let foreign = peers[peer]
            .endpoint
            .as_ref()
            .is_some_and(|owner| *owner != endpoint.name);
        if foreign && message.if_match().is_none() {
            return refuse(403);
        }
        let event = message.event().ok().flatten();
        let Some(event) = event.and_then(|event| EventPackage::parse(event.package)) else {
            return refuse(489);
        };
        let tag = match message.if_match() {
            Some(text) => match leading_integer(text) {
                Some(tag) => Some(tag),
                None => return refuse(400),
            },
            None => None,
        };
        let expires = expires.unwrap_or(EXPIRES_DEFAULT);
        // Without Content-Type there is no body.
        let body = message
            .header(HeaderName::ContentType)
            .map(|_| body)
            .filter(|body| !body.is_empty());
        match (tag, body) {
            (None, None) if expires == 0 => refuse(412),
            (None, None) => refuse(400),
            (None, Some(body)) => Some(self.initial(now, message, peer, event, expires, body)),
            (Some(tag), body) => Some(self.later(now, message, event, tag, expires, body)),
        }
    }

    fn initial(
        &mut self,
        now: Time,
        message: &Message<'_>,
        peer: usize,
        event: EventPackage,
        expires: u32,
        body: &[u8],
    ) -> Reply {
        let Peer { takes, keeps, .. } = &self.settings.peers[peer];
        if !takes.contains(&event) || keeps.is_none() {
            return Reply::new(404);
        }
        let tag = self.receiver.tag(); // used up, whatever comes out
        if self.take(now, message, peer, event, body).is_none() {
            return Reply::new(500);
        }
        let loses = self.dice.chance(self.settings.lost_races);
        let publication = Publication {
            peer,
            expires_at: now + Duration::from_secs(expires.into()),
            found_from: if loses { now + RACE } else { now },
        };
        self.receiver.keep(event, tag, publication);
        Reply::granted(tag, expires)
    }

    /// A modify, refresh or removal: whoever names the tag has the publication.
    fn later(
        &mut self,
        now: Time,
        message: &Message<'_>,
        event: EventPackage,
        tag: u32,
        expires: u32,
        body: Option<&[u8]>,
    ) -> Reply {
        let key = (event, tag);
        let publications = &mut self.receiver.publications;
        if publications.get(&key).is_none_or(|it| it.found_from > now) {
            return Reply::new(412);
        }
        let Some(publication) = publications.remove(&key) else {
            return Reply::new(412);
        };
        let peer = publication.peer;
        let tag = self.receiver.tag();
        let sound = match body {
            Some(body) => self.take(now, message, peer, event, body).is_some(),
            None => true,
        };
        // A body that is none ends the publication, and is answered 200.
        if sound && expires > 0 {
            let expires_at = now + Duration::from_secs(expires.into());
            let publication = Publication {
                expires_at,
                ..publication
            };
            self.receiver.keep(event, tag, publication);
        }
        Reply::granted(tag, expires)
    }

    /// Applies a body; `None` where it is none.
    fn take(
        &mut self,
        now: Time,
        message: &Message<'_>,
        peer: usize,
        event: EventPackage,
        body: &[u8],
    ) -> Option<()> {
        message
            .content_type()
            .filter(|it| it.is("application", "json"))?;
        let change = body::read(event, body)?;
        let Peer {
            keeps,
            keeps_devices,
            asks_refresh,
            ..
        } = &self.settings.peers[peer];
        let kept = keeps.as_ref().is_some_and(|keeps| keeps.contains(&event));
        match &change {
            StateChange::Refresh { .. } if *asks_refresh => {
                let publishers = 0..self.publishers.len();
                let over = publishers
                    .into_iter()
                    .find(|index| self.publishers[*index].is(peer, event));
                if let Some(index) = over {
                    self.dump(now, index);
                    self.collect();
                }
            }
            StateChange::Device { device, .. } if !device.starts_with(keeps_devices) => {}
            StateChange::Device { .. } | StateChange::Mailbox { .. } if kept => {
                self.apply(now, change);
            }
            _ => {}
        }
        Some(())
    }
}

/// As C's `%d` reads it: blanks, a sign and digits, and then anything. What is negative is no tag that is ever given.
fn leading_integer(text: &str) -> Option<u32> {
    let text = text.trim_start();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit());
    let digits = &digits[..end.unwrap_or(digits.len())];
    if digits.is_empty() {
        return None;
    }
    let number = digits.parse().unwrap_or(u32::MAX);
    Some(if text.starts_with('-') {
        u32::MAX
    } else {
        number
    })
}
