//! `lampwire run`: a node in the foreground.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use lampwire_conf::Severity;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::configuration;
use crate::instance::{Instance, Running};
use crate::signals::{Asked, Signals};
use crate::supervisor::Supervisor;
use crate::telemetry::{self, LogArguments};

/// Files that may be open at once: 10,000 connections of peers, 1,024 handshakes, as many connections of our own and of HTTP, and what the
/// runtime needs.
const OPEN_FILES: u64 = 16_384;

/// Run a node in the foreground
///
/// SIGTERM or Ctrl-C ends it in order: its publications at the peers are kept for the next start, or removed where nothing is kept (state_dir). A
/// second one ends it at once. SIGHUP reads the configuration again, as `lampwire reload` does.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The configuration, in the grammar of pjsip.conf [default: ./lampwire.conf, then /etc/lampwire/lampwire.conf]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    log: LogArguments,
}

impl Arguments {
    /// Reads the configuration, binds everything, and runs until a signal.
    pub(crate) fn execute(&self) -> anyhow::Result<ExitCode> {
        telemetry::log_to_stderr(&self.log)?;
        let path = configuration::find(self.config.as_deref())?;
        let (config, diagnostics) = configuration::load(&path)?;
        for diagnostic in &diagnostics {
            match diagnostic.severity {
                // Refusals are told whatever the log's level is.
                Severity::Error => eprintln!("{diagnostic}"),
                Severity::Warning => tracing::warn!("{diagnostic}"),
                Severity::Note => tracing::info!("{diagnostic}"),
            }
        }
        if configuration::has_errors(&diagnostics) {
            return Ok(ExitCode::FAILURE);
        }
        allow_open_files();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("the runtime cannot begin")?;
        let code = runtime.block_on(async move {
            let signals = Signals::register().context("signals cannot be taken")?;
            let instance = match Instance::bind(Arc::new(config)) {
                Ok(instance) => instance.of_file(path.clone()),
                Err(wrong) => {
                    wrong.iter().for_each(|error| eprintln!("error: {error}"));
                    return Ok(ExitCode::FAILURE);
                }
            };
            instance.introduce();
            let running = instance.start()?;
            tracing::info!("running with {}", path.display());
            let supervisor = Arc::new(Supervisor::from_environment());
            supervisor.follow(running.node.clone());
            Ok(until_signal(running, signals, &supervisor).await)
        });
        // A name that is being resolved holds a thread for a while: nobody waits for it.
        runtime.shutdown_background();
        code
    }
}

/// Raises the limit of open files to what is needed, as far as the system allows: many give 1,024 unless they are asked, which the
/// connections of a dozen addresses use up.
fn allow_open_files() {
    let allowed = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(now, most)| {
        let wanted = OPEN_FILES.min(most).max(now);
        setrlimit(Resource::RLIMIT_NOFILE, wanted, most).map(|()| wanted)
    });
    match allowed {
        Ok(allowed) if allowed >= OPEN_FILES => (),
        Ok(allowed) => tracing::info!(
            "the system allows {allowed} open files, and {OPEN_FILES} may be needed for all connections: see ulimit -Hn or LimitNOFILE="
        ),
        Err(error) => tracing::warn!("the limit of open files cannot be raised: {error}"),
    }
}

/// Runs until a signal asks for the end, then until everything is drained, or a second signal.
async fn until_signal(
    mut running: Running,
    mut signals: Signals,
    supervisor: &Supervisor,
) -> ExitCode {
    let mut ending = false;
    loop {
        tokio::select! {
            whole = running.ended() => {
                if !whole {
                    tracing::error!("the node ended by a fault of its own");
                    return ExitCode::FAILURE;
                }
                tracing::info!("ended");
                return ExitCode::SUCCESS;
            }
            asked = signals.next() => match asked {
                Asked::End if ending => {
                    tracing::warn!("ended at once; peers are not told, and the newest changes may not be kept");
                    return ExitCode::FAILURE;
                }
                Asked::End => {
                    ending = true;
                    tracing::info!("ending in order; a second signal ends at once");
                    supervisor.stopping();
                    running.stop();
                }
                Asked::Reload => {
                    if let Some(reloader) = running.reloader.clone() {
                        // It says in the log how it went.
                        tokio::spawn(async move { reloader.reload().await.is_ok() });
                    }
                }
            },
        }
    }
}
