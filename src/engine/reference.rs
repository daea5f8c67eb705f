//! The oracle: one window at a time, one strand at a time, in plain f64. Slow, short, and right.

use crate::engine::Engine;
use crate::model::{Dense, ModelSpec, Network};
use crate::scores::Scores;
use crate::seq::alphabet::{ONE_HOT, reverse_complement};
use crate::seq::chunk::Chunk;
use crate::seq::window::{Context, WindowPlan};
use crate::{Error, Result};

/// Scores a [`Network`] as its definition reads.
#[derive(Debug, Clone)]
pub struct ReferenceEngine {
    spec: ModelSpec,
    network: Network,
    window: Vec<u8>,
}

impl ReferenceEngine {
    /// An engine for `network` (which has been checked, [`Network::check`]).
    pub fn new(spec: ModelSpec, network: Network) -> Self {
        ReferenceEngine { spec, network, window: Vec::new() }
    }
}

impl Engine for ReferenceEngine {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn description(&self) -> String {
        "reference".into()
    }

    fn flanks(&self, plan: &WindowPlan) -> (usize, usize) {
        flanks(&self.network, plan)
    }

    fn score(&mut self, chunk: &Chunk, plan: &WindowPlan, out: &mut Scores) -> Result<()> {
        check_window(&self.spec, &self.network, plan.window)?;
        out.reset(chunk, plan, self.network.output.outputs);
        let padded = plan.context == Context::Padding;
        let (left, right) =
            if padded { (0, 0) } else { (self.network.padding.left, self.network.padding.right) };
        for i in 0..out.windows {
            let start = (out.start + (i * plan.stride) as u64) as i64;
            for (wanted, reverse) in [(plan.strands.forward(), false), (plan.strands.reverse(), true)] {
                if !wanted {
                    continue;
                }
                self.window.clear();
                let before = if reverse { right } else { left };
                chunk.codes_at(start - before as i64, left + plan.window + right, &mut self.window);
                if reverse {
                    reverse_complement(&mut self.window);
                }
                let scores = window_scores(&self.network, &self.window, padded);
                let strand = if reverse { &mut out.reverse } else { &mut out.forward };
                for (output, score) in scores.into_iter().enumerate() {
                    strand[output * out.windows + i] = score as f32;
                }
            }
        }
        Ok(())
    }
}

/// Real bases that `network` looks at on each side of a window: its padding, where flanks take its place. The
/// reverse strand sees the padding mirrored, so both sides take the longer one.
pub fn flanks(network: &Network, plan: &WindowPlan) -> (usize, usize) {
    let longer = network.padding.left.max(network.padding.right);
    match plan.context {
        Context::Padding => (0, 0),
        Context::Flank => (longer, longer),
    }
}

/// Refuses a window on which no filter can be placed.
pub fn check_window(spec: &ModelSpec, network: &Network, window: usize) -> Result<()> {
    if network.alignments(window) > 0 {
        return Ok(());
    }
    let need = network.filter_length - network.padding.left - network.padding.right;
    Err(Error::model(
        &spec.name,
        format!("a window of {window} bases is shorter than the model's filters; it needs {need} or more"),
    ))
}

/// Outputs of the network on one window of codes, f64 throughout. With `padded`, the network's own padding is put
/// around it.
pub fn window_scores(network: &Network, codes: &[u8], padded: bool) -> Vec<f64> {
    let mut columns: Vec<[f64; 4]> =
        codes.iter().map(|&code| ONE_HOT[usize::from(code)].map(f64::from)).collect();
    if padded {
        let pad = [f64::from(network.padding.value); 4];
        columns.splice(0..0, std::iter::repeat_n(pad, network.padding.left));
        columns.extend(std::iter::repeat_n(pad, network.padding.right));
    }
    let (count, length) = (network.filters, network.filter_length);
    let alignments = columns.len() + 1 - length;
    let (mut maxima, mut means) = (vec![f64::NEG_INFINITY; count], vec![0.0; count]);
    for k in 0..count {
        for p in 0..alignments {
            let mut activation = f64::from(network.biases[k]);
            for (j, column) in columns[p..p + length].iter().enumerate() {
                for (channel, x) in column.iter().enumerate() {
                    activation += f64::from(network.weights[(k * 4 + channel) * length + j]) * x;
                }
            }
            if network.rectify {
                activation = activation.max(0.0);
            }
            maxima[k] = activation.max(maxima[k]);
            means[k] += activation / alignments as f64;
        }
    }
    let mut features = Vec::with_capacity(network.features());
    if network.pooling.has_max() {
        features.extend(maxima);
    }
    if network.pooling.has_average() {
        features.extend(means);
    }
    if let Some(hidden) = &network.hidden {
        features = dense(hidden, &features).into_iter().map(|x| x.max(0.0)).collect();
    }
    let scores = dense(&network.output, &features);
    if network.sigmoid { scores.into_iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect() } else { scores }
}

fn dense(layer: &Dense, x: &[f64]) -> Vec<f64> {
    let rows = layer.weights.chunks_exact(layer.inputs).zip(&layer.bias);
    rows.map(|(w, &b)| f64::from(b) + w.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum::<f64>()).collect()
}
