//! Scanning a genome: what the workers and the writer of the [`pipeline`] do.
//!
//! A worker scores a chunk with every model, calls hits, suppresses overlapping ones as far as the chunk tells, and
//! formats the sites. Only the few hits whose fate hangs on the next chunk are left to the writer.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::engine::kernel::MatrixScanner;
use crate::engine::{Engine, Scores, WindowPlan};
use crate::genome::Contig;
use crate::hits::{self, Hit};
use crate::output::Output;
use crate::pipeline;
use crate::source::{Chunk, ChunkShape, SequenceSource};
use crate::track::SiteFormat;
use crate::{Error, Result};

/// What becomes of hits whose windows overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlaps {
    /// The best of them is reported ([`hits::suppress`]).
    Suppress,
    /// All are reported.
    Keep,
}

/// What a worker scans with.
pub enum Scanner {
    /// A model: each of its outputs is a target.
    Model {
        /// The worker's own engine.
        engine: Box<dyn Engine>,
        /// Which windows it scores.
        plan: WindowPlan,
    },
    /// Motif matrices: each is a target.
    Matrices(MatrixScanner),
}

impl Scanner {
    /// Bases that a window looks at: of its left flank, past its first base, and of its right flank.
    fn reach(&self) -> (usize, usize, usize) {
        match self {
            Scanner::Model { engine, plan } => {
                let (left, right) = engine.flanks(plan);
                (left, plan.window - 1, right)
            }
            Scanner::Matrices(matrices) => (0, matrices.longest() - 1, 0),
        }
    }
}

/// The chunk shape that serves several scanners at once, with `own` window starts a chunk.
pub fn chunk_shape(own: usize, scanners: &[Scanner]) -> ChunkShape {
    let mut shape = ChunkShape { own, left: 0, right: 0, reach: 0 };
    for (left, reach, right) in scanners.iter().map(Scanner::reach) {
        shape.left = shape.left.max(left);
        shape.right = shape.right.max(reach + right);
        shape.reach = shape.reach.max(reach);
    }
    shape
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
    let mut writer = Writer {
        format,
        output,
        pending: Vec::new(),
        windows: Vec::new(),
        lines: Vec::new(),
        summary: ScanSummary::default(),
    };
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
    /// Windows scored by each model.
    windows: Vec<u64>,
    first: bool,
    progress: (u64, Option<u64>),
}

struct Worker<'a> {
    scanners: Vec<Scanner>,
    format: &'a SiteFormat,
    overlaps: Overlaps,
    scores: Scores,
    /// Hits of each output of the scanner in hand.
    hits: Vec<Vec<Hit>>,
}

impl Worker<'_> {
    fn scan(&mut self, item: &Item, part: &mut Part) -> Result<()> {
        let chunk = &item.chunk;
        part.contig = Some(chunk.contig.clone());
        (part.own, part.first, part.last) = (chunk.own.clone(), chunk.first, chunk.last);
        part.progress = item.progress;
        part.sites = 0;
        part.windows.clear();
        part.head.clear();
        part.tail.clear();
        part.lines.clear();

        let seen =
            if chunk.first { 0 } else { chunk.own.start }..if chunk.last { u64::MAX } else { chunk.own.end };
        let mut settled = 0..u64::MAX;
        let mut sites = Vec::new();
        for (number, scanner) in self.scanners.iter_mut().enumerate() {
            let targets =
                self.format.targets().iter().enumerate().filter(|(_, target)| target.scanner == number);
            let hits = &mut self.hits;
            hits.iter_mut().for_each(Vec::clear);
            match scanner {
                Scanner::Model { engine, plan } => {
                    let lowest =
                        targets.clone().map(|(_, target)| target.threshold).fold(f32::INFINITY, f32::min);
                    engine.score_above(chunk, plan, hits::unrounded_bound(lowest), &mut self.scores)?;
                    let scored = &self.scores;
                    part.windows.push(scored.windows as u64);
                    for (_, target) in targets.clone() {
                        hits::collect(scored, target.output, target.threshold, at(hits, target.output))
                            .map_err(|start| {
                                let place = format!("{}:{}", chunk.contig.name, start + 1);
                                Error::model(&target.name, format!("gave NaN for the window at {place}"))
                            })?;
                    }
                }
                Scanner::Matrices(matrices) => {
                    let thresholds: Vec<f32> = targets.clone().map(|(_, target)| target.threshold).collect();
                    hits.resize_with(hits.len().max(thresholds.len()), Vec::new);
                    matrices.find(chunk, &thresholds, hits);
                    for rank in 0..matrices.matrices() {
                        part.windows.push(matrices.windows(chunk, rank) as u64);
                    }
                }
            }
            for (rank, target) in targets {
                let found = at(hits, target.output);
                found.iter_mut().for_each(|hit| hit.target = rank);
                if self.overlaps == Overlaps::Keep {
                    sites.append(found);
                } else {
                    let found = hits::suppress(found, target.window, &seen);
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

/// The hits of one output.
fn at(hits: &mut Vec<Vec<Hit>>, output: usize) -> &mut Vec<Hit> {
    if hits.len() <= output {
        hits.resize_with(output + 1, Vec::new);
    }
    &mut hits[output]
}

fn sort(hits: &mut [Hit]) {
    hits.sort_by_key(|hit| (hit.start, hit.target));
}

struct Writer<'a> {
    format: &'a SiteFormat,
    output: Output,
    /// Hits of the current segment that wait for the next chunk.
    pending: Vec<Hit>,
    /// Windows of the current segment so far, by model.
    windows: Vec<u64>,
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
        summary.windows += part.windows.iter().sum::<u64>();
        summary.sites += part.sites;
        summary.segments += u64::from(part.first);
        if part.first {
            self.windows.clear();
        }
        self.windows.resize(part.windows.len(), 0);
        self.windows.iter_mut().zip(&part.windows).for_each(|(all, more)| *all += more);
        if part.last && self.windows.contains(&0) {
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
