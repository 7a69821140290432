//! A fleet of Lampwire nodes on a simulated network with one seed.
