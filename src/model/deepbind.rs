//! The parameter files of the published DeepBind models (Alipanahi et al. 2015).
//!
//! A file is text: a comment, then lines `key = v,v,…`. The filters are written position by position
//! (`[length][base][filter]`, bases A, C, G, T), and the weights of the first dense layer feature by feature, where
//! the features of a model with average pooling alternate: maximum and mean of filter 0, of filter 1, and so on.
//! A window is padded with N on both sides so that a filter may overhang by all but one base.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Dense, Model, ModelSpec, Network, Padding, Pooling, Strands, stem};
use crate::io::digest::hex;
use crate::{Error, Result};

/// Largest value of any size in a file; the published ones are 36 and less.
const LARGEST_SIZE: usize = 4096;

/// Keys of a file, all needed, each once.
const KEYS: [&str; 11] = [
    "reverse_complement",
    "num_detectors",
    "detector_len",
    "has_avg_pooling",
    "num_hidden",
    "detectors",
    "thresholds",
    "weights1",
    "biases1",
    "weights2",
    "biases2",
];

/// Opens a parameter file. The model's name is the file's stem; its alphabet is set to DNA, for the file does not
/// say (the models of RNAcompete experiments are RNA).
///
/// # Errors
/// A file that cannot be read, or one that [`parse`] refuses.
pub fn open(path: impl AsRef<Path>) -> Result<Model> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(Error::io(path, "cannot read"))?;
    parse(path, &bytes)
}

/// Reads the bytes of a parameter file; `path` gives the model's name, and is used in messages.
///
/// # Errors
/// Missing, unknown and repeated keys, wrong numbers of values, values that are no finite number: with the line.
pub fn parse(path: impl AsRef<Path>, bytes: &[u8]) -> Result<Model> {
    let path = path.as_ref();
    let fields = Fields::read(path, bytes)?;
    let network = fields.network()?;
    let mut spec = ModelSpec::from_network(&stem(path), &network);
    spec.strands = if fields.flag("reverse_complement")? { Strands::Both } else { Strands::Single };
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    spec.provenance = [
        ("source", format!("published DeepBind parameters, {file}")),
        ("source_sha256", hex(&Sha256::digest(bytes))),
    ]
    .map(|(key, value)| (key.to_owned(), value.into()))
    .into_iter()
    .collect();
    Model::from_network(spec, network).map_err(|e| Error::format(path, None, e.to_string()))
}

/// The lines of a file: key, line number, values.
struct Fields<'a> {
    path: &'a Path,
    values: BTreeMap<&'static str, (u64, Vec<f32>)>,
}

impl<'a> Fields<'a> {
    fn read(path: &'a Path, bytes: &[u8]) -> Result<Fields<'a>> {
        let text = str::from_utf8(bytes)
            .map_err(|_| Error::format(path, None, "not a DeepBind parameter file: it is not text"))?;
        let mut values = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let error = |message: String| Error::format(path, number, message);
            let (key, list) = line
                .split_once('=')
                .ok_or_else(|| error("not a DeepBind parameter file: no `key = value` here".into()))?;
            let key = key.trim();
            let key = KEYS
                .into_iter()
                .find(|known| *known == key)
                .ok_or_else(|| error(format!("unknown key `{}`", shorten(key))))?;
            let list = parse_list(list)
                .map_err(|value| error(format!("{key}: `{}` is not a finite number", shorten(value))))?;
            if let Some((first, _)) = values.insert(key, (number, list)) {
                return Err(error(format!("{key} is given again (first on line {first})")));
            }
        }
        match KEYS.into_iter().find(|key| !values.contains_key(key)) {
            Some(key) => Err(Error::format(path, None, format!("{key} is missing"))),
            None => Ok(Fields { path, values }),
        }
    }

    fn network(&self) -> Result<Network> {
        let filters = self.size("num_detectors", 1)?;
        let length = self.size("detector_len", 1)?;
        let hidden = self.size("num_hidden", 0)?;
        let pooling = if self.flag("has_avg_pooling")? { Pooling::MaxAndAverage } else { Pooling::Max };
        let features = filters * pooling.features_per_filter();

        let by_position = self.list("detectors", length * 4 * filters)?;
        let weights = (0..filters * 4 * length).map(|i| {
            let (k, channel, j) = (i / length / 4, i / length % 4, i % length);
            by_position[(j * 4 + channel) * filters + k]
        });
        let weights = weights.collect();
        let biases = self.list("thresholds", filters)?.to_vec();

        let width = hidden.max(1);
        let first = Dense {
            inputs: features,
            outputs: width,
            weights: reorder(self.list("weights1", features * width)?, width, pooling),
            bias: self.list("biases1", width)?.to_vec(),
        };
        let rest = usize::from(hidden > 0);
        let second = Dense {
            inputs: hidden,
            outputs: 1,
            weights: self.list("weights2", hidden)?.to_vec(),
            bias: self.list("biases2", rest)?.to_vec(),
        };
        let (hidden, output) = if hidden > 0 { (Some(first), second) } else { (None, first) };
        let padding = Padding::n(length - 1);
        let (filter_length, rectify, sigmoid) = (length, true, false);
        Ok(Network {
            filters,
            filter_length,
            weights,
            biases,
            rectify,
            padding,
            pooling,
            hidden,
            output,
            sigmoid,
        })
    }

    fn list(&self, key: &str, count: usize) -> Result<&[f32]> {
        let (line, values) = &self.values[key];
        if values.len() == count {
            return Ok(values);
        }
        let message = format!("{key} has {} values where {count} are needed", values.len());
        Err(Error::format(self.path, *line, message))
    }

    fn size(&self, key: &str, least: usize) -> Result<usize> {
        let value = self.list(key, 1)?[0];
        if value.fract() == 0.0 && value >= least as f32 && value <= LARGEST_SIZE as f32 {
            return Ok(value as usize);
        }
        let message = format!("{key} is {value}; a whole number from {least} to {LARGEST_SIZE} is needed");
        Err(Error::format(self.path, self.values[key].0, message))
    }

    fn flag(&self, key: &str) -> Result<bool> {
        match self.list(key, 1)?[0] {
            0.0 => Ok(false),
            1.0 => Ok(true),
            value => {
                let message = format!("{key} is {value}; it must be 0 or 1");
                Err(Error::format(self.path, self.values[key].0, message))
            }
        }
    }
}

/// The first dense layer's weights from `[feature][output]`, features alternating, to `[output][feature]`, all maxima
/// first.
fn reorder(weights: &[f32], outputs: usize, pooling: Pooling) -> Vec<f32> {
    let (features, kinds) = (weights.len() / outputs, pooling.features_per_filter());
    let filters = features / kinds;
    let row = |output: usize| {
        (0..features).map(move |feature| {
            let (kind, filter) = (feature / filters, feature % filters);
            weights[(filter * kinds + kind) * outputs + output]
        })
    };
    (0..outputs).flat_map(row).collect()
}

/// The numbers of a comma-separated list, none if it is blank; the first word that is no finite number otherwise.
fn parse_list(list: &str) -> Result<Vec<f32>, &str> {
    if list.trim().is_empty() {
        return Ok(Vec::new());
    }
    let number = |word: &'_ str| word.trim().parse::<f32>().ok().filter(|x| x.is_finite());
    list.split(',').map(|word| number(word).ok_or(word)).collect()
}

/// The start of a word that may be long, for a message.
fn shorten(word: &str) -> String {
    word.trim().chars().take(40).collect()
}
