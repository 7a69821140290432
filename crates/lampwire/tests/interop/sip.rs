//! Third parties on the wire: a phone system that reports a mailbox, a stranger that speaks under
//! another node's entity id, and a relay between two nodes that can refuse.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::instance::{Failure, Outcome, lab};

/// How long a request is sent again before it is given up; RFC 3261's 32 s would be no better.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);
/// Time between two sendings of a request that is not answered (RFC 3261's T1).
const RESEND_INTERVAL: Duration = Duration::from_millis(500);
/// Largest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// How long an address of ours may be held by a process that is being started.
const BIND_PATIENCE: Duration = Duration::from_secs(10);

/// How often a relay looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// Tells requests apart over the whole run.
static REQUESTS: AtomicU64 = AtomicU64::new(1);

/// Binds an address that is ours alone. A process that is just being started by another thread still holds what has been closed here, until
/// it becomes another program: that is waited for.
pub(crate) fn bind(address: SocketAddr) -> Outcome<UdpSocket> {
    let deadline = Instant::now() + BIND_PATIENCE;
    loop {
        match UdpSocket::bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                thread::sleep(LOOK);
            }
            bound => return bound.map_err(lab(address)),
        }
    }
}

/// What a third party sends.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// NOTIFY or PUBLISH.
    pub(crate) method: &'a str,
    /// User part of the request URI, From and To.
    pub(crate) user: &'a str,
    /// Header lines beyond the general ones, each with its line end.
    pub(crate) headers: &'a str,
    /// Media type of the body.
    pub(crate) content_type: &'a str,
    /// The body.
    pub(crate) body: &'a str,
}

/// Sends a request from an address of `local` to `remote`, again and again until the final answer
/// comes, and gives its status.
pub(crate) fn send(local: SocketAddr, remote: SocketAddr, request: &Request<'_>) -> Outcome<u16> {
    let socket = UdpSocket::bind(local).map_err(lab(local))?;
    let local = socket.local_addr().map_err(lab(local))?;
    socket
        .set_read_timeout(Some(RESEND_INTERVAL))
        .map_err(lab("UDP socket"))?;
    let number = REQUESTS.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let Request {
        method,
        user,
        headers,
        content_type,
        body,
    } = request;
    let text = format!(
        "{method} sip:{user}@{remote} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {local};rport;branch=z9hG4bKinterop{process}x{number}\r\n\
         From: <sip:{user}@{local}>;tag=f{number}\r\n\
         To: <sip:{user}@{remote}>\r\n\
         Call-ID: interop-{process}-{number}@{local}\r\n\
         CSeq: 1 {method}\r\n\
         Max-Forwards: 70\r\n\
         Contact: <sip:{user}@{local}>\r\n\
         {headers}\
         Content-Type: {content_type}\r\n\
         Content-Length: {}\r\n\
         \r\n\
         {body}",
        body.len()
    );
    let deadline = Instant::now() + ANSWER_PATIENCE;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    while Instant::now() < deadline {
        socket
            .send_to(text.as_bytes(), remote)
            .map_err(lab(remote))?;
        // A refused port shows here as an error; a timed-out read too. Both mean: again.
        if let Ok((count, _)) = socket.recv_from(&mut buffer) {
            let status = status_of(&buffer[..count]);
            if let Some(status) = status.filter(|status| *status >= 200) {
                return Ok(status);
            }
        }
    }
    Err(Failure::Lab(format!(
        "{remote} does not answer a {method} of a third party"
    )))
}

fn status_of(datagram: &[u8]) -> Option<u16> {
    let line = String::from_utf8_lossy(&datagram[..datagram.len().min(64)]).into_owned();
    line.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

/// Stands between two nodes on an address of its own and hands every datagram on, or, while it is
/// closed, answers every PUBLISH of the first node by 503. While it is cut it loses everything.
#[derive(Debug)]
pub(crate) struct Relay {
    closed: Arc<AtomicBool>,
    cut: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
    /// When the first datagram of the sender has got through since it was last cut.
    through: Arc<Mutex<Option<Instant>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Listens on `own`; `sender`'s datagrams go to `receiver` and the other way round.
    pub(crate) fn start(
        own: SocketAddr,
        sender: SocketAddr,
        receiver: SocketAddr,
    ) -> Outcome<Self> {
        Self::start_delayed(own, sender, receiver, Duration::ZERO)
    }

    /// The same, each datagram being on its way for `delay`.
    pub(crate) fn start_delayed(
        own: SocketAddr,
        sender: SocketAddr,
        receiver: SocketAddr,
        delay: Duration,
    ) -> Outcome<Self> {
        let socket = bind(own)?;
        let (closed, refused, ended) =
            <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicBool>)>::default();
        let cut = Arc::<AtomicBool>::default();
        let lost = Arc::clone(&cut);
        let through = Arc::<Mutex<Option<Instant>>>::default();
        let first = Arc::clone(&through);
        let relay = (
            Arc::clone(&closed),
            Arc::clone(&refused),
            Arc::clone(&ended),
        );
        // Time-outs of sockets are rounded to the system's ticks, a sleeping thread is woken in time.
        let (on_the_way, arriving) = mpsc::channel::<(Instant, SocketAddr, Vec<u8>)>();
        let out = socket.try_clone().map_err(lab("UDP socket"))?;
        socket
            .set_read_timeout(Some(LOOK))
            .map_err(lab("UDP socket"))?;
        thread::Builder::new()
            .name("delay".into())
            .spawn(move || {
                while let Ok((at, to, datagram)) = arriving.recv() {
                    thread::sleep(at.saturating_duration_since(Instant::now()));
                    let _ = out.send_to(&datagram, to);
                }
            })
            .map_err(lab("a thread for the relay"))?;
        let hand_on = move || {
            let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
            while !ended.load(Ordering::SeqCst) {
                let (count, from) = match socket.recv_from(&mut buffer) {
                    Ok(received) => received,
                    Err(error)
                        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                    {
                        continue;
                    }
                    // A node that is down: the kernel reports the refused port.
                    Err(_) => continue,
                };
                if lost.load(Ordering::SeqCst) {
                    continue;
                }
                let datagram = &buffer[..count];
                if from == sender && closed.load(Ordering::SeqCst) {
                    if let Some(answer) = refuse(datagram) {
                        let _ = socket.send_to(answer.as_bytes(), from);
                        refused.fetch_add(1, Ordering::SeqCst);
                    }
                } else {
                    if from == sender
                        && let Ok(mut first) = first.lock()
                    {
                        first.get_or_insert_with(Instant::now);
                    }
                    let to = if from == sender { receiver } else { sender };
                    if on_the_way
                        .send((Instant::now() + delay, to, datagram.to_vec()))
                        .is_err()
                    {
                        return;
                    }
                }
            }
        };
        let thread = thread::Builder::new()
            .name("relay".into())
            .spawn(hand_on)
            .map_err(lab("a thread for the relay"))?;
        let (closed, refused, ended) = relay;
        Ok(Self {
            closed,
            cut,
            refused,
            through,
            ended,
            thread: Some(thread),
        })
    }

    /// Refuses from here on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Hands on again.
    pub(crate) fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
    }

    /// Loses everything from here on, or hands on again.
    pub(crate) fn cut(&self, cut: bool) {
        if cut && let Ok(mut through) = self.through.lock() {
            *through = None;
        }
        self.cut.store(cut, Ordering::SeqCst);
    }

    /// When the first datagram of the sender got through after the last cut.
    pub(crate) fn through(&self) -> Option<Instant> {
        self.through.lock().ok().and_then(|through| *through)
    }

    /// How many requests have been refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A 503 to a request: what an answer must carry over from it (RFC 3261 8.2.6.2), and a To tag.
fn refuse(datagram: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(datagram);
    let mut lines = text.lines();
    if !lines.next()?.starts_with("PUBLISH ") {
        return None;
    }
    let mut answer = String::from("SIP/2.0 503 Service Unavailable\r\n");
    for line in lines.take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default().trim();
        if ["via", "from", "call-id", "cseq", "v", "f", "i"]
            .contains(&name.to_ascii_lowercase().as_str())
        {
            answer.push_str(line);
            answer.push_str("\r\n");
        } else if ["to", "t"].contains(&name.to_ascii_lowercase().as_str()) {
            answer.push_str(line);
            answer.push_str(";tag=refused\r\n");
        }
    }
    answer.push_str("Content-Length: 0\r\n\r\n");
    Some(answer)
}
