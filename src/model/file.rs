//! Model files as they lie on the disk.
//!
//! Networks of hundreds of megabytes are common, and nearly all of that is weights. Those of a large file stay there: the
//! file is mapped, its graph's tensors are slices of the map, and pages that were read are handed back to the system.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use prost::bytes::Bytes;

use crate::io::mmap::MappedFile;
use crate::model::onnx::ModelProto;
use crate::{Error, Result};

#[cfg(feature = "keras")]
use super::keras;

/// Files of so many bytes and more are mapped, smaller ones are read.
const MAPPED_FROM: u64 = 16 << 20;

/// The ONNX bytes of a model file.
pub(crate) struct ModelFile {
    pub(crate) bytes: Bytes,
    /// Where external data are looked for.
    pub(crate) folder: PathBuf,
    /// SHA-256 of a file that is not ONNX itself, in hexadecimal digits.
    pub(crate) digest: Option<String>,
    /// Changes to the file, one line each.
    pub(crate) notes: Vec<String>,
    /// The file, if it is a large ONNX file.
    pub(crate) source: Option<Source>,
    /// The map that `bytes` lie in.
    map: Option<Arc<MappedFile>>,
}

impl ModelFile {
    /// Reads an ONNX file, or a Keras file as one.
    pub(crate) fn read(path: &Path) -> Result<ModelFile> {
        let failed = || Error::io(path, "cannot read");
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let (bytes, map) = match mapped(path)? {
            Some(map) => (Bytes::from_owner(SharedMap(Arc::clone(&map))), Some(map)),
            None => (Bytes::from(fs::read(path).map_err(failed())?), None),
        };
        #[cfg(feature = "keras")]
        if keras::is_keras(&bytes) {
            use prost::Message;

            let imported = keras::open(path)?;
            let mut notes = vec![format!(
                "read from Keras: {} -> {}",
                imported.inputs.join(", "),
                imported.outputs.join(", ")
            )];
            notes.extend(imported.notes);
            let digest = Some(crate::io::digest::of_bytes(&bytes));
            let bytes = imported.graph.encode_to_vec().into();
            return Ok(ModelFile { bytes, folder, digest, notes, source: None, map: None });
        }
        let source = map.is_some().then(|| Source::new(path)).transpose().map_err(failed())?;
        Ok(ModelFile { bytes, folder, digest: None, notes: Vec::new(), source, map })
    }

    /// Hands the pages that were read back to the system. They are read again when they are wanted.
    pub(crate) fn release(&self) {
        if let Some(map) = &self.map {
            map.release_all();
        }
    }
}

/// The map of a large regular file.
fn mapped(path: &Path) -> Result<Option<Arc<MappedFile>>> {
    let failed = || Error::io(path, "cannot read");
    let file = File::open(path).map_err(failed())?;
    let about = file.metadata().map_err(failed())?;
    if !about.is_file() || about.len() < MAPPED_FROM {
        return Ok(None);
    }
    Ok(MappedFile::open(&file).ok().map(Arc::new))
}

/// A map that bytes are slices of.
struct SharedMap(Arc<MappedFile>);

impl AsRef<[u8]> for SharedMap {
    fn as_ref(&self) -> &[u8] {
        self.0.content()
    }
}

/// A file, and how to tell that it has changed.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
}

impl Source {
    fn new(path: &Path) -> std::io::Result<Source> {
        let about = fs::metadata(path)?;
        // A working directory may change, an absolute path stays.
        let path = fs::canonicalize(path)?;
        Ok(Source { path, length: about.len(), modified: about.modified().ok() })
    }

    fn is_unchanged(&self) -> bool {
        let same = |about: fs::Metadata| about.len() == self.length && about.modified().ok() == self.modified;
        fs::metadata(&self.path).is_ok_and(same)
    }
}

/// A file and the graph that it holds.
#[derive(Debug)]
pub struct Filed {
    pub(crate) source: Source,
    pub(crate) graph: ModelProto,
}

impl Filed {
    /// The file's path, if `graph` is what it holds.
    pub(crate) fn path_of(&self, graph: &ModelProto) -> Option<&Path> {
        let is_held = self.source.is_unchanged() && without_weights(graph) == without_weights(&self.graph);
        is_held.then_some(self.source.path.as_path())
    }
}

/// A graph without its raw weights, and where these lie in memory.
fn without_weights(graph: &ModelProto) -> (ModelProto, Vec<(usize, usize)>) {
    let mut graph = graph.clone();
    let tensors = graph.graph.iter_mut().flat_map(|graph| &mut graph.initializer);
    let raw = tensors.filter_map(|tensor| tensor.raw_data.take());
    let weights = raw.map(|raw| (raw.as_ptr().addr(), raw.len())).collect();
    (graph, weights)
}
