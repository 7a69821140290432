//! A running node reads its configuration again: by SIGHUP, by the command and by POST.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::Arc;

use serde_json::Value;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::certificates::{Authority, Signed};
use super::harness::{
    DEADLINE, Directory, Node, Process, Request, address, lampwire, sections, wait_for,
};
use super::pair::{ONE, TWO, relation, start_two};

/// How often a node is reloaded while states change; LAMPWIRE_RELOADS says otherwise.
const RELOADS: usize = 50;

/// The publications that a node holds, by number: where each comes from and since when.
fn publications(node: &Node) -> BTreeMap<u64, (Value, Value)> {
    let answer = node.get("/api/v1/publications");
    let all = answer.json["publications"].as_array().unwrap().iter();
    all.map(|it| {
        let id = it["id"].as_u64().unwrap();
        (id, (it["resource"].clone(), it["created_at"].clone()))
    })
    .collect()
}

fn reloads_logged(node: &Node) -> usize {
    node.process.log().matches(" reloaded ").count()
}

#[test]
fn a_bad_file_changes_nothing_and_is_told_with_its_lines() {
    let at = address();
    let base = sections(at, "");
    let node = Node::start(at, "", "");
    node.configure(&format!(
        "{base}[x]\ntype=endpoint\nauth=nobody\n[y]\ntype=endpont\n"
    ));

    let answer = node.post("/api/v1/reload", "");
    let detail = answer.problem(422);
    assert!(detail.contains("lampwire.conf:12:6: error: "), "{detail}");
    assert_eq!(
        answer.json["type"],
        "urn:lampwire:problem:bad-configuration"
    );
    let lines: Vec<_> = answer.json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [12, 14]);

    let (code, out, err) = node.command(&["reload"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains("nothing has changed") && err.contains("lampwire.conf:14:6: error: "),
        "{err}"
    );
    let (code, out, err) = node.command(&["reload", "--json"]);
    assert_eq!((code, err.as_str()), (1, ""));
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["findings"][0]["line"], 12);

    node.process.signal("HUP");
    wait_for("the log of it", || {
        node.process.log().contains("reload: ").then_some(())
    });
    assert_eq!(node.get("/readyz").status, 200);

    // What needs a restart is named.
    node.configure(&base.replace("state_dir=", "state_dir=/nowhere\nrelay=yes"));
    let answer = node.post("/api/v1/reload", "");
    let detail = answer.problem(422);
    assert!(
        detail.contains("state_dir of [lampwire] is another, and needs a restart"),
        "{detail}"
    );
    assert!(
        detail.contains("relay of [lampwire] is another, and needs a restart"),
        "{detail}"
    );
    assert_eq!(answer.json["type"], "urn:lampwire:problem:needs-restart");
}

#[test]
fn the_command_says_what_is_another_and_tokens_count_at_once() {
    let at = address();
    let base = sections(at, "");
    let node = Node::start(at, "", "");
    let (code, out, err) = node.command(&["reload"]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "0 sections are others, 4 as they were\n", "")
    );

    let text = base.replace(
        "[lampwire]\ntype=lampwire\n",
        "[lampwire]\ntype=lampwire\nhttp_token=first\n",
    ) + "[door]\ntype=api-client\ntoken=second\n"
        + &relation("instance1", "instance2", address());
    node.configure(&text);
    let (code, out, err) = node.command(&["reload"]);
    assert_eq!(code, 0, "{err}");
    for line in [
        "[lampwire] changed\n",
        "api-client [door] added\n",
        "publish instance2-mwi begins: its peer is told everything\n",
        "7 sections are others, 3 as they were\n",
    ] {
        assert!(out.contains(line), "{out}");
    }
    node.get("/api/v1/devices").problem(401);
    let with = |token: &str, method: &str, path: &str| {
        let request = Request::get(&node.url, path).method(method);
        let request = request.header("authorization", &format!("Bearer {token}"));
        match method {
            "PUT" => request.body(r#"{"state":"INUSE"}"#).send().status,
            _ => request.send().status,
        }
    };
    assert_eq!(with("first", "GET", "/api/v1/devices"), 200);
    assert_eq!(with("second", "PUT", "/api/v1/devices/Custom%3Adoor"), 201);
    assert_eq!(with("second", "POST", "/api/v1/reload"), 403);
    node.configure(&base);
    assert_eq!(with("first", "POST", "/api/v1/reload"), 200);
    assert_eq!(node.get("/api/v1/devices").status, 200);
    assert_eq!(
        node.get("/api/v1/publishers").json["publishers"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn reloads_while_states_change_lose_nothing_and_leave_other_relations_alone() {
    let (at_one, at_two, at_three) = (address(), address(), address());
    let own = format!("entity_id={ONE}");
    let to_two = relation("instance1", "instance2", at_two);
    let to_three = |filter: &str| {
        relation("instance1", "instance3", at_three).replacen(
            "event=asterisk-devicestate\n",
            &format!("event=asterisk-devicestate\n@device_state_filter={filter}\n"),
            1,
        )
    };
    let texts =
        ["[02468]$", "[13579]$"].map(|filter| sections(at_one, &own) + &to_two + &to_three(filter));
    let two = start_two(at_two, at_one);
    let three = Node::start(
        at_three,
        "entity_id=02:00:00:00:00:03",
        &relation("instance3", "instance1", at_one),
    );
    let one = Node::start(at_one, &own, &(to_two + &to_three("[02468]$")));
    let set = |number: usize, state: &str| {
        let path = format!("/api/v1/devices/Custom%3A{number}");
        let answer = one.put(&path, &format!(r#"{{"state":"{state}"}}"#));
        assert!(answer.status < 300, "{answer:?}");
    };
    for number in 0..20 {
        set(number, "NOT_INUSE");
    }
    let said = |node: &Node, number: usize| node.said(&format!("Custom:{number}"), ONE);
    wait_for("all states at the second", || {
        (0..20)
            .all(|number| said(&two, number).is_some())
            .then_some(())
    });
    let before = publications(&two);
    assert!(!before.is_empty());

    let rounds = std::env::var("LAMPWIRE_RELOADS").ok();
    let rounds = rounds.and_then(|it| it.parse().ok()).unwrap_or(RELOADS);
    let states = ["INUSE", "RINGING", "BUSY", "ONHOLD"];
    for round in 1..=rounds {
        for change in 0..5 {
            let number = (round * 7 + change * 3) % 20;
            set(number, states[(round + change) % states.len()]);
        }
        one.configure(&texts[round % 2]);
        if round % 2 == 0 {
            let answer = one.post("/api/v1/reload", "");
            assert_eq!(answer.status, 200, "{answer:?}");
            let relations = answer.json["relations"].as_array().unwrap();
            assert_eq!(relations.len(), 1, "{answer:?}");
            assert_eq!(relations[0]["publish"], "instance3-devicestate");
        } else {
            one.process.signal("HUP");
            wait_for("the reload", || {
                (reloads_logged(&one) >= round).then_some(())
            });
        }
    }
    for number in 0..20 {
        let here = one.said(&format!("Custom:{number}"), ONE);
        wait_for("the same at the second", || {
            (said(&two, number) == here).then_some(())
        });
        let wanted = match (number % 10 % 2 == 1) == (rounds % 2 == 1) {
            true => here,
            false => Some("INVALID".to_owned()),
        };
        wait_for("what the filter leaves at the third", || {
            let there = said(&three, number);
            (there == wanted || (there.is_none() && wanted.as_deref() == Some("INVALID")))
                .then_some(())
        });
    }
    // Each publication of then is there still: no tag was lost. More may have been opened.
    let after = publications(&two);
    for (id, publication) in &before {
        assert_eq!(after.get(id), Some(publication), "{after:?}");
    }
    assert_eq!(two.said("Custom:1", TWO), None);
}

/// Shakes hands with whoever has a certificate of this authority. None: it has not.
fn shake_hands(
    address: (Ipv4Addr, u16),
    authority: &Authority,
) -> Option<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    let pem = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
    roots.add(pem).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::from(IpAddr::V4(address.0));
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut stream).ok()?;
    }
    Some(StreamOwned::new(client, stream))
}

#[test]
fn certificates_are_read_again_and_connections_stay() {
    let (at, directory) = (address(), Directory::new());
    let (first, second) = (Authority::new("First"), Authority::new("Second"));
    let put = |authority: &Authority| {
        let signed = authority.sign(&[&at.to_string()]);
        directory.write("key.pem", &signed.key);
        directory.write("cert.pem", &signed.certificate)
    };
    let cert = put(&first);
    let key = cert.replace("cert.pem", "key.pem");
    let tls = format!(
        "[tls]\ntype=transport\nprotocol=tls\nbind={at}:5061\ncert_file={cert}\npriv_key_file={key}\n"
    );
    let node = Node::start(at, "", &tls);
    let sip = (at, 5061);
    let mut old = shake_hands(sip, &first).expect("the first certificate");
    assert!(shake_hands(sip, &second).is_none());

    put(&second);
    assert!(shake_hands(sip, &first).is_some(), "before the reload");
    let (code, out, err) = node.command(&["reload"]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "0 sections are others, 5 as they were\n", "")
    );
    assert!(shake_hands(sip, &first).is_none());
    assert!(shake_hands(sip, &second).is_some());
    // The double line of a peer that keeps its connection alive is answered by a single one (RFC 5626 3.5.1).
    old.write_all(b"\r\n\r\n").unwrap();
    old.flush().unwrap();
    let mut answer = [0; 2];
    old.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\r\n");

    // A key of another certificate: nothing is taken, not even what is right.
    directory.write("key.pem", &first.sign(&["other"]).key);
    node.configure(&(sections(at, "http_token=changed") + &tls));
    let refused = node.post("/api/v1/reload", "");
    assert!(
        refused
            .problem(422)
            .contains("is not that of the first certificate")
    );
    assert_eq!(refused.json["findings"][0]["code"], "not-usable");
    assert_eq!(refused.json["findings"][0]["line"], 10);
    assert!(shake_hands(sip, &second).is_some());
    assert_eq!(
        node.get("/api/v1/devices").status,
        200,
        "no token is asked for"
    );
}

#[test]
fn the_certificate_of_http_is_read_again() {
    let (at, directory) = (address(), Directory::new());
    let (first, second) = (Authority::new("First"), Authority::new("Second"));
    let put = |authority: &Authority| {
        let Signed { certificate, key } = authority.sign(&[&at.to_string()]);
        directory.write("both.pem", &(certificate + &key))
    };
    let more = format!("http_cert={}", put(&first));
    let file = directory.write("lampwire.conf", &sections(at, &more));
    let process = Process::start(lampwire().args(["run", "-c", &file]));
    let http = (at, 7060);
    wait_for("the first certificate", || shake_hands(http, &first));
    put(&second);
    process.signal("HUP");
    wait_for("the second certificate", || shake_hands(http, &second));
    assert!(shake_hands(http, &first).is_none());
}
