//! `bindscan train --init-motif`: known motifs that a fit begins with, and that it has to be better than.

use std::path::Path;

use anyhow::{Result, bail};
use bindscan::dataset::evaluation::score_dataset;
use bindscan::dataset::metric::auc;
use bindscan::dataset::{Dataset, TargetKind};
use bindscan::engine::Workload;
use bindscan::engine::planned::{PlanOptions, Planned};
use bindscan::model::motif::{self, MotifOptions};
use bindscan::model::{Model, Network};

use crate::cli::CANCELLED;

/// Bound sequences that a network can be fitted to, at least.
pub(super) const FEWEST: usize = 10;

/// Bound sequences of a data set of classes; `None` for numbers.
pub(super) fn bound(dataset: &Dataset) -> Option<usize> {
    let classes = dataset.kind == TargetKind::Binary && dataset.outputs == 1;
    classes.then(|| dataset.targets.iter().filter(|&&target| target > 0.5).count())
}

/// The motifs of a file as models.
pub(super) fn read(path: &Path) -> Result<Vec<Model>> {
    let Some((models, notes)) = motif::models(path, &MotifOptions::default())? else {
        bail!("--init-motif {}: is no motif file", path.display());
    };
    notes.iter().for_each(|note| log::warn!("{note}"));
    Ok(models)
}

/// The matrices of models made of motifs.
pub(super) fn networks(models: &[Model]) -> Vec<Network> {
    models.iter().filter_map(|model| model.network.clone().ok()).collect()
}

/// The motif that tells the classes best, and its AUC. Nothing is fitted, so that the same data can judge it.
pub(super) fn best(models: Vec<Model>, dataset: &Dataset, threads: usize) -> Result<Option<(Model, f64)>> {
    let mut best: Option<(Model, f64)> = None;
    for model in models {
        let planned = Planned::new(model, &PlanOptions::default())?;
        if planned.plan().window > dataset.lengths().0 {
            log::warn!("{}: is longer than the shortest sequence, and left out", planned.model().spec.name);
            continue;
        }
        let mut engines = planned.engines(threads, Workload::Sequences)?;
        let scores = score_dataset(&mut engines, dataset, planned.plan(), &CANCELLED)?;
        let Some(area) = auc(&scores, &dataset.target_column(0)) else { continue };
        if best.as_ref().is_none_or(|(_, highest)| area > *highest) {
            best = Some((planned.into_model(), area));
        }
    }
    Ok(best)
}
