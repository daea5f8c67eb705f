//! Parts of a training that do not depend on the kind of network: its resources, the threads that make its fits, the seeds of its
//! random numbers, and how fits are compared.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::dataset::{Dataset, TargetKind};
use crate::{Error, Result};

/// Options of a run that do not change the outcome, except for a budget that ends the search early.
#[derive(Debug, Clone, Copy)]
pub struct Resources<'a> {
    /// Fits at a time.
    pub threads: usize,
    /// Time for the whole. In a search no new trial is begun that would not leave enough for the final fits; one is always
    /// made.
    pub budget: Option<Duration>,
    /// File of finished fits: a run starts from those that it finds there.
    pub state: Option<&'a Path>,
    /// Set to end the run with [`Error::Interrupted`].
    pub cancel: &'a AtomicBool,
}

/// A fit, some steps on its way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Mean loss of the steps since the last point.
    pub loss: f64,
    /// AUC (binary targets) or Pearson correlation (real ones) on what is held out, the mean over outputs.
    pub metric: f64,
}

/// A run under way: its time, and whether it has to end.
#[derive(Debug)]
pub(crate) struct Clock<'a> {
    resources: &'a Resources<'a>,
    began: Instant,
    /// True if a fit ended in an error, so that the others need not go on.
    failed: AtomicBool,
}

impl<'a> Clock<'a> {
    /// Starts a run.
    pub(crate) fn start(resources: &'a Resources<'a>) -> Clock<'a> {
        Clock { resources, began: Instant::now(), failed: AtomicBool::new(false) }
    }

    /// True if `more` time would exceed the budget.
    pub(crate) fn lacks(&self, more: Duration) -> bool {
        self.resources.budget.is_some_and(|budget| self.began.elapsed() + more > budget)
    }

    /// The part of the budget that each of `fits` has, made as many at a time as there are threads.
    pub(crate) fn share(&self, fits: usize) -> Option<Duration> {
        self.resources.budget.map(|budget| budget / self.rounds(fits))
    }

    /// Times that the threads have to be used for so many fits.
    pub(crate) fn rounds(&self, fits: usize) -> u32 {
        fits.div_ceil(self.resources.threads.max(1)) as u32
    }

    /// True if fits are to end now.
    pub(crate) fn is_over(&self) -> bool {
        self.resources.cancel.load(Ordering::Relaxed) || self.failed.load(Ordering::Relaxed)
    }

    /// Makes fits in threads, one after another in each: `fit` is given their ranks from 0. Returns what it gives, in the order
    /// of the ranks; after a `None` no thread that met it goes on.
    ///
    /// # Errors
    /// The first failure of a fit, which ends the others.
    pub(crate) fn run<T: Send>(
        &self,
        fits: usize,
        fit: impl Fn(usize) -> Result<Option<T>> + Sync,
    ) -> Result<Vec<Option<T>>> {
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<(usize, T)>> {
            let mut own = Vec::new();
            while !self.failed.load(Ordering::Relaxed) {
                let rank = next.fetch_add(1, Ordering::Relaxed);
                if rank >= fits {
                    break;
                }
                match fit(rank).inspect_err(|_| self.failed.store(true, Ordering::Relaxed))? {
                    Some(made) => own.push((rank, made)),
                    None => break,
                }
            }
            Ok(own)
        };
        let ends: Vec<Result<_>> = thread::scope(|scope| {
            let threads = self.resources.threads.clamp(1, fits.max(1));
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let joined = threads.into_iter().map(ScopedJoinHandle::join);
            joined.map(|end| end.unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        let (mut all, mut errors): (Vec<Option<T>>, Vec<Error>) =
            ((0..fits).map(|_| None).collect(), Vec::new());
        for end in ends {
            match end {
                Ok(own) => own.into_iter().for_each(|(rank, made)| all[rank] = Some(made)),
                Err(error) => errors.push(error),
            }
        }
        // The failure of one fit has interrupted the others.
        match errors.into_iter().min_by_key(|error| matches!(error, Error::Interrupted)) {
            Some(error) => Err(error),
            None => Ok(all),
        }
    }
}

/// The one with the highest metric; the first of equal ones.
pub(crate) fn best<T>(scored: impl Iterator<Item = (T, f64)>) -> Option<(T, f64)> {
    scored.reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// Name of the metric that fits are compared by.
pub fn metric_name(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Binary => "AUC",
        TargetKind::Real => "Pearson correlation",
    }
}

/// The provenance of a model: what that of every one says of its training, and these `fields`.
pub(crate) fn provenance(
    dataset: &Dataset,
    fields: impl IntoIterator<Item = (&'static str, Value)>,
) -> Map<String, Value> {
    let of_all = [
        ("trainer", json!(format!("bindscan {}", env!("CARGO_PKG_VERSION")))),
        ("data_sha256", json!(dataset.digest)),
        ("sequences", json!(dataset.len())),
        ("metric", json!(metric_name(dataset.kind))),
    ];
    of_all.into_iter().chain(fields).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Refuses sizes of a training of which one is 0.
///
/// # Errors
/// The name of the size.
pub(crate) fn check_sizes(sizes: &[(&str, usize)]) -> Result<()> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        Some((name, _)) => Err(Error::Request(format!("{name}: 0 is too few"))),
        None => Ok(()),
    }
}

/// Purpose of a stream of random numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Folds = 1,
    Draw = 2,
    Trial = 3,
    Final = 4,
    Weights = 5,
    Epoch = 6,
    Distillation = 7,
}

/// The seed of one stream of random numbers: a mixture (SplitMix64's) of all that it is for.
pub(crate) fn stream(seed: u64, purpose: Purpose, trial: usize, fold: usize) -> u64 {
    [purpose as u64, trial as u64, fold as u64].into_iter().fold(seed, |state, part| {
        let mut z = state.wrapping_add(part.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}

/// Locks a mutex, whose value is whole whatever became of other threads.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
