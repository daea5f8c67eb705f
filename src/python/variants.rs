//! Alleles and substitutions, for Python.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::{IntoPyArray, PyArray2, PyArrayMethods};
use pyo3::prelude::*;

use super::interruptible;
use super::model::Models;
use super::sequences::codes;
use crate::Result;
use crate::engine::planned::{model_outputs, scanners};
use crate::genome::random_access::Lookup;
use crate::io::output::Output;
use crate::seq::alphabet::ascii_of_code;
use crate::seq::contig::{Contig, RegionQuery};
use crate::track::outputs::provenance;
use crate::variants::mutation_map::{self, Panel, Shown, Stretch, maps, stretches_of_genome};
use crate::variants::scorer::flank;
use crate::variants::{Annotation, Calls, Counts, Format, Watch, annotate};

/// Warns of records that do not fit the genome.
struct Problems(u64);

/// Records that are named at the most.
const NAMED: u64 = 5;

impl Watch for Problems {
    fn progress(&mut self, _at: (u64, Option<u64>), _counts: &Counts) {}

    fn problem(&mut self, message: &str) {
        self.0 += 1;
        if self.0 <= NAMED {
            log::warn!("{message}");
        }
    }
}

/// A map: model, contig, first base, letters, and an array `[4, L]`.
type Map<'py> = (String, String, u64, String, Bound<'py, PyArray2<f32>>);

/// Scores the alleles of calls and writes the program's table to `table`; gives the summary in words.
#[pyfunction]
pub(super) fn variants(
    models: &Models,
    py: Python<'_>,
    calls: PathBuf,
    genome: PathBuf,
    table: PathBuf,
    regions: Vec<String>,
    strict: bool,
    force: bool,
    mask_lowercase: bool,
    threads: Option<usize>,
) -> PyResult<String> {
    let threads = super::model::threads(threads)?;
    interruptible(py, |cancel| {
        let (workers, places) = scanners(models.planned(), threads)?;
        let targets = model_outputs(models.planned(), &places);
        let genome = Lookup::open(&genome, mask_lowercase)?;
        let regions: Vec<RegionQuery> = regions.iter().map(|region| RegionQuery::parse(region)).collect();
        let regions = if regions.is_empty() { None } else { Some(genome.select(&regions)?) };
        let calls = Calls::open(&calls)?;
        let annotation = Annotation {
            genome: &genome,
            targets: &targets,
            regions: regions.as_deref(),
            strict,
            check: !force,
        };
        let provenance = provenance("bindscan.variants".into(), models.planned(), &[]);
        let sink = annotation.sink(&calls, Output::create(&table)?, (Format::Tsv, false), &provenance)?;
        let mut problems = Problems(0);
        let summary = annotate(calls, &annotation, workers, &provenance, vec![sink], &mut problems, cancel)?;
        Ok(summary.to_string())
    })
}

/// Maps every substitution in sequences.
#[pyfunction]
pub(super) fn map_sequences<'py>(
    models: &Models,
    py: Python<'py>,
    sequences: &Bound<'py, PyAny>,
    effect: bool,
    threads: Option<usize>,
) -> PyResult<Vec<Map<'py>>> {
    let mut stretches = Vec::new();
    for (id, codes) in codes(sequences)?.into_iter().enumerate() {
        let length = codes.len() as u64;
        let contig = Arc::new(Contig { id, name: (id + 1).to_string(), length: Some(length) });
        stretches.push(Stretch { contig, start: 0, codes, wanted: 0..length });
    }
    let mut stretches = stretches.into_iter();
    map(models, py, effect, threads, |_| Ok(move || Ok(stretches.next())))
}

/// Maps every substitution in regions of a genome.
#[pyfunction]
pub(super) fn map_regions<'py>(
    models: &Models,
    py: Python<'py>,
    genome: PathBuf,
    regions: Vec<String>,
    effect: bool,
    mask_lowercase: bool,
    threads: Option<usize>,
) -> PyResult<Vec<Map<'py>>> {
    map(models, py, effect, threads, |flank| {
        let genome = Lookup::open(&genome, mask_lowercase)?;
        let regions: Vec<RegionQuery> = regions.iter().map(|region| RegionQuery::parse(region)).collect();
        let wanted = genome.select(&regions)?;
        Ok(stretches_of_genome(genome, wanted, flank))
    })
}

/// Maps every substitution in stretches. `open` gives their source, with so many bases beside each.
fn map<'py, Next>(
    models: &Models,
    py: Python<'py>,
    effect: bool,
    threads: Option<usize>,
    open: impl FnOnce(u64) -> Result<Next> + Send,
) -> PyResult<Vec<Map<'py>>>
where
    Next: FnMut() -> Result<Option<Stretch>> + Send,
{
    let threads = super::model::threads(threads)?;
    let panels = interruptible(py, |cancel| {
        let (workers, places) = scanners(models.planned(), threads)?;
        let targets = model_outputs(models.planned(), &places);
        let next = open(flank(&workers[0]) as u64)?;
        let (sink, panels) = maps();
        let shown = (shown(effect), vec![sink]);
        let summary = mutation_map::run(next, (&targets, workers), shown, &[], |_| {}, cancel)?;
        warn_of_short(&summary);
        Ok(panels.iter().collect::<Vec<_>>())
    })?;
    panels.into_iter().map(|panel| arrays(py, &panel)).collect()
}

fn warn_of_short(summary: &mutation_map::Summary) {
    if summary.short > 0 {
        log::warn!("{} positions of sequences too short for a model: their effects are 0", summary.short);
    }
}

fn shown(effect: bool) -> Shown {
    if effect { Shown::Effect } else { Shown::Difference }
}

fn arrays<'py>(py: Python<'py>, panel: &Panel) -> PyResult<Map<'py>> {
    let length = panel.values.len();
    let mut values = vec![0.0; 4 * length];
    for (at, column) in panel.values.iter().enumerate() {
        column.iter().enumerate().for_each(|(base, &value)| values[base * length + at] = value);
    }
    let letters = panel.codes.iter().map(|&code| char::from(ascii_of_code(code))).collect();
    let array = values.into_pyarray(py).reshape([4, length])?;
    Ok((panel.model.clone(), panel.contig.clone(), panel.start, letters, array))
}
