//! `lampwire plan`, and `lampwire check` of several instances.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::harness::{Directory, run};

/// PEERS.toml of so many peers, every third one a Lampwire.
fn peers(count: usize, hub: bool, digest: bool, tls: bool) -> String {
    let mut text = format!(
        "topology = \"{}\"\nauth = \"{}\"\ntls = {tls}\nhints = true\n",
        if hub { "hub" } else { "mesh" },
        if digest { "digest" } else { "none" },
    );
    if hub {
        text.push_str("hub = \"hub1\"\n[[peer]]\nname = \"hub1\"\naddress = \"hub.example.org\"\nkind = \"lampwire\"\n");
    }
    for number in 0..count - usize::from(hub) {
        let kind = if number % 3 == 2 {
            "lampwire"
        } else {
            "asterisk"
        };
        text.push_str(&peer(
            number,
            &format!("kind = \"{kind}\"\ndevices = \"^PJSIP/{number}\"\n"),
        ));
    }
    text
}

fn peer(number: usize, more: &str) -> String {
    format!(
        "[[peer]]\nname = \"office{number}\"\naddress = \"10.0.0.{}\"\n{more}",
        number + 1
    )
}

/// PEERS.toml of a cluster: at each site two Lampwires and so many NATS servers, and three Asterisks, of which one is attached to both.
fn cluster(sites: usize, servers: usize, digest: bool, tls: bool) -> String {
    let auth = if digest { "digest" } else { "none" };
    let mut text = format!(
        "topology = \"cluster\"\ncluster = \"pbx\"\nauth = \"{auth}\"\ntls = {tls}\nhints = true\n"
    );
    for site in 1..=sites {
        for number in 1..=servers {
            text.push_str(&format!(
                "[[nats]]\nname = \"nats{site}{number}\"\naddress = \"10.{site}.0.{number}\"\nsite = \"site{site}\"\n"
            ));
        }
        for number in 1..=2 {
            text.push_str(&format!(
                "[[peer]]\nname = \"lamp{site}{number}\"\naddress = \"10.{site}.1.{number}\"\nkind = \"lampwire\"\nsite = \"site{site}\"\nrank = {number}\nwide_devices = \"^PJSIP/\"\n"
            ));
        }
        for (number, nodes) in [(1, "1"), (2, "2"), (3, "12")] {
            let nodes: Vec<String> = nodes
                .chars()
                .map(|node| format!("\"lamp{site}{node}\""))
                .collect();
            text.push_str(&format!(
                "[[peer]]\nname = \"office{site}{number}\"\naddress = \"10.{site}.2.{number}\"\nnodes = [{}]\ndevices = \"^PJSIP/{site}{number}\"\n",
                nodes.join(", ")
            ));
        }
    }
    text
}

/// Plans it in a directory of its own; gives what was printed.
fn plan(directory: &Directory, text: &str) -> String {
    let file = directory.write("PEERS.toml", text);
    let out = directory.0.join("out");
    let (code, said, error) = run(&["plan", &file, "-o", out.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}{error}");
    said
}

/// Path below the directory -> content.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path
                    .strip_prefix(directory)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

/// The arguments that the README of the plan gives to `check`, with the directory put in.
fn check_arguments(directory: &Directory) -> Vec<String> {
    let out = directory.0.join("out");
    let guide = fs::read_to_string(out.join("README.md")).unwrap();
    let line = guide
        .lines()
        .find(|line| line.contains("lampwire check"))
        .unwrap();
    let of = |word: &str| {
        let (address, name) = word.split_once('=').unwrap();
        format!("{address}={}", out.join(name).display())
    };
    line.split_whitespace().skip(2).map(of).collect()
}

fn check(arguments: &[String]) -> (i32, String) {
    let mut all = vec!["check"];
    all.extend(arguments.iter().map(String::as_str));
    let (code, said, error) = run(&all);
    (code, said + &error)
}

#[test]
fn what_is_written_has_no_finding() {
    for count in [2, 5, 20] {
        for variant in 0..8 {
            let (hub, digest, tls) = (variant & 1 > 0, variant & 2 > 0, variant & 4 > 0);
            let directory = Directory::new();
            plan(&directory, &peers(count, hub, digest, tls));
            let (code, said) = check(&check_arguments(&directory));
            let case = format!("{count} hub {hub} digest {digest} tls {tls}: {said}");
            assert_eq!(code, 0, "{case}");
            assert!(
                said.contains(": 0 errors, 0 warnings") && !said.contains("note:"),
                "{case}"
            );
            for file in fs::read_dir(directory.0.join("out")).unwrap() {
                let file = file.unwrap().path().join("pjsip.conf");
                if file.exists() {
                    let (code, said) = check(&[file.display().to_string()]);
                    assert_eq!((code, said.contains("arning:")), (0, false), "{said}");
                }
            }
        }
    }
}

#[test]
fn what_is_written_of_a_cluster_has_no_finding() {
    for (sites, servers, replicas) in [(1, 1, 1), (1, 3, 3), (3, 3, 3), (3, 1, 1)] {
        for variant in 0..4 {
            let (digest, tls) = (variant & 1 > 0, variant & 2 > 0);
            let directory = Directory::new();
            plan(&directory, &cluster(sites, servers, digest, tls));
            let (code, said) = check(&check_arguments(&directory));
            let case = format!("{sites} sites, {servers} servers, digest {digest} tls {tls}");
            assert_eq!(code, 0, "{case}: {said}");
            assert!(
                said.contains(": 0 errors, 0 warnings") && !said.contains("note:"),
                "{case}: {said}"
            );
            let files = files(&directory.0.join("out"));
            let node = &files["lamp12/lampwire.conf"];
            for line in [
                "cluster=pbx",
                "node=lamp12",
                "site=site1",
                "tls=yes",
                "rank=2",
                "wide_device_state_filter=^PJSIP/",
                "relay=yes",
                "ca_list_file=/etc/lampwire/tls/authority.pem",
                &format!("replicas={replicas}"),
            ] {
                assert!(
                    node.contains(&format!("\n{line}\n")),
                    "{case}: {line}\n{node}"
                );
            }
            let urls = node.matches("tls://10.1.0.").count();
            assert_eq!(urls, servers, "{case}: {node}");
            assert_eq!(node.contains("\ndomain=site1\n"), sites > 1, "{case}");
            assert_eq!(files.contains_key("lamp12/tls/key.pem"), tls, "{case}");
            // Of the Asterisks a node knows those that are attached to it.
            assert!(!node.contains("[lamp-office11]") && node.contains("[lamp-office13]"));
            assert!(!node.contains("[lamp-lamp11]"));
            nats_servers_know_each_other(&files, sites, servers, &case);
        }
    }
}

/// Each server lets in the nodes of its site and the servers that connect to it, and nobody else.
fn nats_servers_know_each_other(
    files: &BTreeMap<String, String>,
    sites: usize,
    servers: usize,
    case: &str,
) {
    let passwords = |text: &str| -> Vec<String> {
        let mut parts = text.split("password: \"");
        parts.next();
        parts
            .map(|part| part.split('"').next().unwrap().to_owned())
            .collect()
    };
    for site in 1..=sites {
        for number in 1..=servers {
            let text = &files[&format!("nats{site}{number}/nats-server.conf")];
            let case = format!("{case}: {text}");
            for node in 1..=2 {
                let name = format!("lamp{site}{node}");
                let configuration = &files[&format!("{name}/lampwire.conf")];
                let password = configuration
                    .split("\nusername=")
                    .find_map(|part| part.strip_prefix(&format!("{name}\npassword=")))
                    .and_then(|rest| rest.lines().next())
                    .unwrap();
                let user = format!("{{ user: \"{name}\", password: \"{password}\" }}");
                assert!(password.len() >= 40 && text.contains(&user), "{case}");
            }
            assert_eq!(
                text.contains("\ncluster {") && text.contains("nats-route://"),
                servers > 1,
                "{case}"
            );
            let routes = text.matches("nats-route://route:").count();
            assert_eq!(routes, servers - 1, "{case}");
            assert_eq!(text.contains("\nleafnodes {"), sites > 1, "{case}");
            let leaves = text.matches("tls://leaf:").count();
            assert_eq!(leaves, if site > 1 { servers } else { 0 }, "{case}");
            let logins = 2 + usize::from(servers > 1) + usize::from(sites > 1 && site == 1);
            assert_eq!(passwords(text).len(), logins, "{case}");
            assert!(files.contains_key(&format!("nats{site}{number}/tls/key.pem")));
        }
    }
}

#[test]
fn a_cluster_changes_only_what_must_change() {
    let directory = Directory::new();
    let out = directory.0.join("out");
    let text = cluster(2, 3, true, false);
    plan(&directory, &text);
    let first = files(&out);
    let said = plan(&directory, &text);
    assert!(said.contains("\n0 of "), "{said}");
    assert_eq!(files(&out), first);

    // Another Asterisk concerns the nodes that it is attached to, and no NATS server.
    let more =
        format!("{text}[[peer]]\nname = \"new\"\naddress = \"10.9.9.9\"\nnodes = [\"lamp22\"]\n");
    plan(&directory, &more);
    let second = files(&out);
    for (name, content) in &first {
        let concerned = name == "lamp22/lampwire.conf"
            || name == "README.md"
            || name.ends_with("extensions.conf");
        assert_eq!(second[name] != *content, concerned, "{name}");
    }
    // A NATS server that is gone is said.
    let said = plan(&directory, &cluster(2, 1, true, false));
    for name in ["nats12", "nats13", "nats22", "nats23", "new"] {
        let path = out.join(name).display().to_string();
        let line = said.lines().find(|line| line.contains(&path));
        assert!(
            line.is_some_and(|line| line.starts_with("left over")),
            "{said}"
        );
    }
}

#[test]
fn a_bad_cluster_is_told() {
    let text = cluster(1, 3, true, false);
    let directory = Directory::new();
    let two = cluster(1, 2, true, false);
    for (text, words) in [
        (two, "more than half"),
        (
            text.replace("[\"lamp11\"]", "[]"),
            "say which of the Lampwires",
        ),
        (
            text.replace("[\"lamp11\"]", "[\"office12\"]"),
            "no Lampwire",
        ),
        (
            text.replace("[\"lamp11\"]", "[\"lamp11\", \"lamp11\"]"),
            "twice",
        ),
        (
            text.replace("site = \"site1\"\nrank", "site = \"x\"\nrank"),
            "no [[nats]]",
        ),
        (
            text.replace("cluster = \"pbx\"", "cluster = \"a b\""),
            "cluster:",
        ),
        (
            text.replace("cluster = \"pbx\"", "replicas = 2"),
            "replicas",
        ),
        (text.replace("cluster = \"pbx\"", "replicas = 5"), "only 3"),
        (
            text.replace("cluster = \"pbx\"", "hub = \"lamp11\""),
            "only a hub",
        ),
        (
            text.replace("topology = \"cluster\"", "topology = \"mesh\""),
            "are for topology",
        ),
        (text.replace("\"10.1.0.2\"", "\"10.1.0.1\""), "same address"),
        (text.replace("\"10.1.0.2\"", "\"10.1.0.2:65000\""), "port"),
        (text.replace("nats12", "office11"), "are called"),
    ] {
        let file = directory.write("PEERS.toml", &text);
        let out = directory.0.join("out");
        let (code, _, error) = run(&["plan", &file, "-o", out.to_str().unwrap()]);
        assert!(code == 1 && error.contains(words), "{words}: {error}");
        assert!(!out.join("lamp11").exists());
    }
}

#[test]
fn peers_behind_one_address_are_told_apart() {
    for auth in ["digest", "none"] {
        let directory = Directory::new();
        plan(
            &directory,
            &format!(
                "auth = \"{auth}\"\n[[peer]]\nname = \"a\"\naddress = \"192.0.2.1:5060\"\n\
                 [[peer]]\nname = \"b\"\naddress = \"192.0.2.1:5070\"\n\
                 [[peer]]\nname = \"c\"\naddress = \"[2001:db8::1]\"\nkind = \"lampwire\"\n"
            ),
        );
        let (code, said) = check(&check_arguments(&directory));
        assert!(code == 0 && said.contains("0 warnings"), "{said}");
    }
}

/// Nothing changes without a reason; with a new peer, only the files that speak of it.
#[test]
fn again_changes_only_what_must_change() {
    for tls in [false, true] {
        let directory = Directory::new();
        let out = directory.0.join("out");
        let text = peers(4, true, true, tls);
        let said = plan(&directory, &text);
        assert!(
            said.contains("new") && !said.contains("unchanged"),
            "{said}"
        );
        let first = files(&out);
        let said = plan(&directory, &text);
        assert!(said.contains("\n0 of "), "{said}");
        assert_eq!(files(&out), first);

        let more = text + &peer(9, "password = \"given-by-hand\"\n");
        let said = plan(&directory, &more);
        let second = files(&out);
        for (name, content) in &first {
            let concerned = name == "hub1/lampwire.conf"
                || name == "README.md"
                || name.ends_with("extensions.conf");
            assert_eq!(second[name] != *content, concerned, "{name}: {said}");
        }
        // What stood in the hub's file stands there still.
        let hub = &second["hub1/lampwire.conf"];
        assert!(
            hub.starts_with(&first["hub1/lampwire.conf"])
                || tls
                || hub.len() > first["hub1/lampwire.conf"].len()
        );
        for line in first["hub1/lampwire.conf"].lines() {
            assert!(hub.lines().any(|other| other == line), "{line}");
        }
        let (code, said) = check(&check_arguments(&directory));
        assert!(code == 0 && said.contains("0 warnings"), "{said}");

        // A peer that is gone is said, and nothing of it is removed.
        let said = plan(&directory, &peers(4, true, true, tls));
        assert!(
            said.contains("left over") && said.contains("office9"),
            "{said}"
        );
        assert!(out.join("office9/pjsip.conf").exists());
    }
}

#[test]
fn secrets_are_for_their_owner_and_never_printed() {
    for (text, expected) in [
        (peers(3, false, true, true), 3 * 2 * 2),
        (cluster(1, 3, true, true), 4 * 2 * 2 + 2),
    ] {
        let directory = Directory::new();
        let said = plan(&directory, &text);
        let out = directory.0.join("out");
        let mut secrets = 0;
        for (name, content) in files(&out) {
            let mode = fs::metadata(out.join(&name)).unwrap().permissions().mode() & 0o777;
            let holds = ["password=", "password: ", "PRIVATE KEY"]
                .iter()
                .any(|word| content.contains(word));
            assert_eq!(mode, if holds { 0o600 } else { 0o644 }, "{name}");
            for line in content
                .lines()
                .filter_map(|line| line.strip_prefix("password="))
            {
                secrets += 1;
                assert!(line.len() >= 40 && !said.contains(line), "{name}");
            }
            assert!(name != "README.md" || !holds);
        }
        assert_eq!(secrets, expected);
    }
}

#[test]
fn what_would_have_findings_is_not_written() {
    let directory = Directory::new();
    let text = peers(3, false, true, false).replace("^PJSIP/1", "PJSIP/1");
    let file = directory.write("PEERS.toml", &text);
    let out = directory.0.join("out");
    let (code, _, error) = run(&["plan", &file, "-o", out.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(
        error.contains("unanchored") || error.contains("not anchored"),
        "{error}"
    );
    assert!(!out.join("office0").exists());
}

#[test]
fn somebody_elses_file_is_not_overwritten() {
    let directory = Directory::new();
    let out = directory.0.join("out/office0");
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("pjsip.conf"), "[mine]\ntype=endpoint\n").unwrap();
    let file = directory.write("PEERS.toml", &peers(2, false, true, false));
    let (code, _, error) = run(&[
        "plan",
        &file,
        "-o",
        directory.0.join("out").to_str().unwrap(),
    ]);
    assert_eq!(code, 1);
    assert!(error.contains("no plan has made it"), "{error}");
    assert!(!directory.0.join("out/office1").exists());
}

#[test]
fn a_bad_plan_is_told() {
    let directory = Directory::new();
    let file = directory.write("PEERS.toml", "topology = \"ring\"\n");
    let (code, _, error) = run(&["plan", &file, "-o", directory.0.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(
        error.contains("PEERS.toml") && error.contains("ring"),
        "{error}"
    );
    assert_eq!(run(&["plan", &file]).0, 2);
}

/// The forms of what `check` says of several instances, and its exit status.
#[test]
fn check_of_several_has_forms_for_programs() {
    let directory = Directory::new();
    plan(&directory, &peers(3, false, true, false));
    let arguments = check_arguments(&directory);
    let with = |more: &[&str]| {
        let mut all = vec!["check"];
        all.extend(more);
        all.extend(arguments.iter().map(String::as_str));
        run(&all)
    };
    let file = directory.0.join("out/office0/pjsip.conf");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("outbound_auth=lamp-office1-out\n", "")).unwrap();

    let (code, said, _) = with(&[]);
    assert_eq!(code, 1);
    let first = said.lines().next().unwrap();
    assert!(
        first.starts_with(&format!("{}:", file.display())),
        "{first}"
    );
    assert!(
        said.contains("[silenced-by-401]") && said.contains("on the wire"),
        "{said}"
    );

    let (code, said, _) = with(&["--json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(code, 1);
    assert_eq!(json["findings"][0]["code"], "silenced-by-401");
    assert_eq!(json["errors"], 2);
    assert_eq!(json["links"].as_array().unwrap().len(), 12);
    assert_eq!(with(&["--format", "json"]).1, said);

    let (code, said, _) = with(&["--format", "sarif"]);
    let sarif: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &sarif["version"]), (1, &"2.1.0".into()));
    let result = &sarif["runs"][0]["results"][0];
    let rules = &sarif["runs"][0]["tool"]["driver"]["rules"];
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(rules[index]["id"], result["ruleId"]);
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(
        place["artifactLocation"]["uri"],
        format!("file://{}", file.display())
    );
    assert!(place["region"]["startLine"].as_u64().unwrap() > 1);

    let (code, said, error) = with(&["--graph", "svg"]);
    assert_eq!(code, 1);
    assert!(
        said.starts_with("<svg ") && said.ends_with("</svg>\n"),
        "{said}"
    );
    assert!(error.contains("[silenced-by-401]"), "{error}");
    let (_, said, _) = with(&["--graph", "dot"]);
    assert!(
        said.starts_with("digraph ") && said.contains("n0 -> n1"),
        "{said}"
    );

    for usage in [
        &["--json", "--format", "sarif"][..],
        &["--graph", "png"],
        &["a b=c"],
    ] {
        assert_eq!(with(usage).0, 2, "{usage:?}");
    }
}
