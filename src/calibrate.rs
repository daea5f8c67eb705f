//! From scores to p-values, and from p-values to q-values, for any model.
//!
//! A p-value is the probability that the same strand of a window of [`background`] sequence scores as high. It is
//! computed for matrices ([`exact`]) and counted for any other model, by scanning background ([`sample`]); past what was seen often
//! enough a fitted [`tail`] takes over. Either way it is a [`null::Null`], a table from score to p-value, made for each run or
//! stored in the model ([`Calibration`]). [`discovery`] turns the p-values of a whole scan into q-values.
//!
//! On both strands, a window is two tests, each with the p-value of its own score, as in MEME's FIMO: the p-value of a
//! site is that of the strand it is reported on.

use std::fmt;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use crate::engine::{Context, Engine, StrandChoice, WindowPlan};
use crate::model::{Model, ModelSpec};
use crate::{Error, Result};

pub mod background;
pub mod discovery;
pub mod exact;
pub mod null;
pub mod sample;
pub mod tail;

use background::{Background, Markov};
use null::Null;
use sample::{Amount, Distribution};

/// Null distributions of a model's outputs, and what they hold for: the JSON object `null` in a model's specification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Window in bases.
    pub window: usize,
    /// Strands that were scored.
    pub strands: StrandChoice,
    /// What lay past a window's ends.
    pub context: Context,
    /// Where the background comes from: a file's name, or `uniform`.
    pub source: String,
    /// Order of the background: k-mers of one base more have the source's frequencies.
    pub order: usize,
    /// The genome that the background comes from, if it was one: the digest of its contigs
    /// ([`digest_of_contigs`](crate::source::genome::digest_of_contigs)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genome: Option<String>,
    /// The distributions.
    #[serde(flatten)]
    pub method: Method,
}

/// How null distributions were made.
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

/// What was counted in background sequence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// Windows scored.
    pub windows: u64,
    /// How many of them in full, if not all ([`Amount::full`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<u64>,
    /// Seed of the background.
    pub seed: u64,
    /// One a model output.
    pub outputs: Vec<Distribution>,
}

impl Calibration {
    /// Computes the null distribution of a model that is a matrix; `None` for any other ([`Network::is_matrix`](crate::model::Network::is_matrix)).
    pub fn exact(
        model: &Model,
        plan: &WindowPlan,
        background: &Background,
        source: &str,
    ) -> Option<Calibration> {
        let network = model.network.as_ref().ok()?;
        let method = Method::Exact { background: background.markov().clone() };
        network.is_matrix(plan.window).then(|| Calibration::of(plan, background, source, method))
    }

    /// Counts the scores that `engines` of one model, one a worker, give to background sequence
    /// ([`sample::sample`]).
    ///
    /// # Errors
    /// As [`sample::sample`].
    pub fn sampled(
        engines: Vec<Box<dyn Engine>>,
        plan: &WindowPlan,
        background: &Background,
        source: &str,
        amount: Amount,
        progress: impl FnMut(u64, u64),
        cancel: &AtomicBool,
    ) -> Result<Calibration> {
        let outputs = sample::sample(engines, plan, background, amount, progress, cancel)?;
        let sampled = Sampled { windows: amount.windows, full: amount.full(), seed: amount.seed, outputs };
        let method =
            if background.is_shuffled() { Method::Shuffled(sampled) } else { Method::Drawn(sampled) };
        Ok(Calibration::of(plan, background, source, method))
    }

    fn of(plan: &WindowPlan, background: &Background, source: &str, method: Method) -> Calibration {
        let WindowPlan { window, strands, context, .. } = *plan;
        let (source, order) = (source.to_owned(), background.markov().order());
        Calibration { window, strands, context, source, order, genome: None, method }
    }

    /// Whether the distributions hold for the windows of `plan`, or why they do not. The stride does not matter.
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

    /// The null distribution of each output of `model`, which this is a calibration of.
    ///
    /// # Errors
    /// A model that it cannot be of.
    pub fn nulls(&self, model: &Model) -> Result<Vec<Null>> {
        match (&self.method, &model.network) {
            (Method::Exact { background }, Ok(network)) if network.is_matrix(self.window) => {
                Ok(vec![exact::null(network, background, self.strands)])
            }
            (Method::Drawn(sampled) | Method::Shuffled(sampled), _) => {
                Ok(sampled.outputs.iter().map(Distribution::null).collect())
            }
            _ => Err(Error::model(&model.spec.name, "its calibration is that of a matrix, which it is not")),
        }
    }

    /// Checks what was read from a file, for the model that `spec` describes.
    pub(crate) fn check(&self, spec: &ModelSpec) -> Result<(), String> {
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
                if sampled.outputs.len() != spec.outputs.len() {
                    return Err("it has not as many null distributions as outputs".into());
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
