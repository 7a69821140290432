//! What `lampwire plan` writes, run: real Asterisks, and a Lampwire as their hub, started with it as it is.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use libtest_mimic::{Failed, Trial};

use crate::asterisk::{Asterisk, MAILBOXES, Release};
use crate::instance::{Failure, Instance, Outcome, lab, wait_until};
use crate::lampwire::{Lampwire, program};
use crate::relation::{Addresses, NodePlan, Relation};
use crate::report::Verdict;
use crate::{Lab, PATIENCE, tails};

/// One plan.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    /// How many Asterisks, up to twenty.
    asterisks: usize,
    hub: bool,
    digest: bool,
    tls: bool,
}

impl Shape {
    /// For people.
    fn shows(&self) -> String {
        format!(
            "{} Asterisks{}{}{}: each hears what the first and the last say",
            self.asterisks,
            if self.hub {
                " and their hub"
            } else {
                ", each with each"
            },
            if self.digest {
                ", with credentials"
            } else {
                ""
            },
            if self.tls { ", over TLS" } else { "" },
        )
    }
}

/// The names and entity ids of the Asterisks.
const NODES: [(&str, &str); 20] = [
    ("office1", "02:00:00:00:00:01"),
    ("office2", "02:00:00:00:00:02"),
    ("office3", "02:00:00:00:00:03"),
    ("office4", "02:00:00:00:00:04"),
    ("office5", "02:00:00:00:00:05"),
    ("office6", "02:00:00:00:00:06"),
    ("office7", "02:00:00:00:00:07"),
    ("office8", "02:00:00:00:00:08"),
    ("office9", "02:00:00:00:00:19"),
    ("office10", "02:00:00:00:00:1a"),
    ("office11", "02:00:00:00:00:1b"),
    ("office12", "02:00:00:00:00:1c"),
    ("office13", "02:00:00:00:00:1d"),
    ("office14", "02:00:00:00:00:1e"),
    ("office15", "02:00:00:00:00:1f"),
    ("office16", "02:00:00:00:00:20"),
    ("office17", "02:00:00:00:00:21"),
    ("office18", "02:00:00:00:00:22"),
    ("office19", "02:00:00:00:00:23"),
    ("office20", "02:00:00:00:00:24"),
];
/// Those of the hub.
const HUB: (&str, &str) = ("hub1", "02:00:00:00:00:09");

const SHAPES: &[Shape] = &[
    Shape {
        name: "mesh_by_address",
        asterisks: 2,
        hub: false,
        digest: false,
        tls: false,
    },
    Shape {
        name: "mesh_by_digest",
        asterisks: 2,
        hub: false,
        digest: true,
        tls: false,
    },
    Shape {
        name: "mesh_by_digest_and_tls",
        asterisks: 2,
        hub: false,
        digest: true,
        tls: true,
    },
    Shape {
        name: "hub_by_digest",
        asterisks: 2,
        hub: true,
        digest: true,
        tls: false,
    },
    Shape {
        name: "hub_by_digest_and_tls",
        asterisks: 2,
        hub: true,
        digest: true,
        tls: true,
    },
    Shape {
        name: "mesh_of_five",
        asterisks: 5,
        hub: false,
        digest: true,
        tls: false,
    },
    Shape {
        name: "hub_and_six",
        asterisks: 6,
        hub: true,
        digest: true,
        tls: false,
    },
];

/// With LAMPWIRE_TWENTY set, as it takes a while.
const LONG: [Shape; 2] = [
    Shape {
        name: "hub_and_twenty",
        asterisks: 20,
        hub: true,
        digest: true,
        tls: true,
    },
    Shape {
        name: "mesh_of_twenty",
        asterisks: 20,
        hub: false,
        digest: true,
        tls: false,
    },
];

/// The first chapter of the book: its peers as they stand there, at addresses of ours.
const BOOK: Shape = Shape {
    name: "the_first_chapter_of_the_book",
    asterisks: 2,
    hub: true,
    digest: true,
    tls: false,
};

/// The trials: each shape with Asterisks of each release.
pub(crate) fn trials(lab_: &Arc<Lab>, first_number: usize) -> Vec<Trial> {
    let mut trials = Vec::new();
    for release in Release::ALL {
        let long: &[Shape] = match std::env::var_os("LAMPWIRE_TWENTY") {
            Some(_) => &LONG,
            None => &[],
        };
        for shape in SHAPES.iter().chain([&BOOK]).chain(long) {
            let number = first_number + trials.len();
            let name = format!("{release}::plan::{}", shape.name);
            let lab_ = Arc::clone(lab_);
            trials.push(match lab_.found.contains_key(&release) {
                true => Trial::test(name, move || {
                    run(&lab_, release, *shape, number).map_err(Failed::from)
                }),
                false => Trial::test(format!("{name} ({release} is missing)"), || Ok(()))
                    .with_ignored_flag(true),
            });
        }
    }
    trials
}

fn run(lab_: &Lab, release: Release, shape: Shape, number: usize) -> Result<(), String> {
    let begun = Instant::now();
    let mut nodes: Vec<Box<dyn Instance>> = Vec::new();
    let outcome = exchange(lab_, release, shape, number, &mut nodes);
    let shows = shape.shows();
    let verdict = Verdict {
        passed: outcome.is_ok(),
        took: begun.elapsed(),
    };
    lab_.report
        .add_of_several("plan", (shape.name, &shows), release.name(), verdict);
    let logs: Vec<PathBuf> = nodes.iter().flat_map(|node| node.logs()).collect();
    outcome.map_err(|failure| format!("{failure}\n{}", tails(&logs)))
}

/// Plans, starts all with what was written, and looks whether each hears what the other says.
fn exchange(
    lab_: &Lab,
    release: Release,
    shape: Shape,
    number: usize,
    nodes: &mut Vec<Box<dyn Instance>>,
) -> Outcome {
    let addresses = Addresses::new(lab_.block, number);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("interop")
        .join(format!("{}-{release}-plan-{}", lab_.block, shape.name));
    if directory.exists() {
        fs::remove_dir_all(&directory).map_err(lab(directory.display()))?;
    }
    fs::create_dir_all(&directory).map_err(lab(directory.display()))?;
    let relation = Relation::default();
    let node_plan = |(name, entity_id), address| {
        let mut plan = relation.subject_plan(addresses, &directory);
        (plan.name, plan.entity_id, plan.address) = (name, entity_id, address);
        plan
    };
    let plans: Vec<NodePlan> = NODES
        .into_iter()
        .zip(addresses.more())
        .take(shape.asterisks)
        .map(|(node, address)| node_plan(node, address))
        .collect();
    let hub = node_plan(HUB, addresses.relay());

    let mut peers = format!(
        "topology = \"{}\"\nauth = \"{}\"\ntls = {}\n",
        if shape.hub { "hub" } else { "mesh" },
        if shape.digest { "digest" } else { "none" },
        shape.tls
    );
    let hub_directory = directory.join("hub1");
    if shape.hub {
        let _ = writeln!(
            peers,
            "hub = \"hub1\"\n[[peer]]\nname = \"hub1\"\naddress = \"{}\"\nkind = \"lampwire\"\ndirectory = \"{}\"",
            hub.address,
            hub_directory.display()
        );
    }
    for plan in &plans {
        let _ = writeln!(
            peers,
            "[[peer]]\nname = \"{}\"\naddress = \"{}\"\ndirectory = \"/mnt\"\ndevices = \"^Custom:\"",
            plan.name, plan.address
        );
    }
    if shape.name == BOOK.name {
        peers = peers_of_the_book(&hub, &hub_directory, &plans)?;
    }
    let out = planned(&directory, &peers)?;

    if shape.hub {
        let node = Lampwire::new(hub_directory.clone(), hub)?;
        node.configure(&text(&out.join("hub1/lampwire.conf"))?)?;
        copy_certificates(&out.join("hub1"), &hub_directory)?;
        nodes.push(Box::new(node));
    }
    let root = lab_
        .found
        .get(&release)
        .ok_or_else(|| Failure::Lab(format!("{release} is missing")))?;
    let third_party = SocketAddr::new(addresses.third_party(), 0);
    for plan in plans {
        let (from, place) = (out.join(plan.name), directory.join(plan.name));
        let node = Asterisk::new(release, root, place.clone(), plan, third_party)?;
        let mailboxes: Vec<String> = MAILBOXES.iter().map(|&name| name.to_owned()).collect();
        node.configure(&text(&from.join("pjsip.conf"))?, &mailboxes)?;
        copy_certificates(&from, &place)?;
        nodes.push(Box::new(node));
    }
    for node in nodes.iter_mut() {
        node.start()?;
    }

    let last = nodes.len() - 1;
    let first = nodes.len() - shape.asterisks;
    for (from, device) in [(first, "Custom:there"), (last, "Custom:back")] {
        for state in ["INUSE", "RINGING", "NOT_INUSE"] {
            nodes[from].set_device(device, state)?;
            for to in (first..=last).filter(|to| *to != from) {
                let what = format!("{device} at {}", nodes[to].name());
                let node = &mut nodes[to];
                wait_until(PATIENCE, &what, &state.to_owned(), || node.device(device))?;
            }
        }
    }
    // The phone system of these tests speaks UDP.
    if !shape.tls {
        let (mailbox, counts) = (MAILBOXES[0], (3, 4));
        nodes[first].set_mailbox(mailbox, counts)?;
        let node = &mut nodes[last];
        wait_until(PATIENCE, mailbox, &counts, || node.mailbox(mailbox))?;
    }
    Ok(())
}

/// `peers.toml` of the book's first chapter, with the addresses and directories of these nodes.
fn peers_of_the_book(
    hub: &NodePlan,
    hub_directory: &Path,
    offices: &[NodePlan],
) -> Outcome<String> {
    let chapter = text(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/start.md"))?;
    let block = chapter
        .split("```")
        .find_map(|it| it.strip_prefix("toml\n"));
    let mut peers = block
        .ok_or_else(|| Failure::Lab("the chapter has no peers.toml".to_owned()))?
        .to_owned();
    let place = |plan: &NodePlan, directory: &Path| {
        format!(
            "\"{}\"\ndirectory = \"{}\"",
            plan.address,
            directory.display()
        )
    };
    peers = peers.replace("\"192.0.2.9\"", &place(hub, hub_directory));
    for (given, office) in ["\"192.0.2.11\"", "\"192.0.2.12\""]
        .into_iter()
        .zip(offices)
    {
        peers = peers.replace(given, &place(office, Path::new("/mnt")));
    }
    Ok(peers)
}

/// Runs `lampwire plan`; gives the directory that it has written.
fn planned(directory: &Path, peers: &str) -> Outcome<PathBuf> {
    let (file, out) = (directory.join("PEERS.toml"), directory.join("plan"));
    fs::write(&file, peers).map_err(lab(file.display()))?;
    let planned = Command::new(program())
        .arg("plan")
        .arg(&file)
        .arg("-o")
        .arg(&out)
        .output()
        .map_err(lab("lampwire plan"))?;
    if !planned.status.success() {
        let said = String::from_utf8_lossy(&planned.stderr).into_owned();
        return Err(Failure::Expectation(format!("lampwire plan: {said}")));
    }
    Ok(out)
}

fn copy_certificates(from: &Path, to: &Path) -> Outcome {
    let (from, to) = (from.join("tls"), to.join("tls"));
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(&to).map_err(lab(to.display()))?;
    for name in ["certificate.pem", "key.pem", "authority.pem"] {
        fs::copy(from.join(name), to.join(name)).map_err(lab(name))?;
    }
    Ok(())
}

fn text(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(lab(path.display()))
}
