//! The dense graph of a [`Network`]: every window of a stretch of bases in one pass.
//!
//! Windows that overlap share their convolution: `Conv → Relu → sliding pool → 1 × 1 Conv` gives for position i what
//! the network gives for the window that starts there. It holds for unpadded networks only.
//!
//! The sequence is the last axis of an image one row high, since ONNX Runtime is three to four times as fast on
//! two-dimensional convolutions and pools. A sliding maximum over P positions is taken in two levels, over a ≈ √P
//! neighbours and then over every a-th of those maxima, so that it costs 2√P operations a position.

use super::{Builder, Dim, INPUT, OUTPUT, finish, int, ints, symbol, value_info};
use crate::model::onnx::ModelProto;
use crate::model::onnx::tensor::Tensor;
use crate::model::{Dense, Network};

/// The graph that scores all windows of `window` bases: from f32 `[N, 4, 1, L]` to f32
/// `[N, outputs, 1, L - window + 1]`.
///
/// # Panics
/// If the network is padded, or its filters are longer than the window.
pub fn model(network: &Network, window: usize) -> ModelProto {
    assert_eq!(network.padding.left + network.padding.right, 0, "padded");
    let mut builder = Builder::default();
    let last = builder.dense_network(network, network.alignments(window));
    builder.graph.input =
        vec![value_info(INPUT, [symbol("N"), Dim::DimValue(4), Dim::DimValue(1), symbol("L")])];
    let outputs = Dim::DimValue(network.output.outputs as i64);
    builder.graph.output = vec![value_info(&last, [symbol("N"), outputs, Dim::DimValue(1), symbol("P")])];
    finish(builder)
}

/// Taps and distances of the pools that give the maximum over `width` neighbours, one after another. One of a
/// single tap does nothing.
pub(in crate::model::onnx) fn maximum_levels(width: usize) -> [(usize, usize); 3] {
    let near = width.isqrt().max(1);
    let far = width / near;
    // Positions that the two levels leave over are covered by two overlapping spans.
    let rest = width - near * far;
    [(near, 1), (far, near), (if rest > 0 { 2 } else { 1 }, rest)]
}

impl Builder {
    /// Adds all nodes, pooling over `alignments` positions; returns the name of the last one's output.
    fn dense_network(&mut self, network: &Network, alignments: usize) -> String {
        let (count, length) = (network.filters, network.filter_length);
        let filters = Tensor::floats([count, 4, 1, length], network.weights.clone());
        let filters = self.constant("filters", &filters);
        let biases = self.constant("biases", &Tensor::floats([count], network.biases.clone()));
        let kernel = [ints("kernel_shape", &[1, length as i64])];
        let mut x = self.node("Conv", &[INPUT, &filters, &biases], "activations", kernel);
        if network.rectify {
            x = self.node("Relu", &[&x], "rectified", []);
        }
        let mut features = Vec::new();
        if network.pooling.has_max() {
            features.push(self.sliding_maximum(&x, alignments));
        }
        if network.pooling.has_average() {
            let kernel = [ints("kernel_shape", &[1, alignments as i64])];
            features.push(self.node("AveragePool", &[&x], "means", kernel));
        }
        x = match &features[..] {
            [maxima, means] => self.node("Concat", &[maxima, means], "features", [int("axis", 1)]),
            _ => features.swap_remove(0),
        };
        if let Some(hidden) = &network.hidden {
            x = self.everywhere(hidden, "hidden", &x, "hidden_sums");
            x = self.node("Relu", &[&x], "hidden_units", []);
        }
        let last = if network.sigmoid { "logit" } else { OUTPUT };
        x = self.everywhere(&network.output, "output", &x, last);
        if network.sigmoid { self.node("Sigmoid", &[&x], OUTPUT, []) } else { x }
    }

    /// Maximum over `width` positions from each on.
    fn sliding_maximum(&mut self, x: &str, width: usize) -> String {
        let mut x = x.to_owned();
        for (name, (taps, step)) in ["near", "far", "rest"].iter().zip(maximum_levels(width)) {
            if taps > 1 {
                let attributes =
                    [ints("kernel_shape", &[1, taps as i64]), ints("dilations", &[1, step as i64])];
                x = self.node("MaxPool", &[&x], &format!("{name}_maxima"), attributes);
            }
        }
        x
    }

    /// A dense layer at every position.
    fn everywhere(&mut self, layer: &Dense, name: &str, x: &str, output: &str) -> String {
        let weights = Tensor::floats([layer.outputs, layer.inputs, 1, 1], layer.weights.clone());
        let weights = self.constant(&format!("{name}_weights"), &weights);
        let bias = Tensor::floats([layer.outputs], layer.bias.clone());
        let bias = self.constant(&format!("{name}_bias"), &bias);
        self.node("Conv", &[x, &weights, &bias], output, [ints("kernel_shape", &[1, 1])])
    }
}
