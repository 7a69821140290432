//! Two nodes that tell each other everything.

use std::net::Ipv4Addr;

use super::harness::Node;

/// What tells the node at `other` everything, and takes everything from it. `name`: what this node is called there.
pub(crate) fn relation(name: &str, other_name: &str, other: Ipv4Addr) -> String {
    format!(
        "[{other_name}]\ntype=endpoint\n\
         [{other_name}-devicestate]\ntype=outbound-publish\nserver_uri=sip:{name}@{other}\nevent=asterisk-devicestate\n\
         [{other_name}-mwi]\ntype=outbound-publish\nserver_uri=sip:{name}@{other}\nevent=asterisk-mwi\n\
         [{other_name}]\ntype=inbound-publication\nevent_asterisk-devicestate={other_name}\nevent_asterisk-mwi={other_name}\n\
         [{other_name}]\ntype=asterisk-publication\ndevicestate_publish={other_name}-devicestate\n\
         mailboxstate_publish={other_name}-mwi\ndevice_state=yes\nmailbox_state=yes\n"
    )
}

pub(crate) const ONE: &str = "02:00:00:00:00:01";
pub(crate) const TWO: &str = "02:00:00:00:00:02";

pub(crate) fn start_one(at: Ipv4Addr, other: Ipv4Addr) -> Node {
    Node::start(
        at,
        &format!("entity_id={ONE}"),
        &relation("instance1", "instance2", other),
    )
}

pub(crate) fn start_two(at: Ipv4Addr, other: Ipv4Addr) -> Node {
    Node::start(
        at,
        &format!("entity_id={TWO}"),
        &relation("instance2", "instance1", other),
    )
}
