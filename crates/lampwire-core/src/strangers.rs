//! What those cost who have not proven who they are: each address has a bucket of answers, and when it is empty hears that there are too
//! many requests, or nothing at all.
//!
//! Who is identified, and proves it where proof is asked for, is never counted here, whatever else comes from the same address. But a stock
//! Asterisk asks for a challenge before each PUBLISH, and that can be anybody's. So an endpoint has a bucket of its own at each address where it
//! has proven itself, and one for the configured peers' addresses. Elsewhere it has none: whoever asks in a known name there must not be answered
//! more often than whoever does in one that nobody has, or he would know the one from the other.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use lampwire_conf::{Config, Global};

use crate::limits;
use crate::time::Time;

/// What a stranger's request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reception {
    /// The answer that belongs to it.
    Answer,
    /// 503: too many. It is for people who look for the reason.
    Busy,
    /// Nothing: even answers that say "too many" are too many.
    Silence,
    /// Not now: it may be an endpoint's own, which sends a copy where it can and would drop what it is refused.
    Later,
}

/// Whose request it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) source: IpAddr,
    /// The address is a configured peer's, which may have forgotten its password but is no scanner.
    pub(crate) of_peer: bool,
    /// The endpoint in whose name a challenge is asked for, if no more than that is wrong with the request.
    pub(crate) endpoint: Option<usize>,
}

/// The buckets.
#[derive(Debug)]
pub(crate) struct Strangers {
    /// What one request costs; zero: nothing is counted.
    cost: Duration,
    prune_interval: Duration,
    /// By network.
    sources: BTreeMap<IpAddr, Bucket>,
    /// Configured peers' addresses, one by one.
    at_peers: BTreeMap<IpAddr, Bucket>,
    endpoints: Vec<Endpoint>,
    /// For all addresses for which there was no room.
    others: Bucket,
    /// For the answers that say that there are too many, to all.
    busy: Bucket,
}

/// The challenges that are asked for in an endpoint's name.
#[derive(Clone, Debug, Default)]
struct Endpoint {
    /// The addresses at which it has proven itself, the latest first.
    homes: Vec<(IpAddr, Bucket)>,
    /// At configured peers' addresses where it has not done so yet.
    at_peers: Bucket,
    /// The network in which a challenge was last refused in its name, and it has no bucket of its own.
    refused_at: Option<IpAddr>,
}

/// A bucket as the moment at which it will be full again: each request puts that off by its cost.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_at: Time,
}

impl Bucket {
    /// Takes one request out, if there is one in it.
    fn take(&mut self, now: Time, cost: Duration, burst: u32) -> bool {
        let full_at = self.full_at.max(now) + cost;
        if full_at.since(now) > cost.saturating_mul(burst) {
            return false;
        }
        self.full_at = full_at;
        true
    }

    fn give_back(&mut self, cost: Duration) {
        let micros = u64::try_from(cost.as_micros()).unwrap_or(u64::MAX);
        self.full_at = Time::from_micros(self.full_at.as_micros().saturating_sub(micros));
    }
}

impl Strangers {
    pub(crate) fn new(config: &Config) -> Self {
        let global = &config.global;
        Self {
            cost: cost_of_one(global),
            prune_interval: global.unidentified_request_prune_interval,
            sources: BTreeMap::new(),
            at_peers: BTreeMap::new(),
            endpoints: vec![Endpoint::default(); config.endpoints.len()],
            others: Bucket::default(),
            busy: Bucket::default(),
        }
    }

    /// From now on as another configuration says; endpoints have other places.
    pub(crate) fn renew(&mut self, config: &Config, place: impl Fn(usize) -> Option<usize>) {
        self.cost = cost_of_one(&config.global);
        self.prune_interval = config.global.unidentified_request_prune_interval;
        let before = std::mem::take(&mut self.endpoints);
        self.endpoints = vec![Endpoint::default(); config.endpoints.len()];
        for (index, endpoint) in before.into_iter().enumerate() {
            if let Some(at) = place(index) {
                self.endpoints[at] = endpoint;
            }
        }
    }

    /// A request that is nobody's, or not proven to be anybody's, has come.
    pub(crate) fn receive(&mut self, now: Time, caller: Caller) -> Reception {
        if self.cost.is_zero() {
            return Reception::Answer;
        }
        let cost = self.cost_for(caller.of_peer);
        if let Some(own) = self.own_bucket(caller) {
            let cost = cost.min(limits::STRANGERS_AT_A_PEERS_COST);
            return match own.take(now, cost, limits::STRANGER_BURST) {
                true => Reception::Answer,
                false => Reception::Later,
            };
        }
        let source = counted_as(caller.source, caller.of_peer);
        let sources = match caller.of_peer {
            true => &mut self.at_peers,
            false => &mut self.sources,
        };
        let full = sources.len() >= limits::STRANGERS;
        let taken = if full && !sources.contains_key(&source) {
            let cost = limits::STRANGERS_OTHERS_COST;
            self.others.take(now, cost, limits::STRANGER_BURST)
        } else {
            let bucket = sources.entry(source).or_default();
            bucket.take(now, cost, limits::STRANGER_BURST)
        };
        if taken {
            return Reception::Answer;
        }
        if let Some(endpoint) = caller.endpoint {
            self.endpoints[endpoint].refused_at = Some(source);
        }
        let told = self
            .busy
            .take(now, limits::STRANGERS_BUSY_COST, limits::STRANGER_BURST);
        if told {
            Reception::Busy
        } else {
            Reception::Silence
        }
    }

    /// An endpoint has proven itself at this address: the challenge that went before was none to a stranger. True if some were refused
    /// that it may have asked for.
    pub(crate) fn proven(&mut self, endpoint: usize, source: IpAddr, of_peer: bool) -> bool {
        let cost = self.cost_for(of_peer);
        let caller = Caller {
            source,
            of_peer,
            endpoint: Some(endpoint),
        };
        if let Some(own) = self.own_bucket(caller) {
            own.give_back(cost.min(limits::STRANGERS_AT_A_PEERS_COST));
        } else if let Some(bucket) = self.sources.get_mut(&network_of(source)) {
            bucket.give_back(cost);
        }
        self.know(endpoint, source);
        let refused_at = &mut self.endpoints[endpoint].refused_at;
        refused_at.take_if(|at| *at == network_of(source)).is_some()
    }

    /// An endpoint has proven itself at this address, at some time.
    pub(crate) fn know(&mut self, endpoint: usize, source: IpAddr) {
        let (homes, source) = (&mut self.endpoints[endpoint].homes, source.to_canonical());
        let bucket = match homes.iter().position(|(home, _)| *home == source) {
            Some(0) => return,
            Some(place) => homes.remove(place).1,
            None => Bucket::default(),
        };
        homes.truncate(limits::HOMES_OF_AN_ENDPOINT - 1);
        homes.insert(0, (source, bucket));
    }

    /// The bucket that only requests in one endpoint's name are taken from.
    fn own_bucket(&mut self, caller: Caller) -> Option<&mut Bucket> {
        let endpoint = &mut self.endpoints[caller.endpoint?];
        let source = caller.source.to_canonical();
        let mut homes = endpoint.homes.iter_mut();
        match homes.find(|(home, _)| *home == source) {
            Some((_, bucket)) => Some(bucket),
            None => caller.of_peer.then_some(&mut endpoint.at_peers),
        }
    }

    /// Forgets addresses whose buckets are full again. When to do that next, if there is more to forget.
    pub(crate) fn prune(&mut self, now: Time) -> Option<Time> {
        self.sources.retain(|_, bucket| bucket.full_at > now);
        self.at_peers.retain(|_, bucket| bucket.full_at > now);
        self.next_prune(now)
    }

    /// When addresses are to be forgotten next, if there are any.
    pub(crate) fn next_prune(&self, now: Time) -> Option<Time> {
        let none = self.sources.is_empty() && self.at_peers.is_empty();
        (!none).then(|| now + self.prune_interval)
    }

    /// For how long the bucket of an address that asks once more stays empty, in seconds: what Retry-After says.
    pub(crate) fn retry_after(&self) -> u32 {
        u32::try_from(self.cost.as_secs())
            .unwrap_or(u32::MAX)
            .max(1)
    }

    fn cost_for(&self, of_peer: bool) -> Duration {
        if of_peer {
            self.cost.min(limits::STRANGERS_AT_A_PEERS_COST)
        } else {
            self.cost
        }
    }
}

fn cost_of_one(global: &Global) -> Duration {
    match global.unidentified_request_count {
        0 => Duration::ZERO,
        count => global.unidentified_request_period / count,
    }
}

/// By what a stranger is counted: a configured peer's address by itself, any other by its network.
pub(crate) fn counted_as(source: IpAddr, of_peer: bool) -> IpAddr {
    match of_peer {
        true => source.to_canonical(),
        false => network_of(source),
    }
}

/// Who counts as one: an IPv4 address, or an IPv6 network of 64 bits, which is the least that anybody gets.
pub fn network_of(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn at(seconds: u64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    fn config(global: Global) -> Config {
        let text = "[a]\ntype=endpoint\n";
        let (config, _) = lampwire_conf::load(
            "a.conf",
            &mut lampwire_conf::MapSource::new([("a.conf", text)]),
        );
        Config { global, ..config }
    }

    fn stranger(source: IpAddr) -> Caller {
        Caller {
            source,
            of_peer: false,
            endpoint: None,
        }
    }

    fn count(strangers: &mut Strangers, now: Time, source: IpAddr, times: u32) -> [u32; 3] {
        let mut counts = [0; 3];
        for _ in 0..times {
            counts[strangers.receive(now, stranger(source)) as usize] += 1;
        }
        counts
    }

    #[test]
    fn a_burst_is_answered_then_told_to_wait_then_nothing() {
        let mut strangers = Strangers::new(&config(Global::default()));
        let burst = limits::STRANGER_BURST;
        assert_eq!(
            count(&mut strangers, at(1), SOURCE, 10_000),
            [burst, burst, 10_000 - 2 * burst]
        );
        // One a second after that, by the defaults of Asterisk (5 in 5 s).
        let [answered, busy, _] = count(&mut strangers, at(11), SOURCE, 10_000);
        assert_eq!((answered, busy), (10, burst));
        let other: IpAddr = "192.0.2.2".parse().expect("an address");
        assert_eq!(count(&mut strangers, at(11), other, 1), [1, 0, 0]);
    }

    #[test]
    fn whoever_proves_himself_has_cost_nothing() {
        let mut strangers = Strangers::new(&config(Global::default()));
        for _ in 0..10_000 {
            let caller = Caller {
                endpoint: Some(0),
                ..stranger(SOURCE)
            };
            assert_eq!(strangers.receive(at(1), caller), Reception::Answer);
            assert!(!strangers.proven(0, SOURCE, false));
        }
    }

    #[test]
    fn an_endpoint_has_a_bounded_number_of_homes() {
        let mut strangers = Strangers::new(&config(Global::default()));
        for number in 0..100 {
            strangers.know(0, IpAddr::from([192, 0, 2, number]));
            strangers.know(0, SOURCE);
        }
        let homes = &strangers.endpoints[0].homes;
        assert_eq!(homes.len(), limits::HOMES_OF_AN_ENDPOINT);
        assert_eq!(homes[0].0, SOURCE);
    }

    #[test]
    fn addresses_are_forgotten_when_their_buckets_are_full() {
        let mut strangers = Strangers::new(&config(Global::default()));
        assert_eq!(strangers.next_prune(at(1)), None);
        count(&mut strangers, at(1), SOURCE, 3);
        assert_eq!(strangers.prune(at(2)), Some(at(32)));
        assert_eq!(strangers.prune(at(5)), None);
        assert!(strangers.sources.is_empty());
    }

    #[test]
    fn a_flood_from_everywhere_fills_a_bounded_table() {
        let mut strangers = Strangers::new(&config(Global::default()));
        let mut answered = 0;
        for number in 0..100_000u32 {
            let source = IpAddr::from(number.to_be_bytes());
            answered += u32::from(strangers.receive(at(1), stranger(source)) == Reception::Answer);
        }
        assert_eq!(strangers.sources.len(), limits::STRANGERS);
        assert_eq!(answered, 16_384 + limits::STRANGER_BURST);
    }

    #[test]
    fn a_network_of_64_bits_is_one_stranger() {
        let one: IpAddr = "2001:db8::1".parse().expect("an address");
        let two: IpAddr = "2001:db8::ffff:2".parse().expect("an address");
        let other: IpAddr = "2001:db8:0:1::1".parse().expect("an address");
        assert_eq!(network_of(one), network_of(two));
        assert_ne!(network_of(one), network_of(other));
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().expect("an address");
        assert_eq!(network_of(mapped), SOURCE);
    }

    #[test]
    fn no_count_is_no_bound() {
        let global = Global {
            unidentified_request_count: 0,
            ..Global::default()
        };
        let mut strangers = Strangers::new(&config(global));
        assert_eq!(count(&mut strangers, at(1), SOURCE, 10_000), [10_000, 0, 0]);
        assert!(strangers.sources.is_empty());
    }
}
