//! Sources of variant calls: VCF (plain, gzip or BGZF) or BCF, from a file or standard input.

use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use noodles::{bcf, vcf};

use crate::io::guard;
use crate::io::input::{Input, RawInput};
use crate::variants::allele::Call;
use crate::variants::contigs::Contigs;
use crate::variants::index::{Stretches, index_beside};
use crate::{Error, Result};

/// Bytes of lines, or of records, that a worker takes at a time. What is cut where depends on nothing else.
const BATCH_BYTES: usize = 128 << 10;

/// Lines, or records, that it takes at the most.
const BATCH_RECORDS: usize = 1024;

/// Some records, in order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Number of the first line (1-based, of the whole file), or of the first record of a BCF.
    pub(crate) first: u64,
    /// Lines, each with its end, of VCF.
    pub(crate) text: Vec<u8>,
    /// Records of BCF, of which the first `count` are meant.
    pub(crate) records: Vec<bcf::Record>,
    pub(crate) count: usize,
    /// Bytes of the record at hand.
    bytes: Vec<u8>,
    /// Bytes of the input that were read ([`Calls::progress`]).
    pub(crate) progress: (u64, Option<u64>),
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
    Vcf(Records),
    Bcf(Records, Arc<vcf::Header>),
}

/// Source of records.
enum Records {
    All(Input),
    /// The stretches of a file that an index tells of.
    Some(Box<Stretches>),
}

impl Records {
    /// True if there may be another record.
    fn go_on(&mut self) -> io::Result<bool> {
        match self {
            Records::All(_) => Ok(true),
            Records::Some(stretches) => stretches.go_on(),
        }
    }

    fn text(&mut self) -> &mut dyn BufRead {
        match self {
            Records::All(input) => input,
            Records::Some(stretches) => stretches,
        }
    }

    fn read_action(&self) -> &'static str {
        match self {
            Records::All(input) => input.read_action(),
            Records::Some(_) => "cannot read",
        }
    }

    fn progress(&self) -> (u64, Option<u64>) {
        match self {
            Records::All(input) => input.progress(),
            Records::Some(stretches) => stretches.progress(),
        }
    }
}

/// With which BCF starts: the magic number and the version (2.1 and 2.2 are read alike).
const MAGIC: &[u8] = b"BCF\x02";

/// The first line of a VCF.
const VERSION: &[u8; 21] = b"##fileformat=VCFv4.2\n";

/// Bytes of a BCF before its header's text.
const BCF_START: usize = 9;

/// The columns that every VCF has.
const COLUMNS: [&[u8]; 8] = [b"#CHROM", b"POS", b"ID", b"REF", b"ALT", b"QUAL", b"FILTER", b"INFO"];

impl Calls {
    /// Opens `path`, or standard input if it is `-`, and reads the header. Compression and format are recognised by
    /// content.
    ///
    /// # Errors
    /// Errors of reading, and input that is neither VCF nor BCF.
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
            return Calls::from_bcf(path, input);
        }
        let mut header = Vec::new();
        let mut lines = 0;
        loop {
            let mut from = header.len();
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
                if !line.starts_with(b"##") && !line.starts_with(b"#CHROM\t") {
                    return Err(Error::format(path, lines, no_header(line)));
                }
                log::warn!("{}: has no ##fileformat line; it is read as VCF 4.2", path.display());
                header.splice(..0, *VERSION);
                from = VERSION.len();
            }
            let line = &header[from..];
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
        let form = Form::Vcf(Records::All(input));
        Ok(Calls { path: path.to_path_buf(), header, form, read: lines })
    }

    fn from_bcf(path: &Path, mut input: Input) -> Result<Calls> {
        let action = input.read_action();
        let damaged =
            |why: &str| Error::format(path, None, format!("the header of this BCF cannot be read: {why}"));
        // The header's length stands behind magic number and minor version; it may be more than there is.
        let mut whole = Vec::new();
        input.by_ref().take(BCF_START as u64).read_to_end(&mut whole).map_err(Error::io(path, action))?;
        let length = whole.last_chunk().filter(|_| whole.len() == BCF_START);
        let length = length.map_or(u64::MAX, |&length| u32::from_le_bytes(length).into());
        let count = input.by_ref().take(length).read_to_end(&mut whole).map_err(Error::io(path, action))?;
        if count as u64 != length {
            return Err(damaged("the file ends within it"));
        }
        let parsed = match guard::caught(|| bcf::io::Reader::from(&*whole).read_header()) {
            Some(parsed) => parsed.map_err(|error| damaged(&error.to_string()))?,
            None => return Err(damaged("it is damaged")),
        };
        let header = without_numbers(&whole[BCF_START..]);
        let form = Form::Bcf(Records::All(input), Arc::new(parsed));
        Ok(Calls { path: path.to_path_buf(), header, form, read: 0 })
    }

    /// Reads on only where an index beside the file says that records of `regions` (a list for each contig of the genome)
    /// are; `false` if there is none.
    ///
    /// # Errors
    /// A file that cannot be opened again.
    pub(crate) fn select(&mut self, contigs: &Contigs<'_>, regions: &[Vec<Range<u64>>]) -> Result<bool> {
        if self.path == Path::new("-") {
            return Ok(false);
        }
        // A pipe cannot be read twice.
        if !self.path.is_file() || !RawInput::open(&self.path)?.is_bgzf() {
            log::info!("{}: not a BGZF file, and without an index; all of it is read", self.path.display());
            return Ok(false);
        }
        let extensions: &[&str] = match self.form {
            Form::Vcf(_) => &["tbi", "csi"],
            Form::Bcf(..) => &["csi"],
        };
        let Some(index) = index_beside(&self.path, extensions) else { return Ok(false) };
        let mut stretches = Vec::new();
        let mut add = |rank: usize, name: &[u8]| {
            if let Some(contig) = contigs.find(name) {
                index.stretches(rank, &regions[contig.id], &mut stretches);
            }
        };
        match &self.form {
            Form::Bcf(_, header) if index.names.is_empty() => {
                let names = header.string_maps().contigs();
                (0..).map_while(|rank| Some((rank, names.get_index(rank)?))).for_each(|(rank, name)| {
                    add(rank, name.as_bytes());
                });
            }
            _ => index.names.iter().enumerate().for_each(|(rank, name)| add(rank, name)),
        }
        let records = Records::Some(Box::new(Stretches::open(&self.path, stretches)?));
        match &mut self.form {
            Form::Vcf(all) | Form::Bcf(all, _) => *all = records,
        }
        Ok(true)
    }

    /// Name of the input of calls, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The header as it is in the file.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The header by which the records of a BCF are read.
    pub(crate) fn record_header(&self) -> Option<Arc<vcf::Header>> {
        match &self.form {
            Form::Vcf(_) => None,
            Form::Bcf(_, header) => Some(Arc::clone(header)),
        }
    }

    /// Fills `batch` with the next records; `false` at the end.
    pub(crate) fn read(&mut self, batch: &mut Batch) -> Result<bool> {
        batch.first = self.read + 1;
        batch.text.clear();
        batch.count = 0;
        let (path, read) = (&self.path, self.read);
        match &mut self.form {
            Form::Vcf(records) => {
                let failed = Error::io(path, records.read_action());
                batch.read_lines(records).map_err(failed)?;
                batch.progress = records.progress();
            }
            Form::Bcf(records, _) => {
                batch.read_records(records).map_err(|error| {
                    let number = read + batch.count as u64 + 1;
                    let message = format!("record {number} cannot be read (cut short or damaged?): {error}");
                    Error::format(path, None, message)
                })?;
                batch.progress = records.progress();
            }
        }
        self.read += batch.count as u64;
        Ok(batch.count > 0)
    }
}

impl Batch {
    fn read_lines(&mut self, records: &mut Records) -> io::Result<()> {
        while self.text.len() < BATCH_BYTES && self.count < BATCH_RECORDS && records.go_on()? {
            if records.text().read_until(b'\n', &mut self.text)? == 0 {
                break;
            }
            if !self.text.ends_with(b"\n") {
                // The last line of a file may lack its end; what is written does not.
                self.text.push(b'\n');
            }
            self.count += 1;
        }
        Ok(())
    }

    fn read_records(&mut self, records: &mut Records) -> io::Result<()> {
        let mut bytes = 0;
        while bytes < BATCH_BYTES && self.count < BATCH_RECORDS && records.go_on()? {
            if !read_record_bytes(records.text(), &mut self.bytes)? {
                break;
            }
            if self.records.len() == self.count {
                self.records.push(bcf::Record::default());
            }
            let record = &mut self.records[self.count];
            let bytes_of_record = &*self.bytes;
            let parsed = guard::caught(|| bcf::io::Reader::from(bytes_of_record).read_record(record));
            parsed.unwrap_or_else(|| Err(io::Error::other("its fields do not fit together")))?;
            bytes += self.bytes.len();
            self.count += 1;
        }
        Ok(())
    }
}

/// Puts the bytes of the next record of a BCF in place of what is in `bytes`; `false` at the end. Memory is taken for what
/// is there, whatever the record says of its lengths.
fn read_record_bytes(input: &mut dyn BufRead, bytes: &mut Vec<u8>) -> io::Result<bool> {
    /// Bytes of the two lengths that a record begins with (VCF specification, section 6.3).
    const LENGTHS: usize = 8;
    bytes.clear();
    if input.take(LENGTHS as u64).read_to_end(bytes)? == 0 {
        return Ok(false);
    }
    let length =
        |at: usize| bytes[at..].first_chunk().map_or(u64::MAX, |&length| u32::from_le_bytes(length).into());
    let wanted = if bytes.len() == LENGTHS { length(0) + length(4) } else { u64::MAX };
    if input.take(wanted).read_to_end(bytes)? as u64 != wanted {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends within it"));
    }
    Ok(true)
}

/// Says what a file without the first line of a VCF is.
fn no_header(line: &[u8]) -> &'static str {
    match Call::parse(line.trim_ascii_end()) {
        Ok(_) => {
            "this VCF has no header: ##fileformat=VCFv4.2 and a #CHROM line belong before its first record"
        }
        Err(_) => "this is neither VCF nor BCF: a VCF starts with ##fileformat=VCFv4",
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
