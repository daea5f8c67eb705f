//! BAM: BGZF blocks, decompressed in parallel, and the records in them.

use std::io::{self, BufRead, Read};
use std::num::NonZero;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::vec;

use noodles::bgzf::VirtualPosition;
use noodles::bgzf::io::{MultithreadedReader, Seek};

use crate::io::binning_index::Stretch;
use crate::io::input::{BGZF_END, Counted, RawInput};
use crate::reads::RecordReader;
use crate::reads::header::Header;
use crate::reads::index::Index;
use crate::{Error, Result};

/// Names of contigs, and their lengths in bases.
type Lengths = Vec<(String, u64)>;

/// Reads the records of a BAM file.
pub(crate) struct Reader {
    path: PathBuf,
    bgzf: MultithreadedReader<Counted<RawInput>>,
    stream: bool,
    index: Option<Index>,
    /// Stretches of the file that are still to be read, of a region.
    stretches: vec::IntoIter<Stretch>,
    /// End of the current stretch; `None` if all of the file is read.
    stretch_end: Option<VirtualPosition>,
    records: u64,
    ended: bool,
}

impl Reader {
    /// Reads the header, and the index if one is needed.
    ///
    /// # Errors
    /// A file that is cut short or damaged, no index, or one that is older than the file.
    pub(crate) fn new(
        path: &Path,
        input: RawInput,
        threads: usize,
        indexed: bool,
    ) -> Result<(Reader, Header)> {
        let stream = match &input {
            RawInput::Mapped(map) if !map.content().ends_with(&BGZF_END) => return Err(no_end(path)),
            RawInput::Mapped(_) => false,
            RawInput::Stream(_) => true,
        };
        let index = if indexed { Some(Index::beside(path)?) } else { None };
        let counted = Counted::new(input, Arc::new(AtomicU64::new(0)));
        let threads = NonZero::new(threads).unwrap_or(NonZero::<usize>::MIN);
        let bgzf = MultithreadedReader::with_worker_count(threads, counted);
        let stretches = Vec::new().into_iter();
        let mut reader = Reader {
            path: path.to_path_buf(),
            bgzf,
            stream,
            index,
            stretches,
            stretch_end: None,
            records: 0,
            ended: false,
        };
        let (text, contigs) = reader.header().map_err(|error| reader.error(error, "the header"))?;
        let header = Header::new(&text, contigs).map_err(|message| Error::format(path, None, message))?;
        Ok((reader, header))
    }

    /// The header's text, and the contigs (SAM specification, section 4.2).
    fn header(&mut self) -> io::Result<(Vec<u8>, Lengths)> {
        let mut magic = [0; 4];
        self.bgzf.read_exact(&mut magic)?;
        let (mut text, length) = (Vec::new(), self.number()?);
        self.bytes(length as usize, &mut text)?;
        let count = self.number()?;
        let mut contigs = Vec::new();
        for _ in 0..count {
            let (mut name, length) = (Vec::new(), self.number()?);
            self.bytes(length as usize, &mut name)?;
            name.pop_if(|last| *last == 0);
            // A header that is no text is refused with the name.
            let name = String::from_utf8(name).unwrap_or_default();
            contigs.push((name, u64::from(self.number()?)));
        }
        Ok((text, contigs))
    }

    fn number(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.bgzf.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Appends so many bytes to `out`, for which room is made as they come: a damaged length costs none.
    fn bytes(&mut self, count: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            let block = self.bgzf.fill_buf()?;
            if block.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let piece = &block[..block.len().min(left)];
            let taken = piece.len();
            out.extend_from_slice(piece);
            self.bgzf.consume(taken);
            left -= taken;
        }
        Ok(())
    }

    /// Goes to where the next record is; `false` if there is none.
    fn find_record(&mut self) -> io::Result<bool> {
        loop {
            match self.stretch_end {
                Some(end) if self.bgzf.virtual_position() >= end => {}
                None if self.index.is_some() => {}
                _ => return Ok(!self.bgzf.fill_buf()?.is_empty()),
            }
            let Some(stretch) = self.stretches.next() else { return Ok(false) };
            self.bgzf.seek_to_virtual_position(VirtualPosition::from(stretch.start))?;
            self.stretch_end = Some(VirtualPosition::from(stretch.end));
        }
    }

    fn read_record(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        if self.ended || !self.find_record()? {
            self.ended = self.index.is_none();
            return Ok(false);
        }
        let length = self.number()? as usize;
        self.bytes(length, out)?;
        self.records += 1;
        Ok(true)
    }

    fn error(&self, error: io::Error, what: &str) -> Error {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Error::format(&self.path, None, format!("it ends within {what}: it is cut short"));
        }
        let action = match self.index {
            Some(_) => "cannot decompress (damaged, or is its index that of another file?)",
            None => "cannot decompress (cut short or damaged?)",
        };
        Error::io(&self.path, action)(error)
    }
}

fn no_end(path: &Path) -> Error {
    let message = "the end-of-file block of BGZF is missing: it is cut short (samtools quickcheck)";
    Error::format(path, None, message)
}

impl RecordReader for Reader {
    fn read(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        let before = self.ended;
        let more = self.read_record(out).map_err(|error| {
            let what = format!("record {}", self.records + 1);
            self.error(error, &what)
        })?;
        if self.stream && self.ended && !before && !self.bgzf.get_mut().has_bgzf_end() {
            return Err(no_end(&self.path));
        }
        Ok(more)
    }

    fn go_to(&mut self, contig: usize, region: &Range<u64>) -> Result<()> {
        let index = self.index.as_ref().expect("regions have an index");
        self.stretches = index.stretches(contig, region)?.into_iter();
        self.stretch_end = None;
        Ok(())
    }

    fn position(&self) -> u64 {
        self.bgzf.position()
    }
}
