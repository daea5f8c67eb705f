//! ONNX files: the message types, their decoding with checks, and the graph of a [`Network`](super::Network).

pub mod recognize;
use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;
use prost::bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

pub mod build;
pub(super) mod constant;
pub mod control;
pub mod dense;
mod external;
pub(super) mod head;
mod inference;
pub mod interface;
mod operator;
mod precision;
pub mod receptive_field;

mod conv_geometry;
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
pub mod proto;
mod rows;
mod shape;
pub mod shared;
pub mod tensor;
pub mod unpad;
pub(super) mod value;
mod visit;

pub use proto::ModelProto;

use proto::{AttributeProto, NodeProto, StringStringEntryProto, ValueInfoProto};

/// An ONNX file as it is run: whole, in float32, in its inference form.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The model.
    pub model: ModelProto,
    /// The model as the file has it.
    pub filed: ModelProto,
    /// Changes that were made to the file's graph, one line each.
    pub notes: Vec<String>,
    /// Changes that change the scores, one line each: layers that were in training mode.
    pub warnings: Vec<String>,
    /// Inputs beside the sequence, which are fed zeros.
    pub controls: Vec<ValueInfoProto>,
    /// SHA-256 of the file; if it has external data, of the file and of each of their names and digests.
    pub digest: [u8; 32],
}

/// Decodes the bytes of an ONNX file; `name` is for messages. Its external data are read from `folder`. Weights stay where
/// they are: the tensors are slices of `bytes`.
///
/// # Errors
/// Bytes that are no ONNX model, a model without a graph, external data that cannot be read, numbers that
/// float32 cannot hold, graphs that draw random numbers, and inputs beside the sequence that are no control tracks.
pub fn decode(name: &str, bytes: &Bytes, folder: Option<&Path>) -> Result<Decoded> {
    let mut model =
        ModelProto::decode(bytes.clone()).map_err(|_| Error::model(name, "not an ONNX file; bindscan import makes one of published DeepBind parameters or of a motif matrix"))?;
    if model.graph.is_none() {
        return Err(Error::model(name, "not an ONNX file: it holds no graph"));
    }
    let filed = model.clone();
    // Graphs for training are not run, and what they hold is not read.
    model.training_info.clear();
    let prepared = prepare(&mut model, folder);
    let Prepared { files, notes, warnings, controls } =
        prepared.map_err(|message| Error::model(name, message))?;
    let mut digest = Sha256::new();
    digest.update(bytes);
    for (file, content) in files {
        digest.update(file.as_bytes());
        digest.update([0]);
        digest.update(content);
    }
    Ok(Decoded { filed, model, controls, notes, warnings, digest: digest.finalize().into() })
}

/// Changes made to a model.
struct Prepared {
    files: BTreeMap<String, [u8; 32]>,
    notes: Vec<String>,
    warnings: Vec<String>,
    controls: Vec<ValueInfoProto>,
}

fn prepare(model: &mut ModelProto, folder: Option<&Path>) -> Result<Prepared, String> {
    let files = external::read(model, folder)?;
    let mut notes: Vec<String> = files.keys().map(|file| format!("weights from {file}")).collect();
    let precisions = precision::to_single(model)?;
    notes.extend(precisions.iter().map(|found| format!("{} computed as FLOAT", found.as_str_name())));
    let warnings = inference::to_inference(model)?;
    let (controls, fed) = control::feed_zeros(model)?.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
    notes.extend(fed);
    Ok(Prepared { files, notes, warnings, controls })
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

/// True if a domain is the one of ONNX's own operators.
pub fn is_default_domain(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// The attribute of a node, if it has it.
pub fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
}
