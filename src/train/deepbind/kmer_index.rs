//! Sequences as rows of overlapping 3-mers over the letters A, C, G, T, N: what the convolution looks up.

use crate::seq::alphabet::{N, complement};

/// Bases that one look-up covers.
pub(crate) const STEP: usize = 3;

/// Places of a table: 5³ 3-mers, rounded up so that an index masked with `ENTRIES - 1` is always in range.
pub(crate) const ENTRIES: usize = 128;

/// Look-ups that a filter of `length` bases takes.
pub(crate) fn groups(length: usize) -> usize {
    length.div_ceil(STEP)
}

/// All sequences of a data set, padded, on one or both strands.
///
/// A placement p of a filter needs the 3-mers at p, p + 3, p + 6 and so on. The row of a strand therefore holds
/// the 3-mers at 0, 3, 6, …, then those at 1, 4, 7, …, then those at 2, 5, 8, …: the ones of a placement lie side
/// by side, and those of the next placement of the same phase one further.
#[derive(Debug, Clone)]
pub(crate) struct Triplets {
    groups: usize,
    strands: usize,
    entries: Vec<u8>,
    /// Start of each sequence's rows in `entries`, and the end of the last.
    starts: Vec<usize>,
}

/// One strand of one sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    /// 3-mers by phase.
    pub(crate) phases: [&'a [u8]; STEP],
    /// Placements of a filter.
    pub(crate) placements: usize,
}

impl Triplets {
    /// Rows of `sequences` (codes) for filters of `length` bases, with `pad` columns of N on both sides, for the
    /// forward strand or both. Every sequence must be long enough for one placement.
    pub(crate) fn new<'a>(
        sequences: impl IntoIterator<Item = &'a [u8]>,
        length: usize,
        pad: usize,
        both: bool,
    ) -> Triplets {
        let groups = groups(length);
        let strands = if both { 2 } else { 1 };
        let mut triplets = Triplets { groups, strands, entries: Vec::new(), starts: vec![0] };
        // The last 3-mer may reach past the filter, where the weights are 0.
        let tail = pad + groups * STEP - length;
        let mut padded = Vec::new();
        for codes in sequences {
            assert!(codes.len() + 2 * pad >= length, "a filter does not fit a sequence");
            for strand in 0..strands {
                padded.clear();
                padded.resize(pad, N);
                match strand {
                    0 => padded.extend(codes.iter().map(|&code| code.min(N))),
                    _ => padded.extend(codes.iter().rev().map(|&code| complement(code))),
                }
                padded.resize(padded.len() + tail, N);
                for phase in 0..STEP {
                    let kmers = padded[phase..].windows(STEP).step_by(STEP);
                    triplets.entries.extend(kmers.map(|x| x[0] * 25 + x[1] * 5 + x[2]));
                }
            }
            triplets.starts.push(triplets.entries.len());
        }
        triplets
    }

    /// Strands of each sequence, 1 or 2.
    pub(crate) fn strands(&self) -> usize {
        self.strands
    }

    /// The row of a sequence on a strand (0 forward, 1 reverse).
    #[inline(always)]
    pub(crate) fn row(&self, sequence: usize, strand: usize) -> Row<'_> {
        let all = &self.entries[self.starts[sequence]..self.starts[sequence + 1]];
        let size = all.len() / self.strands;
        let row = &all[strand * size..(strand + 1) * size];
        let (first, rest) = row.split_at(size.div_ceil(STEP));
        let (second, third) = rest.split_at((size + 1) / STEP);
        Row { phases: [first, second, third], placements: size - STEP * (self.groups - 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seq::alphabet::encode;

    #[test]
    fn a_placement_reads_its_own_bases() {
        for length in 1..12 {
            for pad in [0, length - 1] {
                let codes = encode(b"ACGTTGCANNGTACGGATC").unwrap();
                let triplets = Triplets::new([&codes[..]], length, pad, true);
                for strand in 0..2 {
                    let mut padded = vec![N; pad];
                    if strand == 0 {
                        padded.extend(&codes);
                    } else {
                        crate::seq::alphabet::reverse_complement_into(&codes, &mut padded);
                    }
                    padded.resize(padded.len() + pad, N);
                    let row = triplets.row(0, strand);
                    assert_eq!(row.placements, padded.len() - length + 1);
                    for p in 0..row.placements {
                        let looked_up = &row.phases[p % STEP][p / STEP..p / STEP + triplets.groups];
                        let bases: Vec<u8> =
                            looked_up.iter().flat_map(|x| [x / 25, x / 5 % 5, x % 5]).collect();
                        assert_eq!(bases[..length], padded[p..p + length], "length {length}, placement {p}");
                    }
                }
            }
        }
    }
}
