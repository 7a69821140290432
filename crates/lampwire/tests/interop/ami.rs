//! A small client of Asterisk's manager interface: as much as these tests need of it.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::instance::{Counts, Failure, Outcome, lab};

/// The port that every Asterisk of these tests listens on.
pub(crate) const PORT: u16 = 5038;
/// Name and secret of the user; the interface is bound to loopback.
pub(crate) const USER: &str = "interop";

/// How long one action may take to be answered.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);
/// Most bytes of one message: the longest here is a version text of a few hundred.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// One message: its headers in order, names may repeat.
#[derive(Debug, Default)]
struct Message(Vec<(String, String)>);

impl Message {
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// A connection with somebody logged in.
#[derive(Debug)]
pub(crate) struct Ami {
    stream: TcpStream,
    pending: Vec<u8>,
    actions: u64,
    booted: bool,
    mailboxes: BTreeMap<String, Counts>,
}

impl Ami {
    /// Connects and logs in; none while nobody listens.
    pub(crate) fn connect(address: SocketAddr) -> Outcome<Option<Self>> {
        let stream = match TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
            Ok(stream) => stream,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(None),
            Err(error) => return Err(lab(format!("connecting to {address}"))(error)),
        };
        let _ = stream.set_nodelay(true);
        stream
            .set_write_timeout(Some(ANSWER_PATIENCE))
            .map_err(lab("AMI socket"))?;
        let mut ami = Self {
            stream,
            pending: Vec::new(),
            actions: 0,
            booted: false,
            mailboxes: BTreeMap::new(),
        };
        ami.action(
            "Login",
            &[("Username", USER), ("Secret", USER), ("Events", "on")],
        )?;
        Ok(Some(ami))
    }

    /// Waits until all modules are loaded; tells at the deadline whether they are.
    pub(crate) fn wait_booted(&mut self, deadline: Instant) -> Outcome<bool> {
        while !self.booted {
            let Some(message) = self.receive(deadline)? else {
                return Ok(false);
            };
            self.take_event(&message);
        }
        Ok(true)
    }

    /// Sets a channel-less variable or dialplan function.
    pub(crate) fn set_variable(&mut self, variable: &str, value: &str) -> Outcome {
        self.action("Setvar", &[("Variable", variable), ("Value", value)])
    }

    /// Reloads a module; the manager interface refuses the command for it.
    pub(crate) fn reload(&mut self, module: &str) -> Outcome {
        self.action("ModuleLoad", &[("LoadType", "reload"), ("Module", module)])
    }

    /// Runs a command of the command line and gives what it prints; none if Asterisk does not know
    /// the command (yet).
    pub(crate) fn command(&mut self, command: &str) -> Outcome<Option<String>> {
        let answer = self.exchange("Command", &[("Command", command)])?;
        if answer.get("Response") == Some("Error") {
            return Ok(None);
        }
        let lines = answer
            .0
            .iter()
            .filter(|(key, _)| key == "Output")
            .map(|(_, value)| value.as_str());
        Ok(Some(lines.collect::<Vec<_>>().join("\n")))
    }

    /// Sends a command that ends the node, so no answer may come.
    pub(crate) fn last_command(&mut self, command: &str) -> Outcome {
        self.send("Command", &[("Command", command)]).map(drop)
    }

    /// The summed state of every device that the node knows.
    pub(crate) fn devices(&mut self) -> Outcome<BTreeMap<String, String>> {
        let id = self.send("DeviceStateList", &[])?;
        let deadline = Instant::now() + ANSWER_PATIENCE;
        let mut devices = BTreeMap::new();
        loop {
            let message = self.receive_before(deadline, "DeviceStateList")?;
            let ours = message.get("ActionID") == Some(id.as_str());
            match message.get("Event") {
                Some("DeviceStateListComplete") if ours => return Ok(devices),
                Some("DeviceStateChange") if ours => {
                    if let (Some(device), Some(state)) =
                        (message.get("Device"), message.get("State"))
                    {
                        devices.insert(device.to_owned(), state.to_owned());
                    }
                }
                _ => self.take_event(&message),
            }
        }
    }

    /// The last counts of every mailbox that a change was told of since the connection stands.
    pub(crate) fn mailboxes(&mut self) -> Outcome<&BTreeMap<String, Counts>> {
        // What happened before the answer to a ping has been read with it.
        self.action("Ping", &[])?;
        Ok(&self.mailboxes)
    }

    fn action(&mut self, name: &str, fields: &[(&str, &str)]) -> Outcome {
        let answer = self.exchange(name, fields)?;
        if answer.get("Response") == Some("Error") {
            return Err(Failure::Lab(format!("AMI {name} {fields:?}: {answer:?}")));
        }
        Ok(())
    }

    /// Sends an action and gives the answer to it, be it good or bad.
    fn exchange(&mut self, name: &str, fields: &[(&str, &str)]) -> Outcome<Message> {
        let id = self.send(name, fields)?;
        let deadline = Instant::now() + ANSWER_PATIENCE;
        loop {
            let message = self.receive_before(deadline, name)?;
            if message.get("ActionID") == Some(id.as_str()) && message.get("Response").is_some() {
                return Ok(message);
            }
            self.take_event(&message);
        }
    }

    fn send(&mut self, name: &str, fields: &[(&str, &str)]) -> Outcome<String> {
        self.actions += 1;
        let id = format!("interop-{}", self.actions);
        let mut text = format!("Action: {name}\r\nActionID: {id}\r\n");
        for (key, value) in fields {
            text.push_str(&format!("{key}: {value}\r\n"));
        }
        text.push_str("\r\n");
        self.stream
            .write_all(text.as_bytes())
            .map_err(lab(format!("AMI {name}")))?;
        Ok(id)
    }

    fn take_event(&mut self, message: &Message) {
        match message.get("Event") {
            Some("FullyBooted") => self.booted = true,
            Some("MessageWaiting") => {
                let count = |name| message.get(name).and_then(|n| n.parse().ok()).unwrap_or(0);
                if let Some(mailbox) = message.get("Mailbox") {
                    let counts = (count("New"), count("Old"));
                    self.mailboxes.insert(mailbox.to_owned(), counts);
                }
            }
            _ => {}
        }
    }

    fn receive_before(&mut self, deadline: Instant, doing: &str) -> Outcome<Message> {
        self.receive(deadline)?
            .ok_or_else(|| Failure::Lab(format!("AMI {doing}: no answer")))
    }

    /// The next message; none at the deadline.
    fn receive(&mut self, deadline: Instant) -> Outcome<Option<Message>> {
        loop {
            if let Some(message) = self.cut_message() {
                return Ok(Some(message));
            }
            if self.pending.len() > MESSAGE_BYTES_MAX {
                return Err(Failure::Lab("an AMI message without an end".into()));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream
                .set_read_timeout(Some(left))
                .map_err(lab("AMI socket"))?;
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Failure::Lab("Asterisk closed its manager interface".into())),
                Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(lab("reading from AMI")(error)),
            }
        }
    }

    fn cut_message(&mut self) -> Option<Message> {
        let end = self.pending.windows(4).position(|w| w == b"\r\n\r\n")?;
        let bytes = self.pending.drain(..end + 4).collect::<Vec<_>>();
        // The greeting is a line without a colon before the first message.
        let headers = String::from_utf8_lossy(&bytes)
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Some(Message(headers))
    }
}
