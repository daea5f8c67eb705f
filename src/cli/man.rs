//! `bindscan man`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use bindscan::io::output::Output;
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

/// Print the manual page, or write those of all subcommands
///
/// For example: bindscan man | man -l -
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Folder to write bindscan.1 and a page for each subcommand to [default: bindscan.1 to standard output]
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

impl ManArgs {
    pub(super) fn run(self) -> Result<()> {
        let mut program = super::Args::command();
        program.build();
        match self.output {
            None => Ok(io::stdout().write_all(&page(program)?)?),
            Some(folder) => write_all(&folder, "bindscan", program),
        }
    }
}

/// Writes the page of `command`, whose full name is `name`, and those of its subcommands.
fn write_all(folder: &Path, name: &str, command: Command) -> Result<()> {
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        write_all(folder, &format!("{name}-{}", subcommand.get_name()), subcommand.clone())?;
    }
    let mut output = Output::create(&folder.join(format!("{name}.1")))?;
    output.write(&page(command.display_name(name.to_owned()))?)?;
    Ok(output.finish()?)
}

fn page(command: Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    // The version alone: the rest of --version describes this machine.
    let command = command.version(env!("CARGO_PKG_VERSION")).long_version(None);
    Man::new(command).render(&mut text)?;
    Ok(text)
}
