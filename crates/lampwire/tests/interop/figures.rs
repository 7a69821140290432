//! Speeds over a line of 40 ms there and back, held against what a stock Asterisk does over the same line in the same run.
//!
//! Nothing here runs unless LAMPWIRE_FIGURES names the file for the table: a measurement takes minutes and a quiet machine.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};

use crate::Lab;
use crate::asterisk::{Asterisk, Release};
use crate::certificates::Certificates;
use crate::instance::{Failure, Instance, LOOK_INTERVAL, Outcome, lab};
use crate::lampwire::Lampwire;
use crate::relation::{Addresses, Relation, SIP_PORT, Side};
use crate::sip::Relay;

/// The line, there and back.
const ROUND_TRIP: Duration = Duration::from_millis(40);
/// States that Lampwire tells a fresh Asterisk.
const STATES: u32 = 10_000;
/// States that an Asterisk tells another: enough for a rate, at 24 a second.
pub(crate) const STATES_OF_ASTERISK: u32 = 300;
/// States of a peer that is killed and comes back.
const STATES_LOST: u32 = 1000;
/// No measurement takes longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// The one trial that measures everything; none without LAMPWIRE_FIGURES.
pub(crate) fn trials(lab: &Arc<Lab>) -> Vec<Trial> {
    let Some(file) = std::env::var_os("LAMPWIRE_FIGURES") else {
        return Vec::new();
    };
    let lab = Arc::clone(lab);
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(file);
    vec![Trial::test("figures", move || {
        measure(&lab, &file).map_err(|failure| Failed::from(failure.to_string()))
    })]
}

fn measure(lab_: &Lab, file: &Path) -> Outcome {
    let mut text = String::from(
        "# Speeds over a line of 40 ms\n\n\
         Written by a run of `LAMPWIRE_FIGURES=docs/figures.md cargo test --release -p lampwire --test interop -- figures`:\n\
         two nodes on one machine, a relay between them that holds each datagram for 20 ms. The peer is an Asterisk 22 that knows\n\
         nothing yet. \"Allowed\" is what the line alone would take, with 30 % on top; with digest Asterisk challenges each request, so\n\
         2.3 times the time without is allowed.\n\n\
         | what is told | states | time | a second | allowed |\n|---|--:|--:|--:|--:|\n",
    );
    let mut row = |what: &str, states: u32, took: Duration, allowed: Option<Duration>| {
        let allowed_text =
            allowed.map_or("-".to_owned(), |it| format!("{:.1} s", it.as_secs_f64()));
        let rate = f64::from(states) / took.as_secs_f64();
        let line = format!(
            "| {what} | {states} | {:.1} s | {rate:.0} | {allowed_text} |",
            took.as_secs_f64()
        );
        println!("{line}");
        let _ = writeln!(text, "{line}");
        (rate, allowed.is_none_or(|allowed| took <= allowed))
    };
    let mut held = true;
    let (its_rate, _) = row(
        "by an Asterisk to an Asterisk",
        STATES_OF_ASTERISK,
        asterisk_to_asterisk(lab_)?,
        None,
    );
    let mut best = 0.0f64;
    for lanes in [16u16, 64] {
        let telling = |digest| Telling {
            lanes,
            digest,
            round_trip: ROUND_TRIP,
            states: STATES,
        };
        let plain = lampwire_to_asterisk(lab_, telling(false))?;
        let line = ROUND_TRIP * STATES / u32::from(lanes);
        let (rate, ok) = row(
            &format!("by Lampwire, `@lanes={lanes}`"),
            STATES,
            plain,
            Some(line.mul_f64(1.3)),
        );
        held &= ok;
        best = best.max(rate);
        let digest = lampwire_to_asterisk(lab_, telling(true))?;
        let what = format!("by Lampwire, `@lanes={lanes}`, with digest");
        let (_, ok) = row(&what, STATES, digest, Some(plain.mul_f64(2.3)));
        held &= ok;
    }
    let back = killed_and_back(lab_)?;
    let what = "to an Asterisk that was killed and asks for nothing, after its boot";
    let (_, ok) = row(what, STATES_LOST, back, Some(Duration::from_secs(10)));
    held &= ok;
    let _ = writeln!(
        text,
        "\nLampwire at its best tells {:.0} times as much a second as the Asterisk.",
        best / its_rate
    );
    fs::write(file, text).map_err(lab(file.display()))?;
    match held {
        true => Ok(()),
        false => Err(Failure::Expectation(
            "something took longer than allowed; the table says what".to_owned(),
        )),
    }
}

/// How Lampwire tells an Asterisk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Telling {
    /// Publications side by side.
    pub(crate) lanes: u16,
    /// The Asterisk asks for a password.
    pub(crate) digest: bool,
    /// The line, there and back.
    pub(crate) round_trip: Duration,
    /// How many states.
    pub(crate) states: u32,
}

/// From the first request that gets through, once the line is whole, until the peer has confirmed everything.
pub(crate) fn lampwire_to_asterisk(lab_: &Lab, telling: Telling) -> Outcome<Duration> {
    let mut scene = Scene::new(lab_, "lampwire", |relation| {
        relation.subject.lanes = Some(telling.lanes);
        relation.peer.challenges = telling.digest.then_some("MD5");
    })?;
    let relay = scene.relay(telling.round_trip / 2)?;
    let mut subject = scene.lampwire()?;
    scene.peer.start()?;
    subject.start()?;
    relay.cut(true);
    for number in 0..telling.states {
        subject.set_device(&format!("Custom:far{number}"), "INUSE")?;
    }
    relay.cut(false);
    until_confirmed(&subject)?;
    let begun = relay
        .through()
        .ok_or_else(|| Failure::Lab("nothing went through the relay".to_owned()))?;
    let took = begun.elapsed();
    scene.must_hold("Custom:far", telling.states)?;
    Ok(took)
}

/// From the moment at which they are set until the peer has them all, over the line of 40 ms.
pub(crate) fn asterisk_to_asterisk(lab_: &Lab) -> Outcome<Duration> {
    let mut scene = Scene::new(lab_, "asterisk", |_| ())?;
    let _relay = scene.relay(ROUND_TRIP / 2)?;
    let mut subject = scene.asterisk()?;
    scene.peer.start()?;
    subject.start()?;
    let begun = Instant::now();
    for number in 0..STATES_OF_ASTERISK {
        subject.set_device(&format!("Custom:far{number}"), "INUSE")?;
    }
    let last = format!("Custom:far{}", STATES_OF_ASTERISK - 1);
    while scene.peer.device(&last)?.is_none() {
        if begun.elapsed() > PATIENCE {
            return Err(Failure::Lab(
                "an Asterisk did not tell another in time".to_owned(),
            ));
        }
        thread::sleep(LOOK_INTERVAL);
    }
    let took = begun.elapsed();
    scene.must_hold("Custom:far", STATES_OF_ASTERISK)?;
    Ok(took)
}

/// From the boot of a killed Asterisk, which asks for nothing, until it has everything again.
fn killed_and_back(lab_: &Lab) -> Outcome<Duration> {
    let mut scene = Scene::new(lab_, "killed", |relation| {
        relation.peer.asks_for_nothing = true;
    })?;
    let _relay = scene.relay(Duration::ZERO)?;
    let mut subject = scene.lampwire()?;
    scene.peer.start()?;
    subject.start()?;
    for number in 0..STATES_LOST {
        subject.set_device(&format!("Custom:far{number}"), "INUSE")?;
    }
    until_confirmed(&subject)?;
    scene.peer.kill()?;
    scene.peer.start()?;
    let booted = Instant::now();
    while scene.count("Custom:far")? < STATES_LOST as usize {
        if booted.elapsed() > PATIENCE {
            return Err(Failure::Expectation(
                "a killed Asterisk did not get everything back".to_owned(),
            ));
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(booted.elapsed())
}

/// Two nodes and what lies between them.
struct Scene<'a> {
    lab: &'a Lab,
    directory: std::path::PathBuf,
    addresses: Addresses,
    relation: Relation,
    peer: Asterisk,
}

impl<'a> Scene<'a> {
    fn new(lab_: &'a Lab, name: &str, change: impl FnOnce(&mut Relation)) -> Outcome<Self> {
        let mut relation = Relation {
            relay_to_peer: true,
            subject: Side::default(),
            ..Relation::default()
        };
        change(&mut relation);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("interop")
            .join(format!("{}-figures-{name}", lab_.block));
        if directory.exists() {
            fs::remove_dir_all(&directory).map_err(lab(directory.display()))?;
        }
        let addresses = Addresses::of_figures(lab_.block);
        Certificates::new("Right authority")?
            .write(&directory.join("peer/tls"), addresses.peer())?;
        let peer = Self::node(lab_, addresses, &directory.join("peer"), |directory| {
            relation.peer_plan(addresses, directory)
        })?;
        Ok(Self {
            lab: lab_,
            directory,
            addresses,
            relation,
            peer,
        })
    }

    fn node(
        lab_: &Lab,
        addresses: Addresses,
        directory: &Path,
        plan: impl FnOnce(&Path) -> crate::relation::NodePlan,
    ) -> Outcome<Asterisk> {
        let release = Release::Asterisk22;
        let root = lab_
            .found
            .get(&release)
            .ok_or_else(|| Failure::Lab(format!("{release} is missing")))?;
        let third_party = SocketAddr::new(addresses.third_party(), 0);
        let plan = plan(directory);
        let asterisk = Asterisk::new(release, root, directory.to_owned(), plan, third_party)?;
        asterisk.without_trace()?;
        Ok(asterisk)
    }

    fn asterisk(&self) -> Outcome<Asterisk> {
        Self::node(
            self.lab,
            self.addresses,
            &self.directory.join("subject"),
            |directory| self.relation.subject_plan(self.addresses, directory),
        )
    }

    fn lampwire(&self) -> Outcome<Lampwire> {
        let directory = self.directory.join("subject");
        let plan = self.relation.subject_plan(self.addresses, &directory);
        Lampwire::new(directory, plan)
    }

    fn relay(&self, delay: Duration) -> Outcome<Relay> {
        let on = |address| SocketAddr::new(address, SIP_PORT);
        Relay::start_delayed(
            on(self.addresses.relay()),
            on(self.addresses.subject()),
            on(self.addresses.peer()),
            delay,
        )
    }

    fn count(&mut self, prefix: &str) -> Outcome<usize> {
        Ok(self
            .peer
            .devices()?
            .keys()
            .filter(|name| name.starts_with(prefix))
            .count())
    }

    fn must_hold(&mut self, prefix: &str, states: u32) -> Outcome {
        let held = self.count(prefix)?;
        if held == states as usize {
            return Ok(());
        }
        Err(Failure::Expectation(format!(
            "the peer holds {held} of {states}"
        )))
    }
}

fn until_confirmed(subject: &Lampwire) -> Outcome {
    let begun = Instant::now();
    while subject.behind()? > 0 {
        if begun.elapsed() > PATIENCE {
            return Err(Failure::Expectation(
                "not everything was confirmed in time".to_owned(),
            ));
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}
