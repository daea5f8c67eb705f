//! BAI, tabix and CSI indexes: the parts of a BGZF file that contain the records of a region.
//!
//! The formats are those of the SAM, tabix and CSI specifications. No count in a file is believed before the bytes that it
//! counts are there, so that a damaged index takes no more memory than its own size.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use flate2::read::MultiGzDecoder;

/// A part of a BGZF file: virtual positions, half-open.
pub(crate) type Stretch = Range<u64>;

/// Largest number of bits of the smallest bin's length, and largest number of levels, of a CSI index.
const MAX_SHIFT: u32 = 31;
const MAX_DEPTH: u32 = 10;

/// An index of bins.
#[derive(Debug)]
pub(crate) struct BinningIndex {
    min_shift: u32,
    depth: u32,
    /// Names of the contigs; empty where the indexed file has them.
    pub(crate) names: Vec<Vec<u8>>,
    contigs: Vec<ContigIndex>,
}

#[derive(Debug, Default)]
struct ContigIndex {
    bins: HashMap<u32, Bin>,
    /// Smallest position of a record that overlaps each stretch of the smallest bin's length. CSI has none.
    linear: Vec<u64>,
}

#[derive(Debug)]
struct Bin {
    /// Smallest position of a record that overlaps the bin; 0 in formats that do not have it.
    first_record: u64,
    stretches: Vec<Stretch>,
}

/// Bytes of an index.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*taken))
    }

    fn u64(&mut self) -> Option<u64> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*taken))
    }

    /// Names with a zero after each.
    fn names(&mut self) -> Option<Vec<Vec<u8>>> {
        let length = self.u32()?;
        let text = self.take(length as usize)?;
        let text = text.strip_suffix(&[0]).unwrap_or(text);
        Some(text.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Bai,
    Tabix,
    Csi,
}

impl BinningIndex {
    /// Reads an index; `None` if its contents are damaged, or of another format.
    ///
    /// # Errors
    /// A file that cannot be read or decompressed.
    pub(crate) fn read(path: &Path) -> io::Result<Option<BinningIndex>> {
        let mut content = Vec::new();
        File::open(path)?.read_to_end(&mut content)?;
        if content.starts_with(&[0x1f, 0x8b]) {
            let mut plain = Vec::new();
            MultiGzDecoder::new(&content[..]).read_to_end(&mut plain)?;
            content = plain;
        }
        Ok(BinningIndex::parse(&content))
    }

    fn parse(content: &[u8]) -> Option<BinningIndex> {
        let bytes = &mut Bytes(content);
        let format = match bytes.take(4)? {
            b"BAI\x01" => Format::Bai,
            b"TBI\x01" => Format::Tabix,
            b"CSI\x01" => Format::Csi,
            _ => return None,
        };
        let mut index = BinningIndex { min_shift: 14, depth: 5, names: Vec::new(), contigs: Vec::new() };
        if format == Format::Csi {
            index.min_shift = bytes.u32().filter(|&shift| shift <= MAX_SHIFT)?;
            index.depth = bytes.u32().filter(|&depth| depth <= MAX_DEPTH)?;
            let length = bytes.u32()?;
            let mut header = Bytes(bytes.take(length as usize)?);
            // Tabix's header: six numbers, then the names. A CSI index of BAM or BCF has none.
            if header.take(6 * 4).is_some() {
                index.names = header.names()?;
            }
        }
        let contigs = bytes.u32()?;
        if format == Format::Tabix {
            bytes.take(6 * 4)?;
            index.names = bytes.names()?;
        }
        for _ in 0..contigs {
            index.contigs.push(ContigIndex::parse(bytes, format)?);
        }
        Some(index)
    }

    /// True if the index has an entry for the contig.
    pub(crate) fn has_contig(&self, contig: usize) -> bool {
        contig < self.contigs.len()
    }

    /// Adds the parts of the file that contain every record which overlaps `regions` (0-based half-open) of a contig. They
    /// may contain other records, and are neither sorted nor joined ([`join`]).
    pub(crate) fn stretches(&self, contig: usize, regions: &[Range<u64>], out: &mut Vec<Stretch>) {
        let Some(contig) = self.contigs.get(contig) else { return };
        let first_records: Vec<u64> =
            regions.iter().map(|region| self.first_record(contig, region.start)).collect();
        for (&number, bin) in &contig.bins {
            let Some(covered) = self.covered(number) else { continue };
            for (region, &first) in regions.iter().zip(&first_records) {
                if region.start < covered.end && covered.start < region.end {
                    out.extend(bin.stretches.iter().filter(|stretch| stretch.end > first).cloned());
                }
            }
        }
    }

    /// A position in the file before which no record overlaps `start` or what follows.
    fn first_record(&self, contig: &ContigIndex, start: u64) -> u64 {
        let window = usize::try_from(start >> self.min_shift).unwrap_or(usize::MAX);
        if let Some(&position) = contig.linear.get(window) {
            return position;
        }
        // The smallest bin that contains `start` and has records: no record that overlaps it lies before its first.
        let smallest = (0..=self.depth).rev().find_map(|level| {
            let rank = start >> (self.min_shift + 3 * (self.depth - level));
            let number = u32::try_from(first_bin(level) + rank).ok()?;
            contig.bins.get(&number)
        });
        smallest.map_or(0, |bin| bin.first_record)
    }

    /// Positions that a bin covers; `None` for a bin that holds counts.
    fn covered(&self, bin: u32) -> Option<Range<u64>> {
        (0..=self.depth).find_map(|level| {
            let rank = u64::from(bin).checked_sub(first_bin(level))?;
            let shift = self.min_shift + 3 * (self.depth - level);
            (rank < 1 << (3 * level)).then(|| rank << shift..(rank + 1) << shift)
        })
    }
}

/// Number of the first bin of a level, of which level 0 has one bin and each further level eight times as many.
fn first_bin(level: u32) -> u64 {
    ((1 << (3 * level)) - 1) / 7
}

impl ContigIndex {
    fn parse(bytes: &mut Bytes<'_>, format: Format) -> Option<ContigIndex> {
        let mut contig = ContigIndex::default();
        for _ in 0..bytes.u32()? {
            let number = bytes.u32()?;
            let first_record = if format == Format::Csi { bytes.u64()? } else { 0 };
            let mut stretches = Vec::new();
            for _ in 0..bytes.u32()? {
                stretches.push(bytes.u64()?..bytes.u64()?);
            }
            contig.bins.insert(number, Bin { first_record, stretches });
        }
        if format != Format::Csi {
            for _ in 0..bytes.u32()? {
                contig.linear.push(bytes.u64()?);
            }
        }
        Some(contig)
    }
}

/// Sorts stretches, and joins those that overlap or touch: nothing is read twice.
pub(crate) fn join(stretches: &mut Vec<Stretch>) {
    stretches.sort_unstable_by_key(|stretch| (stretch.start, stretch.end));
    stretches.dedup_by(|next, last| {
        let joined = next.start <= last.end;
        if joined {
            last.end = last.end.max(next.end);
        }
        joined
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two contigs: one with a bin of two stretches and three intervals, one with nothing.
    fn bai() -> Vec<u8> {
        let numbers: [u32; 21] = [2, 1, 4681, 2, 0, 1, 0, 2, 0, 2, 0, 3, 3, 0, 1, 0, 1, 0, 1, 0, 0];
        let mut content = b"BAI\x01".to_vec();
        numbers.iter().for_each(|number| content.extend(number.to_le_bytes()));
        content
    }

    /// The same as CSI, without intervals.
    fn csi() -> Vec<u8> {
        let numbers: [u32; 18] = [14, 5, 0, 2, 1, 4681, 0, 1, 2, 0, 1, 0, 2, 0, 2, 0, 3, 0];
        let mut content = b"CSI\x01".to_vec();
        numbers.iter().for_each(|number| content.extend(number.to_le_bytes()));
        content
    }

    fn found(content: &[u8], region: Range<u64>) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        BinningIndex::parse(content).unwrap().stretches(0, &[region], &mut stretches);
        join(&mut stretches);
        stretches
    }

    #[test]
    fn whole_indexes_are_read_and_cut_ones_are_refused() {
        for content in [bai(), csi()] {
            let index = BinningIndex::parse(&content).unwrap();
            assert!(index.has_contig(1) && !index.has_contig(2));
            assert_eq!(index.covered(4681), Some(0..1 << 14));
            assert_eq!(index.covered(0), Some(0..1 << 29));
            assert_eq!(index.covered(37450), None);
            for end in 0..content.len() {
                assert!(BinningIndex::parse(&content[..end]).is_none(), "{end}");
            }
        }
        let mut deep = csi();
        deep[8] = 11;
        assert!(BinningIndex::parse(&deep).is_none());
    }

    #[test]
    fn stretches_are_those_of_the_bins_that_a_region_overlaps() {
        for mut content in [bai(), csi()] {
            assert_eq!(found(&content, 0..10), vec![Stretch { start: 1 << 32, end: 3 << 32 }]);
            assert_eq!(found(&content, (1 << 14)..(1 << 15)), []);
            // The first stretch ends where the first record of the region begins, or before it.
            let at = if content.starts_with(b"BAI") { 4 * 14 } else { 4 * 7 };
            content[at..at + 8].copy_from_slice(&(2u64 << 32).to_le_bytes());
            assert_eq!(found(&content, 0..10), vec![Stretch { start: 2 << 32, end: 3 << 32 }]);
        }
    }

    proptest! {
        /// A count larger than the file is refused, wherever it stands.
        #[test]
        fn no_count_is_believed(at in 1usize..21, count in 1_000u32..) {
            let mut content = bai();
            content[4 * at..4 * at + 4].copy_from_slice(&count.to_le_bytes());
            // Positions and bin numbers may be anything.
            if [1, 2, 4, 13, 21].contains(&at) {
                prop_assert!(BinningIndex::parse(&content).is_none());
            }
        }
    }
}
