//! A DNS server for one test: a zone on loopback whose records can be changed while it runs.
//!
//! The unit tests of the resolver have it too.

#![allow(dead_code, reason = "each of its users needs another part")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// The TTL of every server's records: the least that a node believes in.
const TTL: u32 = 5;

/// For how long it says that "no such name" may be believed.
pub(crate) const NEGATIVE_TTL: u32 = 7;

/// A server of a service: priority, weight, host and its address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) host: &'static str,
    pub(crate) address: Ipv4Addr,
}

/// How it answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// From its records.
    Answer,
    /// Always by this code.
    Fail(ResponseCode),
    /// Not at all.
    Silence,
}

/// A zone that is served as long as it lives.
pub(crate) struct Zone {
    pub(crate) address: SocketAddr,
    content: Arc<Mutex<Content>>,
    _alive: Arc<()>,
}

#[derive(Debug)]
struct Content {
    records: Vec<Record>,
    manner: Manner,
}

/// A record of the zone.
pub(crate) fn record(name: &str, ttl: u32, data: RData) -> Record {
    Record::from_rdata(absolute(name), ttl, data)
}

/// A name with its dot at the end.
pub(crate) fn absolute(name: &str) -> Name {
    Name::from_ascii(format!("{name}.")).unwrap()
}

/// The records of a service, an SRV name: these servers, all at port 5060.
pub(crate) fn service(name: &str, servers: &[Server]) -> Vec<Record> {
    let records = servers.iter().flat_map(|server| {
        let srv = SRV::new(server.priority, server.weight, 5060, absolute(server.host));
        [
            record(name, TTL, RData::SRV(srv)),
            record(server.host, TTL, RData::A(A(server.address))),
        ]
    });
    records.collect()
}

impl Zone {
    /// Serves these records.
    pub(crate) fn new(records: Vec<Record>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let content = Arc::new(Mutex::new(Content {
            records,
            manner: Manner::Answer,
        }));
        let alive = Arc::new(());
        let zone = Self {
            address: socket.local_addr().unwrap(),
            content: Arc::clone(&content),
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
                let Ok(question) = Message::from_vec(&buffer[..length]) else {
                    continue;
                };
                let answer = answer(&question, &content.lock().unwrap());
                if let Some(answer) = answer {
                    let _ = socket.send_to(&answer.to_vec().unwrap(), from);
                }
            }
        });
        zone
    }

    /// From now on it has these records.
    pub(crate) fn change(&self, records: Vec<Record>) {
        self.content.lock().unwrap().records = records;
    }

    /// From now on it answers in this manner.
    pub(crate) fn behave(&self, manner: Manner) {
        self.content.lock().unwrap().manner = manner;
    }
}

fn answer(question: &Message, content: &Content) -> Option<Message> {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_available = true;
    answer.add_queries(question.queries.iter().cloned());
    match content.manner {
        Manner::Silence => return None,
        Manner::Fail(code) => {
            answer.metadata.response_code = code;
            return Some(answer);
        }
        Manner::Answer => (),
    }
    let mut known = false;
    for query in &question.queries {
        for record in &content.records {
            if record.name == *query.name() {
                known = true;
                let kind = record.record_type();
                // An alias is the answer to every question.
                if kind == query.query_type() || kind == RecordType::CNAME {
                    answer.add_answer(record.clone());
                }
            }
        }
    }
    if answer.answers.is_empty() {
        let origin = absolute("test");
        let soa = SOA::new(origin.clone(), origin, 1, 60, 60, 60, NEGATIVE_TTL);
        answer.add_authority(record("test", NEGATIVE_TTL, RData::SOA(soa)));
        if !known {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
    }
    Some(answer)
}
