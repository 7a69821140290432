//! Every exchange against the model of a stock Asterisk, on simulated time; the same list runs against real ones in the interop tests.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use lampwire_core::Time;
use lampwire_sim::asterisk::{Settings, StockAsterisk};
use lampwire_sim::exchange::{self, Exchange, Holds, SUBJECT_EID, Subject};
use lampwire_sim::random::Dice;
use lampwire_sip::DeviceState;

/// What a datagram takes.
const DELAY: Duration = Duration::from_micros(500);

/// A model and a wire to it.
struct Model {
    asterisk: StockAsterisk,
    now: Time,
    address: SocketAddr,
    we: SocketAddr,
}

impl Model {
    fn new(exchange: &Exchange) -> Self {
        let (address, we) = (
            "127.0.1.2:5060".parse().unwrap(),
            "127.0.1.1:5070".parse().unwrap(),
        );
        let settings = Settings {
            address,
            entity_id: SUBJECT_EID.parse().unwrap(),
            peers: exchange.peers(we),
            boot: Duration::from_millis(700),
            lost_races: 0,
        };
        let mut asterisk = StockAsterisk::new(settings, Dice::new(1));
        asterisk.start(Time::default());
        let now = asterisk.poll_timeout().unwrap();
        asterisk.handle_timeout(now);
        Self {
            asterisk,
            now,
            address,
            we,
        }
    }
}

impl Subject for Model {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn our_address(&self) -> SocketAddr {
        self.we
    }

    fn elapsed(&self) -> Duration {
        self.now.since(Time::default())
    }

    fn send(&mut self, datagram: &[u8]) -> Result<(), String> {
        self.now = self.now + DELAY;
        self.asterisk.handle_datagram(self.now, self.we, datagram);
        Ok(())
    }

    fn receive(&mut self, within: Duration) -> Result<Option<Vec<u8>>, String> {
        let deadline = self.now + within;
        loop {
            if let Some((to, datagram)) = self.asterisk.poll_transmit() {
                assert_eq!(to, self.we);
                return Ok(Some(datagram));
            }
            match self.asterisk.poll_timeout() {
                Some(at) if at <= deadline => {
                    self.now = self.now.max(at);
                    self.asterisk.handle_timeout(self.now);
                }
                _ => {
                    self.now = deadline;
                    return Ok(None);
                }
            }
        }
    }

    fn set_device(&mut self, name: &str, state: &str) -> Result<(), String> {
        let state = DeviceState::parse(state).ok_or("no such state")?;
        self.asterisk.set_device(self.now, name, state);
        Ok(())
    }

    fn set_mailbox(&mut self, name: &str, new: u16, old: u16) -> Result<(), String> {
        self.asterisk.set_mailbox(self.now, name, new, old);
        Ok(())
    }

    fn device(&mut self, name: &str) -> Result<Option<String>, String> {
        let state = self.asterisk.summed(name);
        Ok(state.map(|state| state.as_str().to_owned()))
    }

    fn mailbox(&mut self, name: &str) -> Result<Option<(u32, u32)>, String> {
        let counts = self.asterisk.mailbox(name);
        Ok(counts.map(|(new, old)| (new.into(), old.into())))
    }
}

#[test]
fn the_model_does_what_the_exchanges_say() {
    let failures: Vec<String> = exchange::all()
        .filter(|exchange| exchange.holds_for_model())
        .filter_map(|exchange| exchange::run(exchange, &mut Model::new(exchange)).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn names_are_unique_and_fit_for_a_configuration() {
    let mut names: Vec<&str> = exchange::all().map(|exchange| exchange.name).collect();
    assert!(names.len() >= 60, "{}", names.len());
    let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    assert!(names.iter().all(|name| name.chars().all(fit)));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), exchange::all().count());
}

#[test]
fn the_document_has_every_exchange() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/exchanges.md");
    let made = document();
    if std::env::var_os("LAMPWIRE_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, made).unwrap();
    } else {
        let document = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            document, made,
            "run this test once with LAMPWIRE_UPDATE_GOLDEN=1"
        );
    }
}

fn document() -> String {
    let mut text = String::from(
        "# Exchanges with a stock Asterisk\n\n\
         <!-- Written by crates/lampwire-sim/tests/exchanges.rs; do not edit. -->\n\n\
         Each is a list of steps in `crates/lampwire-sim/src/exchange/`, run against the model of a stock Asterisk in\n\
         `crates/lampwire-sim/src/asterisk/` and, by `cargo test -p lampwire --test interop -- exchange`, against real ones. Asterisk is the\n\
         subject; the other side is played by the test.\n\n\
         | exchange | what it shows | holds for |\n|---|---|---|\n",
    );
    for exchange in exchange::all() {
        let holds = match exchange.holds {
            Holds::Everywhere => "all",
            Holds::From22 => "22 and the model",
            Holds::On16 => "16",
        };
        text.push_str(&format!(
            "| {} | {} | {holds} |\n",
            exchange.name, exchange.shows
        ));
    }
    text
}
