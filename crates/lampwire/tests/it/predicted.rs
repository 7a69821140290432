//! What `check` predicts of several instances, on the wire: the wrong configurations of its corpus, run by real nodes, fail as their code says,
//! and their twins work.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use lampwire_conf::findings::{GROUPS, RELATIONS};
use serde_json::{Value, json};

use super::harness::{Directory, Process, Request, address, lampwire, wait_for};
use super::manager;

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
    ("filtered-at-peer", "two-devicestate", Dropped),
];

/// A state of `one` that does not come to the last instance, as is known once something else has happened.
const NOT_HEARD: &[(&str, &str, Happened)] = &[
    (
        "not-listening",
        "two",
        Happened::Away("one", "two-devicestate"),
    ),
    (
        "equal-entity-ids",
        "two",
        Happened::Counted("two", "own-entity-id"),
    ),
    ("not-relayed", "three", Happened::Heard("hub")),
    ("hubs-apart", "three", Happened::Heard("two")),
    (
        "relayed-ids-refused",
        "two",
        Happened::Refused("hub", "two-devicestate", 403),
    ),
    (
        "unknown-destination",
        "two",
        Happened::Away("one", "two-devicestate"),
    ),
];

/// Codes of relations that have a test of their own below.
const BY_THEMSELVES: &[&str] = &[
    "entity-id-differs",
    "one-way",
    "refresh-elsewhere",
    "shared-endpoint",
];

/// Codes of relations that predict nothing of the wire, and why.
const NO_EFFECT: &[(&str, &str)] = &[
    (
        "address-inferred",
        "says what `check` assumes where the files are silent",
    ),
    (
        "cluster-bucket-differs",
        "is about NATS: nothing of it is seen by SIP",
    ),
    (
        "cluster-domain-differs",
        "is about NATS: nothing of it is seen by SIP",
    ),
    ("cluster-node-twice", "is about names that people read"),
    (
        "cluster-wide-differs",
        "is about NATS: nothing of it is seen by SIP",
    ),
    (
        "cluster-without-domain",
        "is about NATS: nothing of it is seen by SIP",
    ),
    (
        "entity-id-unset",
        "is about asterisk.conf, which no Lampwire reads",
    ),
    (
        "not-compared",
        "says that errors were found, which are told by themselves",
    ),
    (
        "realtime-loses-options",
        "is about sorcery.conf, which no Lampwire reads",
    ),
    ("unknown-source", "says that `check` cannot know"),
];

/// What shows that a state would have come by now.
#[derive(Clone, Copy, Debug)]
enum Happened {
    /// This publish of this instance reaches nobody.
    Away(&'static str, &'static str),
    /// This instance has counted it so.
    Counted(&'static str, &'static str),
    /// This instance has it.
    Heard(&'static str),
    /// This publish of this instance was answered so.
    Refused(&'static str, &'static str, u16),
}

/// A device that `filter-drops` sends and drops, and one that its twin and all others let pass.
const DEVICES: [&str; 2] = ["Custom:night", "PJSIP/1001"];
/// The same of mailboxes.
const MAILBOXES: [&str; 2] = ["1001@elsewhere", "1001@default"];
/// Counts who has asked for everything.
const REFRESHES: &str = "lampwire_refreshes_received_total";
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

#[test]
fn what_does_not_come_does_not_and_comes_to_their_twins() {
    std::thread::scope(|scope| {
        for part in NOT_HEARD.chunks(NOT_HEARD.len().div_ceil(3)) {
            scope.spawn(move || {
                for (case, hearer, happened) in part {
                    let web = Web::start(case, "wrong");
                    web.tell("one", "devices");
                    wait_for(&format!("{case}: {happened:?}"), || match *happened {
                        Happened::Away(at, publish) => {
                            let found = web.publisher(at, publish)?;
                            (found["status"] == "back-off").then_some(())
                        }
                        Happened::Counted(at, result) => {
                            let metrics = Request::get(web.url(at), "/metrics").send().text;
                            let line =
                                format!("lampwire_states_received_total{{result=\"{result}\"}} ");
                            let at = metrics.find(&line)? + line.len();
                            (!metrics[at..].starts_with('0')).then_some(())
                        }
                        Happened::Heard(at) => web.has(at, "devices", 1).then_some(()),
                        Happened::Refused(at, publish, status) => {
                            let found = web.publisher(at, publish)?;
                            (found["last_answer"]["status"] == status).then_some(())
                        }
                    });
                    assert!(!web.has(hearer, "devices", 1), "{case}: it has arrived");
                    drop(web);
                    let web = Web::start(case, "right");
                    web.tell("one", "devices");
                    wait_for(&format!("{case}: the twin's state"), || {
                        web.has(hearer, "devices", 1).then_some(())
                    });
                }
            });
        }
    });
}

/// What is predicted is seen, for each code that the relations of instances can have.
#[test]
fn every_code_of_relations_is_seen_on_the_wire_or_has_nothing_to_see_there() {
    let relations = GROUPS
        .iter()
        .find(|group| group.name == RELATIONS)
        .expect("a group of them");
    let codes: BTreeSet<&str> = relations.codes.iter().map(|code| code.name).collect();
    fn code(case: &str) -> &str {
        case.split('.').next().unwrap()
    }
    let seen: BTreeSet<&str> = (PREDICTED.iter().map(|(case, ..)| code(case)))
        .chain(NOT_HEARD.iter().map(|(case, ..)| code(case)))
        .chain(manager::PREDICTED.iter().map(|(code, ..)| *code))
        .chain(BY_THEMSELVES.iter().copied())
        .collect();
    let nothing: BTreeSet<&str> = NO_EFFECT.iter().map(|(code, _)| *code).collect();
    assert!(seen.is_disjoint(&nothing));
    let known: BTreeSet<&str> = seen.union(&nothing).copied().collect();
    assert_eq!(known, codes);
}

#[test]
fn one_way_the_other_side_has_nobody_to_tell() {
    let case = "one-way.nothing-back";
    let said = |web: &Web| web.said("one", "Custom:back", "02:00:00:00:00:02");
    let web = Web::start(case, "wrong");
    web.set("two", "Custom:back");
    web.set("one", "Custom:there");
    wait_for("the way that works", || {
        web.said("two", "Custom:there", EID)
    });
    let publishers = Request::get(web.url("two"), "/api/v1/publishers").send();
    assert_eq!(publishers.json["publishers"], json!([]));
    assert_eq!(said(&web), None);
    drop(web);
    let web = Web::start(case, "right");
    web.set("two", "Custom:back");
    wait_for("the twin's way back", || said(&web));
}

#[test]
fn whose_refresh_goes_elsewhere_is_not_asked() {
    // Everybody asks all whom it knows to ask at the start: the first asks the second alone, so the third is asked by one of the two.
    let case = "refresh-elsewhere";
    let asked = |web: &Web, name: &str| web.metric(name, REFRESHES);
    let web = Web::start(case, "wrong");
    wait_for("the questions", || {
        let enough = asked(&web, "one") >= 2 && asked(&web, "two") >= 2 && asked(&web, "three") > 0;
        enough.then_some(())
    });
    assert_eq!(asked(&web, "three"), 1);
    drop(web);
    let web = Web::start(case, "right");
    wait_for("the question of both", || {
        (asked(&web, "three") > 1).then_some(())
    });
}

#[test]
fn two_that_share_an_endpoint_are_taken_for_one_that_changed_its_entity_id() {
    let case = "shared-endpoint.name";
    let changed = |web: &Web| {
        web.log("three")
            .contains("endpoint two was 02:00:00:00:00:0")
    };
    let web = Web::start(case, "wrong");
    wait_for("the second to be taken for the first", || {
        changed(&web).then_some(())
    });
    drop(web);
    let web = Web::start(case, "right");
    for (name, eid) in [("one", EID), ("two", "02:00:00:00:00:02")] {
        web.set(name, &format!("Custom:{name}"));
        wait_for("the twin's states", || {
            web.said("three", &format!("Custom:{name}"), eid)
        });
    }
    assert!(!changed(&web));
}

#[test]
fn who_is_told_to_have_another_entity_id_goes_by_its_own_with_a_warning() {
    let case = "entity-id-differs";
    let warned = |web: &Web| {
        let text = format!("endpoint one says that it is {EID}, and its @entity_id is");
        web.log("two").contains(&text)
    };
    let web = Web::start(case, "wrong");
    wait_for("the warning", || warned(&web).then_some(()));
    drop(web);
    let web = Web::start(case, "right");
    wait_for("the twin's refresh", || {
        (web.metric("two", REFRESHES) > 0).then_some(())
    });
    assert!(!warned(&web));
}

fn fails(case: &str, publish: &str, fate: Fate) {
    let pair = Web::start(case, "wrong");
    pair.tell("one", publish);
    match fate {
        Answered(status) => {
            wait_for(&format!("{case}: {publish} answered {status}"), || {
                let found = pair.publisher("one", publish)?;
                (found["last_answer"]["status"] == status).then_some(())
            });
        }
        Dropped => {
            wait_for(&format!("{case}: all of {publish} answered"), || {
                let found = pair.publisher("one", publish)?;
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
    assert!(!pair.has("two", publish, dropped), "{case}: it has arrived");
}

fn works(case: &str, publish: &str) {
    let pair = Web::start(case, "right");
    pair.tell("one", publish);
    wait_for(&format!("{case}: the twin's state"), || {
        pair.has("two", publish, 1).then_some(())
    });
}

/// The nodes of a case.
struct Web {
    nodes: Vec<Running>,
    _directory: Directory,
}

/// One of them.
struct Running {
    name: String,
    url: String,
    process: Process,
}

impl Web {
    fn start(case: &str, kind: &str) -> Self {
        let directory = Directory::new();
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../lampwire-conf/tests/check/{case}.case"));
        let whole = fs::read_to_string(path).unwrap();
        let files: Vec<(&str, &str)> = whole
            .split("=== ")
            .filter_map(|part| part.strip_prefix(kind)?.trim_start().split_once('\n'))
            .map(|(name, text)| (name.strip_suffix(".conf").unwrap(), text))
            .collect();
        let places: Vec<(u8, Ipv4Addr)> = files
            .iter()
            .map(|(name, _)| (number(name), address()))
            .collect();
        let nodes = files
            .iter()
            .zip(&places)
            .map(|((name, text), (number, address))| {
                let mut text = placed(text, &places);
                let type_line = match text.contains("[lampwire]") {
                    true => "[lampwire](+)\n",
                    false => "[lampwire]\ntype=lampwire\n",
                };
                let entity_id = match text.contains("\nentity_id=") {
                    true => String::new(),
                    false => format!("entity_id=02:00:00:00:00:0{number}\n"),
                };
                text.push_str(&format!(
                    "\n{type_line}{entity_id}http_bind={address}:7060\nstate_dir=\n"
                ));
                let file = directory.write(&format!("{name}.conf"), &text);
                Running {
                    name: (*name).to_owned(),
                    url: format!("http://{address}:7060"),
                    process: Process::start(lampwire().args(["run", "-c", &file])),
                }
            })
            .collect();
        let pair = Self {
            nodes,
            _directory: directory,
        };
        for Running { url, .. } in &pair.nodes {
            wait_for(&format!("{case}: {kind} nodes that are ready"), || {
                let answer = Request::get(url, "/readyz").try_send()?;
                (answer.status == 200).then_some(())
            });
        }
        pair
    }

    fn node(&self, name: &str) -> &Running {
        self.nodes.iter().find(|node| node.name == name).unwrap()
    }

    fn url(&self, name: &str) -> &str {
        &self.node(name).url
    }

    fn log(&self, name: &str) -> String {
        self.node(name).process.log()
    }

    /// What a counter stands at; 0: it is not there.
    fn metric(&self, name: &str, counter: &str) -> u64 {
        let metrics = Request::get(self.url(name), "/metrics").send().text;
        let mut lines = metrics.lines().filter_map(|line| {
            let value = line.strip_prefix(counter)?.strip_prefix(' ')?;
            value.parse().ok()
        });
        lines.next().unwrap_or(0)
    }

    /// Gives a node a device.
    fn set(&self, name: &str, device: &str) {
        let answer = Request::get(self.url(name), &format!("/api/v1/devices/{device}"))
            .method("PUT")
            .body(r#"{"state":"INUSE"}"#)
            .send();
        assert!((200..300).contains(&answer.status), "{answer:?}");
    }

    /// What an entity says of a device at a node.
    fn said(&self, at: &str, device: &str, eid: &str) -> Option<Value> {
        let answer = Request::get(self.url(at), &format!("/api/v1/devices/{device}")).send();
        let entities = answer.json["entities"].as_array()?.clone();
        entities.into_iter().find(|entity| entity["eid"] == eid)
    }

    /// Gives a node its devices or its mailboxes.
    fn tell(&self, teller: &str, publish: &str) {
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
            let answer = Request::get(self.url(teller), &path)
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

    fn publisher(&self, at: &str, name: &str) -> Option<Value> {
        let answer = Request::get(self.url(at), "/api/v1/publishers").send();
        let all = answer.json["publishers"].as_array()?.clone();
        all.into_iter().find(|publisher| publisher["name"] == name)
    }

    /// Whether a node has heard of the device or mailbox of that number.
    fn has(&self, at: &str, publish: &str, number: usize) -> bool {
        let answer = match publish {
            "two-mwi" => {
                let name = MAILBOXES[number].replace('@', "%40");
                Request::get(self.url(at), &format!("/api/v1/mailboxes/{name}")).send()
            }
            _ => {
                let name = DEVICES[number].replace('/', "%2F");
                Request::get(self.url(at), &format!("/api/v1/devices/{name}")).send()
            }
        };
        answer.status == 200 && answer.json.to_string().contains(EID)
    }
}

/// The last part of the address of an instance in the corpus, and of its entity id.
fn number(name: &str) -> u8 {
    match name {
        "one" => 1,
        "two" => 2,
        "three" => 3,
        "hub2" => 8,
        _ => 9,
    }
}

/// The text with the case's addresses on loopback, and others nowhere.
fn placed(text: &str, places: &[(u8, Ipv4Addr)]) -> String {
    let text = text
        .replace("10.0.0.0/24", "127.0.0.0/8")
        .replace("10.0.0.11", "192.0.2.11")
        .replace("10.0.0.22", &address().to_string());
    places.iter().fold(text, |text, (number, address)| {
        text.replace(&format!("10.0.0.{number}"), &address.to_string())
    })
}
