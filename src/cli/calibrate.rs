//! `bindscan calibrate`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use bindscan::calibrate::nulls::Setting;
use bindscan::io::output;
use bindscan::model::Model;
use bindscan::model::usage::Threshold;
use bindscan::null::calibration::Calibration;
use bindscan::null::distribution::{Null, Origin};
use bindscan::seq::contig::Strand;
use clap::Args;

use super::heading;
use super::models::{MotifFileArgs, PlanArgs};
use super::significance::{NullArgs, NullProgress};
use super::{CANCELLED, Session, message};

/// p-values of the table that is printed.
const SHOWN: [f64; 6] = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7];

/// Store a model's null distribution in it, so that scans have p-values at once, and recommended thresholds
///
/// Scores background sequence and keeps the distribution in the model's file. Scans with the same window, strands and
/// context use it; others sample again. Prints a table with the lowest score of each p-value. The p-values of motifs
/// are computed, not sampled: a motif file gives the table and is not written to.
#[derive(Debug, Args)]
pub(super) struct CalibrateArgs {
    /// Model: an ONNX file, a motif file, or the name of a bundled model
    model: PathBuf,
    #[command(flatten)]
    motifs: MotifFileArgs,
    /// Write the model to this file [default: the same file]
    #[arg(short, long, value_name = "FILE", help_heading = heading::OUTPUT)]
    output: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    null: NullArgs,
    /// Read soft-masked (lower-case) bases of the background as N
    #[arg(long, help_heading = heading::PVALUES)]
    mask_lowercase: bool,
    /// Use this many threads [default: all cores]
    #[arg(short, long, value_parser = super::parse_threads, help_heading = heading::RUN)]
    threads: Option<usize>,
}

impl CalibrateArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        if let Some(models) = self.motifs.models_of_only(&self.model)? {
            return self.print_motifs(models, session);
        }
        let output = match &self.output {
            Some(output) => output.clone(),
            None if self.model.exists() => self.model.clone(),
            None => bail!("{}: is built in; say where to write it (-o FILE)", self.model.display()),
        };
        ensure!(
            self.output.is_some() || !self.plan.chooses_targets(),
            "--target leaves outputs out of the model that is written: say where to write it (-o FILE)"
        );
        // Better now than after the sampling.
        drop(output::reserve(&output)?);
        let planned = self.plan.open(&self.model, 1)?;
        let threads = super::threads(self.threads);
        let setting = self.setting(threads);
        let (null, mut watch) = (self.null.options(), NullProgress::new(session));
        let ground = null.fitted_background(&setting, &mut watch)?;
        let calibration = null.calibrate(&planned, &ground, &setting, &mut watch)?;
        let nulls = calibration.nulls(planned.model())?;
        let name = planned.model().spec.name.clone();
        ensure!(
            !nulls.iter().all(Null::is_constant),
            "model {name}: gives all background the same score, so that it has no p-values"
        );
        let table = table(&planned.names(), &nulls.iter().collect::<Vec<_>>());
        let words = calibration.to_string();
        let thresholds = match &nulls[..] {
            [null] => Threshold::recommend(null, &calibration.source),
            _ => Vec::new(),
        };
        let shared: Vec<Arc<Null>> = nulls.into_iter().map(Arc::new).collect();
        let alone = std::slice::from_ref(&planned);
        let peaks = null.peak_rates(alone, &[&shared], &ground, &setting, &mut watch)?.pop();
        let mut model = planned.into_model();
        model.spec.thresholds = thresholds;
        model.spec.null = Some(Calibration { peaks, ..calibration });
        model.save(&output)?;
        // A model on standard output leaves no room for the table.
        if output == Path::new("-") {
            if !session.quiet {
                // A line that cannot be written is lost, as any message.
                let _ = std::io::stderr().lock().write_all(table.as_bytes());
            }
        } else {
            write!(std::io::stdout(), "{table}")?;
        }
        if !session.quiet {
            message(format_args!("{name} calibrated ({words}), written to {}", output.display()));
        }
        Ok(())
    }
}

impl CalibrateArgs {
    fn setting(&self, threads: usize) -> Setting<'_> {
        Setting { genome: None, mask_lowercase: self.mask_lowercase, threads, cancel: &CANCELLED }
    }

    /// Prints the table of the motifs of a motif file.
    fn print_motifs(&self, models: Vec<Model>, session: Session) -> Result<()> {
        let file = self.model.display();
        ensure!(
            self.output.is_none(),
            "-o: {file} is a motif file; write its motifs as models first (bindscan import motifs)"
        );
        let planned: Vec<_> =
            models.into_iter().map(|model| self.plan.plan(model, 1)).collect::<Result<_>>()?;
        let threads = super::threads(self.threads);
        let mut watch = NullProgress::new(session);
        let calibrated = self.null.options().for_models(&planned, &self.setting(threads), &mut watch)?;
        let names: Vec<String> = planned.iter().map(|planned| planned.model().spec.name.clone()).collect();
        let nulls: Vec<&Null> = calibrated.iter().flat_map(|one| &one.nulls).map(AsRef::as_ref).collect();
        write!(std::io::stdout(), "{}", table(&names, &nulls))?;
        Ok(())
    }
}

/// Scores by p-value, tab-separated: a line a p-value and output, and strand where strands differ.
fn table(names: &[String], nulls: &[&Null]) -> String {
    let mut table = "model\tp_value\tscore\tp_source\tstrand\n".to_owned();
    for (name, null) in names.iter().zip(nulls) {
        let strands: &[(Strand, char)] = match null.differs_by_strand() {
            true => &[(Strand::Forward, '+'), (Strand::Reverse, '-')],
            false => &[(Strand::Forward, '.')],
        };
        for (p, &(strand, symbol)) in SHOWN.into_iter().flat_map(|p| strands.iter().map(move |of| (p, of))) {
            let Some(score) = null.threshold(p, strand) else { continue };
            let origin = match null.origin(null.step(score, strand)) {
                Origin::Sampled if p < null.supported() => Origin::Extrapolated,
                origin => origin,
            };
            table += &format!("{name}\t{p:e}\t{score}\t{origin}\t{symbol}\n");
        }
    }
    table
}
