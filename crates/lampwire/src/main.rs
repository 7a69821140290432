//! `lampwire`: Asterisk's exchange of device and mailbox states as a program of its own.
//!
//! Everything that touches the world stands in this crate: arguments, files, sockets, the clock, HTTP, logs, the
//! terminal. What a node decides, it decides in `lampwire-core`, which knows none of these.

mod cli;
mod cluster;
mod configuration;
mod current;
mod demo;
mod driver;
mod http;
mod identity;
mod instance;
mod plan;
mod reload;
mod signals;
mod store;
mod supervisor;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

/// Reads the arguments (bad usage: exit status 2), does what they ask for, and tells how it went: 0 done, 1 failed.
fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match cli::execute(arguments) {
        Ok(code) => code,
        // `lampwire show devices | head` closes the pipe early: that is the reader's right.
        Err(error) if cli::output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", cli::output::plain_lines(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
