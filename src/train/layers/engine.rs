//! Scores of windows by a network as it was fitted: what its ONNX form is held against, and what judges a training where
//! there is no ONNX Runtime.

use crate::engine::Engine;
use crate::model::ModelSpec;
use crate::scores::Scores;
use crate::seq::alphabet::reverse_complement_into;
use crate::seq::chunk::Chunk;
use crate::seq::window::{Context, WindowPlan};
use crate::train::layers::network::Network;
use crate::{Error, Result};

/// Windows that are scored together.
const TOGETHER: usize = 100;

/// Scores windows with a [`Network`].
#[derive(Debug, Clone)]
pub struct NetworkEngine {
    spec: ModelSpec,
    network: Network,
}

impl NetworkEngine {
    /// An engine for a network that was written with this specification.
    pub fn new(spec: ModelSpec, network: Network) -> NetworkEngine {
        NetworkEngine { spec, network }
    }
}

impl Engine for NetworkEngine {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn description(&self) -> String {
        "network".into()
    }

    fn flanks(&self, _: &WindowPlan) -> (usize, usize) {
        (0, 0)
    }

    fn score(&mut self, chunk: &Chunk, plan: &WindowPlan, out: &mut Scores) -> Result<()> {
        let window = plan.window;
        let fits = self.network.architecture.shapes(window).map(drop);
        let fixed = !self.network.architecture.takes_any_length() && window != self.network.window;
        let problem = match fits {
            Err(reason) => Some(reason),
            Ok(()) if fixed => Some(format!("windows of {} bases are needed", self.network.window)),
            Ok(()) if plan.context == Context::Flank => Some("it does not look at flanks".into()),
            Ok(()) => None,
        };
        if let Some(problem) = problem {
            let message = format!("cannot score windows of {window} bases: {problem}");
            return Err(Error::model(&self.spec.name, message));
        }
        let outputs = self.network.outputs();
        out.reset(chunk, plan, outputs);
        let (mut codes, mut own) = (Vec::new(), Vec::new());
        for (wanted, reverse) in [(plan.strands.forward(), false), (plan.strands.reverse(), true)] {
            let windows = if wanted { out.windows } else { 0 };
            for begin in (0..windows).step_by(TOGETHER) {
                let count = TOGETHER.min(windows - begin);
                codes.clear();
                for i in begin..begin + count {
                    let start = (out.start + (i * out.stride) as u64) as i64;
                    own.clear();
                    chunk.codes_at(start, window, &mut own);
                    if reverse {
                        reverse_complement_into(&own, &mut codes);
                    } else {
                        codes.extend_from_slice(&own);
                    }
                }
                let scores = self.network.scores(&codes, count);
                let strand = if reverse { &mut out.reverse } else { &mut out.forward };
                for (i, score) in scores.into_iter().enumerate() {
                    strand[i % outputs * out.windows + begin + i / outputs] = score;
                }
            }
        }
        Ok(())
    }
}
