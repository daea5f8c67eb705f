//! The files of Keras: what the network is, as JSON, and its weights.
//!
//! An `.h5` file has the description in an attribute and the weights of each layer in a group of its own, under names. A
//! `.keras` file is a zip archive: the description as `config.json`, and an HDF5 file in which the weights of a layer
//! have numbers.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use hdf5_reader::group::Group;
use hdf5_reader::{Attribute, Datatype, Hdf5File};
use serde_json::Value as Json;
use zip::ZipArchive;

use crate::io::guard::caught;
use crate::model::onnx::tensor::Tensor;
use crate::{Error, Result};

/// Largest weights file that is unpacked from an archive (4 GiB).
const LARGEST_ARCHIVED: u64 = 4 << 30;
/// Most bytes that one array of weights may take (2 GiB).
const LARGEST_ARRAY: usize = 2 << 30;
/// Parts of a list that HDF5 has no room for in one attribute.
const MOST_PARTS: usize = 1000;

/// Naming of weights in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// By the layer's name and the weight's.
    ByName,
    /// By the layer's class and rank, and the weight's rank.
    ByRank,
}

/// An open file.
pub(super) struct KerasFile {
    weights: Hdf5File,
    naming: Naming,
    /// Configuration of the network, if the file has it.
    pub(super) description: Option<Json>,
    /// Version of Keras that wrote it, as it is written there.
    pub(super) version: String,
    /// Names of the layers with a group of weights, in their order.
    pub(super) layers: Vec<String>,
}

/// Where a layer's weights are, in either kind of file.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// The group of the layer, or of the model within the model that has it.
    group: String,
    /// Names of which the weight's path must have each; one that ends with an underscore is the beginning of one.
    within: Vec<String>,
    /// The layer's path by classes and ranks.
    ranked: String,
}

impl Place {
    /// The place of a layer of a network at this place.
    pub(super) fn layer(&self, name: &str, ranked: &str) -> Place {
        let mut place = self.clone();
        if place.group.is_empty() {
            name.clone_into(&mut place.group);
        } else {
            place.within.push(name.to_owned());
        }
        place.ranked = format!("{}/layers/{ranked}", place.ranked);
        place
    }

    /// The place of a part of a layer: a word of its weights' names, and the part's path by ranks.
    pub(super) fn part(&self, word: Option<&str>, ranked: &str) -> Place {
        let mut place = self.clone();
        place.within.extend(word.map(str::to_owned));
        place.ranked = format!("{}/{ranked}", place.ranked);
        place
    }
}

impl KerasFile {
    /// Opens a file of either kind; its content says which.
    pub(super) fn open(path: &Path) -> Result<KerasFile> {
        let wrong = |message: String| Error::format(path, None, message);
        let mut file = File::open(path).map_err(Error::io(path, "cannot open"))?;
        let mut start = [0; 4];
        let read = file.read(&mut start).map_err(Error::io(path, "cannot read"))?;
        match &start[..read] {
            b"PK\x03\x04" => archive(path).map_err(wrong),
            [0x89, b'H', b'D', b'F'] => {
                let bytes = std::fs::read(path).map_err(Error::io(path, "cannot read"))?;
                guarded(|| by_name(bytes)).map_err(wrong)
            }
            _ => Err(wrong("not a Keras file; an HDF5 file (.h5) or a .keras archive is read".into())),
        }
    }

    /// The weights of the layer at `place`, which have these names, in this order.
    pub(super) fn weights(&self, place: &Place, names: &[&str]) -> Result<Vec<Tensor>, String> {
        guarded(|| match self.naming {
            Naming::ByName => self.named(place, names),
            Naming::ByRank => self.ranked(place, names.len()),
        })
    }

    fn named(&self, place: &Place, names: &[&str]) -> Result<Vec<Tensor>, String> {
        let group = self.layer_group(&place.group)?;
        let paths = strings(&group, "weight_names")?;
        let fits = |path: &str, name: &str| {
            let parts: Vec<&str> = path.split('/').collect();
            let last = parts.last().map_or("", |last| last.split(':').next().unwrap_or(last));
            let is_part = |part: &&str, word: &String| {
                part == word || word.ends_with('_') && part.starts_with(word.as_str())
            };
            last == name && place.within.iter().all(|word| parts.iter().any(|part| is_part(part, word)))
        };
        let weight = |name: &&str| {
            let path = paths.iter().find(|path| fits(path, name));
            let path = path.ok_or_else(|| format!("has no weights `{name}` in the file"))?;
            let mut at = group.clone();
            let mut parts = path.split('/').peekable();
            while let Some(part) = parts.next() {
                if parts.peek().is_none() {
                    let data = at.dataset(part).map_err(|e| unreadable(path, &e))?;
                    return array(path, &data);
                }
                at = at.group(part).map_err(|e| unreadable(path, &e))?;
            }
            Err(format!("has no weights `{name}` in the file"))
        };
        names.iter().map(weight).collect()
    }

    fn layer_group(&self, name: &str) -> Result<Group, String> {
        let mut group = self.root_group()?;
        // A layer's name may have slashes.
        for part in name.split('/') {
            group = group.group(part).map_err(|_| "has no weights in the file".to_owned())?;
        }
        Ok(group)
    }

    /// The group with those of the layers.
    fn root_group(&self) -> Result<Group, String> {
        let root = self.weights.root_group().map_err(|e| unreadable("/", &e))?;
        Ok(root.group("model_weights").unwrap_or(root))
    }

    fn ranked(&self, place: &Place, count: usize) -> Result<Vec<Tensor>, String> {
        let find = |path: &str| self.weights.group(&format!("{path}/vars"));
        // Keras 2 has another word for layers.
        let older = place.ranked.replace("/layers/", "/_layer_checkpoint_dependencies/");
        let group = find(&place.ranked).or_else(|_| find(&older));
        let group = group.map_err(|_| format!("has no weights in the file ({})", place.ranked))?;
        let weight = |rank: usize| {
            let path = format!("{}/vars/{rank}", place.ranked);
            let data = group.dataset(&rank.to_string()).map_err(|e| unreadable(&path, &e))?;
            array(&path, &data)
        };
        (0..count).map(weight).collect()
    }
}

/// Runs code that reads HDF5, which must not panic on a damaged file.
fn guarded<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    caught(run).unwrap_or_else(|| Err("its HDF5 structure is damaged".into()))
}

fn unreadable(what: &str, error: &impl std::fmt::Display) -> String {
    format!("cannot read `{what}` of the HDF5 file: {error}")
}

fn open_hdf5(bytes: Vec<u8>) -> Result<Hdf5File, String> {
    let options = hdf5_reader::OpenOptions::default().with_max_read_bytes(LARGEST_ARRAY);
    Hdf5File::from_vec_with_options(bytes, options).map_err(|e| format!("not a readable HDF5 file: {e}"))
}

/// An `.h5` file.
fn by_name(bytes: Vec<u8>) -> Result<KerasFile, String> {
    let weights = open_hdf5(bytes)?;
    let root = weights.root_group().map_err(|e| unreadable("/", &e))?;
    let description = match root.attribute("model_config") {
        Ok(text) => Some(json(
            "model_config",
            text.read_string().map_err(|e| unreadable("model_config", &e))?.as_bytes(),
        )?),
        Err(_) => None,
    };
    let version =
        root.attribute("keras_version").and_then(|version| version.read_string()).unwrap_or_default();
    let file = KerasFile { weights, naming: Naming::ByName, description, version, layers: Vec::new() };
    let layers = strings(&file.root_group()?, "layer_names").map_err(|_| {
        "not a Keras model: it names no layers; save the whole model in Keras (model.save)".to_owned()
    })?;
    Ok(KerasFile { layers, ..file })
}

/// A `.keras` archive.
fn archive(path: &Path) -> Result<KerasFile, String> {
    let damaged = |e: &dyn std::fmt::Display| format!("the archive is damaged: {e}");
    let file = File::open(path).map_err(|e| damaged(&e))?;
    let mut archive = ZipArchive::new(file).map_err(|e| damaged(&e))?;
    let mut member = |name: &str| -> Result<Vec<u8>, String> {
        let member = archive.by_name(name).map_err(|_| format!("not a Keras archive: it has no {name}"))?;
        let mut bytes = Vec::new();
        member.take(LARGEST_ARCHIVED).read_to_end(&mut bytes).map_err(|e| damaged(&e))?;
        Ok(bytes)
    };
    let description = json("config.json", &member("config.json")?)?;
    let metadata = json("metadata.json", &member("metadata.json")?)?;
    let version = metadata["keras_version"].as_str().unwrap_or_default().to_owned();
    let bytes = member("model.weights.h5")?;
    guarded(|| {
        let weights = open_hdf5(bytes)?;
        Ok(KerasFile {
            weights,
            naming: Naming::ByRank,
            description: Some(description),
            version,
            layers: Vec::new(),
        })
    })
}

fn json(what: &str, bytes: &[u8]) -> Result<Json, String> {
    serde_json::from_slice(bytes).map_err(|e| format!("its {what} is not readable: {e}"))
}

/// A list of strings in an attribute, or in several that have numbers behind the name.
fn strings(group: &Group, name: &str) -> Result<Vec<String>, String> {
    let read = |attribute: &Attribute| -> Result<Vec<String>, String> {
        if attribute.num_elements().map_err(|e| unreadable(name, &e))? == 0 {
            return Ok(Vec::new());
        }
        attribute.read_strings().map_err(|e| unreadable(name, &e))
    };
    if let Ok(attribute) = group.attribute(name) {
        return read(&attribute);
    }
    let mut all = Vec::new();
    for part in 0..MOST_PARTS {
        match group.attribute(&format!("{name}{part}")) {
            Ok(attribute) => all.extend(read(&attribute)?),
            Err(_) if part == 0 => return Err(format!("has no `{name}`")),
            Err(_) => break,
        }
    }
    Ok(all)
}

/// An array of floats.
fn array(path: &str, data: &hdf5_reader::Dataset) -> Result<Tensor, String> {
    let dims: Option<Vec<usize>> = data.shape().iter().map(|&n| usize::try_from(n).ok()).collect();
    let dims = dims.ok_or_else(|| format!("`{path}` is too large"))?;
    let values: Vec<f32> = match data.dtype() {
        Datatype::FloatingPoint { size: 4, .. } => {
            data.read_array::<f32>().map_err(|e| unreadable(path, &e))?.into_iter().collect()
        }
        Datatype::FloatingPoint { size: 8, .. } => data
            .read_array::<f64>()
            .map_err(|e| unreadable(path, &e))?
            .into_iter()
            .map(|x| x as f32)
            .collect(),
        other => {
            return Err(format!("`{path}` has elements of type {other:?}; 32- or 64-bit floats are read"));
        }
    };
    if values.iter().any(|value| !value.is_finite()) {
        return Err(format!("`{path}` has a value that is not finite"));
    }
    Ok(Tensor::floats(dims, values))
}
