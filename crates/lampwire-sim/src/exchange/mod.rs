//! The exchanges that hold [`StockAsterisk`](crate::asterisk::StockAsterisk) to the real one: each is a list of steps as data, run
//! against the model on simulated time and against real Asterisks by the interop tests, and must come out the same.
//!
//! Texts in steps may hold placeholders: `{us}` is the exchange's name, by which our endpoint, resource, devices and mailboxes are called,
//! `{subject}` and `{we}` are the addresses, `{own}` the subject's entity id, `{tag}` the last tag that the subject has given, and `{tag1}`,
//! `{tag2}`... the first, the second...

mod list_receiving;
mod list_sending;
mod run;

use std::net::SocketAddr;

use lampwire_sip::EventPackage;

use crate::asterisk::{Login, Peer};

pub use self::run::{Subject, run};

/// Every exchange: what the subject receives, then what it sends.
pub fn all() -> impl Iterator<Item = &'static Exchange> {
    list_receiving::EXCHANGES
        .iter()
        .chain(list_sending::EXCHANGES)
}

/// The subject's entity id in every exchange.
pub const SUBJECT_EID: &str = "02:00:00:00:00:01";

/// Some steps between us and an Asterisk, and what it must do at each.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// Its name: letters, digits and `_`.
    pub name: &'static str,
    /// What it shows, in a few words.
    pub shows: &'static str,
    /// What the subject is configured to do with us.
    pub link: Link,
    /// Where it holds.
    pub holds: Holds,
    /// What happens.
    pub steps: &'static [Step],
}

/// The Asterisks that an exchange holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// All, and the model.
    Everywhere,
    /// Asterisk 22, and the model.
    From22,
    /// Asterisk 16 only, not the model, which is a 22.
    On16,
}

/// What the subject is configured to do with us.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The events of our resource.
    pub takes: &'static [EventPackage],
    /// What the asterisk-publication lets in; `None`: there is no such section.
    pub keeps: Option<&'static [EventPackage]>,
    /// The asterisk-publication lets only our first device in.
    pub keeps_first_only: bool,
    /// What it publishes to us.
    pub publishes: &'static [EventPackage],
    /// It asks for a refresh over its publishes.
    pub asks_refresh: bool,
    /// We must know [`PASSWORD`].
    pub demands: bool,
    /// It knows [`PASSWORD`].
    pub answers: bool,
    /// Seconds that its publications live.
    pub expiration: u32,
    /// There is a second endpoint with a resource, `{us}_2`, and a resource `{us}_3` that is for that endpoint alone.
    pub others: bool,
}

/// The password of all digests, for [`USERNAME`].
pub const PASSWORD: &str = "correct horse";
/// The user name of all digests.
pub const USERNAME: &str = "lamp";

/// Both events.
pub const BOTH: &[EventPackage] = &[EventPackage::DeviceState, EventPackage::Mwi];
/// Device states alone.
pub const DEVICES: &[EventPackage] = &[EventPackage::DeviceState];
/// Mailbox states alone.
pub const MAILBOXES: &[EventPackage] = &[EventPackage::Mwi];

impl Link {
    /// It takes everything and tells nothing.
    pub const TAKES: Self = Self {
        takes: BOTH,
        keeps: Some(BOTH),
        keeps_first_only: false,
        publishes: &[],
        asks_refresh: false,
        demands: false,
        answers: false,
        expiration: 3600,
        others: false,
    };
    /// It takes everything and tells its devices.
    pub const TELLS: Self = Self {
        publishes: DEVICES,
        ..Self::TAKES
    };
}

impl Exchange {
    /// One that holds everywhere.
    pub(crate) const fn new(
        name: &'static str,
        shows: &'static str,
        link: Link,
        steps: &'static [Step],
    ) -> Self {
        Self {
            name,
            shows,
            link,
            holds: Holds::Everywhere,
            steps,
        }
    }

    /// The same, for these Asterisks only.
    pub(crate) const fn on(self, holds: Holds) -> Self {
        Self { holds, ..self }
    }

    /// Whether it says what the model does.
    pub fn holds_for_model(&self) -> bool {
        self.holds != Holds::On16
    }

    /// The name of our first device, or of another number.
    pub fn device(&self, number: &str) -> String {
        format!("Custom:{}:{number}", self.name)
    }

    /// The name of our mailbox.
    pub fn mailbox(&self) -> String {
        format!("{}@default", self.name)
    }

    /// Whether it changes a mailbox of the subject's own.
    pub fn sets_mailbox(&self) -> bool {
        let sets = |step: &Step| matches!(step, Step::SetMailbox(..));
        self.steps.iter().any(sets)
    }

    /// Whether it sends something to the subject, and so uses up tags.
    pub fn sends(&self) -> bool {
        let sends = |step: &Step| matches!(step, Step::Send(_));
        self.steps.iter().any(sends)
    }

    /// The configuration of its link, with us at this address.
    pub fn peers(&self, we: SocketAddr) -> Vec<Peer> {
        let Link {
            takes,
            keeps,
            keeps_first_only,
            publishes,
            asks_refresh,
            demands,
            answers,
            expiration,
            others,
        } = self.link;
        let login = |wanted: bool| {
            wanted.then(|| Login {
                username: USERNAME.to_owned(),
                password: PASSWORD.to_owned(),
            })
        };
        let mut peers = vec![Peer {
            takes: takes.to_vec(),
            keeps: keeps.map(<[_]>::to_vec),
            keeps_devices: if keeps_first_only {
                self.device("1")
            } else {
                String::new()
            },
            publishes: publishes.to_vec(),
            tells_devices: self.device(""),
            tells_mailboxes: self.name.to_owned(),
            asks_refresh,
            demands: login(demands),
            answers: login(answers),
            expiration,
            ..Peer::new(self.name, we, self.name)
        }];
        if others {
            let second = format!("{}_2", self.name);
            for (number, endpoint) in [(2, None), (3, Some(second))] {
                peers.push(Peer {
                    endpoint,
                    publishes: Vec::new(),
                    asks_refresh: false,
                    ..Peer::new(&format!("{}_{number}", self.name), we, self.name)
                });
            }
        }
        peers
    }
}

/// One thing that happens in an exchange.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// We send a request.
    Send(Request),
    /// We send this text, with line ends as SIP has them, a new branch as `{branch}`, and the body's length as `{length}`.
    SendText(&'static str),
    /// The subject answers the oldest of our requests that has no answer yet.
    Expect(Expected),
    /// The subject answers so many requests with these statuses, in whatever order.
    ExpectAll(&'static [u16]),
    /// Neither an answer nor a request comes for so many milliseconds, but copies of a request.
    Silence(u64),
    /// The subject sends a copy of its last request.
    ExpectCopy,
    /// One of the subject's own devices is in a state: its number, and the state.
    SetDevice(&'static str, &'static str),
    /// Our mailbox, as one of the subject's own, holds so many new and old messages.
    SetMailbox(u16, u16),
    /// The subject sends a PUBLISH.
    ExpectPublish(Told),
    /// We answer the subject's last request: the status, and headers, each with a line end.
    Answer(u16, &'static str),
    /// We answer the subject's last request twice, with 200 and this tag.
    AnswerTwice(&'static str),
    /// The subject sends these bodies in whatever order, each once it has been answered 200.
    ExpectDump(&'static [&'static str]),
    /// The subject shows a state for one of our devices, all entity ids summed up.
    Device(&'static str, Option<&'static str>),
    /// The subject shows these new and old messages for our mailbox.
    Mailbox(Option<(u32, u32)>),
    /// The subject shows a state for a device of this whole name.
    DeviceNamed(&'static str, &'static str),
}

/// A PUBLISH of ours; a header that is `None` is left out.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The method, in the first line and in CSeq.
    pub method: &'static str,
    /// The request-URI.
    pub uri: &'static str,
    /// The user of From, who we are to the subject.
    pub from: &'static str,
    /// Event.
    pub event: Option<&'static str>,
    /// SIP-If-Match.
    pub if_match: Option<&'static str>,
    /// Expires.
    pub expires: Option<&'static str>,
    /// Content-Type, where there is a body.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: &'static str,
    /// What is said to be the body's length; `None`: what it is.
    pub content_length: Option<&'static str>,
    /// The answer to the last challenge.
    pub credentials: Option<Claim>,
    /// With the branch of the request before: a copy of it.
    pub copy: bool,
    /// Other headers, each with a line end.
    pub headers: &'static str,
}

/// Who we say we are, in credentials.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The user name.
    pub username: &'static str,
    /// The password.
    pub password: &'static str,
    /// Another nonce than that of the challenge.
    pub nonce: Option<&'static str>,
}

/// What is expected of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The status.
    pub status: u16,
    /// What is expected of its SIP-ETag.
    pub tag: Tag,
    /// Its Expires; `None`: any or none.
    pub expires: Option<&'static str>,
    /// It has a challenge, which the next credentials answer.
    pub challenge: bool,
}

/// What is expected of a SIP-ETag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// There is none.
    None,
    /// An integer above all that were given before.
    Above,
    /// The one that follows the one before.
    Next,
    /// The one that follows the one after the one before: one has been used up unseen.
    NextButOne,
    /// That of the answer before.
    Same,
}

/// What is expected of a PUBLISH of the subject.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Its SIP-If-Match; `None`: it is an initial one.
    pub tag: Option<&'static str>,
    /// Its body, as JSON; empty: none.
    pub body: &'static str,
    /// Its Expires.
    pub expires: &'static str,
    /// How it goes on from the request before.
    pub follows: Follows,
    /// Its event.
    pub event: EventPackage,
    /// It has credentials, and they are right.
    pub credentials: bool,
}

/// How a request goes on from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// With the same Call-ID, and a CSeq one higher.
    On,
    /// With a Call-ID of its own.
    Anew,
    /// It is the first, or it does not matter.
    Any,
}

/// The name of the device event.
pub const DEVICE_EVENT: &str = "asterisk-devicestate";
/// The name of the mailbox event.
pub const MAILBOX_EVENT: &str = "asterisk-mwi";

impl Request {
    /// An initial PUBLISH of a device state, without its body.
    pub const INITIAL: Self = Self {
        method: "PUBLISH",
        uri: "sip:{us}@{subject}",
        from: "{us}",
        event: Some(DEVICE_EVENT),
        if_match: None,
        expires: Some("3600"),
        content_type: Some("application/json"),
        body: "",
        content_length: None,
        credentials: None,
        copy: false,
        headers: "",
    };
    /// The same with the last tag.
    pub const MODIFY: Self = Self {
        if_match: Some("{tag}"),
        ..Self::INITIAL
    };
    /// An initial PUBLISH of a mailbox state, without its body.
    pub const MAILBOX: Self = Self {
        event: Some(MAILBOX_EVENT),
        ..Self::INITIAL
    };
}

impl Claim {
    /// Who we are.
    pub const RIGHT: Self = Self {
        username: USERNAME,
        password: PASSWORD,
        nonce: None,
    };
}

impl Expected {
    /// 200 with a tag above all others.
    pub const OK: Self = Self {
        status: 200,
        tag: Tag::Above,
        expires: None,
        challenge: false,
    };
    /// 200 with the tag after the one before.
    pub const OK_NEXT: Self = Self {
        tag: Tag::Next,
        ..Self::OK
    };
    /// 401 with a challenge.
    pub const CHALLENGE: Self = Self {
        challenge: true,
        ..refused_as(401)
    };
}

const fn refused_as(status: u16) -> Expected {
    Expected {
        status,
        tag: Tag::None,
        expires: None,
        challenge: false,
    }
}

/// An answer of this status without a tag.
pub const fn refused(status: u16) -> Step {
    Step::Expect(refused_as(status))
}

/// We send an initial PUBLISH of a device with this body.
pub const fn initial(body: &'static str) -> Step {
    Step::Send(Request {
        body,
        ..Request::INITIAL
    })
}

/// We send a PUBLISH with the last tag and this body; without one it is a refresh.
pub const fn modify(body: &'static str) -> Step {
    Step::Send(Request {
        body,
        ..Request::MODIFY
    })
}

/// We send an initial PUBLISH of a mailbox with this body.
pub const fn mailbox(body: &'static str) -> Step {
    Step::Send(Request {
        body,
        ..Request::MAILBOX
    })
}

/// The subject answers 200 with a tag above all others.
pub const GRANTED: Step = Step::Expect(Expected::OK);

impl Told {
    /// The first PUBLISH of the device publish, without its body.
    pub const INITIAL: Self = Self {
        tag: None,
        body: "",
        expires: "3600",
        follows: Follows::Any,
        event: EventPackage::DeviceState,
        credentials: false,
    };
}

/// The subject sends an initial PUBLISH of a device with this body.
pub const fn told(body: &'static str) -> Step {
    Step::ExpectPublish(Told {
        body,
        ..Told::INITIAL
    })
}

/// The subject sends a PUBLISH of a device with this tag and body, in the same publication as before.
pub const fn told_on(tag: &'static str, body: &'static str) -> Step {
    Step::ExpectPublish(Told {
        tag: Some(tag),
        body,
        follows: Follows::On,
        ..Told::INITIAL
    })
}

/// A body that gives a device of the exchange a state: `device!("INUSE")` the first, `device!("2", "INUSE")` another. The entity id is one
/// of ours.
macro_rules! device {
    ($state:literal) => {
        device!("1", $state)
    };
    ($number:literal, $state:literal) => {
        device!($number, $state, "02:00:00:00:0e:01")
    };
    ($number:literal, $state:literal, $eid:literal) => {
        concat!(
            r#"{"type":"devicestate","device":"Custom:{us}:"#,
            $number,
            r#"","state":""#,
            $state,
            r#"","cachable":1,"eid":""#,
            $eid,
            r#""}"#
        )
    };
}
/// A body that gives the exchange's mailbox its counts.
macro_rules! mailbox_body {
    ($new:literal, $old:literal) => {
        mailbox_body!($new, $old, "02:00:00:00:0e:01")
    };
    ($new:literal, $old:literal, $eid:literal) => {
        concat!(
            r#"{"type":"mailboxstate","uniqueid":"{us}@default","old":"#,
            $old,
            r#","new":"#,
            $new,
            r#","eid":""#,
            $eid,
            r#""}"#
        )
    };
}
use {device, mailbox_body};
