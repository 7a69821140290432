//! The life of a PUBLISH, from bytes to the answer and to whoever hears of the change.

use std::net::SocketAddr;

use lampwire_conf::{CertificateName, Config, RequestFacts, Rule};
use lampwire_sip::{
    BodyError, Defect, EntityId, EventPackage, Extras, HeaderName, Message, Method, ParseError,
    Scheme, StartLine, StateChange, Uri, Version, Writer,
};

use super::Node;
use super::cluster::InShadow;
use super::hub::Heard;
use super::many::{self, brings_many};
use crate::auth::server::{Authenticator, Claim, Verdict};
use crate::compositor::{Accepted, Checked, Intent};
use crate::counters::Answered;
use crate::entity::{Finding, Said, TooMany};
use crate::hex::Hex;
use crate::io::{Event, FlowId, Level, TransportId};
use crate::late::Leave;
use crate::lately::{DropCause, Dropped};
use crate::limits;
use crate::peer::PeerId;
use crate::publisher::request::{names, user_agent};
use crate::publisher::{Publisher, PublisherId};
use crate::refusal::{Refusal, RefusalHeader};
use crate::strangers::{Caller, Reception};
use crate::table::{
    Assertion, Change, Holder, Kind, MaxStates, Source, TableFull, Value, newest_possible,
};
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
pub(super) struct Arrival<'a> {
    pub(super) now: Now,
    origin: Origin,
    remote: SocketAddr,
    pub(super) request: &'a Message<'a>,
    method: Method<'a>,
    uri: &'a str,
    /// What makes it the same as a copy of it.
    key: Option<TransactionKey>,
}

impl Arrival<'_> {
    /// The same where copies may come: by connections there are none (RFC 3261 17.2.2), and nothing is kept for them.
    fn key_of_copies(&self) -> Option<TransactionKey> {
        self.key.filter(|_| self.origin.flow.is_none())
    }

    /// The user that From names.
    fn user_of_from(&self) -> Option<String> {
        let from = self.request.from().ok()?;
        let uri = Uri::parse(from.uri).ok()?;
        uri.user_unescaped().map(|user| user.into_owned())
    }
}

/// Whose a request is, as far as has been found out.
#[derive(Clone, Copy, Debug, Default)]
struct Sender {
    endpoint: Option<usize>,
    /// It has proven that, or need not.
    proven: bool,
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
        /// Where many came in one request, all of them.
        changes: Vec<Change>,
        refresh: Option<PublisherId>,
        began: Option<(PeerId, Began)>,
    },
    /// OPTIONS: what this node understands.
    Options,
    /// No answer, or not yet: a copy of what will be answered, or one more of an endpoint that does not wait for answers.
    Nothing,
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
                    let arrival = self.arrival(now, origin, &message, method, uri);
                    self.handle_request(&arrival);
                }
            }
        }
    }

    /// Takes the headers of a message whose body is too long for a connection.
    pub(super) fn receive_overlong(&mut self, now: Now, origin: Origin, head: &[u8]) {
        self.counters.requests_received += 1;
        if let Ok(message) = Message::parse(head)
            && let StartLine::Request { method, uri } = message.start()
            && method != Method::Ack
        {
            let arrival = self.arrival(now, origin, &message, method, uri);
            self.refuse_stranger(&arrival, Sender::default(), malformed(Defect::BodyTooLong));
        }
    }

    fn arrival<'a>(
        &self,
        now: Now,
        origin: Origin,
        request: &'a Message<'a>,
        method: Method<'a>,
        uri: &'a str,
    ) -> Arrival<'a> {
        let (transport, remote) = (origin.transport, origin.remote);
        Arrival {
            now,
            origin,
            remote,
            request,
            method,
            uri,
            key: self
                .transactions
                .key(request, method.as_str(), transport, remote),
        }
    }

    /// Decides, answers, and then lets others hear: the 200 leaves before the fan-out.
    fn handle_request(&mut self, arrival: &Arrival<'_>) {
        let mut sender = Sender::default();
        match self.decide(arrival, &mut sender) {
            Ok(Granted::Nothing) => {}
            Ok(Granted::Again(accepted)) => {
                self.counters.retransmissions += 1;
                self.reply_accepted(arrival, Sender::default(), &accepted);
            }
            Ok(Granted::Options) => {
                self.reply(arrival, sender, 200, "", |writer, _, _| {
                    writer
                        .text(HeaderName::Allow, ALLOW)
                        .text(HeaderName::Accept, MEDIA_TYPE)
                        .text(HeaderName::AllowEvents, ALLOW_EVENTS);
                });
            }
            Ok(Granted::Published {
                accepted,
                change,
                changes,
                refresh,
                began,
            }) => {
                self.counters.accepted += 1;
                self.reply_accepted(arrival, sender, &accepted);
                for change in change.into_iter().chain(changes) {
                    self.fan_out(arrival.now, change);
                }
                if let Some((peer, began)) = began {
                    self.each_publisher(arrival.now, |publisher, ctx| match began {
                        _ if publisher.peer != Some(peer) => {}
                        Began::First => publisher.probe_now(ctx),
                        Began::Another => publisher.began_anew_there(ctx),
                    });
                    if began == Began::Another {
                        self.began_another(arrival.now, peer);
                    }
                }
                if let Some(publisher) = refresh {
                    self.with_publisher(arrival.now, publisher, Publisher::say_all);
                }
            }
            Err(refusal) if sender.proven => {
                self.refuse(arrival, sender, &refusal);
                self.note_refused(arrival.now, arrival.request, arrival.uri, &refusal);
                if refusal.code == "empty-initial" {
                    self.knocked(arrival.now, arrival.request, arrival.uri);
                }
            }
            Err(refusal) => self.refuse_stranger(arrival, sender, refusal),
        }
    }

    /// Refuses a request that is not proven to be anybody's, or does not even that where its address has had too many answers.
    fn refuse_stranger(&mut self, arrival: &Arrival<'_>, sender: Sender, refusal: Refusal) {
        let (now, source) = (arrival.now, arrival.remote.ip());
        let of_peer = self.is_of_a_peer(source);
        if self.awaits_names.is_some_and(|until| now.at < until)
            && refusal.status == 401
            && !of_peer
            && !self.compositor.knows(sender.endpoint, source)
        {
            // Challenged, a stock Asterisk that is known by a name would be silent until its restart. It sends copies, and is asked for what it
            // gives up meanwhile.
            self.counters.awaiting_names += 1;
            let cause = "names of the configuration have not been answered yet";
            let text = format!(
                "{} {} from {} is not answered: {cause}",
                arrival.method.as_str(),
                arrival.uri,
                arrival.remote
            );
            self.outbox.notice(Level::Warn, "names-awaited", text);
            let unheard = Refusal::new(503, "names-awaited", cause);
            self.note_refused(now, arrival.request, arrival.uri, &unheard);
            return;
        }
        let caller = Caller {
            source,
            of_peer,
            // A stock Asterisk begins each request so. Whoever guesses passwords is a stranger.
            endpoint: sender.endpoint.filter(|_| asks_for_challenge(&refusal)),
        };
        let reception = self.strangers.receive(now.at, caller);
        if let Some(next) = self.strangers.next_prune(now.at) {
            self.timers.set_if_unset(Timer::Strangers, next);
        }
        match reception {
            Reception::Answer => {
                self.refuse(arrival, sender, &refusal);
                if refusal.status == 401 && (of_peer || sender.endpoint.is_some()) {
                    self.note_challenged(now, arrival.request, arrival.uri, of_peer);
                }
                return;
            }
            Reception::Busy => {
                let busy = self.busy(&refusal);
                self.refuse(arrival, sender, &busy);
            }
            Reception::Later => {
                let busy = self.busy(&refusal);
                match arrival.origin.flow {
                    // Over a connection no copy comes.
                    Some(_) => self.refuse(arrival, sender, &busy),
                    None => self.counters.unanswered += 1,
                }
                self.note_refused(now, arrival.request, arrival.uri, &busy);
                return;
            }
            Reception::Silence => self.counters.unanswered += 1,
        }
        if let Some(flow) = arrival.origin.flow {
            let (flows, mut out) = self.lend_flows(now);
            flows.end(&mut out, flow, "too many unproven requests");
        }
    }

    fn busy(&self, instead_of: &Refusal) -> Refusal {
        let cause = format!("too many unproven requests; this one: {}", instead_of.cause);
        let retry = RefusalHeader::RetryAfter(self.strangers.retry_after());
        Refusal::new(503, "too-many-unproven", cause).with(retry)
    }

    /// The stages of a request, in order. Everything up to the comment reads only, so a refusal leaves no trace.
    fn decide(&mut self, arrival: &Arrival<'_>, sender: &mut Sender) -> Result<Granted, Refusal> {
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
        let key = arrival.key_of_copies();
        if self.late.is_waiting(key) {
            return Ok(Granted::Nothing);
        }
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
        sender.endpoint = Some(endpoint);

        // auth: can it prove that? (The count of a nonce is used up by this, whatever becomes of the request.)
        self.authenticate(arrival, endpoint)?;
        sender.proven = true;
        self.note_alias(arrival.origin, request);

        // pace: does it wait for its answers?
        if self.late.is_full(endpoint) {
            self.counters.overtaken += 1;
            if let Some(flow) = arrival.origin.flow {
                let (flows, mut out) = self.lend_flows(now);
                flows.end(&mut out, flow, "it does not wait for its answers");
            }
            return Ok(Granted::Nothing);
        }

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
        let uri = sip_uri(uri)?;
        let checked = self
            .compositor
            .check(now, &self.config, request, &uri, endpoint)?;

        // body
        if brings_many(request) {
            let peer_name = &self.config.asterisk_publications[checked.rule].name;
            let peer = self.peers.of_asterisk_publication(peer_name);
            let (changes, taken) = self.take_many(arrival, &checked, peer)?;
            let (accepted, began) = self.published(arrival, &checked, key, peer, true, taken);
            return Ok(Granted::Published {
                accepted,
                change: None,
                changes,
                refresh: None,
                began,
            });
        }
        let mut body = body(request, checked.event)?;
        if let Some((change, extras)) = body.take() {
            let peer_name = &self.config.asterisk_publications[checked.rule].name;
            let change = match self.peers.of_asterisk_publication(peer_name) {
                Some(peer) => self
                    .rewrites
                    .to_ours(&self.config, peer, change)
                    .map_err(bad_body)?,
                None => change,
            };
            body = Some((change, extras));
        }
        let (change, extras) = match &body {
            Some((change, extras)) => (Some(change), Some(extras)),
            None => (None, None),
        };

        // entity id: may this endpoint speak for it?
        if let (Some(change), Some(extras)) = (change, extras) {
            self.check_entity_ids(endpoint, [(change, extras)])?;
            check_numbers(now, extras)?;
        }

        // filter
        let wanted = change.is_some_and(|change| self.is_wanted(arrival, &checked, change));

        // ---- the first write ----
        let peer_name = &self.config.asterisk_publications[checked.rule].name;
        let peer = self.peers.of_asterisk_publication(peer_name);
        let (mut applied, mut refresh) = (None, None);
        match (change, extras) {
            (Some(StateChange::Refresh { eid }), Some(extras)) => {
                self.counters.refreshes_received += 1;
                if *eid == self.entity_id {
                    self.report_own_entity_id(arrival, &checked);
                } else {
                    self.reported.remove(&(endpoint, self.entity_id));
                }
                if let Some(peer) = peer {
                    self.asked_by(now, peer, checked.event, *eid, extras);
                    refresh = self.peers.get(peer).publisher(checked.event);
                }
            }
            (Some(StateChange::Dumped { .. }), Some(extras))
                if checked.event == EventPackage::DeviceState =>
            {
                if let Some(peer) = peer {
                    self.dumped(now, peer, extras);
                }
            }
            (Some(StateChange::Beat { eid }), Some(extras)) => {
                // The version of a beat is that of the hub whose it is.
                let beat = extras.version.filter(|beat| beat.by == *eid);
                if let (Some(peer), Some(beat)) = (peer, beat) {
                    self.speakers.brought_beat(endpoint, beat.by);
                    self.take_beat(now, peer, beat, extras);
                }
            }
            (Some(StateChange::Canary { eid }), Some(extras)) => {
                if let (Some(peer), Some(number)) = (peer, extras.round) {
                    self.take_canary(now, peer, checked.event, *eid, number);
                }
            }
            (
                Some(change @ (StateChange::Device { .. } | StateChange::Mailbox { .. })),
                Some(extras),
            ) if wanted => {
                applied = self.take(now, endpoint, peer, change, extras)?;
            }
            _ => {}
        }
        if let Some(change) = change.filter(|change| {
            wanted
                && change.eid() != self.entity_id
                && !matches!(
                    change,
                    StateChange::Dumped { .. }
                        | StateChange::Beat { .. }
                        | StateChange::Canary { .. }
                )
        }) {
            let version = extras.and_then(|it| it.version);
            let begins = checked.intent == Intent::Initial;
            self.note_entity_id(now, (endpoint, peer), change, version, begins);
        }
        let states = matches!(
            change,
            Some(StateChange::Device { .. } | StateChange::Mailbox { .. })
        );
        let taken = u64::from(change.is_some());
        let (accepted, began) = self.published(arrival, &checked, key, peer, states, taken);
        Ok(Granted::Published {
            accepted,
            change: applied,
            changes: Vec::new(),
            refresh,
            began,
        })
    }

    /// A PUBLISH is taken: what that says of the peer, and of its publication. `states`: it told any; `taken`: how much it said.
    fn published(
        &mut self,
        arrival: &Arrival<'_>,
        checked: &Checked,
        key: Option<TransactionKey>,
        peer: Option<PeerId>,
        states: bool,
        taken: u64,
    ) -> (Accepted, Option<(PeerId, Began)>) {
        let now = arrival.now;
        if let Some(id) = peer {
            self.peer_spoke(now, id);
            let peer = self.peers.get_mut(id);
            peer.heard(now);
            peer.knocks_until = None;
            peer.challenged = None;
            if states {
                peer.said_at = now.at;
                if peer.unswept.is_some() {
                    self.sweep_after_all(now, id);
                }
            }
            if matches!(checked.intent, Intent::Initial | Intent::Remove(_)) {
                self.peers.note_change(id);
            }
        }
        let began = (checked.intent == Intent::Initial).then(|| {
            match self.compositor.holds_another(now.at, checked) {
                true => Began::Another,
                false => Began::First,
            }
        });
        let accepted = self.commit(arrival, checked, key, taken);
        (accepted, peer.zip(began))
    }

    /// Takes a state in, as far as it is believed.
    pub(super) fn take(
        &mut self,
        now: Now,
        endpoint: usize,
        peer: Option<PeerId>,
        change: &StateChange<'_>,
        extras: &Extras<'_>,
    ) -> Result<Option<Change>, Refusal> {
        let assertion = self.assertion_of(now, endpoint, peer, change, extras);
        self.table.check_room(&assertion).map_err(full)?;
        if let Some(id) = peer
            && self.peers.get(id).entity_id.is_none()
            && extras.version.is_none()
        {
            // Whoever speaks first over a peer's publication is taken for the peer itself, until its `refresh` says better.
            self.learn_own(now, id, change.eid());
        }
        let heard = match peer {
            Some(peer) => self.hear(now, peer, change, extras).map_err(full)?,
            None => Heard::Taken,
        };
        match heard {
            Heard::Taken => {}
            Heard::Known => return Ok(None),
            Heard::Answered(change) => return Ok(Some(change)),
        }
        if extras.version.is_none() {
            match self.in_shadow(now, &assertion) {
                InShadow::No => {}
                InShadow::News => return Ok(None),
                InShadow::Known => {
                    self.counters.repeats_received += 1;
                    if let (Some(peer), StateChange::Device { .. }) = (peer, change) {
                        self.peers.get_mut(peer).repeats += 1;
                    }
                    return Ok(None);
                }
            }
        }
        let owner = match change {
            StateChange::Mailbox { uniqueid, .. } if self.config.lampwire.relay => {
                self.table.owner_of_mailbox(uniqueid)
            }
            _ => None,
        };
        let mut applied = self.table.apply(&assertion).map_err(full)?;
        if extras.version.is_some()
            && let Some(change) = applied
        {
            applied = self.dispute(now, change).or(applied);
        }
        let said_again = applied.is_none() && extras.version.is_none();
        match applied {
            Some(_) => self.counters.changes_received += 1,
            None => {
                self.counters.repeats_received += 1;
                if let (Some(peer), StateChange::Device { .. }) = (peer, change) {
                    self.peers.get_mut(peer).repeats += 1;
                }
            }
        }
        if said_again {
            applied = self.hear_adopted(&assertion);
        }
        if self.config.lampwire.relay
            && let (Some(peer), StateChange::Mailbox { uniqueid, .. }) = (peer, change)
        {
            let owned = self.settle_owner(now, (peer, extras.version.is_none()), uniqueid, owner);
            self.say_owned(now, owned, applied);
        }
        Ok(applied)
    }

    /// A state as an endpoint says it.
    pub(super) fn assertion_of<'a>(
        &self,
        now: Now,
        endpoint: usize,
        peer: Option<PeerId>,
        change: &'a StateChange<'_>,
        extras: &Extras<'_>,
    ) -> Assertion<'a> {
        let max = self.max_states(endpoint);
        Assertion {
            peer,
            holder: Holder::of_endpoint(endpoint).map(|holder| (holder, max)),
            version: extras.version,
            lost: extras.lost && extras.version.is_some(),
            ..assertion(change, now)
        }
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
        let source = arrival.remote.ip();
        let by_certificate = self.identify_by_certificate(arrival);
        let found = by_certificate
            .or_else(|| self.identifier.identify_by_source(source))
            .or_else(|| self.identify_by_all(arrival));
        let (code, cause) = match found.map(|index| (index, &self.config.endpoints[index])) {
            None => {
                let user = arrival.user_of_from().unwrap_or_default();
                (
                    "unknown-endpoint",
                    format!("no endpoint for From user {user:?}"),
                )
            }
            Some((_, endpoint))
                if by_certificate.is_none() && !endpoint.identify_by_certificate.is_empty() =>
            {
                (
                    "no-certificate",
                    format!("endpoint {:?} without its certificate", endpoint.name),
                )
            }
            Some((_, endpoint)) if !Rule::allows(&endpoint.permit_deny, source) => (
                "access-list",
                format!(
                    "permit and deny of endpoint {:?} keep the address out",
                    endpoint.name
                ),
            ),
            Some((index, _)) => return Ok(index),
        };
        // All of these get the same, so that nobody learns which endpoints there are.
        if self.is_of_a_peer(source) {
            // A stock Asterisk that gets a 401 it cannot answer is silent until its restart; a 403 costs it only the one state.
            let cause = format!("{cause}, from a configured peer's address");
            return Err(Refusal::new(403, code, cause));
        }
        // Credentials cost the same time as an endpoint's.
        let user = arrival.user_of_from().unwrap_or_default();
        let guise = self.authenticator.guise(&user);
        let _ = self
            .authenticator
            .verify(arrival.now.at, &self.config, guise, claim(arrival));
        Err(Refusal::new(401, code, cause).with(RefusalHeader::Challenge { stale: false }))
    }

    /// The endpoint that the request's address, names or other headers tell.
    fn identify_by_all(&self, arrival: &Arrival<'_>) -> Option<usize> {
        let request = arrival.request;
        let from_uri = request.from().ok().and_then(|it| it.parsed_uri().ok());
        let user = from_uri.as_ref().and_then(Uri::user_unescaped);
        let host = from_uri
            .as_ref()
            .map(|uri| uri.host.to_string())
            .unwrap_or_default();
        let credentials: Vec<_> = request.credentials().flatten().collect();
        let usernames: Vec<&str> = credentials.iter().map(|it| &*it.username).collect();
        self.identifier.identify(&RequestFacts {
            source: arrival.remote.ip(),
            from_user: user.as_deref(),
            from_host: &host,
            auth_usernames: &usernames,
            request_uri: arrival.uri,
            headers: &|name, found| request.header_named(name).for_each(found),
        })
    }

    /// The endpoint that the certificate of the request's connection names. It comes before all other ways: it is a proof.
    fn identify_by_certificate(&self, arrival: &Arrival<'_>) -> Option<usize> {
        let certificate = self.flows.certificate(arrival.origin.flow?)?;
        if !certificate.verified {
            return None;
        }
        let is_named = |name: &CertificateName| match name {
            CertificateName::Subject(name) => certificate.subject.as_deref() == Some(name),
            // Host names and the hosts of URIs are compared without case (RFC 5922 7.2).
            CertificateName::San(name) => certificate
                .names
                .iter()
                .any(|it| it.eq_ignore_ascii_case(name)),
        };
        self.config
            .endpoints
            .iter()
            .position(|endpoint| endpoint.identify_by_certificate.iter().any(is_named))
    }

    fn authenticate(&mut self, arrival: &Arrival<'_>, endpoint: usize) -> Result<(), Refusal> {
        let auths = self.authenticator.auths_of(endpoint);
        if auths.is_empty() {
            return Ok(());
        }
        let now = arrival.now.at;
        let verdict = self
            .authenticator
            .verify(now, &self.config, auths, claim(arrival));
        let refused = |code, cause: &'static str, stale| {
            Err(Refusal::new(401, code, cause).with(RefusalHeader::Challenge { stale }))
        };
        match verdict {
            Verdict::Right(used) => {
                if !self.authenticator.take(now, used, arrival.key_of_copies()) {
                    let cause = "a nonce with a count that has been used";
                    return refused("nonce-used-up", cause, true);
                }
                let source = arrival.remote.ip();
                let of_peer = self.is_of_a_peer(source);
                if self.strangers.proven(endpoint, source, of_peer) {
                    let missed = Refusal::new(503, "too-many-unproven", "before it proved itself");
                    self.note_refused(arrival.now, arrival.request, arrival.uri, &missed);
                }
                Ok(())
            }
            Verdict::Stale => refused("stale-nonce", "credentials with an old nonce", true),
            Verdict::Missing => refused("no-credentials", "no credentials yet", false),
            Verdict::Wrong(why) => refused("wrong-credentials", why, false),
        }
    }

    /// How many states an endpoint may hold.
    pub(super) fn max_states(&self, endpoint: usize) -> MaxStates {
        let endpoint = &self.config.endpoints[endpoint];
        MaxStates {
            devices: endpoint.max_devices,
            mailboxes: endpoint.max_mailboxes,
        }
    }

    /// Whether an endpoint may say all this: by its `@allowed_eids`, and because it does not speak for too many.
    pub(super) fn check_entity_ids<'a>(
        &self,
        endpoint: usize,
        said: impl IntoIterator<Item = (&'a StateChange<'a>, &'a Extras<'a>)> + Clone,
    ) -> Result<(), Refusal> {
        let configured = &self.config.endpoints[endpoint];
        let allowed = &configured.allowed_eids;
        let is_allowed =
            |eid| allowed.is_empty() || allowed.iter().any(|pattern| pattern.matches(eid));
        for (change, _) in said.clone() {
            let eid = change.eid();
            if !is_allowed(eid) {
                let cause = format!(
                    "entity id {eid} is not among @allowed_eids of endpoint {:?}",
                    configured.name
                );
                return Err(Refusal::new(403, "entity-id-not-allowed", cause)
                    .saying("Not for this entity id"));
            }
        }
        // What is remembered of the entity id that it says: all but that of beats and the like.
        let spoken = |(change, _): (&StateChange<'_>, &Extras<'_>)| match change {
            StateChange::Device { .. }
            | StateChange::Mailbox { .. }
            | StateChange::Refresh { .. } => Some(change.eid()),
            StateChange::Dumped { .. } | StateChange::Beat { .. } | StateChange::Canary { .. } => {
                None
            }
        };
        let stamped = |(change, extras): (&StateChange<'_>, &Extras<'_>)| match change {
            StateChange::Device { .. } | StateChange::Mailbox { .. } | StateChange::Beat { .. } => {
                extras.version.map(|version| version.by)
            }
            StateChange::Refresh { .. }
            | StateChange::Dumped { .. }
            | StateChange::Canary { .. } => None,
        };
        let others = |eid: &EntityId| *eid != self.entity_id;
        let eids = said.clone().into_iter().filter_map(spoken).filter(others);
        let hubs = said.into_iter().filter_map(stamped).filter(others);
        let too_many = self.speakers.check(endpoint, eids, hubs);
        too_many.map_err(|too_many| {
            let (code, what) = match too_many {
                TooMany::EntityIds => ("too-many-entity-ids", "speaks for too many entity ids"),
                TooMany::Hubs => ("too-many-hubs", "brings the words of too many hubs"),
            };
            let cause = format!("endpoint {:?} {what}", configured.name);
            Refusal::new(503, code, cause).with(RefusalHeader::RetryAfter(60))
        })
    }

    /// Remembers that an endpoint speaks for an entity id, and reports what is wrong about it. `begins`: with that it began a publication.
    pub(super) fn note_entity_id(
        &mut self,
        now: Now,
        (endpoint, peer): (usize, Option<PeerId>),
        change: &StateChange<'_>,
        version: Option<Version>,
        begins: bool,
    ) {
        let eid = change.eid();
        let by = version.map(|version| version.by);
        self.speakers
            .brought(endpoint, eid, by.filter(|by| *by != self.entity_id));
        let finding = match change {
            _ if by.is_some() => None,
            StateChange::Refresh { .. } => {
                let who = (endpoint, peer);
                self.speakers.is(now.at, &self.config, who, eid)
            }
            StateChange::Device { .. } | StateChange::Mailbox { .. } => {
                // Another Lampwire says by its `refresh` which is its own.
                let lampwire = peer.is_some_and(|peer| self.peers.get(peer).life.is_some());
                let said = Said {
                    eid,
                    peer,
                    device: matches!(change, StateChange::Device { .. }),
                    begins: begins && !lampwire,
                };
                self.speakers.said(now.at, endpoint, said)
            }
            StateChange::Dumped { .. } | StateChange::Beat { .. } | StateChange::Canary { .. } => {
                None
            }
        };
        if let Some(finding) = finding {
            *self.counters.findings.entry(finding.code()).or_default() += 1;
            self.outbox
                .notice(Level::Warn, finding.code(), finding.text(&self.config));
            if let (Finding::Changed { from, .. }, Some(peer)) = (finding, peer) {
                self.leave(now, peer, from);
            }
        }
        if let Some(next) = self.speakers.next_left() {
            self.timers.set_if_unset(Timer::EntityIdsLeft, next);
        }
    }

    /// Whether a state is taken: its kind and name by the asterisk-publication, its entity id because it is not ours.
    pub(super) fn is_wanted(
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
            StateChange::Refresh { .. }
            | StateChange::Dumped { .. }
            | StateChange::Beat { .. }
            | StateChange::Canary { .. } => {
                return true;
            }
        };
        if !wanted {
            self.counters.filtered += 1;
            self.remember_drop(arrival, checked, change, DropCause::NotWanted);
            return false;
        }
        if change.eid() == self.entity_id {
            self.counters.own_entity_id_received += 1;
            self.remember_drop(arrival, checked, change, DropCause::OwnEntityId);
            self.report_own_entity_id(arrival, checked);
            return false;
        }
        true
    }

    fn remember_drop(
        &mut self,
        arrival: &Arrival<'_>,
        checked: &Checked,
        change: &StateChange<'_>,
        cause: DropCause,
    ) {
        let dropped = assertion(change, arrival.now);
        self.lately.dropped(Dropped {
            at: dropped.at,
            kind: dropped.kind,
            name: dropped.name.to_owned(),
            eid: dropped.eid,
            value: dropped.value,
            rule: checked.rule,
            cause,
            count: 0,
        });
    }

    /// Somebody speaks under our entity id: two nodes share one, or a peer sends ours back. Reported once for each peer.
    fn report_own_entity_id(&mut self, arrival: &Arrival<'_>, checked: &Checked) {
        if !self.reported.insert((checked.endpoint, self.entity_id)) {
            return;
        }
        *self.counters.findings.entry("own-entity-id").or_default() += 1;
        let text = format!(
            "{} ({})",
            self.claims_ours(checked.endpoint),
            arrival.remote
        );
        self.outbox.notice(Level::Error, "own-entity-id", text);
    }

    /// What is told of an endpoint that speaks under our entity id.
    pub(super) fn claims_ours(&self, endpoint: usize) -> String {
        format!(
            "endpoint {} speaks under our own entity id {}: give each server its own; its states under that are dropped",
            self.config.endpoints[endpoint].name, self.entity_id
        )
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
        if self.compositor.missed_some(checked) {
            let rule = &self.config.asterisk_publications[checked.rule].name;
            if let Some(peer) = self.peers.of_asterisk_publication(rule) {
                self.ask_peer(now, peer);
            }
        }
        let ended = match checked.intent {
            Intent::Remove(id) => self.compositor.get(id).copied().map(|it| (id, it)),
            Intent::Initial | Intent::Modify(_) | Intent::Refresh(_) => None,
        };
        let (id, accepted) =
            self.compositor
                .commit(now, &self.config, checked, key, arrival.remote, taken);
        self.kept.publications.insert(id.0);
        self.note_sender(id, arrival.request, arrival.uri);
        match checked.intent {
            Intent::Initial | Intent::Remove(_) => {
                if let Some(key) = key {
                    self.transactions.remember(key, accepted);
                    self.timers.set_if_unset(
                        Timer::Transactions,
                        now.at + crate::limits::TRANSACTION_LIFETIME,
                    );
                }
            }
            Intent::Modify(_) | Intent::Refresh(_) => {}
        }
        if let Some((id, publication)) = ended {
            self.senders.forget(id);
            self.timers.clear(Timer::Publication(id.0));
            self.tell_of_publication(now, id, &publication, Some("removed"));
            let rule = &self.config.asterisk_publications[publication.rule].name;
            if let Some(peer) = self.peers.of_asterisk_publication(rule) {
                self.publication_ended(now, peer);
            }
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

    fn reply_accepted(&mut self, arrival: &Arrival<'_>, sender: Sender, accepted: &Accepted) {
        let first = arrival.request.if_match().is_none();
        self.reply(arrival, sender, 200, "", |writer, _, _| {
            writer
                .text(HeaderName::SipETag, accepted.tag.digits().as_str())
                .number(HeaderName::Expires, accepted.expires);
            if first {
                writer.text(HeaderName::Accept, many::OFFER);
            }
        });
    }

    fn refuse(&mut self, arrival: &Arrival<'_>, sender: Sender, refusal: &Refusal) {
        *self.counters.refused.entry(refusal.code).or_default() += 1;
        let level = match refusal.code {
            // The first half of every authenticated request.
            _ if asks_for_challenge(refusal) => Level::Debug,
            _ => Level::Warn,
        };
        let who = match sender.endpoint {
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
        let number = self.authenticator.number();
        self.reply(
            arrival,
            sender,
            refusal.status,
            &refusal.reason,
            |writer, config, authenticator| {
                match &refusal.header {
                    RefusalHeader::None => writer,
                    RefusalHeader::Challenge { stale } => {
                        let auths = match sender.endpoint {
                            Some(endpoint) => authenticator.auths_of(endpoint),
                            None => {
                                let user = arrival.user_of_from().unwrap_or_default();
                                authenticator.guise(&user)
                            }
                        };
                        let now = arrival.now.at;
                        authenticator.challenge(writer, now, config, auths, number, *stale);
                        writer
                    }
                    RefusalHeader::Allow => writer.header(HeaderName::Allow, ALLOW),
                    RefusalHeader::Accept => writer.header(HeaderName::Accept, MEDIA_TYPE),
                    RefusalHeader::AllowEvents => {
                        writer.header(HeaderName::AllowEvents, ALLOW_EVENTS)
                    }
                    RefusalHeader::MinExpires(seconds) => {
                        writer.header(HeaderName::MinExpires, seconds)
                    }
                    RefusalHeader::Unsupported(tags) => {
                        writer.header(HeaderName::Unsupported, tags)
                    }
                    RefusalHeader::RetryAfter(seconds) => {
                        writer.header(HeaderName::RetryAfter, seconds)
                    }
                };
            },
        );
    }

    /// Sends an answer to where the request came from: over its connection, else to its address (RFC 3581 4, as with Asterisk's force_rport
    /// even where Via has no rport). To an endpoint that has proven itself and asks faster than its rate it goes later.
    fn reply(
        &mut self,
        arrival: &Arrival<'_>,
        sender: Sender,
        status: u16,
        reason: &str,
        headers: impl FnOnce(&mut Writer<'_>, &Config, &Authenticator),
    ) {
        let event = arrival.request.event().ok().flatten();
        let event = event.map(|event| event.package);
        let answered = Answered::new(sender.endpoint, arrival.method, event, status);
        *self.counters.answered.entry(answered).or_default() += 1;
        let (config, authenticator) = (&self.config, &self.authenticator);
        let write = |out: &mut Vec<u8>| {
            // RFC 3261 8.2.6.2: the same tag for each copy of a request.
            let to_tag = arrival.key.map(TransactionKey::to_tag);
            let to_tag = to_tag.as_ref().map_or("0", Hex::as_str);
            let (request, remote) = (arrival.request, arrival.remote);
            let names = names(config);
            let mut writer = Writer::reply(out, names, request, remote, status, reason, to_tag);
            headers(&mut writer, config, authenticator);
            writer.text(HeaderName::Server, user_agent(config));
            writer.finish();
        };
        // What is not proven may be anybody's, and is counted elsewhere.
        let endpoint = sender.endpoint.filter(|_| sender.proven);
        let leave = endpoint.map_or(Leave::Now, |endpoint| {
            self.late.charge(arrival.now.at, endpoint)
        });
        match (leave, endpoint, arrival.origin.flow) {
            (Leave::At(at), Some(endpoint), flow) => {
                let mut answer = Vec::new();
                write(&mut answer);
                self.counters.late += 1;
                let (key, transport) = (arrival.key_of_copies(), arrival.origin.transport);
                let remote = arrival.remote;
                self.late
                    .keep(at, endpoint, key, transport, remote, flow, answer);
                self.timers.set_if_unset(Timer::LateAnswers, at);
            }
            (_, _, None) => {
                self.outbox
                    .transmit(arrival.origin.transport, arrival.remote, write);
            }
            // A peer that has closed its connection meanwhile asks again over the next (RFC 3261 18.2.2).
            (_, _, Some(flow)) => {
                let mut answer = Vec::new();
                write(&mut answer);
                self.write_to_flow(arrival.now, flow, &answer);
            }
        }
    }

    /// Sends the answers that were held back and whose time has come.
    pub(super) fn send_late_answers(&mut self, now: Now) {
        while let Some(late) = self.late.pop(now.at) {
            match late.flow {
                Some(flow) => self.write_to_flow(now, flow, &late.answer),
                None => self.outbox.transmit(late.transport, late.remote, |out| {
                    out.extend_from_slice(&late.answer);
                }),
            }
        }
        if let Some(next) = self.late.next() {
            self.timers.set(Timer::LateAnswers, next);
        }
    }
}

/// Methods that are understood, for Allow.
const ALLOW: &str = "OPTIONS, PUBLISH";

/// Events that are understood, for Allow-Events.
const ALLOW_EVENTS: &str = "asterisk-devicestate, asterisk-mwi";

/// The media type that is understood, for Accept.
const MEDIA_TYPE: &str = "application/json";

/// Whether a refusal only asks for the second half of an authenticated request.
fn asks_for_challenge(refusal: &Refusal) -> bool {
    matches!(
        refusal.code,
        "no-credentials" | "stale-nonce" | "nonce-used-up"
    )
}

/// A request as credentials see it.
fn claim<'a>(arrival: &Arrival<'a>) -> Claim<'a> {
    Claim {
        request: arrival.request,
        method: arrival.method.as_str(),
        uri: arrival.uri,
    }
}

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

/// A request-URI of the schemes that are taken here.
fn sip_uri(uri: &str) -> Result<Uri<'_>, Refusal> {
    match Uri::parse(uri) {
        Ok(parsed) => match parsed.scheme {
            Scheme::Sip | Scheme::Sips => Ok(parsed),
            Scheme::Tel | Scheme::Other(_) => Err(Refusal::new(
                416,
                "scheme",
                "the request-URI is not sip or sips",
            )),
        },
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
) -> Result<Option<(StateChange<'a>, Extras<'a>)>, Refusal> {
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
    StateChange::parse_with_extras(event, request.body())
        .map(Some)
        .map_err(bad_body)
}

/// Numbers that rise with the clock cannot lie far ahead of it. Whoever could say any number would have the last word for ever, and what is
/// stamped above it would not fit an Asterisk's JSON reader.
pub(super) fn check_numbers(now: Now, extras: &Extras<'_>) -> Result<(), Refusal> {
    let seq = extras.version.map(|version| version.seq);
    let numbers = [seq, extras.complete, extras.seen].into_iter().flatten();
    let Some(number) = numbers.max().filter(|it| *it > newest_possible(now.wall)) else {
        return Ok(());
    };
    let cause = format!(
        "the number {number} lies more than {} years ahead of this node's clock; one of the two clocks is wrong",
        limits::CLOCKS_APART.as_secs() / (365 * 86_400)
    );
    Err(Refusal::new(403, "version-ahead", cause).saying("Version ahead of the clock"))
}

/// There is no room in the table.
pub(super) fn full(full: TableFull) -> Refusal {
    Refusal::new(503, "table-full", full.to_string()).with(RefusalHeader::RetryAfter(60))
}

pub(super) fn bad_body(error: BodyError) -> Refusal {
    Refusal::new(400, "body", error.to_string()).saying(error.to_string())
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
        StateChange::Refresh { .. }
        | StateChange::Dumped { .. }
        | StateChange::Beat { .. }
        | StateChange::Canary { .. } => (Kind::Device, "", Value::mailbox(0, 0), false),
    };
    Assertion {
        kind,
        name,
        eid: change.eid(),
        value,
        cachable,
        source: Source::Publication,
        peer: None,
        holder: None,
        version: None,
        lost: false,
        at: now.wall,
    }
}
