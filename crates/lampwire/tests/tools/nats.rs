//! nats-server reads the configurations that are written for it: those of a plan, of the three sites and of Kubernetes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use yaml_rust2::YamlLoader;

use crate::chromium::find_program;
use crate::harness::{Directory, run};

/// Where it is, if it is.
pub(crate) fn find() -> Option<PathBuf> {
    find_program(&["nats-server"])
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// It says that the file is one, with the keys and certificates that it names.
fn is_good(program: &Path, file: &Path) {
    let output = Command::new(program)
        .arg("-t")
        .arg("-c")
        .arg(file)
        .env("POD_NAME", "nats-0")
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(
        output.status.success() && told.contains("is valid"),
        "{told}\n{}",
        fs::read_to_string(file).unwrap()
    );
}

/// Two sites, of one server and of three, whose files lie where the plan is.
fn plan() -> (Directory, PathBuf) {
    let directory = Directory::new();
    let out = directory.0.join("out");
    let mut text = "topology = \"cluster\"\n".to_owned();
    for (site, number) in [(1, 1), (1, 2), (1, 3), (2, 1)] {
        let name = format!("nats{site}{number}");
        let at = out.join(&name);
        text.push_str(&format!(
            "[[nats]]\nname = \"{name}\"\naddress = \"127.0.{site}.{number}\"\nsite = \"site{site}\"\ndirectory = \"{0}\"\nstore = \"{0}/store\"\n",
            at.display()
        ));
    }
    for site in [1, 2] {
        text.push_str(&format!(
            "[[peer]]\nname = \"lamp{site}\"\naddress = \"127.1.{site}.1\"\nkind = \"lampwire\"\nsite = \"site{site}\"\n\
             [[peer]]\nname = \"office{site}\"\naddress = \"127.2.{site}.1\"\nnodes = [\"lamp{site}\"]\n"
        ));
    }
    let file = directory.write("PEERS.toml", &text);
    let (code, said, error) = run(&["plan", &file, "-o", out.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}{error}");
    (directory, out)
}

pub(crate) fn a_plan_is_for_it(program: &Path) {
    let (_directory, out) = plan();
    for name in ["nats11", "nats12", "nats13", "nats21"] {
        is_good(program, &out.join(name).join("nats-server.conf"));
    }
}

/// With keys and certificates of a plan in the place of those that they name.
pub(crate) fn the_examples_are_for_it(program: &Path) {
    let (directory, out) = plan();
    let tls = out.join("nats11/tls");
    for site in ["berlin", "paris", "vienna"] {
        let path = root().join(format!("examples/three-sites/{site}/nats-server.conf"));
        let text = fs::read_to_string(path).unwrap();
        let text = text.replace("/etc/nats/tls", tls.to_str().unwrap());
        let file = directory.write(&format!("{site}.conf"), &text);
        is_good(program, Path::new(&file));
    }
    let path = root().join("packaging/kubernetes/lampwire-cluster.yaml");
    let objects = YamlLoader::load_from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut main = None;
    fs::create_dir(directory.0.join("secret")).unwrap();
    for object in &objects {
        if object["metadata"]["name"].as_str() != Some("nats") {
            continue;
        }
        if let Some(text) = object["data"]["nats-server.conf"].as_str() {
            let place = |text: &str, from: &str, to: &str| {
                text.replace(from, tls.join(to).to_str().unwrap())
            };
            let text = place(text, "/etc/nats-tls/tls.crt", "certificate.pem");
            let text = place(&text, "/etc/nats-tls/tls.key", "key.pem");
            let text = place(&text, "/etc/nats-tls/ca.crt", "authority.pem");
            main = Some(directory.write("nats-server.conf", &text));
        }
        for name in ["users.conf", "routes.conf"] {
            if let Some(text) = object["stringData"][name].as_str() {
                directory.write(&format!("secret/{name}"), text);
            }
        }
    }
    is_good(program, Path::new(&main.unwrap()));
}
