//! Contigs, regions and strands.

use std::fmt;

/// One sequence of a genome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contig {
    /// 0-based rank in the input.
    pub id: usize,
    /// The first word of the FASTA header.
    pub name: String,
    /// Bases, where the source knows before reading (indexed files); `None` on a stream.
    pub length: Option<u64>,
}

/// A stretch of a contig, 0-based half-open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Region {
    /// Contig name.
    pub contig: String,
    /// First base, 0-based.
    pub start: u64,
    /// One past the last base; `None` means the contig's end.
    pub end: Option<u64>,
}

/// The strand on which a model reads a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strand {
    /// As written in the reference.
    Forward,
    /// The reverse complement.
    Reverse,
}

impl Strand {
    /// `+` or `-`, as BED writes it.
    pub fn symbol(self) -> char {
        match self {
            Strand::Forward => '+',
            Strand::Reverse => '-',
        }
    }
}

impl fmt::Display for Strand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.symbol())
    }
}
