//! A browser without a window, led by the DevTools protocol over two pipes: no port, no websocket.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Directory, wait_for};

/// The names that Debian and others give it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Where it is, if it is.
pub(crate) fn find() -> Option<PathBuf> {
    find_program(&NAMES)
}

/// The first of these programs on PATH.
pub(crate) fn find_program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let candidates = names.iter().flat_map(|name| {
        directories
            .iter()
            .map(move |directory| directory.join(name))
    });
    candidates.into_iter().find(|candidate| candidate.is_file())
}

/// A browser with one page. It ends with this.
pub(crate) struct Browser {
    child: Child,
    orders: File,
    answers: Receiver<Value>,
    number: u64,
    session: Option<String>,
    /// What the page complained about.
    complaints: Vec<String>,
    _directory: Directory,
}

impl Browser {
    /// Starts it, of this size in pixels.
    pub(crate) fn start(program: &Path, width: u32, height: u32) -> Self {
        let directory = Directory::new();
        let path = |name: &str| directory.0.join(name).to_str().unwrap().to_owned();
        let (orders, answers) = (path("orders"), path("answers"));
        let made = Command::new("mkfifo").args([&orders, &answers]).status();
        assert!(made.unwrap().success());
        let child = Command::new("sh")
            // It reads its orders from descriptor 3 and answers on 4.
            .args(["-c", r#"exec "$0" "$@" 3<"$ORDERS" 4>"$ANSWERS""#])
            .arg(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--no-proxy-server",
                "--hide-scrollbars",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", path("profile")))
            .arg(format!("--window-size={width},{height}"))
            .env("ORDERS", &orders)
            .env("ANSWERS", &answers)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let orders = OpenOptions::new().write(true).open(&orders).unwrap();
        let reader = BufReader::new(File::open(&answers).unwrap());
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for message in reader.split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else {
                    return;
                };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            child,
            orders,
            answers,
            number: 0,
            session: None,
            complaints: Vec::new(),
            _directory: directory,
        };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attached = browser.ask(
            "Target.attachToTarget",
            json!({"targetId": target["targetId"], "flatten": true}),
        );
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.ask(domain, json!({}));
        }
        browser
    }

    /// One order and its answer.
    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        let answer = self.ask_for(method, parameters);
        answer.unwrap_or_else(|refused| panic!("{method}: {refused}"))
    }

    /// One order and its answer, or why there is none.
    fn ask_for(&mut self, method: &str, parameters: Value) -> Result<Value, String> {
        self.number += 1;
        let mut order = json!({"id": self.number, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            order["sessionId"] = json!(session);
        }
        self.orders.write_all(order.to_string().as_bytes()).unwrap();
        self.orders.write_all(b"\0").unwrap();
        loop {
            let answer = self.answers.recv_timeout(DEADLINE).expect("it answers");
            if answer["id"] == self.number {
                return match answer.get("error") {
                    Some(refused) => Err(refused.to_string()),
                    None => Ok(answer["result"].clone()),
                };
            }
            self.note(&answer);
        }
    }

    /// Keeps what is an error of the page's own. That a node does not answer is none.
    fn note(&mut self, event: &Value) {
        let text = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => event["params"]["exceptionDetails"].to_string(),
            Some("Log.entryAdded") if event["params"]["entry"]["source"] != "network" => {
                event["params"]["entry"]["text"].to_string()
            }
            Some("Runtime.consoleAPICalled") if event["params"]["type"] == "error" => {
                event["params"]["args"].to_string()
            }
            _ => return,
        };
        self.complaints.push(text);
    }

    /// Opens an address.
    pub(crate) fn open(&mut self, url: &str) {
        self.ask("Page.navigate", json!({"url": url}));
    }

    /// Runs a script on every page before its own.
    pub(crate) fn before(&mut self, script: &str) {
        let method = "Page.addScriptToEvaluateOnNewDocument";
        self.ask(method, json!({"source": script}));
    }

    /// The value of an expression on the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let answer = self.ask("Runtime.evaluate", evaluation(expression));
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// Waits until an expression on the page is true.
    pub(crate) fn until(&mut self, expression: &str) {
        // While a page is being loaded there may be no document to look at.
        let guarded =
            format!("(() => {{ try {{ return !!({expression}); }} catch {{ return false; }} }})()");
        // When it is loaded anew in just that moment, there is no answer.
        wait_for(expression, || {
            let answer = self.ask_for("Runtime.evaluate", evaluation(&guarded));
            let is_true = answer.is_ok_and(|answer| answer["result"]["value"] == true);
            is_true.then_some(())
        });
    }

    /// Clicks what a selector finds, once it is there.
    pub(crate) fn click(&mut self, selector: &str) {
        let found = format!("document.querySelector({})", json!(selector));
        self.until(&found);
        self.value(&format!("{found}.click()"));
    }

    /// Puts a text into a field, as if it were typed.
    pub(crate) fn enter(&mut self, selector: &str, text: &str) {
        let found = format!("document.querySelector({})", json!(selector));
        self.until(&found);
        self.value(&format!(
            "(() => {{ const field = {found}; field.value = {}; for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, {{bubbles: true}})); }})()",
            json!(text)
        ));
    }

    /// From now on shows it as a device of this size, in dark or light.
    pub(crate) fn look(&mut self, width: u32, height: u32, dark: bool) {
        let mobile = width < 600;
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": if mobile { 2 } else { 1 }, "mobile": mobile}),
        );
        let scheme = if dark { "dark" } else { "light" };
        self.ask(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
    }

    /// Writes a picture of it as PNG.
    pub(crate) fn picture(&mut self, path: &Path) {
        let answer = self.ask("Page.captureScreenshot", json!({"format": "png"}));
        std::fs::write(path, base64(answer["data"].as_str().unwrap())).unwrap();
    }

    /// What the page complained about up to now.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        self.value("0");
        std::mem::take(&mut self.complaints)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The order that asks for the value of an expression.
fn evaluation(expression: &str) -> Value {
    json!({"expression": expression, "returnByValue": true, "awaitPromise": true})
}

/// The bytes of base64.
fn base64(text: &str) -> Vec<u8> {
    let alphabet: BTreeMap<u8, u32> = (b'A'..=b'Z')
        .chain(b'a'..=b'z')
        .chain(b'0'..=b'9')
        .chain([b'+', b'/'])
        .zip(0..)
        .collect();
    let mut bytes = Vec::new();
    for four in text.as_bytes().chunks(4) {
        let digits: Vec<u32> = four
            .iter()
            .filter_map(|it| alphabet.get(it).copied())
            .collect();
        let value =
            digits.iter().fold(0, |value, digit| value << 6 | digit) << (6 * (4 - digits.len()));
        bytes.extend_from_slice(&value.to_be_bytes()[1..digits.len()]);
    }
    bytes
}
