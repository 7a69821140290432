//! Whole nodes without a network: what goes in by hand, and what comes out.

#![allow(clippy::unwrap_used, clippy::type_complexity)]

mod ami;
mod bench;
mod canary;
mod cluster;
mod compositor;
mod digest;
mod entities;
mod explain;
mod hub;
mod identity;
mod keep;
mod many;
mod merge;
mod own;
mod places;
mod publisher;
mod relations;
mod reload;
mod strangers;
mod streams;
