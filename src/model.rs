//! Models: an ONNX graph, the specification that says how to use it, and the DeepBind network it may contain.

use serde::{Deserialize, Serialize};

pub mod deepbind;
pub mod motif;
pub mod network;
pub mod onnx;

pub use network::{Dense, Network, Padding, Pooling};

/// Key of the specification in an ONNX file's `metadata_props`.
pub const SPEC_KEY: &str = "bindscan.spec";

/// What a window sees past its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PadKind {
    /// N: 0.25 in each channel (the published DeepBind program).
    N,
    /// Zero in each channel.
    Zero,
    /// Nothing: detectors are only placed where they fit.
    None,
}

/// The letters a model was made for. Codes are the same: U is T.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Alphabet {
    /// A, C, G, T.
    #[serde(rename = "DNA")]
    Dna,
    /// A, C, G, U.
    #[serde(rename = "RNA")]
    Rna,
}

/// On which strands a model reads a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strands {
    /// Both, keeping the maximum.
    Both,
    /// Only the given one.
    Single,
}

/// What a model's outputs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Unbounded scores (a log-odds score, or the logit that DeepBind gives).
    Identity,
    /// Probabilities, each output for itself.
    Sigmoid,
    /// Probabilities that sum to 1 over the outputs.
    Softmax,
}

/// How a model is to be used: the JSON object under [`SPEC_KEY`] in an ONNX file's metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// Version of this specification; 1.
    pub format: u32,
    /// Short name, as written to tracks: no white space.
    pub name: String,
    /// Default window in bases.
    pub window: usize,
    /// Length of the first layer's detectors in bases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector_length: Option<usize>,
    /// What a window sees past its ends.
    pub padding: PadKind,
    /// DNA or RNA.
    pub alphabet: Alphabet,
    /// Strands to score by default.
    pub strands: Strands,
    /// Name of every output column.
    pub outputs: Vec<String>,
    /// What the outputs are.
    pub activation: Activation,
    /// Lowest and highest score the model can give, where known (matrices): scales the BED score column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_range: Option<[f32; 2]>,
    /// Where the model comes from: free-form (source file, data digest, seed, hyper-parameters, held-out AUC).
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub provenance: serde_json::Map<String, serde_json::Value>,
}

/// How an ONNX model takes its input.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Name of the graph input.
    pub name: String,
    /// Order of its dimensions.
    pub layout: Layout,
    /// Window length the graph insists on; `None` where it takes any.
    pub length: Option<usize>,
    /// Batch size the graph insists on; `None` where it takes any.
    pub batch: Option<usize>,
}

/// Order of an input's dimensions. N windows of L bases, 4 channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `[N, 4, L]`
    ChannelsFirst,
    /// `[N, L, 4]`
    ChannelsLast,
    /// `[N, 1, 4, L]`
    ImageRows,
    /// `[N, 4, 1, L]`
    ImageChannels,
}

/// A model: its specification, its ONNX graph, and the network of the DeepBind family that the graph may be.
#[derive(Debug, Clone)]
pub struct Model {
    /// How the model is to be used.
    pub spec: ModelSpec,
    /// The graph's input.
    pub input: Input,
    /// Name of the graph's output.
    pub output: String,
    /// The ONNX graph.
    pub graph: onnx::ModelProto,
    /// The network that was recognised in the graph, or why it is none of the DeepBind family.
    pub network: std::result::Result<Network, String>,
}
