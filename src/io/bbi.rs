//! The container of bigWig and bigBed: blocks of data, found by place through an R-tree and by contig name through a B+
//! tree, and summaries at ever coarser resolutions.
//!
//! Layout: Kent et al. 2010, "BigWig and BigBed", Bioinformatics 26:2204, supplement. The file is written in one pass:
//! blocks first, as they come, then contigs, indexes and zoom levels, and at last the header in front. In memory are 16
//! bytes a block and a bounded part of each zoom level; the rest of those waits in files without a name.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use crate::io::checksum;
use crate::io::checksum::crc32;
use crate::io::deflate::Deflater;
use crate::io::output::{Output, Sealed};
use crate::seq::contig::Contig;
use crate::{Error, Result};

mod tree;
mod zoom;

pub(crate) use self::zoom::{Cell, Summary};
use crate::io::bbi::tree::{Place, block_tree, contig_tree, put_u32, put_u64};
use crate::io::bbi::zoom::Level;

/// Fastest compression: higher levels cost more time than the scan and give a tenth.
pub(crate) const LEVEL: i32 = 1;

/// Zoom levels of a file, at the most: what readers have room for.
const LEVELS: usize = 10;

/// Factor between the resolutions of successive levels.
const STEP: u64 = 4;

/// Bytes of the fixed header, and of the zoom headers.
const HEADER: usize = 64 + 24 * LEVELS;

/// Bytes of the summary of everything.
const SUMMARY: usize = 40;

/// A block of data as it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    /// First base, 0-based.
    pub(crate) start: u64,
    /// One past the last.
    pub(crate) end: u64,
    /// Bytes in the file.
    pub(crate) bytes: usize,
    /// Values or lines in it.
    pub(crate) items: u64,
}

/// Contents that a format puts into the container.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) magic: u32,
    /// Columns of an item and their description; bigBed's.
    pub(crate) columns: u16,
    pub(crate) auto_sql: String,
    /// Items of a block, at the most.
    pub(crate) items: u32,
}

/// Of a bigBed's columns, those that are BED's own.
const BED_COLUMNS: u16 = 6;

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct BigFile {
    content: Content,
    output: Output,
    /// Bytes between the headers and the summary.
    comments: String,
    blocks: Vec<Place>,
    /// Items so far, and bytes of the longest block, uncompressed.
    items: u64,
    longest: usize,
    /// Bytes of blocks so far.
    written: u64,
    /// Checksum of what stands behind the front, if one is written.
    checksum: Option<u32>,
    levels: Vec<Level>,
    summary: Summary,
    deflater: Deflater,
}

impl BigFile {
    /// A file of such a content. Zoom levels summarise cells of `finest` bases and more. `checked` is whether
    /// a checksum stands behind the comments.
    ///
    /// # Errors
    /// An output that is no file: the header is written last.
    pub(crate) fn new(
        content: Content,
        output: Output,
        finest: u64,
        comments: &str,
        checked: bool,
    ) -> Result<BigFile> {
        let Some(target) = output.target() else {
            let message = "this format needs a file to be written to, not a pipe or device";
            return Err(Error::format(output.path(), None, message));
        };
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new(".")).to_path_buf();
        let reductions = std::iter::successors(Some(finest), |reduction| reduction.checked_mul(STEP));
        let reductions = reductions.take_while(|&reduction| reduction <= u32::MAX.into()).take(LEVELS);
        let levels = reductions.map(|reduction| Level::new(reduction, &directory)).collect();
        let mut file = BigFile {
            content,
            output,
            comments: if checked { comments.to_owned() + &checksum::comment(0) } else { comments.to_owned() },
            blocks: Vec::new(),
            items: 0,
            longest: 0,
            written: 0,
            checksum: checked.then_some(0),
            levels,
            summary: Summary::EMPTY,
            deflater: Deflater::new(LEVEL),
        };
        let front = vec![0; file.data_offset() as usize];
        file.output.write(&front)?;
        Ok(file)
    }

    /// Offset of the first block: after the headers, columns, comments, summary and number of items.
    fn data_offset(&self) -> u64 {
        (HEADER + self.columns().len() + self.comments.len() + SUMMARY + 8) as u64
    }

    /// The description of the columns, as it is written.
    fn columns(&self) -> Vec<u8> {
        let text = self.content.auto_sql.as_bytes();
        let end: &[u8] = if text.is_empty() { &[] } else { &[0] };
        [text, end].concat()
    }

    /// Appends blocks of `contig`, one after the other in `bytes`, and takes the cells of the finest zoom level (or parts of
    /// them) that summarise them. They hold so many items, and the longest so many bytes before it was compressed. Contigs
    /// come in the order of their ids, everything sorted by start.
    ///
    /// # Errors
    /// An output that cannot be written; a contig too long for the format.
    pub(crate) fn write(
        &mut self,
        contig: &Contig,
        bytes: &[u8],
        blocks: &[Block],
        cells: &[Cell],
        (items, longest): (u64, usize),
    ) -> Result<()> {
        self.items += items;
        self.longest = self.longest.max(longest);
        let id = self.number(contig)?;
        for block in blocks {
            let start = self.position(contig, block.start)?;
            let end = self.position(contig, block.end)?;
            self.blocks.push(Place { contig: id, start, end, bytes: block.bytes as u32 });
        }
        self.put(bytes)?;
        self.written += bytes.len() as u64;
        for cell in cells {
            self.summary.merge(&cell.summary);
            self.add(0, id, cell).map_err(Error::io(self.output.path(), "cannot write"))?;
        }
        Ok(())
    }

    /// Hands a cell to zoom level `from`, and the cells that this ends to the coarser ones.
    fn add(&mut self, from: usize, contig: u32, cell: &Cell) -> io::Result<()> {
        let (mut contig, mut cell) = (contig, *cell);
        for level in &mut self.levels[from..] {
            let before = level.contig();
            let Some(ended) = level.add(contig, &cell, &mut self.deflater)? else { break };
            (contig, cell) = (before, ended);
        }
        Ok(())
    }

    fn number(&self, contig: &Contig) -> Result<u32> {
        u32::try_from(contig.id).map_err(|_| {
            Error::format(self.output.path(), None, "this format holds 2^32 contigs at the most")
        })
    }

    fn position(&self, contig: &Contig, position: u64) -> Result<u32> {
        u32::try_from(position).map_err(|_| {
            let message = format!("{}: this format holds contigs of less than 2^32 bases", contig.name);
            Error::format(self.output.path(), None, message)
        })
    }

    /// Writes indexes, zoom levels and header. `contigs` are all, in the order of their ids; one whose length is not known
    /// counts as long as its data reaches.
    ///
    /// # Errors
    /// As [`BigFile::write`].
    pub(crate) fn seal(mut self, contigs: &[Arc<Contig>]) -> Result<Sealed> {
        for i in 0..self.levels.len() {
            let contig = self.levels[i].contig();
            let ended = self.levels[i].end(&mut self.deflater);
            let ended = ended.map_err(Error::io(self.output.path(), "cannot write"))?;
            if let Some(cell) = ended
                && i + 1 < self.levels.len()
            {
                self.add(i + 1, contig, &cell).map_err(Error::io(self.output.path(), "cannot write"))?;
            }
        }
        let mut lengths = vec![0; contigs.len()];
        for block in &self.blocks {
            let length = lengths.get_mut(block.contig as usize).ok_or_else(|| {
                let message =
                    "holds values of a contig that the input does not have: it goes on from a damaged state";
                Error::format(self.output.path(), None, message)
            })?;
            *length = block.end.max(*length);
        }
        let mut listed = Vec::with_capacity(contigs.len());
        for (contig, reached) in contigs.iter().zip(lengths) {
            let length = match contig.length {
                Some(length) => self.position(contig, length)?,
                None => reached,
            };
            // Readers refuse a contig without a base, and take the ids to count from 0 without a gap: it stays, as one base.
            let length = length.max(1);
            listed.push((contig.name.as_str(), self.number(contig)?, length));
        }
        let longest = listed.iter().map(|&(.., length)| u64::from(length)).max().unwrap_or(0);

        let contig_offset = self.data_offset() + self.written;
        let contig_tree = contig_tree(listed, contig_offset);
        self.put(&contig_tree)?;
        let index_offset = contig_offset + contig_tree.len() as u64;
        let items = self.content.items;
        let index = block_tree(&self.blocks, self.data_offset(), items, (index_offset, contig_offset));
        self.put(&index)?;

        let mut offset = index_offset + index.len() as u64;
        let (mut headers, mut finer) = (Vec::new(), u64::MAX);
        for mut level in std::mem::take(&mut self.levels) {
            // A level that joins nothing shows nothing that the one before does not.
            if level.reduction >= longest || level.records == finer || level.records == 0 {
                break;
            }
            finer = level.records;
            let end = self.write_level(&mut level, offset)?;
            put_u32(&mut headers, level.reduction as u32);
            put_u32(&mut headers, 0);
            put_u64(&mut headers, offset);
            put_u64(&mut headers, end.0);
            offset = end.1;
        }
        self.put(&self.content.magic.to_le_bytes())?;
        let mut front = self.front(&headers, contig_offset, index_offset);
        if let Some(checksum) = self.checksum {
            let checksum = checksum::comment(crc32(checksum, &front));
            let end = front.len() - SUMMARY - 8;
            front[end - checksum.len()..end].copy_from_slice(checksum.as_bytes());
        }
        self.output.write_front(&front)?;
        self.output.seal()
    }

    /// Appends what follows the front.
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(checksum) = &mut self.checksum {
            *checksum = crc32(*checksum, bytes);
        }
        self.output.write(bytes)
    }

    /// Writes a zoom level at `offset`; gives where its index starts, and where that ends.
    fn write_level(&mut self, level: &mut Level, offset: u64) -> Result<(u64, u64)> {
        self.put(&(level.records as u32).to_le_bytes())?;
        let data = offset + 4;
        let mut at = data;
        let path = self.output.path().to_path_buf();
        let mut piece = vec![0; 256 << 10];
        let spool = level.spool().map_err(Error::io(&path, "cannot write"))?;
        loop {
            let count = spool.read(&mut piece).map_err(Error::io(&path, "cannot write"))?;
            if count == 0 {
                break;
            }
            self.put(&piece[..count])?;
            at += count as u64;
        }
        let index = block_tree(&level.blocks, data, zoom::RECORDS as u32, (at, at));
        self.put(&index)?;
        Ok((at, at + index.len() as u64))
    }

    fn front(&self, zoom_headers: &[u8], contig_offset: u64, index_offset: u64) -> Vec<u8> {
        let mut front = Vec::new();
        put_u32(&mut front, self.content.magic);
        front.extend_from_slice(&4u16.to_le_bytes());
        front.extend_from_slice(&((zoom_headers.len() / 24) as u16).to_le_bytes());
        put_u64(&mut front, contig_offset);
        put_u64(&mut front, self.data_offset() - 8);
        put_u64(&mut front, index_offset);
        let columns = self.columns();
        front.extend_from_slice(&self.content.columns.to_le_bytes());
        front.extend_from_slice(&BED_COLUMNS.min(self.content.columns).to_le_bytes());
        put_u64(&mut front, if columns.is_empty() { 0 } else { HEADER as u64 });
        put_u64(&mut front, self.data_offset() - 8 - SUMMARY as u64);
        put_u32(&mut front, self.longest.max(zoom::RECORDS * zoom::RECORD) as u32);
        put_u64(&mut front, 0);
        front.extend_from_slice(zoom_headers);
        front.resize(HEADER, 0);
        front.extend_from_slice(&columns);
        front.extend_from_slice(self.comments.as_bytes());
        let Summary { bases, min, max, sum, squares } = self.summary;
        put_u64(&mut front, bases);
        let (min, max) = if bases == 0 { (0.0, 0.0) } else { (min, max) };
        for number in [min, max, sum, squares] {
            front.extend_from_slice(&number.to_le_bytes());
        }
        put_u64(&mut front, self.items);
        front
    }
}
