//! A fleet of Lampwire nodes on a simulated network: one seed decides everything, and the same seed always does the same.
//!
//! The nodes are the real ones of `lampwire-core`; only the network, the clock and the people who set states are simulated. While faults
//! are on, every change that a node sees is checked; once they are off, every node must come to hold what the [`model`] says, and then
//! fall quiet.
//!
//! It never opens a socket and never waits: a simulated minute takes milliseconds.
//!
//! ```
//! let outcome = lampwire_sim::scenario::run(7).expect("seed 7 converges");
//! assert!(outcome.changes > 0);
//! ```

pub mod asterisk;
pub mod bus;
pub mod capacity;
pub mod clusters;
pub mod exchange;
pub mod fleet;
pub mod hostile;
pub mod hubs;
pub mod member;
pub mod model;
pub mod network;
pub mod plan;
pub mod random;
pub mod referee;
pub mod scenario;
pub mod streams;
