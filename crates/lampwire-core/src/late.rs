//! Answers that wait: an endpoint that asks faster than its `@request_rate` is slowed by hearing later, and nothing is refused, since what a
//! stock Asterisk is refused it never says again. It has one request on its way at a time, so it comes no faster than it is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lampwire_conf::Config;

use crate::io::FlowId;
use crate::io::TransportId;
use crate::limits;
use crate::time::Time;
use crate::transaction::server::TransactionKey;

/// An answer and where it goes.
#[derive(Debug)]
pub(crate) struct Late {
    pub(crate) transport: TransportId,
    pub(crate) remote: std::net::SocketAddr,
    pub(crate) flow: Option<FlowId>,
    pub(crate) answer: Vec<u8>,
    endpoint: usize,
    key: Option<TransactionKey>,
}

/// When an answer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    Now,
    At(Time),
}

/// All answers that wait, and how far each endpoint is ahead of its rate.
#[derive(Debug)]
pub(crate) struct LateAnswers {
    endpoints: Vec<Pace>,
    waiting: BTreeMap<(Time, u64), Late>,
    keys: BTreeSet<TransactionKey>,
    next: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// The time of one request; zero: no rate.
    cost: Duration,
    /// The moment from which it is within its rate again.
    even_at: Time,
    waiting: usize,
}

impl Pace {
    fn of(endpoint: &lampwire_conf::Endpoint) -> Self {
        let cost = match endpoint.request_rate {
            0 => Duration::ZERO,
            rate => Duration::from_secs(1) / rate,
        };
        Self {
            cost,
            ..Self::default()
        }
    }
}

impl LateAnswers {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            endpoints: config.endpoints.iter().map(Pace::of).collect(),
            waiting: BTreeMap::new(),
            keys: BTreeSet::new(),
            next: 0,
        }
    }

    /// Endpoints have other places and rates. Answers to those that are no more are not sent.
    pub(crate) fn renew(&mut self, config: &Config, place: impl Fn(usize) -> Option<usize>) {
        let before = std::mem::take(&mut self.endpoints);
        self.endpoints = config.endpoints.iter().map(Pace::of).collect();
        for (index, pace) in before.into_iter().enumerate() {
            if let Some(at) = place(index) {
                let cost = self.endpoints[at].cost;
                self.endpoints[at] = Pace { cost, ..pace };
            }
        }
        let keys = &mut self.keys;
        self.waiting.retain(|_, late| match place(late.endpoint) {
            Some(at) => {
                late.endpoint = at;
                true
            }
            None => {
                if let Some(key) = &late.key {
                    keys.remove(key);
                }
                false
            }
        });
    }

    /// Whether an endpoint has so many answers waiting that what it asks now is not looked at: it does not wait for answers at all.
    pub(crate) fn is_full(&self, endpoint: usize) -> bool {
        self.endpoints[endpoint].waiting >= limits::LATE_ANSWERS
    }

    /// Whether the answer to this request waits already.
    pub(crate) fn is_waiting(&self, key: Option<TransactionKey>) -> bool {
        key.is_some_and(|key| self.keys.contains(&key))
    }

    /// A request of an endpoint has been decided: when its answer is to leave. What comes in a burst of a tenth of a second's is answered at
    /// once.
    pub(crate) fn charge(&mut self, now: Time, endpoint: usize) -> Leave {
        let pace = &mut self.endpoints[endpoint];
        if pace.cost.is_zero() {
            return Leave::Now;
        }
        pace.even_at = pace.even_at.max(now) + pace.cost;
        let ahead = pace.even_at.since(now);
        let burst = pace.cost.max(limits::REQUEST_BURST);
        match ahead.checked_sub(burst) {
            Some(wait) if !wait.is_zero() => Leave::At(now + wait),
            Some(_) | None => Leave::Now,
        }
    }

    /// Keeps an answer until `at`.
    #[allow(clippy::too_many_arguments)] // what an answer is made of
    pub(crate) fn keep(
        &mut self,
        at: Time,
        endpoint: usize,
        key: Option<TransactionKey>,
        transport: TransportId,
        remote: std::net::SocketAddr,
        flow: Option<FlowId>,
        answer: Vec<u8>,
    ) {
        self.endpoints[endpoint].waiting += 1;
        self.keys.extend(key);
        self.next += 1;
        let late = Late {
            transport,
            remote,
            flow,
            answer,
            endpoint,
            key,
        };
        self.waiting.insert((at, self.next), late);
    }

    /// The next answer whose time has come.
    pub(crate) fn pop(&mut self, now: Time) -> Option<Late> {
        let entry = self.waiting.first_entry().filter(|it| it.key().0 <= now)?;
        let late = entry.remove();
        self.endpoints[late.endpoint].waiting -= 1;
        if let Some(key) = &late.key {
            self.keys.remove(key);
        }
        Some(late)
    }

    /// When the next answer leaves.
    pub(crate) fn next(&self) -> Option<Time> {
        self.waiting.keys().next().map(|(at, _)| *at)
    }
}
