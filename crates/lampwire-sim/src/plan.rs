//! What a fleet is like: who is in it, who tells whom, and with which configuration.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use lampwire_conf::{Config, MapSource, Severity, load};

use crate::asterisk::{self, Login};
use crate::fleet::{address_of, entity_id_of};
use crate::hostile::{self, Victim};
use crate::member::Role;
use crate::random::Dice;

/// What kind of peer a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A real node.
    Lampwire,
    /// A stock Asterisk. It exchanges with the real nodes alone.
    Stock,
    /// A peer that answers and asks at random.
    Hostile,
}

/// Who exchanges states with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Everybody with everybody.
    Mesh,
    /// Everybody with the first member, and with nobody else.
    Star,
}

/// How one member is configured, other than the rest.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// The filter on devices that it sends: one of `DEVICE_FILTERS`.
    pub sends: &'static str,
    /// The filter on devices that it takes: one of `DEVICE_FILTERS`.
    pub takes: &'static str,
    /// The filter on mailboxes that it sends: one of `MAILBOX_FILTERS`.
    pub sends_mailboxes: &'static str,
    /// Most states a second over each publish; 0: no limit.
    pub rate_limit: u32,
    /// It asks its peers for their states when it starts. Who does not is told everything again because the others find out that it has
    /// restarted, and by nothing else.
    pub asks: bool,
}

/// What a fleet is like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The members. The first is always a Lampwire.
    pub members: Vec<Kind>,
    /// Who exchanges with whom.
    pub topology: Topology,
    /// The Lampwire nodes demand credentials.
    pub digest: bool,
    /// The hostile peer has credentials.
    pub hostile_has_credentials: bool,
    /// The hostile peer speaks under anybody's name and entity id: only bounds can be held against it.
    pub lawless: bool,
    /// Each member's own way.
    pub habits: Vec<Habits>,
    /// Publications of each publish side by side.
    pub lanes: u16,
    /// Seconds between two proofs of a publication.
    pub probe: u32,
    /// Seconds in which all devices are said again; 0: never.
    pub resync: u32,
    /// Seconds that a publication is to live.
    pub expiration: u32,
    /// How many devices there are of each sort, as a factor.
    pub crowd: usize,
    /// Rounds of faults and changes before peace.
    pub rounds: usize,
}

const DEVICE_FILTERS: [&str; 5] = ["", "", "^Custom:[0-4]", "PJSIP|SIP", "/[0-9]$"];
const MAILBOX_FILTERS: [&str; 3] = ["", "", "^10[0-2]@"];

/// The time that an Asterisk takes to boot.
const BOOT: Duration = Duration::from_millis(700);

/// One seed of so many has a stock Asterisk in its fleet.
const EVERY_WITH_A_STOCK_ASTERISK: u64 = 5;

/// The most members of a mesh but one: its traffic grows with the square.
const USUAL_MESH: usize = 8;

impl Plan {
    /// Throws a plan. Most fleets are small: the big ones are slow, and few faults need them.
    pub fn throw(dice: &mut Dice, seed: u64) -> Self {
        let nodes = match dice.below(100) {
            0..55 => 2 + dice.below(2),
            55..88 => 4 + dice.below(2),
            88..98 => 6 + dice.below(4),
            _ => 10 + dice.below(11),
        };
        let star = dice.chance(35) || (nodes > USUAL_MESH && dice.chance(90));
        let mut members = vec![Kind::Lampwire; nodes];
        if dice.chance(25) && nodes <= USUAL_MESH {
            members.push(Kind::Hostile);
        }
        if seed % EVERY_WITH_A_STOCK_ASTERISK == EVERY_WITH_A_STOCK_ASTERISK - 1 {
            members.push(Kind::Stock);
        }
        let habits = members
            .iter()
            .map(|kind| Habits::throw(dice).of(*kind))
            .collect();
        Self {
            topology: if star { Topology::Star } else { Topology::Mesh },
            digest: dice.chance(30),
            hostile_has_credentials: dice.chance(50),
            lawless: dice.chance(20) && members.contains(&Kind::Hostile),
            habits,
            lanes: *dice.pick(&[1, 2, 8]),
            probe: if nodes > 5 {
                20
            } else {
                *dice.pick(&[5, 5, 10])
            },
            resync: *dice.pick(&[3600, 3600, 0, 300]),
            expiration: *dice.pick(&[3600, 3600, 120, 30]),
            crowd: *dice.pick(&[1, 1, 1, 1, 1, 1, 1, 8]),
            rounds: match nodes {
                0..=3 => 50,
                4..=5 => 35,
                6..=9 => 20,
                _ => 10,
            },
            members,
        }
    }

    /// The indices of the members of a kind.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = usize> + '_ {
        let members = self.members.iter().enumerate();
        members
            .filter(move |(_, it)| **it == kind)
            .map(|(index, _)| index)
    }

    /// Whether two members have a relation.
    pub fn exchange(&self, one: usize, other: usize) -> bool {
        let real = |member: usize| self.members[member] == Kind::Lampwire;
        one != other
            && (real(one) || real(other))
            && match self.topology {
                Topology::Mesh => true,
                Topology::Star => one == 0 || other == 0,
            }
    }

    /// Whether what is set at `origin` is to be known at `at`. Nobody relays: so only where the two have a relation of their own.
    pub fn reaches(&self, origin: usize, at: usize) -> bool {
        self.exchange(origin, at)
    }

    /// Whether the member `from` may send a device.
    pub fn sends_device(&self, from: usize, device: &str) -> bool {
        passes(self.habits[from].sends, device)
    }

    /// Whether the member `to` takes a device.
    pub fn takes_device(&self, to: usize, device: &str) -> bool {
        passes(self.habits[to].takes, device)
    }

    /// Whether the member `from` may send a mailbox.
    pub fn sends_mailbox(&self, from: usize, mailbox: &str) -> bool {
        passes(self.habits[from].sends_mailboxes, mailbox)
    }

    /// What each member is to run.
    ///
    /// # Panics
    /// Where the configuration of a node has errors: that is a fault of the plan.
    pub fn roles(&self) -> Vec<Role> {
        let role = |(index, kind): (usize, &Kind)| match kind {
            Kind::Lampwire => Role::Lampwire(Arc::new(parsed(&self.config(index)))),
            Kind::Stock => Role::Stock(self.stock(index)),
            Kind::Hostile => Role::Hostile(self.hostile(index)),
        };
        self.members.iter().enumerate().map(role).collect()
    }

    /// The configuration of a Lampwire, as an administrator would write it.
    fn config(&self, own: usize) -> String {
        let number = number(own);
        let habits = self.habits[own];
        let mut text = format!(
            "[lampwire]\ntype=lampwire\nentity_id={}\nhttp_bind=\n[udp]\ntype=transport\nprotocol=udp\nbind={}\n",
            entity_id_of(number),
            address_of(number)
        );
        let option = |name: &str, filter: &str| match filter {
            "" => String::new(),
            filter => format!("{name}={filter}\n"),
        };
        let (mut auth, mut outbound_auth) = ("", "");
        if self.digest {
            text.push_str("[secret]\ntype=auth\nusername=fleet\npassword=light\n");
            (auth, outbound_auth) = ("auth=secret\n", "outbound_auth=secret\n");
        }
        let device_filter = option("@device_state_filter", habits.sends);
        let mailbox_filter = option("@mailbox_state_filter", habits.sends_mailboxes);
        let taken = option("device_state_filter", habits.takes);
        let publish = format!(
            "expiration={}\n@lanes={}\n@probe={}\n@rate_limit={}\n{outbound_auth}",
            self.expiration, self.lanes, self.probe, habits.rate_limit
        );
        let resync = self.resync;
        for peer in (0..self.members.len()).filter(|peer| self.exchange(own, *peer)) {
            let address = address_of(self::number(peer));
            let asked = match habits.asks {
                true => format!(
                    "devicestate_publish=node{peer}-device\nmailboxstate_publish=node{peer}-mwi\n"
                ),
                false => String::new(),
            };
            let _ = write!(
                text,
                "[node{peer}]\ntype=endpoint\n{auth}\
                 [node{peer}-device]\ntype=outbound-publish\nserver_uri=sip:node{own}@{address}\n\
                 event=asterisk-devicestate\n{publish}@resync={resync}\n{device_filter}\
                 [node{peer}-mwi]\ntype=outbound-publish\nserver_uri=sip:node{own}@{address}\n\
                 event=asterisk-mwi\n{publish}{mailbox_filter}\
                 [node{peer}]\ntype=inbound-publication\nevent_asterisk-devicestate=node{peer}\nevent_asterisk-mwi=node{peer}\n\
                 [node{peer}]\ntype=asterisk-publication\n{asked}device_state=yes\nmailbox_state=yes\n{taken}"
            );
        }
        text
    }

    /// How a stock Asterisk is configured: the same sections, as far as it knows them.
    fn stock(&self, own: usize) -> asterisk::Settings {
        let login = || {
            self.digest.then(|| Login {
                username: "fleet".to_owned(),
                password: "light".to_owned(),
            })
        };
        let peers = self
            .all(Kind::Lampwire)
            .filter(|peer| self.exchange(own, *peer));
        asterisk::Settings {
            address: address_of(number(own)),
            entity_id: entity_id_of(number(own)),
            peers: peers
                .map(|peer| asterisk::Peer {
                    asks_refresh: self.habits[own].asks,
                    demands: login(),
                    answers: login(),
                    expiration: self.expiration,
                    ..asterisk::Peer::new(
                        &format!("node{peer}"),
                        address_of(number(peer)),
                        &format!("node{own}"),
                    )
                })
                .collect(),
            boot: BOOT,
            lost_races: 20,
        }
    }

    /// What a hostile member knows.
    fn hostile(&self, own: usize) -> hostile::Settings {
        let victims = self.all(Kind::Lampwire);
        hostile::Settings {
            name: format!("node{own}"),
            address: address_of(number(own)),
            entity_id: hostile::entity_id(),
            victims: victims
                .filter(|victim| self.exchange(own, *victim))
                .map(|victim| Victim {
                    address: address_of(number(victim)),
                    name: format!("node{victim}"),
                    entity_id: entity_id_of(number(victim)),
                })
                .collect(),
            credentials: self.hostile_has_credentials.then_some(("fleet", "light")),
            lawless: self.lawless,
        }
    }
}

impl Habits {
    /// What of them a member of this kind has.
    fn of(self, kind: Kind) -> Self {
        match kind {
            Kind::Lampwire | Kind::Hostile => self,
            Kind::Stock => Self {
                sends: "",
                takes: "",
                sends_mailboxes: "",
                rate_limit: 0,
                ..self
            },
        }
    }

    fn throw(dice: &mut Dice) -> Self {
        Self {
            sends: dice.pick::<&str>(&DEVICE_FILTERS),
            takes: dice.pick::<&str>(&DEVICE_FILTERS),
            sends_mailboxes: dice.pick::<&str>(&MAILBOX_FILTERS),
            rate_limit: *dice.pick(&[0, 0, 0, 0, 5, 20, 100]),
            asks: dice.chance(75),
        }
    }
}

/// Whether a name passes a filter: the filters above, spelled out without regular expressions.
fn passes(filter: &str, name: &str) -> bool {
    let digit_behind = |prefix: &str, most: u8| {
        name.strip_prefix(prefix)
            .and_then(|rest| rest.bytes().next())
            .is_some_and(|byte| (b'0'..=most).contains(&byte))
    };
    match filter {
        "^Custom:[0-4]" => digit_behind("Custom:", b'4'),
        "PJSIP|SIP" => name.contains("SIP"),
        "/[0-9]$" => matches!(name.as_bytes(), [.., b'/', b'0'..=b'9']),
        "^10[0-2]@" => digit_behind("10", b'2') && name.as_bytes().get(3) == Some(&b'@'),
        _ => true,
    }
}

fn parsed(text: &str) -> Config {
    let (config, diagnostics) = load("node.conf", &mut MapSource::new([("node.conf", text)]));
    let errors: Vec<_> = diagnostics
        .iter()
        .filter(|it| it.severity == Severity::Error)
        .collect();
    assert!(
        errors.is_empty(),
        "the plan's configuration is wrong: {errors:?}"
    );
    config
}

/// The number (from 1) of the member with this index.
pub fn number(index: usize) -> u8 {
    u8::try_from(index + 1).expect("fleets are small")
}
