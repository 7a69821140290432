//! Whatever comes over a connection, the decoder neither panics nor hangs nor keeps more than its bounds allow.

use lampwire_ami::{Decoder, Incoming};

/// Pieces that matter to the decoder, to be strewn among noise.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b"Response: Follows\r\n",
    b"--END COMMAND--",
    b"Event: DeviceStateChange\r\n",
    b"ActionID: 1\r\n",
    b"Output: ",
    b":",
    b"\xff\xfe",
    b"\0",
];

/// SplitMix64, so that a run can be had again by its seed.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn noise_is_survived() {
    for seed in 0..2000u64 {
        let mut random = seed;
        let mut decoder = Decoder::default();
        if seed % 8 != 0 {
            decoder.push(b"Asterisk Call Manager/9.0.0\r\n");
        }
        let mut messages = 0;
        for _ in 0..200 {
            let mut bytes = Vec::new();
            for _ in 0..next(&mut random) % 8 {
                let choice = usize::from(next(&mut random).to_le_bytes()[0]);
                match PIECES.get(choice % (PIECES.len() + 3)) {
                    Some(piece) => bytes.extend_from_slice(piece),
                    None => bytes.extend_from_slice(&next(&mut random).to_le_bytes()),
                }
            }
            decoder.push(&bytes);
            // A message has one line at least, so this ends.
            while let Ok(Some(incoming)) = decoder.take() {
                messages += usize::from(matches!(incoming, Incoming::Message(_)));
            }
        }
        assert!(messages <= 200 * 8, "seed {seed}");
    }
}
