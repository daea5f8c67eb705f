//! Regions of a genome and what models find in each: the best window, the sites, their sum.
//!
//! Workers score regions one by one, and the rows come out in the order of the regions; what is held in memory is the list
//! of regions, 40 bytes each and its name. [`table`] writes the rows; [`crate::enrichment`] counts in how many regions there
//! is a site.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use crate::engine::scanner::{Scanners, chunk_shape};
use crate::genome::random_access::Lookup;
use crate::pipeline;
use crate::scan::Overlaps;
use crate::scan::chunk_hits::{Found, Need};
use crate::scores::{Scores, best};
use crate::seq::chunk::{Chunk, ChunkShape};
use crate::seq::contig::Strand;
use crate::sites::core::Locator;
use crate::track::Target;
use crate::{Error, Result};

mod list;
pub mod table;

pub use list::{Region, RegionList};

/// Regions of a batch times targets, at the most, so that a batch has some MB.
const CELLS: usize = 1 << 16;

/// The best window of a region.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BestWindow {
    /// Its score on its better strand.
    pub score: f32,
    /// Contig position of its first base, 0-based. Of windows with the same score the first.
    pub start: u64,
    /// The strand; forward where both score the same.
    pub strand: Strand,
}

/// Findings of one model in one region.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cell {
    /// The best window, if it is asked for; `None` if the region has no window with few enough N.
    pub best: Option<BestWindow>,
    /// Number of sites, if they are asked for.
    pub sites: u32,
    /// Sum of their scores.
    pub sum: f64,
}

/// Values wanted of each region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The best window.
    pub best: bool,
    /// The windows that reach the thresholds of the targets, and what becomes of those that overlap.
    pub sites: Option<Overlaps>,
}

/// Regions to score, and for what.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    genome: &'a Lookup,
    regions: &'a [Region],
    targets: &'a [Target],
    question: Question,
}

impl<'a> Job<'a> {
    /// A job that scores `regions` of a genome for `targets`; `question` says what is wanted of each region.
    pub fn new(
        genome: &'a Lookup,
        regions: &'a [Region],
        targets: &'a [Target],
        question: Question,
    ) -> Job<'a> {
        Job { genome, regions, targets, question }
    }
}

/// Output of a worker for a batch of regions: text, and a number of its own, which adds up.
#[derive(Debug, Default)]
pub struct Rows {
    /// Text.
    pub text: Vec<u8>,
    /// Number of entries written.
    pub entries: u64,
    /// Regions in the batch.
    regions: u64,
}

/// Scores all regions with one set of scanners a worker. `row` appends what is to be said of a region, given its rank and a
/// cell for each target; `write` gets that in the order of the regions; `progress` is told how many are done.
///
/// # Errors
/// A genome that cannot be read, a failure of an engine, a score that is NaN, and what `write` gives.
pub fn score(
    job: Job<'_>,
    workers: Vec<Scanners>,
    row: impl Fn(usize, &[Cell], &mut Rows) + Sync,
    mut write: impl FnMut(&Rows) -> Result<()>,
    mut progress: impl FnMut(u64),
    cancel: &AtomicBool,
) -> Result<()> {
    let together = (CELLS / job.targets.len().max(1)).clamp(1, 1024);
    let row = &row;
    let workers = workers
        .into_iter()
        .map(|scanners| {
            let mut worker = Worker::new(job, scanners);
            move |batch: &Range<usize>, rows: &mut Rows| {
                rows.text.clear();
                (rows.entries, rows.regions) = (0, batch.len() as u64);
                for rank in batch.clone() {
                    worker.score(&job.regions[rank])?;
                    row(rank, &worker.cells, rows);
                }
                Ok(())
            }
        })
        .collect();
    let (mut next, mut done) = (0, 0);
    pipeline::run(
        |batch: &mut Range<usize>| {
            *batch = next..(next + together).min(job.regions.len());
            next = batch.end;
            Ok(batch.start < batch.end)
        },
        workers,
        |rows: &mut Rows| {
            write(rows)?;
            done += rows.regions;
            progress(done);
            Ok(())
        },
        cancel,
    )
}

struct Worker<'a> {
    job: Job<'a>,
    scanners: Scanners,
    shape: ChunkShape,
    chunk: Chunk,
    found: Found,
    locator: Locator,
    cells: Vec<Cell>,
}

impl<'a> Worker<'a> {
    fn new(job: Job<'a>, scanners: Scanners) -> Worker<'a> {
        let shape = chunk_shape(1, &scanners);
        let cells = vec![Cell::default(); job.targets.len()];
        let (chunk, found, locator) = (Chunk::default(), Found::default(), Locator::default());
        Worker { job, scanners, shape, chunk, found, locator, cells }
    }

    /// Reads a region, with the flanks that the models look at.
    fn load(&mut self, region: &Region) -> Result<()> {
        let contig = &self.job.genome.contigs()[region.contig];
        let length = contig.length.unwrap_or(region.end);
        let from = region.start.saturating_sub(self.shape.left as u64);
        let to = (region.end + self.shape.right as u64).min(length);
        let chunk = &mut self.chunk;
        (chunk.contig, chunk.start, chunk.own) = (contig.clone(), from, region.start..region.end);
        chunk.end = region.end;
        (chunk.segment_start, chunk.segment_end) = (region.start, region.end);
        chunk.codes.clear();
        self.job.genome.fetch(contig, from..to, &mut chunk.codes)
    }

    fn score(&mut self, region: &Region) -> Result<()> {
        self.load(region)?;
        let Worker { job, scanners, chunk, found, locator, cells, .. } = self;
        cells.fill(Cell::default());
        let Question { best, sites } = job.question;
        let need = Need { all: best, scores: false, hits: sites.is_some() };
        for (number, scanner) in scanners.iter_mut().enumerate() {
            let ranked = job.targets.iter().enumerate();
            let targets: Vec<(usize, &Target)> =
                ranked.filter(|(_, target)| target.scanner == number).collect();
            found.scan(
                scanner.as_mut(),
                chunk,
                &targets,
                need,
                |(rank, _), scores, row, kept| {
                    if best {
                        cells[rank].best = best_window(scores, row, kept)?;
                    }
                    Ok(())
                },
                |start| format!("{}:{}", chunk.contig.name, start + 1),
            )?;
            let Some(overlaps) = sites else { continue };
            for (rank, target) in targets {
                let hits = found.hits(target.output);
                if overlaps == Overlaps::Suppress {
                    let mut finder = locator.begin(&target.cores, scanner.as_mut(), target.output, chunk);
                    let found = target.suppress(hits, &(0..u64::MAX), |i| finder.off_centre(&hits[i]));
                    finder.finish()?;
                    *hits = found.hits;
                }
                cells[rank].sites = hits.len() as u32;
                // An empty sum is a negative zero.
                cells[rank].sum = 0.0 + hits.iter().map(|hit| f64::from(hit.score)).sum::<f64>();
            }
        }
        Ok(())
    }
}

/// The best of the windows `kept` in row `row` of `scores`; or else the start of a window whose score is NaN.
fn best_window(scores: &Scores, row: usize, kept: &[Range<usize>]) -> Result<Option<BestWindow>, u64> {
    let mut found: Option<BestWindow> = None;
    for range in kept {
        let of = |strand: &[f32]| -> Range<usize> {
            let from = row * scores.windows;
            if strand.is_empty() { 0..0 } else { from + range.start..from + range.end }
        };
        let (forward, reverse) = (&scores.forward[of(&scores.forward)], &scores.reverse[of(&scores.reverse)]);
        let start = |number: usize| scores.start + ((range.start + number) * scores.stride) as u64;
        if let Some((number, score, strand)) = best(forward, reverse).map_err(start)?
            && found.is_none_or(|found| score > found.score)
        {
            found = Some(BestWindow { score, start: start(number), strand });
        }
    }
    Ok(found)
}

/// Checks that some region can be scored: that one is as long as the shortest window.
///
/// # Errors
/// No region is.
pub fn check_lengths(regions: &[Region], targets: &[Target]) -> Result<()> {
    let shortest = targets.iter().map(|target| target.window).min().unwrap_or(1);
    let longest = regions.iter().map(|region| region.end - region.start).max().unwrap_or(0);
    if longest < shortest {
        return Err(Error::Data(format!(
            "no region is as long as a window: the longest region has {longest} bases, the shortest window {shortest}"
        )));
    }
    Ok(())
}
