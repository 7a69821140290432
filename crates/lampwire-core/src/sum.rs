//! How the states that several nodes report for one device combine into the one that a lamp shows.

use lampwire_sip::DeviceState;

/// The state of a device as Asterisk reckons it from the states of all its entities; their order does not matter.
///
/// It starts from INVALID and the heaviest state wins. RINGING beside one that is in use, busy or on hold is RINGINUSE. Two of Asterisk's
/// habits follow from the weights: ONHOLD beside INUSE is INUSE, and UNKNOWN beside INVALID is UNKNOWN.
pub fn sum(states: impl IntoIterator<Item = DeviceState>) -> DeviceState {
    let mut heaviest = DeviceState::Invalid;
    let (mut ringing, mut occupied) = (false, false);
    for state in states {
        ringing |= state == DeviceState::Ringing;
        occupied |= matches!(
            state,
            DeviceState::InUse | DeviceState::OnHold | DeviceState::Busy
        );
        if weight(state) > weight(heaviest) {
            heaviest = state;
        }
    }
    if ringing && occupied {
        DeviceState::RingInUse
    } else {
        heaviest
    }
}

const fn weight(state: DeviceState) -> u8 {
    match state {
        DeviceState::Invalid => 0,
        DeviceState::Unknown => 1,
        DeviceState::Unavailable => 2,
        DeviceState::NotInUse => 3,
        DeviceState::OnHold => 4,
        DeviceState::Ringing => 5,
        DeviceState::InUse => 6,
        DeviceState::Busy => 7,
        DeviceState::RingInUse => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Measured on real Asterisks: rows and columns in this order; UNKNOWN with INVALID by the weights.
    const ORDER: [&str; 9] = [
        "NOT_INUSE",
        "INUSE",
        "BUSY",
        "INVALID",
        "UNAVAILABLE",
        "RINGING",
        "RINGINUSE",
        "ONHOLD",
        "UNKNOWN",
    ];
    const PAIRS: [&str; 9] = [
        "NOT_INUSE INUSE BUSY NOT_INUSE NOT_INUSE RINGING RINGINUSE ONHOLD NOT_INUSE",
        "INUSE INUSE BUSY INUSE INUSE RINGINUSE RINGINUSE INUSE INUSE",
        "BUSY BUSY BUSY BUSY BUSY RINGINUSE RINGINUSE BUSY BUSY",
        "NOT_INUSE INUSE BUSY INVALID UNAVAILABLE RINGING RINGINUSE ONHOLD UNKNOWN",
        "NOT_INUSE INUSE BUSY UNAVAILABLE UNAVAILABLE RINGING RINGINUSE ONHOLD UNAVAILABLE",
        "RINGING RINGINUSE RINGINUSE RINGING RINGING RINGING RINGINUSE RINGINUSE RINGING",
        "RINGINUSE RINGINUSE RINGINUSE RINGINUSE RINGINUSE RINGINUSE RINGINUSE RINGINUSE RINGINUSE",
        "ONHOLD INUSE BUSY ONHOLD ONHOLD RINGINUSE RINGINUSE ONHOLD ONHOLD",
        "NOT_INUSE INUSE BUSY UNKNOWN UNAVAILABLE RINGING RINGINUSE ONHOLD UNKNOWN",
    ];

    fn state(word: &str) -> DeviceState {
        DeviceState::parse(word).unwrap()
    }

    #[test]
    fn every_pair_is_as_measured() {
        for (row, expected) in ORDER.iter().zip(PAIRS) {
            for (column, expected) in ORDER.iter().zip(expected.split(' ')) {
                assert_eq!(
                    sum([state(row), state(column)]),
                    state(expected),
                    "{row} + {column}"
                );
            }
        }
    }

    #[test]
    fn nothing_is_invalid_and_one_is_itself() {
        assert_eq!(sum([]), DeviceState::Invalid);
        for state in DeviceState::ALL {
            assert_eq!(sum([state]), state);
        }
    }

    proptest! {
        #[test]
        fn order_and_repetition_do_not_matter(indexes in prop::collection::vec(0usize..9, 0..8), turn in 0usize..8) {
            let states: Vec<_> = indexes.iter().map(|&index| DeviceState::ALL[index]).collect();
            let mut turned = states.clone();
            turned.rotate_left(turn % states.len().max(1));
            turned.extend_from_slice(&states);
            prop_assert_eq!(sum(turned), sum(states));
        }
    }
}
