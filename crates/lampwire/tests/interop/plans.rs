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
use crate::nats::{self, NatsServer};
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

/// Two Lampwires that are one hub over NATS, and three Asterisks: the first at both of them.
const CLUSTER: (&str, &str) = (
    "cluster_of_two",
    "2 Lampwires, their NATS server and 3 Asterisks, the first attached to both: each hears what the first and the last say",
);
const HUBS: [(&str, &str); 2] = [HUB, ("hub2", "02:00:00:00:00:0a")];
/// The Lampwires of each Asterisk.
const ATTACHED: [&str; 3] = ["\"hub1\", \"hub2\"", "\"hub1\"", "\"hub2\""];

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
        let number = first_number + trials.len();
        let name = format!("{release}::plan::{}", CLUSTER.0);
        let ignored =
            |why: &str| Trial::test(format!("{name} ({why})"), || Ok(())).with_ignored_flag(true);
        let lab_ = Arc::clone(lab_);
        trials.push(match (nats::find(), lab_.found.contains_key(&release)) {
            (Err(why), _) => ignored(&why),
            (_, false) => ignored(&format!("{release} is missing")),
            (Ok(program), true) => Trial::test(name, move || {
                let case = |nodes: &mut Nodes| cluster(&lab_, release, &program, number, nodes);
                judged(&lab_, release, CLUSTER, case).map_err(Failed::from)
            }),
        });
    }
    trials
}

/// All that run, so that their logs can be shown.
type Nodes = Vec<Box<dyn Instance>>;

fn run(lab_: &Lab, release: Release, shape: Shape, number: usize) -> Result<(), String> {
    let shows = shape.shows();
    judged(lab_, release, (shape.name, &shows), |nodes| {
        exchange(lab_, release, shape, number, nodes)
    })
}

/// Runs a case, and puts what becomes of it into the report.
fn judged(
    lab_: &Lab,
    release: Release,
    (case, shows): (&'static str, &str),
    run: impl FnOnce(&mut Nodes) -> Outcome,
) -> Result<(), String> {
    let begun = Instant::now();
    let mut nodes: Nodes = Vec::new();
    let outcome = run(&mut nodes);
    let verdict = Verdict {
        passed: outcome.is_ok(),
        took: begun.elapsed(),
    };
    lab_.report
        .add_of_several("plan", (case, shows), release.name(), verdict);
    let logs: Vec<PathBuf> = nodes.iter().flat_map(|node| node.logs()).collect();
    outcome.map_err(|failure| format!("{failure}\n{}", tails(&logs)))
}

/// Plans, starts all with what was written, and looks whether each hears what the other says.
fn exchange(
    lab_: &Lab,
    release: Release,
    shape: Shape,
    number: usize,
    nodes: &mut Nodes,
) -> Outcome {
    let addresses = Addresses::new(lab_.block, number);
    let directory = empty_directory(lab_, release, shape.name)?;
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
    asterisks(lab_, release, (&directory, &out), addresses, plans, nodes)?;
    for node in nodes.iter_mut() {
        node.start()?;
    }
    // The phone system of these tests speaks UDP.
    each_hears(nodes, shape.asterisks, !shape.tls)
}

/// The same of a cluster.
fn cluster(
    lab_: &Lab,
    release: Release,
    program: &Path,
    number: usize,
    nodes: &mut Nodes,
) -> Outcome {
    let addresses = Addresses::new(lab_.block, number);
    let directory = empty_directory(lab_, release, CLUSTER.0)?;
    let relation = Relation::default();
    let node_plan = |(name, entity_id), address| {
        let mut plan = relation.subject_plan(addresses, &directory);
        (plan.name, plan.entity_id, plan.address) = (name, entity_id, address);
        plan
    };
    let mut places = addresses.more();
    let mut place = || places.next().expect("as many as there are nodes");
    let hubs: Vec<NodePlan> = HUBS.map(|node| node_plan(node, place())).into();
    let offices: Vec<NodePlan> = (0..ATTACHED.len())
        .map(|index| node_plan(NODES[index], place()))
        .collect();
    let server_at = place();

    let server_directory = directory.join("nats1");
    let mut peers = format!(
        "topology = \"cluster\"\nauth = \"digest\"\n[[nats]]\nname = \"nats1\"\naddress = \"{server_at}\"\ndirectory = \"{0}\"\nstore = \"{0}/store\"\n",
        server_directory.display()
    );
    for plan in &hubs {
        let _ = writeln!(
            peers,
            "[[peer]]\nname = \"{0}\"\naddress = \"{1}\"\nkind = \"lampwire\"\ndirectory = \"{2}\"",
            plan.name,
            plan.address,
            directory.join(plan.name).display()
        );
    }
    for (plan, attached) in offices.iter().zip(ATTACHED) {
        let _ = writeln!(
            peers,
            "[[peer]]\nname = \"{}\"\naddress = \"{}\"\ndirectory = \"/mnt\"\ndevices = \"^Custom:\"\nnodes = [{attached}]",
            plan.name, plan.address
        );
    }
    let out = planned(&directory, &peers)?;

    let configuration = text(&out.join("nats1/nats-server.conf"))?;
    let of_server = ("nats1", server_at);
    let mut server =
        NatsServer::configured(program, server_directory.clone(), of_server, &configuration)?;
    copy_certificates(&out.join("nats1"), &server_directory)?;
    server.start()?;
    for plan in hubs {
        let (from, place) = (out.join(plan.name), directory.join(plan.name));
        let node = Lampwire::new(place.clone(), plan)?;
        node.configure(&text(&from.join("lampwire.conf"))?)?;
        copy_certificates(&from, &place)?;
        nodes.push(Box::new(node));
    }
    let count = offices.len();
    asterisks(lab_, release, (&directory, &out), addresses, offices, nodes)?;
    for node in nodes.iter_mut() {
        node.start()?;
    }
    each_hears(nodes, count, true)?;
    // The first Asterisk has another way when this one is gone.
    nodes[0].kill()?;
    let device = "Custom:after";
    let last = nodes.len() - 1;
    let first = nodes.len() - count;
    for (from, to) in [(first, last), (last, first)] {
        for state in ["INUSE", "NOT_INUSE"] {
            nodes[from].set_device(device, state)?;
            let what = format!("{device} at {}, one Lampwire killed", nodes[to].name());
            let node = &mut nodes[to];
            wait_until(PATIENCE, &what, &state.to_owned(), || node.device(device))?;
        }
    }
    Ok(())
}

/// The Asterisks, each with what was planned for it.
fn asterisks(
    lab_: &Lab,
    release: Release,
    (directory, out): (&Path, &Path),
    addresses: Addresses,
    plans: Vec<NodePlan>,
    nodes: &mut Nodes,
) -> Outcome {
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
    Ok(())
}

/// What the first and the last of the Asterisks say is heard by all others; they are the last `count` of the nodes.
fn each_hears(nodes: &mut Nodes, count: usize, mailboxes: bool) -> Outcome {
    let last = nodes.len() - 1;
    let first = nodes.len() - count;
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
    if mailboxes {
        let (mailbox, counts) = (MAILBOXES[0], (3, 4));
        nodes[first].set_mailbox(mailbox, counts)?;
        let node = &mut nodes[last];
        wait_until(PATIENCE, mailbox, &counts, || node.mailbox(mailbox))?;
    }
    Ok(())
}

/// A directory of a case's own, empty.
fn empty_directory(lab_: &Lab, release: Release, case: &str) -> Outcome<PathBuf> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("interop")
        .join(format!("{}-{release}-plan-{case}", lab_.block));
    if directory.exists() {
        fs::remove_dir_all(&directory).map_err(lab(directory.display()))?;
    }
    fs::create_dir_all(&directory).map_err(lab(directory.display()))?;
    Ok(directory)
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
    let all = ["certificate.pem", "key.pem", "authority.pem"];
    for name in all.into_iter().filter(|name| from.join(name).exists()) {
        fs::copy(from.join(name), to.join(name)).map_err(lab(name))?;
    }
    Ok(())
}

fn text(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(lab(path.display()))
}
