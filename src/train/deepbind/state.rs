//! The fits that are done, kept in a file so that an interrupted run can go on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::dataset::Dataset;
use crate::io::output::Output;
use crate::train::deepbind::search::{FoldResult, Protocol};
use crate::train::trainer::{not_a_state, other_run, read_state, run_digest};

/// Results of the cross-validation so far.
#[derive(Debug)]
pub(crate) struct State {
    path: Option<PathBuf>,
    record: Record,
}

/// Contents of the file, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    /// Digest of protocol, data and program version: results of another run are of no use.
    run: String,
    /// By `trial.fold`.
    fits: BTreeMap<String, FoldResult>,
}

impl State {
    /// State of this run: the file's results, if there is a file.
    ///
    /// # Errors
    /// A file that cannot be read, is no such file, or belongs to another run.
    pub(crate) fn open(path: Option<&Path>, protocol: &Protocol, dataset: &Dataset) -> Result<State> {
        let run = run_digest(&format!("{protocol:?} {} {:?}", dataset.digest, dataset.folds));
        let empty = Record { format: 1, run: run.clone(), fits: BTreeMap::new() };
        let Some(path) = path else { return Ok(State { path: None, record: empty }) };
        let Some(bytes) = read_state(path)? else {
            return Ok(State { path: Some(path.to_path_buf()), record: empty });
        };
        let record: Record =
            serde_json::from_slice(&bytes).map_err(|e| not_a_state(path, &format!(" ({e})")))?;
        if record.format != 1 || record.run != run {
            return Err(other_run(path));
        }
        Ok(State { path: Some(path.to_path_buf()), record })
    }

    pub(crate) fn len(&self) -> usize {
        self.record.fits.len()
    }

    pub(crate) fn has(&self, trial: usize, fold: usize) -> bool {
        self.get(trial, fold).is_some()
    }

    pub(crate) fn get(&self, trial: usize, fold: usize) -> Option<&FoldResult> {
        self.record.fits.get(&key(trial, fold))
    }

    /// Adds a result and writes the file, which is whole at any time.
    pub(crate) fn add(&mut self, trial: usize, fold: usize, result: FoldResult) -> Result<()> {
        self.record.fits.insert(key(trial, fold), result);
        let Some(path) = &self.path else { return Ok(()) };
        let mut file = Output::create(path)?;
        file.write(serde_json::json!(self.record).to_string().as_bytes())?;
        file.finish()
    }
}

fn key(trial: usize, fold: usize) -> String {
    format!("{trial}.{fold}")
}
