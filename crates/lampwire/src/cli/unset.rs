//! `lampwire unset`: takes this node's own states back.

use lampwire_sip::EntityId;

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
        /// Take back what a program (type=api-client) has set under this entity id
        #[arg(long, value_name = "EID")]
        eid: Option<EntityId>,
        #[command(flatten)]
        node: NodeArguments,
    },
    /// Take back the counts of a mailbox
    Mailbox {
        /// The mailbox
        id: String,
        /// Take back what a program (type=api-client) has set under this entity id
        #[arg(long, value_name = "EID")]
        eid: Option<EntityId>,
        #[command(flatten)]
        node: NodeArguments,
    },
}

impl Arguments {
    /// Silence means that it is done.
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        match &self.what {
            What::Device { name, eid, node } => {
                node.client()?
                    .delete(&format!("devices/{}{}", encoded(name), under(*eid)))
            }
            What::Mailbox { id, eid, node } => {
                node.client()?
                    .delete(&format!("mailboxes/{}{}", encoded(id), under(*eid)))
            }
        }
    }
}

fn under(eid: Option<EntityId>) -> String {
    eid.map_or_else(String::new, |eid| format!("?eid={eid}"))
}
