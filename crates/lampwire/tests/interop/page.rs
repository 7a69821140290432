//! The page of a Lampwire in a browser, while a real Asterisk changes states.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};

use crate::Lab;
use crate::asterisk::{Asterisk, Release};
use crate::chromium::{self, Browser};
use crate::hub::{relation, transport};
use crate::instance::{Failure, Instance, Outcome, lab};
use crate::lampwire::Lampwire;
use crate::relation::{Addresses, NodePlan, PEER_EID, Relation, SUBJECT_EID};

/// What is done with a release at the addresses of a number, and the browser at a path.
type Case = fn(&Lab, Release, usize, &Path) -> Outcome;

const CASES: [(&str, Case); 2] = [
    (
        "a_lamp_lights_and_is_explained",
        a_lamp_lights_and_is_explained,
    ),
    ("two_nodes_and_an_asterisk", two_nodes_and_an_asterisk),
];

/// The trials of each Asterisk; the addresses of the first are those of number `first_number`.
pub(crate) fn trials(lab: &Arc<Lab>, first_number: usize) -> Vec<Trial> {
    let browser = chromium::find();
    let cases = Release::ALL
        .into_iter()
        .flat_map(|release| CASES.map(|(case, run)| (release, case, run)));
    let trial = |(index, (release, case, run)): (usize, (Release, &str, Case))| {
        let number = first_number + index;
        let name = format!("{release}::page::{case}");
        match (&browser, lab.found.contains_key(&release)) {
            (Some(program), true) => {
                let (program, lab) = (program.clone(), Arc::clone(lab));
                Trial::test(name, move || {
                    run(&lab, release, number, &program).map_err(|it| Failed::from(it.to_string()))
                })
            }
            (None, _) => Trial::test(format!("{name} (no chromium on PATH)"), || Ok(()))
                .with_ignored_flag(true),
            (_, false) => Trial::test(format!("{name} ({release} is missing)"), || Ok(()))
                .with_ignored_flag(true),
        }
    };
    cases.enumerate().map(trial).collect()
}

/// A lamp lights when the Asterisk changes it; a click shows what both say, and the command that puts it out there. An Asterisk that is gone
/// is shown as lost.
fn a_lamp_lights_and_is_explained(
    lab_: &Lab,
    release: Release,
    number: usize,
    program: &Path,
) -> Outcome {
    let directory = directory(lab_, release, "page")?;
    let addresses = Addresses::new(lab_.block, number);
    let relation = Relation::default();
    let (ours, theirs) = (directory.join("subject"), directory.join("peer"));
    let ours_plan = relation.subject_plan(addresses, &ours);
    let theirs_plan = relation.peer_plan(addresses, &theirs);
    let root = lab_
        .found
        .get(&release)
        .ok_or_else(|| Failure::Lab(format!("{release} is missing")))?;
    let third_party = std::net::SocketAddr::new(addresses.third_party(), 0);
    let mut asterisk = Asterisk::new(release, root, theirs, theirs_plan, third_party)?;
    let mut lampwire = Lampwire::new(ours, ours_plan)?;
    lampwire.start()?;
    asterisk.start()?;

    let mut browser = Browser::start(program, 1280, 800);
    browser.open(&lampwire.url("/"));
    let lit = |state: &str| {
        format!("document.querySelector('.cell[data-key=\"Custom:lamp\"][data-state={state}]')")
    };
    asterisk.set_device("Custom:lamp", "INUSE")?;
    browser.until(&lit("INUSE"));
    lampwire.set_device("Custom:lamp", "RINGING")?;
    browser.until(&lit("RINGINUSE"));
    browser.click(".cell[data-key='Custom:lamp']");
    for eid in [SUBJECT_EID, PEER_EID] {
        browser.until(&format!(
            "document.querySelector('#drawer .entity.decides[data-eid=\"{eid}\"]')"
        ));
    }
    let drawer = "document.querySelector('#drawer').innerText";
    browser.until(&format!(
        "{drawer}.includes('devstate change Custom:lamp NOT_INUSE')"
    ));
    browser.until(&format!("{drawer}.includes('confirmed')"));
    // What that command does.
    asterisk.set_device("Custom:lamp", "NOT_INUSE")?;
    browser.until(&lit("RINGING"));
    browser.click("#drawer .close");
    browser.click("[data-view=peers]");
    browser.until("document.querySelector('.card.up')");
    asterisk.kill()?;
    browser.until("document.querySelector('.card.down')");
    without_complaints(&mut browser)
}

/// A hub, another Lampwire and an Asterisk, which know of each other by the hub: what the Asterisk says is lit, found and explained on the page
/// of the Lampwire that never speaks to it, the hub's page shows who is there, and both show that the Asterisk is gone.
fn two_nodes_and_an_asterisk(
    lab_: &Lab,
    release: Release,
    number: usize,
    program: &Path,
) -> Outcome {
    let directory = directory(lab_, release, "page-of-two")?;
    let addresses = Addresses::new(lab_.block, number);
    let root = lab_
        .found
        .get(&release)
        .ok_or_else(|| Failure::Lab(format!("{release} is missing")))?;
    let plan = |name, address, entity_id| {
        let mut plan: NodePlan = Relation::default().subject_plan(addresses, &directory);
        (plan.name, plan.address, plan.entity_id) = (name, address, entity_id);
        plan
    };
    let (hub_at, branch_at, office_at) = (addresses.subject(), addresses.host(5), addresses.peer());
    let options = "@probe=1\n@qualify_frequency=1\n@qualify_timeout=1\n";
    let mut hub = Lampwire::new(directory.join("hub"), plan("hub", hub_at, SUBJECT_EID))?;
    hub.configure(&format!(
        "{}{}{}[lampwire]\ntype=lampwire\nrelay=yes\nhold_time=2\n",
        transport(hub_at),
        relation("office", "office", office_at, options, true),
        relation("branch", "branch", branch_at, options, true),
    ))?;
    let branch_eid = "02:00:00:00:00:05";
    let mut branch = Lampwire::new(
        directory.join("branch"),
        plan("branch", branch_at, branch_eid),
    )?;
    branch.configure(&format!(
        "{}{}[lampwire]\ntype=lampwire\n",
        transport(branch_at),
        relation("hub", "branch", hub_at, options, true),
    ))?;
    let mut office = Asterisk::new(
        release,
        root,
        directory.join("office"),
        plan("office", office_at, PEER_EID),
        std::net::SocketAddr::new(addresses.third_party(), 0),
    )?;
    let own = transport(office_at) + &relation("hub", "office", hub_at, "", true);
    office.configure(&own, &[])?;
    hub.start()?;
    branch.start()?;
    office.start()?;

    let mut browser = Browser::start(program, 1280, 800);
    browser.open(&branch.url("/"));
    let lit = |state: &str| {
        format!("document.querySelector('.cell[data-key=\"Custom:lamp\"][data-state={state}]')")
    };
    office.set_device("Custom:lamp", "INUSE")?;
    browser.until(&lit("INUSE"));
    branch.set_device("Custom:lamp", "RINGING")?;
    browser.until(&lit("RINGINUSE"));
    hub.set_device("Custom:other", "BUSY")?;
    browser.until("document.querySelectorAll('.cell').length === 2");
    browser.enter("#search", "LAMP");
    browser.until("document.querySelectorAll('.cell').length === 1");
    browser.enter("#search", "");
    browser.enter("#by-peer", "this node");
    browser.until("document.querySelectorAll('.cell').length === 1");
    browser.click(".cell[data-key='Custom:lamp']");
    for eid in [branch_eid, PEER_EID] {
        browser.until(&format!(
            "document.querySelector('#drawer .entity.decides[data-eid=\"{eid}\"]')"
        ));
    }
    let drawer = "document.querySelector('#drawer').innerText";
    browser.until(&format!(
        "{drawer}.includes('devstate change Custom:lamp NOT_INUSE')"
    ));
    browser.click("#drawer .close");

    // The hub's page: both are there, and the picture has an arrow to each and one from each.
    let mut of_hub = Browser::start(program, 1280, 800);
    of_hub.open(&format!("{}#/peers", hub.url("/")));
    for peer in ["office", "branch"] {
        of_hub.until(&format!(
            "document.querySelector('.card.up[data-peer={peer}]')"
        ));
    }
    of_hub.until("document.querySelectorAll('#web path.wire.up').length === 4");
    office.kill()?;
    of_hub.until("document.querySelector('.card.down[data-peer=office]')");
    of_hub.until("document.querySelector('.card.up[data-peer=branch]')");
    // What it said counts no more, also where nobody but the hub could know.
    browser.until(&lit("RINGING"));
    browser.until(
        "document.querySelector('.cell[data-key=\"Custom:lamp\"]').classList.contains('lost')",
    );
    without_complaints(&mut of_hub)?;
    without_complaints(&mut browser)
}

/// A directory of one trial's own, empty.
fn directory(lab_: &Lab, release: Release, name: &str) -> Outcome<PathBuf> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("interop")
        .join(format!("{}-{release}-{name}", lab_.block));
    if directory.exists() {
        std::fs::remove_dir_all(&directory).map_err(lab(directory.display()))?;
    }
    Ok(directory)
}

fn without_complaints(browser: &mut Browser) -> Outcome {
    let complaints = browser.complaints();
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(Failure::Expectation(format!(
            "the page complains: {complaints:?}"
        )))
    }
}
