//! bigWig: scores in compressed blocks that browsers read piece by piece.
//!
//! Written by code of our own: bigtools 0.5 was looked at first. It wants the lengths of all contigs before the first
//! value (a genome on a pipe has none to give), their names in byte order for the searches that UCSC's programs do, and
//! fewer than 65,536 of them; without any value it does not end. It takes values one by one, 12 bytes each, and
//! compresses them on threads of its own, so that the scan's workers wait; and what is in a block depends on where values
//! were counted from, so that shards could not be joined into the bytes of one run.
//!
//! A tile of bins is a block or a few, encoded by the worker that scored it: steps of equal length without positions, 4
//! bytes a bin (fixedStep), or stretches of one value (bedGraph) where that is much shorter, as in runs of N.

use std::ops::Range;
use std::sync::Arc;

use super::score::{Encoded, Stretch, TILE, TileValues};
use crate::Result;
use crate::io::bbi::{BigFile, Block, Cell, Content, Summary};
use crate::io::deflate::Deflater;
use crate::io::output::{Output, Sealed};
use crate::seq::contig::Contig;

mod bases;
mod reader;

pub use bases::BaseSink;
pub use reader::{Reader, Values};

pub(crate) const MAGIC: u32 = 0x888F_FC26;

/// Bins in a cell of the finest zoom level: a part of a tile, so that workers can summarise it.
const CELL: u64 = 64;

/// Bytes of a section's header.
const HEADER: usize = 24;

/// Bytes of the longest section.
const LONGEST_BLOCK: usize = HEADER + 12 * TILE as usize;

/// The kinds of section that are used.
const BEDGRAPH: u8 = 1;
const VARIABLE_STEP: u8 = 2;
const FIXED_STEP: u8 = 3;

/// Sections of steps of a tile, at the most: where bins lie unevenly, stretches are shorter.
const SECTIONS: usize = 16;

/// Factor by which stretches must be shorter than steps: bytes of steps compress better.
const SHORTER: usize = 4;

/// A bigWig that is being written.
#[derive(Debug)]
pub struct BigWigSink(Box<BigFile>);

impl BigWigSink {
    /// Writes bins of so many bases to `output`. The format has no place for comments; these stand behind the zoom
    /// headers, where other readers have nothing to look for.
    ///
    /// # Errors
    /// An output that cannot be written, or is no file.
    pub fn new(output: Output, bin: u64, comments: &str) -> Result<BigWigSink> {
        BigWigSink::of(output, bin, comments, false)
    }

    /// As [`BigWigSink::new`], with a checksum of everything behind the comments ([`Reader::check`]).
    ///
    /// # Errors
    /// As [`BigWigSink::new`].
    pub fn checked(output: Output, bin: u64, comments: &str) -> Result<BigWigSink> {
        BigWigSink::of(output, bin, comments, true)
    }

    fn of(output: Output, bin: u64, comments: &str, checked: bool) -> Result<BigWigSink> {
        let content = Content { magic: MAGIC, columns: 0, auto_sql: String::new(), items: TILE as u32 };
        let file = BigFile::new(content, output, bin.saturating_mul(CELL), comments, checked)?;
        Ok(BigWigSink(Box::new(file)))
    }

    pub(super) fn write(&mut self, contig: &Contig, encoded: &Encoded) -> Result<()> {
        let sizes = (encoded.blocks.len() as u64, LONGEST_BLOCK);
        self.0.write(contig, &encoded.bytes, &encoded.blocks, &encoded.cells, sizes)
    }

    /// Writes what is left; `contigs` are all that were read, in their order.
    pub(super) fn seal(self, contigs: &[Arc<Contig>]) -> Result<Sealed> {
        self.0.seal(contigs)
    }
}

/// Encodes tiles; keeps its buffer.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    section: Vec<u8>,
}

impl Encoder {
    /// Appends values, [`TILE`] of them at the most and one at the least, that stand in bins of so many bases.
    pub(super) fn encode(
        &mut self,
        contig: &Contig,
        bin: u64,
        values: TileValues<'_>,
        deflater: &mut Deflater,
        out: &mut Encoded,
    ) {
        let cell = bin.saturating_mul(CELL);
        match values {
            TileValues::Stretches(stretches) => self.encode_stretches(contig, cell, stretches, deflater, out),
            TileValues::Steps { start, step, values } => {
                let changes = values.windows(2).filter(|pair| pair[0].to_bits() != pair[1].to_bits()).count();
                if is_shorter(1 + changes, values.len()) {
                    let all = TileValues::Steps { start, step, values };
                    let stretches: Vec<Stretch> = (0..values.len()).map(|i| all.at(i)).collect();
                    self.encode_stretches(contig, cell, &stretches, deflater, out);
                    return;
                }
                let rest = CELL as usize - (start / step % CELL) as usize;
                let (first, more) = values.split_at(rest.min(values.len()));
                let mut at = start;
                for values in [first].into_iter().chain(more.chunks(CELL as usize)) {
                    let mut summary = Summary::EMPTY;
                    values.iter().for_each(|&value| summary.add(value.into(), step));
                    let end = at + values.len() as u64 * step;
                    out.cells.push(Cell { start: at, end, summary });
                    at = end;
                }
                self.steps(contig, start..at, (step, step), values, deflater, out);
            }
        }
    }

    fn encode_stretches(
        &mut self,
        contig: &Contig,
        cell: u64,
        values: &[Stretch],
        deflater: &mut Deflater,
        out: &mut Encoded,
    ) {
        summarise(values, cell, &mut out.cells);
        let sections = || Sections { rest: values };
        if is_shorter(values.chunk_by(same).count(), values.len()) || sections().count() > SECTIONS {
            self.stretches(contig, values, deflater, out);
            return;
        }
        let mut steps = Vec::new();
        for (step, section) in sections() {
            steps.clear();
            steps.extend(section.iter().map(|stretch| stretch.value));
            let (start, end) = (section[0].start, section[section.len() - 1].end);
            let span = section[0].end - start;
            self.steps(contig, start..end, (step, span), &steps, deflater, out);
        }
    }

    fn stretches(&mut self, contig: &Contig, values: &[Stretch], deflater: &mut Deflater, out: &mut Encoded) {
        let (start, end) = (values[0].start, values[values.len() - 1].end);
        let count = values.chunk_by(same).count();
        self.header(contig, &(start..end), (0, 0), BEDGRAPH, count);
        for stretch in values.chunk_by(same) {
            let (start, end) = (stretch[0].start as u32, stretch[stretch.len() - 1].end as u32);
            self.section.extend_from_slice(&start.to_le_bytes());
            self.section.extend_from_slice(&end.to_le_bytes());
            self.section.extend_from_slice(&stretch[0].value.to_le_bytes());
        }
        self.end(start, end, count, deflater, out);
    }

    /// Appends values of `span` bases each, in equal steps.
    fn steps(
        &mut self,
        contig: &Contig,
        bases: Range<u64>,
        (step, span): (u64, u64),
        values: &[f32],
        deflater: &mut Deflater,
        out: &mut Encoded,
    ) {
        self.header(contig, &bases, (step as u32, span as u32), FIXED_STEP, values.len());
        self.section.resize(HEADER + 4 * values.len(), 0);
        for (bytes, value) in self.section[HEADER..].chunks_exact_mut(4).zip(values) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        self.end(bases.start, bases.end, values.len(), deflater, out);
    }

    fn header(
        &mut self,
        contig: &Contig,
        bases: &Range<u64>,
        (step, span): (u32, u32),
        kind: u8,
        count: usize,
    ) {
        self.section.clear();
        for number in [contig.id as u32, bases.start as u32, bases.end as u32, step, span] {
            self.section.extend_from_slice(&number.to_le_bytes());
        }
        self.section.extend_from_slice(&[kind, 0]);
        self.section.extend_from_slice(&(count as u16).to_le_bytes());
    }

    fn end(&mut self, start: u64, end: u64, items: usize, deflater: &mut Deflater, out: &mut Encoded) {
        let from = out.bytes.len();
        deflater.zlib(&self.section, &mut out.bytes);
        out.blocks.push(Block { start, end, bytes: out.bytes.len() - from, items: items as u64 });
    }
}

/// True if so many stretches take much less room than so many steps.
fn is_shorter(stretches: usize, steps: usize) -> bool {
    SHORTER * (HEADER + 12 * stretches) <= 4 * steps
}

/// The runs of stretches of one length that follow each other in equal steps.
struct Sections<'a> {
    rest: &'a [Stretch],
}

impl<'a> Iterator for Sections<'a> {
    /// A step in bases, and the stretches.
    type Item = (u64, &'a [Stretch]);

    fn next(&mut self) -> Option<(u64, &'a [Stretch])> {
        let [first, more @ ..] = self.rest else { return None };
        let span = first.end - first.start;
        let step = more.first().map_or(span, |second| second.start - first.start);
        let steady =
            |pair: &&[Stretch]| pair[1].end - pair[1].start == span && pair[1].start - pair[0].start == step;
        let count = 1 + self.rest.windows(2).take_while(steady).count();
        let (section, rest) = self.rest.split_at(count);
        self.rest = rest;
        Some((if count == 1 { span } else { step }, section))
    }
}

/// True if two stretches are one.
fn same(a: &Stretch, b: &Stretch) -> bool {
    a.end == b.start && a.value.to_bits() == b.value.to_bits()
}

/// Appends the cells, multiples of so many bases, that the values fall into.
fn summarise(values: &[Stretch], cell: u64, cells: &mut Vec<Cell>) {
    for values in values.chunk_by(|a, b| a.start / cell == b.start / cell) {
        let mut summary = Summary::EMPTY;
        for stretch in values {
            summary.add(stretch.value.into(), stretch.end - stretch.start);
        }
        cells.push(Cell { start: values[0].start, end: values[values.len() - 1].end, summary });
    }
}
