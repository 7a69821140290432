//! An Asterisk without the exchange, which takes part through its manager interface, beside two that have it: all lamps are right on all three.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};

use crate::asterisk::{self, Asterisk, Release};
use crate::instance::{Failure, Instance, LOOK_INTERVAL, Outcome, lab, wait_until};
use crate::lampwire::Lampwire;
use crate::relation::{Addresses, NodePlan, Relation, SIP_PORT};
use crate::report::Verdict;
use crate::{Lab, PATIENCE, ami, tails};

/// How long the manager interface is cut: beyond the silence that Lampwire waits out, so that it has to connect anew.
const CUT: Duration = Duration::from_secs(20);
/// Within so long all lamps are right again once the Asterisk, or the way to it, is back.
const SOON: Duration = Duration::from_secs(2);
/// Changes of the storm after which nothing may have come back.
const STORM: usize = 300;

/// The trial for which an Asterisk needs a module that it may not have.
const VOICEMAIL: &str = "mailboxes_of_its_voice_mail_are_listed";

/// What is tried in a world that has started. Gives how long it took until all was right again, where something was wrong on the way.
type Try = fn(&mut World) -> Outcome<Option<Duration>>;

/// A case: its name, what it shows, and what is done.
struct Case {
    name: &'static str,
    shows: &'static str,
    run: Try,
}

const CASES: [Case; 5] = [
    Case {
        name: "all_lamps_are_right_on_all_three",
        shows: "states of devices and mailboxes go everywhere, and none comes back as an echo, in a storm of 300 changes",
        run: lamps,
    },
    Case {
        name: "an_asterisk_restarts",
        shows: "others' states change while it is down: within 2 s of its start all are right",
        run: restart,
    },
    Case {
        name: "a_cut_of_20_s_while_states_change",
        shows: "states change on both sides of a manager interface that is cut: within 2 s of its end all are right",
        run: cut,
    },
    Case {
        name: "one_that_has_the_exchange_is_refused",
        shows: "an Asterisk that takes others' states by PUBLISH is not read, and the log says why",
        run: refused,
    },
    Case {
        name: VOICEMAIL,
        shows: "the mailboxes of app_voicemail are known without being named, also after a restart",
        run: voicemail,
    },
];

/// The trials, each on addresses of its own.
pub(crate) fn trials(lab_: &Arc<Lab>, first_number: usize) -> Vec<Trial> {
    let mut trials = Vec::new();
    for release in Release::ALL {
        for case in &CASES {
            let number = first_number + trials.len();
            let name = format!("{release}::manager::{}", case.name);
            let missing = match lab_.found.get(&release) {
                None => Some(format!("{release} is missing")),
                Some(root) if case.name == VOICEMAIL && !asterisk::has_voicemail(release, root) => {
                    Some("it has no app_voicemail; .ci/install-asterisks puts it there".to_owned())
                }
                Some(_) => None,
            };
            let lab_ = Arc::clone(lab_);
            trials.push(match missing {
                None => Trial::test(name, move || {
                    trial(&lab_, release, number, case).map_err(Failed::from)
                }),
                Some(why) => {
                    Trial::test(format!("{name} ({why})"), || Ok(())).with_ignored_flag(true)
                }
            });
        }
    }
    trials
}

fn trial(lab_: &Lab, release: Release, number: usize, case: &Case) -> Result<(), String> {
    let begun = Instant::now();
    let mut world = World::new(lab_, release, number, case.name).map_err(|it| it.to_string())?;
    let outcome = world.start().and_then(|()| (case.run)(&mut world));
    let verdict = Verdict {
        passed: outcome.is_ok(),
        took: begun.elapsed(),
    };
    let right_after = outcome.as_ref().ok().copied().flatten();
    let report = &lab_.report;
    report.add_managed(case.name, case.shows, release, verdict, right_after);
    let told = |failure| format!("{failure}\n{}", tails(&world.logs()));
    outcome.map(drop).map_err(told)
}

/// Lampwire in the middle, two Asterisks that publish, and one that is reached by its manager interface.
struct World {
    lampwire: Lampwire,
    /// Another, which takes one that publishes for one without the exchange. It is not started.
    mistaken: Lampwire,
    plain: Asterisk,
    peers: [Asterisk; 2],
    cutter: Cutter,
}

impl World {
    fn new(lab_: &Lab, release: Release, number: usize, case: &str) -> Outcome<Self> {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("interop")
            .join(format!("{}-{release}-manager-{case}", lab_.block));
        if directory.exists() {
            std::fs::remove_dir_all(&directory).map_err(lab(directory.display()))?;
        }
        let root = lab_
            .found
            .get(&release)
            .ok_or_else(|| Failure::Lab(format!("{release} is missing")))?;
        let addresses = Addresses::new(lab_.block, number);
        let third_party = SocketAddr::new(addresses.third_party(), 0);
        let plan = |name, address, entity_id| {
            let mut plan = Relation::default().subject_plan(addresses, &directory);
            (plan.name, plan.address, plan.entity_id) = (name, address, entity_id);
            plan
        };
        let asterisk = |plan: NodePlan| {
            let directory = directory.join(plan.name);
            Asterisk::new(release, root, directory, plan, third_party)
        };
        let plain = plan("plain", addresses.host(5), "02:00:00:00:00:05");
        let interface = SocketAddr::new(plain.address, ami::PORT);
        let plain = asterisk(plain)?;
        plain.without_exchange()?;
        if case == VOICEMAIL {
            plain.with_voicemail(&["100", "200"])?;
            plain.leave_messages("100", "INBOX", 2)?;
            plain.leave_messages("100", "Urgent", 1)?;
            plain.leave_messages("100", "Old", 1)?;
        }
        let middle = addresses.subject();
        let mut sections = format!(
            "[udp]\ntype=transport\nprotocol=udp\nbind={middle}:{SIP_PORT}\n\n\
             [plain]\ntype=ami\nhost={}\nusername={user}\nsecret={user}\nsink=yes\n\
             device_state_filter=^Custom:own-\nmailbox_state_filter=@default$\n\n",
            addresses.host(7),
            user = ami::USER,
        );
        let [one, two] = [
            ("one", addresses.host(2), "02:00:00:00:00:02"),
            ("two", addresses.host(6), "02:00:00:00:00:06"),
        ]
        .map(|(name, address, eid)| {
            sections.push_str(&relation(name, name, address));
            let node = asterisk(plan(name, address, eid))?;
            let transport =
                format!("[udp]\ntype=transport\nprotocol=udp\nbind={address}:{SIP_PORT}\n\n");
            let mailboxes = crate::asterisk::MAILBOXES.map(str::to_owned);
            node.configure(&(transport + &relation("middle", name, middle)), &mailboxes)?;
            Ok(node)
        });
        let lampwire = Lampwire::new(
            directory.join("lampwire"),
            plan("middle", middle, "02:00:00:00:00:01"),
        )?;
        lampwire.configure(&format!("{sections}[lampwire]\ntype=lampwire\nrelay=yes\n"))?;
        let other = addresses.host(8);
        let mistaken = Lampwire::new(
            directory.join("mistaken"),
            plan("mistaken", other, "02:00:00:00:00:08"),
        )?;
        mistaken.configure(&format!(
            "[udp]\ntype=transport\nprotocol=udp\nbind={other}:{SIP_PORT}\n\n\
             [one]\ntype=ami\nhost={}\nusername={user}\nsecret={user}\n\n\
             [lampwire]\ntype=lampwire\n",
            addresses.host(2),
            user = ami::USER,
        ))?;
        Ok(Self {
            lampwire,
            mistaken,
            plain,
            peers: [one?, two?],
            cutter: Cutter::start(SocketAddr::new(addresses.host(7), ami::PORT), interface)?,
        })
    }

    fn start(&mut self) -> Outcome {
        self.lampwire.start()?;
        self.plain.start()?;
        for peer in &mut self.peers {
            peer.start()?;
        }
        Ok(())
    }

    fn logs(&self) -> Vec<std::path::PathBuf> {
        let mut logs = self.lampwire.logs();
        logs.extend(self.plain.logs());
        logs
    }

    /// Waits until a device shows the same on all three, the one without the exchange having others' under the prefix.
    fn everywhere(&mut self, device: &str, state: &str) -> Outcome {
        let remote = format!("Custom:remote-{device}");
        let name = if device.starts_with("Custom:own-") {
            device
        } else {
            &remote
        };
        shows(&mut self.plain, name, state)?;
        for peer in &mut self.peers {
            shows(peer, device, state)?;
        }
        Ok(())
    }
}

/// The sections by which `name` and the one at `address` tell each other everything; `resource` is what the Asterisk of the two is called.
fn relation(other: &str, resource: &str, address: IpAddr) -> String {
    let publish = |suffix: &str, event: &str| {
        format!(
            "[{other}-{suffix}]\ntype=outbound-publish\nserver_uri=sip:{resource}@{address}\nevent={event}\n\n"
        )
    };
    format!(
        "[{resource}]\ntype=endpoint\n\n{}{}\
         [{resource}]\ntype=inbound-publication\nevent_asterisk-devicestate={other}\nevent_asterisk-mwi={other}\n\n\
         [{other}]\ntype=asterisk-publication\ndevicestate_publish={other}-devicestate\nmailboxstate_publish={other}-mwi\n\
         device_state=yes\nmailbox_state=yes\n\n",
        publish("devicestate", "asterisk-devicestate"),
        publish("mwi", "asterisk-mwi"),
    )
}

fn shows(node: &mut dyn Instance, device: &str, state: &str) -> Outcome {
    let what = format!("{device} on {}", node.name());
    wait_until(PATIENCE, &what, &state.to_owned(), || node.device(device))
}

// ---- the cases

fn lamps(world: &mut World) -> Outcome<Option<Duration>> {
    world.plain.set_device("Custom:own-1", "INUSE")?;
    world.everywhere("Custom:own-1", "INUSE")?;
    world.peers[0].set_device("Custom:x", "INUSE")?;
    world.everywhere("Custom:x", "INUSE")?;
    // The sum of what others say.
    world.peers[1].set_device("Custom:x", "RINGING")?;
    world.everywhere("Custom:x", "RINGINUSE")?;
    world.lampwire.set_device("Custom:y", "ONHOLD")?;
    world.everywhere("Custom:y", "ONHOLD")?;
    world.plain.set_mailbox("100@default", (3, 1))?;
    for peer in &mut world.peers {
        let what = format!("the mailbox on {}", peer.name());
        wait_until(PATIENCE, &what, &(3, 1), || peer.mailbox("100@default"))?;
    }
    // A storm, of which nothing may come back under another name or another node's.
    for number in 0..STORM {
        let state = ["INUSE", "NOT_INUSE", "RINGING"][number % 3];
        let device = format!("Custom:s{}", number % 7);
        match number % 3 {
            0 => world
                .plain
                .set_device(&format!("Custom:own-{}", number % 7), state)?,
            1 => world.peers[0].set_device(&device, state)?,
            _ => world.peers[1].set_device(&device, state)?,
        }
    }
    for last in ["UNAVAILABLE", "BUSY"] {
        for number in 0..7 {
            world
                .plain
                .set_device(&format!("Custom:own-{number}"), last)?;
            for peer in &mut world.peers {
                peer.set_device(&format!("Custom:s{number}"), last)?;
            }
        }
    }
    for number in 0..7 {
        world.everywhere(&format!("Custom:own-{number}"), "BUSY")?;
        world.everywhere(&format!("Custom:s{number}"), "BUSY")?;
    }
    for peer in &mut world.peers {
        let strange: Vec<_> = peer
            .devices()?
            .into_keys()
            .filter(|name| name.contains("remote-"))
            .collect();
        if !strange.is_empty() {
            return Err(Failure::Expectation(format!("an echo: {strange:?}")));
        }
    }
    let twice: Vec<_> = world.plain.devices()?.into_keys().collect();
    match twice
        .iter()
        .find(|name| name.matches("remote-").count() > 1 || name.contains("remote-Custom:own-"))
    {
        Some(name) => Err(Failure::Expectation(format!("an echo: {name}"))),
        None => Ok(None),
    }
}

fn restart(world: &mut World) -> Outcome<Option<Duration>> {
    world.plain.set_device("Custom:own-1", "INUSE")?;
    world.peers[0].set_device("Custom:x", "INUSE")?;
    world.everywhere("Custom:own-1", "INUSE")?;
    world.everywhere("Custom:x", "INUSE")?;
    world.plain.kill()?;
    world.peers[0].set_device("Custom:x", "BUSY")?;
    world.peers[1].set_device("Custom:z", "RINGING")?;
    world.plain.start()?;
    let begun = Instant::now();
    world.everywhere("Custom:x", "BUSY")?;
    world.everywhere("Custom:z", "RINGING")?;
    // (Its own is as its database has it, which a second's changes may be missing from.)
    let right_after = soon(begun)?;
    world.plain.set_device("Custom:own-1", "NOT_INUSE")?;
    world.everywhere("Custom:own-1", "NOT_INUSE")?;
    Ok(Some(right_after))
}

/// All is right now; whether that is soon enough.
fn soon(begun: Instant) -> Outcome<Duration> {
    let right_after = begun.elapsed();
    match right_after <= SOON {
        true => Ok(right_after),
        false => Err(Failure::Expectation(format!(
            "all was right only after {right_after:.1?}"
        ))),
    }
}

fn cut(world: &mut World) -> Outcome<Option<Duration>> {
    world.plain.set_device("Custom:own-1", "INUSE")?;
    world.plain.set_device("Custom:own-2", "INUSE")?;
    world.peers[0].set_device("Custom:x", "INUSE")?;
    world.everywhere("Custom:own-1", "INUSE")?;
    world.everywhere("Custom:own-2", "INUSE")?;
    world.everywhere("Custom:x", "INUSE")?;
    world.cutter.cut(true);
    world.plain.set_device("Custom:own-1", "RINGING")?;
    world.peers[0].set_device("Custom:x", "ONHOLD")?;
    world.peers[1].set_device("Custom:z", "BUSY")?;
    thread::sleep(CUT);
    world.plain.set_device("Custom:own-2", "BUSY")?;
    // It is held: nobody has heard of it.
    shows(&mut world.peers[1], "Custom:own-1", "INUSE")?;
    world.cutter.cut(false);
    let begun = Instant::now();
    world.everywhere("Custom:own-1", "RINGING")?;
    world.everywhere("Custom:own-2", "BUSY")?;
    world.everywhere("Custom:x", "ONHOLD")?;
    world.everywhere("Custom:z", "BUSY")?;
    Ok(Some(soon(begun)?))
}

fn refused(world: &mut World) -> Outcome<Option<Duration>> {
    world.peers[0].set_device("Custom:x", "INUSE")?;
    world.mistaken.start()?;
    let logs = world.mistaken.logs();
    wait_until(PATIENCE, "the refusal", &true, || {
        let log = std::fs::read_to_string(&logs[0]).unwrap_or_default();
        Ok(Some(
            log.contains("res_pjsip_publish_asterisk.so is loaded there"),
        ))
    })?;
    match world.mistaken.device("Custom:x")? {
        None => Ok(None),
        Some(state) => Err(Failure::Expectation(format!("it was read: {state}"))),
    }
}

/// Nothing names its mailboxes: they are known at once, and what came in while it was down when it is back.
fn voicemail(world: &mut World) -> Outcome<Option<Duration>> {
    let counts = |world: &mut World, mailbox: &str, expected: (u32, u32)| {
        for peer in &mut world.peers {
            let what = format!("{mailbox} on {}", peer.name());
            wait_until(PATIENCE, &what, &expected, || peer.mailbox(mailbox))?;
        }
        Ok(())
    };
    counts(world, "100@default", (3, 1))?;
    world.plain.kill()?;
    world.plain.leave_messages("200", "INBOX", 4)?;
    world.plain.start()?;
    counts(world, "200@default", (4, 0))?;
    Ok(None)
}

/// Stands before a manager interface, and holds everything back while it is cut.
struct Cutter {
    cut: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Cutter {
    fn start(own: SocketAddr, server: SocketAddr) -> Outcome<Self> {
        let listener = TcpListener::bind(own).map_err(lab(own))?;
        listener.set_nonblocking(true).map_err(lab(own))?;
        let (cut, ended) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let (held, over) = (Arc::clone(&cut), Arc::clone(&ended));
        thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let accepted = match held.load(Ordering::SeqCst) {
                    true => None,
                    false => listener.accept().ok(),
                };
                let Some((near, _)) = accepted else {
                    thread::sleep(LOOK_INTERVAL / 4);
                    continue;
                };
                if let Ok(far) = TcpStream::connect(server) {
                    for (from, to) in [(&near, &far), (&far, &near)] {
                        if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
                            let held = Arc::clone(&held);
                            thread::spawn(move || hand_on(from, to, &held));
                        }
                    }
                }
            }
        });
        Ok(Self { cut, ended })
    }

    fn cut(&self, yes: bool) {
        self.cut.store(yes, Ordering::SeqCst);
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

fn hand_on(mut from: TcpStream, mut to: TcpStream, held: &AtomicBool) {
    let _ = from.set_nonblocking(false);
    let mut buffer = [0; 4096];
    while let Ok(count) = from.read(&mut buffer) {
        while held.load(Ordering::SeqCst) {
            thread::sleep(LOOK_INTERVAL / 4);
        }
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
    let _ = from.shutdown(std::net::Shutdown::Both);
}
