//! A hub and three real Asterisks that are configured for themselves and the hub only.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};

use crate::asterisk::{Asterisk, MAILBOXES, Release};
use crate::instance::{Failure, Instance, LOOK_INTERVAL, Outcome, lab, wait_until};
use crate::lampwire::Lampwire;
use crate::relation::{Addresses, NodePlan, Relation, SIP_PORT};
use crate::sip::Relay;
use crate::{Lab, PATIENCE, tails};

/// How long the hub holds a lost node's states, and how soon it notices.
const HOLD: Duration = Duration::from_secs(3);
const OPTIONS: &str = "@probe=1\n@qualify_frequency=1\n@qualify_timeout=1\n";

/// The names and entity ids of the Asterisks. The last one stands behind a relay of ours, and publishes nothing when it is asked.
const NODES: [(&str, &str); 3] = [
    ("one", "02:00:00:00:00:02"),
    ("two", "02:00:00:00:00:03"),
    ("three", "02:00:00:00:00:04"),
];

#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    /// Whether the hub has a store.
    store: bool,
    run: fn(&mut World) -> Outcome,
}

const CASES: [Case; 5] = [
    Case::of("relays_and_takes_back", relays_and_takes_back),
    Case::of("partition", partition),
    Case::of("hub_restart", hub_restart),
    Case {
        store: true,
        ..Case::of("hub_restart_with_store", hub_restart)
    },
    Case::of("hub_away", hub_away),
];

impl Case {
    const fn of(name: &'static str, run: fn(&mut World) -> Outcome) -> Self {
        Self {
            name,
            store: false,
            run,
        }
    }
}

/// How long the hub is down in `hub_away`, in seconds; longer with LAMPWIRE_HUB_AWAY, as in a run by hand over a minute.
const AWAY: u64 = 20;

/// The trials: each case with Asterisks of each release.
pub(crate) fn trials(lab_: &Arc<Lab>, first_number: usize) -> Vec<Trial> {
    let mut trials = Vec::new();
    for release in Release::ALL {
        for case in CASES {
            let number = first_number + trials.len();
            let name = format!("{release}::hub::{}", case.name);
            let lab_ = Arc::clone(lab_);
            trials.push(match lab_.found.contains_key(&release) {
                true => Trial::test(name.clone(), move || {
                    run(&lab_, release, &name, case, number).map_err(Failed::from)
                }),
                false => Trial::test(format!("{name} ({release} is missing)"), || Ok(()))
                    .with_ignored_flag(true),
            });
        }
    }
    trials
}

fn run(lab_: &Lab, release: Release, name: &str, case: Case, number: usize) -> Result<(), String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("interop")
        .join(format!("{}-{}", lab_.block, name.replace("::", "-")));
    let mut world =
        World::new(lab_, release, &directory, number, case.store).map_err(|it| it.to_string())?;
    let outcome = world.start().and_then(|()| (case.run)(&mut world));
    outcome.map_err(|failure| format!("{failure}\n{}", tails(&world.logs())))
}

/// The hub, the Asterisks, and what stands between it and the last of them.
struct World {
    hub: Lampwire,
    peers: Vec<Asterisk>,
    relay: Relay,
}

impl World {
    fn new(
        lab_: &Lab,
        release: Release,
        directory: &Path,
        number: usize,
        store: bool,
    ) -> Outcome<Self> {
        let addresses = Addresses::new(lab_.block, number);
        if directory.exists() {
            std::fs::remove_dir_all(directory).map_err(lab(directory.display()))?;
        }
        let root = lab_
            .found
            .get(&release)
            .ok_or_else(|| Failure::Lab(format!("{release} is missing")))?;
        let plan = |name, address, entity_id| {
            let mut plan: NodePlan = Relation::default().subject_plan(addresses, directory);
            (plan.name, plan.address, plan.entity_id) = (name, address, entity_id);
            plan
        };
        let (hub, between) = (addresses.subject(), addresses.host(9));
        let third_party = SocketAddr::new(addresses.third_party(), 0);
        let mut sections = transport(hub);
        let mut peers = Vec::new();
        for ((name, entity_id), number) in NODES.into_iter().zip(5..) {
            let address = addresses.host(number);
            let last = name == "three";
            // What the two see of each other is the relay.
            let (there, here) = if last {
                (between, between)
            } else {
                (address, hub)
            };
            sections.push_str(&relation(name, name, there, OPTIONS, true));
            let node = Asterisk::new(
                release,
                root,
                directory.join(name),
                plan(name, address, entity_id),
                third_party,
            )?;
            let own = transport(address) + &relation("hub", name, here, "", !last);
            node.configure(&own, &MAILBOXES.map(str::to_owned))?;
            peers.push(node);
        }
        let node = Lampwire::new(directory.join("hub"), plan("hub", hub, "02:00:00:00:00:01"))?;
        let store = match store {
            true => format!("state_dir={}\n", directory.join("kept").display()),
            false => String::new(),
        };
        node.configure(&format!(
            "{sections}[lampwire]\ntype=lampwire\nrelay=yes\nhold_time={}\n{store}",
            HOLD.as_secs()
        ))?;
        let on = |address| SocketAddr::new(address, SIP_PORT);
        let relay = Relay::start(on(between), on(hub), on(addresses.host(7)))?;
        Ok(Self {
            hub: node,
            peers,
            relay,
        })
    }

    fn start(&mut self) -> Outcome {
        self.hub.start()?;
        for peer in &mut self.peers {
            peer.start()?;
        }
        Ok(())
    }

    fn logs(&self) -> Vec<PathBuf> {
        let mut logs = self.hub.logs();
        logs.extend(self.peers.iter().flat_map(Instance::logs));
        logs
    }

    /// Waits until a device shows the same on all that are named.
    fn show(&mut self, on: &[usize], device: &str, state: &str) -> Outcome {
        for index in on {
            let peer = &mut self.peers[*index];
            let what = format!("{device} on {}", peer.name());
            wait_until(PATIENCE, &what, &state.to_owned(), || peer.device(device))?;
        }
        Ok(())
    }

    /// Sees for a time that devices on one Asterisk stay as they are.
    fn stays(&mut self, on: usize, devices: &[(&str, &str)], time: Duration) -> Outcome {
        let until = Instant::now() + time;
        while Instant::now() < until {
            for (device, state) in devices {
                let seen = self.peers[on].device(device)?;
                if seen.as_deref() != Some(*state) {
                    return Err(Failure::Expectation(format!(
                        "{device} on {} is {seen:?}, and was to stay {state}",
                        self.peers[on].name()
                    )));
                }
            }
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }
}

pub(crate) fn transport(address: IpAddr) -> String {
    format!("[udp]\ntype=transport\nprotocol=udp\nbind={address}:{SIP_PORT}\n\n")
}

/// The sections by which a node and `other`, at `address`, tell each other everything; `resource` is what the Asterisk of the two is called.
pub(crate) fn relation(
    other: &str,
    resource: &str,
    address: IpAddr,
    options: &str,
    dumps: bool,
) -> String {
    let publish = |suffix: &str, event: &str| {
        format!(
            "[{other}-{suffix}]\ntype=outbound-publish\nserver_uri=sip:{resource}@{address}\nevent={event}\n{options}\n"
        )
    };
    let named = match dumps {
        true => {
            format!("devicestate_publish={other}-devicestate\nmailboxstate_publish={other}-mwi\n")
        }
        false => String::new(),
    };
    format!(
        "[{resource}]\ntype=endpoint\n\n{}{}\
         [{resource}]\ntype=inbound-publication\nevent_asterisk-devicestate={other}\nevent_asterisk-mwi={other}\n\n\
         [{other}]\ntype=asterisk-publication\n{named}device_state=yes\nmailbox_state=yes\n\n",
        publish("devicestate", "asterisk-devicestate"),
        publish("mwi", "asterisk-mwi"),
    )
}

// ---- the cases

/// A change on any shows on all others, summed; the lamps of one that dies go out, and come back with it.
fn relays_and_takes_back(world: &mut World) -> Outcome {
    for from in 0..3 {
        let device = format!("Custom:of-{from}");
        for state in ["INUSE", "RINGING", "INUSE"] {
            world.peers[from].set_device(&device, state)?;
            world.show(&[0, 1, 2], &device, state)?;
        }
    }
    world.peers[0].set_device("Custom:sum", "INUSE")?;
    world.peers[1].set_device("Custom:sum", "RINGING")?;
    world.show(&[0, 1, 2], "Custom:sum", "RINGINUSE")?;
    let mailbox = MAILBOXES[0];
    world.peers[0].set_mailbox(mailbox, (3, 1))?;
    let peer = &mut world.peers[2];
    wait_until(PATIENCE, mailbox, &(3, 1), || peer.mailbox(mailbox))?;

    world.peers[0].kill()?;
    world.show(&[1, 2], "Custom:of-0", "INVALID")?;
    world.show(&[1, 2], "Custom:sum", "RINGING")?;
    world.stays(2, &[("Custom:of-1", "INUSE")], Duration::from_millis(500))?;
    // It comes back with what its database has: a second's changes may be missing, and its own part of a sum counts once it is set anew.
    world.peers[0].start()?;
    let (first, others) = world.peers.split_at_mut(1);
    for other in others {
        let what = format!(
            "the same of Custom:of-0 on {} as on the one that died",
            other.name()
        );
        wait_until(PATIENCE, &what, &true, || {
            let (own, seen) = (
                first[0].device("Custom:of-0")?,
                other.device("Custom:of-0")?,
            );
            Ok(Some(own.is_some() && own == seen))
        })?;
    }
    world.peers[0].set_device("Custom:sum", "BUSY")?;
    world.show(&[0, 1, 2], "Custom:sum", "RINGINUSE")?;
    // What it was told before its death it is told again.
    world.show(&[0], "Custom:of-2", "INUSE")?;
    nothing_is_echoed(world)
}

/// What the hub has told the last Asterisk, as it was on the wire: of the others, and nothing of its own.
fn nothing_is_echoed(world: &World) -> Outcome {
    let bodies = world.relay.bodies();
    let told_of = |index: usize| {
        let eid = format!("\"eid\":\"{}\"", NODES[index].1);
        bodies.iter().find(move |body| body.contains(&eid))
    };
    if told_of(0).is_none() || told_of(1).is_none() {
        return Err(Failure::Expectation(format!(
            "it was not told of both others: {bodies:?}"
        )));
    }
    match told_of(2) {
        Some(echo) => Err(Failure::Expectation(format!(
            "it was told of its own: {echo}"
        ))),
        None => Ok(()),
    }
}

/// Three times the hold with no change and nobody to ask: the lamps go out, and are back within 5 s of its end, with no mailbox touched.
fn partition(world: &mut World) -> Outcome {
    let mailbox = MAILBOXES[0];
    world.peers[2].set_mailbox(mailbox, (2, 5))?;
    for number in 0..6 {
        world.peers[2].set_device(&format!("Custom:p{number}"), "INUSE")?;
    }
    for number in 0..6 {
        world.show(&[0, 1], &format!("Custom:p{number}"), "INUSE")?;
    }
    let peer = &mut world.peers[0];
    wait_until(PATIENCE, mailbox, &(2, 5), || peer.mailbox(mailbox))?;
    world.relay.cut(true);
    let begun = Instant::now();
    world.show(&[0, 1], "Custom:p0", "INVALID")?;
    thread::sleep((HOLD * 3).saturating_sub(begun.elapsed()));
    world.relay.cut(false);
    let healed = Instant::now();
    for number in 0..6 {
        world.show(&[0, 1], &format!("Custom:p{number}"), "INUSE")?;
    }
    let took = healed.elapsed();
    if took > Duration::from_secs(5) {
        return Err(Failure::Expectation(format!(
            "right only {took:?} after it healed"
        )));
    }
    for peer in &mut world.peers {
        wait_until(PATIENCE, mailbox, &(2, 5), || peer.mailbox(mailbox))?;
    }
    Ok(())
}

/// The hub dies and comes again: no lamp changes, and what changed meanwhile is right after.
fn hub_restart(world: &mut World) -> Outcome {
    for (from, device) in [(0, "Custom:a"), (1, "Custom:b"), (2, "Custom:of-2")] {
        world.peers[from].set_device(device, "INUSE")?;
        world.show(&[0, 1, 2], device, "INUSE")?;
    }
    world.hub.kill()?;
    world.hub.start()?;
    let as_they_were = [("Custom:a", "INUSE"), ("Custom:b", "INUSE")];
    world.stays(2, &as_they_were, HOLD + Duration::from_secs(3))?;
    world.hub.kill()?;
    world.peers[0].set_device("Custom:a", "BUSY")?;
    world.peers[1].set_device("Custom:c", "RINGING")?;
    thread::sleep(Duration::from_secs(2));
    world.hub.start()?;
    world.show(&[0, 1, 2], "Custom:a", "BUSY")?;
    world.show(&[0, 1, 2], "Custom:c", "RINGING")?;
    nothing_is_echoed(world)
}

/// The hub is down for a while in which states change everywhere; after that all is right.
fn hub_away(world: &mut World) -> Outcome {
    for (from, device) in [(0, "Custom:a"), (1, "Custom:b"), (2, "Custom:c")] {
        world.peers[from].set_device(device, "INUSE")?;
        world.show(&[0, 1, 2], device, "INUSE")?;
    }
    let mailbox = MAILBOXES[0];
    world.hub.kill()?;
    let begun = Instant::now();
    let away = std::env::var("LAMPWIRE_HUB_AWAY").ok();
    let away = away.and_then(|it| it.parse().ok()).unwrap_or(AWAY);
    for state in ["RINGING", "BUSY", "ONHOLD"] {
        for (from, device) in [(0, "Custom:a"), (1, "Custom:b")] {
            world.peers[from].set_device(device, state)?;
        }
    }
    world.peers[0].set_device("Custom:new", "INUSE")?;
    world.peers[1].set_mailbox(mailbox, (4, 2))?;
    thread::sleep(Duration::from_secs(away).saturating_sub(begun.elapsed()));
    world.hub.start()?;
    for device in ["Custom:a", "Custom:b"] {
        world.show(&[0, 1, 2], device, "ONHOLD")?;
    }
    world.show(&[0, 1, 2], "Custom:new", "INUSE")?;
    world.show(&[0, 1, 2], "Custom:c", "INUSE")?;
    for peer in &mut world.peers {
        wait_until(PATIENCE, mailbox, &(4, 2), || peer.mailbox(mailbox))?;
    }
    nothing_is_echoed(world)
}
