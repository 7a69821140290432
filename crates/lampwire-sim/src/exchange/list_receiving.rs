//! What a stock Asterisk answers.

use super::Step::{Device, DeviceNamed, Expect, ExpectAll, Mailbox, Send, SendText, Silence};
use super::{
    BOTH, Claim, DEVICES, Exchange, Expected, GRANTED, Holds, Link, MAILBOX_EVENT, Request, Step,
    Tag, device, initial, mailbox, mailbox_body, modify, refused, told,
};

const TAKES: Link = Link::TAKES;
const DEMANDS: Link = Link {
    demands: true,
    ..TAKES
};
const OTHERS: Link = Link {
    others: true,
    ..TAKES
};
const INITIAL: Request = Request::INITIAL;
const MODIFY: Request = Request::MODIFY;
const OK: Expected = Expected::OK;
const NEXT: Step = Expect(Expected::OK_NEXT);
const CHALLENGED: Step = Expect(Expected::CHALLENGE);

/// Each body is answered 500, and the device of the exchange is not there.
macro_rules! refused_bodies {
    ($($body:expr),+ $(,)?) => {
        &[$(initial($body), refused(500),)+ Device("1", None)]
    };
}
/// Each member `cachable` is answered 200, and the device is not there once the next, with the integer 1, is.
macro_rules! not_cached {
    ($($member:literal),+ $(,)?) => {
        &[
            $(
                initial(concat!(
                    r#"{"type":"devicestate","device":"Custom:{us}:1","state":"INUSE","#,
                    $member,
                    r#""eid":"02:00:00:00:0e:01"}"#
                )),
                GRANTED,
            )+
            initial(device!("2", "INUSE")),
            GRANTED,
            Device("2", Some("INUSE")),
            Device("1", None),
        ]
    };
}

/// 300 characters.
macro_rules! long {
    () => {
        long!("0123456789", "0123456789", "0123456789")
    };
    ($($part:literal),+) => {
        concat!($($part, $part, $part, $part, $part, $part, $part, $part, $part, $part),+)
    };
}

/// All of them.
pub(super) static EXCHANGES: &[Exchange] = &[
    Exchange::new(
        "initial",
        "a first state is taken, and gets an integer as tag",
        TAKES,
        &[
            initial(device!("INUSE")),
            Expect(Expected {
                expires: Some("3600"),
                ..OK
            }),
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "modify",
        "each state after it names the last tag, and gets the next integer",
        TAKES,
        &[
            initial(device!("INUSE")),
            GRANTED,
            modify(device!("BUSY")),
            NEXT,
            modify(device!("RINGING")),
            NEXT,
            Device("1", Some("RINGING")),
        ],
    ),
    Exchange::new(
        "refresh",
        "a PUBLISH with a tag and without a body gets a new tag",
        TAKES,
        &[
            initial(device!("INUSE")),
            GRANTED,
            modify(""),
            NEXT,
            modify(device!("BUSY")),
            NEXT,
            Device("1", Some("BUSY")),
        ],
    ),
    Exchange::new(
        "removal",
        "Expires 0 ends the publication; its states stay",
        TAKES,
        &[
            initial(device!("INUSE")),
            GRANTED,
            Send(Request {
                expires: Some("0"),
                ..MODIFY
            }),
            Expect(Expected {
                expires: Some("0"),
                ..OK
            }),
            modify(device!("BUSY")),
            refused(412),
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "removal_with_body",
        "Expires 0 with a body: the body is applied first",
        TAKES,
        &[
            initial(device!("INUSE")),
            GRANTED,
            Send(Request {
                expires: Some("0"),
                body: device!("BUSY"),
                ..MODIFY
            }),
            Expect(Expected {
                expires: Some("0"),
                ..OK
            }),
            Device("1", Some("BUSY")),
            modify(device!("RINGING")),
            refused(412),
        ],
    ),
    Exchange::new(
        "removal_without_tag",
        "Expires 0 without a tag: 412",
        TAKES,
        &[
            Send(Request {
                expires: Some("0"),
                body: device!("INUSE"),
                ..INITIAL
            }),
            refused(412),
            Device("1", None),
        ],
    )
    .on(Holds::On16),
    Exchange::new(
        "removal_without_tag_on_22",
        "Expires 0 without a tag: taken, with a tag",
        TAKES,
        &[
            Send(Request {
                expires: Some("0"),
                body: device!("INUSE"),
                ..INITIAL
            }),
            GRANTED,
        ],
    )
    .on(Holds::From22),
    Exchange::new(
        "expires_absent",
        "without Expires a publication lives an hour",
        TAKES,
        &[
            Send(Request {
                expires: None,
                body: device!("INUSE"),
                ..INITIAL
            }),
            Expect(Expected {
                expires: Some("3600"),
                ..OK
            }),
        ],
    ),
    Exchange::new(
        "expires_any",
        "any Expires is granted as it is",
        TAKES,
        &[
            Send(Request {
                expires: Some("100000"),
                body: device!("INUSE"),
                ..INITIAL
            }),
            Expect(Expected {
                expires: Some("100000"),
                ..OK
            }),
        ],
    ),
    Exchange::new(
        "expiry",
        "a publication of one second is gone after it; its states stay",
        TAKES,
        &[
            Send(Request {
                expires: Some("1"),
                body: device!("INUSE"),
                ..INITIAL
            }),
            Expect(Expected {
                expires: Some("1"),
                ..OK
            }),
            Silence(1500),
            modify(device!("BUSY")),
            refused(412),
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "expires_malformed",
        "Expires that is no number: no answer",
        TAKES,
        &[
            Send(Request {
                expires: Some("soon"),
                body: device!("INUSE"),
                ..INITIAL
            }),
            Silence(300),
            Device("1", None),
        ],
    ),
    Exchange::new(
        "endpoint_unknown",
        "a user in From that is no endpoint: 401, which nobody can answer",
        TAKES,
        &[
            Send(Request {
                from: "{us}_nobody",
                body: device!("INUSE"),
                ..INITIAL
            }),
            CHALLENGED,
            Send(Request {
                from: "{us}_nobody",
                body: device!("INUSE"),
                credentials: Some(Claim::RIGHT),
                ..INITIAL
            }),
            CHALLENGED,
            Device("1", None),
        ],
    ),
    Exchange::new(
        "endpoint_nameless",
        "no user in From: 401",
        TAKES,
        &[
            Send(Request {
                from: "",
                body: device!("INUSE"),
                ..INITIAL
            }),
            CHALLENGED,
        ],
    ),
    Exchange::new(
        "digest_right",
        "an endpoint with auth is challenged; the right answer is taken",
        DEMANDS,
        &[
            initial(device!("INUSE")),
            CHALLENGED,
            Device("1", None),
            Send(Request {
                body: device!("INUSE"),
                credentials: Some(Claim::RIGHT),
                ..INITIAL
            }),
            GRANTED,
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "digest_each_time",
        "each PUBLISH is challenged anew",
        DEMANDS,
        &[
            initial(device!("INUSE")),
            CHALLENGED,
            Send(Request {
                body: device!("INUSE"),
                credentials: Some(Claim::RIGHT),
                ..INITIAL
            }),
            GRANTED,
            modify(device!("BUSY")),
            CHALLENGED,
            Send(Request {
                body: device!("BUSY"),
                credentials: Some(Claim::RIGHT),
                ..MODIFY
            }),
            GRANTED,
            Device("1", Some("BUSY")),
        ],
    ),
    Exchange::new(
        "digest_nonce_again",
        "a nonce can be used again",
        DEMANDS,
        &[
            initial(device!("INUSE")),
            CHALLENGED,
            Send(Request {
                body: device!("INUSE"),
                credentials: Some(Claim::RIGHT),
                ..INITIAL
            }),
            GRANTED,
            Send(Request {
                body: device!("BUSY"),
                credentials: Some(Claim::RIGHT),
                ..MODIFY
            }),
            GRANTED,
        ],
    ),
    Exchange::new(
        "digest_wrong_password",
        "a wrong password: 401",
        DEMANDS,
        &[
            initial(device!("INUSE")),
            CHALLENGED,
            Send(Request {
                body: device!("INUSE"),
                credentials: Some(Claim {
                    password: "wrong",
                    ..Claim::RIGHT
                }),
                ..INITIAL
            }),
            CHALLENGED,
            Device("1", None),
        ],
    ),
    Exchange::new(
        "digest_wrong_user",
        "a wrong user name: 401",
        DEMANDS,
        &[
            initial(device!("INUSE")),
            CHALLENGED,
            Send(Request {
                body: device!("INUSE"),
                credentials: Some(Claim {
                    username: "wrong",
                    ..Claim::RIGHT
                }),
                ..INITIAL
            }),
            CHALLENGED,
        ],
    ),
    Exchange::new(
        "digest_foreign_nonce",
        "a nonce that it has not given: 401",
        DEMANDS,
        &[
            initial(device!("INUSE")),
            CHALLENGED,
            Send(Request {
                body: device!("INUSE"),
                credentials: Some(Claim {
                    nonce: Some("1700000000/0123456789abcdef"),
                    ..Claim::RIGHT
                }),
                ..INITIAL
            }),
            CHALLENGED,
        ],
    ),
    Exchange::new(
        "digest_unasked",
        "credentials to an endpoint without auth do not matter",
        DEMANDS,
        &[
            initial(device!("INUSE")),
            CHALLENGED,
            initial(device!("INUSE")),
            CHALLENGED,
        ],
    ),
    Exchange::new(
        "scheme",
        "a request-URI that is not sip: 416",
        TAKES,
        &[
            Send(Request {
                uri: "tel:+4930123456",
                body: device!("INUSE"),
                ..INITIAL
            }),
            refused(416),
        ],
    ),
    Exchange::new(
        "resource_unknown",
        "a resource that is not there: 404",
        TAKES,
        &[
            Send(Request {
                uri: "sip:{us}_nowhere@{subject}",
                body: device!("INUSE"),
                ..INITIAL
            }),
            refused(404),
            Device("1", None),
        ],
    ),
    Exchange::new(
        "resource_nameless",
        "no user in the request-URI: 404",
        TAKES,
        &[
            Send(Request {
                uri: "sip:{subject}",
                body: device!("INUSE"),
                ..INITIAL
            }),
            refused(404),
        ],
    ),
    Exchange::new(
        "resource_foreign",
        "a resource that is another endpoint's: 403",
        OTHERS,
        &[
            Send(Request {
                uri: "sip:{us}_3@{subject}",
                body: device!("INUSE"),
                ..INITIAL
            }),
            refused(403),
            Device("1", None),
        ],
    ),
    Exchange::new(
        "resource_foreign_modify",
        "with a tag the same is taken",
        OTHERS,
        &[
            initial(device!("INUSE")),
            GRANTED,
            Send(Request {
                uri: "sip:{us}_3@{subject}",
                body: device!("BUSY"),
                ..MODIFY
            }),
            GRANTED,
            Device("1", Some("BUSY")),
        ],
    ),
    Exchange::new(
        "event_absent",
        "no Event: 489",
        TAKES,
        &[
            Send(Request {
                event: None,
                body: device!("INUSE"),
                ..INITIAL
            }),
            refused(489),
            Device("1", None),
        ],
    ),
    Exchange::new(
        "event_unknown",
        "an Event that nobody knows: 489",
        TAKES,
        &[
            Send(Request {
                event: Some("presence"),
                body: device!("INUSE"),
                ..INITIAL
            }),
            refused(489),
        ],
    ),
    Exchange::new(
        "event_not_configured",
        "an event that the resource has not: 404",
        Link {
            takes: DEVICES,
            ..TAKES
        },
        &[
            mailbox(mailbox_body!("1", "0")),
            refused(404),
            Mailbox(None),
        ],
    ),
    Exchange::new(
        "publication_absent",
        "no asterisk-publication of that name: 404",
        Link {
            keeps: None,
            ..TAKES
        },
        &[initial(device!("INUSE")), refused(404), Device("1", None)],
    ),
    Exchange::new(
        "device_state_no",
        "device_state=no: 200, and the state is dropped",
        Link {
            keeps: Some(super::MAILBOXES),
            ..TAKES
        },
        &[
            initial(device!("INUSE")),
            GRANTED,
            mailbox(mailbox_body!("1", "0")),
            GRANTED,
            Mailbox(Some((1, 0))),
            Device("1", None),
        ],
    ),
    Exchange::new(
        "mailbox_state_no",
        "mailbox_state=no: 200, and the counts are dropped",
        Link {
            keeps: Some(DEVICES),
            ..TAKES
        },
        &[
            mailbox(mailbox_body!("1", "0")),
            GRANTED,
            initial(device!("INUSE")),
            GRANTED,
            Device("1", Some("INUSE")),
            Mailbox(None),
        ],
    ),
    Exchange::new(
        "filter",
        "a device that the filter does not match: 200, and the state is dropped",
        Link {
            keeps_first_only: true,
            ..TAKES
        },
        &[
            initial(device!("2", "INUSE")),
            GRANTED,
            initial(device!("1", "INUSE")),
            GRANTED,
            Device("1", Some("INUSE")),
            Device("2", None),
        ],
    ),
    Exchange::new(
        "neither_tag_nor_body",
        "neither SIP-If-Match nor a body: 400",
        TAKES,
        &[initial(""), refused(400)],
    ),
    Exchange::new(
        "tag_unknown",
        "a tag that was never given: 412",
        TAKES,
        &[
            Send(Request {
                if_match: Some("2000000000"),
                body: device!("INUSE"),
                ..INITIAL
            }),
            refused(412),
            Device("1", None),
        ],
    ),
    Exchange::new(
        "tag_used",
        "a tag that has been followed by another: 412",
        TAKES,
        &[
            initial(device!("INUSE")),
            GRANTED,
            modify(device!("BUSY")),
            GRANTED,
            Send(Request {
                if_match: Some("{tag1}"),
                body: device!("RINGING"),
                ..INITIAL
            }),
            refused(412),
            modify(device!("ONHOLD")),
            GRANTED,
            Device("1", Some("ONHOLD")),
        ],
    ),
    Exchange::new(
        "tag_of_other_event",
        "a tag that the other event has given: 412",
        TAKES,
        &[
            initial(device!("INUSE")),
            GRANTED,
            Send(Request {
                if_match: Some("{tag}"),
                body: mailbox_body!("1", "0"),
                ..Request::MAILBOX
            }),
            refused(412),
            Mailbox(None),
        ],
    ),
    Exchange::new(
        "tag_no_integer",
        "a tag that does not begin as an integer: 400",
        TAKES,
        &[
            Send(Request {
                if_match: Some("abc"),
                body: device!("INUSE"),
                ..INITIAL
            }),
            refused(400),
            Device("1", None),
        ],
    ),
    Exchange::new(
        "tag_with_tail",
        "what follows the digits of a tag is not read",
        TAKES,
        &[
            initial(device!("INUSE")),
            GRANTED,
            Send(Request {
                if_match: Some("{tag}abc"),
                body: device!("BUSY"),
                ..INITIAL
            }),
            NEXT,
        ],
    ),
    Exchange::new(
        "tag_negative",
        "a tag below zero: 412",
        TAKES,
        &[
            Send(Request {
                if_match: Some("-7"),
                body: device!("INUSE"),
                ..INITIAL
            }),
            refused(412),
        ],
    ),
    Exchange::new(
        "tag_takeover",
        "another endpoint, at another resource, goes on with our tag: 200, and ours is used up",
        OTHERS,
        &[
            initial(device!("INUSE")),
            GRANTED,
            Send(Request {
                uri: "sip:{us}_2@{subject}",
                from: "{us}_2",
                body: device!("BUSY"),
                ..MODIFY
            }),
            GRANTED,
            Device("1", Some("BUSY")),
            Send(Request {
                if_match: Some("{tag1}"),
                body: device!("RINGING"),
                ..INITIAL
            }),
            refused(412),
        ],
    ),
    Exchange::new(
        "tags_of_both_events",
        "one counter for both events and all resources",
        OTHERS,
        &[
            initial(device!("INUSE")),
            GRANTED,
            mailbox(mailbox_body!("1", "0")),
            NEXT,
            Send(Request {
                uri: "sip:{us}_2@{subject}",
                from: "{us}_2",
                body: device!("2", "BUSY"),
                ..INITIAL
            }),
            NEXT,
        ],
    ),
    Exchange::new(
        "tag_used_up_by_500",
        "an initial that is answered 500 uses up a tag",
        TAKES,
        &[
            initial(device!("INUSE")),
            GRANTED,
            initial("{"),
            refused(500),
            initial(device!("BUSY")),
            Expect(Expected {
                tag: Tag::NextButOne,
                ..OK
            }),
        ],
    ),
    Exchange::new(
        "tag_not_used_up_by_412",
        "a 412 uses up no tag, nor does a 404",
        OTHERS,
        &[
            initial(device!("INUSE")),
            GRANTED,
            Send(Request {
                if_match: Some("2000000000"),
                body: device!("INUSE"),
                ..INITIAL
            }),
            refused(412),
            Send(Request {
                uri: "sip:{us}_nowhere@{subject}",
                body: device!("INUSE"),
                ..INITIAL
            }),
            refused(404),
            initial(device!("BUSY")),
            NEXT,
        ],
    ),
    Exchange::new(
        "content_type_absent",
        "a body without Content-Type is none: 400",
        TAKES,
        &[
            Send(Request {
                content_type: None,
                body: device!("INUSE"),
                ..INITIAL
            }),
            refused(400),
            Device("1", None),
        ],
    ),
    Exchange::new(
        "content_type_absent_in_modify",
        "with a tag, a body without Content-Type is a refresh",
        TAKES,
        &[
            initial(device!("INUSE")),
            GRANTED,
            Send(Request {
                content_type: None,
                body: device!("BUSY"),
                ..MODIFY
            }),
            NEXT,
            modify(device!("2", "BUSY")),
            NEXT,
            Device("2", Some("BUSY")),
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "content_type_wrong",
        "another Content-Type: 500",
        TAKES,
        &[
            Send(Request {
                content_type: Some("text/plain"),
                body: device!("INUSE"),
                ..INITIAL
            }),
            refused(500),
            Send(Request {
                content_type: Some("application/pidf+xml"),
                body: device!("INUSE"),
                ..INITIAL
            }),
            refused(500),
            Device("1", None),
        ],
    ),
    Exchange::new(
        "content_type_in_any_case",
        "Content-Type in another case and with a parameter is taken",
        TAKES,
        &[
            Send(Request {
                content_type: Some("Application/JSON;charset=utf-8"),
                body: device!("INUSE"),
                ..INITIAL
            }),
            GRANTED,
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "body_no_json",
        "a body that is not one JSON object: 500",
        TAKES,
        refused_bodies![
            "{",
            "no json",
            "null",
            "[]",
            "{}",
            "{} {}",
            concat!(device!("INUSE"), device!("INUSE")),
            concat!("[", device!("INUSE"), "]"),
            concat!(device!("INUSE"), "x"),
        ],
    ),
    Exchange::new(
        "body_without_type",
        "no type, or one that is not known: 500",
        TAKES,
        refused_bodies![
            r#"{"device":"Custom:{us}:1","state":"INUSE","cachable":1,"eid":"02:00:00:00:0e:01"}"#,
            r#"{"type":"x","device":"Custom:{us}:1","state":"INUSE","cachable":1,"eid":"02:00:00:00:0e:01"}"#,
            r#"{"type":1,"device":"Custom:{us}:1","state":"INUSE","cachable":1,"eid":"02:00:00:00:0e:01"}"#,
            r#"{"type":"DeviceState","device":"Custom:{us}:1","state":"INUSE","cachable":1,"eid":"02:00:00:00:0e:01"}"#,
        ],
    ),
    Exchange::new(
        "body_without_eid",
        "no eid, or one that is no text: 500",
        TAKES,
        refused_bodies![
            r#"{"type":"devicestate","device":"Custom:{us}:1","state":"INUSE","cachable":1}"#,
            r#"{"type":"devicestate","device":"Custom:{us}:1","state":"INUSE","cachable":1,"eid":null}"#,
            r#"{"type":"devicestate","device":"Custom:{us}:1","state":"INUSE","cachable":1,"eid":2}"#,
        ],
    ),
    Exchange::new(
        "body_without_device",
        "no device, or one that is no text: 500",
        TAKES,
        refused_bodies![
            r#"{"type":"devicestate","state":"INUSE","cachable":1,"eid":"02:00:00:00:0e:01"}"#,
            r#"{"type":"devicestate","device":7,"state":"INUSE","cachable":1,"eid":"02:00:00:00:0e:01"}"#,
        ],
    ),
    Exchange::new(
        "body_without_state",
        "no state, or one that is no text: 500",
        TAKES,
        refused_bodies![
            r#"{"type":"devicestate","device":"Custom:{us}:1","cachable":1,"eid":"02:00:00:00:0e:01"}"#,
            r#"{"type":"devicestate","device":"Custom:{us}:1","state":2,"cachable":1,"eid":"02:00:00:00:0e:01"}"#,
        ],
    ),
    Exchange::new(
        "body_of_other_event",
        "a mailbox in the device event, and the other way round: 500",
        TAKES,
        &[
            initial(mailbox_body!("1", "0")),
            refused(500),
            mailbox(device!("INUSE")),
            refused(500),
            Device("1", None),
            Mailbox(None),
        ],
    ),
    Exchange::new(
        "mailbox_without_name",
        "no uniqueid, or one that is no text: 500",
        TAKES,
        &[
            mailbox(r#"{"type":"mailboxstate","old":1,"new":1,"eid":"02:00:00:00:0e:01"}"#),
            refused(500),
            mailbox(
                r#"{"type":"mailboxstate","uniqueid":5,"old":1,"new":1,"eid":"02:00:00:00:0e:01"}"#,
            ),
            refused(500),
        ],
    ),
    Exchange::new(
        "bad_modify_ends",
        "a body that is none in a modify: 200, and the publication is ended",
        TAKES,
        &[
            initial(device!("INUSE")),
            GRANTED,
            modify("{"),
            NEXT,
            modify(device!("BUSY")),
            refused(412),
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "bad_modify_type_ends",
        "another Content-Type in a modify does the same",
        TAKES,
        &[
            initial(device!("INUSE")),
            GRANTED,
            Send(Request {
                content_type: Some("text/plain"),
                body: device!("BUSY"),
                ..MODIFY
            }),
            NEXT,
            modify(device!("BUSY")),
            refused(412),
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "eid_malformed",
        "an eid that is none: 200, and the state is kept under some id",
        TAKES,
        &[
            initial(device!("1", "INUSE", "nonsense")),
            GRANTED,
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "eid_own",
        "the subject's own eid: the state is its own, and told to us (echo)",
        Link::TELLS,
        &[
            initial(device!("1", "INUSE", "{own}")),
            GRANTED,
            told(device!("1", "INUSE", "{own}")),
            Step::Answer(200, "SIP-ETag: a\nExpires: 3600\n"),
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "eid_foreign_is_not_told",
        "a state under another eid is not told on",
        Link::TELLS,
        &[
            initial(device!("INUSE")),
            GRANTED,
            Device("1", Some("INUSE")),
            Silence(200),
        ],
    ),
    Exchange::new(
        "copy",
        "a copy of a request gets the same answer and uses up no tag",
        TAKES,
        &[
            initial(device!("INUSE")),
            GRANTED,
            Send(Request {
                body: device!("INUSE"),
                copy: true,
                ..INITIAL
            }),
            Expect(Expected {
                tag: Tag::Same,
                ..OK
            }),
            modify(device!("BUSY")),
            NEXT,
        ],
    ),
    Exchange::new(
        "side_by_side",
        "several initials at once: each gets a tag of its own, all are applied",
        TAKES,
        &[
            initial(device!("1", "INUSE")),
            initial(device!("2", "BUSY")),
            initial(device!("3", "RINGING")),
            initial(device!("4", "ONHOLD")),
            initial(device!("5", "UNAVAILABLE")),
            ExpectAll(&[200, 200, 200, 200, 200]),
            Device("1", Some("INUSE")),
            Device("2", Some("BUSY")),
            Device("3", Some("RINGING")),
            Device("4", Some("ONHOLD")),
            Device("5", Some("UNAVAILABLE")),
        ],
    ),
    Exchange::new(
        "one_tag_in_three",
        "three requests with one tag on their way: one is taken, the others are answered 412",
        TAKES,
        &[
            initial(device!("INUSE")),
            GRANTED,
            modify(device!("1", "BUSY")),
            modify(device!("1", "BUSY")),
            modify(device!("1", "BUSY")),
            ExpectAll(&[200, 412, 412]),
            Device("1", Some("BUSY")),
        ],
    ),
    Exchange::new(
        "two_publications",
        "two publications of ours go on each for itself",
        TAKES,
        &[
            initial(device!("1", "INUSE")),
            GRANTED,
            initial(device!("2", "INUSE")),
            GRANTED,
            Send(Request {
                if_match: Some("{tag1}"),
                body: device!("1", "BUSY"),
                ..INITIAL
            }),
            GRANTED,
            Send(Request {
                if_match: Some("{tag2}"),
                body: device!("2", "RINGING"),
                ..INITIAL
            }),
            GRANTED,
            Device("1", Some("BUSY")),
            Device("2", Some("RINGING")),
        ],
    ),
    Exchange::new(
        "compact_forms",
        "compact forms of headers",
        TAKES,
        &[
            SendText(concat!(
                "PUBLISH sip:{us}@{subject} SIP/2.0\n\
                 v: SIP/2.0/UDP {we};rport;branch={branch}\n\
                 f: <sip:{us}@{we}>;tag=1\nt: <sip:{us}@{subject}>\ni: {us}\nCSeq: 1 PUBLISH\n\
                 o: asterisk-devicestate\nExpires: 3600\nc: application/json\nl: {length}\n\n",
                device!("INUSE")
            )),
            GRANTED,
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "headers_in_any_case",
        "names of headers in any case, blanks before the colon, and folded lines",
        TAKES,
        &[
            SendText(concat!(
                "PUBLISH sip:{us}@{subject} SIP/2.0\n\
                 VIA: SIP/2.0/UDP {we};rport;branch={branch}\n\
                 from: <sip:{us}@{we}>\n ;tag=1\nTO : <sip:{us}@{subject}>\ncall-id: {us}\ncseq: 1\n PUBLISH\n\
                 EVENT:\n asterisk-devicestate\neXPIRES: 3600\ncontent-TYPE:application/json\n\n",
                device!("INUSE")
            )),
            GRANTED,
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "content_length_absent",
        "without Content-Length the body is what is there; Max-Forwards may be absent too",
        TAKES,
        &[
            SendText(concat!(
                "PUBLISH sip:{us}@{subject} SIP/2.0\n\
                 Via: SIP/2.0/UDP {we};rport;branch={branch}\n\
                 From: <sip:{us}@{we}>;tag=1\nTo: <sip:{us}@{subject}>\nCall-ID: {us}\nCSeq: 1 PUBLISH\n\
                 Event: asterisk-devicestate\nExpires: 3600\nContent-Type: application/json\n\n",
                device!("INUSE")
            )),
            GRANTED,
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "content_length_small",
        "a body that goes on beyond its Content-Length is taken as it is",
        TAKES,
        &[
            Send(Request {
                body: device!("INUSE"),
                content_length: Some("20"),
                ..INITIAL
            }),
            GRANTED,
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "content_length_large",
        "a body that ends before its Content-Length is taken as it is",
        TAKES,
        &[
            Send(Request {
                body: device!("INUSE"),
                content_length: Some("2000"),
                ..INITIAL
            }),
            GRANTED,
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "require",
        "Require with an option that nobody knows is passed over",
        TAKES,
        &[
            Send(Request {
                body: device!("INUSE"),
                headers: "Require: lampwire\n",
                ..INITIAL
            }),
            GRANTED,
        ],
    ),
    Exchange::new(
        "call_id_absent",
        "without Call-ID: no answer",
        TAKES,
        &[
            SendText(concat!(
                "PUBLISH sip:{us}@{subject} SIP/2.0\n\
                 Via: SIP/2.0/UDP {we};rport;branch={branch}\n\
                 From: <sip:{us}@{we}>;tag=1\nTo: <sip:{us}@{subject}>\nCSeq: 1 PUBLISH\n\
                 Event: asterisk-devicestate\nExpires: 3600\nContent-Type: application/json\n\n",
                device!("INUSE")
            )),
            Silence(200),
            Device("1", None),
        ],
    ),
    Exchange::new(
        "cseq_of_other_method",
        "a CSeq with another method: applied, and no answer",
        TAKES,
        &[
            SendText(concat!(
                "PUBLISH sip:{us}@{subject} SIP/2.0\n\
                 Via: SIP/2.0/UDP {we};rport;branch={branch}\n\
                 From: <sip:{us}@{we}>;tag=1\nTo: <sip:{us}@{subject}>\nCall-ID: {us}\nCSeq: 1 OPTIONS\n\
                 Event: asterisk-devicestate\nExpires: 3600\nContent-Type: application/json\n\n",
                device!("INUSE")
            )),
            Device("1", Some("INUSE")),
            Silence(200),
        ],
    ),
    Exchange::new(
        "options",
        "OPTIONS for a name that is no extension: 404",
        TAKES,
        &[
            Send(Request {
                method: "OPTIONS",
                event: None,
                expires: None,
                ..INITIAL
            }),
            refused(404),
        ],
    ),
    Exchange::new(
        "subscribe",
        "SUBSCRIBE to the event: 489",
        TAKES,
        &[
            Send(Request {
                method: "SUBSCRIBE",
                headers: "Contact: <sip:{us}@{we}>\n",
                ..INITIAL
            }),
            refused(489),
        ],
    ),
    Exchange::new(
        "members_unknown",
        "members that nobody knows are passed over, in any order",
        TAKES,
        &[
            initial(
                r#"{"x":[1,{"y":null}],"eid":"02:00:00:00:0e:01","state":"INUSE","cachable":1,"z":"\u00e9","device":"Custom:{us}:1","type":"devicestate"}"#,
            ),
            GRANTED,
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "members_twice",
        "of a member that stands twice the last counts",
        TAKES,
        &[
            initial(
                r#"{"type":"devicestate","device":"Custom:{us}:1","state":"INUSE","state":"BUSY","cachable":1,"eid":"02:00:00:00:0e:01"}"#,
            ),
            GRANTED,
            Device("1", Some("BUSY")),
        ],
    ),
    Exchange::new(
        "not_cachable",
        "without cachable, or with another than the integer 1, a state is not kept",
        TAKES,
        not_cached!(
            "",
            r#""cachable":0,"#,
            r#""cachable":2,"#,
            r#""cachable":"1","#,
            r#""cachable":true,"#,
            r#""cachable":null,"#,
            r#""cachable":1.0,"#,
        ),
    ),
    Exchange::new(
        "state_in_any_case",
        "the word of a state in any case",
        TAKES,
        &[
            initial(device!("inUse")),
            GRANTED,
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "state_unknown_word",
        "a word that is no state takes the place of the state before: it is UNKNOWN",
        TAKES,
        &[
            initial(device!("INUSE")),
            GRANTED,
            Device("1", Some("INUSE")),
            modify(device!("ASLEEP")),
            GRANTED,
            Device("1", Some("UNKNOWN")),
        ],
    ),
    Exchange::new(
        "states",
        "every state that can be told",
        TAKES,
        &[
            initial(device!("NOT_INUSE")),
            GRANTED,
            Device("1", Some("NOT_INUSE")),
            modify(device!("INUSE")),
            GRANTED,
            Device("1", Some("INUSE")),
            modify(device!("BUSY")),
            GRANTED,
            Device("1", Some("BUSY")),
            modify(device!("INVALID")),
            GRANTED,
            Device("1", Some("INVALID")),
            modify(device!("UNAVAILABLE")),
            GRANTED,
            Device("1", Some("UNAVAILABLE")),
            modify(device!("RINGING")),
            GRANTED,
            Device("1", Some("RINGING")),
            modify(device!("RINGINUSE")),
            GRANTED,
            Device("1", Some("RINGINUSE")),
            modify(device!("ONHOLD")),
            GRANTED,
            Device("1", Some("ONHOLD")),
        ],
    ),
    Exchange::new(
        "sum",
        "states of several entity ids are summed; INVALID takes one out",
        TAKES,
        &[
            initial(device!("1", "RINGING", "02:00:00:00:0e:01")),
            GRANTED,
            Device("1", Some("RINGING")),
            modify(device!("1", "INUSE", "02:00:00:00:0e:02")),
            GRANTED,
            Device("1", Some("RINGINUSE")),
            modify(device!("1", "INVALID", "02:00:00:00:0e:01")),
            GRANTED,
            Device("1", Some("INUSE")),
            modify(device!("1", "ONHOLD", "02:00:00:00:0e:01")),
            GRANTED,
            modify(device!("1", "NOT_INUSE", "02:00:00:00:0e:02")),
            GRANTED,
            Device("1", Some("ONHOLD")),
            modify(device!("1", "INVALID", "02:00:00:00:0e:01")),
            GRANTED,
            modify(device!("1", "INVALID", "02:00:00:00:0e:02")),
            GRANTED,
            Device("1", Some("INVALID")),
        ],
    ),
    Exchange::new(
        "sum_on_hold_and_in_use",
        "ONHOLD and INUSE are INUSE",
        TAKES,
        &[
            initial(device!("1", "INUSE", "02:00:00:00:0e:01")),
            GRANTED,
            modify(device!("1", "ONHOLD", "02:00:00:00:0e:02")),
            GRANTED,
            modify(device!("2", "BUSY")),
            GRANTED,
            Device("2", Some("BUSY")),
            Device("1", Some("INUSE")),
        ],
    ),
    Exchange::new(
        "mailbox",
        "the counts of a mailbox are taken",
        TAKES,
        &[
            mailbox(mailbox_body!("3", "2")),
            GRANTED,
            Mailbox(Some((3, 2))),
            Send(Request {
                event: Some(MAILBOX_EVENT),
                body: mailbox_body!("0", "5"),
                ..MODIFY
            }),
            NEXT,
            Mailbox(Some((0, 5))),
        ],
    ),
    Exchange::new(
        "mailbox_last_writer",
        "a mailbox has one value: the last writer's, whichever entity id",
        TAKES,
        &[
            mailbox(mailbox_body!("3", "2", "02:00:00:00:0e:01")),
            GRANTED,
            Mailbox(Some((3, 2))),
            mailbox(mailbox_body!("1", "1", "02:00:00:00:0e:02")),
            GRANTED,
            Mailbox(Some((1, 1))),
        ],
    ),
    Exchange::new(
        "mailbox_counts_absent",
        "counts that are missing or no integers are 0",
        TAKES,
        &[
            mailbox(mailbox_body!("3", "2")),
            GRANTED,
            Mailbox(Some((3, 2))),
            mailbox(
                r#"{"type":"mailboxstate","uniqueid":"{us}@default","new":4,"eid":"02:00:00:00:0e:01"}"#,
            ),
            GRANTED,
            Mailbox(Some((4, 0))),
            mailbox(
                r#"{"type":"mailboxstate","uniqueid":"{us}@default","new":"4","old":6,"eid":"02:00:00:00:0e:01"}"#,
            ),
            GRANTED,
            Mailbox(Some((0, 6))),
        ],
    ),
    Exchange::new(
        "refresh_asked_of_none",
        "a refresh for a publication that names no publish: 200, and nothing comes",
        Link::TELLS,
        &[
            initial(r#"{"type":"refresh","eid":"02:00:00:00:0e:01"}"#),
            GRANTED,
            Silence(200),
        ],
    ),
    Exchange::new(
        "name_long",
        "a device of 300 characters",
        TAKES,
        &[
            initial(concat!(
                r#"{"type":"devicestate","device":"Custom:{us}:"#,
                long!(),
                r#"","state":"INUSE","cachable":1,"eid":"02:00:00:00:0e:01"}"#
            )),
            GRANTED,
            DeviceNamed(concat!("Custom:{us}:", long!()), "INUSE"),
        ],
    ),
    Exchange::new(
        "name_odd",
        "a device with blanks, quotes and letters beyond ASCII",
        TAKES,
        &[
            initial(
                r#"{"type":"devicestate","device":"Custom:{us}: \"Bahnhofstra\u00dfe\" 1/ü","state":"INUSE","cachable":1,"eid":"02:00:00:00:0e:01"}"#,
            ),
            GRANTED,
            DeviceNamed("Custom:{us}: \"Bahnhofstraße\" 1/ü", "INUSE"),
        ],
    ),
    Exchange::new(
        "both_kept",
        "a resource takes both events side by side",
        Link {
            keeps: Some(BOTH),
            ..TAKES
        },
        &[
            initial(device!("INUSE")),
            mailbox(mailbox_body!("1", "0")),
            ExpectAll(&[200, 200]),
            Device("1", Some("INUSE")),
            Mailbox(Some((1, 0))),
        ],
    ),
];
