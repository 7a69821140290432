//! `lampwire refresh`: asks peers for everything.

use super::node::NodeArguments;
use super::output;
use crate::http::types;

/// Ask peers to send all their states again
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only the peer that this outbound-publish tells
    publisher: Option<String>,
    #[command(flatten)]
    node: NodeArguments,
}

impl Arguments {
    /// Prints how many publishers carry the request.
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        let request = types::Refresh {
            publisher: self.publisher.clone(),
        };
        let refreshed: types::Refreshed = self.node.client()?.post("refresh", &request)?;
        if self.node.json {
            return output::print_json(&refreshed);
        }
        let mut out = output::stdout();
        std::io::Write::write_fmt(
            &mut out,
            format_args!("asked over {} publishers\n", refreshed.asked),
        )?;
        std::io::Write::flush(&mut out)?;
        Ok(())
    }
}
