//! `bindscan simulate`.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::Session;

mod genome;
mod motifs;

/// Simulate sequences with binding sites at known positions
#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Genome(genome::GenomeArgs),
    Motifs(motifs::MotifsArgs),
}

impl SimulateArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        match self.what {
            What::Genome(args) => args.run(session),
            What::Motifs(args) => args.run(session),
        }
    }
}
