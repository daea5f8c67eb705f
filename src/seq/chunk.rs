//! Chunks: contiguous bases of one contig, with the window starts that belong to them.

use crate::seq::alphabet::N;
use crate::seq::contig::Contig;
use crate::seq::window::WindowPlan;
use std::ops::Range;
use std::sync::Arc;

/// All positions of a contig.
pub(crate) const EVERYWHERE: Range<u64> = 0..u64::MAX;

/// Contiguous bases of one contig, with the window starts that are this chunk's to score.
///
/// `codes` covers more than `own`: windows that start in `own` reach to the right, and `--context flank` looks to
/// the left as well. Every window start of a region belongs to exactly one chunk, so nothing is lost or scored
/// twice. A segment is one contig, or one region of it, from its first chunk to its last.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The contig the bases come from.
    pub contig: Arc<Contig>,
    /// Contig position of `codes[0]`, 0-based.
    pub start: u64,
    /// Codes of the bases: A 0, C 1, G 2, T 3, N 4.
    pub codes: Vec<u8>,
    /// Window starts (contig positions) that this chunk owns; empty if the segment is shorter than any window.
    pub own: Range<u64>,
    /// No window may reach past this contig position: the segment's end, or where the codes of an inner chunk end.
    pub end: u64,
    /// First base of the segment, a contig position.
    pub segment_start: u64,
    /// End of the segment, a contig position; `u64::MAX` as long as the end of a contig is not known.
    pub segment_end: u64,
    /// First chunk of its segment.
    pub first: bool,
    /// Last chunk of its segment.
    pub last: bool,
    /// Contig positions whose sites and bins are wanted. A shard reads more, to both sides, as what lies there decides
    /// about its sites; no chunk crosses the ends of this range, and those outside it are not counted.
    pub kept: Range<u64>,
}

impl Default for Chunk {
    fn default() -> Self {
        let contig = Arc::new(Contig { id: 0, name: String::new(), length: None });
        Chunk {
            contig,
            start: 0,
            codes: Vec::new(),
            own: 0..0,
            end: 0,
            segment_start: 0,
            segment_end: u64::MAX,
            first: true,
            last: true,
            kept: EVERYWHERE,
        }
    }
}

impl Chunk {
    /// A whole sequence as one chunk, at position 0 of a contig of its own.
    pub fn whole(name: &str, codes: Vec<u8>) -> Chunk {
        let length = codes.len() as u64;
        let contig = Arc::new(Contig { id: 0, name: name.to_owned(), length: Some(length) });
        Chunk {
            contig,
            start: 0,
            codes,
            own: 0..length,
            end: length,
            segment_start: 0,
            segment_end: length,
            first: true,
            last: true,
            kept: EVERYWHERE,
        }
    }

    /// True if the chunk's windows are wanted themselves, and not only for what they decide.
    pub fn is_kept(&self) -> bool {
        self.kept.contains(&self.own.start)
    }

    /// First window start and number of windows of this chunk under `plan`: starts are the multiples of the
    /// stride (counted from the contig's first base) in `own` whose window ends at or before `end`.
    pub fn windows(&self, plan: &WindowPlan) -> (u64, usize) {
        let stride = plan.stride as u64;
        let first = self.own.start.next_multiple_of(stride);
        let Some(last_start) = self.end.checked_sub(plan.window as u64) else { return (first, 0) };
        let stop = self.own.end.min(last_start + 1);
        if stop <= first { (first, 0) } else { (first, (stop - first).div_ceil(stride) as usize) }
    }

    /// The part of the chunk that owns only the window start `start`, with `before` bases to its left and `length` from it on; of
    /// both as many as the chunk has.
    pub fn around(&self, start: u64, before: usize, length: usize) -> Chunk {
        let from = start.saturating_sub(before as u64).max(self.start);
        let to = (start + length as u64).min(self.start + self.codes.len() as u64);
        let codes = self.codes[(from - self.start) as usize..(to - self.start) as usize].to_vec();
        let Chunk { ref contig, end, segment_start, segment_end, first, last, ref kept, .. } = *self;
        let (contig, kept) = (Arc::clone(contig), kept.clone());
        Chunk {
            contig,
            start: from,
            codes,
            own: start..start + 1,
            end,
            segment_start,
            segment_end,
            first,
            last,
            kept,
        }
    }

    /// Appends the codes of contig positions `from .. from + length` to `out`; N where this chunk has no bases
    /// (`from` may be negative: before the contig's start).
    pub fn codes_at(&self, from: i64, length: usize, out: &mut Vec<u8>) {
        codes_at(&self.codes, self.start, from, length, out);
    }
}

/// Appends the codes of contig positions `from .. from + length` to `out`, where `codes` are those from `start` on; N where it
/// has none (`from` may be negative: before the contig's start).
pub(crate) fn codes_at(codes: &[u8], start: u64, from: i64, length: usize, out: &mut Vec<u8>) {
    let have = codes.len() as i64;
    let offset = from - start as i64;
    let before = (-offset).clamp(0, length as i64) as usize;
    let lo = offset.clamp(0, have);
    let hi = (offset + length as i64).clamp(lo, have);
    let target = out.len() + length;
    out.resize(out.len() + before, N);
    out.extend_from_slice(&codes[lo as usize..hi as usize]);
    out.resize(target, N);
}

/// Rules by which a source cuts contigs into chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkShape {
    /// Window starts a chunk owns (at most; the last of a segment has fewer).
    pub own: usize,
    /// Bases wanted to the left of the first owned start (real flanks), where the contig has them.
    pub left: usize,
    /// Bases wanted to the right of the last owned start: the longest window less one, and its right flank.
    pub right: usize,
    /// Bases that a window that starts at the last owned start may cover, less one (`right` without the flank).
    pub reach: usize,
}
