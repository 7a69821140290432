//! SIP as the exchange of device and mailbox states uses it: bytes to types, and types to bytes.
//!
//! A [`Message`] is an index over the bytes of one message, read without allocation; headers are typed when they are asked for. A
//! [`Writer`] writes one into a caller's buffer, a [`Splitter`] cuts messages out of a stream, [`StateChange`] is the JSON body of a
//! PUBLISH, and [`ha1`] and [`response`] are the arithmetic of digest.
//!
//! It is liberal in what it takes, as Asterisk is (compact forms, any case, folded lines), strict where two readers could take one
//! message for two, and never panics. It knows no time, no sockets and no state: what a message means to whom is `lampwire-core`'s.
//!
//! ```
//! use lampwire_sip::{EventPackage, Message, Method, StartLine, StateChange};
//!
//! let datagram = b"PUBLISH sip:instance1@127.0.1.2 SIP/2.0\r\n\
//!     v: SIP/2.0/UDP 127.0.1.1:5060;rport;branch=z9hG4bK1\r\n\
//!     f: <sip:instance1@127.0.1.2>;tag=1\r\nt: <sip:instance1@127.0.1.2>\r\ni: 1c2ac662\r\nCSeq: 7 PUBLISH\r\n\
//!     Event: asterisk-mwi\r\nContent-Type: application/json\r\nContent-Length:    90\r\n\r\n\
//!     {\"type\":\"mailboxstate\",\"uniqueid\":\"100@default\",\"old\":2,\"new\":3,\"eid\":\"02:00:00:00:00:01\"}";
//! let message = Message::parse(datagram).unwrap();
//! assert_eq!(message.defect(), None);
//! assert!(matches!(message.start(), StartLine::Request { method: Method::Publish, .. }));
//! let event = message.event().unwrap().unwrap();
//! let change = StateChange::parse(EventPackage::parse(event.package).unwrap(), message.body()).unwrap();
//! assert!(matches!(change, StateChange::Mailbox { new: 3, old: 2, .. }));
//! ```

mod body;
mod defect;
mod digest;
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod header_name;
pub mod limits;
mod message;
mod params;
mod states;
mod stream;
mod text;
mod uri;
mod write;

pub use self::body::{
    BodyError, DeviceState, EntityId, EventPackage, Extras, StateChange, Version, valid_name,
};
pub use self::defect::{Defect, ParseError};
pub use self::digest::{Algorithm, HexDigest, Qop, Request as DigestRequest, ha1, response};
pub use self::header::{
    CSeq, Challenge, Credentials, Event, MediaType, NameAddr, Qops, Transport, Via,
};
pub use self::header_name::{HeaderName, Method};
pub use self::message::{Message, StartLine};
pub use self::params::Params;
pub use self::states::{STATES_MEDIA_TYPE, States, Told, parse_states};
pub use self::stream::{Frame, Splitter, StreamError};
pub use self::uri::{Host, Scheme, Uri, UriError};
pub use self::write::{Names, Writer, reason_phrase};
