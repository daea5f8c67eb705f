//! Keras models (`.h5` and `.keras`, Keras 2 and 3) as ONNX graphs.
//!
//! A file describes the layers and how they are called, and has the weights of each. Every layer becomes a few nodes of
//! ONNX, and every result that the model gives back an output of the graph under the layer's name. Compiled Python in a
//! file is never run.

use std::collections::HashMap;
use std::path::Path;

use prost::Message;

use super::onnx::build::{self, Builder};
use super::onnx::proto::ModelProto;
use super::onnx::proto::tensor_shape_proto::dimension::Value as Dim;
use super::onnx::set_metadata;
use crate::io::output::Output;
use crate::{Error, Result};

mod activation;
mod bpnet;
mod emit;
mod file;
mod lambda;
mod layer;
mod network;
mod recurrent;

use emit::{Emitter, Value};
use file::{KerasFile, Place};
use layer::Context;
use network::{Layer, Network, Source};

/// Version of the operators; layers are normalised by one of them from 17 on.
const OPSET: i64 = 17;
/// Most calls of layers in all: a network that is called several times within one that is itself called several times, and so
/// on, would take a small file without end.
const MOST_CALLS: usize = 100_000;
/// Version of Keras where a file does not say it.
const OLDEST_KERAS: u32 = 2;

/// A Keras model as an ONNX graph.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The graph, with the inputs and outputs of the Keras model under their layers' names.
    pub graph: ModelProto,
    /// Inputs and their shapes: `sequence [N, 2114, 4]`.
    pub inputs: Vec<String>,
    /// Outputs and their shapes.
    pub outputs: Vec<String>,
    /// Notes for the user, one line each.
    pub notes: Vec<String>,
}

impl Imported {
    /// Writes the ONNX file; it has its name only when it is whole.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut output = Output::create(path.as_ref())?;
        output.write(&self.graph.encode_to_vec())?;
        output.finish()
    }
}

/// True if a file begins as those of Keras do: HDF5, or an archive.
pub fn is_keras(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89HDF\r\n\x1a\n") || bytes.starts_with(b"PK\x03\x04")
}

/// Reads a Keras file. The file's content says of which kind it is.
///
/// # Errors
/// A file that cannot be read or is none of Keras, weights without a model, and a layer that is not known, with its name.
pub fn open(path: impl AsRef<Path>) -> Result<Imported> {
    let path = path.as_ref();
    let file = KerasFile::open(path)?;
    import(&file).map_err(|message| Error::format(path, None, message))
}

fn import(file: &KerasFile) -> Result<Imported, String> {
    let mut notes = Vec::new();
    let described = file.description.as_ref().filter(|description| network::has_layers(description));
    let network = match described {
        Some(description) => network::network(description)?,
        None => match bpnet::description(file)? {
            Some(description) => {
                notes.push(bpnet::note());
                network::network(&description)?
            }
            None => match &file.description {
                Some(description) => network::network(description)?,
                None => {
                    return Err(
                        "holds weights without a model; save the whole model in Keras (model.save)".into()
                    );
                }
            },
        },
    };
    let keras = file.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(OLDEST_KERAS);
    let mut importer = Importer { file, keras, emitter: Emitter::default(), calls: 0 };
    let (inputs, outputs) = importer.model(&network)?;
    let mut graph = build::finish(importer.emitter.builder);
    for set in &mut graph.opset_import {
        set.version = Some(OPSET);
    }
    set_metadata(&mut graph, "keras_version", file.version.clone());
    Ok(Imported { graph, inputs, outputs, notes })
}

/// The results of calls that are known.
type Results = HashMap<Source, Value>;

struct Importer<'a> {
    file: &'a KerasFile,
    keras: u32,
    emitter: Emitter,
    /// Calls of layers so far.
    calls: usize,
}

impl Importer<'_> {
    /// Adds the nodes of a model; returns its inputs and outputs, for people.
    fn model(&mut self, network: &Network) -> Result<(Vec<String>, Vec<String>), String> {
        let mut inputs = Vec::with_capacity(network.inputs.len());
        let mut shown = Vec::new();
        for source in &network.inputs {
            let layer = network.layers.iter().find(|layer| layer.name == source.layer);
            let shape = layer.and_then(|layer| layer.config.input_shape());
            let shape = shape.filter(|shape| !shape.is_empty());
            let shape =
                shape.ok_or_else(|| format!("the shape of its input `{}` is not said", source.layer))?;
            let value = Value { name: source.layer.clone(), shape, turned: false };
            let declared = declared(&value);
            self.graph().input.push(build::value_info(&value.name, declared));
            shown.push(show(&value));
            inputs.push(value);
        }
        let results = self.network(network, &inputs, &Place::default())?;
        let mut outputs = Vec::new();
        for (source, value) in network.outputs.iter().zip(results) {
            self.emitter.begin(&source.layer);
            let value = self.emitter.straight(&value);
            let mut name = source.layer.clone();
            let graph = self.graph();
            while graph.output.iter().chain(&graph.input).any(|other| other.name() == name) {
                name.push('_');
            }
            let value =
                Value { name: self.emitter.builder.node("Identity", &[&value.name], &name, []), ..value };
            let declared = declared(&value);
            self.graph().output.push(build::value_info(&name, declared));
            outputs.push(show(&value));
        }
        Ok((shown, outputs))
    }

    fn graph(&mut self) -> &mut super::onnx::proto::GraphProto {
        let Builder { graph, .. } = &mut self.emitter.builder;
        graph
    }

    /// Adds the nodes of a network that is fed `inputs`; returns what it gives back.
    fn network(&mut self, network: &Network, inputs: &[Value], place: &Place) -> Result<Vec<Value>, String> {
        if inputs.len() != network.inputs.len() {
            return Err(format!("has {} inputs where {} are needed", inputs.len(), network.inputs.len()));
        }
        let mut known: Results = network.inputs.iter().cloned().zip(inputs.iter().cloned()).collect();
        let layers = network.layers.iter().filter(|layer| layer.class != "InputLayer");
        let calls = layers.flat_map(|layer| (0..layer.calls.len()).map(move |call| (layer, call)));
        // A layer may stand before those that it reads: it waits for the first result that is not known yet. Calls whose inputs
        // belong to another network wait for ever, and are not part of this one.
        let mut waiting: HashMap<&Source, Vec<(&Layer, usize)>> = HashMap::new();
        for call in calls {
            let mut ready = vec![call];
            while let Some((layer, call)) = ready.pop() {
                let sources = &layer.calls[call];
                if let Some(unknown) = sources.iter().find(|source| !known.contains_key(source)) {
                    waiting.entry(unknown).or_default().push((layer, call));
                    continue;
                }
                let inputs: Vec<Value> = sources.iter().map(|source| known[source].clone()).collect();
                let results = self.call(layer, &inputs, place);
                let results = results.map_err(|message| at_layer(layer, &message))?;
                for (result, value) in results.into_iter().enumerate() {
                    let source = Source { layer: layer.name.clone(), call, result };
                    // The first that waits is the next.
                    ready.extend(waiting.remove(&source).into_iter().flatten().rev());
                    known.insert(source, value);
                }
            }
        }
        let result = |source: &Source| {
            known
                .get(source)
                .cloned()
                .ok_or_else(|| format!("the result of layer `{}` is not computed", source.layer))
        };
        network.outputs.iter().map(result).collect()
    }

    fn call(&mut self, layer: &Layer, inputs: &[Value], place: &Place) -> Result<Vec<Value>, String> {
        self.calls += 1;
        if self.calls > MOST_CALLS {
            return Err(format!("is one of more than {MOST_CALLS} calls of layers, which are too many"));
        }
        let place = place.layer(&layer.name, &layer.ranked);
        if let Some(network) = &layer.network {
            return self.network(network, inputs, &place);
        }
        self.emitter.begin(&layer.name);
        let context = Context { file: self.file, layer, place, keras: self.keras };
        self.emitter.layer(&context, inputs).map(|value| vec![value])
    }
}

/// The message of a layer with its name and class; one of a layer within it has both already.
fn at_layer(layer: &Layer, message: &str) -> String {
    if message.starts_with("layer `") {
        return message.to_owned();
    }
    format!("layer `{}` ({}) {message}", layer.name, layer.class)
}

fn declared(value: &Value) -> Vec<Dim> {
    let length = |(i, length): (usize, &Option<usize>)| match length {
        Some(length) => Dim::DimValue(*length as i64),
        None => build::symbol(if i == 0 { "L" } else { "M" }),
    };
    [build::symbol("N")].into_iter().chain(value.shape.iter().enumerate().map(length)).collect()
}

/// `sequence [N, 2114, 4]`.
fn show(value: &Value) -> String {
    let lengths = value.shape.iter().map(|length| length.map_or("L".to_owned(), |length| length.to_string()));
    let lengths: Vec<String> = ["N".to_owned()].into_iter().chain(lengths).collect();
    format!("{} [{}]", value.name, lengths.join(", "))
}
