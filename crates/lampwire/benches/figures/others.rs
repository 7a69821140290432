//! The others: Asterisk 22, Kamailio, and a bare echo.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::asterisk::{Asterisk, Release};
use crate::instance::Instance;
use crate::process::{self, Process};
use crate::relation::{Addresses, Relation};
use crate::{Lab, ami, common};

const KAMAILIO: &str = "/usr/sbin/kamailio";
/// Tables of Kamailio as files, as Debian's package has them: nothing but their heads is read, since presence stays in memory.
const KAMAILIO_TABLES: &str = "/usr/share/kamailio/dbtext/kamailio";
const KAMAILIO_MODULES: &str = "/usr/lib/x86_64-linux-gnu/kamailio/modules/";

/// An Asterisk 22 with these sections of pjsip.conf beside its UDP transport at the subject's address, or at the peer's.
pub(crate) struct Other {
    /// It ends with this value.
    _asterisk: Asterisk,
    pub(crate) id: u32,
    pub(crate) address: IpAddr,
}

impl Other {
    pub(crate) fn start(lab: &Lab, name: &str, is_peer: bool, sections: &str) -> Option<Self> {
        let root = lab.found.get(&Release::Asterisk22)?;
        let addresses = Addresses::of_figures(lab.block);
        let relation = Relation::default();
        let directory = common::directory(&format!("figures-{name}"));
        let (plan, address) = match is_peer {
            true => (relation.peer_plan(addresses, &directory), addresses.peer()),
            false => (
                relation.subject_plan(addresses, &directory),
                addresses.subject(),
            ),
        };
        let third_party = SocketAddr::new(addresses.third_party(), 0);
        let mut asterisk = Asterisk::new(
            Release::Asterisk22,
            root,
            directory.clone(),
            plan,
            third_party,
        )
        .expect("an Asterisk's configuration");
        let text = format!("[udp]\ntype=transport\nprotocol=udp\nbind={address}:5060\n{sections}");
        fs::write(directory.join("etc/pjsip.conf"), text).expect("pjsip.conf");
        asterisk.start().expect("an Asterisk that starts");
        // An event for each state that comes in, told to nobody who reads it, is not what is measured.
        asterisk.hang_up();
        let id = process::named("asterisk").expect("its process");
        Some(Self {
            _asterisk: asterisk,
            id,
            address,
        })
    }

    /// A connection to its manager interface, logged in, that hears of changes.
    pub(crate) fn manager(&self) -> TcpStream {
        let mut stream = TcpStream::connect((self.address, ami::PORT)).expect("its manager port");
        stream.set_nodelay(true).expect("a socket");
        let user = ami::USER;
        write!(
            stream,
            "Action: Login\r\nUsername: {user}\r\nSecret: {user}\r\nEvents: on\r\n\r\n"
        )
        .expect("a login");
        stream
    }
}

/// A Kamailio that keeps presence in memory.
pub(crate) fn kamailio(at: SocketAddr) -> Option<Process> {
    if !Path::new(KAMAILIO).exists() || !Path::new(KAMAILIO_TABLES).exists() {
        return None;
    }
    let directory = common::directory("figures-kamailio");
    let tables = directory.join("tables");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(KAMAILIO_TABLES)
        .arg(&tables)
        .status();
    assert!(copied.is_ok_and(|it| it.success()), "Kamailio's tables");
    let modules: String = [
        "sl",
        "tm",
        "tmx",
        "pv",
        "textops",
        "siputils",
        "db_text",
        "presence",
        "presence_xml",
    ]
    .iter()
    .map(|name| format!("loadmodule \"{name}.so\"\n"))
    .collect();
    let tables = tables.display();
    let text = format!(
        "#!KAMAILIO\ndebug=0\nlog_stderror=yes\nfork=yes\nchildren=2\nauto_aliases=no\nlisten=udp:{at}\nmpath=\"{KAMAILIO_MODULES}\"\n{modules}\
         modparam(\"presence\", \"db_url\", \"text://{tables}\")\nmodparam(\"presence\", \"server_address\", \"sip:{at}\")\n\
         modparam(\"presence\", \"publ_cache\", 2)\nmodparam(\"presence\", \"subs_db_mode\", 0)\n\
         modparam(\"presence_xml\", \"db_url\", \"text://{tables}\")\nmodparam(\"presence_xml\", \"force_active\", 1)\n\
         modparam(\"presence_xml\", \"disable_winfo\", 1)\n\
         request_route {{\n  if (is_method(\"PUBLISH\")) {{\n    if (!t_newtran()) {{ sl_reply_error(); exit; }}\n    handle_publish();\n    t_release();\n    exit;\n  }}\n  sl_send_reply(\"405\", \"Method Not Allowed\");\n}}\n"
    );
    let file = directory.join("kamailio.cfg");
    fs::write(&file, text).expect("kamailio.cfg");
    let mut command = Command::new(KAMAILIO);
    command
        .arg("-f")
        .arg(&file)
        .args(["-DD", "-E", "-m", "1024", "-w"])
        .arg(&directory)
        .arg("-Y")
        .arg(&directory);
    let process = Process::start(&mut command, &directory.join("log"));
    // It says nothing when it is ready; the load sends its first requests again.
    std::thread::sleep(Duration::from_millis(500));
    Some(process)
}

/// The bare echo: this program in another mode.
pub(crate) fn echo(at: SocketAddr) -> Process {
    let own = std::env::current_exe().expect("this program");
    let log = common::directory("figures-echo").join("log");
    Process::start(Command::new(own).args(["--echo", &at.to_string()]), &log)
}

/// What each of them says of itself.
pub(crate) fn versions(lab: &Lab) -> Vec<String> {
    let first_line = |command: &mut Command| {
        let output = command.output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().next().map(str::to_owned)
    };
    let asterisk = lab
        .found
        .get(&Release::Asterisk22)
        .and_then(|root: &PathBuf| {
            let version = first_line(
                Command::new("chroot")
                    .arg(root)
                    .args(["/usr/sbin/asterisk", "-V"]),
            );
            version.map(|it| format!("{it} (Debian)"))
        });
    let kamailio = first_line(Command::new(KAMAILIO).arg("-v"));
    let kamailio = kamailio.map(|it| it.trim_start_matches("version: ").trim().to_owned());
    let rust = first_line(Command::new("rustc").arg("--version"));
    [asterisk, kamailio, rust].into_iter().flatten().collect()
}

/// The lines of a stream, each with the moment at which it was there.
pub(crate) fn lines(stream: TcpStream) -> std::sync::mpsc::Receiver<(String, std::time::Instant)> {
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|length| length > 0)
        {
            let now = std::time::Instant::now();
            if sender
                .send((String::from_utf8_lossy(&line).into_owned(), now))
                .is_err()
            {
                return;
            }
            line.clear();
        }
    });
    lines
}
