//! The program from outside: its command line, its HTTP interface, and whole nodes that exchange states on loopback.

#![allow(clippy::unwrap_used)]

mod api;
mod bench;
mod book;
mod certificates;
mod clients;
mod commands;
mod cut;
mod demo;
mod door;
mod events;
mod exchange;
mod explain;
mod harness;
mod hep;
mod manager;
mod metrics;
mod notes;
mod openapi;
mod openmetrics;
mod packaging;
mod pair;
mod plan;
mod predicted;
mod refusals;
mod reload;
mod restart;
mod scan;
mod sip;
mod streams;
mod supervisor;
mod takeover;
mod target;
mod torture;
mod transports;
mod wire_table;
mod zone;
