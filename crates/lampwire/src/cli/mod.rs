//! The command line: one file a command.

mod bench;
mod check;
mod client;
mod completions;
mod demo;
mod explain;
mod health;
mod node;
pub(crate) mod output;
mod plan;
mod refresh;
mod reload;
mod run;
mod set;
mod show;
mod state;
mod status;
mod table;
pub(crate) use table::colour_of;
mod unset;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Asterisk's exchange of device and mailbox states, as a program of its own
#[derive(Debug, Parser)]
#[command(
    name = "lampwire",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Demo(demo::Arguments),
    Check(check::Arguments),
    Status(status::Arguments),
    Health(health::Arguments),
    Plan(plan::Arguments),
    Show(show::Arguments),
    Explain(explain::Arguments),
    Watch(watch::Arguments),
    Set(set::Arguments),
    Unset(unset::Arguments),
    Refresh(refresh::Arguments),
    Reload(reload::Arguments),
    State(state::Arguments),
    Bench(bench::Arguments),
    Completions(completions::Arguments),
    Man(completions::ManArguments),
}

/// Does what the arguments ask for. The exit status is 0 or 1; an error is told by the caller.
pub(crate) fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let done = |result: anyhow::Result<()>| result.map(|()| ExitCode::SUCCESS);
    match arguments.command {
        Command::Run(run) => run.execute(),
        Command::Demo(demo) => demo.execute(),
        Command::Check(check) => check.execute(),
        Command::Status(status) => done(status.execute()),
        Command::Health(health) => done(health.execute()),
        Command::Plan(plan) => plan.execute(),
        Command::Show(show) => done(show.execute()),
        Command::Explain(explain) => done(explain.execute()),
        Command::Watch(watch) => done(watch.execute()),
        Command::Set(set) => done(set.execute()),
        Command::Unset(unset) => done(unset.execute()),
        Command::Refresh(refresh) => done(refresh.execute()),
        Command::Reload(reload) => reload.execute(),
        Command::State(state) => done(state.execute()),
        Command::Bench(bench) => done(bench.execute()),
        Command::Completions(completions) => done(completions.execute()),
        Command::Man(man) => done(man.execute()),
    }
}
