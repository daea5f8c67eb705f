//! Scores of alleles: the reference and an alternative are compared by their best changed windows.
//!
//! A window of a haplotype is changed unless it lies wholly in the longest common prefix of the two haplotypes, or wholly in
//! their longest common suffix; the best changed window of each haplotype, on the better of the strands that the model
//! reads, is its score. Where only one haplotype has changed windows (a tandem repeat about as long as the window), the
//! windows that touch or adjoin any of the equivalent placements of the indel count on both; where neither has one, the
//! effect is 0.
//!
//! Prefix and suffix belong to the haplotypes, so an allele has one effect, however it is written: left- or right-aligned,
//! with more bases than it needs, or beside other alleles. For a substitution the changed windows are those that cover the
//! bases from the first to the last that differ. A haplotype shorter than a window is scored once, whole.
//!
//! The effect of a substitution is DeepBind's effect score (Alipanahi et al. 2015, online methods, mutation maps):
//! `(p(alternative) - p(reference)) · max(0, p(alternative), p(reference))`, so that what matters is a difference between
//! scores of which one at least says that the protein binds.

use std::ops::Range;

use crate::engine::planned::ModelOutput;
use crate::engine::scanner::{OutputScores, Scanner, Scanners};
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::{Error, Result};

/// The best window of an allele.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// Its score on its better strand.
    pub score: f32,
    /// Where it starts, in bases from the allele's first base and on the allele's own haplotype: 0 is that base,
    /// negative numbers lie before it. Of windows with the same score the first.
    pub offset: i64,
    /// The strand; forward where both score the same, `None` where the model does not tell them apart.
    pub strand: Option<Strand>,
}

/// Two haplotypes of one place: two alleles between the same flanks, as codes.
#[derive(Debug, Clone, Copy)]
pub struct Haplotypes<'a> {
    /// Bases before the alleles; all there are, or [`Scorer::reach`] of them.
    pub left: &'a [u8],
    /// The reference allele.
    pub reference: &'a [u8],
    /// The alternative allele.
    pub alternative: &'a [u8],
    /// Bases after the alleles; all there are, or [`Scorer::reach`] of them.
    pub right: &'a [u8],
}

/// Comparison of two haplotypes under one target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Comparison {
    /// Each has a best window.
    Scored {
        /// The reference haplotype's.
        reference: Best,
        /// The alternative haplotype's.
        alternative: Best,
    },
    /// No window of either is changed.
    Unchanged,
    /// A haplotype is too short for the model.
    TooShort,
}

/// The windows that end behind `first` and start before `last` (positions in a haplotype). Where `first` is not less than
/// `last`, they are those that cover all between, and a base on each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: usize,
    last: usize,
}

impl Span {
    /// Number of windows of this length in a haplotype of `length` bases.
    fn windows(self, window: usize, length: usize) -> usize {
        let stop = self.last.min((length + 1).saturating_sub(window));
        stop.saturating_sub((self.first + 1).saturating_sub(window))
    }
}

/// The longest common prefix and suffix of two haplotypes, and their lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Common {
    prefix: usize,
    suffix: usize,
    shorter: usize,
}

impl Common {
    fn from_haplotypes(haplotypes: &Haplotypes<'_>) -> Common {
        let Haplotypes { left, reference, alternative, right } = haplotypes;
        let [forward, other] = [reference, alternative].map(|allele| allele.iter().chain(*right));
        let [backward, other_backward] =
            [reference, alternative].map(|allele| allele.iter().rev().chain(left.iter().rev()));
        let shared = |(a, b): &(&u8, &u8)| a == b;
        Common {
            prefix: left.len() + forward.zip(other).take_while(shared).count(),
            suffix: right.len() + backward.zip(other_backward).take_while(shared).count(),
            shorter: left.len() + reference.len().min(alternative.len()) + right.len(),
        }
    }

    /// The changed windows of a haplotype of `length` bases.
    fn changed(&self, length: usize) -> Span {
        Span { first: self.prefix, last: length - self.suffix }
    }

    /// The windows of a haplotype of `length` bases that touch or adjoin a placement of the indel.
    fn placed(&self, length: usize) -> Span {
        let start = self.prefix.min(self.shorter - self.suffix);
        let end = length - self.suffix.min(self.shorter - self.prefix);
        Span { first: start.saturating_sub(1), last: length.min(end + 1) }
    }
}

/// Effect of an alternative allele: the difference of the best scores.
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
    /// use bindscan::variants::scorer::Effect;
    ///
    /// assert_eq!(Effect::from_scores(3.0, 1.0), Effect { difference: -2.0, effect: -6.0 });
    /// assert_eq!(Effect::from_scores(-3.0, -1.0).effect, 0.0);
    /// ```
    pub fn from_scores(reference: f32, alternative: f32) -> Effect {
        let difference = alternative - reference;
        let effect = difference * reference.max(alternative).max(0.0);
        // A difference of nothing is no negative one.
        Effect { difference, effect: if effect == 0.0 { 0.0 } else { effect } }
    }
}

/// Bases that scanners look at on each side of an allele, where the contig has them.
pub fn flank(scanners: &[Box<dyn Scanner>]) -> usize {
    let reach = scanners.iter().map(|scanner| {
        let (left, right) = scanner.flanks();
        scanner.longest() - 1 + left.max(right)
    });
    reach.max().unwrap_or(0)
}

/// Scores alleles with the scanners of one worker.
pub struct Scorer<'a> {
    targets: &'a [ModelOutput],
    scanners: Scanners,
    /// Ranks of the targets of each scanner, by its outputs.
    ranks: Vec<Vec<Option<usize>>>,
    flank: usize,
    haplotype: Chunk,
    /// Best windows of the reference and of the alternative haplotype that are compared.
    sides: [Vec<Option<Best>>; 2],
    /// The windows of the reference haplotype that have been scored last, and are not scored again for the next alternative
    /// of the same site.
    scored: Option<Span>,
}

impl<'a> Scorer<'a> {
    /// A scorer of `targets`, which refer to `scanners`; these score every window (stride 1).
    pub fn new(targets: &'a [ModelOutput], scanners: Scanners) -> Scorer<'a> {
        let flank = flank(&scanners);
        let mut ranks: Vec<Vec<Option<usize>>> = vec![Vec::new(); scanners.len()];
        for (rank, target) in targets.iter().enumerate() {
            let of_scanner = &mut ranks[target.scanner];
            of_scanner.resize(of_scanner.len().max(target.output + 1), None);
            of_scanner[target.output] = Some(rank);
        }
        let haplotype = Chunk::whole("", Vec::new());
        let sides = [Vec::new(), Vec::new()];
        Scorer { targets, scanners, ranks, flank, haplotype, sides, scored: None }
    }

    /// Targets that are scored.
    pub fn targets(&self) -> &'a [ModelOutput] {
        self.targets
    }

    /// Result of [`flank`] for its scanners.
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
        let span = Span { first: left.len(), last: left.len() + allele.len() };
        let cut = self.load([left, allele, right], span, start);
        let span = Span { first: span.first - cut, last: span.last - cut };
        self.score_loaded(span, span.first as i64, best)
    }

    /// Bases on each side of two alleles that [`Scorer::compare`] may need; `longer` is how much longer one is than the
    /// other.
    pub fn reach(&self, longer: usize) -> usize {
        2 * (self.flank + 1) + longer
    }

    /// Forgets the reference haplotype: what is compared next has another one.
    pub fn begin_site(&mut self) {
        self.scored = None;
    }

    /// Appends to `out` how the haplotypes compare under each target. `start` is the contig position of their first base.
    ///
    /// # Errors
    /// A failure of an engine; a score that is NaN.
    pub fn compare(
        &mut self,
        haplotypes: &Haplotypes<'_>,
        start: u64,
        out: &mut Vec<Comparison>,
    ) -> Result<()> {
        let Haplotypes { left, reference, alternative, right } = *haplotypes;
        let lengths = [reference, alternative].map(|allele| left.len() + allele.len() + right.len());
        let codes = [[left, reference, right], [left, alternative, right]];
        let common = Common::from_haplotypes(haplotypes);
        let same = common.prefix == lengths[0] && lengths[0] == lengths[1];
        let changed = lengths.map(|length| common.changed(length));
        let targets = self.targets;
        // A haplotype shorter than the window is scored whole.
        let count = |target: &ModelOutput, side: usize| match lengths[side] < target.window {
            true => 1,
            false => changed[side].windows(target.window, lengths[side]),
        };
        let counts = |target: &ModelOutput| if same { [0, 0] } else { [count(target, 0), count(target, 1)] };
        let mut sides = std::mem::take(&mut self.sides);
        for (side, best) in sides.iter_mut().enumerate() {
            if targets.iter().all(|target| counts(target)[side] == 0) {
                best.clear();
                best.resize(targets.len(), None);
                self.scored = self.scored.filter(|_| side == 1);
            } else if side == 1 || self.scored != Some(changed[0]) {
                self.score_side(codes[side], changed[side], start, best)?;
                self.scored = Some(changed[0]);
            }
        }
        let mut placed = None;
        for (rank, target) in targets.iter().enumerate() {
            let short = lengths.iter().any(|&length| length < target.shortest);
            let found = match counts(target) {
                _ if short => Comparison::TooShort,
                [0, 0] => Comparison::Unchanged,
                [0, _] | [_, 0] => {
                    if placed.is_none() {
                        let mut pair = [Vec::new(), Vec::new()];
                        for (side, best) in pair.iter_mut().enumerate() {
                            self.score_side(codes[side], common.placed(lengths[side]), start, best)?;
                        }
                        placed = Some(pair);
                    }
                    scored(placed.as_ref().and_then(|[a, b]| a[rank].zip(b[rank])))
                }
                _ => scored(sides[0][rank].zip(sides[1][rank])),
            };
            out.push(found);
        }
        self.sides = sides;
        Ok(())
    }

    /// Puts the best windows of one haplotype in place of what is in `best`.
    fn score_side(
        &mut self,
        parts: [&[u8]; 3],
        span: Span,
        start: u64,
        best: &mut Vec<Option<Best>>,
    ) -> Result<()> {
        best.clear();
        best.resize(self.targets.len(), None);
        let cut = self.load(parts, span, start);
        let span = Span { first: span.first - cut, last: span.last - cut };
        self.score_loaded(span, parts[0].len() as i64 - cut as i64, best)
    }

    /// Makes a haplotype of its parts, as far as the windows of `span` need it; gives the number of bases left out before
    /// it.
    fn load(&mut self, parts: [&[u8]; 3], span: Span, start: u64) -> usize {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let margin = self.flank + 1;
        let from = span.first.min(span.last).saturating_sub(margin);
        let to = length.min(span.first.max(span.last) + margin);
        let Chunk { codes, start: first, .. } = &mut self.haplotype;
        codes.clear();
        let mut before = 0;
        for part in parts {
            let inside = |at: usize| at.clamp(before, before + part.len()) - before;
            codes.extend_from_slice(&part[inside(from)..inside(to)]);
            before += part.len();
        }
        *first = start + from as u64;
        from
    }

    fn score_loaded(&mut self, span: Span, origin: i64, best: &mut [Option<Best>]) -> Result<()> {
        (0..self.scanners.len()).try_for_each(|number| self.score_with(number, span, Rows::One(origin), best))
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
        let bases = Span { first: positions.start - left, last: positions.end - left };
        let best = &mut best[from..];
        (0..self.scanners.len()).try_for_each(|number| self.score_with(number, bases, Rows::Bases, best))
    }

    /// Scores the windows of `span` with one scanner, for a row of all targets in `best`, or a row for each base.
    fn score_with(&mut self, number: usize, span: Span, rows: Rows, best: &mut [Option<Best>]) -> Result<()> {
        let (targets, ranks) = (self.targets, &self.ranks[number]);
        let target_of =
            |output: usize| ranks.get(output).copied().flatten().map(|rank| (&targets[rank], rank));
        let haplotype = &mut self.haplotype;
        let (start, length) = (haplotype.start, haplotype.codes.len());
        let mut put = |target: &ModelOutput, rank: usize, scores: OutputScores<'_>, span: Span| {
            for (row, best) in best.chunks_mut(targets.len()).enumerate() {
                let (span, origin) = match rows {
                    Rows::One(origin) => (span, origin),
                    Rows::Bases => {
                        let at = span.first + row;
                        (Span { first: at, last: at + 1 }, at as i64)
                    }
                };
                best[rank] = choose(target, scores, start, span, origin)?;
            }
            Ok(())
        };
        let scanner = self.scanners[number].as_mut();
        let whole = scanner.plans().iter().all(|plan| length < plan.window);
        let shortest = (0..ranks.len()).filter_map(target_of).map(|(target, _)| target.shortest).max();
        if whole && shortest.is_some_and(|shortest| length < shortest) {
            return Ok(());
        }
        // The only window belongs to every base.
        let span = if whole && rows != Rows::Bases { Span { first: 0, last: length } } else { span };
        if !frame(haplotype, span, scanner.longest()) {
            return Ok(());
        }
        let mut each = |scores: OutputScores<'_>| match target_of(scores.output) {
            Some((target, rank)) => put(target, rank, scores, span),
            None => Ok(()),
        };
        match whole {
            true => scanner.score_whole(haplotype, &mut each),
            false => scanner.score_outputs(haplotype, None, &mut each),
        }
    }
}

/// Haplotype to which best windows belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// All windows; offsets count from this position of the haplotype.
    One(i64),
    /// Each base of the span has its own, from which offsets count.
    Bases,
}

fn scored(pair: Option<(Best, Best)>) -> Comparison {
    match pair {
        Some((reference, alternative)) => Comparison::Scored { reference, alternative },
        None => Comparison::TooShort,
    }
}

/// Has `haplotype` own the windows of `span`; `false` if there are none of this length.
fn frame(haplotype: &mut Chunk, span: Span, window: usize) -> bool {
    let first = (span.first + 1).saturating_sub(window);
    let end = haplotype.codes.len().min((span.last + window).saturating_sub(1));
    haplotype.own = haplotype.start + first as u64..haplotype.start + span.last as u64;
    haplotype.end = haplotype.start + end as u64;
    first < span.last
}

/// The best of the windows of a span.
fn choose(
    target: &ModelOutput,
    OutputScores { scores, row, .. }: OutputScores<'_>,
    start: u64,
    span: Span,
    origin: i64,
) -> Result<Option<Best>> {
    // Windows of another scanner's length may start too far to the left.
    let first = start + span.first as u64 + 1;
    let skipped = first.saturating_sub(scores.start + target.window as u64) as usize;
    let stop = scores.windows.min((start + span.last as u64).saturating_sub(scores.start) as usize);
    if skipped >= stop {
        return Ok(None);
    }
    let strand = |strand: &'_ [f32]| match strand.is_empty() {
        true => 0..0,
        false => row * scores.windows + skipped..row * scores.windows + stop,
    };
    let (forward, reverse) =
        (&scores.forward[strand(&scores.forward)], &scores.reverse[strand(&scores.reverse)]);
    let best = crate::scores::best(forward, reverse)
        .map_err(|_| Error::model(&target.name, "gave NaN for a window of a variant"))?;
    let Some((at, highest, strand)) = best else { return Ok(None) };
    let offset = scores.start as i64 + (skipped + at) as i64 - start as i64 - origin;
    Ok(Some(Best { score: highest, offset, strand: (!target.symmetric).then_some(strand) }))
}
