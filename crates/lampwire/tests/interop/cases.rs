//! The cases. Each is written for a subject and a peer, and knows neither what the subject is made of
//! nor which release the peer is.
//!
//! A case never ends with "nothing came": what must not come is looked for after something that was
//! sent later has come. So a subject that does nothing fails every case.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::asterisk::{Asterisk, Release};
use crate::certificates::Certificates;
use crate::instance::{Counts, Failure, Instance, LOOK_INTERVAL, Outcome, lab, wait_until};
use crate::relation::{Addresses, Carrier, Recognition, Relation, SIP_PORT, SUBJECT_EID, Side};
use crate::sip::Relay;

/// The nodes of a case and how long to wait for what must come.
pub(crate) struct World {
    /// The node that is tested.
    pub(crate) subject: Box<dyn Instance>,
    /// Where the files of both are, in `subject` and `peer`.
    pub(crate) directory: PathBuf,
    /// The Asterisk that it is tested with.
    pub(crate) peer: Asterisk,
    /// How long what must come may take.
    pub(crate) patience: Duration,
    /// The addresses of this case.
    pub(crate) addresses: Addresses,
}

/// One case.
pub(crate) struct Case {
    /// Its name in the list of tests.
    pub(crate) name: &'static str,
    /// What it shows, in a line.
    pub(crate) shows: &'static str,
    /// The peers that it is for.
    pub(crate) peers: &'static [Release],
    /// It shows what no Asterisk does, so that only Lampwire (and `sleep`, which must fail) is tried.
    pub(crate) beyond_asterisk: bool,
    /// What the nodes have agreed on.
    pub(crate) relation: fn() -> Relation,
    /// What happens.
    pub(crate) run: fn(&mut World) -> Outcome,
}

const BOTH: &[Release] = &Release::ALL;
const ONLY_22: &[Release] = &[Release::Asterisk22];

/// All device states, each another than the one before.
const STATES: [&str; 9] = [
    "NOT_INUSE",
    "INUSE",
    "BUSY",
    "INVALID",
    "UNAVAILABLE",
    "RINGING",
    "RINGINUSE",
    "ONHOLD",
    "UNKNOWN",
];

/// The mailboxes that the subject and the peer report, and one that filters keep out.
const SUBJECT_MAILBOX: &str = "100@default";
const PEER_MAILBOX: &str = "200@default";
const OTHER_MAILBOX: &str = "300@other";

/// POSIX extended expressions that match without regard to case.
const DEVICE_FILTER: &str = "^custom:KEPT-[[:digit:]]+$";
const MAILBOX_FILTER: &str = "^[12]0{2}@DEFAULT$";

/// The life of a publication where a case crosses its end, and how long the case then looks.
const SHORT_EXPIRATION_S: u32 = 10;
const ACROSS_EXPIRATION: Duration = Duration::from_secs(12);

/// How long nothing reaches the peer, and within what time of its end it must hold everything.
const PARTITION: Duration = Duration::from_secs(40);
const AFTER_PARTITION: Duration = Duration::from_secs(3);

/// Devices whose states the peer loses.
const LOST_DEVICES: u32 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToPeer,
    ToSubject,
}
use Direction::{ToPeer, ToSubject};

#[derive(Debug, Clone, Copy)]
enum Ending {
    InOrder,
    Crash,
}

/// All cases, in the order of the table in the documentation.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "device_states_to_peer",
        shows: "all nine device states, from the subject to the peer",
        peers: BOTH,
        beyond_asterisk: false,
        relation: Relation::default,
        run: |world| all_device_states(world, ToPeer),
    },
    Case {
        name: "device_states_to_subject",
        shows: "all nine device states, from the peer to the subject",
        peers: BOTH,
        beyond_asterisk: false,
        relation: Relation::default,
        run: |world| all_device_states(world, ToSubject),
    },
    Case {
        name: "mailbox_states_to_peer",
        shows: "counts of a mailbox, from the subject to the peer",
        peers: BOTH,
        beyond_asterisk: false,
        relation: Relation::default,
        run: |world| mailbox_counts(world, ToPeer),
    },
    Case {
        name: "mailbox_states_to_subject",
        shows: "counts of a mailbox, from the peer to the subject",
        peers: BOTH,
        beyond_asterisk: false,
        relation: Relation::default,
        run: |world| mailbox_counts(world, ToSubject),
    },
    Case {
        name: "tcp",
        shows: "states both ways over TCP",
        peers: BOTH,
        beyond_asterisk: false,
        relation: || Relation {
            carrier: Carrier::Tcp,
            ..Relation::default()
        },
        run: over_connections,
    },
    Case {
        name: "tls",
        shows: "states both ways over TLS, each side checking the other's certificate",
        peers: ONLY_22,
        beyond_asterisk: false,
        relation: || Relation {
            carrier: Carrier::Tls,
            ..Relation::default()
        },
        run: over_connections,
    },
    Case {
        name: "tcp_after_a_crash",
        shows: "states both ways over TCP again, once the peer has crashed and is back",
        peers: BOTH,
        beyond_asterisk: true,
        relation: || Relation {
            carrier: Carrier::Tcp,
            ..Relation::default()
        },
        run: over_connections_after_a_crash,
    },
    Case {
        name: "tls_after_a_crash",
        shows: "states both ways over TLS again, once the peer has crashed and is back",
        peers: ONLY_22,
        beyond_asterisk: true,
        relation: || Relation {
            carrier: Carrier::Tls,
            ..Relation::default()
        },
        run: over_connections_after_a_crash,
    },
    Case {
        name: "tls_with_a_wrong_certificate_of_peer",
        shows: "a peer's certificate of another authority is refused, both sides say why, and the right one is taken",
        peers: ONLY_22,
        beyond_asterisk: true,
        relation: || Relation {
            carrier: Carrier::Tls,
            ..Relation::default()
        },
        run: |world| a_wrong_certificate(world, ToSubject),
    },
    Case {
        name: "tls_with_a_wrong_certificate_of_subject",
        shows: "the subject's certificate of another authority is refused, both sides say why, and the right one is taken",
        peers: ONLY_22,
        beyond_asterisk: true,
        relation: || Relation {
            carrier: Carrier::Tls,
            ..Relation::default()
        },
        run: |world| a_wrong_certificate(world, ToPeer),
    },
    Case {
        name: "refresh_asked_by_subject",
        shows: "what the peer lost on the way comes when the subject asks for a refresh",
        peers: BOTH,
        beyond_asterisk: false,
        relation: || Relation {
            relay_to_subject: true,
            ..Relation::default()
        },
        run: refresh_asked_by_subject,
    },
    Case {
        name: "refresh_asked_by_peer",
        shows: "the subject tells everything again when the peer asks for a refresh",
        peers: BOTH,
        beyond_asterisk: false,
        relation: Relation::default,
        run: refresh_asked_by_peer,
    },
    Case {
        name: "subject_starts_first",
        shows: "what the subject had before the peer started is there, and both go on",
        peers: BOTH,
        beyond_asterisk: false,
        relation: Relation::default,
        run: subject_starts_first,
    },
    Case {
        name: "peer_starts_first",
        shows: "what the peer had before the subject started is there, and both go on",
        peers: BOTH,
        beyond_asterisk: false,
        relation: Relation::default,
        run: peer_starts_first,
    },
    Case {
        name: "sending_device_filter_of_subject",
        shows: "`@device_state_filter` of the subject keeps a device in",
        peers: BOTH,
        beyond_asterisk: false,
        relation: || {
            subject_has(Side {
                sends_devices: Some(DEVICE_FILTER),
                ..Side::default()
            })
        },
        run: |world| device_filter(world, ToPeer),
    },
    Case {
        name: "sending_device_filter_of_peer",
        shows: "`@device_state_filter` of the peer keeps a device in",
        peers: BOTH,
        beyond_asterisk: false,
        relation: || {
            peer_has(Side {
                sends_devices: Some(DEVICE_FILTER),
                ..Side::default()
            })
        },
        run: |world| device_filter(world, ToSubject),
    },
    Case {
        name: "receiving_device_filter_of_subject",
        shows: "`device_state_filter` of the subject keeps a device out",
        peers: BOTH,
        beyond_asterisk: false,
        relation: || {
            subject_has(Side {
                takes_devices: Some(DEVICE_FILTER),
                ..Side::default()
            })
        },
        run: |world| device_filter(world, ToSubject),
    },
    Case {
        name: "receiving_device_filter_of_peer",
        shows: "`device_state_filter` of the peer keeps a device out",
        peers: BOTH,
        beyond_asterisk: false,
        relation: || {
            peer_has(Side {
                takes_devices: Some(DEVICE_FILTER),
                ..Side::default()
            })
        },
        run: |world| device_filter(world, ToPeer),
    },
    Case {
        name: "sending_mailbox_filter_of_subject",
        shows: "`@mailbox_state_filter` of the subject keeps a mailbox in",
        peers: BOTH,
        beyond_asterisk: false,
        relation: || {
            subject_has(Side {
                sends_mailboxes: Some(MAILBOX_FILTER),
                ..Side::default()
            })
        },
        run: |world| mailbox_filter(world, ToPeer),
    },
    Case {
        name: "sending_mailbox_filter_of_peer",
        shows: "`@mailbox_state_filter` of the peer keeps a mailbox in",
        peers: BOTH,
        beyond_asterisk: false,
        relation: || {
            peer_has(Side {
                sends_mailboxes: Some(MAILBOX_FILTER),
                ..Side::default()
            })
        },
        run: |world| mailbox_filter(world, ToSubject),
    },
    Case {
        name: "receiving_mailbox_filter_of_subject",
        shows: "`mailbox_state_filter` of the subject keeps a mailbox out",
        peers: BOTH,
        beyond_asterisk: false,
        relation: || {
            subject_has(Side {
                takes_mailboxes: Some(MAILBOX_FILTER),
                ..Side::default()
            })
        },
        run: |world| mailbox_filter(world, ToSubject),
    },
    Case {
        name: "receiving_mailbox_filter_of_peer",
        shows: "`mailbox_state_filter` of the peer keeps a mailbox out",
        peers: BOTH,
        beyond_asterisk: false,
        relation: || {
            peer_has(Side {
                takes_mailboxes: Some(MAILBOX_FILTER),
                ..Side::default()
            })
        },
        run: |world| mailbox_filter(world, ToPeer),
    },
    Case {
        name: "no_auth",
        shows: "without `auth` nobody is challenged, both ways",
        peers: BOTH,
        beyond_asterisk: false,
        relation: Relation::default,
        run: no_auth,
    },
    Case {
        name: "md5_asked_by_subject",
        shows: "the subject challenges with MD5",
        peers: BOTH,
        beyond_asterisk: false,
        relation: || subject_has(challenges("MD5")),
        run: |world| digest(world, "MD5"),
    },
    Case {
        name: "md5_asked_by_peer",
        shows: "the peer challenges with MD5",
        peers: BOTH,
        beyond_asterisk: false,
        relation: || peer_has(challenges("MD5")),
        run: |world| digest(world, "MD5"),
    },
    Case {
        name: "sha256_asked_by_subject",
        shows: "the subject challenges with SHA-256",
        peers: ONLY_22,
        beyond_asterisk: false,
        relation: || subject_has(challenges("SHA-256")),
        run: |world| digest(world, "SHA-256"),
    },
    Case {
        name: "sha256_asked_by_peer",
        shows: "the peer challenges with SHA-256",
        peers: ONLY_22,
        beyond_asterisk: false,
        relation: || peer_has(challenges("SHA-256")),
        run: |world| digest(world, "SHA-256"),
    },
    Case {
        name: "sha512_256_asked_by_subject",
        shows: "the subject challenges with SHA-512-256",
        peers: ONLY_22,
        beyond_asterisk: false,
        relation: || subject_has(challenges("SHA-512-256")),
        run: |world| digest(world, "SHA-512-256"),
    },
    Case {
        name: "sha512_256_asked_by_peer",
        shows: "the peer challenges with SHA-512-256",
        peers: ONLY_22,
        beyond_asterisk: false,
        relation: || peer_has(challenges("SHA-512-256")),
        run: |world| digest(world, "SHA-512-256"),
    },
    Case {
        name: "identified_by_address",
        shows: "both know each other by an `identify` section and by nothing else",
        peers: BOTH,
        beyond_asterisk: false,
        relation: || both_have(recognises(Recognition::Address)),
        run: exchange,
    },
    Case {
        name: "identified_by_user_name",
        shows: "both know each other by the user name in From and by nothing else",
        peers: BOTH,
        beyond_asterisk: false,
        relation: || both_have(recognises(Recognition::UserName)),
        run: exchange,
    },
    Case {
        name: "restart_of_subject",
        shows: "the subject ends in order and comes back",
        peers: BOTH,
        beyond_asterisk: false,
        relation: Relation::default,
        run: |world| restart(world, ToSubject, Ending::InOrder),
    },
    Case {
        name: "restart_of_peer",
        shows: "the peer ends in order and comes back",
        peers: BOTH,
        beyond_asterisk: false,
        relation: Relation::default,
        run: |world| restart(world, ToPeer, Ending::InOrder),
    },
    Case {
        name: "crash_of_subject",
        shows: "the subject is killed and comes back",
        peers: BOTH,
        beyond_asterisk: false,
        relation: Relation::default,
        run: |world| restart(world, ToSubject, Ending::Crash),
    },
    Case {
        name: "crash_of_peer",
        shows: "the peer is killed and comes back",
        peers: BOTH,
        beyond_asterisk: false,
        relation: Relation::default,
        run: |world| restart(world, ToPeer, Ending::Crash),
    },
    Case {
        name: "crash_of_a_peer_that_asks_for_nothing",
        shows: "the peer is killed and comes back without ever asking for what it lost: the subject finds out by itself",
        peers: BOTH,
        beyond_asterisk: true,
        relation: || Relation {
            peer: Side {
                asks_for_nothing: true,
                ..Side::default()
            },
            ..Relation::default()
        },
        run: crash_of_a_peer_that_asks_for_nothing,
    },
    Case {
        name: "a_partition_of_40_seconds",
        shows: "six devices change twice while nothing reaches the peer: within 3 s of its end all are right",
        peers: ONLY_22,
        beyond_asterisk: true,
        relation: || Relation {
            relay_to_peer: true,
            ..Relation::default()
        },
        run: a_partition_of_40_seconds,
    },
    Case {
        name: "across_an_expiry",
        shows: "publications of `expiration=10` are outlived twice: no state is lost, and both go on",
        peers: BOTH,
        beyond_asterisk: false,
        relation: || {
            both_have(Side {
                expiration: Some(SHORT_EXPIRATION_S),
                ..Side::default()
            })
        },
        run: across_an_expiry,
    },
];

fn subject_has(subject: Side) -> Relation {
    Relation {
        subject,
        ..Relation::default()
    }
}

fn peer_has(peer: Side) -> Relation {
    Relation {
        peer,
        ..Relation::default()
    }
}

fn both_have(side: Side) -> Relation {
    Relation {
        subject: side.clone(),
        peer: side,
        ..Relation::default()
    }
}

fn challenges(algorithm: &'static str) -> Side {
    Side {
        challenges: Some(algorithm),
        ..Side::default()
    }
}

fn recognises(recognises: Recognition) -> Side {
    Side {
        recognises,
        ..Side::default()
    }
}

fn all_device_states(world: &mut World, direction: Direction) -> Outcome {
    world.start_both()?;
    for state in STATES {
        world.tell_device(direction, "Custom:lamp", state)?;
    }
    // Each state as the first that is heard of a device. INVALID and, for 22, UNKNOWN are what a
    // device is that nobody has heard of, so nothing needs to be shown for them.
    for state in STATES {
        if matches!(state, "INVALID" | "UNKNOWN") {
            continue;
        }
        world.tell_device(direction, &format!("Custom:{state} lamp"), state)?;
    }
    Ok(())
}

fn mailbox_counts(world: &mut World, direction: Direction) -> Outcome {
    world.start_both()?;
    for counts in [(1, 0), (2, 0), (2, 7), (0, 9), (0, 0), (300, 4000)] {
        world.tell_mailbox(direction, SUBJECT_MAILBOX, counts)?;
        world.tell_mailbox(direction, OTHER_MAILBOX, counts)?;
    }
    Ok(())
}

fn refresh_asked_by_subject(world: &mut World) -> Outcome {
    let on = |address| SocketAddr::new(address, SIP_PORT);
    let relay = Relay::start(
        on(world.addresses.relay()),
        on(world.addresses.peer()),
        on(world.addresses.subject()),
    )?;
    world.start_both()?;
    world.tell_device(ToSubject, "Custom:lamp", "INUSE")?;
    world.tell_mailbox(ToSubject, PEER_MAILBOX, (1, 0))?;

    // An Asterisk never sends again what was refused.
    relay.close();
    world.peer.set_device("Custom:lamp", "BUSY")?;
    world.peer.set_mailbox(PEER_MAILBOX, (5, 5))?;
    wait_until(world.patience, "refusals of the relay", &true, || {
        Ok(Some(relay.refused() >= 2))
    })?;
    relay.open();
    world.expect_device_unchanged(ToSubject, "Custom:lamp", "INUSE")?;

    world.subject.ask_refresh()?;
    world.see_device(ToSubject, "Custom:lamp", "BUSY")?;
    world.see_mailbox(ToSubject, PEER_MAILBOX, (5, 5))
}

fn refresh_asked_by_peer(world: &mut World) -> Outcome {
    world.start_both()?;
    world.tell_device(ToPeer, "Custom:lamp", "INUSE")?;
    world.tell_mailbox(ToPeer, SUBJECT_MAILBOX, (3, 2))?;

    // Somebody else makes the peer believe other values under the subject's entity id; only the
    // subject itself can put them right.
    world
        .peer
        .forge_device(SUBJECT_EID, "Custom:lamp", "BUSY")?;
    world
        .peer
        .forge_mailbox(SUBJECT_EID, SUBJECT_MAILBOX, (8, 8))?;
    world.see_device(ToPeer, "Custom:lamp", "BUSY")?;
    world.see_mailbox(ToPeer, SUBJECT_MAILBOX, (8, 8))?;

    world.peer.ask_refresh()?;
    world.see_device(ToPeer, "Custom:lamp", "INUSE")?;
    world.see_mailbox(ToPeer, SUBJECT_MAILBOX, (3, 2))
}

fn subject_starts_first(world: &mut World) -> Outcome {
    world.subject.start()?;
    world.subject.set_device("Custom:early", "ONHOLD")?;
    world.subject.set_mailbox(SUBJECT_MAILBOX, (6, 1))?;
    world.peer.start()?;
    world.see_device(ToPeer, "Custom:early", "ONHOLD")?;
    world.see_mailbox(ToPeer, SUBJECT_MAILBOX, (6, 1))?;
    world.exchange(1)
}

fn peer_starts_first(world: &mut World) -> Outcome {
    world.peer.start()?;
    world.peer.set_device("Custom:early", "ONHOLD")?;
    world.peer.set_mailbox(PEER_MAILBOX, (6, 1))?;
    world.subject.start()?;
    world.see_device(ToSubject, "Custom:early", "ONHOLD")?;
    world.see_mailbox(ToSubject, PEER_MAILBOX, (6, 1))?;
    world.exchange(1)
}

/// What is kept out is sent before what is let in, several times; a sender may put the two into
/// publications of their own, so one round alone would not show much.
fn device_filter(world: &mut World, direction: Direction) -> Outcome {
    world.start_both()?;
    for state in ["INUSE", "RINGING", "BUSY", "NOT_INUSE"] {
        let (from, _) = world.nodes(direction);
        from.set_device("Custom:dropped-1", state)?;
        from.set_device("Custom:kept-none", state)?;
        world.tell_device(direction, "Custom:kept-1", state)?;
    }
    for device in ["Custom:dropped-1", "Custom:kept-none"] {
        let (_, to) = world.nodes(direction);
        if let Some(state) = to.device(device)? {
            return Err(Failure::Expectation(format!(
                "{device} is to be filtered out, and {} shows it {state}",
                to.name()
            )));
        }
    }
    Ok(())
}

fn mailbox_filter(world: &mut World, direction: Direction) -> Outcome {
    world.start_both()?;
    for counts in [(1, 1), (2, 1), (3, 0), (4, 4)] {
        let (from, _) = world.nodes(direction);
        from.set_mailbox(OTHER_MAILBOX, counts)?;
        world.tell_mailbox(direction, SUBJECT_MAILBOX, counts)?;
    }
    let (_, to) = world.nodes(direction);
    match to.mailbox(OTHER_MAILBOX)? {
        None => Ok(()),
        Some(counts) => Err(Failure::Expectation(format!(
            "{OTHER_MAILBOX} is to be filtered out, and {} shows it {counts:?}",
            to.name()
        ))),
    }
}

fn exchange(world: &mut World) -> Outcome {
    world.start_both()?;
    world.exchange(1)?;
    world.exchange(2)
}

fn no_auth(world: &mut World) -> Outcome {
    exchange(world)?;
    let trace = world.peer.sip_trace();
    match trace.lines().find(|line| line.starts_with("SIP/2.0 401")) {
        None => Ok(()),
        Some(line) => Err(Failure::Expectation(format!(
            "nobody has auth=, and: {line}"
        ))),
    }
}

/// That states cross shows that the digest is right; the trace shows that there was one, and of
/// which algorithm.
fn digest(world: &mut World, algorithm: &str) -> Outcome {
    exchange(world)?;
    let trace = world.peer.sip_trace();
    for header in ["WWW-Authenticate:", "Authorization:"] {
        let lines = || trace.lines().filter(|line| line.starts_with(header));
        if !lines().any(|line| names_algorithm(line, algorithm)) {
            let seen = lines().next().unwrap_or("none");
            return Err(Failure::Expectation(format!(
                "no {header} with {algorithm} went over the wire; the first is: {seen}"
            )));
        }
    }
    Ok(())
}

/// Whether a header with a challenge or credentials is for an algorithm; without a name it is for
/// MD5 (RFC 7616 3.3).
fn names_algorithm(header: &str, algorithm: &str) -> bool {
    let lower = header.to_ascii_lowercase();
    let Some((_, rest)) = lower.split_once("algorithm=") else {
        return algorithm == "MD5";
    };
    let end = rest.find(',').unwrap_or(rest.len());
    rest[..end].trim().trim_matches('"') == algorithm.to_ascii_lowercase()
}

/// `gone` ends and comes back; what happened on the other side in the meantime must be there then.
fn restart(world: &mut World, gone: Direction, ending: Ending) -> Outcome {
    let mailbox = match gone {
        ToPeer => SUBJECT_MAILBOX,
        ToSubject => PEER_MAILBOX,
    };
    world.start_both()?;
    world.exchange(1)?;
    world.tell_device(gone, "Custom:kept", "ONHOLD")?;
    world.tell_device(gone, "Custom:changed", "INUSE")?;

    let (stays, goes) = world.nodes(gone);
    match ending {
        Ending::InOrder => goes.stop()?,
        Ending::Crash => goes.kill()?,
    }
    stays.set_device("Custom:changed", "BUSY")?;
    stays.set_device("Custom:new", "RINGING")?;
    stays.set_mailbox(mailbox, (9, 4))?;
    goes.start()?;

    world.see_device(gone, "Custom:kept", "ONHOLD")?;
    world.see_device(gone, "Custom:changed", "BUSY")?;
    world.see_device(gone, "Custom:new", "RINGING")?;
    world.see_mailbox(gone, mailbox, (9, 4))?;
    world.exchange(2)?;
    world.exchange(3)
}

fn crash_of_a_peer_that_asks_for_nothing(world: &mut World) -> Outcome {
    world.start_both()?;
    let devices: Vec<String> = (0..LOST_DEVICES)
        .map(|number| format!("Custom:lost{number}"))
        .collect();
    for device in &devices {
        world.subject.set_device(device, "INUSE")?;
    }
    for device in &devices {
        world.see_device(ToPeer, device, "INUSE")?;
    }
    world.peer.kill()?;
    world.peer.start()?;
    for device in &devices {
        world.see_device(ToPeer, device, "INUSE")?;
    }
    Ok(())
}

fn a_partition_of_40_seconds(world: &mut World) -> Outcome {
    let on = |address| SocketAddr::new(address, SIP_PORT);
    let relay = Relay::start(
        on(world.addresses.relay()),
        on(world.addresses.subject()),
        on(world.addresses.peer()),
    )?;
    world.start_both()?;
    let devices: Vec<String> = (0..6).map(|number| format!("Custom:cut{number}")).collect();
    for device in &devices {
        world.tell_device(ToPeer, device, "INUSE")?;
    }
    relay.cut(true);
    let healed = Instant::now() + PARTITION;
    for state in ["RINGING", "BUSY"] {
        for device in &devices {
            world.subject.set_device(device, state)?;
        }
        // Time itself is what this case is about: the change after it is one of a peer that is known to be away.
        thread::sleep(healed.saturating_duration_since(Instant::now()) / 2);
    }
    while Instant::now() < healed {
        world.expect_device_unchanged(ToPeer, &devices[0], "INUSE")?;
        thread::sleep(10 * LOOK_INTERVAL);
    }
    relay.cut(false);
    world.patience = AFTER_PARTITION;
    for device in &devices {
        world.see_device(ToPeer, device, "BUSY")?;
    }
    Ok(())
}

fn over_connections(world: &mut World) -> Outcome {
    world.start_both()?;
    for round in 1..=3 {
        world.exchange(round)?;
    }
    Ok(())
}

fn over_connections_after_a_crash(world: &mut World) -> Outcome {
    over_connections(world)?;
    world.peer.kill()?;
    world.peer.start()?;
    world.exchange(4)
}

/// What each side says of a certificate that is not of its authority, its own or the other's.
const REFUSED_BY_THE_PEER: [&str; 2] = [
    "that refuses our certificate",
    "Transport 'transport-tls' to remote",
];
const REFUSED_BY_THE_SUBJECT: [&str; 2] = ["is not signed by an authority in", "alert unknown ca"];

fn a_wrong_certificate(world: &mut World, of: Direction) -> Outcome {
    let (owner, address, [of_subject, of_peer]) = match of {
        ToPeer => ("subject", world.addresses.subject(), REFUSED_BY_THE_PEER),
        ToSubject => ("peer", world.addresses.peer(), REFUSED_BY_THE_SUBJECT),
    };
    let tls = world.directory.join(owner).join("tls");
    let right: Vec<_> = ["certificate.pem", "key.pem"]
        .map(|name| {
            fs::read(tls.join(name))
                .map_err(lab(name))
                .map(|bytes| (name, bytes))
        })
        .into_iter()
        .collect::<Outcome<_>>()?;
    Certificates::new("Wrong authority")?.write_without_authority(&tls, address)?;
    world.start_both()?;
    world.subject.set_device("Custom:ours", "INUSE")?;
    world.peer.set_device("Custom:theirs", "INUSE")?;
    let logs = [world.subject.logs(), world.peer.logs()];
    for (logs, words) in logs.iter().zip([of_subject, of_peer]) {
        wait_until(
            world.patience,
            &format!("{words:?} in a log"),
            &true,
            || {
                let says = |log: &PathBuf| {
                    let text = fs::read(log).unwrap_or_default();
                    String::from_utf8_lossy(&text).contains(words)
                };
                Ok(Some(logs.iter().any(says)))
            },
        )?;
    }
    for (device, seen) in [
        ("Custom:ours", world.peer.device("Custom:ours")?),
        ("Custom:theirs", world.subject.device("Custom:theirs")?),
    ] {
        if seen.is_some() {
            return Err(Failure::Expectation(format!(
                "{device} has got across: {seen:?}"
            )));
        }
    }
    world.subject.stop()?;
    world.peer.stop()?;
    for (name, bytes) in right {
        fs::write(tls.join(name), bytes).map_err(lab(name))?;
    }
    world.start_both()?;
    world.exchange(1)
}

fn across_an_expiry(world: &mut World) -> Outcome {
    world.start_both()?;
    for round in 1..=3 {
        world.exchange(round)?;
        if round == 3 {
            break;
        }
        // Time itself is what this case is about: while it passes, nothing may be lost.
        let end = Instant::now() + ACROSS_EXPIRATION;
        let (subject_device, peer_device, state, _) = lamps(round);
        while Instant::now() < end {
            world.expect_device_unchanged(ToPeer, &subject_device, state)?;
            world.expect_device_unchanged(ToSubject, &peer_device, state)?;
            thread::sleep(10 * LOOK_INTERVAL);
        }
    }
    Ok(())
}

/// The devices of the subject and of the peer in a round, and what they and the mailboxes take.
fn lamps(round: u32) -> (String, String, &'static str, Counts) {
    let state = ["INUSE", "RINGING", "NOT_INUSE"][round as usize % 3];
    (
        "Custom:lamp of subject".into(),
        "Custom:lamp of peer".into(),
        state,
        (round, round + 1),
    )
}

impl World {
    /// The peer first, then the subject; cases about the order start them themselves.
    fn start_both(&mut self) -> Outcome {
        self.peer.start()?;
        self.subject.start()
    }

    /// Who tells and who sees.
    fn nodes(&mut self, direction: Direction) -> (&mut dyn Instance, &mut dyn Instance) {
        match direction {
            ToPeer => (self.subject.as_mut(), &mut self.peer),
            ToSubject => (&mut self.peer, self.subject.as_mut()),
        }
    }

    /// A device and a mailbox of either node reach the other.
    fn exchange(&mut self, round: u32) -> Outcome {
        let (subject_device, peer_device, state, counts) = lamps(round);
        self.tell_device(ToPeer, &subject_device, state)?;
        self.tell_device(ToSubject, &peer_device, state)?;
        self.tell_mailbox(ToPeer, SUBJECT_MAILBOX, counts)?;
        self.tell_mailbox(ToSubject, PEER_MAILBOX, counts)
    }

    fn tell_device(&mut self, direction: Direction, device: &str, state: &str) -> Outcome {
        self.nodes(direction).0.set_device(device, state)?;
        self.see_device(direction, device, state)
    }

    fn tell_mailbox(&mut self, direction: Direction, mailbox: &str, counts: Counts) -> Outcome {
        self.nodes(direction).0.set_mailbox(mailbox, counts)?;
        self.see_mailbox(direction, mailbox, counts)
    }

    fn see_device(&mut self, direction: Direction, device: &str, state: &str) -> Outcome {
        let patience = self.patience;
        let (_, to) = self.nodes(direction);
        let what = format!("{device} at {}", to.name());
        wait_until(patience, &what, &state.to_owned(), || to.device(device))
    }

    fn see_mailbox(&mut self, direction: Direction, mailbox: &str, counts: Counts) -> Outcome {
        let patience = self.patience;
        let (_, to) = self.nodes(direction);
        let what = format!("{mailbox} (new, old) at {}", to.name());
        wait_until(patience, &what, &counts, || to.mailbox(mailbox))
    }

    fn expect_device_unchanged(
        &mut self,
        direction: Direction,
        device: &str,
        state: &str,
    ) -> Outcome {
        let (_, to) = self.nodes(direction);
        let seen = to.device(device)?;
        if seen.as_deref() == Some(state) {
            return Ok(());
        }
        Err(Failure::Expectation(format!(
            "{device} at {} is to stay {state}, and is {seen:?}",
            to.name()
        )))
    }
}
