//! The arithmetic of digest authentication: RFC 7616, RFC 8760 (its algorithms in SIP), and RFC 2617 and 2069 for older peers.
//!
//! Only hashing is done here: which nonce is good, which algorithm is taken and who may try is for the caller to say. Nothing is
//! allocated, and what is worth stealing (the digest of a password) is wiped when it is dropped.

use std::fmt;

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// The `algorithm` of a challenge or of credentials. One that is not named is [`Algorithm::Md5`] (RFC 7616 3.3).
///
/// There is no order of strength in it: preference is the administrator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `MD5`
    Md5,
    /// `MD5-sess`
    Md5Sess,
    /// `SHA-256`
    Sha256,
    /// `SHA-256-sess`
    Sha256Sess,
    /// `SHA-512-256`: SHA-512/256 of FIPS 180-4, not the first half of a SHA-512.
    Sha512_256,
    /// `SHA-512-256-sess`
    Sha512_256Sess,
}

impl Algorithm {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::Md5,
        Self::Md5Sess,
        Self::Sha256,
        Self::Sha256Sess,
        Self::Sha512_256,
        Self::Sha512_256Sess,
    ];

    /// Reads a name without case; `None` for one that is not known here.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
    }

    /// The name as it is registered (RFC 7616 6.1), fit for a header without quotes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha512_256Sess => "SHA-512-256-sess",
        }
    }

    /// The algorithm without its `-sess`: the one that the stored digest of a password is of.
    pub const fn base(self) -> Self {
        match self {
            Self::Md5 | Self::Md5Sess => Self::Md5,
            Self::Sha256 | Self::Sha256Sess => Self::Sha256,
            Self::Sha512_256 | Self::Sha512_256Sess => Self::Sha512_256,
        }
    }

    /// Whether nonces are mixed into A1, that is, whether the name ends in `-sess` (RFC 7616 3.4.2).
    pub const fn is_session(self) -> bool {
        matches!(
            self,
            Self::Md5Sess | Self::Sha256Sess | Self::Sha512_256Sess
        )
    }

    /// How many hex digits a digest has: 32 or 64.
    pub const fn digest_len_hex(self) -> usize {
        match self.base() {
            Self::Md5 => 32,
            _ => HexDigest::MAX,
        }
    }
}

/// A digest as the protocol writes it: 32 or 64 lower-case hex digits.
///
/// It may stand for a password ([`ha1`]), so its `Debug` does not show it, it is compared in constant time, and it is wiped on drop.
#[derive(Clone)]
pub struct HexDigest {
    /// Digits, then zeros: two digests are equal when these are.
    digits: [u8; Self::MAX],
    len: usize,
}

impl HexDigest {
    /// Hex digits of the longest: 256 bits.
    const MAX: usize = 64;

    /// Reads 32 or 64 hex digits of either case; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digest = matches!(text.len(), 32 | Self::MAX)
            && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_digest {
            return None;
        }
        let mut digits = [0; Self::MAX];
        for (digit, byte) in digits.iter_mut().zip(text.bytes()) {
            *digit = byte.to_ascii_lowercase();
        }
        Some(Self {
            digits,
            len: text.len(),
        })
    }

    /// The digits, in lower case.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("only hex digits are stored")
    }

    fn as_bytes(&self) -> &[u8] {
        &self.digits[..self.len]
    }

    /// Takes at most 32 bytes: what the hashes here give.
    fn of_bytes(bytes: &[u8]) -> Self {
        let mut digits = [0; Self::MAX];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair[0] = hex_digit(byte >> 4);
            pair[1] = hex_digit(byte & 0x0f);
        }
        Self {
            digits,
            len: (bytes.len() * 2).min(Self::MAX),
        }
    }
}

impl PartialEq for HexDigest {
    /// Takes as long for a wrong digest as for the right one; only the lengths, which name the algorithm, may be told apart.
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for HexDigest {}

impl fmt::Debug for HexDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HexDigest(..)")
    }
}

impl Drop for HexDigest {
    fn drop(&mut self) {
        self.digits.zeroize();
    }
}

/// The quality of protection: what of the request the digest covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Qop {
    /// Method and request-URI.
    Auth,
    /// The body too.
    AuthInt,
}

impl Qop {
    /// Reads a word without case; `None` for one that is not known.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Auth, Self::AuthInt]
            .into_iter()
            .find(|qop| qop.as_str().eq_ignore_ascii_case(word))
    }

    /// `auth` or `auth-int`
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

/// What a response is reckoned over. All strings are as they were before quoting: without quotes and backslashes.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, in its own case.
    pub method: &'a str,
    /// The `uri` of the credentials, which is to be the request-URI.
    pub uri: &'a str,
    /// The challenge's nonce.
    pub nonce: &'a str,
    /// The body, for [`Qop::AuthInt`]; without influence otherwise.
    pub body: &'a [u8],
    /// The protection, the nonce count (sent as eight hex digits) and the client's nonce; `None` as RFC 2069 has it.
    pub qop: Option<(Qop, u32, &'a str)>,
    /// The client's nonce for an algorithm with `-sess`; where it is `None`, the one of `qop`.
    pub cnonce_for_sess: Option<&'a str>,
}

/// The digest of `username:realm:password`, by the algorithm without its `-sess`. It is as good as the password to anyone who asks in
/// the same realm.
///
/// ```
/// use lampwire_sip::{Algorithm, DigestRequest, Qop, ha1, response};
///
/// // RFC 2617 3.5
/// let secret = ha1(Algorithm::Md5, "Mufasa", "testrealm@host.com", "Circle Of Life");
/// let request = DigestRequest {
///     method: "GET",
///     uri: "/dir/index.html",
///     nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
///     body: b"",
///     qop: Some((Qop::Auth, 1, "0a4f113b")),
///     cnonce_for_sess: None,
/// };
/// assert_eq!(response(Algorithm::Md5, &secret, &request).as_str(), "6629fae49393a05397450978507c4ef1");
/// ```
pub fn ha1(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> HexDigest {
    hash(algorithm, &[username, realm, password].map(str::as_bytes))
}

/// The `response` of credentials (RFC 7616 3.4.1). `ha1` is by the same algorithm without its `-sess`, as [`ha1`] gives it.
pub fn response(algorithm: Algorithm, ha1: &HexDigest, request: &Request<'_>) -> HexDigest {
    let nonce = request.nonce.as_bytes();
    let session;
    let a1 = if algorithm.is_session() {
        let cnonce = request.cnonce_for_sess.or(request.qop.map(|qop| qop.2));
        session = hash(
            algorithm,
            &[ha1.as_bytes(), nonce, cnonce.unwrap_or_default().as_bytes()],
        );
        &session
    } else {
        ha1
    };

    let (method, uri) = (request.method.as_bytes(), request.uri.as_bytes());
    let a2 = match request.qop {
        Some((Qop::AuthInt, ..)) => {
            let body = hash(algorithm, &[request.body]);
            hash(algorithm, &[method, uri, body.as_bytes()])
        }
        Some((Qop::Auth, ..)) | None => hash(algorithm, &[method, uri]),
    };

    match request.qop {
        Some((qop, nc, cnonce)) => hash(
            algorithm,
            &[
                a1.as_bytes(),
                nonce,
                &nonce_count(nc),
                cnonce.as_bytes(),
                qop.as_str().as_bytes(),
                a2.as_bytes(),
            ],
        ),
        None => hash(algorithm, &[a1.as_bytes(), nonce, a2.as_bytes()]),
    }
}

/// The hash of the parts with a colon between each two, which is how everything is hashed in digest.
fn hash(algorithm: Algorithm, parts: &[&[u8]]) -> HexDigest {
    match algorithm.base() {
        Algorithm::Sha256 => hash_by::<Sha256>(parts),
        Algorithm::Sha512_256 => hash_by::<Sha512_256>(parts),
        _ => hash_by::<Md5>(parts),
    }
}

fn hash_by<D: Digest>(parts: &[&[u8]]) -> HexDigest {
    let mut state = D::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            state.update(b":");
        }
        state.update(part);
    }
    let mut bytes = state.finalize();
    let digest = HexDigest::of_bytes(&bytes);
    bytes.as_mut_slice().zeroize();
    digest
}

/// The nonce count as it is sent and hashed (`nc-value`): eight hex digits.
fn nonce_count(nc: u32) -> [u8; 8] {
    let mut digits = [0; 8];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(nc.to_be_bytes()) {
        pair[0] = hex_digit(byte >> 4);
        pair[1] = hex_digit(byte & 0x0f);
    }
    digits
}

fn hex_digit(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble & 0x0f)]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn get<'a>(uri: &'a str, nonce: &'a str, cnonce: &'a str) -> Request<'a> {
        Request {
            method: "GET",
            uri,
            nonce,
            body: b"",
            qop: Some((Qop::Auth, 1, cnonce)),
            cnonce_for_sess: None,
        }
    }

    #[test]
    fn the_example_of_rfc_2617_3_5() {
        let ha1 = ha1(
            Algorithm::Md5,
            "Mufasa",
            "testrealm@host.com",
            "Circle Of Life",
        );
        assert_eq!(ha1.as_str(), "939e7578ed9e3c518a452acee763bce9");
        let request = get(
            "/dir/index.html",
            "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            "0a4f113b",
        );
        let answer = response(Algorithm::Md5, &ha1, &request);
        assert_eq!(answer.as_str(), "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn the_examples_of_rfc_7616_3_9_1() {
        let request = get(
            "/dir/index.html",
            "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        );
        for (algorithm, expected) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (
                Algorithm::Sha256,
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let ha1 = ha1(
                algorithm,
                "Mufasa",
                "http-auth@example.org",
                "Circle of Life",
            );
            assert_eq!(response(algorithm, &ha1, &request).as_str(), expected);
        }
    }

    /// The values printed in the RFC are of no SHA-512/256 (erratum 4897). These are the erratum's, and Python's hashlib gives the same.
    #[test]
    fn the_example_of_rfc_7616_3_9_2_as_corrected() {
        let user = "J\u{e4}s\u{f8}n Doe";
        let algorithm = Algorithm::Sha512_256;
        assert_eq!(
            hash(algorithm, &[user.as_bytes(), b"api@example.org"]).as_str(),
            "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
        );
        let ha1 = ha1(algorithm, user, "api@example.org", "Secret, or not?");
        let request = get(
            "/doe.json",
            "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
        );
        assert_eq!(
            response(algorithm, &ha1, &request).as_str(),
            "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
        );
    }

    const HA1: [(Algorithm, &str); 3] = [
        (Algorithm::Md5, "7383a89a731cf0fbc69e7a1e7ee17d0d"),
        (
            Algorithm::Sha256,
            "6e3cde6d0a20892b9ed13f5e8cf5948653ff52adacb2ef614d8d45003b5e6cf2",
        ),
        (
            Algorithm::Sha512_256,
            "d73c2ec46acf622aaa007bbc6296980d54a0db7c77dcfb253a50a61f75542f2a",
        ),
    ];

    /// For every algorithm: without qop, with `auth` and nc 0000002a, with `auth-int` and nc ffffffff.
    const RESPONSES: [(Algorithm, [&str; 3]); 6] = [
        (
            Algorithm::Md5,
            [
                "df9edc19732887def0b8f3b73ef59629",
                "380fa6846cf21b8dc4292d152826de9b",
                "747e3e49155fa6bbde440945e1eac8e0",
            ],
        ),
        (
            Algorithm::Md5Sess,
            [
                "bad5fed3ae36fbd48137daf0527a965e",
                "f3f6d1ea06e6a1cbff2ecbf0427e0900",
                "01d98ce1cd0d4dc2a2f64fc11700d936",
            ],
        ),
        (
            Algorithm::Sha256,
            [
                "19c8119ee9a26005fec460f2547121e7d98537e26e4eb91b02367a8fbd638d4f",
                "da35d98b4792dd3a5b7e8fc13f5d6c05510b1bcdc7375c3f51bbc48c89627eeb",
                "907b3f75d78c444f7520dc625694313a731c471068efb1a4a858018610d3e497",
            ],
        ),
        (
            Algorithm::Sha256Sess,
            [
                "523a4e65cc46e9cd7fe6d84d6bfa57ccea3dc578f9b869c396b36af48dc0f936",
                "4184eacbd10b170f947cffb311b67dd538415349465faa40ba3c567c536eda3a",
                "577d836f6268b0a09543ffaae94cd24836d8a5c19d6915d8043c8714973cc11a",
            ],
        ),
        (
            Algorithm::Sha512_256,
            [
                "f79244baf8871c34583de2f851ee55fbd056b97c99777f953a80a77c3ca57bfa",
                "72f2e12efe23ceda9853bfac2990079ea5ead6891c47c741082669c9d74ee19d",
                "b61399b379a13a41267fbc61d8b8ec476c1b06f7d74017d09c42e222599bed04",
            ],
        ),
        (
            Algorithm::Sha512_256Sess,
            [
                "6e685d4229fcaeccf13000c4ad146be8a23990a70e20d7ece5684dcc3747e2b3",
                "193c60bb9d0d26815c0b05743e630594726f4969ecdc35f54a48908cc45ac085",
                "7bbf457002107d24eab75b89b9ac73e900743bd7f037924306b5a5928ec384ec",
            ],
        ),
    ];

    /// Vectors made with Python's hashlib, for what the RFCs have no example of.
    #[test]
    fn every_algorithm_with_every_protection() {
        for (algorithm, expected) in HA1 {
            let secret = ha1(algorithm, "alice", "asterisk", "s3cr:et");
            assert_eq!(secret.as_str(), expected, "{algorithm:?}");
        }
        for (algorithm, expected) in RESPONSES {
            let secret = ha1(algorithm, "alice", "asterisk", "s3cr:et");
            let protections = [
                None,
                Some((Qop::Auth, 0x2a)),
                Some((Qop::AuthInt, u32::MAX)),
            ];
            for (protection, expected) in protections.into_iter().zip(expected) {
                let request = Request {
                    method: "PUBLISH",
                    uri: "sip:instance1@127.0.1.2",
                    nonce: "1763888400/abcdef",
                    body: br#"{"type":"refresh","eid":"02:00:00:00:00:02"}"#,
                    qop: protection.map(|(qop, nc)| (qop, nc, "0a4f113b")),
                    cnonce_for_sess: Some("0a4f113b"),
                };
                let answer = response(algorithm, &secret, &request);
                assert_eq!(answer.as_str(), expected, "{algorithm:?} {protection:?}");
            }
        }
    }

    #[test]
    fn a_session_takes_the_client_nonce_from_where_it_stands() {
        let secret = ha1(Algorithm::Sha256, "a", "b", "c");
        let answer = |cnonce_for_sess, qop| {
            let request = Request {
                method: "PUBLISH",
                uri: "sip:a@b",
                nonce: "n",
                body: b"",
                qop,
                cnonce_for_sess,
            };
            response(Algorithm::Sha256Sess, &secret, &request)
        };
        let qop = Some((Qop::Auth, 1, "x"));
        assert_eq!(answer(None, qop), answer(Some("x"), qop));
        assert_ne!(answer(None, qop), answer(Some("y"), qop));
        assert_eq!(answer(None, None), answer(Some(""), None));
    }

    #[test]
    fn names_are_read_without_case_and_written_as_registered() {
        for algorithm in Algorithm::ALL {
            let name = algorithm.as_str();
            assert_eq!(Algorithm::parse(name), Some(algorithm));
            assert_eq!(Algorithm::parse(&name.to_lowercase()), Some(algorithm));
            assert_eq!(algorithm.base().as_str(), name.trim_end_matches("-sess"));
            assert_eq!(algorithm.is_session(), name.ends_with("-sess"));
            let digest = ha1(algorithm, "a", "b", "c");
            assert_eq!(digest.as_str().len(), algorithm.digest_len_hex());
        }
        for name in [
            "",
            "MD5 ",
            "MD-5",
            "SHA-1",
            "SHA-512",
            "SHA256",
            "MD5-SESSION",
        ] {
            assert_eq!(Algorithm::parse(name), None, "{name:?}");
        }
        for (word, qop) in [
            ("auth", Some(Qop::Auth)),
            ("Auth-INT", Some(Qop::AuthInt)),
            ("", None),
            ("auth,auth-int", None),
        ] {
            assert_eq!(Qop::parse(word), qop, "{word:?}");
        }
    }

    #[test]
    fn digests_are_32_or_64_hex_digits() {
        let text = "0123456789ABCDEFabcdef0123456789".repeat(2);
        for len in 0..=text.len() {
            let digest = HexDigest::parse(&text[..len]);
            assert_eq!(digest.is_some(), len == 32 || len == 64, "{len}");
            if let Some(digest) = digest {
                assert_eq!(digest.as_str(), text[..len].to_lowercase());
            }
        }
        for text in ["g", " ", "+", "\0"].map(|odd| odd.repeat(32)) {
            assert_eq!(HexDigest::parse(&text), None);
        }
        assert_eq!(HexDigest::parse(&"\u{e4}".repeat(16)), None);
        assert_eq!(HexDigest::parse(&"0".repeat(96)), None);
    }

    #[test]
    fn digests_are_equal_when_all_digits_are() {
        let text = "00112233445566778899aabbccddeeff";
        let digest = HexDigest::parse(text).unwrap();
        assert_eq!(digest, digest.clone());
        assert_eq!(Some(digest.clone()), HexDigest::parse(&text.to_uppercase()));
        for index in 0..text.len() {
            let mut other = text.to_owned().into_bytes();
            other[index] = if other[index] == b'7' { b'8' } else { b'7' };
            let other = HexDigest::parse(std::str::from_utf8(&other).unwrap()).unwrap();
            assert_ne!(digest, other, "{index}");
        }
        // Not even where what is missing is made up of zeros.
        assert_ne!(Some(digest), HexDigest::parse(&format!("{text}{text}")));
    }

    #[test]
    fn a_digest_does_not_show_itself() {
        let digest = ha1(Algorithm::Md5, "alice", "asterisk", "secret");
        assert_eq!(format!("{digest:?}"), "HexDigest(..)");
    }

    proptest! {
        #[test]
        fn the_nonce_count_is_eight_digits(nc in any::<u32>()) {
            prop_assert_eq!(nonce_count(nc).to_vec(), format!("{nc:08x}").into_bytes());
        }

        #[test]
        fn parts_are_hashed_as_one_text_with_colons(parts in prop::collection::vec(".{0,80}", 1..6)) {
            let whole = parts.join(":");
            let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
            for algorithm in Algorithm::ALL {
                prop_assert_eq!(hash(algorithm, &parts), hash(algorithm, &[whole.as_bytes()]));
            }
        }

        #[test]
        fn any_text_is_a_digest_or_none(text in "[0-9a-fA-Fg ä]{0,70}") {
            if let Some(digest) = HexDigest::parse(&text) {
                prop_assert_eq!(digest.as_str(), text.to_ascii_lowercase());
            }
        }
    }
}
