//! The loop around a node: receive, one mutation, drain; and the handle by which the rest of the program asks.
//!
//! One thread owns the node and the sockets of its datagrams. Nothing is locked and nothing waits inside: who wants something of
//! the node sends it a piece of work ([`Handle::ask`]), which is done between two batches of datagrams. Connections are served by other
//! threads, which tell it what happened to them.

mod address;
mod clock;
pub(crate) mod events;
mod hep;
mod resolve;
mod stream;
pub(crate) mod tls;
mod udp;
mod unreachable;

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use lampwire_conf::{Config, Filter};
use lampwire_core::{
    Behind, DeviceView, Event, Level, MailboxView, Node, NotReloaded, Notice, Now, Page, PeerView,
    ReloadReport, TransportId,
};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, Sleep};

pub(crate) use address::Marks;
pub(crate) use clock::{Clock, unix_millis};
pub(crate) use hep::Mirror;
pub(crate) use stream::StreamTransport;
pub(crate) use tls::Tls;
pub(crate) use udp::UdpTransport;

use crate::cluster::{self, Bus};
use crate::http::types;
use crate::signals::stopped;
use crate::store::Keeper;
use crate::telemetry::notices::Notices;
use events::{Begin, Hub, Kind, Reader};
use hep::Direction;
use resolve::Resolver;
use stream::{Connections, Happened};
use udp::{BATCH, Port, Sent};
use unreachable::Unreachable;

/// The most datagrams that are read at one wake-up, so that a flood on one socket cannot keep timers, commands and the other
/// sockets waiting.
const RECEIVE_BUDGET: usize = 64;

/// The most things that happened to connections and are done at one wake-up, for the same reason.
const HAPPENINGS_BUDGET: usize = 64;

/// The most things that happened on the bus and are done at one wake-up, for the same reason: a bucket that is read has a million of them.
const BUS_BUDGET: usize = 64;

/// The most commands that are done at one wake-up, for the same reason.
const COMMAND_BUDGET: usize = 16;

/// The most datagrams that leave in one drain; the rest leaves after a look at what has come in.
const TRANSMIT_BUDGET: usize = 1024;

/// The most commands that wait; who comes then waits with his own.
const COMMANDS_WAITING: usize = 256;

/// How often leftovers are looked after: suppressed log lines, events that nobody follows.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// How long events are recorded after the last reader has left, so that one whose connection broke can resume.
const WATCH_LINGER: Duration = Duration::from_secs(120);

/// How long peers may take to confirm the removal of our publications when the node ends.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(3);

/// How many changes one turn of the node may look at to count what peers are behind: some 2 ms.
const COUNT_CHANGES: usize = 50_000;

/// A piece of work on the node, and on the ways by which it connects.
type Command = Box<dyn FnOnce(&mut Node, &mut Connections, Now) + Send>;

/// A part of a listing: after a name, at most so many items and so many names looked at, those that are wanted.
type Part<T> = fn(&Node, Option<&str>, usize, usize, &dyn Fn(&str) -> bool) -> Page<T>;

/// The node has ended: it answers nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// Asks the node, from any task.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
    hub: Arc<Hub>,
}

impl Handle {
    /// Does the work on the node, between two batches of datagrams, and gives its result. What it does must be short.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Node, Now) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        self.ask_all(move |node, _, now| work(node, now)).await
    }

    /// Lets the node go on by another configuration. `ways` are those to the manager interfaces whose sections are new or others, by name.
    pub(crate) async fn reload(
        &self,
        config: Arc<Config>,
        mut ways: BTreeMap<String, Option<Tls>>,
    ) -> Result<Result<ReloadReport, NotReloaded>, Stopped> {
        self.ask_all(move |node, connections, now| {
            let report = node.reload(now, config)?;
            for (name, id) in &report.links {
                connections.add(StreamTransport::outgoing(*id, ways.remove(name).flatten()));
            }
            Ok(report)
        })
        .await
    }

    async fn ask_all<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Node, &mut Connections, Now) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        let command: Command = Box::new(move |node, connections, now| {
            // An error: who asked has gone.
            let _ = reply.send(work(node, connections, now));
        });
        self.commands.send(command).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Follows events. Everything that the node does after this returns is seen.
    pub(crate) async fn read_events(&self, begin: Begin) -> Result<Reader, Stopped> {
        let hub = Arc::clone(&self.hub);
        self.ask(move |node, _| {
            node.watch(true);
            hub.read(begin)
        })
        .await
    }

    /// How the event stream stands.
    pub(crate) fn event_figures(&self) -> events::HubFigures {
        self.hub.figures()
    }

    /// How many readers follow events.
    pub(crate) fn event_readers(&self) -> usize {
        self.hub.readers()
    }

    /// How far the peers are behind, counted a part at a time; between two turns the node does its other work.
    pub(crate) async fn behind(&self) -> Result<Behind, Stopped> {
        let mut behind = Behind::default();
        loop {
            let (counted, more) = self
                .ask(move |node, _| {
                    let more = node.count_behind(&mut behind, COUNT_CHANGES);
                    (behind, more)
                })
                .await?;
            if !more {
                return Ok(counted);
            }
            behind = counted;
        }
    }

    /// All peers.
    pub(crate) async fn peers(&self) -> Result<Vec<PeerView>, Stopped> {
        let behind = self.behind().await?;
        self.ask(move |node, now| node.peers_with(now, &behind))
            .await
    }

    /// A page of devices in the order of their names' bytes: those after `after` that the filter matches, at most `limit`.
    pub(crate) async fn devices(&self, list: List) -> Result<Page<DeviceView>, Stopped> {
        self.scan(list, |node, after, limit, budget, wanted| {
            node.devices(after, limit, budget, wanted)
        })
        .await
    }

    /// A page of mailboxes, as [`Self::devices`].
    pub(crate) async fn mailboxes(&self, list: List) -> Result<Page<MailboxView>, Stopped> {
        self.scan(list, |node, after, limit, budget, wanted| {
            node.mailboxes(after, limit, budget, wanted)
        })
        .await
    }

    /// Goes through the names a bounded number at a time; between two turns the node does its other work.
    async fn scan<T: Send + 'static>(&self, list: List, part: Part<T>) -> Result<Page<T>, Stopped> {
        let mut page = Page {
            items: Vec::new(),
            next: list.after,
        };
        loop {
            let (after, filter) = (page.next.take(), list.filter.clone());
            let limit = list.limit - page.items.len();
            let found = self
                .ask(move |node, _| {
                    let wanted =
                        |name: &str| filter.as_ref().is_none_or(|filter| filter.is_match(name));
                    part(node, after.as_deref(), limit, list.scan_budget, &wanted)
                })
                .await?;
            page.items.extend(found.items);
            page.next = found.next;
            if page.next.is_none() || page.items.len() >= list.limit {
                return Ok(page);
            }
        }
    }
}

/// Which part of a listing is wanted.
#[derive(Clone, Debug)]
pub(crate) struct List {
    /// Names after this one.
    pub(crate) after: Option<String>,
    /// At most so many, at least 1.
    pub(crate) limit: usize,
    /// Only names that it matches.
    pub(crate) filter: Option<Arc<Filter>>,
    /// How many names one turn may look at.
    pub(crate) scan_budget: usize,
}

/// The task's state.
#[derive(Debug)]
pub(crate) struct Driver {
    node: Node,
    clock: Clock,
    sockets: Vec<UdpTransport>,
    /// Transports whose peers are not let in yet.
    streams: Vec<StreamTransport>,
    connections: Connections,
    /// The socket that is asked first at the next wake-up: each gets its turn.
    turn: usize,
    commands: mpsc::Receiver<Command>,
    resolver: Resolver,
    unreachable: mpsc::Receiver<Unreachable>,
    tell_unreachable: mpsc::Sender<Unreachable>,
    hub: Arc<Hub>,
    /// Where every SIP message is shown, if that is wanted.
    mirror: Option<Mirror>,
    /// Brings to the disk what survives a restart.
    keeper: Keeper,
    /// The way to the other nodes of a cluster, where there is one.
    bus: Option<Bus>,
    /// The transports' names, by number.
    names: Vec<String>,
    notices: Notices,
    /// Since when nobody follows events; `None` while somebody does.
    unwatched_since: Option<Instant>,
    /// The last drain ended on its budget.
    more: bool,
}

/// All that SIP and the manager interface go over.
#[derive(Debug)]
pub(crate) struct Transports {
    /// Those of datagrams.
    pub(crate) sockets: Vec<UdpTransport>,
    /// Those of connections.
    pub(crate) streams: Vec<StreamTransport>,
    /// Ways by which the node only connects: how the manager interfaces of Asterisks are reached.
    pub(crate) outgoing: Vec<StreamTransport>,
}

impl Driver {
    /// Takes the node and its bound sockets, and where connections are served. Nothing moves before [`Driver::run`].
    #[expect(clippy::too_many_arguments, reason = "each of them once, at the start")]
    pub(crate) fn new(
        node: Node,
        clock: Clock,
        transports: Transports,
        mirror: Option<Mirror>,
        keeper: Keeper,
        bus: Option<Bus>,
        config: &Config,
        workers: runtime::Handle,
    ) -> (Self, Handle) {
        let Transports {
            sockets,
            streams,
            outgoing,
        } = transports;
        let names = config.transports.iter().map(|it| it.name.clone()).collect();
        let (sender, commands) = mpsc::channel(COMMANDS_WAITING);
        let (tell, unreachable) = mpsc::channel(unreachable::WAITING_MAX);
        // Numbers of events rise across restarts: a thousand to the millisecond is more than there can be.
        let hub = Hub::new(unix_millis().saturating_mul(1000));
        let handle = Handle {
            commands: sender,
            hub: Arc::clone(&hub),
        };
        let driver = Self {
            node,
            clock,
            sockets,
            connections: Connections::new(streams.iter().chain(&outgoing), workers),
            streams,
            turn: 0,
            commands,
            resolver: Resolver::new(&config.lampwire.nameservers),
            unreachable,
            tell_unreachable: tell,
            hub,
            mirror,
            keeper,
            bus,
            names,
            notices: Notices::default(),
            unwatched_since: None,
            more: false,
        };
        (driver, handle)
    }

    /// Runs the node until `stop` is told true (or dropped), then removes its publications, or has them written, and ends, at the latest after
    /// [`DRAIN_TIME_MAX`]. It is to have a runtime of its own, on one thread: what wakes it then needs no other.
    ///
    /// # Errors
    /// The runtime cannot watch a socket; nothing has begun.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        let bound: Vec<_> = self
            .sockets
            .iter()
            .map(|socket| (socket.id, address::seen_as(socket.local)))
            .chain(self.streams.iter().map(|it| (it.id, it.seen_as())))
            .collect();
        let ports = self.sockets.drain(..).map(UdpTransport::open);
        let mut ports = ports.collect::<io::Result<Vec<Port>>>()?;
        for port in &ports {
            port.tell_unreachable(self.tell_unreachable.clone());
        }
        if let Some(mirror) = &mut self.mirror {
            mirror.bound(&bound);
        }
        // From here on the node keeps ready for the store what changes.
        self.keeper.turn(&mut self.node, self.clock.now());
        self.node.start(self.clock.now(), &bound);
        self.connections.listen(std::mem::take(&mut self.streams));
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut alarm = Alarm::new();
        let mut end: Option<Instant> = None;
        loop {
            self.drain(&mut ports).await;
            self.keeper.turn(&mut self.node, self.clock.now());
            if end.is_some_and(|end| self.node.is_drained() || Instant::now() >= end) {
                break;
            }
            let timeout = self.node.poll_timeout().map(|at| self.clock.instant(at));
            alarm.set(
                [timeout, end, self.keeper.deadline()]
                    .into_iter()
                    .flatten()
                    .min(),
            );
            tokio::select! {
                index = readable(&ports, self.turn) => self.receive(&mut ports, index),
                Some(command) = self.commands.recv() => self.obey(command),
                Some((transport, remote)) = self.unreachable.recv() => {
                    self.node.handle_unreachable(self.clock.now(), transport, remote);
                }
                (query, answer) = self.resolver.next() => {
                    self.node.handle_answer(self.clock.now(), &query, answer);
                }
                happened = self.connections.next() => self.take(happened),
                happened = happened_on(&mut self.bus) => self.take_of_bus(happened),
                () = alarm.rings() => self.node.handle_timeout(self.clock.now()),
                report = self.keeper.report() => self.keeper.take(&mut self.node, self.clock.now(), report),
                () = stopped(&mut stop), if end.is_none() => {
                    self.node.shutdown(self.clock.now());
                    end = Some(Instant::now() + DRAIN_TIME_MAX);
                }
                _ = housekeeping.tick() => self.keep_house(),
                () = std::future::ready(()), if self.more => (),
            }
        }
        let clock = self.clock;
        self.keeper.close(&mut self.node, || clock.now()).await;
        if let Some(bus) = self.bus {
            bus.close().await;
        }
        self.connections.end().await;
        self.hub.end();
        Ok(())
    }

    /// Reads what one socket has, up to the budget.
    fn receive(&mut self, ports: &mut [Port], index: usize) {
        self.turn = (index + 1) % ports.len().max(1);
        let port = &mut ports[index];
        for _ in 0..RECEIVE_BUDGET / BATCH {
            // An error is not this socket's end: it is what ICMP says of a datagram sent earlier.
            let read = port.receive().unwrap_or(BATCH);
            let now = self.clock.now();
            for (bytes, remote) in port.datagrams() {
                if let Some(mirror) = &mut self.mirror {
                    mirror.datagram(Direction::In, port.id, remote, bytes);
                }
                self.node.handle_datagram(now, port.id, remote, bytes);
            }
            if read < BATCH {
                break;
            }
        }
    }

    /// Tells the node what happened to a connection, and what else did, up to the budget.
    fn take(&mut self, first: Happened) {
        let mut next = Some(first);
        for _ in 0..HAPPENINGS_BUDGET {
            let Some(happened) = next else {
                return;
            };
            self.tell_node(happened);
            next = self.connections.ready();
        }
        if let Some(happened) = next {
            self.tell_node(happened);
        }
    }

    fn tell_node(&mut self, happened: Happened) {
        let now = self.clock.now();
        match happened {
            Happened::Accepted {
                transport,
                remote,
                certificate,
                link,
            } => {
                if let Some(flow) = self
                    .node
                    .handle_accepted(now, transport, remote, certificate)
                {
                    if let Some(mirror) = &mut self.mirror {
                        mirror.opened(flow, transport, remote);
                    }
                    self.connections.welcome(link, flow);
                }
            }
            Happened::Connected { flow, certificate } => {
                self.node.handle_connected(now, flow, certificate);
            }
            Happened::Data { flow, bytes } => {
                if let Some(mirror) = &mut self.mirror {
                    mirror.stream(Direction::In, flow, &bytes);
                }
                self.node.handle_stream(now, flow, &bytes);
            }
            Happened::Ended { flow } => self.node.handle_ended(now, flow),
            Happened::Written { flow } => self.node.handle_writable(now, flow),
            Happened::Closed { flow, why } => {
                self.connections.forget(flow);
                if let Some(mirror) = &mut self.mirror {
                    mirror.closed(flow);
                }
                self.node.handle_closed(now, flow, &why);
            }
            Happened::NotTaken { transport, why } => {
                let text = format!("a connection could not be taken: {why}");
                self.warn(now, transport, "connection-not-taken", &text);
            }
            Happened::Refused {
                transport,
                remote,
                why,
            } => {
                let text = format!("a connection from {remote} is refused: {why}");
                self.warn(now, transport, "connection-refused", &text);
            }
        }
    }

    /// Tells the node what happened on the bus, and what else did, up to the budget.
    fn take_of_bus(&mut self, first: cluster::Happened) {
        let mut next = Some(first);
        for _ in 0..BUS_BUDGET {
            let Some(happened) = next else {
                return;
            };
            self.tell_of_bus(&happened);
            next = self.bus.as_mut().and_then(Bus::ready);
        }
        if let Some(happened) = next {
            self.tell_of_bus(&happened);
        }
    }

    fn tell_of_bus(&mut self, happened: &cluster::Happened) {
        let now = self.clock.now();
        match happened.input() {
            Ok(input) => self.node.handle_bus(now, input),
            Err(notice) => self.notices.log(now.at, notice),
        }
    }

    fn warn(&mut self, now: Now, transport: TransportId, code: &'static str, text: &str) {
        let name = self.names.get(usize::from(transport.0));
        let name = name.map_or("?", String::as_str);
        let notice = Notice {
            level: Level::Warn,
            code,
            text: format!("transport {name}: {text}"),
        };
        self.notices.log(now.at, &notice);
    }

    /// Does one command and those that wait behind it, up to the budget.
    fn obey(&mut self, first: Command) {
        first(&mut self.node, &mut self.connections, self.clock.now());
        for _ in 1..COMMAND_BUDGET {
            let Ok(command) = self.commands.try_recv() else {
                break;
            };
            command(&mut self.node, &mut self.connections, self.clock.now());
        }
    }

    /// Sends what the node wants sent, in batches, up to the budget.
    async fn transmit(&mut self, ports: &mut [Port]) {
        let mut budget = TRANSMIT_BUDGET;
        self.more = true;
        while budget > 0 {
            let Some(first) = self.node.transmit_at(0) else {
                self.more = false;
                return;
            };
            let Some(port) = ports.iter_mut().find(|it| it.id == first.transport) else {
                tracing::debug!(
                    "a datagram for {} has no socket: transport {} is not served",
                    first.remote,
                    first.transport.0
                );
                self.node.transmitted(1);
                continue;
            };
            let mut batch = [first; BATCH];
            let mut count = 1;
            while count < BATCH
                && let Some(next) = self.node.transmit_at(count)
                && next.transport == first.transport
            {
                batch[count] = next;
                count += 1;
            }
            let mut gone = match count {
                1 => 0,
                _ => port.send_all(&batch[..count]),
            };
            let mut unreachable = None;
            if let Some(next) = batch[..count].get(gone).copied() {
                match port.send(next.bytes, next.remote).await {
                    Sent::Yes => {}
                    Sent::Unreachable => unreachable = Some(next.remote),
                    Sent::No(reason) => {
                        tracing::debug!("a datagram for {} was dropped: {reason}", next.remote);
                    }
                }
                gone += 1;
            }
            if let Some(mirror) = &mut self.mirror {
                for one in &batch[..gone] {
                    mirror.datagram(Direction::Out, one.transport, one.remote, one.bytes);
                }
            }
            let transport = first.transport;
            self.node.transmitted(gone);
            budget = budget.saturating_sub(gone);
            if let Some(remote) = unreachable {
                let now = self.clock.now();
                self.node.handle_unreachable(now, transport, remote);
            }
        }
    }

    /// Carries out what the node wants done.
    async fn drain(&mut self, ports: &mut [Port]) {
        // The time of events: before the datagrams leave, or a peer's event could seem older than its cause.
        let began = std::time::Instant::now();
        self.transmit(ports).await;
        while let Some(command) = self.node.poll_flow() {
            if let Some(mirror) = &mut self.mirror {
                mirror.command(&command);
            }
            if let Err((flow, why)) = self.connections.obey(command) {
                self.connections.forget(flow);
                if let Some(mirror) = &mut self.mirror {
                    mirror.closed(flow);
                }
                self.node.handle_closed(self.clock.now(), flow, &why);
            }
        }
        while let Some(query) = self.node.poll_query() {
            self.resolver.ask(query);
        }
        while let Some(command) = self.node.poll_bus() {
            if let Some(refused) = self.bus.as_mut().and_then(|bus| bus.obey(command)) {
                self.tell_of_bus(&refused);
            }
        }
        while let Some(event) = self.node.poll_event() {
            self.tell(began, event);
        }
        self.hub.wake();
    }

    /// Hands an event of the node on: notices to the log, changes to the readers.
    fn tell(&mut self, at: std::time::Instant, event: Event) {
        let (kind, name, data) = match event {
            Event::Notice(notice) => return self.notices.log(self.clock.now().at, &notice),
            Event::Device {
                device,
                eid,
                previous,
            } => {
                let event = types::DeviceEvent {
                    device: device.into(),
                    eid: eid.to_string(),
                    previous: previous.map(|state| state.as_str().to_owned()),
                };
                (
                    Kind::Device,
                    event.device.device.clone(),
                    serde_json::to_string(&event),
                )
            }
            Event::Mailbox {
                shown,
                eid,
                said,
                taken_back,
                previous,
            } => {
                let owner = shown.as_ref().map(|shown| shown.eid.to_string());
                let counts = types::SaidCounts::from(&said);
                let mut mailbox = types::Mailbox::from(shown.unwrap_or(said));
                mailbox.eid = eid.to_string();
                let event = types::MailboxEvent {
                    mailbox,
                    owner,
                    said: (!taken_back).then_some(counts),
                    previous: previous.map(types::Counts::from),
                };
                (
                    Kind::Mailbox,
                    event.mailbox.mailbox.clone(),
                    serde_json::to_string(&event),
                )
            }
            Event::Peer { peer } => {
                let event = types::Peer::from(peer);
                (
                    Kind::Peer,
                    event.name.clone(),
                    serde_json::to_string(&event),
                )
            }
            Event::Publication { publication, ended } => {
                let event = types::PublicationEvent {
                    publication: publication.into(),
                    ended: ended.map(str::to_owned),
                };
                (
                    Kind::Publication,
                    event.publication.resource.clone(),
                    serde_json::to_string(&event),
                )
            }
        };
        match data {
            Ok(data) => self.hub.push(at, kind, name, data),
            Err(error) => tracing::error!("an event could not be written: {error}"),
        }
    }

    fn keep_house(&mut self) {
        let lost = self.mirror.as_mut().map_or(0, Mirror::take_lost);
        if lost > 0 {
            tracing::warn!(
                "hep_server: {lost} SIP messages could not be mirrored; is there a collector at that address?"
            );
        }
        self.notices.flush(self.clock.now().at);
        if self.hub.readers() > 0 {
            self.unwatched_since = None;
        } else if self
            .unwatched_since
            .get_or_insert_with(Instant::now)
            .elapsed()
            >= WATCH_LINGER
        {
            // No reader can come between: they come by a command, on this task.
            self.node.watch(false);
            self.hub.forget();
        }
    }
}

/// Wakes the loop at a moment. A moment that is put off is not set anew, as most are long before they come: it rings early then.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    set: Option<Instant>,
}

impl Alarm {
    fn new() -> Self {
        Self {
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            set: None,
        }
    }

    /// Rings at that moment, if not before.
    fn set(&mut self, at: Option<Instant>) {
        if let Some(at) = at
            && self.set.is_none_or(|set| at < set)
        {
            self.sleep.as_mut().reset(at);
            self.set = Some(at);
        }
    }

    /// Waits until it rings; for ever where it is not set.
    async fn rings(&mut self) {
        if self.set.is_none() {
            std::future::pending::<()>().await;
        }
        self.sleep.as_mut().await;
        self.set = None;
    }
}

/// Waits until something happens on the bus; for ever where there is none.
async fn happened_on(bus: &mut Option<Bus>) -> cluster::Happened {
    match bus {
        Some(bus) => bus.next().await,
        None => std::future::pending().await,
    }
}

/// Waits until one of the sockets has something, asked in order from `turn` on.
async fn readable(ports: &[Port], turn: usize) -> usize {
    std::future::poll_fn(|context| {
        for index in (0..ports.len()).map(|offset| (turn + offset) % ports.len()) {
            if ports[index].poll_readable(context).is_ready() {
                return Poll::Ready(index);
            }
        }
        Poll::Pending
    })
    .await
}

/// The number of a transport: its place in the configuration.
pub(crate) fn transport_id(index: usize) -> Option<TransportId> {
    u16::try_from(index).ok().map(TransportId)
}
