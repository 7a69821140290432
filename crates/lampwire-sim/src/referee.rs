//! Who watches a run: every datagram that leaves a node, and every change that a node sees.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use lampwire_core::{DeviceView, Event, MailboxView, Time};
use lampwire_sip::{
    DeviceState, EntityId, EventPackage, Message, Method, StartLine, StateChange, parse_states,
};

use crate::fleet::{Observer, address_of, entity_id_of};
use crate::model::{Said, Seen};
use crate::network::Packet;
use crate::plan::{Kind, Plan, number};

/// The time in which a request is answered as before (Timer J, RFC 3261 17.2.2), and for which a client waits (Timer F).
const TRANSACTION: Duration = Duration::from_secs(32);

/// Who watches a run.
#[derive(Debug)]
pub struct Referee {
    /// What the fleet is like.
    pub plan: Plan,
    /// What was set on each member.
    pub said: Vec<Said>,
    /// The first thing that was wrong.
    pub problem: Option<String>,
    /// Datagrams between members that mean well.
    pub exchanged: u64,
    owners: BTreeMap<EntityId, usize>,
    indices: BTreeMap<SocketAddr, usize>,
    /// What each member has seen of each name of another, in the other's present life.
    seen: BTreeMap<(usize, usize, String), Seen>,
    /// The final answers that each member gave, by asker and branch.
    answers: BTreeMap<(usize, SocketAddr, String), Answer>,
    /// The highest CSeq that each member granted, by asker and Call-ID.
    granted: BTreeMap<(usize, SocketAddr, String), (u32, Time)>,
    forgot_at: Time,
    /// What each publication of each member said last, by the publisher and lane in its branch.
    lanes: BTreeMap<(usize, Lane), Request>,
    /// When each publisher of each member said a state last.
    paces: BTreeMap<(usize, u16), Time>,
}

/// A final answer.
#[derive(Debug)]
struct Answer {
    at: Time,
    status: u16,
    tag: Option<String>,
}

/// The last request of a publication.
#[derive(Debug)]
struct Request {
    branch: String,
    at: Time,
    answered: bool,
    /// The last body that held a state.
    state: Vec<u8>,
}

/// A publisher and its lane, as a node writes them into its branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Lane {
    publisher: u16,
    lane: u16,
}

impl Lane {
    fn of(branch: &str) -> Option<Self> {
        let digits = branch.strip_prefix("z9hG4bK")?;
        let number = |range| u16::from_str_radix(digits.get(range)?, 16).ok();
        Some(Self {
            publisher: number(0..4)?,
            lane: number(4..8)?,
        })
    }
}

impl Referee {
    /// A referee for a fleet of this plan.
    pub fn new(plan: Plan) -> Self {
        let indices = 0..plan.members.len();
        Self {
            said: vec![Said::default(); plan.members.len()],
            problem: None,
            exchanged: 0,
            owners: indices
                .clone()
                .map(|index| (entity_id_of(number(index)), index))
                .collect(),
            indices: indices
                .map(|index| (address_of(number(index)), index))
                .collect(),
            seen: BTreeMap::new(),
            answers: BTreeMap::new(),
            granted: BTreeMap::new(),
            forgot_at: Time::default(),
            lanes: BTreeMap::new(),
            paces: BTreeMap::new(),
            plan,
        }
    }

    /// A member begins a new life: nothing that it did or saw in its last one binds it.
    pub fn begins(&mut self, index: usize) {
        self.seen
            .retain(|(seer, owner, _), _| *seer != index && *owner != index);
        self.answers.retain(|(server, ..), _| *server != index);
        self.granted.retain(|(server, ..), _| *server != index);
        self.lanes.retain(|(client, _), _| *client != index);
        self.paces.retain(|(client, _), _| *client != index);
        self.said[index].begin_anew();
    }

    /// A member comes to an orderly end: requests to whoever is away are given up.
    pub fn ends(&mut self, index: usize) {
        let own = self
            .lanes
            .iter_mut()
            .filter(|((client, _), _)| *client == index);
        own.for_each(|(_, request)| request.answered = true);
    }

    fn wrong(&mut self, at: Time, problem: String) {
        let seconds = at.as_micros() as f64 / 1e6;
        self.problem
            .get_or_insert_with(|| format!("at {seconds:.3} s: {problem}"));
    }

    // ---- the wire

    /// A request leaves a node: it says what is the node's to say, to whom it may be said, and not too fast.
    fn request(
        &mut self,
        at: Time,
        from: usize,
        packet: &Packet,
        message: &Message<'_>,
    ) -> Option<()> {
        let branch = message.via().ok()?.branch?.to_owned();
        let lane = Lane::of(&branch)?;
        let event = message.event().ok()??.package;
        let body = message.body();
        let changes = said(message, EventPackage::parse(event)?)?;
        let to = packet.to;
        for wrong in changes
            .iter()
            .filter_map(|it| self.unspeakable(from, it))
            .collect::<Vec<_>>()
        {
            self.wrong(at, format!("node {from} sends {to} {wrong}"));
        }
        let stock = (0..self.plan.members.len())
            .find(|index| address_of(number(*index)) == to)
            .is_some_and(|index| self.plan.members[index] != Kind::Lampwire);
        if stock && brings_many(message) {
            self.wrong(at, format!("node {from} sends many states in one request to {to}, which has not offered to take them"));
        }
        let states = matches!(
            changes.first(),
            Some(StateChange::Device { .. } | StateChange::Mailbox { .. })
        );
        let last = self.lanes.get(&(from, lane));
        if last.is_some_and(|last| last.branch == branch) {
            return Some(()); // a copy
        }
        let again = last.is_some_and(|last| last.state == body);
        if let Some(last) = last
            && !last.answered
            && at.since(last.at) < TRANSACTION
        {
            let problem = format!(
                "node {from} has two requests of {lane:?} to {} on their way: {} of {:?}, and {branch}",
                packet.to, last.branch, last.at
            );
            self.wrong(at, problem);
        }
        let limit = self.plan.habits[from].rate_limit;
        if limit > 0 && brings_many(message) {
            self.wrong(
                at,
                format!("node {from} says many states at once, and has a limit"),
            );
        }
        if states && limit > 0 {
            let spacing = Duration::from_secs(1) / limit;
            let before = self.paces.insert((from, lane.publisher), at);
            if let Some(before) = before
                && !again
                && at.since(before) < spacing
            {
                let problem = format!(
                    "node {from} says states after {:?}, faster than {limit} a second",
                    at.since(before)
                );
                self.wrong(at, problem);
            }
        }
        let state = match states {
            true => body.to_vec(),
            false => self
                .lanes
                .remove(&(from, lane))
                .map_or_else(Vec::new, |last| last.state),
        };
        let request = Request {
            branch,
            at,
            answered: false,
            state,
        };
        self.lanes.insert((from, lane), request);
        Some(())
    }

    /// What is wrong with what a node says, if anything.
    fn unspeakable(&self, from: usize, change: &StateChange<'_>) -> Option<String> {
        let said = &self.said[from];
        let own = entity_id_of(number(from));
        if change.eid() != own {
            return Some(format!("a state of {}: {change:?}", change.eid()));
        }
        match change {
            StateChange::Refresh { .. }
            | StateChange::Dumped { .. }
            | StateChange::Beat { .. }
            | StateChange::Canary { .. } => None,
            StateChange::Device { device, state, .. } => {
                let states = said.devices.get(&**device);
                if !self.plan.sends_device(from, device) {
                    Some(format!("{device:?}, which its filter forbids"))
                } else if !states.is_some_and(|states| states.contains(state)) {
                    Some(format!("{device:?} in {state:?}, in which it never was"))
                } else {
                    None
                }
            }
            StateChange::Mailbox {
                uniqueid, new, old, ..
            } => {
                let counts = said.mailboxes.get(&**uniqueid);
                if !self.plan.sends_mailbox(from, uniqueid) {
                    Some(format!("{uniqueid:?}, which its filter forbids"))
                } else if !counts.is_some_and(|counts| counts.contains(&(*new, *old))) {
                    Some(format!("{uniqueid:?} with {new}/{old}, which it never had"))
                } else {
                    None
                }
            }
        }
    }

    /// An answer leaves a member.
    fn response(
        &mut self,
        at: Time,
        from: usize,
        to: SocketAddr,
        message: &Message<'_>,
        status: u16,
    ) -> Option<()> {
        if status < 200 {
            return None;
        }
        let branch = message.via().ok()?.branch?;
        let client = *self.indices.get(&to)?;
        if let Some(request) = Lane::of(branch).and_then(|lane| self.lanes.get_mut(&(client, lane)))
            && request.branch.eq_ignore_ascii_case(branch)
        {
            request.answered = true;
        }
        if self.plan.members[from] != Kind::Lampwire || self.plan.members[client] == Kind::Hostile {
            return None;
        }
        self.forget(at);
        let call = (from, to, message.call_id().ok()?.to_owned());
        let cseq = message.cseq().ok()?.number;
        let tag = message.etag().map(str::to_owned);
        let overtaken = self
            .granted
            .get(&call)
            .is_some_and(|(newer, _)| *newer > cseq);
        let granted = (200..300).contains(&status);
        if granted {
            let highest = self.granted.entry(call).or_default();
            *highest = (highest.0.max(cseq), at);
        }
        let key = (from, to, branch.to_owned());
        let Some(before) = self.answers.get(&key) else {
            self.answers.insert(key, Answer { at, status, tag });
            return None;
        };
        let same = before.status == status && before.tag == tag;
        // A copy that comes when the publication has moved on is refused. Nobody waits for that answer any more.
        let late = overtaken && !granted;
        // Refusals are decided again, and by then the count of the copy's nonce has been used.
        let used_up = before.status >= 300 && status == 401;
        if !same && !late && !used_up && at.since(before.at) < TRANSACTION {
            let problem = format!(
                "node {from} answers {branch} of node {client} with {status} {tag:?} after {before:?}"
            );
            self.wrong(at, problem);
        }
        None
    }

    /// Forgets answers that nobody can ask for any more.
    fn forget(&mut self, at: Time) {
        if at.since(self.forgot_at) > TRANSACTION {
            self.forgot_at = at;
            self.answers
                .retain(|_, answer| at.since(answer.at) < TRANSACTION);
            self.granted
                .retain(|_, (_, granted)| at.since(*granted) < TRANSACTION * 2);
        }
    }

    // ---- what nodes see

    /// Whether a state under `eid` that came from `peer` may be held by the member `index`: whose it is, or what is wrong. `None`: a hostile
    /// peer's own affair.
    pub fn owner(
        &self,
        index: usize,
        eid: EntityId,
        peer: Option<&str>,
    ) -> Result<Option<usize>, String> {
        let came_from = |member: usize| peer == Some(&*format!("node{member}"));
        match self.owners.get(&eid) {
            Some(&owner) if owner == index && peer.is_none() => Ok(Some(owner)),
            Some(&owner)
                if came_from(owner)
                    && self.plan.members[owner] != Kind::Hostile
                    && self.plan.reaches(owner, index) =>
            {
                Ok(Some(owner))
            }
            None if self.plan.all(Kind::Hostile).any(came_from) => Ok(None),
            Some(_) | None => Err(format!(
                "node {index} holds a state under {eid} that came from {peer:?}"
            )),
        }
    }

    fn device(&mut self, index: usize, device: &DeviceView, eid: EntityId) -> Result<(), String> {
        let Some(entity) = device.entities.iter().find(|it| it.eid == eid) else {
            return Ok(()); // taken back here
        };
        let Some(owner) = self.owner(index, eid, entity.peer.as_deref())? else {
            return Ok(());
        };
        if owner == index {
            return Ok(());
        }
        let name = &device.device;
        if !self.plan.sends_device(owner, name) || !self.plan.takes_device(index, name) {
            return Err(format!(
                "node {index} takes {name:?}, which a filter forbids"
            ));
        }
        // A request of the owner's last life may still arrive, of a device it has forgotten.
        let Some(states) = self.said[owner].devices.get(name) else {
            return Ok(());
        };
        let seen = self.seen.entry((index, owner, name.clone())).or_default();
        seen.see(states, entity.state).map_err(|wrong| {
            format!("node {index} sees {name:?} of node {owner} out of order: {wrong}")
        })
    }

    fn mailbox(&mut self, index: usize, mailbox: &MailboxView) -> Result<(), String> {
        let name = &mailbox.mailbox;
        let owner = self.owner(index, mailbox.eid, mailbox.peer.as_deref())?;
        let Some(owner) = owner.filter(|owner| *owner != index) else {
            return Ok(());
        };
        let Some(counts) = self.said[owner].mailboxes.get(name) else {
            return Err(format!(
                "node {index} sees mailbox {name:?}, which node {owner} never had"
            ));
        };
        let seen = self.seen.entry((index, owner, name.clone())).or_default();
        seen.see(counts, (mailbox.new, mailbox.old))
            .map_err(|wrong| {
                format!("node {index} sees {name:?} of node {owner} out of order: {wrong}")
            })
    }
}

/// The state of a device under an entity id.
pub(crate) fn state_of(device: &DeviceView, eid: EntityId) -> Option<DeviceState> {
    let entity = device.entities.iter().find(|it| it.eid == eid)?;
    Some(entity.state)
}

impl Observer for Referee {
    fn sent(&mut self, at: Time, from: usize, packet: &Packet) {
        let to = self
            .indices
            .get(&packet.to)
            .map(|to| self.plan.members[*to]);
        let means_well = |kind| kind != Kind::Hostile;
        let honest = means_well(self.plan.members[from]);
        if honest && to.is_some_and(means_well) {
            self.exchanged += 1;
        }
        let message = Message::parse(&packet.bytes);
        let ours = self.plan.members[from] == Kind::Lampwire;
        match message.as_ref().map(|message| (message.start(), message)) {
            Ok((StartLine::Response { status, .. }, message)) => {
                self.response(at, from, packet.to, message, status);
            }
            // Whether a peer is there that has nothing to prove itself by.
            Ok((
                StartLine::Request {
                    method: Method::Options,
                    ..
                },
                message,
            )) if ours && message.defect().is_none() => {}
            Ok((StartLine::Request { method, .. }, message)) if ours => {
                let sound = method == Method::Publish && message.defect().is_none();
                if !sound || self.request(at, from, packet, message).is_none() {
                    let text = String::from_utf8_lossy(&packet.bytes);
                    self.wrong(
                        at,
                        format!("node {from} sends what is no request of ours: {text}"),
                    );
                }
            }
            Err(error) if ours => {
                self.wrong(
                    at,
                    format!("node {from} sends what cannot be read: {error}"),
                );
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn happened(&mut self, at: Time, index: usize, event: &Event) {
        let own = entity_id_of(number(index));
        let eid = match event {
            Event::Device { eid, .. } | Event::Mailbox { eid, .. } => *eid,
            Event::Peer { .. } | Event::Publication { .. } | Event::Notice(_) => return,
        };
        // A lawless peer can say anything of others, but not of the node it speaks to.
        if self.plan.lawless && eid != own {
            return;
        }
        let outcome = match event {
            // Told anew, since its node is lost or back: no new value.
            Event::Device {
                device,
                eid,
                previous,
            } if state_of(device, *eid) == *previous => Ok(()),
            Event::Device { device, eid, .. } => self.device(index, device, *eid),
            // What is shown of another was told when that one said it.
            Event::Mailbox { said, .. } => self.mailbox(index, said),
            Event::Peer { .. } | Event::Publication { .. } | Event::Notice(_) => Ok(()),
        };
        if let Err(wrong) = outcome {
            self.wrong(at, wrong);
        }
    }
}

/// What a request says; `None`: nothing that can be read.
pub(crate) fn said<'a>(message: &Message<'a>, event: EventPackage) -> Option<Vec<StateChange<'a>>> {
    let body = message.body();
    if body.is_empty() {
        return Some(Vec::new());
    }
    if brings_many(message) {
        let states = parse_states(event, body).ok()?;
        return Some(states.into_iter().map(|(change, _)| change).collect());
    }
    StateChange::parse(event, body).ok().map(|it| vec![it])
}

fn brings_many(message: &Message<'_>) -> bool {
    message.content_type().is_some_and(|it| it.is_states())
}
