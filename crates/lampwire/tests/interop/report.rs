//! The table of what ran, written by the run itself where LAMPWIRE_INTEROP_REPORT names a file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use crate::asterisk::Release;
use crate::cases::CASES;
use crate::cluster::RightAfter;
use crate::subject::Subject;

/// How one case ended.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    /// Whether the trial passed.
    pub(crate) passed: bool,
    /// How long it took.
    pub(crate) took: Duration,
}

/// How a trial ended with each release, and how long it took until all was right again, where something was wrong on the way.
type OfReleases = BTreeMap<Release, (Verdict, Option<Duration>)>;

/// What is collected while the trials run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    verdicts: Mutex<BTreeMap<(&'static str, Release, Subject), Verdict>>,
    /// Of Asterisks behind their manager interface, with what each case shows.
    managed: Mutex<BTreeMap<(&'static str, &'static str), OfReleases>>,
    versions: Mutex<BTreeMap<String, String>>,
    /// Of more than two nodes: by kind and case, what it shows and how it ended with each set of Asterisks.
    several: Mutex<BTreeMap<(&'static str, &'static str), Several>>,
    /// Of nodes of a cluster, with what each case shows, and how long it took after each fault until all was right.
    clustered: Mutex<Clustered>,
}

/// What nodes of a cluster came to, by case and what it shows.
type Clustered = BTreeMap<(&'static str, &'static str), (Verdict, RightAfter)>;

/// A case of more than two nodes.
#[derive(Debug)]
struct Several {
    shows: String,
    verdicts: BTreeMap<&'static str, Verdict>,
}

impl Report {
    /// A trial has ended.
    pub(crate) fn add(
        &self,
        case: &'static str,
        peer: Release,
        subject: Subject,
        verdict: Verdict,
    ) {
        if let Ok(mut verdicts) = self.verdicts.lock() {
            verdicts.insert((case, peer, subject), verdict);
        }
    }

    /// A trial with an Asterisk behind its manager interface has ended. `right_after`: how long it took until all was right again.
    pub(crate) fn add_managed(
        &self,
        case: &'static str,
        shows: &'static str,
        release: Release,
        verdict: Verdict,
        right_after: Option<Duration>,
    ) {
        if let Ok(mut managed) = self.managed.lock() {
            let of_case = managed.entry((case, shows)).or_default();
            of_case.insert(release, (verdict, right_after));
        }
    }

    /// A trial of more than two nodes has ended: a hub or a plan, with Asterisks of one release or of both.
    pub(crate) fn add_of_several(
        &self,
        kind: &'static str,
        (case, shows): (&'static str, &str),
        asterisks: &'static str,
        verdict: Verdict,
    ) {
        if let Ok(mut several) = self.several.lock() {
            let entry = several.entry((kind, case)).or_insert_with(|| Several {
                shows: shows.to_owned(),
                verdicts: BTreeMap::new(),
            });
            if asterisks != "mixed" {
                shows.clone_into(&mut entry.shows);
            }
            entry.verdicts.insert(asterisks, verdict);
        }
    }

    /// A trial of a cluster's nodes has ended.
    pub(crate) fn add_clustered(
        &self,
        names: (&'static str, &'static str),
        verdict: Verdict,
        right_after: RightAfter,
    ) {
        if let Ok(mut clustered) = self.clustered.lock() {
            clustered.insert(names, (verdict, right_after));
        }
    }

    /// A node has told its version.
    pub(crate) fn add_version(&self, program: &str, version: &str) {
        if let Ok(mut versions) = self.versions.lock() {
            versions.insert(program.to_owned(), version.to_owned());
        }
    }

    /// Writes the table. `missing` are the peers that could not run, with the reason.
    pub(crate) fn write(
        &self,
        path: &Path,
        partial: bool,
        missing: &BTreeMap<Release, String>,
    ) -> std::io::Result<()> {
        let mut text = String::new();
        self.print(&mut text, partial, missing)
            .map_err(std::io::Error::other)?;
        std::fs::write(path, text)
    }

    fn print(
        &self,
        out: &mut String,
        partial: bool,
        missing: &BTreeMap<Release, String>,
    ) -> std::fmt::Result {
        let verdicts = self.verdicts.lock().map_err(|_| std::fmt::Error)?;
        let versions = self.versions.lock().map_err(|_| std::fmt::Error)?;

        writeln!(out, "# Lampwire with real Asterisks\n")?;
        writeln!(
            out,
            "<!-- Written by the interop tests (LAMPWIRE_INTEROP_REPORT); do not edit. -->\n"
        )?;
        let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
        let managed = self.managed.lock().map_err(|_| std::fmt::Error)?;
        let several = self.several.lock().map_err(|_| std::fmt::Error)?;
        let behind = managed
            .values()
            .flat_map(|of_case| of_case.values().map(|(verdict, _)| verdict));
        let clustered = self.clustered.lock().map_err(|_| std::fmt::Error)?;
        let of_clusters = clustered.values().map(|(verdict, _)| verdict);
        let of_several = several.values().flat_map(|it| it.verdicts.values());
        let all: Vec<&Verdict> = verdicts
            .values()
            .chain(behind)
            .chain(of_several)
            .chain(of_clusters)
            .collect();
        let passed = all.iter().filter(|verdict| verdict.passed).count();
        write!(out, "Run of {now}: {passed} of {} passed. ", all.len())?;
        if partial {
            write!(out, "Not all cases were chosen for this run. ")?;
        }
        writeln!(out, "How to run it yourself: [lab.md](lab.md).\n")?;
        for (program, version) in versions.iter() {
            writeln!(out, "- {program}: {version}")?;
        }
        for (release, reason) in missing {
            writeln!(out, "- {release}: **did not run**: {reason}")?;
        }
        writeln!(
            out,
            "\nEvery case has a peer, which is always an Asterisk, and a subject. With Lampwire as \
             the subject the case tests Lampwire; with Asterisk it tests the case; with `sleep`, a \
             program that does nothing, \"fails\" is what must come out, and shows that the case \
             cannot pass by accident.\n"
        )?;

        let columns = verdicts
            .keys()
            .map(|(_, peer, subject)| (*peer, *subject))
            .collect::<std::collections::BTreeSet<_>>();
        write!(out, "| case | what it shows |")?;
        for (peer, subject) in &columns {
            write!(out, " {subject} with {peer} |")?;
        }
        writeln!(out, "\n|---|---|{}", "---|".repeat(columns.len()))?;
        for case in CASES {
            write!(out, "| {} | {} |", case.name, case.shows)?;
            for (peer, subject) in &columns {
                let cell = match verdicts.get(&(case.name, *peer, *subject)) {
                    Some(verdict) => cell(*subject, verdict),
                    None if case.peers.contains(peer) => "not run".into(),
                    None => "-".into(),
                };
                write!(out, " {cell} |")?;
            }
            writeln!(out)?;
        }
        print_managed(out, &managed)?;
        print_several(out, &several)?;
        print_clustered(out, &clustered)
    }
}

/// Asterisks behind their manager interface.
fn print_managed(
    out: &mut String,
    managed: &BTreeMap<(&'static str, &'static str), OfReleases>,
) -> std::fmt::Result {
    if managed.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n## Asterisks by their manager interface\n\n\
         An Asterisk without the exchange, read and told by Lampwire over its manager interface ([ami.md](ami.md)), beside two that have it. \
         Where something was wrong on the way, the time until everything was right again on all three stands behind it.\n"
    )?;
    write!(out, "| case | what it shows |")?;
    for release in Release::ALL {
        write!(out, " {release} |")?;
    }
    writeln!(out, "\n|---|---|{}", "---|".repeat(Release::ALL.len()))?;
    for ((case, shows), of_case) in managed.iter() {
        write!(out, "| {case} | {shows} |")?;
        for release in Release::ALL {
            let cell = match of_case.get(&release) {
                Some((verdict, right_after)) => {
                    let verdict = cell(Subject::Lampwire, verdict);
                    let right = right_after
                        .map(|after| format!("; right after {:.2} s", after.as_secs_f32()));
                    verdict + &right.unwrap_or_default()
                }
                None => "not run".to_owned(),
            };
            write!(out, " {cell} |")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// More than two nodes.
fn print_several(
    out: &mut String,
    several: &BTreeMap<(&'static str, &'static str), Several>,
) -> std::fmt::Result {
    if several.is_empty() {
        return Ok(());
    }
    let sets: &[&str] = &["asterisk22", "asterisk16", "mixed"];
    writeln!(
        out,
        "\n## More than two nodes\n\nA Lampwire as the hub of three or four Asterisks, each configured for itself and the hub only, and what \
         `lampwire plan` writes, started as it is. \"mixed\": three of 22 and one of 16.\n"
    )?;
    writeln!(out, "| case | what it shows | {} |", sets.join(" | "))?;
    writeln!(out, "|---|---|{}", "---|".repeat(sets.len()))?;
    for ((kind, case), Several { shows, verdicts }) in several.iter() {
        write!(out, "| {kind}: {case} | {shows} |")?;
        for set in sets {
            let cell = match verdicts.get(set) {
                Some(verdict) => cell(Subject::Lampwire, verdict),
                None => "-".into(),
            };
            write!(out, " {cell} |")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Nodes of a cluster.
fn print_clustered(out: &mut String, clustered: &Clustered) -> std::fmt::Result {
    if clustered.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n## Several Lampwires as one, over NATS\n\nThree Lampwires, three nats-servers that keep the bucket, and three Asterisks (22, 16, 22): the first is \
         attached to the first two Lampwires, the second to the last two, the third to the last one. States change during each fault, and it ends when every \
         Asterisk that can be reached shows the right devices, hints and mailbox; the time is counted from there to there.\n"
    )?;
    writeln!(
        out,
        "| case | what it shows | result | right after |\n|---|---|---|---|"
    )?;
    for ((case, shows), (verdict, right_after)) in clustered {
        let times = right_after
            .iter()
            .map(|(fault, after)| format!("{fault}: {:.1} s", after.as_secs_f32()));
        let times = times.collect::<Vec<_>>().join("; ");
        let result = cell(Subject::Lampwire, verdict);
        writeln!(out, "| {case} | {shows} | {result} | {times} |")?;
    }
    Ok(())
}

fn cell(subject: Subject, verdict: &Verdict) -> String {
    let word = match (subject, verdict.passed) {
        (Subject::Sleep, true) => "fails",
        (Subject::Sleep, false) => "**DOES NOT FAIL**",
        (Subject::Lampwire | Subject::Asterisk(_), true) => "passed",
        (Subject::Lampwire | Subject::Asterisk(_), false) => "**FAILED**",
    };
    format!("{word}, {:.1} s", verdict.took.as_secs_f32())
}
