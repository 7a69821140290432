//! Requests when they are due, and what became of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::bail;
use hdrhistogram::Histogram;
use lampwire_sip::{
    DeviceState, EntityId, EventPackage, HeaderName, Message, Method, Names, StartLine,
    StateChange, Writer,
};

use super::digest::Session;
use super::report::Progress;
use super::wire::{Carrier, Wire};

/// RFC 3261 17.1.2: the first pause before a copy of a request, and the longest.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// How often it is looked whether a copy is due, and how long nothing else is waited for.
const LOOK: Duration = Duration::from_millis(20);
/// How long the target may take to begin or end the publications, and for the last answers.
const PATIENCE: Duration = Duration::from_secs(5);
/// Publications that are begun or ended at a time.
const AT_A_TIME: usize = 64;
/// Requests that leave before answers are looked at.
const BURST: u64 = 64;
/// A request that leaves later than this after it was due, though its lane was free, was held up by this program.
const LATE: Duration = Duration::from_millis(1);
/// Challenges of one request: one to a nonce that was used before, one to the new one's count, and then the password is wrong.
const CHALLENGES_MAX: u8 = 2;
/// What publications are to live longer than the run, and the longest that is asked for, in seconds.
const EXPIRES_MORE: u64 = 120;
const EXPIRES_MAX: u64 = 3600;
/// The longest latency that is told apart, in microseconds.
const LATENCY_MAX: u64 = 600_000_000;

/// What is sent, how often.
pub(super) struct Plan {
    pub(super) uri: String,
    pub(super) user: Option<String>,
    pub(super) event: EventPackage,
    pub(super) eid: EntityId,
    /// A second.
    pub(super) rate: u32,
    pub(super) duration: Duration,
    pub(super) devices: u32,
    pub(super) lanes: u32,
    /// User and password of digests.
    pub(super) secret: Option<(String, String)>,
}

impl Plan {
    /// Requests of the whole run.
    pub(super) fn total(&self) -> u64 {
        self.duration.as_secs() * u64::from(self.rate)
    }

    /// When the n-th request is due, from the start.
    fn due(&self, number: u64) -> Duration {
        let nanos = u128::from(number) * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What was measured.
pub(super) struct Measured {
    /// From when a request was due, and from when it was sent, to its answer, in microseconds. Requests without an answer stand in the first
    /// with the time that they waited.
    pub(super) latency: Histogram<u64>,
    pub(super) service: Histogram<u64>,
    /// Final answers by status.
    pub(super) answers: BTreeMap<u16, u64>,
    /// Requests of the rate that left, copies and answers to challenges not counted.
    pub(super) sent: u64,
    pub(super) copies: u64,
    pub(super) challenges: u64,
    /// Requests that this program was late to send.
    pub(super) late: u64,
    /// From the start to the last answer.
    pub(super) took: Duration,
}

impl Measured {
    fn new() -> anyhow::Result<Self> {
        // Three digits: 1 % of any latency is seen.
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX, 3)?;
        Ok(Self {
            latency: histogram.clone(),
            service: histogram,
            answers: BTreeMap::new(),
            sent: 0,
            copies: 0,
            challenges: 0,
            late: 0,
            took: Duration::ZERO,
        })
    }

    /// Requests that a final answer came to.
    pub(super) fn answered(&self) -> u64 {
        self.answers.values().sum()
    }

    /// Those that were granted.
    pub(super) fn granted(&self) -> u64 {
        let good = |(status, count): (&u16, &u64)| (*status < 300).then_some(*count);
        self.answers.iter().filter_map(good).sum()
    }
}

/// A load on its way.
pub(super) struct Load<'a> {
    wire: Wire,
    lanes: Lanes<'a>,
    remote: SocketAddr,
}

/// All publications.
struct Lanes<'a> {
    plan: &'a Plan,
    all: Vec<Lane>,
    session: Option<Session>,
    measured: Measured,
    local: SocketAddr,
    carrier: Carrier,
    expires: u64,
    /// Tells this run's branches from those of any other.
    run: u64,
    /// Requests on their way.
    flying: usize,
    /// When copies are looked for again.
    look_at: Instant,
    body: Vec<u8>,
    /// Lanes whose request got a final answer, and those that have a new one after a challenge, since the last look.
    free: Vec<usize>,
    again: Vec<usize>,
}

#[derive(Default)]
struct Lane {
    tag: Option<String>,
    /// Changes begun.
    changes: u64,
    cseq: u32,
    request: Vec<u8>,
    flight: Option<Flight>,
    /// What the last request was answered by, if it was not granted.
    refused: Option<(u16, String)>,
}

#[derive(Clone, Copy)]
struct Flight {
    job: Job,
    due: Instant,
    sent: Instant,
    copy_at: Instant,
    pause: Duration,
    challenges: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Job {
    Begin,
    Change,
    End,
}

impl<'a> Load<'a> {
    pub(super) fn new(plan: &'a Plan, wire: Wire, remote: SocketAddr) -> anyhow::Result<Self> {
        // The system rounds short waits up by 50 us otherwise. Without it the figures are only a little worse.
        let _ = nix::sys::prctl::set_timerslack(1);
        let mut run = [0; 8];
        getrandom::fill(&mut run)
            .map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
        let lanes = Lanes {
            plan,
            all: (0..plan.lanes).map(|_| Lane::default()).collect(),
            session: None,
            measured: Measured::new()?,
            local: wire.local(),
            carrier: wire.carrier(),
            expires: (plan.duration.as_secs() + EXPIRES_MORE).min(EXPIRES_MAX),
            run: u64::from_ne_bytes(run),
            flying: 0,
            look_at: Instant::now(),
            body: Vec::new(),
            free: Vec::new(),
            again: Vec::new(),
        };
        Ok(Self {
            wire,
            lanes,
            remote,
        })
    }

    /// Begins all publications: the first alone, so that what is wrong is told by one request.
    pub(super) fn begin(&mut self) -> anyhow::Result<()> {
        let all = self.lanes.all.len();
        self.one_each(Job::Begin, 0..1)?;
        self.one_each(Job::Begin, 1..all)?;
        // The clock starts now, and so does the count.
        self.lanes.measured = Measured::new()?;
        Ok(())
    }

    /// Ends all publications. That the target does not take that is no reason to lose the figures.
    pub(super) fn end(&mut self) {
        self.lanes.land_all();
        let all = self.lanes.all.len();
        if self.one_each(Job::End, 0..all).is_err() {
            eprintln!(
                "not all publications could be removed; they end by themselves within {} s",
                self.lanes.expires
            );
        }
    }

    /// Sends one request on each of these lanes, some at a time, and waits for the answers.
    fn one_each(&mut self, job: Job, lanes: std::ops::Range<usize>) -> anyhow::Result<()> {
        let mut begin = Instant::now();
        let mut next = lanes.clone();
        loop {
            while self.lanes.flying < AT_A_TIME
                && let Some(index) = next.next()
            {
                let now = Instant::now();
                let lane = &mut self.lanes.all[index];
                if job == Job::End && lane.tag.is_none() {
                    lane.refused = None;
                    continue;
                }
                self.lanes.write(index, job, now, now, 0);
                self.send(index)?;
            }
            if self.lanes.flying == 0 {
                break;
            }
            if self.turn(LOOK)? {
                begin = Instant::now();
            }
            if self.wire.was_refused() {
                bail!("nothing listens at {}: the network says so", self.remote);
            }
            if begin.elapsed() > PATIENCE {
                self.lanes.land_all();
                bail!(
                    "{} does not answer within {} s: it may not take SIP over {} there, or not know who this is (--user, --bind)",
                    self.remote,
                    PATIENCE.as_secs(),
                    self.wire.carrier().as_str()
                );
            }
        }
        for index in lanes {
            if let Some((status, reason)) = &self.lanes.all[index].refused {
                bail!("{}", self.lanes.told(index, *status, reason));
            }
        }
        Ok(())
    }

    /// Sends what is due when it is due, and waits for the last answers.
    pub(super) fn measure(&mut self) -> anyhow::Result<Measured> {
        let plan = self.lanes.plan;
        let (total, lanes) = (plan.total(), u64::from(plan.lanes));
        let mut progress = Progress::new(plan, io::stderr().is_terminal());
        let start = Instant::now();
        let give_up = start + plan.duration + PATIENCE;
        // Requests that have become due.
        let mut due = 0;
        loop {
            let now = Instant::now();
            let burst = total.min(due + BURST);
            while due < burst && start + plan.due(due) <= now {
                let index = usize::try_from(due % lanes).unwrap_or(0);
                let at = start + plan.due(due);
                due += 1;
                let lane = &self.lanes.all[index];
                // One that is busy, or has not done what was due before, comes to it when it is answered.
                if lane.flight.is_none() && lane.changes == (due - 1) / lanes {
                    self.lanes.measured.late += u64::from(now - at > LATE);
                    self.change(index, at)?;
                }
            }
            let wait = if due < total {
                (start + plan.due(due)).saturating_duration_since(Instant::now())
            } else {
                LOOK
            };
            self.turn(wait.min(LOOK))?;
            while let Some(index) = self.lanes.free.pop() {
                let number = self.lanes.all[index].changes * lanes + index as u64;
                if number < due {
                    self.change(index, start + plan.due(number))?;
                }
            }
            progress.show(start.elapsed(), &self.lanes.measured);
            let all_sent = due == total && self.lanes.measured.sent == total;
            if (all_sent && self.lanes.flying == 0) || now > give_up {
                break;
            }
        }
        progress.clear();
        let mut measured = std::mem::replace(&mut self.lanes.measured, Measured::new()?);
        measured.took = start.elapsed();
        // What got no answer counts with what it has waited: to leave it out would flatter.
        for (index, lane) in (0..).zip(&self.lanes.all) {
            let answered = lane.changes - u64::from(lane.flight.is_some());
            for number in answered.. {
                let number = number * lanes + index;
                if number >= total {
                    break;
                }
                let waited = measured.took.saturating_sub(plan.due(number));
                measured.latency.saturating_record(micros(waited));
            }
        }
        self.lanes.land_all();
        Ok(measured)
    }

    fn change(&mut self, index: usize, due: Instant) -> anyhow::Result<()> {
        self.lanes.measured.sent += 1;
        self.lanes.write(index, Job::Change, due, Instant::now(), 0);
        self.send(index)
    }

    fn send(&mut self, index: usize) -> anyhow::Result<()> {
        self.wire.send(&self.lanes.all[index].request)
    }

    /// Takes what has come, or waits for it so long; sends copies that are due. Whether anything came.
    fn turn(&mut self, wait: Duration) -> anyhow::Result<bool> {
        let lanes = &mut self.lanes;
        let mut any = self.wire.receive(|message| lanes.take(message))?;
        if !any && !wait.is_zero() {
            self.wire.wait(wait)?;
            any = self.wire.receive(|message| lanes.take(message))?;
        }
        while let Some(index) = self.lanes.again.pop() {
            self.send(index)?;
        }
        if self.wire.may_lose() && self.lanes.is_time_to_look() {
            for index in 0..self.lanes.all.len() {
                if self.lanes.copy_is_due(index) {
                    self.send(index)?;
                }
            }
        }
        Ok(any)
    }
}

impl Lanes<'_> {
    /// Makes a lane's next request.
    fn write(&mut self, index: usize, job: Job, due: Instant, sent: Instant, challenges: u8) {
        let lane = &mut self.all[index];
        let plan = self.plan;
        self.flying += usize::from(lane.flight.is_none());
        lane.flight = Some(Flight {
            job,
            due,
            sent,
            copy_at: sent + T1,
            pause: T1,
            challenges,
        });
        if job == Job::Change && challenges == 0 {
            lane.changes += 1;
        }
        lane.cseq += 1;
        self.body.clear();
        if job != Job::End {
            state(plan, index as u64, lane.changes).write(&mut self.body);
        }
        lane.request.clear();
        let mut writer =
            Writer::request(&mut lane.request, Names::Full, Method::Publish, &plan.uri);
        let (local, run, cseq) = (self.local, self.run, lane.cseq);
        let at = if plan.user.is_some() { "@" } else { "" };
        let user = plan.user.as_deref().unwrap_or("");
        let scheme = match self.carrier {
            Carrier::Tls if plan.uri.starts_with("sips:") => "sips",
            _ => "sip",
        };
        writer
            .header(
                HeaderName::Via,
                format_args!(
                    "SIP/2.0/{} {local};rport;branch=z9hG4bK{run:016x}.{index}.{cseq}",
                    self.carrier.as_str()
                ),
            )
            .header(
                HeaderName::From,
                format_args!("<{scheme}:{user}{at}{local}>;tag={run:016x}"),
            )
            .header(HeaderName::To, format_args!("<{}>", plan.uri))
            .header(HeaderName::CallId, format_args!("{run:016x}.{index}"))
            .header(HeaderName::CSeq, format_args!("{cseq} PUBLISH"))
            .header(HeaderName::MaxForwards, 70)
            .header(HeaderName::Event, plan.event.as_str());
        if let Some(tag) = &lane.tag {
            writer.header(HeaderName::SipIfMatch, tag);
        }
        let expires = if job == Job::End { 0 } else { self.expires };
        writer.header(HeaderName::Expires, expires);
        if let Some(session) = &mut self.session {
            let name = match session.is_of_proxy() {
                true => HeaderName::ProxyAuthorization,
                false => HeaderName::Authorization,
            };
            let credentials = session.credentials("PUBLISH", &plan.uri, &self.body);
            writer.header(name, credentials);
        }
        match job {
            Job::End => writer.finish(),
            Job::Begin | Job::Change => writer.finish_with_body("application/json", &self.body),
        }
    }

    /// A message has come: if it is the answer to a request on its way, it is counted.
    fn take(&mut self, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else {
            return;
        };
        let StartLine::Response { status, reason } = message.start() else {
            return; // the target asks us, as for our states: we have none to tell
        };
        let Some(index) = self.lane_of(&message).filter(|_| status >= 200) else {
            return;
        };
        let Some(flight) = self.all[index].flight else {
            return;
        };
        if let (401 | 407, Some(secret)) = (status, &self.plan.secret)
            && flight.challenges < CHALLENGES_MAX
            && let Some(session) = Session::of(&message, secret)
        {
            self.session = Some(session);
            self.measured.challenges += 1;
            self.write(
                index,
                flight.job,
                flight.due,
                flight.sent,
                flight.challenges + 1,
            );
            self.again.push(index);
            return;
        }
        let lane = &mut self.all[index];
        lane.flight = None;
        self.flying -= 1;
        if (200..300).contains(&status) {
            lane.refused = None;
            let tag = message.etag().filter(|_| flight.job != Job::End);
            match (&mut lane.tag, tag) {
                (Some(kept), Some(tag)) => {
                    kept.clear();
                    kept.push_str(tag);
                }
                (kept, tag) => *kept = tag.map(str::to_owned),
            }
        } else {
            // Under a tag that the target does not know nothing more is taken; the next request begins anew.
            if status == 412 {
                lane.tag = None;
            }
            lane.refused = Some((status, reason.to_owned()));
        }
        if flight.job == Job::Change {
            let now = Instant::now();
            *self.measured.answers.entry(status).or_default() += 1;
            let (latency, service) = (now - flight.due, now - flight.sent);
            self.measured.latency.saturating_record(micros(latency));
            self.measured.service.saturating_record(micros(service));
            self.free.push(index);
        }
    }

    /// The lane whose request a message answers.
    fn lane_of(&self, message: &Message<'_>) -> Option<usize> {
        let via = message.via().ok()?;
        let mut parts = via.branch?.strip_prefix("z9hG4bK")?.split('.');
        let run = u64::from_str_radix(parts.next()?, 16).ok()?;
        let index: usize = parts.next()?.parse().ok()?;
        let cseq: u32 = parts.next()?.parse().ok()?;
        let lane = self.all.get(index)?;
        (run == self.run && cseq == lane.cseq).then_some(index)
    }

    /// Whether it is time to look for copies.
    fn is_time_to_look(&mut self) -> bool {
        let now = Instant::now();
        let is_time = self.look_at <= now;
        if is_time {
            self.look_at = now + LOOK;
        }
        is_time
    }

    fn copy_is_due(&mut self, index: usize) -> bool {
        let now = Instant::now();
        let Some(flight) = &mut self.all[index].flight else {
            return false;
        };
        if flight.copy_at > now {
            return false;
        }
        flight.pause = (flight.pause * 2).min(T2);
        flight.copy_at = now + flight.pause;
        self.measured.copies += 1;
        true
    }

    /// Nothing on its way is waited for any more.
    fn land_all(&mut self) {
        self.flying = 0;
        for lane in &mut self.all {
            lane.flight = None;
        }
    }

    /// Why a publication could not begin, and what to do.
    fn told(&self, index: usize, status: u16, reason: &str) -> String {
        let advice = match status {
            401 | 407 if self.plan.secret.is_none() => {
                "it asks for a password: give --digest USER:PASSWORD"
            }
            401 | 407 => "user or password of --digest are not what it expects",
            403 => "its endpoint may not publish there, or not under this entity id (--eid)",
            404 => {
                "it has no inbound-publication of that name for this endpoint (--user, --bind) and --event"
            }
            489 => "its inbound-publication takes no such --event",
            503 if index > 0 => "it may have a bound on publications: give fewer --lanes",
            _ => "its log may say why",
        };
        format!(
            "{} answers {status} {reason} to publication {}: {advice}",
            self.plan.uri,
            index + 1
        )
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros())
        .unwrap_or(u64::MAX)
        .max(1)
}

/// What the n-th change of a lane says; the 0th is said when the publication begins.
fn state(plan: &Plan, lane: u64, change: u64) -> StateChange<'static> {
    let (lanes, devices) = (u64::from(plan.lanes), u64::from(plan.devices));
    // The lane has every device that leaves its number when it is divided by their number.
    let own = (devices - lane).div_ceil(lanes);
    // So that the first round of changes changes each.
    let turn = change.saturating_sub(1);
    let round = turn / own + u64::from(change > 0);
    let mut name = String::with_capacity(24);
    let device = lane + turn % own * lanes;
    match plan.event {
        EventPackage::DeviceState => {
            let _ = write!(name, "Custom:bench{device:07}");
            StateChange::Device {
                device: name.into(),
                state: match round % 2 {
                    0 => DeviceState::NotInUse,
                    _ => DeviceState::InUse,
                },
                cachable: true,
                eid: plan.eid,
            }
        }
        EventPackage::Mwi => {
            let _ = write!(name, "{device:07}@bench");
            StateChange::Mailbox {
                uniqueid: name.into(),
                new: u16::try_from(round % 2).unwrap_or(0),
                old: 0,
                eid: plan.eid,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn plan(devices: u32, lanes: u32) -> Plan {
        Plan {
            uri: "sip:a@b".to_owned(),
            user: None,
            event: EventPackage::DeviceState,
            eid: EntityId::from([2, 0, 0, 0, 0, 1]),
            rate: 3,
            duration: Duration::from_secs(2),
            devices,
            lanes,
            secret: None,
        }
    }

    fn said(plan: &Plan, lane: u64, change: u64) -> (String, DeviceState) {
        match state(plan, lane, change) {
            StateChange::Device { device, state, .. } => (device.into_owned(), state),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_device_belongs_to_one_lane_and_changes_each_time() {
        let plan = plan(5, 2);
        let mut last = std::collections::HashMap::new();
        for lane in 0..2 {
            for change in 0..12 {
                let (device, state) = said(&plan, lane, change);
                let before = last.insert(device.clone(), (lane, state));
                if let Some((of, before)) = before {
                    assert_eq!(of, lane, "{device}");
                    assert_ne!(before, state, "{device} {change}");
                }
            }
        }
        assert_eq!(last.len(), 5);
    }

    #[test]
    fn requests_are_due_at_an_even_rate_for_days() {
        let mut plan = plan(1, 1);
        assert_eq!(plan.total(), 6);
        assert_eq!(plan.due(3), Duration::from_secs(1));
        plan.rate = super::super::RATE_MAX;
        let day = u64::from(plan.rate) * 86_400;
        assert_eq!(plan.due(day), Duration::from_secs(86_400));
    }
}
