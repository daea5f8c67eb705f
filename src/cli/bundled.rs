//! `bindscan models`.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use bindscan::dataset::metric::Measured;
use bindscan::engine;
use bindscan::engine::planned::{PlanOptions, Planned};
use bindscan::engine::{Device, EngineKind, Workload};
use bindscan::model::usage::Level;
use bindscan::model::{Model, bundled};
use bindscan::scores::Scores;
use clap::Args;

use super::bench::random_chunk;

/// List the bundled models: species, data, window, thresholds, accuracy
#[derive(Debug, Args)]
pub(super) struct ModelsArgs {
    /// Measure how fast one core of this machine scans with each, which takes some seconds
    #[arg(long)]
    speed: bool,
}

const HEADER: &str = "model\tspecies\tdata\twindow\tlenient\tdefault\tstrict\theld_out";

/// Bases that speed is measured on.
const BASES: usize = 65_536;

/// Seconds that a model is measured.
const SECONDS: f64 = 0.3;

impl ModelsArgs {
    pub(super) fn run(&self) -> Result<()> {
        let mut table = format!("{HEADER}{}\n", if self.speed { "\tMbp_per_s" } else { "" });
        for name in bundled::names() {
            let planned = Planned::new(Model::find(Path::new(name))?, &PlanOptions::default())?;
            table += &row(planned.model());
            if self.speed {
                table += &format!("\t{:.2}", megabases_per_second(&planned)?);
            }
            table.push('\n');
        }
        std::io::stdout().lock().write_all(table.as_bytes())?;
        Ok(())
    }
}

/// The line of a model, without its end.
fn row(model: &Model) -> String {
    let spec = &model.spec;
    let about = |key: &str| {
        let noted = spec.provenance.get(key).and_then(|value| value.as_str());
        noted.map_or_else(|| "-".to_owned(), |text| text.replace(['\t', '\n'], " "))
    };
    let thresholds = Level::ALL.map(|level| {
        let own = spec.thresholds.iter().find(|threshold| threshold.level == level);
        own.map_or_else(|| "-".to_owned(), |threshold| threshold.score.to_string())
    });
    let measured = spec.provenance.get("held_out").cloned();
    let measured: Vec<Measured> =
        measured.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
    let accuracy = measured.first().and_then(|first| {
        let value = first.value?;
        Some(format!("{} {value:.4} ({} sequences)", first.metric, first.count))
    });
    let accuracy = accuracy.unwrap_or_else(|| "-".to_owned());
    let (name, window) = (&spec.name, spec.window);
    format!(
        "{name}\t{}\t{}\t{window}\t{}\t{accuracy}",
        about("species"),
        about("data"),
        thresholds.join("\t")
    )
}

/// Speed of a scan on one core: every window of random bases.
fn megabases_per_second(planned: &Planned) -> Result<f64> {
    let mut engines =
        engine::open(planned.model(), EngineKind::Auto, Device::Cpu, 1, Workload::Contigs(*planned.plan()))?;
    let chunk = random_chunk(BASES);
    let mut scores = Scores::default();
    let (began, mut bases) = (Instant::now(), 0);
    while bases == 0 || began.elapsed().as_secs_f64() < SECONDS {
        engines[0].score(&chunk, planned.plan(), &mut scores)?;
        bases += BASES;
    }
    Ok(bases as f64 / 1e6 / began.elapsed().as_secs_f64())
}
