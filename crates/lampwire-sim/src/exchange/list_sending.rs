//! What a stock Asterisk sends, and what it makes of answers.

use lampwire_sip::EventPackage;

use super::Step::{
    Answer, AnswerTwice, Device, ExpectCopy, ExpectDump, ExpectPublish, SetDevice, SetMailbox,
    Silence,
};
use super::{
    BOTH, Exchange, Follows, GRANTED, Link, MAILBOXES, Step, Told, device, initial, mailbox,
    mailbox_body, told, told_on,
};

const TELLS: Link = Link::TELLS;
const ANSWERS: Link = Link {
    answers: true,
    ..TELLS
};
const ASKS: Link = Link {
    asks_refresh: true,
    ..TELLS
};
const KEEP_ALIVE: Link = Link {
    expiration: 2,
    ..TELLS
};

/// The subject's own device in a state.
macro_rules! own {
    ($state:literal) => {
        device!("1", $state, "{own}")
    };
    ($number:literal, $state:literal) => {
        device!($number, $state, "{own}")
    };
}

const MD5: &str = "WWW-Authenticate: Digest realm=\"there\",nonce=\"n1\",opaque=\"o\",algorithm=MD5,qop=\"auth\"\n";
const REFRESH: &str = r#"{"type":"refresh","eid":"{own}"}"#;

/// A state is told and answered with this, and the next is told in the way given.
macro_rules! dropped {
    ($status:literal, $headers:expr) => {
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            Answer($status, $headers),
            Silence(300),
            SetDevice("1", "BUSY"),
            told(own!("BUSY")),
            GIVE_A,
        ]
    };
}

const GIVE_A: Step = Answer(200, "SIP-ETag: a\nExpires: 3600\n");
const GIVE_B: Step = Answer(200, "SIP-ETag: b\nExpires: 3600\n");
const GIVE_C: Step = Answer(200, "SIP-ETag: c\nExpires: 3600\n");

/// All of them.
pub(super) static EXCHANGES: &[Exchange] = &[
    Exchange::new(
        "tells",
        "a first change is told in an initial PUBLISH, what follows in modifies with the tag given",
        TELLS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            GIVE_A,
            SetDevice("1", "NOT_INUSE"),
            told_on("a", own!("NOT_INUSE")),
            GIVE_B,
            SetDevice("2", "RINGING"),
            told_on("b", own!("2", "RINGING")),
            GIVE_C,
        ],
    ),
    Exchange::new(
        "tells_tag_opaque",
        "any token is given back as tag",
        TELLS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            Answer(200, "SIP-ETag: v1.%aZ~!*_+`'-0\nExpires: 3600\n"),
            SetDevice("1", "BUSY"),
            told_on("v1.%aZ~!*_+`'-0", own!("BUSY")),
            GIVE_A,
        ],
    ),
    Exchange::new(
        "tells_without_tag",
        "a 200 without a tag: the next request begins a publication, under the same Call-ID",
        TELLS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            GIVE_A,
            SetDevice("1", "BUSY"),
            told_on("a", own!("BUSY")),
            Answer(200, "Expires: 3600\n"),
            SetDevice("1", "RINGING"),
            ExpectPublish(Told {
                body: own!("RINGING"),
                follows: Follows::On,
                ..Told::INITIAL
            }),
            GIVE_B,
        ],
    ),
    Exchange::new(
        "tells_one_by_one",
        "one request on its way, and the order is kept",
        TELLS,
        &[
            SetDevice("1", "INUSE"),
            SetDevice("1", "BUSY"),
            SetDevice("2", "RINGING"),
            told(own!("INUSE")),
            Silence(200),
            GIVE_A,
            told_on("a", own!("BUSY")),
            Silence(200),
            GIVE_B,
            told_on("b", own!("2", "RINGING")),
            GIVE_C,
        ],
    ),
    Exchange::new(
        "tells_mailbox",
        "a mailbox is told in a publication of its own",
        Link {
            publishes: BOTH,
            ..TELLS
        },
        &[
            SetMailbox(3, 2),
            ExpectPublish(Told {
                event: EventPackage::Mwi,
                body: mailbox_body!("3", "2", "{own}"),
                ..Told::INITIAL
            }),
            GIVE_A,
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            GIVE_B,
        ],
    ),
    Exchange::new(
        "told_filtered",
        "what @device_state_filter does not match is not told",
        TELLS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            GIVE_A,
            Silence(500),
        ],
    ),
    Exchange::new(
        "answer_412",
        "412: the same message again, in a new publication",
        TELLS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            GIVE_A,
            SetDevice("1", "BUSY"),
            SetDevice("1", "RINGING"),
            told_on("a", own!("BUSY")),
            Answer(412, ""),
            ExpectPublish(Told {
                body: own!("BUSY"),
                follows: Follows::Anew,
                ..Told::INITIAL
            }),
            GIVE_B,
            told_on("b", own!("RINGING")),
            GIVE_C,
        ],
    ),
    Exchange::new(
        "answer_412_to_initial",
        "412 to an initial one: again and again, without a pause",
        TELLS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            Answer(412, ""),
            told(own!("INUSE")),
            Answer(412, ""),
            told(own!("INUSE")),
            Answer(412, ""),
            told(own!("INUSE")),
            GIVE_A,
            SetDevice("1", "BUSY"),
            told_on("a", own!("BUSY")),
            GIVE_B,
        ],
    ),
    Exchange::new(
        "answer_423",
        "423: the same message again with Min-Expires, which stays",
        TELLS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            Answer(423, "Min-Expires: 4000\n"),
            ExpectPublish(Told {
                body: own!("INUSE"),
                expires: "4000",
                follows: Follows::On,
                ..Told::INITIAL
            }),
            GIVE_A,
            SetDevice("1", "BUSY"),
            ExpectPublish(Told {
                tag: Some("a"),
                body: own!("BUSY"),
                expires: "4000",
                follows: Follows::On,
                ..Told::INITIAL
            }),
            GIVE_B,
        ],
    ),
    Exchange::new(
        "answer_423_bare",
        "423 without Min-Expires: it never sends again",
        TELLS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            Answer(423, ""),
            SetDevice("1", "BUSY"),
            Silence(1000),
        ],
    ),
    Exchange::new(
        "answer_400",
        "400: the message is lost",
        TELLS,
        dropped!(400, ""),
    ),
    Exchange::new(
        "answer_403",
        "403: the message is lost",
        TELLS,
        dropped!(403, ""),
    ),
    Exchange::new(
        "answer_404",
        "404: the message is lost",
        TELLS,
        dropped!(404, ""),
    ),
    Exchange::new(
        "answer_415",
        "415: the message is lost",
        TELLS,
        dropped!(415, "Accept: application/json\n"),
    ),
    Exchange::new(
        "answer_489",
        "489: the message is lost",
        TELLS,
        dropped!(489, ""),
    ),
    Exchange::new(
        "answer_500",
        "500: the message is lost",
        TELLS,
        dropped!(500, ""),
    ),
    Exchange::new(
        "answer_503",
        "503 with Retry-After: the message is lost, and nothing waits",
        TELLS,
        dropped!(503, "Retry-After: 30\n"),
    ),
    Exchange::new(
        "answer_302",
        "302 is not followed: the message is lost",
        TELLS,
        dropped!(302, "Contact: <sip:elsewhere@{we}>\n"),
    ),
    Exchange::new(
        "answer_603",
        "603: the message is lost",
        TELLS,
        dropped!(603, ""),
    ),
    Exchange::new(
        "answer_500_to_modify",
        "500 to a modify: the next message goes on with the old tag",
        TELLS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            GIVE_A,
            SetDevice("1", "BUSY"),
            told_on("a", own!("BUSY")),
            Answer(500, ""),
            SetDevice("1", "RINGING"),
            told_on("a", own!("RINGING")),
            GIVE_B,
        ],
    ),
    Exchange::new(
        "answer_503_queue",
        "of messages that wait, a 503 costs one",
        TELLS,
        &[
            SetDevice("1", "INUSE"),
            SetDevice("2", "BUSY"),
            SetDevice("3", "RINGING"),
            told(own!("INUSE")),
            Answer(503, ""),
            told(own!("2", "BUSY")),
            GIVE_A,
            told_on("a", own!("3", "RINGING")),
            GIVE_B,
        ],
    ),
    Exchange::new(
        "answer_401",
        "401 without outbound_auth: it never sends again",
        TELLS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            Answer(401, MD5),
            Silence(1000),
            SetDevice("1", "BUSY"),
            Silence(1000),
        ],
    ),
    Exchange::new(
        "answer_401_sha256",
        "401 with an algorithm that it does not have: it never sends again",
        ANSWERS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            Answer(
                401,
                "WWW-Authenticate: Digest realm=\"there\",nonce=\"n1\",algorithm=SHA-256,qop=\"auth\"\n",
            ),
            SetDevice("1", "BUSY"),
            Silence(1000),
        ],
    ),
    Exchange::new(
        "digest",
        "a challenge is answered, and the next request comes without credentials again",
        ANSWERS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            Answer(401, MD5),
            ExpectPublish(Told {
                body: own!("INUSE"),
                follows: Follows::On,
                credentials: true,
                ..Told::INITIAL
            }),
            GIVE_A,
            SetDevice("1", "BUSY"),
            told_on("a", own!("BUSY")),
            Answer(401, MD5),
            ExpectPublish(Told {
                tag: Some("a"),
                body: own!("BUSY"),
                follows: Follows::On,
                credentials: true,
                ..Told::INITIAL
            }),
            GIVE_B,
        ],
    ),
    Exchange::new(
        "digest_proxy",
        "so is one of a proxy (407)",
        ANSWERS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            Answer(
                407,
                "Proxy-Authenticate: Digest realm=\"there\",nonce=\"n1\",algorithm=MD5,qop=\"auth\"\n",
            ),
            ExpectPublish(Told {
                body: own!("INUSE"),
                follows: Follows::On,
                credentials: true,
                ..Told::INITIAL
            }),
            GIVE_A,
        ],
    ),
    Exchange::new(
        "digest_of_two",
        "of SHA-256 and MD5 offered together one is answered",
        ANSWERS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            Answer(
                401,
                "WWW-Authenticate: Digest realm=\"there\",nonce=\"n1\",algorithm=SHA-256,qop=\"auth\"\n\
                 WWW-Authenticate: Digest realm=\"there\",nonce=\"n1\",algorithm=MD5,qop=\"auth\"\n",
            ),
            ExpectPublish(Told {
                body: own!("INUSE"),
                follows: Follows::On,
                credentials: true,
                ..Told::INITIAL
            }),
            GIVE_A,
        ],
    ),
    Exchange::new(
        "digest_refused",
        "a challenge with the nonce that was just answered ends it: it never sends again",
        ANSWERS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            Answer(401, MD5),
            ANSWERED,
            Answer(401, MD5),
            Silence(500),
            SetDevice("1", "BUSY"),
            Silence(1000),
        ],
    ),
    Exchange::new(
        "no_answer",
        "without an answer it sends copies after 0.5, 1 and 2 s more",
        TELLS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            ExpectCopy,
            ExpectCopy,
            ExpectCopy,
            GIVE_A,
            SetDevice("1", "BUSY"),
            told_on("a", own!("BUSY")),
            GIVE_B,
        ],
    ),
    Exchange::new(
        "no_answer_for_long",
        "after 32 s without an answer the message is lost, and the next is told with the old tag",
        TELLS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            GIVE_A,
            SetDevice("1", "BUSY"),
            told_on("a", own!("BUSY")),
            SetDevice("1", "RINGING"),
            Silence(31_000),
            told_on("a", own!("RINGING")),
            GIVE_B,
        ],
    ),
    Exchange::new(
        "answered_twice",
        "a second copy of an answer does not matter",
        TELLS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            AnswerTwice("a"),
            SetDevice("1", "BUSY"),
            told_on("a", own!("BUSY")),
            GIVE_B,
        ],
    ),
    Exchange::new(
        "answered_202",
        "any 2xx will do",
        TELLS,
        &[
            SetDevice("1", "INUSE"),
            told(own!("INUSE")),
            Answer(202, "SIP-ETag: a\nExpires: 3600\n"),
            SetDevice("1", "BUSY"),
            told_on("a", own!("BUSY")),
            GIVE_B,
        ],
    ),
    Exchange::new(
        "starts",
        "at its start it asks for a refresh over the publish that its asterisk-publication names",
        ASKS,
        &[told(REFRESH), GIVE_A, Silence(300)],
    ),
    Exchange::new(
        "starts_with_mailboxes",
        "for each event of its own",
        Link {
            publishes: MAILBOXES,
            ..ASKS
        },
        &[
            ExpectPublish(Told {
                event: EventPackage::Mwi,
                body: REFRESH,
                ..Told::INITIAL
            }),
            GIVE_A,
        ],
    ),
    Exchange::new(
        "dump",
        "when it is asked for a refresh, it tells all device states of its own, and none of others",
        ASKS,
        &[
            told(REFRESH),
            GIVE_A,
            SetDevice("1", "INUSE"),
            told_on("a", own!("INUSE")),
            GIVE_B,
            SetDevice("2", "BUSY"),
            told_on("b", own!("2", "BUSY")),
            GIVE_C,
            initial(device!("3", "RINGING")),
            GRANTED,
            Device("3", Some("RINGING")),
            initial(r#"{"type":"refresh","eid":"02:00:00:00:0e:01"}"#),
            GRANTED,
            ExpectDump(&[own!("INUSE"), own!("2", "BUSY")]),
            Silence(300),
        ],
    ),
    Exchange::new(
        "dump_of_mailboxes",
        "so it does with mailboxes; one that another has written to since is left out",
        Link {
            publishes: MAILBOXES,
            ..ASKS
        },
        &[
            ExpectPublish(Told {
                event: EventPackage::Mwi,
                body: REFRESH,
                ..Told::INITIAL
            }),
            GIVE_A,
            SetMailbox(3, 2),
            ExpectPublish(Told {
                event: EventPackage::Mwi,
                tag: Some("a"),
                body: mailbox_body!("3", "2", "{own}"),
                ..Told::INITIAL
            }),
            GIVE_B,
            mailbox(r#"{"type":"refresh","eid":"02:00:00:00:0e:01"}"#),
            GRANTED,
            ExpectDump(&[mailbox_body!("3", "2", "{own}")]),
            mailbox(mailbox_body!("1", "1")),
            GRANTED,
            Step::Mailbox(Some((1, 1))),
            mailbox(r#"{"type":"refresh","eid":"02:00:00:00:0e:01"}"#),
            GRANTED,
            Silence(500),
        ],
    ),
    Exchange::new(
        "keep_alive",
        "a publication is kept alive by an empty PUBLISH when it expires, not before",
        KEEP_ALIVE,
        &[
            SetDevice("1", "INUSE"),
            ExpectPublish(Told {
                expires: "2",
                body: own!("INUSE"),
                ..Told::INITIAL
            }),
            Answer(200, "SIP-ETag: a\nExpires: 2\n"),
            Silence(1700),
            ExpectPublish(KEPT_ALIVE),
            Answer(200, "SIP-ETag: b\nExpires: 2\n"),
            Silence(1700),
            ExpectPublish(Told {
                tag: Some("b"),
                ..KEPT_ALIVE
            }),
            Answer(200, "SIP-ETag: c\nExpires: 2\n"),
            SetDevice("1", "BUSY"),
            ExpectPublish(Told {
                tag: Some("c"),
                body: own!("BUSY"),
                ..KEPT_ALIVE
            }),
            Answer(200, "SIP-ETag: d\nExpires: 2\n"),
        ],
    ),
    Exchange::new(
        "keep_alive_whatever_is_granted",
        "the Expires of the 200 does not matter",
        KEEP_ALIVE,
        &[
            SetDevice("1", "INUSE"),
            ExpectPublish(Told {
                expires: "2",
                body: own!("INUSE"),
                ..Told::INITIAL
            }),
            Answer(200, "SIP-ETag: a\nExpires: 1\n"),
            Silence(1700),
            ExpectPublish(KEPT_ALIVE),
            Answer(200, "SIP-ETag: b\nExpires: 2\n"),
        ],
    ),
    Exchange::new(
        "keep_alive_412",
        "412 to a keep-alive: an empty initial; after 400 another each expiration, until a state changes",
        KEEP_ALIVE,
        &[
            SetDevice("1", "INUSE"),
            ExpectPublish(Told {
                expires: "2",
                body: own!("INUSE"),
                ..Told::INITIAL
            }),
            Answer(200, "SIP-ETag: a\nExpires: 2\n"),
            ExpectPublish(KEPT_ALIVE),
            Answer(412, ""),
            ExpectPublish(EMPTY),
            Answer(400, ""),
            Silence(1700),
            ExpectPublish(EMPTY),
            Answer(400, ""),
            SetDevice("1", "BUSY"),
            ExpectPublish(Told {
                body: own!("BUSY"),
                ..EMPTY
            }),
            Answer(200, "SIP-ETag: b\nExpires: 2\n"),
        ],
    ),
];

const ANSWERED: Step = ExpectPublish(Told {
    body: own!("INUSE"),
    follows: Follows::On,
    credentials: true,
    ..Told::INITIAL
});
const KEPT_ALIVE: Told = Told {
    tag: Some("a"),
    expires: "2",
    follows: Follows::On,
    ..Told::INITIAL
};
const EMPTY: Told = Told {
    expires: "2",
    ..Told::INITIAL
};
