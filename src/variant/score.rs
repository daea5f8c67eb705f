//! Scores of alleles: only the windows that touch an allele are scored, on its own haplotype.
//!
//! An allele stands between its flanks, the reference bases beside it; the windows of an allele are those that cover a
//! base of it, as it is written (the base before an indel, which VCF has in both alleles, counts). The reference
//! and each alternative are compared by their best windows, on the better of the strands that the model reads.
//!
//! What a substitution does is DeepBind's effect score (Alipanahi et al. 2015, online methods, mutation maps):
//! `(p(alternative) - p(reference)) · max(0, p(alternative), p(reference))`, so that what matters is a difference between
//! scores of which one at least says that the protein binds.

use std::ops::Range;

use crate::encode::N;
use crate::engine::{Context, Scores, WindowPlan};
use crate::genome::Strand;
use crate::hits;
use crate::scan::Scanner;
use crate::source::Chunk;
use crate::{Error, Result};

/// One output of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name, as files show it.
    pub name: String,
    /// Rank of the scanner that scores it.
    pub scanner: usize,
    /// Output of that scanner: a model's output, or a matrix's rank.
    pub output: usize,
    /// Window in bases.
    pub window: usize,
    /// Bases of the shortest sequence that the model can score.
    pub shortest: usize,
    /// Whether both strands have the same score, so that a window has no strand.
    pub symmetric: bool,
}

/// The best window of an allele.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// Its score on its better strand.
    pub score: f32,
    /// Where it starts, in bases from the allele's first base and on the allele's own haplotype: 0 is that base,
    /// negative numbers lie before it. Of windows with the same score ([`hits::round_score`]) the first.
    pub offset: i64,
    /// The strand; forward where both score the same, `None` where the model does not tell them apart.
    pub strand: Option<Strand>,
}

/// What an alternative allele does: how the best scores differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    /// Best alternative score less best reference score.
    pub difference: f32,
    /// DeepBind's effect score: the difference times max(0, alternative, reference).
    pub effect: f32,
}

impl Effect {
    /// The effect of `alternative` in place of `reference`.
    ///
    /// ```
    /// use bindscan::variant::score::Effect;
    ///
    /// assert_eq!(Effect::of(3.0, 1.0), Effect { difference: -2.0, effect: -6.0 });
    /// assert_eq!(Effect::of(-3.0, -1.0).effect, 0.0);
    /// ```
    pub fn of(reference: f32, alternative: f32) -> Effect {
        let difference = alternative - reference;
        let effect = difference * reference.max(alternative).max(0.0);
        // A difference of nothing is no negative one.
        Effect { difference, effect: if effect == 0.0 { 0.0 } else { effect } }
    }
}

/// Bases that scanners look at on each side of an allele, where the contig has them.
pub fn flank(scanners: &[Scanner]) -> usize {
    let of_scanner = |scanner: &Scanner| match scanner {
        Scanner::Model { engine, plan } => {
            let (left, right) = engine.flanks(plan);
            plan.window - 1 + left.max(right)
        }
        Scanner::Matrices(matrices) => matrices.longest() - 1,
    };
    scanners.iter().map(of_scanner).max().unwrap_or(0)
}

/// Scores alleles with the scanners of one worker.
pub struct Scorer<'a> {
    targets: &'a [Target],
    scanners: Vec<Scanner>,
    /// Ranks of the targets of each scanner, by its outputs.
    ranks: Vec<Vec<Option<usize>>>,
    flank: usize,
    haplotype: Chunk,
    scores: Scores,
}

impl<'a> Scorer<'a> {
    /// A scorer of `targets`, which refer to `scanners`; these score every window (stride 1).
    pub fn new(targets: &'a [Target], scanners: Vec<Scanner>) -> Scorer<'a> {
        let flank = flank(&scanners);
        let mut ranks: Vec<Vec<Option<usize>>> = vec![Vec::new(); scanners.len()];
        for (rank, target) in targets.iter().enumerate() {
            let of_scanner = &mut ranks[target.scanner];
            of_scanner.resize(of_scanner.len().max(target.output + 1), None);
            of_scanner[target.output] = Some(rank);
        }
        let (haplotype, scores) = (Chunk::whole("", Vec::new()), Scores::default());
        Scorer { targets, scanners, ranks, flank, haplotype, scores }
    }

    /// What is scored.
    pub fn targets(&self) -> &'a [Target] {
        self.targets
    }

    /// What [`flank`] gives for its scanners.
    pub fn flank(&self) -> usize {
        self.flank
    }

    /// Appends the best window of each target to `best`; `None` where the whole haplotype is too short for the model.
    ///
    /// `left` and `right` are the codes beside the allele, [`Scorer::flank`] of them, or fewer where the contig ends;
    /// `start` is the contig position of the first of them. A haplotype no longer than a window is scored once,
    /// whole, as [`score_sequence`](crate::engine::summary::score_sequence) does.
    ///
    /// # Errors
    /// A failure of an engine; a score that is NaN.
    ///
    /// # Panics
    /// If the allele has no bases.
    pub fn score(
        &mut self,
        (left, allele, right): (&[u8], &[u8], &[u8]),
        start: u64,
        best: &mut Vec<Option<Best>>,
    ) -> Result<()> {
        assert!(!allele.is_empty());
        let from = best.len();
        best.resize(from + self.targets.len(), None);
        let best = &mut best[from..];
        let Chunk { codes, start: first, .. } = &mut self.haplotype;
        codes.clear();
        codes.extend_from_slice(left);
        codes.extend_from_slice(allele);
        codes.extend_from_slice(right);
        *first = start;
        let allele = left.len()..left.len() + allele.len();
        for number in 0..self.scanners.len() {
            self.score_with(number, &allele, false, best)?;
        }
        Ok(())
    }

    /// Appends the best windows of the bases at `positions` of `codes`, each for itself: what [`Scorer::score`] gives for
    /// alleles of one base, for the price of one sweep. `start` is the contig position of the first code.
    ///
    /// # Errors
    /// As [`Scorer::score`].
    pub fn score_bases(
        &mut self,
        codes: &[u8],
        start: u64,
        positions: Range<usize>,
        best: &mut Vec<Option<Best>>,
    ) -> Result<()> {
        let longest = self.targets.iter().map(|target| target.window).max().unwrap_or(0);
        if codes.len() <= longest {
            for at in positions {
                let (left, right) = (at.saturating_sub(self.flank), codes.len().min(at + 1 + self.flank));
                let parts = (&codes[left..at], &codes[at..=at], &codes[at + 1..right]);
                self.score(parts, start + left as u64, best)?;
            }
            return Ok(());
        }
        let (left, right) =
            (positions.start.saturating_sub(self.flank), codes.len().min(positions.end + self.flank));
        self.haplotype.codes.clear();
        self.haplotype.codes.extend_from_slice(&codes[left..right]);
        self.haplotype.start = start + left as u64;
        let from = best.len();
        best.resize(from + positions.len() * self.targets.len(), None);
        let bases = positions.start - left..positions.end - left;
        for number in 0..self.scanners.len() {
            self.score_with(number, &bases, true, &mut best[from..])?;
        }
        Ok(())
    }

    /// Scores the windows that touch the bases `allele` of the haplotype with one scanner. The best window is that of
    /// all of them, or of `each`; then `best` has a row for each.
    fn score_with(
        &mut self,
        number: usize,
        allele: &Range<usize>,
        each: bool,
        best: &mut [Option<Best>],
    ) -> Result<()> {
        let (targets, ranks) = (self.targets, &self.ranks[number]);
        let target_of =
            |output: usize| ranks.get(output).copied().flatten().map(|rank| (&targets[rank], rank));
        let width = targets.len();
        let haplotype = &mut self.haplotype;
        let (start, length) = (haplotype.start, haplotype.codes.len());
        // The stretch that the windows of this length that touch the allele cover.
        let covered =
            |window: usize| (allele.start + 1).saturating_sub(window)..length.min(allele.end - 1 + window);
        let frame = |haplotype: &mut Chunk, covered: &Range<usize>| {
            haplotype.own = start + covered.start as u64..start + allele.end as u64;
            haplotype.end = start + covered.end as u64;
        };
        // The stretches that have a best window each, in `best` a row of all targets for each.
        let rows = || if each { allele.clone().map(|at| at..at + 1).collect() } else { vec![allele.clone()] };
        match &mut self.scanners[number] {
            Scanner::Model { engine, plan } => {
                let covered = covered(plan.window);
                let whole = covered.len() <= plan.window;
                let shortest =
                    (0..ranks.len()).filter_map(target_of).map(|(target, _)| target.shortest).max();
                if whole && shortest.is_some_and(|shortest| covered.len() < shortest) {
                    return Ok(());
                }
                frame(haplotype, &covered);
                let plan = match whole && covered.len() < plan.window {
                    true => WindowPlan { window: covered.len(), context: Context::Padding, ..*plan },
                    false => *plan,
                };
                engine.score(haplotype, &plan, &mut self.scores)?;
                for (target, rank) in (0..ranks.len()).filter_map(target_of) {
                    for (row, bases) in best.chunks_mut(width).zip(rows()) {
                        row[rank] = choose(target, (&self.scores, target.output), start, &bases)?;
                    }
                }
                Ok(())
            }
            Scanner::Matrices(matrices) => {
                frame(haplotype, &covered(matrices.longest()));
                matrices.score(haplotype, |output, scores| {
                    if let Some((target, rank)) = target_of(output) {
                        for (row, bases) in best.chunks_mut(width).zip(rows()) {
                            row[rank] = choose(target, (scores, 0), start, &bases)?;
                        }
                    }
                    Ok(())
                })
            }
        }
    }
}

/// The best of the windows of row `row` that touch the allele.
fn choose(
    target: &Target,
    (scores, row): (&Scores, usize),
    start: u64,
    allele: &Range<usize>,
) -> Result<Option<Best>> {
    // Windows of another scanner's length may start too far to the left.
    let first_base = start + allele.start as u64;
    let skipped = (first_base + 1).saturating_sub(scores.start + target.window as u64) as usize;
    let stop = scores.windows.min((start + allele.end as u64).saturating_sub(scores.start) as usize);
    if skipped >= stop {
        return Ok(None);
    }
    let strand = |strand: &'_ [f32]| match strand.is_empty() {
        true => 0..0,
        false => row * scores.windows + skipped..row * scores.windows + stop,
    };
    let (forward, reverse) =
        (&scores.forward[strand(&scores.forward)], &scores.reverse[strand(&scores.reverse)]);
    let best = hits::best(forward, reverse)
        .map_err(|_| Error::model(&target.name, "gave NaN for a window of a variant"))?;
    let Some((at, highest, strand)) = best else { return Ok(None) };
    let offset = scores.start as i64 + (skipped + at) as i64 - first_base as i64;
    Ok(Some(Best { score: highest, offset, strand: (!target.symmetric).then_some(strand) }))
}

/// Whether `allele` is what the reference has; an N on either side fits every base.
pub(super) fn fits(allele: &[u8], reference: &[u8]) -> bool {
    allele.len() == reference.len() && allele.iter().zip(reference).all(|(&a, &b)| a == b || a == N || b == N)
}
