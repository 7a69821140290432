//! A network that loses, delays, reorders and doubles datagrams, and can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use lampwire_core::Time;

use crate::random::Dice;

/// What happens to datagrams on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// Datagrams lost, in per cent.
    pub loss: usize,
    /// Datagrams that arrive twice, in per cent.
    pub duplication: usize,
    /// The time each takes at least.
    pub delay: Duration,
    /// The time that some take longer; beyond the pace of sending it reorders.
    pub jitter: Duration,
}

impl Conditions {
    /// A wire without faults: a millisecond each way.
    pub const CALM: Self = Self {
        loss: 0,
        duplication: 0,
        delay: Duration::from_millis(1),
        jitter: Duration::ZERO,
    };
}

/// A datagram on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Who sent it.
    pub from: SocketAddr,
    /// Whom it is for.
    pub to: SocketAddr,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// All datagrams on their way, and the state of the wires.
#[derive(Debug)]
pub struct Network {
    conditions: Conditions,
    /// Directions that are cut: what is sent in them is lost.
    cut: BTreeSet<(SocketAddr, SocketAddr)>,
    on_the_way: BTreeMap<(Time, u64), Packet>,
    sent: u64,
    numbered: u64,
    dice: Dice,
}

impl Network {
    /// An empty network with its own dice.
    pub const fn new(dice: Dice) -> Self {
        Self {
            conditions: Conditions::CALM,
            cut: BTreeSet::new(),
            on_the_way: BTreeMap::new(),
            sent: 0,
            numbered: 0,
            dice,
        }
    }

    /// From now on datagrams meet these conditions.
    pub const fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// Nothing gets from `from` to `to` any more.
    pub fn cut(&mut self, from: SocketAddr, to: SocketAddr) {
        self.cut.insert((from, to));
    }

    /// All wires are whole again.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// A datagram leaves.
    pub fn send(&mut self, now: Time, packet: Packet) {
        self.sent += 1;
        if self.cut.contains(&(packet.from, packet.to)) || self.dice.chance(self.conditions.loss) {
            return;
        }
        if self.dice.chance(self.conditions.duplication) {
            self.put_on_the_way(now, packet.clone());
        }
        self.put_on_the_way(now, packet);
    }

    /// When the next datagram arrives.
    pub fn next_arrival(&self) -> Option<Time> {
        self.on_the_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next datagram that has arrived at `now`.
    pub fn arrive(&mut self, now: Time) -> Option<Packet> {
        if self.next_arrival()? > now {
            return None;
        }
        self.on_the_way.pop_first().map(|(_, packet)| packet)
    }

    /// Datagrams sent so far, lost ones too.
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    fn put_on_the_way(&mut self, now: Time, packet: Packet) {
        let arrival = now + self.conditions.delay + self.dice.time_below(self.conditions.jitter);
        // The running number keeps the order of those that arrive at the same moment.
        self.numbered += 1;
        self.on_the_way.insert((arrival, self.numbered), packet);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(number: u8) -> Packet {
        let address = "127.0.0.1:5060".parse().expect("an address");
        Packet {
            from: address,
            to: address,
            bytes: vec![number],
        }
    }

    #[test]
    fn a_calm_wire_delivers_all_after_its_delay() {
        let mut network = Network::new(Dice::new(1));
        for number in 0..10 {
            network.send(Time::from_micros(0), packet(number));
        }
        assert!(network.arrive(Time::from_micros(999)).is_none());
        let arrived: Vec<_> =
            std::iter::from_fn(|| network.arrive(Time::from_micros(1000))).collect();
        assert_eq!(arrived.len(), 10);
    }

    #[test]
    fn a_cut_wire_delivers_nothing_until_it_is_healed() {
        let mut network = Network::new(Dice::new(1));
        let address = packet(0).from;
        network.cut(address, address);
        network.send(Time::from_micros(0), packet(0));
        assert_eq!(network.next_arrival(), None);
        network.heal();
        network.send(Time::from_micros(0), packet(1));
        assert!(network.next_arrival().is_some());
    }
}
