//! The file from which an interrupted training goes on: a line of JSON, and then the numbers of its fits as little-endian f32.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::io::digest::hex;
use crate::io::output::Output;
use crate::{Error, Result};

const FORMAT: u32 = 1;

/// The state of one run, in a file or nowhere.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: Option<PathBuf>,
    /// Digest of everything that determines the outcome: what another run has noted is of no use.
    run: String,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Record<F> {
    format: u32,
    run: String,
    /// The fits, as the kind of network has them.
    fits: F,
}

impl StateFile {
    /// For a run with these inputs, which the program's version belongs to; no state is kept without a `path`.
    pub(crate) fn new(path: Option<&Path>, inputs: &str) -> StateFile {
        let version = env!("CARGO_PKG_VERSION");
        let run = hex(&Sha256::digest(format!("{version} {inputs}").as_bytes()));
        StateFile { path: path.map(Path::to_path_buf), run }
    }

    /// Reads what was noted of the fits, and their numbers; `None` if there is nothing yet.
    ///
    /// # Errors
    /// A file that cannot be read, is no such file, or belongs to another run.
    pub(crate) fn read<F: DeserializeOwned>(&self) -> Result<Option<(F, Vec<f32>)>> {
        let Some(path) = &self.path else { return Ok(None) };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(path, "cannot read")(error)),
        };
        let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
        let (line, numbers) = bytes.split_at(end);
        let record: Record<F> =
            serde_json::from_slice(line).map_err(|error| self.unreadable(&format!(" ({error})")))?;
        if record.format != FORMAT || record.run != self.run {
            return Err(self.of_another_run());
        }
        let (numbers, rest) = numbers.get(1..).unwrap_or_default().as_chunks::<4>();
        if !rest.is_empty() {
            return Err(self.unreadable(""));
        }
        Ok(Some((record.fits, numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())))
    }

    /// Writes the file; it is whole at any time.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub(crate) fn write<'a, F: Serialize>(
        &self,
        fits: &F,
        numbers: impl Iterator<Item = &'a [f32]>,
    ) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let record = Record { format: FORMAT, run: self.run.clone(), fits };
        let mut file = Output::create(path)?;
        file.write(serde_json::json!(record).to_string().as_bytes())?;
        file.write(b"\n")?;
        for numbers in numbers {
            let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            file.write(&bytes)?;
        }
        file.finish()
    }

    /// The error for a file that is no state of a training; `detail` says more, or nothing.
    pub(crate) fn unreadable(&self, detail: &str) -> Error {
        self.error(format!("not the state of a training{detail}; remove it to begin anew"))
    }

    /// The error for the state of another run.
    pub(crate) fn of_another_run(&self) -> Error {
        let message =
            "the state of a training with other data or options; repeat those, or remove it to begin anew";
        self.error(message.into())
    }

    fn error(&self, message: String) -> Error {
        Error::format(self.path.as_deref().unwrap_or(Path::new("")), None, message)
    }
}
