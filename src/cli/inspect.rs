//! `bindscan inspect`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use bindscan::model::inspect::inspect;
use bindscan::model::{Heads, Model, OpenOptions};
use clap::Args;

use super::heading;
use super::models::MotifFileArgs;

/// Describe a model: layers, window, receptive field, metadata, and how it is scanned
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Model: an ONNX file, a motif file, or the name of a bundled model
    model: PathBuf,
    /// Describe these heads (graph outputs), separated by commas; all takes every one [default: the first]
    #[arg(long, value_name = "HEADS", value_delimiter = ',', help_heading = heading::MODEL)]
    head: Vec<String>,
    #[command(flatten)]
    motifs: MotifFileArgs,
}

impl InspectArgs {
    pub(super) fn run(self) -> Result<()> {
        if let Some(models) = self.motifs.models_of_only(&self.model)? {
            let pages: Vec<String> = models.iter().map(|model| inspect(model).to_string()).collect();
            write!(std::io::stdout(), "{}", pages.join("\n"))?;
            return Ok(());
        }
        let heads = if self.head.is_empty() { Heads::First } else { super::models::heads(&self.head) };
        let model = Model::find_with(&self.model, &OpenOptions { heads, ..OpenOptions::default() })?;
        write!(std::io::stdout(), "{}", inspect(&model))?;
        Ok(())
    }
}
