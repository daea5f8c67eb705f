//! Windows that are left out of a scan because too many of their bases are N.
//!
//! Engines score them like all others. What is left out is decided here, from the bases alone, so that it depends neither
//! on chunks nor on engines.

use std::ops::Range;

use crate::seq::alphabet::N;
use crate::seq::chunk::Chunk;

/// Largest number of N in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    /// Bases of a window.
    pub(super) window: u64,
    /// Most N in it.
    pub(super) most_n: u64,
}

/// The consecutive windows that a scanner scores in a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    /// Start of the first, a contig position.
    pub(super) first: u64,
    pub(super) stride: u64,
    pub(super) count: usize,
}

impl Windows {
    /// Number of the first window that starts at or after `start`.
    fn from(self, start: u64) -> usize {
        let number = start.saturating_sub(self.first).div_ceil(self.stride);
        usize::try_from(number).unwrap_or(usize::MAX).min(self.count)
    }
}

/// Finds the windows of a chunk that are left out.
#[derive(Debug, Default)]
pub(super) struct Ambiguous {
    /// Runs of N, as positions in the chunk's codes.
    runs: Vec<Range<usize>>,
    /// For each rule asked about so far, the window starts that are left out: sorted, apart from each other.
    starts: Vec<(Rule, Vec<Range<u64>>)>,
}

impl Ambiguous {
    /// Finds the runs of N of a chunk.
    pub(super) fn begin(&mut self, chunk: &Chunk) {
        self.runs.clear();
        self.starts.clear();
        let (codes, mut at) = (&chunk.codes, 0);
        while let Some(from) = memchr::memchr(N, &codes[at..]) {
            let start = at + from;
            let length = codes[start..].iter().take_while(|&&code| code == N).count();
            at = start + length;
            self.runs.push(start..at);
        }
    }

    /// Window starts that are left out under `rule`.
    fn starts(&mut self, chunk: &Chunk, rule: Rule) -> &[Range<u64>] {
        let known = self.starts.iter().position(|(of, _)| *of == rule);
        let at = known.unwrap_or_else(|| {
            self.starts.push((rule, left_out(&chunk.codes, &self.runs, chunk.start, rule)));
            self.starts.len() - 1
        });
        &self.starts[at].1
    }

    /// Replaces what is in `kept` by the numbers of the `windows` that are not left out: sorted, apart from each other.
    pub(super) fn keep(&mut self, chunk: &Chunk, rule: Rule, windows: Windows, kept: &mut Vec<Range<usize>>) {
        kept.clear();
        let mut next = 0;
        if !self.runs.is_empty() && rule.most_n < rule.window {
            for starts in self.starts(chunk, rule) {
                let (from, to) = (windows.from(starts.start), windows.from(starts.end));
                if from < to {
                    kept.push(next..from);
                    next = to;
                }
            }
        }
        kept.push(next..windows.count);
        kept.retain(|range| !range.is_empty());
    }
}

/// Starts of the windows with more N than the rule allows. `runs` are the runs of N in `codes`, which begin at `origin`.
fn left_out(codes: &[u8], runs: &[Range<usize>], origin: u64, rule: Rule) -> Vec<Range<u64>> {
    let window = rule.window as usize;
    let mut found: Vec<Range<u64>> = Vec::new();
    let mut rest = runs;
    while let Some(first) = rest.first() {
        // Runs that a window can reach together.
        let near = rest.windows(2).take_while(|pair| pair[1].start < pair[0].end + window - 1).count() + 1;
        let (starts, end) = ((first.start + 1).saturating_sub(window), rest[near - 1].end);
        let is_n = |at: usize| u64::from(codes.get(at) == Some(&N));
        let mut count: u64 = (starts..starts + window).map(is_n).sum();
        let (mut start, mut within) = (starts, rest);
        while start < end {
            // A window of nothing but N stands for all of them in its run.
            let mut next = start + 1;
            if count == rule.window {
                let behind = within.partition_point(|run| run.end < start + window);
                within = &within[behind..];
                next += within[0].end - (start + window);
            }
            if count > rule.most_n {
                let (start, next) = (origin + start as u64, origin + next as u64);
                match found.last_mut() {
                    Some(last) if last.end == start => last.end = next,
                    _ => found.push(start..next),
                }
            }
            count = count + is_n(next - 1 + window) - is_n(next - 1);
            start = next;
        }
        rest = &rest[near..];
    }
    found
}

/// Counts the windows of some ranges.
pub(super) fn count(kept: &[Range<usize>]) -> usize {
    kept.iter().map(ExactSizeIterator::len).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_window_is_left_out_for_its_own_bases_alone(
            runs in prop::collection::vec((0usize..12, 0usize..9), 0..14), window in 1u64..20, most_n in 0u64..21,
            start in 0u64..50, stride in 1usize..4
        ) {
            let codes: Vec<u8> =
                runs.iter().flat_map(|&(bases, n)| [vec![1; bases], vec![N; n]].concat()).collect();
            let length = codes.len() as u64;
            let chunk = Chunk { start, own: start..start + length, end: start + length, ..Chunk::whole("c", codes) };
            let plan = crate::seq::window::WindowPlan {
                window: window as usize,
                stride,
                strands: crate::seq::window::StrandChoice::Both,
                context: crate::seq::window::Context::Padding,
            };
            let (first, count) = chunk.windows(&plan);
            let windows = Windows { first, stride: stride as u64, count };
            let (mut ambiguous, mut kept) = (Ambiguous::default(), Vec::new());
            ambiguous.begin(&chunk);
            ambiguous.keep(&chunk, Rule { window, most_n }, windows, &mut kept);
            prop_assert!(kept.windows(2).all(|pair| pair[0].end < pair[1].start));
            for number in 0..count {
                let from = (first - start) as usize + number * stride;
                let n = chunk.codes[from..from + window as usize].iter().filter(|&&code| code == N).count();
                let is_kept = kept.iter().any(|range| range.contains(&number));
                prop_assert_eq!(is_kept, n as u64 <= most_n);
            }
        }
    }
}
