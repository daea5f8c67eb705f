//! From scores to p-values, for any model.
//!
//! A p-value is the probability that the same strand of a window of [`background`] sequence scores as high. It is computed
//! for matrices (module `exact`) and counted for any other model, by scanning background ([`sample`]); above the scores that were
//! seen often enough, a fitted [`tail`](crate::null::tail) takes over. Either way it is a
//! [`Null`], a table from score to p-value, made for each run or stored in the model
//! ([`Calibration`]). [`fdr`](crate::null::fdr) turns the p-values of a whole scan into q-values.
//!
//! On both strands, a window is two tests, each with the p-value of its own score, as in MEME's FIMO: the p-value of a
//! site is that of the strand it is reported on.

use crate::null::calibration::Calibration;
use std::sync::atomic::AtomicBool;

use crate::engine::Engine;
use crate::model::Model;
use crate::seq::window::WindowPlan;
use crate::{Error, Result};

pub mod background;
mod exact;
pub mod nulls;
pub mod peaks;
pub mod sample;

use crate::calibrate::background::Background;
use crate::calibrate::sample::Amount;
use crate::null::calibration::{Method, Sampled};
use crate::null::distribution::Distribution;
use crate::null::distribution::Null;

impl Calibration {
    /// Computes the null distribution of a model that is a matrix; `None` for any other
    /// ([`Network::is_matrix`](crate::model::Network::is_matrix)).
    pub fn exact(
        model: &Model,
        plan: &WindowPlan,
        background: &Background,
        source: &str,
    ) -> Option<Calibration> {
        let network = model.network.as_ref().ok()?;
        let method = Method::Exact { background: background.markov().clone() };
        network.is_matrix(plan.window).then(|| Calibration::from_plan(plan, background, source, method))
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
        let sampled = Sampled { windows: amount.scored(), full: amount.full(), seed: amount.seed, outputs };
        let method =
            if background.is_shuffled() { Method::Shuffled(sampled) } else { Method::Drawn(sampled) };
        Ok(Calibration::from_plan(plan, background, source, method))
    }

    /// The null distribution of each output of `model`, which this is a calibration of.
    ///
    /// # Errors
    /// A model that it cannot be of.
    pub fn nulls(&self, model: &Model) -> Result<Vec<Null>> {
        self.nulls_in(model, &mut exact::Buffers::default())
    }

    /// As [`Calibration::nulls`], for many models in turn.
    pub(crate) fn nulls_in(&self, model: &Model, buffers: &mut exact::Buffers) -> Result<Vec<Null>> {
        match (&self.method, &model.network) {
            (Method::Exact { background }, Ok(network)) if network.is_matrix(self.window) => {
                Ok(vec![exact::null(network, background, self.strands, buffers)])
            }
            (Method::Drawn(sampled) | Method::Shuffled(sampled), _) => {
                Ok(sampled.outputs.iter().map(Distribution::null).collect())
            }
            _ => Err(Error::model(
                &model.spec.name,
                "the stored calibration is for a matrix, and this model is not one; rerun bindscan calibrate",
            )),
        }
    }

    fn from_plan(plan: &WindowPlan, background: &Background, source: &str, method: Method) -> Calibration {
        let WindowPlan { window, strands, context, .. } = *plan;
        let (source, order) = (source.to_owned(), background.markov().order());
        Calibration { window, strands, context, source, order, genome: None, peaks: None, method }
    }
}
