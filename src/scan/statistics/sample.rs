//! A sample of the windows, scored in full: a scan with a threshold need not know how low the lower scores are.
//!
//! The sample is all of the first blocks of the input, then one block of many, drawn at random in each run of as many.

use std::ops::Range;

use super::Sampled;
use crate::Result;
use crate::engine::scanner::{OutputScores, Scanner, chunk_shape};
use crate::scan::ambiguous::{self, Ambiguous, Rule, Windows};
use crate::scan::chunk_hits::ByOutput;
use crate::scores::Scores;
use crate::scores::better_strand;
use crate::seq::chunk::{Chunk, ChunkShape};
use crate::track::Target;

/// Window starts of a block; blocks are counted from the first base that is scanned.
const BLOCK: u64 = 4096;

/// From which block on one of how many is drawn: a short genome is taken whole, of a long one about 1 %.
const TIERS: [(u64, u64); 3] = [(32, 1), (2048, 32), (u64::MAX, 128)];

/// Number of blocks that a block represents: 0 if it is not in the sample.
fn weight(block: u64) -> u64 {
    let (_, run) = TIERS.into_iter().find(|(end, _)| block < *end).unwrap_or((0, 1));
    if hash(&[block / run]) % run == block % run { run } else { 0 }
}

/// A number that looks random, of numbers that need not (the mixing function of SplitMix64, Steele et al. 2014).
pub(super) fn hash(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0, |hash: u64, &number| {
        let mut x = (hash ^ number).wrapping_add(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    })
}

/// Scores the sampled windows.
#[derive(Debug)]
pub(in crate::scan) struct Sampler {
    shape: ChunkShape,
    block: Chunk,
    ambiguous: Ambiguous,
    kept: Vec<Range<usize>>,
}

impl Sampler {
    /// A sampler for a worker's scanners.
    pub(in crate::scan) fn new(scanners: &[Box<dyn Scanner>]) -> Sampler {
        let shape = chunk_shape(BLOCK as usize, scanners);
        Sampler { shape, block: Chunk::default(), ambiguous: Ambiguous::default(), kept: Vec::new() }
    }

    /// Puts the sampled windows of `chunk`, before which so many bases were scanned, into `sampled`: an entry a target, or
    /// none if the chunk has no such windows.
    ///
    /// # Errors
    /// Errors of an engine.
    pub(in crate::scan) fn sample(
        &mut self,
        scanners: &mut [Box<dyn Scanner>],
        targets: &[Target],
        (chunk, before): (&Chunk, u64),
        sampled: &mut Vec<Sampled>,
    ) -> Result<()> {
        let bases = chunk.own.end - chunk.own.start;
        for number in before / BLOCK..(before + bases).div_ceil(BLOCK) {
            let weight = weight(number);
            if weight == 0 {
                continue;
            }
            let from = (number * BLOCK).max(before) - before;
            let to = ((number + 1) * BLOCK).min(before + bases) - before;
            self.cut(chunk, chunk.own.start + from..chunk.own.start + to);
            self.ambiguous.begin(&self.block);
            sampled.resize_with(targets.len(), Default::default);
            for (rank, scanner) in scanners.iter_mut().enumerate() {
                self.score(rank, scanner.as_mut(), targets, weight, sampled)?;
            }
        }
        Ok(())
    }

    /// Makes `block` the part of `chunk` that owns these window starts.
    fn cut(&mut self, chunk: &Chunk, own: Range<u64>) {
        let ChunkShape { left, right, reach, .. } = self.shape;
        let codes_end = chunk.start + chunk.codes.len() as u64;
        let start = own.start.saturating_sub(left as u64).max(chunk.start);
        let end = (own.end + right as u64).min(codes_end);
        let block = &mut self.block;
        block.contig.clone_from(&chunk.contig);
        block.codes.clear();
        block.codes.extend_from_slice(
            &chunk.codes[(start - chunk.start) as usize..(end.max(start) - chunk.start) as usize],
        );
        block.first = chunk.first && own.start == chunk.own.start;
        block.last = chunk.last && own.end == chunk.own.end;
        block.end = chunk.end.min(own.end + reach as u64);
        (block.start, block.own) = (start, own);
    }

    fn score(
        &mut self,
        number: usize,
        scanner: &mut dyn Scanner,
        targets: &[Target],
        weight: u64,
        counts: &mut [Sampled],
    ) -> Result<()> {
        let Sampler { block, ambiguous, kept, .. } = self;
        let of_scanner = (0..targets.len()).filter(|&rank| targets[rank].scanner == number);
        let of_scanner: Vec<usize> = of_scanner.collect();
        let by_output = ByOutput::new(of_scanner.iter().map(|&rank| targets[rank].output));
        scanner.score_outputs(block, None, &mut |OutputScores { output, scores, row }| {
            for rank in by_output.of(output).map(|i| of_scanner[i]) {
                let rule = Rule::from_target(&targets[rank]);
                ambiguous.keep(block, rule, Windows::from_scores(scores), kept);
                count(scores, row, kept, weight, &mut counts[rank]);
            }
            Ok(())
        })
    }
}

/// Counts the scores of the windows `kept` for one output, on the better strand.
fn count(
    scores: &Scores,
    output: usize,
    kept: &[Range<usize>],
    weight: u64,
    (histogram, windows): &mut Sampled,
) {
    *windows += ambiguous::count(kept) as u64;
    for at in kept.iter().flat_map(Range::clone).map(|window| output * scores.windows + window) {
        let score = match (scores.forward.get(at), scores.reverse.get(at)) {
            (Some(&forward), Some(&reverse)) => better_strand(forward, reverse).0,
            (Some(&score), None) | (None, Some(&score)) => score,
            (None, None) => continue,
        };
        histogram.add(score, weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_stands_for_all_blocks() {
        for blocks in [1u64, 32, 2048, 128 * 1000] {
            let (weights, sampled) = (0..blocks)
                .map(weight)
                .fold((0, 0), |(sum, count), weight| (sum + weight, count + u64::from(weight > 0)));
            assert_eq!(weights, blocks);
            assert!(sampled <= 32 + 63 + blocks / 128);
        }
    }
}
