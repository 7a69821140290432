//! A hub and three or four real Asterisks that are configured for themselves and the hub only.

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
use crate::report::Verdict;
use crate::sip::Relay;
use crate::{Lab, PATIENCE, tails};

/// How long the hub holds a lost node's states, and how soon it notices.
const HOLD: Duration = Duration::from_secs(3);
const OPTIONS: &str = "@probe=1\n@qualify_frequency=1\n@qualify_timeout=1\n";

/// The names and entity ids of the Asterisks. The third one stands behind a relay of ours, and publishes nothing when it is asked.
const NODES: [(&str, &str); 4] = [
    ("one", "02:00:00:00:00:02"),
    ("two", "02:00:00:00:00:03"),
    ("three", "02:00:00:00:00:04"),
    ("four", "02:00:00:00:00:05"),
];

/// Devices that telephones watch on each Asterisk.
const HINTED: [&str; 2] = ["Custom:sum", "Custom:of-0"];

#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    shows: &'static str,
    /// Whether the hub has a store.
    store: bool,
    run: fn(&mut World) -> Outcome,
}

const CASES: &[Case] = &[
    Case::of(
        "relays_and_takes_back",
        "a change on any shows on all others, with the right sum; one is killed, its lamps go out after the hold, and come back with it; on the wire to each nothing of its own",
        relays_and_takes_back,
    ),
    Case::of(
        "hints",
        "`core show hints` of each says the sum, also when one is killed and when it is back",
        hints,
    ),
    Case::of(
        "a_fourth_joins",
        "a fourth joins with configuration on itself and a reload of the hub, hears all and is heard by all",
        a_fourth_joins,
    ),
    Case::of(
        "partition",
        "three times the hold without a way to one that nobody can ask: right within 5 s of its end, no mailbox touched",
        partition,
    ),
    Case::of(
        "hub_restart",
        "the hub is killed and started: no lamp changes, and what changed meanwhile is right after",
        hub_restart,
    ),
    Case {
        store: true,
        ..Case::of(
            "hub_restart_with_store",
            "the same with `state_dir`",
            hub_restart,
        )
    },
    Case::of(
        "hub_away",
        "the hub is away for 20 s while states change: all right after",
        hub_away,
    ),
];

/// With four Asterisks, three of 22 and one of 16.
const MIXED: &[Case] = &[
    Case::of(
        "relays_and_takes_back",
        "the same among three of 22 and one of 16",
        relays_and_takes_back,
    ),
    Case::of("hints", "the same among three of 22 and one of 16", hints),
];

impl Case {
    const fn of(name: &'static str, shows: &'static str, run: fn(&mut World) -> Outcome) -> Self {
        Self {
            name,
            shows,
            store: false,
            run,
        }
    }
}

/// How long the hub is down in `hub_away`, in seconds; longer with LAMPWIRE_HUB_AWAY, as in a run by hand over a minute.
const AWAY: u64 = 20;

/// The trials: each case with Asterisks of each release, and some with both.
pub(crate) fn trials(lab_: &Arc<Lab>, first_number: usize) -> Vec<Trial> {
    let (new, old) = (Release::Asterisk22, Release::Asterisk16);
    let mut kinds: Vec<(&'static str, Vec<Release>, &[Case])> = Release::ALL
        .into_iter()
        .map(|release| (release.name(), vec![release; 3], CASES))
        .collect();
    kinds.push(("mixed", vec![new, new, new, old], MIXED));
    let mut trials = Vec::new();
    for (kind, releases, cases) in kinds {
        let missing = releases.iter().find(|it| !lab_.found.contains_key(it));
        for case in cases {
            let number = first_number + trials.len();
            let name = format!("{kind}::hub::{}", case.name);
            let (lab_, releases) = (Arc::clone(lab_), releases.clone());
            trials.push(match missing {
                None => Trial::test(name.clone(), move || {
                    run(&lab_, (kind, &releases), &name, *case, number).map_err(Failed::from)
                }),
                Some(release) => Trial::test(format!("{name} ({release} is missing)"), || Ok(()))
                    .with_ignored_flag(true),
            });
        }
    }
    trials
}

fn run(
    lab_: &Lab,
    (kind, releases): (&'static str, &[Release]),
    name: &str,
    case: Case,
    number: usize,
) -> Result<(), String> {
    let begun = Instant::now();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("interop")
        .join(format!("{}-{}", lab_.block, name.replace("::", "-")));
    let mut world =
        World::new(lab_, releases, &directory, number, case.store).map_err(|it| it.to_string())?;
    let outcome = world.start().and_then(|()| (case.run)(&mut world));
    let verdict = Verdict {
        passed: outcome.is_ok(),
        took: begun.elapsed(),
    };
    lab_.report
        .add_of_several("hub", (case.name, case.shows), kind, verdict);
    outcome.map_err(|failure| format!("{failure}\n{}", tails(&world.logs())))
}

/// The hub, the Asterisks, and what stands between it and the third of them.
struct World {
    hub: Lampwire,
    /// What is configured on the hub.
    sections: String,
    peers: Vec<Asterisk>,
    relay: Relay,
    /// What one more Asterisk is made of.
    more: Box<dyn Fn(usize) -> Outcome<Asterisk>>,
    addresses: Addresses,
}

impl World {
    fn new(
        lab_: &Lab,
        releases: &[Release],
        directory: &Path,
        number: usize,
        store: bool,
    ) -> Outcome<Self> {
        let addresses = Addresses::new(lab_.block, number);
        if directory.exists() {
            std::fs::remove_dir_all(directory).map_err(lab(directory.display()))?;
        }
        let (hub, between) = (addresses.subject(), addresses.host(9));
        let third_party = SocketAddr::new(addresses.third_party(), 0);
        let plan = {
            let directory = directory.to_owned();
            move |name, address, entity_id| {
                let mut plan: NodePlan = Relation::default().subject_plan(addresses, &directory);
                (plan.name, plan.address, plan.entity_id) = (name, address, entity_id);
                plan
            }
        };
        let node = Lampwire::new(directory.join("hub"), plan("hub", hub, "02:00:00:00:00:01"))?;
        let store = match store {
            true => format!("state_dir={}\n", directory.join("kept").display()),
            false => String::new(),
        };
        let mut sections = format!(
            "[lampwire]\ntype=lampwire\nrelay=yes\nhold_time={}\n{store}\n{}",
            HOLD.as_secs(),
            transport(hub)
        );
        let more = {
            let (found, releases) = (lab_.found.clone(), releases.to_owned());
            let directory = directory.to_owned();
            move |index: usize| -> Outcome<Asterisk> {
                let (name, entity_id) = NODES[index];
                let release = *releases.get(index).unwrap_or(&releases[0]);
                let root = found
                    .get(&release)
                    .ok_or_else(|| Failure::Lab(format!("{release} is missing")))?;
                let address = address_of(addresses, index);
                // What the two see of each other is the relay.
                let here = if index == BEHIND { between } else { hub };
                let node = Asterisk::new(
                    release,
                    root,
                    directory.join(name),
                    plan(name, address, entity_id),
                    third_party,
                )?;
                let own = transport(address) + &relation("hub", name, here, "", index != BEHIND);
                node.configure(&own, &MAILBOXES.map(str::to_owned))?;
                node.with_hints(&HINTED)?;
                Ok(node)
            }
        };
        let mut peers = Vec::new();
        for index in 0..releases.len() {
            sections.push_str(&relation_of_hub(addresses, index));
            peers.push(more(index)?);
        }
        node.configure(&sections)?;
        let on = |address| SocketAddr::new(address, SIP_PORT);
        let relay = Relay::start(on(between), on(hub), on(address_of(addresses, BEHIND)))?;
        Ok(Self {
            hub: node,
            sections,
            peers,
            relay,
            more: Box::new(more),
            addresses,
        })
    }

    fn start(&mut self) -> Outcome {
        self.hub.start()?;
        for peer in &mut self.peers {
            peer.start()?;
        }
        Ok(())
    }

    /// All Asterisks, by their places.
    fn all(&self) -> Vec<usize> {
        (0..self.peers.len()).collect()
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

    /// The same for its hint, in the words of `core show hints`.
    fn show_hint(&mut self, on: &[usize], device: &str, state: &str) -> Outcome {
        for index in on {
            let peer = &mut self.peers[*index];
            let what = format!("the hint of {device} on {}", peer.name());
            wait_until(PATIENCE, &what, &state.to_owned(), || peer.hint(device))?;
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

/// The place of the Asterisk that stands behind the relay.
const BEHIND: usize = 2;

fn address_of(addresses: Addresses, index: usize) -> IpAddr {
    addresses.host(u8::try_from(5 + index).expect("four Asterisks"))
}

/// What is written on the hub for one Asterisk.
fn relation_of_hub(addresses: Addresses, index: usize) -> String {
    let there = match index {
        BEHIND => addresses.host(9),
        _ => address_of(addresses, index),
    };
    let (name, _) = NODES[index];
    relation(name, name, there, OPTIONS, true)
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
    let all = world.all();
    let others = &all[1..];
    for from in all.clone() {
        let device = format!("Custom:of-{from}");
        for state in ["INUSE", "RINGING", "INUSE"] {
            world.peers[from].set_device(&device, state)?;
            world.show(&all, &device, state)?;
        }
    }
    world.peers[0].set_device("Custom:sum", "INUSE")?;
    world.peers[1].set_device("Custom:sum", "RINGING")?;
    world.show(&all, "Custom:sum", "RINGINUSE")?;
    let mailbox = MAILBOXES[0];
    world.peers[0].set_mailbox(mailbox, (3, 1))?;
    for index in others {
        let peer = &mut world.peers[*index];
        wait_until(PATIENCE, mailbox, &(3, 1), || peer.mailbox(mailbox))?;
    }

    world.peers[0].kill()?;
    world.show(others, "Custom:of-0", "INVALID")?;
    world.show(others, "Custom:sum", "RINGING")?;
    world.stays(2, &[("Custom:of-1", "INUSE")], Duration::from_millis(500))?;
    // It comes back with what its database has: a second's changes may be missing, and its own part of a sum counts once it is set anew.
    world.peers[0].start()?;
    let (first, rest) = world.peers.split_at_mut(1);
    for other in rest {
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
    world.show(&all, "Custom:sum", "RINGINUSE")?;
    // What it was told before its death it is told again.
    world.show(&[0], "Custom:of-2", "INUSE")?;
    nothing_is_echoed(world)
}

/// What telephones see: a hint says the sum of all.
fn hints(world: &mut World) -> Outcome {
    let all = world.all();
    let others = &all[1..];
    world.peers[0].set_device("Custom:of-0", "INUSE")?;
    world.show_hint(&all, "Custom:of-0", "InUse")?;
    for (from, state, hint) in [
        (0, "INUSE", "InUse"),
        (1, "RINGING", "InUse&Ringing"),
        (2, "ONHOLD", "InUse&Ringing"),
        (1, "NOT_INUSE", "InUse"),
    ] {
        world.peers[from].set_device("Custom:sum", state)?;
        world.show_hint(&all, "Custom:sum", hint)?;
    }
    world.peers[2].set_device("Custom:sum", "RINGING")?;
    world.show_hint(&all, "Custom:sum", "InUse&Ringing")?;
    world.peers[0].kill()?;
    world.show_hint(others, "Custom:sum", "Ringing")?;
    world.show_hint(others, "Custom:of-0", "Unavailable")?;
    world.peers[0].start()?;
    world.peers[0].set_device("Custom:sum", "BUSY")?;
    world.peers[0].set_device("Custom:of-0", "NOT_INUSE")?;
    world.show_hint(&all, "Custom:sum", "InUse&Ringing")?;
    world.show_hint(&all, "Custom:of-0", "Idle")
}

/// One more is configured for itself and on the hub, which reads its configuration again. Nobody else is touched.
fn a_fourth_joins(world: &mut World) -> Outcome {
    let mailbox = MAILBOXES[0];
    for from in world.all() {
        let device = format!("Custom:of-{from}");
        world.peers[from].set_device(&device, "INUSE")?;
    }
    world.show(&[0, 1, 2], "Custom:of-2", "INUSE")?;
    world.peers[1].set_mailbox(mailbox, (3, 1))?;
    let fourth = world.peers.len();
    world.sections += &relation_of_hub(world.addresses, fourth);
    world.hub.configure(&world.sections)?;
    world.hub.reload()?;
    let mut node = (world.more)(fourth)?;
    node.start()?;
    world.peers.push(node);
    for from in 0..fourth {
        world.show(&[fourth], &format!("Custom:of-{from}"), "INUSE")?;
    }
    let peer = &mut world.peers[fourth];
    wait_until(PATIENCE, mailbox, &(3, 1), || peer.mailbox(mailbox))?;
    let all = world.all();
    world.peers[fourth].set_device("Custom:of-3", "RINGING")?;
    world.show(&all, "Custom:of-3", "RINGING")?;
    world.peers[fourth].set_device("Custom:sum", "INUSE")?;
    world.peers[0].set_device("Custom:sum", "RINGING")?;
    world.show(&all, "Custom:sum", "RINGINUSE")?;
    nothing_is_echoed(world)
}

/// What the hub has told each Asterisk, as that has it in its own trace of the wire: of all the others, and nothing of its own.
fn nothing_is_echoed(world: &World) -> Outcome {
    for (index, peer) in world.peers.iter().enumerate() {
        let told = peer.told();
        for (other, (_, entity_id)) in NODES.iter().take(world.peers.len()).enumerate() {
            let eid = format!("\"eid\":\"{entity_id}\"");
            let found = told.iter().find(|body| body.contains(&eid));
            match found {
                Some(echo) if other == index => {
                    return Err(Failure::Expectation(format!(
                        "{} was told of its own: {echo}",
                        peer.name()
                    )));
                }
                None if other != index => {
                    return Err(Failure::Expectation(format!(
                        "{} was not told of {}: {told:?}",
                        peer.name(),
                        NODES[other].0
                    )));
                }
                Some(_) | None => {}
            }
        }
    }
    Ok(())
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
