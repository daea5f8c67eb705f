//! Dense graphs of window classifiers that are not of the DeepBind family, against their own graphs window by window: run by
//! ONNX Runtime and by the dense engine.
//!
//! Without the ONNX Runtime library these tests are skipped, unless `BINDSCAN_REQUIRE_ONNXRUNTIME=1` is set.

use std::path::Path;

use crate::common::onnx::{assert_same, codes, floats, in_chunks, int, ints, library_is_there, scores};
use bindscan::engine::dense::DenseEngine;
use bindscan::engine::kernel::Simd;
use bindscan::engine::onnx::OnnxEngine;
use bindscan::engine::{Device, Engine, Sharing};
use bindscan::model::inspect::inspect;
use bindscan::model::onnx::dense::rewrite;
use bindscan::model::onnx::proto::{AttributeProto, GraphProto, NodeProto};
use bindscan::model::onnx::tensor::Tensor;
use bindscan::model::{Dense, Layout, Model, ModelSpec, Network, Padding, Pooling};
use bindscan::scores::Scores;
use bindscan::seq::chunk::Chunk;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus as Random;

const DIALECTS: [&str; 2] = ["torchscript", "dynamo"];

/// PyTorch networks of every kind that has a dense graph, and the number of their outputs.
const DENSE: [(&str, usize); 8] = [
    ("deep", 1),
    ("exponential", 1),
    ("flat", 1),
    ("keras", 1),
    ("residual", 2),
    ("rows", 2),
    ("strided", 3),
    ("tasks", 5),
];

fn pytorch(name: &str, dialect: &str) -> Model {
    let file = format!("tests/data/pytorch/{name}.{dialect}.onnx");
    Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

fn plan(window: usize, stride: usize) -> WindowPlan {
    WindowPlan { window, stride, strands: StrandChoice::Both, context: Context::Padding }
}

fn by_window(model: &Model) -> OnnxEngine {
    OnnxEngine::new(model, Device::Cpu).unwrap()
}

fn densely(model: &Model) -> OnnxEngine {
    by_window(model).scoring_together()
}

/// Why a model has no dense graph at its own window.
fn reason(model: &Model) -> String {
    rewrite(&model.graph, &model.input, &model.output, model.spec.window).unwrap_err()
}

fn assert_dense_as_windows(model: &Model, chunk: &Chunk, plan: &WindowPlan) {
    let want = scores(&mut by_window(model), chunk, plan).unwrap();
    let mut engine = densely(model);
    let have = scores(&mut engine, chunk, plan).unwrap();
    assert_eq!(engine.sharing(), Sharing::Everything, "{}", inspect(model));
    assert_same(&have, &want);
    assert_same(&by_dense_engine(model, chunk, plan), &want);
}

/// The scores of the dense engine: the same bits on every instruction set, and for windows by themselves.
fn by_dense_engine(model: &Model, chunk: &Chunk, plan: &WindowPlan) -> Scores {
    let all: Vec<Scores> = Simd::available()
        .into_iter()
        .map(|simd| scores(&mut DenseEngine::new(model, plan, simd).unwrap(), chunk, plan).unwrap())
        .collect();
    assert!(all.iter().all(|scores| *scores == all[0]), "{}", inspect(model));
    let mut engine = DenseEngine::new(model, plan, Simd::detect()).unwrap();
    let far = WindowPlan { stride: 1 << 20, ..*plan };
    for window in [0, all[0].windows / 2, all[0].windows - 1] {
        let start = all[0].start + (window * plan.stride) as u64;
        let mut alone = Chunk::whole("window", chunk.codes.clone());
        alone.codes.drain(..(start - chunk.start) as usize);
        alone.end = alone.codes.len() as u64;
        let alone = scores(&mut engine, &alone, &far).unwrap();
        assert_eq!((alone.windows, engine.sharing()), (1, Sharing::Nothing));
        for (one, many) in [(&alone.forward, &all[0].forward), (&alone.reverse, &all[0].reverse)] {
            for (output, one) in one.iter().enumerate() {
                let many = many[output * all[0].windows + window];
                assert_eq!(
                    one.to_bits(),
                    many.to_bits(),
                    "output {output} of window {window}: {}",
                    inspect(model)
                );
            }
        }
    }
    all.into_iter().next().unwrap()
}

#[test]
fn pytorch_networks_score_densely_as_window_by_window() {
    if !library_is_there() {
        return;
    }
    let random = &mut Random::seed_from_u64(1);
    for (name, outputs) in DENSE {
        for dialect in DIALECTS {
            let model = pytorch(name, dialect);
            assert_eq!(model.spec.outputs.len(), outputs);
            let window = model.spec.window;
            for (windows, stride) in [(1, 1), (500, 1), (700, 3)] {
                let chunk = Chunk::whole("contig", codes(random, window + windows - 1));
                assert_dense_as_windows(&model, &chunk, &plan(window, stride));
            }
        }
    }
}

#[test]
fn a_window_may_leave_positions_over() {
    if !library_is_there() {
        return;
    }
    let random = &mut Random::seed_from_u64(2);
    for window in 10..26 {
        let chunk = Chunk::whole("contig", codes(random, 300));
        assert_dense_as_windows(&pytorch("deep", "torchscript"), &chunk, &plan(window, 1));
    }
}

#[test]
fn dense_scores_are_the_same_bits_however_the_contig_is_cut() {
    if !library_is_there() {
        return;
    }
    let random = &mut Random::seed_from_u64(3);
    for (name, stride) in [("tasks", 1), ("residual", 1), ("strided", 3), ("exponential", 2)] {
        let model = pytorch(name, "torchscript");
        let (window, outputs) = (model.spec.window, model.spec.outputs.len());
        let chunk = Chunk::whole("contig", codes(random, 9_000));
        let plan = plan(window, stride);
        let whole = scores(&mut densely(&model), &chunk, &plan).unwrap();
        for own in [50, 1_000, 4_096] {
            let mut engine = densely(&model);
            let mut at = 0;
            for part in in_chunks(&chunk, &plan, own, 0) {
                let part = scores(&mut engine, &part, &plan).unwrap();
                for (have, want) in [(&part.forward, &whole.forward), (&part.reverse, &whole.reverse)] {
                    for output in 0..outputs {
                        let have = &have[output * part.windows..][..part.windows];
                        let want = &want[output * whole.windows + at..][..part.windows];
                        assert_eq!(have, want, "{name} in chunks of {own}");
                    }
                }
                at += part.windows;
            }
            assert_eq!(at, whole.windows);
        }
    }
}

#[test]
fn what_makes_no_dense_graph_is_named_and_scored_otherwise() {
    for (name, node, why) in [
        ("same", "Conv ", "pads"),
        ("recurrent", "GRU ", "no operation that overlapping windows can share"),
        ("gated", "Mul ", "different shapes"),
    ] {
        let model = pytorch(name, "torchscript");
        let reason = reason(&model);
        assert!(reason.starts_with(node) && reason.contains(why) && !reason.contains('\n'), "{reason}");
        let text = inspect(&model).to_string();
        let how = if name == "same" { "windows share their first layers" } else { "windows " };
        assert!(text.contains(&format!("the onnx engine, {how}")) && text.contains(&reason), "{text}");
        if library_is_there() {
            let chunk = Chunk::whole("contig", codes(&mut Random::seed_from_u64(4), 200));
            let plan = plan(model.spec.window, 1);
            let mut engine = densely(&model);
            let have = scores(&mut engine, &chunk, &plan).unwrap();
            assert_ne!(engine.sharing(), Sharing::Everything);
            assert_same(&have, &scores(&mut by_window(&model), &chunk, &plan).unwrap());
        }
    }
    assert!(reason(&pytorch("gated", "dynamo")).contains("different shapes"));
    assert!(reason(&pytorch("same", "dynamo")).contains("pads"));
}

#[test]
fn operators_older_than_are_followed_are_refused() {
    let mut model = pytorch("tasks", "torchscript");
    model.graph.opset_import[0].version = Some(10);
    assert!(reason(&model).contains("version 10"), "{}", reason(&model));
}

#[test]
fn damaged_graphs_do_not_panic() {
    let random = &mut Random::seed_from_u64(6);
    for (name, _) in DENSE {
        let bytes = pytorch(name, "dynamo").to_bytes();
        for _ in 0..1_000 {
            let mut damaged = bytes.clone();
            let place = random.random_range(0..damaged.len());
            damaged[place] = random.random();
            if let Ok(model) = Model::from_bytes("damaged", &damaged) {
                assert!(!inspect(&model).to_string().is_empty());
            }
        }
    }
}

#[test]
fn windows_far_apart_are_scored_one_at_a_time() {
    if !library_is_there() {
        return;
    }
    let model = pytorch("tasks", "torchscript");
    let chunk = Chunk::whole("contig", codes(&mut Random::seed_from_u64(5), 3_000));
    let mut engine = densely(&model);
    scores(&mut engine, &chunk, &plan(200, 1_000)).unwrap();
    assert_ne!(engine.sharing(), Sharing::Everything);
}

/// A chain of layers, as nodes.
struct Chain {
    graph: GraphProto,
    last: String,
    channels: usize,
    positions: usize,
    random: Random,
}

impl Chain {
    fn node(&mut self, op: &str, weights: &[Tensor], attributes: Vec<AttributeProto>) {
        let place = self.graph.node.len();
        let mut input = vec![self.last.clone()];
        for (i, tensor) in weights.iter().enumerate() {
            let name = format!("weights_{place}_{i}");
            self.graph.initializer.push(tensor.write(&name));
            input.push(name);
        }
        self.last = format!("x{place}");
        self.graph.node.push(NodeProto {
            op_type: Some(op.into()),
            name: Some(self.last.clone()),
            input,
            output: vec![self.last.clone()],
            attribute: attributes,
            ..NodeProto::default()
        });
    }

    /// A layer of any kind that fits the positions left.
    fn layer(&mut self) {
        const FUNCTIONS: [&str; 19] = [
            "Relu",
            "LeakyRelu",
            "Elu",
            "Selu",
            "Celu",
            "Exp",
            "Erf",
            "Sigmoid",
            "HardSigmoid",
            "Tanh",
            "Softplus",
            "Softsign",
            "ThresholdedRelu",
            "Neg",
            "Abs",
            "Clip",
            "Softmax",
            "LogSoftmax",
            "Identity",
        ];
        let kind = self.random.random_range(0..8);
        let kernel = self.random.random_range(1..6usize).min(self.positions);
        let stride = self.random.random_range(1..4usize);
        let dilation = self.random.random_range(1..4usize).min((self.positions - 1) / kernel.max(2) + 1);
        let reach = |dilation: usize| (kernel - 1) * dilation;
        match kind {
            0 | 1 if reach(dilation) < self.positions => {
                let (groups, outputs) = if self.channels.is_multiple_of(2) { (2, 4) } else { (1, 3) };
                let seen = self.channels / groups;
                let weights = floats(&mut self.random, outputs * seen * kernel);
                let weights = Tensor::floats([outputs, seen, kernel], weights);
                let bias = Tensor::floats([outputs], floats(&mut self.random, outputs));
                let attributes = vec![
                    ints("strides", &[stride]),
                    ints("dilations", &[dilation]),
                    ints("pads", &[0, 0]),
                    int("group", groups),
                ];
                self.node("Conv", &[weights, bias], attributes);
                self.channels = outputs;
                self.positions = (self.positions - reach(dilation)).div_ceil(stride);
            }
            2 | 3 => {
                let attributes = vec![ints("kernel_shape", &[kernel]), ints("strides", &[stride])];
                self.node(if kind == 2 { "MaxPool" } else { "AveragePool" }, &[], attributes);
                self.positions = (self.positions - reach(1)).div_ceil(stride);
            }
            4 => {
                let op = ["PRelu", "Add", "Sub", "Mul", "Max", "Min"][self.random.random_range(0..6)];
                let numbers = Tensor::floats([self.channels, 1], floats(&mut self.random, self.channels));
                self.node(op, &[numbers], vec![]);
            }
            5 => {
                let count = self.channels;
                let mut parameters = [(); 4].map(|()| floats(&mut self.random, count));
                parameters[3].iter_mut().for_each(|variance| *variance = variance.abs() + 0.5);
                self.node(
                    "BatchNormalization",
                    &parameters.map(|values| Tensor::floats([count], values)),
                    vec![],
                );
            }
            _ => {
                let op = FUNCTIONS[self.random.random_range(0..FUNCTIONS.len())];
                let bounds = [Tensor::floats([], vec![-0.5]), Tensor::floats([], vec![0.75])];
                let of_channels = matches!(op, "Softmax" | "LogSoftmax").then(|| int("axis", 1));
                self.node(op, if op == "Clip" { &bounds } else { &[] }, of_channels.into_iter().collect());
            }
        }
    }

    /// Dense layers on all positions, or on the mean or maximum over them.
    fn head(&mut self, outputs: usize) {
        let kind = self.random.random_range(0..3);
        match kind {
            0 => self.node("GlobalMaxPool", &[], vec![]),
            1 => self.node("GlobalAveragePool", &[], vec![]),
            _ => {}
        }
        let features = if kind < 2 { self.channels } else { self.channels * self.positions };
        self.node("Flatten", &[], vec![]);
        for (inputs, outputs) in [(features, 3), (3, outputs)] {
            let weights = Tensor::floats([inputs, outputs], floats(&mut self.random, inputs * outputs));
            let bias = Tensor::floats([outputs], floats(&mut self.random, outputs));
            self.node("Gemm", &[weights, bias], vec![]);
            self.node("Tanh", &[], vec![]);
        }
        self.node("Identity", &[], vec![]);
    }
}

/// A random chain of `layers` layers for windows of `window` bases.
fn chain(seed: u64, layers: usize, window: usize, outputs: usize) -> Model {
    let output = Dense { inputs: 1, outputs, weights: vec![1.0; outputs], bias: vec![0.0; outputs] };
    // Only its input and output are kept.
    let network = Network {
        filters: 1,
        filter_length: 4,
        weights: vec![0.0; 16],
        biases: vec![0.0],
        rectify: true,
        padding: Padding::NONE,
        pooling: Pooling::Max,
        hidden: None,
        output,
        sigmoid: false,
    };
    let spec = ModelSpec { window, ..ModelSpec::from_network("chain", &network) };
    let mut model = Model::from_network(spec, network).unwrap();
    assert_eq!(model.input.layout, Layout::ChannelsFirst);
    let graph = model.graph.graph.as_mut().unwrap();
    graph.node.clear();
    graph.initializer.clear();
    let random = Random::seed_from_u64(seed);
    let mut chain = Chain {
        graph: graph.clone(),
        last: model.input.name.clone(),
        channels: 4,
        positions: window,
        random,
    };
    for _ in 0..layers {
        chain.layer();
    }
    chain.head(outputs);
    let last = chain.graph.node.last_mut().unwrap();
    last.output[0].clone_from(&model.output);
    *graph = chain.graph;
    model.network = Err("it is a chain".into());
    model
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_chains_score_densely_as_window_by_window(
        seed: u64,
        layers in 1usize..6,
        window in 2usize..80,
        windows in 1usize..400,
        stride in 1usize..4,
        outputs in 1usize..3,
    ) {
        if !library_is_there() {
            return Ok(());
        }
        let model = chain(seed, layers, window, outputs);
        let plan = plan(window, stride);
        let chunk = Chunk::whole("contig", codes(&mut Random::seed_from_u64(seed), window + windows - 1));
        let want = scores(&mut by_window(&model), &chunk, &plan).unwrap();
        let made = rewrite(&model.graph, &model.input, &model.output, window).unwrap();
        let mut engine = densely(&model);
        let have: Scores = scores(&mut engine, &chunk, &plan).unwrap();
        let pays = stride as f64 * made.cost <= made.window_cost;
        match engine.sharing() {
            Sharing::Everything => prop_assert!(pays),
            Sharing::Nothing => prop_assert!(!pays),
            // Cheaper than both.
            Sharing::Interior => {}
        }
        assert_same(&have, &want);
    }
}
