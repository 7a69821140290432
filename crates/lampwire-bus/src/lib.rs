//! What the nodes of a cluster tell each other over NATS: bytes to types and back.
//!
//! Each site has one key-value bucket. In it each node writes keys of its own, its column, and nobody else writes those: a state for each
//! device and mailbox that it tells the cluster of ([`Record::State`]), a way for each entity id that it hears or can tell ([`Record::Way`]).
//! Beside the bucket there are messages that nobody keeps: beats, by which a node shows that it is there, and values that are not to be kept
//! ([`Said`]).
//!
//! Everything is JSON. Members that a reader does not know are passed over, and a record that cannot be understood without one says which
//! protocol its reader must speak (`needs`), so nodes of several versions stand side by side ([`Protocol`]).
//!
//! It knows no time, no socket and no NATS, and it decides nothing: what a version is worth is for lampwire-core to say.
//!
//! ```
//! use lampwire_bus::{Key, Scope, Subject};
//!
//! let node = "02:00:00:00:00:01".parse().unwrap();
//! let eid = "02:00:00:00:00:05".parse().unwrap();
//! let subject = Subject::Device { eid, name: "PJSIP/100".into() };
//! let key = Key { scope: Scope::Wide, node, subject };
//! assert_eq!(key.to_string(), "w.020000000001.d.020000000005.PJSIP/100");
//! assert_eq!(Key::parse(&key.to_string()), Some(key));
//! ```

mod beat;
#[doc(hidden)]
pub mod fuzzing;
mod key;
pub mod limits;
mod protocol;
mod record;
mod topic;

pub use self::beat::{Beat, HubBeat, Passing, Said, Written};
pub use self::key::{Key, Scope, Subject};
pub use self::protocol::Protocol;
pub use self::record::{About, From, Record, RecordError, State, Value, Way};
pub use self::topic::{Topic, What, is_token};
