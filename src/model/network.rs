//! The DeepBind family as plain numbers: one convolution on one-hot bases, an optional rectifier, a global pool,
//! no or one hidden layer, and a dense output.
//!
//! Score of a window (Alipanahi et al. 2015, equations in the supplementary notes, section 1):
//! `f(s) = net(pool(rect(conv(s))))`. With x the padded one-hot window,
//! `a[p][k] = bias[k] + Σ_j Σ_c filter[k][c][j] · x[c][p + j]`, `y = max(0, a)`, `z[k] = max_p y[p][k]` and,
//! with average pooling too, `z[K + k] = mean_p y[p][k]`; then the dense layers.

use super::PadKind;

/// Statistics of a filter's activations over a window that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Their maximum: K features.
    Max,
    /// Their mean: K features.
    Average,
    /// Maxima first, then means: 2K features.
    MaxAndAverage,
}

impl Pooling {
    /// Features a filter gives.
    pub fn features_per_filter(self) -> usize {
        if self == Pooling::MaxAndAverage { 2 } else { 1 }
    }
    /// True if maxima are among the features.
    pub fn has_max(self) -> bool {
        self != Pooling::Average
    }
    /// True if means are among the features.
    pub fn has_average(self) -> bool {
        self != Pooling::Max
    }
}

/// Virtual columns that the network itself puts around a window before the convolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Padding {
    /// Columns before the window's first base.
    pub left: usize,
    /// Columns after the window's last base.
    pub right: usize,
    /// Value of all four channels in them: 0.25 for N, 0 for zero padding.
    pub value: f32,
}

impl Padding {
    /// No padding: filters are placed only where they fit.
    pub const NONE: Padding = Padding { left: 0, right: 0, value: 0.0 };

    /// `length` columns of N on each side.
    pub fn n(length: usize) -> Padding {
        Padding { left: length, right: length, value: 0.25 }
    }

    /// Meaning of the columns.
    pub fn kind(&self) -> PadKind {
        match (self.left + self.right, self.value) {
            (0, _) => PadKind::None,
            (_, 0.0) => PadKind::Zero,
            _ => PadKind::N,
        }
    }
}

/// A dense layer, `y = W x + b`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Inputs of the layer.
    pub inputs: usize,
    /// Outputs of the layer.
    pub outputs: usize,
    /// `weights[o * inputs + i]`, shape `[outputs, inputs]`.
    pub weights: Vec<f32>,
    /// One a output.
    pub bias: Vec<f32>,
}

impl Dense {
    /// The layer with the outputs of these ranks only.
    pub(crate) fn rows(&self, ranks: &[usize]) -> Dense {
        let weights = |&rank: &usize| self.weights[rank * self.inputs..(rank + 1) * self.inputs].to_vec();
        Dense {
            inputs: self.inputs,
            outputs: ranks.len(),
            weights: ranks.iter().flat_map(weights).collect(),
            bias: ranks.iter().map(|&rank| self.bias[rank]).collect(),
        }
    }
}

/// A network of the DeepBind family.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Number of filters, K.
    pub filters: usize,
    /// Length of each filter in bases, m.
    pub filter_length: usize,
    /// `weights[(k * 4 + channel) * m + j]`, shape `[K, 4, m]` as ONNX Conv has it; channels A, C, G, T.
    pub weights: Vec<f32>,
    /// Convolution bias of each filter (the negative of the paper's activation threshold).
    pub biases: Vec<f32>,
    /// True if activations are rectified (`max(0, a)`) before pooling.
    pub rectify: bool,
    /// Padding that the network puts around a window.
    pub padding: Padding,
    /// The global pool.
    pub pooling: Pooling,
    /// A hidden layer, rectified, between pool and output.
    pub hidden: Option<Dense>,
    /// The output layer.
    pub output: Dense,
    /// True if a logistic function follows the output layer.
    pub sigmoid: bool,
}

impl Network {
    /// Features the pool gives.
    pub fn features(&self) -> usize {
        self.filters * self.pooling.features_per_filter()
    }

    /// Placements of a filter on a window of `window` bases: `window + left + right - m + 1`, or 0 if it does
    /// not fit.
    pub fn alignments(&self, window: usize) -> usize {
        (window + self.padding.left + self.padding.right + 1).saturating_sub(self.filter_length)
    }

    /// True if the network, on windows of `window` bases, is a motif matrix: one linear filter, placed once a window.
    pub fn is_matrix(&self, window: usize) -> bool {
        self.filters == 1
            && self.pooling == Pooling::Max
            && self.padding == Padding::NONE
            && !self.rectify
            && self.hidden.is_none()
            && self.output.outputs == 1
            && !self.sigmoid
            && window == self.filter_length
    }

    /// Checks that all shapes fit together and all numbers are finite; the error says which does not.
    pub fn check(&self) -> Result<(), String> {
        if self.filters == 0 || self.filter_length == 0 {
            return Err("the convolution has no filters or no length".into());
        }
        let shape = |what: &str, have: usize, want: usize| {
            if have == want {
                Ok(())
            } else {
                Err(format!("{what} has {have} values where {want} are needed"))
            }
        };
        shape("filters", self.weights.len(), self.filters * 4 * self.filter_length)?;
        shape("biases", self.biases.len(), self.filters)?;
        let mut width = self.features();
        for (what, layer) in
            self.hidden.iter().map(|h| ("hidden layer", h)).chain([("output layer", &self.output)])
        {
            if layer.inputs != width {
                return Err(format!("{what} takes {} inputs where {width} are given", layer.inputs));
            }
            shape(what, layer.weights.len(), layer.inputs * layer.outputs)?;
            shape(what, layer.bias.len(), layer.outputs)?;
            if layer.outputs == 0 {
                return Err(format!("{what} has no outputs"));
            }
            width = layer.outputs;
        }
        let layers = self.hidden.iter().chain([&self.output]).flat_map(|l| l.weights.iter().chain(&l.bias));
        let numbers = self.weights.iter().chain(&self.biases).chain(layers);
        if numbers.chain([&self.padding.value]).any(|x| !x.is_finite()) {
            return Err("a parameter is not finite (NaN or infinity)".into());
        }
        if self.padding.left + self.padding.right > 0 && ![0.0, 0.25].contains(&self.padding.value) {
            return Err(format!("it pads with {}, which is neither N (0.25) nor zero", self.padding.value));
        }
        Ok(())
    }

    /// The same network without its own padding, for windows that see their real flanks: a window of `window +
    /// left + right` bases gives the same number of placements.
    pub fn unpadded(&self) -> Network {
        Network { padding: Padding::NONE, ..self.clone() }
    }
}
