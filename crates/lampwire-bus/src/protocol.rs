//! Which versions of the protocol there are.

/// A version of what is said on the bus. Nodes of different versions stand side by side: each says which one it speaks, and all of them only use
/// what every node that is there understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u16);

impl Protocol {
    /// States, ways and beats.
    pub const STATES: Self = Self(1);
    /// A mailbox's record says when messages were last reported in it (`messages`), so that all nodes agree whose value counts whatever the
    /// order in which they heard of it; values that are not to be kept are passed on.
    pub const OWNERS: Self = Self(2);
    /// A beat says what the peers of its node have confirmed (`told`), so that whoever speaks to them after it need not say everything again.
    pub const TOLD: Self = Self(3);

    /// The oldest that is spoken.
    pub const OLDEST: Self = Self::STATES;
    /// The newest that is spoken.
    pub const NEWEST: Self = Self::TOLD;
}
