//! `bindscan inspect`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use bindscan::engine::speed::windows_per_second;
use bindscan::engine::{self, Device, EngineKind, Workload};
use bindscan::model::inspect::inspect;
use bindscan::model::name::printable;
use bindscan::model::{Heads, Model, OpenOptions, Strands};
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use clap::Args;

use super::heading;
use super::models::MotifFileArgs;
use super::progress::bases_per_second;

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
fn speeds(model: &Model) -> String {
    let strands = match model.spec.strands {
        Strands::Both => StrandChoice::Both,
        Strands::Single | Strands::Symmetric => StrandChoice::Forward,
    };
    let mut page = String::new();
    for (context, words) in [(Context::Padding, "--context padding"), (Context::Flank, "--context flank")] {
        let plan = WindowPlan { window: model.spec.window, stride: 1, strands, context };
        page += &match speed(model, &plan, words) {
            Ok(speed) => line("speed", &speed),
            Err(reason) => line("speed", &format!("none with {words}: {reason}")),
        };
    }
    page
}

fn speed(model: &Model, plan: &WindowPlan, words: &str) -> bindscan::Result<String> {
    let mut engines = engine::open(model, EngineKind::Auto, Device::Cpu, 1, Workload::Contigs(*plan))?;
    let engine = &mut *engines[0];
    let rate = bases_per_second(windows_per_second(engine, plan, f64::INFINITY)? as u64, 1.0);
    let (strands, name, how) = (plan.strands, engine.description(), engine.sharing());
    Ok(format!("{rate}, {strands}, one thread, engine {name}, {how} ({words})"))
}

fn line(key: &str, value: &str) -> String {
    format!("{key:<16} {}\n", printable(value))
}
