//! Sequencing reads: the records of BAM, SAM and CRAM, in batches.
//!
//! BGZF blocks are decompressed on threads of their own, one thread splits what comes out into records, and the workers
//! of a scan read what is in them. SAM text and CRAM are turned into the records of BAM first.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::genome::regions::Selection;
use crate::io::input::RawInput;
use crate::seq::contig::{Contig, RegionQuery};
use crate::{Error, Result};

pub mod alignment;
mod bam;
#[cfg(feature = "cram")]
pub mod cram;
mod header;
mod index;
pub mod record;
mod sam;
pub mod sequences;

pub use self::record::{ReadFilter, Skip};
use crate::reads::header::Header;
use crate::reads::record::flag;

/// Format of a file of reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFormat {
    /// BAM, compressed as BGZF.
    Bam,
    /// BAM that is not compressed.
    PlainBam,
    /// SAM text.
    Sam,
    /// CRAM.
    Cram,
}

impl ReadFormat {
    /// Format of the reads in `input`; `None` if it contains something else.
    pub fn detect(input: &RawInput) -> Option<ReadFormat> {
        let start = input.start();
        let line = |tag: &str| start.starts_with(format!("@{tag}\t").as_bytes());
        if start.starts_with(b"BAM\x01") {
            Some(if input.is_bgzf() { ReadFormat::Bam } else { ReadFormat::PlainBam })
        } else if start.starts_with(b"CRAM") {
            Some(ReadFormat::Cram)
        } else {
            ["HD", "SQ", "RG", "PG", "CO"].into_iter().any(line).then_some(ReadFormat::Sam)
        }
    }
}

/// Records of reads, as they stand in a BAM file.
#[derive(Debug, Default)]
pub struct Batch {
    /// The records, one after the other, without their lengths.
    bytes: Vec<u8>,
    /// End of each in `bytes`.
    ends: Vec<usize>,
    /// Records of the input before these.
    before: u64,
    /// The contig and the region that were asked for: only reads that overlap it are wanted.
    region: Option<(usize, Range<u64>)>,
    /// Contig and place of the last record, if the order was to be checked.
    pub(crate) reached: Option<(u32, u64)>,
    /// Records before each group but the first, if there are groups ([`ReadSource::group`]).
    groups: Vec<usize>,
}

impl Batch {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.region = None;
        self.reached = None;
        self.groups.clear();
    }

    /// The records, each with its rank in the input, from 1.
    pub(crate) fn records(&self) -> impl Iterator<Item = (u64, &[u8])> {
        (0..).map_while(|i| self.record(i))
    }

    /// The record in place `i` of the batch, with its rank in the input.
    fn record(&self, i: usize) -> Option<(u64, &[u8])> {
        let end = *self.ends.get(i)?;
        let start = i.checked_sub(1).map_or(0, |last| self.ends[last]);
        Some((self.before + 1 + i as u64, &self.bytes[start..end]))
    }

    /// True if a group of records ends with the one that has so many before it in the batch.
    pub(crate) fn ends_group(&self, before: usize) -> bool {
        before + 1 == self.ends.len() || self.groups.binary_search(&(before + 1)).is_ok()
    }

    /// The wanted stretch of the contig that all records are of; `None` if all of every contig is.
    pub(crate) fn region(&self) -> Option<&Range<u64>> {
        self.region.as_ref().map(|(_, region)| region)
    }
}

/// Source of records.
trait RecordReader: Send {
    /// Appends the next record to `out`, as BAM has it, without its length; `false` at the end.
    fn read(&mut self, out: &mut Vec<u8>) -> Result<bool>;

    /// Goes to the stretches of the file in which reads of a region are, if there is an index.
    fn go_to(&mut self, contig: usize, region: &Range<u64>) -> Result<()>;

    /// Bytes of the file read so far.
    fn position(&self) -> u64;
}

/// Options for reading reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Filter of reads.
    pub filter: ReadFilter,
    /// Only reads that overlap one of these regions; all, if there are none.
    pub regions: Vec<RegionQuery>,
    /// Threads that decompress.
    pub threads: usize,
    /// The genome that reads of CRAM were compressed against, if they were; else the file that the header names is tried.
    pub reference: Option<PathBuf>,
    /// True if tags are wanted that CRAM leaves out and that its reference gives (MD, NM).
    pub all_tags: bool,
}

/// The reads of a BAM, SAM or CRAM file.
pub struct ReadSource {
    path: PathBuf,
    reader: Box<dyn RecordReader>,
    total: Option<u64>,
    contigs: Vec<Arc<Contig>>,
    sorted: bool,
    filter: ReadFilter,
    /// True if records out of order are an error.
    check_order: bool,
    /// Regions still to be read, if any were given: contigs, each with its next region and the end of the one before.
    wanted: Option<std::vec::IntoIter<Wanted>>,
    current: Option<Wanted>,
    /// Contig and place of the last record.
    last: (u32, u64),
    records: u64,
    record: Vec<u8>,
    /// True if `record` holds one that has not been given.
    held: bool,
    grouping: Option<Grouping>,
    header: Vec<u8>,
}

/// Grouping of records.
#[derive(Debug, Clone, Copy)]
struct Grouping {
    /// Bytes of a group at the most, unless it is a single record.
    room: usize,
    /// Bytes that a record counts in addition to its own.
    extra: usize,
    /// Bytes in the group so far.
    filled: usize,
}

impl Grouping {
    /// True if a record of `length` bytes is the first of another group.
    fn begins(&self, length: usize) -> bool {
        self.filled > 0 && self.filled + length + self.extra > self.room
    }
}

/// A region, and where the region before it on the same contig ends: reads that reach into both belong to that.
#[derive(Debug, Clone)]
struct Wanted {
    contig: usize,
    region: Range<u64>,
    before: u64,
}

impl fmt::Debug for ReadSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadSource").field("path", &self.path).field("records", &self.records).finish()
    }
}

/// Place of reads that have none: behind all others.
const NOWHERE: (u32, u64) = (u32::MAX, 0);

impl ReadSource {
    /// Opens reads; `path` stands for the input in messages, and an index is looked for beside it.
    ///
    /// # Errors
    /// An input that cannot be read or is cut short; CRAM without its reference; a region that it does not have, or no index
    /// for it; an unknown read group.
    pub fn open(path: &Path, input: RawInput, options: ReadOptions) -> Result<ReadSource> {
        let error = |message: &str| Err(Error::format(path, None, message));
        let total = input.total();
        let with_regions = !options.regions.is_empty();
        let stream = matches!(input, RawInput::Stream(_));
        if with_regions && (stream || ReadFormat::detect(&input) == Some(ReadFormat::Sam)) {
            return error(
                "regions of reads need an index: give a BAM or CRAM file that is sorted and indexed",
            );
        }
        let (reader, Header { text, contigs, sorted, groups }): (Box<dyn RecordReader>, Header) =
            match ReadFormat::detect(&input) {
                Some(ReadFormat::Bam) => {
                    let (reader, header) = bam::Reader::new(path, input, options.threads, with_regions)?;
                    (Box::new(reader), header)
                }
                Some(ReadFormat::Sam) => {
                    let (reader, header) = sam::Reader::new(path, input)?;
                    (Box::new(reader), header)
                }
                Some(ReadFormat::PlainBam) => {
                    return error("this BAM is not compressed; pipe it through samtools view -b");
                }
                #[cfg(not(feature = "cram"))]
                Some(ReadFormat::Cram) => {
                    return error("this bindscan is built without CRAM (Cargo feature cram); give BAM");
                }
                #[cfg(feature = "cram")]
                Some(ReadFormat::Cram) => {
                    let (reader, header) = cram::Reader::new(path, input, &options)?;
                    (Box::new(reader), header)
                }
                None => return error("this is neither BAM, SAM nor CRAM"),
            };
        if let Some(unknown) = options.filter.read_groups.iter().find(|group| !groups.contains(group)) {
            let known = if groups.is_empty() { "none".to_owned() } else { groups.join(", ") };
            let message = format!("there is no read group {unknown} in the header; it has {known}");
            return Err(Error::format(path, None, message));
        }
        let wanted = if with_regions { Some(wanted(options.regions, &contigs)?.into_iter()) } else { None };
        Ok(ReadSource {
            path: path.to_path_buf(),
            reader,
            total,
            contigs,
            sorted,
            filter: options.filter,
            check_order: false,
            wanted,
            current: None,
            last: (0, 0),
            records: 0,
            record: Vec::new(),
            held: false,
            grouping: None,
            header: text,
        })
    }

    /// The contigs of the header.
    pub fn contigs(&self) -> &[Arc<Contig>] {
        &self.contigs
    }

    /// Their lengths.
    pub(crate) fn lengths(&self) -> Vec<u64> {
        self.contigs.iter().map(|contig| contig.length.unwrap_or(u64::MAX)).collect()
    }

    /// True if reads come sorted by coordinate: the header says so, or a region of an index is read.
    pub fn is_sorted(&self) -> bool {
        self.sorted || self.wanted.is_some()
    }

    /// Makes a read that lies before the one before it an error.
    pub fn require_order(&mut self) {
        self.check_order = true;
    }

    /// Groups the records: as many as have `room` bytes, each counted with `extra` more, one after the other; a record that
    /// is longer is a group of its own. No batch parts them, so that they depend on the input alone.
    pub(crate) fn group(&mut self, room: usize, extra: usize) {
        self.grouping = Some(Grouping { room, extra, filled: 0 });
    }

    /// The lines of the header, as they are.
    pub(crate) fn header(&self) -> &[u8] {
        &self.header
    }

    /// Filter of reads.
    pub fn filter(&self) -> &ReadFilter {
        &self.filter
    }

    /// Name of the input in messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes read so far, and in all where that is known.
    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.reader.position(), self.total)
    }

    /// Fills `batch` with records of so many bases, at the least; `false` at the end.
    ///
    /// # Errors
    /// Input that cannot be read, is cut short, or is not sorted where it has to be.
    pub fn read_batch(&mut self, bases: usize, batch: &mut Batch) -> Result<bool> {
        batch.clear();
        batch.before = self.records;
        let mut have = 0;
        while have < bases || self.grouping.is_some() {
            if !self.next_record()? {
                break;
            }
            if let Some(Wanted { contig, region, .. }) = &self.current {
                let region = (*contig, region.clone());
                if *batch.region.get_or_insert(region.clone()) != region {
                    self.held = true;
                    break;
                }
            }
            if let Some(grouping) = &mut self.grouping {
                if grouping.begins(self.record.len()) {
                    if have >= bases {
                        self.held = true;
                        break;
                    }
                    batch.groups.push(batch.ends.len());
                    grouping.filled = 0;
                }
                grouping.filled += self.record.len() + grouping.extra;
            }
            if self.check_order {
                batch.reached = Some(self.last);
            }
            self.records += 1;
            batch.bytes.extend_from_slice(&self.record);
            batch.ends.push(batch.bytes.len());
            // One without a sequence costs its room, too.
            let length = self
                .record
                .get(16..20)
                .map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize);
            have += length.min(self.record.len()) + 1;
        }
        // Batches end where groups do.
        if let Some(grouping) = &mut self.grouping {
            grouping.filled = 0;
        }
        Ok(!batch.ends.is_empty())
    }

    /// Puts the next record into `self.record`, and its place into `self.last`.
    fn next_record(&mut self) -> Result<bool> {
        if std::mem::take(&mut self.held) {
            return Ok(true);
        }
        loop {
            if self.wanted.is_some() && self.current.is_none() {
                let Some(next) = self.wanted.as_mut().and_then(Iterator::next) else { return Ok(false) };
                self.reader.go_to(next.contig, &next.region)?;
                self.current = Some(next);
            }
            self.record.clear();
            if !self.reader.read(&mut self.record)? {
                if self.current.take().is_some() {
                    continue;
                }
                return Ok(false);
            }
            let place = record_place(&self.record);
            if let Some(Wanted { contig, region, before }) = &self.current {
                if place.0 < *contig as u32 || (place.0 == *contig as u32 && place.1 < *before) {
                    continue;
                }
                if place.0 > *contig as u32 || place.1 >= region.end {
                    self.current = None;
                    continue;
                }
            }
            if self.check_order && place < self.last {
                let message = format!(
                    "record {} is before its predecessor, and reads must be sorted by coordinate; sort them with samtools sort",
                    self.records + 1
                );
                return Err(Error::format(&self.path, None, message));
            }
            self.last = place;
            return Ok(true);
        }
    }
}

/// Rank of a record's contig and its place on it; behind all others if it has none.
pub(crate) fn record_place(record: &[u8]) -> (u32, u64) {
    match record::place(record) {
        Some((contig @ 0.., place)) => (contig as u32, place.max(0) as u64),
        _ => NOWHERE,
    }
}

/// The regions that are wanted, in the order of the contigs.
fn wanted(regions: Vec<RegionQuery>, contigs: &[Arc<Contig>]) -> Result<Vec<Wanted>> {
    let mut selection = Selection::new(regions);
    selection.resolve(contigs)?;
    let mut wanted = Vec::new();
    for contig in contigs {
        let mut before = 0;
        for region in selection.take(contig)? {
            let region = region.start..region.end.min(contig.length.unwrap_or(u64::MAX));
            let end = region.end;
            wanted.push(Wanted { contig: contig.id, region, before });
            before = end;
        }
    }
    Ok(wanted)
}

/// The read groups that are wanted, for [`record::Read::take`].
pub(crate) fn groups(filter: &ReadFilter) -> HashSet<&[u8]> {
    filter.read_groups.iter().map(String::as_bytes).collect()
}

/// Reads flags as samtools does: a number, decimal, hexadecimal (0x) or octal (0), or names with commas between them.
///
/// # Errors
/// Description of the expected text.
pub fn parse_flags(text: &str) -> Result<u16, String> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None if text.len() > 1 && text.starts_with('0') => u16::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    };
    let name = |name: &str| {
        Some(match name.to_ascii_uppercase().as_str() {
            "PAIRED" => flag::PAIRED,
            "PROPER_PAIR" => 0x2,
            "UNMAP" => flag::UNMAPPED,
            "MUNMAP" => 0x8,
            "REVERSE" => 0x10,
            "MREVERSE" => 0x20,
            "READ1" => flag::FIRST,
            "READ2" => flag::LAST,
            "SECONDARY" => flag::SECONDARY,
            "QCFAIL" => flag::QC_FAIL,
            "DUP" => flag::DUPLICATE,
            "SUPPLEMENTARY" => flag::SUPPLEMENTARY,
            _ => return None,
        })
    };
    let names = || text.split(',').map(name).try_fold(0, |flags, bit| Some(flags | bit?));
    number.or_else(names).ok_or_else(|| {
        "give flags as a number (1024, 0x400) or by their names (DUP,SECONDARY), as samtools has them".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_as_samtools_reads_them() {
        assert_eq!(parse_flags("1024"), Ok(0x400));
        assert_eq!(parse_flags("0x904"), Ok(0x904));
        assert_eq!(parse_flags("0"), Ok(0));
        assert_eq!(parse_flags("010"), Ok(8));
        assert_eq!(parse_flags("dup,SECONDARY"), Ok(0x500));
        for wrong in ["", "x", "0x", "65536", "-1", "DUP,", "DUP|UNMAP"] {
            assert!(parse_flags(wrong).is_err(), "{wrong}");
        }
    }
}
