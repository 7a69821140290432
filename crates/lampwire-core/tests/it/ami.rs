//! An Asterisk over its manager interface: read as a peer, and told others' states.

use std::collections::BTreeMap;
use std::time::Duration;

use lampwire_core::{Certificate, FlowCommand, FlowId, PeerStatus, Source};
use lampwire_sip::DeviceState;

use crate::bench::{Bench, NODE_EID, PEER_EID, RELATION, Request};

const EID: &str = "02:00:00:00:00:16";
const SOURCE: &str = "[office]\ntype=ami\nhost=127.0.0.16\nusername=lamp\nsecret=hunter2\n\
    device_state_filter=^PJSIP/\nmailbox_state_filter=@office$\n";

/// A model of an Asterisk: what it has, and whether it takes what it is told.
struct Asterisk {
    /// Nobody listens there.
    down: bool,
    devices: BTreeMap<String, String>,
    database: BTreeMap<String, String>,
    /// Of app_voicemail, and of the module for others'.
    counts: BTreeMap<String, (u16, u16)>,
    /// It lists those of app_voicemail.
    lists_mailboxes: bool,
    external: Option<BTreeMap<String, (u16, u16)>>,
    exchange: bool,
    booted: bool,
    secret: &'static str,
    /// Answers these actions with an error.
    refuses: Vec<&'static str>,
    /// Ends the connection after so many devices of a list.
    cut_after: Option<usize>,
    /// Says nothing to what it is asked.
    mute: bool,
    flow: Option<FlowId>,
    pending: String,
    /// The actions that it was asked, without those of the login.
    asked: Vec<String>,
    connections: usize,
    /// What the peer that publishes was told meanwhile.
    told: Vec<String>,
}

impl Asterisk {
    fn new(devices: &[(&str, &str)]) -> Self {
        let devices = devices
            .iter()
            .map(|(name, state)| ((*name).to_owned(), (*state).to_owned()));
        Self {
            down: false,
            devices: devices.collect(),
            database: BTreeMap::new(),
            counts: BTreeMap::new(),
            lists_mailboxes: false,
            external: None,
            exchange: false,
            booted: true,
            secret: "hunter2",
            refuses: Vec::new(),
            cut_after: None,
            mute: false,
            flow: None,
            pending: String::new(),
            asked: Vec::new(),
            connections: 0,
            told: Vec::new(),
        }
    }

    /// Does all that the node wants of it, until nothing more is.
    fn run(&mut self, bench: &mut Bench) {
        let now = bench.now;
        while let Some(command) = bench.node.poll_flow() {
            match command {
                FlowCommand::Connect {
                    flow,
                    remote,
                    server_name,
                    ..
                } => {
                    assert_eq!(remote.to_string(), "127.0.0.16:5038");
                    assert!(["127.0.0.16", "pbx.example"].contains(&server_name.as_str()));
                    if self.down {
                        bench.node.handle_closed(now, flow, "connection refused");
                        continue;
                    }
                    self.connections += 1;
                    self.flow = Some(flow);
                    self.pending.clear();
                    bench
                        .node
                        .handle_connected(now, flow, Certificate::default());
                    self.say(bench, "Asterisk Call Manager/5.0.4\r\n");
                }
                FlowCommand::Write { flow, bytes } => {
                    assert_eq!(self.flow, Some(flow));
                    self.pending.push_str(std::str::from_utf8(&bytes).unwrap());
                    while let Some((action, rest)) = self.pending.split_once("\r\n\r\n") {
                        let (action, rest) = (action.to_owned(), rest.to_owned());
                        self.pending = rest;
                        self.answer(bench, &action);
                    }
                    bench.node.handle_writable(now, flow);
                }
                FlowCommand::Close { flow } => {
                    if self.flow == Some(flow) {
                        self.flow = None;
                    }
                }
            }
        }
    }

    /// Something is said over the connection, in small pieces.
    fn say(&mut self, bench: &mut Bench, text: &str) {
        for piece in text.as_bytes().chunks(7) {
            let Some(flow) = self.flow else { return };
            bench.node.handle_stream(bench.now, flow, piece);
        }
    }

    /// Ends the connection, one time in order, the other not.
    fn end(&mut self, bench: &mut Bench) {
        if let Some(flow) = self.flow.take() {
            match self.connections % 2 {
                0 => bench.node.handle_closed(bench.now, flow, "reset"),
                _ => bench.node.handle_ended(bench.now, flow),
            }
        }
    }

    /// A device of its own changes.
    fn set(&mut self, bench: &mut Bench, device: &str, state: &str) {
        self.devices.insert(device.to_owned(), state.to_owned());
        let text = format!(
            "Event: DeviceStateChange\r\nPrivilege: call,all\r\nDevice: {device}\r\nState: {state}\r\n\r\n"
        );
        self.say(bench, &text);
        self.run(bench);
    }

    fn count(&mut self, bench: &mut Bench, mailbox: &str, (new, old): (u16, u16)) {
        let text = format!(
            "Event: MessageWaiting\r\nMailbox: {mailbox}\r\nWaiting: 1\r\nNew: {new}\r\nOld: {old}\r\n\r\n"
        );
        self.say(bench, &text);
        self.run(bench);
    }

    fn answer(&mut self, bench: &mut Bench, action: &str) {
        let field = |name: &str| {
            let line = action
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name}: ")));
            line.unwrap_or_default().to_owned()
        };
        let (name, id) = (field("Action"), field("ActionID"));
        if !["Challenge", "Login", "Filter"].contains(&name.as_str()) {
            let what = [
                "Command",
                "Variable",
                "Value",
                "Key",
                "Mailbox",
                "NewMessages",
                "OldMessages",
            ];
            let values = what.iter().map(|it| field(it)).filter(|it| !it.is_empty());
            let values: Vec<String> = std::iter::once(name.clone()).chain(values).collect();
            self.asked.push(values.join(" "));
        }
        if self.mute {
            return;
        }
        let mut events = String::new();
        let good = |more: &str| format!("Response: Success\r\nActionID: {id}\r\n{more}\r\n");
        let bad =
            |why: &str| format!("Response: Error\r\nActionID: {id}\r\nMessage: {why}\r\n\r\n");
        let response = match name.as_str() {
            refused if self.refuses.contains(&refused) => bad("Permission denied"),
            "Challenge" => good("Challenge: 4711\r\n"),
            "Login" => {
                assert!(!action.contains("hunter2"), "the secret itself");
                let key = lampwire_ami::login_key("4711", self.secret);
                match field("Key") == *key && field("Username") == "lamp" {
                    true => {
                        if self.booted {
                            events.push_str("Event: FullyBooted\r\nStatus: Fully Booted\r\n\r\n");
                        }
                        good("Message: Authentication accepted\r\n")
                    }
                    false => bad("Authentication failed"),
                }
            }
            "Command" if field("Command").starts_with("module") => match self.exchange {
                true => good("Output: res_pjsip_publish_asterisk.so Asterisk 0 Running core\r\n"),
                false => good("Output: 0 modules loaded\r\n"),
            },
            "Command" => good(&format!(
                "Output: \r\nOutput:   Entity ID:           {EID}\r\n"
            )),
            "DeviceStateList" => {
                let mut count = 0;
                let custom = self
                    .database
                    .iter()
                    .map(|(key, state)| (format!("Custom:{key}"), state.clone()));
                for (device, state) in self.devices.clone().into_iter().chain(custom) {
                    events.push_str(&format!(
                        "Event: DeviceStateChange\r\nActionID: {id}\r\nDevice: {device}\r\nState: {state}\r\n\r\n"
                    ));
                    count += 1;
                    if self.cut_after == Some(count) {
                        events.push_str("Event: DeviceSta");
                        self.say(bench, &(good("EventList: start\r\n") + &events));
                        self.end(bench);
                        return;
                    }
                }
                events.push_str(&format!(
                    "Event: DeviceStateListComplete\r\nActionID: {id}\r\nListItems: {count}\r\n\r\n"
                ));
                good("EventList: start\r\n")
            }
            "VoicemailUsersList" if !self.lists_mailboxes => {
                bad("Invalid/unknown command: VoicemailUsersList. Use Action: ListCommands")
            }
            "VoicemailUsersList" if self.counts.is_empty() => {
                good("Message: There are no voicemail users currently defined.\r\n")
            }
            "VoicemailUsersList" => {
                for (mailbox, (new, old)) in &self.counts {
                    let (name, context) = mailbox.split_once('@').unwrap();
                    events.push_str(&format!(
                        "Event: VoicemailUserEntry\r\nActionID: {id}\r\nVMContext: {context}\r\nVoiceMailbox: {name}\r\nFullname: A B\r\nPager: \r\nNewMessageCount: {new}\r\nOldMessageCount: {old}\r\n\r\n"
                    ));
                }
                events.push_str(&format!(
                    "Event: VoicemailUserEntryComplete\r\nActionID: {id}\r\nEventList: Complete\r\n\r\n"
                ));
                good("EventList: start\r\nMessage: Voicemail user list will follow\r\n")
            }
            "MailboxCount" => {
                let (new, old) = self
                    .counts
                    .get(&field("Mailbox"))
                    .copied()
                    .unwrap_or_default();
                good(&format!(
                    "UrgMessages: 0\r\nNewMessages: {new}\r\nOldMessages: {old}\r\n"
                ))
            }
            "Setvar" => {
                let variable = field("Variable");
                let key = variable
                    .strip_prefix("DEVICE_STATE(Custom:")
                    .unwrap()
                    .strip_suffix(')')
                    .unwrap();
                assert_ne!(field("Value"), "UNKNOWN", "no Asterisk takes it");
                self.database.insert(key.to_owned(), field("Value"));
                events.push_str(&format!(
                    "Event: DeviceStateChange\r\nDevice: Custom:{key}\r\nState: {}\r\n\r\n",
                    field("Value")
                ));
                good("Message: Variable Set\r\n")
            }
            "MWIGet" => match &self.external {
                None => bad("Invalid/unknown command: MWIGet. Use Action: ListCommands"),
                Some(external) => {
                    assert_eq!(field("Mailbox"), "/./");
                    for (mailbox, (new, old)) in external {
                        events.push_str(&format!(
                            "Event: MWIGet\r\nMailbox: {mailbox}\r\nOldMessages: {old}\r\nNewMessages: {new}\r\nActionID: {id}\r\n\r\n"
                        ));
                    }
                    events.push_str(&format!(
                        "Event: MWIGetComplete\r\nActionID: {id}\r\nEventList: Complete\r\n\r\n"
                    ));
                    good("EventList: start\r\nMessage: Mailboxes will follow\r\n")
                }
            },
            "DBDel" => {
                self.database.remove(&field("Key"));
                good("Message: Key deleted successfully\r\n")
            }
            "MWIUpdate" | "MWIDelete" => match &mut self.external {
                None => bad("Invalid/unknown command: MWIUpdate. Use Action: ListCommands"),
                Some(external) if name == "MWIDelete" => {
                    external.remove(&field("Mailbox"));
                    good("")
                }
                Some(external) => {
                    let counts = (
                        field("NewMessages").parse().unwrap(),
                        field("OldMessages").parse().unwrap(),
                    );
                    external.insert(field("Mailbox"), counts);
                    events.push_str(&format!(
                        "Event: MessageWaiting\r\nMailbox: {}\r\nNew: {}\r\nOld: {}\r\n\r\n",
                        field("Mailbox"),
                        counts.0,
                        counts.1
                    ));
                    good("")
                }
            },
            _ => good(""),
        };
        self.say(bench, &(response + &events));
    }

    fn asked(&mut self) -> Vec<String> {
        std::mem::take(&mut self.asked)
    }

    fn database(&self) -> Vec<(&str, &str)> {
        self.database
            .iter()
            .map(|(key, state)| (key.as_str(), state.as_str()))
            .collect()
    }
}

fn node(more: &str, asterisk: &mut Asterisk) -> Bench {
    let mut bench = Bench::new(&format!("{RELATION}{SOURCE}{more}"));
    asterisk.run(&mut bench);
    bench
}

/// Lets time pass in small steps, with all that the Asterisk is asked on the way.
fn pass(bench: &mut Bench, asterisk: &mut Asterisk, duration: Duration) {
    let step = Duration::from_millis(100);
    for _ in 0..duration.as_millis() / step.as_millis() {
        grant(bench, asterisk);
        bench.pass(step);
        asterisk.run(bench);
    }
}

/// What the peer that publishes was told since this was last asked, as `name STATE last-byte-of-the-eid`.
fn told(bench: &mut Bench, asterisk: &mut Asterisk) -> Vec<String> {
    grant(bench, asterisk);
    std::mem::take(&mut asterisk.told)
}

/// The peer that publishes takes what it is told.
fn grant(bench: &mut Bench, asterisk: &mut Asterisk) {
    for _ in 0..1000 {
        let requests = bench.requests();
        if requests.is_empty() {
            return;
        }
        for request in requests {
            let body = request.body().to_owned();
            let part = |name: &str| {
                let behind = body.split_once(&format!("\"{name}\":\""))?.1;
                Some(behind.split_once('"')?.0.to_owned())
            };
            if let (Some(device), Some(state), Some(eid)) =
                (part("device"), part("state"), part("eid"))
            {
                let said = format!("{device} {state} {}", &eid[15..]);
                asterisk.told.push(said);
            }
            bench.grant(&request, "tag");
        }
    }
    panic!("it does not fall quiet");
}

/// The publishing peer says a state of its own.
fn peer_says(bench: &mut Bench, asterisk: &mut Asterisk, device: &str, state: &str) {
    grant(bench, asterisk);
    bench.ask(&Request::new().body(format!(
        r#"{{"type":"devicestate","device":"{device}","state":"{state}","cachable":1,"eid":"{PEER_EID}"}}"#
    )));
    asterisk.run(bench);
}

fn status(bench: &Bench) -> PeerStatus {
    let peers = bench.node.peers(bench.now);
    peers.iter().find(|it| it.name == "office").unwrap().status
}

#[test]
fn its_states_are_told_as_its_own() {
    let mut asterisk = Asterisk::new(&[
        ("PJSIP/1", "INUSE"),
        ("Custom:x", "BUSY"),
        ("PJSIP/2", "NOT_INUSE"),
    ]);
    let mut bench = node("", &mut asterisk);
    assert_eq!(bench.lamp("PJSIP/1"), Some("INUSE"));
    assert_eq!(bench.lamp("Custom:x"), None, "the filter keeps it out");
    let view = bench.node.device("PJSIP/1").unwrap();
    assert_eq!(view.entities[0].eid.to_string(), EID);
    assert_eq!(view.entities[0].source, Source::Ami);
    assert_eq!(view.entities[0].peer.as_deref(), Some("office"));
    assert_eq!(
        told(&mut bench, &mut asterisk),
        ["PJSIP/1 INUSE 16", "PJSIP/2 NOT_INUSE 16"]
    );
    asterisk.set(&mut bench, "PJSIP/1", "RINGING");
    asterisk.set(&mut bench, "PJSIP/1", "RINGING");
    asterisk.set(&mut bench, "Custom:x", "INUSE");
    assert_eq!(told(&mut bench, &mut asterisk), ["PJSIP/1 RINGING 16"]);
    assert_eq!(status(&bench), PeerStatus::Up);
    assert_eq!(
        asterisk.asked(),
        [
            "Command module show like res_pjsip_publish_asterisk",
            "Command core show settings",
            "DeviceStateList",
            "VoicemailUsersList"
        ]
    );
}

#[test]
fn what_is_gone_after_a_restart_is_taken_back() {
    let mut asterisk = Asterisk::new(&[("PJSIP/1", "INUSE"), ("PJSIP/2", "NOT_INUSE")]);
    let mut bench = node("", &mut asterisk);
    told(&mut bench, &mut asterisk);
    asterisk.end(&mut bench);
    asterisk.devices.remove("PJSIP/1");
    asterisk.devices.insert("PJSIP/2".into(), "BUSY".into());
    assert_eq!(status(&bench), PeerStatus::Down);
    assert_eq!(bench.lamp("PJSIP/1"), Some("INUSE"), "it is held");
    pass(&mut bench, &mut asterisk, Duration::from_secs(2));
    assert_eq!(asterisk.connections, 2);
    assert_eq!(bench.lamp("PJSIP/1"), None);
    let mut said = told(&mut bench, &mut asterisk);
    said.sort();
    assert_eq!(said, ["PJSIP/1 INVALID 16", "PJSIP/2 BUSY 16"]);
    assert!(!bench.notices().contains(&"node-lost"));
}

#[test]
fn half_a_list_leaves_no_trace() {
    let mut asterisk = Asterisk::new(&[
        ("PJSIP/1", "INUSE"),
        ("PJSIP/2", "NOT_INUSE"),
        ("PJSIP/3", "BUSY"),
    ]);
    let mut bench = node("", &mut asterisk);
    told(&mut bench, &mut asterisk);
    asterisk.end(&mut bench);
    asterisk
        .devices
        .insert("PJSIP/1".into(), "NOT_INUSE".into());
    asterisk.cut_after = Some(1);
    pass(&mut bench, &mut asterisk, Duration::from_secs(10));
    assert!(asterisk.connections > 5);
    assert_eq!(bench.lamp("PJSIP/1"), Some("INUSE"));
    assert_eq!(bench.lamp("PJSIP/3"), Some("BUSY"));
    assert_eq!(told(&mut bench, &mut asterisk), [""; 0]);
    asterisk.cut_after = None;
    pass(&mut bench, &mut asterisk, Duration::from_secs(2));
    assert_eq!(bench.lamp("PJSIP/1"), Some("NOT_INUSE"));
}

#[test]
fn one_that_stays_away_is_lost_and_comes_back() {
    let mut asterisk = Asterisk::new(&[("PJSIP/1", "INUSE")]);
    let mut bench = node("", &mut asterisk);
    told(&mut bench, &mut asterisk);
    asterisk.end(&mut bench);
    asterisk.down = true;
    pass(&mut bench, &mut asterisk, Duration::from_secs(59));
    assert_eq!(bench.lamp("PJSIP/1"), Some("INUSE"), "it is held");
    pass(&mut bench, &mut asterisk, Duration::from_secs(3));
    assert_eq!(bench.lamp("PJSIP/1"), Some("INVALID"));
    assert_eq!(told(&mut bench, &mut asterisk), ["PJSIP/1 INVALID 16"]);
    asterisk.down = false;
    asterisk.devices.insert("PJSIP/1".into(), "BUSY".into());
    pass(&mut bench, &mut asterisk, Duration::from_secs(2));
    assert_eq!(
        told(&mut bench, &mut asterisk).last().unwrap(),
        "PJSIP/1 BUSY 16"
    );
    assert_eq!(bench.lamp("PJSIP/1"), Some("BUSY"));
}

#[test]
fn a_silent_one_is_asked_and_left() {
    let mut asterisk = Asterisk::new(&[("PJSIP/1", "INUSE")]);
    let mut bench = node("", &mut asterisk);
    asterisk.asked();
    pass(&mut bench, &mut asterisk, Duration::from_secs(60));
    let asked = asterisk.asked();
    assert!(
        asked.len() > 8 && asked.iter().all(|it| it == "Ping"),
        "{asked:?}"
    );
    assert_eq!(asterisk.connections, 1);
    asterisk.mute = true;
    pass(&mut bench, &mut asterisk, Duration::from_secs(11));
    assert!(bench.notices().contains(&"ami-away"));
    assert_eq!(status(&bench), PeerStatus::Down);
    asterisk.mute = false;
    pass(&mut bench, &mut asterisk, Duration::from_secs(12));
    assert_eq!(status(&bench), PeerStatus::Up);
}

#[test]
fn one_that_is_not_booted_is_waited_for() {
    let mut asterisk = Asterisk::new(&[("PJSIP/1", "INUSE")]);
    asterisk.booted = false;
    let mut bench = node("", &mut asterisk);
    pass(&mut bench, &mut asterisk, Duration::from_secs(61));
    assert_eq!(bench.lamp("PJSIP/1"), None);
    assert_eq!(
        bench
            .notices()
            .iter()
            .filter(|it| **it == "ami-not-booted")
            .count(),
        1
    );
    asterisk.say(&mut bench, "Event: FullyBooted\r\n\r\n");
    asterisk.run(&mut bench);
    assert_eq!(bench.lamp("PJSIP/1"), Some("INUSE"));
}

#[test]
fn what_is_no_use_is_refused_with_what_to_do() {
    type Change = fn(&mut Asterisk);
    let cases: [(&str, Change); 5] = [
        ("login", |it| it.secret = "other"),
        ("the exchange is loaded", |it| it.exchange = true),
        ("no list", |it| it.refuses.push("DeviceStateList")),
        ("no entity id", |it| it.refuses.push("Command")),
        ("no challenge", |it| it.refuses.push("Challenge")),
    ];
    for (name, change) in cases {
        let mut asterisk = Asterisk::new(&[("PJSIP/1", "INUSE")]);
        change(&mut asterisk);
        let mut bench = node("", &mut asterisk);
        assert!(bench.notices().contains(&"ami-refused"), "{name}");
        assert_eq!(bench.lamp("PJSIP/1"), None, "{name}");
        pass(&mut bench, &mut asterisk, Duration::from_secs(60));
        assert!(
            (2..8).contains(&asterisk.connections),
            "{name}: {}",
            asterisk.connections
        );
        assert_eq!(status(&bench), PeerStatus::Down, "{name}");
    }
    // An entity id that is configured needs no command.
    let mut asterisk = Asterisk::new(&[("PJSIP/1", "INUSE")]);
    asterisk.refuses.push("Command");
    let bench = node(&format!("eid={EID}\n"), &mut asterisk);
    assert_eq!(bench.lamp("PJSIP/1"), Some("INUSE"));
}

#[test]
fn another_program_is_no_asterisk() {
    let mut asterisk = Asterisk::new(&[]);
    let mut bench = Bench::new(&format!("{RELATION}{SOURCE}"));
    let Some(FlowCommand::Connect { flow, .. }) = bench.node.poll_flow() else {
        panic!()
    };
    bench
        .node
        .handle_connected(bench.now, flow, Certificate::default());
    bench
        .node
        .handle_stream(bench.now, flow, b"SSH-2.0-OpenSSH_9.2\r\n");
    assert_eq!(bench.node.poll_flow(), Some(FlowCommand::Close { flow }));
    assert!(bench.notices().contains(&"ami-refused"));
    // What still comes over the old connection is nothing.
    bench
        .node
        .handle_stream(bench.now, flow, b"Asterisk Call Manager/5.0.4\r\n");
    bench.node.handle_closed(bench.now, flow, "late");
    bench.node.handle_writable(bench.now, flow);
    pass(&mut bench, &mut asterisk, Duration::from_secs(10));
    assert_eq!(status(&bench), PeerStatus::Up);
}

#[test]
fn an_entity_id_of_another_is_refused() {
    for eid in [NODE_EID, PEER_EID] {
        let mut asterisk = Asterisk::new(&[("PJSIP/1", "INUSE")]);
        let text =
            format!("{RELATION}{SOURCE}eid={eid}\n").replace("entity_id=02:00:00:00:00:01\n", "");
        let mut bench = Bench::new(&text);
        peer_says(&mut bench, &mut Asterisk::new(&[]), "PJSIP/9", "INUSE");
        pass(&mut bench, &mut asterisk, Duration::from_secs(1));
        assert!(bench.notices().contains(&"ami-refused"), "{eid}");
        assert_eq!(bench.lamp("PJSIP/1"), None, "{eid}");
    }
}

#[test]
fn others_states_are_put_in_as_custom_devices() {
    let mut asterisk = Asterisk::new(&[("PJSIP/1", "INUSE")]);
    asterisk
        .database
        .insert("remote-PJSIP/7".into(), "INUSE".into());
    asterisk.database.insert("door".into(), "INUSE".into());
    let mut bench = node("sink=yes\n", &mut asterisk);
    pass(&mut bench, &mut asterisk, Duration::from_secs(61));
    told(&mut bench, &mut asterisk);
    assert_eq!(
        asterisk.database(),
        [("door", "INUSE")],
        "what nobody speaks of is taken out"
    );
    bench.set("PJSIP/8", DeviceState::NotInUse);
    asterisk.run(&mut bench);
    peer_says(&mut bench, &mut asterisk, "PJSIP/8", "INUSE");
    peer_says(&mut bench, &mut asterisk, "PJSIP/9", "UNKNOWN");
    peer_says(&mut bench, &mut asterisk, "PJSIP/1", "RINGING");
    let expected = [
        ("door", "INUSE"),
        ("remote-PJSIP/1", "RINGING"),
        ("remote-PJSIP/8", "INUSE"),
        ("remote-PJSIP/9", "NOT_INUSE"),
    ];
    assert_eq!(asterisk.database(), expected);
    // Its own words do not come back, neither here nor at the peer.
    assert_eq!(bench.lamp("Custom:remote-PJSIP/8"), None);
    assert_eq!(told(&mut bench, &mut asterisk), ["PJSIP/8 NOT_INUSE 01"]);
    asterisk.asked();
    asterisk.set(&mut bench, "PJSIP/1", "BUSY");
    assert_eq!(asterisk.asked(), [""; 0], "its own state is no news to it");
    bench.node.unset_device(bench.now, "PJSIP/8").unwrap();
    peer_says(&mut bench, &mut asterisk, "PJSIP/8", "INVALID");
    assert_eq!(
        asterisk.asked(),
        ["Setvar DEVICE_STATE(Custom:remote-PJSIP/8) INVALID"]
    );
}

#[test]
fn after_a_cut_only_what_differs_is_written() {
    let mut asterisk = Asterisk::new(&[]);
    let mut bench = node("sink=yes\n", &mut asterisk);
    for number in 1..=100 {
        peer_says(
            &mut bench,
            &mut asterisk,
            &format!("PJSIP/{number}"),
            "INUSE",
        );
    }
    assert_eq!(asterisk.database.len(), 100);
    asterisk.end(&mut bench);
    asterisk.down = true;
    peer_says(&mut bench, &mut asterisk, "PJSIP/50", "NOT_INUSE");
    bench.set("PJSIP/51", DeviceState::Busy);
    bench.set("PJSIP/52", DeviceState::NotInUse);
    pass(&mut bench, &mut asterisk, Duration::from_secs(20));
    asterisk.down = false;
    asterisk.asked();
    pass(&mut bench, &mut asterisk, Duration::from_secs(2));
    let written: Vec<_> = asterisk
        .asked()
        .into_iter()
        .filter(|it| it.starts_with("Setvar"))
        .collect();
    assert_eq!(
        written,
        [
            "Setvar DEVICE_STATE(Custom:remote-PJSIP/50) NOT_INUSE",
            "Setvar DEVICE_STATE(Custom:remote-PJSIP/51) BUSY"
        ]
    );
    asterisk.end(&mut bench);
    asterisk.database.clear();
    pass(&mut bench, &mut asterisk, Duration::from_secs(2));
    assert_eq!(asterisk.database.len(), 100, "everything is there again");
    let office = bench.node.peers(bench.now);
    assert!(
        office
            .iter()
            .all(|it| it.name != "office" || it.behind == 0)
    );
}

#[test]
fn writes_that_are_refused_are_said_once_and_not_repeated() {
    let mut asterisk = Asterisk::new(&[]);
    asterisk.refuses.push("Setvar");
    let mut bench = node("sink=yes\n", &mut asterisk);
    for number in 1..=5 {
        peer_says(
            &mut bench,
            &mut asterisk,
            &format!("PJSIP/{number}"),
            "INUSE",
        );
    }
    let long = "x".repeat(250);
    peer_says(&mut bench, &mut asterisk, &long, "INUSE");
    assert_eq!(
        bench
            .notices()
            .iter()
            .filter(|it| **it == "ami-write-refused")
            .count(),
        1
    );
    pass(&mut bench, &mut asterisk, Duration::from_secs(30));
    let written = asterisk
        .asked()
        .into_iter()
        .filter(|it| it.starts_with("Setvar"))
        .count();
    assert_eq!(written, 5);
}

#[test]
fn mailboxes_go_one_way_each() {
    let mut asterisk = Asterisk::new(&[]);
    asterisk.external = Some(BTreeMap::new());
    asterisk.counts.insert("1@office".into(), (2, 1));
    let mut bench = node("sink=yes\nmailboxes=1@office,2@office\n", &mut asterisk);
    let counts = |bench: &Bench, name: &str| bench.node.mailbox(name).map(|it| (it.new, it.old));
    assert_eq!(counts(&bench, "1@office"), Some((2, 1)));
    assert_eq!(counts(&bench, "2@office"), Some((0, 0)));
    asterisk.count(&mut bench, "1@office", (3, 0));
    asterisk.count(&mut bench, "1@other", (9, 9));
    assert_eq!(counts(&bench, "1@office"), Some((3, 0)));
    assert_eq!(counts(&bench, "1@other"), None);
    bench
        .node
        .set_mailbox(bench.now, "5@default", 4, 1)
        .unwrap();
    bench.node.set_mailbox(bench.now, "6@office", 4, 1).unwrap();
    asterisk.run(&mut bench);
    let external = |asterisk: &Asterisk| {
        asterisk
            .external
            .clone()
            .unwrap()
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(external(&asterisk), [("5@default".to_owned(), (4, 1))]);
    asterisk.end(&mut bench);
    bench.node.unset_mailbox(bench.now, "5@default").unwrap();
    bench
        .node
        .set_mailbox(bench.now, "7@default", 1, 0)
        .unwrap();
    pass(&mut bench, &mut asterisk, Duration::from_secs(2));
    assert_eq!(external(&asterisk), [("7@default".to_owned(), (1, 0))]);
    assert_eq!(counts(&bench, "7@default"), Some((1, 0)));
}

#[test]
fn an_asterisk_without_the_module_is_told_no_mailboxes() {
    let mut asterisk = Asterisk::new(&[]);
    let mut bench = node("sink=yes\n", &mut asterisk);
    for number in 1..=3 {
        bench
            .node
            .set_mailbox(bench.now, &format!("{number}@default"), 4, 1)
            .unwrap();
        asterisk.run(&mut bench);
    }
    assert_eq!(
        bench
            .notices()
            .iter()
            .filter(|it| **it == "ami-no-mailboxes")
            .count(),
        1
    );
    let written = asterisk
        .asked()
        .into_iter()
        .filter(|it| it.starts_with("MWIU") || it.starts_with("MWID"))
        .count();
    assert_eq!(written, 1);
}

#[test]
fn a_hub_passes_an_asterisks_states_on_and_its_peers_to_it() {
    let mut asterisk = Asterisk::new(&[("PJSIP/1", "INUSE")]);
    let text = format!("{RELATION}{SOURCE}sink=yes\n")
        .replace("type=lampwire\n", "type=lampwire\nrelay=yes\n");
    let mut bench = Bench::new(&text);
    asterisk.run(&mut bench);
    assert_eq!(told(&mut bench, &mut asterisk), ["PJSIP/1 INUSE 16"]);
    peer_says(&mut bench, &mut asterisk, "PJSIP/1", "RINGING");
    assert_eq!(asterisk.database(), [("remote-PJSIP/1", "RINGING")]);
    asterisk.set(&mut bench, "PJSIP/1", "NOT_INUSE");
    let said = told(&mut bench, &mut asterisk);
    assert_eq!(said.last().unwrap(), "PJSIP/1 NOT_INUSE 16");
    assert_eq!(bench.lamp("PJSIP/1"), Some("RINGING"));
}

#[test]
fn a_restarted_node_goes_on_with_what_it_knew_of_an_asterisk() {
    let mut asterisk = Asterisk::new(&[("PJSIP/1", "INUSE"), ("PJSIP/2", "INUSE")]);
    let mut bench = node("", &mut asterisk);
    told(&mut bench, &mut asterisk);
    asterisk.devices.remove("PJSIP/2");
    let mut bench = bench.restarted(&format!("{RELATION}{SOURCE}"), true);
    assert_eq!(bench.lamp("PJSIP/2"), Some("INUSE"));
    asterisk.run(&mut bench);
    assert_eq!(bench.lamp("PJSIP/2"), None);
    assert_eq!(told(&mut bench, &mut asterisk), ["PJSIP/2 INVALID 16"]);
}

#[test]
fn what_somebody_else_makes_of_a_lamp_is_put_right() {
    let mut asterisk = Asterisk::new(&[]);
    let mut bench = node("sink=yes\n", &mut asterisk);
    peer_says(&mut bench, &mut asterisk, "PJSIP/1", "INUSE");
    for (name, state) in [("PJSIP/1", "NOT_INUSE"), ("nobody", "BUSY")] {
        asterisk
            .database
            .insert(format!("remote-{name}"), state.into());
        let text = format!(
            "Event: DeviceStateChange\r\nDevice: Custom:remote-{name}\r\nState: {state}\r\n\r\n"
        );
        asterisk.say(&mut bench, &text);
        asterisk.run(&mut bench);
        assert_eq!(asterisk.database(), [("remote-PJSIP/1", "INUSE")]);
    }
}

/// An hour of changes on both sides, with a cut in it now and then: nothing is said more often than it changed, and nothing comes back.
#[test]
fn nothing_echoes_in_an_hour() {
    let mut asterisk = Asterisk::new(&[]);
    let text = format!("{RELATION}{SOURCE}sink=yes\n")
        .replace("type=lampwire\n", "type=lampwire\nrelay=yes\n");
    let mut bench = Bench::new(&text);
    asterisk.run(&mut bench);
    peer_says(&mut bench, &mut asterisk, "PJSIP/p0", "INUSE");
    told(&mut bench, &mut asterisk);
    asterisk.asked();
    let states = ["INUSE", "NOT_INUSE", "RINGING", "BUSY", "UNAVAILABLE"];
    let (mut told_count, mut written, mut changes) = (0, 0, [0, 0]);
    for second in 0..3600usize {
        let device = second * 7919 % 11;
        let state = states[second * 104_729 % 31 % states.len()];
        if second % 2 == 0 {
            changes[0] += 1;
            asterisk.set(&mut bench, &format!("PJSIP/a{device}"), state);
        } else {
            changes[1] += 1;
            peer_says(
                &mut bench,
                &mut asterisk,
                &format!("PJSIP/p{device}"),
                state,
            );
        }
        if second % 600 == 599 {
            asterisk.end(&mut bench);
        }
        pass(&mut bench, &mut asterisk, Duration::from_secs(1));
        told_count += told(&mut bench, &mut asterisk).len();
        written += asterisk
            .asked()
            .iter()
            .filter(|it| it.starts_with("Setvar"))
            .count();
    }
    assert!(
        told_count <= changes[0] && written <= changes[1],
        "{told_count} {written}"
    );
    pass(&mut bench, &mut asterisk, Duration::from_secs(60));
    assert!(asterisk.asked().iter().all(|it| it == "Ping"));
    assert!(told(&mut bench, &mut asterisk).is_empty());
    assert_eq!(asterisk.database.len(), 11);
    for (key, state) in asterisk.database() {
        let name = key.strip_prefix("remote-PJSIP/p").unwrap();
        assert_eq!(bench.lamp(&format!("PJSIP/p{name}")), Some(state));
    }
    for (name, state) in &asterisk.devices {
        assert_eq!(bench.lamp(name), Some(state.as_str()));
    }
}

#[test]
fn a_host_name_is_asked_for_until_it_is_known() {
    let mut asterisk = Asterisk::new(&[("PJSIP/1", "INUSE")]);
    let text = format!("{RELATION}{SOURCE}").replace("host=127.0.0.16", "host=pbx.example");
    let mut bench = Bench::new(&text);
    pass(&mut bench, &mut asterisk, Duration::from_secs(3));
    assert_eq!(
        (asterisk.connections, status(&bench)),
        (0, PeerStatus::Unknown)
    );
    bench.resolve("pbx.example", "127.0.0.16");
    asterisk.run(&mut bench);
    assert_eq!(bench.lamp("PJSIP/1"), Some("INUSE"));
}

#[test]
fn a_reload_leaves_its_connection_alone_unless_its_section_is_another() {
    let base = format!("{RELATION}{SOURCE}");
    let mut asterisk = Asterisk::new(&[
        ("PJSIP/1", "INUSE"),
        ("PJSIP/2", "BUSY"),
        ("SIP/3", "INUSE"),
    ]);
    let mut bench = node("", &mut asterisk);
    told(&mut bench, &mut asterisk);

    // Another section before it: it has another place, and is the same.
    let other = SOURCE
        .replace("[office]", "[annex]")
        .replace("127.0.0.16", "127.0.0.17");
    let report = bench.reload(&format!("{other}{base}")).unwrap();
    assert_eq!(report.links.len(), 1, "{report:?}");
    let connects: Vec<_> = std::iter::from_fn(|| bench.node.poll_flow()).collect();
    assert_eq!(connects.len(), 1, "{connects:?}");
    asterisk.set(&mut bench, "PJSIP/1", "RINGING");
    assert_eq!(told(&mut bench, &mut asterisk), ["PJSIP/1 RINGING 16"]);
    bench.reload(&base).unwrap();
    while bench.node.poll_flow().is_some() {}
    asterisk.set(&mut bench, "PJSIP/1", "INUSE");
    assert_eq!(told(&mut bench, &mut asterisk), ["PJSIP/1 INUSE 16"]);
    assert_eq!(asterisk.connections, 1);

    // Another filter: it is read anew, and only what is another is told.
    let all = base.replace(
        "device_state_filter=^PJSIP/",
        "device_state_filter=^PJSIP/1|^SIP/",
    );
    bench.reload(&all).unwrap();
    asterisk.run(&mut bench);
    assert_eq!(asterisk.connections, 2);
    let mut said = told(&mut bench, &mut asterisk);
    said.sort();
    assert_eq!(said, ["PJSIP/2 INVALID 16", "SIP/3 INUSE 16"]);
    assert_eq!(status(&bench), PeerStatus::Up);

    // Without it, nothing of it is left.
    bench.reload(RELATION).unwrap();
    while bench.node.poll_flow().is_some() {}
    let mut said = told(&mut bench, &mut asterisk);
    said.sort();
    assert_eq!(said, ["PJSIP/1 INVALID 16", "SIP/3 INVALID 16"]);
    assert_eq!(bench.lamp("PJSIP/1"), None);
}

/// What the Asterisk was made to hold by an earlier life of a node.
fn held_before() -> Asterisk {
    let mut asterisk = Asterisk::new(&[("PJSIP/1", "INUSE")]);
    for name in ["PJSIP/1", "PJSIP/7", "PJSIP/8"] {
        let key = format!("remote-{name}");
        asterisk.database.insert(key, "INUSE".into());
    }
    let mailboxes = ["5@default", "6@default", "9@office"];
    asterisk.external = Some(mailboxes.map(|name| (name.to_owned(), (4, 1))).into());
    asterisk
}

fn written(asterisk: &mut Asterisk) -> Vec<String> {
    let mut asked = asterisk.asked();
    asked.retain(|it| ["Setv", "MWIU", "MWID"].contains(&&it[..4]));
    asked
}

#[test]
fn a_node_that_knows_nothing_yet_leaves_lamps_as_they_are_until_it_could_have_heard() {
    let mut asterisk = held_before();
    let mut bench = node("sink=yes\n", &mut asterisk);
    assert_eq!(written(&mut asterisk), [""; 0]);
    // Somebody speaks of one as it is, of one otherwise, and takes one back.
    peer_says(&mut bench, &mut asterisk, "PJSIP/7", "INUSE");
    bench
        .node
        .set_mailbox(bench.now, "5@default", 4, 1)
        .unwrap();
    asterisk.run(&mut bench);
    assert_eq!(written(&mut asterisk), [""; 0]);
    bench.set("PJSIP/8", DeviceState::Busy);
    asterisk.run(&mut bench);
    assert_eq!(
        written(&mut asterisk),
        ["Setvar DEVICE_STATE(Custom:remote-PJSIP/8) BUSY"]
    );
    bench.node.unset_device(bench.now, "PJSIP/8").unwrap();
    asterisk.run(&mut bench);
    assert_eq!(
        written(&mut asterisk),
        ["Setvar DEVICE_STATE(Custom:remote-PJSIP/8) INVALID"]
    );
    // Another connection within the time changes nothing of that.
    asterisk.end(&mut bench);
    pass(&mut bench, &mut asterisk, Duration::from_secs(57));
    assert_eq!(written(&mut asterisk), [""; 0]);
    pass(&mut bench, &mut asterisk, Duration::from_secs(4));
    assert_eq!(
        written(&mut asterisk),
        [
            "Setvar DEVICE_STATE(Custom:remote-PJSIP/1) INVALID",
            "MWIDelete 6@default"
        ]
    );
    // Of its own mailboxes none is taken out.
    let external = asterisk.external.clone().unwrap();
    let left: Vec<_> = external.keys().map(String::as_str).collect();
    assert_eq!(left, ["5@default", "9@office"]);
}

#[test]
fn what_was_taken_back_while_a_node_was_down_is_taken_out_when_it_is_up() {
    let config = format!("{RELATION}{SOURCE}sink=yes\n");
    let mut asterisk = held_before();
    let mut bench = Bench::new(&config);
    bench.set("PJSIP/8", DeviceState::InUse);
    bench
        .node
        .set_mailbox(bench.now, "5@default", 4, 1)
        .unwrap();
    let mut bench = bench.restarted(&config, true);
    asterisk.run(&mut bench);
    let mut expected = [
        "MWIDelete 6@default",
        "Setvar DEVICE_STATE(Custom:remote-PJSIP/1) INVALID",
        "Setvar DEVICE_STATE(Custom:remote-PJSIP/7) INVALID",
    ];
    let mut said = written(&mut asterisk);
    said.sort();
    expected.sort_unstable();
    assert_eq!(said, expected);
}

const NAMES: &str = "[names]\ntype=rewrite\npeer=office\ndevice=PJSIP/* -> Office/*\nmailbox=*@office -> *@hq\n\
    mailbox=*@else -> *@default\nstate=UNAVAILABLE -> NOT_INUSE\n";

/// The Asterisk calls its extensions otherwise than everybody else does.
#[test]
fn names_are_rewritten_both_ways() {
    let mut asterisk = Asterisk::new(&[("PJSIP/1", "INUSE"), ("PJSIP/2", "UNAVAILABLE")]);
    asterisk.external = Some(BTreeMap::new());
    asterisk.counts.insert("1@office".into(), (2, 1));
    let more = format!("sink=yes\nmailboxes=1@office\n{NAMES}");
    let mut bench = node(&more, &mut asterisk);
    // What is read has our names, and passes the filter by its own.
    assert_eq!(bench.lamp("Office/1"), Some("INUSE"));
    assert_eq!(bench.lamp("PJSIP/1"), None);
    assert_eq!(bench.lamp("Office/2"), Some("NOT_INUSE"));
    let counts = |bench: &Bench, name: &str| bench.node.mailbox(name).map(|it| (it.new, it.old));
    assert_eq!(counts(&bench, "1@hq"), Some((2, 1)));
    assert_eq!(
        told(&mut bench, &mut asterisk),
        ["Office/1 INUSE 16", "Office/2 NOT_INUSE 16"]
    );
    asterisk.set(&mut bench, "PJSIP/1", "RINGING");
    asterisk.count(&mut bench, "1@office", (3, 0));
    assert_eq!(told(&mut bench, &mut asterisk), ["Office/1 RINGING 16"]);
    assert_eq!(counts(&bench, "1@hq"), Some((3, 0)));
    // What is put in has the Asterisk's names.
    peer_says(&mut bench, &mut asterisk, "Office/1", "BUSY");
    peer_says(&mut bench, &mut asterisk, "Custom:x", "NOT_INUSE");
    let now = bench.now;
    for (mailbox, new) in [("5@default", 4), ("1@hq", 9), ("6@elsewhere", 1)] {
        bench.node.set_mailbox(now, mailbox, new, 0).unwrap();
    }
    asterisk.run(&mut bench);
    assert_eq!(
        asterisk.database(),
        [
            ("remote-Custom:x", "UNAVAILABLE"),
            ("remote-PJSIP/1", "BUSY")
        ]
    );
    let external = |asterisk: &Asterisk| -> Vec<(String, (u16, u16))> {
        asterisk.external.clone().unwrap().into_iter().collect()
    };
    // `1@hq` is its own there.
    assert_eq!(
        external(&asterisk),
        [
            ("5@else".to_owned(), (4, 0)),
            ("6@elsewhere".to_owned(), (1, 0))
        ]
    );
    // It is found again over another connection, and taken out.
    asterisk.asked();
    asterisk.end(&mut bench);
    pass(&mut bench, &mut asterisk, Duration::from_secs(2));
    assert_eq!(written(&mut asterisk), [""; 0]);
    peer_says(&mut bench, &mut asterisk, "Office/1", "INVALID");
    bench.node.unset_mailbox(bench.now, "5@default").unwrap();
    asterisk.run(&mut bench);
    let mut said = written(&mut asterisk);
    said.sort();
    assert_eq!(
        said,
        [
            "MWIDelete 5@else",
            "Setvar DEVICE_STATE(Custom:remote-PJSIP/1) INVALID"
        ]
    );
}

#[test]
fn another_rewrite_after_a_reload_counts_on_both_sides() {
    let plain = format!("{RELATION}{SOURCE}sink=yes\n");
    let mut asterisk = Asterisk::new(&[("PJSIP/1", "INUSE")]);
    let mut bench = node("sink=yes\n", &mut asterisk);
    peer_says(&mut bench, &mut asterisk, "Office/7", "BUSY");
    told(&mut bench, &mut asterisk);
    assert_eq!(asterisk.database(), [("remote-Office/7", "BUSY")]);
    bench.reload(&format!("{plain}{NAMES}")).unwrap();
    asterisk.run(&mut bench);
    pass(&mut bench, &mut asterisk, Duration::from_secs(61));
    let mut said = told(&mut bench, &mut asterisk);
    said.sort();
    assert_eq!(said, ["Office/1 INUSE 16", "PJSIP/1 INVALID 16"]);
    assert_eq!(asterisk.database(), [("remote-PJSIP/7", "BUSY")]);
    // The same once more touches nothing.
    let connections = asterisk.connections;
    bench
        .reload(&format!("; the same\n{plain}{NAMES}"))
        .unwrap();
    asterisk.run(&mut bench);
    assert_eq!(asterisk.connections, connections);
}

#[test]
fn mailboxes_are_listed_where_the_asterisk_can() {
    let mut asterisk = Asterisk::new(&[]);
    asterisk.lists_mailboxes = true;
    for (mailbox, counts) in [
        ("1@office", (2, 1)),
        ("2@office", (0, 0)),
        ("3@else", (1, 1)),
    ] {
        asterisk.counts.insert(mailbox.into(), counts);
    }
    // What is named is among them, or is not asked for.
    let mut bench = node("mailboxes=9@office\n", &mut asterisk);
    let counts = |bench: &Bench, name: &str| bench.node.mailbox(name).map(|it| (it.new, it.old));
    assert_eq!(counts(&bench, "1@office"), Some((2, 1)));
    assert_eq!(counts(&bench, "2@office"), Some((0, 0)));
    assert_eq!(counts(&bench, "3@else"), None, "the filter keeps it out");
    assert_eq!(counts(&bench, "9@office"), None);
    assert!(
        !asterisk
            .asked()
            .iter()
            .any(|it| it.starts_with("MailboxCount"))
    );
    asterisk.count(&mut bench, "2@office", (1, 0));
    assert_eq!(counts(&bench, "2@office"), Some((1, 0)));
    // What changed while the connection was cut is seen by the next.
    asterisk.end(&mut bench);
    asterisk.counts.insert("1@office".into(), (0, 3));
    pass(&mut bench, &mut asterisk, Duration::from_secs(2));
    assert_eq!(counts(&bench, "1@office"), Some((0, 3)));
    // One without any is no less there.
    let mut asterisk = Asterisk::new(&[("PJSIP/1", "INUSE")]);
    asterisk.lists_mailboxes = true;
    let bench = node("", &mut asterisk);
    assert_eq!(bench.lamp("PJSIP/1"), Some("INUSE"));
}
