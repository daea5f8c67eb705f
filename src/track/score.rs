//! Scores along the genome, summarised in bins.
//!
//! A window's score stands at its centre: of a window of w bases that starts at s, the base s + w/2 (rounded down), the
//! middle one of an odd window and the right one of the two in the middle of an even one. Bins are the multiples of
//! the bin size, counted from the contig's first base; a bin in which no window has its centre has no value, and the
//! ends of a contig (or of the region that is scanned) cut it.
//!
//! Workers encode *tiles*, aligned runs of bins, as far as a chunk has all their windows, and leave the others to the
//! writer, so that what is encoded together does not depend on the chunks.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::engine::Scores;
use crate::genome::Contig;
use crate::hits::better_strand;
use crate::output::Sealed;
use crate::source::Chunk;

use super::bedgraph;
use super::line::LineSink;

/// Bins of a tile.
const TILE: u64 = 4096;

/// A format of scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreFormat {
    /// bedGraph: a line a bin.
    BedGraph,
}

/// What becomes of the scores in a bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summary {
    /// The highest is shown.
    Max,
    /// Their mean is shown.
    Mean,
}

/// Which strand's scores are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The better of the scanned strands'.
    Better,
    /// The forward strand's.
    Forward,
    /// The reverse strand's.
    Reverse,
}

/// What a score track shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series {
    /// Rank of the target.
    pub target: usize,
    /// Strand.
    pub strand: Shown,
    /// Bases of a bin.
    pub bin: u64,
    /// How the scores in a bin become one.
    pub summary: Summary,
}

/// The scores whose windows have their centre in one bin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bin {
    /// First base that has the value, 0-based.
    pub(super) start: u64,
    /// One past the last.
    pub(super) end: u64,
    best: f32,
    windows: u32,
    /// Sum of the scores in units of 2^-64: exact, so that it does not depend on how the scores were parted.
    sum: i128,
}

impl Bin {
    fn merge(&mut self, other: &Bin) {
        self.end = other.end;
        self.best = self.best.max(other.best);
        self.windows += other.windows;
        self.sum = self.sum.saturating_add(other.sum);
    }
}

const UNIT: f64 = (1u128 << 64) as f64;

impl Series {
    /// The value of a bin.
    pub(super) fn value(&self, bin: &Bin) -> f32 {
        match self.summary {
            Summary::Mean if bin.windows > 1 => (bin.sum as f64 / UNIT / f64::from(bin.windows)) as f32,
            _ => bin.best,
        }
    }

    /// Appends the bins of `scores` (one output of it), which are those of `chunk` for a window of so many bases.
    ///
    /// # Errors
    /// The start of a window whose score is NaN.
    fn collect(
        &self,
        chunk: &Chunk,
        scores: &Scores,
        output: usize,
        window: u64,
        bins: &mut Vec<Bin>,
    ) -> Result<(), u64> {
        let from = bins.len();
        let row = output * scores.windows..(output + 1) * scores.windows;
        let strand = |wanted: bool, scores: &'_ [f32]| wanted && !scores.is_empty();
        let forward = strand(self.strand != Shown::Reverse, &scores.forward);
        let reverse = strand(self.strand != Shown::Forward, &scores.reverse);
        let mut end = 0;
        for (i, at) in row.enumerate() {
            let score = match (forward, reverse) {
                (true, true) => better_strand(scores.forward[at], scores.reverse[at]).0,
                (true, false) => scores.forward[at],
                (false, _) => scores.reverse[at],
            };
            let start = scores.start + (i * scores.stride) as u64;
            if score.is_nan() {
                return Err(start);
            }
            let centre = start + window / 2;
            let sum = match self.summary {
                Summary::Max => 0,
                Summary::Mean => (f64::from(score) * UNIT) as i128,
            };
            if centre >= end {
                let start = centre - centre % self.bin;
                end = start + self.bin;
                bins.push(Bin { start, end, best: score, windows: 1, sum });
            } else if let Some(bin) = bins.last_mut() {
                bin.merge(&Bin { end: bin.end, best: score, windows: 1, sum, ..*bin });
            }
        }
        if let (true, Some(bin)) = (chunk.first, bins.get_mut(from)) {
            bin.start = bin.start.max(chunk.own.start);
        }
        if let (true, Some(bin)) = (chunk.last, bins[from..].last_mut()) {
            bin.end = bin.end.min(chunk.end);
        }
        Ok(())
    }

    fn tile(&self, bin: &Bin) -> u64 {
        bin.start / self.bin / TILE
    }
}

/// Bins in the bytes of a format.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    lines: Vec<u8>,
}

impl Encoded {
    fn clear(&mut self) {
        self.lines.clear();
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl ScoreFormat {
    /// Appends the bins of one tile.
    fn encode(self, contig: &Contig, series: &Series, bins: &[Bin], out: &mut Encoded) {
        match self {
            ScoreFormat::BedGraph => bedgraph::write(contig, series, bins, &mut out.lines),
        }
    }
}

/// A worker's share of a score track: one chunk's bins.
#[derive(Debug, Default)]
pub(crate) struct ScorePart {
    /// Bins left of the whole tiles.
    head: Vec<Bin>,
    /// The tiles that the chunk has all windows of.
    whole: Encoded,
    /// Bins right of them.
    tail: Vec<Bin>,
}

impl ScorePart {
    /// Forgets the last chunk.
    pub(crate) fn clear(&mut self) {
        self.head.clear();
        self.whole.clear();
        self.tail.clear();
    }

    /// Takes the scores of a chunk: one output of `scores`, for a window of so many bases.
    ///
    /// # Errors
    /// The start of a window whose score is NaN.
    pub(crate) fn fill(
        &mut self,
        format: ScoreFormat,
        series: &Series,
        chunk: &Chunk,
        scores: &Scores,
        (output, window): (usize, u64),
    ) -> Result<(), u64> {
        let mut bins = std::mem::take(&mut self.head);
        series.collect(chunk, scores, output, window, &mut bins)?;
        bins.retain(|bin| chunk.kept.contains(&bin.start));
        let tile_bases = TILE * series.bin;
        let from = if chunk.first { 0 } else { chunk.own.start + window / 2 };
        // Past the end of the codes a region or contig may end, which cuts a bin.
        let to = if chunk.last { u64::MAX } else { chunk.end.min(chunk.own.end + window / 2) };
        let (mut head, mut settled) = (0, 0);
        for tile in bins.chunk_by(|a, b| series.tile(a) == series.tile(b)) {
            let start = series.tile(&tile[0]) * tile_bases;
            if !chunk.first && start < from {
                head = tile.len();
                settled = head;
            } else if start + tile_bases <= to {
                format.encode(&chunk.contig, series, tile, &mut self.whole);
                settled += tile.len();
            }
        }
        self.tail.extend_from_slice(&bins[settled..]);
        bins.truncate(head);
        self.head = bins;
        Ok(())
    }
}

/// The writer's side of a score track.
#[derive(Debug)]
pub(crate) struct ScoreWriter {
    format: ScoreFormat,
    series: Series,
    sink: ScoreSink,
    /// Bins of the tile that is not whole yet.
    pending: Vec<Bin>,
    encoded: Encoded,
}

impl ScoreWriter {
    /// Writes `series` to `sink`.
    pub(crate) fn new(series: Series, sink: ScoreSink) -> ScoreWriter {
        ScoreWriter { format: sink.format(), series, sink, pending: Vec::new(), encoded: Encoded::default() }
    }

    /// Writes a chunk's share; of the last chunk of a segment, `segment_end` is where that ends.
    ///
    /// # Errors
    /// An output that cannot be written.
    pub(crate) fn write(
        &mut self,
        contig: &Contig,
        part: &ScorePart,
        segment_end: Option<u64>,
    ) -> Result<()> {
        self.join(contig, &part.head)?;
        if !part.whole.is_empty() {
            self.flush(contig)?;
            self.sink.write(&part.whole)?;
        }
        self.join(contig, &part.tail)?;
        if let Some(end) = segment_end {
            if let Some(bin) = self.pending.last_mut() {
                bin.end = bin.end.min(end);
            }
            self.flush(contig)?;
        }
        Ok(())
    }

    fn join(&mut self, contig: &Contig, bins: &[Bin]) -> Result<()> {
        for bin in bins {
            match self.pending.last_mut() {
                Some(open) if open.start / self.series.bin == bin.start / self.series.bin => open.merge(bin),
                Some(open) if self.series.tile(open) != self.series.tile(bin) => {
                    self.flush(contig)?;
                    self.pending.push(*bin);
                }
                _ => self.pending.push(*bin),
            }
        }
        Ok(())
    }

    fn flush(&mut self, contig: &Contig) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.encoded.clear();
        self.format.encode(contig, &self.series, &self.pending, &mut self.encoded);
        self.pending.clear();
        self.sink.write(&self.encoded)
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// As [`ScoreWriter::write`].
    pub(crate) fn seal(self) -> Result<Vec<Sealed>> {
        self.sink.seal()
    }
}

/// Where a score track is written.
#[derive(Debug)]
pub enum ScoreSink {
    /// bedGraph.
    BedGraph(LineSink),
}

impl ScoreSink {
    /// The format.
    pub(crate) fn format(&self) -> ScoreFormat {
        match self {
            ScoreSink::BedGraph(_) => ScoreFormat::BedGraph,
        }
    }

    fn write(&mut self, encoded: &Encoded) -> Result<()> {
        match self {
            ScoreSink::BedGraph(sink) => sink.write(&encoded.lines),
        }
    }

    fn seal(self) -> Result<Vec<Sealed>> {
        match self {
            ScoreSink::BedGraph(sink) => sink.seal(),
        }
    }
}
