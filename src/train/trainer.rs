//! Parts of a training that do not depend on the kind of network: its resources, the seeds of its random numbers, and the
//! file from which an interrupted one goes on.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::dataset::TargetKind;
use crate::io::digest::hex;
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

/// Name of the metric that fits are compared by.
pub fn metric_name(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Binary => "AUC",
        TargetKind::Real => "Pearson correlation",
    }
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

/// Digest of everything that determines the outcome of a run, and of the program's version.
pub(crate) fn run_digest(inputs: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    hex(&Sha256::digest(format!("{version} {inputs}").as_bytes()))
}

/// Reads the state of a run; `None` if there is none yet.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn read_state(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path, "cannot read")(error)),
    }
}

/// The error for a file that is no state of a training; `detail` says more, or nothing.
pub(crate) fn not_a_state(path: &Path, detail: &str) -> Error {
    Error::format(path, None, format!("not the state of a training{detail}; remove it to begin anew"))
}

/// The error for the state of another run.
pub(crate) fn other_run(path: &Path) -> Error {
    let message =
        "the state of a training with other data or options; repeat those, or remove it to begin anew";
    Error::format(path, None, message)
}

/// Locks a mutex, whose value is whole whatever became of other threads.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
