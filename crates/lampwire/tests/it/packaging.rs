//! What is in packaging/: its configurations have no finding, its files agree with each other and with the program.

use std::path::Path;

use yaml_rust2::{Yaml, YamlLoader};

use super::harness::{Directory, run};

fn packaging(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging");
    std::fs::read_to_string(path.join(name)).unwrap()
}

/// Asserts that `lampwire check` says nothing of it.
fn has_no_finding(text: &str) {
    let directory = Directory::new();
    let (code, said, error) = run(&["check", &directory.write("lampwire.conf", text)]);
    assert_eq!(code, 0, "{said}{error}");
    assert!(said.ends_with(": 0 errors, 0 warnings\n"), "{said}{error}");
}

#[test]
fn the_packages_configuration_has_no_finding() {
    let text = packaging("debian/lampwire.conf");
    has_no_finding(&text);
    // Nor has its example of a peer, once the semicolons are away.
    let (own, peer) = text.split_once("; choose a password").unwrap();
    let (_, peer) = peer.split_once('\n').unwrap();
    let peer: String = peer
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix(';').unwrap()))
        .collect();
    assert!(peer.contains("type=asterisk-publication"));
    has_no_finding(&format!("{own}\n{peer}"));
}

/// The object of this kind and name.
fn object<'a>(objects: &'a [Yaml], kind: &str) -> &'a Yaml {
    let found = objects
        .iter()
        .find(|object| object["kind"].as_str() == Some(kind));
    found.unwrap_or_else(|| panic!("no {kind}"))
}

#[test]
fn the_kubernetes_example_agrees_with_itself_and_with_the_program() {
    let objects = YamlLoader::load_from_str(&packaging("kubernetes/lampwire.yaml")).unwrap();
    assert_eq!(objects.len(), 4);
    for object in &objects {
        assert!(object["apiVersion"].as_str().is_some(), "{object:?}");
        assert_eq!(object["metadata"]["name"].as_str(), Some("lampwire"));
    }
    let set = &object(&objects, "StatefulSet")["spec"];
    let service = &object(&objects, "Service")["spec"];
    let pod = &set["template"];
    let container = &pod["spec"]["containers"][0];
    // One node has one entity id.
    assert_eq!(set["replicas"].as_i64(), Some(1));
    assert_eq!(set["serviceName"].as_str(), Some("lampwire"));
    for labels in [&service["selector"], &set["selector"]["matchLabels"]] {
        assert_eq!(labels, &pod["metadata"]["labels"]);
    }
    let port = &container["ports"][0];
    assert_eq!(service["ports"][0]["targetPort"], port["name"]);
    assert_eq!(port["containerPort"].as_i64(), Some(5060));

    // Each volume that is mounted is there, and where the configuration looks for it.
    let names = |list: &Yaml, of: &dyn Fn(&Yaml) -> String| {
        let mut names: Vec<String> = list.as_vec().unwrap().iter().map(of).collect();
        names.sort_unstable();
        names
    };
    let name = |it: &Yaml| it["name"].as_str().unwrap().to_owned();
    let mut volumes = names(&pod["spec"]["volumes"], &name);
    volumes.extend(names(&set["volumeClaimTemplates"], &|it| {
        name(&it["metadata"])
    }));
    volumes.sort_unstable();
    assert_eq!(names(&container["volumeMounts"], &name), volumes);
    let paths = names(&container["volumeMounts"], &|it| {
        it["mountPath"].as_str().unwrap().to_owned()
    });
    let configuration = object(&objects, "ConfigMap")["data"]["lampwire.conf"].as_str();
    let configuration = configuration.unwrap();
    let secret = object(&objects, "Secret")["stringData"]["auth.conf"]
        .as_str()
        .unwrap();
    assert_eq!(
        paths,
        ["/etc/lampwire", "/etc/lampwire-secret", "/var/lib/lampwire"]
    );
    let include = "#include /etc/lampwire-secret/auth.conf\n";
    assert!(configuration.contains(include));
    assert!(configuration.contains("entity_id=") && !configuration.contains("password"));
    has_no_finding(&configuration.replace(include, secret));

    // What it runs is a command of the program.
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let command = &container[probe]["exec"]["command"];
        assert_eq!(command[0].as_str(), Some("/usr/bin/lampwire"));
        let command = command[1].as_str().unwrap();
        assert_eq!(run(&[command, "--help"]).0, 0, "{probe}");
    }
    assert_eq!(container["args"][0].as_str(), Some("run"));
}

/// The object of this kind and name.
fn named<'a>(objects: &'a [Yaml], kind: &str, name: &str) -> &'a Yaml {
    let is_it = |object: &&Yaml| {
        object["kind"].as_str() == Some(kind) && object["metadata"]["name"].as_str() == Some(name)
    };
    let found = objects.iter().find(is_it);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// The text of a file of a ConfigMap or a Secret.
fn file<'a>(object: &'a Yaml, name: &str) -> &'a str {
    let found = object["data"][name].as_str();
    let found = found.or(object["stringData"][name].as_str());
    found.unwrap_or_else(|| panic!("no {name}"))
}

/// The three nodes in Kubernetes: their files as they lie in the pods, looked at one by one and together.
#[test]
fn the_three_nodes_in_kubernetes_agree_with_each_other_and_with_the_program() {
    let text = packaging("kubernetes/lampwire-cluster.yaml");
    let objects = YamlLoader::load_from_str(&text).unwrap();
    for object in &objects {
        assert!(object["apiVersion"].as_str().is_some(), "{object:?}");
    }
    let configuration = named(&objects, "ConfigMap", "lampwire");
    let secret = named(&objects, "Secret", "lampwire");
    let users = file(named(&objects, "Secret", "nats"), "users.conf");
    let directory = Directory::new();
    let place = |text: &str| {
        let at = |name: &str| directory.0.join(name).display().to_string();
        text.replace("/etc/lampwire-secret/", &at("secret-"))
            .replace("/etc/lampwire/", &at(""))
    };
    for (object, data, prefix) in [
        (configuration, "data", ""),
        (secret, "stringData", "secret-"),
    ] {
        for name in object[data].as_hash().unwrap().keys() {
            let name = name.as_str().unwrap();
            directory.write(&format!("{prefix}{name}"), &place(file(object, name)));
        }
    }
    let mut together = vec!["check".to_owned()];
    let mut attached = Vec::new();
    for number in 0..3 {
        let name = format!("lampwire-{number}");
        let text = file(configuration, &format!("{name}.conf"));
        assert!(text.contains(&format!("\nnode={name}\nusername={name}\n")));
        assert!(text.contains(&format!("entity_id=02:00:00:00:00:9{number}\n")));
        let password = file(secret, &format!("nats-{number}"));
        assert!(users.contains(&format!("{{ user: \"{name}\", password: \"{password}\" }}")));
        attached.extend(text.matches("/etc/lampwire/office").map(|_| number));
        let path = directory.0.join(format!("{name}.conf"));
        let path = path.display().to_string();
        let (code, said, error) = run(&["check", &path]);
        assert_eq!(code, 0, "{said}{error}");
        assert!(said.ends_with(": 0 errors, 0 warnings\n"), "{said}{error}");
        together.push(format!("192.0.2.9{number}={path}"));
        // Each has an address of its own.
        let selector = &named(&objects, "Service", &name)["spec"]["selector"];
        let pod = selector["statefulset.kubernetes.io/pod-name"].as_str();
        assert_eq!(pod, Some(&*name));
    }
    // Each Asterisk is attached to two.
    assert_eq!(attached, [0, 0, 1, 1, 2, 2]);
    let together: Vec<&str> = together.iter().map(String::as_str).collect();
    let (code, said, error) = run(&together);
    assert_eq!(code, 0, "{said}{error}");
    assert!(said.contains(": 0 errors, 0 warnings"), "{said}{error}");

    let nats = file(named(&objects, "ConfigMap", "nats"), "nats-server.conf");
    let routes = file(named(&objects, "Secret", "nats"), "routes.conf");
    let urls = file(configuration, "nats.conf");
    for number in 0..3 {
        assert!(urls.contains(&format!("tls://nats-{number}.nats:4222")));
        assert!(routes.contains(&format!("@nats-{number}.nats:6222")));
    }
    for included in ["users.conf", "routes.conf"] {
        assert!(nats.contains(&format!("include \"secret/{included}\"")));
    }
    for (name, replicas) in [("lampwire", 3), ("nats", 3)] {
        let set = &named(&objects, "StatefulSet", name)["spec"];
        assert_eq!(set["replicas"].as_i64(), Some(replicas));
        let labels = &set["template"]["metadata"]["labels"];
        assert_eq!(&set["selector"]["matchLabels"], labels);
        let service = &named(&objects, "Service", name)["spec"];
        assert_eq!(&service["selector"], labels);
        assert_eq!(set["serviceName"].as_str(), Some(name));
        let budget = &named(&objects, "PodDisruptionBudget", name)["spec"];
        assert_eq!(budget["maxUnavailable"].as_i64(), Some(1));
        assert_eq!(&budget["selector"]["matchLabels"], labels);
        // Each volume that is mounted is there, and none beside.
        let pod = &set["template"]["spec"];
        let container = &pod["containers"][0];
        let names = |list: &Yaml, of: &dyn Fn(&Yaml) -> String| -> Vec<String> {
            list.as_vec().unwrap().iter().map(of).collect()
        };
        let own = |it: &Yaml| it["name"].as_str().unwrap().to_owned();
        let mut volumes = names(&pod["volumes"], &own);
        volumes.extend(names(&set["volumeClaimTemplates"], &|it| {
            own(&it["metadata"])
        }));
        let mut mounted = names(&container["volumeMounts"], &own);
        volumes.sort_unstable();
        mounted.sort_unstable();
        assert_eq!(mounted, volumes);
    }
    let container =
        &named(&objects, "StatefulSet", "lampwire")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"][0].as_str(), Some("run"));
    assert_eq!(
        container["args"][2].as_str(),
        Some("/etc/lampwire/$(POD_NAME).conf")
    );
}

#[test]
fn the_container_and_the_unit_run_commands_that_are_there() {
    let container = packaging("container/Containerfile");
    assert!(container.contains("HEALTHCHECK") && container.contains("\nUSER 7060:7060\n"));
    for needed in [
        r#"["/usr/bin/lampwire", "health"]"#,
        r#"CMD ["run", "-c", "/etc/lampwire/lampwire.conf"]"#,
    ] {
        assert!(container.contains(needed), "{needed}");
    }
    let unit = packaging("systemd/lampwire.service");
    for needed in [
        "\nType=notify\n",
        "\nWatchdogSec=",
        "\nStateDirectory=lampwire\n",
        "\nExecStart=/usr/bin/lampwire run -c /etc/lampwire/lampwire.conf\n",
        "\nUser=lampwire\n",
    ] {
        assert!(unit.contains(needed), "{needed}");
    }
    assert!(packaging("debian/lampwire.sysusers").contains("\nu lampwire "));
}

/// Each version begins with what its user must do, and has the other parts in their order, with nothing else between.
#[test]
fn the_changes_of_each_version_have_their_form() {
    let text = include_str!("../../../../CHANGELOG.md");
    let parts = [
        "What you must do",
        "What it does",
        "What it does otherwise",
        "Mistakes that are gone",
    ];
    let mut versions = text.split("\n## ");
    versions.next();
    let mut count = 0;
    for version in versions {
        count += 1;
        let (head, rest) = version.split_once('\n').unwrap();
        let heads: Vec<&str> = rest
            .lines()
            .filter_map(|line| line.strip_prefix("### "))
            .collect();
        assert_eq!(heads.first(), Some(&parts[0]), "{head}");
        let order: Vec<_> = heads
            .iter()
            .map(|head| parts.iter().position(|part| part == head))
            .collect();
        assert!(
            order.iter().all(Option::is_some) && order.is_sorted(),
            "{head}: {heads:?}"
        );
        let before = rest.split("### ").next().unwrap();
        assert_eq!(before.trim(), "", "{head}");
    }
    assert!(count > 0);
}
