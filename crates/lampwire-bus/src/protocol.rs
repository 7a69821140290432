//! Which versions of the protocol there are.

/// A version of what is said on the bus. Nodes of different versions stand side by side: each says which one it speaks, and all of them only use
/// what every node that is there understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u16);

impl Protocol {
    /// States, ways and beats.
    pub const STATES: Self = Self(1);
    /// A mailbox's record says when messages were last reported in it (`messages`), so that all nodes agree whose value counts whatever the
    /// order in which they heard of it.
    pub const OWNERS: Self = Self(2);
    /// Values that are not to be kept are passed on.
    pub const PASSING: Self = Self(3);

    /// The oldest that is spoken.
    pub const OLDEST: Self = Self::STATES;
    /// The newest that is spoken.
    pub const NEWEST: Self = Self::PASSING;
}
