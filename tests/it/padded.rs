//! Padded networks in the context of real flanks, against the definition computed position by position.
//!
//! Without the ONNX Runtime library these tests are skipped, unless `BINDSCAN_REQUIRE_ONNXRUNTIME=1` is set.

use std::ops::Range;

use bindscan::engine::dense::DenseEngine;
use bindscan::engine::kernel::Simd;
use bindscan::engine::onnx::OnnxEngine;
use bindscan::engine::{Device, Engine, Sharing};
use bindscan::model::Model;
use bindscan::model::onnx::proto::NodeProto;
use bindscan::model::onnx::tensor::Tensor;
use bindscan::model::onnx::unpad::unpad;
use bindscan::scores::Scores;
use bindscan::seq::alphabet::{ONE_HOT, complement};
use bindscan::seq::chunk::Chunk;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus as Random;

use crate::common::onnx::{
    assert_same, codes, floats, in_chunks, int, ints, library_is_there, model, node, scores, value,
};

/// A layer that pads.
#[derive(Debug, Clone)]
enum Layer {
    /// Weights `[outputs, inputs, kernel]`, then biases; a rectifier follows.
    Convolution {
        outputs: usize,
        kernel: usize,
        dilation: usize,
        stride: usize,
        pads: (usize, usize),
        weights: Vec<f32>,
        bias: Vec<f32>,
    },
    /// The same, whose input is added to the rectified result: kernel 3, as much padding as keeps the length.
    Residual {
        dilation: usize,
        weights: Vec<f32>,
        bias: Vec<f32>,
    },
    Maximum {
        kernel: usize,
        stride: usize,
        pads: (usize, usize),
    },
    Mean {
        kernel: usize,
        stride: usize,
        pads: (usize, usize),
    },
}

/// Layers that make one score of the last layer's positions.
#[derive(Debug, Clone)]
enum End {
    Maximum(Vec<f32>),
    /// A dense layer over all channels and positions.
    Dense(Vec<f32>),
}

#[derive(Debug)]
struct Padded {
    window: usize,
    layers: Vec<Layer>,
    end: End,
}

impl Layer {
    /// Kernel, dilation, stride and padding before and behind.
    fn slide(&self) -> (usize, usize, usize, (usize, usize)) {
        match *self {
            Layer::Convolution { kernel, dilation, stride, pads, .. } => (kernel, dilation, stride, pads),
            Layer::Residual { dilation, .. } => (3, dilation, 1, (dilation, dilation)),
            Layer::Maximum { kernel, stride, pads } | Layer::Mean { kernel, stride, pads } => {
                (kernel, 1, stride, pads)
            }
        }
    }

    fn channels(&self, before: usize) -> usize {
        if let Layer::Convolution { outputs, .. } = self { *outputs } else { before }
    }

    /// The layer's value at a position, of inputs that begin at the position `from`.
    fn at(&self, inputs: &[Vec<f64>], from: i64, channel: usize, position: i64) -> f64 {
        let (kernel, dilation, stride, pads) = self.slide();
        let place =
            |tap: usize| (position * stride as i64 - pads.0 as i64 + (tap * dilation) as i64 - from) as usize;
        match self {
            Layer::Maximum { .. } => {
                (0..kernel).map(|tap| inputs[channel][place(tap)]).fold(f64::NEG_INFINITY, f64::max)
            }
            Layer::Mean { .. } => {
                (0..kernel).map(|tap| inputs[channel][place(tap)]).sum::<f64>() / kernel as f64
            }
            Layer::Convolution { weights, bias, .. } | Layer::Residual { weights, bias, .. } => {
                let mut sum = f64::from(bias[channel]);
                for (input, row) in inputs.iter().enumerate() {
                    for tap in 0..kernel {
                        sum += f64::from(weights[(channel * inputs.len() + input) * kernel + tap])
                            * row[place(tap)];
                    }
                }
                let is_added = matches!(self, Layer::Residual { .. });
                sum.max(0.0) + if is_added { inputs[channel][(position - from) as usize] } else { 0.0 }
            }
        }
    }
}

/// Weights of so many units of which each sees so many numbers: what they give is neither large nor small, as in a trained
/// network, so that sums do not cancel.
fn weights(random: &mut Random, units: usize, seen: usize) -> Vec<f32> {
    let scale = (3.0 / seen as f32).sqrt();
    floats(random, units * seen).into_iter().map(|weight| weight * scale).collect()
}

impl Padded {
    fn random(random: &mut Random, windows: Range<usize>, filters: Range<usize>) -> Padded {
        let window = random.random_range(windows);
        let (mut channels, mut positions) = (4, window);
        let mut layers: Vec<Layer> = Vec::new();
        for _ in 0..random.random_range(2..5) {
            let (kernel, stride) = (random.random_range(2..6usize), random.random_range(1..3usize));
            let pads = (random.random_range(0..kernel), random.random_range(0..kernel));
            let layer = match random.random_range(0..4) {
                0 => Layer::Maximum { kernel, stride, pads },
                1 => Layer::Mean { kernel, stride, pads },
                2 if channels > 4 => {
                    let dilation = random.random_range(1..4);
                    let weights = weights(random, channels, channels * 3);
                    Layer::Residual { dilation, weights, bias: floats(random, channels) }
                }
                _ => {
                    let outputs = random.random_range(filters.clone());
                    let dilation = random.random_range(1..3);
                    let weights = weights(random, outputs, channels * kernel);
                    Layer::Convolution {
                        outputs,
                        kernel,
                        dilation,
                        stride,
                        pads,
                        weights,
                        bias: floats(random, outputs),
                    }
                }
            };
            let (kernel, dilation, stride, pads) = layer.slide();
            let Some(starts) = (positions + pads.0 + pads.1).checked_sub((kernel - 1) * dilation + 1) else {
                continue;
            };
            // A pool must not begin or end within padding alone.
            if matches!(layer, Layer::Maximum { .. } | Layer::Mean { .. })
                && (pads.0 >= kernel || pads.1 >= kernel)
            {
                continue;
            }
            positions = starts / stride + 1;
            channels = layer.channels(channels);
            layers.push(layer);
        }
        let end = if random.random_range(0..2) == 0 {
            End::Maximum(weights(random, 1, channels))
        } else {
            End::Dense(weights(random, 1, channels * positions))
        };
        Padded { window, layers, end }
    }

    /// Channels and positions behind each layer, for the window alone; the input first.
    fn shapes(&self) -> Vec<(usize, usize)> {
        let mut shapes = vec![(4, self.window)];
        for layer in &self.layers {
            let (channels, positions) = shapes[shapes.len() - 1];
            let (kernel, dilation, stride, pads) = layer.slide();
            let starts = positions + pads.0 + pads.1 - (kernel - 1) * dilation;
            shapes.push((layer.channels(channels), (starts - 1) / stride + 1));
        }
        shapes
    }

    fn onnx(&self) -> Vec<u8> {
        let (mut nodes, mut constants): (Vec<NodeProto>, Vec<_>) = (Vec::new(), Vec::new());
        let mut last = "x".to_owned();
        let shapes = self.shapes();
        for (i, layer) in self.layers.iter().enumerate() {
            let (kernel, dilation, stride, pads) = layer.slide();
            let mut attributes = vec![
                ints("kernel_shape", &[kernel]),
                ints("strides", &[stride]),
                ints("pads", &[pads.0, pads.1]),
            ];
            let (channels, own) = (shapes[i].0, format!("y{i}"));
            match layer {
                Layer::Maximum { .. } => nodes.push(node("MaxPool", &[&last], &own, attributes)),
                Layer::Mean { .. } => nodes.push(node("AveragePool", &[&last], &own, attributes)),
                Layer::Convolution { weights, bias, .. } | Layer::Residual { weights, bias, .. } => {
                    attributes.push(ints("dilations", &[dilation]));
                    let (w, b, sum) = (format!("w{i}"), format!("b{i}"), format!("sum{i}"));
                    constants.push(Tensor::floats([bias.len(), channels, kernel], weights.clone()).write(&w));
                    constants.push(Tensor::floats([bias.len()], bias.clone()).write(&b));
                    nodes.push(node("Conv", &[&last, &w, &b], &sum, attributes));
                    let is_added = matches!(layer, Layer::Residual { .. });
                    let active = if is_added { format!("active{i}") } else { own.clone() };
                    nodes.push(node("Relu", &[&sum], &active, vec![]));
                    if is_added {
                        nodes.push(node("Add", &[&active, &last], &own, vec![]));
                    }
                }
            }
            last = own;
        }
        let weights = match &self.end {
            End::Maximum(weights) => {
                nodes.push(node(
                    "ReduceMax",
                    &[&last],
                    "features",
                    vec![ints("axes", &[2]), int("keepdims", 0)],
                ));
                weights
            }
            End::Dense(weights) => {
                nodes.push(node("Flatten", &[&last], "features", vec![]));
                weights
            }
        };
        constants.push(Tensor::floats([weights.len(), 1], weights.clone()).write("weights"));
        nodes.push(node("MatMul", &["features", "weights"], "score", vec![]));
        let (input, output) =
            (value("x", &[None, Some(4), Some(self.window as i64)]), value("score", &[None, Some(1)]));
        model(input, nodes, constants, vec![output]).encode_to_vec()
    }

    /// The score of the window whose columns `column` gives, from the definition of each layer at each position.
    fn score(&self, column: &dyn Fn(i64) -> [f64; 4]) -> f64 {
        let shapes = self.shapes();
        // Positions of each layer's input that are looked at, backwards from the window's own of the last one.
        let mut ranges = vec![(0, shapes[self.layers.len()].1 as i64)];
        for layer in self.layers.iter().rev() {
            let (kernel, dilation, stride, pads) = layer.slide();
            let (from, to) = ranges[ranges.len() - 1];
            let first = from * stride as i64 - pads.0 as i64;
            let last = (to - 1) * stride as i64 - pads.0 as i64 + ((kernel - 1) * dilation) as i64;
            let is_added = matches!(layer, Layer::Residual { .. });
            ranges.push(if is_added { (first.min(from), last.max(to - 1) + 1) } else { (first, last + 1) });
        }
        ranges.reverse();
        let (mut from, to) = ranges[0];
        let mut values: Vec<Vec<f64>> =
            (0..4).map(|c| (from..to).map(|at| column(at)[c]).collect()).collect();
        for (i, layer) in self.layers.iter().enumerate() {
            let (begin, end) = ranges[i + 1];
            let positions: Vec<i64> = (begin..end).collect();
            let one =
                |channel: usize| positions.iter().map(|&at| layer.at(&values, from, channel, at)).collect();
            values = (0..shapes[i + 1].0).map(one).collect();
            from = begin;
        }
        match &self.end {
            End::Maximum(weights) => {
                let highest = |row: &Vec<f64>| row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                values.iter().zip(weights).map(|(row, &weight)| f64::from(weight) * highest(row)).sum()
            }
            End::Dense(weights) => {
                values.iter().flatten().zip(weights).map(|(value, &weight)| f64::from(weight) * value).sum()
            }
        }
    }
}

fn plan(window: usize, stride: usize, context: Context) -> WindowPlan {
    WindowPlan { window, stride, strands: StrandChoice::Both, context }
}

/// The definition: padding removed, real bases beside the window, zeros past the contig's ends.
fn defined(network: &Padded, chunk: &Chunk, plan: &WindowPlan) -> Scores {
    let mut scores = Scores::default();
    scores.reset(chunk, plan, 1);
    let length = chunk.codes.len() as i64;
    let base = |at: i64| usize::try_from(at).ok().filter(|_| at < length).map(|at| chunk.codes[at]);
    let column = |code: Option<u8>| code.map_or([0.0; 4], |code| ONE_HOT[usize::from(code)].map(f64::from));
    for i in 0..scores.windows {
        let start = (scores.start + (i * plan.stride) as u64) as i64;
        let last = start + plan.window as i64 - 1;
        scores.forward[i] = network.score(&|position| column(base(start + position))) as f32;
        scores.reverse[i] = network.score(&|position| column(base(last - position).map(complement))) as f32;
    }
    scores
}

#[test]
fn flanks_are_what_each_layer_would_have_seen() {
    if !library_is_there() {
        return;
    }
    let (mut dense, mut by_own) = (0, 0);
    for seed in 0..24 {
        let mut random = Random::seed_from_u64(seed);
        let network = Padded::random(&mut random, 30..60, 5..8);
        let model = Model::from_bytes("padded", &network.onnx()).unwrap();
        let chunk = Chunk::whole("c", codes(&mut random, network.window + 40));
        let mut engine = OnnxEngine::new(&model, Device::Cpu).unwrap();
        if model.network.is_ok() {
            continue;
        }
        for stride in [1, 7] {
            let plan = plan(network.window, stride, Context::Flank);
            let want = defined(&network, &chunk, &plan);
            assert_same(&scores(&mut engine, &chunk, &plan).unwrap(), &want);
            let mut densely = OnnxEngine::new(&model, Device::Cpu).unwrap().scoring_together();
            assert_same(&scores(&mut densely, &chunk, &plan).unwrap(), &want);
            dense += usize::from(stride == 1 && densely.sharing() == Sharing::Everything);
            let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(densely)];
            if let Ok(engine) = DenseEngine::new(&model, &plan, Simd::detect()) {
                engines.push(Box::new(engine));
                by_own += 1;
            }
            for engine in &mut engines {
                assert_same(&scores(&mut **engine, &chunk, &plan).unwrap(), &want);
                // The same in pieces, which have as many bases beside them as the engine asks for.
                let (left, right) = engine.flanks(&plan);
                for piece in in_chunks(&chunk, &plan, 29, left.max(right)) {
                    let want = defined_part(&want, &piece, &plan);
                    assert_same(&scores(&mut **engine, &piece, &plan).unwrap(), &want);
                }
            }
        }
    }
    assert!(dense > 15, "{dense} of 24 networks were scanned densely");
    assert!(by_own > 30, "{by_own} of 48 plans were scanned by the dense engine");
}

/// The scores of a piece's windows, of all.
fn defined_part(all: &Scores, piece: &Chunk, plan: &WindowPlan) -> Scores {
    let mut scores = Scores::default();
    scores.reset(piece, plan, 1);
    if scores.windows == 0 {
        return scores;
    }
    let first = ((scores.start - all.start) / plan.stride as u64) as usize;
    scores.forward.copy_from_slice(&all.forward[first..][..scores.windows]);
    scores.reverse.copy_from_slice(&all.reverse[first..][..scores.windows]);
    scores
}

/// Windows that share what padding does not reach score as each does by itself, with the same bytes for any chunks.
#[test]
fn sharing_what_padding_does_not_reach_changes_no_score() {
    if !library_is_there() {
        return;
    }
    let mut shared = 0;
    for seed in 0..30 {
        let mut random = Random::seed_from_u64(seed);
        let network = Padded::random(&mut random, 100..240, 30..50);
        let model = Model::from_bytes("padded", &network.onnx()).unwrap();
        let chunk = Chunk::whole("c", codes(&mut random, network.window + 400));
        for stride in [1, 2, 7] {
            let plan = plan(network.window, stride, Context::Padding);
            let want = scores(&mut OnnxEngine::new(&model, Device::Cpu).unwrap(), &chunk, &plan).unwrap();
            let mut together = OnnxEngine::new(&model, Device::Cpu).unwrap().scoring_together();
            let have = scores(&mut together, &chunk, &plan).unwrap();
            assert_same(&have, &want);
            shared += usize::from(together.sharing() == Sharing::Interior);
            for piece in in_chunks(&chunk, &plan, 223, 0) {
                let part = defined_part(&have, &piece, &plan);
                let again = scores(&mut together, &piece, &plan).unwrap();
                let words = format!("seed {seed}, stride {stride}, {} windows", again.windows);
                assert_eq!((again.forward, again.reverse), (part.forward, part.reverse), "{words}");
            }
        }
    }
    assert!(shared > 15, "{shared} of 90 plans share layers");
}

/// A network that pads nothing has no flanks: both contexts are one.
#[test]
fn without_padding_the_contexts_are_alike() {
    let mut random = Random::seed_from_u64(3);
    let convolution = |outputs: usize, inputs: usize, random: &mut Random| Layer::Convolution {
        outputs,
        kernel: 5,
        dilation: 2,
        stride: 1,
        pads: (0, 0),
        weights: floats(random, outputs * inputs * 5),
        bias: floats(random, outputs),
    };
    let layers = vec![convolution(6, 4, &mut random), convolution(5, 6, &mut random)];
    let network = Padded { window: 40, layers, end: End::Maximum(floats(&mut random, 5)) };
    let model = Model::from_bytes("valid", &network.onnx()).unwrap();
    let unpadded = unpad(&model.graph, &model.input, &model.output, 40).unwrap();
    assert_eq!((unpadded.left, unpadded.right), (0, 0));
    if !library_is_there() {
        return;
    }
    let chunk = Chunk::whole("c", codes(&mut random, 200));
    let mut engine = OnnxEngine::new(&model, Device::Cpu).unwrap().scoring_together();
    let padding = scores(&mut engine, &chunk, &plan(40, 1, Context::Padding)).unwrap();
    let flank = scores(&mut engine, &chunk, &plan(40, 1, Context::Flank)).unwrap();
    assert_eq!((padding.forward, padding.reverse), (flank.forward, flank.reverse));
}
