//! Models that have sites in more of some regions than of others.
//!
//! For each model, the regions with a site are counted among those in question and among background regions. The p-value is
//! that of Fisher's exact test, one-sided: the probability that as many or more of the regions with a site are among those
//! in question, if they were drawn at random (the hypergeometric distribution). q-values are Benjamini and Hochberg's over
//! the models.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::genome::random_access::Lookup;
use crate::regions::Region;
use crate::seq::alphabet::N;
use crate::{Error, Result};

pub mod report;

/// Regions, and those of them with a site.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Regions with a site.
    pub hits: u64,
    /// All regions.
    pub regions: u64,
}

impl Count {
    /// The share of the regions with a site.
    pub fn share(self) -> f64 {
        if self.regions == 0 { 0.0 } else { self.hits as f64 / self.regions as f64 }
    }
}

/// Counts of one model, and their significance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Enrichment {
    /// Rank of the model.
    pub target: usize,
    /// The regions in question.
    pub foreground: Count,
    /// The background regions.
    pub background: Count,
    /// p-value of Fisher's exact test, one-sided.
    pub p: f64,
    /// q-value over the models.
    pub q: f64,
}

impl Enrichment {
    /// The share among the regions in question, divided by that in the background, with a pseudocount of 1/2 in both.
    pub fn fold(&self) -> f64 {
        let share = |count: Count| (count.hits as f64 + 0.5) / (count.regions as f64 + 1.0);
        share(self.foreground) / share(self.background)
    }

    /// The odds ratio of the counts: infinite if only regions in question have a site, NaN if all or none have one.
    pub fn odds_ratio(&self) -> f64 {
        let odds = |count: Count| (count.hits as f64, (count.regions - count.hits) as f64);
        let ((a, b), (c, d)) = (odds(self.foreground), odds(self.background));
        (a * d) / (b * c)
    }
}

/// Tests each model's counts, foreground and background. The most significant model comes first; of equal ones the first
/// given.
pub fn test(counts: &[(Count, Count)]) -> Vec<Enrichment> {
    let p_of = |&(foreground, background): &(Count, Count)| {
        let population = foreground.regions + background.regions;
        upper_tail(foreground.hits, foreground.hits + background.hits, foreground.regions, population)
    };
    let p: Vec<f64> = counts.iter().map(p_of).collect();
    let q = benjamini_hochberg(&p);
    let of_rank = |(target, &(foreground, background)): (usize, &(Count, Count))| Enrichment {
        target,
        foreground,
        background,
        p: p[target],
        q: q[target],
    };
    let mut tested: Vec<Enrichment> = counts.iter().enumerate().map(of_rank).collect();
    tested.sort_by(|a, b| a.p.total_cmp(&b.p).then(a.target.cmp(&b.target)));
    tested
}

/// The probability of `hits` or more marked things among `drawn` of `population`, of which `marked` are marked.
///
/// ```
/// use bindscan::enrichment::upper_tail;
///
/// // Two of four, of ten of which five are marked: 1 - (C(5,4) + C(5,1) C(5,3)) / C(10,4).
/// assert!((upper_tail(2, 5, 4, 10) - (1.0 - 55.0 / 210.0)).abs() < 1e-12);
/// ```
pub fn upper_tail(hits: u64, marked: u64, drawn: u64, population: u64) -> f64 {
    let most = marked.min(drawn);
    let least = (marked + drawn).saturating_sub(population);
    if hits <= least {
        return 1.0;
    }
    if hits > most {
        return 0.0;
    }
    // Below the mode the other tail is the shorter sum, and 1 less it is exact enough.
    let mode = ((marked + 1) as f64 * (drawn + 1) as f64 / (population + 2) as f64).floor() as u64;
    if hits <= mode {
        let below = sum_from(hits - 1, marked, drawn, population, false);
        return (1.0 - below).clamp(0.0, 1.0);
    }
    sum_from(hits, marked, drawn, population, true).min(1.0)
}

/// The probability of `from` hits and of all above it, or of all below it. Terms fall from there on.
fn sum_from(from: u64, marked: u64, drawn: u64, population: u64, upwards: bool) -> f64 {
    let choose = |n: u64, k: u64| ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    let first =
        (choose(marked, from) + choose(population - marked, drawn - from) - choose(population, drawn)).exp();
    let (most, least) = (marked.min(drawn), (marked + drawn).saturating_sub(population));
    // P(k + 1) / P(k)
    let ratio = |k: u64| {
        ((marked - k) as f64 * (drawn - k) as f64)
            / ((k + 1) as f64 * (population + k + 1 - marked - drawn) as f64)
    };
    let (mut sum, mut term, mut k) = (1.0f64, 1.0f64, from);
    while k != if upwards { most } else { least } {
        if upwards {
            term *= ratio(k);
            k += 1;
        } else {
            k -= 1;
            term /= ratio(k);
        }
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
    }
    first * sum
}

/// ln n!, by Stirling's series where that is exact enough.
fn ln_factorial(n: u64) -> f64 {
    const SMALL: u64 = 32;
    if n < SMALL {
        return (2..=n).map(|k| (k as f64).ln()).sum();
    }
    let n = n as f64;
    let tail = 1.0 / (12.0 * n) - 1.0 / (360.0 * n.powi(3)) + 1.0 / (1260.0 * n.powi(5));
    n * n.ln() - n + 0.5 * (2.0 * std::f64::consts::PI * n).ln() + tail
}

/// q-values of p-values: the lowest false discovery rate at which each is rejected (Benjamini & Hochberg 1995).
///
/// ```
/// use bindscan::enrichment::benjamini_hochberg;
///
/// assert_eq!(benjamini_hochberg(&[0.01, 0.5, 0.02]), [0.03, 0.5, 0.03]);
/// ```
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut q, mut lowest) = (vec![1.0; p.len()], 1.0f64);
    for (rank, &i) in order.iter().enumerate().rev() {
        lowest = lowest.min(p[i] * p.len() as f64 / (rank + 1) as f64);
        q[i] = lowest;
    }
    q
}

/// Places tried for a background region, and after how many its GC count may be off by one base more in a hundred.
const TRIES: usize = 4000;
const TRIES_PER_PERCENT: usize = 200;

/// Background regions that match regions.
#[derive(Debug, Clone, Default)]
pub struct Background {
    /// They, in the order of the regions that they match.
    pub regions: Vec<Region>,
    /// Regions for which fewer were found than asked for.
    pub unmatched: usize,
}

/// Draws background regions from all contigs of a genome: `each` for every region, of its length and GC content (as near as
/// one is found), with no more N than it has, and apart from all regions and from each other. The same seed gives the same
/// ones.
///
/// # Errors
/// A genome that cannot be read, and [`Error::Interrupted`] once `cancel` is set.
pub fn matched_background(
    genome: &Lookup,
    regions: &[Region],
    each: usize,
    seed: u64,
    cancel: &AtomicBool,
) -> Result<Background> {
    let mut taken = Taken::new(genome.contigs().len());
    regions.iter().for_each(|region| taken.add(region.contig, region.start, region.end));
    let mut ends = Vec::new();
    let mut total = 0;
    for contig in genome.contigs() {
        total += contig.length.unwrap_or(0);
        ends.push(total);
    }
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let (mut background, mut codes) = (Background::default(), Vec::new());
    for region in regions {
        if cancel.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let contig = &genome.contigs()[region.contig];
        codes.clear();
        genome.fetch(contig, region.start..region.end, &mut codes)?;
        let like = Composition::of(&codes);
        let length = region.end - region.start;
        let mut found = 0;
        for attempt in 0..TRIES * each {
            if found == each {
                break;
            }
            let place = rng.random_range(0..total);
            let id = ends.partition_point(|&end| end <= place);
            let contig = &genome.contigs()[id];
            let contig_length = contig.length.unwrap_or(0);
            let start = place - (ends[id] - contig_length);
            let end = start + length;
            if end > contig_length || taken.overlaps(id, start, end) {
                continue;
            }
            codes.clear();
            genome.fetch(contig, start..end, &mut codes)?;
            let slack = (attempt / each / TRIES_PER_PERCENT) as u64 * length / 100;
            if Composition::of(&codes).is_like(like, slack) {
                taken.add(id, start, end);
                background.regions.push(Region { contig: id, start, end, name: "".into() });
                found += 1;
            }
        }
        background.unmatched += usize::from(found < each);
    }
    Ok(background)
}

/// Bases of a region.
#[derive(Debug, Clone, Copy)]
struct Composition {
    gc: u64,
    n: u64,
}

impl Composition {
    fn of(codes: &[u8]) -> Composition {
        let count = |of: &dyn Fn(u8) -> bool| codes.iter().filter(|&&code| of(code)).count() as u64;
        Composition { gc: count(&|code| code == 1 || code == 2), n: count(&|code| code == N) }
    }

    fn is_like(self, other: Composition, slack: u64) -> bool {
        self.n <= other.n && self.gc.abs_diff(other.gc) <= slack
    }
}

/// Stretches that no further region may overlap.
struct Taken {
    /// Of each contig: the end of a stretch by its start. Stretches that overlap are joined.
    contigs: Vec<BTreeMap<u64, u64>>,
}

impl Taken {
    fn new(contigs: usize) -> Taken {
        Taken { contigs: vec![BTreeMap::new(); contigs] }
    }

    fn overlaps(&self, contig: usize, start: u64, end: u64) -> bool {
        let before = self.contigs[contig].range(..end).next_back();
        before.is_some_and(|(_, &last)| last > start)
    }

    fn add(&mut self, contig: usize, mut start: u64, mut end: u64) {
        let stretches = &mut self.contigs[contig];
        while let Some((&from, &to)) = stretches.range(..end).next_back().filter(|(_, to)| **to > start) {
            (start, end) = (start.min(from), end.max(to));
            stretches.remove(&from);
        }
        stretches.insert(start, end);
    }
}
