//! What is measured, one subject a file.

mod change;
mod cluster;
mod cost;
mod dump;
mod rate;
mod small;
mod states;

use crate::report::Report;
use crate::{Lab, Scale};

/// A part of the run.
type Measure = fn(&Lab, &Scale, &mut Report);

/// Every part, by name, in the order of the document.
pub(crate) const ALL: [(&str, Measure); 10] = [
    ("cost", cost::cost),
    ("growth", states::growth),
    ("memory", states::memory),
    ("rate", rate::rate),
    ("change", change::change),
    ("dump", dump::dump),
    ("hub", small::hub),
    ("start", small::start),
    ("size", small::size),
    ("cluster", cluster::cluster),
];

/// Sections by which a node takes everything that comes from one address, as `who`; an Asterisk and Lampwire read the same.
fn taking(who: &str, address: &str) -> String {
    format!(
        "[{who}]\ntype=endpoint\nidentify_by=ip\n[{who}]\ntype=identify\nendpoint={who}\nmatch={address}\n\
         [{who}]\ntype=inbound-publication\nendpoint={who}\nevent_asterisk-devicestate={who}\nevent_asterisk-mwi={who}\n\
         [{who}]\ntype=asterisk-publication\ndevice_state=yes\nmailbox_state=yes\n"
    )
}

/// Sections by which a node tells `other`, which is reached at `to` and sends from `address`, everything of its devices, and takes the same from it.
/// `name`: what this node is called there.
fn relation(name: &str, other: &str, address: &str, to: &str, more: &str) -> String {
    format!(
        "[{other}]\ntype=endpoint\nidentify_by=ip\n[{other}]\ntype=identify\nendpoint={other}\nmatch={address}\n\
         [{other}-devices]\ntype=outbound-publish\nserver_uri=sip:{name}@{to}\nevent=asterisk-devicestate\n{more}\
         [{other}]\ntype=inbound-publication\nendpoint={other}\nevent_asterisk-devicestate={other}\n\
         [{other}]\ntype=asterisk-publication\ndevicestate_publish={other}-devices\ndevice_state=yes\n"
    )
}
