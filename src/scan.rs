//! Scanning a genome: what the workers and the writer of the [`pipeline`] do.
//!
//! A worker scores a chunk with every model, calls hits, suppresses overlapping ones as far as the chunk tells, and
//! formats the sites. Only the few hits whose fate hangs on the next chunk are left to the writer.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::engine::{Engine, Scores, WindowPlan};
use crate::genome::Contig;
use crate::hits::{self, Hit};
use crate::pipeline;
use crate::source::{Chunk, SequenceSource};
use crate::track::{Output, SiteFormat};
use crate::{Error, Result};

/// What becomes of hits whose windows overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlaps {
    /// The best of them is reported ([`hits::suppress`]).
    Suppress,
    /// All are reported.
    Keep,
}

/// A model as a worker holds it.
pub struct Scanner {
    /// The worker's own engine.
    pub engine: Box<dyn Engine>,
    /// Which windows it scores.
    pub plan: WindowPlan,
}

/// What a scan did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanSummary {
    /// Bases read (of the regions, where regions were given).
    pub bases: u64,
    /// Windows scored, over all models; both strands of a window count once.
    pub windows: u64,
    /// Lines written.
    pub sites: u64,
    /// Contigs, or regions of them.
    pub segments: u64,
    /// Of these, the ones too short for a window of some model.
    pub short_segments: u64,
    /// Names of the first few of those.
    pub short_names: Vec<String>,
}

/// Names kept in [`ScanSummary::short_names`].
const NAMES_KEPT: usize = 5;

/// Scans `source` with one set of scanners a worker and writes sites to `output`, in input order and sorted by start
/// within a contig. `progress` is told how far the input is read ([`SequenceSource::progress`]) and the summary so
/// far.
///
/// # Errors
/// Whatever the source, an engine or the output meets first.
pub fn run(
    mut source: Box<dyn SequenceSource>,
    workers: Vec<Vec<Scanner>>,
    format: &SiteFormat,
    overlaps: Overlaps,
    mut output: Output,
    mut progress: impl FnMut((u64, Option<u64>), &ScanSummary),
    cancel: &AtomicBool,
) -> Result<ScanSummary> {
    output.write(format.header().as_bytes())?;
    let workers = workers
        .into_iter()
        .map(|scanners| {
            let mut worker =
                Worker { scanners, format, overlaps, scores: Scores::default(), hits: Vec::new() };
            move |item: &Item, part: &mut Part| worker.scan(item, part)
        })
        .collect();
    let mut writer =
        Writer { format, output, pending: Vec::new(), lines: Vec::new(), summary: ScanSummary::default() };
    pipeline::run(
        |item: &mut Item| {
            let more = source.read_chunk(&mut item.chunk)?;
            item.progress = source.progress();
            Ok(more)
        },
        workers,
        |part: &mut Part| {
            writer.write(part)?;
            progress(part.progress, &writer.summary);
            Ok(())
        },
        cancel,
    )?;
    writer.output.finish()?;
    Ok(writer.summary)
}

#[derive(Default)]
struct Item {
    chunk: Chunk,
    progress: (u64, Option<u64>),
}

/// A worker's share of the output: one chunk's sites.
#[derive(Default)]
struct Part {
    contig: Option<Arc<Contig>>,
    own: Range<u64>,
    last: bool,
    /// Hits left of the settled stretch, to be joined with what the previous chunk left.
    head: Vec<Hit>,
    /// Lines of the sites within the settled stretch, and their number.
    lines: Vec<u8>,
    sites: u64,
    /// Hits right of the settled stretch.
    tail: Vec<Hit>,
    windows: u64,
    /// Whether this is a segment's first chunk, and whether some model has no window in the segment.
    first: bool,
    short: bool,
    progress: (u64, Option<u64>),
}

struct Worker<'a> {
    scanners: Vec<Scanner>,
    format: &'a SiteFormat,
    overlaps: Overlaps,
    scores: Scores,
    hits: Vec<Hit>,
}

impl Worker<'_> {
    fn scan(&mut self, item: &Item, part: &mut Part) -> Result<()> {
        let chunk = &item.chunk;
        part.contig = Some(chunk.contig.clone());
        (part.own, part.first, part.last) = (chunk.own.clone(), chunk.first, chunk.last);
        part.progress = item.progress;
        (part.windows, part.short, part.sites) = (0, false, 0);
        part.head.clear();
        part.tail.clear();
        part.lines.clear();

        let seen =
            if chunk.first { 0 } else { chunk.own.start }..if chunk.last { u64::MAX } else { chunk.own.end };
        let mut settled = 0..u64::MAX;
        let mut sites = Vec::new();
        let mut targets = self.format.targets().iter().enumerate().peekable();
        for (model, scanner) in self.scanners.iter_mut().enumerate() {
            scanner.engine.score(chunk, &scanner.plan, &mut self.scores)?;
            let scored = &self.scores;
            part.windows += scored.windows as u64;
            part.short |= chunk.first && chunk.last && scored.windows == 0;
            while let Some((rank, target)) = targets.next_if(|(_, target)| target.model == model) {
                self.hits.clear();
                hits::collect(scored, target.output, rank, target.threshold, &mut self.hits).map_err(
                    |start| {
                        let at = format!("gave NaN for the window at {}:{}", chunk.contig.name, start + 1);
                        Error::model(&target.name, at)
                    },
                )?;
                if self.overlaps == Overlaps::Keep {
                    sites.append(&mut self.hits);
                } else {
                    let found = hits::suppress(&self.hits, target.window, &seen);
                    settled = settled.start.max(found.settled_from)..settled.end.min(found.settled_to);
                    sites.extend(found.hits);
                }
            }
        }
        sort(&mut sites);
        if settled.start > settled.end {
            part.head = sites;
            return Ok(());
        }
        let head = sites.partition_point(|hit| hit.start < settled.start);
        let tail = sites.partition_point(|hit| hit.start < settled.end);
        for hit in &sites[head..tail] {
            self.format.write(&chunk.contig, hit, &mut part.lines);
        }
        part.sites = (tail - head) as u64;
        part.head.extend_from_slice(&sites[..head]);
        part.tail.extend_from_slice(&sites[tail..]);
        Ok(())
    }
}

fn sort(hits: &mut [Hit]) {
    hits.sort_by_key(|hit| (hit.start, hit.target));
}

struct Writer<'a> {
    format: &'a SiteFormat,
    output: Output,
    /// Hits of the current segment that wait for the next chunk.
    pending: Vec<Hit>,
    lines: Vec<u8>,
    summary: ScanSummary,
}

impl Writer<'_> {
    fn write(&mut self, part: &mut Part) -> Result<()> {
        let contig = part.contig.take().expect("a worker sets the contig");
        let seen = if part.last { u64::MAX } else { part.own.end };
        self.pending.append(&mut part.head);
        self.settle(&contig, seen)?;
        if !part.lines.is_empty() || !part.tail.is_empty() {
            // Everything before the settled stretch was decided just now.
            debug_assert!(self.pending.is_empty());
            self.output.write(&part.lines)?;
            self.pending.append(&mut part.tail);
        }

        let summary = &mut self.summary;
        summary.bases += part.own.end - part.own.start;
        summary.windows += part.windows;
        summary.sites += part.sites;
        summary.segments += u64::from(part.first);
        if part.short {
            summary.short_segments += 1;
            if summary.short_names.len() < NAMES_KEPT {
                summary.short_names.push(contig.name.clone());
            }
        }
        Ok(())
    }

    /// Writes the pending hits that are sites now that all windows that start before `seen` are known.
    fn settle(&mut self, contig: &Contig, seen: u64) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut settled_to = u64::MAX;
        let mut left = Vec::new();
        for (rank, target) in self.format.targets().iter().enumerate() {
            let hits: Vec<Hit> = self.pending.iter().copied().filter(|hit| hit.target == rank).collect();
            let sites = hits::suppress(&hits, target.window, &(0..seen));
            settled_to = settled_to.min(sites.settled_to);
            left.extend(sites.hits);
        }
        sort(&mut left);
        let decided = left.partition_point(|hit| hit.start < settled_to);
        self.lines.clear();
        for hit in left.drain(..decided) {
            self.format.write(contig, &hit, &mut self.lines);
            self.summary.sites += 1;
        }
        self.output.write(&self.lines)?;
        self.pending = left;
        Ok(())
    }
}
