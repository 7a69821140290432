//! SIP by hand: requests that can be changed for the worse, and a client's end of a conversation over UDP, TCP or TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lampwire_sip::{Frame, Splitter};
use socket2::{Domain, Socket, Type};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::certificates::Authority;
use super::harness::{DEADLINE, Directory};

/// The longest datagram that is read: the longest that there is.
const DATAGRAM: usize = 65_535;

/// Headers that an answer may have. Any other was put there by whoever asked.
const ANSWERED: [&str; 17] = [
    "Accept",
    "Allow",
    "Allow-Events",
    "CSeq",
    "Call-ID",
    "Content-Length",
    "Expires",
    "From",
    "Min-Expires",
    "Retry-After",
    "SIP-ETag",
    "Server",
    "To",
    "Unsupported",
    "Via",
    "WWW-Authenticate",
    "Warning",
];

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// By what a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    pub(crate) const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }
}

/// A request that is being written. `@T@` and `@UNIQUE@` in it are filled in when it is sent, with as many bytes.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    start: Vec<u8>,
    headers: Vec<Vec<u8>>,
    body: Vec<u8>,
}

impl Draft {
    /// A whole request without body.
    pub(crate) fn new(method: &str, uri: &str) -> Self {
        let headers = [
            "Via: SIP/2.0/@T@ 127.0.0.1:5060;rport;branch=z9hG4bK@UNIQUE@",
            "From: <sip:instance1@127.0.0.1>;tag=f@UNIQUE@",
            "To: <sip:instance1@127.0.0.1>",
            "Call-ID: @UNIQUE@",
            &format!("CSeq: 1 {method}"),
            "Max-Forwards: 70",
            "Content-Length: 0",
        ];
        Self {
            start: format!("{method} {uri} SIP/2.0").into_bytes(),
            headers: headers.map(|line| line.as_bytes().to_vec()).to_vec(),
            body: Vec::new(),
        }
    }

    /// A PUBLISH of a JSON body to a resource.
    pub(crate) fn publish(resource: &str, event: &str, body: impl AsRef<[u8]>) -> Self {
        Self::new("PUBLISH", &format!("sip:{resource}@127.0.0.1"))
            .set("Event", event)
            .set("Content-Type", "application/json")
            .body(body)
    }

    /// Another first line.
    pub(crate) fn start(mut self, line: impl AsRef<[u8]>) -> Self {
        line.as_ref().clone_into(&mut self.start);
        self
    }

    /// Another value in the place of a header's, or the header where there is none.
    pub(crate) fn set(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let line = [name.as_bytes(), b": ", value.as_ref()].concat();
        match self.find(name) {
            Some(at) => self.headers[at] = line,
            None => self.headers.push(line),
        }
        self
    }

    /// Without a header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        let at = self.find(name).unwrap();
        self.headers.remove(at);
        self
    }

    /// With a further line among the headers, whatever it is.
    pub(crate) fn also(mut self, line: impl AsRef<[u8]>) -> Self {
        self.headers.push(line.as_ref().to_vec());
        self
    }

    /// With a line before all headers.
    pub(crate) fn first(mut self, line: impl AsRef<[u8]>) -> Self {
        self.headers.insert(0, line.as_ref().to_vec());
        self
    }

    /// With a body and its length.
    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        body.as_ref().clone_into(&mut self.body);
        let length = self.body.len().to_string();
        self.set("Content-Length", length)
    }

    /// With bytes behind the headers that no length tells of.
    pub(crate) fn trailing(mut self, bytes: &[u8]) -> Self {
        bytes.clone_into(&mut self.body);
        self
    }

    /// With something else in the place of what stands there, as often as it does.
    pub(crate) fn replace(self, from: &str, to: &str) -> Vec<u8> {
        replace(&self.bytes(), from.as_bytes(), to.as_bytes())
    }

    /// As it is written.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.start.clone();
        for line in &self.headers {
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(line);
        }
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    fn find(&self, name: &str) -> Option<usize> {
        let is_it = |line: &Vec<u8>| {
            line.get(..name.len())
                .is_some_and(|it| it.eq_ignore_ascii_case(name.as_bytes()))
                && line.get(name.len()) == Some(&b':')
        };
        self.headers.iter().position(is_it)
    }
}

impl From<Draft> for Vec<u8> {
    fn from(draft: Draft) -> Self {
        draft.bytes()
    }
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix(from) {
            replaced.extend_from_slice(to);
            rest = behind;
        } else {
            replaced.push(rest[0]);
            rest = &rest[1..];
        }
    }
    replaced
}

/// An answer, which is sound whatever was asked: every line a header that answers have, and nothing behind them.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    text: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).expect("answers are UTF-8");
        let head = text.strip_suffix("\r\n\r\n").expect("answers have no body");
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap();
        let status = first.strip_prefix("SIP/2.0 ").expect("an answer");
        let status = status[..3].parse().unwrap();
        for line in lines {
            let (name, _) = line.split_once(": ").expect("a header");
            assert!(ANSWERED.contains(&name), "{line:?} in {text}");
        }
        assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']));
        Self { status, text }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.text.split("\r\n").skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            (key == name).then_some(value)
        })
    }

    /// The reason phrase.
    pub(crate) fn reason(&self) -> &str {
        self.text[12..].split("\r\n").next().unwrap()
    }

    /// The tag of a PUBLISH that was taken.
    pub(crate) fn tag(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text);
        self.header("SIP-ETag").expect("a tag").to_owned()
    }
}

/// Where a node is heard over UDP, TCP and TLS.
pub(crate) struct Ports {
    at: Ipv4Addr,
    tls: Arc<ClientConfig>,
    _directory: Directory,
}

impl Ports {
    /// With the sections that open them, but for UDP, which every node of the harness has.
    pub(crate) fn new(at: Ipv4Addr) -> (Self, String) {
        let authority = Authority::new("Torture");
        let signed = authority.sign(&[&at.to_string()]);
        let directory = Directory::new();
        let pem = directory.write("node.pem", &format!("{}{}", signed.key, signed.certificate));
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap())
            .unwrap();
        let tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let sections = format!(
            "[tcp]\ntype=transport\nprotocol=tcp\nbind={at}:5060\n\
             [tls]\ntype=transport\nprotocol=tls\nbind={at}:5061\ncert_file={pem}\n"
        );
        let ports = Self {
            at,
            tls: Arc::new(tls),
            _directory: directory,
        };
        (ports, sections)
    }

    /// Begins a conversation from an address.
    pub(crate) fn open(&self, transport: Transport, from: Ipv4Addr) -> Line {
        let way = match transport {
            Transport::Udp => {
                let socket = UdpSocket::bind((from, 0)).unwrap();
                socket.connect((self.at, 5060)).unwrap();
                socket.set_read_timeout(Some(DEADLINE)).unwrap();
                Way::Udp(socket)
            }
            Transport::Tcp => Way::Tcp(self.connect(from, 5060)),
            Transport::Tls => {
                let name = ServerName::from(std::net::IpAddr::from(self.at));
                let client = ClientConnection::new(Arc::clone(&self.tls), name).unwrap();
                let stream = StreamOwned::new(client, self.connect(from, 5061));
                Way::Tls(Box::new(stream))
            }
        };
        Line {
            way,
            transport,
            splitter: Splitter::new(),
        }
    }

    /// A connection to the port of TLS, without TLS.
    pub(crate) fn knock(&self, from: Ipv4Addr) -> TcpStream {
        self.connect(from, 5061)
    }

    fn connect(&self, from: Ipv4Addr, port: u16) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        socket
            .connect(&SocketAddr::from((self.at, port)).into())
            .unwrap();
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }
}

/// A client's end of a conversation.
pub(crate) struct Line {
    way: Way,
    transport: Transport,
    splitter: Splitter,
}

enum Way {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Line {
    /// Sends bytes as they are, but for what is to be filled in. One that the node has closed swallows them.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // It is closed, as the next read says.
        let _ = self.try_send(bytes);
    }

    /// The same. False: the node has closed it.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        let unique = format!("{:08}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let bytes = replace(bytes, b"@UNIQUE@", unique.as_bytes());
        let bytes = replace(&bytes, b"@T@", self.transport.as_str().as_bytes());
        let sent = match &mut self.way {
            Way::Udp(socket) => socket.send(&bytes).map(|_| ()),
            Way::Tcp(stream) => stream.write_all(&bytes),
            Way::Tls(stream) => stream.write_all(&bytes).and_then(|()| stream.flush()),
        };
        match sent {
            Ok(()) => true,
            Err(error) if is_end(error.kind()) => false,
            Err(error) => panic!("not taken in time: {error}"),
        }
    }

    /// The next answer; `None`: the node has closed the connection.
    pub(crate) fn hear(&mut self) -> Option<Answer> {
        let mut buffer = [0; DATAGRAM];
        if let Way::Udp(socket) = &self.way {
            let length = socket.recv(&mut buffer).expect("an answer in time");
            return Some(Answer::read(&buffer[..length]));
        }
        loop {
            match self.splitter.next().expect("a stream of answers") {
                Some(Frame::Message(message)) => return Some(Answer::read(message)),
                Some(Frame::Ping | Frame::Pong) => {}
                Some(Frame::Overlong(_)) => panic!("answers have no body"),
                None => {
                    let read = match &mut self.way {
                        Way::Udp(_) => unreachable!("read above"),
                        Way::Tcp(stream) => stream.read(&mut buffer),
                        Way::Tls(stream) => stream.read(&mut buffer),
                    };
                    match read {
                        Ok(0) => return None,
                        Ok(length) => self.splitter.push(&buffer[..length]).unwrap(),
                        Err(error) if is_end(error.kind()) => return None,
                        Err(error) => panic!("no answer in time: {error}"),
                    }
                }
            }
        }
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&mut self, request: impl Into<Vec<u8>>) -> Answer {
        self.send(&request.into());
        self.hear().expect("an open connection")
    }

    /// What is heard before the answer to an OPTIONS that is sent now, and whether that comes. Nothing is overtaken on the way, so what
    /// has not been answered by then never is.
    pub(crate) fn settle(&mut self) -> (Vec<Answer>, bool) {
        let call_id = format!("settle-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let options = Draft::new("OPTIONS", "sip:instance1@127.0.0.1").set("Call-ID", &call_id);
        self.send(&options.bytes());
        let mut answers = Vec::new();
        while let Some(answer) = self.hear() {
            if answer.header("Call-ID") == Some(&call_id) {
                assert_eq!(answer.status, 200, "{answer:?}");
                return (answers, true);
            }
            answers.push(answer);
        }
        (answers, false)
    }

    /// Whether it is open and nothing has come that was not taken.
    pub(crate) fn is_silent(&mut self) -> bool {
        let mut buffer = [0; 1];
        match &mut self.way {
            Way::Udp(socket) => {
                socket.set_nonblocking(true).unwrap();
                is_nothing(&socket.recv(&mut buffer))
            }
            Way::Tcp(stream) => is_silent(stream),
            Way::Tls(stream) => {
                stream.sock.set_nonblocking(true).unwrap();
                is_nothing(&stream.read(&mut buffer))
            }
        }
    }
}

/// Whether a connection is open and nothing has come.
pub(crate) fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    is_nothing(&stream.read(&mut [0; 1]))
}

/// All that comes over a connection until the node closes it.
pub(crate) fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Ok(_) => heard,
        Err(error) if is_end(error.kind()) => heard,
        Err(error) => panic!("not closed in time: {error}"),
    }
}

fn is_nothing(read: &std::io::Result<usize>) -> bool {
    matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

fn is_end(kind: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        kind,
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}
