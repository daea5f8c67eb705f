//! The protocol: random search with cross-validation, then the final fits.
//!
//! Every fit has a seed of its own, made from the run's seed and the fit's place in the protocol, and every result has
//! a place to go to: what comes out does not depend on the number of threads or on which fit ends first.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::dataset::evaluation::{mean_metric, rounded};
use crate::dataset::fold;
use crate::dataset::{Dataset, TargetKind, identity};
use crate::model::{Network, Strands};
use crate::train::deepbind::distil::Distillation;
use crate::train::deepbind::ensemble;
use crate::train::deepbind::fit::{Examples, Fit, Stopped};
use crate::train::deepbind::hyperparameters::{Candidate, Recipe, Space};
use crate::train::deepbind::motif_filter::{self, MotifFilter};
use crate::train::deepbind::rc_tied;
use crate::train::deepbind::state::State;
use crate::train::trainer::{Clock, Point, Purpose, Resources, best, check_sizes, lock, stream};
use crate::{Error, Result};

/// The sizes of a protocol. With the space of hyper-parameters and the data it determines the outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Protocol {
    /// Space from which hyper-parameters are drawn.
    pub space: Space,
    /// Draws.
    pub trials: usize,
    /// Parts of the data, each held out once a trial.
    pub folds: usize,
    /// Most steps a fit may take.
    pub steps: usize,
    /// Number of times that a fit is scored, at equal distances; the best of these step counts is kept.
    pub checkpoints: usize,
    /// Fits to all data with the best hyper-parameters.
    pub finals: usize,
    /// The small network that the merged final fits become; `None` to keep them as they are.
    pub distillation: Option<Distillation>,
    /// Matrices that the first filters of each fit begin as.
    pub motifs: Vec<Network>,
    /// Seed of everything random.
    pub seed: u64,
}

/// Events of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Fits done, resumed ones included.
    pub done: usize,
    /// Fits in all, final ones included; fewer if a budget ends the search.
    pub total: usize,
    /// Trials all of whose folds are done.
    pub trials: usize,
    /// Best cross-validated metric so far.
    pub best: Option<f64>,
}

/// A fit of the cross-validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FoldResult {
    /// At each checkpoint; metrics to six decimals.
    Scored(Vec<Point>),
    /// The loss or a parameter became infinite or not a number.
    Diverged,
}

/// A draw and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The hyper-parameters.
    pub candidate: Candidate,
    /// Its folds; `None` for those that a budget left out.
    pub folds: Vec<Option<FoldResult>>,
}

impl Trial {
    /// The checkpoints, means over the folds; `None` if a fold is missing or diverged.
    pub fn curve(&self) -> Option<Vec<Point>> {
        let scored = |fold: &'_ Option<FoldResult>| match fold {
            Some(FoldResult::Scored(checkpoints)) => Some(checkpoints.clone()),
            _ => None,
        };
        let folds: Vec<Vec<Point>> = self.folds.iter().map(scored).collect::<Option<_>>()?;
        let mean = |i: usize, of: fn(&Point) -> f64| {
            rounded(folds.iter().map(|fold| of(&fold[i])).sum::<f64>() / folds.len() as f64)
        };
        let count = folds.first()?.len();
        Some(
            (0..count)
                .map(|i| Point { loss: mean(i, |at| at.loss), metric: mean(i, |at| at.metric) })
                .collect(),
        )
    }

    /// Best checkpoint (counted from 0) and its metric.
    pub fn best(&self) -> Option<(usize, f64)> {
        // The first of equal ones: fewer steps.
        best(self.curve()?.into_iter().map(|at| at.metric).enumerate())
    }

    /// Last checkpoint (counted from 0) that is hardly worse than the best.
    pub fn last_good(&self) -> Option<usize> {
        let (_, best) = self.best()?;
        self.curve()?.iter().rposition(|at| at.metric >= best - HARDLY_WORSE)
    }

    /// True if a fold ran away.
    pub fn diverged(&self) -> bool {
        self.folds.contains(&Some(FoldResult::Diverged))
    }
}

/// Difference of metrics up to which a fit is hardly worse than another.
const HARDLY_WORSE: f64 = 0.005;

/// Result of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The network: the best of the final fits, or all of them merged, as the recipe has it, or what they were distilled to.
    pub network: Network,
    /// The motif of the bound sequences, if the network was given one.
    pub motif: Option<MotifFilter>,
    /// Rank of the chosen trial.
    pub chosen: usize,
    /// Steps of the final fits.
    pub steps: usize,
    /// All trials, in the order of their draws.
    pub trials: Vec<Trial>,
    /// The final fits' metric on the training data; `None` where one diverged.
    pub finals: Vec<Option<f64>>,
}

/// Runs the protocol on `dataset`, which is checked first.
///
/// # Errors
/// Data that cannot be fitted ([`Dataset::require`]), trials that all diverged, a state file that cannot be written or
/// that belongs to another run, and cancellation.
pub fn run(
    dataset: &Dataset,
    protocol: &Protocol,
    resources: &Resources<'_>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Outcome> {
    protocol.check(dataset)?;
    let run = Run::new(dataset, protocol, resources, progress)?;
    run.search()?;
    run.finish()
}

/// Sequences for each fold, at least, so that both classes can be in it.
const LEAST_IN_A_FOLD: usize = 6;

impl Protocol {
    fn check(&self, dataset: &Dataset) -> Result<()> {
        let space = &self.space;
        check_sizes(&[
            ("trials", self.trials),
            ("steps", self.steps),
            ("checkpoints", self.checkpoints),
            ("final fits", self.finals),
            ("filters", space.filters),
            ("filter length", space.filter_length),
            ("batch", space.batch),
        ])?;
        if self.folds < 2 {
            return Err(Error::Request(format!(
                "cross-validation needs 2 folds or more, not {}",
                self.folds
            )));
        }
        let shortest = if space.padded { 1 } else { space.filter_length };
        dataset.require(self.folds * LEAST_IN_A_FOLD, shortest)?;
        let (_, longest) = dataset.lengths();
        if space.filter_length > longest {
            return Err(Error::Data(format!(
                "filters of {} bases are longer than every sequence (up to {longest})",
                space.filter_length
            )));
        }
        self.check_classes(dataset)
    }

    /// Checks that every fold can have both classes: at least as many different sequences of each as there are folds.
    fn check_classes(&self, dataset: &Dataset) -> Result<()> {
        if dataset.kind == TargetKind::Real {
            return Ok(());
        }
        let stranded = self.space.strands == Strands::Single;
        for (output, name) in dataset.output_names.iter().enumerate() {
            let mut classes = [HashSet::new(), HashSet::new()];
            for (codes, target) in dataset.sequences.iter().zip(dataset.target_column(output)) {
                if !target.is_nan() {
                    classes[usize::from(target > 0.5)].insert(identity(codes, stranded));
                }
            }
            if let Some(class) = classes.iter().position(|class| class.len() < self.folds) {
                return Err(Error::Data(format!(
                    "class {class} of column {name} has {} different sequences; {} folds need as many of each class",
                    classes[class].len(),
                    self.folds
                )));
            }
        }
        Ok(())
    }

    /// Steps made at a checkpoint, counted from 0; from one to the next are equally many, at the last perhaps fewer.
    pub fn steps_at(&self, checkpoint: usize) -> usize {
        (self.steps.div_ceil(self.checkpoints) * (checkpoint + 1)).min(self.steps)
    }

    /// Ranks of the examples in each fold: those that the data set assigns, if there are as many, or at random, class by
    /// class, equal sequences (with two strands also reverse complements) in the same fold.
    pub fn folds(&self, dataset: &Dataset) -> Vec<Vec<u32>> {
        let seed = stream(self.seed, Purpose::Folds, 0, 0);
        fold::ranks(dataset, self.folds, self.space.strands == Strands::Single, seed)
    }
}

/// A run under way.
struct Run<'a> {
    examples: Examples<'a>,
    protocol: &'a Protocol,
    resources: &'a Resources<'a>,
    progress: &'a (dyn Fn(Progress) + Sync),
    candidates: Vec<Candidate>,
    folds: Vec<Vec<u32>>,
    clock: Clock<'a>,
    state: Mutex<State>,
    /// Fits made by this run, and their time.
    spent: Mutex<(u32, Duration)>,
}

impl<'a> Run<'a> {
    fn new(
        dataset: &'a Dataset,
        protocol: &'a Protocol,
        resources: &'a Resources<'a>,
        progress: &'a (dyn Fn(Progress) + Sync),
    ) -> Result<Run<'a>> {
        let draw = |trial| protocol.space.draw(stream(protocol.seed, Purpose::Draw, trial, 0));
        let candidates: Vec<Candidate> = (0..protocol.trials).map(draw).collect();
        Ok(Run {
            examples: Examples::new(dataset, &candidates[0].architecture).with_motifs(&protocol.motifs),
            folds: protocol.folds(dataset),
            state: Mutex::new(State::open(resources, protocol, dataset)?),
            clock: Clock::start(resources),
            spent: Mutex::default(),
            protocol,
            resources,
            progress,
            candidates,
        })
    }

    /// Makes every fit of the cross-validation that is not made yet, those of a trial one after another.
    fn search(&self) -> Result<()> {
        let jobs = self.protocol.trials * self.protocol.folds;
        self.report(0);
        let done = self.clock.run(jobs, |job| {
            let (trial, fold) = (job / self.protocol.folds, job % self.protocol.folds);
            if trial > 0 && self.out_of_time() {
                return Ok(None);
            }
            if !self.state().has(trial, fold) {
                let began = Instant::now();
                let result = self.cross_validate(trial, fold)?;
                self.note(began);
                self.state().add(trial, fold, result)?;
                self.report(0);
            }
            Ok(Some(()))
        });
        done.map(drop)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn note(&self, began: Instant) {
        let mut spent = lock(&self.spent);
        spent.0 += 1;
        spent.1 += began.elapsed();
    }

    /// True if another fit, and the final ones after it, would take longer than the budget.
    fn out_of_time(&self) -> bool {
        let (fits, spent) = *lock(&self.spent);
        let one = spent / fits.max(1);
        self.clock.lacks(one * (1 + self.clock.rounds(self.protocol.finals)))
    }

    fn report(&self, finals: usize) {
        let trials = self.trials();
        let complete = |trial: &&Trial| trial.folds.iter().all(Option::is_some);
        (self.progress)(Progress {
            done: self.state().len() + finals,
            total: self.protocol.trials * self.protocol.folds + self.protocol.finals,
            trials: trials.iter().filter(complete).count(),
            best: trials.iter().filter_map(Trial::best).map(|(_, metric)| metric).reduce(f64::max),
        });
    }

    fn trials(&self) -> Vec<Trial> {
        let state = self.state();
        let folds = |trial| (0..self.protocol.folds).map(|fold| state.get(trial, fold).cloned()).collect();
        let candidates = self.candidates.iter().enumerate();
        candidates.map(|(trial, &candidate)| Trial { candidate, folds: folds(trial) }).collect()
    }

    fn fit(&self, candidate: &Candidate, ranks: &[u32], seed: u64) -> Fit<'_> {
        Fit::new(&self.examples, ranks, candidate.architecture, candidate.settings, seed)
    }

    fn cross_validate(&self, trial: usize, fold: usize) -> Result<FoldResult> {
        let others = self.folds.iter().enumerate().filter(|&(i, _)| i != fold);
        let ranks: Vec<u32> = others.flat_map(|(_, ranks)| ranks).copied().collect();
        let held_out = &self.folds[fold];
        let seed = stream(self.protocol.seed, Purpose::Trial, trial, fold);
        let mut fit = self.fit(&self.candidates[trial], &ranks, seed);
        let mut checkpoints = Vec::with_capacity(self.protocol.checkpoints);
        while fit.steps() < self.protocol.steps {
            let leg = self.protocol.steps_at(checkpoints.len()) - fit.steps();
            let loss = match fit.run(leg, self.resources.cancel) {
                Ok(loss) => rounded(loss),
                Err(Stopped::Diverged) => return Ok(FoldResult::Diverged),
                Err(Stopped::Cancelled) => return Err(Error::Interrupted),
            };
            let scores = fit.scores(held_out);
            checkpoints.push(Point { loss, metric: mean_metric(self.examples.dataset(), held_out, &scores) });
        }
        Ok(FoldResult::Scored(checkpoints))
    }

    /// Chooses the best trial and makes the final fits.
    fn finish(self) -> Result<Outcome> {
        let trials = self.trials();
        let ranked = trials.iter().enumerate().filter_map(|(i, trial)| Some((i, trial.best()?)));
        let ranked = ranked.map(|(i, (checkpoint, metric))| ((i, checkpoint), metric));
        let Some(((chosen, checkpoint), _)) = best(ranked) else {
            return Err(Error::Diverged(format!(
                "none of {} trials came to an end with finite numbers; look for extreme targets, or make more trials",
                trials.len()
            )));
        };
        // An ensemble gains from fits that go on past their own best, which differ more.
        let merged = self.protocol.space.recipe == Recipe::Tuned
            && self.protocol.finals > 1
            && self.examples.dataset().kind == TargetKind::Binary;
        let checkpoint = trials[chosen].last_good().filter(|_| merged).unwrap_or(checkpoint);
        let steps = self.protocol.steps_at(checkpoint);
        let all: Vec<u32> = (0..self.examples.dataset().len() as u32).collect();
        let done = AtomicUsize::new(0);
        let fitted = self.clock.run(self.protocol.finals, |i| {
            let seed = stream(self.protocol.seed, Purpose::Final, i, 0);
            let mut fit = self.fit(&trials[chosen].candidate, &all, seed);
            let made = match fit.run(steps, self.resources.cancel) {
                Ok(_) => {
                    let metric = mean_metric(self.examples.dataset(), &all, &fit.scores(&all));
                    Some((metric, fit.half()))
                }
                Err(Stopped::Diverged) => None,
                Err(Stopped::Cancelled) => return Err(Error::Interrupted),
            };
            self.report(done.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(Some(made))
        })?;
        let fitted: Vec<Option<(f64, Network)>> = fitted.into_iter().map(Option::flatten).collect();
        let (network, motif) = self.combine(&fitted)?;
        let finals = fitted.iter().map(|fit| fit.as_ref().map(|(metric, _)| *metric)).collect();
        Ok(Outcome { network, motif, chosen, steps, trials, finals })
    }

    /// The best of the final fits, or all of them merged, or the network that they are distilled to; with the motif of the
    /// bound sequences as one of its filters.
    fn combine(&self, fitted: &[Option<(f64, Network)>]) -> Result<(Network, Option<MotifFilter>)> {
        let fitted: Vec<&(f64, Network)> = fitted.iter().flatten().collect();
        let Some((best, _)) = best(fitted.iter().map(|(metric, network)| (network, *metric))) else {
            return Err(Error::Diverged("the final fits diverged; give another seed".into()));
        };
        let Protocol { space, distillation, seed, .. } = self.protocol;
        let whole = |network: &Network| match space.strands {
            Strands::Symmetric => rc_tied::unfold(network),
            Strands::Both | Strands::Single => network.clone(),
        };
        if space.recipe == Recipe::Published {
            return Ok((whole(best), None));
        }
        let members = fitted.iter().map(|(_, network)| network.clone());
        let ensemble = ensemble::merge(&members.collect::<Vec<_>>()).map_err(Error::Request)?;
        let (dataset, cancel) = (self.examples.dataset(), self.resources.cancel);
        let seed = stream(*seed, Purpose::Distillation, 0, 0);
        let has_hidden = distillation.is_none() && ensemble.hidden.is_some();
        let takes_motif = motif_filter::fits(dataset, ensemble.pooling, has_hidden);
        let threads = rayon::ThreadPoolBuilder::new().num_threads(self.resources.threads.max(1));
        let pool = threads.build().map_err(|e| Error::Request(format!("cannot start threads: {e}")))?;
        pool.install(|| {
            let network = match distillation {
                Some(to) => {
                    // The motif is one of its filters.
                    let filters = if takes_motif { to.filters.saturating_sub(1).max(1) } else { to.filters };
                    Distillation { filters, ..*to }.run(&ensemble, space.strands, dataset, seed, cancel)?
                }
                None => ensemble,
            };
            let known = &self.protocol.motifs;
            let added =
                takes_motif.then(|| motif_filter::add(&network, space.strands, dataset, known)).flatten();
            Ok(match added {
                Some((network, motif)) => (whole(&network), Some(motif)),
                None => (whole(&network), None),
            })
        })
    }
}
