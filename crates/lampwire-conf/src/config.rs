//! The whole configuration.

use crate::section::acl::Acl;
use crate::section::ami::Ami;
use crate::section::api_client::ApiClient;
use crate::section::asterisk_publication::AsteriskPublication;
use crate::section::auth::Auth;
use crate::section::cluster::Cluster;
use crate::section::endpoint::Endpoint;
use crate::section::global::Global;
use crate::section::identify::Identify;
use crate::section::inbound_publication::InboundPublication;
use crate::section::lampwire::Lampwire;
use crate::section::outbound_publish::OutboundPublish;
use crate::section::rewrite::Rewrite;
use crate::section::system::System;
use crate::section::transport::Transport;

/// What a node runs by. Usable only if [`load`](crate::load) gave no diagnostic of [`Severity::Error`](crate::Severity::Error):
/// then every name in it that refers to a section is that of one.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What concerns this node itself.
    pub lampwire: Lampwire,
    /// What holds for all endpoints.
    pub global: Global,
    /// Timers and habits of the SIP stack.
    pub system: System,
    /// Never empty after [`load`](crate::load): the default where the file has none.
    pub transports: Vec<Transport>,
    /// In the order of the file, as are all that follow.
    pub endpoints: Vec<Endpoint>,
    /// Credentials.
    pub auths: Vec<Auth>,
    /// Whose request is it.
    pub identifies: Vec<Identify>,
    /// Rules for sources; all of them hold for every request.
    pub acls: Vec<Acl>,
    /// Where our states go.
    pub outbound_publishes: Vec<OutboundPublish>,
    /// What peers publish to.
    pub inbound_publications: Vec<InboundPublication>,
    /// The peers.
    pub asterisk_publications: Vec<AsteriskPublication>,
    /// What peers call otherwise.
    pub rewrites: Vec<Rewrite>,
    /// Asterisks that are reached by their manager interface.
    pub amis: Vec<Ami>,
    /// Who may set states over HTTP.
    pub api_clients: Vec<ApiClient>,
    /// What is shared with other nodes over NATS; None: nothing.
    pub cluster: Option<Cluster>,
}
