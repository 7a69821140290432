//! What ICMP says of datagrams that did not arrive.
//!
//! Linux tells an unconnected UDP socket nothing of "port unreachable" unless asked (IP_RECVERR); then each message
//! waits in the socket's error queue with the address that the datagram was for. So a peer that is down is known in a
//! millisecond instead of after 32 seconds of silence.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use lampwire_core::TransportId;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::address;

/// The most messages that wait for the node. What is dropped beyond is found out by silence.
pub(crate) const WAITING_MAX: usize = 256;

/// The most messages that are taken before other tasks have their turn.
const AT_A_TIME: usize = 64;

/// A peer that cannot be reached over a transport.
pub(crate) type Unreachable = (TransportId, SocketAddr);

/// Asks the system for the messages. Where it does not give them, a silent peer is found out by its silence.
pub(crate) fn enable(socket: &socket2::Socket, address: SocketAddr) {
    let result = if address.is_ipv4() {
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)
    } else {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)
    };
    if let Err(error) = result {
        tracing::debug!("no ICMP messages for {address}/udp: {error}");
    }
}

/// Hands on whom the messages of this socket declare unreachable, until nobody wants to know.
pub(crate) async fn listen(
    id: TransportId,
    socket: Arc<UdpSocket>,
    tell: mpsc::Sender<Unreachable>,
) {
    loop {
        let ready = tokio::select! {
            ready = socket.ready(Interest::ERROR) => ready,
            () = tell.closed() => return,
        };
        if ready.is_err() {
            return;
        }
        // "Would block" tells tokio that the queue is empty, and to wait for the next message.
        let _ = socket.try_io(Interest::ERROR, || {
            for _ in 0..AT_A_TIME {
                if let Some(remote) = take(&socket)? {
                    let _ = tell.try_send((id, remote));
                }
            }
            Ok(())
        });
        tokio::task::yield_now().await;
    }
}

/// Takes one message. `None`: it is about something else. An error: there is none.
fn take(socket: &UdpSocket) -> io::Result<Option<SocketAddr>> {
    let mut payload = [0; 64];
    let mut slices = [IoSliceMut::new(&mut payload)];
    let mut control = nix::cmsg_space!(nix::libc::sock_extended_err, nix::libc::sockaddr_in6);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    // The address of a message is where the datagram was going; who complains stands in the control data.
    let remote = message.address.as_ref().and_then(address::of_storage);
    let mut controls = message.cmsgs()?;
    Ok(remote.filter(|_| controls.any(|control| says_unreachable(&control))))
}

fn says_unreachable(control: &ControlMessageOwned) -> bool {
    let (ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _)) =
        control
    else {
        return false;
    };
    // "Too long for the path" (EMSGSIZE) is a matter of the one datagram, not of the peer.
    i32::try_from(error.ee_errno).is_ok_and(|errno| errno != nix::libc::EMSGSIZE)
}
