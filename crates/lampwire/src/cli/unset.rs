//! `lampwire unset`: takes this node's own states back.

use super::client::encoded;
use super::node::NodeArguments;

/// Take back what `set` has set: peers get INVALID for a device, 0/0 for a mailbox
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Take back the state of a device
    Device {
        /// The device
        name: String,
        #[command(flatten)]
        node: NodeArguments,
    },
    /// Take back the counts of a mailbox
    Mailbox {
        /// The mailbox
        id: String,
        #[command(flatten)]
        node: NodeArguments,
    },
}

impl Arguments {
    /// Silence means that it is done.
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        match &self.what {
            What::Device { name, node } => {
                node.client()?.delete(&format!("devices/{}", encoded(name)))
            }
            What::Mailbox { id, node } => {
                node.client()?.delete(&format!("mailboxes/{}", encoded(id)))
            }
        }
    }
}
