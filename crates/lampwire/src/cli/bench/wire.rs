//! The socket of a load: datagrams, or one connection, plain or encrypted. Nothing blocks but the making of a connection and `wait`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use lampwire_sip::{Frame, Splitter};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

/// How long a connection may take to be made.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// What is asked of the system for each direction of a UDP socket: the answers of a burst fit while requests are being made.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// What is read at a time: more than any datagram.
const READ_BYTES: usize = 64 * 1024;
/// Datagrams that are taken before what is due is looked at again.
const READ_AT_ONCE: usize = 64;

/// What requests go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    Udp,
    Tcp,
    Tls,
}

impl Carrier {
    /// Its word in a Via.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }
}

/// An open way to the target.
pub(super) struct Wire {
    kind: Kind,
    carrier: Carrier,
    local: SocketAddr,
    buffer: Vec<u8>,
    /// The network said that nobody listens there.
    refused: bool,
}

enum Kind {
    Datagrams(UdpSocket),
    Stream(Box<Stream>),
}

struct Stream {
    socket: TcpStream,
    tls: Option<ClientConnection>,
    /// What the socket has not taken yet. Each lane has one request on its way, so this is bounded by their number.
    waiting: Vec<u8>,
    splitter: Splitter,
}

impl Wire {
    /// Binds, and for TCP and TLS connects.
    pub(super) fn open(
        carrier: Carrier,
        remote: SocketAddr,
        bind: Option<IpAddr>,
        host: &str,
        authorities: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let (kind, protocol) = match carrier {
            Carrier::Udp => (Type::DGRAM, Protocol::UDP),
            Carrier::Tcp | Carrier::Tls => (Type::STREAM, Protocol::TCP),
        };
        let socket = Socket::new(Domain::for_address(remote), kind, Some(protocol))
            .context("no socket can be opened")?;
        if let Some(address) = bind {
            socket
                .bind(&SocketAddr::new(address, 0).into())
                .with_context(|| format!("--bind: {address} is no address to send from here"))?;
        }
        let kind = if carrier == Carrier::Udp {
            // With less there are more copies, and the figures say so.
            let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
            let _ = socket.set_send_buffer_size(BUFFER_BYTES);
            socket
                .connect(&remote.into())
                .with_context(|| format!("there is no way to {remote}"))?;
            socket.set_nonblocking(true)?;
            Kind::Datagrams(socket.into())
        } else {
            socket
                .connect_timeout(&remote.into(), CONNECT_PATIENCE)
                .with_context(|| format!("nothing takes connections at {remote}"))?;
            socket.set_tcp_nodelay(true)?;
            let mut socket = TcpStream::from(socket);
            let tls = match carrier {
                Carrier::Tls => Some(handshake(&mut socket, host, authorities)?),
                Carrier::Tcp | Carrier::Udp => None,
            };
            socket.set_nonblocking(true)?;
            Kind::Stream(Box::new(Stream {
                socket,
                tls,
                waiting: Vec::new(),
                splitter: Splitter::new(),
            }))
        };
        let local = match &kind {
            Kind::Datagrams(socket) => socket.local_addr()?,
            Kind::Stream(stream) => stream.socket.local_addr()?,
        };
        Ok(Self {
            kind,
            carrier,
            local,
            buffer: vec![0; READ_BYTES],
            refused: false,
        })
    }

    /// Where answers go.
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// Whether requests may be lost on the way, and have to be sent again.
    pub(super) fn may_lose(&self) -> bool {
        self.carrier == Carrier::Udp
    }

    /// Whether the network has said that nobody listens at the target, since this was asked last.
    pub(super) fn was_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    /// Sends a message. A datagram that the system does not take is lost like any other.
    pub(super) fn send(&mut self, message: &[u8]) -> anyhow::Result<()> {
        match &mut self.kind {
            Kind::Datagrams(socket) => {
                if let Err(error) = socket.send(message) {
                    self.refused |= error.kind() == ErrorKind::ConnectionRefused;
                }
                Ok(())
            }
            Kind::Stream(stream) => stream.send(message).context(LOST),
        }
    }

    /// Takes what has come, a bounded number of messages; whether there was anything.
    pub(super) fn receive(&mut self, mut take: impl FnMut(&[u8])) -> anyhow::Result<bool> {
        match &mut self.kind {
            Kind::Datagrams(socket) => {
                for taken in 0..READ_AT_ONCE {
                    match socket.recv(&mut self.buffer) {
                        Ok(length) => take(&self.buffer[..length]),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(taken > 0),
                        Err(error) => self.refused |= error.kind() == ErrorKind::ConnectionRefused,
                    }
                }
                Ok(true)
            }
            Kind::Stream(stream) => {
                let any = stream.read(&mut self.buffer).context(LOST)?;
                while let Some(frame) = stream
                    .splitter
                    .next()
                    .map_err(|error| anyhow!("the target does not speak SIP: {error}"))?
                {
                    if let Frame::Message(message) = frame {
                        take(message);
                    }
                }
                stream.flush().context(LOST)?;
                Ok(any)
            }
        }
    }

    /// Waits until there is something to read, or for so long.
    pub(super) fn wait(&self, at_most: Duration) -> anyhow::Result<()> {
        let mut flags = PollFlags::POLLIN;
        if let Kind::Stream(stream) = &self.kind
            && stream.wants_to_write()
        {
            flags |= PollFlags::POLLOUT;
        }
        match ppoll(
            &mut [PollFd::new(self.fd(), flags)],
            Some(TimeSpec::from_duration(at_most)),
            None,
        ) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => bail!("waiting for answers failed: {error}"),
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Datagrams(socket) => socket.as_fd(),
            Kind::Stream(stream) => stream.socket.as_fd(),
        }
    }
}

/// What is said of a connection that broke.
const LOST: &str = "the connection to the target is lost";

impl Stream {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(message)?,
            None => self.waiting.extend_from_slice(message),
        }
        self.flush()
    }

    /// Writes what the socket takes.
    fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                match tls.write_tls(&mut self.socket) {
                    Ok(_) => (),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            return Ok(());
        }
        let mut written = 0;
        while written < self.waiting.len() {
            match self.socket.write(&self.waiting[written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(length) => written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.waiting.drain(..written);
        Ok(())
    }

    fn wants_to_write(&self) -> bool {
        match &self.tls {
            Some(tls) => tls.wants_write(),
            None => !self.waiting.is_empty(),
        }
    }

    /// Reads once; whether anything had come.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let result = match &mut self.tls {
            None => self.socket.read(buffer),
            Some(tls) => match tls.read_tls(&mut self.socket) {
                Ok(0) => Ok(0),
                Ok(_) => {
                    tls.process_new_packets().map_err(io::Error::other)?;
                    tls.reader().read(buffer)
                }
                Err(error) => Err(error),
            },
        };
        match result {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                self.splitter
                    .push(&buffer[..length])
                    .map_err(io::Error::other)?;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Makes a plain connection an encrypted one.
fn handshake(
    socket: &mut TcpStream,
    host: &str,
    authorities: Option<&Path>,
) -> anyhow::Result<ClientConnection> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(path) => {
            let pem = std::fs::read(path)
                .with_context(|| format!("--ca: {} cannot be read", path.display()))?;
            let (taken, _) = roots.add_parsable_certificates(
                CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok),
            );
            if taken == 0 {
                bail!("--ca: {} has no certificate in PEM form", path.display());
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS cannot begin")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())
        .with_context(|| format!("{host:?} cannot be the name in a certificate"))?;
    let mut tls = ClientConnection::new(Arc::new(config), name).context("TLS cannot begin")?;
    socket.set_read_timeout(Some(CONNECT_PATIENCE))?;
    socket.set_write_timeout(Some(CONNECT_PATIENCE))?;
    while tls.is_handshaking() {
        tls.complete_io(socket).with_context(|| {
            format!("no TLS with {host} (its certificate is checked: --ca names whom to trust)")
        })?;
    }
    // It bounds what waits by 64 kB, and refuses the rest; the number of lanes bounds it as for a plain connection.
    tls.set_buffer_limit(None);
    Ok(tls)
}
