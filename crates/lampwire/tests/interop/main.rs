//! Black-box tests of the exchange with real Asterisks.
//!
//! Every case has a peer, an unmodified Asterisk, and a subject, which is chosen when the tests run:
//! Lampwire; an Asterisk of the peer's release, which proves the case; and `sleep`, with which every
//! case must fail. `docs/lab.md` tells how to run them.
//!
//! Environment:
//! - LAMPWIRE_CACHE: where `.ci/install-asterisks` has put the Asterisks, and `.ci/install-nats` nats-server (~/.cache/lampwire)
//! - LAMPWIRE_REQUIRE: comma list; `asterisk22`, `asterisk16` and `nats` in it make it a failure that one is missing
//! - LAMPWIRE_SUBJECT: comma list of lampwire, asterisk22, asterisk16, sleep instead of the usual three
//! - LAMPWIRE_INTEROP_REPORT: a file to write the table of results to, relative to the workspace
//! - LAMPWIRE_FIGURES: a file to write measured speeds to, relative to the workspace; without it nothing is measured
//! - LAMPWIRE_NATS: another nats-server than the one that was fetched
//! - LAMPWIRE_BINARY: another program to test than the one just built

#![allow(clippy::unwrap_used)]

mod ami;
mod asterisk;
mod cases;
mod certificates;
#[path = "../tools/chromium.rs"]
#[allow(
    dead_code,
    reason = "the other tests have it too, and need other parts"
)]
mod chromium;
mod cluster;
mod exchanges;
mod figures;
#[path = "../it/harness.rs"]
#[allow(dead_code, reason = "the browser needs a little of it")]
mod harness;
mod hub;
mod instance;
mod lampwire;
mod manager;
mod nats;
mod page;
mod plans;
mod relation;
mod report;
mod sip;
mod sleeper;
mod subject;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::asterisk::{Asterisk, Release};
use crate::cases::{CASES, Case, World};
use crate::certificates::Certificates;
use crate::instance::{Failure, Instance, Outcome};
use crate::lampwire::Lampwire;
use crate::relation::Addresses;
use crate::report::{Report, Verdict};
use crate::sleeper::Sleeper;
use crate::subject::{Choice, Subject};

/// How long what must come may take. An Asterisk that published while the other was down sends
/// again after up to 4 s, and gives up after 32 s.
const PATIENCE: Duration = Duration::from_secs(45);

/// The same where nothing can come.
const PATIENCE_WITH_SLEEP: Duration = Duration::from_secs(2);

/// Trials at a time where the command line names no number. They mostly wait.
const TRIALS_AT_A_TIME: usize = 6;

/// Lines of each log that are shown when a case fails.
const LOG_LINES_SHOWN: usize = 120;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(TRIALS_AT_A_TIME));
    let choice = match Choice::from_environment() {
        Ok(choice) => choice,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let Some((block, _claim)) = claim_block() else {
        eprintln!("no free loopback network for the tests");
        return ExitCode::from(2);
    };

    let mut found = BTreeMap::new();
    let mut missing = BTreeMap::new();
    for release in Release::ALL {
        match asterisk::find(release) {
            Ok(root) => drop(found.insert(release, root)),
            Err(reason) => drop(missing.insert(release, reason)),
        }
    }
    let lab = Arc::new(Lab {
        found,
        choice,
        block,
        report: Report::default(),
    });
    let mut trials = trials(&lab, &missing);
    trials.extend(exchanges::trials(&lab, trials.len()));
    trials.extend(page::trials(&lab, trials.len()));
    trials.extend(plans::trials(&lab, trials.len()));
    trials.extend(manager::trials(&lab, trials.len()));
    trials.extend(hub::trials(&lab, trials.len()));
    trials.extend(cluster::trials(&lab, trials.len()));
    trials.extend(required(&missing));
    trials.extend(figures::trials(&lab));
    let conclusion = libtest_mimic::run(&arguments, trials);

    if let Some(path) = std::env::var_os("LAMPWIRE_INTEROP_REPORT").filter(|_| !arguments.list) {
        let partial = arguments.filter.is_some() || !arguments.skip.is_empty();
        // Cargo runs tests in the directory of their package.
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let path = &workspace.join(path);
        if let Err(error) = lab.report.write(path, partial, &missing) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    conclusion.exit_code()
}

/// What all trials share.
struct Lab {
    found: BTreeMap<Release, PathBuf>,
    choice: Choice,
    block: u8,
    report: Report,
}

/// A network 127.N.0.0/16 that no other run on this machine uses, for as long as the socket lives.
fn claim_block() -> Option<(u8, UdpSocket)> {
    (64..=254).find_map(|block| {
        let claim = UdpSocket::bind((Ipv4Addr::new(127, block, 255, 254), relation::SIP_PORT));
        claim.ok().map(|socket| (block, socket))
    })
}

fn trials(lab: &Arc<Lab>, missing: &BTreeMap<Release, String>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for peer in Release::ALL {
        for case in CASES.iter().filter(|case| case.peers.contains(&peer)) {
            for subject in lab.choice.subjects(peer) {
                let asterisk = matches!(subject, Subject::Asterisk(_));
                if case.beyond_asterisk && asterisk {
                    continue;
                }
                if matches!(subject, Subject::Asterisk(release) if !case.peers.contains(&release)) {
                    continue;
                }
                let fails = lab.choice.expects_failure(subject);
                let name = format!(
                    "{peer}::{}::{subject}{}",
                    case.name,
                    if fails { "_must_fail" } else { "" }
                );
                let reason = missing.get(&peer).or(match subject {
                    Subject::Asterisk(release) => missing.get(&release),
                    Subject::Lampwire | Subject::Sleep => None,
                });
                let number = trials.len();
                trials.push(match reason {
                    Some(reason) => {
                        Trial::test(format!("{name} ({reason})"), || Ok(())).with_ignored_flag(true)
                    }
                    None => {
                        let lab = Arc::clone(lab);
                        Trial::test(name, move || {
                            trial(&lab, case, peer, subject, number).map_err(Failed::from)
                        })
                    }
                });
            }
        }
    }
    trials
}

/// What LAMPWIRE_REQUIRE asks for and is not there.
fn required(missing: &BTreeMap<Release, String>) -> Vec<Trial> {
    let required = std::env::var("LAMPWIRE_REQUIRE").unwrap_or_default();
    let words = required.split(',').map(str::trim).collect::<Vec<_>>();
    missing
        .iter()
        .filter(|(release, _)| words.contains(&release.name()))
        .map(|(release, reason)| {
            let reason = format!("LAMPWIRE_REQUIRE asks for {release}, and there is {reason}");
            Trial::test(format!("{release}::is_there"), move || Err(reason.into()))
        })
        .collect()
}

/// Runs one case and tells what came out, with the logs where it did not hold.
fn trial(
    lab: &Lab,
    case: &'static Case,
    peer: Release,
    subject: Subject,
    number: usize,
) -> Result<(), String> {
    let begun = Instant::now();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("interop")
        .join(format!("{}-{peer}-{}-{subject}", lab.block, case.name));
    let mut logs = Vec::new();
    let outcome = world(lab, case, peer, subject, number, &directory).and_then(|mut world| {
        let outcome = (case.run)(&mut world);
        for (program, version) in [
            (peer.to_string(), world.peer.version()),
            (subject.to_string(), world.subject.version()),
        ] {
            if let Some(version) = version {
                lab.report.add_version(&program, &version);
            }
        }
        logs = [world.subject.logs(), world.peer.logs()].concat();
        outcome
    });

    let expected = match (lab.choice.expects_failure(subject), &outcome) {
        (false, Ok(())) | (true, Err(Failure::Expectation(_))) => Ok(()),
        (false, Err(failure)) | (true, Err(failure @ Failure::Lab(_))) => Err(failure.to_string()),
        (true, Ok(())) => Err("the case holds with a subject that does nothing".to_owned()),
    };
    let verdict = Verdict {
        passed: expected.is_ok(),
        took: begun.elapsed(),
    };
    lab.report.add(case.name, peer, subject, verdict);
    expected.map_err(|text| format!("{text}\n{}", tails(&logs)))
}

/// Makes the nodes of a case, of which none runs yet.
fn world(
    lab: &Lab,
    case: &Case,
    peer: Release,
    subject: Subject,
    number: usize,
    directory: &Path,
) -> Outcome<World> {
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(instance::lab(directory.display()))?;
    }
    let addresses = Addresses::new(lab.block, number);
    let third_party = SocketAddr::new(addresses.third_party(), 0);
    let relation = (case.relation)();
    let node = |release: Release, name: &str, plan| {
        let root = lab
            .found
            .get(&release)
            .ok_or_else(|| Failure::Lab(format!("{release} is missing")))?;
        Asterisk::new(release, root, directory.join(name), plan, third_party)
    };
    let (subject_directory, peer_directory) = (directory.join("subject"), directory.join("peer"));
    let subject_plan = relation.subject_plan(addresses, &subject_directory);
    let peer_plan = relation.peer_plan(addresses, &peer_directory);
    let certificates = Certificates::new("Right authority")?;
    certificates.write(&subject_directory.join("tls"), addresses.subject())?;
    certificates.write(&peer_directory.join("tls"), addresses.peer())?;
    let subject: Box<dyn Instance> = match subject {
        Subject::Lampwire => Box::new(Lampwire::new(subject_directory, subject_plan)?),
        Subject::Asterisk(release) => Box::new(node(release, "subject", subject_plan)?),
        Subject::Sleep => Box::new(Sleeper::new(subject_directory)?),
    };
    Ok(World {
        patience: match subject.name() {
            "sleep" => PATIENCE_WITH_SLEEP,
            _ => PATIENCE,
        },
        subject,
        directory: directory.to_owned(),
        peer: node(peer, "peer", peer_plan)?,
        addresses,
    })
}

/// The last lines of every log.
fn tails(logs: &[PathBuf]) -> String {
    let mut text = String::new();
    for log in logs {
        let bytes = fs::read(log).unwrap_or_default();
        let content = String::from_utf8_lossy(&bytes);
        let lines = content.lines().collect::<Vec<_>>();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        text.push_str(&format!(
            "--- the end of {}\n{}\n",
            log.display(),
            shown.join("\n")
        ));
    }
    text
}
