//! Every node, tensor and type of an ONNX model, wherever it may stand: in the graph, in the bodies of `If`, `Loop` and
//! `Scan`, in functions, in attributes, and in sparse tensors.

use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto, TypeProto,
};

/// A part of a model.
pub(super) enum Part<'a> {
    Node(&'a mut NodeProto),
    Tensor(&'a mut TensorProto),
    Type(&'a mut TypeProto),
}

/// Visits the parts of `model` until one fails. A node comes before what is within it.
pub(super) fn parts<V>(model: &mut ModelProto, visit: &mut V) -> Result<(), String>
where
    V: FnMut(Part<'_>) -> Result<(), String>,
{
    if let Some(body) = &mut model.graph {
        graph(body, visit)?;
    }
    for function in &mut model.functions {
        function.node.iter_mut().try_for_each(|inner| node(inner, visit))?;
        function.attribute_proto.iter_mut().try_for_each(|default| attribute(default, visit))?;
        let types = function.value_info.iter_mut().filter_map(|value| value.r#type.as_mut());
        types.into_iter().try_for_each(|found| visit(Part::Type(found)))?;
    }
    Ok(())
}

fn graph<V>(graph: &mut GraphProto, visit: &mut V) -> Result<(), String>
where
    V: FnMut(Part<'_>) -> Result<(), String>,
{
    graph.initializer.iter_mut().try_for_each(|tensor| visit(Part::Tensor(tensor)))?;
    graph.sparse_initializer.iter_mut().try_for_each(|tensor| sparse(tensor, visit))?;
    for value in graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info) {
        if let Some(found) = &mut value.r#type {
            visit(Part::Type(found))?;
        }
    }
    graph.node.iter_mut().try_for_each(|inner| node(inner, visit))
}

fn node<V>(node: &mut NodeProto, visit: &mut V) -> Result<(), String>
where
    V: FnMut(Part<'_>) -> Result<(), String>,
{
    visit(Part::Node(node))?;
    node.attribute.iter_mut().try_for_each(|inner| attribute(inner, visit))
}

fn attribute<V>(attribute: &mut AttributeProto, visit: &mut V) -> Result<(), String>
where
    V: FnMut(Part<'_>) -> Result<(), String>,
{
    let tensors = attribute.t.iter_mut().chain(&mut attribute.tensors);
    tensors.into_iter().try_for_each(|tensor| visit(Part::Tensor(tensor)))?;
    let sparse_tensors = attribute.sparse_tensor.iter_mut().chain(&mut attribute.sparse_tensors);
    sparse_tensors.into_iter().try_for_each(|tensor| sparse(tensor, visit))?;
    let types = attribute.tp.iter_mut().chain(&mut attribute.type_protos);
    types.into_iter().try_for_each(|found| visit(Part::Type(found)))?;
    attribute.g.iter_mut().chain(&mut attribute.graphs).try_for_each(|body| graph(body, visit))
}

fn sparse<V>(tensor: &mut SparseTensorProto, visit: &mut V) -> Result<(), String>
where
    V: FnMut(Part<'_>) -> Result<(), String>,
{
    tensor.values.iter_mut().chain(&mut tensor.indices).try_for_each(|part| visit(Part::Tensor(part)))
}
