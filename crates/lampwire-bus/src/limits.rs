//! Every bound of what is read from the bus, each with its reason.

/// The longest name of a cluster or a site: both stand in each subject, and in the names of buckets.
pub const TOKEN: usize = 32;

/// The longest record, in bytes. A state's is about a hundred, that of a way has the name of a peer in it, and a node's the names of sites.
pub const RECORD: usize = 32 * 1024;

/// The longest key, in bytes: a name of 255 bytes of which each is written as three, and what stands before it.
pub const KEY: usize = 3 * lampwire_sip::limits::MAX_NAME + 64;

/// The longest message that is not kept, in bytes: a beat with the places of all sites.
pub const SAID: usize = 64 * 1024;

/// Sites in one beat. There are as many as places with servers of their own.
pub const SITES: usize = 256;

/// The longest name of a node or peer in a record, in bytes.
pub const LABEL: usize = 255;
