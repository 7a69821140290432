//! The exchanges that hold the simulation's model of a stock Asterisk to the real ones: the same list, step for step.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lampwire_sim::asterisk::{Login, Peer};
use lampwire_sim::exchange::{self, Exchange, Holds, Subject};
use lampwire_sip::EventPackage;
use libtest_mimic::{Failed, Trial};

use crate::Lab;
use crate::asterisk::{Asterisk, Release};
use crate::instance::{Failure, Instance, Outcome, lab};
use crate::relation::{Addresses, Relation, SIP_PORT};
use crate::sip::bind;

/// Groups of exchanges in which the Asterisk speaks: each exchange needs an Asterisk of its own, that has just booted.
const GROUPS: usize = 6;

/// The trials: for each release one with all exchanges in which it only answers, and some with those in which it speaks.
pub(crate) fn trials(lab_: &Arc<Lab>, first_number: usize) -> Vec<Trial> {
    let mut trials = Vec::new();
    for release in Release::ALL {
        let holds = |exchange: &&'static Exchange| match exchange.holds {
            Holds::Everywhere => true,
            Holds::From22 => release == Release::Asterisk22,
            Holds::On16 => release == Release::Asterisk16,
        };
        let (speaks, answers): (Vec<_>, Vec<_>) = exchange::all()
            .filter(holds)
            .partition(|it| !it.link.publishes.is_empty());
        let mut groups = vec![("answers".to_owned(), answers, true)];
        for group in 0..GROUPS {
            let mine = speaks.iter().skip(group).step_by(GROUPS).copied().collect();
            groups.push((format!("speaks_{}_of_{GROUPS}", group + 1), mine, false));
        }
        for (name, exchanges, together) in groups {
            let number = first_number + trials.len();
            let name = format!("{release}::exchanges::{name}");
            let present = lab_.found.contains_key(&release);
            let lab_ = Arc::clone(lab_);
            let run =
                move || run(&lab_, release, &exchanges, together, number).map_err(Failed::from);
            trials.push(match present {
                true => Trial::test(name, run),
                false => Trial::test(format!("{name} ({release} is missing)"), || Ok(()))
                    .with_ignored_flag(true),
            });
        }
    }
    trials
}

/// Runs exchanges one after the other, with one Asterisk for all or each with its own, and says which fail.
fn run(
    lab_: &Lab,
    release: Release,
    exchanges: &[&Exchange],
    together: bool,
    number: usize,
) -> Result<(), String> {
    let batches: Vec<&[&Exchange]> = match together {
        true => vec![exchanges],
        false => exchanges.chunks(1).collect(),
    };
    let mut failures = Vec::new();
    for batch in batches {
        match Wire::start(lab_, release, batch, number) {
            Ok(mut wire) => {
                for exchange in batch {
                    wire.forget_what_came();
                    if let Err(failure) = exchange::run(exchange, &mut wire) {
                        failures.push(failure);
                    }
                }
            }
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(failures.join("\n")),
    }
}

/// A real Asterisk, and our side of the wire.
struct Wire {
    asterisk: Asterisk,
    address: SocketAddr,
    we: SocketAddr,
    socket: UdpSocket,
    begun: Instant,
}

impl Wire {
    fn start(
        lab_: &Lab,
        release: Release,
        exchanges: &[&Exchange],
        number: usize,
    ) -> Outcome<Self> {
        let addresses = Addresses::new(lab_.block, number);
        let on = |address| SocketAddr::new(address, SIP_PORT);
        let we = on(addresses.relay());
        let socket = bind(we)?;
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("interop")
            .join(format!("{}-{release}-exchanges-{number}", lab_.block));
        if directory.exists() {
            std::fs::remove_dir_all(&directory).map_err(lab(directory.display()))?;
        }
        let root = lab_
            .found
            .get(&release)
            .ok_or_else(|| Failure::Lab(format!("{release} is missing")))?;
        let plan = Relation::default().subject_plan(addresses, &directory);
        let third_party = SocketAddr::new(addresses.third_party(), 0);
        let mut asterisk = Asterisk::new(release, root, directory, plan, third_party)?;
        let mut sections = format!(
            "[transport-udp]\ntype=transport\nprotocol=udp\nbind={}\n\n",
            on(addresses.subject())
        );
        for exchange in exchanges {
            for peer in exchange.peers(we) {
                write_peer(&mut sections, &peer).map_err(lab("a configuration"))?;
            }
        }
        let mailboxes: Vec<String> = exchanges
            .iter()
            .filter(|exchange| exchange.sets_mailbox())
            .map(|exchange| exchange.mailbox())
            .collect();
        asterisk.configure(&sections, &mailboxes)?;
        asterisk.start()?;
        Ok(Self {
            asterisk,
            address: on(addresses.subject()),
            we,
            socket,
            begun: Instant::now(),
        })
    }

    /// What an earlier exchange has left on the wire is none of the next one's.
    fn forget_what_came(&mut self) {
        while let Ok(Some(_)) = self.receive(Duration::from_millis(1)) {}
    }
}

/// The sections of one peer.
fn write_peer(out: &mut String, peer: &Peer) -> std::fmt::Result {
    let name = &peer.name;
    let auth = |out: &mut String, section: &str, login: &Login| {
        let Login { username, password } = login;
        write!(
            out,
            "[{section}]\ntype=auth\nauth_type=userpass\nusername={username}\npassword={password}\n\n"
        )
    };
    writeln!(out, "[{name}]\ntype=endpoint")?;
    if let Some(login) = &peer.demands {
        writeln!(out, "auth={name}-in\n")?;
        auth(out, &format!("{name}-in"), login)?;
    }
    if let Some(login) = &peer.answers {
        writeln!(out)?;
        auth(out, &format!("{name}-out"), login)?;
    }
    writeln!(out, "\n[{name}]\ntype=inbound-publication")?;
    if let Some(endpoint) = &peer.endpoint {
        writeln!(out, "endpoint={endpoint}")?;
    }
    for event in &peer.takes {
        writeln!(out, "event_{}={name}", event.as_str())?;
    }
    let publish = |event: EventPackage| format!("{name}-{}", event.as_str());
    if let Some(keeps) = &peer.keeps {
        writeln!(out, "\n[{name}]\ntype=asterisk-publication")?;
        let kept = |event| if keeps.contains(&event) { "yes" } else { "no" };
        writeln!(
            out,
            "device_state={}\nmailbox_state={}",
            kept(EventPackage::DeviceState),
            kept(EventPackage::Mwi)
        )?;
        if !peer.keeps_devices.is_empty() {
            writeln!(out, "device_state_filter=^{}", peer.keeps_devices)?;
        }
        for event in peer.publishes.iter().filter(|_| peer.asks_refresh) {
            let option = match event {
                EventPackage::DeviceState => "devicestate_publish",
                EventPackage::Mwi => "mailboxstate_publish",
            };
            writeln!(out, "{option}={}", publish(*event))?;
        }
    }
    for event in &peer.publishes {
        writeln!(out, "\n[{}]\ntype=outbound-publish", publish(*event))?;
        writeln!(out, "server_uri=sip:{}@{}", peer.resource, peer.address)?;
        writeln!(
            out,
            "event={}\nexpiration={}",
            event.as_str(),
            peer.expiration
        )?;
        if peer.answers.is_some() {
            writeln!(out, "outbound_auth={name}-out")?;
        }
        let (option, told) = match event {
            EventPackage::DeviceState => ("@device_state_filter", &peer.tells_devices),
            EventPackage::Mwi => ("@mailbox_state_filter", &peer.tells_mailboxes),
        };
        if !told.is_empty() {
            writeln!(out, "{option}=^{told}")?;
        }
    }
    writeln!(out)
}

/// A failure of the laboratory as the runner of exchanges wants it.
fn said<T>(outcome: Outcome<T>) -> Result<T, String> {
    outcome.map_err(|failure| failure.to_string())
}

impl Subject for Wire {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn our_address(&self) -> SocketAddr {
        self.we
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    fn send(&mut self, datagram: &[u8]) -> Result<(), String> {
        let sent = self.socket.send_to(datagram, self.address);
        sent.map(drop).map_err(|error| error.to_string())
    }

    fn receive(&mut self, within: Duration) -> Result<Option<Vec<u8>>, String> {
        let wait = within.max(Duration::from_millis(1));
        let waiting = self.socket.set_read_timeout(Some(wait));
        waiting.map_err(|error| error.to_string())?;
        let mut buffer = vec![0; 65_535];
        match self.socket.recv_from(&mut buffer) {
            Ok((length, _)) => {
                buffer.truncate(length);
                Ok(Some(buffer))
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(None)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn set_device(&mut self, name: &str, state: &str) -> Result<(), String> {
        said(self.asterisk.set_device(name, state))
    }

    fn set_mailbox(&mut self, name: &str, new: u16, old: u16) -> Result<(), String> {
        said(self.asterisk.set_mailbox(name, (new.into(), old.into())))
    }

    fn device(&mut self, name: &str) -> Result<Option<String>, String> {
        said(self.asterisk.device(name))
    }

    fn mailbox(&mut self, name: &str) -> Result<Option<(u32, u32)>, String> {
        said(self.asterisk.mailbox(name))
    }
}
