//! `bindscan train`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, bail};
use bindscan::Error;
use bindscan::calibrate::nulls::{Ground, NullOptions, Setting};
use bindscan::dataset::evaluation::{measure_dataset, score_dataset};
use bindscan::dataset::load::Loaded;
use bindscan::dataset::metric::Measured;
use bindscan::dataset::peaks::read_held_out;
use bindscan::dataset::scaling::{PROVENANCE_KEY, Scaling};
use bindscan::dataset::{Dataset, Leaks, TargetKind};
use bindscan::engine;
use bindscan::engine::planned::{PlanOptions, Planned};
use bindscan::engine::{Device, Engine, EngineKind, Workload};
use bindscan::genome_wide::{Judgement, Place, Rules, judge as judge_places, rank_places};
use bindscan::io::output;
use bindscan::io::output::Output;
use bindscan::model::usage::{BoundScores, GenomeWide, Threshold};
use bindscan::model::{Alphabet, Model, Pooling, Strands};
use bindscan::report::counted;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use bindscan::train::deepbind::distil::Distillation;
use bindscan::train::deepbind::search;
use bindscan::train::deepbind::trained;
use bindscan::train::report::{ScoredSet, TrainingReport};
use bindscan::train::{Outcome, Progress, Protocol, Resources, metric_name};
use bindscan::train::{Recipe, Space};
use clap::{Args, ValueEnum};

use super::data::{DataArgs, Ratios, Reading};
use super::heading;
use super::report::utc;
use super::significance::NullProgress;
use super::{CANCELLED, Session, message, progress, warnings};

mod layers;
mod meter;
mod motif;

use layers::LayersArgs;

/// Train a model on peaks, labelled sequences or measured numbers
///
/// Draws hyper-parameters at random, compares them by cross-validation and fits the best ones to all data. Measured
/// numbers: replicates are joined to their median, values above the 99.95th percentile are clamped, and all are scaled
/// to mean 0 and standard deviation 1. --resume continues an interrupted training.
#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    layers: LayersArgs,
    /// Write the model to this ONNX file
    #[arg(short, long, value_name = "ONNX", help_heading = heading::OUTPUT)]
    output: PathBuf,
    /// Set the model's name [default: the output's]
    #[arg(long, help_heading = heading::OUTPUT)]
    name: Option<String>,
    /// Add a note about the data to the model, such as species=human (repeatable)
    #[arg(long, value_name = "NAME=TEXT", value_parser = parse_note, help_heading = heading::OUTPUT)]
    about: Vec<(String, String)>,
    /// Judge the model on this held-out data, in the form of the training data
    #[arg(long, value_name = "FILE", help_heading = heading::INPUT)]
    test: Option<PathBuf>,
    /// Write a web page with curves, trials and motifs
    #[arg(long, value_name = "HTML", help_heading = heading::OUTPUT)]
    report: Option<PathBuf>,
    /// Choose the recipe [default: tuned]
    #[arg(long, help_heading = heading::TRAINING)]
    recipe: Option<RecipeArg>,
    /// Let the first filters begin as known motifs (any motif file)
    ///
    /// A motif that tells the classes better than the network does in cross-validation is written in its place. So it is
    /// where there are too few bound sequences to fit a network.
    #[arg(long, value_name = "MOTIFS", help_heading = heading::TRAINING)]
    init_motif: Option<PathBuf>,
    /// Choose the size of the network [default: small for classes, ensemble for numbers]
    ///
    /// The smaller the network, the faster the scan.
    #[arg(long, help_heading = heading::NETWORK)]
    size: Option<SizeArg>,
    /// Make fewer and shorter trials: a first look
    #[arg(long, help_heading = heading::TRAINING)]
    quick: bool,
    /// Draw this many sets of hyper-parameters [default: the recipe's]
    #[arg(long, value_parser = super::parse_positive, help_heading = heading::TRAINING)]
    trials: Option<usize>,
    /// Divide the data into this many folds for cross-validation [default: 3]
    #[arg(long, value_parser = super::parse_positive, help_heading = heading::TRAINING)]
    folds: Option<usize>,
    /// Limit the steps of a fit [default: the recipe's]
    #[arg(long, value_parser = super::parse_positive, help_heading = heading::TRAINING)]
    steps: Option<usize>,
    /// Fit the best hyper-parameters this many times to all data [default: the recipe's]
    ///
    /// With --arch, this many fits are made and the best on the validation data is kept [default: 1].
    #[arg(long = "final", value_name = "FITS", value_parser = super::parse_positive, help_heading = heading::TRAINING)]
    finals: Option<usize>,
    /// Make this many negatives for each positive, if the data have none
    ///
    /// [default: 10; with --recipe published 1, with --arch 3; 1 for test and validation data]
    #[arg(long, value_name = "RATIO", help_heading = heading::INPUT)]
    negatives_per_positive: Option<f64>,
    /// Set the number of filters of each fit [default: the recipe's]
    #[arg(long, alias = "detectors", value_parser = super::parse_positive, help_heading = heading::NETWORK)]
    filters: Option<usize>,
    /// Set the length of a filter [default: 16; with --recipe published 24]
    #[arg(
        long,
        alias = "detector-length",
        value_name = "BASES",
        value_parser = super::parse_positive,
        help_heading = heading::NETWORK
    )]
    filter_length: Option<usize>,
    /// Place filters only where they fit, instead of padding windows with N
    #[arg(long, help_heading = heading::NETWORK)]
    no_padding: bool,
    /// Choose how strands are read [default: symmetric for DNA, single for RNA]
    ///
    /// With --recipe published the default for DNA is both.
    #[arg(long, help_heading = heading::NETWORK)]
    strands: Option<StrandsArg>,
    /// Choose the pooling [default: max]
    ///
    /// With --recipe published, max or max+avg is searched for.
    #[arg(long, help_heading = heading::NETWORK)]
    pool: Option<PoolArg>,
    /// Set the units of the hidden layer of each fit, 0 for none [default: 0 for classes, 32 for numbers]
    ///
    /// With --recipe published, 0 or 32 is searched for. Small and medium networks have no hidden layer.
    #[arg(long, value_name = "UNITS", help_heading = heading::NETWORK)]
    hidden: Option<usize>,
    /// Choose the optimizer [default: the recipe's]
    #[arg(long, help_heading = heading::TRAINING)]
    optimizer: Option<OptimizerArg>,
    /// Use this many sequences for each step
    #[arg(long, default_value = "64", value_parser = super::parse_positive, help_heading = heading::TRAINING)]
    batch: usize,
    /// Choose the model's alphabet
    #[arg(long, default_value = "dna", help_heading = heading::NETWORK)]
    alphabet: AlphabetArg,
    /// Set the seed
    ///
    /// The same seed gives the same model, whatever the number of threads.
    #[arg(long, default_value = "1", help_heading = heading::RUN)]
    seed: u64,
    /// Stop starting new trials after this many minutes
    #[arg(long, value_name = "MINUTES", help_heading = heading::RUN)]
    budget: Option<f64>,
    /// Continue an interrupted training
    #[arg(long, help_heading = heading::RUN)]
    resume: bool,
    /// Use this many threads [default: all cores]
    #[arg(short, long, value_parser = super::parse_threads, help_heading = heading::RUN)]
    threads: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum RecipeArg {
    /// The settings that cross-validation found best
    Tuned,
    /// The settings of DeepBind's authors
    Published,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SizeArg {
    /// 24 filters, distilled from the ensemble
    Small,
    /// 64 filters, distilled from the ensemble
    Medium,
    /// All final fits, merged
    Ensemble,
}

impl SizeArg {
    /// Filters that the ensemble is distilled to.
    fn filters(self) -> Option<usize> {
        match self {
            SizeArg::Small => Some(24),
            SizeArg::Medium => Some(64),
            SizeArg::Ensemble => None,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StrandsArg {
    /// Filters are tied to their reverse complements: both strands have the same score
    Symmetric,
    /// Both strands are scored, the better one counts
    Both,
    /// Sequences are scored as given
    Single,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PoolArg {
    Max,
    Avg,
    #[value(name = "max+avg")]
    MaxAvg,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum OptimizerArg {
    Adam,
    Nesterov,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum AlphabetArg {
    Dna,
    Rna,
}

/// Reads a note about the data.
fn parse_note(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("give NAME=TEXT".into()),
    }
}

/// Sizes of a recipe's protocol.
struct Sizes {
    trials: usize,
    steps: usize,
    finals: usize,
    filters: usize,
    /// Bases of a filter, where sequences have as many.
    length: usize,
    /// Negatives for each positive of the training data, unless it is said otherwise.
    ratio: f64,
}

/// Times at which a fit is scored on its way (the published number).
const CHECKPOINTS: usize = 5;

/// Data of a training.
struct Data {
    training: Dataset,
    /// To be judged by, in the end.
    test: Option<Dataset>,
    /// To compare epochs by, where it is given.
    validation: Option<Dataset>,
    /// Oddities of the data.
    notes: Vec<String>,
    /// Scaling of the targets, if they are numbers.
    scaling: Option<Scaling>,
}

impl TrainArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        if !self.layers.is_deepbind() {
            return layers::run(&self, session);
        }
        let began = Instant::now();
        let state = state_path(&self.output, "training.json");
        self.check(&state)?;
        self.explain_resume(&state, session);
        if let Some(option) = self.layers.misplaced() {
            bail!("{option} is only valid for networks of layers; choose one with --arch");
        }
        if self.recipe() == RecipeArg::Published && self.size.is_some_and(|size| size != SizeArg::Ensemble) {
            bail!(
                "--size: with --recipe published the best of the final fits is kept, which is not distilled"
            );
        }
        let sizes = self.sizes();
        let strands = self.strands();
        let Data { training, test, notes, scaling, .. } = self.data(sizes.ratio, strands, session)?;
        let resources = self.resources(&state);
        let threads = resources.threads;
        let motifs = self.init_motif.as_deref().map_or_else(|| Ok(Vec::new()), motif::read)?;
        if training.kind != TargetKind::Binary && !motifs.is_empty() {
            bail!("--init-motif: goes with classes, and these data have numbers");
        }
        let known = motif::best(motifs.clone(), &training, threads)?;
        let protocol =
            Protocol { motifs: motif::networks(&motifs), ..self.protocol(&sizes, strands, &training) };
        if let Some(bound) = motif::bound(&training).filter(|bound| (1..motif::FEWEST).contains(bound)) {
            let few = format!(
                "{bound} bound sequences are too few to fit a network ({} or more are needed)",
                motif::FEWEST
            );
            let Some((matrix, _)) = known else {
                bail!("{few}; with --init-motif MOTIFS a known motif is taken instead");
            };
            return self.keep_matrix(matrix, &training, test.as_ref(), &few, session);
        }
        let outcome = self.search(session, &training, &protocol, &resources)?;
        let fitted = outcome.trials[outcome.chosen].best().map_or(0.0, |(_, metric)| metric);
        if let Some((matrix, area)) = known.filter(|(_, area)| *area >= fitted) {
            let name = &matrix.spec.name;
            let why = format!(
                "{name} tells the classes better (AUC {area:.4}) than the network does in cross-validation ({fitted:.4})"
            );
            self.keep_matrix(matrix, &training, test.as_ref(), &why, session)?;
            let _ = fs::remove_file(&state);
            return Ok(());
        }
        if let Some(motif) = &outcome.motif {
            log::info!(
                "one filter is the motif of {:.0} of {} bound sequences; its weight is {:.2}",
                motif.sites,
                motif.sequences,
                motif.weight
            );
        }
        let mut model = trained::model(&self.name(), self.alphabet(), &training, &protocol, &outcome)?;
        let mut outcomes = match &test {
            Some(test) => judge(&model, "held out", test, resources.threads, self.seed)?,
            None => Vec::new(),
        };
        let measured = self.note(&mut model, scaling, &outcomes)?;
        // Whatever happens from here on, the fit is not lost.
        model.save(&self.output)?;
        self.recommend(&mut model, &training, &outcomes, resources.threads, session)?;
        model.save(&self.output)?;
        self.conclude(&state, session, || {
            outcomes.extend(judge(&model, "training", &training, threads, self.seed)?);
            Ok(trained::report(&model, &training, &protocol, &outcome, outcomes, notes))
        })?;
        if !session.quiet {
            summarize(&training, &outcome, &measured, began.elapsed());
        }
        Ok(())
    }

    fn check(&self, state: &Path) -> Result<()> {
        if let Some(minutes) = self.budget.filter(|minutes| !(*minutes > 0.0 && *minutes < 1e6)) {
            bail!("--budget {minutes}: a positive number of minutes is needed");
        }
        if self.test.is_some() && self.data.holds_out() {
            bail!("--test and --test-contigs: give one of them");
        }
        if state.exists() && !self.resume {
            bail!(
                "{}: left by an interrupted training; continue it with --resume, or remove the file",
                state.display()
            );
        }
        // Better now than after the search.
        match self.output.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) if !folder.is_dir() => bail!("{}: no such folder", folder.display()),
            _ if self.output.is_dir() => bail!("{}: is a folder", self.output.display()),
            _ => {}
        }
        let _model = output::reserve(&self.output)?;
        let _page = self.report.as_deref().map(output::reserve).transpose()?;
        Ok(())
    }

    /// Notes in the model what is not known from its fit: how targets were scaled, what --about gives, and how well it does on
    /// held-out data, which is returned.
    fn note(
        &self,
        model: &mut Model,
        scaling: Option<Scaling>,
        held_out: &[ScoredSet],
    ) -> Result<Vec<Measured>> {
        let provenance = &mut model.spec.provenance;
        if let Some(scaling) = scaling {
            provenance.insert(PROVENANCE_KEY.into(), serde_json::to_value(scaling)?);
        }
        for (name, value) in &self.about {
            provenance.insert(name.clone(), value.as_str().into());
        }
        let measured: Vec<Measured> = held_out.iter().flat_map(|set| set.measured.clone()).collect();
        if !measured.is_empty() {
            provenance.insert("held_out".into(), serde_json::to_value(&measured)?);
        }
        Ok(measured)
    }

    /// Says that there is nothing to resume, if that was asked for.
    fn explain_resume(&self, state: &Path, session: Session) {
        if self.resume && !state.exists() && !session.quiet {
            message(format_args!("no training to resume ({}): starting a new one", state.display()));
        }
    }

    /// Ends a training whose model is saved: writes the page, if there is to be one, and removes the state.
    fn conclude(
        &self,
        state: &Path,
        session: Session,
        report: impl FnOnce() -> Result<TrainingReport>,
    ) -> Result<()> {
        if let Some(path) = &self.report {
            let mut report = report()?;
            let run = format!("{}, {:.0} s", utc(SystemTime::now()), session.elapsed().as_secs_f64());
            let mut facts = vec![
                ("Command".to_owned(), session.invocation.text()),
                ("Version".to_owned(), format!("bindscan {}", env!("CARGO_PKG_VERSION"))),
                ("Data".to_owned(), self.data.path().display().to_string()),
            ];
            let files = [("Genome", self.data.genome()), ("Test data", self.test.as_deref())];
            facts.extend(
                files.iter().filter_map(|(name, path)| {
                    Some(((*name).to_owned(), path.as_ref()?.display().to_string()))
                }),
            );
            facts.push(("Run".to_owned(), run));
            report.facts.splice(..0, facts);
            report.notes.extend(warnings::so_far());
            let mut file = Output::create(path)?;
            file.write(report.to_html().as_bytes())?;
            file.finish()?;
        }
        // Gone already if nothing was ever noted.
        let _ = fs::remove_file(state);
        Ok(())
    }

    /// Reads the data, with so many negatives for each positive unless the command line has another number, and scales its
    /// targets.
    fn data(&self, ratio: f64, strands: Strands, session: Session) -> Result<Data> {
        let stranded = strands == Strands::Single;
        let ratios = Ratios::for_training(self.negatives_per_positive, ratio);
        let reading = Reading { ratios, stranded, seed: self.seed };
        let Loaded { mut training, mut test, notes } = self.data.open(reading, session)?;
        let other = |path: &PathBuf| self.data.open_other(path, reading, session);
        if let Some(path) = &self.test {
            test = Some(other(path)?);
        }
        let mut validation = self.layers.validation().map(other).transpose()?;
        for (set, dataset) in [("test", &test), ("validation", &validation)] {
            let leaks = dataset.as_ref().map(|dataset| Leaks::find(&training, dataset, !stranded));
            if let Some(leak) = leaks.and_then(|leaks| leaks.message()) {
                log::warn!("{}", leak.replace("test", set));
            }
        }
        let others = [test.as_mut(), validation.as_mut()];
        let scaling = scale(&mut training, others.into_iter().flatten())?;
        Ok(Data { training, test, validation, notes, scaling })
    }

    fn resources<'a>(&self, state: &'a Path) -> Resources<'a> {
        Resources {
            threads: super::threads(self.threads),
            budget: self.budget.map(|minutes| Duration::from_secs_f64(minutes * 60.0)),
            state: Some(state),
            cancel: &CANCELLED,
        }
    }

    /// The first option that does not go with a network of layers.
    fn only_for_deepbind(&self) -> Option<&'static str> {
        let given = [
            ("--recipe", self.recipe.is_some()),
            ("--trials", self.trials.is_some()),
            ("--folds", self.folds.is_some()),
            ("--steps", self.steps.is_some()),
            ("--filters", self.filters.is_some()),
            ("--filter-length", self.filter_length.is_some()),
            ("--no-padding", self.no_padding),
            ("--size", self.size.is_some()),
            ("--init-motif", self.init_motif.is_some()),
            ("--pool", self.pool.is_some()),
            ("--hidden", self.hidden.is_some()),
            ("--optimizer", self.optimizer.is_some()),
        ];
        given.into_iter().find_map(|(option, given)| given.then_some(option))
    }

    fn recipe(&self) -> RecipeArg {
        self.recipe.unwrap_or(RecipeArg::Tuned)
    }

    fn sizes(&self) -> Sizes {
        let sizes = match self.recipe() {
            RecipeArg::Published => {
                Sizes { trials: 30, steps: 20_000, finals: 6, filters: 16, length: 24, ratio: 1.0 }
            }
            RecipeArg::Tuned => {
                Sizes { trials: 3, steps: 5_000, finals: 4, filters: 32, length: 16, ratio: 10.0 }
            }
        };
        let sizes = match self.quick {
            true => {
                Sizes { trials: sizes.trials / 3, steps: sizes.steps / 4, finals: sizes.finals / 2, ..sizes }
            }
            false => sizes,
        };
        Sizes {
            trials: self.trials.unwrap_or(sizes.trials),
            steps: self.steps.unwrap_or(sizes.steps),
            finals: self.finals.unwrap_or(sizes.finals),
            filters: self.filters.unwrap_or(sizes.filters),
            length: sizes.length,
            ratio: sizes.ratio,
        }
    }

    fn strands(&self) -> Strands {
        match (self.strands, self.alphabet) {
            (Some(StrandsArg::Single), _) | (None, AlphabetArg::Rna) => Strands::Single,
            (Some(StrandsArg::Both), _) => Strands::Both,
            (Some(StrandsArg::Symmetric), _) => Strands::Symmetric,
            (None, AlphabetArg::Dna) => match self.recipe() {
                RecipeArg::Tuned => Strands::Symmetric,
                RecipeArg::Published => Strands::Both,
            },
        }
    }

    fn alphabet(&self) -> Alphabet {
        match self.alphabet {
            AlphabetArg::Dna => Alphabet::Dna,
            AlphabetArg::Rna => Alphabet::Rna,
        }
    }

    fn name(&self) -> String {
        let stem = || self.output.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.name.clone().unwrap_or_else(stem)
    }

    fn protocol(&self, sizes: &Sizes, strands: Strands, training: &Dataset) -> Protocol {
        let (_, longest) = training.lengths();
        let length = self.filter_length.unwrap_or(sizes.length.min(longest));
        let recipe = match self.recipe() {
            RecipeArg::Published => Recipe::Published,
            RecipeArg::Tuned => Recipe::Tuned,
        };
        let space = Space {
            recipe,
            filters: self.filters(sizes.filters, training),
            filter_length: length,
            padded: !self.no_padding,
            strands,
            outputs: training.outputs,
            batch: self.batch,
            pooling: self.pool.map(|pool| match pool {
                PoolArg::Max => Pooling::Max,
                PoolArg::Avg => Pooling::Average,
                PoolArg::MaxAvg => Pooling::MaxAndAverage,
            }),
            hidden: self.hidden.or_else(|| hidden(recipe, training.kind)),
            adam: self.optimizer.map(|optimizer| optimizer == OptimizerArg::Adam),
        };
        Protocol {
            space,
            trials: sizes.trials,
            folds: self.folds.unwrap_or(3),
            steps: sizes.steps,
            checkpoints: CHECKPOINTS.min(sizes.steps),
            finals: sizes.finals,
            distillation: self.distillation(&space, training, sizes.steps),
            motifs: Vec::new(),
            seed: self.seed,
        }
    }

    /// Writes a known motif in place of a network.
    fn keep_matrix(
        &self,
        mut matrix: Model,
        training: &Dataset,
        test: Option<&Dataset>,
        why: &str,
        session: Session,
    ) -> Result<()> {
        let threads = super::threads(self.threads);
        let motif = std::mem::replace(&mut matrix.spec.name, self.name());
        matrix.spec.provenance.insert("motif".into(), motif.into());
        matrix.spec.provenance.insert("kept_because".into(), why.into());
        matrix.spec.provenance.insert("data_sha256".into(), training.digest.clone().into());
        for (name, value) in &self.about {
            matrix.spec.provenance.insert(name.clone(), value.as_str().into());
        }
        let outcomes =
            test.map_or_else(|| Ok(Vec::new()), |test| judge(&matrix, "held out", test, threads, self.seed))?;
        let measured: Vec<Measured> = outcomes.iter().flat_map(|outcome| outcome.measured.clone()).collect();
        if !measured.is_empty() {
            matrix.spec.provenance.insert("held_out".into(), serde_json::to_value(&measured)?);
        }
        self.recommend(&mut matrix, training, &outcomes, threads, session)?;
        matrix.save(&self.output)?;
        if self.report.is_some() {
            log::warn!("--report: no network was fitted, and no page is written");
        }
        if !session.quiet {
            message(format_args!("{why}: the matrix is written"));
            tell_held_out(&measured);
        }
        Ok(())
    }

    /// Stores in the model what is known of its scores: those of bound sequences and of background, and the thresholds that
    /// follow.
    fn recommend(
        &self,
        model: &mut Model,
        training: &Dataset,
        held_out: &[ScoredSet],
        threads: usize,
        session: Session,
    ) -> Result<()> {
        if model.spec.outputs.len() > 1 {
            return Ok(());
        }
        if training.kind == TargetKind::Binary {
            let (data, scored) = match held_out {
                [] => ("training", judge(model, "training", training, threads, self.seed)?),
                _ => ("held out", held_out.to_vec()),
            };
            let bound = scored.iter().flat_map(|set| set.scores.iter().zip(&set.targets));
            let scores = bound.filter(|&(_, &target)| target > 0.5).map(|(&score, _)| score).collect();
            model.spec.bound = BoundScores::of(data, scores);
        }
        let planned = Planned::new(model.clone(), &PlanOptions::default())?;
        let setting =
            Setting { genome: self.data.genome(), mask_lowercase: false, threads, cancel: &CANCELLED };
        let (null, mut watch) = (
            NullOptions::default().windows(BACKGROUND * self.sizes().steps as u64),
            NullProgress::new(session),
        );
        let calibration = match setting.genome {
            Some(_) => {
                let ground = null.fitted_background(&setting, &mut watch)?;
                null.calibrate(&planned, &ground, &setting, &mut watch)?
            }
            None => {
                let sequences = training.sequences.iter().map(Vec::as_slice);
                let ground = Ground::of_sequences(sequences, "training sequences")?;
                null.calibrate(&planned, &ground, &setting, &mut watch)?
            }
        };
        if let [null] = &calibration.nulls(model)?[..] {
            model.spec.thresholds = Threshold::recommend(null, &calibration.source);
        }
        if let Some(genome) = self.data.genome() {
            model.spec.null = Some(calibration);
            if self.data.holds_out() && training.kind == TargetKind::Binary {
                self.judge_genome_wide(model, genome, threads, session)?;
            }
        }
        Ok(())
    }

    /// Judges the model by the whole held-out contigs, and notes what each threshold finds there.
    fn judge_genome_wide(
        &self,
        model: &mut Model,
        genome: &Path,
        threads: usize,
        session: Session,
    ) -> Result<()> {
        let contigs = read_held_out(genome, self.data.path(), &self.data.held_out_options())?;
        let rules = Rules { seed: self.seed, ..Rules::default() };
        let planned = Planned::new(model.clone(), &PlanOptions::default())?;
        let places = rank_places(&planned, &contigs, &rules, threads, &CANCELLED)?;
        let judgement = judge_places(&places, &contigs, &rules);
        for threshold in &mut model.spec.thresholds {
            threshold.genome_wide = found(&places, threshold.score, &rules, judgement.summits);
        }
        if !session.quiet {
            let Judgement { average_precision, precision_at_k, recall_at_fdr: [.., half], .. } = judgement;
            message(format_args!(
                "genome-wide, held-out contigs: average precision {average_precision:.3}, precision at k {precision_at_k:.3}, \
                 recall {half:.3} at 50 % FDR"
            ));
        }
        model.spec.provenance.insert("genome_wide".into(), serde_json::to_value(&judgement)?);
        Ok(())
    }

    /// Filters of each fit: with a known motif and few bound sequences, fewer.
    fn filters(&self, usual: usize, training: &Dataset) -> usize {
        match motif::bound(training) {
            Some(bound) if self.init_motif.is_some() && self.filters.is_none() => {
                usual.min((bound / BOUND_A_FILTER).max(FEWEST_FILTERS))
            }
            _ => usual,
        }
    }

    /// The small network that is to be made of the final fits.
    fn distillation(&self, space: &Space, training: &Dataset, steps: usize) -> Option<Distillation> {
        let size = self.size.unwrap_or(match (space.recipe, training.kind) {
            (Recipe::Tuned, TargetKind::Binary) => SizeArg::Small,
            _ => SizeArg::Ensemble,
        });
        let filters = size.filters()?;
        Some(Distillation {
            filters,
            length: self.filter_length.unwrap_or(DISTILLED_LENGTH.min(space.filter_length)),
            padded: space.padded,
            sequences: DISTILLED_SEQUENCES * steps,
            steps: DISTILLED_STEPS * steps,
        })
    }

    fn search(
        &self,
        session: Session,
        training: &Dataset,
        protocol: &Protocol,
        resources: &Resources<'_>,
    ) -> Result<Outcome> {
        let meter = Meter::new(session, training.kind, protocol.trials);
        let outcome = search::run(training, protocol, resources, &|progress| meter.update(progress));
        meter::lock(&meter.shown).clear();
        match outcome {
            Err(Error::Interrupted) if resources.state.is_some_and(Path::exists) => {
                let trials = meter.trials.into_inner();
                bail!("interrupted; {trials} of {} trials are kept: continue with --resume", protocol.trials)
            }
            outcome => Ok(outcome?),
        }
    }
}

/// Sites that a threshold finds; `None` if more places reach it than were ranked.
fn found(places: &[Place], threshold: f32, rules: &Rules, summits: usize) -> Option<GenomeWide> {
    let reached = places.iter().take_while(|place| place.score >= threshold).count();
    let right = places[..reached].iter().filter(|place| place.right).count();
    (reached < rules.places).then(|| GenomeWide {
        sites: reached as u64,
        precision: right as f64 / reached.max(1) as f64,
        recall: right as f64 / summits.max(1) as f64,
    })
}

/// Hidden units, unless they are given or drawn. Of an ensemble of classifiers, a hidden layer makes nothing better.
fn hidden(recipe: Recipe, kind: TargetKind) -> Option<usize> {
    match (recipe, kind) {
        (Recipe::Published, _) => None,
        (Recipe::Tuned, TargetKind::Binary) => Some(0),
        (Recipe::Tuned, TargetKind::Real) => Some(32),
    }
}

/// Bases of a filter of a distilled network: look-ups take three bases at a time.
const DISTILLED_LENGTH: usize = 15;

/// Windows of background that a new model is calibrated on, for each step of a fit: with the usual number of steps, enough
/// for the thresholds that it recommends.
const BACKGROUND: u64 = 1000;

/// Bound sequences for each filter where a fit begins with a known motif, and filters at least.
const BOUND_A_FILTER: usize = 10;
const FEWEST_FILTERS: usize = 4;

/// Sequences that the ensemble scores to be distilled, and steps of the fit to the scores, for each step of another fit.
const DISTILLED_SEQUENCES: usize = 80;
const DISTILLED_STEPS: usize = 8;

/// Path at which finished fits are saved during training: beside the output, with one more extension.
fn state_path(output: &Path, extension: &str) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(extension);
    output.with_file_name(name)
}

/// Scales measured numbers as published, the test set on the scale of the training set.
fn scale<'a>(
    training: &mut Dataset,
    others: impl IntoIterator<Item = &'a mut Dataset>,
) -> Result<Option<Scaling>> {
    if training.kind == TargetKind::Binary {
        return Ok(None);
    }
    let scaling = Scaling::fit(training)?;
    scaling.apply(training)?;
    others.into_iter().try_for_each(|other| scaling.apply(other))?;
    Ok(Some(scaling))
}

/// Standard deviations above the mean from which a measured number counts as positive for AUC.
const POSITIVE_SIGMAS: f64 = 4.0;

/// Scores data with the model, every sequence as a whole, as in training.
fn judge(model: &Model, set: &str, dataset: &Dataset, threads: usize, seed: u64) -> Result<Vec<ScoredSet>> {
    let engines = engine::open(model, EngineKind::Auto, Device::Cpu, threads, Workload::Sequences)?;
    let matrix = model.network.as_ref().is_ok_and(|network| network.is_matrix(model.spec.window));
    let window = if matrix { model.spec.window } else { dataset.lengths().1 };
    Judge { engines, window, strands: model.spec.strands, seed }.judge(set, dataset)
}

/// Scorer of data at the end of a training.
struct Judge {
    /// One for each thread.
    engines: Vec<Box<dyn Engine>>,
    window: usize,
    strands: Strands,
    seed: u64,
}

impl Judge {
    /// Scores and metrics of each output.
    fn judge(mut self, set: &str, dataset: &Dataset) -> Result<Vec<ScoredSet>> {
        let strands = match self.strands {
            Strands::Both => StrandChoice::Both,
            Strands::Single | Strands::Symmetric => StrandChoice::Forward,
        };
        let plan = WindowPlan { window: self.window, stride: 1, strands, context: Context::Padding };
        let scores = score_dataset(&mut self.engines, dataset, &plan, &CANCELLED)?;
        let measured = measure_dataset(dataset, &scores, POSITIVE_SIGMAS, self.seed);
        let judged = |(output, name): (usize, &String)| ScoredSet {
            set: set.to_owned(),
            kind: dataset.kind,
            scores: scores.iter().skip(output).step_by(dataset.outputs).copied().collect(),
            targets: dataset.target_column(output),
            measured: measured.iter().filter(|measured| measured.output == *name).cloned().collect(),
        };
        Ok(dataset.output_names.iter().enumerate().map(judged).collect())
    }
}

/// Final message to the user.
fn summarize(training: &Dataset, outcome: &Outcome, measured: &[Measured], took: Duration) {
    let trial = &outcome.trials[outcome.chosen];
    let metric = metric_name(training.kind);
    let best = trial.best().map_or_else(String::new, |(_, value)| format!("{metric} {value:.4}"));
    let complete = outcome.trials.iter().filter(|trial| trial.folds.iter().all(Option::is_some)).count();
    let diverged = outcome.trials.iter().filter(|trial| trial.diverged()).count();
    message(format_args!(
        "{} sequences, {} ({diverged} diverged), {} of {} steps, {:.0} s; \
         cross-validated {best}",
        training.len(),
        counted(complete as u64, "trial"),
        counted(outcome.finals.len() as u64, "final fit"),
        outcome.steps,
        took.as_secs_f64()
    ));
    tell_held_out(measured);
}

/// Tells how the model does on held-out data.
fn tell_held_out(measured: &[Measured]) {
    for measured in measured {
        let Measured { output, value, interval, .. } = measured;
        let metric = measured.title();
        let value = value.map_or_else(|| "not defined".into(), |value| format!("{value:.4}"));
        let interval =
            interval.as_ref().map_or_else(String::new, |i| format!(" ({:.4} to {:.4})", i.low, i.high));
        message(format_args!("held out, {output}: {metric} {value}{interval}"));
    }
}

/// Progress of a search.
struct Meter {
    shown: Mutex<progress::Progress>,
    metric: &'static str,
    of: usize,
    trials: AtomicUsize,
}

impl Meter {
    fn new(session: Session, kind: TargetKind, of: usize) -> Meter {
        let shown = meter::shared(session);
        Meter { shown, metric: metric_name(kind), of, trials: AtomicUsize::new(0) }
    }

    fn update(&self, progress: Progress) {
        self.trials.store(progress.trials, Ordering::Relaxed);
        let message = || {
            let best =
                progress.best.map_or_else(String::new, |best| format!(", best {} {best:.4}", self.metric));
            format!("{} of {} trials{best}", progress.trials, self.of)
        };
        meter::lock(&self.shown).show(progress.done as u64, Some(progress.total as u64), message);
    }
}
