//! A training: several fits side by side, of which the best on validation data is kept.
//!
//! Every fit has random numbers of its own, made from the seed, its rank and the epoch: what comes out does not depend on
//! the number of threads, or on where a training was interrupted.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::dataset::Dataset;
use crate::dataset::fold;
use crate::model::Strands;
use crate::train::layers::architecture::Architecture;
use crate::train::layers::fit::{Course, Epoch, Fit, Settings};
use crate::train::layers::network::Network;
use crate::train::layers::state;
use crate::train::layers::state::Standing;
use crate::train::trainer::{Purpose, Resources, check_sizes, lock, run_digest, stream};
use crate::{Error, Result};

/// Networks and data of the fits. They determine the outcome, unless a budget ends fits early.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// The network.
    pub architecture: &'a Architecture,
    /// Data to which it is fitted.
    pub training: &'a Dataset,
    /// Data on which epochs and fits are compared.
    pub validation: &'a Dataset,
    /// Options of the fits.
    pub settings: Settings,
    /// Fits, each from other random weights on.
    pub fits: usize,
}

/// Report after each epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Epochs made, of all fits.
    pub epochs: usize,
    /// Fits that ended.
    pub fits: usize,
    /// Best metric on the validation data so far.
    pub best: Option<f64>,
}

/// Outcome of a fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// Its epochs.
    pub epochs: Vec<Epoch>,
    /// Rank of the best one, whose state was kept.
    pub best: usize,
    /// Steps made.
    pub steps: u64,
    /// The best one's metric; `None` if the fit diverged.
    pub metric: Option<f64>,
}

/// Result of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The network of the chosen fit.
    pub network: Network,
    /// Rank of the chosen fit.
    pub chosen: usize,
    /// All fits.
    pub fits: Vec<Fitted>,
}

/// Parts of the data of which one is the validation data, where they are not given.
const PARTS: usize = 10;
/// Sequences to be fitted to, and validated on, at least.
const LEAST: usize = 6;
/// Time from one note to the next.
const NOTED_EVERY: Duration = Duration::from_secs(20);

/// Divides a data set into what is fitted to and a tenth for validation, class by class; equal sequences (with two
/// strands also reverse complements) stay together.
///
/// # Errors
/// Too few sequences.
pub fn split(dataset: &Dataset, strands: Strands, seed: u64) -> Result<(Dataset, Dataset)> {
    dataset.require(PARTS * LEAST, 1)?;
    let seed = stream(seed, Purpose::Folds, 0, 0);
    let mut parts = fold::ranks(dataset, PARTS, strands == Strands::Single, seed);
    let held_out = parts.swap_remove(0);
    let select = |ranks: &[u32]| {
        let mut ranks: Vec<usize> = ranks.iter().map(|&rank| rank as usize).collect();
        ranks.sort_unstable();
        dataset.select(&ranks)
    };
    Ok((select(&parts.concat())?, select(&held_out)?))
}

impl Training<'_> {
    /// Makes the fits. Of a budget each has its share: it ends where another epoch would exceed that, but one epoch is
    /// always made. Fits are noted after their epochs, to go on from.
    ///
    /// # Errors
    /// A network that does not fit the sequences' length, sequences of several lengths, data that cannot be fitted, fits
    /// that all diverged, a state file that cannot be written or belongs to another run, and cancellation.
    pub fn run(&self, resources: &Resources<'_>, progress: &(dyn Fn(Progress) + Sync)) -> Result<Outcome> {
        self.check()?;
        let run = Run {
            training: self,
            resources,
            progress,
            digest: self.digest(),
            standings: Mutex::new((vec![None; self.fits], Instant::now())),
            began: Instant::now(),
            failed: AtomicBool::new(false),
        };
        run.run()
    }

    fn check(&self) -> Result<()> {
        let Training { training, validation, settings, .. } = self;
        check_sizes(&[
            ("fits", self.fits),
            ("sequences a step", settings.batch),
            ("epochs", settings.epochs),
            ("patience", settings.patience),
        ])?;
        if settings.strands == Strands::Symmetric {
            let message = "only DeepBind networks can be made symmetric; a network of layers reads both strands, or one";
            return Err(Error::Request(message.into()));
        }
        training.require(LEAST, 1)?;
        for (set, dataset) in [("training", training), ("validation", validation)] {
            let (shortest, longest) = dataset.lengths();
            let (_, window) = training.lengths();
            if (shortest, longest) != (window, window) {
                return Err(Error::Data(format!(
                    "the {set} sequences have {shortest} to {longest} bases, but a network of layers is fitted to windows \
                     of one length ({window}): cut them, or fill them up with N"
                )));
            }
        }
        if validation.outputs == 1 {
            validation.require(1, 1)?;
        }
        if validation.output_names != training.output_names || validation.kind != training.kind {
            return Err(Error::Mismatch(
                "the validation data have other targets than the training data".into(),
            ));
        }
        let (_, window) = training.lengths();
        self.architecture.shapes(window).map(drop).map_err(|e| {
            Error::Mismatch(format!("the network does not go with windows of {window} bases: {e}"))
        })
    }

    fn digest(&self) -> String {
        let Training { architecture, training, validation, settings, fits } = self;
        let (training, validation) = (&training.digest, &validation.digest);
        run_digest(&format!("{architecture:?} {settings:?} {fits} {training} {validation}"))
    }
}

/// A run under way.
struct Run<'a> {
    training: &'a Training<'a>,
    resources: &'a Resources<'a>,
    progress: &'a (dyn Fn(Progress) + Sync),
    digest: String,
    /// Each fit after its last epoch, and when they were last written.
    standings: Mutex<(Vec<Option<Standing>>, Instant)>,
    began: Instant,
    /// True if a fit ended in an error, so that the others need not go on.
    failed: AtomicBool,
}

impl Run<'_> {
    fn run(&self) -> Result<Outcome> {
        let fits = self.training.fits;
        if let Some(path) = self.resources.state {
            self.standings().0 = state::read(path, &self.digest, fits)?;
        }
        let threads = self.resources.threads.clamp(1, fits);
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<(usize, Fitted, Network)>> {
            let mut own = Vec::new();
            loop {
                let rank = next.fetch_add(1, Ordering::Relaxed);
                if rank >= fits {
                    return Ok(own);
                }
                let fit = self.fit(rank);
                let (fitted, network) = fit.inspect_err(|_| self.failed.store(true, Ordering::Relaxed))?;
                own.push((rank, fitted, network));
            }
        };
        let ends: Vec<Result<_>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
            joined.map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        let (mut all, mut errors) = (Vec::with_capacity(fits), Vec::new());
        for end in ends {
            match end {
                Ok(own) => all.extend(own),
                Err(error) => errors.push(error),
            }
        }
        // The failure of one fit has interrupted the others.
        if let Some(error) = errors.into_iter().min_by_key(|error| matches!(error, Error::Interrupted)) {
            self.write()?;
            return Err(error);
        }
        all.sort_by_key(|(rank, ..)| *rank);
        let metrics = all.iter().filter_map(|(rank, fitted, _)| Some((*rank, fitted.metric?)));
        let best = metrics.reduce(|best, next| if next.1 > best.1 { next } else { best });
        let Some((chosen, _)) = best else {
            let message = "every fit diverged; try a lower --learning-rate, or look for extreme targets";
            return Err(Error::Diverged(message.into()));
        };
        let network = all[chosen].2.clone();
        Ok(Outcome { network, chosen, fits: all.into_iter().map(|(_, fitted, _)| fitted).collect() })
    }

    fn fit(&self, rank: usize) -> Result<(Fitted, Network)> {
        let Training { architecture, training, validation, settings, .. } = *self.training;
        let fit = Fit::new(architecture, training, validation, settings, rank);
        let mut fit = fit.map_err(Error::Request)?;
        if let Some(Standing { course, memory }) = self.standings().0[rank].clone()
            && !fit.restore(course, &memory)
        {
            return Err(Error::Mismatch(
                "the state of the training does not fit its network; begin anew".into(),
            ));
        }
        let began = Instant::now();
        while !fit.course.ended && !self.is_late(began, &fit.course) {
            if !fit.epoch(|| self.is_cancelled()) {
                return Err(Error::Interrupted);
            }
            self.note(rank, &mut fit)?;
        }
        let Course { epochs, best, steps, .. } = fit.course.clone();
        Ok((Fitted { epochs, best, steps, metric: fit.metric() }, fit.into_network()))
    }

    fn is_cancelled(&self) -> bool {
        self.resources.cancel.load(Ordering::Relaxed) || self.failed.load(Ordering::Relaxed)
    }

    /// True if another epoch would take longer than the fit's share of the budget.
    fn is_late(&self, began: Instant, course: &Course) -> bool {
        let Some(budget) = self.resources.budget.filter(|_| !course.epochs.is_empty()) else { return false };
        let rounds = self.training.fits.div_ceil(self.resources.threads.max(1)) as u32;
        let one = began.elapsed() / course.epochs.len() as u32;
        began.elapsed() + one > budget / rounds || self.began.elapsed() + one > budget
    }

    fn note(&self, rank: usize, fit: &mut Fit<'_>) -> Result<()> {
        let standing = Standing { course: fit.course.clone(), memory: fit.memory() };
        let progress = {
            let mut standings = self.standings();
            standings.0[rank] = Some(standing);
            let courses = || standings.0.iter().flatten().map(|fit| &fit.course);
            let best = courses().filter(|course| !course.diverged).map(|course| &course.epochs[course.best]);
            Progress {
                epochs: courses().map(|course| course.epochs.len()).sum(),
                fits: courses().filter(|course| course.ended).count(),
                best: best.map(|epoch| epoch.metric).reduce(f64::max),
            }
        };
        (self.progress)(progress);
        let due = self.standings().1.elapsed() >= NOTED_EVERY;
        if due { self.write() } else { Ok(()) }
    }

    fn write(&self) -> Result<()> {
        let Some(path) = self.resources.state else { return Ok(()) };
        let mut standings = self.standings();
        standings.1 = Instant::now();
        if standings.0.iter().any(Option::is_some) {
            state::write(path, &self.digest, &standings.0)?;
        }
        Ok(())
    }

    fn standings(&self) -> MutexGuard<'_, (Vec<Option<Standing>>, Instant)> {
        lock(&self.standings)
    }
}
