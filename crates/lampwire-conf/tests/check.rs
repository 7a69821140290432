//! The corpus in `tests/check`: wrong configurations of one and of several instances with exactly what `check` says of them, each with a twin
//! that misses the fault by a hair and gives none of it, and right ones of which nothing is said.
//!
//! A file has parts that begin with `=== wrong FILE`, `=== right FILE` (`ADDRESS=FILE` gives its address; `DIRECTORY/asterisk.conf`,
//! `DIRECTORY/sorcery.conf` and `DIRECTORY/manager.conf` belong to `DIRECTORY/pjsip.conf`), and `=== findings`.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use lampwire_conf::check::{self, Address, Instance, Paths, Web, several};
use lampwire_conf::findings::{self, GROUPS};
use lampwire_conf::{MapSource, Severity, limits};
use proptest::prelude::*;

/// The files of an instance that belong to its pjsip.conf.
const BESIDE: [&str; 3] = ["asterisk.conf", "sorcery.conf", "manager.conf"];

struct Case {
    name: String,
    path: PathBuf,
    /// What stands before the findings.
    text: String,
    wrong: Vec<(String, String)>,
    right: Vec<(String, String)>,
    findings: String,
}

fn cases() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check");
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "case"))
        .collect();
    paths.sort();
    paths.into_iter().map(read).collect()
}

fn read(path: PathBuf) -> Case {
    let whole = fs::read_to_string(&path).unwrap();
    let (text, findings) = whole.split_once("=== findings\n").unwrap_or((&whole, ""));
    let mut case = Case {
        name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
        path: path.clone(),
        text: text.to_owned(),
        wrong: Vec::new(),
        right: Vec::new(),
        findings: findings.to_owned(),
    };
    for part in text.split("=== ").skip(1) {
        let (head, body) = part.split_once('\n').unwrap();
        let (kind, file) = head.split_once(' ').unwrap();
        let list = match kind {
            "wrong" => &mut case.wrong,
            "right" => &mut case.right,
            other => panic!("{}: {other}", case.name),
        };
        list.push((file.to_owned(), body.to_owned()));
    }
    case
}

fn look(files: &[(String, String)]) -> Web {
    look_at(files).1
}

fn look_at(files: &[(String, String)]) -> (Vec<Instance>, Web) {
    let path = |name: &str| {
        name.rsplit_once('=')
            .map_or(name, |(_, path)| path)
            .to_owned()
    };
    let mut source = MapSource::new(files.iter().map(|(name, text)| (path(name), text.as_str())));
    let instances: Vec<Instance> = files
        .iter()
        .filter(|(name, _)| !BESIDE.iter().any(|beside| name.ends_with(beside)))
        .map(|(name, _)| {
            let configuration = path(name);
            let directory = configuration.strip_suffix("/pjsip.conf");
            let beside = |file: &str| {
                let beside = format!("{}/{file}", directory?);
                files
                    .iter()
                    .any(|(name, _)| path(name) == beside)
                    .then_some(beside)
            };
            let [asterisk, sorcery, manager] = BESIDE.map(beside);
            let address: Option<Address> = name
                .split_once('=')
                .map(|(address, _)| address.parse().unwrap());
            let paths = Paths {
                configuration: &configuration,
                asterisk: asterisk.as_deref(),
                sorcery: sorcery.as_deref(),
                manager: manager.as_deref(),
            };
            Instance::read(
                directory.unwrap_or(&configuration),
                address,
                &paths,
                &mut source,
            )
        })
        .collect();
    let web = several(&instances);
    (instances, web)
}

fn told(web: &Web) -> String {
    let mut told = String::new();
    for found in &web.findings {
        writeln!(told, "{found} [{}]", found.code).unwrap();
    }
    told
}

#[test]
fn wrong_configurations_have_their_findings() {
    let mut count = 0;
    for case in cases().iter().filter(|case| !case.wrong.is_empty()) {
        count += 1;
        let found = told(&look(&case.wrong));
        assert!(!found.is_empty(), "{}: nothing is found", case.name);
        if std::env::var_os("LAMPWIRE_UPDATE_GOLDEN").is_some() {
            fs::write(&case.path, format!("{}=== findings\n{found}", case.text)).unwrap();
        } else {
            assert_eq!(found, case.findings, "{}", case.name);
        }
    }
    assert!(count >= 60, "{count}");
}

/// The code that a case is named after is what its twin lacks.
#[test]
fn their_twins_do_not() {
    let mut faults = String::new();
    for case in cases().iter().filter(|case| !case.wrong.is_empty()) {
        let code = case.name.split('.').next().unwrap();
        assert!(findings::code(code).is_some(), "{}", case.name);
        let wrong = look(&case.wrong);
        assert!(
            wrong.findings.iter().any(|found| found.code == code),
            "{}: {}",
            case.name,
            told(&wrong)
        );
        assert!(!case.right.is_empty(), "{}", case.name);
        let found = told(&look(&case.right));
        if !found.is_empty() {
            faults.push_str(&format!("{}:\n{found}", case.name));
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn right_configurations_have_none() {
    let mut count = 0;
    for case in cases().iter().filter(|case| case.wrong.is_empty()) {
        count += 1;
        assert_eq!(told(&look(&case.right)), "", "{}", case.name);
    }
    assert!(count >= 20, "{count}");
}

/// What finds a code that no case has, since it needs a huge or odd input: the files, of which the first is checked.
fn huge(code: &str) -> Vec<(String, Vec<u8>)> {
    let main = |text: String| vec![("main.conf".to_owned(), text.into_bytes())];
    let many = |count: usize, text: &dyn Fn(usize) -> String| -> Vec<(String, Vec<u8>)> {
        let file = |number| match number {
            0 => "main.conf".to_owned(),
            number => format!("{number}.conf"),
        };
        (0..count)
            .map(|number| (file(number), text(number).into_bytes()))
            .collect()
    };
    match code {
        "comment-depth" => main(";--\n".repeat(limits::MAX_COMMENT_DEPTH + 1)),
        "empty-template-name" => main("[a](b,,c)\ntype=endpoint\n".to_owned()),
        "include-count" => many(limits::MAX_FILES + 2, &|number| match number {
            0 => "#include *.conf\n".to_owned(),
            _ => String::new(),
        }),
        "include-depth" => many(limits::MAX_INCLUDE_DEPTH + 2, &|number| {
            format!("#include {}.conf\n", number + 1)
        }),
        "line-too-long" => main(format!("[a]\nx={}\n", "y".repeat(limits::MAX_LINE))),
        "more" => main("nothing at all\n".repeat(limits::MAX_DIAGNOSTICS + 1)),
        "not-utf-8" => vec![(
            "main.conf".to_owned(),
            b"[a]\ntype=endpoint\nfrom_domain=\xff\n".to_vec(),
        )],
        "too-large" => main("\n".repeat(limits::MAX_FILE + 1)),
        other => panic!("{other}: no input is known for it"),
    }
}

/// Each code of `docs/findings.md` is met by a case here, in the diagnostics' snapshot, or by a huge input.
#[test]
fn every_code_is_met() {
    let snapshot = include_str!("snapshots/diagnostics__wrong_configurations_are_told.snap");
    let mut met: BTreeSet<String> = snapshot
        .lines()
        .chain(
            cases()
                .iter()
                .flat_map(|case| case.findings.lines().map(str::to_owned).collect::<Vec<_>>())
                .collect::<Vec<_>>()
                .iter()
                .map(String::as_str),
        )
        .filter_map(|line| Some(line.strip_suffix(']')?.rsplit_once('[')?.1.to_owned()))
        .collect();
    for elsewhere in [
        "comment-depth",
        "empty-template-name",
        "include-count",
        "include-depth",
        "line-too-long",
        "more",
        "not-utf-8",
        "too-large",
    ] {
        let mut source = MapSource::new(huge(elsewhere));
        let (_, found) = check::one("main.conf", &mut source);
        let found = found.into_iter().map(|it| it.code.to_owned());
        let found: BTreeSet<String> = found.collect();
        assert!(found.contains(elsewhere), "{elsewhere}: {found:?}");
        met.extend(found);
    }
    let missing: Vec<&str> = GROUPS
        .iter()
        .flat_map(|group| group.codes)
        .map(|code| code.name)
        .filter(|name| !met.contains(*name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// What `several` finds beyond what each has by itself has a code of relations: those are shown on the wire by the tests of the program.
#[test]
fn what_relations_have_is_listed_as_theirs() {
    let relations = GROUPS
        .iter()
        .find(|group| group.name == findings::RELATIONS);
    let codes: BTreeSet<&str> = relations.unwrap().codes.iter().map(|it| it.name).collect();
    for case in cases() {
        for files in [&case.wrong, &case.right] {
            let (instances, web) = look_at(files);
            let mut own: Vec<String> = instances
                .iter()
                .flat_map(|instance| several(std::slice::from_ref(instance)).findings)
                .map(|found| format!("{found} {}", found.code))
                .collect();
            for found in &web.findings {
                let told = format!("{found} {}", found.code);
                match own.iter().position(|it| *it == told) {
                    Some(at) => drop(own.swap_remove(at)),
                    None => assert!(codes.contains(found.code), "{}: {told}", case.name),
                }
            }
        }
    }
}

/// An error in one never hides the others' own findings.
#[test]
fn an_instance_with_errors_is_left_out_of_the_comparison() {
    let all = cases();
    let broken = all.iter().find(|case| case.name == "not-compared").unwrap();
    let web = look(&broken.wrong);
    assert!(web.links.is_empty());
    assert!(
        web.findings
            .iter()
            .any(|found| found.severity == Severity::Error)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Lines of the corpus, shuffled, dropped, doubled and cut.
    #[test]
    fn nothing_makes_it_panic(
        picks in prop::collection::vec((0usize..10_000, 0usize..4, 0usize..80), 0..120),
        split in 1usize..5,
    ) {
        let lines: Vec<String> = CORPUS.with(Clone::clone);
        let mut files = vec![String::new(); split];
        for (at, (pick, what, cut)) in picks.into_iter().enumerate() {
            let line = &lines[pick % lines.len()];
            let file = &mut files[at * split / 120];
            match what {
                0 => file.extend(line.chars().take(cut)),
                1 => file.push_str(&format!("{line}\n{line}")),
                _ => file.push_str(line),
            }
            file.push('\n');
        }
        let files: Vec<(String, String)> = files
            .into_iter()
            .enumerate()
            .map(|(index, text)| match index {
                0 => ("192.0.2.1=a/pjsip.conf".to_owned(), text),
                index => (format!("{index}.conf"), text),
            })
            .collect();
        let (instances, web) = look_at(&files);
        prop_assert!(check::svg(&instances, &web).ends_with("</svg>\n"));
        let dot = check::dot(&instances, &web);
        prop_assert!(dot.ends_with('\n'), "{}", dot);
        for found in web.findings {
            prop_assert!(found.effect().is_some() && found.mend().is_some(), "{}", found.code);
        }
    }
}

thread_local! {
    static CORPUS: Vec<String> = cases()
        .iter()
        .flat_map(|case| [case.wrong.clone(), case.right.clone()].concat())
        .flat_map(|(_, text)| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
}

#[test]
fn pictures_are_as_they_were() {
    let all = cases();
    for (name, case) in [
        ("hub", "right-hub-and-three"),
        ("pair", "filters-disjoint"),
        ("mesh", "refresh-elsewhere"),
    ] {
        let case = all.iter().find(|it| it.name == case).unwrap();
        let files = if case.wrong.is_empty() {
            &case.right
        } else {
            &case.wrong
        };
        let (instances, web) = look_at(files);
        for (kind, made) in [
            ("svg", check::svg(&instances, &web)),
            ("dot", check::dot(&instances, &web)),
        ] {
            let path =
                Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/check/{name}.{kind}"));
            if std::env::var_os("LAMPWIRE_UPDATE_GOLDEN").is_some() {
                fs::write(&path, &made).unwrap();
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), made, "{name}.{kind}");
        }
    }
}
