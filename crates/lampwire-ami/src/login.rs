//! How a secret is proven without being said.

use md5::{Digest, Md5};
use zeroize::Zeroizing;

/// The `Key` of a login that answers a challenge (`Challenge` with `AuthType: MD5`): lower-case hex of MD5 over challenge and secret. The
/// secret itself does not go over the wire.
///
/// ```
/// let key = lampwire_ami::login_key("387705090", "secret");
/// assert_eq!(key.len(), 32);
/// ```
pub fn login_key(challenge: &str, secret: &str) -> Zeroizing<String> {
    let mut hash = Md5::new();
    hash.update(challenge.as_bytes());
    hash.update(secret.as_bytes());
    let mut key = Zeroizing::new(String::with_capacity(32));
    for byte in hash.finalize() {
        for digit in [byte >> 4, byte & 15] {
            key.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    key
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_md5_in_hex() {
        // RFC 1321 A.5
        let key = super::login_key("message ", "digest");
        assert_eq!(*key, "f96b697d7cb7938d525a2f31aaf161d0");
    }
}
