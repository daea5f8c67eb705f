//! Sequences without targets: a file of bound, or of unbound, sequences.

use std::path::Path;

use crate::genome::sequences::SequenceReader;
use crate::{Error, Result};

/// Reads the sequences of a file, FASTA or one a line, plain or gzip.
///
/// # Errors
/// A file that cannot be read or has no sequences, an empty record, or a letter that is no nucleotide, with its line.
pub fn read_sequences(path: &Path) -> Result<Vec<Vec<u8>>> {
    read(path, &mut SequenceReader::open(path, None)?)
}

/// As [`read_sequences`], from a reader that stands before the first record.
pub(crate) fn read(path: &Path, reader: &mut SequenceReader) -> Result<Vec<Vec<u8>>> {
    let mut sequences = Vec::new();
    while let Some(sequence) = reader.read()? {
        if sequence.codes.is_empty() {
            return Err(Error::format(path, None, format!("the record {} is empty", sequence.name)));
        }
        sequences.push(sequence.codes);
    }
    if sequences.is_empty() {
        return Err(Error::format(path, None, "it has no sequence"));
    }
    Ok(sequences)
}
