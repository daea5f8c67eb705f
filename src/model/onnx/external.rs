//! External data: numbers of tensors that an ONNX model keeps in files beside its own.
//!
//! They are read into the model, so that the rest of the program never sees that they were elsewhere. A location must be
//! the plain name of a file in the model's own folder: no path, and no link that leads out of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::ModelProto;
use super::proto::TensorProto;
use super::proto::tensor_proto::DataLocation;
use super::visit::{Part, parts};

/// Most bytes that are read in all: ONNX Runtime takes no larger model from memory.
const MOST_BYTES: u64 = 2 << 30;
/// Bytes that may be read whatever the size of the files; beyond, tensors may share what the files hold only twice.
const FREE_BYTES: u64 = 64 << 20;

/// A file with tensors.
struct DataFile {
    file: File,
    length: u64,
}

/// Reads the external data of `model` from files in `folder`. Returns the SHA-256 of each file by its name.
///
/// # Errors
/// A location outside the folder; a file that is missing, no regular file, or shorter than the model says; numbers that
/// do not fit a tensor's dimensions; no folder.
pub(super) fn read(
    model: &mut ModelProto,
    folder: Option<&Path>,
) -> Result<BTreeMap<String, [u8; 32]>, String> {
    let mut reader = Reader { folder, files: BTreeMap::new(), read: 0, held: 0 };
    parts(model, &mut |part| match part {
        Part::Tensor(tensor) if tensor.data_location == Some(DataLocation::External as i32) => {
            reader.fill(tensor).map_err(|reason| format!("tensor `{}`: {reason}", tensor.name()))
        }
        _ => Ok(()),
    })?;
    reader.digests()
}

struct Reader<'a> {
    folder: Option<&'a Path>,
    files: BTreeMap<String, DataFile>,
    /// Bytes read so far.
    read: u64,
    /// Bytes that the files have.
    held: u64,
}

impl Reader<'_> {
    fn fill(&mut self, tensor: &mut TensorProto) -> Result<(), String> {
        let entry = |key: &str| tensor.external_data.iter().find(|entry| entry.key() == key);
        let location = entry("location").ok_or("is stored outside the file, which does not say where")?;
        let location = location.value().to_owned();
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(entry) => entry
                .value()
                .parse::<u64>()
                .map(Some)
                .map_err(|_| format!("has the {key} `{}`", entry.value())),
        };
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let file = self.open(&location)?;
        let rest = file.length.saturating_sub(offset);
        let length = length.unwrap_or(rest);
        // No length is believed before the bytes are there.
        if length > rest {
            return Err(format!(
                "needs {length} bytes from byte {offset} on of {location}, which has {}: it is cut short or of \
                 another model",
                file.length
            ));
        }
        let (read, most) = (self.read + length, MOST_BYTES.min(self.held.saturating_mul(2).max(FREE_BYTES)));
        if read > most {
            return Err(format!("external data of more than {most} bytes are not read"));
        }
        self.read = read;
        let file = self.open(&location)?;
        let mut bytes = Vec::new();
        file.file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| Read::by_ref(&mut file.file).take(length).read_to_end(&mut bytes))
            .map_err(|error| format!("cannot read {location}: {error}"))?;
        if bytes.len() as u64 != length {
            return Err(format!("{location} became shorter while it was read"));
        }
        tensor.raw_data = Some(bytes.into());
        tensor.external_data.clear();
        tensor.data_location = None;
        Ok(())
    }

    fn open(&mut self, location: &str) -> Result<&mut DataFile, String> {
        if !self.files.contains_key(location) {
            let path = within(self.folder, location)?;
            let file =
                File::open(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            let length = file.metadata().map_err(|error| format!("cannot read {location}: {error}"))?.len();
            self.held = self.held.saturating_add(length);
            self.files.insert(location.to_owned(), DataFile { file, length });
        }
        self.files.get_mut(location).ok_or_else(|| format!("cannot read {location}"))
    }

    fn digests(self) -> Result<BTreeMap<String, [u8; 32]>, String> {
        let mut digests = BTreeMap::new();
        for (location, mut data) in self.files {
            let digest =
                digest(&mut data.file).map_err(|error| format!("cannot read {location}: {error}"))?;
            digests.insert(location, digest);
        }
        Ok(digests)
    }
}

fn digest(file: &mut File) -> io::Result<[u8; 32]> {
    file.rewind()?;
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(digest.finalize().into()),
            length => digest.update(&buffer[..length]),
        }
    }
}

/// The regular file named `location` in `folder`.
fn within(folder: Option<&Path>, location: &str) -> Result<PathBuf, String> {
    let folder = folder.ok_or_else(|| format!("is stored in {location}: open the model by its path"))?;
    let outside = || {
        format!(
            "is stored in `{location}`; only files in the model's own folder are read: put it there and save the \
             model with that name, or as one file (external_data=False)"
        )
    };
    // On all systems: a model moves from one to another.
    let mut components = Path::new(location).components();
    let plain = matches!(components.next(), Some(Component::Normal(name)) if name == location);
    if !plain || location.contains(['/', '\\', ':', '\0']) {
        return Err(outside());
    }
    let path = folder.join(location);
    let missing = |error: io::Error| format!("is stored in {}: {error}", path.display());
    let real = path.canonicalize().map_err(missing)?;
    if real.parent() != Some(folder.canonicalize().map_err(missing)?.as_path()) {
        return Err(outside());
    }
    if !fs::metadata(&real).map_err(missing)?.is_file() {
        return Err(format!("is stored in {}, which is not a regular file", path.display()));
    }
    Ok(real)
}
