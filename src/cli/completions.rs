//! `bindscan completions`.

use std::io::{self, Write};

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

/// Print a script that completes bindscan's options in a shell
///
/// For example: bindscan completions bash > ~/.local/share/bash-completion/completions/bindscan
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

impl CompletionsArgs {
    pub(super) fn run(self) -> Result<()> {
        // Written at once: the generator panics where a pipe is closed.
        let mut script = Vec::new();
        generate(self.shell, &mut super::Args::command(), "bindscan", &mut script);
        Ok(io::stdout().write_all(&script)?)
    }
}
