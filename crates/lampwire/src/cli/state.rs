//! `lampwire state`: what a node keeps over its restart, for backup and for moving to another machine.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;

use anyhow::Context;
use lampwire_core::store::Record;

use super::output;
use crate::{identity, store};

/// Export or import what a node keeps over its restart
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Export(Export),
    Import(Import),
}

/// Print what is kept: a line of JSON for each state, publication and peer
///
/// The node may run meanwhile: what is printed is what would be there if it were killed now.
#[derive(Debug, clap::Args)]
struct Export {
    #[command(flatten)]
    place: Place,
}

/// Put an export in the place of what is kept
///
/// The node must not run. Its entity id is that of the export.
#[derive(Debug, clap::Args)]
struct Import {
    /// The file that `export` printed; `-` is standard input
    file: PathBuf,

    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct Place {
    /// The state_dir of the node
    #[arg(long, value_name = "DIR", default_value = "/var/lib/lampwire")]
    state_dir: PathBuf,
}

impl Arguments {
    /// Does it.
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        match &self.what {
            What::Export(export) => export.execute(),
            What::Import(import) => import.execute(),
        }
    }
}

impl Export {
    fn execute(&self) -> anyhow::Result<()> {
        let (entity_id, records, damage) = store::look_into(&self.place.state_dir)?;
        if let Some(damage) = damage {
            eprintln!("warning: {}: {damage}", self.place.state_dir.display());
        }
        let mut out = output::stdout();
        store::document::write(&mut out, entity_id, &records)?;
        out.flush()?;
        Ok(())
    }
}

impl Import {
    fn execute(&self) -> anyhow::Result<()> {
        let name = self.file.display();
        let from: Box<dyn BufRead> = match self.file.to_str() {
            Some("-") => Box::new(BufReader::new(io::stdin())),
            _ => {
                let file = File::open(&self.file).with_context(|| format!("{name}"))?;
                Box::new(BufReader::new(file))
            }
        };
        let (entity_id, mut records) =
            store::document::read(from).with_context(|| format!("{name}"))?;
        // Whatever happened since the export has been missed.
        records.retain(|record| !matches!(record, Record::Closed(_)));
        let directory = &self.place.state_dir;
        let claimed = store::claim(directory).context("stop the node first")?;
        identity::adopt(directory, entity_id).map_err(anyhow::Error::msg)?;
        store::replace(claimed, entity_id, &records)?;
        println!(
            "{} records of {entity_id} are in {}",
            records.len(),
            directory.display()
        );
        Ok(())
    }
}
