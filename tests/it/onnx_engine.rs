//! The ONNX Runtime engine against the reference, on random networks and on published models.
//!
//! Without the ONNX Runtime library these tests are skipped, unless `BINDSCAN_REQUIRE_ONNXRUNTIME=1` is set.

use std::path::Path;

use crate::common::onnx::{assert_same, codes, floats, in_chunks, library_is_there, scores};
use bindscan::engine::onnx::OnnxEngine;
use bindscan::engine::reference::ReferenceEngine;
use bindscan::engine::{Device, Engine, Sharing};
use bindscan::model::onnx::proto::tensor_shape_proto::dimension::Value as Dim;
use bindscan::model::onnx::proto::type_proto::Value as TypeValue;
use bindscan::model::onnx::proto::{NodeProto, ValueInfoProto, tensor_shape_proto::Dimension};
use bindscan::model::onnx::tensor::Tensor;
use bindscan::model::{Dense, Model, ModelSpec, Network, Padding, Pooling, deepbind};
use bindscan::seq::chunk::Chunk;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus as Random;

fn dense(random: &mut Random, inputs: usize, outputs: usize) -> Dense {
    Dense { inputs, outputs, weights: floats(random, inputs * outputs), bias: floats(random, outputs) }
}

/// Parameters that a random network is drawn from.
#[derive(Debug, Clone)]
struct Shape {
    filters: usize,
    length: usize,
    padding: Padding,
    pooling: Pooling,
    hidden: Option<usize>,
    outputs: usize,
    rectify: bool,
    sigmoid: bool,
}

impl Shape {
    fn network(&self, random: &mut Random) -> Network {
        let features = self.filters * self.pooling.features_per_filter();
        Network {
            filters: self.filters,
            filter_length: self.length,
            weights: floats(random, self.filters * 4 * self.length),
            biases: floats(random, self.filters),
            rectify: self.rectify,
            padding: self.padding,
            pooling: self.pooling,
            hidden: self.hidden.map(|units| dense(random, features, units)),
            output: dense(random, self.hidden.unwrap_or(features), self.outputs),
            sigmoid: self.sigmoid,
        }
    }
}

fn small() -> Shape {
    Shape {
        filters: 3,
        length: 5,
        padding: Padding::NONE,
        pooling: Pooling::Max,
        hidden: None,
        outputs: 1,
        rectify: true,
        sigmoid: false,
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let padding = (0usize..9, 0usize..9, prop_oneof![Just(0.25f32), Just(0.0)]);
    let padding = padding.prop_map(|(left, right, value)| Padding { left, right, value });
    let pooling = prop_oneof![Just(Pooling::Max), Just(Pooling::Average), Just(Pooling::MaxAndAverage)];
    let hidden = proptest::option::of(1usize..9);
    (1usize..20, 1usize..16, padding, pooling, hidden, 1usize..4, any::<bool>(), any::<bool>()).prop_map(
        |(filters, length, padding, pooling, hidden, outputs, rectify, sigmoid)| Shape {
            filters,
            length,
            padding,
            pooling,
            hidden,
            outputs,
            rectify,
            sigmoid,
        },
    )
}

fn plan(window: usize) -> WindowPlan {
    WindowPlan { window, stride: 1, strands: StrandChoice::Both, context: Context::Padding }
}

fn model_of(network: &Network) -> Model {
    Model::from_network(ModelSpec::from_network("random", network), network.clone()).unwrap()
}

/// Compares both ways of scoring, window by window and (where it holds) densely, with the reference.
fn assert_as_reference(model: &Model, network: &Network, chunk: &Chunk, plan: &WindowPlan) {
    let mut reference = ReferenceEngine::new(model.spec.clone(), network.clone());
    let want = scores(&mut reference, chunk, plan).unwrap();
    let by_window = OnnxEngine::new(model, Device::Cpu).unwrap();
    let dense = OnnxEngine::new(model, Device::Cpu).unwrap().scoring_together();
    let unpadded = network.padding.left + network.padding.right == 0;
    let holds = model.network.is_ok()
        && (unpadded || plan.context == Context::Flank)
        && plan.stride <= network.alignments(plan.window);
    for (mut engine, is_dense) in [(by_window, false), (dense, holds)] {
        assert_eq!(engine.flanks(plan), reference.flanks(plan));
        assert_same(&scores(&mut engine, chunk, plan).unwrap(), &want);
        assert_eq!((engine.sharing() == Sharing::Everything), is_dense);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_networks_score_as_the_reference(
        shape in shapes(),
        seed: u64,
        length in 0usize..900,
        extra in 0usize..40,
        stride in 1usize..12,
        strands in prop_oneof![Just(StrandChoice::Both), Just(StrandChoice::Forward), Just(StrandChoice::Reverse)],
        flank: bool,
        inner: bool,
    ) {
        if !library_is_there() {
            return Ok(());
        }
        let random = &mut Random::seed_from_u64(seed);
        let network = shape.network(random);
        let padded = network.padding.left + network.padding.right;
        let window = (network.filter_length + extra).saturating_sub(padded).max(1);
        let context = if flank { Context::Flank } else { Context::Padding };
        let plan = WindowPlan { window, stride, strands, context };
        let mut chunk = Chunk::whole("contig", codes(random, length));
        if inner {
            // A chunk from within a contig, with fewer bases around its windows than the flanks may want.
            chunk.start = 1_000;
            chunk.own = 1_003..1_000 + (length as u64).saturating_sub(5).max(3);
            chunk.end = 1_000 + length as u64;
        }
        assert_as_reference(&model_of(&network), &network, &chunk, &plan);
    }
}

#[test]
fn batches_of_any_size_cover_every_window() {
    if !library_is_there() {
        return;
    }
    let random = &mut Random::seed_from_u64(7);
    let network = small().network(random);
    for windows in [1, 2, 255, 256, 257, 512, 1_000] {
        let chunk = Chunk::whole("contig", codes(random, windows + 8));
        assert_as_reference(&model_of(&network), &network, &chunk, &plan(9));
    }
}

#[test]
fn a_dense_graph_that_scores_differently_is_not_used() {
    if !library_is_there() {
        return;
    }
    let random = &mut Random::seed_from_u64(20);
    let network = small().network(random);
    let mut model = model_of(&network);
    // As if the wrong network had been recognised in the graph.
    model.network.as_mut().unwrap().output.bias[0] += 0.01;
    let mut engine = OnnxEngine::new(&model, Device::Cpu).unwrap().scoring_together();
    let mut reference = ReferenceEngine::new(model.spec.clone(), network);
    let chunk = Chunk::whole("contig", codes(random, 300));
    for _ in 0..2 {
        let want = scores(&mut reference, &chunk, &plan(11)).unwrap();
        assert_same(&scores(&mut engine, &chunk, &plan(11)).unwrap(), &want);
        assert_ne!(engine.sharing(), Sharing::Everything);
    }
}

#[test]
fn scores_are_the_same_bits_however_the_contig_is_cut() {
    if !library_is_there() {
        return;
    }
    let random = &mut Random::seed_from_u64(19);
    let shape = Shape { filters: 16, length: 11, padding: Padding::n(10), outputs: 2, ..small() };
    let network =
        Shape { pooling: Pooling::MaxAndAverage, hidden: Some(8), sigmoid: true, ..shape }.network(random);
    let chunk = Chunk::whole("contig", codes(random, 9_000));
    for (context, stride) in [(Context::Padding, 7), (Context::Flank, 1), (Context::Flank, 3)] {
        let plan = WindowPlan { context, stride, ..plan(30) };
        let new = || OnnxEngine::new(&model_of(&network), Device::Cpu).unwrap().scoring_together();
        let whole = scores(&mut new(), &chunk, &plan).unwrap();
        for own in [50, 1_000, 4_096] {
            let mut engine = new();
            let mut at = 0;
            for part in in_chunks(&chunk, &plan, own, 10) {
                let part = scores(&mut engine, &part, &plan).unwrap();
                for (have, want) in [(&part.forward, &whole.forward), (&part.reverse, &whole.reverse)] {
                    for output in 0..2 {
                        let have = &have[output * part.windows..][..part.windows];
                        assert_eq!(have, &want[output * whole.windows + at..][..part.windows]);
                    }
                }
                at += part.windows;
            }
            assert_eq!(at, whole.windows);
        }
    }
}

#[test]
fn an_engine_serves_changing_plans_and_workers() {
    if !library_is_there() {
        return;
    }
    let random = &mut Random::seed_from_u64(8);
    let network = Shape { padding: Padding::n(4), ..small() }.network(random);
    let model = model_of(&network);
    let mut engine = OnnxEngine::new(&model, Device::Cpu).unwrap().scoring_together();
    let mut other = engine.for_another_worker().unwrap();
    let mut reference = ReferenceEngine::new(model.spec.clone(), network);
    let chunk = Chunk::whole("contig", codes(random, 300));
    for (window, context) in [(9, Context::Padding), (20, Context::Flank), (20, Context::Padding)] {
        let plan = WindowPlan { context, ..plan(window) };
        let want = scores(&mut reference, &chunk, &plan).unwrap();
        assert_same(&scores(&mut engine, &chunk, &plan).unwrap(), &want);
        let worker = std::thread::scope(|scope| scope.spawn(|| scores(&mut other, &chunk, &plan)).join());
        assert_same(&worker.unwrap().unwrap(), &want);
    }
}

/// Every file of the published set's sample that is here, with a plan that the published program would use.
#[test]
fn published_models_score_as_the_reference() {
    if !library_is_there() {
        return;
    }
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/deepbind/params.tar.gz");
    if !archive.exists() {
        eprintln!("skipped: {} is not there", archive.display());
        return;
    }
    let unpacked = tempfile::tempdir().unwrap();
    let ids = ["D00328.003", "D00084.001", "D00410.003", "D00350.005", "D00817.001", "D00410.009"];
    let files = ids.map(|id| format!("params/{id}.txt"));
    let mut tar = std::process::Command::new("tar");
    tar.arg("-xzf").arg(&archive).arg("-C").arg(unpacked.path()).args(&files);
    let status = tar.status().unwrap();
    assert!(status.success(), "tar cannot unpack {}", archive.display());
    let random = &mut Random::seed_from_u64(9);
    for file in files {
        let model = deepbind::open(unpacked.path().join(&file)).unwrap();
        let network = model.network.clone().unwrap();
        let chunk = Chunk::whole("contig", codes(random, 500));
        for context in [Context::Padding, Context::Flank] {
            let plan = WindowPlan { context, ..plan(model.spec.window) };
            assert_as_reference(&model, &network, &chunk, &plan);
        }
    }
}

/// A model whose graph has been edited as another program might have written it.
struct Edited(Model);

impl Edited {
    fn new(network: &Network) -> Edited {
        Edited(model_of(network))
    }

    fn graph(&mut self) -> &mut bindscan::model::onnx::proto::GraphProto {
        self.0.graph.graph.as_mut().unwrap()
    }

    /// Puts a node before the first one: it takes the input of shape `dims`, and gives what the first one took.
    fn before(
        mut self,
        op: &str,
        constant: Option<Vec<i64>>,
        attribute: Option<Vec<i64>>,
        dims: &[Option<i64>],
    ) -> Edited {
        let graph = self.graph();
        let mut node = node(op, &["sequence"], "as_first");
        if let Some(values) = constant {
            graph.initializer.push(Tensor::ints(values).write("axes"));
            node.input.push("axes".into());
        }
        if let Some(values) = attribute {
            node.attribute.push(bindscan::model::onnx::proto::AttributeProto {
                name: Some("perm".into()),
                r#type: Some(7),
                ints: values,
                ..Default::default()
            });
        }
        graph.node[0].input[0] = "as_first".into();
        graph.node.insert(0, node);
        set_dims(&mut graph.input[0], dims);
        self
    }

    /// Puts a node after the last one, which gives the output in its place, of shape `dims`.
    fn after(mut self, op: &str, dims: &[Option<i64>]) -> Edited {
        let graph = self.graph();
        let last = graph.node.last_mut().unwrap();
        last.output[0] = "before_last".into();
        graph.node.push(node(op, &["before_last"], "score"));
        set_dims(&mut graph.output[0], dims);
        self
    }

    fn input(mut self, dims: &[Option<i64>]) -> Edited {
        set_dims(&mut self.graph().input[0], dims);
        self
    }

    fn read(&self) -> bindscan::Result<Model> {
        Model::from_bytes("edited", &self.0.to_bytes())
    }
}

fn node(op: &str, input: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        name: Some(format!("added_{op}")),
        input: input.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

fn set_dims(value: &mut ValueInfoProto, dims: &[Option<i64>]) {
    let Some(TypeValue::TensorType(tensor)) = value.r#type.as_mut().and_then(|t| t.value.as_mut()) else {
        panic!("not a tensor")
    };
    let dim = |(i, length): (usize, &Option<i64>)| Dimension {
        value: Some(length.map_or_else(|| Dim::DimParam(format!("d{i}")), Dim::DimValue)),
        denotation: None,
    };
    tensor.shape.as_mut().unwrap().dim = dims.iter().enumerate().map(dim).collect();
}

#[test]
fn every_layout_is_fed_as_the_graph_wants_it() {
    if !library_is_there() {
        return;
    }
    let random = &mut Random::seed_from_u64(10);
    let network = small().network(random);
    let chunk = Chunk::whole("contig", codes(random, 300));
    let edited = || Edited::new(&network);
    let layouts = [
        edited().before("Transpose", None, Some(vec![0, 2, 1]), &[None, None, Some(4)]),
        edited().before("Squeeze", Some(vec![1]), None, &[None, Some(1), Some(4), None]),
        edited().before("Squeeze", Some(vec![2]), None, &[None, Some(4), Some(1), None]),
    ];
    for edited in layouts {
        assert_as_reference(&edited.read().unwrap(), &network, &chunk, &plan(11));
    }
}

#[test]
fn fixed_batches_are_filled_up_and_fixed_lengths_kept() {
    if !library_is_there() {
        return;
    }
    let random = &mut Random::seed_from_u64(11);
    let network = small().network(random);
    let chunk = Chunk::whole("contig", codes(random, 77));
    let model = Edited::new(&network).input(&[Some(16), Some(4), Some(11)]).read().unwrap();
    assert_eq!((model.input.batch, model.input.length), (Some(16), Some(11)));
    assert_as_reference(&model, &network, &chunk, &plan(11));
    let mut engine = OnnxEngine::new(&model, Device::Cpu).unwrap();
    let error = scores(&mut engine, &chunk, &plan(12)).unwrap_err().to_string();
    assert!(error.contains("11 bases") && error.contains("12"), "{error}");
}

#[test]
fn a_score_that_is_no_number_is_an_error_that_names_the_window() {
    if !library_is_there() {
        return;
    }
    let mut network = small().network(&mut Random::seed_from_u64(12));
    network.output.bias[0] = -100.0;
    let model = Edited::new(&network).after("Sqrt", &[None, Some(1)]).read().unwrap();
    let mut engine = OnnxEngine::new(&model, Device::Cpu).unwrap();
    let chunk = Chunk::whole("contig", vec![0; 20]);
    let error = scores(&mut engine, &chunk, &plan(11)).unwrap_err().to_string();
    assert!(error.contains("contig:1-11") && error.contains("not a number"), "{error}");
}

#[test]
fn a_flat_output_is_taken_as_one_score_a_window() {
    if !library_is_there() {
        return;
    }
    let random = &mut Random::seed_from_u64(13);
    let network = small().network(random);
    let chunk = Chunk::whole("contig", codes(random, 300));
    let model = Edited::new(&network).after("Squeeze", &[None]).read().unwrap();
    assert_as_reference(&model, &network, &chunk, &plan(11));
}

#[test]
fn a_window_shorter_than_the_filters_is_refused() {
    if !library_is_there() {
        return;
    }
    let network = small().network(&mut Random::seed_from_u64(14));
    let mut engine = OnnxEngine::new(&model_of(&network), Device::Cpu).unwrap();
    let chunk = Chunk::whole("contig", vec![0; 20]);
    let error = scores(&mut engine, &chunk, &plan(4)).unwrap_err().to_string();
    assert!(error.contains("5 or more"), "{error}");
}

#[test]
fn graphs_that_the_library_refuses_are_errors_on_one_line() {
    if !library_is_there() {
        return;
    }
    let network = small().network(&mut Random::seed_from_u64(16));
    let model = Edited::new(&network).after("NoSuchOperator", &[None, Some(1)]).read().unwrap();
    let error = OnnxEngine::new(&model, Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("NoSuchOperator") && !error.contains('\n'), "{error}");
}

#[test]
fn what_is_no_sequence_model_is_refused_before_any_engine() {
    let network = small().network(&mut Random::seed_from_u64(17));
    assert!(Model::from_bytes("garbage", b"this is no model").is_err());
    assert!(Model::from_bytes("empty", b"").is_err());
    for dims in [&[None, Some(4)][..], &[None, Some(5), None], &[None, Some(4), None, None, None]] {
        let error = Edited::new(&network).input(dims).read().unwrap_err().to_string();
        assert!(error.contains("edited") && !error.contains('\n'), "{error}");
    }
}

#[test]
fn a_gpu_that_cannot_be_used_is_an_error_and_never_the_processor() {
    if !library_is_there() {
        return;
    }
    let model = model_of(&small().network(&mut Random::seed_from_u64(18)));
    let error = OnnxEngine::new(&model, Device::Cuda(4_000)).unwrap_err().to_string();
    assert!(error.contains("cuda:4000") && error.contains("--device cpu"), "{error}");
}

#[test]
fn devices_are_read_as_written() {
    for (text, device) in [("cpu", Device::Cpu), ("cuda", Device::Cuda(0)), ("cuda:3", Device::Cuda(3))] {
        assert_eq!(text.parse::<Device>().unwrap(), device);
        assert_eq!(device.to_string().parse::<Device>().unwrap(), device);
    }
    for text in ["gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", ""] {
        assert!(text.parse::<Device>().is_err(), "{text}");
    }
}

/// A library that looks like ONNX Runtime as far as its version, but has no table of functions, or not even a base.
#[test]
fn a_library_without_functions_is_an_error_on_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let network = small().network(&mut Random::seed_from_u64(19));
    model_of(&network).save(at.join("m.onnx")).unwrap();
    std::fs::write(at.join("a.fa"), format!(">a\n{}\n", "ACGTTGCATT".repeat(8))).unwrap();
    for base in ["&BASE", "std::ptr::null()"] {
        let source = format!(
            "#[repr(C)] pub struct Base(extern \"C\" fn(u32) -> *const u8, extern \"C\" fn() -> *const u8);
             extern \"C\" fn api(_: u32) -> *const u8 {{ std::ptr::null() }}
             extern \"C\" fn version() -> *const u8 {{ b\"1.99.0\\0\".as_ptr() }}
             pub static BASE: Base = Base(api, version);
             #[no_mangle] pub extern \"C\" fn OrtGetApiBase() -> *const Base {{ {base} }}"
        );
        let library = at.join("libhollow.so");
        std::fs::write(at.join("hollow.rs"), source).unwrap();
        let compiler = std::env::var_os("RUSTC").unwrap_or("rustc".into());
        let mut compile = std::process::Command::new(compiler);
        compile.args(["--crate-type", "cdylib", "-o"]).arg(&library).arg(at.join("hollow.rs"));
        if !compile.output().is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: no library can be compiled here");
            return;
        }
        let words = "scan -m m.onnx a.fa --all --engine onnx";
        let mut command = crate::common::bindscan(words.split(' '));
        let output = command.current_dir(at).env("ORT_DYLIB_PATH", &library).output().unwrap();
        let line = crate::common::failure(output, words, 1);
        assert!(line.contains("libhollow.so") && line.contains("install-onnxruntime"), "{line}");
    }
}
