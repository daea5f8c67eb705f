//! The search of a scan: models with their scanners, and targets with thresholds or null distributions.

use std::sync::Arc;

use crate::calibrate::nulls::{Calibrated, NullOptions, Oddities, Setting, Watch};
use crate::engine::planned::{Place, Planned, scanners};
use crate::engine::scanner::Scanners;
use crate::null::peaks::{HIGHEST_P, PeakRate};
use crate::scan::Overlaps;
use crate::scores::HitStrands;
use crate::seq::window::StrandChoice;
use crate::track::{self, Target};
use crate::{Error, Result};

/// Rule by which windows are hits.
#[derive(Debug, Clone, PartialEq)]
pub enum SiteChoice {
    /// Those with this score or a higher one: one score for all models, or one for each, in order.
    Threshold(Vec<f32>),
    /// Those whose p-value is this or lower.
    PValue(f64),
    /// Those whose false discovery rate (Benjamini-Hochberg over the whole scan) is this or lower.
    QValue(f64),
    /// Every window.
    All,
}

impl SiteChoice {
    /// The p-value, or the false discovery rate, that hits are chosen by.
    pub fn rate(&self) -> Option<f64> {
        match self {
            SiteChoice::PValue(rate) | SiteChoice::QValue(rate) => Some(*rate),
            SiteChoice::Threshold(_) | SiteChoice::All => None,
        }
    }

    /// The false discovery rate.
    pub fn false_discovery_rate(&self) -> Option<f64> {
        match self {
            SiteChoice::QValue(rate) => Some(*rate),
            _ => None,
        }
    }

    /// The threshold of each model, as far as scores decide.
    fn thresholds(&self, models: usize) -> Result<Vec<f32>> {
        match self {
            SiteChoice::Threshold(given) => match given.as_slice() {
                [one] => Ok(vec![*one; models]),
                each if each.len() == models => Ok(each.to_vec()),
                each => Err(Error::Request(format!(
                    "{} thresholds for {models} models: give one for all, or one for each",
                    each.len()
                ))),
            },
            _ => Ok(vec![f32::NEG_INFINITY; models]),
        }
    }
}

/// Models ready to scan with.
pub struct Search {
    /// The models.
    pub models: Vec<Planned>,
    /// The scanners of each worker.
    pub workers: Vec<Scanners>,
    /// The place of each model among the scanners.
    pub places: Vec<Place>,
    /// An entry an output of each model.
    pub targets: Vec<Target>,
    /// Name of each model, and where its p-values come from; empty without p-values.
    pub significance: Vec<(String, String)>,
    choice: SiteChoice,
}

impl Search {
    /// Opens scanners for each of `workers`; `most_n` is the largest fraction of N in a window
    /// ([`track::largest_n_fraction`]).
    ///
    /// # Errors
    /// Thresholds that are not as many as models, and engines that cannot be opened.
    pub fn new(
        models: Vec<Planned>,
        choice: SiteChoice,
        most_n: Option<f64>,
        workers: usize,
    ) -> Result<Search> {
        let thresholds = choice.thresholds(models.len())?;
        let (workers, places) = scanners(&models, workers)?;
        let mut targets = track::targets(&models, &places, &thresholds, most_n);
        for target in &mut targets {
            let (before, behind) = workers[0][target.scanner].flanks();
            target.flanks = (before as u64, behind as u64);
        }
        if choice.rate().is_none() {
            track::set_shades(&models, &mut targets);
        }
        Ok(Search { models, workers, places, targets, significance: Vec::new(), choice })
    }

    /// The strands that each target is scored on.
    pub fn strands(&self) -> Vec<StrandChoice> {
        let of_model = |planned: &Planned| vec![planned.plan.strands; planned.names().len()];
        self.models.iter().flat_map(of_model).collect()
    }

    /// Lets each strand of a window be a hit of its own, suppressed by those of its strand alone.
    ///
    /// # Errors
    /// A model that is not scored on both strands, or has the same score there; q-values of sites after suppression, which
    /// are those of both strands together.
    pub fn report_each_strand(&mut self, overlaps: Overlaps) -> Result<()> {
        for (target, strands) in self.targets.iter().zip(self.strands()) {
            if target.symmetric || strands != StrandChoice::Both {
                let why = match target.symmetric {
                    true => "gives both strands of a window the same score",
                    false => "is scored on one strand",
                };
                let message = format!("{} {why}: its strands cannot both be reported", target.name);
                return Err(Error::Mismatch(message));
            }
        }
        if matches!(self.choice, SiteChoice::QValue(_)) && overlaps == Overlaps::Suppress {
            let message = "sites of both strands have no q-values after suppression: keep overlapping windows (--overlaps keep), or choose sites by p-value";
            return Err(Error::Request(message.into()));
        }
        self.targets.iter_mut().for_each(|target| target.hit_strands = HitStrands::Each);
        Ok(())
    }

    /// Gives the targets null distributions and the thresholds that go with them, if hits are chosen by p-values. q-values
    /// are those of sites, or of windows if `overlaps` keeps all.
    ///
    /// # Errors
    /// As [`NullOptions::for_models`].
    pub fn set_p_values(
        &mut self,
        options: &NullOptions,
        overlaps: Overlaps,
        setting: &Setting<'_>,
        watch: &mut dyn Watch,
    ) -> Result<()> {
        let Some(rate) = self.choice.rate() else { return Ok(()) };
        let by_q = matches!(self.choice, SiteChoice::QValue(_));
        let of_sites = by_q && overlaps == Overlaps::Suppress;
        let calibrated = match of_sites {
            true => options.for_sites(&self.models, setting, watch)?,
            false => options.for_models(&self.models, setting, watch)?,
        };
        let words = |(planned, calibrated): (&Planned, &Calibrated)| {
            (planned.model.spec.name.clone(), calibrated.calibration.to_string())
        };
        self.significance = self.models.iter().zip(&calibrated).map(words).collect();
        let rate = if of_sites { rate.min(HIGHEST_P) } else { rate };
        let strands = self.strands();
        let nulls = calibrated.into_iter().flat_map(|calibrated| calibrated.nulls).zip(strands);
        let mut oddities = Oddities::default();
        for (target, (mut null, strands)) in self.targets.iter_mut().zip(nulls) {
            target.thresholds = oddities.thresholds(&target.name, &null, rate);
            if let SiteChoice::PValue(p) = self.choice {
                oddities.note_extrapolation(&target.name, &null, p);
            }
            if by_q && !of_sites {
                Arc::make_mut(&mut null).set_peaks(PeakRate::of_windows(strands));
            }
            target.null = Some(null);
        }
        oddities.warn(rate);
        Ok(())
    }

    /// Window starts of a chunk, so few that the scores of all targets take some 32 MiB a strand at the most; or their lines
    /// some 64 MiB, if there is one for every window.
    pub fn default_chunk_size(&self, lines_of_all: bool) -> usize {
        let (windows, least) = if lines_of_all { (1 << 20, 1 << 8) } else { (1 << 23, 1 << 12) };
        (windows / self.targets.len().max(1)).clamp(least, 1 << 16)
    }
}
