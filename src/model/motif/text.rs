//! The text of a motif file: decompressed, without a byte order mark, line by line.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::{Error, Result};

/// Most bytes of text that a compressed file may hold.
const LARGEST: u64 = 1 << 30;

const GZIP: [u8; 2] = [0x1F, 0x8B];

const BYTE_ORDER_MARK: &str = "\u{FEFF}";

/// Bytes in which [`is_text`] looks for what text does not have.
const HEAD: usize = 4096;

/// Decompresses the bytes of a file if they are gzip.
pub(super) fn decompress<'a>(path: &Path, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    if !bytes.starts_with(&GZIP) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut text = Vec::new();
    let read = MultiGzDecoder::new(bytes).take(LARGEST + 1).read_to_end(&mut text);
    read.map_err(Error::io(path, "cannot decompress"))?;
    if text.len() as u64 > LARGEST {
        return Err(Error::format(path, None, "not a motif file: it is larger than 1 GiB"));
    }
    Ok(Cow::Owned(text))
}

/// True if the first bytes of a file are text: no control characters but tabs and line ends.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(HEAD)];
    head.iter().all(|&byte| byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r' | 0x0C))
}

/// Decodes UTF-8, without its byte order mark.
pub(super) fn decode<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str> {
    let utf16 = bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]);
    match str::from_utf8(bytes) {
        Ok(text) if is_text(bytes) => Ok(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)),
        _ if utf16 => Err(Error::format(path, None, "is text in UTF-16; save it as UTF-8")),
        _ => Err(Error::format(path, None, "not a motif file: it is not text")),
    }
}

/// A line of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// Its number, from 1.
    pub(super) number: usize,
    /// Its text, without white space at the ends.
    pub(super) text: &'a str,
}

impl<'a> Line<'a> {
    pub(super) fn words(&self) -> std::str::SplitWhitespace<'a> {
        self.text.split_whitespace()
    }

    pub(super) fn first_word(&self) -> &'a str {
        self.words().next().unwrap_or_default()
    }

    /// The text after the first word.
    pub(super) fn rest(&self) -> &'a str {
        self.text.strip_prefix(self.first_word()).unwrap_or_default().trim_start()
    }
}

/// Splits a text into lines that end with a line feed, a carriage return, or both.
pub(super) fn lines(text: &str) -> Vec<Line<'_>> {
    let end = if text.contains('\n') { '\n' } else { '\r' };
    text.split(end).enumerate().map(|(rank, text)| Line { number: rank + 1, text: text.trim() }).collect()
}
