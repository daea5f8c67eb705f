//! `bindscan eval`.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use bindscan::dataset::evaluation::{choose_outputs, measure_dataset, score_dataset};
use bindscan::dataset::metric::{Measured, Metric};
use bindscan::dataset::scaling::{PROVENANCE_KEY, Scaling};
use bindscan::dataset::{Dataset, Leaks, TargetKind};
use bindscan::engine;
use bindscan::engine::{Device, EngineKind, Workload};
use bindscan::io::output::Output;
use bindscan::model::{Alphabet, Model, OpenOptions, Strands};
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use clap::{Args, ValueEnum};

use super::data::{DataArgs, Ratios, Reading};
use super::heading;
use super::models::{MotifFileArgs, StrandArg};
use super::{CANCELLED, Session};

mod genome_wide;

/// Measure a model's accuracy on labelled sequences, or on whole contigs
///
/// Reports AUC and AUPRC, or Pearson and Spearman correlation for measured numbers, each with a 95 % bootstrap
/// interval. Numbers above the mean plus 4 standard deviations are the positives of AUC and AUPRC; R2 is given where
/// the model knows the scale that it was fitted on.
#[derive(Debug, Args)]
pub(super) struct EvalArgs {
    /// Model: an ONNX file, or the name of a bundled model; with --genome-wide, also a motif file
    model: PathBuf,
    /// Judge the model by whole contigs: rank all windows, and compare the best with the peaks
    ///
    /// The contigs are the --test-contigs, or all that have peaks. Compares with the summits of the peaks; prints average
    /// precision, precision at k (the number of summits) and recall at false discovery rates of 10, 25 and 50 %. Each summit
    /// counts once.
    #[arg(long, requires = "genome", conflicts_with_all = ["training", "negatives_per_positive"], help_heading = heading::GENOME)]
    genome_wide: bool,
    /// Judge this model too: a network or a motif file (repeatable; with --genome-wide)
    #[arg(long = "with", value_name = "MODEL", requires = "genome_wide", help_heading = heading::GENOME)]
    others: Vec<PathBuf>,
    /// Set how close a place must be to a summit (with --genome-wide)
    #[arg(long, value_name = "BASES", default_value = "50", help_heading = heading::GENOME)]
    near: u64,
    /// Write a web page with precision-recall curves (with --genome-wide)
    #[arg(long, value_name = "HTML", requires = "genome_wide", help_heading = heading::GENOME)]
    report: Option<PathBuf>,
    #[command(flatten)]
    motifs: MotifFileArgs,
    /// Score these heads (graph outputs), separated by commas; all takes every one
    ///
    /// A model with several heads needs this option. bindscan inspect lists them.
    #[arg(long, value_name = "HEADS", value_delimiter = ',', help_heading = heading::MODEL)]
    head: Vec<String>,
    #[command(flatten)]
    data: DataArgs,
    /// Report sequences that are also in this training data
    ///
    /// The file has the form of the data.
    #[arg(long, value_name = "FILE", help_heading = heading::INPUT)]
    training: Option<PathBuf>,
    /// Make this many negatives for each positive, if the data have none [default: 1]
    #[arg(long, value_name = "RATIO", help_heading = heading::INPUT)]
    negatives_per_positive: Option<f64>,
    /// Count numbers this many standard deviations above the mean as positive
    #[arg(long, value_name = "SIGMAS", default_value = "4", help_heading = heading::INPUT)]
    positives_above: f64,
    /// Score the best window of this length [default: each sequence as a whole]
    #[arg(long, value_name = "BASES", value_parser = super::parse_positive, help_heading = heading::MODEL)]
    window: Option<usize>,
    /// Choose the strands to score; with both, the better one counts [default: the model's]
    #[arg(long, value_name = "both|+|-", allow_hyphen_values = true, help_heading = heading::MODEL)]
    strand: Option<StrandArg>,
    /// Choose the engine; auto takes the fastest one that can run the model
    #[arg(long, default_value = "auto", value_name = "auto|kernel|dense|onnx|reference", help_heading = heading::MODEL)]
    engine: EngineKind,
    /// Choose the device that ONNX Runtime uses: cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu", help_heading = heading::MODEL)]
    device: Device,
    /// Set the seed of negatives and intervals
    #[arg(long, default_value = "1", help_heading = heading::RUN)]
    seed: u64,
    /// Write to this file; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-", help_heading = heading::OUTPUT)]
    output: PathBuf,
    /// Choose the format of the output
    #[arg(long, default_value = "text", help_heading = heading::OUTPUT)]
    format: FormatArg,
    /// Use this many threads [default: all cores]
    #[arg(short, long, value_parser = super::parse_threads, help_heading = heading::RUN)]
    threads: Option<usize>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArg {
    /// A table for people
    Text,
    /// A table for programs
    Tsv,
    /// One object, with the data's digest
    Json,
}

impl EvalArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        ensure!(
            self.positives_above.is_finite(),
            "--positives-above {}: a number is needed",
            self.positives_above
        );
        if self.genome_wide {
            return genome_wide::run(&self, session);
        }
        let heads = super::models::heads(&self.head);
        let model = Model::find_with(&self.model, &OpenOptions { heads, ..OpenOptions::default() })?;
        let strands = match (self.strand, model.spec.strands) {
            (Some(strand), _) => strand.into(),
            (None, Strands::Both) => StrandChoice::Both,
            (None, Strands::Single | Strands::Symmetric) => StrandChoice::Forward,
        };
        let (mut dataset, leaks) = self.read(&model, strands, session)?;
        let scaled = scale(&model, &mut dataset)?;
        let plan = WindowPlan {
            window: self.window.unwrap_or_else(|| dataset.lengths().1),
            stride: 1,
            strands,
            context: Context::Padding,
        };
        let threads = super::threads(self.threads);
        let mut engines = engine::open(&model, self.engine, self.device, threads, Workload::Sequences)?;
        let scores = score_dataset(&mut engines, &dataset, &plan, &CANCELLED)?;
        let scores = choose_outputs(&scores, &model.spec.outputs, &dataset.output_names)?;
        let mut measured = measure_dataset(&dataset, &scores, self.positives_above, self.seed);
        // Without the scale of the training, a score is no prediction in the data's units.
        measured.retain(|measured| measured.metric != Metric::R2 || scaled);

        let text = match self.format {
            FormatArg::Text => text_table(&measured),
            FormatArg::Tsv => tsv(&measured),
            FormatArg::Json => self.json(&model, &dataset, leaks, &measured),
        };
        let mut output = Output::create(&self.output)?;
        output.write(text.as_bytes())?;
        output.finish()?;
        Ok(())
    }

    /// The test set, and how many of its sequences are known to have been trained on.
    fn read(
        &self,
        model: &Model,
        strands: StrandChoice,
        session: Session,
    ) -> Result<(Dataset, Option<usize>)> {
        let stranded = model.spec.alphabet == Alphabet::Rna;
        let ratios = Ratios::for_test(self.negatives_per_positive);
        let reading = Reading { ratios, stranded, seed: self.seed };
        let loaded = self.data.open(reading, session)?;
        let trained_on = match &self.training {
            Some(path) => Some(self.data.open_other(path, reading, session)?),
            None if self.data.holds_out() => Some(loaded.training.clone()),
            None => None,
        };
        let dataset = loaded.test.unwrap_or(loaded.training);
        dataset.require(2, 1)?;
        let both = strands == StrandChoice::Both || model.spec.strands == Strands::Symmetric;
        let leaks = trained_on.map(|training| Leaks::find(&training, &dataset, both));
        if let Some(message) = leaks.as_ref().and_then(Leaks::message) {
            log::warn!("{message}");
        }
        Ok((dataset, leaks.map(|leaks| leaks.ranks.len())))
    }

    fn json(&self, model: &Model, dataset: &Dataset, leaks: Option<usize>, measured: &[Measured]) -> String {
        let object = serde_json::json!({
            "model": model.spec.name,
            "data": self.data.path(),
            "sha256": dataset.digest,
            "sequences": dataset.len(),
            "window": self.window,
            "seed": self.seed,
            "also_in_training": leaks,
            "metrics": measured,
        });
        format!("{object:#}\n")
    }
}

/// Puts measured numbers on the scale that the model was fitted on, if it knows it.
fn scale(model: &Model, dataset: &mut Dataset) -> Result<bool> {
    let Some(scaling) = model.spec.provenance.get(PROVENANCE_KEY) else { return Ok(false) };
    if dataset.kind == TargetKind::Binary {
        return Ok(false);
    }
    let scaling: Scaling = serde_json::from_value(scaling.clone()).map_err(|e| {
        bindscan::Error::model(&model.spec.name, format!("its {PROVENANCE_KEY} is unreadable: {e}"))
    })?;
    scaling.apply(dataset)?;
    Ok(true)
}

const HEADER: [&str; 6] = ["output", "metric", "value", "95% interval", "sequences", "positives"];

fn text_table(measured: &[Measured]) -> String {
    let number =
        |value: Option<f64>| value.map_or_else(|| "not defined".into(), |value| format!("{value:.4}"));
    let row = |m: &Measured| {
        [
            m.output.clone(),
            m.title(),
            number(m.value),
            m.interval.map_or_else(|| "-".into(), |i| format!("{:.4} to {:.4}", i.low, i.high)),
            m.count.to_string(),
            m.positives.map_or_else(|| "-".into(), |positives| positives.to_string()),
        ]
    };
    let rows: Vec<[String; 6]> =
        std::iter::once(HEADER.map(str::to_owned)).chain(measured.iter().map(row)).collect();
    aligned(&rows, 2)
}

/// A table in columns, of which the first `left` are words.
fn aligned<const COLUMNS: usize>(rows: &[[String; COLUMNS]], left: usize) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

fn tsv(measured: &[Measured]) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "nan".into(), |value| format!("{value:.6}"));
    let mut text =
        String::from("output\tmetric\tvalue\tlow\thigh\tsequences\tpositives\tnegatives_per_positive\n");
    for m in measured {
        let (low, high) = (m.interval.map(|i| i.low), m.interval.map(|i| i.high));
        let positives = m.positives.map_or_else(String::new, |positives| positives.to_string());
        let ratio = m.negatives_per_positive().map_or_else(String::new, |ratio| format!("{ratio:.6}"));
        let _ = writeln!(
            text,
            "{}\t{}\t{}\t{}\t{}\t{}\t{positives}\t{ratio}",
            m.output,
            m.metric,
            number(m.value),
            number(low),
            number(high),
            m.count
        );
    }
    text
}
