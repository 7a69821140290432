//! Connections over TCP and TLS: listeners, handshakes, and a task for each connection that moves its bytes.
//!
//! The tasks know nothing of SIP and nothing of the node. They tell the driver's loop what happened over one bounded channel, and wait
//! while it is full: who sends more than the node can take is slowed down by his own window.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lampwire_conf::TcpKeepalive;
use lampwire_core::{Certificate, FlowCommand, FlowId, TransportId, network_of};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::address::{Marks, seen_as};
use super::tls::{self, Tls};
use crate::current::Current;

/// How long a connection may take to be made, the handshake of TLS included. A peer over three continents needs one second; one that
/// drops our packets never answers.
const OPENING_MAX: Duration = Duration::from_secs(10);

/// Handshakes of TLS in progress at a time. Each costs some 40 kB and a millisecond of a core; who comes then waits in the system's queue.
const HANDSHAKES_AT_A_TIME: usize = 1024;

/// Those of one address among them. One that leaves its handshakes half done cannot keep all others out; a peer that reconnects needs a few.
const HANDSHAKES_OF_AN_ADDRESS: usize = 32;

/// Those of one IPv6 network of 64 bits, which one host may have all addresses of, and a site's servers may share.
const HANDSHAKES_OF_A_NETWORK: usize = 128;

/// Connections that wait in the system's queue of a listener.
const BACKLOG: i32 = 1024;

/// The most bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// Things that happened and wait for the loop: at most 4 MB of bytes read.
const HAPPENINGS_WAITING: usize = 256;

/// Writes that wait for a connection's task. The node has one under way at a time.
const WRITES_WAITING: usize = 2;

/// The pause after the system could not give a connection (too many open files, as a rule).
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How long the end of a connection may take: what is written leaves, and TLS says good-bye.
const CLOSING_MAX: Duration = Duration::from_secs(1);

/// Something that happened to a connection.
#[derive(Debug)]
pub(crate) enum Happened {
    /// A peer has opened one.
    Accepted {
        transport: TransportId,
        remote: SocketAddr,
        certificate: Certificate,
        link: Link,
    },
    /// One that the node wanted is open.
    Connected {
        flow: FlowId,
        certificate: Certificate,
    },
    /// Bytes have come.
    Data { flow: FlowId, bytes: Vec<u8> },
    /// The other side says nothing more; it may still read.
    Ended { flow: FlowId },
    /// The system has taken what was to be written.
    Written { flow: FlowId },
    /// It has ended, or could not be opened.
    Closed { flow: FlowId, why: String },
    /// The system could not give a peer's connection.
    NotTaken { transport: TransportId, why: String },
    /// A peer's handshake failed: it has never been a connection.
    Refused {
        transport: TransportId,
        remote: SocketAddr,
        why: String,
    },
}

/// What a peer's connection waits for. Dropping it ends the connection.
#[derive(Debug)]
pub(crate) struct Link {
    /// Under which number it is known from now on; its task reads nothing before it has one.
    start: oneshot::Sender<FlowId>,
    line: Line,
}

/// The loop's end of a connection. Dropping it ends the connection.
#[derive(Debug)]
struct Line {
    writes: mpsc::Sender<Vec<u8>>,
    /// Tells the task at once, whatever it waits for: a peer that reads nothing may keep a write for ever.
    _open: oneshot::Sender<()>,
}

/// The task's end of a connection.
#[derive(Debug)]
struct Orders {
    writes: mpsc::Receiver<Vec<u8>>,
    closed: oneshot::Receiver<()>,
}

fn line() -> (Line, Orders) {
    let ((writes, orders), (open, closed)) = (mpsc::channel(WRITES_WAITING), oneshot::channel());
    (
        Line {
            writes,
            _open: open,
        },
        Orders {
            writes: orders,
            closed,
        },
    )
}

/// A transport for connections, bound.
#[derive(Debug)]
pub(crate) struct StreamTransport {
    /// Which transport of the configuration it is.
    pub(crate) id: TransportId,
    /// Where it is bound.
    pub(crate) local: SocketAddr,
    listener: Option<TcpListener>,
    way: Arc<Way>,
}

/// How connections of a transport are made.
#[derive(Debug)]
struct Way {
    bind: SocketAddr,
    marks: Marks,
    keepalive: Option<TcpKeepalive>,
    /// The one that counts when a connection begins.
    tls: Option<Current<Tls>>,
}

impl StreamTransport {
    /// Binds it and listens. With TLS but without a certificate nobody can connect, so it only makes connections. Needs a running tokio
    /// runtime.
    pub(crate) fn bind(
        id: TransportId,
        address: SocketAddr,
        marks: Marks,
        keepalive: Option<TcpKeepalive>,
        tls: Option<Tls>,
    ) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        if address.is_ipv6() {
            // A transport at [::] is one for IPv6; that at 0.0.0.0 may stand beside it.
            socket.set_only_v6(true)?;
        }
        // Connections of an earlier life that have not quite ended do not keep the port.
        socket.set_reuse_address(true)?;
        marks.put_on(&socket, address, "tcp");
        socket.bind(&address.into())?;
        let serves = tls.as_ref().is_none_or(Tls::can_serve);
        if serves {
            socket.listen(BACKLOG)?;
        }
        socket.set_nonblocking(true)?;
        let local = socket
            .local_addr()?
            .as_socket()
            .ok_or(io::ErrorKind::Unsupported)?;
        let listener = match serves {
            true => Some(TcpListener::from_std(socket.into())?),
            false => None,
        };
        Ok(Self {
            id,
            local,
            listener,
            way: Arc::new(Way {
                bind: address,
                marks,
                keepalive,
                tls: current(tls),
            }),
        })
    }

    /// One by which connections are only made, from any address.
    pub(crate) fn outgoing(id: TransportId, tls: Option<Tls>) -> Self {
        let local = SocketAddr::from(([0, 0, 0, 0], 0));
        Self {
            id,
            local,
            listener: None,
            way: Arc::new(Way {
                bind: local,
                marks: Marks { tos: 0, cos: 0 },
                keepalive: None,
                tls: current(tls),
            }),
        }
    }

    /// The address that peers can know it by.
    pub(crate) fn seen_as(&self) -> SocketAddr {
        seen_as(self.local)
    }

    /// What TLS goes by here, which may be set to another for the connections that begin then.
    pub(crate) fn tls(&self) -> Option<&Current<Tls>> {
        self.way.tls.as_ref()
    }

    /// Whether peers can connect to it.
    pub(crate) fn listens(&self) -> bool {
        self.listener.is_some()
    }
}

fn current(tls: Option<Tls>) -> Option<Current<Tls>> {
    tls.map(|tls| Current::new(Arc::new(tls)))
}

/// All connections of a node.
#[derive(Debug)]
pub(crate) struct Connections {
    ways: BTreeMap<TransportId, Arc<Way>>,
    lines: BTreeMap<FlowId, Line>,
    listeners: Vec<JoinHandle<()>>,
    tell: mpsc::Sender<Happened>,
    happened: mpsc::Receiver<Happened>,
    /// Where they are served: handshakes and ciphers are no work for the thread of the node.
    workers: runtime::Handle,
}

impl Connections {
    /// Takes the bound transports; nobody is let in before [`Self::listen`].
    pub(crate) fn new<'a>(
        transports: impl Iterator<Item = &'a StreamTransport>,
        workers: runtime::Handle,
    ) -> Self {
        let (tell, happened) = mpsc::channel(HAPPENINGS_WAITING);
        Self {
            ways: transports
                .map(|transport| (transport.id, Arc::clone(&transport.way)))
                .collect(),
            lines: BTreeMap::new(),
            listeners: Vec::new(),
            tell,
            happened,
            workers,
        }
    }

    /// One more by which connections are made.
    pub(crate) fn add(&mut self, transport: StreamTransport) {
        self.ways.insert(transport.id, transport.way);
    }

    /// Lets peers in.
    pub(crate) fn listen(&mut self, transports: Vec<StreamTransport>) {
        for transport in transports {
            if let Some(listener) = transport.listener {
                let tell = self.tell.clone();
                let listening = listen(listener, transport.id, transport.way, tell);
                self.listeners.push(self.workers.spawn(listening));
            }
        }
    }

    /// The next thing that happened. Can be dropped and called again without loss.
    pub(crate) async fn next(&mut self) -> Happened {
        match self.happened.recv().await {
            Some(happened) => happened,
            // Never: this end holds a sender itself.
            None => std::future::pending().await,
        }
    }

    /// The next thing, if there is one now.
    pub(crate) fn ready(&mut self) -> Option<Happened> {
        self.happened.try_recv().ok()
    }

    /// A peer's connection has a number now.
    pub(crate) fn welcome(&mut self, link: Link, flow: FlowId) {
        if link.start.send(flow).is_ok() {
            self.lines.insert(flow, link.line);
        }
    }

    /// A connection has ended.
    pub(crate) fn forget(&mut self, flow: FlowId) {
        self.lines.remove(&flow);
    }

    /// Does what the node wants done. An error: it could not even be begun, and why.
    pub(crate) fn obey(&mut self, command: FlowCommand) -> Result<(), (FlowId, String)> {
        match command {
            FlowCommand::Connect {
                flow,
                transport,
                remote,
                server_name,
            } => {
                let Some(way) = self.ways.get(&transport) else {
                    return Err((flow, "its transport is not served".to_owned()));
                };
                let (line, orders) = line();
                self.lines.insert(flow, line);
                self.workers.spawn(open(
                    Arc::clone(way),
                    flow,
                    remote,
                    server_name,
                    orders,
                    self.tell.clone(),
                ));
                Ok(())
            }
            FlowCommand::Write { flow, bytes } => {
                match self
                    .lines
                    .get(&flow)
                    .map(|line| line.writes.try_send(bytes))
                {
                    // Nobody there: its end is on its way to the node.
                    None | Some(Ok(()) | Err(mpsc::error::TrySendError::Closed(_))) => Ok(()),
                    Some(Err(mpsc::error::TrySendError::Full(_))) => {
                        Err((flow, "more was written than it could take".to_owned()))
                    }
                }
            }
            FlowCommand::Close { flow } => {
                self.lines.remove(&flow);
                Ok(())
            }
        }
    }

    /// Ends all of them with grace.
    pub(crate) async fn end(self) {
        let Self {
            lines,
            listeners,
            tell,
            mut happened,
            ..
        } = self;
        listeners.iter().for_each(JoinHandle::abort);
        drop((lines, tell));
        // The channel ends with the last task.
        let ended = async { while happened.recv().await.is_some() {} };
        let _ = timeout(CLOSING_MAX * 2, ended).await;
    }
}

async fn listen(
    listener: TcpListener,
    transport: TransportId,
    way: Arc<Way>,
    tell: mpsc::Sender<Happened>,
) {
    let turns = Arc::new(Semaphore::new(HANDSHAKES_AT_A_TIME));
    let handshakes = Arc::new(Handshakes::default());
    loop {
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, remote)) => {
                let (way, tell) = (Arc::clone(&way), tell.clone());
                let handshake = match &way.tls {
                    Some(_) => match handshakes.begin(remote.ip()) {
                        Some(handshake) => Some(handshake),
                        None => {
                            let why = format!(
                                "{HANDSHAKES_OF_AN_ADDRESS} handshakes of its address or {HANDSHAKES_OF_A_NETWORK} of its network are not complete"
                            );
                            let refused = Happened::Refused {
                                transport,
                                remote,
                                why,
                            };
                            let _ = tell.send(refused).await;
                            continue;
                        }
                    },
                    None => None,
                };
                tokio::spawn(async move {
                    let welcomed = welcome(&way, stream, transport, remote, &tell).await;
                    drop((turn, handshake));
                    let Some((stream, start, orders)) = welcomed else {
                        return;
                    };
                    // No number: the node does not want it.
                    if let Ok(flow) = start.await {
                        converse(stream, way.tls.is_some(), flow, orders, tell).await;
                    }
                });
            }
            // The peer has gone again before its turn came.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => (),
            Err(error) => {
                let why = format!("{error}; see the limit of open files");
                let _ = tell.send(Happened::NotTaken { transport, why }).await;
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// How many handshakes each address has in progress, and each network.
#[derive(Debug, Default)]
struct Handshakes(Mutex<[BTreeMap<IpAddr, usize>; 2]>);

/// A handshake in progress, until it is dropped.
#[derive(Debug)]
struct Handshake {
    among: Arc<Handshakes>,
    address: IpAddr,
}

impl Handshakes {
    /// `None`: the address or its network has as many as it may.
    fn begin(self: &Arc<Self>, address: IpAddr) -> Option<Handshake> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [of_address, of_network] = &mut *counts;
        let network = network_of(address);
        let of = |counts: &BTreeMap<IpAddr, usize>, it| counts.get(&it).copied().unwrap_or(0);
        if of(of_address, address) >= HANDSHAKES_OF_AN_ADDRESS
            || of(of_network, network) >= HANDSHAKES_OF_A_NETWORK
        {
            return None;
        }
        *of_address.entry(address).or_default() += 1;
        *of_network.entry(network).or_default() += 1;
        Some(Handshake {
            among: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let mut counts = self.among.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (counts, of) in counts
            .iter_mut()
            .zip([self.address, network_of(self.address)])
        {
            if let Some(count) = counts.get_mut(&of) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&of);
                }
            }
        }
    }
}

/// What is needed to go on with a connection that a peer has opened.
type Welcomed = (Box<dyn Stream>, oneshot::Receiver<FlowId>, Orders);

/// Shakes hands with a peer that has connected, and tells of it.
async fn welcome(
    way: &Way,
    stream: TcpStream,
    transport: TransportId,
    remote: SocketAddr,
    tell: &mpsc::Sender<Happened>,
) -> Option<Welcomed> {
    let shaken = timeout(OPENING_MAX, shake_as_server(way, stream)).await;
    let (stream, certificate) = match shaken {
        Ok(Ok(shaken)) => shaken,
        refused => {
            let why = match refused {
                Ok(Err(why)) => why,
                _ => format!(
                    "its handshake was not complete after {} s",
                    OPENING_MAX.as_secs()
                ),
            };
            let _ = tell
                .send(Happened::Refused {
                    transport,
                    remote,
                    why,
                })
                .await;
            return None;
        }
    };
    let ((start, started), (line, orders)) = (oneshot::channel(), line());
    let accepted = Happened::Accepted {
        transport,
        remote,
        certificate,
        link: Link { start, line },
    };
    tell.send(accepted).await.ok()?;
    Some((stream, started, orders))
}

async fn shake_as_server(
    way: &Way,
    stream: TcpStream,
) -> Result<(Box<dyn Stream>, Certificate), String> {
    prepare(way, &stream);
    let Some(tls) = &way.tls else {
        return Ok((Box::new(stream), Certificate::default()));
    };
    let acceptor = tls.get().acceptor()?;
    match acceptor.tls.accept(stream).await {
        Ok(stream) => {
            let certificate = acceptor.certificate(stream.get_ref().1.peer_certificates());
            Ok((Box::new(stream), certificate))
        }
        Err(error) => Err(acceptor.why(&error)),
    }
}

/// Opens a connection and moves its bytes until it ends.
async fn open(
    way: Arc<Way>,
    flow: FlowId,
    remote: SocketAddr,
    server_name: String,
    mut orders: Orders,
    tell: mpsc::Sender<Happened>,
) {
    let opened = tokio::select! {
        opened = timeout(OPENING_MAX, connect(&way, remote, &server_name)) => opened,
        // Nobody wants it any more.
        _ = &mut orders.closed => return,
    };
    let (stream, certificate) = match opened {
        Ok(Ok(opened)) => opened,
        failed => {
            let why = match failed {
                Ok(Err(why)) => format!("{remote}: {why}"),
                _ => format!("{remote}: no connection after {} s", OPENING_MAX.as_secs()),
            };
            let _ = tell.send(Happened::Closed { flow, why }).await;
            return;
        }
    };
    if tell
        .send(Happened::Connected { flow, certificate })
        .await
        .is_ok()
    {
        converse(stream, way.tls.is_some(), flow, orders, tell).await;
    }
}

async fn connect(
    way: &Way,
    remote: SocketAddr,
    server_name: &str,
) -> Result<(Box<dyn Stream>, Certificate), String> {
    let socket = match remote {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let connecting = async {
        let socket = socket?;
        way.marks.put_on(&SockRef::from(&socket), remote, "tcp");
        if !way.bind.ip().is_unspecified() {
            socket.bind(SocketAddr::new(way.bind.ip(), 0))?;
        }
        socket.connect(remote).await
    };
    let stream = connecting.await.map_err(|error| tls::why(&error))?;
    prepare(way, &stream);
    let Some(tls) = &way.tls else {
        return Ok((Box::new(stream), Certificate::default()));
    };
    let connector = tls.get().connector(server_name)?;
    match connector.tls.connect(connector.name.clone(), stream).await {
        Ok(stream) => {
            let certificate = connector.certificate(stream.get_ref().1.peer_certificates());
            Ok((Box::new(stream), certificate))
        }
        Err(error) => Err(connector.why(&error)),
    }
}

/// What bytes go by.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Moves bytes both ways until either side ends it.
async fn converse(
    stream: Box<dyn Stream>,
    encrypted: bool,
    flow: FlowId,
    orders: Orders,
    tell: mpsc::Sender<Happened>,
) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let Orders {
        mut writes,
        mut closed,
    } = orders;
    let reading = async {
        let mut buffer = vec![0; READ_BYTES];
        let mut silent = true;
        loop {
            let bytes = match reader.read(&mut buffer).await {
                // A stock Asterisk looks at a certificate after the handshake, and then closes without a word of TLS.
                Ok(0) if silent && encrypted => {
                    return "the other side closed the connection right after the handshake, as an Asterisk does that refuses our \
                            certificate: its log says why"
                        .to_owned();
                }
                Ok(0) => {
                    // It may still read what it has asked for; the node says when the connection is to be closed.
                    let _ = tell.send(Happened::Ended { flow }).await;
                    return std::future::pending().await;
                }
                Ok(count) => buffer[..count].to_vec(),
                Err(error) => return tls::why(&error),
            };
            silent = false;
            if tell.send(Happened::Data { flow, bytes }).await.is_err() {
                return "the node has ended".to_owned();
            }
        }
    };
    let writing = async {
        while let Some(bytes) = writes.recv().await {
            let written = async {
                writer.write_all(&bytes).await?;
                writer.flush().await
            };
            if let Err(error) = written.await {
                return Some(tls::why(&error));
            }
            if tell.send(Happened::Written { flow }).await.is_err() {
                break;
            }
        }
        // Nobody writes to it any more: it was to be closed. An error: the other side was faster.
        let _ = writer.shutdown().await;
        None
    };
    tokio::pin!(writing);
    let why = tokio::select! {
        why = reading => Some(why),
        ended = &mut writing => ended,
        _ = &mut closed => {
            let _ = timeout(CLOSING_MAX, &mut writing).await;
            None
        }
    };
    if let Some(why) = why {
        let _ = tell.send(Happened::Closed { flow, why }).await;
    }
}

/// What is asked of the system for a connection. Where it refuses, the connection is as good without.
fn prepare(way: &Way, stream: &TcpStream) {
    // A state is one small write that is to leave at once.
    let _ = stream.set_nodelay(true);
    if let Some(TcpKeepalive {
        idle_time,
        interval,
        probe_count,
    }) = way.keepalive
    {
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(idle_time)
            .with_interval(interval)
            .with_retries(probe_count);
        let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
    }
}

#[cfg(test)]
mod tests;
