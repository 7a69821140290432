//! `lampwire bench`: load for whoever takes PUBLISHes.

mod digest;
mod load;
mod report;
mod wire;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use lampwire_sip::{EntityId, EventPackage, Host, Scheme, Uri};

use self::load::{Load, Plan};
use self::wire::{Carrier, Wire};

/// The most requests a second. One thread makes them, which is at its end before that.
const RATE_MAX: u32 = 200_000;
/// The longest run, in seconds: a day.
const DURATION_MAX: u64 = 24 * 60 * 60;
/// Publications where nothing else is said.
const LANES: u32 = 64;
/// The most publications. Each holds a request of about a kilobyte.
const LANES_MAX: u32 = 10_000;
/// The most devices or mailboxes: a few times what the largest node has.
const DEVICES_MAX: u32 = 10_000_000;

/// Put load on a node, and measure how it takes it
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Publish(Publish),
}

/// Send PUBLISHes at a steady rate, to a Lampwire or an Asterisk, and tell how long they took
///
/// A request is due when the rate says so, whether earlier ones have been answered or not, and its latency counts from that moment: a
/// target that stalls is not spared the requests it would have got. Each lane is one publication with one request on its way at most; it is
/// begun before the clock starts and removed at the end. The states are INUSE and NOT_INUSE in turn, or counts of messages. The target
/// takes them as it takes a peer's and tells them on: use a name and an entity id that nobody else has.
#[derive(Debug, clap::Args)]
#[command(override_usage = "lampwire bench publish [OPTIONS] --to <URI>")]
struct Publish {
    /// Where to: sip:RESOURCE@HOST:PORT, with ;transport=tcp or ;transport=tls behind it, or sips:
    #[arg(long, value_name = "URI", value_parser = Target::parse, required_unless_present = "target", conflicts_with = "target")]
    to: Option<Target>,

    /// The same as --to
    #[arg(value_name = "URI", value_parser = Target::parse)]
    target: Option<Target>,

    /// The user name in From, by which the target may know the endpoint [default: that of the URI]
    #[arg(long, value_name = "NAME", value_parser = user)]
    user: Option<String>,

    /// What is told: asterisk-devicestate or asterisk-mwi
    #[arg(long, value_name = "EVENT", default_value = "asterisk-devicestate", value_parser = event)]
    event: EventPackage,

    /// Requests a second
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(RATE_MAX)))]
    rate: u32,

    /// For how many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=DURATION_MAX))]
    duration: u64,

    /// Devices or mailboxes that the requests are about, in turn [default: one for each lane]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(DEVICES_MAX)))]
    devices: Option<u32>,

    /// Publications side by side [default: 64, and no more than --devices]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(LANES_MAX)))]
    lanes: Option<u32>,

    /// The entity id that the states are told under
    #[arg(long, value_name = "EID", default_value = "02:00:00:00:be:4c", value_parser = entity_id)]
    eid: EntityId,

    /// Answer challenges, by the algorithm they ask for: USER:PASSWORD, or @FILE that holds it. Other users can see arguments
    #[arg(long, value_name = "USER:PASSWORD")]
    digest: Option<String>,

    /// For TLS: a PEM file with the certificates to trust [default: those of the system]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// The address to send from, where the target knows the endpoint by it [default: what the system chooses]
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<IpAddr>,

    /// Leave the publications there; the target forgets them when they expire
    #[arg(long)]
    keep: bool,

    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Runs it, which takes as long as it was asked to.
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        let What::Publish(publish) = &self.what;
        publish.execute()
    }
}

impl Publish {
    fn execute(&self) -> anyhow::Result<()> {
        let target = self.to.as_ref().or(self.target.as_ref());
        let target = target.expect("clap wants one of the two");
        let lanes = self
            .lanes
            .unwrap_or_else(|| LANES.min(self.devices.unwrap_or(LANES)));
        let devices = self.devices.unwrap_or(lanes);
        if devices < lanes {
            bail!(
                "--devices {devices} is fewer than --lanes {lanes}: a device belongs to one lane"
            );
        }
        if self.ca.is_some() && target.carrier != Carrier::Tls {
            bail!("--ca is for TLS: give sips: or ;transport=tls");
        }
        let secret = self.digest.as_deref().map(secret).transpose()?;
        let remote = target.resolve()?;
        let wire = Wire::open(
            target.carrier,
            remote,
            self.bind,
            &target.host,
            self.ca.as_deref(),
        )?;
        let user = self.user.as_ref().or(target.user.as_ref());
        let plan = Plan {
            uri: target.uri.clone(),
            user: user.cloned(),
            event: self.event,
            eid: self.eid,
            rate: self.rate,
            duration: Duration::from_secs(self.duration),
            devices,
            lanes,
            secret,
        };
        let mut load = Load::new(&plan, wire, remote)?;
        let measured = load.begin().and_then(|()| load.measure());
        if !self.keep {
            load.end();
        }
        let measured = measured?;
        if self.json {
            super::output::print_json(&report::json(&plan, target.carrier, &measured))
        } else {
            report::print(&plan, &measured)
        }
    }
}

/// Where the load goes.
#[derive(Clone, Debug)]
struct Target {
    uri: String,
    user: Option<String>,
    host: String,
    port: u16,
    carrier: Carrier,
}

impl Target {
    fn parse(text: &str) -> Result<Self, String> {
        let uri = Uri::parse(text).map_err(|error| error.to_string())?;
        let secure = match uri.scheme {
            Scheme::Sip => false,
            Scheme::Sips => true,
            _ => return Err("give a sip: or sips: URI".to_owned()),
        };
        let transport = uri.params.value("transport").unwrap_or_default();
        let carrier = match transport.to_ascii_lowercase().as_str() {
            "" | "tcp" | "tls" if secure => Carrier::Tls,
            "tls" => Carrier::Tls,
            "tcp" => Carrier::Tcp,
            "" | "udp" if !secure => Carrier::Udp,
            "udp" => return Err("sips: is never sent over UDP".to_owned()),
            other => return Err(format!("no transport {other:?}: udp, tcp or tls")),
        };
        let host = match uri.host {
            Host::V6(address) => address.to_string(),
            host => host.to_string(),
        };
        if host.is_empty() {
            return Err("the URI has no host".to_owned());
        }
        let port = uri.port.unwrap_or(match carrier {
            Carrier::Tls => 5061,
            Carrier::Udp | Carrier::Tcp => 5060,
        });
        Ok(Self {
            uri: text.to_owned(),
            user: uri.user.map(str::to_owned),
            host,
            port,
            carrier,
        })
    }

    /// The first address of the host: what is measured is one server.
    fn resolve(&self) -> anyhow::Result<SocketAddr> {
        let mut found = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .with_context(|| format!("{} is not found", self.host))?;
        found
            .next()
            .with_context(|| format!("{} has no address", self.host))
    }
}

fn user(text: &str) -> Result<String, String> {
    match Uri::parse(&format!("sip:{text}@host")) {
        Ok(uri) if uri.user == Some(text) => Ok(text.to_owned()),
        _ => Err("no user name of a URI: escape what is special by %".to_owned()),
    }
}

fn event(text: &str) -> Result<EventPackage, String> {
    EventPackage::parse(text).ok_or_else(|| "asterisk-devicestate or asterisk-mwi".to_owned())
}

fn entity_id(text: &str) -> Result<EntityId, String> {
    text.parse()
        .map_err(|_| "six pairs of hexadecimal digits, as 02:00:00:00:be:4c".to_owned())
}

/// User and password, as they were given or from a file.
fn secret(text: &str) -> anyhow::Result<(String, String)> {
    let read;
    let pair = match text.strip_prefix('@') {
        Some(path) => {
            read = std::fs::read_to_string(path)
                .with_context(|| format!("--digest: {path} cannot be read"))?;
            read.trim_end_matches(['\r', '\n'])
        }
        None => text,
    };
    let (user, password) = pair
        .split_once(':')
        .filter(|(user, _)| !user.is_empty())
        .context("--digest: give USER:PASSWORD, or @FILE that holds it")?;
    Ok((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn targets_are_understood_or_told() {
        let target = |text| Target::parse(text).map(|it| (it.carrier, it.host, it.port, it.user));
        let lamps = || Some("lamps".to_owned());
        assert_eq!(
            target("sip:lamps@127.0.0.1"),
            Ok((Carrier::Udp, "127.0.0.1".to_owned(), 5060, lamps()))
        );
        assert_eq!(
            target("sips:lamps@[::1]:5099"),
            Ok((Carrier::Tls, "::1".to_owned(), 5099, lamps()))
        );
        assert_eq!(
            target("sip:a.example;transport=TLS"),
            Ok((Carrier::Tls, "a.example".to_owned(), 5061, None))
        );
        assert_eq!(
            target("sip:lamps@a.example:5070;transport=tcp"),
            Ok((Carrier::Tcp, "a.example".to_owned(), 5070, lamps()))
        );
        for wrong in [
            "lamps@127.0.0.1",
            "tel:1",
            "sip:a b@c",
            "sip:a@b;transport=ws",
            "sips:a@b;transport=udp",
            "sip:a@b:0",
        ] {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn secrets_are_a_pair() {
        assert_eq!(secret("a:b:c").unwrap(), ("a".to_owned(), "b:c".to_owned()));
        for wrong in ["a", ":b", "@/nowhere/at/all"] {
            assert!(secret(wrong).is_err(), "{wrong}");
        }
    }
}
