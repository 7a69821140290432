//! UDP sockets: opened with large buffers, read and written in batches without waiting, and asked which peers the network says are away.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use lampwire_core::{Transmit, TransportId};
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::address::{self, Marks};
use super::unreachable::{self, Unreachable};

/// What is asked of the system for each direction, in bytes: two thousand publications of a burst fit while the node is busy.
/// Linux gives at most net.core.rmem_max and wmem_max.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// How long a datagram waits for room in the system's buffer before it is dropped; SIP sends it again.
const SEND_PATIENCE: Duration = Duration::from_millis(20);

/// The most datagrams that one call of the system brings or takes. More costs memory and saves nothing that could be measured.
pub(crate) const BATCH: usize = 32;

/// The largest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// The socket of one transport, as it is bound.
#[derive(Debug)]
pub(crate) struct UdpTransport {
    /// Which transport of the configuration it is.
    pub(crate) id: TransportId,
    /// Where it is bound.
    pub(crate) local: SocketAddr,
    socket: Socket,
}

/// The socket of one transport at work, with what its batches need. It stays on the thread that opened it.
#[derive(Debug)]
pub(crate) struct Port {
    /// Which transport of the configuration it is.
    pub(crate) id: TransportId,
    socket: Arc<UdpSocket>,
    received: MultiHeaders<SockaddrStorage>,
    /// Room for a batch of the largest datagrams; what none has touched takes no memory.
    room: Box<[u8]>,
    /// The length and the source of each datagram of the last batch.
    arrived: Vec<(usize, Option<SocketAddr>)>,
    sent: MultiHeaders<SockaddrStorage>,
}

/// What became of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The system has taken it.
    Yes,
    /// The system knows no way to that address.
    Unreachable,
    /// It was dropped, for this reason.
    No(String),
}

impl UdpTransport {
    /// Binds it, with its type of service (`tos`) and priority (`cos`) where they are not 0.
    pub(crate) fn bind(id: TransportId, address: SocketAddr, marks: Marks) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            // A transport at [::] is one for IPv6; that at 0.0.0.0 may stand beside it.
            socket.set_only_v6(true)?;
        }
        enlarge_buffers(&socket, address);
        marks.put_on(&socket, address, "udp");
        socket.bind(&address.into())?;
        socket.set_nonblocking(true)?;
        unreachable::enable(&socket, address);
        let local = socket.local_addr()?.as_socket();
        Ok(Self {
            id,
            local: local.ok_or_else(|| io::Error::other("the system tells no address"))?,
            socket,
        })
    }

    /// Takes it to work. Needs a running tokio runtime, and stays with it.
    pub(crate) fn open(self) -> io::Result<Port> {
        Ok(Port {
            id: self.id,
            socket: Arc::new(UdpSocket::from_std(self.socket.into())?),
            received: MultiHeaders::preallocate(BATCH, None),
            room: vec![0; BATCH * DATAGRAM_BYTES_MAX].into_boxed_slice(),
            arrived: Vec::with_capacity(BATCH),
            sent: MultiHeaders::preallocate(BATCH, None),
        })
    }
}

impl Port {
    /// Whether there is something to read. Wakes the task of the context once there is.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        // An error of the poll itself comes again from the read.
        self.socket.poll_recv_ready(context).map(|_| ())
    }

    /// Reads what waits, at most a batch; how many datagrams [`Self::datagrams`] has now. An error is an ICMP message about an earlier datagram;
    /// there may be more to read behind it.
    pub(crate) fn receive(&mut self) -> io::Result<usize> {
        let Self {
            socket,
            received,
            room,
            arrived,
            ..
        } = self;
        arrived.clear();
        let result = socket.try_io(Interest::READABLE, || {
            let mut chunks = room.chunks_exact_mut(DATAGRAM_BYTES_MAX);
            let mut slices: [_; BATCH] =
                std::array::from_fn(|_| [IoSliceMut::new(chunks.next().unwrap_or_default())]);
            let messages = recvmmsg(
                socket.as_raw_fd(),
                received,
                &mut slices,
                MsgFlags::MSG_DONTWAIT,
                None,
            )?;
            arrived.extend(messages.map(|message| {
                let source = message.address.as_ref().and_then(address::of_storage);
                (message.bytes, source)
            }));
            match arrived.len() {
                BATCH => Ok(()),
                // There is no more: so the runtime is told, without asking the system once more.
                _ => Err(io::ErrorKind::WouldBlock.into()),
            }
        });
        match result {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(arrived.len()),
        }
    }

    /// The datagrams of the last batch, each with its source.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = (&[u8], SocketAddr)> {
        self.room
            .chunks_exact(DATAGRAM_BYTES_MAX)
            .zip(&self.arrived)
            .filter_map(|(bytes, (length, source))| Some((bytes.get(..*length)?, (*source)?)))
    }

    /// Sends a batch, at most [`BATCH`], at once; how many of it the system has taken. The first that it has not is to be sent by
    /// [`Self::send`], which waits a moment and tells what is wrong.
    pub(crate) fn send_all(&mut self, batch: &[Transmit<'_>]) -> usize {
        const EMPTY: &[u8] = &[];
        let Self { socket, sent, .. } = self;
        let count = batch.len().min(BATCH);
        let of = |index: usize| batch.get(index).map(|it| (it.bytes, it.remote));
        let slices: [_; BATCH] = std::array::from_fn(|index| {
            [IoSlice::new(of(index).map_or(EMPTY, |(bytes, _)| bytes))]
        });
        let remotes: [_; BATCH] =
            std::array::from_fn(|index| of(index).map(|(_, remote)| SockaddrStorage::from(remote)));
        let taken = socket.try_io(Interest::WRITABLE, || {
            let none: [ControlMessage<'_>; 0] = [];
            let results = sendmmsg(
                socket.as_raw_fd(),
                sent,
                &slices[..count],
                &remotes[..count],
                none,
                MsgFlags::MSG_DONTWAIT,
            )?;
            Ok(results.count())
        });
        taken.unwrap_or(0)
    }

    /// Sends one, waiting a moment for room in the system's buffer.
    pub(crate) async fn send(&self, bytes: &[u8], remote: SocketAddr) -> Sent {
        let mut result = self.socket.try_send_to(bytes, remote);
        if let Err(error) = &result {
            match error.kind() {
                io::ErrorKind::WouldBlock => {
                    let waiting = self.socket.send_to(bytes, remote);
                    match tokio::time::timeout(SEND_PATIENCE, waiting).await {
                        Ok(sent) => result = sent,
                        Err(_) => return Sent::No("the system's send buffer is full".to_owned()),
                    }
                }
                // Linux hands over an ICMP message about an earlier datagram, perhaps to another peer, and has not sent this one.
                io::ErrorKind::ConnectionRefused => result = self.socket.try_send_to(bytes, remote),
                _ => (),
            }
        }
        match result {
            Ok(_) => Sent::Yes,
            Err(error) => match error.kind() {
                io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::AddrNotAvailable
                | io::ErrorKind::NetworkDown => Sent::Unreachable,
                _ => Sent::No(error.to_string()),
            },
        }
    }

    /// From now on, tells whom ICMP messages declare unreachable. Ends with the receiver.
    pub(crate) fn tell_unreachable(&self, tell: mpsc::Sender<Unreachable>) {
        tokio::spawn(unreachable::listen(self.id, Arc::clone(&self.socket), tell));
    }
}

fn enlarge_buffers(socket: &Socket, address: SocketAddr) {
    // Not an error: with less the node works, and a burst costs retransmissions.
    let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(BUFFER_BYTES);
    // Linux counts its own bookkeeping and reports twice what it was asked for.
    let got = socket.recv_buffer_size().unwrap_or(0) / 2;
    if got < BUFFER_BYTES {
        tracing::debug!(
            "the receive buffer of {address}/udp is {got} bytes, {BUFFER_BYTES} were asked for: \
             sysctl net.core.rmem_max limits it, and large bursts may cost retransmissions"
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bind(address: &str) -> (Port, SocketAddr) {
        let marks = Marks { tos: 0xb8, cos: 3 };
        let bound = UdpTransport::bind(TransportId(0), address.parse().unwrap(), marks).unwrap();
        let local = bound.local;
        (bound.open().unwrap(), local)
    }

    async fn readable(port: &Port) {
        let ready = std::future::poll_fn(|context| port.poll_readable(context));
        tokio::time::timeout(Duration::from_secs(10), ready)
            .await
            .unwrap();
    }

    fn read(port: &mut Port) -> Vec<(Vec<u8>, SocketAddr)> {
        port.receive().unwrap();
        let datagrams = port.datagrams();
        datagrams
            .map(|(bytes, from)| (bytes.to_vec(), from))
            .collect()
    }

    #[tokio::test]
    async fn a_datagram_arrives_with_its_source() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let ((one, from), (mut two, to)) = (bind(host), bind(host));
            assert_eq!(one.send(b"hello", to).await, Sent::Yes);
            readable(&two).await;
            assert_eq!(read(&mut two), [(b"hello".to_vec(), from)]);
            assert_eq!(read(&mut two), []);
        }
    }

    #[tokio::test]
    async fn more_than_a_batch_arrives_in_order() {
        let ((mut one, from), (mut two, to)) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
        one.socket.writable().await.unwrap();
        let texts: Vec<String> = (0..3 * BATCH).map(|number| number.to_string()).collect();
        for part in texts.chunks(BATCH - 1) {
            let batch: Vec<Transmit<'_>> = part
                .iter()
                .map(|text| Transmit {
                    transport: TransportId(0),
                    remote: to,
                    bytes: text.as_bytes(),
                })
                .collect();
            assert_eq!(one.send_all(&batch), part.len());
        }
        let mut got = Vec::new();
        while got.len() < texts.len() {
            readable(&two).await;
            got.extend(read(&mut two));
        }
        let expected = texts.iter().map(|it| (it.clone().into_bytes(), from));
        assert_eq!(got, expected.collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_batch_ends_at_what_cannot_be_sent() {
        let ((mut one, _), (_two, to)) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
        one.socket.writable().await.unwrap();
        let long = vec![0; 70_000];
        let of = |bytes| Transmit {
            transport: TransportId(0),
            remote: to,
            bytes,
        };
        assert_eq!(one.send_all(&[of(b"a"), of(&long), of(b"b")]), 1);
        assert_eq!(one.send_all(&[of(&long), of(b"b")]), 0);
        assert_eq!(one.send_all(&[]), 0);
    }

    #[tokio::test]
    async fn a_closed_port_is_told_with_its_address() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let (_, gone) = bind(host);
            let (one, _) = bind(host);
            let (tell, mut told) = mpsc::channel(10);
            one.tell_unreachable(tell);
            assert_eq!(one.send(b"hello", gone).await, Sent::Yes);
            let unreachable = tokio::time::timeout(Duration::from_secs(10), told.recv()).await;
            assert_eq!(unreachable.unwrap(), Some((TransportId(0), gone)));
            // The message about one peer does not keep a datagram to another from leaving.
            let (two, to) = bind(host);
            assert_eq!(one.send(b"hello", to).await, Sent::Yes);
            readable(&two).await;
        }
    }

    #[tokio::test]
    async fn a_datagram_that_is_too_large_is_dropped_with_a_reason() {
        let (one, to) = bind("127.0.0.1:0");
        assert!(matches!(one.send(&[0; 70_000], to).await, Sent::No(_)));
    }
}
