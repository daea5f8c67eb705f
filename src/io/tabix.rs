//! Indexes of sorted lines in BGZF, as tabix makes them: .tbi, or .csi where positions are too large for that.
//!
//! An entry is a run of lines of one block that lie in one of the smallest bins, or a block that was compressed elsewhere.

use std::ffi::OsString;
use std::path::PathBuf;

use noodles::bgzf::VirtualPosition;
use noodles::core::Position;
use noodles::csi;
use noodles::csi::binning_index::Indexer;
use noodles::csi::binning_index::index::header::format::CoordinateSystem;
use noodles::csi::binning_index::index::header::{Builder, Format, Header};
use noodles::csi::binning_index::index::reference_sequence::bin::Chunk;
use noodles::csi::binning_index::index::reference_sequence::{
    self, Metadata, index::BinnedIndex, index::LinearIndex,
};
use noodles::csi::binning_index::index::{Index, ReferenceSequence};
use noodles::tabix;

use crate::io::bbi::Block;
use crate::io::output::{Output, Sealed};
use crate::{Error, Result};

/// Columns that give the place of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Contig, start (0-based) and end in the first three.
    Bed,
    /// Contig in the first, start (1-based) and end in the fourth and fifth.
    Gff,
    /// Contig in the first, position (1-based) in the second.
    Position,
    /// Contig in the third, start (1-based) and end in the next two.
    Fimo,
    /// Contig in the second, start (1-based) and end in the next two.
    Homer,
    /// As VCF has it: contig and position, the end by REF, or by END in INFO.
    Vcf,
}

/// Past this position .tbi has no bins.
const LONGEST_TBI: u64 = 1 << 29;

/// Positions past this, where no contig reaches, are indexed here: numbers in a damaged VCF may be larger than any bin.
const LONGEST_CSI: u64 = 1 << 41;

/// Bits of the smallest bin's length.
const MIN_SHIFT: u8 = 14;

/// Lines of one contig in one block, sorted.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Rank of the contig among those that have lines.
    contig: usize,
    /// First base, 0-based.
    start: u64,
    /// Start of its last line.
    latest: u64,
    /// One past the last base.
    end: u64,
    /// Virtual position of the first line, and past the last.
    chunk: (u64, u64),
    /// Lines.
    lines: u64,
}

/// Collects the entries of an index: a few dozen bytes a block.
#[derive(Debug)]
pub(crate) struct IndexBuilder {
    /// The file to index; `None` if the output is not a file and has no index.
    path: Option<PathBuf>,
    layout: Layout,
    header_lines: u32,
    names: Vec<Vec<u8>>,
    entries: Vec<Entry>,
    /// Entries of the block at hand, with offsets within it for virtual positions.
    open: Vec<Entry>,
    /// Bytes of the blocks so far.
    written: u64,
    /// True if lines came that are not sorted: there is no index then.
    unsorted: bool,
}

impl IndexBuilder {
    /// An index of lines that follow so many lines of a header, beside `output`.
    ///
    /// # Errors
    /// An index that cannot be written there.
    pub(crate) fn new(output: &Output, layout: Layout, header_lines: u32) -> Result<IndexBuilder> {
        let path = output.target().map(std::path::Path::to_path_buf);
        let (names, entries, open) = (Vec::new(), Vec::new(), Vec::new());
        let unsorted = false;
        let index = IndexBuilder { path, layout, header_lines, names, entries, open, written: 0, unsorted };
        // An index that cannot be made is an error before anything is scanned.
        index.create("tbi")?;
        Ok(index)
    }

    fn create(&self, extension: &str) -> Result<Option<Output>> {
        self.beside(extension).map(|name| Output::create(&name)).transpose()
    }

    /// Paths at which an index of either kind is looked for.
    pub(crate) fn places(&self) -> Vec<PathBuf> {
        ["tbi", "csi"].into_iter().filter_map(|extension| self.beside(extension)).collect()
    }

    fn beside(&self, extension: &str) -> Option<PathBuf> {
        let mut name = OsString::from(self.path.as_ref()?);
        name.push(".");
        name.push(extension);
        Some(name.into())
    }

    fn contig(&mut self, name: &[u8]) -> usize {
        if self.names.last().is_none_or(|last| last != name) {
            self.names.push(name.to_vec());
        }
        self.names.len() - 1
    }

    /// Takes a line that starts at byte `offset` of the block at hand; or else says what is wrong with it.
    pub(crate) fn add_line(&mut self, line: &[u8], offset: usize) -> Result<(), &'static str> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let (name, start, end) = self.layout.place(line).ok_or("a line has no position")?;
        let (start, end) = (start.min(LONGEST_CSI - 1), end.min(LONGEST_CSI));
        let last = self.open.last().or(self.entries.last());
        let follows = match self.names.last() {
            Some(current) if current == name => last.is_none_or(|entry| entry.latest <= start),
            _ => !self.names.iter().any(|known| known == name),
        };
        self.unsorted |= !follows;
        if self.unsorted {
            return Ok(());
        }
        let contig = self.contig(name);
        match self.open.last_mut() {
            Some(entry) if entry.contig == contig && bin(entry.start) == bin(end.max(1) - 1) => {
                entry.end = entry.end.max(end);
                entry.latest = start;
                entry.lines += 1;
            }
            last => {
                if let Some(last) = last {
                    last.chunk.1 = offset as u64;
                }
                let chunk = (offset as u64, 0);
                self.open.push(Entry { contig, start, latest: start, end, chunk, lines: 1 });
            }
        }
        Ok(())
    }

    /// Ends the block at hand: of so many bytes, compressed to so many.
    pub(crate) fn end_block(&mut self, bytes: usize, compressed: usize) {
        let next = (self.written + compressed as u64) << 16;
        if let Some(last) = self.open.last_mut() {
            last.chunk.1 = bytes as u64;
        }
        for Entry { chunk: (from, to), .. } in &mut self.open {
            *from |= self.written << 16;
            *to = if *to == bytes as u64 { next } else { *to | self.written << 16 };
        }
        self.entries.append(&mut self.open);
        self.written += compressed as u64;
    }

    /// Takes a block of lines of one contig, compressed already.
    pub(crate) fn add_block(&mut self, contig: &str, block: &Block) {
        let contig = self.contig(contig.as_bytes());
        let chunk = (self.written << 16, (self.written + block.bytes as u64) << 16);
        self.entries.push(Entry {
            contig,
            start: block.start,
            latest: block.start,
            end: block.end,
            chunk,
            lines: block.items,
        });
        self.written += block.bytes as u64;
    }

    fn header(&self) -> Header {
        let contig = match self.layout {
            Layout::Fimo => 2,
            Layout::Homer => 1,
            Layout::Bed | Layout::Gff | Layout::Position | Layout::Vcf => 0,
        };
        let (format, start, end) = match self.layout {
            Layout::Bed => (Format::Generic(CoordinateSystem::Bed), 1, Some(2)),
            Layout::Gff | Layout::Fimo => (Format::Generic(CoordinateSystem::Gff), 3, Some(4)),
            Layout::Homer => (Format::Generic(CoordinateSystem::Gff), 2, Some(3)),
            Layout::Position => (Format::Generic(CoordinateSystem::Gff), 1, Some(1)),
            Layout::Vcf => (Format::Vcf, 1, None),
        };
        Builder::default()
            .set_format(format)
            .set_reference_sequence_name_index(contig)
            .set_start_position_index(start)
            .set_end_position_index(end)
            .set_line_comment_prefix(b'#')
            .set_line_skip_count(self.header_lines)
            .set_reference_sequence_names(self.names.iter().map(|name| name.as_slice().into()).collect())
            .build()
    }

    fn build<I>(&self, depth: u8) -> Result<Index<I>, Box<dyn std::error::Error + Send + Sync>>
    where
        I: reference_sequence::Index + Default + Clone,
    {
        let mut indexer = Indexer::<I>::new(MIN_SHIFT, depth).ok_or("too deep an index")?;
        for Entry { contig, start, end, chunk, .. } in &self.entries {
            let position = |position: u64| {
                Position::try_from(usize::try_from(position)?)
                    .map_err(Box::<dyn std::error::Error + Send + Sync>::from)
            };
            let chunk = Chunk::new(VirtualPosition::from(chunk.0), VirtualPosition::from(chunk.1));
            indexer.add_record(
                Some((*contig, position(start + 1)?, position((*end).max(start + 1))?, true)),
                chunk,
            )?;
        }
        let index = indexer.build(self.names.len());
        // The indexer counts entries; readers of the index want lines.
        let counted = index.reference_sequences().iter().zip(self.metadata()).map(|(contig, metadata)| {
            ReferenceSequence::new(contig.bins().clone(), contig.index().clone(), metadata)
        });
        let contigs = counted.collect();
        let builder = Index::builder().set_min_shift(MIN_SHIFT).set_depth(depth).set_header(self.header());
        // Every line has a place.
        let builder = builder.set_unplaced_unmapped_record_count(0);
        Ok(builder.set_reference_sequences(contigs).build())
    }

    /// The pseudo-bin of each contig, as htslib writes it: where its lines stand in the file, and how many there are. htslib
    /// needs it to read a file from its start through the index, and to count records.
    fn metadata(&self) -> Vec<Option<Metadata>> {
        let mut all: Vec<Option<Metadata>> = vec![None; self.names.len()];
        for &Entry { contig, chunk: (from, to), lines, .. } in &self.entries {
            let (from, before) = match &all[contig] {
                Some(known) => (known.start_position(), known.mapped_record_count()),
                None => (VirtualPosition::from(from), 0),
            };
            all[contig] = Some(Metadata::new(from, VirtualPosition::from(to), before + lines, 0));
        }
        all
    }

    /// Writes the index, if the lines were sorted.
    ///
    /// # Errors
    /// An index that cannot be written.
    pub(crate) fn seal(self) -> Result<Option<Sealed>> {
        if self.unsorted {
            if let Some(path) = &self.path {
                log::warn!("{}: has no index, as its lines are not sorted (bcftools sort)", path.display());
            }
            return Ok(None);
        }
        let furthest = self.entries.iter().map(|entry| entry.end).max().unwrap_or(0);
        let (extension, depth) = if furthest <= LONGEST_TBI { ("tbi", 5) } else { ("csi", depth(furthest)) };
        let Some(mut output) = self.create(extension)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let written = if furthest <= LONGEST_TBI {
            self.build::<LinearIndex>(depth).and_then(|index| {
                let mut writer = tabix::io::Writer::new(&mut bytes);
                writer.write_index(&index)?;
                Ok(writer.try_finish()?)
            })
        } else {
            self.build::<BinnedIndex>(depth).and_then(|index| {
                let mut writer = csi::io::Writer::new(&mut bytes);
                writer.write_index(&index)?;
                writer.into_inner().finish()?;
                Ok(())
            })
        };
        written.map_err(|error| Error::format(output.path(), None, format!("cannot be made: {error}")))?;
        output.write(&bytes)?;
        output.seal().map(Some)
    }
}

impl Layout {
    /// Contig, start (0-based) and end of a line.
    fn place(self, line: &[u8]) -> Option<(&[u8], u64, u64)> {
        let mut columns = line.split(|&byte| byte == b'\t');
        let before = match self {
            Layout::Fimo => 2,
            Layout::Homer => 1,
            Layout::Bed | Layout::Gff | Layout::Position | Layout::Vcf => 0,
        };
        let name = columns.nth(before)?;
        let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<u64>().ok();
        let (start, end) = match self {
            Layout::Bed => (number(columns.next()?)?, number(columns.next()?)?),
            Layout::Gff => (number(columns.nth(2)?)?.checked_sub(1)?, number(columns.next()?)?),
            Layout::Fimo | Layout::Homer => {
                (number(columns.next()?)?.checked_sub(1)?, number(columns.next()?)?)
            }
            Layout::Position => {
                let position = number(columns.next()?)?;
                (position.saturating_sub(1), position)
            }
            Layout::Vcf => {
                let start = number(columns.next()?)?.saturating_sub(1);
                let reference = columns.nth(1)?.len() as u64;
                let info = columns.nth(3)?;
                let stated = info.split(|&byte| byte == b';').find_map(|entry| entry.strip_prefix(b"END="));
                let end = stated.and_then(number).filter(|&end| end > start);
                (start, end.unwrap_or(start.saturating_add(reference)))
            }
        };
        Some((name, start, end))
    }
}

/// The smallest bin at a position.
fn bin(position: u64) -> u64 {
    position >> MIN_SHIFT
}

/// Levels of bins, below the one that holds everything, that reach so far.
fn depth(furthest: u64) -> u8 {
    (5..).find(|&depth| furthest <= 1 << (MIN_SHIFT + 3 * depth)).expect("each level reaches 8 times as far")
}
