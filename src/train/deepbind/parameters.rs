//! The parameters of a network as the fit holds them: vectors of sixteen, padded with zeros.
//!
//! A padded filter or hidden unit has weights, activation and gradient 0, and so remains 0 throughout.

use std::ops::Range;

use crate::model::{Dense, Network, Padding, Pooling, Strands};
use crate::simd::{Lanes, WIDTH};

/// The shape of a network to be fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Architecture {
    /// Filters, K.
    pub filters: usize,
    /// Length of each filter in bases, m.
    pub filter_length: usize,
    /// True if a window is padded with m - 1 columns of N on each side, as the published models are.
    pub padded: bool,
    /// Statistics kept of each filter.
    pub pooling: Pooling,
    /// Units of the hidden layer; 0 for none.
    pub hidden: usize,
    /// Outputs.
    pub outputs: usize,
    /// Strands a sequence is read on; with both, the better one counts. Symmetric ones are read on both, too.
    pub strands: Strands,
}

impl Architecture {
    /// The padding of the network.
    pub fn padding(&self) -> Padding {
        if self.padded { Padding::n(self.filter_length - 1) } else { Padding::NONE }
    }

    /// The shape of `network`, read on `strands`; an error says why it cannot be fitted.
    pub fn from_network(network: &Network, strands: Strands) -> Result<Architecture, String> {
        let architecture = Architecture {
            filters: network.filters,
            filter_length: network.filter_length,
            padded: network.padding.left > 0,
            pooling: network.pooling,
            hidden: network.hidden.as_ref().map_or(0, |hidden| hidden.outputs),
            outputs: network.output.outputs,
            strands,
        };
        if network.padding != architecture.padding() {
            return Err("only N padding of all but one base of a filter, or none, can be fitted".into());
        }
        if !network.rectify || network.sigmoid {
            return Err("only rectified filters and outputs without a logistic function can be fitted".into());
        }
        Ok(architecture)
    }
}

/// Positions of each layer's parameters in a list of vectors.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) architecture: Architecture,
    /// Vectors of filters.
    pub(crate) blocks: usize,
    /// Vectors of pooled features: all maxima, then all means.
    pub(crate) features: usize,
    /// Vectors of hidden units.
    pub(crate) hidden: usize,
    /// Filters: `[block][column][base]`.
    pub(crate) filters: Range<usize>,
    /// One vector a block.
    pub(crate) biases: Range<usize>,
    /// `[feature][vector of hidden units]`, features counted singly.
    pub(crate) hidden_weights: Range<usize>,
    pub(crate) hidden_bias: Range<usize>,
    /// `[output][vector of inputs]`.
    pub(crate) output_weights: Range<usize>,
    /// Sixteen outputs a vector.
    pub(crate) output_bias: Range<usize>,
}

impl Layout {
    pub(crate) fn new(architecture: Architecture) -> Layout {
        let blocks = architecture.filters.div_ceil(WIDTH);
        let features = blocks * architecture.pooling.features_per_filter();
        let hidden = architecture.hidden.div_ceil(WIDTH);
        let mut end = 0;
        let mut take = |count: usize| {
            end += count;
            end - count..end
        };
        Layout {
            architecture,
            blocks,
            features,
            hidden,
            filters: take(blocks * architecture.filter_length * 4),
            biases: take(blocks),
            hidden_weights: take(features * WIDTH * hidden),
            hidden_bias: take(hidden),
            output_weights: take(architecture.outputs * if hidden > 0 { hidden } else { features }),
            output_bias: take(architecture.outputs.div_ceil(WIDTH)),
        }
    }

    /// Vectors in all.
    pub(crate) fn size(&self) -> usize {
        self.output_bias.end
    }

    /// Vectors that the output layer takes.
    pub(crate) fn inputs(&self) -> usize {
        if self.hidden > 0 { self.hidden } else { self.features }
    }

    /// Columns of one block of filters, in vectors.
    pub(crate) fn block(&self) -> usize {
        self.architecture.filter_length * 4
    }

    /// Place of a pooled feature, counted as in [`Network`], among the padded ones.
    fn feature(&self, index: usize) -> usize {
        let count = self.architecture.filters;
        index / count * self.blocks * WIDTH + index % count
    }

    /// Calls `visit` with every true parameter: its place (vector, lane) here, and the part and index it has in a
    /// [`Network`].
    fn for_each(&self, mut visit: impl FnMut(usize, usize, Part, usize)) {
        let a = &self.architecture;
        let length = a.filter_length;
        for k in 0..a.filters {
            let (block, lane) = (k / WIDTH, k % WIDTH);
            for j in 0..length {
                for base in 0..4 {
                    let at = self.filters.start + (block * length + j) * 4 + base;
                    visit(at, lane, Part::Filters, (k * 4 + base) * length + j);
                }
            }
            visit(self.biases.start + block, lane, Part::Biases, k);
        }
        let features = a.filters * a.pooling.features_per_filter();
        for unit in 0..a.hidden {
            for i in 0..features {
                let at = self.hidden_weights.start + self.feature(i) * self.hidden + unit / WIDTH;
                visit(at, unit % WIDTH, Part::HiddenWeights, unit * features + i);
            }
            visit(self.hidden_bias.start + unit / WIDTH, unit % WIDTH, Part::HiddenBias, unit);
        }
        let inputs = if a.hidden > 0 { a.hidden } else { features };
        for output in 0..a.outputs {
            for i in 0..inputs {
                let input = if a.hidden > 0 { i } else { self.feature(i) };
                let at = self.output_weights.start + output * self.inputs() + input / WIDTH;
                visit(at, input % WIDTH, Part::OutputWeights, output * inputs + i);
            }
            visit(self.output_bias.start + output / WIDTH, output % WIDTH, Part::OutputBias, output);
        }
    }

    /// The network that `parameters` make; with a gradient for `parameters`, the gradient in a network's shape.
    pub(crate) fn network(&self, parameters: &[Lanes]) -> Network {
        let mut network = self.zero();
        self.for_each(|at, lane, part, index| {
            if let Some(values) = part.of(&mut network) {
                values[index] = parameters[at].0[lane];
            }
        });
        network
    }

    /// The parameters of `network`, which has this shape.
    pub(crate) fn parameters(&self, network: &Network) -> Vec<Lanes> {
        let mut network = network.clone();
        let mut parameters = vec![Lanes::ZERO; self.size()];
        self.for_each(|at, lane, part, index| {
            if let Some(values) = part.of(&mut network) {
                parameters[at].0[lane] = values[index];
            }
        });
        parameters
    }

    /// The network of this shape with every parameter 0.
    pub(crate) fn zero(&self) -> Network {
        let a = &self.architecture;
        let dense = |inputs: usize, outputs: usize| Dense {
            inputs,
            outputs,
            weights: vec![0.0; inputs * outputs],
            bias: vec![0.0; outputs],
        };
        let features = a.filters * a.pooling.features_per_filter();
        let hidden = (a.hidden > 0).then(|| dense(features, a.hidden));
        Network {
            filters: a.filters,
            filter_length: a.filter_length,
            weights: vec![0.0; a.filters * 4 * a.filter_length],
            biases: vec![0.0; a.filters],
            rectify: true,
            padding: a.padding(),
            pooling: a.pooling,
            output: dense(if a.hidden > 0 { a.hidden } else { features }, a.outputs),
            hidden,
            sigmoid: false,
        }
    }
}

/// A list of numbers in a [`Network`].
#[derive(Debug, Clone, Copy)]
enum Part {
    Filters,
    Biases,
    HiddenWeights,
    HiddenBias,
    OutputWeights,
    OutputBias,
}

impl Part {
    fn of(self, network: &mut Network) -> Option<&mut Vec<f32>> {
        match self {
            Part::Filters => Some(&mut network.weights),
            Part::Biases => Some(&mut network.biases),
            Part::HiddenWeights => network.hidden.as_mut().map(|hidden| &mut hidden.weights),
            Part::HiddenBias => network.hidden.as_mut().map(|hidden| &mut hidden.bias),
            Part::OutputWeights => Some(&mut network.output.weights),
            Part::OutputBias => Some(&mut network.output.bias),
        }
    }
}
