//! How often each nonce has been used: a count (`nc`) is good once (RFC 7616 3.4).
//!
//! A nonce is known by its seal and not remembered when it is given, so that nobody can fill a table by asking for challenges. Only those
//! that came back with right credentials stand here.

use std::collections::BTreeMap;

use crate::limits;
use crate::time::Time;
use crate::transaction::server::TransactionKey;

/// Which nonce: when it was given, and its seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NonceId {
    pub(super) given: Time,
    pub(super) seal: [u8; 16],
}

/// The nonces in use.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    /// In the order in which they were given.
    used: BTreeMap<NonceId, Counts>,
    /// Nonces given until then and not in the table are taken for used up: the table was full.
    forgotten_until: Option<Time>,
}

/// The counts of one nonce that have been used: all up to the newest but for the few open ones below it.
#[derive(Clone, Copy, Debug)]
struct Counts {
    newest: u32,
    /// Bit n: `newest - n` has been used.
    used: u128,
    /// The request that used the newest.
    last: Option<TransactionKey>,
}

impl Nonces {
    /// Uses a count of a nonce; false: it has been used before, by another request. Counts may come out of order within a window, since a
    /// peer's lanes share a nonce and datagrams overtake each other.
    pub(super) fn take(
        &mut self,
        nonce: NonceId,
        count: u32,
        by: Option<TransactionKey>,
        oldest_good: Time,
    ) -> bool {
        while let Some(entry) = self.used.first_entry()
            && entry.key().given < oldest_good
        {
            entry.remove();
        }
        let Some(counts) = self.used.get_mut(&nonce) else {
            if self
                .forgotten_until
                .is_some_and(|until| nonce.given <= until)
            {
                return false;
            }
            if self.used.len() >= limits::NONCES
                && let Some((oldest, _)) = self.used.pop_first()
            {
                self.forgotten_until = Some(oldest.given);
            }
            let first = Counts {
                newest: count,
                used: 1,
                last: by,
            };
            self.used.insert(nonce, first);
            return true;
        };
        if count > counts.newest {
            counts.used = counts.used.checked_shl(count - counts.newest).unwrap_or(0) | 1;
            counts.newest = count;
            counts.last = by;
            return true;
        }
        // A copy of the newest request: it was refused and the answer was lost, so it is judged anew.
        if count == counts.newest && by.is_some() && by == counts.last {
            return true;
        }
        let bit = 1u128.checked_shl(counts.newest - count).unwrap_or(0);
        let open = bit != 0 && counts.used & bit == 0;
        counts.used |= bit;
        open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(given: u64) -> NonceId {
        NonceId {
            given: Time::from_micros(given),
            seal: [3; 16],
        }
    }

    fn take(nonces: &mut Nonces, given: u64, count: u32) -> bool {
        nonces.take(nonce(given), count, None, Time::default())
    }

    #[test]
    fn each_count_is_good_once_in_any_order_within_the_window() {
        let mut nonces = Nonces::default();
        for count in [1, 5, 3, 4, 200, 100, 73] {
            assert!(take(&mut nonces, 1, count), "{count}");
            assert!(!take(&mut nonces, 1, count), "{count} again");
        }
        assert!(!take(&mut nonces, 1, 72), "behind the window");
        assert!(!take(&mut nonces, 1, 2), "far behind the window");
        assert!(take(&mut nonces, 1, u32::MAX));
        assert!(!take(&mut nonces, 1, 0));
        assert!(take(&mut nonces, 2, 1), "another nonce");
    }

    #[test]
    fn a_copy_of_the_newest_request_is_none_too_many() {
        let mut nonces = Nonces::default();
        let [one, two] = [1, 2].map(|key| Some(TransactionKey::from_number(key)));
        let mut take = |count, by| nonces.take(nonce(1), count, by, Time::default());
        assert!(take(1, one));
        assert!(take(1, one));
        assert!(!take(1, two));
        assert!(take(2, two));
        assert!(!take(1, one));
    }

    #[test]
    fn a_full_table_forgets_the_oldest_and_takes_it_for_used_up() {
        let mut nonces = Nonces::default();
        let last = limits::NONCES as u64 + 10;
        for given in 1..=last {
            assert!(take(&mut nonces, given, 1));
        }
        assert_eq!(nonces.used.len(), limits::NONCES);
        for given in [1, 10, 11, last] {
            assert!(!take(&mut nonces, given, 1), "{given}");
        }
        assert!(!take(&mut nonces, 1, 2), "forgotten");
        assert!(take(&mut nonces, 11, 2), "remembered");
    }

    #[test]
    fn what_is_too_old_anyway_is_dropped() {
        let mut nonces = Nonces::default();
        assert!(take(&mut nonces, 1, 1));
        assert!(nonces.take(nonce(9), 1, None, Time::from_micros(5)));
        assert_eq!(nonces.used.len(), 1);
    }
}
