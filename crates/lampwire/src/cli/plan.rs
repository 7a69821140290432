//! `lampwire plan`: the configuration of every server from a few lines about them.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::output;
use crate::plan::{self, Plan, Written};

/// Write the configuration of every server, Asterisk's and Lampwire's, and what to copy where
///
/// PEERS.toml has `topology` ("mesh", "hub" or "cluster"), `hub` (the name of the peer that is it), `auth` ("digest" or "none"), `tls`, `hints`, and for each
/// server a `[[peer]]` with `name`, `address`, `kind` ("asterisk" or "lampwire"), and if wanted `devices` and `mailboxes` (filters of what it sends),
/// `password`, `bind`, `directory` (where its files will lie), `existing_transport`. For a cluster it has a `[[nats]]` for each NATS server with `name`,
/// `address`, `site`; Asterisks have `nodes`, and Lampwires `site`, `rank`, `wide_devices`, `wide_mailboxes`. Run it again after a change: passwords, keys and certificates
/// stay.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The few lines
    #[arg(value_name = "PEERS.toml")]
    peers: PathBuf,

    /// The directory that everything is written into
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

impl Arguments {
    /// Writes the files, and lists them without what is in them.
    pub(crate) fn execute(&self) -> anyhow::Result<ExitCode> {
        let path = &self.peers;
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let plan = Plan::parse(&text).with_context(|| path.display().to_string())?;
        std::fs::create_dir_all(&self.output)
            .with_context(|| format!("{} cannot be made", self.output.display()))?;
        let done = plan::write(&plan, &self.output)?;
        let mut out = output::stdout();
        for (path, state) in &done.files {
            writeln!(out, "{:<9}  {}", state.as_str(), path.display())?;
        }
        for path in &done.left_over {
            writeln!(
                out,
                "left over  {} (no longer in the plan; remove it)",
                path.display()
            )?;
        }
        let changed = done
            .files
            .iter()
            .filter(|(_, state)| *state != Written::Unchanged);
        writeln!(
            out,
            "\n{} of {} files written; {} says what to copy where",
            changed.count(),
            done.files.len(),
            self.output.join("README.md").display()
        )?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}
