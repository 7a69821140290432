//! The page of a Lampwire in a browser, while a real Asterisk changes states.

use std::path::Path;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};

use crate::Lab;
use crate::asterisk::{Asterisk, Release};
use crate::chromium::{self, Browser};
use crate::instance::{Failure, Instance, Outcome, lab};
use crate::lampwire::Lampwire;
use crate::relation::{Addresses, PEER_EID, Relation, SUBJECT_EID};

/// One trial for each Asterisk; the addresses of the first are those of number `first_number`.
pub(crate) fn trials(lab: &Arc<Lab>, first_number: usize) -> Vec<Trial> {
    let browser = chromium::find();
    let trial = |(index, release): (usize, Release)| {
        let number = first_number + index;
        let name = format!("{release}::page::a_lamp_lights_and_is_explained");
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
    Release::ALL.into_iter().enumerate().map(trial).collect()
}

/// A lamp lights when the Asterisk changes it; a click shows what both say, and the command that puts it out there. An Asterisk that is gone
/// is shown as lost.
fn run(lab_: &Lab, release: Release, number: usize, program: &Path) -> Outcome {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("interop")
        .join(format!("{}-{release}-page", lab_.block));
    if directory.exists() {
        std::fs::remove_dir_all(&directory).map_err(lab(directory.display()))?;
    }
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
    let complaints = browser.complaints();
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(Failure::Expectation(format!(
            "the page complains: {complaints:?}"
        )))
    }
}
