//! `lampwire status`: how a node stands, on one screen.

use std::io::Write;

use super::node::NodeArguments;
use super::output;
use super::show::ago;
use crate::http::types::Status;

/// Show how a node stands
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
}

impl Arguments {
    /// Asks and prints.
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        let status: Status = self.node.client()?.get("status", &[])?;
        if self.node.json {
            return output::print_json(&status);
        }
        let mut out = output::stdout();
        let peers = status.peers;
        writeln!(
            out,
            "node          {}, lampwire {}",
            status.entity_id, status.version
        )?;
        writeln!(out, "began         {}", ago(&status.started_at))?;
        writeln!(out, "states        {}", status.states)?;
        writeln!(
            out,
            "peers         {} up, {} down, {} unknown; {} states behind",
            peers.up, peers.down, peers.unknown, status.behind
        )?;
        writeln!(out, "publications  {}", status.publications)?;
        writeln!(out, "followers     {}", status.followers)?;
        let store = &status.store;
        match &store.saved_at {
            Some(saved_at) => writeln!(
                out,
                "store         {}, {} bytes, written {}",
                store.condition,
                store.bytes,
                ago(saved_at)
            )?,
            None => writeln!(out, "store         {}", store.condition)?,
        }
        if let Some(share) = &status.cluster {
            writeln!(
                out,
                "cluster       {}, node {} of site {}: {}, NATS {}; {} nodes up, {} down; {} states wait",
                share.cluster,
                share.node,
                share.site,
                share.stage,
                share.bus,
                share.nodes_up,
                share.nodes_down,
                share.waiting
            )?;
        }
        for note in &status.notes {
            writeln!(out, "note          {}", output::plain(note))?;
        }
        out.flush()?;
        Ok(())
    }
}
