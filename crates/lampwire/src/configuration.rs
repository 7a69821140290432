//! From a path on the command line to a configuration that may run: finds the file, reads it and all that it includes,
//! and says what is wrong with it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use lampwire_conf::{Config, Diagnostic, Severity};

use crate::identity;

/// Where a configuration is looked for when none is named, in this order.
const DEFAULT_PATHS: [&str; 2] = ["./lampwire.conf", "/etc/lampwire/lampwire.conf"];

/// The longest file that is read. A pjsip.conf with ten thousand endpoints has two megabytes; this keeps a wrong path
/// (a device, a log) from filling the memory.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The most files one pattern may name, so that `#include /*/*` ends in a sentence.
const GLOB_FILES_MAX: usize = 10_000;

/// The file that is meant: the one given, else the first of the default places that exists.
pub(crate) fn find(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    match DEFAULT_PATHS
        .iter()
        .map(Path::new)
        .find(|path| path.exists())
    {
        Some(path) => Ok(path.to_owned()),
        None => bail!(
            "no configuration: neither {} nor {} exists; give one with -c FILE",
            DEFAULT_PATHS[0],
            DEFAULT_PATHS[1]
        ),
    }
}

/// Reads the file and all that it includes; a node of a cluster is called as its machine where nothing else is said. The configuration is good for use only if no diagnostic is an error
/// ([`has_errors`]). Fails only where the path itself is no text.
pub(crate) fn load(path: &Path) -> anyhow::Result<(Config, Vec<Diagnostic>)> {
    let text = path
        .to_str()
        .with_context(|| format!("the path {} is not UTF-8", path.display()))?;
    let (mut config, diagnostics) = lampwire_conf::check::one(text, &mut Files);
    if let Some(cluster) = &mut config.cluster {
        cluster.node.get_or_insert_with(identity::host_name);
    }
    Ok((config, diagnostics))
}

/// Whether a node must not start with what [`load`] found.
pub(crate) fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// How many of the diagnostics are errors, and how many warnings, in words: `2 errors, 1 warning`.
pub(crate) fn count(diagnostics: &[Diagnostic]) -> String {
    let of = |severity| {
        diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    };
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    format!(
        "{}, {}",
        plural(of(Severity::Error), "error"),
        plural(of(Severity::Warning), "warning")
    )
}

/// The file system, as the configuration sees it.
pub(crate) struct Files;

impl lampwire_conf::Source for Files {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, String> {
        let reason = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => "no such file".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            std::io::ErrorKind::IsADirectory => "it is a directory, not a file".to_owned(),
            _ => error.to_string(),
        };
        let file = File::open(path).map_err(reason)?;
        if file.metadata().map_err(reason)?.is_dir() {
            return Err("it is a directory, not a file".to_owned());
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(reason)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(format!("longer than {FILE_BYTES_MAX} bytes"));
        }
        Ok(bytes)
    }

    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        let paths = glob::glob(pattern).map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        for path in paths {
            let path = path.map_err(|error| error.to_string())?;
            let path = path
                .into_os_string()
                .into_string()
                .map_err(|path| format!("the name {} is not UTF-8", path.display()))?;
            if found.len() == GLOB_FILES_MAX {
                return Err(format!("it matches more than {GLOB_FILES_MAX} files"));
            }
            found.push(path);
        }
        found.sort();
        Ok(found)
    }
}
