//! FASTA: plain files through a memory map and an index, everything else as a stream.
//!
//! Accepted: lines of any length, equal or not, ended by LF or CRLF, the last one by nothing; blank lines; upper
//! and lower case; U for T; IUPAC ambiguity letters, read as N. gzip and BGZF are recognised by content.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::input::{Input, Stream};
use super::region::{Segment, Selection, WHOLE};
use super::{Chunk, ChunkShape, SequenceSource};
use crate::Result;
use crate::genome::{Contig, RegionQuery};

mod index;
mod reader;

use reader::Reader;

/// How a FASTA is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FastaOptions {
    /// Read lower-case (soft-masked) letters as N.
    pub mask_lowercase: bool,
    /// Read these regions only; everything if there are none.
    pub regions: Vec<RegionQuery>,
}

/// Opens a FASTA file, or standard input if `path` is `-`.
///
/// Regular files that are not compressed are mapped and indexed: by the `.fai` beside them if that is at least as
/// new and fits, otherwise in memory. Names and regions are then checked here; on a stream as it is read.
///
/// # Errors
/// The input cannot be read, is no FASTA, or names a contig twice; a region that it does not have.
pub fn open(path: &Path, options: &FastaOptions) -> Result<Fasta> {
    Fasta::new(path, Input::open(path)?, options)
}

/// Reads FASTA text, plain, gzip or BGZF, from any reader; `path` stands for it in messages.
///
/// # Errors
/// As [`open`], as far as the text up to the first header shows.
pub fn from_reader(reader: impl Read + Send + 'static, path: &Path, options: &FastaOptions) -> Result<Fasta> {
    Fasta::new(path, Input::Stream(Stream::new(path, reader, None)?), options)
}

/// A FASTA that has been opened and not read yet.
#[derive(Debug)]
pub struct Fasta {
    reader: Reader,
    selection: Option<Selection>,
}

impl Fasta {
    fn new(path: &Path, input: Input, options: &FastaOptions) -> Result<Fasta> {
        let reader = Reader::new(path, input, options.mask_lowercase)?;
        let mut selection = (!options.regions.is_empty()).then(|| Selection::new(options.regions.clone()));
        if let (Some(selection), true) = (&mut selection, reader.is_indexed()) {
            selection.resolve(reader.contigs())?;
        }
        Ok(Fasta { reader, selection })
    }

    /// All contigs with their lengths if the file is indexed; `None` on a stream, which has to be read first.
    pub fn contigs(&self) -> Option<&[Arc<Contig>]> {
        self.reader.is_indexed().then(|| self.reader.contigs())
    }

    /// Starts to cut the contigs into chunks.
    ///
    /// # Panics
    /// If `shape.own` is 0, or `shape.right` less than `shape.reach`.
    pub fn into_chunks(self, shape: ChunkShape) -> FastaSource {
        assert!(shape.own > 0 && shape.right >= shape.reach);
        FastaSource {
            reader: self.reader,
            selection: self.selection,
            shape,
            contig: None,
            segments: Vec::new().into_iter(),
            segment: None,
            carry: Vec::new(),
            carry_start: 0,
            finished: false,
        }
    }
}

/// A FASTA as a source of chunks.
pub struct FastaSource {
    reader: Reader,
    selection: Option<Selection>,
    shape: ChunkShape,
    contig: Option<Arc<Contig>>,
    /// What is still wanted of the contig.
    segments: std::vec::IntoIter<Segment>,
    /// What is still wanted of the segment, and whether a chunk of it has been given.
    segment: Option<(Segment, bool)>,
    /// Codes that end where the reader stands and that the next chunk may need again.
    carry: Vec<u8>,
    carry_start: u64,
    finished: bool,
}

impl fmt::Debug for FastaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FastaSource").field("reader", &self.reader).field("shape", &self.shape).finish()
    }
}

impl SequenceSource for FastaSource {
    fn contigs(&self) -> &[Arc<Contig>] {
        self.reader.contigs()
    }

    fn read_chunk(&mut self, chunk: &mut Chunk) -> Result<bool> {
        loop {
            if let Some((segment, begun)) = self.segment.take() {
                self.fill(chunk, segment, begun)?;
                return Ok(true);
            }
            self.segment = self.segments.next().map(|segment| (segment, false));
            if self.segment.is_none() && !self.next_contig()? {
                return Ok(false);
            }
        }
    }

    fn end_contig(&mut self) -> Result<()> {
        self.reader.end_contig()
    }

    fn progress(&self) -> (u64, Option<u64>) {
        self.reader.progress()
    }
}

impl FastaSource {
    /// Goes to the next contig; `false` if nothing more is wanted.
    fn next_contig(&mut self) -> Result<bool> {
        if self.finished || self.selection.as_ref().is_some_and(Selection::is_complete) {
            return Ok(false);
        }
        let Some(contig) = self.reader.next_contig()? else {
            self.finished = true;
            return match &self.selection {
                Some(selection) => selection.finish(self.reader.contigs()).map(|()| false),
                None => Ok(false),
            };
        };
        let segments = match &mut self.selection {
            Some(selection) => selection.take(&contig)?,
            None => vec![WHOLE],
        };
        self.segments = segments.into_iter();
        self.contig = Some(contig);
        self.carry.clear();
        self.carry_start = 0;
        Ok(true)
    }

    /// Fills `chunk` with the first window starts of `segment`, and keeps what is left of it.
    fn fill(&mut self, chunk: &mut Chunk, segment: Segment, begun: bool) -> Result<()> {
        let ChunkShape { own, left, right, reach } = self.shape;
        let own_stop = segment.start.saturating_add(own as u64).min(segment.end);
        chunk.start = segment.start.saturating_sub(left as u64);
        chunk.codes.clear();
        // One base past the owned starts, at the least, tells whether the contig goes on.
        let wanted = own_stop.saturating_add(right.max(1) as u64);
        let contig_end = self.read_codes(chunk, wanted)?;
        if let Some(length) = contig_end
            && (length < segment.end || length == 0)
        {
            self.check_length(length)?;
        }
        if contig_end.is_some() {
            self.contig = self.reader.contig().cloned();
        }
        let segment_end = contig_end.map_or(segment.end, |length| segment.end.min(length));
        let own_end = own_stop.min(segment_end);
        let last = own_end == segment_end;
        self.keep(chunk, own_end.saturating_sub(left as u64));
        let reached = own_end.saturating_add(right as u64) - chunk.start;
        chunk.codes.truncate(usize::try_from(reached).unwrap_or(usize::MAX));
        chunk.own = segment.start..own_end;
        chunk.end = if last { segment_end } else { segment_end.min(own_end.saturating_add(reach as u64)) };
        chunk.first = !begun;
        chunk.last = last;
        chunk.contig.clone_from(self.contig.as_ref().expect("segments belong to a contig"));
        self.segment = (!last).then_some((own_end..segment.end, true));
        Ok(())
    }

    /// Puts contig positions from `chunk.start` to `wanted` into the chunk; gives the contig's length if it ends
    /// before.
    fn read_codes(&mut self, chunk: &mut Chunk, wanted: u64) -> Result<Option<u64>> {
        let position = self.reader.position();
        if chunk.start <= position {
            let kept = (chunk.start - self.carry_start) as usize;
            chunk.codes.extend_from_slice(&self.carry[kept..]);
        } else {
            self.reader.skip_to(chunk.start)?;
        }
        let count = wanted.saturating_sub(self.reader.position());
        let short = self.reader.read(count, &mut chunk.codes)? < count;
        Ok(short.then(|| self.reader.position()))
    }

    /// Keeps the codes from contig position `from` on for the next chunk.
    fn keep(&mut self, chunk: &Chunk, from: u64) {
        self.carry.clear();
        self.carry_start = from.max(chunk.start);
        let skipped = (self.carry_start - chunk.start) as usize;
        self.carry.extend_from_slice(&chunk.codes[skipped.min(chunk.codes.len())..]);
    }

    fn check_length(&self, length: u64) -> Result<()> {
        match (&self.selection, &self.contig) {
            (Some(selection), Some(contig)) => selection.check_length(contig, length),
            _ => Ok(()),
        }
    }
}
