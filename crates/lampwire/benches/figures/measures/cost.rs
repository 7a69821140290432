//! What a PUBLISH costs whoever takes it in.

use std::net::SocketAddr;
use std::time::Duration;

use super::taking;
use crate::common::{self, Node};
use crate::load::{Event, Load};
use crate::others::{self, Other};
use crate::process;
use crate::report::{Report, Sample, Target};
use crate::{Lab, Scale};

const NODE: &str = "127.95.1.1";
const LOAD: &str = "127.95.1.2";
const GUARDED: &str = "127.95.1.3";
const ECHO: &str = "127.95.1.4:5060";
const KAMAILIO: &str = "127.95.1.5:5060";
/// More than the time until the last changes are written: the window, and as much for the disk.
const SETTLES: Duration = Duration::from_millis(300);
/// Devices of a load whose changes are kept.
const WIDE: usize = 20_000;

/// One that takes PUBLISHes, and who sends them.
struct Taker {
    id: u32,
    load: Load,
    publishes: usize,
    /// Any device changes, and not each lane's own.
    any: bool,
    cost: Sample,
}

impl Taker {
    fn new(id: u32, load: Load, publishes: usize) -> Self {
        let mut taker = Self {
            id,
            load,
            publishes,
            any: false,
            cost: Sample::default(),
        };
        // All publications are begun, all states are known, all caches are warm.
        taker.load.change(publishes / 4);
        taker
    }

    /// The same, of a load that changes any of its devices.
    fn any(id: u32, load: Load, publishes: usize) -> Self {
        Self {
            any: true,
            ..Self::new(id, load, publishes)
        }
    }

    fn run(&mut self) {
        let before = process::cpu(self.id);
        match self.any {
            true => {
                self.load.change_any(self.publishes);
                // What is still to be written costs too.
                std::thread::sleep(SETTLES);
            }
            false => self.load.change(self.publishes),
        }
        let used = process::cpu(self.id).saturating_sub(before);
        self.cost
            .0
            .push(used.as_secs_f64() * 1e6 / self.publishes as f64);
    }
}

/// Modify PUBLISHes over UDP, of 200 publications, 50 on their way.
pub(crate) fn cost(lab: &Lab, scale: &Scale, report: &mut Report) {
    let [many, some, few] = scale.publishes;
    let socket = |text: &str| -> SocketAddr { text.parse().expect("an address") };
    let at = |host: &str| socket(&format!("{host}:5060"));
    let load = |from: &str, to: SocketAddr| Load::new(at(from), to, Event::DeviceState, 200);
    let guard = "auth=guard\n[guard]\ntype=auth\nauth_type=digest\nusername=lamp\npassword=s3cret\nsupported_algorithms_uas=SHA-256\n";
    let guarded = taking("guarded", GUARDED).replacen(
        "identify_by=ip\n",
        &format!("identify_by=ip\n{guard}"),
        1,
    );
    // Both are called `load`.
    let guarded = guarded.replace("[guarded]\ntype=inbound", "[load]\ntype=inbound");
    let directory = common::directory("figures-cost");
    let own = "entity_id=02:00:00:00:00:01\nstate_dir=";
    let plain = Node::start(&directory, NODE, own, &taking("load", LOAD));
    let mut takers = vec![Taker::new(plain.id(), load(LOAD, at(NODE)), many)];
    let second = "127.95.1.6";
    let strict = Node::start(&directory, second, own, &guarded);
    let sender = load(GUARDED, at(second)).with_secret("lamp", "s3cret");
    takers.push(Taker::new(strict.id(), sender, many));
    let echo = others::echo(socket(ECHO));
    takers.push(Taker::new(
        echo.id(),
        load("127.95.1.7", socket(ECHO)),
        many,
    ));
    // Of so many devices that hardly two changes of one come into a batch.
    let mut wide = |state_dir: &str, node: &str, from: &str| {
        let own = format!("entity_id=02:00:00:00:00:01\nstate_dir={state_dir}");
        let node_of = Node::start(&directory, node, &own, &taking("load", from));
        let mut sender = Load::new(at(from), at(node), Event::DeviceState, WIDE);
        sender.fill(0..WIDE);
        takers.push(Taker::any(node_of.id(), sender, many));
        node_of
    };
    let _unkept = wide("", "127.95.1.9", "127.95.1.10");
    let kept = directory.join("kept").display().to_string();
    let _kept = wide(&kept, "127.95.1.11", "127.95.1.12");
    let sent = takers[0].load.written;
    report.notes.push(format!(
        "A PUBLISH of the load has {} bytes.",
        sent.0 / sent.1
    ));
    let kamailio = others::kamailio(socket(KAMAILIO));
    let place_of_kamailio = kamailio.as_ref().map(|process| {
        let sender = Load::new(at("127.95.1.8"), socket(KAMAILIO), Event::Presence, 200);
        takers.push(Taker::new(process.id(), sender, some));
        takers.len() - 1
    });
    let asterisk = Other::start(lab, "asterisk", true, &taking("load", LOAD));
    let place_of_asterisk = asterisk.as_ref().map(|other| {
        let to = SocketAddr::new(other.address, 5060);
        let from = format!("{LOAD}:5070");
        let sender = Load::new(socket(&from), to, Event::DeviceState, 200);
        takers.push(Taker::new(other.id, sender, few));
        takers.len() - 1
    });
    // In turn, so that what disturbs the machine disturbs all.
    for _ in 0..scale.runs {
        takers.iter_mut().for_each(Taker::run);
    }
    let none = Sample::default();
    let of = |place: Option<usize>| place.map_or(&none, |place| &takers[place].cost);
    let (plain, strict, echo) = (&takers[0].cost, &takers[1].cost, &takers[2].cost);
    let (unkept, kept) = (&takers[3].cost, &takers[4].cost);
    report.row(
        "CPU per modify PUBLISH taken in over UDP",
        "us",
        plain,
        vec![
            (Some(("bare tokio echo", echo)), Target::Part(2.5)),
            (
                Some(("Asterisk 22", of(place_of_asterisk))),
                Target::Part(1.0 / 20.0),
            ),
            (
                Some(("Kamailio, presence in memory", of(place_of_kamailio))),
                Target::Part(1.0 / 8.0),
            ),
        ],
    );
    report.row(
        "the same with digest SHA-256, nonce reused",
        "us",
        strict,
        vec![(Some(("without digest", plain)), Target::Part(1.3))],
    );
    report.row(
        "CPU per modify PUBLISH, any of 20,000 devices, all of it kept on the disk",
        "us",
        kept,
        vec![(Some(("the same without a store", unkept)), Target::None)],
    );
}
