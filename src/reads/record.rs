//! Records of a BAM file: which are wanted, and what they hold.

use std::collections::HashSet;
use std::path::Path;

use noodles::bam::RecordRef;
use noodles::sam::alignment::record::data::field::Value;

use crate::Error;
use crate::reads::alignment::Alignment;
use crate::seq::alphabet::N;

/// Bits of a record's flags (SAM specification, section 1.4).
pub mod flag {
    /// The read is one of a pair.
    pub const PAIRED: u16 = 0x1;
    /// The read is not aligned.
    pub const UNMAPPED: u16 = 0x4;
    /// First read of its pair.
    pub const FIRST: u16 = 0x40;
    /// Last read of its pair.
    pub const LAST: u16 = 0x80;
    /// Another place of a read that has a primary one.
    pub const SECONDARY: u16 = 0x100;
    /// Failed quality checks.
    pub const QC_FAIL: u16 = 0x200;
    /// A duplicate (PCR or optical).
    pub const DUPLICATE: u16 = 0x400;
    /// A part of a chimeric alignment other than the first.
    pub const SUPPLEMENTARY: u16 = 0x800;
}

/// Filter of reads and of their bases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFilter {
    /// Lowest mapping quality of an aligned read; 255, which stands for unknown, passes.
    pub min_mapq: u8,
    /// Flags that a read must have, all of them.
    pub required: u16,
    /// Flags of which a read may have none.
    pub excluded: u16,
    /// True if reads that are not aligned are wanted.
    pub unmapped: bool,
    /// Bases of a lower quality are read as N.
    pub min_base_quality: u8,
    /// Read groups that are wanted; all, and reads of none, if it is empty.
    pub read_groups: Vec<String>,
}

impl ReadFilter {
    /// Flags that are not wanted unless it is said otherwise.
    pub const EXCLUDED: u16 = flag::SECONDARY | flag::QC_FAIL | flag::DUPLICATE | flag::SUPPLEMENTARY;
}

impl Default for ReadFilter {
    fn default() -> ReadFilter {
        ReadFilter {
            min_mapq: 0,
            required: 0,
            excluded: ReadFilter::EXCLUDED,
            unmapped: false,
            min_base_quality: 0,
            read_groups: Vec::new(),
        }
    }
}

/// Why a read is not scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// It is not aligned.
    Unmapped,
    /// It is a secondary alignment.
    Secondary,
    /// It is a supplementary alignment.
    Supplementary,
    /// It failed quality checks.
    QcFail,
    /// It is a duplicate.
    Duplicate,
    /// Another flag excludes it, or it lacks one that is required.
    Flags,
    /// Its mapping quality is too low.
    MappingQuality,
    /// It is of another read group.
    ReadGroup,
    /// The record has no sequence (`*`).
    NoSequence,
    /// Bases that are those of the reference are written as `=`, so that the record alone does not say what they are.
    SameAsReference,
    /// It is said to be aligned, but without a place, or no base of it is.
    NoPlace,
    /// It is aligned past the end of its contig.
    PastEnd,
}

impl Skip {
    /// All there are, in the order in which they are counted.
    pub const ALL: [Skip; 12] = [
        Skip::Unmapped,
        Skip::Secondary,
        Skip::Supplementary,
        Skip::QcFail,
        Skip::Duplicate,
        Skip::Flags,
        Skip::MappingQuality,
        Skip::ReadGroup,
        Skip::NoSequence,
        Skip::SameAsReference,
        Skip::NoPlace,
        Skip::PastEnd,
    ];

    /// Description of the reads.
    pub fn words(self) -> &'static str {
        match self {
            Skip::Unmapped => "unmapped",
            Skip::Secondary => "secondary",
            Skip::Supplementary => "supplementary",
            Skip::QcFail => "that failed quality checks",
            Skip::Duplicate => "duplicate",
            Skip::Flags => "by their flags",
            Skip::MappingQuality => "of lower mapping quality",
            Skip::ReadGroup => "of other read groups",
            Skip::NoSequence => "without a sequence",
            Skip::SameAsReference => "with = for bases of the reference (as samtools calmd -e writes them)",
            Skip::NoPlace => "without an aligned base",
            Skip::PastEnd => "aligned past the end of their contig",
        }
    }
}

/// A read that is to be scored; reused from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Name, with /1 or /2 behind it of the reads of a pair.
    pub(crate) name: Vec<u8>,
    pub(crate) flags: u16,
    pub(crate) mapq: u8,
    /// Rank of the contig, if it is aligned.
    pub(crate) contig: Option<usize>,
    /// First reference base, 0-based.
    pub(crate) start: u64,
    pub(crate) alignment: Alignment,
}

/// Codes of BAM's 4-bit bases, `=ACMGRSVTWYHKDBN`: both of a byte.
static CODES: [[u8; 2]; 256] = codes();

const fn codes() -> [[u8; 2]; 256] {
    let mut code = [N; 16];
    (code[1], code[2], code[4], code[8]) = (0, 1, 2, 3);
    let mut table = [[N; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [code[byte >> 4], code[byte & 15]];
        byte += 1;
    }
    table
}

/// True if one of the first `count` 4-bit bases is `=`.
fn has_equals(bases: &[u8], count: usize) -> bool {
    let (whole, last) = bases.split_at(count / 2);
    let in_pairs = whole.iter().fold(false, |any, &pair| any | (pair >> 4 == 0) | (pair & 15 == 0));
    in_pairs || (count % 2 == 1 && last.first().is_some_and(|pair| pair >> 4 == 0))
}

/// Rank of a record's contig and its place, 0-based, as they stand in it: -1 if there is none.
pub(crate) fn place(record: &[u8]) -> Option<(i32, i32)> {
    let number = |at: usize| Some(i32::from_le_bytes(record.get(at..at + 4)?.try_into().ok()?));
    Some((number(0)?, number(4)?))
}

/// A record as noodles sees it, once its parts are known to lie within it.
fn sound(record: &[u8]) -> Option<RecordRef<'_>> {
    let name = usize::from(*record.get(8)?);
    let operations = usize::from(u16::from_le_bytes(record.get(12..14)?.try_into().ok()?));
    let bases = u32::from_le_bytes(record.get(16..20)?.try_into().ok()?) as usize;
    let length = 32 + name + 4 * operations + bases.div_ceil(2) + bases;
    (record.len() >= length).then(|| RecordRef::new(record)).flatten()
}

impl Read {
    /// Takes a record: its codes go to `codes`. `lengths` are those of the contigs.
    ///
    /// # Errors
    /// The error in the record.
    pub(crate) fn take(
        &mut self,
        record: &[u8],
        filter: &ReadFilter,
        groups: &HashSet<&[u8]>,
        lengths: &[u64],
        codes: &mut Vec<u8>,
    ) -> Result<Option<Skip>, String> {
        let record = sound(record).ok_or("it is damaged: its parts are longer than it is")?;
        let name = record.name().map_or(&b"*"[..], |name| name.as_ref());
        self.name.clear();
        self.name.extend_from_slice(name);
        self.flags = u16::from(record.flags());
        self.mapq = record.mapping_quality().map_or(255, u8::from);
        let mapped = self.flags & flag::UNMAPPED == 0;
        if let Some(skip) = self.skip(mapped, filter) {
            return Ok(Some(skip));
        }
        if !groups.is_empty() {
            let group = match record.data().get(b"RG") {
                Some(Ok(Value::String(group))) => Some(group),
                Some(Err(error)) => return Err(format!("its tags cannot be read ({error})")),
                _ => None,
            };
            if !group.is_some_and(|group| groups.contains::<[u8]>(group.as_ref())) {
                return Ok(Some(Skip::ReadGroup));
            }
        }
        let sequence = record.sequence();
        if sequence.is_empty() {
            return Ok(Some(Skip::NoSequence));
        }
        if has_equals(sequence.as_bytes(), sequence.len()) {
            return Ok(Some(Skip::SameAsReference));
        }
        self.contig = None;
        if mapped {
            let wrong = |error: std::io::Error| format!("its place cannot be read ({error})");
            let contig = record.reference_sequence_id().transpose().map_err(wrong)?;
            let start = record.alignment_start().transpose().map_err(wrong)?;
            let (Some(contig), Some(start)) = (contig, start) else { return Ok(Some(Skip::NoPlace)) };
            let length = *lengths.get(contig).ok_or("its contig is not in the header")?;
            self.start = usize::from(start) as u64 - 1;
            let cigar = record.cigar();
            if cigar.as_bytes().len() % 4 != 0 {
                return Err("its CIGAR is damaged".into());
            }
            self.alignment.take(self.start, cigar.iter())?;
            if self.alignment.is_empty() {
                return Ok(Some(Skip::NoPlace));
            }
            if self.alignment.bases() != sequence.len() {
                let (told, bases) = (self.alignment.bases(), sequence.len());
                return Err(format!("its CIGAR covers {told} bases, but its sequence has {bases}"));
            }
            if self.alignment.end() > length {
                return Ok(Some(Skip::PastEnd));
            }
            self.contig = Some(contig);
        }
        if self.flags & flag::PAIRED != 0 {
            match self.flags & (flag::FIRST | flag::LAST) {
                flag::FIRST => self.name.extend_from_slice(b"/1"),
                flag::LAST => self.name.extend_from_slice(b"/2"),
                _ => {}
            }
        }
        codes.resize(2 * sequence.as_bytes().len(), 0);
        for (pair, &byte) in codes.as_chunks_mut().0.iter_mut().zip(sequence.as_bytes()) {
            *pair = CODES[usize::from(byte)];
        }
        codes.truncate(sequence.len());
        if filter.min_base_quality > 0 {
            let qualities = record.quality_scores();
            if qualities.is_empty() {
                return Err("it has no base qualities; leave out --min-baseq".into());
            }
            for (code, &quality) in codes.iter_mut().zip(qualities.as_bytes()) {
                if quality < filter.min_base_quality {
                    *code = N;
                }
            }
        }
        Ok(None)
    }

    fn skip(&self, mapped: bool, filter: &ReadFilter) -> Option<Skip> {
        let excluded = self.flags & filter.excluded;
        if !mapped && !filter.unmapped {
            return Some(Skip::Unmapped);
        }
        for (bit, skip) in [
            (flag::SECONDARY, Skip::Secondary),
            (flag::SUPPLEMENTARY, Skip::Supplementary),
            (flag::QC_FAIL, Skip::QcFail),
            (flag::DUPLICATE, Skip::Duplicate),
        ] {
            if excluded & bit != 0 {
                return Some(skip);
            }
        }
        if excluded != 0 || self.flags & filter.required != filter.required {
            return Some(Skip::Flags);
        }
        (mapped && self.mapq < filter.min_mapq).then_some(Skip::MappingQuality)
    }

    /// The error for the record, which has this number in the file at `path`.
    pub(crate) fn error(&self, path: &Path, number: u64, message: &str) -> Error {
        Error::format(path, None, format!("record {number} ({}): {message}", self.shown_name()))
    }

    /// Name for a message.
    pub(crate) fn shown_name(&self) -> String {
        String::from_utf8_lossy(&self.name).escape_default().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_bit_bases_have_their_codes() {
        let codes: Vec<u8> = (0u8..16).map(|base| CODES[usize::from(base << 4)][0]).collect();
        let letters = b"=ACMGRSVTWYHKDBN";
        for (letter, code) in letters.iter().zip(codes) {
            let want = b"ACGT".iter().position(|base| base == letter).map_or(N, |code| code as u8);
            assert_eq!(code, want, "{}", char::from(*letter));
        }
        assert_eq!(CODES[0x18], [0, 3]);
    }

    #[test]
    fn an_equals_sign_is_seen_at_any_place() {
        for count in 1usize..8 {
            let bytes = |equals: Option<usize>| -> Vec<u8> {
                let base = |at: usize| if Some(at) == equals || at >= count { 0u8 } else { 1 };
                (0..count.div_ceil(2)).map(|i| base(2 * i) << 4 | base(2 * i + 1)).collect()
            };
            assert!(!has_equals(&bytes(None), count));
            assert!((0..count).all(|at| has_equals(&bytes(Some(at)), count)), "{count}");
        }
    }

    #[test]
    fn records_that_are_too_short_for_their_parts_are_refused() {
        let mut read = Read::default();
        for bytes in [vec![], vec![0; 31], vec![255; 40]] {
            let filter = ReadFilter::default();
            assert!(read.take(&bytes, &filter, &HashSet::new(), &[], &mut Vec::new()).is_err());
        }
    }
}
