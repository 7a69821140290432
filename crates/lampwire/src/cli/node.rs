//! The options of all commands that talk to a running node.

use std::io;
use std::path::PathBuf;

use super::client::Client;
use crate::telemetry::colour_wanted;

/// Which node, and how its answers are shown.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Node")]
pub(crate) struct NodeArguments {
    /// The node's HTTP address
    #[arg(
        long,
        value_name = "URL",
        env = "LAMPWIRE_NODE",
        default_value = "http://127.0.0.1:7060",
        hide_env_values = true
    )]
    node: String,

    /// Its http_token, or @FILE that holds it. Other users can see arguments: LAMPWIRE_TOKEN hides it
    #[arg(
        long,
        value_name = "TOKEN",
        env = "LAMPWIRE_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,

    /// For https: a PEM file with the certificates to trust [default: those of the system]
    #[arg(
        long,
        value_name = "FILE",
        env = "LAMPWIRE_CACERT",
        hide_env_values = true
    )]
    cacert: Option<PathBuf>,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

impl NodeArguments {
    /// A client of that node. Nothing is sent yet.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::new(&self.node, self.token.as_deref(), self.cacert.as_deref())
    }

    /// Whether tables may have colours.
    pub(crate) fn colour(&self) -> bool {
        !self.json && colour_wanted(&io::stdout())
    }
}
