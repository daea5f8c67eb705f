//! Calibration: the null distributions stored with a model, and how they were made.

use crate::Result;
use crate::null::distribution::Distribution;
use crate::null::markov::Markov;
use crate::null::peaks::PeakRate;
use crate::seq::window::{Context, StrandChoice, WindowPlan};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Null distributions of a model's outputs, and what they hold for: the JSON object `null` in a model's specification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Window in bases.
    pub window: usize,
    /// Strands that were scored.
    pub strands: StrandChoice,
    /// Bases past a window's ends.
    pub context: Context,
    /// Source of the background: a file's name, or `uniform`.
    pub source: String,
    /// Order of the background: k-mers of one base more have the source's frequencies.
    pub order: usize,
    /// The genome that the background comes from, if it was one: the digest of its contigs
    /// ([`digest_of_contigs`](crate::genome::digest_of_contigs)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genome: Option<String>,
    /// Rate of sites of each output in background, at a stride of 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peaks: Option<Vec<PeakRate>>,
    /// The distributions.
    #[serde(flatten)]
    pub method: Method,
}

/// Origin of null distributions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "method")]
pub enum Method {
    /// Computed from the matrix: the background is all that needs to be stored.
    Exact {
        /// The background.
        background: Markov,
    },
    /// Counted in sequence drawn from a Markov model.
    Drawn(Sampled),
    /// Counted in real sequence, shuffled.
    Shuffled(Sampled),
}

/// Counts in background sequence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// Windows scored.
    pub windows: u64,
    /// Number of them scored in full, if not all ([`Amount::full`](crate::calibrate::sample::Amount::full)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<u64>,
    /// Seed of the background.
    pub seed: u64,
    /// One a model output.
    pub outputs: Vec<Distribution>,
}

impl Calibration {
    /// Checks whether the distributions hold for the windows of `plan`, or why they do not. The stride does not matter.
    pub fn fits(&self, plan: &WindowPlan) -> Result<(), String> {
        if self.window != plan.window {
            return Err(format!("it is for windows of {} bases, not of {}", self.window, plan.window));
        }
        if self.strands != plan.strands {
            return Err(format!("it is for {}, not for {}", self.strands, plan.strands));
        }
        if self.context != plan.context {
            return Err("it is for another --context".into());
        }
        Ok(())
    }

    /// Checks what was read from a file, for a model with that many outputs.
    pub(crate) fn check(&self, outputs: usize) -> Result<(), String> {
        if let Some(peaks) = &self.peaks
            && !(peaks.len() == outputs && peaks.iter().all(PeakRate::check))
        {
            return Err("its rates of sites in background are damaged; run bindscan calibrate again".into());
        }
        match &self.method {
            Method::Exact { background } => {
                background.check()?;
                if background.order() != self.order {
                    return Err(format!(
                        "its background is of order {}, not {}",
                        background.order(),
                        self.order
                    ));
                }
                Ok(())
            }
            Method::Drawn(sampled) | Method::Shuffled(sampled) => {
                if sampled.outputs.len() != outputs {
                    return Err("the calibration has another number of null distributions than the model has outputs; rerun bindscan calibrate".into());
                }
                sampled.outputs.iter().try_for_each(Distribution::check)
            }
        }
    }
}

/// In words: `exact, background of order 2 from genome.fa`.
impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Calibration { source, order, .. } = self;
        match &self.method {
            Method::Exact { .. } => write!(f, "exact, background of order {order} from {source}"),
            Method::Drawn(sampled) => {
                write!(f, "{sampled} of background of order {order} from {source}, seed {}", sampled.seed)
            }
            Method::Shuffled(sampled) => {
                let kept = order + 1;
                write!(f, "{sampled} of {source}, shuffled with its {kept}-mers kept, seed {}", sampled.seed)
            }
        }
    }
}

/// In words: `50000000 windows (p-values above about 1e-3 by 4194304)`.
impl fmt::Display for Sampled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} windows", self.windows)?;
        self.full.map_or(Ok(()), |full| write!(f, " (p-values above about 1e-3 by {full})"))
    }
}
