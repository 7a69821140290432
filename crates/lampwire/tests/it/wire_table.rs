//! The receiving side, case by case: a request, the exact answer to it, and what has become of the state, over UDP and TCP.
//!
//! Before each row a device is INUSE by a publication of `instance1`. The row's request says that it is RINGING, if anything.

use std::net::Ipv4Addr;

use lampwire_sip::{Algorithm, Credentials, DigestRequest, Qop, ha1, response};

use super::harness::{Node, address, wait_for};
use super::sip::{Answer, Draft, Line, Ports, Transport};

/// Entity ids: the peer's and the node's.
const EID: &str = "02:00:00:00:00:01";
const NODE_EID: &str = "02:00:00:00:00:99";

const DEVICE_STATE: &str = "asterisk-devicestate";
const MWI: &str = "asterisk-mwi";

/// What was there before a row.
struct Given {
    device: String,
    /// The tag of the publication by which it is INUSE.
    tag: String,
}

impl Given {
    /// The body that says that the device is RINGING.
    fn body(&self) -> String {
        device(&self.device, "RINGING", EID)
    }

    /// That as a new publication of `instance1`.
    fn publish(&self) -> Draft {
        Draft::publish("instance1", DEVICE_STATE, self.body())
    }

    /// That as the next state of its publication.
    fn modify(&self) -> Draft {
        self.publish().set("SIP-If-Match", &self.tag)
    }

    /// That by another endpoint, to the resource of its name.
    fn of(&self, endpoint: &str) -> Draft {
        from(
            Draft::publish(endpoint, DEVICE_STATE, self.body()),
            endpoint,
        )
    }
}

fn device(name: &str, state: &str, eid: &str) -> String {
    format!(
        r#"{{"type":"devicestate","device":"{name}","state":"{state}","cachable":1,"eid":"{eid}"}}"#
    )
}

fn from(draft: Draft, endpoint: &str) -> Draft {
    draft.set("From", format!("<sip:{endpoint}@127.0.0.1>;tag=1"))
}

/// What has become of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Taken,
    Untouched,
}
use After::{Taken, Untouched};

/// Where a row is sent from, and over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Any,
    /// Where the length of a message is the datagram's.
    Datagram,
    /// The address of a configured peer.
    Peer,
}

struct Row {
    what: &'static str,
    by: By,
    request: fn(&Given) -> Draft,
    status: u16,
    /// Headers of the answer; `*` for any value, `-` for none. `Reason` is the reason phrase.
    headers: &'static [(&'static str, &'static str)],
    after: After,
}

const fn row(
    what: &'static str,
    request: fn(&Given) -> Draft,
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    after: After,
) -> Row {
    Row {
        what,
        by: By::Any,
        request,
        status,
        headers,
        after,
    }
}

const fn by(by: By, row: Row) -> Row {
    Row { by, ..row }
}

const CHALLENGED: &[(&str, &str)] = &[("WWW-Authenticate", "*"), ("SIP-ETag", "-")];
const REFUSED: &[(&str, &str)] = &[("SIP-ETag", "-"), ("Expires", "-")];
const GRANTED: &[(&str, &str)] = &[("SIP-ETag", "*"), ("Expires", "3600")];
const EVENTS: &[(&str, &str)] = &[("Allow-Events", "asterisk-devicestate, asterisk-mwi")];
const METHODS: &[(&str, &str)] = &[("Allow", "OPTIONS, PUBLISH")];

const UNDERSTOOD: &[(&str, &str)] = &[
    ("Allow", "OPTIONS, PUBLISH"),
    ("Accept", "application/json"),
    ("Allow-Events", "asterisk-devicestate, asterisk-mwi"),
];

/// The table.
const ROWS: &[Row] = &[
    // Who is it?
    row(
        "no endpoint of that name",
        |it| from(it.publish(), "nobody"),
        401,
        CHALLENGED,
        Untouched,
    ),
    row(
        "no user in From",
        |it| it.publish().set("From", "<sip:127.0.0.1>;tag=1"),
        401,
        CHALLENGED,
        Untouched,
    ),
    by(
        By::Peer,
        row(
            "no endpoint of that name at a configured peer's address",
            |it| from(it.publish(), "nobody"),
            403,
            &[("WWW-Authenticate", "-")],
            Untouched,
        ),
    ),
    row(
        "an endpoint with auth, no credentials",
        |it| it.of("secured"),
        401,
        CHALLENGED,
        Untouched,
    ),
    row(
        "the same, wrong credentials",
        |it| {
            it.of("secured")
                .set("Authorization", digest("wrong", NONCE))
        },
        401,
        &[("WWW-Authenticate", "*")],
        Untouched,
    ),
    row(
        "the same, right credentials, a nonce that is not ours any more",
        |it| {
            it.of("secured")
                .set("Authorization", digest("secret", NONCE))
        },
        401,
        &[("WWW-Authenticate", "*stale=true*")],
        Untouched,
    ),
    // For what?
    row(
        "a request-URI that is not sip",
        |it| it.publish().start("PUBLISH tel:+15550123 SIP/2.0"),
        416,
        REFUSED,
        Untouched,
    ),
    row(
        "a resource that is not there",
        |it| it.publish().start("PUBLISH sip:nothing@127.0.0.1 SIP/2.0"),
        404,
        REFUSED,
        Untouched,
    ),
    row(
        "no user in the request-URI",
        |it| it.publish().start("PUBLISH sip:127.0.0.1 SIP/2.0"),
        404,
        REFUSED,
        Untouched,
    ),
    row(
        "a resource of another endpoint",
        |it| from(it.publish(), "other"),
        403,
        REFUSED,
        Untouched,
    ),
    row(
        "the same with a tag",
        |it| from(it.modify(), "other"),
        403,
        REFUSED,
        Untouched,
    ),
    row(
        "no Event",
        |it| it.publish().without("Event"),
        489,
        EVENTS,
        Untouched,
    ),
    row(
        "an unknown event",
        |it| it.publish().set("Event", "presence"),
        489,
        EVENTS,
        Untouched,
    ),
    row(
        "an event that the resource has not",
        |_| from(Draft::publish("half", MWI, mailbox()), "half"),
        404,
        REFUSED,
        Untouched,
    ),
    row(
        "an asterisk-publication that is not there",
        |it| it.of("dangling"),
        404,
        REFUSED,
        Untouched,
    ),
    row(
        "device_state=no",
        |it| it.of("off"),
        200,
        GRANTED,
        Untouched,
    ),
    row(
        "a name that the filter does not match",
        |it| it.of("filtered"),
        200,
        GRANTED,
        Untouched,
    ),
    // Which publication?
    row(
        "no tag and no body",
        |it| it.publish().body("").without("Content-Type"),
        400,
        &[("Reason", "A new publication needs a body")],
        Untouched,
    ),
    row(
        "a tag that was never given",
        |it| it.publish().set("SIP-If-Match", "0".repeat(48)),
        412,
        REFUSED,
        Untouched,
    ),
    row(
        "a tag for another event",
        |it| Draft::publish("instance1", MWI, mailbox()).set("SIP-If-Match", &it.tag),
        412,
        REFUSED,
        Untouched,
    ),
    row(
        "a tag for another resource",
        |it| it.modify().start("PUBLISH sip:open@127.0.0.1 SIP/2.0"),
        412,
        REFUSED,
        Untouched,
    ),
    row(
        "a tag of another endpoint",
        |it| from(it.modify(), "other").start("PUBLISH sip:other@127.0.0.1 SIP/2.0"),
        412,
        REFUSED,
        Untouched,
    ),
    row(
        "a tag that is an integer",
        |it| it.publish().set("SIP-If-Match", "7"),
        412,
        REFUSED,
        Untouched,
    ),
    row(
        "a tag that is no integer",
        |it| it.publish().set("SIP-If-Match", "dx200xyz"),
        412,
        REFUSED,
        Untouched,
    ),
    // What does it say?
    row("a state", Given::publish, 200, GRANTED, Taken),
    row("the next state", Given::modify, 200, GRANTED, Taken),
    row(
        "a tag and no body",
        |it| it.modify().body("").without("Content-Type"),
        200,
        GRANTED,
        Untouched,
    ),
    row(
        "no Content-Type",
        |it| it.publish().without("Content-Type"),
        400,
        &[("Reason", "Missing Content-Type header")],
        Untouched,
    ),
    row(
        "a Content-Type that is not JSON",
        |it| it.publish().set("Content-Type", "text/plain"),
        415,
        &[("Accept", "application/json")],
        Untouched,
    ),
    row(
        "Content-Type in capitals, with parameters",
        |it| {
            it.publish()
                .set("Content-Type", "APPLICATION/JSON;charset=utf-8")
        },
        200,
        GRANTED,
        Taken,
    ),
    row(
        "no JSON",
        |it| it.publish().body("{"),
        400,
        &[("Reason", "Body is not one JSON object")],
        Untouched,
    ),
    row(
        "an array",
        |it| it.publish().body(format!("[{}]", it.body())),
        400,
        &[("Reason", "Body is not one JSON object")],
        Untouched,
    ),
    row(
        "two objects",
        |it| it.publish().body(it.body().repeat(2)),
        400,
        &[("Reason", "Body is not one JSON object")],
        Untouched,
    ),
    row(
        "no eid",
        |it| {
            it.publish().body(format!(
                r#"{{"type":"devicestate","device":"{}","state":"RINGING"}}"#,
                it.device
            ))
        },
        400,
        &[("Reason", "Missing eid")],
        Untouched,
    ),
    row(
        "no type",
        |it| it.publish().body(it.body().replace("\"type\"", "\"kind\"")),
        400,
        &[("Reason", "Missing type")],
        Untouched,
    ),
    row(
        "no device",
        |it| {
            it.publish()
                .body(it.body().replace("\"device\"", "\"name\""))
        },
        400,
        &[("Reason", "Missing device")],
        Untouched,
    ),
    row(
        "no state",
        |it| it.publish().body(it.body().replace("\"state\"", "\"is\"")),
        400,
        &[("Reason", "Missing state")],
        Untouched,
    ),
    row(
        "no uniqueid",
        |_| Draft::publish("instance1", MWI, mailbox().replace("uniqueid", "id")),
        400,
        &[("Reason", "Missing uniqueid")],
        Untouched,
    ),
    row(
        "a type for the other event",
        |it| it.publish().body(mailbox()),
        400,
        &[("Reason", "Type does not fit the event")],
        Untouched,
    ),
    row(
        "no JSON in a modify: the publication stays as it was",
        |it| it.modify().body("{"),
        400,
        &[("Reason", "Body is not one JSON object")],
        Untouched,
    ),
    row(
        "an eid that is none",
        |it| {
            it.publish()
                .body(device(&it.device, "RINGING", "02:00:00:00:00"))
        },
        400,
        &[("Reason", "Malformed eid")],
        Untouched,
    ),
    row(
        "the node's own eid",
        |it| it.publish().body(device(&it.device, "RINGING", NODE_EID)),
        200,
        GRANTED,
        Untouched,
    ),
    row(
        "a name of 1000 characters",
        |it| it.publish().body(device(&"d".repeat(1000), "RINGING", EID)),
        400,
        &[("Reason", "Name too long")],
        Untouched,
    ),
    row(
        "a control character in a name",
        |it| it.publish().body(device("a\\u0007", "RINGING", EID)),
        400,
        &[("Reason", "Control character in a name")],
        Untouched,
    ),
    // For how long?
    row(
        "no Expires",
        |it| it.publish().set("X", "y"),
        200,
        GRANTED,
        Taken,
    ),
    row(
        "Expires 0 with a tag and a body: the body is applied first",
        |it| it.modify().set("Expires", "0"),
        200,
        &[("SIP-ETag", "*"), ("Expires", "0")],
        Taken,
    ),
    row(
        "Expires 0 with a tag",
        |it| {
            it.modify()
                .set("Expires", "0")
                .body("")
                .without("Content-Type")
        },
        200,
        &[("SIP-ETag", "*"), ("Expires", "0")],
        Untouched,
    ),
    row(
        "Expires 0 without a tag",
        |it| it.publish().set("Expires", "0"),
        412,
        REFUSED,
        Untouched,
    ),
    row(
        "Expires below the least",
        |it| it.publish().set("Expires", "9"),
        423,
        &[("Min-Expires", "10"), ("SIP-ETag", "-")],
        Untouched,
    ),
    row(
        "the least Expires",
        |it| it.publish().set("Expires", "10"),
        200,
        &[("Expires", "10")],
        Taken,
    ),
    row(
        "Expires above the most",
        |it| it.publish().set("Expires", "7201"),
        200,
        &[("Expires", "7200")],
        Taken,
    ),
    row(
        "Expires beyond 32 bits",
        |it| it.publish().set("Expires", "4294967296"),
        200,
        &[("Expires", "7200")],
        Taken,
    ),
    row(
        "Expires that is no number",
        |it| it.publish().set("Expires", "soon"),
        400,
        &[("Reason", "Malformed Expires header")],
        Untouched,
    ),
    // Is it a request at all?
    row(
        "no Via",
        |it| it.publish().without("Via"),
        400,
        &[("Reason", "Missing Via header")],
        Untouched,
    ),
    row(
        "no From",
        |it| it.publish().without("From"),
        400,
        &[("Reason", "Missing From header")],
        Untouched,
    ),
    row(
        "no To",
        |it| it.publish().without("To"),
        400,
        &[("Reason", "Missing To header")],
        Untouched,
    ),
    row(
        "no Call-ID",
        |it| it.publish().without("Call-ID").set("Subject", "x"),
        400,
        &[("Reason", "Missing Call-ID header")],
        Untouched,
    ),
    row(
        "no CSeq",
        |it| it.publish().without("CSeq"),
        400,
        &[("Reason", "Missing CSeq header")],
        Untouched,
    ),
    row(
        "no Max-Forwards",
        |it| it.publish().without("Max-Forwards"),
        200,
        GRANTED,
        Taken,
    ),
    by(
        By::Datagram,
        row(
            "no Content-Length: the rest of the datagram",
            |it| it.publish().without("Content-Length"),
            200,
            GRANTED,
            Taken,
        ),
    ),
    by(
        By::Datagram,
        row(
            "Content-Length too large",
            |it| it.publish().set("Content-Length", "1000"),
            400,
            &[("Reason", "Body shorter than Content-Length")],
            Untouched,
        ),
    ),
    by(
        By::Datagram,
        row(
            "Content-Length too small: the rest is cut off",
            |it| {
                it.publish()
                    .trailing(format!("{} and more", it.body()).as_bytes())
            },
            200,
            GRANTED,
            Taken,
        ),
    ),
    row(
        "Require",
        |it| it.publish().set("Require", "100rel, x"),
        420,
        &[("Unsupported", "100rel, x")],
        Untouched,
    ),
    row(
        "CSeq of another method",
        |it| it.publish().set("CSeq", "1 NOTIFY"),
        400,
        &[("Reason", "CSeq method differs from the request")],
        Untouched,
    ),
    row(
        "compact forms, any case, blanks and folds",
        compact,
        200,
        GRANTED,
        Taken,
    ),
    // Other methods.
    row(
        "OPTIONS",
        |_| Draft::new("OPTIONS", "sip:127.0.0.1"),
        200,
        UNDERSTOOD,
        Untouched,
    ),
    row(
        "CANCEL",
        |_| Draft::new("CANCEL", "sip:instance1@127.0.0.1"),
        481,
        &[],
        Untouched,
    ),
    row(
        "SUBSCRIBE",
        |_| Draft::new("SUBSCRIBE", "sip:instance1@127.0.0.1").set("Event", DEVICE_STATE),
        405,
        METHODS,
        Untouched,
    ),
    row(
        "REGISTER",
        |_| Draft::new("REGISTER", "sip:127.0.0.1"),
        405,
        METHODS,
        Untouched,
    ),
    row(
        "INVITE",
        |_| Draft::new("INVITE", "sip:instance1@127.0.0.1"),
        405,
        METHODS,
        Untouched,
    ),
    row(
        "a method that nobody knows",
        |_| Draft::new("DANCE", "sip:instance1@127.0.0.1"),
        405,
        METHODS,
        Untouched,
    ),
    // One request with everything wrong, put right from the first check to the last.
    row(
        "order: the endpoint",
        |it| from(worst(it), "nobody"),
        401,
        CHALLENGED,
        Untouched,
    ),
    row(
        "order: the credentials",
        |it| from(worst(it), "secured"),
        401,
        CHALLENGED,
        Untouched,
    ),
    row("order: the scheme", worst, 416, REFUSED, Untouched),
    row(
        "order: the resource",
        |it| worst(it).start("PUBLISH sip:nothing@127.0.0.1 SIP/2.0"),
        404,
        REFUSED,
        Untouched,
    ),
    row("order: the event", bad, 489, EVENTS, Untouched),
    row(
        "order: the tag",
        |it| bad(it).set("Event", DEVICE_STATE),
        412,
        REFUSED,
        Untouched,
    ),
    row(
        "order: the expiry",
        |it| {
            bad(it)
                .set("Event", DEVICE_STATE)
                .set("SIP-If-Match", &it.tag)
        },
        423,
        &[("Min-Expires", "10")],
        Untouched,
    ),
    row(
        "order: the body",
        |it| {
            bad(it)
                .set("Event", DEVICE_STATE)
                .set("SIP-If-Match", &it.tag)
                .set("Expires", "10")
        },
        400,
        REFUSED,
        Untouched,
    ),
];

fn mailbox() -> String {
    format!(r#"{{"type":"mailboxstate","uniqueid":"100@default","old":2,"new":3,"eid":"{EID}"}}"#)
}

/// Everything is wrong but who it is.
fn worst(given: &Given) -> Draft {
    bad(given).start("PUBLISH tel:+15550123 SIP/2.0")
}

/// Event, tag, expiry and body are wrong.
fn bad(given: &Given) -> Draft {
    given
        .publish()
        .set("Event", "presence")
        .set("SIP-If-Match", "7")
        .set("Expires", "1")
        .body("{")
}

fn compact(given: &Given) -> Draft {
    let body = given.body();
    let mut draft = Draft::new("PUBLISH", "sip:instance1@127.0.0.1");
    for name in ["Via", "From", "To", "Call-ID", "Content-Length"] {
        draft = draft.without(name);
    }
    draft
        .also("v : SIP/2.0/@T@ 127.0.0.1\r\n ;branch=z9hG4bK@UNIQUE@")
        .also("F:\r\n\t<sip:instance1@127.0.0.1>\r\n ;tag=1")
        .also("t:<sip:instance1@127.0.0.1>")
        .also("i:@UNIQUE@")
        .also("o:asterisk-devicestate")
        .also("eXPIRES  :  3600")
        .also("C:application/json")
        .also(format!("l:    {}", body.len()))
        .trailing(body.as_bytes())
}

/// A nonce of another life of the node.
const NONCE: &str = "000000000000000000000000000000000000000000000000";

/// Credentials of `secured` for a PUBLISH to the resource of its name.
fn digest(password: &str, nonce: &str) -> String {
    let (uri, realm, cnonce) = ("sip:secured@127.0.0.1", "asterisk", "0a4f113b");
    let secret = ha1(Algorithm::Md5, "secured", realm, password);
    let request = DigestRequest {
        method: "PUBLISH",
        uri,
        nonce,
        body: b"",
        qop: Some((Qop::Auth, 1, cnonce)),
        cnonce_for_sess: None,
    };
    Credentials {
        username: "secured".into(),
        realm: realm.into(),
        nonce: nonce.into(),
        uri: uri.into(),
        response: response(Algorithm::Md5, &secret, &request),
        algorithm: Algorithm::Md5,
        cnonce: Some(cnonce.into()),
        nc: Some(1),
        qop: Some(Qop::Auth),
        opaque: None,
        userhash: false,
        proxy: false,
    }
    .to_string()
}

struct Bench {
    node: Node,
    ports: Ports,
    here: Ipv4Addr,
    peer: Ipv4Addr,
}

impl Bench {
    fn new() -> Self {
        Self::with("")
    }

    /// With more options of the node's own section.
    fn with(own: &str) -> Self {
        let (at, here, peer) = (address(), address(), address());
        let (ports, mut text) = Ports::new(at);
        // Nobody is held back for the number of what he sends: that is looked at elsewhere.
        text.push_str("[global]\ntype=global\nunidentified_request_count=0\n");
        for name in ["instance1", "other", "secured", "off", "filtered"] {
            text.push_str(&format!(
                "[{name}]\ntype=endpoint\n[{name}]\ntype=inbound-publication\nendpoint={name}\n\
                 event_asterisk-devicestate={name}\nevent_asterisk-mwi={name}\n"
            ));
        }
        for name in ["instance1", "other", "secured"] {
            text.push_str(&format!(
                "[{name}]\ntype=asterisk-publication\ndevice_state=yes\nmailbox_state=yes\n"
            ));
        }
        text.push_str(&format!(
            "[secured](+)\ntype=endpoint\nauth=secured\n[secured]\ntype=auth\nusername=secured\npassword=secret\n\
             [off]\ntype=asterisk-publication\n\
             [filtered]\ntype=asterisk-publication\ndevice_state=yes\ndevice_state_filter=^PJSIP/\n\
             [half]\ntype=endpoint\n[half]\ntype=inbound-publication\nendpoint=half\nevent_asterisk-devicestate=other\n\
             [dangling]\ntype=endpoint\n[dangling]\ntype=inbound-publication\nendpoint=dangling\nevent_asterisk-devicestate=nothing\n\
             [open]\ntype=inbound-publication\nevent_asterisk-devicestate=instance1\n\
             [out]\ntype=outbound-publish\nserver_uri=sip:node@{peer}\nevent=asterisk-devicestate\n"
        ));
        let node = Node::start(at, &format!("entity_id={NODE_EID}\n{own}"), &text);
        Self {
            node,
            ports,
            here,
            peer,
        }
    }

    fn said(&self, device: &str) -> Option<String> {
        self.node.said(device, EID)
    }

    /// Begins the publication that each row finds.
    fn given(&self, line: &mut Line, device_name: String) -> Given {
        let body = device(&device_name, "INUSE", EID);
        let tag = line
            .ask(Draft::publish("instance1", DEVICE_STATE, body))
            .tag();
        assert_eq!(self.said(&device_name).as_deref(), Some("INUSE"));
        Given {
            device: device_name,
            tag,
        }
    }

    /// What is wrong about a row.
    fn try_row(&self, row: &Row, transport: Transport, number: usize) -> Vec<String> {
        let mut line = self.ports.open(transport, self.here);
        let name = format!("Row/{number}/{}", transport.as_str());
        let given = self.given(&mut line, name);
        let request = (row.request)(&given).bytes();
        let answer = match row.by {
            By::Peer => self.ports.open(transport, self.peer).ask(request.clone()),
            By::Any | By::Datagram => line.ask(request.clone()),
        };
        let mut wrong = Vec::new();
        if answer.status != row.status {
            wrong.push(format!(
                "{} {}, not {}",
                answer.status,
                answer.reason(),
                row.status
            ));
        }
        for (name, expected) in row.headers {
            let found = match *name {
                "Reason" => Some(answer.reason()),
                name => answer.header(name),
            };
            if !fits(found, expected) {
                wrong.push(format!("{name}: {found:?}, not {expected:?}"));
            }
        }
        let state = match row.after {
            Taken => "RINGING",
            Untouched => "INUSE",
        };
        let said = self.said(&given.device);
        if said.as_deref() != Some(state) {
            wrong.push(format!("{said:?} after it, not {state}"));
        }
        // The publication that was there lives on, but where its tag has been used for the next one.
        let tag = format!("SIP-If-Match: {}", given.tag);
        let used = row.status == 200 && String::from_utf8_lossy(&request).contains(&tag);
        let refresh = Draft::publish("instance1", DEVICE_STATE, "").set("SIP-If-Match", &given.tag);
        let lives = line.ask(refresh).status == 200;
        if lives == used {
            wrong.push(format!("its publication lives on: {lives}"));
        }
        wrong
    }
}

fn fits(found: Option<&str>, expected: &str) -> bool {
    match (found, expected) {
        (None, "-") => true,
        (Some(_), "*") => true,
        (Some(found), expected) => match expected.strip_prefix('*') {
            Some(part) => found.contains(part.trim_end_matches('*')),
            None => found == expected,
        },
        (None, _) => false,
    }
}

#[test]
fn every_row_of_the_table_over_udp_and_tcp() {
    let bench = Bench::new();
    let mut wrong = Vec::new();
    for (number, row) in ROWS.iter().enumerate() {
        for transport in [Transport::Udp, Transport::Tcp] {
            if row.by == By::Datagram && transport != Transport::Udp {
                continue;
            }
            println!("{} over {}", row.what, transport.as_str());
            for error in bench.try_row(row, transport, number) {
                wrong.push(format!("{} over {}: {error}", row.what, transport.as_str()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn right_credentials_are_taken_once() {
    let bench = Bench::new();
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut line = bench.ports.open(transport, bench.here);
        let given = bench.given(&mut line, format!("Digest/{}", transport.as_str()));
        let challenge = line.ask(given.of("secured"));
        let header = challenge.header("WWW-Authenticate").unwrap().to_owned();
        assert!(
            header.contains("realm=\"asterisk\"") && !header.contains("stale"),
            "{header}"
        );
        let (_, nonce) = header.split_once("nonce=\"").unwrap();
        let (nonce, _) = nonce.split_once('"').unwrap();
        let answer = line.ask(
            given
                .of("secured")
                .set("Authorization", digest("secret", nonce)),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(bench.said(&given.device).as_deref(), Some("RINGING"));
        // Whoever has seen them cannot use them again, for another body either.
        let body = device(&given.device, "BUSY", EID);
        let again = given.of("secured").body(body);
        let answer = line.ask(again.set("Authorization", digest("secret", nonce)));
        let header = answer.header("WWW-Authenticate").unwrap();
        assert!(
            answer.status == 401 && header.contains("stale=true"),
            "{answer:?}"
        );
        assert_eq!(bench.said(&given.device).as_deref(), Some("RINGING"));
    }
}

#[test]
fn acks_and_answers_are_never_answered() {
    let bench = Bench::new();
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut line = bench.ports.open(transport, bench.here);
        line.send(&Draft::new("ACK", "sip:instance1@127.0.0.1").bytes());
        line.send(
            &Draft::new("PUBLISH", "sip:a@b")
                .start("SIP/2.0 200 OK")
                .bytes(),
        );
        line.send(
            &Draft::new("PUBLISH", "sip:a@b")
                .start("SIP/2.0 412 No")
                .bytes(),
        );
        let (answers, kept) = line.settle();
        assert!(answers.is_empty() && kept, "{answers:?}");
    }
}

#[test]
fn a_copy_of_a_request_gets_the_same_answer_and_changes_nothing() {
    let bench = Bench::new();
    let mut line = bench.ports.open(Transport::Udp, bench.here);
    let given = bench.given(&mut line, "Copy/1".to_owned());
    let fixed = |draft: Draft, branch: &str| {
        let via = format!("SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bK{branch}");
        draft.set("Via", via).set("Call-ID", branch).bytes()
    };
    let publications = || {
        let answer = bench.node.get("/api/v1/publications");
        answer.json["publications"].as_array().unwrap().len()
    };
    for (draft, branch) in [(given.publish(), "new"), (given.modify(), "next")] {
        let request = fixed(draft, branch);
        let first = line.ask(request.clone());
        let (tag, count) = (first.tag(), publications());
        for _ in 0..3 {
            let again = line.ask(request.clone());
            assert_eq!(again.tag(), tag);
            assert_eq!(again.header("To"), first.header("To"));
        }
        assert_eq!(publications(), count);
    }
    // A removal is gone, and its copy is answered all the same.
    let again = given.publish().set("Call-ID", "removed");
    let tag = line.ask(again).tag();
    let removal = given.publish().set("SIP-If-Match", tag).set("Expires", "0");
    let removal = fixed(removal.body("").without("Content-Type"), "removal");
    let count = publications();
    for _ in 0..3 {
        let answer = line.ask(removal.clone());
        assert_eq!((answer.status, answer.header("Expires")), (200, Some("0")));
        assert_eq!(publications(), count - 1);
    }
}

#[test]
fn fifty_new_publications_at_once_get_a_tag_each() {
    let bench = Bench::new();
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut line = bench.ports.open(transport, bench.here);
        let name = |number: usize| format!("Many/{}/{number}", transport.as_str());
        for number in 0..50 {
            let body = device(&name(number), "BUSY", EID);
            line.send(&Draft::publish("instance1", DEVICE_STATE, body).bytes());
        }
        let mut tags: Vec<String> = (0..50).map(|_| line.hear().unwrap().tag()).collect();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), 50);
        for number in 0..50 {
            assert_eq!(bench.said(&name(number)).as_deref(), Some("BUSY"));
        }
    }
}

#[test]
fn of_many_requests_with_one_tag_the_first_is_taken() {
    let bench = Bench::new();
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut line = bench.ports.open(transport, bench.here);
        let given = bench.given(&mut line, format!("Race/{}", transport.as_str()));
        for state in ["RINGING", "BUSY", "ONHOLD", "UNAVAILABLE"] {
            line.send(
                &given
                    .modify()
                    .body(device(&given.device, state, EID))
                    .bytes(),
            );
        }
        let answers: Vec<Answer> = (0..4).map(|_| line.hear().unwrap()).collect();
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 412, 412, 412]);
        assert_eq!(bench.said(&given.device).as_deref(), Some("RINGING"));
    }
}

#[test]
fn names_of_255_bytes_and_of_any_letters_are_taken() {
    let bench = Bench::new();
    let mut line = bench.ports.open(Transport::Udp, bench.here);
    for name in ["d".repeat(255), "J\u{fc}rgen \u{1f514} 100%".to_owned()] {
        let body = device(&name, "BUSY", EID);
        line.ask(Draft::publish("instance1", DEVICE_STATE, body))
            .tag();
        let devices = bench.node.get("/api/v1/devices").json.to_string();
        assert!(devices.contains(&name), "{devices}");
    }
}

#[test]
fn our_own_entity_id_is_reported() {
    let bench = Bench::new();
    let mut line = bench.ports.open(Transport::Udp, bench.here);
    let body = device("Echo/1", "BUSY", NODE_EID);
    line.ask(Draft::publish("instance1", DEVICE_STATE, body))
        .tag();
    wait_for("a report", || {
        let log = bench.node.process.log();
        log.contains("speaks under our own entity id").then_some(())
    });
    assert_eq!(bench.node.get("/api/v1/devices/Echo%2F1").status, 404);
}

#[test]
fn states_of_a_publication_that_is_removed_are_retracted_after_the_hold_time() {
    let bench = Bench::with("hold_time=1");
    let mut line = bench.ports.open(Transport::Udp, bench.here);
    let given = bench.given(&mut line, "Held/1".to_owned());
    let entity = || bench.node.get("/api/v1/devices/Held%2F1").json["entities"][0].clone();
    assert_ne!(entity()["lost"], true);
    let removal = given.modify().body("").without("Content-Type");
    line.ask(removal.set("Expires", "0")).tag();
    wait_for("a loss", || (entity()["lost"] == true).then_some(()));
    // What it says again counts again.
    line.ask(given.publish()).tag();
    wait_for("a return", || (entity()["lost"] != true).then_some(()));
    assert_eq!(bench.said(&given.device).as_deref(), Some("RINGING"));
}
