//! The configuration of a Lampwire node, in the grammar of Asterisk's `pjsip.conf`: text -> ([`Config`], diagnostics).
//!
//! The sections of a working `pjsip.conf` load without a change. Everything that is wrong is told at once, each finding with file,
//! line, column and the nearest known name. Beside it stand what the configuration means at run time: [`Filter`] (POSIX
//! extended regular expressions) and [`Identifier`] (whose request is it).
//!
//! This crate opens no file, asks no clock and no network: text comes from a [`Source`], host names are told to the
//! [`Identifier`]. It never panics on any input, and every input is bounded ([`limits`]).
//!
//! ```
//! use lampwire_conf::{MapSource, load};
//!
//! let text = "
//! [instance2]
//! type=endpoint
//!
//! [instance2-devicestate]
//! type=outbound-publish
//! server_uri=sip:instance1@172.16.10.2
//! event=asterisk-devicestat
//! ";
//! let (_, diagnostics) = load("pjsip.conf", &mut MapSource::new([("pjsip.conf", text)]));
//! assert_eq!(
//!     diagnostics[0].to_string(),
//!     "pjsip.conf:8:7: error: unknown event `asterisk-devicestat` (did you mean `asterisk-devicestate`?)"
//! );
//! ```

pub mod check;
mod config;
mod diagnostic;
mod difference;
mod filter;
pub mod findings;
#[doc(hidden)]
pub mod fuzzing;
mod grammar;
mod identify;
pub mod limits;
mod load;
mod nearest;
pub mod options;
mod secret;
mod section;
mod source;
mod value;

pub use config::Config;
pub use diagnostic::{Diagnostic, Location, Severity};
pub use difference::{Difference, NeedsRestart, SectionChange, What};
pub use filter::{Filter, FilterError};
pub use identify::{HeaderValues, Identifier, RequestFacts};
pub use load::load;
pub use secret::Secret;
pub use section::acl::Acl;
pub use section::ami::Ami;
pub use section::api_client::ApiClient;
pub use section::asterisk_publication::AsteriskPublication;
pub use section::auth::{Auth, AuthSecret, AuthType, QualityOfProtection};
pub use section::cluster::{Cluster, Login};
pub use section::endpoint::{CertificateName, EidPattern, EidPatternError, Endpoint};
pub use section::global::{Global, IdentifyBy};
pub use section::identify::{HeaderMatch, Identify, Match, UriMatch, ValueMatch};
pub use section::inbound_publication::InboundPublication;
pub use section::lampwire::{Lampwire, RetractAs};
pub use section::outbound_publish::{MailboxOwner, OutboundPublish};
pub use section::rewrite::{Renaming, Rewrite};
pub use section::system::System;
pub use section::transport::{Protocol, TcpKeepalive, Tls, TlsMethod, Transport};
pub use source::{MapSource, Source};
pub use value::{Network, NetworkError, Rule};
