//! What `check` says beyond what stops a node from starting: habits of one file that go wrong on the wire ([`one`]), and what
//! several instances would not tell each other ([`several`]).

mod advice;
mod cluster;
mod graph;
mod instance;
mod link;
mod manager;
mod places;
mod web;

pub use graph::{dot, svg};
pub use instance::{Address, Instance, Kind, Paths};
pub use link::Verdict;
pub use web::{Link, MAX_INSTANCES, Web, several};

use crate::config::Config;
use crate::diagnostic::Diagnostic;
use crate::source::Source;

/// Reads the file and all it includes as [`load`](crate::load) does, for a Lampwire, and adds what would work and probably not as it was
/// meant.
///
/// ```
/// use lampwire_conf::{MapSource, check};
///
/// let text = "[a]\ntype=outbound-publish\nserver_uri=sip:b@192.0.2.1\nevent=asterisk-mwi\nexpiration=5\n";
/// let (_, found) = check::one("pjsip.conf", &mut MapSource::new([("pjsip.conf", text)]));
/// assert_eq!(found[0].code, "short-expiration");
/// assert!(found[0].effect().unwrap().contains("423"));
/// ```
pub fn one(path: &str, source: &mut dyn Source) -> (Config, Vec<Diagnostic>) {
    crate::load::load_and(path, source, |config, findings| {
        advice::relations(config, Kind::Lampwire, findings);
    })
}

/// The same for whoever the file is of.
fn one_of_its_kind(path: &str, source: &mut dyn Source) -> (Config, Vec<Diagnostic>) {
    crate::load::load_and(path, source, |config, findings| {
        advice::relations(config, Kind::of(config), findings);
    })
}
