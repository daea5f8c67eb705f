//! A training: several fits side by side, of which the best on validation data is kept.
//!
//! Every fit has random numbers of its own, made from the seed, its rank and the epoch: what comes out does not depend on
//! the number of threads, or on where a training was interrupted.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::dataset::Dataset;
use crate::dataset::fold;
use crate::model::Strands;
use crate::train::layers::architecture::Architecture;
use crate::train::layers::fit::{Course, Fit, Settings};
use crate::train::layers::network::Network;
use crate::train::state::StateFile;
use crate::train::trainer::{Clock, Point, Purpose, Resources, best, check_sizes, lock, stream};
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
    pub epochs: Vec<Point>,
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
            progress,
            state: StateFile::new(resources.state, &self.inputs()),
            standings: Mutex::new((vec![None; self.fits], Instant::now())),
            clock: Clock::start(resources),
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

    /// Everything that determines the outcome.
    fn inputs(&self) -> String {
        let Training { architecture, training, validation, settings, fits } = self;
        let (training, validation) = (&training.digest, &validation.digest);
        format!("{architecture:?} {settings:?} {fits} {training} {validation}")
    }
}

/// A run under way.
struct Run<'a> {
    training: &'a Training<'a>,
    progress: &'a (dyn Fn(Progress) + Sync),
    state: StateFile,
    /// Each fit after its last epoch, and when they were last written.
    standings: Mutex<(Vec<Option<Standing>>, Instant)>,
    clock: Clock<'a>,
}

/// A fit as it stood after its last epoch.
#[derive(Debug, Clone, Default)]
struct Standing {
    course: Course,
    memory: Vec<f32>,
}

impl Run<'_> {
    fn run(&self) -> Result<Outcome> {
        self.resume()?;
        let made = self.clock.run(self.training.fits, |rank| self.fit(rank).map(Some));
        if made.is_err() {
            self.write()?;
        }
        let all: Vec<(Fitted, Network)> = made?.into_iter().flatten().collect();
        let Some((chosen, _)) =
            best(all.iter().map(|(fitted, _)| fitted.metric).enumerate().filter_map(scored))
        else {
            let message = "every fit diverged; try a lower --learning-rate, or look for extreme targets";
            return Err(Error::Diverged(message.into()));
        };
        let network = all[chosen].1.clone();
        Ok(Outcome { network, chosen, fits: all.into_iter().map(|(fitted, _)| fitted).collect() })
    }

    /// Takes up the fits where an earlier run left them.
    fn resume(&self) -> Result<()> {
        let Some((fits, mut numbers)) = self.state.read::<Vec<(Course, usize)>>()? else { return Ok(()) };
        if fits.len() != self.training.fits {
            return Err(self.state.of_another_run());
        }
        let mut standings = self.standings();
        for (rank, (course, count)) in fits.into_iter().enumerate() {
            if count > numbers.len() {
                return Err(self.state.unreadable(""));
            }
            let rest = numbers.split_off(count);
            let memory = std::mem::replace(&mut numbers, rest);
            standings.0[rank] = (!course.epochs.is_empty()).then_some(Standing { course, memory });
        }
        if numbers.is_empty() { Ok(()) } else { Err(self.state.unreadable("")) }
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
        let before = fit.course.epochs.len();
        while !fit.course.ended && !self.is_late(began, fit.course.epochs.len() - before) {
            if !fit.epoch(|| self.clock.is_over()) {
                return Err(Error::Interrupted);
            }
            self.note(rank, &mut fit)?;
        }
        let Course { epochs, best, steps, .. } = fit.course.clone();
        Ok((Fitted { epochs, best, steps, metric: fit.metric() }, fit.into_network()))
    }

    /// True if another epoch would take longer than the fit's share of the budget, after so many since this run began with it.
    fn is_late(&self, began: Instant, epochs: usize) -> bool {
        let Some(share) = self.clock.share(self.training.fits).filter(|_| epochs > 0) else { return false };
        let one = began.elapsed() / epochs as u32;
        began.elapsed() + one > share || self.clock.lacks(one)
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
        let mut standings = self.standings();
        standings.1 = Instant::now();
        if standings.0.iter().all(Option::is_none) {
            return Ok(());
        }
        let entry = |fit: &Option<Standing>| {
            fit.as_ref().map_or_else(Default::default, |fit| (fit.course.clone(), fit.memory.len()))
        };
        let fits: Vec<(Course, usize)> = standings.0.iter().map(entry).collect();
        self.state.write(&fits, standings.0.iter().flatten().map(|fit| &*fit.memory))
    }

    fn standings(&self) -> MutexGuard<'_, (Vec<Option<Standing>>, Instant)> {
        lock(&self.standings)
    }
}

/// A fit with its metric, unless it diverged.
fn scored((rank, metric): (usize, Option<f64>)) -> Option<(usize, f64)> {
    Some((rank, metric?))
}
