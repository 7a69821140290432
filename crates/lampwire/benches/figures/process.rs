//! Processes, and what they use.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A process that ends with this value.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it, with what it says in a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let log = fs::File::create(log).expect("a log");
        let errors = log.try_clone().expect("a log");
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        Self(command.spawn().expect("a program that starts"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // In order, so that it ends those that it has started.
        let script = format!("kill -TERM {}", self.0.id());
        let _ = Command::new("sh").args(["-c", &script]).status();
        let _ = self.0.wait();
    }
}

/// The processor time that a process and all below it have used, in the kernel and out of it. The scheduler's own count of each thread is exact, but
/// that of threads that have ended is only in the process's, which is told in ticks of 10 ms: the larger one is right.
pub(crate) fn cpu(root: u32) -> Duration {
    let used = |id: &u32| {
        let tasks = fs::read_dir(format!("/proc/{id}/task"));
        let times = tasks.into_iter().flatten().flatten().filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields = stat
            .rsplit(") ")
            .next()
            .unwrap_or("")
            .split(' ')
            .skip(11)
            .take(2);
        let ticks: u64 = fields.filter_map(|it| it.parse::<u64>().ok()).sum();
        times.sum::<u64>().max(ticks * 10_000_000)
    };
    Duration::from_nanos(family(root).iter().map(used).sum())
}

/// Resident memory of a process in kilobytes.
pub(crate) fn resident(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|it| it.trim().split(' ').next()?.parse().ok())
        .unwrap_or(0)
}

/// A process and all below it.
fn family(root: u32) -> Vec<u32> {
    let mut below: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        let text = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = text
            .rsplit(") ")
            .next()
            .and_then(|it| it.split(' ').nth(1)?.parse().ok());
        if let Some(parent) = parent {
            below.entry(parent).or_default().push(id);
        }
    }
    let mut all = vec![root];
    let mut at = 0;
    while at < all.len() {
        all.extend(below.remove(&all[at]).unwrap_or_default());
        at += 1;
    }
    all
}

/// The process of this name below this one that was started last.
pub(crate) fn named(name: &str) -> Option<u32> {
    let of = |id: &u32| fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    let own = family(std::process::id());
    own.into_iter().filter(|id| of(id).trim_end() == name).max()
}
