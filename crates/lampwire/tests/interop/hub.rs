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

type Case = fn(&mut World) -> Outcome;

const CASES: [(&str, Case); 3] = [
    ("relays_and_takes_back", relays_and_takes_back),
    ("partition", partition),
    ("hub_restart", hub_restart),
];

/// The trials: each case with Asterisks of each release.
pub(crate) fn trials(lab_: &Arc<Lab>, first_number: usize) -> Vec<Trial> {
    let mut trials = Vec::new();
    for release in Release::ALL {
        for (name, case) in CASES {
            let number = u8::try_from(first_number + trials.len()).expect("fewer than 256 trials");
            let name = format!("{release}::hub::{name}");
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

fn run(lab_: &Lab, release: Release, name: &str, case: Case, number: u8) -> Result<(), String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("interop")
        .join(format!("{}-{}", lab_.block, name.replace("::", "-")));
    let mut world = World::new(lab_, release, &directory, number).map_err(|it| it.to_string())?;
    let outcome = world.start().and_then(|()| case(&mut world));
    outcome.map_err(|failure| format!("{failure}\n{}", tails(&world.logs())))
}

/// The hub, the Asterisks, and what stands between it and the last of them.
struct World {
    hub: Lampwire,
    peers: Vec<Asterisk>,
    relay: Relay,
}

impl World {
    fn new(lab_: &Lab, release: Release, directory: &Path, number: u8) -> Outcome<Self> {
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
        node.configure(&format!(
            "{sections}[lampwire]\ntype=lampwire\nrelay=yes\nhold_time={}\n",
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

fn transport(address: IpAddr) -> String {
    format!("[udp]\ntype=transport\nprotocol=udp\nbind={address}:{SIP_PORT}\n\n")
}

/// The sections by which a node and `other`, at `address`, tell each other everything; `resource` is what the Asterisk of the two is called.
fn relation(other: &str, resource: &str, address: IpAddr, options: &str, dumps: bool) -> String {
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
    world.show(&[0], "Custom:of-2", "INUSE")
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
    for (from, device) in [(0, "Custom:a"), (1, "Custom:b")] {
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
    world.show(&[0, 1, 2], "Custom:c", "RINGING")
}
