//! Runs the steps of an exchange against whatever can be spoken to.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use lampwire_sip::{Challenge, DigestRequest, HeaderName, Message, Qop, StartLine, ha1, response};
use serde_json::Value;

use super::{
    Claim, Exchange, Expected, Follows, PASSWORD, Request, SUBJECT_EID, Step, Tag, Told, USERNAME,
};

/// How long what must come may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time between two looks at what the subject shows.
const LOOK: Duration = Duration::from_millis(20);

/// The pause between an initial PUBLISH's answer and what follows: the answer can leave before the publication can be found.
const SETTLE: Duration = Duration::from_millis(20);

/// What an exchange is run against, and the wire between us.
pub trait Subject {
    /// Where the subject takes SIP.
    fn address(&self) -> SocketAddr;
    /// Where we do.
    fn our_address(&self) -> SocketAddr;
    /// The time since some moment before the exchange.
    fn elapsed(&self) -> Duration;
    /// A datagram from us to the subject.
    ///
    /// # Errors
    /// The laboratory fails.
    fn send(&mut self, datagram: &[u8]) -> Result<(), String>;
    /// The next datagram from the subject to us; `None` after the time given.
    ///
    /// # Errors
    /// The laboratory fails.
    fn receive(&mut self, within: Duration) -> Result<Option<Vec<u8>>, String>;
    /// One of the subject's own devices is in a state.
    ///
    /// # Errors
    /// The laboratory fails.
    fn set_device(&mut self, name: &str, state: &str) -> Result<(), String>;
    /// One of the subject's own mailboxes holds so many new and old messages.
    ///
    /// # Errors
    /// The laboratory fails.
    fn set_mailbox(&mut self, name: &str, new: u16, old: u16) -> Result<(), String>;
    /// What the subject shows for a device, all entity ids summed up; `None`: nothing.
    ///
    /// # Errors
    /// The laboratory fails.
    fn device(&mut self, name: &str) -> Result<Option<String>, String>;
    /// The new and old messages that the subject shows for a mailbox; `None`: nothing.
    ///
    /// # Errors
    /// The laboratory fails.
    fn mailbox(&mut self, name: &str) -> Result<Option<(u32, u32)>, String>;
}

/// Runs an exchange to its end.
///
/// # Errors
/// The step at which the subject does otherwise, and what it does.
pub fn run(exchange: &Exchange, subject: &mut dyn Subject) -> Result<(), String> {
    let mut run = Run {
        exchange,
        subject,
        answers: VecDeque::new(),
        requests: VecDeque::new(),
        branches: BTreeSet::new(),
        copies: 0,
        tags: Vec::new(),
        sent: 0,
        challenge: None,
        told: None,
    };
    for (index, step) in exchange.steps.iter().enumerate() {
        run.step(step).map_err(|problem| {
            let number = index + 1;
            format!("{}, step {number}, {step:?}: {problem}", exchange.name)
        })?;
    }
    // Nothing may be left over that nobody has asked for.
    run.silence(Duration::from_millis(1))
        .map_err(|problem| format!("{}, behind the last step: {problem}", exchange.name))
}

struct Run<'a> {
    exchange: &'a Exchange,
    subject: &'a mut dyn Subject,
    /// What the subject has answered, and we have not looked at.
    answers: VecDeque<Vec<u8>>,
    /// What the subject has sent, and we have not looked at; copies are only counted.
    requests: VecDeque<Vec<u8>>,
    branches: BTreeSet<String>,
    copies: usize,
    /// Every tag that the subject has given.
    tags: Vec<String>,
    /// Our requests so far.
    sent: u32,
    /// The last challenge's value.
    challenge: Option<String>,
    /// The subject's last request.
    told: Option<Vec<u8>>,
}

impl Run<'_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Send(request) => self.send(request),
            Step::SendText(text) => {
                self.sent += 1;
                let text = self.fill(&text.replace("{branch}", &self.branch()));
                let length = text.split_once("\n\n").map_or(0, |(_, body)| body.len());
                let text = text
                    .replace("{length}", &length.to_string())
                    .replace('\n', "\r\n");
                self.subject.send(text.as_bytes())
            }
            Step::Expect(expected) => {
                let answer = self.next_answer()?;
                self.check(expected, &answer)
                    .map_err(|problem| format!("{problem}:\n{}", text(&answer)))
            }
            Step::ExpectAll(statuses) => self.expect_all(statuses),
            Step::Silence(millis) => self.silence(Duration::from_millis(*millis)),
            Step::ExpectCopy => self.wait_for("a copy of its last request", |run| {
                run.copies = run.copies.checked_sub(1)?;
                Some(())
            }),
            Step::SetDevice(number, state) => {
                let name = self.exchange.device(number);
                self.subject.set_device(&name, state)
            }
            Step::SetMailbox(new, old) => {
                let name = self.exchange.mailbox();
                self.subject.set_mailbox(&name, *new, *old)
            }
            Step::ExpectPublish(told) => {
                let request = self.next_request()?;
                self.check_told(told, &request)
                    .map_err(|problem| format!("{problem}:\n{}", text(&request)))?;
                self.told = Some(request);
                Ok(())
            }
            Step::Answer(status, headers) => self.answer(*status, headers),
            Step::AnswerTwice(tag) => {
                let headers = format!("SIP-ETag: {tag}\nExpires: 3600\n");
                self.answer(200, &headers)?;
                self.answer(200, &headers)
            }
            Step::ExpectDump(bodies) => self.expect_dump(bodies),
            Step::Device(number, state) => {
                let name = self.exchange.device(number);
                self.shows(&state.map(str::to_owned), |subject| subject.device(&name))
            }
            Step::DeviceNamed(name, state) => {
                let name = self.fill(name);
                self.shows(&Some((*state).to_owned()), |subject| subject.device(&name))
            }
            Step::Mailbox(counts) => {
                let name = self.exchange.mailbox();
                self.shows(counts, |subject| subject.mailbox(&name))
            }
        }
    }

    /// Puts in what the placeholders stand for.
    fn fill(&self, text: &str) -> String {
        let mut text = text
            .replace("{us}", self.exchange.name)
            .replace("{subject}", &self.subject.address().to_string())
            .replace("{we}", &self.subject.our_address().to_string())
            .replace("{own}", SUBJECT_EID);
        if let Some(tag) = self.tags.last() {
            text = text.replace("{tag}", tag);
        }
        for (index, tag) in self.tags.iter().enumerate() {
            text = text.replace(&format!("{{tag{}}}", index + 1), tag);
        }
        text
    }

    fn branch(&self) -> String {
        format!("z9hG4bK-{}-{}", self.exchange.name, self.sent)
    }

    fn send(&mut self, request: &Request) -> Result<(), String> {
        if !request.copy {
            self.sent += 1;
        }
        let (branch, number) = (self.branch(), self.sent);
        let (we, subject) = (self.subject.our_address(), self.subject.address());
        let (method, from) = (request.method, self.fill(request.from));
        let (uri, body) = (self.fill(request.uri), self.fill(request.body));
        let at = if from.is_empty() { "" } else { "@" };
        let mut text = format!(
            "{method} {uri} SIP/2.0\n\
             Via: SIP/2.0/UDP {we};rport;branch={branch}\n\
             From: <sip:{from}{at}{}>;tag=f{number}\n\
             To: <sip:{}@{}>\n\
             Call-ID: {}-{}\n\
             CSeq: {number} {method}\n",
            we.ip(),
            self.exchange.name,
            subject.ip(),
            self.exchange.name,
            we.port(),
        );
        let headers = [
            ("Event", request.event),
            ("SIP-If-Match", request.if_match),
            ("Expires", request.expires),
            (
                "Content-Type",
                request.content_type.filter(|_| !body.is_empty()),
            ),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                let _ = writeln!(text, "{name}: {}", self.fill(value));
            }
        }
        if let Some(claim) = &request.credentials {
            let _ = writeln!(text, "Authorization: {}", self.credentials(claim, &uri)?);
        }
        text.push_str("Max-Forwards: 70\n");
        text.push_str(&self.fill(request.headers));
        let length = request
            .content_length
            .map_or_else(|| body.len().to_string(), str::to_owned);
        let _ = write!(text, "Content-Length: {length}\n\n");
        let text = text.replace('\n', "\r\n") + &body;
        self.subject.send(text.as_bytes())
    }

    fn credentials(&self, claim: &Claim, uri: &str) -> Result<String, String> {
        let challenge = self.challenge.as_deref().ok_or("no challenge has come")?;
        let challenge = Challenge::parse(challenge, false).ok_or("the challenge is malformed")?;
        let algorithm = challenge
            .algorithm
            .ok_or("the challenge's algorithm is unknown")?;
        let nonce = claim.nonce.unwrap_or(&challenge.nonce);
        let secret = ha1(algorithm, claim.username, &challenge.realm, claim.password);
        let request = DigestRequest {
            method: "PUBLISH",
            uri,
            nonce,
            body: b"",
            qop: challenge.qop.auth.then_some((Qop::Auth, 1, "0a4f113b")),
            cnonce_for_sess: None,
        };
        let qop = match challenge.qop.auth {
            true => ",qop=auth,nc=00000001,cnonce=\"0a4f113b\"",
            false => "",
        };
        let opaque = challenge.opaque.as_deref().unwrap_or_default();
        Ok(format!(
            "Digest username=\"{}\",realm=\"{}\",nonce=\"{nonce}\",uri=\"{uri}\",response=\"{}\",algorithm={},opaque=\"{opaque}\"{qop}",
            claim.username,
            challenge.realm,
            response(algorithm, &secret, &request).as_str(),
            algorithm.as_str(),
        ))
    }

    /// Takes a datagram in, if one comes in time; whether one did.
    fn take(&mut self, within: Duration) -> Result<bool, String> {
        let Some(datagram) = self.subject.receive(within)? else {
            return Ok(false);
        };
        let message = Message::parse(&datagram)
            .map_err(|error| format!("the subject sends {error}:\n{}", text(&datagram)))?;
        if let Some(defect) = message.defect() {
            return Err(format!(
                "the subject sends what is malformed, {defect}:\n{}",
                text(&datagram)
            ));
        }
        match message.start() {
            StartLine::Response { status, .. } if status < 200 => {}
            StartLine::Response { .. } => self.answers.push_back(datagram),
            StartLine::Request { .. } => {
                let branch = message.via().ok().and_then(|via| via.branch);
                if self.branches.insert(branch.unwrap_or_default().to_owned()) {
                    self.requests.push_back(datagram);
                } else {
                    self.copies += 1;
                }
            }
        }
        Ok(true)
    }

    fn wait_for<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, String> {
        let deadline = self.subject.elapsed() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            let left = deadline.saturating_sub(self.subject.elapsed());
            if !self.take(left)? && self.subject.elapsed() >= deadline {
                return Err(format!("{what} does not come"));
            }
        }
    }

    fn next_answer(&mut self) -> Result<Vec<u8>, String> {
        self.wait_for("an answer", |run| run.answers.pop_front())
    }

    fn next_request(&mut self) -> Result<Vec<u8>, String> {
        let request = self.wait_for("a request", |run| run.requests.pop_front())?;
        self.copies = 0;
        Ok(request)
    }

    /// Lets time pass; what comes in it is kept.
    fn pass(&mut self, time: Duration) -> Result<(), String> {
        let deadline = self.subject.elapsed() + time;
        loop {
            let left = deadline.saturating_sub(self.subject.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            self.take(left)?;
        }
    }

    fn silence(&mut self, time: Duration) -> Result<(), String> {
        self.pass(time)?;
        match self.answers.front().or(self.requests.front()) {
            Some(message) => Err(format!("the subject says\n{}", text(message))),
            None => Ok(()),
        }
    }

    fn check(&mut self, expected: &Expected, answer: &[u8]) -> Result<(), String> {
        let message = Message::parse(answer).map_err(|error| error.to_string())?;
        let StartLine::Response { status, .. } = message.start() else {
            return Err("this is no answer".to_owned());
        };
        if status != expected.status {
            return Err(format!("{status} instead of {}", expected.status));
        }
        if message
            .to()
            .map_err(|defect| defect.to_string())?
            .tag()
            .is_none()
        {
            return Err("To has no tag".to_owned());
        }
        let via = message.via().map_err(|defect| defect.to_string())?;
        if via.rport != Some(Some(self.subject.our_address().port())) {
            return Err("Via does not say where we are".to_owned());
        }
        self.check_tag(expected.tag, message.etag())?;
        if let Some(expires) = expected.expires
            && message.header(HeaderName::Expires) != Some(expires)
        {
            return Err(format!("Expires is not {expires}"));
        }
        let challenge = message.header(HeaderName::WwwAuthenticate);
        if expected.challenge != challenge.is_some() {
            return Err("the challenge".to_owned());
        }
        if let Some(challenge) = challenge {
            self.challenge = Some(challenge.to_owned());
        }
        self.pass(SETTLE)
    }

    fn check_tag(&mut self, expected: Tag, tag: Option<&str>) -> Result<(), String> {
        let Some(tag) = tag else {
            return match expected {
                Tag::None => Ok(()),
                _ => Err("there is no SIP-ETag".to_owned()),
            };
        };
        let number: i64 = tag
            .parse()
            .map_err(|_| format!("SIP-ETag {tag} is no integer"))?;
        let highest = self.tags.iter().filter_map(|tag| tag.parse::<i64>().ok());
        let highest = highest.max();
        let fits = match (expected, highest) {
            (Tag::None, _) => false,
            (Tag::Above, highest) => highest.is_none_or(|highest| number > highest),
            (Tag::Next, Some(highest)) => number == highest + 1,
            (Tag::NextButOne, Some(highest)) => number == highest + 2,
            (Tag::Same, Some(highest)) => number == highest,
            (Tag::Next | Tag::NextButOne | Tag::Same, None) => false,
        };
        if !fits {
            return Err(format!("SIP-ETag is {tag}, after {:?}", self.tags));
        }
        self.tags.push(tag.to_owned());
        Ok(())
    }

    fn expect_all(&mut self, statuses: &[u16]) -> Result<(), String> {
        let mut missing = statuses.to_vec();
        while !missing.is_empty() {
            let answer = self.next_answer()?;
            let message = Message::parse(&answer).map_err(|error| error.to_string())?;
            let StartLine::Response { status, .. } = message.start() else {
                continue;
            };
            let Some(index) = missing.iter().position(|it| *it == status) else {
                return Err(format!("{status}, and still to come are {missing:?}"));
            };
            missing.swap_remove(index);
            if let Some(tag) = message.etag() {
                if self.tags.iter().any(|it| it == tag) {
                    return Err(format!("tag {tag} is given twice"));
                }
                self.tags.push(tag.to_owned());
            }
        }
        self.pass(SETTLE)
    }

    fn check_told(&self, told: &Told, request: &[u8]) -> Result<(), String> {
        let message = Message::parse(request).map_err(|error| error.to_string())?;
        let StartLine::Request { method, uri } = message.start() else {
            return Err("this is no request".to_owned());
        };
        let wanted_uri = self.fill("sip:{us}@{we}");
        if method.as_str() != "PUBLISH" || uri != wanted_uri {
            return Err(format!("not a PUBLISH {wanted_uri}"));
        }
        let event = message.event().ok().flatten();
        if event.is_none_or(|event| event.package != told.event.as_str()) {
            return Err("another event".to_owned());
        }
        if message.if_match() != told.tag {
            return Err(format!("not with SIP-If-Match {:?}", told.tag));
        }
        if message.header(HeaderName::Expires) != Some(told.expires) {
            return Err(format!("not with Expires {}", told.expires));
        }
        let body = self.fill(told.body);
        if message.body() != body.as_bytes() && !same_json(message.body(), body.as_bytes()) {
            return Err(format!("not with the body {body}"));
        }
        if !body.is_empty()
            && !message
                .content_type()
                .is_some_and(|it| it.is("application", "json"))
        {
            return Err("not with Content-Type application/json".to_owned());
        }
        let user = wanted_uri.split('@').next().unwrap_or_default();
        for address in [message.from(), message.to()] {
            let address = address.map_err(|defect| defect.to_string())?;
            if !address.uri.starts_with(user) {
                return Err(format!("{} is not {user}", address.uri));
            }
        }
        self.check_follows(told.follows, &message)?;
        if told.credentials != message.credentials().next().is_some() {
            return Err("the credentials".to_owned());
        }
        for credentials in message.credentials() {
            let it = credentials.map_err(|defect| defect.to_string())?;
            let secret = ha1(it.algorithm, USERNAME, &it.realm, PASSWORD);
            let nc = it.nc.unwrap_or(0);
            let cnonce = it.cnonce.as_deref().unwrap_or_default();
            let request = DigestRequest {
                method: "PUBLISH",
                uri: &it.uri,
                nonce: &it.nonce,
                body: b"",
                qop: it.qop.map(|qop| (qop, nc, cnonce)),
                cnonce_for_sess: None,
            };
            if it.response != response(it.algorithm, &secret, &request) {
                return Err("the digest is wrong".to_owned());
            }
        }
        Ok(())
    }

    fn check_follows(&self, follows: Follows, message: &Message<'_>) -> Result<(), String> {
        let Some(told) = &self.told else {
            return Ok(());
        };
        let before = Message::parse(told).map_err(|error| error.to_string())?;
        let same = before.call_id() == message.call_id();
        let numbers = [before.cseq(), message.cseq()].map(|it| it.map_or(0, |it| it.number));
        match follows {
            Follows::On if !same || numbers[1] != numbers[0] + 1 => Err(format!(
                "it does not go on from the request before, {numbers:?}"
            )),
            Follows::Anew if same => {
                Err("it goes on with the Call-ID of the one before".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn answer(&mut self, status: u16, headers: &str) -> Result<(), String> {
        let told = self.told.as_ref().ok_or("there is nothing to answer")?;
        let message = Message::parse(told).map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        let source = self.subject.address();
        let names = lampwire_sip::Names::Full;
        let mut writer =
            lampwire_sip::Writer::reply(&mut answer, names, &message, source, status, "", "we");
        for line in self.fill(headers).lines() {
            if let Some((name, value)) = line.split_once(": ") {
                writer.raw(name, value);
            }
        }
        writer.finish();
        self.subject.send(&answer)
    }

    fn expect_dump(&mut self, bodies: &[&str]) -> Result<(), String> {
        let mut missing: Vec<String> = bodies.iter().map(|body| self.fill(body)).collect();
        while !missing.is_empty() {
            let request = self.next_request()?;
            let message = Message::parse(&request).map_err(|error| error.to_string())?;
            let found = missing
                .iter()
                .position(|body| same_json(message.body(), body.as_bytes()));
            let Some(index) = found else {
                return Err(format!(
                    "still to come are {missing:?}, not\n{}",
                    text(&request)
                ));
            };
            missing.swap_remove(index);
            let tag = format!("SIP-ETag: dump{}\nExpires: 3600\n", missing.len());
            self.told = Some(request);
            self.answer(200, &tag)?;
        }
        Ok(())
    }

    /// Looks at the subject until it shows what is wanted.
    fn shows<T: PartialEq + std::fmt::Debug>(
        &mut self,
        wanted: &T,
        mut look: impl FnMut(&mut dyn Subject) -> Result<T, String>,
    ) -> Result<(), String> {
        let deadline = self.subject.elapsed() + PATIENCE;
        loop {
            let seen = look(self.subject)?;
            if seen == *wanted {
                return Ok(());
            }
            if self.subject.elapsed() >= deadline {
                return Err(format!("it shows {seen:?}"));
            }
            self.pass(LOOK)?;
        }
    }
}

fn same_json(one: &[u8], other: &[u8]) -> bool {
    let [one, other] = [one, other].map(|it| serde_json::from_slice::<Value>(it).ok());
    one.is_some() && one == other
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
