//! Description of a network in a Keras file: its layers, and how they are called.

use serde_json::{Map, Value as Json};

/// Most layers of a network, and deepest network within networks.
const MOST_LAYERS: usize = 10_000;
const DEEPEST: usize = 8;
/// Largest size that a setting gives (2^24): arithmetic on sizes has room, and a file does not demand memory that it
/// has no weights for.
pub(super) const LARGEST_SIZE: u64 = 1 << 24;

/// A size, if it is a whole number that is not too large.
fn as_size(value: &Json) -> Option<usize> {
    value.as_u64().filter(|&size| size <= LARGEST_SIZE).and_then(|size| usize::try_from(size).ok())
}

/// A network, or one that is a layer of another.
#[derive(Debug, Clone)]
pub(super) struct Network {
    /// Layers, in the order of the file.
    pub(super) layers: Vec<Layer>,
    /// Results that are fed.
    pub(super) inputs: Vec<Source>,
    /// Results that are given back.
    pub(super) outputs: Vec<Source>,
}

/// A result of a call of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Source {
    /// The layer's name.
    pub(super) layer: String,
    /// Rank of the call.
    pub(super) call: usize,
    /// Rank of the result.
    pub(super) result: usize,
}

/// A layer and its calls.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) class: String,
    pub(super) name: String,
    pub(super) config: Config,
    /// The inputs of each call; one call without inputs for an input layer.
    pub(super) calls: Vec<Vec<Source>>,
    /// The layer's path by classes and ranks: `conv1d_2`.
    pub(super) ranked: String,
    /// The network that the layer is.
    pub(super) network: Option<Box<Network>>,
}

/// The settings of a layer.
#[derive(Debug, Clone, Default)]
pub(super) struct Config(pub(super) Map<String, Json>);

impl Config {
    pub(super) fn get(&self, key: &str) -> Option<&Json> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A name, or the default.
    pub(super) fn text<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.get(key).and_then(Json::as_str).unwrap_or(default)
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        self.get(key).and_then(Json::as_bool).unwrap_or(default)
    }

    pub(super) fn number(&self, key: &str, default: f64) -> f64 {
        self.get(key).and_then(Json::as_f64).unwrap_or(default)
    }

    /// A whole number that must be there: one by itself, or one in a list.
    pub(super) fn size(&self, key: &str) -> Result<usize, String> {
        let value = self.get(key).ok_or_else(|| format!("has no {key}"))?;
        let value = match value {
            Json::Array(values) if values.len() == 1 => &values[0],
            value => value,
        };
        as_size(value)
            .ok_or_else(|| format!("has {key} {value}; a whole number up to {LARGEST_SIZE} is read"))
    }

    /// As [`Config::size`], or a default.
    pub(super) fn size_or(&self, key: &str, default: usize) -> Result<usize, String> {
        if self.get(key).is_none() { Ok(default) } else { self.size(key) }
    }

    /// Two whole numbers, or one that is both.
    pub(super) fn pair(&self, key: &str) -> Result<(usize, usize), String> {
        match self.get(key) {
            Some(Json::Array(values)) if values.len() == 2 => {
                let pair = as_size(&values[0]).zip(as_size(&values[1]));
                pair.ok_or_else(|| {
                    let value = Json::from(values.clone());
                    format!("has {key} {value}; whole numbers up to {LARGEST_SIZE} are read")
                })
            }
            _ => self.size(key).map(|size| (size, size)),
        }
    }

    /// A list of whole numbers.
    pub(super) fn list(&self, key: &str) -> Result<Vec<i64>, String> {
        let values = self.get(key).and_then(Json::as_array).ok_or_else(|| format!("has no {key}"))?;
        let number = |value: &Json| value.as_i64().filter(|number| number.unsigned_abs() <= LARGEST_SIZE);
        let numbers: Option<Vec<i64>> = values.iter().map(number).collect();
        numbers.ok_or_else(|| {
            let value = Json::from(values.clone());
            format!("has {key} {value}; whole numbers up to {LARGEST_SIZE} are read")
        })
    }

    /// The shape that an input layer, or the first of a sequence of layers, takes: without the axis of windows.
    pub(super) fn input_shape(&self) -> Option<Vec<Option<usize>>> {
        let shape = self.get("batch_shape").or_else(|| self.get("batch_input_shape"))?;
        lengths(shape.as_array()?.get(1..)?)
    }
}

/// Lengths of axes, within: `None` for free ones; `None` if one is too large.
fn lengths(shape: &[Json]) -> Option<Vec<Option<usize>>> {
    let too_large = |length: &Json| length.as_u64().is_some() && as_size(length).is_none();
    (!shape.iter().any(too_large)).then(|| shape.iter().map(as_size).collect())
}

/// The network that a description gives, which is JSON with `class_name` and `config`.
pub(super) fn network(description: &Json) -> Result<Network, String> {
    read(description, 0)
}

/// True if a description has layers.
pub(super) fn has_layers(description: &Json) -> bool {
    description["config"].is_array() || description["config"]["layers"].is_array()
}

fn read(description: &Json, depth: usize) -> Result<Network, String> {
    let class = description["class_name"].as_str().unwrap_or("");
    let config = &description["config"];
    // Keras before 2.2.3 has the layers of a Sequential model in place of its settings.
    let layers = config.as_array().or_else(|| config["layers"].as_array());
    let layers = layers.ok_or_else(|| {
        format!("the file does not describe its layers: it holds a model of the class {class:?}, which is defined by code")
    })?;
    if layers.len() > MOST_LAYERS || depth > DEEPEST {
        return Err("the model has too many layers".into());
    }
    let mut ranks = Ranks::default();
    let read_layer = |layer: &Json| read_layer(layer, &mut ranks, depth);
    let mut layers = layers.iter().map(read_layer).collect::<Result<Vec<_>, _>>()?;
    if class == "Sequential" || config.is_array() {
        let shape = config["build_input_shape"].as_array().and_then(|shape| lengths(shape.get(1..)?));
        return sequence(layers, shape);
    }
    let inputs = sources(&config["input_layers"]);
    let outputs = sources(&config["output_layers"]);
    if inputs.is_empty() || outputs.is_empty() {
        return Err("the file does not say what the model's inputs and outputs are".into());
    }
    for layer in &mut layers {
        if layer.class == "InputLayer" && layer.calls.is_empty() {
            layer.calls.push(Vec::new());
        }
    }
    let mut network = Network { layers, inputs, outputs };
    network.count_calls_of_networks();
    Ok(network)
}

impl Network {
    /// Lets the calls of a network within this one count from 0: where it was made of an input layer, Keras counts that as a
    /// call, and leaves it out of the file.
    fn count_calls_of_networks(&mut self) {
        let networks = self.layers.iter().filter(|layer| layer.network.is_some());
        let calls: Vec<(String, usize)> =
            networks.map(|layer| (layer.name.clone(), layer.calls.len())).collect();
        for (name, count) in calls {
            let read =
                || self.layers.iter().flat_map(|layer| layer.calls.iter().flatten()).chain(&self.outputs);
            if !read().any(|source| source.layer == name && source.call >= count) {
                continue;
            }
            let calls = self.layers.iter_mut().flat_map(|layer| layer.calls.iter_mut().flatten());
            let sources = calls.chain(&mut self.outputs).filter(|source| source.layer == name);
            sources.for_each(|source| source.call = source.call.saturating_sub(1));
        }
    }
}

/// Gives every layer of a class a rank, as Keras 3 names the groups of weights.
#[derive(Debug, Default)]
struct Ranks(std::collections::HashMap<String, usize>);

impl Ranks {
    fn next(&mut self, class: &str) -> String {
        let word = snake_case(class);
        let rank = self.0.entry(word.clone()).or_default();
        *rank += 1;
        if *rank == 1 { word } else { format!("{word}_{}", *rank - 1) }
    }
}

/// `BatchNormalization` as `batch_normalization`, `Conv1D` as `conv1d`: an underscore goes before a capital that begins a
/// word of small letters, and before one behind a small letter.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut word = String::with_capacity(class.len() + 4);
    for (i, &c) in letters.iter().enumerate() {
        let begins = i > 0
            && c.is_ascii_uppercase()
            && (letters.get(i + 1).is_some_and(char::is_ascii_lowercase)
                || letters[i - 1].is_ascii_lowercase());
        if begins && letters[i - 1] != '_' {
            word.push('_');
        }
        word.extend(c.to_lowercase());
    }
    word
}

fn read_layer(layer: &Json, ranks: &mut Ranks, depth: usize) -> Result<Layer, String> {
    let class = layer["class_name"].as_str().ok_or("a layer has no class")?.to_owned();
    let config = Config(layer["config"].as_object().cloned().unwrap_or_default());
    let name =
        config.get("name").or_else(|| layer.get("name")).and_then(Json::as_str).unwrap_or(&class).to_owned();
    let is_network = matches!(&*class, "Functional" | "Sequential" | "Model");
    let network =
        if is_network && has_layers(layer) { Some(Box::new(read(layer, depth + 1)?)) } else { None };
    let calls = layer["inbound_nodes"].as_array().map_or(&[][..], Vec::as_slice);
    let calls = calls.iter().map(call_sources).collect();
    Ok(Layer { ranked: ranks.next(&class), class, name, config, calls, network })
}

/// Layers that are called one after another.
fn sequence(mut layers: Vec<Layer>, built: Option<Vec<Option<usize>>>) -> Result<Network, String> {
    let Some(first) = layers.first() else { return Err("the model has no layers".into()) };
    if first.class != "InputLayer" {
        let stated = first.config.input_shape().or(built);
        let mut config = Config::default();
        // A sequence within another network states no shape, and needs none.
        let shape = stated.unwrap_or_default();
        let shape =
            [Json::Null].into_iter().chain(shape.into_iter().map(|n| n.map_or(Json::Null, Json::from)));
        config.0.insert("batch_shape".into(), Json::Array(shape.collect()));
        let name = format!("{}_input", first.name);
        let (class, ranked) = ("InputLayer".into(), String::new());
        layers.insert(0, Layer { class, name, config, calls: Vec::new(), ranked, network: None });
    }
    let mut before: Option<Source> = None;
    for layer in &mut layers {
        layer.calls = vec![before.iter().cloned().collect()];
        before = Some(Source { layer: layer.name.clone(), call: 0, result: 0 });
    }
    let inputs = vec![Source { layer: layers[0].name.clone(), call: 0, result: 0 }];
    Ok(Network { layers, inputs, outputs: before.into_iter().collect() })
}

/// The inputs of a call. Keras 2: a list of `[layer, call, result, settings]`; Keras 3: arguments, with the tensors within.
fn call_sources(call: &Json) -> Vec<Source> {
    if call.is_array() {
        return sources(call);
    }
    let mut found = Vec::new();
    tensors(&call["args"], &mut found);
    tensors(&call["kwargs"], &mut found);
    found
}

fn tensors(value: &Json, found: &mut Vec<Source>) {
    match value {
        Json::Object(object) if object.get("class_name").is_some_and(|class| class == "__keras_tensor__") => {
            found.extend(source(&value["config"]["keras_history"]));
        }
        Json::Object(object) => object.values().for_each(|value| tensors(value, found)),
        Json::Array(values) => values.iter().for_each(|value| tensors(value, found)),
        _ => {}
    }
}

/// Results in lists, in lists of lists, or by name.
fn sources(value: &Json) -> Vec<Source> {
    match value {
        Json::Array(values) => match source(value) {
            Some(source) => vec![source],
            None => values.iter().flat_map(sources).collect(),
        },
        Json::Object(object) => object.values().flat_map(sources).collect(),
        _ => Vec::new(),
    }
}

/// `[layer, call, result]`.
fn source(value: &Json) -> Option<Source> {
    let values = value.as_array()?;
    let number = |i: usize| values.get(i)?.as_u64().and_then(|n| usize::try_from(n).ok());
    Some(Source { layer: values.first()?.as_str()?.to_owned(), call: number(1)?, result: number(2)? })
}
