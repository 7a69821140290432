//! Nobody changes what is not theirs: a tag is good for its endpoint, its resource and its event, and cannot be made.

use std::net::Ipv4Addr;

use serde_json::Value;

use super::harness::{Node, address};
use super::sip::{Draft, Line, Ports, Transport};

const OWNER: &str = "02:00:00:00:00:01";
const EVENT: &str = "asterisk-devicestate";

/// A publication of `owner` on a resource, and a node on which another endpoint would have it.
struct Bench {
    node: Node,
    ports: Ports,
    here: Ipv4Addr,
}

fn publish(endpoint: &str, resource: &str, state: &str) -> Draft {
    let body = format!(
        r#"{{"type":"devicestate","device":"Owned/1","state":"{state}","cachable":1,"eid":"{OWNER}"}}"#
    );
    Draft::publish(resource, EVENT, body).set("From", format!("<sip:{endpoint}@127.0.0.1>;tag=1"))
}

impl Bench {
    fn new() -> Self {
        let (at, here) = (address(), address());
        let (ports, mut text) = Ports::new(at);
        text.push_str("[all]\ntype=asterisk-publication\ndevice_state=yes\nmailbox_state=yes\n");
        for endpoint in ["owner", "other"] {
            text.push_str(&format!("[{endpoint}]\ntype=endpoint\n"));
        }
        // `owner`, `other`: each for its own endpoint; `open`, `wide`: for whoever comes.
        for (resource, endpoint) in [
            ("owner", "endpoint=owner"),
            ("other", "endpoint=other"),
            ("open", ""),
            ("wide", ""),
        ] {
            text.push_str(&format!(
                "[{resource}]\ntype=inbound-publication\n{endpoint}\nevent_asterisk-devicestate=all\nevent_asterisk-mwi=all\n"
            ));
        }
        let node = Node::start(at, "entity_id=02:00:00:00:00:99", &text);
        Self { node, ports, here }
    }

    /// The owner begins a publication, somebody tries these with its tag, and the owner goes on as if nothing had been.
    fn withstand(&self, resource: &str, attempts: impl Fn(&str) -> Vec<(Draft, u16)>) {
        for transport in Transport::ALL {
            let mut owner = self.ports.open(transport, self.here);
            let tag = owner.ask(publish("owner", resource, "INUSE")).tag();
            self.is("INUSE");
            let publications = self.publications();
            for (number, (attempt, status)) in attempts(&tag).into_iter().enumerate() {
                let mut line = self.ports.open(transport, self.here);
                let refused = |line: &mut Line, draft: Draft| {
                    let answer = line.ask(draft);
                    assert_eq!(answer.status, status, "attempt {number}: {answer:?}");
                    assert_eq!(answer.header("SIP-ETag"), None);
                };
                // With a body, without one, and as a removal.
                refused(&mut line, attempt.clone());
                refused(&mut line, attempt.clone().body("").without("Content-Type"));
                refused(&mut line, attempt.set("Expires", "0"));
                self.is("INUSE");
                assert_eq!(self.publications(), publications);
            }
            let next = publish("owner", resource, "RINGING").set("SIP-If-Match", tag);
            owner.ask(next).tag();
            self.is("RINGING");
        }
    }

    fn is(&self, state: &str) {
        assert_eq!(self.node.said("Owned/1", OWNER).as_deref(), Some(state));
    }

    /// Each publication: what a request that is taken changes of it.
    fn publications(&self) -> Vec<String> {
        let json = self.node.get("/api/v1/publications").json;
        let list = json["publications"].as_array().unwrap();
        let line = |it: &Value| {
            format!(
                "{} {} {} {}",
                it["id"], it["endpoint"], it["changed_at"], it["states"]
            )
        };
        list.iter().map(line).collect()
    }
}

#[test]
fn another_endpoint_with_a_valid_tag() {
    Bench::new().withstand("owner", |tag| {
        vec![
            // To the owner's resource, which is not its own, and to its own, for which the tag is not.
            (
                publish("other", "owner", "BUSY").set("SIP-If-Match", tag),
                403,
            ),
            (
                publish("other", "other", "BUSY").set("SIP-If-Match", tag),
                412,
            ),
        ]
    });
}

#[test]
fn another_endpoint_on_the_same_open_resource() {
    Bench::new().withstand("open", |tag| {
        vec![(
            publish("other", "open", "BUSY").set("SIP-If-Match", tag),
            412,
        )]
    });
}

#[test]
fn the_right_tag_on_another_resource() {
    Bench::new().withstand("open", |tag| {
        ["wide", "owner"]
            .map(|resource| {
                let attempt = publish("owner", resource, "BUSY").set("SIP-If-Match", tag);
                (attempt, 412)
            })
            .to_vec()
    });
}

#[test]
fn the_right_tag_on_another_event() {
    Bench::new().withstand("owner", |tag| {
        let attempt = publish("owner", "owner", "BUSY")
            .set("Event", "asterisk-mwi")
            .set("SIP-If-Match", tag);
        vec![(attempt, 412)]
    });
}

#[test]
fn a_tag_with_one_digit_changed() {
    Bench::new().withstand("owner", |tag| {
        let changed = (0..tag.len()).map(|at| {
            let digit = if &tag[at..=at] == "0" { "1" } else { "0" };
            format!("{}{digit}{}", &tag[..at], &tag[at + 1..])
        });
        let attempt = |tag: String| {
            (
                publish("owner", "owner", "BUSY").set("SIP-If-Match", tag),
                412,
            )
        };
        changed.map(attempt).collect()
    });
}

#[test]
fn a_tag_that_is_made_up() {
    Bench::new().withstand("owner", |tag| {
        [
            "0".repeat(tag.len()),
            "f".repeat(tag.len()),
            tag[1..].to_owned(),
            tag[..tag.len() - 1].to_owned(),
            format!("{tag}0"),
            format!("0{tag}"),
            tag.chars().rev().collect(),
            format!("{tag},{tag}"),
            format!("\"{tag}\""),
            "0".to_owned(),
            "*".to_owned(),
        ]
        .map(|tag| {
            (
                publish("owner", "owner", "BUSY").set("SIP-If-Match", tag),
                412,
            )
        })
        .to_vec()
    });
}

#[test]
fn a_tag_that_has_been_used() {
    let bench = Bench::new();
    let mut owner = bench.ports.open(Transport::Udp, bench.here);
    let old = owner.ask(publish("owner", "owner", "BUSY")).tag();
    let next = publish("owner", "owner", "ONHOLD").set("SIP-If-Match", &old);
    owner.ask(next).tag();
    bench.withstand("owner", |_| {
        vec![(
            publish("owner", "owner", "BUSY").set("SIP-If-Match", &old),
            412,
        )]
    });
}
