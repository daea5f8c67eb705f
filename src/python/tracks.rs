//! Results of a scan for Python: sites in columns, and scores as arrays.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::wait;
use crate::null::distribution::Origin;
use crate::scan::{Scores, Sites};
use crate::seq::contig::Strand;
use crate::track::record::SiteRecord;
use crate::{Error, Result};

/// Sites as columns.
#[derive(Default)]
struct Columns {
    contig: Vec<i32>,
    start: Vec<i64>,
    end: Vec<i64>,
    target: Vec<i32>,
    strand: Vec<i8>,
    score: Vec<f32>,
    p_value: Vec<f64>,
    q_value: Vec<f64>,
    p_source: Vec<i8>,
}

/// Contigs by rank, as sites name them.
#[derive(Default)]
struct Contigs {
    names: Vec<Arc<str>>,
    ranks: HashMap<Arc<str>, i32>,
}

impl Contigs {
    fn rank(&mut self, name: &Arc<str>) -> i32 {
        if let Some(&rank) = self.ranks.get(name) {
            return rank;
        }
        let rank = self.names.len() as i32;
        self.names.push(Arc::clone(name));
        self.ranks.insert(Arc::clone(name), rank);
        rank
    }
}

impl Columns {
    fn push(&mut self, site: &SiteRecord, contig: i32) {
        self.contig.push(contig);
        self.start.push(site.start as i64);
        self.end.push(site.end as i64);
        self.target.push(site.target as i32);
        self.strand.push(match site.strand {
            Some(Strand::Forward) => 1,
            Some(Strand::Reverse) => -1,
            None => 0,
        });
        self.score.push(site.score);
        self.p_value.push(site.p_value.unwrap_or(f64::NAN));
        self.q_value.push(site.q_value.unwrap_or(f64::NAN));
        self.p_source.push(match site.p_source {
            None => 0,
            Some(Origin::Exact) => 1,
            Some(Origin::Sampled) => 2,
            Some(Origin::Extrapolated) => 3,
        });
    }

    fn into_dict(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("contig", self.contig.into_pyarray(py))?;
        dict.set_item("start", self.start.into_pyarray(py))?;
        dict.set_item("end", self.end.into_pyarray(py))?;
        dict.set_item("target", self.target.into_pyarray(py))?;
        dict.set_item("strand", self.strand.into_pyarray(py))?;
        dict.set_item("score", self.score.into_pyarray(py))?;
        dict.set_item("p_value", self.p_value.into_pyarray(py))?;
        dict.set_item("q_value", self.q_value.into_pyarray(py))?;
        dict.set_item("p_source", self.p_source.into_pyarray(py))?;
        Ok(dict)
    }
}

struct SiteState {
    sites: Sites,
    contigs: Contigs,
    ended: bool,
}

/// The sites of a scan that is under way.
#[pyclass(frozen, module = "bindscan._bindscan")]
pub(super) struct SiteStream {
    state: Mutex<SiteState>,
    cancel: Arc<AtomicBool>,
}

impl SiteStream {
    pub(super) fn new(sites: Sites, cancel: Arc<AtomicBool>) -> SiteStream {
        let state = SiteState { sites, contigs: Contigs::default(), ended: false };
        SiteStream { state: Mutex::new(state), cancel }
    }

    fn with<T>(&self, work: impl FnOnce(&mut SiteState) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SiteState {
    /// Takes sites that are at hand.
    fn take(&mut self, columns: &mut Columns, most: usize) -> Result<()> {
        while columns.start.len() < most && !self.ended && self.sites.wait(Duration::ZERO) {
            match self.sites.next() {
                Some(site) => {
                    let site = site?;
                    let contig = self.contigs.rank(&site.contig);
                    columns.push(&site, contig);
                }
                None => self.ended = true,
            }
        }
        Ok(())
    }
}

#[pymethods]
impl SiteStream {
    /// The next sites as columns: some that are at hand, or all that are left; no columns at the end.
    fn columns<'py>(&self, py: Python<'py>, all: bool) -> PyResult<Option<Bound<'py, PyDict>>> {
        let most = if all { usize::MAX } else { 4096 };
        let mut columns = Columns::default();
        loop {
            wait(py, &self.cancel, |time| self.with(|state| state.ended || state.sites.wait(time)))?;
            py.detach(|| self.with(|state| state.take(&mut columns, most)))?;
            let ended = self.with(|state| state.ended);
            if ended && columns.start.is_empty() && !all {
                return Ok(None);
            }
            if ended || !all {
                return columns.into_dict(py).map(Some);
            }
        }
    }

    /// Names of the targets, by rank.
    fn targets(&self) -> Vec<String> {
        self.with(|state| state.sites.names().iter().map(ToString::to_string).collect())
    }

    /// Names of the contigs that have sites, by rank.
    fn contigs(&self) -> Vec<String> {
        self.with(|state| state.contigs.names.iter().map(ToString::to_string).collect())
    }

    /// Bases, windows, windows left out and sites, once the scan is over.
    fn summary(&self) -> Option<(u64, u64, u64, u64)> {
        let of = |summary: &crate::scan::ScanSummary| {
            (summary.bases, summary.windows, summary.left_out, summary.sites)
        };
        self.with(|state| state.sites.summary().map(of))
    }
}

/// The scores of a scan that is under way.
#[pyclass(frozen, module = "bindscan._bindscan")]
pub(super) struct TrackStream {
    scores: Mutex<Scores>,
    cancel: Arc<AtomicBool>,
}

/// Target, contig, first base, bases of a bin, values.
type Track<'py> = (String, String, u64, u64, Bound<'py, PyArray1<f32>>);

impl TrackStream {
    pub(super) fn new(scores: Scores, cancel: Arc<AtomicBool>) -> TrackStream {
        TrackStream { scores: Mutex::new(scores), cancel }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Scores) -> T) -> T {
        work(&mut self.scores.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl TrackStream {
    /// The next track; none at the end.
    fn track<'py>(&self, py: Python<'py>) -> PyResult<Option<Track<'py>>> {
        wait(py, &self.cancel, |time| self.with(|scores| scores.wait(time)))?;
        let next = py.detach(|| self.with(Iterator::next));
        let track = match next {
            None => return Ok(None),
            Some(Err(Error::Interrupted)) => return Err(Error::Interrupted.into()),
            Some(track) => track?,
        };
        let (name, contig) = (track.name.to_string(), track.contig.to_string());
        Ok(Some((name, contig, track.start, track.bin, track.values.into_pyarray(py))))
    }
}
