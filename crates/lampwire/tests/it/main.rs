//! The program from outside: its command line, its HTTP interface, and whole nodes that exchange states on loopback.

#![allow(clippy::unwrap_used)]

mod api;
mod certificates;
mod commands;
mod demo;
mod door;
mod events;
mod exchange;
mod explain;
mod harness;
mod metrics;
mod pair;
mod refusals;
mod streams;
mod transports;
mod zone;
