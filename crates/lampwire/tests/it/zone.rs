//! A DNS server for one test: a zone on loopback whose records can be changed while it runs.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// The TTL of every record: the least that a node believes in.
const TTL: u32 = 5;

/// A server of a service: priority, weight, host and its address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) host: &'static str,
    pub(crate) address: Ipv4Addr,
}

/// A zone that is served as long as it lives.
pub(crate) struct Zone {
    pub(crate) address: SocketAddr,
    servers: Arc<Mutex<Vec<Server>>>,
    _alive: Arc<()>,
}

impl Zone {
    /// Serves `service`, an SRV name, by these servers, all at port 5060.
    pub(crate) fn new(service: &'static str, servers: &[Server]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let servers = Arc::new(Mutex::new(servers.to_vec()));
        let alive = Arc::new(());
        let zone = Self {
            address: socket.local_addr().unwrap(),
            servers: Arc::clone(&servers),
            _alive: Arc::clone(&alive),
        };
        let alive = {
            let weak = Arc::downgrade(&alive);
            drop(alive);
            weak
        };
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while alive.upgrade().is_some() {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                if let Ok(question) = Message::from_vec(&buffer[..length]) {
                    let answer = answer(&question, service, &servers.lock().unwrap());
                    let _ = socket.send_to(&answer.to_vec().unwrap(), from);
                }
            }
        });
        zone
    }

    /// From now on it has these servers.
    pub(crate) fn change(&self, servers: &[Server]) {
        *self.servers.lock().unwrap() = servers.to_vec();
    }
}

fn answer(question: &Message, service: &str, servers: &[Server]) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_available = true;
    let name = |text: &str| Name::from_ascii(format!("{text}.")).unwrap();
    let mut known = false;
    for query in &question.queries {
        answer.add_query(query.clone());
        if *query.name() == name(service) {
            known = true;
            if query.query_type() == RecordType::SRV {
                for server in servers {
                    let srv = SRV::new(server.priority, server.weight, 5060, name(server.host));
                    answer.add_answer(Record::from_rdata(
                        query.name().clone(),
                        TTL,
                        RData::SRV(srv),
                    ));
                }
            }
        }
        for server in servers.iter().filter(|it| *query.name() == name(it.host)) {
            known = true;
            if query.query_type() == RecordType::A {
                let a = RData::A(A(server.address));
                answer.add_answer(Record::from_rdata(query.name().clone(), TTL, a));
            }
        }
    }
    if !known {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    answer
}
