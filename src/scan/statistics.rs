//! Statistics for a report on a scan, gathered during the scan in little memory and time.
//!
//! Nothing here depends on threads or chunks: counts are sums, what is kept of the sites is chosen by an order of all
//! sites, and the windows that are sampled are chosen by their rank in the input.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::scores::Hit;
use crate::seq::chunk::{self, Chunk};
use crate::seq::contig::Contig;
use crate::sites::core::{Core, Located};
use crate::track::Target;

mod histogram;
mod sample;

pub use histogram::Histogram;
pub(super) use sample::Sampler;

/// Sites of each target that are kept for their high scores.
pub const STRONGEST: usize = 25;

/// Sites of each target that are drawn at random, where so many are wanted ([`Statistics::new`]).
pub const DRAWN: usize = 200;

/// Contigs that are counted one by one: the ones with the most bases.
pub const CONTIGS: usize = 60;

/// Statistics of a scan.
#[derive(Debug, Clone, Default)]
pub struct Statistics {
    /// One a target.
    pub targets: Vec<TargetStatistics>,
    /// The [`CONTIGS`] contigs of which most bases were scanned, in input order.
    pub contigs: Vec<ContigCount>,
    /// The other contigs.
    pub others: OtherContigs,
    /// Sites of contigs that are still being scanned, by contig and target.
    open: BTreeMap<usize, Vec<u64>>,
}

/// Scores of windows of one target that are in the sample, and how many there are.
pub(super) type Sampled = (Histogram, u64);

/// Statistics of one target.
#[derive(Debug, Clone, Default)]
pub struct TargetStatistics {
    /// Scores of all windows on the better of the scanned strands, estimated from a sample of about 1 %.
    pub windows: Histogram,
    /// Windows in that sample.
    pub sampled: u64,
    /// Scores of the sites.
    pub sites: Histogram,
    /// Sites on the forward strand.
    pub forward: u64,
    /// The sites with the highest scores, the highest first; of equal ones the first in the input.
    pub strongest: Vec<FoundSite>,
    /// Sites drawn at random.
    pub drawn: Vec<FoundSite>,
    best: Kept,
    random: Kept,
}

/// A site, and its sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundSite {
    /// Its position.
    pub contig: Arc<Contig>,
    /// Start, strand and score.
    pub hit: Hit,
    /// Where in its window the score comes from.
    pub core: Core,
    /// Codes of its window on the forward strand.
    pub codes: Vec<u8>,
}

/// Results on a contig.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContigCount {
    /// The contig.
    pub contig: Arc<Contig>,
    /// Bases scanned of it.
    pub bases: u64,
    /// Sites of each target.
    pub sites: Vec<u64>,
}

/// Results on the contigs that are not counted one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OtherContigs {
    /// Their number.
    pub contigs: u64,
    /// Bases scanned of them.
    pub bases: u64,
    /// Sites of each target.
    pub sites: Vec<u64>,
}

impl Statistics {
    /// Statistics of as many targets as `drawn` is long; of each, [`DRAWN`] sites are drawn at random if so said.
    pub fn new(drawn: &[bool]) -> Statistics {
        let target = |&drawn: &bool| TargetStatistics {
            best: Kept::new(STRONGEST),
            random: Kept::new(if drawn { DRAWN } else { 0 }),
            ..TargetStatistics::default()
        };
        Statistics { targets: drawn.iter().map(target).collect(), ..Statistics::default() }
    }

    /// Takes the sampled windows of a chunk.
    pub(super) fn add_sample(&mut self, sampled: &[Sampled]) {
        for (target, (histogram, windows)) in self.targets.iter_mut().zip(sampled) {
            target.windows.merge(histogram);
            target.sampled += windows;
        }
    }

    /// Takes a site, whose score depends on bases with these codes.
    pub(super) fn add_site(&mut self, contig: &Arc<Contig>, site: &Located, codes: &[u8]) {
        let Located { hit, core, .. } = site;
        let rank = hit.target;
        let target = &mut self.targets[rank];
        target.sites.add(hit.score, 1);
        target.forward += u64::from(hit.strand == crate::seq::contig::Strand::Forward);
        let place = (contig.id as u64, hit.start);
        let site = || FoundSite { contig: Arc::clone(contig), hit: *hit, core: *core, codes: codes.to_vec() };
        target.best.offer((ordered(hit.score), Reverse(place)), site);
        target.random.offer((sample::hash(&[place.0, place.1]), Reverse(place)), site);
        let targets = self.targets.len();
        self.open.entry(contig.id).or_insert_with(|| vec![0; targets])[rank] += 1;
    }

    /// Takes the end of a contig: all its sites have been added.
    pub(super) fn end_contig(&mut self, contig: &Arc<Contig>, bases: u64) {
        let sites = self.open.remove(&contig.id).unwrap_or_else(|| vec![0; self.targets.len()]);
        self.contigs.push(ContigCount { contig: Arc::clone(contig), bases, sites });
        if self.contigs.len() >= 2 * CONTIGS {
            self.drop_short_contigs();
        }
    }

    fn drop_short_contigs(&mut self) {
        if self.contigs.len() <= CONTIGS {
            return;
        }
        self.contigs.sort_by_key(|count| (Reverse(count.bases), count.contig.id));
        self.others.sites.resize(self.targets.len(), 0);
        for count in self.contigs.drain(CONTIGS..) {
            self.others.contigs += 1;
            self.others.bases += count.bases;
            self.others.sites.iter_mut().zip(&count.sites).for_each(|(all, more)| *all += more);
        }
        self.contigs.sort_by_key(|count| count.contig.id);
    }
}

/// A key that orders as the score does.
fn ordered(score: f32) -> u64 {
    // Bits of floating-point numbers order as integers do, the negative ones backwards. Both zeros are equal.
    let bits = (score + 0.0).to_bits();
    u64::from(if bits >> 31 == 0 { bits | 1 << 31 } else { !bits })
}

/// Rank of a site: the higher it is, the sooner the site is kept. No two sites of a target have the same.
type Rank = (u64, Reverse<(u64, u64)>);

/// The sites with the highest ranks.
#[derive(Debug, Clone, Default)]
struct Kept {
    most: usize,
    /// The lowest rank is on top.
    heap: BinaryHeap<Reverse<Ranked>>,
}

#[derive(Debug, Clone)]
struct Ranked(Rank, FoundSite);

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Ranked {}
impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl Kept {
    fn new(most: usize) -> Kept {
        Kept { most, heap: BinaryHeap::new() }
    }

    fn offer(&mut self, rank: Rank, site: impl FnOnce() -> FoundSite) {
        if self.heap.len() >= self.most {
            match self.heap.peek() {
                Some(Reverse(lowest)) if lowest.0 < rank => self.heap.pop(),
                _ => return,
            };
        }
        self.heap.push(Reverse(Ranked(rank, site())));
    }

    fn into_sites(self) -> Vec<FoundSite> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse(Ranked(_, site))| site).collect()
    }
}

/// The statistics, when nobody adds to them any more.
pub(super) fn finish(mut statistics: Statistics) -> Statistics {
    statistics.drop_short_contigs();
    for target in &mut statistics.targets {
        target.strongest = std::mem::take(&mut target.best).into_sites();
        target.drawn = std::mem::take(&mut target.random).into_sites();
    }
    statistics
}

/// Codes of a stretch of a contig in which hits wait to become sites.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Stretch {
    start: u64,
    codes: Vec<u8>,
}

impl Stretch {
    /// Forgets what it held.
    pub(super) fn clear(&mut self) {
        self.start = 0;
        self.codes.clear();
    }

    /// Holds the bases that the scores of `sites` depend on; they lie in `chunk`.
    pub(super) fn hold(&mut self, sites: &[Located], targets: &[Target], chunk: &Chunk) {
        self.clear();
        let frames = sites.iter().map(|site| {
            let target = &targets[site.hit.target];
            let from = target.frame_of(&site.hit);
            (from, from + target.seen() as i64)
        });
        let Some((from, to)) = frames.reduce(|all, own| (all.0.min(own.0), all.1.max(own.1))) else { return };
        let place =
            |position: i64| (position - chunk.start as i64).clamp(0, chunk.codes.len() as i64) as usize;
        self.start = chunk.start + place(from) as u64;
        self.codes.extend_from_slice(&chunk.codes[place(from)..place(to)]);
    }

    /// True if it holds nothing at or after `position`.
    pub(super) fn ends_before(&self, position: u64) -> bool {
        self.start + self.codes.len() as u64 <= position
    }

    /// Bases that it has of those from contig position `frame` on, so many.
    pub(super) fn overlap(&self, frame: i64, length: usize) -> i64 {
        let (start, end) = (self.start as i64, self.start as i64 + self.codes.len() as i64);
        end.min(frame + length as i64) - start.max(frame)
    }

    /// The codes from contig position `frame` on, so many; N where it has none.
    pub(super) fn codes_at(&self, frame: i64, length: usize) -> Vec<u8> {
        let mut codes = Vec::with_capacity(length);
        chunk::codes_at(&self.codes, self.start, frame, length, &mut codes);
        codes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seq::contig::Strand;

    fn contig(id: usize) -> Arc<Contig> {
        Arc::new(Contig { id, name: format!("c{id}"), length: None })
    }

    fn site(start: u64, score: f32) -> Located {
        let hit = Hit { start, target: 0, score, strand: Strand::Forward };
        Located { hit, core: Core::whole(1), spread: f32::NAN }
    }

    #[test]
    fn scores_order_as_their_keys() {
        let scores = [f32::NEG_INFINITY, -2.5, -0.5, 0.0, 1e-30, 0.5, 2.5, f32::INFINITY];
        assert!(scores.map(ordered).is_sorted());
    }

    #[test]
    fn the_same_is_kept_in_whatever_order_it_comes() {
        let sites: Vec<(usize, u64)> = (0..3).flat_map(|id| (0..400).map(move |start| (id, start))).collect();
        let gather = |order: &mut dyn Iterator<Item = &(usize, u64)>| {
            let mut statistics = Statistics::new(&[true]);
            for &(id, start) in order {
                statistics.add_site(&contig(id), &site(start, (start % 40) as f32), &[id as u8]);
            }
            let target = finish(statistics).targets.remove(0);
            (target.strongest, target.drawn)
        };
        let (strongest, drawn) = gather(&mut sites.iter());
        assert_eq!(
            (&strongest, &drawn),
            (&gather(&mut sites.iter().rev()).0, &gather(&mut sites.iter().rev()).1)
        );
        assert_eq!((strongest.len(), drawn.len()), (STRONGEST, DRAWN));
        let places: Vec<(usize, u64)> =
            strongest.iter().map(|site| (site.contig.id, site.hit.start)).collect();
        let best: Vec<(usize, u64)> = (0..3).flat_map(|id| (0..10).map(move |i| (id, 39 + 40 * i))).collect();
        assert_eq!(places, best[..STRONGEST]);
        let mean = drawn.iter().map(|site| site.hit.start as f64).sum::<f64>() / DRAWN as f64;
        assert!((mean - 199.5).abs() < 25.0, "drawn evenly: {mean}");
    }

    #[test]
    fn the_longest_contigs_are_counted_one_by_one_and_nothing_is_lost() {
        let mut statistics = Statistics::new(&[false]);
        for id in 0..1000 {
            let bases = 100 + (id as u64 * 7919) % 1000;
            (0..id % 3).for_each(|i| statistics.add_site(&contig(id), &site(i as u64, 1.0), &[]));
            statistics.end_contig(&contig(id), bases);
        }
        let statistics = finish(statistics);
        assert_eq!((statistics.contigs.len(), statistics.others.contigs), (CONTIGS, 940));
        assert!(statistics.contigs.iter().all(|count| count.bases >= 1040));
        assert!(statistics.contigs.is_sorted_by_key(|count| count.contig.id));
        let kept: u64 = statistics.contigs.iter().map(|count| count.sites[0]).sum();
        assert_eq!(kept + statistics.others.sites[0], 999);
    }
}
