//! The paths that are measured, in time and allocations (`micro`) and in instructions (`instructions`), each set up so that it can be walked
//! again and again at the same cost.

use std::fmt;
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use lampwire_conf::Filter;
use lampwire_core::{Node, TransportId, sum};
use lampwire_sip::{
    Algorithm, Challenge, DeviceState, DigestRequest, EventPackage, HeaderName, Message, Method,
    Names, Qop, StateChange, Writer, ha1, response,
};

use self::bench::{Bench, PEER, Request, TAKES_ONLY};

#[path = "../../tests/it/bench.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod bench;

/// One time along a path.
pub(crate) type Walk = Box<dyn FnMut()>;

/// Something that Lampwire does for each change.
pub(crate) struct Path {
    name: &'static str,
    pub(crate) set_up: fn() -> Walk,
    /// In how many walks its instructions are counted: enough for what is done once in many, such as the end of transactions. None at 100,000
    /// states: to set them up under valgrind would take a minute.
    #[allow(dead_code, reason = "times are taken by another measure")]
    pub(crate) counted: usize,
}

impl Path {
    const fn new(name: &'static str, counted: usize, set_up: fn() -> Walk) -> Self {
        Self {
            name,
            set_up,
            counted,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Most walks that credentials are reckoned for beforehand, warming included.
const MOST_WALKS: usize = 50_000;
/// More requests than fit in the time for which a transaction over UDP is kept (64 T1), at one a [`STEP`]: from then on as many end as begin.
const WARMING: usize = 400;
/// How far the clock goes between two requests.
const STEP: Duration = Duration::from_millis(100);
/// From device to device, so that neighbours in time are none in memory. Prime, so that all are reached.
const STRIDE: usize = 7_919;

/// All paths, from the bytes to the whole node.
pub(crate) const PATHS: &[Path] = &[
    Path::new("sip_parse_publish", 1_000, || {
        let text = publish();
        Box::new(move || {
            black_box(Message::parse(black_box(text.as_bytes())).is_ok());
        })
    }),
    Path::new("sip_read_headers", 1_000, || {
        let text: &'static str = publish().leak();
        let message = Message::parse(text.as_bytes()).unwrap();
        Box::new(move || read_headers(black_box(&message)))
    }),
    Path::new("sip_print_200", 1_000, || {
        let text: &'static str = publish().leak();
        let message = Message::parse(text.as_bytes()).unwrap();
        let mut out = Vec::with_capacity(text.len());
        Box::new(move || print_200(&message, &mut out))
    }),
    Path::new("sip_print_publish", 1_000, || {
        let body = bench::device(DEVICE, "INUSE");
        let mut out = Vec::with_capacity(1024);
        Box::new(move || print_publish(body.as_bytes(), &mut out))
    }),
    Path::new("sip_parse_body", 1_000, || {
        let body = bench::device(DEVICE, "INUSE");
        Box::new(move || {
            let body = black_box(body.as_bytes());
            black_box(StateChange::parse(EventPackage::DeviceState, body).is_ok());
        })
    }),
    Path::new("sip_print_body", 1_000, || {
        let body = bench::device(DEVICE, "INUSE");
        let change = StateChange::parse(EventPackage::DeviceState, body.as_bytes());
        let change = change.unwrap().into_owned();
        let mut out = Vec::with_capacity(body.len());
        Box::new(move || {
            out.clear();
            black_box(&change).write(&mut out);
            black_box(&out);
        })
    }),
    Path::new("sip_digest_md5", 1_000, || check_digest(Algorithm::Md5)),
    Path::new("sip_digest_sha256", 1_000, || {
        check_digest(Algorithm::Sha256)
    }),
    Path::new("conf_filter_prefix", 1_000, || matching("^PJSIP/")),
    Path::new("conf_filter_automaton", 1_000, || {
        matching("^PJSIP/[0-9]{6}$")
    }),
    Path::new("core_sum_of_8", 1_000, || {
        let states = [DeviceState::NotInUse, DeviceState::InUse].repeat(4);
        Box::new(move || {
            black_box(sum(black_box(&states).iter().copied()));
        })
    }),
    Path::new("core_apply", 5_000, apply),
    Path::new("node_modify_1000", 2_000, || {
        exchange(1_000, &takes_only(), 0)
    }),
    Path::new("node_modify_10000", 2_000, || {
        exchange(10_000, &takes_only(), 0)
    }),
    Path::new("node_modify_100000", 0, || {
        exchange(100_000, &takes_only(), 0)
    }),
    Path::new("node_digest_1000", 2_000, || exchange(1_000, &guarded(), 0)),
    Path::new("node_digest_100000", 0, || exchange(100_000, &guarded(), 0)),
    Path::new("node_fan_out_50", 300, || exchange(100, &hub(50), 50)),
];

/// A device's name; those of the others have other digits.
const DEVICE: &str = "PJSIP/777777";
/// Stands where the number of a request goes: in its branch, the tag of its From, and its CSeq.
const NUMBER: usize = 8_888_888;
/// Stands where the entity tag goes.
const TAG: &str = "TTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT";

/// A modify PUBLISH of the peer's.
fn publish() -> String {
    modify("INUSE", "")
}

fn modify(state: &str, credentials: &str) -> String {
    let mut before = u32::try_from(NUMBER - 1).unwrap();
    Request::saying(DEVICE, state)
        .tag(TAG)
        .expires("3600")
        .extra(credentials)
        .text(&mut before)
}

/// Those that a node asks for after the ones that are typed by the parser.
fn read_headers(message: &Message<'_>) {
    black_box(message.call_id().is_ok());
    black_box(message.max_forwards().is_ok());
    black_box(message.expires().is_ok());
    black_box(message.if_match());
    black_box(message.require().count());
    black_box(message.credentials().count());
}

fn print_200(request: &Message<'_>, out: &mut Vec<u8>) {
    out.clear();
    let source = PEER_ADDRESS;
    let mut writer = Writer::reply(out, Names::Full, black_box(request), source, 200, "", "as1");
    writer
        .text(HeaderName::SipETag, TAG)
        .number(HeaderName::Expires, 3600);
    writer.finish();
    black_box(&out);
}

fn print_publish(body: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let uri = black_box("sip:node@127.0.0.2");
    let mut writer = Writer::request(out, Names::Full, Method::Publish, uri);
    writer
        .text(
            HeaderName::Via,
            "SIP/2.0/UDP 127.0.0.1:5060;rport;branch=z9hG4bK0123456789abcdef",
        )
        .text(
            HeaderName::From,
            "<sip:node@127.0.0.2>;tag=0123456789abcdef",
        )
        .text(HeaderName::To, "<sip:node@127.0.0.2>")
        .text(HeaderName::CallId, "0123456789abcdef0123456789abcdef")
        .header(HeaderName::CSeq, format_args!("{NUMBER} PUBLISH"))
        .number(HeaderName::MaxForwards, 70)
        .text(HeaderName::Event, "asterisk-devicestate")
        .text(HeaderName::SipIfMatch, TAG)
        .number(HeaderName::Expires, 3600);
    writer.finish_with_body("application/json", black_box(body));
    black_box(&out);
}

/// The digest of a request is reckoned and compared, the password's being known.
fn check_digest(algorithm: Algorithm) -> Walk {
    let secret = ha1(algorithm, USER, "asterisk", PASSWORD);
    let right = response(algorithm, &secret, &digest_request(TAG, 1));
    Box::new(move || {
        let reckoned = response(algorithm, black_box(&secret), &digest_request(TAG, 1));
        assert!(reckoned == right);
    })
}

fn matching(pattern: &str) -> Walk {
    let filter = Filter::parse(pattern).unwrap();
    Box::new(move || assert!(filter.is_match(black_box(DEVICE))))
}

/// A state of the node's own changes, which nobody is told of: what is left is the table.
fn apply() -> Walk {
    const STATES: usize = 1_000;
    let mut bench = Bench::new(TAKES_ONLY);
    quiet(&mut bench.node);
    let names: Vec<_> = (0..STATES)
        .map(|number| format!("PJSIP/{number:06}"))
        .collect();
    let mut turn = 0;
    let mut walk = move || {
        bench.set(&names[turn * STRIDE % STATES], said(turn, STATES));
        turn += 1;
    };
    (0..STATES).for_each(|_| walk());
    Box::new(walk)
}

/// What is said of a device in a turn: in each round over all of them the opposite of what was said in the round before.
const fn said(turn: usize, states: usize) -> DeviceState {
    if (turn / states).is_multiple_of(2) {
        DeviceState::InUse
    } else {
        DeviceState::NotInUse
    }
}

/// As a node is that nobody looks at, and that keeps nothing over a restart.
fn quiet(node: &mut Node) {
    node.watch(false);
    node.unkept();
}

const USER: &str = "peer";
const PASSWORD: &str = "light";
const URI: &str = "sip:peer@127.0.0.1";
const PEER_ADDRESS: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2)),
    5060,
);

/// A node whose one peer is known by its address.
fn takes_only() -> String {
    format!("{TAKES_ONLY}[peer]\ntype=identify\nendpoint=peer\nmatch=127.0.0.2\n")
}

/// The same, with a password.
fn guarded() -> String {
    let endpoint = "[peer]\ntype=endpoint\n";
    takes_only().replace(endpoint, &format!("{endpoint}auth=secret\n"))
        + &format!(
            "[secret]\ntype=auth\nusername={USER}\npassword={PASSWORD}\nsupported_algorithms_uas=SHA-256\nnonce_lifetime=86400\n"
        )
}

/// A hub that tells what its peer says to so many others.
fn hub(others: u8) -> String {
    let mut config = takes_only().replace("http_bind=\n", "http_bind=\nrelay=yes\n");
    for number in 0..others {
        config.push_str(&format!(
            "[b{number}]\ntype=endpoint\n\
             [b{number}]\ntype=outbound-publish\nserver_uri=sip:hub@127.0.1.{number}\nevent=asterisk-devicestate\n\
             @lanes=1\n@resync=0\n@probe=0\n@qualify_frequency=0\n\
             [b{number}]\ntype=asterisk-publication\ndevicestate_publish=b{number}\ndevice_state=yes\n"
        ));
    }
    config
}

/// The peer changes one of so many states, and has its 200. So many others are told, and answer 200 too. The peers' part is to copy some bytes,
/// without allocation.
fn exchange(states: usize, config: &str, others: usize) -> Walk {
    let mut exchange = Exchange::new(states, config);
    for _ in 0..states + WARMING {
        assert_eq!(exchange.walk(), others, "each change is told to the others");
    }
    assert_eq!(exchange.bench.node.states(), states);
    Box::new(move || {
        exchange.walk();
    })
}

struct Exchange {
    bench: Bench,
    states: usize,
    turn: usize,
    /// What the peer says of a device that is in use, and of one that is not.
    requests: [Template; 2],
    tag: Vec<u8>,
    /// Where the tag stands in a 200.
    tag_at: usize,
    /// Reckoned beforehand, one for each request; empty where nobody asks for them.
    credentials: Vec<String>,
    /// The answers of the others, one behind the other.
    answers: Vec<u8>,
    answers_end: Vec<(SocketAddr, usize)>,
}

impl Exchange {
    fn new(states: usize, config: &str) -> Self {
        let mut bench = Bench::new(config);
        quiet(&mut bench.node);
        grant_all(&mut bench);
        let mut first = Request::saying("PJSIP/000000", "NOT_INUSE");
        let mut answer = bench.ask(&first);
        let mut credentials = Vec::new();
        if answer.status() == 401 {
            let refusal = Message::parse(answer.0.as_bytes()).unwrap();
            let challenge = refusal.challenges().next().unwrap().unwrap();
            credentials = authorizations(&challenge, states + MOST_WALKS);
            first = first.extra(&credentials[0]);
            answer = bench.ask(&first);
        }
        grant_all(&mut bench);
        let placeholder = "A".repeat(credentials.first().map_or(0, String::len));
        let requests =
            ["INUSE", "NOT_INUSE"].map(|state| Template::new(modify(state, &placeholder)));
        // The answers to those that follow are longer by the digits of their numbers.
        let again = first
            .tag(answer.tag())
            .extra(credentials.get(1).map_or("", |line| line));
        let answer = bench.put(PEER, &again.text(&mut (u32::try_from(NUMBER).unwrap())));
        let answer = bench::Answer(answer.into_iter().next().unwrap());
        let mut exchange = Self {
            tag: answer.tag().as_bytes().to_vec(),
            tag_at: answer.0.find(answer.tag()).unwrap(),
            bench,
            states,
            turn: 0,
            requests,
            credentials: credentials.split_off(2.min(credentials.len())),
            answers: Vec::new(),
            answers_end: Vec::new(),
        };
        grant_all(&mut exchange.bench);
        exchange
    }

    /// To how many others the change was told.
    fn walk(&mut self) -> usize {
        let turn = self.turn;
        self.turn += 1;
        let request =
            &mut self.requests[usize::from(said(turn, self.states) == DeviceState::NotInUse)];
        request.write(Field::Number, &digits::<7>(1_000_000 + turn));
        request.write(Field::Device, &digits::<6>(turn * STRIDE % self.states));
        request.write(Field::Tag, &self.tag);
        if !self.credentials.is_empty() {
            let line = self.credentials.get(turn);
            let line = line.expect("nobody walks more than MOST_WALKS times");
            request.write(Field::Credentials, line.as_bytes());
        }
        self.bench.now.at = self.bench.now.at + STEP;
        self.bench.now.wall = self.bench.now.wall + STEP;
        let (node, now) = (&mut self.bench.node, self.bench.now);
        if node.poll_timeout().is_some_and(|at| at <= now.at) {
            node.handle_timeout(now);
        }
        node.handle_datagram(now, TransportId(0), PEER_ADDRESS, &request.text);
        let (answered, told) = self.settle();
        assert!(answered, "the peer has its 200");
        told
    }

    /// Takes what the node sends until it is quiet. Whether a 200 for the peer was there, and how many requests for the others.
    fn settle(&mut self) -> (bool, usize) {
        let (mut answered, mut told) = (false, 0);
        let (node, now) = (&mut self.bench.node, self.bench.now);
        loop {
            self.answers.clear();
            self.answers_end.clear();
            while let Some(transmit) = node.poll_transmit() {
                if transmit.remote == PEER_ADDRESS {
                    assert!(transmit.bytes.starts_with(b"SIP/2.0 200 OK\r\n"));
                    let (before, rest) = transmit.bytes.split_at(self.tag_at);
                    assert!(before.ends_with(b"\r\nSIP-ETag: "));
                    self.tag.copy_from_slice(&rest[..TAG.len()]);
                    answered = true;
                } else {
                    grant(transmit.bytes, &mut self.answers);
                    self.answers_end.push((transmit.remote, self.answers.len()));
                }
            }
            if self.answers_end.is_empty() {
                return (answered, told);
            }
            told += self.answers_end.len();
            let mut start = 0;
            for &(from, end) in &self.answers_end {
                node.handle_datagram(now, TransportId(0), from, &self.answers[start..end]);
                start = end;
            }
        }
    }
}

/// Answers all that the node asks the others, and what follows from that.
fn grant_all(bench: &mut Bench) {
    loop {
        let requests = bench.requests();
        requests.iter().for_each(|it| bench.grant(it, "tag"));
        if requests.is_empty() {
            return;
        }
    }
}

/// The 200 to a PUBLISH of the node's, which begins with the five headers that an answer repeats.
fn grant(request: &[u8], out: &mut Vec<u8>) {
    let mut ends = request
        .iter()
        .enumerate()
        .filter_map(|(at, byte)| (*byte == b'\n').then_some(at + 1));
    let (start, end) = (ends.next().unwrap(), ends.nth(4).unwrap());
    out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
    out.extend_from_slice(&request[start..end]);
    out.extend_from_slice(b"SIP-ETag: tag\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n");
}

/// A request in which the parts that change are written over.
struct Template {
    text: Vec<u8>,
    places: [Vec<usize>; 4],
}

#[derive(Clone, Copy)]
enum Field {
    Number,
    Device,
    Tag,
    Credentials,
}

impl Template {
    fn new(text: String) -> Self {
        let number = NUMBER.to_string();
        let device = DEVICE.trim_start_matches("PJSIP/");
        let places = [&number, device, TAG, "AAAAAAAA"]
            .map(|mark| text.match_indices(mark).map(|found| found.0).collect());
        let mut template = Self {
            text: text.into_bytes(),
            places,
        };
        // The marks of the credentials stand side by side: the first is where they begin.
        template.places[Field::Credentials as usize].truncate(1);
        template
    }

    fn write(&mut self, field: Field, value: &[u8]) {
        for &at in &self.places[field as usize] {
            self.text[at..at + value.len()].copy_from_slice(value);
        }
    }
}

/// The last so many digits of a number.
fn digits<const COUNT: usize>(mut number: usize) -> [u8; COUNT] {
    let mut digits = [b'0'; COUNT];
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(number % 10).unwrap();
        number /= 10;
    }
    digits
}

/// So many Authorization lines for a challenge, all of one length, each with a count of its own.
fn authorizations(challenge: &Challenge<'_>, count: usize) -> Vec<String> {
    let (realm, nonce) = (&*challenge.realm, &*challenge.nonce);
    let secret = ha1(Algorithm::Sha256, USER, realm, PASSWORD);
    let line = |count| {
        let digest = response(Algorithm::Sha256, &secret, &digest_request(nonce, count));
        format!(
            "Authorization: Digest username=\"{USER}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{URI}\", \
             response=\"{}\", algorithm=SHA-256, qop=auth, nc={count:08x}, cnonce=\"c0ffee\"\r\n",
            digest.as_str(),
        )
    };
    (1..).map(line).take(count).collect()
}

const fn digest_request(nonce: &str, count: u32) -> DigestRequest<'_> {
    DigestRequest {
        method: "PUBLISH",
        uri: URI,
        nonce,
        body: b"",
        qop: Some((Qop::Auth, count, "c0ffee")),
        cnonce_for_sess: None,
    }
}
