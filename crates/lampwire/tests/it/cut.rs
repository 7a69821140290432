//! A way to a node that can be cut, while the node goes on.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::harness::{Node, address};

/// A port that passes everything on to a node's HTTP port, and back.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    cut: AtomicBool,
    /// Both ends of all connections.
    ends: Mutex<Vec<TcpStream>>,
    /// All that went to clients.
    passed: Mutex<Vec<u8>>,
}

impl Way {
    pub(crate) fn to(node: &Node) -> Self {
        let host = node.url.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind((address(), 7060)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let here = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut ends = here.ends.lock().unwrap();
                // Looked at under the lock: nothing is let through behind a cut.
                if here.cut.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&host) else {
                    continue;
                };
                for (from, to, kept) in [
                    (&client, &server, None),
                    (&server, &client, Some(Arc::clone(&here))),
                ] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || pass(from, to, kept.as_deref()));
                }
                ends.extend([client, server]);
            }
        });
        Self { url, shared }
    }

    /// Breaks all connections, and lets none through until [`Way::mend`].
    pub(crate) fn cut(&self) {
        let mut ends = self.shared.ends.lock().unwrap();
        self.shared.cut.store(true, Ordering::SeqCst);
        for end in ends.drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn mend(&self) {
        self.shared.cut.store(false, Ordering::SeqCst);
    }

    /// All that went to clients up to now.
    pub(crate) fn passed(&self) -> String {
        String::from_utf8_lossy(&self.shared.passed.lock().unwrap()).into_owned()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, kept: Option<&Shared>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
        if let Some(shared) = kept {
            shared
                .passed
                .lock()
                .unwrap()
                .extend_from_slice(&buffer[..length]);
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
