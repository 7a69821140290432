//! Randomness as a value: one seed, one sequence.

use sha2::{Digest, Sha256};

/// A generator whose whole sequence follows from its seed: blocks of SHA-256 over the seed and a counter. Good enough for tags, branches
/// and keys, and the same on every machine.
pub(crate) struct Random {
    seed: [u8; 32],
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl Random {
    /// A generator for `seed`; `purpose` keeps the sequences of different uses of one seed apart.
    pub(crate) fn new(seed: &[u8; 32], purpose: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed);
        hash.update(purpose.as_bytes());
        Self {
            seed: hash.finalize().into(),
            counter: 0,
            block: [0; 32],
            used: 32,
        }
    }

    /// The next 64 bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// The next 32 bits.
    pub(crate) fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// A number from 0 to `bound` - 1; 0 where `bound` is 0. The bias is below 2^-32 for the small bounds asked here.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// Fills `bytes` with the sequence's next.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == self.block.len() {
                let mut hash = Sha256::new();
                hash.update(self.seed);
                hash.update(self.counter.to_le_bytes());
                self.block = hash.finalize().into();
                self.counter += 1;
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_one_sequence_and_purposes_apart() {
        let draw = |purpose| {
            let mut random = Random::new(&[7; 32], purpose);
            (0..9).map(|_| random.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw("a"), draw("a"));
        assert_ne!(draw("a"), draw("b"));
    }

    #[test]
    fn below_stays_below() {
        let mut random = Random::new(&[1; 32], "below");
        for bound in [1, 2, 3, 10, 1000] {
            for _ in 0..200 {
                assert!(random.below(bound) < bound);
            }
        }
        assert_eq!(random.below(0), 0);
    }
}
