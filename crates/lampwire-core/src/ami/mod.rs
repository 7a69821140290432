//! An Asterisk that takes part through its manager interface: one connection, kept up, over which its states are read and others' are put in.
//!
//! The steps are those of [`Step`]. What an Asterisk has is only believed as a whole: the list of its devices is gathered, together with what
//! changes meanwhile, and taken over when it is complete. A connection that ends before leaves no trace.

pub(crate) mod sink;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use lampwire_ami::{Action, Decoder, Incoming, Message, login_key};
use lampwire_conf::Ami;
use lampwire_sip::{DeviceState, EntityId, valid_name};

use self::sink::{Complaint, Sink, Wanted, Write};
use crate::flow::Outlet;
use crate::io::{FlowCommand, FlowId, Level, TransportId};
use crate::limits;
use crate::peer::PeerId;
use crate::publisher::back_off;
use crate::random::Random;
use crate::table::Kind;
use crate::time::Time;
use crate::timers::Timer;

/// Numbers of connections to manager interfaces have this bit; those of SIP begin at 0 and never come so far.
const FLOW_BIT: u64 = 1 << 63;
/// Where the section's number stands in them.
const FLOW_SECTION: u32 = 40;

/// The module whose states would be read as the Asterisk's own.
const EXCHANGE: &str = "res_pjsip_publish_asterisk";

/// One Asterisk.
#[derive(Debug)]
pub(crate) struct Link {
    /// The number of its section.
    pub(crate) index: u16,
    pub(crate) peer: PeerId,
    settings: Ami,
    transport: TransportId,
    step: Step,
    flow: Option<FlowId>,
    /// How many connections were begun.
    begun: u64,
    /// How often in a row it failed.
    failures: u32,
    decoder: Decoder,
    /// Bytes that wait for the connection to take them.
    out: Vec<u8>,
    writing: bool,
    /// The number of the last action.
    actions: u64,
    asked: BTreeMap<u64, Asked>,
    /// When the connection was begun, and when something last came over it.
    began: Time,
    heard: Time,
    entity_id: Option<EntityId>,
    gathered: Gathered,
    /// What waits to be asked, so that not too much is on its way.
    mailboxes: VecDeque<String>,
    pub(crate) sink: Option<Sink>,
    /// A trouble that was said, and is not said again before it is over.
    troubled: bool,
    /// FullyBooted is missed, and that was said.
    impatient: bool,
    facts: VecDeque<Fact>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The node is ending.
    Resting,
    /// It is tried again then.
    Waiting(Time),
    Connecting,
    /// Its first line has not come.
    Greeting,
    LoggingIn,
    /// It has not finished its start: lists would lack what is not loaded yet.
    Booting,
    /// Its entity id and its states are asked for.
    Asking,
    /// Everything is known, and changes are followed.
    Live,
}

/// What an action on its way is for.
#[derive(Clone, Debug)]
enum Asked {
    Challenge,
    Login,
    /// What it answers does not matter.
    Anything,
    Modules,
    Settings,
    List,
    /// The mailboxes that the sink wrote.
    PutIn,
    /// Its own, where it has app_voicemail.
    Voicemail,
    Mailbox(String),
    Write(Write),
}

/// What has come of a list that is not complete.
#[derive(Debug, Default)]
struct Gathered {
    devices: BTreeMap<Arc<str>, DeviceState>,
    mailboxes: BTreeMap<Arc<str>, (u16, u16)>,
    /// Devices that the sink wrote, by others' names.
    written: BTreeMap<Arc<str>, DeviceState>,
    /// Mailboxes that the sink wrote, where the Asterisk lists them.
    put_in: Option<BTreeMap<Arc<str>, (u16, u16)>>,
    listed: bool,
}

/// What a node is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// It is there, with everything it has.
    All {
        entity_id: EntityId,
        devices: Vec<(Arc<str>, DeviceState)>,
        mailboxes: Vec<(Arc<str>, (u16, u16))>,
    },
    Device(Arc<str>, DeviceState),
    Mailbox(Arc<str>, (u16, u16)),
    /// It was there, and is not any more.
    Gone,
}

/// Why a connection is of no use.
enum Trouble {
    /// It is silent, or the network is: soon again.
    Away(String),
    /// It will probably refuse again. What is wrong, and what to do.
    Refused(&'static str, String),
}

impl Link {
    pub(crate) fn new(index: u16, peer: PeerId, settings: Ami, transport: TransportId) -> Self {
        let sink = settings.sink.then(|| Sink::new(settings.sink_prefix()));
        Self {
            index,
            peer,
            transport,
            step: Step::Waiting(Time::default()),
            flow: None,
            begun: 0,
            failures: 0,
            decoder: Decoder::default(),
            out: Vec::new(),
            writing: false,
            actions: 0,
            asked: BTreeMap::new(),
            began: Time::default(),
            heard: Time::default(),
            entity_id: settings.eid,
            gathered: Gathered::default(),
            mailboxes: VecDeque::new(),
            sink,
            troubled: false,
            impatient: false,
            facts: VecDeque::new(),
            settings,
        }
    }

    /// The name of its section.
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// How the names of all devices begin that its sink writes.
    pub(crate) fn sink_prefix(&self) -> String {
        self.settings.sink_prefix()
    }

    /// The section whose connection it is, where it is one to a manager interface.
    pub(crate) fn section_of(flow: FlowId) -> Option<u16> {
        let is_one = flow.0 & FLOW_BIT != 0;
        is_one.then(|| u16::try_from(flow.0 >> FLOW_SECTION & 0xffff).unwrap_or(0))
    }

    /// Whether it is there and everything of it is known.
    pub(crate) fn is_live(&self) -> bool {
        self.step == Step::Live
    }

    /// Whether it was tried and is not there.
    pub(crate) fn is_in_trouble(&self) -> bool {
        self.troubled
    }

    pub(crate) fn host(&self) -> &str {
        &self.settings.host
    }

    pub(crate) const fn port(&self) -> u16 {
        self.settings.port
    }

    /// The number of the next connection.
    pub(crate) fn attempt(&self) -> usize {
        usize::try_from(self.begun).unwrap_or(0)
    }

    /// Names of others that it should hold otherwise than it does.
    pub(crate) fn behind(&self) -> u64 {
        let sink = self.sink.as_ref().map_or(0, Sink::behind);
        u64::try_from(sink).unwrap_or(u64::MAX)
    }

    /// Its own entity id, once it is known.
    pub(crate) const fn entity_id(&self) -> Option<EntityId> {
        self.entity_id
    }

    /// Whether a mailbox is one of its own: read, and never written.
    pub(crate) fn owns_mailbox(&self, mailbox: &str) -> bool {
        let filter = self.settings.mailbox_state_filter.as_ref();
        filter.is_none_or(|filter| filter.is_match(mailbox))
    }

    pub(crate) fn take_fact(&mut self) -> Option<Fact> {
        self.facts.pop_front()
    }

    // ---- what happens to it

    /// A connection is wanted, now where its turn has come. `place`: where to; an error where that is not known, and why.
    pub(crate) fn connect(
        &mut self,
        out: &mut Outlet<'_>,
        random: &mut Random,
        place: Result<SocketAddr, String>,
    ) {
        if !matches!(self.step, Step::Waiting(at) if at <= out.now) {
            return;
        }
        let remote = match place {
            Ok(remote) => remote,
            Err(why) => {
                self.fail(out, random, Trouble::Away(why));
                return;
            }
        };
        self.begun += 1;
        let number = self.begun & ((1 << FLOW_SECTION) - 1);
        let flow = FlowId(FLOW_BIT | u64::from(self.index) << FLOW_SECTION | number);
        self.flow = Some(flow);
        self.step = Step::Connecting;
        (self.began, self.heard) = (out.now, out.now);
        self.decoder = Decoder::default();
        self.out.clear();
        self.writing = false;
        self.asked.clear();
        self.gathered = Gathered::default();
        self.mailboxes.clear();
        self.impatient = false;
        if self.settings.eid.is_none() {
            self.entity_id = None;
        }
        out.outbox.flow(FlowCommand::Connect {
            flow,
            transport: self.transport,
            remote,
            server_name: self.settings.host.clone(),
        });
        self.set_timer(out);
    }

    /// The connection can carry bytes.
    pub(crate) fn connected(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        if self.flow == Some(flow) && self.step == Step::Connecting {
            self.step = Step::Greeting;
            self.heard = out.now;
            self.set_timer(out);
        }
    }

    /// Bytes have come.
    pub(crate) fn bytes(
        &mut self,
        out: &mut Outlet<'_>,
        random: &mut Random,
        flow: FlowId,
        bytes: &[u8],
    ) {
        if self.flow != Some(flow) {
            return;
        }
        self.heard = out.now;
        self.decoder.push(bytes);
        loop {
            let trouble = match self.decoder.take() {
                Ok(None) => break,
                Ok(Some(incoming)) => self.take(out, incoming).err(),
                Err(error) => Some(Trouble::Refused(
                    "see host= and port=",
                    format!("what came is not its manager interface: {error}"),
                )),
            };
            if let Some(trouble) = trouble {
                self.fail(out, random, trouble);
                return;
            }
        }
        self.flush(out);
        self.set_timer(out);
    }

    /// The connection has taken what was written.
    pub(crate) fn writable(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        if self.flow == Some(flow) {
            self.writing = false;
            self.flush(out);
        }
    }

    /// Nothing more comes over the connection.
    pub(crate) fn ended(&mut self, out: &mut Outlet<'_>, random: &mut Random, flow: FlowId) {
        if self.flow == Some(flow) {
            let why = "the other side closed the connection".to_owned();
            self.fail(out, random, Trouble::Away(why));
        }
    }

    /// The connection has ended, or could not be made.
    pub(crate) fn closed(
        &mut self,
        out: &mut Outlet<'_>,
        random: &mut Random,
        flow: FlowId,
        why: &str,
    ) {
        if self.flow == Some(flow) {
            self.flow = None;
            self.fail(out, random, Trouble::Away(why.to_owned()));
        }
    }

    /// Its time has come. True: a connection is to be made.
    pub(crate) fn timeout(&mut self, out: &mut Outlet<'_>, random: &mut Random) -> bool {
        let silent = out.now.since(self.heard);
        match self.step {
            Step::Resting => return false,
            Step::Waiting(at) => return at <= out.now,
            Step::Connecting if out.now >= self.heard + limits::AMI_CONNECTING => {
                let why = format!(
                    "no connection within {} s",
                    limits::AMI_CONNECTING.as_secs()
                );
                self.fail(out, random, Trouble::Away(why));
                return false;
            }
            Step::Connecting => {}
            _ if silent >= limits::AMI_SILENCE => {
                let why = format!("silent for {} s", silent.as_secs());
                self.fail(out, random, Trouble::Away(why));
                return false;
            }
            Step::Greeting | Step::LoggingIn => {}
            Step::Booting | Step::Asking | Step::Live => {
                if silent >= limits::AMI_PING && self.asked.is_empty() {
                    self.ask(Asked::Anything, |id| Some(Action::new("Ping", id)));
                }
                if self.step == Step::Booting
                    && !self.impatient
                    && out.now >= self.began + limits::AMI_BOOTING
                {
                    self.impatient = true;
                    self.say(
                        out,
                        Level::Warn,
                        "ami-not-booted",
                        "it has not said that it is fully booted, and is not read before: give its user read=system in manager.conf",
                    );
                }
            }
        }
        self.flush(out);
        self.set_timer(out);
        false
    }

    /// What it has turned out to be is no use: it is left alone for long. What is wrong, and what to do.
    pub(crate) fn refuse(
        &mut self,
        out: &mut Outlet<'_>,
        random: &mut Random,
        what: String,
        advice: &'static str,
    ) {
        self.fail(out, random, Trouble::Refused(advice, what));
    }

    /// The node ends.
    pub(crate) fn stop(&mut self, out: &mut Outlet<'_>) {
        self.step = Step::Resting;
        out.timers.clear(Timer::Ami(self.index));
        if let Some(flow) = self.flow.take() {
            out.outbox.flow(FlowCommand::Close { flow });
        }
    }

    /// Writes what others' states have become, as much as may be on its way.
    pub(crate) fn write(&mut self, out: &mut Outlet<'_>, wanted: &dyn Fn(Kind, &str) -> Wanted) {
        if self.step != Step::Live {
            return;
        }
        while let Some(sink) = &mut self.sink
            && let Some((action, write)) = sink.next(wanted, self.actions + 1)
        {
            self.ask(Asked::Write(write), |_| Some(action));
        }
        self.flush(out);
        self.set_timer(out);
    }

    // ---- what it says

    fn take(&mut self, out: &mut Outlet<'_>, incoming: Incoming) -> Result<(), Trouble> {
        let message = match incoming {
            Incoming::Greeting(_) => {
                self.step = Step::LoggingIn;
                self.ask(Asked::Challenge, |id| {
                    Action::new("Challenge", id).field("AuthType", "MD5").ok()
                });
                return Ok(());
            }
            Incoming::Message(message) => message,
        };
        if message.event().is_some() {
            return self.take_event(&message);
        }
        let asked = message
            .action_id()
            .and_then(|id| self.asked.get(&id).cloned().map(|asked| (id, asked)));
        let Some((id, asked)) = asked else {
            return Ok(());
        };
        // A list goes on behind its answer, but for one that is empty and says so.
        let listed = matches!(asked, Asked::PutIn | Asked::Voicemail);
        let goes_on = listed && message.is_success() && message.get("EventList").is_some();
        if !(goes_on || matches!(asked, Asked::List)) {
            self.asked.remove(&id);
        }
        self.take_answer(out, asked, &message)
    }

    fn take_answer(
        &mut self,
        out: &mut Outlet<'_>,
        asked: Asked,
        message: &Message,
    ) -> Result<(), Trouble> {
        let good = message.is_success();
        let why = || cut(message.get("Message").unwrap_or("no reason given"));
        match asked {
            Asked::Challenge => {
                let Some(challenge) = message.get("Challenge").filter(|_| good) else {
                    return Err(Trouble::Refused(
                        "see its manager.conf",
                        format!("it gives no MD5 challenge: {}", why()),
                    ));
                };
                let key = login_key(challenge, self.settings.secret.expose());
                let username = self.settings.username.clone();
                self.ask(Asked::Login, |id| {
                    Action::new("Login", id)
                        .field("AuthType", "MD5")
                        .and_then(|action| action.field("Username", &username))
                        .and_then(|action| action.field("Key", &key))
                        .and_then(|action| action.field("Events", "system,call"))
                        .ok()
                });
            }
            Asked::Login if good => self.step = Step::Booting,
            Asked::Login => {
                return Err(Trouble::Refused(
                    "see username= and secret=, and its manager.conf (permit, deny)",
                    format!("it refuses the login: {}", why()),
                ));
            }
            Asked::Anything => {}
            Asked::Modules => {
                let running = |line: &str| {
                    line.starts_with(EXCHANGE)
                        && line.contains("Running")
                        && !line.contains("Not Running")
                };
                if message.output().any(running) {
                    return Err(Trouble::Refused(
                        "unload it (noload in its modules.conf), or make it a peer by type=outbound-publish in place of type=ami",
                        format!(
                            "{EXCHANGE}.so is loaded there: others' states would be read as its own"
                        ),
                    ));
                }
            }
            Asked::Settings => {
                let named =
                    |line: &str| line.trim().strip_prefix("Entity ID:")?.trim().parse().ok();
                let Some(entity_id) = message.output().find_map(named) else {
                    return Err(Trouble::Refused(
                        "set eid=, or give its user write=command in manager.conf",
                        format!("it does not tell its entity id: {}", why()),
                    ));
                };
                self.entity_id = Some(entity_id);
                self.finish();
            }
            Asked::List if good => {}
            Asked::List => {
                return Err(Trouble::Refused(
                    "load res_manager_devicestate.so there, and give its user write=call",
                    format!("it does not list its devices: {}", why()),
                ));
            }
            Asked::PutIn if good => self.gathered.put_in = Some(BTreeMap::new()),
            // Without the module it takes none, and has none.
            Asked::PutIn => self.finish(),
            Asked::Voicemail if good => self.finish(),
            Asked::Voicemail => {
                // It has none, or does not tell. What is named may be another's.
                self.mailboxes = self.settings.mailboxes.iter().cloned().collect();
                for _ in 0..limits::AMI_WRITES {
                    self.ask_mailbox();
                }
                self.finish();
            }
            Asked::Mailbox(mailbox) => {
                let count = |name| {
                    let count: Option<u16> = message.get(name).and_then(|it| it.parse().ok());
                    count.unwrap_or(0)
                };
                if good {
                    // As in its events, urgent messages are new ones.
                    let new = count("NewMessages").saturating_add(count("UrgMessages"));
                    let counts = (new, count("OldMessages"));
                    let gathered = &mut self.gathered.mailboxes;
                    gathered.entry(mailbox.into()).or_insert(counts);
                }
                self.ask_mailbox();
                self.finish();
            }
            Asked::Write(write) => {
                let (id, why) = (self.actions + 1, why());
                let refused = (!good).then_some(why.as_str());
                let Some(sink) = &mut self.sink else {
                    return Ok(());
                };
                let (clean, complaint) = sink.answered(write, refused, id);
                if let Some(action) = clean {
                    self.ask(Asked::Anything, |_| Some(action));
                }
                match complaint {
                    Some(Complaint::NoMailboxes) => self.say(
                        out,
                        Level::Warn,
                        "ami-no-mailboxes",
                        "it has no MWIUpdate, so it takes no mailboxes of others: that needs res_mwi_external_ami.so",
                    ),
                    Some(Complaint::Refused(name, why)) => {
                        let text = format!("it refuses a state of {name}: {why}; give its user write=call");
                        self.say(out, Level::Warn, "ami-write-refused", &text);
                    }
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn take_event(&mut self, message: &Message) -> Result<(), Trouble> {
        match message.event() {
            Some("FullyBooted") if self.step == Step::Booting => self.ask_everything(),
            Some("DeviceStateChange") => {
                let device = message.get("Device").filter(|it| valid_name(it).is_ok());
                let state = message.get("State").and_then(DeviceState::parse);
                if let (Some(device), Some(state)) = (device, state) {
                    return self.take_device(device, state);
                }
            }
            Some("DeviceStateListComplete") => {
                let id = message.action_id();
                if let Some(id) = id.filter(|id| matches!(self.asked.get(id), Some(Asked::List))) {
                    self.asked.remove(&id);
                    self.gathered.listed = true;
                    self.finish();
                }
            }
            Some("MWIGet") => {
                let count = |name| message.get(name).and_then(|it| it.parse().ok());
                let mailbox = message.get("Mailbox");
                let mailbox = mailbox.filter(|it| valid_name(it).is_ok() && !self.owns_mailbox(it));
                if let (Some(mailbox), Some(put_in)) = (mailbox, &mut self.gathered.put_in) {
                    // Counts beyond what can be said are none that were put in, and are put right.
                    let counts = count("NewMessages").zip(count("OldMessages"));
                    put_in.insert(mailbox.into(), counts.unwrap_or((u16::MAX, u16::MAX)));
                }
            }
            Some("VoicemailUserEntry") => {
                // Urgent messages are among the new ones.
                let count = |name| message.get(name).and_then(|it| it.parse().ok());
                let parts = message.get("VoiceMailbox").zip(message.get("VMContext"));
                let mailbox = parts.map(|(name, context)| format!("{name}@{context}"));
                let mailbox = mailbox.filter(|it| valid_name(it).is_ok() && self.owns_mailbox(it));
                let counts = count("NewMessageCount").zip(count("OldMessageCount"));
                if let (Some(mailbox), Some(counts)) = (mailbox, counts) {
                    // What changed meanwhile is newer.
                    let gathered = &mut self.gathered.mailboxes;
                    gathered.entry(mailbox.into()).or_insert(counts);
                }
            }
            Some("MWIGetComplete" | "VoicemailUserEntryComplete") => {
                let id = message.action_id();
                let lists =
                    |id: &u64| matches!(self.asked.get(id), Some(Asked::PutIn | Asked::Voicemail));
                if let Some(id) = id.filter(lists) {
                    self.asked.remove(&id);
                    self.finish();
                }
            }
            Some("MessageWaiting") => {
                let count = |name| message.get(name).and_then(|it| it.parse().ok());
                let mailbox = message
                    .get("Mailbox")
                    .filter(|it| valid_name(it).is_ok() && self.owns_mailbox(it));
                let counts = count("New").zip(count("Old"));
                if let (Some(mailbox), Some(counts)) = (mailbox, counts) {
                    let mailbox = Arc::from(mailbox);
                    match self.step {
                        Step::Live => self.facts.push_back(Fact::Mailbox(mailbox, counts)),
                        _ => drop(self.gathered.mailboxes.insert(mailbox, counts)),
                    }
                }
            }
            _ => {}
        }
        self.check_gathered()
    }

    fn take_device(&mut self, device: &str, state: DeviceState) -> Result<(), Trouble> {
        let live = self.step == Step::Live;
        let behind = self.sink.as_ref().and_then(|sink| sink.name_behind(device));
        if let Some(name) = behind {
            match &mut self.sink {
                Some(sink) if live => sink.seen(name, state),
                _ => drop(self.gathered.written.insert(name.into(), state)),
            }
        } else if self.wants_device(device) {
            match live {
                true => self.facts.push_back(Fact::Device(device.into(), state)),
                false => drop(self.gathered.devices.insert(device.into(), state)),
            }
        }
        self.check_gathered()
    }

    fn wants_device(&self, device: &str) -> bool {
        let filter = self.settings.device_state_filter.as_ref();
        filter.is_none_or(|filter| filter.is_match(device))
    }

    fn check_gathered(&self) -> Result<(), Trouble> {
        let gathered = &self.gathered;
        let put_in = gathered.put_in.as_ref().map_or(0, BTreeMap::len);
        let count =
            gathered.devices.len() + gathered.mailboxes.len() + gathered.written.len() + put_in;
        match count <= limits::AMI_STATES as usize {
            true => Ok(()),
            false => Err(Trouble::Refused(
                "narrow device_state_filter= and mailbox_state_filter=",
                format!("it lists more than {} states", limits::AMI_STATES),
            )),
        }
    }

    // ---- how it goes on

    /// It has finished its start: everything is asked for at once.
    fn ask_everything(&mut self) {
        self.step = Step::Asking;
        for event in ["Event: DeviceStateChange", "Event: MessageWaiting"] {
            // So that a busy Asterisk does not tell of each call. Where it is refused, what is not wanted is passed over here.
            self.ask(Asked::Anything, |id| {
                Action::new("Filter", id)
                    .field("Operation", "Add")
                    .and_then(|action| action.field("Filter", event))
                    .ok()
            });
        }
        let command = |command: &'static str| {
            move |id| Action::new("Command", id).field("Command", command).ok()
        };
        self.ask(
            Asked::Modules,
            command("module show like res_pjsip_publish_asterisk"),
        );
        if self.entity_id.is_none() {
            self.ask(Asked::Settings, command("core show settings"));
        }
        self.ask(Asked::List, |id| Some(Action::new("DeviceStateList", id)));
        if self.sink.is_some() {
            self.ask(Asked::PutIn, |id| {
                Action::new("MWIGet", id).field("Mailbox", "/./").ok()
            });
        }
        self.ask(Asked::Voicemail, |id| {
            Some(Action::new("VoicemailUsersList", id))
        });
    }

    fn ask_mailbox(&mut self) {
        if let Some(mailbox) = self.mailboxes.pop_front() {
            self.ask(Asked::Mailbox(mailbox.clone()), |id| {
                Action::new("MailboxCount", id)
                    .field("Mailbox", &mailbox)
                    .ok()
            });
        }
    }

    /// Takes over what was gathered, once all of it is there.
    fn finish(&mut self) {
        let open = |asked: &Asked| {
            matches!(
                asked,
                Asked::Modules
                    | Asked::Settings
                    | Asked::List
                    | Asked::PutIn
                    | Asked::Voicemail
                    | Asked::Mailbox(_)
            )
        };
        let Some(entity_id) = self.entity_id else {
            return;
        };
        if self.step != Step::Asking || !self.gathered.listed || self.asked.values().any(open) {
            return;
        }
        let Gathered {
            devices,
            mailboxes,
            written,
            put_in,
            ..
        } = std::mem::take(&mut self.gathered);
        self.step = Step::Live;
        if let Some(sink) = &mut self.sink {
            sink.begin(written.into_iter(), put_in);
        }
        self.facts.push_back(Fact::All {
            entity_id,
            devices: devices.into_iter().collect(),
            mailboxes: mailboxes.into_iter().collect(),
        });
    }

    /// Everything of it was taken over: what failed before is over.
    pub(crate) fn taken_over(&mut self, out: &mut Outlet<'_>, devices: usize) {
        self.failures = 0;
        self.troubled = false;
        let text = format!("it is read over its manager interface: {devices} devices");
        self.say(out, Level::Info, "ami-read", &text);
    }

    fn fail(&mut self, out: &mut Outlet<'_>, random: &mut Random, trouble: Trouble) {
        if self.step == Step::Live {
            // What was not taken over yet is read again.
            self.facts.clear();
            self.facts.push_back(Fact::Gone);
        }
        if let Some(flow) = self.flow.take() {
            out.outbox.flow(FlowCommand::Close { flow });
        }
        let (first, longest) = match trouble {
            Trouble::Away(_) => (limits::BACK_OFF_FIRST, limits::BACK_OFF_AWAY_MAX),
            Trouble::Refused(..) => (limits::REFUSED_FIRST, limits::REFUSED_MAX),
        };
        let pause = back_off(first, longest, self.failures, random);
        self.failures = self.failures.saturating_add(1);
        self.step = Step::Waiting(out.now + pause);
        let again = format!("tried again in {:.1} s", pause.as_secs_f32());
        let first = !std::mem::replace(&mut self.troubled, true);
        match trouble {
            Trouble::Away(why) => {
                let level = if first { Level::Warn } else { Level::Debug };
                self.say(out, level, "ami-away", &format!("{why}; {again}"));
            }
            Trouble::Refused(advice, what) => {
                let text = format!("{what}; {again}; {advice}");
                self.say(out, Level::Error, "ami-refused", &text);
            }
        }
        self.set_timer(out);
    }

    /// Sends an action, and remembers what it is for.
    fn ask(&mut self, asked: Asked, action: impl FnOnce(u64) -> Option<Action>) {
        self.actions += 1;
        // None: a value that cannot be said. Configured ones are checked, and the sink leaves out names that cannot be.
        if let Some(action) = action(self.actions) {
            self.asked.insert(self.actions, asked);
            action.write(&mut self.out);
        }
    }

    fn flush(&mut self, out: &mut Outlet<'_>) {
        if let Some(flow) = self.flow
            && !self.writing
            && !self.out.is_empty()
        {
            self.writing = true;
            let bytes = std::mem::take(&mut self.out);
            out.outbox.flow(FlowCommand::Write { flow, bytes });
        }
    }

    fn set_timer(&self, out: &mut Outlet<'_>) {
        let timer = Timer::Ami(self.index);
        let at = match self.step {
            Step::Resting => {
                out.timers.clear(timer);
                return;
            }
            Step::Waiting(at) => at,
            Step::Connecting => self.heard + limits::AMI_CONNECTING,
            Step::Greeting | Step::LoggingIn => self.heard + limits::AMI_SILENCE,
            Step::Booting | Step::Asking | Step::Live => {
                let silence = match self.asked.is_empty() {
                    true => limits::AMI_PING,
                    false => limits::AMI_SILENCE,
                };
                let booting = self.began + limits::AMI_BOOTING;
                let impatient = (self.step == Step::Booting && !self.impatient).then_some(booting);
                let silent = self.heard + silence;
                impatient.map_or(silent, |at| at.min(silent))
            }
        };
        out.timers.set(timer, at.max(out.now));
    }

    fn say(&self, out: &mut Outlet<'_>, level: Level, code: &'static str, text: &str) {
        let Ami {
            name, host, port, ..
        } = &self.settings;
        out.outbox
            .notice(level, code, format!("ami {name} ({host}:{port}): {text}"));
    }
}

/// What another program says, cut short for the log.
fn cut(text: &str) -> String {
    let text = text.chars().filter(|it| !it.is_control());
    text.take(limits::AMI_REASON).collect()
}
