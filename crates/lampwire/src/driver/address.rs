//! What sockets of every kind share: how their packets are marked, and the address that peers know them by.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::sys::socket::{SockaddrStorage, setsockopt, sockopt};
use socket2::Socket;

/// How packets are marked for the network between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// The type of service byte of IP.
    pub(crate) tos: u8,
    /// The priority of VLANs, 0 to 7.
    pub(crate) cos: u8,
}

impl Marks {
    /// Marks what leaves this socket, which is or will be bound to the address.
    pub(super) fn put_on(self, socket: &Socket, address: SocketAddr, protocol: &str) {
        let tos = if self.tos == 0 {
            Ok(())
        } else if address.is_ipv4() {
            socket.set_tos_v4(u32::from(self.tos))
        } else {
            setsockopt(socket, sockopt::Ipv6TClass, &i32::from(self.tos)).map_err(io::Error::from)
        };
        let cos = if self.cos == 0 {
            Ok(())
        } else {
            setsockopt(socket, sockopt::Priority, &i32::from(self.cos)).map_err(io::Error::from)
        };
        // Unmarked packets are better than none.
        for (name, result) in [("tos", tos), ("cos", cos)] {
            if let Err(error) = result {
                tracing::warn!(
                    "{name}= of the transport at {address}/{protocol} is without effect: {error}"
                );
            }
        }
    }
}

/// An address as the system writes it; `None`: it is none of IP.
pub(super) fn of_storage(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::from((v4.ip(), v4.port())));
    }
    let v6 = storage.as_sockaddr_in6()?;
    Some(SocketAddr::from((v6.ip(), v6.port())))
}

/// The address that peers can know a socket by: its own, or for one bound to all addresses the one from which the system would send
/// to the outside. Asking the system for that sends nothing.
pub(crate) fn seen_as(local: SocketAddr) -> SocketAddr {
    if !local.ip().is_unspecified() {
        return local;
    }
    // Addresses that are kept for documentation (RFC 5737, RFC 3849): only the route to them is looked up.
    let (any, outside) = match local {
        SocketAddr::V4(_) => ("0.0.0.0:0", "192.0.2.1:5060"),
        SocketAddr::V6(_) => ("[::]:0", "[2001:db8::1]:5060"),
    };
    let route = std::net::UdpSocket::bind(any).and_then(|socket| {
        socket.connect(outside)?;
        socket.local_addr()
    });
    let ip = match (route, local) {
        (Ok(address), _) if !address.ip().is_unspecified() => address.ip(),
        (_, SocketAddr::V4(_)) => Ipv4Addr::LOCALHOST.into(),
        (_, SocketAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, local.port())
}
