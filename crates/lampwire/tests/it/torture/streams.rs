//! What only a stream can do: come in pieces, come all at once, and not end.

use super::super::sip::Draft;
use super::{CLOSED, Case, DROPPED, Verdict, attack, harmless, options, stream};

pub(super) fn cases() -> Vec<Case> {
    let bytes = |bytes: Vec<u8>| bytes.chunks(1).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let one = |bytes: &[u8]| vec![bytes.to_vec()];
    let whole = attack().bytes();
    let split = |at: usize| vec![whole[..at].to_vec()];
    let head =
        |line: &str| format!("PUBLISH sip:instance1@127.0.0.1 SIP/2.0\r\n{line}").into_bytes();
    let announced = |length: &str| vec![attack().set("Content-Length", length).bytes()];
    // Nothing may be filled in twice within one piece: each gets its own branch that way.
    let pipelined = |count: usize| {
        vec![
            options()
                .without("Via")
                .set("Via", "SIP/2.0/TCP 127.0.0.1")
                .bytes()
                .repeat(count),
        ]
    };
    vec![
        stream(
            "one-byte-at-a-time",
            "a message is whole when it is whole",
            bytes(
                harmless()
                    .set("Call-ID", "slow")
                    .set("From", "<sip:a@b>;tag=1")
                    .set("Via", "SIP/2.0/TCP 127.0.0.1")
                    .bytes(),
            ),
            200,
        ),
        stream(
            "refused-one-byte-at-a-time",
            "a message is whole when it is whole",
            bytes(
                attack()
                    .set("Call-ID", "slow")
                    .set("From", "nobody at all")
                    .set("Via", "SIP/2.0/TCP 127.0.0.1")
                    .bytes(),
            ),
            400,
        ),
        stream(
            "cut-in-the-middle-of-a-break",
            "a message is whole when it is whole",
            {
                let text = harmless().bytes();
                let at = text.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
                vec![
                    text[..at + 1].to_vec(),
                    text[at + 1..at + 3].to_vec(),
                    text[at + 3..].to_vec(),
                ]
            },
            200,
        ),
        stream(
            "fifty-requests-at-once",
            "each is answered",
            pipelined(50),
            Verdict::Answered(vec![200; 50]),
        ),
        stream(
            "request-and-garbage",
            "what was right is answered first",
            one(&[options().bytes(), b"\0\0\0\0".to_vec()].concat()),
            Verdict::Closed(vec![200]),
        ),
        stream(
            "request-and-no-length",
            "what was right is answered first",
            one(&[
                options().bytes(),
                attack().without("Content-Length").bytes(),
            ]
            .concat()),
            Verdict::Closed(vec![200]),
        ),
        stream(
            "garbage-and-request",
            "what follows garbage is not looked for",
            one(&[b"\0\0\0\0".to_vec(), attack().bytes()].concat()),
            CLOSED,
        ),
        stream(
            "no-length-and-request",
            "the second could be the first one's body",
            one(&[attack().without("Content-Length").bytes(), attack().bytes()].concat()),
            CLOSED,
        ),
        stream(
            "start-line-and-nothing",
            "the first step of a slow loris",
            split(20),
            Verdict::Waits,
        ),
        stream(
            "headers-and-nothing",
            "the second step of a slow loris",
            split(200),
            Verdict::Waits,
        ),
        stream(
            "body-and-nothing",
            "the last step of a slow loris",
            split(whole.len() - 1),
            Verdict::Waits,
        ),
        stream(
            "one-letter",
            "a slow loris that has hardly begun",
            one(b"P"),
            Verdict::Waits,
        ),
        stream(
            "breaks-by-the-thousand",
            "keep-alives, each answered by a line break",
            one(&b"\r\n\r\n".repeat(10_000)),
            DROPPED,
        ),
        stream(
            "breaks-one-at-a-time",
            "halves of keep-alives",
            vec![b"\r\n".to_vec(); 100],
            DROPPED,
        ),
        stream(
            "feeds-by-the-thousand",
            "no line breaks",
            one(&b"\n".repeat(10_000)),
            CLOSED,
        ),
        stream(
            "return-before-a-request",
            "half a line break",
            one(&[b"\r".to_vec(), attack().bytes()].concat()),
            CLOSED,
        ),
        stream(
            "break-before-a-request",
            "a line break is passed over",
            one(&[b"\r\n".to_vec(), harmless().bytes()].concat()),
            200,
        ),
        stream(
            "letters-without-end",
            "no line of that length is waited for",
            one(&b"A".repeat(80_000)),
            CLOSED,
        ),
        stream(
            "headers-without-end-on-a-stream",
            "no headers of that length are waited for",
            one(&[head(""), b"X: y\r\n".repeat(12_000)].concat()),
            CLOSED,
        ),
        stream(
            "header-without-end",
            "no header of that length is waited for",
            one(&[head("X: "), b"y".repeat(80_000)].concat()),
            CLOSED,
        ),
        stream(
            "body-of-a-gigabyte",
            "is not waited for",
            announced("1000000000"),
            Verdict::Closed(vec![413]),
        ),
        stream(
            "body-of-a-megabyte",
            "is not waited for",
            announced("1000000"),
            Verdict::Closed(vec![413]),
        ),
        stream(
            "body-of-65536",
            "as long as a body may be, and no JSON",
            one(&attack().body(" ".repeat(65_536)).bytes()),
            400,
        ),
        stream(
            "body-of-65537",
            "longer than a body may be",
            announced("65537"),
            Verdict::Closed(vec![413]),
        ),
        stream(
            "responses-by-the-thousand",
            "answers to nothing that was asked",
            one(&options().start("SIP/2.0 200 OK").bytes().repeat(300)),
            DROPPED,
        ),
        stream(
            "acks-by-the-hundred",
            "are never answered",
            one(&Draft::new("ACK", "sip:instance1@127.0.0.1")
                .bytes()
                .repeat(200)),
            DROPPED,
        ),
        stream(
            "banner-of-another-protocol",
            "no line that ends the headers",
            one(b"SSH-2.0-OpenSSH_9.2\r\n"),
            Verdict::Waits,
        ),
        stream(
            "proxy-line-before-a-request",
            "whose address that is, nobody said that we should believe",
            one(&[
                b"PROXY TCP4 192.0.2.1 192.0.2.2 5060 5060\r\n".to_vec(),
                attack().bytes(),
            ]
            .concat()),
            DROPPED,
        ),
        stream(
            "proxy-bytes-before-a-request",
            "whose address that is, nobody said that we should believe",
            one(&[
                b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c".to_vec(),
                attack().bytes(),
            ]
            .concat()),
            CLOSED,
        ),
        stream(
            "websocket",
            "another protocol",
            one(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: sip\r\n\r\n"),
            CLOSED,
        ),
        stream(
            "length-hidden-behind-a-blank",
            "the body is not the next request",
            one(&options()
                .without("Content-Length")
                .also(format!("Content-Length : {}", whole.len()))
                .also("l: 0")
                .trailing(&whole)
                .bytes()),
            CLOSED,
        ),
    ]
}
