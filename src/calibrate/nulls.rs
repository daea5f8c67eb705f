//! Null distributions for the models of a run: a model's stored calibration where it fits, or else one made now.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rayon::prelude::*;

use crate::calibrate::background::Background;
use crate::calibrate::exact::Buffers;
use crate::calibrate::peaks::{self, Tested};
use crate::calibrate::sample::Amount;
use crate::engine::Workload;
use crate::engine::planned::{Planned, scanners};
use crate::error::listed;
use crate::genome::sequence_source::SequenceSource;
use crate::genome::{self, GenomeOptions};
use crate::null::calibration::Calibration;
use crate::null::distribution::Null;
use crate::null::markov::{HIGHEST_ORDER, Markov};
use crate::null::peaks::PeakRate;
use crate::seq::contig::Strand;
use crate::{Error, Result};

/// Order of the background unless another is given.
const ORDER: usize = 2;

/// Windows of background that are scored unless it is said otherwise.
const WINDOWS: u64 = 50_000_000;

/// Window starts of background in which sites of a matrix are counted. Its p-values are exact, so that rates go on past
/// those counted; the tail of a network is a guess, and its sites are counted in as many windows as its scores.
const EXACT_PEAK_WINDOWS: u64 = 8_000_000;

const SEED: u64 = 1;

/// Where p-values take their background from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackgroundSource {
    /// The genome that is scanned.
    Genome,
    /// Independent bases, all as frequent.
    Uniform,
    /// A FASTA or 2bit file.
    File(PathBuf),
}

/// Options of null distributions. By default a model's own calibration is used where it fits, and else a Markov model
/// of order 2 of the genome that is scanned.
///
/// ```
/// use bindscan::calibrate::nulls::{BackgroundSource, NullOptions};
///
/// let options = NullOptions::default().background(BackgroundSource::Uniform).windows(1 << 20);
/// assert!(options.makes_new());
/// assert!(!NullOptions::default().makes_new());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NullOptions {
    background: Option<BackgroundSource>,
    order: Option<usize>,
    shuffle: bool,
    sampled: bool,
    windows: Option<u64>,
    seed: Option<u64>,
}

impl NullOptions {
    /// Sets where the background comes from.
    pub fn background(self, background: impl Into<Option<BackgroundSource>>) -> Self {
        NullOptions { background: background.into(), ..self }
    }

    /// Sets the order of the background, 0 to [`HIGHEST_ORDER`]: k-mers of one base more are as frequent as in its source.
    pub fn order(self, order: impl Into<Option<usize>>) -> Self {
        NullOptions { order: order.into(), ..self }
    }

    /// Shuffles real sequence, if `shuffle`, in place of drawing from a Markov model.
    pub fn shuffle(self, shuffle: bool) -> Self {
        NullOptions { shuffle, ..self }
    }

    /// Samples the scores of matrices too, if `sampled`, in place of computing their exact p-values.
    pub fn sampled(self, sampled: bool) -> Self {
        NullOptions { sampled, ..self }
    }

    /// Sets how many windows of background are scored.
    pub fn windows(self, windows: impl Into<Option<u64>>) -> Self {
        NullOptions { windows: windows.into(), ..self }
    }

    /// Sets the seed of the background.
    pub fn seed(self, seed: impl Into<Option<u64>>) -> Self {
        NullOptions { seed: seed.into(), ..self }
    }

    /// True if any option is set, so that stored calibrations are not used.
    pub fn makes_new(&self) -> bool {
        *self != NullOptions::default()
    }

    /// The file that the background is taken from, if one was given.
    pub fn background_file(&self) -> Option<&Path> {
        match &self.background {
            Some(BackgroundSource::File(path)) => Some(path),
            _ => None,
        }
    }

    /// Gives the null distributions of each model: its own calibration where it has one that fits and no option is set, or
    /// else one made now.
    ///
    /// # Errors
    /// A background that cannot be read, and whatever an engine meets.
    pub fn for_models(
        &self,
        models: &[Planned],
        setting: &Setting<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Calibrated>> {
        self.calibrated(models, setting, watch, &mut None)
    }

    /// As [`NullOptions::for_models`], with distributions that know how often background has a site.
    ///
    /// # Errors
    /// As [`NullOptions::for_models`].
    pub fn for_sites(
        &self,
        models: &[Planned],
        setting: &Setting<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Calibrated>> {
        let mut ground = None;
        let mut calibrated = self.calibrated(models, setting, watch, &mut ground)?;
        let unknown: Vec<usize> = (0..models.len())
            .filter(|&rank| models[rank].plan.stride != 1 || calibrated[rank].calibration.peaks.is_none())
            .collect();
        if !unknown.is_empty() {
            let ground = match ground {
                Some(ground) => ground,
                None => self.fitted_background(setting, watch)?,
            };
            let chosen: Vec<Planned> = unknown.iter().map(|&rank| models[rank].clone()).collect();
            let nulls: Vec<&[Arc<Null>]> = unknown.iter().map(|&rank| &*calibrated[rank].nulls).collect();
            let rates = self.peak_rates(&chosen, &nulls, &ground, setting, watch)?;
            for (rank, rates) in unknown.into_iter().zip(rates) {
                calibrated[rank].calibration.peaks = Some(rates);
            }
        }
        for Calibrated { calibration, nulls } in &mut calibrated {
            for (null, rate) in nulls.iter_mut().zip(calibration.peaks.iter().flatten()) {
                Arc::make_mut(null).set_peaks(rate.clone());
            }
        }
        Ok(calibrated)
    }

    /// The rates of sites in background of each output of each model, whose null distributions are given.
    ///
    /// # Errors
    /// Whatever an engine meets.
    pub fn peak_rates(
        &self,
        models: &[Planned],
        nulls: &[&[Arc<Null>]],
        ground: &Ground,
        setting: &Setting<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Vec<PeakRate>>> {
        watch.stage("counting sites in background");
        let windows = self.windows.unwrap_or(WINDOWS);
        let mut rates = vec![Vec::new(); models.len()];
        for (exact, windows) in [(true, windows.min(EXACT_PEAK_WINDOWS)), (false, windows)] {
            let ranks: Vec<usize> = (0..models.len())
                .filter(|&rank| nulls[rank].iter().all(|null| null.is_exact()) == exact)
                .collect();
            if ranks.is_empty() {
                continue;
            }
            let chosen: Vec<Planned> = ranks.iter().map(|&rank| models[rank].clone()).collect();
            let (workers, places) = scanners(&chosen, setting.threads)?;
            let mut tested = Vec::new();
            for ((planned, &rank), place) in chosen.iter().zip(&ranks).zip(places) {
                for (output, (name, null)) in planned.names().into_iter().zip(nulls[rank]).enumerate() {
                    tested.push(Tested {
                        name,
                        scanner: place.scanner,
                        output: place.output + output,
                        null: Arc::clone(null),
                    });
                }
            }
            let amount = Amount { windows, seed: self.seed.unwrap_or(SEED) };
            let show = |done: u64, total: u64| watch.background("sites", done, total);
            let counted = peaks::sample(workers, &tested, &ground.background, amount, show, setting.cancel);
            let mut counted = counted.inspect_err(|_| watch.end())?.into_iter();
            for rank in ranks {
                rates[rank] = counted.by_ref().take(nulls[rank].len()).collect();
            }
        }
        watch.end();
        Ok(rates)
    }

    fn calibrated(
        &self,
        models: &[Planned],
        setting: &Setting<'_>,
        watch: &mut dyn Watch,
        background: &mut Option<Ground>,
    ) -> Result<Vec<Calibrated>> {
        let mut calibrations = Vec::new();
        for planned in models {
            let name = &planned.model.spec.name;
            let calibration = match self.stored(planned) {
                Some(stored) => {
                    log::info!("{name}: p-values by its own calibration: {stored}");
                    stored
                }
                None => {
                    let ground = match &mut *background {
                        Some(ground) => ground,
                        none => none.insert(self.fitted_background(setting, watch)?),
                    };
                    let made = self.calibrate(planned, ground, setting, watch)?;
                    log::info!("{name}: p-values made for this run: {made}");
                    made
                }
            };
            calibrations.push(calibration);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(setting.threads).build();
        let pool = pool.map_err(|error| Error::Request(format!("cannot start threads: {error}")))?;
        let pairs: Vec<_> = calibrations.into_iter().zip(models).collect();
        watch.stage("computing p-values");
        let made = pool.install(|| {
            let nulls =
                pairs.into_par_iter().map_init(Buffers::default, |buffers, (calibration, planned)| {
                    let nulls = calibration.nulls_in(&planned.model, buffers)?;
                    let nulls = nulls.into_iter().map(Arc::new).collect();
                    Ok(Calibrated { calibration, nulls })
                });
            nulls.collect()
        });
        watch.end();
        made
    }

    /// The model's own calibration, if it is to be used and fits.
    fn stored(&self, planned: &Planned) -> Option<Calibration> {
        let stored = planned.model.spec.null.as_ref().filter(|_| !self.makes_new())?;
        match stored.fits(&planned.plan) {
            Ok(()) => Some(stored.clone()),
            Err(reason) => {
                log::info!("{}: its calibration does not serve: {reason}", planned.model.spec.name);
                None
            }
        }
    }

    /// Warns of models whose own calibration is used and was made with another genome than the one that is scanned, whose
    /// contigs have this digest.
    pub fn warn_of_other_genome(&self, models: &[Planned], scanned: &str) {
        let of_other = |planned: &&Planned| {
            let stored = planned.model.spec.null.as_ref().filter(|stored| stored.fits(&planned.plan).is_ok());
            stored.and_then(|stored| stored.genome.as_deref()).is_some_and(|genome| genome != scanned)
        };
        let others: Vec<&Planned> = models.iter().filter(of_other).collect();
        if self.makes_new() || others.is_empty() {
            return;
        }
        let names = others.iter().map(|planned| {
            let source = planned.model.spec.null.as_ref().map_or("", |stored| &stored.source);
            format!("{} ({source})", planned.model.spec.name)
        });
        log::warn!(
            "models were calibrated on other contigs than those that are scanned; --background genome gives p-values of these: {}",
            listed(names, LISTED)
        );
    }

    /// Makes the calibration of one model.
    ///
    /// # Errors
    /// Whatever an engine meets, and scores of background that are not finite.
    pub fn calibrate(
        &self,
        planned: &Planned,
        ground: &Ground,
        setting: &Setting<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Calibration> {
        let made = self.calibrate_on(planned, ground, setting, watch)?;
        Ok(Calibration { genome: ground.genome.clone(), ..made })
    }

    fn calibrate_on(
        &self,
        planned: &Planned,
        ground: &Ground,
        setting: &Setting<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Calibration> {
        let Ground { background, source, .. } = ground;
        if !self.sampled
            && !self.shuffle
            && let Some(exact) = Calibration::exact(&planned.model, &planned.plan, background, source)
        {
            return Ok(exact);
        }
        let amount = Amount { windows: self.windows.unwrap_or(WINDOWS), seed: self.seed.unwrap_or(SEED) };
        let engines = planned.engines(setting.threads, Workload::Contigs(*planned.plan()))?;
        let name = &planned.model.spec.name;
        watch.stage(&format!("{name}: scoring background"));
        let show = |done: u64, total: u64| watch.background(name, done, total);
        let made =
            Calibration::sampled(engines, &planned.plan, background, source, amount, show, setting.cancel);
        watch.end();
        made
    }

    /// Fits the background.
    ///
    /// # Errors
    /// A background that cannot be read or is not given, and options that do not go together.
    pub fn fitted_background(&self, setting: &Setting<'_>, watch: &mut dyn Watch) -> Result<Ground> {
        let order = self.order.unwrap_or(ORDER);
        if order > HIGHEST_ORDER {
            return Err(Error::Request(format!("a background of order {order}: give 0 to {HIGHEST_ORDER}")));
        }
        let path = match (&self.background, setting.genome) {
            (Some(BackgroundSource::Uniform), _) => return self.uniform(),
            (None | Some(BackgroundSource::Genome), Some(genome)) => genome,
            (None | Some(BackgroundSource::Genome), None) => {
                let message = "say where the background comes from: --background FASTA, or uniform";
                return Err(Error::Request(message.into()));
            }
            (Some(BackgroundSource::File(file)), _) => file,
        };
        if is_read_once(path) && Some(path) == setting.genome {
            return Err(Error::Request(format!(
                "{}: standard input and pipes are read once only, and p-values need a background first: give --background FASTA or uniform, use a model that bindscan calibrate has seen, or write the genome to a file",
                path.display()
            )));
        }
        let options = GenomeOptions { mask_lowercase: setting.mask_lowercase, regions: Vec::new() };
        watch.stage("reading the background");
        let mut genome = genome::open(path, &options)?;
        let regions = match genome.contigs() {
            Some(contigs) if !self.shuffle => Background::regions(contigs),
            _ => Vec::new(),
        };
        if !regions.is_empty() {
            genome = genome::open(path, &GenomeOptions { regions, ..options })?;
        }
        let mut source = genome.into_chunks(Background::chunk_shape());
        let seed = self.seed.unwrap_or(SEED);
        let fitted =
            Background::fitted(&mut source, order, self.shuffle, seed, setting.threads, setting.cancel);
        watch.end();
        let background = fitted.map_err(|error| match error {
            Error::Data(message) => Error::Data(format!("{}: {message}", path.display())),
            error => error,
        })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let genome = Some(genome::digest_of_contigs(source.contigs()));
        Ok(Ground { background, source: name, genome })
    }

    fn uniform(&self) -> Result<Ground> {
        if self.shuffle {
            let message = "--shuffle needs real sequence; --background uniform has none";
            return Err(Error::Request(message.into()));
        }
        if self.order.is_some_and(|order| order != 0) {
            return Err(Error::Request("--background uniform is of order 0".into()));
        }
        Ok(Ground { background: Background::uniform(), source: "uniform".into(), genome: None })
    }
}

/// True if `path` is standard input, or a pipe, as of a process substitution.
fn is_read_once(path: &Path) -> bool {
    path == Path::new("-") || path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// The run that null distributions are made for.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The genome that is scanned, if there is one.
    pub genome: Option<&'a Path>,
    /// True if lower-case bases are read as N.
    pub mask_lowercase: bool,
    /// Threads.
    pub threads: usize,
    /// Set to end the work.
    pub cancel: &'a AtomicBool,
}

/// Told how far null distributions are. `()` shows nothing.
pub trait Watch {
    /// A stage of the work begins.
    fn stage(&mut self, _doing: &str) {}
    /// So many windows of background are scored, of so many.
    fn background(&mut self, _model: &str, _done: u64, _total: u64) {}
    /// The stage is over.
    fn end(&mut self) {}
}

impl Watch for () {}

/// A model's null distributions, one an output, and where they come from.
#[derive(Debug, Clone)]
pub struct Calibrated {
    /// Where they come from.
    pub calibration: Calibration,
    /// The distributions.
    pub nulls: Vec<Arc<Null>>,
}

/// A background, and where it comes from.
#[derive(Debug)]
pub struct Ground {
    /// The background.
    pub background: Background,
    /// Its name for people.
    pub source: String,
    /// The digest of the contigs that it was fitted to.
    pub genome: Option<String>,
}

impl Ground {
    /// Fits the background to sequences, such as those that a model was trained on.
    ///
    /// # Errors
    /// Sequences without three bases in a row.
    pub fn of_sequences<'a>(sequences: impl Iterator<Item = &'a [u8]>, source: &str) -> Result<Ground> {
        let mut markov = Markov::new(ORDER);
        sequences.for_each(|codes| markov.count(codes));
        if markov.counted() == 0 {
            let message = format!("{source}: not even {} bases in a row without N", ORDER + 1);
            return Err(Error::Data(message));
        }
        Ok(Ground { background: Background::drawn(markov), source: source.to_owned(), genome: None })
    }
}

const STRANDS: [Strand; 2] = [Strand::Forward, Strand::Reverse];

/// Targets whose p-values have something odd about them: each kind of it is told in one line, however many they are.
#[derive(Debug, Default)]
pub struct Oddities {
    constant: Vec<String>,
    /// Those without so low a p-value, with the lowest that each has.
    out_of_reach: Vec<(String, f64)>,
    /// Those with extrapolated p-values, with the lowest of each that is counted.
    extrapolated: Vec<(String, f64)>,
}

/// Number of names that a warning lists.
const LISTED: usize = 3;

impl Oddities {
    /// The thresholds of a target at a p-value, on the forward and the reverse strand; scores that no window reaches where
    /// there is none so low.
    pub fn thresholds(&mut self, name: &str, null: &Null, p: f64) -> [f32; 2] {
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
    pub fn note_extrapolation(&mut self, name: &str, null: &Null, p: f64) {
        let any = STRANDS.iter().any(|&strand| null.threshold(p, strand).is_some());
        if p < null.supported() && any && !null.is_constant() {
            self.extrapolated.push((name.to_owned(), null.supported()));
        }
    }

    /// Warns of what there is. `p` is the p-value that was asked for, if one was.
    pub fn warn(&self, p: f64) {
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
                listed(names.iter().cloned(), LISTED)
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
                listed(several.iter().map(|(name, lowest)| format!("{name} ({lowest:.1e})")), LISTED)
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
                    listed(several.iter().map(|(name, _)| name.clone()), LISTED)
                ));
            }
        }
        messages
    }
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
