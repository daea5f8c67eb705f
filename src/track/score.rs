//! Scores along the genome, summarised in bins.
//!
//! A window's score stands at its centre: of a window of w bases that starts at s, the base s + w/2 (rounded down), the
//! middle one of an odd window and the right one of the two in the middle of an even one. Bins are the multiples of
//! the bin size, counted from the contig's first base; a bin in which no window has its centre has no value, and the
//! ends of a contig (or of the region that is scanned) cut it.
//!
//! Workers encode *tiles*, aligned runs of bins, as far as a chunk has all their windows, and leave the others to the
//! writer, so that what is encoded together depends neither on the chunks nor on the regions.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::io::output::Sealed;
use crate::scores::Scores;
use crate::seq::chunk::Chunk;
use crate::seq::contig::Contig;
use crate::{Error, Result};

use super::bigwig::BigWigSink;
use super::values::{self, ValueSink};
use super::{bedgraph, bigwig};
use crate::io::bbi;
use crate::io::bbi::{Block, Cell};
use crate::io::deflate::Deflater;
use crate::io::line::LineSink;
use tile::{Bin, Bins, Centred};
pub(super) use tile::{Stretch, TileValues};

mod tile;

/// Bins of a tile.
pub(crate) const TILE: u64 = 4096;

/// A format of scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreFormat {
    /// bedGraph: a line a bin.
    BedGraph,
    /// bigWig.
    BigWig,
}

/// Encoding of scores by workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Lines of a bedGraph.
    Lines,
    /// Lines of a bedGraph, in blocks of BGZF.
    BgzfLines,
    /// Blocks of a bigWig.
    BigWig,
    /// Numbers in memory ([`super::values`]).
    Values,
}

/// Summary of the scores in a bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summary {
    /// The highest is shown.
    Max,
    /// Their mean is shown.
    Mean,
}

/// Strand whose scores are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The better of the scanned strands'.
    Better,
    /// The forward strand's.
    Forward,
    /// The reverse strand's.
    Reverse,
}

/// Contents of a score track.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Series {
    /// Rank of the target.
    pub target: usize,
    /// Strand.
    pub strand: Shown,
    /// Bases of a bin.
    pub bin: u64,
    /// Summary of the scores in a bin.
    pub summary: Summary,
    /// Bins with a lower value are left out; minus infinity keeps all.
    pub lowest: f32,
}

/// Units of a sum in 1.
pub(crate) const UNIT: f64 = (1u128 << 64) as f64;

impl Series {
    /// True if windows below the threshold matter.
    pub(crate) fn needs_all(&self) -> bool {
        self.lowest == f32::NEG_INFINITY || self.summary == Summary::Mean
    }

    fn tile(&self, bin: &Bin) -> u64 {
        bin.start / self.bin / TILE
    }
}

/// Bins in the bytes of a format.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    pub(super) bytes: Vec<u8>,
    /// The blocks in `bytes`, one after the other, of formats that have some.
    pub(super) blocks: Vec<Block>,
    /// Summaries for zoom levels, of formats that have some.
    pub(super) cells: Vec<Cell>,
}

impl Encoded {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.blocks.clear();
        self.cells.clear();
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Everything as numbers of 8 bytes, little-endian, and then the bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut numbers = vec![self.blocks.len() as u64, self.cells.len() as u64];
        numbers.extend(
            self.blocks.iter().flat_map(|block| [block.start, block.end, block.bytes as u64, block.items]),
        );
        numbers.extend(self.cells.iter().flat_map(|cell| cell.to_numbers()));
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend_from_slice(&self.bytes);
        bytes
    }

    /// Reverse of [`Encoded::to_bytes`]; `None` for other bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Encoded> {
        let number = |i: usize| {
            let bytes = bytes.get(8 * i..8 * i + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let (blocks, cells) = (number(0)? as usize, number(1)? as usize);
        let mut encoded = Encoded::default();
        // More than there are bytes for is not believed.
        let first_cell = blocks.checked_mul(4)?.checked_add(2)?;
        let first_byte = cells.checked_mul(Cell::NUMBERS)?.checked_add(first_cell)?.checked_mul(8)?;
        let rest = bytes.get(first_byte..)?;
        for i in (2..first_cell).step_by(4) {
            let (start, end, bytes) = (number(i)?, number(i + 1)?, number(i + 2)? as usize);
            encoded.blocks.push(Block { start, end, bytes, items: number(i + 3)? });
        }
        for i in (0..cells).map(|i| first_cell + Cell::NUMBERS * i) {
            let mut numbers = [0; Cell::NUMBERS];
            for (j, place) in numbers.iter_mut().enumerate() {
                *place = number(i + j)?;
            }
            encoded.cells.push(Cell::from_numbers(numbers));
        }
        let blocks = encoded.blocks.iter().try_fold(0usize, |all, block| all.checked_add(block.bytes))?;
        let is_sound = encoded.blocks.iter().all(|block| block.start < block.end)
            && encoded.cells.iter().all(|cell| cell.start < cell.end)
            && (encoded.blocks.is_empty() || blocks == rest.len());
        encoded.bytes = rest.to_vec();
        is_sound.then_some(encoded)
    }
}

/// Encodes the tiles of one score track.
#[derive(Debug)]
enum Encoder {
    /// As [`Encoding::Lines`].
    Lines,
    /// As [`Encoding::BgzfLines`]; with room for the lines of a tile.
    BgzfLines(Deflater, Vec<u8>),
    /// As [`Encoding::BigWig`].
    BigWig(Deflater, bigwig::Encoder),
    /// As [`Encoding::Values`].
    Values,
}

impl Encoder {
    fn new(encoding: Encoding) -> Encoder {
        match encoding {
            Encoding::Lines => Encoder::Lines,
            Encoding::BgzfLines => Encoder::BgzfLines(Deflater::new(bedgraph::LEVEL), Vec::new()),
            Encoding::BigWig => Encoder::BigWig(Deflater::new(bbi::LEVEL), bigwig::Encoder::default()),
            Encoding::Values => Encoder::Values,
        }
    }

    /// Appends the values of one tile, or of a part of it.
    fn encode(&mut self, contig: &Contig, bin: u64, values: TileValues<'_>, out: &mut Encoded) {
        if values.len() == 0 {
            return;
        }
        match self {
            Encoder::Lines => bedgraph::write(contig, values, &mut out.bytes),
            Encoder::BgzfLines(deflater, lines) => {
                bedgraph::write_blocks(contig, values, (deflater, lines), out);
            }
            Encoder::BigWig(deflater, encoder) => encoder.encode(contig, bin, values, deflater, out),
            Encoder::Values => values::encode(bin, values, &mut out.bytes),
        }
    }
}

/// Encoders of all score tracks of a worker, or of the writer: tracks may be thousands, and take turns.
#[derive(Debug, Default)]
pub(crate) struct Encoders {
    /// One of each kind that is needed.
    encoders: Vec<(Encoding, Encoder)>,
    buffers: Buffers,
}

impl Encoders {
    /// The encoder of a kind, and working memory.
    fn get(&mut self, encoding: Encoding) -> (&mut Encoder, &mut Buffers) {
        let known = self.encoders.iter().position(|(kind, _)| *kind == encoding);
        let at = known.unwrap_or_else(|| {
            self.encoders.push((encoding, Encoder::new(encoding)));
            self.encoders.len() - 1
        });
        (&mut self.encoders[at].1, &mut self.buffers)
    }
}

/// Working memory for the bins of one track.
#[derive(Debug, Default)]
struct Buffers {
    shown: Vec<f32>,
    values: Vec<f32>,
    bins: Vec<Bin>,
    stretches: Vec<Stretch>,
    encoded: Encoded,
}

/// A worker's share of a score track: one chunk's bins.
#[derive(Debug, Default)]
pub(crate) struct ScorePart {
    /// True if the chunk is the first of its segment.
    first: bool,
    /// Bins left of the whole tiles.
    head: Bins,
    /// The tiles that the chunk has all windows of.
    whole: Encoded,
    /// Bins right of them.
    tail: Bins,
}

impl ScorePart {
    /// Forgets the last chunk.
    pub(crate) fn clear(&mut self) {
        self.head.clear();
        self.whole.clear();
        self.tail.clear();
    }

    /// Takes the scores of a chunk: those of the windows `kept` of one output of `scores`, for a window of so many bases.
    ///
    /// # Errors
    /// The start of a window whose score is NaN.
    pub(crate) fn fill(
        &mut self,
        encoders: &mut Encoders,
        (series, encoding): (&Series, Encoding),
        chunk: &Chunk,
        (scores, kept): (&Scores, &[Range<usize>]),
        (output, window): (usize, u64),
    ) -> Result<(), u64> {
        self.first = chunk.first;
        let (encoder, Buffers { shown, values, bins, stretches, .. }) = encoders.get(encoding);
        let stride = scores.stride as u64;
        let mut windows = Centred {
            scores: series.shown(scores, output, kept, shown)?,
            centre: scores.start + window / 2,
            stride,
        };
        let tile_bases = TILE.saturating_mul(series.bin);
        // A region before this one may end in its first tile, and a region after it begin in its last.
        let contig_start = chunk.first && chunk.own.start == 0;
        let contig_end = chunk.last && chunk.contig.length == Some(chunk.end);
        let from = if contig_start { 0 } else { chunk.own.start + window / 2 };
        // Past the end of the codes a region or contig may end, which cuts a bin.
        let to = if contig_end { u64::MAX } else { chunk.end.min(chunk.own.end + window / 2) };
        let mut next = 0;
        while !windows.scores.is_empty() {
            let start = windows.centre - windows.centre % tile_bases;
            let end = start.saturating_add(tile_bases);
            let of_tile = windows.take_before(end);
            let numbers = next..next + of_tile.scores.len();
            next = numbers.end;
            // Of the windows of the tile, those that are kept.
            let parts = kept
                .iter()
                .map(|range| range.start.max(numbers.start)..range.end.min(numbers.end))
                .filter(|part| !part.is_empty())
                .map(|part| part.start - numbers.start..part.end - numbers.start);
            let complete = kept.iter().any(|range| range.start <= numbers.start && numbers.end <= range.end);
            let whole = start >= from && end <= to;
            // A bin that the end of the contig cuts is no step.
            let uncut = whole && end <= chunk.end && chunk.kept.start <= start && end <= chunk.kept.end;
            if let (true, Some(values)) = (uncut && complete, series.dense_tile(start..end, of_tile, values))
            {
                let values = series.steps(start, values, stretches);
                encoder.encode(&chunk.contig, series.bin, values, &mut self.whole);
                continue;
            }
            bins.clear();
            parts.for_each(|part| series.put_bins(of_tile.part(part), bins));
            // The ends of a segment cut its first and its last bin, whichever chunk has windows there.
            for bin in bins.iter_mut() {
                bin.start = bin.start.max(chunk.segment_start);
                bin.end = if chunk.last { bin.end.min(chunk.end) } else { bin.end };
            }
            bins.retain(|bin| chunk.kept.contains(&bin.start));
            if whole {
                let values = series.stretches(bins.drain(..), stretches);
                encoder.encode(&chunk.contig, series.bin, values, &mut self.whole);
            } else {
                let part = if start < from { &mut self.head } else { &mut self.tail };
                bins.drain(..).for_each(|bin| part.push(bin, series));
            }
        }
        Ok(())
    }
}

/// Observer of everything that a score track is given.
pub(crate) type Heard<'a> = dyn FnMut(&Contig, &Encoded) -> Result<()> + 'a;

/// The writer's side of a score track.
#[derive(Debug)]
pub(crate) struct ScoreWriter {
    series: Series,
    sink: ScoreSink,
    /// Bins of the tile that is not whole yet, and the contig that they are of.
    pending: Bins,
    contig: Option<Arc<Contig>>,
    /// True if more of the last bin may come.
    open: bool,
}

/// Values that a score track holds back between two chunks.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ScoreState {
    /// Start, end, bits of the best score, windows and sum of each bin.
    pending: Vec<(u64, u64, u32, u32, i128)>,
    /// Rank, name and length.
    contig: Option<(usize, String, Option<u64>)>,
    open: bool,
}

impl ScoreWriter {
    /// Writes `series` to `sink`.
    pub(crate) fn new(series: Series, sink: ScoreSink) -> ScoreWriter {
        ScoreWriter { series, sink, pending: Bins::default(), contig: None, open: false }
    }

    /// Writes a chunk's share; of the last chunk of a segment, `segment_end` is where that ends. `heard` is told what is
    /// written.
    ///
    /// # Errors
    /// An output that cannot be written; those of `heard`.
    pub(crate) fn write(
        &mut self,
        contig: &Arc<Contig>,
        part: &ScorePart,
        segment_end: Option<u64>,
        encoders: &mut Encoders,
        heard: &mut Heard<'_>,
    ) -> Result<()> {
        self.enter(contig, encoders, heard)?;
        self.open &= !part.first;
        let series = self.series;
        self.join(part.head.iter(&series), encoders, heard)?;
        if !part.whole.is_empty() {
            self.flush(encoders, heard)?;
            heard(contig, &part.whole)?;
            self.sink.write(contig, &part.whole)?;
        }
        self.join(part.tail.iter(&series), encoders, heard)?;
        if let Some(end) = segment_end
            && self.open
            && let Some(bin) = self.pending.pop(&self.series)
        {
            self.pending.push(Bin { end: bin.end.min(end), ..bin }, &self.series);
        }
        Ok(())
    }

    /// Writes values that are known: start, end and value of bins of `contig`, which come sorted.
    ///
    /// # Errors
    /// An output that cannot be written.
    pub(crate) fn write_values(
        &mut self,
        contig: &Arc<Contig>,
        values: &[(u64, u64, f32)],
        encoders: &mut Encoders,
    ) -> Result<()> {
        let heard: &mut Heard<'_> = &mut |_, _| Ok(());
        self.enter(contig, encoders, heard)?;
        for &(start, end, best) in values {
            self.open = false;
            let bin = Bin { start, end, best, windows: 1, sum: 0 };
            self.join(std::iter::once(bin), encoders, heard)?;
        }
        Ok(())
    }

    fn enter(&mut self, contig: &Arc<Contig>, encoders: &mut Encoders, heard: &mut Heard<'_>) -> Result<()> {
        if self.contig.as_ref().is_none_or(|known| known.id != contig.id) {
            self.flush(encoders, heard)?;
            self.contig = Some(Arc::clone(contig));
        }
        Ok(())
    }

    fn join(
        &mut self,
        bins: impl Iterator<Item = Bin>,
        encoders: &mut Encoders,
        heard: &mut Heard<'_>,
    ) -> Result<()> {
        for bin in bins {
            match self.pending.last(&self.series) {
                Some(mut last)
                    if self.open && last.start / self.series.bin == bin.start / self.series.bin =>
                {
                    last.merge(&bin);
                    self.pending.pop(&self.series);
                    self.pending.push(last, &self.series);
                }
                Some(last) if self.series.tile(&last) != self.series.tile(&bin) => {
                    self.flush(encoders, heard)?;
                    self.pending.push(bin, &self.series);
                }
                Some(last) if bin.start < last.end => {
                    let message = "values are not in order: the state that an interrupted scan has left is damaged; remove its \
                         folder (.NAME.resume) to begin anew";
                    return Err(Error::Request(message.into()));
                }
                _ => self.pending.push(bin, &self.series),
            }
            self.open = true;
        }
        Ok(())
    }

    fn flush(&mut self, encoders: &mut Encoders, heard: &mut Heard<'_>) -> Result<()> {
        self.open = false;
        let (false, Some(contig)) = (self.pending.is_empty(), &self.contig) else { return Ok(()) };
        let (encoder, Buffers { stretches, encoded, .. }) = encoders.get(self.sink.encoding());
        encoded.clear();
        let values = self.series.stretches(self.pending.iter(&self.series), stretches);
        encoder.encode(contig, self.series.bin, values, encoded);
        self.pending.clear();
        if encoded.is_empty() {
            return Ok(());
        }
        heard(contig, encoded)?;
        self.sink.write(contig, encoded)
    }

    /// Writes once more what was written before an interruption.
    ///
    /// # Errors
    /// An output that cannot be written.
    pub(crate) fn rewrite(&mut self, contig: &Contig, encoded: &Encoded) -> Result<()> {
        self.sink.write(contig, encoded)
    }

    /// Values held back for the next chunk.
    pub(crate) fn state(&self) -> ScoreState {
        let bin = |bin: Bin| (bin.start, bin.end, bin.best.to_bits(), bin.windows, bin.sum);
        let contig = |contig: &Arc<Contig>| (contig.id, contig.name.clone(), contig.length);
        ScoreState {
            pending: self.pending.iter(&self.series).map(bin).collect(),
            contig: self.contig.as_ref().map(contig),
            open: self.open,
        }
    }

    /// True if a state that was read is one that [`ScoreWriter::state`] gives.
    pub(crate) fn fits(&self, state: &ScoreState) -> bool {
        let bins = &state.pending;
        let tile = |&(start, ..): &(u64, u64, u32, u32, i128)| start / self.series.bin / TILE;
        bins.iter().all(|&(start, end, _, windows, _)| {
            start < end && end < 1 << 60 && (1..1 << 31).contains(&windows)
        }) && bins.windows(2).all(|pair| pair[0].1 <= pair[1].0 && tile(&pair[0]) == tile(&pair[1]))
            && (bins.is_empty() || state.contig.is_some())
    }

    /// Goes on from a state.
    pub(crate) fn restore(&mut self, state: ScoreState) {
        let bin =
            |(start, end, best, windows, sum)| Bin { start, end, best: f32::from_bits(best), windows, sum };
        self.pending.clear();
        state.pending.into_iter().map(bin).for_each(|bin| self.pending.push(bin, &self.series));
        self.contig = state.contig.map(|(id, name, length)| Arc::new(Contig { id, name, length }));
        self.open = state.open;
    }

    /// Writes what is left; `contigs` are all that were read, in their order.
    ///
    /// # Errors
    /// As [`ScoreWriter::write`].
    pub(crate) fn seal(mut self, contigs: &[Arc<Contig>], encoders: &mut Encoders) -> Result<Vec<Sealed>> {
        self.flush(encoders, &mut |_, _| Ok(()))?;
        self.sink.seal(contigs)
    }
}

/// Destination of a score track.
#[derive(Debug)]
pub enum ScoreSink {
    /// bedGraph.
    BedGraph(LineSink),
    /// bigWig.
    BigWig(BigWigSink),
    /// Numbers in memory.
    Values(ValueSink),
}

impl ScoreSink {
    /// The form in which chunks of it are encoded.
    pub(crate) fn encoding(&self) -> Encoding {
        match self {
            ScoreSink::BedGraph(sink) if sink.is_compressed() => Encoding::BgzfLines,
            ScoreSink::BedGraph(_) => Encoding::Lines,
            ScoreSink::BigWig(_) => Encoding::BigWig,
            ScoreSink::Values(_) => Encoding::Values,
        }
    }

    /// True if it has to know the length of every contig in the end.
    pub(crate) fn needs_lengths(&self) -> bool {
        matches!(self, ScoreSink::BigWig(_))
    }

    fn write(&mut self, contig: &Contig, encoded: &Encoded) -> Result<()> {
        match self {
            ScoreSink::BedGraph(sink) if sink.is_compressed() => {
                sink.write_blocks(contig, &encoded.bytes, &encoded.blocks)
            }
            ScoreSink::BedGraph(sink) => sink.write(&encoded.bytes),
            ScoreSink::BigWig(sink) => sink.write(contig, encoded),
            ScoreSink::Values(sink) => sink.write(contig, &encoded.bytes),
        }
    }

    fn seal(self, contigs: &[Arc<Contig>]) -> Result<Vec<Sealed>> {
        match self {
            ScoreSink::BedGraph(sink) => sink.seal(),
            ScoreSink::BigWig(sink) => Ok(vec![sink.seal(contigs)?]),
            ScoreSink::Values(_) => Ok(Vec::new()),
        }
    }
}
