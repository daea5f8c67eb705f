//! Overlap that a shard has to read past its seams.
//!
//! A hit becomes a site unless a better hit that overlaps it does, and that one depends on better hits in turn: a chain of
//! falling scores can run any distance. A shard therefore reads past its seams until no chain from beyond reaches a hit that
//! it owns. It then finds the same sites among its positions as a scan of the whole genome.

use std::ops::Range;

use crate::Result;
use crate::engine::scanner::Scanners;
use crate::genome::GenomeSource;
use crate::genome::regions::Segment;
use crate::scan::worker::{Part, Worker};
use crate::scan::{Layout, Overlaps};
use crate::scores::Hit;
use crate::seq::chunk::{Chunk, EVERYWHERE};
use crate::sites::Sites;
use crate::sites::core::CoreSource;
use crate::track::Target;
use crate::track::site::{Columns, SiteFormat, SiteLines};

/// Windows and strides read past a seam at first, and how many times more in each further trial.
const FIRST: u64 = 4;
const MORE: u64 = 4;

/// Window starts scored at a time.
const PIECE: u64 = 65_536;

/// Makes a shard's `source` read as far past its seams as the sites of `targets` at `stride` need. `overlaps` is `None`
/// where no sites are called. Nothing may have been read from the source.
///
/// # Errors
/// Whatever the source or an engine meets.
pub fn widen(
    source: &mut GenomeSource,
    scanners: &mut Scanners,
    targets: &[Target],
    stride: u64,
    overlaps: Option<Overlaps>,
) -> Result<()> {
    let reach = targets.iter().map(Target::seen).max().unwrap_or(1) + stride;
    let lines = [SiteLines { format: SiteFormat::Bed, target: None, columns: Columns::default() }];
    let layout = Layout {
        targets,
        overlaps: Overlaps::Keep,
        lines: &lines,
        series: &[],
        false_discovery_rate: None,
        q_later: false,
        statistics: false,
        codes: false,
    };
    let chains = overlaps == Some(Overlaps::Suppress);
    let (early, late) = overlaps.map_or((0, 0), |overlaps| Layout { overlaps, ..layout }.line_starts());
    let mut worker = Worker::new(layout, std::mem::take(scanners));
    let last = source.planned().len().wrapping_sub(1);
    for end in [Some(0), (last != 0).then_some(last)].into_iter().flatten() {
        let Some((contig, mut stretch)) = source.planned().get(end).cloned() else { continue };
        let mut look = Look { source, worker: &mut worker, contig, segment: stretch.segment.clone() };
        if stretch.read.start > stretch.segment.start {
            stretch.read.start = look.left(stretch.read.start, reach, chains, late)?;
        }
        if stretch.read.end < stretch.segment.end {
            stretch.read.end =
                look.right((stretch.read.end + early).min(stretch.segment.end), reach, chains)?;
        }
        source.planned()[end].1 = stretch;
    }
    *scanners = worker.into_scanners();
    Ok(())
}

/// Looks at the hits around a seam.
struct Look<'a, 'b> {
    source: &'a mut GenomeSource,
    worker: &'a mut Worker<'b>,
    contig: usize,
    segment: Segment,
}

impl Look<'_, '_> {
    /// Where to begin for the sites whose lines begin at `seam` or later; windows start up to `late` bases before.
    fn left(&mut self, seam: u64, reach: u64, chains: bool, late: u64) -> Result<u64> {
        let (mut from, mut distance) = (seam, FIRST * reach);
        let mut hits: Vec<Vec<Hit>> = Vec::new();
        loop {
            let begin = seam.saturating_sub(distance).max(self.segment.start);
            if chains {
                let mut found = self.hits(begin..from)?;
                found.iter_mut().zip(&mut hits).for_each(|(found, later)| found.append(later));
                hits = found;
            }
            from = begin;
            let open = if begin == self.segment.start { 0 } else { begin };
            let sites = self.suppress(&hits, open..seam)?;
            // No hit that hangs on what lies farther left overlaps one of the shard.
            let settled =
                |(window, sites): (u64, &Sites)| sites.settled_from + window - 1 <= seam.saturating_sub(late);
            if self.windows().zip(&sites).all(settled) || begin == self.segment.start {
                return Ok(begin);
            }
            distance = distance.saturating_mul(MORE);
        }
    }

    /// End position for the sites that start before `seam`.
    fn right(&mut self, seam: u64, reach: u64, chains: bool) -> Result<u64> {
        let (mut from, mut distance) = (seam, FIRST * reach);
        let mut hits: Vec<Vec<Hit>> = Vec::new();
        loop {
            let end = seam.saturating_add(distance).min(self.segment.end);
            if chains {
                let found = self.hits(from..end)?;
                hits.resize(found.len(), Vec::new());
                hits.iter_mut().zip(found).for_each(|(hits, mut found)| hits.append(&mut found));
            }
            from = end;
            let open = if end == self.segment.end { u64::MAX } else { end };
            let sites = self.suppress(&hits, seam..open)?;
            let settled = |(window, sites): (u64, &Sites)| sites.settled_to >= seam + window - 1;
            if self.windows().zip(&sites).all(settled) || end == self.segment.end {
                return Ok(end);
            }
            distance = distance.saturating_mul(MORE);
        }
    }

    /// Suppresses the hits of each target as far as the windows that start in `seen` decide.
    fn suppress(&mut self, hits: &[Vec<Hit>], seen: Range<u64>) -> Result<Vec<Sites>> {
        let mut chunk = Chunk::default();
        let (mut all, mut failure) = (Vec::new(), Ok(()));
        for (rank, hits) in hits.iter().enumerate() {
            let target = &self.worker.targets()[rank];
            let mut off_centre = |hit: &Hit| -> Result<u64> {
                if matches!(target.cores, CoreSource::Window) {
                    return Ok(0);
                }
                let start = hit.start..hit.start + 1;
                self.source.read_window_starts(self.contig, &self.segment, start, &mut chunk)?;
                self.worker.off_centre(rank, &chunk, hit)
            };
            all.push(target.suppress(hits, &seen, |i| {
                off_centre(&hits[i]).unwrap_or_else(|error| {
                    failure = Err(error);
                    0
                })
            }));
        }
        failure.map(|()| all)
    }

    fn windows(&self) -> impl Iterator<Item = u64> + use<'_> {
        self.worker.targets().iter().map(Target::seen)
    }

    /// The hits of each target among the window starts `own`.
    fn hits(&mut self, own: Range<u64>) -> Result<Vec<Vec<Hit>>> {
        let (mut chunk, mut part) = (Chunk::default(), Part::default());
        let mut hits = vec![Vec::new(); self.worker.targets().len()];
        let mut start = own.start;
        while start < own.end {
            let end = own.end.min(start + PIECE);
            self.source.read_window_starts(self.contig, &self.segment, start..end, &mut chunk)?;
            debug_assert!(chunk.own == (start..end) && chunk.kept == EVERYWHERE);
            self.worker.find(&chunk, &mut part, |rank, _, found| {
                hits[rank].append(found);
                Ok(())
            })?;
            start = end;
        }
        Ok(hits)
    }
}
