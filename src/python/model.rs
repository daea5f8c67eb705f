//! Models for Python: one or several, run together.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;

use super::sequences::codes;
use super::tracks::{SiteStream, TrackStream};
use super::{interruptible, request};
use crate::calibrate::nulls::{BackgroundSource, NullOptions};
use crate::engine::planned::{PlanOptions, Planned, check_names};
use crate::engine::scorer::{Scorer, score_all};
use crate::engine::summary::Summary;
use crate::model::motif::MotifOptions;
use crate::model::{Heads, Model, OpenOptions, bundled};
use crate::scan::search::SiteChoice;
use crate::scan::{Overlaps, Scan};
use crate::scores::HitStrands;
use crate::seq::window::{Context, StrandChoice};
use crate::track::score::Summary as BinSummary;

/// Bases that one thread scores faster than others could be started.
const FEW_BASES: usize = 20_000;

/// Models, run together: each output of each model is a column or a track.
#[pyclass(frozen, module = "bindscan._bindscan")]
pub(super) struct Models {
    models: Vec<Model>,
    plan: PlanOptions,
    planned: Vec<Planned>,
    /// Scorers of sequences, kept from the last call.
    scorers: Mutex<Option<Scorers>>,
}

/// Scorers of each model, one a thread.
struct Scorers {
    average: bool,
    threads: usize,
    by_model: Vec<Vec<Scorer>>,
}

/// Names of the models that are built in.
#[pyfunction]
pub(super) fn bundled_models() -> Vec<&'static str> {
    bundled::names().collect()
}

pub(super) fn threads(asked: Option<usize>) -> PyResult<usize> {
    match asked {
        Some(0) => Err(request("threads: give 1 or more")),
        Some(threads) => Ok(threads),
        None => Ok(thread::available_parallelism().map_or(1, usize::from)),
    }
}

fn strand_choice(strand: &str) -> PyResult<StrandChoice> {
    match strand {
        "both" => Ok(StrandChoice::Both),
        "+" => Ok(StrandChoice::Forward),
        "-" => Ok(StrandChoice::Reverse),
        other => Err(request(format!("strand {other:?}: give \"both\", \"+\" or \"-\""))),
    }
}

impl Models {
    pub(super) fn planned(&self) -> &[Planned] {
        &self.planned
    }

    fn from_models(models: Vec<Model>, plan: PlanOptions) -> PyResult<Models> {
        let planned: Result<Vec<Planned>, crate::Error> =
            models.iter().map(|model| Planned::new(model.clone(), &plan)).collect();
        let planned = planned?;
        check_names(&planned)?;
        Ok(Models { models, plan, planned, scorers: Mutex::new(None) })
    }

    fn scan_of(&self, genome: PathBuf, options: ScanOptions) -> PyResult<Scan> {
        let ScanOptions { regions, regions_file, stride, most_n, mask_lowercase, threads: asked } = options;
        if stride == 0 {
            return Err(request("stride: give 1 or more"));
        }
        let plan = self.plan.clone().stride(stride);
        let mut scan = Scan::new(genome).models(self.models.iter().cloned()).plan(plan);
        for region in regions {
            scan = scan.region(&region);
        }
        if let Some(path) = regions_file {
            scan = scan.regions_file(path)?;
        }
        if let Some(fraction) = most_n {
            if !(0.0..=1.0).contains(&fraction) {
                return Err(request("max_n: give a number from 0 to 1"));
            }
            scan = scan.most_n(fraction);
        }
        Ok(scan.mask_lowercase(mask_lowercase).threads(threads(asked)?))
    }
}

/// Options for reading a genome.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct ScanOptions {
    regions: Vec<String>,
    regions_file: Option<PathBuf>,
    stride: usize,
    #[pyo3(item("max_n"))]
    most_n: Option<f64>,
    mask_lowercase: bool,
    threads: Option<usize>,
}

/// Rule by which windows are sites.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct ChoiceOptions {
    threshold: Option<Vec<f32>>,
    pvalue: Option<f64>,
    qvalue: Option<f64>,
    all: bool,
    overlaps: String,
    both_strands: bool,
    background: Option<String>,
    background_length: Option<u64>,
    background_seed: Option<u64>,
}

impl ChoiceOptions {
    fn choice(&self) -> PyResult<SiteChoice> {
        let rate = |rate: f64, name: &str| match rate > 0.0 && rate <= 1.0 {
            true => Ok(rate),
            false => Err(request(format!("{name}: give a number above 0, and 1 at the most"))),
        };
        let given = [self.threshold.is_some(), self.pvalue.is_some(), self.qvalue.is_some(), self.all];
        match given {
            [true, false, false, false] => {
                Ok(SiteChoice::Threshold(self.threshold.clone().unwrap_or_default()))
            }
            [false, true, false, false] => {
                Ok(SiteChoice::PValue(rate(self.pvalue.unwrap_or_default(), "pvalue")?))
            }
            [false, false, true, false] => {
                Ok(SiteChoice::QValue(rate(self.qvalue.unwrap_or_default(), "qvalue")?))
            }
            [false, false, false, true] => Ok(SiteChoice::All),
            _ => Err(request("say which sites are wanted with one of threshold, pvalue, qvalue or all")),
        }
    }

    fn overlaps(&self) -> PyResult<Overlaps> {
        match self.overlaps.as_str() {
            "suppress" => Ok(Overlaps::Suppress),
            "keep" => Ok(Overlaps::Keep),
            other => Err(request(format!("overlaps {other:?}: give \"suppress\" or \"keep\""))),
        }
    }

    fn hit_strands(&self) -> HitStrands {
        if self.both_strands { HitStrands::Each } else { HitStrands::Better }
    }

    fn nulls(&self) -> NullOptions {
        let source = self.background.as_deref().map(|background| match background {
            "genome" => BackgroundSource::Genome,
            "uniform" => BackgroundSource::Uniform,
            file => BackgroundSource::File(file.into()),
        });
        NullOptions::default().background(source).windows(self.background_length).seed(self.background_seed)
    }
}

/// Options for opening a model.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct LoadOptions {
    motifs: Vec<String>,
    window: Option<usize>,
    strand: Option<String>,
    targets: Option<Vec<String>>,
    heads: Vec<String>,
    channels: Option<String>,
    logit: bool,
    context: Option<String>,
    engine: String,
    device: String,
}

#[pymethods]
impl Models {
    #[staticmethod]
    fn load(py: Python<'_>, paths: Vec<PathBuf>, options: LoadOptions) -> PyResult<Models> {
        // NumPy's interface is looked up by Python code, which an interruption would end in a panic later.
        py.import("numpy")?;
        PyArray1::<f32>::zeros(py, 0, false);
        let context = match options.context.as_deref() {
            None => None,
            Some("padding") => Some(Context::Padding),
            Some("flank") => Some(Context::Flank),
            Some(other) => {
                return Err(request(format!("context {other:?}: give \"padding\" or \"flank\"")));
            }
        };
        let plan = PlanOptions::default()
            .window(options.window)
            .strands(options.strand.as_deref().map(strand_choice).transpose()?)
            .outputs(options.targets)
            .context(context)
            .engine(options.engine.parse().map_err(|words: String| request(words))?)
            .device(options.device.parse()?);
        let heads = match options.heads.as_slice() {
            [] => Heads::Only,
            [all] if all == "all" => Heads::All,
            _ => Heads::Named(options.heads),
        };
        let open = OpenOptions { channels: options.channels, heads, logit: options.logit };
        let motifs = MotifOptions { patterns: options.motifs, ..MotifOptions::default() };
        let models = py.detach(|| -> crate::Result<Vec<Model>> {
            let opened = paths.iter().map(|path| Model::find_all_with(path, &open, &motifs));
            Ok(opened.collect::<crate::Result<Vec<_>>>()?.concat())
        })?;
        Models::from_models(models, plan)
    }

    /// Some of the models.
    fn select(&self, ranks: Vec<usize>) -> PyResult<Models> {
        let models = ranks.iter().map(|&rank| self.models.get(rank).cloned()).collect::<Option<Vec<_>>>();
        let models = models.ok_or_else(|| request("there is no such model"))?;
        Models::from_models(models, self.plan.clone())
    }

    /// Names of the models.
    fn model_names(&self) -> Vec<&str> {
        self.models.iter().map(|model| model.spec.name.as_str()).collect()
    }

    /// Names of the columns: a model's name, and the output's where it has several.
    fn names(&self) -> Vec<String> {
        self.planned.iter().flat_map(Planned::names).collect()
    }

    /// Window of each column, in bases.
    fn windows(&self) -> Vec<usize> {
        self.planned.iter().flat_map(|planned| vec![planned.plan.window; planned.names().len()]).collect()
    }

    /// Specification of each model, as JSON.
    fn specs(&self) -> PyResult<Vec<String>> {
        let json =
            |model: &Model| serde_json::to_string(&model.spec).map_err(|error| request(error.to_string()));
        self.models.iter().map(json).collect()
    }

    /// Writes the only model as ONNX.
    fn save(&self, path: PathBuf) -> PyResult<()> {
        match self.models.as_slice() {
            [model] => Ok(model.save(path)?),
            models => Err(request(format!("a file holds one model, and these are {}", models.len()))),
        }
    }

    /// Scores sequences: an array of float32, a row a sequence, a column an output.
    fn score<'py>(
        &self,
        py: Python<'py>,
        sequences: &Bound<'py, PyAny>,
        average: bool,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let threads = self::threads(threads)?;
        let sequences = codes(sequences)?;
        let few = sequences.iter().map(Vec::len).sum::<usize>() <= FEW_BASES;
        let mut kept = py.detach(|| self.scorers.lock().unwrap_or_else(PoisonError::into_inner).take());
        if kept.as_ref().is_none_or(|kept| kept.average != average || kept.threads != threads) {
            let summary = if average { Summary::Average } else { Summary::Max };
            let open = || self.planned.iter().map(|planned| Scorer::open(planned, summary, threads));
            let by_model = py.detach(|| open().collect::<crate::Result<Vec<_>>>())?;
            kept = Some(Scorers { average, threads, by_model });
        }
        let Some(mut scorers) = kept else { return Err(request("no scorer was opened")) };
        let columns = if few {
            let cancel = std::sync::atomic::AtomicBool::new(false);
            py.detach(|| scorers.score(&sequences, true, &cancel))?
        } else {
            interruptible(py, |cancel| scorers.score(&sequences, false, cancel))?
        };
        *self.scorers.lock().unwrap_or_else(PoisonError::into_inner) = Some(scorers);
        columns.into_pyarray(py).reshape([sequences.len(), self.names().len()])
    }

    /// Starts a scan for sites.
    fn scan(
        &self,
        py: Python<'_>,
        genome: PathBuf,
        options: ScanOptions,
        choice: ChoiceOptions,
    ) -> PyResult<SiteStream> {
        let scan = self.scan_of(genome, options)?;
        let scan = scan.choose(choice.choice()?).overlaps(choice.overlaps()?).nulls(choice.nulls());
        let scan = scan.hit_strands(choice.hit_strands());
        interruptible(py, |cancel| Ok((scan.cancel(cancel.clone()).sites()?, cancel.clone())))
            .map(|(sites, cancel)| SiteStream::new(sites, cancel))
    }

    /// Starts a scan for scores.
    fn tracks(
        &self,
        py: Python<'_>,
        genome: PathBuf,
        options: ScanOptions,
        bin: Option<u64>,
        summary: &str,
    ) -> PyResult<TrackStream> {
        let summary = match summary {
            "max" => BinSummary::Max,
            "mean" => BinSummary::Mean,
            other => return Err(request(format!("summary {other:?}: give \"max\" or \"mean\""))),
        };
        let mut scan = self.scan_of(genome, options)?.summary(summary);
        match bin {
            Some(0) => return Err(request("bin: give 1 or more")),
            Some(bin) => scan = scan.bin(bin),
            None => {}
        }
        interruptible(py, |cancel| Ok((scan.cancel(cancel.clone()).scores()?, cancel.clone())))
            .map(|(scores, cancel)| TrackStream::new(scores, cancel))
    }
}

impl Scorers {
    /// Scores of every sequence by every model, a row a sequence.
    fn score(
        &mut self,
        sequences: &[Vec<u8>],
        few: bool,
        cancel: &std::sync::atomic::AtomicBool,
    ) -> crate::Result<Vec<f32>> {
        let mut columns = Vec::with_capacity(self.by_model.len());
        for scorers in &mut self.by_model {
            let used = if few { 1 } else { scorers.len() };
            columns.push((scorers[0].outputs(), score_all(&mut scorers[..used], sequences, cancel)?));
        }
        if let [(_, scores)] = &mut columns[..] {
            return Ok(std::mem::take(scores));
        }
        let mut rows = Vec::new();
        for i in 0..sequences.len() {
            columns.iter().for_each(|(outputs, scores)| rows.extend(&scores[i * outputs..(i + 1) * outputs]));
        }
        Ok(rows)
    }
}
