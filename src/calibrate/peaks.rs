//! Rates of sites in background, by scanning it as a genome is scanned.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::calibrate::background::Background;
use crate::calibrate::sample::Amount;
use crate::engine::scanner::{Scanner, chunk_shape};
use crate::null::distribution::Null;
use crate::null::fdr::TestCounts;
use crate::null::peaks::{HIGHEST_P, PeakRate};
use crate::scores::{Hit, Scores};
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::seq::window::StrandChoice;
use crate::{Error, Result, pipeline, sites};

/// Bases before the first window of a piece, the same whatever is scanned: rates of a model do not depend on others.
const BEFORE: usize = 1 << 10;

/// Window starts of a piece of background.
const PIECE: usize = 1 << 16;

/// One output of a scanner, whose rate of sites is wanted.
#[derive(Debug, Clone)]
pub struct Tested {
    /// Name, for messages.
    pub name: String,
    /// Rank of the scanner.
    pub scanner: usize,
    /// Output of that scanner.
    pub output: usize,
    /// Distribution of its scores in background.
    pub null: Arc<Null>,
}

impl Tested {
    /// Lowest scores of peaks that are counted, on each strand.
    fn thresholds(&self) -> [f32; 2] {
        [Strand::Forward, Strand::Reverse].map(|strand| {
            let threshold = self.null.threshold(HIGHEST_P, strand);
            threshold.filter(|_| !self.null.is_constant()).unwrap_or(f32::MAX)
        })
    }
}

/// Scans background with one set of scanners a worker, and gives the rate of sites of each of `tested`. `progress` is told
/// how many window starts of how many are done. The result does not depend on the number of workers.
///
/// # Errors
/// Errors of an engine, and scores that are not numbers.
pub fn sample(
    workers: Vec<Vec<Scanner>>,
    tested: &[Tested],
    background: &Background,
    amount: Amount,
    mut progress: impl FnMut(u64, u64),
    cancel: &AtomicBool,
) -> Result<Vec<PeakRate>> {
    let strands: Vec<StrandChoice> =
        tested.iter().map(|tested| strands(&workers[0][tested.scanner], tested)).collect();
    let pieces = amount.windows.div_ceil(PIECE as u64).max(1);
    let workers = workers.into_iter().map(|mut scanners| {
        let mut scratch = Scratch::default();
        move |piece: &u64, counts: &mut Vec<TestCounts>| {
            let chunk = draw(background, &scanners, amount.seed, *piece);
            counts.clear();
            counts.resize_with(tested.len(), TestCounts::default);
            for (number, scanner) in scanners.iter_mut().enumerate() {
                scratch.scan(scanner, number, tested, &chunk, counts)?;
            }
            Ok(())
        }
    });
    let mut sums = vec![TestCounts::default(); tested.len()];
    let (mut next, mut done) = (0, 0);
    pipeline::run(
        |piece: &mut u64| {
            *piece = next;
            next += 1;
            Ok(*piece < pieces)
        },
        workers.collect(),
        |counts: &mut Vec<TestCounts>| {
            sums.iter_mut().zip(counts).for_each(|(sum, counts)| sum.merge(counts));
            done += 1;
            progress(done * PIECE as u64, pieces * PIECE as u64);
            Ok(())
        },
        cancel,
    )?;
    let rates = sums.iter().zip(tested).zip(strands);
    Ok(rates.map(|((counts, tested), strands)| PeakRate::counted(counts, &tested.null, strands)).collect())
}

fn strands(scanner: &Scanner, tested: &Tested) -> StrandChoice {
    match scanner {
        Scanner::Model { plan, .. } => plan.strands,
        Scanner::Matrices(matrices) => matrices.plan(tested.output).strands,
    }
}

/// A piece of background, with the flanks that the scanners look at.
fn draw(background: &Background, scanners: &[Scanner], seed: u64, piece: u64) -> Chunk {
    let shape = chunk_shape(PIECE, scanners);
    let mut codes = Vec::new();
    // Other background than that which p-values were counted in.
    let before = shape.left.max(BEFORE);
    background.fill(!seed, piece, before + PIECE + shape.right, &mut codes);
    let own = before as u64..(before + PIECE) as u64;
    let end = own.end + shape.reach as u64;
    Chunk { own, end, ..Chunk::whole("background", codes) }
}

/// Scores and hits of a scanner.
#[derive(Default)]
struct Scratch {
    scores: Scores,
    hits: Vec<Vec<Hit>>,
}

impl Scratch {
    /// Counts the peaks in a chunk of those outputs that are one scanner's.
    fn scan(
        &mut self,
        scanner: &mut Scanner,
        number: usize,
        tested: &[Tested],
        chunk: &Chunk,
        counts: &mut [TestCounts],
    ) -> Result<()> {
        let of_scanner = || tested.iter().zip(0..).filter(|(tested, _)| tested.scanner == number);
        self.hits.iter_mut().for_each(Vec::clear);
        let outputs = of_scanner().map(|(tested, _)| tested.output + 1).max().unwrap_or(0);
        self.hits.resize_with(self.hits.len().max(outputs), Vec::new);
        match scanner {
            Scanner::Model { engine, plan } => {
                let lowest =
                    of_scanner().flat_map(|(tested, _)| tested.thresholds()).fold(f32::MAX, f32::min);
                engine.score_above(chunk, plan, lowest, &mut self.scores)?;
                let all = 0..self.scores.windows;
                for (tested, _) in of_scanner() {
                    let hits = &mut self.hits[tested.output];
                    sites::collect(
                        &self.scores,
                        tested.output,
                        std::slice::from_ref(&all),
                        tested.thresholds(),
                        hits,
                    )
                    .map_err(|_| Error::model(&tested.name, "gave NaN for a window of background"))?;
                }
            }
            Scanner::Matrices(matrices) => {
                let mut thresholds = vec![[f32::MAX; 2]; matrices.matrices()];
                of_scanner().for_each(|(tested, _)| thresholds[tested.output] = tested.thresholds());
                self.hits.resize_with(self.hits.len().max(thresholds.len()), Vec::new);
                matrices.find(chunk, &thresholds, &mut self.hits);
            }
        }
        for (tested, rank) in of_scanner() {
            let windows = match scanner {
                Scanner::Model { plan, .. } => chunk.windows(plan).1,
                Scanner::Matrices(matrices) => matrices.windows(chunk, tested.output),
            };
            let counts: &mut TestCounts = &mut counts[rank];
            counts.tests += windows as u64;
            let hits = &self.hits[tested.output];
            let window = match scanner {
                Scanner::Model { plan, .. } => plan.window,
                Scanner::Matrices(matrices) => matrices.plan(tested.output).window,
            };
            let (before, behind) = scanner.flanks();
            let seen = before + window as u64 + behind;
            let peaks = sites::suppress(hits, seen, &(0..u64::MAX), |_| 0).hits;
            peaks.iter().for_each(|hit| counts.add(tested.null.step(hit.score, hit.strand)));
        }
        Ok(())
    }
}
