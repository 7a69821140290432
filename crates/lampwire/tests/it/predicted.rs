//! What `check` predicts of several instances, on the wire: the wrong configurations of its corpus, run by real nodes, fail as their code says,
//! and their twins work.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::{Value, json};

use super::harness::{Directory, Process, Request, address, lampwire, wait_for};

/// What becomes of a state that the first instance tells the second.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The publish is answered so.
    Answered(u16),
    /// It is answered 200, and dropped.
    Dropped,
}
use Fate::{Answered, Dropped};

/// The case, the publish of its `one.conf`, and what becomes of what goes over it.
const PREDICTED: &[(&str, &str, Fate)] = &[
    ("not-recognised", "two-devicestate", Answered(403)),
    ("not-recognised.address", "two-devicestate", Answered(403)),
    ("not-recognised.swapped", "two-devicestate", Answered(403)),
    ("no-such-resource", "two-devicestate", Answered(404)),
    ("no-such-resource.mailboxes", "two-mwi", Answered(404)),
    ("event-not-taken", "two-mwi", Answered(404)),
    ("silenced-by-401", "two-devicestate", Answered(401)),
    ("silenced-by-401.lampwire", "two-mwi", Answered(401)),
    ("credentials-differ", "two-devicestate", Answered(401)),
    ("credentials-differ.username", "two-mwi", Answered(401)),
    (
        "credentials-differ.digest",
        "two-devicestate",
        Answered(401),
    ),
    ("no-common-algorithm", "two-devicestate", Answered(401)),
    ("no-common-algorithm.default", "two-mwi", Answered(401)),
    ("realm-differs", "two-devicestate", Answered(401)),
    ("source-refused", "two-devicestate", Answered(403)),
    ("source-refused.acl", "two-mwi", Answered(403)),
    ("resource-of-another", "two-devicestate", Answered(403)),
    ("entity-id-refused", "two-devicestate", Answered(403)),
    ("filters-disjoint", "two-devicestate", Dropped),
    ("filter-drops", "two-devicestate", Dropped),
    ("filter-drops.mailboxes", "two-mwi", Dropped),
];

/// A device that `filter-drops` sends and drops, and one that its twin and all others let pass.
const DEVICES: [&str; 2] = ["Custom:night", "PJSIP/1001"];
/// The same of mailboxes.
const MAILBOXES: [&str; 2] = ["1001@elsewhere", "1001@default"];
const EID: &str = "02:00:00:00:00:01";

#[test]
fn wrong_configurations_fail_as_predicted_and_their_twins_work() {
    // Nodes mostly wait for each other.
    std::thread::scope(|scope| {
        for part in PREDICTED.chunks(PREDICTED.len().div_ceil(6)) {
            scope.spawn(move || {
                for (case, publish, fate) in part {
                    fails(case, publish, *fate);
                    works(case, publish);
                }
            });
        }
    });
}

fn fails(case: &str, publish: &str, fate: Fate) {
    let pair = Pair::start(case, "wrong");
    pair.tell(publish);
    match fate {
        Answered(status) => {
            wait_for(&format!("{case}: {publish} answered {status}"), || {
                let found = pair.publisher(publish)?;
                (found["last_answer"]["status"] == status).then_some(())
            });
        }
        Dropped => {
            wait_for(&format!("{case}: all of {publish} answered"), || {
                let found = pair.publisher(publish)?;
                // What the other's filter would drop is not even sent, once it has told of it.
                let sent = found["confirmed"].as_u64()? > 0 || case == "filters-disjoint";
                let told = sent && found["behind"] == 0;
                (told && found["last_answer"]["status"] == 200).then_some(())
            });
        }
    }
    let dropped = match fate {
        Answered(_) => 1,
        // What the sender's filter keeps back does not count.
        Dropped if case == "filters-disjoint" => 1,
        Dropped => 0,
    };
    assert!(!pair.has(publish, dropped), "{case}: it has arrived");
}

fn works(case: &str, publish: &str) {
    let pair = Pair::start(case, "right");
    pair.tell(publish);
    wait_for(&format!("{case}: the twin's state"), || {
        pair.has(publish, 1).then_some(())
    });
}

/// Two nodes of a case.
struct Pair {
    urls: [String; 2],
    _processes: [Process; 2],
    _directory: Directory,
}

impl Pair {
    fn start(case: &str, kind: &str) -> Self {
        let directory = Directory::new();
        let addresses = [address(), address()];
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../lampwire-conf/tests/check/{case}.case"));
        let whole = fs::read_to_string(path).unwrap();
        let mut processes = Vec::new();
        for (index, name) in ["one.conf", "two.conf"].iter().enumerate() {
            let head = format!("=== {kind} {name}\n");
            let text = whole.split_once(&head).unwrap().1;
            let text = text.split_once("=== ").map_or(text, |(text, _)| text);
            let mut text = placed(text, addresses);
            let own = if text.contains("[lampwire]") {
                "(+)"
            } else {
                ""
            };
            text.push_str(&format!(
                "\n[lampwire]{own}\n{}entity_id=02:00:00:00:00:0{}\nhttp_bind={}:7060\nstate_dir=\n",
                if own.is_empty() { "type=lampwire\n" } else { "" },
                index + 1,
                addresses[index],
            ));
            let file = directory.write(name, &text);
            processes.push(Process::start(lampwire().args(["run", "-c", &file])));
        }
        let pair = Self {
            urls: addresses.map(|address| format!("http://{address}:7060")),
            _processes: processes.try_into().unwrap(),
            _directory: directory,
        };
        for url in &pair.urls {
            wait_for(&format!("{case}: {kind} nodes that are ready"), || {
                let answer = Request::get(url, "/readyz").try_send()?;
                (answer.status == 200).then_some(())
            });
        }
        pair
    }

    /// Gives the first node its devices or its mailboxes.
    fn tell(&self, publish: &str) {
        let told: [(String, Value); 2] = match publish {
            "two-mwi" => MAILBOXES.map(|name| {
                (
                    format!("/api/v1/mailboxes/{}", name.replace('@', "%40")),
                    json!({"new": 3}),
                )
            }),
            _ => DEVICES.map(|name| {
                (
                    format!("/api/v1/devices/{}", name.replace('/', "%2F")),
                    json!({"state": "INUSE"}),
                )
            }),
        };
        for (path, body) in told {
            let answer = Request::get(&self.urls[0], &path)
                .method("PUT")
                .body(&body.to_string())
                .send();
            assert!(
                (200..300).contains(&answer.status),
                "{path}: {}",
                answer.status
            );
        }
    }

    fn publisher(&self, name: &str) -> Option<Value> {
        let answer = Request::get(&self.urls[0], "/api/v1/publishers").send();
        let all = answer.json["publishers"].as_array()?.clone();
        all.into_iter().find(|publisher| publisher["name"] == name)
    }

    /// Whether the second node has heard of the device or mailbox of that number.
    fn has(&self, publish: &str, number: usize) -> bool {
        let answer = match publish {
            "two-mwi" => {
                let name = MAILBOXES[number].replace('@', "%40");
                Request::get(&self.urls[1], &format!("/api/v1/mailboxes/{name}")).send()
            }
            _ => {
                let name = DEVICES[number].replace('/', "%2F");
                Request::get(&self.urls[1], &format!("/api/v1/devices/{name}")).send()
            }
        };
        answer.status == 200 && answer.json.to_string().contains(EID)
    }
}

/// The text with the case's two addresses on loopback, and others nowhere.
fn placed(text: &str, addresses: [Ipv4Addr; 2]) -> String {
    text.replace("10.0.0.0/24", "127.0.0.0/8")
        .replace("10.0.0.11", "192.0.2.11")
        .replace("10.0.0.1", &addresses[0].to_string())
        .replace("10.0.0.2", &addresses[1].to_string())
}
