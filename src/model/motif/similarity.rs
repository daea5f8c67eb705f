//! Similarity of motifs, with the chance that a motif of a database is as similar: Tomtom's method (Gupta et al. 2007,
//! "Quantifying similarity between motifs", Genome Biology 8: R24).
//!
//! Two columns are as alike as the negative of the Euclidean distance of their probabilities. From that the median over
//! all columns of the database is subtracted, so that columns of the query that reach past the target count as 0 (Tanaka et
//! al. 2011, "Improved similarity scores for comparing motifs", Bioinformatics 27: 1603), and what is left is rounded to
//! steps. A placement of the query on a target scores the sum over the columns that meet. The null model draws each
//! target column from the database, which gives the distribution of every sum by convolution; the best of all placements
//! is taken, as if they were independent.

use super::{Motif, reverse_complement};
use crate::seq::contig::Strand;

/// Steps that column scores are rounded to.
const STEPS: usize = 100;

/// A database of motifs to compare others with.
#[derive(Debug, Clone)]
pub struct Database<'a> {
    targets: &'a [Motif],
    /// Probabilities of all targets, column by column, and then of their reverse complements.
    columns: Vec<[f64; 4]>,
    /// Start of each target's columns, then of those of the reverse complements.
    starts: Vec<usize>,
    strands: &'static [Strand],
}

/// The best placement of a query on a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Rank of the target in the database.
    pub target: usize,
    /// Column of the target, as it is read, on which the first column of the query lies; negative if before it.
    pub offset: i64,
    /// Columns that meet.
    pub overlap: usize,
    /// Strand on which the target is read.
    pub strand: Strand,
    /// Probability that a random target as wide, read on the same strands, has a placement that scores as high.
    pub p: f64,
    /// Targets of the database that would match as well by chance: p times their number.
    pub e: f64,
    /// Least rate of false discoveries among the matches of this query at which this is one (Benjamini & Hochberg 1995).
    pub q: f64,
}

impl<'a> Database<'a> {
    /// A database of these motifs, read on both strands, or (RNA) on the forward one.
    pub fn new(targets: &'a [Motif], both_strands: bool) -> Database<'a> {
        let strands: &[Strand] =
            if both_strands { &[Strand::Forward, Strand::Reverse] } else { &[Strand::Forward] };
        let (mut columns, mut starts) = (Vec::new(), Vec::new());
        for strand in strands {
            for target in targets {
                starts.push(columns.len());
                let forward: Vec<[f64; 4]> = target.counts.iter().map(probabilities).collect();
                columns.extend(match strand {
                    Strand::Forward => forward,
                    Strand::Reverse => reverse_complement(&forward),
                });
            }
        }
        Database { targets, columns, starts, strands }
    }

    /// The motifs.
    pub fn targets(&self) -> &'a [Motif] {
        self.targets
    }

    /// Compares a motif with all targets; the best match is first, of equals the earlier target.
    pub fn compare(&self, query: &Motif) -> Vec<Match> {
        if self.columns.is_empty() || query.counts.is_empty() {
            return Vec::new();
        }
        let steps = Steps::new(query, &self.columns);
        let widest = self.targets.iter().map(Motif::width).max().unwrap_or(0);
        let null = Null::new(&steps, widest);
        let mut matches: Vec<Match> =
            (0..self.targets.len()).map(|target| self.best(target, &steps, &null)).collect();
        matches.sort_by(|a, b| a.p.total_cmp(&b.p).then(a.target.cmp(&b.target)));
        let (count, mut least) = (matches.len() as f64, 1.0f64);
        for (rank, found) in matches.iter_mut().enumerate().rev() {
            least = least.min(found.p * count / (rank + 1) as f64);
            found.q = least;
        }
        matches
    }

    fn best(&self, target: usize, steps: &Steps, null: &Null) -> Match {
        let (width, columns) = (self.targets[target].width(), steps.columns());
        let mut best: Option<(i64, usize, Strand, i64)> = None;
        for &strand in self.strands {
            let at = target + if strand == Strand::Reverse { self.targets.len() } else { 0 };
            let start = self.starts[at];
            for place in 0..width + columns - 1 {
                let (first, last) = span(place, columns, width);
                // The query's column i lies on the target's i + offset.
                let offset = place as i64 - (columns as i64 - 1);
                let on = |i: usize| steps.of(i, start + (i as i64 + offset) as usize);
                let overlap = last - first + 1;
                let score = (first..=last).map(on).sum::<i64>() + steps.outside * (columns - overlap) as i64;
                if best.is_none_or(|(_, other, _, highest)| (score, overlap) > (highest, other)) {
                    best = Some((offset, overlap, strand, score));
                }
            }
        }
        let (offset, overlap, strand, score) = best.unwrap_or((0, 0, Strand::Forward, 0));
        let one_strand = null.p(score, width);
        let p = if self.strands.len() == 2 { one_strand * (2.0 - one_strand) } else { one_strand };
        Match { target, offset, overlap, strand, p, e: p * self.targets.len() as f64, q: 1.0 }
    }
}

/// First and last column of the query that meet the target at a place, counted from the one where only the query's last
/// column meets the target's first.
fn span(place: usize, columns: usize, width: usize) -> (usize, usize) {
    let first = (columns - 1).saturating_sub(place);
    (first, (columns - 1).min(width + columns - 2 - place))
}

fn probabilities(counts: &[f64; 4]) -> [f64; 4] {
    let total: f64 = counts.iter().sum();
    counts.map(|count| if total > 0.0 { count / total } else { 0.25 })
}

/// Scores of columns of the query against columns of the database, in steps from 0 to [`STEPS`].
struct Steps {
    /// `steps[i * all + column]`
    steps: Vec<u8>,
    all: usize,
    /// Score of a query column that lies outside the target.
    outside: i64,
}

impl Steps {
    fn new(query: &Motif, all: &[[f64; 4]]) -> Steps {
        let scores: Vec<Vec<f64>> = query
            .counts
            .iter()
            .map(|counts| {
                let column = probabilities(counts);
                let mut scores: Vec<f64> = all.iter().map(|other| -distance(&column, other)).collect();
                let median = median(&scores);
                scores.iter_mut().for_each(|score| *score -= median);
                scores
            })
            .collect();
        let low = scores.iter().flatten().copied().fold(f64::INFINITY, f64::min).floor();
        let high = scores.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
        // Where all columns score alike, rounding errors must not be blown up.
        let scale = (STEPS as f64 / (high - low).max(1.0)).floor();
        let step = |score: f64| ((score - low) * scale + 0.5).floor() as u8;
        let steps = scores.into_iter().flatten().map(step).collect();
        Steps { steps, all: all.len(), outside: (-low * scale) as i64 }
    }

    fn columns(&self) -> usize {
        self.steps.len() / self.all
    }

    /// Score of column `i` of the query against a column of the database.
    fn of(&self, i: usize, column: usize) -> i64 {
        i64::from(self.steps[i * self.all + column])
    }

    /// Probability of each score of column `i` of the query.
    fn distribution(&self, i: usize) -> Vec<f64> {
        let mut counts = vec![0u64; STEPS + 1];
        for &step in &self.steps[i * self.all..(i + 1) * self.all] {
            counts[usize::from(step)] += 1;
        }
        counts.into_iter().map(|count| count as f64 / self.all as f64).collect()
    }
}

fn distance(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt()
}

/// The middle value, the lower one of two.
fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    let middle = (values.len() - 1) / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// The chances of sums under the null model.
struct Null {
    columns: usize,
    outside: i64,
    /// `tails[first][length - 1][sum]`: how likely the columns from `first` on score so much or more in all.
    tails: Vec<Vec<Vec<f64>>>,
}

impl Null {
    fn new(steps: &Steps, widest: usize) -> Null {
        let columns = steps.columns();
        let each: Vec<Vec<f64>> = (0..columns).map(|i| steps.distribution(i)).collect();
        let from = |first: usize| {
            let mut sums = vec![1.0];
            let mut tails = Vec::new();
            for column in each[first..].iter().take(widest) {
                sums = convolve(&sums, column);
                let mut tail = sums.clone();
                for i in (1..tail.len()).rev() {
                    tail[i - 1] += tail[i];
                }
                tails.push(tail);
            }
            tails
        };
        Null { columns, outside: steps.outside, tails: (0..columns).map(from).collect() }
    }

    /// Probability that a random target of `width` columns has a placement of this score or a higher one, on one strand.
    fn p(&self, score: i64, width: usize) -> f64 {
        let none = (0..width + self.columns - 1).map(|place| {
            let (first, last) = span(place, self.columns, width);
            let length = last - first + 1;
            let sum = score - self.outside * (self.columns - length) as i64;
            let tail = &self.tails[first][length - 1];
            let reached = match usize::try_from(sum) {
                Ok(sum) => tail.get(sum).copied().unwrap_or(0.0),
                Err(_) => 1.0,
            };
            (-reached.min(1.0)).ln_1p()
        });
        -none.sum::<f64>().exp_m1()
    }
}

fn convolve(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; a.len() + b.len() - 1];
    for (i, &x) in a.iter().enumerate().filter(|(_, x)| **x > 0.0) {
        sums[i..].iter_mut().zip(b).for_each(|(sum, y)| *sum += x * y);
    }
    sums
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    fn motif(rank: usize, width: usize) -> Motif {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(rank as u64);
        let mut column = || [0; 4].map(|_: u8| rng.random_range(0.1..3.0f64).powi(3));
        let counts = (0..width).map(|_| column()).collect();
        Motif { id: format!("M{rank}"), counts, ..Motif::default() }
    }

    fn reversed(motif: &Motif) -> Motif {
        Motif { counts: reverse_complement(&motif.counts), ..motif.clone() }
    }

    #[test]
    fn a_motif_matches_itself_and_its_parts_where_they_lie() {
        let targets: Vec<Motif> = (0..40).map(|rank| motif(rank, 5 + rank % 9)).collect();
        let database = Database::new(&targets, true);
        for rank in [0, 7, 26] {
            let best = database.compare(&targets[rank])[0];
            assert_eq!((best.target, best.offset, best.strand), (rank, 0, Strand::Forward));
            assert_eq!(best.overlap, targets[rank].width());
            let turned = database.compare(&reversed(&targets[rank]))[0];
            assert_eq!((turned.target, turned.offset, turned.strand), (rank, 0, Strand::Reverse));
            assert!((turned.p / best.p - 1.0).abs() < 1e-9);
        }
        let part = Motif { counts: targets[26].counts[2..].to_vec(), ..targets[26].clone() };
        let best = database.compare(&part)[0];
        assert_eq!((best.target, best.offset, best.overlap), (26, 2, targets[26].width() - 2));
        let mut longer = targets[26].clone();
        longer.counts.splice(0..0, [[1.0; 4]; 3]);
        let best = database.compare(&longer)[0];
        assert_eq!((best.target, best.offset, best.overlap), (26, -3, targets[26].width()));
    }

    #[test]
    fn p_values_are_the_chance_that_a_random_target_is_as_alike() {
        let targets: Vec<Motif> = (0..40).map(|rank| motif(rank, 5 + rank % 9)).collect();
        let database = Database::new(&targets, true);
        let query = motif(99, 7);
        let steps = Steps::new(&query, &database.columns);
        let null = Null::new(&steps, 13);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        for width in [1, 6, 13] {
            let trials = 40_000;
            let mut highest: Vec<i64> = (0..trials)
                .map(|_| {
                    let target: Vec<usize> =
                        (0..width).map(|_| rng.random_range(0..database.columns.len())).collect();
                    let of_place = |place: usize| {
                        let (first, last) = span(place, 7, width);
                        let met = (first..=last).map(|i| steps.of(i, target[i + place - 6]));
                        met.sum::<i64>() + steps.outside * (7 - (last - first + 1)) as i64
                    };
                    (0..width + 6).map(of_place).max().unwrap()
                })
                .collect();
            highest.sort_unstable();
            for share in [0.9, 0.99, 0.999] {
                let score = highest[(f64::from(trials) * share) as usize];
                let reached = highest.iter().filter(|&&other| other >= score).count();
                let observed = reached as f64 / f64::from(trials);
                let p = null.p(score, width);
                // Placements share columns, so that they are not independent; where few score so high it matters little.
                let ratio = p / observed;
                assert!((0.7..1.4).contains(&ratio), "{width} {share}: {p} {observed}");
            }
        }
    }

    #[test]
    fn q_values_rise_with_p_values() {
        let targets: Vec<Motif> = (0..40).map(|rank| motif(rank, 5 + rank % 9)).collect();
        let matches = Database::new(&targets, true).compare(&targets[3]);
        assert_eq!(matches.len(), 40);
        assert!(matches.windows(2).all(|pair| pair[0].p <= pair[1].p && pair[0].q <= pair[1].q));
        assert!(matches.iter().all(|found| (found.e - 40.0 * found.p).abs() < 1e-9 && found.q >= found.p));
        assert!(Database::new(&[], true).compare(&targets[0]).is_empty());
    }

    #[test]
    fn a_database_of_equal_columns_tells_nothing() {
        let flat = Motif { counts: vec![[1.0; 4]; 6], ..motif(0, 1) };
        let matches = Database::new(std::slice::from_ref(&flat), true).compare(&flat);
        assert!((matches[0].p - 1.0).abs() < 1e-9, "{matches:?}");
    }
}
