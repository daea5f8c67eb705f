//! Nodes appended to a graph so that it gives one row of chosen values for each window.

use super::build::{self, Builder};
use super::interface::Output;
use super::proto::tensor_shape_proto::dimension::Value as Dim;
use super::proto::{AttributeProto, GraphProto, ModelProto};
use super::tensor::Tensor;
use super::{OPSET_OF_AXES_AS_INPUT, opset};
use crate::model::Activation;

/// Lets the graph give one row of `values` a window for an output: the maximum over its axis of positions, if it has one,
/// without axes of 1. Returns the new output's name, or the old one where nothing is to be done.
pub(in crate::model) fn rows(model: &mut ModelProto, output: &Output, values: usize) -> String {
    let name = match output.positions {
        Some(axis) => highest(model, &output.name, axis, values),
        None => output.name.clone(),
    };
    let rank = output.rank.map(|rank| rank - usize::from(output.positions.is_some()));
    if rank.is_none_or(|rank| rank == 2) {
        return name;
    }
    extend(model, &name, "row", values, |builder, row| {
        let shape = builder.constant(&format!("{row}_shape"), &Tensor::ints(vec![-1, values as i64]));
        builder.node("Reshape", &[&name, &shape], row, []);
    })
}

/// Lets the graph give the maximum of `output` over an axis: `[N, values]`.
fn highest(model: &mut ModelProto, output: &str, axis: usize, values: usize) -> String {
    let as_input = opset(model) >= OPSET_OF_AXES_AS_INPUT;
    extend(model, output, "highest", values, |builder, name| {
        let keep = build::int("keepdims", 0);
        if as_input {
            let axes = builder.constant(&format!("{name}_axes"), &Tensor::ints(vec![axis as i64]));
            builder.node("ReduceMax", &[output, &axes], name, [keep]);
        } else {
            builder.node("ReduceMax", &[output], name, [build::ints("axes", &[axis as i64]), keep]);
        }
    })
}

/// Lets the graph give the rows of several outputs, with `values` in all, one after another. Returns the new output's name.
pub(in crate::model) fn join(model: &mut ModelProto, rows: &[String], values: usize) -> String {
    let [name] = rows else {
        return extend(model, "heads", "joined", values, |builder, name| {
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            builder.node("Concat", &rows, name, [build::int("axis", 1)]);
        });
    };
    name.clone()
}

/// The function that a graph's output ends in, and the rank of the node that computes it; nodes that only move axes do not
/// count.
pub(in crate::model) fn activation(graph: &GraphProto, output: &str) -> (Option<usize>, Activation) {
    const MOVING: [&str; 6] = ["Identity", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose"];
    let mut name = output;
    // As many steps as there are nodes: a graph may be made to run in a circle.
    for _ in 0..graph.node.len() {
        let giving = graph.node.iter().position(|node| node.output.iter().any(|output| output == name));
        let Some(rank) = giving else { break };
        let node = &graph.node[rank];
        match (node.op_type(), node.input.first()) {
            ("Sigmoid", _) => return (Some(rank), Activation::Sigmoid),
            ("Softmax", _) => return (Some(rank), Activation::Softmax),
            (operator, Some(before)) if MOVING.contains(&operator) => name = before,
            _ => break,
        }
    }
    (None, Activation::Identity)
}

/// Lets the graph give the value before the sigmoid or softmax that an output ends in, under the output's name. An output
/// that ends in neither stays as it is; the answer is false then.
///
/// # Errors
/// A value before or behind the function that the graph gives by another name, or behind it that it uses elsewhere.
pub(in crate::model) fn take_logit(model: &mut ModelProto, output: &str) -> Result<bool, String> {
    let Some(graph) = model.graph.as_mut() else { return Ok(false) };
    let (Some(rank), _) = activation(graph, output) else { return Ok(false) };
    let function = graph.node[rank].clone();
    let ([before], [behind]) = (&function.input[..], &function.output[..]) else { return Ok(false) };
    let gives = |name: &str| graph.output.iter().filter(|value| value.name() == name).count();
    let reads = graph.node.iter().flat_map(|node| &node.input).filter(|name| *name == behind).count();
    let is_made = graph.node.iter().any(|node| node.output.contains(before));
    if reads + gives(behind) > 1 || gives(before) > 0 || !is_made {
        let operator = function.op_type();
        return Err(format!(
            "the graph uses the values around the {operator} of its output `{output}` elsewhere, too: --logit cannot leave it out"
        ));
    }
    graph.node.remove(rank);
    let names = graph.node.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
    names.filter(|name| *name == before).for_each(|name| name.clone_from(behind));
    Ok(true)
}

/// Leaves `output` the only one of the graph.
pub(in crate::model) fn keep_only(model: &mut ModelProto, output: &str) {
    if let Some(graph) = &mut model.graph {
        graph.output.retain(|value| value.name() == output);
    }
}

/// Lets the graph give only the values with these ranks of `output`, `[N, values]`. Returns the new output's name.
pub(in crate::model) fn choose(
    model: &mut ModelProto,
    output: &str,
    values: usize,
    ranks: &[usize],
) -> String {
    let mut weights = vec![0.0; values * ranks.len()];
    for (column, rank) in ranks.iter().enumerate() {
        weights[rank * ranks.len() + column] = 1.0;
    }
    let weights = Tensor::floats([values, ranks.len()], weights);
    extend(model, output, "chosen", ranks.len(), |builder, name| {
        // A product, and no look-up: every planner can follow it.
        let weights = builder.constant(&format!("{name}_weights"), &weights);
        builder.node("MatMul", &[output, &weights], name, [] as [AttributeProto; 0]);
    })
}

/// Adds nodes that make a new output; it takes the place of `output` among the graph's.
fn extend(
    model: &mut ModelProto,
    output: &str,
    what: &str,
    values: usize,
    add: impl FnOnce(&mut Builder, &str),
) -> String {
    let Some(graph) = model.graph.as_mut() else { return output.to_owned() };
    let mut name = format!("{output}_{what}");
    let given = |name: &String| graph.node.iter().any(|node| node.output.contains(name));
    while given(&name) {
        name.push('_');
    }
    let mut builder = Builder::default();
    add(&mut builder, &name);
    graph.node.extend(builder.graph.node);
    graph.initializer.extend(builder.graph.initializer);
    let dims = [build::symbol("N"), Dim::DimValue(values as i64)];
    graph.output = vec![build::value_info(&name, dims)];
    name
}
