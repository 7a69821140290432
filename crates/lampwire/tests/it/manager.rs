//! The program reads an Asterisk over its manager interface: a scripted one, over TCP and TLS, which is slow, rude, or no Asterisk at all.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::certificates::{Authority, Signed};
use super::harness::{Directory, Node, address, wait_for};

const EID: &str = "02:00:00:00:00:16";

/// What one connection is met with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Manner {
    Good,
    /// The same, a byte at a time.
    Slow,
    RefusesLogin,
    /// Has no right for this action.
    Denies(&'static str),
    /// Takes part by the exchange itself.
    HasExchange,
    /// Says this and nothing else.
    Garbage(&'static [u8]),
    /// Ends in the middle of this device's event.
    CutAt(usize),
    /// Takes the connection, and says nothing.
    Mute,
}

/// A scripted manager interface: its connections are met in these manners, the last one for all that follow.
struct Script {
    connections: Arc<AtomicUsize>,
    written: Arc<Mutex<Vec<String>>>,
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

impl Script {
    fn start(address: Ipv4Addr, tls: Option<Signed>, manners: &'static [Manner]) -> Self {
        let port = if tls.is_some() { 5039 } else { 5038 };
        let listener = TcpListener::bind((address, port)).unwrap();
        let tls = tls.map(|signed| {
            let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![CertificateDer::from_pem_slice(signed.certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap(),
                );
            Arc::new(config.unwrap())
        });
        let script = Self {
            connections: Arc::default(),
            written: Arc::default(),
        };
        let (connections, written) = (Arc::clone(&script.connections), Arc::clone(&script.written));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let number = connections.fetch_add(1, Ordering::SeqCst);
                let manner = manners[number.min(manners.len() - 1)];
                let mut stream: Box<dyn Stream> = match &tls {
                    None => Box::new(stream),
                    Some(config) => {
                        let server = ServerConnection::new(Arc::clone(config)).unwrap();
                        Box::new(StreamOwned::new(server, stream))
                    }
                };
                // An error: the node has closed, as it should in most manners.
                let _ = meet(&mut *stream, manner, &written);
            }
        });
        script
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn meet(
    stream: &mut dyn Stream,
    manner: Manner,
    written: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let say = |reader: &mut BufReader<&mut dyn Stream>, text: &[u8]| -> std::io::Result<()> {
        let pieces = if let Manner::Slow = manner {
            1
        } else {
            text.len()
        };
        for piece in text.chunks(pieces.max(1)) {
            reader.get_mut().write_all(piece)?;
            reader.get_mut().flush()?;
        }
        Ok(())
    };
    match manner {
        Manner::Garbage(bytes) => return say(&mut reader, bytes),
        Manner::Mute => return reader.read(&mut [0]).map(drop),
        _ => say(&mut reader, b"Asterisk Call Manager/5.0.4\r\n")?,
    }
    loop {
        let mut fields = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) => fields.push((name.to_owned(), value.to_owned())),
                None => break,
            }
        }
        let field = |name: &str| {
            let found = fields.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let id = field("ActionID");
        let good = |more: &str| format!("Response: Success\r\nActionID: {id}\r\n{more}\r\n");
        let answer = match field("Action").as_str() {
            "Challenge" => good("Challenge: 1\r\n"),
            "Login" if matches!(manner, Manner::RefusesLogin) => {
                let text = format!(
                    "Response: Error\r\nActionID: {id}\r\nMessage: Authentication failed\r\n\r\n"
                );
                say(&mut reader, text.as_bytes())?;
                return Ok(());
            }
            denied if matches!(manner, Manner::Denies(action) if action == denied) => {
                format!("Response: Error\r\nActionID: {id}\r\nMessage: Permission denied\r\n\r\n")
            }
            "Command" if matches!(manner, Manner::HasExchange) => good(
                "Output: res_pjsip_publish_asterisk.so  Asterisk Event PUBLISH Support  0  Running  core\r\n",
            ),
            "Login" => good("") + "Event: FullyBooted\r\n\r\n",
            "DeviceStateList" => {
                let mut text = good("EventList: start\r\n");
                for number in 1..=50 {
                    if matches!(manner, Manner::CutAt(at) if at == number) {
                        text.push_str("Event: DeviceStateChange\r\nDev");
                        say(&mut reader, text.as_bytes())?;
                        return Ok(());
                    }
                    text.push_str(&format!(
                        "Event: DeviceStateChange\r\nActionID: {id}\r\nDevice: PJSIP/{number}\r\nState: INUSE\r\n\r\n"
                    ));
                }
                text + &format!("Event: DeviceStateListComplete\r\nActionID: {id}\r\n\r\n")
            }
            "Setvar" => {
                written
                    .lock()
                    .unwrap()
                    .push(format!("{} {}", field("Variable"), field("Value")));
                good("")
            }
            action if action.starts_with("MWI") => {
                format!(
                    "Response: Error\r\nActionID: {id}\r\nMessage: Invalid/unknown command: {action}.\r\n\r\n"
                )
            }
            _ => good(""),
        };
        say(&mut reader, answer.as_bytes())?;
    }
}

fn section(asterisk: Ipv4Addr, more: &str) -> String {
    format!(
        "[office]\ntype=ami\nhost={asterisk}\nusername=u\nsecret=hunter2\neid={EID}\ndevice_state_filter=^PJSIP/\n{more}\n"
    )
}

fn logged(node: &Node, text: &str) {
    wait_for(text, || node.process.log().contains(text).then_some(()));
}

#[test]
fn whatever_came_before_all_states_are_read_in_the_end() {
    const MANNERS: &[Manner] = &[Manner::CutAt(1), Manner::CutAt(30), Manner::Slow];
    let asterisk = address();
    let script = Script::start(asterisk, None, MANNERS);
    let node = Node::start(address(), "", &section(asterisk, ""));
    let said = |device: &str| node.said(device, EID);
    wait_for("the last device", || {
        said("PJSIP/50").filter(|state| state == "INUSE")
    });
    assert_eq!(script.connections(), 3);
    assert_eq!(said("PJSIP/1").as_deref(), Some("INUSE"));
    let device = node.get("/api/v1/devices/PJSIP%2F1").json;
    assert_eq!(device["entities"][0]["source"], "ami");
    assert_eq!(device["entities"][0]["peer"], "office");
    let peers = node.get("/api/v1/peers").json;
    assert_eq!(peers["peers"][0]["status"], "up");
    assert!(!node.process.log().contains("hunter2"));
}

#[test]
fn what_is_no_asterisk_is_told_of_and_left_alone() {
    const CASES: &[(&[Manner], &str)] = &[
        (
            &[Manner::RefusesLogin],
            "it refuses the login: Authentication failed",
        ),
        (
            &[Manner::Garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n")],
            "it is no Asterisk",
        ),
        (&[Manner::Garbage(&[0xff; 300])], "it is no Asterisk"),
        (
            &[Manner::Garbage(b"")],
            "the other side closed the connection",
        ),
    ];
    for (manners, expected) in CASES {
        let asterisk = address();
        let _script = Script::start(asterisk, None, manners);
        let node = Node::start(address(), "", &section(asterisk, ""));
        logged(&node, expected);
        assert_eq!(
            node.get("/api/v1/devices").json["devices"]
                .as_array()
                .unwrap()
                .len(),
            0
        );
        wait_for("a peer that is down", || {
            (node.get("/api/v1/peers").json["peers"][0]["status"] == "down").then_some(())
        });
    }
}

/// What `check` predicts of a manager interface: the code, how the interface meets us then (None: it is not there), and what the log says.
/// That a manager.conf which is wrong in this way lets an Asterisk do so was seen with Asterisk 16 and 22.
pub(super) const PREDICTED: &[(&str, Option<&[Manner]>, &str)] = &[
    (
        "ami-and-exchange",
        Some(&[Manner::HasExchange]),
        "res_pjsip_publish_asterisk.so is loaded there",
    ),
    ("ami-no-tls", None, "ami-away"),
    (
        "ami-no-user",
        Some(&[Manner::RefusesLogin]),
        "it refuses the login",
    ),
    ("ami-not-enabled", None, "ami-away"),
    ("ami-not-listening", None, "ami-away"),
    (
        "ami-right-missing",
        Some(&[Manner::Denies("DeviceStateList")]),
        "it does not list its devices: Permission denied",
    ),
    (
        "ami-secret-differs",
        Some(&[Manner::RefusesLogin]),
        "it refuses the login",
    ),
    (
        "ami-source-refused",
        Some(&[Manner::RefusesLogin]),
        "it refuses the login",
    ),
];

#[test]
fn what_check_predicts_of_manager_interfaces_is_seen() {
    for (code, manners, expected) in PREDICTED {
        let asterisk = address();
        let _script = manners.map(|manners| Script::start(asterisk, None, manners));
        let tls = match *code {
            "ami-no-tls" => "tls=yes\n",
            _ => "",
        };
        let node = Node::start(address(), "", &section(asterisk, tls));
        logged(&node, expected);
        assert_eq!(node.said("PJSIP/50", EID), None, "{code}");
    }
}

#[test]
fn a_mute_one_is_left_and_tried_again() {
    const MANNERS: &[Manner] = &[Manner::Mute, Manner::Good];
    let asterisk = address();
    let script = Script::start(asterisk, None, MANNERS);
    let node = Node::start(address(), "", &section(asterisk, ""));
    wait_for("a second connection", || node.said("PJSIP/50", EID));
    assert_eq!(script.connections(), 2);
    logged(&node, "silent for 10 s");
}

#[test]
fn over_tls_the_certificate_is_checked_and_others_states_are_put_in() {
    const MANNERS: &[Manner] = &[Manner::Good];
    let asterisk = address();
    let authority = Authority::new("Right");
    let script = Script::start(
        asterisk,
        Some(authority.sign(&[&asterisk.to_string()])),
        MANNERS,
    );
    let directory = Directory::new();
    let right = directory.write("right.pem", &authority.pem);
    let wrong = directory.write("wrong.pem", &Authority::new("Wrong").pem);
    let more =
        |file: &str| format!("tls=yes\nca_list_file={file}\nsink=yes\nmailbox_state_filter=@a$\n");
    let node = Node::start(address(), "", &section(asterisk, &more(&wrong)));
    logged(&node, "ami-away");
    assert_eq!(node.said("PJSIP/50", EID), None);
    drop(node);
    let node = Node::start(address(), "", &section(asterisk, &more(&right)));
    wait_for("all devices", || node.said("PJSIP/50", EID));
    assert_eq!(
        node.put("/api/v1/devices/PJSIP%2F99", r#"{"state":"BUSY"}"#)
            .status,
        201
    );
    wait_for("the state of another", || {
        let written = script.written.lock().unwrap().clone();
        (written == ["DEVICE_STATE(Custom:remote-PJSIP/99) BUSY"]).then_some(())
    });
}

#[test]
fn a_source_that_would_hear_itself_does_not_start() {
    let directory = Directory::new();
    let text = section(address(), "sink=yes\n").replace("device_state_filter=^PJSIP/\n", "");
    let path = directory.write(
        "lampwire.conf",
        &(super::harness::sections(address(), "") + &text),
    );
    let (status, _, told) = super::harness::run(&["run", "-c", &path]);
    assert_eq!(status, 1);
    assert!(
        told.contains("would read the devices Custom:remote-* that it writes itself"),
        "{told}"
    );
}
