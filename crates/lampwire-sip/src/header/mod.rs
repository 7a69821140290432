//! Typed headers, one family a file.

mod address;
mod cseq;
mod digest;
mod event;
mod media_type;
mod via;

pub use self::address::NameAddr;
pub use self::cseq::CSeq;
pub use self::digest::{Challenge, Credentials, Qops};
pub use self::event::Event;
pub use self::media_type::MediaType;
pub use self::via::{Transport, Via};
