//! `lampwire demo`: two nodes that anybody can watch.

use std::process::ExitCode;
use std::time::Duration;

use crate::demo::{self, Options};
use crate::telemetry::LogArguments;

/// Run two nodes on loopback with the example of the Asterisk documentation, and watch states cross
///
/// In a terminal it is a live board; else one line a change: time, node, device, state.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// UDP port of both nodes, on 127.0.1.1 and 127.0.1.2
    #[arg(long, value_name = "PORT", default_value_t = 5060, value_parser = clap::value_parser!(u16).range(1..))]
    sip_port: u16,

    /// HTTP port of the first node on 127.0.0.1; the second has the next one
    #[arg(long, value_name = "PORT", default_value_t = 7060, value_parser = clap::value_parser!(u16).range(1..65535))]
    http_port: u16,

    /// End after so many seconds
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u64>,

    /// Another number, another day in two offices
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    #[command(flatten)]
    log: LogArguments,
}

impl Arguments {
    /// Runs it until Ctrl-C or the end of its duration.
    pub(crate) fn execute(&self) -> anyhow::Result<ExitCode> {
        demo::run(
            &Options {
                sip_port: self.sip_port,
                http_port: self.http_port,
                duration: self.duration.map(Duration::from_secs),
                seed: self.seed,
            },
            &self.log,
        )
    }
}
