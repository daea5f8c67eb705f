//! The fits of a cross-validation that are done, of which an interrupted run keeps what it has.

use std::collections::BTreeMap;

use crate::Result;
use crate::dataset::Dataset;
use crate::train::deepbind::search::{FoldResult, Protocol};
use crate::train::state::StateFile;
use crate::train::trainer::Resources;

/// Results of the cross-validation so far.
#[derive(Debug)]
pub(crate) struct State {
    file: StateFile,
    /// By `trial.fold`.
    fits: BTreeMap<String, FoldResult>,
}

impl State {
    /// State of this run: the file's results, if there is a file.
    ///
    /// # Errors
    /// As [`StateFile::read`].
    pub(crate) fn open(resources: &Resources<'_>, protocol: &Protocol, dataset: &Dataset) -> Result<State> {
        let inputs = format!("{protocol:?} {} {:?}", dataset.digest, dataset.folds);
        let file = StateFile::new(resources.state, &inputs);
        let fits = file.read()?.map_or_else(BTreeMap::new, |(fits, _)| fits);
        Ok(State { file, fits })
    }

    pub(crate) fn len(&self) -> usize {
        self.fits.len()
    }

    pub(crate) fn has(&self, trial: usize, fold: usize) -> bool {
        self.get(trial, fold).is_some()
    }

    pub(crate) fn get(&self, trial: usize, fold: usize) -> Option<&FoldResult> {
        self.fits.get(&key(trial, fold))
    }

    /// Adds a result and writes the file.
    pub(crate) fn add(&mut self, trial: usize, fold: usize, result: FoldResult) -> Result<()> {
        self.fits.insert(key(trial, fold), result);
        self.file.write(&self.fits, std::iter::empty())
    }
}

fn key(trial: usize, fold: usize) -> String {
    format!("{trial}.{fold}")
}
