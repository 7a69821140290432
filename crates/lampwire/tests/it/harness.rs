//! Nodes as processes of their own, on addresses that nobody else has.

use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before a test fails. Nothing waits this long unless it is broken.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A number that no other test of this run, and no run at the same time, has.
fn number() -> (u32, u32) {
    (
        std::process::id(),
        NUMBER.fetch_add(1, Ordering::Relaxed) + 1,
    )
}

/// A loopback address of one's own: every port of it is free.
pub(crate) fn address() -> Ipv4Addr {
    let (process, number) = number();
    let byte = |n: u32| u8::try_from(n % 250).unwrap() + 2;
    // A run has more numbers than one byte; the next 250 lie where no process of the same time has its own.
    let network = byte(process / 250 + number / 250 * 97);
    Ipv4Addr::new(127, network, byte(process), byte(number))
}

/// A directory of one's own, removed at the end.
#[derive(Debug)]
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        let (process, number) = number();
        let path = std::env::temp_dir().join(format!("lampwire-it-{process}-{number}"));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program, with nothing of the caller's environment that it reads.
pub(crate) fn lampwire() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lampwire"));
    for name in [
        "COLUMNS",
        "LAMPWIRE_NODE",
        "LAMPWIRE_TOKEN",
        "LAMPWIRE_LOG",
        "NO_COLOR",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs it to its end: exit status, standard output, standard error.
pub(crate) fn run(arguments: &[&str]) -> (i32, String, String) {
    finish(lampwire().args(arguments))
}

/// Runs a command to its end, which must come before [`DEADLINE`].
pub(crate) fn finish(command: &mut Command) -> (i32, String, String) {
    let mut process = Process::start(command.stdout(Stdio::piped()));
    let mut stdout = process.child.stdout.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        text
    });
    let code = process.ended().unwrap_or(-1);
    (code, reading.join().unwrap(), process.whole_log())
}

/// Asks again and again until there is an answer; fails after [`DEADLINE`].
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < DEADLINE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process whose lines on standard error are kept. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) child: Child,
    log: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, kept) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        Self {
            child,
            log,
            reading: Some(reading),
        }
    }

    /// All that it has written to standard error up to now.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// All that it wrote to standard error, once it has ended.
    fn whole_log(&mut self) -> String {
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
        self.log()
    }

    /// The lines of its standard output as they come. The command was given a pipe for it.
    pub(crate) fn lines(&mut self) -> Lines {
        let stdout = self.child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Lines(lines)
    }

    /// Sends it a signal, as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own kill: a small system has no other.
        let script = format!("kill -{name} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &script])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end and gives its exit status.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let child = &mut self.child;
        wait_for("the end of a process", || child.try_wait().unwrap()).code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of process {}\n{}", self.child.id(), self.log());
        }
    }
}

/// Lines of a process, each awaited until [`DEADLINE`] at most; ends where the process ends.
#[derive(Debug)]
pub(crate) struct Lines(Receiver<String>);

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        match self.0.recv_timeout(DEADLINE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("waited in vain for a line"),
        }
    }
}

/// `lampwire run` with a configuration, ready.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) process: Process,
    pub(crate) url: String,
    directory: Directory,
}

/// The section of a node at this address, without its entity id.
pub(crate) fn sections(address: Ipv4Addr, more: &str) -> String {
    format!(
        "[udp]\ntype=transport\nprotocol=udp\nbind={address}:5060\n\
         [lampwire]\ntype=lampwire\nhttp_bind={address}:7060\nstate_dir=\n{more}\n"
    )
}

impl Node {
    /// Runs a node at this address: `text` is added to its own sections.
    pub(crate) fn start(address: Ipv4Addr, more: &str, text: &str) -> Self {
        let directory = Directory::new();
        let path = directory.write("lampwire.conf", &(sections(address, more) + text));
        let mut command = lampwire();
        command.args(["run", "--log-level", "debug", "-c", &path]);
        let mut process = Process::start(&mut command);
        let url = format!("http://{address}:7060");
        wait_for("a node that is ready", || {
            if let Some(status) = process.child.try_wait().unwrap() {
                panic!("the node ended: {status}\n{}", process.log());
            }
            let answer = Request::get(&url, "/readyz").try_send()?;
            (answer.status == 200).then_some(())
        });
        Self {
            process,
            url,
            directory,
        }
    }

    /// Writes another configuration where the node reads its own; it is not told of that.
    pub(crate) fn configure(&self, text: &str) {
        self.directory.write("lampwire.conf", text);
    }

    /// A node without peers.
    pub(crate) fn alone() -> Self {
        Self::start(address(), "", "")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        Request::get(&self.url, path).send()
    }

    pub(crate) fn put(&self, path: &str, body: &str) -> Answer {
        Request::get(&self.url, path)
            .method("PUT")
            .body(body)
            .send()
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        Request::get(&self.url, path).method("DELETE").send()
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        Request::get(&self.url, path)
            .method("POST")
            .body(body)
            .send()
    }

    /// Runs a command against it.
    pub(crate) fn command(&self, arguments: &[&str]) -> (i32, String, String) {
        finish(lampwire().env("LAMPWIRE_NODE", &self.url).args(arguments))
    }

    /// The state that one entity says of a device, if it says any.
    pub(crate) fn said(&self, device: &str, eid: &str) -> Option<String> {
        let answer = self.get(&format!("/api/v1/devices/{}", device.replace('/', "%2F")));
        let entities = answer.json.get("entities")?.as_array()?.clone();
        let said = entities.into_iter().find(|entity| entity["eid"] == eid)?;
        Some(said["state"].as_str()?.to_owned())
    }
}

/// An HTTP request.
#[derive(Debug)]
pub(crate) struct Request {
    url: String,
    method: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

/// Its answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) json: Value,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Asserts that it is a problem document of this status, and gives its detail.
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        assert_eq!(self.json["status"], status, "{self:?}");
        assert!(
            self.json["type"].is_string() && self.json["title"].is_string(),
            "{self:?}"
        );
        self.json["detail"].as_str().unwrap().to_owned()
    }
}

impl Request {
    pub(crate) fn get(url: &str, path: &str) -> Self {
        Self {
            url: format!("{url}{path}"),
            method: "GET".to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    pub(crate) fn method(mut self, method: &str) -> Self {
        self.method = method.to_owned();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    pub(crate) fn send(self) -> Answer {
        let what = format!("{self:?}");
        self.try_send()
            .unwrap_or_else(|| panic!("no answer to {what}"))
    }

    pub(crate) fn try_send(self) -> Option<Answer> {
        let response = self.begin()?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.to_string(),
                    value.to_str().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        let text = response.into_body().read_to_string().ok()?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Some(Answer {
            status,
            headers,
            json,
            text,
        })
    }

    fn begin(self) -> Option<ureq::http::Response<ureq::Body>> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .proxy(None)
            .timeout_connect(Some(DEADLINE))
            .timeout_recv_response(Some(DEADLINE))
            .build();
        let mut request = ureq::http::Request::builder()
            .method(self.method.as_str())
            .uri(&self.url);
        if self.body.is_some() && !self.headers.iter().any(|(name, _)| name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let agent = ureq::Agent::new_with_config(config);
        match self.body {
            Some(body) => agent.run(request.body(body).unwrap()).ok(),
            None => agent.run(request.body(()).unwrap()).ok(),
        }
    }
}

/// An event of the stream.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

/// A client that follows events.
#[derive(Debug)]
pub(crate) struct Events(Receiver<Event>);

impl Events {
    /// Begins to follow; from then on everything that happens is seen.
    pub(crate) fn follow(node: &Node, last_id: Option<u64>) -> Self {
        Self::of(node, "/api/v1/events", last_id)
    }

    pub(crate) fn of(node: &Node, path: &str, last_id: Option<u64>) -> Self {
        let mut request = Request::get(&node.url, path);
        if let Some(id) = last_id {
            request = request.header("last-event-id", &id.to_string());
        }
        let response = request.begin().unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let (sender, events) = channel();
        let reader = response.into_body().into_reader();
        std::thread::spawn(move || read_events(reader, |event| sender.send(event).is_ok()));
        Self(events)
    }

    pub(crate) fn next(&self) -> Event {
        self.0.recv_timeout(DEADLINE).expect("an event comes")
    }

    /// The next event of this kind about this name.
    pub(crate) fn next_of(&self, kind: &str, name: &str) -> Event {
        loop {
            let event = self.next();
            if event.kind == kind && event.data[kind] == name {
                return event;
            }
        }
    }
}

fn read_events(reader: impl Read, mut take: impl FnMut(Event) -> bool) {
    let (mut id, mut kind, mut data) = (0, String::new(), String::new());
    for line in BufReader::new(reader).lines().map_while(Result::ok) {
        if let Some(value) = line.strip_prefix("id: ") {
            id = value.parse().unwrap();
        } else if let Some(value) = line.strip_prefix("event: ") {
            value.clone_into(&mut kind);
        } else if let Some(value) = line.strip_prefix("data: ") {
            value.clone_into(&mut data);
        } else if line.is_empty() && !data.is_empty() {
            let event = Event {
                id,
                kind: kind.clone(),
                data: serde_json::from_str(&data).unwrap(),
            };
            data.clear();
            if !take(event) {
                return;
            }
        }
    }
}
