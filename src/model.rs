//! Models: an ONNX graph, the specification that says how to use it, and the DeepBind network it may contain.

use crate::model::onnx::recognize;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use prost::Message;
use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::io::digest::hex;
use crate::io::output::Output;
use crate::model::usage::{BoundScores, MainMotif, Threshold};
use crate::null::calibration::Calibration;
use crate::seq::window::Context;
use crate::{Error, Result};

pub mod bundled;
pub mod deepbind;
pub mod file;
pub mod inspect;
#[cfg(feature = "keras")]
pub mod keras;
pub mod motif;
pub mod name;
pub mod network;
pub mod onnx;
pub mod usage;

use file::{Filed, ModelFile};
use motif::MotifOptions;
pub use network::{Dense, Network, Padding, Pooling};

/// Key of the specification in an ONNX file's `metadata_props`.
pub const SPEC_KEY: &str = "bindscan.spec";

/// Bases that a window sees past its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PadKind {
    /// N: 0.25 in each channel (the published DeepBind program).
    N,
    /// Zero in each channel.
    Zero,
    /// Nothing: filters are only placed where they fit.
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
    /// The network gives both strands the same score, so that one is read; what is found has no strand.
    Symmetric,
}

/// Kind of a model's outputs.
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

/// Instructions for using a model: the JSON object under [`SPEC_KEY`] in an ONNX file's metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// Version of this specification; 1.
    pub format: u32,
    /// Short name, as written to tracks: no white space.
    pub name: String,
    /// Default window in bases.
    pub window: usize,
    /// Length of the first layer's filters in bases.
    #[serde(rename = "detector_length", default, skip_serializing_if = "Option::is_none")]
    pub filter_length: Option<usize>,
    /// Bases that a window sees past its ends.
    pub padding: PadKind,
    /// Bases past a window's ends in a contig, unless a scan says otherwise: padding, or the real bases beside it.
    #[serde(default, skip_serializing_if = "is_padding")]
    pub context: Context,
    /// DNA or RNA.
    pub alphabet: Alphabet,
    /// Strands to score by default.
    pub strands: Strands,
    /// Name of every output column.
    pub outputs: Vec<String>,
    /// Kind of the outputs.
    pub activation: Activation,
    /// Lowest and highest score the model can give, where known (matrices): scales the BED score column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_range: Option<[f32; 2]>,
    /// Origin of the model: free-form (source file, data digest, seed, hyper-parameters, held-out AUC).
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub provenance: serde_json::Map<String, serde_json::Value>,
    /// Order of the input's channels, where it is not `ACGT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<String>,
    /// Null distributions of the scores, once calibrated (`bindscan calibrate`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<Calibration>,
    /// Recommended thresholds of a model with one output, the most lenient first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Threshold>,
    /// Scores of bound sequences, of a model fitted to classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<BoundScores>,
    /// The motif of the most telling filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motif: Option<MainMotif>,
}

/// Input format of an ONNX model.
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
    /// The channel of A, C, G and T.
    pub channels: [usize; 4],
}

/// Channels in the order A, C, G, T.
pub const ACGT: [usize; 4] = [0, 1, 2, 3];

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
    /// `[N, 4, L, 1]`
    ImageColumns,
    /// `[N, 1, L, 4]`
    LastRows,
    /// `[N, L, 1, 4]`
    LastColumns,
    /// `[N, L, 4, 1]`
    LastImage,
}

/// Options for reading a model file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Order of the input's channels; `None`: as the file says.
    pub channels: Option<String>,
    /// The outputs of the graph that are read.
    pub heads: Heads,
    /// True if outputs are taken before the sigmoid or softmax that they end in.
    pub logit: bool,
}

/// The heads of a model, which are the outputs of its graph, that are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Heads {
    /// The only one; of several, none is chosen, and the model is refused.
    #[default]
    Only,
    /// The first, to describe a model.
    First,
    /// All, one after another.
    All,
    /// Those with these names, in this order.
    Named(Vec<String>),
}

/// A model: its specification, its ONNX graph, and the network of the DeepBind family that the graph may be.
#[derive(Debug, Clone)]
pub struct Model {
    /// Instructions for using the model.
    pub spec: ModelSpec,
    /// The graph's input.
    pub input: Input,
    /// Name of the graph's output.
    pub output: String,
    /// The ONNX graph.
    pub graph: onnx::ModelProto,
    /// The network that was recognised in the graph, or why it is none of the DeepBind family.
    pub network: std::result::Result<Network, String>,
    /// SHA-256 of the file it was read from and of its external data ([`onnx::Decoded::digest`]), in hexadecimal digits.
    pub digest: Option<String>,
    /// Names of all outputs of the file's graph; more than one where the model has several heads.
    pub heads: Vec<String>,
    /// Changes that were made to the file's graph so that it can be run, one line each.
    pub notes: Vec<String>,
    /// True if neither the file nor the graph sets the window, so that the default one is only a guess.
    pub free_window: bool,
    /// The large file that the model was read from; none of a small one ([`Model::graph_file`]).
    pub filed: Option<Arc<Filed>>,
}

/// Longest window in bases that a model may have, and longest stride: arithmetic on positions has room.
pub const LONGEST_WINDOW: usize = 1 << 24;

/// Default window of a model that neither fixes nor states one, and is not of the DeepBind family: the length of
/// the ENCODE sequences that DeepBind was trained on.
const WINDOW_OF_UNKNOWN: usize = 101;

fn is_padding(context: &Context) -> bool {
    *context == Context::Padding
}

impl ModelSpec {
    /// The name of the motif that the model was made of, as CTCF for MA0139.1; empty if there is none.
    pub fn motif_name(&self) -> &str {
        self.provenance.get("motif_name").and_then(serde_json::Value::as_str).unwrap_or_default()
    }

    /// The specification of a network: window, outputs and so on as its layers say, DNA, both strands, no provenance.
    /// The default window is the published program's, int(1.5 × filter length), or the filter length where the
    /// network does not pad.
    pub fn from_network(name: &str, network: &Network) -> ModelSpec {
        let length = network.filter_length;
        let padding = network.padding.kind();
        ModelSpec {
            format: 1,
            name: name::clean(name),
            window: if padding == PadKind::None { length } else { length * 3 / 2 },
            filter_length: Some(length),
            padding,
            context: Context::Padding,
            alphabet: Alphabet::Dna,
            strands: Strands::Both,
            outputs: output_names(network.output.outputs),
            activation: if network.sigmoid { Activation::Sigmoid } else { Activation::Identity },
            score_range: None,
            provenance: serde_json::Map::new(),
            channels: None,
            null: None,
            thresholds: Vec::new(),
            bound: None,
            motif: None,
        }
    }

    /// The specification with names that can stand in tracks ([`name::clean`]).
    fn with_clean_names(self) -> ModelSpec {
        let outputs = self.outputs.iter().map(|output| name::clean(output)).collect();
        ModelSpec { name: name::clean(&self.name), outputs, ..self }
    }

    /// Checks the specification for itself.
    fn check(&self) -> Result<(), String> {
        if self.format != 1 {
            return Err(format!("{SPEC_KEY} has format {}; this program reads format 1", self.format));
        }
        if name::clean(&self.name) != self.name {
            return Err(format!("the name `{}` cannot be written to a track", name::printable(&self.name)));
        }
        if self.window == 0 {
            return Err("the window is 0 bases".into());
        }
        if self.window > LONGEST_WINDOW {
            return Err(format!("the window is {} bases, more than {LONGEST_WINDOW}", self.window));
        }
        if self.outputs.is_empty() {
            return Err("it names no outputs".into());
        }
        let mut seen = HashSet::with_capacity(self.outputs.len());
        for output in &self.outputs {
            if name::clean(output) != *output {
                return Err(format!(
                    "the output name `{}` cannot be written to a track",
                    name::printable(output)
                ));
            }
            if !seen.insert(output) {
                return Err(format!("two outputs are named `{output}`"));
            }
        }
        if self.score_range.is_some_and(|[low, high]| !(low <= high && low.is_finite() && high.is_finite())) {
            return Err(format!("the score range {:?} is not a range", self.score_range));
        }
        usage::check(&self.thresholds, self.bound.as_ref(), self.motif.as_ref())?;
        self.null.as_ref().map_or(Ok(()), |calibration| calibration.check(self.outputs.len()))
    }

    /// Checks that the specification says of `network` what its layers say.
    fn check_network(&self, network: &Network) -> Result<(), String> {
        let own = ModelSpec::from_network(&self.name, network);
        let differs = |what: &str, stated: &dyn std::fmt::Debug, found: &dyn std::fmt::Debug| {
            Err(format!("{SPEC_KEY} says {what} {stated:?}, but the graph has {found:?}"))
        };
        if self.filter_length.is_some() && self.filter_length != own.filter_length {
            return differs("filter length", &self.filter_length, &own.filter_length);
        }
        if self.padding != own.padding {
            return differs("padding", &self.padding, &own.padding);
        }
        if self.activation != own.activation {
            return differs("activation", &self.activation, &own.activation);
        }
        if self.outputs.len() != own.outputs.len() {
            return differs("outputs", &self.outputs, &own.outputs);
        }
        Ok(())
    }
}

impl Model {
    /// Opens a file, or where there is none of that name, the bundled model ([`bundled`]) so called.
    ///
    /// # Errors
    /// As [`Model::open`]; a name that is neither.
    pub fn find(path: impl AsRef<Path>) -> Result<Model> {
        Model::find_with(path, &OpenOptions::default())
    }

    /// As [`Model::find`], with options.
    ///
    /// # Errors
    /// As [`Model::find`].
    pub fn find_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Model> {
        let path = path.as_ref();
        if path.exists() {
            return Model::open_with(path, options);
        }
        match path.to_str().and_then(bundled::find) {
            Some((name, bytes)) => {
                Model::read(name, &Bytes::from_static(bytes), None, options).map(|(model, _)| model)
            }
            None if path.components().count() == 1 && path.extension().is_none() => {
                let names = bundled::names().collect::<Vec<_>>().join(", ");
                Err(Error::UnknownModel { name: path.display().to_string(), bundled: names })
            }
            None => Model::open_with(path, options),
        }
    }

    /// Opens every model of a file: one of an ONNX file or a bundled model ([`Model::find`]), and one for each motif of a
    /// motif file ([`motif::models`]), with a uniform background unless the file states another.
    ///
    /// ```
    /// use bindscan::Model;
    ///
    /// assert_eq!(Model::find_all("ELK1")?.len(), 1);
    /// assert_eq!(Model::find_all("models/ctcf-consensus.meme")?[0].spec.name, "CTCF-consensus");
    /// # Ok::<(), bindscan::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Model::find`], and what [`motif::models`] refuses.
    pub fn find_all(path: impl AsRef<Path>) -> Result<Vec<Model>> {
        Model::find_all_with(path, &OpenOptions::default(), &MotifOptions::default())
    }

    /// As [`Model::find_all`], with options of networks and of motif files.
    ///
    /// # Errors
    /// As [`Model::find_all`].
    pub fn find_all_with(
        path: impl AsRef<Path>,
        options: &OpenOptions,
        motifs: &MotifOptions,
    ) -> Result<Vec<Model>> {
        let path = path.as_ref();
        let Some((models, notes)) = (if path.is_file() { motif::models(path, motifs)? } else { None }) else {
            return Ok(vec![Model::find_with(path, options)?]);
        };
        notes.iter().for_each(|note| log::warn!("{note}"));
        Ok(models)
    }

    /// Opens an ONNX file. External data are read from the file's folder.
    ///
    /// # Errors
    /// A file that cannot be read, or one that [`Model::from_bytes`] refuses.
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        Model::open_with(path, &OpenOptions::default())
    }

    /// As [`Model::open`], with options.
    ///
    /// # Errors
    /// As [`Model::open`]; an order of channels that is none, or a head that the graph does not have.
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Model> {
        let path = path.as_ref();
        if path.is_dir() {
            return Err(Error::format(path, None, "is a directory; give a model file (ONNX)"));
        }
        let file = ModelFile::read(path)?;
        let (model, graph) = Model::read(&stem(path), &file.bytes, Some(&file.folder), options).map_err(
            |error| match error {
                Error::Model { message, .. } => Error::format(path, None, message),
                other => other,
            },
        )?;
        file.release();
        let digest = file.digest.or(model.digest);
        let filed = file.source.map(|source| Arc::new(Filed { source, graph }));
        Ok(Model { digest, filed, notes: file.notes.into_iter().chain(model.notes).collect(), ..model })
    }

    /// Reads the bytes of an ONNX file. `name` is for messages, and is the model's name if the file does not state
    /// one.
    ///
    /// # Errors
    /// Bytes that are no ONNX model, inputs and outputs that are not those of a sequence model, several heads, weights in
    /// other files, and a specification that contradicts the graph.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Model> {
        Model::read(name, &Bytes::copy_from_slice(bytes), None, &OpenOptions::default())
            .map(|(model, _)| model)
    }

    /// The model, and the graph as the bytes have it.
    fn read(
        name: &str,
        bytes: &Bytes,
        folder: Option<&Path>,
        options: &OpenOptions,
    ) -> Result<(Model, onnx::ModelProto)> {
        let decoded = onnx::decode(name, bytes, folder)?;
        let onnx::Decoded { model: graph, filed, mut notes, warnings, digest, .. } = decoded;
        let model = Model::from_graph(name, graph, options).map_err(|message| Error::model(name, message))?;
        notes.extend(model.notes.iter().cloned());
        if let Some((first, others)) = warnings.split_first() {
            let more = if others.is_empty() { String::new() } else { format!(", and {} more", others.len()) };
            log::warn!("model {}: {first}{more}; it is run in inference mode", model.spec.name);
        }
        notes.extend(warnings.into_iter().map(|warning| format!("{warning}, run in inference mode")));
        for note in &notes {
            log::info!("model {}: {note}", model.spec.name);
        }
        Ok((Model { digest: Some(hex(&digest)), notes, ..model }, filed))
    }

    fn from_graph(name: &str, mut proto: onnx::ModelProto, options: &OpenOptions) -> Result<Model, String> {
        let graph = proto.graph.as_ref().ok_or("it holds no graph")?;
        let mut input = onnx::interface::input(graph)?;
        let heads: Vec<String> = graph.output.iter().map(|output| output.name().to_owned()).collect();
        let stated: Option<ModelSpec> = onnx::metadata(&proto, SPEC_KEY)
            .map(serde_json::from_str)
            .transpose()
            .map_err(|e| format!("its {SPEC_KEY} is unreadable: {e}"))?;
        let window = stated.as_ref().map(|spec| spec.window);
        let Chosen { output, names, values, activation } = choose(name, &mut proto, &input, options, window)?;
        let own = stated.as_ref().and_then(|spec| spec.channels.as_deref());
        let channels =
            options.channels.as_deref().or(own).filter(|order| *order != "ACGT").map(str::to_owned);
        if let Some(order) = &channels {
            input.channels = channel_order(order)?;
        }
        let network = recognize::network(&proto, &input, &output);
        let is_stated = stated.is_some();
        let free_window = !is_stated && network.is_err() && input.length.is_none();
        let mut spec = match stated {
            Some(spec) => clean_stated(&spec),
            None => foreign_spec(name, &input, values, network.as_ref().ok(), activation)?,
        };
        if options.logit && spec.activation != activation {
            // What was measured of the scores does not hold any more.
            spec = ModelSpec { activation, score_range: None, null: None, bound: None, ..spec };
            spec.thresholds.clear();
        }
        if let Some(names) = names.filter(|names| names.len() == spec.outputs.len()) {
            spec.outputs = names;
        }
        spec.channels = channels;
        spec.check()?;
        let mut notes = Vec::new();
        if !is_stated && input.length.is_none() && !free_window {
            notes.push(format!(
                "no window is stated: {} bases follow from the filters, --window sets others",
                spec.window
            ));
        }
        if let Ok(network) = &network {
            spec.check_network(network)?;
        }
        if let Some(values) = values.filter(|&values| values != spec.outputs.len()) {
            return Err(format!(
                "{SPEC_KEY} names {} outputs, but the graph has {values}",
                spec.outputs.len()
            ));
        }
        let (digest, filed) = (None, None);
        Ok(Model { spec, input, output, graph: proto, network, digest, heads, notes, free_window, filed })
    }

    /// The window to score with: the one that is asked for, or the model's own.
    ///
    /// # Errors
    /// A model that has none, where none is asked for.
    pub fn window(&self, asked: Option<usize>) -> Result<usize> {
        match asked {
            Some(window) => Ok(window),
            None if self.free_window => Err(Error::model(
                &self.spec.name,
                "its graph takes windows of any length, and its file states none: give --window BASES, the length of the \
                 sequences it was trained on",
            )),
            None => Ok(self.spec.window),
        }
    }

    /// The model with the input's channels in another order than the file says: four letters, as in `ACGT`.
    ///
    /// # Errors
    /// An order that is none.
    pub fn with_channels(self, order: &str) -> Result<Model> {
        let Model { spec, graph, digest, heads, notes, free_window, filed, .. } = self;
        let options = OpenOptions { channels: Some(order.to_owned()), heads: Heads::First, logit: false };
        let model = Model::from_graph(&spec.name, graph, &options);
        let model = model.map_err(|message| Error::model(&spec.name, message))?;
        let channels = model.spec.channels.clone();
        Ok(Model { spec: ModelSpec { channels, ..spec }, digest, heads, notes, free_window, filed, ..model })
    }

    /// The model with some of its outputs only, in this order: each by its name or its rank from 0.
    ///
    /// # Errors
    /// An output that it does not have, or one named twice.
    pub fn with_outputs(self, wanted: &[String]) -> Result<Model> {
        let fail = |message: String| Error::model(&self.spec.name, message);
        let mut ranks: Vec<usize> = Vec::with_capacity(wanted.len());
        for output in wanted {
            let names = &self.spec.outputs;
            let by_rank = || output.parse().ok().filter(|&rank: &usize| rank < names.len());
            let rank = names
                .iter()
                .position(|name| name == output)
                .or_else(by_rank)
                .ok_or_else(|| fail(format!("has no output {output}; it has {}", shown(names))))?;
            if ranks.contains(&rank) {
                return Err(fail(format!("the output {output} is named twice")));
            }
            ranks.push(rank);
        }
        let Model { mut spec, input, output, mut graph, network, digest, heads, notes, free_window, filed } =
            self;
        let all = spec.outputs.len();
        spec.outputs = ranks.iter().map(|&rank| spec.outputs[rank].clone()).collect();
        // The calibration was that of all of them.
        spec.null = None;
        if all > 1 {
            spec.thresholds.clear();
        }
        if let Ok(mut network) = network {
            network.output = network.output.rows(&ranks);
            return Ok(Model { digest, heads, notes, ..Model::from_network(spec, network)? });
        }
        let output = onnx::head::choose(&mut graph, &output, all, &ranks);
        Ok(Model { spec, input, output, graph, network, digest, heads, notes, free_window, filed })
    }

    /// A model of the DeepBind family. What the layers determine (filter length, padding, activation) is set in
    /// `spec` from them.
    ///
    /// # Errors
    /// Layers that do not fit together, and a specification that does not fit them.
    pub fn from_network(spec: ModelSpec, network: Network) -> Result<Model> {
        let own = ModelSpec::from_network(&spec.name, &network);
        let (filter_length, padding, activation) = (own.filter_length, own.padding, own.activation);
        let spec =
            ModelSpec { filter_length, padding, activation, channels: None, ..spec }.with_clean_names();
        let checked = network.check().and_then(|()| spec.check()).and_then(|()| spec.check_network(&network));
        checked.map_err(|message| Error::model(&spec.name, message))?;
        let graph = onnx::build::model(&network);
        let input = Input {
            name: onnx::build::INPUT.into(),
            layout: Layout::ChannelsFirst,
            length: None,
            batch: None,
            channels: ACGT,
        };
        let output: String = onnx::build::OUTPUT.into();
        let (heads, notes) = (vec![output.clone()], Vec::new());
        let (network, digest, filed, free_window) = (Ok(network), None, None, false);
        Ok(Model { spec, input, output, graph, network, digest, heads, notes, free_window, filed })
    }

    /// The ONNX file, with the specification in its metadata. The same model gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut graph = self.graph.clone();
        onnx::set_metadata(&mut graph, SPEC_KEY, serde_json::json!(self.spec).to_string());
        graph.encode_to_vec()
    }

    /// The file that holds the graph as it is run, if that is large and still there: who opens it there need not hold its
    /// weights a second time.
    pub fn graph_file(&self) -> Option<&Path> {
        self.filed.as_ref().and_then(|filed| filed.path_of(&self.graph))
    }

    /// Writes the ONNX file: beside `path` first, then renamed, so that there is never half a file under that name.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut output = Output::create(path.as_ref())?;
        output.write(&self.to_bytes())?;
        output.finish()
    }
}

/// The specification of a file that carries none.
fn foreign_spec(
    name: &str,
    input: &Input,
    values: Option<usize>,
    network: Option<&Network>,
    activation: Activation,
) -> Result<ModelSpec, String> {
    if let Some(network) = network {
        let spec = ModelSpec::from_network(name, network);
        return Ok(ModelSpec { window: input.length.unwrap_or(spec.window), ..spec });
    }
    let values =
        values.ok_or("its output shape leaves the number of outputs open; export it with a fixed one")?;
    Ok(ModelSpec {
        format: 1,
        name: name::clean(name),
        window: input.length.unwrap_or(WINDOW_OF_UNKNOWN),
        filter_length: None,
        padding: PadKind::None,
        context: Context::Padding,
        alphabet: Alphabet::Dna,
        strands: Strands::Both,
        outputs: output_names(values),
        activation,
        score_range: None,
        provenance: serde_json::Map::new(),
        channels: None,
        null: None,
        thresholds: Vec::new(),
        bound: None,
        motif: None,
    })
}

/// The channel of A, C, G and T under an order of channels.
fn channel_order(order: &str) -> Result<[usize; 4], String> {
    let place = |base: char| order.chars().position(|letter| letter.to_ascii_uppercase() == base);
    match (order.chars().count(), place('A'), place('C'), place('G'), place('T').or(place('U'))) {
        (4, Some(a), Some(c), Some(g), Some(t)) => Ok([a, c, g, t]),
        _ => Err(format!("the order of channels is {order}; it must have A, C, G and T once each")),
    }
}

/// The outputs of a graph that are read, as one.
struct Chosen {
    /// Its name.
    output: String,
    /// Names of its columns, where there are several heads.
    names: Option<Vec<String>>,
    /// Number of its columns, where that is known.
    values: Option<usize>,
    /// Kind of all of them.
    activation: Activation,
}

/// Chooses heads, and makes them the only output of the graph: one row a window.
fn choose(
    name: &str,
    proto: &mut onnx::ModelProto,
    input: &Input,
    options: &OpenOptions,
    window: Option<usize>,
) -> Result<Chosen, String> {
    let wanted = wanted_heads(proto, &options.heads)?;
    for head in wanted.iter().filter(|_| options.logit) {
        if !onnx::head::take_logit(proto, head)? {
            log::warn!(
                "model {name}: its output `{head}` ends in no sigmoid or softmax: --logit changes nothing"
            );
        }
    }
    let describe = |name: &String| onnx::interface::output(proto, input, name, window);
    let outputs = wanted.iter().map(describe).collect::<Result<Vec<_>, _>>()?;
    let graph = proto.graph.as_ref().ok_or("it holds no graph")?;
    let kind = |output: &onnx::interface::Output| onnx::head::activation(graph, &output.name).1;
    let kinds: Vec<Activation> = outputs.iter().map(kind).collect();
    let alike = kinds.windows(2).all(|pair| pair[0] == pair[1]);
    let activation = kinds.first().filter(|_| alike).copied().unwrap_or(Activation::Identity);
    if let [output] = &outputs[..] {
        let name = match output.values {
            Some(values) => onnx::head::rows(proto, output, values),
            None => output.name.clone(),
        };
        onnx::head::keep_only(proto, &name);
        return Ok(Chosen { output: name, names: None, values: output.values, activation });
    }
    let (mut rows, mut names) = (Vec::new(), Vec::new());
    for output in &outputs {
        let values = output.values.ok_or_else(|| {
            format!(
                "the shape of its output `{}` leaves the number of values open; choose another with --head",
                output.name
            )
        })?;
        rows.push(onnx::head::rows(proto, output, values));
        let head = name::clean(&output.name);
        names.extend(output_names(values).iter().map(|column| match column.strip_prefix("score") {
            Some(rank) => format!("{head}{rank}"),
            None => head.clone(),
        }));
    }
    if names.len() > onnx::interface::MOST_OUTPUTS {
        return Err(format!(
            "its heads have {} values a window in all; choose some with --head",
            names.len()
        ));
    }
    let output = onnx::head::join(proto, &rows, names.len());
    Ok(Chosen { output, values: Some(names.len()), names: Some(names), activation })
}

/// Names of the outputs that are to be read.
fn wanted_heads(proto: &onnx::ModelProto, heads: &Heads) -> Result<Vec<String>, String> {
    let graph = proto.graph.as_ref().ok_or("it holds no graph")?;
    let names: Vec<String> = graph.output.iter().map(|output| output.name().to_owned()).collect();
    let first = names.first().ok_or("the graph has no output")?;
    match heads {
        Heads::Only if names.len() > 1 => Err(format!(
            "its graph has {} heads: {}; choose with --head NAME, or take all with --head all",
            names.len(),
            shown(&names)
        )),
        Heads::Only | Heads::First => Ok(vec![first.clone()]),
        Heads::All => Ok(names),
        Heads::Named(wanted) => {
            let mut seen = HashSet::new();
            for head in wanted {
                if !names.contains(head) {
                    return Err(format!("it has no head {head}; it has {}", shown(&names)));
                }
                if !seen.insert(head) {
                    return Err(format!("the head {head} is named twice"));
                }
            }
            Ok(wanted.clone())
        }
    }
}

/// The first names, and how many more there are.
fn shown(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let first: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more > 0 { format!("{}, and {more} more", first.join(", ")) } else { first.join(", ") }
}

/// A specification of a file with names that can stand in tracks; says which are changed.
fn clean_stated(spec: &ModelSpec) -> ModelSpec {
    let clean = spec.clone().with_clean_names();
    let pairs = [(&spec.name, &clean.name)].into_iter().chain(spec.outputs.iter().zip(&clean.outputs));
    for (stated, clean) in pairs.filter(|(stated, clean)| stated != clean) {
        log::warn!("the name `{}` is written as {clean}", name::printable(stated));
    }
    clean
}

/// `score`, or `score_0`, `score_1` and so on.
fn output_names(count: usize) -> Vec<String> {
    if count == 1 { vec!["score".into()] } else { (0..count).map(|i| format!("score_{i}")).collect() }
}

/// A file's name without its extension.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
