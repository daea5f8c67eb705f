//! Shared parts of the tests of the ONNX Runtime engine.

use std::sync::LazyLock;

use bindscan::engine::Engine;
use bindscan::engine::onnx::library::find_library;
use bindscan::model::onnx::proto::attribute_proto::AttributeType;
use bindscan::model::onnx::proto::tensor_proto::DataType;
use bindscan::model::onnx::proto::tensor_shape_proto::Dimension;
use bindscan::model::onnx::proto::tensor_shape_proto::dimension::Value as DimValue;
use bindscan::model::onnx::proto::type_proto::{Tensor as TensorType, Value as TypeValue};
use bindscan::model::onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto,
};
use bindscan::scores::Scores;
use bindscan::seq::alphabet::N;
use bindscan::seq::chunk::Chunk;
use bindscan::seq::window::WindowPlan;
use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus as Random;

/// True if the library is there; if not, says so once, or fails where it is required.
pub(crate) fn library_is_there() -> bool {
    static THERE: LazyLock<Result<(), String>> = LazyLock::new(|| {
        let found = find_library().map(drop).map_err(|error| error.to_string());
        found.inspect_err(|error| eprintln!("skipped what needs ONNX Runtime: {error}"))
    });
    let required = std::env::var_os("BINDSCAN_REQUIRE_ONNXRUNTIME").is_some_and(|value| value == "1");
    match &*THERE {
        Err(error) if required => panic!("{error}"),
        there => there.is_ok(),
    }
}

/// Random numbers between -1 and 1.
pub(crate) fn floats(random: &mut Random, count: usize) -> Vec<f32> {
    (0..count).map(|_| random.random_range(-1.0..1.0)).collect()
}

/// Random bases with runs of N.
pub(crate) fn codes(random: &mut Random, length: usize) -> Vec<u8> {
    let mut codes: Vec<u8> = (0..length).map(|_| random.random_range(0..4)).collect();
    for _ in 0..length / 100 {
        let start = random.random_range(0..length);
        let end = (start + random.random_range(1..30)).min(length);
        codes[start..end].fill(N);
    }
    codes
}

/// The engine's scores of the windows of `chunk`.
pub(crate) fn scores(engine: &mut dyn Engine, chunk: &Chunk, plan: &WindowPlan) -> bindscan::Result<Scores> {
    let mut scores = Scores::default();
    engine.score(chunk, plan, &mut scores).map(|()| scores)
}

/// Fails unless both have the same windows with the same scores, within 1e-4 · max(1, |score|).
pub(crate) fn assert_same(have: &Scores, want: &Scores) {
    assert_eq!((have.start, have.stride, have.windows), (want.start, want.stride, want.windows));
    for (have, want) in [(&have.forward, &want.forward), (&have.reverse, &want.reverse)] {
        assert_eq!(have.len(), want.len());
        for (i, (x, y)) in have.iter().zip(want).enumerate() {
            assert!((x - y).abs() <= 1e-4 * y.abs().max(1.0), "score {i}: {x} against {y}");
        }
    }
}

/// The same windows, cut into chunks of `own` starts, which have `flank` more bases on both sides.
pub(crate) fn in_chunks(chunk: &Chunk, plan: &WindowPlan, own: usize, flank: usize) -> Vec<Chunk> {
    let total = chunk.codes.len();
    let cut = |start: usize| {
        let end = (start + own + plan.window - 1).min(total);
        let from = start.saturating_sub(flank);
        Chunk {
            start: from as u64,
            codes: chunk.codes[from..(end + flank).min(total)].to_vec(),
            own: start as u64..(start + own) as u64,
            segment_start: 0,
            segment_end: u64::MAX,
            end: end as u64,
            first: start == 0,
            last: start + own >= total,
            contig: chunk.contig.clone(),
            kept: chunk.kept.clone(),
        }
    };
    (0..total).step_by(own).map(cut).collect()
}

/// An attribute that is a list of integers.
pub(crate) fn ints(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Ints as i32),
        ints: values.iter().map(|&value| value as i64).collect(),
        ..AttributeProto::default()
    }
}

/// An attribute that is an integer.
pub(crate) fn int(name: &str, value: usize) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Int as i32),
        i: Some(value as i64),
        ..AttributeProto::default()
    }
}

/// A node of ONNX's own operators.
pub(crate) fn node(op: &str, input: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        name: Some(output.into()),
        input: input.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        attribute,
        ..NodeProto::default()
    }
}

/// A float32 value of these dimensions; those that are `None` are free.
pub(crate) fn value(name: &str, dims: &[Option<i64>]) -> ValueInfoProto {
    let dim = dims.iter().map(|dim| {
        let value = dim.map_or(DimValue::DimParam(String::new()), DimValue::DimValue);
        Dimension { value: Some(value), denotation: None }
    });
    let shape = Some(TensorShapeProto { dim: dim.collect() });
    let tensor = TensorType { elem_type: Some(DataType::Float as i32), shape };
    let r#type = TypeProto { value: Some(TypeValue::TensorType(tensor)), denotation: None };
    ValueInfoProto { name: Some(name.into()), r#type: Some(r#type), ..ValueInfoProto::default() }
}

/// A model of operator set 13.
pub(crate) fn model(
    input: ValueInfoProto,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    outputs: Vec<ValueInfoProto>,
) -> ModelProto {
    ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(13) }],
        graph: Some(GraphProto {
            name: Some("graph".into()),
            node: nodes,
            initializer: constants,
            input: vec![input],
            output: outputs,
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}
