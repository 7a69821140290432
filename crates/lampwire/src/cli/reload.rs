//! `lampwire reload`: lets a node read its configuration again.

use std::io::Write;
use std::process::ExitCode;

use super::client::Refused;
use super::node::NodeArguments;
use super::output;
use crate::http::types::Reloaded;

/// Let a node read its configuration again
///
/// All of it counts from one moment on, or nothing has changed: then the file's errors are told, each with its line, and the exit status is 1.
/// What is the same is not touched.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
}

impl Arguments {
    /// Asks, and prints what is another now.
    pub(crate) fn execute(&self) -> anyhow::Result<ExitCode> {
        let answer: anyhow::Result<Reloaded> = self.node.client()?.post("reload", &());
        let reloaded = match answer {
            Ok(reloaded) => reloaded,
            Err(error) => {
                return match error.downcast::<Refused>() {
                    Ok(Refused(problem)) if self.node.json => {
                        output::print_json(&problem)?;
                        Ok(ExitCode::FAILURE)
                    }
                    Ok(refused) => Err(refused.into()),
                    Err(error) => Err(error),
                };
            }
        };
        if self.node.json {
            output::print_json(&reloaded)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut out = output::stdout();
        for line in reloaded.lines() {
            writeln!(out, "{}", output::plain(&line))?;
        }
        writeln!(
            out,
            "{} sections are others, {} as they were",
            reloaded.changes.len(),
            reloaded.unchanged
        )?;
        out.flush()?;
        for found in &reloaded.findings {
            if found.severity == "warning" {
                let text = format!("{}:{}: {}", found.file, found.line, found.message);
                eprintln!("{}", output::plain(&text));
            }
        }
        for warning in &reloaded.warnings {
            eprintln!("warning: {}", output::plain(&warning.text));
        }
        Ok(ExitCode::SUCCESS)
    }
}
