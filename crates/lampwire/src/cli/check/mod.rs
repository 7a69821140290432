//! `lampwire check`: what a configuration says, without running it; of several instances together, what they would not tell each other.

mod person;
mod program;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use lampwire_conf::check::{self, Address, Instance, Paths, Web};
use lampwire_conf::{Diagnostic, Severity};

use super::output;
use crate::configuration::{self, Files};

/// What a directory's configuration is called, Asterisk's first.
const CONFIGURATIONS: [&str; 2] = ["pjsip.conf", "lampwire.conf"];

/// Read one configuration, or those of several instances together, and say what will not work
///
/// Asterisk's and Lampwire's alike. Each finding has its place, what happens on the wire because of it, and how to mend it; docs/findings.md
/// describes each code. Exit status 1 if there are errors; warnings do not matter to it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A configuration, or a directory with pjsip.conf (and asterisk.conf, manager.conf) or lampwire.conf; ADDRESS is where others reach it [default:
    /// ./lampwire.conf, then /etc/lampwire/lampwire.conf]
    #[arg(value_name = "[ADDRESS=]FILE", value_parser = Given::parse)]
    files: Vec<Given>,

    /// How findings are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// Write a picture of who tells whom what, and the findings to standard error
    #[arg(long, value_enum, conflicts_with_all = ["format", "json"])]
    graph: Option<Graph>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// SARIF 2.1.0, for editors and code scanning
    Sarif,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Graph {
    /// A picture
    Svg,
    /// Graphviz's language
    Dot,
}

/// One argument.
#[derive(Clone, Debug)]
struct Given {
    address: Option<Address>,
    path: PathBuf,
}

impl Given {
    /// A path that exists is one, whatever equals signs are in it.
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((address, path)) if !Path::new(text).exists() => Ok(Self {
                address: Some(
                    address
                        .parse()
                        .map_err(|why| format!("{address:?} {why}"))?,
                ),
                path: path.into(),
            }),
            _ => Ok(Self {
                address: None,
                path: text.into(),
            }),
        }
    }
}

impl Arguments {
    /// Reads everything, says what it found, and gives the exit status.
    pub(crate) fn execute(&self) -> anyhow::Result<ExitCode> {
        let mut files = self.files.clone();
        if files.is_empty() {
            let path = configuration::find(None)?;
            files.push(Given {
                address: None,
                path,
            });
        }
        if files.len() > check::MAX_INSTANCES {
            bail!(
                "{} instances, and {} at most are looked at together",
                files.len(),
                check::MAX_INSTANCES
            );
        }
        for (index, given) in files.iter().enumerate() {
            if files[..index].iter().any(|other| other.path == given.path) {
                bail!("{} is given twice", given.path.display());
            }
        }
        let instances = files.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        let web = check::several(&instances);
        let mut out = output::stdout();
        match (self.graph, self.format) {
            (Some(graph), _) => {
                let picture = match graph {
                    Graph::Svg => check::svg(&instances, &web),
                    Graph::Dot => check::dot(&instances, &web),
                };
                out.write_all(picture.as_bytes())?;
                person::write(
                    &mut std::io::stderr().lock(),
                    &instances,
                    &web,
                    person::stderr(),
                )?;
            }
            (None, Format::Sarif) => output::print_json(&program::sarif(&web))?,
            (None, _) if self.json => output::print_json(&program::json(&instances, &web))?,
            (None, Format::Json) => output::print_json(&program::json(&instances, &web))?,
            (None, Format::Text) => person::write(&mut out, &instances, &web, person::stdout())?,
        }
        out.flush()?;
        Ok(match configuration::has_errors(&web.findings) {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        })
    }
}

/// Reads one instance, a file or a directory.
fn read(given: &Given) -> anyhow::Result<Instance> {
    let path = &given.path;
    let inside = |name: &str| Some(path.join(name)).filter(|path| path.is_file());
    let (configuration, beside) = if path.is_dir() {
        let Some(found) = CONFIGURATIONS.into_iter().find_map(inside) else {
            bail!(
                "there is neither pjsip.conf nor lampwire.conf in {}",
                path.display()
            );
        };
        (
            found,
            ["asterisk.conf", "sorcery.conf", "manager.conf"].map(inside),
        )
    } else {
        (path.clone(), [None, None, None])
    };
    let [asterisk, sorcery, manager] = &beside;
    let paths = Paths {
        configuration: text(&configuration)?,
        asterisk: asterisk.as_deref().map(text).transpose()?,
        sorcery: sorcery.as_deref().map(text).transpose()?,
        manager: manager.as_deref().map(text).transpose()?,
    };
    Ok(Instance::read(
        text(path)?,
        given.address.clone(),
        &paths,
        &mut Files,
    ))
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .with_context(|| format!("the path {} is not UTF-8", path.display()))
}

/// How many there are of each severity.
fn count(findings: &[Diagnostic], severity: Severity) -> usize {
    findings
        .iter()
        .filter(|found| found.severity == severity)
        .count()
}

/// Whether it is worth looking at who tells whom what.
fn are_several(instances: &[Instance], web: &Web) -> bool {
    instances.len() > 1 && !web.links.is_empty()
}
