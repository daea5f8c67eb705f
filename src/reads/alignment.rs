//! Alignment of a read's bases to the reference.
//!
//! A base that is matched or mismatched (M, =, X) lies where it is aligned. An inserted base (I) has no place of its own
//! and is given that of the aligned base before it, as VCF anchors insertions; before the first aligned base, that of
//! the first. A soft-clipped base (S) lies nowhere: it was read, and may come from anywhere.

use std::ops::Range;

use noodles::sam::alignment::record::cigar::Op;
use noodles::sam::alignment::record::cigar::op::Kind;

/// Bases of a read that are aligned without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    /// First base in the read, 0-based.
    base: usize,
    /// Its place on the reference, 0-based.
    place: u64,
    length: usize,
    /// True if reference is skipped before it (N: an intron).
    skip: bool,
}

impl Piece {
    fn end(&self) -> usize {
        self.base + self.length
    }
}

/// The alignment of a read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alignment {
    pieces: Vec<Piece>,
    /// Bases of the read that are not soft-clipped.
    kept: Range<usize>,
    bases: usize,
    /// One past the last reference base.
    end: u64,
}

impl Alignment {
    /// Takes the operations of a CIGAR, of an alignment that starts at `start` (0-based); forgets the last one.
    ///
    /// # Errors
    /// The error in the operations.
    pub fn take<E: std::fmt::Display>(
        &mut self,
        start: u64,
        operations: impl Iterator<Item = Result<Op, E>>,
    ) -> Result<(), String> {
        self.pieces.clear();
        let (mut base, mut place) = (0usize, start);
        let (mut left, mut right, mut skip) = (0, 0, false);
        for operation in operations {
            let operation = operation.map_err(|error| format!("its CIGAR cannot be read ({error})"))?;
            let length = operation.len();
            if right > 0 && !matches!(operation.kind(), Kind::SoftClip | Kind::HardClip | Kind::Pad) {
                return Err("a soft clip is inside its CIGAR".into());
            }
            match operation.kind() {
                Kind::Match | Kind::SequenceMatch | Kind::SequenceMismatch if length > 0 => {
                    match self.pieces.last_mut() {
                        Some(last)
                            if !skip && last.end() == base && last.place + last.length as u64 == place =>
                        {
                            last.length += length;
                        }
                        _ => self.pieces.push(Piece { base, place, length, skip }),
                    }
                    base += length;
                    place += length as u64;
                    skip = false;
                }
                Kind::Insertion => base += length,
                Kind::Deletion => place += length as u64,
                Kind::Skip => {
                    place += length as u64;
                    skip = true;
                }
                Kind::SoftClip => {
                    if base == left && self.pieces.is_empty() {
                        left += length;
                    } else {
                        right += length;
                    }
                    base += length;
                }
                _ => {}
            }
        }
        self.kept = left..base - right;
        (self.bases, self.end) = (base, place);
        Ok(())
    }

    /// Bases of the read that the operations tell of, soft-clipped ones included.
    pub fn bases(&self) -> usize {
        self.bases
    }

    /// True if no base is aligned.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// One past the last reference base that the alignment covers, deletions and introns at its end included.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The last piece that begins at or before a base of the read.
    fn at(&self, base: usize) -> Option<&Piece> {
        self.pieces[..self.pieces.partition_point(|piece| piece.base <= base)].last()
    }

    /// Place of a base of the read (0-based) on the reference; `None` of one that is clipped.
    pub fn place(&self, base: usize) -> Option<u64> {
        if !self.kept.contains(&base) {
            return None;
        }
        match self.at(base) {
            Some(piece) => Some(piece.place + (base - piece.base).min(piece.length - 1) as u64),
            None => self.pieces.first().map(|first| first.place),
        }
    }

    /// Puts the place of every base of the read into `places`; `u64::MAX` of those that have none.
    pub fn places(&self, places: &mut Vec<u64>) {
        places.clear();
        places.resize(self.kept.start, u64::MAX);
        if let Some(first) = self.pieces.first() {
            places.resize(first.base, first.place);
        }
        for piece in &self.pieces {
            // Bases inserted before it.
            if let Some(&last) = places.last() {
                places.resize(piece.base, last);
            }
            places.extend(piece.place..piece.place + piece.length as u64);
        }
        if let (Some(&last), false) = (places.last(), self.pieces.is_empty()) {
            places.resize(self.kept.end, last);
        }
        places.resize(self.bases, u64::MAX);
    }

    /// Puts into `blocks` where a window of the read lies on the reference: from its first aligned base to its last,
    /// apart at introns (N) only. A window wholly within an insertion has the place of that, one base. `false`, and no
    /// block, if the base in the window's middle (the right one of two) is clipped.
    pub fn lift(&self, window: Range<usize>, blocks: &mut Vec<Range<u64>>) -> bool {
        blocks.clear();
        if self.place(window.start + (window.end - window.start) / 2).is_none() {
            return false;
        }
        let from = self.pieces.partition_point(|piece| piece.end() <= window.start);
        for piece in self.pieces[from..].iter().take_while(|piece| piece.base < window.end) {
            let place = |base: usize| piece.place + (base - piece.base) as u64;
            let (start, end) = (place(window.start.max(piece.base)), place(window.end.min(piece.end())));
            match blocks.last_mut() {
                Some(last) if !piece.skip => last.end = end,
                _ => blocks.push(start..end),
            }
        }
        if blocks.is_empty()
            && let Some(place) = self.place(window.start + (window.end - window.start) / 2)
        {
            blocks.push(place..place + 1);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alignment(start: u64, cigar: &str) -> Alignment {
        let mut alignment = Alignment::default();
        alignment.take(start, operations(cigar).into_iter()).unwrap();
        alignment
    }

    fn operations(cigar: &str) -> Vec<Result<Op, String>> {
        let kind = |letter| match letter {
            'M' => Kind::Match,
            'I' => Kind::Insertion,
            'D' => Kind::Deletion,
            'N' => Kind::Skip,
            'S' => Kind::SoftClip,
            'H' => Kind::HardClip,
            'P' => Kind::Pad,
            '=' => Kind::SequenceMatch,
            'X' => Kind::SequenceMismatch,
            other => panic!("{other}"),
        };
        let words = cigar.split_inclusive(|c: char| !c.is_ascii_digit());
        words
            .map(|word| {
                let (digits, letter) = word.split_at(word.len() - 1);
                Ok(Op::new(kind(letter.chars().next().unwrap()), digits.parse().unwrap()))
            })
            .collect()
    }

    fn places(start: u64, cigar: &str, bases: usize) -> Vec<Option<u64>> {
        let alignment = alignment(start, cigar);
        let one_by_one: Vec<Option<u64>> = (0..bases).map(|base| alignment.place(base)).collect();
        let mut all = Vec::new();
        alignment.places(&mut all);
        let all: Vec<_> = all.into_iter().map(|place| (place != u64::MAX).then_some(place)).collect();
        assert_eq!(all, one_by_one, "{cigar}");
        all
    }

    fn lifted(start: u64, cigar: &str, window: Range<usize>) -> Option<Vec<(u64, u64)>> {
        let mut blocks = Vec::new();
        let lifted = alignment(start, cigar).lift(window, &mut blocks);
        lifted.then(|| blocks.into_iter().map(|block| (block.start, block.end)).collect())
    }

    #[test]
    fn every_base_has_the_place_that_its_operation_gives_it() {
        let some = |places: &[u64]| places.iter().map(|&place| Some(place)).collect::<Vec<_>>();
        assert_eq!(places(10, "4M", 4), some(&[10, 11, 12, 13]));
        assert_eq!(places(10, "1=1X2M", 4), some(&[10, 11, 12, 13]));
        assert_eq!(places(10, "2M2I2M", 6), some(&[10, 11, 11, 11, 12, 13]));
        assert_eq!(places(10, "2M3D2M", 4), some(&[10, 11, 15, 16]));
        assert_eq!(places(10, "2M100N2M", 4), some(&[10, 11, 112, 113]));
        assert_eq!(places(10, "2I2M1I", 5), some(&[10, 10, 10, 11, 11]));
        assert_eq!(places(10, "2M1D1P1I1D2M", 5), some(&[10, 11, 11, 14, 15]));
        let clipped = [None, None, Some(10), Some(11), None];
        assert_eq!(places(10, "3H2S2M1S5H", 5), clipped);
        assert_eq!(places(10, "2S1I1M1S", 5), [None, None, Some(10), Some(10), None]);
    }

    #[test]
    fn windows_are_lifted_from_their_first_aligned_base_to_their_last() {
        let blocks = |blocks: &[(u64, u64)]| Some(blocks.to_vec());
        assert_eq!(lifted(10, "20M", 3..8), blocks(&[(13, 18)]));
        assert_eq!(lifted(10, "5M3I5M", 3..10), blocks(&[(13, 17)]));
        assert_eq!(lifted(10, "5M3D5M", 3..8), blocks(&[(13, 21)]));
        assert_eq!(lifted(10, "5M90N5M", 3..8), blocks(&[(13, 15), (105, 108)]));
        assert_eq!(lifted(10, "5M2D90N1D5M", 3..8), blocks(&[(13, 15), (108, 111)]));
        assert_eq!(lifted(10, "5M90N5M", 0..5), blocks(&[(10, 15)]));
        assert_eq!(lifted(10, "5M90N5M", 5..9), blocks(&[(105, 109)]));
        // Begins in an insertion, ends in one, lies in one.
        assert_eq!(lifted(10, "5M3I5M", 6..10), blocks(&[(15, 17)]));
        assert_eq!(lifted(10, "5M3I5M", 2..7), blocks(&[(12, 15)]));
        assert_eq!(lifted(10, "5M6I5M", 6..9), blocks(&[(14, 15)]));
        assert_eq!(lifted(10, "6I5M", 1..4), blocks(&[(10, 11)]));
        // Reaches into a clip by less than half, by half, and by more; of two middle bases the right one counts.
        assert_eq!(lifted(10, "4S9M", 2..7), blocks(&[(10, 13)]));
        assert_eq!(lifted(10, "4S9M", 2..6), blocks(&[(10, 12)]));
        assert_eq!(lifted(10, "4S9M", 1..6), None);
        assert_eq!(lifted(10, "9M4S", 7..11), None);
        assert_eq!(lifted(10, "9M4S", 7..10), blocks(&[(17, 19)]));
        assert_eq!(lifted(10, "9M4S", 9..13), None);
    }

    #[test]
    fn what_an_alignment_covers() {
        assert_eq!(alignment(10, "2S5M3D90N5M2I4S").end(), 113);
        assert_eq!(alignment(10, "3H2S5M3D90N5M2I4S5H").bases(), 18);
        assert!(alignment(10, "7S").is_empty());
        assert!(alignment(10, "5I").is_empty());
        let mut wrong = Alignment::default();
        assert!(wrong.take(0, operations("5M2S5M").into_iter()).is_err());
    }
}
