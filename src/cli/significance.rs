//! Options of p-values, and the null distributions that they ask for.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use bindscan::calibrate::Calibration;
use bindscan::calibrate::background::{Background, HIGHEST_ORDER};
use bindscan::calibrate::null::Null;
use bindscan::calibrate::sample::Amount;
use bindscan::engine::Workload;
use bindscan::genome::Strand;
use bindscan::source::genome::{self, GenomeOptions};
use clap::Args;
use rayon::prelude::*;

use super::models::Planned;
use super::progress::{Progress, grouped};
use super::{CANCELLED, Session};

const HEADING: &str = "Options for p-values";

/// Order of the background unless another is given.
const ORDER: usize = 2;

/// Windows of background that are scored unless it is said otherwise.
const LENGTH: u64 = 50_000_000;

const SEED: u64 = 1;

#[derive(Debug, Args)]
pub(super) struct NullArgs {
    /// Where p-values take their background from: genome (the one that is scanned), uniform, or a FASTA file
    #[arg(long, value_name = "genome|uniform|FASTA", help_heading = HEADING)]
    background: Option<String>,
    /// Order of the background, 0 to 5: words of one base more are as frequent as where it comes from [default: 2]
    #[arg(long, value_name = "ORDER", value_parser = parse_order, help_heading = HEADING)]
    background_order: Option<usize>,
    /// Shuffle real sequence, keeping the words of each 16 kb, instead of drawing from a Markov model
    #[arg(long, help_heading = HEADING)]
    shuffle: bool,
    /// Sample matrices too, instead of computing their exact p-values
    #[arg(long, help_heading = HEADING)]
    sampled: bool,
    /// Windows of background to score [default: 50M]
    #[arg(long, value_name = "WINDOWS", value_parser = super::parse_positive, help_heading = HEADING)]
    background_length: Option<usize>,
    /// Seed of the background: the same one gives the same p-values [default: 1]
    #[arg(long, value_name = "SEED", help_heading = HEADING)]
    background_seed: Option<u64>,
}

fn parse_order(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(order @ 0..=HIGHEST_ORDER) => Ok(order),
        _ => Err(format!("give 0 to {HIGHEST_ORDER}")),
    }
}

/// Whether `path` is standard input, or a pipe, as of a process substitution.
fn is_read_once(path: &Path) -> bool {
    path == Path::new("-") || path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// Reads a p-value or a false discovery rate.
pub(super) fn parse_probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(p) if p > 0.0 && p <= 1.0 => Ok(p),
        _ => Err("give a number above 0, and 1 at the most".into()),
    }
}

/// What null distributions are made of and with.
pub(super) struct Setting<'a> {
    /// The genome that is scanned, if there is one.
    pub(super) genome: Option<&'a Path>,
    pub(super) mask_lowercase: bool,
    pub(super) threads: usize,
    pub(super) session: Session,
}

/// A model's null distributions, one an output, and where they come from.
pub(super) struct Calibrated {
    pub(super) calibration: Calibration,
    pub(super) nulls: Vec<Arc<Null>>,
}

impl NullArgs {
    /// Whether any was given, so that stored calibrations are not what is wanted.
    pub(super) fn any(&self) -> bool {
        let NullArgs { background, background_order, shuffle, sampled, background_length, background_seed } =
            self;
        background.is_some()
            || background_order.is_some()
            || *shuffle
            || *sampled
            || background_length.is_some()
            || background_seed.is_some()
    }

    /// The null distributions of each model: its own calibration where it has one that fits and nothing else is asked for, or
    /// else one made now.
    pub(super) fn of_models(&self, models: &[Planned], setting: &Setting<'_>) -> Result<Vec<Calibrated>> {
        let mut background = None;
        let mut calibrations = Vec::new();
        for planned in models {
            let name = &planned.model.spec.name;
            let stored = match &planned.model.spec.null {
                Some(_) if self.any() => None,
                Some(stored) => match stored.fits(&planned.plan) {
                    Ok(()) => Some(stored.clone()),
                    Err(reason) => {
                        log::info!("{name}: its calibration does not serve: {reason}");
                        None
                    }
                },
                None => None,
            };
            let calibration = match stored {
                Some(stored) => {
                    log::info!("{name}: p-values by its own calibration: {stored}");
                    stored
                }
                None => {
                    if background.is_none() {
                        background = Some(self.background(setting)?);
                    }
                    let (background, source) = background.as_ref().expect("it has just been set");
                    let made = self.calibrate(planned, background, source, setting)?;
                    log::info!("{name}: p-values made for this run: {made}");
                    made
                }
            };
            calibrations.push(calibration);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(setting.threads).build()?;
        let pairs: Vec<_> = calibrations.into_iter().zip(models).collect();
        let _progress = Progress::start(setting.session, "computing p-values");
        pool.install(|| {
            let nulls = pairs.into_par_iter().map(|(calibration, planned)| {
                let nulls = calibration.nulls(&planned.model)?.into_iter().map(Arc::new).collect();
                Ok(Calibrated { calibration, nulls })
            });
            nulls.collect()
        })
    }

    /// Makes the calibration of one model.
    pub(super) fn calibrate(
        &self,
        planned: &Planned,
        background: &Background,
        source: &str,
        setting: &Setting<'_>,
    ) -> Result<Calibration> {
        if !self.sampled
            && !self.shuffle
            && let Some(exact) = Calibration::exact(&planned.model, &planned.plan, background, source)
        {
            return Ok(exact);
        }
        let amount = Amount {
            windows: self.background_length.map_or(LENGTH, |length| length as u64),
            seed: self.background_seed.unwrap_or(SEED),
        };
        let engines = planned.engines(setting.threads, Workload::Contigs)?;
        let name = &planned.model.spec.name;
        let mut progress = Progress::start(setting.session, &format!("{name}: scoring background"));
        let show = |done: u64, total: u64| {
            progress.show(done, Some(total), || format!("{name}: {} windows of background", grouped(done)));
        };
        let made = Calibration::sampled(engines, &planned.plan, background, source, amount, show, &CANCELLED);
        progress.clear();
        Ok(made?)
    }

    /// The background, and what to call it.
    pub(super) fn background(&self, setting: &Setting<'_>) -> Result<(Background, String)> {
        let order = self.background_order.unwrap_or(ORDER);
        let path = match (self.background.as_deref(), setting.genome) {
            (Some("uniform"), _) => {
                ensure!(!self.shuffle, "--shuffle needs real sequence; --background uniform has none");
                ensure!(
                    self.background_order.is_none_or(|order| order == 0),
                    "--background uniform is of order 0"
                );
                return Ok((Background::uniform(), "uniform".into()));
            }
            (None | Some("genome"), Some(genome)) => genome,
            (None | Some("genome"), None) => {
                bail!("say where the background comes from: --background FASTA, or uniform")
            }
            (Some(file), _) => Path::new(file),
        };
        ensure!(
            !(is_read_once(path) && Some(path) == setting.genome),
            "{}: standard input and pipes are read once only, and p-values need a background first: give --background FASTA or uniform, use a model that bindscan calibrate has seen, or write the genome to a file",
            path.display()
        );
        let options = GenomeOptions { mask_lowercase: setting.mask_lowercase, regions: Vec::new() };
        let _progress = Progress::start(setting.session, "reading the background");
        let mut source = genome::open(path, &options)?.into_chunks(Background::chunk_shape());
        let seed = self.background_seed.unwrap_or(SEED);
        let fitted = Background::fitted(&mut source, order, self.shuffle, seed);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match fitted {
            Ok(background) => Ok((background, name)),
            Err(error @ bindscan::Error::Request(_)) => bail!("{}: {error}", path.display()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The thresholds of a target at a p-value, on the forward and the reverse strand; scores that no window reaches where there
/// is none so low. Says what is to be said about it.
pub(super) fn thresholds(name: &str, null: &Null, p: f64) -> [f32; 2] {
    if null.is_constant() {
        log::warn!("{name} gives all background the same score: it has no p-values, and no sites");
        return [f32::MAX; 2];
    }
    let thresholds = STRANDS.map(|strand| null.threshold(p, strand));
    if thresholds == [None; 2] {
        log::warn!("no score of {name} has a p-value of {p:e} or less; the lowest is {:.1e}", null.lowest());
    }
    thresholds.map(|threshold| threshold.unwrap_or(f32::MAX))
}

const STRANDS: [Strand; 2] = [Strand::Forward, Strand::Reverse];

/// Warns if p-values as low as `p` are extrapolated.
pub(super) fn warn_if_extrapolated(name: &str, null: &Null, p: f64) {
    if p < null.supported()
        && STRANDS.iter().any(|&strand| null.threshold(p, strand).is_some())
        && !null.is_constant()
    {
        log::warn!(
            "p-values of {name} below {:.1e} are extrapolated from a fitted tail, the threshold too; a longer background (--background-length) supports lower ones",
            null.supported()
        );
    }
}
