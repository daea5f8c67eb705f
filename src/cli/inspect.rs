//! `bindscan inspect`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use bindscan::model::inspect::inspect;
use bindscan::model::name::printable;
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
        if model.network.is_err() {
            write!(std::io::stdout(), "{}", speeds(&model))?;
        }
        Ok(())
    }
}

/// Speed at which a model that is no DeepBind network is scanned here, with its padding and with real flanks: lines of the
/// page.
#[cfg(feature = "onnx")]
fn speeds(model: &Model) -> String {
    use bindscan::engine::Device;
    use bindscan::engine::onnx::OnnxEngine;
    use bindscan::engine::speed::windows_per_second;
    use bindscan::model::Strands;
    use bindscan::seq::window::{Context, StrandChoice, WindowPlan};

    use super::progress::bases_per_second;

    let mut engine = match OnnxEngine::new(model, Device::Cpu) {
        Ok(engine) => engine.scoring_together(),
        Err(reason) => return line("speed", &format!("not measured: {reason}")),
    };
    let strands = match model.spec.strands {
        Strands::Both => StrandChoice::Both,
        Strands::Single | Strands::Symmetric => StrandChoice::Forward,
    };
    let mut page = String::new();
    for (context, words) in [(Context::Padding, "--context padding"), (Context::Flank, "--context flank")] {
        let plan = WindowPlan { window: model.spec.window, stride: 1, strands, context };
        page += &match windows_per_second(&mut engine, &plan, f64::INFINITY) {
            Ok(rate) => {
                let (left, right) = engine.flanks_of(&plan);
                let beside = match context {
                    Context::Flank => format!(", which sees {left} + {right} bases beside a window"),
                    Context::Padding => String::new(),
                };
                let how = engine.sharing();
                let rate = bases_per_second(rate as u64, 1.0);
                line("speed", &format!("{rate}, {strands}, one thread, {how} ({words}{beside})"))
            }
            Err(reason) => line("speed", &format!("none with {words}: {reason}")),
        };
    }
    page
}

#[cfg(not(feature = "onnx"))]
fn speeds(_: &Model) -> String {
    line("speed", "none: this bindscan is built without ONNX Runtime (Cargo feature onnx)")
}

fn line(key: &str, value: &str) -> String {
    format!("{key:<16} {}\n", printable(value))
}
