//! `bindscan man`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use bindscan::Error;
use bindscan::io::output::Output;
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::heading;
use super::help::{Example, examples};

/// Print the manual page, or write the pages of all subcommands
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Write a page for each subcommand to this folder [default: bindscan.1 to standard output]
    ///
    /// The folder is made if it does not exist.
    #[arg(short, long, value_name = "FOLDER", help_heading = heading::OUTPUT)]
    output: Option<PathBuf>,
}

impl ManArgs {
    pub(super) fn run(self) -> Result<()> {
        let mut program = super::Args::command();
        program.build();
        match self.output {
            None => Ok(io::stdout().write_all(&page(program, "")?)?),
            Some(folder) => {
                fs::create_dir_all(&folder).map_err(Error::io(&folder, "cannot create"))?;
                write_all(&folder, "", program)
            }
        }
    }
}

/// Writes the page of `command`, a subcommand such as `import motifs`, and those of its own subcommands.
fn write_all(folder: &Path, path: &str, command: Command) -> Result<()> {
    let has_page = |subcommand: &&Command| !subcommand.is_hide_set() && subcommand.get_name() != "help";
    for subcommand in command.get_subcommands().filter(has_page) {
        let path = format!("{path} {}", subcommand.get_name());
        write_all(folder, path.trim_start(), subcommand.clone())?;
    }
    let name = format!("bindscan {path}").trim_end().replace(' ', "-");
    let mut output = Output::create(&folder.join(format!("{name}.1")))?;
    output.write(&page(command.display_name(name), path)?)?;
    Ok(output.finish()?)
}

fn page(command: Command, path: &str) -> Result<Vec<u8>> {
    let has_subcommands = command.has_subcommands();
    // The version alone: the rest of --version describes this machine.
    let man = Man::new(command.version(env!("CARGO_PKG_VERSION")).long_version(None));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if has_subcommands {
        man.render_subcommands_section(&mut text)?;
    }
    write_examples(examples(path), &mut text)?;
    man.render_version_section(&mut text)?;
    Ok(text)
}

fn write_examples(examples: &[Example], text: &mut Vec<u8>) -> io::Result<()> {
    if examples.is_empty() {
        return Ok(());
    }
    writeln!(text, ".SH EXAMPLES")?;
    for Example { purpose, lines } in examples {
        writeln!(text, ".PP\n{}:\n.PP\n.RS 4\n.nf", escaped(purpose))?;
        for line in *lines {
            writeln!(text, "{}", escaped(line))?;
        }
        writeln!(text, ".fi\n.RE")?;
    }
    Ok(())
}

/// Text as roff shows it unchanged.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('~', "\\(ti").replace('\'', "\\(aq")
}
