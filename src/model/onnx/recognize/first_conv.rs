//! The first layer of any network: the convolutions on the sequence, and what follows them.

use crate::model::Input;
use crate::model::onnx;
use crate::model::onnx::ModelProto;
use crate::model::onnx::proto::GraphProto;
use crate::model::onnx::recognize::Transfer;
use crate::model::onnx::recognize::symbolic::Stage;
use crate::model::onnx::recognize::{Value, Values, Walk, sequence};
use crate::model::onnx::value;

/// A convolution on one-hot bases, with the shift and scale that follow it.
#[derive(Debug, Clone, PartialEq)]
pub struct FirstLayer {
    /// Number of filters, K.
    pub filters: usize,
    /// Length of each in bases, m.
    pub length: usize,
    /// `[K, 4, m]`, channels A, C, G, T.
    pub weights: Vec<f32>,
    /// One a filter.
    pub biases: Vec<f32>,
    /// The function that follows.
    pub transfer: Transfer,
}

/// Operators that move or pool activations, and leave them what they are.
const PASSING: [&str; 9] = [
    "MaxPool",
    "GlobalMaxPool",
    "ReduceMax",
    "Identity",
    "Dropout",
    "Transpose",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
];

/// The convolutions on the sequence in `model`, in the order of the nodes.
///
/// # Errors
/// A graph without one, or whose first is of another form than the DeepBind family's: in one line.
pub fn first_layers(model: &ModelProto, input: &Input) -> Result<Vec<FirstLayer>, String> {
    let graph = model.graph.as_ref().ok_or("the model has no graph")?;
    let mut walk = Walk { strided: true, ..Walk::new(model, input) };
    let mut values = value::initial(graph, &input.name, sequence(input));
    for node in &graph.node {
        let value = walk.run(node, &values);
        value::note(node, value, &mut values);
    }
    let mut layers = Vec::new();
    for node in &graph.node {
        let Some((name, convolution, rectified)) =
            node.output.first().and_then(|name| activations(name, &values))
        else {
            continue;
        };
        // Where a shift or a rectifier follows, that is the layer.
        let goes_on = |consumer: &&onnx::proto::NodeProto| {
            consumer.input.iter().any(|input| input == name)
                && consumer.output.first().is_some_and(|output| activations(output, &values).is_some())
        };
        if graph.node.iter().any(|consumer| goes_on(&consumer)) {
            continue;
        }
        let found = &walk.convolutions[convolution];
        layers.push(FirstLayer {
            filters: found.filters,
            length: found.length,
            weights: found.weights.clone(),
            biases: found.biases.clone(),
            transfer: if rectified { Transfer::Proportional } else { transfer(graph, name) },
        });
    }
    if layers.is_empty() {
        let convolution = graph.node.iter().find(|node| node.op_type() == "Conv");
        let reason = convolution.and_then(|node| match values.get(node.output.first()?.as_str()) {
            Some(Err(reason)) => Some(reason.clone()),
            _ => None,
        });
        return Err(reason.unwrap_or_else(|| "it has no convolution on the sequence".into()));
    }
    Ok(layers)
}

/// The tensor `name`, if it holds the sums of a convolution on the sequence: its name, which convolution, and whether they
/// are rectified.
fn activations<'a>(name: &'a str, values: &Values<'_>) -> Option<(&'a str, usize, bool)> {
    match values.get(name) {
        Some(Ok(Value::Flow(flow))) => match flow.stage {
            Stage::Activations { convolution, rectified } => Some((name, convolution, rectified)),
            _ => None,
        },
        _ => None,
    }
}

/// The function that the tensor `name` goes through first.
fn transfer(graph: &GraphProto, name: &str) -> Transfer {
    let mut name = name;
    loop {
        let consumers =
            || graph.node.iter().filter(|node| node.input.first().is_some_and(|input| input == name));
        let known = consumers().map(|node| Transfer::from_operator(node.op_type()));
        if let Some(known) = known.into_iter().find(|transfer| *transfer != Transfer::Proportional) {
            return known;
        }
        let passing = consumers().find(|node| PASSING.contains(&node.op_type()));
        match passing.and_then(|node| node.output.first()) {
            // Names are given once, so that this ends.
            Some(next) if next != name => name = next,
            _ => return Transfer::Proportional,
        }
    }
}
