//! Sites in sequencing reads, as lines: BED12 and TSV.
//!
//! The twelve columns of BED have the read's name as their name, and blocks that are apart where the read skips an intron.
//! Behind them stand the model's name, the raw score (4 decimals), the window's first base in the read (0-based, the read as
//! it is stored: in the direction of the reference), and what [`Columns`](super::site::Columns) asks for. A site in a read
//! that is not aligned has the contig `*` and its place in the read.

use std::io::Write;
use std::ops::Range;

use super::site::{Site, SiteFormat, SiteLines};
use crate::io::number::{push_integer, push_score};

/// Names of the columns that TSV has of a read.
pub(super) const TSV_COLUMNS: &str = "\tread\tread_start\tflags\tmapq\tblock_sizes\tblock_starts";

/// A read, as far as a line tells of it.
#[derive(Debug, Clone, Copy)]
pub struct ReadSite<'a> {
    /// Name.
    pub name: &'a [u8],
    /// Flags.
    pub flags: u16,
    /// Mapping quality; 255 if it is not known.
    pub mapq: u8,
    /// Position of the site: contig positions, 0-based half-open, sorted; at least one block.
    pub blocks: &'a [Range<u64>],
}

impl ReadSite<'_> {
    /// First base.
    pub fn start(&self) -> u64 {
        self.blocks[0].start
    }

    /// One past the last base.
    pub fn end(&self) -> u64 {
        self.blocks[self.blocks.len() - 1].end
    }

    fn push_blocks(&self, out: &mut Vec<u8>) {
        let starts = self.start();
        push_list(self.blocks.iter().map(|block| block.end - block.start), out);
        out.push(b'\t');
        push_list(self.blocks.iter().map(|block| block.start - starts), out);
    }
}

fn push_list(numbers: impl Iterator<Item = u64>, out: &mut Vec<u8>) {
    for (i, number) in numbers.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_integer(number, out);
    }
}

impl SiteLines {
    /// Appends the line of a site in a read; the start of `site` is that in the read.
    ///
    /// # Panics
    /// In a format that has no lines for reads: any but BED and TSV.
    pub fn write_read(&self, site: &Site<'_>, read: &ReadSite<'_>, out: &mut Vec<u8>) {
        match self.format {
            SiteFormat::Bed => self.read_bed(site, read, out),
            SiteFormat::Tsv => self.read_tsv(site, read, out),
            _ => panic!("no format for reads"),
        }
        out.push(b'\n');
    }

    fn read_bed(&self, site: &Site<'_>, read: &ReadSite<'_>, out: &mut Vec<u8>) {
        push_place(site, read, out);
        out.push(b'\t');
        out.extend_from_slice(read.name);
        out.push(b'\t');
        push_integer(site.shade().into(), out);
        out.extend_from_slice(&[b'\t', site.strand(), b'\t']);
        push_integer(read.start(), out);
        out.push(b'\t');
        push_integer(read.end(), out);
        out.extend_from_slice(b"\t0\t");
        push_integer(read.blocks.len() as u64, out);
        out.push(b'\t');
        read.push_blocks(out);
        out.push(b'\t');
        out.extend_from_slice(site.target.name.as_bytes());
        out.push(b'\t');
        push_score(site.hit.score, out);
        out.push(b'\t');
        push_integer(site.hit.start, out);
        self.significance_columns(site, out);
    }

    fn read_tsv(&self, site: &Site<'_>, read: &ReadSite<'_>, out: &mut Vec<u8>) {
        push_place(site, read, out);
        out.push(b'\t');
        out.extend_from_slice(site.target.name.as_bytes());
        out.extend_from_slice(&[b'\t', site.strand(), b'\t']);
        push_score(site.hit.score, out);
        self.significance_columns(site, out);
        out.push(b'\t');
        out.extend_from_slice(read.name);
        write!(out, "\t{}\t{}\t{}\t", site.hit.start, read.flags, read.mapq)
            .expect("writing to memory does not fail");
        read.push_blocks(out);
    }
}

/// Contig, start, end.
fn push_place(site: &Site<'_>, read: &ReadSite<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(site.contig.name.as_bytes());
    out.push(b'\t');
    push_integer(read.start(), out);
    out.push(b'\t');
    push_integer(read.end(), out);
}
