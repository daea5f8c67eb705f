//! Rates of sites in background, by scanning it as a genome is scanned.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::calibrate::background::Background;
use crate::calibrate::sample::Amount;
use crate::engine::scanner::{Scanner, Scanners, chunk_shape, find_in_all_windows};
use crate::null::distribution::Null;
use crate::null::fdr::TestCounts;
use crate::null::peaks::{HIGHEST_P, PeakRate};
use crate::scores::{Hit, HitRule, HitStrands};
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
    workers: Vec<Scanners>,
    tested: &[Tested],
    background: &Background,
    amount: Amount,
    mut progress: impl FnMut(u64, u64),
    cancel: &AtomicBool,
) -> Result<Vec<PeakRate>> {
    let strands: Vec<StrandChoice> =
        tested.iter().map(|tested| workers[0][tested.scanner].plan(tested.output).strands).collect();
    let pieces = amount.windows.div_ceil(PIECE as u64).max(1);
    let workers = workers.into_iter().map(|mut scanners| {
        let mut hits = Vec::new();
        move |piece: &u64, counts: &mut Vec<TestCounts>| {
            let chunk = draw(background, &scanners, amount.seed, *piece);
            counts.clear();
            counts.resize_with(tested.len(), TestCounts::default);
            for (number, scanner) in scanners.iter_mut().enumerate() {
                count(scanner.as_mut(), number, tested, &chunk, &mut hits, counts)?;
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

/// A piece of background, with the flanks that the scanners look at.
fn draw(background: &Background, scanners: &[Box<dyn Scanner>], seed: u64, piece: u64) -> Chunk {
    let shape = chunk_shape(PIECE, scanners);
    let mut codes = Vec::new();
    // Other background than that which p-values were counted in.
    let before = shape.left.max(BEFORE);
    background.fill(!seed, piece, before + PIECE + shape.right, &mut codes);
    let own = before as u64..(before + PIECE) as u64;
    let end = own.end + shape.reach as u64;
    Chunk { own, end, ..Chunk::whole("background", codes) }
}

/// Counts the peaks in a chunk of those outputs that are one scanner's. `hits` is scratch memory.
fn count(
    scanner: &mut dyn Scanner,
    number: usize,
    tested: &[Tested],
    chunk: &Chunk,
    hits: &mut Vec<Vec<Hit>>,
    counts: &mut [TestCounts],
) -> Result<()> {
    let of_scanner: Vec<(&Tested, usize)> =
        tested.iter().zip(0..).filter(|(tested, _)| tested.scanner == number).collect();
    let rule = |tested: &Tested| HitRule { thresholds: tested.thresholds(), strands: HitStrands::Better };
    let rules = of_scanner.iter().map(|(tested, _)| (tested.output, rule(tested)));
    let all = find_in_all_windows(scanner, chunk, rules, hits, &|rank, _| {
        Error::model(&of_scanner[rank].0.name, "gave NaN for a window of background")
    })?;
    for (&(tested, rank), all) in of_scanner.iter().zip(&all) {
        let counts: &mut TestCounts = &mut counts[rank];
        counts.tests += all.len() as u64;
        let hits = &hits[tested.output];
        let peaks = sites::suppress(hits, scanner.seen(tested.output), &(0..u64::MAX), |_| 0).hits;
        peaks.iter().for_each(|hit| counts.add(tested.null.step(hit.score, hit.strand)));
    }
    Ok(())
}
