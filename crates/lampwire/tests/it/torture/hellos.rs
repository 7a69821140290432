//! What comes to the port of TLS and is no TLS, or only half of it.

use super::{CLOSED, Case, Verdict, attack, hello};

pub(super) fn cases() -> Vec<Case> {
    // A record of TLS: its type, and what it says that its length is.
    let record = |kind: u8, length: u16, content: &[u8]| {
        let [high, low] = length.to_be_bytes();
        [&[kind, 3, 1, high, low], content].concat()
    };
    vec![
        hello("tls-plain-sip", "no TLS", attack(), CLOSED),
        hello(
            "tls-http",
            "no TLS",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            CLOSED,
        ),
        hello(
            "tls-garbage",
            "no TLS",
            b"\xde\xad\xbe\xef".repeat(64),
            CLOSED,
        ),
        hello("tls-nuls", "no TLS", vec![0; 1000], CLOSED),
        hello(
            "tls-ssl-2",
            "a version that is broken",
            b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80".to_vec(),
            CLOSED,
        ),
        hello(
            "tls-hello-of-no-sense",
            "a hello in which nothing is right",
            record(22, 8, b"\x01\x00\x00\x04\xff\xff\xff\xff"),
            CLOSED,
        ),
        hello(
            "tls-hello-of-16-megabytes",
            "longer than a hello may be",
            record(22, 4, b"\x01\xff\xff\xff"),
            CLOSED,
        ),
        hello(
            "tls-record-of-65535",
            "longer than a record may be",
            record(22, 65_535, b"\x01"),
            CLOSED,
        ),
        hello(
            "tls-records-of-nothing",
            "empty records without end",
            record(22, 0, b"").repeat(1000),
            CLOSED,
        ),
        hello(
            "tls-heartbeat",
            "asks for more than it brings",
            record(24, 3, b"\x01\x40\x00"),
            CLOSED,
        ),
        hello(
            "tls-alert-first",
            "ends what has not begun",
            record(21, 2, b"\x02\x28"),
            CLOSED,
        ),
        hello(
            "tls-data-first",
            "data before the handshake",
            record(23, 5, b"hello"),
            CLOSED,
        ),
        hello("tls-nothing-said", "half open", "", Verdict::Waits),
        hello(
            "tls-half-a-record",
            "half open",
            record(22, 512, b"\x01\x00\x01\xfc\x03\x03"),
            Verdict::Waits,
        ),
        hello(
            "tls-one-byte",
            "half open",
            b"\x16".to_vec(),
            Verdict::Waits,
        ),
    ]
}
