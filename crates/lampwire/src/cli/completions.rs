//! `lampwire completions` and `lampwire man`: made from the definition of the command line itself.

use std::io::Write;

use clap::CommandFactory;

use super::output;

/// Print a completion script
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The shell it is for
    shell: clap_complete::Shell,
}

impl Arguments {
    /// Prints the script.
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut super::Arguments::command(),
            "lampwire",
            &mut script,
        );
        print(&script)
    }
}

/// Print the manual page, in troff
#[derive(Debug, clap::Args)]
pub(crate) struct ManArguments {}

impl ManArguments {
    /// Prints the page of the program, then those of its commands.
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        let mut command = super::Arguments::command();
        command.build();
        let mut page = Vec::new();
        clap_mangen::Man::new(command.clone()).render(&mut page)?;
        describe(&command, "LAMPWIRE", &mut page)?;
        print(&page)
    }
}

/// The sections of a command's commands, and of theirs.
fn describe(command: &clap::Command, name: &str, page: &mut Vec<u8>) -> anyhow::Result<()> {
    for command in command.get_subcommands() {
        if command.get_name() == "help" {
            continue;
        }
        let name = format!("{name} {}", command.get_name().to_uppercase());
        let man = clap_mangen::Man::new(command.clone());
        writeln!(page, ".SH {name}")?;
        man.render_description_section(page)?;
        man.render_synopsis_section(page)?;
        man.render_options_section(page)?;
        describe(command, &name, page)?;
    }
    Ok(())
}

fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = output::stdout();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}
