//! The configuration that is in force, and how another comes to be: the file is read beside the node, and either all of it counts from one moment
//! on, or nothing has changed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lampwire_conf::{Config, Diagnostic, Difference, Location, Severity};
use lampwire_core::NotReloaded;
use tokio::sync::Mutex;

use crate::configuration;
use crate::current::Current;
use crate::driver::tls::web::Acceptor;
use crate::driver::{Handle, Tls};
use crate::http::types::{Finding, Reloaded};
use crate::instance::{CannotBegin, tls_of, tls_of_http, tls_to};

/// The configuration that is in force, for whoever asks.
pub(crate) type InForce = Current<Config>;

/// What TLS goes by at the sockets that are bound; each connection that begins asks.
#[derive(Debug, Default)]
pub(crate) struct InUse {
    /// By the names of the transports.
    pub(crate) transports: BTreeMap<String, Current<Tls>>,
    pub(crate) http: Option<Current<Acceptor>>,
}

/// Reads the configuration of a node again.
#[derive(Debug)]
pub(crate) struct Reloader {
    path: PathBuf,
    node: Handle,
    in_force: InForce,
    in_use: InUse,
    /// One at a time.
    turn: Mutex<()>,
}

/// Why a configuration was not taken.
#[derive(Debug)]
pub(crate) struct Refused {
    /// A word for programs.
    pub(crate) kind: &'static str,
    /// What is wrong, one by one, where it stands in the file.
    pub(crate) findings: Vec<Finding>,
    /// What is wrong, a line each.
    lines: Vec<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is not taken, and nothing has changed")?;
        for line in &self.lines {
            write!(f, "\n{line}")?;
        }
        Ok(())
    }
}

impl Refused {
    fn because(kind: &'static str, why: impl Into<String>) -> Self {
        Self {
            kind,
            findings: Vec::new(),
            lines: vec![why.into()],
        }
    }
}

/// A configuration that can be taken, with the ways to manager interfaces that it needs in addition.
struct Read {
    config: Arc<Config>,
    diagnostics: Vec<Diagnostic>,
    ways: BTreeMap<String, Option<Tls>>,
    /// What TLS goes by at each transport, and for HTTP: all files are read again.
    transports: BTreeMap<String, Tls>,
    http: Option<Acceptor>,
}

impl Reloader {
    pub(crate) fn new(path: PathBuf, node: Handle, in_force: InForce, in_use: InUse) -> Self {
        Self {
            path,
            node,
            in_force,
            in_use,
            turn: Mutex::new(()),
        }
    }

    /// Reads the configuration again and lets the node go on by it. What it did, or why nothing has changed, is logged too.
    pub(crate) async fn reload(&self) -> Result<Reloaded, Refused> {
        let done = self.take().await;
        let path = self.path.display();
        match &done {
            Ok(reloaded) => {
                tracing::info!(
                    "reloaded {path}: {} sections are others, {} as they were",
                    reloaded.changes.len(),
                    reloaded.unchanged
                );
                for line in reloaded.lines() {
                    tracing::info!("reload: {line}");
                }
                for warning in &reloaded.warnings {
                    tracing::warn!("reload: {}", warning.text);
                }
            }
            Err(refused) => {
                tracing::error!(
                    "reload of {path}: the configuration is not taken, and nothing has changed"
                );
                for line in &refused.lines {
                    tracing::error!("reload: {line}");
                }
            }
        }
        done
    }

    async fn take(&self) -> Result<Reloaded, Refused> {
        let _turn = self.turn.lock().await;
        let (path, old) = (self.path.clone(), self.in_force.get());
        let read = tokio::task::spawn_blocking(move || read(&path, &old)).await;
        let Read {
            config,
            diagnostics,
            ways,
            transports,
            http,
        } = read.map_err(|error| Refused::because("not-read", error.to_string()))??;
        let taken = self.node.reload(Arc::clone(&config), ways).await;
        let report = taken
            .map_err(|_| Refused::because("stopping", "the node is ending"))?
            .map_err(not_taken)?;
        self.in_force.set(config);
        for (name, tls) in transports {
            if let Some(current) = self.in_use.transports.get(&name) {
                current.set(Arc::new(tls));
            }
        }
        if let (Some(current), Some(http)) = (&self.in_use.http, http) {
            current.set(Arc::new(http));
        }
        let mut reloaded = Reloaded::from(report);
        reloaded.findings = diagnostics.iter().map(Finding::from).collect();
        Ok(reloaded)
    }
}

fn read(path: &Path, old: &Config) -> Result<Read, Refused> {
    let (config, diagnostics) = configuration::load(path)
        .map_err(|error| Refused::because("not-read", format!("{error:#}")))?;
    let errors = || {
        diagnostics
            .iter()
            .filter(|it| it.severity == Severity::Error)
    };
    if errors().next().is_some() {
        return Err(Refused {
            kind: "bad-configuration",
            findings: errors().map(Finding::from).collect(),
            lines: errors().map(Diagnostic::to_string).collect(),
        });
    }
    let difference = Difference::of(old, &config);
    let (mut ways, mut wrong) = (BTreeMap::new(), Vec::new());
    for ami in config.amis.iter() {
        if difference.leaves("ami", &ami.name) {
            continue;
        }
        match tls_to(ami) {
            Ok(tls) => {
                ways.insert(ami.name.clone(), tls);
            }
            Err(errors) => wrong.extend(errors),
        }
    }
    let mut transports = BTreeMap::new();
    for transport in &config.transports {
        match tls_of(transport) {
            Ok(tls) => transports.extend(tls.map(|tls| (transport.name.clone(), tls))),
            Err(errors) => wrong.extend(errors),
        }
    }
    let http = tls_of_http(&config).unwrap_or_else(|errors| {
        wrong.extend(errors);
        None
    });
    if !wrong.is_empty() {
        return Err(Refused {
            kind: "bad-configuration",
            findings: wrong.iter().map(not_usable).collect(),
            lines: wrong.iter().map(CannotBegin::to_string).collect(),
        });
    }
    Ok(Read {
        config: Arc::new(config),
        diagnostics,
        ways,
        transports,
        http,
    })
}

fn not_taken(refused: NotReloaded) -> Refused {
    let NotReloaded::NeedsRestart(needs) = refused else {
        return Refused::because("stopping", refused.to_string());
    };
    let findings = needs
        .iter()
        .map(|need| finding("needs-restart", need.at.as_ref(), need.text.clone(), None));
    Refused {
        kind: "needs-restart",
        findings: findings.collect(),
        lines: needs.iter().map(ToString::to_string).collect(),
    }
}

/// A file that the configuration names is not there, or does not fit.
fn not_usable(wrong: &CannotBegin) -> Finding {
    let (message, help) = (wrong.problem.clone(), wrong.advice.clone());
    finding("not-usable", wrong.at.as_ref(), message, help)
}

fn finding(code: &str, at: Option<&Location>, message: String, help: Option<String>) -> Finding {
    Finding {
        severity: Severity::Error.as_str().to_owned(),
        code: code.to_owned(),
        file: at.map(|at| at.file.to_string()).unwrap_or_default(),
        line: at.map_or(0, |at| at.line),
        column: at.map_or(0, |at| at.column),
        message,
        help,
    }
}
