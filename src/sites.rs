//! From window scores to binding sites: thresholding, and non-maximum suppression that gives the same sites however
//! the genome was cut into chunks.

use crate::scores::Hit;
use std::collections::{BTreeSet, HashMap};
use std::ops::{Range, RangeInclusive};

pub mod contributions;
pub mod core;

/// Hits of one target, in order of start, after suppression within what has been seen.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Sites {
    /// Hits that are sites, and hits that may become sites once more is seen; the overlapped ones are gone.
    pub hits: Vec<Hit>,
    /// All hits that wait for windows to the left start before this position.
    pub settled_from: u64,
    /// All hits that wait for windows to the right start at or after this position.
    pub settled_to: u64,
}

/// Greedy non-maximum suppression: the best hit is a site and every hit whose window overlaps it is dropped, then the
/// next best, and so on. Here a window has `window` bases: all that its score depends on, flanks included. Of equal scores,
/// the window wins that lies best around the bases which carry the score: `off_centre` gives the distance of their centre
/// from the middle of the window for a hit, by its rank in `hits`. It is asked for hits that tie with one they overlap. Of
/// equal distances too, the leftmost window wins.
///
/// `hits` are one target's, sorted by start; all hits with a start in `seen` are among them. A hit whose fate hangs on
/// windows outside `seen` is kept and marked by [`Sites::settled_from`] and [`Sites::settled_to`].
pub fn suppress(hits: &[Hit], window: u64, seen: &Range<u64>, off_centre: impl FnMut(usize) -> u64) -> Sites {
    // A negative zero is equal to zero, in every order.
    let scores: Vec<f32> = hits.iter().map(|hit| hit.score + 0.0).collect();
    let mut order = Order { hits, window, scores, off_centre, known: HashMap::new() };
    let mut sites = Sites { hits: Vec::new(), settled_from: 0, settled_to: u64::MAX };
    // Hits that are neither sites nor overlapped by one.
    let mut open: Vec<usize> = (0..hits.len()).collect();
    loop {
        let before = open.len();
        order.settle_peaks(seen, &mut open, &mut sites.hits);
        if open.is_empty() || 4 * open.len() > 3 * before {
            break;
        }
    }

    order.sort(&mut open);
    // Starts of the better hits: sites, and those that wait for windows to the left or to the right.
    let (mut taken, mut left, mut right) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for hit in open.into_iter().map(|i| hits[i]) {
        let reach = reach(hit, window);
        let among = |starts: &BTreeSet<u64>| starts.range(reach.clone()).next().is_some();
        if among(&taken) {
            continue;
        }
        let waits_left = (seen.start > 0 && *reach.start() < seen.start) || among(&left);
        let waits_right = *reach.end() >= seen.end || among(&right);
        if waits_left {
            left.insert(hit.start);
            sites.settled_from = sites.settled_from.max(hit.start + 1);
        }
        if waits_right {
            right.insert(hit.start);
            sites.settled_to = sites.settled_to.min(hit.start);
        }
        if !waits_left && !waits_right {
            taken.insert(hit.start);
        }
        sites.hits.push(hit);
    }
    sites.hits.sort_unstable_by_key(|hit| hit.start);
    sites
}

/// Starts of the windows that overlap a hit's.
fn reach(hit: Hit, window: u64) -> RangeInclusive<u64> {
    hit.start.saturating_sub(window - 1)..=hit.start.saturating_add(window - 1)
}

/// The order in which hits of one target are taken.
struct Order<'a, F> {
    hits: &'a [Hit],
    window: u64,
    scores: Vec<f32>,
    off_centre: F,
    /// Answers of `off_centre`.
    known: HashMap<usize, u64>,
}

impl<F: FnMut(usize) -> u64> Order<'_, F> {
    fn overlap(&self, a: usize, b: usize) -> bool {
        self.hits[b].start - self.hits[a].start < self.window
    }

    fn off_centre(&mut self, i: usize) -> u64 {
        *self.known.entry(i).or_insert_with(|| (self.off_centre)(i))
    }

    /// True if hit `a` is taken before hit `b`, which it overlaps.
    fn beats(&mut self, a: usize, b: usize) -> bool {
        if self.scores[a] != self.scores[b] {
            return self.scores[a] > self.scores[b];
        }
        (self.off_centre(a), a) < (self.off_centre(b), b)
    }

    /// Sorts ranks of hits, the best first.
    fn sort(&mut self, open: &mut [usize]) {
        open.sort_unstable_by(|&a, &b| self.scores[b].total_cmp(&self.scores[a]).then(a.cmp(&b)));
        // The order of equal scores matters for windows that overlap.
        let mut distances: HashMap<usize, u64> = HashMap::new();
        for pair in open.windows(2) {
            if self.scores[pair[0]] == self.scores[pair[1]] && self.overlap(pair[0], pair[1]) {
                for &i in pair {
                    distances.insert(i, self.off_centre(i));
                }
            }
        }
        if distances.is_empty() {
            return;
        }
        let distance = |i: &usize| distances.get(i).copied().unwrap_or_default();
        open.sort_unstable_by(|a, b| {
            self.scores[*b].total_cmp(&self.scores[*a]).then((distance(a), a).cmp(&(distance(b), b)))
        });
    }

    /// Moves hits that beat all `open` ones which they overlap to `sites`, unless windows outside `seen` have a say, and
    /// drops what they overlap. That is what the order of scores would come to for them, in linear time and without
    /// sorting.
    fn settle_peaks(&mut self, seen: &Range<u64>, open: &mut Vec<usize>, sites: &mut Vec<Hit>) {
        let (mut kept, mut at) = (0, 0);
        // Those before `undecided` are kept (the first `kept`), sites, or dropped.
        let mut undecided = 0;
        while let Some(&peak) = open.get(at) {
            let better = open[at + 1..].iter().position(|&i| !self.overlap(peak, i) || self.beats(i, peak));
            let next = better.map_or(open.len(), |distance| at + 1 + distance);
            if next < open.len() && self.overlap(peak, open[next]) {
                at = next;
                continue;
            }
            // Nothing to the right beats it.
            let left = open[undecided..at].iter().rev().take_while(|&&i| self.overlap(i, peak)).count();
            let first = at - left;
            let reach = reach(self.hits[peak], self.window);
            let inside = (seen.start == 0 || *reach.start() >= seen.start) && *reach.end() < seen.end;
            if inside && open[first..at].iter().rev().all(|&i| self.beats(peak, i)) {
                open.copy_within(undecided..first, kept);
                kept += first - undecided;
                sites.push(self.hits[peak]);
                undecided = next;
            }
            at = next;
        }
        let end = open.len();
        open.copy_within(undecided..end, kept);
        open.truncate(kept + end - undecided);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::seq::contig::Strand;

    use super::*;

    fn hit(start: u64, score: f32) -> Hit {
        Hit { start, target: 0, score, strand: Strand::Forward }
    }

    /// A distance that depends on the window alone.
    fn distance(hit: &Hit) -> u64 {
        hit.start * 7 % 5
    }

    fn suppress(hits: &[Hit], window: u64, seen: &Range<u64>) -> Sites {
        super::suppress(hits, window, seen, |i| distance(&hits[i]))
    }

    /// Suppression as its definition reads, over a whole contig.
    fn greedy(hits: &[Hit], window: u64) -> Vec<Hit> {
        let mut left = hits.to_vec();
        let place = |hit: &Hit| (distance(hit), hit.start);
        left.sort_by(|a, b| b.score.total_cmp(&a.score).then(place(a).cmp(&place(b))));
        let mut sites: Vec<Hit> = Vec::new();
        for hit in left {
            if sites.iter().all(|site| site.start.abs_diff(hit.start) >= window) {
                sites.push(hit);
            }
        }
        sites.sort_by_key(|hit| hit.start);
        sites
    }

    #[test]
    fn the_best_of_overlapping_hits_stays_and_ties_go_to_the_centred_one_or_left() {
        let hits = [hit(0, 1.0), hit(3, 5.0), hit(6, 2.0), hit(20, 7.0), hit(21, 7.0), hit(22, 7.0)];
        let sites_of = |summit: u64| {
            super::suppress(&hits, 5, &(0..u64::MAX), |i| (hits[i].start + 2).abs_diff(summit)).hits
        };
        assert_eq!(sites_of(23), [hit(3, 5.0), hit(21, 7.0)]);
        assert_eq!(sites_of(90), [hit(3, 5.0), hit(22, 7.0)]);
        let asked = std::cell::Cell::new(0);
        let left = super::suppress(&hits, 5, &(0..u64::MAX), |i| {
            asked.set(asked.get() + u64::from(i < 3));
            0
        });
        assert_eq!((left.hits, asked.get()), (vec![hit(3, 5.0), hit(20, 7.0)], 0));
    }

    #[test]
    fn hits_near_an_open_edge_wait() {
        let hits = [hit(100, 1.0), hit(130, 2.0), hit(195, 3.0)];
        let sites = suppress(&hits, 10, &(100..200));
        assert_eq!(sites.hits, hits);
        assert_eq!((sites.settled_from, sites.settled_to), (101, 195));
    }

    proptest! {
        #[test]
        fn whole_contigs_equal_the_definition(
            starts in prop::collection::btree_map(0u64..400, 0u8..6, 0..120), window in 1u64..40
        ) {
            let hits: Vec<Hit> = starts.iter().map(|(&s, &score)| hit(s, f32::from(score))).collect();
            let sites = suppress(&hits, window, &(0..u64::MAX));
            prop_assert_eq!(&sites.hits, &greedy(&hits, window));
            prop_assert_eq!((sites.settled_from, sites.settled_to), (0, u64::MAX));
        }

        #[test]
        fn what_is_settled_in_a_part_is_so_in_the_whole(
            starts in prop::collection::btree_map(0u64..600, 0u8..6, 0..200), window in 1u64..20, from in 1u64..200
        ) {
            let hits: Vec<Hit> = starts.iter().map(|(&s, &score)| hit(s, f32::from(score))).collect();
            let seen = from..from + 350;
            let part: Vec<Hit> = hits.iter().copied().filter(|hit| seen.contains(&hit.start)).collect();
            let sites = suppress(&part, window, &seen);
            let settled = sites.settled_from.max(seen.start)..sites.settled_to.min(seen.end);
            let inside = |hits: Vec<Hit>| -> Vec<Hit> {
                hits.into_iter().filter(|hit| settled.contains(&hit.start)).collect()
            };
            prop_assert_eq!(inside(sites.hits), inside(greedy(&hits, window)));
        }
    }
}
