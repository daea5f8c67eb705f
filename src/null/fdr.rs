//! From p-values to q-values: Benjamini & Hochberg's false discovery rate over the sites of a scan.
//!
//! A site is a peak that is left after suppression. The q-value of a site is the number of sites that background would have
//! with its p-value or a lower one ([`Null::rate_of`] times the windows), over the number that the scan has; of that and
//! those of higher p-values, the lowest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::null::distribution::Null;

/// Counts of the p-values of one target's windows.
///
/// p-values come in the steps of a [`Null`], so that counts of steps are all that q-values need, however many sites there
/// are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCounts {
    /// Windows tested.
    pub tests: u64,
    /// Sites on each step of the null distribution; steps past the end have none.
    counts: Vec<u64>,
}

/// The sites with the lowest q-value of a scan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// Their q-value.
    pub q: f64,
    /// How many there are.
    pub sites: u64,
    /// How many such sites as many windows of background have.
    pub expected: f64,
}

impl TestCounts {
    /// Counts a site on a step.
    pub fn add(&mut self, step: usize) {
        if self.counts.len() <= step {
            self.counts.resize(step + 1, 0);
        }
        self.counts[step] += 1;
    }

    /// Adds the counts of another part of the same scan, made with the same null distribution.
    pub fn merge(&mut self, other: &TestCounts) {
        self.tests += other.tests;
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
    }

    /// Sites counted on each step.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The sites with the lowest q-value; of several such sets the largest.
    pub fn best(&self, null: &Null) -> Option<Best> {
        let q = self.q_values(null);
        let counted =
            || self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(step, _)| step);
        let lowest = counted().map(|step| q[step]).min_by(f64::total_cmp)?;
        let last = counted().filter(|&step| q[step] <= lowest);
        let last = last.max_by(|&a, &b| null.rate_of(a).total_cmp(&null.rate_of(b)))?;
        let expected = null.rate_of(last) * self.tests as f64;
        Some(Best { q: lowest, sites: self.found(null, lowest), expected })
    }

    /// The number of sites whose q-value is `rate` or less.
    pub fn found(&self, null: &Null, rate: f64) -> u64 {
        self.counts.iter().zip(self.q_values(null)).filter(|(_, q)| *q <= rate).map(|(count, _)| count).sum()
    }

    /// The highest p-value of a site whose q-value is `rate` or less.
    pub fn highest_p(&self, null: &Null, rate: f64) -> Option<f64> {
        let q = self.q_values(null);
        let tested = self.counts.iter().enumerate().filter(|&(step, &count)| count > 0 && q[step] <= rate);
        tested.map(|(step, _)| null.p_of(step)).reduce(f64::max)
    }

    /// The q-value of each step: the lowest false discovery rate at which a site on it is reported,
    /// `min over p' ≥ p of rate(p') · windows / (sites with p-values up to p')` (Benjamini & Hochberg 1995; Storey 2002 with
    /// π₀ = 1). A step on which there is no site has that of the next higher p-value with one.
    pub fn q_values(&self, null: &Null) -> Vec<f64> {
        let count = |step: usize| self.counts.get(step).copied().unwrap_or(0);
        let steps: Vec<(f64, u64)> =
            (0..null.steps()).map(|step| (null.rate_of(step), count(step))).collect();
        q_values_of(self.tests, &steps)
    }
}

/// The q-values of steps, of which each has a rate and a count of sites. Where p-values differ by strand, the order of the
/// steps is not that of their rates.
fn q_values_of(tests: u64, steps: &[(f64, u64)]) -> Vec<f64> {
    let mut falling: Vec<usize> = (0..steps.len()).collect();
    falling.sort_by(|&a, &b| steps[b].0.total_cmp(&steps[a].0));
    let mut rejected = 0u64;
    let mut q: Vec<f64> = vec![1.0; steps.len()];
    for &step in falling.iter().rev() {
        let (rate, count) = steps[step];
        rejected += count;
        if count > 0 {
            q[step] = (rate * tests as f64 / rejected as f64).min(1.0);
        }
    }
    let mut lowest = 1.0f64;
    for step in falling {
        lowest = lowest.min(q[step]);
        q[step] = lowest;
    }
    q
}

/// A shard's tests of one target, and what the q-values of the whole need of the null distribution.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShardTests {
    tests: u64,
    /// Steps with sites: the step, the sites a window that background has, and how many there are.
    steps: Vec<(usize, f64, u64)>,
}

impl ShardTests {
    /// Those counted in `tests`, whose steps are those of `null`.
    pub fn new(tests: &TestCounts, null: &Null) -> ShardTests {
        let counts = tests.counts.iter().enumerate().filter(|&(_, &count)| count > 0);
        let steps = counts.map(|(step, &count)| (step, null.rate_of(step), count)).collect();
        ShardTests { tests: tests.tests, steps }
    }

    /// The q-value of each step with tests, of all shards of a scan; `None` if the shards had different null distributions,
    /// or counts that no scan gives.
    pub fn q_values(shards: &[ShardTests]) -> Option<BTreeMap<usize, f64>> {
        // A map, not a list with a place for each step: a damaged file may name any step.
        let (mut tests, mut steps) = (0u64, BTreeMap::new());
        for shard in shards {
            tests = tests.checked_add(shard.tests)?;
            for &(step, p, count) in &shard.steps {
                let (known, sum) = steps.entry(step).or_insert((p, 0u64));
                if *known != p {
                    return None;
                }
                *sum = sum.checked_add(count)?;
            }
        }
        steps.values().try_fold(0u64, |sum, &(_, count)| sum.checked_add(count))?;
        let q = q_values_of(tests, &steps.values().copied().collect::<Vec<_>>());
        Some(steps.into_keys().zip(q).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::null::distribution::Origin;
    use crate::seq::contig::Strand;

    /// Benjamini and Hochberg as their paper has it: sorted p-values, one by one.
    fn by_definition(mut p: Vec<f64>, tests: usize) -> Vec<(f64, f64)> {
        p.sort_by(f64::total_cmp);
        let mut q = Vec::new();
        let mut lowest = 1.0f64;
        for (rank, p) in p.iter().enumerate().rev() {
            lowest = lowest.min(p * tests as f64 / (rank + 1) as f64);
            q.push((*p, lowest));
        }
        q
    }

    #[test]
    fn counts_that_no_scan_gives_are_refused_without_room_for_them() {
        let of = |tests, steps: &[(usize, f64, u64)]| ShardTests { tests, steps: steps.to_vec() };
        let far = ShardTests::q_values(&[of(10, &[(usize::MAX, 0.1, 2)])]).unwrap();
        assert_eq!(far.into_iter().collect::<Vec<_>>(), [(usize::MAX, 0.5)]);
        assert!(ShardTests::q_values(&[of(u64::MAX, &[]), of(1, &[])]).is_none());
        assert!(ShardTests::q_values(&[of(1, &[(1, 0.5, u64::MAX), (2, 0.4, 1)])]).is_none());
        assert!(ShardTests::q_values(&[of(1, &[(1, 0.5, 1)]), of(1, &[(1, 0.4, 1)])]).is_none());
        assert!(ShardTests::q_values(&[of(1, &[(1, f64::NAN, 1)])]).is_none());
    }

    /// The counts of a scan whose sites lie on these steps, as two shards, of which the first has `cut` sites.
    fn two_shards(steps: &[usize], more: u64, cut: usize) -> [TestCounts; 2] {
        let mut shards = [TestCounts::default(), TestCounts::default()];
        for (i, &step) in steps.iter().enumerate() {
            let part = &mut shards[usize::from(i >= cut)];
            part.add(step);
            part.tests += 1;
        }
        shards[1].tests += more;
        shards
    }

    /// Asserts that the sites have the same q-values in one scan, in two shards, and by the definition.
    fn check(null: &Null, steps: &[usize], more: u64, cut: usize) -> Result<(), TestCaseError> {
        let [mut whole, second] = two_shards(steps, more, cut);
        let shards = [&whole, &second].map(|part| ShardTests::new(part, null));
        let of_shards = ShardTests::q_values(&shards).unwrap();
        whole.merge(&second);
        let q = whole.q_values(null);
        let p: Vec<f64> = steps.iter().map(|&step| null.p_of(step)).collect();
        let want = by_definition(p, steps.len() + more as usize);
        for step in steps {
            prop_assert_eq!(of_shards[step], q[*step]);
            let (_, want) = want.iter().find(|(p, _)| *p == null.p_of(*step)).unwrap();
            prop_assert!((q[*step] - want).abs() < 1e-12);
        }
        Ok(())
    }

    #[test]
    fn the_best_sites_are_known_with_what_background_has_of_them() {
        let null = Null::new((1..=4).map(|i| (i as f32, 0.1f64.powi(i))), Origin::Exact);
        let mut tests = TestCounts::default();
        assert_eq!(tests.best(&null), None);
        // 1 of 10,000 windows has p = 1e-4 by chance, 10 have 1e-3 or less, 100 have 1e-2 or less.
        for (step, count) in [(4, 2), (3, 38), (2, 160)] {
            (0..count).for_each(|_| tests.add(step));
        }
        tests.tests = 10_000;
        let best = tests.best(&null).unwrap();
        assert_eq!(best.sites, 40);
        assert!((best.q - 0.25).abs() < 1e-9 && (best.expected - 10.0).abs() < 1e-9, "{best:?}");
        assert_eq!([0.2, 0.3, 0.6].map(|rate| tests.found(&null, rate)), [0, 40, 200]);
    }

    proptest! {
        #[test]
        fn shards_give_the_q_values_of_one_scan_where_strands_differ(
            sites in prop::collection::vec((1u8..40, any::<bool>()), 1..200), more in 0u64..1000, cut in 0usize..200
        ) {
            let strand = |base: f64| Null::new((1..40).map(|i| (i as f32, base.powi(i))), Origin::Exact);
            let null = Null::from_strands(strand(0.8), strand(0.7));
            prop_assert!(null.differs_by_strand());
            let step = |&(score, is_forward): &(u8, bool)| {
                null.step(score.into(), if is_forward { Strand::Forward } else { Strand::Reverse })
            };
            check(&null, &sites.iter().map(step).collect::<Vec<_>>(), more, cut)?;
        }

        #[test]
        fn counts_of_steps_give_what_sorted_p_values_give(
            steps in prop::collection::vec(1usize..40, 0..300), more in 0u64..1000, cut in 0usize..300
        ) {
            let null = Null::new((1..40).map(|i| (i as f32, 0.8f64.powi(i))), Origin::Exact);
            check(&null, &steps, more, cut)?;
        }
    }
}
