//! The book: the commands of its first chapter run, every other command of it is one, its links lead somewhere, and every page is in its
//! contents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::harness::{Directory, Process, address, finish, lampwire, run, wait_for};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Names of the pages.
fn pages() -> BTreeSet<String> {
    let names = fs::read_dir(docs()).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md"))
        .collect()
}

fn page(name: &str) -> String {
    fs::read_to_string(docs().join(name)).unwrap()
}

/// The targets of the links in a text, without those in code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced || line.starts_with("    ") {
            continue;
        }
        // Every second part stands between backticks.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        for part in prose.split("](").skip(1) {
            found.push(part.split(')').next().unwrap().to_owned());
        }
    }
    found
}

/// The anchors of a page's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn every_page_is_in_the_contents_once() {
    let listed = links(&page("SUMMARY.md").replace('`', ""));
    let mut expected = pages();
    expected.remove("SUMMARY.md");
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), expected);
    assert_eq!(listed.len(), expected.len());
}

#[test]
fn every_link_leads_somewhere() {
    let root = docs().join("..");
    let beside = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "ARCHITECTURE.md",
    ];
    let files = pages()
        .into_iter()
        .map(|name| docs().join(name))
        .chain(beside.into_iter().map(|name| root.join(name)));
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for link in links(&text) {
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match path {
                "" => file.clone(),
                path => file.parent().unwrap().join(path),
            };
            assert!(target.exists(), "{}: {link}", file.display());
            if !anchor.is_empty() {
                let there = anchors(&fs::read_to_string(&target).unwrap());
                assert!(there.contains(anchor), "{}: {link}", file.display());
            }
        }
    }
}

/// A command of the book: on which machine, what, and what of its output is shown.
struct Step {
    machine: String,
    words: Vec<String>,
    shown: Vec<String>,
}

/// The commands in a page's console blocks.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => (),
            _ => match line
                .split_once("$ ")
                .filter(|(prompt, _)| !prompt.contains(' '))
            {
                Some((machine, command)) => steps.push(Step {
                    machine: machine.to_owned(),
                    words: words(command),
                    shown: Vec::new(),
                }),
                None => steps.last_mut().unwrap().shown.push(line.to_owned()),
            },
        }
    }
    steps
}

/// A command line's words, as a shell would split this book's.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in command.split('\'').enumerate() {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// What else the book's pages run: systemd's, OpenSSL's and Asterisk's own.
const OTHER_PROGRAMS: [&str; 9] = [
    "asterisk",
    "chown",
    "echo",
    "install",
    "journalctl",
    "openssl",
    "scp",
    "ssh",
    "systemctl",
];

#[test]
fn every_command_is_one() {
    let mut count = 0;
    for name in pages() {
        for step in steps(&page(&name)) {
            let (program, arguments) = step.words.split_first().unwrap();
            if program != "lampwire" {
                assert!(
                    OTHER_PROGRAMS.contains(&program.as_str()),
                    "{name}: {program}"
                );
                continue;
            }
            if arguments == ["--version"] {
                continue;
            }
            // What stands before --help is read first, so a wrong word there is told.
            let mut arguments: Vec<&str> = arguments
                .iter()
                .map(String::as_str)
                .take_while(|word| *word != ">")
                .collect();
            arguments.push("--help");
            let (code, _, error) = run(&arguments);
            assert_eq!(code, 0, "{name}: {arguments:?}: {error}");
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

/// The machines of the first chapter: what lies on them, and what runs there.
struct Machines {
    directory: Directory,
    addresses: BTreeMap<&'static str, Ipv4Addr>,
    running: BTreeMap<String, Process>,
}

/// The names of the machines, and the addresses that the chapter gives them.
const MACHINES: [(&str, &str); 3] = [
    ("hub1", "192.0.2.9"),
    ("office1", "192.0.2.11"),
    ("office2", "192.0.2.12"),
];

impl Machines {
    /// The text with addresses that are ours.
    fn of_ours(&self, text: &str) -> String {
        MACHINES
            .iter()
            .fold(text.to_owned(), |text, (name, given)| {
                // Longer addresses begin with shorter ones: none of these three does.
                text.replace(given, &self.addresses[name].to_string())
            })
    }

    fn url(&self, machine: &str) -> String {
        format!("http://{}:7060", self.addresses[machine])
    }

    /// Runs Lampwire with a file that the chapter has put there, in which only what is this test's own is added. It reads an Asterisk's file
    /// as well as its own.
    fn start(&mut self, machine: &str) {
        let path = self.directory.0.join(format!("{machine}.conf"));
        let text = fs::read_to_string(&path).unwrap();
        let own = format!("http_bind={}:7060\nstate_dir=\n", self.addresses[machine]);
        let text = match text.contains("[lampwire]\ntype=lampwire\n") {
            true => text.replace("type=lampwire\n", &format!("type=lampwire\n{own}")),
            false => format!("{text}\n[lampwire]\ntype=lampwire\n{own}"),
        };
        fs::write(&path, text).unwrap();
        let mut command = lampwire();
        command.arg("run").arg("-c").arg(&path);
        let process = Process::start(&mut command);
        let url = self.url(machine);
        wait_for("a node of the chapter", || {
            let (code, ..) = run(&["health", "--node", &url]);
            (code == 0).then_some(())
        });
        self.running.insert(machine.to_owned(), process);
    }

    /// Copies a file of the plan to where a machine's configuration lies.
    fn place(&self, file: &str, machine: &str) {
        let to = self.directory.0.join(format!("{machine}.conf"));
        fs::copy(self.directory.0.join(file), to).unwrap();
    }

    /// Runs a command of Lampwire until it shows what the chapter shows, as states need a moment to arrive.
    fn shows(&self, machine: &str, arguments: &[&str], shown: &[String]) {
        let what = format!("{machine}$ lampwire {arguments:?} to show {shown:#?}");
        wait_for(&what, || {
            let mut command = lampwire();
            command
                .current_dir(&self.directory.0)
                .env("LAMPWIRE_NODE", self.url(machine))
                .args(arguments);
            let (code, said, error) = finish(&mut command);
            assert_eq!(code, 0, "{arguments:?}: {said}{error}");
            let is_there = |line: &String| said.lines().any(|it| is_like(it, line));
            shown.iter().all(is_there).then_some(())
        });
    }

    /// Does a step of the chapter.
    fn take(&mut self, step: &Step) {
        let machine = step.machine.as_str();
        let words: Vec<&str> = step.words.iter().map(String::as_str).collect();
        match words[..] {
            ["lampwire", ref arguments @ ..] => self.shows(machine, arguments, &step.shown),
            ["install", .., file, "/etc/lampwire/lampwire.conf"] => self.place(file, machine),
            ["scp", file, to] => {
                let (host, path) = to.strip_prefix("root@").unwrap().split_once(':').unwrap();
                assert_eq!(path, "/etc/asterisk/lampwire/pjsip.conf");
                let found = self.addresses.iter().find(|(_, at)| at.to_string() == host);
                self.place(file, found.unwrap().0);
            }
            ["systemctl", "enable", "--now", "lampwire"] => self.start(machine),
            ["asterisk", "-rx", "core restart when convenient"] => self.start(machine),
            ["asterisk", "-rx", "core show hints"] => {
                self.shows(machine, &["show", "devices"], &step.shown);
            }
            ["asterisk", "-rx", command] => {
                let set = command.strip_prefix("devstate change ").unwrap();
                let (device, state) = set.split_once(' ').unwrap();
                self.shows(machine, &["set", "device", device, state], &step.shown);
            }
            // What makes room on an Asterisk's machine.
            ["ssh", _, "install", ..] | ["chown", ..] | ["echo", ..] => (),
            _ => panic!("nobody has tried this: {words:?}"),
        }
    }
}

/// Whether a line is as it is shown: blanks do not matter, and `…` stands for anything.
fn is_like(line: &str, shown: &str) -> bool {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (line, shown) = (plain(line), plain(shown));
    let mut parts = shown.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut open = false;
    for part in parts {
        open = part.is_empty();
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    open || rest.is_empty()
}

#[test]
fn the_first_chapter_works_as_it_stands() {
    let text = page("start.md");
    let mut machines = Machines {
        directory: Directory::new(),
        addresses: MACHINES.map(|(name, _)| (name, address())).into(),
        running: BTreeMap::new(),
    };
    let text = machines.of_ours(&text);
    let (_, peers) = text.split_once("```toml\n").unwrap();
    let (peers, _) = peers.split_once("```").unwrap();
    machines.directory.write("peers.toml", peers);
    let steps = steps(&text);
    assert!(steps.len() > 15);
    for step in &steps {
        machines.take(step);
    }
    assert_eq!(machines.running.len(), MACHINES.len());
}

#[test]
fn what_is_shown_is_looked_for_as_it_stands() {
    for (line, shown, alike) in [
        ("a  b", "a b", true),
        ("a b c", "a b", false),
        ("a b c", "a …", true),
        ("x a b", "…a b", true),
        ("x a c", "…a b", false),
        ("ready: 0 up, 2 down", "ready: 0 up, … down", true),
        ("lamp-a  up  3 ms", "lamp-a up …", true),
        ("lamp-a  down  3 ms", "lamp-a up …", false),
    ] {
        assert_eq!(is_like(line, shown), alike, "{line:?} {shown:?}");
    }
}
