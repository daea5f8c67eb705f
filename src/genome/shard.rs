//! Shards: equal parts of a genome, that together give what the whole gives.
//!
//! A shard owns a run of positions of the wanted bases, laid end to end: the sites that start there, and the bins of score
//! tracks that start there. Seams are the multiples of total / n, moved left to the start of a bin. What is read is
//! more: on both sides of a seam windows overlap, and which of them are sites may hang on hits that lie farther off
//! (see [`crate::scan::shard_overlap`]).

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::genome::regions::Segment;
use crate::seq::chunk::EVERYWHERE;

/// One of `of` equal parts of a genome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Rank of the shard, from 1 to `of`.
    pub number: u64,
    /// Number of shards.
    pub of: u64,
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    /// Reads `3/10`, the third of ten.
    fn from_str(text: &str) -> Result<Shard, String> {
        let parsed = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let Some((number, of)) = parsed else {
            return Err("give the shard's number and how many there are, as in 3/10".into());
        };
        if number < 1 || number > of {
            return Err(format!("shards of {of} are 1/{of} to {of}/{of}"));
        }
        Ok(Shard { number, of })
    }
}

/// Part of a segment that is read, in contig positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// The segment. Windows lie within it.
    pub(crate) segment: Segment,
    /// Window starts that are read.
    pub(crate) read: Range<u64>,
    /// Positions whose sites and bins are wanted.
    pub(crate) kept: Range<u64>,
}

impl Stretch {
    /// All of a segment.
    pub(crate) fn whole(segment: Segment) -> Stretch {
        Stretch { read: segment.clone(), segment, kept: EVERYWHERE }
    }

    /// The first position after `from` where a chunk has to end.
    pub(crate) fn next_cut(&self, from: u64) -> u64 {
        let Range { start, end } = self.kept;
        [start, end].into_iter().find(|&cut| cut > from).unwrap_or(u64::MAX).min(self.read.end)
    }
}

/// Stretches of indexed contigs, each with the contig's rank.
pub(crate) type Stretches = VecDeque<(usize, Stretch)>;

impl Shard {
    /// Parts of `segments` that the shard owns (each with its contig's rank, in order, ends known); seams lie on multiples
    /// of `unit` or at a segment's start. Nothing more is read yet than what is owned.
    pub(crate) fn stretches(&self, segments: &[(usize, Segment)], unit: u64) -> Stretches {
        let total: u64 = segments.iter().map(|(_, segment)| segment.end - segment.start).sum();
        // Segment and position of a seam.
        let seam = |number: u64| -> (usize, u64) {
            let at = (u128::from(total) * u128::from(number) / u128::from(self.of)) as u64;
            let mut before = 0;
            for (i, (_, segment)) in segments.iter().enumerate() {
                let length = segment.end - segment.start;
                if at < before + length {
                    let position = segment.start + (at - before);
                    return (i, (position - position % unit).max(segment.start));
                }
                before += length;
            }
            (segments.len(), 0)
        };
        // Contigs without a base go to the shard before them, at the start to the first.
        let from = if self.number == 1 { (0, 0) } else { seam(self.number - 1) };
        let to = seam(self.number);
        let mut stretches = Stretches::new();
        for (i, (contig, segment)) in segments.iter().enumerate() {
            let start = if i == from.0 { from.1.max(segment.start) } else { segment.start };
            let end = if i == to.0 { to.1 } else { segment.end };
            let within = i >= from.0 && i <= to.0;
            let whole = start == segment.start && end == segment.end;
            if within && whole {
                stretches.push_back((*contig, Stretch::whole(segment.clone())));
            } else if within && start < end {
                // The end of the segment may cut a bin, a seam does not.
                let kept = start..if end == segment.end { u64::MAX } else { end };
                stretches.push_back((*contig, Stretch { segment: segment.clone(), read: start..end, kept }));
            }
        }
        stretches
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shards_are_read_as_number_of_number() {
        assert_eq!("3/10".parse(), Ok(Shard { number: 3, of: 10 }));
        for wrong in ["", "3", "0/10", "11/10", "1/0", "-1/4", "1/2/3", "a/b"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
        assert!("4/3".parse::<Shard>().unwrap_err().contains("1/3 to 3/3"));
    }

    proptest! {
        #[test]
        fn shards_cover_every_segment_once_and_are_equal(
            lengths in prop::collection::vec((0u64..300, 0u64..50), 1..12), of in 1u64..40, unit in 1u64..30
        ) {
            let segments: Vec<(usize, Segment)> =
                lengths.iter().enumerate().map(|(i, &(length, from))| (i, from..from + length)).collect();
            let total: u64 = lengths.iter().map(|(length, _)| length).sum();
            let mut joined: Vec<(usize, Range<u64>)> = Vec::new();
            for number in 1..=of {
                let mut owned = 0;
                for (contig, stretch) in (Shard { number, of }).stretches(&segments, unit) {
                    owned += stretch.read.end - stretch.read.start;
                    match joined.last_mut() {
                        Some((last, range)) if *last == contig => {
                            prop_assert_eq!(range.end, stretch.read.start);
                            prop_assert_eq!(range.end % unit, 0);
                            prop_assert_eq!(stretch.kept.start, stretch.read.start);
                            range.end = stretch.read.end;
                        }
                        _ => joined.push((contig, stretch.read)),
                    }
                }
                prop_assert!(owned <= total / of + unit + 1);
            }
            prop_assert_eq!(joined, segments);
        }
    }
}
