//! Lines of a text file, plain or gzip, with their numbers.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use crate::genome::sequences::SequenceReader;
use crate::io::input::Input;
use crate::seq::alphabet;
use crate::{Error, Result};

/// Reads a text file line by line.
pub(crate) struct Lines {
    path: PathBuf,
    input: Input,
    number: u64,
    text: Vec<u8>,
    /// True if `text` is to be given once more.
    held: bool,
}

impl Lines {
    /// Opens a file; `-` is standard input. gzip is recognised by content.
    pub(crate) fn open(path: &Path) -> Result<Lines> {
        Ok(Lines {
            path: path.to_path_buf(),
            input: Input::open(path)?,
            number: 0,
            text: Vec::new(),
            held: false,
        })
    }

    /// Makes the line that was read last the next one again.
    pub(crate) fn hold(&mut self) {
        self.held = true;
    }

    /// The next line without its end; `None` at the end of the file. Blank lines and, with `comments`, those that
    /// start with `#` are passed over.
    pub(crate) fn next(&mut self, comments: bool) -> Result<Option<&str>> {
        while !std::mem::take(&mut self.held) {
            self.text.clear();
            let action = self.input.read_action();
            let read = self.input.read_until(b'\n', &mut self.text);
            if read.map_err(Error::io(&self.path, action))? == 0 {
                return Ok(None);
            }
            self.number += 1;
            let blank = self.text.iter().all(u8::is_ascii_whitespace);
            let comment = comments && self.text.starts_with(b"#");
            if !(blank || comment) {
                break;
            }
        }
        let text = std::str::from_utf8(&self.text).ok().filter(|text| !text.contains('\0'));
        let text = text.ok_or_else(|| self.error("this is no text"))?;
        Ok(Some(text.trim_end_matches(['\n', '\r'])))
    }

    /// True if the first byte of the file, of which nothing has been read yet, is `byte`.
    pub(crate) fn starts_with(&mut self, byte: u8) -> Result<bool> {
        Ok(self.input.fill_buf().map_err(Error::io(&self.path, "cannot read"))?.first() == Some(&byte))
    }

    /// The sequences of a FASTA file, of which only the first line has been read.
    pub(crate) fn into_sequences(self) -> SequenceReader {
        let header = String::from_utf8_lossy(&self.text).trim_end_matches(['\n', '\r']).to_owned();
        SequenceReader::after_header(&self.path, self.input, self.number, header)
    }

    /// Number of the line that was read last.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// An error at the line that was read last.
    pub(crate) fn error(&self, message: impl Into<String>) -> Error {
        Error::format(&self.path, self.number, message)
    }

    /// An error about the file as a whole.
    pub(crate) fn file_error(&self, message: impl Into<String>) -> Error {
        Error::format(&self.path, None, message)
    }
}

/// Codes of a sequence, or what is wrong with it.
pub(crate) fn encode_sequence(letters: &str) -> Result<Vec<u8>, String> {
    if letters.is_empty() {
        return Err("the sequence is empty".into());
    }
    alphabet::encode(letters.as_bytes()).map_err(|(at, byte)| {
        format!("'{}' (character {}) is not a nucleotide", char::from(byte).escape_default(), at + 1)
    })
}
