//! Lampwire as the program that a user runs: configured by a file, driven and watched over HTTP.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::instance::{
    BOOT_PATIENCE, Counts, Failure, Instance, LOOK_INTERVAL, Outcome, Process, STOP_PATIENCE, lab,
};
use crate::relation::NodePlan;

/// The port of the HTTP interface.
const HTTP_PORT: u16 = 7060;
/// How long one HTTP request may take.
const HTTP_PATIENCE: Duration = Duration::from_secs(10);

/// The program under test: the one that cargo has just built, or what LAMPWIRE_BINARY names.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("LAMPWIRE_BINARY")
        .map_or_else(|| env!("CARGO_BIN_EXE_lampwire").into(), PathBuf::from)
}

/// A Lampwire of a case.
pub(crate) struct Lampwire {
    directory: PathBuf,
    plan: NodePlan,
    process: Option<Process>,
    http: ureq::Agent,
}

impl Lampwire {
    /// Writes the configuration of a node into `directory`; starts nothing.
    pub(crate) fn new(directory: PathBuf, plan: NodePlan) -> Outcome<Self> {
        fs::create_dir_all(&directory).map_err(lab(directory.display()))?;
        let http = ureq::Agent::config_builder()
            .timeout_global(Some(HTTP_PATIENCE))
            .http_status_as_error(false)
            .proxy(None)
            .build()
            .into();
        let node = Self {
            directory,
            plan,
            process: None,
            http,
        };
        let sections = node.plan.pjsip_conf();
        node.configure(&format!("{sections}[lampwire]\ntype=lampwire\n"))?;
        Ok(node)
    }

    /// Gives it another configuration than its plan has: sections, `[lampwire]` among them. Before its start.
    pub(crate) fn configure(&self, sections: &str) -> Outcome {
        let NodePlan {
            entity_id, address, ..
        } = self.plan;
        let memory_only = match sections.contains("state_dir=") {
            true => "",
            false => "state_dir=\n",
        };
        let text = format!(
            "{sections}\n[lampwire](+)\nentity_id={entity_id}\nhttp_bind={address}:{HTTP_PORT}\n{memory_only}"
        );
        let file = self.directory.join("lampwire.conf");
        fs::write(&file, text).map_err(lab(file.display()))
    }

    /// Lets it read its configuration again.
    pub(crate) fn reload(&self) -> Outcome {
        self.change("POST", "/api/v1/reload", &json!({}))
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// An address of its HTTP interface.
    pub(crate) fn url(&self, path: &str) -> String {
        format!(
            "http://{}{path}",
            SocketAddr::new(self.plan.address, HTTP_PORT)
        )
    }

    fn get(&self, path: &str) -> Outcome<(u16, Value)> {
        let url = self.url(path);
        let failed = |error| Failure::Expectation(format!("GET {url}: {error}"));
        let mut response = self.http.get(&url).call().map_err(failed)?;
        let status = response.status().as_u16();
        let body = response.body_mut().read_to_string().map_err(failed)?;
        Ok((status, serde_json::from_str(&body).unwrap_or(Value::Null)))
    }

    /// States that its peers have not confirmed.
    pub(crate) fn behind(&self) -> Outcome<u64> {
        let (_, body) = self.get("/api/v1/publishers")?;
        let publishers = body["publishers"].as_array().map_or(&[][..], Vec::as_slice);
        let behind = publishers
            .iter()
            .map(|it| it["behind"].as_u64().unwrap_or(u64::MAX));
        Ok(behind.fold(0, u64::saturating_add))
    }

    /// How its connection to NATS stands: `up`, `down`, `off`.
    pub(crate) fn bus(&self) -> Outcome<String> {
        let (_, body) = self.get("/readyz")?;
        Ok(body["bus"].as_str().unwrap_or_default().to_owned())
    }

    /// Takes back what was set for a device.
    pub(crate) fn unset_device(&self, device: &str) -> Outcome {
        let path = format!("/api/v1/devices/{}", percent_encoded(device));
        self.change("DELETE", &path, &Value::Null)
    }

    /// It does nothing any more, and its sockets stay open.
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

    fn change(&self, method: &str, path: &str, body: &Value) -> Outcome {
        let url = self.url(path);
        let failed = |error| Failure::Expectation(format!("{method} {url}: {error}"));
        let request = match method {
            "PUT" => self.http.put(&url),
            "DELETE" => {
                return self.judge(method, &url, self.http.delete(&url).call().map_err(failed)?);
            }
            _ => self.http.post(&url),
        };
        let response = request
            .header("content-type", "application/json")
            .send(body.to_string())
            .map_err(failed)?;
        self.judge(method, &url, response)
    }

    fn judge(
        &self,
        method: &str,
        url: &str,
        mut response: ureq::http::Response<ureq::Body>,
    ) -> Outcome {
        let status = response.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(());
        }
        let text = response.body_mut().read_to_string().unwrap_or_default();
        Err(Failure::Expectation(format!(
            "{method} {url}: {status} {text}"
        )))
    }
}

impl Instance for Lampwire {
    fn name(&self) -> &str {
        self.plan.name
    }

    fn start(&mut self) -> Outcome {
        let command = [
            program().display().to_string(),
            "run".into(),
            "-c".into(),
            self.directory.join("lampwire.conf").display().to_string(),
        ];
        let process = Process::spawn("lampwire", &command, &self.directory, &self.log())?;
        self.process = Some(process);
        let deadline = Instant::now() + BOOT_PATIENCE;
        loop {
            if let Ok((200, _)) = self.get("/readyz") {
                return Ok(());
            }
            if let Some(process) = &mut self.process
                && let Some(status) = process.ended()?
            {
                return Err(Failure::Expectation(format!(
                    "lampwire has ended: {status}"
                )));
            }
            if Instant::now() >= deadline {
                return Err(Failure::Expectation(
                    "lampwire does not become ready".into(),
                ));
            }
            thread::sleep(LOOK_INTERVAL / 4);
        }
    }

    fn stop(&mut self) -> Outcome {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        process.terminate()?;
        let status = process.wait(STOP_PATIENCE)?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::Expectation(format!(
            "lampwire was asked to end: {status}"
        )))
    }

    fn kill(&mut self) -> Outcome {
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    fn set_device(&mut self, device: &str, state: &str) -> Outcome {
        let path = format!("/api/v1/devices/{}", percent_encoded(device));
        self.change("PUT", &path, &json!({ "state": state }))
    }

    fn device(&mut self, device: &str) -> Outcome<Option<String>> {
        let path = format!("/api/v1/devices/{}", percent_encoded(device));
        match self.get(&path)? {
            (200, body) => Ok(body["state"].as_str().map(str::to_owned)),
            (404, _) => Ok(None),
            (status, body) => Err(Failure::Expectation(format!("GET {path}: {status} {body}"))),
        }
    }

    fn set_mailbox(&mut self, mailbox: &str, (new, old): Counts) -> Outcome {
        let path = format!("/api/v1/mailboxes/{}", percent_encoded(mailbox));
        self.change("PUT", &path, &json!({ "new": new, "old": old }))
    }

    fn mailbox(&mut self, mailbox: &str) -> Outcome<Option<Counts>> {
        let path = format!("/api/v1/mailboxes/{}", percent_encoded(mailbox));
        match self.get(&path)? {
            (200, body) => {
                let count = |name: &str| body[name].as_u64().and_then(|n| u32::try_from(n).ok());
                Ok(count("new").zip(count("old")))
            }
            (404, _) => Ok(None),
            (status, body) => Err(Failure::Expectation(format!("GET {path}: {status} {body}"))),
        }
    }

    fn ask_refresh(&mut self) -> Outcome {
        self.change("POST", "/api/v1/refresh", &json!({}))
    }

    fn logs(&self) -> Vec<PathBuf> {
        vec![self.log()]
    }

    fn version(&self) -> Option<String> {
        let output = Command::new(program()).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace().nth(1).map(str::to_owned)
    }
}

/// A name as one segment of a path: all but RFC 3986's unreserved characters encoded.
fn percent_encoded(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
