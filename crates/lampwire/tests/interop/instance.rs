//! What every node in a case is to the case: something that starts, ends, takes states and
//! shows states, whatever it is made of.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a node may take to come up. Far above what it needs (under a second), since a
/// loaded machine is not what these tests look for.
pub(crate) const BOOT_PATIENCE: Duration = Duration::from_secs(60);

/// How long a node may take to end when asked.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks at a node.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(40);

/// Why a case did not hold.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the case waits for did not come, or what must not come came.
    Expectation(String),
    /// The laboratory itself does not work: a node that does not start, a file that cannot be
    /// written. No case may be proven by it.
    Lab(String),
}

/// Shorthand for everything that a case does.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expectation(text) => write!(f, "{text}"),
            Self::Lab(text) => write!(f, "the laboratory failed: {text}"),
        }
    }
}

/// A failure of the laboratory, with what was being done.
pub(crate) fn lab<E: fmt::Display>(doing: impl fmt::Display) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Lab(format!("{doing}: {error}"))
}

/// New and old messages of a mailbox.
pub(crate) type Counts = (u32, u32);

/// One node of a case.
pub(crate) trait Instance {
    /// What the node is called in messages.
    fn name(&self) -> &str;
    /// Starts it, or starts it again after [`Instance::stop`] or [`Instance::kill`]; returns
    /// when it answers.
    fn start(&mut self) -> Outcome;
    /// Ends it in order, as an operator would.
    fn stop(&mut self) -> Outcome;
    /// Ends it at once, as a power failure would.
    fn kill(&mut self) -> Outcome;
    /// Gives a device a state under the node's own entity id.
    fn set_device(&mut self, device: &str, state: &str) -> Outcome;
    /// The state that the node shows for a device, all entity ids summed up; none if it has not
    /// heard of it.
    fn device(&mut self, device: &str) -> Outcome<Option<String>>;
    /// Gives a mailbox its counts under the node's own entity id.
    fn set_mailbox(&mut self, mailbox: &str, counts: Counts) -> Outcome;
    /// The counts that the node shows for a mailbox; none if it has not heard of it.
    fn mailbox(&mut self, mailbox: &str) -> Outcome<Option<Counts>>;
    /// Makes the node ask its peer for everything.
    fn ask_refresh(&mut self) -> Outcome;
    /// Where its logs are.
    fn logs(&self) -> Vec<PathBuf>;
    /// Its version in its own words, once it has run.
    fn version(&self) -> Option<String>;
}

/// Looks at a node until `look` gives what is wanted or the patience ends.
pub(crate) fn wait_until<T: PartialEq + fmt::Debug>(
    patience: Duration,
    what: &str,
    wanted: &T,
    mut look: impl FnMut() -> Outcome<Option<T>>,
) -> Outcome {
    let deadline = Instant::now() + patience;
    loop {
        let seen = look()?;
        if seen.as_ref() == Some(wanted) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Failure::Expectation(format!(
                "{what}: waited {} s for {wanted:?}, and the last seen is {seen:?}",
                patience.as_secs_f32()
            )));
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// A process that does not outlive the test: the kernel ends it when the thread that started it
/// ends, and dropping this ends it too.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    what: String,
}

impl Process {
    /// Runs `command` (program and arguments) with its output added to `log`.
    pub(crate) fn spawn(
        what: &str,
        command: &[String],
        directory: &Path,
        log: &Path,
    ) -> Outcome<Self> {
        let output = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(lab(log.display()))?;
        let errors = output.try_clone().map_err(lab(log.display()))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(command)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(lab(format!("starting {what} by setpriv (util-linux)")))?;
        Ok(Self {
            child,
            what: what.to_owned(),
        })
    }

    /// The exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        self.child.try_wait().map_err(lab(&self.what))
    }

    /// Sends it a signal of this name, as `kill` knows it.
    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }

    /// Asks it to end (SIGTERM) without waiting.
    pub(crate) fn terminate(&self) -> Outcome {
        signal("TERM", self.child.id());
        Ok(())
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self, patience: Duration) -> Outcome<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(Failure::Expectation(format!(
                    "{} was asked to end and runs on after {} s",
                    self.what,
                    patience.as_secs()
                )));
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Ends it at once. A process that `unshare` watches over is ended itself, so that when
    /// `unshare` has ended, so has it, and its sockets are free.
    pub(crate) fn kill(&mut self) -> Outcome {
        let pid = self.child.id();
        let watched = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|child| child.parse::<u32>().ok())
            .collect::<Vec<_>>();
        if watched.is_empty() {
            self.child.kill().map_err(lab(&self.what))?;
        }
        for child in watched {
            signal("KILL", child);
        }
        self.wait(STOP_PATIENCE).map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.kill().is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn signal(name: &str, pid: u32) {
    // A process that has ended in the meantime is no fault.
    let _ = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}
