//! A program that does nothing, in the place of the node that is tested: no case may hold with it.

use std::fs;
use std::path::PathBuf;

use crate::instance::{Counts, Instance, Outcome, Process, lab};

/// `sleep infinity`.
pub(crate) struct Sleeper {
    directory: PathBuf,
    process: Option<Process>,
}

impl Sleeper {
    /// Starts nothing yet.
    pub(crate) fn new(directory: PathBuf) -> Outcome<Self> {
        fs::create_dir_all(&directory).map_err(lab(directory.display()))?;
        Ok(Self {
            directory,
            process: None,
        })
    }
}

impl Instance for Sleeper {
    fn name(&self) -> &str {
        "sleep"
    }

    fn start(&mut self) -> Outcome {
        let command = ["sleep", "infinity"].map(str::to_owned);
        let log = self.directory.join("log");
        self.process = Some(Process::spawn("sleep", &command, &self.directory, &log)?);
        Ok(())
    }

    fn stop(&mut self) -> Outcome {
        self.kill()
    }

    fn kill(&mut self) -> Outcome {
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    fn set_device(&mut self, _: &str, _: &str) -> Outcome {
        Ok(())
    }

    fn device(&mut self, _: &str) -> Outcome<Option<String>> {
        Ok(None)
    }

    fn set_mailbox(&mut self, _: &str, _: Counts) -> Outcome {
        Ok(())
    }

    fn mailbox(&mut self, _: &str) -> Outcome<Option<Counts>> {
        Ok(None)
    }

    fn ask_refresh(&mut self) -> Outcome {
        Ok(())
    }

    fn logs(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn version(&self) -> Option<String> {
        None
    }
}
