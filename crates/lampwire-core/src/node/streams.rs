//! Connections: what the driver tells of them, and the messages that come by them.

use std::net::SocketAddr;

use lampwire_conf::Protocol;
use lampwire_sip::{Frame, Host, Message};

use super::{Life, Node, Origin};
use crate::ami::Link;
use crate::flow::{Care, Flows, Outlet};
use crate::io::{Certificate, FlowCommand, FlowId, Level, TransportId};
use crate::strangers::counted_as;
use crate::time::Now;

/// A ping and its answer (RFC 5626 3.5.1).
const PING: &[u8] = b"\r\n\r\n";
const PONG: &[u8] = b"\r\n";

impl Node {
    /// The next thing to do with a connection.
    pub fn poll_flow(&mut self) -> Option<FlowCommand> {
        self.outbox.poll_flow()
    }

    /// A peer has opened a connection to a transport, and with TLS has passed the handshake. `None`: there are too many; close it.
    pub fn handle_accepted(
        &mut self,
        now: Now,
        transport: TransportId,
        remote: SocketAddr,
        certificate: Certificate,
    ) -> Option<FlowId> {
        if self.life == Life::Made {
            return None;
        }
        let source = remote.ip();
        let counted_as = counted_as(source, self.is_of_a_peer(source));
        let accepted = {
            let (flows, mut out) = self.lend_flows(now);
            flows.accept(&mut out, transport, (remote, counted_as), certificate)
        };
        if accepted.is_none() {
            self.counters.connections_refused += 1;
            let text = format!(
                "a connection from {remote} is closed at once: there are too many, of its address or network or in all"
            );
            self.outbox
                .notice(Level::Warn, "too-many-connections", text);
        }
        accepted
    }

    /// A connection that [`FlowCommand::Connect`] asked for can carry bytes.
    pub fn handle_connected(&mut self, now: Now, flow: FlowId, certificate: Certificate) {
        if let Some(section) = Link::section_of(flow) {
            return self.handle_ami_connected(now, section, flow);
        }
        let (flows, mut out) = self.lend_flows(now);
        flows.connected(&mut out, flow, certificate);
    }

    /// Bytes have come in over a connection, in any pieces.
    pub fn handle_stream(&mut self, now: Now, flow: FlowId, bytes: &[u8]) {
        if let Some(section) = Link::section_of(flow) {
            return self.handle_ami_bytes(now, section, flow, bytes);
        }
        let Some((transport, remote, mut splitter)) = self.flows.heard(now.at, flow) else {
            return;
        };
        let origin = Origin {
            transport,
            remote,
            flow: Some(flow),
        };
        let mut broken = splitter.push(bytes).err();
        while broken.is_none() && self.flows.is_there(flow) {
            match splitter.next() {
                Ok(Some(Frame::Message(message))) => {
                    self.counters.stream_messages_received += 1;
                    self.receive(now, origin, message);
                }
                Ok(Some(Frame::Ping)) => self.write_to_flow(now, flow, PONG),
                Ok(Some(Frame::Pong)) => {}
                Ok(Some(Frame::Overlong(head))) => {
                    self.counters.stream_messages_received += 1;
                    self.receive_overlong(now, origin, head);
                    let (flows, mut out) = self.lend_flows(now);
                    flows.end(&mut out, flow, "a message was too long");
                    break;
                }
                Ok(None) => break,
                Err(error) => broken = Some(error),
            }
        }
        match broken {
            None => {
                let (flows, mut out) = self.lend_flows(now);
                if flows.took(&mut out, flow, splitter).is_err() {
                    let why = "all connections together hold too much".to_owned();
                    flows.close(&mut out, flow, why);
                }
            }
            Some(error) => {
                self.counters.unparsable += 1;
                let why = format!("what came from {remote} is no stream of messages: {error}");
                self.outbox
                    .notice(Level::Warn, "stream-broken", why.clone());
                let (flows, mut out) = self.lend_flows(now);
                flows.close(&mut out, flow, why);
            }
        }
        self.settle(now);
    }

    /// The system has taken the bytes of the last [`FlowCommand::Write`].
    pub fn handle_writable(&mut self, now: Now, flow: FlowId) {
        if let Some(section) = Link::section_of(flow) {
            return self.handle_ami_writable(now, section, flow);
        }
        let (flows, mut out) = self.lend_flows(now);
        flows.writable(&mut out, flow);
    }

    /// The other side of a connection has said its last: it may still read.
    pub fn handle_ended(&mut self, now: Now, flow: FlowId) {
        if let Some(section) = Link::section_of(flow) {
            return self.handle_ami_ended(now, section, flow);
        }
        let (flows, mut out) = self.lend_flows(now);
        flows.peer_is_done(&mut out, flow);
        self.settle(now);
    }

    /// A connection has ended, or could not be opened; `why` is what is said of it in the log.
    pub fn handle_closed(&mut self, now: Now, flow: FlowId, why: &str) {
        if let Some(section) = Link::section_of(flow) {
            return self.handle_ami_closed(now, section, flow, why);
        }
        self.flows.closed(&mut self.timers, flow, why.to_owned());
        self.settle(now);
    }

    /// Writes to a connection. One that does not take it ends.
    pub(super) fn write_to_flow(&mut self, now: Now, flow: FlowId, bytes: &[u8]) {
        let (flows, mut out) = self.lend_flows(now);
        if flows.write(&mut out, flow, bytes).is_err() {
            flows.close(&mut out, flow, "it reads too slowly".to_owned());
        }
    }

    /// The time of a connection has come.
    pub(super) fn care_for_flow(&mut self, now: Now, flow: FlowId) {
        let (flows, mut out) = self.lend_flows(now);
        match flows.care(&mut out, flow) {
            Care::Nothing => {}
            Care::Close(why) => flows.close(&mut out, flow, why.to_owned()),
            Care::Ping => self.write_to_flow(now, flow, PING),
        }
    }

    /// A peer whose request was proven to be its own says that it may be reached over its connection (`alias` of RFC 5923).
    pub(super) fn note_alias(&mut self, origin: Origin, request: &Message<'_>) {
        let (Some(flow), Ok(via)) = (origin.flow, request.via()) else {
            return;
        };
        if !via
            .params
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("alias"))
        {
            return;
        }
        let address = match via.host {
            Host::V4(address) => address.into(),
            Host::V6(address) => address.into(),
            Host::Name(_) => return,
        };
        let protocol = self.config.transports[usize::from(origin.transport.0)].protocol;
        let port = via.port.unwrap_or(protocol.default_port());
        self.flows.alias(
            flow,
            protocol == Protocol::Tls,
            SocketAddr::new(address, port),
        );
    }

    pub(super) fn lend_flows(&mut self, now: Now) -> (&mut Flows, Outlet<'_>) {
        let out = Outlet {
            now: now.at,
            outbox: &mut self.outbox,
            timers: &mut self.timers,
        };
        (&mut self.flows, out)
    }
}
