//! The life of a PUBLISH, from bytes to the answer and to whoever hears of the change.

use std::net::SocketAddr;

use lampwire_conf::{Auth, RequestFacts, Rule};
use lampwire_sip::{
    BodyError, Defect, EntityId, EventPackage, HeaderName, Message, Method, ParseError, Scheme,
    StartLine, StateChange, Uri, Writer,
};

use super::Node;
use crate::auth::server::Verdict;
use crate::compositor::{Accepted, Checked, Intent};
use crate::io::{Event, FlowId, Level, TransportId};
use crate::peer::PeerId;
use crate::publisher::request::{names, user_agent};
use crate::refusal::{Refusal, RefusalHeader};
use crate::table::{Assertion, Change, Kind, Source, Value};
use crate::time::Now;
use crate::timers::Timer;
use crate::transaction::server::TransactionKey;

/// Where a message came from.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) transport: TransportId,
    pub(super) remote: SocketAddr,
    /// The connection that it came by; `None`: a datagram.
    pub(super) flow: Option<FlowId>,
}

/// A request and where it came from.
struct Arrival<'a> {
    now: Now,
    origin: Origin,
    remote: SocketAddr,
    request: &'a Message<'a>,
    method: Method<'a>,
    uri: &'a str,
}

/// How a peer began a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Began {
    /// It had none of this event here.
    First,
    /// It had one that was live.
    Another,
}

/// What a request that is not refused leads to.
enum Granted {
    /// The answer that was given before.
    Again(Accepted),
    /// A PUBLISH is taken.
    Published {
        accepted: Accepted,
        change: Option<Change>,
        refresh: Option<usize>,
        began: Option<(PeerId, Began)>,
    },
    /// OPTIONS: what this node understands.
    Options,
}

impl Node {
    /// Takes a datagram in, or a message from a connection.
    pub(super) fn receive(&mut self, now: Now, origin: Origin, bytes: &[u8]) {
        let remote = origin.remote;
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(ParseError::KeepAlive) => return,
            Err(error) => {
                self.counters.unparsable += 1;
                let text = format!(
                    "{remote}: {} bytes that are no request: {error}",
                    bytes.len()
                );
                self.outbox.notice(Level::Debug, "unparsable", text);
                return;
            }
        };
        match message.start() {
            // A broken answer is none: the request is sent again.
            StartLine::Response { .. } if message.defect().is_some() => {
                self.counters.unparsable += 1;
            }
            StartLine::Response { status, reason } => {
                self.handle_response(now, &message, status, reason);
            }
            StartLine::Request { method, uri } => {
                self.counters.requests_received += 1;
                // An ACK is never answered (RFC 3261 17.1.1.3): it belongs to an INVITE, of which there are none here.
                if method != Method::Ack {
                    let arrival = Arrival {
                        now,
                        origin,
                        remote,
                        request: &message,
                        method,
                        uri,
                    };
                    self.handle_request(&arrival);
                }
            }
        }
    }

    /// Decides, answers, and then lets others hear: the 200 leaves before the fan-out.
    fn handle_request(&mut self, arrival: &Arrival<'_>) {
        let mut endpoint = None;
        match self.decide(arrival, &mut endpoint) {
            Ok(Granted::Again(accepted)) => {
                self.counters.retransmissions += 1;
                self.reply_accepted(arrival, &accepted);
            }
            Ok(Granted::Options) => self.reply(arrival, 200, "", |writer, _| {
                writer
                    .header(HeaderName::Allow, ALLOW)
                    .header(HeaderName::Accept, MEDIA_TYPE)
                    .header(HeaderName::AllowEvents, ALLOW_EVENTS);
            }),
            Ok(Granted::Published {
                accepted,
                change,
                refresh,
                began,
            }) => {
                self.counters.accepted += 1;
                self.reply_accepted(arrival, &accepted);
                if let Some(change) = change {
                    self.fan_out(arrival.now, change);
                }
                if let Some((peer, began)) = began {
                    self.each_publisher(arrival.now, |publisher, ctx| match began {
                        _ if publisher.peer != Some(peer) => {}
                        Began::First => publisher.probe_now(ctx),
                        Began::Another => publisher.began_anew_there(ctx),
                    });
                }
                if let Some(publisher) = refresh {
                    let (publishers, mut ctx) = self.lend(arrival.now);
                    publishers[publisher].say_all(&mut ctx);
                }
            }
            Err(refusal) => self.refuse(arrival, endpoint, &refusal),
        }
    }

    /// The stages of a request, in order. Everything up to the comment reads only, so a refusal leaves no trace.
    fn decide(
        &mut self,
        arrival: &Arrival<'_>,
        identified: &mut Option<usize>,
    ) -> Result<Granted, Refusal> {
        let Arrival {
            now,
            request,
            method,
            uri,
            remote,
            ..
        } = *arrival;

        // well-formed?
        if let Some(defect) = request.defect() {
            return Err(malformed(defect));
        }
        mandatory_headers(request)?;

        // transaction: seen before?
        let key = self
            .transactions
            .key(request, method.as_str(), arrival.origin.transport, remote);
        if method == Method::Publish
            && let Some(accepted) = self.answered_before(request, key)
        {
            return Ok(Granted::Again(accepted));
        }

        // access: the acl sections hold for every request, whoever sends it
        for acl in &self.config.acls {
            if !Rule::allows(&acl.rules, remote.ip()) {
                let cause = format!("acl {:?} keeps the address out", acl.name);
                return Err(Refusal::new(403, "access-list", cause));
            }
        }

        // endpoint: who is it?
        let endpoint = self.identify(arrival)?;
        *identified = Some(endpoint);

        // auth: can it prove that?
        self.authenticate(arrival, endpoint)?;
        self.note_alias(arrival.origin, request);

        // method and extensions
        match method {
            Method::Publish => {}
            Method::Options => return Ok(Granted::Options),
            Method::Cancel => {
                // RFC 3261 9.2: every request here is answered at once, so there is never anything to cancel.
                return Err(Refusal::new(481, "cancel", "CANCEL of nothing"));
            }
            _ => {
                return Err(
                    Refusal::new(405, "method", format!("method {}", method.as_str()))
                        .with(RefusalHeader::Allow),
                );
            }
        }
        let required: Vec<&str> = request.require().collect();
        if !required.is_empty() {
            let tags = required.join(", ");
            return Err(Refusal::new(420, "extension", format!("Require: {tags}"))
                .with(RefusalHeader::Unsupported(tags)));
        }

        // compositor: scheme, resource, event, tag, expiry
        scheme(uri)?;
        let checked = self
            .compositor
            .check(now, &self.config, request, uri, endpoint)?;

        // body
        let change = body(request, checked.event)?;

        // entity id: may this endpoint speak for it?
        if let Some(change) = &change {
            self.check_entity_id(endpoint, change.eid())?;
        }

        // filter
        let wanted = change
            .as_ref()
            .is_some_and(|change| self.is_wanted(arrival, &checked, change));

        // ---- the first write ----
        let peer_name = &self.config.asterisk_publications[checked.rule].name;
        let peer = self.peers.of_asterisk_publication(peer_name);
        let (mut applied, mut refresh) = (None, None);
        match &change {
            Some(StateChange::Refresh { eid }) => {
                self.counters.refreshes_received += 1;
                if let Some(peer) = peer {
                    let peer = self.peers.get_mut(peer);
                    peer.entity_id = Some(*eid);
                    refresh = peer.publisher(checked.event).map(|id| usize::from(id.0));
                }
            }
            Some(change) if wanted => {
                let assertion = Assertion {
                    peer,
                    ..assertion(change, now)
                };
                applied = self.table.apply(&assertion).map_err(|full| {
                    Refusal::new(503, "table-full", full.to_string())
                        .with(RefusalHeader::RetryAfter(60))
                })?;
                match applied {
                    Some(_) => self.counters.changes_received += 1,
                    None => self.counters.repeats_received += 1,
                }
            }
            Some(_) | None => {}
        }
        if let Some(change) = change
            .as_ref()
            .filter(|change| wanted && change.eid() != self.entity_id)
        {
            self.note_entity_id(now, endpoint, change);
        }
        if let Some(id) = peer {
            let peer = self.peers.get_mut(id);
            peer.heard(now);
            if let (None, Some(change)) = (peer.entity_id, &change)
                && change.eid() != self.entity_id
            {
                // Whoever speaks first over a peer's publication is taken for the peer itself, until its `refresh` says better.
                peer.entity_id = Some(change.eid());
            }
            if matches!(checked.intent, Intent::Initial | Intent::Remove(_)) {
                self.peers.note_change(id);
            }
        }
        let began = (checked.intent == Intent::Initial).then(|| {
            match self.compositor.holds_another(now.at, &checked) {
                true => Began::Another,
                false => Began::First,
            }
        });
        let accepted = self.commit(arrival, &checked, key, u64::from(change.is_some()));
        Ok(Granted::Published {
            accepted,
            change: applied,
            refresh,
            began: peer.zip(began),
        })
    }

    /// The answer that a copy of a request gets.
    fn answered_before(
        &self,
        request: &Message<'_>,
        key: Option<TransactionKey>,
    ) -> Option<Accepted> {
        let key = key?;
        request
            .if_match()
            .and_then(|tag| self.compositor.answered(&self.config, tag, key))
            .or_else(|| self.transactions.answer(key))
    }

    /// The endpoint whose request it is, by the configured rules and its access list.
    fn identify(&self, arrival: &Arrival<'_>) -> Result<usize, Refusal> {
        let request = arrival.request;
        let from = request.from().map_err(malformed)?;
        let from_uri = Uri::parse(from.uri).ok();
        let user = from_uri.as_ref().and_then(Uri::user_unescaped);
        let host = from_uri
            .as_ref()
            .map(|uri| uri.host.to_string())
            .unwrap_or_default();
        let credentials: Vec<_> = request.credentials().flatten().collect();
        let usernames: Vec<&str> = credentials.iter().map(|it| &*it.username).collect();
        let facts = RequestFacts {
            source: arrival.remote.ip(),
            from_user: user.as_deref(),
            from_host: &host,
            auth_usernames: &usernames,
            request_uri: arrival.uri,
            headers: &|name, found| request.header_named(name).for_each(found),
        };
        let Some(endpoint) = self.identifier.identify(&facts) else {
            let who = format!("no endpoint for From user {:?}", user.unwrap_or_default());
            // A stock Asterisk that gets a 401 it cannot answer is silent until its restart; a 403 costs it only the one state.
            return Err(if self.is_of_a_peer(arrival.remote.ip()) {
                Refusal::new(
                    403,
                    "unknown-endpoint",
                    format!("{who}, from a configured peer's address"),
                )
            } else {
                Refusal::new(401, "unknown-endpoint", who)
                    .with(RefusalHeader::Challenge { stale: false })
            });
        };
        let rules = &self.config.endpoints[endpoint].permit_deny;
        if !Rule::allows(rules, arrival.remote.ip()) {
            let name = &self.config.endpoints[endpoint].name;
            let cause = format!("permit and deny of endpoint {name:?} keep the address out");
            return Err(Refusal::new(403, "access-list", cause));
        }
        Ok(endpoint)
    }

    fn authenticate(&self, arrival: &Arrival<'_>, endpoint: usize) -> Result<(), Refusal> {
        let auths = self.auths_of(Some(endpoint));
        if auths.is_empty() {
            return Ok(());
        }
        let verdict = self.authenticator.verify(
            arrival.now.at,
            &self.config,
            &auths,
            arrival.request,
            arrival.method.as_str(),
            arrival.uri,
        );
        let refused = |code, cause: &'static str, stale| {
            Err(Refusal::new(401, code, cause).with(RefusalHeader::Challenge { stale }))
        };
        match verdict {
            Verdict::Right => Ok(()),
            Verdict::Stale => refused("stale-nonce", "credentials with an old nonce", true),
            Verdict::Missing => refused("no-credentials", "no credentials yet", false),
            Verdict::Wrong(why) => refused("wrong-credentials", why, false),
        }
    }

    fn auths_of(&self, endpoint: Option<usize>) -> Vec<&Auth> {
        let names = endpoint.map_or(&[][..], |index| &self.config.endpoints[index].auth);
        names
            .iter()
            .filter_map(|name| self.config.auths.iter().find(|auth| auth.name == *name))
            .collect()
    }

    /// Whether an endpoint may speak for an entity id: by its `@allowed_eids`, and because it does not speak for too many.
    fn check_entity_id(&self, endpoint: usize, eid: EntityId) -> Result<(), Refusal> {
        let configured = &self.config.endpoints[endpoint];
        let allowed = &configured.allowed_eids;
        if !allowed.is_empty() && !allowed.iter().any(|pattern| pattern.matches(eid)) {
            let cause = format!(
                "entity id {eid} is not among @allowed_eids of endpoint {:?}",
                configured.name
            );
            return Err(
                Refusal::new(403, "entity-id-not-allowed", cause).saying("Not for this entity id")
            );
        }
        self.speakers.check(endpoint, eid).map_err(|_| {
            let cause = format!(
                "endpoint {:?} speaks for too many entity ids",
                configured.name
            );
            Refusal::new(503, "too-many-entity-ids", cause).with(RefusalHeader::RetryAfter(60))
        })
    }

    /// Remembers that an endpoint speaks for an entity id, and reports what is wrong about it.
    fn note_entity_id(&mut self, now: Now, endpoint: usize, change: &StateChange<'_>) {
        let eid = change.eid();
        let finding = match change {
            StateChange::Refresh { .. } => self.speakers.is(now.at, &self.config, endpoint, eid),
            StateChange::Device { .. } | StateChange::Mailbox { .. } => {
                self.speakers.said(now.at, endpoint, eid)
            }
        };
        if let Some(finding) = finding {
            *self.counters.findings.entry(finding.code()).or_default() += 1;
            self.outbox
                .notice(Level::Warn, finding.code(), finding.text(&self.config));
            if let Some(next) = self.speakers.next_left() {
                self.timers.set_if_unset(Timer::EntityIdsLeft, next);
            }
        }
    }

    /// Whether a state is taken: its kind and name by the asterisk-publication, its entity id because it is not ours.
    fn is_wanted(
        &mut self,
        arrival: &Arrival<'_>,
        checked: &Checked,
        change: &StateChange<'_>,
    ) -> bool {
        let rule = &self.config.asterisk_publications[checked.rule];
        let (device_filter, mailbox_filter) = self.taken[checked.rule];
        let wanted = match change {
            StateChange::Device { device, .. } => {
                rule.device_state && self.filters.matches(device_filter, device)
            }
            StateChange::Mailbox { uniqueid, .. } => {
                rule.mailbox_state && self.filters.matches(mailbox_filter, uniqueid)
            }
            StateChange::Refresh { .. } => return true,
        };
        if !wanted {
            self.counters.filtered += 1;
            return false;
        }
        if change.eid() == self.entity_id {
            self.counters.own_entity_id_received += 1;
            self.report_own_entity_id(arrival, checked);
            return false;
        }
        true
    }

    /// Somebody speaks under our entity id: two nodes share one, or a peer sends ours back. Reported once for each peer.
    fn report_own_entity_id(&mut self, arrival: &Arrival<'_>, checked: &Checked) {
        if !self.reported.insert((checked.endpoint, self.entity_id)) {
            return;
        }
        let text = format!(
            "endpoint {} ({}) sends states under our own entity id {}: give each server its own; such states are dropped",
            self.config.endpoints[checked.endpoint].name, arrival.remote, self.entity_id
        );
        self.outbox.notice(Level::Error, "own-entity-id", text);
    }

    /// Writes the publication's new state, and remembers the answer where a copy of the request could not be known by it.
    fn commit(
        &mut self,
        arrival: &Arrival<'_>,
        checked: &Checked,
        key: Option<TransactionKey>,
        taken: u64,
    ) -> Accepted {
        let now = arrival.now;
        let ended = match checked.intent {
            Intent::Remove(id) => self.compositor.get(id).copied().map(|it| (id, it)),
            Intent::Initial | Intent::Modify(_) | Intent::Refresh(_) => None,
        };
        let (id, accepted) =
            self.compositor
                .commit(now, &self.config, checked, key, arrival.remote, taken);
        match checked.intent {
            Intent::Initial | Intent::Remove(_) => {
                if let Some(key) = key {
                    self.transactions.remember(now.at, key, accepted);
                    self.timers.set_if_unset(
                        Timer::Transactions,
                        now.at + crate::limits::TRANSACTION_LIFETIME,
                    );
                }
            }
            Intent::Modify(_) | Intent::Refresh(_) => {}
        }
        if let Some((id, publication)) = ended {
            self.timers.clear(Timer::Publication(id.0));
            self.tell_of_publication(now, id, &publication, Some("removed"));
        } else if checked.intent == Intent::Initial
            && let Some(publication) = self.compositor.get(id).copied()
        {
            let ends = publication.expires_at + crate::limits::TAG_GRACE;
            self.timers.set(Timer::Publication(id.0), ends);
            self.tell_of_publication(now, id, &publication, None);
        }
        accepted
    }

    pub(super) fn tell_of_publication(
        &mut self,
        now: Now,
        id: crate::compositor::PublicationId,
        publication: &crate::compositor::Publication,
        ended: Option<&'static str>,
    ) {
        if self.watched {
            let publication = self.publication_view(now, id, publication);
            self.outbox.event(Event::Publication { publication, ended });
        }
    }

    fn reply_accepted(&mut self, arrival: &Arrival<'_>, accepted: &Accepted) {
        self.reply(arrival, 200, "", |writer, _| {
            writer
                .header(HeaderName::SipETag, accepted.tag)
                .header(HeaderName::Expires, accepted.expires);
        });
    }

    fn refuse(&mut self, arrival: &Arrival<'_>, endpoint: Option<usize>, refusal: &Refusal) {
        *self.counters.refused.entry(refusal.code).or_default() += 1;
        let level = match refusal.code {
            // The first half of every authenticated request.
            "no-credentials" | "stale-nonce" => Level::Debug,
            _ => Level::Warn,
        };
        let who = match endpoint {
            Some(endpoint) => format!("endpoint {}", self.config.endpoints[endpoint].name),
            None => "nobody we know".to_owned(),
        };
        let text = format!(
            "{} {} from {} ({who}) refused with {}: {}",
            arrival.method.as_str(),
            arrival.uri,
            arrival.remote,
            refusal.status,
            refusal.cause
        );
        self.outbox.notice(level, refusal.code, text);
        let (header, reason) = (&refusal.header, refusal.reason.clone());
        self.reply(arrival, refusal.status, &reason, |writer, node| {
            match header {
                RefusalHeader::None => writer,
                RefusalHeader::Challenge { stale } => {
                    let auths = node.auths_of(endpoint);
                    let now = arrival.now.at;
                    node.authenticator
                        .challenge(writer, now, &node.config, &auths, *stale);
                    writer
                }
                RefusalHeader::Allow => writer.header(HeaderName::Allow, ALLOW),
                RefusalHeader::Accept => writer.header(HeaderName::Accept, MEDIA_TYPE),
                RefusalHeader::AllowEvents => writer.header(HeaderName::AllowEvents, ALLOW_EVENTS),
                RefusalHeader::MinExpires(seconds) => {
                    writer.header(HeaderName::MinExpires, seconds)
                }
                RefusalHeader::Unsupported(tags) => writer.header(HeaderName::Unsupported, tags),
                RefusalHeader::RetryAfter(seconds) => {
                    writer.header(HeaderName::RetryAfter, seconds)
                }
            };
        });
    }

    /// Sends an answer to where the request came from: over its connection, else to its address (RFC 3581 4, as with Asterisk's force_rport
    /// even where Via has no rport).
    fn reply(
        &mut self,
        arrival: &Arrival<'_>,
        status: u16,
        reason: &str,
        headers: impl FnOnce(&mut Writer<'_>, &Self),
    ) {
        let key = self.transactions.key(
            arrival.request,
            arrival.method.as_str(),
            arrival.origin.transport,
            arrival.remote,
        );
        // RFC 3261 8.2.6.2: the same tag for each copy of a request.
        let to_tag = key.map_or_else(|| "0".to_owned(), |key| key.to_tag());
        let write = |node: &Self, out: &mut Vec<u8>| {
            let names = names(&node.config);
            let (request, remote) = (arrival.request, arrival.remote);
            let mut writer = Writer::reply(out, names, request, remote, status, reason, &to_tag);
            headers(&mut writer, node);
            writer.header(HeaderName::Server, user_agent(&node.config));
            writer.finish();
        };
        match arrival.origin.flow {
            None => {
                let mut outbox = std::mem::take(&mut self.outbox);
                outbox.transmit(arrival.origin.transport, arrival.remote, |out| {
                    write(self, out);
                });
                self.outbox = outbox;
            }
            // A peer that has closed its connection meanwhile asks again over the next (RFC 3261 18.2.2).
            Some(flow) => {
                let mut answer = Vec::new();
                write(self, &mut answer);
                self.write_to_flow(arrival.now, flow, &answer);
            }
        }
    }
}

/// Methods that are understood, for Allow.
const ALLOW: &str = "OPTIONS, PUBLISH";

/// Events that are understood, for Allow-Events.
const ALLOW_EVENTS: &str = "asterisk-devicestate, asterisk-mwi";

/// The media type that is understood, for Accept.
const MEDIA_TYPE: &str = "application/json";

fn malformed(defect: Defect) -> Refusal {
    Refusal::new(defect.status(), "malformed", defect.to_string()).saying(defect.to_string())
}

/// RFC 3261 8.1.1: what every request has. Max-Forwards may be missing, as Asterisk takes it.
fn mandatory_headers(request: &Message<'_>) -> Result<(), Refusal> {
    request.via().map_err(malformed)?;
    request.from().map_err(malformed)?;
    request.to().map_err(malformed)?;
    request.call_id().map_err(malformed)?;
    request.cseq().map_err(malformed)?;
    Ok(())
}

fn scheme(uri: &str) -> Result<(), Refusal> {
    match Uri::parse(uri) {
        Ok(Uri {
            scheme: Scheme::Sip | Scheme::Sips,
            ..
        }) => Ok(()),
        Ok(Uri {
            scheme: Scheme::Tel | Scheme::Other(_),
            ..
        }) => Err(Refusal::new(
            416,
            "scheme",
            "the request-URI is not sip or sips",
        )),
        Err(error) => {
            let cause = format!("request-URI {uri:?}: {error}");
            Err(Refusal::new(400, "malformed", cause).saying(error.to_string()))
        }
    }
}

/// The state change in a body; `None` without body.
fn body<'a>(
    request: &Message<'a>,
    event: EventPackage,
) -> Result<Option<StateChange<'a>>, Refusal> {
    if request.body().is_empty() {
        return Ok(None);
    }
    let media_type = request
        .content_type()
        .ok_or_else(|| malformed(Defect::Missing(HeaderName::ContentType)))?;
    if !media_type.is("application", "json") {
        let cause = format!("Content-Type {}/{}", media_type.kind, media_type.subtype);
        return Err(Refusal::new(415, "media-type", cause).with(RefusalHeader::Accept));
    }
    StateChange::parse(event, request.body())
        .map(Some)
        .map_err(|error: BodyError| {
            Refusal::new(400, "body", error.to_string()).saying(error.to_string())
        })
}

fn assertion<'a>(change: &'a StateChange<'_>, now: Now) -> Assertion<'a> {
    let (kind, name, value, cachable) = match change {
        StateChange::Device {
            device,
            state,
            cachable,
            ..
        } => (Kind::Device, &**device, Value::device(*state), *cachable),
        StateChange::Mailbox {
            uniqueid, new, old, ..
        } => (Kind::Mailbox, &**uniqueid, Value::mailbox(*new, *old), true),
        StateChange::Refresh { .. } => (Kind::Device, "", Value::mailbox(0, 0), false),
    };
    Assertion {
        kind,
        name,
        eid: change.eid(),
        value,
        cachable,
        source: Source::Publication,
        peer: None,
        at: now.wall,
    }
}
