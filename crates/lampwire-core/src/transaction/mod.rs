//! Non-INVITE transactions of RFC 3261: ours in [`client`], those of others in [`server`].

pub(crate) mod client;
pub(crate) mod server;
