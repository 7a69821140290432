//! Several nodes, a network between them, and one clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lampwire_conf::{MapSource, Severity, load};
use lampwire_core::{Event, Node, Now, Setup, Time, TransportId, WallTime};
use lampwire_sip::EntityId;

use crate::network::{Network, Packet};
use crate::random::Dice;

/// The calendar at the clock's zero: 2026-01-01.
const WALL_AT_ZERO: u64 = 1_767_225_600_000;

/// A node of the fleet.
#[derive(Debug)]
pub struct Member {
    /// The node itself; `None` while it is down.
    pub node: Option<Node>,
    /// Since when it is down.
    pub down_since: Option<Time>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its own entity id.
    pub entity_id: EntityId,
    config: String,
    lives: u8,
}

/// A fleet of nodes.
#[derive(Debug)]
pub struct Fleet {
    /// The nodes, by index.
    pub members: Vec<Member>,
    /// What lies between them.
    pub network: Network,
    now: Time,
    seed: u64,
}

impl Fleet {
    /// Nodes with these configurations, all down, at 127.0.1.1 and following.
    pub fn new(seed: u64, configs: Vec<String>) -> Self {
        let members = (1..)
            .zip(configs)
            .map(|(number, config)| Member {
                node: None,
                down_since: Some(Time::default()),
                address: address_of(number),
                entity_id: entity_id_of(number),
                config,
                lives: 0,
            })
            .collect();
        Self {
            members,
            network: Network::new(Dice::new(seed)),
            now: Time::default(),
            seed,
        }
    }

    /// What the clocks show.
    pub fn now(&self) -> Now {
        let wall = WallTime::from_millis(WALL_AT_ZERO + self.now.as_micros() / 1000);
        Now { at: self.now, wall }
    }

    /// Starts a node that is down, with nothing but its configuration.
    ///
    /// # Panics
    /// Where the scenario's configuration has errors: that is a fault of the scenario.
    pub fn start(&mut self, index: usize) {
        let now = self.now();
        let member = &mut self.members[index];
        let mut source = MapSource::new([("node.conf", member.config.as_str())]);
        let (config, diagnostics) = load("node.conf", &mut source);
        let errors: Vec<_> = diagnostics
            .iter()
            .filter(|it| it.severity == Severity::Error)
            .collect();
        assert!(
            errors.is_empty(),
            "the scenario's configuration is wrong: {errors:?}"
        );
        member.lives += 1;
        let mut seed = [member.lives; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8] = u8::try_from(index).unwrap_or(u8::MAX);
        let setup = Setup {
            config: Arc::new(config),
            entity_id: member.entity_id,
            seed,
        };
        let mut node = Node::new(now, setup);
        node.watch(true);
        node.start(now, &[(TransportId(0), member.address)]);
        member.node = Some(node);
        member.down_since = None;
    }

    /// Kills a node: it says nothing more, and forgets everything.
    pub fn kill(&mut self, index: usize) {
        let member = &mut self.members[index];
        if member.node.take().is_some() {
            member.down_since = Some(self.now);
        }
    }

    /// Lets a node do something, if it is up.
    pub fn act(&mut self, index: usize, act: impl FnOnce(&mut Node, Now)) {
        let now = self.now();
        if let Some(node) = &mut self.members[index].node {
            act(node, now);
        }
    }

    /// Lets time pass until `until`, and tells `on_event` of each event with the index of its node.
    pub fn run_until(&mut self, until: Time, on_event: &mut impl FnMut(usize, &Event)) {
        loop {
            self.drain(on_event);
            let timers = self
                .members
                .iter()
                .filter_map(|it| it.node.as_ref()?.poll_timeout());
            let next = timers.chain(self.network.next_arrival()).min();
            match next {
                Some(next) if next <= until => self.now = self.now.max(next),
                Some(_) | None => {
                    self.now = until;
                    return;
                }
            }
            while let Some(packet) = self.network.arrive(self.now) {
                self.deliver(&packet);
                self.drain(on_event);
            }
            let now = self.now();
            for index in 0..self.members.len() {
                let node = self.members[index].node.as_mut();
                if let Some(node) = node
                    && node.poll_timeout().is_some_and(|at| at <= now.at)
                {
                    node.handle_timeout(now);
                    self.drain(on_event);
                }
            }
        }
    }

    /// Lets `duration` pass.
    pub fn run_for(&mut self, duration: Duration, on_event: &mut impl FnMut(usize, &Event)) {
        self.run_until(self.now + duration, on_event);
    }

    fn deliver(&mut self, packet: &Packet) {
        let now = self.now();
        let receiver = self
            .members
            .iter_mut()
            .find(|member| member.address == packet.to);
        if let Some(node) = receiver.and_then(|member| member.node.as_mut()) {
            node.handle_datagram(now, TransportId(0), packet.from, &packet.bytes);
        }
    }

    fn drain(&mut self, on_event: &mut impl FnMut(usize, &Event)) {
        let Self {
            members,
            network,
            now,
            ..
        } = self;
        for (index, member) in members.iter_mut().enumerate() {
            let Some(node) = &mut member.node else {
                continue;
            };
            while let Some(transmit) = node.poll_transmit() {
                let packet = Packet {
                    from: member.address,
                    to: transmit.remote,
                    bytes: transmit.bytes.to_vec(),
                };
                network.send(*now, packet);
            }
            while let Some(event) = node.poll_event() {
                on_event(index, &event);
            }
        }
    }
}

/// Where the node of this number (from 1) listens.
pub fn address_of(number: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 1, number], 5060))
}

/// The entity id of the node of this number (from 1).
pub fn entity_id_of(number: u8) -> EntityId {
    format!("02:00:00:00:00:{number:02x}")
        .parse()
        .expect("six bytes in hexadecimal")
}
