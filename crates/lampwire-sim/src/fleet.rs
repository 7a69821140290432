//! Several members, a network between them, and one clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use lampwire_core::{Event, Node, Now, Time};
use lampwire_sip::{DeviceState, EntityId};

use crate::bus::Bus;
use crate::member::{Actor, Member, Role};
use crate::network::{Network, Packet};
use crate::random::Dice;

/// Wake-ups of one member at one moment that are taken for work. A member that asks for more would never come to an end.
const WAKES_AT_ONCE: u32 = 100_000;

/// Who is told of everything that happens in a fleet.
pub trait Observer {
    /// The member `from` sends a datagram. Whether it arrives is another matter.
    fn sent(&mut self, at: Time, from: usize, packet: &Packet);
    /// Something happened to the member `index`.
    fn happened(&mut self, at: Time, index: usize, event: &Event);
}

/// What people change at a member.
#[derive(Clone, Copy, Debug)]
pub enum Set<'a> {
    /// A device gets a state.
    Device(&'a str, DeviceState),
    /// A mailbox gets its counts, new and old.
    Mailbox(&'a str, (u16, u16)),
    /// A device is taken back.
    Unset(&'a str),
}

/// A fleet.
#[derive(Debug)]
pub struct Fleet {
    /// The members, by index.
    pub members: Vec<Member>,
    /// What lies between them.
    pub network: Network,
    /// The bus of those that are a cluster.
    pub bus: Bus,
    at: Time,
    seed: u64,
    of_address: BTreeMap<SocketAddr, usize>,
    /// Each member that wants to be woken, once.
    wakes: BTreeSet<(Time, usize)>,
    /// Everything that happens is printed.
    trace: bool,
}

impl Fleet {
    /// Members with these roles, all down, at 127.0.1.1 and following.
    pub fn new(seed: u64, roles: Vec<Role>) -> Self {
        let members: Vec<Member> = (1..)
            .zip(roles)
            .map(|(number, role)| Member::new(role, address_of(number), entity_id_of(number)))
            .collect();
        Self {
            of_address: (0..)
                .zip(&members)
                .map(|(index, it): (usize, &Member)| (it.address, index))
                .collect(),
            members,
            network: Network::new(Dice::new(seed)),
            bus: Bus::new(Dice::new(seed ^ 0x0042_5553)),
            at: Time::default(),
            seed,
            wakes: BTreeSet::new(),
            trace: false,
        }
    }

    /// Whether what members send, what happens to nodes and what the bus stores is printed, each with its time: to find out why a seed fails.
    pub const fn trace(&mut self, trace: bool) {
        self.trace = trace;
        self.bus.trace = trace;
    }

    /// Prints something where that is wanted.
    pub fn note(&self, what: &str) {
        if self.trace {
            println!("{:?} {what}", self.at);
        }
    }

    /// The monotonic clock, which is the same for all.
    pub const fn at(&self) -> Time {
        self.at
    }

    /// Starts a member that is down, with nothing but its configuration.
    pub fn start(&mut self, index: usize) {
        self.note(&format!("{index} starts"));
        self.members[index].start(self.at, self.seed);
        if let Some(site) = self.members[index].site() {
            let site = site.to_owned();
            self.bus.join(self.at, index, &site);
        }
    }

    /// Kills a member: it says nothing more, and forgets everything.
    pub fn kill(&mut self, index: usize) {
        self.note(&format!("{index} is killed"));
        self.members[index].kill(self.at);
        self.bus.leave(index);
    }

    /// Lets a node do something, if it is one and up.
    pub fn act(&mut self, index: usize, act: impl FnOnce(&mut Node, Now)) {
        let now = self.members[index].now(self.at);
        if let Some(Actor::Lampwire(node)) = &mut self.members[index].actor {
            act(node, now);
        }
    }

    /// People change something at a member, whatever it runs.
    pub fn set(&mut self, index: usize, set: &Set<'_>) {
        let now = self.members[index].now(self.at);
        match (&mut self.members[index].actor, *set) {
            (Some(Actor::Lampwire(node)), Set::Device(name, state)) => {
                node.set_device(now, name, state, true)
                    .expect("a sound name and room");
            }
            (Some(Actor::Lampwire(node)), Set::Mailbox(name, (new, old))) => {
                node.set_mailbox(now, name, new, old)
                    .expect("a sound name and room");
            }
            (Some(Actor::Lampwire(node)), Set::Unset(name)) => {
                node.unset_device(now, name).expect("it was set");
            }
            (Some(Actor::Stock(asterisk)), Set::Device(name, state)) => {
                asterisk.set_device(self.at, name, state);
            }
            (Some(Actor::Stock(asterisk)), Set::Mailbox(name, (new, old))) => {
                asterisk.set_mailbox(self.at, name, new, old);
            }
            // An Asterisk has no other way to take a device back.
            (Some(Actor::Stock(asterisk)), Set::Unset(name)) => {
                asterisk.set_device(self.at, name, DeviceState::Invalid);
            }
            (Some(Actor::Hostile(_)) | None, _) => {}
        }
    }

    /// Lets time pass until `until`, and tells `observer` of everything.
    ///
    /// # Panics
    /// Where a member wants to be woken without end: that is a fault of the member.
    pub fn run_until(&mut self, until: Time, observer: &mut impl Observer) {
        for index in 0..self.members.len() {
            self.settle(index, observer);
        }
        loop {
            let wake = self.wakes.first().map(|(at, _)| *at);
            let next = wake
                .into_iter()
                .chain(self.network.next_arrival())
                .chain(self.bus.next_arrival())
                .min();
            match next {
                Some(next) if next <= until => self.at = self.at.max(next),
                Some(_) | None => {
                    self.at = until;
                    return;
                }
            }
            while let Some(packet) = self.network.arrive(self.at) {
                if let Some(&index) = self.of_address.get(&packet.to) {
                    self.members[index].arrive(self.at, packet.from, packet.bytes);
                    self.settle(index, observer);
                }
            }
            self.arrive_by_bus(observer);
            let mut wakes = 0;
            while let Some(&(at, index)) = self.wakes.first()
                && at <= self.at
            {
                wakes += 1;
                assert!(
                    wakes < WAKES_AT_ONCE,
                    "member {index} wants to be woken without end"
                );
                self.members[index].wake(self.at);
                self.settle(index, observer);
            }
        }
    }

    /// Lets `duration` pass.
    pub fn run_for(&mut self, duration: Duration, observer: &mut impl Observer) {
        self.run_until(self.at + duration, observer);
    }

    /// What the bus brings now.
    fn arrive_by_bus(&mut self, observer: &mut impl Observer) {
        loop {
            let (members, at) = (&mut self.members, self.at);
            let mut told = None;
            let more = self.bus.arrive(at, &mut |index, input| {
                let now = members[index].now(at);
                if let Some(Actor::Lampwire(node)) = &mut members[index].actor {
                    node.handle_bus(now, input.clone());
                    told = Some(index);
                }
            });
            if let Some(index) = told {
                self.settle(index, observer);
            }
            if !more {
                return;
            }
        }
    }

    /// Takes what a member has to say, and notes when it is to be woken.
    fn settle(&mut self, index: usize, observer: &mut impl Observer) {
        let member = &mut self.members[index];
        while let Some((to, bytes)) = member.poll_transmit() {
            let packet = Packet {
                from: member.address,
                to,
                bytes,
            };
            if self.trace {
                print_packet(self.at, index, &packet);
            }
            observer.sent(self.at, index, &packet);
            self.network.send(self.at, packet);
        }
        while let Some(command) = member.poll_bus() {
            self.bus.take(self.at, index, command);
        }
        while let Some(event) = member.poll_event() {
            if let Event::Notice(notice) = &event
                && self.trace
            {
                let (at, code, text) = (self.at, notice.code, &notice.text);
                println!("{at:?} {index} {code}: {text}");
            }
            observer.happened(self.at, index, &event);
        }
        let next = member.next_wake(self.at);
        if next != member.wakes_at {
            if let Some(before) = member.wakes_at {
                self.wakes.remove(&(before, index));
            }
            if let Some(next) = next {
                self.wakes.insert((next, index));
            }
            member.wakes_at = next;
        }
    }
}

/// Prints what is worth knowing of a datagram, on one line.
fn print_packet(at: Time, from: usize, packet: &Packet) {
    let text = String::from_utf8_lossy(&packet.bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let headers: Vec<&str> = lines
        .filter(|line| line.starts_with("CSeq") || line.starts_with("SIP-"))
        .collect();
    println!(
        "{at:?} {from} -> {}: {first} {} {body}",
        packet.to,
        headers.join(" ")
    );
}

/// Where the member of this number (from 1) listens.
pub fn address_of(number: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 1, number], 5060))
}

/// The entity id of the member of this number (from 1).
pub fn entity_id_of(number: u8) -> EntityId {
    format!("02:00:00:00:00:{number:02x}")
        .parse()
        .expect("six bytes in hexadecimal")
}
