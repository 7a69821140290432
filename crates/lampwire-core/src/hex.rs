//! Hexadecimal digits, as tags are written: in lower case, so that each has one spelling.

/// `N` digits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hex<const N: usize>([u8; N]);

impl<const N: usize> Hex<N> {
    /// Those of the first `N / 2` bytes; zeros where there are fewer.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut digits = [b'0'; N];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self(digits)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits are ASCII")
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The bytes that `2 * N` digits stand for; `None` where they are no digits, not as many, or in upper case.
pub(crate) fn bytes_of<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    let mut wrong = 0;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
        wrong |= high | low;
        *byte = high << 4 | low & 15;
    }
    (wrong < 16).then_some(bytes)
}

/// What each digit stands for; what is none has a higher bit.
const VALUES: [u8; 256] = {
    let mut values = [0xf0; 256];
    let mut value = 0;
    while value < 16 {
        values[DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let hex = Hex::<8>::of(&[0x00, 0x9a, 0xbf, 0xff]);
        assert_eq!(hex.as_str(), "009abfff");
        assert_eq!(bytes_of(b"009abfff"), Some([0x00, 0x9a, 0xbf, 0xff]));
        for wrong in [
            "009abff",
            "009abfff0",
            "009abfFf",
            "009abf:f",
            "009abf\u{e9}",
        ] {
            assert_eq!(bytes_of::<4>(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
