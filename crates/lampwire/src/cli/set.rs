//! `lampwire set`: this node's own states.

use super::client::encoded;
use super::node::NodeArguments;
use crate::http::types::{SetDevice, SetMailbox};

/// Set the state of a device or the counts of a mailbox, under the node's own entity id
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Set the state of a device
    Device {
        /// The device, as PJSIP/1001 or Custom:lamp1
        name: String,
        /// UNKNOWN, NOT_INUSE, INUSE, BUSY, INVALID, UNAVAILABLE, RINGING, RINGINUSE or ONHOLD
        state: String,
        /// Tell it once and keep it nowhere
        #[arg(long)]
        not_cachable: bool,
        #[command(flatten)]
        node: NodeArguments,
    },
    /// Set the counts of a mailbox
    Mailbox {
        /// The mailbox, as 100@default
        id: String,
        /// New messages
        #[arg(long, value_name = "N")]
        new: u16,
        /// Old messages
        #[arg(long, value_name = "M", default_value_t = 0)]
        old: u16,
        #[command(flatten)]
        node: NodeArguments,
    },
}

impl Arguments {
    /// Silence means that it is done.
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        match &self.what {
            What::Device {
                name,
                state,
                not_cachable,
                node,
            } => node.client()?.put(
                &format!("devices/{}", encoded(name)),
                &SetDevice {
                    state: state.clone(),
                    cachable: !not_cachable,
                    ttl: None,
                },
            ),
            What::Mailbox { id, new, old, node } => node.client()?.put(
                &format!("mailboxes/{}", encoded(id)),
                &SetMailbox {
                    new: *new,
                    old: *old,
                    ttl: None,
                },
            ),
        }
    }
}
