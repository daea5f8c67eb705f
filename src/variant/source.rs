//! Where calls come from: VCF, plain, gzip or BGZF, or BCF; a file or standard input.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use noodles::{bcf, vcf};

use crate::source::input::Input;
use crate::{Error, Result};

/// Bytes of lines, or of records, that a worker takes at a time. What is cut where depends on nothing else.
const BATCH_BYTES: usize = 128 << 10;

/// Lines, or records, that it takes at the most.
const BATCH_RECORDS: usize = 1024;

/// Some records, in order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Number of the first line (1-based, of the whole file), or of the first record of a BCF.
    pub(super) first: u64,
    /// Lines, each with its end, of VCF.
    pub(super) text: Vec<u8>,
    /// Records of BCF, of which the first `count` are meant.
    pub(super) records: Vec<bcf::Record>,
    pub(super) count: usize,
    /// How far the input was read ([`Calls::progress`]).
    pub(super) progress: (u64, Option<u64>),
}

/// Calls that are read in order.
pub struct Calls {
    path: PathBuf,
    /// Lines of the header, each with its end, from `##fileformat` to `#CHROM`.
    header: Vec<u8>,
    form: Form,
    /// Lines, or records, read so far.
    read: u64,
}

enum Form {
    Vcf(Input),
    Bcf(Box<bcf::io::Reader<Input>>, Arc<vcf::Header>),
}

/// With which BCF starts: the magic number and the version (2.1 and 2.2 are read alike).
const MAGIC: &[u8] = b"BCF\x02";

/// The columns that every VCF has.
const COLUMNS: [&[u8]; 8] = [b"#CHROM", b"POS", b"ID", b"REF", b"ALT", b"QUAL", b"FILTER", b"INFO"];

impl Calls {
    /// Opens `path`, or standard input if it is `-`, and reads the header. Compression and format are recognised by
    /// content.
    ///
    /// # Errors
    /// What cannot be read, or is neither VCF nor BCF.
    pub fn open(path: &Path) -> Result<Calls> {
        Calls::new(path, Input::open(path)?)
    }

    /// Reads the header from an input that is open already; `path` stands for it in messages.
    ///
    /// # Errors
    /// As [`Calls::open`].
    pub fn new(path: &Path, mut input: Input) -> Result<Calls> {
        let action = input.read_action();
        let start = input.fill_buf().map_err(Error::io(path, action))?;
        if start.starts_with(MAGIC) {
            return Calls::of_bcf(path, input);
        }
        let mut header = Vec::new();
        let mut lines = 0;
        loop {
            let from = header.len();
            if input.read_until(b'\n', &mut header).map_err(Error::io(path, action))? == 0 {
                let message = match header.is_empty() {
                    true => "is empty; a VCF or BCF is expected",
                    false => "the header of this VCF has no #CHROM line: is the file cut short?",
                };
                return Err(Error::format(path, None, message));
            }
            lines += 1;
            let line = &header[from..];
            if lines == 1 && !line.starts_with(b"##fileformat=VCF") {
                let message = "this is neither VCF nor BCF: a VCF starts with ##fileformat=VCFv4";
                return Err(Error::format(path, lines, message));
            }
            if line.starts_with(b"#CHROM") {
                let columns = line.trim_ascii_end().split(|&byte| byte == b'\t');
                if !columns.take(COLUMNS.len()).eq(COLUMNS) {
                    let message = "the #CHROM line does not begin with the eight columns of VCF, with tabs between them: is the file cut short?";
                    return Err(Error::format(path, lines, message));
                }
                if !line.ends_with(b"\n") {
                    header.push(b'\n');
                }
                break;
            }
            if !line.starts_with(b"##") {
                let message = "a line of the header that starts with ##, or #CHROM, is expected here";
                return Err(Error::format(path, lines, message));
            }
        }
        Ok(Calls { path: path.to_path_buf(), header, form: Form::Vcf(input), read: lines })
    }

    fn of_bcf(path: &Path, input: Input) -> Result<Calls> {
        let action = input.read_action();
        let mut reader = bcf::io::Reader::from(input);
        let mut header = Vec::new();
        let mut read = || {
            let mut parts = reader.header_reader();
            parts.read_magic_number()?;
            parts.read_format_version()?;
            let mut text = parts.raw_vcf_header_reader()?;
            text.read_to_end(&mut header)?;
            text.discard_to_end()
        };
        read().map_err(Error::io(path, action))?;
        // The parser wants the whole of it once more: the numbers by which records name contigs and fields are in it.
        let length = u32::try_from(header.len()).unwrap_or(u32::MAX).to_le_bytes();
        let whole = [MAGIC, &[2], &length, &header].concat();
        let parsed = bcf::io::Reader::from(&*whole).read_header().map_err(|error| {
            Error::format(path, None, format!("the header of this BCF cannot be read: {error}"))
        })?;
        let header = without_numbers(&header);
        let form = Form::Bcf(Box::new(reader), Arc::new(parsed));
        Ok(Calls { path: path.to_path_buf(), header, form, read: 0 })
    }

    /// Where the calls come from, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The header as it is in the file.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The header by which the records of a BCF are read.
    pub(super) fn record_header(&self) -> Option<Arc<vcf::Header>> {
        match &self.form {
            Form::Vcf(_) => None,
            Form::Bcf(_, header) => Some(Arc::clone(header)),
        }
    }

    /// Fills `batch` with the next records; `false` at the end.
    pub(super) fn read(&mut self, batch: &mut Batch) -> Result<bool> {
        batch.first = self.read + 1;
        batch.text.clear();
        batch.count = 0;
        match &mut self.form {
            Form::Vcf(input) => {
                let action = input.read_action();
                while batch.text.len() < BATCH_BYTES && batch.count < BATCH_RECORDS {
                    let count = input.read_until(b'\n', &mut batch.text);
                    if count.map_err(Error::io(&self.path, action))? == 0 {
                        break;
                    }
                    batch.count += 1;
                }
                batch.progress = input.progress();
            }
            Form::Bcf(reader, _) => {
                let mut bytes = 0;
                while bytes < BATCH_BYTES && batch.count < BATCH_RECORDS {
                    if batch.records.len() == batch.count {
                        batch.records.push(bcf::Record::default());
                    }
                    let count = reader.read_record(&mut batch.records[batch.count]).map_err(|error| {
                        let number = self.read + batch.count as u64 + 1;
                        let message =
                            format!("record {number} cannot be read (cut short or damaged?): {error}");
                        Error::format(&self.path, None, message)
                    })?;
                    if count == 0 {
                        break;
                    }
                    bytes += count;
                    batch.count += 1;
                }
                batch.progress = reader.get_ref().progress();
            }
        }
        self.read += batch.count as u64;
        Ok(batch.count > 0)
    }
}

/// The header of a BCF as one of VCF: without the numbers that only BCF needs, and with an end to its last line.
fn without_numbers(header: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(header.len());
    for line in header.split(|&byte| byte == b'\n' || byte == 0).filter(|line| !line.is_empty()) {
        let digits = line.strip_suffix(b">").unwrap_or(line).trim_ascii_end();
        let bare = digits.iter().rposition(|byte| !byte.is_ascii_digit()).map(|last| &digits[..=last]);
        match bare.and_then(|bare| bare.strip_suffix(b",IDX=")) {
            Some(bare) => text.extend_from_slice(&[bare, b">"].concat()),
            None => text.extend_from_slice(line),
        }
        text.push(b'\n');
    }
    text
}
