//! UDP sockets: opened with large buffers, read without waiting, and asked which peers the network says are away.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use lampwire_core::TransportId;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::address::Marks;
use super::unreachable::{self, Unreachable};

/// What is asked of the system for each direction, in bytes: two thousand publications of a burst fit while the node is busy.
/// Linux gives at most net.core.rmem_max and wmem_max.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// How long a datagram waits for room in the system's buffer before it is dropped; SIP sends it again.
const SEND_PATIENCE: Duration = Duration::from_millis(20);

/// The socket of one transport.
#[derive(Debug)]
pub(crate) struct UdpTransport {
    /// Which transport of the configuration it is.
    pub(crate) id: TransportId,
    /// Where it is bound.
    pub(crate) local: SocketAddr,
    socket: Arc<UdpSocket>,
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
    /// Binds it, with its type of service (`tos`) and priority (`cos`) where they are not 0. Needs a running tokio runtime.
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
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        Ok(Self {
            id,
            local: socket.local_addr()?,
            socket,
        })
    }

    /// Whether there is something to read. Wakes the task of the context once there is.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        // An error of the poll itself comes again from the read.
        self.socket.poll_recv_ready(context).map(|_| ())
    }

    /// One datagram, if one waits. `Ok(None)`: none. An error is an ICMP message about
    /// an earlier datagram; there may be more to read behind it.
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        match self.socket.try_recv_from(buffer) {
            Ok(received) => Ok(Some(received)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
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

    fn bind(address: &str) -> UdpTransport {
        UdpTransport::bind(
            TransportId(0),
            address.parse().unwrap(),
            Marks { tos: 0xb8, cos: 3 },
        )
        .unwrap()
    }

    async fn readable(transport: &UdpTransport) {
        let ready = std::future::poll_fn(|context| transport.poll_readable(context));
        tokio::time::timeout(Duration::from_secs(10), ready)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_datagram_arrives_with_its_source() {
        let (one, two) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
        assert_eq!(one.send(b"hello", two.local).await, Sent::Yes);
        readable(&two).await;
        let mut buffer = [0; 100];
        assert_eq!(two.try_receive(&mut buffer).unwrap(), Some((5, one.local)));
        assert_eq!(two.try_receive(&mut buffer).unwrap(), None);
    }

    #[tokio::test]
    async fn a_closed_port_is_told_with_its_address() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let gone = {
                let gone = bind(host);
                gone.local
            };
            let one = bind(host);
            let (tell, mut told) = mpsc::channel(10);
            one.tell_unreachable(tell);
            assert_eq!(one.send(b"hello", gone).await, Sent::Yes);
            let unreachable = tokio::time::timeout(Duration::from_secs(10), told.recv()).await;
            assert_eq!(unreachable.unwrap(), Some((TransportId(0), gone)));
            // The message about one peer does not keep a datagram to another from leaving.
            let two = bind(host);
            assert_eq!(one.send(b"hello", two.local).await, Sent::Yes);
            readable(&two).await;
        }
    }

    #[tokio::test]
    async fn a_datagram_that_is_too_large_is_dropped_with_a_reason() {
        let one = bind("127.0.0.1:0");
        assert!(matches!(
            one.send(&[0; 70_000], one.local).await,
            Sent::No(_)
        ));
    }
}
