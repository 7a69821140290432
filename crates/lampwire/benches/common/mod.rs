//! Nodes as processes, for the benches that start and end them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a node may take for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A node that runs; it ends with this value.
pub(crate) struct Node {
    process: Child,
    url: String,
    agent: ureq::Agent,
}

impl Node {
    /// Starts the program at this address with these sections besides its own, and waits until it is ready. `own` is added to its own one.
    pub(crate) fn start(directory: &Path, address: &str, own: &str, sections: &str) -> Self {
        let file = directory.join(format!("{address}.conf"));
        let text = format!(
            "[lampwire]\ntype=lampwire\nhttp_bind={address}:7060\n{own}\n\
             [udp]\ntype=transport\nprotocol=udp\nbind={address}:5060\n{sections}"
        );
        fs::write(&file, text).expect("the configuration is written");
        let log = directory.join(format!("{address}.log"));
        let process = Command::new(env!("CARGO_BIN_EXE_lampwire"))
            .args(["run", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("a log"))
            .spawn()
            .expect("the program starts");
        let node = Self {
            process,
            url: format!("http://{address}:7060"),
            agent: ureq::Agent::new_with_defaults(),
        };
        wait_for("a node that is ready", Duration::from_millis(2), || {
            node.get("/readyz").is_some()
        });
        node
    }

    /// Its process.
    #[allow(dead_code)] // one of the benches asks
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it answers, where it grants it.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let answer = self.agent.get(format!("{}{path}", self.url)).call();
        answer.ok()?.body_mut().read_to_string().ok()
    }

    /// Sets states, by the body of `PUT /api/v1/states`.
    pub(crate) fn set(&self, body: &str) {
        let request = self.agent.put(format!("{}/api/v1/states", self.url));
        let answer = request.content_type("application/json").send(body);
        answer.expect("states are taken");
    }

    /// The sum of a series over all its labels.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let text = self.get("/metrics").expect("metrics");
        let lines = text.lines().filter(|line| line.starts_with(series));
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// A line of `/proc/PID/` and a file there: its number.
    #[allow(dead_code)] // one of the benches asks
    pub(crate) fn of_process(&self, file: &str, line: &str) -> u64 {
        let path = PathBuf::from(format!("/proc/{}/{file}", self.process.id()));
        let text = fs::read_to_string(path).unwrap_or_default();
        let found = text.lines().find_map(|it| it.strip_prefix(line));
        let number = found.and_then(|it| it.trim().split(' ').next()?.parse().ok());
        number.unwrap_or(0)
    }

    /// What it has used of processors until now, its own and the kernel's for it.
    #[allow(dead_code)] // one of the benches asks
    pub(crate) fn cpu(&self) -> Duration {
        let path = PathBuf::from(format!("/proc/{}/stat", self.process.id()));
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut fields = text.rsplit(") ").next().unwrap_or("").split(' ').skip(11);
        let mut ticks = || {
            fields
                .next()
                .and_then(|it| it.parse::<u64>().ok())
                .unwrap_or(0)
        };
        // A tick is 10 ms wherever Linux runs.
        Duration::from_millis((ticks() + ticks()) * 10)
    }

    /// Ends it by a signal, as `TERM`, and waits for that.
    pub(crate) fn end(mut self, signal: &str) {
        let script = format!("kill -{signal} {}", self.process.id());
        let status = Command::new("sh").args(["-c", &script]).status();
        assert!(status.is_ok_and(|it| it.success()), "{script}");
        self.process.wait().expect("it ends");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An empty directory for a bench.
pub(crate) fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a directory of its own");
    directory
}

/// Asks again and again until it is so.
pub(crate) fn wait_for(what: &str, pause: Duration, mut so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(pause);
    }
}

/// The body of `PUT /api/v1/states` with these devices.
pub(crate) fn body(devices: impl Iterator<Item = String>, state: &str) -> String {
    let states = devices.map(|it| format!("{{\"device\":\"{it}\",\"state\":\"{state}\"}}"));
    format!("{{\"states\":[{}]}}", states.collect::<Vec<_>>().join(","))
}
