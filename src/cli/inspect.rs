//! `bindscan inspect`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use bindscan::model::Model;
use bindscan::model::inspect::inspect;
use clap::Args;

/// Print a model's layers, window, receptive field and metadata, and how it would be scanned
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Model: an ONNX file, or the name of a bundled one
    model: PathBuf,
}

impl InspectArgs {
    pub(super) fn run(self) -> Result<()> {
        let model = Model::find(&self.model)?;
        write!(std::io::stdout(), "{}", inspect(&model))?;
        Ok(())
    }
}
