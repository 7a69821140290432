//! A bus between nodes, as NATS is one: buckets that are streams with one message for each key, and messages that nobody keeps.
//!
//! What is put is stored in the order in which it comes from one node, and read in the order in which it was stored; everything else may overtake. A
//! connection that breaks loses what is under way, the answer to a put that was stored among it. A node may also be connected and cut off: then
//! nothing reaches it for a while, and nothing of it the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lampwire_core::{BusCommand, BusInput, Place, Time};

use crate::random::Dice;

/// The time until a connection that is cut is noticed.
const NOTICED: Duration = Duration::from_secs(2);

/// What the bus is like at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// The time that each message takes at least.
    pub delay: Duration,
    /// The time that some take longer.
    pub jitter: Duration,
    /// Messages that nobody keeps and that are lost, in per cent.
    pub loss: usize,
    /// Messages that come twice, in per cent.
    pub duplication: usize,
    /// Puts that are refused, in per cent.
    pub refusal: usize,
}

impl Weather {
    /// A bus without faults: half a millisecond each way.
    pub const CALM: Self = Self {
        delay: Duration::from_micros(500),
        jitter: Duration::ZERO,
        loss: 0,
        duplication: 0,
        refusal: 0,
    };
}

/// A site's bucket.
#[derive(Debug, Default)]
struct Bucket {
    incarnation: u64,
    last: u64,
    messages: BTreeMap<u64, (String, Option<Vec<u8>>)>,
    of_key: BTreeMap<String, u64>,
}

impl Bucket {
    fn put(&mut self, key: &str, value: Option<Vec<u8>>) -> u64 {
        self.last += 1;
        if let Some(before) = self.of_key.insert(key.to_owned(), self.last) {
            self.messages.remove(&before);
        }
        self.messages.insert(self.last, (key.to_owned(), value));
        self.last
    }

    fn erase(&mut self, key: &str, until: u64) {
        if let Some(at) = self.of_key.get(key).copied().filter(|at| *at <= until) {
            self.of_key.remove(key);
            self.messages.remove(&at);
        }
    }
}

/// A node's end of the bus.
#[derive(Debug)]
struct Line {
    site: String,
    up: bool,
    /// Which connection it is: what belongs to an earlier one does not arrive.
    number: u64,
    /// Connected, but nothing gets through.
    stale: bool,
    /// What leaves over one connection arrives in order.
    sent_until: Time,
    /// The buckets that are being read, by site.
    readers: BTreeMap<String, Reader>,
}

/// A bucket as a node reads it.
#[derive(Clone, Copy, Debug)]
struct Reader {
    number: u64,
    wide: bool,
    /// Messages are read in order.
    read_until: Time,
    /// How many are under way.
    under_way: u64,
}

/// Something under way.
#[derive(Clone, Debug)]
enum Parcel {
    Up,
    Down,
    /// A command that has come to the servers.
    Command(BusCommand),
    Opened {
        site: String,
        reader: u64,
        incarnation: u64,
        whole: bool,
        pending: u64,
        last: u64,
    },
    Record {
        site: String,
        reader: u64,
        at: u64,
        key: String,
        value: Option<Vec<u8>>,
    },
    Failed {
        site: String,
        reader: u64,
    },
    Stored {
        number: u64,
        result: Result<u64, ()>,
    },
    Said {
        topic: String,
        bytes: Vec<u8>,
    },
}

/// All of it.
#[derive(Debug)]
pub struct Bus {
    weather: Weather,
    buckets: BTreeMap<String, Bucket>,
    lines: BTreeMap<usize, Line>,
    on_the_way: BTreeMap<(Time, u64), (usize, u64, Parcel)>,
    numbered: u64,
    incarnations: u64,
    /// Puts and withdrawals that were stored.
    pub stored: u64,
    /// Records that were read.
    pub read: u64,
    /// Messages that nobody keeps.
    pub said: u64,
    /// Pairs of sites that cannot reach each other.
    cut: BTreeSet<(String, String)>,
    /// What is stored is printed.
    pub(crate) trace: bool,
    dice: Dice,
}

impl Bus {
    /// An empty bus with its own dice.
    pub const fn new(dice: Dice) -> Self {
        Self {
            weather: Weather::CALM,
            buckets: BTreeMap::new(),
            lines: BTreeMap::new(),
            on_the_way: BTreeMap::new(),
            numbered: 0,
            incarnations: 0,
            stored: 0,
            read: 0,
            said: 0,
            cut: BTreeSet::new(),
            trace: false,
            dice,
        }
    }

    /// From now on it is like this.
    pub const fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// A node of a site has started, and connects.
    pub fn join(&mut self, now: Time, member: usize, site: &str) {
        self.leave(member);
        let number = self.lines.get(&member).map_or(1, |line| line.number + 1);
        let line = Line {
            site: site.to_owned(),
            up: true,
            number,
            stale: false,
            sent_until: now,
            readers: BTreeMap::new(),
        };
        self.lines.insert(member, line);
        let at = now + self.time();
        self.send(at, member, Parcel::Up);
    }

    /// A node is gone.
    pub fn leave(&mut self, member: usize) {
        if let Some(line) = self.lines.get_mut(&member) {
            line.up = false;
            line.readers.clear();
        }
    }

    /// A node's connection breaks. It learns of it after a while.
    pub fn cut(&mut self, now: Time, member: usize) {
        let Some(line) = self.lines.get_mut(&member).filter(|line| line.up) else {
            return;
        };
        line.up = false;
        line.number += 1;
        line.readers.clear();
        let noticed = now + self.dice.time_below(NOTICED);
        self.send(noticed, member, Parcel::Down);
    }

    /// A node whose connection broke has another.
    pub fn mend(&mut self, now: Time, member: usize) {
        let Some(line) = self.lines.get_mut(&member).filter(|line| !line.up) else {
            return;
        };
        line.up = true;
        line.stale = false;
        line.number += 1;
        line.sent_until = now;
        line.readers.clear();
        let at = now + self.time();
        self.send(at, member, Parcel::Up);
    }

    /// A node stays connected, and nothing gets through to or from it; or it does again.
    pub fn set_stale(&mut self, member: usize, stale: bool) {
        if let Some(line) = self.lines.get_mut(&member) {
            line.stale = stale;
        }
    }

    /// Whether a node is connected.
    pub fn is_up(&self, member: usize) -> bool {
        self.lines.get(&member).is_some_and(|line| line.up)
    }

    /// Two sites do not reach each other any more.
    pub fn part(&mut self, now: Time, one: &str, other: &str) {
        for (near, far) in [(one, other), (other, one)] {
            self.cut.insert((near.to_owned(), far.to_owned()));
            let of_site = self.lines.iter().filter(|(_, line)| line.site == near);
            let members: Vec<usize> = of_site.map(|(member, _)| *member).collect();
            for member in members {
                self.end_reading(now, member, far);
            }
        }
    }

    /// All sites reach each other again.
    pub fn unite(&mut self) {
        self.cut.clear();
    }

    /// The servers of a site lose what they kept.
    pub fn wipe(&mut self, now: Time, site: &str) {
        if self.trace {
            println!("{now:?} bucket {site} wiped");
        }
        if let Some(bucket) = self.buckets.get_mut(site) {
            self.incarnations += 1;
            *bucket = Bucket {
                incarnation: self.incarnations,
                ..Bucket::default()
            };
        }
        let members: Vec<usize> = self.lines.keys().copied().collect();
        for member in members {
            self.end_reading(now, member, site);
        }
    }

    /// A node cannot read a bucket any more, and learns of it after a while.
    fn end_reading(&mut self, now: Time, member: usize, site: &str) {
        let line = self.lines.get_mut(&member);
        let Some(reader) = line.and_then(|line| line.readers.remove(site)) else {
            return;
        };
        let (site, reader) = (site.to_owned(), reader.number);
        let noticed = now + self.dice.time_below(NOTICED);
        self.send(noticed, member, Parcel::Failed { site, reader });
    }

    /// How many keys of a site's bucket are in use, those that are withdrawn not counted.
    pub fn keys(&self, site: &str) -> usize {
        let bucket = self.buckets.get(site);
        bucket.map_or(0, |bucket| {
            let values = bucket.messages.values();
            values.filter(|(_, value)| value.is_some()).count()
        })
    }

    /// Whether the bucket of any site has something under a key that ends like this.
    pub fn holds(&self, ending: &str) -> bool {
        let keys = self.buckets.values().flat_map(|it| it.messages.values());
        keys.into_iter().any(|(key, _)| key.ends_with(ending))
    }

    /// When something arrives next.
    pub fn next_arrival(&self) -> Option<Time> {
        self.on_the_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// A node wants something done.
    pub fn take(&mut self, now: Time, member: usize, command: BusCommand) {
        let delay = self.time();
        let Some(line) = self.lines.get_mut(&member).filter(|line| line.up) else {
            return;
        };
        if line.stale {
            return;
        }
        // In order, but for what nobody keeps.
        let at = match &command {
            BusCommand::Say { .. } => now + delay,
            _ => {
                line.sent_until = line.sent_until.max(now + delay);
                line.sent_until
            }
        };
        self.send(at, member, Parcel::Command(command));
    }

    /// What arrives at `now` next is dealt with; what comes to a node is given to `tell`.
    pub fn arrive(&mut self, now: Time, tell: &mut dyn FnMut(usize, &BusInput<'_>)) -> bool {
        let Some(first) = self.on_the_way.first_entry() else {
            return false;
        };
        if first.key().0 > now {
            return false;
        }
        let (member, number, parcel) = first.remove();
        let Some(line) = self.lines.get(&member) else {
            return true;
        };
        let (current, up, stale) = (line.number == number, line.up, line.stale);
        match parcel {
            Parcel::Command(command) if current && up => self.obey(now, member, command),
            // What had left before the connection broke may arrive all the same.
            Parcel::Command(command @ (BusCommand::Put { .. } | BusCommand::Withdraw { .. }))
                if self.dice.chance(50) =>
            {
                self.obey(now, member, command);
            }
            _ if !current => {}
            Parcel::Command(_) => {}
            Parcel::Up if up => tell(
                member,
                &BusInput::Up {
                    server: "simulated",
                },
            ),
            Parcel::Up => {}
            Parcel::Down => tell(member, &BusInput::Down { why: "it broke" }),
            _ if !up || stale => {}
            Parcel::Opened {
                site,
                reader,
                incarnation,
                whole,
                pending,
                last,
            } => {
                if self.reads(member, &site, reader) {
                    tell(
                        member,
                        &BusInput::Opened {
                            site: &site,
                            incarnation,
                            whole,
                            pending,
                            last,
                        },
                    );
                }
            }
            Parcel::Record {
                site,
                reader,
                at,
                key,
                value,
            } => {
                if !self.reads(member, &site, reader) {
                    return true;
                }
                let known = self.lines.get_mut(&member);
                let known = known.and_then(|line| line.readers.get_mut(&site));
                let pending = known.map_or(0, |known| {
                    known.under_way = known.under_way.saturating_sub(1);
                    known.under_way
                });
                self.read += 1;
                let record = BusInput::Record {
                    site: &site,
                    at,
                    pending,
                    key: &key,
                    value: value.as_deref(),
                };
                tell(member, &record);
                if self.dice.chance(self.weather.duplication) {
                    tell(member, &record);
                }
            }
            Parcel::Failed { site, reader } => {
                let Some(line) = self.lines.get_mut(&member) else {
                    return true;
                };
                let known = line.readers.get(&site).map(|it| it.number);
                if known.is_none_or(|number| number == reader) {
                    line.readers.remove(&site);
                    tell(
                        member,
                        &BusInput::Failed {
                            site: &site,
                            why: "it is not to be had",
                        },
                    );
                }
            }
            Parcel::Stored { number, result } => {
                let result = result.map_err(|()| "the servers do not take it");
                tell(member, &BusInput::Stored { number, result });
            }
            Parcel::Said { topic, bytes } => {
                let said = BusInput::Said {
                    topic: &topic,
                    bytes: &bytes,
                };
                tell(member, &said);
                if self.dice.chance(self.weather.duplication) {
                    tell(member, &said);
                }
            }
        }
        true
    }

    fn reads(&self, member: usize, site: &str, reader: u64) -> bool {
        let line = self.lines.get(&member);
        let known = line.and_then(|line| line.readers.get(site));
        known.is_some_and(|it| it.number == reader)
    }

    fn obey(&mut self, now: Time, member: usize, command: BusCommand) {
        let (own, stale) = match self.lines.get(&member) {
            Some(line) => (line.site.clone(), line.stale),
            None => return,
        };
        if stale {
            return;
        }
        match command {
            BusCommand::Read {
                site, wide, from, ..
            } => self.open(now, member, &site, wide, from),
            BusCommand::Put { number, key, bytes } => {
                self.store(now, member, &own, number, &key, Some(bytes));
            }
            BusCommand::Withdraw { number, key } => {
                self.store(now, member, &own, number, &key, None);
            }
            BusCommand::Erase { number, key, at } => {
                let bucket = self.bucket(&own);
                bucket.erase(&key, at);
                let result = Ok(bucket.last);
                let back = now + self.time();
                self.send(back, member, Parcel::Stored { number, result });
            }
            BusCommand::Say { topic, bytes } => {
                self.said += 1;
                let wide = topic.starts_with("w.");
                let others: Vec<usize> = self
                    .lines
                    .iter()
                    .filter(|(other, line)| {
                        let reached = !self.cut.contains(&(own.clone(), line.site.clone()));
                        **other != member && line.up && reached && (wide || line.site == own)
                    })
                    .map(|(other, _)| *other)
                    .collect();
                for other in others {
                    if self.dice.chance(self.weather.loss) {
                        continue;
                    }
                    let at = now + self.time();
                    let (topic, bytes) = (topic.clone(), bytes.clone());
                    self.send(at, other, Parcel::Said { topic, bytes });
                }
            }
        }
    }

    fn open(&mut self, now: Time, member: usize, site: &str, wide: bool, from: Option<Place>) {
        self.numbered += 1;
        let reader = self.numbered;
        let back = now + self.time();
        let own = self.lines[&member].site.clone();
        if self.cut.contains(&(own, site.to_owned())) {
            let site = site.to_owned();
            if let Some(line) = self.lines.get_mut(&member) {
                line.readers.remove(&site);
            }
            return self.send(back, member, Parcel::Failed { site, reader });
        }
        let bucket = self.bucket(site);
        let from =
            from.filter(|place| place.incarnation == bucket.incarnation && place.at <= bucket.last);
        let first = from.map_or(0, |place| place.at);
        let read: Vec<(u64, String, Option<Vec<u8>>)> = bucket
            .messages
            .range(first + 1..)
            .filter(|(_, (key, _))| !wide || key.starts_with("w."))
            .map(|(at, (key, value))| (*at, key.clone(), value.clone()))
            .collect();
        let (incarnation, last) = (bucket.incarnation, bucket.last);
        let pending = read.len() as u64;
        let known = Reader {
            number: reader,
            wide,
            read_until: back,
            under_way: pending,
        };
        if let Some(line) = self.lines.get_mut(&member) {
            line.readers.insert(site.to_owned(), known);
        }
        let opened = Parcel::Opened {
            site: site.to_owned(),
            reader,
            incarnation,
            whole: from.is_none(),
            pending,
            last,
        };
        self.send(back, member, opened);
        for (at, key, value) in read {
            self.deliver(now, member, site, reader, at, &key, value);
        }
    }

    fn store(
        &mut self,
        now: Time,
        member: usize,
        own: &str,
        number: u64,
        key: &str,
        value: Option<Vec<u8>>,
    ) {
        let back = now + self.time();
        if self.dice.chance(self.weather.refusal) {
            let result = Err(());
            return self.send(back, member, Parcel::Stored { number, result });
        }
        let at = self.bucket(own).put(key, value.clone());
        if self.trace && !key.ends_with(".n") {
            let text = value.as_deref().map(String::from_utf8_lossy);
            println!("{now:?} put by {member} at {at}: {key} {text:?}");
        }
        self.stored += 1;
        let result = Ok(at);
        self.send(back, member, Parcel::Stored { number, result });
        let readers: Vec<(usize, u64)> = self
            .lines
            .iter()
            .filter_map(|(other, line)| {
                let reader = line.readers.get(own)?;
                let wanted = !reader.wide || key.starts_with("w.");
                (line.up && wanted).then_some((*other, reader.number))
            })
            .collect();
        for (other, reader) in readers {
            if let Some(line) = self.lines.get_mut(&other)
                && let Some(known) = line.readers.get_mut(own)
            {
                known.under_way += 1;
            }
            self.deliver(now, other, own, reader, at, key, value.clone());
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn deliver(
        &mut self,
        now: Time,
        member: usize,
        site: &str,
        reader: u64,
        at: u64,
        key: &str,
        value: Option<Vec<u8>>,
    ) {
        let arrival = now + self.time();
        let mut when = arrival;
        if let Some(line) = self.lines.get_mut(&member)
            && let Some(known) = line.readers.get_mut(site)
        {
            known.read_until = known.read_until.max(arrival);
            when = known.read_until;
        }
        let record = Parcel::Record {
            site: site.to_owned(),
            reader,
            at,
            key: key.to_owned(),
            value,
        };
        self.send(when, member, record);
    }

    fn bucket(&mut self, site: &str) -> &mut Bucket {
        if !self.buckets.contains_key(site) {
            self.incarnations += 1;
            let bucket = Bucket {
                incarnation: self.incarnations,
                ..Bucket::default()
            };
            self.buckets.insert(site.to_owned(), bucket);
        }
        self.buckets.get_mut(site).expect("it was just put there")
    }

    fn send(&mut self, at: Time, member: usize, parcel: Parcel) {
        let number = self.lines.get(&member).map_or(0, |line| line.number);
        self.numbered += 1;
        let place = (at, self.numbered);
        self.on_the_way.insert(place, (member, number, parcel));
    }

    fn time(&mut self) -> Duration {
        self.weather.delay + self.dice.time_below(self.weather.jitter)
    }
}
