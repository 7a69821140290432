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
