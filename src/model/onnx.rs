//! ONNX files: the message types, their decoding with checks, and the graph of a [`Network`](super::Network).

use prost::Message;

use crate::{Error, Result};

pub mod build;
pub(super) mod constant;
pub mod dense;
pub mod field;
pub(super) mod head;
pub mod interface;
mod operator;
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
pub mod proto;
mod shape;
mod slide;
pub mod tensor;
pub(super) mod value;

pub use proto::ModelProto;

use proto::tensor_proto::DataLocation;
use proto::{AttributeProto, GraphProto, NodeProto, StringStringEntryProto, TensorProto};

/// Decodes the bytes of an ONNX file; `name` is for messages.
///
/// # Errors
/// Bytes that are no ONNX model, a model without a graph, or one that keeps its weights in other files.
pub fn decode(name: &str, bytes: &[u8]) -> Result<ModelProto> {
    let model =
        ModelProto::decode(bytes).map_err(|_| Error::model(name, "not an ONNX file; bindscan import makes one of published DeepBind parameters or of a motif matrix"))?;
    let Some(graph) = &model.graph else {
        return Err(Error::model(name, "not an ONNX file: it holds no graph"));
    };
    if let Some(tensor) = tensors(graph).find(|t| t.data_location == Some(DataLocation::External as i32)) {
        return Err(Error::model(
            name,
            format!(
                "tensor `{}` is stored outside the file; save the model as one file (external_data=False)",
                tensor.name()
            ),
        ));
    }
    Ok(model)
}

/// The value under `key` in the model's metadata.
pub fn metadata<'a>(model: &'a ModelProto, key: &str) -> Option<&'a str> {
    model.metadata_props.iter().find(|entry| entry.key() == key).map(StringStringEntryProto::value)
}

/// Sets the value under `key` in the model's metadata; entries keep their order, a new one goes last.
pub fn set_metadata(model: &mut ModelProto, key: &str, value: String) {
    match model.metadata_props.iter_mut().find(|entry| entry.key() == key) {
        Some(entry) => entry.value = Some(value),
        None => model
            .metadata_props
            .push(StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) }),
    }
}

/// First version of the operators in which `ReduceMax` takes its axes as an input.
const OPSET_OF_AXES_AS_INPUT: i64 = 18;

/// Version of the default operator set that the model uses; 1 if it does not say.
pub fn opset(model: &ModelProto) -> i64 {
    let default = model.opset_import.iter().find(|set| is_default_domain(set.domain()));
    default.and_then(|set| set.version).unwrap_or(1)
}

/// Whether a domain is the one of ONNX's own operators.
pub fn is_default_domain(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// The attribute of a node, if it has it.
pub fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
}

/// Initialisers and constants of a graph (not of its sub-graphs).
fn tensors(graph: &GraphProto) -> impl Iterator<Item = &TensorProto> {
    let constants = graph.node.iter().flat_map(|node| &node.attribute).filter_map(|a| a.t.as_ref());
    graph.initializer.iter().chain(constants)
}
