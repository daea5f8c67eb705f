//! Models made elsewhere: channels in another order, some of the outputs, outputs at base resolution.

use std::path::{Path, PathBuf};

use crate::common::onnx::{
    assert_same, codes, floats, int, ints, library_is_there, model, node, scores, value,
};
use crate::common::{error_line, run, stdout};
use bindscan::engine::onnx::OnnxEngine;
use bindscan::engine::reference::window_scores;
use bindscan::engine::{Device, Engine, Sharing};
use bindscan::model::onnx::proto::attribute_proto::AttributeType;
use bindscan::model::onnx::proto::tensor_proto::{DataLocation, DataType};
use bindscan::model::onnx::proto::type_proto::Value as TypeValue;
use bindscan::model::onnx::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    StringStringEntryProto, TensorProto,
};
use bindscan::model::onnx::tensor::{Data, Tensor};
use bindscan::model::{Model, bundled};
use bindscan::scores::Scores;
use bindscan::seq::chunk::Chunk;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use prost::Message;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus as Random;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pytorch").join(format!("{name}.onnx"))
}

fn exported(name: &str) -> Model {
    Model::open(path(name)).unwrap()
}

fn plan(window: usize) -> WindowPlan {
    WindowPlan { window, stride: 1, strands: StrandChoice::Forward, context: Context::Padding }
}

fn words(outputs: &[&str]) -> Vec<String> {
    outputs.iter().map(|&output| output.to_owned()).collect()
}

/// With every base as its complement.
fn complemented(codes: &[u8]) -> Vec<u8> {
    codes.iter().map(|&code| if code < 4 { 3 - code } else { code }).collect()
}

fn score_with(model: &Model, codes: &[u8], dense: bool) -> Scores {
    let engine = OnnxEngine::new(model, Device::Cpu).unwrap();
    let mut engine = if dense { engine.scoring_together() } else { engine };
    let found = scores(&mut engine, &Chunk::whole("c", codes.to_vec()), &plan(model.spec.window)).unwrap();
    assert_eq!((engine.sharing() == Sharing::Everything), dense, "{}", model.spec.name);
    found
}

#[test]
fn channels_in_another_order_are_other_letters() {
    let codes = codes(&mut Random::seed_from_u64(1), 400);
    for name in ["plain.dynamo", "normalised.torchscript", "image.dynamo", "last.torchscript"] {
        let usual = exported(name);
        let turned = usual.clone().with_channels("TGCA").unwrap();
        let (Ok(a), Ok(b)) = (&usual.network, &turned.network) else { panic!("{name}") };
        let window = &codes[..24];
        assert_eq!(window_scores(b, window, false), window_scores(a, &complemented(window), false), "{name}");
        // It is kept in the file.
        let again = Model::from_bytes(name, &turned.to_bytes()).unwrap();
        assert_eq!((again.spec.channels.as_deref(), &again.network), (Some("TGCA"), &turned.network));
        assert_eq!(turned.with_channels("ACGT").unwrap().network, usual.network);
    }
    if !library_is_there() {
        return;
    }
    for (name, dense) in [("tasks.dynamo", true), ("keras.torchscript", true), ("same.dynamo", false)] {
        let usual = exported(name);
        let turned = usual.clone().with_channels("TGCA").unwrap();
        let want = score_with(&usual, &complemented(&codes), dense);
        assert_same(&score_with(&turned, &codes, dense), &want);
    }
}

#[test]
fn some_of_the_outputs_are_those_columns_of_all() {
    let codes = codes(&mut Random::seed_from_u64(2), 500);
    let all = exported("full.dynamo");
    let second = all.clone().with_outputs(&words(&["score_1"])).unwrap();
    assert_eq!(second.spec.outputs, ["score_1"]);
    let of = |model: &Model| window_scores(model.network.as_ref().unwrap(), &codes[..24], false);
    assert_eq!(of(&second), of(&all)[1..]);
    for (wanted, message) in [
        (words(&["score_2"]), "has no output score_2; it has score_0, score_1"),
        (words(&["2"]), "has no output 2"),
        (words(&["1", "score_1"]), "named twice"),
    ] {
        let error = all.clone().with_outputs(&wanted).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    if !library_is_there() {
        return;
    }
    for (name, dense) in [("tasks.torchscript", true), ("strided.dynamo", true)] {
        let all = exported(name);
        let outputs = all.spec.outputs.len();
        let some = all.clone().with_outputs(&words(&["2", "score_0"])).unwrap();
        let (want, have) = (score_with(&all, &codes, dense), score_with(&some, &codes, dense));
        assert_eq!((want.outputs, have.outputs), (outputs, 2));
        for (column, rank) in [2, 0].into_iter().enumerate() {
            let of = |scores: &Scores, output: usize| {
                scores.forward[output * scores.windows..][..scores.windows].to_vec()
            };
            let pairs = of(&have, column).into_iter().zip(of(&want, rank));
            assert!(pairs.into_iter().all(|(x, y)| (x - y).abs() < 1e-5), "{name}");
        }
    }
}

#[test]
fn a_profile_scores_by_its_highest_position() {
    for name in ["profile.torchscript", "profile.dynamo", "tracks.torchscript", "tracks.dynamo"] {
        let model = exported(name);
        assert_eq!((model.spec.outputs.len(), model.spec.window), (2, 40), "{name}");
    }
    if !library_is_there() {
        return;
    }
    let codes = codes(&mut Random::seed_from_u64(3), 300);
    let want = score_with(&exported("profile.torchscript"), &codes, true);
    for name in ["profile.torchscript", "profile.dynamo", "tracks.torchscript", "tracks.dynamo"] {
        assert_same(&score_with(&exported(name), &codes, true), &want);
        assert_same(&score_with(&exported(name), &codes, false), &want);
    }
}

#[test]
fn the_command_line_says_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("a.fa"), format!(">a\n{}\n", "ACGTTGCATT".repeat(12))).unwrap();
    let full = path("full.dynamo");
    let scan = format!("scan -m {} a.fa --all --format tsv --strand +", full.display());
    let both = stdout(at, &scan);
    let one = stdout(at, &format!("{scan} --target 1"));
    let rows =
        |text: &str| text.lines().filter(|line| line.contains("score_1")).map(fields).collect::<Vec<_>>();
    let fields_of_one: Vec<String> = one.lines().skip(1).map(fields).collect();
    assert_eq!(rows(&both), fields_of_one);
    for (options, message) in [
        ("--target score_7", "has no output score_7"),
        ("--channels ACG", "it must have A, C, G and T once each"),
        ("--channels ACGG", "it must have A, C, G and T once each"),
    ] {
        let line = error_line(at, &format!("{scan} {options}"));
        assert!(line.contains(message), "{line}");
    }
    let (name, bytes) = bundled::find("ELK1").unwrap();
    std::fs::write(at.join("model.onnx"), bytes).unwrap();
    let line = error_line(at, "calibrate model.onnx --target 0 --background a.fa");
    assert!(line.contains("-o FILE") && name == "ELK1", "{line}");
}

/// Place and score of a row.
fn fields(row: &str) -> String {
    let fields: Vec<&str> = row.split('\t').collect();
    format!("{} {} {}", fields[1], fields[2], fields[fields.len() - 1])
}

/// Window of the graphs below, and the length of their only convolution.
const WINDOW: usize = 30;
const KERNEL: usize = 7;

/// Numbers that float16 and bfloat16 hold exactly: eighths from -1 to 1.
fn eighths(seed: u64, count: usize) -> Vec<f32> {
    floats(&mut Random::seed_from_u64(seed), count).iter().map(|x| (x * 8.0).round() / 8.0).collect()
}

fn weights(filters: usize) -> Vec<f32> {
    eighths(filters as u64, filters * 4 * KERNEL)
}

fn sequence() -> bindscan::model::onnx::proto::ValueInfoProto {
    value("sequence", &[None, Some(4), Some(WINDOW as i64)])
}

fn convolution(filters: usize) -> (NodeProto, TensorProto) {
    let node = node("Conv", &["sequence", "weights"], "sums", vec![ints("kernel_shape", &[KERNEL])]);
    (node, Tensor::floats([filters, 4, KERNEL], weights(filters)).write("weights"))
}

fn read(proto: &ModelProto) -> bindscan::Result<Model> {
    Model::from_bytes("made", &proto.encode_to_vec())
}

/// Sums of the convolution at each place of the window.
fn sums(filters: usize, window: &[u8]) -> Vec<Vec<f32>> {
    let weights = weights(filters);
    let weight = |filter: usize, base: u8, tap: usize| match base {
        4.. => (0..4).map(|base| weights[(filter * 4 + base) * KERNEL + tap] / 4.0).sum::<f32>(),
        base => weights[(filter * 4 + usize::from(base)) * KERNEL + tap],
    };
    let sum = |filter: usize, place: usize| {
        (0..KERNEL).map(|tap| weight(filter, window[place + tap], tap)).sum::<f32>()
    };
    (0..filters).map(|filter| (0..=WINDOW - KERNEL).map(|place| sum(filter, place)).collect()).collect()
}

/// Fails unless the model gives, for each window, the highest sum of each filter over so many places.
fn assert_highest(model: &Model, filters: usize, places: usize) {
    assert_eq!(model.spec.outputs.len(), filters);
    if !library_is_there() {
        return;
    }
    let codes = codes(&mut Random::seed_from_u64(9), 120);
    let found = score_any(model, &codes);
    for (window, codes) in codes.windows(WINDOW).enumerate() {
        for (filter, sums) in sums(filters, codes).iter().enumerate() {
            let want = sums[..places].iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let have = found.forward[filter * found.windows + window];
            assert!((have - want).abs() < 1e-4, "filter {filter} of window {window}: {have}, not {want}");
        }
    }
}

/// The scores of a model, by a dense graph where it has one.
fn score_any(model: &Model, codes: &[u8]) -> Scores {
    let mut engine = OnnxEngine::new(model, Device::Cpu).unwrap().scoring_together();
    scores(&mut engine, &Chunk::whole("c", codes.to_vec()), &plan(WINDOW)).unwrap()
}

/// A convolution, a pool over `kernel` places at a time, and what makes the output `score` of it.
fn pooled(filters: usize, kernel: usize, after: Vec<NodeProto>, dims: &[Option<i64>]) -> ModelProto {
    let (convolution, weights) = convolution(filters);
    let pool = node(
        "MaxPool",
        &["sums"],
        "pooled",
        vec![ints("kernel_shape", &[kernel]), ints("strides", &[kernel])],
    );
    let axis = Tensor::ints(vec![1]).write("axis");
    model(
        sequence(),
        [vec![convolution, pool], after].concat(),
        vec![weights, axis],
        vec![value("score", dims)],
    )
}

#[test]
fn the_graph_tells_which_axis_of_an_output_is_that_of_positions() {
    let places = WINDOW - KERNEL + 1;
    let same = || vec![node("Identity", &["pooled"], "score", vec![])];
    let turned = || vec![node("Transpose", &["pooled"], "score", vec![ints("perm", &[0, 2, 1])])];
    let squeezed = || vec![node("Squeeze", &["pooled", "axis"], "score", vec![])];
    // More tracks than positions, more positions than tracks, as many, one position, one track, and both.
    for (filters, kernel) in [(20, 6), (3, 4), (4, 6), (3, places), (1, 6), (1, places)] {
        let positions = places / kernel;
        let (a, b) = (Some(filters as i64), Some(positions as i64));
        for (after, dims) in [(same(), [None, a, b]), (turned(), [None, b, a])] {
            for dims in [dims, [None; 3]] {
                let proto = pooled(filters, kernel, after.clone(), &dims);
                assert_highest(&read(&proto).unwrap(), filters, positions * kernel);
            }
        }
    }
    assert_highest(&read(&pooled(1, 6, squeezed(), &[None, Some(4)])).unwrap(), 1, 24);
    // A look-up of channels is not followed, so that the axes are not known.
    let order = Tensor::ints((0..20).rev().collect()).write("order");
    let mut unknown = pooled(
        20,
        6,
        vec![node("Gather", &["pooled", "order"], "score", vec![int("axis", 1)])],
        &[None, Some(20), Some(4)],
    );
    unknown.graph.as_mut().unwrap().initializer.push(order);
    let error = read(&unknown).unwrap_err().to_string();
    assert!(error.contains("[?, 20, 4]") && error.contains("Gather") && !error.contains('\n'), "{error}");
}

#[test]
fn an_axis_of_one_may_stand_anywhere_in_the_input() {
    let length = Some(WINDOW as i64);
    let (four, one) = (Some(4), Some(1));
    for (dims, axis, order) in [
        ([None, four, length, one], 3, vec![0, 1, 2]),
        ([None, four, one, length], 2, vec![0, 1, 2]),
        ([None, one, four, length], 1, vec![0, 1, 2]),
        ([None, one, length, four], 1, vec![0, 2, 1]),
        ([None, length, one, four], 2, vec![0, 2, 1]),
        ([None, length, four, one], 3, vec![0, 2, 1]),
    ] {
        let (convolution, weights) = convolution(3);
        let nodes = vec![
            node("Squeeze", &["sequence", "unit"], "squeezed", vec![]),
            node("Transpose", &["squeezed"], "turned", vec![ints("perm", &order)]),
            NodeProto { input: vec!["turned".into(), "weights".into()], ..convolution },
            node("GlobalMaxPool", &["sums"], "pooled", vec![]),
            node("Flatten", &["pooled"], "score", vec![]),
        ];
        let unit = Tensor::ints(vec![axis]).write("unit");
        let outputs = vec![value("score", &[None, Some(3)])];
        let proto = model(value("sequence", &dims), nodes, vec![weights, unit], outputs);
        let read = read(&proto).unwrap();
        assert!(read.network.is_ok(), "{dims:?}: {:?}", read.network);
        // As the graph is, and not as the network that is found in it.
        assert_highest(&Model { network: Err("left aside".into()), ..read.clone() }, 3, WINDOW - KERNEL + 1);
        assert_highest(&read, 3, WINDOW - KERNEL + 1);
    }
    let both =
        model(value("sequence", &[None, four, four, one]), vec![], vec![], vec![value("score", &[None])]);
    assert!(read(&both).unwrap_err().to_string().contains("which axis"));
}

/// A graph in which `nodes` make `x` of the sequence.
fn on_the_sequence(nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> ModelProto {
    let (convolution, weights) = convolution(2);
    let rest = vec![
        NodeProto { input: vec!["x".into(), "weights".into()], ..convolution },
        node("GlobalMaxPool", &["sums"], "pooled", vec![]),
        node("Flatten", &["pooled"], "score", vec![]),
    ];
    let constants = [constants, vec![weights]].concat();
    model(sequence(), [nodes, rest].concat(), constants, vec![value("score", &[None, Some(2)])])
}

fn truth(name: &str, value: bool) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        data_type: Some(DataType::Bool as i32),
        raw_data: Some(vec![u8::from(value)].into()),
        ..TensorProto::default()
    }
}

fn body(name: &str, nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> AttributeProto {
    let output = nodes.last().unwrap().output[0].clone();
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Graph as i32),
        g: Some(GraphProto {
            name: Some(name.into()),
            node: nodes,
            initializer: constants,
            output: vec![value(&output, &[None; 3])],
            ..GraphProto::default()
        }),
        ..AttributeProto::default()
    }
}

/// `made` within the graph, within the branches of an `If`, and within a function.
fn everywhere(
    made: &dyn Fn(&str) -> NodeProto,
    constants: &[TensorProto],
) -> Vec<(&'static str, ModelProto)> {
    let plain = on_the_sequence(vec![made("x")], constants.to_vec());
    let branches = ["then_branch", "else_branch"];
    let branches = branches.map(|name| body(name, vec![made(&format!("{name}_x"))], constants.to_vec()));
    let within =
        on_the_sequence(vec![node("If", &["always"], "x", branches.to_vec())], vec![truth("always", true)]);
    let constant = |tensor: &TensorProto| {
        let value = AttributeProto {
            name: Some("value".into()),
            r#type: Some(AttributeType::Tensor as i32),
            t: Some(tensor.clone()),
            ..AttributeProto::default()
        };
        node("Constant", &[], tensor.name(), vec![value])
    };
    let call = NodeProto { domain: Some("local".into()), ..node("Layer", &["sequence"], "x", vec![]) };
    let mut called = on_the_sequence(vec![call], vec![]);
    called.opset_import.push(OperatorSetIdProto { domain: Some("local".into()), version: Some(1) });
    called.functions.push(FunctionProto {
        name: Some("Layer".into()),
        domain: Some("local".into()),
        input: vec!["sequence".into()],
        output: vec!["made".into()],
        node: constants.iter().map(constant).chain([made("made")]).collect(),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(13) }],
        ..FunctionProto::default()
    });
    vec![("in the graph", plain), ("in a body", within), ("in a function", called)]
}

#[test]
fn layers_in_training_mode_are_run_in_inference_mode() {
    let ratio = Tensor::floats([], vec![0.5]).write("ratio");
    let dropout = |output: &str| node("Dropout", &["sequence", "ratio", "training"], output, vec![]);
    let parameters = [("scale", 1.0), ("shift", 0.0), ("mean", 0.0), ("variance", 1.0 - 1e-5)];
    let parameters = parameters.map(|(name, number)| Tensor::floats([4], vec![number; 4]).write(name));
    let normalization = |training: usize| {
        move |output: &str| {
            let input = ["sequence", "scale", "shift", "mean", "variance"];
            node("BatchNormalization", &input, output, vec![int("training_mode", training)])
        }
    };
    let mut cases = Vec::new();
    for training in [true, false] {
        let constants = [ratio.clone(), truth("training", training)];
        cases.extend(
            everywhere(&dropout, &constants).into_iter().map(|(place, proto)| (place, proto, training)),
        );
        let mut found = everywhere(&normalization(usize::from(training)), &parameters);
        // Version 14 has the attribute.
        for (_, proto) in &mut found {
            proto.opset_import[0].version = Some(15);
            proto.functions.iter_mut().for_each(|function| function.opset_import[0].version = Some(15));
        }
        cases.extend(found.into_iter().map(|(place, proto)| {
            let mut proto = proto;
            if !training {
                remove_attribute(&mut proto, "training_mode");
            }
            (place, proto, training)
        }));
    }
    for (place, proto, training) in cases {
        let read = read(&proto).unwrap();
        let said = read.notes.iter().any(|note| note.contains("training mode"));
        assert_eq!(said, training, "{place}: {:?}", read.notes);
        assert_highest(&read, 2, WINDOW - KERNEL + 1);
        if training && place == "in the graph" {
            assert!(
                read.network.is_ok() || read.graph.opset_import[0].version == Some(15),
                "{:?}",
                read.network
            );
        }
    }
}

fn remove_attribute(proto: &mut ModelProto, name: &str) {
    let remove = |node: &mut NodeProto| node.attribute.retain(|attribute| attribute.name() != name);
    let graph = proto.graph.as_mut().unwrap();
    for node in &mut graph.node {
        remove(node);
        let bodies = node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut());
        bodies.into_iter().flat_map(|body| &mut body.node).for_each(remove);
    }
    proto.functions.iter_mut().flat_map(|function| &mut function.node).for_each(remove);
}

#[test]
fn graphs_that_draw_random_numbers_are_refused() {
    for operator in
        ["RandomNormalLike", "RandomUniformLike", "Bernoulli", "RandomNormal", "RandomUniform", "Multinomial"]
    {
        let random = |output: &str| node(operator, &["sequence"], output, vec![]);
        for (place, proto) in everywhere(&random, &[]) {
            let error = read(&proto).unwrap_err().to_string();
            let described = error.contains(operator) && error.contains("random numbers");
            assert!(described && !error.contains('\n'), "{operator} {place}: {error}");
        }
    }
    // Outputs of a layer in training mode beside its result may not be used.
    let parameters =
        ["scale", "shift", "mean", "variance"].map(|name| Tensor::floats([4], vec![1.0; 4]).write(name));
    let input = ["sequence", "scale", "shift", "mean", "variance"];
    let mut used = node("BatchNormalization", &input, "normal", vec![int("training_mode", 1)]);
    used.output.push("means".into());
    let reshaped = node("Reshape", &["means", "shape"], "column", vec![]);
    let shape = Tensor::ints(vec![1, 4, 1]).write("shape");
    let sum = node("Add", &["normal", "column"], "x", vec![]);
    let proto = on_the_sequence(vec![used, reshaped, sum], [&parameters[..], &[shape]].concat());
    assert!(read(&proto).unwrap_err().to_string().contains("`means` is used"));
}

/// The tensor in another type of floating-point numbers, as raw bytes or as values.
fn in_type(tensor: &TensorProto, element: DataType, raw: bool) -> TensorProto {
    let Tensor { data: Data::Floats(numbers), .. } = Tensor::read(tensor).unwrap() else {
        return tensor.clone();
    };
    let (name, dims) = (tensor.name.clone(), tensor.dims.clone());
    let mut turned = TensorProto { name, dims, data_type: Some(element as i32), ..TensorProto::default() };
    let halves = |half: fn(f32) -> u16| numbers.iter().map(move |&x| half(x)).collect::<Vec<u16>>();
    let bits = match element {
        DataType::Double if raw => {
            turned.raw_data = Some(numbers.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect());
            return turned;
        }
        DataType::Double => {
            turned.double_data = numbers.iter().map(|&x| f64::from(x)).collect();
            return turned;
        }
        DataType::Bfloat16 => halves(|x| (x.to_bits() >> 16) as u16),
        _ => halves(half),
    };
    if raw {
        turned.raw_data = Some(bits.iter().flat_map(|bits| bits.to_le_bytes()).collect());
    } else {
        turned.int32_data = bits.iter().map(|&bits| i32::from(bits)).collect();
    }
    turned
}

/// Bits in float16 of a number that it holds exactly.
fn half(x: f32) -> u16 {
    if x == 0.0 {
        return 0;
    }
    let bits = x.to_bits();
    let exponent = (bits >> 23 & 0xff) as i32 - 127 + 15;
    ((bits >> 31) as u16) << 15 | (exponent as u16) << 10 | (bits >> 13 & 0x3ff) as u16
}

#[test]
fn models_of_all_floating_point_types_score_as_those_of_float32() {
    let layers = |cast: Option<DataType>| {
        let (convolution, weights) = convolution(3);
        let cast = cast.map(|element| node("Cast", &["sums"], "cast", vec![int("to", element as usize)]));
        let last = if cast.is_some() { "cast" } else { "sums" };
        let rest = [
            node("Relu", &[last], "rectified", vec![]),
            node("GlobalMaxPool", &["rectified"], "pooled", vec![]),
            node("Flatten", &["pooled"], "flat", vec![]),
            node("Gemm", &["flat", "dense"], "score", vec![]),
        ];
        let nodes = [convolution].into_iter().chain(cast).chain(rest).collect();
        let dense = Tensor::floats([3, 2], eighths(5, 6)).write("dense");
        model(sequence(), nodes, vec![weights, dense], vec![value("score", &[None, Some(2)])])
    };
    let want = read(&layers(None)).unwrap();
    for element in [DataType::Float16, DataType::Bfloat16, DataType::Double] {
        for raw in [true, false] {
            let mut proto = layers(Some(element));
            let graph = proto.graph.as_mut().unwrap();
            graph.initializer.iter_mut().for_each(|tensor| *tensor = in_type(tensor, element, raw));
            for value in graph.input.iter_mut().chain(&mut graph.output) {
                let Some(TypeValue::TensorType(tensor)) = value.r#type.as_mut().unwrap().value.as_mut()
                else {
                    panic!()
                };
                tensor.elem_type = Some(element as i32);
            }
            let found = read(&proto).unwrap();
            assert_eq!(found.network, want.network, "{element:?}");
            assert!(found.notes.iter().any(|note| note.contains(element.as_str_name())), "{:?}", found.notes);
            if library_is_there() {
                let codes = codes(&mut Random::seed_from_u64(4), 100);
                let by_graph = |model: &Model| Model { network: Err("left aside".into()), ..model.clone() };
                assert_same(&score_any(&by_graph(&found), &codes), &score_any(&by_graph(&want), &codes));
            }
        }
    }
    let mut large = layers(None);
    large.graph.as_mut().unwrap().initializer[0].data_type = Some(DataType::Double as i32);
    let doubles = vec![1e300_f64; 3 * 4 * KERNEL].iter().flat_map(|x| x.to_le_bytes()).collect();
    large.graph.as_mut().unwrap().initializer[0].raw_data = Some(doubles);
    let error = read(&large).unwrap_err().to_string();
    assert!(error.contains("1e300") && error.contains("float32"), "{error}");
}

/// The tensor with its numbers in a file, which they are appended to.
fn outside(tensor: &TensorProto, file: &str, data: &mut Vec<u8>) -> TensorProto {
    let bytes = tensor.raw_data.clone().unwrap_or_default();
    let entry =
        |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
    let external_data = vec![
        entry("location", file.into()),
        entry("offset", data.len().to_string()),
        entry("length", bytes.len().to_string()),
    ];
    data.extend(bytes);
    let data_location = Some(DataLocation::External as i32);
    TensorProto { raw_data: None, external_data, data_location, ..tensor.clone() }
}

/// Moves the numbers of all constants named `kept` into a file, wherever they stand.
fn move_outside(proto: &mut ModelProto, kept: &str, file: &str) -> Vec<u8> {
    let mut data = vec![7; 5];
    let from_graph = |graph: &mut GraphProto, data: &mut Vec<u8>| {
        for tensor in graph.initializer.iter_mut().filter(|tensor| tensor.name() == kept) {
            *tensor = outside(tensor, file, data);
        }
    };
    let graph = proto.graph.as_mut().unwrap();
    from_graph(graph, &mut data);
    for body in graph.node.iter_mut().flat_map(|node| &mut node.attribute).filter_map(|a| a.g.as_mut()) {
        from_graph(body, &mut data);
    }
    let nodes = proto.functions.iter_mut().flat_map(|function| &mut function.node);
    for tensor in nodes.flat_map(|node| &mut node.attribute).filter_map(|a| a.t.as_mut()) {
        *tensor = outside(tensor, file, &mut data);
    }
    data
}

#[test]
fn external_data_are_read_wherever_they_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let ones = Tensor::floats([1, 4, 1], vec![1.0; 4]).write("ones");
    let multiplied = |output: &str| node("Mul", &["sequence", "ones"], output, vec![]);
    for (place, proto) in everywhere(&multiplied, &[ones]) {
        let mut moved = proto.clone();
        let data = move_outside(&mut moved, "ones", "numbers.data");
        assert!(data.len() > 5, "{place}");
        std::fs::write(at.join("model.onnx"), moved.encode_to_vec()).unwrap();
        std::fs::write(at.join("numbers.data"), &data).unwrap();
        let found = Model::open(at.join("model.onnx")).unwrap();
        assert_highest(&found, 2, WINDOW - KERNEL + 1);
        // The digest is one of the data, too.
        let mut other = data.clone();
        other[6] ^= 1;
        std::fs::write(at.join("numbers.data"), &other).unwrap();
        assert_ne!(Model::open(at.join("model.onnx")).unwrap().digest, found.digest, "{place}");
        std::fs::write(at.join("numbers.data"), &data[..data.len() - 1]).unwrap();
        let error = Model::open(at.join("model.onnx")).unwrap_err().to_string();
        assert!(error.contains("numbers.data") && error.contains("cut short"), "{place}: {error}");
        std::fs::remove_file(at.join("numbers.data")).unwrap();
        let error = Model::open(at.join("model.onnx")).unwrap_err().to_string();
        assert!(error.contains("numbers.data") && !error.contains('\n'), "{place}: {error}");
        let error = Model::from_bytes("m", &moved.encode_to_vec()).unwrap_err().to_string();
        assert!(error.contains("by its path"), "{place}: {error}");
        // The saved file is whole.
        let again = Model::from_bytes("m", &found.to_bytes()).unwrap();
        assert!(again.notes.iter().all(|note| !note.contains("numbers.data")));
    }
    let mut sparse = on_the_sequence(vec![node("Identity", &["sequence"], "x", vec![])], vec![]);
    let (mut data, numbers) = (Vec::new(), Tensor::floats([1], vec![1.0]).write("sparse"));
    sparse.graph.as_mut().unwrap().sparse_initializer.push(SparseTensorProto {
        values: Some(outside(&numbers, "absent.data", &mut data)),
        indices: Some(Tensor::ints(vec![0]).write("")),
        dims: vec![3],
    });
    std::fs::write(at.join("sparse.onnx"), sparse.encode_to_vec()).unwrap();
    assert!(Model::open(at.join("sparse.onnx")).unwrap_err().to_string().contains("absent.data"));
}

#[test]
fn external_data_are_read_from_the_folder_of_the_model_only() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("folder");
    std::fs::create_dir_all(at.join("sub")).unwrap();
    let (convolution, weights) = convolution(2);
    let rest =
        [node("GlobalMaxPool", &["sums"], "pooled", vec![]), node("Flatten", &["pooled"], "score", vec![])];
    let nodes = [convolution].into_iter().chain(rest).collect();
    let proto = model(sequence(), nodes, vec![weights], vec![value("score", &[None, Some(2)])]);
    let mut moved = proto.clone();
    let data = move_outside(&mut moved, "weights", "w");
    let absolute = directory.path().join("w");
    for file in [&absolute, &at.join("w"), &at.join("sub/w")] {
        std::fs::write(file, &data).unwrap();
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(&absolute, at.join("link")).unwrap();
    let open = |location: &str| {
        let mut named = proto.clone();
        move_outside(&mut named, "weights", location);
        std::fs::write(at.join("model.onnx"), named.encode_to_vec()).unwrap();
        Model::open(at.join("model.onnx"))
    };
    assert!(open("w").is_ok());
    let links = if cfg!(unix) { vec!["link"] } else { vec![] };
    let wrong = ["../w", "sub/w", "./w", "..", ".", "", "w/", "C:w", "sub\\w", absolute.to_str().unwrap()];
    for location in wrong.into_iter().chain(links) {
        let error = open(location).unwrap_err().to_string();
        assert!(error.contains("own folder") && !error.contains('\n'), "{location}: {error}");
    }
    assert!(open("sub").unwrap_err().to_string().contains("not a regular file"));
    // A length is not believed before the bytes are there, and one file does not become many.
    let mut long = moved.clone();
    let tensor = &mut long.graph.as_mut().unwrap().initializer[0];
    tensor.external_data[2].value = Some(u64::MAX.to_string());
    std::fs::write(at.join("model.onnx"), long.encode_to_vec()).unwrap();
    assert!(Model::open(at.join("model.onnx")).unwrap_err().to_string().contains("cut short"));
    std::fs::write(at.join("w"), vec![0; 1 << 20]).unwrap();
    let graph = moved.graph.as_mut().unwrap();
    graph.initializer[0].external_data.truncate(1);
    graph.initializer = vec![graph.initializer[0].clone(); 100];
    std::fs::write(at.join("model.onnx"), moved.encode_to_vec()).unwrap();
    assert!(Model::open(at.join("model.onnx")).unwrap_err().to_string().contains("not read"));
}

#[test]
fn declared_sizes_are_not_believed() {
    let reduced =
        vec![node("ReduceMax", &["sequence"], "score", vec![ints("axes", &[1, 2]), int("keepdims", 0)])];
    for outputs in [200_000_000, i64::MAX] {
        let proto = model(sequence(), reduced.clone(), vec![], vec![value("score", &[None, Some(outputs)])]);
        let error = read(&proto).unwrap_err().to_string();
        assert!(error.contains("65536 are the most"), "{error}");
    }
    for dims in [[Some(1 << 40), Some(4), Some(30)], [None, Some(4), Some(1 << 40)]] {
        let proto = model(value("sequence", &dims), reduced.clone(), vec![], vec![value("score", &[None])]);
        let error = read(&proto).unwrap_err().to_string();
        assert!(error.contains("are the most"), "{error}");
    }
}

/// A network with two heads: the sums at each place, and their maximum.
fn two_heads() -> ModelProto {
    let (convolution, weights) = convolution(2);
    let nodes = vec![
        NodeProto { output: vec!["profile".into()], ..convolution },
        node("GlobalMaxPool", &["profile"], "pooled", vec![]),
        node("Flatten", &["pooled"], "flat", vec![]),
        node("Gemm", &["flat", "dense"], "counts", vec![]),
    ];
    let dense = Tensor::floats([2, 1], vec![1.0, -2.0]).write("dense");
    let outputs = vec![value("profile", &[None, Some(2), None]), value("counts", &[None, Some(1)])];
    model(sequence(), nodes, vec![weights, dense], outputs)
}

#[test]
fn of_several_heads_none_is_dropped_in_silence() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("m.onnx"), two_heads().encode_to_vec()).unwrap();
    let codes = codes(&mut Random::seed_from_u64(7), 80);
    let letters: String = codes.iter().map(|&code| char::from(b"ACGTN"[usize::from(code)])).collect();
    std::fs::write(at.join("a.fa"), format!(">a\n{letters}\n")).unwrap();
    let line = error_line(at, "scan -m m.onnx a.fa --all --format tsv");
    assert!(line.contains("profile, counts") && line.contains("--head"), "{line}");
    let line = error_line(at, "scan -m m.onnx a.fa --all --format tsv --head other");
    assert!(line.contains("no head other"), "{line}");
    let line = error_line(at, "scan -m m.onnx a.fa --all --format tsv --head counts,counts");
    assert!(line.contains("named twice"), "{line}");
    let text = stdout(at, "inspect m.onnx");
    assert!(text.contains("profile, counts"), "{text}");
    assert!(stdout(at, "inspect m.onnx --head counts").contains("counts"));
    if !library_is_there() {
        return;
    }
    let columns = |head: &str| {
        let text = stdout(at, &format!("scan -m m.onnx a.fa --all --format tsv --strand + --head {head}"));
        let mut names: Vec<String> =
            text.lines().skip(1).map(|row| row.split('\t').nth(3).unwrap().to_owned()).collect();
        names.sort();
        names.dedup();
        (names, text.lines().count())
    };
    let windows = codes.len() - WINDOW + 1;
    assert_eq!(columns("counts"), (vec!["m".to_owned()], windows + 1));
    assert_eq!(columns("profile").0, ["m.score_0", "m.score_1"]);
    assert_eq!(
        columns("all"),
        (["m.counts", "m.profile_0", "m.profile_1"].map(str::to_owned).to_vec(), 3 * windows + 1)
    );
    // The columns of all heads are those of each.
    let rows = |head: &str, column: &str| -> Vec<String> {
        let text = stdout(at, &format!("scan -m m.onnx a.fa --all --format tsv --strand + --head {head}"));
        text.lines().filter(|row| row.split('\t').nth(3) == Some(column)).map(fields).collect()
    };
    assert_eq!(rows("all", "m.counts"), rows("counts", "m"));
    assert_eq!(rows("all", "m.profile_1"), rows("profile", "m.score_1"));
}

#[test]
fn a_window_is_asked_for_where_nothing_states_it() {
    let (convolution, weights) = convolution(2);
    let nodes = vec![
        convolution,
        node("Elu", &["sums"], "units", vec![]),
        node("GlobalMaxPool", &["units"], "pooled", vec![]),
        node("Flatten", &["pooled"], "score", vec![]),
    ];
    let input = value("sequence", &[None, Some(4), None]);
    let proto = model(input, nodes, vec![weights], vec![value("score", &[None, Some(2)])]);
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("m.onnx"), proto.encode_to_vec()).unwrap();
    std::fs::write(at.join("a.fa"), format!(">a\n{}\n", "ACGTTGCATT".repeat(12))).unwrap();
    for command in
        ["scan -m m.onnx a.fa --all --format tsv", "bench -m m.onnx", "calibrate m.onnx --background a.fa"]
    {
        let line = error_line(at, command);
        assert!(line.contains("--window"), "{command}: {line}");
    }
    assert!(stdout(at, "inspect m.onnx").contains("--window"));
    if library_is_there() {
        let rows = stdout(at, "scan -m m.onnx a.fa --all --format tsv --strand + --window 40 --target 0");
        assert_eq!(rows.lines().count(), 1 + 120 - 40 + 1);
    }
}

/// A motif matrix whose file states this name.
fn named(name: &str) -> Vec<u8> {
    let network = crate::common::network::matrix(&mut Random::seed_from_u64(1), 6);
    let spec = bindscan::model::ModelSpec::from_network("plain", &network);
    let mut model = Model::from_network(spec, network).unwrap();
    model.spec.name = name.to_owned();
    model.to_bytes()
}

#[test]
fn names_of_models_are_fit_for_all_outputs() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("folder");
    std::fs::create_dir_all(&at).unwrap();
    std::fs::write(at.join("a.fa"), format!(">a\n{}\n", "ACGTTGCATT".repeat(12))).unwrap();
    let outside = directory.path().join("pwn");
    for name in [
        "<img/src=x/onerror=alert(3)>",
        "../pwn",
        "..",
        outside.to_str().unwrap(),
        "a\u{1b}[31mb",
        "a\0b",
        "a\tb\nc",
        "a\u{200b}\u{202e}b",
        "",
        &"long".repeat(200),
    ] {
        std::fs::write(at.join("m.onnx"), named(name)).unwrap();
        let output = run(&at, "scan -m m.onnx a.fa --threshold -100 -o {name}.bed -o {name}.gff3");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{name:?}: {said}");
        assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
        let files: Vec<PathBuf> =
            std::fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 4, "{name:?}: {files:?}");
        for file in files.iter().filter(|file| file.extension().is_some_and(|e| e == "bed" || e == "gff3")) {
            let text = std::fs::read_to_string(file).unwrap();
            assert!(text.lines().count() > 2, "{name:?}: {text}");
            let fit =
                |c: char| c == '\n' || c == '\t' || !(c.is_control() || "<\u{200b}\u{202e}".contains(c));
            assert!(text.chars().all(fit), "{name:?}: {text}");
            std::fs::remove_file(file).unwrap();
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "{name:?}");
        let text = stdout(&at, "inspect m.onnx");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }
}

#[test]
fn dilated_convolutions_that_pad_the_same_are_read() {
    if !library_is_there() {
        return;
    }
    let same = |mode: &str| AttributeProto {
        name: Some("auto_pad".into()),
        r#type: Some(AttributeType::String as i32),
        s: Some(mode.as_bytes().to_vec()),
        ..AttributeProto::default()
    };
    // Four taps three apart reach over nine bases more.
    for (mode, pads) in [("SAME_UPPER", [4, 5]), ("SAME_LOWER", [5, 4])] {
        let scores = |padding: AttributeProto| {
            let sizes = vec![ints("kernel_shape", &[4]), ints("dilations", &[3]), padding];
            let nodes = vec![
                node("Conv", &["sequence", "w"], "c", sizes),
                node("Flatten", &["c"], "flat", vec![]),
                node("MatMul", &["flat", "v"], "score", vec![]),
            ];
            let weights = vec![
                Tensor::floats([2, 4, 4], eighths(1, 32)).write("w"),
                Tensor::floats([40, 1], eighths(2, 40)).write("v"),
            ];
            let input = value("sequence", &[None, Some(4), Some(20)]);
            let found = read(&model(input, nodes, weights, vec![value("score", &[None, Some(1)])])).unwrap();
            score_with(&found, &codes(&mut Random::seed_from_u64(8), 60), false)
        };
        assert_eq!(scores(same(mode)), scores(ints("pads", &pads)), "{mode}");
    }
}

#[test]
fn arithmetic_on_shapes_is_followed() {
    // A residual block whose shortcut is cropped by (length before - length after) / 2 on both sides.
    let constants = vec![
        Tensor::floats([4, 4, 5], eighths(1, 80)).write("w"),
        Tensor { dims: vec![], data: Data::Ints(vec![2]) }.write("axis"),
        Tensor { dims: vec![], data: Data::Ints(vec![2]) }.write("two"),
        Tensor::ints(vec![0]).write("zero"),
        Tensor::ints(vec![2]).write("last"),
    ];
    let length = |of: &str, name: &str| {
        vec![
            node("Shape", &[of], &format!("{name}_shape"), vec![]),
            node("Gather", &[&format!("{name}_shape"), "axis"], name, vec![int("axis", 0)]),
        ]
    };
    let nodes = [
        vec![node("Conv", &["sequence", "w"], "c", vec![ints("kernel_shape", &[5])])],
        vec![node("Elu", &["c"], "e", vec![])],
        length("sequence", "before"),
        length("e", "after"),
        vec![
            node("Sub", &["before", "after"], "lost", vec![]),
            node("Div", &["lost", "two"], "crop", vec![]),
            node("Add", &["crop", "after"], "end", vec![]),
            node("Unsqueeze", &["crop", "zero"], "starts", vec![]),
            node("Unsqueeze", &["end", "zero"], "ends", vec![]),
            node("Slice", &["sequence", "starts", "ends", "last"], "shortcut", vec![]),
            node("Add", &["e", "shortcut"], "sum", vec![]),
            node("GlobalAveragePool", &["sum"], "pooled", vec![]),
            node("Flatten", &["pooled"], "score", vec![]),
        ],
    ];
    let outputs = vec![value("score", &[None, Some(4)])];
    let found = read(&model(sequence(), nodes.concat(), constants, outputs)).unwrap();
    assert_eq!(found.spec.outputs.len(), 4);
    let text = bindscan::model::inspect::inspect(&found).to_string();
    assert!(text.contains("all windows of a stretch at once"), "{text}");
    if library_is_there() {
        let codes = codes(&mut Random::seed_from_u64(8), 200);
        assert_same(&score_with(&found, &codes, true), &score_with(&found, &codes, false));
    }
}
