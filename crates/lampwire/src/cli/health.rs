//! `lampwire health`: whether a node is ready, for containers and scripts.

use std::io::Write;

use super::node::NodeArguments;
use super::output;
use crate::http::types::Readiness;

/// Tell whether a node is ready: exit status 0 if it is
///
/// It is ready when its configuration is in force and its sockets are bound. Peers that are away make no difference. No token is needed.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
}

impl Arguments {
    /// Asks and prints one line.
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        let ready: Readiness = self.node.client()?.readiness()?;
        if self.node.json {
            return output::print_json(&ready);
        }
        let peers = ready.peers;
        let mut out = output::stdout();
        writeln!(
            out,
            "{}: {} peers up, {} down, {} unknown",
            ready.status, peers.up, peers.down, peers.unknown
        )?;
        out.flush()?;
        Ok(())
    }
}
