//! A nats-server as a user runs it: configured by a file, on loopback addresses only.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::instance::{BOOT_PATIENCE, Failure, LOOK_INTERVAL, Outcome, Process, lab};

/// The ports of clients, of other servers and of whoever watches.
pub(crate) const PORT: u16 = 4222;
const ROUTE_PORT: u16 = 6222;
const WATCH_PORT: u16 = 8222;

/// How long one question to a server may take.
const HTTP_PATIENCE: Duration = Duration::from_secs(2);

/// The word of LAMPWIRE_REQUIRE.
pub(crate) const WORD: &str = "nats";

/// The program, or why there is none.
pub(crate) fn find() -> Result<PathBuf, String> {
    let cached = crate::asterisk::cache().join("nats/usr/sbin/nats-server");
    let named = std::env::var_os("LAMPWIRE_NATS").map(PathBuf::from);
    let candidates = match named {
        Some(named) => vec![named],
        None => vec![cached, "nats-server".into()],
    };
    let works = |program: &PathBuf| {
        let status = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    };
    candidates
        .into_iter()
        .find(works)
        .ok_or_else(|| "no nats-server; .ci/install-nats fetches it".to_owned())
}

/// One server.
pub(crate) struct NatsServer {
    name: String,
    program: PathBuf,
    directory: PathBuf,
    address: IpAddr,
    process: Option<Process>,
    http: ureq::Agent,
}

impl NatsServer {
    /// Writes the configuration of a server; starts nothing. `more` is added to it. Of several, each has the addresses of all in `cluster`, and tells
    /// clients of none of the others: whoever is configured for one only is cut off with it.
    pub(crate) fn new(
        program: &Path,
        directory: PathBuf,
        (name, address): (&str, IpAddr),
        cluster: &[IpAddr],
        more: &str,
    ) -> Outcome<Self> {
        let mut text = format!(
            "server_name: {name}\nlisten: \"{address}:{PORT}\"\nhttp: \"{address}:{WATCH_PORT}\"\n\
             jetstream {{ store_dir: \"{}\", max_memory_store: 64MB, max_file_store: 2GB }}\n{more}\n",
            directory.join("store").display()
        );
        if cluster.len() > 1 {
            let routes: Vec<String> = cluster
                .iter()
                .map(|it| format!("\"nats-route://{it}:{ROUTE_PORT}\""))
                .collect();
            text.push_str(&format!(
                "cluster {{ name: lab, listen: \"{address}:{ROUTE_PORT}\", no_advertise: true, routes: [{}] }}\n",
                routes.join(", ")
            ));
        }
        Self::configured(program, directory, (name, address), &text)
    }

    /// The same with a configuration as it is. It must listen where [`PORT`] says.
    pub(crate) fn configured(
        program: &Path,
        directory: PathBuf,
        (name, address): (&str, IpAddr),
        text: &str,
    ) -> Outcome<Self> {
        fs::create_dir_all(&directory).map_err(lab(directory.display()))?;
        let file = directory.join("nats.conf");
        fs::write(&file, text).map_err(lab(file.display()))?;
        let http = ureq::Agent::config_builder()
            .timeout_global(Some(HTTP_PATIENCE))
            .proxy(None)
            .build()
            .into();
        Ok(Self {
            name: name.to_owned(),
            program: program.to_owned(),
            directory,
            address,
            process: None,
            http,
        })
    }

    /// Starts it, or starts it again; returns when it takes clients.
    pub(crate) fn start(&mut self) -> Outcome {
        let command = [
            self.program.display().to_string(),
            "-c".to_owned(),
            self.directory.join("nats.conf").display().to_string(),
        ];
        let process = Process::spawn(&self.name, &command, &self.directory, &self.log())?;
        let process = self.process.insert(process);
        let deadline = Instant::now() + BOOT_PATIENCE;
        while TcpStream::connect(SocketAddr::new(self.address, PORT)).is_err() {
            if let Some(status) = process.ended()? {
                return Err(Failure::Lab(format!("nats-server has ended: {status}")));
            }
            if Instant::now() >= deadline {
                return Err(Failure::Lab("nats-server takes no clients".into()));
            }
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) -> Outcome {
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// It does nothing any more, and its connections stay as they are.
    pub(crate) fn freeze(&self) {
        if let Some(process) = &self.process {
            process.signal("STOP");
        }
    }

    /// It goes on.
    pub(crate) fn thaw(&self) {
        if let Some(process) = &self.process {
            process.signal("CONT");
        }
    }

    /// The name of the server that leads a stream, as this one knows it.
    pub(crate) fn leader_of(&self, stream: &str) -> Option<String> {
        let url = format!(
            "http://{}/jsz?streams=true",
            SocketAddr::new(self.address, WATCH_PORT)
        );
        let mut answer = self.http.get(&url).call().ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        let body: Value = serde_json::from_str(&text).ok()?;
        let accounts = body["account_details"].as_array()?;
        let mut streams = accounts
            .iter()
            .flat_map(|account| account["stream_detail"].as_array().into_iter().flatten());
        let found = streams.find(|it| it["name"] == stream)?;
        found["cluster"]["leader"].as_str().map(str::to_owned)
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where clients find it.
    pub(crate) fn url(&self) -> String {
        format!("nats://{}", SocketAddr::new(self.address, PORT))
    }

    /// Where its log is.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.thaw();
    }
}
