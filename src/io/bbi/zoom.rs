//! Zoom levels: the genome in ever longer cells, each with a summary of its values.

use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use tempfile::SpooledTempFile;

use crate::io::bbi::tree::{Place, put_u32};
use crate::io::deflate::Deflater;

/// Records of a block, at the most.
pub(crate) const RECORDS: usize = 1024;

/// Bytes of a record.
pub(crate) const RECORD: usize = 32;

/// Bytes of a level that are kept in memory; more go to a file that has no name.
const IN_MEMORY: usize = 1 << 20;

/// Sums over a stretch's values; every base counts once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    pub(crate) bases: u64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) sum: f64,
    pub(crate) squares: f64,
}

impl Summary {
    /// Of nothing.
    pub(crate) const EMPTY: Summary =
        Summary { bases: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0, squares: 0.0 };

    /// Takes `bases` bases of one value.
    pub(crate) fn add(&mut self, value: f64, bases: u64) {
        let weight = bases as f64;
        self.bases += bases;
        self.min = if value < self.min { value } else { self.min };
        self.max = if value > self.max { value } else { self.max };
        self.sum += weight * value;
        self.squares += weight * value * value;
    }

    /// Takes what another summary has seen.
    pub(crate) fn merge(&mut self, other: &Summary) {
        self.bases += other.bases;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        self.squares += other.squares;
    }
}

/// The summary of what lies in one cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cell {
    /// First base that has a value, 0-based.
    pub(crate) start: u64,
    /// One past the last.
    pub(crate) end: u64,
    pub(crate) summary: Summary,
}

impl Cell {
    /// Numbers that a cell is written as.
    pub(crate) const NUMBERS: usize = 7;

    pub(crate) fn to_numbers(self) -> [u64; Cell::NUMBERS] {
        let Summary { bases, min, max, sum, squares } = self.summary;
        [self.start, self.end, bases, min.to_bits(), max.to_bits(), sum.to_bits(), squares.to_bits()]
    }

    pub(crate) fn from_numbers(numbers: [u64; Cell::NUMBERS]) -> Cell {
        let [start, end, bases, rest @ ..] = numbers;
        let [min, max, sum, squares] = rest.map(f64::from_bits);
        Cell { start, end, summary: Summary { bases, min, max, sum, squares } }
    }
}

/// One level, whose cells are the multiples of so many bases.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) reduction: u64,
    pub(crate) blocks: Vec<Place>,
    /// Records in all.
    pub(crate) records: u64,
    /// Blocks of records, one after the other.
    spool: SpooledTempFile,
    contig: u32,
    open: Option<Cell>,
    /// The block at hand, and the place of its records.
    block: Vec<u8>,
    start: u64,
    end: u64,
}

impl Level {
    /// An empty level; what does not fit into memory is kept in `directory` until the file is whole.
    pub(crate) fn new(reduction: u64, directory: &Path) -> Level {
        let spool = tempfile::spooled_tempfile_in(IN_MEMORY, directory);
        let (blocks, block) = (Vec::new(), Vec::new());
        Level { reduction, blocks, records: 0, spool, contig: 0, open: None, block, start: 0, end: 0 }
    }

    /// Takes a cell of a finer level, sorted by place. Gives the cell of this level that it ends, if it ends one.
    pub(crate) fn add(
        &mut self,
        contig: u32,
        cell: &Cell,
        deflater: &mut Deflater,
    ) -> io::Result<Option<Cell>> {
        let ended = match &mut self.open {
            Some(open)
                if contig == self.contig && open.start / self.reduction == cell.start / self.reduction =>
            {
                open.end = cell.end;
                open.summary.merge(&cell.summary);
                return Ok(None);
            }
            open => open.replace(*cell),
        };
        if let Some(ended) = &ended {
            self.put(ended, deflater)?;
        }
        if contig != self.contig {
            self.end_block(deflater)?;
            self.contig = contig;
        }
        Ok(ended)
    }

    /// Ends the cell and the block at hand; gives the cell.
    pub(crate) fn end(&mut self, deflater: &mut Deflater) -> io::Result<Option<Cell>> {
        let ended = self.open.take();
        if let Some(ended) = &ended {
            self.put(ended, deflater)?;
        }
        self.end_block(deflater)?;
        Ok(ended)
    }

    /// The contig of the cell at hand.
    pub(crate) fn contig(&self) -> u32 {
        self.contig
    }

    fn put(&mut self, cell: &Cell, deflater: &mut Deflater) -> io::Result<()> {
        if self.block.is_empty() {
            self.start = cell.start;
        }
        self.end = cell.end;
        let Summary { bases, min, max, sum, squares } = cell.summary;
        for number in [self.contig, cell.start as u32, cell.end as u32, bases as u32] {
            put_u32(&mut self.block, number);
        }
        for number in [min, max, sum, squares] {
            self.block.extend_from_slice(&(number as f32).to_le_bytes());
        }
        self.records += 1;
        if self.block.len() == RECORDS * RECORD { self.end_block(deflater) } else { Ok(()) }
    }

    fn end_block(&mut self, deflater: &mut Deflater) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        deflater.zlib(&self.block, &mut bytes);
        self.block.clear();
        self.spool.write_all(&bytes)?;
        let (contig, start, end) = (self.contig, self.start as u32, self.end as u32);
        self.blocks.push(Place { contig, start, end, bytes: bytes.len() as u32 });
        Ok(())
    }

    /// All blocks, from the first byte on.
    pub(crate) fn spool(&mut self) -> io::Result<&mut SpooledTempFile> {
        self.spool.seek(SeekFrom::Start(0))?;
        Ok(&mut self.spool)
    }
}
