//! A member of a fleet: what it runs, and what hinders it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lampwire_conf::Config;
use lampwire_core::{BusCommand, Event, Node, Now, Setup, Time, TransportId, WallTime};
use lampwire_sip::EntityId;

use crate::asterisk::{self, StockAsterisk};
use crate::hostile::{self, Hostile};
use crate::random::Dice;

/// Datagrams that wait for a slow member at most, as in a socket's buffer; more are lost.
const SOCKET_BUFFER: usize = 64;

/// The calendar at the clock's zero: 2026-01-01.
const WALL_AT_ZERO: i64 = 1_767_225_600_000;

/// What a member is to run.
#[derive(Clone, Debug)]
pub enum Role {
    /// A Lampwire node with this configuration.
    Lampwire(Arc<Config>),
    /// A stock Asterisk.
    Stock(asterisk::Settings),
    /// A peer that answers and asks at random.
    Hostile(hostile::Settings),
}

/// What a member runs while it is up.
#[derive(Debug)]
pub enum Actor {
    /// The real node.
    Lampwire(Box<Node>),
    /// The model of a stock Asterisk.
    Stock(Box<StockAsterisk>),
    /// A peer that answers and asks at random.
    Hostile(Box<Hostile>),
}

/// What hinders a member. By default nothing does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handicap {
    /// How far its calendar is ahead (or behind), in milliseconds. Its monotonic clock goes right.
    pub wall_ms: i64,
    /// The time it takes for each datagram; those that come meanwhile wait in its socket's buffer.
    pub service: Duration,
    /// How late its timers come.
    pub timer_lag: Duration,
}

/// A place in the fleet.
#[derive(Debug)]
pub struct Member {
    /// What runs there; `None` while it is down.
    pub actor: Option<Actor>,
    /// Since when it is down.
    pub down_since: Option<Time>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its own entity id.
    pub entity_id: EntityId,
    /// What hinders it.
    pub handicap: Handicap,
    /// When it is woken next: kept by the fleet, which holds the same in its order of wake-ups.
    pub(crate) wakes_at: Option<Time>,
    role: Role,
    lives: u8,
    socket: VecDeque<(SocketAddr, Vec<u8>)>,
    busy_until: Time,
}

impl Member {
    pub(crate) fn new(role: Role, address: SocketAddr, entity_id: EntityId) -> Self {
        Self {
            actor: None,
            down_since: Some(Time::default()),
            address,
            entity_id,
            handicap: Handicap::default(),
            wakes_at: None,
            role,
            lives: 0,
            socket: VecDeque::new(),
            busy_until: Time::default(),
        }
    }

    /// The Lampwire node that runs here.
    pub fn node(&self) -> Option<&Node> {
        match &self.actor {
            Some(Actor::Lampwire(node)) => Some(node),
            Some(Actor::Stock(_) | Actor::Hostile(_)) | None => None,
        }
    }

    /// The stock Asterisk that runs here.
    pub fn stock(&self) -> Option<&StockAsterisk> {
        match &self.actor {
            Some(Actor::Stock(asterisk)) => Some(asterisk),
            Some(Actor::Lampwire(_) | Actor::Hostile(_)) | None => None,
        }
    }

    /// What its clocks show at `at`.
    pub fn now(&self, at: Time) -> Now {
        let millis = i64::try_from(at.as_micros() / 1000).unwrap_or(i64::MAX);
        let wall = WALL_AT_ZERO + millis + self.handicap.wall_ms;
        Now {
            at,
            wall: WallTime::from_millis(u64::try_from(wall).unwrap_or(0)),
        }
    }

    /// Starts with nothing but the configuration. `seed` is the fleet's.
    pub(crate) fn start(&mut self, at: Time, seed: u64) {
        let now = self.now(at);
        self.lives = self.lives.wrapping_add(1);
        let [.., number] = self.entity_id.as_bytes();
        let own = seed ^ u64::from_be_bytes([number, self.lives, 0, 0, 0, 0, 0, 0]);
        self.actor = Some(match &self.role {
            Role::Lampwire(config) => {
                let mut secret = [self.lives; 32];
                secret[..8].copy_from_slice(&seed.to_le_bytes());
                secret[8..14].copy_from_slice(&self.entity_id.as_bytes());
                let mut node = Node::new(
                    now,
                    Setup {
                        config: Arc::clone(config),
                        entity_id: self.entity_id,
                        seed: secret,
                        secret,
                    },
                );
                node.watch(true);
                node.start(now, &[(TransportId(0), self.address)]);
                Actor::Lampwire(Box::new(node))
            }
            Role::Stock(settings) => {
                let mut asterisk = StockAsterisk::new(settings.clone(), Dice::new(own));
                asterisk.start(at);
                Actor::Stock(Box::new(asterisk))
            }
            Role::Hostile(settings) => {
                let settings = settings.clone();
                Actor::Hostile(Box::new(Hostile::new(settings, Dice::new(own), at)))
            }
        });
        self.down_since = None;
    }

    /// It says nothing more, and forgets everything.
    pub(crate) fn kill(&mut self, at: Time) {
        if self.actor.take().is_some() {
            self.down_since = Some(at);
        }
        self.socket.clear();
    }

    /// A datagram has come to its socket.
    pub(crate) fn arrive(&mut self, at: Time, from: SocketAddr, bytes: Vec<u8>) {
        if self.actor.is_none() {
            return;
        }
        if self.handicap.service.is_zero() && self.socket.is_empty() {
            self.take_in(at, from, &bytes);
        } else if self.socket.len() < SOCKET_BUFFER {
            self.socket.push_back((from, bytes));
        }
    }

    /// When it has something to do of itself.
    pub(crate) fn next_wake(&self, at: Time) -> Option<Time> {
        let timer = match self.actor.as_ref()? {
            Actor::Lampwire(node) => node.poll_timeout(),
            Actor::Stock(asterisk) => asterisk.poll_timeout(),
            Actor::Hostile(hostile) => hostile.poll_timeout(),
        };
        let timer = timer.map(|timer| timer + self.handicap.timer_lag);
        let socket = (!self.socket.is_empty()).then_some(self.busy_until);
        timer.into_iter().chain(socket).min().map(|it| it.max(at))
    }

    /// Its time has come: for what waits in its socket, or for its timers.
    pub(crate) fn wake(&mut self, at: Time) {
        if self.busy_until <= at
            && let Some((from, bytes)) = self.socket.pop_front()
        {
            self.busy_until = at + self.handicap.service;
            self.take_in(at, from, &bytes);
        }
        let now = self.now(at);
        let lag = self.handicap.timer_lag;
        let is_due = |timer: Option<Time>| timer.is_some_and(|timer| timer + lag <= at);
        match &mut self.actor {
            Some(Actor::Lampwire(node)) if is_due(node.poll_timeout()) => node.handle_timeout(now),
            Some(Actor::Stock(asterisk)) if is_due(asterisk.poll_timeout()) => {
                asterisk.handle_timeout(at);
            }
            Some(Actor::Hostile(hostile)) if is_due(hostile.poll_timeout()) => {
                hostile.handle_timeout(at);
            }
            Some(Actor::Lampwire(_) | Actor::Stock(_) | Actor::Hostile(_)) | None => {}
        }
    }

    /// The next datagram that it sends.
    pub(crate) fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        match self.actor.as_mut()? {
            Actor::Lampwire(node) => {
                let transmit = node.poll_transmit()?;
                Some((transmit.remote, transmit.bytes.to_vec()))
            }
            Actor::Stock(asterisk) => asterisk.poll_transmit(),
            Actor::Hostile(hostile) => hostile.poll_transmit(),
        }
    }

    /// The next thing that it wants done on the bus.
    pub(crate) fn poll_bus(&mut self) -> Option<BusCommand> {
        match self.actor.as_mut()? {
            Actor::Lampwire(node) => node.poll_bus(),
            Actor::Stock(_) | Actor::Hostile(_) => None,
        }
    }

    /// The site where it stands, if it is a node of a cluster.
    pub fn site(&self) -> Option<&str> {
        match &self.role {
            Role::Lampwire(config) => config.cluster.as_ref().map(|it| it.site.as_str()),
            Role::Stock(_) | Role::Hostile(_) => None,
        }
    }

    /// The next thing that happened to it.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        match self.actor.as_mut()? {
            Actor::Lampwire(node) => node.poll_event(),
            Actor::Stock(_) | Actor::Hostile(_) => None,
        }
    }

    fn take_in(&mut self, at: Time, from: SocketAddr, bytes: &[u8]) {
        let now = self.now(at);
        match &mut self.actor {
            Some(Actor::Lampwire(node)) => node.handle_datagram(now, TransportId(0), from, bytes),
            Some(Actor::Stock(asterisk)) => asterisk.handle_datagram(at, from, bytes),
            Some(Actor::Hostile(hostile)) => hostile.handle_datagram(at, from, bytes),
            None => {}
        }
    }
}
