//! `lampwire check`: what a configuration says, without running it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use super::output;
use crate::configuration;

/// Read a configuration and say what is wrong with it
///
/// Exit status 1 if there are errors; warnings do not matter to it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The configuration [default: ./lampwire.conf, then /etc/lampwire/lampwire.conf]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Arguments {
    /// Prints every finding on a line of its own, and a sum at the end.
    pub(crate) fn execute(&self) -> anyhow::Result<ExitCode> {
        if let [_, second, ..] = &self.files[..] {
            anyhow::bail!(
                "check takes one FILE in this version, and {} is a second one: check each by itself",
                second.display()
            );
        }
        let path = configuration::find(self.files.first().map(PathBuf::as_path))?;
        let (_, diagnostics) = configuration::load(&path)?;
        let mut out = output::stdout();
        for diagnostic in &diagnostics {
            writeln!(out, "{diagnostic}")?;
        }
        writeln!(
            out,
            "{}: {}",
            path.display(),
            configuration::count(&diagnostics)
        )?;
        out.flush()?;
        Ok(if configuration::has_errors(&diagnostics) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}
