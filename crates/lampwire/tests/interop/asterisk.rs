//! An unmodified Asterisk in a chroot.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::ami::{self, Ami};
use crate::instance::{
    BOOT_PATIENCE, Counts, Failure, Instance, LOOK_INTERVAL, Outcome, Process, STOP_PATIENCE, lab,
};
use crate::relation::NodePlan;
use crate::sip::{self, Request};

/// The mailboxes that cases may give counts to.
pub(crate) const MAILBOXES: [&str; 3] = ["100@default", "200@default", "300@other"];

/// The endpoint and resource by which a stranger speaks to an Asterisk under any entity id.
const STRANGER: &str = "stranger";

/// Where a test's directory is seen from within the chroot; every Debian has this directory, and
/// only the node's own mount namespace sees it covered.
const INSIDE: &str = "/mnt";

/// Runs in a mount and process namespace of its own, so that neither a mount nor a process is left
/// when it ends, however it ends. $1: the chroot, $2: the test's directory.
const ENTER_CHROOT: &str = "set -e
mount --bind \"$2\" \"$1/mnt\"
mount -t proc proc \"$1/proc\"
mount --bind /dev \"$1/dev\"
exec chroot \"$1\" /usr/sbin/asterisk -C /mnt/etc/asterisk.conf -f -n
";

/// The Asterisks that these tests know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Release {
    /// Asterisk 22 of Debian sid.
    Asterisk22,
    /// Asterisk 16.28 of Debian bullseye.
    Asterisk16,
}

impl Release {
    /// Both, newest first.
    pub(crate) const ALL: [Self; 2] = [Self::Asterisk22, Self::Asterisk16];

    /// As in LAMPWIRE_REQUIRE and the cache.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Asterisk22 => "asterisk22",
            Self::Asterisk16 => "asterisk16",
        }
    }

    fn modules(self) -> &'static str {
        match self {
            Self::Asterisk22 => "/usr/lib/x86_64-linux-gnu/asterisk/modules",
            Self::Asterisk16 => "/usr/lib/asterisk/modules",
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a chroot has app_voicemail: Debian 11 has it in a package of its own.
pub(crate) fn has_voicemail(release: Release, root: &Path) -> bool {
    let module = Path::new(release.modules()).join("app_voicemail.so");
    let inside = module.strip_prefix("/").unwrap_or(&module);
    root.join(inside).is_file()
}

/// The chroot of a release, or why it cannot be used.
pub(crate) fn find(release: Release) -> Result<PathBuf, String> {
    let root = cache().join(release.name());
    if !root.join("lampwire.stamp").is_file() || !root.join("usr/sbin/asterisk").is_file() {
        return Err(format!(
            "no {release} in {}; .ci/install-asterisks puts it there",
            cache().display()
        ));
    }
    let mounts = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--propagation", "private"])
        .args(["mount", "--bind", "/dev"])
        .arg(root.join("dev"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match mounts {
        Ok(status) if status.success() => Ok(root),
        _ => Err("mounting in a namespace of our own is not allowed here; be root".into()),
    }
}

/// Where what the tests run with is kept.
pub(crate) fn cache() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("LAMPWIRE_CACHE").map_or_else(
        || PathBuf::from(set("HOME").unwrap_or("/root".into())).join(".cache/lampwire"),
        PathBuf::from,
    )
}

/// An Asterisk of a case.
pub(crate) struct Asterisk {
    root: PathBuf,
    directory: PathBuf,
    plan: NodePlan,
    third_party: SocketAddr,
    process: Option<Process>,
    ami: Option<Ami>,
    version: Option<String>,
}

impl Asterisk {
    /// Writes the configuration of a node into `directory`; starts nothing.
    pub(crate) fn new(
        release: Release,
        root: &Path,
        directory: PathBuf,
        plan: NodePlan,
        third_party: SocketAddr,
    ) -> Outcome<Self> {
        let plan = plan.in_chroot();
        for part in ["etc", "db", "keys", "agi", "spool", "run", "log"] {
            let part = directory.join(part);
            fs::create_dir_all(&part).map_err(lab(part.display()))?;
        }
        for (name, text) in configuration(release, &plan) {
            let file = directory.join("etc").join(name);
            fs::write(&file, text).map_err(lab(file.display()))?;
        }
        Ok(Self {
            root: root.to_owned(),
            directory,
            plan,
            third_party,
            process: None,
            ami: None,
            version: None,
        })
    }

    /// What has gone over the wire so far, as the node saw it.
    pub(crate) fn sip_trace(&self) -> String {
        let bytes = fs::read(self.directory.join("log/full")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Makes the node believe a device state under any entity id: an Asterisk takes it from
    /// anybody it admits.
    pub(crate) fn forge_device(&self, eid: &str, device: &str, state: &str) -> Outcome {
        self.forge(
            "asterisk-devicestate",
            &json!({"type": "devicestate", "device": device, "state": state, "cachable": 1, "eid": eid}),
        )
    }

    /// The same for a mailbox.
    pub(crate) fn forge_mailbox(&self, eid: &str, mailbox: &str, (new, old): Counts) -> Outcome {
        self.forge(
            "asterisk-mwi",
            &json!({"type": "mailboxstate", "uniqueid": mailbox, "old": old, "new": new, "eid": eid}),
        )
    }

    fn forge(&self, event: &str, body: &Value) -> Outcome {
        self.third_party_says(&Request {
            method: "PUBLISH",
            user: STRANGER,
            headers: &format!("Event: {event}\r\nExpires: 3600\r\n"),
            content_type: "application/json",
            body: &body.to_string(),
        })
    }

    fn third_party_says(&self, request: &Request<'_>) -> Outcome {
        match sip::send(self.third_party, self.plan.sip(), request)? {
            200..=299 => Ok(()),
            status => Err(Failure::Lab(format!(
                "{} answers a third party's {} by {status}",
                self.plan.name, request.method
            ))),
        }
    }

    /// Gives it other sections of `pjsip.conf` than its plan has, and these mailboxes of its own. Before its start.
    pub(crate) fn configure(&self, sections: &str, mailboxes: &[String]) -> Outcome {
        let file = self.directory.join("etc/pjsip.conf");
        let mut text = format!("[global]\ntype=global\ndebug=yes\n\n{sections}");
        add_third_parties(&mut text, mailboxes.iter().map(String::as_str));
        fs::write(&file, text).map_err(lab(file.display()))
    }

    /// Lets it write no SIP trace, which costs it more than the message does. Before its start.
    pub(crate) fn without_trace(&self) -> Outcome {
        let file = self.directory.join("etc/pjsip.conf");
        let text = fs::read_to_string(&file).map_err(lab(file.display()))?;
        fs::write(&file, text.replace("debug=yes\n", "")).map_err(lab(file.display()))
    }

    /// Gives it a hint for each of these devices, as telephones subscribe to. Before its start.
    pub(crate) fn with_hints(&self, devices: &[&str]) -> Outcome {
        let file = self.directory.join("etc/modules.conf");
        let text = fs::read_to_string(&file).map_err(lab(file.display()))?;
        fs::write(&file, format!("{text}load = pbx_config.so\n")).map_err(lab(file.display()))?;
        let mut text = "[general]\n[hints]\n".to_owned();
        for (number, device) in devices.iter().enumerate() {
            text.push_str(&format!("exten => {number},hint,{device}\n"));
        }
        let file = self.directory.join("etc/extensions.conf");
        fs::write(&file, text).map_err(lab(file.display()))
    }

    /// What `core show hints` says of a device that has a hint, in its words.
    pub(crate) fn hint(&mut self, device: &str) -> Outcome<Option<String>> {
        let shown = self.ami()?.command("core show hints")?.unwrap_or_default();
        let line = shown
            .lines()
            .find(|line| line.split_whitespace().any(|word| word == device));
        let state = line.and_then(|line| line.split("State:").nth(1)?.split_whitespace().next());
        Ok(state.map(str::to_owned))
    }

    /// What `core show hints` says of all devices that have one.
    pub(crate) fn hints(&mut self) -> Outcome<BTreeMap<String, String>> {
        let shown = self.ami()?.command("core show hints")?.unwrap_or_default();
        let line = |line: &str| {
            let (device, rest) = line.split_once("State:")?;
            let device = device.split_whitespace().last()?;
            let state = rest.split_whitespace().next()?;
            Some((device.to_owned(), state.to_owned()))
        };
        Ok(shown.lines().filter_map(line).collect())
    }

    /// The bodies of the requests that it was sent so far, as it logged them.
    pub(crate) fn told(&self) -> Vec<String> {
        let trace = self.sip_trace();
        let mut told = Vec::new();
        for message in trace.split("<--- ").skip(1) {
            if message.starts_with("Received SIP request") {
                told.extend(
                    message
                        .lines()
                        .filter(|line| line.starts_with('{'))
                        .map(str::to_owned),
                );
            }
        }
        told
    }

    /// Ends the connection to its manager interface, over which it would tell of everything that comes in.
    #[allow(dead_code)] // a bench asks
    pub(crate) fn hang_up(&mut self) {
        self.ami = None;
    }

    /// Takes the module of the exchange from it. Before its start.
    pub(crate) fn without_exchange(&self) -> Outcome {
        let file = self.directory.join("etc/modules.conf");
        let text = fs::read_to_string(&file).map_err(lab(file.display()))?;
        let text = text.replace("load = res_pjsip_publish_asterisk.so\n", "");
        fs::write(&file, text).map_err(lab(file.display()))?;
        let transport = format!(
            "[udp]\ntype=transport\nprotocol=udp\nbind={}\n\n",
            self.plan.sip()
        );
        self.configure(&transport, &MAILBOXES.map(str::to_owned))
    }

    /// Gives it these mailboxes of app_voicemail, of the context `default`. Before its start.
    pub(crate) fn with_voicemail(&self, mailboxes: &[&str]) -> Outcome {
        let file = self.directory.join("etc/modules.conf");
        let text = fs::read_to_string(&file).map_err(lab(file.display()))?;
        fs::write(&file, text + "load = app_voicemail.so\n").map_err(lab(file.display()))?;
        let users = mailboxes
            .iter()
            .map(|name| format!("{name} => 1,Somebody\n"));
        let text = format!(
            "[general]\nformat = wav\n[default]\n{}",
            users.collect::<String>()
        );
        let file = self.directory.join("etc/voicemail.conf");
        fs::write(&file, text).map_err(lab(file.display()))
    }

    /// Puts messages into a folder of a mailbox, as if somebody had left them while it was down.
    pub(crate) fn leave_messages(&self, mailbox: &str, folder: &str, count: usize) -> Outcome {
        let folder = format!("spool/voicemail/default/{mailbox}/{folder}");
        let folder = self.directory.join(folder);
        fs::create_dir_all(&folder).map_err(lab(folder.display()))?;
        for number in 0..count {
            for (end, text) in [("txt", "[message]\n"), ("wav", "")] {
                let file = folder.join(format!("msg{number:04}.{end}"));
                fs::write(&file, text).map_err(lab(file.display()))?;
            }
        }
        Ok(())
    }

    /// Every device that it knows, with its state.
    pub(crate) fn devices(&mut self) -> Outcome<BTreeMap<String, String>> {
        self.ami()?.devices()
    }

    fn ami(&mut self) -> Outcome<&mut Ami> {
        self.ami
            .as_mut()
            .ok_or_else(|| Failure::Lab(format!("{} is not running", self.plan.name)))
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log/console")
    }
}

impl Instance for Asterisk {
    fn name(&self) -> &str {
        self.plan.name
    }

    fn start(&mut self) -> Outcome {
        let text = |path: &Path| path.display().to_string();
        let command = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            ENTER_CHROOT,
            "sh",
            &text(&self.root),
            &text(&self.directory),
        ]
        .map(str::to_owned);
        let process = Process::spawn(self.plan.name, &command, &self.directory, &self.log())?;
        let process = self.process.insert(process);

        let deadline = Instant::now() + BOOT_PATIENCE;
        let address = SocketAddr::new(self.plan.address, ami::PORT);
        // The manager interface opens before the modules are loaded, so the first states that come
        // from the other node find somebody listening.
        let mut ami = loop {
            if let Some(ami) = Ami::connect(address)? {
                break ami;
            }
            if let Some(status) = process.ended()? {
                return Err(Failure::Lab(format!("Asterisk has ended: {status}")));
            }
            if Instant::now() >= deadline {
                return Err(Failure::Lab(
                    "Asterisk does not open its manager port".into(),
                ));
            }
            thread::sleep(LOOK_INTERVAL / 4);
        };
        if !ami.wait_booted(deadline)? {
            return Err(Failure::Lab("Asterisk does not finish booting".into()));
        }
        // The commands of the core are there only a moment after the word that all is booted.
        let version = loop {
            if let Some(version) = ami.command("core show version")? {
                break version;
            }
            if Instant::now() >= deadline {
                return Err(Failure::Lab("Asterisk does not tell its version".into()));
            }
            thread::sleep(LOOK_INTERVAL / 4);
        };
        self.version = version.split_whitespace().nth(1).map(str::to_owned);
        self.ami = Some(ami);
        Ok(())
    }

    fn stop(&mut self) -> Outcome {
        self.ami()?.last_command("core stop gracefully")?;
        self.ami = None;
        if let Some(mut process) = self.process.take() {
            process.wait(STOP_PATIENCE)?;
        }
        Ok(())
    }

    fn kill(&mut self) -> Outcome {
        self.ami = None;
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    fn set_device(&mut self, device: &str, state: &str) -> Outcome {
        if state != "UNKNOWN" {
            let variable = format!("DEVICE_STATE({device})");
            return self.ami()?.set_variable(&variable, state);
        }
        // Asterisk refuses this word there. A state that comes in under its own entity id becomes
        // its own, and it tells it to others.
        let own = self.plan.entity_id;
        self.forge_device(own, device, state)
    }

    fn device(&mut self, device: &str) -> Outcome<Option<String>> {
        Ok(self.ami()?.devices()?.remove(device))
    }

    /// As a voicemail system beside Asterisk does it: by a NOTIFY of its message-summary.
    fn set_mailbox(&mut self, mailbox: &str, (new, old): Counts) -> Outcome {
        let waiting = if new > 0 { "yes" } else { "no" };
        let body = format!("Messages-Waiting: {waiting}\r\nVoice-Message: {new}/{old} (0/0)\r\n");
        let request = Request {
            method: "NOTIFY",
            user: &voicemail_endpoint(mailbox),
            headers: "Event: message-summary\r\nSubscription-State: active\r\n",
            content_type: "application/simple-message-summary",
            body: &body,
        };
        self.third_party_says(&request)
    }

    fn mailbox(&mut self, mailbox: &str) -> Outcome<Option<Counts>> {
        Ok(self.ami()?.mailboxes()?.get(mailbox).copied())
    }

    fn ask_refresh(&mut self) -> Outcome {
        self.ami()?.reload("res_pjsip_publish_asterisk.so")
    }

    fn logs(&self) -> Vec<PathBuf> {
        let full = self.directory.join("log/full");
        match self.version {
            Some(_) => vec![full],
            // It has not come up, and what it said is only there.
            None => vec![self.log(), full],
        }
    }

    fn version(&self) -> Option<String> {
        self.version.clone()
    }
}

fn voicemail_endpoint(mailbox: &str) -> String {
    format!("voicemail-{}", mailbox.replace('@', "-"))
}

const MODULES: &[&str] = &[
    "res_pjproject",
    "res_sorcery_config",
    "res_sorcery_memory",
    "res_sorcery_astdb",
    "res_pjsip",
    "res_pjsip_session",
    "res_pjsip_authenticator_digest",
    "res_pjsip_outbound_authenticator_digest",
    "res_pjsip_endpoint_identifier_ip",
    "res_pjsip_endpoint_identifier_user",
    "res_pjsip_logger",
    "res_pjsip_outbound_publish",
    "res_pjsip_pubsub",
    "res_pjsip_publish_asterisk",
    "func_devstate",
    "res_manager_devicestate",
];

/// Files that Asterisk complains about when they are not there.
const EMPTY_FILES: &[&str] = &[
    "ccss.conf",
    "cdr.conf",
    "cel.conf",
    "features.conf",
    "http.conf",
    "indications.conf",
    "pjproject.conf",
    "udptl.conf",
    "users.conf",
];

fn configuration(release: Release, plan: &NodePlan) -> Vec<(&'static str, String)> {
    let asterisk = format!(
        "[directories]\n\
         astetcdir => {INSIDE}/etc\n\
         astmoddir => {modules}\n\
         astvarlibdir => /usr/share/asterisk\n\
         astdatadir => /usr/share/asterisk\n\
         astdbdir => {INSIDE}/db\n\
         astkeydir => {INSIDE}/keys\n\
         astagidir => {INSIDE}/agi\n\
         astspooldir => {INSIDE}/spool\n\
         astrundir => {INSIDE}/run\n\
         astlogdir => {INSIDE}/log\n\
         [options]\n\
         entityid = {eid}\n\
         systemname = {name}\n\
         documentation_language = en_US\n",
        modules = release.modules(),
        eid = plan.entity_id,
        name = plan.name,
    );
    let loads = MODULES
        .iter()
        .map(|module| format!("load = {module}.so\n"))
        .collect::<String>();
    let manager = format!(
        "[general]\nenabled = yes\nbindaddr = {address}\nport = {port}\n\
         [{user}]\nsecret = {user}\nread = system,call\nwrite = all\n",
        address = plan.address,
        port = ami::PORT,
        user = ami::USER,
    );
    let logger = "[general]\ndateformat = %F %T.%3q\n\
                  [logfiles]\nconsole => warning,error\nfull => notice,warning,error,verbose\n";
    let mut files = vec![
        ("asterisk.conf", asterisk),
        ("modules.conf", format!("[modules]\nautoload = no\n{loads}")),
        ("manager.conf", manager),
        ("logger.conf", logger.to_owned()),
        ("pjsip.conf", pjsip_conf(plan)),
        // These two take no section named general.
        ("acl.conf", "[loopback]\npermit = 127.0.0.0/8\n".to_owned()),
        ("stasis.conf", ";\n".to_owned()),
    ];
    files.extend(
        EMPTY_FILES
            .iter()
            .map(|name| (*name, "[general]\n".to_owned())),
    );
    files
}

/// The relation's sections, and what makes the node traceable and open to the third parties of
/// these tests.
fn pjsip_conf(plan: &NodePlan) -> String {
    let mut text = plan.pjsip_conf();
    if text.contains("[global]\n") {
        text.push_str("[global](+)\ndebug=yes\n\n");
    } else {
        text.push_str("[global]\ntype=global\ndebug=yes\n\n");
    }
    add_third_parties(&mut text, MAILBOXES.into_iter());
    text
}

/// The endpoints of whoever else speaks to the node: a phone system for each mailbox, and a stranger.
fn add_third_parties<'a>(text: &mut String, mailboxes: impl Iterator<Item = &'a str>) {
    for mailbox in mailboxes {
        let endpoint = voicemail_endpoint(mailbox);
        text.push_str(&format!(
            "[{endpoint}]\ntype=endpoint\nincoming_mwi_mailbox={mailbox}\n\n"
        ));
    }
    text.push_str(&format!(
        "[{STRANGER}]\ntype=endpoint\n\n\
         [{STRANGER}]\ntype=inbound-publication\nendpoint={STRANGER}\n\
         event_asterisk-devicestate={STRANGER}\nevent_asterisk-mwi={STRANGER}\n\n\
         [{STRANGER}]\ntype=asterisk-publication\ndevice_state=yes\nmailbox_state=yes\n"
    ));
}
