//! Description of a model as text.

use std::fmt;

use serde_json::Value;

use super::name::printable;
use super::onnx::interface::{Dim, float_shape, show_shape};
use super::onnx::proto::tensor_proto::DataType;
use super::onnx::proto::{NodeProto, TensorProto};
use super::{
    Activation, Alphabet, Layout, Model, ModelSpec, Network, PadKind, Padding, Pooling, SPEC_KEY, Strands,
    onnx,
};
use crate::model::Input;
use crate::model::onnx::dense::program::Program;
use crate::model::onnx::receptive_field;
use crate::model::onnx::receptive_field::Node;
use crate::model::onnx::unpad::Unpadded;
use crate::seq::window::Context;

/// A description of a model; `Display` gives the text of `bindscan inspect`.
#[derive(Debug, Clone)]
pub struct Inspection<'a> {
    model: &'a Model,
    /// The layers, or the graph's nodes if it is not of the DeepBind family.
    pub layers: Vec<Layer>,
    /// Bases that a score depends on, at the default window.
    pub receptive_field: usize,
}

/// A layer of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its operation.
    pub name: String,
    /// Shape of its output at the default window; empty if it is not known.
    pub shape: String,
    /// Bases of the window that one position of its output depends on, if that is known.
    pub sees: Option<usize>,
    /// Bases from one position of its output to the next, where there are several.
    pub stride: Option<usize>,
    /// Positions that it pads before the first and after the last.
    pub pads: (usize, usize),
    /// Shapes of its parameters, for a node of a graph that was not recognised.
    pub parameter_shapes: Vec<String>,
    /// Numbers that were fitted.
    pub parameters: usize,
}

/// Describes `model`.
pub fn inspect(model: &Model) -> Inspection<'_> {
    let layers = match &model.network {
        Ok(network) => layers(network, model.spec.window),
        Err(_) => nodes(model),
    };
    let last = layers.last().and_then(|layer| layer.sees);
    Inspection { model, layers, receptive_field: last.unwrap_or(model.spec.window) }
}

impl Inspection<'_> {
    /// Numbers that were fitted, in all layers.
    pub fn parameters(&self) -> usize {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.parameters))
    }
}

fn layers(network: &Network, window: usize) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    let mut add = |name: String, dims: &[usize], parameters: usize, sees: usize| {
        let stride = (dims.len() == 2).then_some(1);
        let dims = ["N".to_owned()].into_iter().chain(dims.iter().map(usize::to_string));
        layers.push(Layer {
            name,
            shape: show_shape(&dims.collect::<Vec<_>>()),
            sees: Some(sees),
            stride,
            pads: (0, 0),
            parameter_shapes: Vec::new(),
            parameters,
        });
    };
    let Padding { left, right, .. } = network.padding;
    let (count, length) = (network.filters, network.filter_length);
    let placements = network.alignments(window);
    add("sequence".into(), &[4, window], 0, 1);
    if left + right > 0 {
        let value = pad_name(network.padding.kind());
        add(format!("pad with {value}, {left} left and {right} right"), &[4, left + window + right], 0, 1);
    }
    let filters = if count == 1 { "filter" } else { "filters" };
    let convolution = format!("convolution, {count} {filters} of length {length}");
    let sees = length.min(window);
    add(convolution, &[count, placements], network.weights.len() + network.biases.len(), sees);
    if network.rectify {
        add("rectifier".into(), &[count, placements], 0, sees);
    }
    let pool = match network.pooling {
        Pooling::Max => "maximum",
        Pooling::Average => "mean",
        Pooling::MaxAndAverage => "maximum and mean",
    };
    add(format!("{pool} over positions"), &[network.features()], 0, window);
    if let Some(hidden) = &network.hidden {
        let parameters = hidden.weights.len() + hidden.bias.len();
        add("hidden layer, rectified".into(), &[hidden.outputs], parameters, window);
    }
    let output = &network.output;
    add("output layer".into(), &[output.outputs], output.weights.len() + output.bias.len(), window);
    if network.sigmoid {
        add("sigmoid".into(), &[output.outputs], 0, window);
    }
    layers
}

/// The nodes that the sequence passes through; those that are not followed are among them.
fn nodes(model: &Model) -> Vec<Layer> {
    let Some(graph) = &model.graph.graph else { return Vec::new() };
    let declared = |name: &String| -> Option<Vec<Dim>> {
        let mut values = graph.value_info.iter().chain(&graph.output);
        float_shape(values.find(|value| value.name() == name)?).ok()?
    };
    let layer = |(node, seen): (&NodeProto, Node)| {
        let seen = match seen {
            Node::Constant => return None,
            Node::Layer(seen) => Some(seen),
            Node::Unknown => None,
        };
        let tensors =
            node.input.iter().filter_map(|input| graph.initializer.iter().find(|t| t.name() == input));
        let tensors: Vec<&TensorProto> = tensors.collect();
        let shape = match &seen {
            Some(seen) => {
                let dims = seen.shape.iter().map(|dim| dim.map_or("N".to_owned(), |n| n.to_string()));
                show_shape(&dims.collect::<Vec<_>>())
            }
            None => node.output.first().and_then(declared).map(|dims| show_shape(&dims)).unwrap_or_default(),
        };
        Some(Layer {
            name: printable(format!("{} {}", node.op_type(), node.name()).trim_end()).into_owned(),
            shape,
            sees: seen.as_ref().map(|seen| seen.bases),
            stride: seen.as_ref().and_then(|seen| seen.stride),
            pads: seen.map_or((0, 0), |seen| seen.pads),
            parameter_shapes: tensors.iter().map(|tensor| show_shape(&tensor.dims)).collect(),
            parameters: tensors.iter().fold(0, |sum, tensor| sum.saturating_add(size(tensor))),
        })
    };
    let seen = receptive_field::receptive_fields(&model.graph, &model.input, model.spec.window);
    graph.node.iter().zip(seen).filter_map(layer).collect()
}

/// Numbers of a tensor of weights; shapes and axes are integers and count for none.
fn size(tensor: &TensorProto) -> usize {
    let types = [DataType::Float, DataType::Float16, DataType::Double];
    if !types.iter().any(|&float| tensor.data_type() == float as i32) {
        return 0;
    }
    let dims = tensor.dims.iter().map(|&dim| usize::try_from(dim).unwrap_or(0));
    dims.fold(1, usize::saturating_mul)
}

fn pad_name(kind: PadKind) -> &'static str {
    match kind {
        PadKind::N => "N",
        PadKind::Zero => "zeros",
        PadKind::None => "nothing",
    }
}

impl fmt::Display for Inspection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.specification(f)?;
        self.interface(f)?;
        self.table(f)?;
        self.scanning(f)?;
        self.metadata(f)
    }
}

/// A line `key  value`.
fn line(f: &mut fmt::Formatter<'_>, key: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{:<16} {}", printable(key), printable(&value.to_string()))
}

impl Inspection<'_> {
    fn specification(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ModelSpec { name, window, alphabet, strands, outputs, padding, activation, .. } =
            &self.model.spec;
        line(f, "name", name)?;
        line(f, "alphabet", if *alphabet == Alphabet::Rna { "RNA" } else { "DNA" })?;
        let strands = match strands {
            Strands::Both => "both, the higher score",
            Strands::Single => "the given one",
            Strands::Symmetric => "the same score on both, so that one is read",
        };
        line(f, "strands", strands)?;
        if self.model.free_window {
            line(f, "default window", format_args!("none: --window says it; {window} bases below"))?;
        } else {
            line(f, "default window", format_args!("{window} bases"))?;
        }
        let past = match self.model.spec.context {
            Context::Padding => pad_name(*padding).to_owned(),
            Context::Flank => {
                format!("the real bases beside it; {} for a sequence as a whole", pad_name(*padding))
            }
        };
        line(f, "past its ends", past)?;
        let activation = match activation {
            Activation::Identity => "unbounded",
            Activation::Sigmoid => "sigmoid; unbounded with --logit",
            Activation::Softmax => "softmax; unbounded with --logit",
        };
        line(f, "outputs", format_args!("{} ({activation})", outputs.join(", ")))?;
        if let Some([low, high]) = self.model.spec.score_range {
            line(f, "score range", format_args!("{low} to {high}"))?;
        }
        if let Some(calibration) = &self.model.spec.null {
            let (window, strands) = (calibration.window, calibration.strands);
            line(f, "p-values", format_args!("{calibration}; windows of {window} bases, {strands}"))?;
        }
        let spec = &self.model.spec;
        for threshold in &spec.thresholds {
            let (level, score) = (threshold.level.name(), threshold.score);
            let meaning = threshold.meaning(spec.bound.as_ref());
            line(f, "threshold", format_args!("{score} ({level}): {meaning}"))?;
        }
        if let Some(motif) = &spec.motif {
            let (consensus, sites, filter) = (motif.consensus(), motif.sites, motif.filter);
            line(f, "motif", format_args!("{consensus}, {sites} sites of filter {filter}"))?;
        }
        Ok(())
    }

    fn interface(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let input = &self.model.input;
        let open = |length: Option<usize>, name: &str| length.map_or(name.to_owned(), |n| n.to_string());
        let (n, l) = (open(input.batch, "N"), open(input.length, "L"));
        let shape = match input.layout {
            Layout::ChannelsFirst => format!("[{n}, 4, {l}]"),
            Layout::ChannelsLast => format!("[{n}, {l}, 4]"),
            Layout::ImageRows => format!("[{n}, 1, 4, {l}]"),
            Layout::ImageChannels => format!("[{n}, 4, 1, {l}]"),
            Layout::ImageColumns => format!("[{n}, 4, {l}, 1]"),
            Layout::LastRows => format!("[{n}, 1, {l}, 4]"),
            Layout::LastColumns => format!("[{n}, {l}, 1, 4]"),
            Layout::LastImage => format!("[{n}, {l}, 4, 1]"),
        };
        let channels = self.model.spec.channels.as_deref().unwrap_or("ACGT");
        line(f, "graph input", format_args!("{} {shape}, channels {channels}", input.name))?;
        line(f, "graph output", &self.model.output)?;
        if let [first, _, ..] = &self.model.heads[..] {
            let heads = self.model.heads.join(", ");
            line(f, "heads", format_args!("{heads}; without --head, {first} is described"))?;
        }
        self.model.notes.iter().try_for_each(|note| line(f, "note", note))
    }

    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&Layer) -> usize| self.layers.iter().map(of).max().unwrap_or(0);
        let name = width(|layer| layer.name.chars().count());
        let shape = width(|layer| layer.shape.len()).max("output".len());
        let number = |number: Option<usize>| number.map_or(String::new(), |n| n.to_string());
        writeln!(
            f,
            "\n{:<name$}  {:<shape$}  {:>5}  {:>6}  {:>10}",
            "layer", "output", "sees", "stride", "parameters"
        )?;
        for layer in &self.layers {
            let (sees, stride) = (number(layer.sees), number(layer.stride));
            let Layer { parameters, parameter_shapes, .. } = layer;
            write!(
                f,
                "{:<name$}  {:<shape$}  {sees:>5}  {stride:>6}  {parameters:>10}",
                layer.name, layer.shape
            )?;
            if !parameter_shapes.is_empty() {
                write!(f, "  {}", parameter_shapes.join(" "))?;
            }
            writeln!(f)?;
        }
        writeln!(f, "{:<name$}  {:<shape$}  {:>5}  {:>6}  {:>10}\n", "all", "", "", "", self.parameters())
    }

    fn scanning(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sees = self.receptive_field;
        match (&self.model.network, self.model.spec.context) {
            (Ok(Network { padding: Padding { left, right, .. }, .. }), Context::Flank)
                if left + right > 0 =>
            {
                let all = sees + left + right;
                let how = format_args!("{all} bases: {sees} of its window, {left} before and {right} behind");
                line(f, "a score sees", how)?;
            }
            _ => line(f, "a score sees", format_args!("{sees} bases"))?,
        }
        if self.model.network.is_err() {
            let padded = self.layers.iter().filter(|layer| layer.pads != (0, 0));
            let pads = |layer: &Layer| format!("{} ({} + {})", layer.name, layer.pads.0, layer.pads.1);
            let padded: Vec<String> = padded.map(pads).collect();
            match &padded[..] {
                _ if self.layers.iter().any(|layer| layer.sees.is_none()) && padded.is_empty() => {}
                [] => line(f, "padding", "none: every layer is valid")?,
                [layer] => line(f, "padding", layer)?,
                [first, .., last] => {
                    line(f, "padding", format_args!("by {} layers, {first} to {last}", padded.len()))?;
                }
            }
        }
        let Model { spec, graph, input, output, network, .. } = self.model;
        if network.is_ok() {
            return line(f, "scanned by", "the kernel engine: it is a network of the DeepBind family");
        }
        match onnx::dense::rewrite(graph, input, output, spec.window) {
            Ok(dense) => {
                let engine =
                    if Program::new(&dense).is_ok() { "dense engine" } else { "onnx engine, densely" };
                line(f, "scanned by", format_args!("the {engine}: all windows of a stretch at once"))?;
            }
            Err(reason) => {
                let how = match onnx::shared::share(graph, input, output, spec.window, 1) {
                    Ok(_) => "windows share their first layers, if that pays",
                    Err(_) => "windows one at a time",
                };
                line(f, "scanned by", format_args!("the onnx engine, {how}: {reason}"))?;
            }
        }
        match onnx::unpad::unpad(graph, input, output, spec.window) {
            Ok(Unpadded { left: 0, right: 0, .. }) => Ok(()),
            Ok(Unpadded { graph, left, right }) => {
                let length = left + spec.window + right;
                let input = Input { length: input.length.map(|_| length), ..input.clone() };
                let dense = onnx::dense::rewrite(&graph, &input, output, length);
                let how = dense
                    .map_or_else(|reason| format!("windows one at a time: {reason}"), |_| "densely".into());
                line(
                    f,
                    "with flanks",
                    format_args!("--context flank: {how}; sees {left} + {right} bases beside a window"),
                )
            }
            Err(reason) => line(f, "with flanks", format_args!("no --context flank: {reason}")),
        }
    }

    fn metadata(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let graph = &self.model.graph;
        let producer = format!("{} {}", graph.producer_name(), graph.producer_version());
        line(
            f,
            "file",
            format_args!("IR {}, operators {}, {}", graph.ir_version(), onnx::opset(graph), producer.trim()),
        )?;
        for (key, value) in &self.model.spec.provenance {
            line(f, key, in_words(value))?;
        }
        let others = graph.metadata_props.iter().filter(|entry| entry.key() != SPEC_KEY);
        others.into_iter().try_for_each(|entry| line(f, entry.key(), entry.value()))
    }
}

/// A value of the provenance as a line of text.
fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".into(),
        Value::Array(values) => {
            let apart = if values.iter().any(Value::is_object) { "; " } else { ", " };
            values.iter().map(in_words).collect::<Vec<_>>().join(apart)
        }
        Value::Object(entries) => {
            let (Some(metric), Some(number)) = (value["metric"].as_str(), value["value"].as_f64()) else {
                let entry = |(key, value): (&String, &Value)| match value {
                    Value::Object(_) => format!("{key} ({})", in_words(value)),
                    _ => format!("{key} {}", in_words(value)),
                };
                return entries.iter().map(entry).collect::<Vec<_>>().join(", ");
            };
            let mut words = format!("{} {number:.4}", metric.replace('_', " "));
            if let (Some(low), Some(high)) =
                (value["interval"]["low"].as_f64(), value["interval"]["high"].as_f64())
            {
                words += &format!(" ({low:.4} to {high:.4})");
            }
            words
        }
        Value::Number(_) | Value::Bool(_) => value.to_string(),
    }
}
