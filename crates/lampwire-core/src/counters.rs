//! What the node counts. Plain numbers that only rise; the program turns them into metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use lampwire_sip::{EventPackage, Method};

/// Everything that is counted.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Datagrams handed to the node.
    pub datagrams_received: u64,
    /// Messages that came by connections.
    pub stream_messages_received: u64,
    /// Connections that were closed at once, being too many.
    pub connections_refused: u64,
    /// Datagrams that are no SIP message, or none that can be answered.
    pub unparsable: u64,
    /// Requests, ACK included.
    pub requests_received: u64,
    /// Requests that were answered as before, since they had come before.
    pub retransmissions: u64,
    /// PUBLISH requests that were granted.
    pub accepted: u64,
    /// Requests by what was answered to whom.
    pub answered: BTreeMap<Answered, u64>,
    /// Refusals by their code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Requests of strangers that were not answered at all, being too many.
    pub unanswered: u64,
    /// Unproven requests of unknown addresses that were not answered because names of the configuration had not been answered yet.
    pub awaiting_names: u64,
    /// Answers that were held back because their endpoint asks faster than its `@request_rate`.
    pub late: u64,
    /// Requests that were not looked at because too many answers to their endpoint wait.
    pub overtaken: u64,
    /// Times that a peer was asked for all its states because we had refused some.
    pub asked_for_missed: u64,
    /// Answers to requests of ours.
    pub responses_received: u64,
    /// Answers to nothing that we asked.
    pub stray_responses: u64,
    /// States taken in that said something new.
    pub changes_received: u64,
    /// States taken in that said nothing new.
    pub repeats_received: u64,
    /// States that an asterisk-publication does not want: granted and dropped.
    pub filtered: u64,
    /// States under our own entity id from somebody else: granted and dropped.
    pub own_entity_id_received: u64,
    /// What was found wrong about entity ids, by its code.
    pub findings: BTreeMap<&'static str, u64>,
    /// Requests for everything that peers sent.
    pub refreshes_received: u64,
    /// Relayed states that are no newer than what is known: the other copies of what goes round a circle of hubs.
    pub stale: u64,
    /// Relayed states that are known to be gone, so that whoever told them was told so.
    pub gone: u64,
    /// Relayed states that this node itself had stamped.
    pub echoes: u64,
    /// Entity ids that were lost.
    pub losses: u64,
    /// Entity ids that came back after they were lost.
    pub returns: u64,
    /// States of devices that were taken back from others because their node, or the hub that told of it, was lost.
    pub retracted_lost: u64,
    /// Devices that a reload took back: here, and from each peer that is not to hear of them any more.
    pub retracted_by_reload: u64,
    /// Devices taken back because their node no longer has them.
    pub swept: u64,
    /// States that were set here for a time and not renewed.
    pub expired: u64,
    /// Publications that ran out.
    pub publications_expired: u64,
}

/// What answers are counted by: few of each, whatever comes from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answered {
    /// Whose request it was, by its place in the configuration; `None`: nobody's that we know, or a copy that was answered as before.
    pub endpoint: Option<usize>,
    /// `PUBLISH`, `OPTIONS` or `other`.
    pub method: &'static str,
    /// `asterisk-devicestate`, `asterisk-mwi`, `other`, or nothing.
    pub event: &'static str,
    /// The answer's status.
    pub status: u16,
}

impl Answered {
    pub(crate) fn new(
        endpoint: Option<usize>,
        method: Method<'_>,
        event: Option<&str>,
        status: u16,
    ) -> Self {
        Self {
            endpoint,
            method: match method {
                Method::Publish => "PUBLISH",
                Method::Options => "OPTIONS",
                _ => "other",
            },
            event: match event {
                None => "",
                Some(event) if event == EventPackage::DeviceState.as_str() => {
                    EventPackage::DeviceState.as_str()
                }
                Some(event) if event == EventPackage::Mwi.as_str() => EventPackage::Mwi.as_str(),
                Some(_) => "other",
            },
            status,
        }
    }
}

impl Counters {
    /// Endpoints have other places. Answers to those that are no more are counted no more.
    pub(crate) fn renew(&mut self, place: impl Fn(usize) -> Option<usize>) {
        let answered = std::mem::take(&mut self.answered);
        let moved = answered.into_iter().filter_map(|(answered, count)| {
            let endpoint = match answered.endpoint {
                None => None,
                Some(endpoint) => Some(place(endpoint)?),
            };
            Some((
                Answered {
                    endpoint,
                    ..answered
                },
                count,
            ))
        });
        self.answered = moved.collect();
    }
}

/// How often something took how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many took at most as long as each of [`Histogram::BOUNDS`], and more than the bound before.
    pub counts: [u64; Self::BOUNDS.len()],
    /// How many there were, longer ones too.
    pub total: u64,
    /// All times together.
    pub sum: Duration,
}

impl Histogram {
    /// From the fastest loopback to two copies of a lost request.
    pub const BOUNDS: [Duration; 12] = [
        Duration::from_micros(500),
        Duration::from_millis(1),
        Duration::from_micros(2500),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(25),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(250),
        Duration::from_millis(500),
        Duration::from_secs(1),
        Duration::from_secs(4),
    ];

    /// It took so long.
    pub(crate) fn observe(&mut self, time: Duration) {
        let bound = Self::BOUNDS.iter().position(|&bound| time <= bound);
        if let Some(bound) = bound {
            self.counts[bound] += 1;
        }
        self.total += 1;
        self.sum += time;
    }
}
