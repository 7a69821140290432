//! Connections (TCP, TLS): one to each place that requests go to, reused for all of them, and those that peers have opened.
//!
//! A flow is opened when there is something to say and it is not there. What is said before it is open, or faster than the peer reads,
//! waits in a bounded queue. When it ends, whoever has a request on it is told ([`Flows::take_lost`]) and says it again over the next.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lampwire_sip::Splitter;

use crate::io::{Certificate, FlowCommand, FlowId, Outbox, TransportId};
use crate::limits;
use crate::locate::Target;
use crate::time::Time;
use crate::timers::{Timer, Timers};

/// Where a connection leads: two requests share one if these are the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Destination {
    pub(crate) target: Target,
    /// Whom the certificate must name; empty without TLS.
    pub(crate) server_name: String,
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Flows {
    list: BTreeMap<FlowId, Flow>,
    /// Over which connection requests go: ours, or one of a peer's that it may be reached by (RFC 5923).
    to: BTreeMap<Destination, FlowId>,
    accepted: usize,
    /// By what each is counted as.
    accepted_of: BTreeMap<IpAddr, usize>,
    next: u64,
    /// The pause between two pings; zero: none.
    keep_alive: Duration,
    /// Bytes that peers' connections hold: halves of messages, and answers that wait to be read.
    held: usize,
    lost: VecDeque<(FlowId, String)>,
}

#[derive(Debug)]
struct Flow {
    transport: TransportId,
    remote: SocketAddr,
    /// The peer opened it; by what it is counted, its address or its network.
    accepted: Option<IpAddr>,
    open: bool,
    certificate: Certificate,
    splitter: Splitter,
    waiting: Vec<u8>,
    /// Bytes that the system has not taken yet.
    writing: usize,
    /// Since when the system has not taken the last bytes.
    writing_since: Option<Time>,
    /// Since when a message is on its way in and not whole.
    half_since: Option<Time>,
    /// What of [`Flows::held`] is this one's.
    held: usize,
    /// Since when nothing more is taken in, and why: it is closed as soon as the peer has had time to read our last words.
    ending: Option<(Time, &'static str)>,
    /// The peer says nothing more: there is nothing to wait for once all is written.
    peer_is_done: bool,
    began: Time,
    said: Time,
    heard: Time,
}

/// The queue of a connection is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// What has to be done about a connection whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    Nothing,
    Ping,
    Close(&'static str),
}

/// What leaves the node and when it wakes: lent for one step.
pub(crate) struct Outlet<'a> {
    pub(crate) now: Time,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) timers: &'a mut Timers,
}

impl Flows {
    /// From now on connections of ours are kept alive at this pace.
    pub(crate) const fn set_keep_alive(&mut self, keep_alive: Duration) {
        self.keep_alive = keep_alive;
    }

    pub(crate) fn new(keep_alive: Duration) -> Self {
        Self {
            list: BTreeMap::new(),
            to: BTreeMap::new(),
            accepted: 0,
            accepted_of: BTreeMap::new(),
            next: 1,
            keep_alive,
            held: 0,
            lost: VecDeque::new(),
        }
    }

    /// A peer has opened one, which counts as one of `counted_as`; `None`: there are too many.
    pub(crate) fn accept(
        &mut self,
        out: &mut Outlet<'_>,
        transport: TransportId,
        (remote, counted_as): (SocketAddr, IpAddr),
        certificate: Certificate,
    ) -> Option<FlowId> {
        let of_address = self.accepted_of.get(&counted_as).copied().unwrap_or(0);
        if self.accepted >= limits::FLOWS_ACCEPTED || of_address >= limits::FLOWS_OF_AN_ADDRESS {
            return None;
        }
        self.accepted += 1;
        self.accepted_of.insert(counted_as, of_address + 1);
        let id = self.insert(out, transport, remote, Some(counted_as));
        if let Some(flow) = self.list.get_mut(&id) {
            flow.open = true;
            flow.certificate = certificate;
        }
        self.set_timer(out, id);
        Some(id)
    }

    /// Sends bytes to a place, over the connection that leads there or a new one.
    pub(crate) fn send(
        &mut self,
        out: &mut Outlet<'_>,
        to: &Destination,
        bytes: &[u8],
    ) -> Result<FlowId, (FlowId, Full)> {
        let id = match self.to.get(to) {
            Some(id) => *id,
            None => {
                let Target { transport, remote } = to.target;
                let id = self.insert(out, transport, remote, None);
                self.to.insert(to.clone(), id);
                out.outbox.flow(FlowCommand::Connect {
                    flow: id,
                    transport,
                    remote,
                    server_name: to.server_name.clone(),
                });
                id
            }
        };
        self.write(out, id, bytes)
            .map(|()| id)
            .map_err(|full| (id, full))
    }

    /// Sends bytes over a connection; one that has ended swallows them.
    pub(crate) fn write(
        &mut self,
        out: &mut Outlet<'_>,
        id: FlowId,
        bytes: &[u8],
    ) -> Result<(), Full> {
        let Some(flow) = self.list.get_mut(&id) else {
            return Ok(());
        };
        let bound = match flow.accepted.is_some() {
            true => limits::FLOW_QUEUE_OF_A_PEERS,
            false => limits::FLOW_QUEUE,
        };
        if flow.waiting.len() + bytes.len() > bound {
            return Err(Full);
        }
        flow.waiting.extend_from_slice(bytes);
        flow.said = out.now;
        flow.flush(id, out);
        let fits = self.count(id);
        self.set_timer(out, id);
        fits
    }

    /// One of ours is open.
    pub(crate) fn connected(&mut self, out: &mut Outlet<'_>, id: FlowId, certificate: Certificate) {
        if let Some(flow) = self.list.get_mut(&id) {
            flow.open = true;
            flow.heard = out.now;
            flow.certificate = certificate;
            flow.flush(id, out);
            self.set_timer(out, id);
        }
    }

    /// The system has taken what was written.
    pub(crate) fn writable(&mut self, out: &mut Outlet<'_>, id: FlowId) {
        if let Some(flow) = self.list.get_mut(&id) {
            flow.writing_since = None;
            flow.writing = 0;
            flow.flush(id, out);
            let over = flow.is_over();
            let _ = self.count(id);
            self.set_timer(out, id);
            if over {
                self.close(out, id, PEER_IS_DONE.to_owned());
            }
        }
    }

    /// The peer has shut its sending side down. What was answered to it still goes out, over a connection of its own; one of ours is at its
    /// end.
    pub(crate) fn peer_is_done(&mut self, out: &mut Outlet<'_>, id: FlowId) {
        let Some(flow) = self.list.get_mut(&id) else {
            return;
        };
        flow.peer_is_done = true;
        if flow.accepted.is_none() || flow.is_over() {
            self.close(out, id, PEER_IS_DONE.to_owned());
        } else {
            self.end(out, id, PEER_IS_DONE);
        }
    }

    /// Bytes have come: where from, and the splitter to put them into. It is given back by [`Self::took`].
    pub(crate) fn heard(
        &mut self,
        now: Time,
        id: FlowId,
    ) -> Option<(TransportId, SocketAddr, Splitter)> {
        let flow = self.list.get_mut(&id)?;
        if flow.ending.is_some() {
            return None;
        }
        flow.heard = now;
        Some((
            flow.transport,
            flow.remote,
            std::mem::take(&mut flow.splitter),
        ))
    }

    /// All whole messages have been taken out. An error: there is no room for what has come of the next one.
    pub(crate) fn took(
        &mut self,
        out: &mut Outlet<'_>,
        id: FlowId,
        splitter: Splitter,
    ) -> Result<(), Full> {
        let Some(flow) = self.list.get_mut(&id) else {
            return Ok(());
        };
        flow.half_since = match (splitter.pending(), flow.half_since) {
            (0, _) => None,
            (_, since) => since.or(Some(out.now)),
        };
        flow.splitter = splitter;
        let fits = self.count(id);
        self.set_timer(out, id);
        fits
    }

    /// Counts what a peer's connection holds now. An error: all of them together hold too much, and this one has just asked for more.
    fn count(&mut self, id: FlowId) -> Result<(), Full> {
        let Some(flow) = self
            .list
            .get_mut(&id)
            .filter(|flow| flow.accepted.is_some())
        else {
            return Ok(());
        };
        let before = flow.held;
        flow.held = flow.waiting.len() + flow.writing + flow.splitter.pending();
        self.held = self.held - before + flow.held;
        if flow.held > before && self.held > limits::FLOW_BYTES {
            return Err(Full);
        }
        Ok(())
    }

    /// We have said our last words over it: nothing more is taken in, and it is closed when the peer has had time to read them. To close at
    /// once would take them back where the peer goes on writing (TCP answers what nobody reads with a reset).
    pub(crate) fn end(&mut self, out: &mut Outlet<'_>, id: FlowId, why: &'static str) {
        if let Some(flow) = self.list.get_mut(&id) {
            flow.ending.get_or_insert((out.now, why));
            flow.half_since = None;
            flow.splitter = Splitter::new();
            let _ = self.count(id);
            self.set_timer(out, id);
        }
    }

    /// The certificate that the other side of a connection has shown.
    pub(crate) fn certificate(&self, id: FlowId) -> Option<&Certificate> {
        self.list.get(&id).map(|flow| &flow.certificate)
    }

    /// The peer says that it may be reached over this connection of its own (`alias` of RFC 5923), at the port that its Via names. Taken
    /// only for the address that the connection really comes from, and with TLS only for the names that its certificate proves.
    pub(crate) fn alias(&mut self, id: FlowId, tls: bool, sent_by: SocketAddr) {
        let Some(flow) = self.list.get(&id) else {
            return;
        };
        if flow.accepted.is_none() || sent_by.ip() != flow.remote.ip() {
            return;
        }
        let target = Target {
            transport: flow.transport,
            remote: sent_by,
        };
        let mut names = vec![String::new()];
        if tls {
            let Certificate {
                verified,
                subject,
                names: alternatives,
            } = &flow.certificate;
            names = match verified {
                true if alternatives.is_empty() => subject.iter().cloned().collect(),
                true => alternatives.clone(),
                false => Vec::new(),
            };
            names.truncate(limits::ALIASES_OF_A_FLOW);
        }
        for name in names {
            let server_name = name.to_ascii_lowercase();
            let server_name = server_name
                .strip_prefix("sip:")
                .unwrap_or(&server_name)
                .to_owned();
            // A connection of our own that is open is as good.
            self.to
                .entry(Destination {
                    target,
                    server_name,
                })
                .or_insert(id);
        }
    }

    /// Whether a connection has not ended.
    pub(crate) fn is_there(&self, id: FlowId) -> bool {
        self.list.contains_key(&id)
    }

    /// It has ended, by the peer or the system.
    pub(crate) fn closed(&mut self, timers: &mut Timers, id: FlowId, why: String) {
        let Some(flow) = self.list.remove(&id) else {
            return;
        };
        timers.clear(Timer::Flow(id.0));
        self.to.retain(|_, other| *other != id);
        self.held -= flow.held;
        if let Some(counted_as) = flow.accepted {
            self.accepted -= 1;
            match self.accepted_of.get_mut(&counted_as) {
                Some(count @ 2..) => *count -= 1,
                Some(_) | None => drop(self.accepted_of.remove(&counted_as)),
            }
        }
        self.lost.push_back((id, why));
    }

    /// We end it.
    pub(crate) fn close(&mut self, out: &mut Outlet<'_>, id: FlowId, why: String) {
        if self.is_there(id) {
            out.outbox.flow(FlowCommand::Close { flow: id });
            self.closed(out.timers, id, why);
        }
    }

    /// The next connection that has ended, for those who had something on it.
    pub(crate) fn take_lost(&mut self) -> Option<(FlowId, String)> {
        self.lost.pop_front()
    }

    /// What the time of a connection asks for; whoever asks does it, and with that sets the next time.
    pub(crate) fn care(&mut self, out: &mut Outlet<'_>, id: FlowId) -> Care {
        let Some(flow) = self.list.get(&id) else {
            return Care::Nothing;
        };
        let care = match flow.deadline(self.keep_alive) {
            Some((at, care)) if at <= out.now => care,
            Some(_) | None => Care::Nothing,
        };
        if care == Care::Nothing {
            self.set_timer(out, id);
        }
        care
    }

    fn insert(
        &mut self,
        out: &mut Outlet<'_>,
        transport: TransportId,
        remote: SocketAddr,
        accepted: Option<IpAddr>,
    ) -> FlowId {
        let id = FlowId(self.next);
        self.next += 1;
        let flow = Flow {
            transport,
            remote,
            accepted,
            open: false,
            certificate: Certificate::default(),
            splitter: Splitter::new(),
            waiting: Vec::new(),
            writing: 0,
            writing_since: None,
            half_since: None,
            held: 0,
            ending: None,
            peer_is_done: false,
            began: out.now,
            said: out.now,
            heard: out.now,
        };
        self.list.insert(id, flow);
        self.set_timer(out, id);
        id
    }

    fn set_timer(&self, out: &mut Outlet<'_>, id: FlowId) {
        let timer = Timer::Flow(id.0);
        match self
            .list
            .get(&id)
            .and_then(|flow| flow.deadline(self.keep_alive))
        {
            Some((at, _)) => out.timers.set(timer, at),
            None => out.timers.clear(timer),
        }
    }
}

/// Why a connection ends whose peer says nothing more.
const PEER_IS_DONE: &str = "the other side closed the connection";

impl Flow {
    /// Nothing more will be said by either side.
    fn is_over(&self) -> bool {
        self.peer_is_done && self.waiting.is_empty() && self.writing_since.is_none()
    }

    fn flush(&mut self, id: FlowId, out: &mut Outlet<'_>) {
        if self.open && self.writing_since.is_none() && !self.waiting.is_empty() {
            self.writing_since = Some(out.now);
            let bytes = std::mem::take(&mut self.waiting);
            self.writing = bytes.len();
            out.outbox.flow(FlowCommand::Write { flow: id, bytes });
        }
    }

    /// When something is to be done next, and what.
    fn deadline(&self, keep_alive: Duration) -> Option<(Time, Care)> {
        if let Some((since, why)) = self.ending {
            return Some((since + limits::FLOW_LINGER, Care::Close(why)));
        }
        if !self.open {
            return Some((
                self.began + limits::FLOW_OPENING,
                Care::Close("it did not open in time"),
            ));
        }
        let stalled = self.writing_since.map(|since| {
            (
                since + limits::FLOW_STALLED,
                Care::Close("the peer does not read"),
            )
        });
        let half = self.half_since.map(|since| {
            (
                since + limits::FLOW_STALLED,
                Care::Close("a message began and did not end"),
            )
        });
        let idle = self.accepted.map(|_| {
            (
                self.heard.max(self.said) + limits::FLOW_IDLE,
                Care::Close("nothing was said for long"),
            )
        });
        let ping = (self.accepted.is_none() && !keep_alive.is_zero())
            .then(|| (self.said + keep_alive, Care::Ping));
        [stalled, half, idle, ping]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        flows: Flows,
        outbox: Outbox,
        timers: Timers,
        now: Time,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                flows: Flows::new(Duration::from_secs(90)),
                outbox: Outbox::default(),
                timers: Timers::default(),
                now: Time::from_micros(1),
            }
        }

        fn with<T>(&mut self, step: impl FnOnce(&mut Flows, &mut Outlet<'_>) -> T) -> T {
            let mut out = Outlet {
                now: self.now,
                outbox: &mut self.outbox,
                timers: &mut self.timers,
            };
            step(&mut self.flows, &mut out)
        }

        fn commands(&mut self) -> Vec<String> {
            std::iter::from_fn(|| self.outbox.poll_flow())
                .map(|command| match command {
                    FlowCommand::Connect {
                        flow, server_name, ..
                    } => format!("connect {} {server_name}", flow.0),
                    FlowCommand::Write { flow, bytes } => {
                        format!("write {} {}", flow.0, String::from_utf8_lossy(&bytes))
                    }
                    FlowCommand::Close { flow } => format!("close {}", flow.0),
                })
                .collect()
        }

        /// What is due within a time, in order.
        fn pass(&mut self, time: Duration) -> Vec<Care> {
            self.now = self.now + time;
            let mut cares = Vec::new();
            while let Some(Timer::Flow(id)) = self.timers.pop(self.now) {
                let care = self.with(|flows, out| flows.care(out, FlowId(id)));
                if care == Care::Ping {
                    let _ = self.with(|flows, out| flows.write(out, FlowId(id), b"ping"));
                }
                cares.push(care);
            }
            cares.retain(|care| *care != Care::Nothing);
            cares
        }
    }

    fn place(remote: &str, server_name: &str) -> Destination {
        Destination {
            target: Target {
                transport: TransportId(0),
                remote: remote.parse().unwrap(),
            },
            server_name: server_name.to_owned(),
        }
    }

    #[test]
    fn one_connection_for_one_place_and_one_write_at_a_time() {
        let mut bench = Bench::new();
        let here = place("127.0.0.2:5061", "a.example");
        let first = bench
            .with(|flows, out| flows.send(out, &here, b"1"))
            .unwrap();
        assert_eq!(
            bench.with(|flows, out| flows.send(out, &here, b"2")),
            Ok(first)
        );
        assert_eq!(bench.commands(), ["connect 1 a.example"]);
        bench.with(|flows, out| flows.connected(out, first, Certificate::default()));
        assert_eq!(bench.commands(), ["write 1 12"]);
        for bytes in [b"3", b"4"] {
            bench
                .with(|flows, out| flows.send(out, &here, bytes))
                .unwrap();
        }
        assert!(bench.commands().is_empty());
        bench.with(|flows, out| flows.writable(out, first));
        assert_eq!(bench.commands(), ["write 1 34"]);
        bench.with(|flows, out| flows.writable(out, first));
        // Another name at the same address is another place.
        let there = place("127.0.0.2:5061", "b.example");
        bench
            .with(|flows, out| flows.send(out, &there, b"5"))
            .unwrap();
        assert_eq!(bench.commands(), ["connect 2 b.example"]);
    }

    #[test]
    fn its_end_is_told_and_the_next_word_opens_another() {
        let mut bench = Bench::new();
        let here = place("127.0.0.2:5060", "");
        let first = bench
            .with(|flows, out| flows.send(out, &here, b"1"))
            .unwrap();
        let Bench { flows, timers, .. } = &mut bench;
        flows.closed(timers, first, "reset".to_owned());
        assert_eq!(flows.take_lost(), Some((first, "reset".to_owned())));
        assert_eq!(flows.take_lost(), None);
        let second = bench
            .with(|flows, out| flows.send(out, &here, b"1"))
            .unwrap();
        assert_ne!(first, second);
    }

    #[test]
    fn the_queue_is_bounded_and_so_is_each_wait() {
        let mut bench = Bench::new();
        let here = place("127.0.0.2:5060", "");
        let id = bench
            .with(|flows, out| flows.send(out, &here, b"1"))
            .unwrap();
        let much = vec![b'x'; limits::FLOW_QUEUE];
        assert_eq!(
            bench.with(|flows, out| flows.send(out, &here, &much)),
            Err((id, Full))
        );
        assert_eq!(
            bench.pass(limits::FLOW_OPENING),
            [Care::Close("it did not open in time")]
        );
        bench.with(|flows, out| flows.close(out, id, "late".to_owned()));
        assert_eq!(bench.commands(), ["connect 1 ", "close 1"]);

        let id = bench
            .with(|flows, out| flows.send(out, &here, b"1"))
            .unwrap();
        bench.with(|flows, out| flows.connected(out, id, Certificate::default()));
        assert_eq!(
            bench.pass(limits::FLOW_STALLED),
            [Care::Close("the peer does not read")]
        );
        bench.with(|flows, out| flows.writable(out, id));
        assert_eq!(bench.pass(Duration::from_secs(90)), [Care::Ping]);
        bench.with(|flows, out| flows.writable(out, id));
        let mut half = Splitter::new();
        half.push(b"PUBLISH sip").unwrap();
        assert!(matches!(half.next(), Ok(None)));
        bench.with(|flows, out| flows.took(out, id, half)).unwrap();
        assert!(
            bench
                .pass(limits::FLOW_STALLED)
                .contains(&Care::Close("a message began and did not end"))
        );
    }

    #[test]
    fn too_many_of_one_address_are_not_taken() {
        let mut bench = Bench::new();
        let accept = |bench: &mut Bench, address: &str| {
            let remote: SocketAddr = address.parse().unwrap();
            bench.with(|flows, out| {
                let from = (remote, remote.ip());
                flows.accept(out, TransportId(0), from, Certificate::default())
            })
        };
        let ids: Vec<_> = (0..limits::FLOWS_OF_AN_ADDRESS)
            .map(|_| accept(&mut bench, "127.0.0.2:1000").unwrap())
            .collect();
        assert_eq!(accept(&mut bench, "127.0.0.2:1000"), None);
        assert!(accept(&mut bench, "127.0.0.3:1000").is_some());
        let Bench { flows, timers, .. } = &mut bench;
        flows.closed(timers, ids[0], String::new());
        assert!(accept(&mut bench, "127.0.0.2:1000").is_some());
    }

    #[test]
    fn an_alias_holds_for_the_peers_own_address_and_proven_names() {
        let mut bench = Bench::new();
        let remote: SocketAddr = "127.0.0.2:40000".parse().unwrap();
        let from = (remote, remote.ip());
        let shown = Certificate {
            verified: true,
            subject: Some("b.example".to_owned()),
            names: vec!["a.example".to_owned()],
        };
        let id = bench
            .with(|flows, out| flows.accept(out, TransportId(0), from, shown))
            .unwrap();
        bench
            .flows
            .alias(id, true, "127.0.0.3:5061".parse().unwrap());
        bench
            .flows
            .alias(id, true, "127.0.0.2:5061".parse().unwrap());
        let over = |bench: &mut Bench, remote: &str, name: &str| {
            bench
                .with(|flows, out| flows.send(out, &place(remote, name), b"1"))
                .unwrap()
        };
        assert_eq!(over(&mut bench, "127.0.0.2:5061", "a.example"), id);
        assert_ne!(over(&mut bench, "127.0.0.2:5061", "b.example"), id);
        assert_ne!(over(&mut bench, "127.0.0.3:5061", "a.example"), id);
        // Without a certificate there is no name that could be right; without TLS none is needed.
        let bare = bench
            .with(|flows, out| flows.accept(out, TransportId(0), from, Certificate::default()))
            .unwrap();
        bench
            .flows
            .alias(bare, true, "127.0.0.2:5063".parse().unwrap());
        assert_ne!(over(&mut bench, "127.0.0.2:5063", "a.example"), bare);
        bench
            .flows
            .alias(bare, false, "127.0.0.2:5064".parse().unwrap());
        assert_eq!(over(&mut bench, "127.0.0.2:5064", ""), bare);
    }
}
