//! A mirror of all SIP messages, as they are sent and received, for a collector such as Homer (HEP version 3, over UDP).
//!
//! It sees what the node sees: messages of TLS in the clear, and those of connections one by one. It never waits: what the system does
//! not take at once is lost and counted.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lampwire_core::{FlowCommand, FlowId, TransportId};
use lampwire_sip::{EntityId, Frame, Splitter};

/// The longest datagram of UDP over IPv4. A longer message is not mirrored.
const PACKET_BYTES_MAX: usize = 65_507;

/// IP's number of UDP.
const UDP: u8 = 17;

/// IP's number of TCP.
const TCP: u8 = 6;

/// HEP's number of SIP.
const SIP: u8 = 1;

/// The chunks of a packet by their numbers.
mod chunk {
    pub(super) const FAMILY: u16 = 1;
    pub(super) const PROTOCOL: u16 = 2;
    pub(super) const SOURCE_V4: u16 = 3;
    pub(super) const DESTINATION_V4: u16 = 4;
    pub(super) const SOURCE_V6: u16 = 5;
    pub(super) const DESTINATION_V6: u16 = 6;
    pub(super) const SOURCE_PORT: u16 = 7;
    pub(super) const DESTINATION_PORT: u16 = 8;
    pub(super) const SECONDS: u16 = 9;
    pub(super) const MICROSECONDS: u16 = 10;
    pub(super) const KIND: u16 = 11;
    pub(super) const AGENT: u16 = 12;
    pub(super) const PAYLOAD: u16 = 15;
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To us.
    In,
    /// From us.
    Out,
}

/// The mirror of one node.
#[derive(Debug)]
pub(crate) struct Mirror {
    socket: UdpSocket,
    /// The last four bytes of the entity id: each node of a web has its own.
    agent: u32,
    /// The local address of each transport.
    local: BTreeMap<TransportId, SocketAddr>,
    flows: BTreeMap<FlowId, Flow>,
    packet: Vec<u8>,
    lost: u64,
}

/// A connection, and what has come of the next message each way.
#[derive(Debug)]
struct Flow {
    local: SocketAddr,
    remote: SocketAddr,
    inward: Splitter,
    outward: Splitter,
}

impl Mirror {
    /// A mirror to `server`. Nothing is sent yet, and nobody is asked whether it is there.
    pub(crate) fn new(server: SocketAddr, own: EntityId) -> io::Result<Self> {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(server)?;
        let [_, _, a, b, c, d] = own.as_bytes();
        Ok(Self {
            socket,
            agent: u32::from_be_bytes([a, b, c, d]),
            local: BTreeMap::new(),
            flows: BTreeMap::new(),
            packet: Vec::new(),
            lost: 0,
        })
    }

    /// Where each transport is bound, as peers know it.
    pub(crate) fn bound(&mut self, bound: &[(TransportId, SocketAddr)]) {
        self.local = bound.iter().copied().collect();
    }

    /// A datagram has come or gone.
    pub(crate) fn datagram(
        &mut self,
        direction: Direction,
        transport: TransportId,
        remote: SocketAddr,
        bytes: &[u8],
    ) {
        if let Some(&local) = self.local.get(&transport) {
            self.send(direction, UDP, local, remote, bytes);
        }
    }

    /// A peer's connection has been let in.
    pub(crate) fn opened(&mut self, flow: FlowId, transport: TransportId, remote: SocketAddr) {
        if let Some(&local) = self.local.get(&transport) {
            let (inward, outward) = (Splitter::new(), Splitter::new());
            let opened = Flow {
                local,
                remote,
                inward,
                outward,
            };
            self.flows.insert(flow, opened);
        }
    }

    /// A connection has ended.
    pub(crate) fn closed(&mut self, flow: FlowId) {
        self.flows.remove(&flow);
    }

    /// What the node wants done with its connections.
    pub(crate) fn command(&mut self, command: &FlowCommand) {
        match command {
            FlowCommand::Connect {
                flow,
                transport,
                remote,
                ..
            } => self.opened(*flow, *transport, *remote),
            FlowCommand::Write { flow, bytes } => self.stream(Direction::Out, *flow, bytes),
            FlowCommand::Close { flow } => self.closed(*flow),
        }
    }

    /// Bytes of a connection have come or gone.
    pub(crate) fn stream(&mut self, direction: Direction, flow: FlowId, bytes: &[u8]) {
        // Out of the map meanwhile, so that what is cut out can be sent.
        let Some(mut opened) = self.flows.remove(&flow) else {
            return;
        };
        let (local, remote) = (opened.local, opened.remote);
        let splitter = match direction {
            Direction::In => &mut opened.inward,
            Direction::Out => &mut opened.outward,
        };
        // A stream that is no SIP is closed by the node; until then it has nothing to show.
        if splitter.push(bytes).is_ok() {
            while let Ok(Some(frame)) = splitter.next() {
                if let Frame::Message(message) | Frame::Overlong(message) = frame {
                    self.send(direction, TCP, local, remote, message);
                }
            }
        }
        self.flows.insert(flow, opened);
    }

    /// How many messages were not mirrored since this was last asked.
    pub(crate) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    fn send(
        &mut self,
        direction: Direction,
        protocol: u8,
        local: SocketAddr,
        remote: SocketAddr,
        message: &[u8],
    ) {
        let (source, destination) = match direction {
            Direction::In => (remote, local),
            Direction::Out => (local, remote),
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let written = write(
            &mut self.packet,
            protocol,
            source,
            destination,
            now,
            self.agent,
            message,
        );
        if !written || self.socket.send(&self.packet).is_err() {
            self.lost += 1;
        }
    }
}

/// Writes one packet; false where the message is too long for one.
fn write(
    packet: &mut Vec<u8>,
    protocol: u8,
    source: SocketAddr,
    destination: SocketAddr,
    at: Duration,
    agent: u32,
    message: &[u8],
) -> bool {
    packet.clear();
    packet.extend_from_slice(b"HEP3\0\0");
    let mut put = |kind: u16, value: &[u8]| {
        let length = u16::try_from(value.len() + 6).unwrap_or(u16::MAX);
        // The first two bytes name a vendor; none is the standard's own.
        packet.extend_from_slice(&[0, 0]);
        packet.extend_from_slice(&kind.to_be_bytes());
        packet.extend_from_slice(&length.to_be_bytes());
        packet.extend_from_slice(value);
    };
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            put(chunk::FAMILY, &[2]);
            put(chunk::SOURCE_V4, &source.octets());
            put(chunk::DESTINATION_V4, &destination.octets());
        }
        (source, destination) => {
            put(chunk::FAMILY, &[10]);
            put(chunk::SOURCE_V6, &as_v6(source).octets());
            put(chunk::DESTINATION_V6, &as_v6(destination).octets());
        }
    }
    put(chunk::PROTOCOL, &[protocol]);
    put(chunk::SOURCE_PORT, &source.port().to_be_bytes());
    put(chunk::DESTINATION_PORT, &destination.port().to_be_bytes());
    let seconds = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
    put(chunk::SECONDS, &seconds.to_be_bytes());
    put(chunk::MICROSECONDS, &at.subsec_micros().to_be_bytes());
    put(chunk::KIND, &[SIP]);
    put(chunk::AGENT, &agent.to_be_bytes());
    put(chunk::PAYLOAD, message);
    match u16::try_from(packet.len()) {
        Ok(length) if packet.len() <= PACKET_BYTES_MAX => {
            packet[4..6].copy_from_slice(&length.to_be_bytes());
            true
        }
        Ok(_) | Err(_) => false,
    }
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}
