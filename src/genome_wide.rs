//! Models judged by whole contigs: every window is scored, and the best places are compared with measured summits.
//!
//! A place is the summit of a window, as scans write it; of neighbouring windows with the same score, the middle one's. Places
//! are ranked by score, and a place that lies near a better one does not count. A place is right if a measured summit lies
//! near it; each of those counts once.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;

use crate::dataset::metric::{Interval, quantile};
use crate::dataset::peaks::HeldOut;
use crate::engine::planned::Planned;
use crate::engine::scanner::{EngineScanner, Scanner};
use crate::engine::{Engine, Workload};
use crate::scores::{self, Hit, Scores};
use crate::seq::alphabet::N;
use crate::seq::chunk::Chunk;
use crate::seq::contig::{Contig, Strand};
use crate::seq::window::WindowPlan;
use crate::sites::core::{CoreSource, Locator};
use crate::{Error, Result};

pub mod page;

/// Rules for comparing places with summits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Bases from a place to a summit, at most. Places closer than twice that to a better one do not count.
    pub near: u64,
    /// Places that are ranked, at most.
    pub places: usize,
    /// Bases of a block of the bootstrap, at most.
    pub block: u64,
    /// Bootstrap samples.
    pub replicates: usize,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { near: 50, places: 10_000, block: 100_000, replicates: 500, seed: 1 }
    }
}

/// False discovery rates at which recall is given.
pub const FALSE_DISCOVERY_RATES: [f64; 3] = [0.10, 0.25, 0.50];

/// A place that a model found, and the summit that it counts for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Score of the window.
    pub score: f32,
    /// Rank of the contig.
    pub contig: usize,
    /// Summit of the window.
    pub position: u64,
    /// True if a summit lies near that no better place counts for.
    pub right: bool,
}

/// Measures of how well a model finds the summits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// Summits on the contigs.
    pub summits: usize,
    /// Places that were ranked.
    pub places: usize,
    /// Mean precision at the right places; a summit that is not found counts 0.
    pub average_precision: f64,
    /// Its 95 % interval by the bootstrap over blocks of the genome.
    pub interval: Option<Interval>,
    /// Share of right places among the best, of which there are as many as summits.
    pub precision_at_k: f64,
    /// Highest recall at which no more than 10, 25 and 50 % of the places are wrong.
    pub recall_at_fdr: [f64; 3],
    /// Recall and precision, place by place.
    #[serde(skip)]
    pub curve: Vec<(f64, f64)>,
}

/// Blocks that the bootstrap draws from, at least, about.
const FEWEST_BLOCKS: u64 = 20;

/// Bases that an engine scores at once, beside the windows' overlap.
const PIECE: usize = 1 << 18;

/// Share of N up to which a window is ranked, as in scans.
const MOST_N: f64 = 0.1;

/// A window that may be a place.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Candidate {
    score: f32,
    /// Rank of the contig.
    contig: usize,
    /// First base of the window.
    start: u64,
    /// The base that it is compared by: its middle, or its summit once that is known.
    position: u64,
}

/// Ranks the places of a model with one output on `contigs`, the best first.
///
/// # Errors
/// Another stride than 1, a failure of the engine, and [`Error::Interrupted`] once `cancelled` is set.
pub fn rank_places(
    planned: &Planned,
    contigs: &[HeldOut],
    rules: &Rules,
    threads: usize,
    cancelled: &AtomicBool,
) -> Result<Vec<Place>> {
    let plan = planned.plan();
    if plan.stride != 1 {
        return Err(Error::Request("places are ranked by every window: plan a stride of 1".into()));
    }
    let mut engines = planned.engines(threads, Workload::Contigs(*planned.plan()))?;
    let mut candidates = Vec::new();
    for (rank, contig) in contigs.iter().enumerate() {
        let scores = score_contig(&mut engines, &contig.codes, plan, cancelled)?;
        candidates.extend(plateaus(&scores, plan.window, rank));
    }
    let space = 2 * rules.near;
    let source = CoreSource::of(planned);
    if matches!(source, CoreSource::Window) {
        let candidates = apart(candidates, space, rules.places);
        return Ok(compare(&candidates, rules, contigs));
    }
    // The summits of windows that are apart may be near each other, where the windows share a core.
    let sharing = plan.window as u64 / space.max(1) + 2;
    let mut candidates = apart(candidates, space, rules.places.saturating_mul(sharing as usize));
    let mut scanners: Vec<EngineScanner> =
        engines.into_iter().map(|engine| EngineScanner::new(engine, *plan)).collect();
    let (mut taken, mut kept) = (Taken::new(space), Vec::new());
    let mut rest = candidates.as_mut_slice();
    while kept.len() < rules.places && !rest.is_empty() {
        let (next, behind) = rest.split_at_mut((rules.places - kept.len()).min(rest.len()));
        locate(next, &mut scanners, &source, contigs, plan, cancelled)?;
        kept.extend(next.iter().filter(|candidate| taken.take(candidate)));
        rest = behind;
    }
    Ok(compare(&kept, rules, contigs))
}

/// Puts each candidate at the summit of its window. One scanner for each thread.
fn locate(
    candidates: &mut [Candidate],
    scanners: &mut [EngineScanner],
    source: &CoreSource,
    contigs: &[HeldOut],
    plan: &WindowPlan,
    cancelled: &AtomicBool,
) -> Result<()> {
    let share = candidates.len().div_ceil(scanners.len()).max(1);
    let of_contigs: Vec<Arc<Contig>> = contigs.iter().map(|contig| described(&contig.codes)).collect();
    thread::scope(|scope| {
        let work = candidates.chunks_mut(share).zip(scanners).map(|(candidates, scanner)| {
            let of_contigs = &of_contigs;
            scope.spawn(move || -> Result<()> {
                let (mut locator, mut found) = (Locator::default(), Scores::default());
                let flanks = scanner.flanks();
                for Candidate { score, contig, start, position } in candidates {
                    if cancelled.load(Ordering::Relaxed) {
                        return Err(Error::Interrupted);
                    }
                    let own = *start as usize..*start as usize + 1;
                    let codes = &contigs[*contig].codes;
                    let chunk = chunk(&of_contigs[*contig], codes, &own, flanks, plan.window);
                    if let Some(engine) = scanner.engine() {
                        engine.score(&chunk, plan, &mut found)?;
                    }
                    let best = scores::best(&found.forward, &found.reverse).ok().flatten();
                    let strand = best.map_or(Strand::Forward, |(_, _, strand)| strand);
                    let hit = Hit { start: *start, target: 0, score: *score, strand };
                    let mut finder = locator.begin(source, scanner, 0, &chunk);
                    *position = finder.core(&hit).summit_in(*start).min(codes.len() as u64 - 1);
                    finder.finish()?;
                }
                Ok(())
            })
        });
        let work: Vec<_> = work.collect();
        work.into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// The contig of a chunk, as engines want to know it.
fn described(codes: &[u8]) -> Arc<Contig> {
    Arc::new(Contig { id: 0, name: String::new(), length: Some(codes.len() as u64) })
}

/// The better strand's score of every window, NaN where it has too much N.
fn score_contig(
    engines: &mut [Box<dyn Engine>],
    codes: &[u8],
    plan: &WindowPlan,
    cancelled: &AtomicBool,
) -> Result<Vec<f32>> {
    let windows = (codes.len() + 1).saturating_sub(plan.window);
    let contig = described(codes);
    let mut scores = vec![f32::NAN; windows];
    let next = AtomicUsize::new(0);
    let pieces: Vec<Mutex<&mut [f32]>> = scores.chunks_mut(PIECE).map(Mutex::new).collect();
    let failed = Mutex::new(None);
    thread::scope(|scope| {
        for engine in engines.iter_mut() {
            let (next, pieces, failed, contig) = (&next, &pieces, &failed, &contig);
            scope.spawn(move || {
                let mut found = Scores::default();
                loop {
                    let rank = next.fetch_add(1, Ordering::Relaxed);
                    let Some(piece) = pieces.get(rank) else { return };
                    let mut piece = piece.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    let own = rank * PIECE..rank * PIECE + piece.len();
                    let chunk = chunk(contig, codes, &own, engine.flanks(plan), plan.window);
                    let result = match cancelled.load(Ordering::Relaxed) {
                        true => Err(Error::Interrupted),
                        false => engine.score(&chunk, plan, &mut found),
                    };
                    if let Err(error) = result {
                        *failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                        next.store(pieces.len(), Ordering::Relaxed);
                        return;
                    }
                    fill(&mut piece, &found, &codes[own.start..], plan.window);
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(scores),
    }
}

/// The chunk of the windows that start in `own`, with the bases beside them that the engine looks at.
fn chunk(
    contig: &Arc<Contig>,
    codes: &[u8],
    own: &Range<usize>,
    (left, right): (usize, usize),
    window: usize,
) -> Chunk {
    let start = own.start.saturating_sub(left);
    let end = (own.end + window - 1 + right).min(codes.len());
    Chunk {
        contig: Arc::clone(contig),
        start: start as u64,
        codes: codes[start..end].to_vec(),
        own: own.start as u64..own.end as u64,
        end: codes.len() as u64,
        segment_end: codes.len() as u64,
        first: own.start == 0,
        last: own.end + window > codes.len(),
        ..Chunk::default()
    }
}

/// Writes the better strand's scores of windows without too much N.
fn fill(piece: &mut [f32], found: &Scores, codes: &[u8], window: usize) {
    let most = (MOST_N * window as f64 + 1e-6) as usize;
    let mut n = codes[..window - 1].iter().filter(|&&code| code == N).count();
    for (i, score) in piece.iter_mut().enumerate() {
        n += usize::from(codes[i + window - 1] == N);
        if n <= most {
            let strand = |scores: &[f32]| scores.get(i).copied().unwrap_or(f32::NEG_INFINITY);
            *score = strand(&found.forward).max(strand(&found.reverse));
        }
        n -= usize::from(codes[i] == N);
    }
}

/// The middle one of each run of windows with the same score.
fn plateaus(scores: &[f32], window: usize, contig: usize) -> Vec<Candidate> {
    let mut runs = Vec::new();
    let mut first = 0;
    for run in scores.chunk_by(|a, b| a == b) {
        if !run[0].is_nan() {
            let start = first + (run.len() - 1) / 2;
            let (start, position) = (start as u64, (start + window / 2) as u64);
            runs.push(Candidate { score: run[0], contig, start, position });
        }
        first += run.len();
    }
    runs
}

/// Positions that are taken, by contig and stretch of as many bases as they are apart.
struct Taken {
    apart: u64,
    positions: HashMap<(usize, u64), Vec<u64>>,
}

impl Taken {
    fn new(apart: u64) -> Taken {
        Taken { apart, positions: HashMap::new() }
    }

    /// Takes the position of a candidate unless it is near one that is taken; true if it was not.
    fn take(&mut self, &Candidate { contig, position, .. }: &Candidate) -> bool {
        let stretch = position / self.apart.max(1);
        let near = |&other: &u64| other.abs_diff(position) < self.apart;
        let mut around = stretch.saturating_sub(1)..=stretch + 1;
        let is_free =
            !around.any(|at| self.positions.get(&(contig, at)).is_some_and(|at| at.iter().any(near)));
        if is_free {
            self.positions.entry((contig, stretch)).or_default().push(position);
        }
        is_free
    }
}

/// At most `most` candidates, the best first, leaving out any that lies near a better one.
fn apart(mut candidates: Vec<Candidate>, apart: u64, most: usize) -> Vec<Candidate> {
    // A candidate that is kept rules out at most this many windows.
    let enough = most.saturating_mul(2 * apart as usize + 1);
    let order = |a: &Candidate, b: &Candidate| {
        let place = |candidate: &Candidate| (candidate.contig, candidate.position);
        b.score.total_cmp(&a.score).then_with(|| place(a).cmp(&place(b)))
    };
    if candidates.len() > enough {
        candidates.select_nth_unstable_by(enough, order);
        candidates.truncate(enough);
    }
    candidates.sort_unstable_by(order);
    let mut taken = Taken::new(apart);
    candidates.into_iter().filter(|candidate| taken.take(candidate)).take(most).collect()
}

/// Compares candidates, the best first, with the summits.
fn compare(candidates: &[Candidate], rules: &Rules, contigs: &[HeldOut]) -> Vec<Place> {
    let mut used: Vec<Vec<bool>> = contigs.iter().map(|contig| vec![false; contig.summits.len()]).collect();
    let place = |&Candidate { score, contig, position, .. }: &Candidate| {
        let right = claim(&contigs[contig].summits, &mut used[contig], position, rules.near);
        Place { score, contig, position, right }
    };
    candidates.iter().map(place).collect()
}

/// Uses up the nearest summit that no place counts for, if it is near.
fn claim(summits: &[u64], used: &mut [bool], position: u64, near: u64) -> bool {
    let first = summits.partition_point(|&summit| summit + near < position);
    let within = (first..summits.len()).take_while(|&i| summits[i] <= position + near);
    let nearest = within.filter(|&i| !used[i]).min_by_key(|&i| summits[i].abs_diff(position));
    nearest.inspect(|&i| used[i] = true).is_some()
}

/// Compares ranked places with the summits of `contigs`.
pub fn judge(places: &[Place], contigs: &[HeldOut], rules: &Rules) -> Judgement {
    let summits: usize = contigs.iter().map(|contig| contig.summits.len()).sum();
    let (mut right, mut curve) = (0, Vec::with_capacity(places.len()));
    for (rank, place) in places.iter().enumerate() {
        right += usize::from(place.right);
        curve.push((right as f64 / summits.max(1) as f64, right as f64 / (rank + 1) as f64));
    }
    let at_k = places.iter().take(summits).filter(|place| place.right).count();
    let recall = |rate: f64| {
        let kept = curve.iter().filter(|&&(_, precision)| precision >= 1.0 - rate);
        kept.map(|&(recall, _)| recall).fold(0.0, f64::max)
    };
    let bases: u64 = contigs.iter().map(|contig| contig.codes.len() as u64).sum();
    let blocks = Blocks::new(contigs, rules.block.min(bases / FEWEST_BLOCKS).max(1));
    Judgement {
        summits,
        places: places.len(),
        average_precision: blocks.average_precision(places, &vec![1; blocks.summits.len()]).unwrap_or(0.0),
        interval: blocks.interval(places, rules),
        precision_at_k: at_k as f64 / summits.max(1) as f64,
        recall_at_fdr: FALSE_DISCOVERY_RATES.map(recall),
        curve,
    }
}

/// Parts of the contigs that the bootstrap draws.
struct Blocks {
    size: u64,
    /// Rank of each contig's first block.
    first: Vec<usize>,
    /// Summits of each block.
    summits: Vec<u32>,
}

impl Blocks {
    fn new(contigs: &[HeldOut], size: u64) -> Blocks {
        let (mut first, mut summits) = (Vec::new(), Vec::new());
        for contig in contigs {
            first.push(summits.len());
            let mut counts = vec![0; (contig.codes.len() as u64).div_ceil(size).max(1) as usize];
            let last = counts.len() - 1;
            contig.summits.iter().for_each(|&summit| counts[((summit / size) as usize).min(last)] += 1);
            summits.extend(counts);
        }
        Blocks { size, first, summits }
    }

    /// Average precision where each block is there `weights` times; `None` without summits.
    fn average_precision(&self, places: &[Place], weights: &[u32]) -> Option<f64> {
        let summits: f64 = self.summits.iter().zip(weights).map(|(&n, &w)| f64::from(n * w)).sum();
        if summits == 0.0 {
            return None;
        }
        let (mut right, mut all, mut sum) = (0.0, 0.0, 0.0);
        for place in places {
            let block = self.first[place.contig] + (place.position / self.size) as usize;
            let weight = f64::from(weights[block.min(weights.len() - 1)]);
            all += weight;
            if place.right && weight > 0.0 {
                right += weight;
                sum += weight * right / all;
            }
        }
        // A summit may lie in another block than the place that counts for it.
        Some((sum / summits).min(1.0))
    }

    fn interval(&self, places: &[Place], rules: &Rules) -> Option<Interval> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(rules.seed);
        let blocks = self.summits.len();
        let mut weights = vec![0; blocks];
        let mut drawn: Vec<f64> = (0..rules.replicates)
            .filter_map(|_| {
                weights.fill(0);
                (0..blocks).for_each(|_| weights[rng.random_range(0..blocks)] += 1);
                self.average_precision(places, &weights)
            })
            .collect();
        if blocks < 2 || drawn.is_empty() || 2 * drawn.len() < rules.replicates {
            return None;
        }
        drawn.sort_unstable_by(f64::total_cmp);
        Some(Interval { low: quantile(&drawn, 0.025), high: quantile(&drawn, 0.975) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contig(length: usize, summits: &[u64]) -> HeldOut {
        HeldOut { name: "c".into(), codes: vec![0; length], summits: summits.to_vec() }
    }

    fn candidates(of: impl IntoIterator<Item = (f32, u64)>) -> Vec<Candidate> {
        let candidate = |(score, position)| Candidate { score, contig: 0, start: position - 50, position };
        of.into_iter().map(candidate).collect()
    }

    #[test]
    fn equal_neighbours_are_one_place_in_their_middle() {
        let scores = [1.0, 1.0, 1.0, 2.0, f32::NAN, 1.0];
        let found: Vec<(f32, u64, u64)> =
            plateaus(&scores, 11, 0).iter().map(|run| (run.score, run.start, run.position)).collect();
        assert_eq!(found, [(1.0, 1, 6), (2.0, 3, 8), (1.0, 5, 10)]);
    }

    #[test]
    fn places_near_better_ones_do_not_count_and_a_summit_counts_once() {
        let contigs = [contig(10_000, &[1000, 5000])];
        let rules = Rules::default();
        // 1060 is near the best; 1149 is not, but its summit is used; 5050 just reaches the other.
        let runs = candidates([(9.0, 1000), (8.0, 1060), (7.0, 1100), (6.0, 5050), (5.0, 4950)]);
        let places = compare(&apart(runs, 100, rules.places), &rules, &contigs);
        let found: Vec<(u64, bool)> = places.iter().map(|place| (place.position, place.right)).collect();
        assert_eq!(found, [(1000, true), (1100, false), (5050, true), (4950, false)]);
        let judged = judge(&places, &contigs, &rules);
        assert_eq!((judged.summits, judged.precision_at_k), (2, 0.5));
        assert!((judged.average_precision - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        assert_eq!(judged.recall_at_fdr, [0.5, 0.5, 1.0]);
    }

    #[test]
    fn the_interval_holds_the_average_precision() {
        let summits: Vec<u64> = (0..100).map(|i| 5_000 + 10_000 * i).collect();
        let contigs = [contig(1_000_000, &summits)];
        let runs = candidates((0..200).map(|i| (200.0 - i as f32, 5_000 + 5_000 * (i * 37 % 200))));
        let rules = Rules { block: 20_000, ..Rules::default() };
        let judged = judge(&compare(&apart(runs, 100, rules.places), &rules, &contigs), &contigs, &rules);
        let Interval { low, high } = judged.interval.unwrap();
        assert!(low < judged.average_precision && judged.average_precision < high && low > 0.2);
        assert_eq!(judged.places, 200);
    }
}
