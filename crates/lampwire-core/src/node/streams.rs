//! Connections: what the driver tells of them.

use std::net::SocketAddr;

use super::Node;
use crate::io::{Certificate, FlowCommand, FlowId, TransportId};
use crate::time::Now;

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
        let _ = (now, transport, remote, certificate);
        None
    }

    /// A connection that [`FlowCommand::Connect`] asked for can carry bytes.
    pub fn handle_connected(&mut self, now: Now, flow: FlowId, certificate: Certificate) {
        let _ = (now, flow, certificate);
    }

    /// Bytes have come in over a connection, in any pieces.
    pub fn handle_stream(&mut self, now: Now, flow: FlowId, bytes: &[u8]) {
        let _ = (now, flow, bytes);
    }

    /// The system has taken the bytes of the last [`FlowCommand::Write`].
    pub fn handle_writable(&mut self, now: Now, flow: FlowId) {
        let _ = (now, flow);
    }

    /// A connection has ended, or could not be opened; `why` is what is said of it in the log.
    pub fn handle_closed(&mut self, now: Now, flow: FlowId, why: &str) {
        let _ = (now, flow, why);
    }
}
