//! Sequences without targets: a FASTA file of bound, or of unbound, sequences.

use std::path::Path;

use super::text::{Lines, encode_sequence};
use crate::Result;

/// Whether a file (plain or gzip) begins as FASTA does.
///
/// # Errors
/// A file that cannot be read.
pub fn is_fasta(path: &Path) -> Result<bool> {
    Lines::open(path)?.starts_with(b'>')
}

/// Reads the sequences of a FASTA file, plain or gzip.
///
/// # Errors
/// A file that cannot be read or is no FASTA, and an empty record or a letter that is no nucleotide, with its line.
pub fn read_fasta(path: &Path) -> Result<Vec<Vec<u8>>> {
    let mut lines = Lines::open(path)?;
    let mut sequences: Vec<Vec<u8>> = Vec::new();
    while let Some(line) = lines.next(false)? {
        if line.starts_with('>') {
            if sequences.last().is_some_and(Vec::is_empty) {
                return Err(lines.error("the record before this one is empty"));
            }
            sequences.push(Vec::new());
            continue;
        }
        let codes = encode_sequence(line.trim());
        let codes = codes.map_err(|message| lines.error(message))?;
        match sequences.last_mut() {
            Some(sequence) => sequence.extend(codes),
            None => return Err(lines.error("a FASTA file begins with >")),
        }
    }
    match sequences.last() {
        None => Err(lines.file_error("there is no sequence in it")),
        Some(last) if last.is_empty() => Err(lines.error("the last record is empty")),
        Some(_) => Ok(sequences),
    }
}
