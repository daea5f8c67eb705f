//! Options of p-values, and the null distributions that they ask for.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use bindscan::calibrate::background::Background;
use bindscan::calibrate::sample::Amount;
use bindscan::engine::Workload;
use bindscan::genome;
use bindscan::genome::GenomeOptions;
use bindscan::genome::sequence_source::SequenceSource;
use bindscan::null::calibration::Calibration;
use bindscan::null::distribution::Null;
use bindscan::null::markov::HIGHEST_ORDER;
use bindscan::seq::contig::Strand;
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

/// A background, and where it comes from.
pub(super) struct Ground {
    pub(super) background: Background,
    /// What to call it.
    pub(super) source: String,
    /// The digest of the contigs that it was fitted to.
    pub(super) genome: Option<String>,
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

    /// The file that the background is taken from, if one was given.
    pub(super) fn background_file(&self) -> Option<&Path> {
        let given = self.background.as_deref().filter(|given| !["genome", "uniform", "-"].contains(given));
        given.map(Path::new)
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
                    let ground = background.as_ref().expect("it has just been set");
                    let made = self.calibrate(planned, ground, setting)?;
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

    /// Warns of models whose own calibration is used and was made with another genome than the one that is scanned, whose
    /// contigs have this digest.
    pub(super) fn warn_of_other_genome(&self, models: &[Planned], scanned: &str) {
        let of_other = |planned: &&Planned| {
            let stored = planned.model.spec.null.as_ref().filter(|stored| stored.fits(&planned.plan).is_ok());
            stored.and_then(|stored| stored.genome.as_deref()).is_some_and(|genome| genome != scanned)
        };
        let others: Vec<&Planned> = models.iter().filter(of_other).collect();
        if self.any() || others.is_empty() {
            return;
        }
        let names = others.iter().map(|planned| {
            let source = planned.model.spec.null.as_ref().map_or("", |stored| &stored.source);
            format!("{} ({source})", planned.model.spec.name)
        });
        log::warn!(
            "models were calibrated on other contigs than those that are scanned; --background genome gives p-values of these: {}",
            listed(names)
        );
    }

    /// Makes the calibration of one model.
    pub(super) fn calibrate(
        &self,
        planned: &Planned,
        ground: &Ground,
        setting: &Setting<'_>,
    ) -> Result<Calibration> {
        let made = self.calibrate_on(planned, &ground.background, &ground.source, setting)?;
        Ok(Calibration { genome: ground.genome.clone(), ..made })
    }

    fn calibrate_on(
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

    /// The background, and where it comes from.
    pub(super) fn background(&self, setting: &Setting<'_>) -> Result<Ground> {
        let order = self.background_order.unwrap_or(ORDER);
        let path = match (self.background.as_deref(), setting.genome) {
            (Some("uniform"), _) => {
                ensure!(!self.shuffle, "--shuffle needs real sequence; --background uniform has none");
                ensure!(
                    self.background_order.is_none_or(|order| order == 0),
                    "--background uniform is of order 0"
                );
                return Ok(Ground {
                    background: Background::uniform(),
                    source: "uniform".into(),
                    genome: None,
                });
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
            Ok(background) => {
                let genome = Some(genome::digest_of_contigs(source.contigs()));
                Ok(Ground { background, source: name, genome })
            }
            Err(error @ bindscan::Error::Request(_)) => bail!("{}: {error}", path.display()),
            Err(error) => Err(error.into()),
        }
    }
}

const STRANDS: [Strand; 2] = [Strand::Forward, Strand::Reverse];

/// Targets whose p-values have something odd about them: each kind of it is told in one line, however many they are.
#[derive(Debug, Default)]
pub(super) struct Oddities {
    constant: Vec<String>,
    /// Those without so low a p-value, with the lowest that each has.
    out_of_reach: Vec<(String, f64)>,
    /// Those with extrapolated p-values, with the lowest of each that is counted.
    extrapolated: Vec<(String, f64)>,
}

/// How many names a warning lists.
const LISTED: usize = 3;

impl Oddities {
    /// The thresholds of a target at a p-value, on the forward and the reverse strand; scores that no window reaches where
    /// there is none so low.
    pub(super) fn thresholds(&mut self, name: &str, null: &Null, p: f64) -> [f32; 2] {
        if null.is_constant() {
            self.constant.push(name.to_owned());
            return [f32::MAX; 2];
        }
        let thresholds = STRANDS.map(|strand| null.threshold(p, strand));
        if thresholds == [None; 2] {
            self.out_of_reach.push((name.to_owned(), null.lowest()));
        }
        thresholds.map(|threshold| threshold.unwrap_or(f32::MAX))
    }

    /// Takes a target into account whose p-values down to `p` are used.
    pub(super) fn note_extrapolation(&mut self, name: &str, null: &Null, p: f64) {
        let any = STRANDS.iter().any(|&strand| null.threshold(p, strand).is_some());
        if p < null.supported() && any && !null.is_constant() {
            self.extrapolated.push((name.to_owned(), null.supported()));
        }
    }

    /// Warns of what there is. `p` is the p-value that was asked for, if one was.
    pub(super) fn warn(&self, p: f64) {
        self.messages(p).iter().for_each(|message| log::warn!("{message}"));
    }

    fn messages(&self, p: f64) -> Vec<String> {
        let mut messages = Vec::new();
        match &self.constant[..] {
            [] => {}
            [name] => messages.push(format!(
                "{name} gives all background the same score: it has no p-values, and no sites"
            )),
            names => messages.push(format!(
                "{} models give all background the same score: they have no p-values, and no sites: {}",
                names.len(),
                listed(names.iter().cloned())
            )),
        }
        match &self.out_of_reach[..] {
            [] => {}
            [(name, lowest)] => messages.push(format!(
                "no score of {name} has a p-value of {p:e} or less; the lowest is {lowest:.1e}"
            )),
            several => messages.push(format!(
                "{} models have no score with a p-value of {p:e} or less, and no sites (in brackets the lowest): {}",
                several.len(),
                listed(several.iter().map(|(name, lowest)| format!("{name} ({lowest:.1e})")))
            )),
        }
        let advice = "are extrapolated from a fitted tail, the threshold too; a longer background (--background-length) supports lower ones";
        match &self.extrapolated[..] {
            [] => {}
            [(name, supported)] => {
                messages.push(format!("p-values of {name} below {supported:.1e} {advice}"));
            }
            several => {
                let supported = several.iter().map(|(_, supported)| *supported).fold(0.0, f64::max);
                messages.push(format!(
                    "p-values of {} models below {supported:.1e} {advice}: {}",
                    several.len(),
                    listed(several.iter().map(|(name, _)| name.clone()))
                ));
            }
        }
        messages
    }
}

/// The first few of some words, and how many more there are.
fn listed(words: impl ExactSizeIterator<Item = String>) -> String {
    let more = words.len().saturating_sub(LISTED);
    let shown = words.take(LISTED).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_models_are_told_of_in_one_line() {
        let mut oddities = Oddities::default();
        assert!(oddities.messages(1e-9).is_empty());
        oddities.out_of_reach.push(("A".into(), 2e-5));
        oddities.constant.push("B".into());
        oddities.extrapolated.push(("C".into(), 3e-6));
        let one = oddities.messages(1e-9);
        assert_eq!(one.len(), 3);
        assert!(
            one[1].contains("no score of A has a p-value of 1e-9 or less; the lowest is 2.0e-5"),
            "{one:?}"
        );
        for i in 0..70 {
            oddities.out_of_reach.push((format!("M{i}"), 1e-4));
            oddities.constant.push(format!("N{i}"));
            oddities.extrapolated.push((format!("O{i}"), 1e-5));
        }
        let many = oddities.messages(1e-9);
        assert_eq!(many.len(), 3);
        for (message, part) in
            many.iter().zip(["B, N0, N1 and 68 more", "A (2.0e-5), M0 (1.0e-4)", "below 1.0e-5"])
        {
            assert!(message.contains("71 models") && message.contains(part), "{message}");
        }
    }
}
